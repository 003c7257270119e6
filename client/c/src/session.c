/* Sessions: begin, end, and how their calls go out. */
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The profile of clients that imitate no official SDK. */
#define PROFILE "c"

/* --- calls ------------------------------------------------------------------------------- */

int session_fail(struct durabled_session *session, int code, const struct durabled_error *error)
{
    if (code >= 0)
        return code;
    pthread_mutex_lock(&session->lock);
    if (session->error.code == DURABLED_OK)
        session->error = *error;
    pthread_mutex_unlock(&session->lock);
    return code;
}

static bool is_unwinding(struct durabled_session *session)
{
    bool unwinding;

    pthread_mutex_lock(&session->lock);
    unwinding = session->unwinding;
    pthread_mutex_unlock(&session->lock);
    return unwinding;
}

int session_send(struct durabled_session *session, struct call *call, const char *method,
                 struct params *params)
{
    struct durabled_error error;
    int rc;

    if (is_unwinding(session)) {
        params_free(params);
        return DURABLED_UNWIND;
    }
    rc = call_send(session->connection, call, session, method, params, &error);
    return session_fail(session, rc, &error);
}

int session_wait(struct durabled_session *session, struct call *call,
                 struct durabled_reply **out_reply)
{
    struct durabled_error error;
    int rc;

    /* Between the send and now it may have been told to unwind, before the call
     * was in the table. */
    if (is_unwinding(session))
        calls_unwind(session->connection, session);
    rc = call_wait(session->connection, call, out_reply, &error);
    return session_fail(session, rc, &error);
}

int session_call(struct durabled_session *session, const char *method, struct params *params,
                 struct durabled_reply **out_reply)
{
    struct call call;
    int rc = session_send(session, &call, method, params);

    return rc == DURABLED_OK ? session_wait(session, &call, out_reply) : rc;
}

void session_params(struct durabled_session *session, struct params *params)
{
    params_init(params);
    params_int(params, "session", session->id);
}

void session_unwind(struct durabled_session *session)
{
    pthread_mutex_lock(&session->lock);
    session->unwinding = true;
    pthread_mutex_unlock(&session->lock);
    calls_unwind(session->connection, session);
}

void served_hand_back(struct served *served)
{
    pthread_mutex_lock(&served->lock);
    served->handed_back = true;
    if (served->session) {
        pthread_mutex_lock(&served->session->lock);
        served->session->handed_back = true;
        pthread_mutex_unlock(&served->session->lock);
        session_unwind(served->session);
    }
    pthread_mutex_unlock(&served->lock);
}

/* --- the cursor -------------------------------------------------------------------------- */

/* Two strands may want a window at once; the second finds the first one's. */
static int fetch_window(struct durabled_session *session)
{
    struct durabled_reply *reply = NULL;
    struct durabled_error error;
    struct params params;
    bool more, added = true;
    int rc = DURABLED_OK;

    pthread_mutex_lock(&session->fetch_lock);
    pthread_mutex_lock(&session->lock);
    more = session->cursor.more;
    pthread_mutex_unlock(&session->lock);
    if (more) {
        session_params(session, &params);
        rc = session_call(session, "session.operations", &params, &reply);
    }
    if (reply) {
        pthread_mutex_lock(&session->lock);
        added = cursor_add(&session->cursor, reply);
        pthread_mutex_unlock(&session->lock);
    }
    pthread_mutex_unlock(&session->fetch_lock);
    if (!added) {
        error_set(&error, DURABLED_NO_MEMORY, "out of memory for recorded operations");
        rc = session_fail(session, DURABLED_NO_MEMORY, &error);
    }
    return rc;
}

int session_replay(struct durabled_session *session, const char *context_id, int64_t position,
                   const struct cursor_identity *identity, enum cursor_found *out_found,
                   struct cursor_outcome *out)
{
    int rc = DURABLED_OK;

    do {
        pthread_mutex_lock(&session->lock);
        *out_found = cursor_take(&session->cursor, context_id, position, identity, out);
        pthread_mutex_unlock(&session->lock);
        if (*out_found == CURSOR_MORE)
            rc = fetch_window(session);
    } while (rc == DURABLED_OK && *out_found == CURSOR_MORE);
    return rc;
}

bool durabled_replaying(const struct durabled_context *context)
{
    struct durabled_session *session = context->session;
    bool replays;

    if (context->fresh || (context->handle != 0 && !context->id))
        return false;
    pthread_mutex_lock(&session->lock);
    replays = cursor_replays(&session->cursor, context->id, context->position + 1);
    pthread_mutex_unlock(&session->lock);
    return replays;
}

/* --- begin ------------------------------------------------------------------------------- */

static void session_free(struct durabled_session *session)
{
    operations_free(session);
    cursor_free(&session->cursor);
    pthread_mutex_destroy(&session->lock);
    pthread_mutex_destroy(&session->fetch_lock);
    durabled_close(session->connection);
    free(session->input.data);
    free(session->key);
    free(session->arn);
    free(session);
}

static bool copy_member(char **out, const msgpack_object *map, const char *key)
{
    struct durabled_text text = map_text(map, key), copy;

    if (!text_copy(&copy, text.data, text.len))
        return false;
    *out = copy.data;
    return true;
}

/* Takes the reply. */
static bool session_read(struct durabled_session *session, struct durabled_reply *reply)
{
    const msgpack_object *map = &reply->result;
    struct durabled_text input = map_text(map, "input");

    session->id = map_int(map, "session", 0);
    if ((input.data && !text_copy(&session->input, input.data, input.len)) ||
        !copy_member(&session->key, map, "key") || !copy_member(&session->arn, map, "arn")) {
        durabled_reply_free(reply);
        return false;
    }
    return cursor_add(&session->cursor, reply);
}

/* The worker may hand the invocation back at any time from now on. */
static void attach_served(struct durabled_session *session, struct served *served)
{
    session->served = served;
    if (!served)
        return;
    pthread_mutex_lock(&served->lock);
    served->session = session;
    session->unwinding = session->handed_back = served->handed_back;
    pthread_mutex_unlock(&served->lock);
}

static void detach_served(struct durabled_session *session)
{
    if (!session->served)
        return;
    pthread_mutex_lock(&session->served->lock);
    session->served->session = NULL;
    pthread_mutex_unlock(&session->served->lock);
}

int durabled_session_begin(const struct durabled_invocation *invocation,
                           struct durabled_session **out, struct durabled_error *error)
{
    struct durabled_reply *reply;
    struct durabled_session *session;
    struct params params;
    int rc;

    params_init(&params);
    params_text_len(&params, "event", invocation->event, invocation->event_len);
    params_text(&params, "profile", PROFILE);
    params_text(&params, "request_id", invocation->request_id);
    if (invocation->deadline_ms > 0)
        params_int(&params, "deadline_ms", invocation->deadline_ms);
    rc = call_run(invocation->connection, NULL, "session.begin", &params, &reply, error);
    if (rc != DURABLED_OK)
        return rc;
    session = calloc(1, sizeof *session);
    if (!session) {
        durabled_reply_free(reply);
        return error_set(error, DURABLED_NO_MEMORY, "out of memory for a session");
    }
    session->connection = connection_ref(invocation->connection);
    session->root.session = session;
    pthread_mutex_init(&session->lock, NULL);
    pthread_mutex_init(&session->fetch_lock, NULL);
    cursor_init(&session->cursor);
    if (!session_read(session, reply)) {
        session_free(session);
        return error_set(error, DURABLED_NO_MEMORY, "out of memory for a session");
    }
    attach_served(session, invocation->serving);
    *out = session;
    return DURABLED_OK;
}

struct durabled_context *durabled_session_root(struct durabled_session *session)
{
    return &session->root;
}

struct durabled_text durabled_session_input(const struct durabled_session *session)
{
    return session->input;
}

const char *durabled_session_arn(const struct durabled_session *session)
{
    return session->arn;
}

const char *durabled_session_key(const struct durabled_session *session)
{
    return session->key;
}

struct durabled_session *durabled_context_session(struct durabled_context *context)
{
    return context->session;
}

void durabled_session_error(struct durabled_session *session, struct durabled_error *out)
{
    pthread_mutex_lock(&session->lock);
    *out = session->error;
    pthread_mutex_unlock(&session->lock);
}

/* --- logs -------------------------------------------------------------------------------- */

void durabled_log(struct durabled_context *context, const char *level, const char *message)
{
    struct durabled_session *session = context->session;
    struct timespec now;
    struct params params;

    if (durabled_replaying(context) || is_unwinding(session))
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    session_params(session, &params);
    params_int(&params, "time_ms", (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    params_text(&params, "level", level);
    params_text(&params, "message", message);
    /* A line that can't be sent is dropped; the next call says why. */
    (void)notify_send(session->connection, "session.log", &params, NULL);
}

/* --- end --------------------------------------------------------------------------------- */

/* What the program could not go on with, as the error of the execution. */
static void pack_error(struct params *params, const struct durabled_error *error, int code)
{
    struct durabled_failure failure = {0};
    const char *type = error->type[0] ? error->type : durabled_code_name(code);

    failure.type = (char *)(uintptr_t)type;
    failure.message = (char *)(uintptr_t)error->text;
    params_failure(params, "error", &failure);
    if (error->retryable)
        params_bool(params, "invocation", true);
}

static void pack_end(struct durabled_session *session, struct params *params, int code,
                     const struct durabled_result *result)
{
    static const struct durabled_failure unnamed = {.type = (char *)"Error",
                                                    .message = (char *)"the handler failed"};
    struct durabled_error error;

    session_params(session, params);
    durabled_session_error(session, &error);
    if (code == DURABLED_UNWIND) {
        params_bool(params, "unwound", true);
    } else if (code == DURABLED_FAILED) {
        const struct durabled_failure *failure =
            result && !failure_is_empty(&result->failure) ? &result->failure : &unnamed;

        params_failure(params, "error", failure);
    } else if (code != DURABLED_OK) {
        if (error.code == DURABLED_OK)
            error_set(&error, code, "the handler returned %d", code);
        pack_error(params, &error, code);
    } else if (result && result->payload.data) {
        params_text_len(params, "payload", result->payload.data, result->payload.len);
    } else {
        params_text(params, "payload", "null");
    }
}

static int read_end(struct durabled_reply *reply, struct durabled_result *output,
                    struct durabled_error *error)
{
    const msgpack_object *raise = map_get(&reply->result, "raise");
    struct durabled_text text = map_text(&reply->result, "output");
    int rc = DURABLED_OK;

    if (raise) {
        rc = failure_read(&output->failure, raise) ? DURABLED_FAILED : DURABLED_NO_MEMORY;
    } else if (!text.data) {
        rc = error_set(error, DURABLED_PROTOCOL, "session.end was answered with nothing");
    } else if (!text_copy(&output->payload, text.data, text.len)) {
        rc = DURABLED_NO_MEMORY;
    }
    if (rc == DURABLED_NO_MEMORY)
        error_set(error, rc, "out of memory for the output");
    durabled_reply_free(reply);
    return rc;
}

/* What the session ends with, when the handler ends with `code`. A strand that could
 * not go on has unwound the others, so that the handler does not know why. */
static int end_code(struct durabled_session *session, int code, bool handed_back)
{
    struct durabled_error error;

    if (handed_back)
        return DURABLED_UNWIND;
    durabled_session_error(session, &error);
    return code == DURABLED_UNWIND && error.code < 0 ? error.code : code;
}

int durabled_session_end(struct durabled_session *session, int code,
                         const struct durabled_result *result, struct durabled_result *output,
                         struct durabled_error *error)
{
    struct durabled_reply *reply;
    struct params params;
    bool handed_back;
    int rc;

    durabled_result_clear(output);
    detach_served(session);
    handed_back = session->handed_back; /* nobody changes it any more */
    /* An unwound handler's strands unwind too and report it; after any other end
     * they are told to, once the end is acknowledged. */
    if (code == DURABLED_UNWIND || handed_back)
        operations_join(session);
    pack_end(session, &params, end_code(session, code, handed_back), result);
    rc = call_run(session->connection, NULL, "session.end", &params, &reply, error);
    session_unwind(session);
    operations_join(session);
    if (rc == DURABLED_OK)
        rc = read_end(reply, output, error);
    if (handed_back && rc != DURABLED_DISCONNECTED)
        rc = DURABLED_UNWIND;
    session_free(session);
    return rc;
}

int durabled_execute(const struct durabled_invocation *invocation, durabled_body body,
                     void *user, struct durabled_result *output, struct durabled_error *error)
{
    struct durabled_result result = {0};
    struct durabled_session *session = NULL;
    int rc = durabled_session_begin(invocation, &session, error);

    if (!session)
        return rc;
    rc = body(&session->root, &result, user);
    rc = durabled_session_end(session, rc, &result, output, error);
    durabled_result_clear(&result);
    return rc;
}
