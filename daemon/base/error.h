/* The one table of errors.
 *
 * Results of functions: 0 is success; a negative value is a code of this table,
 * passed up unchanged; a positive value is an expected outcome that the
 * function's own header names, and is never forwarded.
 * A person or a peer reads `struct dd_error`: a code and a text of fixed size.
 */
#pragma once

#include "base/check.h"

/* X(symbol, value, name on the wire, retryable, HTTP status)
 *
 * The names are AWS's where AWS has one (service-side exceptions, Lambda API
 * reference); the others belong to the socket protocol. `value` is stable: it
 * is what proto/ publishes. */
#define DD_ERROR_TABLE(X)                                                     \
    X(INVALID_PARAMETER, -1, "InvalidParameterValueException", 0, 400)        \
    X(VALIDATION, -2, "ValidationException", 0, 400)                          \
    X(NOT_FOUND, -3, "ResourceNotFoundException", 0, 404)                     \
    X(ALREADY_STARTED, -4, "DurableExecutionAlreadyStartedException", 0, 409) \
    X(TOO_MANY_REQUESTS, -5, "TooManyRequestsException", 1, 429)              \
    X(REQUEST_TOO_LARGE, -6, "RequestTooLargeException", 0, 413)              \
    X(SERVICE, -7, "ServiceException", 1, 500)                                \
    X(CALLBACK_TIMEOUT, -8, "CallbackTimeoutException", 0, 400)               \
    X(SERIALIZATION, -9, "SerializationException", 0, 400)                    \
    X(INVALID_CONTENT, -10, "InvalidRequestContentException", 0, 400)         \
    X(ACCESS_DENIED, -11, "AccessDeniedException", 0, 403)                    \
    X(UNKNOWN_OPERATION, -12, "UnknownOperationException", 0, 404)            \
    X(PROTOCOL, -20, "Protocol.Malformed", 0, 400)                            \
    X(UNKNOWN_METHOD, -21, "Protocol.UnknownMethod", 0, 404)                  \
    X(BAD_PARAMS, -22, "Protocol.InvalidParams", 0, 400)                      \
    X(OUT_OF_ORDER, -23, "Protocol.OutOfOrder", 0, 400)                       \
    X(UNKNOWN_SESSION, -24, "Protocol.UnknownSession", 0, 404)                \
    X(NON_DETERMINISTIC, -25, "NonDeterministicExecutionError", 0, 400)       \
    X(STORE_FULL, -30, "Store.Full", 1, 503)                                  \
    X(STORE_FAILED, -31, "Store.Failed", 1, 500)                              \
    X(STORE_CORRUPT, -32, "Store.Corrupt", 0, 500)                            \
    X(STORE_VERSION, -33, "Store.Version", 0, 500)                            \
    X(STORE_LOCKED, -34, "Store.Locked", 0, 500)                              \
    X(STORE_FILESYSTEM, -35, "Store.Filesystem", 0, 500)                      \
    X(NO_MEMORY, -40, "Daemon.OutOfMemory", 1, 500)                           \
    X(SYSTEM, -41, "Daemon.System", 0, 500)                                   \
    X(DRAINING, -42, "Daemon.Draining", 1, 503)                               \
    X(USAGE, -43, "Daemon.Usage", 0, 500)

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
