/* Requests on the real libcurl: what a server sees of them, what is told of each end, and
 * that a cancel at any moment leaves nothing. */
#include <arpa/inet.h>
#include <fcntl.h>
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
#include "io/fetch_curl.h"

/* --- the fixture ------------------------------------------------------------------------- */

/* One peer that is served by hand, on blocking sockets: the loop runs between. */
struct fixture {
    uv_loop_t loop;
    struct dd_fetcher *fetcher;
    int listener;
    uint16_t port;
    char url[64];
    unsigned told;
    enum dd_fetch_outcome outcome;
    int status;
    char text[256], header[64];
    unsigned headers;
    struct dd_buf body;
};

static void on_header(void *user, const char *name, const char *value)
{
    struct fixture *f = user;

    f->headers++;
    if (strcasecmp(name, "x-amzn-errortype") == 0)
        assert_string_equal(value, f->header);
}

static void on_fetched(void *user, void *owner, const struct dd_fetch_answer *answer)
{
    struct fixture *f = user;

    assert_ptr_equal(owner, &f->told);
    f->told++;
    f->outcome = answer->outcome;
    f->status = answer->status;
    (void)snprintf(f->text, sizeof f->text, "%s", answer->text ? answer->text : "");
    f->header[0] = '\0';
    if (answer->outcome == DD_FETCH_ANSWERED) {
        struct dd_span header = answer->header(answer, "x-amzn-errortype");

        (void)snprintf(f->header, sizeof f->header, "%s", header.data ? header.data : "-");
        f->headers = 0;
        answer->each_header(answer, on_header, f);
    }
    dd_buf_clear(&f->body);
    dd_buf_append_span(&f->body, answer->body);
}

static int setup(void **state)
{
    struct fixture *f = dd_alloc(sizeof *f);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;

    assert_int_equal(uv_loop_init(&f->loop), 0);
    f->fetcher =
        dd_fetcher_new(&f->loop, &(struct dd_fetch_events){.user = f, .fetched = on_fetched});
    f->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)(void *)&address, len), 0);
    assert_int_equal(listen(f->listener, 8), 0);
    assert_int_equal(fcntl(f->listener, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *)(void *)&address, &len), 0);
    f->port = ntohs(address.sin_port);
    (void)snprintf(f->url, sizeof f->url, "http://127.0.0.1:%u/a%%2Fb?c=%%2B", f->port);
    dd_buf_init(&f->body, 1024 * 1024);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    dd_fetcher_close(f->fetcher);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    close(f->listener);
    dd_buf_deinit(&f->body);
    dd_free(f);
    return 0;
}

static void *begin(struct fixture *f, struct dd_fetch_request request)
{
    void *fetch;
    unsigned told = f->told;

    if (!request.method)
        request.method = "GET";
    if (!request.url)
        request.url = f->url;
    if (!request.connect_ms)
        request.connect_ms = 5000;
    if (!request.timeout_ms)
        request.timeout_ms = 60000;
    if (!request.answer_max)
        request.answer_max = 1024;
    request.direct = true;
    fetch = dd_fetch(f->fetcher, &request, &f->told);
    assert_int_equal(f->told, told); /* never from inside */
    return fetch;
}

static void until_told(struct fixture *f, unsigned told)
{
    while (f->told < told)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->told, told);
}

/* --- the peer ---------------------------------------------------------------------------- */

static int take(struct fixture *f)
{
    int fd;

    while ((fd = accept(f->listener, NULL, NULL)) < 0)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static bool ends_with(const struct dd_buf *buf, const char *end)
{
    size_t len = strlen(end);

    return buf->len >= len && memcmp(buf->data + buf->len - len, end, len) == 0;
}

/* Reads until `end` has come, behind which nothing comes. */
static void read_until(struct fixture *f, int fd, const char *end, struct dd_buf *out)
{
    dd_buf_init(out, 4 * 1024 * 1024);
    while (!ends_with(out, end)) {
        char bytes[16384];
        ssize_t len = read(fd, bytes, sizeof bytes);

        assert_int_not_equal(len, 0);
        if (len > 0)
            dd_buf_append(out, bytes, (size_t)len);
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

/* --- tests ------------------------------------------------------------------------------- */

static void test_a_request_is_sent_as_given(void **state)
{
    struct fixture *f = *state;
    const struct dd_http_header headers[] = {
        {"X-One", "1"}, {"X-None", ""}, {"Content-Type", "application/json"}};
    struct dd_buf seen;
    int fd;

    begin(f, (struct dd_fetch_request){.method = "POST",
                                       .headers = headers,
                                       .headers_len = DD_COUNT(headers),
                                       .body = DD_SPAN("{\"a\":1}")});
    fd = take(f);
    read_until(f, fd, "{\"a\":1}", &seen);
    assert_non_null(
        dd_span_find(dd_buf_span(&seen), "POST /a%2Fb?c=%2B HTTP/1.1\r\nHost: 127.0.0.1:"));
    assert_non_null(dd_span_find(dd_buf_span(&seen), "\r\nX-One: 1\r\n"));
    assert_non_null(dd_span_find(dd_buf_span(&seen), "\r\nX-None:\r\n"));
    assert_non_null(dd_span_find(dd_buf_span(&seen), "\r\nContent-Type: application/json\r\n"));
    assert_null(dd_span_find(dd_buf_span(&seen), "urlencoded"));
    assert_null(dd_span_find(dd_buf_span(&seen), "Expect"));
    say(fd, "HTTP/1.1 429 Slow\r\nX-Amzn-ErrorType: Too:\r\nContent-Length: 3\r\n\r\nabc");
    until_told(f, 1);
    assert_int_equal(f->outcome, DD_FETCH_ANSWERED);
    assert_int_equal(f->status, 429);
    assert_string_equal(f->header, "Too:");
    assert_int_equal(f->headers, 2);
    assert_true(dd_span_is(dd_buf_span(&f->body), "abc"));
    dd_buf_deinit(&seen);
    close(fd);
}

static void test_a_large_body_goes_out_without_asking_first(void **state)
{
    struct fixture *f = *state;
    size_t len = 2 * 1024 * 1024;
    char *body = dd_alloc(len);
    struct dd_buf seen;
    int fd;

    memset(body, 'x', len);
    body[len - 3] = 'e';
    body[len - 2] = 'n';
    body[len - 1] = 'd';
    begin(f, (struct dd_fetch_request){.method = "POST", .body = dd_span_make(body, len)});
    fd = take(f);
    read_until(f, fd, "end", &seen);
    say(fd, ANSWER);
    until_told(f, 1);
    assert_int_equal(f->status, 200);
    dd_buf_deinit(&seen);
    dd_free(body);
    close(fd);
}

static void test_a_connection_is_kept_unless_a_fresh_one_is_wanted(void **state)
{
    struct fixture *f = *state;
    struct dd_buf seen;
    int fd, other;

    begin(f, (struct dd_fetch_request){0});
    fd = take(f);
    for (unsigned i = 1; i <= 3; i++) {
        read_until(f, fd, "\r\n\r\n", &seen);
        dd_buf_deinit(&seen);
        say(fd, ANSWER);
        until_told(f, i);
        begin(f, (struct dd_fetch_request){.fresh = i == 3});
    }
    other = take(f);
    read_until(f, other, "\r\n\r\n", &seen);
    dd_buf_deinit(&seen);
    say(other, ANSWER);
    until_told(f, 4);
    close(fd);
    close(other);
}

/* The kept connection has ended while nothing was sent: the next request dials again. */
static void test_a_kept_connection_that_ended_is_dialled_again(void **state)
{
    struct fixture *f = *state;
    struct dd_buf seen;
    int fd;

    for (unsigned i = 1; i <= 2; i++) {
        begin(f, (struct dd_fetch_request){0});
        fd = take(f);
        read_until(f, fd, "\r\n\r\n", &seen);
        dd_buf_deinit(&seen);
        say(fd, ANSWER);
        until_told(f, i);
        assert_int_equal(f->outcome, DD_FETCH_ANSWERED);
        close(fd);
    }
}

static void test_the_ends_that_are_no_answer(void **state)
{
    static const struct {
        const char *said; /* before the end; NULL: nothing, and no end either */
        enum dd_fetch_outcome outcome;
    } cases[] = {
        {"", DD_FETCH_BROKEN},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", DD_FETCH_BROKEN},
        {"SSH-2.0-OpenSSH_9\r\n", DD_FETCH_BROKEN},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", DD_FETCH_BROKEN},
        {NULL, DD_FETCH_LATE},
    };
    struct fixture *f = *state;

    for (unsigned i = 0; i < DD_COUNT(cases); i++) {
        struct dd_buf seen;
        int fd;

        begin(f, (struct dd_fetch_request){.timeout_ms = cases[i].said ? 60000 : 50,
                                           .fresh = true});
        fd = take(f);
        read_until(f, fd, "\r\n\r\n", &seen);
        dd_buf_deinit(&seen);
        if (cases[i].said) {
            say(fd, cases[i].said);
            close(fd);
        }
        until_told(f, i + 1);
        assert_int_equal(f->outcome, cases[i].outcome);
        assert_int_not_equal(f->text[0], '\0');
        if (!cases[i].said)
            close(fd);
    }
}

static void test_an_answer_that_is_too_large(void **state)
{
    struct fixture *f = *state;
    struct dd_buf seen;
    int fd;

    begin(f, (struct dd_fetch_request){.answer_max = 8});
    fd = take(f);
    read_until(f, fd, "\r\n\r\n", &seen);
    dd_buf_deinit(&seen);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789");
    until_told(f, 1);
    assert_int_equal(f->outcome, DD_FETCH_TOO_LARGE);
    close(fd);
}

static void test_nobody_listens(void **state)
{
    struct fixture *f = *state;

    close(f->listener);
    begin(f, (struct dd_fetch_request){0});
    until_told(f, 1);
    assert_int_equal(f->outcome, DD_FETCH_UNREACHABLE);
    begin(f, (struct dd_fetch_request){.url = "ftp://127.0.0.1/"});
    until_told(f, 2);
    assert_int_equal(f->outcome, DD_FETCH_UNREACHABLE);
    f->listener = -1;
}

/* A peer that speaks no TLS, and certificates that are not where they are said to be. */
static void test_no_trust(void **state)
{
    struct fixture *f = *state;
    char url[64];
    int fd;

    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/", f->port);
    assert_int_equal(setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem", 1), 0);
    begin(f, (struct dd_fetch_request){.url = url});
    until_told(f, 1);
    assert_int_equal(f->outcome, DD_FETCH_UNTRUSTED);
    assert_non_null(strstr(f->text, "/nowhere/ca.pem"));
    assert_int_equal(unsetenv("AWS_CA_BUNDLE"), 0);
    fd = take(f);
    close(fd);
    begin(f, (struct dd_fetch_request){.url = url});
    fd = take(f);
    say(fd, "HTTP/1.1 400 Bad\r\n\r\n");
    close(fd);
    until_told(f, 2);
    assert_int_equal(f->outcome, DD_FETCH_UNTRUSTED);
}

static void test_a_cancel_at_each_moment(void **state)
{
    struct fixture *f = *state;

    for (int moment = 0; moment < 4; moment++) {
        void *fetch = begin(f, (struct dd_fetch_request){.fresh = true});
        struct dd_buf seen;
        int fd = -1;

        if (moment > 0)
            fd = take(f);
        if (moment > 1) {
            read_until(f, fd, "\r\n\r\n", &seen);
            dd_buf_deinit(&seen);
        }
        if (moment > 2)
            say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        uv_run(&f->loop, UV_RUN_NOWAIT);
        dd_fetch_cancel(f->fetcher, fetch);
        uv_run(&f->loop, UV_RUN_NOWAIT);
        assert_int_equal(f->told, 0);
        if (fd >= 0)
            close(fd);
    }
    /* And one that the teardown finds under way. */
    begin(f, (struct dd_fetch_request){.fresh = true});
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_request_is_sent_as_given),
        TEST(test_a_large_body_goes_out_without_asking_first),
        TEST(test_a_connection_is_kept_unless_a_fresh_one_is_wanted),
        TEST(test_a_kept_connection_that_ended_is_dialled_again),
        TEST(test_the_ends_that_are_no_answer),
        TEST(test_an_answer_that_is_too_large),
        TEST(test_nobody_listens),
        TEST(test_no_trust),
        TEST(test_a_cancel_at_each_moment),
    };

    return cmocka_run_group_tests_name("fetch_curl", tests, NULL, NULL);
}
