/* map and parallel: branches beside each other, in one context.
 *
 * The daemon decides which branch starts when, and when the batch is complete. The
 * coordinator, on the caller's thread, starts what it is told to on a pool of threads,
 * asks the program's predicate, and puts the result together. */
#include "batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch_text.h"
#include "json.h"
#include "operation.h"
#include "pool.h"

/* The largest name that a namer may write. */
#define NAME_ROOM ((size_t)4 * LIMIT_NAME_MAX + 1)

struct kind {
    const char *sub_type;
    const char *branch_sub_type;
    const char *branch_name; /* followed by the index */
    const char *result_type;
};

static const struct kind map_kind = {"Map", "MapIteration", "map-item-", "MapResult"};
static const struct kind parallel_kind = {"Parallel", "ParallelBranch", "parallel-branch-",
                                          "ParallelResult"};

struct branch {
    struct job job; /* first: a job is its branch */
    struct batch *batch;
    size_t index;
    bool spawned;
    bool ended; /* guarded by the batch's lock, as the next two until then */
    int rc;     /* of the branch: OK, when `item` says what it ended as */
    struct durabled_item item;
};

struct batch {
    struct batch *next; /* of the session's */
    struct durabled_operation *operation;
    const struct kind *kind;
    struct durabled_batch_options options;
    size_t total;
    durabled_map_body map_body;              /* a map's */
    const struct durabled_branch *functions; /* ... else a parallel's */
    void *user;
    struct branch *branches;
    char *letters; /* where the branches stand, as the predicate sees them */
    struct durabled_progress progress;
    struct pool pool;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

/* --- making and freeing ------------------------------------------------------------------ */

void durabled_batch_clear(struct durabled_batch_result *result)
{
    if (!result)
        return;
    for (size_t i = 0; i < result->len; i++)
        durabled_result_clear(&result->items[i].result);
    free(result->items);
    *result = (struct durabled_batch_result){0};
}

/* Once its last branch has ended. */
static void batch_free(struct batch *batch)
{
    pool_join(&batch->pool);
    for (size_t i = 0; batch->branches && i < batch->total; i++)
        durabled_result_clear(&batch->branches[i].item.result);
    pthread_mutex_destroy(&batch->lock);
    pthread_cond_destroy(&batch->changed);
    free(batch->branches);
    free(batch->letters);
    free(batch);
}

static void run_job(struct job *job);

/* A copy of `wanted` that branches can be run in; NULL: no memory. */
static struct batch *batch_new(const struct batch *wanted)
{
    struct batch *batch = malloc(sizeof *batch);
    size_t most = wanted->options.max_concurrency;

    if (!batch)
        return NULL;
    *batch = *wanted;
    pool_init(&batch->pool, most > 0 && most < batch->total ? most : batch->total);
    pthread_mutex_init(&batch->lock, NULL);
    pthread_cond_init(&batch->changed, NULL);
    batch->branches = calloc(batch->total + 1, sizeof *batch->branches);
    batch->letters = malloc(batch->total + 1);
    if (!batch->branches || !batch->letters) {
        batch_free(batch);
        return NULL;
    }
    memset(batch->letters, LETTER_NONE, batch->total);
    batch->letters[batch->total] = '\0';
    batch->progress =
        (struct durabled_progress){.total = batch->total, .items = batch->letters};
    for (size_t i = 0; i < batch->total; i++)
        batch->branches[i] = (struct branch){.job.run = run_job, .batch = batch, .index = i};
    return batch;
}

/* With branches that still run it is left to the end of the session. */
static void batch_leave(struct batch *batch)
{
    struct durabled_session *session = batch->operation->session;
    bool running = false;

    pthread_mutex_lock(&batch->lock);
    for (size_t i = 0; i < batch->total; i++)
        running = running || (batch->branches[i].spawned && !batch->branches[i].ended);
    pthread_mutex_unlock(&batch->lock);
    if (!running) {
        batch_free(batch);
        return;
    }
    pthread_mutex_lock(&session->lock);
    batch->next = session->batches;
    session->batches = batch;
    pthread_mutex_unlock(&session->lock);
}

bool batches_join(struct durabled_session *session)
{
    struct batch *batch, *next;
    bool any;

    pthread_mutex_lock(&session->lock);
    batch = session->batches;
    session->batches = NULL;
    pthread_mutex_unlock(&session->lock);
    any = batch != NULL;
    for (; batch; batch = next) {
        next = batch->next;
        batch_free(batch);
    }
    return any;
}

/* --- branches ---------------------------------------------------------------------------- */

static void name_branch(const struct batch *batch, size_t index, char *out, size_t size)
{
    const char *given = batch->functions ? batch->functions[index].name : NULL;

    out[0] = '\0';
    if (batch->options.namer)
        batch->options.namer(index, out, size, batch->user);
    else if (given)
        (void)snprintf(out, size, "%s", given);
    if (!*out)
        (void)snprintf(out, size, "%s%zu", batch->kind->branch_name, index);
}

static int call_body(struct branch *branch, struct durabled_context *context,
                     struct durabled_result *result)
{
    const struct batch *batch = branch->batch;
    int rc;

    if (batch->functions)
        rc = batch->functions[branch->index].body(context, result,
                                                  batch->functions[branch->index].user);
    else
        rc = batch->map_body(context, branch->index, result, batch->user);
    /* It becomes a part of the batch's result. */
    if (rc == DURABLED_OK && result->payload.data && !json_is_value(result->payload))
        rc = durabled_raise(result, "SerDesError", "the result of the branch is no JSON value");
    return rc;
}

static void keep_item(struct branch *branch, bool succeeded, struct durabled_result *result)
{
    branch->item.status = succeeded ? DURABLED_ITEM_SUCCEEDED : DURABLED_ITEM_FAILED;
    branch->item.result = *result;
    *result = (struct durabled_result){0};
}

/* Runs the body, and tells the daemon what it came to. */
static int run_body(struct branch *branch, struct durabled_operation *operation)
{
    struct durabled_result result = {0};
    int ended = call_body(branch, &operation->child, &result);
    int rc = operation_close(operation, ended, &result);

    if (rc == DURABLED_OK)
        keep_item(branch, ended == DURABLED_OK, &result);
    else
        operation_left(operation, rc);
    durabled_result_clear(&result);
    return rc;
}

/* Starts the branch; runs it unless what it ended as is recorded. */
static int run_branch(struct branch *branch)
{
    struct batch *batch = branch->batch;
    char name[NAME_ROOM];
    struct durabled_start start = {.type = DURABLED_CONTEXT,
                                   .sub_type = batch->kind->branch_sub_type,
                                   .name = name,
                                   .is_virtual = batch->options.flat,
                                   .strand = true};
    struct opening opening = {
        .start = &start, .is_branch = true, .branch = (int64_t)branch->index};
    struct durabled_operation *operation;
    struct durabled_answer answer;
    int rc;

    name_branch(batch, branch->index, name, sizeof name);
    rc = operation_begin(&batch->operation->child, &opening, &operation, &answer);
    if (!operation)
        return rc;
    if (!operation->complete)
        return run_body(branch, operation);
    keep_item(branch, operation->succeeded, &operation->result);
    return DURABLED_OK;
}

static void run_job(struct job *job)
{
    struct branch *branch = (struct branch *)job;
    struct batch *batch = branch->batch;
    int rc = run_branch(branch);

    /* The coordinator would wait for a branch that can't go on. */
    if (rc < 0)
        session_unwind(batch->operation->session);
    pthread_mutex_lock(&batch->lock);
    branch->rc = rc;
    branch->ended = true;
    pthread_cond_broadcast(&batch->changed);
    pthread_mutex_unlock(&batch->lock);
}

static int wait_ended(struct branch *branch)
{
    struct batch *batch = branch->batch;

    pthread_mutex_lock(&batch->lock);
    while (!branch->ended)
        pthread_cond_wait(&batch->changed, &batch->lock);
    pthread_mutex_unlock(&batch->lock);
    return branch->rc;
}

/* --- the coordinator --------------------------------------------------------------------- */

static int no_thread(struct durabled_session *session, int reason)
{
    struct durabled_error error;

    error_set(&error, DURABLED_SYSTEM, "no thread for a branch: %s; give max_concurrency",
              strerror(reason));
    return session_fail(session, DURABLED_SYSTEM, &error);
}

static int spawn_branches(struct batch *batch, const msgpack_object *map)
{
    const msgpack_object *indexes = map_get(map, "branches");
    size_t len = indexes && indexes->type == MSGPACK_OBJECT_ARRAY ? indexes->via.array.size : 0;

    for (size_t i = 0; i < len; i++) {
        const msgpack_object *index = &indexes->via.array.ptr[i];
        struct branch *branch;
        int rc;

        if (index->type != MSGPACK_OBJECT_POSITIVE_INTEGER || index->via.u64 >= batch->total ||
            batch->branches[index->via.u64].spawned)
            return session_misuse(batch->operation->session,
                                  "the daemon wants a branch that can't be started");
        branch = &batch->branches[index->via.u64];
        batch->letters[branch->index] = LETTER_STARTED;
        rc = pool_submit(&batch->pool, &branch->job);
        if (rc != 0)
            return no_thread(batch->operation->session, rc);
        branch->spawned = true;
    }
    return DURABLED_OK;
}

/* The first change has no index: nothing runs yet. */
static void apply_change(struct batch *batch, const msgpack_object *change)
{
    int64_t index = map_int(change, "index", -1);
    bool succeeded = map_text_is(change, "status", "SUCCEEDED");

    if (index < 0 || (size_t)index >= batch->total)
        return;
    batch->letters[index] = succeeded ? LETTER_SUCCEEDED : LETTER_FAILED;
    batch->progress.succeeded += succeeded;
    batch->progress.failed += !succeeded;
}

/* What the predicate says, asked once after each change; NULL: go on. */
static const char *decide(struct batch *batch, const msgpack_object *map)
{
    const msgpack_object *changes = map_get(map, "changes");
    size_t len = changes && changes->type == MSGPACK_OBJECT_ARRAY ? changes->via.array.size : 0;

    for (size_t i = 0; i < len; i++) {
        enum durabled_completion said;

        apply_change(batch, &changes->via.array.ptr[i]);
        said = batch->options.predicate(&batch->progress, batch->user);
        if (said != DURABLED_GO_ON)
            return said == DURABLED_COMPLETE_FAILED ? "FAILED" : "SUCCEEDED";
    }
    return NULL;
}

/* The items of the branches that were started. What ended in an earlier invocation is
 * recorded, and is looked up here. */
static int collect(struct batch *batch, const char *letters, size_t len,
                   enum durabled_reason reason, struct durabled_batch_result *out)
{
    out->reason = reason;
    out->items = calloc(len + 1, sizeof *out->items);
    if (!out->items)
        return session_no_memory(batch->operation->session);
    for (size_t i = 0; i < len; i++) {
        struct branch *branch = &batch->branches[i];
        int rc = DURABLED_OK;

        if (letters[i] != LETTER_STARTED)
            rc = branch->spawned ? wait_ended(branch) : run_branch(branch);
        if (rc != DURABLED_OK)
            return rc;
        if (letters[i] != LETTER_STARTED) {
            out->items[i] = branch->item;
            branch->item.result = (struct durabled_result){0};
        }
        out->len = i + 1;
    }
    batch_count(out);
    return DURABLED_OK;
}

static int read_ready(struct batch *batch, const msgpack_object *map,
                      struct durabled_batch_result *out)
{
    struct durabled_text letters = map_text(map, "items");
    enum durabled_reason reason;

    if (letters.len > batch->total || !reason_read(map_text(map, "reason"), &reason))
        return session_misuse(batch->operation->session,
                              "the daemon ended a batch in a way that is not known");
    return collect(batch, letters.data, letters.len, reason, out);
}

/* Asks until the batch is complete. */
static int coordinate(struct batch *batch, struct durabled_batch_result *out)
{
    struct durabled_operation *operation = batch->operation;
    const char *said = NULL;
    bool ready = false;
    int rc = DURABLED_OK;

    while (rc == DURABLED_OK && !ready) {
        struct durabled_reply *reply;
        struct params params;

        operation_params(operation, &params);
        params_text(&params, "complete", said);
        said = NULL;
        rc = operation_ask(operation, "session.batch", &params, &reply);
        if (rc != DURABLED_OK)
            return rc;
        ready = map_text_is(&reply->result, "outcome", "ready");
        if (ready)
            rc = read_ready(batch, &reply->result, out);
        else if (map_text_is(&reply->result, "outcome", "run"))
            rc = spawn_branches(batch, &reply->result);
        else if (map_text_is(&reply->result, "outcome", "decide") && batch->options.predicate)
            said = decide(batch, &reply->result);
        else if (map_text_is(&reply->result, "outcome", "unwind"))
            rc = DURABLED_UNWIND;
        else
            rc = session_misuse(operation->session,
                                "the daemon answered with an outcome that is not known");
        durabled_reply_free(reply);
    }
    return rc;
}

/* The result again, of a batch whose result was too large to be kept. */
static int rebuild(struct batch *batch, struct durabled_text summary,
                   struct durabled_batch_result *out)
{
    struct durabled_session *session = batch->operation->session;
    enum durabled_reason reason;
    char *letters;
    size_t len;
    int rc = batch_read_summary(summary, batch->total, &letters, &len, &reason);

    if (rc == DURABLED_NO_MEMORY)
        return session_no_memory(session);
    if (rc != DURABLED_OK)
        return session_misuse(session, "the recorded summary of a batch makes no sense");
    rc = collect(batch, letters, len, reason, out);
    free(letters);
    return rc;
}

/* --- the batch itself -------------------------------------------------------------------- */

static int close_batch(struct batch *batch, bool recorded,
                       const struct durabled_batch_result *result)
{
    struct durabled_operation *operation = batch->operation;
    struct durabled_text payload = {0}, summary = {0};
    int rc = DURABLED_OK;

    if (!recorded && (!batch_write(result, &payload) ||
                      (payload.len > LIMIT_REPLAY_CHILDREN_THRESHOLD &&
                       !batch_write_summary(result, batch->kind->result_type, &summary))))
        rc = session_no_memory(operation->session);
    if (rc == DURABLED_OK)
        rc = durabled_succeed(operation, payload.data, payload.len, summary.data);
    /* The program has the items. */
    durabled_result_clear(&operation->result);
    free(payload.data);
    free(summary.data);
    return rc;
}

static int run_batch(const struct batch *wanted, const struct durabled_answer *answer,
                     struct durabled_batch_result *out)
{
    struct batch *batch = batch_new(wanted);
    int rc;

    if (!batch)
        return session_no_memory(wanted->operation->session);
    rc = answer->replay_children ? rebuild(batch, answer->state, out) : coordinate(batch, out);
    if (rc == DURABLED_OK)
        rc = close_batch(batch, answer->replay_children, out);
    if (rc != DURABLED_OK)
        durabled_batch_clear(out);
    batch_leave(batch);
    return rc;
}

/* What an earlier invocation recorded. */
static int recorded_batch(struct durabled_operation *operation,
                          struct durabled_batch_result *out)
{
    int rc =
        operation->succeeded ? batch_read(operation->result.payload, out) : DURABLED_PROTOCOL;

    durabled_result_clear(&operation->result);
    if (rc == DURABLED_NO_MEMORY)
        return session_no_memory(operation->session);
    if (rc != DURABLED_OK)
        return session_misuse(operation->session,
                              "the recorded result of a batch makes no sense");
    return rc;
}

static const char *bad_options(const struct batch *wanted)
{
    const struct durabled_batch_options *options = &wanted->options;
    const int64_t *count = options->tolerated_failure_count;
    const double *percentage = options->tolerated_failure_percentage;

    if (options->min_successful > wanted->total)
        return "min_successful is more than there are branches";
    if (count && *count < 0)
        return "tolerated_failure_count is not negative";
    if (percentage && !(*percentage >= 0 && *percentage <= 100))
        return "tolerated_failure_percentage is from 0 to 100";
    if (options->predicate && (options->min_successful > 0 || count || percentage))
        return "a predicate takes the place of the other criteria";
    return NULL;
}

static void pack_batch(const struct batch *wanted, struct params *params)
{
    const struct durabled_batch_options *options = &wanted->options;

    params_init(params);
    params_int(params, "total", (int64_t)wanted->total);
    params_text(params, "sub_type", wanted->kind->branch_sub_type);
    if (options->max_concurrency > 0)
        params_int(params, "max_concurrency", (int64_t)options->max_concurrency);
    if (options->min_successful > 0)
        params_int(params, "min_successful", (int64_t)options->min_successful);
    if (options->tolerated_failure_count)
        params_int(params, "tolerated_failure_count", *options->tolerated_failure_count);
    if (options->tolerated_failure_percentage)
        params_float(params, "tolerated_failure_percentage",
                     *options->tolerated_failure_percentage);
    if (options->predicate)
        params_bool(params, "ask", true);
    if (options->flat)
        params_bool(params, "virtual", true);
}

static int start_batch(struct durabled_context *context, const char *name, struct batch *wanted,
                       struct durabled_batch_result *out)
{
    struct durabled_start start = {
        .type = DURABLED_CONTEXT, .sub_type = wanted->kind->sub_type, .name = name};
    const char *bad = bad_options(wanted);
    struct durabled_answer answer;
    struct params params;
    int rc;

    *out = (struct durabled_batch_result){0};
    if (bad)
        return session_misuse(context->session, bad);
    pack_batch(wanted, &params);
    rc = operation_begin(context, &(struct opening){.start = &start, .batch = &params},
                         &wanted->operation, &answer);
    params_free(&params);
    if (!wanted->operation)
        return rc;
    return wanted->operation->complete ? recorded_batch(wanted->operation, out)
                                       : run_batch(wanted, &answer, out);
}

int durabled_map(struct durabled_context *context, const char *name, size_t len,
                 const struct durabled_batch_options *options, durabled_map_body body,
                 void *user, struct durabled_batch_result *out)
{
    struct batch wanted = {.kind = &map_kind, .total = len, .map_body = body, .user = user};

    if (options)
        wanted.options = *options;
    return start_batch(context, name, &wanted, out);
}

int durabled_parallel(struct durabled_context *context, const char *name,
                      const struct durabled_branch *branches, size_t len,
                      const struct durabled_batch_options *options, void *user,
                      struct durabled_batch_result *out)
{
    struct batch wanted = {
        .kind = &parallel_kind, .total = len, .functions = branches, .user = user};

    if (options)
        wanted.options = *options;
    return start_batch(context, name, &wanted, out);
}

int durabled_batch_raise(const struct durabled_batch_result *batch,
                         struct durabled_result *result)
{
    for (size_t i = 0; batch->status == DURABLED_FAILED && i < batch->len; i++) {
        if (batch->items[i].status != DURABLED_ITEM_FAILED)
            continue;
        durabled_result_clear(result);
        return failure_copy(&result->failure, &batch->items[i].result.failure)
                   ? DURABLED_FAILED
                   : DURABLED_NO_MEMORY;
    }
    if (batch->status == DURABLED_FAILED)
        return durabled_raise(result, "BatchCompletionError",
                              "Batch completed as failed by its predicate");
    return DURABLED_OK;
}
