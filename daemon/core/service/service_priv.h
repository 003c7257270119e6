/* The inside of an execution, shared by the files of the service engine.
 *
 * Deciding and changing are apart. The functions that take an event look at the
 * execution, fill in a fact and hand it to dd_execution_emit(). Only
 * dd_execution_apply() (fold.c) changes anything, so that a restart, which folds
 * the same facts, arrives at the same execution.
 */
#pragma once

#include "base/map.h"
#include "core/service/service.h"

/* An operation and its places in the execution's indexes. */
struct dd_node {
    struct dd_operation operation;
    struct dd_node *parent; /* its CONTEXT; NULL at the root */
    uint32_t change;        /* number of its last change */
    uint32_t unseen_at;     /* place in `unseen`, counted from 1; 0: not there */
    uint32_t timer_at;      /* place in `timers`, counted from 1; 0: not there */
    uint32_t heartbeat_s;   /* CALLBACK: HeartbeatTimeoutSeconds; 0: none */
    int64_t timeout_ms;     /* CALLBACK: when it times out; 0: never */
};

/* What the last checkpoint answered, for a repeated request (service-api 4.3).
 * Empty when that checkpoint had no client token. */
struct dd_replay {
    struct dd_text *client_token;
    struct dd_operation *operations;
    size_t operations_len;
};

void dd_replay_clear(struct dd_replay *replay);

/* What a checkpoint token says. */
struct dd_token {
    struct dd_uuid id;
    uint32_t invocation;
    uint32_t seq;
};

/* The invocation in flight; `request_id` is NULL when there is none. */
struct dd_flight {
    struct dd_text *request_id;
    struct dd_text *worker;
    int64_t start_ms;
    uint32_t token_seq; /* of the one valid token */
};

struct dd_execution {
    const struct dd_service_config *config;
    struct dd_uuid id;
    struct dd_text *arn;
    struct dd_text *function;
    struct dd_text *tenant_id;
    struct dd_uuid parent;            /* the execution that invoked it, */
    struct dd_text *parent_operation; /* and the operation; NULL: none */
    bool plain;                       /* its function is not durable */
    struct dd_text *result;
    struct dd_error_object *error;
    enum dd_execution_status status; /* NONE before its first fact */
    int64_t last_ms;                 /* time of the last fact */
    int64_t execution_timeout_s;
    int64_t retention_s;
    uint32_t events;

    /* Operations in order of start, EXECUTION first; `by_id` leads to the nodes. */
    struct dd_operation **operations;
    uint32_t len, cap;
    struct dd_map by_id;
    uint32_t pending; /* operations that only time or the outside completes */

    /* Min-heap of the operations with an armed timer, by (due_ms, change). */
    struct dd_node **timers;
    uint32_t timers_len, timers_cap;

    /* Operations in order of their last change that the handler has not been told
     * of. A later change leaves NULL in the former place. */
    struct dd_node **unseen;
    uint32_t unseen_len, unseen_cap;
    uint32_t change;        /* number of the last change of any operation */
    uint32_t seen;          /* `change` when the handler was last told */
    uint32_t updated_since; /* UpdatedOperationIds are the changes after this one */

    struct dd_flight flight;
    /* The token handed out last and what it says, so that the next checkpoint need not
     * unseal it; NULL after a load. */
    struct dd_text *token_text;
    struct dd_token token;
    struct dd_replay replay;
    uint32_t invocation; /* number of the last invocation */
    uint32_t failures;   /* failed invocations in a row */
    struct dd_error_object *last_failure;
    int64_t queued_ms; /* since when it wants an invocation; 0: it does not */
    int64_t retry_ms;  /* when the retry of a failed invocation is due; 0: none */

    uint64_t written; /* payload bytes, for the quota */
    size_t held;      /* bytes of texts that the operations reference */
};

static inline struct dd_node *dd_node_of(struct dd_operation *operation)
{
    return dd_container_of(operation, struct dd_node, operation);
}

static inline bool dd_execution_closed(const struct dd_execution *execution)
{
    return execution->status > DD_EXECUTION_RUNNING;
}

/* `now_ms`, or the time of the last fact when the clock was stepped back. */
static inline int64_t dd_execution_time(const struct dd_execution *execution, int64_t now_ms)
{
    return now_ms > execution->last_ms ? now_ms : execution->last_ms;
}

/* The node under `id`, or NULL. */
struct dd_node *dd_execution_find(const struct dd_execution *execution, struct dd_span id);

/* Numbers `fact`, which was added last, and applies it. What the engine decided
 * always can be applied (asserted). */
void dd_execution_emit(struct dd_execution *execution, struct dd_fact *fact);

/* Bytes that the result of the execution may have (service-api 3.6). */
size_t dd_execution_result_max(const struct dd_execution *execution);

/* Emits the end FAILED; borrows `failure`, which may be NULL. */
void dd_execution_close_failed(struct dd_execution *execution, struct dd_error_object *failure,
                               int64_t now_ms, struct dd_facts *out);

/* --- node.c: operations and their indexes ------------------------------------------------ */

/* Whether only time or the outside can complete it (service-api 2.1). */
bool dd_operation_pending(const struct dd_operation *operation);

/* Appends an operation as `fact` introduces it; the parent must be known. */
struct dd_node *dd_node_add(struct dd_execution *execution, const struct dd_fact *fact,
                            struct dd_node *parent);

/* Numbers a change of `node`. EXECUTION is in no delta, so never unseen. */
void dd_node_changed(struct dd_execution *execution, struct dd_node *node);

/* The handler has been told of every change. */
void dd_nodes_seen(struct dd_execution *execution);

/* Gives copies of the unseen operations in order of change; NULL when none. */
struct dd_operation *dd_nodes_unseen(const struct dd_execution *execution, size_t *out_len);

/* Replaces a text or error of an operation, and counts its bytes. */
void dd_node_set_text(struct dd_execution *execution, struct dd_text **slot,
                      struct dd_text *text);
void dd_node_set_error(struct dd_execution *execution, struct dd_node *node,
                       struct dd_error_object *error);

/* --- timer.c ----------------------------------------------------------------------------- */

/* `node` has due_ms set and its change numbered, and is not armed. */
void dd_timer_arm(struct dd_execution *execution, struct dd_node *node);
void dd_timer_disarm(struct dd_execution *execution, struct dd_node *node);

/* The operation due first, or NULL. */
struct dd_node *dd_timer_first(const struct dd_execution *execution);

/* Fires the timers of operations that are due at `now_ms` and not after `until_ms`. */
void dd_timers_fire(struct dd_execution *execution, int64_t now_ms, int64_t until_ms,
                    struct dd_facts *out);

/* --- token.c ----------------------------------------------------------------------------- */

/* Gives the text of a token of the execution. */
struct dd_text *dd_token_seal(const struct dd_execution *execution,
                              const struct dd_token *token);

/* Gives the text of the one valid token of the invocation in flight. */
struct dd_text *dd_token_make(struct dd_execution *execution);

/* Reads a token and checks that it is of this execution, under this ARN. */
int dd_token_open(const struct dd_execution *execution, struct dd_span arn, struct dd_span text,
                  struct dd_token *out_token, struct dd_error *error) DD_MUST_CHECK;

/* Whether it is the one that the invocation in flight may use now. */
int dd_token_current(const struct dd_execution *execution, const struct dd_token *token,
                     struct dd_error *error) DD_MUST_CHECK;

/* Gives the marker of the page that begins at `index`; reads one back. */
struct dd_text *dd_marker_make(const struct dd_execution *execution, uint32_t index);
int dd_marker_open(const struct dd_execution *execution, struct dd_span text,
                   uint32_t *out_index, struct dd_error *error) DD_MUST_CHECK;

/* Gives the callback id of the operation at `index`. */
struct dd_text *dd_callback_id_make(const struct dd_execution *execution, uint32_t index);

/* --- callback.c --------------------------------------------------------------------------- */

/* When a callback times out that was started, or heard of, at `now_ms`; 0: never. */
int64_t dd_callback_due_ms(int64_t timeout_ms, int64_t heartbeat_s, int64_t now_ms);

/* Fills in the fact that `node`, whose due_ms has come, timed out. */
void dd_callback_timed_out(const struct dd_node *node, struct dd_fact *fact);

/* --- constraint.c: what the service model demands of members (service-api 3.2) -- */

int dd_constraint_start(const struct dd_start *start, struct dd_error *error) DD_MUST_CHECK;
int dd_constraint_checkpoint(const struct dd_checkpoint *checkpoint,
                             struct dd_error *error) DD_MUST_CHECK;

/* --- transition.c: one row per (type, action) (service-api 3.4) -------------------------- */

/* Whether `update` may follow `status` (NONE: the operation does not exist). Sets
 * the status that it leads to. */
int dd_transition_check(const struct dd_update *update, enum dd_operation_status status,
                        enum dd_operation_status *out_status,
                        struct dd_error *error) DD_MUST_CHECK;

/* Emits the fact of an update that was checked; `target` of a CHAINED_INVOKE START. */
void dd_transition_emit(struct dd_execution *execution, const struct dd_update *update,
                        const struct dd_target *target, int64_t now_ms, struct dd_facts *out);

/* --- batch.c: the updates of one checkpoint (service-api 3.5, 3.6) ----------------------- */

struct dd_batch_sum {
    size_t created; /* operations that it adds */
    uint64_t bytes; /* payload bytes that it writes */
};

/* Validates the updates in order, each against what those before it leave, and
 * changes nothing. */
int dd_batch_check(const struct dd_execution *execution, const struct dd_update *updates,
                   size_t updates_len, struct dd_batch_sum *out_sum,
                   struct dd_error *error) DD_MUST_CHECK;
