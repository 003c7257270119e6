/* The HTTP API: routes, errors, answers; see api.h. */
#include "engine/api.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "codec/api.h"
#include "codec/http.h"
#include "codec/pack.h"

#define JSON_TYPE "application/json"

/* --- exchanges --------------------------------------------------------------------------- */

static void exchange_free(struct dd_exchange *exchange)
{
    dd_list_remove(&exchange->node);
    dd_list_remove(&exchange->action.node);
    dd_watch_leave(exchange->engine, &exchange->waiter);
    dd_text_unref(exchange->arn);
    dd_text_unref(exchange->client_context);
    dd_buf_deinit(&exchange->tail);
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
    struct dd_http_header headers[8];
    struct dd_http_answer answer = {.status = exchange->status, .headers = headers};
    struct dd_buf tail;

    dd_buf_init(&tail, 2 * DD_LOG_TAIL);
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
    if (exchange->tail_wanted && !exchange->error_type) {
        dd_base64_encode(dd_buf_span(&exchange->tail), &tail);
        dd_buf_append_byte(&tail, '\0');
        headers[answer.headers_len++] =
            (struct dd_http_header){"X-Amz-Log-Result", tail.failed ? "" : tail.data};
    }
    answer.body = dd_buf_take(&exchange->body, &answer.body_len);
    exchange->reply.send(exchange->reply.user, &answer);
    dd_buf_deinit(&tail);
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

/* Splits `labels->first` at `middle`. */
static bool split(struct dd_api_labels *labels, const char *middle)
{
    struct dd_span text = labels->first;
    const char *at = dd_span_find(text, middle);
    size_t len = at ? (size_t)(at - text.data) : 0, to = len + strlen(middle);

    if (len == 0 || to >= text.len)
        return false;
    labels->first = dd_span_make(text.data, len);
    labels->second = dd_span_make(text.data + to, text.len - to);
    return true;
}

static bool is_plain(struct dd_span label)
{
    return label.len == 0 || !memchr(label.data, '/', label.len);
}

static bool fits(const struct dd_api_route *route, struct dd_span path,
                 struct dd_api_labels *out_labels)
{
    struct dd_span *first = &out_labels->first;

    *out_labels = (struct dd_api_labels){path, DD_SPAN_NONE};
    switch (route->labels) {
    case DD_LABELS_NONE:
        return dd_span_is(path, route->prefix);
    case DD_LABELS_PLAIN:
        return strip(first, route->prefix, route->suffix) && is_plain(*first);
    case DD_LABELS_SLASH:
        return strip(first, route->prefix, route->suffix);
    case DD_LABELS_TWO:
        return strip(first, route->prefix, "") && split(out_labels, route->suffix) &&
               is_plain(*first) && is_plain(out_labels->second);
    }
    dd_unreachable();
}

const struct dd_api_route *dd_api_route(struct dd_span method, struct dd_span path,
                                        struct dd_api_labels *out_labels)
{
    for (const struct dd_api_route *route = dd_api_routes; route->operation; route++) {
        if (dd_span_is(method, route->method) && fits(route, path, out_labels))
            return route;
    }
    return NULL;
}

/* --- requests ---------------------------------------------------------------------------- */

static int run(struct dd_exchange *exchange, const struct dd_http_request *request,
               struct dd_error *error)
{
    struct dd_api_call call = {
        .exchange = exchange, .engine = exchange->engine, .request = request};
    const struct dd_api_route *route;
    struct dd_api_labels labels;
    struct dd_buf label, name;
    struct dd_span path;
    int rc;

    dd_http_split(request->target, &path, &call.query);
    route = dd_api_route(request->method, path, &labels);
    if (!route)
        return dd_fail(error, DD_UNKNOWN_OPERATION, "no operation is at %.*s %.*s",
                       (int)(request->method.len > 16 ? 16 : request->method.len),
                       request->method.data, (int)(path.len > 200 ? 200 : path.len), path.data);
    exchange->operation = route->operation;
    dd_buf_init(&label, DD_HTTP_CONNECTION_BYTES);
    dd_buf_init(&name, DD_HTTP_CONNECTION_BYTES);
    dd_buf_init(&call.value, DD_HTTP_CONNECTION_BYTES);
    dd_http_decode(labels.first, &label);
    dd_http_decode(labels.second, &name);
    call.label = dd_buf_span(&label);
    call.name = dd_buf_span(&name);
    rc = route->run(&call, error);
    dd_buf_deinit(&label);
    dd_buf_deinit(&name);
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
    dd_buf_init(&exchange->tail, DD_LOG_TAIL + DD_LOG_LINE_MAX + 1);
    dd_list_push(&engine->exchanges, &exchange->node);
    rc = dd_api_check_caller(engine, request, &error);
    if (rc == 0 && request->body_error)
        rc = dd_fail(&error, (enum dd_code)request->body_error,
                     request->body_error == DD_REQUEST_TOO_LARGE
                         ? "Request must be smaller than %u bytes"
                         : "no memory for a request body of up to %u bytes",
                     DD_HTTP_BODY_MAX);
    if (rc == 0 && dd_api_refuse_other_service(exchange, request))
        return exchange;
    if (rc == 0)
        rc = dd_api_check_signature(engine, request, &error);
    if (rc == 0)
        rc = run(exchange, request, &error);
    if (rc)
        dd_exchange_refuse(exchange, &error);
    return exchange;
}
