/* An engine that tests ask over HTTP; see http_world.h. */
#include "tests/unit/engine/http_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/limits.h"

/* --- ports ------------------------------------------------------------------------------- */

static void port_random(void *user, void *out_bytes, size_t len)
{
    struct http_world *world = user;

    dd_rng_fill(&world->rng, out_bytes, len);
}

static bool port_process_alive(void *user, int64_t pid, uint64_t started)
{
    (void)user;
    (void)pid;
    (void)started;
    return false;
}

static int64_t log_now(void *user)
{
    (void)user;
    return HTTP_WORLD_NOW_MS;
}

static void log_write(void *user, struct dd_span line)
{
    struct http_world *world = user;
    size_t len = strlen(world->logged);

    (void)snprintf(world->logged + len, sizeof world->logged - len, "%.*s", (int)line.len,
                   line.data);
}

static void on_durable(void *user, int status, const struct dd_error *error)
{
    (void)user;
    (void)error;
    assert_int_equal(status, 0);
}

/* --- the world --------------------------------------------------------------------------- */

void http_world_init(struct http_world *world)
{
    memset(world, 0, sizeof *world);
    dd_rng_seed(&world->rng, 1);
    world->log = (struct dd_log){
        .level = DD_LEVEL_WARN, .user = world, .now_ms = log_now, .write = log_write};
    world->config = (struct dd_engine_config){
        .ports = {.user = world, .random = port_random, .process_alive = port_process_alive},
        .log = &world->log,
        .version = "test",
        .socket = "/test/socket",
        .data = "/test/data",
        .http_hosts = "",
        .pid = 1,
        .connections_max = 1,
        .default_execution_timeout_s = DD_SECONDS_MAX,
        .default_retention_s = 14 * 86400,
        .memory_budget = DD_MEMORY_BUDGET,
        .service = {.region = "us-east-1", .account = "000000000000", .operations_max = 3000},
    };
}

void http_world_open(struct http_world *world)
{
    static const uint8_t random[32];
    struct dd_journal_config journal = {
        .on_durable = on_durable, .fold_records = 8, .fold_delay_ms = 100};
    struct dd_error error;

    world->store = dd_store_mem_new();
    journal.store = &world->store->store;
    assert_int_equal(dd_journal_open(&journal, random, &world->config.journal, &error), 0);
    world->engine = dd_engine_new(&world->config, HTTP_WORLD_NOW_MS);
}

/* What the loop does until it would sleep. */
static void settle(struct http_world *world)
{
    do {
        dd_engine_turn(world->engine, HTTP_WORLD_NOW_MS);
    } while (dd_store_mem_step(world->store));
}

void http_world_close(struct http_world *world)
{
    json_decref(world->answer);
    settle(world);
    dd_engine_disconnect_all(world->engine, HTTP_WORLD_NOW_MS);
    dd_engine_free(world->engine);
    dd_journal_close(world->config.journal);
    dd_store_mem_free(world->store);
}

void http_world_register(struct http_world *world, const char *name, bool plain)
{
    struct dd_function function = {.name = dd_text_cstr(name),
                                   .execution_timeout_s = 3600,
                                   .retention_s = 7 * 86400,
                                   .plain = plain};

    assert_true(dd_journal_register(world->config.journal, &function) > 0);
    dd_text_unref(function.name);
    settle(world);
}

/* --- requests ---------------------------------------------------------------------------- */

static struct dd_span find_header(const struct dd_http_request *request, const char *name)
{
    const struct http_world *world = request->user;

    for (size_t i = 0; i < HTTP_WORLD_HEADERS && world->headers[i].name; i++) {
        if (strcasecmp(world->headers[i].name, name) == 0)
            return dd_span_cstr(world->headers[i].value);
    }
    return strcasecmp(name, "Host") == 0 ? DD_SPAN("localhost") : DD_SPAN_NONE;
}

static void reply_send(void *user, const struct dd_http_answer *answer)
{
    struct http_world *world = user;

    assert_int_equal(world->status, 0);
    world->status = answer->status;
    for (size_t i = 0; i < answer->headers_len; i++) {
        if (strcmp(answer->headers[i].name, "x-amzn-errortype") == 0)
            (void)snprintf(world->error_type, sizeof world->error_type, "%s",
                           answer->headers[i].value);
    }
    if (answer->body_len > 0) {
        world->answer = json_loadb(answer->body, answer->body_len, 0, NULL);
        assert_non_null(world->answer);
    }
    dd_free(answer->body);
}

void http_world_ask(struct http_world *world, const char *method, const char *target)
{
    struct dd_http_request request = {
        .method = dd_span_cstr(method),
        .target = dd_span_cstr(target),
        .body = world->body.data ? world->body : DD_SPAN(""),
        .header = find_header,
        .user = world,
    };
    struct dd_http_reply reply = {world, reply_send};

    json_decref(world->answer);
    world->answer = NULL;
    world->status = 0;
    world->error_type[0] = '\0';
    (void)dd_engine_request(world->engine, &request, &reply, HTTP_WORLD_NOW_MS);
    settle(world);
    assert_int_not_equal(world->status, 0);
}

const json_t *http_world_member(const struct http_world *world, const char *path)
{
    const json_t *value = world->answer;
    char name[64];

    while (*path && value) {
        size_t len = strcspn(path, ".");

        (void)snprintf(name, sizeof name, "%.*s", (int)len, path);
        value = json_is_array(value) ? json_array_get(value, (size_t)strtoul(name, NULL, 10))
                                     : json_object_get(value, name);
        path += len + (path[len] == '.');
    }
    return value;
}

const char *http_world_text(const struct http_world *world, const char *path)
{
    const char *text = json_string_value(http_world_member(world, path));

    if (!text)
        fail_msg("no text at %s", path);
    return text;
}

void http_world_refused(const struct http_world *world, int status, const char *type,
                        const char *message)
{
    if (strcmp(world->error_type, type) != 0)
        fail_msg("%s: %s, not %s", world->error_type, http_world_text(world, "message"), type);
    assert_int_equal(world->status, status);
    assert_string_equal(http_world_text(world, "message"), message);
}
