/* Who may call the HTTP API, and what for; see api.h. */
#include "engine/api.h"

#include <stdio.h>

#include "base/digest.h"
#include "codec/http.h"
#include "codec/sigv4.h"

/* Of AWS's names of regions and services; chosen, they have twenty at most. */
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-"
#define NAME_MAX_LEN 40
/* Longer names of headers are not looked for; chosen. */
#define HEADER_NAME_MAX 127

/* --- who calls --------------------------------------------------------------------------- */

static bool same_name(struct dd_span a, struct dd_span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        char x = a.data[i], y = b.data[i];

        if ((x >= 'A' && x <= 'Z' ? x + 32 : x) != (y >= 'A' && y <= 'Z' ? y + 32 : y))
            return false;
    }
    return true;
}

/* 127.0.0.1 and its likes, as a literal: a name that only begins so is another's. */
static bool is_loopback_ipv4(struct dd_span host)
{
    size_t dots = 0;

    if (host.len < 7 || memcmp(host.data, "127.", 4) != 0)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        if (host.data[i] == '.')
            dots++;
        else if (host.data[i] < '0' || host.data[i] > '9')
            return false;
    }
    return dots == 3;
}

static bool is_loopback_name(struct dd_span host)
{
    static const struct dd_span below = DD_SPAN(".localhost");

    return same_name(host, DD_SPAN("localhost")) || dd_span_is(host, "[::1]") ||
           is_loopback_ipv4(host) ||
           (host.len > below.len &&
            same_name(dd_span_make(host.data + host.len - below.len, below.len), below));
}

bool dd_api_host_allowed(struct dd_span host, const char *names)
{
    const char *colon;

    if (!host.data || host.len == 0)
        return false;
    colon = memchr(host.data, ']', host.len);
    colon = memchr(colon ? colon : host.data, ':',
                   host.len - (size_t)((colon ? colon : host.data) - host.data));
    if (colon)
        host.len = (size_t)(colon - host.data);
    if (is_loopback_name(host))
        return true;
    while (*names) {
        size_t len = strcspn(names, ",");

        if (len > 0 && same_name(host, dd_span_make(names, len)))
            return true;
        names += len + (names[len] == ',');
    }
    return false;
}

/* A page can send requests here, but not without these headers. */
bool dd_api_from_page(const struct dd_http_request *request)
{
    return request->header(request, "Origin").data ||
           request->header(request, "Sec-Fetch-Site").data;
}

/* Web pages must not start functions: neither as they are, nor under a loopback name that
 * they made up. */
int dd_api_check_caller(const struct dd_engine *engine, const struct dd_http_request *request,
                        struct dd_error *error)
{
    struct dd_span host = request->header(request, "Host");

    if (dd_api_from_page(request))
        return dd_fail(error, DD_ACCESS_DENIED, "requests of web pages are not served");
    if (!dd_api_host_allowed(host, engine->config.http_hosts))
        return dd_fail(error, DD_ACCESS_DENIED,
                       "Host '%.*s' is no name of this service; it answers to localhost and to "
                       "what --http-hosts names",
                       (int)(host.len > 64 ? 64 : host.len), host.data ? host.data : "");
    return 0;
}

/* --- what it is signed for --------------------------------------------------------------- */

/* The beginning of what a peer wrote for a region or a service, as far as it can be one. */
static struct dd_span plain_name(struct dd_span text)
{
    size_t len = 0;

    while (len < text.len && len < NAME_MAX_LEN && text.data[len] &&
           strchr(NAME_CHARACTERS, text.data[len]))
        len++;
    return dd_span_make(text.data, len);
}

/* False when the request is not signed, or in no form that says anything. */
static bool read_claim(const struct dd_http_request *request, struct dd_sigv4_claim *out)
{
    struct dd_span header = request->header(request, "Authorization");

    return header.data && dd_sigv4_parse(header, out, NULL) == 0;
}

/* What a client of another AWS service that was sent here is told, in its own protocol:
 * JSON with X-Amz-Target, else XML. Its requests are signed for another service; or not
 * signed, and for "/". */
bool dd_api_refuse_other_service(struct dd_exchange *exchange,
                                 const struct dd_http_request *request)
{
    bool target = request->header(request, "X-Amz-Target").data != NULL;
    struct dd_span service = DD_SPAN_NONE;
    struct dd_sigv4_claim claim;
    struct dd_error error;

    if (read_claim(request, &claim))
        service = plain_name(claim.service);
    if (!target && !dd_span_is(request->target, "/") &&
        (!service.data || dd_span_is(service, "lambda")))
        return false;
    if (!service.data)
        service = DD_SPAN("another");
    dd_fail(&error, DD_UNKNOWN_OPERATION,
            "this is AWS Lambda's durable execution API, and the request is for the service "
            "'%.*s'. Set AWS_ENDPOINT_URL_LAMBDA to this address, and AWS_ENDPOINT_URL not",
            (int)service.len, service.data);
    if (target) {
        dd_exchange_refuse(exchange, &error);
        return true;
    }
    exchange->content_type = "text/xml";
    exchange->error_type = dd_error_name(error.code);
    dd_buf_printf(
        &exchange->body,
        "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message>"
        "</Error><RequestId>%s</RequestId></ErrorResponse>",
        dd_error_name(error.code), error.text, exchange->request_id);
    dd_exchange_answer(exchange, dd_error_status(error.code), DD_SPAN_NONE, 0);
    return true;
}

/* A client that is configured for another region finds none of the ARNs that it may expect.
 * It is told in the log, once for each region. */
static void warn_of_region(struct dd_engine *engine, struct dd_span claimed)
{
    struct dd_span region = plain_name(claimed);
    char *told;

    if (region.len == 0 || dd_span_is(region, engine->service.region))
        return;
    for (size_t i = 0; i < engine->regions_told_len; i++) {
        if (dd_span_is(region, engine->regions_told[i]))
            return;
    }
    if (engine->regions_told_len == DD_COUNT(engine->regions_told))
        return;
    told = engine->regions_told[engine->regions_told_len++];
    snprintf(told, sizeof *engine->regions_told, "%.*s", (int)region.len, region.data);
    dd_log(engine->config.log, REGION_DIFFERS, DD_LOG_TEXT("region", region),
           DD_LOG_TEXT("daemon_region", dd_span_cstr(engine->service.region)));
}

/* --- signatures -------------------------------------------------------------------------- */

static int check_age(struct dd_span time, int64_t time_ms, int64_t now_ms,
                     struct dd_error *error)
{
    char now[DD_HTTP_STAMP_LEN + 1], bound[DD_HTTP_STAMP_LEN + 1];
    bool expired = time_ms < now_ms - DD_SIGNATURE_SKEW_MS;

    if (!expired && time_ms <= now_ms + DD_SIGNATURE_SKEW_MS)
        return 0;
    dd_http_stamp_format(now_ms, now);
    dd_http_stamp_format(now_ms + (expired ? -DD_SIGNATURE_SKEW_MS : DD_SIGNATURE_SKEW_MS),
                         bound);
    return dd_fail(error, DD_INVALID_SIGNATURE,
                   expired ? "Signature expired: %.*s is now earlier than %s (%s - 5 min.)"
                           : "Signature not yet current: %.*s is still later than %s (%s + 5 "
                             "min.)",
                   (int)time.len, time.data, bound, now);
}

/* By whom and when it is signed. */
static int check_scope(const struct dd_engine *engine, const struct dd_sigv4_claim *claim,
                       struct dd_span time, struct dd_error *error)
{
    int64_t time_ms;

    if (!time.data)
        return dd_fail(error, DD_INCOMPLETE_SIGNATURE,
                       "Authorization header requires existence of a 'X-Amz-Date' header.");
    if (!dd_http_stamp(time, &time_ms))
        return dd_fail(error, DD_INCOMPLETE_SIGNATURE,
                       "Date must be in ISO-8601 'basic format'.");
    if (!dd_span_equal(claim->day, dd_span_make(time.data, 8)))
        return dd_fail(error, DD_INVALID_SIGNATURE,
                       "Date in Credential scope does not match YYYYMMDD from ISO-8601 version "
                       "of date from HTTP.");
    if (!dd_span_is(claim->access_key, engine->config.access_key))
        return dd_fail(error, DD_UNRECOGNIZED_CLIENT,
                       "The security token included in the request is invalid.");
    return check_age(time, time_ms, engine->now_ms, error);
}

/* The headers that the signature covers. */
static int read_headers(const struct dd_http_request *request,
                        const struct dd_sigv4_claim *claim, struct dd_sigv4_header *out,
                        size_t *out_len, struct dd_error *error)
{
    bool host = false;
    size_t at = 0;

    *out_len = 0;
    for (struct dd_span name; dd_sigv4_next_header(claim->signed_headers, &at, &name);) {
        char text[HEADER_NAME_MAX + 1];

        if (*out_len == DD_SIGNED_HEADERS_MAX || name.len > HEADER_NAME_MAX)
            return dd_fail(error, DD_INCOMPLETE_SIGNATURE,
                           "SignedHeaders are more than %d, or one is longer than %d.",
                           DD_SIGNED_HEADERS_MAX, HEADER_NAME_MAX);
        snprintf(text, sizeof text, "%.*s", (int)name.len, name.data);
        host |= same_name(name, DD_SPAN("host"));
        out[(*out_len)++] = (struct dd_sigv4_header){name, request->header(request, text)};
    }
    return host ? 0
                : dd_fail(error, DD_INVALID_SIGNATURE,
                          "'Host' or ':authority' must be a 'SignedHeader' in the AWS "
                          "Authorization.");
}

static int verify(const struct dd_engine *engine, const struct dd_http_request *request,
                  const struct dd_sigv4_claim *claim, struct dd_error *error)
{
    struct dd_sigv4_header headers[DD_SIGNED_HEADERS_MAX];
    struct dd_sigv4_request covered = {.method = request->method,
                                       .target = request->target,
                                       .headers = headers,
                                       .body = request->body};
    struct dd_sigv4_scope scope = {.access_key = claim->access_key,
                                   .time = request->header(request, "X-Amz-Date"),
                                   .region = claim->region,
                                   .service = claim->service};
    char signature[DD_SIGNATURE_LEN + 1];
    int rc = check_scope(engine, claim, scope.time, error);

    if (rc == 0)
        rc = read_headers(request, claim, headers, &covered.headers_len, error);
    if (rc)
        return rc;
    if (!dd_sigv4_sign(&scope, dd_span_cstr(engine->config.secret_key), &covered, signature))
        return dd_fail(error, DD_NO_MEMORY, "no memory for the request");
    if (claim->signature.len == DD_SIGNATURE_LEN &&
        dd_secret_compare(claim->signature.data, signature, DD_SIGNATURE_LEN) == 0)
        return 0;
    return dd_fail(error, DD_INVALID_SIGNATURE,
                   "The request signature we calculated does not match the signature you "
                   "provided. Check your AWS Secret Access Key and signing method. Consult the "
                   "service documentation for details.");
}

int dd_api_check_signature(struct dd_engine *engine, const struct dd_http_request *request,
                           struct dd_error *error)
{
    struct dd_span header = request->header(request, "Authorization");
    struct dd_sigv4_claim claim;
    int rc;

    if (!header.data)
        return engine->config.secret_key
                   ? dd_fail(error, DD_MISSING_AUTHENTICATION, "Missing Authentication Token")
                   : 0;
    rc = dd_sigv4_parse(header, &claim, error);
    if (rc == 0 && engine->config.secret_key)
        rc = verify(engine, request, &claim, error);
    if (rc == 0)
        warn_of_region(engine, claim.region);
    return engine->config.secret_key ? rc : 0;
}
