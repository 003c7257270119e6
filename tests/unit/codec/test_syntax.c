/* What is JSON, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/limits.h"
#include "codec/syntax.h"

static void test_values(void **state)
{
    static const char *const good[] = {
        "0",
        "-0",
        "1.5e-7",
        "1E+400",
        "123456789012345678901234567890",
        "true",
        " null ",
        "\"\"",
        "\"\\u0000\\n\\\"\\ud800\"",
        "\"\xc3\xa9\"",
        "[]",
        "{}",
        "[[],{},[1,[2]]]",
        "{\"a\":{\"b\":[]},\"a\":1}",
        "\t{ \"a\" : [ 1 , 2 ] , \"b\" : { } }\r\n",
    };
    static const char *const bad[] = {
        "",           " ",           "nul",
        "nullx",      "01",          "-",
        "+1",         "1.",          ".5",
        "1e",         "1e+",         "0x1",
        "NaN",        "'a'",         "\"",
        "\"\\x\"",    "\"\\u12g4\"", "\"\\u12",
        "\"\n\"",     "\"\xff\"",    "\"\xed\xa0\x80\"",
        "[",          "]",           "[1,]",
        "[,1]",       "[1 2]",       "[1}",
        "{\"a\":1]",  "{\"a\"}",     "{\"a\":}",
        "{\"a\":1,}", "{1:2}",       "{a:1}",
        "1 2",        "[] []",       "\xef\xbb\xbf{}",
    };

    (void)state;
    for (size_t i = 0; i < DD_COUNT(good); i++) {
        if (!dd_json_valid(dd_span_cstr(good[i])))
            fail_msg("'%s' was refused", good[i]);
    }
    for (size_t i = 0; i < DD_COUNT(bad); i++) {
        if (dd_json_valid(dd_span_cstr(bad[i])))
            fail_msg("'%s' passed", bad[i]);
    }
    assert_false(dd_json_valid(DD_SPAN("1\0")));
}

/* Every prefix of a value is none, however it ends. */
static void test_no_prefix_passes(void **state)
{
    static const char whole[] = "{\"a\\u00e9\":[1.5e-3,true,null,\"\xc3\xa9\\\\\"],\"b\":{}}";

    (void)state;
    assert_true(dd_json_valid(dd_span_cstr(whole)));
    for (size_t len = 0; len < sizeof whole - 1; len++)
        assert_false(dd_json_valid(dd_span_make(whole, len)));
}

static void nest(char *out, size_t depth, const char *open, const char *close)
{
    size_t open_len = strlen(open), close_len = strlen(close);

    for (size_t i = 0; i < depth; i++, out += open_len)
        memcpy(out, open, open_len);
    *out++ = '1';
    for (size_t i = 0; i < depth; i++, out += close_len)
        memcpy(out, close, close_len);
    *out = '\0';
}

static void test_depth_has_an_end(void **state)
{
    static char text[8 * DD_JSON_DEPTH_MAX + 16];

    (void)state;
    nest(text, DD_JSON_DEPTH_MAX, "[", "]");
    assert_true(dd_json_valid(dd_span_cstr(text)));
    nest(text, DD_JSON_DEPTH_MAX + 1, "[", "]");
    assert_false(dd_json_valid(dd_span_cstr(text)));
    nest(text, DD_JSON_DEPTH_MAX, "{\"a\":", "}");
    assert_true(dd_json_valid(dd_span_cstr(text)));
    nest(text, DD_JSON_DEPTH_MAX, "{\"a\":", "]");
    assert_false(dd_json_valid(dd_span_cstr(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_no_prefix_passes),
        cmocka_unit_test(test_depth_has_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
