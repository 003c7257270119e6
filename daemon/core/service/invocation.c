/* Invocations: how one begins, and what its end does to the execution. */
#include "base/alloc.h"
#include "base/limits.h"
#include "core/service/service_priv.h"

#include <stdio.h>
#include <stdlib.h>

/* Delays between retries of a failed invocation: 1, 2, 4, ... up to 60 seconds. */
#define RETRY_DELAY_MAX_S 60

/* --- the beginning ----------------------------------------------------------------------- */

void dd_envelope_deinit(struct dd_envelope *envelope)
{
    dd_text_unref(envelope->token);
    dd_text_unref(envelope->marker);
    dd_text_unref(envelope->request_id);
    for (size_t i = 0; i < envelope->updated_ids_len; i++)
        dd_text_unref(envelope->updated_ids[i]);
    dd_free(envelope->updated_ids);
    *envelope = (struct dd_envelope){0};
}

static int compare_change(const void *a, const void *b)
{
    const struct dd_node *left = *(const struct dd_node *const *)a;
    const struct dd_node *right = *(const struct dd_node *const *)b;

    return left->change < right->change ? -1 : left->change > right->change;
}

/* Operations changed since a handler last learnt of changes and returned well: those
 * that only a failed invocation saw are among them. */
static void fill_updated_ids(const struct dd_execution *execution, struct dd_envelope *envelope)
{
    struct dd_node **nodes = dd_alloc_array(execution->len, sizeof(struct dd_node *));
    size_t len = 0;

    for (uint32_t i = 0; i < execution->len; i++) {
        struct dd_node *node = dd_node_of(execution->operations[i]);

        if (node->change > execution->updated_since)
            nodes[len++] = node;
    }
    if (len > 0) {
        qsort(nodes, len, sizeof(struct dd_node *), compare_change);
        envelope->updated_ids = dd_alloc_array(len, sizeof(struct dd_text *));
    }
    for (size_t i = 0; i < len; i++)
        envelope->updated_ids[i] = dd_text_ref(nodes[i]->operation.id);
    envelope->updated_ids_len = len;
    dd_free(nodes);
}

void dd_execution_invoke(struct dd_execution *execution, int64_t now_ms,
                         const uint8_t random[16], struct dd_span worker, struct dd_facts *out,
                         struct dd_envelope *out_envelope)
{
    char request_id[DD_UUID_TEXT_LEN + 1];
    struct dd_envelope envelope = {0};
    struct dd_fact *fact;

    dd_assert(execution->queued_ms && !execution->flight.request_id);
    dd_timers_fire(execution, now_ms, now_ms, out);
    fill_updated_ids(execution, &envelope);
    dd_uuid_format(dd_uuid_v4(random), request_id);
    fact = dd_facts_add(out, DD_FACT_INVOCATION_STARTED, dd_execution_time(execution, now_ms));
    fact->request_id = dd_text_cstr(request_id);
    fact->worker = dd_text_new(worker);
    fact->invocation = execution->invocation + 1;
    dd_execution_emit(execution, fact);
    envelope.arn = execution->arn;
    envelope.request_id = dd_text_ref(execution->flight.request_id);
    envelope.token = dd_token_make(execution);
    envelope.marker = dd_marker_make(execution, 0);
    envelope.plain = execution->plain;
    envelope.input = execution->operations[0]->result;
    envelope.tenant_id = execution->tenant_id;
    *out_envelope = envelope;
}

/* --- the end ----------------------------------------------------------------------------- */

static void emit_completed(struct dd_execution *execution, struct dd_error_object *failure,
                           int64_t due_ms, int64_t now_ms, struct dd_facts *out)
{
    struct dd_fact *fact = dd_facts_add(out, DD_FACT_INVOCATION_COMPLETED, now_ms);

    fact->request_id = dd_text_ref(execution->flight.request_id);
    fact->start_ms = execution->flight.start_ms;
    fact->error = dd_error_object_ref(failure);
    fact->due_ms = due_ms;
    dd_execution_emit(execution, fact);
}

static void released(struct dd_execution *execution, int64_t now_ms, struct dd_facts *out)
{
    struct dd_fact *fact = dd_facts_add(out, DD_FACT_INVOCATION_RELEASED, now_ms);

    fact->request_id = dd_text_ref(execution->flight.request_id);
    dd_execution_emit(execution, fact);
}

/* After `failures` in a row, the last one included; within 10 % either way. */
static int64_t retry_delay_ms(uint32_t failures, double unit)
{
    int64_t seconds;

    dd_assert(failures > 0);
    seconds = failures > 6 ? RETRY_DELAY_MAX_S : (int64_t)1 << (failures - 1);
    return (int64_t)((double)(seconds * 1000) * (0.9 + 0.2 * unit));
}

static void failed(struct dd_execution *execution, struct dd_error_object *failure, double unit,
                   int64_t now_ms, struct dd_facts *out)
{
    uint32_t failures = execution->failures + 1;
    uint32_t budget = execution->plain ? 1 : execution->config->invocation_retries;

    if (budget > 0 && failures >= budget) {
        emit_completed(execution, failure, 0, now_ms, out);
        dd_execution_close_failed(execution, failure, now_ms, out);
    } else {
        emit_completed(execution, failure, now_ms + retry_delay_ms(failures, unit), now_ms,
                       out);
    }
}

/* A plain function may have run to its end before its worker or the daemon was lost, and
 * nothing tells; it is not run twice. */
static void handed_back(struct dd_execution *execution, double unit, int64_t now_ms,
                        struct dd_facts *out)
{
    struct dd_error_object *failure;

    if (!execution->plain || dd_execution_closed(execution)) {
        released(execution, now_ms, out);
        return;
    }
    failure = dd_error_object_new(
        DD_SPAN("Runtime.ExitError"),
        DD_SPAN("The function was handed back; it is not known whether it returned"));
    failed(execution, failure, unit, now_ms, out);
    dd_error_object_unref(failure);
}

/* What is wrong with the output of a handler; NULL when it can be taken. The text is
 * written to `buffer` where it has a number in it. */
static const char *protocol_error(const struct dd_execution *execution,
                                  const struct dd_outcome *outcome, char *buffer, size_t size)
{
    if (outcome->malformed)
        return "Invalid Status in invocation output.";
    switch (outcome->status) {
    case DD_EXECUTION_SUCCEEDED:
        if (outcome->error)
            return "Cannot provide an Error for SUCCEEDED status.";
        if (outcome->result && outcome->result->len > dd_execution_result_max(execution)) {
            snprintf(buffer, size,
                     "%s output payload size must be less than or equal to %zu bytes.",
                     execution->plain ? "CHAINED_INVOKE" : "Execution",
                     dd_execution_result_max(execution));
            return buffer;
        }
        return NULL;
    case DD_EXECUTION_FAILED:
        return outcome->result ? "Cannot provide a Result for FAILED status." : NULL;
    case DD_EXECUTION_RUNNING:
        if (execution->pending == 0 && execution->unseen_len == 0)
            return "Cannot return PENDING status with no pending operations.";
        return NULL;
    case DD_EXECUTION_NONE:
    case DD_EXECUTION_TIMED_OUT:
    case DD_EXECUTION_STOPPED:
    default:
        return "Invalid Status in invocation output.";
    }
}

static void broke_protocol(struct dd_execution *execution, const char *message, int64_t now_ms,
                           struct dd_facts *out)
{
    struct dd_error_object *failure = dd_error_object_new(
        execution->plain ? DD_SPAN_NONE : dd_span_cstr(dd_error_name(DD_INVALID_PARAMETER)),
        dd_span_cstr(message));

    emit_completed(execution, failure, 0, now_ms, out);
    dd_execution_close_failed(execution, failure, now_ms, out);
    dd_error_object_unref(failure);
}

static void returned(struct dd_execution *execution, const struct dd_outcome *outcome,
                     int64_t now_ms, struct dd_facts *out)
{
    char buffer[128];
    const char *message = protocol_error(execution, outcome, buffer, sizeof(buffer));

    if (message) {
        broke_protocol(execution, message, now_ms, out);
        return;
    }
    emit_completed(execution, outcome->status == DD_EXECUTION_FAILED ? outcome->error : NULL, 0,
                   now_ms, out);
    if (outcome->status == DD_EXECUTION_FAILED) {
        dd_execution_close_failed(execution, outcome->error, now_ms, out);
    } else if (outcome->status == DD_EXECUTION_SUCCEEDED) {
        struct dd_fact *fact = dd_facts_add(out, DD_FACT_EXECUTION_SUCCEEDED, now_ms);

        fact->type = DD_TYPE_EXECUTION;
        fact->payload = dd_text_ref(outcome->result);
        dd_execution_emit(execution, fact);
    }
}

int dd_execution_invoked(struct dd_execution *execution, struct dd_span request_id,
                         const struct dd_outcome *outcome, double unit, int64_t now_ms,
                         struct dd_facts *out, struct dd_error *error)
{
    int64_t time_ms = dd_execution_time(execution, now_ms);
    struct dd_outcome fitting = *outcome;

    if (!execution->flight.request_id ||
        !dd_span_equal(request_id, dd_text_span(execution->flight.request_id)))
        return dd_fail(error, DD_NOT_FOUND, "The invocation has ended or never began");
    fitting.error = dd_error_object_fit(outcome->error, DD_INVOCATION_ERROR_MAX);
    outcome = &fitting;
    if (outcome->kind == DD_OUTCOME_RELEASED) {
        handed_back(execution, unit, time_ms, out);
    } else if (dd_execution_closed(execution)) {
        /* What it returns no longer counts; that it ended belongs to the history. */
        bool succeeded =
            outcome->kind == DD_OUTCOME_RETURNED && outcome->status != DD_EXECUTION_FAILED;

        emit_completed(execution, succeeded ? NULL : outcome->error, 0, time_ms, out);
    } else if (outcome->kind == DD_OUTCOME_FAILED) {
        failed(execution, outcome->error, unit, time_ms, out);
    } else {
        returned(execution, outcome, time_ms, out);
    }
    dd_error_object_unref(fitting.error);
    return 0;
}
