/* The daemon's life under a script; see world.h. */
#include "tests/fuzz/world.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "codec/frame.h"
#include "codec/pack.h"
#include "engine/journal_priv.h"

#define EPOCH_MS 1700000000000
#define PASS_MAX_MS (400LL * 86400 * 1000) /* in one step of a script */

/* --- what the daemon answers ------------------------------------------------------------- */

static const char *const known_names[KNOWN_END] = {
    [KNOWN_EVENT] = "event", [KNOWN_REQUEST_ID] = "request_id", [KNOWN_KEY] = "key",
    [KNOWN_ARN] = "arn",     [KNOWN_MARKER] = "marker",
};

static struct dd_span str_of(const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_STR
               ? dd_span_make(object->via.str.ptr, object->via.str.size)
               : DD_SPAN_NONE;
}

/* Remembers what is in a result, and in the invocation in it. */
static void learn(struct fuzz_world *world, const msgpack_object *map)
{
    for (uint32_t i = 0; map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++) {
        struct dd_span key = str_of(&map->via.map.ptr[i].key);
        const msgpack_object *value = &map->via.map.ptr[i].val;

        if (dd_span_is(key, "invocation"))
            learn(world, value);
        if (dd_span_is(key, "session"))
            world->session = value->via.i64;
        for (size_t k = 0; k < KNOWN_END; k++) {
            if (dd_span_is(key, known_names[k]) && value->type == MSGPACK_OBJECT_STR) {
                dd_text_unref(world->known[k]);
                world->known[k] = dd_text_new(str_of(value));
            }
        }
    }
}

/* Every str is UTF-8: clients decode it. */
static void check_texts(const msgpack_object *object)
{
    if (object->type == MSGPACK_OBJECT_STR)
        dd_assert(dd_utf8_valid(str_of(object)));
    for (uint32_t i = 0; object->type == MSGPACK_OBJECT_ARRAY && i < object->via.array.size;
         i++)
        check_texts(&object->via.array.ptr[i]);
    for (uint32_t i = 0; object->type == MSGPACK_OBJECT_MAP && i < object->via.map.size; i++) {
        check_texts(&object->via.map.ptr[i].key);
        check_texts(&object->via.map.ptr[i].val);
    }
}

/* [1, id, error, nil] or [1, id, nil, result]. */
static void check_answer(const msgpack_object *message)
{
    const msgpack_object *items = message->via.array.ptr;

    dd_assert(message->type == MSGPACK_OBJECT_ARRAY && message->via.array.size == 4);
    dd_assert(items[0].type == MSGPACK_OBJECT_POSITIVE_INTEGER && items[0].via.u64 == 1);
    dd_assert(items[1].type == MSGPACK_OBJECT_POSITIVE_INTEGER);
    dd_assert((items[2].type == MSGPACK_OBJECT_MAP && items[3].type == MSGPACK_OBJECT_NIL) ||
              (items[2].type == MSGPACK_OBJECT_NIL && items[3].type == MSGPACK_OBJECT_MAP));
    check_texts(message);
}

static void stream_send(void *user, char *bytes, size_t len)
{
    struct fuzz_peer *peer = user;
    size_t at = 0;

    dd_assert(peer->peer);
    while (at < len) {
        msgpack_unpacked message;

        msgpack_unpacked_init(&message);
        dd_assert(msgpack_unpack_next(&message, bytes, len, &at) == MSGPACK_UNPACK_SUCCESS);
        check_answer(&message.data);
        learn(peer->world, &message.data.via.array.ptr[3]);
        msgpack_unpacked_destroy(&message);
    }
    dd_free(bytes);
}

static void stream_read(void *user, bool on)
{
    (void)user;
    (void)on;
}

static void stream_close(void *user)
{
    struct fuzz_peer *peer = user;

    peer->peer = NULL;
}

/* --- the daemon -------------------------------------------------------------------------- */

static void port_random(void *user, void *out_bytes, size_t len)
{
    struct fuzz_world *world = user;

    dd_rng_fill(&world->rng, out_bytes, len);
}

static bool port_process_alive(void *user, int64_t pid, uint64_t started)
{
    const struct fuzz_world *world = user;

    (void)started;
    for (size_t i = 0; i < FUZZ_PEERS; i++)
        if (world->peers[i].pid == pid)
            return !world->peers[i].dead;
    return false;
}

static int64_t log_now(void *user)
{
    struct fuzz_world *world = user;

    return world->now_ms;
}

static void log_write(void *user, struct dd_span line)
{
    (void)user;
    dd_assert(line.len > 0);
}

static void on_durable(void *user, int status, const struct dd_error *error)
{
    struct fuzz_world *world = user;

    if (world->engine)
        dd_engine_durable(world->engine, status, error);
}

static bool daemon_start(struct fuzz_world *world)
{
    struct dd_journal_config journal = {
        .store = &world->store->store,
        .on_durable = on_durable,
        .user = world,
        .fold_records = 8,
        .fold_delay_ms = 100,
    };
    struct dd_engine_config config = {
        .ports = {.user = world, .random = port_random, .process_alive = port_process_alive},
        .log = &world->log,
        .version = "fuzz",
        .mode = "serve",
        .socket = "/fuzz/socket",
        .data = "/fuzz/data",
        .http_hosts = "",
        .pid = 1,
        .connections_max = FUZZ_PEERS,
        .default_execution_timeout_s = DD_SECONDS_MAX,
        .default_retention_s = 30 * 86400,
        .memory_budget = 1, /* so that executions leave memory and come back */
        .service = {.region = "us-east-1", .account = "000000000000", .operations_max = 3000},
    };
    uint8_t random[32];
    struct dd_error error;

    dd_rng_fill(&world->rng, random, sizeof random);
    if (dd_journal_open(&journal, random, &world->journal, &error) != 0) {
        dd_assert(error.text[0]);
        world->journal = NULL;
        return false;
    }
    config.journal = world->journal;
    world->engine = dd_engine_new(&config, world->now_ms);
    return true;
}

static void daemon_die(struct fuzz_world *world)
{
    struct dd_engine *engine = world->engine;

    if (!engine)
        return;
    world->engine = NULL;
    dd_engine_disconnect_all(engine, world->now_ms);
    for (size_t i = 0; i < FUZZ_PEERS; i++)
        world->peers[i].peer = NULL;
    dd_engine_free(engine);
    dd_store_mem_crash(world->store);
    world->journal->committing = false;
    dd_journal_close(world->journal);
    world->journal = NULL;
}

/* What the loop does until it would sleep. */
static void settle(struct fuzz_world *world)
{
    struct dd_error error;

    do {
        dd_engine_turn(world->engine, world->now_ms);
        if (dd_engine_failed(world->engine)) {
            daemon_die(world);
            dd_assert(daemon_start(world));
        }
        if (dd_engine_check(world->engine, &error) != 0)
            dd_assert_failed(error.text, __FILE__, __LINE__, __func__);
    } while (dd_store_mem_step(world->store));
}

/* --- the peers --------------------------------------------------------------------------- */

static void peer_send(struct fuzz_world *world, struct dd_span bytes)
{
    struct fuzz_peer *peer = &world->peers[world->speaking];
    struct dd_stream stream = {peer, stream_send, stream_read, stream_close};

    peer->dead = false;
    if (!peer->peer)
        peer->peer = dd_engine_connect(world->engine,
                                       (struct dd_credentials){peer->pid, (uint64_t)peer->pid},
                                       &stream, world->now_ms);
    dd_assert(peer->peer);
    (void)dd_engine_receive(world->engine, peer->peer, bytes, world->now_ms);
}

static void peer_lose(struct fuzz_world *world, bool dead)
{
    struct fuzz_peer *peer = &world->peers[world->speaking];

    if (peer->peer) {
        struct dd_peer *lost = peer->peer;

        peer->peer = NULL;
        dd_engine_disconnect(world->engine, lost, world->now_ms);
    }
    if (dead) { /* whoever speaks next is another process */
        peer->dead = true;
        peer->pid += FUZZ_PEERS;
    }
}

static void pack_object(struct fuzz_world *world, msgpack_packer *packer,
                        const msgpack_object *object);

/* A text of `len` bytes, a multiple of two, in characters of two. */
static void pack_long(msgpack_packer *packer, size_t len)
{
    static char text[300000];

    for (size_t i = 0; text[sizeof text - 1] == 0 && i < sizeof text; i++)
        text[i] = "\xc3\xa9"[i % 2];
    dd_pack_span(packer, dd_span_make(text, len));
}

/* "$" and a name of known_names, or one of those below: what it stands for. */
static void pack_str(struct fuzz_world *world, msgpack_packer *packer, struct dd_span text)
{
    if (dd_span_is(text, "$session")) {
        msgpack_pack_int64(packer, world->session);
        return;
    }
    if (dd_span_is(text, "$long") || dd_span_is(text, "$large")) {
        pack_long(packer, dd_span_is(text, "$long") ? 20000 : 300000);
        return;
    }
    for (size_t k = 0; text.len > 0 && text.data[0] == '$' && k < KNOWN_END; k++) {
        if (dd_span_is(dd_span_make(text.data + 1, text.len - 1), known_names[k]) &&
            world->known[k]) {
            dd_pack_text(packer, world->known[k]);
            return;
        }
    }
    dd_pack_span(packer, text);
}

static void pack_map(struct fuzz_world *world, msgpack_packer *packer,
                     const msgpack_object_map *map)
{
    msgpack_pack_map(packer, map->size);
    for (uint32_t i = 0; i < map->size; i++) {
        pack_object(world, packer, &map->ptr[i].key);
        pack_object(world, packer, &map->ptr[i].val);
    }
}

/* No deeper than the scanner allows. */
static void pack_object(struct fuzz_world *world, msgpack_packer *packer,
                        const msgpack_object *object)
{
    if (object->type == MSGPACK_OBJECT_STR) {
        pack_str(world, packer, str_of(object));
    } else if (object->type == MSGPACK_OBJECT_MAP) {
        pack_map(world, packer, &object->via.map);
    } else if (object->type == MSGPACK_OBJECT_ARRAY) {
        msgpack_pack_array(packer, object->via.array.size);
        for (uint32_t i = 0; i < object->via.array.size; i++)
            pack_object(world, packer, &object->via.array.ptr[i]);
    } else {
        (void)msgpack_pack_object(packer, *object);
    }
}

static void send_object(struct fuzz_world *world, const msgpack_object *object)
{
    msgpack_packer packer;
    struct dd_buf buf;

    dd_buf_init(&buf, 2 * (size_t)DD_FRAME_MAX);
    dd_pack_init(&packer, &buf);
    pack_object(world, &packer, object);
    if (!buf.failed)
        peer_send(world, dd_buf_span(&buf));
    dd_buf_deinit(&buf);
}

/* --- a script ---------------------------------------------------------------------------- */

static void happen(struct fuzz_world *world, int64_t what)
{
    switch (what) {
    case -1:
        world->speaking = (world->speaking + 1) % FUZZ_PEERS;
        return;
    case -2:
    case -3:
        peer_lose(world, what == -2);
        return;
    case -4:
        daemon_die(world);
        dd_assert(daemon_start(world));
        return;
    case -5:
        world->store->fault = DD_STORE_MEM_FAIL;
        return;
    case -6:
        world->store->usage.disk_free_bytes = 0;
        world->store->fault = DD_STORE_MEM_FULL;
        world->store->fault_stays = true;
        return;
    case -7:
        world->store->usage.disk_free_bytes = world->store->usage.disk_bytes;
        world->store->fault = DD_STORE_MEM_FINE;
        world->store->fault_stays = false;
        return;
    case -8:
        dd_engine_stop(world->engine, world->now_ms);
        return;
    default:
        return;
    }
}

static void play_value(struct fuzz_world *world, struct dd_span value)
{
    msgpack_unpacked unpacked;
    const msgpack_object *object = &unpacked.data;
    size_t at = 0;

    msgpack_unpacked_init(&unpacked);
    dd_assert(msgpack_unpack_next(&unpacked, value.data, value.len, &at) ==
              MSGPACK_UNPACK_SUCCESS);
    if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        world->now_ms += object->via.u64 < PASS_MAX_MS ? (int64_t)object->via.u64 : PASS_MAX_MS;
    else if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        happen(world, object->via.i64);
    else if (object->type == MSGPACK_OBJECT_BIN)
        peer_send(world, dd_span_make(object->via.bin.ptr, object->via.bin.size));
    else
        send_object(world, object);
    msgpack_unpacked_destroy(&unpacked);
}

void fuzz_world_play(struct fuzz_world *world, struct dd_span script)
{
    struct dd_frame frame;

    dd_frame_init(&frame);
    while (script.len > 0) {
        size_t consumed;
        bool value = dd_frame_feed(&frame, script, &consumed) == DD_FRAME_COMPLETE;

        if (!value)
            consumed = script.len;
        if (value)
            play_value(world, dd_span_make(script.data, consumed));
        else
            peer_send(world, script);
        settle(world);
        script = dd_span_make(script.data + consumed, script.len - consumed);
    }
}

/* --- a world ----------------------------------------------------------------------------- */

bool fuzz_world_open(struct fuzz_world *world, struct dd_store_mem *store)
{
    *world = (struct fuzz_world){.store = store, .now_ms = EPOCH_MS};
    /* Who finds a store does not make the ids that are in it once more. */
    dd_rng_seed(&world->rng, 1 + dd_store_mem_count(store, DD_TABLE_META));
    world->log = (struct dd_log){
        .level = DD_LEVEL_DEBUG, .user = world, .now_ms = log_now, .write = log_write};
    for (size_t i = 0; i < FUZZ_PEERS; i++)
        world->peers[i] = (struct fuzz_peer){.world = world, .pid = 100 + (int64_t)i};
    if (!daemon_start(world))
        return false;
    settle(world);
    return true;
}

struct dd_store_mem *fuzz_world_close(struct fuzz_world *world)
{
    struct dd_store_mem *store = world->store;

    if (world->engine) {
        happen(world, -7);
        settle(world);
        dd_journal_flush(world->journal);
        settle(world);
        daemon_die(world);
    } else {
        dd_store_mem_free(store);
        store = NULL;
    }
    for (size_t k = 0; k < KNOWN_END; k++)
        dd_text_unref(world->known[k]);
    return store;
}

static void ignore_durable(void *user, int status, const struct dd_error *error)
{
    (void)user;
    (void)status;
    (void)error;
}

static void ignore_finding(void *user, const struct dd_error *finding)
{
    (void)user;
    dd_assert(finding->text[0]);
}

size_t fuzz_findings(struct dd_store_mem *store)
{
    struct dd_journal_config config = {.store = &store->store,
                                       .on_durable = ignore_durable,
                                       .fold_records = 8,
                                       .fold_delay_ms = 100,
                                       .verify = true};
    static const uint8_t random[32];
    struct dd_journal *journal;
    struct dd_error error;
    size_t findings;

    if (dd_journal_open(&config, random, &journal, &error) != 0)
        return 1;
    dd_store_mem_drain(store);
    findings = dd_journal_check(journal, ignore_finding, NULL);
    dd_journal_close(journal);
    return findings;
}
