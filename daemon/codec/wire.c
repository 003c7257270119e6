/* Calls and answers of the protocol; see wire.h. */
#include "codec/wire.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "codec/pack.h"

/* --- reading: errors --------------------------------------------------------------------- */

/* A text member of an ErrorObject. */
static int take_text(struct dd_params *params, const char *name, struct dd_text **out,
                     struct dd_error *error)
{
    struct dd_span span;
    int rc = dd_params_text(params, name, DD_OPTIONAL, &span, error);

    if (rc == 0 && !dd_text_try_new(span, out))
        return dd_fail(error, DD_NO_MEMORY, "out of memory");
    return rc;
}

static int take_stack(struct dd_params *params, struct dd_text ***out, uint32_t *out_len,
                      struct dd_error *error)
{
    struct dd_array lines;
    int rc =
        dd_params_array(params, "StackTrace", DD_OPTIONAL, DD_STACK_LINES_MAX, &lines, error);

    if (rc || !lines.array)
        return rc;
    *out = dd_alloc_array(lines.len, sizeof **out);
    for (size_t i = 0; i < lines.len; i++) {
        struct dd_span line;

        if (!dd_array_text(&lines, i, &line))
            return dd_params_refuse(params, "StackTrace", error, "must hold strings");
        (*out)[(*out_len)++] = dd_text_new(line);
    }
    return 0;
}

int dd_wire_read_error(struct dd_params *params, const char *name, enum dd_presence presence,
                       struct dd_error_object **out, struct dd_error *error)
{
    struct dd_text *message = NULL, *type = NULL, *data = NULL, **stack = NULL;
    struct dd_params map;
    uint32_t stack_len = 0;
    bool given;
    int rc = dd_params_map(params, name, presence, &map, &given, error);

    *out = NULL;
    if (rc || !given)
        return rc;
    rc = take_text(&map, "ErrorMessage", &message, error);
    if (rc == 0)
        rc = take_text(&map, "ErrorType", &type, error);
    if (rc == 0)
        rc = take_text(&map, "ErrorData", &data, error);
    if (rc == 0)
        rc = take_stack(&map, &stack, &stack_len, error);
    *out = dd_error_object_take(type, message, data, stack, stack_len);
    if (rc) {
        dd_error_object_unref(*out);
        *out = NULL;
        params->bad = name;
    }
    return rc;
}

/* --- reading: calls ---------------------------------------------------------------------- */

int dd_wire_read_begin(struct dd_params *params, struct dd_begin *out, struct dd_error *error)
{
    struct dd_span profile;
    int rc = dd_params_text(params, "event", DD_REQUIRED, &out->event, error);

    out->deadline_ms = 0;
    out->observe = false;
    if (rc == 0)
        rc = dd_params_bool(params, "observe", &out->observe, error);
    if (rc == 0)
        rc = dd_params_text(params, "profile", DD_REQUIRED, &profile, error);
    if (rc)
        return rc;
    out->profile = dd_profile_find(profile);
    if (!out->profile)
        return dd_params_refuse(params, "profile", error, "is none of the protocol's");
    rc = dd_params_text(params, "request_id", DD_OPTIONAL, &out->request_id, error);
    if (rc == 0)
        rc = dd_params_int(params, "deadline_ms", DD_OPTIONAL, 0, INT64_MAX, &out->deadline_ms,
                           error);
    return rc;
}

/* A handle or position: an integer that fits 32 bits. */
static int read_u32(struct dd_params *params, const char *name, uint32_t *out,
                    struct dd_error *error)
{
    int64_t value;
    int rc = dd_params_int(params, name, DD_REQUIRED, 0, UINT32_MAX, &value, error);

    if (rc == 0)
        *out = (uint32_t)value;
    return rc;
}

/* A word of a closed set; `words` ends with NULL. Leaves `*out` when absent. */
static int read_word(struct dd_params *params, const char *name, enum dd_presence presence,
                     const char *const *words, int *out, struct dd_error *error)
{
    struct dd_span span;
    int rc = dd_params_text(params, name, presence, &span, error);

    if (rc || !span.data)
        return rc;
    for (int i = 0; words[i]; i++) {
        if (dd_span_is(span, words[i])) {
            *out = i;
            return 0;
        }
    }
    return dd_params_refuse(params, name, error, "is none of the words it may be");
}

static int read_retry(struct dd_params *params, struct dd_retry *out, struct dd_error *error)
{
    static const char *const backoffs[] = {"exponential", "linear", NULL};
    static const char *const jitters[] = {"NONE", "FULL", "HALF", NULL};
    int backoff = 0, jitter = 0;
    int64_t max_attempts;
    int rc =
        dd_params_int(params, "max_attempts", DD_REQUIRED, 1, UINT32_MAX, &max_attempts, error);

    if (rc == 0)
        rc = read_word(params, "backoff", DD_REQUIRED, backoffs, &backoff, error);
    if (rc == 0)
        rc = read_word(params, "jitter", DD_REQUIRED, jitters, &jitter, error);
    if (rc == 0)
        rc = dd_params_float(params, "initial_delay_s", DD_REQUIRED, &out->initial_delay_s,
                             error);
    if (rc == 0)
        rc = dd_params_float(params, "max_delay_s", DD_REQUIRED, &out->max_delay_s, error);
    if (rc == 0)
        rc = dd_params_float(params, "rate", DD_OPTIONAL, &out->rate, error);
    if (rc == 0)
        rc = dd_params_float(params, "increment_s", DD_OPTIONAL, &out->increment_s, error);
    if (rc)
        return rc;
    out->max_attempts = (uint32_t)max_attempts;
    out->backoff = (enum dd_backoff)backoff;
    out->jitter = (enum dd_jitter)jitter;
    return 0;
}

static int read_strategy(struct dd_params *params, struct dd_call *out, struct dd_error *error)
{
    static const char *const semantics[] = {"AT_LEAST_ONCE_PER_RETRY", "AT_MOST_ONCE_PER_RETRY",
                                            NULL};
    struct dd_params retry;
    bool given, ask = false;
    int word = 0;
    int rc = read_word(params, "semantics", DD_OPTIONAL, semantics, &word, error);

    out->semantics = (enum dd_semantics)word;
    if (rc == 0)
        rc = dd_params_bool(params, "ask", &ask, error);
    if (rc == 0)
        rc = dd_params_map(params, "retry", DD_OPTIONAL, &retry, &given, error);
    if (rc)
        return rc;
    out->strategy = ask ? DD_STRATEGY_ASK : given ? DD_STRATEGY_DATA : DD_STRATEGY_NONE;
    if (!given)
        return 0;
    rc = read_retry(&retry, &out->retry, error);
    if (rc)
        params->bad = "retry";
    return rc;
}

/* A count of branches; `*out_given` false when absent. */
static int read_count(struct dd_params *params, const char *name, uint32_t *out,
                      bool *out_given, struct dd_error *error)
{
    int64_t value = -1;
    int rc = dd_params_int(params, name, DD_OPTIONAL, 0, DD_SESSION_HANDLES_MAX, &value, error);

    *out_given = rc == 0 && value >= 0;
    if (*out_given)
        *out = (uint32_t)value;
    return rc;
}

static int read_batch(struct dd_params *params, struct dd_batch_options *out,
                      struct dd_error *error)
{
    bool given;
    int rc = read_count(params, "total", &out->total, &given, error);

    if (rc == 0 && !given)
        rc = dd_params_refuse(params, "total", error, "is missing");
    if (rc == 0)
        rc = dd_params_text(params, "sub_type", DD_REQUIRED, &out->sub_type, error);
    if (rc == 0)
        rc = read_count(params, "max_concurrency", &out->max_concurrency, &given, error);
    if (rc == 0)
        rc = read_count(params, "min_successful", &out->min_successful,
                        &out->has_min_successful, error);
    if (rc == 0)
        rc = read_count(params, "tolerated_failure_count", &out->tolerated_count,
                        &out->has_tolerated_count, error);
    out->tolerated_percentage = -1;
    if (rc == 0)
        rc = dd_params_float(params, "tolerated_failure_percentage", DD_OPTIONAL,
                             &out->tolerated_percentage, error);
    out->has_tolerated_percentage = out->tolerated_percentage >= 0;
    if (rc == 0)
        rc = dd_params_bool(params, "ask", &out->ask, error);
    if (rc == 0)
        rc = dd_params_bool(params, "virtual", &out->is_virtual, error);
    return rc;
}

/* What only one type of operation has. */
static int read_typed(struct dd_params *params, struct dd_call *out, struct dd_error *error)
{
    struct dd_params batch;
    int rc = dd_params_int(params, "seconds", DD_OPTIONAL, INT64_MIN, INT64_MAX, &out->seconds,
                           error);

    if (rc == 0)
        rc = dd_params_int(params, "timeout_s", DD_OPTIONAL, 0, DD_CALLBACK_SECONDS_MAX,
                           &out->timeout_s, error);
    if (rc == 0)
        rc = dd_params_int(params, "heartbeat_timeout_s", DD_OPTIONAL, 0,
                           DD_CALLBACK_SECONDS_MAX, &out->heartbeat_timeout_s, error);
    if (rc == 0)
        rc = dd_params_text(params, "function", DD_OPTIONAL, &out->function, error);
    if (rc == 0)
        rc = dd_params_text(params, "payload", DD_OPTIONAL, &out->payload, error);
    if (rc == 0)
        rc = dd_params_text(params, "tenant_id", DD_OPTIONAL, &out->tenant_id, error);
    if (rc == 0)
        rc = dd_params_map(params, "batch", DD_OPTIONAL, &batch, &out->is_batch, error);
    if (rc || !out->is_batch)
        return rc;
    rc = read_batch(&batch, &out->batch, error);
    if (rc)
        params->bad = "batch";
    return rc;
}

static int read_start(struct dd_params *params, struct dd_call *out, struct dd_error *error)
{
    struct dd_span type;
    int rc = read_u32(params, "operation", &out->operation, error);

    if (rc == 0)
        rc = read_u32(params, "context", &out->context, error);
    if (rc == 0)
        rc = read_u32(params, "position", &out->position, error);
    if (rc == 0)
        rc = dd_params_text(params, "type", DD_REQUIRED, &type, error);
    if (rc == 0) {
        out->type = dd_operation_type_parse(type);
        if (out->type == DD_TYPE_NONE)
            rc = dd_params_refuse(params, "type", error, "is no operation type");
    }
    if (rc == 0)
        rc = dd_params_text(params, "sub_type", DD_OPTIONAL, &out->sub_type, error);
    if (rc == 0)
        rc = dd_params_text(params, "name", DD_OPTIONAL, &out->name, error);
    if (rc == 0)
        rc = dd_params_bool(params, "virtual", &out->is_virtual, error);
    if (rc == 0)
        rc = dd_params_bool(params, "strand", &out->strand, error);
    if (rc == 0)
        rc = read_typed(params, out, error);
    if (rc == 0)
        rc = read_strategy(params, out, error);
    return rc;
}

static int read_await(struct dd_params *params, struct dd_call *out, struct dd_error *error)
{
    struct dd_array handles;
    uint32_t *operations;
    int rc = read_u32(params, "context", &out->context, error);

    if (rc == 0)
        rc = dd_params_bool(params, "any", &out->any, error);
    if (rc == 0)
        rc = dd_params_array(params, "operations", DD_REQUIRED, DD_FRAME_ITEMS_MAX, &handles,
                             error);
    if (rc)
        return rc;
    operations = dd_alloc_array(handles.len, sizeof *operations);
    out->operations = operations;
    out->operations_len = handles.len;
    for (size_t i = 0; i < handles.len; i++) {
        int64_t handle;

        if (!dd_array_int(&handles, i, 0, UINT32_MAX, &handle)) {
            dd_wire_call_deinit(out);
            return dd_params_refuse(params, "operations", error, "must hold handles");
        }
        operations[i] = (uint32_t)handle;
    }
    return 0;
}

static int read_fail(struct dd_params *params, struct dd_call *out, struct dd_error *error)
{
    int rc = read_u32(params, "operation", &out->operation, error);

    out->retryable = true;
    out->delay_s = -1;
    if (rc == 0)
        rc = dd_params_bool(params, "retryable", &out->retryable, error);
    if (rc == 0)
        rc = dd_params_bool(params, "final", &out->final, error);
    if (rc == 0)
        rc = dd_params_int(params, "delay_s", DD_OPTIONAL, 0, INT64_MAX, &out->delay_s, error);
    if (rc == 0)
        rc = dd_wire_read_error(params, "error", DD_REQUIRED, &out->error, error);
    out->decided = out->delay_s >= 0;
    if (!out->decided)
        out->delay_s = 0;
    return rc;
}

static int read_decision(struct dd_params *params, struct dd_call *out, struct dd_error *error)
{
    static const char *const words[] = {"SUCCEEDED", "FAILED", NULL};
    static const enum dd_operation_status statuses[] = {DD_STATUS_SUCCEEDED, DD_STATUS_FAILED};
    int word = -1;
    int rc = read_u32(params, "operation", &out->operation, error);

    if (rc == 0)
        rc = read_word(params, "complete", DD_OPTIONAL, words, &word, error);
    if (rc == 0 && word >= 0)
        out->complete = statuses[word];
    return rc;
}

static int read_end(struct dd_params *params, struct dd_call *out, struct dd_error *error)
{
    int rc = dd_params_text(params, "payload", DD_OPTIONAL, &out->payload, error);

    if (rc == 0)
        rc = dd_params_bool(params, "unwound", &out->unwound, error);
    if (rc == 0)
        rc = dd_params_bool(params, "invocation", &out->invocation, error);
    if (rc == 0)
        rc = dd_wire_read_error(params, "error", DD_OPTIONAL, &out->error, error);
    return rc;
}

int dd_wire_read_call(enum dd_call_kind kind, struct dd_params *params, struct dd_call *out,
                      struct dd_error *error)
{
    int rc;

    *out = (struct dd_call){.kind = kind};
    switch (kind) {
    case DD_CALL_OPERATIONS:
        return 0;
    case DD_CALL_START:
        return read_start(params, out, error);
    case DD_CALL_AWAIT:
        return read_await(params, out, error);
    case DD_CALL_SUCCEED:
        rc = read_u32(params, "operation", &out->operation, error);
        if (rc == 0)
            rc = dd_params_text(params, "payload", DD_OPTIONAL, &out->payload, error);
        if (rc == 0)
            rc = dd_params_text(params, "summary", DD_OPTIONAL, &out->summary, error);
        if (rc == 0)
            rc = dd_params_bool(params, "replay_children", &out->replay_children, error);
        return rc;
    case DD_CALL_FAIL:
        return read_fail(params, out, error);
    case DD_CALL_DECIDE:
        out->decided = true;
        rc = read_u32(params, "operation", &out->operation, error);
        if (rc == 0)
            rc = dd_params_int(params, "delay_s", DD_REQUIRED, 0, INT64_MAX, &out->delay_s,
                               error);
        return rc;
    case DD_CALL_RETRY:
        rc = read_u32(params, "operation", &out->operation, error);
        if (rc == 0)
            rc = dd_params_text(params, "payload", DD_OPTIONAL, &out->payload, error);
        if (rc == 0)
            rc = dd_params_int(params, "delay_s", DD_REQUIRED, INT64_MIN, INT64_MAX,
                               &out->delay_s, error);
        return rc;
    case DD_CALL_BATCH:
        return read_decision(params, out, error);
    case DD_CALL_UNWOUND:
        return read_u32(params, "operation", &out->operation, error);
    case DD_CALL_END:
        return read_end(params, out, error);
    }
    dd_unreachable();
}

void dd_wire_call_deinit(struct dd_call *call)
{
    dd_free((void *)(uintptr_t)call->operations);
    dd_error_object_unref(call->error);
    call->operations = NULL;
    call->error = NULL;
}

/* --- writing: shapes --------------------------------------------------------------------- */

static void pack_time(msgpack_packer *packer, const char *name, int64_t time_ms)
{
    if (time_ms == 0)
        return;
    dd_pack_cstr(packer, name);
    msgpack_pack_int64(packer, time_ms);
}

static void pack_member(msgpack_packer *packer, const char *name, const struct dd_text *text)
{
    if (!text)
        return;
    dd_pack_cstr(packer, name);
    dd_pack_text(packer, text);
}

void dd_wire_pack_error(msgpack_packer *packer, const struct dd_error_object *error)
{
    msgpack_pack_map(packer, (size_t)(error->message != NULL) + (error->type != NULL) +
                                 (error->data != NULL) + (error->stack != NULL));
    pack_member(packer, "ErrorMessage", error->message);
    pack_member(packer, "ErrorType", error->type);
    pack_member(packer, "ErrorData", error->data);
    if (!error->stack)
        return;
    dd_pack_cstr(packer, "StackTrace");
    msgpack_pack_array(packer, error->stack_len);
    for (uint32_t i = 0; i < error->stack_len; i++)
        dd_pack_text(packer, error->stack[i]);
}

static void pack_error_member(msgpack_packer *packer, const char *name,
                              const struct dd_error_object *error)
{
    if (!error)
        return;
    dd_pack_cstr(packer, name);
    dd_wire_pack_error(packer, error);
}

/* Exactly one details object, matching the type (service-api 3.3). */
static void pack_details(msgpack_packer *packer, const struct dd_operation *operation,
                         bool data)
{
    const struct dd_text *result = data ? operation->result : NULL;
    const struct dd_error_object *error = data ? operation->error : NULL;
    size_t outcome = (size_t)(result != NULL) + (error != NULL);

    switch (operation->type) {
    case DD_TYPE_EXECUTION:
        dd_pack_cstr(packer, "ExecutionDetails");
        msgpack_pack_map(packer, result ? 1 : 0);
        pack_member(packer, "InputPayload", result);
        return;
    case DD_TYPE_CONTEXT:
        dd_pack_cstr(packer, "ContextDetails");
        msgpack_pack_map(packer, outcome + (operation->replay_children ? 1 : 0));
        if (operation->replay_children) {
            dd_pack_cstr(packer, "ReplayChildren");
            msgpack_pack_true(packer);
        }
        break;
    case DD_TYPE_STEP:
        dd_pack_cstr(packer, "StepDetails");
        msgpack_pack_map(packer, outcome + 1 + (operation->due_ms ? 1 : 0));
        dd_pack_cstr(packer, "Attempt");
        msgpack_pack_uint32(packer, operation->attempt);
        pack_time(packer, "NextAttemptTimestamp", operation->due_ms);
        break;
    case DD_TYPE_WAIT:
        dd_pack_cstr(packer, "WaitDetails");
        msgpack_pack_map(packer, operation->due_ms ? 1 : 0);
        pack_time(packer, "ScheduledEndTimestamp", operation->due_ms);
        return;
    case DD_TYPE_CALLBACK:
        dd_pack_cstr(packer, "CallbackDetails");
        msgpack_pack_map(packer, outcome + (operation->callback_id ? 1 : 0));
        pack_member(packer, "CallbackId", operation->callback_id);
        break;
    case DD_TYPE_CHAINED_INVOKE:
        dd_pack_cstr(packer, "ChainedInvokeDetails");
        msgpack_pack_map(packer, outcome);
        break;
    case DD_TYPE_NONE:
        dd_unreachable();
    }
    pack_member(packer, "Result", result);
    pack_error_member(packer, "Error", error);
}

void dd_wire_pack_operation(msgpack_packer *packer, const struct dd_operation *operation,
                            bool data)
{
    msgpack_pack_map(packer, 5 + (size_t)(operation->parent_id != NULL) +
                                 (operation->name != NULL) + (operation->sub_type != NULL) +
                                 (operation->end_ms != 0));
    pack_member(packer, "Id", operation->id);
    pack_member(packer, "ParentId", operation->parent_id);
    pack_member(packer, "Name", operation->name);
    pack_member(packer, "SubType", operation->sub_type);
    dd_pack_cstr(packer, "Type");
    dd_pack_cstr(packer, dd_operation_type_name(operation->type));
    dd_pack_cstr(packer, "Status");
    dd_pack_cstr(packer, dd_operation_status_name(operation->status));
    dd_pack_cstr(packer, "StartTimestamp");
    msgpack_pack_int64(packer, operation->start_ms);
    pack_time(packer, "EndTimestamp", operation->end_ms);
    pack_details(packer, operation, data);
}

/* The ARN of the function, with its version: what the execution's begins with. */
static struct dd_span function_arn(const struct dd_text *arn)
{
    const char *end;

    dd_assert(arn);
    end = strstr(arn->data, "/durable-execution/");
    dd_assert(end);
    return dd_span_make(arn->data, (size_t)(end - arn->data));
}

void dd_wire_pack_execution(msgpack_packer *packer, const struct dd_execution *execution,
                            bool data, size_t more)
{
    const struct dd_text *input = data ? dd_execution_operation(execution)->result : NULL;
    const struct dd_text *result = data ? dd_execution_result(execution) : NULL;
    const struct dd_error_object *failure = data ? dd_execution_error(execution) : NULL;
    const struct dd_text *arn = dd_execution_arn(execution);
    struct dd_head head;

    dd_execution_head(execution, &head);
    msgpack_pack_map(packer, 5 + (size_t)(head.end_ms != 0) + (input != NULL) +
                                 (result != NULL) + (failure != NULL) + more);
    pack_member(packer, "DurableExecutionArn", arn);
    pack_member(packer, "DurableExecutionName", head.name);
    dd_pack_cstr(packer, "FunctionArn");
    dd_pack_span(packer, function_arn(arn));
    dd_pack_cstr(packer, "Status");
    dd_pack_cstr(packer, dd_execution_status_name(head.status));
    dd_pack_cstr(packer, "StartTimestamp");
    msgpack_pack_int64(packer, head.start_ms);
    pack_time(packer, "EndTimestamp", head.end_ms);
    pack_member(packer, "InputPayload", input);
    pack_member(packer, "Result", result);
    pack_error_member(packer, "Error", failure);
}

/* --- writing: events --------------------------------------------------------------------- */

static void pack_int_member(msgpack_packer *packer, const char *name, int64_t value)
{
    dd_pack_cstr(packer, name);
    msgpack_pack_int64(packer, value);
}

/* {Payload?, Truncated} around a text or an error (service-api 7.3). */
static void pack_wrapper(msgpack_packer *packer, const char *name, const struct dd_text *text,
                         const struct dd_error_object *error, bool data)
{
    bool given = data && (text || error);

    dd_pack_cstr(packer, name);
    msgpack_pack_map(packer, given ? 2 : 1);
    if (given && text)
        pack_member(packer, "Payload", text);
    else if (given)
        pack_error_member(packer, "Payload", error);
    dd_pack_cstr(packer, "Truncated");
    dd_pack_bool(packer, !data);
}

static void pack_retry(msgpack_packer *packer, const struct dd_fact *fact)
{
    dd_pack_cstr(packer, "RetryDetails");
    msgpack_pack_map(packer, fact->delay_s ? 2 : 1);
    pack_int_member(packer, "CurrentAttempt", fact->attempt);
    if (fact->delay_s)
        pack_int_member(packer, "NextAttemptDelaySeconds", fact->delay_s);
}

/* Of what could not be resolved there is only the name (service-api 7.2). */
static void pack_invoke_started(msgpack_packer *packer, const struct dd_fact *fact, bool data)
{
    msgpack_pack_map(packer, 1 + (size_t)(fact->tenant_id != NULL) + (fact->child ? 2 : 0) +
                                 (fact->child_arn != NULL));
    pack_member(packer, "FunctionName", fact->function);
    pack_member(packer, "TenantId", fact->tenant_id);
    if (!fact->child)
        return;
    pack_wrapper(packer, "Input", fact->payload, NULL, data);
    dd_pack_cstr(packer, "ExecutedVersion");
    dd_pack_cstr(packer, "$LATEST");
    pack_member(packer, "DurableExecutionArn", fact->child_arn);
}

/* The members of <EventType>Details (service-api 7.2). */
static void pack_event_details(msgpack_packer *packer, const struct dd_fact *fact, bool data)
{
    switch (fact->kind) {
    case DD_FACT_EXECUTION_STARTED:
        msgpack_pack_map(packer, 2);
        pack_wrapper(packer, "Input", fact->payload, NULL, data);
        pack_int_member(packer, "ExecutionTimeout", fact->execution_timeout_s);
        return;
    case DD_FACT_EXECUTION_SUCCEEDED:
    case DD_FACT_CONTEXT_SUCCEEDED:
    case DD_FACT_CALLBACK_SUCCEEDED:
    case DD_FACT_CHAINED_INVOKE_SUCCEEDED:
        msgpack_pack_map(packer, 1);
        pack_wrapper(packer, "Result", fact->payload, NULL, data);
        return;
    case DD_FACT_EXECUTION_FAILED:
    case DD_FACT_EXECUTION_STOPPED:
    case DD_FACT_CONTEXT_FAILED:
    case DD_FACT_CALLBACK_FAILED:
    case DD_FACT_CALLBACK_TIMED_OUT:
    case DD_FACT_CHAINED_INVOKE_FAILED:
    case DD_FACT_CHAINED_INVOKE_TIMED_OUT:
    case DD_FACT_CHAINED_INVOKE_STOPPED:
        msgpack_pack_map(packer, 1);
        pack_wrapper(packer, "Error", NULL, fact->error, data);
        return;
    case DD_FACT_STEP_SUCCEEDED:
        msgpack_pack_map(packer, 2);
        pack_wrapper(packer, "Result", fact->payload, NULL, data);
        pack_retry(packer, fact);
        return;
    case DD_FACT_STEP_FAILED:
        msgpack_pack_map(packer, 2);
        pack_wrapper(packer, "Error", NULL, fact->error, data);
        pack_retry(packer, fact);
        return;
    case DD_FACT_WAIT_STARTED:
        msgpack_pack_map(packer, 2);
        pack_int_member(packer, "Duration", fact->delay_s);
        pack_int_member(packer, "ScheduledEndTimestamp", fact->due_ms);
        return;
    case DD_FACT_WAIT_SUCCEEDED:
        msgpack_pack_map(packer, 1);
        pack_int_member(packer, "Duration", fact->delay_s);
        return;
    case DD_FACT_CALLBACK_STARTED:
        msgpack_pack_map(packer, 1 + (size_t)(fact->delay_s != 0) + (fact->heartbeat_s != 0));
        pack_member(packer, "CallbackId", fact->callback_id);
        pack_time(packer, "Timeout", fact->delay_s);
        pack_time(packer, "HeartbeatTimeout", fact->heartbeat_s);
        return;
    case DD_FACT_CHAINED_INVOKE_STARTED:
        pack_invoke_started(packer, fact, data);
        return;
    case DD_FACT_INVOCATION_COMPLETED:
        msgpack_pack_map(packer, fact->error ? 4 : 3);
        pack_int_member(packer, "StartTimestamp", fact->start_ms);
        pack_int_member(packer, "EndTimestamp", fact->time_ms);
        pack_member(packer, "RequestId", fact->request_id);
        if (fact->error)
            pack_wrapper(packer, "Error", NULL, fact->error, data);
        return;
    default: /* the others have no members */
        msgpack_pack_map(packer, 0);
    }
}

void dd_wire_pack_event(msgpack_packer *packer, const struct dd_fact *fact,
                        const struct dd_operation *subject, bool data)
{
    const char *type = dd_fact_event_type(fact->kind);
    size_t identity = 0;
    char details[64];

    if (subject)
        identity = (size_t)(subject->id != NULL) + (subject->name != NULL) +
                   (subject->sub_type != NULL) + (subject->parent_id != NULL);
    snprintf(details, sizeof details, "%sDetails", type);
    msgpack_pack_map(packer, 4 + identity);
    pack_int_member(packer, "EventId", fact->event_id);
    dd_pack_cstr(packer, "EventType");
    dd_pack_cstr(packer, type);
    pack_int_member(packer, "EventTimestamp", fact->time_ms);
    if (subject) {
        pack_member(packer, "Id", subject->id);
        pack_member(packer, "Name", subject->name);
        pack_member(packer, "SubType", subject->sub_type);
        pack_member(packer, "ParentId", subject->parent_id);
    }
    dd_pack_cstr(packer, details);
    pack_event_details(packer, fact, data);
}

/* --- writing: answers -------------------------------------------------------------------- */

/* Bytes of a line's level, chosen; and of all around its message and fields. */
#define LINE_LEVEL 32
#define LINE_REST 128

void dd_wire_write_line(struct dd_buf *out, int64_t time_ms, struct dd_span level,
                        struct dd_span message, struct dd_span fields)
{
    msgpack_packer packer;

    if (!fields.data)
        fields = DD_SPAN("\x80"); /* an empty map */
    dd_pack_init(&packer, out);
    dd_pack_cstr(&packer, "time_ms");
    msgpack_pack_int64(&packer, time_ms);
    dd_pack_cstr(&packer, "level");
    dd_pack_span(&packer, dd_utf8_cut(level, LINE_LEVEL));
    dd_pack_cstr(&packer, "message");
    dd_pack_span(&packer, dd_utf8_cut(message, DD_LOG_LINE_MAX - LINE_REST - fields.len));
    dd_pack_cstr(&packer, "fields");
    dd_buf_append_span(out, fields);
}

void dd_wire_write_empty(struct dd_buf *out)
{
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    msgpack_pack_map(&packer, 0);
}

static void pack_entries(msgpack_packer *packer, const struct dd_answer *answer)
{
    dd_pack_cstr(packer, "operations");
    msgpack_pack_array(packer, answer->entries_len);
    for (size_t i = 0; i < answer->entries_len; i++) {
        const struct dd_cursor_entry *entry = &answer->entries[i];

        msgpack_pack_map(packer, entry->context_id ? 3 : 2);
        pack_member(packer, "context", entry->context_id);
        pack_int_member(packer, "position", entry->position);
        dd_pack_cstr(packer, "operation");
        dd_wire_pack_operation(packer, entry->operation, true);
    }
    dd_pack_cstr(packer, "more");
    dd_pack_bool(packer, answer->more);
    dd_pack_cstr(packer, "gaps");
    dd_pack_bool(packer, answer->gaps);
}

void dd_wire_write_begun(struct dd_buf *out, const struct dd_answer *answer,
                         const struct dd_wire_session *session)
{
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    msgpack_pack_map(&packer, 8 + (answer->payload ? 1 : 0));
    pack_int_member(&packer, "session", (int64_t)session->id);
    dd_pack_cstr(&packer, "key");
    dd_pack_cstr(&packer, session->key);
    pack_member(&packer, "arn", session->arn);
    pack_int_member(&packer, "start_ms", answer->start_ms);
    dd_pack_cstr(&packer, "updated");
    msgpack_pack_array(&packer, session->updated_len);
    for (size_t i = 0; i < session->updated_len; i++)
        dd_pack_text(&packer, session->updated[i]);
    pack_member(&packer, "input", answer->payload);
    pack_entries(&packer, answer);
}

void dd_wire_write_joined(struct dd_buf *out, uint64_t session, const struct dd_text *arn)
{
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    msgpack_pack_map(&packer, 2);
    pack_int_member(&packer, "session", (int64_t)session);
    pack_member(&packer, "arn", arn);
}

static void pack_results(msgpack_packer *packer, const struct dd_answer *answer)
{
    dd_pack_cstr(packer, "operations");
    msgpack_pack_array(packer, answer->results_len);
    for (size_t i = 0; i < answer->results_len; i++) {
        const struct dd_result *result = &answer->results[i];

        msgpack_pack_map(packer,
                         2 + (size_t)(result->payload != NULL) + (result->failure != NULL));
        pack_int_member(packer, "operation", result->operation);
        dd_pack_cstr(packer, "status");
        dd_pack_cstr(packer, dd_operation_status_name(result->status));
        pack_member(packer, "payload", result->payload);
        pack_error_member(packer, "error", result->failure);
    }
}

static void pack_changed(msgpack_packer *packer, const struct dd_answer *answer)
{
    if (answer->changed_len == 0)
        return;
    dd_pack_cstr(packer, "changed");
    msgpack_pack_array(packer, answer->changed_len);
    for (size_t i = 0; i < answer->changed_len; i++)
        dd_wire_pack_operation(packer, &answer->changed[i], true);
}

/* The beginning of a map of `members`, the outcome among them; what an observed session
 * is told comes on top. */
static void pack_head(msgpack_packer *packer, const struct dd_answer *answer,
                      const char *outcome, size_t members)
{
    msgpack_pack_map(packer, members + (answer->changed_len > 0));
    pack_changed(packer, answer);
    dd_pack_cstr(packer, "outcome");
    dd_pack_cstr(packer, outcome);
}

/* RUN, DONE, PENDING, DECIDE, UNWIND: what is known of the operation. */
static void pack_outcome(msgpack_packer *packer, const struct dd_answer *answer,
                         const char *outcome)
{
    pack_head(packer, answer, outcome,
              2 + (size_t)(answer->operation_id != NULL) + (answer->attempt != 0) +
                  (answer->replay_children ? 1 : 0) + (answer->due_ms != 0) +
                  (answer->status != 0) + (answer->payload != NULL) +
                  (answer->failure != NULL) + (answer->callback_id != NULL));
    pack_int_member(packer, "operation", answer->operation);
    pack_member(packer, "id", answer->operation_id);
    if (answer->attempt)
        pack_int_member(packer, "attempt", answer->attempt);
    if (answer->replay_children) {
        dd_pack_cstr(packer, "replay_children");
        msgpack_pack_true(packer);
    }
    pack_time(packer, "due_ms", answer->due_ms);
    if (answer->status) {
        dd_pack_cstr(packer, "status");
        dd_pack_cstr(packer, dd_operation_status_name(answer->status));
    }
    pack_member(packer, "payload", answer->payload);
    pack_error_member(packer, "error", answer->failure);
    pack_member(packer, "callback_id", answer->callback_id);
}

static void pack_batch_run(msgpack_packer *packer, const struct dd_answer *answer)
{
    pack_head(packer, answer, "run", 2);
    dd_pack_cstr(packer, "branches");
    msgpack_pack_array(packer, answer->branches_len);
    for (size_t i = 0; i < answer->branches_len; i++)
        msgpack_pack_uint32(packer, answer->branches[i]);
}

static void pack_batch_decide(msgpack_packer *packer, const struct dd_answer *answer)
{
    pack_head(packer, answer, "decide", 2);
    dd_pack_cstr(packer, "changes");
    msgpack_pack_array(packer, answer->changes_len + (answer->first ? 1 : 0));
    if (answer->first)
        msgpack_pack_map(packer, 0);
    for (size_t i = 0; i < answer->changes_len; i++) {
        msgpack_pack_map(packer, 2);
        pack_int_member(packer, "index", answer->changes[i].index);
        dd_pack_cstr(packer, "status");
        dd_pack_cstr(packer, dd_operation_status_name(answer->changes[i].status));
    }
}

static void pack_batch_ready(msgpack_packer *packer, const struct dd_answer *answer)
{
    pack_head(packer, answer, "ready", 3);
    dd_pack_cstr(packer, "reason");
    dd_pack_cstr(packer, answer->reason);
    dd_pack_cstr(packer, "items");
    dd_pack_span(packer, answer->items);
}

void dd_wire_write_answer(struct dd_buf *out, const struct dd_answer *answer)
{
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    switch (answer->kind) {
    case DD_ANSWER_OPERATIONS:
        msgpack_pack_map(&packer, 3);
        pack_entries(&packer, answer);
        return;
    case DD_ANSWER_RUN:
        pack_outcome(&packer, answer, "run");
        return;
    case DD_ANSWER_DONE:
        pack_outcome(&packer, answer, "done");
        return;
    case DD_ANSWER_PENDING:
        pack_outcome(&packer, answer, "pending");
        return;
    case DD_ANSWER_DECIDE:
        pack_outcome(&packer, answer, "decide");
        return;
    case DD_ANSWER_UNWIND:
        pack_outcome(&packer, answer, "unwind");
        return;
    case DD_ANSWER_READY:
        pack_head(&packer, answer, "ready", 2);
        pack_results(&packer, answer);
        return;
    case DD_ANSWER_BATCH_RUN:
        pack_batch_run(&packer, answer);
        return;
    case DD_ANSWER_BATCH_DECIDE:
        pack_batch_decide(&packer, answer);
        return;
    case DD_ANSWER_BATCH_READY:
        pack_batch_ready(&packer, answer);
        return;
    case DD_ANSWER_ENDED: /* have writers of their own */
    case DD_ANSWER_BEGUN:
    case DD_ANSWER_ERROR:
        break;
    }
    dd_unreachable();
}

void dd_wire_write_ended(struct dd_buf *out, struct dd_span output,
                         const struct dd_answer *answer)
{
    const struct dd_error_object *raise = answer->raise ? answer->failure : NULL;
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    msgpack_pack_map(&packer, 1 + (answer->changed_len > 0));
    pack_changed(&packer, answer);
    dd_pack_cstr(&packer, raise ? "raise" : "output");
    if (raise)
        dd_wire_pack_error(&packer, raise);
    else
        dd_pack_span(&packer, output);
}

void dd_wire_write_worker(struct dd_buf *out, uint64_t worker)
{
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    msgpack_pack_map(&packer, 1);
    pack_int_member(&packer, "worker", (int64_t)worker);
}

void dd_wire_write_drain(struct dd_buf *out)
{
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    msgpack_pack_map(&packer, 1);
    dd_pack_cstr(&packer, "drain");
    msgpack_pack_true(&packer);
}

void dd_wire_write_invocation(struct dd_buf *out, const struct dd_envelope *envelope,
                              const struct dd_text *function, struct dd_span event,
                              int64_t deadline_ms)
{
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    msgpack_pack_map(&packer, 1);
    dd_pack_cstr(&packer, "invocation");
    msgpack_pack_map(&packer, 3 + (size_t)(deadline_ms != 0) + (envelope->tenant_id != NULL));
    pack_member(&packer, "request_id", envelope->request_id);
    pack_member(&packer, "function", function);
    dd_pack_cstr(&packer, "event");
    dd_pack_span(&packer, event);
    pack_time(&packer, "deadline_ms", deadline_ms);
    pack_member(&packer, "tenant_id", envelope->tenant_id);
}
