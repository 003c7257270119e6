/* Connections: bytes to messages, messages to calls, answers back.
 *
 * Answers of one turn are gathered and leave in one write, with earlier ones that
 * nobody waits for. A peer that does not
 * read what it is sent is not read from either; that is the whole of
 * backpressure. */
#include "engine/engine_priv.h"

#include "base/alloc.h"
#include "base/limits.h"
#include "engine/methods.h"

static struct dd_span call_key(const uint64_t *id)
{
    return dd_span_make(id, sizeof *id);
}

struct dd_peer *dd_engine_connect(struct dd_engine *engine, struct dd_credentials credentials,
                                  const struct dd_stream *stream, int64_t now_ms)
{
    struct dd_peer *peer;

    engine->now_ms = now_ms;
    if (engine->peers_len >= engine->config.connections_max) {
        /* Once until there is room again: who is refused may try and try. */
        if (!engine->crowded_told)
            dd_log(engine->config.log, CONNECTIONS_FULL, DD_LOG_NUMBER("pid", credentials.pid),
                   DD_LOG_NUMBER("connections", (int64_t)engine->peers_len));
        engine->crowded_told = true;
        return NULL;
    }
    peer = dd_alloc(sizeof *peer);
    peer->id = ++engine->last_peer;
    peer->engine = engine;
    peer->credentials = credentials;
    peer->stream = *stream;
    dd_frame_init(&peer->scanner);
    dd_buf_init(&peer->in, DD_FRAME_MAX);
    dd_buf_init(&peer->out, SIZE_MAX);
    dd_list_init(&peer->pending);
    dd_list_init(&peer->sessions);
    dd_list_init(&peer->joins);
    dd_list_push(&engine->peers, &peer->node);
    engine->peers_len++;
    return peer;
}

static void peer_free(struct dd_peer *peer)
{
    struct dd_engine *engine = peer->engine;

    /* First its calls: they are parked with the worker and the sessions. */
    while (!dd_list_empty(&peer->pending)) {
        struct dd_pending *pending =
            dd_container_of(peer->pending.next, struct dd_pending, of_peer);

        dd_pending_forget(pending);
    }
    if (peer->worker)
        dd_worker_lost(peer->worker);
    dd_worker_unclaim(engine, peer);
    dd_sessions_disconnect(peer);
    dd_list_remove(&peer->node);
    engine->peers_len--;
    engine->crowded_told = false;
    dd_buf_deinit(&peer->in);
    dd_buf_deinit(&peer->out);
    dd_free(peer);
}

static void log_refused(const struct dd_peer *peer, const char *why)
{
    dd_log(peer->engine->config.log, CONNECTION_REFUSED,
           DD_LOG_NUMBER("pid", peer->credentials.pid),
           DD_LOG_TEXT("error", dd_span_cstr(why)));
}

void dd_engine_disconnect(struct dd_engine *engine, struct dd_peer *peer, int64_t now_ms)
{
    engine->now_ms = now_ms;
    if (peer->in.len > 0)
        log_refused(peer, "the stream ended within a message");
    peer_free(peer);
}

void dd_engine_disconnect_all(struct dd_engine *engine, int64_t now_ms)
{
    engine->now_ms = now_ms;
    engine->closing = true;
    while (!dd_list_empty(&engine->peers))
        peer_free(dd_container_of(engine->peers.next, struct dd_peer, node));
}

/* --- calls ------------------------------------------------------------------------------- */

static struct dd_pending *pending_new(struct dd_peer *peer, const struct dd_rpc *rpc)
{
    struct dd_pending *pending = dd_alloc(sizeof *pending);

    pending->id = ++peer->engine->last_call;
    pending->engine = peer->engine;
    pending->peer = peer;
    pending->message = rpc->id;
    dd_list_init(&pending->action.node);
    dd_list_init(&pending->parked);
    dd_waiter_init(&pending->waiter, dd_method_again);
    dd_buf_init(&pending->result, DD_FRAME_MAX);
    dd_list_push(&peer->pending, &pending->of_peer);
    peer->pending_len++;
    dd_map_put(&peer->engine->calls, call_key(&pending->id), pending);
    return pending;
}

static void pending_free(struct dd_pending *pending)
{
    dd_map_remove(&pending->engine->calls, call_key(&pending->id));
    if (pending->peer)
        pending->peer->pending_len--;
    dd_list_remove(&pending->of_peer);
    dd_list_remove(&pending->parked);
    dd_watch_leave(pending->engine, &pending->waiter);
    dd_list_remove(&pending->action.node);
    dd_buf_deinit(&pending->result);
    dd_text_unref(pending->arn);
    dd_free(pending);
}

void dd_pending_forget(struct dd_pending *pending)
{
    pending_free(pending);
}

struct dd_pending *dd_engine_pending(struct dd_engine *engine, uint64_t id)
{
    return dd_map_get(&engine->calls, call_key(&id));
}

void dd_pending_answer(struct dd_pending *pending)
{
    struct dd_buf *out = &pending->peer->out;
    size_t before;

    if (pending->result.failed) {
        struct dd_error error;

        dd_fail(&error, DD_REQUEST_TOO_LARGE, "the answer is larger than one message may be");
        dd_pending_refuse(pending, &error, NULL);
        return;
    }
    before = out->len;
    dd_rpc_write_result(out, pending->message, dd_buf_span(&pending->result));
    if (pending->ahead)
        pending->peer->kept += out->len - before;
    pending_free(pending);
}

void dd_pending_refuse(struct dd_pending *pending, const struct dd_error *error,
                       const char *field)
{
    struct dd_engine *engine = pending->engine;

    dd_log(engine->config.log, CALL_REFUSED,
           DD_LOG_TEXT("method", dd_span_cstr(dd_method_name(pending->method))),
           DD_LOG_TEXT("error", dd_span_cstr(dd_error_name(error->code))),
           DD_LOG_TEXT("text", dd_span_cstr(error->text)),
           DD_LOG_TEXT("field", field ? dd_span_cstr(field) : DD_SPAN("")),
           DD_LOG_TEXT("executionArn", pending->arn ? dd_text_span(pending->arn) : DD_SPAN("")),
           DD_LOG_NUMBER("pid", pending->peer->credentials.pid));
    dd_rpc_write_error(&pending->peer->out, pending->message, error, field);
    pending_free(pending);
}

static void answer_action(struct dd_gate_action *action)
{
    dd_pending_answer(dd_container_of(action, struct dd_pending, action));
}

void dd_pending_answer_after(struct dd_pending *pending, uint64_t position)
{
    pending->action.run = answer_action;
    dd_gate_add(&pending->engine->gate, &pending->action, position);
}

/* --- bytes ------------------------------------------------------------------------------- */

/* Closes a connection whose bytes can't be framed. */
static void refuse_bytes(struct dd_peer *peer, const char *why)
{
    log_refused(peer, why);
    peer->stream.close(peer->stream.user);
    peer_free(peer);
}

/* One whole message; false when the peer is gone. */
static bool on_message(struct dd_peer *peer, struct dd_span message)
{
    struct dd_error error;
    struct dd_rpc rpc;

    if (dd_rpc_parse(message, &rpc, &error) != 0) {
        refuse_bytes(peer, error.text);
        return false;
    }
    if (rpc.kind == DD_RPC_NOTIFICATION) {
        dd_method_notify(peer, &rpc);
    } else if (peer->pending_len >= DD_CONNECTION_CALLS_MAX) {
        dd_fail(&error, DD_TOO_MANY_REQUESTS, "too many calls without an answer: %d",
                DD_CONNECTION_CALLS_MAX);
        dd_rpc_write_error(&peer->out, rpc.id, &error, NULL);
    } else {
        dd_method_call(pending_new(peer, &rpc), &rpc);
    }
    dd_rpc_deinit(&rpc);
    return true;
}

bool dd_engine_receive(struct dd_engine *engine, struct dd_peer *peer, struct dd_span bytes,
                       int64_t now_ms)
{
    engine->now_ms = now_ms;
    while (bytes.len > 0) {
        size_t consumed;
        int rc = dd_frame_feed(&peer->scanner, bytes, &consumed);
        struct dd_span part = dd_span_make(bytes.data, consumed);
        bool whole = peer->in.len == 0;

        if (rc < 0) {
            refuse_bytes(peer, peer->scanner.problem);
            return false;
        }
        bytes = dd_span_make(bytes.data + consumed, bytes.len - consumed);
        /* A message that arrived in one piece is read where it lies. */
        if (rc != DD_FRAME_COMPLETE || !whole)
            dd_buf_append_span(&peer->in, part);
        if (peer->in.failed) {
            refuse_bytes(peer, "out of memory for a message");
            return false;
        }
        if (rc == DD_FRAME_COMPLETE) {
            if (!on_message(peer, whole ? part : dd_buf_span(&peer->in)))
                return false;
            if (!whole) {
                dd_buf_deinit(&peer->in);
                dd_buf_init(&peer->in, DD_FRAME_MAX);
            }
        }
    }
    return true;
}

void dd_engine_backlog(struct dd_engine *engine, struct dd_peer *peer, size_t bytes)
{
    bool pause = bytes > DD_CONNECTION_BACKLOG_MAX;

    (void)engine;
    if (pause == peer->paused)
        return;
    peer->paused = pause;
    if (pause)
        dd_log(engine->config.log, PEER_SLOW, DD_LOG_NUMBER("pid", peer->credentials.pid));
    peer->stream.read(peer->stream.user, !pause);
}

void dd_peers_flush(struct dd_engine *engine)
{
    dd_list_each(node, tmp, &engine->peers)
    {
        struct dd_peer *peer = dd_container_of(node, struct dd_peer, node);
        size_t len;
        char *bytes;

        /* What nobody waits for would cost a write here and a wake-up there. */
        if (peer->out.len == peer->kept && peer->kept < DD_CONNECTION_KEPT_MAX)
            continue;
        peer->kept = 0;
        bytes = dd_buf_take(&peer->out, &len);
        peer->stream.send(peer->stream.user, bytes, len);
    }
}
