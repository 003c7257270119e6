/* The last thousand things that happened, kept in memory as typed records and
 * printed when an assertion fails. Recording costs a few stores and never fails.
 *
 * A ring belongs to whoever embeds it and is used on one thread. The owner passes
 * the time, so the rings of a simulation repeat.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>

#define DD_TRACE_RECORDS 1024 /* chosen: some seconds under load; a power of two */

struct dd_trace_record {
    int64_t time_ms;
    const char *what; /* a string literal */
    uint64_t args[3];
};

/* A zeroed ring is an empty one. */
struct dd_trace {
    uint64_t count; /* records ever added */
    struct dd_trace_record records[DD_TRACE_RECORDS];
};

/* Adds a record, over the oldest one when the ring is full. Keeps the borrowed
 * pointer `what` for as long as the ring lives: pass a literal. */
void dd_trace_add(struct dd_trace *trace, int64_t time_ms, const char *what, uint64_t a,
                  uint64_t b, uint64_t c);

/* Prints the ring to `out`, oldest first, one line a record: its number, the time in
 * milliseconds, what, and the three arguments. Does not allocate when `out` is
 * unbuffered, as stderr is. */
void dd_trace_dump(const struct dd_trace *trace, FILE *out);

/* Has `trace` printed to stderr when an assertion fails, in place of what
 * dd_assert_hook() installed before. Keeps the borrowed pointer until another call;
 * NULL ends it. */
void dd_trace_dump_on_assert(const struct dd_trace *trace);
