/* Operations of one execution and the indexes over them: by id, and by what the
 * handler has not been told of yet. */
#include "base/alloc.h"
#include "core/service/service_priv.h"

bool dd_operation_pending(const struct dd_operation *operation)
{
    switch (operation->type) {
    case DD_TYPE_STEP:
        return operation->status == DD_STATUS_PENDING;
    case DD_TYPE_WAIT:
    case DD_TYPE_CALLBACK:
    case DD_TYPE_CHAINED_INVOKE:
        return operation->status == DD_STATUS_STARTED;
    case DD_TYPE_NONE:
    case DD_TYPE_EXECUTION:
    case DD_TYPE_CONTEXT:
    default:
        return false;
    }
}

struct dd_node *dd_execution_find(const struct dd_execution *execution, struct dd_span id)
{
    return dd_map_get(&execution->by_id, id);
}

static size_t text_size(const struct dd_text *text)
{
    return text ? sizeof(*text) + text->len + 1 : 0;
}

void dd_node_set_text(struct dd_execution *execution, struct dd_text **slot,
                      struct dd_text *text)
{
    execution->held += text_size(text);
    execution->held -= text_size(*slot);
    dd_text_set(slot, text);
}

void dd_node_set_error(struct dd_execution *execution, struct dd_node *node,
                       struct dd_error_object *error)
{
    execution->held += dd_error_object_size(error);
    execution->held -= dd_error_object_size(node->operation.error);
    dd_error_object_set(&node->operation.error, error);
}

/* The sub type of the newest operation when it reads the same: the facts of a map
 * with many items then share one text. */
static struct dd_text *shared_sub_type(const struct dd_execution *execution,
                                       struct dd_text *text)
{
    struct dd_text *last =
        execution->len > 0 ? execution->operations[execution->len - 1]->sub_type : NULL;

    return last && dd_text_equal(last, text) ? last : text;
}

struct dd_node *dd_node_add(struct dd_execution *execution, const struct dd_fact *fact,
                            struct dd_node *parent)
{
    struct dd_node *node = dd_alloc(sizeof(*node));
    struct dd_operation *operation = &node->operation;

    operation->type = fact->type;
    operation->start_ms = fact->time_ms;
    operation->parent_id = parent ? dd_text_ref(parent->operation.id) : NULL;
    operation->sub_type = dd_text_ref(shared_sub_type(execution, fact->sub_type));
    dd_node_set_text(execution, &operation->id, fact->id);
    dd_node_set_text(execution, &operation->name, fact->name);
    node->parent = parent;
    if (execution->len == execution->cap) {
        execution->cap = execution->cap ? execution->cap * 2 : 8;
        execution->operations = dd_realloc_array(execution->operations, execution->cap,
                                                 sizeof(*execution->operations));
    }
    execution->operations[execution->len++] = operation;
    dd_map_put(&execution->by_id, dd_text_span(operation->id), node);
    return node;
}

static void unseen_add(struct dd_execution *execution, struct dd_node *node)
{
    if (node->unseen_at)
        execution->unseen[node->unseen_at - 1] = NULL;
    if (execution->unseen_len == execution->unseen_cap) {
        execution->unseen_cap = execution->unseen_cap ? execution->unseen_cap * 2 : 4;
        execution->unseen = dd_realloc_array(execution->unseen, execution->unseen_cap,
                                             sizeof(*execution->unseen));
    }
    execution->unseen[execution->unseen_len++] = node;
    node->unseen_at = execution->unseen_len;
}

void dd_node_changed(struct dd_execution *execution, struct dd_node *node)
{
    dd_assert(execution->change < UINT32_MAX);
    node->change = ++execution->change;
    if (node->operation.type != DD_TYPE_EXECUTION)
        unseen_add(execution, node);
}

void dd_nodes_seen(struct dd_execution *execution)
{
    for (uint32_t i = 0; i < execution->unseen_len; i++) {
        if (execution->unseen[i])
            execution->unseen[i]->unseen_at = 0;
    }
    execution->unseen_len = 0;
    execution->seen = execution->change;
}

struct dd_operation *dd_nodes_unseen(const struct dd_execution *execution, size_t *out_len)
{
    struct dd_operation *operations;
    size_t len = 0;

    *out_len = 0;
    if (execution->unseen_len == 0)
        return NULL;
    operations = dd_alloc_array(execution->unseen_len, sizeof(*operations));
    for (uint32_t i = 0; i < execution->unseen_len; i++) {
        if (execution->unseen[i])
            dd_operation_copy(&operations[len++], &execution->unseen[i]->operation);
    }
    *out_len = len;
    return operations;
}
