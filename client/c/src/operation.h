/* What operation.c lends to the operations that are made of several steps, or of
 * other operations. */
#pragma once

#include "session.h"

/* How an operation is started. */
struct opening {
    const struct durabled_start *start;
    const struct params *batch; /* CONTEXT: its operations are branches; NULL: they are not */
    bool is_branch;             /* its place is `branch`, and no turn of its context's */
    int64_t branch;
    bool awaited; /* WAIT, CHAINED_INVOKE: the await follows in the same breath */
};

/* Keep an error in the session; return its code. */
int session_no_memory(struct durabled_session *session);
int session_misuse(struct durabled_session *session, const char *text);

/* Makes and starts it; on failure there is none. */
int operation_begin(struct durabled_context *context, const struct opening *opening,
                    struct durabled_operation **out, struct durabled_answer *answer);
/* Does what the answer wants, awaits it, and moves the result to the caller; an
 * operation that is no CONTEXT is freed. */
int operation_finish(struct durabled_operation *operation, struct durabled_answer *answer,
                     struct durabled_result *out);
void operation_params(struct durabled_operation *operation, struct params *params);
/* A call about the operation, which settles its start. Gives the reply on OK. */
int operation_ask(struct durabled_operation *operation, const char *method,
                  struct params *params, struct durabled_reply **out_reply);

/* Runs the body of a CONTEXT and reports what it came to. */
int operation_run_child(struct durabled_operation *operation);
/* Reports what the body of a CONTEXT came to: `rc`, and its result. */
int operation_close(struct durabled_operation *operation, int rc,
                    struct durabled_result *result);
/* The body of a strand came to `rc`: the daemon is told when it was unwound. An
 * error ends the session, whose other strands would wait for this one. */
void operation_left(struct durabled_operation *operation, int rc);

/* A body may return FAILED without saying why, or a number of its own. False: no
 * memory. */
bool result_name_failure(struct durabled_result *result, int rc);
