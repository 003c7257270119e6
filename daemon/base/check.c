/* Failing assertions; see check.h. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

static void (*hook_run)(void);

void dd_assert_hook(void (*hook)(void))
{
    hook_run = hook;
}

_Noreturn void dd_assert_failed(const char *expr, const char *file, int line, const char *func)
{
    void (*hook)(void) = hook_run;

    fprintf(stderr, "assertion failed: %s (%s, %s:%d)\n", expr, func, file, line);
    hook_run = NULL; /* a hook that fails must not run again */
    if (hook)
        hook();
    abort();
}
