/* The session engine: what an SDK does, as a function of (session, event) to
 * effects. One session is one invocation of a handler as seen from the socket.
 *
 * Words. A *batch* is the context of a map or of parallel branches; a *branch* is one of
 * its items, a context on a strand of its own. A *context* is what operations are started in:
 * the root, or the body of a CONTEXT operation. A *body* is user code that the client runs for
 * an operation. A *strand* is one line of control: the main body, or a context body that the
 * client runs beside its parent (`strand` in its start). A call is *parked* while it has no
 * answer yet.
 *
 * The client names operations by handles of its own choice, unique in the
 * session, and contexts by the handle of their operation (0 is the root). Ids
 * derive from (context id, position); the client counts positions from 1.
 *
 * A session suspends when every strand is parked in an await, no step body runs
 * and nothing awaits acknowledgement, yet some awaited operation is open: every
 * parked await is then answered UNWIND, later calls too, and the client ends
 * the session. The question is asked after each event.
 *
 * Time, random bits and the durable execution API come in as events; effects go
 * out through `struct dd_session_effects`. At most one checkpoint is in flight;
 * updates gather meanwhile. Single thread.
 */
#pragma once

#include "base/error.h"
#include "base/rng.h"
#include "core/model.h"

struct dd_session;

/* How one official SDK does what the SDKs do differently; a row of the table in
 * proto/. Static data. */
enum dd_id_hash { DD_ID_BLAKE2B, DD_ID_SHA256, DD_ID_MD5_PATH };
enum dd_delay_rounding { DD_DELAY_CEIL, DD_DELAY_ROUND };
struct dd_profile {
    const char *name;
    enum dd_id_hash hash;
    int hex_len;
    int first_branch; /* 0 or 1 */
    enum dd_delay_rounding rounding;
};

/* NULL for an unknown name. */
const struct dd_profile *dd_profile_find(struct dd_span name);

/* The id of operation `position` in the context whose id (or path, for
 * DD_ID_MD5_PATH) is `prefix`, absent for the root. Gives a text. */
struct dd_text *dd_operation_id(const struct dd_profile *profile, struct dd_span prefix,
                                uint32_t position);

/* --- retry strategies as data (sdk-semantics 4.1) ---------------------------------------- */

enum dd_backoff { DD_BACKOFF_EXPONENTIAL, DD_BACKOFF_LINEAR };
enum dd_jitter { DD_JITTER_NONE, DD_JITTER_FULL, DD_JITTER_HALF };
struct dd_retry {
    uint32_t max_attempts; /* counts the first try */
    enum dd_backoff backoff;
    enum dd_jitter jitter;
    double initial_delay_s;
    double max_delay_s;
    double rate;        /* exponential */
    double increment_s; /* linear */
};

/* The delay before the next attempt after `attempt` tries, in whole seconds at
 * least 1; 0 when there is none left. `unit` in [0,1). */
int64_t dd_retry_delay(const struct dd_retry *retry, enum dd_delay_rounding rounding,
                       uint32_t attempt, double unit);

/* --- calls ------------------------------------------------------------------------------- */

enum dd_call_kind {
    DD_CALL_OPERATIONS, /* the next window of the replay cursor */
    DD_CALL_START,
    DD_CALL_AWAIT,
    DD_CALL_SUCCEED,
    DD_CALL_FAIL,
    DD_CALL_DECIDE,
    DD_CALL_RETRY, /* the body of a polling step wants to run again */
    DD_CALL_BATCH, /* the coordinator of a batch asks what is next */
    DD_CALL_UNWOUND,
    DD_CALL_END,
};

enum dd_semantics { DD_AT_LEAST_ONCE_PER_RETRY, DD_AT_MOST_ONCE_PER_RETRY };

/* Who decides about retries of a step. */
enum dd_strategy {
    DD_STRATEGY_NONE, /* never retry */
    DD_STRATEGY_DATA, /* `retry` */
    DD_STRATEGY_ASK,  /* the client: answered DECIDE when it did not decide */
};

/* How the branches of a batch run, and when it is complete (sdk-semantics 5.1). */
struct dd_batch_options {
    uint32_t total;
    uint32_t max_concurrency; /* 0: all */
    bool has_min_successful, has_tolerated_count, has_tolerated_percentage;
    uint32_t min_successful;
    uint32_t tolerated_count;
    double tolerated_percentage;
    bool ask;                /* the client's predicate decides, instead of the three */
    bool is_virtual;         /* branches are not recorded (FLAT) */
    struct dd_span sub_type; /* of the branches; borrowed */
};

/* One call of the client. All members are borrowed for the duration of
 * dd_session_call(); held.c copies each, for a call that waits. Members that the kind does
 * not use are zero. */
struct dd_call {
    enum dd_call_kind kind;
    uint64_t id;     /* names the call in its answer; unique */
    uint64_t client; /* which process makes it, for dd_session_forget() */

    uint32_t operation; /* START: the new handle; others: which */

    /* START */
    uint32_t context;
    uint32_t position;
    enum dd_operation_type type;
    struct dd_span sub_type;
    struct dd_span name;
    bool is_virtual; /* CONTEXT: never checkpointed */
    bool strand;     /* CONTEXT: the body runs on a strand of its own */
    enum dd_semantics semantics;
    enum dd_strategy strategy;
    struct dd_retry retry;
    int64_t seconds;                        /* WAIT */
    int64_t timeout_s, heartbeat_timeout_s; /* CALLBACK; 0: none */
    struct dd_span function;                /* CHAINED_INVOKE, as the next two */
    struct dd_span tenant_id;               /* absent: none */
    bool is_batch;                          /* CONTEXT: its operations are branches */
    struct dd_batch_options batch;

    /* AWAIT: `context` is the one whose strand waits */
    const uint32_t *operations;
    size_t operations_len;
    bool any; /* else all */

    /* START of a CHAINED_INVOKE, SUCCEED, RETRY, END */
    struct dd_span payload;
    struct dd_span summary; /* CONTEXT: stored instead of a payload that is too large */
    bool replay_children;   /* CONTEXT: it is too large, and was not sent */

    /* FAIL, END */
    struct dd_error_object *error;
    bool final;      /* FAIL: no strategy is consulted */
    bool retryable;  /* FAIL: the error passed the strategy's filters */
    bool decided;    /* FAIL, DECIDE: delay_s is the client's decision */
    int64_t delay_s; /* 0: no retry; RETRY: at least 1 */

    /* BATCH: what the predicate said; NONE: go on */
    enum dd_operation_status complete;

    /* END: neither payload nor error means the handler was unwound */
    bool unwound;
    bool invocation; /* with error: fail the invocation, not the execution */
};

enum dd_answer_kind {
    DD_ANSWER_ERROR,        /* the call is refused: `error` */
    DD_ANSWER_BEGUN,        /* to dd_session_begin(): input and first window */
    DD_ANSWER_OPERATIONS,   /* a window */
    DD_ANSWER_RUN,          /* run the body of `operation` */
    DD_ANSWER_DONE,         /* it is terminal: status, payload or failure */
    DD_ANSWER_PENDING,      /* await it */
    DD_ANSWER_DECIDE,       /* decide about a retry after `failure`, `attempt` tries */
    DD_ANSWER_READY,        /* an await: the terminal ones of `results` */
    DD_ANSWER_BATCH_RUN,    /* start `branches` */
    DD_ANSWER_BATCH_DECIDE, /* is the batch complete after these `changes`? */
    DD_ANSWER_BATCH_READY,  /* it is complete: `reason`, `items` */
    DD_ANSWER_UNWIND,       /* leave the body; nothing more is taken */
    DD_ANSWER_ENDED,        /* to END: outcome of the handler, see below */
};

/* One entry of the replay cursor: an operation and where it stands. */
struct dd_cursor_entry {
    struct dd_text *context_id; /* borrowed; NULL: the root */
    uint32_t position;
    const struct dd_operation *operation; /* borrowed */
};

/* A branch that ended, SUCCEEDED or FAILED. */
struct dd_branch_change {
    uint32_t index;
    enum dd_operation_status status;
};

struct dd_result {
    uint32_t operation;
    enum dd_operation_status status;
    struct dd_text *payload;         /* borrowed */
    struct dd_error_object *failure; /* borrowed */
};

/* An answer; valid only while the effect callback runs. All borrowed. */
struct dd_answer {
    enum dd_answer_kind kind;
    uint64_t call;
    uint32_t operation;
    struct dd_text *operation_id;
    uint32_t attempt;                 /* RUN, DECIDE: 1 for the first */
    const struct dd_operation *again; /* RUN: the step, when an earlier invocation began this
                                         attempt and did not end it; else NULL */
    bool replay_children;             /* RUN: the result is recorded, nothing is checkpointed */
    int64_t due_ms;                   /* PENDING: when, 0 unknown */
    enum dd_operation_status status;
    struct dd_text *payload; /* DONE; ENDED: the Result; BEGUN: the input; RUN: the state of a
                                polling step, or the summary recorded of a context */
    struct dd_error_object *failure;
    int64_t start_ms;            /* BEGUN: of the execution */
    struct dd_text *callback_id; /* PENDING, DONE: of a CALLBACK */
    const struct dd_result *results;
    size_t results_len;
    const uint32_t *branches; /* by index */
    size_t branches_len;
    const struct dd_branch_change *changes;
    size_t changes_len;
    bool first;           /* BATCH_DECIDE: asked before any branch runs */
    const char *reason;   /* CompletionReason */
    struct dd_span items; /* a letter for each started branch: S, F, or T while it runs */
    const struct dd_cursor_entry *entries;
    size_t entries_len;
    bool more; /* BEGUN, OPERATIONS: ask for the next window */
    bool gaps; /* as `more`: something recorded has no place in the cursor, so far */
    /* What checkpoints changed since the last answer, when the session is observed. */
    const struct dd_operation *changed;
    size_t changed_len;
    /* ENDED: SUCCEEDED, FAILED or RUNNING (PENDING) is to be returned, or, when
     * `raise`, the invocation is to fail with `failure`. */
    enum dd_execution_status outcome;
    bool raise;
    const struct dd_error *error; /* ERROR */
};

/* Where effects go. Called from inside the event; they must not call back. */
struct dd_session_effects {
    void *user;
    void (*answer)(void *user, const struct dd_answer *answer);
    /* CheckpointDurableExecution; `updates` are borrowed. Answered by
     * dd_session_checkpointed() or dd_session_refused(). */
    void (*checkpoint)(void *user, struct dd_span token, const struct dd_update *updates,
                       size_t updates_len);
    /* GetDurableExecutionState; answered by dd_session_loaded() or _refused(). */
    void (*load)(void *user, struct dd_span token, struct dd_span marker);
};

/* --- events ------------------------------------------------------------------------------ */

struct dd_session_begin {
    uint64_t call; /* answered BEGUN with the first page that has operations */
    struct dd_span arn;
    struct dd_span token;
    const struct dd_operation *operations; /* InitialExecutionState; borrowed */
    size_t operations_len;
    struct dd_span marker; /* empty or absent: complete */
    const struct dd_profile *profile;
    uint64_t seed;     /* of the jitter */
    bool observe;      /* answers tell what checkpoints changed */
    int64_t gather_ms; /* how long a checkpoint waits for the next update of strands that run */
    int64_t now_ms;
};

/* Gives a session; loads the rest of the state if `marker` says so. */
struct dd_session *dd_session_begin(const struct dd_session_begin *begin,
                                    const struct dd_session_effects *effects);
void dd_session_free(struct dd_session *session);

/* A page of state: `operations` are borrowed; `marker` as in begin. Calls that need what is not
 * there yet are held back until all of it is. */
void dd_session_loaded(struct dd_session *session, const struct dd_operation *operations,
                       size_t operations_len, struct dd_span marker, int64_t now_ms);

/* The answer to the checkpoint in flight. `token` absent: the service takes no
 * more from this invocation (service-api 4.4). */
void dd_session_checkpointed(struct dd_session *session, struct dd_span token,
                             const struct dd_operation *operations, size_t operations_len,
                             int64_t now_ms);

/* The checkpoint or load in flight failed. `retryable`: the invocation is to be
 * retried (sdk-semantics 8.3); else the execution is to fail with `error`. */
void dd_session_refused(struct dd_session *session, struct dd_error_object *error,
                        bool retryable, int64_t now_ms);

/* A call of the client. Always answered, now or later, exactly once. */
void dd_session_call(struct dd_session *session, const struct dd_call *call, int64_t now_ms);

/* An operation of the execution has ended meanwhile, also a callback by its timeout, whose
 * time the session does not know: worth a look once anybody waits for one. */
void dd_session_changed(struct dd_session *session, int64_t now_ms);

/* A process that shared the session is gone: its parked calls are dropped without
 * an answer and its bodies count as unwound. */
void dd_session_forget(struct dd_session *session, uint64_t client, int64_t now_ms);

/* Time has come to dd_session_next_due_ms(). */
void dd_session_due(struct dd_session *session, int64_t now_ms);

/* When it wants dd_session_due(): a flush, or a pending operation that a running
 * sibling lets us resume in process; 0: not. */
int64_t dd_session_next_due_ms(const struct dd_session *session);

/* --- for logs ---------------------------------------------------------------------------- */

/* These may be asked from inside an effect, too. */

/* Bodies that run. */
size_t dd_session_running(const struct dd_session *session);

struct dd_session_facts {
    uint32_t replayed; /* operations that earlier invocations ended */
    uint32_t run;      /* operations begun, each attempt of a step counted */
    uint32_t rerun;    /* of them, attempts that an earlier invocation began and did not end */
    bool revoked;      /* the service takes no more from it */
};

struct dd_session_facts dd_session_facts(const struct dd_session *session);

/* An attempt of a step. */
struct dd_attempt {
    const struct dd_operation *operation; /* borrowed until the next event */
    uint32_t attempt;                     /* 1 for the first */
    int64_t run_ms;                       /* when its body began here */
    bool again;                           /* an earlier invocation had begun it */
};

/* The attempts whose body has begun and whose end is not acknowledged; those that began
 * first, at most `max`, go to `out`. Returns how many there are. */
size_t dd_session_open(const struct dd_session *session, struct dd_attempt *out, size_t max);

/* The operations that time or the outside will end, borrowed until the next event; those
 * that are due first, at most `max`, go to `out`. Returns how many there are. */
size_t dd_session_awaited(const struct dd_session *session, const struct dd_operation **out,
                          size_t max);

/* ----------------------------------------------------------------------------------------- */

/* Whether everybody is told to unwind until the service invokes again. */
bool dd_session_suspended(const struct dd_session *session);

/* True once END was answered. */
bool dd_session_ended(const struct dd_session *session);

/* Whether the whole state obeys its invariants: DD_SYSTEM with what is wrong. For
 * tests and the simulator, after every event. */
int dd_session_check(const struct dd_session *session, struct dd_error *error) DD_MUST_CHECK;
