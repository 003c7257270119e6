/* Executions that come, wait and go; what that leaves in memory and on the disk. */
#pragma once

/* Prints what `count` executions leave in the daemon's memory and file as they come and go,
 * and how much of that grew. */
void soak(const char *program, long count);
