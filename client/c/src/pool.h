/* Threads for the branches of one batch: at most `size`, made when they are needed,
 * used again. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct job {
    struct job *next;
    void (*run)(struct job *job);
};

struct pool {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    struct job *first, **last;
    size_t waiting; /* jobs that no thread has taken */
    size_t idle;
    size_t size;
    pthread_t *threads;
    size_t threads_len, threads_cap;
    bool closed;
};

void pool_init(struct pool *pool, size_t size);
/* Runs the job on a thread of the pool. 0, or errno: there is no thread for it. */
int pool_submit(struct pool *pool, struct job *job);
/* Waits until every job has ended, and frees. */
void pool_join(struct pool *pool);
