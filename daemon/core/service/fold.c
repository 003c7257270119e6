/* dd_execution_apply(): what each fact changes. Nothing else changes an execution.
 *
 * Facts come from the engine itself or from a journal; a fact that cannot follow
 * the ones before it is refused before it changes anything. */
#include <inttypes.h>
#include <stdio.h>

#include "base/limits.h"
#include "core/service/service_priv.h"

#define FROM(status) (1u << DD_STATUS_##status)

static int corrupt(struct dd_error *error, const struct dd_fact *fact, const char *why)
{
    return dd_fail(error, DD_STORE_CORRUPT, "fact %d (event %" PRIu32 "): %s", (int)fact->kind,
                   fact->event_id, why);
}

/* --- operations -------------------------------------------------------------------------- */

static void set_status(struct dd_execution *execution, struct dd_node *node,
                       enum dd_operation_status status)
{
    execution->pending -= dd_operation_pending(&node->operation);
    node->operation.status = status;
    execution->pending += dd_operation_pending(&node->operation);
}

/* Something happened that the handler waits for, maybe: it is to be invoked unless
 * it runs. A retry that is still backing off begins at once (service-api 5.3). */
static void wake(struct dd_execution *execution, int64_t now_ms)
{
    if (execution->flight.request_id)
        return;
    if (execution->queued_ms == 0)
        execution->queued_ms = now_ms;
    execution->retry_ms = 0;
}

static void arm(struct dd_execution *execution, struct dd_node *node, int64_t due_ms)
{
    node->operation.due_ms = due_ms;
    dd_timer_arm(execution, node);
}

static void started(struct dd_execution *execution, struct dd_node *node,
                    const struct dd_fact *fact)
{
    (void)fact;
    set_status(execution, node, DD_STATUS_STARTED);
}

static void ended(struct dd_execution *execution, struct dd_node *node,
                  enum dd_operation_status status, const struct dd_fact *fact)
{
    set_status(execution, node, status);
    node->operation.end_ms = fact->time_ms;
}

static void context_succeeded(struct dd_execution *execution, struct dd_node *node,
                              const struct dd_fact *fact)
{
    ended(execution, node, DD_STATUS_SUCCEEDED, fact);
    node->operation.replay_children = fact->replay_children;
    dd_node_set_text(execution, &node->operation.result, fact->payload);
}

static void context_failed(struct dd_execution *execution, struct dd_node *node,
                           const struct dd_fact *fact)
{
    ended(execution, node, DD_STATUS_FAILED, fact);
    node->operation.replay_children = fact->replay_children;
    dd_node_set_error(execution, node, fact->error);
}

static void step_retried(struct dd_execution *execution, struct dd_node *node,
                         const struct dd_fact *fact)
{
    set_status(execution, node, DD_STATUS_PENDING);
    if (fact->payload)
        dd_node_set_text(execution, &node->operation.result, fact->payload);
    if (fact->error)
        dd_node_set_error(execution, node, fact->error);
    arm(execution, node, fact->due_ms);
}

static void step_succeeded(struct dd_execution *execution, struct dd_node *node,
                           const struct dd_fact *fact)
{
    node->operation.attempt = fact->attempt;
    if (fact->due_ms) {
        step_retried(execution, node, fact);
        return;
    }
    ended(execution, node, DD_STATUS_SUCCEEDED, fact);
    dd_node_set_text(execution, &node->operation.result, fact->payload);
    dd_node_set_error(execution, node, NULL);
}

static void step_failed(struct dd_execution *execution, struct dd_node *node,
                        const struct dd_fact *fact)
{
    node->operation.attempt = fact->attempt;
    if (fact->due_ms) {
        step_retried(execution, node, fact);
        return;
    }
    ended(execution, node, DD_STATUS_FAILED, fact);
    dd_node_set_error(execution, node, fact->error);
}

static void step_ready(struct dd_execution *execution, struct dd_node *node,
                       const struct dd_fact *fact)
{
    dd_timer_disarm(execution, node);
    set_status(execution, node, DD_STATUS_READY);
    node->operation.due_ms = 0;
    wake(execution, fact->time_ms);
}

static void wait_started(struct dd_execution *execution, struct dd_node *node,
                         const struct dd_fact *fact)
{
    set_status(execution, node, DD_STATUS_STARTED);
    arm(execution, node, fact->due_ms);
}

/* A wait keeps its due_ms, which is its ScheduledEndTimestamp. */
static void wait_succeeded(struct dd_execution *execution, struct dd_node *node,
                           const struct dd_fact *fact)
{
    dd_timer_disarm(execution, node);
    ended(execution, node, DD_STATUS_SUCCEEDED, fact);
    wake(execution, fact->time_ms);
}

static void wait_cancelled(struct dd_execution *execution, struct dd_node *node,
                           const struct dd_fact *fact)
{
    dd_timer_disarm(execution, node);
    ended(execution, node, DD_STATUS_CANCELLED, fact);
}

static void callback_started(struct dd_execution *execution, struct dd_node *node,
                             const struct dd_fact *fact)
{
    set_status(execution, node, DD_STATUS_STARTED);
    dd_node_set_text(execution, &node->operation.callback_id, fact->callback_id);
    node->heartbeat_s = (uint32_t)fact->heartbeat_s;
    node->timeout_ms = fact->delay_s ? fact->time_ms + fact->delay_s * 1000 : 0;
    if (fact->due_ms)
        arm(execution, node, fact->due_ms);
}

/* The operation is as it was: nobody need be told. */
static void callback_heartbeat(struct dd_execution *execution, struct dd_node *node,
                               const struct dd_fact *fact)
{
    dd_timer_disarm(execution, node);
    arm(execution, node, fact->due_ms);
}

/* The outside, or time in its stead, has answered. */
static void answered(struct dd_execution *execution, struct dd_node *node,
                     enum dd_operation_status status, const struct dd_fact *fact)
{
    dd_timer_disarm(execution, node);
    node->operation.due_ms = 0;
    ended(execution, node, status, fact);
    dd_node_set_text(execution, &node->operation.result, fact->payload);
    dd_node_set_error(execution, node, fact->error);
    wake(execution, fact->time_ms);
}

static void answered_well(struct dd_execution *execution, struct dd_node *node,
                          const struct dd_fact *fact)
{
    answered(execution, node, DD_STATUS_SUCCEEDED, fact);
}

static void answered_badly(struct dd_execution *execution, struct dd_node *node,
                           const struct dd_fact *fact)
{
    answered(execution, node, DD_STATUS_FAILED, fact);
}

static void answered_late(struct dd_execution *execution, struct dd_node *node,
                          const struct dd_fact *fact)
{
    answered(execution, node, DD_STATUS_TIMED_OUT, fact);
}

static void answered_stopped(struct dd_execution *execution, struct dd_node *node,
                             const struct dd_fact *fact)
{
    answered(execution, node, DD_STATUS_STOPPED, fact);
}

/* Facts about operations: the type, the statuses that they can follow (NONE: the
 * operation does not exist yet), and what they change. */
static const struct operation_fold {
    enum dd_fact_kind kind;
    enum dd_operation_type type;
    unsigned from;
    void (*fold)(struct dd_execution *, struct dd_node *, const struct dd_fact *);
} operation_folds[] = {
    {DD_FACT_CONTEXT_STARTED, DD_TYPE_CONTEXT, FROM(NONE), started},
    {DD_FACT_CONTEXT_SUCCEEDED, DD_TYPE_CONTEXT, FROM(NONE) | FROM(STARTED), context_succeeded},
    {DD_FACT_CONTEXT_FAILED, DD_TYPE_CONTEXT, FROM(NONE) | FROM(STARTED), context_failed},
    {DD_FACT_STEP_STARTED, DD_TYPE_STEP, FROM(NONE) | FROM(READY), started},
    {DD_FACT_STEP_SUCCEEDED, DD_TYPE_STEP, FROM(NONE) | FROM(STARTED) | FROM(READY),
     step_succeeded},
    {DD_FACT_STEP_FAILED, DD_TYPE_STEP, FROM(NONE) | FROM(STARTED) | FROM(READY), step_failed},
    {DD_FACT_STEP_READY, DD_TYPE_STEP, FROM(PENDING), step_ready},
    {DD_FACT_WAIT_STARTED, DD_TYPE_WAIT, FROM(NONE), wait_started},
    {DD_FACT_WAIT_SUCCEEDED, DD_TYPE_WAIT, FROM(STARTED), wait_succeeded},
    {DD_FACT_WAIT_CANCELLED, DD_TYPE_WAIT, FROM(STARTED), wait_cancelled},
    {DD_FACT_CALLBACK_STARTED, DD_TYPE_CALLBACK, FROM(NONE), callback_started},
    {DD_FACT_CALLBACK_SUCCEEDED, DD_TYPE_CALLBACK, FROM(STARTED), answered_well},
    {DD_FACT_CALLBACK_FAILED, DD_TYPE_CALLBACK, FROM(STARTED), answered_badly},
    {DD_FACT_CALLBACK_TIMED_OUT, DD_TYPE_CALLBACK, FROM(STARTED), answered_late},
    {DD_FACT_CALLBACK_HEARTBEAT, DD_TYPE_CALLBACK, FROM(STARTED), callback_heartbeat},
    {DD_FACT_CHAINED_INVOKE_STARTED, DD_TYPE_CHAINED_INVOKE, FROM(NONE), started},
    {DD_FACT_CHAINED_INVOKE_SUCCEEDED, DD_TYPE_CHAINED_INVOKE, FROM(STARTED), answered_well},
    {DD_FACT_CHAINED_INVOKE_FAILED, DD_TYPE_CHAINED_INVOKE, FROM(STARTED), answered_badly},
    {DD_FACT_CHAINED_INVOKE_TIMED_OUT, DD_TYPE_CHAINED_INVOKE, FROM(STARTED), answered_late},
    {DD_FACT_CHAINED_INVOKE_STOPPED, DD_TYPE_CHAINED_INVOKE, FROM(STARTED), answered_stopped},
};

static const struct operation_fold *operation_fold_find(enum dd_fact_kind kind)
{
    for (size_t i = 0; i < DD_COUNT(operation_folds); i++) {
        if (operation_folds[i].kind == kind)
            return &operation_folds[i];
    }
    return NULL;
}

/* The change is numbered before the timer is armed: timers that are due together
 * fire in that order. */
static int fold_operation(struct dd_execution *execution, const struct operation_fold *row,
                          const struct dd_fact *fact, struct dd_error *error)
{
    struct dd_node *node = dd_execution_find(execution, dd_text_span(fact->id));
    struct dd_node *parent = NULL;

    if (!fact->id || fact->type != row->type || (node && node->operation.type != row->type))
        return corrupt(error, fact, "names no operation of its type");
    if (!(row->from & (1u << (node ? node->operation.status : DD_STATUS_NONE))))
        return corrupt(error, fact, "cannot follow the operation's status");
    if ((row->fold == wait_started || row->fold == callback_heartbeat) && fact->due_ms <= 0)
        return corrupt(error, fact, "has no due time");
    if (row->fold == callback_started && !fact->callback_id)
        return corrupt(error, fact, "has no callback id");
    if (node &&
        (row->fold == wait_succeeded || row->fold == step_ready ||
         fact->kind == DD_FACT_CALLBACK_TIMED_OUT) &&
        fact->time_ms < node->operation.due_ms)
        return corrupt(error, fact, "fires a timer early");
    if (!node) {
        if (fact->parent_id) {
            parent = dd_execution_find(execution, dd_text_span(fact->parent_id));
            if (!parent || parent->operation.type != DD_TYPE_CONTEXT)
                return corrupt(error, fact, "names no context as its parent");
        }
        node = dd_node_add(execution, fact, parent);
    }
    if (row->fold != callback_heartbeat)
        dd_node_changed(execution, node);
    row->fold(execution, node, fact);
    return 0;
}

/* --- the execution ----------------------------------------------------------------------- */

static struct dd_text *format_arn(const struct dd_execution *execution,
                                  const struct dd_fact *fact)
{
    char arn[DD_ARN_MAX + 1];
    int len = snprintf(arn, sizeof(arn),
                       "arn:aws:lambda:%s:%s:function:%s:$LATEST/durable-execution/%s/%s",
                       execution->config->region, execution->config->account,
                       fact->function->data, fact->name->data, fact->id->data);

    dd_assert(len > 0 && (size_t)len < sizeof(arn));
    return dd_text_new(dd_span_make(arn, (size_t)len));
}

static int fold_started(struct dd_execution *execution, const struct dd_fact *fact,
                        struct dd_error *error)
{
    struct dd_node *node;

    if (execution->status != DD_EXECUTION_NONE)
        return corrupt(error, fact, "starts the execution again");
    if (fact->type != DD_TYPE_EXECUTION || !fact->name || !fact->function ||
        fact->name->len > DD_EXECUTION_NAME_MAX || fact->function->len > DD_FUNCTION_NAME_MAX ||
        fact->time_ms <= 0 || !dd_uuid_parse(dd_text_span(fact->id), &execution->id) ||
        (fact->parent_operation &&
         !dd_uuid_parse(dd_text_span(fact->parent_execution), &execution->parent)))
        return corrupt(error, fact, "lacks what a start needs");
    execution->status = DD_EXECUTION_RUNNING;
    execution->execution_timeout_s = fact->execution_timeout_s;
    execution->retention_s = fact->retention_s;
    execution->queued_ms = fact->time_ms;
    execution->arn = format_arn(execution, fact);
    execution->plain = fact->plain;
    dd_text_set(&execution->function, fact->function);
    dd_text_set(&execution->tenant_id, fact->tenant_id);
    dd_text_set(&execution->parent_operation, fact->parent_operation);
    node = dd_node_add(execution, fact, NULL);
    dd_node_set_text(execution, &node->operation.result, fact->payload);
    set_status(execution, node, DD_STATUS_STARTED);
    dd_node_changed(execution, node);
    return 0;
}

static void fold_closed(struct dd_execution *execution, const struct dd_fact *fact,
                        enum dd_execution_status status,
                        enum dd_operation_status operation_status)
{
    struct dd_node *node = dd_node_of(execution->operations[0]);

    execution->status = status;
    dd_text_set(&execution->result, fact->payload);
    dd_error_object_set(&execution->error, fact->error);
    ended(execution, node, operation_status, fact);
    dd_node_changed(execution, node);
    while (execution->timers_len > 0)
        dd_timer_disarm(execution, execution->timers[execution->timers_len - 1]);
    dd_replay_clear(&execution->replay);
    execution->queued_ms = 0;
    execution->retry_ms = 0;
}

/* --- invocations ------------------------------------------------------------------------- */

static int fold_invocation_started(struct dd_execution *execution, const struct dd_fact *fact,
                                   struct dd_error *error)
{
    if (!fact->request_id || execution->flight.request_id || execution->queued_ms == 0 ||
        fact->invocation != execution->invocation + 1)
        return corrupt(error, fact, "starts an invocation out of turn");
    execution->invocation = fact->invocation;
    dd_text_set(&execution->flight.request_id, fact->request_id);
    dd_text_set(&execution->flight.worker, fact->worker);
    execution->flight.start_ms = fact->time_ms;
    execution->flight.token_seq = 0;
    execution->queued_ms = 0;
    execution->retry_ms = 0;
    dd_nodes_seen(execution);
    return 0;
}

static void flight_clear(struct dd_execution *execution)
{
    dd_text_set(&execution->flight.request_id, NULL);
    dd_text_set(&execution->flight.worker, NULL);
    execution->flight = (struct dd_flight){0};
    dd_replay_clear(&execution->replay);
}

/* After a clean return whatever the handler has not been told of brings it back at
 * once; after a failure its retry will see it. */
static int fold_invocation_completed(struct dd_execution *execution, const struct dd_fact *fact,
                                     struct dd_error *error)
{
    if (!execution->flight.request_id ||
        !dd_text_equal(fact->request_id, execution->flight.request_id))
        return corrupt(error, fact, "ends an invocation that is not in flight");
    flight_clear(execution);
    if (fact->due_ms) {
        execution->failures++;
        dd_error_object_set(&execution->last_failure, fact->error);
        execution->retry_ms = dd_execution_closed(execution) ? 0 : fact->due_ms;
        return 0;
    }
    execution->failures = 0;
    dd_error_object_set(&execution->last_failure, NULL);
    execution->updated_since = execution->seen;
    if (!dd_execution_closed(execution) && execution->unseen_len > 0)
        execution->queued_ms = fact->time_ms;
    return 0;
}

static int fold_invocation_released(struct dd_execution *execution, const struct dd_fact *fact,
                                    struct dd_error *error)
{
    if (!execution->flight.request_id ||
        !dd_text_equal(fact->request_id, execution->flight.request_id))
        return corrupt(error, fact, "hands back an invocation that is not in flight");
    flight_clear(execution);
    if (!dd_execution_closed(execution))
        execution->queued_ms = fact->time_ms;
    return 0;
}

static int fold_invocation_due(struct dd_execution *execution, const struct dd_fact *fact,
                               struct dd_error *error)
{
    if (execution->retry_ms == 0 || fact->time_ms < execution->retry_ms)
        return corrupt(error, fact, "retries an invocation too early");
    wake(execution, fact->time_ms);
    return 0;
}

static int fold_checkpointed(struct dd_execution *execution, const struct dd_fact *fact,
                             struct dd_error *error)
{
    struct dd_replay *replay = &execution->replay;

    if (!execution->flight.request_id || fact->token_seq != execution->flight.token_seq + 1)
        return corrupt(error, fact, "hands out a token out of turn");
    execution->flight.token_seq = fact->token_seq;
    dd_replay_clear(replay);
    if (fact->client_token) {
        dd_text_set(&replay->client_token, fact->client_token);
        replay->operations = dd_nodes_unseen(execution, &replay->operations_len);
    }
    dd_nodes_seen(execution);
    return 0;
}

/* --- apply ------------------------------------------------------------------------------- */

static int check_order(const struct dd_execution *execution, const struct dd_fact *fact,
                       struct dd_error *error)
{
    uint32_t event_id = dd_fact_event_type(fact->kind) ? execution->events + 1 : 0;

    if (fact->event_id != event_id)
        return corrupt(error, fact, "does not continue the event ids");
    if (fact->time_ms < execution->last_ms)
        return corrupt(error, fact, "is earlier than the one before it");
    if (execution->status == DD_EXECUTION_NONE && fact->kind != DD_FACT_EXECUTION_STARTED)
        return corrupt(error, fact, "comes before the start of the execution");
    if (dd_execution_closed(execution) && fact->kind != DD_FACT_INVOCATION_COMPLETED &&
        fact->kind != DD_FACT_INVOCATION_RELEASED)
        return corrupt(error, fact, "comes after the end of the execution");
    return 0;
}

static int fold(struct dd_execution *execution, const struct dd_fact *fact,
                struct dd_error *error)
{
    const struct operation_fold *row = operation_fold_find(fact->kind);

    if (row)
        return fold_operation(execution, row, fact, error);
    switch ((int)fact->kind) {
    case DD_FACT_EXECUTION_STARTED:
        return fold_started(execution, fact, error);
    case DD_FACT_EXECUTION_SUCCEEDED:
        fold_closed(execution, fact, DD_EXECUTION_SUCCEEDED, DD_STATUS_SUCCEEDED);
        return 0;
    case DD_FACT_EXECUTION_FAILED:
        fold_closed(execution, fact, DD_EXECUTION_FAILED, DD_STATUS_FAILED);
        return 0;
    case DD_FACT_EXECUTION_TIMED_OUT:
        fold_closed(execution, fact, DD_EXECUTION_TIMED_OUT, DD_STATUS_TIMED_OUT);
        return 0;
    case DD_FACT_EXECUTION_STOPPED:
        fold_closed(execution, fact, DD_EXECUTION_STOPPED, DD_STATUS_STOPPED);
        return 0;
    case DD_FACT_INVOCATION_STARTED:
        return fold_invocation_started(execution, fact, error);
    case DD_FACT_INVOCATION_COMPLETED:
        return fold_invocation_completed(execution, fact, error);
    case DD_FACT_INVOCATION_RELEASED:
        return fold_invocation_released(execution, fact, error);
    case DD_FACT_INVOCATION_DUE:
        return fold_invocation_due(execution, fact, error);
    case DD_FACT_CHECKPOINTED:
        return fold_checkpointed(execution, fact, error);
    default:
        return corrupt(error, fact, "is of a kind that this release does not know");
    }
}

int dd_execution_apply(struct dd_execution *execution, const struct dd_fact *fact,
                       struct dd_error *error)
{
    int rc = check_order(execution, fact, error);

    if (rc == 0)
        rc = fold(execution, fact, error);
    if (rc)
        return rc;
    if (fact->event_id)
        execution->events = fact->event_id;
    execution->last_ms = fact->time_ms;
    execution->written +=
        (fact->payload ? fact->payload->len : 0) +
        (dd_fact_event_type(fact->kind) ? dd_error_object_size(fact->error) : 0);
    return 0;
}

void dd_execution_emit(struct dd_execution *execution, struct dd_fact *fact)
{
    struct dd_error error;
    int rc;

    if (dd_fact_event_type(fact->kind))
        fact->event_id = execution->events + 1;
    rc = dd_execution_apply(execution, fact, &error);
    dd_assert(rc == 0);
}
