/* Removal of closed executions, in two steps so that no commit grows with the
 * size of an execution. The first takes it out of HEADS, NAMES, DUE and WORK and
 * puts it into REMOVALS: from then on it does not exist. Later commits each take
 * away some of its records, index entries and log lines, and at last its entry
 * in REMOVALS. A crash between two of them changes nothing. */
#include "engine/journal_priv.h"

uint64_t dd_journal_delete(struct dd_journal *journal, struct dd_uuid id)
{
    struct tail_entry *entry;

    if (journal->failed)
        return 0;
    if (tail_touch(journal, id, false, &entry, NULL) != 0) {
        tail_damage(journal, id);
        entry = tail_get(journal, id);
    }
    if (!entry || entry->removed)
        return journal->next_position - 1;
    entry->removed = true;
    tail_hide(journal, entry);
    logs_forget(journal, id);
    dd_list_push(&journal->removing, &entry->removing);
    journal->pending.last = journal->next_position;
    return journal->next_position++;
}

bool remove_wanted(const struct dd_journal *journal)
{
    return !dd_list_empty(&journal->removing) || journal->removals;
}

/* Another execution may have taken the name since. */
static int remove_name(struct dd_journal *journal, struct dd_batch *batch,
                       const struct dd_head *head, struct dd_error *error)
{
    struct store_key key;
    int rc;

    key_name(&key, dd_text_span(head->function), dd_text_span(head->name));
    rc = table_get(journal, DD_TABLE_NAMES, key_span(&key), &journal->scratch, error);
    if (rc == 1 && dd_span_equal(dd_buf_span(&journal->scratch), id_span(&head->id)))
        dd_batch_delete(batch, DD_TABLE_NAMES, key_span(&key));
    return rc < 0 ? rc : 0;
}

static int remove_begin(struct dd_journal *journal, struct dd_batch *batch,
                        struct tail_entry *entry, struct dd_error *error)
{
    struct dd_head before = {0};
    int rc = table_head(journal, entry->id, &before, error);

    if (rc < 0 && rc != DD_STORE_CORRUPT)
        return rc;
    if (rc == 1)
        fold_difference(journal, batch, &before, NULL);
    else
        dd_batch_delete(batch, DD_TABLE_HEADS, id_span(&entry->id));
    rc = rc == 1 ? remove_name(journal, batch, &before, error) : 0;
    head_deinit(&before);
    if (rc != 0)
        return rc;
    fold_index(batch, entry);
    dd_batch_put(batch, DD_TABLE_REMOVALS, id_span(&entry->id), DD_SPAN(""));
    dd_list_remove(&entry->removing);
    dd_list_remove(&entry->unfolded);
    dd_list_push(&journal->in_flight, &entry->in_flight);
    journal->removals = true;
    return 0;
}

/* --- the later steps --------------------------------------------------------------------- */

struct removal {
    struct dd_batch *batch;
    enum dd_table table;
    struct dd_uuid id;
    size_t left; /* entries that this commit may still remove */
    bool more;
};

static bool visit_remove(void *user, struct dd_span key, struct dd_span value)
{
    struct removal *removal = user;

    if (!starts_with(key, id_span(&removal->id)))
        return false;
    if (removal->left == 0) {
        removal->more = true;
        return false;
    }
    removal->left--;
    if (removal->table == DD_TABLE_INDEX && value.len == 8)
        dd_batch_delete(removal->batch, DD_TABLE_JOURNAL, value);
    dd_batch_delete(removal->batch, removal->table, key);
    return true;
}

static int remove_some(struct dd_journal *journal, struct removal *removal,
                       struct dd_error *error)
{
    static const enum dd_table tables[] = {DD_TABLE_INDEX, DD_TABLE_LOGS};
    struct dd_store *store = journal->config.store;
    int rc = 0;

    for (size_t i = 0; i < DD_COUNT(tables) && rc == 0 && !removal->more; i++) {
        removal->table = tables[i];
        rc = store->ops->scan(store, tables[i], id_span(&removal->id), false, visit_remove,
                              removal, error);
    }
    if (rc == 0 && !removal->more)
        dd_batch_delete(removal->batch, DD_TABLE_REMOVALS, id_span(&removal->id));
    return rc;
}

#define REMOVALS_MAX 16

struct removals {
    struct dd_uuid ids[REMOVALS_MAX];
    size_t len;
};

static bool visit_removal(void *user, struct dd_span key, struct dd_span value)
{
    struct removals *removals = user;

    (void)value;
    if (key.len == KEY_ID)
        removals->ids[removals->len++] = uuid_at(key.data);
    return removals->len < REMOVALS_MAX;
}

static int remove_continue(struct dd_journal *journal, struct dd_batch *batch,
                           struct dd_error *error)
{
    struct dd_store *store = journal->config.store;
    struct removal removal = {.batch = batch, .left = DD_REMOVE_ENTRIES_MAX};
    struct removals removals = {.len = 0};
    int rc = store->ops->scan(store, DD_TABLE_REMOVALS, DD_SPAN_NONE, false, visit_removal,
                              &removals, error);

    journal->removals = removals.len > 0;
    for (size_t i = 0; i < removals.len && rc == 0 && !removal.more; i++) {
        removal.id = removals.ids[i];
        rc = remove_some(journal, &removal, error);
    }
    return rc;
}

int remove_build(struct dd_journal *journal, struct dd_batch *batch, struct dd_error *error)
{
    int rc = journal->removals ? remove_continue(journal, batch, error) : 0;

    while (rc == 0 && !dd_list_empty(&journal->removing))
        rc = remove_begin(journal, batch,
                          dd_container_of(journal->removing.next, struct tail_entry, removing),
                          error);
    return rc;
}
