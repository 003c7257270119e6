/* Speed, as ratios against a floor measured in the same run.
 *
 *   durabled_bench DURABLED [RUNS]
 *
 * Starts the daemon named on data of its own below the current directory, serves
 * functions with libdurabled in this process, and measures from inside the handlers.
 * README.md says what each figure means.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "durabled.h"
#include "floor.h"
#include "stats.h"

#define SEQUENTIAL_STEPS 1000
#define BURST_WIDTH 64
#define BURST_STEPS 10
#define BURST_EXECUTIONS 2000
#define REPLAY_STEPS 2000
#define RESUMES 20
#define SOAK_EXECUTIONS 2560

struct bench {
    const char *program;
    char dir[64];
    char socket[96];
    pid_t daemon;
    struct durabled *connection;
    struct durabled_worker *worker;
    pthread_t thread;
    double took[SEQUENTIAL_STEPS]; /* of each step of the sequential run */
    _Atomic double replay_us;      /* of the whole replayed invocation */
    double late[RESUMES];          /* from the due time to the handler, of each resumed one */
    size_t late_len;
};

static struct bench bench;

static void must(int rc, const struct durabled_error *error)
{
    if (rc == DURABLED_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", durabled_code_name(rc), error->text);
    exit(1);
}

/* --- handlers ---------------------------------------------------------------------------- */

static int small(const struct durabled_attempt *attempt, struct durabled_result *result,
                 void *user)
{
    (void)attempt;
    (void)user;
    return durabled_return(result, "42");
}

static int run_steps(struct durabled_context *context, int steps, double *took)
{
    int rc = DURABLED_OK;

    for (int i = 0; i < steps && rc == DURABLED_OK; i++) {
        double begin = now_us();

        rc = durabled_step(context, "step", NULL, small, NULL, NULL);
        if (took)
            took[i] = now_us() - begin;
    }
    return rc;
}

static int sequential(struct durabled_context *context, struct durabled_result *result,
                      void *user)
{
    int rc = run_steps(context, SEQUENTIAL_STEPS, bench.took);

    (void)user;
    return rc == DURABLED_OK ? durabled_return(result, "null") : rc;
}

static int burst(struct durabled_context *context, struct durabled_result *result, void *user)
{
    int rc = run_steps(context, BURST_STEPS, NULL);

    (void)user;
    return rc == DURABLED_OK ? durabled_return(result, "null") : rc;
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
    return rc == DURABLED_OK ? durabled_return(result, "null") : rc;
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

static int waits(struct durabled_context *context, struct durabled_result *result, void *user)
{
    int rc = run_steps(context, 1, NULL);

    (void)user;
    if (rc == DURABLED_OK)
        rc = durabled_wait(context, "pause", 1);
    return rc == DURABLED_OK ? durabled_return(result, "null") : rc;
}

/* --- the daemon and the worker --------------------------------------------------------------
 */

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* Microseconds from the start of the program to its first answer. */
static double start_daemon(void)
{
    double begin = now_us();
    char data[96];

    snprintf(data, sizeof data, "%s/data", bench.dir);
    bench.daemon = fork();
    if (bench.daemon < 0)
        die("fork");
    if (bench.daemon == 0) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, STDERR_FILENO);
        execl(bench.program, bench.program, "serve", "--data", data, "--socket", bench.socket,
              (char *)NULL);
        _exit(127);
    }
    while (durabled_open(bench.socket, &bench.connection, NULL) != DURABLED_OK) {
        if (waitpid(bench.daemon, NULL, WNOHANG) != 0)
            die(bench.program);
        usleep(100);
    }
    return now_us() - begin;
}

static void stop_daemon(void)
{
    durabled_close(bench.connection);
    kill(bench.daemon, SIGTERM);
    waitpid(bench.daemon, NULL, 0);
}

static void *serve(void *argument)
{
    struct durabled_error error;

    (void)argument;
    must(durabled_worker_run(bench.worker, &error), &error);
    return NULL;
}

static void start_worker(void)
{
    static const struct durabled_function functions[] = {
        {.name = "sequential", .body = sequential}, {.name = "burst", .body = burst},
        {.name = "replay", .body = replay},         {.name = "resume", .body = resume},
        {.name = "waits", .body = waits},
    };
    const struct durabled_worker_config config = {
        .socket = bench.socket,
        .functions = functions,
        .functions_len = sizeof functions / sizeof functions[0],
        .concurrency = BURST_WIDTH,
    };
    struct durabled_functions known = {0};
    struct durabled_error error;

    must(durabled_worker_new(&config, &bench.worker, &error), &error);
    if (pthread_create(&bench.thread, NULL, serve, NULL) != 0)
        die("pthread_create");
    do {
        durabled_reply_free(known.reply);
        must(durabled_client_functions(bench.connection, &known, &error), &error);
    } while (known.len < config.functions_len);
    durabled_reply_free(known.reply);
}

static void stop_worker(void)
{
    durabled_worker_stop(bench.worker);
    pthread_join(bench.thread, NULL);
    durabled_worker_free(bench.worker);
}

/* One execution from start to its end; `visit` sees the outcome. */
static void run_execution(const char *function,
                          void (*visit)(const struct durabled_outcome *outcome))
{
    struct durabled_outcome outcome;
    struct durabled_started started;
    struct durabled_error error;

    must(durabled_client_start(bench.connection, function, NULL, &started, &error), &error);
    must(durabled_client_wait(bench.connection, started.arn, -1, &outcome, &error), &error);
    if (strcmp(outcome.status, "SUCCEEDED") != 0)
        die(outcome.status);
    if (visit)
        visit(&outcome);
    durabled_reply_free(outcome.reply);
    durabled_reply_free(started.reply);
}

struct load {
    const char *function;
    _Atomic long left;
};

static void *drive(void *argument)
{
    struct load *load = argument;

    while (atomic_fetch_sub(&load->left, 1) > 0)
        run_execution(load->function, NULL);
    return NULL;
}

/* `count` executions, `width` of them at any time. */
static void run_executions(const char *function, long count, int width)
{
    struct load load = {.function = function, .left = count};
    pthread_t threads[BURST_WIDTH];

    for (int i = 0; i < width; i++)
        if (pthread_create(&threads[i], NULL, drive, &load) != 0)
            die("pthread_create");
    for (int i = 0; i < width; i++)
        pthread_join(threads[i], NULL);
}

/* --- figures -------------------------------------------------------------------------------
 */

struct figures {
    struct figure ready, idle;
    struct figure floor_step, step, step_p99, step_cpu;
    struct figure floor_rate, rate, rate_cpu, group;
    struct figure replay;
    struct figure resume_p50, resume_p99;
};

static void take_resume(const struct durabled_outcome *outcome)
{
    struct durabled_history history;
    struct durabled_error error;
    double wall = strtod(outcome->result.data, NULL);

    must(durabled_client_history(bench.connection, outcome->arn, 0, false, &history, &error),
         &error);
    for (size_t i = 0; i < history.len; i++)
        if (strcmp(history.items[i].type, "WaitSucceeded") == 0)
            bench.late[bench.late_len++] = wall - (double)history.items[i].time_ms * 1e3;
    durabled_reply_free(history.reply);
}

static void measure_floor(struct figures *figures)
{
    char dir[96];

    snprintf(dir, sizeof dir, "%s/floor-step", bench.dir);
    mkdir(dir, 0700);
    figure_add(&figures->floor_step, floor_step_us(dir, SEQUENTIAL_STEPS));
    snprintf(dir, sizeof dir, "%s/floor-group", bench.dir);
    mkdir(dir, 0700);
    figure_add(&figures->floor_rate, floor_group_rate(dir, 400, BURST_WIDTH));
}

static void read_status(double *commits, double *bytes)
{
    struct durabled_status status;
    struct durabled_error error;

    must(durabled_client_status(bench.connection, &status, &error), &error);
    *commits = (double)status.commits;
    *bytes = (double)status.store_bytes;
    durabled_reply_free(status.reply);
}

static void measure_steps(struct figures *figures)
{
    double cpu = process_cpu_us(bench.daemon), begin, elapsed;
    size_t steps = (size_t)BURST_EXECUTIONS * BURST_STEPS;
    double before, after, bytes;

    run_execution("sequential", NULL);
    cpu = process_cpu_us(bench.daemon) - cpu;
    figure_add(&figures->step, quantile(bench.took, SEQUENTIAL_STEPS, 0.5));
    figure_add(&figures->step_p99, quantile(bench.took, SEQUENTIAL_STEPS, 0.99));
    figure_add(&figures->step_cpu, cpu / SEQUENTIAL_STEPS);
    read_status(&before, &bytes);
    cpu = process_cpu_us(bench.daemon);
    begin = now_us();
    run_executions("burst", BURST_EXECUTIONS, BURST_WIDTH);
    elapsed = now_us() - begin;
    cpu = process_cpu_us(bench.daemon) - cpu;
    figure_add(&figures->rate, (double)steps / (elapsed / 1e6));
    read_status(&after, &bytes);
    figure_add(&figures->rate_cpu, cpu / (double)steps);
    figure_add(&figures->group, (double)steps / (after - before));
}

static void measure_waits(struct figures *figures)
{
    run_execution("replay", NULL);
    figure_add(&figures->replay, bench.replay_us / REPLAY_STEPS);
    /* One at a time: nothing else is due then. */
    bench.late_len = 0;
    for (int i = 0; i < RESUMES; i++)
        run_execution("resume", take_resume);
    figure_add(&figures->resume_p50, quantile(bench.late, RESUMES, 0.5));
    figure_add(&figures->resume_p99, quantile(bench.late, RESUMES, 0.99));
}

/* Executions that come, wait and end: what each tenth of them adds to memory. */
static void measure_soak(void)
{
    double first = 0, last = 0, commits, before, after;

    read_status(&commits, &before);
    for (int tenth = 1; tenth <= 10; tenth++) {
        run_executions("waits", SOAK_EXECUTIONS / 10, BURST_WIDTH);
        last = process_memory_kib(bench.daemon) / 1024;
        if (tenth == 1)
            first = last;
    }
    printf("  %-44s %10.1f MiB after %d, %.1f after %d\n", "memory", first,
           SOAK_EXECUTIONS / 10, last, SOAK_EXECUTIONS);
    read_status(&commits, &after);
    printf("  %-44s %10.0f bytes\n", "store, an execution of a step and a wait",
           (after - before) / SOAK_EXECUTIONS);
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
    figure_print(&figures->ready, "start to first answer", "ms");
    figure_print(&figures->idle, "memory, idle (RssAnon)", "MiB");
}

static void run(struct figures *figures, bool soak)
{
    snprintf(bench.dir, sizeof bench.dir, "./bench-XXXXXX");
    if (!mkdtemp(bench.dir))
        die(bench.dir);
    snprintf(bench.socket, sizeof bench.socket, "%s/s", bench.dir);
    measure_floor(figures);
    figure_add(&figures->ready, start_daemon() / 1e3);
    figure_add(&figures->idle, process_memory_kib(bench.daemon) / 1024);
    start_worker();
    measure_steps(figures);
    measure_waits(figures);
    if (soak)
        measure_soak();
    stop_worker();
    stop_daemon();
    nftw(bench.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv)
{
    static struct figures figures;
    int runs = argc > 2 ? atoi(argv[2]) : 3;

    if (argc < 2 || runs < 1 || runs > RUNS_MAX) {
        fprintf(stderr, "usage: %s DURABLED [RUNS 1..%d]\n", argv[0], RUNS_MAX);
        return 2;
    }
    bench.program = argv[1];
    for (int i = 0; i < runs; i++)
        run(&figures, i == runs - 1);
    print(&figures);
    return 0;
}
