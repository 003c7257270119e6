/* Listener and connections; see server_uv.h.
 *
 * A connection's memory goes when its handle is closed and no write is in
 * flight; every completion asks connection_maybe_free(). */
#define _GNU_SOURCE
#include "io/server_uv.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/list.h"
#include "io/system.h"

#define READ_BYTES 65536
#define LISTEN_BACKLOG 512

struct dd_server {
    uv_pipe_t listener;
    struct dd_server_config config;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    int lock_fd;
    struct dd_list connections;
    size_t connections_len;
    char read_buffer[READ_BYTES]; /* one read at a time, consumed in its callback */
    bool refusing;
    bool listener_closed;
    void (*done)(void *user);
    void *done_user;
};

struct connection {
    uv_pipe_t pipe;
    struct dd_list node;
    struct dd_server *server;
    void *peer; /* NULL once the owner knows it no more */
    size_t backlog;
    unsigned writes;
    bool reading;
    bool closing;
    bool closed;
};

struct write {
    uv_write_t request;
    char *bytes;
    size_t len;
};

static void server_maybe_free(struct dd_server *server)
{
    void (*done)(void *) = server->done;
    void *user = server->done_user;

    if (!done || !server->listener_closed || server->connections_len > 0)
        return;
    unlink(server->path);
    close(server->lock_fd);
    dd_free(server);
    done(user);
}

static void connection_maybe_free(struct connection *connection)
{
    struct dd_server *server = connection->server;

    if (!connection->closed || connection->writes > 0)
        return;
    dd_list_remove(&connection->node);
    server->connections_len--;
    dd_free(connection);
    server_maybe_free(server);
}

static void on_connection_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;

    connection->closed = true;
    connection_maybe_free(connection);
}

static void connection_close(struct connection *connection)
{
    if (connection->closing)
        return;
    connection->closing = true;
    connection->peer = NULL;
    uv_close((uv_handle_t *)&connection->pipe, on_connection_closed);
}

/* The stream ended by itself: the owner is told, once. */
static void connection_lost(struct connection *connection)
{
    void *peer = connection->peer;

    connection_close(connection);
    if (peer)
        connection->server->config.events.closed(connection->server->config.events.user, peer);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct connection *connection = handle->data;

    (void)suggested;
    *out = uv_buf_init(connection->server->read_buffer, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct connection *connection = stream->data;
    const struct dd_stream_events *events = &connection->server->config.events;

    if (len < 0)
        connection_lost(connection);
    else if (len > 0 && connection->peer)
        events->received(events->user, connection->peer, dd_span_make(buf->base, (size_t)len));
}

static void tell_backlog(struct connection *connection)
{
    const struct dd_stream_events *events = &connection->server->config.events;

    if (connection->peer)
        events->backlog(events->user, connection->peer, connection->backlog);
}

static void on_written(uv_write_t *request, int status)
{
    struct write *write = (struct write *)(void *)request;
    struct connection *connection = request->handle->data;

    connection->writes--;
    connection->backlog -= write->len;
    dd_free(write->bytes);
    dd_free(write);
    if (connection->closed)
        connection_maybe_free(connection);
    else if (status < 0)
        connection_lost(connection);
    else
        tell_backlog(connection);
}

static void stream_send(void *user, char *bytes, size_t len)
{
    struct connection *connection = user;
    uv_buf_t buf = uv_buf_init(bytes, (unsigned)len);
    struct write *write;
    int sent = 0;

    if (connection->closing) {
        dd_free(bytes);
        return;
    }
    if (connection->writes == 0) {
        sent = uv_try_write((uv_stream_t *)&connection->pipe, &buf, 1);
        if (sent < 0)
            sent = 0; /* EAGAIN, or an error that the queued write reports */
    }
    if ((size_t)sent == len) {
        dd_free(bytes);
        return;
    }
    write = dd_alloc(sizeof *write);
    write->bytes = bytes;
    write->len = len - (size_t)sent;
    buf = uv_buf_init(bytes + sent, (unsigned)write->len);
    connection->writes++;
    connection->backlog += write->len;
    if (uv_write(&write->request, (uv_stream_t *)&connection->pipe, &buf, 1, on_written) != 0) {
        /* The stream is broken; its read side reports that from the loop. */
        connection->writes--;
        connection->backlog -= write->len;
        dd_free(bytes);
        dd_free(write);
        return;
    }
    /* No write may ever end of a peer that does not read. */
    tell_backlog(connection);
}

static void stream_read(void *user, bool on)
{
    struct connection *connection = user;

    if (connection->closing || connection->reading == on)
        return;
    connection->reading = on;
    if (on)
        uv_read_start((uv_stream_t *)&connection->pipe, on_alloc, on_read);
    else
        uv_read_stop((uv_stream_t *)&connection->pipe);
}

static void stream_close(void *user)
{
    connection_close(user);
}

static struct dd_credentials peer_credentials(uv_pipe_t *pipe)
{
    struct dd_credentials credentials = {0, 0};
    struct ucred ucred;
    socklen_t len = sizeof ucred;
    uv_os_fd_t fd;

    if (uv_fileno((uv_handle_t *)pipe, &fd) == 0 &&
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &len) == 0 && ucred.pid > 0) {
        credentials.pid = ucred.pid;
        credentials.started = dd_process_started(ucred.pid);
    }
    return credentials;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct dd_server *server = listener->data;
    const struct dd_stream_events *events = &server->config.events;
    struct connection *connection;
    struct dd_stream stream;

    if (status < 0)
        return;
    connection = dd_alloc(sizeof *connection);
    connection->server = server;
    dd_list_init(&connection->node);
    if (uv_pipe_init(server->config.loop, &connection->pipe, 0) != 0) {
        dd_free(connection);
        return;
    }
    connection->pipe.data = connection;
    dd_list_push(&server->connections, &connection->node);
    server->connections_len++;
    if (uv_accept(listener, (uv_stream_t *)&connection->pipe) != 0 || server->refusing) {
        connection_close(connection);
        return;
    }
    stream = (struct dd_stream){connection, stream_send, stream_read, stream_close};
    connection->peer =
        events->opened(events->user, peer_credentials(&connection->pipe), &stream);
    if (connection->peer)
        stream_read(connection, true);
    else
        connection_close(connection);
}

/* --- the path ---------------------------------------------------------------------------- */

/* Takes the lock beside the socket; the file holds the owner's pid for the message. */
static int lock_path(const char *path, int *out_fd, struct dd_error *error)
{
    char lock[PATH_MAX];
    char pid[16] = "";
    ssize_t len;
    int fd;

    snprintf(lock, sizeof lock, "%s.lock", path);
    fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return dd_fail(error, DD_SYSTEM, "%s: %s", lock, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        len = read(fd, pid, sizeof pid - 1);
        close(fd);
        pid[len > 0 ? strcspn(pid, "\n") : 0] = '\0';
        return dd_fail(error, DD_SYSTEM,
                       "socket %s belongs to another durabled, pid %s; stop it or choose "
                       "another --socket",
                       path, *pid ? pid : "unknown");
    }
    len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)len, 0) != len) {
        dd_fail(error, DD_SYSTEM, "%s: %s", lock, strerror(errno));
        close(fd);
        return DD_SYSTEM;
    }
    *out_fd = fd;
    return 0;
}

static int remove_leftover(const char *path, struct dd_error *error)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? 0 : dd_fail(error, DD_SYSTEM, "%s: %s", path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return dd_fail(error, DD_SYSTEM, "%s exists and is no socket; choose another --socket",
                       path);
    if (unlink(path) != 0)
        return dd_fail(error, DD_SYSTEM, "%s: %s", path, strerror(errno));
    return 0;
}

static int set_mode(const struct dd_server_config *config, struct dd_error *error)
{
    const struct group *group;

    if (config->everyone && chmod(config->path, 0666) != 0)
        return dd_fail(error, DD_SYSTEM, "%s: %s", config->path, strerror(errno));
    if (!*config->group)
        return 0;
    group = getgrnam(config->group);
    if (!group)
        return dd_fail(error, DD_SYSTEM, "--group: no group named '%s'", config->group);
    if (chown(config->path, (uid_t)-1, group->gr_gid) != 0 || chmod(config->path, 0660) != 0)
        return dd_fail(error, DD_SYSTEM, "%s: %s", config->path, strerror(errno));
    return 0;
}

static int bind_and_listen(struct dd_server *server, struct dd_error *error)
{
    mode_t mask = umask(0177);
    int rc = uv_pipe_bind(&server->listener, server->path);

    umask(mask);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&server->listener, LISTEN_BACKLOG, on_connection);
    if (rc != 0)
        return dd_fail(error, DD_SYSTEM, "listen on %s: %s", server->path, uv_strerror(rc));
    return set_mode(&server->config, error);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct dd_server *server = handle->data;

    server->listener_closed = true;
    server_maybe_free(server);
}

static void ignore_done(void *user)
{
    (void)user;
}

int dd_server_open(const struct dd_server_config *config, struct dd_server **out_server,
                   struct dd_error *error)
{
    struct dd_server *server;
    int lock_fd, rc;

    if (strlen(config->path) >= sizeof server->path)
        return dd_fail(error, DD_USAGE, "--socket: the path is longer than %zu characters: %s",
                       sizeof server->path - 1, config->path);
    rc = dd_make_parents(config->path, error);
    if (rc == 0)
        rc = lock_path(config->path, &lock_fd, error);
    if (rc)
        return rc;
    server = dd_alloc(sizeof *server);
    server->config = *config;
    server->lock_fd = lock_fd;
    snprintf(server->path, sizeof server->path, "%s", config->path);
    dd_list_init(&server->connections);
    rc = remove_leftover(server->path, error);
    if (rc) {
        close(lock_fd);
        dd_free(server);
        return rc;
    }
    dd_assert(uv_pipe_init(config->loop, &server->listener, 0) == 0);
    server->listener.data = server;
    rc = bind_and_listen(server, error);
    if (rc) {
        dd_server_close(server, ignore_done, NULL);
        return rc;
    }
    *out_server = server;
    return 0;
}

void dd_server_refuse(struct dd_server *server)
{
    server->refusing = true;
}

void dd_server_close(struct dd_server *server, void (*done)(void *user), void *user)
{
    server->done = done;
    server->done_user = user;
    dd_list_each(node, tmp, &server->connections)
    {
        connection_close(dd_container_of(node, struct connection, node));
    }
    uv_close((uv_handle_t *)&server->listener, on_listener_closed);
}
