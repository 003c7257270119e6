/* libdurabled: durable execution for programs in C.
 *
 * A program speaks with the daemon `durabled` over a Unix socket. This header is
 * the whole interface; it has three parts that build on one connection:
 *
 *   client    start executions by name and look at them, from any program
 *   session   one invocation of a handler: steps, waits, child contexts, strands
 *   worker    serve functions: take invocations, run handlers, reconnect, drain
 *
 * Results. Functions return an `int`: DURABLED_OK, one of the two positive
 * outcomes DURABLED_FAILED and DURABLED_UNWIND, or a negative code. A text for
 * people stands in `struct durabled_error`.
 *
 * Ownership. *Borrows*: the callee uses the pointer until it returns. *Gives*:
 * the caller frees it with the function named. *Owned by X*: lives as long as X.
 * All texts are UTF-8; payloads are JSON texts that nobody here parses. A text
 * that is given or owned ends in a NUL that its length does not count.
 *
 * Threads. A connection may be used by any number of threads at once. A context
 * belongs to one thread at a time. Nothing here survives fork(): a child gets
 * DURABLED_USAGE from every call. SIGPIPE is never raised. No globals.
 */
#ifndef DURABLED_H
#define DURABLED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DURABLED_API __attribute__((visibility("default")))

/* The level of the protocol that this library speaks; a connection works at the
 * lower of this and the daemon's. */
#define DURABLED_LEVEL 3

/* --- results ----------------------------------------------------------------------------- */

enum durabled_code {
    DURABLED_OK = 0,
    /* The operation, or the body, failed; its failure is in the result. */
    DURABLED_FAILED = 1,
    /* The invocation suspends: leave the body at once and return this. */
    DURABLED_UNWIND = 2,

    DURABLED_NO_DAEMON = -1,    /* no socket answered; the text names each path */
    DURABLED_DISCONNECTED = -2, /* the connection was lost */
    DURABLED_REFUSED = -3,      /* the daemon refused the call; see `type` */
    DURABLED_NOT_FOUND = -4,    /* no such execution or function */
    DURABLED_USAGE = -5,        /* the program called out of order */
    DURABLED_NO_MEMORY = -6,
    DURABLED_PROTOCOL = -7, /* the daemon's bytes make no sense */
    DURABLED_BUSY = -8,     /* a worker stopped while a handler still ran */
    DURABLED_SYSTEM = -9    /* a system call failed */
};

/* Why a call failed. `type` is the daemon's name of a refusal
 * ("ResourceNotFoundException"), else empty; `retryable`: the same call may
 * succeed later. */
struct durabled_error {
    int code;
    bool retryable;
    char type[64];
    char text[1024];
};

/* The name of a code ("DURABLED_NO_DAEMON"); never NULL. */
DURABLED_API const char *durabled_code_name(int code);

/* A text and its length; `data` NULL says that there is none. */
struct durabled_text {
    char *data;
    size_t len;
};

/* AWS's ErrorObject. Members may be NULL. */
struct durabled_failure {
    char *type;
    char *message;
    char *data;
    char **stack_trace;
    size_t stack_trace_len;
};

/* What a body or an operation came to. Start it as `{0}`; whoever declared it
 * frees what it holds with durabled_result_clear(). */
struct durabled_result {
    struct durabled_text payload;
    struct durabled_failure failure;
};

/* Frees what the result holds and makes it empty; NULL is allowed. */
DURABLED_API void durabled_result_clear(struct durabled_result *result);

/* Makes `json` the result of a body: copies it. Returns DURABLED_OK, or
 * DURABLED_NO_MEMORY, so that a body can end in `return durabled_return(...)`. */
DURABLED_API int durabled_return(struct durabled_result *result, const char *json);
DURABLED_API int durabled_return_text(struct durabled_result *result, const char *json,
                                      size_t len);

/* Makes a failure the result of a body: copies both. Returns DURABLED_FAILED, or
 * DURABLED_NO_MEMORY. */
DURABLED_API int durabled_raise(struct durabled_result *result, const char *type,
                                const char *message);

/* --- connection -------------------------------------------------------------------------- */

struct durabled;

/* Connects and says hello. `socket` NULL searches, in this order: the
 * environment's DURABLED_SOCKET (alone, when set), $XDG_RUNTIME_DIR/durabled.sock,
 * /run/durabled/durabled.sock; on Lambda /tmp/durabled.sock alone. Gives the
 * connection: durabled_close(). DURABLED_NO_DAEMON names each path tried, why it
 * failed, and the command that cures it. `error` may be NULL, here and below. */
DURABLED_API int durabled_open(const char *socket, struct durabled **out,
                               struct durabled_error *error);

/* Takes a connected stream socket instead; also closes it on failure. */
DURABLED_API int durabled_open_fd(int fd, struct durabled **out, struct durabled_error *error);

/* Closes; no call may be open. NULL is allowed. */
DURABLED_API void durabled_close(struct durabled *connection);

/* What the daemon said in its hello. Texts are owned by the connection. */
struct durabled_peer {
    int level;
    int64_t pid;
    const char *version;
    const char *mode;
    const char *socket; /* the path that answered; empty with durabled_open_fd() */
};
DURABLED_API const struct durabled_peer *durabled_peer(const struct durabled *connection);

/* --- replies ----------------------------------------------------------------------------- */

/* An answer of the daemon. The small structs below point into one. */
struct durabled_reply;
DURABLED_API void durabled_reply_free(struct durabled_reply *reply); /* NULL is allowed */

/* The whole answer: one MessagePack map, with the members that
 * proto/protocol.toml names. Owned by the reply. */
DURABLED_API const void *durabled_reply_bytes(const struct durabled_reply *reply,
                                              size_t *out_len);

/* Any method of the protocol: `params` is one MessagePack map (NULL: empty),
 * borrowed. Gives the reply: durabled_reply_free(). */
DURABLED_API int durabled_call(struct durabled *connection, const char *method,
                               const void *params, size_t params_len,
                               struct durabled_reply **out, struct durabled_error *error);

/* --- client: executions, for any program ------------------------------------------------- */

/* `execution`, everywhere: an ARN, an execution id, a name, or "-" for the one
 * started last. Each function gives a struct whose `reply` the caller frees with
 * durabled_reply_free(); all texts and arrays in it are owned by that reply. On
 * failure the struct is untouched. Times are milliseconds since 1970; 0: none. */

struct durabled_start_options {
    const char *name;    /* NULL: the daemon makes one */
    const char *payload; /* NULL: none */
    size_t payload_len;
    int64_t execution_timeout_s; /* 0: the function's default */
};

struct durabled_started {
    struct durabled_reply *reply;
    const char *arn;
    const char *name;
    bool existing; /* the same name and payload was started before */
};

/* Starts an execution of `function`; `options` may be NULL. Durable on return.
 * A function that nobody ever registered: DURABLED_NOT_FOUND, with those known. */
DURABLED_API int durabled_client_start(struct durabled *connection, const char *function,
                                       const struct durabled_start_options *options,
                                       struct durabled_started *out,
                                       struct durabled_error *error);

struct durabled_outcome {
    struct durabled_reply *reply;
    const char *arn;
    const char *status; /* "RUNNING" when the time was up first */
    struct durabled_text result;
    const struct durabled_failure *failure; /* NULL: none */
};

/* Waits until it is closed, `timeout_ms` at most; negative: for ever. */
DURABLED_API int durabled_client_wait(struct durabled *connection, const char *execution,
                                      int64_t timeout_ms, struct durabled_outcome *out,
                                      struct durabled_error *error);

struct durabled_description {
    struct durabled_reply *reply;
    const char *arn;
    const char *name;
    const char *function;
    const char *status;
    const char *state; /* why it stands where it stands: running, queued, waiting, ... */
    int64_t start_ms;
    int64_t end_ms;
    size_t operations_len;
    bool more;                   /* of a page: there are operations behind it */
    struct durabled_text result; /* with `data` only, as the failure */
    const struct durabled_failure *failure;
};

/* `data`: with payloads. */
DURABLED_API int durabled_client_describe(struct durabled *connection, const char *execution,
                                          bool data, struct durabled_description *out,
                                          struct durabled_error *error);

/* The same with one page of the operations: those after the first `after_operation`.
 * For executions whose operations are too many for one answer. */
DURABLED_API int durabled_client_describe_page(struct durabled *connection,
                                               const char *execution, bool data,
                                               int64_t after_operation,
                                               struct durabled_description *out,
                                               struct durabled_error *error);

struct durabled_list_filter {
    const char *function; /* NULL: any */
    const char *status;   /* NULL: any */
    int64_t since_ms;     /* 0: any */
    bool waiting;         /* only those that wait for time or the outside */
    const char *marker;   /* of the page before; NULL: the first */
    size_t items_max;     /* 0: the daemon's default */
};

struct durabled_summary {
    const char *arn;
    const char *name;
    const char *function;
    const char *status;
    const char *state;
    int64_t start_ms;
    int64_t end_ms;
    int64_t until_ms;
};

struct durabled_list {
    struct durabled_reply *reply;
    const struct durabled_summary *items;
    size_t len;
    const char *marker; /* NULL: the last page; else a page may be empty */
};

/* One page, newest first. `filter` may be NULL. */
DURABLED_API int durabled_client_list(struct durabled *connection,
                                      const struct durabled_list_filter *filter,
                                      struct durabled_list *out, struct durabled_error *error);

struct durabled_stopped {
    struct durabled_reply *reply;
    const char *arn;
    const char *status;
    int64_t end_ms;
};

/* Stops it; `failure` (borrowed) may be NULL. Closed already: the same again. */
DURABLED_API int durabled_client_stop(struct durabled *connection, const char *execution,
                                      const struct durabled_failure *failure,
                                      struct durabled_stopped *out,
                                      struct durabled_error *error);

struct durabled_event {
    int64_t id;
    const char *type;
    int64_t time_ms;
    const char *operation_id; /* NULL: none, as the next two */
    const char *name;
    const char *parent_id;
};

struct durabled_history {
    struct durabled_reply *reply;
    const char *arn;
    const struct durabled_event *items;
    size_t len;
    bool more; /* ask again with the last id as `after_event` */
};

DURABLED_API int durabled_client_history(struct durabled *connection, const char *execution,
                                         int64_t after_event, bool data,
                                         struct durabled_history *out,
                                         struct durabled_error *error);

struct durabled_log_line {
    int64_t number;
    int64_t time_ms;
    const char *level;
    struct durabled_text message;
};

struct durabled_logs {
    struct durabled_reply *reply;
    const struct durabled_log_line *items;
    size_t len;
    int64_t next; /* give it as `after` to go on */
    bool closed;  /* the execution has ended */
    int64_t dropped;
};

/* Kept log lines after number `after`; `follow` waits when there is none yet. */
DURABLED_API int durabled_client_logs(struct durabled *connection, const char *execution,
                                      int64_t after, bool follow, struct durabled_logs *out,
                                      struct durabled_error *error);

/* A callback by its id; or, with `id` NULL, the one open callback `operation` of
 * `execution`. That of durabled_wait_for_callback() goes by its name. */
struct durabled_callback_name {
    const char *id;
    const char *execution;
    const char *operation;
};

/* Completes it with `payload` (borrowed, NULL: none). Durable on return. One that is
 * completed already, or timed out: DURABLED_REFUSED, "CallbackTimeoutException". */
DURABLED_API int durabled_client_callback_succeed(struct durabled *connection,
                                                  const struct durabled_callback_name *callback,
                                                  const char *payload, size_t len,
                                                  struct durabled_error *error);

/* The same with `failure` (borrowed), which may be NULL. */
DURABLED_API int durabled_client_callback_fail(struct durabled *connection,
                                               const struct durabled_callback_name *callback,
                                               const struct durabled_failure *failure,
                                               struct durabled_error *error);

/* Says that the work goes on: its heartbeat timeout begins anew. */
DURABLED_API int
durabled_client_callback_heartbeat(struct durabled *connection,
                                   const struct durabled_callback_name *callback,
                                   struct durabled_error *error);

struct durabled_function_status {
    const char *name;
    int64_t workers, slots, running, queued;
};

struct durabled_functions {
    struct durabled_reply *reply;
    const struct durabled_function_status *items;
    size_t len;
};

DURABLED_API int durabled_client_functions(struct durabled *connection,
                                           struct durabled_functions *out,
                                           struct durabled_error *error);

struct durabled_status {
    struct durabled_reply *reply;
    const char *version, *mode, *socket, *data, *log_level;
    const char *region, *account; /* of every ARN; empty: the daemon is older */
    const char *http;             /* where AWS's API is answered; empty: nowhere */
    int64_t pid, level, started_ms;
    int64_t connections, workers, sessions, executions_loaded, commits;
    int64_t store_bytes, store_bytes_max, disk_free_bytes;
    bool accepting; /* new executions are taken */
};

DURABLED_API int durabled_client_status(struct durabled *connection,
                                        struct durabled_status *out,
                                        struct durabled_error *error);

/* Sets the daemon's log level when `set` is not NULL, then reads it into
 * `out_level`, which has at least 16 bytes. */
DURABLED_API int durabled_client_log_level(struct durabled *connection, const char *set,
                                           char *out_level, struct durabled_error *error);

/* --- session: one invocation of a handler ------------------------------------------------ */

/* Words. A *context* is what operations are started in. A *body* is user code run
 * for an operation. A *strand* is one line of control: the handler, or a child
 * context on a thread of its own. Operations of a context must be started in the
 * same order in every invocation; what must not run twice goes into steps.
 *
 * Every function of this part that returns DURABLED_UNWIND, or a negative code,
 * is to be followed by leaving the body and returning that same number. After
 * a negative code durabled_session_error() says why. DURABLED_FAILED is for the
 * program to handle. */

struct durabled_session;
struct durabled_context;
struct durabled_operation;

/* What a function was invoked with; all borrowed. */
struct durabled_invocation {
    struct durabled *connection;
    /* JSON text, exactly as the function received it. NULL behind durabled-wrap, where the
     * function receives its input alone: the daemon has the event of `request_id`. */
    const char *event;
    size_t event_len;
    const char *request_id; /* NULL: not known */
    const char *function;   /* NULL: not known */
    int64_t deadline_ms;    /* 0: none */
    void *serving;          /* the worker's own; NULL elsewhere */
};

/* Begins the session of an invocation; waits until its state is loaded. An event
 * that is no durable invocation is refused. Gives the session; end it with
 * durabled_session_end(). */
DURABLED_API int durabled_session_begin(const struct durabled_invocation *invocation,
                                        struct durabled_session **out,
                                        struct durabled_error *error);

/* All owned by the session. The input is absent when none was given. `key` lets
 * another process of the invocation join (exported as DURABLED_SESSION). */
DURABLED_API struct durabled_context *durabled_session_root(struct durabled_session *session);
DURABLED_API struct durabled_text
durabled_session_input(const struct durabled_session *session);
DURABLED_API const char *durabled_session_arn(const struct durabled_session *session);
DURABLED_API const char *durabled_session_key(const struct durabled_session *session);

/* The first error of the session; code DURABLED_OK when there was none. */
DURABLED_API void durabled_session_error(struct durabled_session *session,
                                         struct durabled_error *out);

/* Ends the session with what the handler returned (`code`: OK with `result`,
 * FAILED, UNWIND, or a negative code) once every strand has ended, and frees it,
 * whatever is returned. DURABLED_OK: `output` holds the JSON text to return from
 * the function. DURABLED_FAILED: the invocation is to fail with its failure.
 * Negative: the connection is lost, nothing can be returned. */
DURABLED_API int durabled_session_end(struct durabled_session *session, int code,
                                      const struct durabled_result *result,
                                      struct durabled_result *output,
                                      struct durabled_error *error);

/* User code of a context; also of the whole handler. Writes its result with
 * durabled_return() or durabled_raise(), and returns their value. */
typedef int (*durabled_body)(struct durabled_context *context, struct durabled_result *result,
                             void *user);

/* Begin, run `body` in the root context, end. `output` as durabled_session_end().
 * DURABLED_UNWIND: a worker that stops took the invocation back. */
DURABLED_API int durabled_execute(const struct durabled_invocation *invocation,
                                  durabled_body body, void *user,
                                  struct durabled_result *output, struct durabled_error *error);

DURABLED_API struct durabled_session *
durabled_context_session(struct durabled_context *context);

/* Whether the next operation of this context is recorded as complete: what is
 * logged now was logged before. */
DURABLED_API bool durabled_replaying(const struct durabled_context *context);

/* Sends a copy of a log line to the daemon, for `durablectl logs`, unless the
 * context replays. Never waits for an answer; may be dropped. */
DURABLED_API void durabled_log(struct durabled_context *context, const char *level,
                               const char *message);

/* --- session: operations ----------------------------------------------------------------- */

enum durabled_semantics {
    DURABLED_AT_LEAST_ONCE_PER_RETRY = 0,
    DURABLED_AT_MOST_ONCE_PER_RETRY = 1
};

enum durabled_backoff { DURABLED_EXPONENTIAL = 0, DURABLED_LINEAR = 1 };
enum durabled_jitter {
    DURABLED_JITTER_FULL = 0,
    DURABLED_JITTER_HALF = 1,
    DURABLED_JITTER_NONE = 2
};

/* A retry strategy as data; the daemon does the arithmetic. `max_attempts`
 * counts the first try. Seconds. */
struct durabled_retry {
    int max_attempts;
    enum durabled_backoff backoff;
    enum durabled_jitter jitter;
    double initial_delay_s;
    double max_delay_s;
    double rate;        /* exponential */
    double increment_s; /* linear */
};

/* Decides about a retry after `attempt` tries: the delay in seconds, 0 for none. */
typedef int64_t (*durabled_decide_fn)(const struct durabled_failure *failure, int attempt,
                                      void *user);

struct durabled_step_options {
    enum durabled_semantics semantics;
    const struct durabled_retry *retry; /* NULL, and no `decide`: never retried */
    durabled_decide_fn decide;          /* instead of `retry`; `user` is the step's */
};

struct durabled_attempt {
    const char *name; /* NULL: none */
    int number;       /* 1 for the first */
};

/* User code of a step. */
typedef int (*durabled_step_body)(const struct durabled_attempt *attempt,
                                  struct durabled_result *result, void *user);

/* Runs `body` once and keeps its result for ever; replayed, gives the result
 * without running it. `options` and `out` may be NULL; `out` is cleared first.
 * Borrows all else. */
DURABLED_API int durabled_step(struct durabled_context *context, const char *name,
                               const struct durabled_step_options *options,
                               durabled_step_body body, void *user,
                               struct durabled_result *out);

/* Waits; the process need not live on meanwhile. At least one second. */
DURABLED_API int durabled_wait(struct durabled_context *context, const char *name,
                               int64_t seconds);

/* Makes the short text kept instead of a result over 262,144 bytes; writes it
 * with durabled_return(). */
typedef int (*durabled_summary_fn)(struct durabled_text payload,
                                   struct durabled_result *summary, void *user);

struct durabled_child_options {
    bool is_virtual;             /* no operation of its own; nothing is kept */
    durabled_summary_fn summary; /* NULL: nothing is kept of a large result */
    const char *sub_type;        /* NULL: the usual one, `RunInChildContext` */
};

/* Runs `body` in a child context, on the caller's thread (run_in_child_context). */
DURABLED_API int durabled_child(struct durabled_context *context, const char *name,
                                const struct durabled_child_options *options,
                                durabled_body body, void *user, struct durabled_result *out);

/* The same beside the caller, on a thread of its own. Gives an operation to
 * await, owned by the session. `user` is kept until the strand has ended, which
 * is at the latest when durabled_session_end() returns. A strand that was told to
 * unwind may be run again from its beginning. */
DURABLED_API int durabled_strand(struct durabled_context *context, const char *name,
                                 const struct durabled_child_options *options,
                                 durabled_body body, void *user,
                                 struct durabled_operation **out);

/* Awaits an operation on the strand of `context`, and moves its result to `out`,
 * which may be NULL. */
DURABLED_API int durabled_await_result(struct durabled_context *context,
                                       struct durabled_operation *operation,
                                       struct durabled_result *out);

/* --- session: what the outside completes ------------------------------------------------- */

struct durabled_callback_options {
    int64_t timeout_s;           /* 0: none, as for the next one */
    int64_t heartbeat_timeout_s; /* the longest time between two heartbeats */
};

/* Creates a callback: an operation that somebody outside completes, by its id. Gives
 * the operation, owned by the session, once it is durable; its result, or its
 * failure ("Callback.Timeout" when nobody came), is had with durabled_await_result().
 * `options` may be NULL. */
DURABLED_API int durabled_callback(struct durabled_context *context, const char *name,
                                   const struct durabled_callback_options *options,
                                   struct durabled_operation **out);

/* The id for the outside; owned by the operation. NULL: it is no callback. */
DURABLED_API const char *durabled_callback_id(const struct durabled_operation *operation);

/* Tells the outside the id; the body of a step. */
typedef int (*durabled_submitter)(const struct durabled_attempt *attempt,
                                  const char *callback_id, struct durabled_result *result,
                                  void *user);

struct durabled_wait_for_callback_options {
    struct durabled_callback_options callback;
    const struct durabled_retry *retry; /* of the submitter; NULL: never retried */
};

/* Creates a callback, runs `submitter`, and waits for the callback's result, all in
 * a child context. `options` and `out` may be NULL. */
DURABLED_API int
durabled_wait_for_callback(struct durabled_context *context, const char *name,
                           const struct durabled_wait_for_callback_options *options,
                           durabled_submitter submitter, void *user,
                           struct durabled_result *out);

struct durabled_invoke_options {
    const char *payload; /* JSON text; NULL: none */
    size_t payload_len;
    const char *tenant_id; /* NULL: none */
};

/* Invokes `function` (NAME, NAME:QUALIFIER or an ARN) and waits for what it comes to:
 * another durable execution, or one run of a plain function. `options` and `out` may
 * be NULL. */
DURABLED_API int durabled_invoke(struct durabled_context *context, const char *name,
                                 const char *function,
                                 const struct durabled_invoke_options *options,
                                 struct durabled_result *out);

/* --- session: waiting for a condition ---------------------------------------------------- */

/* Looks at the world; writes the new state with durabled_return(). `state` is what
 * the check before it wrote. One that raises ends the wait. */
typedef int (*durabled_check)(const struct durabled_attempt *attempt,
                              struct durabled_text state, struct durabled_result *result,
                              void *user);

/* Decides after check number `attempt`: the delay in seconds until the next one, 0
 * when the condition holds. */
typedef int64_t (*durabled_poll_fn)(struct durabled_text state, int attempt, void *user);

/* A strategy is `poll`, or the two members after it. */
struct durabled_condition_options {
    const char *initial_state; /* JSON text, given to the first check; NULL: none */
    durabled_poll_fn poll;
    bool (*holds)(struct durabled_text state, void *user);
    const struct durabled_retry *backoff; /* delays; after so many attempts it fails */
};

/* Runs `check` until the condition holds; the process need not live on between two
 * checks. Gives the last state. A failure is the check's, or a
 * "WaitForConditionError" when `backoff` allows no more. `out` may be NULL. */
DURABLED_API int durabled_wait_for_condition(struct durabled_context *context, const char *name,
                                             const struct durabled_condition_options *options,
                                             durabled_check check, void *user,
                                             struct durabled_result *out);

/* --- session: map and parallel ----------------------------------------------------------- */

/* Words. A *batch* is a context whose operations are *branches*: child contexts beside
 * each other, each on a thread of the batch's own. The daemon starts them in order, as
 * many at once as `max_concurrency`; one that waits keeps its place. */

enum durabled_item_status {
    DURABLED_ITEM_STARTED = 0, /* it had not ended when the batch was complete */
    DURABLED_ITEM_SUCCEEDED = 1,
    DURABLED_ITEM_FAILED = 2
};

struct durabled_item {
    enum durabled_item_status status;
    struct durabled_result result;
};

/* Why a batch is complete. */
enum durabled_reason {
    DURABLED_ALL_COMPLETED = 0,
    DURABLED_MIN_SUCCESSFUL_REACHED = 1,
    DURABLED_FAILURE_TOLERANCE_EXCEEDED = 2,
    DURABLED_CUSTOM_COMPLETION_SUCCEEDED = 3, /* the predicate said so, as the next one */
    DURABLED_CUSTOM_COMPLETION_FAILED = 4
};

struct durabled_batch_result {
    int status; /* DURABLED_OK; DURABLED_FAILED: a branch failed, or the predicate said so */
    enum durabled_reason reason;
    struct durabled_item *items; /* by index; branches that never started are left out */
    size_t len;
    size_t succeeded, failed, started; /* how many of each */
};

/* Frees what the result holds and makes it empty; NULL is allowed. */
DURABLED_API void durabled_batch_clear(struct durabled_batch_result *result);

/* Makes the failure of the first branch that failed the result of a body. Returns
 * DURABLED_FAILED, or DURABLED_OK when the batch's status is that. */
DURABLED_API int durabled_batch_raise(const struct durabled_batch_result *batch,
                                      struct durabled_result *result);

/* Where the branches stand; owned by the batch. */
struct durabled_progress {
    size_t total, succeeded, failed;
    const char *items; /* a letter for each: `-` not started, `T` it runs, `S`, `F` */
};

enum durabled_completion {
    DURABLED_GO_ON = 0,
    DURABLED_COMPLETE_SUCCEEDED = 1,
    DURABLED_COMPLETE_FAILED = 2
};

/* Decides whether the batch is complete; asked once before any branch runs, then after
 * each that ends. Must say the same for the same progress. */
typedef enum durabled_completion (*durabled_predicate)(const struct durabled_progress *progress,
                                                       void *user);

/* Without `predicate` and thresholds any failure completes the batch. */
struct durabled_batch_options {
    size_t max_concurrency;                 /* branches at once; 0: all, each on its thread */
    size_t min_successful;                  /* complete after so many; 0: after all */
    const int64_t *tolerated_failure_count; /* more complete it; NULL: not given */
    const double *tolerated_failure_percentage; /* of all branches; NULL: not given */
    durabled_predicate predicate;               /* instead of the three; NULL: none */
    bool flat;                                  /* branches leave no operation of their own */
    /* Writes the name of a branch as a C string; NULL: `map-item-0` and so on. */
    void (*namer)(size_t index, char *out, size_t size, void *user);
};

/* User code of a branch of a map. Its result is JSON, as it becomes a part of the
 * batch's. */
typedef int (*durabled_map_body)(struct durabled_context *context, size_t index,
                                 struct durabled_result *result, void *user);

/* Runs `body` for each index below `len`. Gives the batch's result, which the caller
 * clears with durabled_batch_clear(); DURABLED_OK says that the batch is complete, not
 * that no branch failed. `options` may be NULL; of its functions `user` is the map's. A
 * branch that still runs when the batch is complete is unwound at its next call;
 * `user` is kept until then, which is at the latest when durabled_session_end()
 * returns. */
DURABLED_API int durabled_map(struct durabled_context *context, const char *name, size_t len,
                              const struct durabled_batch_options *options,
                              durabled_map_body body, void *user,
                              struct durabled_batch_result *out);

struct durabled_branch {
    const char *name; /* NULL: `parallel-branch-0` and so on */
    durabled_body body;
    void *user;
};

/* The same for bodies of their own; `branches` is kept as long as `user`, which the
 * functions of `options` are given. */
DURABLED_API int durabled_parallel(struct durabled_context *context, const char *name,
                                   const struct durabled_branch *branches, size_t len,
                                   const struct durabled_batch_options *options, void *user,
                                   struct durabled_batch_result *out);

/* --- session: one level down ------------------------------------------------------------- */

/* durabled_step() and its like are made of these. An operation that is started
 * here is awaited with durabled_await(), or never. */

enum durabled_type {
    DURABLED_STEP,
    DURABLED_WAIT,
    DURABLED_CONTEXT,
    DURABLED_CALLBACK,
    DURABLED_CHAINED_INVOKE
};

struct durabled_start {
    enum durabled_type type;
    const char *sub_type;               /* NULL: the usual one of the type */
    const char *name;                   /* NULL: none */
    bool is_virtual;                    /* CONTEXT */
    bool strand;                        /* CONTEXT: its body runs beside the caller */
    enum durabled_semantics semantics;  /* STEP, as the next two */
    const struct durabled_retry *retry; /* NULL: never retried, unless `ask` */
    bool ask;                           /* the program decides about retries */
    int64_t seconds;                    /* WAIT */
    int64_t timeout_s;                  /* CALLBACK, as the next one; 0: none */
    int64_t heartbeat_timeout_s;
    const char *function; /* CHAINED_INVOKE, as the next ones */
    const char *payload;  /* NULL: none */
    size_t payload_len;
    const char *tenant_id; /* NULL: none */
};

enum durabled_wanted {
    DURABLED_WANTED_RUN,    /* run the body of `operation`, then succeed or fail it */
    DURABLED_WANTED_DECIDE, /* decide about its retry with durabled_decide() */
    DURABLED_WANTED_AWAIT,  /* nothing now: await it */
    DURABLED_WANTED_NOTHING /* it is complete, or (await) enough of them are */
};

/* What the daemon wants next. */
struct durabled_answer {
    enum durabled_wanted wanted;
    struct durabled_operation *operation;
    int attempt;          /* RUN, DECIDE: tries, 1 for the first */
    bool replay_children; /* RUN: the result is recorded; the body runs for its value */
    int64_t due_ms;       /* AWAIT: when it goes on; 0: not known */
    const struct durabled_failure *failure; /* DECIDE; owned by the operation */
    /* RUN: what durabled_again() kept, or the summary of a result; owned by the operation
     * until its next answer. */
    struct durabled_text state;
};

/* Starts an operation. Owned by the session. */
DURABLED_API int durabled_start(struct durabled_context *context,
                                const struct durabled_start *start,
                                struct durabled_operation **out,
                                struct durabled_answer *answer);

/* Waits on the strand of `context` until all (or any) of `operations` are
 * complete; then `wanted` is NOTHING and durabled_operation_state() tells them
 * apart. Strands and steps of durabled_step() that are wanted again are run by
 * this call; RUN and DECIDE are answered for others only. One thread at a time
 * awaits an operation, and looks at its result. */
DURABLED_API int durabled_await(struct durabled_context *context,
                                struct durabled_operation *const *operations, size_t len,
                                bool any, struct durabled_answer *answer);

/* The body of `operation` returned `payload` (borrowed, NULL: none); `summary` as
 * in durabled_child_options. DURABLED_OK once it is durable. */
DURABLED_API int durabled_succeed(struct durabled_operation *operation, const char *payload,
                                  size_t len, const char *summary);

struct durabled_fail_options {
    bool final;         /* no strategy is asked */
    bool not_retryable; /* the strategy's filters said no */
    bool decided;       /* `delay_s` is the decision: 0 for no retry */
    int64_t delay_s;
};

/* The body raised. Answered AWAIT (a retry is due), DECIDE, or NOTHING. */
DURABLED_API int durabled_fail(struct durabled_operation *operation,
                               const struct durabled_failure *failure,
                               const struct durabled_fail_options *options,
                               struct durabled_answer *answer);

/* The body of a STEP returned, and is to run again in `delay_s` seconds, at least one,
 * with `state` (borrowed, NULL: none). Answered AWAIT. */
DURABLED_API int durabled_again(struct durabled_operation *operation, const char *state,
                                size_t len, int64_t delay_s, struct durabled_answer *answer);

/* The decision that DECIDE asked for. Answered as durabled_fail(). */
DURABLED_API int durabled_decide(struct durabled_operation *operation, int64_t delay_s,
                                 struct durabled_answer *answer);

/* The body of `operation`, a strand run by the program itself, was unwound. */
DURABLED_API int durabled_unwound(struct durabled_operation *operation);

/* The context that a CONTEXT operation opens; owned by the operation. */
DURABLED_API struct durabled_context *
durabled_operation_context(struct durabled_operation *operation);

/* DURABLED_OK or DURABLED_FAILED when complete, else DURABLED_UNWIND. */
DURABLED_API int durabled_operation_state(const struct durabled_operation *operation);

/* Its result; owned by the operation. Empty until it is complete. */
DURABLED_API const struct durabled_result *
durabled_operation_result(const struct durabled_operation *operation);

/* --- worker ------------------------------------------------------------------------------ */

/* Serves one invocation, on a thread of the worker: usually durabled_execute().
 * OK: `output` is returned. FAILED: the invocation fails and is retried. UNWIND or
 * negative: it is handed back. */
typedef int (*durabled_handler)(const struct durabled_invocation *invocation,
                                struct durabled_result *output, void *user);

struct durabled_function {
    const char *name;
    durabled_handler handler; /* NULL: `body` is run by durabled_execute() */
    durabled_body body;
    void *user;
    int64_t timeout_s;           /* of one invocation; 0: none */
    int64_t execution_timeout_s; /* default of its executions; 0: none */
    int64_t retention_days;      /* 0: the daemon's */
    /* A plain function: its `handler` is given its payload as the event, and what it
     * responds is its result. Invoked by durabled_invoke(); never retried. */
    bool plain;
};

struct durabled_worker_config {
    const char *socket; /* NULL: search, at each connect */
    const struct durabled_function *functions;
    size_t functions_len;
    int concurrency;       /* invocations at once; 0: 1 */
    const char *instance;  /* names the worker in logs; NULL: made from the pid */
    int64_t stop_grace_ms; /* for handlers to end after a stop; 0: 5,000 */
    /* Told when the worker connects, loses its connection and stops; may be NULL.
     * Called on the thread of durabled_worker_run(). */
    void (*on_event)(const char *text, void *user);
    void *user;
};

struct durabled_worker;

/* Gives a worker; keeps borrowed pointers of `config` until it is freed. */
DURABLED_API int durabled_worker_new(const struct durabled_worker_config *config,
                                     struct durabled_worker **out,
                                     struct durabled_error *error);

/* Serves until durabled_worker_stop(). Connects again by itself whenever the
 * daemon goes away, with the invocations whose user code still runs. A refusal
 * by the daemon ends it. After a stop, handlers are unwound at their next call and
 * their invocations handed back uncounted; DURABLED_BUSY says that some still ran
 * after the grace: the program must then end with _exit(). */
DURABLED_API int durabled_worker_run(struct durabled_worker *worker,
                                     struct durabled_error *error);

/* Stops it. Safe in a signal handler and from any thread, any number of times. */
DURABLED_API void durabled_worker_stop(struct durabled_worker *worker);

/* Frees; not while it runs, nor after DURABLED_BUSY. NULL is allowed. */
DURABLED_API void durabled_worker_free(struct durabled_worker *worker);

#ifdef __cplusplus
}
#endif
#endif
