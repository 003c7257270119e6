/* Operations: what a start finds, and what the end of a body sets off. The state
 * machines are those of sdk-semantics 3; a table says which function starts which
 * type. */
#include "core/session/session_priv.h"

#include <stdio.h>

#include "base/alloc.h"

/* --- answers ----------------------------------------------------------------------------- */

static uint32_t next_attempt(const struct unit *unit)
{
    return unit->record ? unit->record->operation.attempt + 1 : 1;
}

static void answer_unit(struct dd_session *session, uint64_t call, const struct unit *unit,
                        enum dd_answer_kind kind)
{
    struct dd_answer reply = {
        .kind = kind, .call = call, .operation = unit->handle, .operation_id = unit->id};

    switch (kind) {
    case DD_ANSWER_RUN:
        reply.attempt = next_attempt(unit);
        reply.replay_children = unit->replay_children;
        reply.payload = unit->record ? unit->record->operation.result : NULL;
        break;
    case DD_ANSWER_DECIDE:
        reply.attempt = next_attempt(unit);
        reply.failure = unit->failure;
        break;
    case DD_ANSWER_PENDING:
        reply.due_ms = unit->record->operation.due_ms;
        reply.attempt = unit->record->operation.attempt;
        reply.callback_id = unit->record->operation.callback_id;
        break;
    case DD_ANSWER_DONE:
        reply.status = unit->status;
        reply.payload = unit->payload;
        reply.failure = unit->failure;
        reply.callback_id = unit->record ? unit->record->operation.callback_id : NULL;
        break;
    default:
        dd_unreachable();
    }
    answer(session, &reply);
}

static void refuse(struct dd_session *session, uint64_t call, enum dd_code code,
                   const char *text)
{
    struct dd_error error;

    dd_fail(&error, code, "%s", text);
    answer_error(session, call, &error);
}

/* --- identity (sdk-semantics 9) ---------------------------------------------------------- */

struct mismatch {
    char text[400];
    size_t len;
};

static void compare(struct mismatch *mismatch, const char *what, struct dd_span recorded,
                    struct dd_span current)
{
    int len;

    /* An empty name was never sent, so it counts as none. */
    if (recorded.len == current.len &&
        (recorded.len == 0 || memcmp(recorded.data, current.data, recorded.len) == 0))
        return;
    len = snprintf(mismatch->text + mismatch->len, sizeof mismatch->text - mismatch->len,
                   "%s%s checkpoint=%s%.*s%s current=%s%.*s%s", mismatch->len ? ", " : "", what,
                   recorded.len ? "'" : "", recorded.len ? (int)recorded.len : 4,
                   recorded.len ? recorded.data : "None", recorded.len ? "'" : "",
                   current.len ? "'" : "", current.len ? (int)current.len : 4,
                   current.len ? current.data : "None", current.len ? "'" : "");
    if (len > 0 && (size_t)len < sizeof mismatch->text - mismatch->len)
        mismatch->len += (size_t)len;
    else
        mismatch->len = sizeof mismatch->text - 1;
}

static int check_identity(const struct dd_call *call, const struct unit *context,
                          const struct dd_operation *recorded, struct dd_error *error)
{
    struct mismatch mismatch = {"", 0};

    while (context->parent && !context->record)
        context = context->parent;
    compare(&mismatch, "type", dd_span_cstr(dd_operation_type_name(recorded->type)),
            dd_span_cstr(dd_operation_type_name(call->type)));
    compare(&mismatch, "subtype", dd_text_span(recorded->sub_type), call->sub_type);
    compare(&mismatch, "name", dd_text_span(recorded->name), call->name);
    compare(&mismatch, "parent_id", dd_text_span(recorded->parent_id),
            context->record ? dd_text_span(context->id) : DD_SPAN_NONE);
    if (mismatch.len == 0)
        return 0;
    return dd_fail(error, DD_NON_DETERMINISTIC,
                   "Non-deterministic operation identity at id='%s': %s", recorded->id->data,
                   mismatch.text);
}

/* Branches that were recorded can't be run as if they were not. */
static int check_nesting(const struct dd_call *call, const struct dd_operation *recorded,
                         struct dd_error *error)
{
    if (!call->is_virtual)
        return 0;
    return dd_fail(
        error, DD_NON_DETERMINISTIC,
        "Non-deterministic branch nesting at id='%s': checkpoint=NESTED current=FLAT",
        recorded->id->data);
}

/* --- retries ----------------------------------------------------------------------------- */

static void step_failed(struct dd_session *session, struct unit *unit, uint64_t call,
                        uint64_t client)
{
    struct dd_update *update = batch_add(session, unit, DD_ACTION_FAIL, true);

    update->error = dd_error_object_ref(unit->failure);
    unit->state = UNIT_CLOSING;
    batch_wait(session, unit, call, client);
}

static void step_retried(struct dd_session *session, struct unit *unit, int64_t delay_s,
                         uint64_t call, uint64_t client)
{
    struct dd_update *update = batch_add(session, unit, DD_ACTION_RETRY, true);

    update->error = dd_error_object_ref(unit->failure);
    update->has_step_options = true;
    update->next_attempt_delay_s = delay_s;
    unit->state = UNIT_CLOSING;
    batch_wait(session, unit, call, client);
}

/* An attempt ended with `unit->failure`: another one, or none. */
static void step_outcome(struct dd_session *session, struct unit *unit,
                         const struct dd_call *call, bool final)
{
    int64_t delay_s = 0;

    if (!final && unit->strategy == DD_STRATEGY_ASK && !call->decided) {
        unit->state = UNIT_DECIDING;
        answer_unit(session, call->id, unit, DD_ANSWER_DECIDE);
        return;
    }
    if (!final && call->decided)
        delay_s = call->delay_s;
    else if (!final && unit->strategy == DD_STRATEGY_DATA)
        delay_s = dd_retry_delay(&unit->retry, session->profile->rounding, next_attempt(unit),
                                 dd_rng_unit(&session->rng));
    if (delay_s > 0)
        step_retried(session, unit, delay_s, call->id, call->client);
    else
        step_failed(session, unit, call->id, call->client);
}

/* An AT_MOST_ONCE_PER_RETRY step whose attempt was cut off is not run again. */
static void step_interrupted(struct dd_session *session, struct unit *unit,
                             const struct dd_call *call)
{
    char message[512];

    snprintf(message, sizeof message, "Step operation_id=%s name=%s was previously interrupted",
             unit->id->data, dd_text_or(unit->record->operation.name, "None"));
    unit->failure = dd_error_object_new(DD_SPAN("StepInterruptedError"), dd_span_cstr(message));
    step_outcome(session, unit, call, false);
}

/* --- start, by type ---------------------------------------------------------------------- */

static void step_begin(struct dd_session *session, struct unit *unit, uint64_t call,
                       uint64_t client)
{
    bool sync = unit->semantics == DD_AT_MOST_ONCE_PER_RETRY;

    batch_add(session, unit, DD_ACTION_START, sync);
    unit->record->operation.status = DD_STATUS_STARTED;
    unit->record->operation.due_ms = 0;
    if (sync) {
        unit->state = UNIT_CLOSING;
        batch_wait(session, unit, call, client);
        return;
    }
    unit_run(session, unit);
    answer_unit(session, call, unit, DD_ANSWER_RUN);
}

static void start_step(struct dd_session *session, struct unit *unit,
                       const struct dd_call *call, bool fresh)
{
    switch (unit->record->operation.status) {
    case DD_STATUS_READY:
        step_begin(session, unit, call->id, call->client);
        return;
    case DD_STATUS_STARTED:
        if (fresh) {
            step_begin(session, unit, call->id, call->client);
        } else if (unit->semantics == DD_AT_MOST_ONCE_PER_RETRY) {
            step_interrupted(session, unit, call);
        } else {
            unit_run(session, unit);
            answer_unit(session, call->id, unit, DD_ANSWER_RUN);
        }
        return;
    default:
        unit->state = UNIT_PENDING;
        answer_unit(session, call->id, unit,
                    unit_done(unit) ? DD_ANSWER_DONE : DD_ANSWER_PENDING);
    }
}

static void start_wait(struct dd_session *session, struct unit *unit,
                       const struct dd_call *call, bool fresh)
{
    unit->state = UNIT_PENDING;
    if (fresh) {
        struct dd_update *update = batch_add(session, unit, DD_ACTION_START, true);

        update->has_wait_options = true;
        update->wait_s = call->seconds;
    }
    answer_unit(session, call->id, unit, unit_done(unit) ? DD_ANSWER_DONE : DD_ANSWER_PENDING);
}

/* The id comes with the acknowledgement, so the answer does too. */
static void start_callback(struct dd_session *session, struct unit *unit,
                           const struct dd_call *call, bool fresh)
{
    struct dd_update *update;

    if (!fresh) {
        unit->state = UNIT_PENDING;
        answer_unit(session, call->id, unit,
                    unit_done(unit) ? DD_ANSWER_DONE : DD_ANSWER_PENDING);
        return;
    }
    update = batch_add(session, unit, DD_ACTION_START, true);
    update->has_callback_options = true;
    update->timeout_s = call->timeout_s;
    update->heartbeat_timeout_s = call->heartbeat_timeout_s;
    unit->state = UNIT_CLOSING;
    batch_wait(session, unit, call->id, call->client);
}

static void start_invoke(struct dd_session *session, struct unit *unit,
                         const struct dd_call *call, bool fresh)
{
    unit->state = UNIT_PENDING;
    if (fresh) {
        struct dd_update *update = batch_add(session, unit, DD_ACTION_START, true);

        update->has_invoke_options = true;
        update->function_name = dd_text_new(call->function);
        update->tenant_id = dd_text_new(call->tenant_id);
        update->payload = dd_text_new(call->payload);
    }
    answer_unit(session, call->id, unit, unit_done(unit) ? DD_ANSWER_DONE : DD_ANSWER_PENDING);
}

static void start_context(struct dd_session *session, struct unit *unit,
                          const struct dd_call *call, bool fresh)
{
    const struct dd_operation *operation = unit->record ? &unit->record->operation : NULL;

    if (unit->parent->branches)
        branch_started(unit->parent, unit->branch);
    if (fresh && operation)
        batch_add(session, unit, DD_ACTION_START, false);
    if (operation && dd_operation_status_terminal(operation->status) &&
        !operation->replay_children) {
        unit->state = UNIT_PENDING;
        (void)unit_done(unit);
        answer_unit(session, call->id, unit, DD_ANSWER_DONE);
        unit_retire(session, unit);
        return;
    }
    unit->replay_children = operation && operation->replay_children;
    unit_run(session, unit);
    answer_unit(session, call->id, unit, DD_ANSWER_RUN);
}

typedef void (*start_function)(struct dd_session *session, struct unit *unit,
                               const struct dd_call *call, bool fresh);

static const start_function starts[] = {
    [DD_TYPE_CONTEXT] = start_context,
    [DD_TYPE_STEP] = start_step,
    [DD_TYPE_WAIT] = start_wait,
    [DD_TYPE_CALLBACK] = start_callback,
    [DD_TYPE_CHAINED_INVOKE] = start_invoke,
};

/* An operation that this session is the first to see: as it will be once started. */
static struct record *record_fresh(struct dd_session *session, const struct dd_call *call,
                                   struct dd_text *id)
{
    struct dd_operation operation = {
        .type = call->type, .status = DD_STATUS_STARTED, .id = id, .start_ms = session->now_ms};
    struct record *record;

    operation.name = dd_text_new(call->name.len ? call->name : DD_SPAN_NONE);
    operation.sub_type = dd_text_new(call->sub_type.len ? call->sub_type : DD_SPAN_NONE);
    record_merge(session, &operation);
    dd_text_unref(operation.name);
    dd_text_unref(operation.sub_type);
    record = record_find(session, id);
    return record;
}

/* What is wrong with the place of a branch; NULL: nothing. */
static const char *bad_branch(const struct dd_session *session, const struct unit *batch,
                              const struct dd_call *call)
{
    uint32_t first = (uint32_t)session->profile->first_branch;

    if (call->position < first)
        return "position: counts from the first branch's";
    return branch_may_start(batch, call->position - first, call);
}

/* What is wrong with a start before its operation is looked at; NULL: nothing. */
static const char *bad_start(struct dd_session *session, const struct unit *context,
                             const struct dd_call *call)
{
    if (context->type != DD_TYPE_CONTEXT)
        return "context: no context has this handle";
    if (call->operation == 0 || unit_find(session, call->operation))
        return "operation: the handle is 0 or in use";
    if (call->position == 0 && !context->branches)
        return "position: counts from 1";
    if (call->type >= DD_COUNT(starts) || !starts[call->type])
        return "type: this daemon does not start operations of this type";
    /* The service says what is too long. */
    if (call->type == DD_TYPE_WAIT && call->seconds < 1)
        return "seconds: must be at least 1";
    if (call->type == DD_TYPE_CHAINED_INVOKE && !call->function.data)
        return "function: is missing";
    if (call->is_batch && call->is_virtual)
        return "batch: a virtual context has none";
    if (session->units.len >= DD_SESSION_HANDLES_MAX)
        return "operation: too many handles in one session";
    if (context->depth >= DD_SESSION_DEPTH_MAX)
        return "context: too deep";
    return context->branches ? bad_branch(session, context, call) : NULL;
}

void operation_start(struct dd_session *session, const struct dd_call *call)
{
    struct unit *context = unit_find(session, call->context);
    struct record *record;
    struct dd_error error;
    struct dd_text *id;
    const char *bad;
    bool fresh;

    if (!context) {
        unit_unknown(session, call->id, call->context, "context: no context has this handle");
        return;
    }
    if (context->state != UNIT_RUNNING && context->type == DD_TYPE_CONTEXT) {
        answer_kind(session, call->id, DD_ANSWER_UNWIND);
        return;
    }
    bad = bad_start(session, context, call);
    if (bad) {
        refuse(session, call->id, DD_BAD_PARAMS, bad);
        return;
    }
    id = dd_operation_id(session->profile, dd_text_span(context->prefix), call->position);
    record = record_find(session, id);
    fresh = !record;
    if (record && (check_identity(call, context, &record->operation, &error) != 0 ||
                   check_nesting(call, &record->operation, &error) != 0)) {
        answer_error(session, call->id, &error);
    } else if (!record && session->loading) {
        held_add(session, call); /* it may be on a page that is still to come */
    } else {
        if (!record && !call->is_virtual)
            record = record_fresh(session, call, id);
        starts[call->type](session, unit_new(session, call, context, id, record), call, fresh);
    }
    dd_text_unref(id);
}

void operation_run_again(struct dd_session *session, struct unit *unit, uint64_t call,
                         uint64_t client)
{
    unit->client = client;
    step_begin(session, unit, call, client);
}

/* --- the end of a body ------------------------------------------------------------------- */

/* The unit whose body a call speaks of, if the call may: NULL after an answer. */
static struct unit *running_unit(struct dd_session *session, const struct dd_call *call,
                                 enum unit_state wanted)
{
    struct unit *unit = unit_find(session, call->operation);

    if (!unit || unit == session->root)
        unit_unknown(session, call->id, call->operation,
                     "operation: no operation has this handle");
    else if (unit->state == wanted)
        return unit;
    else if (unit->state == UNIT_UNWOUND)
        answer_kind(session, call->id, DD_ANSWER_UNWIND);
    else
        refuse(session, call->id, DD_OUT_OF_ORDER,
               "operation: its body does not run, or no decision was asked for");
    return NULL;
}

/* Nothing is recorded for this outcome: it is known at once. */
static bool unrecorded(const struct unit *unit)
{
    return !unit->record || unit->replay_children;
}

static void context_succeeded(struct dd_update *update, const struct dd_call *call)
{
    update->has_context_options = true;
    update->replay_children =
        call->replay_children || call->payload.len > DD_REPLAY_CHILDREN_THRESHOLD;
    if (update->replay_children) {
        dd_text_unref(update->payload);
        update->payload = dd_text_new(call->summary.data ? call->summary : DD_SPAN(""));
    }
}

void operation_succeed(struct dd_session *session, const struct dd_call *call)
{
    struct unit *unit = running_unit(session, call, UNIT_RUNNING);
    struct dd_update *update;
    struct dd_text *payload;

    if (!unit)
        return;
    if (!dd_text_try_new(call->payload, &payload)) {
        refuse(session, call->id, DD_NO_MEMORY, "payload: out of memory");
        return;
    }
    unit_stop(session, unit, UNIT_CLOSING);
    if (unrecorded(unit)) {
        unit_close(unit, DD_STATUS_SUCCEEDED, payload, NULL);
        answer_unit(session, call->id, unit, DD_ANSWER_DONE);
        dd_text_unref(payload);
        unit_retire(session, unit);
        return;
    }
    update = batch_add(session, unit, DD_ACTION_SUCCEED, true);
    update->payload = payload;
    if (unit->type == DD_TYPE_CONTEXT)
        context_succeeded(update, call);
    batch_wait(session, unit, call->id, call->client);
}

void operation_fail(struct dd_session *session, const struct dd_call *call)
{
    struct unit *unit = running_unit(session, call, UNIT_RUNNING);

    if (!unit)
        return;
    unit_stop(session, unit, UNIT_CLOSING);
    dd_error_object_set(&unit->failure, call->error);
    if (unit->type == DD_TYPE_STEP) {
        step_outcome(session, unit, call, call->final || !call->retryable);
        return;
    }
    if (unrecorded(unit)) {
        unit_close(unit, DD_STATUS_FAILED, NULL, call->error);
        answer_unit(session, call->id, unit, DD_ANSWER_DONE);
        unit_retire(session, unit);
        return;
    }
    batch_add(session, unit, DD_ACTION_FAIL, true)->error = dd_error_object_ref(call->error);
    batch_wait(session, unit, call->id, call->client);
}

void operation_decide(struct dd_session *session, const struct dd_call *call)
{
    struct unit *unit = running_unit(session, call, UNIT_DECIDING);

    if (unit)
        step_outcome(session, unit, call, false);
}

/* The body of a polling step returned, and wants to run again (sdk-semantics 3.5). */
void operation_retry(struct dd_session *session, const struct dd_call *call)
{
    struct unit *unit = running_unit(session, call, UNIT_RUNNING);
    struct dd_update *update;

    if (!unit)
        return;
    if (unit->type != DD_TYPE_STEP || call->delay_s < 1 || call->delay_s > DD_SECONDS_MAX) {
        refuse(session, call->id, DD_BAD_PARAMS,
               unit->type == DD_TYPE_STEP ? "delay_s: must be from 1 to 31622400"
                                          : "operation: is no step");
        return;
    }
    unit_stop(session, unit, UNIT_CLOSING);
    update = batch_add(session, unit, DD_ACTION_RETRY, true);
    update->payload = dd_text_new(call->payload);
    update->has_step_options = true;
    update->next_attempt_delay_s = call->delay_s;
    batch_wait(session, unit, call->id, call->client);
}

void operation_unwound(struct dd_session *session, const struct dd_call *call)
{
    struct unit *unit = unit_find(session, call->operation);
    struct dd_answer done = {.kind = DD_ANSWER_DONE, .call = call->id};

    if (!unit || unit == session->root) {
        unit_unknown(session, call->id, call->operation,
                     "operation: no operation has this handle");
        return;
    }
    done.operation = unit->handle;
    if (unit->state == UNIT_RUNNING || unit->state == UNIT_DECIDING)
        unit_stop(session, unit, UNIT_UNWOUND);
    answer(session, &done);
}

/* --- acknowledgements -------------------------------------------------------------------- */

void operation_acked(struct dd_session *session, const struct ack *ack)
{
    struct unit *unit = ack->unit;

    if (unit->state == UNIT_UNWOUND) {
        answer_kind(session, ack->call, DD_ANSWER_UNWIND);
        return;
    }
    dd_assert(unit->state == UNIT_CLOSING);
    if (unit->type == DD_TYPE_STEP &&
        unit->record->operation.status == DD_STATUS_STARTED) { /* AT_MOST: START is out */
        unit_run(session, unit);
        answer_unit(session, ack->call, unit, DD_ANSWER_RUN);
        return;
    }
    unit->state = UNIT_PENDING;
    answer_unit(session, ack->call, unit, unit_done(unit) ? DD_ANSWER_DONE : DD_ANSWER_PENDING);
    unit_retire(session, unit);
}
