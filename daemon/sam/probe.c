/* Asks interpreters of what version they are; see sam_priv.h. An interpreter that a version
 * manager puts on PATH may exist without running, so it is run, once. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sam/sam_priv.h"

/* Answered with "v3.13 1 /usr/bin/python3.13": its version, whether it has awslambdaric, and
 * which program it is behind a version manager's. */
#define PYTHON_QUESTION                                                           \
    "import sys,importlib.util as u;"                                             \
    "print('v%d.%d'%sys.version_info[:2],int(bool(u.find_spec('awslambdaric')))," \
    "sys.executable)"
#define ANSWER_MAX (PATH_MAX + 64)

extern char **environ;

static int64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Starts `argv` with its output in `fd`; 0 when it can't be started. */
static pid_t start(char *const argv[], int fd)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return 0;
    if (posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, fd, 1) != 0 ||
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0) != 0 ||
        posix_spawn(&pid, argv[0], &actions, NULL, argv, environ) != 0)
        pid = 0;
    (void)posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/* What comes out of `fd`, up to its end, the size of `out` or the time. */
static void receive(int fd, int64_t until_ms, char *out, size_t size)
{
    size_t len = 0;

    while (len < size - 1) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        int64_t left = until_ms - now_ms();
        ssize_t got;
        int ready = left > 0 ? poll(&poll_fd, 1, (int)left) : 0;

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            break;
        got = read(fd, out + len, size - 1 - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    out[len] = '\0';
}

/* Waits for the end of `pid`, which is killed when its time is over. True when it ended
 * well. */
static bool finish(pid_t pid, int64_t until_ms)
{
    struct timespec moment = {.tv_nsec = 1000000};
    int status = 0;
    pid_t ended;

    while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && now_ms() < until_ms)
        (void)nanosleep(&moment, NULL);
    if (ended == 0) {
        (void)kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            continue;
        return false;
    }
    return ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Whether `argv` ended well, with what it wrote. */
static bool run(char *const argv[], char *out, size_t size)
{
    int64_t until_ms = now_ms() + DD_PROBE_MS;
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    pid = start(argv, fds[1]);
    (void)close(fds[1]);
    if (pid > 0)
        receive(fds[0], until_ms, out, size);
    (void)close(fds[0]);
    return pid > 0 && finish(pid, until_ms);
}

/* The program that says "v3.13 1 PROGRAM" of itself, when there is such a one. */
static void take_program(struct dd_probe *probe, char *text)
{
    text[strcspn(text, "\n")] = '\0';
    if (text[0] != '/' || access(text, X_OK) != 0)
        return;
    dd_free(probe->program);
    probe->program = dd_sam_strdup(text);
}

/* "v22.3.0" of Node.js, and of Python what its question says. */
static void understand(struct dd_probe *probe, char *text)
{
    char *end;

    if (text[0] != 'v' || !isdigit((unsigned char)text[1]))
        return;
    probe->major = (int)strtol(text + 1, &end, 10);
    if (*end == '.' && isdigit((unsigned char)end[1]))
        probe->minor = (int)strtol(end + 1, &end, 10);
    probe->runs = true;
    if (end[0] != ' ' || !end[1] || end[2] != ' ')
        return;
    probe->client = end[1] == '1';
    take_program(probe, end + 3);
}

struct dd_probe dd_sam_probe(struct dd_reading *reading, const char *program, bool python)
{
    static char python_flag[] = "-c", python_question[] = PYTHON_QUESTION;
    static char node_flag[] = "--version";
    struct dd_probe probe = {0};
    char out[ANSWER_MAX] = "", *argv[] = {NULL, node_flag, NULL, NULL};

    for (size_t i = 0; i < reading->probes_len; i++)
        if (strcmp(reading->probes[i].asked, program) == 0)
            return reading->probes[i];
    probe.asked = dd_sam_strdup(program);
    probe.program = dd_sam_strdup(program);
    argv[0] = probe.asked;
    if (python) {
        argv[1] = python_flag;
        argv[2] = python_question;
    }
    if (run(argv, out, sizeof out))
        understand(&probe, out);
    reading->probes =
        dd_realloc_array(reading->probes, reading->probes_len + 1, sizeof *reading->probes);
    reading->probes[reading->probes_len++] = probe;
    return probe;
}

const char *dd_sam_which(struct dd_reading *reading, const char *name)
{
    const char *at = reading->config->path;

    while (at && *at) {
        size_t len = strcspn(at, ":");
        const char *directory = dd_sam_copy(&reading->arena, dd_span_make(at, len));
        const char *path =
            directory && len > 0 ? dd_sam_join(&reading->arena, directory, name) : NULL;

        if (path && dd_sam_is_file(path) && access(path, X_OK) == 0)
            return path;
        at += len + (at[len] == ':');
    }
    return NULL;
}
