/* Hosted functions over made-up processes: what is started, given, killed and failed, and
 * when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <strings.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "tests/lib/store_mem.h"

#define START_MS 1767323045000
#define PROCESSES_MAX 80
#define NEXT "/2018-06-01/runtime/invocation/next"

struct answer {
    int status; /* 0: none yet */
    char request_id[40];
    char body[1024];
};

struct process {
    void *owner; /* NULL: its end was told */
    struct dd_runtime_call *parked;
    struct answer answer; /* to the last request of its own */
    bool killed;
};

struct world {
    struct dd_engine_config config;
    struct dd_log log;
    struct dd_store_mem *store;
    struct dd_engine *engine;
    struct dd_rng rng;
    struct dd_hosted hosted[8];
    struct process processes[PROCESSES_MAX];
    size_t len;
    struct answer invoked[PROCESSES_MAX]; /* by the order of invoke() */
    struct dd_exchange *exchanges[PROCESSES_MAX];
    size_t invoked_len;
    bool refuse; /* no process can be had */
    int64_t now_ms;
};

/* --- ports ------------------------------------------------------------------------------- */

static void port_random(void *user, void *out_bytes, size_t len)
{
    dd_rng_fill(&((struct world *)user)->rng, out_bytes, len);
}

static bool port_process_alive(void *user, int64_t pid, uint64_t started)
{
    (void)user;
    (void)pid;
    (void)started;
    return false;
}

static void process_kill(void *user)
{
    ((struct process *)user)->killed = true;
}

static int port_process_start(void *user, const struct dd_process_spec *spec, void *owner,
                              struct dd_process *out, struct dd_error *error)
{
    struct world *world = user;
    struct process *process = &world->processes[world->len];

    if (world->refuse)
        return dd_fail(error, DD_SYSTEM, "%s: no more processes", spec->command[0]);
    assert_true(world->len < PROCESSES_MAX);
    process->owner = owner;
    *out = (struct dd_process){process, (int64_t)(100 + world->len), 1, process_kill};
    world->len++;
    return 0;
}

static int64_t log_now(void *user)
{
    (void)user;
    return START_MS;
}

static void log_write(void *user, struct dd_span line)
{
    (void)user;
    (void)line;
}

static void on_durable(void *user, int status, const struct dd_error *error)
{
    (void)user;
    (void)error;
    assert_int_equal(status, 0);
}

/* --- the world --------------------------------------------------------------------------- */

static void settle(struct world *world)
{
    do {
        dd_engine_turn(world->engine, world->now_ms);
    } while (dd_store_mem_step(world->store));
}

static void advance(struct world *world, int64_t ms)
{
    world->now_ms += ms;
    settle(world);
}

static int setup(void **state)
{
    static char *command[] = {(char *)(uintptr_t) "run", NULL};
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    static const uint8_t random[32];
    static struct world world;
    struct dd_journal_config journal = {
        .on_durable = on_durable, .fold_records = 8, .fold_delay_ms = 100};
    struct dd_error error;

    memset(&world, 0, sizeof world);
    dd_rng_seed(&world.rng, 1);
    world.now_ms = START_MS;
    world.log = (struct dd_log){.level = DD_LEVEL_ERROR, .now_ms = log_now, .write = log_write};
    for (size_t i = 0; i < DD_COUNT(names); i++)
        world.hosted[i] = (struct dd_hosted){
            .name = (char *)(uintptr_t)names[i],
            .command = command,
            .timeout_s = 5,
            .processes = 10,
        };
    world.config = (struct dd_engine_config){
        .ports = {.user = &world,
                  .random = port_random,
                  .process_alive = port_process_alive,
                  .process_start = port_process_start},
        .log = &world.log,
        .version = "test",
        .mode = "dev",
        .socket = "/test/socket",
        .data = "/test/data",
        .http_hosts = "",
        .pid = 1,
        .connections_max = 1,
        .default_execution_timeout_s = DD_SECONDS_MAX,
        .default_retention_s = 14 * 86400,
        .memory_budget = DD_MEMORY_BUDGET,
        .service = {.region = "us-east-1", .account = "000000000000", .operations_max = 3000},
        .hosted = world.hosted,
        .hosted_len = DD_COUNT(world.hosted),
    };
    world.store = dd_store_mem_new();
    journal.store = &world.store->store;
    assert_int_equal(dd_journal_open(&journal, random, &world.config.journal, &error), 0);
    world.engine = dd_engine_new(&world.config, world.now_ms);
    settle(&world);
    *state = &world;
    return 0;
}

/* The end of process `i`: its peer is gone, then itself. */
static void end(struct world *world, size_t i, int64_t status, int signal)
{
    struct process *process = &world->processes[i];
    void *owner = process->owner;

    if (process->parked)
        dd_engine_runtime_cancel(world->engine, process->parked, world->now_ms);
    process->parked = NULL;
    process->owner = NULL;
    dd_engine_process_ended(world->engine, owner, status, signal, world->now_ms);
}

static int teardown(void **state)
{
    struct world *world = *state;

    settle(world);
    for (size_t i = 0; i < world->invoked_len; i++) {
        if (world->invoked[i].status == 0)
            dd_engine_cancel(world->engine, world->exchanges[i], world->now_ms);
    }
    dd_engine_disconnect_all(world->engine, world->now_ms);
    dd_engine_kill(world->engine);
    for (size_t i = 0; i < world->len; i++) {
        if (world->processes[i].owner)
            end(world, i, 0, 9);
    }
    assert_int_equal(dd_engine_processes(world->engine), 0);
    dd_engine_free(world->engine);
    dd_journal_close(world->config.journal);
    dd_store_mem_free(world->store);
    return 0;
}

/* --- requests ---------------------------------------------------------------------------- */

static struct dd_span find_header(const struct dd_http_request *request, const char *name)
{
    (void)request;
    return strcasecmp(name, "Host") == 0 ? DD_SPAN("127.0.0.1:1") : DD_SPAN_NONE;
}

static void reply_send(void *user, const struct dd_http_answer *answer)
{
    struct answer *out = user;

    out->status = answer->status;
    for (size_t i = 0; i < answer->headers_len; i++) {
        if (strcmp(answer->headers[i].name, "Lambda-Runtime-Aws-Request-Id") == 0)
            (void)snprintf(out->request_id, sizeof out->request_id, "%s",
                           answer->headers[i].value);
    }
    (void)snprintf(out->body, sizeof out->body, "%.*s", (int)answer->body_len, answer->body);
    dd_free(answer->body);
}

/* Invokes a function; its answer will be the next of `invoked`. */
static struct answer *begin(struct world *world, const char *function)
{
    size_t at = world->invoked_len++;
    struct answer *answer = &world->invoked[at];
    struct dd_http_reply reply = {answer, reply_send};
    char target[80];
    struct dd_http_request request = {
        .method = DD_SPAN("POST"), .body = DD_SPAN("{}"), .header = find_header};

    (void)snprintf(target, sizeof target, "/2015-03-31/functions/%s/invocations", function);
    request.target = dd_span_cstr(target);
    world->exchanges[at] = dd_engine_request(world->engine, &request, &reply, world->now_ms);
    return answer;
}

static struct answer *invoke(struct world *world, const char *function)
{
    struct answer *answer = begin(world, function);

    settle(world);
    return answer;
}

/* Process `i` asks; returns the answer that is there then. */
static const struct answer *ask(struct world *world, size_t i, const char *method,
                                const char *target, const char *body)
{
    struct process *process = &world->processes[i];
    struct dd_http_reply reply = {&process->answer, reply_send};
    struct dd_http_request request = {
        .method = dd_span_cstr(method),
        .target = dd_span_cstr(target),
        .body = dd_span_cstr(body),
        .header = find_header,
    };

    process->answer = (struct answer){0};
    process->parked = dd_engine_runtime_request(world->engine, process->owner, &request, &reply,
                                                world->now_ms);
    settle(world);
    if (process->answer.status)
        process->parked = NULL;
    return &process->answer;
}

static const struct answer *next(struct world *world, size_t i)
{
    return ask(world, i, "GET", NEXT, "");
}

/* What was parked may have been answered since. */
static bool was_given(struct world *world, size_t i)
{
    if (world->processes[i].answer.status == 0)
        return false;
    world->processes[i].parked = NULL;
    return true;
}

static void respond(struct world *world, size_t i, const char *body)
{
    char target[120];

    (void)snprintf(target, sizeof target, "/2018-06-01/runtime/invocation/%s/response",
                   world->processes[i].answer.request_id);
    assert_int_equal(ask(world, i, "POST", target, body)->status, 202);
}

/* --- tests ------------------------------------------------------------------------------- */

static void test_one_process_serves_one_after_another(void **state)
{
    struct world *world = *state;
    struct answer *first = invoke(world, "a"), *second;

    assert_int_equal(world->len, 1);
    assert_int_equal(next(world, 0)->status, 200);
    assert_string_equal(world->processes[0].answer.body, "{}");
    respond(world, 0, "1");
    assert_string_equal(first->body, "1");
    assert_int_equal(next(world, 0)->status, 0);
    second = invoke(world, "a");
    assert_int_equal(world->len, 1);
    assert_true(was_given(world, 0));
    respond(world, 0, "2");
    assert_string_equal(second->body, "2");
}

static void test_a_process_that_cannot_be_had(void **state)
{
    struct world *world = *state;
    struct answer *answer;

    world->refuse = true;
    answer = invoke(world, "a");
    assert_non_null(strstr(answer->body, "Runtime.InvalidEntrypoint"));
    assert_non_null(strstr(answer->body, "run: no more processes"));
    world->refuse = false;
    (void)invoke(world, "a");
    assert_int_equal(next(world, 0)->status, 200);
}

static void test_a_start_that_hangs(void **state)
{
    struct world *world = *state;
    struct answer *answer = invoke(world, "a");

    advance(world, DD_INIT_TIMEOUT_MS + 4999);
    assert_int_equal(answer->status, 0);
    advance(world, 1);
    assert_non_null(strstr(answer->body, "Sandbox.Timedout"));
    assert_true(world->processes[0].killed);
    /* It gets nothing, even if it asks before it ends. */
    (void)invoke(world, "a");
    assert_int_equal(next(world, 0)->status, 0);
    assert_int_equal(world->len, 2);
    assert_int_equal(next(world, 1)->status, 200);
}

static void test_a_start_that_fails_fails_what_was_next(void **state)
{
    struct world *world = *state;
    struct answer *first = invoke(world, "a"), *second;

    assert_int_equal(ask(world, 0, "POST", "/2018-06-01/runtime/init/error",
                         "{\"errorType\":\"No\",\"errorMessage\":\"why\"}")
                         ->status,
                     202);
    assert_int_equal(first->status, 0);
    end(world, 0, 1, 0);
    settle(world);
    assert_string_equal(first->body, "{\"errorMessage\":\"why\",\"errorType\":\"No\"}");
    second = invoke(world, "a");
    end(world, 1, 3, 0);
    settle(world);
    assert_string_equal(second->body,
                        "{\"errorMessage\":\"Runtime exited with error: exit status 3\","
                        "\"errorType\":\"Runtime.ExitError\"}");
}

static void test_a_timeout_kills(void **state)
{
    struct world *world = *state;
    struct answer *answer = invoke(world, "a");
    size_t killed;

    assert_int_equal(next(world, 0)->status, 200);
    advance(world, 4999);
    assert_false(world->processes[0].killed);
    advance(world, 1);
    assert_true(world->processes[0].killed);
    assert_non_null(strstr(answer->body, "Task timed out after 5.00 seconds"));
    /* What it still says is about no invocation, and its end is nobody's failure. */
    killed = world->invoked_len;
    assert_int_equal(
        ask(world, 0, "POST", "/2018-06-01/runtime/invocation/x/response", "1")->status, 400);
    end(world, 0, 0, 9);
    settle(world);
    assert_int_equal(world->invoked_len, killed);
}

static void test_an_idle_process_ends(void **state)
{
    struct world *world = *state;

    (void)invoke(world, "a");
    assert_int_equal(next(world, 0)->status, 200);
    respond(world, 0, "1");
    assert_int_equal(next(world, 0)->status, 0);
    assert_int_equal(dd_engine_next_due(world->engine) > world->now_ms, 1);
    advance(world, DD_SANDBOX_IDLE_MS - 1);
    assert_false(world->processes[0].killed);
    advance(world, 1);
    assert_true(world->processes[0].killed);
}

static void test_changed_code_ends_the_idle_now_and_the_busy_after(void **state)
{
    struct world *world = *state;
    struct answer *answer = invoke(world, "a");

    assert_int_equal(next(world, 0)->status, 200);
    (void)invoke(world, "a");
    assert_int_equal(next(world, 1)->status, 200);
    respond(world, 1, "1");
    assert_int_equal(next(world, 1)->status, 0);
    dd_engine_reload(world->engine, 0, world->now_ms);
    assert_true(world->processes[1].killed);
    assert_false(world->processes[0].killed);
    respond(world, 0, "2");
    assert_string_equal(answer->body, "2");
    assert_int_equal(next(world, 0)->status, 0);
    assert_true(world->processes[0].killed);
}

static void test_no_more_than_its_processes(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < 12; i++)
        (void)invoke(world, "a");
    assert_int_equal(world->len, 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(next(world, i)->status, 200);
    respond(world, 3, "1");
    assert_int_equal(next(world, 3)->status, 200);
    assert_int_equal(world->len, 10);
}

static void test_the_longest_idle_makes_room(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g"};
    struct world *world = *state;
    size_t idle = 0, at = 0;

    while (at < DD_SANDBOXES_MAX) {
        (void)invoke(world, names[at / 10]);
        assert_int_equal(next(world, at)->status, 200);
        at++;
    }
    assert_int_equal(world->len, DD_SANDBOXES_MAX);
    (void)invoke(world, "h");
    assert_int_equal(world->len, DD_SANDBOXES_MAX); /* all are busy */
    idle = 5;
    respond(world, idle, "1");
    assert_int_equal(next(world, idle)->status, 0);
    assert_true(world->processes[idle].killed);
    end(world, idle, 0, 9);
    settle(world);
    assert_int_equal(world->len, DD_SANDBOXES_MAX + 1);
    assert_int_equal(next(world, DD_SANDBOXES_MAX)->status, 200);
}

static void test_a_process_that_dies_fails_its_invocation(void **state)
{
    struct world *world = *state;
    struct answer *answer = invoke(world, "a");

    assert_int_equal(next(world, 0)->status, 200);
    end(world, 0, 0, 11);
    settle(world);
    assert_non_null(
        strstr(answer->body, "Error: Runtime exited with error: signal: segmentation fault"));
}

/* What comes as an idle process dies is for another one. */
static void test_a_process_that_dies_idle_fails_nothing(void **state)
{
    struct world *world = *state;
    const struct answer *answer;

    (void)invoke(world, "a");
    assert_int_equal(next(world, 0)->status, 200);
    respond(world, 0, "1");
    assert_int_equal(next(world, 0)->status, 0);
    answer = begin(world, "a");
    end(world, 0, 1, 0);
    settle(world);
    assert_int_equal(answer->status, 0);
    assert_int_equal(world->len, 2);
    assert_int_equal(next(world, 1)->status, 200);
}

/* It dies between the invocation's record and its answer. */
static void test_a_process_that_dies_before_it_is_given_what_is_recorded(void **state)
{
    struct world *world = *state;
    struct process *process = &world->processes[0];
    struct answer *answer;

    (void)invoke(world, "a");
    assert_int_equal(next(world, 0)->status, 200);
    respond(world, 0, "1");
    assert_int_equal(next(world, 0)->status, 0);
    /* One turn and no commit: the invocation is in the gate. */
    answer = begin(world, "a");
    dd_engine_turn(world->engine, world->now_ms);
    assert_int_equal(process->answer.status, 0);
    end(world, 0, 1, 0);
    settle(world);
    assert_int_equal(process->answer.status, 0);
    assert_non_null(strstr(answer->body, "Runtime.ExitError"));
}

static void test_a_stop_ends_the_idle_and_waits_for_the_busy(void **state)
{
    struct world *world = *state;
    struct answer *answer = invoke(world, "a");

    assert_int_equal(next(world, 0)->status, 200);
    (void)invoke(world, "b");
    assert_int_equal(next(world, 1)->status, 200);
    respond(world, 1, "1");
    assert_int_equal(next(world, 1)->status, 0);
    dd_engine_stop(world->engine, world->now_ms);
    assert_true(world->processes[1].killed);
    assert_false(world->processes[0].killed);
    respond(world, 0, "2");
    assert_string_equal(answer->body, "2");
    assert_int_equal(next(world, 0)->status, 0);
    assert_true(world->processes[0].killed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_process_serves_one_after_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_process_that_cannot_be_had, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_start_that_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_start_that_fails_fails_what_was_next, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_timeout_kills, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_idle_process_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed_code_ends_the_idle_now_and_the_busy_after,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_more_than_its_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_longest_idle_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_process_that_dies_fails_its_invocation, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_process_that_dies_idle_fails_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_a_process_that_dies_before_it_is_given_what_is_recorded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stop_ends_the_idle_and_waits_for_the_busy, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
