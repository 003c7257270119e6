/* The table of errors, and texts that fill up instead of overflowing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/error.h"

static const enum dd_code codes[] = {
#define X(symbol, value, name, retryable, status) DD_##symbol,
    DD_ERROR_TABLE(X)
#undef X
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < DD_COUNT(codes); i++) {
        assert_true(codes[i] < 0);
        assert_true(strlen(dd_error_name(codes[i])) > 0);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(codes[i], codes[j]);
            assert_string_not_equal(dd_error_name(codes[i]), dd_error_name(codes[j]));
        }
    }
    assert_string_equal(dd_error_name(DD_INVALID_PARAMETER), "InvalidParameterValueException");
    assert_string_equal(dd_error_name(DD_OK), "OK");
    assert_true(dd_error_retryable(DD_TOO_MANY_REQUESTS));
    assert_false(dd_error_retryable(DD_VALIDATION));
    assert_false(dd_error_retryable(DD_OK));
}

static void test_fail(void **state)
{
    struct dd_error error;

    (void)state;
    assert_int_equal(dd_fail(&error, DD_NOT_FOUND, "no function %s", "order"), DD_NOT_FOUND);
    assert_int_equal(error.code, DD_NOT_FOUND);
    assert_string_equal(error.text, "no function order");
    assert_int_equal(dd_fail(NULL, DD_SYSTEM, "nobody reads it"), DD_SYSTEM);
}

static void test_wrap(void **state)
{
    struct dd_error error;

    (void)state;
    dd_fail(&error, DD_STORE_FAILED, "permission denied");
    assert_int_equal(dd_wrap(&error, "%s", "/var/lib/durabled"), DD_STORE_FAILED);
    assert_int_equal(dd_wrap(&error, "open store"), DD_STORE_FAILED);
    assert_string_equal(error.text, "open store: /var/lib/durabled: permission denied");
}

/* A text goes to peers, who decode it. */
static void test_texts_are_utf8(void **state)
{
    struct dd_error error;

    (void)state;
    (void)dd_fail(&error, DD_BAD_PARAMS, "no method '%.4s'", "ab\xe2\x82\xac");
    assert_string_equal(error.text, "no method 'ab?"
                                    "?'");
    (void)dd_fail(&error, DD_BAD_PARAMS, "%510s\xc3\xa9", "");
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    assert_int_equal(error.text[sizeof error.text - 2], '?');
    (void)dd_fail(&error, DD_BAD_PARAMS, "\xe2\x82\xac");
    assert_string_equal(error.text, "\xe2\x82\xac");
    (void)dd_wrap(&error, "%505s", "");
    assert_string_equal(error.text + 505, ": \xe2\x82\xac");
    (void)dd_fail(&error, DD_BAD_PARAMS, "\xe2\x82\xac");
    (void)dd_wrap(&error, "%507s", "");
    assert_string_equal(error.text + 507, ": ?"
                                          "?");
}

static void test_long_texts_are_cut(void **state)
{
    struct dd_error error;
    char text[1000];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    dd_fail(&error, DD_SYSTEM, "%s", text);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    dd_wrap(&error, "context");
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    assert_memory_equal(error.text, "context: xxx", 12);
    dd_wrap(&error, "%s", text);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    assert_int_equal(error.text[0], 'x');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_fail),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_texts_are_utf8),
        cmocka_unit_test(test_long_texts_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
