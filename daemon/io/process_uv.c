/* Processes on libuv; see process_uv.h.
 *
 * The end of a process is told when three things are over: the process itself, its pipes,
 * and its listener. */
#include "io/process_uv.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/limits.h"
#include "engine/hosting.h"
#include "io/http_mhd.h"
#include "io/system.h"

#define SUPERVISOR_MAX 8

/* More than a pipe's buffer is without privileges. */
#define PIPE_KEPT_MAX (1024u * 1024)

struct dd_processes {
    struct dd_processes_config config;
};

struct pipe {
    uv_pipe_t handle;
    struct process *process;
    struct dd_buf line; /* that has no end yet */
    bool cut;           /* the rest of the line is dropped: it is too long */
};

struct process {
    uv_process_t handle;
    struct dd_processes *processes;
    void *owner;
    struct dd_http_server *http;
    struct pipe pipes[2]; /* stdout, stderr */
    unsigned open;        /* handles and the listener */
    bool exited;
    int64_t status;
    int signal;
    char bytes[16384];
};

/* --- ends -------------------------------------------------------------------------------- */

static void over(struct process *process)
{
    const struct dd_process_events *events = &process->processes->config.events;

    if (--process->open > 0)
        return;
    events->ended(events->user, process->owner, process->status, process->signal);
    dd_free(process);
}

static void on_http_closed(void *user)
{
    over(user);
}

static void on_handle_closed(uv_handle_t *handle)
{
    over(handle->data);
}

static void on_pipe_closed(uv_handle_t *handle)
{
    struct pipe *pipe = handle->data;

    dd_buf_deinit(&pipe->line);
    over(pipe->process);
}

/* --- what it writes ---------------------------------------------------------------------- */

static void tell_line(struct pipe *pipe)
{
    const struct dd_process_events *events = &pipe->process->processes->config.events;

    events->wrote(events->user, pipe->process->owner, dd_buf_span(&pipe->line));
    dd_buf_clear(&pipe->line);
    pipe->cut = false;
}

/* Of a line that is too long the beginning is told. */
static void add(struct pipe *pipe, const char *bytes, size_t len)
{
    size_t room = DD_LOG_LINE_MAX - pipe->line.len;

    if (!pipe->cut)
        dd_buf_append(&pipe->line, bytes, len < room ? len : room);
    pipe->cut |= len > room;
}

static void split(struct pipe *pipe, const char *bytes, size_t len)
{
    while (len > 0) {
        const char *end = memchr(bytes, '\n', len);
        size_t part = end ? (size_t)(end - bytes) : len;

        add(pipe, bytes, part);
        if (end) {
            tell_line(pipe);
            part++;
        }
        bytes += part;
        len -= part;
    }
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    if (len > 0)
        split(stream->data, buf->base, (size_t)len);
    else if (len < 0)
        uv_read_stop(stream);
}

/* Tells what is in the pipe now: no more than the kernel keeps of it, for a process may
 * write faster than we read. */
static void drain(struct pipe *pipe)
{
    char *bytes = pipe->process->bytes;
    size_t total = 0;
    ssize_t len;
    int fd;

    dd_assert(uv_fileno((uv_handle_t *)&pipe->handle, &fd) == 0);
    while (total < PIPE_KEPT_MAX && (len = read(fd, bytes, sizeof pipe->process->bytes)) > 0) {
        split(pipe, bytes, (size_t)len);
        total += (size_t)len;
    }
}

/* Its end is not waited for: what left the group may hold it open. */
static void close_pipe(struct pipe *pipe)
{
    drain(pipe);
    if (pipe->line.len > 0)
        tell_line(pipe);
    uv_close((uv_handle_t *)&pipe->handle, on_pipe_closed);
}

static void on_exit(uv_process_t *handle, int64_t status, int signal)
{
    struct process *process = handle->data;

    process->exited = true;
    process->status = status;
    process->signal = signal;
    for (size_t i = 0; i < DD_COUNT(process->pipes); i++)
        close_pipe(&process->pipes[i]);
    uv_close((uv_handle_t *)handle, on_handle_closed);
    dd_http_close(process->http, on_http_closed, process);
}

/* One read is done before the next begins, so a process needs one buffer. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out_buf)
{
    struct process *process = ((struct pipe *)handle->data)->process;

    (void)suggested;
    *out_buf = uv_buf_init(process->bytes, sizeof process->bytes);
}

/* Gives the end that the process writes to. A pipe and no pair of sockets: /dev/stderr can
 * be opened then. */
static int open_pipe(struct process *process, struct pipe *pipe, uv_file *out_end)
{
    uv_file ends[2];
    int rc = uv_pipe(ends, UV_NONBLOCK_PIPE, 0);

    if (rc < 0)
        return rc;
    *out_end = ends[1];
    dd_assert(uv_pipe_init(process->processes->config.loop, &pipe->handle, 0) == 0);
    dd_assert(uv_pipe_open(&pipe->handle, ends[0]) == 0);
    pipe->handle.data = pipe;
    pipe->process = process;
    dd_buf_init(&pipe->line, DD_LOG_LINE_MAX);
    process->open++;
    return 0;
}

/* --- its listener ------------------------------------------------------------------------ */

static void *on_requested(void *user, const struct dd_http_request *request,
                          const struct dd_http_reply *reply)
{
    struct process *process = user;
    const struct dd_process_events *events = &process->processes->config.events;

    /* What it wrote before it asked is told before. */
    for (size_t i = 0; !process->exited && i < DD_COUNT(process->pipes); i++)
        drain(&process->pipes[i]);
    return events->requested(events->user, process->owner, request, reply);
}

static void on_cancelled(void *user, void *exchange)
{
    struct process *process = user;
    const struct dd_process_events *events = &process->processes->config.events;

    events->cancelled(events->user, exchange);
}

static int open_listener(struct process *process, struct dd_error *error)
{
    struct dd_http_config config = {
        .loop = process->processes->config.loop,
        .address = "127.0.0.1:0",
        .own_user = true,
        .connections_max = DD_RUNTIME_CONNECTIONS_MAX,
        .events = {process, on_requested, on_cancelled},
    };
    int rc = dd_http_open(&config, &process->http, error);

    if (rc == 0)
        process->open++;
    return rc;
}

/* --- start ------------------------------------------------------------------------------- */

/* The supervisor's arguments, the daemon's pid, and the command. */
static char **make_arguments(const struct dd_processes *processes, char **command, char *pid)
{
    const char *const *supervisor = processes->config.supervisor;
    char **arguments;
    size_t len = 0, all = 0;

    while (command[len])
        len++;
    arguments = dd_alloc_array(SUPERVISOR_MAX + len + 2, sizeof *arguments);
    for (; supervisor[all]; all++)
        arguments[all] = (char *)(uintptr_t)supervisor[all];
    dd_assert(all <= SUPERVISOR_MAX);
    arguments[all++] = pid;
    memcpy(arguments + all, command, len * sizeof *command);
    return arguments;
}

/* "NAME=VALUE" of each variable, and where the Runtime API is. */
static char **make_environment(const struct dd_process_spec *spec, const char *url)
{
    char **all = dd_alloc_array(spec->environment_len + 2, sizeof *all);
    struct dd_buf text;

    dd_buf_init(&text, SIZE_MAX);
    for (size_t i = 0; i <= spec->environment_len; i++) {
        if (i < spec->environment_len)
            dd_buf_printf(&text, "%s=%s", spec->environment[i].name,
                          spec->environment[i].value);
        else
            dd_buf_printf(&text, "AWS_LAMBDA_RUNTIME_API=%s", url + strlen("http://"));
        dd_buf_append_byte(&text, '\0');
        dd_assert(!text.failed);
        all[i] = dd_buf_take(&text, NULL);
    }
    return all;
}

static void free_environment(char **all)
{
    for (size_t i = 0; all[i]; i++)
        dd_free(all[i]);
    dd_free(all);
}

static int spawn(struct process *process, const struct dd_process_spec *spec,
                 const uv_file ends[2])
{
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE}};
    uv_process_options_t options = {
        .exit_cb = on_exit,
        .file = process->processes->config.program,
        .cwd = spec->directory,
        /* A session of its own: what is typed on the daemon's terminal is not for it. */
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = DD_COUNT(stdio),
        .stdio = stdio,
    };
    char pid[24];
    int rc;

    snprintf(pid, sizeof pid, "%" PRId64, (int64_t)getpid());
    for (size_t i = 0; i < DD_COUNT(process->pipes); i++) {
        stdio[i + 1].flags = UV_INHERIT_FD;
        stdio[i + 1].data.fd = ends[i];
    }
    options.args = make_arguments(process->processes, spec->command, pid);
    options.env = make_environment(spec, dd_http_url(process->http));
    rc = uv_spawn(process->processes->config.loop, &process->handle, &options);
    dd_free(options.args);
    free_environment(options.env);
    return rc;
}

static void process_kill(void *user)
{
    struct process *process = user;

    /* After its end the pid may be another's. */
    if (!process->exited)
        (void)uv_process_kill(&process->handle, SIGTERM);
}

/* Nobody is told of the end of a process that did not begin. */
static void abandon_over(struct process *process)
{
    if (--process->open == 0)
        dd_free(process);
}

static void on_abandoned_http(void *user)
{
    abandon_over(user);
}

static void on_abandoned(uv_handle_t *handle)
{
    abandon_over(handle->data);
}

static void on_abandoned_pipe(uv_handle_t *handle)
{
    abandon_over(((struct pipe *)handle->data)->process);
}

static void abandon(struct process *process)
{
    if (process->handle.data)
        uv_close((uv_handle_t *)&process->handle, on_abandoned);
    for (size_t i = 0; i < DD_COUNT(process->pipes); i++) {
        if (process->pipes[i].process)
            uv_close((uv_handle_t *)&process->pipes[i].handle, on_abandoned_pipe);
    }
    dd_http_close(process->http, on_abandoned_http, process);
}

/* Starts it with pipes; what of them is open when that fails stays so. */
static int start(struct process *process, const struct dd_process_spec *spec)
{
    uv_file ends[2] = {-1, -1};
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < DD_COUNT(process->pipes); i++)
        rc = open_pipe(process, &process->pipes[i], &ends[i]);
    if (rc == 0) {
        process->handle.data = process;
        process->open++;
        rc = spawn(process, spec, ends);
    }
    for (size_t i = 0; i < DD_COUNT(ends); i++) {
        if (ends[i] >= 0)
            close(ends[i]);
    }
    return rc;
}

int dd_process_start(struct dd_processes *processes, const struct dd_process_spec *spec,
                     void *owner, struct dd_process *out, struct dd_error *error)
{
    struct process *process = dd_alloc(sizeof *process);
    int rc;

    process->processes = processes;
    process->owner = owner;
    rc = open_listener(process, error);
    if (rc) {
        dd_free(process);
        return rc;
    }
    rc = start(process, spec);
    if (rc < 0) {
        abandon(process);
        return dd_fail(error, DD_SYSTEM, "%s: %s", spec->command[0], uv_strerror(rc));
    }
    for (size_t i = 0; i < DD_COUNT(process->pipes); i++)
        dd_assert(uv_read_start((uv_stream_t *)&process->pipes[i].handle, on_alloc, on_read) ==
                  0);
    *out = (struct dd_process){
        .user = process,
        .pid = process->handle.pid,
        .started = dd_process_started(process->handle.pid),
        .kill = process_kill,
    };
    return 0;
}

/* --- all of them ------------------------------------------------------------------------- */

struct dd_processes *dd_processes_new(const struct dd_processes_config *config)
{
    struct dd_processes *processes = dd_alloc(sizeof *processes);

    processes->config = *config;
    return processes;
}

void dd_processes_free(struct dd_processes *processes)
{
    dd_free(processes);
}
