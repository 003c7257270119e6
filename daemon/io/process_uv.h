/* Processes of hosted functions, on libuv: each with a listener of its own, pipes for what
 * it writes, and a supervisor that ends with the daemon and takes the process's whole group
 * with it. Moves requests, lines and ends; interprets none of them. */
#pragma once

#include <uv.h>

#include "base/error.h"
#include "engine/ports.h"

struct dd_processes;

struct dd_processes_config {
    uv_loop_t *loop;
    /* The supervisor's program and arguments; the daemon's pid and the command to run
     * follow them (app/supervise.h). NULL-ended, at most eight. */
    const char *program;
    const char *const *supervisor;
    struct dd_process_events events;
};

/* Gives what starts processes; free with dd_processes_free() when none is left. */
struct dd_processes *dd_processes_new(const struct dd_processes_config *config);
void dd_processes_free(struct dd_processes *processes);

/* Starts one; struct dd_ports' process_start. DD_SYSTEM with a text that says why not. */
int dd_process_start(struct dd_processes *processes, const struct dd_process_spec *spec,
                     void *owner, struct dd_process *out, struct dd_error *error) DD_MUST_CHECK;
