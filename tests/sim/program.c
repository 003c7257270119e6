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

static const struct body *make_body(struct program *program, struct dd_rng *rng, int depth);

static void make_op(struct program *program, struct op *op, struct dd_rng *rng, int depth)
{
    uint64_t kind = dd_rng_below(rng, depth < 2 ? 8 : 5);

    op->caught = dd_rng_below(rng, 4) != 0;
    if (kind < 3) {
        make_step(op, rng);
    } else if (kind < 5) {
        op->kind = OP_WAIT;
        op->seconds = 1 + (int64_t)dd_rng_below(rng, dd_rng_below(rng, 4) ? 5 : 100000);
    } else {
        op->kind = kind == 7 ? OP_STRAND : OP_CHILD;
        op->is_virtual = op->kind == OP_CHILD && dd_rng_below(rng, 4) == 0;
        op->large = op->kind == OP_CHILD && !op->is_virtual && dd_rng_below(rng, 4) == 0;
        op->body = make_body(program, rng, depth + 1);
        if (!op->body)
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
    for (size_t i = 0; i < len; i++) {
        make_op(program, &body->ops[i], rng, depth);
        snprintf(body->ops[i].name, sizeof body->ops[i].name, "op%zu",
                 (size_t)(&body->ops[i] - program->ops));
    }
    return body;
}

void program_make(struct program *program, const char *name)
{
    struct dd_rng rng;

    memset(program, 0, sizeof *program);
    dd_rng_seed(&rng, dd_checksum64(dd_span_cstr(name)));
    program->root = make_body(program, &rng, 0);
    program->raises = dd_rng_below(&rng, 6) == 0;
}
