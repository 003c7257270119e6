/* Lambda functions that the daemon hosts: what is known of each, from a template or the
 * command line. Texts and arrays are given; free with dd_hosted_deinit(). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct dd_variable {
    char *name;
    char *value;
};

struct dd_hosted {
    char *name;
    char *runtime;     /* as Lambda calls it, "python3.13"; NULL: `command` is the user's own */
    char *handler;     /* NULL: none */
    char *directory;   /* of the code, absolute: LAMBDA_TASK_ROOT */
    char **command;    /* arguments of the process that asks the Runtime API, NULL-ended */
    char **layers;     /* directories, absolute, the first below all others; NULL-ended */
    char **aliases;    /* NULL-ended; each points at $LATEST */
    char *description; /* NULL: none */
    struct dd_variable *environment; /* of the process */
    size_t environment_len;
    int64_t timeout_s; /* of an invocation */
    int64_t memory_mb; /* reported, not enforced */
    int64_t processes; /* at most so many at once */
    bool durable;
    bool debug;                  /* one process, and no Timeout */
    bool tenants;                /* TenancyConfig PER_TENANT: an invocation names its tenant */
    bool json;                   /* LoggingConfig LogFormat JSON */
    int64_t execution_timeout_s; /* DurableConfig, when durable; 0: the daemon's default */
    int64_t retention_days;
};

void dd_hosted_deinit(struct dd_hosted *hosted);

/* The one of that name; NULL: none. */
const struct dd_hosted *dd_hosted_find(const struct dd_hosted *hosted, size_t len,
                                       struct dd_span name);

/* Whether `alias` is one of its aliases. */
bool dd_hosted_has_alias(const struct dd_hosted *hosted, struct dd_span alias);
