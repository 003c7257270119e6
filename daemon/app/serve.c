/* Start, run, stop.
 *
 * Start, in order: what is hosted, the store (and with it the lock on the data), the
 * journal, the engine, the socket, HTTP. Stop is the reverse, in stages that wait for what is
 * in flight:
 *   draining   no new starts; workers hand their invocations back
 *   closing    no connections; what was promised has become durable
 *   closed     the loop returns; the journal and the store are closed after it
 */
#include "app/serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <uv.h>

#include "app/dev.h"
#include "app/supervise.h"
#include "app/version.h"
#include "base/alloc.h"
#include "base/limits.h"
#include "engine/engine.h"
#include "io/http_mhd.h"
#include "io/process_uv.h"
#include "io/server_uv.h"
#include "io/store_lmdb.h"
#include "io/system.h"
#include "io/timer_uv.h"
#include "io/watch_uv.h"

/* The tail of the journal is folded in batches of this many records, or when its
 * oldest is this old; chosen: a restart reads at most so much. Waits take whole seconds,
 * so half a second keeps the fold of what began a wait out of the way of its end. */
#define FOLD_RECORDS 1024
#define FOLD_DELAY_MS 500

/* Open files beside connections: the store's, the loop's and the listener's are
 * about twenty. */
#define FILES_SPARE 32
/* Those of a hosted process: its pipes, its listener, and the connections to that. */
#define FILES_SANDBOX (4 + DD_RUNTIME_CONNECTIONS_MAX)

/* A hosted function's code. */
struct watched {
    struct daemon *daemon;
    size_t index;
    struct dd_watcher *watcher;
};

enum stage { STAGE_RUNNING, STAGE_DRAINING, STAGE_CLOSING, STAGE_CLOSED };

struct daemon {
    uv_loop_t loop;
    struct dd_log log;
    struct dd_store *store;
    struct dd_journal *journal;
    struct dd_engine *engine;
    struct dd_server *server;
    struct dd_http_server *http;          /* NULL: off */
    size_t connections, http_connections; /* at most */
    struct dd_dev dev;                    /* functions that are hosted; none of serve */
    struct dd_processes *processes;
    struct watched *watched; /* one for each of them */
    struct dd_wall_timer *timer;
    uv_prepare_t prepare;
    uv_signal_t signals[2];
    enum stage stage;
    int64_t stop_timeout_ms;
    int64_t stop_by_ms;
    int status;
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

static int port_process_start(void *user, const struct dd_process_spec *spec, void *owner,
                              struct dd_process *out, struct dd_error *error)
{
    struct daemon *daemon = user;

    return dd_process_start(daemon->processes, spec, owner, out, error);
}

static void *on_opened(void *user, struct dd_credentials credentials,
                       const struct dd_stream *stream)
{
    struct daemon *daemon = user;

    return dd_engine_connect(daemon->engine, credentials, stream, dd_clock_ms());
}

static void on_received(void *user, void *peer, struct dd_span bytes)
{
    struct daemon *daemon = user;

    (void)dd_engine_receive(daemon->engine, peer, bytes, dd_clock_ms());
}

static void on_backlog(void *user, void *peer, size_t bytes)
{
    struct daemon *daemon = user;

    dd_engine_backlog(daemon->engine, peer, bytes);
}

static void on_closed(void *user, void *peer)
{
    struct daemon *daemon = user;

    dd_engine_disconnect(daemon->engine, peer, dd_clock_ms());
}

static void *on_requested(void *user, const struct dd_http_request *request,
                          const struct dd_http_reply *reply)
{
    struct daemon *daemon = user;

    return dd_engine_request(daemon->engine, request, reply, dd_clock_ms());
}

static void on_cancelled(void *user, void *exchange)
{
    struct daemon *daemon = user;

    dd_engine_cancel(daemon->engine, exchange, dd_clock_ms());
}

static void *on_runtime_requested(void *user, void *owner,
                                  const struct dd_http_request *request,
                                  const struct dd_http_reply *reply)
{
    struct daemon *daemon = user;

    return dd_engine_runtime_request(daemon->engine, owner, request, reply, dd_clock_ms());
}

static void on_runtime_cancelled(void *user, void *exchange)
{
    struct daemon *daemon = user;

    dd_engine_runtime_cancel(daemon->engine, exchange, dd_clock_ms());
}

static void on_wrote(void *user, void *owner, struct dd_span line)
{
    struct daemon *daemon = user;

    dd_engine_process_wrote(daemon->engine, owner, line, dd_clock_ms());
}

static void on_ended(void *user, void *owner, int64_t status, int signal)
{
    struct daemon *daemon = user;

    dd_engine_process_ended(daemon->engine, owner, status, signal, dd_clock_ms());
}

static void on_code_changed(void *user)
{
    const struct watched *watched = user;

    dd_engine_reload(watched->daemon->engine, watched->index, dd_clock_ms());
}

static void on_durable(void *user, int status, const struct dd_error *error)
{
    struct daemon *daemon = user;

    /* While the journal opens there is no engine yet. */
    if (daemon->engine)
        dd_engine_durable(daemon->engine, status, error);
}

static void on_timer(void *user, bool stepped)
{
    struct daemon *daemon = user;

    if (stepped)
        dd_log(&daemon->log, CLOCK_STEPPED, DD_LOG_NUMBER("now", dd_clock_ms()));
}

/* --- stop -------------------------------------------------------------------------------- */

static void close_journal(struct daemon *daemon)
{
    if (daemon->journal)
        dd_journal_close(daemon->journal);
    if (daemon->store)
        dd_store_lmdb_close(daemon->store, NULL, NULL);
    daemon->journal = NULL;
    daemon->store = NULL;
}

static void close_handles(struct daemon *daemon)
{
    uv_close((uv_handle_t *)&daemon->prepare, NULL);
    for (size_t i = 0; i < DD_COUNT(daemon->signals); i++)
        uv_close((uv_handle_t *)&daemon->signals[i], NULL);
    dd_wall_timer_close(daemon->timer);
}

static void on_server_closed(void *user)
{
    struct daemon *daemon = user;

    daemon->server = NULL;
}

static void on_http_closed(void *user)
{
    struct daemon *daemon = user;

    daemon->http = NULL;
}

static void close_watchers(struct daemon *daemon)
{
    for (size_t i = 0; daemon->watched && i < daemon->dev.len; i++)
        dd_watcher_close(daemon->watched[i].watcher);
    dd_free(daemon->watched);
    daemon->watched = NULL;
}

static void close_listeners(struct daemon *daemon)
{
    if (daemon->server)
        dd_server_close(daemon->server, on_server_closed, daemon);
    if (daemon->http)
        dd_http_close(daemon->http, on_http_closed, daemon);
}

static void begin_stop(struct daemon *daemon)
{
    if (daemon->stage != STAGE_RUNNING)
        return;
    daemon->stage = STAGE_DRAINING;
    daemon->stop_by_ms = dd_clock_ms() + daemon->stop_timeout_ms;
    dd_log(&daemon->log, STOPPING,
           DD_LOG_NUMBER("invocations", (int64_t)dd_engine_invocations(daemon->engine)));
    dd_notify("STOPPING=1");
    dd_server_refuse(daemon->server);
    /* Hosted functions that run still ask the API; the engine takes no new starts. */
    if (daemon->http && daemon->dev.len == 0)
        dd_http_refuse(daemon->http);
    dd_engine_stop(daemon->engine, dd_clock_ms());
}

/* A caller who waited until the end is told; one who does not read is not waited for. */
static bool answers_sent(const struct daemon *daemon, int64_t now_ms)
{
    return !daemon->http || dd_http_sent(daemon->http) || now_ms >= daemon->stop_by_ms;
}

/* Moves on when the stage has what it waited for. */
static void advance_stop(struct daemon *daemon, int64_t now_ms)
{
    if (daemon->stage == STAGE_DRAINING &&
        (dd_engine_invocations(daemon->engine) == 0 || now_ms >= daemon->stop_by_ms ||
         dd_engine_failed(daemon->engine)) &&
        dd_engine_quiet(daemon->engine) && answers_sent(daemon, now_ms)) {
        daemon->stage = STAGE_CLOSING;
        dd_log(
            &daemon->log, STOPPED,
            DD_LOG_NUMBER("open_invocations", (int64_t)dd_engine_invocations(daemon->engine)));
        close_listeners(daemon);
        close_watchers(daemon);
        dd_engine_disconnect_all(daemon->engine, now_ms);
        dd_engine_kill(daemon->engine);
    }
    if (daemon->stage == STAGE_CLOSING && !daemon->server && !daemon->http &&
        dd_engine_processes(daemon->engine) == 0) {
        daemon->stage = STAGE_CLOSED;
        close_handles(daemon);
        /* The store's handle is still open, and must be: the journal's close folds. */
        uv_stop(&daemon->loop);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    begin_stop(handle->data);
}

/* --- the loop ---------------------------------------------------------------------------- */

/* Runs before the loop sleeps: one turn for all that the last round brought. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct daemon *daemon = prepare->data;
    int64_t now_ms = dd_clock_ms();
    int64_t next_ms;

    if (daemon->stage < STAGE_CLOSING) {
        dd_engine_turn(daemon->engine, now_ms);
        if (dd_engine_failed(daemon->engine)) {
            daemon->status = DD_STORE_FAILED;
            begin_stop(daemon);
        }
    }
    if (daemon->stage != STAGE_RUNNING)
        advance_stop(daemon, now_ms);
    if (daemon->stage == STAGE_CLOSED)
        return;
    next_ms = daemon->stage < STAGE_CLOSING ? dd_engine_next_due(daemon->engine) : 0;
    if (daemon->stage == STAGE_DRAINING && (!next_ms || next_ms > daemon->stop_by_ms))
        next_ms = daemon->stop_by_ms;
    dd_wall_timer_arm(daemon->timer, next_ms);
}

static void open_handles(struct daemon *daemon)
{
    static const int numbers[] = {SIGTERM, SIGINT};

    daemon->timer = dd_wall_timer_open(&daemon->loop, on_timer, daemon);
    dd_assert(uv_prepare_init(&daemon->loop, &daemon->prepare) == 0);
    daemon->prepare.data = daemon;
    dd_assert(uv_prepare_start(&daemon->prepare, on_prepare) == 0);
    for (size_t i = 0; i < DD_COUNT(numbers); i++) {
        dd_assert(uv_signal_init(&daemon->loop, &daemon->signals[i]) == 0);
        daemon->signals[i].data = daemon;
        dd_assert(uv_signal_start(&daemon->signals[i], on_signal, numbers[i]) == 0);
    }
}

/* --- start ------------------------------------------------------------------------------- */

static int open_log(struct daemon *daemon, const struct dd_options *options,
                    struct dd_error *error)
{
    daemon->log.now_ms = log_now;
    daemon->log.write = log_write;
    if (!dd_level_parse(dd_span_cstr(options->log_level), &daemon->log.level))
        return dd_fail(error, DD_USAGE, "--log-level: '%s' is none of DEBUG, INFO, WARN, ERROR",
                       options->log_level);
    if (strcmp(options->log_format, "auto") == 0)
        daemon->log.readable = isatty(STDERR_FILENO);
    else if (strcmp(options->log_format, "text") == 0)
        daemon->log.readable = true;
    else if (strcmp(options->log_format, "json") != 0)
        return dd_fail(error, DD_USAGE, "--log-format: '%s' is none of json, text, auto",
                       options->log_format);
    return 0;
}

static int open_journal(struct daemon *daemon, const struct dd_options *options,
                        struct dd_error *error)
{
    struct dd_store_lmdb_options store = {.dir = options->data, .map_bytes = options->map_size};
    struct dd_journal_config journal = {
        .on_durable = on_durable,
        .user = daemon,
        .fold_records = FOLD_RECORDS,
        .fold_delay_ms = FOLD_DELAY_MS,
    };
    uint8_t random[32];
    int rc = dd_store_lmdb_open(&daemon->loop, &store, &daemon->store, error);

    if (rc)
        return rc;
    dd_random(random, sizeof random);
    journal.store = daemon->store;
    return dd_journal_open(&journal, random, &daemon->journal, error);
}

static bool is_dev(const struct dd_options *options)
{
    return strcmp(options->command, "dev") == 0;
}

/* How many connections the socket and HTTP may have, as far as there are descriptors.
 * Above it a connection is refused and told; without a free descriptor it could only be
 * dropped. */
static void share_files(struct daemon *daemon, const struct dd_options *options)
{
    size_t http = *options->http ? DD_HTTP_CONNECTIONS_MAX : 0;
    size_t spare = FILES_SPARE + (is_dev(options) ? DD_SANDBOXES_MAX * FILES_SANDBOX : 0);
    size_t files = dd_open_files(DD_CONNECTIONS_MAX + http + spare);

    files = files > 2 * spare ? files - spare : files / 2;
    daemon->http_connections = http < files / 4 ? http : files / 4;
    daemon->connections = files - daemon->http_connections;
}

/* The keys that HTTP requests are signed with: those of the environment, if it has both. */
static void set_keys(struct dd_engine_config *config)
{
    const char *access_key = getenv("AWS_ACCESS_KEY_ID");
    const char *secret_key = getenv("AWS_SECRET_ACCESS_KEY");
    bool given = access_key && *access_key && secret_key && *secret_key;

    config->access_key = given ? access_key : "local";
    config->secret_key = given ? secret_key : "local";
}

static void open_engine(struct daemon *daemon, const struct dd_options *options)
{
    struct dd_engine_config config = {
        .journal = daemon->journal,
        .ports = {.user = daemon,
                  .random = port_random,
                  .process_alive = port_process_alive,
                  .process_start = port_process_start},
        .log = &daemon->log,
        .version = DD_VERSION,
        .mode = options->command,
        .socket = options->socket,
        .data = options->data,
        .http_hosts = options->http_hosts,
        .pid = getpid(),
        .connections_max = daemon->connections,
        .default_execution_timeout_s = options->execution_timeout,
        .default_retention_s = options->retention,
        .memory_budget = DD_MEMORY_BUDGET,
        .hosted = daemon->dev.hosted,
        .hosted_len = daemon->dev.len,
    };

    memcpy(config.service.region, options->region, strlen(options->region) + 1);
    memcpy(config.service.account, options->account, sizeof config.service.account);
    if (options->require_signature)
        set_keys(&config);
    config.service.invocation_retries = (uint32_t)options->invocation_retries;
    config.service.operations_max = is_dev(options) ? DD_AWS_OPERATIONS_MAX : DD_OPERATIONS_MAX;
    config.service.bytes_max = is_dev(options) ? DD_AWS_BYTES_MAX : 0;
    daemon->engine = dd_engine_new(&config, dd_clock_ms());
}

static int open_server(struct daemon *daemon, const struct dd_options *options,
                       struct dd_error *error)
{
    struct dd_server_config config = {
        .loop = &daemon->loop,
        .path = options->socket,
        .group = options->group,
        .events = {daemon, on_opened, on_received, on_backlog, on_closed},
    };

    return dd_server_open(&config, &daemon->server, error);
}

static int open_http(struct daemon *daemon, const struct dd_options *options,
                     struct dd_error *error)
{
    struct dd_http_config config = {
        .loop = &daemon->loop,
        .address = options->http,
        .remote = *options->http_hosts,
        .connections_max = daemon->http_connections,
        .idle_s = DD_HTTP_IDLE_S,
        .events = {daemon, on_requested, on_cancelled},
    };

    return *options->http ? dd_http_open(&config, &daemon->http, error) : 0;
}

static void open_processes(struct daemon *daemon)
{
    static const char *const supervisor[] = {"durabled", DD_SUPERVISE, NULL};
    struct dd_processes_config config = {
        .loop = &daemon->loop,
        .program = "/proc/self/exe",
        .supervisor = supervisor,
        .events = {daemon, on_runtime_requested, on_runtime_cancelled, on_wrote, on_ended},
    };

    daemon->processes = dd_processes_new(&config);
}

static void open_watchers(struct daemon *daemon)
{
    daemon->watched = dd_alloc_array(daemon->dev.len + 1, sizeof *daemon->watched);
    for (size_t i = 0; i < daemon->dev.len; i++) {
        struct watched *watched = &daemon->watched[i];

        watched->daemon = daemon;
        watched->index = i;
        watched->watcher = dd_watcher_open(&daemon->loop, daemon->dev.hosted[i].directory,
                                           on_code_changed, watched);
    }
}

/* Reads what is hosted; serve hosts nothing. */
static int read_functions(struct daemon *daemon, const struct dd_options *options,
                          struct dd_error *error)
{
    return is_dev(options) ? dd_dev_read(options, &daemon->dev, error) : 0;
}

static int start(struct daemon *daemon, const struct dd_options *options,
                 struct dd_error *error)
{
    int rc = read_functions(daemon, options, error);

    if (rc == 0 && options->require_signature && dd_dev_other_keys())
        rc = dd_fail(
            error, DD_USAGE,
            "--require-signature: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; keys "
            "of a profile or a file are not read here");

    if (rc == 0)
        rc = open_journal(daemon, options, error);
    if (rc)
        return rc;
    if (is_dev(options))
        dd_dev_hide_data(options);
    share_files(daemon, options);
    open_engine(daemon, options);
    rc = open_server(daemon, options, error);
    if (rc == 0)
        rc = open_http(daemon, options, error);
    if (rc || !daemon->http)
        return rc;
    dd_engine_listens(daemon->engine, dd_http_url(daemon->http));
    if (is_dev(options)) {
        dd_dev_environment(&daemon->dev, options, dd_http_url(daemon->http));
        open_processes(daemon);
        open_watchers(daemon);
        dd_dev_print(&daemon->dev, options, dd_http_url(daemon->http));
    }
    return 0;
}

int dd_serve(const struct dd_options *options, struct dd_error *error)
{
    struct daemon *daemon = dd_alloc(sizeof *daemon);
    int64_t began_ms = dd_clock_ms();
    int rc = open_log(daemon, options, error);

    if (rc) {
        dprintf(STDERR_FILENO, "durabled: %s\n", error->text);
        dd_free(daemon);
        return rc;
    }
    /* Tokens' keys are in memory: no core dumps, and no reading by other processes. */
    (void)prctl(PR_SET_DUMPABLE, 0);
    dd_assert(uv_loop_init(&daemon->loop) == 0);
    daemon->stop_timeout_ms = options->stop_timeout * 1000;
    rc = start(daemon, options, error);
    if (rc == 0) {
        open_handles(daemon);
        dd_log(
            &daemon->log, READY, DD_LOG_TEXT("socket", dd_span_cstr(options->socket)),
            DD_LOG_TEXT("http", dd_span_cstr(daemon->http ? dd_http_url(daemon->http) : "off")),
            DD_LOG_TEXT("data", dd_span_cstr(options->data)),
            DD_LOG_TEXT("version", dd_span_cstr(DD_VERSION)), DD_LOG_NUMBER("pid", getpid()),
            DD_LOG_NUMBER("ms", dd_clock_ms() - began_ms));
        dd_notify("READY=1");
        uv_run(&daemon->loop, UV_RUN_DEFAULT);
        rc = daemon->status;
    } else {
        dd_log(&daemon->log, START_FAILED, DD_LOG_TEXT("error", dd_span_cstr(error->text)));
        close_listeners(daemon);
    }
    if (daemon->engine)
        dd_engine_free(daemon->engine);
    close_journal(daemon);
    dd_processes_free(daemon->processes);
    uv_run(&daemon->loop, UV_RUN_DEFAULT);
    dd_assert(uv_loop_close(&daemon->loop) == 0);
    dd_dev_deinit(&daemon->dev);
    dd_free(daemon);
    return rc;
}
