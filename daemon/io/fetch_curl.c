/* Requests on libcurl's multi interface; see fetch_curl.h. libcurl says which descriptors it
 * wants watched and when it wants to be called; the loop does both
 * (curl.se/libcurl/c/libcurl-multi.html, "multi_socket"). */
#include "io/fetch_curl.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/list.h"
#include "io/roots.h"

/* Connections that are kept; chosen: as many as executions that one sandbox usually has. */
#define KEPT_CONNECTIONS 4

struct dd_fetcher {
    uv_loop_t *loop;
    struct dd_fetch_events events;
    CURLM *multi; /* NULL before the first request */
    bool begun;   /* curl_global_init() was called */
    uv_timer_t timer;
    struct dd_list fetches; /* of fetch */
    struct dd_list watches; /* of watch */
    size_t handles;         /* that the loop has not let go of */
};

/* One request under way. */
struct fetch {
    struct dd_list node;
    struct dd_fetcher *fetcher;
    void *owner;
    CURL *easy; /* NULL: it could not be begun */
    struct curl_slist *headers;
    struct dd_buf body;
    char text[CURL_ERROR_SIZE];
};

/* A descriptor of libcurl's. */
struct watch {
    struct dd_list node;
    struct dd_fetcher *fetcher;
    uv_poll_t poll;
};

/* --- life -------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

struct dd_fetcher *dd_fetcher_new(uv_loop_t *loop, const struct dd_fetch_events *events)
{
    struct dd_fetcher *fetcher = dd_alloc(sizeof *fetcher);

    fetcher->loop = loop;
    fetcher->events = *events;
    dd_list_init(&fetcher->fetches);
    dd_list_init(&fetcher->watches);
    dd_assert(uv_timer_init(loop, &fetcher->timer) == 0);
    fetcher->timer.data = fetcher;
    fetcher->handles = 1;
    return fetcher;
}

static void let_go(struct dd_fetcher *fetcher)
{
    if (--fetcher->handles == 0)
        dd_free(fetcher);
}

static void on_timer_closed(uv_handle_t *handle)
{
    let_go(handle->data);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;

    let_go(watch->fetcher);
    dd_free(watch);
}

static void watch_close(struct watch *watch)
{
    dd_list_remove(&watch->node);
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static void fetch_free(struct fetch *fetch)
{
    if (fetch->easy) {
        curl_multi_remove_handle(fetch->fetcher->multi, fetch->easy);
        curl_easy_cleanup(fetch->easy);
    }
    curl_slist_free_all(fetch->headers);
    dd_list_remove(&fetch->node);
    dd_buf_deinit(&fetch->body);
    dd_free(fetch);
}

/* Closes the connections that are kept; nothing is under way. */
static void hang_up(struct dd_fetcher *fetcher)
{
    while (!dd_list_empty(&fetcher->watches))
        watch_close(dd_container_of(fetcher->watches.next, struct watch, node));
    uv_timer_stop(&fetcher->timer);
    if (!fetcher->multi)
        return;
    /* It says what it closes: the watches are gone already. */
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, NULL);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, NULL);
    curl_multi_cleanup(fetcher->multi);
    fetcher->multi = NULL;
}

void dd_fetcher_close(struct dd_fetcher *fetcher)
{
    while (!dd_list_empty(&fetcher->fetches))
        fetch_free(dd_container_of(fetcher->fetches.next, struct fetch, node));
    hang_up(fetcher);
    if (fetcher->begun)
        curl_global_cleanup();
    uv_close((uv_handle_t *)&fetcher->timer, on_timer_closed);
}

/* --- what is told ------------------------------------------------------------------------ */

static struct dd_span find_header(const struct dd_fetch_answer *answer, const char *name)
{
    struct curl_header *header;

    if (curl_easy_header(answer->user, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return DD_SPAN_NONE;
    return dd_span_cstr(header->value);
}

static void each_header(const struct dd_fetch_answer *answer,
                        void (*visit)(void *user, const char *name, const char *value),
                        void *user)
{
    struct curl_header *header = NULL;

    while ((header = curl_easy_nextheader(answer->user, CURLH_HEADER, -1, header)) != NULL)
        visit(user, header->name, header->value);
}

static bool was_connected(CURL *easy)
{
    curl_off_t sent_us = 0;

    return curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &sent_us) == CURLE_OK &&
           sent_us > 0;
}

static enum dd_fetch_outcome outcome_of(const struct fetch *fetch, CURLcode code)
{
    if (fetch->body.failed)
        return DD_FETCH_TOO_LARGE;
    switch ((int)code) {
    case CURLE_OK:
        return DD_FETCH_ANSWERED;
    case CURLE_OPERATION_TIMEDOUT:
        return was_connected(fetch->easy) ? DD_FETCH_LATE : DD_FETCH_UNREACHABLE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CONNECT_ERROR:
        return DD_FETCH_UNTRUSTED;
    default:
        return was_connected(fetch->easy) ? DD_FETCH_BROKEN : DD_FETCH_UNREACHABLE;
    }
}

/* Tells its end, and frees it. */
static void fetch_end(struct fetch *fetch, CURLcode code)
{
    struct dd_fetcher *fetcher = fetch->fetcher;
    struct dd_fetch_answer answer = {
        .outcome = fetch->easy ? outcome_of(fetch, code) : DD_FETCH_UNREACHABLE,
        .body = dd_buf_span(&fetch->body),
        .header = find_header,
        .each_header = each_header,
        .user = fetch->easy,
    };
    long status = 0;

    if (answer.outcome == DD_FETCH_ANSWERED) {
        curl_easy_getinfo(fetch->easy, CURLINFO_RESPONSE_CODE, &status);
        answer.status = (int)status;
    } else if (answer.outcome == DD_FETCH_TOO_LARGE) {
        answer.text = "the answer is larger than it may be";
    } else {
        answer.text = fetch->text[0] ? fetch->text : curl_easy_strerror(code);
    }
    fetcher->events.fetched(fetcher->events.user, fetch->owner, &answer);
    fetch_free(fetch);
}

/* Those that libcurl is done with, and those that it never began. */
static void tell_ended(struct dd_fetcher *fetcher)
{
    CURLMsg *message;
    int left;

    while (fetcher->multi && (message = curl_multi_info_read(fetcher->multi, &left)) != NULL) {
        CURLcode code = message->data.result;
        struct fetch *fetch = NULL;

        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &fetch);
        if (message->msg == CURLMSG_DONE)
            fetch_end(fetch, code);
    }
    /* What is told may begin others: from the front each time. */
    for (struct dd_list *node = fetcher->fetches.next; node != &fetcher->fetches;) {
        struct fetch *fetch = dd_container_of(node, struct fetch, node);

        node = node->next;
        if (!fetch->easy) {
            fetch_end(fetch, CURLE_OUT_OF_MEMORY);
            node = fetcher->fetches.next;
        }
    }
}

/* --- the loop ---------------------------------------------------------------------------- */

static void act(struct dd_fetcher *fetcher, curl_socket_t socket, int events)
{
    long timeout_ms = -1;
    int running;

    if (fetcher->multi)
        curl_multi_socket_action(fetcher->multi, socket, events, &running);
    tell_ended(fetcher);
    /* dd_fetch() may have armed the timer over libcurl's, which does not ask again. */
    if (fetcher->multi && !uv_is_active((uv_handle_t *)&fetcher->timer))
        curl_multi_timeout(fetcher->multi, &timeout_ms);
    if (timeout_ms >= 0)
        uv_timer_start(&fetcher->timer, on_timer, (uint64_t)timeout_ms, 0);
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    uv_os_fd_t fd = -1;
    int flags = 0;

    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    if (status < 0)
        flags |= CURL_CSELECT_ERR;
    dd_assert(uv_fileno((uv_handle_t *)poll, &fd) == 0);
    act(watch->fetcher, fd, flags);
}

static struct watch *watch_open(struct dd_fetcher *fetcher, curl_socket_t socket)
{
    struct watch *watch = dd_alloc(sizeof *watch);

    watch->fetcher = fetcher;
    dd_assert(uv_poll_init(fetcher->loop, &watch->poll, socket) == 0);
    watch->poll.data = watch;
    dd_list_push(&fetcher->watches, &watch->node);
    fetcher->handles++;
    curl_multi_assign(fetcher->multi, socket, watch);
    return watch;
}

static int on_socket_wanted(CURL *easy, curl_socket_t socket, int what, void *user, void *kept)
{
    struct dd_fetcher *fetcher = user;
    struct watch *watch = kept;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            curl_multi_assign(fetcher->multi, socket, NULL);
            watch_close(watch);
        }
        return 0;
    }
    if (what & CURL_POLL_IN)
        events |= UV_READABLE;
    if (what & CURL_POLL_OUT)
        events |= UV_WRITABLE;
    if (!watch)
        watch = watch_open(fetcher, socket);
    dd_assert(uv_poll_start(&watch->poll, events, on_poll) == 0);
    return 0;
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *user)
{
    struct dd_fetcher *fetcher = user;

    (void)multi;
    if (timeout_ms < 0)
        uv_timer_stop(&fetcher->timer);
    else
        uv_timer_start(&fetcher->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

/* --- requests ---------------------------------------------------------------------------- */

/* Where the certificates of authorities are: where AWS's tools and OpenSSL's are told, else
 * where distributions keep them. NULL: nowhere. */
static const char *find_roots(void)
{
    static const char *const names[] = {"AWS_CA_BUNDLE", "SSL_CERT_FILE"};
    static const char *const paths[] = {
        "/etc/pki/tls/certs/ca-bundle.crt",                  /* Amazon Linux, Fedora */
        "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Alpine */
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Amazon Linux 2023 */
        "/etc/ssl/ca-bundle.pem",                            /* SUSE */
        "/etc/ssl/cert.pem",
    };

    for (size_t i = 0; i < DD_COUNT(names); i++) {
        const char *path = getenv(names[i]);

        if (path && *path)
            return path;
    }
    for (size_t i = 0; i < DD_COUNT(paths); i++) {
        if (access(paths[i], R_OK) == 0)
            return paths[i];
    }
    return NULL;
}

/* Whom to trust; what is built in when no file is there. */
static void set_roots(CURL *easy)
{
    const char *path = find_roots();
    struct curl_blob built_in = {(void *)dd_roots.data, dd_roots.len, CURL_BLOB_NOCOPY};

    if (path)
        curl_easy_setopt(easy, CURLOPT_CAINFO, path);
    else if (built_in.len > 0)
        curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &built_in);
}

static bool set_up(struct dd_fetcher *fetcher)
{
    if (fetcher->multi)
        return true;
    if (!fetcher->begun && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return false;
    fetcher->begun = true;
    fetcher->multi = curl_multi_init();
    if (!fetcher->multi)
        return false;
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    curl_multi_setopt(fetcher->multi, CURLMOPT_SOCKETDATA, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    curl_multi_setopt(fetcher->multi, CURLMOPT_TIMERDATA, fetcher);
    curl_multi_setopt(fetcher->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    return true;
}

static size_t on_body(char *bytes, size_t size, size_t len, void *user)
{
    struct fetch *fetch = user;

    dd_buf_append(&fetch->body, bytes, size * len);
    return fetch->body.failed ? 0 : size * len;
}

static bool add_header(struct fetch *fetch, const char *line)
{
    struct curl_slist *longer = curl_slist_append(fetch->headers, line);

    if (longer)
        fetch->headers = longer;
    return longer != NULL;
}

static bool add_headers(struct fetch *fetch, const struct dd_fetch_request *request)
{
    /* What libcurl would add by itself to a body. */
    bool good = add_header(fetch, "Expect:") && add_header(fetch, "Content-Type:");

    for (size_t i = 0; good && i < request->headers_len; i++) {
        const struct dd_http_header *header = &request->headers[i];
        struct dd_buf line;

        dd_buf_init(&line, SIZE_MAX);
        if (*header->value)
            dd_buf_printf(&line, "%s: %s", header->name, header->value);
        else /* libcurl would leave out "NAME:" */
            dd_buf_printf(&line, "%s;", header->name);
        dd_buf_append_byte(&line, '\0');
        good = !line.failed && add_header(fetch, line.data);
        dd_buf_deinit(&line);
    }
    return good;
}

static void set_options(struct fetch *fetch, const struct dd_fetch_request *request)
{
    CURL *easy = fetch->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, fetch);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, fetch->text);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fetch->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, fetch);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    if (request->body.data) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body.data);
    }
    set_roots(easy);
    if (request->fresh)
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    if (request->direct)
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
}

void *dd_fetch(void *user, const struct dd_fetch_request *request, void *owner)
{
    struct dd_fetcher *fetcher = user;
    struct fetch *fetch = dd_alloc(sizeof *fetch);

    fetch->fetcher = fetcher;
    fetch->owner = owner;
    dd_buf_init(&fetch->body, request->answer_max);
    /* Else a later request would find the dead one among those kept. */
    if (request->fresh && dd_list_empty(&fetcher->fetches))
        hang_up(fetcher);
    dd_list_push(&fetcher->fetches, &fetch->node);
    if (set_up(fetcher) && add_headers(fetch, request))
        fetch->easy = curl_easy_init();
    if (fetch->easy) {
        set_options(fetch, request);
        if (curl_multi_add_handle(fetcher->multi, fetch->easy) == CURLM_OK)
            return fetch;
        curl_easy_cleanup(fetch->easy);
        fetch->easy = NULL;
    }
    uv_timer_start(&fetcher->timer, on_timer, 0, 0); /* from where its end is told */
    return fetch;
}

void dd_fetch_cancel(void *fetcher, void *fetch)
{
    (void)fetcher;
    fetch_free(fetch);
}
