/* See stats.h. */
#include "stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double clock_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

double now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

double wall_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

static int by_value(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

double quantile(double *values, size_t len, double q)
{
    if (len == 0)
        return 0;
    qsort(values, len, sizeof *values, by_value);
    return values[(size_t)((double)(len - 1) * q)];
}

void figure_add(struct figure *figure, double value)
{
    if (figure->len < RUNS_MAX)
        figure->runs[figure->len++] = value;
}

double figure_median(const struct figure *figure)
{
    struct figure sorted = *figure;

    return quantile(sorted.runs, sorted.len, 0.5);
}

void figure_print(const struct figure *figure, const char *name, const char *unit)
{
    struct figure sorted = *figure;
    double median = quantile(sorted.runs, sorted.len, 0.5);

    printf("  %-44s %10.1f (%.1f..%.1f) %s\n", name, median, sorted.runs[0],
           sorted.runs[sorted.len ? sorted.len - 1 : 0], unit);
}

void ratio_print(const struct figure *over, const struct figure *under, const char *name,
                 const char *reach)
{
    struct figure ratio = {.len = 0};

    for (size_t i = 0; i < over->len && i < under->len; i++)
        figure_add(&ratio, over->runs[i] / under->runs[i]);
    printf("  %-44s %10.2f (%.2f..%.2f)   reach: %s\n", name, figure_median(&ratio),
           quantile(ratio.runs, ratio.len, 0), quantile(ratio.runs, ratio.len, 1), reach);
}

double process_cpu_us(pid_t pid)
{
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0)
        die("clock_getcpuclockid");
    return clock_us(clock);
}

double process_memory_kib(pid_t pid)
{
    char path[64], line[256];
    double kib = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "r");
    if (!file)
        die(path);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, "RssAnon:", 8) == 0)
            kib = strtod(line + 8, NULL);
    fclose(file);
    return kib;
}

void die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}
