/* Small seeded generator (xoshiro256** seeded by splitmix64): jitter and the
 * simulator. Never for tokens or ids that must not be guessed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct dd_rng {
    uint64_t state[4];
};

void dd_rng_seed(struct dd_rng *rng, uint64_t seed);
uint64_t dd_rng_next(struct dd_rng *rng);

/* Uniform in [0, bound); bound > 0. */
uint64_t dd_rng_below(struct dd_rng *rng, uint64_t bound);

/* Uniform in [0, 1). */
double dd_rng_unit(struct dd_rng *rng);

void dd_rng_fill(struct dd_rng *rng, void *out_bytes, size_t len);
