/* Reading executions: all records of one in order, heads, names, the list. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "codec/record.h"
#include "engine/journal_priv.h"

/* --- one record -------------------------------------------------------------------------- */

static int slot_compare(const void *key, const void *slot)
{
    uint64_t position = *(const uint64_t *)key;
    uint64_t other = ((const struct record_slot *)slot)->position;

    return position < other ? -1 : position > other;
}

/* The record among those that no reported commit holds. */
static bool find_waiting(const struct write_set *set, uint64_t position, struct dd_span *out)
{
    const struct record_slot *slot = NULL;

    if (set->slots_len > 0)
        slot = bsearch(&position, set->slots, set->slots_len, sizeof(*slot), slot_compare);
    if (slot)
        *out = dd_span_make(set->batch.ops.data + slot->at, slot->len);
    return slot != NULL;
}

int record_read(struct dd_journal *journal, uint64_t position, struct dd_error *error)
{
    struct store_key key;
    struct dd_span span;

    key_position(&key, position);
    if (!find_waiting(&journal->pending, position, &span) &&
        !find_waiting(&journal->flight, position, &span))
        return table_get(journal, DD_TABLE_JOURNAL, key_span(&key), &journal->record, error);
    dd_buf_clear(&journal->record);
    dd_buf_append_span(&journal->record, span);
    return journal->record.failed ? dd_fail(error, DD_NO_MEMORY, "out of memory for a record")
                                  : 1;
}

/* --- all records of one ------------------------------------------------------------------ */

struct positions {
    struct dd_uuid id;
    uint64_t *of;     /* of each record; 0: not known */
    uint32_t indexed; /* so many should be in the index */
    uint32_t total;
    bool beyond; /* the index has more than the head says */
};

static bool visit_index(void *user, struct dd_span key, struct dd_span value)
{
    struct positions *positions = user;
    uint32_t number;

    if (key.len != KEY_INDEX || value.len != 8 || !starts_with(key, id_span(&positions->id)))
        return false;
    number = get_u32(key.data + KEY_ID) - RECORD_FIRST;
    if (number >= positions->total) {
        positions->beyond = true;
        return false;
    }
    /* Beyond `indexed`: a fold that is not reported yet; the tail knows it too. */
    if (number < positions->indexed)
        positions->of[number] = get_u64(value.data);
    return true;
}

static int corrupt(struct dd_error *error, struct dd_uuid id, const char *what, uint32_t number,
                   uint32_t total)
{
    char text[DD_UUID_TEXT_LEN + 1];

    dd_uuid_format(id, text);
    return dd_fail(error, DD_STORE_CORRUPT,
                   "execution %s is damaged: record %u of %u %s; run `durabled check`", text,
                   number + 1, total, what);
}

static int positions_load(struct dd_journal *journal, const struct dd_head *head,
                          const struct tail_entry *entry, struct positions *out,
                          struct dd_error *error)
{
    struct dd_store *store = journal->config.store;
    struct store_key key;
    size_t bytes = ((size_t)head->records + 1) * sizeof(*out->of);
    int rc;

    *out = (struct positions){.id = head->id, .total = head->records};
    out->indexed = head->records - (entry ? entry->positions_len : 0);
    out->of = dd_try_alloc(bytes);
    if (!out->of)
        return dd_fail(error, DD_NO_MEMORY, "out of memory for an execution");
    memset(out->of, 0, bytes);
    key_index(&key, head->id, RECORD_FIRST);
    rc =
        store->ops->scan(store, DD_TABLE_INDEX, key_span(&key), false, visit_index, out, error);
    for (uint32_t i = 0; entry && i < entry->positions_len; i++)
        out->of[out->indexed + i] = entry->positions[i];
    if (rc == 0 && out->beyond)
        rc = corrupt(error, head->id, "is in the index beyond what the head counts",
                     head->records, head->records);
    for (uint32_t i = 0; rc == 0 && i < out->total; i++)
        if (out->of[i] == 0)
            rc = corrupt(error, head->id, "is missing from the index", i, out->total);
    return rc;
}

/* Reads record number `i`: the last event up to it, and its facts unless `out_facts` is
 * NULL. */
static int record_open(struct dd_journal *journal, const struct positions *positions,
                       uint32_t i, uint32_t *out_events, struct dd_facts *out_facts,
                       struct dd_error *error)
{
    int rc = record_read(journal, positions->of[i], error);
    struct dd_span record = dd_buf_span(&journal->record);
    struct dd_record_header header;
    struct dd_error why;
    bool same;

    if (rc == 0)
        return corrupt(error, positions->id, "is missing", i, positions->total);
    if (rc < 0)
        return rc;
    rc = out_facts ? dd_record_decode(record, &header, out_facts, &why)
                   : dd_record_header(record, &header, &why);
    if (rc != 0) {
        char what[160];

        (void)snprintf(what, sizeof(what), "does not hold (%.100s)", why.text);
        return corrupt(error, positions->id, what, i, positions->total);
    }
    same = dd_uuid_compare(header.head.id, positions->id) == 0 &&
           header.number == RECORD_FIRST + i;
    *out_events = header.head.events;
    head_deinit(&header.head);
    if (same)
        return 0;
    if (out_facts)
        dd_facts_deinit(out_facts);
    return corrupt(error, positions->id, "is another's", i, positions->total);
}

/* The number of the first record that has the event `event` or a later one. */
static int record_of_event(struct dd_journal *journal, const struct positions *positions,
                           uint32_t event, uint32_t *out, struct dd_error *error)
{
    uint32_t low = 0, high = event > 1 ? positions->total : 0;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2, events;
        int rc = record_open(journal, positions, middle, &events, NULL, error);

        if (rc != 0)
            return rc;
        if (events < event)
            low = middle + 1;
        else
            high = middle;
    }
    *out = low;
    return 0;
}

typedef int (*facts_fn)(void *user, const struct dd_facts *facts, struct dd_error *error);

static int records_each(struct dd_journal *journal, const struct positions *positions,
                        uint32_t from, facts_fn fn, void *user, struct dd_error *error)
{
    int rc = 0;

    for (uint32_t i = from; rc == 0 && i < positions->total; i++) {
        struct dd_facts facts = {0};
        uint32_t events;

        rc = record_open(journal, positions, i, &events, &facts, error);
        if (rc != 0)
            return rc;
        rc = fn(user, &facts, error);
        dd_facts_deinit(&facts);
    }
    return rc;
}

static int not_found(struct dd_error *error, struct dd_uuid id)
{
    char text[DD_UUID_TEXT_LEN + 1];

    dd_uuid_format(id, text);
    return dd_fail(error, DD_NOT_FOUND, "execution %s does not exist", text);
}

/* Walks the records from the one with the event `event` on. */
static int walk(struct dd_journal *journal, struct dd_uuid id, uint32_t event, facts_fn fn,
                void *user, uint32_t *out_records, struct dd_error *error)
{
    const struct tail_entry *entry = tail_get(journal, id);
    struct positions positions = {0};
    struct dd_error own;
    struct dd_head head;
    uint32_t from = 0;
    int rc;

    error = error ? error : &own;
    rc = dd_journal_head(journal, id, &head, error);
    if (rc == 0) {
        rc = positions_load(journal, &head, entry, &positions, error);
        if (rc == 0)
            rc = record_of_event(journal, &positions, event, &from, error);
        if (rc == 0)
            rc = records_each(journal, &positions, from, fn, user, error);
        *out_records = head.records;
        dd_free(positions.of);
        head_deinit(&head);
    }
    if (rc == DD_STORE_CORRUPT)
        tail_damage(journal, id);
    return rc;
}

static int apply_facts(void *user, const struct dd_facts *facts, struct dd_error *error)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < facts->len; i++)
        rc = dd_execution_apply(user, &facts->items[i], error);
    return rc;
}

int dd_journal_load(struct dd_journal *journal, struct dd_uuid id,
                    struct dd_execution *execution, uint32_t *out_records,
                    struct dd_error *error)
{
    uint32_t records = 0;
    int rc = walk(journal, id, 0, apply_facts, execution, &records, error);

    if (rc == 0)
        *out_records = records;
    return rc;
}

uint64_t dd_journal_position(const struct dd_journal *journal, struct dd_uuid id)
{
    const struct tail_entry *entry = tail_get(journal, id);

    return entry && entry->positions_len > 0 ? entry->positions[entry->positions_len - 1] : 0;
}

struct facts_visit {
    bool (*visit)(void *user, const struct dd_fact *fact);
    void *user;
};

#define VISIT_ENDED 1

static int visit_facts(void *user, const struct dd_facts *facts, struct dd_error *error)
{
    const struct facts_visit *visit = user;

    (void)error;
    for (size_t i = 0; i < facts->len; i++)
        if (!visit->visit(visit->user, &facts->items[i]))
            return VISIT_ENDED;
    return 0;
}

int dd_journal_facts(struct dd_journal *journal, struct dd_uuid id, uint32_t event,
                     bool (*visit)(void *user, const struct dd_fact *fact), void *user,
                     struct dd_error *error)
{
    struct facts_visit facts = {.visit = visit, .user = user};
    uint32_t records;
    int rc = walk(journal, id, event, visit_facts, &facts, &records, error);

    return rc == VISIT_ENDED ? 0 : rc;
}

/* --- heads and names --------------------------------------------------------------------- */

static void head_copy(struct dd_head *to, const struct dd_head *from)
{
    *to = *from;
    to->function = dd_text_ref(from->function);
    to->name = dd_text_ref(from->name);
}

int dd_journal_head(struct dd_journal *journal, struct dd_uuid id, struct dd_head *out_head,
                    struct dd_error *error)
{
    const struct tail_entry *entry = tail_get(journal, id);
    char text[DD_UUID_TEXT_LEN + 1];
    int rc;

    if (entry && entry->removed)
        return not_found(error, id);
    if (entry && entry->damaged) {
        dd_uuid_format(id, text);
        return dd_fail(error, DD_STORE_CORRUPT, "execution %s is damaged; run `durabled check`",
                       text);
    }
    if (entry) {
        head_copy(out_head, &entry->head);
        return 0;
    }
    rc = table_head(journal, id, out_head, error);
    if (rc == 0)
        return not_found(error, id);
    return rc > 0 ? 0 : rc;
}

bool dd_journal_identity(struct dd_journal *journal, struct dd_uuid id,
                         struct dd_head *out_head)
{
    const struct tail_entry *entry = tail_get(journal, id);
    struct dd_error error;

    if (!entry || !entry->head.function)
        return table_head(journal, id, out_head, &error) == 1;
    head_copy(out_head, &entry->head);
    return true;
}

bool dd_journal_find(struct dd_journal *journal, struct dd_span function, struct dd_span name,
                     struct dd_uuid *out_id)
{
    const struct tail_entry *entry;
    struct store_key key;

    if (function.len > DD_FUNCTION_NAME_MAX || name.len > DD_EXECUTION_NAME_MAX)
        return false;
    key_name(&key, function, name);
    entry = dd_map_get(&journal->fresh_names, key_span(&key));
    if (entry) {
        *out_id = entry->id;
        return true;
    }
    if (table_get(journal, DD_TABLE_NAMES, key_span(&key), &journal->scratch, NULL) != 1 ||
        journal->scratch.len != KEY_ID)
        return false;
    *out_id = uuid_at(journal->scratch.data);
    entry = tail_get(journal, *out_id);
    return !entry || !entry->removed;
}

/* --- the list ---------------------------------------------------------------------------- */

struct list {
    struct dd_journal *journal;
    struct dd_uuid *tail; /* ids of the tail, in the order of the list */
    size_t tail_len, tail_at;
    const struct dd_uuid *after; /* where the list goes on; NULL: from its first */
    bool oldest_first;
    size_t left;
    bool (*visit)(void *user, const struct dd_head *head);
    void *user;
    bool ended;
};

static int newest_first(const void *a, const void *b)
{
    const struct dd_uuid *x = a, *y = b;

    return dd_uuid_compare(*y, *x);
}

static int oldest_first(const void *a, const void *b)
{
    return newest_first(b, a);
}

/* Whether `a` comes before `b` in the list. */
static bool precedes(const struct list *list, const struct dd_uuid *a, const struct dd_uuid *b)
{
    int order = dd_uuid_compare(*a, *b);

    return list->oldest_first ? order < 0 : order > 0;
}

/* Whether the list, as far as it went before, has had `id`. */
static bool is_past(const struct list *list, const struct dd_uuid *id)
{
    return list->after && !precedes(list, list->after, id);
}

static void list_visit(struct list *list, const struct dd_head *head)
{
    if (list->left == 0) {
        list->ended = true;
        return;
    }
    list->left--;
    list->ended = !list->visit(list->user, head);
}

/* Visits what the tail has from where the list is up to before `id` (NULL: all). */
static void list_tail(struct list *list, const struct dd_uuid *id)
{
    while (!list->ended && list->tail_at < list->tail_len) {
        const struct tail_entry *entry;

        if (id && precedes(list, id, &list->tail[list->tail_at]))
            return;
        entry = tail_get(list->journal, list->tail[list->tail_at++]);
        if (!entry->removed && !entry->damaged)
            list_visit(list, &entry->head);
    }
}

static bool visit_head(void *user, struct dd_span key, struct dd_span value)
{
    struct list *list = user;
    struct dd_head head = {0};
    struct dd_uuid id;

    if (key.len != KEY_ID)
        return true;
    id = uuid_at(key.data);
    if (is_past(list, &id))
        return true;
    list_tail(list, &id);
    if (list->ended)
        return false;
    if (tail_get(list->journal, id) || dd_head_decode(value, &head, NULL) != 0)
        return true;
    list_visit(list, &head);
    head_deinit(&head);
    return !list->ended;
}

bool dd_journal_list(struct dd_journal *journal, const struct dd_uuid *after, bool oldest,
                     size_t heads_max, bool (*visit)(void *user, const struct dd_head *head),
                     void *user)
{
    struct list list = {.journal = journal,
                        .after = after,
                        .oldest_first = oldest,
                        .left = heads_max,
                        .visit = visit,
                        .user = user};
    struct dd_store *store = journal->config.store;
    struct tail_entry *entry;
    size_t at = 0;

    list.tail = dd_alloc_array(journal->tail.len + 1, sizeof(*list.tail));
    while ((entry = dd_map_next(&journal->tail, &at)) != NULL)
        if (!is_past(&list, &entry->id))
            list.tail[list.tail_len++] = entry->id;
    qsort(list.tail, list.tail_len, sizeof(*list.tail), oldest ? oldest_first : newest_first);
    (void)store->ops->scan(store, DD_TABLE_HEADS, after ? id_span(after) : DD_SPAN_NONE,
                           !oldest, visit_head, &list, NULL);
    list_tail(&list, NULL);
    dd_free(list.tail);
    return list.ended;
}
