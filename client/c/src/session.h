/* One invocation: what session.c (begin, end, calls) and operation.c (operations)
 * share. */
#pragma once

#include "cursor.h"

struct durabled_context {
    struct durabled_session *session;
    struct durabled_context *parent; /* NULL: the root */
    int64_t handle;                  /* 0: the root */
    char *id;                        /* NULL: the root, or not known yet */
    const char *parent_id;           /* of what it starts: the nearest id that is recorded */
    int64_t position;                /* of the operation started last */
    bool fresh;                      /* nothing can be recorded below it */
    bool rerun;                      /* its body runs again: the daemon knows better */
};

struct durabled_operation {
    struct durabled_session *session;
    struct durabled_context *context; /* it was started in */
    bool strand;
    int64_t handle; /* 0: never told to the daemon */
    enum durabled_type type;
    char *name;
    struct call start; /* valid while start_open */
    bool start_open;
    bool complete;
    bool succeeded;
    struct durabled_result result;
    struct durabled_failure failure; /* of the attempt that DECIDE is about */
    struct durabled_context child;   /* CONTEXT */
    bool is_virtual;
    bool replay_children;
    char *callback_id;         /* CALLBACK; NULL: not known yet */
    struct durabled_text kept; /* what the body that is wanted goes on from */

    /* What runs the body when the daemon wants it again; NULL: the program does. */
    int (*run)(struct durabled_operation *operation, struct durabled_answer *answer);
    durabled_step_body step_body;
    durabled_decide_fn decide;
    durabled_body body;
    durabled_summary_fn summary;
    void *user;
    pthread_t thread; /* STRAND, while threaded */
    bool threaded;
};

struct durabled_session {
    struct durabled *connection;
    int64_t id;
    char *key;
    char *arn;
    struct durabled_text input;
    struct durabled_context root;
    struct served *served; /* NULL: not a worker's */

    pthread_mutex_t fetch_lock; /* held while a window is fetched */

    pthread_mutex_t lock; /* guards all below, and the children's threads */
    struct cursor cursor;
    struct durabled_operation **operations; /* by handle */
    size_t operations_len, operations_cap;
    struct batch *batches; /* those whose branches run on without a coordinator */
    bool unwinding;        /* nothing more is sent */
    bool handed_back;      /* ... because the worker took the invocation back */
    struct durabled_error error;
};

/* Keeps the first error; returns `code`, and DURABLED_UNWIND unchanged. */
int session_fail(struct durabled_session *session, int code,
                 const struct durabled_error *error);
/* A call of the session: DURABLED_UNWIND at once when it unwinds. */
int session_send(struct durabled_session *session, struct call *call, const char *method,
                 struct params *params);
int session_wait(struct durabled_session *session, struct call *call,
                 struct durabled_reply **out_reply);
int session_call(struct durabled_session *session, const char *method, struct params *params,
                 struct durabled_reply **out_reply);
void session_params(struct durabled_session *session, struct params *params);
/* Looks into the cursor, fetching windows until it is sure. */
int session_replay(struct durabled_session *session, const char *context_id, int64_t position,
                   const struct cursor_identity *identity, enum cursor_found *out_found,
                   struct cursor_outcome *out);
/* From now on every call ends with DURABLED_UNWIND. */
void session_unwind(struct durabled_session *session);

/* Waits for every strand's thread; frees every operation. */
void operations_join(struct durabled_session *session);
void operations_free(struct durabled_session *session);
