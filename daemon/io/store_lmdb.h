/* The store port on LMDB (engine/store.h), in one directory:
 *
 *   data.mdb, lock.mdb   LMDB's own; a table is a named database
 *   wal                  records that are not in data.mdb yet; empty after an orderly stop
 *   lock                 flock'ed by the owner, whose pid it holds
 *   reserve              bytes written ahead, given back when the disk is full
 *
 * A dedicated thread commits: a write transaction begins, commits and ends
 * inside one work item. Reads run on the loop's thread and end within the call.
 * All functions here are for the loop's thread.
 */
#pragma once

#include <uv.h>

#include "engine/store.h"

struct dd_store_lmdb_options {
    const char *dir;        /* made when missing, mode 0700 */
    uint64_t map_bytes;     /* most that the store may grow to; 0: 64 GiB */
    uint64_t reserve_bytes; /* 0: DD_STORE_RESERVE_BYTES */
    bool any_filesystem;    /* also on one that is not local */
    bool readonly;          /* for `durabled check`: no thread, no commits, no loop */
};

/* Opens the store, makes it when there is none. Borrows `options`; keeps `loop`
 * (NULL when readonly) until closed. Gives a store; release it with
 * dd_store_lmdb_close(). Each error's text says what to do:
 * DD_STORE_LOCKED      another process owns it; the text has its pid
 * DD_STORE_FILESYSTEM  a network file system
 * DD_STORE_FULL        no room to make it
 * DD_STORE_CORRUPT     cut short, or not a store
 * DD_STORE_VERSION     written by a newer LMDB
 * DD_SYSTEM            whatever else the system refuses */
int dd_store_lmdb_open(uv_loop_t *loop, const struct dd_store_lmdb_options *options,
                       struct dd_store **out_store, struct dd_error *error) DD_MUST_CHECK;

/* Waits for a commit in flight, which still reports `done`, and closes. `closed`
 * (may be NULL) is called from the loop when nothing of the store is left; from
 * within this call when it is readonly. */
void dd_store_lmdb_close(struct dd_store *store, void (*closed)(void *user), void *user);

/* The name of a network file system by its statfs() number, or NULL for what
 * counts as local. */
const char *dd_store_lmdb_network(uint64_t fs_magic);
