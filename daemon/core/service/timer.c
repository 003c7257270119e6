/* Timers of operations: a binary heap inside the execution. Every armed node knows
 * its place, so that it can be taken out when the operation changes otherwise. */
#include "base/alloc.h"
#include "core/service/service_priv.h"

/* Ties go in the order in which the timers were armed, so that a history does not
 * depend on the shape of the heap. */
static bool before(const struct dd_node *a, const struct dd_node *b)
{
    if (a->operation.due_ms != b->operation.due_ms)
        return a->operation.due_ms < b->operation.due_ms;
    return a->change < b->change;
}

static void place(struct dd_execution *execution, uint32_t at, struct dd_node *node)
{
    execution->timers[at] = node;
    node->timer_at = at + 1;
}

static void sift_up(struct dd_execution *execution, uint32_t at, struct dd_node *node)
{
    while (at > 0) {
        struct dd_node *parent = execution->timers[(at - 1) / 2];

        if (!before(node, parent))
            break;
        place(execution, at, parent);
        at = (at - 1) / 2;
    }
    place(execution, at, node);
}

static void sift_down(struct dd_execution *execution, uint32_t at, struct dd_node *node)
{
    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child >= execution->timers_len)
            break;
        if (child + 1 < execution->timers_len &&
            before(execution->timers[child + 1], execution->timers[child]))
            child++;
        if (!before(execution->timers[child], node))
            break;
        place(execution, at, execution->timers[child]);
        at = child;
    }
    place(execution, at, node);
}

void dd_timer_arm(struct dd_execution *execution, struct dd_node *node)
{
    dd_assert(node->operation.due_ms > 0 && node->timer_at == 0);
    if (execution->timers_len == execution->timers_cap) {
        execution->timers_cap = execution->timers_cap ? execution->timers_cap * 2 : 4;
        execution->timers = dd_realloc_array(execution->timers, execution->timers_cap,
                                             sizeof(*execution->timers));
    }
    sift_up(execution, execution->timers_len++, node);
}

void dd_timer_disarm(struct dd_execution *execution, struct dd_node *node)
{
    struct dd_node *last;
    uint32_t at;

    if (node->timer_at == 0)
        return;
    at = node->timer_at - 1;
    node->timer_at = 0;
    last = execution->timers[--execution->timers_len];
    if (last == node)
        return;
    if (at > 0 && before(last, execution->timers[(at - 1) / 2]))
        sift_up(execution, at, last);
    else
        sift_down(execution, at, last);
}

struct dd_node *dd_timer_first(const struct dd_execution *execution)
{
    return execution->timers_len > 0 ? execution->timers[0] : NULL;
}

static void fire(struct dd_execution *execution, struct dd_node *node, int64_t now_ms,
                 struct dd_facts *out)
{
    const struct dd_operation *operation = &node->operation;
    struct dd_fact *fact =
        dd_facts_add(out, DD_FACT_STEP_READY, dd_execution_time(execution, now_ms));

    fact->type = operation->type;
    fact->id = dd_text_ref(operation->id);
    if (operation->type == DD_TYPE_WAIT) {
        fact->kind = DD_FACT_WAIT_SUCCEEDED;
        fact->delay_s = (operation->due_ms - operation->start_ms) / 1000;
    } else if (operation->type == DD_TYPE_CALLBACK) {
        dd_callback_timed_out(node, fact);
    }
    dd_execution_emit(execution, fact);
}

void dd_timers_fire(struct dd_execution *execution, int64_t now_ms, int64_t until_ms,
                    struct dd_facts *out)
{
    struct dd_node *node;

    while ((node = dd_timer_first(execution)) != NULL && node->operation.due_ms <= now_ms &&
           node->operation.due_ms <= until_ms)
        fire(execution, node, now_ms, out);
}
