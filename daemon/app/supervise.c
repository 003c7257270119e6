/* The supervisor; see supervise.h. */
#define _GNU_SOURCE
#include "app/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* As a shell says that a command can't be run. */
#define EXIT_CANNOT_RUN 126

/* Where a user looks for what a process writes: here, its pipe to the daemon. */
static void run(char **command, const sigset_t *former, pid_t supervisor)
{
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != supervisor)
        _exit(EXIT_CANNOT_RUN);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, former, NULL);
    execvp(command[0], command);
    (void)fprintf(stderr, "%s: %s\n", command[0], strerror(errno));
    _exit(EXIT_CANNOT_RUN);
}

/* Waits for the child's end, or for what ends it. */
static int await(pid_t child, const sigset_t *awaited)
{
    int status = 0, number;

    for (;;) {
        number = sigwaitinfo(awaited, NULL);
        if (number == SIGTERM) {
            (void)kill(-child, SIGKILL);
            (void)kill(child, SIGKILL); /* it may have left its group */
        }
        if (number == SIGCHLD && waitpid(child, &status, WNOHANG) == child)
            return status;
    }
}

/* Sends SIGKILL to each child of this process; false when the kernel does not name them. */
static bool kill_children(void)
{
    char path[64];
    FILE *children;
    int pid;

    (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    children = fopen(path, "re");
    if (!children)
        return false;
    /* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers */
    while (fscanf(children, "%d", &pid) == 1)
        (void)kill(pid, SIGKILL);
    (void)fclose(children);
    return true;
}

/* Ends what the function left behind, in its group or out of it: who loses its parent
 * becomes a child of this process. */
static void end_rest(pid_t child)
{
    (void)kill(-child, SIGKILL);
    while (kill_children()) {
        if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD)
            return;
    }
}

int dd_supervise(int argc, char **argv)
{
    static const struct rlimit no_core = {0, 0};
    sigset_t awaited, former;
    int status;
    pid_t child, own = getpid();

    (void)sigemptyset(&awaited);
    (void)sigaddset(&awaited, SIGCHLD);
    (void)sigaddset(&awaited, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &awaited, &former);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (argc < 3 || getppid() != (pid_t)strtol(argv[1], NULL, 10))
        return EXIT_CANNOT_RUN; /* the daemon is gone already */
    child = fork();
    if (child < 0)
        return EXIT_CANNOT_RUN;
    if (child == 0)
        run(argv + 2, &former, own);
    (void)setpgid(child, child);
    status = await(child, &awaited);
    end_rest(child);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)signal(WTERMSIG(status), SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &former, NULL);
    (void)raise(WTERMSIG(status));
    return EXIT_CANNOT_RUN;
}
