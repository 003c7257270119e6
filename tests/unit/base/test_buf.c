/* Growable bytes: the maximum holds, and an error stays until the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "tests/lib/abort.h"

static bool out_of_memory;

/* NOLINTBEGIN(bugprone-reserved-identifier): the names are the linker's, for --wrap */
void *__real_dd_try_realloc(void *ptr, size_t size);
void *__wrap_dd_try_realloc(void *ptr, size_t size);

/* The linker sends the room's calls of dd_try_realloc() here. */
void *__wrap_dd_try_realloc(void *ptr, size_t size)
{
    return out_of_memory ? NULL : __real_dd_try_realloc(ptr, size);
}
/* NOLINTEND(bugprone-reserved-identifier) */

static void assert_holds(const struct dd_buf *buf, const char *cstr)
{
    assert_false(buf->failed);
    assert_true(dd_span_is(dd_buf_span(buf), cstr));
}

static void test_append(void **state)
{
    struct dd_buf buf;

    (void)state;
    dd_buf_init(&buf, 1000);
    assert_holds(&buf, "");
    assert_null(buf.data);
    dd_buf_append(&buf, NULL, 0);
    dd_buf_append_span(&buf, DD_SPAN_NONE);
    assert_holds(&buf, "");
    dd_buf_append_span(&buf, DD_SPAN("a"));
    dd_buf_append_cstr(&buf, "bc");
    dd_buf_append_byte(&buf, 'd');
    dd_buf_printf(&buf, "%s%d", "e", 5);
    assert_holds(&buf, "abcde5");
    dd_buf_deinit(&buf);
    assert_int_equal(buf.max, 1000);
    dd_buf_append_cstr(&buf, "again");
    assert_holds(&buf, "again");
    dd_buf_deinit(&buf);
}

static void test_grows_to_its_maximum(void **state)
{
    struct dd_buf buf;

    (void)state;
    for (size_t max = 0; max < 300; max += 37) {
        dd_buf_init(&buf, max);
        for (size_t i = 0; i < max; i++)
            dd_buf_append_byte(&buf, (uint8_t)i);
        assert_false(buf.failed);
        assert_int_equal(buf.len, max);
        for (size_t i = 0; i < max; i++)
            assert_int_equal((uint8_t)buf.data[i], (uint8_t)i);
        dd_buf_append_byte(&buf, 0);
        assert_true(buf.failed);
        assert_int_equal(buf.len, max);
        dd_buf_deinit(&buf);
    }
}

static void test_error_stays(void **state)
{
    struct dd_buf buf;

    (void)state;
    dd_buf_init(&buf, 4);
    dd_buf_append_cstr(&buf, "ab");
    dd_buf_append_cstr(&buf, "cde");
    assert_true(buf.failed);
    dd_buf_append_cstr(&buf, "c");
    dd_buf_printf(&buf, "c");
    assert_null(dd_buf_reserve(&buf, 0));
    assert_int_equal(buf.len, 2);
    dd_buf_clear(&buf);
    dd_buf_append_cstr(&buf, "cdef");
    assert_holds(&buf, "cdef");
    assert_null(dd_buf_reserve(&buf, SIZE_MAX)); /* no overflow in the sum */
    assert_true(buf.failed);
    dd_buf_deinit(&buf);
}

static void test_printf_fits_exactly(void **state)
{
    struct dd_buf buf;

    (void)state;
    dd_buf_init(&buf, 64); /* no byte of slack for a NUL */
    dd_buf_printf(&buf, "%064d", 7);
    assert_false(buf.failed);
    assert_int_equal(buf.len, 64);
    dd_buf_printf(&buf, "%s", "");
    assert_false(buf.failed);
    dd_buf_printf(&buf, "x");
    assert_true(buf.failed);
    dd_buf_deinit(&buf);
}

static void test_out_of_memory(void **state)
{
    struct dd_buf buf;

    (void)state;
    dd_buf_init(&buf, 1000);
    dd_buf_append_cstr(&buf, "kept");
    out_of_memory = true;
    for (int i = 0; i < 500; i++)
        dd_buf_append_byte(&buf, 'x');
    out_of_memory = false;
    assert_true(buf.failed);
    assert_memory_equal(buf.data, "kept", 4);
    dd_buf_deinit(&buf);
}

static void test_reserve(void **state)
{
    struct dd_buf buf;
    char *to;

    (void)state;
    dd_buf_init(&buf, 1000);
    assert_non_null(dd_buf_reserve(&buf, 0));
    to = dd_buf_reserve(&buf, 500);
    assert_non_null(to);
    memset(to, 'r', 500);
    assert_int_equal(buf.len, 0);
    buf.len += 500;
    assert_non_null(dd_buf_reserve(&buf, 500));
    assert_null(dd_buf_reserve(&buf, 501));
    dd_buf_deinit(&buf);
}

static void body_consume_too_much(void *arg)
{
    dd_buf_consume(arg, 7);
}

static void test_consume(void **state)
{
    struct dd_buf buf;

    (void)state;
    dd_buf_init(&buf, 1000);
    dd_buf_consume(&buf, 0);
    dd_buf_append_cstr(&buf, "frame1frame2");
    dd_buf_consume(&buf, 6);
    assert_holds(&buf, "frame2");
    assert_true(dd_test_aborts(body_consume_too_much, &buf));
    dd_buf_consume(&buf, 6);
    assert_holds(&buf, "");
    dd_buf_deinit(&buf);
}

static void test_take(void **state)
{
    struct dd_buf buf;
    size_t len = 9;
    char *data;

    (void)state;
    dd_buf_init(&buf, 1000);
    data = dd_buf_take(&buf, &len);
    assert_non_null(data);
    assert_int_equal(len, 0);
    dd_free(data);
    dd_buf_append_cstr(&buf, "mine");
    data = dd_buf_take(&buf, &len);
    assert_int_equal(len, 4);
    assert_memory_equal(data, "mine", 4);
    dd_free(data);
    assert_holds(&buf, "");
    assert_int_equal(buf.max, 1000);
    dd_buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),        cmocka_unit_test(test_grows_to_its_maximum),
        cmocka_unit_test(test_error_stays),   cmocka_unit_test(test_printf_fits_exactly),
        cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_consume),       cmocka_unit_test(test_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
