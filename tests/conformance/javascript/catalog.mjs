/**
 * Writes the SAM template that the suite and the daemon read: each export of these modules
 * that `meets` made is a function.
 *
 *   node catalog.mjs FILE
 */
import { writeFileSync } from "node:fs";

import { logicalId } from "./meets.mjs";

const GROUPS = [
  "steps",
  "waits",
  "children",
  "callbacks",
  "invokes",
  "conditions",
  "callbackWaits",
  "parallels",
  "maps",
  "plugins",
];

/** What this SDK can't say. */
const NOT_IMPLEMENTED = {
  "10-19": "what a plugin is told of an invocation's end is not whether it was the first",
  "10-21": "an attempt that is to be retried has no time of its end",
  "10-23": "a plugin is not told that a context runs again for its children",
};

const resources = {};
for (const group of GROUPS) {
  const module = await import(`./${group}.mjs`);
  for (const [name, { requirements, properties }] of Object.entries(module)) {
    if (requirements) {
      resources[logicalId(name)] = {
        Type: "AWS::Serverless::Function",
        TestingMetadata: { TestDescription: requirements },
        Properties: { Handler: `${group}.${name}`, ...properties },
      };
    }
  }
}
resources.Echo.TestingMetadata.NotImplemented = Object.entries(NOT_IMPLEMENTED).map(
  ([id, reason]) => ({ id, reason }),
);

const template = {
  AWSTemplateFormatVersion: "2010-09-09",
  Transform: "AWS::Serverless-2016-10-31",
  Globals: {
    Function: {
      Runtime: "nodejs22.x",
      CodeUri: import.meta.dirname,
      Timeout: 60,
      DurableConfig: { ExecutionTimeout: 300, RetentionPeriodInDays: 1 },
      LoggingConfig: { LogFormat: "JSON" },
    },
  },
  Resources: {
    ...resources,
    AttemptsTable: {
      Type: "AWS::DynamoDB::Table",
      Properties: {
        AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
        KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
        BillingMode: "PAY_PER_REQUEST",
      },
    },
  },
};
writeFileSync(process.argv[2], JSON.stringify(template, null, 1));
