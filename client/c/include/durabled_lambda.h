/* libdurabled-lambda: a durable function of AWS Lambda's as a program in C.
 *
 * The program is the function's `bootstrap` on an OS-only runtime (provided.al2023): it asks
 * the Lambda Runtime API for invocations, and attaches each to the daemon of the layer, or
 * of `durabled dev`. Results and ownership are those of durabled.h; this library needs
 * libcurl beside it. One call at a time in a process.
 */
#ifndef DURABLED_LAMBDA_H
#define DURABLED_LAMBDA_H

#include "durabled.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Serves invocations, one after another, with `body` as the handler of durable executions.
 * What keeps an invocation from its daemon, or its connection from lasting, fails that
 * invocation, which Lambda runs again; the next one connects anew.
 *
 * Returns when the Runtime API is no more to be talked with, so never DURABLED_OK; the
 * program then ends, and Lambda starts another. Without AWS_LAMBDA_RUNTIME_API in the
 * environment: DURABLED_USAGE. Sets _X_AMZN_TRACE_ID, as runtimes of Lambda's do. */
DURABLED_API int durabled_lambda_run(durabled_body body, void *user,
                                     struct durabled_error *error);

/* Says that the program can't serve, and why (both borrowed); instead of
 * durabled_lambda_run(). The program then ends with a status that is not 0. */
DURABLED_API int durabled_lambda_init_error(const char *type, const char *message,
                                            struct durabled_error *error);

#ifdef __cplusplus
}
#endif
#endif
