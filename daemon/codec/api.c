/* The HTTP API's JSON; see api.h. */
#include "codec/api.h"

#include <inttypes.h>
#include <jansson.h>
#include <msgpack.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/limits.h"

/* --- reading ----------------------------------------------------------------------------- */

/* Reads members, and remembers what is wrong with them: the first of another JSON type
 * ends the reading, violations of the model are gathered. */
struct reader {
    struct dd_violations *violations;
    struct dd_error *error;
    int rc;
    char path[96]; /* of the object being read, as the model names it; "" or "a.b." */
};

static const char *kind_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "START_OBJECT";
    case JSON_ARRAY:
        return "START_ARRAY";
    case JSON_STRING:
        return "STRING_VALUE";
    case JSON_INTEGER:
    case JSON_REAL:
        return "NUMBER_VALUE";
    case JSON_TRUE:
        return "TRUE_VALUE";
    case JSON_FALSE:
        return "FALSE_VALUE";
    case JSON_NULL:
        return "NULL_VALUE";
    }
    dd_unreachable();
}

/* Where member `name` is: AWS writes it with a small first letter. */
static void member_path(const struct reader *reader, const char *name, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "%s", reader->path);

    snprintf(out + at, size - at, "%s", name);
    if (out[at] >= 'A' && out[at] <= 'Z')
        out[at] = (char)(out[at] - 'A' + 'a');
}

static const json_t *refuse(struct reader *reader, const char *name, const json_t *value,
                            const char *wanted)
{
    char path[128];

    member_path(reader, name, path, sizeof path);
    reader->rc = dd_fail(reader->error, DD_SERIALIZATION, "%s: %s can not be converted to %s",
                         path, kind_name(value), wanted);
    return NULL;
}

/* A member of JSON's `type`; NULL when absent, null, or refused. */
static const json_t *member(struct reader *reader, const json_t *object, const char *name,
                            json_type type, const char *wanted)
{
    const json_t *value = json_object_get(object, name);

    if (reader->rc || !value || json_is_null(value))
        return NULL;
    return json_typeof(value) == type ? value : refuse(reader, name, value, wanted);
}

static struct dd_span string_span(const json_t *value)
{
    return value ? dd_span_make(json_string_value(value), json_string_length(value))
                 : DD_SPAN_NONE;
}

static struct dd_span read_span(struct reader *reader, const json_t *object, const char *name)
{
    return string_span(member(reader, object, name, JSON_STRING, "String"));
}

static struct dd_text *read_text(struct reader *reader, const json_t *object, const char *name)
{
    struct dd_text *text;

    if (!dd_text_try_new(read_span(reader, object, name), &text)) {
        reader->rc = dd_fail(reader->error, DD_NO_MEMORY, "no memory for a request");
        return NULL;
    }
    return text;
}

static void read_int(struct reader *reader, const json_t *object, const char *name,
                     int64_t *out)
{
    const json_t *value = member(reader, object, name, JSON_INTEGER, "Integer");

    if (value)
        *out = json_integer_value(value);
}

static bool read_bool(struct reader *reader, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    if (!reader->rc && value && !json_is_null(value) && !json_is_boolean(value))
        (void)refuse(reader, name, value, "Boolean");
    return json_is_true(value);
}

/* An enum that must be there; `parse` and `names` are its own. */
static int read_enum(struct reader *reader, const json_t *object, const char *name,
                     int (*parse)(struct dd_span), const char *names)
{
    struct dd_span span = read_span(reader, object, name);
    int value = span.data ? parse(span) : 0;
    char path[128];

    if (reader->rc || value)
        return value;
    member_path(reader, name, path, sizeof path);
    if (span.data)
        dd_violate_enum(reader->violations, span, path, names);
    else
        dd_violate_null(reader->violations, path);
    return 0;
}

static int parse_type(struct dd_span span)
{
    return (int)dd_operation_type_parse(span);
}

static int parse_action(struct dd_span span)
{
    return (int)dd_action_parse(span);
}

/* The names of an enum as the message shows them, after the first ", ". */
#define X(symbol, name) ", " name
static const char types[] = DD_OPERATION_TYPES(X);
static const char actions[] = DD_ACTIONS(X);
#undef X

static void read_stack(struct reader *reader, const json_t *object, struct dd_text ***out,
                       uint32_t *out_len)
{
    const json_t *lines = member(reader, object, "StackTrace", JSON_ARRAY, "List");

    if (!lines)
        return;
    *out = dd_alloc_array(json_array_size(lines), sizeof **out);
    for (size_t i = 0; i < json_array_size(lines) && !reader->rc; i++) {
        const json_t *line = json_array_get(lines, i);

        if (json_is_string(line))
            (*out)[(*out_len)++] = dd_text_new(string_span(line));
        else
            (void)refuse(reader, "StackTrace", line, "String");
    }
}

static struct dd_error_object *read_error(struct reader *reader, const json_t *object)
{
    struct dd_text *type = read_text(reader, object, "ErrorType");
    struct dd_text *message = read_text(reader, object, "ErrorMessage");
    struct dd_text *data = read_text(reader, object, "ErrorData");
    struct dd_text **stack = NULL;
    uint32_t len = 0;

    read_stack(reader, object, &stack, &len);
    return dd_error_object_take(type, message, data, stack, len);
}

static const json_t *read_object(struct reader *reader, const json_t *object, const char *name)
{
    return member(reader, object, name, JSON_OBJECT, "Structure");
}

static void read_update(struct reader *reader, const json_t *object, struct dd_update *update)
{
    const json_t *error = read_object(reader, object, "Error");
    const json_t *context = read_object(reader, object, "ContextOptions");
    const json_t *step = read_object(reader, object, "StepOptions");
    const json_t *wait = read_object(reader, object, "WaitOptions");
    const json_t *callback = read_object(reader, object, "CallbackOptions");
    const json_t *invoke = read_object(reader, object, "ChainedInvokeOptions");

    update->id = read_text(reader, object, "Id");
    update->parent_id = read_text(reader, object, "ParentId");
    update->name = read_text(reader, object, "Name");
    update->sub_type = read_text(reader, object, "SubType");
    update->payload = read_text(reader, object, "Payload");
    update->type =
        (enum dd_operation_type)read_enum(reader, object, "Type", parse_type, types + 2);
    update->action =
        (enum dd_action)read_enum(reader, object, "Action", parse_action, actions + 2);
    if (error)
        update->error = read_error(reader, error);
    update->has_context_options = context != NULL;
    update->replay_children = context && read_bool(reader, context, "ReplayChildren");
    update->has_step_options = step != NULL;
    if (step)
        read_int(reader, step, "NextAttemptDelaySeconds", &update->next_attempt_delay_s);
    update->has_wait_options = wait != NULL;
    if (wait)
        read_int(reader, wait, "WaitSeconds", &update->wait_s);
    update->has_callback_options = callback != NULL;
    if (callback) {
        read_int(reader, callback, "TimeoutSeconds", &update->timeout_s);
        read_int(reader, callback, "HeartbeatTimeoutSeconds", &update->heartbeat_timeout_s);
    }
    update->has_invoke_options = invoke != NULL;
    if (invoke) {
        update->function_name = read_text(reader, invoke, "FunctionName");
        update->tenant_id = read_text(reader, invoke, "TenantId");
    }
}

static void read_updates(struct reader *reader, const json_t *root,
                         struct dd_checkpoint_request *out)
{
    const json_t *updates = member(reader, root, "Updates", JSON_ARRAY, "List");
    size_t len = json_array_size(updates);

    if (reader->rc || len == 0)
        return;
    out->updates = dd_try_alloc(len * sizeof *out->updates);
    if (!out->updates) {
        reader->rc = dd_fail(reader->error, DD_NO_MEMORY, "no memory for %zu updates", len);
        return;
    }
    memset(out->updates, 0, len * sizeof *out->updates);
    for (size_t i = 0; i < len && !reader->rc; i++) {
        const json_t *update = json_array_get(updates, i);

        snprintf(reader->path, sizeof reader->path, "updates.%zu.member.", i + 1);
        out->updates_len++;
        if (json_is_object(update))
            read_update(reader, update, &out->updates[i]);
        else
            (void)refuse(reader, "", update, "Structure");
    }
}

/* The body as a JSON object. */
static json_t *load_object(struct dd_span json, struct reader *reader)
{
    json_error_t why = {0};
    json_t *root = json_loadb(json.data, json.len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &why);

    if (!root)
        reader->rc = dd_fail(reader->error, DD_SERIALIZATION,
                             "the request body is no JSON: %s at line %d column %d", why.text,
                             why.line, why.column);
    else if (!json_is_object(root))
        reader->rc =
            dd_fail(reader->error, DD_SERIALIZATION,
                    "the request body: %s can not be converted to Structure", kind_name(root));
    return root;
}

int dd_api_read_checkpoint(struct dd_span json, struct dd_checkpoint_request *out,
                           struct dd_violations *violations, struct dd_error *error)
{
    struct reader reader = {.violations = violations, .error = error};
    json_t *root = load_object(json, &reader);

    *out = (struct dd_checkpoint_request){0};
    if (reader.rc == 0) {
        out->token = read_text(&reader, root, "CheckpointToken");
        out->client_token = read_text(&reader, root, "ClientToken");
        read_updates(&reader, root, out);
    }
    json_decref(root);
    return reader.rc;
}

void dd_checkpoint_request_deinit(struct dd_checkpoint_request *request)
{
    for (size_t i = 0; i < request->updates_len; i++)
        dd_update_deinit(&request->updates[i]);
    dd_free(request->updates);
    dd_text_unref(request->token);
    dd_text_unref(request->client_token);
    *request = (struct dd_checkpoint_request){0};
}

int dd_api_read_error(struct dd_span json, struct dd_error_object **out, struct dd_error *error)
{
    struct reader reader = {.error = error};
    json_t *root;

    *out = NULL;
    if (json.len == 0)
        return 0;
    root = load_object(json, &reader);
    if (reader.rc == 0)
        *out = read_error(&reader, root);
    json_decref(root);
    if (reader.rc) {
        dd_error_object_unref(*out);
        *out = NULL;
    }
    return reader.rc;
}

/* --- writing ----------------------------------------------------------------------------- */

void dd_api_write_string(struct dd_buf *out, struct dd_span text)
{
    size_t from = 0;

    dd_buf_append_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        dd_buf_append(out, text.data + from, i - from);
        from = i + 1;
        if (c < 0x20)
            dd_buf_printf(out, "\\u%04x", c);
        else
            dd_buf_append(out, (const char[]){'\\', (char)c}, 2);
    }
    dd_buf_append(out, text.data + from, text.len - from);
    dd_buf_append_byte(out, '"');
}

static void write_string(struct dd_buf *out, const msgpack_object_str *string)
{
    dd_api_write_string(out, dd_span_make(string->ptr, string->size));
}

static bool is_time(const msgpack_object_str *name)
{
    static const char end[] = "Timestamp";
    size_t len = sizeof end - 1;

    return name->size >= len && memcmp(name->ptr + name->size - len, end, len) == 0;
}

static void write_value(struct dd_buf *out, const msgpack_object *value,
                        enum dd_api_times times, bool time);

static void write_map(struct dd_buf *out, const msgpack_object_map *map,
                      enum dd_api_times times)
{
    dd_buf_append_byte(out, '{');
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object_str *name = &map->ptr[i].key.via.str;

        if (i > 0)
            dd_buf_append_byte(out, ',');
        write_string(out, name);
        dd_buf_append_byte(out, ':');
        write_value(out, &map->ptr[i].val, times, is_time(name));
    }
    dd_buf_append_byte(out, '}');
}

static void write_array(struct dd_buf *out, const msgpack_object_array *array,
                        enum dd_api_times times)
{
    dd_buf_append_byte(out, '[');
    for (uint32_t i = 0; i < array->size; i++) {
        if (i > 0)
            dd_buf_append_byte(out, ',');
        write_value(out, &array->ptr[i], times, false);
    }
    dd_buf_append_byte(out, ']');
}

static void write_value(struct dd_buf *out, const msgpack_object *value,
                        enum dd_api_times times, bool time)
{
    switch (value->type) {
    case MSGPACK_OBJECT_MAP:
        write_map(out, &value->via.map, times);
        return;
    case MSGPACK_OBJECT_ARRAY:
        write_array(out, &value->via.array, times);
        return;
    case MSGPACK_OBJECT_STR:
        write_string(out, &value->via.str);
        return;
    case MSGPACK_OBJECT_BOOLEAN:
        dd_buf_append_cstr(out, value->via.boolean ? "true" : "false");
        return;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        if (time && times == DD_API_SECONDS)
            dd_buf_printf(out, "%" PRIu64 ".%03" PRIu64, value->via.u64 / 1000,
                          value->via.u64 % 1000);
        else
            dd_buf_printf(out, "%" PRIu64, value->via.u64);
        return;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        dd_buf_printf(out, "%" PRId64, value->via.i64);
        return;
    default: /* our shapes have no other types */
        dd_buf_append_cstr(out, "null");
    }
}

void dd_api_write(struct dd_buf *out, struct dd_span packed, enum dd_api_times times)
{
    msgpack_unpacked unpacked;
    size_t offset = 0;

    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, packed.data, packed.len, &offset) ==
        MSGPACK_UNPACK_SUCCESS)
        write_value(out, &unpacked.data, times, false);
    else
        out->failed = true;
    msgpack_unpacked_destroy(&unpacked);
}
