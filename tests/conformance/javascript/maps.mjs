/** Requirements 9-1 to 9-20: a function over items. */
import { BatchItemStatus, NestingType } from "@aws/durable-execution-sdk-js";

import { ALL, batch, oneByOne, REASON } from "./batches.mjs";
import { always, fail, outcome } from "./common.mjs";
import { meets } from "./meets.mjs";

const prefixed = {
  serialize: async (value) => `wrapped:${value}`,
  deserialize: async (data) => data.replace(/^wrapped:/, ""),
};

/** A whole map's result as the list of what its items returned. */
const resultsSerdes = {
  serialize: async (result) => `OPSERDE:${result.getResults().join(",")}`,
  deserialize: async (data) => ({
    all: data
      .replace(/^OPSERDE:/, "")
      .split(",")
      .map((result, index) => ({ result, index, status: BatchItemStatus.SUCCEEDED })),
    completionReason: "ALL_COMPLETED",
  }),
};

const run = (context, name, parts, config) =>
  context.map(name, parts, async (_, succeeds) => (succeeds ? "ok" : fail()), config);

/** The results of items that are worked on one by one. */
async function results(context, name, items, body, config) {
  const result = await context.map(name, items, body, oneByOne(config));
  return result.getResults();
}

const itself = async (_, item) => item;
const upper = async (_, item) => item.toUpperCase();
const inStep = (child, item) => child.step(always(item));

export const mapSteps = meets(["9-1"], (event, context) =>
  results(context, "map", event, (child, item) => child.step(always(`Hello, ${item}!`))),
);

export const mapAnonymous = meets(["9-2"], async (event, context) => {
  const result = await context.map(event, async (_, item) => 2 * item, oneByOne());
  return result.getResults();
});

export const mapWithIndex = meets(["9-3"], (event, context) =>
  results(context, "indexed", event, async (_, item, index) => item + index),
);

export const mapEmpty = meets(["9-4"], (event, context) =>
  results(context, "empty", event, itself),
);

export const mapFailsFast = batch(
  ["9-5"],
  run,
  "failfast",
  [true, false, true],
  { toleratedFailureCount: 0 },
  ...ALL,
);

export const mapThrows = meets(["9-6"], async (event, context) => {
  const config = oneByOne({ completionConfig: { toleratedFailureCount: 0 } });
  (await run(context, "throwing", [false, true], config)).throwIfError();
});

export const mapMinSuccessful = batch(
  ["9-7"],
  run,
  "minimum",
  [true, true, true, true],
  { minSuccessful: 2 },
  "completionReason",
  "successCount",
  "totalCount",
);

export const mapToleratesOne = batch(
  ["9-8"],
  run,
  "tolerant",
  [true, false, true],
  { toleratedFailureCount: 1 },
  ...ALL,
);

export const mapCountExceeded = batch(
  ["9-9"],
  run,
  "exceeded",
  [false, false, true],
  { toleratedFailureCount: 1 },
  ...REASON,
);

export const mapPercentageExceeded = batch(
  ["9-10"],
  run,
  "percentage",
  [false, false, true, true],
  { toleratedFailurePercentage: 25 },
  ...REASON,
);

export const mapTwoAtOnce = meets(["9-11"], (event, context) =>
  results(context, undefined, ["r0", "r1", "r2"], itself, { maxConcurrency: 2 }),
);

export const mapFlat = meets(["9-12"], (event, context) =>
  results(context, "flat", ["fa", "fb"], inStep, { nesting: NestingType.FLAT }),
);

export const mapWithNamer = meets(["9-13"], (event, context) =>
  results(context, "namer", event, async (_, item) => 10 * item, {
    itemNamer: (item, index) => `item-${index + 1}`,
  }),
);

export const mapItemSerdes = meets(["9-14"], (event, context) =>
  results(context, "serdes", ["x", "y"], upper, { itemSerdes: prefixed }),
);

export const mapWaits = meets(["9-15"], (event, context) =>
  results(context, "waits", ["r0", "r1"], async (child, item, index) => {
    if (index === 1) {
      await child.wait({ seconds: 1 });
    }
    return inStep(child, item);
  }),
);

export const mapWithLargeResult = meets(["9-16"], async (event, context) => {
  const result = await context.map(
    "large",
    ["a", "b", "c", "d"],
    async (_, item) => item.repeat(70_000),
    oneByOne(),
  );
  return outcome(result, "successCount", "totalCount");
});

export const mapThenWait = meets(["9-17"], async (event, context) => {
  const found = await results(context, "waited", ["a", "b"], upper);
  await context.wait({ seconds: 1 });
  return found;
});

export const mapFailureThenWait = meets(["9-18"], async (event, context) => {
  const config = oneByOne({ completionConfig: { toleratedFailureCount: 1 } });
  const result = await run(context, "tolerant", [true, false], config);
  await context.wait({ seconds: 1 });
  return outcome(result, ...ALL);
});

export const mapSerdes = meets(["9-19"], (event, context) =>
  results(context, "serdes", ["x", "y"], upper, { serdes: resultsSerdes }),
);

export const mapSerdesThenWait = meets(["9-20"], async (event, context) => {
  const found = await results(context, "serdes", ["x", "y"], upper, { serdes: resultsSerdes });
  await context.wait({ seconds: 1 });
  return found;
});
