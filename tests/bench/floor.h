/* What the same records cost with nothing of ours in between: LMDB committed by a
 * writer thread behind a Unix socket. */
#pragma once

#include <stddef.h>

struct floor;

/* Makes two stores below `dir` and forks the server of one; before the process has
 * threads. Gives a floor; release it with floor_close(). */
struct floor *floor_open(const char *dir);
void floor_close(struct floor *floor);

/* Microseconds of each of `rounds` round trips: a request over the socket, one record
 * put and committed by the server's second thread, an answer. */
void floor_rounds(struct floor *floor, size_t rounds, double *took);

/* Microseconds of `commits` commits of `width` records each, nothing else. */
double floor_groups(struct floor *floor, size_t commits, size_t width);
