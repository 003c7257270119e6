/* What is asked of AWS's API, and what it answers; see api.h. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "codec/http.h"
#include "codec/json_priv.h"
#include "codec/pack.h"

/* --- requests ---------------------------------------------------------------------------- */

/* A member after others. */
static void write_member(struct dd_buf *out, const char *name, struct dd_span value)
{
    if (!value.data)
        return;
    dd_buf_printf(out, ",\"%s\":", name);
    dd_api_write_string(out, value);
}

static void write_text(struct dd_buf *out, const char *name, const struct dd_text *text)
{
    write_member(out, name, dd_text_span(text));
}

static void write_error(struct dd_buf *out, const struct dd_error_object *error)
{
    size_t from = out->len + 1;

    write_text(out, "ErrorMessage", error->message);
    write_text(out, "ErrorType", error->type);
    write_text(out, "ErrorData", error->data);
    if (error->stack) {
        dd_buf_append_cstr(out, ",\"StackTrace\":[");
        for (uint32_t i = 0; i < error->stack_len; i++) {
            if (i > 0)
                dd_buf_append_byte(out, ',');
            dd_api_write_string(out, dd_text_span(error->stack[i]));
        }
        dd_buf_append_byte(out, ']');
    }
    /* The first member's comma opens the object. */
    if (out->failed || out->len < from)
        dd_buf_append_byte(out, '{');
    else
        out->data[from - 1] = '{';
    dd_buf_append_byte(out, '}');
}

static void write_options(struct dd_buf *out, const struct dd_update *update)
{
    if (update->has_context_options)
        dd_buf_printf(out, ",\"ContextOptions\":{\"ReplayChildren\":%s}",
                      update->replay_children ? "true" : "false");
    if (update->has_step_options)
        dd_buf_printf(out, ",\"StepOptions\":{\"NextAttemptDelaySeconds\":%lld}",
                      (long long)update->next_attempt_delay_s);
    if (update->has_wait_options)
        dd_buf_printf(out, ",\"WaitOptions\":{\"WaitSeconds\":%lld}",
                      (long long)update->wait_s);
    if (update->has_callback_options)
        dd_buf_printf(out,
                      ",\"CallbackOptions\":{\"TimeoutSeconds\":%lld,"
                      "\"HeartbeatTimeoutSeconds\":%lld}",
                      (long long)update->timeout_s, (long long)update->heartbeat_timeout_s);
    if (update->has_invoke_options) {
        dd_buf_append_cstr(out, ",\"ChainedInvokeOptions\":{\"FunctionName\":");
        dd_api_write_string(out, dd_text_span(update->function_name));
        write_text(out, "TenantId", update->tenant_id);
        dd_buf_append_byte(out, '}');
    }
}

/* In the order of sdk-semantics 2.4. */
static void write_update(struct dd_buf *out, const struct dd_update *update)
{
    dd_buf_append_cstr(out, "{\"Id\":");
    dd_api_write_string(out, dd_text_span(update->id));
    write_member(out, "Type", dd_span_cstr(dd_operation_type_name(update->type)));
    write_member(out, "Action", dd_span_cstr(dd_action_name(update->action)));
    write_text(out, "ParentId", update->parent_id);
    write_text(out, "Name", update->name);
    write_text(out, "SubType", update->sub_type);
    write_text(out, "Payload", update->payload);
    if (update->error) {
        dd_buf_append_cstr(out, ",\"Error\":");
        write_error(out, update->error);
    }
    write_options(out, update);
    dd_buf_append_byte(out, '}');
}

void dd_api_write_checkpoint(struct dd_buf *out, struct dd_span token,
                             struct dd_span client_token, const struct dd_update *updates,
                             size_t updates_len)
{
    dd_buf_append_cstr(out, "{\"CheckpointToken\":");
    dd_api_write_string(out, token);
    dd_buf_append_cstr(out, ",\"Updates\":[");
    for (size_t i = 0; i < updates_len; i++) {
        if (i > 0)
            dd_buf_append_byte(out, ',');
        write_update(out, &updates[i]);
    }
    dd_buf_append_byte(out, ']');
    write_member(out, "ClientToken", client_token);
    dd_buf_append_byte(out, '}');
}

/* --- answers ----------------------------------------------------------------------------- */

void dd_api_state_deinit(struct dd_api_state *state)
{
    dd_text_unref(state->token);
    dd_text_unref(state->marker);
    for (size_t i = 0; i < state->operations_len; i++)
        dd_operation_deinit(&state->operations[i]);
    dd_free(state->operations);
    *state = (struct dd_api_state){0};
}

static int no_answer(struct dd_error *error, const char *what)
{
    return dd_fail(error, DD_SERIALIZATION, "the answer is none of the API's: %s", what);
}

static int take_operations(const json_t *object, struct dd_api_state *state,
                           struct dd_error *error)
{
    const json_t *operations = json_object_get(object, "Operations");
    size_t len = json_array_size(operations);
    struct dd_operation *longer;

    if (operations && !json_is_null(operations) && !json_is_array(operations))
        return no_answer(error, "Operations");
    if (json_take_text(object, "NextMarker", &state->marker) < 0)
        return no_answer(error, "NextMarker");
    if (len == 0)
        return 0;
    longer = dd_try_realloc(state->operations,
                            (state->operations_len + len) * sizeof *state->operations);
    if (!longer)
        return dd_fail(error, DD_NO_MEMORY, "no memory for %zu operations", len);
    state->operations = longer;
    for (size_t i = 0; i < len; i++) {
        struct dd_operation *operation = &state->operations[state->operations_len++];

        *operation = (struct dd_operation){0};
        if (!json_take_operation(json_array_get(operations, i), DD_API_SECONDS, operation))
            return no_answer(error, "an entry of Operations");
    }
    return 0;
}

static json_t *load_object(struct dd_span json, struct dd_error *error)
{
    json_t *root = json_loadb(json.data, json.len, JSON_LOAD_FLAGS, NULL);

    if (json_is_object(root))
        return root;
    json_decref(root);
    (void)no_answer(error, "it is no JSON object");
    return NULL;
}

static void forget_page(struct dd_api_state *state)
{
    dd_text_unref(state->marker);
    state->marker = NULL;
}

int dd_api_read_checkpointed(struct dd_span json, struct dd_api_state *state,
                             struct dd_error *error)
{
    json_t *root = load_object(json, error);
    const json_t *changes = json_object_get(root, "NewExecutionState");
    int rc = 0;

    if (!root)
        return DD_SERIALIZATION;
    forget_page(state);
    dd_text_unref(state->token);
    if (json_take_text(root, "CheckpointToken", &state->token) < 0)
        rc = no_answer(error, "CheckpointToken");
    else if (json_is_object(changes))
        rc = take_operations(changes, state, error);
    else
        rc = no_answer(error, "NewExecutionState");
    json_decref(root);
    return rc;
}

int dd_api_read_page(struct dd_span json, struct dd_api_state *state, struct dd_error *error)
{
    json_t *root = load_object(json, error);
    int rc;

    if (!root)
        return DD_SERIALIZATION;
    forget_page(state);
    rc = json_is_array(json_object_get(root, "Operations"))
             ? take_operations(root, state, error)
             : no_answer(error, "Operations");
    json_decref(root);
    return rc;
}

static void pack_value(msgpack_packer *packer, const char *name, const json_t *value);

static void pack_object(msgpack_packer *packer, const json_t *object)
{
    const char *name;
    json_t *value;

    msgpack_pack_map(packer, json_object_size(object));
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        dd_pack_cstr(packer, name);
        pack_value(packer, name, value);
    }
}

static void pack_array(msgpack_packer *packer, const json_t *array)
{
    msgpack_pack_array(packer, json_array_size(array));
    for (size_t i = 0; i < json_array_size(array); i++)
        pack_value(packer, "", json_array_get(array, i));
}

/* Whether a member is a time: in seconds in the API's answers, in milliseconds packed. */
static bool is_time(const char *name)
{
    static const char end[] = "Timestamp";
    size_t len = strlen(name), end_len = sizeof end - 1;

    return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

/* Beyond any calendar there is none. */
static void pack_time(msgpack_packer *packer, double seconds)
{
    msgpack_pack_int64(packer,
                       seconds > 0 && seconds < 1e12 ? (int64_t)(seconds * 1000 + 0.5) : 0);
}

static void pack_value(msgpack_packer *packer, const char *name, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        pack_object(packer, value);
        return;
    case JSON_ARRAY:
        pack_array(packer, value);
        return;
    case JSON_STRING:
        dd_pack_span(packer, dd_span_make(json_string_value(value), json_string_length(value)));
        return;
    case JSON_INTEGER:
        if (is_time(name))
            pack_time(packer, (double)json_integer_value(value));
        else
            msgpack_pack_int64(packer, json_integer_value(value));
        return;
    case JSON_REAL:
        if (is_time(name))
            pack_time(packer, json_real_value(value));
        else
            msgpack_pack_double(packer, json_real_value(value));
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        dd_pack_bool(packer, json_is_true(value));
        return;
    case JSON_NULL:
        msgpack_pack_nil(packer);
        return;
    }
    dd_unreachable();
}

int dd_api_pack(struct dd_span json, struct dd_buf *out, struct dd_error *error)
{
    json_t *root = load_object(json, error);
    msgpack_packer packer;

    if (!root)
        return DD_SERIALIZATION;
    dd_pack_init(&packer, out);
    pack_value(&packer, "", root);
    json_decref(root);
    return out->failed ? dd_fail(error, DD_NO_MEMORY, "no memory for an answer") : 0;
}

/* "namespace#Type:http://..." without what is not the type. */
static struct dd_text *bare_type(struct dd_span text)
{
    const char *hash;

    if (!text.data)
        return NULL;
    hash = memchr(text.data, '#', text.len);
    if (hash)
        text = dd_span_make(hash + 1, text.len - (size_t)(hash + 1 - text.data));
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == ':' || text.data[i] == ',')
            text.len = i;
    }
    return text.len > 0 && text.len <= 128 ? dd_text_new(text) : NULL;
}

static struct dd_span string_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_string(value)
               ? dd_span_make(json_string_value(value), json_string_length(value))
               : DD_SPAN_NONE;
}

void dd_api_read_failure(struct dd_span header, struct dd_span json, struct dd_text **out_type,
                         struct dd_text **out_message)
{
    static const char *const names[] = {"code", "__type"};
    json_t *root = json_loadb(json.data, json.len, JSON_LOAD_FLAGS, NULL);

    *out_type = bare_type(header);
    for (size_t i = 0; !*out_type && i < DD_COUNT(names); i++)
        *out_type = bare_type(string_of(root, names[i]));
    if (json_take_text(root, "message", out_message) <= 0)
        (void)json_take_text(root, "Message", out_message);
    json_decref(root);
}

/* --- keys -------------------------------------------------------------------------------- */

int dd_api_read_keys(struct dd_span json, struct dd_api_keys *out, struct dd_error *error)
{
    json_t *root = load_object(json, error);
    struct dd_span expires = string_of(root, "Expiration");
    int rc = 0;

    *out = (struct dd_api_keys){0};
    if (!root)
        return DD_SERIALIZATION;
    if (json_take_text(root, "AccessKeyId", &out->access_key) <= 0 ||
        json_take_text(root, "SecretAccessKey", &out->secret_key) <= 0 ||
        json_take_text(root, "Token", &out->token) < 0 ||
        (expires.data && !dd_http_date(expires, &out->expires_ms)))
        rc = no_answer(error, "these are no credentials");
    json_decref(root);
    if (rc)
        dd_api_keys_deinit(out);
    return rc;
}

void dd_api_keys_deinit(struct dd_api_keys *keys)
{
    dd_text_unref(keys->access_key);
    dd_text_unref(keys->secret_key);
    dd_text_unref(keys->token);
    *keys = (struct dd_api_keys){0};
}
