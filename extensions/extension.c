/* Start, run, end of the extension; see extension.h.
 *
 * Start, in order: the socket, `register`, `next`; all else waits for a session. `next` is
 * asked for at once after each event: an invocation is never held open, since a client's
 * session.end is answered when all of its session is acknowledged, and then nothing is under
 * way. A sandbox may be frozen at any moment; whatever is then under way is found too late, or
 * broken, after the thaw, and tried again. */
#include "extensions/extension.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <uv.h>

#include "app/version.h"
#include "base/alloc.h"
#include "base/limits.h"
#include "base/list.h"
#include "engine/cause.h"
#include "engine/engine.h"
#include "extensions/events.h"
#include "io/aws_env.h"
#include "io/fetch_curl.h"
#include "io/http_mhd.h"
#include "io/server_uv.h"
#include "io/system.h"
#include "io/timer_uv.h"

#define SOCKET "/tmp/durabled.sock"
/* Open files beside the socket's connections: the loop's, those to AWS, and both sides of what
 * runtimes ask. */
#define FILES_SPARE (32 + 2 * DD_FRONT_CONNECTIONS_MAX)

struct extension {
    uv_loop_t loop;
    struct dd_log log;
    struct dd_aws_config aws;
    struct dd_aws_env env;
    struct dd_buf endpoint; /* ends in a NUL */
    struct dd_engine *engine;
    struct dd_server *server; /* NULL: handlers cannot attach */
    /* What goes to AWS, and what stays on this machine: runtimes ask at length, and would keep
     * the first from dialling anew after a thaw. */
    struct dd_fetcher *fetcher, *near;
    struct dd_list listeners; /* of listener */
    struct dd_events *events;
    struct dd_wall_timer *timer;
    uv_prepare_t prepare;
    uv_signal_t signals[2];
    char
        failed[160]; /* what was told of the Extensions API last; empty: nothing, or it works */
    bool ending;
};

/* Where the daemon stands in front of a Runtime API. */
struct listener {
    struct dd_list node;
    struct extension *extension;
    struct dd_front *front;
    struct dd_http_server *http;
};

/* --- ports ------------------------------------------------------------------------------- */

static int64_t log_now(void *user)
{
    (void)user;
    return dd_clock_ms();
}

static void log_write(void *user, struct dd_span line)
{
    (void)user;
    dd_write_stderr(line);
}

static void port_random(void *user, void *out_bytes, size_t len)
{
    (void)user;
    dd_random(out_bytes, len);
}

static bool port_process_alive(void *user, int64_t pid, uint64_t started)
{
    (void)user;
    return dd_process_alive(pid, started);
}

static void *port_fetch(void *user, const struct dd_fetch_request *request, void *owner)
{
    struct extension *extension = user;

    return dd_fetch(request->direct ? extension->near : extension->fetcher, request, owner);
}

static void port_fetch_cancel(void *user, void *fetch)
{
    struct extension *extension = user;

    dd_fetch_cancel(extension->fetcher, fetch);
}

static void *on_requested(void *user, const struct dd_http_request *request,
                          const struct dd_http_reply *reply)
{
    const struct listener *listener = user;

    return dd_engine_front_request(listener->extension->engine, listener->front, request, reply,
                                   dd_clock_ms());
}

static void on_cancelled(void *user, void *exchange)
{
    const struct listener *listener = user;

    dd_engine_front_cancel(listener->extension->engine, exchange, dd_clock_ms());
}

static int port_listen(void *user, struct dd_front *front, const char **out_address,
                       struct dd_error *error)
{
    struct extension *extension = user;
    struct listener *listener = dd_alloc(sizeof *listener);
    struct dd_http_config config = {
        .loop = &extension->loop,
        .address = "127.0.0.1:0",
        .connections_max = DD_FRONT_CONNECTIONS_MAX,
        .events = {listener, on_requested, on_cancelled},
    };
    int rc = dd_http_open(&config, &listener->http, error);

    if (rc) {
        dd_free(listener);
        return rc;
    }
    listener->extension = extension;
    listener->front = front;
    dd_list_push(&extension->listeners, &listener->node);
    *out_address = dd_http_url(listener->http) + strlen("http://");
    return 0;
}

static void on_listener_closed(void *user)
{
    dd_free(user);
}

static void close_listener(struct listener *listener)
{
    dd_list_remove(&listener->node);
    dd_http_close(listener->http, on_listener_closed, listener);
}

static bool port_unlisten(void *user, struct dd_front *front)
{
    struct extension *extension = user;

    dd_list_each(node, tmp, &extension->listeners)
    {
        struct listener *listener = dd_container_of(node, struct listener, node);

        if (listener->front != front)
            continue;
        if (dd_http_connected(listener->http))
            return false;
        close_listener(listener);
        return true;
    }
    return false;
}

static bool port_keys_authorization(void *user, struct dd_buf *out)
{
    const struct extension *extension = user;

    return dd_aws_authorization(&extension->env, out);
}

static void *on_opened(void *user, struct dd_credentials credentials,
                       const struct dd_stream *stream)
{
    struct extension *extension = user;

    return dd_engine_connect(extension->engine, credentials, stream, dd_clock_ms());
}

static void on_received(void *user, void *peer, struct dd_span bytes)
{
    struct extension *extension = user;

    (void)dd_engine_receive(extension->engine, peer, bytes, dd_clock_ms());
}

static void on_backlog(void *user, void *peer, size_t bytes)
{
    struct extension *extension = user;

    dd_engine_backlog(extension->engine, peer, bytes);
}

static void on_closed(void *user, void *peer)
{
    struct extension *extension = user;

    dd_engine_disconnect(extension->engine, peer, dd_clock_ms());
}

static void on_fetched(void *user, void *owner, const struct dd_fetch_answer *answer)
{
    struct extension *extension = user;

    dd_engine_fetched(extension->engine, owner, answer, dd_clock_ms());
}

static void on_timer(void *user, bool stepped)
{
    (void)user;
    (void)stepped; /* each thaw may set the clock */
}

/* --- end --------------------------------------------------------------------------------- */

static void on_server_closed(void *user)
{
    struct extension *extension = user;

    extension->server = NULL;
}

static void end(struct extension *extension, struct dd_span reason)
{
    if (extension->ending)
        return;
    extension->ending = true;
    dd_engine_report_open(extension->engine, reason, dd_clock_ms());
    dd_log(&extension->log, EXTENSION_SHUTDOWN, DD_LOG_TEXT("reason", reason));
    uv_stop(&extension->loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
    end(handle->data, number == SIGTERM ? DD_SPAN("SIGTERM") : DD_SPAN("SIGINT"));
}

/* --- the Extensions API ------------------------------------------------------------------ */

static void on_registered(void *user)
{
    struct extension *extension = user;

    extension->failed[0] = '\0';
    dd_log(&extension->log, EXTENSION_REGISTERED,
           DD_LOG_TEXT("version", dd_span_cstr(DD_VERSION)));
}

static void on_invoked(void *user, struct dd_span request_id, int64_t deadline_ms)
{
    struct extension *extension = user;

    extension->failed[0] = '\0';
    dd_log(&extension->log, EXTENSION_INVOKED, DD_LOG_TEXT("requestId", request_id),
           DD_LOG_NUMBER("deadline", deadline_ms));
    dd_engine_invoked(extension->engine, request_id, deadline_ms, dd_clock_ms());
}

static void on_shut_down(void *user, struct dd_span reason)
{
    end(user, reason);
}

static void on_failed(void *user, const char *why)
{
    struct extension *extension = user;

    if (strcmp(extension->failed, why) == 0)
        return;
    (void)snprintf(extension->failed, sizeof extension->failed, "%s", why);
    dd_log(&extension->log, EXTENSION_FAILED, DD_LOG_TEXT("error", dd_span_cstr(why)),
           DD_LOG_CAUSE(DD_CAUSE_EXTENSIONS_API));
}

/* --- the loop ---------------------------------------------------------------------------- */

/* Runs before the loop sleeps: one turn for all that the last round brought. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct extension *extension = prepare->data;

    if (extension->ending)
        return;
    dd_engine_turn(extension->engine, dd_clock_ms());
    dd_wall_timer_arm(extension->timer, dd_engine_next_due(extension->engine));
}

static void open_handles(struct extension *extension)
{
    static const int numbers[] = {SIGTERM, SIGINT};

    extension->timer = dd_wall_timer_open(&extension->loop, on_timer, extension);
    dd_assert(uv_prepare_init(&extension->loop, &extension->prepare) == 0);
    extension->prepare.data = extension;
    dd_assert(uv_prepare_start(&extension->prepare, on_prepare) == 0);
    for (size_t i = 0; i < DD_COUNT(numbers); i++) {
        dd_assert(uv_signal_init(&extension->loop, &extension->signals[i]) == 0);
        extension->signals[i].data = extension;
        dd_assert(uv_signal_start(&extension->signals[i], on_signal, numbers[i]) == 0);
    }
}

static void close_listeners(struct extension *extension)
{
    while (!dd_list_empty(&extension->listeners))
        close_listener(dd_container_of(extension->listeners.next, struct listener, node));
}

static void close_all(struct extension *extension)
{
    if (extension->server)
        dd_server_close(extension->server, on_server_closed, extension);
    close_listeners(extension);
    dd_engine_disconnect_all(extension->engine, dd_clock_ms());
    dd_engine_free(extension->engine);
    dd_fetcher_close(extension->fetcher);
    dd_fetcher_close(extension->near);
    dd_events_close(extension->events);
    uv_close((uv_handle_t *)&extension->prepare, NULL);
    for (size_t i = 0; i < DD_COUNT(extension->signals); i++)
        uv_close((uv_handle_t *)&extension->signals[i], NULL);
    dd_wall_timer_close(extension->timer);
    uv_run(&extension->loop, UV_RUN_DEFAULT);
    dd_assert(uv_loop_close(&extension->loop) == 0);
    dd_buf_deinit(&extension->endpoint);
    dd_aws_env_deinit(&extension->env);
    dd_free(extension);
}

/* --- start ------------------------------------------------------------------------------- */

/* Lambda's levels are ours, and two more; an unknown one must not keep a function from its
 * invocations. */
static enum dd_level find_level(void)
{
    const char *name = dd_variable("DURABLED_LOG_LEVEL");
    enum dd_level level;

    if (!name)
        name = dd_variable("AWS_LAMBDA_LOG_LEVEL");
    if (!name)
        return DD_LEVEL_INFO;
    if (strcasecmp(name, "TRACE") == 0)
        return DD_LEVEL_DEBUG;
    if (strcasecmp(name, "FATAL") == 0)
        return DD_LEVEL_ERROR;
    return dd_level_parse(dd_span_cstr(name), &level) ? level : DD_LEVEL_INFO;
}

static void find_aws(struct extension *extension)
{
    const struct dd_aws_env *env = &extension->env;
    struct dd_error error;

    if (dd_aws_env_read(&extension->env, &error) != 0)
        dd_log(&extension->log, KEYS_FAILED, DD_LOG_TEXT("error", dd_span_cstr(error.text)),
               DD_LOG_CAUSE(DD_CAUSE_NO_KEYS));
    extension->aws = (struct dd_aws_config){
        .region = env->region ? env->region : "us-east-1",
        .access_key = env->access_key,
        .secret_key = env->secret_key,
        .session_token = env->session_token,
        .keys_url = env->keys_url,
    };
    dd_buf_init(&extension->endpoint, SIZE_MAX);
    extension->aws.endpoint =
        dd_aws_endpoint(env->endpoint, extension->aws.region, &extension->endpoint, &error) == 0
            ? extension->endpoint.data
            : "";
}

const char *dd_extension_socket(void)
{
    const char *path = dd_variable("DURABLED_SOCKET");

    return path ? path : SOCKET;
}

static void open_engine(struct extension *extension)
{
    size_t files = dd_open_files(DD_CONNECTIONS_MAX + FILES_SPARE);
    struct dd_engine_config config = {
        .aws = &extension->aws,
        .ports = {.user = extension,
                  .random = port_random,
                  .process_alive = port_process_alive,
                  .fetch = port_fetch,
                  .fetch_cancel = port_fetch_cancel,
                  .keys_authorization = port_keys_authorization,
                  .listen = port_listen,
                  .unlisten = port_unlisten},
        .log = &extension->log,
        .version = DD_VERSION,
        .mode = DD_EXTENSION,
        .gather_ms = DD_GATHER_MS,
        .socket = dd_extension_socket(),
        .data = "",
        .http_hosts = "",
        .pid = getpid(),
        .connections_max = files > 2 * (size_t)FILES_SPARE ? files - FILES_SPARE : files / 2,
    };

    (void)snprintf(config.service.region, sizeof config.service.region, "%s",
                   extension->aws.region);
    extension->engine = dd_engine_new(&config, dd_clock_ms());
}

/* Without a socket handlers fail, and say so; functions that are not durable go on. */
static void open_socket(struct extension *extension)
{
    struct dd_server_config config = {
        .loop = &extension->loop,
        .path = dd_extension_socket(),
        .group = "",
        .everyone = true,
        .events = {extension, on_opened, on_received, on_backlog, on_closed},
    };
    struct dd_error error;

    if (dd_server_open(&config, &extension->server, &error) != 0) {
        extension->server = NULL;
        dd_log(&extension->log, SOCKET_FAILED, DD_LOG_TEXT("error", dd_span_cstr(error.text)),
               DD_LOG_CAUSE(DD_CAUSE_SOCKET));
    }
}

static void open_events(struct extension *extension, const char *file)
{
    const char *slash = strrchr(file, '/');
    struct dd_events_config config = {
        .loop = &extension->loop,
        .api = dd_variable("AWS_LAMBDA_RUNTIME_API"),
        .name = slash ? slash + 1 : file,
        .user = extension,
        .registered = on_registered,
        .invoked = on_invoked,
        .shut_down = on_shut_down,
        .failed = on_failed,
    };

    if (!config.api)
        config.api = "127.0.0.1:9001";
    extension->events = dd_events_open(&config);
}

bool dd_extension_wanted(int argc, char **argv)
{
    if (argc == 1)
        return dd_variable("AWS_LAMBDA_RUNTIME_API") != NULL;
    return argc == 2 && strcmp(argv[1], DD_EXTENSION) == 0;
}

int dd_extension_run(char **argv)
{
    struct extension *extension = dd_alloc(sizeof *extension);
    const struct dd_fetch_events fetched = {.user = extension, .fetched = on_fetched};

    extension->log =
        (struct dd_log){.level = find_level(), .now_ms = log_now, .write = log_write};
    /* Credentials are in memory: no core dumps, and no reading by other processes. */
    (void)prctl(PR_SET_DUMPABLE, 0);
    dd_assert(uv_loop_init(&extension->loop) == 0);
    dd_list_init(&extension->listeners);
    extension->fetcher = dd_fetcher_new(&extension->loop, &fetched);
    extension->near = dd_fetcher_new(&extension->loop, &fetched);
    find_aws(extension);
    open_engine(extension);
    open_socket(extension);
    open_events(extension, argv[0]);
    open_handles(extension);
    uv_run(&extension->loop, UV_RUN_DEFAULT);
    close_all(extension);
    return 0;
}
