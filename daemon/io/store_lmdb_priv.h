/* Shared by the files of the LMDB store. */
#pragma once

#include <lmdb.h>
#include <uv.h>

#include "io/store_lmdb.h"
#include "io/wal.h"

/* What one commit asks of the writer thread and what came of it. The loop owns
 * it while `state` is not COMMITTING, the writer otherwise. */
enum commit_state {
    COMMIT_NONE,    /* nothing in flight */
    COMMIT_READY,   /* given to the writer */
    COMMIT_REPORTED /* the writer has ended it; `done` is yet to be called */
};

/* A record that is in the log and not in the table of the journal: its key, and its value
 * right behind it, in the mapped file. */
struct logged_record {
    const char *key; /* POSITION_BYTES */
    uint32_t value_len;
};
#define POSITION_BYTES 8

struct store_lmdb {
    struct dd_store store; /* the port */
    uv_loop_t *loop;
    char *dir;
    uint64_t map_bytes; /* as configured: what usage reports */
    uint64_t reserve_bytes;
    int lock_fd; /* flock'ed; -1: none (readonly directory) */
    bool readonly;

    MDB_env *env;
    uint32_t page_size;
    MDB_dbi dbis[DD_TABLES_END];
    bool has_dbi[DD_TABLES_END]; /* a readonly store may lack newer tables */

    /* Reading, loop only: one transaction and one cursor a table, renewed. */
    MDB_txn *read_txn;
    MDB_cursor *read_cursors[DD_TABLES_END];
    bool scanning;

    /* One commit. */
    const struct dd_batch *batch;
    dd_store_done done;
    void *done_user;

    /* The log: the writer's during a commit, the loop's to read. */
    struct wal wal;
    bool for_log; /* `batch` is records alone, that go on from the log's */
    struct logged_record *logged;
    size_t logged_len, logged_cap;
    uint64_t logged_first; /* position of the first */
    uint64_t logged_end;   /* of the frames that are indexed */

    int report_fd; /* an eventfd: a commit has ended; -1: none (readonly) */

    /* Shared with the writer, under `mutex`. */
    uv_mutex_t mutex;
    uv_cond_t cond;
    enum commit_state state;
    bool stop;
    int status;              /* errno or LMDB's of the last commit */
    bool in_log;             /* it went to the log */
    uint64_t used_bytes;     /* of the map, as of the last commit */
    uint64_t reusable_bytes; /* free pages within the file, likewise */

    /* The writer's own. */
    uv_thread_t thread;
    bool reserve_there;
    bool log_marked;     /* the store knows that it has a log */
    bool has_room;       /* for what the log holds; as of the last transaction */
    uint64_t free_pages; /* as counted last */
    uint64_t free_counted_ns;
    uint64_t reserve_tried_ns;

    /* The loop's own. */
    uv_poll_t poll; /* of `report_fd` */
    int failed;     /* 0, or the status that ended this store */
    bool map_grown;
    bool closing;
    void (*closed)(void *user);
    void *closed_user;
};

/* --- store_lmdb_dir.c: the directory, before LMDB sees it -------------------------------- */

int store_dir_make(const struct dd_store_lmdb_options *options, struct dd_error *error);
int store_dir_lock(const char *dir, bool readonly, int *out_fd, struct dd_error *error);
/* Looks at data.mdb: 0 when it may be opened or there is none yet. */
int store_file_check(const char *dir, bool all, struct dd_error *error);
/* Room in the file system; zeros when it cannot be told. */
void store_disk(const char *dir, uint64_t *out_free, uint64_t *out_size);
int store_reserve_make(const char *dir, uint64_t bytes); /* 0 or errno */
bool store_reserve_release(const char *dir);
bool store_reserve_exists(const char *dir, uint64_t bytes);
void store_path(const char *dir, const char *name, char out_path[4096]);

/* --- store_lmdb_pages.c: LMDB's file format, read with pread ----------------------------- */

/* 0; DD_STORE_CORRUPT when the file is not LMDB's or lacks pages that its trees
 * refer to, or, when `all`, any page is not as it should be; DD_STORE_VERSION.
 * Reads two pages of a file that is long enough, unless `all`. */
int store_pages_check(int fd, uint64_t size, bool all, struct dd_error *error);

/* --- store_lmdb_log.c: the log in front of LMDB ------------------------------------------ */

/* Opens the log, if there is one, and indexes what LMDB lacks. What lies beside a `fresh`
 * store is no log of it. */
int store_log_open(struct store_lmdb *s, bool fresh, struct dd_error *error);
void store_log_close(struct store_lmdb *s);
/* Whether `batch` may go to the log. */
bool store_log_takes(const struct store_lmdb *s, const struct dd_batch *batch);
/* After a commit: its records are in the log, or the log was emptied. */
void store_log_reported(struct store_lmdb *s);
/* Whether the log has its first record at `key` or below. */
bool store_log_begins(const struct store_lmdb *s, struct dd_span key);
/* Visits its records from the first that is not below `from` (absent: from its first) up. */
void store_log_scan(const struct store_lmdb *s, struct dd_span from, dd_store_visit visit,
                    void *user);

/* The writer's. Makes the log where there is none and room for one. */
void store_log_make(struct store_lmdb *s);
int store_log_append(struct store_lmdb *s); /* 0 or errno */
/* Reads all batches of the log, in order. */
bool store_log_next(const struct store_lmdb *s, uint64_t *at, struct dd_batch *out_batch);
/* Notes in `txn` that there is a log, and that the tables have all that is in it. */
int store_log_mark(struct store_lmdb *s, MDB_txn *txn);

/* --- store_lmdb_writer.c ----------------------------------------------------------------- */

int store_writer_start(struct store_lmdb *s, struct dd_error *error);
/* Returns when the thread has ended. */
void store_writer_stop(struct store_lmdb *s);
/* Gives `s->batch` to the writer. */
void store_writer_submit(struct store_lmdb *s);
/* Wakes the loop: `state` is COMMIT_REPORTED. */
void store_report_send(struct store_lmdb *s);
/* Fills `s->used_bytes` and `s->reusable_bytes`; also before there is a writer. */
void store_usage_update(struct store_lmdb *s, MDB_txn *txn);
