/* The writer thread of the LMDB store, and what it does about a lack of room.
 *
 * A commit that finds the disk full gives the reserve file back and runs once
 * more; the file is made anew when there is room again. A commit that found no
 * room leaves the store as it was (LMDB writes pages beside the old ones and
 * names them last), so it may be tried later. Any other failure ends the store:
 * after one failed sync the next may succeed over pages that never reached the
 * disk.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "io/store_lmdb_priv.h"

/* How often free pages are counted, and the reserve tried, at most. */
#define COUNT_INTERVAL_NS 200000000ull
#define COUNT_ALWAYS_MAX 256 /* entries of the free list */
#define RESERVE_INTERVAL_NS 1000000000ull
/* Above this part of the map the log is not used: what it holds must fit into the rest. */
#define LOG_PERCENT_MAX 80

static MDB_val to_val(struct dd_span span)
{
    return (MDB_val){.mv_size = span.len, .mv_data = (void *)(uintptr_t)span.data};
}

static int apply_op(struct store_lmdb *s, MDB_txn *txn, const struct dd_batch_op *op)
{
    MDB_val key = to_val(op->key), value = to_val(op->value);
    unsigned flags = 0;
    int rc;

    if (!op->value.data) {
        rc = mdb_del(txn, s->dbis[op->table], &key, NULL);
        return rc == MDB_NOTFOUND ? 0 : rc;
    }
    /* Positions only grow; saying so fills pages to the brim. */
    if (op->table == DD_TABLE_JOURNAL)
        flags = MDB_APPEND;
    return mdb_put(txn, s->dbis[op->table], &key, &value, flags);
}

static int apply_batch(struct store_lmdb *s, MDB_txn *txn, const struct dd_batch *batch)
{
    struct dd_batch_op op;
    size_t at = 0;
    int rc = 0;

    while (rc == 0 && dd_batch_next(batch, &at, &op))
        rc = apply_op(s, txn, &op);
    return rc;
}

static int apply_log(struct store_lmdb *s, MDB_txn *txn)
{
    struct dd_batch batch;
    uint64_t at = 0;
    int rc = 0;

    if (s->wal.fd < 0)
        return 0;
    while (rc == 0 && store_log_next(s, &at, &batch))
        rc = apply_batch(s, txn, &batch);
    return rc == 0 ? store_log_mark(s, txn) : rc;
}

static int commit_once(struct store_lmdb *s)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, 0, &txn);

    if (rc != 0)
        return rc;
    rc = apply_log(s, txn);
    if (rc == 0)
        rc = apply_batch(s, txn, s->batch);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static bool is_disk_full(int rc)
{
    return rc == ENOSPC || rc == EDQUOT;
}

/* LMDB says EIO, too, when the system took a part of a write because the rest
 * found no room. Either way nothing of the transaction counts, and a later one
 * writes each of its pages anew. */
static bool is_cut_write(struct store_lmdb *s, int rc)
{
    uint64_t pages = 16 + 4 * (uint64_t)s->batch->len;
    uint64_t disk_free, disk_size;

    if (rc != EIO)
        return false;
    store_disk(s->dir, &disk_free, &disk_size);
    return disk_size > 0 && disk_free < s->wal.end + s->batch->ops.len + pages * s->page_size;
}

static int commit_room(struct store_lmdb *s)
{
    int rc = commit_once(s);

    return is_cut_write(s, rc) ? ENOSPC : rc;
}

static int commit_with_reserve(struct store_lmdb *s)
{
    int rc = commit_room(s);

    if (is_disk_full(rc) && store_reserve_release(s->dir)) {
        s->reserve_there = false;
        rc = commit_room(s);
    }
    return rc;
}

static int commit(struct store_lmdb *s)
{
    int rc;

    if (s->for_log && s->log_marked && s->has_room && wal_fits(&s->wal, s->batch->ops.len)) {
        rc = store_log_append(s);
        s->in_log = !is_disk_full(rc);
        if (s->in_log)
            return rc;
    }
    /* Where no byte is written in place, the log may have met a full disk. */
    s->in_log = false;
    rc = commit_with_reserve(s);
    if (rc == 0 && s->wal.fd >= 0) {
        wal_clear(&s->wal);
        s->log_marked = true;
    }
    return rc;
}

/* Sums the free list: each value is a count and so many page numbers. */
static uint64_t count_free_pages(MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t pages = 0;
    size_t count;

    if (mdb_cursor_open(txn, 0, &cursor) != 0)
        return 0;
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        memcpy(&count, value.mv_data, sizeof(count));
        pages += count;
    }
    mdb_cursor_close(cursor);
    return pages;
}

/* Free pages matter only near the marks; counting them reads the free list, so a
 * long one is read a few times a second only. */
static void update_free_pages(struct store_lmdb *s, MDB_txn *txn, uint64_t used_bytes,
                              uint64_t disk_free, uint64_t disk_size)
{
    uint64_t now = uv_hrtime();
    MDB_stat list;

    if (used_bytes <= s->map_bytes / 100 * 80 && disk_free >= disk_size / 5) {
        s->free_pages = 0;
        return;
    }
    if (mdb_stat(txn, 0, &list) == 0 && list.ms_entries > COUNT_ALWAYS_MAX &&
        s->free_counted_ns != 0 && now - s->free_counted_ns < COUNT_INTERVAL_NS)
        return;
    s->free_counted_ns = now;
    s->free_pages = count_free_pages(txn);
}

void store_usage_update(struct store_lmdb *s, MDB_txn *txn)
{
    uint64_t disk_free, disk_size, used;
    MDB_envinfo info;

    if (mdb_env_info(s->env, &info) != 0)
        return;
    used = (info.me_last_pgno + 1) * s->page_size;
    store_disk(s->dir, &disk_free, &disk_size);
    update_free_pages(s, txn, used, disk_free, disk_size);
    /* Near the marks each commit is to meet a lack of room itself. The reserve is twice the
     * log's size. */
    s->has_room = used <= s->map_bytes / 100 * LOG_PERCENT_MAX && disk_free > s->reserve_bytes;
    uv_mutex_lock(&s->mutex);
    s->used_bytes = used - s->free_pages * s->page_size;
    s->reusable_bytes = s->free_pages * s->page_size;
    uv_mutex_unlock(&s->mutex);
}

static void usage_read(struct store_lmdb *s)
{
    MDB_txn *txn;

    if (mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn) != 0)
        return;
    store_usage_update(s, txn);
    mdb_txn_abort(txn);
}

/* After the report, so that no commit waits for it. */
static void reserve_restore(struct store_lmdb *s)
{
    uint64_t now = uv_hrtime();
    uint64_t disk_free, disk_size;

    if (s->reserve_there || now - s->reserve_tried_ns < RESERVE_INTERVAL_NS)
        return;
    s->reserve_tried_ns = now;
    store_disk(s->dir, &disk_free, &disk_size);
    if (disk_free + s->reusable_bytes >= 4 * s->reserve_bytes)
        s->reserve_there = store_reserve_make(s->dir, s->reserve_bytes) == 0;
}

/* No uv_async_t: its callback spins until the sender has left uv_async_send(), which on
 * one processor is when the loop has given it up again. */
void store_report_send(struct store_lmdb *s)
{
    static const uint64_t one = 1;

    dd_assert(write(s->report_fd, &one, sizeof(one)) == (ssize_t)sizeof(one));
}

static void writer_main(void *user)
{
    struct store_lmdb *s = user;

    store_log_make(s);
    uv_mutex_lock(&s->mutex);
    for (;;) {
        while (s->state != COMMIT_READY && !s->stop)
            uv_cond_wait(&s->cond, &s->mutex);
        if (s->state != COMMIT_READY)
            break;
        uv_mutex_unlock(&s->mutex);
        s->status = commit(s);
        if (!s->in_log)
            usage_read(s);
        uv_mutex_lock(&s->mutex);
        s->state = COMMIT_REPORTED;
        uv_mutex_unlock(&s->mutex);
        store_report_send(s);
        reserve_restore(s);
        uv_mutex_lock(&s->mutex);
    }
    uv_mutex_unlock(&s->mutex);
}

int store_writer_start(struct store_lmdb *s, struct dd_error *error)
{
    int rc = uv_thread_create(&s->thread, writer_main, s);

    return rc == 0 ? 0
                   : dd_fail(error, DD_SYSTEM, "start the writer thread: %s", uv_strerror(rc));
}

void store_writer_stop(struct store_lmdb *s)
{
    uv_mutex_lock(&s->mutex);
    s->stop = true;
    uv_cond_signal(&s->cond);
    uv_mutex_unlock(&s->mutex);
    (void)uv_thread_join(&s->thread);
}

void store_writer_submit(struct store_lmdb *s)
{
    uv_mutex_lock(&s->mutex);
    dd_assert(s->state == COMMIT_NONE);
    s->state = COMMIT_READY;
    uv_mutex_unlock(&s->mutex);
    /* Without the mutex, which the woken thread takes first. */
    uv_cond_signal(&s->cond);
}
