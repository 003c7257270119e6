/* The words both engines share: operations, updates, errors, and their enums,
 * as the Lambda durable execution API shapes them (service-api 3.1 to 3.3).
 *
 * Ownership: `struct dd_text *` and `struct dd_error_object *` members hold a
 * reference; the *_deinit function of the struct drops them. Copies are made
 * with the *_copy function, which takes references and copies no bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

/* X(symbol, wire name) */
#define DD_OPERATION_TYPES(X) \
    X(EXECUTION, "EXECUTION") \
    X(CONTEXT, "CONTEXT")     \
    X(STEP, "STEP")           \
    X(WAIT, "WAIT")           \
    X(CALLBACK, "CALLBACK")   \
    X(CHAINED_INVOKE, "CHAINED_INVOKE")

#define DD_ACTIONS(X)     \
    X(START, "START")     \
    X(SUCCEED, "SUCCEED") \
    X(FAIL, "FAIL")       \
    X(RETRY, "RETRY")     \
    X(CANCEL, "CANCEL")

#define DD_OPERATION_STATUSES(X) \
    X(STARTED, "STARTED")        \
    X(PENDING, "PENDING")        \
    X(READY, "READY")            \
    X(SUCCEEDED, "SUCCEEDED")    \
    X(FAILED, "FAILED")          \
    X(CANCELLED, "CANCELLED")    \
    X(TIMED_OUT, "TIMED_OUT")    \
    X(STOPPED, "STOPPED")

#define DD_EXECUTION_STATUSES(X) \
    X(RUNNING, "RUNNING")        \
    X(SUCCEEDED, "SUCCEEDED")    \
    X(FAILED, "FAILED")          \
    X(TIMED_OUT, "TIMED_OUT")    \
    X(STOPPED, "STOPPED")

/* 0 is "absent" in each, so that zeroed structs are empty ones. */
enum dd_operation_type {
    DD_TYPE_NONE,
#define X(symbol, name) DD_TYPE_##symbol,
    DD_OPERATION_TYPES(X)
#undef X
};
enum dd_action {
    DD_ACTION_NONE,
#define X(symbol, name) DD_ACTION_##symbol,
    DD_ACTIONS(X)
#undef X
};
enum dd_operation_status {
    DD_STATUS_NONE,
#define X(symbol, name) DD_STATUS_##symbol,
    DD_OPERATION_STATUSES(X)
#undef X
};
enum dd_execution_status {
    DD_EXECUTION_NONE,
#define X(symbol, name) DD_EXECUTION_##symbol,
    DD_EXECUTION_STATUSES(X)
#undef X
};

/* Wire names; "" for NONE and for numbers beyond the enum. The parsers return NONE for anything
 * unknown. */
const char *dd_operation_type_name(enum dd_operation_type type);
const char *dd_action_name(enum dd_action action);
const char *dd_operation_status_name(enum dd_operation_status status);
const char *dd_execution_status_name(enum dd_execution_status status);
enum dd_operation_type dd_operation_type_parse(struct dd_span name);
enum dd_action dd_action_parse(struct dd_span name);
enum dd_operation_status dd_operation_status_parse(struct dd_span name);
enum dd_execution_status dd_execution_status_parse(struct dd_span name);

/* SUCCEEDED, FAILED, CANCELLED, TIMED_OUT, STOPPED. */
bool dd_operation_status_terminal(enum dd_operation_status status);

/* ErrorObject: immutable and counted, like text. Every member may be absent;
 * an ErrorObject without members differs from no ErrorObject. */
struct dd_error_object {
    uint32_t refs;
    struct dd_text *message; /* ErrorMessage */
    struct dd_text *type;    /* ErrorType */
    struct dd_text *data;    /* ErrorData */
    struct dd_text **stack;  /* StackTrace; NULL when absent */
    uint32_t stack_len;
};

/* Gives a new object; takes a copy of each span, absent spans stay absent. */
struct dd_error_object *dd_error_object_new(struct dd_span type, struct dd_span message);

/* Gives a new object that takes the caller's references and the `stack` array. */
struct dd_error_object *dd_error_object_take(struct dd_text *type, struct dd_text *message,
                                             struct dd_text *data, struct dd_text **stack,
                                             uint32_t stack_len);
struct dd_error_object *dd_error_object_ref(struct dd_error_object *error);
void dd_error_object_unref(struct dd_error_object *error);

/* Gives `error` itself when its size (dd_error_object_size()) is at most `max`; else one with
 * as much of its type and message as surely fits. */
struct dd_error_object *dd_error_object_fit(struct dd_error_object *error, size_t max);
void dd_error_object_set(struct dd_error_object **slot, struct dd_error_object *error);

/* Bytes of the object as compact JSON, as the size limits count it; 0 for NULL. */
size_t dd_error_object_size(const struct dd_error_object *error);

/* Operation (service-api 3.3). */
struct dd_operation {
    enum dd_operation_type type;
    enum dd_operation_status status;
    struct dd_text *id;
    struct dd_text *parent_id;
    struct dd_text *name;
    struct dd_text *sub_type;
    struct dd_text *result; /* Result; for EXECUTION the InputPayload */
    struct dd_error_object *error;
    struct dd_text *callback_id;
    int64_t start_ms;
    int64_t end_ms;   /* 0: not ended */
    int64_t due_ms;   /* NextAttemptTimestamp (STEP), ScheduledEndTimestamp (WAIT), the earlier
                         timeout (CALLBACK); 0: none */
    uint32_t attempt; /* finished attempts (StepDetails.Attempt) */
    bool replay_children;
};

void dd_operation_copy(struct dd_operation *to, const struct dd_operation *from);
void dd_operation_deinit(struct dd_operation *operation);

/* OperationUpdate (service-api 3.2). `has_*` tells a given option from none. */
struct dd_update {
    enum dd_operation_type type;
    enum dd_action action;
    struct dd_text *id;
    struct dd_text *parent_id;
    struct dd_text *name;
    struct dd_text *sub_type;
    struct dd_text *payload;
    struct dd_error_object *error;
    bool has_context_options;
    bool replay_children;
    bool has_step_options;
    int64_t next_attempt_delay_s;
    bool has_wait_options;
    int64_t wait_s;
    bool has_callback_options;
    int64_t timeout_s; /* 0: none, as the next one */
    int64_t heartbeat_timeout_s;
    bool has_invoke_options;
    struct dd_text *function_name;
    struct dd_text *tenant_id;
};

void dd_update_copy(struct dd_update *to, const struct dd_update *from);
void dd_update_deinit(struct dd_update *update);

/* Bytes the update counts for in a batch (sdk-semantics 8.1): its members as
 * compact JSON, near enough: text lengths plus 160 for keys and punctuation, and what a
 * payload, which often is JSON itself, has to escape. */
size_t dd_update_size(const struct dd_update *update);
