/* Executions, for any program: one call each, its answer as a small struct. */
#include <stdlib.h>
#include <string.h>

#include "priv.h"

/* What every such call ends with: the answer was there, but memory was not. */
static int out_of_memory(struct durabled_reply *reply, struct durabled_error *error)
{
    durabled_reply_free(reply);
    return error_set(error, DURABLED_NO_MEMORY, "out of memory for an answer");
}

/* Names the first member that should be a text and is none. */
static int lacks(struct durabled_reply *reply, const char *member, struct durabled_error *error)
{
    durabled_reply_free(reply);
    return error_set(error, DURABLED_PROTOCOL, "the daemon's answer lacks `%s`", member);
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* The ErrorObject `key` of `map`, copied into the reply's memory; NULL: none. */
static const struct durabled_failure *reply_failure(struct durabled_reply *reply,
                                                    const msgpack_object *map, const char *key)
{
    const msgpack_object *object = map_get(map, key), *lines;
    struct durabled_failure *failure;

    if (!object || object->type != MSGPACK_OBJECT_MAP)
        return NULL;
    failure = reply_alloc(reply, 1, sizeof *failure);
    if (!failure)
        return NULL;
    failure->type = reply_text(reply, object, "ErrorType").data;
    failure->message = reply_text(reply, object, "ErrorMessage").data;
    failure->data = reply_text(reply, object, "ErrorData").data;
    lines = map_get(object, "StackTrace");
    if (!lines || lines->type != MSGPACK_OBJECT_ARRAY)
        return failure;
    failure->stack_trace = reply_alloc(reply, lines->via.array.size, sizeof(char *));
    for (uint32_t i = 0; failure->stack_trace && i < lines->via.array.size; i++) {
        const msgpack_object *line = &lines->via.array.ptr[i];
        char *copy;

        if (line->type != MSGPACK_OBJECT_STR)
            continue;
        copy = reply_alloc(reply, line->via.str.size, 1);
        if (!copy)
            break;
        memcpy(copy, line->via.str.ptr, line->via.str.size);
        failure->stack_trace[failure->stack_trace_len++] = copy;
    }
    return failure;
}

/* An array member: its length and, in `*out_objects`, its elements. */
static size_t map_array(const msgpack_object *map, const char *key,
                        const msgpack_object **out_objects)
{
    const msgpack_object *array = map_get(map, key);

    if (!array || array->type != MSGPACK_OBJECT_ARRAY)
        return 0;
    *out_objects = array->via.array.ptr;
    return array->via.array.size;
}

/* --- start, wait ------------------------------------------------------------------------- */

int durabled_client_start(struct durabled *connection, const char *function,
                          const struct durabled_start_options *options,
                          struct durabled_started *out, struct durabled_error *error)
{
    struct durabled_started started = {0};
    struct params params;
    int rc;

    params_init(&params);
    params_text(&params, "function", function);
    if (options) {
        params_text(&params, "name", options->name);
        params_text_len(&params, "payload", options->payload, options->payload_len);
        if (options->execution_timeout_s > 0)
            params_int(&params, "execution_timeout_s", options->execution_timeout_s);
    }
    rc = call_run(connection, NULL, "execution.start", &params, &started.reply, error);
    if (rc != DURABLED_OK)
        return rc;
    started.arn = reply_cstr(started.reply, &started.reply->result, "arn");
    started.name = or_empty(reply_cstr(started.reply, &started.reply->result, "name"));
    started.existing = map_bool(&started.reply->result, "existing");
    if (!started.arn)
        return lacks(started.reply, "arn", error);
    *out = started;
    return DURABLED_OK;
}

int durabled_client_wait(struct durabled *connection, const char *execution, int64_t timeout_ms,
                         struct durabled_outcome *out, struct durabled_error *error)
{
    struct durabled_outcome outcome = {0};
    struct params params;
    int rc;

    params_init(&params);
    params_text(&params, "execution", execution);
    if (timeout_ms >= 0)
        params_int(&params, "timeout_ms", timeout_ms);
    rc = call_run(connection, NULL, "execution.wait", &params, &outcome.reply, error);
    if (rc != DURABLED_OK)
        return rc;
    outcome.arn = or_empty(reply_cstr(outcome.reply, &outcome.reply->result, "arn"));
    outcome.status = reply_cstr(outcome.reply, &outcome.reply->result, "status");
    outcome.result = reply_text(outcome.reply, &outcome.reply->result, "result");
    outcome.failure = reply_failure(outcome.reply, &outcome.reply->result, "error");
    if (!outcome.status)
        return lacks(outcome.reply, "status", error);
    *out = outcome;
    return DURABLED_OK;
}

/* --- describe, list, stop ---------------------------------------------------------------- */

int durabled_client_describe_page(struct durabled *connection, const char *execution, bool data,
                                  int64_t after_operation, struct durabled_description *out,
                                  struct durabled_error *error)
{
    struct durabled_description description = {0};
    const msgpack_object *described, *operations;
    struct durabled_reply *reply;
    struct params params;
    int rc;

    params_init(&params);
    params_text(&params, "execution", execution);
    params_bool(&params, "data", data);
    if (after_operation >= 0)
        params_int(&params, "after_operation", after_operation);
    rc = call_run(connection, NULL, "execution.describe", &params, &reply, error);
    if (rc != DURABLED_OK)
        return rc;
    described = map_get(&reply->result, "execution");
    description.reply = reply;
    description.arn = reply_cstr(reply, described, "DurableExecutionArn");
    description.name = or_empty(reply_cstr(reply, described, "DurableExecutionName"));
    description.function = or_empty(reply_cstr(reply, described, "FunctionName"));
    description.status = reply_cstr(reply, described, "Status");
    description.state =
        or_empty(reply_cstr(reply, map_get(&reply->result, "standing"), "state"));
    description.start_ms = map_int(described, "StartTimestamp", 0);
    description.end_ms = map_int(described, "EndTimestamp", 0);
    description.operations_len = map_array(&reply->result, "operations", &operations);
    description.more = map_bool(&reply->result, "more");
    description.result = reply_text(reply, described, "Result");
    description.failure = reply_failure(reply, described, "Error");
    if (!description.arn || !description.status)
        return lacks(reply, "execution", error);
    *out = description;
    return DURABLED_OK;
}

int durabled_client_describe(struct durabled *connection, const char *execution, bool data,
                             struct durabled_description *out, struct durabled_error *error)
{
    return durabled_client_describe_page(connection, execution, data, -1, out, error);
}

static void pack_filter(struct params *params, const struct durabled_list_filter *filter)
{
    params_text(params, "function", filter->function);
    params_text(params, "status", filter->status);
    if (filter->since_ms > 0)
        params_int(params, "since_ms", filter->since_ms);
    if (filter->waiting)
        params_bool(params, "waiting", true);
    params_text(params, "marker", filter->marker);
    if (filter->items_max > 0)
        params_int(params, "items_max", (int64_t)filter->items_max);
}

static void read_summary(struct durabled_reply *reply, const msgpack_object *object,
                         struct durabled_summary *out)
{
    out->arn = or_empty(reply_cstr(reply, object, "arn"));
    out->name = or_empty(reply_cstr(reply, object, "name"));
    out->function = or_empty(reply_cstr(reply, object, "function"));
    out->status = or_empty(reply_cstr(reply, object, "status"));
    out->state = or_empty(reply_cstr(reply, object, "state"));
    out->start_ms = map_int(object, "start_ms", 0);
    out->end_ms = map_int(object, "end_ms", 0);
    out->until_ms = map_int(object, "until_ms", 0);
}

int durabled_client_list(struct durabled *connection, const struct durabled_list_filter *filter,
                         struct durabled_list *out, struct durabled_error *error)
{
    const msgpack_object *objects = NULL;
    struct durabled_summary *items;
    struct durabled_reply *reply;
    struct params params;
    size_t len;
    int rc;

    params_init(&params);
    if (filter)
        pack_filter(&params, filter);
    rc = call_run(connection, NULL, "execution.list", &params, &reply, error);
    if (rc != DURABLED_OK)
        return rc;
    len = map_array(&reply->result, "executions", &objects);
    items = reply_alloc(reply, len, sizeof *items);
    if (!items)
        return out_of_memory(reply, error);
    for (size_t i = 0; i < len; i++)
        read_summary(reply, &objects[i], &items[i]);
    *out =
        (struct durabled_list){reply, items, len, reply_cstr(reply, &reply->result, "marker")};
    return DURABLED_OK;
}

int durabled_client_stop(struct durabled *connection, const char *execution,
                         const struct durabled_failure *failure, struct durabled_stopped *out,
                         struct durabled_error *error)
{
    struct durabled_stopped stopped = {0};
    struct params params;
    int rc;

    params_init(&params);
    params_text(&params, "execution", execution);
    if (failure)
        params_failure(&params, "error", failure);
    rc = call_run(connection, NULL, "execution.stop", &params, &stopped.reply, error);
    if (rc != DURABLED_OK)
        return rc;
    stopped.arn = or_empty(reply_cstr(stopped.reply, &stopped.reply->result, "arn"));
    stopped.status = or_empty(reply_cstr(stopped.reply, &stopped.reply->result, "status"));
    stopped.end_ms = map_int(&stopped.reply->result, "end_ms", 0);
    *out = stopped;
    return DURABLED_OK;
}

/* --- history, logs ----------------------------------------------------------------------- */

int durabled_client_history(struct durabled *connection, const char *execution,
                            int64_t after_event, bool data, struct durabled_history *out,
                            struct durabled_error *error)
{
    const msgpack_object *objects = NULL;
    struct durabled_reply *reply;
    struct durabled_event *items;
    struct params params;
    size_t len;
    int rc;

    params_init(&params);
    params_text(&params, "execution", execution);
    if (after_event > 0)
        params_int(&params, "after_event", after_event);
    params_bool(&params, "data", data);
    rc = call_run(connection, NULL, "execution.history", &params, &reply, error);
    if (rc != DURABLED_OK)
        return rc;
    len = map_array(&reply->result, "events", &objects);
    items = reply_alloc(reply, len, sizeof *items);
    if (!items)
        return out_of_memory(reply, error);
    for (size_t i = 0; i < len; i++) {
        items[i].id = map_int(&objects[i], "EventId", 0);
        items[i].type = or_empty(reply_cstr(reply, &objects[i], "EventType"));
        items[i].time_ms = map_int(&objects[i], "EventTimestamp", 0);
        items[i].operation_id = reply_cstr(reply, &objects[i], "Id");
        items[i].name = reply_cstr(reply, &objects[i], "Name");
        items[i].parent_id = reply_cstr(reply, &objects[i], "ParentId");
    }
    *out = (struct durabled_history){reply, or_empty(reply_cstr(reply, &reply->result, "arn")),
                                     items, len, map_bool(&reply->result, "more")};
    return DURABLED_OK;
}

int durabled_client_logs(struct durabled *connection, const char *execution, int64_t after,
                         bool follow, struct durabled_logs *out, struct durabled_error *error)
{
    const msgpack_object *objects = NULL;
    struct durabled_log_line *items;
    struct durabled_reply *reply;
    struct params params;
    size_t len;
    int rc;

    params_init(&params);
    params_text(&params, "execution", execution);
    if (after > 0)
        params_int(&params, "after", after);
    params_bool(&params, "follow", follow);
    rc = call_run(connection, NULL, "execution.logs", &params, &reply, error);
    if (rc != DURABLED_OK)
        return rc;
    len = map_array(&reply->result, "lines", &objects);
    items = reply_alloc(reply, len, sizeof *items);
    if (!items)
        return out_of_memory(reply, error);
    for (size_t i = 0; i < len; i++) {
        items[i].number = map_int(&objects[i], "number", 0);
        items[i].time_ms = map_int(&objects[i], "time_ms", 0);
        items[i].level = or_empty(reply_cstr(reply, &objects[i], "level"));
        items[i].message = reply_text(reply, &objects[i], "message");
    }
    *out = (struct durabled_logs){reply,
                                  items,
                                  len,
                                  map_int(&reply->result, "next", after),
                                  map_bool(&reply->result, "closed"),
                                  map_int(&reply->result, "dropped", 0)};
    return DURABLED_OK;
}

/* --- callbacks --------------------------------------------------------------------------- */

static void callback_params(struct params *params,
                            const struct durabled_callback_name *callback)
{
    params_init(params);
    params_text(params, "callback", callback->id);
    params_text(params, "execution", callback->execution);
    params_text(params, "operation", callback->operation);
}

/* A call whose answer says nothing but that it was done. */
static int run_plain(struct durabled *connection, const char *method, struct params *params,
                     struct durabled_error *error)
{
    struct durabled_reply *reply;
    int rc = call_run(connection, NULL, method, params, &reply, error);

    if (rc == DURABLED_OK)
        durabled_reply_free(reply);
    return rc;
}

int durabled_client_callback_succeed(struct durabled *connection,
                                     const struct durabled_callback_name *callback,
                                     const char *payload, size_t len,
                                     struct durabled_error *error)
{
    struct params params;

    callback_params(&params, callback);
    params_text_len(&params, "payload", payload, len);
    return run_plain(connection, "callback.succeed", &params, error);
}

int durabled_client_callback_fail(struct durabled *connection,
                                  const struct durabled_callback_name *callback,
                                  const struct durabled_failure *failure,
                                  struct durabled_error *error)
{
    struct params params;

    callback_params(&params, callback);
    if (failure)
        params_failure(&params, "error", failure);
    return run_plain(connection, "callback.fail", &params, error);
}

int durabled_client_callback_heartbeat(struct durabled *connection,
                                       const struct durabled_callback_name *callback,
                                       struct durabled_error *error)
{
    struct params params;

    callback_params(&params, callback);
    return run_plain(connection, "callback.heartbeat", &params, error);
}

/* --- the daemon -------------------------------------------------------------------------- */

int durabled_client_functions(struct durabled *connection, struct durabled_functions *out,
                              struct durabled_error *error)
{
    const msgpack_object *objects = NULL;
    struct durabled_function_status *items;
    struct durabled_reply *reply;
    struct params params;
    size_t len;
    int rc;

    params_init(&params);
    rc = call_run(connection, NULL, "function.list", &params, &reply, error);
    if (rc != DURABLED_OK)
        return rc;
    len = map_array(&reply->result, "functions", &objects);
    items = reply_alloc(reply, len, sizeof *items);
    if (!items)
        return out_of_memory(reply, error);
    for (size_t i = 0; i < len; i++) {
        items[i].name = or_empty(reply_cstr(reply, &objects[i], "name"));
        items[i].workers = map_int(&objects[i], "workers", 0);
        items[i].slots = map_int(&objects[i], "slots", 0);
        items[i].running = map_int(&objects[i], "running", 0);
        items[i].queued = map_int(&objects[i], "queued", 0);
    }
    *out = (struct durabled_functions){reply, items, len};
    return DURABLED_OK;
}

int durabled_client_status(struct durabled *connection, struct durabled_status *out,
                           struct durabled_error *error)
{
    struct durabled_status status = {0};
    const msgpack_object *map;
    struct durabled_reply *reply;
    struct params params;
    int rc;

    params_init(&params);
    rc = call_run(connection, NULL, "daemon.status", &params, &reply, error);
    if (rc != DURABLED_OK)
        return rc;
    map = &reply->result;
    status.reply = reply;
    status.version = or_empty(reply_cstr(reply, map, "version"));
    status.mode = or_empty(reply_cstr(reply, map, "mode"));
    status.socket = or_empty(reply_cstr(reply, map, "socket"));
    status.data = or_empty(reply_cstr(reply, map, "data"));
    status.region = or_empty(reply_cstr(reply, map, "region"));
    status.account = or_empty(reply_cstr(reply, map, "account"));
    status.http = or_empty(reply_cstr(reply, map, "http"));
    status.log_level = or_empty(reply_cstr(reply, map, "log_level"));
    status.pid = map_int(map, "pid", 0);
    status.level = map_int(map, "level", 0);
    status.started_ms = map_int(map, "started_ms", 0);
    status.connections = map_int(map, "connections", 0);
    status.workers = map_int(map, "workers", 0);
    status.sessions = map_int(map, "sessions", 0);
    status.executions_loaded = map_int(map, "executions_loaded", 0);
    status.commits = map_int(map, "commits", 0);
    status.store_bytes = map_int(map, "store_bytes", 0);
    status.store_bytes_max = map_int(map, "store_bytes_max", 0);
    status.disk_free_bytes = map_int(map, "disk_free_bytes", 0);
    status.accepting = map_bool(map, "accepting");
    *out = status;
    return DURABLED_OK;
}

int durabled_client_log_level(struct durabled *connection, const char *set, char *out_level,
                              struct durabled_error *error)
{
    struct durabled_reply *reply;
    struct durabled_text level;
    struct params params;
    size_t len;
    int rc;

    params_init(&params);
    params_text(&params, "set", set);
    rc = call_run(connection, NULL, "daemon.log_level", &params, &reply, error);
    if (rc != DURABLED_OK)
        return rc;
    level = map_text(&reply->result, "log_level");
    len = level.len < 16 ? level.len : 15;
    if (len > 0)
        memcpy(out_level, level.data, len);
    out_level[len] = '\0';
    durabled_reply_free(reply);
    return DURABLED_OK;
}
