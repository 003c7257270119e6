/* The rules for the updates of one checkpoint. They are judged on a scratch copy
 * of what they touch: the execution changes only after all have passed. The order
 * of the checks decides which refusal a wrong batch gets (service-api 3.5). */
#include "base/alloc.h"
#include "base/limits.h"
#include "core/service/service_priv.h"

/* One operation that the batch touches. */
struct touched {
    const struct dd_operation *before; /* NULL: the batch creates it */
    const struct dd_update *first;     /* its first update in the batch */
    enum dd_operation_status status;   /* after the updates judged so far */
    bool twice;
};

struct batch {
    const struct dd_execution *execution;
    const struct dd_update *updates;
    size_t len;
    struct touched *touched; /* room for `len` */
    size_t touched_len;
    struct dd_map by_id;
};

static int refuse(struct dd_error *error, const char *text)
{
    return dd_fail(error, DD_INVALID_PARAMETER, "%s", text);
}

static int check_execution_updates(const struct batch *batch, struct dd_error *error)
{
    size_t count = 0, at = 0;

    for (size_t i = 0; i < batch->len; i++) {
        if (batch->updates[i].type == DD_TYPE_EXECUTION) {
            count++;
            at = i;
        }
    }
    if (count > 1)
        return refuse(error, "Cannot checkpoint multiple EXECUTION updates.");
    if (count == 1 && at != batch->len - 1)
        return refuse(error, "EXECUTION checkpoint must be the last update.");
    return 0;
}

static bool may_close_in_batch(enum dd_operation_type type)
{
    return type == DD_TYPE_STEP || type == DD_TYPE_CONTEXT;
}

/* The same operation twice: a START, then one update that is none. */
static int check_twice(struct touched *touched, const struct dd_update *update,
                       struct dd_error *error)
{
    if (touched->twice || touched->first->action != DD_ACTION_START ||
        update->action == DD_ACTION_START || !may_close_in_batch(touched->first->type) ||
        !may_close_in_batch(update->type))
        return refuse(error, "Cannot update the same operation twice in a single request.");
    touched->twice = true;
    return 0;
}

static int check_parent(const struct batch *batch, const struct dd_update *update,
                        struct dd_error *error)
{
    struct dd_span id = dd_text_span(update->parent_id);
    const struct dd_node *node;
    const struct touched *touched;

    if (!id.data)
        return 0;
    node = dd_execution_find(batch->execution, id);
    touched = dd_map_get(&batch->by_id, id);
    if ((node && node->operation.type == DD_TYPE_CONTEXT) ||
        (!node && touched && touched->first->type == DD_TYPE_CONTEXT))
        return 0;
    return refuse(error, "Invalid parent operation id.");
}

static void touch(struct batch *batch, const struct dd_update *update)
{
    struct touched *touched = &batch->touched[batch->touched_len++];
    struct dd_node *node = dd_execution_find(batch->execution, dd_text_span(update->id));

    *touched = (struct touched){.first = update};
    if (node) {
        touched->before = &node->operation;
        touched->status = node->operation.status;
    }
    dd_map_put(&batch->by_id, dd_text_span(update->id), touched);
}

static int check_identities(struct batch *batch, struct dd_error *error)
{
    for (size_t i = 0; i < batch->len; i++) {
        const struct dd_update *update = &batch->updates[i];
        struct touched *touched;
        int rc = 0;

        if (update->type == DD_TYPE_EXECUTION)
            continue;
        touched = dd_map_get(&batch->by_id, dd_text_span(update->id));
        if (touched)
            rc = check_twice(touched, update, error);
        if (rc == 0)
            rc = check_parent(batch, update, error);
        if (rc)
            return rc;
        if (!touched)
            touch(batch, update);
    }
    return 0;
}

/* An update names its operation as the update that created it did. */
static int check_consistency(const struct touched *touched, const struct dd_update *update,
                             struct dd_error *error)
{
    const struct dd_operation *before = touched->before;
    const struct dd_update *first = touched->first;

    if (update->type != (before ? before->type : first->type))
        return refuse(error, "Inconsistent operation type.");
    if (!dd_text_equal(update->sub_type, before ? before->sub_type : first->sub_type))
        return refuse(error, "Inconsistent operation subtype.");
    if (!dd_text_equal(update->name, before ? before->name : first->name))
        return refuse(error, "Inconsistent operation name.");
    if (!dd_text_equal(update->parent_id, before ? before->parent_id : first->parent_id))
        return refuse(error, "Inconsistent parent operation id.");
    return 0;
}

static int check_sizes(const struct dd_execution *execution, const struct dd_update *update,
                       struct dd_error *error)
{
    size_t payload = update->payload ? update->payload->len : 0;

    if (dd_error_object_size(update->error) > DD_ERROR_OBJECT_MAX)
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "Error object size must be less than %d bytes.", DD_ERROR_OBJECT_MAX);
    if ((update->type == DD_TYPE_STEP || update->type == DD_TYPE_CONTEXT) &&
        payload > DD_PAYLOAD_MAX)
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "%s output payload size must be less than or equal to %d bytes.",
                       dd_operation_type_name(update->type), DD_PAYLOAD_MAX);
    if (update->type == DD_TYPE_CHAINED_INVOKE && payload > DD_PAYLOAD_MAX)
        return dd_fail(
            error, DD_INVALID_PARAMETER,
            "CHAINED_INVOKE input payload size must be less than or equal to %d bytes.",
            DD_PAYLOAD_MAX);
    if (update->type == DD_TYPE_EXECUTION && payload > dd_execution_result_max(execution))
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "Execution output payload size must be less than or equal to %zu bytes.",
                       dd_execution_result_max(execution));
    return 0;
}

static int check_update(const struct batch *batch, const struct dd_update *update,
                        struct dd_batch_sum *sum, struct dd_error *error)
{
    struct touched *touched = NULL;
    enum dd_operation_status status = DD_STATUS_STARTED;
    int rc = 0;

    if (update->type != DD_TYPE_EXECUTION) {
        touched = dd_map_get(&batch->by_id, dd_text_span(update->id));
        status = touched->status;
        rc = check_consistency(touched, update, error);
    }
    if (rc == 0)
        rc = check_sizes(batch->execution, update, error);
    if (rc == 0)
        rc = dd_transition_check(update, status, &status, error);
    if (rc)
        return rc;
    if (touched) {
        sum->created += touched->status == DD_STATUS_NONE;
        touched->status = status;
    }
    sum->bytes +=
        (update->payload ? update->payload->len : 0) + dd_error_object_size(update->error);
    return 0;
}

int dd_batch_check(const struct dd_execution *execution, const struct dd_update *updates,
                   size_t updates_len, struct dd_batch_sum *out_sum, struct dd_error *error)
{
    struct batch batch = {.execution = execution, .updates = updates, .len = updates_len};
    struct dd_batch_sum sum = {0};
    int rc;

    if (updates_len > 0) {
        batch.touched = dd_try_alloc(updates_len * sizeof(*batch.touched));
        if (!batch.touched)
            return dd_fail(error, DD_NO_MEMORY, "no memory for %zu updates", updates_len);
    }
    rc = check_execution_updates(&batch, error);
    if (rc == 0)
        rc = check_identities(&batch, error);
    for (size_t i = 0; rc == 0 && i < updates_len; i++)
        rc = check_update(&batch, &updates[i], &sum, error);
    dd_map_deinit(&batch.by_id);
    dd_free(batch.touched);
    if (rc)
        return rc;
    *out_sum = sum;
    return 0;
}
