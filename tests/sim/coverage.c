/* What must fire within the seeds that CI runs; see sim.h. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {
    /* operations */
    "step succeeded",
    "step failed",
    "step retried",
    "step at most once",
    "step interrupted",
    "step retry asked",
    "step found complete",
    "step failure caught",
    "wait",
    "wait found over",
    "child",
    "child virtual",
    "child large",
    "child large replayed",
    "child failed",
    "child found complete",
    "strand",
    "strand unwound",
    "await any",
    "operation never awaited",
    "callback SUCCEEDED",
    "callback FAILED",
    "callback TIMED_OUT",
    "callback found complete",
    "poll again",
    "poll succeeded",
    "poll failed",
    "poll found complete",
    "invoke SUCCEEDED",
    "invoke FAILED",
    "invoke TIMED_OUT",
    "invoke STOPPED",
    "invoke found complete",
    "invoke of no function",
    "changes observed",
    "child execution",
    "plain function returned",
    "plain function failed",
    "batch found complete",
    "batch large",
    "batch large replayed",
    "batch asked",
    "batch at its concurrency",
    "batch complete with branches running",
    "branch",
    "branch FLAT",
    "branch of a complete batch",
    "branch failed",
    "branch unwound",
    "branch counted",
    "branch found complete",
    "branch large replayed",
    "ALL_COMPLETED",
    "MIN_SUCCESSFUL_REACHED",
    "FAILURE_TOLERANCE_EXCEEDED",
    "CUSTOM_COMPLETION_SUCCEEDED",
    "CUSTOM_COMPLETION_FAILED",
    /* handlers and executions */
    "handler returned",
    "handler raised",
    "handler suspended",
    "execution SUCCEEDED",
    "execution FAILED",
    "execution STOPPED",
    "execution TIMED_OUT",
    "existing execution",
    "payload compared",
    "invocation failed",
    "invocation told to fail",
    "begin refused",
    "history read",
    "list read",
    "described",
    "callback completed",
    "callback completed by name",
    "callback heartbeat",
    /* refusals */
    "ResourceNotFoundException",
    "DurableExecutionAlreadyStartedException",
    "InvalidParameterValueException",
    "CallbackTimeoutException",
    "made-up callback",
    "no open callback of that name",
    "invoke that names no function",
    "batch that is virtual",
    "spent token",
    "Protocol.UnknownMethod",
    "Protocol.InvalidParams",
    "Protocol.OutOfOrder",
    "Protocol.UnknownSession",
    "NonDeterministicExecutionError",
    "Store.Full",
    "connection closed on bad bytes",
    /* faults */
    "daemon crashed",
    "crash with a commit in flight lost",
    "crash with a commit in flight kept",
    "commit failed",
    "commit failed and kept",
    "store full",
    "disk full and free again",
    "worker killed",
    "worker killed in a step",
    "worker killed in a plain function",
    "worker lost its connection",
    "worker came back unwinding",
    "worker hung",
    "worker drained",
    "clock forward",
    "clock back",
    "invocation held",
};
#define NAMES (sizeof names / sizeof names[0])

static uint64_t counts[NAMES];

void covered(const char *name)
{
    for (size_t i = 0; i < NAMES; i++) {
        if (strcmp(names[i], name) == 0) {
            counts[i]++;
            return;
        }
    }
    fprintf(stderr, "sim: coverage has no row '%s'\n", name);
    abort();
}

void coverage_write(int fd)
{
    if (write(fd, counts, sizeof counts) != (ssize_t)sizeof counts)
        abort();
}

void coverage_read(int fd)
{
    uint64_t other[NAMES];

    if (read(fd, other, sizeof other) != (ssize_t)sizeof other)
        return;
    for (size_t i = 0; i < NAMES; i++)
        counts[i] += other[i];
}

bool coverage_print(bool wanted)
{
    bool all = true;

    for (size_t i = 0; i < NAMES; i++) {
        if (wanted)
            printf("%10llu  %s\n", (unsigned long long)counts[i], names[i]);
        else if (counts[i] == 0)
            printf("never fired: %s\n", names[i]);
        all = all && counts[i] > 0;
    }
    return all;
}
