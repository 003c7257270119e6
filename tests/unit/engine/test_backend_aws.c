/* AWS's API as the backend of sessions, with a network and a clock that the test plays: when a
 * call is made, when again, and when no more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/rng.h"
#include "codec/pack.h"
#include "engine/engine.h"

#define BEGIN_MS 1767323045000

/* --- the world --------------------------------------------------------------------------- */

/* One request may be under way, and one answer of the engine is kept: the last. */
struct world {
    struct dd_engine *engine;
    struct dd_log log;
    struct dd_aws_config aws;
    struct dd_rng rng;
    struct dd_peer *peer;
    int64_t now_ms;
    void *owner; /* of the request under way; NULL: none */
    char url[512], client_token[64], authorization[512], time[32];
    int64_t timeout_ms;
    bool fresh;
    unsigned fetches, cancels;
    struct dd_buf said;   /* what the peer was sent */
    struct dd_buf logged; /* all lines */
    char line[2048];      /* one of them */
    int next_id;
};

static void port_random(void *user, void *out_bytes, size_t len)
{
    struct world *world = user;

    dd_rng_fill(&world->rng, out_bytes, len);
}

static void *port_fetch(void *user, const struct dd_fetch_request *request, void *owner)
{
    static const char name[] = "\"ClientToken\":\"";
    struct world *world = user;
    const char *token = request->body.data ? dd_span_find(request->body, name) : NULL;

    assert_null(world->owner);
    world->owner = owner;
    world->fetches++;
    world->timeout_ms = request->timeout_ms;
    world->fresh = request->fresh;
    (void)snprintf(world->url, sizeof world->url, "%s", request->url);
    (void)snprintf(world->client_token, sizeof world->client_token, "%.36s",
                   token ? token + sizeof name - 1 : "");
    world->authorization[0] = '\0';
    for (size_t i = 0; i < request->headers_len; i++) {
        if (strcmp(request->headers[i].name, "Authorization") == 0)
            (void)snprintf(world->authorization, sizeof world->authorization, "%s",
                           request->headers[i].value);
        if (strcmp(request->headers[i].name, "X-Amz-Date") == 0)
            (void)snprintf(world->time, sizeof world->time, "%s", request->headers[i].value);
    }
    return world;
}

static void port_fetch_cancel(void *user, void *fetch)
{
    struct world *world = user;

    assert_ptr_equal(fetch, world);
    assert_non_null(world->owner);
    world->owner = NULL;
    world->cancels++;
}

static bool port_keys_authorization(void *user, struct dd_buf *out)
{
    (void)user;
    dd_buf_append_cstr(out, "let me in");
    dd_buf_append_byte(out, '\0');
    return true;
}

static int64_t log_now(void *user)
{
    const struct world *world = user;

    return world->now_ms;
}

static void log_write(void *user, struct dd_span line)
{
    struct world *world = user;

    dd_buf_append(&world->logged, line.data, line.len);
}

static void stream_send(void *user, char *bytes, size_t len)
{
    struct world *world = user;

    dd_buf_clear(&world->said);
    dd_buf_append(&world->said, bytes, len);
    dd_free(bytes);
}

static void stream_read(void *user, bool on)
{
    (void)user;
    (void)on;
}

static void stream_close(void *user)
{
    (void)user;
    fail_msg("the engine closed the connection");
}

static void turn(struct world *world)
{
    dd_engine_turn(world->engine, world->now_ms);
}

static void pack(msgpack_packer *packer, const json_t *value)
{
    const char *name;
    const json_t *member;
    size_t at;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        msgpack_pack_map(packer, json_object_size(value));
        json_object_foreach((json_t *)value, name, member)
        {
            dd_pack_cstr(packer, name);
            pack(packer, member);
        }
        break;
    case JSON_ARRAY:
        msgpack_pack_array(packer, json_array_size(value));
        json_array_foreach(value, at, member)
        {
            pack(packer, member);
        }
        break;
    case JSON_STRING:
        dd_pack_cstr(packer, json_string_value(value));
        break;
    case JSON_INTEGER:
        msgpack_pack_int64(packer, json_integer_value(value));
        break;
    default:
        dd_pack_bool(packer, json_is_true(value));
    }
}

/* A call whose parameters are JSON; what was said before is forgotten. */
static void call(struct world *world, const char *method, json_t *params)
{
    msgpack_packer packer;
    struct dd_buf frame;

    assert_non_null(params);
    dd_buf_init(&frame, DD_FRAME_MAX);
    dd_pack_init(&packer, &frame);
    msgpack_pack_array(&packer, 4);
    msgpack_pack_int64(&packer, 0);
    msgpack_pack_int64(&packer, ++world->next_id);
    dd_pack_cstr(&packer, method);
    msgpack_pack_array(&packer, 1);
    pack(&packer, params);
    json_decref(params);
    dd_buf_clear(&world->said);
    assert_true(
        dd_engine_receive(world->engine, world->peer, dd_buf_span(&frame), world->now_ms));
    dd_buf_deinit(&frame);
    turn(world);
}

static bool said(const struct world *world, const char *text)
{
    return dd_span_find(dd_buf_span(&world->said), text) != NULL;
}

/* Whether a line that was not looked for yet has the code; `world->line` is the first. */
static bool logged(struct world *world, const char *code)
{
    const char *found = dd_span_find(dd_buf_span(&world->logged), code), *end;

    if (!found)
        return false;
    end = memchr(found, '\n', world->logged.len - (size_t)(found - world->logged.data));
    (void)snprintf(world->line, sizeof world->line, "%.*s", (int)(end - found), found);
    world->logged.data[found - world->logged.data] = '-';
    return true;
}

#define assert_has(world, text)                                     \
    do {                                                            \
        if (!strstr((world)->line, text))                           \
            fail_msg("no %s in the line: %s", text, (world)->line); \
    } while (0)

/* --- the network ------------------------------------------------------------------------- */

struct headers {
    const char *error_type, *retry_after, *date;
};

static struct dd_span find_header(const struct dd_fetch_answer *answer, const char *name)
{
    const struct headers *headers = answer->user;

    if (strcmp(name, "Retry-After") == 0)
        return dd_span_cstr(headers->retry_after);
    return dd_span_cstr(strcmp(name, "Date") == 0 ? headers->date : headers->error_type);
}

static void answer_with(struct world *world, struct dd_fetch_answer answer,
                        struct headers headers)
{
    void *owner = world->owner;

    assert_non_null(owner);
    world->owner = NULL;
    answer.header = find_header;
    answer.user = &headers;
    dd_engine_fetched(world->engine, owner, &answer, world->now_ms);
    turn(world);
}

static void answer(struct world *world, const char *json)
{
    answer_with(world, (struct dd_fetch_answer){.status = 200, .body = dd_span_cstr(json)},
                (struct headers){0});
}

static void refuse(struct world *world, int status, const char *type, const char *retry_after)
{
    answer_with(world, (struct dd_fetch_answer){.status = status, .body = DD_SPAN("{}")},
                (struct headers){type, retry_after, "Fri, 02 Jan 2026 03:04:05 GMT"});
}

static void lose(struct world *world)
{
    answer_with(world, (struct dd_fetch_answer){.outcome = DD_FETCH_BROKEN, .text = "lost"},
                (struct headers){0});
}

/* The clock goes on to what the engine waits for; how long that was. */
static int64_t wait_on(struct world *world)
{
    int64_t due_ms = dd_engine_next_due(world->engine), from_ms = world->now_ms;

    assert_true(due_ms >= from_ms);
    world->now_ms = due_ms;
    turn(world);
    return due_ms - from_ms;
}

/* --- fixtures ---------------------------------------------------------------------------- */

static void connect_peer(struct world *world)
{
    const struct dd_stream stream = {world, stream_send, stream_read, stream_close};

    world->peer =
        dd_engine_connect(world->engine, (struct dd_credentials){1, 1}, &stream, world->now_ms);
    call(world, "hello", json_pack("{s:i,s:s}", "level", 2, "client", "test"));
}

static struct world *world_new(const struct dd_aws_config *aws)
{
    struct world *world = dd_alloc(sizeof *world);
    struct dd_engine_config config = {
        .aws = &world->aws,
        .ports = {.user = world,
                  .random = port_random,
                  .fetch = port_fetch,
                  .fetch_cancel = port_fetch_cancel,
                  .keys_authorization = port_keys_authorization},
        .log = &world->log,
        .version = "test",
        .mode = "extension",
        .gather_ms = DD_GATHER_MS,
        .socket = "",
        .data = "",
        .http_hosts = "",
        .connections_max = 2,
    };

    world->now_ms = BEGIN_MS;
    world->aws = *aws;
    world->log = (struct dd_log){.user = world, .now_ms = log_now, .write = log_write};
    dd_rng_seed(&world->rng, 1);
    dd_buf_init(&world->said, DD_FRAME_MAX);
    dd_buf_init(&world->logged, DD_FRAME_MAX);
    world->engine = dd_engine_new(&config, world->now_ms);
    connect_peer(world);
    return world;
}

static int setup(void **state)
{
    *state = world_new(&(struct dd_aws_config){.endpoint = "https://lambda.test",
                                               .region = "us-east-1",
                                               .access_key = "A",
                                               .secret_key = "S"});
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;

    dd_engine_disconnect_all(world->engine, world->now_ms);
    assert_null(world->owner); /* nothing stays under way */
    dd_engine_free(world->engine);
    dd_buf_deinit(&world->said);
    dd_buf_deinit(&world->logged);
    dd_free(world);
    return 0;
}

/* `operations` follow that of the execution, each with a comma before it. */
static void begin_with(struct world *world, const char *operations, const char *marker,
                       int64_t left_ms)
{
    static const char event[] =
        "{\"DurableExecutionArn\":\"arn:aws:lambda:r:1:function:f:1/durable-execution/n/i\","
        "\"CheckpointToken\":\"t/1+=\",\"InitialExecutionState\":{\"Operations\":["
        "{\"Id\":\"i\",\"Type\":\"EXECUTION\",\"Status\":\"STARTED\"}%s],\"NextMarker\":\"%s\"}"
        "}";
    char text[1024];

    (void)snprintf(text, sizeof text, event, operations, marker);
    call(world, "session.begin",
         json_pack("{s:s,s:s,s:I}", "event", text, "profile", "python", "deadline_ms",
                   (json_int_t)(left_ms ? world->now_ms + left_ms : 0)));
}

static void begin(struct world *world, const char *marker, int64_t left_ms)
{
    begin_with(world, "", marker, left_ms);
}

/* A wait, whose start is acknowledged before it is pending. */
static void start_one(struct world *world, int number)
{
    call(world, "session.start",
         json_pack("{s:i,s:i,s:i,s:i,s:s,s:s,s:i}", "session", 1, "operation", number,
                   "context", 0, "position", number, "type", "WAIT", "sub_type", "Wait",
                   "seconds", 60));
}

/* One that nobody awaits yet: it leaves when nothing has come to go with it. */
static void start_alone(struct world *world, int number)
{
    start_one(world, number);
    assert_null(world->owner);
    world->now_ms += DD_GATHER_MS;
    turn(world);
}

static void start(struct world *world)
{
    start_one(world, 1);
    call(world, "session.await",
         json_pack("{s:i,s:i,s:[i]}", "session", 1, "context", 0, "operations", 1));
}

static void end(struct world *world)
{
    call(world, "session.end", json_pack("{s:i,s:b}", "session", 1, "unwound", 1));
}

/* --- tests ------------------------------------------------------------------------------- */

static void test_attempts_have_one_token_and_an_end(void **state)
{
    struct world *world = *state;
    int64_t paused_ms = 0;
    char token[64];

    begin(world, "", 0);
    assert_true(said(world, "arn:aws"));
    start(world);
    assert_string_equal(world->url, "https://lambda.test/2025-12-01/durable-executions/"
                                    "arn%3Aaws%3Alambda%3Ar%3A1%3Afunction%3Af%3A1%2F"
                                    "durable-execution%2Fn%2Fi/checkpoint");
    (void)snprintf(token, sizeof token, "%s", world->client_token);
    assert_int_equal(strlen(token), 36);
    while (world->owner) {
        assert_string_equal(world->client_token, token);
        lose(world);
        if (said(world, "unwind"))
            break;
        paused_ms += wait_on(world);
        assert_true(world->fresh);
    }
    assert_true(paused_ms > DD_AWS_CALL_MS / 2 && paused_ms <= DD_AWS_CALL_MS);
    assert_true(world->fetches > 10);
    end(world);
    assert_true(said(world, "raise") && said(world, "ServiceException"));
}

static void test_retry_after_is_kept(void **state)
{
    struct world *world = *state;

    begin(world, "", 0);
    start(world);
    refuse(world, 429, "TooManyRequestsException", "7");
    assert_int_equal(wait_on(world), 7000);
    assert_int_equal(world->fetches, 2);
    assert_false(world->fresh);
    /* Longer than the call may take: it is not waited for. */
    refuse(world, 429, "TooManyRequestsException", "300");
    assert_true(said(world, "unwind"));
    end(world);
    assert_true(said(world, "raise") && said(world, "TooManyRequestsException"));
}

static void test_no_call_is_begun_too_near_the_deadline(void **state)
{
    struct world *world = *state;

    begin(world, "", 1000);
    world->now_ms += 1000 - DD_AWS_MARGIN_MS;
    start(world);
    assert_int_equal(world->fetches, 0);
    assert_true(said(world, "unwind"));
    end(world);
    assert_true(said(world, "raise"));
}

static void test_a_call_has_the_time_until_the_deadline(void **state)
{
    struct world *world = *state;

    begin(world, "", 1000);
    start(world);
    assert_int_equal(world->timeout_ms, 1000 - DD_AWS_MARGIN_MS);
    /* A sandbox that was frozen meanwhile: the network's own clock has not moved. */
    world->now_ms += 3600 * 1000;
    turn(world);
    assert_int_equal(world->cancels, 1);
    assert_int_equal(wait_on(world), 0);
    assert_true(said(world, "unwind"));
    end(world);
    assert_true(said(world, "raise"));
}

static void test_the_sandbox_knows_the_deadline_too(void **state)
{
    struct world *world = *state;

    dd_engine_invoked(world->engine, DD_SPAN("r"), world->now_ms + 500, world->now_ms);
    call(world, "session.begin",
         json_pack("{s:s,s:s,s:s}", "event",
                   "{\"DurableExecutionArn\":\"a\",\"CheckpointToken\":\"t\","
                   "\"InitialExecutionState\":{\"NextMarker\":\"m\"}}",
                   "profile", "python", "request_id", "r"));
    assert_int_equal(world->timeout_ms, 500 - DD_AWS_MARGIN_MS);
}

static void test_pages_follow_each_other(void **state)
{
    struct world *world = *state;

    begin(world, "m/1", 0);
    assert_non_null(strstr(world->url, "/state?CheckpointToken=t%2F1%2B%3D&MaxItems=1000"
                                       "&Marker=m%2F1"));
    assert_false(said(world, "arn:aws"));
    answer(world, "{\"Operations\":[],\"NextMarker\":\"m2\"}");
    assert_non_null(strstr(world->url, "&Marker=m2"));
    answer(world, "{\"Operations\":[{\"Id\":\"x\"}]}"); /* none of the API's */
    (void)wait_on(world);
    assert_non_null(strstr(world->url, "&Marker=m2"));
    answer(world, "{\"Operations\":[]}");
    assert_true(said(world, "arn:aws"));
    assert_null(world->owner);
}

static void test_an_idle_connection_is_not_trusted(void **state)
{
    static const char done[] = "{\"CheckpointToken\":\"t2\",\"NewExecutionState\":{}}";
    struct world *world = *state;

    begin(world, "", 0);
    start_alone(world, 1);
    answer(world, done);
    start_alone(world, 2);
    assert_false(world->fresh);
    answer(world, done);
    world->now_ms += DD_AWS_IDLE_MS + 1;
    start_alone(world, 3);
    assert_non_null(world->owner);
    assert_true(world->fresh);
}

static void test_nothing_is_under_way_for_a_client_that_is_gone(void **state)
{
    struct world *world = *state;
    struct dd_peer *peer = world->peer;

    begin(world, "", 0);
    start(world);
    assert_non_null(world->owner);
    dd_engine_disconnect(world->engine, peer, world->now_ms);
    assert_null(world->owner);
    assert_int_equal(world->cancels, 1);
    assert_int_equal(wait_on(world), DD_LOST_WAIT_MS);
    assert_int_equal(dd_engine_next_due(world->engine), 0);
    assert_null(world->owner);
}

/* --- what is logged ----------------------------------------------------------------------- */

#define STEP_ID "1ced8f5be2db23a6513eba4d819c73806424748a7bc6fa0d792cc1c7d1775a97"
#define STEP(attempt)                                                                      \
    ",{\"Id\":\"" STEP_ID "\",\"Type\":\"STEP\",\"SubType\":\"Step\",\"Name\":\"charge\"," \
    "\"Status\":\"STARTED\",\"StepDetails\":{\"Attempt\":" attempt "}}"

/* The first step, in session `number`. */
static void run_step(struct world *world, int number)
{
    call(world, "session.start",
         json_pack("{s:i,s:i,s:i,s:i,s:s,s:s,s:s}", "session", number, "operation", 1,
                   "context", 0, "position", 1, "type", "STEP", "sub_type", "Step", "name",
                   "charge"));
    assert_true(said(world, "run"));
}

/* The process dies. */
static void lose_peer(struct world *world)
{
    dd_engine_disconnect(world->engine, world->peer, world->now_ms);
    connect_peer(world);
}

static void test_a_sandbox_that_goes_on_tells_of_a_lost_session_too(void **state)
{
    struct world *world = *state;

    begin(world, "", 5000);
    run_step(world, 1);
    world->now_ms += 250;
    lose_peer(world);
    assert_false(logged(world, "SESSION_OPEN"));
    assert_true(wait_on(world) <= DD_LOST_WAIT_MS);
    assert_true(logged(world, "SESSION_OPEN"));
    assert_has(world, "\"reason\":\"none\"");
    assert_has(world, "\"cause\":\"the function's process ended\"");
    assert_has(world, "\"error_type\":\"Runtime.ExitError\"");
    assert_has(world, "\"open_steps\":1,\"steps\":[{\"operationId\":\"" STEP_ID
                      "\",\"operationName\":\"charge\",\"attempt\":1,\"ms\":250,"
                      "\"interruptions\":1}]");
    assert_false(logged(world, "SESSION_OPEN"));
}

static void test_the_end_of_the_sandbox_says_why_a_session_was_lost(void **state)
{
    struct world *world = *state;

    begin(world, "", 5000);
    lose_peer(world);
    begin(world, "", 5000); /* told of now: why stays unknown */
    assert_true(logged(world, "SESSION_OPEN"));
    assert_has(world, "\"reason\":\"none\"");
    lose_peer(world);
    begin(world, "", 5000);
    assert_true(logged(world, "SESSION_OPEN"));
    dd_engine_report_open(world->engine, DD_SPAN("timeout"), world->now_ms);
    assert_true(logged(world, "SESSION_OPEN"));
    assert_has(world, "\"reason\":\"timeout\"");
    assert_has(world, "\"cause\":\"the function's Timeout passed\"");
    dd_engine_report_open(world->engine, DD_SPAN("spindown"), world->now_ms);
    assert_true(logged(world, "SESSION_OPEN"));
    assert_has(world, "\"cause\":\"the sandbox was shut down\"");
}

static void test_a_session_lost_at_its_deadline_met_the_timeout(void **state)
{
    struct world *world = *state;

    begin(world, "", 1000);
    world->now_ms += 1000;
    lose_peer(world);
    (void)wait_on(world);
    assert_true(logged(world, "SESSION_OPEN"));
    assert_has(world, "\"cause\":\"the function's Timeout passed\"");
    assert_has(world, "\"error_type\":\"Sandbox.Timedout\"");
}

/* Loses session `number`, in which the step of that state runs. */
static void interrupt(struct world *world, int number, const char *operations)
{
    begin_with(world, operations, "", 0);
    run_step(world, number);
    lose_peer(world);
    (void)wait_on(world);
    assert_true(logged(world, "SESSION_OPEN"));
}

static void test_interruptions_in_a_row(void **state)
{
    struct world *world = *state;

    interrupt(world, 1, STEP("0")); /* begun by an earlier sandbox */
    assert_has(world, "\"attempt\":1,\"ms\":0,\"interruptions\":2}");
    assert_true(logged(world, "STEP_RERUN"));
    assert_has(world,
               "\"operationId\":\"" STEP_ID "\",\"operationName\":\"charge\",\"attempt\":1}");
    interrupt(world, 2, STEP("0"));
    assert_has(world, "\"interruptions\":3}");
    interrupt(world, 3, STEP("1")); /* another attempt, which somebody else began */
    assert_has(world, "\"attempt\":2,\"ms\":0,\"interruptions\":2}");
    interrupt(world, 4, "");
    assert_has(world, "\"attempt\":1,\"ms\":0,\"interruptions\":1}");
}

static void test_what_a_pending_invocation_awaits(void **state)
{
    struct world *world = *state;

    begin_with(
        world,
        STEP("0") ",{\"Id\":\"w\",\"Type\":\"WAIT\",\"Name\":\"cool \\\"off\\\"\",\"Status\":"
                  "\"STARTED\",\"WaitDetails\":{\"ScheduledEndTimestamp\":1767323050000}}"
                  ",{\"Id\":\"d\",\"Type\":\"STEP\",\"Status\":\"SUCCEEDED\"}",
        "", 0);
    end(world);
    assert_true(logged(world, "SESSION_ENDED"));
    assert_has(world, "\"outcome\":\"PENDING\"");
    assert_has(world, "\"replayed\":1,\"run\":0,\"rerun\":0");
    assert_has(world,
               "\"next_due\":\"2026-01-02T03:04:10.000Z\",\"awaits\":[{\"operationId\":"
               "\"w\",\"operationName\":\"cool \\\"off\\\"\",\"operationType\":\"WAIT\"}]");
}

static void test_the_service_takes_no_more(void **state)
{
    struct world *world = *state;

    begin(world, "", 0);
    start(world);
    answer(world, "{\"NewExecutionState\":{\"Operations\":[]}}");
    end(world);
    assert_true(logged(world, "SESSION_ENDED"));
    assert_has(world, "\"outcome\":\"PENDING\"");
    assert_has(world, "\"cause\":\"the service takes no more from this invocation\"");
}

static void test_the_attempt_before_the_deadline_does_not_hide_the_cause(void **state)
{
    struct world *world = *state;

    begin(world, "", 1000);
    start(world);
    refuse(world, 500, "ServiceException", NULL);
    (void)wait_on(world);
    world->now_ms = BEGIN_MS + 1000 - DD_AWS_MARGIN_MS - 1;
    answer_with(
        world,
        (struct dd_fetch_answer){.outcome = DD_FETCH_UNREACHABLE, .text = "not connected"},
        (struct headers){0});
    assert_true(logged(world, "API_FAILED"));
    assert_has(world, "\"error_type\":\"ServiceException\"");
    assert_has(world, "\"cause\":\"the service failed\"");
    assert_has(world, "\"attempts\":2");
}

/* Validation quotes what it does not take. */
static void test_values_are_not_logged(void **state)
{
    struct world *world = *state;

    begin(world, "", 0);
    start(world);
    answer_with(
        world,
        (struct dd_fetch_answer){
            .status = 400,
            .body = DD_SPAN("{\"message\":\"2 validation errors detected: Value 'secret' "
                            "at 'payload' failed to satisfy constraint: Member must "
                            "have length less than or equal to 6291456; Value "
                            "'a secret' at 'checkpointToken' failed\"}")},
        (struct headers){.error_type = "ValidationException"});
    assert_true(logged(world, "API_FAILED"));
    assert_has(world, "detected: Value at 'checkpointToken' failed\"");
    assert_has(world, "\"cause\":\"a limit of the service is exceeded\"");
    assert_null(dd_span_find(dd_buf_span(&world->logged), "secret"));
}

static void test_a_call_of_another_level_is_told_of_once(void **state)
{
    struct world *world = *state;

    call(world, "session.novelty", json_object());
    assert_true(said(world, "Protocol.UnknownMethod"));
    assert_true(logged(world, "LEVELS_DIFFER"));
    assert_has(world, "\"method\":\"session.novelty\",\"protocol\":2,\"pid\":1");
    call(world, "session.novelty", json_object());
    assert_false(logged(world, "LEVELS_DIFFER"));
}

/* --- keys -------------------------------------------------------------------------------- */

static void give_keys(struct world *world, const char *name, const char *expires)
{
    char json[256];

    assert_string_equal(world->url, "http://169.254.170.2/keys");
    assert_string_equal(world->authorization, "let me in");
    (void)snprintf(json, sizeof json,
                   "{\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"s\",\"Expiration\":\"%s\"}",
                   name, expires);
    answer(world, json);
}

static void test_keys_are_renewed_before_they_expire(void **state)
{
    struct world *world =
        world_new(&(struct dd_aws_config){.endpoint = "https://lambda.test",
                                          .region = "us-east-1",
                                          .keys_url = "http://169.254.170.2/keys"});

    *state = world;
    begin(world, "m", 0);
    give_keys(world, "K1", "2026-01-02T04:04:05Z"); /* in an hour */
    assert_non_null(strstr(world->authorization, "Credential=K1/"));
    answer(world, "{\"Operations\":[]}");
    /* Four minutes before their end they are asked for, but the old ones still hold. */
    world->now_ms += 56 * 60 * 1000;
    start(world);
    assert_string_equal(world->url, "http://169.254.170.2/keys");
    refuse(world, 500, NULL, NULL);
    assert_non_null(strstr(world->authorization, "Credential=K1/"));
    answer(world, "{\"CheckpointToken\":\"t2\",\"NewExecutionState\":{\"Operations\":[]}}");
    assert_null(world->owner);
    /* After it they do not. */
    world->now_ms += 5 * 60 * 1000;
    begin(world, "m", 0);
    give_keys(world, "K2", "2026-01-02T09:04:05Z");
    assert_non_null(strstr(world->authorization, "Credential=K2/"));
}

static void test_without_a_region_no_call_is_made(void **state)
{
    struct world *world = world_new(
        &(struct dd_aws_config){.endpoint = "", .region = "x.test/", .access_key = "A"});

    *state = world;
    begin(world, "", 0);
    start(world);
    turn(world);
    assert_int_equal(world->fetches, 0);
    assert_true(said(world, "unwind"));
    end(world);
    assert_true(said(world, "raise") && said(world, "AWS_REGION"));
    assert_non_null(dd_span_find(dd_buf_span(&world->logged), "leave AWS_REGION as Lambda"));
}

/* --- the clock --------------------------------------------------------------------------- */

static void test_a_wrong_clock_is_no_failure(void **state)
{
    struct world *world = *state;

    world->now_ms -= 40 * 60 * 1000;
    begin(world, "m", 30000);
    assert_string_equal(world->time, "20260102T022405Z");
    refuse(world, 403, "InvalidSignatureException", NULL);
    assert_string_equal(world->time, "20260102T030405Z");
    answer(world, "{\"Operations\":[]}");
    start(world);
    assert_string_equal(world->time, "20260102T030405Z");
    /* Told the time and refused once more: it was not that. */
    refuse(world, 403, "InvalidSignatureException", NULL);
    turn(world);
    assert_null(world->owner);
    call(world, "session.end", json_pack("{s:i,s:b}", "session", 1, "unwound", 1));
    assert_true(said(world, "InvalidSignatureException"));
}

/* --- what cannot begin, and names that nobody has refused yet ------------------------------
 */

static void test_a_state_that_cannot_be_had_is_an_invocation_too(void **state)
{
    struct world *world = *state;

    begin(world, "m", 30000);
    refuse(world, 403, "AccessDeniedException", NULL);
    turn(world);
    assert_true(said(world, "InvalidParameterValueException"));
    assert_true(logged(world, "SESSION_ENDED"));
    assert_has(world, "\"outcome\":\"RETRIED\"");
}

static void test_an_event_without_an_execution_has_one_line(void **state)
{
    struct world *world = *state;

    call(world, "session.begin",
         json_pack(
             "{s:s,s:s}", "event",
             "{\"DurableExecutionArn\":\"arn:aws:lambda:r:1:function:f:1/durable-execution/"
             "n/i\",\"CheckpointToken\":\"t\",\"InitialExecutionState\":{"
             "\"Operations\":[]}}",
             "profile", "python"));
    assert_true(said(world, "the state has no EXECUTION operation"));
    assert_true(logged(world, "EVENT_REFUSED"));
    assert_false(logged(world, "SESSION_BEGUN"));
}

static void test_no_line_is_lost_for_its_length(void **state)
{
    struct world *world = *state;
    char name[30000];

    memset(name, '\1', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    begin(world, "", 30000);
    call(world, "session.start",
         json_pack("{s:i,s:i,s:i,s:i,s:s,s:s}", "session", 1, "operation", 1, "context", 0,
                   "position", 1, "type", "STEP", "name", name));
    dd_engine_disconnect(world->engine, world->peer, world->now_ms);
    dd_engine_report_open(world->engine, DD_SPAN("timeout"), world->now_ms);
    assert_true(logged(world, "SESSION_OPEN"));
    connect_peer(world);
    call(world, "session.begin",
         json_pack("{s:s,s:s,s:s}", "event", "{}", "profile", "python", "request_id", name));
    assert_true(said(world, "request_id: longer than 128 bytes"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_attempts_have_one_token_and_an_end),
        TEST(test_retry_after_is_kept),
        TEST(test_no_call_is_begun_too_near_the_deadline),
        TEST(test_a_call_has_the_time_until_the_deadline),
        TEST(test_the_sandbox_knows_the_deadline_too),
        TEST(test_pages_follow_each_other),
        TEST(test_an_idle_connection_is_not_trusted),
        TEST(test_nothing_is_under_way_for_a_client_that_is_gone),
        TEST(test_a_sandbox_that_goes_on_tells_of_a_lost_session_too),
        TEST(test_the_end_of_the_sandbox_says_why_a_session_was_lost),
        TEST(test_a_session_lost_at_its_deadline_met_the_timeout),
        TEST(test_interruptions_in_a_row),
        TEST(test_what_a_pending_invocation_awaits),
        TEST(test_the_service_takes_no_more),
        TEST(test_the_attempt_before_the_deadline_does_not_hide_the_cause),
        TEST(test_values_are_not_logged),
        TEST(test_a_call_of_another_level_is_told_of_once),
        TEST(test_a_wrong_clock_is_no_failure),
        TEST(test_a_state_that_cannot_be_had_is_an_invocation_too),
        TEST(test_an_event_without_an_execution_has_one_line),
        TEST(test_no_line_is_lost_for_its_length),
        cmocka_unit_test_teardown(test_keys_are_renewed_before_they_expire, teardown),
        cmocka_unit_test_teardown(test_without_a_region_no_call_is_made, teardown),
    };

    return cmocka_run_group_tests_name("backend_aws", tests, NULL, NULL);
}
