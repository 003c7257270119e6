/* The AWS shapes over jansson; see json.h. */
#include "codec/json.h"

#include "base/alloc.h"
#include "base/limits.h"
#include "codec/json_priv.h"

/* --- reading ----------------------------------------------------------------------------- */

int json_take_text(const json_t *object, const char *name, struct dd_text **out)
{
    const json_t *value = json_object_get(object, name);

    *out = NULL;
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return -1;
    return dd_text_try_new(dd_span_make(json_string_value(value), json_string_length(value)),
                           out)
               ? 1
               : -1;
}

static int64_t take_int(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_integer(value) ? (int64_t)json_integer_value(value) : 0;
}

/* A time: integer milliseconds, or seconds with a fraction (service-api 1.1). */
static int64_t take_ms(const json_t *object, const char *name, enum dd_api_times times)
{
    double seconds;

    if (times == DD_API_MILLISECONDS)
        return take_int(object, name);
    seconds = json_number_value(json_object_get(object, name));
    return seconds > 0 && seconds < 1e12 ? (int64_t)(seconds * 1000 + 0.5) : 0;
}

/* The strings of an array; NULL when it is none. */
static struct dd_text **take_lines(const json_t *lines, uint32_t *out_len)
{
    struct dd_text **texts;

    *out_len = 0;
    if (!json_is_array(lines))
        return NULL;
    texts = dd_alloc_array(json_array_size(lines), sizeof *texts);
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i);

        if (json_is_string(line) && *out_len < DD_STACK_LINES_MAX)
            texts[(*out_len)++] =
                dd_text_new(dd_span_make(json_string_value(line), json_string_length(line)));
    }
    return texts;
}

static struct dd_error_object *take_error(const json_t *object)
{
    struct dd_text *message, *type, *data, **stack;
    uint32_t len;

    if (!json_is_object(object))
        return NULL;
    (void)json_take_text(object, "ErrorMessage", &message);
    (void)json_take_text(object, "ErrorType", &type);
    (void)json_take_text(object, "ErrorData", &data);
    stack = take_lines(json_object_get(object, "StackTrace"), &len);
    return dd_error_object_take(type, message, data, stack, len);
}

/* The details object of an operation's type (service-api 3.3). */
static bool take_details(const json_t *object, enum dd_api_times times,
                         struct dd_operation *operation)
{
    static const char *const names[] = {
        [DD_TYPE_EXECUTION] = "ExecutionDetails",
        [DD_TYPE_CONTEXT] = "ContextDetails",
        [DD_TYPE_STEP] = "StepDetails",
        [DD_TYPE_WAIT] = "WaitDetails",
        [DD_TYPE_CALLBACK] = "CallbackDetails",
        [DD_TYPE_CHAINED_INVOKE] = "ChainedInvokeDetails",
    };
    const json_t *details = json_object_get(object, names[operation->type]);
    const char *result = operation->type == DD_TYPE_EXECUTION ? "InputPayload" : "Result";

    if (!json_is_object(details))
        return true;
    operation->error = take_error(json_object_get(details, "Error"));
    operation->replay_children = json_is_true(json_object_get(details, "ReplayChildren"));
    operation->attempt = (uint32_t)take_int(details, "Attempt");
    operation->due_ms = operation->type == DD_TYPE_WAIT
                            ? take_ms(details, "ScheduledEndTimestamp", times)
                            : take_ms(details, "NextAttemptTimestamp", times);
    return json_take_text(details, result, &operation->result) >= 0 &&
           json_take_text(details, "CallbackId", &operation->callback_id) >= 0;
}

bool json_take_operation(const json_t *object, enum dd_api_times times,
                         struct dd_operation *operation)
{
    struct dd_text *type = NULL, *status = NULL;
    bool good;

    good = json_take_text(object, "Id", &operation->id) > 0 &&
           json_take_text(object, "ParentId", &operation->parent_id) >= 0 &&
           json_take_text(object, "Name", &operation->name) >= 0 &&
           json_take_text(object, "SubType", &operation->sub_type) >= 0;
    (void)json_take_text(object, "Type", &type);
    (void)json_take_text(object, "Status", &status);
    operation->type = dd_operation_type_parse(dd_text_span(type));
    operation->status = dd_operation_status_parse(dd_text_span(status));
    dd_text_unref(type);
    dd_text_unref(status);
    if (!good || !operation->type || !operation->status)
        return false;
    operation->start_ms = take_ms(object, "StartTimestamp", times);
    operation->end_ms = take_ms(object, "EndTimestamp", times);
    return take_details(object, times, operation);
}

static int take_state(const json_t *state, struct dd_event *event, struct dd_error *error)
{
    const json_t *operations = json_object_get(state, "Operations");
    int rc = 0;

    if (!json_is_object(state) || (operations && !json_is_array(operations)) ||
        json_take_text(state, "NextMarker", &event->marker) < 0)
        return dd_fail(error, DD_INVALID_PARAMETER, "event: InitialExecutionState is damaged");
    event->operations = dd_alloc_array(json_array_size(operations), sizeof *event->operations);
    for (size_t i = 0; rc == 0 && i < json_array_size(operations); i++) {
        event->operations_len++;
        if (!json_take_operation(json_array_get(operations, i), DD_API_MILLISECONDS,
                                 &event->operations[i]))
            rc = dd_fail(
                error, DD_INVALID_PARAMETER,
                "event: InitialExecutionState.Operations has an entry that is no operation");
    }
    return rc;
}

/* What is no string among them is left out: nothing depends on it. */
static void take_updated(const json_t *ids, struct dd_event *event)
{
    const json_t *id;
    size_t at;

    event->updated = dd_alloc_array(json_array_size(ids), sizeof *event->updated);
    json_array_foreach(ids, at, id)
    {
        if (json_is_string(id))
            event->updated[event->updated_len++] =
                dd_text_new(dd_span_make(json_string_value(id), json_string_length(id)));
    }
}

int dd_json_parse_event(struct dd_span json, struct dd_event *out_event, struct dd_error *error)
{
    json_t *root = json_loadb(json.data, json.len, JSON_LOAD_FLAGS, NULL);
    int rc;

    *out_event = (struct dd_event){0};
    if (!json_is_object(root) ||
        json_take_text(root, "DurableExecutionArn", &out_event->arn) <= 0 ||
        json_take_text(root, "CheckpointToken", &out_event->token) <= 0)
        rc = dd_fail(error, DD_INVALID_PARAMETER,
                     "event: no DurableExecutionArn and CheckpointToken; the function was not "
                     "invoked as a durable one");
    else
        rc = take_state(json_object_get(root, "InitialExecutionState"), out_event, error);
    if (rc == 0)
        take_updated(json_object_get(root, "UpdatedOperationIds"), out_event);
    json_decref(root);
    if (rc)
        dd_event_deinit(out_event);
    return rc;
}

int dd_json_parse_sandbox_event(struct dd_span json, struct dd_sandbox_event *out_event,
                                struct dd_error *error)
{
    json_t *root = json_loadb(json.data, json.len, JSON_LOAD_FLAGS, NULL);
    bool good;

    *out_event = (struct dd_sandbox_event){.deadline_ms = take_int(root, "deadlineMs")};
    good = json_take_text(root, "eventType", &out_event->type) > 0 &&
           json_take_text(root, "requestId", &out_event->request_id) >= 0 &&
           json_take_text(root, "shutdownReason", &out_event->reason) >= 0;
    json_decref(root);
    if (good)
        return 0;
    dd_sandbox_event_deinit(out_event);
    return dd_fail(error, DD_SERIALIZATION, "what it tells is no event");
}

void dd_sandbox_event_deinit(struct dd_sandbox_event *event)
{
    dd_text_unref(event->type);
    dd_text_unref(event->request_id);
    dd_text_unref(event->reason);
    *event = (struct dd_sandbox_event){0};
}

void dd_event_deinit(struct dd_event *event)
{
    for (size_t i = 0; i < event->operations_len; i++)
        dd_operation_deinit(&event->operations[i]);
    dd_free(event->operations);
    for (size_t i = 0; i < event->updated_len; i++)
        dd_text_unref(event->updated[i]);
    dd_free(event->updated);
    dd_text_unref(event->arn);
    dd_text_unref(event->token);
    dd_text_unref(event->marker);
    *event = (struct dd_event){0};
}

static enum dd_execution_status output_status(const json_t *root)
{
    const json_t *status = json_object_get(root, "Status");
    struct dd_span text = dd_span_cstr(json_string_value(status));

    if (dd_span_is(text, "SUCCEEDED"))
        return DD_EXECUTION_SUCCEEDED;
    if (dd_span_is(text, "FAILED"))
        return DD_EXECUTION_FAILED;
    if (dd_span_is(text, "PENDING"))
        return DD_EXECUTION_RUNNING;
    return DD_EXECUTION_NONE;
}

void dd_json_parse_output(struct dd_span json, struct dd_outcome *out_outcome)
{
    json_t *root = json.data ? json_loadb(json.data, json.len, JSON_LOAD_FLAGS, NULL) : NULL;
    const json_t *error = json_object_get(root, "Error");

    *out_outcome = (struct dd_outcome){.kind = DD_OUTCOME_RETURNED};
    out_outcome->status = output_status(root);
    out_outcome->malformed = out_outcome->status == DD_EXECUTION_NONE ||
                             json_take_text(root, "Result", &out_outcome->result) < 0 ||
                             (error && !json_is_null(error) && !json_is_object(error));
    out_outcome->error = take_error(error);
    json_decref(root);
}

struct dd_error_object *dd_json_parse_failure(struct dd_span json, struct dd_span type)
{
    json_t *root = json.data ? json_loadb(json.data, json.len, JSON_LOAD_FLAGS, NULL) : NULL;
    struct dd_text *message, *given, **stack;
    uint32_t len;

    (void)json_take_text(root, "errorMessage", &message);
    if (json_take_text(root, "errorType", &given) <= 0 || given->len == 0) {
        dd_text_unref(given);
        given = dd_text_new(type);
    }
    stack = take_lines(json_object_get(root, "stackTrace"), &len);
    if (!stack)
        stack = take_lines(json_object_get(root, "trace"), &len); /* Node.js's name */
    json_decref(root);
    return dd_error_object_take(given, message, NULL, stack, len);
}

void dd_outcome_deinit(struct dd_outcome *outcome)
{
    dd_text_unref(outcome->result);
    dd_error_object_unref(outcome->error);
    *outcome = (struct dd_outcome){0};
}

void dd_json_parse_line(struct dd_span line, struct dd_text **out_level,
                        struct dd_text **out_message)
{
    json_t *root = line.len > 0 && line.data[0] == '{'
                       ? json_loadb(line.data, line.len, JSON_LOAD_FLAGS, NULL)
                       : NULL;

    (void)json_take_text(root, "level", out_level);
    if (json_take_text(root, "message", out_message) <= 0)
        *out_message = dd_text_new(line);
    json_decref(root);
}

/* --- writing ----------------------------------------------------------------------------- */

static json_t *text_value(const struct dd_text *text)
{
    return json_stringn_nocheck(text->data, text->len);
}

static void set_text(json_t *object, const char *name, const struct dd_text *text)
{
    if (text)
        json_object_set_new_nocheck(object, name, text_value(text));
}

static int append(const char *bytes, size_t len, void *user)
{
    struct dd_buf *buf = user;

    dd_buf_append(buf, bytes, len);
    return buf->failed ? -1 : 0;
}

static void dump(struct dd_buf *out, json_t *root)
{
    if (json_dump_callback(root, append, out, JSON_COMPACT) != 0)
        out->failed = true;
    json_decref(root);
}

void dd_json_write_envelope(struct dd_buf *out, const struct dd_envelope *envelope)
{
    json_t *root = json_object(), *state = json_object(), *ids = json_array();

    set_text(root, "DurableExecutionArn", envelope->arn);
    set_text(root, "CheckpointToken", envelope->token);
    json_object_set_new_nocheck(state, "Operations", json_array());
    json_object_set_new_nocheck(state, "NextMarker", text_value(envelope->marker));
    json_object_set_new_nocheck(root, "InitialExecutionState", state);
    for (size_t i = 0; i < envelope->updated_ids_len; i++)
        json_array_append_new(ids, text_value(envelope->updated_ids[i]));
    json_object_set_new_nocheck(root, "UpdatedOperationIds", ids);
    dump(out, root);
}

static void set_lines(json_t *object, const char *name, const struct dd_error_object *error)
{
    json_t *lines = json_array();

    for (uint32_t i = 0; i < error->stack_len; i++)
        json_array_append_new(lines, text_value(error->stack[i]));
    json_object_set_new_nocheck(object, name, lines);
}

static json_t *error_value(const struct dd_error_object *error)
{
    json_t *object = json_object();

    set_text(object, "ErrorMessage", error->message);
    set_text(object, "ErrorType", error->type);
    set_text(object, "ErrorData", error->data);
    if (error->stack)
        set_lines(object, "StackTrace", error);
    return object;
}

void dd_json_write_failure(struct dd_buf *out, const struct dd_error_object *error)
{
    json_t *root = json_object();

    set_text(root, "errorMessage", error->message);
    set_text(root, "errorType", error->type);
    set_lines(root, "stackTrace", error);
    dump(out, root);
}

void dd_json_write_output(struct dd_buf *out, const struct dd_answer *answer)
{
    json_t *root = json_object();
    const char *status = answer->outcome == DD_EXECUTION_RUNNING
                             ? "PENDING"
                             : dd_execution_status_name(answer->outcome);

    json_object_set_new_nocheck(root, "Status", json_string(status));
    set_text(root, "Result", answer->payload);
    if (answer->failure)
        json_object_set_new_nocheck(root, "Error", error_value(answer->failure));
    dump(out, root);
}
