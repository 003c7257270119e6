/* Connections: calls out, answers back, matched by id in any order.
 *
 * Any number of threads call at once. One of those that wait is the leader: it
 * reads for all and hands each answer to its caller. When its own answer is there
 * it names another leader. So no thread of the library's own is needed, and one
 * caller alone reads its answer without a switch of threads.
 *
 * The leader of a worker is mostly a thread that waits for work. Who alone waits for
 * another answer then is its guest: reads for all while the leader sleeps on, until that
 * answer is there, which so takes no switch of threads either. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "priv.h"
#include "proto/level.h"

_Static_assert(DURABLED_LEVEL == DD_LEVEL, "durabled.h names the level of the protocol");

#define HELLO_PATIENCE_MS 5000
#define READ_STEP ((size_t)64 * 1024)

const char calls_for_work;

/* --- replies ----------------------------------------------------------------------------- */

void durabled_reply_free(struct durabled_reply *reply)
{
    if (!reply)
        return;
    msgpack_zone_destroy(&reply->zone);
    free(reply->frame);
    free(reply);
}

const void *durabled_reply_bytes(const struct durabled_reply *reply, size_t *out_len)
{
    *out_len = reply->result_len;
    return reply->frame + reply->result_at;
}

void *reply_alloc(struct durabled_reply *reply, size_t count, size_t size)
{
    void *memory;

    if (count > FRAME_MAX || size > FRAME_MAX)
        return NULL;
    memory = msgpack_zone_malloc(&reply->zone, count * size + 1);
    if (memory)
        memset(memory, 0, count * size + 1);
    return memory;
}

struct durabled_text reply_text(struct durabled_reply *reply, const msgpack_object *map,
                                const char *key)
{
    struct durabled_text text = map_text(map, key);
    char *copy;

    if (!text.data)
        return text;
    copy = msgpack_zone_malloc_no_align(&reply->zone, text.len + 1);
    if (!copy)
        return (struct durabled_text){0};
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    text.data = copy;
    return text;
}

const char *reply_cstr(struct durabled_reply *reply, const msgpack_object *map, const char *key)
{
    return reply_text(reply, map, key).data;
}

/* The end of the value that begins at `at`; the frame is whole. */
static size_t skip_value(const char *frame, size_t len, size_t at)
{
    struct scan scan;

    scan_start(&scan);
    if (scan_feed(&scan, (const uint8_t *)frame + at, len - at) != 1)
        return len;
    return at + scan.at;
}

/* Takes `frame`. Gives the reply of a response message, NULL when it is none. */
static struct durabled_reply *reply_new(char *frame, size_t len, uint32_t *out_id)
{
    struct durabled_reply *reply = calloc(1, sizeof *reply);
    const msgpack_object *part;
    msgpack_object message;
    size_t offset = 0;

    if (!reply || !msgpack_zone_init(&reply->zone, MSGPACK_ZONE_CHUNK_SIZE)) {
        free(reply);
        free(frame);
        return NULL;
    }
    reply->frame = frame;
    if (msgpack_unpack(frame, len, &offset, &reply->zone, &message) < 0 ||
        message.type != MSGPACK_OBJECT_ARRAY || message.via.array.size != 4)
        goto bad;
    part = message.via.array.ptr;
    if (part[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER || part[0].via.u64 != 1 ||
        part[1].type != MSGPACK_OBJECT_POSITIVE_INTEGER || part[1].via.u64 > UINT32_MAX)
        goto bad;
    *out_id = (uint32_t)part[1].via.u64;
    reply->error = part[2];
    reply->result = part[3];
    /* An array of four has a header of one byte, of three or of five. */
    reply->result_at = (uint8_t)frame[0] == 0x94 ? 1 : (uint8_t)frame[0] == 0xdc ? 3 : 5;
    for (int i = 0; i < 3; i++)
        reply->result_at = skip_value(frame, len, reply->result_at);
    reply->result_len = len - reply->result_at;
    return reply;
bad:
    durabled_reply_free(reply);
    return NULL;
}

/* --- the table of open calls ------------------------------------------------------------- */

static struct call **calls_slot(struct durabled *connection, uint32_t id)
{
    struct call **slot = &connection->calls[id % CALL_BUCKETS];

    while (*slot && (*slot)->id != id)
        slot = &(*slot)->next;
    return slot;
}

/* A full counter wakes as well. */
static void reader_wake(int wake)
{
    static const uint64_t one = 1;

    if (write(wake, &one, sizeof one) < 0)
        return;
}

/* With the lock: takes the call out of the table. True when its caller sleeps: then it
 * is to be woken, best without the lock, which it may want next. One that reads for all
 * is woken here, unless it is the caller of this (`own`). */
static bool call_finish(struct durabled *connection, const struct call *own, struct call *call,
                        enum call_state state)
{
    struct call **slot = calls_slot(connection, call->id);

    if (*slot == call)
        *slot = call->next;
    call->state = state;
    connection->asleep -= call->waiting && call->tag != &calls_for_work;
    if (call != own && call->leads)
        reader_wake(connection->wake);
    if (call != own && call->visits)
        reader_wake(connection->guest_wake);
    return call->waiting;
}

/* A caller that sleeps has no other way to go on, so the call is there until now. */
static void call_wake(struct call *call)
{
    sem_post(&call->ready);
}

static void lose(struct durabled *connection, const char *why)
{
    if (connection->lost)
        return;
    connection->lost = true;
    error_set(&connection->why, DURABLED_DISCONNECTED, "the connection to durabled is lost: %s",
              why);
    /* Wakes a leader that sleeps in poll() and ends what others still send. */
    (void)shutdown(connection->fd, SHUT_RDWR);
    for (size_t i = 0; i < CALL_BUCKETS; i++)
        while (connection->calls[i]) {
            struct call *call = connection->calls[i];

            if (call_finish(connection, NULL, call, CALL_LOST))
                call_wake(call);
        }
}

void connection_lost(struct durabled *connection, const char *why)
{
    pthread_mutex_lock(&connection->lock);
    lose(connection, why);
    pthread_mutex_unlock(&connection->lock);
}

void calls_unwind(struct durabled *connection, const void *tag)
{
    pthread_mutex_lock(&connection->lock);
    for (size_t i = 0; i < CALL_BUCKETS; i++) {
        struct call *call = connection->calls[i], *next;

        for (; call; call = next) {
            next = call->next;
            if (call->tag == tag && call_finish(connection, NULL, call, CALL_UNWOUND))
                call_wake(call);
        }
    }
    pthread_mutex_unlock(&connection->lock);
}

/* --- reading: the leader, or its guest --------------------------------------------------- */

static void calls_add(struct durabled *connection, struct call *call)
{
    struct call **bucket = &connection->calls[call->id % CALL_BUCKETS];

    call->next = *bucket;
    *bucket = call;
}

/* With the lock: work that has come for another is for the reader, if it waits for some:
 * then no other thread need wake. The other waits on, for the answer to the reader's call. */
static struct call *take_work(struct durabled *connection, struct call *own, struct call *call)
{
    uint32_t id = own->id;

    if (call->tag != &calls_for_work || own->tag != &calls_for_work || call == own ||
        own->state != CALL_OPEN)
        return call;
    *calls_slot(connection, own->id) = own->next;
    *calls_slot(connection, call->id) = call->next;
    own->id = call->id;
    call->id = id;
    calls_add(connection, own);
    calls_add(connection, call);
    return own;
}

/* A whole message: to its caller. An answer that nobody waits for is dropped. */
static bool take_message(struct durabled *connection, struct call *own, const uint8_t *data,
                         size_t len)
{
    char *frame = malloc(len);
    struct durabled_reply *reply;
    struct call *call;
    uint32_t id = 0;
    bool waits = false;

    if (!frame)
        return false;
    memcpy(frame, data, len);
    reply = reply_new(frame, len, &id);
    if (!reply)
        return false;
    pthread_mutex_lock(&connection->lock);
    call = *calls_slot(connection, id);
    if (call && own)
        call = take_work(connection, own, call);
    if (call) {
        call->reply = reply;
        waits = call_finish(connection, own, call, CALL_ANSWERED);
    }
    pthread_mutex_unlock(&connection->lock);
    if (waits)
        call_wake(call);
    else if (!call)
        durabled_reply_free(reply);
    return true;
}

/* Takes every whole message from the buffer; NULL, or why the bytes are no good. */
static const char *take_messages(struct durabled *connection, struct call *own)
{
    size_t start = 0;
    int found = 0;

    while (start < connection->in_len) {
        found =
            scan_feed(&connection->scan, connection->in + start, connection->in_len - start);
        if (found <= 0)
            break;
        if (!take_message(connection, own, connection->in + start, connection->scan.at))
            return "it sent what is no answer";
        start += connection->scan.at;
        scan_start(&connection->scan);
    }
    if (start > 0) {
        connection->in_len -= start;
        memmove(connection->in, connection->in + start, connection->in_len);
    }
    return found < 0 ? "it sent a message over the limits" : NULL;
}

static bool make_room(struct durabled *connection)
{
    size_t cap = connection->in_cap ? 2 * connection->in_cap : READ_STEP;
    uint8_t *grown;

    if (connection->in_cap - connection->in_len >= READ_STEP / 2)
        return true;
    grown = realloc(connection->in, cap);
    if (!grown)
        return false;
    connection->in = grown;
    connection->in_cap = cap;
    return true;
}

/* With the lock for reading. */
static const char *read_locked(struct durabled *connection, struct call *own)
{
    ssize_t len;

    if (!make_room(connection))
        return "out of memory";
    len = recv(connection->fd, connection->in + connection->in_len,
               connection->in_cap - connection->in_len, MSG_DONTWAIT);
    if (len == 0)
        return "the daemon closed it";
    if (len < 0)
        return errno == EAGAIN || errno == EINTR ? NULL : strerror(errno);
    connection->in_len += (size_t)len;
    return take_messages(connection, own);
}

/* Reads what is there, once; NULL, or why the connection is lost. `own`: the caller's
 * call, NULL when it has none. */
static const char *read_some(struct durabled *connection, struct call *own)
{
    const char *why;

    pthread_mutex_lock(&connection->read_lock);
    why = read_locked(connection, own);
    pthread_mutex_unlock(&connection->read_lock);
    return why;
}

/* One turn of the leader or the guest, without the lock: sleeps until bytes come, takes
 * them. */
static void lead(struct durabled *connection, struct call *own, int patience_ms)
{
    int wake = own->visits ? connection->guest_wake : connection->wake;
    struct pollfd pollers[] = {
        {.fd = own->visits ? connection->fd : connection->poller, .events = POLLIN},
        {.fd = wake, .events = POLLIN}};
    int ready = poll(pollers, 2, patience_ms);
    const char *why = NULL;
    uint64_t wakes;

    if (ready > 0 && pollers[1].revents && read(wake, &wakes, sizeof wakes) < 0)
        why = errno == EAGAIN ? NULL : strerror(errno);
    else if (ready > 0 && pollers[0].revents)
        why = read_some(connection, own);
    else if (ready == 0)
        why = "the daemon does not answer";
    else if (ready < 0 && errno != EINTR)
        why = strerror(errno);
    if (why)
        connection_lost(connection, why);
}

/* With the lock: the leader leaves; somebody who waits reads on, best for work, since
 * that takes long. */
static void name_leader(struct durabled *connection)
{
    struct call *next = NULL;

    for (size_t i = 0; i < CALL_BUCKETS && !(next && next->tag == &calls_for_work); i++)
        for (struct call *call = connection->calls[i]; call; call = call->next)
            if (call->waiting && (!next || call->tag == &calls_for_work))
                next = call;
    connection->reading = next != NULL;
    if (!next)
        return;
    connection->asleep -= next->tag != &calls_for_work;
    next->waiting = false;
    next->leads = true;
    call_wake(next);
}

/* With the lock: from now on there is a guest, or none. The leader sleeps on while there
 * is. */
static void set_visited(struct durabled *connection, bool visited)
{
    struct epoll_event event = {.events = visited ? 0 : EPOLLIN};

    connection->visited = visited;
    (void)epoll_ctl(connection->poller, EPOLL_CTL_MOD, connection->fd, &event);
}

/* --- writing ----------------------------------------------------------------------------- */

/* The socket takes no more now. The daemon may itself wait until we read, so
 * read if nobody does. */
static bool wait_writable(struct durabled *connection)
{
    struct pollfd poller = {.fd = connection->fd, .events = POLLOUT};
    bool leader, lost;

    pthread_mutex_lock(&connection->lock);
    leader = !connection->reading;
    connection->reading = true;
    lost = connection->lost;
    pthread_mutex_unlock(&connection->lock);
    if (leader)
        poller.events |= POLLIN;
    if (!lost && poll(&poller, 1, 1000) > 0 && leader && (poller.revents & POLLIN)) {
        const char *why = read_some(connection, NULL);

        if (why)
            connection_lost(connection, why);
    }
    pthread_mutex_lock(&connection->lock);
    if (leader)
        name_leader(connection);
    lost = connection->lost;
    pthread_mutex_unlock(&connection->lock);
    return !lost;
}

/* `droppable`: not written at all when the socket is full, so that nobody waits. */
static bool write_all(struct durabled *connection, struct iovec *parts, size_t count,
                      bool droppable)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};

    while (message.msg_iovlen > 0) {
        ssize_t sent = sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0) {
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN && droppable)
                return true;
            if (errno != EAGAIN || !wait_writable(connection))
                return false;
            continue;
        }
        droppable = false; /* what has begun must end */
        while (message.msg_iovlen > 0 && (size_t)sent >= message.msg_iov->iov_len) {
            sent -= (ssize_t)message.msg_iov->iov_len;
            message.msg_iov++;
            message.msg_iovlen--;
        }
        if (message.msg_iovlen > 0) {
            message.msg_iov->iov_base = (char *)message.msg_iov->iov_base + sent;
            message.msg_iov->iov_len -= (size_t)sent;
        }
    }
    return true;
}

/* [0, id, method, [params]], or [2, method, [params]] when `call` is NULL. */
static int message_send(struct durabled *connection, const struct call *call,
                        const char *method, struct params *params, struct durabled_error *error)
{
    msgpack_sbuffer head;
    msgpack_packer packer;
    struct iovec parts[2];
    bool sent, too_large;

    msgpack_sbuffer_init(&head);
    msgpack_packer_init(&packer, &head, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, call ? 4 : 3);
    msgpack_pack_int(&packer, call ? 0 : 2);
    if (call)
        msgpack_pack_uint32(&packer, call->id);
    pack_text(&packer, method, strlen(method));
    msgpack_pack_array(&packer, 1);
    if (msgpack_pack_map(&packer, params->members) != 0)
        params->failed = true;
    too_large = params->too_large || head.size + params->body.size > FRAME_MAX;
    if (params->failed || too_large) {
        msgpack_sbuffer_destroy(&head);
        return too_large
                   ? error_set(error, DURABLED_USAGE, "%s: larger than one message may be: %zu",
                               method, FRAME_MAX)
                   : error_set(error, DURABLED_NO_MEMORY, "%s: out of memory", method);
    }
    parts[0] = (struct iovec){head.data, head.size};
    parts[1] = (struct iovec){params->body.data, params->body.size};
    pthread_mutex_lock(&connection->write_lock);
    sent = write_all(connection, parts, params->body.size > 0 ? 2 : 1, !call);
    pthread_mutex_unlock(&connection->write_lock);
    msgpack_sbuffer_destroy(&head);
    if (!sent)
        connection_lost(connection, "the daemon takes no more bytes");
    return DURABLED_OK;
}

/* --- calls ------------------------------------------------------------------------------- */

static int check_owner(const struct durabled *connection, struct durabled_error *error)
{
    if (getpid() == connection->owner)
        return DURABLED_OK;
    return error_set(error, DURABLED_USAGE,
                     "this connection belongs to process %ld; a fork must open its own",
                     (long)connection->owner);
}

int call_send(struct durabled *connection, struct call *call, const void *tag,
              const char *method, struct params *params, struct durabled_error *error)
{
    int rc = check_owner(connection, error);
    bool lost;

    *call = (struct call){.tag = tag, .state = CALL_OPEN};
    if (rc != DURABLED_OK) {
        params_free(params);
        return rc;
    }
    sem_init(&call->ready, 0, 0);
    pthread_mutex_lock(&connection->lock);
    lost = connection->lost;
    call->id = ++connection->last_id;
    if (lost)
        call->state = CALL_LOST;
    else
        calls_add(connection, call);
    pthread_mutex_unlock(&connection->lock);
    if (!lost)
        rc = message_send(connection, call, method, params, error);
    params_free(params);
    if (rc != DURABLED_OK) {
        pthread_mutex_lock(&connection->lock);
        if (call->state == CALL_OPEN)
            (void)call_finish(connection, call, call, CALL_LOST);
        pthread_mutex_unlock(&connection->lock);
        durabled_reply_free(call->reply);
        sem_destroy(&call->ready);
    }
    return rc;
}

/* Reads for all, as leader or guest, until the call has its answer. */
static void lead_for(struct durabled *connection, struct call *call)
{
    pthread_mutex_lock(&connection->lock);
    while (call->state == CALL_OPEN) {
        int patience_ms = connection->peer.level == 0 ? HELLO_PATIENCE_MS : -1;

        pthread_mutex_unlock(&connection->lock);
        lead(connection, call, patience_ms);
        pthread_mutex_lock(&connection->lock);
    }
    if (call->visits)
        set_visited(connection, false);
    else
        name_leader(connection);
    pthread_mutex_unlock(&connection->lock);
}

/* Waits; leads when nobody does, and is the leader's guest when nobody else might be. */
static void await_answer(struct durabled *connection, struct call *call)
{
    bool waits;

    pthread_mutex_lock(&connection->lock);
    if (call->state == CALL_OPEN) {
        bool works = call->tag != &calls_for_work;

        call->leads = !connection->reading;
        call->visits = !call->leads && works && !connection->visited && connection->asleep == 0;
        call->waiting = !call->leads && !call->visits;
        connection->reading = true;
        connection->asleep += call->waiting && works;
        if (call->visits)
            set_visited(connection, true);
    }
    waits = call->waiting;
    pthread_mutex_unlock(&connection->lock);
    while (waits && sem_wait(&call->ready) != 0)
        ;
    if (call->leads || call->visits)
        lead_for(connection, call);
}

/* What the daemon refused a call with. */
static int refusal(const msgpack_object *object, struct durabled_error *error)
{
    struct durabled_text type = map_text(object, "code"), text = map_text(object, "message");
    int code = map_text_is(object, "code", "ResourceNotFoundException") ? DURABLED_NOT_FOUND
                                                                        : DURABLED_REFUSED;

    if (!text.data)
        return error_set(error, code, "the daemon refused without a word");
    error_set(error, code, "%.*s", (int)text.len, text.data);
    if (error) {
        size_t len = type.len < sizeof error->type ? type.len : sizeof error->type - 1;

        if (len > 0)
            memcpy(error->type, type.data, len);
        error->type[len] = '\0';
        error->retryable = map_bool(object, "retryable");
    }
    return code;
}

int call_wait(struct durabled *connection, struct call *call, struct durabled_reply **out_reply,
              struct durabled_error *error)
{
    struct durabled_reply *reply;
    int rc = DURABLED_OK;

    await_answer(connection, call);
    sem_destroy(&call->ready);
    reply = call->reply;
    call->reply = NULL;
    if (call->state == CALL_UNWOUND)
        rc = DURABLED_UNWIND;
    if (call->state == CALL_LOST) {
        pthread_mutex_lock(&connection->lock);
        if (error)
            *error = connection->why;
        pthread_mutex_unlock(&connection->lock);
        rc = DURABLED_DISCONNECTED;
    }
    if (rc == DURABLED_OK && reply->error.type != MSGPACK_OBJECT_NIL)
        rc = refusal(&reply->error, error);
    if (rc == DURABLED_OK && reply->result.type != MSGPACK_OBJECT_MAP)
        rc = error_set(error, DURABLED_PROTOCOL, "the daemon answered with no map");
    if (rc != DURABLED_OK) {
        durabled_reply_free(reply);
        return rc;
    }
    *out_reply = reply;
    return DURABLED_OK;
}

bool call_answered(struct durabled *connection, struct call *call)
{
    bool answered;

    pthread_mutex_lock(&connection->lock);
    answered = call->state != CALL_OPEN;
    pthread_mutex_unlock(&connection->lock);
    return answered;
}

int call_run(struct durabled *connection, const void *tag, const char *method,
             struct params *params, struct durabled_reply **out_reply,
             struct durabled_error *error)
{
    struct call call;
    int rc = call_send(connection, &call, tag, method, params, error);

    return rc == DURABLED_OK ? call_wait(connection, &call, out_reply, error) : rc;
}

int notify_send(struct durabled *connection, const char *method, struct params *params,
                struct durabled_error *error)
{
    int rc = check_owner(connection, error);

    if (rc == DURABLED_OK)
        rc = message_send(connection, NULL, method, params, error);
    params_free(params);
    return rc;
}

/* The members of a map that the caller packed go on as they are. */
static bool params_raw(struct params *params, const uint8_t *map, size_t len)
{
    size_t header = 1;

    if (len == 0)
        return false;
    if ((map[0] & 0xf0) == 0x80)
        params->members = map[0] & 0x0fu;
    else if (map[0] == 0xde && len >= 3)
        header = 3, params->members = (uint32_t)map[1] << 8 | map[2];
    else
        return false;
    if (msgpack_sbuffer_write(&params->body, (const char *)map + header, len - header) != 0)
        params->failed = true;
    return true;
}

int durabled_call(struct durabled *connection, const char *method, const void *params,
                  size_t params_len, struct durabled_reply **out, struct durabled_error *error)
{
    struct params packed;

    params_init(&packed);
    if (params && !params_raw(&packed, params, params_len)) {
        params_free(&packed);
        return error_set(error, DURABLED_USAGE, "%s: the parameters are no map", method);
    }
    return call_run(connection, NULL, method, &packed, out, error);
}

/* --- open and close ---------------------------------------------------------------------- */

struct durabled *connection_ref(struct durabled *connection)
{
    atomic_fetch_add(&connection->refs, 1);
    return connection;
}

static void close_if_open(int fd)
{
    if (fd >= 0)
        close(fd);
}

void durabled_close(struct durabled *connection)
{
    if (!connection || atomic_fetch_sub(&connection->refs, 1) > 1)
        return;
    close(connection->fd);
    close_if_open(connection->wake);
    close_if_open(connection->guest_wake);
    close_if_open(connection->poller);
    pthread_mutex_destroy(&connection->lock);
    pthread_mutex_destroy(&connection->read_lock);
    pthread_mutex_destroy(&connection->write_lock);
    free(connection->in);
    free(connection->path);
    free(connection);
}

const struct durabled_peer *durabled_peer(const struct durabled *connection)
{
    return &connection->peer;
}

static void copy_short(char *out, size_t size, struct durabled_text text)
{
    size_t len = text.len < size ? text.len : size - 1;

    if (len > 0)
        memcpy(out, text.data, len);
    out[len] = '\0';
}

static int hello(struct durabled *connection, struct durabled_error *error)
{
    struct durabled_reply *reply;
    struct params params;
    int64_t level;
    int rc;

    params_init(&params);
    params_int(&params, "level", DURABLED_LEVEL);
    params_text(&params, "client", "libdurabled");
    rc = call_run(connection, NULL, "hello", &params, &reply, error);
    if (rc != DURABLED_OK)
        return rc;
    level = map_int(&reply->result, "level", 0);
    copy_short(connection->version, sizeof connection->version,
               map_text(&reply->result, "version"));
    copy_short(connection->mode, sizeof connection->mode, map_text(&reply->result, "mode"));
    connection->peer.pid = map_int(&reply->result, "pid", 0);
    durabled_reply_free(reply);
    if (level < 1)
        return error_set(error, DURABLED_PROTOCOL, "the daemon's hello names no level");
    connection->peer.level = level < DURABLED_LEVEL ? (int)level : DURABLED_LEVEL;
    return DURABLED_OK;
}

/* What the leader and the guest sleep on. */
static int open_wakes(struct durabled *connection, struct durabled_error *error)
{
    struct epoll_event event = {.events = EPOLLIN};

    connection->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    connection->guest_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    connection->poller = epoll_create1(EPOLL_CLOEXEC);
    if (connection->wake < 0 || connection->guest_wake < 0 || connection->poller < 0 ||
        epoll_ctl(connection->poller, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        return error_set(error, DURABLED_SYSTEM, "eventfd, epoll: %s", strerror(errno));
    return DURABLED_OK;
}

/* Takes `fd` and `path`, whatever is returned. */
static int open_socket(int fd, char *path, struct durabled **out, struct durabled_error *error)
{
    struct durabled *connection = calloc(1, sizeof *connection);
    int rc;

    if (!connection) {
        close(fd);
        free(path);
        return error_set(error, DURABLED_NO_MEMORY, "out of memory for a connection");
    }
    connection->fd = fd;
    connection->owner = getpid();
    connection->path = path;
    atomic_init(&connection->refs, 1);
    pthread_mutex_init(&connection->lock, NULL);
    pthread_mutex_init(&connection->read_lock, NULL);
    pthread_mutex_init(&connection->write_lock, NULL);
    scan_start(&connection->scan);
    connection->peer.version = connection->version;
    connection->peer.mode = connection->mode;
    connection->peer.socket = path ? path : "";
    rc = open_wakes(connection, error);
    if (rc == DURABLED_OK)
        rc = hello(connection, error);
    if (rc != DURABLED_OK) {
        durabled_close(connection);
        return rc;
    }
    *out = connection;
    return DURABLED_OK;
}

int durabled_open(const char *socket, struct durabled **out, struct durabled_error *error)
{
    struct durabled_error own;
    char *path = NULL;
    int fd = -1;
    int rc = socket_find(socket, &fd, &path, error ? error : &own);

    return rc == DURABLED_OK ? open_socket(fd, path, out, error) : rc;
}

int durabled_open_fd(int fd, struct durabled **out, struct durabled_error *error)
{
    return open_socket(fd, NULL, out, error);
}
