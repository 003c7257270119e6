/* Opening, appending and committing. journal_priv.h has the map of the files. */
#include "base/alloc.h"
#include "base/digest.h"
#include "codec/record.h"
#include "engine/journal_priv.h"

/* Records read at once while opening. */
#define REPLAY_MAX 64

/* --- write sets -------------------------------------------------------------------------- */

static void write_set_init(struct write_set *set)
{
    memset(set, 0, sizeof(*set));
    dd_batch_init(&set->batch);
}

static void write_set_clear(struct write_set *set)
{
    dd_batch_clear(&set->batch);
    set->last = 0;
    set->slots_len = 0;
}

static void write_set_deinit(struct write_set *set)
{
    dd_batch_deinit(&set->batch);
    dd_free(set->slots);
}

static void write_set_swap(struct write_set *a, struct write_set *b)
{
    struct write_set other = *a;

    *a = *b;
    *b = other;
}

/* Puts and remembers where the value lies. False when there is no room. */
static bool write_set_put_record(struct write_set *set, uint64_t position, struct dd_span value)
{
    struct dd_batch mark = set->batch;
    struct store_key key;

    key_position(&key, position);
    dd_batch_put(&set->batch, DD_TABLE_JOURNAL, key_span(&key), value);
    if (set->batch.ops.failed) {
        dd_batch_rewind(&set->batch, &mark);
        return false;
    }
    if (set->slots_len == set->slots_cap) {
        set->slots_cap = set->slots_cap ? set->slots_cap * 2 : 64;
        set->slots = dd_realloc_array(set->slots, set->slots_cap, sizeof(*set->slots));
    }
    set->slots[set->slots_len++] = (struct record_slot){
        .position = position, .at = set->batch.ops.len - value.len, .len = value.len};
    set->last = position;
    return true;
}

/* --- opening ----------------------------------------------------------------------------- */

/* The checksum behind a value of META. "version" has none, so that every release
 * can read it. */
static void meta_seal(struct dd_span name, char *value, size_t len)
{
    put_u64(value + len, dd_checksum64(dd_span_make(value, len)) ^ dd_checksum64(name));
}

/* Reads `len` bytes and, when `sealed`, the checksum behind them. */
static int meta_get(struct dd_journal *journal, struct dd_span name, size_t len, bool sealed,
                    char *out, struct dd_error *error)
{
    struct dd_buf *value = &journal->scratch;
    int rc = table_get(journal, DD_TABLE_META, name, value, error);
    char seal[8 + 32 + 8];
    bool right;

    if (rc <= 0)
        return rc;
    dd_assert(len + 8 <= sizeof(seal));
    right = value->len == len + (sealed ? 8 : 0);
    if (right && sealed) {
        memcpy(seal, value->data, len);
        meta_seal(name, seal, len);
        right = memcmp(seal, value->data, len + 8) == 0;
    }
    if (!right)
        return dd_fail(error, DD_STORE_CORRUPT,
                       "the store's \"%s\" is damaged; restore its directory from a backup",
                       name.data);
    memcpy(out, value->data, len);
    return 1;
}

static bool visit_any(void *user, struct dd_span key, struct dd_span value)
{
    (void)key;
    (void)value;
    *(bool *)user = true;
    return false;
}

void meta_put_mark(struct dd_batch *batch, uint64_t mark)
{
    char value[8 + 8];

    put_u64(value, mark);
    meta_seal(DD_SPAN("fold"), value, 8);
    dd_batch_put(batch, DD_TABLE_META, DD_SPAN("fold"), dd_span_make(value, sizeof(value)));
}

static void put_version(struct dd_journal *journal)
{
    char version[4];

    put_u32(version, STORE_VERSION);
    dd_batch_put(&journal->pending.batch, DD_TABLE_META, DD_SPAN("version"),
                 dd_span_make(version, sizeof(version)));
}

/* A store without a version is a new one, or not whole. */
static int found(struct dd_journal *journal, const uint8_t random[32], struct dd_error *error)
{
    static const enum dd_table tables[] = {DD_TABLE_META, DD_TABLE_JOURNAL, DD_TABLE_HEADS};
    struct dd_store *store = journal->config.store;
    char secret[32 + 8];
    bool any = false;

    for (size_t i = 0; i < DD_COUNT(tables); i++) {
        int rc =
            store->ops->scan(store, tables[i], DD_SPAN_NONE, false, visit_any, &any, error);

        if (rc != 0)
            return rc;
    }
    if (any)
        return dd_fail(error, DD_STORE_CORRUPT,
                       "the store has executions but no version; restore its directory from a "
                       "backup");
    memcpy(journal->secret, random, sizeof(journal->secret));
    put_version(journal);
    memcpy(secret, random, sizeof(journal->secret));
    meta_seal(DD_SPAN("secret"), secret, sizeof(journal->secret));
    dd_batch_put(&journal->pending.batch, DD_TABLE_META, DD_SPAN("secret"),
                 dd_span_make(secret, sizeof(secret)));
    return 0;
}

static int load_meta(struct dd_journal *journal, const uint8_t random[32],
                     struct dd_error *error)
{
    char version[4], mark[8];
    int rc = meta_get(journal, DD_SPAN("version"), sizeof(version), false, version, error);

    if (rc <= 0)
        return rc < 0 ? rc : found(journal, random, error);
    if (get_u32(version) > STORE_VERSION)
        return dd_fail(
            error, DD_STORE_VERSION,
            "the store has version %u and this durabled knows %u; use a newer durabled",
            get_u32(version), STORE_VERSION);
    if (get_u32(version) < STORE_VERSION && !journal->config.verify)
        put_version(journal);
    rc = meta_get(journal, DD_SPAN("secret"), sizeof(journal->secret), true,
                  (char *)journal->secret, error);
    if (rc == 0)
        return dd_fail(error, DD_STORE_CORRUPT,
                       "the store has lost its secret; restore its directory from a backup");
    if (rc > 0)
        rc = meta_get(journal, DD_SPAN("fold"), sizeof(mark), true, mark, error);
    if (rc > 0)
        journal->folded = get_u64(mark);
    return rc < 0 ? rc : 0;
}

/* Records of the tail, as they are read. */
struct replay {
    struct replayed {
        uint64_t position;
        struct dd_record_header header;
    } items[REPLAY_MAX];
    size_t len;
    uint64_t damaged; /* position of the first that is; 0: none */
    struct dd_error error;
};

static bool visit_replay(void *user, struct dd_span key, struct dd_span value)
{
    struct replay *replay = user;
    struct replayed *item = &replay->items[replay->len];

    if (key.len != 8)
        return true;
    item->position = get_u64(key.data);
    if (dd_record_header(value, &item->header, &replay->error) == 0)
        return ++replay->len < REPLAY_MAX;
    replay->damaged = item->position;
    return false;
}

static int replay_one(struct dd_journal *journal, const struct replayed *item,
                      struct dd_error *error)
{
    const struct dd_head *head = &item->header.head;
    struct tail_entry *entry;
    int rc;

    if (journal->removals) {
        rc =
            table_get(journal, DD_TABLE_REMOVALS, id_span(&head->id), &journal->scratch, error);
        if (rc != 0)
            return rc < 0 ? rc : 0;
    }
    rc = tail_touch(journal, head->id, true, &entry, error);
    if (rc == DD_STORE_CORRUPT) {
        tail_damage(journal, head->id);
        return 0;
    }
    /* A fold may have gone ahead of the mark. Numbers that leave a gap are
     * seen when the execution is loaded. */
    if (rc != 0 || entry->damaged || item->header.number < RECORD_FIRST + entry->head.records)
        return rc;
    tail_set_head(journal, entry, head, true);
    entry->head.records = item->header.number - RECORD_FIRST + 1;
    tail_add_position(journal, entry, item->position);
    return 0;
}

static int replay_some(struct dd_journal *journal, struct replay *replay, uint64_t from,
                       struct dd_error *error)
{
    struct dd_store *store = journal->config.store;
    struct store_key key;
    int rc;

    key_position(&key, from);
    replay->len = 0;
    replay->damaged = 0;
    rc = store->ops->scan(store, DD_TABLE_JOURNAL, key_span(&key), false, visit_replay, replay,
                          error);
    for (size_t i = 0; i < replay->len; i++) {
        if (rc == 0)
            rc = replay_one(journal, &replay->items[i], error);
        head_deinit(&replay->items[i].header.head);
    }
    return rc;
}

/* Reads the records above the mark. One that is damaged may be anyone's last, so
 * the whole store is refused: an execution that lost its last record looks whole. */
static int replay_tail(struct dd_journal *journal, struct dd_error *error)
{
    struct replay *replay = dd_alloc(sizeof(*replay));
    uint64_t from = journal->folded + 1;
    int rc;

    do {
        rc = replay_some(journal, replay, from, error);
        if (replay->len > 0)
            from = replay->items[replay->len - 1].position + 1;
        if (rc == 0 && replay->damaged && !journal->config.verify)
            rc = dd_fail(
                error, DD_STORE_CORRUPT,
                "record %llu of the journal is damaged (%s); run `durabled check`, then "
                "restore the data directory from a backup",
                (unsigned long long)replay->damaged, replay->error.text);
        if (replay->damaged)
            from = replay->damaged + 1;
    } while (rc == 0 && (replay->len == REPLAY_MAX || replay->damaged));
    journal->next_position = from;
    journal->durable = from - 1;
    dd_free(replay);
    return rc;
}

static int load_removals(struct dd_journal *journal, struct dd_error *error)
{
    struct dd_store *store = journal->config.store;

    return store->ops->scan(store, DD_TABLE_REMOVALS, DD_SPAN_NONE, false, visit_any,
                            &journal->removals, error);
}

int dd_journal_open(const struct dd_journal_config *config, const uint8_t random[32],
                    struct dd_journal **out_journal, struct dd_error *error)
{
    struct dd_journal *journal = dd_alloc(sizeof(*journal));
    int rc;

    journal->config = *config;
    write_set_init(&journal->pending);
    write_set_init(&journal->flight);
    dd_list_init(&journal->unfolded);
    dd_list_init(&journal->in_flight);
    dd_list_init(&journal->removing);
    dd_heap_init(&journal->due);
    journal->due_partial = true;
    journal->due_max = DD_DUE_WINDOW_MAX;
    dd_buf_init(&journal->scratch, DD_STORE_BATCH_MAX);
    dd_buf_init(&journal->record, DD_STORE_BATCH_MAX);
    rc = load_meta(journal, random, error);
    if (rc == 0)
        rc = load_removals(journal, error);
    if (rc == 0)
        rc = replay_tail(journal, error);
    if (rc == 0)
        rc = functions_load(journal, error);
    if (rc != 0)
        dd_journal_close(journal);
    else
        *out_journal = journal;
    return rc;
}

void dd_journal_close(struct dd_journal *journal)
{
    dd_assert(!journal->committing);
    logs_free(journal);
    functions_free(journal);
    tail_free(journal);
    queues_free(journal);
    dd_heap_deinit(&journal->due);
    write_set_deinit(&journal->pending);
    write_set_deinit(&journal->flight);
    dd_buf_deinit(&journal->scratch);
    dd_buf_deinit(&journal->record);
    dd_free(journal);
}

const uint8_t *dd_journal_secret(const struct dd_journal *journal)
{
    return journal->secret;
}

/* --- appending --------------------------------------------------------------------------- */

uint64_t dd_journal_append(struct dd_journal *journal, struct dd_head *head,
                           const struct dd_facts *facts, int64_t now_ms)
{
    uint64_t position = journal->next_position;
    uint32_t records_before = head->records;
    struct tail_entry *entry;

    journal->now_ms = now_ms;
    if (journal->failed || tail_touch(journal, head->id, true, &entry, NULL) != 0)
        return 0;
    dd_assert(!entry->removed && !entry->damaged);
    head->records = entry->head.records + 1;
    dd_buf_clear(&journal->record);
    dd_record_encode(RECORD_FIRST + head->records - 1, head, facts, &journal->record);
    if (journal->record.failed ||
        !write_set_put_record(&journal->pending, position, dd_buf_span(&journal->record))) {
        head->records = records_before;
        /* An execution that never was leaves no trace. */
        if (entry->fresh && entry->head.records == 0)
            tail_drop(journal, entry);
        return 0;
    }
    journal->next_position++;
    tail_set_head(journal, entry, head, true);
    tail_add_position(journal, entry, position);
    return position;
}

void dd_journal_fail(struct dd_journal *journal, const struct dd_error *error)
{
    if (journal->failed)
        return;
    journal->failed = error->code;
    journal->failure = *error;
}

/* --- committing -------------------------------------------------------------------------- */

static void undo_riders(struct dd_journal *journal)
{
    dd_batch_rewind(&journal->flight.batch, &journal->flight_bare);
    in_flight_undo(journal);
    logs_undo(journal);
}

/* What is built while the disk is full is what makes room. */
static void build_riders(struct dd_journal *journal, bool tight)
{
    struct dd_batch *batch = &journal->flight.batch;
    struct dd_error error = {0};
    bool fold = !tight && fold_wanted(journal);
    int rc = remove_build(journal, batch, &error);

    if (rc == 0 && fold)
        rc = fold_build(journal, batch, &error);
    if (rc == 0 && !tight && (fold || logs_wanted(journal)))
        rc = logs_build(journal, batch, &error);
    if (rc == 0 && batch->ops.failed)
        rc = dd_fail(&error, DD_NO_MEMORY, "out of memory for a commit");
    if (rc != 0)
        undo_riders(journal);
    journal->trouble = error;
}

static void on_committed(void *user, int status, const struct dd_error *error);

/* Begins a commit of what is there; does nothing when nothing is. */
static void begin(struct dd_journal *journal)
{
    struct dd_store *store = journal->config.store;

    dd_assert(!journal->committing && dd_list_empty(&journal->in_flight));
    /* What met no room before comes first. */
    if (journal->flight.batch.len == 0)
        write_set_swap(&journal->flight, &journal->pending);
    journal->flight_bare = journal->flight.batch;
    /* When it was only the riders that met no room, they are tried again. */
    build_riders(journal, journal->retry_ms != 0 && journal->flight.batch.len > 0);
    if (journal->flight.batch.len == 0) {
        journal->retry_ms = 0;
        return;
    }
    journal->committing = true;
    store->ops->commit(store, &journal->flight.batch, on_committed, journal);
}

static void committed(struct dd_journal *journal)
{
    bool moved = journal->flight.last > journal->durable;

    journal->commits++;
    journal->retry_ms = 0;
    if (moved)
        journal->durable = journal->flight.last;
    in_flight_done(journal);
    logs_done(journal);
    write_set_clear(&journal->flight);
    if (moved)
        journal->config.on_durable(journal->config.user, 0, NULL);
    if (!journal->committing && !journal->failed &&
        (journal->pending.batch.len > 0 || remove_wanted(journal)))
        begin(journal);
}

static void on_committed(void *user, int status, const struct dd_error *error)
{
    struct dd_journal *journal = user;

    dd_assert(journal->committing);
    journal->committing = false;
    if (status == 0) {
        committed(journal);
    } else if (status == DD_STORE_FULL) {
        undo_riders(journal);
        journal->retry_ms = journal->now_ms + DD_STORE_RETRY_MS;
        if (error)
            journal->full = *error;
    } else {
        journal->failed = status;
        if (error)
            journal->failure = *error;
        journal->config.on_durable(journal->config.user, status, &journal->failure);
    }
}

void dd_journal_commit(struct dd_journal *journal, int64_t now_ms)
{
    journal->now_ms = now_ms;
    /* A clock that was set back must not hold the retry. */
    if (journal->retry_ms > now_ms + DD_STORE_RETRY_MS)
        journal->retry_ms = now_ms;
    if (journal->failed || journal->committing || now_ms < journal->retry_ms)
        return;
    begin(journal);
}

int64_t dd_journal_next_commit(const struct dd_journal *journal)
{
    int64_t next = journal->retry_ms;

    if (journal->failed || journal->committing)
        return 0;
    /* What could not be built is tried with the next commit. */
    if (next != 0 || journal->trouble.code)
        return next;
    if (!dd_list_empty(&journal->unfolded))
        next =
            dd_container_of(journal->unfolded.next, struct tail_entry, unfolded)->touched_ms +
            journal->config.fold_delay_ms;
    if (journal->logs_bytes > 0 &&
        (next == 0 || journal->logs_since_ms + journal->config.fold_delay_ms < next))
        next = journal->logs_since_ms + journal->config.fold_delay_ms;
    return next;
}

void dd_journal_flush(struct dd_journal *journal)
{
    journal->flushing = true;
}

uint64_t dd_journal_newest(const struct dd_journal *journal)
{
    return journal->next_position - 1;
}

uint64_t dd_journal_durable(const struct dd_journal *journal)
{
    return journal->durable;
}

void dd_journal_usage(struct dd_journal *journal, struct dd_store_usage *out_usage)
{
    journal->config.store->ops->usage(journal->config.store, out_usage);
}

uint64_t dd_journal_commits(const struct dd_journal *journal)
{
    return journal->commits;
}

bool dd_journal_idle(const struct dd_journal *journal)
{
    return !journal->committing && journal->pending.batch.len == 0 &&
           journal->flight.batch.len == 0 && dd_list_empty(&journal->removing) &&
           (!journal->flushing || (!fold_wanted(journal) && !logs_wanted(journal)));
}

int dd_journal_accepts(const struct dd_journal *journal, struct dd_error *error)
{
    struct dd_store *store = journal->config.store;
    struct dd_store_usage usage;
    uint64_t margin;

    if (journal->failed || journal->trouble.code) {
        if (error)
            *error = journal->failed ? journal->failure : journal->trouble;
        return journal->failed ? DD_STORE_FAILED : journal->trouble.code;
    }
    if (journal->retry_ms != 0) {
        if (error)
            *error = journal->full;
        return DD_STORE_FULL;
    }
    store->ops->usage(store, &usage);
    if (usage.used_bytes > usage.max_bytes / 100 * DD_STORE_HIGH_PERCENT)
        return dd_fail(
            error, DD_STORE_FULL,
            "the store uses %llu of its %llu MiB; new executions are refused until some "
            "end and their retention passes, or --map-size is raised",
            (unsigned long long)(usage.used_bytes >> 20),
            (unsigned long long)(usage.max_bytes >> 20));
    margin = usage.disk_bytes / 100 * (100 - DD_STORE_HIGH_PERCENT);
    if (margin > DD_STORE_DISK_MARGIN)
        margin = DD_STORE_DISK_MARGIN;
    if (usage.disk_free_bytes < margin)
        return dd_fail(
            error, DD_STORE_FULL,
            "the disk of the store has %llu MiB left; new executions are refused until "
            "it has %llu",
            (unsigned long long)(usage.disk_free_bytes >> 20),
            (unsigned long long)(margin >> 20) + 1);
    return 0;
}
