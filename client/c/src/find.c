/* Where the daemon's socket is: the search order, and what to say when nothing
 * answers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "priv.h"

#define PATHS_MAX 3
#define PATH_TEXT_MAX 512

struct search {
    char paths[PATHS_MAX][PATH_TEXT_MAX];
    const char *from[PATHS_MAX]; /* what named the path */
    size_t len;
};

static void search_add(struct search *search, const char *from, const char *directory,
                       const char *file)
{
    int len = snprintf(search->paths[search->len], PATH_TEXT_MAX, "%s%s", directory, file);

    search->from[search->len] = from;
    if (len > 0 && len < PATH_TEXT_MAX)
        search->len++;
}

static const char *setting(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static void search_init(struct search *search, const char *socket)
{
    search->len = 0;
    if (socket) {
        search_add(search, "given", socket, "");
        return;
    }
    if (setting("DURABLED_SOCKET")) {
        search_add(search, "DURABLED_SOCKET", setting("DURABLED_SOCKET"), "");
        return;
    }
    if (setting("AWS_LAMBDA_FUNCTION_NAME") && setting("LAMBDA_TASK_ROOT")) {
        search_add(search, "Lambda", "/tmp/durabled.sock", "");
        return;
    }
    if (setting("XDG_RUNTIME_DIR"))
        search_add(search, "XDG_RUNTIME_DIR", setting("XDG_RUNTIME_DIR"), "/durabled.sock");
    search_add(search, "system", "/run/durabled/durabled.sock", "");
}

/* 0 and a descriptor, or errno. */
static int connect_path(const char *path, int *out_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int rc = 0, fd;

    if (strlen(path) >= sizeof address.sun_path)
        return ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    while (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        if (errno == EINTR)
            continue;
        rc = errno;
        close(fd);
        return rc;
    }
    *out_fd = fd;
    return 0;
}

static const char *why_not(int error)
{
    switch (error) {
    case ENOENT:
        return "no such socket";
    case ECONNREFUSED:
        return "nobody listens; the daemon has ended";
    case EACCES:
    case EPERM:
        return "permission denied";
    case ENAMETOOLONG:
        return "the path is too long for a socket";
    default:
        return strerror(error);
    }
}

/* The cure: by what went wrong with the path that was most likely meant. `room` holds
 * the command that starts a daemon there. */
static const char *cure(const struct search *search, const int *errors, char *room, size_t size)
{
    for (size_t i = 0; i < search->len; i++) {
        if (errors[i] == EACCES || errors[i] == EPERM)
            return "join the socket's group (`sudo usermod -aG durabled $USER`, then log in "
                   "again), or run as the daemon's user";
        if (errors[i] == ENAMETOOLONG)
            return "set DURABLED_SOCKET to a path of less than 108 bytes, for the daemon too";
    }
    if (strcmp(search->from[0], "Lambda") == 0)
        return "add the durabled layer, of the function's architecture, to the function";
    if (search->len == 1) {
        (void)snprintf(room, size, "start the daemon there: `durabled serve --socket %s`",
                       search->paths[0]);
        return room;
    }
    return "start the daemon: `durabled serve`, or `sudo systemctl start durabled`; if it runs "
           "elsewhere, set DURABLED_SOCKET to its socket";
}

int socket_find(const char *socket, int *out_fd, char **out_path, struct durabled_error *error)
{
    struct search search;
    int errors[PATHS_MAX] = {0};
    char text[sizeof error->text], room[PATH_TEXT_MAX + 64];
    size_t used;

    search_init(&search, socket);
    if (search.len == 0)
        return error_set(error, DURABLED_USAGE, "the path of the socket is too long");
    for (size_t i = 0; i < search.len; i++) {
        errors[i] = connect_path(search.paths[i], out_fd);
        if (errors[i] != 0)
            continue;
        *out_path = strdup(search.paths[i]);
        if (*out_path)
            return DURABLED_OK;
        close(*out_fd);
        return error_set(error, DURABLED_NO_MEMORY, "out of memory");
    }
    used = (size_t)snprintf(text, sizeof text, "no durabled daemon answers. Tried");
    for (size_t i = 0; i < search.len && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s %.300s (%s): %s",
                                 i == 0 ? "" : ";", search.paths[i], search.from[i],
                                 why_not(errors[i]));
    error_set(error, DURABLED_NO_DAEMON, "%s. To cure it: %s.", text,
              cure(&search, errors, room, sizeof room));
    if (error)
        error->retryable = true;
    return DURABLED_NO_DAEMON;
}
