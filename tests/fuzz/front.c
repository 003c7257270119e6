/* The daemon in front of Lambda's Runtime API, between a runtime, a handler and Lambda, of
 * which each says what it likes. The input is a script of records with a 0x1e between them;
 * the first byte of one says what happens:
 *
 *   >      the runtime asks: "METHOD TARGET" and what is in text.h
 *   L, M   the same, but its body is too large, or there is no memory for it
 *   x      of the runtime's requests without an answer the first is cancelled
 *   <      of the daemon's requests under way the first is answered: "STATUS" and the same
 *   !      it is lost
 *   =      the handler sends these bytes
 *   -      the handler hangs up
 *   t      a second passes
 *
 * A request is answered at most once, with a status and headers that HTTP can carry. What is
 * asked of Lambda goes to its own host, and the result of a durable invocation is told as its
 * outcome, never as the function gave it. Nothing is under way when the engine has ended. */
#include "base/alloc.h"
#include "base/limits.h"
#include "base/rng.h"
#include "codec/pack.h"
#include "codec/syntax.h"
#include "engine/engine_priv.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/text.h"

#define EPOCH_MS 1700000000000
#define LAMBDA "127.0.0.1:9001"
#define INVOCATION "http://" LAMBDA "/2018-06-01/runtime/invocation/"
#define SERVICE "https://lambda.test/"

struct world {
    struct dd_engine *engine;
    struct dd_log log;
    struct dd_rng rng;
    struct dd_peer *peer; /* NULL: the handler is not connected */
    struct dd_front *front;
    struct dd_list asks; /* of ask */
    struct dd_list fetches;
    int64_t now_ms;
};

/* A request of the runtime's that has no answer. */
struct ask {
    struct dd_list node;
    struct dd_front_call *call;
};

/* A request of the daemon's. */
struct fetch {
    struct dd_list node;
    void *owner;
};

/* --- ports ------------------------------------------------------------------------------- */

static void port_random(void *user, void *out_bytes, size_t len)
{
    dd_rng_fill(&((struct world *)user)->rng, out_bytes, len);
}

static bool port_process_alive(void *user, int64_t pid, uint64_t started)
{
    (void)user;
    (void)pid;
    (void)started;
    return true;
}

static void check_outcome(struct world *world, const struct dd_fetch_request *request)
{
    struct dd_span path = dd_span_make(request->url, strcspn(request->url, "?"));

    if (dd_wrapped_find(world->engine, dd_runtime_between(path, INVOCATION, "/response")))
        dd_assert(dd_json_valid(request->body) && dd_span_find(request->body, "\"Status\""));
}

static void *port_fetch(void *user, const struct dd_fetch_request *request, void *owner)
{
    const char *host = request->direct ? "http://" LAMBDA "/" : SERVICE;
    struct world *world = user;
    struct fetch *fetch = dd_alloc(sizeof *fetch);

    dd_assert(strncmp(request->url, host, strlen(host)) == 0);
    for (size_t i = 0; i < request->headers_len; i++)
        dd_assert(strpbrk(request->headers[i].value, "\r\n") == NULL);
    if (request->direct && strcmp(request->method, "POST") == 0)
        check_outcome(world, request);
    fetch->owner = owner;
    dd_list_push(&world->fetches, &fetch->node);
    return fetch;
}

static void fetch_free(struct fetch *fetch)
{
    dd_list_remove(&fetch->node);
    dd_free(fetch);
}

static void port_fetch_cancel(void *user, void *fetch)
{
    (void)user;
    fetch_free(fetch);
}

static int port_listen(void *user, struct dd_front *front, const char **out_address,
                       struct dd_error *error)
{
    (void)error;
    ((struct world *)user)->front = front;
    *out_address = "127.0.0.1:1";
    return 0;
}

static bool port_unlisten(void *user, struct dd_front *front)
{
    (void)user;
    (void)front;
    return false;
}

static int64_t log_now(void *user)
{
    return ((const struct world *)user)->now_ms;
}

static void log_write(void *user, struct dd_span line)
{
    (void)user;
    dd_assert(dd_json_valid(line));
}

/* --- the handler ------------------------------------------------------------------------- */

static void stream_send(void *user, char *bytes, size_t len)
{
    (void)user;
    (void)len;
    dd_free(bytes);
}

static void stream_read(void *user, bool on)
{
    (void)user;
    (void)on;
}

static void stream_close(void *user)
{
    ((struct world *)user)->peer = NULL;
}

static void say_hello(struct world *world)
{
    msgpack_packer packer;
    struct dd_buf hello;

    dd_buf_init(&hello, 256);
    dd_pack_init(&packer, &hello);
    msgpack_pack_array(&packer, 4);
    msgpack_pack_int(&packer, 0);
    msgpack_pack_int(&packer, 0);
    dd_pack_cstr(&packer, "hello");
    msgpack_pack_array(&packer, 1);
    msgpack_pack_map(&packer, 2);
    dd_pack_cstr(&packer, "level");
    msgpack_pack_int(&packer, 1);
    dd_pack_cstr(&packer, "client");
    dd_pack_cstr(&packer, "fuzz");
    (void)dd_engine_receive(world->engine, world->peer, dd_buf_span(&hello), world->now_ms);
    dd_buf_deinit(&hello);
}

static void handler_send(struct world *world, struct dd_span bytes)
{
    const struct dd_stream stream = {world, stream_send, stream_read, stream_close};

    if (!world->peer) {
        world->peer = dd_engine_connect(world->engine, (struct dd_credentials){1, 1}, &stream,
                                        world->now_ms);
        dd_assert(world->peer);
        say_hello(world);
    }
    (void)dd_engine_receive(world->engine, world->peer, bytes, world->now_ms);
}

static void handler_lose(struct world *world)
{
    struct dd_peer *peer = world->peer;

    world->peer = NULL;
    if (peer)
        dd_engine_disconnect(world->engine, peer, world->now_ms);
}

/* --- the runtime ------------------------------------------------------------------------- */

static struct dd_span asked_header(const struct dd_http_request *request, const char *name)
{
    return fuzz_find_header(*(const struct dd_span *)request->user, name);
}

static void each_asked(const struct dd_http_request *request,
                       void (*visit)(void *user, const char *name, const char *value),
                       void *user)
{
    fuzz_each_header(*(const struct dd_span *)request->user, visit, user);
}

static void ask_free(struct ask *ask)
{
    dd_list_remove(&ask->node);
    dd_free(ask);
}

static void reply_send(void *user, const struct dd_http_answer *answer)
{
    dd_assert(answer->status >= 100 && answer->status < 1000);
    for (size_t i = 0; i < answer->headers_len; i++)
        dd_assert(strpbrk(answer->headers[i].value, "\r\n") == NULL);
    dd_free(answer->body);
    ask_free(user);
}

static void runtime_ask(struct world *world, struct dd_span text, int body_error)
{
    struct ask *ask = dd_alloc(sizeof *ask);
    struct dd_http_reply reply = {ask, reply_send};
    struct dd_span line, head = text;
    const char *blank;
    struct dd_http_request request = {
        .header = asked_header, .each_header = each_asked, .user = &head};

    (void)fuzz_take_line(&head, &line);
    blank = dd_span_find(line, " ");
    request.method = dd_span_make(line.data, blank ? (size_t)(blank - line.data) : line.len);
    request.target = blank ? dd_span_make(blank + 1, line.len - request.method.len - 1)
                           : dd_span_make(line.data, 0);
    request.body = body_error ? DD_SPAN_NONE : fuzz_body(head);
    request.body_error = body_error;
    dd_list_push(&world->asks, &ask->node);
    ask->call =
        dd_engine_front_request(world->engine, world->front, &request, &reply, world->now_ms);
}

static void runtime_cancel(struct world *world)
{
    struct ask *ask;

    if (dd_list_empty(&world->asks))
        return;
    ask = dd_container_of(world->asks.next, struct ask, node);
    dd_engine_front_cancel(world->engine, ask->call, world->now_ms);
    ask_free(ask);
}

/* --- Lambda, and the service ------------------------------------------------------------- */

static struct dd_span answer_header(const struct dd_fetch_answer *answer, const char *name)
{
    return fuzz_find_header(*(const struct dd_span *)answer->user, name);
}

static void each_answer(const struct dd_fetch_answer *answer,
                        void (*visit)(void *user, const char *name, const char *value),
                        void *user)
{
    fuzz_each_header(*(const struct dd_span *)answer->user, visit, user);
}

static void answer_first(struct world *world, struct dd_span text, bool lost)
{
    struct dd_fetch_answer answer = {.outcome = lost ? DD_FETCH_BROKEN : DD_FETCH_ANSWERED,
                                     .text = lost ? "lost" : NULL,
                                     .header = answer_header,
                                     .each_header = each_answer,
                                     .user = &text};
    struct dd_span line;
    struct fetch *fetch;
    void *owner;

    if (dd_list_empty(&world->fetches))
        return;
    fetch = dd_container_of(world->fetches.next, struct fetch, node);
    owner = fetch->owner;
    fetch_free(fetch);
    (void)fuzz_take_line(&text, &line);
    for (size_t i = 0; i < line.len && i < 3; i++)
        answer.status = answer.status * 10 + (line.data[i] & 7);
    if (answer.status < 100)
        answer.status += 100;
    if (lost)
        answer.status = 0;
    answer.body = fuzz_body(text);
    dd_engine_fetched(world->engine, owner, &answer, world->now_ms);
}

/* --- a script ---------------------------------------------------------------------------- */

static void play(struct world *world, struct dd_span record)
{
    char what = record.len > 0 ? record.data[0] : '\0';
    struct dd_span rest =
        dd_span_make(record.data + (record.len > 0), record.len - (record.len > 0));

    if (what == '>')
        runtime_ask(world, rest, 0);
    else if (what == 'L')
        runtime_ask(world, rest, DD_REQUEST_TOO_LARGE);
    else if (what == 'M')
        runtime_ask(world, rest, DD_NO_MEMORY);
    else if (what == 'x')
        runtime_cancel(world);
    else if (what == '<' || what == '!')
        answer_first(world, rest, what == '!');
    else if (what == '=')
        handler_send(world, rest);
    else if (what == '-')
        handler_lose(world);
    else if (what == 't')
        world->now_ms += 1000;
    dd_engine_turn(world->engine, world->now_ms);
}

static void open_world(struct world *world)
{
    static const struct dd_aws_config aws = {.endpoint = "https://lambda.test",
                                             .region = "us-east-1",
                                             .access_key = "A",
                                             .secret_key = "S"};
    struct dd_engine_config config = {
        .aws = &aws,
        .ports = {.user = world,
                  .random = port_random,
                  .process_alive = port_process_alive,
                  .fetch = port_fetch,
                  .fetch_cancel = port_fetch_cancel,
                  .listen = port_listen,
                  .unlisten = port_unlisten},
        .log = &world->log,
        .version = "fuzz",
        .mode = "extension",
        .socket = "",
        .data = "",
        .http_hosts = "",
        .connections_max = 2,
    };
    const char *address;
    int rc;

    *world = (struct world){.now_ms = EPOCH_MS};
    dd_list_init(&world->asks);
    dd_list_init(&world->fetches);
    dd_rng_seed(&world->rng, 1);
    world->log = (struct dd_log){
        .level = DD_LEVEL_DEBUG, .user = world, .now_ms = log_now, .write = log_write};
    world->engine = dd_engine_new(&config, world->now_ms);
    rc = dd_front_open(world->engine, DD_SPAN(LAMBDA), &address, NULL);
    dd_assert(rc == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dd_span script = dd_span_make((const char *)data, size);
    struct world world;

    open_world(&world);
    while (script.len > 0) {
        const char *end = memchr(script.data, 0x1e, script.len);
        size_t len = end ? (size_t)(end - script.data) : script.len;

        play(&world, dd_span_make(script.data, len));
        len += end != NULL;
        script = dd_span_make(script.data + len, script.len - len);
    }
    while (!dd_list_empty(&world.asks))
        runtime_cancel(&world);
    dd_engine_disconnect_all(world.engine, world.now_ms);
    dd_engine_free(world.engine);
    dd_assert(dd_list_empty(&world.fetches));
    return 0;
}
