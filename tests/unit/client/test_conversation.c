/* Conversations of libdurabled with a scripted daemon: sessions, strands, awaits,
 * decisions, replay, refusals. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "durabled.h"
#include "fake.h"

#define EVENT "{\"DurableExecutionArn\": \"arn:x\"}"

/* A fresh session without recorded operations. */
#define BEGIN                                                                                \
    "{\"call\": \"session.begin\", \"params\": {\"event\": \"{\\\"DurableExecutionArn\\\": " \
    "\\\"arn:x\\\"}\", \"profile\": \"c\", \"request_id\": \"r1\"}, \"result\": "            \
    "{\"session\": 7, "                                                                      \
    "\"key\": \"k\", \"arn\": \"arn:x\", \"input\": \"5\", \"operations\": [], \"more\": "   \
    "false}},"
#define END(output)                                                                   \
    "{\"call\": \"session.end\", \"params\": {\"session\": 7, \"payload\": \"" output \
    "\"}, \"result\": {\"output\": \"{\\\"Status\\\": \\\"SUCCEEDED\\\"}\"}}"
#define UNWOUND                                                                     \
    "{\"call\": \"session.end\", \"params\": {\"session\": 7, \"unwound\": true}, " \
    "\"result\": {\"output\": \"{\\\"Status\\\": \\\"PENDING\\\"}\"}}"

/* Plays `script` with a handler and checks what it comes to. */
static void converse_at(int level, const char *script, durabled_body body, int wanted,
                        const char *output)
{
    struct durabled_invocation invocation = {
        .event = EVENT, .event_len = strlen(EVENT), .request_id = "r1"};
    struct durabled_result result = {0};
    struct durabled *connection;
    struct durabled_error error = {0};
    int fd, rc;
    struct fake *fake = fake_start(script, level, &fd);

    assert_int_equal(durabled_open_fd(fd, &connection, &error), DURABLED_OK);
    invocation.connection = connection;
    rc = durabled_execute(&invocation, body, NULL, &result, &error);
    durabled_close(connection);
    fake_finish(fake);
    if (rc != wanted)
        fail_msg("%d (%s) instead of %d", rc, error.text, wanted);
    if (output)
        assert_string_equal(result.payload.data, output);
    durabled_result_clear(&result);
}

static void converse(const char *script, durabled_body body, const char *output)
{
    converse_at(1, script, body, DURABLED_OK, output);
}

/* --- steps ------------------------------------------------------------------------------- */

static int returns_number(const struct durabled_attempt *attempt,
                          struct durabled_result *result, void *user)
{
    char text[32];

    (void)user;
    snprintf(text, sizeof text, "%d", 40 + attempt->number);
    return durabled_return(result, text);
}

static int one_step(struct durabled_context *context, struct durabled_result *result,
                    void *user)
{
    struct durabled_result step = {0};
    int rc = durabled_step(context, "add", NULL, returns_number, user, &step);

    assert_string_equal(durabled_session_input(durabled_context_session(context)).data, "5");
    if (rc == DURABLED_OK)
        rc = durabled_return(result, step.payload.data);
    durabled_result_clear(&step);
    return rc;
}

/* The start is sent ahead: its answer comes only after the succeed was sent. */
static void test_fresh_step_is_one_round_trip(void **state)
{
    (void)state;
    converse("[" BEGIN
             "{\"call\": \"session.start\", \"as\": \"s\", \"params\": {\"session\": 7, "
             "\"operation\": 1, \"context\": 0, \"position\": 1, \"type\": \"STEP\", "
             "\"sub_type\": \"Step\", \"name\": \"add\", \"retry\": null, \"ask\": null, "
             "\"semantics\": \"AT_LEAST_ONCE_PER_RETRY\"}},"
             "{\"call\": \"session.succeed\", \"as\": \"e\", \"params\": {\"session\": 7, "
             "\"operation\": 1, \"payload\": \"41\"}},"
             "{\"answer\": \"s\", \"result\": {\"outcome\": \"run\", \"id\": \"i1\", "
             "\"attempt\": 1}},"
             "{\"answer\": \"e\", \"result\": {\"outcome\": \"done\", \"status\": "
             "\"SUCCEEDED\"}}," END("41") "]",
             one_step, "{\"Status\": \"SUCCEEDED\"}");
}

/* Answers in the other order are matched by id. */
static void test_answers_in_any_order(void **state)
{
    (void)state;
    converse("[" BEGIN "{\"call\": \"session.start\", \"as\": \"s\"},"
             "{\"call\": \"session.succeed\", \"as\": \"e\"},"
             "{\"answer\": \"e\", \"result\": {\"outcome\": \"done\", \"status\": "
             "\"SUCCEEDED\"}},"
             "{\"answer\": \"s\", \"result\": {\"outcome\": \"run\", \"id\": \"i1\", "
             "\"attempt\": 1}}," END("41") "]",
             one_step, "{\"Status\": \"SUCCEEDED\"}");
}

#define RECORDED(fields)                                                                    \
    "[{\"call\": \"session.begin\", \"result\": {\"session\": 7, \"key\": \"k\", \"arn\": " \
    "\"arn:x\", \"input\": \"5\", \"more\": false, \"operations\": [{\"position\": 1, "     \
    "\"operation\": {\"Id\": \"i1\", \"Type\": \"STEP\", \"SubType\": \"Step\", "           \
    "\"StartTimestamp\": 1, " fields "}}]}},"

static void test_recorded_step_costs_nothing(void **state)
{
    (void)state;
    converse(RECORDED("\"Name\": \"add\", \"Status\": \"SUCCEEDED\", \"StepDetails\": "
                      "{\"Attempt\": 1, \"Result\": \"99\"}") END("99") "]",
             one_step, "{\"Status\": \"SUCCEEDED\"}");
}

static void test_open_step_is_asked_for(void **state)
{
    (void)state;
    converse(
        RECORDED(
            "\"Name\": \"add\", \"Status\": \"PENDING\"") "{\"call\": \"session.start\", "
                                                          "\"result\": {\"outcome\": "
                                                          "\"pending\", \"id\": "
                                                          "\"i1\", \"due_ms\": 5}},"
                                                          "{\"call\": \"session.await\", "
                                                          "\"params\": {\"context\": 0, "
                                                          "\"operations\": [1], "
                                                          "\"any\": null}, \"result\": "
                                                          "{\"outcome\": \"run\", "
                                                          "\"operation\": 1, "
                                                          "\"attempt\": 3}},"
                                                          "{\"call\": \"session.succeed\", "
                                                          "\"params\": {\"payload\": \"43\"}, "
                                                          "\"result\": "
                                                          "{\"outcome\": \"done\", \"status\": "
                                                          "\"SUCCEEDED\"}}," END("43") "]",
        one_step, "{\"Status\": \"SUCCEEDED\"}");
}

/* Another identity goes to the daemon, which words the refusal; it ends the execution. */
static void test_other_identity_is_judged_by_the_daemon(void **state)
{
    (void)state;
    converse(
        RECORDED(
            "\"Name\": \"other\", \"Status\": \"SUCCEEDED\"") "{\"call\": \"session.start\", "
                                                              "\"error\": {\"code\": "
                                                              "\"NonDeterministicExecutionError"
                                                              "\", \"message\": \"not the "
                                                              "same\", "
                                                              "\"retryable\": false}},"
                                                              "{\"call\": \"session.end\", "
                                                              "\"params\": {\"payload\": null, "
                                                              "\"invocation\": null, "
                                                              "\"error\": {\"ErrorType\": "
                                                              "\"NonDeterministicExecutionError"
                                                              "\", \"ErrorMessage\": "
                                                              "\"not the same\"}}, \"result\": "
                                                              "{\"output\": \"failed\"}}]",
        one_step, "failed");
}

/* The second window is fetched when the first has nothing at a place. */
static void test_windows_are_fetched_when_wanted(void **state)
{
    (void)state;
    converse("[{\"call\": \"session.begin\", \"result\": {\"session\": 7, \"key\": \"k\", "
             "\"arn\": \"arn:x\", \"input\": \"5\", \"more\": true, \"operations\": []}},"
             "{\"call\": \"session.operations\", \"params\": {\"session\": 7}, \"result\": "
             "{\"more\": false, \"operations\": [{\"position\": 1, \"operation\": {\"Id\": "
             "\"i1\", \"Type\": \"STEP\", \"SubType\": \"Step\", \"Name\": \"add\", "
             "\"StartTimestamp\": 1, \"Status\": \"SUCCEEDED\", \"StepDetails\": {\"Result\": "
             "\"1\"}}}]}}," END("1") "]",
             one_step, "{\"Status\": \"SUCCEEDED\"}");
}

static int fails(const struct durabled_attempt *attempt, struct durabled_result *result,
                 void *user)
{
    (void)attempt;
    (void)user;
    return durabled_raise(result, "Flaky", "no luck");
}

static int64_t decides(const struct durabled_failure *failure, int attempt, void *user)
{
    (void)user;
    assert_string_equal(failure->type, "Flaky");
    return attempt == 1 ? 9 : 0;
}

static int step_that_asks(struct durabled_context *context, struct durabled_result *result,
                          void *user)
{
    static const struct durabled_step_options options = {.decide = decides};
    struct durabled_result step = {0};
    int rc = durabled_step(context, "ask", &options, fails, user, &step);

    if (rc == DURABLED_FAILED)
        rc = durabled_return(result, step.failure.message);
    durabled_result_clear(&step);
    return rc;
}

/* A decision is sent with the failure; one that the daemon asks for is sent alone. */
static void test_decide(void **state)
{
    (void)state;
    converse("[" BEGIN "{\"call\": \"session.start\", \"params\": {\"ask\": true, \"retry\": "
             "null}, \"result\": {\"outcome\": \"run\", \"id\": \"i1\", \"attempt\": 1}},"
             "{\"call\": \"session.fail\", \"params\": {\"operation\": 1, \"delay_s\": 9, "
             "\"retryable\": true, \"final\": null, \"error\": {\"ErrorType\": \"Flaky\", "
             "\"ErrorMessage\": \"no luck\"}}, \"result\": {\"outcome\": \"pending\", "
             "\"due_ms\": 5}},"
             "{\"call\": \"session.await\", \"result\": {\"outcome\": \"decide\", "
             "\"operation\": 1, \"attempt\": 2, \"error\": {\"ErrorType\": \"Flaky\", "
             "\"ErrorMessage\": \"interrupted\"}}},"
             "{\"call\": \"session.decide\", \"params\": {\"operation\": 1, \"delay_s\": 0}, "
             "\"result\": {\"outcome\": \"done\", \"status\": \"FAILED\", \"error\": "
             "{\"ErrorType\": \"Flaky\", \"ErrorMessage\": \"interrupted\"}}}," END(
                 "interrupted") "]",
             step_that_asks, "{\"Status\": \"SUCCEEDED\"}");
}

static int step_with_retry(struct durabled_context *context, struct durabled_result *result,
                           void *user)
{
    static const struct durabled_retry retry = {.max_attempts = 3,
                                                .backoff = DURABLED_LINEAR,
                                                .jitter = DURABLED_JITTER_NONE,
                                                .initial_delay_s = 1,
                                                .max_delay_s = 60,
                                                .increment_s = 2};
    static const struct durabled_step_options options = {
        .retry = &retry, .semantics = DURABLED_AT_MOST_ONCE_PER_RETRY};

    (void)result;
    return durabled_step(context, "flaky", &options, fails, user, NULL);
}

/* AT_MOST_ONCE waits for its start; a retry that is far suspends the invocation. */
static void test_retry_suspends(void **state)
{
    (void)state;
    converse(
        "[" BEGIN "{\"call\": \"session.start\", \"params\": {\"semantics\": "
        "\"AT_MOST_ONCE_PER_RETRY\", \"retry\": {\"max_attempts\": 3, \"backoff\": "
        "\"linear\", \"jitter\": \"NONE\", \"initial_delay_s\": 1.0, \"max_delay_s\": 60.0, "
        "\"increment_s\": 2.0}}, \"result\": {\"outcome\": \"run\", \"id\": \"i1\", "
        "\"attempt\": 1}},"
        "{\"call\": \"session.fail\", \"result\": {\"outcome\": \"pending\", \"due_ms\": "
        "5}},"
        "{\"call\": \"session.await\", \"result\": {\"outcome\": \"unwind\"}}," UNWOUND "]",
        step_with_retry, "{\"Status\": \"PENDING\"}");
}

/* --- waits ------------------------------------------------------------------------------- */

static int one_wait(struct durabled_context *context, struct durabled_result *result,
                    void *user)
{
    int rc = durabled_wait(context, "cool", 60);

    (void)user;
    return rc == DURABLED_OK ? durabled_return(result, "1") : rc;
}

/* Start and await leave together; the daemon answers the start late. */
static void test_wait_unwinds(void **state)
{
    (void)state;
    converse("[" BEGIN "{\"call\": \"session.start\", \"as\": \"s\", \"params\": {\"type\": "
             "\"WAIT\", \"sub_type\": \"Wait\", \"seconds\": 60, \"semantics\": null}},"
             "{\"call\": \"session.await\", \"as\": \"a\", \"params\": {\"operations\": [1]}},"
             "{\"answer\": \"s\", \"result\": {\"outcome\": \"pending\", \"id\": \"i1\", "
             "\"due_ms\": 9}},"
             "{\"answer\": \"a\", \"result\": {\"outcome\": \"unwind\"}}," UNWOUND "]",
             one_wait, "{\"Status\": \"PENDING\"}");
}

/* A start that is refused explains itself, not the await behind it. */
static void test_refused_start_is_what_is_told(void **state)
{
    (void)state;
    converse("[" BEGIN "{\"call\": \"session.start\", \"as\": \"s\"},"
             "{\"call\": \"session.await\", \"as\": \"a\"},"
             "{\"answer\": \"s\", \"error\": {\"code\": \"Store.Full\", \"message\": \"full\", "
             "\"retryable\": true}},"
             "{\"answer\": \"a\", \"error\": {\"code\": \"Protocol.OutOfOrder\", \"message\": "
             "\"operation\", \"retryable\": false}},"
             "{\"call\": \"session.end\", \"params\": {\"invocation\": true, \"error\": "
             "{\"ErrorType\": \"Store.Full\", \"ErrorMessage\": \"full\"}}, \"result\": "
             "{\"output\": \"x\"}}]",
             one_wait, "x");
}

static int bad_wait(struct durabled_context *context, struct durabled_result *result,
                    void *user)
{
    (void)result;
    (void)user;
    return durabled_wait(context, "none", 0);
}

static void test_bad_wait_never_leaves(void **state)
{
    (void)state;
    converse("[" BEGIN "{\"call\": \"session.end\", \"params\": {\"error\": {\"ErrorType\": "
             "\"DURABLED_USAGE\", \"ErrorMessage\": \"a wait takes at least one second\"}}, "
             "\"result\": {\"output\": \"x\"}}]",
             bad_wait, "x");
}

static int three_waits(struct durabled_context *context, struct durabled_result *result,
                       void *user)
{
    struct durabled_operation *operations[3], *unawaited;
    struct durabled_start start = {.type = DURABLED_WAIT};
    struct durabled_answer answer;
    char text[8] = "---";
    int rc = DURABLED_OK;

    (void)user;
    start.seconds = 99;
    rc = durabled_start(context, &start, &unawaited, &answer);
    for (int i = 0; rc == DURABLED_OK && i < 3; i++) {
        start.seconds = i + 1;
        rc = durabled_start(context, &start, &operations[i], &answer);
    }
    if (rc == DURABLED_OK)
        rc = durabled_await(context, operations, 3, true, &answer);
    if (rc != DURABLED_OK)
        return rc;
    assert_int_equal(answer.wanted, DURABLED_WANTED_NOTHING);
    for (int i = 0; i < 3; i++)
        text[i] = durabled_operation_state(operations[i]) == DURABLED_OK ? '1' : '0';
    return durabled_return(result, text);
}

#define START_WAIT(n, seconds)                                                          \
    "{\"call\": \"session.start\", \"params\": {\"operation\": " n ", \"position\": " n \
    ", \"seconds\": " seconds "}, \"result\": {\"outcome\": \"pending\", \"id\": \"i" n \
    "\"}},"

/* One is started and never awaited; any of the three others ends the await. */
static void test_await_any_of_three(void **state)
{
    (void)state;
    converse("[" BEGIN START_WAIT("1", "99") START_WAIT("2", "1") START_WAIT("3", "2")
                 START_WAIT("4", "3") "{\"call\": \"session.await\", \"params\": "
                                      "{\"operations\": [2, 3, 4], \"any\": "
                                      "true}, \"result\": {\"outcome\": \"ready\", "
                                      "\"operations\": [{\"operation\": 3, "
                                      "\"status\": \"SUCCEEDED\"}]}}," END("010") "]",
             three_waits, "{\"Status\": \"SUCCEEDED\"}");
}

/* --- contexts and strands ---------------------------------------------------------------- */

static int inner(struct durabled_context *context, struct durabled_result *result, void *user)
{
    return one_step(context, result, user);
}

static int one_child(struct durabled_context *context, struct durabled_result *result,
                     void *user)
{
    struct durabled_result child = {0};
    int rc = durabled_child(context, "child", NULL, inner, user, &child);

    if (rc == DURABLED_OK)
        rc = durabled_return(result, child.payload.data);
    durabled_result_clear(&child);
    return rc;
}

static void test_fresh_child(void **state)
{
    (void)state;
    converse("[" BEGIN
             "{\"call\": \"session.start\", \"as\": \"c\", \"params\": {\"operation\": "
             "1, \"type\": \"CONTEXT\", \"sub_type\": \"RunInChildContext\", \"name\": "
             "\"child\", \"strand\": null, \"virtual\": null}},"
             "{\"call\": \"session.start\", \"as\": \"s\", \"params\": {\"operation\": 2, "
             "\"context\": 1, \"position\": 1}},"
             "{\"call\": \"session.succeed\", \"as\": \"e\", \"params\": {\"operation\": 2}},"
             "{\"answer\": \"c\", \"result\": {\"outcome\": \"run\", \"id\": \"c1\"}},"
             "{\"answer\": \"s\", \"result\": {\"outcome\": \"run\", \"id\": \"s1\"}},"
             "{\"answer\": \"e\", \"result\": {\"outcome\": \"done\", \"status\": "
             "\"SUCCEEDED\"}},"
             "{\"call\": \"session.succeed\", \"params\": {\"operation\": 1, \"payload\": "
             "\"41\"}, \"result\": {\"outcome\": \"done\", \"status\": \"SUCCEEDED\"}}," END(
                 "41") "]",
             one_child, "{\"Status\": \"SUCCEEDED\"}");
}

/* A child whose result was too large runs again over its recorded operations. */
static void test_replayed_children(void **state)
{
    (void)state;
    converse(
        "[{\"call\": \"session.begin\", \"result\": {\"session\": 7, \"key\": \"k\", \"arn\": "
        "\"arn:x\", \"input\": \"5\", \"more\": false, \"operations\": [{\"position\": 1, "
        "\"operation\": {\"Id\": \"c1\", \"Type\": \"CONTEXT\", \"SubType\": "
        "\"RunInChildContext\", \"Name\": \"child\", \"StartTimestamp\": 1, \"Status\": "
        "\"SUCCEEDED\", \"ContextDetails\": {\"ReplayChildren\": true}}}, {\"context\": "
        "\"c1\", "
        "\"position\": 1, \"operation\": {\"Id\": \"s1\", \"ParentId\": \"c1\", \"Type\": "
        "\"STEP\", \"SubType\": \"Step\", \"Name\": \"add\", \"StartTimestamp\": 1, "
        "\"Status\": \"SUCCEEDED\", \"StepDetails\": {\"Result\": \"77\"}}}]}},"
        "{\"call\": \"session.start\", \"params\": {\"operation\": 1}, \"result\": "
        "{\"outcome\": \"run\", \"id\": \"c1\", \"replay_children\": true}},"
        "{\"call\": \"session.succeed\", \"params\": {\"payload\": \"77\"}, \"result\": "
        "{\"outcome\": \"done\", \"status\": \"SUCCEEDED\"}}," END("77") "]",
        one_child, "{\"Status\": \"SUCCEEDED\"}");
}

static int two_strands(struct durabled_context *context, struct durabled_result *result,
                       void *user)
{
    struct durabled_operation *operations[2];
    struct durabled_answer answer;
    char text[64];
    int rc = durabled_strand(context, "left", NULL, inner, user, &operations[0]);

    if (rc == DURABLED_OK)
        rc = durabled_strand(context, "right", NULL, one_wait, user, &operations[1]);
    if (rc == DURABLED_OK)
        rc = durabled_await(context, operations, 2, false, &answer);
    if (rc != DURABLED_OK)
        return rc;
    snprintf(text, sizeof text, "%s%s", durabled_operation_result(operations[0])->payload.data,
             durabled_operation_result(operations[1])->payload.data);
    return durabled_return(result, text);
}

/* Both bodies and the await of the main strand speak over one connection. The
 * strand of the wait is told to unwind and later to run again, from its start. */
static void test_two_strands(void **state)
{
    (void)state;
    converse(
        "[" BEGIN "{\"any\": ["
        "{\"call\": \"session.start\", \"params\": {\"operation\": 1, \"strand\": true}, "
        "\"result\": {\"outcome\": \"run\", \"id\": \"c1\"}},"
        "{\"call\": \"session.start\", \"params\": {\"context\": 0, \"position\": 2, "
        "\"strand\": true, \"name\": \"right\"}, \"as\": \"right\"},"
        "{\"call\": \"session.start\", \"params\": {\"context\": 1, \"type\": \"STEP\"}, "
        "\"result\": {\"outcome\": \"run\", \"id\": \"s1\"}},"
        "{\"call\": \"session.succeed\", \"params\": {\"payload\": \"41\", \"operation\": 1}, "
        "\"as\": \"left ends\"},"
        "{\"call\": \"session.succeed\", \"params\": {\"payload\": \"41\", \"session\": 7}, "
        "\"result\": {\"outcome\": \"done\", \"status\": \"SUCCEEDED\"}},"
        "{\"call\": \"session.start\", \"params\": {\"type\": \"WAIT\"}, \"result\": "
        "{\"outcome\": \"pending\", \"id\": \"w1\"}},"
        "{\"call\": \"session.await\", \"params\": {\"context\": 0}, \"as\": \"main\"},"
        "{\"call\": \"session.await\", \"as\": \"waits\"}]},"
        "{\"answer\": \"right\", \"result\": {\"outcome\": \"run\", \"id\": \"c2\"}},"
        "{\"answer\": \"left ends\", \"result\": {\"outcome\": \"done\", \"status\": "
        "\"SUCCEEDED\"}},"
        "{\"answer\": \"waits\", \"result\": {\"outcome\": \"unwind\"}},"
        "{\"call\": \"session.unwound\", \"as\": \"unwound\", \"result\": {}},"
        "{\"answer\": \"main\", \"result\": {\"outcome\": \"unwind\"}}," UNWOUND "]",
        two_strands, "{\"Status\": \"PENDING\"}");
}

/* --- behind durabled-wrap ---------------------------------------------------------------- */

static int returns_input(struct durabled_context *context, struct durabled_result *result,
                         void *user)
{
    (void)user;
    return durabled_return(result,
                           durabled_session_input(durabled_context_session(context)).data);
}

static void test_a_session_begins_without_an_event(void **state)
{
    struct durabled_invocation invocation = {.request_id = "r1"};
    struct durabled_result result = {0};
    int fd;
    struct fake *fake =
        fake_start("[{\"call\": \"session.begin\", \"params\": {\"event\": null, "
                   "\"request_id\": \"r1\"}, \"result\": {\"session\": 7, \"key\": \"k\", "
                   "\"arn\": \"arn:x\", \"input\": \"5\", \"operations\": [], "
                   "\"more\": false}}," END("5") "]",
                   DURABLED_LEVEL, &fd);

    (void)state;
    assert_int_equal(durabled_open_fd(fd, &invocation.connection, NULL), DURABLED_OK);
    assert_int_equal(durabled_execute(&invocation, returns_input, NULL, &result, NULL),
                     DURABLED_OK);
    durabled_close(invocation.connection);
    fake_finish(fake);
    durabled_result_clear(&result);
}

/* --- errors ------------------------------------------------------------------------------ */

static void test_lost_connection(void **state)
{
    (void)state;
    converse_at(1, "[" BEGIN "{\"call\": \"session.start\"}, {\"close\": true}]", one_wait,
                DURABLED_DISCONNECTED, NULL);
}

static void test_invocation_is_to_fail(void **state)
{
    (void)state;
    converse_at(1,
                "[" BEGIN
                "{\"call\": \"session.start\", \"result\": {\"outcome\": \"pending\"}},"
                "{\"call\": \"session.await\", \"result\": {\"outcome\": \"unwind\"}},"
                "{\"call\": \"session.end\", \"result\": {\"raise\": {\"ErrorType\": "
                "\"ServiceException\", \"ErrorMessage\": \"later\"}}}]",
                one_wait, DURABLED_FAILED, NULL);
}

/* A daemon of a later level answers at ours, with members that we do not know. */
static void test_later_level(void **state)
{
    (void)state;
    converse_at(7,
                "[" BEGIN "{\"call\": \"session.start\", \"result\": {\"outcome\": \"run\", "
                "\"id\": \"i\", \"attempt\": 1, \"novelty\": {\"deep\": [1, 2]}}},"
                "{\"call\": \"session.succeed\", \"result\": {\"outcome\": \"done\", "
                "\"status\": \"SUCCEEDED\", \"novelty\": 1}}," END("41") "]",
                one_step, DURABLED_OK, "{\"Status\": \"SUCCEEDED\"}");
}

static void test_level_of_the_connection_is_the_lower(void **state)
{
    struct durabled *connection;
    int fd;
    struct fake *fake = fake_start("[]", 7, &fd);

    (void)state;
    assert_int_equal(durabled_open_fd(fd, &connection, NULL), DURABLED_OK);
    assert_int_equal(durabled_peer(connection)->level, DURABLED_LEVEL);
    assert_int_equal(durabled_peer(connection)->pid, 4711);
    assert_string_equal(durabled_peer(connection)->version, "1.2.3");
    durabled_close(connection);
    fake_finish(fake);
}

static void test_no_level_is_no_hello(void **state)
{
    struct durabled *connection;
    int fd;
    struct fake *fake = fake_start("[]", 0, &fd);

    (void)state;
    assert_int_equal(durabled_open_fd(fd, &connection, NULL), DURABLED_PROTOCOL);
    fake_finish(fake);
}

static void test_not_found(void **state)
{
    struct durabled_description description;
    struct durabled_error error;
    struct durabled *connection;
    int fd;
    struct fake *fake = fake_start(
        "[{\"call\": \"execution.describe\", \"params\": {\"execution\": \"x\", \"data\": "
        "true}, "
        "\"error\": {\"code\": \"ResourceNotFoundException\", \"message\": \"no x\", "
        "\"retryable\": false}}]",
        1, &fd);

    (void)state;
    assert_int_equal(durabled_open_fd(fd, &connection, NULL), DURABLED_OK);
    assert_int_equal(durabled_client_describe(connection, "x", true, &description, &error),
                     DURABLED_NOT_FOUND);
    assert_string_equal(error.text, "no x");
    assert_string_equal(error.type, "ResourceNotFoundException");
    durabled_close(connection);
    fake_finish(fake);
}

static void test_client_structs(void **state)
{
    struct durabled_started started;
    struct durabled_outcome outcome;
    struct durabled_list list;
    struct durabled *connection;
    int fd;
    struct fake *fake = fake_start(
        "[{\"call\": \"execution.start\", \"params\": {\"function\": \"f\", \"name\": null}, "
        "\"result\": {\"arn\": \"a\", \"name\": \"n\", \"existing\": true}},"
        "{\"call\": \"execution.wait\", \"params\": {\"timeout_ms\": null}, \"result\": "
        "{\"arn\": \"a\", \"status\": \"FAILED\", \"error\": {\"ErrorType\": \"T\", "
        "\"StackTrace\": [\"one\", \"two\"]}}},"
        "{\"call\": \"execution.list\", \"params\": {\"waiting\": true, \"marker\": null}, "
        "\"result\": {\"executions\": [{\"arn\": \"a\", \"name\": \"n\", \"function\": \"f\", "
        "\"status\": \"RUNNING\", \"state\": \"waiting\", \"start_ms\": 1, \"until_ms\": 9}], "
        "\"marker\": \"m\"}}]",
        1, &fd);

    (void)state;
    assert_int_equal(durabled_open_fd(fd, &connection, NULL), DURABLED_OK);
    assert_int_equal(durabled_client_start(connection, "f", NULL, &started, NULL), DURABLED_OK);
    assert_string_equal(started.name, "n");
    assert_true(started.existing);
    durabled_reply_free(started.reply);
    assert_int_equal(durabled_client_wait(connection, "n", -1, &outcome, NULL), DURABLED_OK);
    assert_string_equal(outcome.failure->type, "T");
    assert_null(outcome.failure->message);
    assert_int_equal(outcome.failure->stack_trace_len, 2);
    assert_string_equal(outcome.failure->stack_trace[1], "two");
    durabled_reply_free(outcome.reply);
    assert_int_equal(durabled_client_list(connection,
                                          &(struct durabled_list_filter){.waiting = true},
                                          &list, NULL),
                     DURABLED_OK);
    assert_int_equal(list.len, 1);
    assert_int_equal(list.items[0].until_ms, 9);
    assert_string_equal(list.marker, "m");
    durabled_reply_free(list.reply);
    durabled_close(connection);
    fake_finish(fake);
}

/* More than any socket's buffer holds. */
#define LINES 2000

static int logs_much(struct durabled_context *context, struct durabled_result *result,
                     void *user)
{
    char line[8192];

    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    for (int i = 0; i < LINES; i++)
        durabled_log(context, "INFO", line);
    fake_resume(user);
    return durabled_return(result, "1");
}

/* Lines are dropped, whole, while the daemon reads nothing; nobody waits for it. */
static void test_logging_never_waits(void **state)
{
    struct durabled_invocation invocation = {
        .event = EVENT, .event_len = strlen(EVENT), .request_id = "r1"};
    struct durabled_result result = {0};
    int fd;
    struct fake *fake =
        fake_start("[" BEGIN "{\"hold\": \"session.log\"}," END("1") "]", 1, &fd);

    (void)state;
    assert_int_equal(durabled_open_fd(fd, &invocation.connection, NULL), DURABLED_OK);
    assert_int_equal(durabled_execute(&invocation, logs_much, fake, &result, NULL),
                     DURABLED_OK);
    durabled_close(invocation.connection);
    fake_finish(fake);
    durabled_result_clear(&result);
}

static void test_callbacks(void **state)
{
    const struct durabled_callback_name by_id = {.id = "Y2I="},
                                        by_name = {.execution = "n", .operation = "approval"};
    const struct durabled_failure failure = {.type = (char *)"T", .message = (char *)"m"};
    struct durabled_error error;
    struct durabled *connection;
    int fd;
    struct fake *fake = fake_start(
        "[{\"call\": \"callback.succeed\", \"params\": {\"callback\": \"Y2I=\", "
        "\"execution\": null, \"operation\": null, \"payload\": \"1\"}, \"result\": {}},"
        "{\"call\": \"callback.succeed\", \"params\": {\"callback\": null, "
        "\"execution\": \"n\", \"operation\": \"approval\", \"payload\": null}, "
        "\"result\": {}},"
        "{\"call\": \"callback.fail\", \"params\": {\"error\": {\"ErrorType\": \"T\", "
        "\"ErrorMessage\": \"m\", \"ErrorData\": null}}, \"result\": {}},"
        "{\"call\": \"callback.fail\", \"params\": {\"error\": null}, \"result\": {}},"
        "{\"call\": \"callback.heartbeat\", \"params\": {\"callback\": \"Y2I=\"}, "
        "\"error\": {\"code\": \"CallbackTimeoutException\", \"message\": \"too late\", "
        "\"retryable\": false}}]",
        2, &fd);

    (void)state;
    assert_int_equal(durabled_open_fd(fd, &connection, NULL), DURABLED_OK);
    assert_int_equal(durabled_client_callback_succeed(connection, &by_id, "1", 1, NULL),
                     DURABLED_OK);
    assert_int_equal(durabled_client_callback_succeed(connection, &by_name, NULL, 0, NULL),
                     DURABLED_OK);
    assert_int_equal(durabled_client_callback_fail(connection, &by_id, &failure, NULL),
                     DURABLED_OK);
    assert_int_equal(durabled_client_callback_fail(connection, &by_id, NULL, NULL),
                     DURABLED_OK);
    assert_int_equal(durabled_client_callback_heartbeat(connection, &by_id, &error),
                     DURABLED_REFUSED);
    assert_string_equal(error.type, "CallbackTimeoutException");
    durabled_close(connection);
    fake_finish(fake);
}

static void test_pages_of_operations(void **state)
{
    struct durabled_description page;
    struct durabled *connection;
    int fd;
    struct fake *fake = fake_start(
        "[{\"call\": \"execution.describe\", \"params\": {\"after_operation\": 7}, "
        "\"result\": {\"execution\": {\"DurableExecutionArn\": \"a\", \"Status\": "
        "\"RUNNING\"}, "
        "\"operations\": [{}, {}], \"more\": true}},"
        "{\"call\": \"execution.describe\", \"params\": {\"after_operation\": null}, "
        "\"result\": {\"execution\": {\"DurableExecutionArn\": \"a\", \"Status\": "
        "\"RUNNING\"}, "
        "\"operations\": []}}]",
        2, &fd);

    (void)state;
    assert_int_equal(durabled_open_fd(fd, &connection, NULL), DURABLED_OK);
    assert_int_equal(durabled_client_describe_page(connection, "n", true, 7, &page, NULL),
                     DURABLED_OK);
    assert_int_equal(page.operations_len, 2);
    assert_true(page.more);
    durabled_reply_free(page.reply);
    assert_int_equal(durabled_client_describe(connection, "n", true, &page, NULL), DURABLED_OK);
    assert_false(page.more);
    durabled_reply_free(page.reply);
    durabled_close(connection);
    fake_finish(fake);
}

static void test_fork_is_refused(void **state)
{
    struct durabled *connection;
    int fd, status;
    struct fake *fake = fake_start("[]", 1, &fd);
    pid_t child;

    (void)state;
    assert_int_equal(durabled_open_fd(fd, &connection, NULL), DURABLED_OK);
    child = fork();
    if (child == 0) {
        struct durabled_status answer;

        _exit(durabled_client_status(connection, &answer, NULL) == DURABLED_USAGE ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    durabled_close(connection);
    fake_finish(fake);
}

static void test_no_daemon_names_paths_and_cure(void **state)
{
    struct durabled *connection;
    struct durabled_error error;

    (void)state;
    setenv("DURABLED_SOCKET", "/nonexistent/d.sock", 1);
    assert_int_equal(durabled_open(NULL, &connection, &error), DURABLED_NO_DAEMON);
    assert_non_null(
        strstr(error.text, "/nonexistent/d.sock (DURABLED_SOCKET): no such socket"));
    assert_non_null(strstr(error.text, "durabled serve"));
    assert_true(error.retryable);
    unsetenv("DURABLED_SOCKET");
    setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
    assert_int_equal(durabled_open(NULL, &connection, &error), DURABLED_NO_DAEMON);
    assert_non_null(strstr(error.text, "/nonexistent/durabled.sock (XDG_RUNTIME_DIR)"));
    assert_non_null(strstr(error.text, "/run/durabled/durabled.sock (system)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fresh_step_is_one_round_trip),
        cmocka_unit_test(test_answers_in_any_order),
        cmocka_unit_test(test_recorded_step_costs_nothing),
        cmocka_unit_test(test_open_step_is_asked_for),
        cmocka_unit_test(test_other_identity_is_judged_by_the_daemon),
        cmocka_unit_test(test_windows_are_fetched_when_wanted),
        cmocka_unit_test(test_decide),
        cmocka_unit_test(test_retry_suspends),
        cmocka_unit_test(test_wait_unwinds),
        cmocka_unit_test(test_refused_start_is_what_is_told),
        cmocka_unit_test(test_bad_wait_never_leaves),
        cmocka_unit_test(test_await_any_of_three),
        cmocka_unit_test(test_fresh_child),
        cmocka_unit_test(test_replayed_children),
        cmocka_unit_test(test_two_strands),
        cmocka_unit_test(test_a_session_begins_without_an_event),
        cmocka_unit_test(test_lost_connection),
        cmocka_unit_test(test_invocation_is_to_fail),
        cmocka_unit_test(test_later_level),
        cmocka_unit_test(test_level_of_the_connection_is_the_lower),
        cmocka_unit_test(test_no_level_is_no_hello),
        cmocka_unit_test(test_not_found),
        cmocka_unit_test(test_client_structs),
        cmocka_unit_test(test_logging_never_waits),
        cmocka_unit_test(test_callbacks),
        cmocka_unit_test(test_pages_of_operations),
        cmocka_unit_test(test_fork_is_refused),
        cmocka_unit_test(test_no_daemon_names_paths_and_cure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
