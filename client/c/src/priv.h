/* What the files of libdurabled share: texts, parameters, replies, connections. */
#pragma once

#include <msgpack.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "durabled.h"

/* The protocol's limits, LIMIT_FRAME_MAX and so on. */
#define DD_LIMIT_ROW(name, value) LIMIT_##name = (value),
enum limit {
#include "proto/limits.inc"
};
#undef DD_LIMIT_ROW

#define FRAME_MAX ((size_t)LIMIT_FRAME_MAX)

/* --- errors ------------------------------------------------------------------------------ */

/* Fills `error` (NULL is allowed) and returns `code`. */
int error_set(struct durabled_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- texts, failures --------------------------------------------------------------------- */

/* Copies `len` bytes and a NUL into `out`, which was empty; false: no memory. */
bool text_copy(struct durabled_text *out, const char *data, size_t len);
void failure_clear(struct durabled_failure *failure);
bool failure_copy(struct durabled_failure *out, const struct durabled_failure *from);
bool failure_is_empty(const struct durabled_failure *failure);
/* Reads an ErrorObject into `out`, which was empty; false: no memory. */
bool failure_read(struct durabled_failure *out, const msgpack_object *object);

/* --- reading answers --------------------------------------------------------------------- */

/* The member `key` of a map; NULL when there is none, it is nil, or `map` is no map. */
const msgpack_object *map_get(const msgpack_object *map, const char *key);
int64_t map_int(const msgpack_object *map, const char *key, int64_t otherwise);
bool map_bool(const msgpack_object *map, const char *key);
/* A str member as it lies in the frame, without a NUL; absent: data NULL. */
struct durabled_text map_text(const msgpack_object *map, const char *key);
bool map_text_is(const msgpack_object *map, const char *key, const char *text);

/* --- writing parameters ------------------------------------------------------------------ */

/* One map under construction; failed allocations show when it is sent. */
struct params {
    msgpack_sbuffer body;
    msgpack_packer packer;
    uint32_t members;
    bool failed;    /* no memory */
    bool too_large; /* a text of it is longer than a message may be, and not in it */
};

void params_init(struct params *params);
void params_free(struct params *params);
void params_key(struct params *params, const char *key);
void params_text(struct params *params, const char *key, const char *text);
void params_text_len(struct params *params, const char *key, const char *text, size_t len);
void params_int(struct params *params, const char *key, int64_t value);
void params_float(struct params *params, const char *key, double value);
void params_bool(struct params *params, const char *key, bool value);
/* Copies what `map` holds. */
void params_map(struct params *params, const char *key, const struct params *map);
void params_failure(struct params *params, const char *key,
                    const struct durabled_failure *failure);
/* The next value is packed by hand with these. */
void pack_text(msgpack_packer *packer, const char *text, size_t len);

/* --- frames ------------------------------------------------------------------------------ */

/* Finds the end of one MessagePack value in a buffer that grows; each byte is
 * looked at once. */
struct scan {
    size_t at;
    uint64_t wanted; /* values still to come */
};

void scan_start(struct scan *scan);
/* 1: a value ends at scan->at. 0: more bytes are needed. -1: over the limits. */
int scan_feed(struct scan *scan, const uint8_t *data, size_t len);

/* --- replies ----------------------------------------------------------------------------- */

struct durabled_reply {
    char *frame;      /* objects point into it */
    size_t result_at; /* where the result lies in the frame */
    size_t result_len;
    msgpack_zone zone;
    msgpack_object error;
    msgpack_object result;
};

/* Memory that lives as long as the reply; NULL: none left. */
void *reply_alloc(struct durabled_reply *reply, size_t count, size_t size);
/* A member of `map` as a text with a NUL; NULL when absent. */
const char *reply_cstr(struct durabled_reply *reply, const msgpack_object *map,
                       const char *key);
struct durabled_text reply_text(struct durabled_reply *reply, const msgpack_object *map,
                                const char *key);

/* --- connections ------------------------------------------------------------------------- */

enum call_state { CALL_OPEN, CALL_ANSWERED, CALL_LOST, CALL_UNWOUND };

/* A call without an answer yet, on its caller's stack or in its struct. */
struct call {
    struct call *next; /* of the same bucket */
    uint32_t id;
    enum call_state state;
    bool waiting; /* its caller sleeps on `ready`, which is posted once */
    bool leads;   /* ... and was woken to read for all */
    bool visits;  /* its caller is the guest */
    const void *tag;
    sem_t ready;
    struct durabled_reply *reply;
};

#define CALL_BUCKETS 64

struct durabled {
    int fd;
    int wake;       /* an eventfd: the leader is to look up */
    int guest_wake; /* likewise the guest */
    int poller;     /* an epoll of `fd`: readable while there is no guest */
    pid_t owner;    /* the process that opened it */
    atomic_int refs;
    char *path;
    struct durabled_peer peer;
    char version[64], mode[32];

    pthread_mutex_t write_lock; /* held while one message is written */

    pthread_mutex_t lock; /* guards all below */
    struct call *calls[CALL_BUCKETS];
    uint32_t last_id;
    bool reading;  /* there is a leader */
    bool visited;  /* there is a guest */
    size_t asleep; /* callers on their semaphores, but for those that wait for work */
    bool lost;
    struct durabled_error why;

    pthread_mutex_t read_lock; /* taken before `lock`; guards all below */
    uint8_t *in;
    size_t in_len, in_cap;
    struct scan scan;
};

/* The tag of calls that wait for work. Their answers are for any of their callers. */
extern const char calls_for_work;

/* Sends a call; its answer is had with call_wait(), which must follow unless this
 * fails. Takes the content of `params`, whatever is returned. Calls of one `tag`
 * can be unwound. */
int call_send(struct durabled *connection, struct call *call, const void *tag,
              const char *method, struct params *params, struct durabled_error *error);
/* Waits for the answer. Gives `out_reply` on DURABLED_OK. DURABLED_UNWIND when
 * calls_unwind() came first. */
int call_wait(struct durabled *connection, struct call *call, struct durabled_reply **out_reply,
              struct durabled_error *error);
/* Whether the answer is there already. */
bool call_answered(struct durabled *connection, struct call *call);
/* Both; the common case. */
int call_run(struct durabled *connection, const void *tag, const char *method,
             struct params *params, struct durabled_reply **out_reply,
             struct durabled_error *error);
/* A message that is never answered; dropped when the socket is full. */
int notify_send(struct durabled *connection, const char *method, struct params *params,
                struct durabled_error *error);
/* Every open call of `tag` ends with DURABLED_UNWIND. */
void calls_unwind(struct durabled *connection, const void *tag);
/* Every open call ends with DURABLED_DISCONNECTED, and later ones at once. */
void connection_lost(struct durabled *connection, const char *why);

struct durabled *connection_ref(struct durabled *connection);

/* --- finding the socket ------------------------------------------------------------------ */

/* Connects to the first path that answers; gives the descriptor and its path. */
int socket_find(const char *socket, int *out_fd, char **out_path, struct durabled_error *error);

/* --- sessions, for the worker ------------------------------------------------------------ */

/* An invocation that a worker serves; its session tells where it is. */
struct served {
    struct durabled_invocation invocation;
    pthread_mutex_t lock;
    struct durabled_session *session; /* while it has one */
    bool handed_back;                 /* a stop: unwind at the next call */
};

/* The invocation is handed back: calls of its session end with DURABLED_UNWIND. */
void served_hand_back(struct served *served);
