/* The tail: executions whose latest head is not in the tables yet, or must hide
 * what the tables say. Also the plain reads of one entry of a table. */
#include "base/alloc.h"
#include "codec/record.h"
#include "engine/journal_priv.h"

/* --- reads of tables --------------------------------------------------------------------- */

struct get {
    struct dd_span key;
    struct dd_buf *out;
    bool found;
};

static bool visit_get(void *user, struct dd_span key, struct dd_span value)
{
    struct get *get = user;

    if (dd_span_equal(key, get->key)) {
        get->found = true;
        dd_buf_append_span(get->out, value);
    }
    return false;
}

int table_get(struct dd_journal *journal, enum dd_table table, struct dd_span key,
              struct dd_buf *out, struct dd_error *error)
{
    struct dd_store *store = journal->config.store;
    struct get get = {.key = key, .out = out};
    int rc;

    dd_buf_clear(out);
    rc = store->ops->scan(store, table, key, false, visit_get, &get, error);
    if (rc != 0)
        return rc;
    if (out->failed)
        return dd_fail(error, DD_NO_MEMORY, "reading the store: out of memory");
    return get.found ? 1 : 0;
}

int table_head(struct dd_journal *journal, struct dd_uuid id, struct dd_head *out_head,
               struct dd_error *error)
{
    char text[DD_UUID_TEXT_LEN + 1];
    struct dd_error why;
    int rc = table_get(journal, DD_TABLE_HEADS, id_span(&id), &journal->scratch, error);

    if (rc <= 0)
        return rc;
    rc = dd_head_decode(dd_buf_span(&journal->scratch), out_head, &why);
    if (rc == 0 && dd_uuid_compare(out_head->id, id) == 0)
        return 1;
    if (rc == 0) {
        head_deinit(out_head);
        (void)dd_fail(&why, DD_STORE_CORRUPT, "it is another's");
    }
    dd_uuid_format(id, text);
    return dd_fail(error, DD_STORE_CORRUPT,
                   "execution %s is damaged: its head (%.120s); run `durabled check`", text,
                   why.text);
}

void head_deinit(struct dd_head *head)
{
    dd_text_unref(head->function);
    dd_text_unref(head->name);
    memset(head, 0, sizeof(*head));
}

/* --- the map ----------------------------------------------------------------------------- */

struct tail_entry *tail_get(const struct dd_journal *journal, struct dd_uuid id)
{
    return dd_map_get(&journal->tail, id_span(&id));
}

static struct tail_entry *entry_new(struct dd_journal *journal, struct dd_uuid id)
{
    struct tail_entry *entry = dd_alloc(sizeof(*entry));

    entry->id = id;
    dd_list_init(&entry->unfolded);
    dd_list_init(&entry->in_flight);
    dd_list_init(&entry->removing);
    dd_list_init(&entry->queued);
    (void)dd_map_put(&journal->tail, id_span(&entry->id), entry);
    return entry;
}

int tail_touch(struct dd_journal *journal, struct dd_uuid id, bool create,
               struct tail_entry **out, struct dd_error *error)
{
    struct dd_head head;
    int rc;

    *out = tail_get(journal, id);
    if (*out)
        return 0;
    rc = table_head(journal, id, &head, error);
    if (rc < 0 || (rc == 0 && !create))
        return rc;
    *out = entry_new(journal, id);
    if (rc == 1) {
        (*out)->head = head;
        queue_add(journal, *out);
    } else {
        (*out)->head.id = id;
        (*out)->fresh = true;
    }
    return 0;
}

static void fresh_name_add(struct dd_journal *journal, struct tail_entry *entry)
{
    struct store_key key;
    char *copy;

    key_name(&key, dd_text_span(entry->head.function), dd_text_span(entry->head.name));
    copy = dd_alloc(key.len);
    memcpy(copy, key.data, key.len);
    entry->name_key = dd_span_make(copy, key.len);
    (void)dd_map_put(&journal->fresh_names, entry->name_key, entry);
}

static void fresh_name_remove(struct dd_journal *journal, struct tail_entry *entry)
{
    if (!entry->name_key.data)
        return;
    if (dd_map_get(&journal->fresh_names, entry->name_key) == entry)
        (void)dd_map_remove(&journal->fresh_names, entry->name_key);
    dd_free((void *)(uintptr_t)entry->name_key.data);
    entry->name_key = DD_SPAN_NONE;
}

void tail_set_head(struct dd_journal *journal, struct tail_entry *entry,
                   const struct dd_head *head, bool rearm)
{
    int64_t due_before = entry->head.next_due_ms;
    struct dd_text *function = dd_text_ref(head->function);
    struct dd_text *name = dd_text_ref(head->name);

    dd_list_remove(&entry->queued);
    head_deinit(&entry->head);
    entry->head = *head;
    entry->head.function = function;
    entry->head.name = name;
    queue_add(journal, entry);
    if (entry->fresh && !entry->name_key.data)
        fresh_name_add(journal, entry);
    if (head->next_due_ms != 0 && (rearm || head->next_due_ms != due_before))
        due_add(journal, head->next_due_ms, entry->id);
    if (rearm)
        entry->popped = false;
}

void tail_relink(struct dd_journal *journal, struct tail_entry *entry)
{
    struct dd_list *at = journal->unfolded.next;

    dd_list_remove(&entry->unfolded);
    while (at != &journal->unfolded &&
           dd_container_of(at, struct tail_entry, unfolded)->positions[0] < entry->positions[0])
        at = at->next;
    /* Pushing at the end of the list that begins at `at` is inserting before it. */
    dd_list_push(at, &entry->unfolded);
}

void tail_add_position(struct dd_journal *journal, struct tail_entry *entry, uint64_t position)
{
    if (entry->positions_len == entry->positions_cap) {
        entry->positions_cap = entry->positions_cap ? entry->positions_cap * 2 : 4;
        entry->positions =
            dd_realloc_array(entry->positions, entry->positions_cap, sizeof(*entry->positions));
    }
    entry->positions[entry->positions_len++] = position;
    journal->tail_records++;
    /* Not in the list: untouched so far, or its earlier positions are being
     * folded, so that this one is the first that is not. */
    if (dd_list_empty(&entry->unfolded)) {
        dd_list_push(&journal->unfolded, &entry->unfolded);
        entry->touched_ms = journal->now_ms;
    }
}

void tail_hide(struct dd_journal *journal, struct tail_entry *entry)
{
    dd_list_remove(&entry->queued);
    fresh_name_remove(journal, entry);
}

void tail_damage(struct dd_journal *journal, struct dd_uuid id)
{
    struct tail_entry *entry = tail_get(journal, id);

    if (!entry)
        entry = entry_new(journal, id);
    entry->damaged = true;
    dd_list_remove(&entry->queued);
}

void tail_stored(struct dd_journal *journal, struct tail_entry *entry)
{
    fresh_name_remove(journal, entry);
    entry->fresh = false;
}

/* The tables tell of it from here on. */
void tail_drop(struct dd_journal *journal, struct tail_entry *entry)
{
    dd_assert(entry->positions_len == 0 || entry->removed);
    fresh_name_remove(journal, entry);
    dd_list_remove(&entry->unfolded);
    dd_list_remove(&entry->in_flight);
    dd_list_remove(&entry->removing);
    dd_list_remove(&entry->queued);
    (void)dd_map_remove(&journal->tail, id_span(&entry->id));
    if (!entry->removed && !entry->damaged)
        queue_expose(journal, &entry->head);
    head_deinit(&entry->head);
    dd_free(entry->positions);
    dd_free(entry);
}

void tail_free(struct dd_journal *journal)
{
    struct tail_entry *entry;
    size_t at = 0;

    while ((entry = dd_map_next(&journal->tail, &at)) != NULL) {
        dd_free((void *)(uintptr_t)entry->name_key.data);
        head_deinit(&entry->head);
        dd_free(entry->positions);
        dd_free(entry);
    }
    dd_map_deinit(&journal->tail);
    dd_map_deinit(&journal->fresh_names);
}
