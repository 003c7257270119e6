/* Verification of a whole store, in passes that each walk one table and look the
 * other end up: so memory does not grow with the store. A pass reads a bounded
 * number of entries, closes its scan, and then checks each of them. */
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "codec/record.h"
#include "engine/journal_priv.h"

#define PASS_MAX 64

struct check {
    struct dd_journal *journal;
    void (*report)(void *user, const struct dd_error *finding);
    void *user;
    size_t findings;
    struct dd_buf value; /* of a look-up */
};

static void found(struct check *check, const struct dd_error *finding)
{
    check->findings++;
    check->report(check->user, finding);
}

static void found_of(struct check *check, struct dd_uuid id, const char *fmt, ...)
    DD_PRINTF(3, 4);

static void found_of(struct check *check, struct dd_uuid id, const char *fmt, ...)
{
    char uuid[DD_UUID_TEXT_LEN + 1], what[160];
    struct dd_error finding;
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    dd_uuid_format(id, uuid);
    (void)dd_fail(&finding, DD_STORE_CORRUPT, "execution %s: %s", uuid, what);
    found(check, &finding);
}

/* --- passes ------------------------------------------------------------------------------ */

/* A chunk of one table: keys and values as copies. */
struct chunk {
    struct dd_buf bytes;
    struct {
        size_t key_at, key_len, value_len;
    } items[PASS_MAX];
    size_t len;
};

static bool visit_chunk(void *user, struct dd_span key, struct dd_span value)
{
    struct chunk *chunk = user;

    chunk->items[chunk->len].key_at = chunk->bytes.len;
    chunk->items[chunk->len].key_len = key.len;
    chunk->items[chunk->len].value_len = value.len;
    dd_buf_append_span(&chunk->bytes, key);
    dd_buf_append_span(&chunk->bytes, value);
    if (chunk->bytes.failed)
        return false;
    chunk->len++;
    return chunk->len < PASS_MAX && chunk->bytes.len < DD_FRAME_MAX;
}

typedef void (*check_fn)(struct check *check, struct dd_span key, struct dd_span value);

static void pass(struct check *check, enum dd_table table, check_fn fn)
{
    struct dd_store *store = check->journal->config.store;
    struct chunk *chunk = dd_alloc(sizeof(*chunk));
    struct store_key from = {.len = 0};
    struct dd_error error;
    int rc;

    dd_buf_init(&chunk->bytes, DD_STORE_BATCH_MAX);
    do {
        dd_buf_clear(&chunk->bytes);
        chunk->len = 0;
        rc = store->ops->scan(store, table, from.len ? key_span(&from) : DD_SPAN_NONE, false,
                              visit_chunk, chunk, &error);
        if (rc == 0 && chunk->bytes.failed)
            rc = dd_fail(&error, DD_NO_MEMORY, "out of memory for a part of the store");
        if (rc != 0) {
            found(check, &error);
            break;
        }
        for (size_t i = 0; i < chunk->len; i++) {
            const char *at = chunk->bytes.data + chunk->items[i].key_at;
            struct dd_span key = dd_span_make(at, chunk->items[i].key_len);

            fn(check, key, dd_span_make(at + key.len, chunk->items[i].value_len));
            /* The next chunk begins behind this key: the same bytes and a zero. */
            memcpy(from.data, key.data, key.len);
            from.len = key.len + 1;
            from.data[key.len] = 0;
        }
    } while (chunk->len > 0 && from.len <= DD_STORE_KEY_MAX);
    dd_buf_deinit(&chunk->bytes);
    dd_free(chunk);
}

static bool is_removed(struct check *check, struct dd_uuid id)
{
    const struct tail_entry *entry = tail_get(check->journal, id);

    return (entry && entry->removed) ||
           table_get(check->journal, DD_TABLE_REMOVALS, id_span(&id), &check->value, NULL) == 1;
}

/* The latest head: 1, 0 when there is none, negative when it is damaged. */
static int latest_head(struct check *check, struct dd_uuid id, struct dd_head *out_head)
{
    struct tail_entry *entry = tail_get(check->journal, id);

    if (!entry || entry->damaged)
        return table_head(check->journal, id, out_head, NULL);
    *out_head = entry->head;
    out_head->function = dd_text_ref(entry->head.function);
    out_head->name = dd_text_ref(entry->head.name);
    return 1;
}

/* --- the journal ------------------------------------------------------------------------- */

/* Where record `number` is said to be: in the tail or the index. 0: nowhere. */
static uint64_t position_of(struct check *check, const struct dd_head *head, uint32_t number)
{
    const struct tail_entry *entry = tail_get(check->journal, head->id);
    uint32_t indexed = head->records - (entry ? entry->positions_len : 0);
    struct store_key key;

    if (entry && number - RECORD_FIRST >= indexed)
        return entry->positions[number - RECORD_FIRST - indexed];
    key_index(&key, head->id, number);
    if (table_get(check->journal, DD_TABLE_INDEX, key_span(&key), &check->value, NULL) != 1 ||
        check->value.len != 8)
        return 0;
    return get_u64(check->value.data);
}

static void check_record(struct check *check, struct dd_span key, struct dd_span value)
{
    uint64_t position = key.len == 8 ? get_u64(key.data) : 0;
    struct dd_record_header header;
    struct dd_facts facts = {0};
    struct dd_error error, finding;
    struct dd_uuid id;
    struct dd_head head;
    int rc = dd_record_decode(value, &header, &facts, &error);

    if (rc != 0 || position == 0) {
        (void)dd_fail(&finding, DD_STORE_CORRUPT, "journal record %llu: %.200s",
                      (unsigned long long)position, rc ? error.text : "its key is damaged");
        found(check, &finding);
    }
    if (rc != 0)
        return;
    id = header.head.id;
    head_deinit(&header.head);
    dd_facts_deinit(&facts);
    if (position == 0)
        return;
    rc = latest_head(check, id, &head);
    if (rc == 1) {
        if (header.number - RECORD_FIRST >= head.records)
            found_of(check, id, "journal record %llu is beyond what its head counts",
                     (unsigned long long)position);
        else if (position_of(check, &head, header.number) != position)
            found_of(check, id, "journal record %llu is not in its index",
                     (unsigned long long)position);
        head_deinit(&head);
    } else if (rc == 0 && !is_removed(check, id)) {
        found_of(check, id, "journal record %llu belongs to no execution",
                 (unsigned long long)position);
    }
}

/* --- heads ------------------------------------------------------------------------------- */

static void check_there(struct check *check, enum dd_table table, const struct store_key *key,
                        struct dd_span value, struct dd_uuid id, const char *what)
{
    int rc = table_get(check->journal, table, key_span(key), &check->value, NULL);

    if (rc != 1 || !dd_span_equal(dd_buf_span(&check->value), value))
        found_of(check, id, "%s", what);
}

/* What a head in HEADS implies for the other tables. */
static void check_derived(struct check *check, const struct dd_head *head)
{
    struct store_key key;

    key_name(&key, dd_text_span(head->function), dd_text_span(head->name));
    check_there(check, DD_TABLE_NAMES, &key, id_span(&head->id), head->id,
                "its name is not in the table of names");
    if (head->next_due_ms != 0) {
        key_due(&key, head->next_due_ms, head->id);
        check_there(check, DD_TABLE_DUE, &key, DD_SPAN(""), head->id,
                    "its due time is not in the table of due times");
    }
    if (head->work != DD_WORK_NONE) {
        key_work(&key, head);
        check_there(check, DD_TABLE_WORK, &key, DD_SPAN(""), head->id,
                    "its work is not in the table of work");
    }
}

/* Every record that the head counts is there and is the right one. */
static void check_records_of(struct check *check, const struct dd_head *head)
{
    struct dd_record_header header;
    struct dd_error error;
    uint64_t position;
    bool right;

    for (uint32_t i = 0; i < head->records; i++) {
        position = position_of(check, head, RECORD_FIRST + i);
        if (position == 0) {
            found_of(check, head->id, "its record %u is missing from the index", i + 1);
            continue;
        }
        if (record_read(check->journal, position, &error) != 1) {
            found_of(check, head->id, "its record %u is missing from the journal", i + 1);
            continue;
        }
        /* The pass over the journal tells of records that do not decode. */
        if (dd_record_header(dd_buf_span(&check->journal->record), &header, &error) != 0)
            continue;
        right =
            dd_uuid_compare(header.head.id, head->id) == 0 && header.number == RECORD_FIRST + i;
        head_deinit(&header.head);
        if (!right)
            found_of(check, head->id, "its record %u is another's", i + 1);
    }
}

static void check_head(struct check *check, struct dd_span key, struct dd_span value)
{
    struct dd_head folded, head;
    struct dd_error error = {0};
    struct dd_uuid id;

    if (key.len != KEY_ID) {
        (void)dd_fail(&error, DD_STORE_CORRUPT, "a key of the table of heads is damaged");
        found(check, &error);
        return;
    }
    id = uuid_at(key.data);
    memset(&folded, 0, sizeof(folded));
    if (dd_head_decode(value, &folded, &error) != 0) {
        found_of(check, id, "its head is damaged");
        return;
    }
    if (dd_uuid_compare(folded.id, id) != 0)
        found_of(check, id, "its head is another's");
    else
        check_derived(check, &folded);
    head_deinit(&folded);
    if (latest_head(check, id, &head) == 1) {
        check_records_of(check, &head);
        head_deinit(&head);
    }
}

/* Executions that are only in the tail. */
static void check_tail(struct check *check)
{
    struct tail_entry *entry;
    size_t at = 0;

    while ((entry = dd_map_next(&check->journal->tail, &at)) != NULL) {
        if (entry->damaged)
            found_of(check, entry->id, "its head is damaged");
        else if (entry->fresh && !entry->removed)
            check_records_of(check, &entry->head);
    }
}

/* --- what points at heads ---------------------------------------------------------------- */

static void check_index(struct check *check, struct dd_span key, struct dd_span value)
{
    struct dd_head head;
    struct dd_uuid id;
    uint32_t number;
    int rc;

    if (key.len != KEY_INDEX || value.len != 8) {
        struct dd_error finding;

        (void)dd_fail(&finding, DD_STORE_CORRUPT, "an entry of the index is damaged");
        found(check, &finding);
        return;
    }
    id = uuid_at(key.data);
    number = get_u32(key.data + KEY_ID);
    rc = latest_head(check, id, &head);
    if (rc == 0 && !is_removed(check, id))
        found_of(check, id, "index entry %u belongs to no execution", number);
    if (rc != 1)
        return;
    if (number - RECORD_FIRST >= head.records)
        found_of(check, id, "index entry %u is beyond what its head counts", number);
    head_deinit(&head);
}

/* An entry that is derived from the folded head of `id` alone. */
static void check_derived_entry(struct check *check, struct dd_uuid id, struct dd_span key,
                                enum dd_table table)
{
    struct store_key expected = {.len = 0};
    struct dd_head head;
    int rc = table_head(check->journal, id, &head, NULL);

    if (rc == 1) {
        if (table == DD_TABLE_NAMES)
            key_name(&expected, dd_text_span(head.function), dd_text_span(head.name));
        else if (table == DD_TABLE_DUE)
            key_due(&expected, head.next_due_ms, id);
        else
            key_work(&expected, &head);
        head_deinit(&head);
    }
    if (rc >= 0 && !dd_span_equal(key_span(&expected), key))
        found_of(check, id, "an entry of table %d does not agree with its head", (int)table);
}

static void check_name(struct check *check, struct dd_span key, struct dd_span value)
{
    static const struct dd_uuid none;

    check_derived_entry(check, value.len == KEY_ID ? uuid_at(value.data) : none, key,
                        DD_TABLE_NAMES);
}

static void check_due(struct check *check, struct dd_span key, struct dd_span value)
{
    static const struct dd_uuid none;

    (void)value;
    check_derived_entry(check, key.len == KEY_DUE ? uuid_at(key.data + 8) : none, key,
                        DD_TABLE_DUE);
}

static void check_work(struct check *check, struct dd_span key, struct dd_span value)
{
    static const struct dd_uuid none;

    (void)value;
    check_derived_entry(check, key.len > 24 ? uuid_at(key.data + key.len - KEY_ID) : none, key,
                        DD_TABLE_WORK);
}

static void check_log(struct check *check, struct dd_span key, struct dd_span value)
{
    static const struct dd_uuid none;
    struct dd_span line;

    if (key.len != KEY_LOG || !log_line_read(value, &line))
        found_of(check, key.len >= KEY_ID ? uuid_at(key.data) : none, "a log line is damaged");
}

size_t dd_journal_check(struct dd_journal *journal,
                        void (*report)(void *user, const struct dd_error *finding), void *user)
{
    struct check check = {.journal = journal, .report = report, .user = user};
    struct dd_error finding;

    dd_buf_init(&check.value, DD_STORE_BATCH_MAX);
    pass(&check, DD_TABLE_JOURNAL, check_record);
    pass(&check, DD_TABLE_HEADS, check_head);
    check_tail(&check);
    pass(&check, DD_TABLE_INDEX, check_index);
    pass(&check, DD_TABLE_NAMES, check_name);
    pass(&check, DD_TABLE_DUE, check_due);
    pass(&check, DD_TABLE_WORK, check_work);
    pass(&check, DD_TABLE_LOGS, check_log);
    if (journal->functions_damaged) {
        (void)dd_fail(&finding, DD_STORE_CORRUPT, "the registration of a function is damaged");
        found(&check, &finding);
    }
    dd_buf_deinit(&check.value);
    return check.findings;
}
