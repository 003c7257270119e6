/* Handlers made up from a name; see sim.h. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

#include "base/digest.h"

static struct op *add_ops(struct program *program, size_t len)
{
    struct op *ops = &program->ops[program->ops_len];

    program->ops_len += len;
    memset(ops, 0, len * sizeof *ops);
    return ops;
}

static void make_step(struct op *op, struct dd_rng *rng)
{
    op->kind = OP_STEP;
    op->at_most_once = dd_rng_below(rng, 3) == 0;
    op->ask = dd_rng_below(rng, 4) == 0;
    op->attempts = 1 + (int)dd_rng_below(rng, 3);
    op->fails = dd_rng_below(rng, 3) == 0 ? (int)dd_rng_below(rng, 4) : 0;
    op->body_ms = dd_rng_below(rng, 5) == 0 ? (int64_t)dd_rng_below(rng, 30000)
                                            : (int64_t)dd_rng_below(rng, 20);
}

static void make_poll(struct op *op, struct dd_rng *rng)
{
    op->kind = OP_POLL;
    op->attempts = 1 + (int)dd_rng_below(rng, 4);
    op->seconds = 1 + (int64_t)dd_rng_below(rng, dd_rng_below(rng, 4) ? 4 : 20000);
    op->fails = dd_rng_below(rng, 4) == 0;
    op->body_ms = (int64_t)dd_rng_below(rng, dd_rng_below(rng, 5) ? 20 : 10000);
}

/* Nobody may complete it, so that it has a timeout. */
static void make_callback(struct op *op, struct dd_rng *rng)
{
    op->kind = OP_CALLBACK;
    op->later = dd_rng_below(rng, 2) == 0;
    op->seconds = 1 + (int64_t)dd_rng_below(rng, dd_rng_below(rng, 4) ? 60 : 100000);
    op->heartbeat_s = dd_rng_below(rng, 3) == 0 ? 1 + (int64_t)dd_rng_below(rng, 30) : 0;
}

static void make_invoke(struct program *program, struct op *op, struct dd_rng *rng)
{
    static const char *const functions[] = {"plain", "nobody", "child", "child", "child"};

    op->kind = OP_INVOKE;
    op->later = dd_rng_below(rng, 2) == 0;
    op->function = functions[dd_rng_below(rng, program->invoked ? 2 : DD_COUNT(functions))];
    op->fails = dd_rng_below(rng, 3) == 0;
    op->body_ms = (int64_t)dd_rng_below(rng, dd_rng_below(rng, 3) ? 20 : 10000);
}

static void name_op(const struct program *program, struct op *op)
{
    snprintf(op->name, sizeof op->name, "op%zu", (size_t)(op - program->ops));
}

static const struct body *make_body(struct program *program, struct dd_rng *rng, int depth);

static void make_criteria(struct op *op, struct dd_rng *rng, size_t total)
{
    struct criteria *criteria = &op->criteria;

    *criteria = (struct criteria){
        .min_successful = -1, .tolerated_count = -1, .tolerated_percentage = -1};
    criteria->max_concurrency = (int64_t)dd_rng_below(rng, total + 1);
    op->ask = dd_rng_below(rng, 4) == 0;
    if (op->ask) {
        criteria->ends_wanted = (int64_t)dd_rng_below(rng, total + 1);
        criteria->custom_failed = dd_rng_below(rng, 2) == 0;
        return;
    }
    if (dd_rng_below(rng, 3) == 0)
        criteria->min_successful = (int64_t)dd_rng_below(rng, total + 1);
    if (dd_rng_below(rng, 3) == 0)
        criteria->tolerated_count = (int64_t)dd_rng_below(rng, total + 1);
    if (dd_rng_below(rng, 3) == 0)
        criteria->tolerated_percentage = 25 * (int64_t)dd_rng_below(rng, 5);
}

/* False when the program is large enough without it. */
static bool make_batch(struct program *program, struct op *op, struct dd_rng *rng, int depth)
{
    static const struct body empty;
    size_t total = dd_rng_below(rng, 6);
    struct body *body;

    if (program->ops_len + 4 * total > SIM_OPERATIONS_MAX)
        return false;
    op->kind = OP_BATCH;
    op->is_virtual = dd_rng_below(rng, 4) == 0;
    op->large = dd_rng_below(rng, 4) == 0;
    make_criteria(op, rng, total);
    body = &program->bodies[program->bodies_len++];
    *body = (struct body){.ops = add_ops(program, total), .len = total};
    op->body = body;
    for (size_t i = 0; i < total; i++) {
        struct op *branch = &body->ops[i];

        branch->kind = OP_BRANCH;
        name_op(program, branch);
        branch->caught = true;
        branch->is_virtual = op->is_virtual;
        branch->large = !branch->is_virtual && dd_rng_below(rng, 5) == 0;
        branch->fails = dd_rng_below(rng, 4) == 0;
    }
    for (size_t i = 0; i < total; i++) {
        body->ops[i].body = make_body(program, rng, depth + 1);
        if (!body->ops[i].body)
            body->ops[i].body = &empty;
    }
    return true;
}

static void make_context(struct program *program, struct op *op, struct dd_rng *rng, int depth)
{
    op->kind = dd_rng_below(rng, 3) == 0 ? OP_STRAND : OP_CHILD;
    op->is_virtual = op->kind == OP_CHILD && dd_rng_below(rng, 4) == 0;
    op->large = op->kind == OP_CHILD && !op->is_virtual && dd_rng_below(rng, 4) == 0;
    op->body = make_body(program, rng, depth + 1);
}

static void make_op(struct program *program, struct op *op, struct dd_rng *rng, int depth)
{
    uint64_t kind = dd_rng_below(rng, depth < 2 ? 13 : 8);

    name_op(program, op);
    op->caught = dd_rng_below(rng, 4) != 0;
    if (kind < 3) {
        make_step(op, rng);
    } else if (kind < 5) {
        op->kind = OP_WAIT;
        op->seconds = 1 + (int64_t)dd_rng_below(rng, dd_rng_below(rng, 4) ? 5 : 100000);
    } else if (kind == 5) {
        make_poll(op, rng);
    } else if (kind == 6) {
        make_callback(op, rng);
    } else if (kind == 7) {
        make_invoke(program, op, rng);
    } else if (kind < 11) {
        make_context(program, op, rng, depth);
        if (!op->body)
            make_step(op, rng);
    } else if (!make_batch(program, op, rng, depth)) {
        make_step(op, rng);
    }
}

static const struct body *make_body(struct program *program, struct dd_rng *rng, int depth)
{
    size_t len = 1 + dd_rng_below(rng, depth == 0 ? 5 : 3);
    struct body *body;

    if (program->ops_len + len > SIM_OPERATIONS_MAX)
        return NULL;
    body = &program->bodies[program->bodies_len++];
    body->ops = add_ops(program, len);
    body->len = len;
    body->any = dd_rng_below(rng, 2) == 0;
    for (size_t i = 0; i < len; i++)
        make_op(program, &body->ops[i], rng, depth);
    return body;
}

void program_make(struct program *program, const char *name, bool invoked)
{
    struct dd_rng rng;

    memset(program, 0, sizeof *program);
    dd_rng_seed(&rng, dd_checksum64(dd_span_cstr(name)));
    program->invoked = invoked;
    program->root = make_body(program, &rng, 0);
    program->raises = dd_rng_below(&rng, 6) == 0;
}
