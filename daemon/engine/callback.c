/* What comes for callbacks from outside (service-api 6). */
#include "engine/engine_priv.h"

/* Whether people call `operation` by this name: a callback of wait_for_callback goes by
 * the name of the context around it. */
static bool goes_by(const struct dd_operation *const *operations, size_t len,
                    const struct dd_operation *operation, struct dd_span name)
{
    if (dd_span_equal(dd_text_span(operation->name), name))
        return true;
    for (size_t i = 0; i < len && operation->parent_id; i++) {
        if (dd_text_equal(operations[i]->id, operation->parent_id))
            return dd_span_is(dd_text_span(operations[i]->sub_type), "WaitForCallback") &&
                   dd_span_equal(dd_text_span(operations[i]->name), name);
    }
    return false;
}

/* The open callback that goes by `name`; one at a time, or it must be named by its id. */
static int find_by_name(const struct dd_resident *resident, struct dd_span name,
                        uint32_t *out_operation, struct dd_error *error)
{
    size_t len, found = 0;
    const struct dd_operation *const *operations =
        dd_execution_operations(resident->execution, &len);

    for (size_t i = 0; i < len; i++) {
        if (operations[i]->type != DD_TYPE_CALLBACK ||
            operations[i]->status != DD_STATUS_STARTED ||
            !goes_by(operations, len, operations[i], name))
            continue;
        *out_operation = (uint32_t)i;
        found++;
    }
    if (found == 1)
        return 0;
    if (found > 1)
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "%zu open callbacks go by the name '%.*s'; give a callback id", found,
                       (int)name.len, name.data);
    return dd_fail(error, DD_NOT_FOUND, "the execution has no open callback '%.*s'",
                   (int)name.len, name.data);
}

static int find(struct dd_engine *engine, const struct dd_callback_call *call,
                struct dd_resident **out, uint32_t *out_operation, struct dd_error *error)
{
    struct dd_uuid id;
    int rc;

    if (call->callback.data)
        rc = dd_callback_open(&engine->service, call->callback, &id, out_operation, error);
    else
        rc = dd_engine_resolve(engine, call->execution, &id, error);
    if (rc)
        return rc;
    rc = dd_engine_load(engine, id, out, error);
    /* Of an execution that is gone, a callback id is as good as closed. */
    if (rc == DD_NOT_FOUND && call->callback.data)
        return dd_fail(error, DD_CALLBACK_TIMEOUT,
                       "The callback is either timed out or already completed");
    if (rc || call->callback.data)
        return rc;
    return find_by_name(*out, call->operation, out_operation, error);
}

int dd_callback_complete(struct dd_engine *engine, const struct dd_callback_call *call,
                         uint64_t *out_position, struct dd_error *error)
{
    struct dd_facts facts = {0};
    struct dd_resident *resident;
    uint32_t operation;
    int rc = find(engine, call, &resident, &operation, error);

    if (rc)
        return rc;
    rc = dd_execution_callback(resident->execution, operation, call->action, call->result,
                               call->failure, engine->now_ms, &facts, error);
    if (rc)
        return rc;
    dd_engine_record(engine, resident, &facts);
    if (call->action != DD_CALLBACK_HEARTBEAT)
        dd_sessions_changed(engine, resident->id);
    *out_position = resident->position;
    return 0;
}
