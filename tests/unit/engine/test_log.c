/* Log lines: levels, both formats, escaping, dates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/log.h"

static char written[16384];

static int64_t fixed_now(void *user)
{
    (void)user;
    return 1763647702345;
}

static void keep(void *user, struct dd_span line)
{
    (void)user;
    memcpy(written, line.data, line.len);
    written[line.len] = '\0';
}

static struct dd_log make(enum dd_level level, bool readable)
{
    written[0] = '\0';
    return (struct dd_log){level, readable, NULL, fixed_now, keep};
}

static void test_json_line(void **state)
{
    struct dd_log log = make(DD_LEVEL_INFO, false);

    (void)state;
    dd_log(&log, WORKER_LEFT, DD_LOG_NUMBER("pid", 4711),
           DD_LOG_TEXT("x", DD_SPAN("a\"b\n\\")));
    assert_string_equal(written,
                        "{\"timestamp\":\"2025-11-20T14:08:22.345Z\",\"level\":\"INFO\","
                        "\"code\":\"WORKER_LEFT\",\"message\":\"worker left\","
                        "\"pid\":4711,\"x\":\"a\\\"b\\u000a\\\\\"}\n");
}

static void test_bytes_that_are_no_text(void **state)
{
    struct dd_log log = make(DD_LEVEL_INFO, false);

    (void)state;
    dd_log(&log, WORKER_LEFT, DD_LOG_TEXT("x", DD_SPAN("a\xff\xc3\xa9\xc3")));
    assert_non_null(strstr(written, "\"x\":\"a?\xc3\xa9?\"}\n"));
}

static void test_readable_line(void **state)
{
    struct dd_log log = make(DD_LEVEL_INFO, true);

    (void)state;
    dd_log(&log, WORKER_LEFT, DD_LOG_TEXT("x", DD_SPAN("\033[31m")));
    assert_string_equal(written, "14:08:22 INFO  worker left x=\\u001b[31m\n");
}

static void test_level(void **state)
{
    struct dd_log log = make(DD_LEVEL_WARN, false);
    enum dd_level level = DD_LEVEL_ERROR;

    (void)state;
    dd_log(&log, WORKER_LEFT, DD_LOG_NUMBER("pid", 1));
    assert_string_equal(written, "");
    dd_log(&log, WORKER_LOST, DD_LOG_NUMBER("pid", 1));
    assert_non_null(strstr(written, "WORKER_LOST"));
    assert_true(dd_level_parse(DD_SPAN("debug"), &level));
    assert_int_equal(level, DD_LEVEL_DEBUG);
    assert_false(dd_level_parse(DD_SPAN("loud"), &level));
    assert_false(dd_level_parse(DD_SPAN("INF"), &level));
}

static void test_time_format(void **state)
{
    char text[25];

    (void)state;
    dd_time_format(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    dd_time_format(951782399999, text); /* the end of a leap day */
    assert_string_equal(text, "2000-02-28T23:59:59.999Z");
    dd_time_format(951782400000, text);
    assert_string_equal(text, "2000-02-29T00:00:00.000Z");
    dd_time_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_line),     cmocka_unit_test(test_bytes_that_are_no_text),
        cmocka_unit_test(test_readable_line), cmocka_unit_test(test_level),
        cmocka_unit_test(test_time_format),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
