/* Processes that serve functions; see sim.h. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define SLOTS 3
#define HANDLERS_MAX 64

struct worker {
    struct world *world;
    int64_t pid; /* 0: dead */
    char instance[32];
    struct conn *conn;
    bool registered;
    bool crash_loop; /* dies at each invocation */
    uint32_t register_call;
    uint32_t nexts[SLOTS];
    struct handler *handlers[HANDLERS_MAX];
    bool named[HANDLERS_MAX]; /* to the current connection, as unwinding */
    bool abandoned[HANDLERS_MAX];
    size_t handlers_len;
};

static void reconnect(struct world *world, void *owner, uint64_t argument);

static void ask(struct worker *worker, size_t slot)
{
    worker->nexts[slot] = conn_call(worker->conn, "worker.next", "");
}

static void forget_handler(struct worker *worker, size_t i)
{
    worker->handlers_len--;
    worker->handlers[i] = worker->handlers[worker->handlers_len];
    worker->named[i] = worker->named[worker->handlers_len];
    worker->abandoned[i] = worker->abandoned[worker->handlers_len];
}

static void drop_handler(struct worker *worker, size_t i)
{
    handler_free(worker->handlers[i]);
    forget_handler(worker, i);
}

static size_t index_of(const struct worker *worker, const struct handler *handler)
{
    size_t i = 0;

    while (worker->handlers[i] != handler)
        i++;
    return i;
}

/* --- invocations ------------------------------------------------------------------------- */

static void handler_done(void *owner, struct handler *handler, const char *output)
{
    struct worker *worker = owner;

    if (output)
        (void)conn_call(worker->conn, "worker.respond", "ss", "request_id",
                        handler_request_id(handler), "output", output);
    else
        (void)conn_call(worker->conn, "worker.fail", "sE", "request_id",
                        handler_request_id(handler), "error", "Raised");
    drop_handler(worker, index_of(worker, handler));
    for (size_t slot = 0; slot < SLOTS; slot++) {
        if (worker->nexts[slot] == 0) {
            ask(worker, slot);
            return;
        }
    }
}

/* The user code of a lost invocation has unwound. */
static void handler_gone(void *owner, struct handler *handler)
{
    struct worker *worker = owner;
    size_t i = index_of(worker, handler);
    const char *ids[] = {handler_request_id(handler)};

    if (worker->named[i] && worker->conn)
        (void)conn_call(worker->conn, "worker.release", "S", "request_ids", (size_t)1, ids);
    drop_handler(worker, i);
}

static void invoke(struct worker *worker, const msgpack_object *invocation)
{
    char request_id[64], function[64];
    static char event[256 * 1024]; /* UpdatedOperationIds may be many */

    member_text(invocation, "request_id", request_id, sizeof request_id);
    member_text(invocation, "function", function, sizeof function);
    member_text(invocation, "event", event, sizeof event);
    dd_assert(worker->handlers_len < HANDLERS_MAX);
    worker->named[worker->handlers_len] = false;
    worker->abandoned[worker->handlers_len] = false;
    worker->handlers[worker->handlers_len] = handler_new(
        worker->world, worker->conn, request_id, function, event, handler_done, worker);
    worker->handlers_len++;
}

/* --- the process ------------------------------------------------------------------------- */

static void start_again(struct world *world, void *owner, uint64_t argument)
{
    (void)owner;
    worker_start(world, argument);
}

static void die(struct world *world, void *owner, uint64_t argument)
{
    (void)owner;
    worker_kill(world, argument);
    at(world, world->now_ms + between(world, 10, 3000), start_again, NULL, argument);
}

static size_t number_of(const struct worker *worker)
{
    size_t i = 0;

    while (worker->world->workers[i] != worker)
        i++;
    return i;
}

static void answered(void *owner, struct conn *conn, uint32_t call, const msgpack_object *error,
                     const msgpack_object *result)
{
    struct worker *worker = owner;

    if (call == worker->register_call && !error) {
        worker->registered = true;
        for (size_t slot = 0; slot < SLOTS; slot++)
            ask(worker, slot);
        return;
    }
    for (size_t slot = 0; slot < SLOTS; slot++) {
        if (worker->nexts[slot] != call)
            continue;
        worker->nexts[slot] = 0;
        if (worker->crash_loop)
            at(worker->world, worker->world->now_ms, die, worker, number_of(worker));
        else if (result && member(result, "invocation"))
            invoke(worker, member(result, "invocation"));
        return;
    }
    for (size_t i = 0; i < worker->handlers_len; i++)
        if (handler_answered(worker->handlers[i], conn, call, error, result))
            return;
}

static void lost(void *owner, struct conn *conn)
{
    struct worker *worker = owner;

    conn_drop(conn);
    worker->conn = NULL;
    worker->registered = false;
    memset(worker->nexts, 0, sizeof worker->nexts);
    for (size_t i = worker->handlers_len; i-- > 0;) {
        if (!worker->abandoned[i]) {
            worker->abandoned[i] = true;
            handler_abandon(worker->handlers[i], handler_gone);
        }
    }
    at(worker->world, worker->world->now_ms + between(worker->world, 20, 1000), reconnect,
       worker, 0);
}

static void reconnect(struct world *world, void *owner, uint64_t argument)
{
    struct worker *worker = owner;
    const char *ids[HANDLERS_MAX];

    (void)argument;
    worker->conn = conn_open(world, worker->pid, worker, answered, lost);
    if (!worker->conn) {
        at(world, world->now_ms + between(world, 50, 1000), reconnect, worker, 0);
        return;
    }
    for (size_t i = 0; i < worker->handlers_len; i++) {
        ids[i] = handler_request_id(worker->handlers[i]);
        worker->named[i] = true;
        covered("worker came back unwinding");
    }
    (void)conn_call(worker->conn, "hello", "is", "level", (int64_t)2, "client", "sim");
    worker->register_call = conn_call(worker->conn, "worker.register", "FisS", "functions",
                                      "concurrency", (int64_t)SLOTS, "instance",
                                      worker->instance, "unwinding", worker->handlers_len, ids);
}

void worker_start(struct world *world, size_t index)
{
    struct worker *worker = world->workers[index];

    if (!worker)
        worker = world->workers[index] = dd_alloc(sizeof *worker);
    if (worker->pid)
        return;
    worker->world = world;
    worker->pid = 100 + (int64_t)++world->last_pid;
    snprintf(worker->instance, sizeof worker->instance, "w%lld", (long long)worker->pid);
    say(world, "worker %lld starts", (long long)worker->pid);
    reconnect(world, worker, 0);
}

void worker_kill(struct world *world, size_t index)
{
    struct worker *worker = world->workers[index];

    if (!worker->pid)
        return;
    say(world, "worker %lld dies", (long long)worker->pid);
    covered("worker killed");
    worker->pid = 0;
    worker->registered = false;
    while (worker->handlers_len > 0) {
        handler_die(worker->handlers[worker->handlers_len - 1]);
        forget_handler(worker, worker->handlers_len - 1);
    }
    memset(worker->nexts, 0, sizeof worker->nexts);
    cancel(world, worker);
    if (worker->conn)
        conn_drop(worker->conn);
    worker->conn = NULL;
}

/* Told to stop: hands back what it has, and ends. */
static void drain(struct world *world, size_t index)
{
    struct worker *worker = world->workers[index];
    const char *ids[HANDLERS_MAX];
    char copies[HANDLERS_MAX][64];
    size_t len = 0;

    if (!worker->registered)
        return;
    covered("worker drained");
    while (worker->handlers_len > 0) {
        snprintf(copies[len], sizeof copies[len], "%s",
                 handler_request_id(worker->handlers[0]));
        ids[len] = copies[len];
        len++;
        drop_handler(worker, 0);
    }
    memset(worker->nexts, 0, sizeof worker->nexts);
    (void)conn_call(worker->conn, "worker.drain", "");
    (void)conn_call(worker->conn, "worker.release", "S", "request_ids", len, ids);
    at(world, world->now_ms + between(world, 1, 10), die, worker, index);
}

void workers_chaos(struct world *world)
{
    size_t index = (size_t)between(world, 0, SIM_WORKERS - 1);
    struct worker *worker = world->workers[index];

    if (!worker->pid)
        return;
    switch (between(world, 0, 4)) {
    case 0:
    case 1:
        die(world, worker, index);
        return;
    case 2:
        if (worker->conn && worker->registered) {
            struct conn *conn = worker->conn;

            covered("worker lost its connection");
            if (worker->handlers_len > 0)
                covered("invocation held");
            lost(worker, conn);
        }
        return;
    case 3:
        if (worker->conn) {
            covered("worker hung");
            worker->conn->frozen_until_ms = world->now_ms + between(world, 100, 60000);
        }
        return;
    default:
        drain(world, index);
    }
}

void worker_stop_all(struct world *world, bool crash_loop)
{
    for (size_t i = 0; i < SIM_WORKERS; i++) {
        worker_kill(world, i);
        world->workers[i]->crash_loop = crash_loop;
        if (crash_loop)
            worker_start(world, i);
    }
}

bool worker_process_alive(struct world *world, int64_t pid)
{
    for (size_t i = 0; i < SIM_WORKERS; i++)
        if (world->workers[i] && world->workers[i]->pid == pid)
            return pid != 0;
    return false;
}

void workers_free(struct world *world)
{
    for (size_t i = 0; i < SIM_WORKERS; i++) {
        worker_kill(world, i);
        cancel(world, world->workers[i]);
        dd_free(world->workers[i]);
        world->workers[i] = NULL;
    }
}
