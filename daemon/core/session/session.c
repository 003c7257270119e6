/* A session from begin to end; see session.h. Each public function is one event:
 * it changes the state, then lets out what can leave and asks whether the session
 * is to suspend (settle). */
#include "core/session/session_priv.h"

#include "base/alloc.h"

static struct dd_span handle_key(const uint32_t *handle)
{
    return dd_span_make(handle, sizeof *handle);
}

/* --- answers ----------------------------------------------------------------------------- */

static void forget_changed(struct dd_session *session);

void answer(struct dd_session *session, const struct dd_answer *reply)
{
    struct dd_answer told = *reply;

    if (!reply->call)
        return;
    told.changed = session->changed;
    told.changed_len = session->changed_len;
    session->effects.answer(session->effects.user, &told);
    forget_changed(session);
}

void answer_kind(struct dd_session *session, uint64_t call, enum dd_answer_kind kind)
{
    answer(session, &(struct dd_answer){.kind = kind, .call = call});
}

void answer_error(struct dd_session *session, uint64_t call, const struct dd_error *error)
{
    answer(session, &(struct dd_answer){.kind = DD_ANSWER_ERROR, .call = call, .error = error});
}

/* --- records ----------------------------------------------------------------------------- */

struct record *record_find(const struct dd_session *session, const struct dd_text *id)
{
    return id ? dd_map_get(&session->records, dd_text_span(id)) : NULL;
}

void record_merge(struct dd_session *session, const struct dd_operation *operation)
{
    struct record *record = record_find(session, operation->id);
    struct dd_operation copy;

    dd_operation_copy(&copy, operation);
    if (record) {
        /* The key of the map lives in the id, which stays. */
        dd_text_set(&copy.id, record->operation.id);
        dd_operation_deinit(&record->operation);
        record->operation = copy;
        return;
    }
    record = dd_alloc(sizeof *record);
    record->operation = copy;
    dd_list_init(&record->units);
    dd_map_put(&session->records, dd_text_span(record->operation.id), record);
    if (operation->type == DD_TYPE_EXECUTION) {
        session->execution = record;
        return;
    }
    record->loaded = session->loading;
    session->loaded_len += record->loaded;
    session->facts.replayed +=
        record->loaded && dd_operation_status_terminal(operation->status);
}

void record_free(struct dd_session *session, struct record *record)
{
    dd_map_remove(&session->records, dd_text_span(record->operation.id));
    dd_operation_deinit(&record->operation);
    dd_free(record);
}

static void observe(struct dd_session *session, const struct dd_operation *operation)
{
    if (session->changed_len == session->changed_cap) {
        session->changed_cap = session->changed_cap ? 2 * session->changed_cap : 16;
        session->changed =
            dd_realloc_array(session->changed, session->changed_cap, sizeof *session->changed);
    }
    dd_operation_copy(&session->changed[session->changed_len++], operation);
}

static void forget_changed(struct dd_session *session)
{
    for (size_t i = 0; i < session->changed_len; i++)
        dd_operation_deinit(&session->changed[i]);
    session->changed_len = 0;
}

static void merge_all(struct dd_session *session, const struct dd_operation *operations,
                      size_t len)
{
    for (size_t i = 0; i < len; i++) {
        record_merge(session, &operations[i]);
        if (session->observe && !session->loading)
            observe(session, &operations[i]);
    }
}

/* --- end --------------------------------------------------------------------------------- */

static void answer_ended(struct dd_session *session, struct dd_answer *ended)
{
    ended->kind = DD_ANSWER_ENDED;
    ended->call = session->end_call;
    session->state = SESSION_ENDED;
    answer(session, ended);
}

/* Bytes of `text` inside a JSON string. */
static size_t json_len(const struct dd_text *text)
{
    size_t len = text->len;

    for (uint32_t i = 0; i < text->len; i++) {
        unsigned char c = (unsigned char)text->data[i];

        if (c == '"' || c == '\\')
            len++;
        else if (c < 0x20)
            len += 5;
    }
    return len;
}

/* A result too large to be returned is checkpointed first (sdk-semantics 3.10). */
static void checkpoint_execution(struct dd_session *session)
{
    struct unit unit = {.type = DD_TYPE_EXECUTION};
    struct dd_update *update;

    unit.id = session->execution->operation.id;
    update = batch_add(session, &unit, session->end_error ? DD_ACTION_FAIL : DD_ACTION_SUCCEED,
                       true);
    update->payload = dd_text_ref(session->end_payload);
    update->error = dd_error_object_ref(session->end_error);
    session->closing = true;
}

static bool too_large(const struct dd_session *session)
{
    if (session->end_error)
        return dd_error_object_size(session->end_error) > DD_RESPONSE_MAX;
    return session->end_payload && json_len(session->end_payload) > DD_RESPONSE_MAX;
}

static void answer_handler(struct dd_session *session, struct dd_answer *ended)
{
    struct dd_text *empty = dd_text_new(DD_SPAN(""));

    if (session->end_error) {
        ended->outcome = DD_EXECUTION_FAILED;
        ended->raise = session->end_invocation;
        ended->failure = session->closing ? NULL : session->end_error;
    } else if (session->end_unwound) {
        ended->outcome = DD_EXECUTION_RUNNING;
    } else {
        ended->outcome = DD_EXECUTION_SUCCEEDED;
        ended->payload = session->closing ? empty : session->end_payload;
    }
    answer_ended(session, ended);
    dd_text_unref(empty);
}

static struct dd_error_object *exit_error(void)
{
    return dd_error_object_new(
        DD_SPAN("Runtime.ExitError"),
        DD_SPAN("A process of the invocation ended while it ran a step"));
}

/* Answers END once nothing is out. */
static void end_settle(struct dd_session *session)
{
    struct dd_answer ended = {.raise = false};

    if (!session->end_call || session->flight || session->state == SESSION_ENDED)
        return;
    if (session->state == SESSION_REFUSED) {
        ended.outcome = DD_EXECUTION_FAILED;
        ended.raise = session->failure_retryable;
        ended.failure = session->failure;
        answer_ended(session, &ended);
        return;
    }
    if (session->state == SESSION_REVOKED && !session->closing) {
        ended.outcome = DD_EXECUTION_RUNNING;
        answer_ended(session, &ended);
        return;
    }
    if (session->lost_body && session->end_unwound) {
        ended.outcome = DD_EXECUTION_FAILED;
        ended.raise = true;
        ended.failure = exit_error();
        answer_ended(session, &ended);
        dd_error_object_unref(ended.failure);
        return;
    }
    if (session->queue_len > 0)
        return;
    if (!session->closing && !session->end_invocation && too_large(session)) {
        checkpoint_execution(session);
        return;
    }
    answer_handler(session, &ended);
}

/* Lets out what can leave, in the order in which one thing may allow another. */
static void settle(struct dd_session *session)
{
    if (session->state == SESSION_ENDED)
        return;
    strands_settle(session);
    if (session->end_call)
        batch_drop_async(session);
    end_settle(session);
    batch_pump(session);
}

static void call_end(struct dd_session *session, const struct dd_call *call)
{
    struct dd_error error;

    if (session->end_call) {
        dd_fail(&error, DD_OUT_OF_ORDER, "session: was ended before");
        answer_error(session, call->id, &error);
        return;
    }
    if (!dd_text_try_new(call->payload, &session->end_payload)) {
        dd_fail(&error, DD_NO_MEMORY, "payload: out of memory");
        answer_error(session, call->id, &error);
        return;
    }
    session->end_call = call->id;
    session->end_error = dd_error_object_ref(call->error);
    session->end_unwound = call->unwound;
    session->end_invocation = call->invocation;
    strands_unwind(session);
}

/* --- begin and loading ------------------------------------------------------------------- */

static void begin_failed(struct dd_session *session, enum dd_code code, const char *text)
{
    struct dd_error error;

    session->state = SESSION_ENDED;
    dd_fail(&error, code, "%s", text);
    answer_error(session, session->begin_call, &error);
}

static void answer_begun(struct dd_session *session)
{
    struct dd_answer begun = {.kind = DD_ANSWER_BEGUN, .call = session->begin_call};

    session->state = SESSION_RUNNING;
    begun.payload = session->execution->operation.result;
    begun.start_ms = session->execution->operation.start_ms;
    cursor_window(session, &begun);
    answer(session, &begun);
}

/* A page has come. The handler begins with the first that has operations, and the rest is read
 * meanwhile. */
static void page(struct dd_session *session, const struct dd_operation *operations, size_t len,
                 struct dd_span marker)
{
    session->loading = true;
    merge_all(session, operations, len);
    session->loading = marker.len > 0;
    session->whole = !session->loading;
    if (session->loading) {
        session->flight = true;
        session->effects.load(session->effects.user, dd_text_span(session->token), marker);
    }
    if (!session->execution && !session->loading) {
        begin_failed(session, DD_INVALID_PARAMETER,
                     "event: the state has no EXECUTION operation");
        return;
    }
    if (!session->execution || (session->loading && session->loaded_len == 0))
        return;
    if (session->state == SESSION_LOADING || !session->loading)
        cursor_build(session);
    if (session->state == SESSION_LOADING)
        answer_begun(session);
    if (!session->loading)
        held_take(session);
}

struct dd_session *dd_session_begin(const struct dd_session_begin *begin,
                                    const struct dd_session_effects *effects)
{
    struct dd_session *session = dd_alloc(sizeof *session);
    struct unit *root = dd_alloc(sizeof *root);

    session->effects = *effects;
    session->profile = begin->profile;
    session->arn = dd_text_new(begin->arn);
    session->token = dd_text_new(begin->token);
    session->begin_call = begin->call;
    session->now_ms = begin->now_ms;
    dd_rng_seed(&session->rng, begin->seed);
    dd_list_init(&session->strands);
    dd_list_init(&session->awaits);
    dd_list_init(&session->acks);
    dd_list_init(&session->held);
    root->type = DD_TYPE_CONTEXT;
    root->strand = strand_new(session);
    dd_list_init(&root->of_record);
    dd_list_init(&root->of_parent);
    dd_list_init(&root->children);
    session->observe = begin->observe;
    session->gather_ms = begin->gather_ms;
    session->root = root;
    dd_map_put(&session->units, handle_key(&root->handle), root);
    page(session, begin->operations, begin->operations_len, begin->marker);
    return session;
}

void dd_session_loaded(struct dd_session *session, const struct dd_operation *operations,
                       size_t operations_len, struct dd_span marker, int64_t now_ms)
{
    dd_assert(session->flight && session->loading);
    session->now_ms = now_ms;
    session->flight = false;
    page(session, operations, operations_len, marker);
    settle(session);
}

/* --- the answers of the API -------------------------------------------------------------- */

void dd_session_checkpointed(struct dd_session *session, struct dd_span token,
                             const struct dd_operation *operations, size_t operations_len,
                             int64_t now_ms)
{
    dd_assert(session->flight);
    session->now_ms = now_ms;
    session->flight = false;
    merge_all(session, operations, operations_len);
    dd_text_unref(session->token);
    session->token = dd_text_new(token);
    if (token.data) {
        batch_acked(session);
    } else {
        session->state = SESSION_REVOKED;
        session->facts.revoked = true;
        strands_unwind(session);
    }
    settle(session);
}

void dd_session_refused(struct dd_session *session, struct dd_error_object *error,
                        bool retryable, int64_t now_ms)
{
    dd_assert(session->flight);
    session->now_ms = now_ms;
    session->flight = session->loading = false;
    if (session->state == SESSION_LOADING) {
        begin_failed(session, retryable ? DD_SERVICE : DD_INVALID_PARAMETER,
                     dd_text_or(error->message, "the state cannot be loaded"));
        return;
    }
    session->state = SESSION_REFUSED;
    dd_error_object_set(&session->failure, error);
    session->failure_retryable = retryable;
    strands_unwind(session);
    held_take(session);
    settle(session);
}

/* --- calls ------------------------------------------------------------------------------- */

static void answer_window(struct dd_session *session, uint64_t call)
{
    struct dd_answer window = {.kind = DD_ANSWER_OPERATIONS, .call = call};

    cursor_window(session, &window);
    answer(session, &window);
}

/* Whether the answer may depend on what is still to come. */
static bool waits_for_pages(const struct dd_session *session, const struct dd_call *call)
{
    return session->loading &&
           (held_any(session) || (call->kind == DD_CALL_OPERATIONS && !cursor_ready(session)));
}

static void dispatch(struct dd_session *session, const struct dd_call *call)
{
    switch (call->kind) {
    case DD_CALL_OPERATIONS:
        answer_window(session, call->id);
        return;
    case DD_CALL_START:
        operation_start(session, call);
        return;
    case DD_CALL_AWAIT:
        await_park(session, call);
        return;
    case DD_CALL_SUCCEED:
        operation_succeed(session, call);
        return;
    case DD_CALL_FAIL:
        operation_fail(session, call);
        return;
    case DD_CALL_DECIDE:
        operation_decide(session, call);
        return;
    case DD_CALL_RETRY:
        operation_retry(session, call);
        return;
    case DD_CALL_BATCH:
        await_batch(session, call);
        return;
    case DD_CALL_UNWOUND:
        operation_unwound(session, call);
        return;
    case DD_CALL_END:
        call_end(session, call);
        return;
    }
    dd_unreachable();
}

void call_take(struct dd_session *session, const struct dd_call *call)
{
    if (call->kind != DD_CALL_END && call->kind != DD_CALL_UNWOUND &&
        call->kind != DD_CALL_OPERATIONS &&
        (session->state != SESSION_RUNNING || session->end_call))
        answer_kind(session, call->id, DD_ANSWER_UNWIND);
    else if (waits_for_pages(session, call))
        held_add(session, call);
    else
        dispatch(session, call);
}

void dd_session_call(struct dd_session *session, const struct dd_call *call, int64_t now_ms)
{
    struct dd_error error;

    session->now_ms = now_ms;
    if (session->state == SESSION_LOADING || session->state == SESSION_ENDED) {
        dd_fail(&error, DD_OUT_OF_ORDER, "session: %s",
                session->state == SESSION_ENDED ? "has ended"
                                                : "session.begin is not answered");
        answer_error(session, call->id, &error);
        return;
    }
    call_take(session, call);
    settle(session);
}

void dd_session_changed(struct dd_session *session, int64_t now_ms)
{
    session->now_ms = now_ms;
    if (session->state != SESSION_RUNNING)
        return;
    session->refresh = true;
    settle(session);
}

void dd_session_forget(struct dd_session *session, uint64_t client, int64_t now_ms)
{
    struct unit *unit;
    size_t at = 0;

    session->now_ms = now_ms;
    awaits_forget(session, client);
    held_forget(session, client);
    while ((unit = dd_map_next(&session->units, &at)) != NULL) {
        if (unit->client != client || unit == session->root ||
            (unit->state != UNIT_RUNNING && unit->state != UNIT_DECIDING))
            continue;
        unit_stop(session, unit, UNIT_UNWOUND);
        session->lost_body = true;
    }
    settle(session);
}

int64_t dd_session_next_due_ms(const struct dd_session *session)
{
    int64_t flush = batch_next_due(session), due = strands_next_due(session);

    if (!batch_open(session))
        return 0;
    if (!flush || (due && due < flush))
        return due;
    return flush;
}

bool dd_session_suspended(const struct dd_session *session)
{
    return session->state == SESSION_SUSPENDED;
}

bool dd_session_ended(const struct dd_session *session)
{
    return session->state == SESSION_ENDED;
}

/* --- memory and invariants --------------------------------------------------------------- */

static void free_records(struct dd_session *session)
{
    struct record *record;
    size_t at = 0;

    while ((record = dd_map_next(&session->records, &at)) != NULL) {
        dd_operation_deinit(&record->operation);
        dd_free(record);
    }
    dd_map_deinit(&session->records);
    for (size_t i = 0; i < session->entries_len; i++)
        dd_text_unref(session->entries[i].context_id);
    dd_free(session->entries);
}

void dd_session_free(struct dd_session *session)
{
    batch_free(session);
    held_drop(session);
    forget_changed(session);
    dd_free(session->changed);
    while (!dd_list_empty(&session->awaits)) {
        struct await *await =
            dd_container_of(dd_list_pop(&session->awaits), struct await, node);

        dd_free(await->units);
        dd_free(await);
    }
    unit_free(session->root);
    dd_map_deinit(&session->units);
    while (!dd_list_empty(&session->strands))
        strand_free(dd_container_of(session->strands.next, struct strand, node));
    free_records(session);
    dd_text_unref(session->arn);
    dd_text_unref(session->token);
    dd_text_unref(session->end_payload);
    dd_error_object_unref(session->end_error);
    dd_error_object_unref(session->failure);
    dd_free(session);
}

static size_t list_len(const struct dd_list *head)
{
    size_t len = 0;

    for (const struct dd_list *node = head->next; node != head; node = node->next)
        len++;
    return len;
}

int dd_session_check(const struct dd_session *session, struct dd_error *error)
{
    size_t parked = 0;

    dd_list_each(node, tmp, &session->strands)
    {
        parked += dd_container_of(node, struct strand, node)->parked;
    }
    if (parked != list_len(&session->awaits))
        return dd_fail(error, DD_SYSTEM, "strands count %zu awaits, %zu are parked", parked,
                       list_len(&session->awaits));
    if (session->state != SESSION_RUNNING && !dd_list_empty(&session->awaits))
        return dd_fail(error, DD_SYSTEM, "an await is parked in a session that unwinds");
    if (session->state == SESSION_RUNNING && !dd_list_empty(&session->acks) &&
        !session->flight && !batch_gathers(session))
        return dd_fail(error, DD_SYSTEM, "a call waits for a checkpoint that is not out");
    if (held_any(session) && !session->loading)
        return dd_fail(error, DD_SYSTEM, "a call waits for pages that do not come");
    if (session->loading && !session->flight)
        return dd_fail(error, DD_SYSTEM, "pages are to come that nobody asked for");
    if (session->loaded_len + (session->execution ? 1 : 0) > session->records.len)
        return dd_fail(error, DD_SYSTEM, "an operation of an earlier invocation is forgotten");
    if (!batch_open(session) && dd_session_next_due_ms(session))
        return dd_fail(error, DD_SYSTEM, "wants to be woken, and would do nothing then");
    if (session->acked_seq > session->queued_seq)
        return dd_fail(error, DD_SYSTEM, "more is acknowledged than was queued");
    return 0;
}
