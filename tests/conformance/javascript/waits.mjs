/** Requirements 2-1 to 2-5: waits. */
import { meets } from "./meets.mjs";

export const waitTwoSeconds = meets(["2-1"], (event, context) => context.wait({ seconds: 2 }));

export const waitWithName = meets(["2-2"], (event, context) =>
  context.wait("custom_wait_name", { seconds: 2 }),
);

export const waitTwice = meets(["2-3"], async (event, context) => {
  await context.wait("wait-1", { seconds: 2 });
  await context.wait("wait-2", { seconds: 2 });
  return { completedWaits: 2 };
});

export const waitAMinute = meets(["2-4"], (event, context) => context.wait({ minutes: 1 }));

export const waitAnHour = meets(["2-5"], (event, context) => context.wait({ hours: 1 }));
