/* Why an execution stands where it stands, in one sentence. */
#include <string.h>

#include "cli.h"

/* What people call the operations that are waited for. */
static const char *kind_of(const msgpack_object *operation)
{
    if (doc_is(operation, "Type", "WAIT"))
        return "wait";
    if (doc_is(operation, "Type", "CALLBACK"))
        return "callback";
    return doc_is(operation, "Type", "CHAINED_INVOKE") ? "invoke" : "step";
}

const msgpack_object *known_callback(const msgpack_object *operation, const struct story *story)
{
    const msgpack_object *parent = story_start(story, doc_text(operation, "ParentId"));

    return doc_is(parent, "SubType", "WaitForCallback") ? parent : operation;
}

/* "`cooling_off`", "the callback `approval`", "an unnamed wait". */
static void format_subject(char *out, size_t size, const msgpack_object *operation,
                           const struct story *story)
{
    struct durabled_text name = doc_text(known_callback(operation, story), "Name");
    const char *kind = kind_of(operation);
    bool said = strcmp(kind, "callback") == 0 || strcmp(kind, "invoke") == 0;

    if (name.data && name.len > 0)
        (void)snprintf(out, size, "%s%s%s`%.*s`", said ? "the " : "", said ? kind : "",
                       said ? " " : "", (int)name.len, name.data);
    else
        (void)snprintf(out, size, "an unnamed %s", kind);
}

/* "Runtime.ExitError"; nothing when no error is known. */
static struct durabled_text error_type(const msgpack_object *error)
{
    struct durabled_text type = doc_text(error, "ErrorType");

    return type.data ? type : (struct durabled_text){(char *)"an error without a type", 23};
}

static void format_running(char *out, size_t size, const msgpack_object *standing,
                           int64_t reference_ms)
{
    int64_t pid = doc_int(standing, "worker_pid");
    char duration[32];

    format_duration(duration, sizeof duration, reference_ms - doc_int(standing, "since_ms"));
    if (pid > 0)
        (void)snprintf(out, size, "It is running in pid %lld for %s.", (long long)pid,
                       duration);
    else
        (void)snprintf(out, size, "It is running for %s.", duration);
}

/* AWS's API does not tell whether an invocation has begun. */
static void format_invoked(char *out, size_t size, const msgpack_object *standing,
                           int64_t reference_ms)
{
    int64_t since_ms = doc_int(standing, "since_ms"); /* 0: its history does not tell */
    char duration[32];

    format_duration(duration, sizeof duration, reference_ms - since_ms);
    (void)snprintf(out, size, "It is running, or about to be invoked%s%s.",
                   since_ms ? ", for " : "", since_ms ? duration : "");
}

static void format_queued(char *out, size_t size, const msgpack_object *execution,
                          const msgpack_object *standing, int64_t reference_ms)
{
    struct durabled_text function = doc_text(execution, "FunctionName"), type;
    int64_t workers = doc_int(standing, "workers"), failures = doc_int(standing, "failures");
    char since[32], after[256] = "";

    format_when(since, sizeof since, doc_int(standing, "since_ms"), reference_ms);
    if (failures > 0) {
        type = error_type(doc_get(standing, "error"));
        (void)snprintf(after, sizeof after,
                       ", after %lld failed invocation%s, the last with %.*s",
                       (long long)failures, failures == 1 ? "" : "s", (int)type.len, type.data);
    }
    if (workers > 0)
        (void)snprintf(out, size,
                       "It waits for a free slot of %lld worker%s of `%.*s` since %s%s.",
                       (long long)workers, workers == 1 ? "" : "s", (int)function.len,
                       function.data ? function.data : "", since, after);
    else
        (void)snprintf(out, size,
                       "It waits for a worker of `%.*s` since %s%s: none is connected.",
                       (int)function.len, function.data ? function.data : "", since, after);
}

static void format_retry(char *out, size_t size, const msgpack_object *standing,
                         int64_t reference_ms)
{
    struct durabled_text type = error_type(doc_get(standing, "error"));
    int64_t until_ms = doc_int(standing, "until_ms"); /* 0: AWS's API does not tell */
    char duration[32];

    format_duration(duration, sizeof duration, until_ms - reference_ms);
    (void)snprintf(out, size, "Its invocation failed: retry %lld%s%s after %.*s.",
                   (long long)doc_int(standing, "failures"), until_ms ? " in " : "",
                   until_ms ? duration : "", (int)type.len, type.data);
}

static void format_held(char *out, size_t size, const msgpack_object *standing)
{
    int64_t pid = doc_int(standing, "worker_pid");
    char who[48] = "its process";

    if (pid > 0)
        (void)snprintf(who, sizeof who, "pid %lld", (long long)pid);
    (void)snprintf(out, size, "It is held: %s has not reported that its user code ended.", who);
}

/* When the pending operation goes on; the wait's or the retry's own time first. */
static int64_t due_of(const msgpack_object *standing, const msgpack_object *operation)
{
    int64_t due_ms = doc_int(doc_get(operation, "WaitDetails"), "ScheduledEndTimestamp");

    if (due_ms == 0)
        due_ms = doc_int(doc_get(operation, "StepDetails"), "NextAttemptTimestamp");
    return due_ms ? due_ms : doc_int(standing, "until_ms");
}

static void format_waiting(char *out, size_t size, const msgpack_object *standing,
                           const struct story *story, int64_t reference_ms)
{
    const msgpack_object *operation = doc_get(standing, "operation");
    int64_t due_ms = due_of(standing, operation);
    int64_t attempt = doc_int(doc_get(operation, "StepDetails"), "Attempt");
    char subject[300], since[32], when[32], duration[32];

    format_when(since, sizeof since, doc_int(operation, "StartTimestamp"), reference_ms);
    format_when(when, sizeof when, due_ms, reference_ms);
    format_duration(duration, sizeof duration, due_ms - reference_ms);
    if (!operation) {
        (void)snprintf(out, size, "It is waiting to go on.");
        return;
    }
    format_subject(subject, sizeof subject, operation, story);
    if (doc_is(operation, "Type", "STEP") && due_ms)
        (void)snprintf(out, size, "It is waiting for attempt %lld of %s at %s, in %s.",
                       (long long)attempt + 1, subject, when, duration);
    else if (doc_is(operation, "Type", "CALLBACK") ||
             doc_is(operation, "Type", "CHAINED_INVOKE"))
        (void)snprintf(out, size, "It is waiting for %s since %s%s%s.", subject, since,
                       due_ms ? ", until " : "", due_ms ? when : "");
    else if (due_ms)
        (void)snprintf(out, size, "It is waiting for %s until %s, %s%s.", subject, when,
                       due_ms > reference_ms ? "in " : "due now, ",
                       due_ms > reference_ms ? duration : "and not yet given out");
    else
        (void)snprintf(out, size, "It is waiting for %s.", subject);
}

static void format_closed(char *out, size_t size, const msgpack_object *execution,
                          int64_t reference_ms)
{
    const msgpack_object *error = doc_get(execution, "Error");
    struct durabled_text type = error_type(error), message = doc_text(error, "ErrorMessage");
    int64_t end_ms = doc_int(execution, "EndTimestamp");
    const char *how = "ended";
    char when[32], took[32];

    format_when(when, sizeof when, end_ms, reference_ms);
    format_duration(took, sizeof took, end_ms - doc_int(execution, "StartTimestamp"));
    if (doc_is(execution, "Status", "SUCCEEDED"))
        how = "succeeded";
    else if (doc_is(execution, "Status", "FAILED"))
        how = "failed";
    else if (doc_is(execution, "Status", "STOPPED"))
        how = "was stopped";
    else if (doc_is(execution, "Status", "TIMED_OUT"))
        how = "reached its ExecutionTimeout";
    if (error && message.data)
        (void)snprintf(out, size, "It %s at %s after %s, with %.*s: %.*s.", how, when, took,
                       (int)type.len, type.data, (int)(message.len > 300 ? 300 : message.len),
                       message.data);
    else if (doc_get(error, "ErrorType"))
        (void)snprintf(out, size, "It %s at %s after %s, with %.*s.", how, when, took,
                       (int)type.len, type.data);
    else
        (void)snprintf(out, size, "It %s at %s after %s.", how, when, took);
}

void format_sentence(char *out, size_t size, const msgpack_object *described,
                     const struct story *story, int64_t reference_ms)
{
    const msgpack_object *execution = doc_get(described, "execution");
    const msgpack_object *standing = doc_get(described, "standing");
    struct durabled_text state = doc_text(standing, "state");

    if (doc_is(standing, "state", "closed"))
        format_closed(out, size, execution, reference_ms);
    else if (doc_is(standing, "state", "running"))
        format_running(out, size, standing, reference_ms);
    else if (doc_is(standing, "state", "invoked"))
        format_invoked(out, size, standing, reference_ms);
    else if (doc_is(standing, "state", "queued"))
        format_queued(out, size, execution, standing, reference_ms);
    else if (doc_is(standing, "state", "retry"))
        format_retry(out, size, standing, reference_ms);
    else if (doc_is(standing, "state", "held"))
        format_held(out, size, standing);
    else if (doc_is(standing, "state", "waiting"))
        format_waiting(out, size, standing, story, reference_ms);
    else
        (void)snprintf(out, size, "It is in a state that this durablectl does not know: %.*s.",
                       (int)state.len, state.data ? state.data : "");
}
