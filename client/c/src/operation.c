/* Operations: start, await, run bodies, settle. The daemon decides; this file does
 * what it is told and keeps what it is given. */
#include <stdlib.h>
#include <string.h>

#include "session.h"

/* --- making and freeing ------------------------------------------------------------------ */

static const char *type_name(enum durabled_type type)
{
    return type == DURABLED_STEP ? "STEP" : type == DURABLED_WAIT ? "WAIT" : "CONTEXT";
}

static const char *usual_sub_type(enum durabled_type type)
{
    return type == DURABLED_STEP   ? "Step"
           : type == DURABLED_WAIT ? "Wait"
                                   : "RunInChildContext";
}

static int no_memory(struct durabled_session *session)
{
    struct durabled_error error;

    error_set(&error, DURABLED_NO_MEMORY, "out of memory for an operation");
    return session_fail(session, DURABLED_NO_MEMORY, &error);
}

static int misuse(struct durabled_session *session, const char *text)
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

    /* A strand may start others while it is joined; they come later. */
    for (size_t handle = 1; take_thread(session, handle, &thread, &threaded); handle++)
        if (threaded)
            pthread_join(thread, NULL);
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
        return no_memory(operation->session);
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
            rc = no_memory(session);
        out->failure = &operation->failure;
    } else if (map_text_is(map, "outcome", "done")) {
        out->wanted = DURABLED_WANTED_NOTHING;
        if (keep)
            rc = keep_outcome(operation, map);
    } else {
        rc = misuse(session, "the daemon answered with an outcome that is not known");
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
    params_key(params, "retry");
    msgpack_pack_map(&params->packer, map.members);
    if (msgpack_sbuffer_write(&params->body, map.body.data, map.body.size) != 0)
        params->failed = true;
    params_free(&map);
}

static int send_start(struct durabled_operation *operation, int64_t position,
                      const struct durabled_start *start, bool ahead)
{
    struct durabled_session *session = operation->session;
    struct params params;
    int rc;

    session_params(session, &params);
    params_int(&params, "operation", operation->handle);
    params_int(&params, "context", operation->context->handle);
    params_int(&params, "position", position);
    params_text(&params, "type", type_name(start->type));
    params_text(&params, "sub_type",
                start->sub_type ? start->sub_type : usual_sub_type(start->type));
    params_text(&params, "name", start->name);
    if (start->is_virtual)
        params_bool(&params, "virtual", true);
    if (start->strand)
        params_bool(&params, "strand", true);
    if (start->type == DURABLED_STEP)
        params_text(&params, "semantics",
                    start->semantics == DURABLED_AT_MOST_ONCE_PER_RETRY
                        ? "AT_MOST_ONCE_PER_RETRY"
                        : "AT_LEAST_ONCE_PER_RETRY");
    if (start->retry)
        pack_retry(&params, start->retry);
    if (start->ask)
        params_bool(&params, "ask", true);
    if (start->type == DURABLED_WAIT)
        params_int(&params, "seconds", start->seconds);
    if (ahead && start->type == DURABLED_STEP)
        params_bool(&params, "ahead", true);
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
            return no_memory(session);
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
        .type = type_name(start->type),
        .sub_type = start->sub_type ? start->sub_type : usual_sub_type(start->type),
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
    }
    if (operation->type == DURABLED_CONTEXT && outcome.id && !operation->is_virtual) {
        operation->child.id = outcome.id;
        outcome.id = NULL;
    }
    free(outcome.id);
    durabled_result_clear(&outcome.result);
    return rc;
}

/* Starts `operation`. With `*out_sent_ahead` its answer is still to come: the body
 * may run at once, or (WAIT) the await may follow in the same breath. */
static int start_operation(struct durabled_operation *operation,
                           const struct durabled_start *start, bool pipeline_wait,
                           struct durabled_answer *answer)
{
    struct durabled_context *context = operation->context;
    int64_t position = ++context->position;
    enum cursor_found found;
    bool ahead;
    int rc = replay_start(operation, position, start, &found);

    *answer = (struct durabled_answer){
        .operation = operation, .wanted = DURABLED_WANTED_NOTHING, .attempt = 1};
    if (rc != DURABLED_OK || found == CURSOR_DONE)
        return rc;
    open_child(operation, found);
    ahead =
        start->type == DURABLED_WAIT ? pipeline_wait
        : start->type == DURABLED_STEP
            ? found == CURSOR_NOTHING && start->semantics == DURABLED_AT_LEAST_ONCE_PER_RETRY
            : found == CURSOR_NOTHING && (operation->child.fresh || !start->is_virtual);
    rc = send_start(operation, position, start, ahead);
    if (rc != DURABLED_OK)
        return rc;
    if (ahead)
        answer->wanted =
            start->type == DURABLED_WAIT ? DURABLED_WANTED_AWAIT : DURABLED_WANTED_RUN;
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
        return misuse(context->session, "a wait takes at least one second");
    if (start->retry && start->retry->max_attempts < 1)
        return misuse(context->session, "retry: max_attempts is at least 1");
    return DURABLED_OK;
}

/* Makes and starts it; on failure there is none. */
static int begin_operation(struct durabled_context *context, const struct durabled_start *start,
                           bool pipeline_wait, struct durabled_operation **out,
                           struct durabled_answer *answer)
{
    struct durabled_operation *operation;
    int rc = check_start(context, start);

    *out = NULL;
    *answer = (struct durabled_answer){0};
    if (rc != DURABLED_OK)
        return rc;
    operation = operation_new(context, start);
    if (!operation)
        return no_memory(context->session);
    rc = start_operation(operation, start, pipeline_wait, answer);
    if (rc != DURABLED_OK)
        operation_free(operation);
    else
        *out = operation;
    return rc;
}

int durabled_start(struct durabled_context *context, const struct durabled_start *start,
                   struct durabled_operation **out, struct durabled_answer *answer)
{
    return begin_operation(context, start, false, out, answer);
}

/* --- settling ---------------------------------------------------------------------------- */

/* A call about one operation, and its answer. That of a start sent ahead has come by
 * then, so the thread is woken once; why the start failed explains why this did. */
static int operation_call(struct durabled_operation *operation, const char *method,
                          struct params *params, struct durabled_answer *answer)
{
    struct durabled_session *session = operation->session;
    struct durabled_reply *reply = NULL;
    struct call call;
    int started, rc = session_send(session, &call, method, params);

    if (rc != DURABLED_OK)
        return rc;
    rc = session_wait(session, &call, &reply);
    started = settle_start(operation, answer);
    if (started != DURABLED_OK) {
        if (rc == DURABLED_OK)
            durabled_reply_free(reply);
        return started;
    }
    return rc == DURABLED_OK ? read_answer(operation, reply, !operation->strand, answer) : rc;
}

static void operation_params(struct durabled_operation *operation, struct params *params)
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
    params_text_len(&params, "payload", payload, len);
    params_text(&params, "summary", summary);
    rc = operation_call(operation, "session.succeed", &params, &answer);
    if (rc != DURABLED_OK || operation->strand)
        return rc;
    durabled_result_clear(&operation->result);
    if (payload && !text_copy(&operation->result.payload, payload, len))
        return no_memory(operation->session);
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
    return failure_copy(&operation->result.failure, failure) ? DURABLED_OK
                                                             : no_memory(operation->session);
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

/* A body may return FAILED without saying why, or a number of its own. */
static bool name_failure(struct durabled_result *result, int rc)
{
    if (!failure_is_empty(&result->failure))
        return true;
    return durabled_raise(result, rc == DURABLED_FAILED ? "Error" : durabled_code_name(rc),
                          "the body failed and did not say why") == DURABLED_FAILED;
}

static int run_step(struct durabled_operation *operation, int attempt,
                    struct durabled_answer *answer)
{
    struct durabled_session *session = operation->session;
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
    } else if (!name_failure(&result, rc)) {
        rc = no_memory(session);
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

/* Runs the body of a CONTEXT and reports what it came to. */
static int run_child(struct durabled_operation *operation)
{
    struct durabled_result result = {0}, summary = {0};
    struct durabled_answer answer;
    int rc;

    rc = operation->body(&operation->child, &result, operation->user);
    if (rc == DURABLED_OK) {
        if (operation->summary && result.payload.len > LIMIT_REPLAY_CHILDREN_THRESHOLD)
            rc = operation->summary(result.payload, &summary, operation->user);
        if (rc == DURABLED_OK)
            rc = durabled_succeed(operation, result.payload.data, result.payload.len,
                                  summary.payload.data);
    } else if (rc == DURABLED_FAILED) {
        rc = name_failure(&result, rc)
                 ? durabled_fail(operation, &result.failure, NULL, &answer)
                 : no_memory(operation->session);
    }
    durabled_result_clear(&summary);
    durabled_result_clear(&result);
    return rc;
}

static void *strand_main(void *argument)
{
    struct durabled_operation *operation = argument;
    int rc = run_child(operation);

    /* Whatever ended it without an outcome, its body no longer runs. An error of
     * the session is kept there. */
    if (rc == DURABLED_UNWIND || rc < 0)
        (void)durabled_unwound(operation);
    return NULL;
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

/* Does what an answer wants of an operation whose body the library has, until it
 * must be awaited, is complete, or the caller's part has come. */
static int serve(struct durabled_answer *answer)
{
    struct durabled_operation *operation = answer->operation;
    int rc = DURABLED_OK;

    while (rc == DURABLED_OK) {
        if (answer->wanted == DURABLED_WANTED_RUN && operation->body_kind == BODY_STEP) {
            rc = run_step(operation, answer->attempt, answer);
        } else if (answer->wanted == DURABLED_WANTED_RUN &&
                   operation->body_kind == BODY_STRAND) {
            answer->wanted = DURABLED_WANTED_AWAIT;
            return spawn_strand(operation, true);
        } else if (answer->wanted == DURABLED_WANTED_DECIDE && operation->decide) {
            rc = durabled_decide(
                operation, operation->decide(answer->failure, answer->attempt, operation->user),
                answer);
        } else {
            return DURABLED_OK;
        }
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
        return misuse(session, "the daemon wants an operation that was never started");
    }
    rc = read_answer(operation, reply, true, answer);
    return rc == DURABLED_OK ? serve(answer) : rc;
}

/* Sends one await, with the starts of waits still unanswered before it. */
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
        if (operations[i]->type == DURABLED_WAIT)
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

/* Serves, awaits, and moves the result to the caller; releases the operation. */
static int finish(struct durabled_operation *operation, struct durabled_answer *answer,
                  struct durabled_result *out)
{
    int rc = serve(answer);

    if (rc == DURABLED_OK && !operation->complete)
        rc = durabled_await(operation->context, &operation, 1, false, answer);
    if (rc == DURABLED_OK) {
        rc = operation->succeeded ? DURABLED_OK : DURABLED_FAILED;
        if (out) {
            *out = operation->result;
            operation->result = (struct durabled_result){0};
        }
    }
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
    rc = begin_operation(context, &start, false, &operation, &answer);
    if (!operation)
        return rc;
    operation->body_kind = BODY_STEP;
    operation->step_body = body;
    operation->decide = options ? options->decide : NULL;
    operation->user = user;
    return finish(operation, &answer, out);
}

int durabled_wait(struct durabled_context *context, const char *name, int64_t seconds)
{
    struct durabled_start start = {.type = DURABLED_WAIT, .name = name, .seconds = seconds};
    struct durabled_operation *operation;
    struct durabled_answer answer;
    int rc = begin_operation(context, &start, true, &operation, &answer);

    return operation ? finish(operation, &answer, NULL) : rc;
}

static int begin_child(struct durabled_context *context, const char *name,
                       const struct durabled_child_options *options, bool strand,
                       durabled_body body, void *user, struct durabled_operation **out,
                       struct durabled_answer *answer)
{
    struct durabled_start start = {.type = DURABLED_CONTEXT, .name = name, .strand = strand};
    int rc;

    start.is_virtual = options && options->is_virtual;
    rc = begin_operation(context, &start, false, out, answer);
    if (!*out)
        return rc;
    (*out)->body_kind = strand ? BODY_STRAND : BODY_CALLER;
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
        rc = run_child(operation);
        if (rc != DURABLED_OK)
            return rc;
    }
    return finish(operation, &answer, out);
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
