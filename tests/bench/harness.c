/* See harness.h. */
#include "harness.h"

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

#include "stats.h"

static pthread_t worker_thread;

void must(int rc, const struct durabled_error *error)
{
    if (rc == DURABLED_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", durabled_code_name(rc), error->text);
    exit(1);
}

/* --- the daemon -------------------------------------------------------------------------- */

void harness_open(struct harness *harness, const char *program)
{
    *harness = (struct harness){.program = program, .dir = "./bench-XXXXXX"};
    if (!mkdtemp(harness->dir))
        die(harness->dir);
    snprintf(harness->socket, sizeof harness->socket, "%s/s", harness->dir);
}

double harness_start(struct harness *harness, const char *retention)
{
    double begin = now_us();
    char data[96];

    snprintf(data, sizeof data, "%s/data", harness->dir);
    harness->daemon = fork();
    if (harness->daemon < 0)
        die("fork");
    if (harness->daemon == 0) {
        dup2(open("/dev/null", O_RDWR), STDERR_FILENO);
        if (retention)
            setenv("DURABLED_RETENTION", retention, 1);
        execl(harness->program, harness->program, "serve", "--data", data, "--socket",
              harness->socket, (char *)NULL);
        _exit(127);
    }
    while (durabled_open(harness->socket, &harness->connection, NULL) != DURABLED_OK) {
        if (waitpid(harness->daemon, NULL, WNOHANG) != 0)
            die(harness->program);
        usleep(100);
    }
    return now_us() - begin;
}

void harness_stop(struct harness *harness)
{
    durabled_close(harness->connection);
    kill(harness->daemon, SIGTERM);
    waitpid(harness->daemon, NULL, 0);
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

void harness_close(struct harness *harness)
{
    nftw(harness->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

double harness_commits(struct harness *harness)
{
    struct durabled_status status;
    struct durabled_error error;
    double commits;

    must(durabled_client_status(harness->connection, &status, &error), &error);
    commits = (double)status.commits;
    durabled_reply_free(status.reply);
    return commits;
}

/* --- the worker -------------------------------------------------------------------------- */

static void *serve(void *argument)
{
    struct durabled_error error;

    must(durabled_worker_run(argument, &error), &error);
    return NULL;
}

void harness_serve(struct harness *harness, const struct durabled_function *functions,
                   size_t functions_len)
{
    const struct durabled_worker_config config = {
        .socket = harness->socket,
        .functions = functions,
        .functions_len = functions_len,
        .concurrency = WIDTH,
    };
    struct durabled_functions known = {0};
    struct durabled_error error;

    must(durabled_worker_new(&config, &harness->worker, &error), &error);
    if (pthread_create(&worker_thread, NULL, serve, harness->worker) != 0)
        die("pthread_create");
    do {
        durabled_reply_free(known.reply);
        must(durabled_client_functions(harness->connection, &known, &error), &error);
    } while (known.len < functions_len);
    durabled_reply_free(known.reply);
}

void harness_serve_end(struct harness *harness)
{
    durabled_worker_stop(harness->worker);
    pthread_join(worker_thread, NULL);
    durabled_worker_free(harness->worker);
}

static int answer(const struct durabled_attempt *attempt, struct durabled_result *result,
                  void *user)
{
    (void)attempt;
    (void)user;
    return durabled_return(result, "42");
}

int run_steps(struct durabled_context *context, size_t steps, double *took)
{
    int rc = DURABLED_OK;

    for (size_t i = 0; i < steps && rc == DURABLED_OK; i++) {
        double begin = now_us();

        rc = durabled_step(context, "step", NULL, answer, NULL, NULL);
        if (took)
            took[i] = now_us() - begin;
    }
    return rc;
}

/* --- executions -------------------------------------------------------------------------- */

void run_execution(struct harness *harness, const char *function,
                   void (*visit)(const struct durabled_outcome *outcome))
{
    struct durabled_outcome outcome;
    struct durabled_started started;
    struct durabled_error error;

    must(durabled_client_start(harness->connection, function, NULL, &started, &error), &error);
    must(durabled_client_wait(harness->connection, started.arn, -1, &outcome, &error), &error);
    if (strcmp(outcome.status, "SUCCEEDED") != 0)
        die(outcome.status);
    if (visit)
        visit(&outcome);
    durabled_reply_free(outcome.reply);
    durabled_reply_free(started.reply);
}

struct load {
    struct harness *harness;
    const char *function;
    _Atomic long left;
};

static void *drive(void *argument)
{
    struct load *load = argument;

    while (atomic_fetch_sub(&load->left, 1) > 0)
        run_execution(load->harness, load->function, NULL);
    return NULL;
}

void run_executions(struct harness *harness, const char *function, long count)
{
    struct load load = {harness, function, count};
    pthread_t threads[WIDTH];

    for (int i = 0; i < WIDTH; i++)
        if (pthread_create(&threads[i], NULL, drive, &load) != 0)
            die("pthread_create");
    for (int i = 0; i < WIDTH; i++)
        pthread_join(threads[i], NULL);
}
