/* GetDurableExecutionState: pages of the operations that a handler may see. */
#include "base/alloc.h"
#include "base/limits.h"
#include "core/service/service_priv.h"

void dd_page_deinit(struct dd_page *page)
{
    dd_free(page->operations);
    dd_text_unref(page->next_marker);
    *page = (struct dd_page){0};
}

/* What happened inside a closed context is its own business, unless it asks to be
 * replayed; one such ancestor hides everything below it (service-api 3.7). */
static bool hidden(const struct dd_node *node)
{
    for (const struct dd_node *at = node->parent; at; at = at->parent) {
        if (dd_operation_status_terminal(at->operation.status) &&
            !at->operation.replay_children)
            return true;
    }
    return false;
}

static size_t text_size(const struct dd_text *text)
{
    return text ? text->len : 0;
}

/* Bytes of an operation in a page: its texts, and about as much as keys, enums and
 * times take. */
static size_t operation_size(const struct dd_operation *operation)
{
    return 200 + text_size(operation->id) + text_size(operation->parent_id) +
           text_size(operation->name) + text_size(operation->sub_type) +
           text_size(operation->result) + dd_error_object_size(operation->error);
}

/* Fills the page from operation `at` on. Returns the first that did not fit, or the
 * number of operations. */
static uint32_t fill(const struct dd_execution *execution, uint32_t at, size_t items_max,
                     struct dd_page *page)
{
    size_t bytes = 0;

    for (; at < execution->len; at++) {
        const struct dd_operation *operation = execution->operations[at];
        size_t size;

        if (hidden(dd_node_of(execution->operations[at])))
            continue;
        size = operation_size(operation);
        if (page->operations_len == items_max ||
            (page->operations_len > 0 && bytes + size > DD_PAGE_BYTES_MAX))
            break;
        page->operations[page->operations_len++] = operation;
        bytes += size;
    }
    return at;
}

int dd_execution_state(struct dd_execution *execution, struct dd_span arn, struct dd_span token,
                       struct dd_span marker, size_t items_max, struct dd_page *out_page,
                       struct dd_error *error)
{
    struct dd_page page = {0};
    struct dd_token opened;
    uint32_t at = 0;
    int rc;

    dd_assert(execution->status != DD_EXECUTION_NONE);
    rc = dd_token_open(execution, arn, token, &opened, error);
    if (rc == 0)
        rc = dd_token_current(execution, &opened, error);
    if (rc == 0 && marker.data && marker.len > 0)
        rc = dd_marker_open(execution, marker, &at, error);
    if (rc)
        return rc;
    if (items_max == 0)
        items_max = DD_PAGE_ITEMS_DEFAULT;
    if (items_max > DD_PAGE_ITEMS_MAX)
        items_max = DD_PAGE_ITEMS_MAX;
    if (items_max > execution->len)
        items_max = execution->len;
    page.operations = dd_alloc_array(items_max, sizeof(struct dd_operation *));
    at = fill(execution, at, items_max, &page);
    if (at < execution->len)
        page.next_marker = dd_marker_make(execution, at);
    *out_page = page;
    return 0;
}
