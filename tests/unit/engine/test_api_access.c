/* Signatures of requests, where they are asked for, and regions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "codec/http.h"
#include "codec/sigv4.h"
#include "tests/unit/engine/http_world.h"

#define TARGET "/2015-03-31/functions/order%3A%24LATEST?Qualifier=%24LATEST"
#define INVALID "InvalidSignatureException"
#define INCOMPLETE "IncompleteSignatureException"
#define MISMATCH                                                                            \
    "The request signature we calculated does not match the signature you provided. Check " \
    "your AWS Secret Access Key and signing method. Consult the service documentation for " \
    "details."

static int setup(void **state)
{
    static struct http_world world;

    http_world_init(&world);
    world.config.access_key = "local";
    world.config.secret_key = "secret";
    http_world_open(&world);
    http_world_register(&world, "order", false);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    http_world_close(*state);
    return 0;
}

/* What signs a request, and how it is sent. */
struct signing {
    const char *access_key, *secret, *region, *service;
    const char *headers; /* that are signed, with commas between */
    int64_t time_ms;
    const char *body;
};

static const struct signing good = {.access_key = "local",
                                    .secret = "secret",
                                    .region = "us-east-1",
                                    .service = "lambda",
                                    .headers = "Host,X-Amz-Date",
                                    .time_ms = HTTP_WORLD_NOW_MS,
                                    .body = ""};

static char authorization[1024];
static char stamp[DD_HTTP_STAMP_LEN + 1];

/* Signs `target`, and sets the headers of the next request. */
static void sign(struct http_world *world, const struct signing *with, const char *target)
{
    struct dd_sigv4_header headers[4];
    struct dd_sigv4_request request = {.method = DD_SPAN("GET"),
                                       .target = dd_span_cstr(target),
                                       .headers = headers,
                                       .body = dd_span_cstr(with->body)};
    struct dd_sigv4_scope scope = {.access_key = dd_span_cstr(with->access_key),
                                   .time = dd_span_make(stamp, DD_HTTP_STAMP_LEN),
                                   .region = dd_span_cstr(with->region),
                                   .service = dd_span_cstr(with->service)};
    struct dd_buf text;

    dd_http_stamp_format(with->time_ms, stamp);
    for (const char *at = with->headers; *at; at += strcspn(at, ",") + (strchr(at, ',') != 0)) {
        struct dd_span name = dd_span_make(at, strcspn(at, ","));
        struct dd_span value = dd_span_is(name, "Host") ? DD_SPAN("localhost") : scope.time;

        headers[request.headers_len++] = (struct dd_sigv4_header){name, value};
    }
    dd_buf_init(&text, sizeof authorization);
    assert_true(dd_sigv4_authorize(&scope, dd_span_cstr(with->secret), &request, &text));
    (void)snprintf(authorization, sizeof authorization, "%.*s", (int)text.len, text.data);
    dd_buf_deinit(&text);
    world->headers[0] = (struct dd_http_header){"Authorization", authorization};
    world->headers[1] = (struct dd_http_header){"X-Amz-Date", stamp};
}

static void test_a_signed_request_is_served(void **state)
{
    struct http_world *world = *state;

    sign(world, &good, TARGET);
    http_world_ask(world, "GET", TARGET);
    assert_int_equal(world->status, 200);
    assert_string_equal(world->logged, "");
}

static void test_a_request_must_be_signed(void **state)
{
    struct http_world *world = *state;

    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, "MissingAuthenticationTokenException",
                       "Missing Authentication Token");
    world->headers[0] = (struct dd_http_header){"Authorization", "Bearer x"};
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INCOMPLETE,
                       "Authorization header requires 'Credential' parameter. Authorization "
                       "header requires 'Signature' parameter. Authorization header requires "
                       "'SignedHeaders' parameter.");
}

static void test_what_differs_from_what_was_signed(void **state)
{
    struct http_world *world = *state;
    struct signing with = good;

    sign(world, &good, TARGET);
    http_world_ask(world, "GET", "/2015-03-31/functions/order%3A%24LATEST");
    http_world_refused(world, 403, INVALID, MISMATCH);
    http_world_ask(world, "POST", TARGET);
    http_world_refused(world, 403, INVALID, MISMATCH);
    world->body = DD_SPAN("x");
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INVALID, MISMATCH);
    world->body = DD_SPAN_NONE;
    world->headers[2] = (struct dd_http_header){"Host", "localhost:1"};
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INVALID, MISMATCH);
    world->headers[2] = (struct dd_http_header){NULL, NULL};

    with.secret = "Secret";
    sign(world, &with, TARGET);
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INVALID, MISMATCH);
    sign(world, &good, TARGET);
    authorization[strlen(authorization) - 1] = '\0'; /* shorter */
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INVALID, MISMATCH);
}

static void test_by_whom_and_when(void **state)
{
    struct http_world *world = *state;
    struct signing with = good;

    with.access_key = "AKIDOTHER";
    sign(world, &with, TARGET);
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, "UnrecognizedClientException",
                       "The security token included in the request is invalid.");
    with = good;
    with.time_ms -= DD_SIGNATURE_SKEW_MS;
    sign(world, &with, TARGET);
    http_world_ask(world, "GET", TARGET);
    assert_int_equal(world->status, 200);
    with.time_ms -= 1000;
    sign(world, &with, TARGET);
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INVALID,
                       "Signature expired: 20260102T025904Z is now earlier than "
                       "20260102T025905Z (20260102T030405Z - 5 min.)");
    with.time_ms = HTTP_WORLD_NOW_MS + DD_SIGNATURE_SKEW_MS + 1000;
    sign(world, &with, TARGET);
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INVALID,
                       "Signature not yet current: 20260102T030906Z is still later than "
                       "20260102T030905Z (20260102T030405Z + 5 min.)");
    sign(world, &good, TARGET);
    world->headers[1].value = "20260103T030405Z";
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INVALID,
                       "Date in Credential scope does not match YYYYMMDD from ISO-8601 version "
                       "of date from HTTP.");
    world->headers[1].value = "2026-01-02";
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INCOMPLETE, "Date must be in ISO-8601 'basic format'.");
    world->headers[1].name = "Date";
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INCOMPLETE,
                       "Authorization header requires existence of a 'X-Amz-Date' header.");
}

/* Claims that Host is signed and as many others that make `count` of them. */
static void sign_headers(struct http_world *world, int count, const char *name)
{
    int len = snprintf(authorization, sizeof authorization,
                       "AWS4-HMAC-SHA256 "
                       "Credential=local/20260102/us-east-1/lambda/aws4_request, "
                       "Signature=0, SignedHeaders=Host");

    world->headers[1] = (struct dd_http_header){"X-Amz-Date", "20260102T030405Z"};
    for (int i = 1; i < count; i++)
        len += snprintf(authorization + len, sizeof authorization - (size_t)len, ";%s", name);
}

static void test_what_must_be_signed(void **state)
{
    struct http_world *world = *state;
    struct signing with = good;
    char name[129];

    with.headers = "X-Amz-Date";
    sign(world, &with, TARGET);
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INVALID,
                       "'Host' or ':authority' must be a 'SignedHeader' in the AWS "
                       "Authorization.");
    sign_headers(world, DD_SIGNED_HEADERS_MAX, "a");
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INVALID, MISMATCH);
    sign_headers(world, DD_SIGNED_HEADERS_MAX + 1, "a");
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INCOMPLETE,
                       "SignedHeaders are more than 64, or one is longer than 127.");
    memset(name, 'a', 128);
    name[128] = '\0';
    sign_headers(world, 2, name);
    http_world_ask(world, "GET", TARGET);
    http_world_refused(world, 403, INCOMPLETE,
                       "SignedHeaders are more than 64, or one is longer than 127.");
}

/* Another service's client is told where it is, whatever its keys. */
static void test_another_service(void **state)
{
    struct http_world *world = *state;
    struct signing with = good;

    with.service = "dynamodb";
    sign(world, &with, "/");
    world->headers[2] = (struct dd_http_header){"X-Amz-Target", "DynamoDB_20120810.ListTables"};
    http_world_ask(world, "POST", "/");
    assert_int_equal(world->status, 404);
    assert_string_equal(world->error_type, "UnknownOperationException");
}

static unsigned warnings(const struct http_world *world)
{
    unsigned count = 0;

    for (const char *at = world->logged; (at = strstr(at, "REGION_DIFFERS")) != NULL; at++)
        count++;
    return count;
}

static void test_another_region_is_served_and_told_once(void **state)
{
    struct http_world *world = *state;
    struct signing with = good;

    with.region = "eu-west-1";
    for (int i = 0; i < 3; i++) {
        sign(world, &with, TARGET);
        http_world_ask(world, "GET", TARGET);
        assert_int_equal(world->status, 200);
        assert_int_equal(warnings(world), 1);
    }
    assert_non_null(strstr(world->logged, "\"region\":\"eu-west-1\""));
    assert_non_null(strstr(world->logged, "\"daemon_region\":\"us-east-1\""));
    with.region = "eu-west-2";
    sign(world, &with, TARGET);
    http_world_ask(world, "GET", TARGET);
    assert_int_equal(warnings(world), 2);
    /* Whoever invents regions can't fill the log, nor who does not sign. */
    for (int i = 0; i < 20; i++) {
        char region[16];

        (void)snprintf(region, sizeof region, "r-%d", i);
        with.region = region;
        sign(world, &with, TARGET);
        http_world_ask(world, "GET", TARGET);
    }
    assert_int_equal(warnings(world), DD_REGIONS_TOLD_MAX);
}

/* Where no signature is asked for, none is looked at, but for its region. */
static void test_no_signature_asked_for(void **state)
{
    static struct http_world world;

    (void)state;
    http_world_init(&world);
    http_world_open(&world);
    http_world_register(&world, "order", false);
    http_world_ask(&world, "GET", TARGET);
    assert_int_equal(world.status, 200);
    world.headers[0] = (struct dd_http_header){"Authorization", "Bearer x"};
    http_world_ask(&world, "GET", TARGET);
    assert_int_equal(world.status, 200);
    world.headers[0].value = "AWS4-HMAC-SHA256 Credential=a/b/eu-west-1/lambda/aws4_request, "
                             "SignedHeaders=host, Signature=0";
    http_world_ask(&world, "GET", TARGET);
    assert_int_equal(world.status, 200);
    assert_int_equal(warnings(&world), 1);
    world.headers[0].value = "AWS4-HMAC-SHA256 Credential=a/b/</x>/lambda/aws4_request, "
                             "SignedHeaders=host, Signature=0";
    http_world_ask(&world, "GET", TARGET);
    assert_int_equal(warnings(&world), 1);
    http_world_close(&world);
}

int main(void)
{
#define WITH_A_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_A_WORLD(test_a_signed_request_is_served),
        WITH_A_WORLD(test_a_request_must_be_signed),
        WITH_A_WORLD(test_what_differs_from_what_was_signed),
        WITH_A_WORLD(test_by_whom_and_when),
        WITH_A_WORLD(test_what_must_be_signed),
        WITH_A_WORLD(test_another_service),
        WITH_A_WORLD(test_another_region_is_served_and_told_once),
        cmocka_unit_test(test_no_signature_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
