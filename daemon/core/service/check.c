/* The invariants of an execution. Each text names the one that is broken. */
#include "core/service/service_priv.h"

#include <inttypes.h>

static int broken(const struct dd_execution *execution, struct dd_error *error,
                  const char *what)
{
    return dd_fail(error, DD_SYSTEM, "%s: %s", dd_text_or(execution->arn, "execution"), what);
}

#define HOLDS(cond)                                 \
    do {                                            \
        if (!(cond))                                \
            return broken(execution, error, #cond); \
    } while (0)

static int check_node(const struct dd_execution *execution, const struct dd_node *node,
                      struct dd_error *error)
{
    const struct dd_operation *operation = &node->operation;
    bool terminal = dd_operation_status_terminal(operation->status);
    bool timed =
        !dd_execution_closed(execution) &&
        ((operation->type == DD_TYPE_WAIT && operation->status == DD_STATUS_STARTED) ||
         (operation->type == DD_TYPE_STEP && operation->status == DD_STATUS_PENDING) ||
         (operation->type == DD_TYPE_CALLBACK && operation->status == DD_STATUS_STARTED &&
          (node->timeout_ms || node->heartbeat_s)));

    HOLDS(operation->status != DD_STATUS_NONE && operation->id);
    HOLDS(dd_execution_find(execution, dd_text_span(operation->id)) == node);
    HOLDS((node->timer_at != 0) == timed);
    HOLDS(!timed || operation->due_ms > 0);
    HOLDS(operation->type != DD_TYPE_STEP || operation->status == DD_STATUS_PENDING ||
          operation->due_ms == 0 || dd_execution_closed(execution));
    HOLDS((operation->type == DD_TYPE_CALLBACK) == (operation->callback_id != NULL));
    HOLDS(terminal == (operation->end_ms != 0));
    HOLDS(operation->end_ms == 0 || operation->end_ms >= operation->start_ms);
    HOLDS(operation->start_ms <= execution->last_ms && operation->end_ms <= execution->last_ms);
    HOLDS(node->change > 0 && node->change <= execution->change);
    HOLDS(!node->parent || node->parent->operation.type == DD_TYPE_CONTEXT);
    HOLDS((node->parent != NULL) == (operation->parent_id != NULL));
    HOLDS(operation->type == DD_TYPE_EXECUTION ||
          (node->unseen_at != 0) == (node->change > execution->seen));
    return 0;
}

static int check_operations(const struct dd_execution *execution, struct dd_error *error)
{
    uint32_t pending = 0;

    HOLDS(execution->len > 0 && execution->by_id.len == execution->len);
    for (uint32_t i = 0; i < execution->len; i++) {
        const struct dd_operation *operation = execution->operations[i];
        int rc = check_node(execution, dd_node_of(execution->operations[i]), error);

        if (rc)
            return rc;
        HOLDS((operation->type == DD_TYPE_EXECUTION) == (i == 0));
        HOLDS(i == 0 || execution->operations[i - 1]->start_ms <= operation->start_ms);
        pending += dd_operation_pending(operation);
    }
    HOLDS(pending == execution->pending);
    return 0;
}

static int check_timers(const struct dd_execution *execution, struct dd_error *error)
{
    for (uint32_t i = 0; i < execution->timers_len; i++) {
        const struct dd_node *node = execution->timers[i];

        HOLDS(node->timer_at == i + 1);
        HOLDS(execution->timers[i > 0 ? (i - 1) / 2 : 0]->operation.due_ms <=
              node->operation.due_ms);
    }
    return 0;
}

static int check_unseen(const struct dd_execution *execution, struct dd_error *error)
{
    uint32_t last = execution->seen;

    for (uint32_t i = 0; i < execution->unseen_len; i++) {
        const struct dd_node *node = execution->unseen[i];

        if (!node)
            continue;
        HOLDS(node->unseen_at == i + 1);
        HOLDS(node->change > last);
        last = node->change;
    }
    HOLDS(execution->unseen_len == 0 || execution->unseen[execution->unseen_len - 1]);
    return 0;
}

/* Closed, running, queued, backing off, or waiting: which, and what goes with it. */
static int check_standing(const struct dd_execution *execution, struct dd_error *error)
{
    bool closed = dd_execution_closed(execution);
    bool in_flight = execution->flight.request_id != NULL;

    HOLDS(execution->status != DD_EXECUTION_NONE);
    HOLDS(closed == (execution->operations[0]->end_ms != 0));
    HOLDS(closed == dd_operation_status_terminal(execution->operations[0]->status));
    HOLDS(!closed || (execution->timers_len == 0 && execution->queued_ms == 0 &&
                      execution->retry_ms == 0 && !execution->replay.client_token));
    HOLDS(!in_flight || (execution->queued_ms == 0 && execution->retry_ms == 0));
    HOLDS(in_flight || (!execution->replay.client_token && execution->flight.token_seq == 0));
    HOLDS(!execution->retry_ms || (!execution->queued_ms && execution->failures > 0));
    HOLDS(closed || in_flight || execution->queued_ms || execution->retry_ms ||
          execution->pending > 0);
    HOLDS(!in_flight || execution->invocation > 0);
    HOLDS(execution->events > 0);
    HOLDS(execution->updated_since <= execution->seen && execution->seen <= execution->change);
    HOLDS(!execution->replay.operations_len || execution->replay.client_token);
    return 0;
}

int dd_execution_check(const struct dd_execution *execution, struct dd_error *error)
{
    int rc = check_standing(execution, error);

    if (rc == 0)
        rc = check_operations(execution, error);
    if (rc == 0)
        rc = check_timers(execution, error);
    if (rc == 0)
        rc = check_unseen(execution, error);
    return rc;
}
