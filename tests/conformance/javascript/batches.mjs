/** What parallel and map have in common: when a batch is complete, and what came of it. */
import { COUNTS, outcome } from "./common.mjs";
import { meets } from "./meets.mjs";

/** Branches or items one by one. */
export const oneByOne = (config) => ({ maxConcurrency: 1, ...config });

/**
 * A handler that gives `fields` of a batch's result. `run(context, name, parts, config)` runs
 * a batch of which each part that is true succeeds and each that is false fails.
 */
export function batch(requirements, run, name, parts, completionConfig, ...fields) {
  return meets(requirements, async (event, context) => {
    const result = await run(context, name, parts, oneByOne({ completionConfig }));
    return outcome(result, ...fields);
  });
}

export const ALL = ["completionReason", "status", ...COUNTS];
export const REASON = ["completionReason", ...COUNTS];
