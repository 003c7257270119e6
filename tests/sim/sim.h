/* The simulator: the real engine on virtual time, over a store in memory that can
 * fail, with simulated peers that speak the real protocol.
 *
 *   world.c     time and events; the daemon's life: start, turn, crash; streams
 *   program.c   handlers, made up from an execution's name
 *   worker.c    processes that serve functions: they die, hang, lose their connection
 *   batch.c     what a batch may do, judged by whoever coordinates it
 *   handler.c   one invocation of a handler, as a state machine over the protocol
 *   operator.c  starts, looks at and stops executions
 *   hostile.c   sends what no client should
 *   oracle.c    what must never happen, judged from outside the engine
 *   coverage.c  which operations, refusals and faults fired
 *
 * A world is one seed; it keeps no state outside itself but the coverage table.
 */
#pragma once

#include <msgpack.h>

#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "tests/lib/store_mem.h"

#define SIM_EXECUTIONS_MAX 12
#define SIM_WORKERS 3
#define SIM_OPERATIONS_MAX 64 /* of one program, branches included */

struct world;

/* --- coverage.c -------------------------------------------------------------------------- */

/* Counts that something named happened; see the table there. An unknown name ends
 * the program: every name has a row, so that a row that never fires shows. */
void covered(const char *name);
/* Adds what a child process counted; prints the table; false when a row is 0. */
void coverage_write(int fd);
void coverage_read(int fd);
bool coverage_print(bool wanted);

/* --- world.c ----------------------------------------------------------------------------- */

/* A stream between a simulated process and the daemon. */
struct conn {
    struct world *world;
    struct dd_peer *peer; /* NULL: lost */
    struct dd_list node;
    uint32_t last_call;
    int references;          /* of events under way, and the owner's */
    bool dropped;            /* by its owner: nothing is delivered any more */
    int64_t frozen_until_ms; /* its process hangs */
    void *owner;
    /* One answer; `error` or `result` is NULL. Borrowed. */
    void (*answered)(void *owner, struct conn *conn, uint32_t call, const msgpack_object *error,
                     const msgpack_object *result);
    void (*lost)(void *owner, struct conn *conn);
};

/* Connects as process `pid`; NULL while the daemon is down. The owner ends it with
 * conn_drop(). */
struct conn *conn_open(struct world *world, int64_t pid, void *owner,
                       void (*answered)(void *owner, struct conn *conn, uint32_t call,
                                        const msgpack_object *error,
                                        const msgpack_object *result),
                       void (*lost)(void *owner, struct conn *conn));
void conn_drop(struct conn *conn);

/* Sends a call after a short random delay, in order; its number. The map of
 * parameters is written by `format`, pairs of a name and a value:
 *   s const char *   i int64_t   b int (bool)   [ handle array: size_t, const uint32_t *
 *   R a retry strategy   E const char * type and message   S texts, as a handle array
 *   F the functions that workers serve: no value   B const struct op *, a batch's options */
uint32_t conn_call(struct conn *conn, const char *method, const char *format, ...);
void conn_send_bytes(struct conn *conn, const void *bytes, size_t len);

typedef void (*event_fn)(struct world *world, void *owner, uint64_t argument);

/* Runs `fn` at `at_ms`. `owner` must be alive then, or have been cancelled. */
void at(struct world *world, int64_t at_ms, event_fn fn, void *owner, uint64_t argument);
void cancel(struct world *world, const void *owner);

struct oracle;
struct worker;
struct operator_;
struct op;

struct world {
    uint64_t seed;
    struct dd_rng rng;
    bool verbose;
    int64_t now_ms;  /* what the clock says */
    int64_t back_ms; /* how far it was ever stepped back, in all */
    struct dd_list events;
    uint64_t events_run, last_event;
    bool faults; /* may still happen */
    /* the daemon */
    struct dd_store_mem *store;
    struct dd_journal *journal;
    struct dd_engine *engine; /* NULL: down */
    struct dd_log log;
    struct dd_list conns;
    uint64_t crashes;
    int64_t next_due_ms;
    bool ticking;
    /* everybody else */
    struct oracle *oracle;
    struct worker *workers[SIM_WORKERS];
    struct operator_ *operator_;
    uint64_t last_pid;
};

bool chance(struct world *world, double probability);
int64_t between(struct world *world, int64_t low, int64_t high);

/* Ends the process with the seed, the time and a message. */
void broken(const struct world *world, const char *format, ...) DD_PRINTF(2, 3)
    __attribute__((noreturn));
void say(const struct world *world, const char *format, ...) DD_PRINTF(2, 3);

/* Whether the process still runs its code. */
bool process_alive(struct world *world, int64_t pid);

/* Runs one seed. */
void world_run(uint64_t seed, bool verbose);
/* All workers dead or crashing for an hour: no execution may fail. */
void outage_run(uint64_t seed, bool verbose);

/* --- program.c --------------------------------------------------------------------------- */

enum op_kind {
    OP_STEP,
    OP_WAIT,
    OP_CHILD,
    OP_STRAND,
    OP_CALLBACK,
    OP_POLL,
    OP_INVOKE,
    OP_BATCH,
    OP_BRANCH, /* of a batch, in whose body they stand in order */
};

struct op {
    enum op_kind kind;
    char name[16];
    bool at_most_once;
    bool is_virtual;         /* BATCH, BRANCH: FLAT */
    bool large;              /* CHILD, BATCH, BRANCH: its result is not stored */
    bool caught;             /* its failure is caught */
    bool ask;                /* STEP: the program decides about retries; BATCH: a predicate */
    bool later;              /* CALLBACK, INVOKE: awaited at the end of the context */
    int fails;               /* STEP: how many attempts fail; POLL, BRANCH, INVOKE: whether */
    int attempts;            /* STEP: that its strategy allows; POLL: until it holds */
    int64_t seconds;         /* WAIT; POLL: between attempts; CALLBACK: its timeout */
    int64_t heartbeat_s;     /* CALLBACK */
    int64_t body_ms;         /* STEP, POLL: how long its body runs */
    const char *function;    /* INVOKE */
    const struct body *body; /* CHILD, STRAND, BRANCH; BATCH: its branches */
    struct criteria {
        int64_t max_concurrency;                                       /* 0: all at once */
        int64_t min_successful, tolerated_count, tolerated_percentage; /* -1: not given */
        int64_t ends_wanted; /* by the predicate; 0: it never ends the batch */
        bool custom_failed;  /* what it says then */
    } criteria;              /* BATCH */
};

/* What runs in one context: operations in order; then its strands are awaited. */
struct body {
    struct op *ops;
    size_t len;
    bool any; /* awaits any strand instead of all, then the rest */
};

struct program {
    struct op ops[SIM_OPERATIONS_MAX];
    struct body bodies[SIM_OPERATIONS_MAX];
    size_t ops_len, bodies_len;
    const struct body *root;
    bool raises;  /* the handler ends with an error */
    bool invoked; /* by another execution */
};

/* The same name gives the same program. Functions that executions invoke have no
 * invokes of their own but of plain functions. */
void program_make(struct program *program, const char *name, bool invoked);

/* --- batch.c ----------------------------------------------------------------------------- */

/* A batch as its coordinator is told about it, judged by sdk-semantics 5.1. */
struct batch {
    const struct op *op;
    const char *execution;
    char items[SIM_OPERATIONS_MAX]; /* T runs, S succeeded, F failed, or 0 */
    size_t next;                    /* index of the first that was not started */
    int64_t running, succeeded, failed;
    bool asked_first;
    bool asked[SIM_OPERATIONS_MAX]; /* the predicate, about the end of a branch */
    int64_t asked_len;
    bool decided;
    char outcome[64]; /* once it is complete: reason and items */
};

void batch_begin(struct batch *batch, const struct op *op, const char *execution);
/* The daemon wants a branch started. */
void batch_told(struct world *world, struct batch *batch, size_t index);
void batch_ended(struct world *world, struct batch *batch, size_t index, const char *status);
/* What the predicate says after the changes; NULL: go on. */
const char *batch_decides(struct world *world, struct batch *batch,
                          const msgpack_object *changes);
void batch_ready(struct world *world, struct batch *batch, const char *reason,
                 const char *items);

/* --- handler.c --------------------------------------------------------------------------- */

struct handler;

/* Begins an invocation over `conn`, and calls `done` with the JSON to return, or NULL
 * when it is to fail; a lost connection: neither, see handler_abandon(). */
struct handler *handler_new(struct world *world, struct conn *conn, const char *request_id,
                            const char *function, const char *event,
                            void (*done)(void *owner, struct handler *handler,
                                         const char *output),
                            void *owner);
const char *handler_request_id(const struct handler *handler);
/* An answer that may be the handler's: whether it was. */
bool handler_answered(struct handler *handler, struct conn *conn, uint32_t call,
                      const msgpack_object *error, const msgpack_object *result);
/* The connection is lost: its user code unwinds as soon as no body runs; then `gone`. */
void handler_abandon(struct handler *handler,
                     void (*gone)(void *owner, struct handler *handler));
/* Ends it wherever it stands. */
void handler_free(struct handler *handler);
/* Its process dies, and it with it. */
void handler_die(struct handler *handler);

/* --- worker.c, operator.c, hostile.c -------------------------------------------------------
 */

void worker_start(struct world *world, size_t index);
void worker_kill(struct world *world, size_t index);
void worker_stop_all(struct world *world, bool crash_loop);
void workers_chaos(struct world *world);
void workers_free(struct world *world);
bool worker_process_alive(struct world *world, int64_t pid);
bool worker_quiet(struct world *world);

void operator_start(struct world *world);
/* A handler learned a callback's id, and hands it on. */
void operator_callback(struct world *world, const char *execution, const struct op *op,
                       const char *id);
/* True once it saw every execution closed. */
bool operator_content(const struct world *world);
size_t operator_count(const struct world *world, const char *status);
/* Whether one that it knows FAILED in this time. */
bool operator_failed_between(const struct world *world, int64_t from_ms, int64_t until_ms);
void operator_stops_starting(struct world *world);
void operator_free(struct world *world);

void hostile_act(struct world *world);

/* --- oracle.c ------------------------------------------------------------------------------
 */

struct oracle *oracle_new(void);
void oracle_free(struct oracle *oracle);

/* Bodies of an execution, by whoever runs them. */
void oracle_handler_begins(struct world *world, const char *execution, const void *handler);
void oracle_handler_ends(struct world *world, const void *handler);
/* Whether its outcome was seen. */
bool oracle_is_complete(struct world *world, const char *execution, const char *path);
void oracle_step_runs(struct world *world, const char *execution, const char *path, int attempt,
                      bool at_most_once);
/* The outcome of a branch is sent; "" when it never was. */
void oracle_sent(struct world *world, const char *execution, const char *path,
                 const char *status);
const char *oracle_outcome(struct world *world, const char *execution, const char *path);
/* The daemon acknowledged, or answered, the result of an operation. */
void oracle_completed(struct world *world, const char *execution, const char *path,
                      const char *status, const char *payload);
/* Something that waits was asked for, at the earliest now; and it is over. */
void oracle_waits(struct world *world, const char *execution, const char *path, int64_t ms);
/* A heartbeat of a callback, sent at `sent_ms`, was taken. */
void oracle_heartbeat(struct world *world, const char *execution, const char *path,
                      int64_t sent_ms, int64_t heartbeat_ms, int64_t timeout_ms);
void oracle_waited(struct world *world, const char *execution, const char *path);
/* The execution `child` says that the operation started it. */
void oracle_child(struct world *world, const char *parent, const char *path, const char *child);
/* The operation ended with the outcome of `child`. */
void oracle_child_ended(struct world *world, const char *parent, const char *path,
                        const char *child);
/* A plain function runs for the operation; it ended, and is never to run again. */
void oracle_plain_runs(struct world *world, const char *operation);
void oracle_plain_ended(struct world *world, const char *operation);
void oracle_started(struct world *world, const char *execution, const char *arn);
void oracle_history(struct world *world, const char *execution, const msgpack_object *result);
void oracle_closed(struct world *world, const char *execution, const char *status,
                   const char *result);
/* Operations that invoke and executions that were invoked agree; looks into the engine. */
void oracle_children(struct world *world);

/* --- looking into answers ------------------------------------------------------------------
 */

const msgpack_object *member(const msgpack_object *map, const char *name);
/* The member as a C string in `out`; "" when it is missing. */
const char *member_text(const msgpack_object *map, const char *name, char *out, size_t size);
int64_t member_int(const msgpack_object *map, const char *name);
