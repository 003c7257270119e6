/* The pump: the one place that knows the two engines, the journal and the
 * peers. Events come in through the functions below, each with the time; they
 * are stepped, their records appended, and what depends on a record leaves only
 * after its commit (gate.c). Ports do the work outside: the store, the peers'
 * streams, entropy, processes and the log.
 *
 * One thread. No function here blocks, and no port calls back from inside one
 * of these calls. After each batch of events the owner calls dd_engine_turn(),
 * and arms its timer for dd_engine_next_due().
 */
#pragma once

#include "core/service/service.h"
#include "engine/hosting.h"
#include "engine/journal.h"
#include "engine/log.h"
#include "engine/ports.h"

struct dd_engine;
struct dd_exchange;
struct dd_front;
struct dd_front_call;
struct dd_peer;
struct dd_runtime_call;
struct dd_sandbox;

/* Where AWS's durable execution API is, and with which keys it is asked. Texts are borrowed,
 * those that are not there are NULL. */
struct dd_aws_config {
    /* "https://HOST[:PORT][/PATH]", without a slash at its end; empty: none, for want of a
     * region, and calls fail. */
    const char *endpoint;
    const char *region;
    const char *access_key, *secret_key, *session_token;
    const char *keys_url; /* where keys are asked for when there are none of these */
};

struct dd_engine_config {
    struct dd_service_config service; /* the secret comes from the journal */
    /* Borrowed; its on_durable calls dd_engine_durable. NULL: the engine has no executions of
     * its own. It serves sessions, whose backend is `aws`, and what is asked of the daemon. */
    struct dd_journal *journal;
    const struct dd_aws_config
        *aws; /* borrowed; given when there is no journal, and then only */
    struct dd_ports ports;
    struct dd_log *log;  /* borrowed; the level may be changed by a call */
    const char *version; /* what the daemon says of itself; borrowed */
    const char *mode;    /* "serve", "dev" or "extension" */
    const char *socket;
    const char *data;
    const char *http_hosts; /* names besides loopback's that HTTP requests may be for */
    /* What HTTP requests must be signed with; NULL: signatures are not looked at. */
    const char *access_key;
    const char *secret_key;
    int64_t pid;
    int64_t default_execution_timeout_s;
    int64_t default_retention_s;
    size_t connections_max;
    size_t memory_budget;           /* bytes of executions kept loaded while idle */
    size_t page_items;              /* of a session's state; 0: DD_PAGE_ITEMS_MAX */
    int64_t gather_ms;              /* a session's checkpoint waits for company; 0: not */
    const struct dd_hosted *hosted; /* functions that the daemon hosts itself; borrowed */
    size_t hosted_len;
};

/* Gives an engine; finds the invocations that a former process left in flight. */
struct dd_engine *dd_engine_new(const struct dd_engine_config *config, int64_t now_ms);

/* Peers must be disconnected and the journal idle. */
void dd_engine_free(struct dd_engine *engine);

/* A peer has connected; NULL when there are too many. */
struct dd_peer *dd_engine_connect(struct dd_engine *engine, struct dd_credentials credentials,
                                  const struct dd_stream *stream, int64_t now_ms);

/* Bytes from a peer. May close its stream, after which `peer` is gone: false. */
bool dd_engine_receive(struct dd_engine *engine, struct dd_peer *peer, struct dd_span bytes,
                       int64_t now_ms);

/* How many bytes sent to `peer` are not yet with the kernel. */
void dd_engine_backlog(struct dd_engine *engine, struct dd_peer *peer, size_t bytes);

/* The peer's stream ended; `peer` is gone. */
void dd_engine_disconnect(struct dd_engine *engine, struct dd_peer *peer, int64_t now_ms);

/* The process is about to end: every peer is dropped, and nothing more is
 * recorded. What is in flight is found at the next start. */
void dd_engine_disconnect_all(struct dd_engine *engine, int64_t now_ms);

/* The HTTP API is at `url`; borrowed, told to whoever asks for the daemon's status. */
void dd_engine_listens(struct dd_engine *engine, const char *url);

/* A request of the HTTP API. Its exchange ends with the answer, or with
 * dd_engine_cancel() before it. */
struct dd_exchange *dd_engine_request(struct dd_engine *engine,
                                      const struct dd_http_request *request,
                                      const struct dd_http_reply *reply, int64_t now_ms);
void dd_engine_cancel(struct dd_engine *engine, struct dd_exchange *exchange, int64_t now_ms);

/* What struct dd_process_events tells of the process of `sandbox`. */
struct dd_runtime_call *dd_engine_runtime_request(struct dd_engine *engine,
                                                  struct dd_sandbox *sandbox,
                                                  const struct dd_http_request *request,
                                                  const struct dd_http_reply *reply,
                                                  int64_t now_ms);
void dd_engine_runtime_cancel(struct dd_engine *engine, struct dd_runtime_call *call,
                              int64_t now_ms);
void dd_engine_process_wrote(struct dd_engine *engine, struct dd_sandbox *sandbox,
                             struct dd_span line, int64_t now_ms);
void dd_engine_process_ended(struct dd_engine *engine, struct dd_sandbox *sandbox,
                             int64_t status, int signal, int64_t now_ms);

/* A request to a listener that the port `listen` has opened for `front`, as in struct
 * dd_http_events. */
struct dd_front_call *dd_engine_front_request(struct dd_engine *engine, struct dd_front *front,
                                              const struct dd_http_request *request,
                                              const struct dd_http_reply *reply,
                                              int64_t now_ms);
void dd_engine_front_cancel(struct dd_engine *engine, struct dd_front_call *call,
                            int64_t now_ms);

/* What struct dd_fetch_events tells of a request. */
void dd_engine_fetched(struct dd_engine *engine, void *owner,
                       const struct dd_fetch_answer *answer, int64_t now_ms);

/* The sandbox that this process is in was given an invocation: a session that names it has
 * this deadline, if its client gives none. */
void dd_engine_invoked(struct dd_engine *engine, struct dd_span request_id, int64_t deadline_ms,
                       int64_t now_ms);

/* The sandbox ends: writes a line for each session that is open. */
void dd_engine_report_open(struct dd_engine *engine, struct dd_span reason, int64_t now_ms);

/* The code of hosted function `index` has changed: its processes end once they are idle. */
void dd_engine_reload(struct dd_engine *engine, size_t index, int64_t now_ms);

/* Kills the processes of hosted functions; their ends are still told. */
void dd_engine_kill(struct dd_engine *engine);

/* Processes of hosted functions that have not ended. */
size_t dd_engine_processes(const struct dd_engine *engine);

/* The journal's on_durable. */
void dd_engine_durable(struct dd_engine *engine, int status, const struct dd_error *error);

/* Runs what is due, lets out what is durable, dispatches, commits. */
void dd_engine_turn(struct dd_engine *engine, int64_t now_ms);

/* When dd_engine_turn() is wanted next; 0: only after an event. */
int64_t dd_engine_next_due(struct dd_engine *engine);

/* Takes no new starts and gives out no more invocations; workers are told to
 * drain. dd_engine_quiet() is true once all that was promised has left. */
void dd_engine_stop(struct dd_engine *engine, int64_t now_ms);
bool dd_engine_quiet(const struct dd_engine *engine);

/* True after the store failed for good: the process is to end. */
bool dd_engine_failed(const struct dd_engine *engine);

/* Invocations in flight. */
size_t dd_engine_invocations(const struct dd_engine *engine);

/* Invariants over engine, executions and sessions; for tests and the simulator. */
int dd_engine_check(const struct dd_engine *engine, struct dd_error *error);
