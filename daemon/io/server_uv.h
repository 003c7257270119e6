/* The Unix-socket listener and its connections, on libuv. Moves bytes and tells
 * who is at the other end; interprets nothing. */
#pragma once

#include <uv.h>

#include "base/error.h"
#include "engine/ports.h"

struct dd_server;

struct dd_server_config {
    uv_loop_t *loop;
    const char *path;
    const char *group; /* "" or the name of a group that may connect */
    bool everyone;     /* may connect */
    struct dd_stream_events events;
};

/* Owns `path` through a lock file beside it, removes a leftover socket, and
 * listens (mode 0600, 0660 with a group, or 0666). A second daemon is refused with the
 * owner's pid (DD_SYSTEM). Missing directories are made with mode 0700. */
int dd_server_open(const struct dd_server_config *config, struct dd_server **out_server,
                   struct dd_error *error) DD_MUST_CHECK;

/* Takes no more connections; those that are open stay. */
void dd_server_refuse(struct dd_server *server);

/* Closes listener and connections and removes the socket; `done` is called from
 * the loop when all handles are closed and the server is freed. */
void dd_server_close(struct dd_server *server, void (*done)(void *user), void *user);
