/* Folding: from the tail to the tables. The entries of the tail are in order of
 * their first position; folding takes from the front, so that the mark, below
 * which nothing is only in the tail, moves on. Records above the mark may be
 * folded too: opening recognises them by their numbers. */
#include "base/alloc.h"
#include "codec/record.h"
#include "engine/journal_priv.h"

static struct tail_entry *unfolded_first(const struct dd_journal *journal)
{
    return dd_list_empty(&journal->unfolded)
               ? NULL
               : dd_container_of(journal->unfolded.next, struct tail_entry, unfolded);
}

bool fold_wanted(const struct dd_journal *journal)
{
    const struct tail_entry *first = unfolded_first(journal);

    if (!first)
        return false;
    if (journal->flushing || first->positions[0] <= journal->fold_until ||
        journal->tail_records >= journal->config.fold_records)
        return true;
    /* What is merely old rides with no commit that somebody waits for: a fold writes
     * several times the pages of a record. */
    return journal->flight.last == 0 &&
           journal->now_ms - first->touched_ms >= journal->config.fold_delay_ms;
}

static void difference_due(struct dd_batch *batch, const struct dd_head *before,
                           const struct dd_head *after)
{
    int64_t from = before ? before->next_due_ms : 0;
    int64_t to = after ? after->next_due_ms : 0;
    struct store_key key;

    if (from == to)
        return;
    if (from != 0) {
        key_due(&key, from, before->id);
        dd_batch_delete(batch, DD_TABLE_DUE, key_span(&key));
    }
    if (to != 0) {
        key_due(&key, to, after->id);
        dd_batch_put(batch, DD_TABLE_DUE, key_span(&key), DD_SPAN(""));
    }
}

static void difference_work(struct dd_batch *batch, const struct dd_head *before,
                            const struct dd_head *after)
{
    bool from = before && before->work != DD_WORK_NONE;
    bool to = after && after->work != DD_WORK_NONE;
    struct store_key from_key, to_key;

    if (from)
        key_work(&from_key, before);
    if (to)
        key_work(&to_key, after);
    if (from && to && dd_span_equal(key_span(&from_key), key_span(&to_key)))
        return;
    if (from)
        dd_batch_delete(batch, DD_TABLE_WORK, key_span(&from_key));
    if (to)
        dd_batch_put(batch, DD_TABLE_WORK, key_span(&to_key), DD_SPAN(""));
}

void fold_difference(struct dd_journal *journal, struct dd_batch *batch,
                     const struct dd_head *before, const struct dd_head *after)
{
    struct store_key key;

    if (after) {
        dd_buf_clear(&journal->scratch);
        dd_head_encode(after, &journal->scratch);
        batch->ops.failed = batch->ops.failed || journal->scratch.failed;
        dd_batch_put(batch, DD_TABLE_HEADS, id_span(&after->id),
                     dd_buf_span(&journal->scratch));
        if (!before) {
            key_name(&key, dd_text_span(after->function), dd_text_span(after->name));
            dd_batch_put(batch, DD_TABLE_NAMES, key_span(&key), id_span(&after->id));
        }
    } else if (before) {
        dd_batch_delete(batch, DD_TABLE_HEADS, id_span(&before->id));
    }
    difference_due(batch, before, after);
    difference_work(batch, before, after);
}

void fold_index(struct dd_batch *batch, const struct tail_entry *entry)
{
    uint32_t number = RECORD_FIRST + entry->head.records - entry->positions_len;
    struct store_key key;
    char position[8];

    for (uint32_t i = 0; i < entry->positions_len; i++) {
        key_index(&key, entry->id, number + i);
        put_u64(position, entry->positions[i]);
        dd_batch_put(batch, DD_TABLE_INDEX, key_span(&key), dd_span_make(position, 8));
    }
}

static int fold_entry(struct dd_journal *journal, struct dd_batch *batch,
                      struct tail_entry *entry, struct dd_error *error)
{
    struct dd_head before = {0};
    int rc = table_head(journal, entry->id, &before, error);

    /* A damaged head is replaced by the one that the journal holds. */
    if (rc < 0 && rc != DD_STORE_CORRUPT)
        return rc;
    fold_difference(journal, batch, rc == 1 ? &before : NULL, &entry->head);
    fold_index(batch, entry);
    head_deinit(&before);
    entry->folding = entry->positions_len;
    dd_list_remove(&entry->unfolded);
    dd_list_push(&journal->in_flight, &entry->in_flight);
    return 0;
}

static void fold_mark(struct dd_journal *journal, struct dd_batch *batch)
{
    const struct tail_entry *first = unfolded_first(journal);

    journal->folding_to = first ? first->positions[0] - 1 : journal->next_position - 1;
    if (journal->folding_to <= journal->folded)
        return;
    meta_put_mark(batch, journal->folding_to);
}

int fold_build(struct dd_journal *journal, struct dd_batch *batch, struct dd_error *error)
{
    struct tail_entry *first = unfolded_first(journal);
    int rc = 0;

    if (first && first->positions[0] > journal->fold_until)
        journal->fold_until = journal->next_position - 1;
    for (int i = 0; i < DD_FOLD_EXECUTIONS_MAX && rc == 0; i++) {
        first = unfolded_first(journal);
        if (!first || first->positions[0] > journal->fold_until)
            break;
        rc = fold_entry(journal, batch, first, error);
    }
    if (rc == 0)
        fold_mark(journal, batch);
    return rc;
}

/* --- the commit's end -------------------------------------------------------------------- */

static struct tail_entry *in_flight_pop(struct dd_journal *journal, bool last)
{
    struct dd_list *node = last ? journal->in_flight.prev : journal->in_flight.next;

    if (dd_list_empty(&journal->in_flight))
        return NULL;
    dd_list_remove(node);
    return dd_container_of(node, struct tail_entry, in_flight);
}

static void entry_folded(struct dd_journal *journal, struct tail_entry *entry)
{
    entry->positions_len -= entry->folding;
    journal->tail_records -= entry->folding;
    memmove(entry->positions, entry->positions + entry->folding,
            entry->positions_len * sizeof(*entry->positions));
    entry->folding = 0;
    tail_stored(journal, entry);
    if (entry->positions_len == 0 && !entry->popped && !entry->damaged)
        tail_drop(journal, entry);
}

void in_flight_done(struct dd_journal *journal)
{
    struct tail_entry *entry;

    while ((entry = in_flight_pop(journal, false)) != NULL) {
        /* Deleted before this commit was built, or while it was in flight. */
        if (entry->removed && dd_list_empty(&entry->removing)) {
            journal->tail_records -= entry->positions_len;
            entry->positions_len = 0;
            tail_drop(journal, entry);
        } else if (entry->removed) {
            journal->tail_records -= entry->folding;
            entry->positions_len -= entry->folding;
            memmove(entry->positions, entry->positions + entry->folding,
                    entry->positions_len * sizeof(*entry->positions));
            entry->folding = 0;
        } else {
            entry_folded(journal, entry);
        }
    }
    if (journal->folding_to > journal->folded)
        journal->folded = journal->folding_to;
}

void in_flight_undo(struct dd_journal *journal)
{
    struct tail_entry *entry;

    /* From the last on: then each belongs at the front. */
    while ((entry = in_flight_pop(journal, true)) != NULL) {
        entry->folding = 0;
        if (entry->removed && dd_list_empty(&entry->removing))
            dd_list_push(&journal->removing, &entry->removing);
        if (entry->positions_len > 0)
            tail_relink(journal, entry);
    }
    journal->folding_to = 0;
}
