/* Time, events and the daemon's life; see sim.h. */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "codec/pack.h"
#include "engine/journal_priv.h"

#define EPOCH_MS 1700000000000
#define EVENTS_MIN 200
#define CHAOS_MS 90000                 /* how long faults may happen */
#define QUIET_MS (40ll * 86400 * 1000) /* then all must end within this */
#define EVENTS_MAX 200000

struct event {
    struct dd_list node;
    int64_t at_ms;
    uint64_t number;
    event_fn fn;
    void *owner;
    uint64_t argument;
};

struct delivery {
    char *bytes;
    size_t len;
};

/* --- saying ------------------------------------------------------------------------------ */

bool chance(struct world *world, double probability)
{
    return dd_rng_unit(&world->rng) < probability;
}

int64_t between(struct world *world, int64_t low, int64_t high)
{
    return low + (int64_t)dd_rng_below(&world->rng, (uint64_t)(high - low + 1));
}

DD_PRINTF(2, 0)
static void print(const struct world *world, const char *format, va_list args)
{
    fprintf(stderr, "%9.3f  ", (double)(world->now_ms - EPOCH_MS) / 1000);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void say(const struct world *world, const char *format, ...)
{
    va_list args;

    if (!world->verbose)
        return;
    va_start(args, format);
    print(world, format, args);
    va_end(args);
}

void broken(const struct world *world, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print(world, format, args);
    va_end(args);
    fprintf(stderr,
            "seed %llu is broken after %llu events; replay: durabled_sim --seed %llu -v\n",
            (unsigned long long)world->seed, (unsigned long long)world->events_run,
            (unsigned long long)world->seed);
    _Exit(1);
}

/* --- events ------------------------------------------------------------------------------ */

void at(struct world *world, int64_t at_ms, event_fn fn, void *owner, uint64_t argument)
{
    struct event *event = dd_alloc(sizeof *event);
    struct dd_list *after = world->events.prev;

    event->at_ms = at_ms;
    event->number = ++world->last_event;
    event->fn = fn;
    event->owner = owner;
    event->argument = argument;
    while (after != &world->events && dd_container_of(after, struct event, node)->at_ms > at_ms)
        after = after->prev;
    dd_list_push(after->next, &event->node);
}

void cancel(struct world *world, const void *owner)
{
    dd_list_each(node, tmp, &world->events)
    {
        struct event *event = dd_container_of(node, struct event, node);

        if (event->owner == owner) {
            dd_list_remove(node);
            dd_free(event);
        }
    }
}

/* --- streams ----------------------------------------------------------------------------- */

static void conn_unref(struct conn *conn)
{
    if (--conn->references == 0)
        dd_free(conn);
}

static void deliver(struct world *world, void *owner, uint64_t argument)
{
    struct delivery *delivery = owner;
    struct conn *conn = (struct conn *)(uintptr_t)argument;
    size_t offset = 0;

    if (!conn->dropped && world->now_ms < conn->frozen_until_ms) {
        at(world, conn->frozen_until_ms, deliver, delivery, argument);
        return;
    }
    while (!conn->dropped && offset < delivery->len) {
        msgpack_unpacked message;
        const msgpack_object *items;

        msgpack_unpacked_init(&message);
        dd_assert(msgpack_unpack_next(&message, delivery->bytes, delivery->len, &offset) ==
                  MSGPACK_UNPACK_SUCCESS);
        items = message.data.via.array.ptr;
        conn->answered(conn->owner, conn, (uint32_t)items[1].via.u64,
                       items[2].type == MSGPACK_OBJECT_NIL ? NULL : &items[2],
                       items[3].type == MSGPACK_OBJECT_NIL ? NULL : &items[3]);
        msgpack_unpacked_destroy(&message);
    }
    dd_free(delivery->bytes);
    dd_free(delivery);
    conn_unref(conn);
}

static void stream_send(void *user, char *bytes, size_t len)
{
    struct conn *conn = user;
    struct delivery *delivery = dd_alloc(sizeof *delivery);

    delivery->bytes = bytes;
    delivery->len = len;
    conn->references++;
    /* Later ones are not earlier: `at` keeps the order of equal times. */
    at(conn->world, conn->world->now_ms + 1, deliver, delivery, (uint64_t)(uintptr_t)conn);
}

static void stream_read(void *user, bool on)
{
    (void)user;
    (void)on;
}

static void tell_lost(struct world *world, void *owner, uint64_t argument)
{
    struct conn *conn = owner;

    (void)world;
    (void)argument;
    if (!conn->dropped)
        conn->lost(conn->owner, conn);
    conn_unref(conn);
}

static void conn_detach(struct conn *conn)
{
    conn->peer = NULL;
    dd_list_remove(&conn->node);
    dd_list_init(&conn->node);
}

static void stream_close(void *user)
{
    struct conn *conn = user;

    conn_detach(conn);
    conn->references++;
    at(conn->world, conn->world->now_ms + between(conn->world, 0, 5), tell_lost, conn, 0);
}

struct conn *conn_open(struct world *world, int64_t pid, void *owner,
                       void (*answered)(void *owner, struct conn *conn, uint32_t call,
                                        const msgpack_object *error,
                                        const msgpack_object *result),
                       void (*lost)(void *owner, struct conn *conn))
{
    struct conn *conn;
    struct dd_stream stream;

    if (!world->engine)
        return NULL;
    conn = dd_alloc(sizeof *conn);
    stream = (struct dd_stream){conn, stream_send, stream_read, stream_close};
    conn->world = world;
    conn->owner = owner;
    conn->answered = answered;
    conn->lost = lost;
    conn->references = 1;
    conn->peer = dd_engine_connect(world->engine, (struct dd_credentials){pid, (uint64_t)pid},
                                   &stream, world->now_ms);
    dd_assert(conn->peer);
    dd_list_push(&world->conns, &conn->node);
    return conn;
}

void conn_drop(struct conn *conn)
{
    struct dd_peer *peer = conn->peer;

    conn->dropped = true;
    if (peer) {
        conn_detach(conn);
        dd_engine_disconnect(conn->world->engine, peer, conn->world->now_ms);
    }
    conn_unref(conn);
}

static void receive(struct world *world, void *owner, uint64_t argument)
{
    struct delivery *delivery = owner;
    struct conn *conn = (struct conn *)(uintptr_t)argument;

    if (conn->peer)
        (void)dd_engine_receive(world->engine, conn->peer,
                                dd_span_make(delivery->bytes, delivery->len), world->now_ms);
    dd_free(delivery->bytes);
    dd_free(delivery);
    conn_unref(conn);
}

void conn_send_bytes(struct conn *conn, const void *bytes, size_t len)
{
    struct delivery *delivery = dd_alloc(sizeof *delivery);

    delivery->bytes = dd_alloc(len);
    memcpy(delivery->bytes, bytes, len);
    delivery->len = len;
    conn->references++;
    at(conn->world, conn->world->now_ms + 1, receive, delivery, (uint64_t)(uintptr_t)conn);
}

static void pack_error(msgpack_packer *packer, const char *type)
{
    msgpack_pack_map(packer, 2);
    dd_pack_cstr(packer, "ErrorType");
    dd_pack_cstr(packer, type);
    dd_pack_cstr(packer, "ErrorMessage");
    dd_pack_cstr(packer, "simulated");
}

static void pack_retry(msgpack_packer *packer, int attempts)
{
    msgpack_pack_map(packer, 6);
    dd_pack_cstr(packer, "max_attempts");
    msgpack_pack_int(packer, attempts);
    dd_pack_cstr(packer, "backoff");
    dd_pack_cstr(packer, "exponential");
    dd_pack_cstr(packer, "jitter");
    dd_pack_cstr(packer, "FULL");
    dd_pack_cstr(packer, "initial_delay_s");
    msgpack_pack_double(packer, 2);
    dd_pack_cstr(packer, "max_delay_s");
    msgpack_pack_double(packer, 60);
    dd_pack_cstr(packer, "rate");
    msgpack_pack_double(packer, 2);
}

/* The functions that workers serve: of the operator's executions, and those that they
 * invoke, of which a child does not take long. */
static void pack_functions(msgpack_packer *packer)
{
    msgpack_pack_array(packer, 3);
    msgpack_pack_map(packer, 1);
    dd_pack_cstr(packer, "name");
    dd_pack_cstr(packer, "f");
    msgpack_pack_map(packer, 2);
    dd_pack_cstr(packer, "name");
    dd_pack_cstr(packer, "child");
    dd_pack_cstr(packer, "execution_timeout_s");
    msgpack_pack_int(packer, 600);
    msgpack_pack_map(packer, 2);
    dd_pack_cstr(packer, "name");
    dd_pack_cstr(packer, "plain");
    dd_pack_cstr(packer, "durable");
    dd_pack_bool(packer, false);
}

static void pack_criterion(msgpack_packer *packer, const char *name, int64_t value)
{
    if (value < 0)
        return;
    dd_pack_cstr(packer, name);
    msgpack_pack_int64(packer, value);
}

static void pack_batch(msgpack_packer *packer, const struct op *op)
{
    const struct criteria *criteria = &op->criteria;

    msgpack_pack_map(packer, 5 + (size_t)(criteria->min_successful >= 0) +
                                 (criteria->tolerated_count >= 0) +
                                 (criteria->tolerated_percentage >= 0));
    pack_criterion(packer, "total", (int64_t)op->body->len);
    dd_pack_cstr(packer, "sub_type");
    dd_pack_cstr(packer, "MapIteration");
    pack_criterion(packer, "max_concurrency", criteria->max_concurrency);
    dd_pack_cstr(packer, "ask");
    dd_pack_bool(packer, op->ask);
    dd_pack_cstr(packer, "virtual");
    dd_pack_bool(packer, op->is_virtual);
    pack_criterion(packer, "min_successful", criteria->min_successful);
    pack_criterion(packer, "tolerated_failure_count", criteria->tolerated_count);
    if (criteria->tolerated_percentage >= 0) {
        dd_pack_cstr(packer, "tolerated_failure_percentage");
        msgpack_pack_double(packer, (double)criteria->tolerated_percentage);
    }
}

static void pack_handles(msgpack_packer *packer, size_t len, const uint32_t *handles)
{
    msgpack_pack_array(packer, len);
    for (size_t i = 0; i < len; i++)
        msgpack_pack_uint32(packer, handles[i]);
}

static void pack_texts(msgpack_packer *packer, size_t len, const char *const *texts)
{
    msgpack_pack_array(packer, len);
    for (size_t i = 0; i < len; i++)
        dd_pack_cstr(packer, texts[i]);
}

uint32_t conn_call(struct conn *conn, const char *method, const char *format, ...)
{
    msgpack_packer packer;
    struct dd_buf buf;
    va_list args;

    dd_buf_init(&buf, DD_FRAME_MAX);
    dd_pack_init(&packer, &buf);
    msgpack_pack_array(&packer, 4);
    msgpack_pack_int(&packer, 0);
    msgpack_pack_uint32(&packer, ++conn->last_call);
    dd_pack_cstr(&packer, method);
    msgpack_pack_array(&packer, 1);
    msgpack_pack_map(&packer, strlen(format));
    va_start(args, format);
    for (const char *kind = format; *kind; kind++) {
        dd_pack_cstr(&packer, va_arg(args, const char *));
        if (*kind == 's') {
            dd_pack_cstr(&packer, va_arg(args, const char *));
        } else if (*kind == 'i') {
            msgpack_pack_int64(&packer, va_arg(args, int64_t));
        } else if (*kind == 'b') {
            dd_pack_bool(&packer, va_arg(args, int));
        } else if (*kind == '[') {
            size_t len = va_arg(args, size_t);

            pack_handles(&packer, len, va_arg(args, const uint32_t *));
        } else if (*kind == 'S') {
            size_t len = va_arg(args, size_t);

            pack_texts(&packer, len, va_arg(args, const char *const *));
        } else if (*kind == 'E') {
            pack_error(&packer, va_arg(args, const char *));
        } else if (*kind == 'R') {
            pack_retry(&packer, va_arg(args, int));
        } else if (*kind == 'B') {
            pack_batch(&packer, va_arg(args, const struct op *));
        } else {
            dd_assert(*kind == 'F');
            pack_functions(&packer);
        }
    }
    va_end(args);
    conn_send_bytes(conn, buf.data, buf.len);
    dd_buf_deinit(&buf);
    return conn->last_call;
}

/* --- looking into answers ---------------------------------------------------------------- */

const msgpack_object *member(const msgpack_object *map, const char *name)
{
    for (uint32_t i = 0; map && map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++) {
        const msgpack_object_kv *pair = &map->via.map.ptr[i];

        if (dd_span_is(dd_span_make(pair->key.via.str.ptr, pair->key.via.str.size), name))
            return &pair->val;
    }
    return NULL;
}

const char *member_text(const msgpack_object *map, const char *name, char *out, size_t size)
{
    const msgpack_object *value = member(map, name);

    if (value && value->type == MSGPACK_OBJECT_STR)
        snprintf(out, size, "%.*s", (int)value->via.str.size, value->via.str.ptr);
    else
        out[0] = 0;
    return out;
}

int64_t member_int(const msgpack_object *map, const char *name)
{
    const msgpack_object *value = member(map, name);

    return value ? value->via.i64 : 0;
}

/* --- the daemon -------------------------------------------------------------------------- */

static void port_random(void *user, void *out_bytes, size_t len)
{
    struct world *world = user;

    dd_rng_fill(&world->rng, out_bytes, len);
}

bool process_alive(struct world *world, int64_t pid)
{
    return worker_process_alive(world, pid);
}

static bool port_process_alive(void *user, int64_t pid, uint64_t started)
{
    (void)started;
    return process_alive(user, pid);
}

static int64_t log_now(void *user)
{
    struct world *world = user;

    return world->now_ms;
}

static void log_write(void *user, struct dd_span line)
{
    struct world *world = user;

    if (world->verbose)
        fprintf(stderr, "           | %.*s", (int)line.len, line.data);
}

static void on_durable(void *user, int status, const struct dd_error *error)
{
    struct world *world = user;

    if (world->engine)
        dd_engine_durable(world->engine, status, error);
}

static void daemon_start(struct world *world, void *owner, uint64_t argument)
{
    struct dd_journal_config journal = {
        .store = &world->store->store,
        .on_durable = on_durable,
        .user = world,
        .fold_records = 16,
        .fold_delay_ms = 100,
    };
    struct dd_engine_config config = {
        .ports = {.user = world, .random = port_random, .process_alive = port_process_alive},
        .log = &world->log,
        .version = "sim",
        .mode = "serve",
        .socket = "/sim/socket",
        .data = "/sim/data",
        .pid = 1,
        .default_execution_timeout_s = 31622400,
        .default_retention_s = 30 * 86400,
        .connections_max = DD_CONNECTIONS_MAX,
        .memory_budget = 20000, /* so that executions leave memory and come back */
        .service = {.region = "us-east-1", .account = "000000000000", .operations_max = 3000},
    };
    uint8_t random[32];
    struct dd_error error;

    (void)owner;
    (void)argument;
    /* Of a state in several pages the handler sees the first while the rest is read. */
    if (dd_rng_unit(&world->rng) < 0.5)
        config.page_items = 1 + (size_t)(dd_rng_unit(&world->rng) * 4);
    /* As the extension has it. */
    if (dd_rng_unit(&world->rng) < 0.3)
        config.gather_ms = DD_GATHER_MS;
    dd_rng_fill(&world->rng, random, sizeof random);
    if (dd_journal_open(&journal, random, &world->journal, &error) != 0)
        broken(world, "the store cannot be opened: %s", error.text);
    config.journal = world->journal;
    world->engine = dd_engine_new(&config, world->now_ms);
    say(world, "the daemon is up");
    oracle_children(world);
}

static void daemon_crash(struct world *world)
{
    struct dd_engine *engine = world->engine;

    if (!engine)
        return;
    say(world, "the daemon dies");
    covered("daemon crashed");
    world->crashes++;
    if (world->store->batch && !world->store->applied) {
        bool kept = chance(world, 0.5) && !world->store->failed;

        if (kept)
            dd_store_mem_apply(world->store);
        covered(kept ? "crash with a commit in flight kept"
                     : "crash with a commit in flight lost");
    }
    world->engine = NULL;
    dd_engine_disconnect_all(engine, world->now_ms);
    while (!dd_list_empty(&world->conns))
        stream_close(dd_container_of(world->conns.next, struct conn, node));
    dd_engine_free(engine);
    dd_store_mem_crash(world->store);
    world->journal->committing = false;
    dd_journal_close(world->journal);
    world->journal = NULL;
    at(world, world->now_ms + between(world, 1, 3000), daemon_start, NULL, 0);
}

static void commit_ends(struct world *world, void *owner, uint64_t argument)
{
    (void)owner;
    (void)argument;
    world->ticking = false;
    if (world->engine)
        (void)dd_store_mem_step(world->store);
}

static void crash_now(struct world *world, void *owner, uint64_t argument)
{
    (void)owner;
    (void)argument;
    daemon_crash(world);
}

static void due(struct world *world, void *owner, uint64_t argument)
{
    (void)owner;
    (void)argument;
    world->next_due_ms = 0;
}

/* What the loop does between two events. */
static void turn(struct world *world)
{
    struct dd_error error;
    int64_t next;

    if (!world->engine)
        return;
    dd_engine_turn(world->engine, world->now_ms);
    if (dd_engine_failed(world->engine)) {
        say(world, "the store failed for good");
        daemon_crash(world);
        return;
    }
    if (dd_engine_check(world->engine, &error) != 0)
        broken(world, "invariant: %s", error.text);
    if (world->store->batch && !world->ticking) {
        world->ticking = true;
        at(world, world->now_ms + between(world, 0, chance(world, 0.02) ? 200 : 4), commit_ends,
           NULL, 0);
        if (world->faults && chance(world, 0.003))
            at(world, world->now_ms, crash_now, NULL, 0);
    }
    next = dd_engine_next_due(world->engine);
    if (next && next < world->now_ms)
        next = world->now_ms;
    if (next && (!world->next_due_ms || next < world->next_due_ms)) {
        world->next_due_ms = next;
        at(world, next, due, NULL, 0);
    }
}

/* --- chaos ------------------------------------------------------------------------------- */

static void room_again(struct world *world, void *owner, uint64_t argument)
{
    (void)owner;
    (void)argument;
    world->store->usage.disk_free_bytes = world->store->usage.disk_bytes;
    world->store->fault = DD_STORE_MEM_FINE;
    world->store->fault_stays = false;
    covered("disk full and free again");
}

static void store_chaos(struct world *world)
{
    switch (between(world, 0, 2)) {
    case 0:
        covered("commit failed");
        world->store->fault = DD_STORE_MEM_FAIL;
        return;
    case 1:
        covered("commit failed and kept");
        world->store->fault = DD_STORE_MEM_FAIL_LATE;
        return;
    default:
        covered("store full");
        world->store->usage.disk_free_bytes = 0;
        if (chance(world, 0.5)) {
            world->store->fault = DD_STORE_MEM_FULL;
            world->store->fault_stays = true;
        }
        at(world, world->now_ms + between(world, 100, 5000), room_again, NULL, 0);
    }
}

static void clock_chaos(struct world *world)
{
    if (chance(world, 0.5)) {
        covered("clock forward");
        world->now_ms += between(world, 1, 7200000);
    } else {
        int64_t back = between(world, 1, 3000);

        covered("clock back");
        world->now_ms -= back;
        world->back_ms += back;
    }
}

static void chaos(struct world *world, void *owner, uint64_t argument)
{
    (void)owner;
    if (!world->faults)
        return;
    if (argument == 0 || chance(world, 0.2)) /* each world has one crash at least */
        daemon_crash(world);
    else if (chance(world, 0.6))
        workers_chaos(world);
    else if (chance(world, 0.4))
        store_chaos(world);
    else if (chance(world, 0.3))
        clock_chaos(world);
    hostile_act(world);
    at(world, world->now_ms + between(world, 1, 6000), chaos, NULL, argument + 1);
}

/* --- a world ----------------------------------------------------------------------------- */

static void step(struct world *world)
{
    struct event *event;

    dd_assert(!dd_list_empty(&world->events));
    event = dd_container_of(dd_list_pop(&world->events), struct event, node);
    if (event->at_ms > world->now_ms)
        world->now_ms = event->at_ms;
    world->events_run++;
    event->fn(world, event->owner, event->argument);
    dd_free(event);
    turn(world);
}

static void world_init(struct world *world, uint64_t seed, bool verbose)
{
    memset(world, 0, sizeof *world);
    world->seed = seed;
    world->verbose = verbose;
    world->now_ms = EPOCH_MS;
    dd_rng_seed(&world->rng, seed);
    dd_list_init(&world->events);
    dd_list_init(&world->conns);
    world->log = (struct dd_log){.level = DD_LEVEL_DEBUG,
                                 .readable = true,
                                 .user = world,
                                 .now_ms = log_now,
                                 .write = log_write};
    if (!verbose)
        world->log.level = DD_LEVEL_ERROR;
    world->store = dd_store_mem_new();
    world->oracle = oracle_new();
    daemon_start(world, NULL, 0);
    for (size_t i = 0; i < SIM_WORKERS; i++)
        worker_start(world, i);
    operator_start(world);
}

static void world_deinit(struct world *world)
{
    operator_free(world);
    workers_free(world);
    if (world->engine)
        daemon_crash(world);
    while (!dd_list_empty(&world->events)) {
        struct event *event = dd_container_of(dd_list_pop(&world->events), struct event, node);

        /* Deliveries own their bytes and a reference. */
        if (event->fn == deliver || event->fn == receive || event->fn == tell_lost)
            event->fn(world, event->owner, event->argument);
        dd_free(event);
    }
    dd_store_mem_free(world->store);
    oracle_free(world->oracle);
}

static void until_content(struct world *world)
{
    int64_t deadline = world->now_ms + QUIET_MS;

    while (!operator_content(world)) {
        step(world);
        if (world->now_ms > deadline || world->events_run > EVENTS_MAX)
            broken(world, "not everything ended: %zu executions are still open",
                   operator_count(world, "RUNNING"));
    }
}

void world_run(uint64_t seed, bool verbose)
{
    struct world world;
    int64_t until;

    world_init(&world, seed, verbose);
    world.faults = true;
    at(&world, world.now_ms + between(&world, 1, 3000), chaos, NULL, 0);
    until = world.now_ms + CHAOS_MS;
    while (world.now_ms < until || world.events_run < EVENTS_MIN || world.crashes == 0)
        step(&world);
    world.faults = false;
    operator_stops_starting(&world);
    until_content(&world);
    oracle_children(&world);
    world_deinit(&world);
}

static void nothing(struct world *world, void *owner, uint64_t argument)
{
    (void)world;
    (void)owner;
    (void)argument;
}

static void pass(struct world *world, int64_t ms)
{
    int64_t until = world->now_ms + ms;

    at(world, until, nothing, NULL, 0);
    while (world->now_ms < until)
        step(world);
}

void outage_run(uint64_t seed, bool verbose)
{
    struct world world;
    int64_t from_ms, until_ms;

    world_init(&world, seed, verbose);
    pass(&world, 10000);
    operator_stops_starting(&world);
    worker_stop_all(&world, seed % 2 == 0);
    from_ms = world.now_ms;
    pass(&world, 3600 * 1000);
    until_ms = world.now_ms;
    worker_stop_all(&world, false);
    for (size_t i = 0; i < SIM_WORKERS; i++)
        worker_start(&world, i);
    until_content(&world);
    if (operator_failed_between(&world, from_ms, until_ms))
        broken(&world, "an execution failed while no worker was well");
    world_deinit(&world);
}
