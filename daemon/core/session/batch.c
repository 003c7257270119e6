/* Updates on their way: gathered, sent in one checkpoint at a time, acknowledged
 * (sdk-semantics 8.1). An update that nobody waits for leaves with the next one
 * that somebody does, or DD_FLUSH_DELAY_MS later. One that somebody waits for leaves
 * at once; where checkpoints are dear, it is held for a moment while strands run. */
#include "core/session/session_priv.h"

#include "base/alloc.h"

/* How often in a row the next update may put a checkpoint off; chosen. */
#define GATHERS_MAX 4

/* The operation id of the enclosing context that is recorded. */
static struct dd_text *recorded_parent(const struct unit *unit)
{
    const struct unit *context = unit->parent;

    while (context && context->parent && !context->record)
        context = context->parent;
    return context && context->record ? context->id : NULL;
}

static uint64_t sent_seq(const struct dd_session *session)
{
    return session->queued_seq - session->queue_len;
}

struct dd_update *batch_add(struct dd_session *session, const struct unit *unit,
                            enum dd_action action, bool sync)
{
    struct dd_update *update;

    if (session->queue_len == session->queue_cap) {
        session->queue_cap = session->queue_cap ? 2 * session->queue_cap : 16;
        session->queue =
            dd_realloc_array(session->queue, session->queue_cap, sizeof *session->queue);
    }
    update = &session->queue[session->queue_len++];
    *update = (struct dd_update){.type = unit->type, .action = action};
    update->id = dd_text_ref(unit->id);
    update->parent_id = dd_text_ref(recorded_parent(unit));
    if (unit->record) {
        update->name = dd_text_ref(unit->record->operation.name);
        update->sub_type = dd_text_ref(unit->record->operation.sub_type);
    }
    session->facts.run += action == DD_ACTION_START;
    session->queued_seq++;
    session->queued_ms = session->now_ms;
    if (sync && sent_seq(session) >= session->sync_seq)
        session->sync_ms = session->now_ms;
    if (sync)
        session->sync_seq = session->queued_seq;
    else if (session->flush_ms == 0)
        session->flush_ms = session->now_ms + DD_FLUSH_DELAY_MS;
    return update;
}

void batch_wait(struct dd_session *session, struct unit *unit, uint64_t call, uint64_t client)
{
    struct ack *ack = dd_alloc(sizeof *ack);

    ack->call = call;
    ack->client = client;
    ack->unit = unit;
    ack->seq = session->queued_seq;
    dd_list_push(&session->acks, &ack->node);
}

/* How many updates fit one checkpoint; the first always does. */
static size_t batch_len(const struct dd_session *session)
{
    size_t len = 0, size = 0;

    while (len < session->queue_len && len < DD_BATCH_UPDATES_MAX) {
        size += dd_update_size(&session->queue[len]);
        if (len > 0 && size > DD_BATCH_BYTES_MAX)
            break;
        len++;
    }
    return len;
}

static void drop_front(struct dd_session *session, size_t len)
{
    if (len == 0)
        return;
    for (size_t i = 0; i < len; i++)
        dd_update_deinit(&session->queue[i]);
    session->queue_len -= len;
    memmove(session->queue, session->queue + len, session->queue_len * sizeof *session->queue);
}

bool batch_open(const struct dd_session *session)
{
    return session->state == SESSION_RUNNING || session->state == SESSION_SUSPENDED;
}

static bool wanted_now(const struct dd_session *session)
{
    return (session->refresh && !dd_list_empty(&session->awaits)) ||
           (session->flush_ms && session->flush_ms <= session->now_ms);
}

static bool wanted(const struct dd_session *session)
{
    return sent_seq(session) < session->sync_seq;
}

/* Whether a strand is neither parked nor waits for an acknowledgement, or is about to be
 * started: it may call. That of a context that has ended is no more. */
static bool strand_runs(const struct dd_session *session)
{
    size_t free = 0, waiting = 0;

    dd_list_each(node, tmp, &session->awaits)
    {
        const struct await *await = dd_container_of(node, struct await, node);

        if (await->batch && branches_starting(await->context->branches))
            return true;
    }
    dd_list_each(node, tmp, &session->strands)
    {
        free += dd_container_of(node, struct strand, node)->parked == 0;
    }
    dd_list_each(node, tmp, &session->acks)
    {
        waiting += !dd_container_of(node, struct ack, node)->unit->own_strand;
    }
    return free > waiting;
}

/* Until when it may be held: strands that follow each other closely are waited for, but not
 * for ever. */
static int64_t gather_until(const struct dd_session *session)
{
    int64_t next = session->queued_ms + session->gather_ms;
    int64_t last = session->sync_ms + GATHERS_MAX * session->gather_ms;

    return next < last ? next : last;
}

bool batch_gathers(const struct dd_session *session)
{
    return wanted(session) && !wanted_now(session) && !session->end_call &&
           session->now_ms < gather_until(session) &&
           session->queue_len < DD_BATCH_UPDATES_MAX && strand_runs(session);
}

void batch_pump(struct dd_session *session)
{
    size_t len;

    if (session->flight || !batch_open(session) || (!wanted(session) && !wanted_now(session)) ||
        batch_gathers(session))
        return;
    len = batch_len(session);
    session->flight = true;
    session->refresh = false;
    session->effects.checkpoint(session->effects.user, dd_text_span(session->token),
                                session->queue, len);
    drop_front(session, len);
    session->flight_seq = sent_seq(session);
    if (session->queue_len == 0)
        session->flush_ms = 0;
}

/* Answers, in order, the calls whose update is acknowledged. */
void batch_acked(struct dd_session *session)
{
    session->acked_seq = session->flight_seq;
    session->sync_ms = session->queued_ms = session->now_ms;
    while (!dd_list_empty(&session->acks)) {
        struct ack *ack = dd_container_of(session->acks.next, struct ack, node);

        if (ack->seq > session->acked_seq)
            return;
        dd_list_remove(&ack->node);
        operation_acked(session, ack);
        dd_free(ack);
    }
}

int64_t batch_next_due(const struct dd_session *session)
{
    int64_t gather_ms = batch_gathers(session) ? gather_until(session) : 0;

    if (session->flight)
        return 0;
    if (!gather_ms || (session->flush_ms && session->flush_ms < gather_ms))
        return session->flush_ms;
    return gather_ms;
}

/* Leaves out what nobody waits for: a handler that has ended needs it no more. */
void batch_drop_async(struct dd_session *session)
{
    if (sent_seq(session) >= session->sync_seq) {
        drop_front(session, session->queue_len);
        session->flush_ms = 0;
    }
}

void batch_free(struct dd_session *session)
{
    drop_front(session, session->queue_len);
    dd_free(session->queue);
    while (!dd_list_empty(&session->acks))
        dd_free(dd_container_of(dd_list_pop(&session->acks), struct ack, node));
}
