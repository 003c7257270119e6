/* What a daemon sends to libdurabled. The first byte chooses who listens: 0 a program that
 * looks at executions, anything else a handler. Then come MessagePack values, each in a
 * packet of its own: [error, result] answers the next call, anything else is sent as it is,
 * and so are the bytes after the last value. Then the daemon hangs up.
 *
 * Every call ends. What it gives lies in memory, and the bytes of a reply are one value.
 * Where the daemon's scanner sees a message, the client's sees the same. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <msgpack.h>

#include "client/c/include/durabled.h"
#include "client/c/src/priv.h"
#include "codec/frame.h"
#include "codec/pack.h"
#include "tests/fuzz/fuzz.h"

#define PACKETS_MAX 64 /* all fit into the socket's buffer at once */

/* --- the daemon -------------------------------------------------------------------------- */

static void send_packet(int fd, struct dd_span bytes)
{
    (void)!send(fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void send_value(int fd, struct dd_span value, uint32_t *answers)
{
    char header[] = {(char)0x94, 1, (char)0xcd, 0, 0}; /* [1, id, ... */
    struct dd_buf buf;

    if ((uint8_t)value.data[0] != 0x92) {
        send_packet(fd, value);
        return;
    }
    *answers += 1;
    header[3] = (char)(*answers >> 8);
    header[4] = (char)*answers;
    dd_buf_init(&buf, DD_FRAME_MAX + sizeof header);
    dd_buf_append(&buf, header, sizeof header);
    dd_buf_append(&buf, value.data + 1, value.len - 1);
    send_packet(fd, dd_buf_span(&buf));
    dd_buf_deinit(&buf);
}

/* The client's scanner, which is shown the bytes of a message one by one. */
static void check_scan(struct dd_span value)
{
    struct scan scan;

    scan_start(&scan);
    for (size_t len = 0; len < value.len; len++)
        dd_assert(scan_feed(&scan, (const uint8_t *)value.data, len) == 0);
    dd_assert(scan_feed(&scan, (const uint8_t *)value.data, value.len) == 1);
    dd_assert(scan.at == value.len);
}

static void send_script(int fd, struct dd_span script)
{
    struct dd_frame frame;
    uint32_t answers = 0;

    dd_frame_init(&frame);
    for (size_t i = 0; i < PACKETS_MAX && script.len > 0; i++) {
        size_t consumed;

        if (dd_frame_feed(&frame, script, &consumed) == DD_FRAME_COMPLETE) {
            struct dd_span value = dd_span_make(script.data, consumed);

            check_scan(value);
            send_value(fd, value, &answers);
        } else {
            send_packet(fd, script);
            consumed = script.len;
        }
        script = dd_span_make(script.data + consumed, script.len - consumed);
    }
}

/* --- looking at what was given ----------------------------------------------------------- */

static volatile size_t seen;

static void see(const char *text)
{
    if (text)
        seen += strlen(text);
}

static void see_text(struct durabled_text text)
{
    dd_assert(text.data || text.len == 0);
    for (size_t i = 0; i < text.len; i++)
        seen += (uint8_t)text.data[i];
}

static void see_failure(const struct durabled_failure *failure)
{
    if (!failure)
        return;
    see(failure->type);
    see(failure->message);
    see(failure->data);
    for (size_t i = 0; i < failure->stack_trace_len; i++)
        see(failure->stack_trace[i]);
}

static void see_reply(struct durabled_reply *reply)
{
    msgpack_unpacked value;
    size_t len, at = 0;
    const char *bytes = durabled_reply_bytes(reply, &len);

    msgpack_unpacked_init(&value);
    dd_assert(msgpack_unpack_next(&value, bytes, len, &at) == MSGPACK_UNPACK_SUCCESS);
    dd_assert(at == len && value.data.type == MSGPACK_OBJECT_MAP);
    msgpack_unpacked_destroy(&value);
    durabled_reply_free(reply);
}

/* --- a program that looks at executions -------------------------------------------------- */

static void look_at_one(struct durabled *connection)
{
    struct durabled_started started;
    struct durabled_outcome outcome;
    struct durabled_description description;
    struct durabled_stopped stopped;

    if (durabled_client_start(connection, "order", NULL, &started, NULL) == DURABLED_OK) {
        see(started.arn);
        see(started.name);
        see_reply(started.reply);
    }
    if (durabled_client_wait(connection, "-", -1, &outcome, NULL) == DURABLED_OK) {
        see(outcome.arn);
        see(outcome.status);
        see_text(outcome.result);
        see_failure(outcome.failure);
        see_reply(outcome.reply);
    }
    if (durabled_client_describe(connection, "-", true, &description, NULL) == DURABLED_OK) {
        see(description.arn);
        see(description.function);
        see(description.state);
        see_text(description.result);
        see_failure(description.failure);
        see_reply(description.reply);
    }
    if (durabled_client_stop(connection, "-", NULL, &stopped, NULL) == DURABLED_OK) {
        see(stopped.status);
        see_reply(stopped.reply);
    }
}

static void look_at_many(struct durabled *connection)
{
    struct durabled_list list;
    struct durabled_history history;
    struct durabled_logs logs;
    struct durabled_functions functions;

    if (durabled_client_list(connection, NULL, &list, NULL) == DURABLED_OK) {
        for (size_t i = 0; i < list.len; i++) {
            see(list.items[i].arn);
            see(list.items[i].state);
        }
        see(list.marker);
        see_reply(list.reply);
    }
    if (durabled_client_history(connection, "-", 0, true, &history, NULL) == DURABLED_OK) {
        for (size_t i = 0; i < history.len; i++) {
            see(history.items[i].type);
            see(history.items[i].name);
        }
        see_reply(history.reply);
    }
    if (durabled_client_logs(connection, "-", 0, true, &logs, NULL) == DURABLED_OK) {
        for (size_t i = 0; i < logs.len; i++) {
            see(logs.items[i].level);
            see_text(logs.items[i].message);
        }
        see_reply(logs.reply);
    }
    if (durabled_client_functions(connection, &functions, NULL) == DURABLED_OK) {
        for (size_t i = 0; i < functions.len; i++)
            see(functions.items[i].name);
        see_reply(functions.reply);
    }
}

static void look_at_daemon(struct durabled *connection)
{
    struct durabled_status status;
    char level[16];

    see(durabled_peer(connection)->version);
    see(durabled_peer(connection)->mode);
    if (durabled_client_status(connection, &status, NULL) == DURABLED_OK) {
        see(status.version);
        see(status.data);
        see_reply(status.reply);
    }
    if (durabled_client_log_level(connection, "INFO", level, NULL) == DURABLED_OK)
        see(level);
}

/* --- a handler --------------------------------------------------------------------------- */

static int64_t retry_once(const struct durabled_failure *failure, int attempt, void *user)
{
    (void)user;
    see_failure(failure);
    return attempt < 2 ? 1 : 0;
}

static int fails_at_first(const struct durabled_attempt *attempt,
                          struct durabled_result *result, void *user)
{
    (void)user;
    see(attempt->name);
    if (attempt->number < 2)
        return durabled_raise(result, "Again", "not yet");
    return durabled_return(result, "1");
}

static int run_step(struct durabled_context *context, struct durabled_result *result,
                    void *user)
{
    static const struct durabled_step_options options = {
        .semantics = DURABLED_AT_MOST_ONCE_PER_RETRY, .decide = retry_once};

    (void)user;
    return durabled_step(context, "step", &options, fails_at_first, NULL, result);
}

/* Two waits of which one is enough, then both. */
static int await_two(struct durabled_context *context)
{
    static const struct durabled_start start = {.type = DURABLED_WAIT, .seconds = 5};
    struct durabled_operation *waits[2];
    struct durabled_answer answer;
    int rc = DURABLED_OK;

    for (size_t i = 0; rc == DURABLED_OK && i < DD_COUNT(waits); i++)
        rc = durabled_start(context, &start, &waits[i], &answer);
    if (rc == DURABLED_OK)
        rc = durabled_await(context, waits, DD_COUNT(waits), true, &answer);
    if (rc == DURABLED_OK)
        rc = durabled_await(context, waits, DD_COUNT(waits), false, &answer);
    for (size_t i = 0; rc == DURABLED_OK && i < DD_COUNT(waits); i++) {
        const struct durabled_result *result = durabled_operation_result(waits[i]);

        see_text(result->payload);
        see_failure(&result->failure);
    }
    return rc;
}

static int handle(struct durabled_context *context, struct durabled_result *result, void *user)
{
    struct durabled_result step = {0};
    int rc;

    (void)user;
    see_text(durabled_session_input(durabled_context_session(context)));
    durabled_log(context, "INFO", "begins");
    rc = run_step(context, &step, NULL);
    if (rc == DURABLED_OK || rc == DURABLED_FAILED)
        rc = durabled_wait(context, "wait", 5);
    if (rc == DURABLED_OK)
        rc = durabled_child(context, "child", NULL, run_step, NULL, &step);
    if (rc == DURABLED_OK || rc == DURABLED_FAILED)
        rc = await_two(context);
    see_text(step.payload);
    see_failure(&step.failure);
    durabled_result_clear(&step);
    return rc == DURABLED_OK ? durabled_return(result, "true") : rc;
}

static void serve(struct durabled *connection)
{
    static const char event[] = "{\"DurableExecutionArn\": \"arn:x\"}";
    struct durabled_invocation invocation = {.connection = connection,
                                             .event = event,
                                             .event_len = sizeof event - 1,
                                             .request_id = "r1"};
    struct durabled_result output = {0};

    if (durabled_execute(&invocation, handle, NULL, &output, NULL) == DURABLED_OK)
        see_text(output.payload);
    durabled_result_clear(&output);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct durabled *connection;
    struct durabled_error error;
    int fds[2];

    if (size == 0)
        return 0;
    dd_assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
    send_script(fds[1], dd_span_make((const char *)data + 1, size - 1));
    dd_assert(shutdown(fds[1], SHUT_WR) == 0);
    if (durabled_open_fd(fds[0], &connection, &error) != DURABLED_OK) {
        see(error.text);
    } else {
        if (data[0] == 0) {
            look_at_one(connection);
            look_at_many(connection);
            look_at_daemon(connection);
        } else {
            serve(connection);
        }
        durabled_close(connection);
    }
    close(fds[1]);
    return 0;
}
