/* xoshiro256** 1.0 by Blackman and Vigna, seeded by splitmix64; see rng.h. */
#include "base/rng.h"

#include <string.h>

#include "base/check.h"

static uint64_t rotate(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

void dd_rng_seed(struct dd_rng *rng, uint64_t seed)
{
    for (size_t i = 0; i < DD_COUNT(rng->state); i++) {
        uint64_t mixed = seed += 0x9e3779b97f4a7c15;

        mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
        rng->state[i] = mixed ^ mixed >> 31;
    }
}

uint64_t dd_rng_next(struct dd_rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t dd_rng_below(struct dd_rng *rng, uint64_t bound)
{
    uint64_t limit, drawn;

    dd_assert(bound > 0);
    limit = UINT64_MAX - UINT64_MAX % bound;
    do
        drawn = dd_rng_next(rng);
    while (drawn >= limit);
    return drawn % bound;
}

double dd_rng_unit(struct dd_rng *rng)
{
    return (double)(dd_rng_next(rng) >> 11) * 0x1.0p-53;
}

void dd_rng_fill(struct dd_rng *rng, void *out_bytes, size_t len)
{
    unsigned char *to = out_bytes;

    while (len > 0) {
        uint64_t drawn = dd_rng_next(rng);
        size_t part = len < sizeof drawn ? len : sizeof drawn;

        memcpy(to, &drawn, part);
        to += part;
        len -= part;
    }
}
