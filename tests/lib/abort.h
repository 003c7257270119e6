/* For tests that expect a failing dd_assert(), which ends the process. */
#pragma once

/* Runs `body(arg)` in a child process whose stderr is closed. True when the child
 * ended by SIGABRT, false when it returned or ended otherwise. The caller has one
 * thread. */
_Bool dd_test_aborts(void (*body)(void *arg), void *arg);
