/* What a batch may do, judged by sdk-semantics 5.1 from what its coordinator is told; see
 * sim.h. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

void batch_begin(struct batch *batch, const struct op *op, const char *execution)
{
    memset(batch, 0, sizeof *batch);
    batch->op = op;
    batch->execution = execution;
}

/* --- the rules ---------------------------------------------------------------------------- */

static int64_t total(const struct batch *batch)
{
    return (int64_t)batch->op->body->len;
}

static bool exceeded(const struct batch *batch)
{
    const struct criteria *criteria = &batch->op->criteria;

    if (batch->op->ask)
        return false;
    if (criteria->tolerated_count >= 0 && batch->failed > criteria->tolerated_count)
        return true;
    if (criteria->tolerated_percentage >= 0 && total(batch) > 0 &&
        batch->failed * 100 > criteria->tolerated_percentage * total(batch))
        return true;
    return criteria->min_successful < 0 && criteria->tolerated_count < 0 &&
           criteria->tolerated_percentage < 0 && batch->failed > 0;
}

/* Why it is complete; NULL: it is not. */
static const char *complete(const struct batch *batch)
{
    const struct criteria *criteria = &batch->op->criteria;

    if (exceeded(batch))
        return "FAILURE_TOLERANCE_EXCEEDED";
    if (batch->decided)
        return criteria->custom_failed ? "CUSTOM_COMPLETION_FAILED"
                                       : "CUSTOM_COMPLETION_SUCCEEDED";
    if (batch->succeeded + batch->failed == total(batch))
        return "ALL_COMPLETED";
    if (!batch->op->ask && criteria->min_successful >= 0 &&
        batch->succeeded >= criteria->min_successful)
        return "MIN_SUCCESSFUL_REACHED";
    return NULL;
}

/* --- what happens ------------------------------------------------------------------------- */

static void count(struct batch *batch, size_t index, char item)
{
    batch->items[index] = item;
    if (item == 'S')
        batch->succeeded++;
    else
        batch->failed++;
}

/* The daemon counted the branch by its record: it ended in an earlier session. */
static void counted(struct world *world, struct batch *batch, size_t index)
{
    const struct op *branch = &batch->op->body->ops[index];
    const char *outcome = oracle_outcome(world, batch->execution, branch->name);

    /* A large one that succeeded runs again for its value. */
    if (branch->is_virtual || !outcome[0] || (branch->large && outcome[0] == 'S'))
        broken(world, "%s: branch %s is counted and did not run", batch->execution,
               branch->name);
    covered("branch counted");
    count(batch, index, outcome[0]);
}

void batch_told(struct world *world, struct batch *batch, size_t index)
{
    const struct criteria *criteria = &batch->op->criteria;

    if (index < batch->next || index >= batch->op->body->len || batch->items[index])
        broken(world, "%s: branch %zu of %s is started out of order", batch->execution, index,
               batch->op->name);
    for (; batch->next < index; batch->next++)
        if (!batch->items[batch->next])
            counted(world, batch, batch->next);
    batch->next = index + 1;
    batch->items[index] = 'T';
    batch->running++;
    if (criteria->max_concurrency > 0 && batch->running > criteria->max_concurrency)
        broken(world, "%s: %lld branches of %s run at once", batch->execution,
               (long long)batch->running, batch->op->name);
    if (criteria->max_concurrency > 0 && batch->running == criteria->max_concurrency)
        covered("batch at its concurrency");
    if (complete(batch))
        broken(world, "%s: %s starts a branch after its end", batch->execution,
               batch->op->name);
    if (batch->op->ask &&
        (!batch->asked_first || batch->asked_len < batch->succeeded + batch->failed))
        broken(world, "%s: %s starts a branch without asking", batch->execution,
               batch->op->name);
}

void batch_ended(struct world *world, struct batch *batch, size_t index, const char *status)
{
    if (batch->items[index] != 'T')
        broken(world, "%s: branch %zu of %s ends twice", batch->execution, index,
               batch->op->name);
    batch->running--;
    count(batch, index, status[0]);
}

static void asked(struct world *world, struct batch *batch, const msgpack_object *change)
{
    size_t index = (size_t)member_int(change, "index");
    char status[16];

    if (!batch->asked_first) {
        batch->asked_first = true;
        if (member(change, "index"))
            broken(world, "%s: %s is not asked about before its branches", batch->execution,
                   batch->op->name);
        return;
    }
    if (!member(change, "index") || index >= batch->op->body->len || batch->asked[index])
        broken(world, "%s: %s is asked about a branch twice", batch->execution,
               batch->op->name);
    if (!batch->items[index])
        counted(world, batch, index);
    member_text(change, "status", status, sizeof status);
    if (batch->items[index] != status[0])
        broken(world, "%s: %s is asked about branch %zu, which is '%c', as %s",
               batch->execution, batch->op->name, index, batch->items[index], status);
    batch->asked[index] = true;
    batch->asked_len++;
}

const char *batch_decides(struct world *world, struct batch *batch,
                          const msgpack_object *changes)
{
    const struct criteria *criteria = &batch->op->criteria;

    covered("batch asked");
    for (uint32_t i = 0; i < changes->via.array.size; i++)
        asked(world, batch, &changes->via.array.ptr[i]);
    if (criteria->ends_wanted == 0 || batch->asked_len < criteria->ends_wanted)
        return NULL;
    batch->decided = true;
    return criteria->custom_failed ? "FAILED" : "SUCCEEDED";
}

void batch_ready(struct world *world, struct batch *batch, const char *reason,
                 const char *items)
{
    size_t len = strlen(items);
    const char *wanted;

    for (size_t i = 0; i < len; i++) {
        if (!batch->items[i] && items[i] != 'T')
            counted(world, batch, i);
        if (batch->items[i] && batch->items[i] != items[i])
            broken(world, "%s: branch %zu of %s is %c and said to be %c", batch->execution, i,
                   batch->op->name, batch->items[i], items[i]);
    }
    if (len < batch->next || len > batch->op->body->len)
        broken(world, "%s: %s started %zu branches and says %zu", batch->execution,
               batch->op->name, batch->next, len);
    wanted = complete(batch);
    if (!wanted || strcmp(wanted, reason) != 0)
        broken(world, "%s: %s is complete as %s instead of %s", batch->execution,
               batch->op->name, reason, wanted ? wanted : "open");
    if (batch->op->ask && !batch->decided &&
        batch->asked_len < batch->succeeded + batch->failed)
        broken(world, "%s: %s is complete without asking", batch->execution, batch->op->name);
    covered(reason);
    snprintf(batch->outcome, sizeof batch->outcome, "%s %s", reason, items);
}
