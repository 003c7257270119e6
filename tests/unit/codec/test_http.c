/* Labels, queries, dates and ARNs as they arrive in a request's target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/http.h"

static void test_labels_are_decoded_once(void **state)
{
    static const struct {
        const char *text, *decoded;
    } cases[] = {
        {"f%3A%24LATEST", "f:$LATEST"},
        {"f:$LATEST", "f:$LATEST"},
        {"a%2Bb%2Fc%3D%3d", "a+b/c=="},
        {"a+b", "a+b"},
        {"%2541", "%41"}, /* not twice */
        {"%", "%"},
        {"%4", "%4"},
        {"%zz%4g", "%zz%4g"},
        {"%C3%A9", "\xc3\xa9"},
        {"", ""},
    };
    struct dd_buf buf;

    (void)state;
    dd_buf_init(&buf, 100);
    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        dd_buf_clear(&buf);
        dd_http_decode(dd_span_cstr(cases[i].text), &buf);
        assert_true(dd_span_is(dd_buf_span(&buf), cases[i].decoded));
    }
    dd_buf_clear(&buf);
    dd_http_decode(DD_SPAN("a%00b"), &buf);
    assert_int_equal(buf.len, 3);
    dd_buf_deinit(&buf);
}

static void test_the_query_begins_at_the_first_mark(void **state)
{
    struct dd_span path, query;

    (void)state;
    dd_http_split(DD_SPAN("/a/b?c=d?e"), &path, &query);
    assert_true(dd_span_is(path, "/a/b") && dd_span_is(query, "c=d?e"));
    dd_http_split(DD_SPAN("/a"), &path, &query);
    assert_true(dd_span_is(path, "/a") && dd_span_is(query, ""));
    dd_http_split(DD_SPAN("/a?"), &path, &query);
    assert_true(dd_span_is(path, "/a") && dd_span_is(query, ""));
    dd_http_split(DD_SPAN(""), &path, &query);
    assert_true(dd_span_is(path, "") && dd_span_is(query, ""));
}

static void test_the_parts_of_a_url(void **state)
{
    static const char *const urls[][3] = {
        {"https://a.b:80/c/d", "a.b:80", "/c/d"},
        {"http://a", "a", ""},
        {"http://a/", "a", "/"},
        {"a/b://c", "c", ""},
        {"a/b", "a", "/b"},
        {"", "", ""},
    };
    struct dd_span host, path;

    (void)state;
    for (size_t i = 0; i < DD_COUNT(urls); i++) {
        dd_http_split_url(dd_span_cstr(urls[i][0]), &host, &path);
        assert_true(dd_span_is(host, urls[i][1]) && dd_span_is(path, urls[i][2]));
        assert_ptr_equal(path.data, host.data + host.len);
    }
}

static void test_parameters_by_name_in_order(void **state)
{
    static const struct dd_span query = DD_SPAN("Statuses=A&x=1&Statuses=B%26&&Marker&%78=2");
    struct dd_buf buf;
    size_t at = 0;

    (void)state;
    dd_buf_init(&buf, 100);
    assert_true(dd_http_query(query, &at, "Statuses", &buf));
    assert_true(dd_span_is(dd_buf_span(&buf), "A"));
    assert_true(dd_http_query(query, &at, "Statuses", &buf));
    assert_true(dd_span_is(dd_buf_span(&buf), "B&"));
    assert_false(dd_http_query(query, &at, "Statuses", &buf));
    at = 0;
    assert_true(dd_http_query(query, &at, "Marker", &buf));
    assert_true(dd_span_is(dd_buf_span(&buf), ""));
    at = 0;
    assert_true(dd_http_query(query, &at, "x", &buf));
    assert_true(dd_http_query(query, &at, "x", &buf));
    assert_true(dd_span_is(dd_buf_span(&buf), "2"));
    at = 0;
    assert_false(dd_http_query(query, &at, "Status", &buf));
    at = 0;
    assert_false(dd_http_query(DD_SPAN(""), &at, "", &buf));
    dd_buf_deinit(&buf);
}

static void test_dates(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: none */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-01-02T03:04:05.678000Z", 1767323045678},
        {"2026-01-02T03:04:05.678Z", 1767323045678},
        {"2026-01-02T03:04:05.6789Z", 1767323045678},
        {"2026-01-02T03:04:05Z", 1767323045000},
        {"2026-01-02T03:04:05", 1767323045000},
        {"2026-01-02 03:04:05", 1767323045000},
        {"2026-01-02T05:04:05+02:00", 1767323045000},
        {"2026-01-01T22:04:05-0500", 1767323045000},
        {"2026-01-02", 1767312000000},
        {"2000-02-29", 951782400000},
        {"2100-03-01", 4107542400000},
        {"1763647702.345", 1763647702345},
        {"1763647702", 1763647702000},
        {"0", 0},
        {"NaN", -1},
        {"", -1},
        {"-1", -1},
        {"1.", -1},
        {"1.5x", -1},
        {"1e9", -1},
        {"9999999999999", -1},
        {"2026-13-01", -1},
        {"2026-01-32", -1},
        {"2026-1-1", -1},
        {"2026-01-02T", -1},
        {"2026-01-02T24:00:00Z", -1},
        {"2026-01-02T03:04:05.Z", -1},
        {"2026-01-02T03:04:05Zx", -1},
        {"2026-01-02T03:04:05+2", -1},
    };

    (void)state;
    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        int64_t ms = -2;
        bool good = dd_http_date(dd_span_cstr(cases[i].text), &ms);

        if (good != (cases[i].ms >= 0) || (good && ms != cases[i].ms))
            fail_msg("'%s' is %s, %lld", cases[i].text, good ? "a date" : "none",
                     (long long)ms);
    }
}

static void test_the_date_of_a_header(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: none */
    } dates[] = {
        {"Fri, 02 Jan 2026 03:04:05 GMT", 1767323045000},
        {"Tue, 29 Feb 2000 23:59:59 GMT", 951868799000},
        {"Sun, 31 Dec 2000 00:00:00 GMT", 978220800000},
        {"Fri, 02 Jan 2026 03:04:05 CET", -1},
        {"Fri, 02 jan 2026 03:04:05 GMT", -1},
        {"Fri, 2 Jan 2026 03:04:05 GMT", -1},
        {"Fri, 02 Jan 2026 03:04:05 GMT+1", -1},
        {"Fri, 02 Jan 2026 03:04", -1},
        {"2026-01-02T03:04:05Z", -1},
        {"", -1},
    };

    (void)state;
    for (size_t i = 0; i < DD_COUNT(dates); i++) {
        int64_t ms = -1;

        assert_int_equal(dd_http_header_date(dd_span_cstr(dates[i].text), &ms),
                         dates[i].ms >= 0);
        if (dates[i].ms >= 0)
            assert_int_equal(ms, dates[i].ms);
    }
    assert_false(dd_http_header_date(DD_SPAN_NONE, &(int64_t){0}));
}

static void test_the_pause_that_a_header_asks_for(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } pauses[] = {
        {"7", 7000},      {"0.25", 250}, {"0", 0},   {"3600", 3600000},
        {"3601", 0},      {"1e300", 0},  {"inf", 0}, {"nan", 0},
        {"-1", 0},        {"0x10", 0},   {"1 s", 0}, {"99999999999999999999999", 0},
        {"999999999", 0}, {".", 0},      {"", 0},    {"Fri, 02 Jan 2026 03:04:05 GMT", 0},
    };

    (void)state;
    for (size_t i = 0; i < DD_COUNT(pauses); i++)
        assert_int_equal(dd_http_retry_after(dd_span_cstr(pauses[i].text)), pauses[i].ms);
    assert_int_equal(dd_http_retry_after(DD_SPAN_NONE), 0);
}

static void test_arns_of_executions(void **state)
{
    static const char good[] = "arn:aws:lambda:us-east-1:000000000000:function:f_1:$LATEST"
                               "/durable-execution/job-1/0d1c";
    static const char *const bad[] = {
        "",
        "arn",
        "arn:aws:lambda:us-east-1:000000000000:function:f",
        "arn:aws:lambda:us-east-1:000000000000:function:f/durable-execution/a/b",
        "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST/durable-execution/a",
        "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST/durable-execution/a/",
        "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST/durable-execution//b",
        "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST/durable-execution/a/b/c",
        "arn:aws:lambda:us-east-1:000000000000:function:f:alias/durable-execution/a/b",
        "arn:aws:lambda:us-east-1:000000000000:function:f:/durable-execution/a/b",
        "arn:aws:lambda:us-east-1:00000000000:function:f:1/durable-execution/a/b",
        "arn:aws:lambda::000000000000:function:f:1/durable-execution/a/b",
        "arn:aws:sqs:us-east-1:000000000000:function:f:1/durable-execution/a/b",
        "arn:aws:lambda:us-east-1:000000000000:function:f g:1/durable-execution/a/b",
        "arn:aws:lambda:us-east-1:000000000000:function:f:1/durable-execution/a/b:c",
        ":::::::::::::::::::::::::",
    };
    struct dd_execution_arn arn;

    (void)state;
    assert_true(dd_execution_arn_parse(dd_span_cstr(good), &arn));
    assert_true(dd_span_is(arn.region, "us-east-1"));
    assert_true(dd_span_is(arn.account, "000000000000"));
    assert_true(dd_span_is(arn.id, "0d1c"));
    assert_true(dd_execution_arn_parse(DD_SPAN("arn:aws-cn:lambda:cn-north-1:111122223333:"
                                               "function:f:17/durable-execution/a/b"),
                                       &arn));
    for (size_t i = 0; i < DD_COUNT(bad); i++) {
        if (dd_execution_arn_parse(dd_span_cstr(bad[i]), &arn))
            fail_msg("'%s' passed", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels_are_decoded_once),
        cmocka_unit_test(test_the_query_begins_at_the_first_mark),
        cmocka_unit_test(test_the_parts_of_a_url),
        cmocka_unit_test(test_parameters_by_name_in_order),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_the_date_of_a_header),
        cmocka_unit_test(test_the_pause_that_a_header_asks_for),
        cmocka_unit_test(test_arns_of_executions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
