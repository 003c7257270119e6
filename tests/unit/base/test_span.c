/* Absent and empty are two things. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/span.h"

static void test_absent_and_empty(void **state)
{
    struct dd_span empty = dd_span_make("", 0);

    (void)state;
    assert_true(dd_span_equal(DD_SPAN_NONE, DD_SPAN_NONE));
    assert_true(dd_span_equal(empty, DD_SPAN("")));
    assert_false(dd_span_equal(empty, DD_SPAN_NONE));
    assert_false(dd_span_equal(DD_SPAN_NONE, empty));
    assert_null(dd_span_cstr(NULL).data);
    assert_int_equal(dd_span_cstr(NULL).len, 0);
}

static void test_equal_compares_bytes_and_length(void **state)
{
    (void)state;
    assert_true(dd_span_equal(DD_SPAN("a\0b"), dd_span_make("a\0b", 3)));
    assert_false(dd_span_equal(DD_SPAN("a\0b"), DD_SPAN("a\0c")));
    assert_false(dd_span_equal(DD_SPAN("ab"), DD_SPAN("abc")));
    assert_true(dd_span_is(DD_SPAN("START"), "START"));
    assert_false(dd_span_is(DD_SPAN("START"), "STAR"));
    assert_false(dd_span_is(DD_SPAN_NONE, ""));
    assert_true(dd_span_is(DD_SPAN_NONE, NULL));
}

static void test_order(void **state)
{
    (void)state;
    assert_true(dd_span_compare(DD_SPAN("a"), DD_SPAN("b")) < 0);
    assert_true(dd_span_compare(DD_SPAN("b"), DD_SPAN("ab")) > 0);
    assert_true(dd_span_compare(DD_SPAN("a"), DD_SPAN("ab")) < 0);
    assert_true(dd_span_compare(DD_SPAN("ab"), DD_SPAN("a")) > 0);
    assert_true(dd_span_compare(DD_SPAN("\xff"), DD_SPAN("a")) > 0);
    assert_int_equal(dd_span_compare(DD_SPAN(""), DD_SPAN_NONE), 0);
}

static void test_find(void **state)
{
    struct dd_span text = DD_SPAN("a/b/c");

    (void)state;
    assert_ptr_equal(dd_span_find(text, "/"), text.data + 1);
    assert_ptr_equal(dd_span_find(text, "/c"), text.data + 3);
    assert_ptr_equal(dd_span_find(text, ""), text.data);
    assert_null(dd_span_find(text, "/c/"));
    assert_null(dd_span_find(dd_span_make(text.data, 3), "c"));
    assert_null(dd_span_find(DD_SPAN_NONE, ""));
}

static void test_trim(void **state)
{
    (void)state;
    assert_true(dd_span_is(dd_span_trim(DD_SPAN(" \t\v\f\r\na  b\n ")), "a  b"));
    assert_true(dd_span_is(dd_span_trim(DD_SPAN("a")), "a"));
    assert_true(dd_span_equal(dd_span_trim(DD_SPAN("\0 ")), DD_SPAN("\0")));
    assert_true(dd_span_is(dd_span_trim(DD_SPAN(" \n ")), ""));
    assert_null(dd_span_trim(DD_SPAN_NONE).data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_absent_and_empty),
        cmocka_unit_test(test_equal_compares_bytes_and_length),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_trim),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
