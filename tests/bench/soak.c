/* See soak.h.
 *
 * The executions come in waves: each has a step, a wait of a second and a step, is removed
 * when its retention has passed, and the next wave starts when the last of them has gone.
 * So every wave asks the same of the daemon however fast the machine is, and what a wave
 * leaves behind is a leak. */
#include "soak.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "stats.h"

#define WAVE 2000
#define RETENTION "1" /* seconds */
#define PRINTED 5     /* waves from one line to the next */

struct sample {
    double memory_mib;
    double file_mib;
};

/* The largest samples of the two halves of the run. */
struct growth {
    double first, second;
};

static int come_and_go(struct durabled_context *context, struct durabled_result *result,
                       void *user)
{
    int rc = run_steps(context, 1, NULL);

    (void)user;
    if (rc == DURABLED_OK)
        rc = durabled_wait(context, "pause", 1);
    if (rc == DURABLED_OK)
        rc = run_steps(context, 1, NULL);
    return rc == DURABLED_OK ? durabled_return(result, "null") : rc;
}

static void start_executions(struct harness *harness, long count)
{
    struct durabled_started started;
    struct durabled_error error;

    for (long i = 0; i < count; i++) {
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

/* Returns when the daemon knows no execution any more. */
static void wait_gone(struct harness *harness)
{
    static const struct durabled_list_filter any = {.items_max = 1};
    struct durabled_list list;
    struct durabled_error error;
    size_t len;

    do {
        usleep(10000);
        must(durabled_client_list(harness->connection, &any, &list, &error), &error);
        len = list.len;
        durabled_reply_free(list.reply);
    } while (len > 0);
}

static void add_sample(struct growth *growth, bool second, double mib)
{
    double *most = second ? &growth->second : &growth->first;

    if (mib > *most)
        *most = mib;
}

static void print_growth(const char *name, const struct growth *growth)
{
    printf("%s: most %.2f MiB in the first half, %.2f in the second, %.2f of it\n", name,
           growth->first, growth->second, growth->second / growth->first);
}

void soak(const char *program, long count)
{
    static const struct durabled_function function = {.name = "soak", .body = come_and_go};
    long waves = (count + WAVE - 1) / WAVE;
    struct growth memory = {0}, file = {0};
    struct sample sample;
    struct harness harness;
    double begin = now_us();

    harness_open(&harness, program);
    (void)harness_start(&harness, RETENTION);
    harness_serve(&harness, &function, 1);
    printf("executions  seconds  RssAnon MiB  file MiB\n");
    for (long wave = 1; wave <= waves; wave++) {
        start_executions(&harness, WAVE);
        wait_gone(&harness);
        sample = take_sample(&harness);
        add_sample(&memory, wave > waves / 2, sample.memory_mib);
        add_sample(&file, wave > waves / 2, sample.file_mib);
        if (wave == 1 || wave == waves || wave % PRINTED == 0)
            printf("%10ld %8.1f %12.2f %9.2f\n", wave * WAVE, (now_us() - begin) / 1e6,
                   sample.memory_mib, sample.file_mib);
        fflush(stdout);
    }
    print_growth("memory", &memory);
    print_growth("file", &file);
    harness_serve_end(&harness);
    harness_stop(&harness);
    harness_close(&harness);
}
