/* What the files of the pump share. Each struct belongs to the file named over
 * it; the others use its functions. */
#pragma once

#include "base/buf.h"
#include "base/heap.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "codec/frame.h"
#include "codec/json.h"
#include "codec/rpc.h"
#include "codec/wire.h"
#include "core/session/session.h"
#include "engine/engine.h"
#include "engine/gate.h"

/* --- engine.c: executions in memory ------------------------------------------------------ */

struct dd_resident {
    struct dd_uuid id;
    struct dd_execution *execution;
    uint32_t records;
    uint64_t position; /* of its last record */
    bool closed_told;  /* its end was logged and its waiters told */
    size_t memory;     /* as last counted */
    struct dd_list lru;
};

struct dd_engine {
    struct dd_engine_config config;
    const struct dd_backend *backend;
    struct dd_aws *aws; /* NULL: the backend is the service of this process */
    struct dd_service_config service;
    struct dd_gate gate;
    struct dd_map residents; /* id bytes -> dd_resident */
    struct dd_list lru;      /* of dd_resident, the one used last at the end */
    size_t memory;

    struct dd_list peers; /* of dd_peer */
    size_t peers_len;
    bool crowded_told;
    uint64_t last_peer, last_call, last_session, last_worker;

    struct dd_map calls;       /* id -> dd_pending */
    struct dd_map sessions;    /* id -> dd_attached */
    struct dd_map keys;        /* key -> dd_attached */
    struct dd_heap due;        /* sessions, by the time they want */
    struct dd_map invocations; /* request id -> dd_invocation */
    struct dd_list workers;    /* of dd_worker */
    struct dd_map watches;     /* execution id bytes -> dd_watch */
    struct dd_list timeouts;   /* of dd_waiter with a time */
    struct dd_list exchanges;  /* of dd_exchange */
    struct dd_host *hosts;     /* one for each hosted function */
    size_t sandboxes;
    const char *http;        /* the API's address; NULL: none */
    struct dd_text *invoked; /* request id of the sandbox's invocation; NULL: not known */
    int64_t invoked_until_ms;
    bool attached_told;
    struct dd_list fronts;      /* of dd_front */
    struct dd_list front_calls; /* of dd_front_call */
    struct dd_list wrapped;     /* of dd_wrapped, the oldest first */
    struct dd_list lost;        /* report.c's */
    struct dd_list interrupted; /* report.c's, the latest at the end */
    size_t fronts_len, wrapped_len, lost_len, interrupted_len;

    int64_t now_ms; /* of the event being handled */
    int64_t started_ms;
    struct dd_rng jitter;
    bool dispatch_wanted;
    bool stopping; /* no new starts, no more invocations */
    bool closing;  /* peers are dropped, nothing is recorded */
    bool failed;
    bool full_told;
    char regions_told[DD_REGIONS_TOLD_MAX][48]; /* other regions that requests were for */
    size_t regions_told_len;
    int64_t looked_ms; /* when it was last looked whether the store is full */
};

/* The execution in memory, loaded if need be; marks it as used. A negative code
 * with a text: unknown, or damaged. */
int dd_engine_load(struct dd_engine *engine, struct dd_uuid id, struct dd_resident **out,
                   struct dd_error *error) DD_MUST_CHECK;

/* A resident for an execution that has no facts yet. */
struct dd_resident *dd_engine_found(struct dd_engine *engine, struct dd_uuid id);

/* The id of an execution about to be started. */
struct dd_uuid dd_engine_new_id(struct dd_engine *engine);

/* Starts an execution: records it, and gives it. A refusal leaves nothing behind. Whether
 * the journal accepts new ones is for the caller to ask first. */
int dd_engine_start(struct dd_engine *engine, const struct dd_start *start,
                    struct dd_resident **out, struct dd_error *error) DD_MUST_CHECK;

/* Drops one that was founded in vain. */
void dd_engine_forget(struct dd_engine *engine, struct dd_resident *resident);

/* The engine can't go on: nothing more is acknowledged or written, the process is to end. */
void dd_engine_fail(struct dd_engine *engine, const struct dd_error *error);

/* Appends the facts of one event as a record (none: does nothing) and empties
 * the list; whoever waits for the execution is told when it is durable. */
void dd_engine_record(struct dd_engine *engine, struct dd_resident *resident,
                      struct dd_facts *facts);

/* Finds what a caller calls an execution: ARN, id, name, or "-". */
int dd_engine_resolve(struct dd_engine *engine, struct dd_span text, struct dd_uuid *out_id,
                      struct dd_error *error) DD_MUST_CHECK;

/* The ARN of the execution that `head` is of. */
void dd_arn_format(const struct dd_engine *engine, const struct dd_head *head,
                   char out_arn[DD_ARN_MAX + 1]);

/* The execution id at the end of an ARN; false when it has none. */
bool dd_arn_execution_id(struct dd_span arn, struct dd_uuid *out_id);

/* --- watch.c: who waits for an execution ------------------------------------------------- */

struct dd_watch {
    struct dd_uuid id;
    struct dd_list waiters; /* of dd_waiter */
};

/* What waits until an execution changes; embedded in what is done then. */
struct dd_waiter {
    struct dd_list node;
    struct dd_list timed;
    struct dd_watch *watch; /* NULL: waits for nothing */
    int64_t until_ms;       /* 0: as long as it takes */
    void (*again)(struct dd_waiter *waiter);
};

void dd_waiter_init(struct dd_waiter *waiter, void (*again)(struct dd_waiter *waiter));

/* Calls `again` once, from the gate, when the execution has changed (closed, or has
 * a new log line) or the waiter's time has come. */
void dd_watch_add(struct dd_engine *engine, struct dd_uuid id, struct dd_waiter *waiter);

/* Waits no longer; harmless when it does not wait. */
void dd_watch_leave(struct dd_engine *engine, struct dd_waiter *waiter);

/* The execution changed. */
void dd_watch_wake(struct dd_engine *engine, struct dd_uuid id);
void dd_watch_due(struct dd_engine *engine);

/* --- invoke.c: executions that invoke functions ------------------------------------------ */

/* CheckpointDurableExecution of a loaded execution: dd_execution_checkpoint(), with what
 * it starts and its record. */
int dd_engine_checkpoint(struct dd_engine *engine, struct dd_resident *resident,
                         struct dd_checkpoint *checkpoint, struct dd_checkpointed *out,
                         struct dd_error *error) DD_MUST_CHECK;

/* The execution has closed: the one that invoked it, if any, is told, in the same commit. */
void dd_invoke_closed(struct dd_engine *engine, const struct dd_resident *resident);

/* --- callback.c: what comes for callbacks from outside ----------------------------------- */

/* A callback by its id (then `execution` and `operation` are absent), or by the name of
 * an open one of an execution. */
struct dd_callback_call {
    struct dd_span callback;
    struct dd_span execution;
    struct dd_span operation;
    enum dd_callback_action action;
    struct dd_span result;
    struct dd_error_object *failure;
};

/* Completes it. Sets the position of the record that says so. */
int dd_callback_complete(struct dd_engine *engine, const struct dd_callback_call *call,
                         uint64_t *out_position, struct dd_error *error) DD_MUST_CHECK;

/* --- peer.c: connections and calls ------------------------------------------------------- */

struct dd_worker;
struct dd_attached;

struct dd_peer {
    struct dd_list node;
    uint64_t id;
    struct dd_engine *engine;
    struct dd_credentials credentials;
    struct dd_stream stream;
    struct dd_frame scanner;
    struct dd_buf in;  /* the message being received */
    struct dd_buf out; /* answers of this turn, and those kept */
    size_t kept;       /* bytes of `out` that nobody waits for; see dd_peers_flush() */
    int64_t level;     /* 0 before hello */
    bool levels_told;  /* that it asked for more than that has */
    bool paused;
    struct dd_worker *worker;
    struct dd_list pending;  /* of dd_pending: parked calls */
    struct dd_list sessions; /* of dd_attached it began */
    struct dd_list joins;    /* of dd_join */
    size_t pending_len, sessions_len;
};

/* A call without an answer yet. Freed by its answer, or with its peer. */
struct dd_pending {
    struct dd_gate_action action; /* while it waits in the gate */
    uint64_t id;
    struct dd_engine *engine;
    struct dd_peer *peer;
    struct dd_list of_peer;
    struct dd_list parked; /* among a worker's slots */
    uint64_t message;      /* the RPC's id */
    int method;            /* row of the method table */
    struct dd_text *arn;   /* of the execution it concerns, for the log; NULL: none known */
    bool ahead;            /* its caller goes on without the answer */
    struct dd_buf result;  /* the encoded result, when it has to wait for the gate */
    /* execution.wait and execution.logs: asked again when the execution changes */
    struct dd_waiter waiter;
    struct dd_uuid execution;
    uint64_t after;
    bool follow;
};

/* Answers with the map encoded in `pending->result`, or with an error, and frees
 * the call. */
void dd_pending_answer(struct dd_pending *pending);
void dd_pending_refuse(struct dd_pending *pending, const struct dd_error *error,
                       const char *field);

/* As dd_pending_answer(), once `position` is durable. */
void dd_pending_answer_after(struct dd_pending *pending, uint64_t position);

/* Frees it without an answer: its peer is gone. */
void dd_pending_forget(struct dd_pending *pending);

struct dd_pending *dd_engine_pending(struct dd_engine *engine, uint64_t id);

/* Sends what the turn gathered for every peer. */
void dd_peers_flush(struct dd_engine *engine);

/* --- methods.c --------------------------------------------------------------------------- */

/* Carries out one call; it is answered now or later, always once. */
void dd_method_call(struct dd_pending *pending, const struct dd_rpc *rpc);
void dd_method_notify(struct dd_peer *peer, const struct dd_rpc *rpc);

/* --- dispatch.c: workers and invocations ------------------------------------------------- */

struct dd_worker {
    struct dd_list node;
    uint64_t id;
    struct dd_peer *peer;
    struct dd_text *instance; /* its own name; the same after it connects again */
    struct dd_text **functions;
    size_t functions_len;
    int64_t concurrency;
    bool draining;
    struct dd_list slots; /* of dd_pending: parked worker.next calls */
    size_t running;
};

/* One invocation in flight. Without a worker or sandbox it is held: its connection is
 * lost and its user code may still run. */
struct dd_invocation {
    struct dd_text *request_id;
    struct dd_text *function;
    struct dd_uuid execution;
    struct dd_worker *worker;
    struct dd_sandbox *sandbox; /* that runs it, of a hosted function */
    struct dd_peer *claimed;    /* a later connection of the process that named it */
    struct dd_credentials process;
    struct dd_text *instance; /* of the worker it was given to */
    int64_t started_ms;
    int64_t deadline_ms; /* 0: none */
    int64_t give_up_ms;  /* held, process unknown: when to stop waiting; 0: never */
    bool lost;           /* with a former daemon: ends uncounted */
    bool plain;          /* its function is not durable */
};

void dd_dispatch_recover(struct dd_engine *engine);
void dd_dispatch_run(struct dd_engine *engine);
void dd_dispatch_due(struct dd_engine *engine);
int64_t dd_dispatch_next_due(const struct dd_engine *engine);
void dd_dispatch_free(struct dd_engine *engine);

/* What worker.register says. */
struct dd_register {
    struct dd_function *functions;
    size_t functions_len;
    int64_t concurrency;
    struct dd_span instance;
    struct dd_span *unwinding;
    size_t unwinding_len;
};

/* Answers the call itself, or returns why not. */
int dd_worker_register(struct dd_pending *pending, const struct dd_register *call,
                       struct dd_error *error) DD_MUST_CHECK;
void dd_worker_lost(struct dd_worker *worker);
void dd_worker_drain(struct dd_worker *worker);

/* The user code of an invocation was handed back or has ended. */
void dd_worker_release(struct dd_engine *engine, struct dd_peer *peer,
                       struct dd_span request_id);

/* `peer` is gone: what it claimed is claimed by nobody. */
void dd_worker_unclaim(struct dd_engine *engine, struct dd_peer *peer);

/* What an invocation is given to its function with. */
struct dd_given {
    struct dd_invocation *invocation;
    struct dd_envelope envelope;
    uint64_t position; /* it is given once this is durable */
};

/* Begins an invocation of a queued execution, for a process. The envelope is given. */
void dd_invocation_begin(struct dd_engine *engine, struct dd_uuid execution,
                         struct dd_credentials process, struct dd_text *instance,
                         struct dd_given *out);

/* The queued execution of `function` that is next; false when there is none. */
bool dd_dispatch_next(struct dd_engine *engine, const struct dd_text *function,
                      struct dd_uuid *out_execution);

/* Whether the function is hosted, or a connected worker serves it. */
bool dd_dispatch_served(struct dd_engine *engine, const struct dd_text *function);

/* Ends an invocation and records how. */
void dd_invocation_end(struct dd_engine *engine, struct dd_invocation *invocation,
                       const struct dd_outcome *outcome);
void dd_invocation_fail(struct dd_engine *engine, struct dd_invocation *invocation,
                        struct dd_span type, const char *message);
/* Its function returned `output`. False when there is no memory for it. */
bool dd_invocation_respond(struct dd_engine *engine, struct dd_invocation *invocation,
                           struct dd_span output);
struct dd_invocation *dd_invocation_find(struct dd_engine *engine, struct dd_span request_id);

/* The invocation of an execution that is in flight, or NULL. */
const struct dd_invocation *dd_invocation_of(const struct dd_engine *engine,
                                             struct dd_uuid execution);

/* --- host.c: processes of hosted functions ----------------------------------------------- */

/* A hosted function. */
struct dd_host {
    struct dd_engine *engine;
    const struct dd_hosted *function;
    struct dd_text *name;
    struct dd_list sandboxes; /* of dd_sandbox */
    size_t sandboxes_len;
};

/* An execution environment: one process, one invocation at a time. */
struct dd_sandbox {
    struct dd_list node;
    struct dd_host *host;
    struct dd_process process;
    struct dd_runtime_call *next;     /* the parked request for an invocation */
    struct dd_invocation *invocation; /* in flight */
    struct dd_error_object *failure;  /* what it reported of its start */
    int64_t started_ms;
    int64_t idle_ms; /* since when it is; 0: it never was */
    bool ready;      /* it has asked for an invocation */
    bool stale;      /* its code has changed: it gets no more */
    bool killed;
};

void dd_host_open(struct dd_engine *engine);
void dd_host_free(struct dd_engine *engine);

/* No more invocations: ends the sandboxes that are idle. */
void dd_host_stop(struct dd_engine *engine);

/* The hosted function of that name, or NULL. */
struct dd_host *dd_host_find(struct dd_engine *engine, const struct dd_text *function);

/* Gives queued executions to idle sandboxes, and starts as many as are missing. */
void dd_host_dispatch(struct dd_host *host);

/* Ends those that hang in their start or were idle for long. */
void dd_host_due(struct dd_engine *engine);
int64_t dd_host_next_due(const struct dd_engine *engine);

/* Takes the sandbox out of service; `reason` is for the log. */
void dd_sandbox_kill(struct dd_sandbox *sandbox, const char *reason);

/* It asks for an invocation. */
void dd_sandbox_idle(struct dd_sandbox *sandbox);

/* Its process reported that it can't start. */
void dd_sandbox_failed(struct dd_sandbox *sandbox, struct dd_error_object *failure);

/* --- runtime.c: the Lambda Runtime API ---------------------------------------------------- */

/* Gives an invocation to a sandbox that has asked for one. */
void dd_runtime_give(struct dd_sandbox *sandbox, struct dd_uuid execution);

/* The part of `target` between `prefix` and `suffix`; absent when it is not so. */
struct dd_span dd_runtime_between(struct dd_span target, const char *prefix,
                                  const char *suffix);

/* --- what sessions go to ------------------------------------------------------------------ */

/* The API call of a session that is in flight: the head of the backend's own struct. */
struct dd_backend_call {
    struct dd_attached *attached; /* NULL once the session is gone */
    bool load;
};

/* What a session's checkpoints and loads go to, through AWS's own interface: the embedded
 * service of this process, or AWS's API. Each gives the call, and answers it later with
 * dd_session_answered(), never from inside. */
struct dd_backend {
    struct dd_backend_call *(*checkpoint)(struct dd_attached *attached, struct dd_span token,
                                          const struct dd_update *updates, size_t updates_len);
    struct dd_backend_call *(*load)(struct dd_attached *attached, struct dd_span token,
                                    struct dd_span marker);
    /* Its session is gone: nobody waits for the answer. */
    void (*abandon)(struct dd_backend_call *call);
};
extern const struct dd_backend dd_backend_service; /* backend_service.c */
extern const struct dd_backend dd_backend_aws;     /* backend_aws.c */

/* All borrowed. */
struct dd_backend_answer {
    struct dd_error_object *failure; /* NULL: it was done, and the rest is what it gave */
    bool retryable;                  /* as in dd_session_refused() */
    struct dd_span token;
    const struct dd_operation *operations;
    size_t operations_len;
    struct dd_span marker;
};

/* Gives the session the answer; its backend frees the call after that. */
void dd_session_answered(struct dd_backend_call *call, const struct dd_backend_answer *answer);

/* What a request of the port `fetch` stands for; embedded in what waits for it. */
struct dd_fetch_owner {
    void (*done)(struct dd_fetch_owner *owner, const struct dd_fetch_answer *answer);
};

/* --- backend_aws.c ------------------------------------------------------------------------ */

struct dd_aws;
struct dd_aws *dd_aws_new(struct dd_engine *engine);
/* Every session is gone. */
void dd_aws_free(struct dd_aws *aws);
void dd_aws_due(struct dd_engine *engine);
int64_t dd_aws_next_due(const struct dd_engine *engine);

/* --- front.c: in front of Lambda's Runtime API -------------------------------------------- */

/* An invocation of a durable function whose runtime asks the daemon: it is given its input, and
 * its envelope is here. Its session is a handler's, or the daemon's own: to read the input, or
 * to end what no handler attached to. */
struct dd_wrapped {
    struct dd_list node;
    struct dd_engine *engine;
    struct dd_text *request_id;
    struct dd_event event;
    int64_t deadline_ms;
    struct dd_attached *attached; /* NULL: it has none now */
    uint64_t asked;               /* the daemon's last call of that */
    struct dd_front_call *call; /* that waits for its input, or for its end; NULL: none does */
    bool lost;                  /* a handler's session was, and is not begun again */
    bool ended;                 /* the session has, with one of the next two */
    struct dd_buf output;
    struct dd_error_object *failure; /* that the invocation is to fail with */
};

/* The latest with that id; NULL when there is none, also for an absent id. */
struct dd_wrapped *dd_wrapped_find(struct dd_engine *engine, struct dd_span request_id);

/* A handler is to begin its session, which takes the place of the daemon's own. */
int dd_wrapped_release(struct dd_wrapped *wrapped, struct dd_error *error) DD_MUST_CHECK;

/* Its session tells: it has begun; the daemon's own, or its end by the daemon, is refused; it
 * has ended; it is lost. After the last two it is told nothing more. */
void dd_wrapped_begun(struct dd_wrapped *wrapped, const struct dd_text *input);
void dd_wrapped_refused(struct dd_wrapped *wrapped, const struct dd_error *error);
void dd_wrapped_ended(struct dd_wrapped *wrapped, const struct dd_answer *answer);
void dd_wrapped_lost(struct dd_wrapped *wrapped);

/* Stands in front of the Runtime API at `api` (HOST:PORT), if it does not yet. Gives where;
 * the text stays as long as that does. */
int dd_front_open(struct dd_engine *engine, struct dd_span api, const char **out_address,
                  struct dd_error *error) DD_MUST_CHECK;
void dd_front_free(struct dd_engine *engine);
void dd_front_due(struct dd_engine *engine);
int64_t dd_front_next_due(const struct dd_engine *engine);

/* --- sessions.c --------------------------------------------------------------------------- */

struct dd_attached {
    uint64_t id;
    struct dd_engine *engine;
    struct dd_peer *peer; /* that began it; NULL: the daemon */
    struct dd_list of_peer;
    struct dd_session *session;
    struct dd_uuid execution;
    struct dd_text *arn;
    struct dd_text *request_id;
    struct dd_wrapped *wrapped; /* the invocation that it is told to; NULL: none */
    struct dd_text **updated;   /* UpdatedOperationIds of the event */
    size_t updated_len;
    char key[33];
    struct dd_list joins;            /* of dd_join */
    struct dd_backend_call *backend; /* the checkpoint or load in flight */
    int64_t due_ms;                  /* as last pushed on the heap; 0: none */
    int64_t began_ms;
    int64_t deadline_ms; /* of its invocation; 0: none is known */
    uint32_t calls;      /* requests made for it */
    int64_t slowest_ms;  /* of them */
};

/* A connection that joined a session of another. */
struct dd_join {
    struct dd_list of_peer;
    struct dd_list of_session;
    struct dd_attached *session;
    struct dd_peer *peer;
};

/* session.*: answered now or later. */
int dd_session_method_begin(struct dd_pending *pending, const struct dd_begin *call,
                            struct dd_error *error) DD_MUST_CHECK;
int dd_session_method_join(struct dd_pending *pending, struct dd_span key,
                           struct dd_error *error) DD_MUST_CHECK;

/* The session `id` if this peer began or joined it. */
struct dd_attached *dd_session_of(struct dd_peer *peer, uint64_t id);

/* A call on a session; `call->id` is set here. */
void dd_session_method_call(struct dd_pending *pending, struct dd_attached *attached,
                            struct dd_call *call);

/* The daemon's own session of an invocation; the daemon's call to end a session; and its end
 * without one. */
void dd_session_hold(struct dd_wrapped *wrapped);
void dd_session_finish(struct dd_attached *attached, struct dd_call *end);
void dd_session_discard(struct dd_attached *attached);

/* Something from outside has completed an operation of `execution`. */
void dd_sessions_changed(struct dd_engine *engine, struct dd_uuid execution);

/* `peer` is gone: its sessions end, its part in others is forgotten. */
void dd_sessions_disconnect(struct dd_peer *peer);
void dd_sessions_due(struct dd_engine *engine);
int64_t dd_sessions_next_due(struct dd_engine *engine);

/* --- report.c: what is logged of the extension's sessions --------------------------------- */

/* Where sessions are all there is; elsewhere an invocation has its own lines. A function that
 * is not durable sees none of them. */
void dd_report_begun(const struct dd_attached *attached);
void dd_report_refused(const struct dd_engine *engine, struct dd_span request_id,
                       const struct dd_error *error);
void dd_report_ended(const struct dd_attached *attached, const struct dd_answer *answer);
/* session.begin is refused: its state cannot be had. */
void dd_report_begin_failed(const struct dd_attached *attached, const struct dd_error *error);

/* A step runs again, in every mode. */
void dd_report_again(const struct dd_attached *attached, const struct dd_answer *answer);

/* Its process has ended; if the sandbox does too, that will say why. */
void dd_report_lost(const struct dd_attached *attached);

/* Why is known now. */
void dd_report_tell_lost(struct dd_engine *engine, struct dd_span reason);
void dd_report_due(struct dd_engine *engine);
int64_t dd_report_next_due(const struct dd_engine *engine);
void dd_report_free(struct dd_engine *engine);

/* --- executions.c: what the socket's methods and the HTTP API do alike -------------------- */

/* The registration of a function that has `qualifier` (absent: none) as its version,
 * $LATEST, or as an alias of that; NULL: there is none. Sets `*out_hosted`, NULL when
 * workers serve it. */
const struct dd_function *dd_executions_function(const struct dd_engine *engine,
                                                 struct dd_span name, struct dd_span qualifier,
                                                 const struct dd_hosted **out_hosted);

/* Starts an execution of a registered function, or finds the one that was started under
 * the same name. `start->id` is set here, and an ExecutionTimeout of 0 becomes the
 * function's. The caller answers once the position of `*out_resident` is durable. */
int dd_executions_start(struct dd_engine *engine, struct dd_start *start,
                        struct dd_resident **out_resident, bool *out_existing,
                        struct dd_error *error) DD_MUST_CHECK;

/* Loads what a caller calls an execution (dd_engine_resolve()). */
int dd_executions_find(struct dd_engine *engine, struct dd_span text,
                       struct dd_resident **out_resident, struct dd_error *error) DD_MUST_CHECK;

int dd_executions_stop(struct dd_engine *engine, struct dd_resident *resident,
                       struct dd_error_object *failure, struct dd_error *error) DD_MUST_CHECK;

/* One page of a history, as encoded events (codec/wire.h). */
struct dd_history {
    uint32_t after; /* the page follows this event; 0: it is the first */
    size_t items_max;
    bool reverse; /* the newest event first */
    bool data;
    struct dd_buf events; /* given */
    size_t len;
    uint32_t last; /* EventId of the page's last */
    bool more;
};
int dd_executions_history(struct dd_engine *engine, struct dd_resident *resident,
                          struct dd_history *history, struct dd_error *error) DD_MUST_CHECK;

/* One page of the executions that pass a filter. */
struct dd_list_filter {
    struct dd_span function; /* absent: of all */
    struct dd_span name;     /* absent: of any */
    enum dd_execution_status status;
    int64_t since_ms; /* started then or later */
    int64_t until_ms; /* started before; 0: whenever */
    bool waiting;
    bool oldest_first;
    const struct dd_uuid *after; /* the page follows this execution; NULL: it is the first */
    size_t items_max;
};

/* Visits the page. True when there may be more, after `*out_last`. */
bool dd_executions_list(struct dd_engine *engine, const struct dd_list_filter *filter,
                        void (*visit)(void *user, const struct dd_head *head), void *user,
                        struct dd_uuid *out_last);
