/* Facts: what happened to an execution, in order. They are the only thing the
 * journal stores and the only thing that changes an execution: live and after a
 * restart the same dd_execution_apply() folds them. A fact with an event id is
 * also an event of the public history (service-api 7); the others are ours.
 */
#pragma once

#include "core/model.h"

/* X(symbol, number in the journal, EventType or NULL)
 * Numbers are forever: a store written today is read by every later release. */
#define DD_FACTS(X)                                           \
    X(EXECUTION_STARTED, 1, "ExecutionStarted")               \
    X(EXECUTION_SUCCEEDED, 2, "ExecutionSucceeded")           \
    X(EXECUTION_FAILED, 3, "ExecutionFailed")                 \
    X(EXECUTION_TIMED_OUT, 4, "ExecutionTimedOut")            \
    X(EXECUTION_STOPPED, 5, "ExecutionStopped")               \
    X(CONTEXT_STARTED, 10, "ContextStarted")                  \
    X(CONTEXT_SUCCEEDED, 11, "ContextSucceeded")              \
    X(CONTEXT_FAILED, 12, "ContextFailed")                    \
    X(STEP_STARTED, 20, "StepStarted")                        \
    X(STEP_SUCCEEDED, 21, "StepSucceeded")                    \
    X(STEP_FAILED, 22, "StepFailed")                          \
    X(STEP_READY, 23, NULL)                                   \
    X(WAIT_STARTED, 30, "WaitStarted")                        \
    X(WAIT_SUCCEEDED, 31, "WaitSucceeded")                    \
    X(WAIT_CANCELLED, 32, "WaitCancelled")                    \
    X(CALLBACK_STARTED, 40, "CallbackStarted")                \
    X(CALLBACK_SUCCEEDED, 41, "CallbackSucceeded")            \
    X(CALLBACK_FAILED, 42, "CallbackFailed")                  \
    X(CALLBACK_TIMED_OUT, 43, "CallbackTimedOut")             \
    X(CALLBACK_HEARTBEAT, 44, NULL)                           \
    X(CHAINED_INVOKE_STARTED, 50, "ChainedInvokeStarted")     \
    X(CHAINED_INVOKE_SUCCEEDED, 51, "ChainedInvokeSucceeded") \
    X(CHAINED_INVOKE_FAILED, 52, "ChainedInvokeFailed")       \
    X(CHAINED_INVOKE_TIMED_OUT, 53, "ChainedInvokeTimedOut")  \
    X(CHAINED_INVOKE_STOPPED, 54, "ChainedInvokeStopped")     \
    X(INVOCATION_STARTED, 60, NULL)                           \
    X(INVOCATION_COMPLETED, 61, "InvocationCompleted")        \
    X(INVOCATION_RELEASED, 62, NULL)                          \
    X(CHECKPOINTED, 63, NULL)                                 \
    X(INVOCATION_DUE, 64, NULL)

enum dd_fact_kind {
    DD_FACT_NONE = 0,
#define X(symbol, number, name) DD_FACT_##symbol = (number),
    DD_FACTS(X)
#undef X
};

/* EventType of a kind, NULL for kinds that are not events or unknown numbers. */
const char *dd_fact_event_type(enum dd_fact_kind kind);

/* One fact. Members that a kind does not use are zero. Which kind uses what:
 *
 * EXECUTION_STARTED    id=execution id, name, payload=input, function,
 *                      execution_timeout_s, retention_s, plain, tenant_id; for what a
 *                      CHAINED_INVOKE started, parent_execution and parent_operation
 * EXECUTION_SUCCEEDED  payload=result
 * EXECUTION_FAILED, EXECUTION_TIMED_OUT, EXECUTION_STOPPED   error
 * *_STARTED            id, parent_id, name, sub_type
 * STEP_SUCCEEDED       payload, attempt, delay_s and due_ms when a RETRY
 * STEP_FAILED          error, attempt, delay_s and due_ms when a RETRY
 * STEP_READY           id
 * CONTEXT_SUCCEEDED    payload, replay_children;  CONTEXT_FAILED  error, ...
 * WAIT_STARTED         delay_s, due_ms;  WAIT_SUCCEEDED  delay_s
 * CALLBACK_STARTED     callback_id, delay_s=timeout, heartbeat_s, due_ms=the earlier
 * CALLBACK_SUCCEEDED   payload;  CALLBACK_FAILED, CALLBACK_TIMED_OUT  error
 * CALLBACK_HEARTBEAT   due_ms
 * CHAINED_INVOKE_STARTED  payload=input, function=as the caller wrote it, tenant_id,
 *                      child=id of the execution that does it, child_arn when the
 *                      function is durable; none of both when there is no such function
 * CHAINED_INVOKE_SUCCEEDED  payload;  the other ends  error
 * INVOCATION_STARTED   request_id, worker, invocation (its number, from 1)
 * INVOCATION_COMPLETED request_id, start_ms, error; due_ms = when the retry of
 *                      a failed invocation may start, 0 for a clean return
 * INVOCATION_RELEASED  request_id: handed back or lost, uncounted
 * INVOCATION_DUE       the retry of a failed invocation may start now
 * CHECKPOINTED         token_seq (of the token it handed out), client_token;
 *                      closes the batch of one checkpoint
 *
 * Operation facts that close or change an operation repeat its parent_id, name
 * and sub_type only if the operation did not exist before. */
struct dd_fact {
    enum dd_fact_kind kind;
    uint32_t event_id; /* 0: not in the history */
    int64_t time_ms;
    enum dd_operation_type type; /* of the operation concerned */
    struct dd_text *id;
    struct dd_text *parent_id;
    struct dd_text *name;
    struct dd_text *sub_type;
    struct dd_text *payload;
    struct dd_error_object *error;
    struct dd_text *function;
    struct dd_text *request_id;
    struct dd_text *worker;
    struct dd_text *client_token;
    struct dd_text *callback_id;
    struct dd_text *tenant_id;
    struct dd_text *child;
    struct dd_text *child_arn;
    struct dd_text *parent_execution;
    struct dd_text *parent_operation;
    int64_t start_ms;
    int64_t due_ms;
    int64_t delay_s;
    int64_t execution_timeout_s;
    int64_t retention_s;
    int64_t heartbeat_s;
    uint32_t attempt;
    uint32_t invocation;
    uint32_t token_seq;
    bool replay_children;
    bool plain; /* the function is not durable */
};

void dd_fact_deinit(struct dd_fact *fact);

/* A growable list of facts; a zeroed one is empty. */
struct dd_facts {
    struct dd_fact *items;
    size_t len, cap;
};

/* Appends a zeroed fact of `kind` and returns it; valid until the next add. */
struct dd_fact *dd_facts_add(struct dd_facts *facts, enum dd_fact_kind kind, int64_t now_ms);
void dd_facts_deinit(struct dd_facts *facts);
