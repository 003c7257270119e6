/* Speed, as ratios against a floor measured in the same run.
 *
 *   durabled_bench DURABLED [RUNS]
 *   durabled_bench DURABLED soak [EXECUTIONS]
 *
 * Starts the daemon named on data of its own below the current directory, serves
 * functions with libdurabled in this process, and measures from inside the handlers.
 * README.md says what each figure means.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "floor.h"
#include "harness.h"
#include "soak.h"
#include "stats.h"

/* A disk's speed changes from one second to the next, so the floor and what is compared
 * with it take turns, in blocks. */
#define BLOCKS 10
#define BLOCK_STEPS 200
#define BLOCK_EXECUTIONS 200
#define BLOCK_COMMITS 40

#define STEPS (BLOCKS * BLOCK_STEPS)
#define BURST_STEPS 10
#define REPLAY_STEPS 2000
#define RESUMES 50
#define SOAK_EXECUTIONS 100000

static struct bench {
    struct harness harness;
    struct floor *floor;
    double floor_took[STEPS];
    double took[STEPS];       /* of each step of the sequential run */
    double cpu_us;            /* of the daemon during them */
    _Atomic double replay_us; /* of the whole replayed invocation */
    double late[RESUMES];     /* from the due time to the handler, of each resumed one */
    size_t late_len;
} bench;

/* --- handlers ---------------------------------------------------------------------------- */

static int return_null(int rc, struct durabled_result *result)
{
    return rc == DURABLED_OK ? durabled_return(result, "null") : rc;
}

static int sequential(struct durabled_context *context, struct durabled_result *result,
                      void *user)
{
    int rc = DURABLED_OK;

    (void)user;
    for (size_t at = 0; at < STEPS && rc == DURABLED_OK; at += BLOCK_STEPS) {
        double cpu;

        floor_rounds(bench.floor, BLOCK_STEPS, bench.floor_took + at);
        cpu = process_cpu_us(bench.harness.daemon);
        rc = run_steps(context, BLOCK_STEPS, bench.took + at);
        bench.cpu_us += process_cpu_us(bench.harness.daemon) - cpu;
    }
    return return_null(rc, result);
}

static int burst(struct durabled_context *context, struct durabled_result *result, void *user)
{
    (void)user;
    return return_null(run_steps(context, BURST_STEPS, NULL), result);
}

static int replay(struct durabled_context *context, struct durabled_result *result, void *user)
{
    bool replaying = durabled_replaying(context);
    double begin = now_us();
    int rc = run_steps(context, REPLAY_STEPS, NULL);

    (void)user;
    if (rc == DURABLED_OK && replaying)
        bench.replay_us = now_us() - begin;
    if (rc == DURABLED_OK)
        rc = durabled_wait(context, "pause", 1);
    return return_null(rc, result);
}

static int resume(struct durabled_context *context, struct durabled_result *result, void *user)
{
    double wall = wall_us();
    bool replaying = durabled_replaying(context);
    int rc = durabled_wait(context, "pause", 1);
    char text[32];

    (void)user;
    if (rc != DURABLED_OK)
        return rc;
    snprintf(text, sizeof text, "%.0f", replaying ? wall : 0.0);
    return durabled_return(result, text);
}

/* --- figures ----------------------------------------------------------------------------- */

struct figures {
    struct figure fresh, ready, idle;
    struct figure floor_step, step, step_p99, step_cpu;
    struct figure floor_rate, rate, rate_cpu, group;
    struct figure replay;
    struct figure resume_p50, resume_p99;
};

static void measure_start(struct figures *figures)
{
    figure_add(&figures->fresh, harness_start(&bench.harness, NULL) / 1e3);
    harness_stop(&bench.harness);
    figure_add(&figures->ready, harness_start(&bench.harness, NULL) / 1e3);
    figure_add(&figures->idle, process_memory_kib(bench.harness.daemon) / 1024);
}

static void measure_steps(struct figures *figures)
{
    bench.cpu_us = 0;
    run_execution(&bench.harness, "sequential", NULL);
    figure_add(&figures->floor_step, quantile(bench.floor_took, STEPS, 0.5));
    figure_add(&figures->step, quantile(bench.took, STEPS, 0.5));
    figure_add(&figures->step_p99, quantile(bench.took, STEPS, 0.99));
    figure_add(&figures->step_cpu, bench.cpu_us / STEPS);
}

static void measure_burst(struct figures *figures)
{
    const double steps = (double)BLOCKS * BLOCK_EXECUTIONS * BURST_STEPS;
    const double records = (double)BLOCKS * BLOCK_COMMITS * WIDTH;
    double commits = harness_commits(&bench.harness);
    double cpu = process_cpu_us(bench.harness.daemon);
    double elapsed = 0, floor_elapsed = 0;

    for (int i = 0; i < BLOCKS; i++) {
        double begin;

        floor_elapsed += floor_groups(bench.floor, BLOCK_COMMITS, WIDTH);
        begin = now_us();
        run_executions(&bench.harness, "burst", BLOCK_EXECUTIONS);
        elapsed += now_us() - begin;
    }
    figure_add(&figures->floor_rate, records / (floor_elapsed / 1e6));
    figure_add(&figures->rate, steps / (elapsed / 1e6));
    figure_add(&figures->rate_cpu, (process_cpu_us(bench.harness.daemon) - cpu) / steps);
    figure_add(&figures->group, steps / (harness_commits(&bench.harness) - commits));
}

/* The due time of a wait is that of its end in the history. */
static void take_resume(const struct durabled_outcome *outcome)
{
    struct durabled_history history;
    struct durabled_error error;
    double wall = strtod(outcome->result.data, NULL);

    must(durabled_client_history(bench.harness.connection, outcome->arn, 0, false, &history,
                                 &error),
         &error);
    for (size_t i = 0; i < history.len; i++)
        if (strcmp(history.items[i].type, "WaitSucceeded") == 0)
            bench.late[bench.late_len++] = wall - (double)history.items[i].time_ms * 1e3;
    durabled_reply_free(history.reply);
}

static void measure_waits(struct figures *figures)
{
    run_execution(&bench.harness, "replay", NULL);
    figure_add(&figures->replay, bench.replay_us / REPLAY_STEPS);
    /* One at a time: nothing else is due then. */
    bench.late_len = 0;
    for (int i = 0; i < RESUMES; i++)
        run_execution(&bench.harness, "resume", take_resume);
    figure_add(&figures->resume_p50, quantile(bench.late, RESUMES, 0.5));
    figure_add(&figures->resume_p99, quantile(bench.late, RESUMES, 0.99));
}

static void print(const struct figures *figures)
{
    printf("median of %zu runs (min..max)\n", figures->step.len);
    figure_print(&figures->floor_step, "floor: socket, writer thread, LMDB commit", "us");
    figure_print(&figures->step, "durable step, one after another, p50", "us");
    figure_print(&figures->step_p99, "durable step, one after another, p99", "us");
    ratio_print(&figures->step, &figures->floor_step, "  p50 over the floor", "<= 1.15");
    figure_print(&figures->step_cpu, "daemon's CPU a step", "us");
    figure_print(&figures->floor_rate, "floor: LMDB commits of 64 records", "records/s");
    figure_print(&figures->rate, "64 executions of 10 steps at once", "steps/s");
    ratio_print(&figures->rate, &figures->floor_rate, "  over the floor", ">= 0.6");
    figure_print(&figures->rate_cpu, "daemon's CPU a step, 64 at once", "us");
    figure_print(&figures->group, "steps a commit, 64 at once", "");
    figure_print(&figures->replay, "replay, a completed step", "us");
    figure_print(&figures->resume_p50, "resume, due time to handler, p50", "us");
    figure_print(&figures->resume_p99, "resume, due time to handler, p99", "us");
    figure_print(&figures->fresh, "start to first answer, no store yet", "ms");
    figure_print(&figures->ready, "start to first answer", "ms");
    figure_print(&figures->idle, "memory, idle (RssAnon)", "MiB");
}

static void run(const char *program, struct figures *figures)
{
    static const struct durabled_function functions[] = {
        {.name = "sequential", .body = sequential},
        {.name = "burst", .body = burst},
        {.name = "replay", .body = replay},
        {.name = "resume", .body = resume},
    };

    harness_open(&bench.harness, program);
    bench.floor = floor_open(bench.harness.dir);
    measure_start(figures);
    harness_serve(&bench.harness, functions, sizeof functions / sizeof functions[0]);
    measure_steps(figures);
    measure_burst(figures);
    measure_waits(figures);
    harness_serve_end(&bench.harness);
    harness_stop(&bench.harness);
    floor_close(bench.floor);
    harness_close(&bench.harness);
}

int main(int argc, char **argv)
{
    static struct figures figures;
    bool soaking = argc > 2 && strcmp(argv[2], "soak") == 0;
    long count = soaking ? SOAK_EXECUTIONS : 3;

    if (argc > 2 + soaking)
        count = strtol(argv[2 + soaking], NULL, 10);
    if (argc < 2 || argc > 3 + soaking || count < 1 || (!soaking && count > RUNS_MAX)) {
        fprintf(stderr,
                "usage: %s DURABLED [RUNS 1..%d]\n"
                "       %s DURABLED soak [EXECUTIONS]\n",
                argv[0], RUNS_MAX, argv[0]);
        return 2;
    }
    if (soaking) {
        soak(argv[1], count);
        return 0;
    }
    for (long i = 0; i < count; i++)
        run(argv[1], &figures);
    print(&figures);
    return 0;
}
