/* UTF-8: every code point is accepted in its one form, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/utf8.h"

/* Writes `code` in `len` bytes whether or not it should be, and returns them. */
static struct dd_span encode(uint32_t code, size_t len, char out[4])
{
    static const uint8_t lead[5] = {0, 0x00, 0xc0, 0xe0, 0xf0};

    for (size_t i = len; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(lead[len] | code);
    return dd_span_make(out, len);
}

static size_t shortest(uint32_t code)
{
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

static void test_every_code_point(void **state)
{
    char bytes[4];

    (void)state;
    for (uint32_t code = 0; code < 0x1fffff; code++) {
        bool legal = code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);

        if (dd_utf8_valid(encode(code, shortest(code), bytes)) != legal)
            fail_msg("U+%04X", code);
        for (size_t len = shortest(code) + 1; len <= 4; len++) {
            if (dd_utf8_valid(encode(code, len, bytes)))
                fail_msg("U+%04X in %zu bytes", code, len);
        }
    }
}

static void test_cut_short(void **state)
{
    char bytes[4];

    (void)state;
    for (size_t len = 2; len <= 4; len++) {
        struct dd_span whole = encode(len == 2   ? 0xe9
                                      : len == 3 ? 0x20ac
                                                 : 0x1f600,
                                      len, bytes);

        assert_true(dd_utf8_valid(whole));
        for (size_t cut = 1; cut < len; cut++) {
            assert_false(dd_utf8_valid(dd_span_make(bytes, cut)));
            assert_false(dd_utf8_valid(dd_span_make(bytes + cut, len - cut)));
        }
    }
}

/* The fast path over eight ASCII bytes must not step over what follows them. */
static void test_at_every_offset(void **state)
{
    char text[40];

    (void)state;
    for (size_t at = 0; at + 2 < sizeof text; at++) {
        memset(text, 'a', sizeof text);
        assert_true(dd_utf8_valid(dd_span_make(text, sizeof text)));
        text[at] = (char)0xc3;
        assert_false(dd_utf8_valid(dd_span_make(text, sizeof text)));
        text[at + 1] = (char)0xa9;
        assert_true(dd_utf8_valid(dd_span_make(text, sizeof text)));
        text[at] = 'a';
        assert_false(dd_utf8_valid(dd_span_make(text, sizeof text)));
    }
}

static void test_cut_between_characters(void **state)
{
    static const size_t lengths[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
    struct dd_span text = DD_SPAN("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82");

    (void)state;
    for (size_t max = 0; max < DD_COUNT(lengths); max++)
        assert_int_equal(dd_utf8_cut(text, max).len, lengths[max]);
    assert_int_equal(dd_utf8_cut(text, 100).len, 10);
}

static void test_nothing(void **state)
{
    (void)state;
    assert_true(dd_utf8_valid(DD_SPAN("")));
    assert_true(dd_utf8_valid(DD_SPAN_NONE));
    assert_true(dd_utf8_valid(DD_SPAN("\0")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_point), cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_at_every_offset),  cmocka_unit_test(test_cut_between_characters),
        cmocka_unit_test(test_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
