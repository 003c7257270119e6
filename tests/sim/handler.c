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
#define STRANDS_MAX 16

enum stage {
    STAGE_NEW,
    STAGE_PROBE,  /* session.start with another name, which is to be refused */
    STAGE_START,  /* session.start */
    STAGE_BODY,   /* a step's body runs; no call */
    STAGE_AWAIT,  /* session.await of one operation */
    STAGE_CLOSE,  /* the outcome of a body is on its way */
    STAGE_JOIN,   /* session.await of the strands of a context */
    STAGE_LEAVE,  /* the outcome of a context is on its way */
    STAGE_UNWIND, /* session.unwound */
    STAGE_OVER,
};

/* A strand that a context has started. */
struct branch {
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
    struct branch branches[STRANDS_MAX];
    size_t branches_len;
    bool failing; /* an operation failed and was not caught */
};

struct strand {
    struct handler *handler;
    struct frame frames[DEPTH_MAX];
    size_t depth;
    enum stage stage;
    uint32_t call;   /* whose answer is awaited */
    uint32_t handle; /* of the current operation */
    int attempt;
    char payload[32];
    uint32_t own_handle; /* of the strand itself; 0: the main one */
    bool unwound;
};

struct handler {
    struct world *world;
    struct conn *conn;
    struct program program;
    char execution[64];
    char request_id[64];
    int64_t session;
    uint32_t begin_call, end_call;
    uint32_t last_handle;
    struct strand strands[STRANDS_MAX];
    size_t strands_len;
    size_t bodies; /* that run now */
    bool running;  /* user code may run */
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

static void strand_over(struct strand *strand)
{
    struct handler *handler = strand->handler;

    strand->stage = STAGE_OVER;
    for (size_t i = 0; i < handler->strands_len; i++)
        if (handler->strands[i].stage != STAGE_OVER)
            return;
    if (!handler->end_call)
        end(handler);
}

static void unwind(struct strand *strand)
{
    struct handler *handler = strand->handler;

    strand->unwound = true;
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
    proceed(strand);
}

/* Ends the context on top with its outcome. */
static void leave(struct strand *strand)
{
    struct handler *handler = strand->handler;
    struct frame *frame = top(strand);
    const char *name = frame->op ? frame->op->name : "";

    if (!frame->op) {
        strand_over(strand);
        return;
    }
    strand->stage = STAGE_LEAVE;
    if (frame->failing) {
        covered("child failed");
        strand->call =
            conn_call(handler->conn, "session.fail", "iiE", "session", handler->session,
                      "operation", (int64_t)frame->handle, "error", "ChildError");
    } else if (frame->op->large) {
        covered("child large");
        strand->call = conn_call(handler->conn, "session.succeed", "iibs", "session",
                                 handler->session, "operation", (int64_t)frame->handle,
                                 "replay_children", 1, "summary", "\"large\"");
    } else {
        strand->call =
            conn_call(handler->conn, "session.succeed", "iis", "session", handler->session,
                      "operation", (int64_t)frame->handle, "payload", name);
    }
}

static void join(struct strand *strand, bool any)
{
    struct handler *handler = strand->handler;
    struct frame *frame = top(strand);
    uint32_t handles[STRANDS_MAX];
    size_t len = 0;

    for (size_t i = 0; i < frame->branches_len; i++)
        if (!frame->branches[i].complete)
            handles[len++] = frame->branches[i].handle;
    if (len == 0) {
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

static void start(struct strand *strand)
{
    struct handler *handler = strand->handler;
    const struct op *op = current(strand);
    struct frame *frame = top(strand);
    const char *semantics =
        op->at_most_once ? "AT_MOST_ONCE_PER_RETRY" : "AT_LEAST_ONCE_PER_RETRY";

    if (strand->stage != STAGE_PROBE)
        frame->position++;
    strand->handle = ++handler->last_handle;
    if (strand->stage != STAGE_PROBE && op->kind == OP_STEP &&
        oracle_is_complete(handler->world, handler->execution, op->name) &&
        chance(handler->world, 0.01)) {
        strand->stage = STAGE_PROBE;
        strand->call =
            conn_call(handler->conn, "session.start", "iiiiss", "session", handler->session,
                      "operation", (int64_t)strand->handle, "context", (int64_t)frame->handle,
                      "position", (int64_t)frame->position, "type", "STEP", "name", "changed");
        return;
    }
    strand->stage = STAGE_START;
#define PLACE                                                                     \
    "session", handler->session, "operation", (int64_t)strand->handle, "context", \
        (int64_t)frame->handle, "position", (int64_t)frame->position, "name", op->name
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

/* The current operation is complete. */
static void complete(struct strand *strand, const msgpack_object *result)
{
    struct handler *handler = strand->handler;
    const struct op *op = current(strand);
    char status[16], payload[32];

    member_text(result, "status", status, sizeof status);
    member_text(result, "payload", payload, sizeof payload);
    if (op->kind == OP_WAIT)
        oracle_waited(handler->world, handler->execution, op->name);
    if (op->kind == OP_STEP)
        oracle_completed(handler->world, handler->execution, op->name, status, payload);
    if (strcmp(status, "FAILED") == 0 && !op->caught)
        top(strand)->failing = true;
    else if (strcmp(status, "FAILED") == 0 && op->kind == OP_STEP)
        covered("step failure caught");
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

static void body_over(struct world *world, void *owner, uint64_t argument)
{
    struct strand *strand = owner;
    struct handler *handler = strand->handler;
    const struct op *op = current(strand);
    char key[40];

    (void)argument;
    handler->bodies--;
    if (handler->gone) {
        if (handler->bodies == 0)
            handler->gone(handler->owner, handler);
        return;
    }
    strand->stage = STAGE_CLOSE;
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

static void run_step(struct strand *strand)
{
    struct handler *handler = strand->handler;
    const struct op *op = current(strand);
    char key[40];

    attempt_key(strand, strand->attempt, key, sizeof key);
    oracle_waited(handler->world, handler->execution, key);
    if (strand->attempt > 1)
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

static void started_context(struct strand *strand, const msgpack_object *result)
{
    const struct op *op = current(strand);
    const msgpack_object *replay = member(result, "replay_children");

    covered(op->kind == OP_STRAND ? "strand" : op->is_virtual ? "child virtual" : "child");
    if (replay && replay->via.boolean)
        covered("child large replayed");
    if (op->kind == OP_CHILD) {
        enter(strand, op);
        return;
    }
    top(strand)->branches[top(strand)->branches_len++] =
        (struct branch){.op = op, .handle = strand->handle};
    proceed(strand_begin(strand->handler, op, strand->handle));
    next(strand);
}

static void count_found(const struct op *op)
{
    if (op->kind == OP_STEP)
        covered("step found complete");
    else if (op->kind == OP_WAIT)
        covered("wait found over");
    else
        covered("child found complete");
}

static void answer_start(struct strand *strand, const msgpack_object *result)
{
    const struct op *op = current(strand);

    if (is(result, "done")) {
        count_found(op);
        complete(strand, result);
    } else if (is(result, "run") && op->kind == OP_STEP) {
        strand->attempt = (int)member_int(result, "attempt");
        run_step(strand);
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
    strand->attempt = (int)member_int(result, "attempt");
    if (is(result, "run"))
        run_step(strand);
    else
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

        for (size_t j = 0; j < frame->branches_len; j++)
            if (frame->branches[j].handle == handle)
                frame->branches[j].complete = true;
    }
    join(strand, false);
}

static void answer_leave(struct strand *strand)
{
    bool failing = top(strand)->failing;

    if (strand->depth == 1) {
        strand_over(strand);
        return;
    }
    strand->depth--;
    if (failing && !current(strand)->caught)
        top(strand)->failing = true;
    next(strand);
}

static void answer(struct strand *strand, const msgpack_object *error,
                   const msgpack_object *result)
{
    struct handler *handler = strand->handler;
    char message[256];

    if (strand->stage == STAGE_PROBE && !(result && is(result, "unwind"))) {
        if (!error || strcmp(member_text(error, "code", message, sizeof message),
                             "NonDeterministicExecutionError") != 0)
            broken(handler->world, "%s: changed code was not refused", handler->execution);
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
    else if (is(result, "unwind"))
        unwind(strand);
    else if (strand->stage == STAGE_START)
        answer_start(strand, result);
    else if (strand->stage == STAGE_AWAIT)
        answer_await(strand, result);
    else if (strand->stage == STAGE_CLOSE)
        answer_close(strand, result);
    else if (strand->stage == STAGE_JOIN)
        answer_join(strand, result);
    else
        answer_leave(strand);
}

static void answer_begin(struct handler *handler, const msgpack_object *error,
                         const msgpack_object *result)
{
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
    handler->session = member_int(result, "session");
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

struct handler *
handler_new(struct world *world, struct conn *conn, const char *request_id, const char *event,
            void (*done)(void *owner, struct handler *handler, const char *output), void *owner)
{
    struct handler *handler = dd_alloc(sizeof *handler);

    handler->world = world;
    handler->conn = conn;
    handler->done = done;
    handler->owner = owner;
    snprintf(handler->request_id, sizeof handler->request_id, "%s", request_id);
    name_of(event, handler->execution, sizeof handler->execution);
    program_make(&handler->program, handler->execution);
    handler->running = true;
    oracle_handler_begins(world, handler->execution, handler);
    handler->begin_call = conn_call(conn, "session.begin", "sss", "event", event, "profile",
                                    "c", "request_id", request_id);
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

void handler_free(struct handler *handler)
{
    if (handler->bodies > 0)
        covered("worker killed in a step");
    if (handler->running)
        oracle_handler_ends(handler->world, handler);
    for (size_t i = 0; i < handler->strands_len; i++)
        cancel(handler->world, &handler->strands[i]);
    dd_free(handler);
}
