/** Requirements 3-1 to 3-18: child contexts. */
import { setTimeout as sleep } from "node:timers/promises";

import { ChildContextError } from "@aws/durable-execution-sdk-js";

import {
  always,
  everySecond,
  exitProcess,
  fail,
  inStep,
  never,
  noRetry,
  onAttempt,
  uppercase,
} from "./common.mjs";
import { meets } from "./meets.mjs";

// Above what a checkpoint carries; the body runs again to make it once more.
const LARGE = 300_000;

const failInStep = (child) => child.step(never, noRetry);

const stepAndWait = (value) => async (child) => {
  const result = await child.step(always(value));
  await child.wait({ seconds: 1 });
  return result;
};

/** Logs on replay too, so that a body that runs again is seen to. */
function logAlways(context, message) {
  context.configureLogger({ modeAware: false });
  context.logger.info(message);
}

export const childWithStep = meets(["3-1"], (event, context) =>
  context.runInChildContext(inStep(event)),
);

export const childWithName = meets(["3-2"], (event, context) =>
  context.runInChildContext(event.name, inStep(event.value)),
);

export const childWithTwoSteps = meets(["3-3"], (event, context) =>
  context.runInChildContext("two_steps", async (child) => {
    const first = await child.step(always(event));
    return child.step(always(first));
  }),
);

export const childFails = meets(["3-4"], (event, context) =>
  context.runInChildContext("failing", failInStep),
);

export const childFailureCaught = meets(["3-5"], async (event, context) => {
  try {
    await context.runInChildContext(failInStep);
  } catch (error) {
    if (error instanceof ChildContextError) {
      return context.step("recover", always(event));
    }
  }
  return fail("the child did not fail as it should");
});

export const childInChild = meets(["3-6"], (event, context) =>
  context.runInChildContext("outer", async (outer) => {
    const value = await outer.step(always(event));
    return outer.runInChildContext("inner", inStep(value));
  }),
);

export const childWithRetriedStep = meets(["3-7"], (event, context) =>
  context.runInChildContext("retried_step", (child) =>
    child.step(onAttempt(2, event), everySecond(2)),
  ),
);

export const childRetriesExhausted = meets(["3-8"], (event, context) =>
  context.runInChildContext("exhausted_step", (child) => child.step(never, everySecond(2))),
);

export const childNotRunAgain = meets(["3-9"], async (event, context) => {
  const result = await context.runInChildContext(inStep(event));
  await context.wait({ seconds: 1 });
  return result;
});

export const childWithStepAndWait = meets(["3-10"], (event, context) =>
  context.runInChildContext("step_and_wait", stepAndWait(event)),
);

export const childWithLargeResult = meets(["3-11"], async (event, context) => {
  const result = await context.runInChildContext("large_result", async (child) => {
    logAlways(child, event);
    const letter = await child.step(always("x"));
    return letter.repeat(LARGE);
  });
  await context.wait({ seconds: 1 });
  return result.length;
});

/** How many times it was asked so: kept outside of the execution, which an interrupted
 * attempt leaves as it was. */
async function countRuns(key) {
  const answer = await fetch(process.env.AWS_ENDPOINT_URL_DYNAMODB, {
    method: "POST",
    headers: { "X-Amz-Target": "DynamoDB_20120810.UpdateItem" },
    body: JSON.stringify({
      TableName: process.env.ATTEMPTS_TABLE_NAME,
      Key: { id: { S: key } },
      UpdateExpression: "SET attemptCount = if_not_exists(attemptCount, :zero) + :inc",
      ExpressionAttributeValues: { ":zero": { N: "0" }, ":inc": { N: "1" } },
      ReturnValues: "UPDATED_NEW",
    }),
  });
  return Number((await answer.json()).Attributes.attemptCount.N);
}

export const childInterrupted = meets(
  ["3-12"],
  (event, context) =>
    context.runInChildContext((child) =>
      child.step(async () => {
        if ((await countRuns(context.executionContext.durableExecutionArn)) === 1) {
          // The step's START is sent behind its back; nothing says when it has arrived.
          await sleep(1000);
          exitProcess();
        }
        return event;
      }),
    ),
  { Environment: { Variables: { ATTEMPTS_TABLE_NAME: { Ref: "AttemptsTable" } } } },
);

export const childWithWait = meets(["3-13"], async (event, context) => {
  const result = await context.runInChildContext("only_wait", async (child) => {
    await child.wait({ seconds: 1 });
    return event;
  });
  return context.step(always(result));
});

export const childWithSerdes = meets(["3-14"], (event, context) =>
  context.runInChildContext("uppercase", inStep(event), { serdes: uppercase }),
);

export const childThrows = meets(["3-15"], (event, context) =>
  context.runInChildContext("throws", async () => fail("no operation was needed to fail")),
);

export const childWithNull = meets(["3-16"], (event, context) =>
  context.runInChildContext("nothing", always(null)),
);

export const childThatLogs = meets(["3-17"], async (event, context) => {
  const result = await context.runInChildContext("logs", async (child) => {
    logAlways(child, event);
    return event;
  });
  await context.wait({ seconds: 1 });
  return result;
});

export const childAndMore = meets(["3-18"], async (event, context) => {
  const inner = await context.runInChildContext("step_and_wait", stepAndWait(event));
  const result = await context.step(always(inner));
  await context.wait({ seconds: 1 });
  return result;
});
