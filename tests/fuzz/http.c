/* A request of the HTTP API to the whole engine, which has one execution with an invocation
 * in flight: "METHOD TARGET", lines of "Name: value", an empty line, the body. "$arn" and
 * "$token" stand for those of the invocation.
 *
 * It is answered at most once, with a status and headers that HTTP can carry and a body
 * that is JSON where it says so; afterwards the engine's invariants hold, and
 * `durabled check` finds nothing. Asked for a signature, the engine serves no request that
 * has none; and what signs the request can be read from its header again. What the scanner
 * of JSON takes or refuses is what the library does, but for numbers that the library can't
 * hold, for its depth, and for a NUL, which it takes for the end. */
#include <jansson.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "codec/json.h"
#include "codec/pack.h"
#include "codec/sigv4.h"
#include "codec/syntax.h"
#include "engine/engine_priv.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/text.h"
#include "tests/fuzz/world.h"

struct exchange {
    struct dd_span head; /* what is left of the lines, while they are searched */
    struct dd_exchange *exchange;
    bool answered;
    int status;
};

static struct dd_span find_header(const struct dd_http_request *request, const char *name)
{
    return fuzz_find_header(((const struct exchange *)request->user)->head, name);
}

static void reply_send(void *user, const struct dd_http_answer *answer)
{
    struct exchange *exchange = user;
    bool json = false;

    dd_assert(!exchange->answered);
    exchange->answered = true;
    exchange->status = answer->status;
    dd_assert(answer->status >= 200 && answer->status < 600);
    for (size_t i = 0; i < answer->headers_len; i++) {
        dd_assert(strpbrk(answer->headers[i].value, "\r\n") == NULL);
        json |= strcmp(answer->headers[i].value, "application/json") == 0;
    }
    dd_assert(!json || dd_json_valid(dd_span_make(answer->body, answer->body_len)));
    dd_free(answer->body);
}

/* A function, its execution, and an invocation that is given out. */
static void prelude(struct fuzz_world *world)
{
    static const char *const calls[] = {"hello", "worker.register", "execution.start",
                                        "worker.next"};
    msgpack_packer packer;
    struct dd_buf script;

    dd_buf_init(&script, 4096);
    dd_pack_init(&packer, &script);
    for (size_t i = 0; i < DD_COUNT(calls); i++) {
        msgpack_pack_array(&packer, 4);
        msgpack_pack_int(&packer, 0);
        msgpack_pack_int(&packer, (int)i);
        dd_pack_cstr(&packer, calls[i]);
        msgpack_pack_array(&packer, 1);
        msgpack_pack_map(&packer, 7); /* each call finds its own and ignores the rest */
        dd_pack_cstr(&packer, "level");
        msgpack_pack_int(&packer, 1);
        dd_pack_cstr(&packer, "client");
        dd_pack_cstr(&packer, "fuzz");
        dd_pack_cstr(&packer, "functions");
        msgpack_pack_array(&packer, 1);
        msgpack_pack_map(&packer, 1);
        dd_pack_cstr(&packer, "name");
        dd_pack_cstr(&packer, "f");
        dd_pack_cstr(&packer, "concurrency");
        msgpack_pack_int(&packer, 1);
        dd_pack_cstr(&packer, "instance");
        dd_pack_cstr(&packer, "i");
        dd_pack_cstr(&packer, "function");
        dd_pack_cstr(&packer, "f");
        dd_pack_cstr(&packer, "name");
        dd_pack_cstr(&packer, "a");
    }
    fuzz_world_play(world, dd_buf_span(&script));
    dd_buf_deinit(&script);
    dd_assert(world->known[KNOWN_ARN] && world->known[KNOWN_EVENT]);
}

/* The request with "$arn" and "$token" replaced. */
static void expand(const struct fuzz_world *world, struct dd_span text, struct dd_buf *out)
{
    struct dd_event event;
    int rc = dd_json_parse_event(dd_text_span(world->known[KNOWN_EVENT]), &event, NULL);

    dd_assert(rc == 0);
    for (size_t i = 0; i < text.len;) {
        size_t left = text.len - i;

        if (left >= 4 && memcmp(text.data + i, "$arn", 4) == 0) {
            dd_buf_append_span(out, dd_text_span(event.arn));
            i += 4;
        } else if (left >= 6 && memcmp(text.data + i, "$token", 6) == 0) {
            dd_buf_append_span(out, dd_text_span(event.token));
            i += 6;
        } else {
            dd_buf_append_byte(out, (uint8_t)text.data[i++]);
        }
    }
    dd_event_deinit(&event);
}

/* Reads the request in `text` but for its headers, which are what is left of it. */
static void parse(struct dd_span text, struct dd_http_request *out, struct dd_span *out_head)
{
    struct dd_span line;

    (void)fuzz_take_line(&text, &line);
    out->method = dd_span_make(line.data, 0);
    while (out->method.len < line.len && line.data[out->method.len] != ' ')
        out->method.len++;
    out->target = dd_span_make("", 0);
    if (out->method.len < line.len)
        out->target =
            dd_span_make(line.data + out->method.len + 1, line.len - out->method.len - 1);
    *out_head = text;
    out->body = fuzz_body(text);
}

static void ask(struct fuzz_world *world, struct dd_span text)
{
    struct exchange exchange = {0};
    struct dd_http_reply reply = {&exchange, reply_send};
    struct dd_http_request request = {.header = find_header, .user = &exchange};

    parse(text, &request, &exchange.head);
    exchange.exchange = dd_engine_request(world->engine, &request, &reply, world->now_ms);
    fuzz_world_play(world, DD_SPAN("\x00\x01"));
    if (!exchange.answered)
        dd_engine_cancel(world->engine, exchange.exchange, world->now_ms);
    else if (world->engine->config.secret_key && !find_header(&request, "Authorization").data)
        dd_assert(exchange.status == 403 || exchange.status == 404);
}

/* Signs the request with all its headers, and reads the header that says so. */
static void check_signature(struct dd_span text)
{
    struct dd_sigv4_header headers[DD_SIGNED_HEADERS_MAX];
    struct dd_sigv4_request signing = {.headers = headers};
    struct dd_sigv4_scope scope = {DD_SPAN("local"), DD_SPAN("20231114T221320Z"),
                                   DD_SPAN("us-east-1"), DD_SPAN("lambda")};
    char signature[DD_SIGNATURE_LEN + 1];
    struct dd_http_request request = {0};
    struct dd_sigv4_claim claim;
    struct dd_span head, line, name;
    struct dd_error error;
    struct dd_buf out;
    size_t at = 0;

    parse(text, &request, &head);
    signing.method = request.method;
    signing.target = request.target;
    signing.body = request.body;
    while (signing.headers_len < DD_SIGNED_HEADERS_MAX && fuzz_take_line(&head, &line) &&
           line.len > 0) {
        const char *colon = memchr(line.data, ':', line.len);
        size_t len = colon ? (size_t)(colon - line.data) : line.len;

        headers[signing.headers_len++] = (struct dd_sigv4_header){
            dd_span_make(line.data, len), dd_span_make(line.data + len, line.len - len)};
    }
    dd_buf_init(&out, DD_SIGNED_BYTES_MAX);
    if (dd_sigv4_authorize(&scope, DD_SPAN("local"), &signing, &out)) {
        dd_assert(dd_sigv4_sign(&scope, DD_SPAN("local"), &signing, signature));
        dd_assert(dd_sigv4_parse(dd_buf_span(&out), &claim, &error) == 0);
        dd_assert(dd_span_is(claim.signature, signature) &&
                  dd_span_is(claim.access_key, "local"));
        while (dd_sigv4_next_header(claim.signed_headers, &at, &name))
            dd_assert(name.data + name.len <= out.data + out.len);
    }
    dd_buf_deinit(&out);
}

static void check_syntax(struct dd_span text)
{
    json_error_t why;
    json_t *root = json_loadb(text.data, text.len,
                              JSON_ALLOW_NUL | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &why);
    enum json_error_code code = root ? json_error_unknown : json_error_code(&why);

    if (root)
        dd_assert(dd_json_valid(text) || memchr(text.data, '\0', text.len));
    else if (code == json_error_invalid_syntax || code == json_error_premature_end_of_input ||
             code == json_error_invalid_utf8 || code == json_error_end_of_input_expected)
        dd_assert(!dd_json_valid(text));
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dd_span text = dd_span_make(data, size);
    struct fuzz_world world;
    struct dd_store_mem *store;
    struct dd_buf expanded;

    check_syntax(text);
    check_signature(text);
    dd_assert(fuzz_world_open(&world, dd_store_mem_new()));
    prelude(&world);
    dd_buf_init(&expanded, 1024 * 1024);
    expand(&world, text, &expanded);
    ask(&world, dd_buf_span(&expanded));
    world.engine->config.access_key = world.engine->config.secret_key = "local";
    ask(&world, dd_buf_span(&expanded));
    dd_buf_deinit(&expanded);
    store = fuzz_world_close(&world);
    dd_assert(fuzz_findings(store) == 0);
    dd_store_mem_free(store);
    return 0;
}
