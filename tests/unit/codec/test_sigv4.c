/* Signatures: each of botocore's is ours, and what an Authorization header may look like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/limits.h"
#include "codec/http.h"
#include "codec/sigv4.h"

#define TIME "20260102T030405Z"

static const struct {
    const char *name, *method, *target;
    size_t headers_len;
    struct dd_sigv4_header headers[8];
    struct dd_span body;
    const char *access_key, *secret, *region, *service;
    const char *canonical, *authorization;
} cases[] = {
#include "tests/unit/codec/sigv4.inc"
};

static struct dd_sigv4_request request_of(size_t i)
{
    return (struct dd_sigv4_request){
        .method = dd_span_cstr(cases[i].method),
        .target = dd_span_cstr(cases[i].target),
        .headers = cases[i].headers,
        .headers_len = cases[i].headers_len,
        .body = cases[i].body,
    };
}

static struct dd_sigv4_scope scope_of(size_t i)
{
    return (struct dd_sigv4_scope){
        .access_key = dd_span_cstr(cases[i].access_key),
        .time = DD_SPAN(TIME),
        .region = dd_span_cstr(cases[i].region),
        .service = dd_span_cstr(cases[i].service),
    };
}

static void test_signatures_are_those_of_botocore(void **state)
{
    struct dd_buf text;

    (void)state;
    dd_buf_init(&text, DD_SIGNED_BYTES_MAX);
    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        struct dd_sigv4_request request = request_of(i);
        struct dd_sigv4_scope scope = scope_of(i);

        dd_buf_clear(&text);
        dd_sigv4_canonical(&request, &text);
        if (!dd_span_is(dd_buf_span(&text), cases[i].canonical))
            fail_msg("%s:\n%.*s\n-- is not\n%s", cases[i].name, (int)text.len, text.data,
                     cases[i].canonical);
        dd_buf_clear(&text);
        assert_true(dd_sigv4_authorize(&scope, dd_span_cstr(cases[i].secret), &request, &text));
        if (!dd_span_is(dd_buf_span(&text), cases[i].authorization))
            fail_msg("%s: %.*s", cases[i].name, (int)text.len, text.data);
    }
    dd_buf_deinit(&text);
}

/* What was signed is found in the header again, and gives the same signature. */
static void test_signatures_can_be_verified(void **state)
{
    (void)state;
    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        struct dd_sigv4_request request = request_of(i);
        struct dd_sigv4_scope scope = scope_of(i);
        char signature[DD_SIGNATURE_LEN + 1];
        struct dd_sigv4_claim claim;
        struct dd_error error;

        assert_int_equal(dd_sigv4_parse(dd_span_cstr(cases[i].authorization), &claim, &error),
                         0);
        assert_true(dd_span_is(claim.day, "20260102"));
        scope.access_key = claim.access_key;
        scope.region = claim.region;
        scope.service = claim.service;
        assert_true(dd_sigv4_sign(&scope, dd_span_cstr(cases[i].secret), &request, signature));
        assert_true(dd_span_is(claim.signature, signature));
        assert_true(dd_sigv4_sign(&scope, DD_SPAN("other"), &request, signature));
        assert_false(dd_span_is(claim.signature, signature));
    }
}

static void test_what_is_no_authorization(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "Authorization header requires 'Credential' parameter. Authorization header "
             "requires 'Signature' parameter. Authorization header requires 'SignedHeaders' "
             "parameter."},
        {"Bearer Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=1",
         "Authorization header requires 'Credential' parameter. Authorization header "
         "requires 'Signature' parameter. Authorization header requires 'SignedHeaders' "
         "parameter."},
        {"AWS4-HMAC-SHA256", "Authorization header requires 'Credential' parameter. "
                             "Authorization header requires 'Signature' parameter. "
                             "Authorization header requires 'SignedHeaders' parameter."},
        {"AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, Signature=1",
         "Authorization header requires 'SignedHeaders' parameter."},
        {"AWS4-HMAC-SHA256 credential, SignedHeaders=host,,=, Signature=1",
         "Authorization header requires 'Credential' parameter."},
        {"AWS4-HMAC-SHA256 Credential=a/b/c/d, SignedHeaders=host, Signature=1",
         "Credential must have exactly 5 slash-delimited elements, e.g. "
         "keyid/date/region/service/term."},
        {"AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request/e, SignedHeaders=host, Signature=1",
         "Credential must have exactly 5 slash-delimited elements, e.g. "
         "keyid/date/region/service/term."},
        {"AWS4-HMAC-SHA256 Credential=a/b/c/d/aws5_request, SignedHeaders=host, Signature=1",
         "Credential should be scoped with a valid terminator: 'aws4_request'."},
    };

    (void)state;
    for (size_t i = 0; i < DD_COUNT(bad); i++) {
        struct dd_sigv4_claim claim;
        struct dd_error error;

        assert_int_equal(dd_sigv4_parse(dd_span_cstr(bad[i].text), &claim, &error),
                         DD_INCOMPLETE_SIGNATURE);
        assert_string_equal(error.text, bad[i].why);
    }
}

/* Blanks may be missing or many, and what is not known is passed over. */
static void test_other_forms_of_an_authorization(void **state)
{
    static const char *const good[] = {
        "AWS4-HMAC-SHA256 Credential=k/20260102/r-1/lambda/aws4_request,SignedHeaders=a;b,"
        "Signature=12",
        "  AWS4-HMAC-SHA256   Signature=12 ,  X=1,\tSignedHeaders=a;b , "
        "Credential=k/20260102/r-1/lambda/aws4_request ",
    };

    (void)state;
    for (size_t i = 0; i < DD_COUNT(good); i++) {
        struct dd_sigv4_claim claim;
        struct dd_error error;
        struct dd_span name;
        size_t at = 0;

        assert_int_equal(dd_sigv4_parse(dd_span_cstr(good[i]), &claim, &error), 0);
        assert_true(dd_span_is(claim.access_key, "k") && dd_span_is(claim.region, "r-1") &&
                    dd_span_is(claim.service, "lambda") && dd_span_is(claim.signature, "12"));
        assert_true(dd_sigv4_next_header(claim.signed_headers, &at, &name));
        assert_true(dd_span_is(name, "a"));
        assert_true(dd_sigv4_next_header(claim.signed_headers, &at, &name));
        assert_true(dd_span_is(name, "b"));
        assert_false(dd_sigv4_next_header(claim.signed_headers, &at, &name));
    }
}

static void test_stamps(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: none */
    } stamps[] = {
        {TIME, 1767323045000},
        {"19700101T000000Z", 0},
        {"20000229T235959Z", 951868799000},
        {"20001231T000000Z", 978220800000},
        {"21000301T000000Z", 4107542400000},
        {"99991231T235959Z", 253402300799000},
        {"20260102T030405", -1},
        {"20260102T030405ZZ", -1},
        {"2026-01-02T03:04:05Z", -1},
        {"20261302T030405Z", -1},
        {"20260102T240405Z", -1},
        {"", -1},
    };

    (void)state;
    for (size_t i = 0; i < DD_COUNT(stamps); i++) {
        char text[DD_HTTP_STAMP_LEN + 1];
        int64_t ms = -2;

        assert_int_equal(dd_http_stamp(dd_span_cstr(stamps[i].text), &ms), stamps[i].ms >= 0);
        if (stamps[i].ms < 0)
            continue;
        assert_int_equal(ms, stamps[i].ms);
        dd_http_stamp_format(ms + 999, text);
        assert_string_equal(text, stamps[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures_are_those_of_botocore),
        cmocka_unit_test(test_signatures_can_be_verified),
        cmocka_unit_test(test_what_is_no_authorization),
        cmocka_unit_test(test_other_forms_of_an_authorization),
        cmocka_unit_test(test_stamps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
