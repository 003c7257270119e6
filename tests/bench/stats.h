/* Clocks, quantiles, and what the kernel says of a process. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Microseconds of the monotonic clock, and of the wall clock since 1970. */
double now_us(void);
double wall_us(void);

/* Figures of one measurement, in runs; a run is one number. */
#define RUNS_MAX 16
struct figure {
    double runs[RUNS_MAX];
    size_t len;
};

void figure_add(struct figure *figure, double value);
double figure_median(const struct figure *figure);

/* "name  median (min..max) unit" on stdout. */
void figure_print(const struct figure *figure, const char *name, const char *unit);

/* The same of `over` / `under`, run by run. */
void ratio_print(const struct figure *over, const struct figure *under, const char *name,
                 const char *reach);

/* The q-quantile; sorts `values`. */
double quantile(double *values, size_t len, double q);

/* User and system time of a process, in microseconds; its anonymous memory in KiB. */
double process_cpu_us(pid_t pid);
double process_memory_kib(pid_t pid);

/* Ends the program with a message that names what failed. */
void die(const char *what) __attribute__((noreturn));
