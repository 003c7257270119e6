/* See soak.h.
 *
 * Each execution has a step, a wait of a second and a step, and is removed when its
 * retention has passed. At most OPEN_MAX are open at any time, so what the daemon holds
 * is bounded, and what grows with the number of executions is a leak. */
#include "soak.h"

#include <semaphore.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "stats.h"

#define OPEN_MAX 1024
#define RETENTION "2" /* seconds */
#define PARTS 20
#define SETTLED 5 /* parts after which nothing should grow any more */

struct sample {
    double memory_mib;
    double file_mib;
};

static sem_t open_places;

static int come_and_go(struct durabled_context *context, struct durabled_result *result,
                       void *user)
{
    int rc = run_steps(context, 1, NULL);

    (void)user;
    if (rc == DURABLED_OK)
        rc = durabled_wait(context, "pause", 1);
    if (rc == DURABLED_OK)
        rc = run_steps(context, 1, NULL);
    if (rc != DURABLED_OK)
        return rc;
    sem_post(&open_places);
    return durabled_return(result, "null");
}

static void start_executions(struct harness *harness, long count)
{
    struct durabled_started started;
    struct durabled_error error;

    for (long i = 0; i < count; i++) {
        while (sem_wait(&open_places) != 0)
            ;
        must(durabled_client_start(harness->connection, "soak", NULL, &started, &error),
             &error);
        durabled_reply_free(started.reply);
    }
}

static struct sample take_sample(const struct harness *harness)
{
    char path[96];
    struct stat stat_of;

    snprintf(path, sizeof path, "%s/data/data.mdb", harness->dir);
    if (stat(path, &stat_of) != 0)
        die(path);
    return (struct sample){process_memory_kib(harness->daemon) / 1024,
                           (double)stat_of.st_size / (1 << 20)};
}

/* Seconds until the daemon knows no execution any more. */
static double wait_gone(struct harness *harness)
{
    static const struct durabled_list_filter any = {.items_max = 1};
    double begin = now_us();
    struct durabled_list list;
    struct durabled_error error;
    size_t len;

    do {
        usleep(10000);
        must(durabled_client_list(harness->connection, &any, &list, &error), &error);
        len = list.len;
        durabled_reply_free(list.reply);
    } while (len > 0);
    return (now_us() - begin) / 1e6;
}

static double greater(double a, double b)
{
    return a > b ? a : b;
}

static void print_growth(const char *name, double settled, double last, double max)
{
    printf("%-10s settled %.1f MiB, last %.1f, max %.1f: last %.2f of settled, max %.2f\n",
           name, settled, last, max, last / settled, max / settled);
}

void soak(const char *program, long count)
{
    static const struct durabled_function function = {.name = "soak", .body = come_and_go};
    struct sample sample, settled = {0}, max = {0};
    struct harness harness;
    double begin = now_us();

    sem_init(&open_places, 0, OPEN_MAX);
    harness_open(&harness, program);
    (void)harness_start(&harness, RETENTION);
    harness_serve(&harness, &function, 1);
    printf("executions  seconds  RssAnon MiB  file MiB\n");
    for (long part = 1; part <= PARTS; part++) {
        start_executions(&harness, count * part / PARTS - count * (part - 1) / PARTS);
        sample = take_sample(&harness);
        printf("%10ld %8.1f %12.1f %9.1f\n", count * part / PARTS, (now_us() - begin) / 1e6,
               sample.memory_mib, sample.file_mib);
        fflush(stdout);
        if (part == SETTLED)
            settled = sample;
        max.memory_mib = greater(max.memory_mib, sample.memory_mib);
        max.file_mib = greater(max.file_mib, sample.file_mib);
    }
    print_growth("memory", settled.memory_mib, sample.memory_mib, max.memory_mib);
    print_growth("file", settled.file_mib, sample.file_mib, max.file_mib);
    printf("all executions gone %.1f s after the last start, memory %.1f MiB\n",
           wait_gone(&harness), take_sample(&harness).memory_mib);
    harness_serve_end(&harness);
    harness_stop(&harness);
    harness_close(&harness);
}
