/* The HTTP listener on libmicrohttpd. It runs on the loop's thread: the loop watches the
 * library's epoll descriptor, and a request is suspended until its answer comes. Moves
 * requests and answers; interprets neither paths nor bodies. */
#pragma once

#include <uv.h>

#include "base/error.h"
#include "engine/ports.h"

struct dd_http_server;

struct dd_http_config {
    uv_loop_t *loop;
    const char *address; /* "HOST:PORT", HOST a literal or localhost; port 0: any */
    bool remote;         /* HOST may be other than loopback */
    bool own_user;       /* only processes of this one's user, or of root, may connect; IPv4 */
    size_t connections_max;
    unsigned idle_s; /* a connection without a byte for so long is closed; 0: none is */
    struct dd_http_events events;
};

/* Listens. DD_USAGE for an address that is none or not allowed, DD_SYSTEM when it can't
 * be had, with a text that says why. */
int dd_http_open(const struct dd_http_config *config, struct dd_http_server **out_server,
                 struct dd_error *error) DD_MUST_CHECK;

/* "http://127.0.0.1:8080", with the port that was bound; as long as the server. */
const char *dd_http_url(const struct dd_http_server *server);

/* Whether every answer has been sent, or its peer is gone. */
bool dd_http_sent(const struct dd_http_server *server);

/* Whether somebody is connected. */
bool dd_http_connected(const struct dd_http_server *server);

/* Takes no more connections; those that are open stay. */
void dd_http_refuse(struct dd_http_server *server);

/* Ends all connections; requests without an answer are cancelled from within this call.
 * `done` is called from the loop when the server is freed. */
void dd_http_close(struct dd_http_server *server, void (*done)(void *user), void *user);
