/* Where requests go, and for which names of this machine they are taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/api.h"

#define ARN "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST/durable-execution/a/b"

static void test_labels_end_at_the_known_suffix(void **state)
{
    static const struct {
        const char *method, *path, *operation, *label;
    } cases[] = {
        {"POST", "/2025-12-01/durable-executions/a%2Fb/checkpoint",
         "CheckpointDurableExecution", "a%2Fb"},
        {"GET", "/2025-12-01/durable-executions/a/state", "GetDurableExecutionState", "a"},
        {"GET", "/2025-12-01/durable-executions/" ARN "/history", "GetDurableExecutionHistory",
         ARN},
        {"GET", "/2025-12-01/durable-executions/" ARN, "GetDurableExecution", ARN},
        {"GET", "/2025-12-01/durable-executions/state", "GetDurableExecution", "state"},
        {"POST", "/2025-12-01/durable-executions/a/stop/stop", "StopDurableExecution",
         "a/stop"},
        {"GET", "/2025-12-01/functions/f/durable-executions", "ListDurableExecutionsByFunction",
         "f"},
        {"POST", "/2025-12-01/durable-execution-callbacks/a+/b==/succeed",
         "SendDurableExecutionCallbackSuccess", "a+/b=="},
        {"POST", "/2025-12-01/durable-execution-callbacks/a/fail",
         "SendDurableExecutionCallbackFailure", "a"},
        {"POST", "/2025-12-01/durable-execution-callbacks/a/heartbeat",
         "SendDurableExecutionCallbackHeartbeat", "a"},
        {"POST", "/2015-03-31/functions/f%3A1/invocations", "Invoke", "f%3A1"},
        {"GET", "/2015-03-31/functions", "ListFunctions", NULL},
        {"GET", "/2015-03-31/functions/", "ListFunctions", NULL},
        {"GET", "/2015-03-31/functions/f%3A1", "GetFunction", "f%3A1"},
        {"GET", "/2015-03-31/functions/f/configuration", "GetFunctionConfiguration", "f"},
        {"GET", "/2015-03-31/functions/f/versions", "ListVersionsByFunction", "f"},
        {"GET", "/2015-03-31/functions/f/aliases", "ListAliases", "f"},
        {"GET", "/2015-03-31/functions/f/aliases/live", "GetAlias", "f"},
        {"GET", "/2015-03-31/functions/versions", "GetFunction", "versions"},
        {"GET", "/2015-03-31/functions/f/aliases/", NULL, NULL},
        {"GET", "/2015-03-31/functions//aliases/live", NULL, NULL},
        {"GET", "/2015-03-31/functions/f/aliases/a/b", NULL, NULL},
        {"GET", "/2015-03-31/functions/f/policy", NULL, NULL},
        {"GET", "/2015-03-31/functions/f/", NULL, NULL},
        {"GET", "/2015-03-31/function", NULL, NULL},
        {"POST", "/2015-03-31/functions", NULL, NULL},
        {"GET", "/2015-03-31/functions/f/invocations", NULL, NULL},
        {"POST", "/2015-03-31/functions/f/g/invocations", NULL, NULL},
        {"POST", "/2015-03-31/functions//invocations", NULL, NULL},
        {"POST", "/2015-03-31/functions/invocations", NULL, NULL},
        {"POST", "/2025-12-01/durable-executions/a", NULL, NULL},
        {"GET", "/2025-12-01/durable-executions/", NULL, NULL},
        {"post", "/2015-03-31/functions/f/invocations", NULL, NULL},
        {"GET", "", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        struct dd_api_labels labels;
        const struct dd_api_route *route =
            dd_api_route(dd_span_cstr(cases[i].method), dd_span_cstr(cases[i].path), &labels);

        if (!cases[i].operation) {
            assert_null(route);
            continue;
        }
        assert_non_null(route);
        assert_string_equal(route->operation, cases[i].operation);
        assert_true(!cases[i].label || dd_span_is(labels.first, cases[i].label));
    }
}

static void test_two_labels(void **state)
{
    struct dd_api_labels labels;

    (void)state;
    assert_non_null(dd_api_route(DD_SPAN("GET"),
                                 DD_SPAN("/2015-03-31/functions/f/aliases/a%2Fb"), &labels));
    assert_true(dd_span_is(labels.first, "f") && dd_span_is(labels.second, "a%2Fb"));
    assert_non_null(dd_api_route(DD_SPAN("GET"), DD_SPAN("/2015-03-31/functions/f"), &labels));
    assert_null(labels.second.data);
}

static void test_names_of_this_machine(void **state)
{
    static const char *const good[] = {
        "localhost", "LocalHost:80",  "127.0.0.1", "127.1.2.3:8080", "[::1]",
        "[::1]:80",  "a.localhost:1", "box",       "BOX:80",         "b.example"};
    static const char *const bad[] = {"",
                                      ":80",
                                      "localhost.example",
                                      "127.0.0",
                                      "127.0.0.1.2",
                                      "127.evil.example",
                                      "[::2]",
                                      "[::1",
                                      "::1",
                                      "evil",
                                      ".localhost.x",
                                      "box.example",
                                      "box,b",
                                      "b",
                                      "xlocalhost",
                                      "10.0.0.1",
                                      "0.0.0.0"};

    (void)state;
    for (size_t i = 0; i < DD_COUNT(good); i++) {
        if (!dd_api_host_allowed(dd_span_cstr(good[i]), "box,b.example,"))
            fail_msg("'%s' was refused", good[i]);
    }
    for (size_t i = 0; i < DD_COUNT(bad); i++) {
        if (dd_api_host_allowed(dd_span_cstr(bad[i]), "box,,b.example"))
            fail_msg("'%s' was taken", bad[i]);
    }
    assert_false(dd_api_host_allowed(DD_SPAN_NONE, ""));
    assert_false(dd_api_host_allowed(DD_SPAN("box"), ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_end_at_the_known_suffix),
        cmocka_unit_test(test_two_labels),
        cmocka_unit_test(test_names_of_this_machine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
