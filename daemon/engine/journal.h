/* The journal of all executions and what is derived from it.
 *
 * One record per event of an execution (codec/record.h) is appended in commit
 * order; that record alone makes the event durable. Heads, names, the due index
 * and the work index are functions of each execution's latest head. For
 * executions touched lately they live in memory (the *tail*), and are folded into
 * their tables by later commits, in batches, with the fold mark in the same
 * transaction. Opening a journal reads the records after the mark.
 *
 * A write is two steps: dd_journal_append() takes the record and gives its
 * position; dd_journal_durable() tells up to where commits have come. The
 * caller keeps back whatever depends on a position until then.
 *
 * A failed commit is final: every later append is refused (DD_STORE_FAILED).
 */
#pragma once

#include "core/service/service.h"
#include "engine/store.h"

struct dd_journal;

struct dd_journal_config {
    struct dd_store *store; /* borrowed for the journal's life */
    /* Called when dd_journal_durable() moved, or with a negative status when a
     * commit failed for good. */
    void (*on_durable)(void *user, int status, const struct dd_error *error);
    void *user;
    uint32_t fold_records; /* fold when the tail holds this many records */
    int64_t fold_delay_ms; /* or when its oldest is this old */
    bool verify; /* for dd_journal_check(): open what can be read of a damaged store */
};

/* Opens (and, when empty, founds with `random` as the secret) what the store
 * holds. DD_STORE_VERSION, DD_STORE_CORRUPT or a store's code, with a text that
 * says what to do. */
int dd_journal_open(const struct dd_journal_config *config, const uint8_t random[32],
                    struct dd_journal **out_journal, struct dd_error *error) DD_MUST_CHECK;

/* No commit may be in flight (see dd_journal_idle). What is queued is dropped; what
 * is durable and not folded is folded after the next open. */
void dd_journal_close(struct dd_journal *journal);

/* The 32-byte secret of this store. */
const uint8_t *dd_journal_secret(const struct dd_journal *journal);

/* --- writing ----------------------------------------------------------------------------- */

/* Whether new executions are taken: false above the high mark of map or disk
 * (DD_STORE_FULL), after a failure (DD_STORE_FAILED), or while the store's tables
 * cannot be read. Appends of running ones go on, from the reserve; what does not
 * fit even there stays queued and is tried again (dd_journal_next_commit). */
int dd_journal_accepts(const struct dd_journal *journal, struct dd_error *error);

/* Queues one record: `facts` of one event and the head after it. Sets
 * `head->records`. Returns the position (> 0), or 0 when nothing was queued: after a
 * failed commit, or without memory for it. Borrows both; references texts. */
uint64_t dd_journal_append(struct dd_journal *journal, struct dd_head *head,
                           const struct dd_facts *facts, int64_t now_ms);

/* Queues the removal of a closed execution with all that belongs to it. At once it
 * is in no answer any more; its records go in several commits. */
uint64_t dd_journal_delete(struct dd_journal *journal, struct dd_uuid id);

/* Starts a commit of everything queued, if none is in flight. Call at the end of
 * each turn of the loop; a completed commit starts the next by itself. */
void dd_journal_commit(struct dd_journal *journal, int64_t now_ms);

/* The position of the newest that is queued. What the journal answers now is durable
 * when this is; 0 when nothing was ever queued by this process. */
uint64_t dd_journal_newest(const struct dd_journal *journal);

/* Everything up to this position is durable. */
uint64_t dd_journal_durable(const struct dd_journal *journal);

/* When dd_journal_commit() should be called next though nothing new is queued: a
 * commit that met no room is tried again, a fold or log lines have waited long
 * enough. 0: never. */
int64_t dd_journal_next_commit(const struct dd_journal *journal);

/* Before an orderly stop: log lines and folds wait no longer. Call
 * dd_journal_commit() until idle. */
void dd_journal_flush(struct dd_journal *journal);

/* True when nothing is queued or in flight; after dd_journal_flush(), when all is
 * folded, too. Records of deleted executions may still be in the store: their
 * removal goes on after the next open. */
bool dd_journal_idle(const struct dd_journal *journal);

uint64_t dd_journal_commits(const struct dd_journal *journal);

/* What the store uses. */
void dd_journal_usage(struct dd_journal *journal, struct dd_store_usage *out_usage);

/* --- reading ----------------------------------------------------------------------------- */

/* Folds every record of `id` into `execution`, those in flight included. Sets
 * `*out_records`. DD_NOT_FOUND, or DD_STORE_CORRUPT naming the execution and
 * what is missing or damaged. */
int dd_journal_load(struct dd_journal *journal, struct dd_uuid id,
                    struct dd_execution *execution, uint32_t *out_records,
                    struct dd_error *error) DD_MUST_CHECK;

/* Nothing that waits for a commit is written any more: it may be half of what must be durable
 * as one. A commit that is under way ends as it will. */
void dd_journal_fail(struct dd_journal *journal, const struct dd_error *error);

/* The position of its last record; 0 when that was folded, and so is durable. */
uint64_t dd_journal_position(const struct dd_journal *journal, struct dd_uuid id);

/* Visits the facts of `id` in order, without building an execution: the history. Records
 * that end before the event `event` are left out. Here and below a visitor must not call
 * the journal. */
int dd_journal_facts(struct dd_journal *journal, struct dd_uuid id, uint32_t event,
                     bool (*visit)(void *user, const struct dd_fact *fact), void *user,
                     struct dd_error *error) DD_MUST_CHECK;

/* What is still known of an execution that may be damaged: function and name, for
 * people. Given as with dd_journal_head(); false when the head is damaged too. */
bool dd_journal_identity(struct dd_journal *journal, struct dd_uuid id,
                         struct dd_head *out_head);

/* The latest head of `id`; text members are given (unref both). DD_NOT_FOUND. */
int dd_journal_head(struct dd_journal *journal, struct dd_uuid id, struct dd_head *out_head,
                    struct dd_error *error) DD_MUST_CHECK;

/* The execution that `function` started under `name`; false when none. */
bool dd_journal_find(struct dd_journal *journal, struct dd_span function, struct dd_span name,
                     struct dd_uuid *out_id);

/* Visits heads, newest first or `oldest` first, from the one that follows `*after` (NULL:
 * the first). Ends after `heads_max` visited. True when there may be more. */
bool dd_journal_list(struct dd_journal *journal, const struct dd_uuid *after, bool oldest,
                     size_t heads_max, bool (*visit)(void *user, const struct dd_head *head),
                     void *user);

/* --- what is due, what is queued --------------------------------------------------------- */

/* The earliest due time of any execution; 0 when none. */
int64_t dd_journal_next_due(struct dd_journal *journal);

/* Takes one execution whose due time is at or before `now_ms`; the caller then
 * appends its new head (or deletes it), which re-arms it. One that is damaged is
 * handed out once, so that its load tells. */
bool dd_journal_pop_due(struct dd_journal *journal, int64_t now_ms, struct dd_uuid *out_id);

/* The execution of `function` that is QUEUED longest, skipping those `skip` says
 * to; false when none. */
bool dd_journal_next_queued(struct dd_journal *journal, struct dd_span function,
                            bool (*skip)(void *user, struct dd_uuid id), void *user,
                            struct dd_uuid *out_id);

/* How many are queued, counted up to `max`, and since when the oldest is. */
size_t dd_journal_queued(struct dd_journal *journal, struct dd_span function, size_t max,
                         int64_t *out_since_ms);

/* Visits the executions whose head says RUNNING: after open, invocations lost
 * with the former process. */
void dd_journal_running(struct dd_journal *journal,
                        bool (*visit)(void *user, const struct dd_head *head), void *user);

/* --- functions and logs ------------------------------------------------------------------ */

struct dd_function {
    struct dd_text *name;
    int64_t timeout_s;           /* of an invocation; 0: none */
    int64_t execution_timeout_s; /* default of its executions */
    int64_t retention_s;
    bool plain; /* not durable: invoked with its payload, once */
};

/* Keeps a registration for good. Borrowed. Returns the position to wait for. */
uint64_t dd_journal_register(struct dd_journal *journal, const struct dd_function *function);

/* The registration of `name`, borrowed until the next register; NULL: never. */
const struct dd_function *dd_journal_function(struct dd_journal *journal, struct dd_span name);
void dd_journal_functions(struct dd_journal *journal,
                          void (*visit)(void *user, const struct dd_function *function),
                          void *user);

/* Keeps a log line of an execution, of at most DD_LOG_LINE_MAX bytes; written with
 * the next commit or fold, lost with a crash before it. Old lines go (limits.h). */
void dd_journal_log(struct dd_journal *journal, struct dd_uuid id, struct dd_span line);

/* Visits kept lines numbered above `after`, but for damaged ones. Sets the number of lines
 * dropped so far. */
void dd_journal_logs(struct dd_journal *journal, struct dd_uuid id, uint64_t after,
                     bool (*visit)(void *user, uint64_t number, struct dd_span line),
                     void *user, uint64_t *out_dropped);

/* --- verification ------------------------------------------------------------------------ */

/* Walks the whole store: every record's checksum, every execution's dense record
 * numbers, every head and index entry against the records. Calls `report` for
 * each finding and returns their number. Nothing may be queued. */
size_t dd_journal_check(struct dd_journal *journal,
                        void (*report)(void *user, const struct dd_error *finding), void *user);
