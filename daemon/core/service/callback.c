/* Operations that the outside completes: callbacks, and the invocations of other
 * functions, which are executions of their own. */
#include <inttypes.h>
#include <stdio.h>

#include "base/limits.h"
#include "core/service/service_priv.h"

/* --- callbacks (service-api 6) ------------------------------------------------------------ */

int64_t dd_callback_due_ms(int64_t timeout_ms, int64_t heartbeat_s, int64_t now_ms)
{
    int64_t heartbeat_ms = heartbeat_s ? now_ms + heartbeat_s * 1000 : 0;

    if (timeout_ms == 0 || heartbeat_ms == 0)
        return timeout_ms + heartbeat_ms;
    return timeout_ms < heartbeat_ms ? timeout_ms : heartbeat_ms;
}

void dd_callback_timed_out(const struct dd_node *node, struct dd_fact *fact)
{
    fact->kind = DD_FACT_CALLBACK_TIMED_OUT;
    fact->error =
        node->operation.due_ms == node->timeout_ms
            ? dd_error_object_new(DD_SPAN("Callback.Timeout"), DD_SPAN("Callback timed out"))
            : dd_error_object_new(DD_SPAN("Callback.Heartbeat"),
                                  DD_SPAN("Callback timed out on heartbeat"));
}

static int check_result(enum dd_callback_action action, struct dd_span result,
                        const struct dd_error_object *failure, struct dd_error *error)
{
    if (action == DD_CALLBACK_SUCCEED && result.len > DD_PAYLOAD_MAX)
        return dd_fail(error, DD_VALIDATION,
                       "1 validation error detected: Value at 'result' failed to satisfy "
                       "constraint: Member must have length less than or equal to %d",
                       DD_PAYLOAD_MAX);
    if (action == DD_CALLBACK_FAIL && dd_error_object_size(failure) > DD_PAYLOAD_MAX)
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "Error object size must be less than or equal to %d bytes.",
                       DD_PAYLOAD_MAX);
    return 0;
}

/* One whose time has come is over, though its timer may not have fired yet. */
static bool open_callback(const struct dd_execution *execution, uint32_t operation,
                          int64_t now_ms)
{
    const struct dd_operation *found;

    if (dd_execution_closed(execution) || operation >= execution->len)
        return false;
    found = execution->operations[operation];
    return found->type == DD_TYPE_CALLBACK && found->status == DD_STATUS_STARTED &&
           (found->due_ms == 0 || found->due_ms > now_ms);
}

static const enum dd_fact_kind callback_facts[] = {
    [DD_CALLBACK_SUCCEED] = DD_FACT_CALLBACK_SUCCEEDED,
    [DD_CALLBACK_FAIL] = DD_FACT_CALLBACK_FAILED,
    [DD_CALLBACK_HEARTBEAT] = DD_FACT_CALLBACK_HEARTBEAT,
};

int dd_execution_callback(struct dd_execution *execution, uint32_t operation,
                          enum dd_callback_action action, struct dd_span result,
                          struct dd_error_object *failure, int64_t now_ms, struct dd_facts *out,
                          struct dd_error *error)
{
    struct dd_text *payload;
    struct dd_node *node;
    struct dd_fact *fact;
    int rc = check_result(action, result, failure, error);

    if (rc)
        return rc;
    if (!open_callback(execution, operation, now_ms))
        return dd_fail(error, DD_CALLBACK_TIMEOUT,
                       "The callback is either timed out or already completed");
    node = dd_node_of(execution->operations[operation]);
    if (action == DD_CALLBACK_HEARTBEAT && node->heartbeat_s == 0)
        return 0;
    if (!dd_text_try_new(result, &payload))
        return dd_fail(error, DD_NO_MEMORY, "no memory for a result of %zu bytes", result.len);
    fact = dd_facts_add(out, callback_facts[action], dd_execution_time(execution, now_ms));
    fact->type = DD_TYPE_CALLBACK;
    fact->id = dd_text_ref(node->operation.id);
    fact->payload = payload;
    if (action == DD_CALLBACK_FAIL)
        fact->error = dd_error_object_ref(failure);
    if (action == DD_CALLBACK_HEARTBEAT)
        fact->due_ms = dd_callback_due_ms(node->timeout_ms, node->heartbeat_s, fact->time_ms);
    dd_execution_emit(execution, fact);
    return 0;
}

/* --- chained invokes (service-api 5.4) ---------------------------------------------------- */

static enum dd_fact_kind chained_fact(enum dd_execution_status status)
{
    switch (status) {
    case DD_EXECUTION_SUCCEEDED:
        return DD_FACT_CHAINED_INVOKE_SUCCEEDED;
    case DD_EXECUTION_FAILED:
        return DD_FACT_CHAINED_INVOKE_FAILED;
    case DD_EXECUTION_TIMED_OUT:
        return DD_FACT_CHAINED_INVOKE_TIMED_OUT;
    case DD_EXECUTION_STOPPED:
        return DD_FACT_CHAINED_INVOKE_STOPPED;
    case DD_EXECUTION_NONE:
    case DD_EXECUTION_RUNNING:
        break;
    }
    dd_unreachable();
}

static struct dd_error_object *chained_timeout(const struct dd_execution *child)
{
    char message[80];

    snprintf(message, sizeof message, "CHAINED_INVOKE timed out after %" PRId64 " seconds.",
             child->execution_timeout_s);
    return dd_error_object_new(DD_SPAN("ChainedInvoke.Timeout"), dd_span_cstr(message));
}

void dd_execution_chained(struct dd_execution *execution, const struct dd_execution *child,
                          int64_t now_ms, struct dd_facts *out)
{
    struct dd_node *node = dd_execution_find(execution, dd_text_span(child->parent_operation));
    struct dd_fact *fact;

    dd_assert(dd_execution_closed(child));
    if (dd_execution_closed(execution) || !node ||
        node->operation.type != DD_TYPE_CHAINED_INVOKE ||
        node->operation.status != DD_STATUS_STARTED)
        return;
    fact = dd_facts_add(out, chained_fact(child->status), dd_execution_time(execution, now_ms));
    fact->type = DD_TYPE_CHAINED_INVOKE;
    fact->id = dd_text_ref(node->operation.id);
    fact->payload = dd_text_ref(child->result);
    fact->error = child->status == DD_EXECUTION_TIMED_OUT ? chained_timeout(child)
                                                          : dd_error_object_ref(child->error);
    dd_execution_emit(execution, fact);
}
