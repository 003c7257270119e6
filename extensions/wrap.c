/* The program that stands before a runtime; see wrap.h. It asks the daemon where that stands
 * in front of the Runtime API, puts the address into AWS_LAMBDA_RUNTIME_API, and becomes the
 * runtime. There may be no shell where it runs, and nothing of it is left when the function
 * is. */
#include "extensions/wrap.h"

#include <errno.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/version.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/limits.h"
#include "codec/frame.h"
#include "codec/pack.h"
#include "extensions/extension.h"
#include "proto/level.h"

#define RUNTIME_API "AWS_LAMBDA_RUNTIME_API"
#define NEXT "DURABLED_WRAP_NEXT"
/* A daemon that does not answer for so long is none; chosen: it answers within a millisecond,
 * on a busy sandbox in tens. */
#define ANSWER_S 2
/* As shells have it. */
enum { EXIT_NOT_RUN = 126, EXIT_NOT_FOUND = 127 };

/* --- the daemon -------------------------------------------------------------------------- */

static bool dial(int fd, const char *path)
{
    static const struct timeval patience = {.tv_sec = ANSWER_S};
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
           connect(fd, (const struct sockaddr *)(const void *)&address, sizeof address) == 0;
}

/* `hello`, and behind it the question. */
static void write_calls(struct dd_buf *out, const char *api)
{
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    msgpack_pack_array(&packer, 4);
    msgpack_pack_int(&packer, 0);
    msgpack_pack_int(&packer, 1);
    dd_pack_cstr(&packer, "hello");
    msgpack_pack_array(&packer, 1);
    msgpack_pack_map(&packer, 2);
    dd_pack_cstr(&packer, "level");
    msgpack_pack_int(&packer, DD_LEVEL);
    dd_pack_cstr(&packer, "client");
    dd_pack_cstr(&packer, "durabled-wrap/" DD_VERSION);
    msgpack_pack_array(&packer, 4);
    msgpack_pack_int(&packer, 0);
    msgpack_pack_int(&packer, 2);
    dd_pack_cstr(&packer, "daemon.runtime_api");
    msgpack_pack_array(&packer, 1);
    msgpack_pack_map(&packer, 1);
    dd_pack_cstr(&packer, "api");
    dd_pack_cstr(&packer, api);
}

/* Reads one message into `in`, which keeps what follows it. Its length; 0 with errno set when
 * none comes. */
static size_t read_message(int fd, struct dd_buf *in)
{
    struct dd_frame scanner;
    size_t scanned = 0, consumed;

    dd_frame_init(&scanner);
    for (;;) {
        struct dd_span rest = dd_span_make(in->data + scanned, in->len - scanned);
        int rc = rest.len > 0 ? dd_frame_feed(&scanner, rest, &consumed) : 0;
        char *room;
        ssize_t got;

        scanned += rest.len > 0 ? consumed : 0;
        if (rest.len > 0 && rc == DD_FRAME_COMPLETE)
            return scanned;
        room = rc < 0 ? NULL : dd_buf_reserve(in, 1024);
        got = room ? recv(fd, room, 1024, 0) : 0;
        if (got == 0)
            errno = EPROTO;
        if (got <= 0)
            return 0;
        in->len += (size_t)got;
    }
}

static const msgpack_object *member(const msgpack_object *map, const char *name)
{
    for (uint32_t i = 0; map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++) {
        const msgpack_object_kv *pair = &map->via.map.ptr[i];

        if (pair->key.type == MSGPACK_OBJECT_STR &&
            dd_span_is(dd_span_make(pair->key.via.str.ptr, pair->key.via.str.size), name))
            return &pair->val;
    }
    return NULL;
}

static void copy_text(const msgpack_object *text, char *out, size_t size)
{
    if (text && text->type == MSGPACK_OBJECT_STR)
        (void)snprintf(out, size, "%.*s", (int)text->via.str.size, text->via.str.ptr);
}

/* The address in an answer; false with why not. */
static bool read_answer(struct dd_span message, char *out, size_t size, char *why,
                        size_t why_size)
{
    msgpack_unpacked unpacked;
    size_t at = 0;

    out[0] = '\0';
    (void)snprintf(why, why_size, "what it answers is no answer");
    msgpack_unpacked_init(&unpacked);
    if (msgpack_unpack_next(&unpacked, message.data, message.len, &at) ==
            MSGPACK_UNPACK_SUCCESS &&
        unpacked.data.type == MSGPACK_OBJECT_ARRAY && unpacked.data.via.array.size == 4) {
        const msgpack_object *items = unpacked.data.via.array.ptr;

        copy_text(member(&items[3], "address"), out, size);
        copy_text(member(&items[2], "message"), why, why_size);
    }
    msgpack_unpacked_destroy(&unpacked);
    return out[0] != '\0';
}

static bool converse(int fd, const char *api, char *out, size_t size, char *why,
                     size_t why_size)
{
    struct dd_buf calls, in;
    size_t len = 0;

    dd_buf_init(&calls, DD_FRAME_MAX);
    dd_buf_init(&in, DD_FRAME_MAX);
    write_calls(&calls, api);
    if (send(fd, calls.data, calls.len, MSG_NOSIGNAL) == (ssize_t)calls.len) {
        len = read_message(fd, &in);
        dd_buf_consume(&in, len);
        if (len > 0)
            len = read_message(fd, &in);
    }
    (void)snprintf(why, why_size, "%s", strerror(errno));
    if (len > 0 && !read_answer(dd_span_make(in.data, len), out, size, why, why_size))
        len = 0;
    dd_buf_deinit(&calls);
    dd_buf_deinit(&in);
    return len > 0;
}

/* Where the daemon stands in front of `api`; false with why it does not. */
static bool find_address(const char *api, char *out, size_t size, char *why, size_t why_size)
{
    const char *path = dd_extension_socket();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool found = false;

    if (fd < 0 || !dial(fd, path))
        (void)snprintf(why, why_size, "%s: %s", path, strerror(errno));
    else
        found = converse(fd, api, out, size, why, why_size);
    if (fd >= 0)
        close(fd);
    return found;
}

static void go_between(void)
{
    const char *api = getenv(RUNTIME_API);
    char address[DD_FRONT_ADDRESS_MAX + 1], why[300] = RUNTIME_API " is not set";

    if (api && *api && find_address(api, address, sizeof address, why, sizeof why))
        (void)setenv(RUNTIME_API, address, 1);
    else
        fprintf(
            stderr,
            "durabled-wrap: no daemon stands between, the function runs without: %s. Is the "
            "layer of the function's architecture there?\n",
            why);
}

/* --- the runtime ------------------------------------------------------------------------- */

/* Becomes the program; returns when it can't, with an exit status. */
static int become(char **command, const char *which)
{
    int number;

    execvp(command[0], command);
    number = errno;
    fprintf(stderr, "durabled-wrap: %s: %s%s\n", command[0], strerror(number), which);
    return number == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}

static int run(char **command)
{
    char *next = getenv(NEXT), **all;
    size_t len = 0;
    int status;

    if (!next || !*next)
        return become(command, "");
    while (command[len])
        len++;
    all = dd_alloc_array(len + 2, sizeof *all);
    all[0] = next;
    memcpy(all + 1, command, (len + 1) * sizeof *all);
    /* A wrapper that comes to this one again must not go round; its name's text stays. */
    (void)unsetenv(NEXT);
    status = become(all, ", which " NEXT " names");
    dd_free(all);
    return status;
}

int dd_wrap_main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: durabled-wrap COMMAND [ARGUMENT...]\n");
        return EXIT_NOT_FOUND;
    }
    go_between();
    return run(argv + 1);
}

/* _HANDLER is the program's name, or that with a dot and what is none of our business. */
static bool find_program(struct dd_buf *out)
{
    const char *root = getenv("LAMBDA_TASK_ROOT"), *handler = getenv("_HANDLER");
    const char *dot;
    size_t lens[2];

    if (!handler || !*handler)
        return false;
    dot = strrchr(handler, '.');
    lens[0] = strlen(handler);
    lens[1] = dot ? (size_t)(dot - handler) : 0;
    for (size_t i = 0; i < DD_COUNT(lens); i++) {
        dd_buf_clear(out);
        if (*handler != '/')
            dd_buf_printf(out, "%s/", root && *root ? root : "/var/task");
        dd_buf_append(out, handler, lens[i]);
        dd_buf_append_byte(out, '\0');
        if (lens[i] > 0 && access(out->data, X_OK) == 0)
            return true;
    }
    return false;
}

int dd_bootstrap_main(int argc, char **argv)
{
    const char *root = getenv("LAMBDA_TASK_ROOT"), *handler = getenv("_HANDLER");
    struct dd_buf program;
    int status = EXIT_NOT_FOUND;

    (void)argc;
    (void)argv;
    dd_buf_init(&program, SIZE_MAX);
    if (find_program(&program)) {
        go_between();
        status = run((char *[]){program.data, NULL});
    } else {
        fprintf(stderr,
                "bootstrap: no program '%s' in %s: the function's Handler is to be the name of "
                "its program\n",
                handler ? handler : "", root ? root : "/var/task");
    }
    dd_buf_deinit(&program);
    return status;
}
