/* The log in front of LMDB. A commit of records alone, as nearly all are, is one append and
 * one sync of a file that lies ready; LMDB would write five scattered pages for it. A commit
 * of anything else is LMDB's, and takes along what the log holds, which is then empty; folding
 * sees to it that one comes within half a second.
 *
 * Positions only grow, so the records of the log come after those of the table, and a scan of
 * the journal goes over both. The number of the log's last frame in the table of META, in the
 * same transaction, tells at the next start what is already there. It stands there before the
 * log is used, so that a log which is missing is missed.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/limits.h"
#include "io/store_lmdb_priv.h"

/* The mark: a number, and a checksum over the name and the number. */
#define MARK_NAME "wal"
#define MARK_BYTES 16

static uint64_t mark_sum(uint64_t sequence)
{
    return dd_checksum64(DD_SPAN(MARK_NAME)) ^
           dd_checksum64(dd_span_make(&sequence, sizeof(sequence)));
}

/* `*out_there` false: the store has no log yet. */
static int mark_read(struct store_lmdb *s, bool *out_there, uint64_t *out_sequence,
                     struct dd_error *error)
{
    MDB_val key = {sizeof(MARK_NAME) - 1, MARK_NAME}, value;
    uint64_t mark[MARK_BYTES / 8];
    MDB_txn *txn;
    int rc;

    *out_there = false;
    *out_sequence = 0;
    if (!s->has_dbi[DD_TABLE_META])
        return 0;
    rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return dd_fail(error, DD_SYSTEM, "read %s: %s", s->dir, mdb_strerror(rc));
    rc = mdb_get(txn, s->dbis[DD_TABLE_META], &key, &value);
    if (rc == 0 && value.mv_size == sizeof(mark))
        memcpy(mark, value.mv_data, sizeof(mark));
    else if (rc == 0)
        rc = MDB_CORRUPTED;
    mdb_txn_abort(txn);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0 || mark[1] != mark_sum(mark[0]))
        return dd_fail(error, DD_STORE_CORRUPT,
                       "the store's \"" MARK_NAME "\" is damaged; restore its directory from a "
                       "backup");
    *out_there = true;
    *out_sequence = mark[0];
    return 0;
}

int store_log_mark(struct store_lmdb *s, MDB_txn *txn)
{
    uint64_t number = wal_mark(&s->wal);
    uint64_t mark[MARK_BYTES / 8] = {number, mark_sum(number)};
    MDB_val key = {sizeof(MARK_NAME) - 1, MARK_NAME}, value = {sizeof(mark), mark};

    return mdb_put(txn, s->dbis[DD_TABLE_META], &key, &value, 0);
}

/* --- the index --------------------------------------------------------------------------- */

static uint64_t position_of(const void *key)
{
    const uint8_t *bytes = key;
    uint64_t position = 0;

    for (int i = 0; i < POSITION_BYTES; i++)
        position = position << 8 | bytes[i];
    return position;
}

static void index_batch(struct store_lmdb *s, const struct dd_batch *batch)
{
    struct dd_batch_op op;
    size_t at = 0;

    while (dd_batch_next(batch, &at, &op)) {
        if (s->logged_len == s->logged_cap) {
            s->logged_cap = s->logged_cap ? 2 * s->logged_cap : 64;
            s->logged = dd_realloc_array(s->logged, s->logged_cap, sizeof(*s->logged));
        }
        if (s->logged_len == 0)
            s->logged_first = position_of(op.key.data);
        s->logged[s->logged_len++] =
            (struct logged_record){op.key.data, (uint32_t)op.value.len};
    }
}

bool store_log_next(const struct store_lmdb *s, uint64_t *at, struct dd_batch *out_batch)
{
    struct dd_span payload;

    if (!wal_next(&s->wal, at, &payload))
        return false;
    *out_batch =
        (struct dd_batch){.ops = {.data = (char *)(uintptr_t)payload.data, .len = payload.len}};
    return true;
}

bool store_log_takes(const struct store_lmdb *s, const struct dd_batch *batch)
{
    uint64_t next = s->logged_first + s->logged_len;
    struct dd_batch_op op;
    size_t at = 0;

    for (bool first = s->logged_len == 0; dd_batch_next(batch, &at, &op); first = false) {
        if (op.table != DD_TABLE_JOURNAL || !op.value.data || op.key.len != POSITION_BYTES)
            return false;
        if (!first && position_of(op.key.data) != next)
            return false;
        next = position_of(op.key.data) + 1;
    }
    return batch->len > 0;
}

void store_log_reported(struct store_lmdb *s)
{
    struct dd_batch batch;

    if (s->in_log && store_log_next(s, &s->logged_end, &batch))
        index_batch(s, &batch);
    else
        s->logged_len = s->logged_end = 0;
}

static struct dd_span logged_key(const struct store_lmdb *s, size_t at)
{
    return dd_span_make(s->logged[at].key, POSITION_BYTES);
}

bool store_log_begins(const struct store_lmdb *s, struct dd_span key)
{
    return s->logged_len > 0 && dd_span_compare(key, logged_key(s, 0)) >= 0;
}

void store_log_scan(const struct store_lmdb *s, struct dd_span from, dd_store_visit visit,
                    void *user)
{
    size_t at = 0;

    if (from.data && store_log_begins(s, from) && from.len >= POSITION_BYTES)
        at = (size_t)(position_of(from.data) - s->logged_first);
    if (from.data && at < s->logged_len && dd_span_compare(logged_key(s, at), from) < 0)
        at++; /* `from` is a position with something behind it */
    for (; at < s->logged_len; at++) {
        const char *key = s->logged[at].key;

        if (!visit(user, dd_span_make(key, POSITION_BYTES),
                   dd_span_make(key + POSITION_BYTES, s->logged[at].value_len)))
            return;
    }
}

/* --- opening ----------------------------------------------------------------------------- */

int store_log_open(struct store_lmdb *s, bool fresh, struct dd_error *error)
{
    struct dd_batch batch;
    uint64_t applied;
    char path[4096];
    int rc = mark_read(s, &s->log_marked, &applied, error);

    if (rc != 0)
        return rc;
    store_path(s->dir, "wal", path);
    if (fresh)
        (void)unlink(path);
    rc = wal_open(&s->wal, path, s->readonly, applied, error);
    if (rc == 0 && s->log_marked && s->wal.fd < 0)
        rc = dd_fail(error, DD_STORE_CORRUPT,
                     "%s is missing; restore the whole directory from a backup", path);
    while (rc == 0 && store_log_next(s, &s->logged_end, &batch))
        index_batch(s, &batch);
    return rc;
}

void store_log_close(struct store_lmdb *s)
{
    wal_close(&s->wal);
    dd_free(s->logged);
}

/* --- the writer's part ------------------------------------------------------------------- */

void store_log_make(struct store_lmdb *s)
{
    uint64_t bytes =
        s->map_bytes / 16 < DD_STORE_WAL_BYTES ? s->map_bytes / 16 : DD_STORE_WAL_BYTES;
    uint64_t disk_free, disk_size;
    struct dd_error error;
    char path[4096];

    store_disk(s->dir, &disk_free, &disk_size);
    if (s->wal.fd >= 0 || disk_free < 4 * bytes)
        return;
    store_path(s->dir, "wal", path);
    /* Without a log commits are LMDB's. */
    if (wal_make(path, bytes / s->page_size * s->page_size) == 0 &&
        wal_open(&s->wal, path, false, s->wal.sequence, &error) != 0)
        wal_close(&s->wal);
}

int store_log_append(struct store_lmdb *s)
{
    return wal_append(&s->wal, dd_span_make(s->batch->ops.data, s->batch->ops.len));
}
