/* The branches of a batch: which run, and when the batch is complete (sdk-semantics 3.8,
 * 5.1).
 *
 * Branches are admitted in order of their index, as many at once as the batch allows; one
 * holds its place until it is terminal, also while it waits. What an earlier invocation
 * recorded as terminal counts without being run again. The client's coordinator parks one
 * call, which is an await of the strand that it runs on: it is told which branches to
 * start, asked for the decision of a custom predicate, and told of the end. */
#include "core/session/session_priv.h"

#include "base/alloc.h"

/* One letter for each admitted branch; the last three are also the client's. */
enum {
    ADMITTED = 'A', /* the client is to be told to start it */
    TOLD = 'R',     /* it was, and has not yet */
    STARTED = 'T',
    SUCCEEDED = 'S',
    FAILED = 'F',
};

/* Branches in one answer; chosen: a message of a few KiB. */
#define RUN_MAX 1024

struct branches {
    struct dd_batch_options options;
    struct dd_text *sub_type;
    char *items; /* a letter for each of the `started` ones */
    uint32_t started, in_flight, succeeded, failed;
    uint32_t told; /* named in an answer, not started yet, and still wanted */
    uint32_t *run; /* admitted, to be named in the next answer */
    uint32_t run_len;
    /* Ends that the predicate has not been asked about. */
    struct dd_branch_change *changes;
    size_t changes_len, changes_cap;
    bool first_asked; /* before any branch */
    bool asking;
    enum dd_operation_status decision; /* of the predicate; NONE: go on */
};

struct branches *branches_new(const struct dd_batch_options *options)
{
    struct branches *branches = dd_alloc(sizeof *branches);

    branches->options = *options;
    branches->sub_type = dd_text_new(options->sub_type);
    branches->options.sub_type = DD_SPAN_NONE;
    branches->items = dd_alloc(options->total + (size_t)1);
    branches->run = dd_alloc_array(options->total, sizeof *branches->run);
    return branches;
}

void branches_free(struct branches *branches)
{
    if (!branches)
        return;
    dd_text_unref(branches->sub_type);
    dd_free(branches->items);
    dd_free(branches->run);
    dd_free(branches->changes);
    dd_free(branches);
}

bool branches_starting(const struct branches *branches)
{
    return branches->told > 0;
}

void branches_forget(struct branches *branches)
{
    branches->told = 0;
}

/* --- completion (sdk-semantics 5.1) ------------------------------------------------------- */

static bool exceeded(const struct branches *branches)
{
    const struct dd_batch_options *options = &branches->options;
    bool criteria = options->has_min_successful || options->has_tolerated_count ||
                    options->has_tolerated_percentage;

    if (options->ask)
        return false;
    if (!criteria)
        return branches->failed > 0;
    if (options->has_tolerated_count && branches->failed > options->tolerated_count)
        return true;
    return options->has_tolerated_percentage && options->total > 0 &&
           (double)branches->failed / options->total * 100 > options->tolerated_percentage;
}

static bool all_ended(const struct branches *branches)
{
    return branches->succeeded + branches->failed >= branches->options.total;
}

static bool enough(const struct branches *branches)
{
    return branches->options.has_min_successful &&
           branches->succeeded >= branches->options.min_successful;
}

static bool complete(const struct branches *branches)
{
    return branches->decision || all_ended(branches) || enough(branches) || exceeded(branches);
}

static const char *completion_reason(const struct branches *branches)
{
    if (exceeded(branches))
        return "FAILURE_TOLERANCE_EXCEEDED";
    if (branches->decision)
        return branches->decision == DD_STATUS_SUCCEEDED ? "CUSTOM_COMPLETION_SUCCEEDED"
                                                         : "CUSTOM_COMPLETION_FAILED";
    return !all_ended(branches) && enough(branches) ? "MIN_SUCCESSFUL_REACHED"
                                                    : "ALL_COMPLETED";
}

/* --- admission ---------------------------------------------------------------------------- */

static void changed(struct branches *branches, uint32_t index, enum dd_operation_status status)
{
    if (!branches->options.ask)
        return;
    if (branches->changes_len == branches->changes_cap) {
        branches->changes_cap = branches->changes_cap ? 2 * branches->changes_cap : 8;
        branches->changes = dd_realloc_array(branches->changes, branches->changes_cap,
                                             sizeof *branches->changes);
    }
    branches->changes[branches->changes_len++] = (struct dd_branch_change){index, status};
}

static void ended(struct branches *branches, uint32_t index, enum dd_operation_status status)
{
    bool succeeded = status == DD_STATUS_SUCCEEDED;

    branches->items[index] = succeeded ? SUCCEEDED : FAILED;
    branches->in_flight--;
    branches->succeeded += succeeded;
    branches->failed += !succeeded;
    changed(branches, index, succeeded ? DD_STATUS_SUCCEEDED : DD_STATUS_FAILED);
}

/* What an earlier invocation recorded of branch `index`, if that is its outcome. A FLAT
 * batch has no such records: where there is one, the start of the branch refuses it. */
static const struct dd_operation *recorded(struct dd_session *session, const struct unit *batch,
                                           uint32_t index)
{
    struct dd_text *id = dd_operation_id(session->profile, dd_text_span(batch->prefix),
                                         index + (uint32_t)session->profile->first_branch);
    const struct record *record = record_find(session, id);

    dd_text_unref(id);
    if (!record || batch->branches->options.is_virtual ||
        !dd_operation_status_terminal(record->operation.status) ||
        record->operation.replay_children)
        return NULL;
    return &record->operation;
}

static bool may_admit(const struct branches *branches)
{
    const struct dd_batch_options *options = &branches->options;

    return branches->started < options->total &&
           (options->max_concurrency == 0 || branches->in_flight < options->max_concurrency);
}

static bool wants_decision(const struct branches *branches)
{
    return branches->options.ask && !branches->decision &&
           (!branches->first_asked || branches->changes_len > 0);
}

/* Each end may complete the batch, so that it is looked at after every one. */
static void admit(struct dd_session *session, const struct unit *batch)
{
    struct branches *branches = batch->branches;

    while (!complete(branches) && !wants_decision(branches) && may_admit(branches)) {
        uint32_t index = branches->started++;
        const struct dd_operation *operation = recorded(session, batch, index);

        branches->in_flight++;
        branches->items[index] = ADMITTED;
        if (operation)
            ended(branches, index, operation->status);
        else
            branches->run[branches->run_len++] = index;
    }
}

/* --- the coordinator ---------------------------------------------------------------------- */

static void answer_run(struct dd_session *session, struct unit *batch, uint64_t call)
{
    struct branches *branches = batch->branches;
    struct dd_answer run = {
        .kind = DD_ANSWER_BATCH_RUN, .call = call, .operation = batch->handle};
    uint32_t len = branches->run_len < RUN_MAX ? branches->run_len : RUN_MAX;

    for (uint32_t i = 0; i < len; i++)
        branches->items[branches->run[i]] = TOLD;
    branches->told += len;
    run.branches = branches->run;
    run.branches_len = len;
    answer(session, &run);
    branches->run_len -= len;
    memmove(branches->run, branches->run + len, branches->run_len * sizeof *branches->run);
}

static void answer_decide(struct dd_session *session, struct unit *batch, uint64_t call)
{
    struct branches *branches = batch->branches;
    struct dd_answer decide = {
        .kind = DD_ANSWER_BATCH_DECIDE, .call = call, .operation = batch->handle};

    decide.changes = branches->changes;
    decide.changes_len = branches->changes_len;
    decide.first = !branches->first_asked;
    branches->asking = true;
    branches->first_asked = true;
    answer(session, &decide);
    branches->changes_len = 0;
}

/* As the client sees it: a branch that it is about to start counts as running. */
static char *items_for_client(const struct branches *branches)
{
    char *items = dd_alloc(branches->started + (size_t)1);

    for (uint32_t i = 0; i < branches->started; i++) {
        bool ended = branches->items[i] == SUCCEEDED || branches->items[i] == FAILED;

        items[i] = ended ? branches->items[i] : STARTED;
    }
    return items;
}

/* What was asked for may still start, until the batch is closed, and need not. */
static void answer_complete(struct dd_session *session, struct unit *batch, uint64_t call)
{
    struct branches *branches = batch->branches;
    struct dd_answer ready = {
        .kind = DD_ANSWER_BATCH_READY, .call = call, .operation = batch->handle};
    char *items = items_for_client(branches);

    branches->told = 0;
    ready.reason = completion_reason(branches);
    ready.items = dd_span_make(items, branches->started);
    answer(session, &ready);
    dd_free(items);
}

bool branches_try(struct dd_session *session, struct unit *batch, uint64_t call)
{
    struct branches *branches = batch->branches;

    admit(session, batch);
    if (wants_decision(branches))
        answer_decide(session, batch, call);
    else if (complete(branches))
        answer_complete(session, batch, call);
    else if (branches->run_len > 0)
        answer_run(session, batch, call);
    else
        return false;
    return true;
}

const char *branches_decide(struct branches *branches, enum dd_operation_status decision)
{
    if (decision && !branches->asking)
        return "complete: no decision was asked for";
    branches->asking = false;
    branches->decision = decision;
    return NULL;
}

/* --- branches ----------------------------------------------------------------------------- */

/* A batch that is recorded as complete is not coordinated again: its branches run for
 * their values only. */
const char *branch_may_start(const struct unit *batch, uint32_t index,
                             const struct dd_call *call)
{
    const struct branches *branches = batch->branches;

    if (batch->replay_children)
        return index < branches->options.total ? NULL : "position: there is no such branch";
    if (call->type != DD_TYPE_CONTEXT || !call->strand ||
        call->is_virtual != branches->options.is_virtual ||
        !dd_span_equal(call->sub_type, dd_text_span(branches->sub_type)))
        return "type: a branch is a CONTEXT on a strand, as session.start of its batch said";
    if (index >= branches->started || branches->items[index] == ADMITTED)
        return "position: the branch was not asked for";
    if (branches->items[index] == STARTED)
        return "position: the branch runs";
    return NULL;
}

void branch_started(const struct unit *batch, uint32_t index)
{
    struct branches *branches = batch->branches;

    if (batch->replay_children || branches->items[index] != TOLD)
        return;
    branches->items[index] = STARTED;
    branches->told -= branches->told > 0;
}

void branch_ended(const struct unit *batch, uint32_t index, enum dd_operation_status status)
{
    if (!batch->replay_children && batch->branches->items[index] == STARTED)
        ended(batch->branches, index, status);
}
