/* Executions that come, wait and go; what that leaves in memory and on the disk. */
#pragma once

/* Prints a line for each part of `count` executions, and the ratios. */
void soak(const char *program, long count);
