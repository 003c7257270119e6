/* The Extensions API (docs.aws.amazon.com/lambda: runtimes-extensions-api): registers this
 * process, and is then told of one event after the other. The next is asked for before the
 * last one is told. A small HTTP/1.1 client of its own: the first invocation of a sandbox
 * waits for it, and must not wait for more. */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "base/span.h"

struct dd_events;

/* The loop calls these; spans are borrowed. */
struct dd_events_config {
    uv_loop_t *loop;
    const char *api;  /* HOST:PORT; borrowed, as the next one */
    const char *name; /* of the extension: that of its file */
    void *user;
    void (*registered)(void *user);
    void (*invoked)(void *user, struct dd_span request_id, int64_t deadline_ms);
    void (*shut_down)(void *user, struct dd_span reason);
    /* It is asked again after a while. */
    void (*failed)(void *user, const char *why);
};

struct dd_events *dd_events_open(const struct dd_events_config *config);

/* Frees it once the loop has let go. */
void dd_events_close(struct dd_events *events);
