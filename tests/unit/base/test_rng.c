/* A seed means the same numbers for ever: kept seeds of the simulator rely on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "tests/lib/abort.h"

static void test_known_sequence(void **state)
{
    struct dd_rng rng;

    (void)state;
    dd_rng_seed(&rng, 42);
    assert_true(dd_rng_next(&rng) == UINT64_C(0x15780b2e0c2ec716));
    assert_true(dd_rng_next(&rng) == UINT64_C(0x6104d9866d113a7e));
    assert_true(dd_rng_next(&rng) == UINT64_C(0xae17533239e499a1));
    for (int i = 3; i < 999; i++)
        dd_rng_next(&rng);
    assert_true(dd_rng_next(&rng) == UINT64_C(0x8de5848c61ab8968));
}

static void test_seeding(void **state)
{
    struct dd_rng rng;

    (void)state;
    /* First outputs of splitmix64 for this seed, as its authors' code gives them. */
    dd_rng_seed(&rng, 1234567);
    assert_true(rng.state[0] == UINT64_C(6457827717110365317));
    assert_true(rng.state[1] == UINT64_C(0x2c73f08458540fa5));
}

static void test_below_is_uniform(void **state)
{
    unsigned counts[7] = {0};
    struct dd_rng rng;

    (void)state;
    dd_rng_seed(&rng, 5);
    for (int i = 0; i < 70000; i++) {
        uint64_t drawn = dd_rng_below(&rng, 7);

        assert_true(drawn < 7);
        counts[drawn]++;
    }
    for (int i = 0; i < 7; i++)
        assert_in_range(counts[i], 9600, 10400); /* four standard deviations */
    for (int i = 0; i < 100; i++)
        assert_int_equal(dd_rng_below(&rng, 1), 0);
}

/* With a bound of three quarters of the range, a bare remainder would give the lowest
 * third half of the time. */
static void test_below_large_bound(void **state)
{
    uint64_t third = UINT64_C(1) << 62;
    unsigned low = 0;
    struct dd_rng rng;

    (void)state;
    dd_rng_seed(&rng, 7);
    for (int i = 0; i < 9000; i++)
        low += dd_rng_below(&rng, 3 * third) < third;
    assert_in_range(low, 2800, 3200);
}

static void test_unit(void **state)
{
    double sum = 0;
    struct dd_rng rng;

    (void)state;
    dd_rng_seed(&rng, 6);
    for (int i = 0; i < 10000; i++) {
        double drawn = dd_rng_unit(&rng);

        assert_true(drawn >= 0 && drawn < 1);
        sum += drawn;
    }
    assert_true(sum > 4880 && sum < 5120);
    /* The largest output of the generator still stays below one. */
    assert_true((double)(UINT64_MAX >> 11) * 0x1.0p-53 < 1);
}

static void test_fill(void **state)
{
    uint8_t bytes[21] = {0};
    struct dd_rng rng, same;

    (void)state;
    dd_rng_seed(&rng, 42);
    dd_rng_fill(&rng, bytes, 19);
    assert_int_equal(bytes[0], 0x16); /* little-endian, on every machine that we build for */
    assert_int_equal(bytes[7], 0x15);
    assert_int_equal(bytes[19], 0);
    assert_int_equal(bytes[20], 0);
    dd_rng_seed(&same, 42);
    for (int i = 0; i < 3; i++)
        dd_rng_next(&same);
    assert_true(dd_rng_next(&rng) == dd_rng_next(&same));
}

static void body_below_zero(void *arg)
{
    dd_rng_below(arg, 0);
}

static void test_no_bound(void **state)
{
    struct dd_rng rng;

    (void)state;
    dd_rng_seed(&rng, 0);
    assert_true(dd_test_aborts(body_below_zero, &rng));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_sequence),
        cmocka_unit_test(test_seeding),
        cmocka_unit_test(test_below_is_uniform),
        cmocka_unit_test(test_below_large_bound),
        cmocka_unit_test(test_unit),
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_no_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
