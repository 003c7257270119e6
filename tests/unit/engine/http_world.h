/* An engine over a store in memory, asked by HTTP requests that a test makes up. */
#pragma once

#include <jansson.h>

#include "base/rng.h"
#include "engine/engine.h"
#include "tests/lib/store_mem.h"

#define HTTP_WORLD_NOW_MS 1767323045000 /* 2026-01-02T03:04:05Z */
#define HTTP_WORLD_HEADERS 8

struct http_world {
    struct dd_engine_config config; /* may be changed before it is opened */
    struct dd_log log;
    struct dd_store_mem *store;
    struct dd_engine *engine;
    struct dd_rng rng;
    char logged[4096]; /* lines of the log, from WARN on */
    /* What is asked next. */
    struct dd_http_header headers[HTTP_WORLD_HEADERS]; /* the rest have no name */
    struct dd_span body;
    /* The last answer; its body is JSON, or there is none. */
    int status;
    char error_type[64];
    json_t *answer;
};

void http_world_init(struct http_world *world);
void http_world_open(struct http_world *world);
void http_world_close(struct http_world *world);

/* Registers a function of a worker, or of the host. */
void http_world_register(struct http_world *world, const char *name, bool plain);

/* Asks, and waits for the answer. */
void http_world_ask(struct http_world *world, const char *method, const char *target);

/* A member of an answer, by names with dots between. */
const json_t *http_world_member(const struct http_world *world, const char *path);
const char *http_world_text(const struct http_world *world, const char *path);

/* The answer is this error. */
void http_world_refused(const struct http_world *world, int status, const char *type,
                        const char *message);
