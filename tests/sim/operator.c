/* A program that starts, looks at and stops executions, and completes their callbacks; see
 * sim.h. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum question {
    ASKED_START,
    ASKED_AGAIN,
    ASKED_OTHER,
    ASKED_UNKNOWN,
    ASKED_DESCRIBE,
    ASKED_HISTORY,
    ASKED_STOP,
    ASKED_LIST,
    ASKED_CALLBACK,
};

#define CHILDREN_MAX 128 /* executions of invoked functions */
#define CALLBACKS_MAX 128

struct execution {
    char name[64];
    char arn[256]; /* "": its start was not acknowledged */
    char status[16];
    int64_t end_ms;
    bool history_read; /* after its end */
    bool invoked;      /* by another execution */
    char outcome[16];  /* what the history of that one says of its end; "": nothing */
};

struct callback {
    char execution[64];
    char path[16];
    char id[256];
    int64_t heartbeat_ms, timeout_ms;
    bool complete; /* acknowledged */
};

struct asked {
    uint32_t call;
    enum question question;
    size_t execution;
    size_t callback; /* CALLBACKS_MAX: a made-up one */
    const char *method;
    int64_t sent_ms;
    bool by_name;
    char payload[32];
};

struct operator_ {
    struct world *world;
    struct conn *conn;
    struct execution executions[SIM_EXECUTIONS_MAX + CHILDREN_MAX];
    size_t len, started;
    struct callback callbacks[CALLBACKS_MAX];
    size_t callbacks_len;
    struct asked asked;
    bool starting;
    uint64_t idle; /* turns without an answer */
};

static void act(struct world *world, void *owner, uint64_t argument);

/* --- answers ----------------------------------------------------------------------------- */

static void note_status(struct operator_ *operator_, struct execution *execution,
                        const msgpack_object *result)
{
    const msgpack_object *found = member(result, "execution");
    const msgpack_object *failure = member(found, "Error");
    char status[16], text[96], key[48];

    member_text(found, "Status", status, sizeof status);
    member_text(found, "Result", text, sizeof text);
    covered("described");
    execution->end_ms = member_int(found, "EndTimestamp");
    if (execution->outcome[0] && strcmp(execution->outcome, status) != 0)
        broken(operator_->world, "%s is %s to who invoked it and is %s", execution->name,
               execution->outcome, status);
    if (strcmp(status, "RUNNING") == 0) {
        if (execution->status[0] && strcmp(execution->status, "RUNNING") != 0)
            broken(operator_->world, "%s was %s and runs again", execution->name,
                   execution->status);
    } else {
        if (strcmp(status, "SUCCEEDED") == 0) {
            snprintf(key, sizeof key, "\"%.40s\"", execution->name);
            if (strcmp(key, text) != 0)
                broken(operator_->world, "%s returned %s", execution->name, text);
        }
        /* What a handler hands on is what its session said, which the service takes. */
        if (failure && strcmp(member_text(failure, "ErrorType", text, sizeof text),
                              "InvalidParameterValueException") == 0)
            broken(operator_->world, "%s failed: %s", execution->name,
                   member_text(failure, "ErrorMessage", text, sizeof text));
        oracle_closed(operator_->world, execution->name, status, "");
        if (!execution->invoked && strcmp(execution->status, status) != 0) {
            snprintf(key, sizeof key, "execution %s", status);
            covered(key);
        }
    }
    snprintf(execution->status, sizeof execution->status, "%s", status);
}

/* --- callbacks ---------------------------------------------------------------------------- */

void operator_callback(struct world *world, const char *execution, const struct op *op,
                       const char *id)
{
    struct operator_ *operator_ = world->operator_;
    const char *path = op->name;
    struct callback *callback;

    for (size_t i = 0; i < operator_->callbacks_len; i++) {
        callback = &operator_->callbacks[i];
        if (strcmp(callback->execution, execution) != 0 || strcmp(callback->path, path) != 0)
            continue;
        if (strcmp(callback->id, id) != 0)
            broken(world, "%s: the callback %s was %s and is %s", execution, path, callback->id,
                   id);
        return;
    }
    if (operator_->callbacks_len == CALLBACKS_MAX)
        return;
    callback = &operator_->callbacks[operator_->callbacks_len++];
    *callback = (struct callback){.heartbeat_ms = 1000 * op->heartbeat_s,
                                  .timeout_ms = 1000 * op->seconds};
    snprintf(callback->execution, sizeof callback->execution, "%s", execution);
    snprintf(callback->path, sizeof callback->path, "%s", path);
    snprintf(callback->id, sizeof callback->id, "%s", id);
}

static uint32_t call_callback(struct operator_ *operator_, const struct callback *callback)
{
    struct asked *asked = &operator_->asked;
    struct conn *conn = operator_->conn;
    bool succeeds = strcmp(asked->method, "callback.succeed") == 0;

    if (strcmp(asked->method, "callback.heartbeat") == 0)
        return conn_call(conn, asked->method, "s", "callback", callback->id);
    if (asked->by_name)
        return succeeds
                   ? conn_call(conn, asked->method, "sss", "execution", callback->execution,
                               "operation", callback->path, "payload", asked->payload)
                   : conn_call(conn, asked->method, "ssE", "execution", callback->execution,
                               "operation", callback->path, "error", "Refused");
    return succeeds ? conn_call(conn, asked->method, "ss", "callback", callback->id, "payload",
                                asked->payload)
                    : conn_call(conn, asked->method, "sE", "callback", callback->id, "error",
                                "Refused");
}

static void ask_callback(struct operator_ *operator_)
{
    static const char *const methods[] = {"callback.succeed", "callback.succeed",
                                          "callback.fail", "callback.heartbeat"};
    static const struct callback made_up = {.id = "made-up"};
    struct world *world = operator_->world;
    struct asked *asked = &operator_->asked;
    size_t last = operator_->callbacks_len - 1;

    *asked = (struct asked){.question = ASKED_CALLBACK, .callback = CALLBACKS_MAX};
    asked->method = methods[between(world, 0, 3)];
    asked->sent_ms = world->now_ms;
    if (chance(world, 0.05)) {
        asked->call = call_callback(operator_, &made_up);
        return;
    }
    /* One that is new is open more often. */
    asked->callback = chance(world, 0.5) ? last : (size_t)between(world, 0, (int64_t)last);
    asked->by_name = chance(world, 0.2);
    snprintf(asked->payload, sizeof asked->payload, "\"%llx\"",
             (unsigned long long)dd_rng_next(&world->rng));
    asked->call = call_callback(operator_, &operator_->callbacks[asked->callback]);
}

static void callback_answered(struct operator_ *operator_)
{
    struct asked *asked = &operator_->asked;
    struct callback *callback = &operator_->callbacks[asked->callback];
    bool succeeded = strcmp(asked->method, "callback.succeed") == 0;

    if (asked->callback == CALLBACKS_MAX)
        broken(operator_->world, "a made-up callback is taken");
    if (callback->complete)
        broken(operator_->world, "%s: %s takes %s after it was complete", callback->execution,
               callback->path, asked->method);
    if (strcmp(asked->method, "callback.heartbeat") == 0) {
        covered("callback heartbeat");
        oracle_heartbeat(operator_->world, callback->execution, callback->path, asked->sent_ms,
                         callback->heartbeat_ms, callback->timeout_ms);
        return;
    }
    covered(asked->by_name ? "callback completed by name" : "callback completed");
    callback->complete = true;
    oracle_completed(operator_->world, callback->execution, callback->path,
                     succeeded ? "SUCCEEDED" : "FAILED", succeeded ? asked->payload : "");
}

static void callback_refused(struct operator_ *operator_, const char *code, const char *message)
{
    if (operator_->asked.callback == CALLBACKS_MAX &&
        strcmp(message, "Invalid callback id") == 0)
        covered("made-up callback");
    else if (operator_->asked.by_name && strcmp(code, "ResourceNotFoundException") == 0)
        covered("no open callback of that name");
    else if (strcmp(code, "CallbackTimeoutException") == 0)
        covered(code);
    else
        broken(operator_->world, "%s is refused: %s: %s", operator_->asked.method, code,
               message);
}

/* --- executions that others invoke -------------------------------------------------------- */

static struct execution *find_child(struct operator_ *operator_, const char *arn)
{
    for (size_t i = 0; i < operator_->len; i++)
        if (operator_->executions[i].invoked && strcmp(operator_->executions[i].arn, arn) == 0)
            return &operator_->executions[i];
    return NULL;
}

static struct execution *add_child(struct operator_ *operator_, const char *arn)
{
    struct execution *child = find_child(operator_, arn);
    const char *name = strstr(arn, "/durable-execution/");

    dd_assert(name);
    name += strlen("/durable-execution/");
    if (child || operator_->len - operator_->started == CHILDREN_MAX)
        return child;
    child = &operator_->executions[operator_->len++];
    *child = (struct execution){.invoked = true};
    snprintf(child->arn, sizeof child->arn, "%s", arn);
    snprintf(child->name, sizeof child->name, "%.*s", (int)strcspn(name, "/"), name);
    return child;
}

static bool has_ended(const msgpack_object *events)
{
    char type[48];

    for (uint32_t i = 1; i < events->via.array.size; i++)
        if (strncmp(member_text(&events->via.array.ptr[i], "EventType", type, sizeof type),
                    "Execution", strlen("Execution")) == 0)
            return true;
    return false;
}

/* How the operation `id` ended; "": not yet. */
static const char *outcome_of(const msgpack_object *events, const char *id)
{
    static const char *const ends[][2] = {{"ChainedInvokeSucceeded", "SUCCEEDED"},
                                          {"ChainedInvokeFailed", "FAILED"},
                                          {"ChainedInvokeTimedOut", "TIMED_OUT"},
                                          {"ChainedInvokeStopped", "STOPPED"}};

    for (uint32_t i = 0; i < events->via.array.size; i++) {
        const msgpack_object *event = &events->via.array.ptr[i];
        char type[48], of[80];

        member_text(event, "EventType", type, sizeof type);
        if (strcmp(member_text(event, "Id", of, sizeof of), id) != 0)
            continue;
        for (size_t j = 0; j < DD_COUNT(ends); j++)
            if (strcmp(type, ends[j][0]) == 0)
                return ends[j][1];
    }
    return "";
}

/* A child's end and its operation's are one; but an execution that has ended hears nothing. */
static void note_children(struct operator_ *operator_, const struct execution *execution,
                          const msgpack_object *events)
{
    for (uint32_t i = 0; i < events->via.array.size; i++) {
        const msgpack_object *event = &events->via.array.ptr[i];
        char id[80], arn[256];
        struct execution *child;

        member_text(member(event, "ChainedInvokeStartedDetails"), "DurableExecutionArn", arn,
                    sizeof arn);
        child = arn[0] ? add_child(operator_, arn) : NULL;
        if (!child)
            continue;
        snprintf(child->outcome, sizeof child->outcome, "%s",
                 outcome_of(events, member_text(event, "Id", id, sizeof id)));
        if (!child->outcome[0] && child->status[0] && strcmp(child->status, "RUNNING") != 0 &&
            !has_ended(events))
            broken(operator_->world, "%s: %s is %s and its operation does not know",
                   execution->name, child->name, child->status);
    }
}

/* --- answers, continued ------------------------------------------------------------------- */

static void refused(struct operator_ *operator_, const msgpack_object *error)
{
    struct execution *execution = &operator_->executions[operator_->asked.execution];
    char code[64], message[256];

    member_text(error, "code", code, sizeof code);
    member_text(error, "message", message, sizeof message);
    switch (operator_->asked.question) {
    case ASKED_UNKNOWN:
        if (strcmp(code, "ResourceNotFoundException") != 0)
            broken(operator_->world, "an unknown function: %s: %s", code, message);
        covered(code);
        return;
    case ASKED_OTHER:
        if (strcmp(code, "DurableExecutionAlreadyStartedException") == 0) {
            covered(code);
            covered("payload compared");
            return;
        }
        break;
    case ASKED_START: /* no worker has registered yet */
        if (strcmp(code, "ResourceNotFoundException") == 0)
            return;
        break;
    case ASKED_AGAIN:
    case ASKED_DESCRIBE:
    case ASKED_HISTORY:
    case ASKED_STOP:
    case ASKED_LIST:
        break;
    case ASKED_CALLBACK:
        callback_refused(operator_, code, message);
        return;
    }
    if (strcmp(code, "Store.Full") == 0) {
        covered(code);
        return;
    }
    broken(operator_->world, "question %d about %s is refused: %s: %s",
           (int)operator_->asked.question, execution->name, code, message);
}

static void answered(void *owner, struct conn *conn, uint32_t call, const msgpack_object *error,
                     const msgpack_object *result)
{
    struct operator_ *operator_ = owner;
    struct execution *execution = &operator_->executions[operator_->asked.execution];

    (void)conn;
    if (call != operator_->asked.call)
        return;
    operator_->asked.call = 0;
    if (error) {
        refused(operator_, error);
        return;
    }
    switch (operator_->asked.question) {
    case ASKED_AGAIN:
    case ASKED_START:
        if (member(result, "existing")->via.boolean)
            covered("existing execution");
        else if (execution->arn[0])
            broken(operator_->world, "%s was started twice", execution->name);
        member_text(result, "arn", execution->arn, sizeof execution->arn);
        oracle_started(operator_->world, execution->name, execution->arn);
        return;
    case ASKED_OTHER:
        if (execution->arn[0])
            broken(operator_->world, "%s was started again with another payload",
                   execution->name);
        member_text(result, "arn", execution->arn, sizeof execution->arn);
        return;
    case ASKED_UNKNOWN:
        broken(operator_->world, "an unknown function was started");
    case ASKED_DESCRIBE:
        note_status(operator_, execution, result);
        return;
    case ASKED_HISTORY:
        oracle_history(operator_->world, execution->name, result);
        note_children(operator_, execution, member(result, "events"));
        execution->history_read = strcmp(execution->status, "RUNNING") != 0;
        return;
    case ASKED_LIST:
        covered("list read");
        return;
    case ASKED_CALLBACK:
        callback_answered(operator_);
        return;
    case ASKED_STOP:
        return;
    }
}

static void lost(void *owner, struct conn *conn)
{
    struct operator_ *operator_ = owner;

    conn_drop(conn);
    operator_->conn = NULL;
    operator_->asked.call = 0;
}

/* --- questions --------------------------------------------------------------------------- */

static void ask(struct operator_ *operator_, enum question question, size_t index)
{
    struct execution *execution = &operator_->executions[index];
    struct conn *conn = operator_->conn;
    bool soon = strstr(execution->name, "-t") != NULL;
    uint32_t call = 0;

    switch (question) {
    case ASKED_START:
    case ASKED_AGAIN:
        call = soon ? conn_call(conn, "execution.start", "sssi", "function", "f", "name",
                                execution->name, "payload", "1", "execution_timeout_s",
                                (int64_t)20)
                    : conn_call(conn, "execution.start", "sss", "function", "f", "name",
                                execution->name, "payload", "1");
        break;
    case ASKED_OTHER:
        call = conn_call(conn, "execution.start", "sss", "function", "f", "name",
                         execution->name, "payload", "2");
        break;
    case ASKED_UNKNOWN:
        call = conn_call(conn, "execution.start", "s", "function", "nobody");
        break;
    case ASKED_DESCRIBE:
        call = conn_call(conn, "execution.describe", "s", "execution", execution->arn);
        break;
    case ASKED_HISTORY:
        call = conn_call(conn, "execution.history", "si", "execution", execution->arn,
                         "items_max", (int64_t)1000);
        break;
    case ASKED_STOP:
        call = conn_call(conn, "execution.stop", "s", "execution", execution->arn);
        break;
    case ASKED_LIST:
        call = conn_call(conn, "execution.list", "");
        break;
    case ASKED_CALLBACK: /* ask_callback() */
        dd_unreachable();
    }
    operator_->asked = (struct asked){.call = call, .question = question, .execution = index};
}

static void ask_something(struct operator_ *operator_)
{
    struct world *world = operator_->world;
    size_t index;

    if (operator_->starting && operator_->started < SIM_EXECUTIONS_MAX &&
        (operator_->started < 3 || chance(world, 0.2))) {
        index = operator_->len++;
        operator_->started++;
        snprintf(operator_->executions[index].name, sizeof operator_->executions[index].name,
                 "e%llu-%zu%s", (unsigned long long)world->seed, index,
                 chance(world, 0.1) ? "-t" : "");
        ask(operator_, ASKED_START, index);
        return;
    }
    if (operator_->callbacks_len > 0 && chance(world, world->faults ? 0.3 : 0.1)) {
        ask_callback(operator_);
        return;
    }
    index = (size_t)between(world, 0, (int64_t)operator_->len - 1);
    if (!operator_->executions[index].arn[0])
        ask(operator_, ASKED_AGAIN, index);
    else if (chance(world, 0.45))
        ask(operator_, ASKED_DESCRIBE, index);
    else if (chance(world, 0.6))
        ask(operator_, ASKED_HISTORY, index);
    else if (chance(world, 0.3) && !operator_->executions[index].invoked)
        ask(operator_, ASKED_AGAIN, index);
    else if (chance(world, 0.3) && !operator_->executions[index].invoked)
        ask(operator_, ASKED_OTHER, index);
    else if (chance(world, 0.3))
        ask(operator_, ASKED_UNKNOWN, index);
    else if (chance(world, 0.1) && world->faults)
        ask(operator_, ASKED_STOP, index);
    else
        ask(operator_, ASKED_LIST, index);
}

static void act(struct world *world, void *owner, uint64_t argument)
{
    struct operator_ *operator_ = owner;

    (void)argument;
    if (!operator_->conn) {
        operator_->conn = conn_open(world, 99, operator_, answered, lost);
        if (operator_->conn)
            (void)conn_call(operator_->conn, "hello", "is", "level", (int64_t)2, "client",
                            "sim");
    }
    if (operator_->conn && !operator_->asked.call)
        ask_something(operator_);
    /* Once nothing but time is left to pass, it is asked for at length. */
    at(world,
       world->now_ms + (world->faults || chance(world, 0.5) ? between(world, 1, 1500)
                                                            : between(world, 1000, 7200000)),
       act, operator_, 0);
}

void operator_start(struct world *world)
{
    struct operator_ *operator_ = dd_alloc(sizeof *operator_);

    operator_->world = world;
    operator_->starting = true;
    world->operator_ = operator_;
    at(world, world->now_ms + 1, act, operator_, 0);
}

void operator_stops_starting(struct world *world)
{
    world->operator_->starting = false;
}

bool operator_content(const struct world *world)
{
    const struct operator_ *operator_ = world->operator_;

    for (size_t i = 0; i < operator_->len; i++)
        if (!operator_->executions[i].history_read)
            return false;
    return true;
}

size_t operator_count(const struct world *world, const char *status)
{
    const struct operator_ *operator_ = world->operator_;
    size_t count = 0;

    for (size_t i = 0; i < operator_->len; i++)
        count += strcmp(operator_->executions[i].status, status) == 0;
    return count;
}

bool operator_failed_between(const struct world *world, int64_t from_ms, int64_t until_ms)
{
    const struct operator_ *operator_ = world->operator_;

    for (size_t i = 0; i < operator_->len; i++) {
        const struct execution *execution = &operator_->executions[i];

        if (strcmp(execution->status, "FAILED") == 0 && execution->end_ms >= from_ms &&
            execution->end_ms <= until_ms)
            return true;
    }
    return false;
}

void operator_free(struct world *world)
{
    cancel(world, world->operator_);
    if (world->operator_->conn)
        conn_drop(world->operator_->conn);
    dd_free(world->operator_);
}
