/* Facts about the machine; see system.h. */
#define _GNU_SOURCE
#include "io/system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int64_t dd_clock_ms(void)
{
    struct timespec ts;

    dd_assert(clock_gettime(CLOCK_REALTIME, &ts) == 0);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void dd_random(void *out_bytes, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t got = getrandom((char *)out_bytes + done, len - done, 0);

        dd_assert(got > 0 || errno == EINTR);
        if (got > 0)
            done += (size_t)got;
    }
}

void dd_write_stderr(struct dd_span bytes)
{
    size_t done = 0;

    while (done < bytes.len) {
        ssize_t sent = write(STDERR_FILENO, bytes.data + done, bytes.len - done);

        if (sent < 0 && errno != EINTR)
            return;
        if (sent > 0)
            done += (size_t)sent;
    }
}

bool dd_read_file(const char *path, struct dd_buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = 1;

    if (fd < 0)
        return false;
    while (len > 0 && !out->failed) {
        char bytes[1024];

        len = read(fd, bytes, sizeof bytes);
        if (len > 0)
            dd_buf_append(out, bytes, (size_t)len);
    }
    close(fd);
    return len == 0 && !out->failed;
}

/* Reads the state letter and the start time of /proc/PID/stat. The command name
 * in parentheses may hold anything, so fields are counted from the last one. */
static bool read_stat(int64_t pid, char *out_state, uint64_t *out_started)
{
    char path[64], text[1024];
    const char *at;
    ssize_t len;
    int fd;

    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    len = read(fd, text, sizeof text - 1);
    close(fd);
    if (len <= 0)
        return false;
    text[len] = '\0';
    at = strrchr(text, ')');
    if (!at || at[1] != ' ')
        return false;
    at += 2;
    *out_state = *at;
    for (int field = 3; field < 22; field++) {
        at = strchr(at, ' ');
        if (!at)
            return false;
        at++;
    }
    *out_started = strtoull(at, NULL, 10);
    return true;
}

uint64_t dd_process_started(int64_t pid)
{
    uint64_t started;
    char state;

    return read_stat(pid, &state, &started) ? started : 0;
}

bool dd_process_alive(int64_t pid, uint64_t started)
{
    uint64_t found;
    char state;

    return read_stat(pid, &state, &found) && found == started && state != 'Z' && state != 'X';
}

/* The inode of the socket that listens on `port`, from /proc/net/tcp or tcp6 (proc(5)):
 * "sl local_address:port rem_address:port st queues timer retrnsmt uid timeout inode". */
static unsigned long listener_inode(const char *table, uint16_t port)
{
    FILE *file = fopen(table, "re");
    unsigned long inode = 0;
    char line[512];

    while (file && inode == 0 && fgets(line, sizeof line, file)) {
        unsigned long found;
        unsigned local, state;

        /* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers */
        if (sscanf(line, " %*u: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %lu",
                   &local, &state, &found) == 3 &&
            local == port && state == 0x0A)
            inode = found;
    }
    if (file)
        fclose(file);
    return inode;
}

/* Whether one of the descriptors of the process is the socket. */
static bool has_socket(const char *pid, unsigned long inode)
{
    char path[64], wanted[40], found[40];
    const struct dirent *entry;
    bool has = false;
    DIR *directory;

    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    snprintf(path, sizeof path, "/proc/%.16s/fd", pid);
    directory = opendir(path);
    while (directory && !has && (entry = readdir(directory)) != NULL) {
        ssize_t len = readlinkat(dirfd(directory), entry->d_name, found, sizeof found - 1);

        found[len > 0 ? len : 0] = '\0';
        has = strcmp(found, wanted) == 0;
    }
    if (directory)
        closedir(directory);
    return has;
}

void dd_process_name(int64_t pid, char out_name[16])
{
    char path[64];
    ssize_t len;
    int fd;

    snprintf(path, sizeof path, "/proc/%" PRId64 "/comm", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    len = fd < 0 ? 0 : read(fd, out_name, 15);
    out_name[len > 0 ? len : 0] = '\0';
    out_name[strcspn(out_name, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

int64_t dd_port_user(uint16_t port, uint16_t peer)
{
    FILE *file = fopen("/proc/net/tcp", "re");
    int64_t user = -1;
    char line[512];

    while (file && user < 0 && fgets(line, sizeof line, file)) {
        unsigned local, remote, uid;

        /* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers */
        if (sscanf(line, " %*u: %*[0-9A-F]:%x %*[0-9A-F]:%x %*x %*s %*s %*s %u", &local,
                   &remote, &uid) == 3 &&
            local == port && remote == peer)
            user = uid;
    }
    if (file)
        fclose(file);
    return user;
}

int64_t dd_port_holder(uint16_t port)
{
    unsigned long inode = listener_inode("/proc/net/tcp", port);
    const struct dirent *entry;
    int64_t holder = 0;
    DIR *directory;

    if (inode == 0)
        inode = listener_inode("/proc/net/tcp6", port);
    if (inode == 0)
        return 0;
    directory = opendir("/proc");
    while (directory && holder == 0 && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' &&
            has_socket(entry->d_name, inode))
            holder = strtoll(entry->d_name, NULL, 10);
    }
    if (directory)
        closedir(directory);
    return holder;
}

size_t dd_open_files(size_t wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    if (limit.rlim_cur < wanted && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur < wanted ? (size_t)limit.rlim_cur : wanted;
}

int dd_make_parents(const char *path, struct dd_error *error)
{
    char part[PATH_MAX];
    size_t len = strlen(path);

    if (len >= sizeof part)
        return dd_fail(error, DD_USAGE, "the path is too long: %s", path);
    for (size_t i = 1; i < len; i++) {
        if (path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return dd_fail(error, DD_SYSTEM, "make directory %s: %s", part, strerror(errno));
    }
    return 0;
}

const char *dd_variable(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

void dd_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len;
    int fd;

    if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path));
    len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (*path == '@')
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, len);
    close(fd);
}
