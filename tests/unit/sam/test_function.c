/* Resources to functions: what each property becomes, what Globals add, and which lines are
 * said about it. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/sam/project.h"

static void test_defaults_are_lambdas(void **state)
{
    struct project *project = *state;
    const struct dd_hosted *hosted = project_function(project, "");
    char directory[128];

    assert_non_null(hosted);
    snprintf(directory, sizeof directory, "%s/src", project->directory);
    assert_string_equal(hosted->name, "F");
    assert_string_equal(hosted->runtime, "python3.13");
    assert_string_equal(hosted->handler, "app.handler");
    assert_string_equal(hosted->directory, directory);
    assert_null(hosted->description);
    assert_null(hosted->aliases);
    assert_null(hosted->layers);
    assert_int_equal(hosted->environment_len, 0);
    assert_int_equal(hosted->timeout_s, 3);
    assert_int_equal(hosted->memory_mb, 128);
    assert_int_equal(hosted->processes, 10);
    assert_false(hosted->durable || hosted->tenants || hosted->json);
    assert_int_equal(project->sam.faults.len, 0);
    assert_int_equal(project->sam.notes.len, 0);
    assert_null(project->sam.ignored);
    assert_non_null(project->sam.templates[0]);
    assert_null(project->sam.templates[1]);
}

static void test_every_property(void **state)
{
    const struct dd_hosted *hosted =
        project_function(*state, "      FunctionName: order-1\n"
                                 "      Description: what it does\n"
                                 "      Timeout: '60'\n"
                                 "      MemorySize: 512.0\n"
                                 "      ReservedConcurrentExecutions: 4\n"
                                 "      AutoPublishAlias: live\n"
                                 "      TenancyConfig: {TenantIsolationMode: PER_TENANT}\n"
                                 "      LoggingConfig: {LogFormat: JSON,\n"
                                 "                      ApplicationLogLevel: DEBUG}\n"
                                 "      DurableConfig: {ExecutionTimeout: 86400,\n"
                                 "                      RetentionPeriodInDays: 7}\n"
                                 "      Environment: {Variables: {A: 1, B: true, A: 2}}\n");

    assert_string_equal(hosted->name, "order-1");
    assert_string_equal(hosted->description, "what it does");
    assert_int_equal(hosted->timeout_s, 60);
    assert_int_equal(hosted->memory_mb, 512);
    assert_int_equal(hosted->processes, 4);
    assert_string_equal(hosted->aliases[0], "live");
    assert_null(hosted->aliases[1]);
    assert_true(hosted->tenants && hosted->json && hosted->durable);
    assert_int_equal(hosted->execution_timeout_s, 86400);
    assert_int_equal(hosted->retention_days, 7);
    assert_string_equal(project_variable(hosted, "A"), "2");
    assert_string_equal(project_variable(hosted, "B"), "true");
    assert_string_equal(project_variable(hosted, "AWS_LAMBDA_LOG_LEVEL"), "DEBUG");
    assert_int_equal(hosted->environment_len, 3);
}

static void test_durable_defaults(void **state)
{
    static const struct {
        const char *properties;
        int timeout_s, execution_timeout_s;
    } cases[] = {
        {"      DurableConfig: {ExecutionTimeout: 60}\n", 60, 60},
        {"      DurableConfig: {ExecutionTimeout: 3600}\n", 900, 3600},
        {"      DurableConfig: {ExecutionTimeout: 31622400}\n", 900, 31622400},
        {"      DurableConfig: {ExecutionTimeout: 60}\n      Timeout: 5\n", 5, 60},
    };

    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        const struct dd_hosted *hosted = project_function(*state, cases[i].properties);

        assert_true(hosted->durable);
        assert_int_equal(hosted->timeout_s, cases[i].timeout_s);
        assert_int_equal(hosted->execution_timeout_s, cases[i].execution_timeout_s);
        assert_int_equal(hosted->retention_days, 14);
    }
    assert_false(project_function(*state, "      DurableConfig: !Ref AWS::NoValue\n")->durable);
}

static void test_wrong_properties_are_faults(void **state)
{
    static const struct {
        const char *properties, *fault;
    } cases[] = {
        {"      Timeout: 0\n", "F: Timeout is not a whole number from 1 to 900; correct it in"},
        {"      Timeout: 901\n", "template.yaml:8"},
        {"      Timeout: soon\n", "Timeout is not a whole number"},
        {"      Timeout: 3.5\n", "Timeout is not a whole number"},
        {"      Timeout: -3\n", "Timeout is not a whole number"},
        {"      Timeout: 99999999999999999999\n", "Timeout is not a whole number"},
        {"      Timeout: {a: b}\n", "Timeout is not a whole number"},
        {"      MemorySize: 64\n", "MemorySize is not a whole number from 128"},
        {"      ReservedConcurrentExecutions: 0\n", "ReservedConcurrentExecutions is not"},
        {"      DurableConfig: {}\n", "DurableConfig has no ExecutionTimeout"},
        {"      DurableConfig: yes\n", "DurableConfig is not a map"},
        {"      DurableConfig: {ExecutionTimeout: 0}\n",
         "DurableConfig.ExecutionTimeout is not"},
        {"      DurableConfig: {ExecutionTimeout: 1, RetentionPeriodInDays: 91}\n",
         "DurableConfig.RetentionPeriodInDays is not a whole number from 1 to 90"},
        {"      Description: [a]\n", "Description is not a text"},
        {"      Environment: {Variables: {A: [b]}}\n", "Environment.Variables.A is not a text"},
        {"      Environment: {Variables: {a-b: c}}\n",
         "Environment.Variables.a-b is not named"},
        {"      Environment: {Variables: [a]}\n", "Environment.Variables is not a map"},
        {"      Environment: a\n", "Environment is not a map"},
        {"      Layers: a\n", "Layers is not a list"},
        {"      Layers: [[a]]\n", "Layers is not a list of texts"},
        {"      AutoPublishAlias: [a]\n", "AutoPublishAlias is not a text"},
        {"      FunctionName: a b\n", "a b: its name is not 1 to 64 letters"},
        {"      LoggingConfig: {LogFormat: []}\n", "LoggingConfig.LogFormat is not a text"},
    };
    struct project *project = *state;

    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        if (project_function(project, cases[i].properties))
            fail_msg("%s: no fault", cases[i].properties);
        assert_int_equal(project->sam.faults.len, 1);
        if (!project_says(&project->sam.faults, cases[i].fault))
            fail_msg("%s: another fault", cases[i].properties);
    }
}

static void test_code_that_is_not_here(void **state)
{
    static const struct {
        const char *resource, *fault;
    } cases[] = {
        {"{Type: 'AWS::Serverless::Function', Properties: {CodeUri: {Bucket: b, Key: k}}}",
         "F: CodeUri names no directory of this machine"},
        {"{Type: 'AWS::Serverless::Function', Properties: {CodeUri: 's3://b/k'}}",
         "F: CodeUri s3://b/k is not on this machine; name a directory"},
        {"{Type: 'AWS::Serverless::Function', Properties: {CodeUri: none}}",
         "F: CodeUri none: there is no "},
        {"{Type: 'AWS::Serverless::Function', Properties: {CodeUri: src/app.py}}",
         "F: CodeUri src/app.py is a file; unpack it"},
        {"{Type: 'AWS::Serverless::Function'}", "F: CodeUri names no directory"},
        {"{Type: 'AWS::Serverless::Function', Properties: {InlineCode: x}}",
         "F: InlineCode is not hosted; put the code into a file and name its directory in "
         "CodeUri"},
        {"{Type: 'AWS::Serverless::Function', Properties: {PackageType: Image}}",
         "F: PackageType Image is not hosted; run what the image runs with --function F -- "
         "COMMAND"},
        {"{Type: 'AWS::Lambda::Function', Properties: {Code: {ImageUri: x}}}",
         "F: PackageType Image is not hosted"},
        {"{Type: 'AWS::Lambda::Function', Properties: {Code: {ZipFile: x}}}",
         "F: Code.ZipFile is not hosted; put the code into a file and name its directory in "
         "Code"},
        {"{Type: 'AWS::Lambda::Function', Properties: {Code: {S3Bucket: b, S3Key: k.zip}}}",
         "F: Code names no directory of this machine"},
        {"{Type: 'AWS::Lambda::Function', Metadata: {'aws:asset:path': asset.1},\n"
         " Properties: {Code: {S3Bucket: b, S3Key: 1.zip}}}",
         "F: Code asset.1: there is no "},
    };
    struct project *project = *state;

    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        char text[1024];
        const struct dd_sam *sam;

        snprintf(text, sizeof text, "Resources:\n  F: %s\n", cases[i].resource);
        sam = project_read(project, text);
        assert_int_equal(project->rc, 0);
        assert_int_equal(sam->functions_len, 0);
        assert_int_equal(sam->faults.len, 1);
        assert_string_equal(sam->faults.items[0].function, "F");
        assert_true(project_says(&sam->faults, cases[i].fault));
    }
}

static void test_the_others_go_on(void **state)
{
    struct dd_sam *sam = project_read(
        *state, "Resources:\n"
                "  A: {Type: 'AWS::Serverless::Function', Properties: {CodeUri: none}}\n"
                "  B: {Type: 'AWS::Serverless::Function', Properties: {CodeUri: src,\n"
                "      Handler: app.handler, Runtime: python3.13, FunctionName: same}}\n"
                "  C: {Type: 'AWS::Lambda::Function', Properties: {Code: src,\n"
                "      Handler: app.handler, Runtime: python3.13, FunctionName: same}}\n"
                "  D: {Type: 'AWS::Lambda::Function', Properties: {Code: src,\n"
                "      Handler: app.handler, Runtime: python3.13}}\n"
                "  E: {Type: 'AWS::Lambda::Function', Properties: {Code: src,\n"
                "      Handler: app.handler}}\n"
                "  T: {Type: 'AWS::DynamoDB::Table'}\n");

    assert_int_equal(sam->functions_len, 2);
    assert_non_null(project_find(sam, "same"));
    assert_non_null(project_find(sam, "D"));
    assert_int_equal(sam->faults.len, 3);
    assert_true(project_says(&sam->faults, "A: CodeUri none"));
    assert_true(project_says(&sam->faults, "same: another function has this name; give C"));
    assert_true(project_says(&sam->faults, "E: it has no Runtime"));
}

static void test_conditions_of_resources(void **state)
{
    struct dd_sam *sam = project_read(
        *state,
        "Conditions: {Never: !Equals [a, b], Always: !Not [!Condition Never]}\n"
        "Resources:\n"
        "  A: {Condition: Never, Type: 'AWS::Serverless::Function', Properties: {}}\n"
        "  B: {Condition: Always, Type: 'AWS::Lambda::Function', Properties: {Code: src,\n"
        "      Handler: app.handler, Runtime: python3.13}}\n"
        "  C: {Condition: Never, Type: 'AWS::Lambda::Alias', Properties: {Name: never,\n"
        "      FunctionName: B}}\n"
        "  D: {Condition: Always, Type: 'AWS::Lambda::Alias', Properties: {Name: live,\n"
        "      FunctionName: !Ref B}}\n"
        "  E: {Type: 'AWS::Lambda::Alias', Properties: {Name: arn,\n"
        "      FunctionName: !GetAtt B.Arn}}\n"
        "  F: {Type: 'AWS::Lambda::Alias', Properties: {Name: arn, FunctionName: B}}\n"
        "  G: {Type: 'AWS::Lambda::Alias', Properties: {Name: x, FunctionName: BB}}\n"
        "  H: {Type: 'AWS::Lambda::Alias', Properties: {Name: a b, FunctionName: B}}\n");

    assert_int_equal(sam->functions_len, 1);
    assert_int_equal(sam->faults.len, 0);
    assert_string_equal(sam->functions[0].aliases[0], "live");
    assert_string_equal(sam->functions[0].aliases[1], "arn");
    assert_null(sam->functions[0].aliases[2]);
    assert_int_equal(sam->notes.len, 1);
    assert_true(project_says(&sam->notes, "B: alias a b is left out"));
}

static void test_globals_merge(void **state)
{
    struct project *project = *state;
    struct dd_sam *sam;
    const struct dd_hosted *a, *b;

    project_write(project, "one/python/x.py", "");
    project_write(project, "two/python/x.py", "");
    sam = project_read(
        project,
        "Globals:\n"
        "  Function:\n"
        "    CodeUri: src\n"
        "    Runtime: python3.13\n"
        "    Timeout: 20\n"
        "    Layers: [!Ref One]\n"
        "    Architectures: [arm64]\n"
        "    Tracing: Active\n"
        "    VpcConfig: {SubnetIds: [a]}\n"
        "    DurableConfig: {ExecutionTimeout: 100, RetentionPeriodInDays: 2}\n"
        "    Environment: {Variables: {A: global, B: global, C: !Ref AWS::Region, E: !Ref E}}\n"
        "Resources:\n"
        "  One: {Type: 'AWS::Serverless::LayerVersion', Properties: {ContentUri: one}}\n"
        "  Two: {Type: 'AWS::Serverless::LayerVersion', Properties: {ContentUri: two}}\n"
        "  A:\n"
        "    Type: AWS::Serverless::Function\n"
        "    Properties:\n"
        "      Handler: app.handler\n"
        "      Layers: [!Ref Two]\n"
        "      DurableConfig: {ExecutionTimeout: 50}\n"
        "      Environment: {Variables: {B: own, C: !Sub own, D: own, E: !Sub e}}\n"
        "  B:\n"
        "    Type: AWS::Serverless::Function\n"
        "    Properties: {Handler: app.handler, Timeout: 21, Tracing: PassThrough,\n"
        "                 Environment: !Ref AWS::NoValue}\n"
        "  P:\n"
        "    Type: AWS::Lambda::Function\n"
        "    Properties: {Handler: app.handler, Code: src, Runtime: python3.13}\n");
    a = project_find(sam, "A");
    b = project_find(sam, "B");
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(a->timeout_s, 20);
    assert_int_equal(b->timeout_s, 21);
    assert_int_equal(a->execution_timeout_s, 50);
    assert_int_equal(a->retention_days, 2);
    assert_int_equal(b->execution_timeout_s, 100);
    assert_string_equal(project_variable(a, "A"), "global");
    assert_string_equal(project_variable(a, "B"), "own");
    assert_string_equal(project_variable(a, "C"), "own");
    assert_string_equal(project_variable(a, "D"), "own");
    assert_string_equal(project_variable(a, "E"), "e");
    assert_null(project_variable(b, "A"));
    assert_non_null(strstr(a->layers[0], "/one"));
    assert_non_null(strstr(a->layers[1], "/two"));
    assert_null(a->layers[2]);
    assert_null(b->layers[1]);
    assert_int_equal(project_find(sam, "P")->timeout_s, 3);
    assert_true(project_ignores(sam, "VpcConfig of A, B: it has the network of this machine"));
    assert_true(project_ignores(sam, "Tracing of A, B: nothing"));
    assert_null(sam->ignored[2]);
}

/* A function is one value, whatever map it comes to. */
static void test_functions_do_not_merge(void **state)
{
    struct dd_sam *sam = project_read(
        *state,
        "Globals: {Function: {CodeUri: src, Runtime: python3.13, Handler: app.handler,\n"
        "  Environment: {Variables: !Ref G}}}\n"
        "Parameters: {G: {Default: g}}\n"
        "Resources:\n"
        "  A: {Type: 'AWS::Serverless::Function', Properties: {Environment: {Variables:\n"
        "      {A: own}}}}\n"
        "  B: {Type: 'AWS::Serverless::Function', Properties: {Environment: !If [No, {},\n"
        "      {Variables: {B: own}}]}}\n");

    assert_int_equal(sam->functions_len, 2);
    assert_int_equal(sam->functions[0].environment_len, 1);
    assert_string_equal(project_variable(&sam->functions[0], "A"), "own");
    assert_int_equal(sam->functions[1].environment_len, 1);
    assert_string_equal(project_variable(&sam->functions[1], "B"), "own");
}

static void test_what_is_not_emulated(void **state)
{
    struct dd_sam *sam = project_read(
        *state,
        "Conditions: {No: !Equals [a, b]}\n"
        "Resources:\n"
        "  A:\n"
        "    Type: AWS::Serverless::Function\n"
        "    Properties:\n"
        "      {CodeUri: src, Handler: app.handler, Runtime: python3.13, Role: x,\n"
        "       Policies: [a], Tags: {a: b}, KmsKeyArn: x, Events: {E: {Type: SQS}},\n"
        "       DeadLetterQueue: {Type: SQS}, FileSystemConfigs: [a], SnapStart: {a: b},\n"
        "       EphemeralStorage: {Size: 1024}, ProvisionedConcurrencyConfig: {a: b},\n"
        "       FunctionUrlConfig: {AuthType: NONE}, Tracing: !If [No, Active, !Ref "
        "AWS::NoValue],\n"
        "       VpcConfig: !ImportValue x, Timeot: 3,\n"
        "       Events: {}}\n"
        "  B:\n"
        "    Type: AWS::Lambda::Function\n"
        "    Properties: {Code: src, Handler: app.handler, Runtime: python3.13, Role: x,\n"
        "       DeadLetterConfig: {TargetArn: x}, TracingConfig: {Mode: Active},\n"
        "       EphemeralStorage: {Size: 1024}}\n"
        "  M: {Type: 'AWS::Lambda::EventSourceMapping'}\n"
        "  S: {Type: 'AWS::CloudFormation::Stack'}\n"
        "  'Fn::ForEach::X': [a, [b], {}]\n");
    size_t len = 0;

    while (sam->ignored[len])
        len++;
    assert_int_equal(len, 14);
    assert_true(project_ignores(sam, "Events of A: nothing invokes it"));
    assert_true(project_ignores(sam, "DeadLetterQueue of A: "));
    assert_true(project_ignores(sam, "FileSystemConfigs of A: "));
    assert_true(project_ignores(sam, "SnapStart of A: "));
    assert_true(project_ignores(sam, "EphemeralStorage of A, B: "));
    assert_true(project_ignores(sam, "ProvisionedConcurrencyConfig of A: "));
    assert_true(project_ignores(sam, "FunctionUrlConfig of A: "));
    assert_true(project_ignores(sam, "VpcConfig of A: "));
    assert_true(project_ignores(sam, "Timeot of A: no property of a function"));
    assert_true(project_ignores(sam, "DeadLetterConfig of B: "));
    assert_true(project_ignores(sam, "TracingConfig of B: "));
    assert_true(project_ignores(sam, "AWS::Lambda::EventSourceMapping of M: "));
    assert_true(project_ignores(sam, "AWS::CloudFormation::Stack of S: "));
    assert_true(project_ignores(sam, "Resources of Fn::ForEach::X: "));
    assert_int_equal(sam->notes.len, 0);
}

static void test_variables_that_are_lambdas(void **state)
{
    struct project *project = *state;
    const struct dd_hosted *hosted = project_function(
        project, "      Environment: {Variables: {AWS_REGION: x, A: y,\n"
                 "                                AWS_LAMBDA_EXEC_WRAPPER: /opt/w}}\n");

    assert_int_equal(hosted->environment_len, 2);
    assert_string_equal(project_variable(hosted, "A"), "y");
    assert_true(project_says(&project->sam.notes,
                             "F: Environment.Variables.AWS_REGION is Lambda's own"));
    assert_true(project_says(&project->sam.notes, "AWS_LAMBDA_EXEC_WRAPPER is not run"));
}

static void test_unknown_values_leave_the_default(void **state)
{
    struct project *project = *state;
    const struct dd_hosted *hosted = project_function(
        project, "      Timeout: !ImportValue x\n"
                 "      Description: !ImportValue x\n"
                 "      FunctionName: !ImportValue x\n"
                 "      Layers: [!ImportValue x]\n"
                 "      Environment: {Variables: {A: !ImportValue x, B: !Ref AWS::NoValue}}\n");

    assert_string_equal(hosted->name, "F");
    assert_int_equal(hosted->timeout_s, 3);
    assert_null(hosted->description);
    assert_null(hosted->layers);
    assert_int_equal(hosted->environment_len, 1);
    assert_string_equal(project_variable(hosted, "A"), "");
    assert_true(project_says(&project->sam.notes, "F: Timeout is empty: Fn::ImportValue"));
    assert_true(project_says(&project->sam.notes, "F: FunctionName is empty"));
    assert_int_equal(project->sam.notes.len, 5);
}

static void test_layers_that_are_not_here(void **state)
{
    struct project *project = *state;
    struct dd_sam *sam = project_read(
        project,
        "Resources:\n"
        "  Gone: {Type: 'AWS::Lambda::LayerVersion', Properties: {Content: gone}}\n"
        "  Far: {Type: 'AWS::Lambda::LayerVersion', Properties: {Content: {S3Bucket: "
        "b}}}\n"
        "  Raw: {Type: 'AWS::Serverless::LayerVersion', Properties: {ContentUri: src}}\n"
        "  F: {Type: 'AWS::Serverless::Function', Properties: {CodeUri: src,\n"
        "      Handler: app.handler, Runtime: python3.13, Layers: [!Ref Gone, !Ref Raw,\n"
        "      !Ref Far, 'arn:aws:lambda:us-east-1:1:layer:x:3']}}\n");

    assert_int_equal(sam->functions_len, 1);
    assert_null(sam->functions[0].layers[1]);
    assert_int_equal(sam->notes.len, 4);
    assert_true(project_says(&sam->notes, "F: layer Raw: "));
    assert_true(project_says(&sam->notes, "has no python, nodejs, bin or lib"));
    assert_true(project_says(&sam->notes, "F: layer Gone: Content gone: there is no "));
    assert_true(project_says(&sam->notes, "F: layer Far: Content names no directory"));
    assert_true(project_says(&sam->notes,
                             "F: layer arn:aws:lambda:us-east-1:1:layer:x:3 is not on this"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, project_set_up, project_tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_defaults_are_lambdas),       TEST(test_every_property),
        TEST(test_durable_defaults),           TEST(test_wrong_properties_are_faults),
        TEST(test_code_that_is_not_here),      TEST(test_the_others_go_on),
        TEST(test_conditions_of_resources),    TEST(test_globals_merge),
        TEST(test_functions_do_not_merge),     TEST(test_what_is_not_emulated),
        TEST(test_variables_that_are_lambdas), TEST(test_unknown_values_leave_the_default),
        TEST(test_layers_that_are_not_here),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
