#include "batch_text.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"

static const char *const reasons[] = {
    [DURABLED_ALL_COMPLETED] = "ALL_COMPLETED",
    [DURABLED_MIN_SUCCESSFUL_REACHED] = "MIN_SUCCESSFUL_REACHED",
    [DURABLED_FAILURE_TOLERANCE_EXCEEDED] = "FAILURE_TOLERANCE_EXCEEDED",
    [DURABLED_CUSTOM_COMPLETION_SUCCEEDED] = "CUSTOM_COMPLETION_SUCCEEDED",
    [DURABLED_CUSTOM_COMPLETION_FAILED] = "CUSTOM_COMPLETION_FAILED",
};
static const char *const statuses[] = {
    [DURABLED_ITEM_STARTED] = "STARTED",
    [DURABLED_ITEM_SUCCEEDED] = "SUCCEEDED",
    [DURABLED_ITEM_FAILED] = "FAILED",
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The place of `name` in `words`; `len` when it is none of them. */
static size_t find_word(struct durabled_text name, const char *const *words, size_t len)
{
    size_t i = 0;

    while (i < len && !(name.data && json_key_is(name, words[i])))
        i++;
    return i;
}

bool reason_read(struct durabled_text name, enum durabled_reason *out)
{
    size_t found = find_word(name, reasons, COUNT(reasons));

    if (found < COUNT(reasons))
        *out = (enum durabled_reason)found;
    return found < COUNT(reasons);
}

void batch_count(struct durabled_batch_result *result)
{
    size_t counts[COUNT(statuses)] = {0};

    for (size_t i = 0; i < result->len; i++)
        counts[result->items[i].status]++;
    result->started = counts[DURABLED_ITEM_STARTED];
    result->succeeded = counts[DURABLED_ITEM_SUCCEEDED];
    result->failed = counts[DURABLED_ITEM_FAILED];
    result->status =
        result->reason == DURABLED_CUSTOM_COMPLETION_FAILED ||
                (result->failed > 0 && result->reason != DURABLED_CUSTOM_COMPLETION_SUCCEEDED)
            ? DURABLED_FAILED
            : DURABLED_OK;
}

/* A text between quotes, without them. */
static struct durabled_text unquoted(struct durabled_text value)
{
    if (value.len < 2 || value.data[0] != '"')
        return (struct durabled_text){0};
    return (struct durabled_text){value.data + 1, value.len - 2};
}

/* Ends the buffer with a NUL and gives it away. */
static bool take_buffer(msgpack_sbuffer *buffer, bool ok, struct durabled_text *out)
{
    ok = ok && msgpack_sbuffer_write(buffer, "", 1) == 0;
    if (ok)
        *out = (struct durabled_text){buffer->data, buffer->size - 1};
    else
        msgpack_sbuffer_destroy(buffer);
    return ok;
}

/* --- the result -------------------------------------------------------------------------- */

static bool put_stack(msgpack_sbuffer *out, const struct durabled_failure *failure)
{
    bool ok = json_put(out, "[");

    for (size_t i = 0; ok && i < failure->stack_trace_len; i++)
        ok = json_put(out, i > 0 ? ", " : "") && json_put_string(out, failure->stack_trace[i]);
    return ok && json_put(out, "]");
}

static bool put_failure(msgpack_sbuffer *out, const struct durabled_failure *failure)
{
    return json_put(out, "{\"ErrorType\": ") && json_put_string(out, failure->type) &&
           json_put(out, ", \"ErrorMessage\": ") && json_put_string(out, failure->message) &&
           json_put(out, ", \"ErrorData\": ") && json_put_string(out, failure->data) &&
           json_put(out, ", \"StackTrace\": ") && put_stack(out, failure) && json_put(out, "}");
}

static bool put_item(msgpack_sbuffer *out, size_t index, const struct durabled_item *item)
{
    const struct durabled_text *payload = &item->result.payload;

    return json_put(out, "{\"index\": ") && json_put_int(out, (int64_t)index) &&
           json_put(out, ", \"status\": ") && json_put_string(out, statuses[item->status]) &&
           json_put(out, ", \"result\": ") &&
           (payload->data ? msgpack_sbuffer_write(out, payload->data, payload->len) == 0
                          : json_put(out, "null")) &&
           json_put(out, ", \"error\": ") &&
           (item->status == DURABLED_ITEM_FAILED ? put_failure(out, &item->result.failure)
                                                 : json_put(out, "null")) &&
           json_put(out, "}");
}

bool batch_write(const struct durabled_batch_result *result, struct durabled_text *out)
{
    msgpack_sbuffer buffer;
    bool ok;

    msgpack_sbuffer_init(&buffer);
    ok = json_put(&buffer, "{\"all\": [");
    for (size_t i = 0; ok && i < result->len; i++)
        ok = json_put(&buffer, i > 0 ? ", " : "") && put_item(&buffer, i, &result->items[i]);
    ok = ok && json_put(&buffer, "], \"completionReason\": ") &&
         json_put_string(&buffer, reasons[result->reason]) && json_put(&buffer, "}");
    return take_buffer(&buffer, ok, out);
}

/* --- reading it back --------------------------------------------------------------------- */

static bool read_string(struct durabled_text value, char **out)
{
    struct durabled_text text;
    bool ok = json_text(value, &text);

    *out = text.data;
    return ok;
}

static bool read_stack(struct durabled_text value, struct durabled_failure *out)
{
    struct json_walk walk = json_walk(value, '['), count = walk;
    struct durabled_text line;
    size_t len = 0;

    while (json_next(&count, NULL, &line))
        len++;
    if (len == 0)
        return true;
    out->stack_trace = calloc(len, sizeof *out->stack_trace);
    if (!out->stack_trace)
        return false;
    while (json_next(&walk, NULL, &line)) {
        if (!read_string(line, &out->stack_trace[out->stack_trace_len++]))
            return false;
    }
    return true;
}

static bool read_failure(struct durabled_text value, struct durabled_failure *out)
{
    struct json_walk walk = json_walk(value, '{');
    struct durabled_text key;
    bool ok = true;

    while (ok && json_next(&walk, &key, &value)) {
        if (json_key_is(key, "ErrorType"))
            ok = read_string(value, &out->type);
        else if (json_key_is(key, "ErrorMessage"))
            ok = read_string(value, &out->message);
        else if (json_key_is(key, "ErrorData"))
            ok = read_string(value, &out->data);
        else if (json_key_is(key, "StackTrace"))
            ok = read_stack(value, out);
    }
    return ok;
}

static int read_item(struct durabled_text value, struct durabled_item *out)
{
    struct json_walk walk = json_walk(value, '{');
    struct durabled_text key, status = {0};
    size_t found;
    bool ok = true;

    while (ok && json_next(&walk, &key, &value)) {
        if (json_key_is(key, "status"))
            status = unquoted(value);
        else if (json_key_is(key, "result"))
            ok = json_key_is(value, "null") ||
                 text_copy(&out->result.payload, value.data, value.len);
        else if (json_key_is(key, "error"))
            ok = read_failure(value, &out->result.failure);
    }
    if (!ok)
        return DURABLED_NO_MEMORY;
    found = find_word(status, statuses, COUNT(statuses));
    if (found == COUNT(statuses))
        return DURABLED_PROTOCOL;
    out->status = (enum durabled_item_status)found;
    return DURABLED_OK;
}

static int read_items(struct durabled_text value, struct durabled_batch_result *out)
{
    struct json_walk walk = json_walk(value, '['), count = walk;
    size_t len = 0;
    int rc = DURABLED_OK;

    while (json_next(&count, NULL, &value))
        len++;
    out->items = calloc(len + 1, sizeof *out->items);
    if (!out->items)
        return DURABLED_NO_MEMORY;
    while (rc == DURABLED_OK && json_next(&walk, NULL, &value))
        rc = read_item(value, &out->items[out->len++]);
    return rc;
}

int batch_read(struct durabled_text text, struct durabled_batch_result *out)
{
    struct json_walk walk = json_walk(text, '{');
    struct durabled_text key, value;
    bool reason = false;
    int rc = DURABLED_OK;

    while (rc == DURABLED_OK && json_next(&walk, &key, &value)) {
        if (json_key_is(key, "all") && !out->items)
            rc = read_items(value, out);
        else if (json_key_is(key, "completionReason"))
            reason = reason_read(unquoted(value), &out->reason);
    }
    if (rc == DURABLED_OK && (!out->items || !reason))
        rc = DURABLED_PROTOCOL;
    if (rc == DURABLED_OK)
        batch_count(out);
    else
        durabled_batch_clear(out);
    return rc;
}

/* --- how a large one ended --------------------------------------------------------------- */

/* The indexes of the items that are STARTED, or of the others. */
static bool put_indexes(msgpack_sbuffer *out, const struct durabled_batch_result *result,
                        bool started)
{
    bool ok = json_put(out, "["), first = true;

    for (size_t i = 0; ok && i < result->len; i++) {
        if ((result->items[i].status == DURABLED_ITEM_STARTED) != started)
            continue;
        ok = json_put(out, first ? "" : ", ") && json_put_int(out, (int64_t)i);
        first = false;
    }
    return ok && json_put(out, "]");
}

static bool put_count(msgpack_sbuffer *out, const char *key, size_t count)
{
    return json_put(out, ", ") && json_put_string(out, key) && json_put(out, ": ") &&
           json_put_int(out, (int64_t)count);
}

bool batch_write_summary(const struct durabled_batch_result *result, const char *type,
                         struct durabled_text *out)
{
    /* Of the two sets the smaller. */
    bool started = 2 * result->started <= result->len, ok;
    msgpack_sbuffer buffer;

    msgpack_sbuffer_init(&buffer);
    ok = json_put(&buffer, "{\"type\": ") && json_put_string(&buffer, type) &&
         put_count(&buffer, "totalCount", result->len) &&
         json_put(&buffer, ", \"completionReason\": ") &&
         json_put_string(&buffer, reasons[result->reason]) &&
         json_put(&buffer, started ? ", \"startedIndexes\": " : ", \"completedIndexes\": ") &&
         put_indexes(&buffer, result, started) &&
         put_count(&buffer, "startedCount", result->started) &&
         put_count(&buffer, "successCount", result->succeeded) &&
         put_count(&buffer, "failureCount", result->failed) &&
         json_put(&buffer, ", \"status\": ") &&
         json_put_string(&buffer, result->status == DURABLED_OK ? "SUCCEEDED" : "FAILED") &&
         json_put(&buffer, "}");
    return take_buffer(&buffer, ok, out);
}

/* Marks the indexes of the list; false: one is too large. */
static bool read_indexes(struct durabled_text list, char mark, char *letters, size_t len)
{
    struct json_walk walk = json_walk(list, '[');
    struct durabled_text value;

    while (json_next(&walk, NULL, &value)) {
        int64_t index = json_int(value);

        if (index < 0 || (size_t)index >= len)
            return false;
        letters[index] = mark;
    }
    return true;
}

int batch_read_summary(struct durabled_text text, size_t total, char **out_letters,
                       size_t *out_len, enum durabled_reason *out_reason)
{
    struct json_walk walk = json_walk(text, '{');
    struct durabled_text key, value, list = {0};
    bool started = false, reason = false;
    int64_t len = -1;

    while (json_next(&walk, &key, &value)) {
        if (json_key_is(key, "totalCount")) {
            len = json_int(value);
        } else if (json_key_is(key, "completionReason")) {
            reason = reason_read(unquoted(value), out_reason);
        } else if (json_key_is(key, "startedIndexes") || json_key_is(key, "completedIndexes")) {
            started = json_key_is(key, "startedIndexes");
            list = value;
        }
    }
    if (!reason || !list.data || len < 0 || (size_t)len > total)
        return DURABLED_PROTOCOL;
    *out_len = (size_t)len;
    *out_letters = malloc(*out_len + 1);
    if (!*out_letters)
        return DURABLED_NO_MEMORY;
    memset(*out_letters, started ? LETTER_SUCCEEDED : LETTER_STARTED, *out_len);
    if (read_indexes(list, started ? LETTER_STARTED : LETTER_SUCCEEDED, *out_letters, *out_len))
        return DURABLED_OK;
    free(*out_letters);
    return DURABLED_PROTOCOL;
}
