/* Due times. In memory are the nearest ones, at most `due_max`; the others stay in
 * the table, or in the tail until they are folded.
 *
 * The heap has an entry for every execution whose due time is at or before
 * `due_until`, or for every execution unless `due_partial`. It may have stale
 * ones: an entry counts only if the head still says so. */
#include <stdlib.h>

#include "engine/journal_priv.h"

static int entry_compare(const void *a, const void *b)
{
    const struct dd_heap_entry *x = a, *y = b;

    if (x->when_ms != y->when_ms)
        return x->when_ms < y->when_ms ? -1 : 1;
    return dd_uuid_compare(x->id, y->id);
}

/* Keeps the nearer half. A sorted array is a heap. */
static void due_trim(struct dd_journal *journal)
{
    struct dd_heap *heap = &journal->due;

    qsort(heap->entries, heap->len, sizeof(*heap->entries), entry_compare);
    heap->len = journal->due_max / 2;
    journal->due_partial = true;
    journal->due_until = heap->entries[heap->len - 1];
}

void due_add(struct dd_journal *journal, int64_t due_ms, struct dd_uuid id)
{
    struct dd_heap_entry entry = {.when_ms = due_ms, .id = id};

    if (journal->due_partial && entry_compare(&entry, &journal->due_until) > 0)
        return;
    dd_heap_push(&journal->due, entry);
    if (journal->due.len > journal->due_max)
        due_trim(journal);
}

struct refill {
    struct dd_journal *journal;
    struct dd_heap_entry last;
    size_t left;
    bool more;
};

static bool visit_due(void *user, struct dd_span key, struct dd_span value)
{
    struct refill *refill = user;
    struct dd_heap_entry entry;

    (void)value;
    if (key.len != KEY_DUE)
        return true;
    entry.when_ms = (int64_t)get_u64(key.data);
    entry.id = uuid_at(key.data + 8);
    if (entry_compare(&entry, &refill->last) <= 0 || tail_get(refill->journal, entry.id))
        return true;
    if (refill->left == 0) {
        refill->more = true;
        return false;
    }
    refill->left--;
    refill->last = entry;
    dd_heap_push(&refill->journal->due, entry);
    return true;
}

/* Fills the empty heap with what comes next after `due_until`. */
static void due_refill(struct dd_journal *journal)
{
    struct dd_heap_entry from = journal->due_until;
    struct refill refill = {.journal = journal, .last = from, .left = journal->due_max / 2};
    struct dd_store *store = journal->config.store;
    struct tail_entry *entry;
    struct store_key key;
    size_t at = 0;

    key_due(&key, from.when_ms, from.id);
    if (store->ops->scan(store, DD_TABLE_DUE, key_span(&key), false, visit_due, &refill, NULL))
        return; /* tried again at the next question */
    journal->due_partial = refill.more;
    journal->due_until = refill.last;
    while ((entry = dd_map_next(&journal->tail, &at)) != NULL) {
        struct dd_heap_entry mine = {.when_ms = entry->head.next_due_ms, .id = entry->id};

        if (mine.when_ms != 0 && !entry->removed && !entry->popped &&
            entry_compare(&mine, &from) > 0)
            due_add(journal, mine.when_ms, mine.id);
    }
}

/* Whether the head still says so. A damaged head does: the execution is handed
 * out once, so that its load tells. */
static bool due_holds(struct dd_journal *journal, const struct dd_heap_entry *due)
{
    struct tail_entry *entry = tail_get(journal, due->id);
    struct dd_head head;
    bool holds;
    int rc;

    if (entry)
        return !entry->removed && !entry->popped && !entry->damaged &&
               entry->head.next_due_ms == due->when_ms;
    rc = table_head(journal, due->id, &head, NULL);
    if (rc <= 0)
        return rc == DD_STORE_CORRUPT;
    holds = head.next_due_ms == due->when_ms;
    head_deinit(&head);
    return holds;
}

/* The earliest that holds; false when none. */
static bool due_first(struct dd_journal *journal, struct dd_heap_entry *out_due)
{
    for (;;) {
        while (dd_heap_peek(&journal->due, out_due)) {
            if (due_holds(journal, out_due))
                return true;
            dd_heap_pop(&journal->due);
        }
        if (!journal->due_partial)
            return false;
        due_refill(journal);
        if (journal->due.len == 0 && journal->due_partial)
            return false;
    }
}

int64_t dd_journal_next_due(struct dd_journal *journal)
{
    struct dd_heap_entry due;

    return due_first(journal, &due) ? due.when_ms : 0;
}

bool dd_journal_pop_due(struct dd_journal *journal, int64_t now_ms, struct dd_uuid *out_id)
{
    struct tail_entry *entry;
    struct dd_heap_entry due;

    if (journal->failed || !due_first(journal, &due) || due.when_ms > now_ms)
        return false;
    dd_heap_pop(&journal->due);
    if (tail_touch(journal, due.id, false, &entry, NULL) != 0)
        tail_damage(journal, due.id);
    else if (entry)
        entry->popped = true;
    *out_id = due.id;
    return true;
}
