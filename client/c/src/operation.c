/* Operations: start, await, run bodies, settle. The daemon decides; this file does
 * what it is told and keeps what it is given. */
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "operation.h"

/* --- making and freeing ------------------------------------------------------------------ */

static const struct {
    const char *name;
    const char *usual_sub_type;
} types[] = {
    [DURABLED_STEP] = {"STEP", "Step"},
    [DURABLED_WAIT] = {"WAIT", "Wait"},
    [DURABLED_CONTEXT] = {"CONTEXT", "RunInChildContext"},
    [DURABLED_CALLBACK] = {"CALLBACK", "Callback"},
    [DURABLED_CHAINED_INVOKE] = {"CHAINED_INVOKE", "ChainedInvoke"},
};

static const char *sub_type_of(const struct durabled_start *start)
{
    return start->sub_type ? start->sub_type : types[start->type].usual_sub_type;
}

int session_no_memory(struct durabled_session *session)
{
    struct durabled_error error;

    error_set(&error, DURABLED_NO_MEMORY, "out of memory for an operation");
    return session_fail(session, DURABLED_NO_MEMORY, &error);
}

int session_misuse(struct durabled_session *session, const char *text)
{
    struct durabled_error error;

    error_set(&error, DURABLED_USAGE, "%s", text);
    return session_fail(session, DURABLED_USAGE, &error);
}

/* Gives it a handle, and the session keeps it. */
static bool register_operation(struct durabled_session *session,
                               struct durabled_operation *operation)
{
    bool ok = true;

    pthread_mutex_lock(&session->lock);
    if (session->operations_len == session->operations_cap) {
        size_t cap = session->operations_cap ? 2 * session->operations_cap : 16;
        struct durabled_operation **grown =
            realloc(session->operations, cap * sizeof(struct durabled_operation *));

        ok = grown != NULL;
        if (ok) {
            session->operations = grown;
            session->operations_cap = cap;
        }
    }
    if (ok) {
        session->operations[session->operations_len++] = operation;
        operation->handle = (int64_t)session->operations_len;
    }
    pthread_mutex_unlock(&session->lock);
    return ok;
}

static struct durabled_operation *operation_new(struct durabled_context *context,
                                                const struct durabled_start *start)
{
    struct durabled_operation *operation = calloc(1, sizeof *operation);

    if (!operation)
        return NULL;
    operation->session = context->session;
    operation->context = context;
    operation->strand = start->strand;
    operation->type = start->type;
    operation->is_virtual = start->is_virtual;
    if (start->name)
        operation->name = strdup(start->name);
    if ((start->name && !operation->name) || !register_operation(context->session, operation)) {
        free(operation->name);
        free(operation);
        return NULL;
    }
    operation->child.session = context->session;
    operation->child.parent = context;
    operation->child.handle = operation->handle;
    return operation;
}

/* Its start has been answered or its session unwinds; no thread runs it. */
static void operation_free(struct durabled_operation *operation)
{
    struct durabled_session *session = operation->session;
    struct durabled_reply *reply;

    if (operation->start_open &&
        session_wait(session, &operation->start, &reply) == DURABLED_OK)
        durabled_reply_free(reply);
    pthread_mutex_lock(&session->lock);
    session->operations[operation->handle - 1] = NULL;
    pthread_mutex_unlock(&session->lock);
    durabled_result_clear(&operation->result);
    failure_clear(&operation->failure);
    free(operation->child.id);
    free(operation->callback_id);
    free(operation->kept.data);
    free(operation->name);
    free(operation);
}

/* NULL for a handle that no longer has one. */
static struct durabled_operation *operation_at(struct durabled_session *session, int64_t handle)
{
    struct durabled_operation *operation = NULL;

    pthread_mutex_lock(&session->lock);
    if (handle >= 1 && (uint64_t)handle <= session->operations_len)
        operation = session->operations[handle - 1];
    pthread_mutex_unlock(&session->lock);
    return operation;
}

/* Takes the thread of the operation at `handle`; false past the last one. */
static bool take_thread(struct durabled_session *session, size_t handle, pthread_t *out_thread,
                        bool *out_threaded)
{
    struct durabled_operation *operation;
    bool there;

    pthread_mutex_lock(&session->lock);
    there = handle <= session->operations_len;
    operation = there ? session->operations[handle - 1] : NULL;
    *out_threaded = operation && operation->threaded;
    if (*out_threaded) {
        *out_thread = operation->thread;
        operation->threaded = false;
    }
    pthread_mutex_unlock(&session->lock);
    return there;
}

void operations_join(struct durabled_session *session)
{
    bool threaded;
    pthread_t thread;

    /* A strand may start others while it is joined, which come later; a branch may
     * start strands, and they batches. */
    do {
        for (size_t handle = 1; take_thread(session, handle, &thread, &threaded); handle++)
            if (threaded)
                pthread_join(thread, NULL);
    } while (batches_join(session));
}

void operations_free(struct durabled_session *session)
{
    for (size_t i = session->operations_len; i-- > 0;)
        if (session->operations[i])
            operation_free(session->operations[i]);
    free(session->operations);
    session->operations = NULL;
    session->operations_len = session->operations_cap = 0;
}

/* --- reading answers --------------------------------------------------------------------- */

/* Keeps the outcome of a terminal operation: a `done` answer, or one of `ready`. */
static int keep_outcome(struct durabled_operation *operation, const msgpack_object *map)
{
    struct durabled_text payload = map_text(map, "payload");

    durabled_result_clear(&operation->result);
    operation->succeeded = map_text_is(map, "status", "SUCCEEDED");
    if (operation->succeeded
            ? payload.data && !text_copy(&operation->result.payload, payload.data, payload.len)
            : !failure_read(&operation->result.failure, map_get(map, "error")))
        return session_no_memory(operation->session);
    operation->complete = true;
    return DURABLED_OK;
}

static int keep_results(struct durabled_session *session, const msgpack_object *map)
{
    const msgpack_object *results = map_get(map, "operations");

    if (!results || results->type != MSGPACK_OBJECT_ARRAY)
        return DURABLED_OK;
    for (uint32_t i = 0; i < results->via.array.size; i++) {
        const msgpack_object *result = &results->via.array.ptr[i];
        struct durabled_operation *operation =
            operation_at(session, map_int(result, "operation", 0));
        int rc =
            operation && !operation->complete ? keep_outcome(operation, result) : DURABLED_OK;

        if (rc != DURABLED_OK)
            return rc;
    }
    return DURABLED_OK;
}

/* Keeps what an answer tells besides: a callback's id, and what its body is to go on
 * from. False: no memory. */
static bool keep_told(struct durabled_operation *operation, const msgpack_object *map)
{
    struct durabled_text id = map_text(map, "callback_id"), payload = {0}, copy;

    if (id.data && !operation->callback_id) {
        if (!text_copy(&copy, id.data, id.len))
            return false;
        operation->callback_id = copy.data;
    }
    if (map_text_is(map, "outcome", "run"))
        payload = map_text(map, "payload");
    free(operation->kept.data);
    operation->kept = (struct durabled_text){0};
    return !payload.data || text_copy(&operation->kept, payload.data, payload.len);
}

/* What an answer wants of `operation`. Takes the reply. The outcome of a strand is
 * kept by the thread that awaits it, not by its own: `keep`. */
static int read_answer(struct durabled_operation *operation, struct durabled_reply *reply,
                       bool keep, struct durabled_answer *out)
{
    struct durabled_session *session = operation->session;
    const msgpack_object *map = &reply->result;
    int rc = DURABLED_OK;

    *out = (struct durabled_answer){.operation = operation};
    out->attempt = (int)map_int(map, "attempt", 1);
    out->due_ms = map_int(map, "due_ms", 0);
    out->replay_children = map_bool(map, "replay_children");
    if (!keep_told(operation, map))
        rc = session_no_memory(session);
    out->state = operation->kept;
    if (rc != DURABLED_OK) {
        durabled_reply_free(reply);
        return rc;
    }
    if (map_text_is(map, "outcome", "unwind")) {
        rc = DURABLED_UNWIND;
    } else if (map_text_is(map, "outcome", "run")) {
        out->wanted = DURABLED_WANTED_RUN;
        operation->replay_children = out->replay_children;
    } else if (map_text_is(map, "outcome", "pending")) {
        out->wanted = DURABLED_WANTED_AWAIT;
    } else if (map_text_is(map, "outcome", "decide")) {
        out->wanted = DURABLED_WANTED_DECIDE;
        failure_clear(&operation->failure);
        if (!failure_read(&operation->failure, map_get(map, "error")))
            rc = session_no_memory(session);
        out->failure = &operation->failure;
    } else if (map_text_is(map, "outcome", "done")) {
        out->wanted = DURABLED_WANTED_NOTHING;
        if (keep)
            rc = keep_outcome(operation, map);
    } else {
        rc = session_misuse(session, "the daemon answered with an outcome that is not known");
    }
    durabled_reply_free(reply);
    return rc;
}

/* --- start ------------------------------------------------------------------------------- */

static void pack_retry(struct params *params, const struct durabled_retry *retry)
{
    static const char *const jitters[] = {"FULL", "HALF", "NONE"};
    bool linear = retry->backoff == DURABLED_LINEAR;
    struct params map;

    params_init(&map);
    params_int(&map, "max_attempts", retry->max_attempts);
    params_text(&map, "backoff", linear ? "linear" : "exponential");
    params_text(&map, "jitter", jitters[retry->jitter]);
    params_float(&map, "initial_delay_s", retry->initial_delay_s);
    params_float(&map, "max_delay_s", retry->max_delay_s);
    if (linear)
        params_float(&map, "increment_s", retry->increment_s);
    else
        params_float(&map, "rate", retry->rate);
    params_map(params, "retry", &map);
    params_free(&map);
}

/* What is asked of a CONTEXT. */
static void pack_context(struct params *params, const struct opening *opening)
{
    if (opening->start->is_virtual)
        params_bool(params, "virtual", true);
    if (opening->start->strand)
        params_bool(params, "strand", true);
    if (opening->batch)
        params_map(params, "batch", opening->batch);
}

static void pack_step(struct params *params, const struct durabled_start *start, bool ahead)
{
    params_text(params, "semantics",
                start->semantics == DURABLED_AT_MOST_ONCE_PER_RETRY
                    ? "AT_MOST_ONCE_PER_RETRY"
                    : "AT_LEAST_ONCE_PER_RETRY");
    if (start->retry)
        pack_retry(params, start->retry);
    if (start->ask)
        params_bool(params, "ask", true);
    if (ahead)
        params_bool(params, "ahead", true);
}

static void pack_callback(struct params *params, const struct durabled_start *start)
{
    if (start->timeout_s > 0)
        params_int(params, "timeout_s", start->timeout_s);
    if (start->heartbeat_timeout_s > 0)
        params_int(params, "heartbeat_timeout_s", start->heartbeat_timeout_s);
}

static void pack_invoke(struct params *params, const struct durabled_start *start)
{
    params_text(params, "function", start->function);
    params_text_len(params, "payload", start->payload, start->payload_len);
    params_text(params, "tenant_id", start->tenant_id);
}

static int send_start(struct durabled_operation *operation, int64_t position,
                      const struct opening *opening, bool ahead)
{
    const struct durabled_start *start = opening->start;
    struct durabled_session *session = operation->session;
    struct params params;
    int rc;

    session_params(session, &params);
    params_int(&params, "operation", operation->handle);
    params_int(&params, "context", operation->context->handle);
    params_int(&params, "position", position);
    params_text(&params, "type", types[start->type].name);
    params_text(&params, "sub_type", sub_type_of(start));
    params_text(&params, "name", start->name);
    if (start->type == DURABLED_CONTEXT)
        pack_context(&params, opening);
    else if (start->type == DURABLED_STEP)
        pack_step(&params, start, ahead);
    else if (start->type == DURABLED_WAIT)
        params_int(&params, "seconds", start->seconds);
    else if (start->type == DURABLED_CALLBACK)
        pack_callback(&params, start);
    else
        pack_invoke(&params, start);
    rc = session_send(session, &operation->start, "session.start", &params);
    operation->start_open = rc == DURABLED_OK;
    return rc;
}

/* The answer to the start that was sent ahead. It came before any later one. */
static int settle_start(struct durabled_operation *operation, struct durabled_answer *answer)
{
    struct durabled_session *session = operation->session;
    struct durabled_reply *reply;
    struct durabled_text id;
    int rc;

    *answer =
        (struct durabled_answer){.operation = operation, .wanted = DURABLED_WANTED_NOTHING};
    if (!operation->start_open)
        return DURABLED_OK;
    operation->start_open = false;
    rc = session_wait(session, &operation->start, &reply);
    if (rc != DURABLED_OK)
        return rc;
    id = map_text(&reply->result, "id");
    if (id.data && operation->type == DURABLED_CONTEXT && !operation->child.id) {
        struct durabled_text copy;

        if (!text_copy(&copy, id.data, id.len)) {
            durabled_reply_free(reply);
            return session_no_memory(session);
        }
        operation->child.id = copy.data;
    }
    return read_answer(operation, reply, true, answer);
}

/* What is below a new child context: known ids, and whether anything can be
 * recorded. A virtual context leaves no entry of its own, but its children do. */
static void open_child(struct durabled_operation *operation, enum cursor_found found)
{
    struct durabled_context *child = &operation->child, *context = operation->context;

    child->fresh = context->fresh || (found == CURSOR_NOTHING && !operation->is_virtual);
    child->rerun = context->rerun;
}

/* Looks at what is recorded. Gives CURSOR_DONE with the operation complete. */
static int replay_start(struct durabled_operation *operation, int64_t position,
                        const struct durabled_start *start, enum cursor_found *out_found)
{
    struct durabled_context *context = operation->context;
    struct cursor_identity identity = {
        .type = types[start->type].name,
        .sub_type = sub_type_of(start),
        .name = start->name,
        .parent_id = context->parent_id,
    };
    struct cursor_outcome outcome = {0};
    int rc;

    *out_found = context->rerun ? CURSOR_ASK : CURSOR_NOTHING;
    if (context->fresh || context->rerun)
        return DURABLED_OK;
    rc =
        session_replay(context->session, context->id, position, &identity, out_found, &outcome);
    if (rc == DURABLED_OK && *out_found == CURSOR_DONE) {
        operation->complete = true;
        operation->succeeded = outcome.succeeded;
        operation->result = outcome.result;
        outcome.result = (struct durabled_result){0};
        operation->callback_id = outcome.callback_id;
        outcome.callback_id = NULL;
    }
    if (operation->type == DURABLED_CONTEXT && outcome.id && !operation->is_virtual) {
        operation->child.id = outcome.id;
        outcome.id = NULL;
    }
    free(outcome.id);
    free(outcome.callback_id);
    durabled_result_clear(&outcome.result);
    return rc;
}

/* Whether the caller goes on without the answer: to the body, or to the await that
 * follows in the same breath. */
static bool goes_ahead(const struct durabled_operation *operation,
                       const struct opening *opening, enum cursor_found found)
{
    const struct durabled_start *start = opening->start;

    switch (start->type) {
    case DURABLED_WAIT:
    case DURABLED_CHAINED_INVOKE:
        return opening->awaited;
    case DURABLED_STEP:
        return found == CURSOR_NOTHING && start->semantics == DURABLED_AT_LEAST_ONCE_PER_RETRY;
    case DURABLED_CONTEXT:
        return found == CURSOR_NOTHING && (operation->child.fresh || !start->is_virtual);
    case DURABLED_CALLBACK:
        break; /* its id is wanted */
    }
    return false;
}

/* Starts `operation`. When it goes ahead, its answer is still to come. */
static int start_operation(struct durabled_operation *operation, const struct opening *opening,
                           struct durabled_answer *answer)
{
    struct durabled_context *context = operation->context;
    int64_t position = opening->is_branch ? opening->branch : ++context->position;
    enum cursor_found found;
    bool ahead;
    int rc = replay_start(operation, position, opening->start, &found);

    *answer = (struct durabled_answer){
        .operation = operation, .wanted = DURABLED_WANTED_NOTHING, .attempt = 1};
    if (rc != DURABLED_OK || found == CURSOR_DONE)
        return rc;
    open_child(operation, found);
    ahead = goes_ahead(operation, opening, found);
    rc = send_start(operation, position, opening, ahead);
    if (rc != DURABLED_OK)
        return rc;
    if (ahead)
        answer->wanted = opening->awaited ? DURABLED_WANTED_AWAIT : DURABLED_WANTED_RUN;
    else
        rc = settle_start(operation, answer);
    if (rc == DURABLED_OK && operation->type == DURABLED_CONTEXT)
        operation->child.parent_id =
            operation->is_virtual ? context->parent_id : operation->child.id;
    return rc;
}

static int check_start(struct durabled_context *context, const struct durabled_start *start)
{
    if (start->type == DURABLED_WAIT && start->seconds < 1)
        return session_misuse(context->session, "a wait takes at least one second");
    if (start->retry && start->retry->max_attempts < 1)
        return session_misuse(context->session, "retry: max_attempts is at least 1");
    if (start->timeout_s < 0 || start->heartbeat_timeout_s < 0)
        return session_misuse(context->session, "a callback's timeouts are not negative");
    if (start->type == DURABLED_CHAINED_INVOKE && !start->function)
        return session_misuse(context->session, "an invoke names a function");
    return DURABLED_OK;
}

int operation_begin(struct durabled_context *context, const struct opening *opening,
                    struct durabled_operation **out, struct durabled_answer *answer)
{
    struct durabled_operation *operation;
    int rc = check_start(context, opening->start);

    *out = NULL;
    *answer = (struct durabled_answer){0};
    if (rc != DURABLED_OK)
        return rc;
    operation = operation_new(context, opening->start);
    if (!operation)
        return session_no_memory(context->session);
    rc = start_operation(operation, opening, answer);
    if (rc != DURABLED_OK)
        operation_free(operation);
    else
        *out = operation;
    return rc;
}

int durabled_start(struct durabled_context *context, const struct durabled_start *start,
                   struct durabled_operation **out, struct durabled_answer *answer)
{
    return operation_begin(context, &(struct opening){.start = start}, out, answer);
}

/* --- settling ---------------------------------------------------------------------------- */

/* A call about one operation, and its answer. That of a start sent ahead has come by
 * then, so the thread is woken once; why the start failed explains why this did. */
int operation_ask(struct durabled_operation *operation, const char *method,
                  struct params *params, struct durabled_reply **out_reply)
{
    struct durabled_session *session = operation->session;
    struct durabled_answer answer;
    struct call call;
    int started, rc = session_send(session, &call, method, params);

    if (rc != DURABLED_OK)
        return rc;
    rc = session_wait(session, &call, out_reply);
    started = settle_start(operation, &answer);
    if (started == DURABLED_OK)
        return rc;
    if (rc == DURABLED_OK)
        durabled_reply_free(*out_reply);
    return started;
}

/* The same, where the answer says what is wanted next. */
static int operation_call(struct durabled_operation *operation, const char *method,
                          struct params *params, struct durabled_answer *answer)
{
    struct durabled_reply *reply;
    int rc = operation_ask(operation, method, params, &reply);

    return rc == DURABLED_OK ? read_answer(operation, reply, !operation->strand, answer) : rc;
}

void operation_params(struct durabled_operation *operation, struct params *params)
{
    session_params(operation->session, params);
    params_int(params, "operation", operation->handle);
}

int durabled_succeed(struct durabled_operation *operation, const char *payload, size_t len,
                     const char *summary)
{
    struct durabled_answer answer;
    struct params params;
    int rc;

    operation_params(operation, &params);
    /* A result that is not kept need not be sent. */
    if (operation->type == DURABLED_CONTEXT && len > LIMIT_REPLAY_CHILDREN_THRESHOLD)
        params_bool(&params, "replay_children", true);
    else
        params_text_len(&params, "payload", payload, len);
    params_text(&params, "summary", summary);
    rc = operation_call(operation, "session.succeed", &params, &answer);
    if (rc != DURABLED_OK || operation->strand)
        return rc;
    durabled_result_clear(&operation->result);
    if (payload && !text_copy(&operation->result.payload, payload, len))
        return session_no_memory(operation->session);
    operation->complete = true;
    operation->succeeded = true;
    return DURABLED_OK;
}

/* The answer to a failure lacks the error when the client knows it. */
static int keep_failure(struct durabled_operation *operation,
                        const struct durabled_failure *failure)
{
    if (operation->strand || !operation->complete || operation->succeeded ||
        !failure_is_empty(&operation->result.failure))
        return DURABLED_OK;
    return failure_copy(&operation->result.failure, failure)
               ? DURABLED_OK
               : session_no_memory(operation->session);
}

int durabled_fail(struct durabled_operation *operation, const struct durabled_failure *failure,
                  const struct durabled_fail_options *options, struct durabled_answer *answer)
{
    struct params params;
    int rc;

    operation_params(operation, &params);
    params_failure(&params, "error", failure);
    params_bool(&params, "retryable", !(options && options->not_retryable));
    if (options && options->final)
        params_bool(&params, "final", true);
    if (options && options->decided)
        params_int(&params, "delay_s", options->delay_s);
    rc = operation_call(operation, "session.fail", &params, answer);
    return rc == DURABLED_OK ? keep_failure(operation, failure) : rc;
}

int durabled_again(struct durabled_operation *operation, const char *state, size_t len,
                   int64_t delay_s, struct durabled_answer *answer)
{
    struct params params;

    operation_params(operation, &params);
    params_text_len(&params, "payload", state, len);
    params_int(&params, "delay_s", delay_s);
    return operation_call(operation, "session.retry", &params, answer);
}

int durabled_decide(struct durabled_operation *operation, int64_t delay_s,
                    struct durabled_answer *answer)
{
    struct params params;
    int rc;

    operation_params(operation, &params);
    params_int(&params, "delay_s", delay_s);
    rc = operation_call(operation, "session.decide", &params, answer);
    return rc == DURABLED_OK ? keep_failure(operation, &operation->failure) : rc;
}

int durabled_unwound(struct durabled_operation *operation)
{
    struct durabled_session *session = operation->session;
    struct durabled_reply *reply;
    struct params params;
    int rc;

    operation_params(operation, &params);
    rc = session_call(session, "session.unwound", &params, &reply);
    if (rc == DURABLED_OK)
        durabled_reply_free(reply);
    return rc;
}

struct durabled_context *durabled_operation_context(struct durabled_operation *operation)
{
    return operation->type == DURABLED_CONTEXT ? &operation->child : NULL;
}

const char *durabled_callback_id(const struct durabled_operation *operation)
{
    return operation->callback_id;
}

int durabled_operation_state(const struct durabled_operation *operation)
{
    if (!operation->complete)
        return DURABLED_UNWIND;
    return operation->succeeded ? DURABLED_OK : DURABLED_FAILED;
}

const struct durabled_result *
durabled_operation_result(const struct durabled_operation *operation)
{
    return &operation->result;
}

/* --- bodies ------------------------------------------------------------------------------ */

bool result_name_failure(struct durabled_result *result, int rc)
{
    if (!failure_is_empty(&result->failure))
        return true;
    return durabled_raise(result, rc == DURABLED_FAILED ? "Error" : durabled_code_name(rc),
                          "the body failed and did not say why") == DURABLED_FAILED;
}

static int run_step(struct durabled_operation *operation, struct durabled_answer *answer)
{
    struct durabled_session *session = operation->session;
    int attempt = answer->attempt;
    struct durabled_attempt told = {operation->name, attempt};
    struct durabled_fail_options options = {0};
    struct durabled_result result = {0};
    int rc = operation->step_body(&told, &result, operation->user);

    if (rc == DURABLED_UNWIND) {
        durabled_result_clear(&result);
        return rc;
    }
    if (rc == DURABLED_OK) {
        *answer =
            (struct durabled_answer){.operation = operation, .wanted = DURABLED_WANTED_NOTHING};
        rc = durabled_succeed(operation, result.payload.data, result.payload.len, NULL);
    } else if (!result_name_failure(&result, rc)) {
        rc = session_no_memory(session);
    } else {
        if (operation->decide) {
            options.decided = true;
            options.delay_s = operation->decide(&result.failure, attempt, operation->user);
        }
        rc = durabled_fail(operation, &result.failure, &options, answer);
    }
    durabled_result_clear(&result);
    return rc;
}

int operation_close(struct durabled_operation *operation, int rc,
                    struct durabled_result *result)
{
    struct durabled_result summary = {0};
    struct durabled_answer answer;

    if (rc == DURABLED_OK) {
        if (operation->summary && result->payload.len > LIMIT_REPLAY_CHILDREN_THRESHOLD)
            rc = operation->summary(result->payload, &summary, operation->user);
        if (rc == DURABLED_OK)
            rc = durabled_succeed(operation, result->payload.data, result->payload.len,
                                  summary.payload.data);
    } else if (rc == DURABLED_FAILED) {
        rc = result_name_failure(result, rc)
                 ? durabled_fail(operation, &result->failure, NULL, &answer)
                 : session_no_memory(operation->session);
    }
    durabled_result_clear(&summary);
    return rc;
}

int operation_run_child(struct durabled_operation *operation)
{
    struct durabled_result result = {0};
    int rc = operation->body(&operation->child, &result, operation->user);

    rc = operation_close(operation, rc, &result);
    durabled_result_clear(&result);
    return rc;
}

static void *strand_main(void *argument)
{
    struct durabled_operation *operation = argument;

    operation_left(operation, operation_run_child(operation));
    return NULL;
}

void operation_left(struct durabled_operation *operation, int rc)
{
    struct durabled_error error;

    if (rc == DURABLED_UNWIND) {
        (void)durabled_unwound(operation);
    } else if (rc < 0) {
        error_set(&error, rc, "the body of a strand returned %d", rc);
        (void)session_fail(operation->session, rc, &error);
        session_unwind(operation->session);
    }
}

/* The former run of the same strand, if any, has reported its end. */
static int spawn_strand(struct durabled_operation *operation, bool again)
{
    struct durabled_session *session = operation->session;
    struct durabled_error error;
    bool threaded;
    int rc;

    pthread_mutex_lock(&session->lock);
    threaded = operation->threaded;
    operation->threaded = false;
    pthread_mutex_unlock(&session->lock);
    if (threaded)
        pthread_join(operation->thread, NULL);
    if (again) {
        operation->child.position = 0;
        operation->child.fresh = false;
        operation->child.rerun = true;
    }
    pthread_mutex_lock(&session->lock);
    rc = pthread_create(&operation->thread, NULL, strand_main, operation);
    operation->threaded = rc == 0;
    pthread_mutex_unlock(&session->lock);
    if (rc == 0)
        return DURABLED_OK;
    error_set(&error, DURABLED_SYSTEM, "no thread for a strand: %s", strerror(rc));
    return session_fail(session, DURABLED_SYSTEM, &error);
}

/* The strand that was told to unwind is wanted again. */
static int run_strand(struct durabled_operation *operation, struct durabled_answer *answer)
{
    answer->wanted = DURABLED_WANTED_AWAIT;
    return spawn_strand(operation, true);
}

/* Does what an answer wants of an operation whose body the library has, until it
 * must be awaited, is complete, or the caller's part has come. */
static int serve(struct durabled_answer *answer)
{
    struct durabled_operation *operation = answer->operation;
    int rc = DURABLED_OK;

    while (rc == DURABLED_OK) {
        if (answer->wanted == DURABLED_WANTED_RUN && operation->run)
            rc = operation->run(operation, answer);
        else if (answer->wanted == DURABLED_WANTED_DECIDE && operation->decide)
            rc = durabled_decide(
                operation, operation->decide(answer->failure, answer->attempt, operation->user),
                answer);
        else
            return DURABLED_OK;
    }
    return rc;
}

/* --- await ------------------------------------------------------------------------------- */

static void pack_await(struct durabled_context *context,
                       struct durabled_operation *const *operations, size_t len, bool any,
                       struct params *params)
{
    size_t open = 0;

    session_params(context->session, params);
    params_int(params, "context", context->handle);
    for (size_t i = 0; i < len; i++)
        open += !operations[i]->complete;
    params_key(params, "operations");
    msgpack_pack_array(&params->packer, open);
    for (size_t i = 0; i < len; i++)
        if (!operations[i]->complete)
            msgpack_pack_int64(&params->packer, operations[i]->handle);
    if (any)
        params_bool(params, "any", true);
}

static bool enough(struct durabled_operation *const *operations, size_t len, bool any)
{
    size_t complete = 0;

    for (size_t i = 0; i < len; i++)
        complete += operations[i]->complete;
    return complete == len || (any && complete > 0);
}

/* One round: the answer to an await. Takes the reply. */
static int read_await(struct durabled_context *context, struct durabled_reply *reply,
                      struct durabled_answer *answer)
{
    struct durabled_session *session = context->session;
    struct durabled_operation *operation;
    int rc;

    if (map_text_is(&reply->result, "outcome", "ready")) {
        rc = keep_results(session, &reply->result);
        durabled_reply_free(reply);
        *answer = (struct durabled_answer){.wanted = DURABLED_WANTED_NOTHING};
        return rc;
    }
    if (map_text_is(&reply->result, "outcome", "unwind")) {
        durabled_reply_free(reply);
        return DURABLED_UNWIND;
    }
    operation = operation_at(session, map_int(&reply->result, "operation", 0));
    if (!operation) {
        durabled_reply_free(reply);
        return session_misuse(session, "the daemon wants an operation that was never started");
    }
    rc = read_answer(operation, reply, true, answer);
    return rc == DURABLED_OK ? serve(answer) : rc;
}

/* Sends one await, with the starts that wait for nothing else unanswered before it. */
static int await_once(struct durabled_context *context,
                      struct durabled_operation *const *operations, size_t len, bool any,
                      struct durabled_answer *answer)
{
    struct durabled_reply *reply = NULL;
    int started = DURABLED_OK, rc;
    struct params params;
    struct call call;

    pack_await(context, operations, len, any, &params);
    rc = session_send(context->session, &call, "session.await", &params);
    if (rc != DURABLED_OK)
        return rc;
    for (size_t i = 0; i < len && started == DURABLED_OK; i++)
        if (operations[i]->type == DURABLED_WAIT ||
            operations[i]->type == DURABLED_CHAINED_INVOKE)
            started = settle_start(operations[i], answer);
    rc = session_wait(context->session, &call, &reply);
    if (started != DURABLED_OK) {
        if (rc == DURABLED_OK)
            durabled_reply_free(reply);
        return started;
    }
    return rc == DURABLED_OK ? read_await(context, reply, answer) : rc;
}

int durabled_await(struct durabled_context *context,
                   struct durabled_operation *const *operations, size_t len, bool any,
                   struct durabled_answer *answer)
{
    *answer = (struct durabled_answer){.wanted = DURABLED_WANTED_NOTHING};
    while (!enough(operations, len, any)) {
        int rc = await_once(context, operations, len, any, answer);

        if (rc != DURABLED_OK)
            return rc;
        if (answer->wanted == DURABLED_WANTED_RUN || answer->wanted == DURABLED_WANTED_DECIDE)
            return DURABLED_OK;
    }
    *answer = (struct durabled_answer){.wanted = DURABLED_WANTED_NOTHING};
    return DURABLED_OK;
}

/* --- the usual operations ---------------------------------------------------------------- */

/* A context stays until the session ends: what was started in it may outlive it. */
static void release(struct durabled_operation *operation)
{
    if (operation->type != DURABLED_CONTEXT)
        operation_free(operation);
}

/* Awaits it on the strand of `context`, and moves the result to the caller. */
static int await_one(struct durabled_context *context, struct durabled_operation *operation,
                     struct durabled_result *out)
{
    struct durabled_answer answer;
    int rc = durabled_await(context, &operation, 1, false, &answer);

    if (rc != DURABLED_OK)
        return rc;
    if (!operation->complete)
        return session_misuse(context->session, "its body, or a decision, is the program's");
    if (out) {
        *out = operation->result;
        operation->result = (struct durabled_result){0};
    }
    return operation->succeeded ? DURABLED_OK : DURABLED_FAILED;
}

int durabled_await_result(struct durabled_context *context,
                          struct durabled_operation *operation, struct durabled_result *out)
{
    durabled_result_clear(out);
    return await_one(context, operation, out);
}

int operation_finish(struct durabled_operation *operation, struct durabled_answer *answer,
                     struct durabled_result *out)
{
    int rc = serve(answer);

    if (rc == DURABLED_OK)
        rc = await_one(operation->context, operation, out);
    release(operation);
    return rc;
}

int durabled_step(struct durabled_context *context, const char *name,
                  const struct durabled_step_options *options, durabled_step_body body,
                  void *user, struct durabled_result *out)
{
    struct durabled_start start = {.type = DURABLED_STEP, .name = name};
    struct durabled_operation *operation;
    struct durabled_answer answer;
    int rc;

    durabled_result_clear(out);
    if (options) {
        start.semantics = options->semantics;
        start.ask = options->decide != NULL;
        start.retry = start.ask ? NULL : options->retry;
    }
    rc = operation_begin(context, &(struct opening){.start = &start}, &operation, &answer);
    if (!operation)
        return rc;
    operation->run = run_step;
    operation->step_body = body;
    operation->decide = options ? options->decide : NULL;
    operation->user = user;
    return operation_finish(operation, &answer, out);
}

int durabled_wait(struct durabled_context *context, const char *name, int64_t seconds)
{
    struct durabled_start start = {.type = DURABLED_WAIT, .name = name, .seconds = seconds};
    struct durabled_operation *operation;
    struct durabled_answer answer;
    int rc = operation_begin(context, &(struct opening){.start = &start, .awaited = true},
                             &operation, &answer);

    return operation ? operation_finish(operation, &answer, NULL) : rc;
}

static int begin_child(struct durabled_context *context, const char *name,
                       const struct durabled_child_options *options, bool strand,
                       durabled_body body, void *user, struct durabled_operation **out,
                       struct durabled_answer *answer)
{
    struct durabled_start start = {.type = DURABLED_CONTEXT, .name = name, .strand = strand};
    int rc;

    if (options) {
        start.is_virtual = options->is_virtual;
        start.sub_type = options->sub_type;
    }
    rc = operation_begin(context, &(struct opening){.start = &start}, out, answer);
    if (!*out)
        return rc;
    (*out)->run = strand ? run_strand : NULL;
    (*out)->body = body;
    (*out)->summary = options ? options->summary : NULL;
    (*out)->user = user;
    return DURABLED_OK;
}

int durabled_child(struct durabled_context *context, const char *name,
                   const struct durabled_child_options *options, durabled_body body, void *user,
                   struct durabled_result *out)
{
    struct durabled_operation *operation;
    struct durabled_answer answer;
    int rc;

    durabled_result_clear(out);
    rc = begin_child(context, name, options, false, body, user, &operation, &answer);
    if (!operation)
        return rc;
    if (answer.wanted == DURABLED_WANTED_RUN) {
        rc = operation_run_child(operation);
        if (rc != DURABLED_OK)
            return rc;
    }
    return operation_finish(operation, &answer, out);
}

int durabled_strand(struct durabled_context *context, const char *name,
                    const struct durabled_child_options *options, durabled_body body,
                    void *user, struct durabled_operation **out)
{
    struct durabled_operation *operation;
    struct durabled_answer answer;
    int rc = begin_child(context, name, options, true, body, user, &operation, &answer);

    if (operation && answer.wanted == DURABLED_WANTED_RUN)
        rc = spawn_strand(operation, false);
    if (rc == DURABLED_OK)
        *out = operation;
    return rc;
}
