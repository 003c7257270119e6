/* libdurabled against the vectors of the protocol: it plays the conversations (handlers
 * written as data, a daemon made of their script; proto/vectors/README.md has the words
 * of both) and reads the frames that a daemon may send. */
#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "condition.h"
#include "durabled.h"
#include "fake.h"
#include "tests/lib/vectors.h"

#define PROFILE "c"
#define EVENT "{\"DurableExecutionArn\": \"arn:x\"}"
#define STARTED_MAX 8
#define CONVERSATIONS_MAX 64

static const char *text_of(const json_t *op, const char *key)
{
    return json_string_value(json_object_get(op, key));
}

/* --- steps ------------------------------------------------------------------------------- */

static int step_body(const struct durabled_attempt *attempt, struct durabled_result *result,
                     void *user)
{
    const json_t *raises = json_object_get(user, "raises");
    char *value;
    int rc;

    (void)attempt;
    if (raises)
        return durabled_raise(result, json_string_value(json_array_get(raises, 0)),
                              json_string_value(json_array_get(raises, 1)));
    value = json_dumps(json_object_get(user, "returns"), JSON_ENCODE_ANY);
    rc = durabled_return(result, value);
    free(value);
    return rc;
}

static int64_t decide(const struct durabled_failure *failure, int attempt, void *user)
{
    (void)failure;
    return json_integer_value(
        json_array_get(json_object_get(user, "decides"), (size_t)attempt - 1));
}

static struct durabled_retry read_retry(const json_t *retry)
{
    bool linear = strcmp(text_of(retry, "backoff"), "linear") == 0;
    const char *jitter = text_of(retry, "jitter");

    return (struct durabled_retry){
        .max_attempts = (int)json_integer_value(json_object_get(retry, "max_attempts")),
        .backoff = linear ? DURABLED_LINEAR : DURABLED_EXPONENTIAL,
        .jitter = strcmp(jitter, "NONE") == 0   ? DURABLED_JITTER_NONE
                  : strcmp(jitter, "FULL") == 0 ? DURABLED_JITTER_FULL
                                                : DURABLED_JITTER_HALF,
        .initial_delay_s = json_number_value(json_object_get(retry, "initial_delay_s")),
        .max_delay_s = json_number_value(json_object_get(retry, "max_delay_s")),
        .rate = json_number_value(json_object_get(retry, "rate")),
        .increment_s = json_number_value(json_object_get(retry, "increment_s"))};
}

/* What the program makes of a failure: its message, when the operation says `caught`. */
static int caught(const json_t *op, int rc, struct durabled_result *result)
{
    char message[128];

    if (rc != DURABLED_FAILED || !json_is_true(json_object_get(op, "caught")))
        return rc;
    snprintf(message, sizeof message, "\"%s\"", result->failure.message);
    durabled_result_clear(result);
    return durabled_return(result, message);
}

static int run_step(struct durabled_context *context, const json_t *op,
                    struct durabled_result *result)
{
    const json_t *retry = json_object_get(op, "retry");
    struct durabled_retry strategy = retry ? read_retry(retry) : (struct durabled_retry){0};
    struct durabled_step_options options = {
        .semantics = json_is_true(json_object_get(op, "once"))
                         ? DURABLED_AT_MOST_ONCE_PER_RETRY
                         : DURABLED_AT_LEAST_ONCE_PER_RETRY,
        .retry = retry ? &strategy : NULL,
        .decide = json_object_get(op, "decides") ? decide : NULL};

    return caught(
        op,
        durabled_step(context, text_of(op, "step"), &options, step_body, (void *)op, result),
        result);
}

/* The same one level down: started, and left open for an await. The failure goes without
 * a decision, so that the daemon asks for it. */
static int start_step(struct durabled_context *context, const json_t *op,
                      struct durabled_operation **out)
{
    const json_t *raises = json_object_get(op, "raises");
    struct durabled_failure failure = {
        .type = (char *)(uintptr_t)json_string_value(json_array_get(raises, 0)),
        .message = (char *)(uintptr_t)json_string_value(json_array_get(raises, 1))};
    struct durabled_start start = {
        .type = DURABLED_STEP, .name = text_of(op, "start_step"), .ask = true};
    struct durabled_answer answer;
    int rc = durabled_start(context, &start, out, &answer);

    if (rc != DURABLED_OK)
        return rc;
    assert_int_equal(answer.wanted, DURABLED_WANTED_RUN);
    rc = durabled_fail(*out, &failure, NULL, &answer);
    if (rc != DURABLED_OK)
        return rc;
    assert_int_equal(answer.wanted, DURABLED_WANTED_DECIDE);
    rc = durabled_decide(*out, decide(answer.failure, answer.attempt, (void *)(uintptr_t)op),
                         &answer);
    if (rc == DURABLED_OK)
        assert_int_equal(answer.wanted, DURABLED_WANTED_AWAIT);
    return rc;
}

/* --- what the outside completes ---------------------------------------------------------- */

static int create_callback(struct durabled_context *context, const json_t *op,
                           struct durabled_operation **out)
{
    struct durabled_callback_options options = {
        .timeout_s = json_integer_value(json_object_get(op, "timeout_s")),
        .heartbeat_timeout_s = json_integer_value(json_object_get(op, "heartbeat_timeout_s"))};
    int rc = durabled_callback(context, text_of(op, "callback"), &options, out);

    if (rc == DURABLED_OK)
        assert_non_null(durabled_callback_id(*out));
    return rc;
}

static int tell_nobody(const struct durabled_attempt *attempt, const char *callback_id,
                       struct durabled_result *result, void *user)
{
    (void)attempt;
    (void)result;
    (void)user;
    assert_non_null(callback_id);
    return DURABLED_OK;
}

static int run_invoke(struct durabled_context *context, const json_t *op,
                      struct durabled_result *result)
{
    char *payload = json_dumps(json_object_get(op, "payload"), JSON_ENCODE_ANY);
    struct durabled_invoke_options options = {.payload = payload,
                                              .payload_len = strlen(payload)};
    int rc = durabled_invoke(context, text_of(op, "invoke"), text_of(op, "function"), &options,
                             result);

    free(payload);
    return caught(op, rc, result);
}

/* --- conditions -------------------------------------------------------------------------- */

/* Check number n returns `returns`[n - 1], and was given what the one before returned. */
static int check(const struct durabled_attempt *attempt, struct durabled_text state,
                 struct durabled_result *result, void *user)
{
    const json_t *returns = json_object_get(user, "returns");
    size_t made = (size_t)attempt->number - 1;
    const json_t *before =
        made > 0 ? json_array_get(returns, made - 1) : json_object_get(user, "initial");
    char *value = json_dumps(json_array_get(returns, made), JSON_ENCODE_ANY);
    char *wanted = json_dumps(before, JSON_ENCODE_ANY);
    int rc = durabled_return(result, value);

    assert_string_equal(state.data, wanted);
    free(wanted);
    free(value);
    return rc;
}

static int64_t poll_delay(struct durabled_text state, int attempt, void *user)
{
    (void)state;
    return json_integer_value(
        json_array_get(json_object_get(user, "delays"), (size_t)attempt - 1));
}

static int run_condition(struct durabled_context *context, const json_t *op,
                         struct durabled_result *result)
{
    char *initial = json_dumps(json_object_get(op, "initial"), JSON_ENCODE_ANY);
    struct durabled_condition_options options = {.initial_state = initial, .poll = poll_delay};
    int rc = durabled_wait_for_condition(context, text_of(op, "condition"), &options, check,
                                         (void *)(uintptr_t)op, result);

    free(initial);
    return rc;
}

/* --- batches ----------------------------------------------------------------------------- */

static int run_body(struct durabled_context *context, struct durabled_result *result,
                    void *user);

static int run_item(struct durabled_context *context, size_t index,
                    struct durabled_result *result, void *user)
{
    return run_body(context, result, json_array_get(json_object_get(user, "items"), index));
}

static enum durabled_completion until(const struct durabled_progress *progress, void *user)
{
    size_t wanted = (size_t)json_integer_value(json_object_get(user, "until"));

    return progress->succeeded + progress->failed >= wanted ? DURABLED_COMPLETE_SUCCEEDED
                                                            : DURABLED_GO_ON;
}

static int return_batch(struct durabled_batch_result *batch, struct durabled_result *result)
{
    static const char *const reasons[] = {
        "ALL_COMPLETED", "MIN_SUCCESSFUL_REACHED", "FAILURE_TOLERANCE_EXCEEDED",
        "CUSTOM_COMPLETION_SUCCEEDED", "CUSTOM_COMPLETION_FAILED"};
    char letters[STARTED_MAX + 1] = "", text[64];

    for (size_t i = 0; i < batch->len; i++)
        letters[i] = "TSF"[batch->items[i].status];
    snprintf(text, sizeof text, "\"%s %s\"", letters, reasons[batch->reason]);
    durabled_batch_clear(batch);
    return durabled_return(result, text);
}

static int run_map(struct durabled_context *context, const json_t *op,
                   struct durabled_result *result)
{
    struct durabled_batch_options options = {
        .max_concurrency = (size_t)json_integer_value(json_object_get(op, "max_concurrency")),
        .min_successful = (size_t)json_integer_value(json_object_get(op, "min_successful")),
        .predicate = json_object_get(op, "until") ? until : NULL,
        .flat = json_is_true(json_object_get(op, "flat"))};
    size_t len = json_array_size(json_object_get(op, "items"));
    struct durabled_batch_result batch;
    int rc = durabled_map(context, text_of(op, "map"), len, &options, run_item,
                          (void *)(uintptr_t)op, &batch);

    return rc == DURABLED_OK ? return_batch(&batch, result) : rc;
}

/* --- other operations -------------------------------------------------------------------- */

static int run_await(struct durabled_context *context, const json_t *op,
                     struct durabled_operation *const *started, struct durabled_result *result)
{
    const json_t *places = json_object_get(op, "await");
    struct durabled_operation *operations[STARTED_MAX];
    size_t len = json_array_size(places);
    char digits[STARTED_MAX + 1] = "", text[STARTED_MAX + 3];
    struct durabled_answer answer;
    int rc;

    for (size_t i = 0; i < len; i++)
        operations[i] = started[json_integer_value(json_array_get(places, i))];
    rc = durabled_await(context, operations, len, json_is_true(json_object_get(op, "any")),
                        &answer);
    if (rc != DURABLED_OK)
        return rc;
    for (size_t i = 0; i < len; i++)
        digits[i] = durabled_operation_state(operations[i]) == DURABLED_OK ? '1' : '0';
    snprintf(text, sizeof text, "\"%s\"", digits);
    return durabled_return(result, text);
}

static int run_op(struct durabled_context *context, const json_t *op,
                  struct durabled_operation **started, size_t *started_len,
                  struct durabled_result *result)
{
    json_t *inner = json_object_get(op, "do");

    if (json_object_get(op, "log")) {
        durabled_log(context, "WARN", text_of(op, "log"));
        return DURABLED_OK;
    }
    if (json_object_get(op, "step"))
        return run_step(context, op, result);
    if (json_object_get(op, "wait"))
        return durabled_wait(context, text_of(op, "name"),
                             json_integer_value(json_object_get(op, "wait")));
    if (json_object_get(op, "child")) {
        struct durabled_child_options options = {
            .is_virtual = json_is_true(json_object_get(op, "virtual"))};

        return durabled_child(context, text_of(op, "child"), &options, run_body, inner, result);
    }
    if (json_object_get(op, "strand"))
        return durabled_strand(context, text_of(op, "strand"), NULL, run_body, inner,
                               &started[(*started_len)++]);
    if (json_object_get(op, "callback"))
        return create_callback(context, op, &started[(*started_len)++]);
    if (json_object_get(op, "result"))
        return caught(
            op,
            durabled_await_result(
                context, started[json_integer_value(json_object_get(op, "result"))], result),
            result);
    if (json_object_get(op, "wait_for_callback"))
        return durabled_wait_for_callback(context, text_of(op, "wait_for_callback"), NULL,
                                          tell_nobody, NULL, result);
    if (json_object_get(op, "condition"))
        return run_condition(context, op, result);
    if (json_object_get(op, "invoke"))
        return run_invoke(context, op, result);
    if (json_object_get(op, "map"))
        return run_map(context, op, result);
    if (json_object_get(op, "start_step"))
        return start_step(context, op, &started[(*started_len)++]);
    if (json_object_get(op, "start_wait")) {
        struct durabled_start start = {
            .type = DURABLED_WAIT,
            .seconds = json_integer_value(json_object_get(op, "start_wait"))};
        struct durabled_answer answer;

        return durabled_start(context, &start, &started[(*started_len)++], &answer);
    }
    assert_non_null(json_object_get(op, "await"));
    return run_await(context, op, started, result);
}

/* The operations of a body, in order; the result of the last is the body's. */
static int run_body(struct durabled_context *context, struct durabled_result *result,
                    void *user)
{
    struct durabled_operation *started[STARTED_MAX];
    size_t started_len = 0, i;
    int rc = DURABLED_OK;
    json_t *op;

    json_array_foreach((json_t *)user, i, op)
    {
        if (rc != DURABLED_OK)
            break;
        durabled_result_clear(result);
        rc = run_op(context, op, started, &started_len, result);
    }
    return rc;
}

/* --- a conversation ---------------------------------------------------------------------- */

static void replace(char **text, const char *place, const char *value)
{
    char *at, *whole;

    while ((at = strstr(*text, place)) != NULL) {
        if (asprintf(&whole, "%.*s%s%s", (int)(at - *text), *text, value, at + strlen(place)) <
            0)
            abort();
        free(*text);
        *text = whole;
    }
}

/* "$branch:1" is the position of that branch; in paths it is b1. Ours count from 0. */
static void replace_branches(char **text)
{
    for (int i = 0; i < STARTED_MAX; i++) {
        char place[16], value[8];

        snprintf(value, sizeof value, "%d", i);
        snprintf(place, sizeof place, "\"$branch:%d\"", i);
        replace(text, place, value);
        snprintf(value, sizeof value, "-%d", i);
        snprintf(place, sizeof place, "-b%d", i);
        replace(text, place, value);
    }
}

/* "$id:1-2" is the id of the operation at that path. */
static void replace_id(char **text, const json_t *row)
{
    char path[64] = "", place[72], value[96];
    json_t *position;
    size_t i, len = 0;

    json_array_foreach(json_object_get(row, "path"), i, position)
    {
        len += (size_t)snprintf(path + len, sizeof path - len, "%s%d", i > 0 ? "-" : "",
                                (int)json_integer_value(position));
    }
    snprintf(place, sizeof place, "\"$id:%s\"", path);
    snprintf(value, sizeof value, "\"%s\"", text_of(row, "id"));
    replace(text, place, value);
}

/* The script with what is our profile's in its places; given. */
static char *script_of(const json_t *conversation)
{
    char *script = json_dumps(json_object_get(conversation, "script"), 0);
    json_t *ids = vectors_load("ids.json"), *row;
    size_t i;

    replace(&script, "$profile", PROFILE);
    replace_branches(&script);
    json_array_foreach(json_object_get(ids, "ids"), i, row)
    {
        if (strcmp(text_of(row, "profile"), PROFILE) == 0)
            replace_id(&script, row);
    }
    assert_null(strchr(script, '$'));
    json_decref(ids);
    return script;
}

static void check_outcome(const json_t *conversation, int rc,
                          const struct durabled_result *result,
                          const struct durabled_error *error)
{
    const char *fails = text_of(conversation, "fails");
    json_t *output;

    if (json_object_get(conversation, "lost")) {
        assert_int_equal(rc, DURABLED_DISCONNECTED);
        return;
    }
    if (fails) {
        assert_int_equal(rc, DURABLED_FAILED);
        assert_string_equal(result->failure.message, fails);
        return;
    }
    if (rc != DURABLED_OK)
        fail_msg("%d: %s", rc, error->text);
    output = json_loads(result->payload.data, 0, NULL);
    assert_true(json_equal(output, json_object_get(conversation, "returns")));
    json_decref(output);
}

static void test_conversation(void **state)
{
    json_t *conversation = vectors_load(*state);
    const json_t *level = json_object_get(conversation, "level");
    struct durabled_invocation invocation = {
        .event = EVENT, .event_len = strlen(EVENT), .request_id = "r1"};
    char *script = script_of(conversation);
    struct durabled_result result = {0};
    struct durabled_error error = {0};
    struct durabled *connection;
    struct fake *fake;
    int fd, rc;

    fake = fake_start(script, level ? (int)json_integer_value(level) : 1, &fd);
    free(script);
    assert_int_equal(durabled_open_fd(fd, &connection, &error), DURABLED_OK);
    invocation.connection = connection;
    rc = durabled_execute(&invocation, run_body, json_object_get(conversation, "handler"),
                          &result, &error);
    durabled_close(connection);
    fake_finish(fake);
    check_outcome(conversation, rc, &result, &error);
    durabled_result_clear(&result);
    json_decref(conversation);
}

/* --- frames ------------------------------------------------------------------------------ */

/* The answer to a call, from bytes. Its result is all that follows the head of the array,
 * its type, the id and nil. */
static void check_answer(const json_t *frame, int rc, struct durabled_reply *reply,
                         const struct durabled_error *error)
{
    const json_t *refusal = json_array_get(json_object_get(frame, "message"), 2);
    const void *result;
    uint8_t *bytes;
    size_t len, result_len;

    if (json_is_object(refusal)) {
        assert_int_equal(rc, DURABLED_REFUSED);
        assert_string_equal(error->type, text_of(refusal, "code"));
        assert_string_equal(error->text, text_of(refusal, "message"));
        return;
    }
    assert_int_equal(rc, DURABLED_OK);
    bytes = vectors_bytes(json_object_get(frame, "hex"), &len);
    result = durabled_reply_bytes(reply, &result_len);
    assert_int_equal(result_len, len - 4);
    assert_memory_equal(result, bytes + 4, result_len);
    durabled_reply_free(reply);
    free(bytes);
}

static void check_frame(const json_t *frame)
{
    json_t *script = json_pack("[{s:s}, {s:O}]", "call", "function.list", "send",
                               json_object_get(frame, "hex"));
    char *text = json_dumps(script, 0);
    struct durabled_reply *reply;
    struct durabled_error error;
    struct durabled *connection;
    struct fake *fake;
    int fd, rc;

    fake = fake_start(text, 1, &fd);
    assert_int_equal(durabled_open_fd(fd, &connection, &error), DURABLED_OK);
    rc = durabled_call(connection, "function.list", NULL, 0, &reply, &error);
    if (json_object_get(frame, "refused"))
        assert_int_equal(rc, DURABLED_DISCONNECTED);
    else
        check_answer(frame, rc, reply, &error);
    durabled_close(connection);
    fake_finish(fake);
    free(text);
    json_decref(script);
}

static void test_frames(void **state)
{
    json_t *vectors = vectors_load("frames.json"), *frame;
    size_t i;

    (void)state;
    json_array_foreach(json_object_get(vectors, "frames"), i, frame)
    {
        json_t *type = json_array_get(json_object_get(frame, "message"), 0);

        if (json_is_true(json_object_get(frame, "refused")) || json_integer_value(type) == 1)
            check_frame(frame);
    }
    json_decref(vectors);
}

/* --- delays ------------------------------------------------------------------------------ */

static void test_delays(void **state)
{
    json_t *vectors = vectors_load("retries.json"), *row;
    size_t i, played = 0;

    (void)state;
    json_array_foreach(json_object_get(vectors, "retries"), i, row)
    {
        struct durabled_retry retry = read_retry(json_object_get(row, "retry"));

        if (strcmp(text_of(row, "rounding"), "ceil") != 0)
            continue;
        assert_int_equal(retry_delay_s(&retry,
                                       (int)json_integer_value(json_object_get(row, "attempt")),
                                       json_number_value(json_object_get(row, "unit"))),
                         json_integer_value(json_object_get(row, "delay_s")));
        played++;
    }
    assert_true(played > 0);
    json_decref(vectors);
}

/* --- all --------------------------------------------------------------------------------- */

/* A test for each file; gives the paths below proto/vectors as their states. */
static size_t find_conversations(struct CMUnitTest *tests)
{
    struct dirent **entries;
    int count = scandir(VECTORS "/conversations", &entries, NULL, alphasort);
    size_t len = 0;

    for (int i = 0; i < count; i++) {
        char *path;

        if (entries[i]->d_name[0] != '.') {
            if (len == CONVERSATIONS_MAX ||
                asprintf(&path, "conversations/%s", entries[i]->d_name) < 0)
                abort();
            tests[len++] =
                (struct CMUnitTest){strchr(path, '/') + 1, test_conversation, NULL, NULL, path};
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return len;
}

int main(void)
{
    struct CMUnitTest tests[CONVERSATIONS_MAX + 2];
    size_t len = find_conversations(tests);
    int failed;

    if (len == 0) {
        puts("no conversations in " VECTORS);
        return 1;
    }
    tests[len] = (struct CMUnitTest)cmocka_unit_test(test_frames);
    tests[len + 1] = (struct CMUnitTest)cmocka_unit_test(test_delays);
    failed = _cmocka_run_group_tests("vectors", tests, len + 2, NULL, NULL);
    for (size_t i = 0; i < len; i++)
        free(tests[i].initial_state);
    return failed;
}
