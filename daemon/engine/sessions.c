/* Sessions over the embedded service: the session engine's checkpoints and
 * loads go to the service engine in this process, and come back through the
 * gate, once what they did is durable. They meet at AWS's own interface and
 * nowhere else, so another backend may stand here. */
#include "engine/engine_priv.h"

#include "base/alloc.h"
#include "base/limits.h"
#include "codec/json.h"
#include "engine/methods.h"

/* The API call of a session that is in flight, with its answer. */
struct dd_backend_call {
    struct dd_gate_action action;
    struct dd_attached *attached; /* NULL once the session is gone */
    bool load;
    struct dd_checkpointed checkpointed;
    struct dd_operation *operations; /* of a page, copied: the execution may change */
    size_t operations_len;
    struct dd_text *marker;
    int status; /* 0, or the code of `error` */
    struct dd_error error;
};

static struct dd_span key_of(const uint64_t *id)
{
    return dd_span_make(id, sizeof *id);
}

/* --- the backend ------------------------------------------------------------------------- */

static void backend_free(struct dd_backend_call *call)
{
    if (call->attached)
        call->attached->backend = NULL;
    dd_checkpointed_deinit(&call->checkpointed);
    for (size_t i = 0; i < call->operations_len; i++)
        dd_operation_deinit(&call->operations[i]);
    dd_free(call->operations);
    dd_text_unref(call->marker);
    dd_free(call);
}

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

static void give_checkpointed(struct dd_attached *attached, const struct dd_backend_call *call)
{
    dd_session_checkpointed(attached->session, dd_text_span(call->checkpointed.token),
                            call->checkpointed.operations, call->checkpointed.operations_len,
                            attached->engine->now_ms);
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

/* Gives the session the answer. The classes are those of sdk-semantics 8.3: a
 * stale token and the service's own trouble are worth another invocation. */
static void backend_run(struct dd_gate_action *action)
{
    struct dd_backend_call *call = dd_container_of(action, struct dd_backend_call, action);
    struct dd_attached *attached = call->attached;

    if (!attached) {
        backend_free(call);
        return;
    }
    attached->backend = NULL;
    call->attached = NULL;
    if (call->status != 0) {
        bool retryable = dd_error_retryable(call->error.code) ||
                         (call->error.code == DD_INVALID_PARAMETER &&
                          strncmp(call->error.text, "Invalid checkpoint token", 24) == 0);
        struct dd_error_object *error = dd_error_object_new(
            dd_span_cstr(dd_error_name(call->error.code)), dd_span_cstr(call->error.text));

        dd_session_refused(attached->session, error, retryable, attached->engine->now_ms);
        dd_error_object_unref(error);
    } else if (call->load) {
        dd_session_loaded(attached->session, call->operations, call->operations_len,
                          dd_text_span(call->marker), attached->engine->now_ms);
    } else {
        give_checkpointed(attached, call);
    }
    settle(attached);
    backend_free(call);
}

static struct dd_backend_call *backend_new(struct dd_attached *attached, bool load)
{
    struct dd_backend_call *call = dd_alloc(sizeof *call);

    dd_assert(!attached->backend);
    dd_list_init(&call->action.node);
    call->action.run = backend_run;
    call->attached = attached;
    call->load = load;
    attached->backend = call;
    return call;
}

static void on_checkpoint(void *user, struct dd_span token, const struct dd_update *updates,
                          size_t updates_len)
{
    struct dd_attached *attached = user;
    struct dd_engine *engine = attached->engine;
    struct dd_backend_call *call = backend_new(attached, false);
    struct dd_checkpoint checkpoint = {.arn = dd_text_span(attached->arn),
                                       .token = token,
                                       .updates = updates,
                                       .updates_len = updates_len};
    struct dd_resident *resident;
    uint64_t position = 0;

    call->status = dd_engine_load(engine, attached->execution, &resident, &call->error);
    if (call->status == 0) {
        call->status = dd_engine_checkpoint(engine, resident, &checkpoint, &call->checkpointed,
                                            &call->error);
        position = resident->position;
    }
    dd_gate_add(&engine->gate, &call->action, position);
}

static void copy_page(struct dd_backend_call *call, const struct dd_page *page)
{
    call->operations = dd_alloc_array(page->operations_len, sizeof *call->operations);
    call->operations_len = page->operations_len;
    for (size_t i = 0; i < page->operations_len; i++)
        dd_operation_copy(&call->operations[i], page->operations[i]);
    call->marker = dd_text_ref(page->next_marker);
}

static void on_load(void *user, struct dd_span token, struct dd_span marker)
{
    struct dd_attached *attached = user;
    struct dd_engine *engine = attached->engine;
    struct dd_backend_call *call = backend_new(attached, true);
    struct dd_resident *resident;
    uint64_t position = 0;

    call->status = dd_engine_load(engine, attached->execution, &resident, &call->error);
    if (call->status == 0) {
        struct dd_page page = {0};

        call->status =
            dd_execution_state(resident->execution, dd_text_span(attached->arn), token, marker,
                               DD_PAGE_ITEMS_MAX, &page, &call->error);
        if (call->status == 0)
            copy_page(call, &page);
        dd_page_deinit(&page);
        position = resident->position;
    }
    dd_gate_add(&engine->gate, &call->action, position);
}

/* --- answers ----------------------------------------------------------------------------- */

static void log_determinism(struct dd_attached *attached, const struct dd_answer *answer)
{
    if (answer->error->code == DD_NON_DETERMINISTIC)
        dd_log(attached->engine->config.log, DETERMINISM,
               DD_LOG_TEXT("executionArn", dd_text_span(attached->arn)),
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

static void on_answer(void *user, const struct dd_answer *answer)
{
    struct dd_attached *attached = user;
    struct dd_pending *pending = dd_engine_pending(attached->engine, answer->call);

    if (!pending)
        return;
    if (answer->kind == DD_ANSWER_ERROR) {
        char field[32];

        log_determinism(attached, answer);
        field_of(answer->error, field, sizeof field);
        dd_pending_refuse(pending, answer->error, field[0] ? field : NULL);
        return;
    }
    if (answer->kind == DD_ANSWER_ENDED)
        write_ended(&pending->result, answer);
    else if (answer->kind == DD_ANSWER_BEGUN)
        dd_wire_write_begun(&pending->result, answer,
                            &(struct dd_wire_session){attached->id, attached->key,
                                                      attached->arn, attached->updated,
                                                      attached->updated_len});
    else
        dd_wire_write_answer(&pending->result, answer);
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

int dd_session_method_begin(struct dd_pending *pending, const struct dd_begin *call,
                            struct dd_error *error)
{
    struct dd_engine *engine = pending->engine;
    struct dd_peer *peer = pending->peer;
    const struct dd_session_effects effects = {NULL, on_answer, on_checkpoint, on_load};
    struct dd_session_begin begin = {.call = pending->id, .now_ms = engine->now_ms};
    struct dd_session_effects bound = effects;
    struct dd_attached *attached;
    struct dd_event event;
    int rc;

    if (peer->sessions_len >= DD_CONNECTION_SESSIONS_MAX)
        return dd_fail(error, DD_TOO_MANY_REQUESTS, "too many sessions on one connection: %d",
                       DD_CONNECTION_SESSIONS_MAX);
    rc = dd_json_parse_event(call->event, &event, error);
    if (rc)
        return rc;
    attached = dd_alloc(sizeof *attached);
    if (!dd_arn_execution_id(dd_text_span(event.arn), &attached->execution)) {
        dd_free(attached);
        dd_event_deinit(&event);
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "event: DurableExecutionArn does not end in an execution id");
    }
    attached->id = ++engine->last_session;
    attached->engine = engine;
    attached->peer = peer;
    attached->arn = dd_text_ref(event.arn);
    dd_text_try_new(call->request_id, &attached->request_id);
    make_key(engine, attached->key);
    dd_list_init(&attached->joins);
    dd_list_push(&peer->sessions, &attached->of_peer);
    peer->sessions_len++;
    dd_map_put(&engine->sessions, key_of(&attached->id), attached);
    dd_map_put(&engine->keys, dd_span_cstr(attached->key), attached);

    begin.arn = dd_text_span(event.arn);
    begin.token = dd_text_span(event.token);
    begin.operations = event.operations;
    begin.operations_len = event.operations_len;
    begin.marker = dd_text_span(event.marker);
    begin.profile = call->profile;
    begin.seed = dd_rng_next(&engine->jitter);
    begin.observe = call->observe;
    attached->updated = event.updated;
    attached->updated_len = event.updated_len;
    event.updated = NULL;
    event.updated_len = 0;
    bound.user = attached;
    attached->session = dd_session_begin(&begin, &bound);
    dd_event_deinit(&event);
    rearm(attached);
    return 0;
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

    dd_map_remove(&engine->sessions, key_of(&attached->id));
    dd_map_remove(&engine->keys, dd_span_cstr(attached->key));
    dd_list_remove(&attached->of_peer);
    attached->peer->sessions_len--;
    while (!dd_list_empty(&attached->joins)) {
        struct dd_join *join =
            dd_container_of(dd_list_pop(&attached->joins), struct dd_join, of_session);

        dd_list_remove(&join->of_peer);
        dd_free(join);
    }
    if (attached->backend)
        attached->backend->attached = NULL;
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

void dd_sessions_disconnect(struct dd_peer *peer)
{
    while (!dd_list_empty(&peer->sessions)) {
        struct dd_attached *attached =
            dd_container_of(peer->sessions.next, struct dd_attached, of_peer);

        dd_log(peer->engine->config.log, SESSION_LOST,
               DD_LOG_TEXT("executionArn", dd_text_span(attached->arn)),
               DD_LOG_NUMBER("running", (int64_t)dd_session_running(attached->session)),
               DD_LOG_NUMBER("pid", peer->credentials.pid));
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
