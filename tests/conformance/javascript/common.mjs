/** What several groups of handlers share. */
import { createRetryStrategy, JitterStrategy, retryPresets } from "@aws/durable-execution-sdk-js";

export const noRetry = { retryStrategy: retryPresets.noRetry };

/** A step's configuration: retried one second after each failure. */
export function everySecond(maxAttempts) {
  return {
    retryStrategy: createRetryStrategy({
      maxAttempts,
      initialDelay: { seconds: 1 },
      backoffRate: 1,
      jitter: JitterStrategy.NONE,
    }),
  };
}

export function fail(message = "it always fails") {
  throw new Error(message);
}

/** A body that returns `value`. */
export const always = (value) => async () => value;

/** A body that fails. */
export const never = async () => fail();

/** A branch that gets `value` from a step. */
export const inStep = (value) => (context) => context.step(always(value));

/** The body of a step that succeeds with `value` on its attempt `number`. */
export const onAttempt = (number, value) => async (step) =>
  step.attempt < number ? fail(`attempt ${step.attempt}`) : value;

/** Stores text in upper case, as it is. */
export const uppercase = {
  serialize: async (value) => value.toUpperCase(),
  deserialize: async (data) => data,
};

/** Ends as a crash does: no exception, no goodbye. */
export function exitProcess() {
  process.exit(1);
}

/** The fields of a batch's result that are named, of a class whose fields are getters. */
export function outcome(result, ...fields) {
  return Object.fromEntries(fields.map((field) => [field, result[field]]));
}

export const COUNTS = ["successCount", "failureCount", "totalCount"];
