/** Requirements 8-1 to 8-22: branches in parallel. */
import { NestingType } from "@aws/durable-execution-sdk-js";

import { ALL, batch, oneByOne, REASON } from "./batches.mjs";
import { always, inStep, never } from "./common.mjs";
import { meets } from "./meets.mjs";

const wrapped = {
  serialize: async (value) => JSON.stringify({ wrapped: value }),
  deserialize: async (data) => JSON.parse(data).wrapped,
};

const run = (context, name, parts, config) =>
  context.parallel(
    name,
    parts.map((succeeds) => (succeeds ? always("ok") : never)),
    config,
  );

/** The results of branches that run one by one. */
async function results(context, name, branches, config) {
  const result = await context.parallel(name, branches, oneByOne(config));
  return result.getResults();
}

export const parallelSteps = meets(["8-1"], (event, context) =>
  results(context, "parallel", [inStep("task-1"), inStep("task-2")]),
);

export const parallelAnonymous = meets(["8-2"], async (event, context) => {
  const result = await context.parallel([always("alpha"), always("beta")], oneByOne());
  return result.getResults();
});

export const parallelNamedBranches = meets(["8-3"], (event, context) =>
  results(context, "named", [
    { name: "first", func: always("one") },
    { name: "second", func: always("two") },
  ]),
);

export const parallelOfTypes = meets(["8-4"], (event, context) =>
  results(context, "hetero", [always("hello"), always(42), always({ k: "v" })]),
);

export const parallelEmpty = meets(["8-5"], (event, context) => results(context, "empty", []));

export const parallelFailsFast = batch(
  ["8-6"],
  run,
  "failfast",
  [true, false, true],
  { toleratedFailureCount: 0 },
  ...ALL,
);

export const parallelThrows = meets(["8-7"], async (event, context) => {
  const config = oneByOne({ completionConfig: { toleratedFailureCount: 0 } });
  (await run(context, "throwing", [false, true], config)).throwIfError();
});

export const parallelMinSuccessful = batch(
  ["8-8"],
  run,
  "minimum",
  [true, true, true, true],
  { minSuccessful: 2 },
  "completionReason",
  "successCount",
  "totalCount",
);

export const parallelToleratesOne = batch(
  ["8-9"],
  run,
  "tolerant",
  [true, false, true],
  { toleratedFailureCount: 1 },
  ...ALL,
);

export const parallelCountExceeded = batch(
  ["8-10"],
  run,
  "exceeded",
  [false, false, true],
  { toleratedFailureCount: 1 },
  ...REASON,
);

export const parallelTwoAtOnce = meets(["8-11"], (event, context) =>
  results(context, "ordered", [always("r0"), always("r1"), always("r2")], { maxConcurrency: 2 }),
);

export const parallelFlat = meets(["8-12"], (event, context) =>
  results(context, "flat", [inStep("fa"), inStep("fb")], { nesting: NestingType.FLAT }),
);

export const parallelPercentageExceeded = batch(
  ["8-13"],
  run,
  "percentage",
  [false, false, true, true],
  { toleratedFailurePercentage: 25 },
  ...REASON,
);

export const parallelWaits = meets(["8-14"], (event, context) =>
  results(context, undefined, [
    inStep("b0"),
    async (branch) => {
      await branch.wait({ seconds: 2 });
      return "b1";
    },
  ]),
);

export const parallelItemSerdes = meets(["8-15"], (event, context) =>
  results(context, undefined, [always("x"), always("y")], { itemSerdes: wrapped }),
);

export const parallelAllFail = batch(
  ["8-16"],
  run,
  "failing",
  [false, false, false],
  { toleratedFailureCount: 3 },
  ...ALL,
);

export const parallelMinimumMissed = batch(
  ["8-17"],
  run,
  "missed",
  [true, false, true],
  { minSuccessful: 3 },
  ...ALL,
);

export const parallelToleranceWins = batch(
  ["8-18"],
  run,
  "both",
  [false, false, true, true],
  { minSuccessful: 3, toleratedFailureCount: 1 },
  ...REASON,
);

export const parallelNoneAtOnce = meets(["8-19"], (event, context) =>
  results(context, "none", [always("ok"), always("ok")], { maxConcurrency: 0 }),
);

export const parallelAccessors = meets(["8-20"], async (event, context) => {
  const config = oneByOne({ completionConfig: { toleratedFailureCount: 1 } });
  const result = await run(context, "accessors", [true, false, true], config);
  return {
    hasFailure: result.hasFailure,
    successCount: result.succeeded().length,
    failureCount: result.failed().length,
    errorCount: result.getErrors().length,
  };
});

export const parallelNested = meets(["8-21"], (event, context) =>
  results(context, "outer", [
    (branch) => results(branch, "inner", [inStep("i1"), inStep("i2")]),
  ]),
);

export const parallelPercentageMet = batch(
  ["8-22"],
  run,
  "percentage",
  [false, true, true, true],
  { toleratedFailurePercentage: 25 },
  ...ALL,
);
