/** Requirements 7-1 to 7-15: waiting for a callback that a submitter hands out. */
import { CallbackError } from "@aws/durable-execution-sdk-js";

import { always, everySecond, fail, never } from "./common.mjs";
import { meets } from "./meets.mjs";

const submit = async () => {};

const json = { deserialize: async (data) => JSON.parse(data) };

/** What `wait` gives, or `otherwise` when its callback fails. */
async function caught(wait, otherwise) {
  try {
    return await wait;
  } catch (error) {
    return error instanceof CallbackError ? otherwise : fail(`another error: ${error}`);
  }
}

export const callbackWait = meets(["7-1", "7-4", "7-15"], (event, context) =>
  context.waitForCallback(event, submit),
);

export const callbackWaitApproval = meets(["7-2"], (event, context) =>
  context.waitForCallback("approval", submit),
);

export const callbackWaitAnonymous = meets(["7-3"], (event, context) =>
  context.waitForCallback(async () => {}),
);

export const callbackWaitTimesOut = meets(["7-5"], (event, context) =>
  context.waitForCallback(event, submit, { timeout: { seconds: 3 } }),
);

export const callbackWaitFailureCaught = meets(["7-6"], (event, context) =>
  caught(context.waitForCallback(event, submit), "recovered"),
);

export const callbackWaitSubmitterFails = meets(["7-7"], (event, context) =>
  context.waitForCallback(event, never, everySecond(2)),
);

export const callbackWaitInChild = meets(["7-8"], (event, context) =>
  context.runInChildContext("wrapper", (child) => child.waitForCallback(event, submit)),
);

export const callbackWaitTwice = meets(["7-9"], async (event, context) => {
  await context.waitForCallback("first", submit);
  return context.waitForCallback("second", submit);
});

export const callbackWaitAfterOthers = meets(["7-10"], async (event, context) => {
  await context.wait({ seconds: 1 });
  await context.step(always("fixed data"));
  return context.waitForCallback(event, submit);
});

export const callbackWaitWithJson = meets(["7-11"], async (event, context) => {
  const result = await context.waitForCallback(event, submit, { serdes: json });
  return result.status;
});

export const callbackWaitMissesHeartbeat = meets(["7-12"], (event, context) =>
  context.waitForCallback(event, submit, { heartbeatTimeout: { seconds: 5 } }),
);

export const callbackWaitWithHeartbeat = meets(["7-13"], (event, context) =>
  context.waitForCallback(event, submit, { heartbeatTimeout: { seconds: 10 } }),
);

export const callbackWaitTimeoutCaught = meets(["7-14"], (event, context) =>
  caught(
    context.waitForCallback(event, submit, { timeout: { seconds: 3 } }),
    "timed-out-handled",
  ),
);
