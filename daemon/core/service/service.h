/* The service engine: what AWS runs, as a function of (execution, event) to
 * facts and a reply.
 *
 * One `struct dd_execution` is one durable execution. Executions do not know
 * each other, so names, queues and timers across executions are the engine
 * room's business, derived from the head that each execution shows.
 *
 * Each dd_execution_*() call below is an event. It appends facts to `out`
 * after applying them to the execution; the caller makes them durable before it
 * lets the reply leave. A refused event appends nothing and changes nothing.
 *
 * Time is an argument, in ms since 1970; it never runs backwards for one
 * execution: facts carry the later of `now_ms` and the last time recorded. Whether
 * a timer is due is asked of `now_ms` alone, so a clock stepped back delays timers
 * and never fires one early. Single thread.
 */
#pragma once

#include "base/error.h"
#include "base/uuid.h"
#include "core/service/fact.h"
#include "core/violation.h"

struct dd_execution;

/* The same for all executions of a process; borrowed for the execution's life. */
struct dd_service_config {
    char region[32];
    char account[13];   /* twelve digits */
    uint8_t secret[32]; /* keys the MAC of checkpoint tokens; from the store */
    /* Failed invocations in a row that close an execution FAILED; 0: never. */
    uint32_t invocation_retries;
    uint32_t operations_max; /* operations of one execution, DD_OPERATIONS_MAX or AWS's */
    uint64_t bytes_max;      /* payload bytes written by one execution; 0: no quota */
};

/* Where an execution stands, for whoever schedules it. Derived from its facts. */
enum dd_work {
    DD_WORK_NONE,    /* waits for time or the outside, or is closed */
    DD_WORK_QUEUED,  /* wants an invocation, since work_since_ms */
    DD_WORK_RUNNING, /* an invocation is in flight, since work_since_ms */
};

/* What the rest of the process needs to know of an execution at rest. Text
 * members are borrowed from the execution. */
struct dd_head {
    struct dd_uuid id;
    struct dd_text *function;
    struct dd_text *name;
    enum dd_execution_status status;
    enum dd_work work;
    int64_t work_since_ms;
    int64_t next_due_ms; /* earliest timer: wait, retry, timeout, retention; 0: none */
    int64_t until_ms;    /* earliest of what it waits for: no ExecutionTimeout, no retention */
    int64_t start_ms;
    int64_t end_ms;
    uint32_t events;  /* last EventId */
    uint32_t records; /* journal records so far; the caller counts them */
};

/* Gives an execution without facts. `config` is kept borrowed. */
struct dd_execution *dd_execution_new(const struct dd_service_config *config);
void dd_execution_free(struct dd_execution *execution);

/* Folds one fact: on load from the journal, in order. DD_STORE_CORRUPT when the
 * fact cannot follow the ones before it. Borrows `fact`, references its texts. */
int dd_execution_apply(struct dd_execution *execution, const struct dd_fact *fact,
                       struct dd_error *error) DD_MUST_CHECK;

void dd_execution_head(const struct dd_execution *execution, struct dd_head *out_head);

/* Bytes it holds in memory, near enough for an eviction budget. */
size_t dd_execution_memory(const struct dd_execution *execution);

/* arn:aws:lambda:<region>:<account>:function:<fn>:$LATEST/durable-execution/
 * <name>/<id> (service-api 8.2). Borrowed; never NULL once started. */
struct dd_text *dd_execution_arn(const struct dd_execution *execution);

/* The EXECUTION operation (input, start), the result or error it closed with
 * (NULL when none) and the status. Borrowed. */
const struct dd_operation *dd_execution_operation(const struct dd_execution *execution);
struct dd_text *dd_execution_result(const struct dd_execution *execution);
struct dd_error_object *dd_execution_error(const struct dd_execution *execution);
int64_t dd_execution_timeout_s(const struct dd_execution *execution);
int64_t dd_execution_retention_s(const struct dd_execution *execution);

/* --- events ------------------------------------------------------------------------------ */

struct dd_start {
    struct dd_uuid id;
    struct dd_span function;
    struct dd_span name;         /* absent: the id's text is the name */
    struct dd_span input;        /* absent: no InputPayload */
    int64_t execution_timeout_s; /* 0: none */
    int64_t retention_s;         /* 0: kept until somebody deletes it */
    bool plain;                  /* the function is not durable: invoked once, with its input */
    struct dd_span tenant_id;    /* absent: none */
    /* The CHAINED_INVOKE that starts it, by ids; absent: none. */
    struct dd_span parent_execution;
    struct dd_span parent_operation;
};

/* Starts an execution that has no facts. Checks name and sizes
 * (DD_VALIDATION, DD_REQUEST_TOO_LARGE). */
int dd_execution_start(struct dd_execution *execution, const struct dd_start *start,
                       int64_t now_ms, struct dd_facts *out,
                       struct dd_error *error) DD_MUST_CHECK;

/* A start under a name that is taken (service-api 8.1): 0 when `input` is the
 * same text, so the caller answers with this execution; else DD_ALREADY_STARTED. */
int dd_execution_start_again(const struct dd_execution *execution, struct dd_span input,
                             struct dd_error *error) DD_MUST_CHECK;

/* A function as a caller writes it: NAME, NAME:QUALIFIER, or either at the end of a
 * partial or full ARN (service-api 1.4). Spans into the text; absent where not given. */
struct dd_reference {
    struct dd_span region;
    struct dd_span account;
    struct dd_span name;
    struct dd_span qualifier;
};

/* The form that a reference must have, as the service's messages show it. */
#define DD_REFERENCE_REGEX                                                    \
    "(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+" \
    "-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)"                       \
    "(:(\\$LATEST(\\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"

/* Splits a reference; false when it is none. */
bool dd_reference_split(struct dd_span text, struct dd_reference *out);

/* The function that a CHAINED_INVOKE names. DD_INVALID_PARAMETER when it is no reference,
 * or names another account or region. */
int dd_reference_parse(const struct dd_service_config *config, struct dd_span text,
                       struct dd_reference *out, struct dd_error *error) DD_MUST_CHECK;

/* What an invocation is given (service-api 2). The state itself is not in it:
 * the envelope carries no operations and a marker, so that the one path by
 * which a session learns the state is dd_execution_state(). */
struct dd_envelope {
    struct dd_text *arn;          /* borrowed */
    struct dd_text *token;        /* given */
    struct dd_text *marker;       /* given: of the first page of the state */
    struct dd_text *request_id;   /* given */
    struct dd_text **updated_ids; /* given: UpdatedOperationIds */
    size_t updated_ids_len;
    bool plain;                /* nothing of the above but request_id is for the function: */
    struct dd_text *input;     /* it is given this; borrowed, NULL: none */
    struct dd_text *tenant_id; /* borrowed, NULL: none */
};
void dd_envelope_deinit(struct dd_envelope *envelope);

/* What a function that is not durable gets: an execution without input has an empty object. */
static inline struct dd_span dd_envelope_payload(const struct dd_envelope *envelope)
{
    return envelope->input ? dd_text_span(envelope->input) : DD_SPAN("{}");
}

/* Begins an invocation of an execution whose work is QUEUED (asserted). Fires the
 * due timers of operations first; the ExecutionTimeout is dd_execution_due()'s, so
 * the invocation always begins. `random` makes the request id; `worker` is a label for
 * people and for recovery ("pid 4711 since 8812345"). */
void dd_execution_invoke(struct dd_execution *execution, int64_t now_ms,
                         const uint8_t random[16], struct dd_span worker, struct dd_facts *out,
                         struct dd_envelope *out_envelope);

/* How the invocation in flight ended. */
enum dd_outcome_kind {
    DD_OUTCOME_RETURNED, /* the function returned; its output is below */
    DD_OUTCOME_FAILED,   /* function error, crash, timeout: `error` says which */
    DD_OUTCOME_RELEASED, /* handed back, or lost with the daemon: uncounted */
};

/* Handler output (service-api 2.1), parsed by the codec. Of a plain function the
 * whole output is the result, and its status is SUCCEEDED. */
struct dd_outcome {
    enum dd_outcome_kind kind;
    bool malformed;                  /* not an object, or no known Status */
    enum dd_execution_status status; /* SUCCEEDED, FAILED, or RUNNING for PENDING */
    struct dd_text *result;          /* borrowed, NULL when absent */
    struct dd_error_object *error;   /* borrowed, NULL when absent */
};

/* Ends the invocation `request_id`: completes it, closes the execution, arms
 * the retry, or queues the next one (service-api 2.1, 5.3, 5.5). An unknown or
 * ended request id is DD_NOT_FOUND. `unit` in [0,1) spreads the retry delay. */
int dd_execution_invoked(struct dd_execution *execution, struct dd_span request_id,
                         const struct dd_outcome *outcome, double unit, int64_t now_ms,
                         struct dd_facts *out, struct dd_error *error) DD_MUST_CHECK;

/* What the function of a CHAINED_INVOKE START turned out to be. */
struct dd_target {
    struct dd_error_object *error; /* no such function: the operation fails with this */
    struct dd_uuid child;          /* else the execution that the caller starts for it, */
    struct dd_text *child_arn;     /* and its ARN when the function is durable */
};

struct dd_checkpoint {
    struct dd_span arn; /* as the caller named the execution */
    struct dd_span token;
    struct dd_span client_token; /* absent: no replay */
    const struct dd_update *updates;
    size_t updates_len;
    const struct dd_target *targets; /* one for each CHAINED_INVOKE START, in their order */
};

/* NewExecutionState and the next token (service-api 4.4, 4.5). */
struct dd_checkpointed {
    struct dd_text *token;           /* given; NULL after a closing update */
    struct dd_operation *operations; /* given */
    size_t operations_len;
};
void dd_checkpointed_deinit(struct dd_checkpointed *checkpointed);

/* Adds what the service model refuses of its members. dd_execution_checkpoint() asks
 * this by itself; who found other violations of the same request completes them. */
void dd_checkpoint_violations(const struct dd_checkpoint *checkpoint,
                              struct dd_violations *violations);

/* CheckpointDurableExecution: validates all, applies all, fires due timers of
 * operations, hands out the next token (service-api 3.4 to 3.6, 4). A replay of the
 * last checkpoint (same token, same client token) answers the same again. A batch
 * that breaks a quota closes the execution FAILED and is itself not applied. Each
 * CHAINED_INVOKE_STARTED among the facts that names a child is for the caller to start. */
int dd_execution_checkpoint(struct dd_execution *execution,
                            const struct dd_checkpoint *checkpoint, int64_t now_ms,
                            struct dd_facts *out, struct dd_checkpointed *out_checkpointed,
                            struct dd_error *error) DD_MUST_CHECK;

/* One page of GetDurableExecutionState, in order of start, children of closed
 * contexts left out unless ReplayChildren (service-api 1.3, 3.7). `token` must
 * be the current one. `marker` is absent on the first page. */
struct dd_page {
    const struct dd_operation **operations; /* given array; operations borrowed */
    size_t operations_len;
    struct dd_text *next_marker; /* given; NULL on the last page */
};
void dd_page_deinit(struct dd_page *page);
int dd_execution_state(struct dd_execution *execution, struct dd_span arn, struct dd_span token,
                       struct dd_span marker, size_t items_max, struct dd_page *out_page,
                       struct dd_error *error) DD_MUST_CHECK;

/* The execution and operation that a callback id names. Anything that this service did
 * not make is DD_INVALID_PARAMETER "Invalid callback id". */
int dd_callback_open(const struct dd_service_config *config, struct dd_span callback_id,
                     struct dd_uuid *out_execution, uint32_t *out_operation,
                     struct dd_error *error) DD_MUST_CHECK;

enum dd_callback_action { DD_CALLBACK_SUCCEED, DD_CALLBACK_FAIL, DD_CALLBACK_HEARTBEAT };

/* What comes from outside for callback `operation` (service-api 6). `result` (SUCCEED)
 * and `failure` (FAIL) may be absent. DD_CALLBACK_TIMEOUT when it is not open any more;
 * DD_VALIDATION, DD_INVALID_PARAMETER when they are too large. */
int dd_execution_callback(struct dd_execution *execution, uint32_t operation,
                          enum dd_callback_action action, struct dd_span result,
                          struct dd_error_object *failure, int64_t now_ms, struct dd_facts *out,
                          struct dd_error *error) DD_MUST_CHECK;

/* `child`, which a CHAINED_INVOKE of `execution` started, has closed: its outcome is the
 * operation's (service-api 5.4). Nothing happens when the operation is not open. */
void dd_execution_chained(struct dd_execution *execution, const struct dd_execution *child,
                          int64_t now_ms, struct dd_facts *out);

/* The execution and operation id of the CHAINED_INVOKE that started this one; false when
 * none did. The id is borrowed. */
bool dd_execution_parent(const struct dd_execution *execution, struct dd_uuid *out_id,
                         struct dd_text **out_operation);

/* Whether its function is not durable. */
bool dd_execution_plain(const struct dd_execution *execution);

/* StopDurableExecution; `failure` may be NULL. Closed already: 0, nothing happens.
 * The time it stopped at is end_ms of the head. */
int dd_execution_stop(struct dd_execution *execution, struct dd_error_object *failure,
                      int64_t now_ms, struct dd_facts *out,
                      struct dd_error *error) DD_MUST_CHECK;

/* Fires every timer that is due at `now_ms`: waits, step retries, timeouts of
 * callbacks, the retry of a failed invocation, the ExecutionTimeout. Retention is the caller's:
 * a closed execution whose next_due_ms has come is to be deleted. */
void dd_execution_due(struct dd_execution *execution, int64_t now_ms, struct dd_facts *out);

/* Whether the whole state obeys its invariants: DD_SYSTEM with what is wrong. For
 * tests and the simulator, after every event; walks every operation. */
int dd_execution_check(const struct dd_execution *execution,
                       struct dd_error *error) DD_MUST_CHECK;

/* --- reading for people ------------------------------------------------------------------ */

/* Every operation in order of start, EXECUTION first. Borrowed, valid until the
 * next event. */
const struct dd_operation *const *dd_execution_operations(const struct dd_execution *execution,
                                                          size_t *out_len);

/* What a fact is about: an operation, EXECUTION for the execution's own facts, and
 * NULL for an invocation's. Borrowed. */
const struct dd_operation *dd_execution_subject(const struct dd_execution *execution,
                                                const struct dd_fact *fact);

/* Why the execution stands where it stands, as data for one sentence. */
struct dd_standing {
    enum dd_work work;
    int64_t since_ms;
    int64_t retry_ms;                     /* when a failed invocation is retried; 0: none */
    uint32_t failures;                    /* failed invocations in a row */
    struct dd_error_object *last_failure; /* of the invocation; borrowed */
    struct dd_text *request_id;           /* of the invocation in flight; borrowed */
    struct dd_text *worker;               /* of the invocation in flight; borrowed */
    const struct dd_operation *awaited;   /* the pending operation due first, or one that
                                             only the outside completes; borrowed */
};
void dd_execution_standing(const struct dd_execution *execution, struct dd_standing *out);
