/* Awaits, strands, suspension.
 *
 * A strand is blocked while one of its awaits is parked. When every strand is, no
 * step body runs and nothing is on its way, only time or the outside can go on:
 * the session suspends. While a body runs, a parked operation whose time has come
 * is resumed in process, after one empty checkpoint for all that are due. */
#include "core/session/session_priv.h"

#include "base/alloc.h"

/* Between two refreshes: one that came too early (a clock stepped back) must not
 * be repeated at once; chosen. */
#define REFRESH_INTERVAL_MS 50

struct strand *strand_new(struct dd_session *session)
{
    struct strand *strand = dd_alloc(sizeof *strand);

    dd_list_push(&session->strands, &strand->node);
    return strand;
}

void strand_free(struct strand *strand)
{
    dd_list_remove(&strand->node);
    dd_free(strand);
}

static void await_free(struct await *await);

void awaits_unwind(struct dd_session *session, const struct unit *context)
{
    dd_list_each(node, tmp, &session->awaits)
    {
        struct await *await = dd_container_of(node, struct await, node);

        if (await->context != context)
            continue;
        answer_kind(session, await->call, DD_ANSWER_UNWIND);
        await_free(await);
    }
}

bool awaits_name(const struct dd_session *session, const struct unit *unit)
{
    dd_list_each(node, tmp, &session->awaits)
    {
        const struct await *await = dd_container_of(node, struct await, node);

        if (await->context == unit)
            return true;
        for (size_t i = 0; i < await->len; i++) {
            if (await->units[i] == unit)
                return true;
        }
    }
    return false;
}

static void await_free(struct await *await)
{
    if (await->context->strand)
        await->context->strand->parked--;
    dd_list_remove(&await->node);
    dd_free(await->units);
    dd_free(await);
}

static int find_units(struct dd_session *session, const struct dd_call *call,
                      struct await *await, struct dd_error *error)
{
    await->units = dd_alloc_array(call->operations_len, sizeof(struct unit *));
    await->len = call->operations_len;
    for (size_t i = 0; i < call->operations_len; i++) {
        await->units[i] = unit_find(session, call->operations[i]);
        if (!await->units[i])
            return dd_fail(error, DD_BAD_PARAMS, "operations: no operation has handle %u",
                           call->operations[i]);
    }
    return 0;
}

void await_park(struct dd_session *session, const struct dd_call *call)
{
    struct unit *context = unit_find(session, call->context);
    struct await *await;
    struct dd_error error;

    if (!context || context->type != DD_TYPE_CONTEXT) {
        unit_unknown(session, call->id, context ? 0 : call->context,
                     "context: no context has this handle");
        return;
    }
    if (call->operations_len == 0) {
        dd_fail(&error, DD_BAD_PARAMS, "operations: must name at least one");
        answer_error(session, call->id, &error);
        return;
    }
    if (context->state != UNIT_RUNNING) {
        answer_kind(session, call->id, DD_ANSWER_UNWIND);
        return;
    }
    await = dd_alloc(sizeof *await);
    await->call = call->id;
    await->client = call->client;
    await->context = context;
    await->any = call->any;
    dd_list_push(&session->awaits, &await->node);
    context->strand->parked++;
    if (find_units(session, call, await, &error) != 0) {
        await_free(await);
        answer_error(session, call->id, &error);
    }
}

/* Whether a coordinator has asked what is next in the batch. */
static bool batch_asked(const struct dd_session *session, const struct unit *batch)
{
    dd_list_each(node, tmp, &session->awaits)
    {
        const struct await *await = dd_container_of(node, struct await, node);

        if (await->batch && await->context == batch)
            return true;
    }
    return false;
}

void await_batch(struct dd_session *session, const struct dd_call *call)
{
    struct unit *batch = unit_find(session, call->operation);
    const char *bad = NULL;
    struct await *await;
    struct dd_error error;

    if (!batch || !batch->branches) {
        unit_unknown(session, call->id, batch ? 0 : call->operation,
                     "operation: no batch has this handle");
        return;
    }
    if (batch->state != UNIT_RUNNING) {
        answer_kind(session, call->id, DD_ANSWER_UNWIND);
        return;
    }
    bad = batch_asked(session, batch) ? "operation: its batch is asked about by another call"
                                      : branches_decide(batch->branches, call->complete);
    if (bad) {
        dd_fail(&error, DD_OUT_OF_ORDER, "%s", bad);
        answer_error(session, call->id, &error);
        return;
    }
    await = dd_alloc(sizeof *await);
    await->call = call->id;
    await->client = call->client;
    await->context = batch;
    await->batch = true;
    dd_list_push(&session->awaits, &await->node);
    batch->strand->parked++;
}

/* --- answering --------------------------------------------------------------------------- */

static void answer_ready(struct dd_session *session, const struct await *await)
{
    struct dd_result *results = dd_alloc_array(await->len, sizeof *results);
    struct dd_answer ready = {.kind = DD_ANSWER_READY, .call = await->call};

    for (size_t i = 0; i < await->len; i++) {
        struct unit *unit = await->units[i];

        if (!unit_done(unit))
            continue;
        results[ready.results_len++] =
            (struct dd_result){unit->handle, unit->status, unit->payload, unit->failure};
    }
    ready.results = results;
    answer(session, &ready);
    dd_free(results);
}

/* Whether a step's next attempt may run now. */
static bool unit_ready(const struct unit *unit)
{
    return unit->state == UNIT_PENDING && unit->type == DD_TYPE_STEP && unit->record &&
           unit->record->operation.status == DD_STATUS_READY;
}

/* Answers the await if it can be; true when it is gone. */
static bool await_try(struct dd_session *session, struct await *await)
{
    size_t done = 0;

    if (await->batch) {
        bool answered = branches_try(session, await->context, await->call);

        if (answered)
            await_free(await);
        return answered;
    }
    for (size_t i = 0; i < await->len; i++)
        done += unit_done(await->units[i]);
    if (done == await->len || (await->any && done > 0)) {
        answer_ready(session, await);
        await_free(await);
        return true;
    }
    for (size_t i = 0; i < await->len; i++) {
        struct unit *unit = await->units[i];
        uint64_t call = await->call, client = await->client;

        if (!unit_ready(unit))
            continue;
        await_free(await);
        operation_run_again(session, unit, call, client);
        return true;
    }
    return false;
}

/* --- suspension -------------------------------------------------------------------------- */

static bool body_runs(const struct dd_session *session)
{
    const struct unit *unit;
    size_t at = 0;

    while ((unit = dd_map_next(&session->units, &at)) != NULL) {
        if (unit->state == UNIT_CLOSING || unit->state == UNIT_DECIDING ||
            (unit->branches && branches_starting(unit->branches)) ||
            (unit->state == UNIT_RUNNING && unit->type == DD_TYPE_STEP))
            return true;
    }
    return false;
}

static bool all_blocked(const struct dd_session *session)
{
    dd_list_each(node, tmp, &session->strands)
    {
        if (dd_container_of(node, struct strand, node)->parked == 0)
            return false;
    }
    return true;
}

void strands_unwind(struct dd_session *session)
{
    while (!dd_list_empty(&session->awaits)) {
        struct await *await = dd_container_of(session->awaits.next, struct await, node);

        answer_kind(session, await->call, DD_ANSWER_UNWIND);
        await_free(await);
    }
    while (!dd_list_empty(&session->acks)) {
        struct ack *ack = dd_container_of(dd_list_pop(&session->acks), struct ack, node);

        answer_kind(session, ack->call, DD_ANSWER_UNWIND);
        dd_free(ack);
    }
}

void strands_settle(struct dd_session *session)
{
    if (session->state != SESSION_RUNNING)
        return;
    dd_list_each(node, tmp, &session->awaits)
    {
        (void)await_try(session, dd_container_of(node, struct await, node));
    }
    if (session->end_call || dd_list_empty(&session->awaits) || !all_blocked(session) ||
        body_runs(session))
        return;
    if (session->queue_len > 0 || session->flight || session->refresh ||
        !dd_list_empty(&session->acks)) {
        /* What is queued leaves first, and its answer may change the picture. */
        session->sync_seq = session->queued_seq;
        return;
    }
    session->state = SESSION_SUSPENDED;
    strands_unwind(session);
}

/* When a parked operation is due, if somebody else keeps the session running. */
int64_t strands_next_due(const struct dd_session *session)
{
    int64_t next = 0;

    if (session->state != SESSION_RUNNING || session->flight)
        return 0;
    dd_list_each(node, tmp, &session->awaits)
    {
        const struct await *await = dd_container_of(node, struct await, node);

        for (size_t i = 0; i < await->len; i++) {
            const struct unit *unit = await->units[i];
            int64_t due;

            if (unit->state != UNIT_PENDING || !unit->record)
                continue;
            due = unit->record->operation.due_ms;
            if (due && (!next || due < next))
                next = due;
        }
    }
    return next && next < session->refresh_ms ? session->refresh_ms : next;
}

void awaits_forget(struct dd_session *session, uint64_t client)
{
    dd_list_each(node, tmp, &session->awaits)
    {
        struct await *await = dd_container_of(node, struct await, node);

        if (await->client == client)
            await_free(await);
    }
    dd_list_each(node, tmp, &session->acks)
    {
        struct ack *ack = dd_container_of(node, struct ack, node);

        /* The outcome still counts; only nobody hears of it. */
        if (ack->client == client)
            ack->call = 0;
    }
}

void dd_session_due(struct dd_session *session, int64_t now_ms)
{
    int64_t due;

    session->now_ms = now_ms;
    due = strands_next_due(session);
    if (due && due <= now_ms) {
        session->refresh = true;
        session->refresh_ms = now_ms + REFRESH_INTERVAL_MS;
    }
    batch_pump(session);
}
