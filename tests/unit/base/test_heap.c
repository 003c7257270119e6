/* The heap gives out what a sort would give, ties by id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/heap.h"
#include "base/rng.h"
#include "tests/lib/abort.h"

#define ENTRIES 2000

static int compare(const void *a, const void *b)
{
    const struct dd_heap_entry *x = a, *y = b;

    if (x->when_ms != y->when_ms)
        return x->when_ms < y->when_ms ? -1 : 1;
    return dd_uuid_compare(x->id, y->id);
}

static struct dd_heap_entry draw(struct dd_rng *rng, uint64_t span)
{
    struct dd_heap_entry entry = {.when_ms = (int64_t)dd_rng_below(rng, span) - 10};

    dd_rng_fill(rng, entry.id.bytes, sizeof entry.id.bytes);
    return entry;
}

static void pop_equal(struct dd_heap *heap, const struct dd_heap_entry *expected)
{
    struct dd_heap_entry entry;

    assert_true(dd_heap_peek(heap, &entry));
    assert_int_equal(compare(&entry, expected), 0);
    dd_heap_pop(heap);
}

/* `span` small makes many ties, large makes none. */
static void sorts(uint64_t span, size_t count)
{
    static struct dd_heap_entry entries[ENTRIES];
    struct dd_heap heap;
    struct dd_rng rng;

    dd_rng_seed(&rng, span);
    dd_heap_init(&heap);
    for (size_t i = 0; i < count; i++) {
        entries[i] = draw(&rng, span);
        dd_heap_push(&heap, entries[i]);
    }
    qsort(entries, count, sizeof *entries, compare);
    for (size_t i = 0; i < count; i++)
        pop_equal(&heap, &entries[i]);
    assert_int_equal(heap.len, 0);
    dd_heap_deinit(&heap);
}

static void test_sorts(void **state)
{
    (void)state;
    for (size_t count = 0; count < 30; count++)
        sorts(1000000, count);
    sorts(UINT64_C(1) << 62, ENTRIES);
    sorts(20, ENTRIES);
    sorts(1, ENTRIES);
}

static void test_pushes_between_pops(void **state)
{
    struct dd_heap_entry entry;
    struct dd_heap heap;
    struct dd_rng rng;
    int64_t last = 0;

    (void)state;
    dd_rng_seed(&rng, 3);
    dd_heap_init(&heap);
    for (int i = 0; i < 5000; i++) {
        /* Nothing is due before what was popped, so the popped times only grow. */
        entry = draw(&rng, 1000);
        entry.when_ms += last + 10;
        dd_heap_push(&heap, entry);
        if (i % 3 == 0) {
            assert_true(dd_heap_peek(&heap, &entry));
            assert_true(entry.when_ms >= last);
            last = entry.when_ms;
            dd_heap_pop(&heap);
        }
    }
    assert_int_equal(heap.len, 5000 - 1667);
    dd_heap_deinit(&heap);
}

static void body_pop(void *arg)
{
    dd_heap_pop(arg);
}

static void test_empty(void **state)
{
    struct dd_heap_entry entry = {.when_ms = 42};
    struct dd_heap heap;

    (void)state;
    dd_heap_init(&heap);
    assert_false(dd_heap_peek(&heap, &entry));
    assert_int_equal(entry.when_ms, 42);
    assert_true(dd_test_aborts(body_pop, &heap));
    dd_heap_deinit(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sorts),
        cmocka_unit_test(test_pushes_between_pops),
        cmocka_unit_test(test_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
