/* The gate; see gate.h. */
#include "engine/gate.h"

void dd_gate_init(struct dd_gate *gate)
{
    dd_list_init(&gate->actions);
}

void dd_gate_add(struct dd_gate *gate, struct dd_gate_action *action, uint64_t position)
{
    struct dd_list *before = gate->actions.prev;

    /* Positions grow, so the place is nearly always the end. */
    while (before != &gate->actions &&
           dd_container_of(before, struct dd_gate_action, node)->position > position)
        before = before->prev;
    action->position = position;
    dd_list_push(before->next, &action->node);
}

void dd_gate_open(struct dd_gate *gate, uint64_t durable)
{
    while (!dd_list_empty(&gate->actions)) {
        struct dd_gate_action *action =
            dd_container_of(gate->actions.next, struct dd_gate_action, node);

        if (action->position > durable)
            return;
        dd_list_remove(&action->node);
        action->run(action);
    }
}
