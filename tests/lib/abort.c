/* Expected assertion failures; see abort.h. */
#include "tests/lib/abort.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

_Bool dd_test_aborts(void (*body)(void *arg), void *arg)
{
    int status = 0;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child < 0)
        return 0;
    if (child == 0) {
        struct rlimit no_core = {0, 0};

        setrlimit(RLIMIT_CORE, &no_core);
        /* cmocka and the sanitizers catch SIGABRT and would report it. */
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        body(arg);
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child)
        return 0;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}
