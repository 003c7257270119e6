/* What must never happen, judged from outside; see sim.h. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "core/service/service_priv.h"
#include "engine/engine_priv.h"

struct completed {
    char status[16];
    char payload[64];
};

/* What is known under a key of an execution. */
struct known {
    struct dd_text *key;
    int64_t asked_ms; /* waits: when it was first asked for */
    int64_t since_ms; /* waits: the earliest time it can be over */
    bool ran;         /* at-most-once attempts: it ran; plain functions: it ended */
    bool over;        /* operations: `completed` holds */
    struct completed completed;
    const char *sent;     /* branches: the outcome that was sent */
    const void *handler;  /* executions: who runs their body; NULL: nobody */
    struct dd_text *text; /* executions: ARN; events: how they were written */
};

struct oracle {
    struct dd_map known; /* by key */
};

struct oracle *oracle_new(void)
{
    struct oracle *oracle = dd_alloc(sizeof *oracle);

    dd_map_init(&oracle->known);
    return oracle;
}

void oracle_free(struct oracle *oracle)
{
    struct known *known;
    size_t i = 0;

    while ((known = dd_map_next(&oracle->known, &i)) != NULL) {
        dd_text_unref(known->key);
        dd_text_unref(known->text);
        dd_free(known);
    }
    dd_map_deinit(&oracle->known);
    dd_free(oracle);
}

static struct known *look_up(struct world *world, const char *kind, const char *execution,
                             const char *path)
{
    struct known *known;
    char key[256];

    snprintf(key, sizeof key, "%s %s %s", kind, execution, path);
    known = dd_map_get(&world->oracle->known, dd_span_cstr(key));
    if (!known) {
        known = dd_alloc(sizeof *known);
        known->key = dd_text_new(dd_span_cstr(key));
        dd_map_put(&world->oracle->known, dd_text_span(known->key), known);
    }
    return known;
}

void oracle_handler_begins(struct world *world, const char *execution, const void *handler)
{
    struct known *known = look_up(world, "execution", execution, "");

    if (known->handler)
        broken(world, "%s has two bodies at once", execution);
    known->handler = handler;
}

void oracle_handler_ends(struct world *world, const void *handler)
{
    struct known *known;
    size_t i = 0;

    while ((known = dd_map_next(&world->oracle->known, &i)) != NULL)
        if (known->handler == handler)
            known->handler = NULL;
}

bool oracle_is_complete(struct world *world, const char *execution, const char *path)
{
    return look_up(world, "operation", execution, path)->over;
}

void oracle_step_runs(struct world *world, const char *execution, const char *path, int attempt,
                      bool at_most_once)
{
    struct known *known;
    char name[32];

    if (look_up(world, "operation", execution, path)->over)
        broken(world, "%s: %s runs again after it was complete", execution, path);
    snprintf(name, sizeof name, "%s#%d", path, attempt);
    known = look_up(world, "attempt", execution, name);
    if (known->ran && at_most_once)
        broken(world, "%s: attempt %d of %s, at most once, runs twice", execution, attempt,
               path);
    known->ran = true;
}

void oracle_completed(struct world *world, const char *execution, const char *path,
                      const char *status, const char *payload)
{
    struct known *known = look_up(world, "operation", execution, path);
    struct completed now = {.status = ""};

    snprintf(now.status, sizeof now.status, "%s", status);
    snprintf(now.payload, sizeof now.payload, "%s", payload);
    if (known->over && (strcmp(known->completed.status, now.status) != 0 ||
                        strcmp(known->completed.payload, now.payload) != 0))
        broken(world, "%s: %s was %s %s and is %s %s", execution, path, known->completed.status,
               known->completed.payload, now.status, now.payload);
    known->over = true;
    known->completed = now;
}

void oracle_sent(struct world *world, const char *execution, const char *path,
                 const char *status)
{
    look_up(world, "operation", execution, path)->sent = status;
}

const char *oracle_outcome(struct world *world, const char *execution, const char *path)
{
    const struct known *known = look_up(world, "operation", execution, path);

    if (known->over)
        return known->completed.status;
    return known->sent ? known->sent : "";
}

void oracle_child(struct world *world, const char *parent, const char *path, const char *child)
{
    struct known *known = look_up(world, "child", parent, path);

    covered("child execution");
    if (known->text && strcmp(known->text->data, child) != 0)
        broken(world, "%s: %s started %s and %s", parent, path, known->text->data, child);
    if (!known->text)
        known->text = dd_text_new(dd_span_cstr(child));
}

void oracle_child_ended(struct world *world, const char *parent, const char *path,
                        const char *child)
{
    struct known *known = look_up(world, "child", parent, path);

    if (!known->text || strcmp(known->text->data, child) != 0)
        broken(world, "%s: %s started %s and has the outcome of %s", parent, path,
               known->text ? known->text->data : "nothing", child);
}

void oracle_plain_runs(struct world *world, const char *operation)
{
    if (look_up(world, "plain", operation, "")->ran)
        broken(world, "the plain function of %s runs again", operation);
}

void oracle_plain_ended(struct world *world, const char *operation)
{
    look_up(world, "plain", operation, "")->ran = true;
}

void oracle_waits(struct world *world, const char *execution, const char *path, int64_t ms)
{
    struct known *known = look_up(world, "wait", execution, path);

    if (known->since_ms)
        return;
    known->asked_ms = world->now_ms;
    known->since_ms = world->now_ms + ms;
}

void oracle_heartbeat(struct world *world, const char *execution, const char *path,
                      int64_t sent_ms, int64_t heartbeat_ms, int64_t timeout_ms)
{
    struct known *known = look_up(world, "wait", execution, path);
    int64_t since_ms = sent_ms + heartbeat_ms;

    if (since_ms > known->asked_ms + timeout_ms)
        since_ms = known->asked_ms + timeout_ms;
    if (heartbeat_ms && since_ms > known->since_ms)
        known->since_ms = since_ms;
}

void oracle_waited(struct world *world, const char *execution, const char *path)
{
    struct known *known = look_up(world, "wait", execution, path);

    if (known->since_ms && world->now_ms + world->back_ms < known->since_ms)
        broken(world, "%s: %s is over %lld ms early", execution, path,
               (long long)(known->since_ms - world->now_ms));
}

void oracle_started(struct world *world, const char *execution, const char *arn)
{
    struct known *known = look_up(world, "execution", execution, "");

    if (known->text && strcmp(known->text->data, arn) != 0)
        broken(world, "%s was %s and is %s", execution, known->text->data, arn);
    if (!known->text)
        known->text = dd_text_new(dd_span_cstr(arn));
}

void oracle_closed(struct world *world, const char *execution, const char *status,
                   const char *result)
{
    oracle_completed(world, execution, "(execution)", status, result);
}

/* An event as text: its type and what it concerns. */
static struct dd_text *written(const msgpack_object *event)
{
    char type[48], id[80], line[160];

    snprintf(line, sizeof line, "%s %s %lld",
             member_text(event, "EventType", type, sizeof type),
             member_text(event, "Id", id, sizeof id),
             (long long)member_int(event, "EventTimestamp"));
    return dd_text_new(dd_span_cstr(line));
}

static bool closes(const char *type)
{
    return strncmp(type, "Execution", 9) == 0 && strcmp(type, "ExecutionStarted") != 0;
}

void oracle_history(struct world *world, const char *execution, const msgpack_object *result)
{
    const msgpack_object *events = member(result, "events");
    bool closed = false;

    for (uint32_t i = 0; events && i < events->via.array.size; i++) {
        const msgpack_object *event = &events->via.array.ptr[i];
        struct dd_text *text = written(event);
        struct known *known;
        char number[16], type[48];

        if (member_int(event, "EventId") != (int64_t)i + 1)
            broken(world, "%s: event %u has id %lld", execution, i + 1,
                   (long long)member_int(event, "EventId"));
        snprintf(number, sizeof number, "%u", i + 1);
        known = look_up(world, "event", execution, number);
        if (known->text && !dd_text_equal(known->text, text))
            broken(world, "%s: event %s was \"%s\" and is \"%s\"", execution, number,
                   known->text->data, text->data);
        dd_text_unref(known->text);
        known->text = text;
        member_text(event, "EventType", type, sizeof type);
        if ((i == 0) != (strcmp(type, "ExecutionStarted") == 0))
            broken(world, "%s: event %s is %s", execution, number, type);
        if (closed && strcmp(type, "InvocationCompleted") != 0)
            broken(world, "%s: %s after its end", execution, type);
        if (member(member(event, "InvocationCompletedDetails"), "Error"))
            covered("invocation failed");
        closed = closed || closes(type);
    }
    covered("history read");
}

/* --- executions that others invoked ------------------------------------------------------- */

struct executions {
    struct dd_uuid ids[1024];
    size_t len;
};

static bool visit_execution(void *user, const struct dd_head *head)
{
    struct executions *executions = user;

    executions->ids[executions->len++] = head->id;
    return executions->len < DD_COUNT(executions->ids);
}

static struct dd_execution *loaded(struct world *world, struct dd_uuid id)
{
    struct dd_resident *resident;
    struct dd_error error;

    if (dd_engine_load(world->engine, id, &resident, &error) != 0)
        broken(world, "an execution cannot be loaded: %s", error.text);
    return resident->execution;
}

/* The end of an execution is that of the operation that started it, unless the end of
 * the operation's execution came first. */
static void check_child(struct world *world, const struct dd_execution *child,
                        const struct dd_execution *parent)
{
    static const enum dd_operation_status statuses[] = {
        [DD_EXECUTION_SUCCEEDED] = DD_STATUS_SUCCEEDED,
        [DD_EXECUTION_FAILED] = DD_STATUS_FAILED,
        [DD_EXECUTION_TIMED_OUT] = DD_STATUS_TIMED_OUT,
        [DD_EXECUTION_STOPPED] = DD_STATUS_STOPPED,
    };
    const struct dd_node *node =
        dd_execution_find(parent, dd_text_span(child->parent_operation));
    const char *name = child->arn->data;
    struct known *known;

    if (!node || node->operation.type != DD_TYPE_CHAINED_INVOKE)
        broken(world, "%s: no operation has started it", name);
    known = look_up(world, "started by", parent->arn->data, node->operation.id->data);
    if (known->text && strcmp(known->text->data, name) != 0)
        broken(world, "%s and %s were started by one operation", known->text->data, name);
    if (!known->text)
        known->text = dd_text_new(dd_span_cstr(name));
    if (!dd_execution_closed(child)
            ? dd_operation_status_terminal(node->operation.status)
            : !dd_execution_closed(parent) && node->operation.status == DD_STATUS_STARTED)
        broken(world, "%s: its operation is %s", name,
               dd_operation_status_name(node->operation.status));
    if (dd_operation_status_terminal(node->operation.status) &&
        (node->operation.status != statuses[child->status] ||
         !dd_text_equal(node->operation.result, child->result)))
        broken(world, "%s: its operation has another outcome", name);
}

/* What was invoked, and waits for its end, runs. */
static void check_invokes(struct world *world, const struct dd_execution *execution)
{
    for (uint32_t i = 0; i < execution->len && !dd_execution_closed(execution); i++) {
        const struct dd_operation *operation = execution->operations[i];

        if (operation->type == DD_TYPE_CHAINED_INVOKE &&
            operation->status == DD_STATUS_STARTED &&
            !look_up(world, "started by", execution->arn->data, operation->id->data)->text)
            broken(world, "%s: what it invoked does not exist", execution->arn->data);
    }
}

void oracle_children(struct world *world)
{
    struct executions executions = {.len = 0};

    if (!world->engine)
        return;
    (void)dd_journal_list(world->journal, NULL, true, DD_COUNT(executions.ids), visit_execution,
                          &executions);
    for (size_t i = 0; i < executions.len; i++) {
        const struct dd_execution *child = loaded(world, executions.ids[i]);

        if (child->parent_operation)
            check_child(world, child, loaded(world, child->parent));
    }
    for (size_t i = 0; i < executions.len; i++)
        check_invokes(world, loaded(world, executions.ids[i]));
}
