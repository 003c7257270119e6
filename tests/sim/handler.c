/* One invocation of a handler, as a state machine over the protocol; see sim.h.
 *
 * A strand has a stack of contexts. Each of its stages has one call open, whose
 * answer leads to the next stage. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"

#define DEPTH_MAX 4
#define STRANDS_MAX SIM_OPERATIONS_MAX
#define STARTED_MAX 8 /* operations of one body that are awaited at its end */

enum stage {
    STAGE_NEW,
    STAGE_SOON,   /* a branch that is asked for, and has not started; no call */
    STAGE_PROBE,  /* session.start that is to be refused */
    STAGE_START,  /* session.start */
    STAGE_BODY,   /* a step's body runs; no call */
    STAGE_AWAIT,  /* session.await of one operation */
    STAGE_CLOSE,  /* the outcome of a body is on its way */
    STAGE_JOIN,   /* session.await of what a context has started */
    STAGE_BATCH,  /* session.batch */
    STAGE_READY,  /* a batch is complete, and its result is being made; no call */
    STAGE_REPLAY, /* the branches of a complete batch run for their values; no call */
    STAGE_LEAVE,  /* the outcome of a context is on its way */
    STAGE_UNWIND, /* session.unwound */
    STAGE_OVER,
};

/* What a context has started, and awaits at its end. */
struct started {
    const struct op *op;
    uint32_t handle;
    bool complete;
};

struct frame {
    const struct body *body;
    const struct op *op; /* the CONTEXT; NULL: the handler's root */
    uint32_t handle;
    size_t at;
    uint32_t position;
    struct started started[STARTED_MAX];
    size_t started_len;
    struct batch batch; /* of a BATCH */
    bool failing;       /* an operation failed and was not caught */
};

struct strand {
    struct handler *handler;
    struct frame frames[DEPTH_MAX];
    size_t depth;
    enum stage stage;
    uint32_t call;       /* whose answer is awaited */
    uint32_t handle;     /* of the current operation */
    const char *refusal; /* PROBE: the code of it */
    int attempt;
    char payload[48];
    uint32_t own_handle;        /* of the strand itself; 0: the main one */
    struct strand *coordinator; /* of a branch: who runs its batch */
    uint32_t batch;             /* and that one's handle */
    bool unwound;
};

struct handler {
    struct world *world;
    struct conn *conn;
    struct program program;
    char execution[64]; /* its name; of a plain function: whom it works for */
    char request_id[64];
    int64_t session;
    uint32_t begin_call, end_call;
    uint32_t last_handle;
    struct strand strands[STRANDS_MAX];
    size_t strands_len;
    size_t bodies; /* that run now */
    bool plain;    /* the function is not durable */
    bool running;  /* user code may run */
    bool hasty;    /* told to unwind while a branch was about to start */
    void (*done)(void *owner, struct handler *handler, const char *output);
    void (*gone)(void *owner, struct handler *handler);
    void *owner;
};

static void proceed(struct strand *strand);

static struct frame *top(struct strand *strand)
{
    return &strand->frames[strand->depth - 1];
}

static const struct op *current(struct strand *strand)
{
    return &top(strand)->body->ops[top(strand)->at];
}

/* --- the end ----------------------------------------------------------------------------- */

static void end(struct handler *handler)
{
    struct strand *main = &handler->strands[0];
    char payload[96];

    if (main->unwound) {
        covered("handler suspended");
        handler->end_call = conn_call(handler->conn, "session.end", "ib", "session",
                                      handler->session, "unwound", 1);
    } else if (main->frames[0].failing || handler->program.raises) {
        covered("handler raised");
        handler->end_call = conn_call(handler->conn, "session.end", "iE", "session",
                                      handler->session, "error", "HandlerError");
    } else {
        covered("handler returned");
        snprintf(payload, sizeof payload, "\"%s\"", handler->execution);
        handler->end_call = conn_call(handler->conn, "session.end", "is", "session",
                                      handler->session, "payload", payload);
    }
}

static void batch_replayed(struct strand *coordinator);

static void strand_over(struct strand *strand)
{
    struct handler *handler = strand->handler;

    strand->stage = STAGE_OVER;
    if (strand->coordinator && strand->coordinator->stage == STAGE_REPLAY &&
        top(strand->coordinator)->handle == strand->batch)
        batch_replayed(strand->coordinator);
    for (size_t i = 0; i < handler->strands_len; i++)
        if (handler->strands[i].stage != STAGE_OVER)
            return;
    if (!handler->end_call)
        end(handler);
}

/* Only the end of the session unwinds the main strand; that of another may be the end of
 * what it is in. */
static bool branch_awaited(const struct strand *coordinator)
{
    const struct handler *handler = coordinator->handler;

    if (coordinator->own_handle || coordinator->stage != STAGE_BATCH)
        return false;
    for (size_t i = 0; i < handler->strands_len; i++)
        if (handler->strands[i].coordinator == coordinator &&
            handler->strands[i].stage == STAGE_SOON &&
            handler->strands[i].batch == coordinator->frames[coordinator->depth - 1].handle)
            return true;
    return false;
}

static void unwind(struct strand *strand)
{
    struct handler *handler = strand->handler;

    strand->unwound = true;
    if (branch_awaited(strand))
        handler->hasty = true;
    if (strand->coordinator)
        covered("branch unwound");
    if (!strand->own_handle) {
        strand_over(strand);
        return;
    }
    covered("strand unwound");
    strand->stage = STAGE_UNWIND;
    strand->call = conn_call(handler->conn, "session.unwound", "ii", "session",
                             handler->session, "operation", (int64_t)strand->own_handle);
}

/* --- contexts ---------------------------------------------------------------------------- */

static struct strand *strand_begin(struct handler *handler, const struct op *op,
                                   uint32_t own_handle)
{
    struct strand *strand = NULL;

    for (size_t i = 1; i < handler->strands_len; i++)
        if (handler->strands[i].own_handle == own_handle)
            strand = &handler->strands[i];
    if (strand && strand->stage != STAGE_OVER)
        broken(handler->world, "%s: a strand is wanted again while it runs",
               handler->execution);
    if (!strand) {
        dd_assert(handler->strands_len < STRANDS_MAX);
        strand = &handler->strands[handler->strands_len++];
    }
    memset(strand, 0, sizeof *strand);
    strand->handler = handler;
    strand->own_handle = own_handle;
    strand->depth = 1;
    strand->frames[0] = (struct frame){
        .body = op ? op->body : handler->program.root, .op = op, .handle = own_handle};
    return strand;
}

static void enter(struct strand *strand, const struct op *op)
{
    dd_assert(strand->depth < DEPTH_MAX);
    strand->frames[strand->depth++] =
        (struct frame){.body = op->body, .op = op, .handle = strand->handle};
}

/* Ends the context on top with its outcome. */
static void leave(struct strand *strand)
{
    struct handler *handler = strand->handler;
    struct frame *frame = top(strand);
    const char *payload;

    if (!frame->op) {
        strand_over(strand);
        return;
    }
    payload = frame->op->kind == OP_BATCH ? frame->batch.outcome : frame->op->name;
    if (frame->op->kind == OP_BRANCH && !frame->op->is_virtual)
        oracle_sent(handler->world, handler->execution, frame->op->name,
                    frame->failing ? "FAILED" : "SUCCEEDED");
    strand->stage = STAGE_LEAVE;
    if (frame->failing) {
        covered(frame->op->kind == OP_BRANCH ? "branch failed" : "child failed");
        strand->call =
            conn_call(handler->conn, "session.fail", "iiE", "session", handler->session,
                      "operation", (int64_t)frame->handle, "error", "ChildError");
    } else if (frame->op->large) {
        covered(frame->op->kind == OP_BATCH ? "batch large" : "child large");
        strand->call = conn_call(handler->conn, "session.succeed", "iibss", "session",
                                 handler->session, "operation", (int64_t)frame->handle,
                                 "replay_children", 1, "summary", payload, "payload", payload);
    } else {
        strand->call =
            conn_call(handler->conn, "session.succeed", "iis", "session", handler->session,
                      "operation", (int64_t)frame->handle, "payload", payload);
    }
}

static void join(struct strand *strand, bool any)
{
    struct handler *handler = strand->handler;
    struct frame *frame = top(strand);
    uint32_t handles[STARTED_MAX];
    size_t len = 0;

    for (size_t i = 0; i < frame->started_len; i++)
        if (!frame->started[i].complete)
            handles[len++] = frame->started[i].handle;
    if (len == 0) {
        if (frame->op && frame->op->kind == OP_BRANCH && frame->op->fails)
            frame->failing = true;
        leave(strand);
        return;
    }
    if (any)
        covered("await any");
    strand->stage = STAGE_JOIN;
    strand->call = conn_call(handler->conn, "session.await", "ii[b", "session",
                             handler->session, "context", (int64_t)frame->handle, "operations",
                             len, handles, "any", (int)any);
}

/* --- operations -------------------------------------------------------------------------- */

#define PLACE                                                                     \
    "session", handler->session, "operation", (int64_t)strand->handle, "context", \
        (int64_t)frame->handle, "position", (int64_t)frame->position, "name", op->name

/* Starts the current operation as it must not be; false: there is no such way. */
static bool start_wrongly(struct strand *strand)
{
    struct handler *handler = strand->handler;
    const struct op *op = current(strand);
    const struct frame *frame = top(strand);

    strand->stage = STAGE_PROBE;
    strand->refusal = "Protocol.InvalidParams";
    if (op->kind == OP_STEP &&
        oracle_is_complete(handler->world, handler->execution, op->name)) {
        strand->refusal = "NonDeterministicExecutionError";
        strand->call =
            conn_call(handler->conn, "session.start", "iiiiss", "session", handler->session,
                      "operation", (int64_t)strand->handle, "context", (int64_t)frame->handle,
                      "position", (int64_t)frame->position, "type", "STEP", "name", "changed");
    } else if (op->kind == OP_INVOKE) {
        covered("invoke that names no function");
        strand->call = conn_call(handler->conn, "session.start", "iiiiss", PLACE, "type",
                                 "CHAINED_INVOKE");
    } else if (op->kind == OP_BATCH) {
        covered("batch that is virtual");
        strand->call = conn_call(handler->conn, "session.start", "iiiisssBb", PLACE, "type",
                                 "CONTEXT", "sub_type", "Map", "batch", op, "virtual", 1);
    } else {
        return false;
    }
    return true;
}

static void start(struct strand *strand)
{
    struct handler *handler = strand->handler;
    const struct op *op = current(strand);
    struct frame *frame = top(strand);
    char payload[128];
    const char *semantics =
        op->at_most_once ? "AT_MOST_ONCE_PER_RETRY" : "AT_LEAST_ONCE_PER_RETRY";

    if (strand->stage != STAGE_PROBE)
        frame->position++;
    strand->handle = ++handler->last_handle;
    if (strand->stage != STAGE_PROBE && chance(handler->world, 0.01) && start_wrongly(strand))
        return;
    strand->stage = STAGE_START;
    switch (op->kind) {
    case OP_STEP:
        strand->call =
            op->ask ? conn_call(handler->conn, "session.start", "iiiisssb", PLACE, "type",
                                "STEP", "semantics", semantics, "ask", 1)
                    : conn_call(handler->conn, "session.start", "iiiisssR", PLACE, "type",
                                "STEP", "semantics", semantics, "retry", op->attempts);
        return;
    case OP_WAIT:
        oracle_waits(handler->world, handler->execution, op->name, op->seconds * 1000);
        strand->call = conn_call(handler->conn, "session.start", "iiiissi", PLACE, "type",
                                 "WAIT", "seconds", op->seconds);
        return;
    case OP_CHILD:
    case OP_STRAND:
        strand->call =
            conn_call(handler->conn, "session.start", "iiiissbb", PLACE, "type", "CONTEXT",
                      "virtual", (int)op->is_virtual, "strand", (int)(op->kind == OP_STRAND));
        return;
    case OP_BATCH:
        strand->call = conn_call(handler->conn, "session.start", "iiiisssB", PLACE, "type",
                                 "CONTEXT", "sub_type", "Map", "batch", op);
        return;
    case OP_POLL:
        strand->call = conn_call(handler->conn, "session.start", "iiiisss", PLACE, "type",
                                 "STEP", "sub_type", "WaitForCondition");
        return;
    case OP_CALLBACK:
        oracle_waits(handler->world, handler->execution, op->name,
                     1000 * (op->heartbeat_s && op->heartbeat_s < op->seconds ? op->heartbeat_s
                                                                              : op->seconds));
        strand->call =
            conn_call(handler->conn, "session.start", "iiiissii", PLACE, "type", "CALLBACK",
                      "timeout_s", op->seconds, "heartbeat_timeout_s", op->heartbeat_s);
        return;
    case OP_INVOKE:
        /* What it works for, how long, and whether it fails. */
        snprintf(payload, sizeof payload, "%s %s %d %d", handler->execution, op->name,
                 (int)op->body_ms, op->fails);
        strand->call =
            conn_call(handler->conn, "session.start", "iiiissss", PLACE, "type",
                      "CHAINED_INVOKE", "function", op->function, "payload", payload);
        return;
    case OP_BRANCH: /* branch_start() */
        dd_unreachable();
    }
#undef PLACE
}

/* The next operation of the context on top, or its end. */
static void proceed(struct strand *strand)
{
    struct frame *frame = top(strand);

    if (!frame->failing && frame->at < frame->body->len)
        start(strand);
    else
        join(strand, frame->body->any && !frame->failing);
}

static void next(struct strand *strand)
{
    top(strand)->at++;
    proceed(strand);
}

/* The function fails if it was told to, and if its process dies. */
static void invoke_ended(struct handler *handler, const struct op *op, const char *status,
                         const char *payload)
{
    bool succeeded = strcmp(status, "SUCCEEDED") == 0;
    char child[64], key[32];

    snprintf(key, sizeof key, "invoke %s", status);
    covered(key);
    if (succeeded && (strcmp(op->function, "nobody") == 0 ||
                      (strcmp(op->function, "plain") == 0 && op->fails)))
        broken(handler->world, "%s: %s of %s succeeded", handler->execution, op->name,
               op->function);
    if (strcmp(op->function, "nobody") == 0)
        covered("invoke of no function");
    if (!succeeded || strcmp(op->function, "child") != 0)
        return;
    payload += strspn(payload, "\"");
    snprintf(child, sizeof child, "%.*s", (int)strcspn(payload, "\""), payload);
    oracle_child_ended(handler->world, handler->execution, op->name, child);
}

/* Whether the operation counts as failed to the code that asked for it. A batch succeeds
 * whatever its branches do; its result says what became of them. */
static bool has_failed(const struct op *op, const char *status, const char *payload)
{
    return strcmp(status, "SUCCEEDED") != 0 ||
           (op->kind == OP_BATCH && strstr(payload, "FAIL") != NULL);
}

/* The outcome of `op`, started in the context on top, is known. */
static void outcome(struct strand *strand, const struct op *op, const msgpack_object *result)
{
    struct handler *handler = strand->handler;
    char status[16], payload[64], key[32];

    member_text(result, "status", status, sizeof status);
    member_text(result, "payload", payload, sizeof payload);
    if (op->kind == OP_POLL && strcmp(status, "FAILED") == 0)
        payload[0] = 0; /* the last state, which is kept */
    if (op->kind == OP_WAIT || strcmp(status, "TIMED_OUT") == 0)
        oracle_waited(handler->world, handler->execution, op->name);
    if (op->kind != OP_WAIT && (!op->is_virtual || op->kind == OP_BATCH))
        oracle_completed(handler->world, handler->execution, op->name, status, payload);
    if (op->kind == OP_INVOKE)
        invoke_ended(handler, op, status, payload);
    if (op->kind == OP_CALLBACK) {
        snprintf(key, sizeof key, "callback %s", status);
        covered(key);
    }
    if (!has_failed(op, status, payload))
        return;
    if (!op->caught)
        top(strand)->failing = true;
    else if (op->kind == OP_STEP)
        covered("step failure caught");
}

/* The current operation is complete. */
static void complete(struct strand *strand, const msgpack_object *result)
{
    outcome(strand, current(strand), result);
    next(strand);
}

static void await_one(struct strand *strand)
{
    struct handler *handler = strand->handler;

    strand->stage = STAGE_AWAIT;
    strand->call =
        conn_call(handler->conn, "session.await", "ii[", "session", handler->session, "context",
                  (int64_t)top(strand)->handle, "operations", (size_t)1, &strand->handle);
}

static void attempt_key(struct strand *strand, int attempt, char *out, size_t size)
{
    snprintf(out, size, "%s+%d", current(strand)->name, attempt);
}

static void decide(struct strand *strand)
{
    struct handler *handler = strand->handler;
    const struct op *op = current(strand);
    int64_t delay_s = strand->attempt < op->attempts ? 2 : 0;

    covered("step retry asked");
    strand->stage = STAGE_CLOSE;
    strand->call =
        conn_call(handler->conn, "session.decide", "iii", "session", handler->session,
                  "operation", (int64_t)strand->handle, "delay_s", delay_s);
}

/* A body ends; false when that is the last that the handler does. */
static bool body_ends(struct handler *handler)
{
    handler->bodies--;
    if (!handler->gone)
        return true;
    if (handler->bodies == 0)
        handler->gone(handler->owner, handler);
    return false;
}

/* The state that the next attempt is given. */
static void poll_state(const struct op *op, int attempt, char *out, size_t size)
{
    snprintf(out, size, "\"%s after %d\"", op->name, attempt);
}

static void poll_over(struct strand *strand)
{
    struct handler *handler = strand->handler;
    const struct op *op = current(strand);
    char key[40];

    poll_state(op, strand->attempt, strand->payload, sizeof strand->payload);
    if (strand->attempt < op->attempts) {
        covered("poll again");
        attempt_key(strand, strand->attempt + 1, key, sizeof key);
        oracle_waits(handler->world, handler->execution, key, op->seconds * 1000);
        strand->call = conn_call(handler->conn, "session.retry", "iisi", "session",
                                 handler->session, "operation", (int64_t)strand->handle,
                                 "payload", strand->payload, "delay_s", op->seconds);
    } else if (op->fails) {
        strand->call =
            conn_call(handler->conn, "session.fail", "iiEb", "session", handler->session,
                      "operation", (int64_t)strand->handle, "error", "PollFailure", "final", 1);
    } else {
        strand->call =
            conn_call(handler->conn, "session.succeed", "iis", "session", handler->session,
                      "operation", (int64_t)strand->handle, "payload", strand->payload);
    }
}

static void body_over(struct world *world, void *owner, uint64_t argument)
{
    struct strand *strand = owner;
    struct handler *handler = strand->handler;
    const struct op *op = current(strand);
    char key[40];

    (void)argument;
    if (!body_ends(handler))
        return;
    strand->stage = STAGE_CLOSE;
    if (op->kind == OP_POLL) {
        poll_over(strand);
        return;
    }
    if (strand->attempt <= op->fails) {
        attempt_key(strand, strand->attempt + 1, key, sizeof key);
        oracle_waits(world, handler->execution, key, 1000);
        strand->call =
            conn_call(handler->conn, "session.fail", "iiE", "session", handler->session,
                      "operation", (int64_t)strand->handle, "error", "StepFailure");
        return;
    }
    snprintf(strand->payload, sizeof strand->payload, "\"%llx\"",
             (unsigned long long)dd_rng_next(&world->rng));
    strand->call =
        conn_call(handler->conn, "session.succeed", "iis", "session", handler->session,
                  "operation", (int64_t)strand->handle, "payload", strand->payload);
}

static void check_state(struct strand *strand, const msgpack_object *result)
{
    char state[48], wanted[48] = "";

    if (strand->attempt > 1)
        poll_state(current(strand), strand->attempt - 1, wanted, sizeof wanted);
    if (strcmp(member_text(result, "payload", state, sizeof state), wanted) != 0)
        broken(strand->handler->world, "%s: attempt %d of %s is given the state '%s'",
               strand->handler->execution, strand->attempt, current(strand)->name, state);
}

static void run_step(struct strand *strand, const msgpack_object *result)
{
    struct handler *handler = strand->handler;
    const struct op *op = current(strand);
    char key[40];

    strand->attempt = (int)member_int(result, "attempt");
    attempt_key(strand, strand->attempt, key, sizeof key);
    oracle_waited(handler->world, handler->execution, key);
    if (op->kind == OP_POLL)
        check_state(strand, result);
    else if (strand->attempt > 1)
        covered("step retried");
    if (op->at_most_once)
        covered("step at most once");
    oracle_step_runs(handler->world, handler->execution, op->name, strand->attempt,
                     op->at_most_once);
    strand->stage = STAGE_BODY;
    strand->call = 0;
    handler->bodies++;
    at(handler->world, handler->world->now_ms + op->body_ms, body_over, strand, 0);
}

/* --- answers ----------------------------------------------------------------------------- */

static bool is(const msgpack_object *result, const char *outcome)
{
    char text[16];

    return strcmp(member_text(result, "outcome", text, sizeof text), outcome) == 0;
}

/* --- batches ------------------------------------------------------------------------------ */

static void batch_ask(struct strand *strand, const char *decision)
{
    struct handler *handler = strand->handler;
    int64_t handle = top(strand)->handle;

    strand->stage = STAGE_BATCH;
    if (decision)
        strand->call = conn_call(handler->conn, "session.batch", "iis", "session",
                                 handler->session, "operation", handle, "complete", decision);
    else
        strand->call = conn_call(handler->conn, "session.batch", "ii", "session",
                                 handler->session, "operation", handle);
}

static void branch_start(struct world *world, void *owner, uint64_t position)
{
    struct strand *strand = owner;
    struct handler *handler = strand->handler;
    const struct op *op = strand->frames[0].op;

    (void)world;
    if (handler->gone)
        return;
    strand->stage = STAGE_START;
    strand->call =
        conn_call(handler->conn, "session.start", "iiiisssbb", "session", handler->session,
                  "operation", (int64_t)strand->own_handle, "context", (int64_t)strand->batch,
                  "position", (int64_t)position, "name", op->name, "type", "CONTEXT",
                  "sub_type", "MapIteration", "virtual", (int)op->is_virtual, "strand", 1);
}

/* On a strand of its own, now or, as a thread would, a little later. */
static void branch_begin(struct strand *strand, size_t index)
{
    struct handler *handler = strand->handler;
    const struct op *op = &top(strand)->body->ops[index];
    struct strand *branch = strand_begin(handler, op, ++handler->last_handle);

    branch->coordinator = strand;
    branch->batch = top(strand)->handle;
    branch->stage = STAGE_SOON;
    if (chance(handler->world, 0.8))
        branch_start(handler->world, branch, index);
    else
        at(handler->world, handler->world->now_ms + between(handler->world, 0, 50),
           branch_start, branch, index);
}

/* Still open: its body runs, or has a call under way. */
static bool branches_run(struct strand *coordinator)
{
    const struct handler *handler = coordinator->handler;

    for (size_t i = 0; i < handler->strands_len; i++)
        if (handler->strands[i].coordinator == coordinator &&
            handler->strands[i].batch == top(coordinator)->handle &&
            handler->strands[i].stage != STAGE_OVER)
            return true;
    return false;
}

static void batch_replayed(struct strand *coordinator)
{
    if (!branches_run(coordinator))
        leave(coordinator);
}

/* A complete batch whose result was not stored: what its branches returned is found by
 * running those that ended. */
static void batch_replay(struct strand *strand, const msgpack_object *result)
{
    struct batch *batch = &top(strand)->batch;
    const char *items;

    covered("batch large replayed");
    member_text(result, "payload", batch->outcome, sizeof batch->outcome);
    items = strchr(batch->outcome, ' ');
    dd_assert(items);
    strand->stage = STAGE_REPLAY;
    for (size_t i = 0; items[i + 1]; i++)
        if (items[i + 1] != 'T')
            branch_begin(strand, i);
    batch_replayed(strand);
}

static void batch_leave(struct world *world, void *owner, uint64_t index)
{
    struct strand *strand = owner;

    (void)world;
    (void)index;
    if (!strand->handler->gone)
        leave(strand);
}

/* The branches go on until the batch is closed; that is now, or a little later. */
static void batch_over(struct strand *strand)
{
    struct world *world = strand->handler->world;

    strand->stage = STAGE_READY;
    if (chance(world, 0.8))
        leave(strand);
    else
        at(world, world->now_ms + between(world, 0, 50), batch_leave, strand, 0);
}

static void answer_batch(struct strand *strand, const msgpack_object *result)
{
    struct handler *handler = strand->handler;
    struct frame *frame = top(strand);
    const msgpack_object *branches = member(result, "branches");
    const msgpack_object *changes = member(result, "changes");
    char reason[48], items[SIM_OPERATIONS_MAX];

    if (changes) {
        batch_ask(strand, batch_decides(handler->world, &frame->batch, changes));
    } else if (branches) {
        for (uint32_t i = 0; i < branches->via.array.size; i++) {
            batch_told(handler->world, &frame->batch,
                       (size_t)branches->via.array.ptr[i].via.u64);
            branch_begin(strand, (size_t)branches->via.array.ptr[i].via.u64);
        }
        batch_ask(strand, NULL);
    } else {
        batch_ready(handler->world, &frame->batch,
                    member_text(result, "reason", reason, sizeof reason),
                    member_text(result, "items", items, sizeof items));
        if (branches_run(strand))
            covered("batch complete with branches running");
        batch_over(strand);
    }
}

/* A branch has ended; its batch is told, unless it is complete. */
static void branch_ended(struct strand *strand, const char *status)
{
    struct frame *frame = top(strand->coordinator);

    if (strand->coordinator->stage == STAGE_BATCH && frame->handle == strand->batch)
        batch_ended(strand->handler->world, &frame->batch,
                    (size_t)(strand->frames[0].op - frame->body->ops), status);
}

static void branch_found(struct strand *strand, const msgpack_object *result)
{
    char status[16], payload[64];
    const struct op *op = strand->frames[0].op;

    covered("branch found complete");
    oracle_completed(strand->handler->world, strand->handler->execution, op->name,
                     member_text(result, "status", status, sizeof status),
                     member_text(result, "payload", payload, sizeof payload));
    branch_ended(strand, status);
    strand_over(strand);
}

/* --- contexts, continued ------------------------------------------------------------------ */

static void check_runs_again(struct handler *handler, const struct op *op, bool replay)
{
    if (!replay && !(op->is_virtual && op->kind != OP_BATCH) &&
        oracle_is_complete(handler->world, handler->execution, op->name))
        broken(handler->world, "%s: the body of %s runs again after it was complete",
               handler->execution, op->name);
}

static void keep_started(struct strand *strand)
{
    struct frame *frame = top(strand);

    dd_assert(frame->started_len < STARTED_MAX);
    frame->started[frame->started_len++] =
        (struct started){.op = current(strand), .handle = strand->handle};
}

static void started_context(struct strand *strand, const msgpack_object *result)
{
    const struct op *op = current(strand);
    const msgpack_object *replay = member(result, "replay_children");

    check_runs_again(strand->handler, op, replay != NULL);
    if (op->kind == OP_STRAND) {
        covered("strand");
        keep_started(strand);
        proceed(strand_begin(strand->handler, op, strand->handle));
        next(strand);
        return;
    }
    if (op->kind == OP_CHILD) {
        covered(op->is_virtual ? "child virtual" : "child");
        if (replay)
            covered("child large replayed");
        enter(strand, op);
        proceed(strand);
        return;
    }
    enter(strand, op);
    batch_begin(&top(strand)->batch, op, strand->handler->execution);
    if (replay)
        batch_replay(strand, result);
    else
        batch_ask(strand, NULL);
}

static void answer_branch(struct strand *strand, const msgpack_object *result)
{
    const msgpack_object *replay = member(result, "replay_children");
    const struct op *op = strand->frames[0].op;

    if (is(result, "done")) {
        branch_found(strand, result);
        return;
    }
    covered(op->is_virtual ? "branch FLAT" : "branch");
    if (strand->coordinator->stage == STAGE_READY || strand->coordinator->stage == STAGE_LEAVE)
        covered("branch of a complete batch");
    if (replay)
        covered("branch large replayed");
    check_runs_again(strand->handler, op, replay != NULL);
    proceed(strand);
}

static void count_found(const struct op *op)
{
    if (op->kind == OP_STEP)
        covered("step found complete");
    else if (op->kind == OP_WAIT)
        covered("wait found over");
    else if (op->kind == OP_POLL)
        covered("poll found complete");
    else if (op->kind == OP_CALLBACK)
        covered("callback found complete");
    else if (op->kind == OP_INVOKE)
        covered("invoke found complete");
    else if (op->kind == OP_BATCH)
        covered("batch found complete");
    else
        covered("child found complete");
}

static void answer_start(struct strand *strand, const msgpack_object *result)
{
    const struct op *op = current(strand);
    char id[256];

    if (op->kind == OP_CALLBACK)
        operator_callback(strand->handler->world, strand->handler->execution, op,
                          member_text(result, "callback_id", id, sizeof id));
    if (is(result, "done"))
        count_found(op);
    if (op->later || (op->kind == OP_STRAND && is(result, "done"))) {
        keep_started(strand);
        next(strand);
    } else if (is(result, "done")) {
        complete(strand, result);
    } else if (is(result, "run") && (op->kind == OP_STEP || op->kind == OP_POLL)) {
        run_step(strand, result);
    } else if (is(result, "run")) {
        started_context(strand, result);
    } else if (is(result, "decide")) {
        covered("step interrupted");
        strand->attempt = (int)member_int(result, "attempt");
        decide(strand);
    } else if (op->kind == OP_WAIT && op->seconds % 7 == 0) {
        covered("operation never awaited");
        next(strand);
    } else {
        if (op->kind == OP_WAIT)
            covered("wait");
        await_one(strand);
    }
}

static void answer_await(struct strand *strand, const msgpack_object *result)
{
    if (is(result, "ready")) {
        complete(strand, &member(result, "operations")->via.array.ptr[0]);
        return;
    }
    if (is(result, "run")) {
        run_step(strand, result);
        return;
    }
    strand->attempt = (int)member_int(result, "attempt");
    decide(strand);
}

static void answer_close(struct strand *strand, const msgpack_object *result)
{
    struct handler *handler = strand->handler;
    const struct op *op = current(strand);
    char status[16];

    if (is(result, "pending")) {
        await_one(strand);
    } else if (is(result, "decide")) {
        decide(strand);
    } else {
        bool failed =
            strcmp(member_text(result, "status", status, sizeof status), "FAILED") == 0;

        if (op->kind == OP_POLL)
            covered(failed ? "poll failed" : "poll succeeded");
        else
            covered(failed ? "step failed" : "step succeeded");
        oracle_completed(handler->world, handler->execution, op->name,
                         failed ? "FAILED" : "SUCCEEDED", failed ? "" : strand->payload);
        if (failed && !op->caught)
            top(strand)->failing = true;
        next(strand);
    }
}

static void answer_join(struct strand *strand, const msgpack_object *result)
{
    struct frame *frame = top(strand);
    const msgpack_object *operations = member(result, "operations");

    for (uint32_t i = 0; operations && i < operations->via.array.size; i++) {
        int64_t handle = member_int(&operations->via.array.ptr[i], "operation");

        for (size_t j = 0; j < frame->started_len; j++) {
            if (frame->started[j].handle != handle)
                continue;
            frame->started[j].complete = true;
            outcome(strand, frame->started[j].op, &operations->via.array.ptr[i]);
        }
    }
    join(strand, false);
}

static void answer_leave(struct strand *strand, const msgpack_object *result)
{
    const struct op *op = top(strand)->op;
    char status[16], payload[64];

    if (strand->depth > 1) {
        strand->depth--;
        complete(strand, result);
        return;
    }
    member_text(result, "status", status, sizeof status);
    member_text(result, "payload", payload, sizeof payload);
    if (op->kind == OP_BRANCH) {
        if (!op->is_virtual)
            oracle_completed(strand->handler->world, strand->handler->execution, op->name,
                             status, payload);
        branch_ended(strand, status);
    }
    strand_over(strand);
}

/* The answer is that of the start of the branch itself. */
static bool branch_new(const struct strand *strand)
{
    return strand->coordinator && strand->stage == STAGE_START && strand->handle == 0;
}

static void answer(struct strand *strand, const msgpack_object *error,
                   const msgpack_object *result)
{
    struct handler *handler = strand->handler;
    char message[256];

    if (member(result, "changed"))
        covered("changes observed");
    if (strand->stage == STAGE_PROBE && !(result && is(result, "unwind"))) {
        if (!error ||
            strcmp(member_text(error, "code", message, sizeof message), strand->refusal) != 0)
            broken(handler->world, "%s: a wrong start was answered with %s instead of %s",
                   handler->execution, error ? message : "a result", strand->refusal);
        covered(message);
        start(strand);
        return;
    }
    if (error)
        broken(handler->world, "%s: stage %d of %s is refused: %s", handler->execution,
               strand->stage, strand->depth ? "a strand" : "",
               member_text(error, "message", message, sizeof message));
    if (strand->stage == STAGE_UNWIND)
        strand_over(strand);
    else if (is(result, "unwind") && branch_new(strand))
        strand_over(strand); /* it never ran */
    else if (is(result, "unwind"))
        unwind(strand);
    else if (strand->stage == STAGE_BATCH)
        answer_batch(strand, result);
    else if (branch_new(strand))
        answer_branch(strand, result);
    else if (strand->stage == STAGE_START)
        answer_start(strand, result);
    else if (strand->stage == STAGE_AWAIT)
        answer_await(strand, result);
    else if (strand->stage == STAGE_CLOSE)
        answer_close(strand, result);
    else if (strand->stage == STAGE_JOIN)
        answer_join(strand, result);
    else
        answer_leave(strand, result);
}

static void answer_begin(struct handler *handler, const msgpack_object *error,
                         const msgpack_object *result)
{
    const msgpack_object *updated = member(result, "updated");
    char message[256];

    if (error) {
        /* The execution was closed meanwhile. */
        if (strcmp(member_text(error, "message", message, sizeof message),
                   "Invalid checkpoint token") != 0)
            broken(handler->world, "session.begin is refused: %s", message);
        covered("begin refused");
        oracle_handler_ends(handler->world, handler);
        handler->running = false;
        handler->done(handler->owner, handler, NULL);
        return;
    }
    if (!updated || updated->via.array.size == 0)
        broken(handler->world, "%s is invoked though nothing has changed", handler->execution);
    handler->session = member_int(result, "session");
    if (handler->program.invoked) {
        char input[128], parent[64], path[16];

        member_text(result, "input", input, sizeof input);
        dd_assert(sscanf(input, "%63s %15s", parent, path) == 2);
        oracle_child(handler->world, parent, path, handler->execution);
    }
    proceed(strand_begin(handler, NULL, 0));
}

static void answer_end(struct handler *handler, const msgpack_object *error,
                       const msgpack_object *result)
{
    char output[512], message[256];

    if (error)
        broken(handler->world, "%s: session.end is refused: %s", handler->execution,
               member_text(error, "message", message, sizeof message));
    oracle_handler_ends(handler->world, handler);
    handler->running = false;
    if (member(result, "raise"))
        covered("invocation told to fail");
    else if (handler->hasty &&
             strstr(member_text(result, "output", output, sizeof output), "PENDING"))
        broken(handler->world, "%s is suspended while a branch is about to start",
               handler->execution);
    handler->done(
        handler->owner, handler,
        member(result, "output") ? member_text(result, "output", output, sizeof output) : NULL);
}

bool handler_answered(struct handler *handler, struct conn *conn, uint32_t call,
                      const msgpack_object *error, const msgpack_object *result)
{
    if (handler->conn != conn || handler->gone)
        return false;
    if (call == handler->begin_call) {
        answer_begin(handler, error, result);
        return true;
    }
    if (call == handler->end_call) {
        answer_end(handler, error, result);
        return true;
    }
    for (size_t i = 0; i < handler->strands_len; i++) {
        if (handler->strands[i].call == call) {
            handler->strands[i].call = 0;
            answer(&handler->strands[i], error, result);
            return true;
        }
    }
    return false;
}

/* --- life -------------------------------------------------------------------------------- */

/* "...:function:f:$LATEST/durable-execution/NAME/ID": the name. */
static void name_of(const char *event, char *out, size_t size)
{
    const char *name = strstr(event, "/durable-execution/");

    dd_assert(name);
    name += strlen("/durable-execution/");
    snprintf(out, size, "%.*s", (int)strcspn(name, "/"), name);
}

static void plain_over(struct world *world, void *owner, uint64_t fails)
{
    struct handler *handler = owner;

    if (!body_ends(handler))
        return;
    oracle_handler_ends(world, handler);
    handler->running = false;
    covered(fails ? "plain function failed" : "plain function returned");
    oracle_plain_ended(world, handler->execution);
    handler->done(handler->owner, handler, fails ? NULL : "\"plain\"");
}

/* A function that is not durable: one body, without a session. */
static void plain_begin(struct handler *handler, const char *event)
{
    char parent[64], path[16], *end;
    int at_ms = 0;
    long ms, fails;

    dd_assert(sscanf(event, "%63s %15s %n", parent, path, &at_ms) == 2 && at_ms > 0);
    ms = strtol(event + at_ms, &end, 10);
    fails = strtol(end, NULL, 10);
    snprintf(handler->execution, sizeof handler->execution, "%.40s %s", parent, path);
    handler->plain = true;
    handler->running = true;
    handler->bodies = 1;
    oracle_handler_begins(handler->world, handler->execution, handler);
    oracle_plain_runs(handler->world, handler->execution);
    at(handler->world, handler->world->now_ms + ms, plain_over, handler, (uint64_t)fails);
}

struct handler *
handler_new(struct world *world, struct conn *conn, const char *request_id,
            const char *function, const char *event,
            void (*done)(void *owner, struct handler *handler, const char *output), void *owner)
{
    struct handler *handler = dd_alloc(sizeof *handler);

    handler->world = world;
    handler->conn = conn;
    handler->done = done;
    handler->owner = owner;
    snprintf(handler->request_id, sizeof handler->request_id, "%s", request_id);
    if (strcmp(function, "plain") == 0) {
        plain_begin(handler, event);
        return handler;
    }
    name_of(event, handler->execution, sizeof handler->execution);
    program_make(&handler->program, handler->execution, strcmp(function, "child") == 0);
    handler->running = true;
    oracle_handler_begins(world, handler->execution, handler);
    handler->begin_call =
        conn_call(conn, "session.begin", "sssb", "event", event, "profile", "c", "request_id",
                  request_id, "observe", (int)chance(world, 0.2));
    return handler;
}

const char *handler_request_id(const struct handler *handler)
{
    return handler->request_id;
}

void handler_abandon(struct handler *handler,
                     void (*gone)(void *owner, struct handler *handler))
{
    handler->gone = gone;
    if (handler->bodies == 0)
        gone(handler->owner, handler);
}

void handler_die(struct handler *handler)
{
    if (handler->bodies > 0)
        covered(handler->plain ? "worker killed in a plain function"
                               : "worker killed in a step");
    if (handler->plain)
        oracle_plain_ended(handler->world, handler->execution);
    handler_free(handler);
}

void handler_free(struct handler *handler)
{
    if (handler->running)
        oracle_handler_ends(handler->world, handler);
    for (size_t i = 0; i < handler->strands_len; i++)
        cancel(handler->world, &handler->strands[i]);
    cancel(handler->world, handler);
    dd_free(handler);
}
