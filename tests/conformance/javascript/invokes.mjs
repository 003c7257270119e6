/** Requirements 5-1 to 5-16: invoking other functions. */
import { InvokeError } from "@aws/durable-execution-sdk-js";

import { always, fail } from "./common.mjs";
import { logicalId, meets } from "./meets.mjs";

// Near what an invocation may be given (1 MiB), and more than a checkpoint shares with others.
const LARGE = 900_000;

/** Sends an object's values in upper case. */
const uppercasePayload = {
  serialize: async (value) =>
    JSON.stringify(value, (_, part) => (typeof part === "string" ? part.toUpperCase() : part)),
  deserialize: async (data) => JSON.parse(data),
};

/** Takes the result's text as it is, in upper case. */
const uppercaseResult = {
  serialize: async (value) => value,
  deserialize: async (data) => data.toUpperCase(),
};

// Those who are invoked. They wait, since the requirements want the invocation of who invokes
// them to end first.

export const echo = meets([], async (event, context) => {
  await context.wait({ seconds: 1 });
  return event;
});

export const echoTenant = meets(
  [],
  async (event, context) => {
    await context.wait({ seconds: 1 });
    return event;
  },
  { TenancyConfig: { TenantIsolationMode: "PER_TENANT" } },
);

export const measure = meets([], async (event, context) => {
  await context.wait({ seconds: 1 });
  return event.length;
});

export const reject = meets([], async (event, context) => {
  await context.wait({ seconds: 1 });
  fail("rejected");
});

const VARIABLES = ["TARGET_FUNCTION_NAME", "TARGET_FUNCTION_NAME_1"];

/** The environment that tells a handler whom to invoke. */
function targets(...names) {
  const refs = names.map((name, index) => [
    VARIABLES[index],
    { "Fn::Sub": `\${${logicalId(name)}.Arn}:$LATEST` },
  ]);
  return { Environment: { Variables: Object.fromEntries(refs) } };
}

/** The name is given since a payload that is text would be taken for the function's. */
const invoke = (context, payload, config, name = undefined) =>
  context.invoke(name, process.env.TARGET_FUNCTION_NAME, payload, config);

export const invokeEcho = meets(
  ["5-1", "5-3", "5-4"],
  (event, context) => invoke(context, event),
  targets("echo"),
);

export const invokeWithName = meets(
  ["5-2"],
  (event, context) => invoke(context, event.payload, undefined, event.name),
  targets("echo"),
);

export const invokeFails = meets(
  ["5-5"],
  (event, context) => invoke(context, event),
  targets("reject"),
);

export const invokeFailureCaught = meets(
  ["5-6"],
  async (event, context) => {
    try {
      return await invoke(context, event);
    } catch (error) {
      return error instanceof InvokeError ? "fallback" : fail("another error");
    }
  },
  targets("reject"),
);

export const invokeWithLargePayload = meets(
  ["5-7"],
  (event, context) => invoke(context, "x".repeat(LARGE)),
  targets("measure"),
);

export const invokeForTenant = meets(
  ["5-8"],
  (event, context) => invoke(context, event.payload, { tenantId: event.tenantId }),
  targets("echoTenant"),
);

export const invokeThenWait = meets(
  ["5-9"],
  async (event, context) => {
    const result = await invoke(context, "cached");
    await context.wait({ seconds: 1 });
    return result;
  },
  targets("echo"),
);

export const invokeFailureThenWait = meets(
  ["5-10"],
  async (event, context) => {
    let caught = "";
    try {
      await invoke(context, event);
    } catch (error) {
      caught = error.message;
    }
    await context.wait({ seconds: 1 });
    return caught;
  },
  targets("reject"),
);

export const invokeAfterStep = meets(
  ["5-11"],
  async (event, context) => invoke(context, await context.step(always("prepared"))),
  targets("echo"),
);

export const invokeThenStep = meets(
  ["5-12"],
  async (event, context) => {
    const result = await invoke(context, "raw");
    return context.step(async () => `processed ${result}`);
  },
  targets("echo"),
);

export const invokeInChild = meets(
  ["5-13"],
  (event, context) => context.runInChildContext((child) => invoke(child, "nested")),
  targets("echo"),
);

export const invokeTwo = meets(
  ["5-14"],
  async (event, context) => {
    const text = await invoke(context, "first");
    return context.invoke(undefined, process.env.TARGET_FUNCTION_NAME_1, text);
  },
  targets("echo", "measure"),
);

export const invokeWithPayloadSerdes = meets(
  ["5-15"],
  (event, context) => invoke(context, event, { payloadSerdes: uppercasePayload }),
  targets("echo"),
);

export const invokeWithResultSerdes = meets(
  ["5-16"],
  (event, context) => invoke(context, event, { resultSerdes: uppercaseResult }),
  targets("echo"),
);
