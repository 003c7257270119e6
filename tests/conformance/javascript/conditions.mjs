/** Requirements 6-1 to 6-13: polling until a condition holds. */
import {
  createWaitStrategy,
  DurableOperationError,
  JitterStrategy,
} from "@aws/durable-execution-sdk-js";

import { always, fail, never } from "./common.mjs";
import { meets } from "./meets.mjs";

/** Stores text backwards, marked. */
const reversed = {
  serialize: async (value) => [...`state:${value}`].reverse().join(""),
  deserialize: async (data) => [...data].reverse().join("").replace(/^state:/, ""),
};

function poll(shouldContinuePolling, initialState, { delay = 1, maxAttempts = 60, serdes } = {}) {
  return {
    initialState,
    serdes,
    waitStrategy: createWaitStrategy({
      shouldContinuePolling,
      maxAttempts,
      initialDelay: { seconds: delay },
      backoffRate: 1,
      jitter: JitterStrategy.NONE,
    }),
  };
}

const below = (threshold) => (state) => state < threshold;
const increment = async (state) => state + 1;

export const conditionCounts = meets(["6-1"], (event, context) =>
  context.waitForCondition(increment, poll(below(event), 0)),
);

export const conditionHolds = meets(["6-2"], (event, context) =>
  context.waitForCondition(async (state) => state, poll(below(event), 5)),
);

export const conditionWithName = meets(["6-3"], (event, context) =>
  context.waitForCondition("poll-status", increment, poll(below(event), 0)),
);

export const conditionFromFive = meets(["6-4"], (event, context) =>
  context.waitForCondition(increment, poll(below(event), 5)),
);

export const conditionEveryTwoSeconds = meets(["6-5"], (event, context) =>
  context.waitForCondition(increment, poll(below(event), 0, { delay: 2 })),
);

export const conditionExhausted = meets(["6-6"], (event, context) =>
  context.waitForCondition(increment, poll(() => true, event, { maxAttempts: 3 })),
);

export const conditionCheckFails = meets(["6-7"], (event, context) =>
  context.waitForCondition(never, poll(() => true, 0)),
);

export const conditionFailureCaught = meets(["6-8"], async (event, context) => {
  try {
    await context.waitForCondition(never, poll(() => true, 0));
  } catch (error) {
    if (error instanceof DurableOperationError) {
      return "recovered";
    }
  }
  return fail("the check did not fail as it should");
});

export const conditionWithObject = meets(["6-9"], (event, context) =>
  context.waitForCondition(
    async ({ attempts }) => ({
      status: attempts + 1 === 2 ? "DONE" : "PENDING",
      attempts: attempts + 1,
    }),
    poll(({ status }) => status === "PENDING", { status: "PENDING", attempts: 0 }),
  ),
);

export const conditionWithNull = meets(["6-10"], (event, context) =>
  context.waitForCondition(always(null), poll(() => false, 0)),
);

export const conditionWithSerdes = meets(["6-11"], (event, context) =>
  context.waitForCondition(
    async (state) => `${state}x`,
    poll((state) => state.length < 2, "", { serdes: reversed }),
  ),
);

export const conditionThenStep = meets(["6-12"], async (event, context) => {
  const state = await context.waitForCondition(increment, poll(below(event), 0));
  return context.step(async () => state * 10);
});

export const conditionAfterCondition = meets(["6-13"], async (event, context) => {
  const first = await context.waitForCondition(increment, poll(below(2), 0));
  return context.waitForCondition(increment, poll(below(4), first));
});
