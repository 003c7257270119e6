/* The ring of recent records; see trace.h. */
#include "base/trace.h"

#include <inttypes.h>

#include "base/check.h"

/* The ring that a failing assertion prints; the hook takes no argument. */
static const struct dd_trace *trace_on_assert;

void dd_trace_add(struct dd_trace *trace, int64_t time_ms, const char *what, uint64_t a,
                  uint64_t b, uint64_t c)
{
    struct dd_trace_record *record = &trace->records[trace->count % DD_TRACE_RECORDS];

    record->time_ms = time_ms;
    record->what = what;
    record->args[0] = a;
    record->args[1] = b;
    record->args[2] = c;
    trace->count++;
}

void dd_trace_dump(const struct dd_trace *trace, FILE *out)
{
    uint64_t first = trace->count > DD_TRACE_RECORDS ? trace->count - DD_TRACE_RECORDS : 0;

    for (uint64_t i = first; i < trace->count; i++) {
        const struct dd_trace_record *record = &trace->records[i % DD_TRACE_RECORDS];

        fprintf(out, "trace %" PRIu64 " %" PRId64 " %s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                i, record->time_ms, record->what, record->args[0], record->args[1],
                record->args[2]);
    }
}

static void dump_to_stderr(void)
{
    dd_trace_dump(trace_on_assert, stderr);
}

void dd_trace_dump_on_assert(const struct dd_trace *trace)
{
    trace_on_assert = trace;
    dd_assert_hook(trace ? dump_to_stderr : NULL);
}
