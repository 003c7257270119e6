/* Workers: one thread for each invocation at once, and the caller's thread, which
 * connects, registers, and connects again.
 *
 * A thread that is free parks one worker.next. When the connection is lost, the
 * threads whose user code still runs go on until it ends; the new connection is
 * told of them (`unwinding`), and each reports its end there (worker.release). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "priv.h"

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 1000
#define GRACE_DEFAULT_MS 5000

/* One thread and what it serves. */
struct slot {
    struct durabled_worker *worker;
    pthread_t thread;
    bool started;
    bool ended;
    char *request_id; /* while user code runs; guarded by the worker's lock */
    bool foreign;     /* it came by a connection that is gone */
    struct served served;
};

struct durabled_worker {
    struct durabled_worker_config config;
    char instance[64];
    int stop_pipe[2];
    struct slot *slots;
    size_t slots_len;

    pthread_mutex_t lock;
    pthread_cond_t changed;      /* connection, stopping, ended */
    struct durabled *connection; /* NULL: none now */
    bool stopping;
    bool failed; /* the daemon refused us: `error` */
    struct durabled_error error;
};

static void tell(const struct durabled_worker *worker, const char *text)
{
    if (worker->config.on_event)
        worker->config.on_event(text, worker->config.user);
}

/* --- one invocation ---------------------------------------------------------------------- */

static const struct durabled_function *find_function(const struct durabled_worker *worker,
                                                     struct durabled_text name)
{
    for (size_t i = 0; i < worker->config.functions_len; i++) {
        const struct durabled_function *function = &worker->config.functions[i];

        if (name.data && strlen(function->name) == name.len &&
            memcmp(function->name, name.data, name.len) == 0)
            return function;
    }
    return NULL;
}

static int run_function(const struct durabled_function *function, struct served *served,
                        struct durabled_result *output)
{
    struct durabled_error error;
    int rc;

    if (function->handler)
        return function->handler(&served->invocation, output, function->user);
    rc = durabled_execute(&served->invocation, function->body, function->user, output, &error);
    /* An event that no session takes fails the invocation, by name. */
    if (rc == DURABLED_REFUSED || rc == DURABLED_NOT_FOUND)
        rc = durabled_raise(output, error.type, error.text);
    return rc;
}

static void release_invocation(struct durabled *connection, const char *request_id)
{
    struct durabled_reply *reply;
    struct params params;

    params_init(&params);
    params_key(&params, "request_ids");
    msgpack_pack_array(&params.packer, 1);
    pack_text(&params.packer, request_id, strlen(request_id));
    if (call_run(connection, NULL, "worker.release", &params, &reply, NULL) == DURABLED_OK)
        durabled_reply_free(reply);
}

/* The user code ended: what the daemon is told depends on how. */
static void report(struct durabled *connection, const char *request_id, int rc,
                   const struct durabled_result *output)
{
    static const struct durabled_failure unnamed = {.type = (char *)"Error",
                                                    .message = (char *)"the function failed"};
    struct durabled_reply *reply;
    struct params params;

    if (rc == DURABLED_UNWIND || rc < 0) {
        release_invocation(connection, request_id);
        return;
    }
    params_init(&params);
    params_text(&params, "request_id", request_id);
    if (rc == DURABLED_OK)
        params_text_len(&params, "output", output->payload.data ? output->payload.data : "null",
                        output->payload.data ? output->payload.len : 4);
    else
        params_failure(&params, "error",
                       failure_is_empty(&output->failure) ? &unnamed : &output->failure);
    /* Lost with the connection: the daemon gives the invocation out again. */
    if (call_run(connection, NULL, rc == DURABLED_OK ? "worker.respond" : "worker.fail",
                 &params, &reply, NULL) == DURABLED_OK)
        durabled_reply_free(reply);
}

/* The connection of now; waits for one unless the worker stops. NULL: it stops and
 * has none. Gives a reference. */
static struct durabled *next_connection(struct durabled_worker *worker)
{
    struct durabled *connection;

    pthread_mutex_lock(&worker->lock);
    while (!worker->connection && !worker->stopping)
        pthread_cond_wait(&worker->changed, &worker->lock);
    connection = worker->connection ? connection_ref(worker->connection) : NULL;
    pthread_mutex_unlock(&worker->lock);
    return connection;
}

/* The user code has ended. If a later connection was told that it still ran, that
 * one is told now. */
static void slot_clear(struct slot *slot)
{
    struct durabled_worker *worker = slot->worker;
    struct durabled *connection;
    char *request_id;
    bool foreign;

    pthread_mutex_lock(&worker->lock);
    request_id = slot->request_id;
    foreign = slot->foreign;
    slot->request_id = NULL;
    slot->foreign = false;
    pthread_mutex_unlock(&worker->lock);
    connection = foreign ? next_connection(worker) : NULL;
    if (connection)
        release_invocation(connection, request_id);
    durabled_close(connection);
    free(request_id);
}

static void serve_invocation(struct slot *slot, struct durabled *connection,
                             const msgpack_object *invocation)
{
    struct durabled_worker *worker = slot->worker;
    struct durabled_text event = map_text(invocation, "event"), request_id;
    const struct durabled_function *function =
        find_function(worker, map_text(invocation, "function"));
    struct durabled_result output = {0};
    struct durabled_text copy;
    int rc;

    request_id = map_text(invocation, "request_id");
    if (!event.data || !request_id.data || !text_copy(&copy, request_id.data, request_id.len))
        return;
    slot->served.invocation = (struct durabled_invocation){
        .connection = connection,
        .event = event.data,
        .event_len = event.len,
        .request_id = copy.data,
        .function = function ? function->name : NULL,
        .deadline_ms = map_int(invocation, "deadline_ms", 0),
        .serving = &slot->served,
    };
    pthread_mutex_lock(&worker->lock);
    slot->request_id = copy.data;
    slot->served.handed_back = worker->stopping;
    pthread_mutex_unlock(&worker->lock);
    rc = function ? run_function(function, &slot->served, &output)
                  : durabled_raise(&output, "Runtime.HandlerNotFound",
                                   "this worker serves no such function");
    /* Over a connection that is lost this does nothing. */
    report(connection, copy.data, rc, &output);
    slot_clear(slot);
    durabled_result_clear(&output);
}

/* --- a thread ---------------------------------------------------------------------------- */

static bool is_stopping(struct durabled_worker *worker)
{
    bool stopping;

    pthread_mutex_lock(&worker->lock);
    stopping = worker->stopping;
    pthread_mutex_unlock(&worker->lock);
    return stopping;
}

/* The connection is of no use; the manager makes another. */
static void drop_connection(struct durabled_worker *worker, struct durabled *connection,
                            const struct durabled_error *error)
{
    connection_lost(connection, error->text);
    pthread_mutex_lock(&worker->lock);
    if (error->code != DURABLED_DISCONNECTED && !worker->failed) {
        worker->failed = true;
        worker->error = *error;
    }
    while (worker->connection == connection && !worker->stopping && !worker->failed)
        pthread_cond_wait(&worker->changed, &worker->lock);
    pthread_mutex_unlock(&worker->lock);
}

/* False: the worker is to stop. */
static bool serve_next(struct slot *slot, struct durabled *connection)
{
    struct durabled_worker *worker = slot->worker;
    const msgpack_object *invocation;
    struct durabled_reply *reply;
    struct durabled_error error;
    struct params params;
    bool drain;

    params_init(&params);
    if (call_run(connection, &calls_for_work, "worker.next", &params, &reply, &error) !=
        DURABLED_OK) {
        drop_connection(worker, connection, &error);
        return true;
    }
    drain = map_bool(&reply->result, "drain");
    invocation = map_get(&reply->result, "invocation");
    if (invocation)
        serve_invocation(slot, connection, invocation);
    durabled_reply_free(reply);
    if (drain)
        durabled_worker_stop(worker);
    return !drain;
}

static void *slot_main(void *argument)
{
    struct slot *slot = argument;
    struct durabled_worker *worker = slot->worker;
    struct durabled *connection;
    bool more = true;

    while (more && (connection = next_connection(worker)) != NULL) {
        more = !is_stopping(worker) && serve_next(slot, connection);
        durabled_close(connection);
    }
    pthread_mutex_lock(&worker->lock);
    slot->ended = true;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

/* --- the manager ------------------------------------------------------------------------- */

static void pack_functions(const struct durabled_worker_config *config, struct params *params)
{
    params_key(params, "functions");
    msgpack_pack_array(&params->packer, config->functions_len);
    for (size_t i = 0; i < config->functions_len; i++) {
        const struct durabled_function *function = &config->functions[i];
        struct params map;

        params_init(&map);
        params_text(&map, "name", function->name);
        if (function->timeout_s > 0)
            params_int(&map, "timeout_s", function->timeout_s);
        if (function->execution_timeout_s > 0)
            params_int(&map, "execution_timeout_s", function->execution_timeout_s);
        if (function->retention_days > 0)
            params_int(&map, "retention_days", function->retention_days);
        if (function->plain)
            params_bool(&map, "durable", false);
        msgpack_pack_map(&params->packer, map.members);
        if (msgpack_sbuffer_write(&params->body, map.body.data, map.body.size) != 0)
            params->failed = true;
        params_free(&map);
    }
}

/* The invocations whose user code still runs, from now on all foreign. */
static void pack_unwinding(struct durabled_worker *worker, struct params *params)
{
    size_t running = 0;

    pthread_mutex_lock(&worker->lock);
    for (size_t i = 0; i < worker->slots_len; i++) {
        worker->slots[i].foreign = worker->slots[i].request_id != NULL;
        running += worker->slots[i].foreign;
    }
    params_key(params, "unwinding");
    msgpack_pack_array(&params->packer, running);
    for (size_t i = 0; i < worker->slots_len; i++)
        if (worker->slots[i].request_id)
            pack_text(&params->packer, worker->slots[i].request_id,
                      strlen(worker->slots[i].request_id));
    pthread_mutex_unlock(&worker->lock);
}

static int register_worker(struct durabled_worker *worker, struct durabled *connection,
                           struct durabled_error *error)
{
    struct durabled_reply *reply;
    struct params params;
    int rc;

    params_init(&params);
    pack_functions(&worker->config, &params);
    params_int(&params, "concurrency", (int64_t)worker->slots_len);
    params_text(&params, "instance", worker->instance);
    pack_unwinding(worker, &params);
    rc = call_run(connection, NULL, "worker.register", &params, &reply, error);
    if (rc == DURABLED_OK)
        durabled_reply_free(reply);
    return rc;
}

static void set_connection(struct durabled_worker *worker, struct durabled *connection)
{
    pthread_mutex_lock(&worker->lock);
    worker->connection = connection;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

/* Whether the stop pipe has something; waits for it, or for `fd` to hang up. */
static bool wait_stop(struct durabled_worker *worker, int fd, int timeout_ms)
{
    struct pollfd pollers[] = {{.fd = worker->stop_pipe[0], .events = POLLIN},
                               {.fd = fd, .events = POLLRDHUP}};

    while (poll(pollers, fd >= 0 ? 2 : 1, timeout_ms) < 0 && errno == EINTR)
        ;
    return pollers[0].revents != 0;
}

/* Connects and registers; false: stopped or refused first. Gives the connection. */
static bool connect_worker(struct durabled_worker *worker, struct durabled **out,
                           struct durabled_error *error)
{
    int backoff_ms = BACKOFF_FIRST_MS;
    bool told = false;

    for (;;) {
        char text[sizeof error->text + 64];
        int rc = durabled_open(worker->config.socket, out, error);

        if (rc == DURABLED_OK) {
            rc = register_worker(worker, *out, error);
            if (rc == DURABLED_OK)
                return true;
            durabled_close(*out);
            if (rc != DURABLED_DISCONNECTED && !error->retryable)
                return false;
        }
        if (!told) {
            (void)snprintf(text, sizeof text, "%s Trying again until it answers.", error->text);
            tell(worker, text);
            told = true;
        }
        if (wait_stop(worker, -1, backoff_ms)) {
            error_set(error, DURABLED_OK, "stopped");
            return false;
        }
        backoff_ms = 2 * backoff_ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : 2 * backoff_ms;
    }
}

/* Serves over one connection until it is lost or the worker is to stop. */
static bool serve_connection(struct durabled_worker *worker, struct durabled *connection)
{
    char text[128];
    bool stop, failed;

    (void)snprintf(
        text, sizeof text, "serving %zu functions, %zu invocations at once, daemon pid %lld",
        worker->config.functions_len, worker->slots_len, (long long)connection->peer.pid);
    tell(worker, text);
    set_connection(worker, connection);
    stop = wait_stop(worker, connection->fd, -1);
    if (!stop) {
        connection_lost(connection, "the daemon has gone");
        pthread_mutex_lock(&worker->lock);
        failed = worker->failed;
        pthread_mutex_unlock(&worker->lock);
        if (!failed)
            tell(worker, "the daemon has gone; connecting again");
        set_connection(worker, NULL);
        return !failed;
    }
    return false;
}

static bool all_ended(const struct durabled_worker *worker)
{
    for (size_t i = 0; i < worker->slots_len; i++)
        if (worker->slots[i].started && !worker->slots[i].ended)
            return false;
    return true;
}

/* With the lock; false: the grace was over first. */
static bool wait_ended(struct durabled_worker *worker)
{
    int64_t grace_ms =
        worker->config.stop_grace_ms > 0 ? worker->config.stop_grace_ms : GRACE_DEFAULT_MS;
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += grace_ms / 1000;
    until.tv_nsec += (long)(grace_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    while (!all_ended(worker))
        if (pthread_cond_timedwait(&worker->changed, &worker->lock, &until) == ETIMEDOUT)
            break;
    return all_ended(worker);
}

/* No more work; what runs is handed back as soon as its user code has unwound. */
static bool stop_threads(struct durabled_worker *worker, struct durabled *connection)
{
    struct durabled_reply *reply;
    struct params params;
    bool ended;

    pthread_mutex_lock(&worker->lock);
    worker->stopping = true;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    if (connection) {
        params_init(&params);
        if (call_run(connection, NULL, "worker.drain", &params, &reply, NULL) == DURABLED_OK)
            durabled_reply_free(reply);
    }
    for (size_t i = 0; i < worker->slots_len; i++)
        served_hand_back(&worker->slots[i].served);
    pthread_mutex_lock(&worker->lock);
    ended = wait_ended(worker);
    for (size_t i = 0; !ended && connection && i < worker->slots_len; i++) {
        char *request_id =
            worker->slots[i].request_id ? strdup(worker->slots[i].request_id) : NULL;

        pthread_mutex_unlock(&worker->lock);
        if (request_id)
            release_invocation(connection, request_id);
        free(request_id);
        pthread_mutex_lock(&worker->lock);
    }
    pthread_mutex_unlock(&worker->lock);
    for (size_t i = 0; i < worker->slots_len; i++)
        if (ended && worker->slots[i].started)
            pthread_join(worker->slots[i].thread, NULL);
    return ended;
}

static int start_threads(struct durabled_worker *worker, struct durabled_error *error)
{
    for (size_t i = 0; i < worker->slots_len; i++) {
        struct slot *slot = &worker->slots[i];
        int rc = pthread_create(&slot->thread, NULL, slot_main, slot);

        if (rc != 0)
            return error_set(error, DURABLED_SYSTEM, "no thread for a worker: %s",
                             strerror(rc));
        slot->started = true;
    }
    return DURABLED_OK;
}

int durabled_worker_run(struct durabled_worker *worker, struct durabled_error *error)
{
    struct durabled *connection = NULL;
    struct durabled_error own;
    int rc = start_threads(worker, error);
    bool more = rc == DURABLED_OK, ended;

    own.code = DURABLED_OK;
    while (more && connect_worker(worker, &connection, &own)) {
        more = serve_connection(worker, connection);
        if (more) {
            durabled_close(connection);
            connection = NULL;
        }
    }
    if (own.code != DURABLED_OK && !connection) {
        rc = own.code;
        if (error)
            *error = own;
    }
    ended = stop_threads(worker, worker->connection ? connection : NULL);
    if (worker->failed) {
        rc = worker->error.code;
        if (error)
            *error = worker->error;
    }
    tell(worker, ended ? "stopped" : "stopped while user code still runs");
    if (!ended)
        return error_set(error, DURABLED_BUSY, "user code still runs after the grace");
    set_connection(worker, NULL);
    durabled_close(connection);
    return rc;
}

/* --- new, stop, free --------------------------------------------------------------------- */

static int check_config(const struct durabled_worker_config *config,
                        struct durabled_error *error)
{
    if (config->functions_len == 0)
        return error_set(error, DURABLED_USAGE, "a worker serves at least one function");
    if (config->concurrency < 0)
        return error_set(error, DURABLED_USAGE, "concurrency: %d is less than 1",
                         config->concurrency);
    for (size_t i = 0; i < config->functions_len; i++) {
        const struct durabled_function *function = &config->functions[i];

        if (!function->name || (!function->handler && !function->body))
            return error_set(error, DURABLED_USAGE,
                             "function %zu has no name, or neither handler nor body", i);
    }
    return DURABLED_OK;
}

int durabled_worker_new(const struct durabled_worker_config *config,
                        struct durabled_worker **out, struct durabled_error *error)
{
    int rc = check_config(config, error);
    struct durabled_worker *worker;

    if (rc != DURABLED_OK)
        return rc;
    worker = calloc(1, sizeof *worker);
    if (!worker)
        return error_set(error, DURABLED_NO_MEMORY, "out of memory for a worker");
    worker->config = *config;
    worker->slots_len = config->concurrency > 0 ? (size_t)config->concurrency : 1;
    worker->slots = calloc(worker->slots_len, sizeof *worker->slots);
    if (!worker->slots || pipe2(worker->stop_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        rc = worker->slots ? error_set(error, DURABLED_SYSTEM, "pipe: %s", strerror(errno))
                           : error_set(error, DURABLED_NO_MEMORY, "out of memory for a worker");
        free(worker->slots);
        free(worker);
        return rc;
    }
    (void)snprintf(worker->instance, sizeof worker->instance, "%s",
                   config->instance ? config->instance : "");
    if (!config->instance)
        (void)snprintf(worker->instance, sizeof worker->instance, "c-%ld-%p", (long)getpid(),
                       (void *)worker);
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->changed, NULL);
    for (size_t i = 0; i < worker->slots_len; i++) {
        worker->slots[i].worker = worker;
        pthread_mutex_init(&worker->slots[i].served.lock, NULL);
    }
    *out = worker;
    return DURABLED_OK;
}

void durabled_worker_stop(struct durabled_worker *worker)
{
    int kept = errno;

    /* A full pipe says it already. */
    if (write(worker->stop_pipe[1], "", 1) < 0)
        errno = kept;
    errno = kept;
}

void durabled_worker_free(struct durabled_worker *worker)
{
    if (!worker)
        return;
    for (size_t i = 0; i < worker->slots_len; i++)
        pthread_mutex_destroy(&worker->slots[i].served.lock);
    pthread_mutex_destroy(&worker->lock);
    pthread_cond_destroy(&worker->changed);
    close(worker->stop_pipe[0]);
    close(worker->stop_pipe[1]);
    free(worker->slots);
    free(worker);
}
