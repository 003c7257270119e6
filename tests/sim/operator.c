/* A program that starts, looks at and stops executions; see sim.h. */
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
    ASKED_LIST
};

struct execution {
    char name[64];
    char arn[256]; /* "": its start was not acknowledged */
    char status[16];
    int64_t end_ms;
    bool history_read; /* after its end */
};

struct asked {
    uint32_t call;
    enum question question;
    size_t execution;
};

struct operator_ {
    struct world *world;
    struct conn *conn;
    struct execution executions[SIM_EXECUTIONS_MAX];
    size_t len;
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
    char status[16], text[96], key[48];

    member_text(found, "Status", status, sizeof status);
    member_text(found, "Result", text, sizeof text);
    covered("described");
    execution->end_ms = member_int(found, "EndTimestamp");
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
        oracle_closed(operator_->world, execution->name, status, "");
        if (strcmp(execution->status, status) != 0) {
            snprintf(key, sizeof key, "execution %s", status);
            covered(key);
        }
    }
    snprintf(execution->status, sizeof execution->status, "%s", status);
}

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
        execution->history_read = strcmp(execution->status, "RUNNING") != 0;
        return;
    case ASKED_LIST:
        covered("list read");
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
    }
    operator_->asked = (struct asked){call, question, index};
}

static void ask_something(struct operator_ *operator_)
{
    struct world *world = operator_->world;
    size_t index;

    if (operator_->starting && operator_->len < SIM_EXECUTIONS_MAX &&
        (operator_->len < 3 || chance(world, 0.2))) {
        index = operator_->len++;
        snprintf(operator_->executions[index].name, sizeof operator_->executions[index].name,
                 "e%llu-%zu%s", (unsigned long long)world->seed, index,
                 chance(world, 0.1) ? "-t" : "");
        ask(operator_, ASKED_START, index);
        return;
    }
    index = (size_t)between(world, 0, (int64_t)operator_->len - 1);
    if (!operator_->executions[index].arn[0])
        ask(operator_, ASKED_AGAIN, index);
    else if (chance(world, 0.45))
        ask(operator_, ASKED_DESCRIBE, index);
    else if (chance(world, 0.6))
        ask(operator_, ASKED_HISTORY, index);
    else if (chance(world, 0.3))
        ask(operator_, ASKED_AGAIN, index);
    else if (chance(world, 0.3))
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
            (void)conn_call(operator_->conn, "hello", "is", "level", (int64_t)1, "client",
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
