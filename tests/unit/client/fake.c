#include "fake.h"

#include <jansson.h>
#include <msgpack.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "durabled.h"

#include "tests/lib/vectors.h"

struct fake {
    int fd;
    int level;
    json_t *script;
    json_t *open; /* KEY -> id */
    pthread_t thread;
    msgpack_unpacker in;
    bool closed; /* by the script */
    sem_t resumed;
    const char *ignored; /* the notifications that are dropped; NULL: none */
    char problem[1024];
};

/* --- JSON to MessagePack and back -------------------------------------------------------- */

/* NULL is nil. */
static void pack_json(msgpack_packer *packer, const json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;

    if (!value) {
        msgpack_pack_nil(packer);
        return;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        msgpack_pack_map(packer, json_object_size(value));
        json_object_foreach((json_t *)value, key, member)
        {
            msgpack_pack_str(packer, strlen(key));
            msgpack_pack_str_body(packer, key, strlen(key));
            pack_json(packer, member);
        }
        return;
    case JSON_ARRAY:
        msgpack_pack_array(packer, json_array_size(value));
        json_array_foreach(value, i, member) pack_json(packer, member);
        return;
    case JSON_STRING:
        msgpack_pack_str(packer, json_string_length(value));
        msgpack_pack_str_body(packer, json_string_value(value), json_string_length(value));
        return;
    case JSON_INTEGER:
        msgpack_pack_int64(packer, json_integer_value(value));
        return;
    case JSON_REAL:
        msgpack_pack_double(packer, json_real_value(value));
        return;
    case JSON_TRUE:
        msgpack_pack_true(packer);
        return;
    case JSON_FALSE:
        msgpack_pack_false(packer);
        return;
    case JSON_NULL:
        msgpack_pack_nil(packer);
        return;
    }
}

/* Gives a new JSON value. */
static json_t *to_json(const msgpack_object *object)
{
    json_t *value;

    switch (object->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        return json_boolean(object->via.boolean);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return json_integer((json_int_t)object->via.u64);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return json_integer(object->via.i64);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return json_real(object->via.f64);
    case MSGPACK_OBJECT_STR:
        return json_stringn_nocheck(object->via.str.ptr, object->via.str.size);
    case MSGPACK_OBJECT_ARRAY:
        value = json_array();
        for (uint32_t i = 0; i < object->via.array.size; i++)
            json_array_append_new(value, to_json(&object->via.array.ptr[i]));
        return value;
    case MSGPACK_OBJECT_MAP:
        value = json_object();
        for (uint32_t i = 0; i < object->via.map.size; i++) {
            const msgpack_object *key = &object->via.map.ptr[i].key;
            char name[128];

            snprintf(name, sizeof name, "%.*s", (int)key->via.str.size, key->via.str.ptr);
            json_object_set_new(value, name, to_json(&object->via.map.ptr[i].val));
        }
        return value;
    case MSGPACK_OBJECT_NIL:
    case MSGPACK_OBJECT_BIN:
    case MSGPACK_OBJECT_EXT:
        break;
    }
    return json_null();
}

/* --- messages ---------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void fail_script(struct fake *fake,
                                                              const char *format, ...)
{
    va_list args;

    if (fake->problem[0])
        return;
    va_start(args, format);
    vsnprintf(fake->problem, sizeof fake->problem, format, args);
    va_end(args);
    /* The client must not wait for an answer that will not come. */
    shutdown(fake->fd, SHUT_RDWR);
}

/* The next message as JSON; NULL: the client hung up. */
static json_t *receive_any(struct fake *fake)
{
    msgpack_unpacked message;
    json_t *value = NULL;

    msgpack_unpacked_init(&message);
    while (!value) {
        ssize_t len;

        if (msgpack_unpacker_next(&fake->in, &message) == MSGPACK_UNPACK_SUCCESS) {
            value = to_json(&message.data);
            break;
        }
        msgpack_unpacker_reserve_buffer(&fake->in, 65536);
        len = read(fake->fd, msgpack_unpacker_buffer(&fake->in), 65536);
        if (len <= 0)
            break;
        msgpack_unpacker_buffer_consumed(&fake->in, (size_t)len);
    }
    msgpack_unpacked_destroy(&message);
    return value;
}

/* Without those that are ignored. */
static json_t *receive(struct fake *fake)
{
    json_t *message = receive_any(fake);

    while (message && fake->ignored && json_array_size(message) == 3 &&
           strcmp(json_string_value(json_array_get(message, 1)), fake->ignored) == 0) {
        json_decref(message);
        message = receive_any(fake);
    }
    return message;
}

static void reply(struct fake *fake, const json_t *id, const json_t *step)
{
    const json_t *error = json_object_get(step, "error"),
                 *result = json_object_get(step, "result");
    msgpack_sbuffer out;
    msgpack_packer packer;

    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&packer, &out, msgpack_sbuffer_write);
    msgpack_pack_array(&packer, 4);
    msgpack_pack_int(&packer, 1);
    msgpack_pack_int64(&packer, json_integer_value(id));
    pack_json(&packer, error);
    pack_json(&packer, result);
    if (send(fake->fd, out.data, out.size, MSG_NOSIGNAL) != (ssize_t)out.size)
        fail_script(fake, "the client hung up before its answer");
    msgpack_sbuffer_destroy(&out);
}

static void send_bytes(struct fake *fake, const json_t *hex)
{
    size_t len;
    uint8_t *bytes = vectors_bytes(hex, &len);

    if (send(fake->fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        fail_script(fake, "the client hung up before it was sent bytes");
    free(bytes);
}

/* --- steps ------------------------------------------------------------------------------- */

/* The members that are wanted are as wanted, at every depth; others may be there. */
static bool same_params(const json_t *wanted, const json_t *given)
{
    const char *key;
    json_t *member;

    json_object_foreach((json_t *)wanted, key, member)
    {
        json_t *other = json_object_get(given, key);

        if (json_is_null(member) ? other != NULL
                                 : !(json_is_object(member) ? same_params(member, other)
                                                            : json_equal(member, other)))
            return false;
    }
    return true;
}

/* Whether a request [0, id, method, [params]] is the call of the step. */
static bool is_call(const json_t *message, const json_t *step)
{
    const char *method = json_string_value(json_object_get(step, "call"));
    const char *given = json_string_value(json_array_get(message, 2));

    return method && given && strcmp(method, given) == 0 &&
           same_params(json_object_get(step, "params"),
                       json_array_get(json_array_get(message, 3), 0));
}

static bool is_note(const json_t *message, const json_t *step)
{
    const char *method = json_string_value(json_object_get(step, "note"));
    const char *given = json_string_value(json_array_get(message, 1));

    return method && given && json_integer_value(json_array_get(message, 0)) == 2 &&
           strcmp(method, given) == 0 &&
           same_params(json_object_get(step, "params"),
                       json_array_get(json_array_get(message, 2), 0));
}

static void unexpected(struct fake *fake, const json_t *message, const json_t *step)
{
    char *given = message ? json_dumps(message, JSON_ENCODE_ANY) : NULL;
    char *wanted = step ? json_dumps(step, JSON_ENCODE_ANY) : NULL;

    fail_script(fake, "given %.400s, wanted %.400s", given ? given : "a hang-up",
                wanted ? wanted : "nothing more");
    free(given);
    free(wanted);
}

static void accept_call(struct fake *fake, const json_t *message, const json_t *step)
{
    json_t *id = json_array_get(message, 1);
    const char *key = json_string_value(json_object_get(step, "as"));

    if (key)
        json_object_set(fake->open, key, id);
    if (json_object_get(step, "result") || json_object_get(step, "error"))
        reply(fake, id, step);
}

static void play_any(struct fake *fake, const json_t *calls)
{
    json_t *left = json_copy((json_t *)calls);

    while (json_array_size(left) > 0 && !fake->problem[0]) {
        json_t *message = receive(fake);
        size_t found = json_array_size(left);

        for (size_t i = json_array_size(left); message && i-- > 0;)
            if (is_call(message, json_array_get(left, i)))
                found = i;
        if (found == json_array_size(left)) {
            unexpected(fake, message, calls);
        } else {
            accept_call(fake, message, json_array_get(left, found));
            json_array_remove(left, found);
        }
        json_decref(message);
    }
    json_decref(left);
}

static void play(struct fake *fake, const json_t *step)
{
    const char *key = json_string_value(json_object_get(step, "answer"));
    json_t *message;

    if (json_object_get(step, "close")) {
        shutdown(fake->fd, SHUT_RDWR);
        fake->closed = true;
    } else if (json_object_get(step, "hold")) {
        sem_wait(&fake->resumed);
        fake->ignored = json_string_value(json_object_get(step, "hold"));
    } else if (json_object_get(step, "send")) {
        send_bytes(fake, json_object_get(step, "send"));
    } else if (key) {
        json_t *id = json_object_get(fake->open, key);

        if (id)
            reply(fake, id, step);
        else
            fail_script(fake, "the script answers '%s', which is no call", key);
    } else if (json_object_get(step, "any")) {
        play_any(fake, json_object_get(step, "any"));
    } else {
        message = receive(fake);
        if (message && json_object_get(step, "call") && is_call(message, step))
            accept_call(fake, message, step);
        else if (!message || !is_note(message, step))
            unexpected(fake, message, step);
        json_decref(message);
    }
}

static void play_hello(struct fake *fake)
{
    json_t *step = json_pack("{s:s, s:{s:i}, s:{s:i, s:s, s:s, s:i}}", "call", "hello",
                             "params", "level", DURABLED_LEVEL, "result", "level", fake->level,
                             "version", "1.2.3", "mode", "serve", "pid", 4711);

    play(fake, step);
    json_decref(step);
}

static void *fake_main(void *argument)
{
    struct fake *fake = argument;
    json_t *step, *more;
    size_t i;

    play_hello(fake);
    json_array_foreach(fake->script, i, step)
    {
        if (!fake->problem[0])
            play(fake, step);
    }
    /* After the script has closed, calls that were under way may lie unread. */
    more = fake->problem[0] || fake->closed ? NULL : receive(fake);
    if (more)
        unexpected(fake, more, NULL);
    json_decref(more);
    shutdown(fake->fd, SHUT_RDWR);
    return NULL;
}

struct fake *fake_start(const char *script, int level, int *out_fd)
{
    struct fake *fake = calloc(1, sizeof *fake);
    json_error_t error;
    int ends[2];

    assert_non_null(fake);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    fake->fd = ends[0];
    fake->level = level;
    fake->open = json_object();
    fake->script = json_loads(script, 0, &error);
    if (!fake->script)
        fail_msg("the script is no JSON: line %d: %s", error.line, error.text);
    assert_true(msgpack_unpacker_init(&fake->in, 65536));
    assert_int_equal(sem_init(&fake->resumed, 0, 0), 0);
    assert_int_equal(pthread_create(&fake->thread, NULL, fake_main, fake), 0);
    *out_fd = ends[1];
    return fake;
}

void fake_resume(struct fake *fake)
{
    sem_post(&fake->resumed);
}

void fake_finish(struct fake *fake)
{
    char problem[sizeof fake->problem];

    pthread_join(fake->thread, NULL);
    memcpy(problem, fake->problem, sizeof problem);
    msgpack_unpacker_destroy(&fake->in);
    json_decref(fake->script);
    json_decref(fake->open);
    close(fake->fd);
    sem_destroy(&fake->resumed);
    free(fake);
    if (problem[0])
        fail_msg("%s", problem);
}
