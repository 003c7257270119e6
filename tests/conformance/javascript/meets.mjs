import { withDurableExecution } from "@aws/durable-execution-sdk-js";

/**
 * A durable function that meets `requirements`; one that meets none is there for others to
 * invoke. `plugins` go to the SDK, other properties to the function's in the template.
 */
export function meets(requirements, handler, { plugins, ...properties } = {}) {
  return Object.assign(withDurableExecution(handler, { plugins }), { requirements, properties });
}

/** CloudFormation's name of the function that a module exports as `name`. */
export function logicalId(name) {
  return name[0].toUpperCase() + name.slice(1);
}
