/* Shared by the files of the journal.
 *
 * Every entry of HEADS, NAMES, DUE and WORK is a function of one execution's
 * latest head. So the tail is a map from execution to its latest head, and a
 * query merges a table, leaving out the executions that are in the tail, with
 * the tail itself. Folding an execution writes what its head says and forgets
 * it; that is right at any time and in any order.
 *
 *   journal.c   open, append, commit       fold.c     tail to tables
 *   tail.c      the map, reads of tables   remove.c   deletion in steps
 *   read.c      load, facts, heads, names  logs.c     log lines
 *   due.c       the nearest due times      check.c    verification
 *   queue.c     queued and running         stored.c   keys
 *   functions.c registrations              batch.c    the list of a commit
 *
 * A commit is built when none is in flight. At that moment the tables hold all
 * that was ever committed, so folds and removals read them and write the
 * difference. Reads at other times may see a commit that has not been reported
 * yet; they stay right, because its executions leave the tail only then.
 */
#pragma once

#include "base/heap.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "engine/journal.h"

/* 2: records may lie in a log beside the tables (io/store_lmdb_log.c). */
#define STORE_VERSION 2u

/* One execution of the tail. */
struct tail_entry {
    struct dd_uuid id;
    struct dd_head head; /* its texts referenced; zero when damaged */
    uint64_t *positions; /* of the last records, not in the index yet */
    uint32_t positions_len, positions_cap;
    uint32_t folding;        /* so many of them are folded by the commit in flight */
    bool fresh;              /* not in HEADS or NAMES */
    bool popped;             /* its due time was handed out; armed by the next append */
    bool removed;            /* by dd_journal_delete() */
    bool damaged;            /* a load found it so: never offered again */
    int64_t touched_ms;      /* when the first of `positions` came */
    struct dd_span name_key; /* of NAMES, owned; only when fresh */
    struct dd_list unfolded; /* by first position */
    struct dd_list in_flight;
    struct dd_list removing;
    struct dd_list queued; /* of its function, by since and id */
};

/* The QUEUED executions of one function. */
struct func_queue {
    struct dd_text *function;
    struct dd_list entries; /* of the tail */
    /* Where WORK may have an entry that the tail does not hide: from this on. */
    bool table_empty;
    struct dd_buf table_from;
};

/* Puts of records and registrations, with all that rides along once built. */
struct write_set {
    struct dd_batch batch;
    uint64_t last; /* position that is durable with it; 0: none */
    uint32_t records;
    struct record_slot { /* where to read a record before it is in the table */
        uint64_t position;
        size_t at, len; /* in batch.ops */
    } * slots;
    size_t slots_len, slots_cap;
};

struct log_state;

struct dd_journal {
    struct dd_journal_config config;
    uint8_t secret[32];
    uint64_t next_position;
    uint64_t durable;
    uint64_t folded; /* the mark in META */
    uint64_t commits;
    int64_t now_ms; /* latest seen */
    int failed;
    struct dd_error failure;
    struct dd_error full;    /* why the commit of `retry_ms` met no room */
    struct dd_error trouble; /* what keeps folds from being built; code 0: nothing */

    struct write_set pending, flight;
    struct dd_batch flight_bare; /* `flight.batch` before anything rode along */
    bool committing;
    bool flushing;    /* by dd_journal_flush() */
    int64_t retry_ms; /* flight holds a commit that met no room; 0: it does not */

    struct dd_map tail;        /* id -> tail_entry */
    struct dd_map fresh_names; /* name key -> tail_entry */
    struct dd_list unfolded;
    struct dd_list in_flight; /* folded or removed by the commit in flight */
    struct dd_list removing;  /* deletion asked for, not begun */
    bool removals;            /* REMOVALS may have entries */
    uint32_t tail_records;
    uint64_t fold_until; /* fold all that was touched up to this position */
    uint64_t folding_to; /* the mark in the commit in flight */

    struct dd_heap due;
    size_t due_max;   /* DD_DUE_WINDOW_MAX; tests set less */
    bool due_partial; /* DUE has entries beyond `due_until` */
    struct dd_heap_entry due_until;

    struct dd_map queues;    /* function -> func_queue */
    struct dd_map functions; /* name -> dd_function */
    bool functions_damaged;  /* seen when opened to verify */
    struct dd_map logs;      /* id -> log_state */
    size_t logs_bytes;       /* of lines in memory */
    int64_t logs_since_ms;   /* when the oldest of them came */
    struct dd_buf scratch;   /* of one call */
    struct dd_buf record;    /* the record being read */
};

/* --- stored.c: keys and values ----------------------------------------------------------- */

#define KEY_ID 16
#define KEY_INDEX 20
#define KEY_DUE 24
#define KEY_LOG 24

/* A key of any table. */
struct store_key {
    char data[DD_STORE_KEY_MAX];
    size_t len;
};

static inline struct dd_span key_span(const struct store_key *key)
{
    return dd_span_make(key->data, key->len);
}

static inline struct dd_span id_span(const struct dd_uuid *id)
{
    return dd_span_make(id->bytes, sizeof(id->bytes));
}

void put_u32(char *at, uint32_t value);
void put_u64(char *at, uint64_t value);
uint32_t get_u32(const char *at);
uint64_t get_u64(const char *at);

void key_position(struct store_key *key, uint64_t position);
void key_index(struct store_key *key, struct dd_uuid id, uint32_t number);
void key_name(struct store_key *key, struct dd_span function, struct dd_span name);
void key_due(struct store_key *key, int64_t due_ms, struct dd_uuid id);
/* Up to and with the function; `since_ms` and `id` follow in key_work(). */
void key_work_prefix(struct store_key *key, enum dd_work work, struct dd_span function);
void key_work(struct store_key *key, const struct dd_head *head);
void key_log(struct store_key *key, struct dd_uuid id, uint64_t number);
struct dd_uuid uuid_at(const char *at);
bool starts_with(struct dd_span span, struct dd_span prefix);

/* The first number of an execution's records. */
#define RECORD_FIRST 0u

/* --- tail.c ------------------------------------------------------------------------------ */

/* Copies the value under `key` to `out` (cleared first): 1 found, 0 not, or negative. */
int table_get(struct dd_journal *journal, enum dd_table table, struct dd_span key,
              struct dd_buf *out, struct dd_error *error);

/* The head in HEADS; texts given. 1 found, 0 not, negative: DD_STORE_CORRUPT
 * or a code of the store. */
int table_head(struct dd_journal *journal, struct dd_uuid id, struct dd_head *out_head,
               struct dd_error *error);
void head_deinit(struct dd_head *head);

struct tail_entry *tail_get(const struct dd_journal *journal, struct dd_uuid id);

/* The entry of `id`; makes one from HEADS. `*out` NULL when there is no such
 * execution and not `create`. */
int tail_touch(struct dd_journal *journal, struct dd_uuid id, bool create,
               struct tail_entry **out, struct dd_error *error);

/* Sets the latest head, with what hangs on it: queue, names, due times. */
void tail_set_head(struct dd_journal *journal, struct tail_entry *entry,
                   const struct dd_head *head, bool rearm);
void tail_add_position(struct dd_journal *journal, struct tail_entry *entry, uint64_t position);
/* Hides the execution from every query. */
void tail_hide(struct dd_journal *journal, struct tail_entry *entry);
void tail_damage(struct dd_journal *journal, struct dd_uuid id);
/* The tables have the execution now. */
void tail_stored(struct dd_journal *journal, struct tail_entry *entry);
void tail_drop(struct dd_journal *journal, struct tail_entry *entry);
/* Puts it into the list of the unfolded where its first position belongs. */
void tail_relink(struct dd_journal *journal, struct tail_entry *entry);
void tail_free(struct dd_journal *journal);

/* --- due.c, queue.c ---------------------------------------------------------------------- */

void due_add(struct dd_journal *journal, int64_t due_ms, struct dd_uuid id);
void queue_add(struct dd_journal *journal, struct tail_entry *entry);
/* An entry that is QUEUED leaves the tail for WORK. */
void queue_expose(struct dd_journal *journal, const struct dd_head *head);
void queues_free(struct dd_journal *journal);

/* --- journal.c --------------------------------------------------------------------------- */

/* Records up to `mark` need not be read when the journal is opened. */
void meta_put_mark(struct dd_batch *batch, uint64_t mark);

/* --- fold.c, remove.c, logs.c: what rides with a commit ---------------------------------- */

/* The *_build() functions add to `batch` and return 0 or a code of the store;
 * then, or when the commit met no room, what they did to the tail is undone. */
bool fold_wanted(const struct dd_journal *journal);
int fold_build(struct dd_journal *journal, struct dd_batch *batch, struct dd_error *error);
/* The puts and deletes that take the tables from `before` (NULL: none) to `after`
 * (NULL: none); the name of `before` stays. */
void fold_difference(struct dd_journal *journal, struct dd_batch *batch,
                     const struct dd_head *before, const struct dd_head *after);
void fold_index(struct dd_batch *batch, const struct tail_entry *entry);
void in_flight_done(struct dd_journal *journal);
void in_flight_undo(struct dd_journal *journal);

bool remove_wanted(const struct dd_journal *journal);
int remove_build(struct dd_journal *journal, struct dd_batch *batch, struct dd_error *error);

bool logs_wanted(const struct dd_journal *journal);
int logs_build(struct dd_journal *journal, struct dd_batch *batch, struct dd_error *error);
void logs_done(struct dd_journal *journal);
void logs_undo(struct dd_journal *journal);
void logs_forget(struct dd_journal *journal, struct dd_uuid id);
void logs_free(struct dd_journal *journal);

/* The line in a value of LOGS; false when it is damaged. */
bool log_line_read(struct dd_span value, struct dd_span *out_line);

/* --- functions.c ------------------------------------------------------------------------- */

int functions_load(struct dd_journal *journal, struct dd_error *error);
void functions_free(struct dd_journal *journal);

/* --- read.c ------------------------------------------------------------------------------ */

/* Copies the record at `position` into journal->record: 1 found, 0 not, or negative. */
int record_read(struct dd_journal *journal, uint64_t position, struct dd_error *error);
