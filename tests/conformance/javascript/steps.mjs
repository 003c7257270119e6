/** Requirements 1-1 to 1-20: steps. */
import {
  createRetryStrategy,
  JitterStrategy,
  StepError,
  StepSemantics,
} from "@aws/durable-execution-sdk-js";

import {
  always,
  everySecond,
  exitProcess,
  fail,
  never,
  noRetry,
  onAttempt,
  uppercase,
} from "./common.mjs";
import { meets } from "./meets.mjs";

class TransientError extends Error {
  name = "TransientError";
}

const greet = (name) => async () => `Hello, ${name}!`;

export const stepSucceeds = meets(["1-1"], (event, context) => context.step(greet(event)));

export const stepWithName = meets(["1-2"], (event, context) =>
  context.step("custom_step_name", greet(event)),
);

export const stepAfterStep = meets(["1-3"], async (event, context) => {
  const first = await context.step(always("first"));
  return context.step(async () => `${first}_second`);
});

export const stepWithObject = meets(["1-4"], (event, context) =>
  context.step(async () => ({ user: event, count: event.tags.length })),
);

export const stepWithNull = meets(["1-5"], (event, context) => context.step(always(null)));

export const stepWithSerdes = meets(["1-6"], (event, context) =>
  context.step(always(event), { serdes: uppercase }),
);

export const stepThatLogs = meets(["1-7"], (event, context) =>
  context.step(async (step) => {
    step.logger.info(`Greeting step started for: ${event}`);
    const greeting = `Hello, ${event}!`;
    step.logger.info(`Greeting step completed with: ${greeting}`);
    return greeting;
  }),
);

export const stepThenWait = meets(["1-8"], async (event, context) => {
  const result = await context.step(always("computed"));
  await context.wait({ seconds: 2 });
  return result;
});

export const stepNotRunAgain = meets(["1-9"], async (event, context) => {
  const result = await context.step(async (step) => {
    step.logger.info("step executed");
    return "cached_value";
  });
  await context.wait({ seconds: 1 });
  return result;
});

export const stepFailsAgain = meets(["1-10"], async (event, context) => {
  let caught = "";
  try {
    await context.step(async (step) => {
      step.logger.info("step executed");
      fail("boom");
    }, noRetry);
  } catch (error) {
    caught = error.message;
  }
  await context.wait({ seconds: 1 });
  return caught;
});

export const stepRetried = meets(["1-11"], (event, context) =>
  context.step(onAttempt(2, "Operation succeeded"), everySecond(3)),
);

export const stepRetriesExhausted = meets(["1-12"], (event, context) =>
  context.step(never, everySecond(4)),
);

export const stepRetriedByDefault = meets(["1-13"], (event, context) =>
  context.step(onAttempt(3, "ok")),
);

export const stepWithBackoff = meets(["1-14"], (event, context) =>
  context.step(onAttempt(3, "ok"), {
    retryStrategy: createRetryStrategy({
      maxAttempts: 5,
      initialDelay: { seconds: 2 },
      backoffRate: 3,
      jitter: JitterStrategy.NONE,
    }),
  }),
);

export const stepRetriesTransient = meets(["1-15"], (event, context) =>
  context.step(
    async (step) => {
      if (step.attempt === 1) {
        throw new TransientError("try again");
      }
      return "ok";
    },
    {
      retryStrategy: (error) =>
        error instanceof TransientError
          ? { shouldRetry: true, delay: { seconds: 1 } }
          : { shouldRetry: false },
    },
  ),
);

export const stepRefusesTransient = meets(["1-16"], (event, context) =>
  context.step(
    async () => {
      throw new TransientError("not again");
    },
    {
      retryStrategy: (error) =>
        error instanceof TransientError
          ? { shouldRetry: false }
          : { shouldRetry: true, delay: { seconds: 1 } },
    },
  ),
);

export const stepAtMostOnce = meets(["1-17"], (event, context) =>
  context.step(
    "at_most_once_flaky_step",
    async (step) => {
      step.logger.info(event);
      exitProcess();
    },
    { ...noRetry, semantics: StepSemantics.AtMostOncePerRetry },
  ),
);

export const stepAtMostOncePerRetry = meets(["1-18"], (event, context) =>
  context.step(
    async (step) => {
      step.logger.info(event);
      if (step.attempt === 1) {
        exitProcess();
      }
      return "succeeded on second attempt";
    },
    { ...everySecond(2), semantics: StepSemantics.AtMostOncePerRetry },
  ),
);

export const stepFails = meets(["1-19"], (event, context) => context.step(never, noRetry));

export const stepFailureCaught = meets(["1-20"], async (event, context) => {
  let result;
  try {
    result = await context.step(never, noRetry);
  } catch (error) {
    result = error instanceof StepError ? "fallback_result" : fail("another error");
  }
  return context.step(always(result));
});
