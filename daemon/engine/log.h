/* The daemon's log: events from one table, JSON lines for programs, readable
 * lines on a terminal. No payloads, tokens or keys, ever.
 *
 * Each event has a stable code, so that a line can be looked up in the reference
 * page (daemon/LOGS.md, made from this table by daemon/cmake/logs.py) and
 * counted by a query.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

enum dd_level { DD_LEVEL_DEBUG, DD_LEVEL_INFO, DD_LEVEL_WARN, DD_LEVEL_ERROR };

/* X(symbol, level, message, what it means, what to do) */
#define DD_LOG_TABLE(X)                                                                        \
    X(READY, INFO, "ready", "The socket answers; the store is open.", "Nothing.")              \
    X(STOPPING, INFO, "stopping", "A signal asked the daemon to end in order.", "Nothing.")    \
    X(STOPPED, INFO, "stopped",                                                                \
      "Everything acknowledged is durable; `open_invocations` were in flight and are "         \
      "given out again after the next start.",                                                 \
      "Nothing.")                                                                              \
    X(START_FAILED, ERROR, "cannot start", "The daemon ended before it served.",               \
      "Do what `error` says.")                                                                 \
    X(STORE_FAILED, ERROR, "the store failed; nothing more is acknowledged",                   \
      "A commit or sync failed. What was acknowledged before is safe; the daemon ends.",       \
      "Check the disk, run `durabled check`, start again.")                                    \
    X(STORE_FULL, WARN, "the store is nearly full; new executions are refused",                \
      "Map or disk are above the high mark. Running executions go on.",                        \
      "Free space, or give --map-size more; starts resume by themselves.")                     \
    X(STORE_ROOM, INFO, "the store has room again", "New executions are taken again.",         \
      "Nothing.")                                                                              \
    X(EXECUTION_CORRUPT, ERROR, "execution refused: its records are damaged",                  \
      "A checksum, a gap or a count was wrong when the execution was loaded. It is "           \
      "not continued; the others are not concerned.",                                          \
      "Run `durabled check`; restore the data directory from a copy.")                         \
    X(EXECUTION_STARTED, DEBUG, "execution started", "A start was made durable.", "Nothing.")  \
    X(EXECUTION_CLOSED, INFO, "execution closed",                                              \
      "It SUCCEEDED, FAILED, TIMED_OUT or was STOPPED; `status` says which.",                  \
      "If it failed: `durablectl show EXECUTION`.")                                            \
    X(EXECUTION_DELETED, DEBUG, "execution deleted", "Its retention passed.", "Nothing.")      \
    X(INVOCATION_STARTED, DEBUG, "invocation started", "Given to a worker.", "Nothing.")       \
    X(INVOCATION_ENDED, INFO, "invocation ended",                                              \
      "One line per invocation: how long it ran and how it ended.", "Nothing.")                \
    X(INVOCATION_FAILED, WARN, "invocation failed",                                            \
      "The function raised, its process died, or its Timeout passed. It is retried "           \
      "at `retry_at`; operations are untouched.",                                              \
      "Look at `error_type`; the worker's own log has the cause.")                             \
    X(INVOCATION_HELD, WARN, "invocation held",                                                \
      "Its connection is lost but its process lives, so its user code may still run. "         \
      "The execution is given to nobody until the process ends or reports.",                   \
      "Nothing, or end process `pid` if it hangs.")                                            \
    X(INVOCATION_RELEASED, INFO, "invocation released",                                        \
      "Handed back or lost with a former daemon; given out again, uncounted.", "Nothing.")     \
    X(WORKER_REGISTERED, INFO, "worker registered", "A process serves functions.", "Nothing.") \
    X(WORKER_DRAINING, INFO, "worker draining", "It takes no more invocations.", "Nothing.")   \
    X(WORKER_LOST, WARN, "worker lost",                                                        \
      "Its connection closed with invocations in flight; each counts as failed with "          \
      "Runtime.ExitError once the process has ended.",                                         \
      "Start the worker again; see why it ended.")                                             \
    X(WORKER_LEFT, INFO, "worker left", "Its connection closed, nothing was in flight.",       \
      "Nothing.")                                                                              \
    X(FUNCTION_STARTED, DEBUG, "process of a function started",                                \
      "A hosted function has one more process.", "Nothing.")                                   \
    X(FUNCTION_WROTE, INFO, "function wrote",                                                  \
      "A line that a hosted function wrote to stdout or stderr.", "Nothing.")                  \
    X(FUNCTION_ENDED, WARN, "process of a function ended",                                     \
      "It ended by itself; an invocation in flight has failed with Runtime.ExitError.",        \
      "See what it wrote before.")                                                             \
    X(FUNCTION_KILLED, INFO, "process of a function was killed",                               \
      "Its invocation's Timeout passed, its code changed, it was idle for long, or the "       \
      "daemon stops; `reason` says which.",                                                    \
      "Nothing.")                                                                              \
    X(FUNCTION_FAILED, WARN, "function does not start",                                        \
      "Its process ended, or reported an error, before it asked for an invocation. The "       \
      "execution that was next has failed an invocation with that error.",                     \
      "Look at `error_type` and at what it wrote before.")                                     \
    X(FUNCTION_CHANGED, INFO, "code changed",                                                  \
      "Files of a hosted function have changed; the next invocation runs the new ones.",       \
      "Nothing.")                                                                              \
    X(CALL_REFUSED, DEBUG, "call refused", "A call was answered with an error.",               \
      "The client shows the error; `field` names what is wrong.")                              \
    X(CONNECTION_REFUSED, WARN, "connection closed: unframeable bytes",                        \
      "A peer sent what is no message, or one over the limits.",                               \
      "Check that process `pid` speaks this protocol.")                                        \
    X(REGION_DIFFERS, WARN, "requests are signed for another region",                          \
      "A client of the HTTP API is configured for `region`, and this daemon's ARNs are of "    \
      "`daemon_region`. It is served; each region is told once.",                              \
      "Start the daemon with --region, or set AWS_REGION for the client.")                     \
    X(CONNECTIONS_FULL, WARN, "connection refused: too many",                                  \
      "The limit of connections is reached; it is told once until one ends.",                  \
      "Close unused clients, or let the daemon have more open files (`ulimit -n`).")           \
    X(DETERMINISM, WARN, "the code changed under a running execution",                         \
      "An operation differs from the one recorded at its place.",                              \
      "Deploy the former code for this execution, or stop it and start it anew.")              \
    X(SESSION_LOST, DEBUG, "session lost", "Its connection closed before its end.",            \
      "Nothing; see the worker's line.")                                                       \
    X(SESSION_BEGUN, DEBUG, "session begun",                                                   \
      "A handler attached to the extension; `deadline` is when its invocation must have "      \
      "ended.",                                                                                \
      "Nothing.")                                                                              \
    X(SESSION_ENDED, INFO, "session ended",                                                    \
      "One line per invocation of a durable function that the extension served: SUCCEEDED, "   \
      "FAILED, PENDING, or RETRIED, when the function was told to raise.",                     \
      "If it failed: look at `error_type`, and at the function's own log.")                    \
    X(SESSION_OPEN, WARN, "the sandbox ends within an invocation",                             \
      "The runtime was ended by its Timeout or a failure, as `reason` says, while a handler "  \
      "was attached. What was not acknowledged runs again in the next invocation.",            \
      "If it was the Timeout: give the function a longer one, or the step a shorter way.")     \
    X(ATTACHED, INFO, "durabled serves this function",                                         \
      "The first session of this sandbox; functions that are not durable have no line.",       \
      "Nothing.")                                                                              \
    X(EXTENSION_REGISTERED, DEBUG, "extension registered", "The Extensions API knows it.",     \
      "Nothing.")                                                                              \
    X(EXTENSION_INVOKED, DEBUG, "sandbox invoked",                                             \
      "The Extensions API told of an invocation.", "Nothing.")                                 \
    X(EXTENSION_SHUTDOWN, DEBUG, "sandbox shut down", "The Extensions API said so.",           \
      "Nothing.")                                                                              \
    X(EXTENSION_FAILED, ERROR, "the Extensions API cannot be used",                            \
      "It refused or did not answer; it is asked again.",                                      \
      "See `error`; the file in /opt/extensions must have the name that it registers.")        \
    X(SOCKET_FAILED, ERROR, "no socket",                                                       \
      "Handlers cannot attach: their invocations fail, and are retried.",                      \
      "Do what `error` "                                                                       \
      "says.")                                                                                 \
    X(API_RETRIED, DEBUG, "an API call is tried again",                                        \
      "AWS's durable execution API throttled, failed, or was not reached.", "Nothing.")        \
    X(API_FAILED, WARN, "an API call failed",                                                  \
      "AWS's durable execution API refused, or was not reached in time. With `retryable` the " \
      "invocation fails and Lambda runs it again; else the execution has failed.",             \
      "Look at `error_type` and `error`: the function's role needs "                           \
      "lambda:CheckpointDurableExecution and lambda:GetDurableExecutionState, and a way to "   \
      "the endpoint.")                                                                         \
    X(KEYS_FAILED, WARN, "no credentials",                                                     \
      "The endpoint for credentials refused, or was not reached; it is asked again.",          \
      "See `error`.")                                                                          \
    X(CLOCK_DIFFERS, WARN, "the service's clock differs from this machine's",                  \
      "A signature was refused for its time. Requests are signed with the service's clock "    \
      "from now on; `skew_ms` is what it is ahead.",                                           \
      "Nothing; set the clock if the machine is yours.")                                       \
    X(PEER_SLOW, DEBUG, "peer reads slowly", "Its backlog is full; its calls wait.",           \
      "Nothing.")                                                                              \
    X(CLOCK_STEPPED, WARN, "the clock was stepped",                                            \
      "Wall-clock time jumped; a step back delays timers, a step forward fires them.",         \
      "Nothing.")

enum dd_log_code {
#define X(symbol, level, message, meaning, action) DD_LOG_##symbol,
    DD_LOG_TABLE(X)
#undef X
};

/* One key and its value; text when `text.data` is set, else a number. */
struct dd_log_field {
    const char *key;
    struct dd_span text;
    int64_t number;
};
#define DD_LOG_TEXT(key, span) ((struct dd_log_field){(key), (span), 0})
#define DD_LOG_NUMBER(key, value) ((struct dd_log_field){(key), DD_SPAN_NONE, (value)})

const char *dd_level_name(enum dd_level level);
/* False for an unknown name; case does not matter. */
bool dd_level_parse(struct dd_span name, enum dd_level *out_level);

/* Where lines go. */
struct dd_log {
    enum dd_level level;
    bool readable; /* for a terminal, else JSON lines */
    void *user;
    int64_t (*now_ms)(void *user);
    void (*write)(void *user, struct dd_span line); /* one whole line */
};

/* Writes the event if its level is wanted. */
void dd_log_write(const struct dd_log *log, enum dd_log_code code,
                  const struct dd_log_field *fields, size_t fields_len);

/* What a hosted function wrote. */
struct dd_wrote {
    struct dd_span function;
    struct dd_span request_id; /* of the invocation; empty: between two */
    struct dd_span line;
    struct dd_span level, message; /* of a line that is JSON; else `level` is absent */
};

/* Writes FUNCTION_WROTE: with the line as it is, or for a person what it says. */
void dd_log_wrote(const struct dd_log *log, const struct dd_wrote *wrote);

#define dd_log(log, symbol, ...)                                                     \
    dd_log_write((log), DD_LOG_##symbol, (const struct dd_log_field[]){__VA_ARGS__}, \
                 sizeof((const struct dd_log_field[]){__VA_ARGS__}) /                \
                     sizeof(struct dd_log_field))

/* "2026-11-23T18:49:34.123Z" for `time_ms`. */
void dd_time_format(int64_t time_ms, char out_text[25]);
