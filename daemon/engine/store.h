/* Port: an ordered key-value store with atomic, durable, asynchronous commits.
 * io/store_lmdb.c is the real body, the simulator's the other. Small enough that
 * a shared store with conditional writes can stand behind it one day.
 *
 * One commit is in flight at a time. Reads see what is committed; they begin
 * and end within one call and visit a bounded number of entries. Single thread;
 * the body may work on another one.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/span.h"

/* Tables. Numbers are forever. */
enum dd_table {
    DD_TABLE_META = 1,      /* "version", "secret", "fold"; "wal" is the store's */
    DD_TABLE_JOURNAL = 2,   /* position u64 -> record; appended in order, scanned upwards */
    DD_TABLE_HEADS = 3,     /* execution id -> head; v7 ids sort by start */
    DD_TABLE_INDEX = 4,     /* execution id, record number u32 -> position u64 */
    DD_TABLE_NAMES = 5,     /* function NUL name -> execution id */
    DD_TABLE_DUE = 6,       /* due ms u64, execution id -> empty */
    DD_TABLE_WORK = 7,      /* state u8, function NUL, since ms u64, execution id -> empty */
    DD_TABLE_FUNCTIONS = 8, /* name -> registration */
    DD_TABLE_LOGS = 9,      /* execution id, line number u64 -> stored line */
    DD_TABLE_REMOVALS = 10, /* execution id -> empty; being removed */
    DD_TABLES_END,
};
/* All integers in keys are big-endian, so that bytes sort as numbers. */

/* A list of puts and deletes, applied in order in one transaction. An operation
 * for which there is no room (DD_STORE_BATCH_MAX, or memory) sets `ops.failed`;
 * dd_batch_rewind() takes it back. */
struct dd_batch {
    struct dd_buf ops; /* encoded by dd_batch_put() and dd_batch_delete() */
    size_t len;
};
void dd_batch_init(struct dd_batch *batch);
void dd_batch_deinit(struct dd_batch *batch);
void dd_batch_clear(struct dd_batch *batch);
void dd_batch_put(struct dd_batch *batch, enum dd_table table, struct dd_span key,
                  struct dd_span value);
void dd_batch_delete(struct dd_batch *batch, enum dd_table table, struct dd_span key);

/* Drops the operations added since `batch` was as `mark` (a copy of the struct)
 * shows it, and the error that one of them met. */
void dd_batch_rewind(struct dd_batch *batch, const struct dd_batch *mark);

/* One operation of a batch; `value` absent: a delete. Deleting what is not there
 * is no error. */
struct dd_batch_op {
    enum dd_table table;
    struct dd_span key, value;
};
/* Reads the operation at `*at` (start with 0) and moves on; false at the end. */
bool dd_batch_next(const struct dd_batch *batch, size_t *at, struct dd_batch_op *out_op);

/* Called for each entry of a scan; spans are valid during the call. False ends it. */
typedef bool (*dd_store_visit)(void *user, struct dd_span key, struct dd_span value);

/* Called on the loop when a commit is durable (0), was refused with nothing
 * written (DD_STORE_FULL), or failed for good (DD_STORE_FAILED). */
typedef void (*dd_store_done)(void *user, int status, const struct dd_error *error);

struct dd_store_usage {
    uint64_t used_bytes;      /* of the map, pages in use */
    uint64_t max_bytes;       /* of the map */
    uint64_t disk_free_bytes; /* of the file system now, and what the store could
                                 use again within its file at its last commit */
    uint64_t disk_bytes;      /* size of the file system */
};

struct dd_store {
    const struct dd_store_ops *ops;
};
struct dd_store_ops {
    /* Begins to commit `batch`, which the caller keeps untouched until `done`.
     * Not while another commit is in flight (asserted). */
    void (*commit)(struct dd_store *store, const struct dd_batch *batch, dd_store_done done,
                   void *user);
    /* Visits entries in order of keys: from the first that is not below `from` up,
     * or, when `reverse`, from the last that is not above `from` down. An absent
     * `from` is below, or above, all. 0, or a negative code. Not from within a
     * visit. */
    int (*scan)(struct dd_store *store, enum dd_table table, struct dd_span from, bool reverse,
                dd_store_visit visit, void *user, struct dd_error *error);
    void (*usage)(struct dd_store *store, struct dd_store_usage *out_usage);
};
