/**
 * Requirements 10-1 to 10-23: instrumentation plugins.
 *
 * One plugin meets them: it writes a line for each hook, with every field of the hook's info
 * under all the names that the requirements give it. They look at the fields they are about.
 */
import { always, everySecond, fail, never, noRetry, onAttempt } from "./common.mjs";
import { meets } from "./meets.mjs";

const text = (moment) => moment?.toISOString();

const ofInvocation = (info) => ({
  first: info.isFirstInvocation,
  isFirstInvocation: info.isFirstInvocation,
  requestId: info.requestId,
  operationsCount: Object.keys(info.operations).length,
  executionStartTimestamp: text(info.executionStartTimestamp),
});

const ofOperation = (info) => ({
  op: info.id,
  id: info.id,
  name: info.name,
  type: info.type.toUpperCase(),
  subType: info.subType,
  parent: info.parentId ?? "NONE",
  parentId: info.parentId,
  status: info.status,
  pending: info.endTimestamp === undefined,
  startTimestamp: text(info.startTimestamp),
  endTimestamp: text(info.endTimestamp),
  error: info.error?.message,
  attempt: info.attempt,
  n: info.attempt,
  replay: info.isReplay,
  isReplay: info.isReplay,
});

/** Writes what it is told, of operations of one type or of all. */
class Recorder {
  constructor({ name = "CONFPLUGIN", only, write = (line) => line } = {}) {
    this.name = name;
    this.only = only;
    this.write = write;
  }

  /** One line; JSON leaves out a field that is undefined. */
  record(hook, fields) {
    const line = { plugin: this.name, hook, durableExecutionArn: this.arn, ...fields };
    process.stdout.write(`${JSON.stringify(this.write(line))}\n`);
  }

  ofInterest(info) {
    return this.only === undefined || info.type.toUpperCase() === this.only;
  }

  async onInvocationStart(info) {
    this.arn = info.executionArn;
    this.first = info.isFirstInvocation;
    const updated = Object.values(info.updatedOperations);
    this.record("invocation-start", {
      updatedOperationsCount: updated.length,
      ...ofInvocation(info),
    });
    for (const operation of updated.filter((each) => this.ofInterest(each))) {
      this.record("updated-on-invoke", { first: this.first, ...ofOperation(operation) });
    }
  }

  async onInvocationEnd(info) {
    this.record("invocation-end", {
      ...ofInvocation(info),
      first: this.first,
      status: info.status,
      terminal: ["SUCCEEDED", "FAILED"].includes(info.status),
      executionError: info.executionError?.message,
    });
  }

  async onOperationStart(info) {
    if (this.ofInterest(info)) {
      this.record("operation-start", ofOperation(info));
    }
  }

  async onOperationEnd(info) {
    if (this.ofInterest(info)) {
      this.record("operation-end", { ...ofOperation(info), result: info.result });
    }
  }

  async onOperationChange(info) {
    const updated = Object.values(info.updatedOperations);
    for (const operation of updated.filter((each) => this.ofInterest(each))) {
      this.record("operation-change", {
        ...ofOperation(operation),
        executionArn: info.executionArn,
        updatedOperationsCount: updated.length,
        operationsCount: Object.keys(info.operations).length,
        in_full_map: operation.id in info.operations,
        inFullMap: operation.id in info.operations,
      });
    }
  }

  async onOperationAttemptStart(info) {
    if (this.ofInterest(info)) {
      this.record("attempt-start", ofOperation(info));
    }
  }

  async onOperationAttemptEnd(info) {
    if (this.ofInterest(info)) {
      this.record("attempt-end", { ...ofOperation(info), outcome: info.outcome });
    }
  }

  async wrapChildContextFn(info, body) {
    if (!this.ofInterest(info)) {
      return body();
    }
    const end = (outcome) => this.record("fn-end", { ...ofOperation(info), outcome });
    this.record("fn-start", ofOperation(info));
    try {
      const result = await body();
      end("SUCCEEDED");
      return result;
    } catch (error) {
      end("FAILED");
      throw error;
    }
  }
}

/** Raises from every hook, having written its line. */
class FaultyRecorder extends Recorder {
  record(hook, fields) {
    super.record(hook, fields);
    fail(`${hook} is broken`);
  }
}

/** Says NONE where an operation ends with no result or error. */
const withNone = (line) => ({ ...line, result: line.result ?? "NONE", error: line.error ?? "NONE" });

const STEPS = { plugins: [new Recorder({ only: "STEP" })] };
const WAITS = { plugins: [new Recorder({ only: "WAIT" })] };
const CONTEXTS = { plugins: [new Recorder({ only: "CONTEXT" })] };
const FAULTY = new FaultyRecorder({ name: "CONFPLUGIN-FAULTY", only: "STEP" });

/** The step that most of these handlers have. */
const greet = (context, name) =>
  context.step(async (step) => {
    step.logger.info(`Greeting step running for: ${name}`);
    return `Hello, ${name}!`;
  });

export const pluginOfStep = meets(
  ["10-1", "10-2", "10-8"],
  (event, context) => greet(context, event),
  STEPS,
);

export const pluginOfAttempts = meets(
  ["10-3"],
  (event, context) => context.step(onAttempt(2, "Operation succeeded"), everySecond(2)),
  STEPS,
);

export const pluginThatThrows = meets(["10-4"], (event, context) => greet(context, event), {
  plugins: [FAULTY],
});

export const pluginAndPlugin = meets(["10-5"], (event, context) => greet(context, event), {
  plugins: [new Recorder({ name: "CONFPLUGIN-A" }), new Recorder({ name: "CONFPLUGIN-B" })],
});

export const pluginOfWait = meets(
  ["10-6", "10-9", "10-10", "10-16"],
  (event, context) => context.wait({ seconds: 2 }),
  WAITS,
);

export const pluginOfFailure = meets(
  ["10-7"],
  (event, context) => context.step(never, noRetry),
  STEPS,
);

export const pluginOfChild = meets(
  ["10-11"],
  (event, context) => context.runInChildContext((child) => greet(child, event)),
  { plugins: [new Recorder()] },
);

export const pluginOfBranches = meets(
  ["10-12"],
  async (event, context) => {
    const branches = [always("task-1"), always("task-2")];
    const result = await context.parallel("parallel", branches, { maxConcurrency: 1 });
    return result.getResults();
  },
  CONTEXTS,
);

export const pluginOfReplay = meets(
  ["10-13"],
  async (event, context) => {
    await context.step(always("task-a"));
    return context.step(onAttempt(2, "Operation succeeded"), everySecond(2));
  },
  STEPS,
);

export const pluginOfOutcomes = meets(
  ["10-14"],
  async (event, context) => {
    await context.step(always("task-a"));
    await context.step(async () => fail("boom"), noRetry);
  },
  { plugins: [new Recorder({ only: "STEP", write: withNone })] },
);

export const pluginOfExhaustion = meets(
  ["10-15"],
  (event, context) => context.step(never, everySecond(2)),
  STEPS,
);

export const pluginBesideFaulty = meets(["10-17"], (event, context) => greet(context, event), {
  plugins: [FAULTY, new Recorder({ name: "CONFPLUGIN-HEALTHY", only: "STEP" })],
});

export const pluginOfPendingWait = meets(
  ["10-18"],
  async (event, context) => {
    const branch = (name, seconds) => async (child) => {
      await child.wait(name, { seconds });
      return `${name}-done`;
    };
    const result = await context.parallel("waits", [branch("short", 2), branch("long", 8)]);
    return result.getResults();
  },
  WAITS,
);

export const pluginOfNamedStep = meets(
  ["10-20", "10-22"],
  (event, context) => context.step("greet", always("task-a")),
  STEPS,
);
