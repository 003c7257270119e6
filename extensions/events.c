/* The Extensions API over one connection; see events.h.
 *
 *   DIALLING ──► ASKING ──► (an answer) ──► ASKING ...
 *      ▲            │ the connection ends, or what comes is no answer
 *      └── PAUSED ◄─┘
 *
 * The first answer is that to `register`, and each one after it an event. */
#include "extensions/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "codec/json.h"

/* An event has a few hundred bytes; chosen. */
#define ANSWER_MAX (64u * 1024)
/* Between two tries; chosen: INIT takes 10 s at most. */
#define PAUSE_MIN_MS 50
#define PAUSE_MAX_MS 1000

enum state { EVENTS_DIALLING, EVENTS_ASKING, EVENTS_PAUSED, EVENTS_CLOSED };

struct dd_events {
    struct dd_events_config config;
    enum state state;
    uv_tcp_t tcp;
    bool tcp_open; /* and its handle with the loop, until it is closed */
    uv_timer_t timer;
    int handles;
    uv_connect_t dial;
    uv_write_t write;
    struct dd_buf out; /* the request under way */
    struct dd_buf in;
    char bytes[4096];
    char id[128]; /* Lambda-Extension-Identifier; empty: not registered */
    uint64_t pause_ms;
};

static void dial(struct dd_events *events);

/* --- life -------------------------------------------------------------------------------- */

static void let_go(struct dd_events *events)
{
    if (--events->handles > 0)
        return;
    dd_buf_deinit(&events->out);
    dd_buf_deinit(&events->in);
    dd_free(events);
}

static void on_timer_closed(uv_handle_t *handle)
{
    let_go(handle->data);
}

static void on_tcp_closed(uv_handle_t *handle)
{
    struct dd_events *events = handle->data;

    events->tcp_open = false;
    let_go(events);
}

static void on_timer(uv_timer_t *timer)
{
    struct dd_events *events = timer->data;

    if (events->state == EVENTS_PAUSED)
        dial(events);
}

static void hang_up(struct dd_events *events)
{
    if (events->tcp_open && !uv_is_closing((uv_handle_t *)&events->tcp))
        uv_close((uv_handle_t *)&events->tcp, on_tcp_closed);
}

static void fail(struct dd_events *events, const char *why)
{
    if (events->state == EVENTS_PAUSED || events->state == EVENTS_CLOSED)
        return;
    events->state = EVENTS_PAUSED;
    hang_up(events);
    events->pause_ms = events->pause_ms ? 2 * events->pause_ms : PAUSE_MIN_MS;
    if (events->pause_ms > PAUSE_MAX_MS)
        events->pause_ms = PAUSE_MAX_MS;
    uv_timer_start(&events->timer, on_timer, events->pause_ms, 0);
    events->config.failed(events->config.user, why);
}

void dd_events_close(struct dd_events *events)
{
    events->state = EVENTS_CLOSED;
    hang_up(events);
    uv_close((uv_handle_t *)&events->timer, on_timer_closed);
}

/* --- requests ---------------------------------------------------------------------------- */

static void on_written(uv_write_t *write, int status)
{
    if (status < 0)
        fail(write->data, uv_strerror(status));
}

static void ask(struct dd_events *events)
{
    static const char wanted[] = "{\"events\":[\"INVOKE\",\"SHUTDOWN\"]}";
    struct dd_buf *out = &events->out;
    uv_buf_t buf;
    int rc;

    dd_buf_clear(out);
    dd_buf_clear(&events->in);
    if (events->id[0])
        dd_buf_printf(out,
                      "GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: %s\r\n"
                      "Lambda-Extension-Identifier: %s\r\n\r\n",
                      events->config.api, events->id);
    else
        dd_buf_printf(out,
                      "POST /2020-01-01/extension/register HTTP/1.1\r\nHost: %s\r\n"
                      "Lambda-Extension-Name: %s\r\nContent-Type: application/json\r\n"
                      "Content-Length: %zu\r\n\r\n%s",
                      events->config.api, events->config.name, sizeof wanted - 1, wanted);
    events->state = EVENTS_ASKING;
    events->write.data = events;
    buf = uv_buf_init(out->data, (unsigned)out->len);
    rc = uv_write(&events->write, (uv_stream_t *)&events->tcp, &buf, 1, on_written);
    if (rc < 0)
        fail(events, uv_strerror(rc));
}

/* --- answers ----------------------------------------------------------------------------- */

/* One answer: its head, and what of its body is there. */
struct answer {
    struct dd_span head;
    int status;
    struct dd_buf body;
    bool last; /* the connection ends with it */
};

/* The value of a header, without the space around it. */
static struct dd_span header(struct dd_span head, const char *name)
{
    size_t name_len = strlen(name);

    for (size_t at = 0; at < head.len;) {
        const char *line = head.data + at;
        const char *end = memchr(line, '\r', head.len - at);
        size_t len = end ? (size_t)(end - line) : head.len - at;

        if (len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0) {
            struct dd_span value = dd_span_make(line + name_len + 1, len - name_len - 1);

            while (value.len > 0 && value.data[0] == ' ')
                value = dd_span_make(value.data + 1, value.len - 1);
            return value;
        }
        at += len + 2;
    }
    return DD_SPAN_NONE;
}

/* A number at the beginning of a span that a NUL or another byte ends; -1: none. */
static long number(struct dd_span text, int base)
{
    char digits[16] = "", *end;
    long value;

    memcpy(digits, text.data, text.len < sizeof digits - 1 ? text.len : sizeof digits - 1);
    value = strtol(digits, &end, base);
    return end == digits || value < 0 || value > (long)ANSWER_MAX ? -1 : value;
}

enum reading { READING_MORE, READING_DONE, READING_BROKEN };

/* Chunks: a length in hex, its bytes, and so on until one of length 0. */
static enum reading read_chunks(struct dd_span rest, struct dd_buf *body)
{
    for (;;) {
        const char *end = dd_span_find(rest, "\r\n");
        size_t head = end ? (size_t)(end - rest.data) + 2 : 0;
        long len;

        if (!end)
            return READING_MORE;
        len = number(dd_span_make(rest.data, head), 16);
        if (len < 0)
            return READING_BROKEN;
        if (rest.len < head + (size_t)len + 2)
            return READING_MORE;
        if (len == 0)
            return READING_DONE;
        dd_buf_append(body, rest.data + head, (size_t)len);
        rest = dd_span_make(rest.data + head + len + 2, rest.len - head - (size_t)len - 2);
    }
}

static bool ends_connection(struct dd_span head)
{
    struct dd_span value = header(head, "Connection");

    return value.len == 5 && strncasecmp(value.data, "close", 5) == 0;
}

static enum reading read_answer(const struct dd_events *events, struct answer *out)
{
    struct dd_span all = dd_buf_span(&events->in), length, rest;
    const char *end = dd_span_find(all, "\r\n\r\n");
    long len;

    dd_buf_init(&out->body, ANSWER_MAX);
    if (events->in.failed || (all.len >= 5 && memcmp(all.data, "HTTP/", 5) != 0))
        return READING_BROKEN;
    if (!end)
        return READING_MORE;
    out->head = dd_span_make(all.data, (size_t)(end - all.data) + 2);
    rest = dd_span_make(end + 4, all.len - out->head.len - 2);
    out->status = out->head.len > 12 ? (int)number(dd_span_make(all.data + 9, 3), 10) : -1;
    out->last = ends_connection(out->head);
    if (header(out->head, "Transfer-Encoding").data)
        return read_chunks(rest, &out->body);
    length = header(out->head, "Content-Length");
    len = length.data ? number(length, 10) : -1;
    if (out->status < 0 || len < 0)
        return READING_BROKEN;
    if (rest.len < (size_t)len)
        return READING_MORE;
    dd_buf_append(&out->body, rest.data, (size_t)len);
    return READING_DONE;
}

static void take_id(struct dd_events *events, const struct answer *answer)
{
    struct dd_span id = header(answer->head, "Lambda-Extension-Identifier");

    if (id.len == 0 || id.len >= sizeof events->id) {
        fail(events, "the answer to register has no identifier");
        return;
    }
    memcpy(events->id, id.data, id.len);
    events->id[id.len] = '\0';
}

/* The next event is asked for before this one is told. */
static void go_on(struct dd_events *events, bool last)
{
    events->pause_ms = 0;
    if (!last) {
        ask(events);
        return;
    }
    events->state = EVENTS_PAUSED;
    hang_up(events);
    uv_timer_start(&events->timer, on_timer, 0, 0);
}

static void take_event(struct dd_events *events, const struct answer *answer)
{
    const struct dd_events_config *config = &events->config;
    struct dd_sandbox_event event;
    struct dd_error error;

    if (dd_json_parse_sandbox_event(dd_buf_span(&answer->body), &event, &error) != 0) {
        fail(events, error.text);
        return;
    }
    if (dd_span_is(dd_text_span(event.type), "SHUTDOWN")) {
        config->shut_down(config->user,
                          event.reason ? dd_text_span(event.reason) : DD_SPAN("unknown"));
    } else {
        go_on(events, answer->last);
        if (event.request_id)
            config->invoked(config->user, dd_text_span(event.request_id), event.deadline_ms);
    }
    dd_sandbox_event_deinit(&event);
}

static void take_answer(struct dd_events *events, const struct answer *answer)
{
    bool was_registered = events->id[0] != '\0';
    char why[160];

    if (answer->status != 200) {
        snprintf(why, sizeof why, "%s: HTTP status %d: %.*s",
                 was_registered ? "next" : "register", answer->status,
                 answer->body.len < 80 ? (int)answer->body.len : 80,
                 answer->body.data ? answer->body.data : "");
        /* 403: it does not know us (any more). */
        if (answer->status == 403)
            events->id[0] = '\0';
        fail(events, why);
        return;
    }
    if (was_registered) {
        take_event(events, answer);
        return;
    }
    take_id(events, answer);
    if (events->id[0]) {
        go_on(events, answer->last);
        events->config.registered(events->config.user);
    }
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    struct dd_events *events = handle->data;

    (void)size;
    *out = uv_buf_init(events->bytes, sizeof events->bytes);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct dd_events *events = stream->data;
    struct answer answer = {.status = 0};

    if (events->state != EVENTS_ASKING || len == 0)
        return;
    if (len < 0) {
        fail(events, len == UV_EOF ? "it closed the connection" : uv_strerror((int)len));
        return;
    }
    dd_buf_append(&events->in, buf->base, (size_t)len);
    switch (read_answer(events, &answer)) {
    case READING_MORE:
        break;
    case READING_DONE:
        take_answer(events, &answer);
        break;
    case READING_BROKEN:
        fail(events, "what it answers is no HTTP");
        break;
    }
    dd_buf_deinit(&answer.body);
}

/* --- the connection ---------------------------------------------------------------------- */

static void on_dialled(uv_connect_t *request, int status)
{
    struct dd_events *events = request->data;

    if (events->state != EVENTS_DIALLING)
        return;
    if (status == 0)
        status = uv_read_start((uv_stream_t *)&events->tcp, on_alloc, on_read);
    if (status < 0)
        fail(events, uv_strerror(status));
    else
        ask(events);
}

static int find_address(const struct dd_events *events, struct sockaddr_storage *out)
{
    const char *colon = strrchr(events->config.api, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    uv_getaddrinfo_t found;
    char host[256];
    int rc;

    if (!colon || (size_t)(colon - events->config.api) >= sizeof host)
        return UV_EINVAL;
    memcpy(host, events->config.api, (size_t)(colon - events->config.api));
    host[colon - events->config.api] = '\0';
    /* An address; a name costs a moment, and is not what Lambda gives. */
    rc = uv_getaddrinfo(events->config.loop, &found, NULL, host, colon + 1, &hints);
    if (rc == 0) {
        memcpy(out, found.addrinfo->ai_addr, found.addrinfo->ai_addrlen);
        uv_freeaddrinfo(found.addrinfo);
    }
    return rc;
}

static void dial(struct dd_events *events)
{
    struct sockaddr_storage address;
    int rc;

    if (events->tcp_open) { /* the loop has not let go of the last one */
        uv_timer_start(&events->timer, on_timer, 1, 0);
        return;
    }
    events->state = EVENTS_DIALLING;
    dd_assert(uv_tcp_init(events->config.loop, &events->tcp) == 0);
    events->tcp.data = events;
    events->tcp_open = true;
    events->handles++;
    events->dial.data = events;
    rc = find_address(events, &address);
    if (rc == 0)
        rc = uv_tcp_connect(&events->dial, &events->tcp,
                            (const struct sockaddr *)(const void *)&address, on_dialled);
    if (rc < 0)
        fail(events, uv_strerror(rc));
}

struct dd_events *dd_events_open(const struct dd_events_config *config)
{
    struct dd_events *events = dd_alloc(sizeof *events);

    events->config = *config;
    dd_buf_init(&events->out, ANSWER_MAX);
    dd_buf_init(&events->in, ANSWER_MAX);
    dd_assert(uv_timer_init(config->loop, &events->timer) == 0);
    events->timer.data = events;
    events->handles = 1;
    dial(events);
    return events;
}
