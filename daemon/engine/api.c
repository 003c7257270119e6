/* The HTTP API: routes, access, answers; see api.h. */
#include "engine/api.h"

#include <stdio.h>

#include "base/alloc.h"
#include "codec/api.h"
#include "codec/http.h"
#include "codec/pack.h"

#define JSON_TYPE "application/json"
/* Of AWS's signing names. */
#define SERVICE_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-"

/* --- exchanges --------------------------------------------------------------------------- */

static void exchange_free(struct dd_exchange *exchange)
{
    dd_list_remove(&exchange->node);
    dd_list_remove(&exchange->action.node);
    dd_watch_leave(exchange->engine, &exchange->waiter);
    dd_text_unref(exchange->arn);
    dd_buf_deinit(&exchange->body);
    dd_free(exchange);
}

void dd_engine_cancel(struct dd_engine *engine, struct dd_exchange *exchange, int64_t now_ms)
{
    engine->now_ms = now_ms;
    exchange_free(exchange);
}

static void send_answer(struct dd_gate_action *action)
{
    struct dd_exchange *exchange = dd_container_of(action, struct dd_exchange, action);
    struct dd_http_header headers[7];
    struct dd_http_answer answer = {.status = exchange->status, .headers = headers};

    headers[answer.headers_len++] =
        (struct dd_http_header){"x-amzn-RequestId", exchange->request_id};
    if (exchange->content_type)
        headers[answer.headers_len++] =
            (struct dd_http_header){"Content-Type", exchange->content_type};
    if (exchange->error_type)
        headers[answer.headers_len++] =
            (struct dd_http_header){"x-amzn-errortype", exchange->error_type};
    if (exchange->retryable)
        headers[answer.headers_len++] = (struct dd_http_header){"Retry-After", "1"};
    if (exchange->arn)
        headers[answer.headers_len++] =
            (struct dd_http_header){"X-Amz-Durable-Execution-Arn", exchange->arn->data};
    if (exchange->invoked)
        headers[answer.headers_len++] =
            (struct dd_http_header){"X-Amz-Executed-Version", "$LATEST"};
    if (exchange->function_error)
        headers[answer.headers_len++] =
            (struct dd_http_header){"X-Amz-Function-Error", "Unhandled"};
    answer.body = dd_buf_take(&exchange->body, &answer.body_len);
    exchange->reply.send(exchange->reply.user, &answer);
    exchange_free(exchange);
}

void dd_exchange_answer(struct dd_exchange *exchange, int status, struct dd_span packed,
                        uint64_t position)
{
    exchange->status = status;
    if (packed.len > 0) {
        exchange->content_type = JSON_TYPE;
        dd_api_write(&exchange->body, packed, DD_API_SECONDS);
    }
    if (exchange->body.failed && !exchange->error_type) {
        struct dd_error error;

        dd_fail(&error, DD_NO_MEMORY, "no memory for the answer");
        dd_exchange_refuse(exchange, &error);
        return;
    }
    exchange->action.run = send_answer;
    dd_gate_add(&exchange->engine->gate, &exchange->action, position);
}

/* {Type, message}; `Message` too, since the model spells it either way, and the name as
 * clients of other services look for it. What a peer sent and the text repeats may be no
 * UTF-8. */
static void pack_error(struct dd_buf *out, struct dd_error *error)
{
    msgpack_packer packer;

    for (char *c = error->text; *c; c++) {
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    }
    dd_pack_init(&packer, out);
    msgpack_pack_map(&packer, 4);
    dd_pack_cstr(&packer, "__type");
    dd_pack_cstr(&packer, dd_error_name(error->code));
    dd_pack_cstr(&packer, "Type");
    dd_pack_cstr(&packer, dd_error_status(error->code) < 500 ? "User" : "Service");
    dd_pack_cstr(&packer, "message");
    dd_pack_cstr(&packer, error->text);
    dd_pack_cstr(&packer, "Message");
    dd_pack_cstr(&packer, error->text);
}

void dd_exchange_refuse(struct dd_exchange *exchange, struct dd_error *error)
{
    struct dd_buf packed;

    dd_log(exchange->engine->config.log, CALL_REFUSED,
           DD_LOG_TEXT("method", dd_span_cstr(exchange->operation)),
           DD_LOG_TEXT("error", dd_span_cstr(dd_error_name(error->code))),
           DD_LOG_TEXT("text", dd_span_cstr(error->text)));
    dd_text_set(&exchange->arn, NULL);
    exchange->invoked = exchange->function_error = false;
    exchange->error_type = dd_error_name(error->code);
    exchange->retryable = dd_error_retryable(error->code);
    dd_buf_clear(&exchange->body);
    dd_buf_init(&packed, DD_FRAME_MAX);
    pack_error(&packed, error);
    dd_exchange_answer(exchange, dd_error_status(error->code), dd_buf_span(&packed), 0);
    dd_buf_deinit(&packed);
}

/* --- routes ------------------------------------------------------------------------------ */

static bool strip(struct dd_span *text, const char *prefix, const char *suffix)
{
    size_t before = strlen(prefix), after = strlen(suffix);

    if (text->len <= before + after || memcmp(text->data, prefix, before) != 0 ||
        memcmp(text->data + text->len - after, suffix, after) != 0)
        return false;
    *text = dd_span_make(text->data + before, text->len - before - after);
    return true;
}

const struct dd_api_route *dd_api_route(struct dd_span method, struct dd_span path,
                                        struct dd_span *out_label)
{
    for (const struct dd_api_route *route = dd_api_routes; route->operation; route++) {
        *out_label = path;
        if (dd_span_is(method, route->method) && strip(out_label, route->prefix, route->suffix))
            return route;
    }
    return NULL;
}

/* --- access ------------------------------------------------------------------------------ */

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
static int check_access(const struct dd_engine *engine, const struct dd_http_request *request,
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

/* What follows the first `part` of `text`; absent when it has none. */
static struct dd_span after(struct dd_span text, const char *part)
{
    size_t len = strlen(part);

    for (size_t i = 0; text.data && i + len <= text.len; i++) {
        if (memcmp(text.data + i, part, len) == 0)
            return dd_span_make(text.data + i + len, text.len - i - len);
    }
    return DD_SPAN_NONE;
}

/* The service that the request was signed for: the fourth part of the credential scope. */
static struct dd_span signed_for(const struct dd_http_request *request)
{
    struct dd_span scope = after(request->header(request, "Authorization"), "Credential=");
    size_t len = 0;

    for (int i = 0; i < 3; i++)
        scope = after(scope, "/");
    while (len < scope.len && len < 40 && strchr(SERVICE_CHARACTERS, scope.data[len]))
        len++;
    return dd_span_make(scope.data, len);
}

/* What a client of another AWS service that was sent here is told, in its own protocol:
 * JSON with X-Amz-Target, else XML. Its requests are signed for another service; or not
 * signed, and for "/". */
static bool refuse_other_service(struct dd_exchange *exchange,
                                 const struct dd_http_request *request)
{
    struct dd_span service = signed_for(request);
    bool target = request->header(request, "X-Amz-Target").data != NULL;
    struct dd_error error;

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

/* --- requests ---------------------------------------------------------------------------- */

static int run(struct dd_exchange *exchange, const struct dd_http_request *request,
               struct dd_error *error)
{
    struct dd_api_call call = {
        .exchange = exchange, .engine = exchange->engine, .request = request};
    const struct dd_api_route *route;
    struct dd_span path, raw;
    struct dd_buf label;
    int rc;

    dd_http_split(request->target, &path, &call.query);
    route = dd_api_route(request->method, path, &raw);
    if (!route)
        return dd_fail(error, DD_UNKNOWN_OPERATION, "no operation is at %.*s %.*s",
                       (int)(request->method.len > 16 ? 16 : request->method.len),
                       request->method.data, (int)(path.len > 200 ? 200 : path.len), path.data);
    exchange->operation = route->operation;
    dd_buf_init(&label, DD_HTTP_CONNECTION_BYTES);
    dd_buf_init(&call.value, DD_HTTP_CONNECTION_BYTES);
    dd_http_decode(raw, &label);
    call.label = dd_buf_span(&label);
    rc = route->run(&call, error);
    dd_buf_deinit(&label);
    dd_buf_deinit(&call.value);
    return rc;
}

struct dd_exchange *dd_engine_request(struct dd_engine *engine,
                                      const struct dd_http_request *request,
                                      const struct dd_http_reply *reply, int64_t now_ms)
{
    struct dd_exchange *exchange = dd_alloc(sizeof *exchange);
    struct dd_error error;
    uint8_t random[16];
    int rc;

    engine->now_ms = now_ms;
    engine->config.ports.random(engine->config.ports.user, random, sizeof random);
    dd_uuid_format(dd_uuid_v4(random), exchange->request_id);
    exchange->engine = engine;
    exchange->reply = *reply;
    exchange->operation = "unknown";
    dd_list_init(&exchange->action.node);
    dd_waiter_init(&exchange->waiter, NULL);
    dd_buf_init(&exchange->body, DD_HTTP_BODY_MAX);
    dd_list_push(&engine->exchanges, &exchange->node);
    rc = check_access(engine, request, &error);
    if (rc == 0 && request->body_error)
        rc = dd_fail(&error, (enum dd_code)request->body_error,
                     request->body_error == DD_REQUEST_TOO_LARGE
                         ? "Request must be smaller than %u bytes"
                         : "no memory for a request body of up to %u bytes",
                     DD_HTTP_BODY_MAX);
    if (rc == 0 && refuse_other_service(exchange, request))
        return exchange;
    if (rc == 0)
        rc = run(exchange, request, &error);
    if (rc)
        dd_exchange_refuse(exchange, &error);
    return exchange;
}
