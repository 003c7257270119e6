/* The supervisor of a hosted function's process: `durabled supervise PID COMMAND...`, which
 * the daemon starts for itself (io/process_uv.h). It exists since a process can ask the
 * kernel for a signal at its parent's death, but not for one to its whole group. */
#pragma once

#define DD_SUPERVISE "supervise"

/* Runs the command in a group of its own until it ends, is told to end it (SIGTERM), or
 * the daemon, whose pid is argv[1], is gone; then kills whatever it started. Returns the
 * command's exit status, or dies by the signal that it died by. `argv` is NULL-ended. */
int dd_supervise(int argc, char **argv);
