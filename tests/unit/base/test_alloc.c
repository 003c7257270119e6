/* Zeroed memory, and the end of the process where NULL would be no answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/alloc.h"
#include "tests/lib/abort.h"

static void body_overflow(void *arg)
{
    (void)arg;
    dd_free(dd_alloc_array(SIZE_MAX / 2, 4));
}

static void body_realloc_overflow(void *arg)
{
    (void)arg;
    dd_free(dd_realloc_array(NULL, SIZE_MAX / 2, 4));
}

static void test_zeroed(void **state)
{
    static const char zeros[64];
    char *ptr;

    (void)state;
    /* Twice, so that the second comes from freed, written memory. */
    for (int i = 0; i < 2; i++) {
        ptr = dd_alloc(sizeof zeros);
        assert_memory_equal(ptr, zeros, sizeof zeros);
        memset(ptr, 0xff, sizeof zeros);
        dd_free(ptr);
    }
    ptr = dd_alloc_array(8, 8);
    assert_memory_equal(ptr, zeros, sizeof zeros);
    dd_free(ptr);
}

static void test_nothing_is_something(void **state)
{
    void *none;

    (void)state;
    none = dd_alloc(0);
    assert_non_null(none);
    dd_free(none);
    none = dd_alloc_array(0, 8);
    assert_non_null(none);
    none = dd_realloc_array(none, 0, 8);
    assert_non_null(none);
    dd_free(none);
    none = dd_try_alloc(0);
    assert_non_null(none);
    dd_free(none);
    dd_free(NULL);
}

static void test_realloc_keeps(void **state)
{
    int *numbers = dd_alloc_array(2, sizeof *numbers);

    (void)state;
    numbers[1] = 7;
    numbers = dd_realloc_array(numbers, 1000, sizeof *numbers);
    assert_int_equal(numbers[1], 7);
    numbers[999] = 8;
    dd_free(numbers);
}

static void test_too_much(void **state)
{
    volatile size_t huge = SIZE_MAX / 4;
    char *ptr;

    (void)state;
    assert_true(dd_test_aborts(body_overflow, NULL));
    assert_true(dd_test_aborts(body_realloc_overflow, NULL));
    assert_null(dd_try_alloc(huge));
    ptr = dd_try_alloc(3);
    memcpy(ptr, "ab", 3);
    assert_null(dd_try_realloc(ptr, huge));
    assert_string_equal(ptr, "ab");
    dd_free(ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeroed),
        cmocka_unit_test(test_nothing_is_something),
        cmocka_unit_test(test_realloc_keeps),
        cmocka_unit_test(test_too_much),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
