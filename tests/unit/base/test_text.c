/* Counted text: shared, and gone with the last reference. The leak checker of the
 * dev build is half of this test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>

#include "base/text.h"
#include "tests/lib/abort.h"

static bool out_of_memory;

/* NOLINTBEGIN(bugprone-reserved-identifier): the names are the linker's, for --wrap */
void *__real_dd_try_alloc(size_t size);
void *__wrap_dd_try_alloc(size_t size);

/* The linker sends the room's calls of dd_try_alloc() here. */
void *__wrap_dd_try_alloc(size_t size)
{
    return out_of_memory ? NULL : __real_dd_try_alloc(size);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void test_null_is_absent(void **state)
{
    struct dd_text *text = NULL;

    (void)state;
    assert_null(dd_text_new(DD_SPAN_NONE));
    assert_null(dd_text_cstr(NULL));
    assert_null(dd_text_ref(NULL));
    dd_text_unref(NULL);
    assert_null(dd_text_span(NULL).data);
    assert_string_equal(dd_text_or(NULL, "none"), "none");
    assert_true(dd_text_try_new(DD_SPAN_NONE, &text) && !text);
}

static void test_set_absent(void **state)
{
    struct dd_text *text = dd_text_cstr("x");

    (void)state;
    dd_text_set(&text, NULL);
    assert_null(text);
}

static void test_copy_with_nul(void **state)
{
    char bytes[] = "step\0one";
    struct dd_text *text = dd_text_new(dd_span_make(bytes, 8));
    struct dd_text *empty = dd_text_cstr("");

    (void)state;
    bytes[0] = 'X';
    assert_int_equal(text->len, 8);
    assert_memory_equal(text->data, "step\0one", 9);
    assert_non_null(empty);
    assert_false(dd_text_equal(empty, NULL));
    assert_string_equal(dd_text_or(empty, "none"), "");
    dd_text_unref(empty);
    dd_text_unref(text);
}

static void test_references(void **state)
{
    struct dd_text *text = dd_text_cstr("shared");
    struct dd_text *slot = NULL;
    struct dd_text *same = dd_text_cstr("shared");

    (void)state;
    dd_text_set(&slot, text);
    assert_int_equal(text->refs, 2);
    dd_text_set(&slot, slot); /* itself, the only holder being the slot after this */
    assert_int_equal(text->refs, 2);
    dd_text_unref(text);
    dd_text_set(&slot, slot);
    assert_true(dd_text_equal(slot, same) && slot != same);
    dd_text_set(&slot, same);
    assert_int_equal(same->refs, 2);
    dd_text_unref(same);
    dd_text_unref(slot);
}

static void body_new(void *arg)
{
    (void)arg;
    dd_text_unref(dd_text_cstr("x"));
}

static void test_out_of_memory(void **state)
{
    struct dd_text *text = NULL;

    (void)state;
    out_of_memory = true;
    assert_false(dd_text_try_new(DD_SPAN("x"), &text));
    assert_null(text);
    assert_true(dd_test_aborts(body_new, NULL));
    out_of_memory = false;
    assert_false(dd_test_aborts(body_new, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null_is_absent), cmocka_unit_test(test_set_absent),
        cmocka_unit_test(test_copy_with_nul),  cmocka_unit_test(test_references),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
