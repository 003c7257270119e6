/* What each method does; see methods.h and proto/protocol.toml.
 *
 * A method reads its parameters, does its work, and either answers the call or
 * leaves it parked where something later answers it. A negative result is turned
 * into the error answer here, in one place. */
#include "engine/methods.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "codec/json.h"
#include "codec/pack.h"
#include "engine/cause.h"
#include "proto/level.h"

static void pack_int(msgpack_packer *packer, const char *name, int64_t value)
{
    dd_pack_cstr(packer, name);
    msgpack_pack_int64(packer, value);
}

static void pack_cstr(msgpack_packer *packer, const char *name, const char *value)
{
    dd_pack_cstr(packer, name);
    dd_pack_cstr(packer, value);
}

static void pack_text(msgpack_packer *packer, const char *name, const struct dd_text *text)
{
    if (!text)
        return;
    dd_pack_cstr(packer, name);
    dd_pack_text(packer, text);
}

/* --- connection -------------------------------------------------------------------------- */

static int hello(struct dd_pending *pending, struct dd_params *params, struct dd_error *error)
{
    const struct dd_engine_config *config = &pending->engine->config;
    struct dd_span client;
    msgpack_packer packer;
    int64_t level;
    int rc = dd_params_int(params, "level", DD_REQUIRED, 1, INT32_MAX, &level, error);

    if (rc == 0)
        rc = dd_params_text(params, "client", DD_REQUIRED, &client, error);
    if (rc)
        return rc;
    pending->peer->level = level < DD_LEVEL ? level : DD_LEVEL;
    dd_pack_init(&packer, &pending->result);
    msgpack_pack_map(&packer, 4);
    pack_int(&packer, "level", DD_LEVEL);
    pack_cstr(&packer, "version", config->version);
    pack_cstr(&packer, "mode", config->mode);
    pack_int(&packer, "pid", config->pid);
    dd_pending_answer(pending);
    return 0;
}

/* --- workers ----------------------------------------------------------------------------- */

/* A name as it stands in ARNs (service-api 8.2). */
static bool valid_name(struct dd_span name, size_t len_max)
{
    if (name.len == 0 || name.len > len_max)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return true;
}

static int read_function(struct dd_engine *engine, struct dd_params *params,
                         struct dd_function *out, struct dd_error *error)
{
    int64_t retention_days = 0;
    bool durable = true;
    struct dd_span name;
    int rc = dd_params_text(params, "name", DD_REQUIRED, &name, error);

    if (rc)
        return rc;
    if (!valid_name(name, DD_FUNCTION_NAME_MAX))
        return dd_params_refuse(params, "name", error,
                                "must be 1 to 64 of letters, digits, '-' and '_'");
    out->timeout_s = 0;
    out->execution_timeout_s = engine->config.default_execution_timeout_s;
    rc = dd_params_int(params, "timeout_s", DD_OPTIONAL, 1, DD_SECONDS_MAX, &out->timeout_s,
                       error);
    if (rc == 0)
        rc = dd_params_int(params, "execution_timeout_s", DD_OPTIONAL, 1, DD_SECONDS_MAX,
                           &out->execution_timeout_s, error);
    if (rc == 0)
        rc = dd_params_int(params, "retention_days", DD_OPTIONAL, 1, DD_RETENTION_DAYS_MAX,
                           &retention_days, error);
    out->retention_s =
        retention_days ? retention_days * 86400 : engine->config.default_retention_s;
    if (rc == 0)
        rc = dd_params_bool(params, "durable", &durable, error);
    out->plain = !durable;
    if (rc == 0)
        out->name = dd_text_new(name);
    return rc;
}

static int read_functions(struct dd_pending *pending, struct dd_params *params,
                          struct dd_register *out, struct dd_error *error)
{
    struct dd_array functions;
    int rc = dd_params_array(params, "functions", DD_REQUIRED, DD_WORKER_FUNCTIONS_MAX,
                             &functions, error);

    if (rc)
        return rc;
    if (functions.len == 0)
        return dd_params_refuse(params, "functions", error, "must name at least one");
    out->functions = dd_alloc_array(functions.len, sizeof *out->functions);
    for (size_t i = 0; i < functions.len; i++) {
        struct dd_params function;

        if (!dd_array_map(&functions, i, &function))
            return dd_params_refuse(params, "functions", error, "must hold maps");
        rc = read_function(pending->engine, &function, &out->functions[i], error);
        if (rc) {
            params->bad = "functions";
            return rc;
        }
        out->functions_len++;
    }
    return 0;
}

static int read_unwinding(struct dd_params *params, struct dd_register *out,
                          struct dd_error *error)
{
    struct dd_array ids;
    int rc = dd_params_array(params, "unwinding", DD_OPTIONAL, DD_WORKER_CONCURRENCY_MAX, &ids,
                             error);

    if (rc)
        return rc;
    out->unwinding = dd_alloc_array(ids.len, sizeof *out->unwinding);
    out->unwinding_len = ids.len;
    for (size_t i = 0; i < ids.len; i++) {
        if (!dd_array_text(&ids, i, &out->unwinding[i]))
            return dd_params_refuse(params, "unwinding", error, "must hold strings");
    }
    return 0;
}

static int worker_register(struct dd_pending *pending, struct dd_params *params,
                           struct dd_error *error)
{
    struct dd_register call = {0};
    int rc = read_functions(pending, params, &call, error);

    if (rc == 0)
        rc = dd_params_int(params, "concurrency", DD_REQUIRED, 1, DD_WORKER_CONCURRENCY_MAX,
                           &call.concurrency, error);
    if (rc == 0)
        rc = dd_params_text(params, "instance", DD_REQUIRED, &call.instance, error);
    if (rc == 0 && call.instance.len > DD_INSTANCE_MAX)
        rc = dd_params_refuse(params, "instance", error, "must be at most 64 bytes");
    if (rc == 0)
        rc = read_unwinding(params, &call, error);
    if (rc == 0)
        rc = dd_worker_register(pending, &call, error);
    for (size_t i = 0; i < call.functions_len; i++)
        dd_text_unref(call.functions[i].name);
    dd_free(call.functions);
    dd_free(call.unwinding);
    return rc;
}

static int own_worker(struct dd_pending *pending, struct dd_worker **out,
                      struct dd_error *error)
{
    *out = pending->peer->worker;
    if (!*out)
        return dd_fail(error, DD_OUT_OF_ORDER, "worker.register comes first");
    return 0;
}

static int worker_next(struct dd_pending *pending, struct dd_params *params,
                       struct dd_error *error)
{
    struct dd_worker *worker;
    int rc = own_worker(pending, &worker, error);

    (void)params;
    if (rc)
        return rc;
    if (worker->draining) {
        dd_wire_write_drain(&pending->result);
        dd_pending_answer(pending);
        return 0;
    }
    dd_list_push(&worker->slots, &pending->parked);
    pending->engine->dispatch_wanted = true;
    return 0;
}

/* The invocation a worker speaks of, if it is this worker's. */
static int own_invocation(struct dd_pending *pending, struct dd_params *params,
                          struct dd_invocation **out, struct dd_error *error)
{
    struct dd_worker *worker;
    struct dd_span request_id;
    int rc = own_worker(pending, &worker, error);

    if (rc == 0)
        rc = dd_params_text(params, "request_id", DD_REQUIRED, &request_id, error);
    if (rc)
        return rc;
    *out = dd_invocation_find(pending->engine, request_id);
    if (!*out || (*out)->worker != worker) {
        params->bad = "request_id";
        return dd_fail(error, DD_NOT_FOUND, "request_id: no such invocation is in flight here");
    }
    return 0;
}

/* Answers when what the execution has recorded is durable: its invocation has ended. */
static void answer_ended(struct dd_pending *pending, struct dd_uuid execution)
{
    dd_wire_write_empty(&pending->result);
    dd_pending_answer_after(pending,
                            dd_journal_position(pending->engine->config.journal, execution));
}

static int worker_respond(struct dd_pending *pending, struct dd_params *params,
                          struct dd_error *error)
{
    struct dd_invocation *invocation;
    struct dd_uuid execution;
    struct dd_span output;
    int rc = own_invocation(pending, params, &invocation, error);

    if (rc == 0)
        rc = dd_params_text(params, "output", DD_REQUIRED, &output, error);
    if (rc)
        return rc;
    execution = invocation->execution;
    if (!dd_invocation_respond(pending->engine, invocation, output))
        return dd_fail(error, DD_NO_MEMORY, "output: out of memory");
    answer_ended(pending, execution);
    return 0;
}

static int worker_fail(struct dd_pending *pending, struct dd_params *params,
                       struct dd_error *error)
{
    struct dd_invocation *invocation;
    struct dd_outcome outcome = {.kind = DD_OUTCOME_FAILED};
    struct dd_uuid execution;
    int rc = own_invocation(pending, params, &invocation, error);

    if (rc == 0)
        rc = dd_wire_read_error(params, "error", DD_REQUIRED, &outcome.error, error);
    if (rc)
        return rc;
    execution = invocation->execution;
    dd_invocation_end(pending->engine, invocation, &outcome);
    dd_outcome_deinit(&outcome);
    answer_ended(pending, execution);
    return 0;
}

static int worker_release(struct dd_pending *pending, struct dd_params *params,
                          struct dd_error *error)
{
    struct dd_array ids;
    int rc = dd_params_array(params, "request_ids", DD_REQUIRED, DD_WORKER_CONCURRENCY_MAX,
                             &ids, error);

    if (rc)
        return rc;
    for (size_t i = 0; i < ids.len; i++) {
        struct dd_span request_id;

        if (!dd_array_text(&ids, i, &request_id))
            return dd_params_refuse(params, "request_ids", error, "must hold strings");
        dd_worker_release(pending->engine, pending->peer, request_id);
    }
    dd_wire_write_empty(&pending->result);
    dd_pending_answer(pending);
    return 0;
}

static int worker_drain(struct dd_pending *pending, struct dd_params *params,
                        struct dd_error *error)
{
    struct dd_worker *worker;
    int rc = own_worker(pending, &worker, error);

    (void)params;
    if (rc)
        return rc;
    dd_worker_drain(worker);
    dd_wire_write_empty(&pending->result);
    dd_pending_answer(pending);
    return 0;
}

/* --- sessions ---------------------------------------------------------------------------- */

static int session_begin(struct dd_pending *pending, struct dd_params *params,
                         struct dd_error *error)
{
    struct dd_begin call;
    int rc = dd_wire_read_begin(params, &call, error);

    return rc ? rc : dd_session_method_begin(pending, &call, error);
}

static int session_join(struct dd_pending *pending, struct dd_params *params,
                        struct dd_error *error)
{
    struct dd_span key;
    int rc = dd_params_text(params, "key", DD_REQUIRED, &key, error);

    return rc ? rc : dd_session_method_join(pending, key, error);
}

static int own_session(struct dd_peer *peer, struct dd_params *params, struct dd_attached **out,
                       struct dd_error *error)
{
    int64_t id;
    int rc = dd_params_int(params, "session", DD_REQUIRED, 0, INT64_MAX, &id, error);

    if (rc)
        return rc;
    *out = dd_session_of(peer, (uint64_t)id);
    if (!*out) {
        params->bad = "session";
        return dd_fail(error, DD_UNKNOWN_SESSION,
                       "session: not of this connection, or it has ended");
    }
    return 0;
}

static int session_call(struct dd_pending *pending, struct dd_params *params,
                        enum dd_call_kind kind, struct dd_error *error)
{
    struct dd_attached *attached;
    struct dd_call call;
    int rc = own_session(pending->peer, params, &attached, error);

    if (rc)
        return rc;
    pending->arn = dd_text_ref(attached->arn);
    if (kind == DD_CALL_START)
        rc = dd_params_bool(params, "ahead", &pending->ahead, error);
    if (rc == 0)
        rc = dd_wire_read_call(kind, params, &call, error);
    if (rc)
        return rc;
    dd_session_method_call(pending, attached, &call);
    dd_wire_call_deinit(&call);
    return 0;
}

#define SESSION_CALL(function, kind)                                          \
    static int function(struct dd_pending *pending, struct dd_params *params, \
                        struct dd_error *error)                               \
    {                                                                         \
        return session_call(pending, params, kind, error);                    \
    }
SESSION_CALL(session_operations, DD_CALL_OPERATIONS)
SESSION_CALL(session_start, DD_CALL_START)
SESSION_CALL(session_await, DD_CALL_AWAIT)
SESSION_CALL(session_succeed, DD_CALL_SUCCEED)
SESSION_CALL(session_fail, DD_CALL_FAIL)
SESSION_CALL(session_decide, DD_CALL_DECIDE)
SESSION_CALL(session_retry, DD_CALL_RETRY)
SESSION_CALL(session_batch, DD_CALL_BATCH)
SESSION_CALL(session_unwound, DD_CALL_UNWOUND)
SESSION_CALL(session_end, DD_CALL_END)
#undef SESSION_CALL

/* Kept for execution.logs, or dropped. */
static void session_log(struct dd_peer *peer, struct dd_params *params)
{
    struct dd_attached *attached;
    struct dd_span level, message;
    struct dd_params fields;
    struct dd_error error;
    struct dd_buf line, raw;
    int64_t time_ms;
    bool given;

    if (own_session(peer, params, &attached, &error) != 0 ||
        dd_params_int(params, "time_ms", DD_REQUIRED, 0, INT64_MAX, &time_ms, &error) != 0 ||
        dd_params_text(params, "level", DD_REQUIRED, &level, &error) != 0 ||
        dd_params_text(params, "message", DD_REQUIRED, &message, &error) != 0 ||
        dd_params_map(params, "fields", DD_OPTIONAL, &fields, &given, &error) != 0)
        return;
    dd_buf_init(&line, DD_LOG_LINE_MAX);
    dd_buf_init(&raw, DD_LOG_LINE_MAX / 2);
    given = dd_params_raw(params, "fields", &raw) && !raw.failed;
    dd_wire_write_line(&line, time_ms, level, message,
                       given ? dd_buf_span(&raw) : DD_SPAN_NONE);
    dd_buf_deinit(&raw);
    if (!line.failed && peer->engine->config.journal) {
        dd_journal_log(peer->engine->config.journal, attached->execution, dd_buf_span(&line));
        dd_watch_wake(peer->engine, attached->execution);
    }
    dd_buf_deinit(&line);
}

/* --- starting ---------------------------------------------------------------------------- */

static void answer_started(struct dd_pending *pending, const struct dd_resident *resident,
                           bool existing)
{
    msgpack_packer packer;
    struct dd_head head;

    dd_execution_head(resident->execution, &head);
    dd_pack_init(&packer, &pending->result);
    msgpack_pack_map(&packer, 3);
    pack_text(&packer, "arn", dd_execution_arn(resident->execution));
    pack_text(&packer, "name", head.name);
    dd_pack_cstr(&packer, "existing");
    dd_pack_bool(&packer, existing);
    dd_pending_answer_after(pending, resident->position);
}

static int execution_start(struct dd_pending *pending, struct dd_params *params,
                           struct dd_error *error)
{
    struct dd_resident *resident;
    struct dd_start start = {0};
    bool existing;
    int rc = dd_params_text(params, "function", DD_REQUIRED, &start.function, error);

    if (rc == 0)
        rc = dd_params_text(params, "name", DD_OPTIONAL, &start.name, error);
    if (rc == 0)
        rc = dd_params_text(params, "payload", DD_OPTIONAL, &start.input, error);
    if (rc == 0)
        rc = dd_params_int(params, "execution_timeout_s", DD_OPTIONAL, 1, DD_SECONDS_MAX,
                           &start.execution_timeout_s, error);
    if (rc == 0)
        rc = dd_executions_start(pending->engine, &start, &resident, &existing, error);
    if (rc == 0)
        answer_started(pending, resident, existing);
    /* All else that the service judges was judged above. */
    if (rc == DD_VALIDATION)
        params->bad = "name";
    return rc;
}

/* --- callbacks from outside --------------------------------------------------------------- */

static int callback_call(struct dd_pending *pending, struct dd_params *params,
                         struct dd_callback_call *call, struct dd_error *error)
{
    uint64_t position;
    int rc = dd_params_text(params, "callback", DD_OPTIONAL, &call->callback, error);

    if (rc == 0)
        rc =
            dd_params_text(params, "execution", call->callback.data ? DD_OPTIONAL : DD_REQUIRED,
                           &call->execution, error);
    if (rc == 0)
        rc =
            dd_params_text(params, "operation", call->callback.data ? DD_OPTIONAL : DD_REQUIRED,
                           &call->operation, error);
    if (rc == 0)
        rc = dd_callback_complete(pending->engine, call, &position, error);
    if (rc)
        return rc;
    dd_wire_write_empty(&pending->result);
    dd_pending_answer_after(pending, position);
    return 0;
}

static int callback_succeed(struct dd_pending *pending, struct dd_params *params,
                            struct dd_error *error)
{
    struct dd_callback_call call = {.action = DD_CALLBACK_SUCCEED};
    int rc = dd_params_text(params, "payload", DD_OPTIONAL, &call.result, error);

    return rc ? rc : callback_call(pending, params, &call, error);
}

static int callback_fail(struct dd_pending *pending, struct dd_params *params,
                         struct dd_error *error)
{
    struct dd_callback_call call = {.action = DD_CALLBACK_FAIL};
    int rc = dd_wire_read_error(params, "error", DD_OPTIONAL, &call.failure, error);

    if (rc == 0)
        rc = callback_call(pending, params, &call, error);
    dd_error_object_unref(call.failure);
    return rc;
}

static int callback_heartbeat(struct dd_pending *pending, struct dd_params *params,
                              struct dd_error *error)
{
    struct dd_callback_call call = {.action = DD_CALLBACK_HEARTBEAT};

    return callback_call(pending, params, &call, error);
}

/* --- reading executions ------------------------------------------------------------------ */

/* The execution that a call is about. */
static int named(struct dd_pending *pending, struct dd_params *params, struct dd_resident **out,
                 struct dd_error *error)
{
    struct dd_span text;
    int rc = dd_params_text(params, "execution", DD_REQUIRED, &text, error);

    if (rc == 0)
        rc = dd_executions_find(pending->engine, text, out, error);
    if (rc)
        params->bad = "execution";
    else
        pending->execution = (*out)->id;
    return rc;
}

static void answer_outcome(struct dd_pending *pending, const struct dd_resident *resident)
{
    struct dd_text *result = dd_execution_result(resident->execution);
    struct dd_error_object *failure = dd_execution_error(resident->execution);
    msgpack_packer packer;
    struct dd_head head;

    dd_execution_head(resident->execution, &head);
    dd_pack_init(&packer, &pending->result);
    msgpack_pack_map(&packer, 2 + (size_t)(result != NULL) + (failure != NULL));
    pack_text(&packer, "arn", dd_execution_arn(resident->execution));
    pack_cstr(&packer, "status", dd_execution_status_name(head.status));
    pack_text(&packer, "result", result);
    if (failure) {
        dd_pack_cstr(&packer, "error");
        dd_wire_pack_error(&packer, failure);
    }
    dd_pending_answer_after(pending, resident->position);
}

/* Answers when the execution is closed or the time is over; parks otherwise. */
static int wait_again(struct dd_pending *pending, struct dd_error *error)
{
    struct dd_resident *resident;
    struct dd_head head;
    int rc = dd_engine_load(pending->engine, pending->execution, &resident, error);

    if (rc)
        return rc;
    dd_execution_head(resident->execution, &head);
    if (head.status != DD_EXECUTION_RUNNING ||
        (pending->waiter.until_ms && pending->waiter.until_ms <= pending->engine->now_ms))
        answer_outcome(pending, resident);
    else
        dd_watch_add(pending->engine, pending->execution, &pending->waiter);
    return 0;
}

static int execution_wait(struct dd_pending *pending, struct dd_params *params,
                          struct dd_error *error)
{
    struct dd_resident *resident;
    int64_t timeout_ms = -1;
    int rc = named(pending, params, &resident, error);

    if (rc == 0)
        rc = dd_params_int(params, "timeout_ms", DD_OPTIONAL, 0, INT32_MAX * (int64_t)1000,
                           &timeout_ms, error);
    if (rc)
        return rc;
    if (timeout_ms >= 0)
        pending->waiter.until_ms = pending->engine->now_ms + timeout_ms;
    return wait_again(pending, error);
}

static int64_t connected_workers(const struct dd_engine *engine, const struct dd_text *function)
{
    int64_t workers = 0;

    dd_list_each(node, tmp, &engine->workers)
    {
        const struct dd_worker *worker = dd_container_of(node, struct dd_worker, node);

        for (size_t i = 0; !worker->draining && i < worker->functions_len; i++) {
            if (dd_text_equal(worker->functions[i], function)) {
                workers++;
                break;
            }
        }
    }
    return workers;
}

static const char *standing_state(const struct dd_head *head,
                                  const struct dd_standing *standing,
                                  const struct dd_invocation *invocation)
{
    if (head->status != DD_EXECUTION_RUNNING)
        return "closed";
    switch (standing->work) {
    case DD_WORK_RUNNING:
        return invocation && !invocation->worker ? "held" : "running";
    case DD_WORK_QUEUED:
        return "queued";
    case DD_WORK_NONE:
        return standing->retry_ms ? "retry" : "waiting";
    }
    dd_unreachable();
}

static void pack_standing(msgpack_packer *packer, struct dd_engine *engine,
                          const struct dd_resident *resident)
{
    const struct dd_invocation *invocation;
    struct dd_standing standing;
    struct dd_head head;
    int64_t until_ms;

    dd_execution_head(resident->execution, &head);
    dd_execution_standing(resident->execution, &standing);
    invocation = dd_invocation_of(engine, head.id);
    until_ms = standing.retry_ms  ? standing.retry_ms
               : standing.awaited ? standing.awaited->due_ms
                                  : 0;
    msgpack_pack_map(packer, 4 + (size_t)(until_ms != 0) + (invocation != NULL) +
                                 (standing.last_failure != NULL) + (standing.awaited != NULL));
    pack_cstr(packer, "state", standing_state(&head, &standing, invocation));
    pack_int(packer, "since_ms", standing.since_ms);
    pack_int(packer, "failures", standing.failures);
    pack_int(packer, "workers", connected_workers(engine, head.function));
    if (until_ms)
        pack_int(packer, "until_ms", until_ms);
    if (invocation)
        pack_int(packer, "worker_pid", invocation->process.pid);
    if (standing.last_failure) {
        dd_pack_cstr(packer, "error");
        dd_wire_pack_error(packer, standing.last_failure);
    }
    if (standing.awaited) {
        dd_pack_cstr(packer, "operation");
        dd_wire_pack_operation(packer, standing.awaited, false);
    }
}

/* The operations after the first `after`, while a page has room; all when negative. Gives
 * how many. */
static size_t pack_operations(struct dd_buf *out, const struct dd_execution *execution,
                              int64_t after, bool data, bool *out_more)
{
    size_t len, from = after > 0 ? (size_t)after : 0, at = from;
    const struct dd_operation *const *operations = dd_execution_operations(execution, &len);
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    while (at < len &&
           (after < 0 || (at - from < DD_PAGE_ITEMS_MAX && out->len < DD_PAGE_BYTES_MAX)))
        dd_wire_pack_operation(&packer, operations[at++], data);
    *out_more = at < len;
    return at - from;
}

static int execution_describe(struct dd_pending *pending, struct dd_params *params,
                              struct dd_error *error)
{
    struct dd_resident *resident;
    bool data = true, more;
    struct dd_buf operations;
    msgpack_packer packer;
    struct dd_head head;
    int64_t after = -1;
    size_t len;
    int rc = dd_params_bool(params, "data", &data, error);

    if (rc == 0)
        rc =
            dd_params_int(params, "after_operation", DD_OPTIONAL, 0, UINT32_MAX, &after, error);
    if (rc == 0)
        rc = named(pending, params, &resident, error);
    if (rc)
        return rc;
    dd_pack_init(&packer, &pending->result);
    msgpack_pack_map(&packer, after < 0 ? 3 : 4);
    dd_pack_cstr(&packer, "execution");
    dd_wire_pack_execution(&packer, resident->execution, data, 2);
    dd_execution_head(resident->execution, &head);
    pack_text(&packer, "FunctionName", head.function);
    pack_int(&packer, "ExecutionTimeout", dd_execution_timeout_s(resident->execution));
    dd_pack_cstr(&packer, "standing");
    pack_standing(&packer, pending->engine, resident);
    dd_buf_init(&operations, DD_FRAME_MAX);
    len = pack_operations(&operations, resident->execution, after, data, &more);
    dd_pack_cstr(&packer, "operations");
    msgpack_pack_array(&packer, len);
    dd_buf_append_span(&pending->result, dd_buf_span(&operations));
    pending->result.failed |= operations.failed;
    dd_buf_deinit(&operations);
    if (after >= 0) {
        dd_pack_cstr(&packer, "more");
        dd_pack_bool(&packer, more);
    }
    dd_pending_answer_after(pending, resident->position);
    return 0;
}

/* --- history ----------------------------------------------------------------------------- */

static int execution_history(struct dd_pending *pending, struct dd_params *params,
                             struct dd_error *error)
{
    struct dd_history history = {.data = true};
    int64_t after = 0, items_max = DD_PAGE_ITEMS_MAX;
    struct dd_resident *resident;
    msgpack_packer packer;
    int rc = dd_params_int(params, "after_event", DD_OPTIONAL, 0, UINT32_MAX, &after, error);

    if (rc == 0)
        rc = dd_params_int(params, "items_max", DD_OPTIONAL, 1, DD_PAGE_ITEMS_MAX, &items_max,
                           error);
    if (rc == 0)
        rc = dd_params_bool(params, "data", &history.data, error);
    if (rc == 0)
        rc = named(pending, params, &resident, error);
    if (rc)
        return rc;
    history.after = (uint32_t)after;
    history.items_max = (size_t)items_max;
    rc = dd_executions_history(pending->engine, resident, &history, error);
    if (rc)
        return rc;
    dd_pack_init(&packer, &pending->result);
    msgpack_pack_map(&packer, 3);
    pack_text(&packer, "arn", dd_execution_arn(resident->execution));
    dd_pack_cstr(&packer, "events");
    msgpack_pack_array(&packer, history.len);
    dd_buf_append_span(&pending->result, dd_buf_span(&history.events));
    dd_pack_cstr(&packer, "more");
    dd_pack_bool(&packer, history.more);
    dd_buf_deinit(&history.events);
    dd_pending_answer_after(pending, resident->position);
    return 0;
}

/* --- list -------------------------------------------------------------------------------- */

struct list {
    struct dd_engine *engine;
    msgpack_packer packer;
    struct dd_buf items;
    size_t len;
};

static const char *head_state(const struct dd_head *head)
{
    if (head->status != DD_EXECUTION_RUNNING)
        return "closed";
    switch (head->work) {
    case DD_WORK_RUNNING:
        return "running";
    case DD_WORK_QUEUED:
        return "queued";
    case DD_WORK_NONE:
        return "waiting";
    }
    dd_unreachable();
}

static void visit_head(void *user, const struct dd_head *head)
{
    struct list *list = user;
    bool open = head->status == DD_EXECUTION_RUNNING;
    char arn[DD_ARN_MAX + 1];

    dd_arn_format(list->engine, head, arn);
    msgpack_pack_map(&list->packer,
                     6 + (size_t)(head->end_ms != 0) + (open && head->until_ms != 0));
    pack_cstr(&list->packer, "arn", arn);
    pack_text(&list->packer, "name", head->name);
    pack_text(&list->packer, "function", head->function);
    pack_cstr(&list->packer, "status", dd_execution_status_name(head->status));
    pack_cstr(&list->packer, "state", head_state(head));
    pack_int(&list->packer, "start_ms", head->start_ms);
    if (head->end_ms)
        pack_int(&list->packer, "end_ms", head->end_ms);
    if (open && head->until_ms)
        pack_int(&list->packer, "until_ms", head->until_ms);
    list->len++;
}

static int read_filter(struct dd_params *params, struct dd_list_filter *filter,
                       struct dd_error *error)
{
    int64_t items_max = DD_PAGE_ITEMS_DEFAULT;
    struct dd_span status;
    int rc = dd_params_text(params, "function", DD_OPTIONAL, &filter->function, error);

    if (rc == 0)
        rc = dd_params_text(params, "status", DD_OPTIONAL, &status, error);
    if (rc)
        return rc;
    if (status.data) {
        filter->status = dd_execution_status_parse(status);
        if (!filter->status)
            return dd_params_refuse(params, "status", error, "is no execution status");
    }
    rc = dd_params_int(params, "since_ms", DD_OPTIONAL, 0, INT64_MAX, &filter->since_ms, error);
    if (rc == 0)
        rc = dd_params_bool(params, "waiting", &filter->waiting, error);
    if (rc == 0)
        rc = dd_params_int(params, "items_max", DD_OPTIONAL, 1, DD_PAGE_ITEMS_MAX, &items_max,
                           error);
    filter->items_max = (size_t)items_max;
    return rc;
}

static int execution_list(struct dd_pending *pending, struct dd_params *params,
                          struct dd_error *error)
{
    struct list list = {.engine = pending->engine};
    struct dd_list_filter filter = {0};
    char marker[DD_UUID_TEXT_LEN + 1];
    struct dd_uuid after, last;
    struct dd_span from;
    msgpack_packer packer;
    bool more;
    int rc = read_filter(params, &filter, error);

    if (rc == 0)
        rc = dd_params_text(params, "marker", DD_OPTIONAL, &from, error);
    if (rc == 0 && from.data && !dd_uuid_parse(from, &after))
        rc = dd_params_refuse(params, "marker", error, "is none that a list answered");
    if (rc)
        return rc;
    filter.after = from.data ? &after : NULL;
    dd_buf_init(&list.items, DD_FRAME_MAX);
    dd_pack_init(&list.packer, &list.items);
    more = dd_executions_list(pending->engine, &filter, visit_head, &list, &last);
    dd_pack_init(&packer, &pending->result);
    msgpack_pack_map(&packer, more ? 2 : 1);
    dd_pack_cstr(&packer, "executions");
    msgpack_pack_array(&packer, list.len);
    dd_buf_append_span(&pending->result, dd_buf_span(&list.items));
    pending->result.failed |= list.items.failed;
    if (more) {
        dd_uuid_format(last, marker);
        pack_cstr(&packer, "marker", marker);
    }
    dd_buf_deinit(&list.items);
    dd_pending_answer_after(pending, dd_journal_newest(pending->engine->config.journal));
    return 0;
}

/* --- stop -------------------------------------------------------------------------------- */

static int execution_stop(struct dd_pending *pending, struct dd_params *params,
                          struct dd_error *error)
{
    struct dd_error_object *failure = NULL;
    struct dd_resident *resident;
    msgpack_packer packer;
    struct dd_head head;
    int rc = named(pending, params, &resident, error);

    if (rc == 0)
        rc = dd_wire_read_error(params, "error", DD_OPTIONAL, &failure, error);
    if (rc == 0)
        rc = dd_executions_stop(pending->engine, resident, failure, error);
    dd_error_object_unref(failure);
    if (rc)
        return rc;
    dd_execution_head(resident->execution, &head);
    dd_pack_init(&packer, &pending->result);
    msgpack_pack_map(&packer, 3);
    pack_text(&packer, "arn", dd_execution_arn(resident->execution));
    pack_cstr(&packer, "status", dd_execution_status_name(head.status));
    pack_int(&packer, "end_ms", head.end_ms);
    dd_pending_answer_after(pending, resident->position);
    return 0;
}

/* --- logs -------------------------------------------------------------------------------- */

struct lines {
    msgpack_packer packer;
    struct dd_buf items;
    size_t len;
    uint64_t last;
};

static bool visit_line(void *user, uint64_t number, struct dd_span line)
{
    struct lines *lines = user;

    if (lines->len == DD_PAGE_ITEMS_MAX || lines->items.len >= DD_PAGE_BYTES_MAX)
        return false;
    /* A line is kept as the encoded members that follow its number. */
    msgpack_pack_map(&lines->packer, 5);
    pack_int(&lines->packer, "number", (int64_t)number);
    dd_buf_append_span(&lines->items, line);
    lines->len++;
    lines->last = number;
    return true;
}

static int logs_again(struct dd_pending *pending, struct dd_error *error)
{
    struct lines lines = {.last = pending->after};
    struct dd_resident *resident;
    msgpack_packer packer;
    struct dd_head head;
    uint64_t dropped = 0;
    int rc = dd_engine_load(pending->engine, pending->execution, &resident, error);

    if (rc)
        return rc;
    dd_execution_head(resident->execution, &head);
    dd_buf_init(&lines.items, DD_FRAME_MAX);
    dd_pack_init(&lines.packer, &lines.items);
    dd_journal_logs(pending->engine->config.journal, pending->execution, pending->after,
                    visit_line, &lines, &dropped);
    if (lines.len == 0 && pending->follow && head.status == DD_EXECUTION_RUNNING) {
        dd_buf_deinit(&lines.items);
        dd_watch_add(pending->engine, pending->execution, &pending->waiter);
        return 0;
    }
    dd_pack_init(&packer, &pending->result);
    msgpack_pack_map(&packer, 4);
    dd_pack_cstr(&packer, "lines");
    msgpack_pack_array(&packer, lines.len);
    dd_buf_append_span(&pending->result, dd_buf_span(&lines.items));
    pending->result.failed |= lines.items.failed;
    pack_int(&packer, "next", (int64_t)lines.last);
    dd_pack_cstr(&packer, "closed");
    dd_pack_bool(&packer, head.status != DD_EXECUTION_RUNNING);
    pack_int(&packer, "dropped", (int64_t)dropped);
    dd_buf_deinit(&lines.items);
    dd_pending_answer(pending);
    return 0;
}

static int execution_logs(struct dd_pending *pending, struct dd_params *params,
                          struct dd_error *error)
{
    struct dd_resident *resident;
    int64_t after = 0;
    int rc = named(pending, params, &resident, error);

    if (rc == 0)
        rc = dd_params_int(params, "after", DD_OPTIONAL, 0, INT64_MAX, &after, error);
    if (rc == 0)
        rc = dd_params_bool(params, "follow", &pending->follow, error);
    if (rc)
        return rc;
    pending->after = (uint64_t)after;
    return logs_again(pending, error);
}

/* --- functions and the daemon ------------------------------------------------------------ */

struct functions {
    struct dd_engine *engine;
    msgpack_packer packer;
    struct dd_buf items;
    size_t len;
};

static int64_t function_running(const struct dd_engine *engine, const struct dd_text *function)
{
    const struct dd_invocation *invocation;
    int64_t running = 0;
    size_t at = 0;

    while ((invocation = dd_map_next(&engine->invocations, &at)) != NULL)
        running += dd_text_equal(invocation->function, function);
    return running;
}

static int64_t function_slots(const struct dd_engine *engine, const struct dd_text *function)
{
    int64_t slots = 0;

    dd_list_each(node, tmp, &engine->workers)
    {
        const struct dd_worker *worker = dd_container_of(node, struct dd_worker, node);

        for (size_t i = 0; i < worker->functions_len; i++) {
            if (dd_text_equal(worker->functions[i], function))
                slots += worker->concurrency;
        }
    }
    return slots;
}

static void visit_status(void *user, const struct dd_function *function)
{
    struct functions *functions = user;
    struct dd_engine *engine = functions->engine;
    int64_t since_ms;

    msgpack_pack_map(&functions->packer, 5);
    pack_text(&functions->packer, "name", function->name);
    pack_int(&functions->packer, "workers", connected_workers(engine, function->name));
    pack_int(&functions->packer, "slots", function_slots(engine, function->name));
    pack_int(&functions->packer, "running", function_running(engine, function->name));
    pack_int(&functions->packer, "queued",
             (int64_t)dd_journal_queued(engine->config.journal, dd_text_span(function->name),
                                        DD_LIST_SCAN_MAX, &since_ms));
    functions->len++;
}

static int function_list(struct dd_pending *pending, struct dd_params *params,
                         struct dd_error *error)
{
    struct functions functions = {.engine = pending->engine};
    msgpack_packer packer;

    (void)params;
    (void)error;
    dd_buf_init(&functions.items, DD_FRAME_MAX);
    dd_pack_init(&functions.packer, &functions.items);
    dd_journal_functions(pending->engine->config.journal, visit_status, &functions);
    dd_pack_init(&packer, &pending->result);
    msgpack_pack_map(&packer, 1);
    dd_pack_cstr(&packer, "functions");
    msgpack_pack_array(&packer, functions.len);
    dd_buf_append_span(&pending->result, dd_buf_span(&functions.items));
    pending->result.failed |= functions.items.failed;
    dd_buf_deinit(&functions.items);
    dd_pending_answer_after(pending, dd_journal_newest(pending->engine->config.journal));
    return 0;
}

static int64_t workers_len(const struct dd_engine *engine)
{
    int64_t len = 0;

    dd_list_each(node, tmp, &engine->workers)
    {
        len++;
    }
    return len;
}

static int daemon_status(struct dd_pending *pending, struct dd_params *params,
                         struct dd_error *error)
{
    struct dd_engine *engine = pending->engine;
    const struct dd_engine_config *config = &engine->config;
    struct dd_journal *journal = config->journal;
    struct dd_store_usage usage = {0};
    msgpack_packer packer;

    (void)params;
    (void)error;
    if (journal)
        dd_journal_usage(journal, &usage);
    dd_pack_init(&packer, &pending->result);
    msgpack_pack_map(&packer, engine->http ? 21 : 20);
    pack_cstr(&packer, "version", config->version);
    pack_int(&packer, "pid", config->pid);
    pack_int(&packer, "level", DD_LEVEL);
    pack_cstr(&packer, "mode", config->mode);
    pack_cstr(&packer, "socket", config->socket);
    pack_cstr(&packer, "data", config->data);
    pack_cstr(&packer, "region", engine->service.region);
    pack_cstr(&packer, "account", engine->service.account);
    if (engine->http)
        pack_cstr(&packer, "http", engine->http);
    pack_int(&packer, "started_ms", engine->started_ms);
    pack_cstr(&packer, "log_level", dd_level_name(config->log->level));
    pack_int(&packer, "connections", (int64_t)engine->peers_len);
    pack_int(&packer, "workers", workers_len(engine));
    pack_int(&packer, "sessions", (int64_t)engine->sessions.len);
    pack_int(&packer, "executions_loaded", (int64_t)engine->residents.len);
    pack_int(&packer, "store_bytes", (int64_t)usage.used_bytes);
    pack_int(&packer, "store_bytes_max", (int64_t)usage.max_bytes);
    pack_int(&packer, "disk_free_bytes", (int64_t)usage.disk_free_bytes);
    dd_pack_cstr(&packer, "accepting");
    dd_pack_bool(&packer,
                 !engine->stopping && journal && dd_journal_accepts(journal, NULL) == 0);
    pack_int(&packer, "commits", journal ? (int64_t)dd_journal_commits(journal) : 0);
    pack_int(&packer, "now_ms", engine->now_ms);
    dd_pending_answer(pending);
    return 0;
}

static int daemon_log_level(struct dd_pending *pending, struct dd_params *params,
                            struct dd_error *error)
{
    struct dd_log *log = pending->engine->config.log;
    struct dd_span level;
    msgpack_packer packer;
    int rc = dd_params_text(params, "set", DD_OPTIONAL, &level, error);

    if (rc)
        return rc;
    if (level.data && !dd_level_parse(level, &log->level))
        return dd_params_refuse(params, "set", error, "is none of DEBUG, INFO, WARN, ERROR");
    dd_pack_init(&packer, &pending->result);
    msgpack_pack_map(&packer, 1);
    pack_cstr(&packer, "log_level", dd_level_name(log->level));
    dd_pending_answer(pending);
    return 0;
}

static int daemon_runtime_api(struct dd_pending *pending, struct dd_params *params,
                              struct dd_error *error)
{
    const char *address = NULL;
    struct dd_span api;
    msgpack_packer packer;
    int rc = dd_params_text(params, "api", DD_REQUIRED, &api, error);

    if (rc == 0)
        rc = dd_front_open(pending->engine, api, &address, error);
    if (rc)
        return rc;
    dd_pack_init(&packer, &pending->result);
    msgpack_pack_map(&packer, 1);
    pack_cstr(&packer, "address", address);
    dd_pending_answer(pending);
    return 0;
}

/* --- the table --------------------------------------------------------------------------- */

/* A method of proto/protocol.toml: a call has `run`, a notification `take`. */
struct method {
    const char *name;
    int since; /* the level that introduced it */
    int (*run)(struct dd_pending *pending, struct dd_params *params, struct dd_error *error);
    void (*take)(struct dd_peer *peer, struct dd_params *params);
};

#define DD_CALL_ROW(name, function, since) {name, since, function, NULL},
#define DD_NOTIFICATION_ROW(name, function, since) {name, since, NULL, function},
static const struct method methods[] = {
#include "proto/methods.inc"
};

/* Its place in the table; -1: no such method at that level. */
static int find_method(struct dd_span name, int64_t level)
{
    for (size_t i = 0; i < DD_COUNT(methods); i++) {
        if (methods[i].since <= level && dd_span_is(name, methods[i].name))
            return (int)i;
    }
    return -1;
}

/* Whether an engine without executions of its own has this method. */
static bool is_sessions(const struct method *method)
{
    return method->run == hello || strncmp(method->name, "session.", 8) == 0 ||
           strncmp(method->name, "daemon.", 7) == 0;
}

const char *dd_method_name(int method)
{
    return method < 0 ? "unknown" : methods[method].name;
}

static int unknown_method(struct dd_pending *pending, struct dd_span name, int64_t level,
                          struct dd_error *error)
{
    struct dd_peer *peer = pending->peer;

    if (name.len > 64)
        name.len = 64;
    if (pending->engine->aws && !peer->levels_told)
        dd_log(pending->engine->config.log, LEVELS_DIFFER, DD_LOG_TEXT("method", name),
               DD_LOG_NUMBER("protocol", level), DD_LOG_NUMBER("pid", peer->credentials.pid),
               DD_LOG_CAUSE(DD_CAUSE_LEVELS));
    peer->levels_told = true;
    return dd_fail(error, DD_UNKNOWN_METHOD, "no method '%.*s' at level %" PRId64,
                   (int)name.len, name.data, level);
}

void dd_method_call(struct dd_pending *pending, const struct dd_rpc *rpc)
{
    int64_t level = pending->peer->level ? pending->peer->level : DD_LEVEL;
    struct dd_params params = rpc->params;
    struct dd_error error;
    int rc;

    pending->method = find_method(rpc->method, level);
    if (pending->method < 0 || !methods[pending->method].run)
        rc = unknown_method(pending, rpc->method, level, &error);
    else if (pending->peer->level == 0 && methods[pending->method].run != hello)
        rc = dd_fail(&error, DD_OUT_OF_ORDER, "hello comes first");
    else if (!pending->engine->config.journal && !is_sessions(&methods[pending->method]))
        rc = dd_fail(&error, DD_UNKNOWN_METHOD,
                     "%s: this daemon serves the sessions of a Lambda function; executions are "
                     "AWS's, see its API",
                     methods[pending->method].name);
    else
        rc = methods[pending->method].run(pending, &params, &error);
    if (rc)
        dd_pending_refuse(pending, &error, params.bad);
}

void dd_method_again(struct dd_waiter *waiter)
{
    struct dd_pending *pending = dd_container_of(waiter, struct dd_pending, waiter);
    struct dd_error error;
    int rc = methods[pending->method].run == execution_wait ? wait_again(pending, &error)
                                                            : logs_again(pending, &error);

    if (rc)
        dd_pending_refuse(pending, &error, NULL);
}

void dd_method_notify(struct dd_peer *peer, const struct dd_rpc *rpc)
{
    struct dd_params params = rpc->params;
    int method = find_method(rpc->method, peer->level);

    if (method >= 0 && methods[method].take)
        methods[method].take(peer, &params);
}
