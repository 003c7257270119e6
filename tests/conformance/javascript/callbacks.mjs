/** Requirements 4-1 to 4-19: callbacks that the handler creates and awaits itself. */
import { always } from "./common.mjs";
import { meets } from "./meets.mjs";

/** An object whose `timestamp` is text on the wire and seconds since 1970 here. */
const orderSerdes = {
  deserialize: async (data) => {
    const value = JSON.parse(data);
    return { ...value, timestamp: Date.parse(value.timestamp) / 1000 };
  },
};

const numberSerdes = { deserialize: async (data) => Number(data) };

/** Creates a callback and awaits it. */
async function result(context, name, config) {
  const [promise] = await context.createCallback(name, config);
  return promise;
}

/** As above, of an operation that may fail: the result or the error's text. */
async function resultOrMessage(context, name, config) {
  try {
    return await result(context, name, config);
  } catch (error) {
    return error.message;
  }
}

export const callback = meets(["4-1", "4-6"], (event, context) => result(context, event));

export const callbackApproval = meets(["4-2"], (event, context) => result(context, "approval"));

export const callbackTimesOut = meets(["4-3"], (event, context) =>
  result(context, event, { timeout: { seconds: 5 } }),
);

export const callbackMissesHeartbeat = meets(["4-4"], (event, context) =>
  result(context, event, { heartbeatTimeout: { seconds: 5 } }),
);

export const callbackWithHeartbeat = meets(["4-5"], (event, context) =>
  result(context, event, { heartbeatTimeout: { seconds: 10 } }),
);

export const callbackAroundStep = meets(["4-7"], async (event, context) => {
  const [promise] = await context.createCallback(event);
  await context.step(always("prepared"));
  return promise;
});

export const callbackTimesOutAfterStep = meets(["4-8"], async (event, context) => {
  const [promise] = await context.createCallback(event, { timeout: { seconds: 5 } });
  await context.step(always("prepared"));
  return promise;
});

export const callbackDuringWait = meets(["4-9", "4-10"], async (event, context) => {
  const [promise] = await context.createCallback(event);
  await context.wait({ seconds: 5 });
  return promise;
});

export const callbackTimesOutDuringWait = meets(["4-11"], async (event, context) => {
  const [promise] = await context.createCallback(event, { timeout: { seconds: 3 } });
  await context.wait({ seconds: 6 });
  return promise;
});

export const callbackThenWait = meets(["4-12"], async (event, context) => {
  const value = await result(context, event);
  await context.wait({ seconds: 2 });
  return value;
});

export const callbackFailureCaught = meets(["4-13"], async (event, context) => {
  const message = await resultOrMessage(context, event);
  await context.wait({ seconds: 2 });
  return message;
});

export const callbackTimeoutCaught = meets(["4-14"], async (event, context) => {
  const message = await resultOrMessage(context, event, { timeout: { seconds: 3 } });
  await context.wait({ seconds: 2 });
  return message;
});

export const callbackWithObject = meets(["4-15"], async (event, context) => ({
  received: await result(context, event, { serdes: orderSerdes }),
}));

export const callbackWithNumber = meets(["4-16"], async (event, context) => {
  const count = await result(context, event, { serdes: numberSerdes });
  return { count, doubled: 2 * count };
});

export const callbackAfterCallback = meets(["4-17"], async ([first, second], context) => [
  await result(context, first),
  await result(context, second),
]);

export const callbacksInOrder = meets(["4-18"], async ([first, second], context) => {
  const [a] = await context.createCallback(first);
  const [b] = await context.createCallback(second);
  return [await a, await b];
});

export const callbacksInReverse = meets(["4-19"], async ([first, second], context) => {
  const [a] = await context.createCallback(first);
  const [b] = await context.createCallback(second);
  const later = await b;
  return [await a, later];
});
