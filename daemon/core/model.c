/* Names of the model's enums, and the lifetime of its values. */
#include "core/model.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/utf8.h"

static const char *const type_names[] = {"",
#define X(symbol, name) name,
                                         DD_OPERATION_TYPES(X)
#undef X
};

static const char *const action_names[] = {"",
#define X(symbol, name) name,
                                           DD_ACTIONS(X)
#undef X
};

static const char *const operation_status_names[] = {"",
#define X(symbol, name) name,
                                                     DD_OPERATION_STATUSES(X)
#undef X
};

static const char *const execution_status_names[] = {"",
#define X(symbol, name) name,
                                                     DD_EXECUTION_STATUSES(X)
#undef X
};

/* Index of `name` in `names`, 0 (NONE) when it is not there. */
static unsigned name_index(const char *const *names, size_t count, struct dd_span name)
{
    for (unsigned i = 1; i < count; i++) {
        if (dd_span_is(name, names[i]))
            return i;
    }
    return 0;
}

/* A number may come from a stored record, so one beyond the table is no bug of ours. */
static const char *name_at(const char *const *names, size_t count, size_t index)
{
    return index < count ? names[index] : "";
}

const char *dd_operation_type_name(enum dd_operation_type type)
{
    return name_at(type_names, DD_COUNT(type_names), (size_t)type);
}

const char *dd_action_name(enum dd_action action)
{
    return name_at(action_names, DD_COUNT(action_names), (size_t)action);
}

const char *dd_operation_status_name(enum dd_operation_status status)
{
    return name_at(operation_status_names, DD_COUNT(operation_status_names), (size_t)status);
}

const char *dd_execution_status_name(enum dd_execution_status status)
{
    return name_at(execution_status_names, DD_COUNT(execution_status_names), (size_t)status);
}

enum dd_operation_type dd_operation_type_parse(struct dd_span name)
{
    return (enum dd_operation_type)name_index(type_names, DD_COUNT(type_names), name);
}

enum dd_action dd_action_parse(struct dd_span name)
{
    return (enum dd_action)name_index(action_names, DD_COUNT(action_names), name);
}

enum dd_operation_status dd_operation_status_parse(struct dd_span name)
{
    return (enum dd_operation_status)name_index(operation_status_names,
                                                DD_COUNT(operation_status_names), name);
}

enum dd_execution_status dd_execution_status_parse(struct dd_span name)
{
    return (enum dd_execution_status)name_index(execution_status_names,
                                                DD_COUNT(execution_status_names), name);
}

bool dd_operation_status_terminal(enum dd_operation_status status)
{
    return status >= DD_STATUS_SUCCEEDED;
}

struct dd_error_object *dd_error_object_new(struct dd_span type, struct dd_span message)
{
    return dd_error_object_take(dd_text_new(type), dd_text_new(message), NULL, NULL, 0);
}

struct dd_error_object *dd_error_object_take(struct dd_text *type, struct dd_text *message,
                                             struct dd_text *data, struct dd_text **stack,
                                             uint32_t stack_len)
{
    struct dd_error_object *error = dd_alloc(sizeof(*error));

    error->refs = 1;
    error->type = type;
    error->message = message;
    error->data = data;
    error->stack = stack;
    error->stack_len = stack_len;
    return error;
}

struct dd_error_object *dd_error_object_ref(struct dd_error_object *error)
{
    if (error) {
        dd_assert(error->refs < UINT32_MAX);
        error->refs++;
    }
    return error;
}

void dd_error_object_unref(struct dd_error_object *error)
{
    if (!error)
        return;
    dd_assert(error->refs > 0);
    if (--error->refs > 0)
        return;
    dd_text_unref(error->type);
    dd_text_unref(error->message);
    dd_text_unref(error->data);
    for (uint32_t i = 0; i < error->stack_len; i++)
        dd_text_unref(error->stack[i]);
    dd_free(error->stack);
    dd_free(error);
}

void dd_error_object_set(struct dd_error_object **slot, struct dd_error_object *error)
{
    struct dd_error_object *old = *slot;

    *slot = dd_error_object_ref(error);
    dd_error_object_unref(old);
}

/* Bytes of `text` as a JSON string with its quotes. */
static size_t json_string_size(const struct dd_text *text)
{
    size_t size = 2;

    for (uint32_t i = 0; i < text->len; i++) {
        unsigned char c = (unsigned char)text->data[i];

        if (c == '"' || c == '\\' || c == '\b' || c == '\f' || c == '\n' || c == '\r' ||
            c == '\t')
            size += 2;
        else if (c < 0x20)
            size += 6;
        else
            size += 1;
    }
    return size;
}

/* Bytes of `"key":value` and the comma or brace after it. */
static size_t json_member_size(struct dd_span key, const struct dd_text *text)
{
    return text ? key.len + 4 + json_string_size(text) : 0;
}

/* Bytes of a text in the JSON of an error: each may be escaped to six. */
#define ESCAPED 6

struct dd_error_object *dd_error_object_fit(struct dd_error_object *error, size_t max)
{
    struct dd_span type, message;

    if (dd_error_object_size(error) <= max)
        return dd_error_object_ref(error);
    type = dd_utf8_cut(dd_text_span(error->type), max / ESCAPED / 8);
    message = dd_utf8_cut(dd_text_span(error->message), max / ESCAPED / 2);
    return dd_error_object_new(type, message);
}

size_t dd_error_object_size(const struct dd_error_object *error)
{
    size_t size = 1;

    if (!error)
        return 0;
    size += json_member_size(DD_SPAN("ErrorMessage"), error->message);
    size += json_member_size(DD_SPAN("ErrorType"), error->type);
    size += json_member_size(DD_SPAN("ErrorData"), error->data);
    if (error->stack) {
        size += sizeof("\"StackTrace\":[],") - 1;
        for (uint32_t i = 0; i < error->stack_len; i++)
            size += json_string_size(error->stack[i]) + (i > 0);
    }
    return size == 1 ? 2 : size;
}

void dd_operation_copy(struct dd_operation *to, const struct dd_operation *from)
{
    *to = *from;
    dd_text_ref(to->id);
    dd_text_ref(to->parent_id);
    dd_text_ref(to->name);
    dd_text_ref(to->sub_type);
    dd_text_ref(to->result);
    dd_error_object_ref(to->error);
    dd_text_ref(to->callback_id);
}

void dd_operation_deinit(struct dd_operation *operation)
{
    dd_text_unref(operation->id);
    dd_text_unref(operation->parent_id);
    dd_text_unref(operation->name);
    dd_text_unref(operation->sub_type);
    dd_text_unref(operation->result);
    dd_error_object_unref(operation->error);
    dd_text_unref(operation->callback_id);
    *operation = (struct dd_operation){0};
}

void dd_update_copy(struct dd_update *to, const struct dd_update *from)
{
    *to = *from;
    dd_text_ref(to->id);
    dd_text_ref(to->parent_id);
    dd_text_ref(to->name);
    dd_text_ref(to->sub_type);
    dd_text_ref(to->payload);
    dd_error_object_ref(to->error);
    dd_text_ref(to->function_name);
    dd_text_ref(to->tenant_id);
}

void dd_update_deinit(struct dd_update *update)
{
    dd_text_unref(update->id);
    dd_text_unref(update->parent_id);
    dd_text_unref(update->name);
    dd_text_unref(update->sub_type);
    dd_text_unref(update->payload);
    dd_error_object_unref(update->error);
    dd_text_unref(update->function_name);
    dd_text_unref(update->tenant_id);
    *update = (struct dd_update){0};
}

static size_t text_size(const struct dd_text *text)
{
    return text ? text->len : 0;
}

/* Bytes of `text` inside a JSON string. */
static size_t json_size(const struct dd_text *text)
{
    size_t size = text_size(text);

    for (size_t i = 0; i < text_size(text); i++) {
        unsigned char c = (unsigned char)text->data[i];

        if (c == '"' || c == '\\')
            size++;
        else if (c < 0x20)
            size += 5;
    }
    return size;
}

size_t dd_update_size(const struct dd_update *update)
{
    return 160 + text_size(update->id) + text_size(update->parent_id) +
           text_size(update->name) + text_size(update->sub_type) + json_size(update->payload) +
           text_size(update->function_name) + text_size(update->tenant_id) +
           dd_error_object_size(update->error);
}
