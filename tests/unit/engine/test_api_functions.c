/* Functions as the HTTP API shows them, hosted ones and those of workers, and what an
 * invocation of each must and must not say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/engine/http_world.h"

#define FUNCTIONS "/2015-03-31/functions"
#define ARN "arn:aws:lambda:us-east-1:000000000000:function:"
#define IPV "InvalidParameterValueException"
#define NOT_FOUND "ResourceNotFoundException"

static char *order_aliases[] = {"live", "canary", "dev", NULL};
static struct dd_variable order_environment[] = {
    {"TABLE", "orders"},
    {"AWS_REGION", "us-east-1"},
    {"AWS_LAMBDA_FUNCTION_NAME", "order"},
    {"AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1"},
    {"PYTHONPATH", "/code"}};

/* `order` is durable and hosted, `tenants` plain, hosted and with tenants, `worker` durable
 * and a worker's. */
static struct dd_hosted hosted[] = {
    {
        .name = "order",
        .runtime = "python3.13",
        .handler = "app.handler",
        .directory = "/code/order",
        .aliases = order_aliases,
        .description = "Takes orders.",
        .environment = order_environment,
        .environment_len = DD_COUNT(order_environment),
        .timeout_s = 30,
        .memory_mb = 256,
        .durable = true,
        .json = true,
    },
    {
        .name = "tenants",
        .directory = "/code/tenants",
        .timeout_s = 3,
        .memory_mb = 128,
        .tenants = true,
    },
};

static int setup(void **state)
{
    static struct http_world world;

    http_world_init(&world);
    world.config.hosted = hosted;
    world.config.hosted_len = 2;
    http_world_open(&world);
    http_world_register(&world, "worker", false);
    http_world_register(&world, "order", false);
    http_world_register(&world, "tenants", true);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    http_world_close(*state);
    return 0;
}

static void expect(const struct http_world *world, const char *path, const char *text)
{
    const char *found = http_world_text(world, path);

    if (strcmp(found, text) != 0)
        fail_msg("%s is '%s', not '%s'", path, found, text);
}

static void expect_int(const struct http_world *world, const char *path, long long number)
{
    assert_true(json_is_integer(http_world_member(world, path)));
    assert_int_equal(json_integer_value(http_world_member(world, path)), number);
}

static void test_a_hosted_function(void **state)
{
    struct http_world *world = *state;

    http_world_ask(world, "GET", FUNCTIONS "/order/configuration");
    assert_int_equal(world->status, 200);
    expect(world, "FunctionName", "order");
    expect(world, "FunctionArn", ARN "order");
    expect(world, "Runtime", "python3.13");
    expect(world, "Role", "arn:aws:iam::000000000000:role/durabled");
    expect(world, "Handler", "app.handler");
    expect(world, "Description", "Takes orders.");
    expect_int(world, "Timeout", 30);
    expect_int(world, "MemorySize", 256);
    expect_int(world, "CodeSize", 0);
    expect(world, "LastModified", "2026-01-02T03:04:05.000+0000");
    assert_int_equal(strlen(http_world_text(world, "CodeSha256")), 44);
    expect(world, "Version", "$LATEST");
    expect(world, "State", "Active");
    expect(world, "LastUpdateStatus", "Successful");
    expect(world, "PackageType", "Zip");
    assert_int_equal(json_array_size(http_world_member(world, "Architectures")), 1);
    expect(world, "LoggingConfig.LogFormat", "JSON");
    expect(world, "LoggingConfig.LogGroup", "/aws/lambda/order");
    expect(world, "LoggingConfig.ApplicationLogLevel", "INFO");
    /* What its author did not set is not shown. */
    assert_int_equal(json_object_size(http_world_member(world, "Environment.Variables")), 1);
    expect(world, "Environment.Variables.TABLE", "orders");
    expect_int(world, "DurableConfig.ExecutionTimeout", 3600);
    expect_int(world, "DurableConfig.RetentionPeriodInDays", 7);
    assert_null(http_world_member(world, "TenancyConfig"));

    http_world_ask(world, "GET", FUNCTIONS "/order");
    expect(world, "Configuration.Handler", "app.handler");
    expect(world, "Configuration.State", "Active");
    expect(world, "Code.Location", "file:///code/order");
}

static void test_a_plain_function(void **state)
{
    struct http_world *world = *state;

    http_world_ask(world, "GET", FUNCTIONS "/tenants/configuration");
    expect(world, "Runtime", "provided.al2023");
    expect(world, "Handler", "bootstrap");
    expect(world, "Description", "");
    expect(world, "TenancyConfig.TenantIsolationMode", "PER_TENANT");
    expect(world, "LoggingConfig.LogFormat", "Text");
    assert_null(http_world_member(world, "LoggingConfig.ApplicationLogLevel"));
    assert_null(http_world_member(world, "Environment"));
    assert_null(http_world_member(world, "DurableConfig"));
}

static void test_a_function_of_a_worker(void **state)
{
    struct http_world *world = *state;

    http_world_ask(world, "GET", FUNCTIONS "/worker");
    assert_int_equal(world->status, 200);
    expect(world, "Configuration.FunctionArn", ARN "worker");
    expect(world, "Configuration.Runtime", "provided.al2023");
    expect_int(world, "Configuration.Timeout", 900);
    expect_int(world, "Configuration.DurableConfig.ExecutionTimeout", 3600);
    assert_null(http_world_member(world, "Code.Location"));
}

static void test_qualifiers(void **state)
{
    static const char *const targets[] = {"/order:$LATEST", "/order?Qualifier=%24LATEST",
                                          "/" ARN "order:$LATEST",
                                          "/order%3A%24LATEST?Qualifier=$LATEST"};
    struct http_world *world = *state;
    char target[256];

    for (size_t i = 0; i < DD_COUNT(targets); i++) {
        (void)snprintf(target, sizeof target, FUNCTIONS "%s", targets[i]);
        http_world_ask(world, "GET", target);
        expect(world, "Configuration.FunctionArn", ARN "order:$LATEST");
    }
    http_world_ask(world, "GET", FUNCTIONS "/order:live/configuration");
    expect(world, "FunctionArn", ARN "order:live");
    expect(world, "Version", "$LATEST");
    http_world_ask(world, "GET", FUNCTIONS "/order:1");
    http_world_refused(world, 404, NOT_FOUND, "Function not found: " ARN "order:1");
    http_world_ask(world, "GET", FUNCTIONS "/worker:live");
    http_world_refused(world, 404, NOT_FOUND, "Function not found: " ARN "worker:live");
    http_world_ask(world, "GET", FUNCTIONS "/nobody/configuration");
    http_world_refused(world, 404, NOT_FOUND, "Function not found: " ARN "nobody");
    http_world_ask(world, "GET", FUNCTIONS "/order:live?Qualifier=dev");
    http_world_refused(world, 400, IPV,
                       "The derived qualifier from the function name does not match the "
                       "specified qualifier.");
}

static void test_the_list(void **state)
{
    struct http_world *world = *state;
    char target[256];

    http_world_ask(world, "GET", FUNCTIONS "/");
    assert_int_equal(json_array_size(http_world_member(world, "Functions")), 3);
    assert_null(http_world_member(world, "NextMarker"));
    expect(world, "Functions.0.FunctionName", "order");
    expect(world, "Functions.2.FunctionName", "worker");
    expect(world, "Functions.0.FunctionArn", ARN "order");
    assert_null(http_world_member(world, "Functions.0.State"));
    http_world_ask(world, "GET", FUNCTIONS "?FunctionVersion=ALL");
    expect(world, "Functions.1.FunctionArn", ARN "tenants:$LATEST");

    http_world_ask(world, "GET", FUNCTIONS "?MaxItems=2");
    assert_int_equal(json_array_size(http_world_member(world, "Functions")), 2);
    (void)snprintf(target, sizeof target, FUNCTIONS "?Marker=%s",
                   http_world_text(world, "NextMarker"));
    http_world_ask(world, "GET", target);
    assert_int_equal(json_array_size(http_world_member(world, "Functions")), 1);
    expect(world, "Functions.0.FunctionName", "worker");
    assert_null(http_world_member(world, "NextMarker"));
}

/* A page ends at Lambda's fifty, however many are asked for. */
static void test_pages_of_the_list(void **state)
{
    struct http_world *world = *state;
    char name[16];

    for (int i = 0; i < 60; i++) {
        (void)snprintf(name, sizeof name, "f%02d", i);
        http_world_register(world, name, false);
    }
    http_world_ask(world, "GET", FUNCTIONS "?MaxItems=10000");
    assert_int_equal(json_array_size(http_world_member(world, "Functions")), 50);
    assert_non_null(http_world_member(world, "NextMarker"));
}

static void test_versions_and_aliases(void **state)
{
    struct http_world *world = *state;
    char target[256];

    http_world_ask(world, "GET", FUNCTIONS "/order/versions");
    assert_int_equal(json_array_size(http_world_member(world, "Versions")), 1);
    expect(world, "Versions.0.FunctionArn", ARN "order:$LATEST");
    expect(world, "Versions.0.Version", "$LATEST");

    http_world_ask(world, "GET", FUNCTIONS "/order/aliases?MaxItems=2");
    assert_int_equal(json_array_size(http_world_member(world, "Aliases")), 2);
    expect(world, "Aliases.0.Name", "canary");
    expect(world, "Aliases.1.Name", "dev");
    (void)snprintf(target, sizeof target, FUNCTIONS "/order/aliases?Marker=%s",
                   http_world_text(world, "NextMarker"));
    http_world_ask(world, "GET", target);
    assert_int_equal(json_array_size(http_world_member(world, "Aliases")), 1);
    expect(world, "Aliases.0.Name", "live");
    expect(world, "Aliases.0.AliasArn", ARN "order:live");
    expect(world, "Aliases.0.FunctionVersion", "$LATEST");
    assert_null(http_world_member(world, "NextMarker"));
    http_world_ask(world, "GET", FUNCTIONS "/order/aliases?FunctionVersion=%24LATEST");
    assert_int_equal(json_array_size(http_world_member(world, "Aliases")), 3);
    http_world_ask(world, "GET", FUNCTIONS "/order/aliases?FunctionVersion=3");
    assert_int_equal(json_array_size(http_world_member(world, "Aliases")), 0);
    http_world_ask(world, "GET", FUNCTIONS "/worker/aliases");
    assert_int_equal(json_array_size(http_world_member(world, "Aliases")), 0);

    http_world_ask(world, "GET", FUNCTIONS "/order/aliases/live");
    expect(world, "AliasArn", ARN "order:live");
    expect(world, "Name", "live");
    http_world_ask(world, "GET", FUNCTIONS "/order/aliases/none");
    http_world_refused(world, 404, NOT_FOUND, "Cannot find alias arn: " ARN "order:none");
    http_world_ask(world, "GET", FUNCTIONS "/worker/aliases/live");
    http_world_refused(world, 404, NOT_FOUND, "Cannot find alias arn: " ARN "worker:live");
}

static void test_what_lists_refuse(void **state)
{
    static const struct {
        const char *target, *type, *message;
    } cases[] = {
        {"?MaxItems=0&FunctionVersion=some", "ValidationException",
         "2 validation errors detected: Value 'some' at 'functionVersion' failed to satisfy "
         "constraint: Member must satisfy enum value set: [ALL]; Value '0' at 'maxItems' "
         "failed "
         "to satisfy constraint: Member must have value greater than or equal to 1"},
        {"?MaxItems=10001", "ValidationException",
         "1 validation error detected: Value '10001' at 'maxItems' failed to satisfy "
         "constraint: Member must have value less than or equal to 10000"},
        {"?MaxItems=many", "SerializationException", "'many' can not be converted to Integer"},
        {"?Marker=nonsense", IPV, "Invalid Marker"},
        {"?Marker=!", IPV, "Invalid Marker"},
        /* "aliases", NUL, "zzzz": of another list. */
        {"?Marker=YWxpYXNlcwB6enp6", IPV, "Invalid Marker"},
        {"/order/versions?Marker=YWxpYXNlcwB6enp6", IPV, "Invalid Marker"},
        {"/order/aliases/7", "ValidationException",
         "1 validation error detected: Value '7' at 'name' failed to satisfy constraint: "
         "Member "
         "must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"},
        {"/order/aliases?FunctionVersion=live", "ValidationException",
         "1 validation error detected: Value 'live' at 'functionVersion' failed to satisfy "
         "constraint: Member must satisfy regular expression pattern: "
         "(\\$LATEST(\\.PUBLISHED)?|[0-9]+)"},
    };
    struct http_world *world = *state;
    char target[256];

    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        (void)snprintf(target, sizeof target, FUNCTIONS "%s", cases[i].target);
        http_world_ask(world, "GET", target);
        http_world_refused(world, 400, cases[i].type, cases[i].message);
    }
    http_world_ask(world, "GET", FUNCTIONS "/nobody/versions");
    http_world_refused(world, 404, NOT_FOUND, "Function not found: " ARN "nobody");
}

/* Executions of an alias are those of its version. */
static void test_executions_by_qualifier(void **state)
{
    struct http_world *world = *state;

    http_world_ask(world, "GET",
                   "/2025-12-01/functions/order:live/durable-executions?Qualifier=live");
    assert_int_equal(world->status, 200);
    assert_int_equal(json_array_size(http_world_member(world, "DurableExecutions")), 0);
    http_world_ask(world, "GET",
                   "/2025-12-01/functions/order/durable-executions?Qualifier=old");
    http_world_refused(world, 404, NOT_FOUND, "Function not found: " ARN "order:old");
    http_world_ask(world, "GET",
                   "/2025-12-01/functions/order:live/durable-executions?Qualifier=old");
    http_world_refused(world, 400, IPV,
                       "The derived qualifier from the function name does not match the "
                       "specified qualifier.");
}

/* --- invoke ------------------------------------------------------------------------------ */

static void invoke(struct http_world *world, const char *function, const char *name,
                   const char *value)
{
    char target[256];

    (void)snprintf(target, sizeof target, FUNCTIONS "/%s/invocations", function);
    world->headers[0] = (struct dd_http_header){"X-Amz-Invocation-Type", "DryRun"};
    world->headers[1] = (struct dd_http_header){name, value};
    http_world_ask(world, "POST", target);
    memset(world->headers, 0, sizeof world->headers);
}

static void test_an_alias_qualifies(void **state)
{
    struct http_world *world = *state;

    invoke(world, "order:live", NULL, NULL);
    assert_int_equal(world->status, 204);
    invoke(world, "order", NULL, NULL);
    http_world_refused(world, 400, IPV,
                       "You cannot invoke a durable function using an unqualified ARN.");
    invoke(world, "order:old", NULL, NULL);
    http_world_refused(world, 404, NOT_FOUND, "Function not found: " ARN "order:old");
}

static void test_tenants(void **state)
{
    struct http_world *world = *state;

    invoke(world, "tenants", "X-Amz-Tenant-Id", "a@b");
    assert_int_equal(world->status, 204);
    invoke(world, "tenants", NULL, NULL);
    http_world_refused(
        world, 400, IPV,
        "The invoked function is enabled with tenancy configuration. Add a valid "
        "tenant ID in your request and try again.");
    invoke(world, "order:live", "X-Amz-Tenant-Id", "a");
    http_world_refused(world, 400, IPV,
                       "The invoked function is not enabled with tenancy configuration. Remove "
                       "the tenant ID from your request and try again.");
    /* Beside hosted functions, one that nobody serves any more is gone. */
    invoke(world, "worker:$LATEST", "X-Amz-Tenant-Id", "a");
    http_world_refused(world, 404, NOT_FOUND, "Function not found: " ARN "worker");
    invoke(world, "worker:$LATEST", "X-Amz-Tenant-Id", "a,b");
    http_world_refused(world, 400, "ValidationException",
                       "1 validation error detected: Value 'a,b' at 'tenantId' failed to "
                       "satisfy constraint: Member must satisfy regular expression pattern: "
                       "[a-zA-Z0-9\\._:\\/=+\\-@ ]+");
}

static void test_log_types_and_client_contexts(void **state)
{
    struct http_world *world = *state;
    char large[4096];

    invoke(world, "tenants", "X-Amz-Log-Type", "Some");
    http_world_refused(world, 400, "ValidationException",
                       "1 validation error detected: Value 'Some' at 'logType' failed to "
                       "satisfy constraint: Member must satisfy enum value set: [None, Tail]");
    invoke(world, "order:live", "X-Amz-Log-Type", "Tail");
    assert_int_equal(world->status, 204);
    invoke(world, "order:live", "X-Amz-Client-Context", "eyJhIjoxfQ=="); /* {"a":1} */
    assert_int_equal(world->status, 204);
    memset(large, 'A', 3584);
    large[3584] = '\0';
    invoke(world, "order:live", "X-Amz-Client-Context", large);
    http_world_refused(world, 413, "RequestTooLargeException",
                       "Client context must be at most 3583 bytes of base64");
    invoke(world, "order:live", "X-Amz-Client-Context", "W10="); /* [] */
    http_world_refused(world, 400, "InvalidRequestContentException",
                       "Client context must be a valid Base64-encoded JSON object.");
    invoke(world, "order:live", "X-Amz-Client-Context", "{}");
    http_world_refused(world, 400, "InvalidRequestContentException",
                       "Client context must be a valid Base64-encoded JSON object.");
    invoke(world, "order:live", "X-Amz-Client-Context", "eyJhIjox"); /* {"a":1 */
    http_world_refused(world, 400, "InvalidRequestContentException",
                       "Client context must be a valid Base64-encoded JSON object.");
}

int main(void)
{
#define WITH_A_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_A_WORLD(test_a_hosted_function),
        WITH_A_WORLD(test_a_plain_function),
        WITH_A_WORLD(test_a_function_of_a_worker),
        WITH_A_WORLD(test_qualifiers),
        WITH_A_WORLD(test_the_list),
        WITH_A_WORLD(test_pages_of_the_list),
        WITH_A_WORLD(test_versions_and_aliases),
        WITH_A_WORLD(test_what_lists_refuse),
        WITH_A_WORLD(test_executions_by_qualifier),
        WITH_A_WORLD(test_an_alias_qualifies),
        WITH_A_WORLD(test_tenants),
        WITH_A_WORLD(test_log_types_and_client_contexts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
