/* The simulator: the real engine on virtual time, over a store in memory that can
 * fail, with simulated peers that speak the real protocol.
 *
 *   world.c     time and events; the daemon's life: start, turn, crash; streams
 *   program.c   handlers, made up from an execution's name
 *   worker.c    processes that serve functions: they die, hang, lose their connection
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
#define SIM_OPERATIONS_MAX 48 /* of one program, branches included */

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
 *   R a retry strategy   E const char * type and message   F const char * function */
uint32_t conn_call(struct conn *conn, const char *method, const char *format, ...);
void conn_send_bytes(struct conn *conn, const void *bytes, size_t len);

typedef void (*event_fn)(struct world *world, void *owner, uint64_t argument);

/* Runs `fn` at `at_ms`. `owner` must be alive then, or have been cancelled. */
void at(struct world *world, int64_t at_ms, event_fn fn, void *owner, uint64_t argument);
void cancel(struct world *world, const void *owner);

struct oracle;
struct worker;
struct operator_;

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

enum op_kind { OP_STEP, OP_WAIT, OP_CHILD, OP_STRAND };

struct op {
    enum op_kind kind;
    char name[16];
    bool at_most_once;
    bool is_virtual;
    bool large;              /* CHILD: its result is not stored */
    bool caught;             /* its failure is caught */
    bool ask;                /* STEP: the program decides about retries */
    int fails;               /* STEP: how many attempts fail */
    int attempts;            /* STEP: that its strategy allows */
    int64_t seconds;         /* WAIT */
    int64_t body_ms;         /* STEP: how long its body runs */
    const struct body *body; /* CHILD, STRAND */
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
    bool raises; /* the handler ends with an error */
};

/* The same name gives the same program. */
void program_make(struct program *program, const char *name);

/* --- handler.c --------------------------------------------------------------------------- */

struct handler;

/* Begins an invocation over `conn`, and calls `done` with the JSON to return, or NULL
 * when it is to fail; a lost connection: neither, see handler_abandon(). */
struct handler *
handler_new(struct world *world, struct conn *conn, const char *request_id, const char *event,
            void (*done)(void *owner, struct handler *handler, const char *output),
            void *owner);
const char *handler_request_id(const struct handler *handler);
/* An answer that may be the handler's: whether it was. */
bool handler_answered(struct handler *handler, struct conn *conn, uint32_t call,
                      const msgpack_object *error, const msgpack_object *result);
/* The connection is lost: its user code unwinds as soon as no body runs; then `gone`. */
void handler_abandon(struct handler *handler,
                     void (*gone)(void *owner, struct handler *handler));
/* Its process died. */
void handler_free(struct handler *handler);

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
/* The daemon acknowledged, or answered, the result of an operation. */
void oracle_completed(struct world *world, const char *execution, const char *path,
                      const char *status, const char *payload);
/* Something that waits was asked for, at the earliest now; and it is over. */
void oracle_waits(struct world *world, const char *execution, const char *path, int64_t ms);
void oracle_waited(struct world *world, const char *execution, const char *path);
void oracle_started(struct world *world, const char *execution, const char *arn);
void oracle_history(struct world *world, const char *execution, const msgpack_object *result);
void oracle_closed(struct world *world, const char *execution, const char *status,
                   const char *result);

/* --- looking into answers ------------------------------------------------------------------
 */

const msgpack_object *member(const msgpack_object *map, const char *name);
/* The member as a C string in `out`; "" when it is missing. */
const char *member_text(const msgpack_object *map, const char *name, char *out, size_t size);
int64_t member_int(const msgpack_object *map, const char *name);
