/* Units: what the client's handles stand for, from the start of an operation to the end of
 * its body. */
#include "core/session/session_priv.h"

#include "base/alloc.h"

static struct dd_span handle_key(const uint32_t *handle)
{
    return dd_span_make(handle, sizeof *handle);
}

struct unit *unit_find(struct dd_session *session, uint32_t handle)
{
    return dd_map_get(&session->units, handle_key(&handle));
}

void unit_unknown(struct dd_session *session, uint64_t call, uint32_t handle, const char *text)
{
    struct dd_error error;

    if (handle != 0 && handle <= session->handle_max) {
        answer_kind(session, call, DD_ANSWER_UNWIND);
        return;
    }
    dd_fail(&error, DD_BAD_PARAMS, "%s", text);
    answer_error(session, call, &error);
}

struct unit *unit_new(struct dd_session *session, const struct dd_call *call,
                      struct unit *context, struct dd_text *id, struct record *record)
{
    struct unit *unit = dd_alloc(sizeof *unit);

    unit->handle = call->operation;
    unit->type = call->type;
    unit->client = call->client;
    unit->parent = context;
    unit->record = record;
    unit->id = dd_text_ref(id);
    unit->strand = context->strand;
    unit->depth = context->depth + 1;
    unit->semantics = call->semantics;
    unit->strategy = call->strategy;
    unit->retry = call->retry;
    dd_list_init(&unit->of_record);
    dd_list_init(&unit->children);
    dd_list_push(&context->children, &unit->of_parent);
    if (record)
        dd_list_push(&record->units, &unit->of_record);
    if (call->type == DD_TYPE_CONTEXT) {
        unit->prefix =
            context_prefix(session->profile, id, dd_text_span(context->prefix), call->position);
        unit->own_strand = call->strand;
        if (call->is_batch)
            unit->branches = branches_new(&call->batch);
    }
    if (context->branches)
        unit->branch = call->position - (uint32_t)session->profile->first_branch;
    if (unit->handle > session->handle_max)
        session->handle_max = unit->handle;
    dd_map_put(&session->units, handle_key(&unit->handle), unit);
    return unit;
}

void unit_free(struct unit *unit)
{
    while (!dd_list_empty(&unit->children))
        unit_free(dd_container_of(unit->children.next, struct unit, of_parent));
    dd_list_remove(&unit->of_record);
    dd_list_remove(&unit->of_parent);
    branches_free(unit->branches);
    dd_text_unref(unit->id);
    dd_text_unref(unit->prefix);
    dd_text_unref(unit->payload);
    dd_error_object_unref(unit->failure);
    dd_free(unit);
}

void unit_run(struct dd_session *session, struct unit *unit)
{
    unit->state = UNIT_RUNNING;
    unit->run_ms = session->now_ms;
    if (unit->own_strand)
        unit->strand = strand_new(session);
}

/* Calls of code below a context that has ended are answered UNWIND. */
static void orphan_below(struct dd_session *session, const struct unit *context)
{
    dd_list_each(node, tmp, &context->children)
    {
        struct unit *unit = dd_container_of(node, struct unit, of_parent);

        if (unit->state != UNIT_DONE && unit->state != UNIT_UNWOUND)
            unit_stop(session, unit, UNIT_UNWOUND);
    }
}

void unit_stop(struct dd_session *session, struct unit *unit, enum unit_state state)
{
    unit->state = state;
    if (unit->type != DD_TYPE_CONTEXT)
        return;
    awaits_unwind(session, unit);
    orphan_below(session, unit);
    if (unit->branches)
        branches_forget(unit->branches);
    if (unit->own_strand && unit->strand) {
        strand_free(unit->strand);
        unit->strand = NULL;
    }
}

void unit_close(struct unit *unit, enum dd_operation_status status, struct dd_text *payload,
                struct dd_error_object *failure)
{
    unit->state = UNIT_DONE;
    unit->status = status;
    dd_text_set(&unit->payload, payload);
    dd_error_object_set(&unit->failure, failure);
}

bool unit_done(struct unit *unit)
{
    const struct dd_operation *operation;

    if (unit->state == UNIT_PENDING && unit->record) {
        operation = &unit->record->operation;
        if (dd_operation_status_terminal(operation->status))
            unit_close(unit, operation->status, operation->result, operation->error);
    }
    return unit->state == UNIT_DONE;
}

/* Whether a call that has no answer yet names the unit, or one below it. */
static bool named(const struct dd_session *session, const struct unit *unit)
{
    if (awaits_name(session, unit))
        return true;
    dd_list_each(node, tmp, &session->acks)
    {
        if (dd_container_of(node, struct ack, node)->unit == unit)
            return true;
    }
    dd_list_each(node, tmp, &unit->children)
    {
        if (named(session, dd_container_of(node, struct unit, of_parent)))
            return true;
    }
    return false;
}

/* Their records go too, unless the cursor may still show them: the service has them, and
 * nobody here asks again. */
static void discard(struct dd_session *session, struct unit *unit)
{
    struct record *record = unit->record;

    while (!dd_list_empty(&unit->children))
        discard(session, dd_container_of(unit->children.next, struct unit, of_parent));
    dd_map_remove(&session->units, handle_key(&unit->handle));
    unit_free(unit);
    if (record && !record->loaded && dd_list_empty(&record->units))
        record_free(session, record);
}

void unit_retire(struct dd_session *session, struct unit *unit)
{
    if (unit->state != UNIT_DONE || !unit->parent || !unit->parent->branches)
        return;
    branch_ended(unit->parent, unit->branch, unit->status);
    if (!named(session, unit))
        discard(session, unit);
}
