/* The store port on the real LMDB, in a directory of its own: what it keeps
 * through kill -9, what it refuses, and what it does about a lack of room. */
/* unshare() and its flags */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <lmdb.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/rng.h"
#include "engine/journal.h"
#include "io/store_lmdb.h"

/* --- the fixture ------------------------------------------------------------------------- */

struct fixture {
    char dir[64];
    uv_loop_t loop;
    struct dd_store_lmdb_options options;
    struct dd_store *store;
    struct dd_error error;
    /* Of the last commit. */
    bool done, closed;
    int status;
    struct dd_error done_error;
};

static int remove_tree(const char *dir)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

static int setup(void **state)
{
    struct fixture *f = dd_alloc(sizeof(*f));

    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/test-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(uv_loop_init(&f->loop), 0);
    f->options = (struct dd_store_lmdb_options){
        .dir = f->dir, .map_bytes = 64u << 20, .reserve_bytes = 64 * 1024};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    /* Left open by a test that failed. */
    if (f->store)
        dd_store_lmdb_close(f->store, NULL, NULL);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    assert_int_equal(remove_tree(f->dir), 0);
    dd_free(f);
    return 0;
}

static void open_store(struct fixture *f)
{
    if (dd_store_lmdb_open(&f->loop, &f->options, &f->store, &f->error) != 0)
        fail_msg("open: %s", f->error.text);
}

static void on_closed(void *user)
{
    struct fixture *f = user;

    f->closed = true;
}

static void close_store(struct fixture *f)
{
    f->closed = false;
    dd_store_lmdb_close(f->store, on_closed, f);
    while (!f->closed)
        assert_int_not_equal(uv_run(&f->loop, UV_RUN_ONCE), -1);
    f->store = NULL;
}

static void on_done(void *user, int status, const struct dd_error *error)
{
    struct fixture *f = user;

    assert_false(f->done);
    f->done = true;
    f->status = status;
    assert_int_equal(status != 0, error != NULL);
    if (error)
        f->done_error = *error;
}

static int commit(struct fixture *f, const struct dd_batch *batch)
{
    f->done = false;
    f->store->ops->commit(f->store, batch, on_done, f);
    while (!f->done)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    return f->status;
}

static struct dd_span key_of(uint32_t number, char out[8])
{
    memset(out, 0, 8);
    for (int i = 7; i >= 4; i--, number >>= 8)
        out[i] = (char)(uint8_t)number;
    return dd_span_make(out, 8);
}

static int put(struct fixture *f, enum dd_table table, uint32_t number, size_t bytes)
{
    struct dd_batch batch;
    char *value = dd_alloc(bytes + 1);
    char key[8];
    int rc;

    memset(value, (int)('a' + number % 26), bytes);
    dd_batch_init(&batch);
    dd_batch_put(&batch, table, key_of(number, key), dd_span_make(value, bytes));
    rc = commit(f, &batch);
    dd_batch_deinit(&batch);
    dd_free(value);
    return rc;
}

static int del(struct fixture *f, enum dd_table table, uint32_t number)
{
    struct dd_batch batch;
    char key[8];
    int rc;

    dd_batch_init(&batch);
    dd_batch_delete(&batch, table, key_of(number, key));
    rc = commit(f, &batch);
    dd_batch_deinit(&batch);
    return rc;
}

struct seen {
    uint32_t numbers[4096];
    size_t len, max;
};

static bool see(void *user, struct dd_span key, struct dd_span value)
{
    struct seen *seen = user;

    (void)value;
    assert_int_equal(key.len, 8);
    seen->numbers[seen->len++] = (uint32_t)(uint8_t)key.data[6] << 8 | (uint8_t)key.data[7];
    return seen->len < seen->max;
}

static size_t scan(struct fixture *f, enum dd_table table, int from, bool reverse, size_t max,
                   struct seen *seen)
{
    char key[8];

    seen->len = 0;
    seen->max = max;
    assert_int_equal(f->store->ops->scan(f->store, table,
                                         from < 0 ? DD_SPAN_NONE : key_of((uint32_t)from, key),
                                         reverse, see, seen, &f->error),
                     0);
    return seen->len;
}

/* A digest over all that the tables hold. */
static bool see_digest(void *user, struct dd_span key, struct dd_span value)
{
    uint64_t *digest = user;

    *digest = *digest * 31 + dd_checksum64(key);
    *digest = *digest * 31 + dd_checksum64(value);
    return true;
}

static int digest_of(struct dd_store *store, uint64_t *out_digest)
{
    struct dd_error error;
    int rc = 0;

    *out_digest = 0;
    for (int t = 1; t < DD_TABLES_END && rc == 0; t++)
        rc = store->ops->scan(store, (enum dd_table)t, DD_SPAN_NONE, false, see_digest,
                              out_digest, &error);
    return rc;
}

static void path_in(const struct fixture *f, const char *name, char out[128])
{
    (void)snprintf(out, 128, "%s/%s", f->dir, name);
}

/* --- reading and writing ----------------------------------------------------------------- */

static void test_scans(void **state)
{
    struct fixture *f = *state;
    struct seen seen;

    open_store(f);
    for (uint32_t i = 10; i <= 50; i += 10)
        assert_int_equal(put(f, DD_TABLE_HEADS, i, 20), 0);
    assert_int_equal(scan(f, DD_TABLE_HEADS, -1, false, 99, &seen), 5);
    assert_int_equal(seen.numbers[0], 10);
    assert_int_equal(scan(f, DD_TABLE_HEADS, -1, true, 99, &seen), 5);
    assert_int_equal(seen.numbers[0], 50);
    assert_int_equal(scan(f, DD_TABLE_HEADS, 20, false, 2, &seen), 2);
    assert_int_equal(seen.numbers[0], 20);
    assert_int_equal(seen.numbers[1], 30);
    assert_int_equal(scan(f, DD_TABLE_HEADS, 21, false, 99, &seen), 3);
    assert_int_equal(scan(f, DD_TABLE_HEADS, 51, false, 99, &seen), 0);
    assert_int_equal(scan(f, DD_TABLE_HEADS, 20, true, 99, &seen), 2);
    assert_int_equal(seen.numbers[0], 20);
    assert_int_equal(scan(f, DD_TABLE_HEADS, 29, true, 99, &seen), 2);
    assert_int_equal(seen.numbers[0], 20);
    assert_int_equal(scan(f, DD_TABLE_HEADS, 60, true, 1, &seen), 1);
    assert_int_equal(seen.numbers[0], 50);
    assert_int_equal(scan(f, DD_TABLE_HEADS, 9, true, 99, &seen), 0);
    assert_int_equal(scan(f, DD_TABLE_DUE, -1, true, 99, &seen), 0);
    assert_int_equal(del(f, DD_TABLE_HEADS, 30), 0);
    assert_int_equal(del(f, DD_TABLE_HEADS, 31), 0);
    close_store(f);
    open_store(f);
    assert_int_equal(scan(f, DD_TABLE_HEADS, -1, false, 99, &seen), 4);
    close_store(f);
}

static void test_modes(void **state)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "lock", "wal", "reserve"};
    struct fixture *f = *state;
    char dir[80], path[128];
    struct stat st;

    (void)snprintf(dir, sizeof(dir), "%s/a/b", f->dir);
    f->options.dir = dir;
    open_store(f);
    assert_int_equal(put(f, DD_TABLE_HEADS, 1, 100), 0);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    for (size_t i = 0; i < DD_COUNT(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    assert_int_equal(st.st_size, 64 * 1024);
    close_store(f);
}

static void test_close_waits_for_the_commit(void **state)
{
    struct fixture *f = *state;
    struct dd_batch batch;
    struct seen seen;
    char key[8];

    for (uint32_t i = 1; i <= 20; i++) {
        open_store(f);
        dd_batch_init(&batch);
        dd_batch_put(&batch, DD_TABLE_HEADS, key_of(i, key), DD_SPAN("value"));
        f->done = false;
        f->store->ops->commit(f->store, &batch, on_done, f);
        /* Sometimes just given to the thread, sometimes half through. */
        for (volatile uint32_t spin = 0; spin < i * 20000; spin++)
            continue;
        close_store(f);
        assert_true(f->done);
        assert_int_equal(f->status, 0);
        dd_batch_deinit(&batch);
        open_store(f);
        assert_int_equal(scan(f, DD_TABLE_HEADS, -1, false, 99, &seen), i);
        close_store(f);
    }
}

/* --- who may open it --------------------------------------------------------------------- */

static void expect_refused(struct fixture *f, int code, const char *text)
{
    struct dd_store *store = NULL;
    struct dd_error error = {0};
    int rc =
        dd_store_lmdb_open(f->options.readonly ? NULL : &f->loop, &f->options, &store, &error);

    if (rc != code || !strstr(error.text, text))
        fail_msg("%d \"%s\", not %d with \"%s\"", rc, error.text, code, text);
    assert_null(store);
    assert_int_equal(error.code, code);
}

static void test_second_owner_is_refused(void **state)
{
    struct fixture *f = *state;
    int up[2], down[2];
    char byte, pid[32];
    pid_t child;

    assert_int_equal(pipe(up), 0);
    assert_int_equal(pipe(down), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uv_loop_t loop;

        (void)uv_loop_init(&loop);
        if (dd_store_lmdb_open(&loop, &f->options, &f->store, &f->error) != 0)
            _exit(1);
        if (write(up[1], "x", 1) != 1 || read(down[0], &byte, 1) != 1)
            _exit(2);
        _exit(0);
    }
    assert_int_equal(read(up[0], &byte, 1), 1);
    (void)snprintf(pid, sizeof(pid), "process %ld;", (long)child);
    expect_refused(f, DD_STORE_LOCKED, pid);
    f->options.readonly = true;
    expect_refused(f, DD_STORE_LOCKED, pid);
    f->options.readonly = false;
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    open_store(f);
    close_store(f);
    for (int i = 0; i < 2; i++) {
        (void)close(up[i]);
        (void)close(down[i]);
    }
}

static void write_file(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

static void test_not_a_directory(void **state)
{
    struct fixture *f = *state;
    char path[128], below[160];

    path_in(f, "file", path);
    write_file(path, "x", 1);
    f->options.dir = path;
    expect_refused(f, DD_SYSTEM, "not a directory");
    (void)snprintf(below, sizeof(below), "%s/below", path);
    f->options.dir = below;
    expect_refused(f, DD_SYSTEM, "not a directory");
}

static void test_nothing_to_check(void **state)
{
    struct fixture *f = *state;
    char missing[128];

    f->options.readonly = true;
    expect_refused(f, DD_SYSTEM, "no store in it");
    path_in(f, "missing", missing);
    f->options.dir = missing;
    expect_refused(f, DD_SYSTEM, "no such directory");
    assert_int_not_equal(access(missing, F_OK), 0);
}

static void test_foreign_files(void **state)
{
    static char text[3 * 4096];
    struct fixture *f = *state;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    char path[128];
    uint32_t version = 2;
    int fd;

    path_in(f, "data.mdb", path);
    memset(text, 'x', sizeof(text));
    write_file(path, text, 100);
    expect_refused(f, DD_STORE_CORRUPT, "not a store of durabled");
    write_file(path, text, sizeof(text));
    expect_refused(f, DD_STORE_CORRUPT, "not a store of durabled");
    assert_int_equal(unlink(path), 0);
    /* Another program's. */
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_open(env, f->dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "theirs", MDB_CREATE, &dbi), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    expect_refused(f, DD_STORE_CORRUPT, "another program's");
    /* Of a later LMDB. */
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, &version, 4, 20), 4);
    assert_int_equal(close(fd), 0);
    expect_refused(f, DD_STORE_VERSION, "format 2");
    /* Made by an open that was killed before it wrote: a new store. */
    write_file(path, "", 0);
    open_store(f);
    close_store(f);
}

static void test_network_filesystems(void **state)
{
    (void)state;
    assert_string_equal(dd_store_lmdb_network(0x6969), "NFS");
    assert_string_equal(dd_store_lmdb_network(0xFFFFFFFFFF534D42), "CIFS");
    assert_string_equal(dd_store_lmdb_network(0x65735546), "FUSE");
    assert_null(dd_store_lmdb_network(0xEF53));     /* ext4 */
    assert_null(dd_store_lmdb_network(0x01021994)); /* tmpfs */
    assert_null(dd_store_lmdb_network(0x794C7630)); /* overlay */
}

/* --- lack of room ------------------------------------------------------------------------ */

static void test_map_full(void **state)
{
    struct fixture *f = *state;
    struct dd_store_usage usage;
    uint32_t n = 0;
    struct seen seen;

    f->options.map_bytes = 512 * 1024;
    open_store(f);
    while (put(f, DD_TABLE_HEADS, n, 3000) == 0)
        n++;
    assert_int_equal(f->status, DD_STORE_FULL);
    assert_non_null(strstr(f->done_error.text, "--map-size"));
    f->store->ops->usage(f->store, &usage);
    /* The reserve was taken too. */
    assert_true(usage.used_bytes > usage.max_bytes);
    assert_int_equal(usage.max_bytes, 512 * 1024);
    assert_int_equal(scan(f, DD_TABLE_HEADS, -1, false, 4096, &seen), n);
    /* Refused again and again, it stays whole; and goes on when there is room. */
    assert_int_equal(put(f, DD_TABLE_HEADS, n, 300000), DD_STORE_FULL);
    for (uint32_t i = 0; i < n; i++)
        if (del(f, DD_TABLE_HEADS, i) != 0)
            fail_msg("delete %u of %u: %s", i, n, f->done_error.text);
    assert_int_equal(put(f, DD_TABLE_HEADS, n, 3000), 0);
    f->store->ops->usage(f->store, &usage);
    assert_true(usage.used_bytes < usage.max_bytes / 2);
    close_store(f);
    open_store(f);
    assert_int_equal(scan(f, DD_TABLE_HEADS, -1, false, 4096, &seen), 1);
    close_store(f);
}

/* Runs `body` in a child with a mount namespace of its own, in which `dir` is a
 * small tmpfs. False when this process may not do that. */
static bool in_tmpfs(struct fixture *f, const char *options, void (*body)(struct fixture *f))
{
    int status;
    pid_t child;

    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (unshare(CLONE_NEWNS) != 0 ||
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("tmpfs", f->dir, "tmpfs", 0, options) != 0)
            _exit(77);
        if (uv_loop_init(&f->loop) != 0)
            _exit(78);
        body(f);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("skipped: needs root and mount namespaces\n");
        return false;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the child ended with status %x", (unsigned)status);
    return true;
}

/* In the child: cmocka's own failures would unwind into its parent's code. */
#define expect(cond)                                                                          \
    do {                                                                                      \
        if (!(cond)) {                                                                        \
            (void)fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #cond, f->done_error.text); \
            _exit(1);                                                                         \
        }                                                                                     \
    } while (0)

static bool reserve_exists(const struct fixture *f)
{
    char path[128];

    path_in(f, "reserve", path);
    return access(path, F_OK) == 0;
}

static void body_disk_full(struct fixture *f)
{
    static char junk[1024 * 1024];
    struct dd_store_usage usage;
    char path[128];
    uint32_t n = 0, refused_at;

    path_in(f, "junk", path);
    write_file(path, junk, sizeof(junk));
    f->options.reserve_bytes = 256 * 1024;
    open_store(f);
    expect(reserve_exists(f));
    while (put(f, DD_TABLE_HEADS, n, 20000) == 0) {
        n++;
        f->store->ops->usage(f->store, &usage);
        /* While the reserve is there the disk is not seen full. */
        expect(n < 1000);
    }
    expect(f->status == DD_STORE_FULL);
    expect(strstr(f->done_error.text, "no space left") != NULL);
    expect(!reserve_exists(f));
    refused_at = n;
    f->store->ops->usage(f->store, &usage);
    expect(usage.disk_free_bytes < usage.disk_bytes / 10);
    expect(put(f, DD_TABLE_HEADS, n, 20000) == DD_STORE_FULL);
    /* Space returns: it goes on, and makes the reserve again. */
    expect(unlink(path) == 0);
    for (uint32_t i = 0; !reserve_exists(f) && i < 100000; i++)
        expect(put(f, DD_TABLE_HEADS, n, 1000 + i % 7) == 0);
    expect(reserve_exists(f));
    close_store(f);
    open_store(f);
    {
        struct seen seen;

        expect(scan(f, DD_TABLE_HEADS, -1, false, 4096, &seen) == refused_at + 1);
    }
    close_store(f);
}

static void test_disk_full(void **state)
{
    if (!in_tmpfs(*state, "size=3m", body_disk_full))
        skip();
}

/* An old store without its reserve starts on a full disk; a new one does not. */
static void body_full_at_start(struct fixture *f)
{
    static char junk[64 * 1024];
    struct dd_error error;
    char path[128];
    int fd;

    open_store(f);
    expect(put(f, DD_TABLE_HEADS, 1, 100) == 0);
    close_store(f);
    path_in(f, "reserve", path);
    expect(unlink(path) == 0);
    path_in(f, "junk", path);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    while (write(fd, junk, sizeof(junk)) > 0 || write(fd, junk, 4096) > 0)
        continue;
    (void)close(fd);
    open_store(f);
    close_store(f);
    path_in(f, "data.mdb", path);
    expect(unlink(path) == 0);
    path_in(f, "lock.mdb", path);
    expect(unlink(path) == 0);
    f->options.reserve_bytes = 1 << 20;
    expect(dd_store_lmdb_open(&f->loop, &f->options, &f->store, &error) == DD_STORE_FULL);
    expect(strstr(error.text, "no space left") != NULL);
}

static void test_full_at_start(void **state)
{
    if (!in_tmpfs(*state, "size=1m", body_full_at_start))
        skip();
}

static void body_readonly_disk(struct fixture *f)
{
    struct dd_error error;
    struct seen seen;

    open_store(f);
    expect(put(f, DD_TABLE_HEADS, 1, 100) == 0);
    close_store(f);
    expect(mount(NULL, f->dir, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    expect(dd_store_lmdb_open(&f->loop, &f->options, &f->store, &error) == DD_SYSTEM);
    expect(strstr(error.text, "read-only") != NULL && strstr(error.text, "--data") != NULL);
    /* Verification needs no more. */
    f->options.readonly = true;
    expect(dd_store_lmdb_open(NULL, &f->options, &f->store, &error) == 0);
    expect(scan(f, DD_TABLE_HEADS, -1, false, 9, &seen) == 1);
    dd_store_lmdb_close(f->store, NULL, NULL);
}

static void test_readonly_disk(void **state)
{
    if (!in_tmpfs(*state, "size=4m", body_readonly_disk))
        skip();
}

/* A write that the system refuses for another reason than room is final, though
 * the next one might succeed. */
static void body_failed_write(struct fixture *f)
{
    struct rlimit limit;
    struct stat st;
    struct seen seen;
    char path[128];

    (void)signal(SIGXFSZ, SIG_IGN);
    open_store(f);
    expect(put(f, DD_TABLE_HEADS, 1, 100) == 0);
    path_in(f, "data.mdb", path);
    expect(stat(path, &st) == 0 && getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = (rlim_t)st.st_size;
    expect(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    expect(put(f, DD_TABLE_HEADS, 2, 100000) == DD_STORE_FAILED);
    expect(strstr(f->done_error.text, "restart durabled") != NULL);
    limit.rlim_cur = limit.rlim_max;
    expect(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    expect(put(f, DD_TABLE_HEADS, 2, 10) == DD_STORE_FAILED);
    expect(put(f, DD_TABLE_HEADS, 3, 10) == DD_STORE_FAILED);
    expect(scan(f, DD_TABLE_HEADS, -1, false, 9, &seen) == 1);
    close_store(f);
    open_store(f);
    expect(scan(f, DD_TABLE_HEADS, -1, false, 9, &seen) == 1);
    expect(put(f, DD_TABLE_HEADS, 2, 10) == 0);
    close_store(f);
}

static void test_failed_write_is_final(void **state)
{
    if (!in_tmpfs(*state, "size=8m", body_failed_write))
        skip();
}

/* --- the log ----------------------------------------------------------------------------- */

/* Bytes of a frame with one of the records below; a sector holds it. */
#define FRAME 512
#define LOG_RECORDS 6

/* Runs `body` in a child, which then ends without closing anything. */
static void in_child(struct fixture *f, void (*body)(struct fixture *f))
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        if (uv_loop_init(&f->loop) != 0)
            _exit(78);
        open_store(f);
        body(f);
        (void)kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status))
        fail_msg("the child ended with status %x", (unsigned)status);
}

/* Records 1 to LOG_RECORDS, of which the first goes into the tables with something else. */
static void body_records(struct fixture *f)
{
    expect(put(f, DD_TABLE_JOURNAL, 1, 100) == 0);
    expect(put(f, DD_TABLE_HEADS, 1, 100) == 0);
    for (uint32_t i = 2; i <= LOG_RECORDS; i++)
        expect(put(f, DD_TABLE_JOURNAL, i, 100) == 0);
}

static void body_more_records(struct fixture *f)
{
    for (uint32_t i = LOG_RECORDS + 1; i <= 2 * LOG_RECORDS; i++)
        expect(put(f, DD_TABLE_JOURNAL, i, 100) == 0);
}

/* Records that the tables have, whatever the log has. */
static size_t count_in_tables(struct fixture *f)
{
    size_t entries;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_stat stat;

    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 16), 0);
    assert_int_equal(mdb_env_open(env, f->dir, MDB_RDONLY | MDB_NOLOCK, 0), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "journal", 0, &dbi), 0);
    assert_int_equal(mdb_stat(txn, dbi, &stat), 0);
    entries = stat.ms_entries;
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return entries;
}

static size_t count_records(struct fixture *f)
{
    struct seen seen;
    size_t len = scan(f, DD_TABLE_JOURNAL, -1, false, 4096, &seen);

    for (size_t i = 0; i < len; i++)
        assert_int_equal(seen.numbers[i], i + 1);
    return len;
}

static void change_log(struct fixture *f, off_t at)
{
    char path[128], byte;
    int fd;

    path_in(f, "wal", path);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte = (char)~byte;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    assert_int_equal(close(fd), 0);
}

static void test_log_survives(void **state)
{
    struct fixture *f = *state;
    struct seen seen;

    in_child(f, body_records);
    assert_int_equal(count_in_tables(f), 1);
    f->options.readonly = true;
    open_store(f);
    assert_int_equal(count_records(f), LOG_RECORDS);
    dd_store_lmdb_close(f->store, NULL, NULL);
    f->store = NULL;
    f->options.readonly = false;
    open_store(f);
    assert_int_equal(count_records(f), LOG_RECORDS);
    /* From either side of where the log begins. */
    assert_int_equal(scan(f, DD_TABLE_JOURNAL, 1, false, 2, &seen), 2);
    assert_int_equal(seen.numbers[1], 2);
    assert_int_equal(scan(f, DD_TABLE_JOURNAL, 4, false, 2, &seen), 2);
    assert_int_equal(seen.numbers[0], 4);
    assert_int_equal(scan(f, DD_TABLE_JOURNAL, LOG_RECORDS + 1, false, 9, &seen), 0);
    close_store(f);
    /* It goes on where it was, also when LMDB has taken it in. */
    in_child(f, body_more_records);
    open_store(f);
    assert_int_equal(count_records(f), 2 * LOG_RECORDS);
    assert_int_equal(put(f, DD_TABLE_HEADS, 2, 100), 0);
    assert_int_equal(count_records(f), 2 * LOG_RECORDS);
    close_store(f);
    assert_int_equal(count_in_tables(f), 2 * LOG_RECORDS);
    open_store(f);
    assert_int_equal(count_records(f), 2 * LOG_RECORDS);
    assert_int_equal(put(f, DD_TABLE_JOURNAL, 2 * LOG_RECORDS + 1, 100), 0);
    assert_int_equal(count_records(f), 2 * LOG_RECORDS + 1);
    close_store(f);
}

/* What LMDB has to write goes with what the log holds, and records that do not go on from
 * the log's, or have no room in it, are LMDB's. */
static void test_log_is_for_records_in_order(void **state)
{
    struct fixture *f = *state;

    f->options.map_bytes = 16u << 20; /* a log of 1 MiB */
    open_store(f);
    assert_int_equal(put(f, DD_TABLE_JOURNAL, 1, 100), 0);
    assert_int_equal(count_in_tables(f), 1);
    assert_int_equal(put(f, DD_TABLE_JOURNAL, 2, 100), 0);
    assert_int_equal(count_in_tables(f), 1);
    assert_int_equal(put(f, DD_TABLE_JOURNAL, 4, 100), 0);
    assert_int_equal(count_in_tables(f), 3);
    assert_int_equal(put(f, DD_TABLE_JOURNAL, 5, 600 * 1024), 0);
    assert_int_equal(count_in_tables(f), 3);
    assert_int_equal(put(f, DD_TABLE_JOURNAL, 6, 600 * 1024), 0);
    assert_int_equal(count_in_tables(f), 5);
    assert_int_equal(put(f, DD_TABLE_JOURNAL, 7, 2 << 20), 0);
    assert_int_equal(count_in_tables(f), 6);
    assert_int_equal(put(f, DD_TABLE_JOURNAL, 8, 100), 0);
    assert_int_equal(del(f, DD_TABLE_JOURNAL, 8), 0);
    assert_int_equal(count_in_tables(f), 6);
    close_store(f);
}

/* The last frame may be cut by a loss of power, and was then acknowledged to nobody. */
static void test_torn_frame_is_dropped(void **state)
{
    static const off_t places[] = {0, 8, 24, 32, 140};
    struct fixture *f = *state;
    size_t records = LOG_RECORDS;

    in_child(f, body_records);
    for (size_t i = 0; i < DD_COUNT(places); i++) {
        change_log(f, (LOG_RECORDS - 2) * FRAME + places[i]);
        open_store(f);
        assert_int_equal(count_records(f), records - 1);
        assert_int_equal(put(f, DD_TABLE_JOURNAL, (uint32_t)records, 100), 0);
        close_store(f);
    }
    open_store(f);
    assert_int_equal(count_records(f), LOG_RECORDS);
    close_store(f);
}

/* One that another follows was acknowledged. */
static void test_damaged_log_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[128], other[128];

    in_child(f, body_records);
    path_in(f, "wal", path);
    path_in(f, "other", other);
    for (off_t frame = 0; frame < LOG_RECORDS - 2; frame++) {
        change_log(f, frame * FRAME + 40);
        assert_int_equal(dd_store_lmdb_open(&f->loop, &f->options, &f->store, &f->error),
                         DD_STORE_CORRUPT);
        assert_non_null(strstr(f->error.text, path));
        assert_non_null(strstr(f->error.text, "backup"));
        change_log(f, frame * FRAME + 40);
    }
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(dd_store_lmdb_open(&f->loop, &f->options, &f->store, &f->error),
                     DD_STORE_CORRUPT);
    assert_non_null(strstr(f->error.text, "missing"));
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(truncate(path, 700), 0);
    assert_int_equal(dd_store_lmdb_open(&f->loop, &f->options, &f->store, &f->error),
                     DD_STORE_CORRUPT);
}

/* A new store does not take over what an old one left behind. */
static void test_log_of_another_store(void **state)
{
    struct fixture *f = *state;
    char path[128];

    in_child(f, body_records);
    path_in(f, "data.mdb", path);
    assert_int_equal(unlink(path), 0);
    open_store(f);
    assert_int_equal(count_records(f), 0);
    close_store(f);
}

/* Where no byte is written in place, the log may meet a full disk. The commit is then
 * LMDB's. */
static void body_log_on_full_disk(struct fixture *f)
{
    static char junk[4096];
    struct seen seen;
    char path[128];
    struct stat st;
    uint32_t n = 0;
    int fd;

    open_store(f);
    expect(put(f, DD_TABLE_HEADS, 1, 100) == 0);
    path_in(f, "wal", path);
    expect(stat(path, &st) == 0);
    expect(truncate(path, 0) == 0 && truncate(path, st.st_size) == 0);
    path_in(f, "junk", path);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    while (write(fd, junk, sizeof(junk)) > 0)
        continue;
    (void)close(fd);
    while (put(f, DD_TABLE_JOURNAL, n + 1, 1000) == 0) {
        n++;
        expect(n < 1000);
    }
    expect(n > 0 && f->status == DD_STORE_FULL);
    expect(unlink(path) == 0);
    for (uint32_t i = 0; i < 10; i++, n++)
        expect(put(f, DD_TABLE_JOURNAL, n + 1, 100) == 0);
    close_store(f);
    open_store(f);
    expect(scan(f, DD_TABLE_JOURNAL, -1, false, 4096, &seen) == n);
    expect(put(f, DD_TABLE_HEADS, 3, 100) == 0);
    expect(scan(f, DD_TABLE_JOURNAL, -1, false, 4096, &seen) == n);
    close_store(f);
}

static void test_log_on_full_disk(void **state)
{
    if (!in_tmpfs(*state, "size=20m", body_log_on_full_disk))
        skip();
}

/* --- the journal on it: kill -9, damage -------------------------------------------------- */

#define TORTURE_EXECUTIONS 8
#define TORTURE_ROUNDS 36

struct writer {
    struct dd_journal *journal;
    int report; /* where durable positions are written */
    uint64_t reported;
};

static void report_durable(void *user, int status, const struct dd_error *error)
{
    struct writer *writer = user;
    uint64_t durable = dd_journal_durable(writer->journal);

    (void)error;
    if (status == 0 && durable > writer->reported) {
        writer->reported = durable;
        if (write(writer->report, &durable, sizeof(durable)) != (ssize_t)sizeof(durable))
            _exit(3);
    }
}

static struct dd_uuid execution_id(uint8_t number)
{
    return (struct dd_uuid){{1, 2, 3, 4, 5, 6, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, number}};
}

static uint64_t append_one(struct dd_journal *journal, uint8_t number, uint32_t round)
{
    struct dd_text *function = dd_text_cstr("order");
    struct dd_facts facts = {0};
    struct dd_head head = {.id = execution_id(number),
                           .function = function,
                           .status = DD_EXECUTION_RUNNING,
                           .work = round % 2 ? DD_WORK_QUEUED : DD_WORK_RUNNING,
                           .work_since_ms = 1000 + round,
                           .next_due_ms = 5000 + round,
                           .start_ms = 1000,
                           .events = round + 1};
    char text[32];
    uint64_t position;

    (void)snprintf(text, sizeof(text), "name-%u", number);
    head.name = dd_text_cstr(text);
    (void)snprintf(text, sizeof(text), "%u", round);
    dd_facts_add(&facts, DD_FACT_EXECUTION_SUCCEEDED, 1000)->payload = dd_text_cstr(text);
    position = dd_journal_append(journal, &head, &facts, 1000 + round);
    dd_facts_deinit(&facts);
    dd_text_unref(head.name);
    dd_text_unref(function);
    return position;
}

/* The child: appends and commits until it is killed. */
static void torture_child(struct fixture *f, int report, uint32_t seed)
{
    static const uint8_t random[32] = {7};
    struct writer writer = {.report = report};
    struct dd_journal_config config = {
        .on_durable = report_durable, .user = &writer, .fold_records = 20, .fold_delay_ms = 50};
    struct dd_rng rng;

    dd_rng_seed(&rng, seed);
    if (uv_loop_init(&f->loop) != 0 ||
        dd_store_lmdb_open(&f->loop, &f->options, &f->store, &f->error) != 0)
        _exit(4);
    config.store = f->store;
    if (dd_journal_open(&config, random, &writer.journal, &f->error) != 0)
        _exit(5);
    for (uint32_t round = 0;; round++) {
        for (uint64_t i = dd_rng_below(&rng, 4); i > 0; i--)
            if (append_one(writer.journal, (uint8_t)dd_rng_below(&rng, TORTURE_EXECUTIONS),
                           round) == 0)
                _exit(6);
        /* The loop may only be waited for when there is a commit to come. */
        if (dd_journal_idle(writer.journal) && append_one(writer.journal, 0, round) == 0)
            _exit(7);
        dd_journal_commit(writer.journal, 1000 + round);
        (void)uv_run(&f->loop, dd_rng_below(&rng, 2) ? UV_RUN_NOWAIT : UV_RUN_ONCE);
    }
}

static void ignore_durable(void *user, int status, const struct dd_error *error)
{
    (void)user;
    (void)status;
    (void)error;
}

static void print_finding(void *user, const struct dd_error *finding)
{
    (void)user;
    print_message("finding: %s\n", finding->text);
}

static void ignore_finding(void *user, const struct dd_error *finding)
{
    (void)user;
    (void)finding;
}

static bool count_fact(void *user, const struct dd_fact *fact)
{
    (void)fact;
    ++*(uint64_t *)user;
    return true;
}

static struct dd_journal *open_journal(struct fixture *f)
{
    static const uint8_t random[32] = {7};
    struct dd_journal_config config = {.store = f->store,
                                       .on_durable = ignore_durable,
                                       .fold_records = 20,
                                       .fold_delay_ms = 50,
                                       .verify = f->options.readonly};
    struct dd_journal *journal;

    if (dd_journal_open(&config, random, &journal, &f->error) != 0)
        fail_msg("journal: %s", f->error.text);
    return journal;
}

/* Every record acknowledged is there; positions are dense, since nothing but
 * records took one. */
static void torture_verify(struct fixture *f, uint64_t acknowledged)
{
    struct dd_journal *journal;
    uint64_t records = 0;

    open_store(f);
    journal = open_journal(f);
    assert_true(dd_journal_durable(journal) >= acknowledged);
    assert_int_equal(dd_journal_check(journal, print_finding, NULL), 0);
    for (uint8_t i = 0; i < TORTURE_EXECUTIONS; i++) {
        int rc = dd_journal_facts(journal, execution_id(i), 0, count_fact, &records, &f->error);

        if (rc != 0 && rc != DD_NOT_FOUND)
            fail_msg("facts: %s", f->error.text);
    }
    assert_int_equal(records, dd_journal_durable(journal));
    dd_journal_close(journal);
    close_store(f);
}

static void test_kill_torture(void **state)
{
    struct fixture *f = *state;
    uint64_t acknowledged = 0, last, kills_with_progress = 0;
    struct dd_rng rng;
    int status;

    dd_rng_seed(&rng, 42);
    for (uint32_t round = 0; round < TORTURE_ROUNDS; round++) {
        uint64_t wait_for = acknowledged + 1 + dd_rng_below(&rng, 60);
        pid_t child;
        int pipes[2];

        assert_int_equal(pipe(pipes), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void)close(pipes[0]);
            torture_child(f, pipes[1], round + 1);
        }
        (void)close(pipes[1]);
        /* Killed once it has acknowledged so much and a random moment later. */
        while (acknowledged < wait_for && read(pipes[0], &last, sizeof(last)) == sizeof(last))
            acknowledged = last;
        for (volatile uint64_t spin = dd_rng_below(&rng, 400000); spin > 0; spin--)
            continue;
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        while (read(pipes[0], &last, sizeof(last)) == sizeof(last))
            acknowledged = last;
        (void)close(pipes[0]);
        kills_with_progress += acknowledged >= wait_for;
        torture_verify(f, acknowledged);
    }
    assert_int_equal(kills_with_progress, TORTURE_ROUNDS);
    print_message("%d kills, %llu records acknowledged\n", TORTURE_ROUNDS,
                  (unsigned long long)acknowledged);
}

/* A journal with some hundred records, closed; returns the digest of its tables. */
static uint64_t populate(struct fixture *f)
{
    struct dd_journal *journal;
    uint64_t digest;

    open_store(f);
    journal = open_journal(f);
    for (uint32_t i = 0; i < 300; i++)
        assert_true(append_one(journal, (uint8_t)(i % TORTURE_EXECUTIONS), i) > 0);
    dd_journal_flush(journal);
    while (!dd_journal_idle(journal)) {
        dd_journal_commit(journal, 2000);
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    }
    dd_journal_close(journal);
    assert_int_equal(digest_of(f->store, &digest), 0);
    close_store(f);
    return digest;
}

static char *read_file(const char *path, size_t *out_len)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    char *data;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    *out_len = (size_t)st.st_size;
    data = dd_alloc(*out_len);
    assert_int_equal(read(fd, data, *out_len), st.st_size);
    assert_int_equal(close(fd), 0);
    return data;
}

/* What `durabled check` would say: true when it found nothing. */
static bool verify_clean(struct fixture *f, uint64_t *out_digest)
{
    static const uint8_t random[32] = {7};
    struct dd_journal_config config = {.on_durable = ignore_durable, .verify = true};
    struct dd_journal *journal;
    struct dd_store *store;
    bool clean = false;

    f->options.readonly = true;
    if (dd_store_lmdb_open(NULL, &f->options, &store, &f->error) != 0)
        return false;
    config.store = store;
    if (dd_journal_open(&config, random, &journal, &f->error) == 0) {
        clean = dd_journal_check(journal, ignore_finding, NULL) == 0;
        dd_journal_close(journal);
    }
    if (digest_of(store, out_digest) != 0)
        clean = false;
    dd_store_lmdb_close(store, NULL, NULL);
    return clean;
}

/* Eight bytes changed anywhere: either the walk says so or nothing is lost. */
static void test_changed_bytes_are_found(void **state)
{
    struct fixture *f = *state;
    uint64_t whole = populate(f), digest = 0;
    size_t len, found = 0;
    struct dd_rng rng;
    char path[128], *data;

    path_in(f, "data.mdb", path);
    data = read_file(path, &len);
    assert_true(verify_clean(f, &digest));
    assert_int_equal(digest, whole);
    dd_rng_seed(&rng, 7);
    for (int trial = 0; trial < 600; trial++) {
        size_t at = dd_rng_below(&rng, len - 8);
        char before[8];

        memcpy(before, data + at, 8);
        dd_rng_fill(&rng, data + at, 1 + dd_rng_below(&rng, 8));
        write_file(path, data, len);
        if (!verify_clean(f, &digest))
            found++;
        else if (digest != whole)
            fail_msg("bytes changed at %zu were not found", at);
        memcpy(data + at, before, 8);
    }
    print_message("%zu of 600 changes met something in use\n", found);
    assert_true(found > 50);
    dd_free(data);
}

static void test_cut_short(void **state)
{
    struct fixture *f = *state;
    uint64_t whole = populate(f), digest = 0;
    size_t len, refused = 0, trials = 0;
    char path[128], *data;

    path_in(f, "data.mdb", path);
    data = read_file(path, &len);
    for (size_t cut = len; cut > 0; cut -= cut < 4096 ? cut : 4096, trials++) {
        size_t keep = cut - (cut == len ? 0 : 1);
        struct dd_store *store;
        int rc;

        write_file(path, data, keep);
        f->options.readonly = false;
        rc = dd_store_lmdb_open(&f->loop, &f->options, &store, &f->error);
        if (rc != 0) {
            assert_int_equal(rc, DD_STORE_CORRUPT);
            assert_non_null(strstr(f->error.text, path));
            refused++;
            continue;
        }
        f->store = store;
        assert_int_equal(digest_of(store, &digest), 0);
        assert_int_equal(digest, whole);
        close_store(f);
    }
    assert_true(refused >= trials / 2);
    dd_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_scans, setup, teardown),
        cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_waits_for_the_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_second_owner_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_a_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_to_check, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_files, setup, teardown),
        cmocka_unit_test(test_network_filesystems),
        cmocka_unit_test_setup_teardown(test_map_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_at_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_readonly_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_write_is_final, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_survives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_is_for_records_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_frame_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_log_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_of_another_store, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_on_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kill_torture, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed_bytes_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_short, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
