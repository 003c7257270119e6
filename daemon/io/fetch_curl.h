/* HTTP requests on libcurl, in the loop: HTTP/1.1, connections kept between requests.
 * Nothing of libcurl or TLS is set up before the first. */
#pragma once

#include <uv.h>

#include "engine/ports.h"

struct dd_fetcher;

/* Never NULL. */
struct dd_fetcher *dd_fetcher_new(uv_loop_t *loop, const struct dd_fetch_events *events);

/* The ports of that name; `fetcher` is their user. */
void *dd_fetch(void *fetcher, const struct dd_fetch_request *request, void *owner);
void dd_fetch_cancel(void *fetcher, void *fetch);

/* Cancels what is under way, and frees it once the loop has let go. */
void dd_fetcher_close(struct dd_fetcher *fetcher);
