/* What logs tell of a session: how much it did, what runs, what it waits for. */
#include "core/session/session_priv.h"

struct dd_session_facts dd_session_facts(const struct dd_session *session)
{
    return session->facts;
}

size_t dd_session_running(const struct dd_session *session)
{
    const struct unit *unit;
    size_t running = 0, at = 0;

    while ((unit = dd_map_next(&session->units, &at)) != NULL)
        running += unit->state == UNIT_RUNNING && unit != session->root;
    return running;
}

static bool is_open(const struct unit *unit)
{
    return unit->type == DD_TYPE_STEP && unit->run_ms &&
           (unit->state == UNIT_RUNNING || unit->state == UNIT_DECIDING ||
            unit->state == UNIT_CLOSING);
}

size_t dd_session_open(const struct dd_session *session, struct dd_attempt *out, size_t max)
{
    const struct unit *unit;
    size_t len = 0, at = 0;

    while ((unit = dd_map_next(&session->units, &at)) != NULL) {
        size_t place = len < max ? len : max;

        if (!is_open(unit))
            continue;
        len++;
        while (place > 0 && out[place - 1].run_ms > unit->run_ms) {
            if (place < max)
                out[place] = out[place - 1];
            place--;
        }
        if (place < max)
            out[place] = (struct dd_attempt){&unit->record->operation,
                                             unit->record->operation.attempt + 1, unit->run_ms,
                                             unit->again};
    }
    return len;
}

/* What was open in a context when that ended is awaited by nobody. */
static bool is_orphan(const struct dd_session *session, const struct dd_operation *operation)
{
    const struct record *parent = record_find(session, operation->parent_id);

    while (parent && !dd_operation_status_terminal(parent->operation.status))
        parent = record_find(session, parent->operation.parent_id);
    return parent != NULL;
}

static bool is_awaited(const struct dd_operation *operation)
{
    switch (operation->type) {
    case DD_TYPE_STEP:
        return operation->status == DD_STATUS_PENDING || operation->status == DD_STATUS_READY;
    case DD_TYPE_WAIT:
    case DD_TYPE_CALLBACK:
    case DD_TYPE_CHAINED_INVOKE:
        return operation->status == DD_STATUS_STARTED;
    default:
        return false;
    }
}

static bool due_before(const struct dd_operation *one, const struct dd_operation *other)
{
    return one->due_ms && (!other->due_ms || one->due_ms < other->due_ms);
}

size_t dd_session_awaited(const struct dd_session *session, const struct dd_operation **out,
                          size_t max)
{
    const struct record *record;
    size_t len = 0, at = 0;

    while ((record = dd_map_next(&session->records, &at)) != NULL) {
        const struct dd_operation *operation = &record->operation;
        size_t place = len < max ? len : max;

        if (!is_awaited(operation) || is_orphan(session, operation))
            continue;
        len++;
        while (place > 0 && due_before(operation, out[place - 1])) {
            if (place < max)
                out[place] = out[place - 1];
            place--;
        }
        if (place < max)
            out[place] = operation;
    }
    return len;
}
