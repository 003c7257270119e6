/* HTTP requests on libmicrohttpd; see http_mhd.h.
 *
 * A request, in order: its target is seen (on_target), its body gathered (on_body, then
 * ask), the owner asked while the connection is suspended; the answer resumes it, and
 * the library asks on_request() once more, which queues the response.
 *
 * The library does not look at the socket of a suspended request, and misses an end that
 * came together with the last bytes. So each connection is watched for that: it cancels
 * the request that waits, or leaves the connection one more second. And a request that has
 * more parameters than its memory holds it gives up without a word, to close the connection
 * when it works next, which it does not ask for. */
#define _GNU_SOURCE
#include "io/http_mhd.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/list.h"
#include "io/system.h"

#define LISTEN_BACKLOG 512

struct dd_http_server {
    struct dd_http_config config;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t timer;
    unsigned handles; /* open: the two above, and the watches of connections */
    struct dd_list connections;
    size_t bodies;  /* bytes of the requests' bodies */
    size_t answers; /* and of the answers that are not sent yet */
    size_t unsent;  /* the number of those */
    uint64_t round; /* of the library's work */
    unsigned begun; /* requests that began in it, and whose headers are not all read */
    char url[80];
    uint16_t port;
    void (*done)(void *user);
    void *done_user;
};

enum state {
    STARTED, /* its headers are not read yet */
    RECEIVING,
    ASKED,    /* suspended */
    ANSWERED, /* `response` is to be queued */
    DROPPED,  /* the peer is gone, or what it sends is no end */
};

struct connection {
    uv_poll_t watch;
    struct dd_list node;
    struct dd_http_server *server;
    struct MHD_Connection *connection;
    struct request *request; /* the one that it has sent, or is sending; NULL: none */
    struct request *asked;   /* the same while it is suspended */
    bool hung_up;            /* the peer sends no more */
};

struct request {
    struct dd_http_server *server;
    struct connection *connection;
    enum state state;
    uint64_t round; /* when it began */
    char *target;
    struct dd_buf body;
    int body_error; /* why the body is not kept; 0: it is */
    size_t dropped; /* bytes of a body that is not kept */
    void *exchange;
    struct MHD_Response *response;
    size_t response_len;
    int status;
};

/* --- the end of things ------------------------------------------------------------------- */

static void server_maybe_free(struct dd_http_server *server)
{
    void (*done)(void *) = server->done;
    void *user = server->done_user;

    if (!done || server->handles > 0)
        return;
    dd_free(server);
    done(user);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct dd_http_server *server = handle->data;

    server->handles--;
    server_maybe_free(server);
}

static void drop_body(struct request *request)
{
    request->server->bodies -= request->body.len;
    dd_buf_deinit(&request->body);
}

static void request_free(struct request *request)
{
    if (request->state == ANSWERED)
        request->server->unsent--;
    if (request->response)
        MHD_destroy_response(request->response);
    request->server->answers -= request->response_len;
    request->connection->request = NULL;
    drop_body(request);
    dd_free(request->target);
    dd_free(request);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    struct dd_http_server *server = connection->server;

    dd_free(connection);
    server->handles--;
    server_maybe_free(server);
}

static void cancel(struct request *request)
{
    const struct dd_http_events *events = &request->server->config.events;

    request->state = DROPPED;
    request->connection->asked = NULL;
    events->cancelled(events->user, request->exchange);
}

/* The library lets go of a request, answered or not. */
static void on_completed(void *user, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct request *request = *context;

    (void)user;
    (void)connection;
    (void)code;
    if (!request)
        return;
    *context = NULL;
    if (request->state == ASKED)
        cancel(request);
    request_free(request);
}

/* --- answers ----------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

/* The library is to go on with a request. It is not told here, which may be inside a call
 * of its own or of the owner's, but by the loop at once. */
static void resume(struct request *request)
{
    MHD_resume_connection(request->connection->connection);
    uv_timer_start(&request->server->timer, on_timer, 0, 0);
}

static struct MHD_Response *make_response(char *body, size_t len)
{
    struct MHD_Response *response =
        len > 0 ? MHD_create_response_from_buffer_with_free_callback(len, body, dd_free)
                : MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);

    if (!response || len == 0)
        dd_free(body);
    return response;
}

/* Peers that read nothing must not gather answers here: above the limit there is none but
 * that it can't be had now. */
static void respond(struct request *request, const struct dd_http_answer *answer)
{
    struct dd_http_server *server = request->server;

    if (server->answers + answer->body_len > DD_HTTP_BODIES_MAX) {
        dd_free(answer->body);
        request->status = MHD_HTTP_SERVICE_UNAVAILABLE;
        request->response = make_response(NULL, 0);
        return;
    }
    request->status = answer->status;
    request->response = make_response(answer->body, answer->body_len);
    if (!request->response)
        return;
    request->response_len = answer->body_len;
    server->answers += answer->body_len;
    for (size_t i = 0; i < answer->headers_len; i++)
        (void)MHD_add_response_header(request->response, answer->headers[i].name,
                                      answer->headers[i].value);
}

static void reply_send(void *user, const struct dd_http_answer *answer)
{
    struct request *request = user;

    dd_assert(request->state == ASKED);
    request->state = ANSWERED;
    request->server->unsent++;
    request->connection->asked = NULL;
    respond(request, answer);
    resume(request);
}

/* --- connections ------------------------------------------------------------------------- */

/* The peer hung up, wholly or its sending side: it has no use for an answer. */
static void on_hangup(uv_poll_t *watch, int status, int events)
{
    struct connection *connection = watch->data;
    struct request *asked = connection->asked;

    (void)status;
    (void)events;
    uv_poll_stop(watch);
    connection->hung_up = true;
    if (asked) {
        cancel(asked);
        resume(asked);
        return;
    }
    (void)MHD_set_connection_option(connection->connection, MHD_CONNECTION_OPTION_TIMEOUT, 1u);
    uv_timer_start(&connection->server->timer, on_timer, 0, 0);
}

static void *connection_new(struct dd_http_server *server, struct MHD_Connection *library)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(library, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct connection *connection = dd_alloc(sizeof *connection);
    int rc = uv_poll_init(server->config.loop, &connection->watch, info->connect_fd);

    dd_assert(rc == 0);
    connection->watch.data = connection;
    connection->server = server;
    connection->connection = library;
    dd_list_push(&server->connections, &connection->node);
    server->handles++;
    uv_poll_start(&connection->watch, UV_DISCONNECT, on_hangup);
    return connection;
}

/* Whether a peer may connect at all. */
static enum MHD_Result on_accept(void *user, const struct sockaddr *address, socklen_t len)
{
    const struct dd_http_server *server = user;
    int64_t owner;

    (void)len;
    if (!server->config.own_user || address->sa_family != AF_INET)
        return MHD_YES;
    owner = dd_port_user(ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port),
                         server->port);
    return owner <= 0 || owner == (int64_t)geteuid() ? MHD_YES : MHD_NO;
}

/* A connection has begun, or ends: its socket is closed after this. */
static void on_connection(void *user, struct MHD_Connection *library, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct connection *connection = *context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = connection_new(user, library);
        return;
    }
    *context = NULL;
    /* The library forgets a request whose parameters are too many for its memory. */
    if (connection->request)
        request_free(connection->request);
    dd_list_remove(&connection->node);
    uv_close((uv_handle_t *)&connection->watch, on_watch_closed);
}

/* --- requests ---------------------------------------------------------------------------- */

/* The request line has come: its target, before the library decodes anything. What is
 * returned is the context of the request from now on. */
static void *on_target(void *user, const char *target, struct MHD_Connection *library)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(library, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct request *request = dd_alloc(sizeof *request);
    size_t size = strlen(target) + 1;

    request->server = user;
    request->connection = info->socket_context;
    request->connection->request = request;
    request->round = request->server->round;
    request->server->begun++;
    request->target = memcpy(dd_alloc(size), target, size);
    dd_buf_init(&request->body, DD_HTTP_BODY_MAX);
    return request;
}

/* Keeps a piece of the body. Of one that can't be kept the rest is read and dropped, so
 * that its sender gets to see the answer. */
static enum MHD_Result on_body(struct request *request, const char *bytes, size_t len)
{
    struct dd_http_server *server = request->server;

    if (!request->body_error) {
        if (request->body.len + len > DD_HTTP_BODY_MAX)
            request->body_error = DD_REQUEST_TOO_LARGE;
        else if (server->bodies + len > DD_HTTP_BODIES_MAX)
            request->body_error = DD_NO_MEMORY;
        else
            dd_buf_append(&request->body, bytes, len);
        if (request->body.failed)
            request->body_error = DD_NO_MEMORY;
    }
    if (!request->body_error) {
        server->bodies += len;
        return MHD_YES;
    }
    drop_body(request);
    request->dropped += len;
    return request->dropped <= DD_HTTP_DISCARD_MAX ? MHD_YES : MHD_NO;
}

static struct dd_span find_header(const struct dd_http_request *request, const char *name)
{
    struct MHD_Connection *connection = (struct MHD_Connection *)(uintptr_t)request->user;

    return dd_span_cstr(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name));
}

struct visitor {
    void (*visit)(void *user, const char *name, const char *value);
    void *user;
};

static enum MHD_Result on_header(void *user, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    const struct visitor *visitor = user;

    (void)kind;
    visitor->visit(visitor->user, name, value ? value : "");
    return MHD_YES;
}

static void each_header(const struct dd_http_request *request,
                        void (*visit)(void *user, const char *name, const char *value),
                        void *user)
{
    struct MHD_Connection *connection = (struct MHD_Connection *)(uintptr_t)request->user;
    struct visitor visitor = {visit, user};

    (void)MHD_get_connection_values(connection, MHD_HEADER_KIND, on_header, &visitor);
}

/* The request is whole: the owner is asked, and the library waits. */
static enum MHD_Result ask(struct request *request, const char *method)
{
    const struct dd_http_events *events = &request->server->config.events;
    struct dd_http_request whole = {
        .method = dd_span_cstr(method),
        .target = dd_span_cstr(request->target),
        .body = dd_buf_span(&request->body),
        .body_error = request->body_error,
        .header = find_header,
        .each_header = each_header,
        .user = request->connection->connection,
    };
    struct dd_http_reply reply = {request, reply_send};

    MHD_suspend_connection(request->connection->connection);
    request->state = ASKED;
    request->connection->asked = request;
    request->exchange = events->requested(events->user, &whole, &reply);
    drop_body(request);
    if (request->connection->hung_up) {
        cancel(request);
        resume(request);
    }
    return MHD_YES;
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection,
                                  const char *url, const char *method, const char *version,
                                  const char *upload, size_t *upload_len, void **context)
{
    struct request *request = *context;
    size_t len = *upload_len;

    (void)user;
    (void)url;
    (void)version;
    switch (request->state) {
    case STARTED:
        request->state = RECEIVING;
        if (request->round == request->server->round)
            request->server->begun--;
        return MHD_YES;
    case RECEIVING:
        *upload_len = 0;
        return len > 0 ? on_body(request, upload, len) : ask(request, method);
    case ANSWERED:
        return request->response ? MHD_queue_response(connection, (unsigned)request->status,
                                                      request->response)
                                 : MHD_NO;
    case ASKED:
    case DROPPED:
        break;
    }
    return MHD_NO;
}

/* --- the loop ---------------------------------------------------------------------------- */

/* Lets the library work, and sets the time at which it wants to again. */
static void pump(struct dd_http_server *server)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms;

    server->round++;
    server->begun = 0;
    (void)MHD_run(server->daemon);
    if (server->begun > 0)
        uv_timer_start(&server->timer, on_timer, 0, 0);
    else if (MHD_get_timeout(server->daemon, &timeout_ms) == MHD_YES)
        uv_timer_start(&server->timer, on_timer, timeout_ms, 0);
    else
        uv_timer_stop(&server->timer);
}

static void on_timer(uv_timer_t *timer)
{
    pump(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    pump(poll->data);
}

static void start_handles(struct dd_http_server *server)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);

    dd_assert(info && uv_timer_init(server->config.loop, &server->timer) == 0);
    server->timer.data = server;
    dd_assert(uv_poll_init(server->config.loop, &server->poll, info->epoll_fd) == 0);
    server->poll.data = server;
    server->handles = 2;
    dd_assert(uv_poll_start(&server->poll, UV_READABLE, on_poll) == 0);
}

/* --- the address ------------------------------------------------------------------------- */

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >>
                   24 ==
               127;
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(
               &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
}

/* Reads "HOST:PORT"; an IPv6 HOST is in brackets. */
static int resolve(const char *text, struct addrinfo **out, struct dd_error *error)
{
    static const struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    char host[64];

    if (len == 0 || len >= sizeof host)
        return dd_fail(error, DD_USAGE, "--http: '%s' is no ADDRESS:PORT", text);
    if (text[0] == '[' && text[len - 1] == ']')
        snprintf(host, sizeof host, "%.*s", (int)len - 2, text + 1);
    else
        snprintf(host, sizeof host, "%.*s", (int)len, text);
    if (strtoul(colon + 1, NULL, 10) > UINT16_MAX ||
        getaddrinfo(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, colon + 1, &hints,
                    out) != 0)
        return dd_fail(error, DD_USAGE, "--http: '%s' is no ADDRESS:PORT", text);
    return 0;
}

static int no_listener(const struct dd_http_config *config, const struct sockaddr *address,
                       struct dd_error *error)
{
    int number = errno;
    uint16_t port = ntohs(address->sa_family == AF_INET6
                              ? ((const struct sockaddr_in6 *)(const void *)address)->sin6_port
                              : ((const struct sockaddr_in *)(const void *)address)->sin_port);
    int64_t holder = number == EADDRINUSE ? dd_port_holder(port) : 0;
    char name[16], by[64] = "";

    if (holder) {
        dd_process_name(holder, name);
        snprintf(by, sizeof by, " by pid %" PRId64 " (%s)", holder, name);
    }
    return dd_fail(error, DD_SYSTEM, "--http: %s: %s%s", config->address, strerror(number), by);
}

/* Listens, and says where in `server->url`. */
static int listen_on(struct dd_http_server *server, const struct addrinfo *where, int *out_fd,
                     struct dd_error *error)
{
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_storage bound = {0};
    struct sockaddr *address = (struct sockaddr *)(void *)&bound;
    socklen_t len = sizeof bound;
    char host[INET6_ADDRSTRLEN], port[8];
    const int on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, where->ai_addr, where->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0 ||
        getsockname(fd, address, &len) != 0) {
        int rc = no_listener(&server->config, where->ai_addr, error);

        if (fd >= 0)
            close(fd);
        return rc;
    }
    dd_assert(getnameinfo(address, len, host, sizeof host, port, sizeof port,
                          NI_NUMERICHOST | NI_NUMERICSERV) == 0);
    server->port = (uint16_t)strtoul(port, NULL, 10);
    snprintf(server->url, sizeof server->url,
             where->ai_family == AF_INET6 ? "http://[%s]:%s" : "http://%s:%s", host, port);
    *out_fd = fd;
    return 0;
}

static int open_socket(struct dd_http_server *server, int *out_fd, struct dd_error *error)
{
    const struct dd_http_config *config = &server->config;
    struct addrinfo *found;
    int rc = resolve(config->address, &found, error);

    if (rc)
        return rc;
    if (!config->remote && !is_loopback(found->ai_addr))
        rc = dd_fail(error, DD_USAGE,
                     "--http: '%s' is not on loopback, and whoever reaches it may start and "
                     "stop functions; if that is meant, say with --http-hosts by which names "
                     "it is reached",
                     config->address);
    else
        rc = listen_on(server, found, out_fd, error);
    freeaddrinfo(found);
    return rc;
}

/* --- start and stop ---------------------------------------------------------------------- */

static int start_daemon(struct dd_http_server *server, int fd, struct dd_error *error)
{
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, on_accept, server, on_request, server,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_URI_LOG_CALLBACK, on_target, server,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, server, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)DD_HTTP_CONNECTION_BYTES, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)server->config.connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
        server->config.idle_s, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (server->daemon)
        return 0;
    close(fd);
    return dd_fail(error, DD_SYSTEM, "--http: libmicrohttpd does not start");
}

int dd_http_open(const struct dd_http_config *config, struct dd_http_server **out_server,
                 struct dd_error *error)
{
    struct dd_http_server *server = dd_alloc(sizeof *server);
    int fd, rc;

    server->config = *config;
    dd_list_init(&server->connections);
    rc = open_socket(server, &fd, error);
    if (rc == 0)
        rc = start_daemon(server, fd, error);
    if (rc) {
        dd_free(server);
        return rc;
    }
    start_handles(server);
    *out_server = server;
    return 0;
}

const char *dd_http_url(const struct dd_http_server *server)
{
    return server->url;
}

bool dd_http_sent(const struct dd_http_server *server)
{
    return server->unsent == 0;
}

bool dd_http_connected(const struct dd_http_server *server)
{
    return !dd_list_empty(&server->connections);
}

void dd_http_refuse(struct dd_http_server *server)
{
    MHD_socket fd = MHD_quiesce_daemon(server->daemon);

    if (fd != MHD_INVALID_SOCKET)
        close(fd);
}

void dd_http_close(struct dd_http_server *server, void (*done)(void *user), void *user)
{
    server->done = done;
    server->done_user = user;
    /* The library wants none suspended when it ends. */
    dd_list_each(node, tmp, &server->connections)
    {
        struct request *asked = dd_container_of(node, struct connection, node)->asked;

        if (!asked)
            continue;
        cancel(asked);
        MHD_resume_connection(asked->connection->connection);
    }
    uv_close((uv_handle_t *)&server->poll, on_handle_closed);
    uv_close((uv_handle_t *)&server->timer, on_handle_closed);
    MHD_stop_daemon(server->daemon);
}
