/* The small facts about the machine: time, chance, processes, directories, and
 * the service manager. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

/* Wall-clock ms since 1970. */
int64_t dd_clock_ms(void);

/* Unguessable bytes, from getrandom(2). */
void dd_random(void *out_bytes, size_t len);

/* Start time of a process in clock ticks since boot (proc(5), field 22); 0: none
 * or unreadable. With the pid it names one process for good, until a reboot. */
uint64_t dd_process_started(int64_t pid);

/* True while the process that had `pid` and started at `started` can run code: a
 * zombie or a later process with its pid does not count. */
bool dd_process_alive(int64_t pid, uint64_t started);

/* The name of a process, as ps(1) shows it, of 15 bytes at most; "" when it has ended. */
void dd_process_name(int64_t pid, char out_name[16]);

/* The pid of a process that listens on TCP `port`; 0 when there is none, or when it may
 * not be seen (another user's). */
int64_t dd_port_holder(uint16_t port);

/* The user id of the process that has the end `port` of a TCP connection on loopback (IPv4)
 * to `peer`; -1 when the kernel does not tell. */
int64_t dd_port_user(uint16_t port, uint16_t peer);

/* Lets the process have `wanted` open files, or as many as its hard limit allows;
 * returns how many it may have. */
size_t dd_open_files(size_t wanted);

/* Makes the missing directories above `path`, mode 0700. */
int dd_make_parents(const char *path, struct dd_error *error) DD_MUST_CHECK;

/* Writes to stderr; what can't be written is dropped: a log must not stop the daemon. */
void dd_write_stderr(struct dd_span bytes);

/* Appends what a small file holds; false when it can't be read, or is larger than `out`
 * may become. */
bool dd_read_file(const char *path, struct dd_buf *out);

/* A variable of the environment; NULL when it is not there, or empty. */
const char *dd_variable(const char *name);

/* Tells the service manager ("READY=1"), if $NOTIFY_SOCKET asks for it
 * (sd_notify(3)); does nothing otherwise. */
void dd_notify(const char *state);
