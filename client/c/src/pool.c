#include "pool.h"

#include <errno.h>
#include <stdlib.h>

void pool_init(struct pool *pool, size_t size)
{
    *pool = (struct pool){.size = size};
    pool->last = &pool->first;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
}

/* With the lock: the next job; NULL: there will be none. */
static struct job *take_job(struct pool *pool)
{
    struct job *job;

    while (!pool->first && !pool->closed) {
        pool->idle++;
        pthread_cond_wait(&pool->changed, &pool->lock);
        pool->idle--;
    }
    job = pool->first;
    if (!job)
        return NULL;
    pool->first = job->next;
    if (!pool->first)
        pool->last = &pool->first;
    pool->waiting--;
    return job;
}

static void *serve_jobs(void *argument)
{
    struct pool *pool = argument;
    struct job *job;

    pthread_mutex_lock(&pool->lock);
    while ((job = take_job(pool)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        job->run(job);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* With the lock: one thread more; 0 or errno. */
static int add_thread(struct pool *pool)
{
    int rc;

    if (pool->threads_len == pool->threads_cap) {
        size_t cap = pool->threads_cap ? 2 * pool->threads_cap : 8;
        pthread_t *grown = realloc(pool->threads, cap * sizeof *grown);

        if (!grown)
            return ENOMEM;
        pool->threads = grown;
        pool->threads_cap = cap;
    }
    rc = pthread_create(&pool->threads[pool->threads_len], NULL, serve_jobs, pool);
    pool->threads_len += rc == 0;
    return rc;
}

int pool_submit(struct pool *pool, struct job *job)
{
    int rc = 0;

    pthread_mutex_lock(&pool->lock);
    /* An idle thread may have been woken and not have taken its job yet. */
    if (pool->waiting >= pool->idle && pool->threads_len < pool->size)
        rc = add_thread(pool);
    if (rc == 0) {
        job->next = NULL;
        *pool->last = job;
        pool->last = &job->next;
        pool->waiting++;
        pthread_cond_signal(&pool->changed);
    }
    pthread_mutex_unlock(&pool->lock);
    return rc;
}

void pool_join(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->closed = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    /* Nothing is submitted any more, so their number stays. */
    for (size_t i = 0; i < pool->threads_len; i++)
        pthread_join(pool->threads[i], NULL);
    free(pool->threads);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->changed);
}
