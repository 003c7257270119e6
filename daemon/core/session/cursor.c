/* The replay cursor: every operation that the client may meet, with its place.
 *
 * Ids are digests, so places are found by walking: position 1, 2, 3, ... of each
 * context. A virtual context has no operation of its own; where a position is
 * empty, its would-be children are probed too. What is not found within a few
 * empty positions is left out, and the client is told so: it asks by session.start
 * before it runs anything.
 *
 * The state comes in pages. The walk is done over the first, with which the handler begins, and
 * again over all. */
#include "core/session/session_priv.h"

#include "base/alloc.h"

/* Empty positions in a row before a context counts as walked; chosen: only code
 * that runs operations of many virtual contexts without any inside exceeds it. */
#define GAP_MAX 4
/* Nesting of contexts that is walked; deeper ones are asked for. */
#define DEPTH_MAX 64

static void add_entry(struct dd_session *session, struct dd_text *context_id, uint32_t position,
                      struct record *record)
{
    if (record->placed)
        return;
    record->placed = true;
    if (session->entries_len == session->entries_cap) {
        session->entries_cap = session->entries_cap ? 2 * session->entries_cap : 64;
        session->entries =
            dd_realloc_array(session->entries, session->entries_cap, sizeof *session->entries);
    }
    session->entries[session->entries_len++] =
        (struct dd_cursor_entry){dd_text_ref(context_id), position, &record->operation};
}

static size_t walk(struct dd_session *session, struct dd_text *context_id,
                   struct dd_span prefix, int depth);

/* Whether there is something to find below a context. */
static bool has_children(const struct record *record)
{
    const struct dd_operation *operation = &record->operation;

    return operation->type == DD_TYPE_CONTEXT &&
           (!dd_operation_status_terminal(operation->status) || operation->replay_children);
}

/* Visits position `n`; returns how many operations were placed there and below. */
static size_t visit(struct dd_session *session, struct dd_text *context_id,
                    struct dd_span prefix, uint32_t n, int depth)
{
    struct dd_text *id = dd_operation_id(session->profile, prefix, n);
    struct record *record = record_find(session, id);
    size_t found = 0;

    if (record) {
        add_entry(session, context_id, n, record);
        found = 1;
    }
    if (depth < DEPTH_MAX && (!record || has_children(record))) {
        struct dd_text *inner = context_prefix(session->profile, id, prefix, n);

        found += walk(session, id, dd_text_span(inner), depth + 1);
        dd_text_unref(inner);
    }
    dd_text_unref(id);
    return found;
}

/* Branches count from the profile's first, all else from 1. */
static uint32_t first_position(struct dd_session *session, const struct dd_text *context_id)
{
    const struct record *record = record_find(session, context_id);
    struct dd_span sub_type = record ? dd_text_span(record->operation.sub_type) : DD_SPAN_NONE;

    return dd_span_is(sub_type, "Map") || dd_span_is(sub_type, "Parallel")
               ? (uint32_t)session->profile->first_branch
               : 1;
}

static size_t walk(struct dd_session *session, struct dd_text *context_id,
                   struct dd_span prefix, int depth)
{
    size_t found = 0;
    /* Below an empty position only the first child is probed: a virtual context
     * that got anywhere has it. */
    int gap_max = depth > 0 && !record_find(session, context_id) ? 1 : GAP_MAX;
    int gap = 0;

    for (uint32_t n = first_position(session, context_id);
         gap < gap_max && session->entries_len < session->loaded_len; n++) {
        size_t here = visit(session, context_id, prefix, n, depth);

        gap = here ? 0 : gap + 1;
        found += here;
        if (found == 0 && gap_max == 1)
            break;
        if (found > 0)
            gap_max = GAP_MAX;
    }
    return found;
}

void cursor_build(struct dd_session *session)
{
    walk(session, NULL, DD_SPAN_NONE, 0);
}

static size_t entry_size(const struct dd_cursor_entry *entry)
{
    return (entry->operation->result ? entry->operation->result->len : 0) +
           dd_error_object_size(entry->operation->error) + 256;
}

bool cursor_ready(const struct dd_session *session)
{
    return session->entries_at < session->entries_len || !session->loading;
}

void cursor_window(struct dd_session *session, struct dd_answer *window)
{
    size_t begin = session->entries_at, size = 0;

    while (session->entries_at < session->entries_len) {
        size_t next = entry_size(&session->entries[session->entries_at]);

        if (session->entries_at > begin && size + next > DD_PAGE_BYTES_MAX)
            break;
        size += next;
        session->entries_at++;
    }
    window->entries = session->entries ? session->entries + begin : NULL;
    window->entries_len = session->entries_at - begin;
    window->more = session->entries_at < session->entries_len || session->loading;
    window->gaps = session->entries_len < session->loaded_len || session->loading;
}
