/* Opening, reading and closing the LMDB store; commits are the writer's.
 *
 * Why these flags of LMDB:
 *  - MDB_NOTLS: the one reading transaction belongs to the loop, not to a thread,
 *    and is renewed for each scan.
 *  - no MDB_NOLOCK on a store that is written, though one process owns the directory: without
 * the table of readers the loop could choose a meta page while the writer is halfway through
 * writing it.
 *  - no MDB_NOSYNC, MDB_NOMETASYNC, MDB_WRITEMAP: each can lose an acknowledged
 *    commit, the last can break the file.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "io/store_lmdb_priv.h"

#define MAP_BYTES_DEFAULT (64ull * 1024 * 1024 * 1024)
#define MAP_BYTES_MIN (256ull * 1024)
#define MAP_BYTES_SMALL (64ull * 1024 * 1024) /* not halved below, see open_env() */

/* Names of the tables within the file. Forever, as the numbers. */
static const char *const table_names[DD_TABLES_END] = {
    [DD_TABLE_META] = "meta",   [DD_TABLE_JOURNAL] = "journal",
    [DD_TABLE_HEADS] = "heads", [DD_TABLE_INDEX] = "index",
    [DD_TABLE_NAMES] = "names", [DD_TABLE_DUE] = "due",
    [DD_TABLE_WORK] = "work",   [DD_TABLE_FUNCTIONS] = "functions",
    [DD_TABLE_LOGS] = "logs",   [DD_TABLE_REMOVALS] = "removals",
};

static uint64_t round_to_pages(uint64_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    return (bytes + page - 1) / page * page;
}

static struct store_lmdb *store_of(struct dd_store *store)
{
    return dd_container_of(store, struct store_lmdb, store);
}

/* --- committing -------------------------------------------------------------------------- */

static int status_code(struct store_lmdb *s, int rc, struct dd_error *error)
{
    switch (rc) {
    case 0:
        return 0;
    case MDB_MAP_FULL:
        return dd_fail(
            error, DD_STORE_FULL,
            "the store in %s has reached its maximum of %llu MiB; raise --map-size, or "
            "let executions end and their retention pass",
            s->dir, (unsigned long long)(s->map_bytes >> 20));
    case ENOSPC:
    case EDQUOT:
        return dd_fail(error, DD_STORE_FULL, "no space left on the disk of %s; free some",
                       s->dir);
    default:
        return dd_fail(error, DD_STORE_FAILED,
                       "writing to %s failed: %s; what was acknowledged is safe, nothing more "
                       "is; check the disk, then restart durabled",
                       s->dir, mdb_strerror(rc));
    }
}

static bool is_final(int rc)
{
    return rc != 0 && rc != MDB_MAP_FULL && rc != ENOSPC && rc != EDQUOT;
}

/* The map's reserve: address space beyond the maximum, taken once. No write is
 * running and no scan, as LMDB demands of a resize. */
static bool grow_map(struct store_lmdb *s)
{
    MDB_envinfo info;

    dd_assert(!s->scanning);
    if (s->map_grown || mdb_env_info(s->env, &info) != 0)
        return false;
    s->map_grown = true;
    return mdb_env_set_mapsize(s->env, info.me_mapsize + (size_t)s->reserve_bytes) == 0;
}

/* Ends the commit in flight if the writer has. */
static void report(struct store_lmdb *s)
{
    struct dd_error error = {0};
    dd_store_done done;
    bool ended;

    uv_mutex_lock(&s->mutex);
    ended = s->state == COMMIT_REPORTED;
    if (ended)
        s->state = COMMIT_NONE;
    uv_mutex_unlock(&s->mutex);
    if (!ended)
        return;
    if (s->status == MDB_MAP_FULL && !s->closing && grow_map(s)) {
        store_writer_submit(s);
        return;
    }
    if (is_final(s->status) && s->failed == 0)
        s->failed = s->status;
    if (s->status == 0)
        store_log_reported(s);
    done = s->done;
    s->done = NULL;
    s->batch = NULL;
    done(s->done_user, status_code(s, s->failed ? s->failed : s->status, &error),
         s->status ? &error : NULL);
}

static void on_report(uv_poll_t *poll, int status, int events)
{
    struct store_lmdb *s = poll->data;
    uint64_t reports;

    (void)status;
    (void)events;
    if (read(s->report_fd, &reports, sizeof(reports)) > 0)
        report(s);
}

static void lmdb_commit(struct dd_store *store, const struct dd_batch *batch,
                        dd_store_done done, void *user)
{
    struct store_lmdb *s = store_of(store);

    dd_assert(!s->readonly && !s->closing && !s->done);
    dd_assert(!batch->ops.failed);
    s->batch = batch;
    s->for_log = store_log_takes(s, batch);
    s->done = done;
    s->done_user = user;
    if (s->failed == 0) {
        store_writer_submit(s);
        return;
    }
    /* Nothing is written any more, but `done` still comes from the loop. */
    uv_mutex_lock(&s->mutex);
    s->status = s->failed;
    s->state = COMMIT_REPORTED;
    uv_mutex_unlock(&s->mutex);
    store_report_send(s);
}

static void lmdb_usage(struct dd_store *store, struct dd_store_usage *out_usage)
{
    struct store_lmdb *s = store_of(store);

    out_usage->max_bytes = s->map_bytes;
    /* Others fill and empty the disk too, also while nothing is committed. */
    store_disk(s->dir, &out_usage->disk_free_bytes, &out_usage->disk_bytes);
    uv_mutex_lock(&s->mutex);
    out_usage->used_bytes = s->used_bytes;
    out_usage->disk_free_bytes += s->reusable_bytes;
    uv_mutex_unlock(&s->mutex);
}

/* --- reading ----------------------------------------------------------------------------- */

static int read_fail(struct store_lmdb *s, int rc, struct dd_error *error)
{
    if (rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID)
        return dd_fail(error, DD_STORE_CORRUPT,
                       "the store in %s is damaged (%s); run `durabled check` and restore the "
                       "directory from a backup",
                       s->dir, mdb_strerror(rc));
    return dd_fail(error, DD_SYSTEM, "reading from %s: %s", s->dir, mdb_strerror(rc));
}

/* The table's cursor within the renewed transaction. */
static int read_cursor(struct store_lmdb *s, enum dd_table table, MDB_cursor **out_cursor)
{
    int rc = s->read_txn ? mdb_txn_renew(s->read_txn)
                         : mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->read_txn);

    if (rc != 0)
        return rc;
    rc = s->read_cursors[table]
             ? mdb_cursor_renew(s->read_txn, s->read_cursors[table])
             : mdb_cursor_open(s->read_txn, s->dbis[table], &s->read_cursors[table]);
    if (rc != 0)
        mdb_txn_reset(s->read_txn);
    *out_cursor = s->read_cursors[table];
    return rc;
}

/* Puts the cursor on the first entry of a scan. */
static int read_first(MDB_cursor *cursor, struct dd_span from, bool reverse, MDB_val *key,
                      MDB_val *value)
{
    int rc;

    if (!from.data)
        return mdb_cursor_get(cursor, key, value, reverse ? MDB_LAST : MDB_FIRST);
    *key = (MDB_val){.mv_size = from.len, .mv_data = (void *)(uintptr_t)from.data};
    rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    if (!reverse)
        return rc;
    if (rc == MDB_NOTFOUND)
        return mdb_cursor_get(cursor, key, value, MDB_LAST);
    if (rc == 0 && (key->mv_size != from.len || memcmp(key->mv_data, from.data, from.len) != 0))
        return mdb_cursor_get(cursor, key, value, MDB_PREV);
    return rc;
}

/* Visits what is in the table. Of the journal, what is in the log is left out: it may be in
 * the table before the loop hears of it. */
static int scan_table(struct store_lmdb *s, enum dd_table table, struct dd_span from,
                      bool reverse, dd_store_visit visit, void *user, bool *out_ended)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = read_cursor(s, table, &cursor);

    if (rc != 0)
        return rc;
    rc = read_first(cursor, from, reverse, &key, &value);
    while (rc == 0 && !*out_ended) {
        struct dd_span found = dd_span_make(key.mv_data, key.mv_size);

        if (table == DD_TABLE_JOURNAL && store_log_begins(s, found))
            break;
        *out_ended = !visit(user, found, dd_span_make(value.mv_data, value.mv_size));
        if (!*out_ended)
            rc = mdb_cursor_get(cursor, &key, &value, reverse ? MDB_PREV : MDB_NEXT);
    }
    mdb_txn_reset(s->read_txn);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int lmdb_scan(struct dd_store *store, enum dd_table table, struct dd_span from,
                     bool reverse, dd_store_visit visit, void *user, struct dd_error *error)
{
    struct store_lmdb *s = store_of(store);
    bool logged = table == DD_TABLE_JOURNAL;
    bool ended = false;
    int rc = 0;

    dd_assert(!s->scanning);
    dd_assert(!from.data || (from.len > 0 && from.len <= DD_STORE_KEY_MAX));
    dd_assert(!logged || !reverse);
    if (!s->has_dbi[table])
        return 0;
    s->scanning = true;
    if (!logged || !from.data || !store_log_begins(s, from))
        rc = scan_table(s, table, from, reverse, visit, user, &ended);
    if (rc == 0 && logged && !ended)
        store_log_scan(s, from, visit, user);
    s->scanning = false;
    return rc == 0 ? 0 : read_fail(s, rc, error);
}

static const struct dd_store_ops lmdb_ops = {lmdb_commit, lmdb_scan, lmdb_usage};

/* --- opening ----------------------------------------------------------------------------- */

static int open_fail(struct store_lmdb *s, const char *doing, int rc, struct dd_error *error)
{
    switch (rc) {
    case MDB_VERSION_MISMATCH:
        return dd_fail(error, DD_STORE_VERSION,
                       "%s %s: written in another LMDB format; use the durabled that wrote it",
                       doing, s->dir);
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
        return dd_fail(error, DD_STORE_CORRUPT,
                       "%s %s: damaged (%s); restore the directory from a backup", doing,
                       s->dir, mdb_strerror(rc));
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
        return dd_fail(error, DD_STORE_FULL,
                       "%s %s: no space left; free some or name another directory with --data",
                       doing, s->dir);
    case EROFS:
    case EACCES:
    case EPERM:
        return dd_fail(error, DD_SYSTEM,
                       "%s %s: %s; it must be writable for uid %u, or name another directory "
                       "with --data",
                       doing, s->dir, strerror(rc), (unsigned)geteuid());
    default:
        return dd_fail(error, DD_SYSTEM, "%s %s: %s", doing, s->dir, mdb_strerror(rc));
    }
}

static int try_open_env(struct store_lmdb *s)
{
    /* A reader holds the directory's lock, so that no writer can appear, and may
     * not be able to write a lock file. */
    unsigned flags = MDB_NOTLS | (s->readonly ? (unsigned)(MDB_RDONLY | MDB_NOLOCK) : 0u);
    int rc = mdb_env_create(&s->env);
    mdb_filehandle_t fd;

    if (rc != 0)
        return rc;
    rc = mdb_env_set_maxdbs(s->env, DD_TABLES_END);
    if (rc == 0)
        rc = mdb_env_set_mapsize(s->env, (size_t)s->map_bytes);
    if (rc == 0)
        rc = mdb_env_open(s->env, s->dir, flags, 0600);
    /* The library leaves it open to the processes that this one starts. */
    if (rc == 0 && mdb_env_get_fd(s->env, &fd) == 0)
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (rc != 0) {
        mdb_env_close(s->env);
        s->env = NULL;
    }
    return rc;
}

/* Takes half the address space until it fits what the process may have. */
static int open_env(struct store_lmdb *s, struct dd_error *error)
{
    int rc = try_open_env(s);

    while (rc == ENOMEM && s->map_bytes / 2 >= MAP_BYTES_SMALL) {
        s->map_bytes = round_to_pages(s->map_bytes / 2);
        rc = try_open_env(s);
    }
    return rc == 0 ? 0 : open_fail(s, "open", rc, error);
}

/* Opens, and where needed makes, the tables in one transaction. */
static int open_tables(struct store_lmdb *s, struct dd_error *error)
{
    MDB_txn *txn;
    MDB_dbi main_dbi;
    MDB_stat stat;
    int rc = mdb_txn_begin(s->env, NULL, s->readonly ? MDB_RDONLY : 0, &txn);

    if (rc != 0)
        return open_fail(s, "open", rc, error);
    rc = mdb_dbi_open(txn, NULL, 0, &main_dbi);
    if (rc == 0)
        rc = mdb_stat(txn, main_dbi, &stat);
    for (int i = 1; i < DD_TABLES_END && rc == 0; i++) {
        rc = mdb_dbi_open(txn, table_names[i], 0, &s->dbis[i]);
        s->has_dbi[i] = rc == 0;
        if (rc == MDB_NOTFOUND && i == DD_TABLE_META && stat.ms_entries > 0) {
            mdb_txn_abort(txn);
            return dd_fail(
                error, DD_STORE_CORRUPT,
                "%s/data.mdb is another program's; name another directory with --data", s->dir);
        }
        if (rc == MDB_NOTFOUND)
            rc = s->readonly ? 0 : mdb_dbi_open(txn, table_names[i], MDB_CREATE, &s->dbis[i]);
        s->has_dbi[i] = s->has_dbi[i] || (rc == 0 && !s->readonly);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return open_fail(s, "open the tables of", rc, error);
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 ? 0 : open_fail(s, "write to", rc, error);
}

/* A store that has never had a commit needs its reserve; an old one whose disk
 * is full starts without, to let executions end. */
static int open_reserve(struct store_lmdb *s, bool fresh, struct dd_error *error)
{
    int rc;

    s->reserve_there = store_reserve_exists(s->dir, s->reserve_bytes);
    if (s->reserve_there)
        return 0;
    rc = store_reserve_make(s->dir, s->reserve_bytes);
    s->reserve_there = rc == 0;
    if (rc != 0 && fresh)
        return open_fail(s, "make the reserve file in", rc, error);
    return rc == 0 || rc == ENOSPC || rc == EDQUOT ? 0 : open_fail(s, "write to", rc, error);
}

static int open_usage(struct store_lmdb *s, struct dd_error *error)
{
    MDB_txn *txn;
    MDB_stat stat;
    int rc = mdb_env_stat(s->env, &stat);

    if (rc == 0)
        rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return open_fail(s, "read", rc, error);
    s->page_size = stat.ms_psize;
    store_usage_update(s, txn);
    mdb_txn_abort(txn);
    return 0;
}

static int open_files(struct store_lmdb *s, const struct dd_store_lmdb_options *options,
                      struct dd_error *error)
{
    char path[4096];
    bool fresh;
    int rc = store_dir_make(options, error);

    if (rc == 0)
        rc = store_dir_lock(s->dir, s->readonly, &s->lock_fd, error);
    if (rc != 0)
        return rc;
    store_path(s->dir, "data.mdb", path);
    fresh = access(path, F_OK) != 0;
    if (fresh && s->readonly)
        return dd_fail(error, DD_SYSTEM, "open %s: there is no store in it", s->dir);
    rc = store_file_check(s->dir, s->readonly, error);
    if (rc == 0 && !s->readonly)
        rc = open_reserve(s, fresh, error);
    if (rc == 0)
        rc = open_env(s, error);
    if (rc == 0)
        rc = open_tables(s, error);
    if (rc == 0)
        rc = store_log_open(s, fresh, error);
    return rc == 0 ? open_usage(s, error) : rc;
}

/* What may be released before there is a thread. */
static void store_free(struct store_lmdb *s)
{
    for (int i = 0; i < DD_TABLES_END; i++)
        if (s->read_cursors[i])
            mdb_cursor_close(s->read_cursors[i]);
    if (s->read_txn)
        mdb_txn_abort(s->read_txn);
    if (s->env)
        mdb_env_close(s->env);
    store_log_close(s);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd);
    if (s->report_fd >= 0)
        (void)close(s->report_fd);
    uv_cond_destroy(&s->cond);
    uv_mutex_destroy(&s->mutex);
    dd_free(s->dir);
    dd_free(s);
}

static struct store_lmdb *store_new(uv_loop_t *loop,
                                    const struct dd_store_lmdb_options *options)
{
    struct store_lmdb *s = dd_alloc(sizeof(*s));
    size_t len = strlen(options->dir);

    s->store.ops = &lmdb_ops;
    s->loop = loop;
    s->dir = dd_alloc(len + 1);
    memcpy(s->dir, options->dir, len);
    s->map_bytes = options->map_bytes ? options->map_bytes : MAP_BYTES_DEFAULT;
    if (s->map_bytes < MAP_BYTES_MIN)
        s->map_bytes = MAP_BYTES_MIN;
    s->map_bytes = round_to_pages(s->map_bytes);
    s->reserve_bytes = round_to_pages(options->reserve_bytes ? options->reserve_bytes
                                                             : DD_STORE_RESERVE_BYTES);
    s->lock_fd = s->report_fd = s->wal.fd = -1;
    s->readonly = options->readonly;
    if (uv_mutex_init(&s->mutex) != 0 || uv_cond_init(&s->cond) != 0)
        dd_unreachable();
    return s;
}

static void on_freed(uv_handle_t *handle)
{
    struct store_lmdb *s = handle->data;
    void (*closed)(void *) = s->closed;
    void *user = s->closed_user;

    store_free(s);
    if (closed)
        closed(user);
}

int dd_store_lmdb_open(uv_loop_t *loop, const struct dd_store_lmdb_options *options,
                       struct dd_store **out_store, struct dd_error *error)
{
    struct store_lmdb *s = store_new(loop, options);
    int rc = open_files(s, options, error);

    dd_assert(loop || options->readonly);
    if (rc != 0 || s->readonly)
        goto out;
    s->report_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (s->report_fd < 0) {
        rc = dd_fail(error, DD_SYSTEM, "open %s: %s", s->dir, strerror(errno));
        goto out;
    }
    dd_assert(uv_poll_init(loop, &s->poll, s->report_fd) == 0);
    s->poll.data = s;
    dd_assert(uv_poll_start(&s->poll, UV_READABLE, on_report) == 0);
    rc = store_writer_start(s, error);
    if (rc != 0) {
        uv_close((uv_handle_t *)&s->poll, on_freed);
        return rc;
    }
out:
    if (rc != 0)
        store_free(s);
    else
        *out_store = &s->store;
    return rc;
}

void dd_store_lmdb_close(struct dd_store *store, void (*closed)(void *user), void *user)
{
    struct store_lmdb *s = store_of(store);

    dd_assert(!s->closing && !s->scanning);
    s->closing = true;
    s->closed = closed;
    s->closed_user = user;
    if (s->readonly) {
        store_free(s);
        if (closed)
            closed(user);
        return;
    }
    store_writer_stop(s);
    report(s);
    uv_close((uv_handle_t *)&s->poll, on_freed);
}
