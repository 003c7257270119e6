/* What the files of the session engine share.
 *
 *   session.c    begin, calls, end            batch.c    updates, checkpoints, acks
 *   operation.c  start, succeed, fail         strand.c   awaits and suspension
 *   unit.c       handles and their life       branch.c   the branches of batches
 *   cursor.c     windows of the replay cursor held.c     calls that wait for pages
 *   facts.c      for logs                     profile.c, retry.c
 */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "core/session/session.h"

/* An operation as the service knows it, or will once the queue has left. */
struct record {
    struct dd_operation operation;
    struct dd_list units; /* of struct unit that name it */
    bool loaded;          /* of an earlier invocation: the cursor may show it */
    bool placed;          /* the cursor has it */
};

/* One line of control; it is blocked while a call of it is parked in an await. */
struct strand {
    struct dd_list node;
    uint32_t parked;
};

enum unit_state {
    UNIT_RUNNING,  /* the client runs its body */
    UNIT_PENDING,  /* waits for time or the outside */
    UNIT_CLOSING,  /* its outcome waits to be acknowledged */
    UNIT_DECIDING, /* the client decides about a retry */
    UNIT_DONE,
    UNIT_UNWOUND, /* its body ended without an outcome */
};

/* What a handle stands for: an operation as the client sees it. */
struct unit {
    uint32_t handle;
    enum unit_state state;
    enum dd_operation_type type;
    struct unit *parent; /* the context it was started in; NULL for the root */
    struct dd_list children, of_parent;
    uint32_t depth;            /* of the root: 0 */
    struct branches *branches; /* of a batch; NULL */
    uint32_t branch;           /* its index, when the parent is a batch */
    struct record *record;     /* NULL: virtual, or the root */
    struct dd_list of_record;
    struct dd_text *id;
    struct dd_text *prefix; /* CONTEXT: of the ids inside; NULL for the root */
    struct strand *strand;  /* that its body runs on */
    bool own_strand;
    uint64_t client;
    enum dd_semantics semantics;
    enum dd_strategy strategy;
    struct dd_retry retry;
    bool replay_children;
    int64_t run_ms; /* when its body began; 0: not */
    bool again;     /* an earlier invocation began the attempt */
    /* The outcome, for who awaits it later. */
    enum dd_operation_status status;
    struct dd_text *payload;
    struct dd_error_object *failure; /* also the error being decided about */
};

/* A call that waits for an acknowledgement. */
struct ack {
    struct dd_list node;
    uint64_t call;
    uint64_t client;
    struct unit *unit;
    uint64_t seq; /* of the update it waits for */
};

/* A parked await, of `units` or of what is next in the batch `context`. */
struct await {
    struct dd_list node;
    uint64_t call;
    uint64_t client;
    struct unit *context;
    struct unit **units;
    size_t len;
    bool any;
    bool batch;
};

enum session_state {
    SESSION_LOADING, /* begin is not answered */
    SESSION_RUNNING,
    SESSION_SUSPENDED, /* everybody is told to unwind; the service will invoke again */
    SESSION_REVOKED,   /* the service takes no more from this invocation */
    SESSION_REFUSED,   /* a checkpoint or load failed; `failure` says why */
    SESSION_ENDED,
};

struct dd_session {
    struct dd_session_effects effects;
    const struct dd_profile *profile;
    enum session_state state;
    struct dd_text *arn;
    struct dd_text *token;
    uint64_t begin_call;
    struct dd_rng rng;

    struct dd_map records;    /* id -> record */
    size_t loaded_len;        /* of them, operations of earlier invocations */
    struct record *execution; /* NULL until loaded */
    bool loading;             /* pages of the state are still to come */
    bool whole;               /* the last has come; a page that could not be had never does */
    struct dd_list held;      /* calls that wait for them */
    bool observe;
    struct dd_operation *changed; /* since the last answer, when observed */
    size_t changed_len, changed_cap;

    struct dd_cursor_entry *entries; /* the replay cursor */
    size_t entries_len, entries_cap, entries_at;

    struct dd_map units; /* handle bytes -> unit */
    uint32_t handle_max; /* the greatest that was ever used */
    struct unit *root;
    struct dd_list strands;
    struct dd_list awaits;
    struct dd_list acks;

    struct dd_update *queue;
    size_t queue_len, queue_cap;
    uint64_t queued_seq; /* of the last update queued */
    uint64_t acked_seq;
    uint64_t sync_seq;  /* last one that somebody waits for */
    int64_t sync_ms;    /* since when the first of those could leave */
    int64_t queued_ms;  /* when the last update was queued */
    int64_t gather_ms;  /* as in begin */
    int64_t flush_ms;   /* when the oldest async one leaves; 0: none */
    int64_t refresh_ms; /* no refresh before this */
    bool refresh;       /* an empty checkpoint is wanted, as soon as somebody awaits */
    bool flight;        /* a checkpoint or load is out */
    uint64_t flight_seq;

    struct dd_session_facts facts;
    bool lost_body; /* a body ended with its process: the invocation failed */
    bool closing;   /* an EXECUTION update was queued */
    struct dd_error_object *failure;
    bool failure_retryable;

    uint64_t end_call; /* 0: not called */
    struct dd_text *end_payload;
    struct dd_error_object *end_error;
    bool end_unwound, end_invocation;
    int64_t now_ms;
};

/* --- session.c --------------------------------------------------------------------------- */

void answer(struct dd_session *session, const struct dd_answer *answer);
void answer_kind(struct dd_session *session, uint64_t call, enum dd_answer_kind kind);
void answer_error(struct dd_session *session, uint64_t call, const struct dd_error *error);

/* Answers a call, or parks it. */
void call_take(struct dd_session *session, const struct dd_call *call);

/* Takes the operation over, new or changed, as the service has it. */
void record_merge(struct dd_session *session, const struct dd_operation *operation);
struct record *record_find(const struct dd_session *session, const struct dd_text *id);
void record_free(struct dd_session *session, struct record *record);

/* --- unit.c ------------------------------------------------------------------------------ */

struct unit *unit_new(struct dd_session *session, const struct dd_call *call,
                      struct unit *context, struct dd_text *id, struct record *record);
struct unit *unit_find(struct dd_session *session, uint32_t handle);

/* A handle that no unit has: one that was in use, of a branch that has ended, is told to
 * unwind; any other is refused. */
void unit_unknown(struct dd_session *session, uint64_t call, uint32_t handle, const char *text);

/* Its body begins to run. */
void unit_run(struct dd_session *session, struct unit *unit);

/* Its body has ended: nothing of it, or below it, goes on. */
void unit_stop(struct dd_session *session, struct unit *unit, enum unit_state state);

/* Its outcome is known. */
void unit_close(struct unit *unit, enum dd_operation_status status, struct dd_text *payload,
                struct dd_error_object *failure);

/* A branch whose outcome was told to the client: counts it, and forgets it with all below. */
void unit_retire(struct dd_session *session, struct unit *unit);

/* Whether the outcome of `unit` is known. */
bool unit_done(struct unit *unit);

/* Frees it with all below; the map of units keeps pointing there. */
void unit_free(struct unit *unit);

/* --- branch.c ---------------------------------------------------------------------------- */

struct branches *branches_new(const struct dd_batch_options *options);
void branches_free(struct branches *branches);

/* Answers the parked `call` of the coordinator if there is something to say. */
bool branches_try(struct dd_session *session, struct unit *batch, uint64_t call);

/* What the predicate said (NONE: go on); returns what is wrong with that, or NULL. */
const char *branches_decide(struct branches *branches, enum dd_operation_status decision);

/* Whether branches are about to be started: the client was told, and has not yet. */
bool branches_starting(const struct branches *branches);

/* Whoever was told to start branches is gone. */
void branches_forget(struct branches *branches);

/* What is wrong with the start of branch `index`; NULL: nothing. */
const char *branch_may_start(const struct unit *batch, uint32_t index,
                             const struct dd_call *call);
void branch_started(const struct unit *batch, uint32_t index);
void branch_ended(const struct unit *batch, uint32_t index, enum dd_operation_status status);

/* --- operation.c ------------------------------------------------------------------------- */

void operation_start(struct dd_session *session, const struct dd_call *call);
void operation_succeed(struct dd_session *session, const struct dd_call *call);
void operation_fail(struct dd_session *session, const struct dd_call *call);
void operation_decide(struct dd_session *session, const struct dd_call *call);
void operation_retry(struct dd_session *session, const struct dd_call *call);
void operation_unwound(struct dd_session *session, const struct dd_call *call);

/* The update that `call` waited for is acknowledged: answers it. */
void operation_acked(struct dd_session *session, const struct ack *ack);

/* Runs a step whose retry is due, to answer `call`. */
void operation_run_again(struct dd_session *session, struct unit *unit, uint64_t call,
                         uint64_t client);

/* --- batch.c ----------------------------------------------------------------------------- */

/* Queues an update and returns where to fill it in; id, names and parent are the
 * unit's. `sync`: somebody waits for it. Valid until the next one. */
struct dd_update *batch_add(struct dd_session *session, const struct unit *unit,
                            enum dd_action action, bool sync);

/* Answers `call` (operation_acked) once the last update queued is acknowledged. */
void batch_wait(struct dd_session *session, struct unit *unit, uint64_t call, uint64_t client);

/* Whether the service may still take checkpoints of this session. */
bool batch_open(const struct dd_session *session);

/* Whether a checkpoint that somebody waits for is kept back for what may be added to it. */
bool batch_gathers(const struct dd_session *session);

/* Sends a checkpoint if one may leave now. */
void batch_pump(struct dd_session *session);
void batch_acked(struct dd_session *session);
int64_t batch_next_due(const struct dd_session *session);
void batch_drop_async(struct dd_session *session);
void batch_free(struct dd_session *session);

/* --- strand.c ---------------------------------------------------------------------------- */

struct strand *strand_new(struct dd_session *session);
void strand_free(struct strand *strand);
void await_park(struct dd_session *session, const struct dd_call *call);
void await_batch(struct dd_session *session, const struct dd_call *call);
/* Answers the awaits that can be, then suspends if nothing can go on. */
void strands_settle(struct dd_session *session);
/* Answers every parked call UNWIND. */
void strands_unwind(struct dd_session *session);
int64_t strands_next_due(const struct dd_session *session);
void awaits_forget(struct dd_session *session, uint64_t client);

/* Answers the awaits of `context`'s own code UNWIND. */
void awaits_unwind(struct dd_session *session, const struct unit *context);

/* Whether a parked call names `unit`. */
bool awaits_name(const struct dd_session *session, const struct unit *unit);

/* --- held.c ------------------------------------------------------------------------------ */

/* Copies the call. */
void held_add(struct dd_session *session, const struct dd_call *call);
bool held_any(const struct dd_session *session);
/* Takes them, once nothing is to come any more. */
void held_take(struct dd_session *session);
void held_forget(struct dd_session *session, uint64_t client);
void held_drop(struct dd_session *session);

/* --- cursor.c, profile.c ----------------------------------------------------------------- */

/* Gives what has no place yet one, as far as the state is there. */
void cursor_build(struct dd_session *session);
/* Whether the next window is at hand. */
bool cursor_ready(const struct dd_session *session);
/* Fills the next window into `answer`, and whether something has no place. */
void cursor_window(struct dd_session *session, struct dd_answer *answer);

/* The prefix of ids inside the context (`id`, at `position` in `prefix`). Gives a text. */
struct dd_text *context_prefix(const struct dd_profile *profile, struct dd_text *id,
                               struct dd_span prefix, uint32_t position);
