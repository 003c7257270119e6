/* The map beside a plain array that does the same, over random calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/map.h"
#include "base/rng.h"
#include "tests/lib/abort.h"

#define KEYS 300

struct entry {
    char key[8];
};

static struct dd_span key_of(const struct entry *entry)
{
    return dd_span_cstr(entry->key);
}

static void test_empty(void **state)
{
    struct dd_map map = {0};
    size_t at = 0;

    (void)state;
    assert_null(dd_map_get(&map, DD_SPAN("a")));
    assert_null(dd_map_remove(&map, DD_SPAN("a")));
    assert_null(dd_map_next(&map, &at));
    dd_map_deinit(&map);
}

static void test_put_replaces(void **state)
{
    struct entry one = {"k"}, two = {"k"};
    struct dd_map map;
    size_t at = 0;

    (void)state;
    dd_map_init(&map);
    assert_null(dd_map_put(&map, key_of(&one), &one));
    assert_ptr_equal(dd_map_put(&map, key_of(&two), &two), &one);
    assert_int_equal(map.len, 1);
    /* The key of the value that went is no longer looked at. */
    one.key[0] = 'x';
    assert_ptr_equal(dd_map_get(&map, DD_SPAN("k")), &two);
    assert_ptr_equal(dd_map_next(&map, &at), &two);
    assert_null(dd_map_next(&map, &at));
    assert_ptr_equal(dd_map_remove(&map, DD_SPAN("k")), &two);
    assert_int_equal(map.len, 0);
    dd_map_deinit(&map);
}

static void test_keys_are_bytes(void **state)
{
    struct entry nul = {"a"}, empty = {""};
    struct dd_map map;

    (void)state;
    dd_map_init(&map);
    dd_map_put(&map, DD_SPAN("a\0"), &nul);
    dd_map_put(&map, DD_SPAN(""), &empty);
    assert_null(dd_map_get(&map, DD_SPAN("a")));
    assert_ptr_equal(dd_map_get(&map, DD_SPAN("a\0")), &nul);
    assert_ptr_equal(dd_map_get(&map, DD_SPAN("")), &empty);
    assert_null(dd_map_get(&map, DD_SPAN_NONE));
    dd_map_deinit(&map);
}

/* Every entry is where a search for it ends: what backward shifting must keep. */
static void check(const struct dd_map *map, struct entry *entries, const int *held)
{
    size_t at = 0, seen = 0, count = 0;

    while (dd_map_next(map, &at))
        seen++;
    for (size_t i = 0; i < KEYS; i++) {
        count += held[i] ? 1 : 0;
        assert_ptr_equal(dd_map_get(map, key_of(&entries[i])), held[i] ? &entries[i] : NULL);
    }
    assert_int_equal(seen, count);
    assert_int_equal(map->len, count);
}

static void test_random_calls(void **state)
{
    static struct entry entries[KEYS];
    static int held[KEYS];
    struct dd_rng rng;
    struct dd_map map;

    (void)state;
    dd_rng_seed(&rng, 1);
    dd_map_init(&map);
    for (size_t i = 0; i < KEYS; i++)
        snprintf(entries[i].key, sizeof entries[i].key, "%zu", i);
    for (int round = 0; round < 20000; round++) {
        size_t i = dd_rng_below(&rng, KEYS);
        void *old = held[i] ? &entries[i] : NULL;

        held[i] = dd_rng_below(&rng, 2) == 1;
        if (held[i])
            assert_ptr_equal(dd_map_put(&map, key_of(&entries[i]), &entries[i]), old);
        else
            assert_ptr_equal(dd_map_remove(&map, key_of(&entries[i])), old);
        if (round % 100 == 0)
            check(&map, entries, held);
    }
    check(&map, entries, held);
    assert_true(map.cap <= 1024); /* removals leave nothing behind that makes it grow */
    dd_map_deinit(&map);
}

static void test_order_repeats(void **state)
{
    static struct entry entries[KEYS];
    struct dd_map maps[2];
    size_t at[2] = {0, 0};
    void *value;

    (void)state;
    for (int m = 0; m < 2; m++) {
        dd_map_init(&maps[m]);
        for (size_t i = 0; i < KEYS; i++) {
            snprintf(entries[i].key, sizeof entries[i].key, "%zu", i);
            dd_map_put(&maps[m], key_of(&entries[i]), &entries[i]);
        }
        for (size_t i = 0; i < KEYS; i += 3)
            dd_map_remove(&maps[m], key_of(&entries[i]));
    }
    do {
        value = dd_map_next(&maps[0], &at[0]);
        assert_ptr_equal(dd_map_next(&maps[1], &at[1]), value);
    } while (value);
    dd_map_deinit(&maps[0]);
    dd_map_deinit(&maps[1]);
}

static void body_put_null(void *arg)
{
    dd_map_put(arg, DD_SPAN("k"), NULL);
}

static void test_no_null_values(void **state)
{
    struct dd_map map = {0};

    (void)state;
    assert_true(dd_test_aborts(body_put_null, &map));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),          cmocka_unit_test(test_put_replaces),
        cmocka_unit_test(test_keys_are_bytes), cmocka_unit_test(test_random_calls),
        cmocka_unit_test(test_order_repeats),  cmocka_unit_test(test_no_null_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
