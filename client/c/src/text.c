/* Errors, texts, failures and results. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "priv.h"

const char *durabled_code_name(int code)
{
    switch ((enum durabled_code)code) {
    case DURABLED_OK:
        return "DURABLED_OK";
    case DURABLED_FAILED:
        return "DURABLED_FAILED";
    case DURABLED_UNWIND:
        return "DURABLED_UNWIND";
    case DURABLED_NO_DAEMON:
        return "DURABLED_NO_DAEMON";
    case DURABLED_DISCONNECTED:
        return "DURABLED_DISCONNECTED";
    case DURABLED_REFUSED:
        return "DURABLED_REFUSED";
    case DURABLED_NOT_FOUND:
        return "DURABLED_NOT_FOUND";
    case DURABLED_USAGE:
        return "DURABLED_USAGE";
    case DURABLED_NO_MEMORY:
        return "DURABLED_NO_MEMORY";
    case DURABLED_PROTOCOL:
        return "DURABLED_PROTOCOL";
    case DURABLED_BUSY:
        return "DURABLED_BUSY";
    case DURABLED_SYSTEM:
        return "DURABLED_SYSTEM";
    }
    return "unknown";
}

int error_set(struct durabled_error *error, int code, const char *format, ...)
{
    va_list args;

    if (error) {
        error->code = code;
        error->retryable = false;
        error->type[0] = '\0';
        va_start(args, format);
        (void)vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
    }
    return code;
}

bool text_copy(struct durabled_text *out, const char *data, size_t len)
{
    char *copy = malloc(len + 1);

    if (!copy)
        return false;
    if (len > 0)
        memcpy(copy, data, len);
    copy[len] = '\0';
    *out = (struct durabled_text){copy, len};
    return true;
}

/* --- failures ---------------------------------------------------------------------------- */

void failure_clear(struct durabled_failure *failure)
{
    free(failure->type);
    free(failure->message);
    free(failure->data);
    for (size_t i = 0; i < failure->stack_trace_len; i++)
        free(failure->stack_trace[i]);
    free(failure->stack_trace);
    *failure = (struct durabled_failure){0};
}

bool failure_is_empty(const struct durabled_failure *failure)
{
    return !failure->type && !failure->message && !failure->data &&
           failure->stack_trace_len == 0;
}

/* NULL stays NULL. */
static bool copy_cstr(char **out, const char *text)
{
    if (!text)
        return true;
    *out = strdup(text);
    return *out != NULL;
}

bool failure_copy(struct durabled_failure *out, const struct durabled_failure *from)
{
    bool ok = copy_cstr(&out->type, from->type) && copy_cstr(&out->message, from->message) &&
              copy_cstr(&out->data, from->data);

    if (ok && from->stack_trace_len > 0) {
        out->stack_trace = calloc(from->stack_trace_len, sizeof *out->stack_trace);
        ok = out->stack_trace != NULL;
    }
    for (size_t i = 0; ok && i < from->stack_trace_len; i++) {
        ok = copy_cstr(&out->stack_trace[i], from->stack_trace[i]);
        out->stack_trace_len = i + 1;
    }
    if (!ok)
        failure_clear(out);
    return ok;
}

static bool read_member(char **out, const msgpack_object *map, const char *key)
{
    struct durabled_text text = map_text(map, key), copy;

    if (!text.data)
        return true;
    if (!text_copy(&copy, text.data, text.len))
        return false;
    *out = copy.data;
    return true;
}

static bool read_stack(struct durabled_failure *out, const msgpack_object *lines)
{
    size_t len;

    if (!lines || lines->type != MSGPACK_OBJECT_ARRAY || lines->via.array.size == 0)
        return true;
    len = lines->via.array.size;
    out->stack_trace = calloc(len, sizeof *out->stack_trace);
    if (!out->stack_trace)
        return false;
    for (size_t i = 0; i < len; i++) {
        const msgpack_object *line = &lines->via.array.ptr[i];
        struct durabled_text copy;

        if (line->type != MSGPACK_OBJECT_STR)
            continue;
        if (!text_copy(&copy, line->via.str.ptr, line->via.str.size))
            return false;
        out->stack_trace[out->stack_trace_len++] = copy.data;
    }
    return true;
}

bool failure_read(struct durabled_failure *out, const msgpack_object *object)
{
    bool ok;

    if (!object || object->type != MSGPACK_OBJECT_MAP)
        return true;
    ok = read_member(&out->type, object, "ErrorType") &&
         read_member(&out->message, object, "ErrorMessage") &&
         read_member(&out->data, object, "ErrorData") &&
         read_stack(out, map_get(object, "StackTrace"));
    if (!ok)
        failure_clear(out);
    return ok;
}

/* --- results ----------------------------------------------------------------------------- */

void durabled_result_clear(struct durabled_result *result)
{
    if (!result)
        return;
    free(result->payload.data);
    failure_clear(&result->failure);
    *result = (struct durabled_result){0};
}

int durabled_return_text(struct durabled_result *result, const char *json, size_t len)
{
    struct durabled_text copy = {0};

    if (json && !text_copy(&copy, json, len))
        return DURABLED_NO_MEMORY;
    durabled_result_clear(result);
    result->payload = copy;
    return DURABLED_OK;
}

int durabled_return(struct durabled_result *result, const char *json)
{
    return durabled_return_text(result, json, json ? strlen(json) : 0);
}

int durabled_raise(struct durabled_result *result, const char *type, const char *message)
{
    struct durabled_failure failure = {0};

    if (!copy_cstr(&failure.type, type) || !copy_cstr(&failure.message, message)) {
        failure_clear(&failure);
        return DURABLED_NO_MEMORY;
    }
    durabled_result_clear(result);
    result->failure = failure;
    return DURABLED_FAILED;
}
