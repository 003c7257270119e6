/* The store port in memory, for unit tests and the simulator: deterministic, and
 * a commit ends only when the test says so. What a process would lose when it
 * dies and what it would find again are separate: the committed entries, and the
 * commit in flight. */
#pragma once

#include "engine/store.h"

enum dd_store_mem_fault {
    DD_STORE_MEM_FINE,
    DD_STORE_MEM_FULL,      /* no room: nothing is written */
    DD_STORE_MEM_FAIL,      /* the write fails: nothing is written */
    DD_STORE_MEM_FAIL_LATE, /* the sync fails: written, and yet it failed */
};

struct dd_store_mem_entry {
    char *data; /* key, then value */
    size_t key_len, value_len;
};

struct dd_store_mem_table {
    struct dd_store_mem_entry *entries; /* in order of keys */
    size_t len, cap;
};

struct dd_store_mem {
    struct dd_store store;
    struct dd_store_mem_table tables[DD_TABLES_END];
    struct dd_store_usage usage;     /* what usage() answers; set at will */
    enum dd_store_mem_fault fault;   /* what meets the next step; one shot, see below */
    bool fault_stays;                /* until set otherwise */
    bool frozen;                     /* steps do nothing */
    bool failed;                     /* a fault was final: every commit fails */
    uint64_t commits, faults, scans; /* counted, so that a test sees what fired */
    /* The commit in flight. */
    const struct dd_batch *batch;
    dd_store_done done;
    void *user;
    bool applied;
    bool scanning;
};

/* An empty store. */
struct dd_store_mem *dd_store_mem_new(void);
void dd_store_mem_free(struct dd_store_mem *mem);

/* A store with the same committed entries: what another process would find. */
struct dd_store_mem *dd_store_mem_copy(const struct dd_store_mem *mem);

/* Ends the commit in flight, if any, and calls its `done`. False when there was
 * nothing to do. */
bool dd_store_mem_step(struct dd_store_mem *mem);

/* Steps until there is nothing to do. */
void dd_store_mem_drain(struct dd_store_mem *mem);

/* Writes the commit in flight without calling `done`: a crash right after it is
 * a commit that nobody was told of. */
void dd_store_mem_apply(struct dd_store_mem *mem);

/* The process died: the commit in flight is forgotten, `done` never comes. The
 * store may be opened again. */
void dd_store_mem_crash(struct dd_store_mem *mem);

/* Damage. `index` counts the entries of a table in order of keys. */
size_t dd_store_mem_count(const struct dd_store_mem *mem, enum dd_table table);
struct dd_span dd_store_mem_key(const struct dd_store_mem *mem, enum dd_table table,
                                size_t index);
struct dd_span dd_store_mem_value(const struct dd_store_mem *mem, enum dd_table table,
                                  size_t index);
void dd_store_mem_change(struct dd_store_mem *mem, enum dd_table table, size_t index, size_t at,
                         uint8_t xor_with); /* of the value */
void dd_store_mem_delete(struct dd_store_mem *mem, enum dd_table table, size_t index);
void dd_store_mem_put(struct dd_store_mem *mem, enum dd_table table, struct dd_span key,
                      struct dd_span value);
