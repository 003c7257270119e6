/* A daemon on data of its own, a worker in this process, and executions to run. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "durabled.h"

#define WIDTH 64 /* of what runs at once: invocations, and clients that wait */

struct harness {
    const char *program;
    char dir[64]; /* below the current directory; removed in the end */
    char socket[96];
    pid_t daemon;
    struct durabled *connection;
    struct durabled_worker *worker;
};

/* Makes the directory. */
void harness_open(struct harness *harness, const char *program);

/* Starts the daemon; `retention` (seconds, as text) NULL: the daemon's own. Gives the
 * microseconds from fork() to its first answer. */
double harness_start(struct harness *harness, const char *retention);
void harness_stop(struct harness *harness);

/* Serves `functions` from WIDTH threads; returns when the daemon knows them. Stopped
 * before the daemon is. */
void harness_serve(struct harness *harness, const struct durabled_function *functions,
                   size_t functions_len);
void harness_serve_end(struct harness *harness);

void harness_close(struct harness *harness);

/* One execution from start to its end; `visit` (may be NULL) sees the outcome. */
void run_execution(struct harness *harness, const char *function,
                   void (*visit)(const struct durabled_outcome *outcome));

/* `count` executions from WIDTH threads, one after another in each. */
void run_executions(struct harness *harness, const char *function, long count);

/* A handler's `steps` steps that return a number; `took` (may be NULL) gets the
 * microseconds of each. */
int run_steps(struct durabled_context *context, size_t steps, double *took);

/* Commits of the daemon so far. */
double harness_commits(struct harness *harness);

/* Ends the program when a call of libdurabled failed. */
void must(int rc, const struct durabled_error *error);
