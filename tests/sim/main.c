/* durabled_sim: runs seeds, spreads them over processes, and says what fired.
 *
 *   durabled_sim [--seeds N] [--from S] [--jobs J] [--coverage] [--outage]
 *   durabled_sim --seed S [-v] [--outage]
 */
#include "tests/sim/sim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct options {
    uint64_t from, seeds;
    int jobs;
    bool verbose, coverage, outage;
};

static void run(const struct options *options, uint64_t seed)
{
    if (options->outage)
        outage_run(seed, options->verbose);
    else
        world_run(seed, options->verbose);
}

/* Waits for one job; false when it found something. */
static bool wait_job(pid_t *pids, int jobs)
{
    int status;
    pid_t pid = wait(&status);

    for (int job = 0; job < jobs; job++)
        if (pids[job] == pid)
            pids[job] = 0;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Each process runs every jobs-th seed, until one finds something. False then. */
static bool run_jobs(const struct options *options)
{
    int pipes[64][2];
    pid_t pids[64];
    bool well = true;

    for (int job = 0; job < options->jobs; job++) {
        if (pipe(pipes[job]) != 0)
            abort();
        fflush(stdout);
        pids[job] = fork();
        if (pids[job] == 0) {
            for (uint64_t i = (uint64_t)job; i < options->seeds; i += (uint64_t)options->jobs)
                run(options, options->from + i);
            coverage_write(pipes[job][1]);
            _Exit(0);
        }
        close(pipes[job][1]);
    }
    /* What a job writes fits its pipe, so that none waits to be read. */
    for (int left = options->jobs; left > 0; left--) {
        well = wait_job(pids, options->jobs) && well;
        for (int job = 0; !well && job < options->jobs; job++)
            if (pids[job] > 0)
                (void)kill(pids[job], SIGKILL);
    }
    for (int job = 0; job < options->jobs; job++) {
        coverage_read(pipes[job][0]);
        close(pipes[job][0]);
    }
    return well;
}

static uint64_t number(char **argv, int argc, int *i)
{
    if (++*i >= argc) {
        fprintf(stderr, "sim: %s wants a number\n", argv[*i - 1]);
        exit(2);
    }
    return strtoull(argv[*i], NULL, 10);
}

int main(int argc, char **argv)
{
    setvbuf(stderr, NULL, _IOLBF, BUFSIZ); /* lines of several processes */
    struct options options = {.from = 1, .seeds = 100, .jobs = 1};
    bool one = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seeds") == 0) {
            options.seeds = number(argv, argc, &i);
        } else if (strcmp(argv[i], "--from") == 0) {
            options.from = number(argv, argc, &i);
        } else if (strcmp(argv[i], "--seed") == 0) {
            options.from = number(argv, argc, &i);
            one = true;
        } else if (strcmp(argv[i], "--jobs") == 0) {
            options.jobs = (int)number(argv, argc, &i);
        } else if (strcmp(argv[i], "-v") == 0) {
            options.verbose = true;
        } else if (strcmp(argv[i], "--coverage") == 0) {
            options.coverage = true;
        } else if (strcmp(argv[i], "--outage") == 0) {
            options.outage = true;
        } else {
            fprintf(stderr, "usage: durabled_sim [--seeds N] [--from S] [--jobs 1..64] "
                            "[--coverage] [--outage] | --seed S [-v] [--outage]\n");
            return 2;
        }
    }
    if (one) {
        run(&options, options.from);
        printf("seed %llu holds\n", (unsigned long long)options.from);
        return 0;
    }
    if (options.jobs < 1 || options.jobs > 64)
        options.jobs = 1;
    if (!run_jobs(&options))
        return 1;
    printf("%llu seeds from %llu hold\n", (unsigned long long)options.seeds,
           (unsigned long long)options.from);
    if (options.coverage && !coverage_print(true)) {
        printf("a row of the coverage table is 0\n");
        return 1;
    }
    return 0;
}
