/* One durable execution: its life, what it shows of itself, and the events that
 * concern it as a whole: start, stop, and time passing. */
#include "base/alloc.h"
#include "base/limits.h"
#include "core/service/service_priv.h"

#include <inttypes.h>
#include <stdio.h>

struct dd_execution *dd_execution_new(const struct dd_service_config *config)
{
    struct dd_execution *execution = dd_alloc(sizeof(*execution));

    execution->config = config;
    return execution;
}

void dd_execution_free(struct dd_execution *execution)
{
    if (!execution)
        return;
    dd_map_deinit(&execution->by_id);
    for (uint32_t i = 0; i < execution->len; i++) {
        struct dd_node *node = dd_node_of(execution->operations[i]);

        dd_operation_deinit(&node->operation);
        dd_free(node);
    }
    dd_free(execution->operations);
    dd_free(execution->timers);
    dd_free(execution->unseen);
    dd_replay_clear(&execution->replay);
    dd_text_unref(execution->token_text);
    dd_text_unref(execution->flight.request_id);
    dd_text_unref(execution->flight.worker);
    dd_error_object_unref(execution->last_failure);
    dd_text_unref(execution->arn);
    dd_text_unref(execution->function);
    dd_text_unref(execution->tenant_id);
    dd_text_unref(execution->parent_operation);
    dd_text_unref(execution->result);
    dd_error_object_unref(execution->error);
    dd_free(execution);
}

/* --- what it shows ----------------------------------------------------------------------- */

static enum dd_work work(const struct dd_execution *execution)
{
    if (execution->flight.request_id)
        return DD_WORK_RUNNING;
    return execution->queued_ms ? DD_WORK_QUEUED : DD_WORK_NONE;
}

static int64_t work_since_ms(const struct dd_execution *execution)
{
    if (execution->flight.request_id)
        return execution->flight.start_ms;
    return execution->queued_ms ? execution->queued_ms : execution->last_ms;
}

static int64_t timeout_ms(const struct dd_execution *execution)
{
    return execution->execution_timeout_s > 0
               ? execution->operations[0]->start_ms + execution->execution_timeout_s * 1000
               : 0;
}

/* The earlier of two times of which 0 is none. */
static int64_t earlier(int64_t a, int64_t b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

static int64_t until_ms(const struct dd_execution *execution)
{
    const struct dd_node *first = dd_timer_first(execution);

    if (dd_execution_closed(execution))
        return 0;
    return earlier(first ? first->operation.due_ms : 0, execution->retry_ms);
}

/* A closed execution is not deleted while its last invocation still runs. */
static int64_t next_due_ms(const struct dd_execution *execution)
{
    if (dd_execution_closed(execution))
        return execution->flight.request_id || execution->retention_s == 0
                   ? 0
                   : execution->operations[0]->end_ms + execution->retention_s * 1000;
    return earlier(until_ms(execution), timeout_ms(execution));
}

void dd_execution_head(const struct dd_execution *execution, struct dd_head *out_head)
{
    dd_assert(execution->status != DD_EXECUTION_NONE);
    *out_head = (struct dd_head){
        .id = execution->id,
        .function = execution->function,
        .name = execution->operations[0]->name,
        .status = execution->status,
        .work = work(execution),
        .work_since_ms = work_since_ms(execution),
        .next_due_ms = next_due_ms(execution),
        .until_ms = until_ms(execution),
        .start_ms = execution->operations[0]->start_ms,
        .end_ms = execution->operations[0]->end_ms,
        .events = execution->events,
    };
}

size_t dd_execution_memory(const struct dd_execution *execution)
{
    return sizeof(*execution) + execution->len * sizeof(struct dd_node) +
           execution->cap * sizeof(*execution->operations) +
           execution->timers_cap * sizeof(*execution->timers) +
           execution->unseen_cap * sizeof(*execution->unseen) +
           execution->by_id.cap * sizeof(*execution->by_id.slots) +
           execution->replay.operations_len * sizeof(*execution->replay.operations) +
           execution->held + (execution->result ? execution->result->len : 0);
}

struct dd_text *dd_execution_arn(const struct dd_execution *execution)
{
    return execution->arn;
}

const struct dd_operation *dd_execution_operation(const struct dd_execution *execution)
{
    dd_assert(execution->len > 0);
    return execution->operations[0];
}

const struct dd_operation *dd_execution_subject(const struct dd_execution *execution,
                                                const struct dd_fact *fact)
{
    const struct dd_node *node;

    if (fact->type == DD_TYPE_EXECUTION)
        return dd_execution_operation(execution);
    node = fact->id ? dd_execution_find(execution, dd_text_span(fact->id)) : NULL;
    return node ? &node->operation : NULL;
}

struct dd_text *dd_execution_result(const struct dd_execution *execution)
{
    return execution->result;
}

struct dd_error_object *dd_execution_error(const struct dd_execution *execution)
{
    return execution->error;
}

int64_t dd_execution_timeout_s(const struct dd_execution *execution)
{
    return execution->execution_timeout_s;
}

int64_t dd_execution_retention_s(const struct dd_execution *execution)
{
    return execution->retention_s;
}

const struct dd_operation *const *dd_execution_operations(const struct dd_execution *execution,
                                                          size_t *out_len)
{
    *out_len = execution->len;
    return (const struct dd_operation *const *)execution->operations;
}

size_t dd_execution_result_max(const struct dd_execution *execution)
{
    return execution->parent_operation ? DD_PAYLOAD_MAX : DD_RESULT_MAX;
}

bool dd_execution_parent(const struct dd_execution *execution, struct dd_uuid *out_id,
                         struct dd_text **out_operation)
{
    if (!execution->parent_operation)
        return false;
    *out_id = execution->parent;
    *out_operation = execution->parent_operation;
    return true;
}

bool dd_execution_plain(const struct dd_execution *execution)
{
    return execution->plain;
}

/* The pending operation due first, else the first that only the outside completes. */
static const struct dd_operation *awaited(const struct dd_execution *execution)
{
    const struct dd_node *first = dd_timer_first(execution);

    if (first)
        return &first->operation;
    for (uint32_t i = 0; execution->pending > 0 && i < execution->len; i++) {
        if (dd_operation_pending(execution->operations[i]))
            return execution->operations[i];
    }
    return NULL;
}

void dd_execution_standing(const struct dd_execution *execution, struct dd_standing *out)
{

    *out = (struct dd_standing){
        .work = work(execution),
        .since_ms = work_since_ms(execution),
        .retry_ms = execution->retry_ms,
        .failures = execution->failures,
        .last_failure = execution->last_failure,
        .request_id = execution->flight.request_id,
        .worker = execution->flight.worker,
        .awaited = awaited(execution),
    };
}

/* --- start ------------------------------------------------------------------------------- */

int dd_execution_start(struct dd_execution *execution, const struct dd_start *start,
                       int64_t now_ms, struct dd_facts *out, struct dd_error *error)
{
    char id[DD_UUID_TEXT_LEN + 1];
    struct dd_text *input;
    struct dd_fact *fact;
    int rc;

    dd_assert(execution->status == DD_EXECUTION_NONE);
    rc = dd_constraint_start(start, error);
    if (rc)
        return rc;
    if (!dd_text_try_new(start->input, &input))
        return dd_fail(error, DD_NO_MEMORY, "no memory for an input of %zu bytes",
                       start->input.len);
    dd_uuid_format(start->id, id);
    fact = dd_facts_add(out, DD_FACT_EXECUTION_STARTED, dd_execution_time(execution, now_ms));
    fact->type = DD_TYPE_EXECUTION;
    fact->id = dd_text_cstr(id);
    fact->name = start->name.data ? dd_text_new(start->name) : dd_text_ref(fact->id);
    fact->payload = input;
    fact->function = dd_text_new(start->function);
    fact->execution_timeout_s = start->execution_timeout_s;
    fact->retention_s = start->retention_s;
    fact->plain = start->plain;
    fact->tenant_id = dd_text_new(start->tenant_id);
    fact->parent_execution = dd_text_new(start->parent_execution);
    fact->parent_operation = dd_text_new(start->parent_operation);
    dd_execution_emit(execution, fact);
    return 0;
}

int dd_execution_start_again(const struct dd_execution *execution, struct dd_span input,
                             struct dd_error *error)
{
    dd_assert(execution->len > 0);
    if (dd_span_equal(input, dd_text_span(execution->operations[0]->result)))
        return 0;
    return dd_fail(error, DD_ALREADY_STARTED, "Execution already started: %s",
                   execution->arn->data);
}

/* --- the end ----------------------------------------------------------------------------- */

void dd_execution_close_failed(struct dd_execution *execution, struct dd_error_object *failure,
                               int64_t now_ms, struct dd_facts *out)
{
    struct dd_fact *fact = dd_facts_add(out, DD_FACT_EXECUTION_FAILED, now_ms);

    fact->type = DD_TYPE_EXECUTION;
    fact->error = dd_error_object_ref(failure);
    dd_execution_emit(execution, fact);
}

int dd_execution_stop(struct dd_execution *execution, struct dd_error_object *failure,
                      int64_t now_ms, struct dd_facts *out, struct dd_error *error)
{
    struct dd_fact *fact;

    dd_assert(execution->status != DD_EXECUTION_NONE);
    if (dd_execution_closed(execution))
        return 0;
    if (dd_error_object_size(failure) > DD_PAYLOAD_MAX)
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "Error object size must be less than or equal to %d bytes.",
                       DD_PAYLOAD_MAX);
    fact = dd_facts_add(out, DD_FACT_EXECUTION_STOPPED, dd_execution_time(execution, now_ms));
    fact->type = DD_TYPE_EXECUTION;
    fact->error = failure ? dd_error_object_ref(failure)
                          : dd_error_object_new(DD_SPAN_NONE, DD_SPAN_NONE);
    dd_execution_emit(execution, fact);
    return 0;
}

static void time_out(struct dd_execution *execution, int64_t now_ms, struct dd_facts *out)
{
    char message[80];
    struct dd_fact *fact =
        dd_facts_add(out, DD_FACT_EXECUTION_TIMED_OUT, dd_execution_time(execution, now_ms));

    snprintf(message, sizeof(message), "Execution timed out after %" PRId64 " seconds.",
             execution->execution_timeout_s);
    fact->type = DD_TYPE_EXECUTION;
    fact->error = dd_error_object_new(DD_SPAN_NONE, dd_span_cstr(message));
    dd_execution_emit(execution, fact);
}

/* --- time -------------------------------------------------------------------------------- */

/* In the order in which they were due, however late this call is. */
void dd_execution_due(struct dd_execution *execution, int64_t now_ms, struct dd_facts *out)
{
    int64_t timeout;

    dd_assert(execution->status != DD_EXECUTION_NONE);
    if (dd_execution_closed(execution))
        return;
    timeout = timeout_ms(execution);
    dd_timers_fire(execution, now_ms, timeout ? timeout : now_ms, out);
    if (timeout && timeout <= now_ms) {
        time_out(execution, now_ms, out);
    } else if (execution->retry_ms && execution->retry_ms <= now_ms) {
        struct dd_fact *fact =
            dd_facts_add(out, DD_FACT_INVOCATION_DUE, dd_execution_time(execution, now_ms));

        dd_execution_emit(execution, fact);
    }
}
