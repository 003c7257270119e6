/* What the same records cost with nothing of ours in between: LMDB committed by a
 * writer thread behind a Unix socket. */
#pragma once

#include <stddef.h>

/* Median microseconds of `rounds` round trips: a request over a socket, one record
 * put and committed by a second thread, an answer. `dir` is an empty directory. */
double floor_step_us(const char *dir, size_t rounds);

/* Records a second when each commit takes `width` of them. */
double floor_group_rate(const char *dir, size_t commits, size_t width);
