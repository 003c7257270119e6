/* Sessions: calls of clients to the session engine and its answers back. Its checkpoints and
 * loads go to the backend (struct dd_backend), through AWS's own interface and nowhere else. */
#include "engine/engine_priv.h"

#include "base/alloc.h"
#include "base/limits.h"
#include "codec/json.h"
#include "engine/methods.h"

static struct dd_span key_of(const uint64_t *id)
{
    return dd_span_make(id, sizeof *id);
}

/* --- the backend ------------------------------------------------------------------------- */

/* Keeps the heap's idea of when the session wants its turn. */
static void rearm(struct dd_attached *attached)
{
    int64_t due_ms = dd_session_next_due_ms(attached->session);
    struct dd_heap_entry entry = {.when_ms = due_ms};

    if (due_ms == 0 || due_ms == attached->due_ms) {
        attached->due_ms = due_ms;
        return;
    }
    attached->due_ms = due_ms;
    memcpy(entry.id.bytes, &attached->id, sizeof attached->id);
    dd_heap_push(&attached->engine->due, entry);
}

static void attached_free(struct dd_attached *attached);

/* After each event: a session that has ended goes, the others are re-armed. */
static void settle(struct dd_attached *attached)
{
    if (dd_session_ended(attached->session))
        attached_free(attached);
    else
        rearm(attached);
}

void dd_session_answered(struct dd_backend_call *call, const struct dd_backend_answer *answer)
{
    struct dd_attached *attached = call->attached;
    int64_t now_ms = attached->engine->now_ms;

    attached->backend = NULL;
    call->attached = NULL;
    if (answer->failure)
        dd_session_refused(attached->session, answer->failure, answer->retryable, now_ms);
    else if (call->load)
        dd_session_loaded(attached->session, answer->operations, answer->operations_len,
                          answer->marker, now_ms);
    else
        dd_session_checkpointed(attached->session, answer->token, answer->operations,
                                answer->operations_len, now_ms);
    settle(attached);
}

static void on_checkpoint(void *user, struct dd_span token, const struct dd_update *updates,
                          size_t updates_len)
{
    struct dd_attached *attached = user;

    dd_assert(!attached->backend);
    attached->backend =
        attached->engine->backend->checkpoint(attached, token, updates, updates_len);
}

static void on_load(void *user, struct dd_span token, struct dd_span marker)
{
    struct dd_attached *attached = user;

    dd_assert(!attached->backend);
    attached->backend = attached->engine->backend->load(attached, token, marker);
}

/* --- answers ----------------------------------------------------------------------------- */

static void log_determinism(struct dd_attached *attached, const struct dd_answer *answer)
{
    if (answer->error->code == DD_NON_DETERMINISTIC)
        dd_log(attached->engine->config.log, DETERMINISM,
               DD_LOG_TEXT("executionArn", dd_text_span(attached->arn)),
               DD_LOG_TEXT("requestId", attached->request_id
                                            ? dd_text_span(attached->request_id)
                                            : DD_SPAN("")),
               DD_LOG_TEXT("error", dd_span_cstr(answer->error->text)));
}

static void write_ended(struct dd_buf *out, const struct dd_answer *answer)
{
    struct dd_buf output;

    dd_buf_init(&output, DD_FRAME_MAX);
    if (!answer->raise)
        dd_json_write_output(&output, answer);
    dd_wire_write_ended(out, dd_buf_span(&output), answer);
    out->failed |= output.failed;
    dd_buf_deinit(&output);
}

/* The session engine's refusals begin with the field that they are about: "seconds: must
 * be at least 1". Gives "" when one does not. */
static void field_of(const struct dd_error *error, char *out, size_t size)
{
    size_t len = strspn(error->text, "abcdefghijklmnopqrstuvwxyz_");

    out[0] = '\0';
    if (error->text[len] == ':' && len < size) {
        memcpy(out, error->text, len);
        out[len] = '\0';
    }
}

/* The invocation hears of what its session came to, and of what the daemon itself asked. */
static void tell_wrapped(const struct dd_attached *attached, const struct dd_answer *answer)
{
    struct dd_wrapped *wrapped = attached->wrapped;

    if (answer->kind == DD_ANSWER_ENDED)
        dd_wrapped_ended(wrapped, answer);
    else if (answer->kind == DD_ANSWER_BEGUN)
        dd_wrapped_begun(wrapped, answer->payload);
    else if (answer->kind == DD_ANSWER_ERROR && answer->call == wrapped->asked)
        dd_wrapped_refused(wrapped, answer->error);
}

/* Who is refused then is the one that begins it. */
static bool has_begun(const struct dd_attached *attached)
{
    return attached->session && !dd_session_ended(attached->session);
}

static void on_answer(void *user, const struct dd_answer *answer)
{
    struct dd_attached *attached = user;
    struct dd_pending *pending = dd_engine_pending(attached->engine, answer->call);

    if (answer->kind == DD_ANSWER_ENDED)
        dd_report_ended(attached, answer);
    else if (answer->kind == DD_ANSWER_ERROR && !has_begun(attached))
        dd_report_begin_failed(attached, answer->error);
    if (attached->wrapped)
        tell_wrapped(attached, answer);
    if (!pending)
        return;
    if (answer->kind == DD_ANSWER_ERROR) {
        char field[32];

        log_determinism(attached, answer);
        field_of(answer->error, field, sizeof field);
        dd_pending_refuse(pending, answer->error, field[0] ? field : NULL);
        return;
    }
    if (answer->kind == DD_ANSWER_ENDED) {
        write_ended(&pending->result, answer);
    } else if (answer->kind == DD_ANSWER_BEGUN) {
        dd_wire_write_begun(&pending->result, answer,
                            &(struct dd_wire_session){attached->id, attached->key,
                                                      attached->arn, attached->updated,
                                                      attached->updated_len});
    } else {
        if (answer->kind == DD_ANSWER_RUN && answer->again)
            dd_report_again(attached, answer);
        dd_wire_write_answer(&pending->result, answer);
    }
    dd_pending_answer(pending);
}

/* --- begin, join, calls ------------------------------------------------------------------ */

static void make_key(struct dd_engine *engine, char out_key[33])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t random[16];

    engine->config.ports.random(engine->config.ports.user, random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++) {
        out_key[2 * i] = digits[random[i] >> 4];
        out_key[2 * i + 1] = digits[random[i] & 0x0f];
    }
    out_key[2 * sizeof random] = '\0';
}

/* What the client says, else what the sandbox was told of the same invocation. */
static int64_t deadline_of(const struct dd_engine *engine, const struct dd_begin *call,
                           const struct dd_wrapped *wrapped)
{
    if (call->deadline_ms)
        return call->deadline_ms;
    if (wrapped)
        return wrapped->deadline_ms;
    if (engine->invoked && dd_span_equal(call->request_id, dd_text_span(engine->invoked)))
        return engine->invoked_until_ms;
    return 0;
}

/* Who begins a session, and how. */
struct beginner {
    struct dd_engine *engine;
    struct dd_peer *peer;       /* NULL: the daemon */
    struct dd_wrapped *wrapped; /* NULL: the client has the event itself */
    uint64_t call;              /* answered once it has begun */
};

/* Gives the session, which has begun or ended by then, or loads its state. */
static struct dd_attached *attach(const struct beginner *by, const struct dd_event *event,
                                  const struct dd_begin *call)
{
    static const struct dd_session_effects effects = {NULL, on_answer, on_checkpoint, on_load};
    struct dd_engine *engine = by->engine;
    struct dd_attached *attached = dd_alloc(sizeof *attached);
    struct dd_session_effects bound = effects;
    struct dd_session_begin begin = {
        .call = by->call,
        .arn = dd_text_span(event->arn),
        .token = dd_text_span(event->token),
        .operations = event->operations,
        .operations_len = event->operations_len,
        .marker = dd_text_span(event->marker),
        .profile = call->profile,
        .seed = dd_rng_next(&engine->jitter),
        .observe = call->observe,
        .gather_ms = engine->config.gather_ms,
        .now_ms = engine->now_ms,
    };

    attached->id = ++engine->last_session;
    attached->engine = engine;
    attached->peer = by->peer;
    attached->wrapped = by->wrapped;
    (void)dd_arn_execution_id(begin.arn, &attached->execution);
    attached->arn = dd_text_ref(event->arn);
    dd_text_try_new(call->request_id, &attached->request_id);
    attached->began_ms = engine->now_ms;
    attached->deadline_ms = deadline_of(engine, call, by->wrapped);
    attached->updated = dd_alloc_array(event->updated_len, sizeof *attached->updated);
    for (; attached->updated_len < event->updated_len; attached->updated_len++)
        attached->updated[attached->updated_len] =
            dd_text_ref(event->updated[attached->updated_len]);
    make_key(engine, attached->key);
    dd_list_init(&attached->joins);
    dd_list_init(&attached->of_peer);
    if (by->peer) {
        dd_list_push(&by->peer->sessions, &attached->of_peer);
        by->peer->sessions_len++;
    }
    dd_map_put(&engine->sessions, key_of(&attached->id), attached);
    dd_map_put(&engine->keys, dd_span_cstr(attached->key), attached);
    if (by->wrapped)
        by->wrapped->attached = attached;
    bound.user = attached;
    attached->session = dd_session_begin(&begin, &bound);
    return attached;
}

/* The event that a client begins a session from: its own, or that which the daemon has of the
 * invocation. What is read is given in `*out_read`. */
static int find_event(struct dd_engine *engine, const struct dd_begin *call,
                      struct dd_wrapped **out_wrapped, struct dd_event *out_read,
                      struct dd_error *error)
{
    struct dd_wrapped *wrapped = dd_wrapped_find(engine, call->request_id);
    struct dd_uuid execution;
    int rc;

    *out_read = (struct dd_event){0};
    *out_wrapped = wrapped;
    if (wrapped)
        return dd_wrapped_release(wrapped, error);
    if (!call->event.data)
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "event: none is given, and the daemon has none of this request_id; the "
                       "function was not invoked as a durable one, or its runtime was not "
                       "started through durabled-wrap");
    rc = dd_json_parse_event(call->event, out_read, error);
    if (rc == 0 && !engine->aws &&
        !dd_arn_execution_id(dd_text_span(out_read->arn), &execution)) {
        dd_event_deinit(out_read);
        rc = dd_fail(error, DD_INVALID_PARAMETER,
                     "event: DurableExecutionArn does not end in an execution id");
    }
    return rc;
}

int dd_session_method_begin(struct dd_pending *pending, const struct dd_begin *call,
                            struct dd_error *error)
{
    struct beginner by = {pending->engine, pending->peer, NULL, pending->id};
    struct dd_attached *attached;
    struct dd_event event;
    int rc;

    if (pending->peer->sessions_len >= DD_CONNECTION_SESSIONS_MAX)
        return dd_fail(error, DD_TOO_MANY_REQUESTS, "too many sessions on one connection: %d",
                       DD_CONNECTION_SESSIONS_MAX);
    if (call->request_id.len > DD_REQUEST_ID_MAX)
        return dd_fail(error, DD_INVALID_PARAMETER, "request_id: longer than %d bytes",
                       DD_REQUEST_ID_MAX);
    rc = find_event(by.engine, call, &by.wrapped, &event, error);
    if (rc) {
        dd_report_refused(by.engine, call->request_id, error);
        return rc;
    }
    attached = attach(&by, by.wrapped ? &by.wrapped->event : &event, call);
    dd_event_deinit(&event);
    if (has_begun(attached))
        dd_report_begun(attached);
    settle(attached);
    return 0;
}

void dd_session_hold(struct dd_wrapped *wrapped)
{
    struct beginner by = {wrapped->engine, NULL, wrapped, ++wrapped->engine->last_call};
    struct dd_begin call = {
        .profile = dd_profile_find(DD_SPAN("c")), /* of no effect without operations */
        .request_id = dd_text_span(wrapped->request_id),
    };

    wrapped->asked = by.call;
    settle(attach(&by, &wrapped->event, &call));
}

int dd_session_method_join(struct dd_pending *pending, struct dd_span key,
                           struct dd_error *error)
{
    struct dd_attached *attached = dd_map_get(&pending->engine->keys, key);
    struct dd_join *join;

    if (!attached || dd_session_ended(attached->session))
        return dd_fail(error, DD_UNKNOWN_SESSION, "key: no session has it, or it has ended");
    join = dd_alloc(sizeof *join);
    join->session = attached;
    join->peer = pending->peer;
    dd_list_push(&pending->peer->joins, &join->of_peer);
    dd_list_push(&attached->joins, &join->of_session);
    dd_wire_write_joined(&pending->result, attached->id, attached->arn);
    dd_pending_answer(pending);
    return 0;
}

struct dd_attached *dd_session_of(struct dd_peer *peer, uint64_t id)
{
    struct dd_attached *attached = dd_map_get(&peer->engine->sessions, key_of(&id));

    if (!attached || attached->peer == peer)
        return attached;
    dd_list_each(node, tmp, &peer->joins)
    {
        if (dd_container_of(node, struct dd_join, of_peer)->session == attached)
            return attached;
    }
    return NULL;
}

static void attached_free(struct dd_attached *attached)
{
    struct dd_engine *engine = attached->engine;

    if (attached->wrapped)
        dd_wrapped_lost(attached->wrapped);
    dd_map_remove(&engine->sessions, key_of(&attached->id));
    dd_map_remove(&engine->keys, dd_span_cstr(attached->key));
    dd_list_remove(&attached->of_peer);
    if (attached->peer)
        attached->peer->sessions_len--;
    while (!dd_list_empty(&attached->joins)) {
        struct dd_join *join =
            dd_container_of(dd_list_pop(&attached->joins), struct dd_join, of_session);

        dd_list_remove(&join->of_peer);
        dd_free(join);
    }
    if (attached->backend) {
        attached->backend->attached = NULL;
        engine->backend->abandon(attached->backend);
    }
    dd_session_free(attached->session);
    for (size_t i = 0; i < attached->updated_len; i++)
        dd_text_unref(attached->updated[i]);
    dd_free(attached->updated);
    dd_text_unref(attached->arn);
    dd_text_unref(attached->request_id);
    dd_free(attached);
}

void dd_session_method_call(struct dd_pending *pending, struct dd_attached *attached,
                            struct dd_call *call)
{
    struct dd_engine *engine = pending->engine;

    call->id = pending->id;
    call->client = pending->peer->id;
    dd_session_call(attached->session, call, engine->now_ms);
    settle(attached);
}

void dd_session_finish(struct dd_attached *attached, struct dd_call *end)
{
    struct dd_engine *engine = attached->engine;

    if (!attached->peer)
        dd_report_begun(attached);
    end->id = attached->wrapped->asked = ++engine->last_call;
    dd_session_call(attached->session, end, engine->now_ms);
    settle(attached);
}

void dd_session_discard(struct dd_attached *attached)
{
    if (attached->wrapped)
        attached->wrapped->attached = NULL;
    attached->wrapped = NULL;
    attached_free(attached);
}

void dd_sessions_changed(struct dd_engine *engine, struct dd_uuid execution)
{
    struct dd_attached *attached;
    size_t at = 0;

    while ((attached = dd_map_next(&engine->sessions, &at)) != NULL) {
        if (dd_uuid_compare(attached->execution, execution) != 0)
            continue;
        dd_session_changed(attached->session, engine->now_ms);
        settle(attached);
    }
}

/* --- a connection's end ------------------------------------------------------------------ */

void dd_sessions_disconnect(struct dd_peer *peer)
{
    while (!dd_list_empty(&peer->sessions)) {
        struct dd_attached *attached =
            dd_container_of(peer->sessions.next, struct dd_attached, of_peer);

        dd_log(peer->engine->config.log, SESSION_LOST,
               DD_LOG_TEXT("executionArn", dd_text_span(attached->arn)),
               DD_LOG_NUMBER("running", (int64_t)dd_session_running(attached->session)),
               DD_LOG_NUMBER("pid", peer->credentials.pid));
        dd_report_lost(attached);
        attached_free(attached);
    }
    while (!dd_list_empty(&peer->joins)) {
        struct dd_join *join =
            dd_container_of(dd_list_pop(&peer->joins), struct dd_join, of_peer);

        dd_list_remove(&join->of_session);
        dd_session_forget(join->session->session, peer->id, peer->engine->now_ms);
        settle(join->session);
        dd_free(join);
    }
}

/* --- due --------------------------------------------------------------------------------- */

/* The session of a heap entry, if the entry still holds. */
static struct dd_attached *entry_session(struct dd_engine *engine,
                                         const struct dd_heap_entry *entry)
{
    struct dd_attached *attached;
    uint64_t id;

    memcpy(&id, entry->id.bytes, sizeof id);
    attached = dd_map_get(&engine->sessions, key_of(&id));
    return attached && attached->due_ms == entry->when_ms ? attached : NULL;
}

void dd_sessions_due(struct dd_engine *engine)
{
    struct dd_heap_entry entry;

    while (dd_heap_peek(&engine->due, &entry) && entry.when_ms <= engine->now_ms) {
        struct dd_attached *attached = entry_session(engine, &entry);

        dd_heap_pop(&engine->due);
        if (!attached)
            continue;
        attached->due_ms = 0;
        dd_session_due(attached->session, engine->now_ms);
        settle(attached);
    }
}

int64_t dd_sessions_next_due(struct dd_engine *engine)
{
    struct dd_heap_entry entry;

    while (dd_heap_peek(&engine->due, &entry)) {
        if (entry_session(engine, &entry))
            return entry.when_ms;
        dd_heap_pop(&engine->due);
    }
    return 0;
}
