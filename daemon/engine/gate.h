/* Durable before visible: the one place where it is written down. Whatever
 * promises something is an action handed to the gate with the journal position
 * that justifies it, and runs when that position is durable. Actions run in
 * order of their positions, then of arrival; one with nothing to wait for still
 * runs later, from dd_gate_open(), never inside the event that made it. */
#pragma once

#include "base/list.h"
#include <stdint.h>

struct dd_gate {
    struct dd_list actions; /* of dd_gate_action, in order of position */
};

/* Embedded in what it acts on. `run` owns the action from then on. */
struct dd_gate_action {
    struct dd_list node;
    uint64_t position;
    void (*run)(struct dd_gate_action *action);
};

void dd_gate_init(struct dd_gate *gate);

/* Keeps `action` until everything up to `position` is durable. */
void dd_gate_add(struct dd_gate *gate, struct dd_gate_action *action, uint64_t position);

/* Runs every action at or before `durable`; actions may add others. */
void dd_gate_open(struct dd_gate *gate, uint64_t durable);
