/* The one table of errors.
 *
 * Results of functions: 0 is success; a negative value is a code of this table,
 * passed up unchanged; a positive value is an expected outcome that the
 * function's own header names, and is never forwarded.
 * A person or a peer reads `struct dd_error`: a code and a text of fixed size.
 */
#pragma once

#include "base/check.h"

/* DD_ERROR_TABLE(X), of X(symbol, value, name on the wire, retryable, HTTP status): the
 * errors of proto/protocol.toml, where each has its meaning. */
#include "proto/errors.inc"

enum dd_code {
    DD_OK = 0,
#define X(symbol, value, name, retryable, status) DD_##symbol = (value),
    DD_ERROR_TABLE(X)
#undef X
};

struct dd_error {
    enum dd_code code;
    char text[512];
};

/* The wire name of a code ("InvalidParameterValueException"); never NULL. */
const char *dd_error_name(enum dd_code code);

/* Whether the same call may succeed later. */
int dd_error_retryable(enum dd_code code);

/* The HTTP status of an answer that is this error. */
int dd_error_status(enum dd_code code);

/* Fills `error` (NULL is allowed) and returns `code`, for `return dd_fail(...)`. */
int dd_fail(struct dd_error *error, enum dd_code code, const char *fmt, ...) DD_PRINTF(3, 4);

/* Lets whoever reads a call, the analyzer included, see that it is never 0. */
static inline int dd_failed(int same, enum dd_code code)
{
    (void)same;
    return (int)code;
}
#define dd_fail(error, code, ...) dd_failed(dd_fail(error, code, __VA_ARGS__), code)

/* Puts "context: " in front of the text of `error` and returns its code. */
int dd_wrap(struct dd_error *error, const char *fmt, ...) DD_PRINTF(2, 3);
