/* See floor.h. */
#include "floor.h"

#include <lmdb.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stats.h"

/* Bytes of one record of a step, key apart, and of one call: as the daemon has them. */
#define RECORD_BYTES 300
#define CALL_BYTES 200

struct writer {
    MDB_env *env;
    MDB_dbi dbi;
    uint64_t next;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    int wanted; /* records to commit; -1: end */
};

struct floor {
    int fd; /* of the server */
    pid_t server;
    struct writer group; /* in this process */
};

static void check(int rc, const char *what)
{
    if (rc)
        die(rc < 0 ? mdb_strerror(rc) : what);
}

static void writer_open(struct writer *writer, const char *dir, const char *name)
{
    char path[256];
    MDB_txn *txn;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (mkdir(path, 0700) != 0)
        die(path);
    memset(writer, 0, sizeof *writer);
    check(mdb_env_create(&writer->env), "mdb_env_create");
    check(mdb_env_set_mapsize(writer->env, (size_t)1 << 32), "mdb_env_set_mapsize");
    check(mdb_env_open(writer->env, path, 0, 0600), path);
    check(mdb_txn_begin(writer->env, NULL, 0, &txn), "mdb_txn_begin");
    check(mdb_dbi_open(txn, NULL, 0, &writer->dbi), "mdb_dbi_open");
    check(mdb_txn_commit(txn), "mdb_txn_commit");
    pthread_mutex_init(&writer->mutex, NULL);
    pthread_cond_init(&writer->cond, NULL);
}

static void commit(struct writer *writer, size_t records)
{
    char bytes[RECORD_BYTES];
    MDB_txn *txn;

    memset(bytes, 7, sizeof bytes);
    check(mdb_txn_begin(writer->env, NULL, 0, &txn), "mdb_txn_begin");
    for (size_t i = 0; i < records; i++) {
        uint64_t number = __builtin_bswap64(writer->next++);
        MDB_val key = {sizeof number, &number}, value = {sizeof bytes, bytes};

        check(mdb_put(txn, writer->dbi, &key, &value, MDB_APPEND), "mdb_put");
    }
    check(mdb_txn_commit(txn), "mdb_txn_commit");
}

static void *write_records(void *argument)
{
    struct writer *writer = argument;

    pthread_mutex_lock(&writer->mutex);
    while (writer->wanted >= 0) {
        if (writer->wanted == 0) {
            pthread_cond_wait(&writer->cond, &writer->mutex);
            continue;
        }
        pthread_mutex_unlock(&writer->mutex);
        commit(writer, 1);
        pthread_mutex_lock(&writer->mutex);
        writer->wanted = 0;
        pthread_cond_broadcast(&writer->cond);
    }
    pthread_mutex_unlock(&writer->mutex);
    return NULL;
}

/* The child: answers each call once its record is committed. */
static void serve(int fd, const char *dir)
{
    struct writer writer;
    char call[CALL_BYTES];
    pthread_t thread;

    writer_open(&writer, dir, "floor-step");
    pthread_create(&thread, NULL, write_records, &writer);
    while (recv(fd, call, sizeof call, MSG_WAITALL) == (ssize_t)sizeof call) {
        pthread_mutex_lock(&writer.mutex);
        writer.wanted = 1;
        pthread_cond_broadcast(&writer.cond);
        while (writer.wanted == 1)
            pthread_cond_wait(&writer.cond, &writer.mutex);
        pthread_mutex_unlock(&writer.mutex);
        if (send(fd, call, sizeof call, 0) != (ssize_t)sizeof call)
            break;
    }
    _exit(0);
}

struct floor *floor_open(const char *dir)
{
    struct floor *floor = calloc(1, sizeof *floor);
    int ends[2];

    if (!floor || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        die("socketpair");
    floor->server = fork();
    if (floor->server < 0)
        die("fork");
    if (floor->server == 0) {
        close(ends[0]);
        serve(ends[1], dir);
    }
    close(ends[1]);
    floor->fd = ends[0];
    writer_open(&floor->group, dir, "floor-group");
    return floor;
}

void floor_close(struct floor *floor)
{
    close(floor->fd);
    waitpid(floor->server, NULL, 0);
    mdb_env_close(floor->group.env);
    free(floor);
}

void floor_rounds(struct floor *floor, size_t rounds, double *took)
{
    char call[CALL_BYTES] = {0};

    for (size_t i = 0; i < rounds; i++) {
        double begin = now_us();

        if (send(floor->fd, call, sizeof call, 0) != (ssize_t)sizeof call ||
            recv(floor->fd, call, sizeof call, MSG_WAITALL) != (ssize_t)sizeof call)
            die("the floor's server");
        took[i] = now_us() - begin;
    }
}

double floor_groups(struct floor *floor, size_t commits, size_t width)
{
    double begin = now_us();

    for (size_t i = 0; i < commits; i++)
        commit(&floor->group, width);
    return now_us() - begin;
}
