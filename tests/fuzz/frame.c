/* Bytes from a peer, as the scanner, the parser of calls and the readers of parameters
 * take them.
 *
 * The scanner finds the same ends however the bytes are cut. What it passes msgpack-c
 * takes, to the same end. Every answer that is written is one message. */
#include "codec/frame.h"

#include "codec/pack.h"
#include "codec/wire.h"
#include "tests/fuzz/fuzz.h"

#define ENDS_MAX 256

struct ends {
    size_t of[ENDS_MAX]; /* of the messages, in the stream */
    size_t len;
    bool lost; /* bytes that are no message */
};

/* The ends of messages in `bytes`, which come `part` at a time. */
static void find_ends(struct dd_span bytes, size_t part, struct ends *out)
{
    struct dd_frame frame;
    size_t at = 0;

    *out = (struct ends){0};
    dd_frame_init(&frame);
    while (at < bytes.len && out->len < ENDS_MAX) {
        size_t left = bytes.len - at, consumed;
        struct dd_span piece = dd_span_make(bytes.data + at, left < part ? left : part);
        int rc = dd_frame_feed(&frame, piece, &consumed);

        if (rc < 0) {
            out->lost = true;
            return;
        }
        dd_assert(rc == DD_FRAME_COMPLETE || consumed == piece.len);
        at += consumed;
        if (rc == DD_FRAME_COMPLETE)
            out->of[out->len++] = at;
    }
}

static void check_one_message(struct dd_span bytes)
{
    struct ends ends;

    find_ends(bytes, bytes.len, &ends);
    dd_assert(ends.len == 1 && ends.of[0] == bytes.len);
}

/* What would be sent to a peer whose call met `error`. */
static void refuse(const struct dd_rpc *rpc, const struct dd_error *error, const char *field)
{
    struct dd_buf out;

    dd_buf_init(&out, DD_FRAME_MAX);
    dd_rpc_write_error(&out, rpc->id, error, field);
    dd_assert(!out.failed);
    check_one_message(dd_buf_span(&out));
    dd_buf_deinit(&out);
}

static void read_calls(struct dd_rpc *rpc)
{
    for (int kind = DD_CALL_OPERATIONS; kind <= DD_CALL_END; kind++) {
        struct dd_error error;
        struct dd_call call;

        rpc->params.bad = NULL;
        if (dd_wire_read_call((enum dd_call_kind)kind, &rpc->params, &call, &error) != 0) {
            dd_assert(rpc->params.bad);
            refuse(rpc, &error, rpc->params.bad);
        }
        dd_wire_call_deinit(&call);
    }
}

static void read_begin(struct dd_rpc *rpc)
{
    struct dd_begin begin;
    struct dd_error error;

    rpc->params.bad = NULL;
    if (dd_wire_read_begin(&rpc->params, &begin, &error) != 0)
        refuse(rpc, &error, rpc->params.bad);
}

/* A member that is stored as it came is one value still. */
static void read_raw(struct dd_rpc *rpc)
{
    struct dd_buf raw;

    dd_buf_init(&raw, DD_FRAME_MAX);
    if (dd_params_raw(&rpc->params, "fields", &raw))
        check_one_message(dd_buf_span(&raw));
    dd_buf_deinit(&raw);
}

static void read_message(struct dd_span message)
{
    msgpack_unpacked unpacked;
    struct dd_error error;
    struct dd_rpc rpc;
    size_t at = 0;

    msgpack_unpacked_init(&unpacked);
    dd_assert(msgpack_unpack_next(&unpacked, message.data, message.len, &at) ==
              MSGPACK_UNPACK_SUCCESS);
    dd_assert(at == message.len);
    msgpack_unpacked_destroy(&unpacked);
    if (dd_rpc_parse(message, &rpc, &error) != 0)
        return;
    read_calls(&rpc);
    read_begin(&rpc);
    read_raw(&rpc);
    dd_rpc_deinit(&rpc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t parts[] = {1, 3, 16};
    struct dd_span bytes = dd_span_make((const char *)data, size);
    struct ends ends, same;
    size_t from = 0;

    find_ends(bytes, size, &ends);
    for (size_t i = 0; i < DD_COUNT(parts); i++) {
        find_ends(bytes, parts[i], &same);
        dd_assert(same.len == ends.len && same.lost == ends.lost);
        dd_assert(memcmp(same.of, ends.of, ends.len * sizeof ends.of[0]) == 0);
    }
    for (size_t i = 0; i < ends.len; i++) {
        read_message(dd_span_make(bytes.data + from, ends.of[i] - from));
        from = ends.of[i];
    }
    return 0;
}
