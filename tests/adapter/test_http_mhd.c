/* The HTTP listener on the real libmicrohttpd: what arrives at its owner, and that each
 * end of a connection, at each moment, leaves nothing. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/limits.h"
#include "io/http_mhd.h"

/* --- the fixture ------------------------------------------------------------------------- */

/* An owner that keeps its last request, and answers when the test says so. */
struct fixture {
    uv_loop_t loop;
    struct dd_http_server *server;
    struct dd_http_reply reply;
    struct dd_buf target, body;
    char header[64];
    unsigned headers; /* visited */
    int body_error;
    unsigned requests, cancelled;
    bool closed;
};

static void keep(struct dd_buf *buf, struct dd_span span)
{
    dd_buf_clear(buf);
    dd_buf_append_span(buf, span);
}

static void on_header(void *user, const char *name, const char *value)
{
    struct fixture *f = user;

    f->headers++;
    if (strcasecmp(name, "x-test") == 0)
        assert_string_equal(value, f->header);
}

static void *on_requested(void *user, const struct dd_http_request *request,
                          const struct dd_http_reply *reply)
{
    struct fixture *f = user;
    struct dd_span header = request->header(request, "X-TEST");

    f->requests++;
    f->reply = *reply;
    keep(&f->target, request->target);
    keep(&f->body, request->body);
    f->body_error = request->body_error;
    (void)snprintf(f->header, sizeof f->header, "%s", header.data ? header.data : "-");
    f->headers = 0;
    request->each_header(request, on_header, f);
    return f;
}

static void on_cancelled(void *user, void *exchange)
{
    struct fixture *f = user;

    assert_ptr_equal(exchange, f);
    f->cancelled++;
}

static int setup(void **state)
{
    struct fixture *f = dd_alloc(sizeof *f);
    struct dd_http_config config = {.loop = &f->loop,
                                    .address = "127.0.0.1:0",
                                    .connections_max = 100,
                                    .events = {f, on_requested, on_cancelled}};
    struct dd_error error;

    dd_buf_init(&f->target, DD_HTTP_CONNECTION_BYTES);
    dd_buf_init(&f->body, DD_HTTP_BODY_MAX);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(dd_http_open(&config, &f->server, &error), 0);
    *state = f;
    return 0;
}

static void on_closed(void *user)
{
    struct fixture *f = user;

    f->closed = true;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    dd_http_close(f->server, on_closed, f);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_true(f->closed);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    dd_buf_deinit(&f->target);
    dd_buf_deinit(&f->body);
    dd_free(f);
    return 0;
}

/* Runs the loop until `*counter` is `wanted`; the test's time limit ends it otherwise. */
static void until(struct fixture *f, const unsigned *counter, unsigned wanted)
{
    while (*counter < wanted)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(*counter, wanted);
}

/* --- the peer ---------------------------------------------------------------------------- */

static int dial(const struct fixture *f)
{
    const char *port = strrchr(dd_http_url(f->server), ':') + 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)strtol(port, NULL, 10)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)(void *)&address, sizeof address), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What the peer hears up to `end`, or to the end of the connection when it is NULL. */
static void hear(struct fixture *f, int fd, const char *end, char *out, size_t size)
{
    size_t len = 0;

    for (;;) {
        ssize_t got = recv(fd, out + len, size - 1 - len, MSG_DONTWAIT);
        bool ended = got == 0 || (got < 0 && errno != EAGAIN);

        if (got > 0)
            len += (size_t)got;
        out[len] = '\0';
        if (end ? strstr(out, end) != NULL : ended)
            return;
        assert_false(ended);
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
}

static void answer(struct fixture *f, int status, const char *body)
{
    static const struct dd_http_header headers[] = {{"X-One", "1"}, {"Content-Type", "t"}};
    size_t len = strlen(body);
    struct dd_http_answer reply = {.status = status,
                                   .headers = headers,
                                   .headers_len = 2,
                                   .body = len ? dd_alloc(len) : NULL,
                                   .body_len = len};

    if (len)
        memcpy(reply.body, body, len);
    f->reply.send(f->reply.user, &reply);
}

#define HOST "Host: localhost\r\n"

/* --- tests ------------------------------------------------------------------------------- */

static void test_a_request_arrives_as_it_was_sent(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    char text[1000];

    say(fd, "PUT /a%2Fb/%C3%A9+c?x=%2B&y HTTP/1.1\r\n" HOST
            "x-test: v\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    until(f, &f->requests, 1);
    assert_true(dd_span_is(dd_buf_span(&f->target), "/a%2Fb/%C3%A9+c?x=%2B&y"));
    assert_true(dd_span_is(dd_buf_span(&f->body), "abcde"));
    assert_string_equal(f->header, "v");
    assert_int_equal(f->headers, 3);
    assert_int_equal(f->body_error, 0);
    answer(f, 418, "short and stout");
    hear(f, fd, "stout", text, sizeof text);
    assert_int_equal(strncmp(text, "HTTP/1.1 418 ", 13), 0);
    assert_non_null(strstr(text, "X-One: 1\r\n"));
    assert_non_null(strstr(text, "Content-Length: 15\r\n"));
    /* The connection goes on. */
    say(fd, "GET / HTTP/1.1\r\n" HOST "\r\n");
    until(f, &f->requests, 2);
    assert_int_equal(f->body.len, 0);
    assert_string_equal(f->header, "-");
    answer(f, 204, "");
    hear(f, fd, "\r\n\r\n", text, sizeof text);
    assert_int_equal(strncmp(text, "HTTP/1.1 204 ", 13), 0);
    close(fd);
    assert_int_equal(f->cancelled, 0);
}

/* One listener ends what is idle, and the fixture's does not. */
static void test_an_idle_connection_stays_unless_told(void **state)
{
    struct fixture *f = *state, other = {.closed = false};
    struct dd_http_config config = {.loop = &f->loop,
                                    .address = "127.0.0.1:0",
                                    .connections_max = 1,
                                    .idle_s = 1,
                                    .events = {&other, on_requested, on_cancelled}};
    char text[1000];
    int fd = dial(f), idle;
    struct dd_error error;

    assert_int_equal(dd_http_open(&config, &other.server, &error), 0);
    idle = dial(&other);
    say(fd, "GET / HTTP/1.1\r\n" HOST "\r\n");
    until(f, &f->requests, 1);
    answer(f, 204, "");
    hear(f, fd, "\r\n\r\n", text, sizeof text);
    hear(f, idle, NULL, text, sizeof text);
    say(fd, "GET / HTTP/1.1\r\n" HOST "\r\n");
    until(f, &f->requests, 2);
    answer(f, 204, "");
    hear(f, fd, "\r\n\r\n", text, sizeof text);
    close(fd);
    close(idle);
    dd_http_close(other.server, on_closed, &other);
    while (!other.closed)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static void test_a_body_that_is_too_large_is_not_there(void **state)
{
    struct fixture *f = *state;
    char head[200], text[1000];
    size_t left = DD_HTTP_BODY_MAX + 1;
    char *piece = dd_alloc(65536);
    int fd = dial(f);

    (void)snprintf(head, sizeof head, "POST / HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n",
                   left);
    say(fd, head);
    while (left > 0) {
        ssize_t sent =
            send(fd, piece, left < 65536 ? left : 65536, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent > 0)
            left -= (size_t)sent;
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    until(f, &f->requests, 1);
    assert_int_equal(f->body_error, DD_REQUEST_TOO_LARGE);
    assert_int_equal(f->body.len, 0);
    answer(f, 413, "x");
    hear(f, fd, "\r\n\r\nx", text, sizeof text);
    close(fd);
    dd_free(piece);
}

static void test_a_peer_that_hangs_up_cancels(void **state)
{
    struct fixture *f = *state;

    assert_false(dd_http_connected(f->server));
    for (unsigned i = 1; i <= 3; i++) {
        int fd = dial(f);

        say(fd, "GET / HTTP/1.1\r\n" HOST "\r\n");
        until(f, &f->requests, i);
        assert_true(dd_http_connected(f->server));
        if (i == 2)
            shutdown(fd, SHUT_WR);
        else
            close(fd);
        until(f, &f->cancelled, i);
        if (i == 2)
            close(fd);
    }
    while (dd_http_connected(f->server))
        uv_run(&f->loop, UV_RUN_ONCE);
}

/* The end comes with the request, or while its body is read: the owner is asked, and
 * learns it at once. */
static void test_a_request_and_its_end_together(void **state)
{
    struct fixture *f = *state;
    static char body[200000];
    int fd = dial(f);

    say(fd, "GET / HTTP/1.1\r\n" HOST "\r\n");
    shutdown(fd, SHUT_WR);
    until(f, &f->requests, 1);
    until(f, &f->cancelled, 1);
    close(fd);

    memset(body, 'x', sizeof body - 1);
    fd = dial(f);
    say(fd, "POST / HTTP/1.1\r\n" HOST "Content-Length: 199999\r\n\r\n");
    say(fd, body);
    shutdown(fd, SHUT_WR);
    until(f, &f->requests, 2);
    until(f, &f->cancelled, 2);
    close(fd);
}

/* Half a request and the end together: the library alone would not see the end. */
static void test_half_a_request_and_its_end_together(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    char text[1000];

    say(fd, "GET / HTTP/1.1\r\nHo");
    shutdown(fd, SHUT_WR);
    hear(f, fd, NULL, text, sizeof text);
    close(fd);
    assert_int_equal(f->requests, 0);
}

/* The library gives such a request up without an answer. */
static void test_more_parameters_than_there_is_room_for(void **state)
{
    struct fixture *f = *state;
    static char target[20000];
    char text[1000];
    int fd = dial(f);

    for (size_t i = 0; i < sizeof target - 1; i++)
        target[i] = i % 2 ? '&' : 'a';
    say(fd, "GET /?");
    say(fd, target);
    say(fd, " HTTP/1.1\r\n" HOST "\r\n");
    hear(f, fd, NULL, text, sizeof text);
    close(fd);
    assert_int_equal(f->requests, 0);
}

/* Answers that nobody reads are kept up to a limit; what is read makes room. */
static void test_answers_that_nobody_reads(void **state)
{
    enum { LEN = 20 * 1024 * 1024, KEPT = DD_HTTP_BODIES_MAX / LEN };
    struct fixture *f = *state;
    struct dd_http_answer large = {.status = 200, .body_len = LEN};
    int fds[KEPT + 1];
    char text[1000];

    for (unsigned i = 0; i <= KEPT; i++) {
        fds[i] = dial(f);
        say(fds[i], "GET / HTTP/1.1\r\n" HOST "\r\n");
        until(f, &f->requests, i + 1);
        large.body = dd_alloc(LEN);
        f->reply.send(f->reply.user, &large);
    }
    hear(f, fds[KEPT], "\r\n\r\n", text, sizeof text);
    assert_int_equal(strncmp(text, "HTTP/1.1 503 ", 13), 0);
    close(fds[0]);
    say(fds[KEPT], "GET / HTTP/1.1\r\n" HOST "\r\n");
    until(f, &f->requests, KEPT + 2);
    for (int i = 0; i < 100; i++) /* until the end of the first is seen */
        uv_run(&f->loop, UV_RUN_NOWAIT);
    large.body = dd_alloc(LEN);
    f->reply.send(f->reply.user, &large);
    hear(f, fds[KEPT], "\r\n\r\n", text, sizeof text);
    assert_int_equal(strncmp(text, "HTTP/1.1 200 ", 13), 0);
    for (unsigned i = 1; i <= KEPT; i++)
        close(fds[i]);
}

/* Closed by teardown(), with a connection at each of its moments. */
static void test_closed_while_busy(void **state)
{
    static const char *const texts[] = {
        "",
        "GET",
        "GET / HTTP/1.1\r\n" HOST,
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n12345",
        "GET / HTTP/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.1\r\n" HOST "\r\nGET / HTTP/1.1\r\n" HOST "\r\n"};
    struct fixture *f = *state;
    int fds[DD_COUNT(texts)], answered, gone;

    for (size_t i = 0; i < DD_COUNT(texts); i++) {
        fds[i] = dial(f);
        say(fds[i], texts[i]);
    }
    until(f, &f->requests, 2);
    answered = dial(f);
    say(answered, "GET / HTTP/1.1\r\n" HOST "\r\n");
    until(f, &f->requests, 3);
    answer(f, 200, "not sent yet");
    gone = dial(f);
    say(gone, "GET / HTTP/1.1\r\n" HOST "\r\n");
    until(f, &f->requests, 4);
    close(gone);
    dd_http_refuse(f->server);
    assert_int_equal(teardown(state), 0);
    for (size_t i = 0; i < DD_COUNT(texts); i++)
        close(fds[i]);
    close(answered);
    *state = NULL;
}

static int teardown_unless_done(void **state)
{
    return *state ? teardown(state) : 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown_unless_done)
    const struct CMUnitTest tests[] = {
        TEST(test_a_request_arrives_as_it_was_sent),
        TEST(test_a_body_that_is_too_large_is_not_there),
        TEST(test_a_peer_that_hangs_up_cancels),
        TEST(test_a_request_and_its_end_together),
        TEST(test_half_a_request_and_its_end_together),
        TEST(test_more_parameters_than_there_is_room_for),
        TEST(test_answers_that_nobody_reads),
        TEST(test_closed_while_busy),
        TEST(test_an_idle_connection_stays_unless_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
