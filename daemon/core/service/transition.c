/* The legal transitions of operations, one table row per (type, action). A row
 * says which statuses the action may follow, where it leads, how its refusal
 * reads, what it demands of the update's options, and the fact that it leaves. */
#include "core/service/service_priv.h"

#define FROM(status) (1u << DD_STATUS_##status)
#define FROM_ANY (~0u)

struct transition {
    enum dd_operation_type type;
    enum dd_action action;
    unsigned from;
    enum dd_operation_status to;
    enum dd_fact_kind fact;
    const char *refusal;
    int (*options)(const struct dd_update *update, struct dd_error *error);
};

static int refuse(struct dd_error *error, const char *text)
{
    return dd_fail(error, DD_INVALID_PARAMETER, "%s", text);
}

static int succeed_options(const struct dd_update *update, struct dd_error *error)
{
    return update->error ? refuse(error, "Cannot provide an Error for SUCCEED action.") : 0;
}

static int fail_options(const struct dd_update *update, struct dd_error *error)
{
    return update->payload ? refuse(error, "Cannot provide a Payload for FAIL action.") : 0;
}

/* A delay belongs to RETRY alone. */
static int step_options(const struct dd_update *update, struct dd_error *error)
{
    if (update->has_step_options && update->next_attempt_delay_s != 0)
        return refuse(error, "Invalid StepOptions for the given action.");
    return 0;
}

static int step_succeed_options(const struct dd_update *update, struct dd_error *error)
{
    int rc = step_options(update, error);

    return rc ? rc : succeed_options(update, error);
}

static int step_fail_options(const struct dd_update *update, struct dd_error *error)
{
    int rc = step_options(update, error);

    return rc ? rc : fail_options(update, error);
}

static int step_retry_options(const struct dd_update *update, struct dd_error *error)
{
    if (!update->has_step_options || update->next_attempt_delay_s == 0)
        return refuse(error, "Invalid StepOptions for the given action.");
    if (update->error && update->payload)
        return refuse(error, "Cannot provide both error and payload to RETRY a STEP.");
    return 0;
}

static int wait_options(const struct dd_update *update, struct dd_error *error)
{
    return update->has_wait_options
               ? 0
               : refuse(error, "Update for WAIT operation requires WaitOptions.");
}

static int callback_options(const struct dd_update *update, struct dd_error *error)
{
    return update->payload || update->error
               ? refuse(error, "Cannot provide a Payload or an Error to START a CALLBACK.")
               : 0;
}

static int invoke_options(const struct dd_update *update, struct dd_error *error)
{
    return update->has_invoke_options
               ? 0
               : refuse(error,
                        "Update for CHAINED_INVOKE operation requires ChainedInvokeOptions.");
}

/* RETRY leaves StepFailed when it carries an error and StepSucceeded when not, as
 * the history of a polling step shows (service-api 7.2); its row names the latter. */
static const struct transition transitions[] = {
    {DD_TYPE_EXECUTION, DD_ACTION_SUCCEED, FROM_ANY, DD_STATUS_SUCCEEDED,
     DD_FACT_EXECUTION_SUCCEEDED, NULL, succeed_options},
    {DD_TYPE_EXECUTION, DD_ACTION_FAIL, FROM_ANY, DD_STATUS_FAILED, DD_FACT_EXECUTION_FAILED,
     NULL, fail_options},

    {DD_TYPE_CONTEXT, DD_ACTION_START, FROM(NONE), DD_STATUS_STARTED, DD_FACT_CONTEXT_STARTED,
     "Cannot start a CONTEXT that already exist.", NULL},
    {DD_TYPE_CONTEXT, DD_ACTION_SUCCEED, FROM(NONE) | FROM(STARTED), DD_STATUS_SUCCEEDED,
     DD_FACT_CONTEXT_SUCCEEDED, "Invalid current CONTEXT state to close.", succeed_options},
    {DD_TYPE_CONTEXT, DD_ACTION_FAIL, FROM(NONE) | FROM(STARTED), DD_STATUS_FAILED,
     DD_FACT_CONTEXT_FAILED, "Invalid current CONTEXT state to close.", fail_options},

    {DD_TYPE_STEP, DD_ACTION_START, FROM(NONE) | FROM(READY), DD_STATUS_STARTED,
     DD_FACT_STEP_STARTED, "Invalid current STEP state to start.", step_options},
    {DD_TYPE_STEP, DD_ACTION_SUCCEED, FROM(NONE) | FROM(STARTED) | FROM(READY),
     DD_STATUS_SUCCEEDED, DD_FACT_STEP_SUCCEEDED, "Invalid current STEP state to close.",
     step_succeed_options},
    {DD_TYPE_STEP, DD_ACTION_FAIL, FROM(NONE) | FROM(STARTED) | FROM(READY), DD_STATUS_FAILED,
     DD_FACT_STEP_FAILED, "Invalid current STEP state to close.", step_fail_options},
    {DD_TYPE_STEP, DD_ACTION_RETRY, FROM(NONE) | FROM(STARTED) | FROM(READY), DD_STATUS_PENDING,
     DD_FACT_STEP_SUCCEEDED, "Invalid current STEP state to re-attempt.", step_retry_options},

    {DD_TYPE_WAIT, DD_ACTION_START, FROM(NONE), DD_STATUS_STARTED, DD_FACT_WAIT_STARTED,
     "Cannot start a WAIT that already exist.", wait_options},
    {DD_TYPE_WAIT, DD_ACTION_CANCEL, FROM(STARTED), DD_STATUS_CANCELLED, DD_FACT_WAIT_CANCELLED,
     "Cannot cancel a WAIT that does not exist or has already completed.", NULL},

    {DD_TYPE_CALLBACK, DD_ACTION_START, FROM(NONE), DD_STATUS_STARTED, DD_FACT_CALLBACK_STARTED,
     "Cannot start a CALLBACK that already exist.", callback_options},

    {DD_TYPE_CHAINED_INVOKE, DD_ACTION_START, FROM(NONE), DD_STATUS_STARTED,
     DD_FACT_CHAINED_INVOKE_STARTED, "Cannot start a CHAINED_INVOKE that already exist.",
     invoke_options},
};

static const struct transition *transition_find(const struct dd_update *update)
{
    for (size_t i = 0; i < DD_COUNT(transitions); i++) {
        if (transitions[i].type == update->type && transitions[i].action == update->action)
            return &transitions[i];
    }
    return NULL;
}

static int refuse_action(enum dd_operation_type type, struct dd_error *error)
{
    switch (type) {
    case DD_TYPE_EXECUTION:
        return refuse(error, "Invalid EXECUTION action.");
    case DD_TYPE_CONTEXT:
    case DD_TYPE_STEP:
    case DD_TYPE_WAIT:
    case DD_TYPE_CALLBACK:
    case DD_TYPE_CHAINED_INVOKE:
        return refuse(error, "Invalid action for the given operation type.");
    case DD_TYPE_NONE:
    default:
        return refuse(error, "Unknown operation type.");
    }
}

int dd_transition_check(const struct dd_update *update, enum dd_operation_status status,
                        enum dd_operation_status *out_status, struct dd_error *error)
{
    const struct transition *transition = transition_find(update);
    int rc = 0;

    if (!transition)
        return refuse_action(update->type, error);
    if (!(transition->from & (1u << status)))
        return refuse(error, transition->refusal);
    if (transition->options)
        rc = transition->options(update, error);
    if (rc)
        return rc;
    *out_status = transition->to;
    return 0;
}

/* Payload and Error go where the action has a use for them. */
static void fill_outcome(struct dd_fact *fact, const struct dd_update *update)
{
    if (update->action == DD_ACTION_SUCCEED || update->action == DD_ACTION_RETRY ||
        update->type == DD_TYPE_CHAINED_INVOKE)
        fact->payload = dd_text_ref(update->payload);
    if (update->action == DD_ACTION_FAIL || update->action == DD_ACTION_RETRY ||
        update->action == DD_ACTION_CANCEL)
        fact->error = dd_error_object_ref(update->error);
}

static void fill_operation(struct dd_fact *fact, const struct dd_update *update,
                           const struct dd_node *node)
{
    fact->id = dd_text_ref(update->id);
    if (!node) {
        fact->parent_id = dd_text_ref(update->parent_id);
        fact->name = dd_text_ref(update->name);
        fact->sub_type = dd_text_ref(update->sub_type);
    }
    if (update->type == DD_TYPE_STEP && update->action != DD_ACTION_START)
        fact->attempt = (node ? node->operation.attempt : 0) + 1;
    if (update->action == DD_ACTION_RETRY)
        fact->delay_s = update->next_attempt_delay_s;
    if (update->type == DD_TYPE_WAIT && update->action == DD_ACTION_START)
        fact->delay_s = update->wait_s;
    if (fact->delay_s)
        fact->due_ms = fact->time_ms + fact->delay_s * 1000;
    if (update->type == DD_TYPE_CONTEXT && update->action != DD_ACTION_START)
        fact->replay_children = update->has_context_options && update->replay_children;
}

static void fill_callback(const struct dd_execution *execution, struct dd_fact *fact,
                          const struct dd_update *update)
{
    fact->callback_id = dd_callback_id_make(execution, execution->len);
    fact->delay_s = update->timeout_s;
    fact->heartbeat_s = update->heartbeat_timeout_s;
    fact->due_ms =
        dd_callback_due_ms(update->timeout_s ? fact->time_ms + update->timeout_s * 1000 : 0,
                           update->heartbeat_timeout_s, fact->time_ms);
}

static void fill_invoke(struct dd_fact *fact, const struct dd_update *update,
                        const struct dd_target *target)
{
    char child[DD_UUID_TEXT_LEN + 1];

    fact->function = dd_text_ref(update->function_name);
    fact->tenant_id = dd_text_ref(update->tenant_id);
    if (target->error)
        return;
    dd_uuid_format(target->child, child);
    fact->child = dd_text_cstr(child);
    fact->child_arn = dd_text_ref(target->child_arn);
}

/* There is nothing to invoke (service-api 5.4, rule 2). */
static void emit_unresolved(struct dd_execution *execution, const struct dd_update *update,
                            const struct dd_target *target, int64_t now_ms,
                            struct dd_facts *out)
{
    struct dd_fact *fact = dd_facts_add(out, DD_FACT_CHAINED_INVOKE_FAILED, now_ms);

    fact->type = DD_TYPE_CHAINED_INVOKE;
    fact->id = dd_text_ref(update->id);
    fact->error = dd_error_object_ref(target->error);
    dd_execution_emit(execution, fact);
}

void dd_transition_emit(struct dd_execution *execution, const struct dd_update *update,
                        const struct dd_target *target, int64_t now_ms, struct dd_facts *out)
{
    const struct transition *transition = transition_find(update);
    struct dd_fact *fact;

    dd_assert(transition);
    fact = dd_facts_add(out, transition->fact, now_ms);
    if (update->action == DD_ACTION_RETRY && update->error)
        fact->kind = DD_FACT_STEP_FAILED;
    fact->type = update->type;
    fill_outcome(fact, update);
    if (update->type != DD_TYPE_EXECUTION)
        fill_operation(fact, update, dd_execution_find(execution, dd_text_span(update->id)));
    if (update->type == DD_TYPE_CALLBACK)
        fill_callback(execution, fact, update);
    if (update->type == DD_TYPE_CHAINED_INVOKE)
        fill_invoke(fact, update, target);
    dd_execution_emit(execution, fact);
    if (update->type == DD_TYPE_CHAINED_INVOKE && target->error)
        emit_unresolved(execution, update, target, now_ms, out);
}
