/* The table of errors as functions; see error.h. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

const char *dd_error_name(enum dd_code code)
{
    switch (code) {
    case DD_OK:
        return "OK";
#define X(symbol, value, name, retryable, status) \
    case DD_##symbol:                             \
        return name;
        DD_ERROR_TABLE(X)
#undef X
    }
    dd_unreachable();
}

int dd_error_retryable(enum dd_code code)
{
    switch (code) {
    case DD_OK:
        return 0;
#define X(symbol, value, name, retryable, status) \
    case DD_##symbol:                             \
        return retryable;
        DD_ERROR_TABLE(X)
#undef X
    }
    dd_unreachable();
}

int dd_error_status(enum dd_code code)
{
    switch (code) {
    case DD_OK:
        return 200;
#define X(symbol, value, name, retryable, status) \
    case DD_##symbol:                             \
        return status;
        DD_ERROR_TABLE(X)
#undef X
    }
    dd_unreachable();
}

int(dd_fail)(struct dd_error *error, enum dd_code code, const char *fmt, ...)
{
    va_list args;

    if (error) {
        error->code = code;
        va_start(args, fmt);
        vsnprintf(error->text, sizeof error->text, fmt, args);
        va_end(args);
        /* It may quote a peer, and be cut in the middle of a character. */
        dd_utf8_repair(error->text, strlen(error->text));
    }
    return (int)code;
}

int dd_wrap(struct dd_error *error, const char *fmt, ...)
{
    char context[sizeof error->text];
    char text[sizeof error->text];
    va_list args;
    size_t len;

    va_start(args, fmt);
    vsnprintf(context, sizeof context, fmt, args);
    va_end(args);
    memcpy(text, error->text, sizeof text);
    snprintf(error->text, sizeof error->text, "%s", context);
    len = strlen(error->text);
    snprintf(error->text + len, sizeof error->text - len, ": %s", text);
    dd_utf8_repair(error->text, strlen(error->text));
    return (int)error->code;
}
