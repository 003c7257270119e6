/* What a history comes to: operations, and where the execution stands. AWS's API tells these of
 * an execution to its handler alone, but its history to everybody. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "codec/pack.h"

/* The two halves of an EventType: of which operations, and what they came to. */
struct word {
    const char *event;
    const char *name;
};

static const struct word types[] = {
    {"Execution", "EXECUTION"}, {"Context", "CONTEXT"},   {"Step", "STEP"},
    {"Wait", "WAIT"},           {"Callback", "CALLBACK"}, {"ChainedInvoke", "CHAINED_INVOKE"},
};
static const struct word statuses[] = {
    {"Started", "STARTED"},    {"Succeeded", "SUCCEEDED"}, {"Failed", "FAILED"},
    {"TimedOut", "TIMED_OUT"}, {"Stopped", "STOPPED"},     {"Cancelled", "CANCELLED"},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* --- one operation ----------------------------------------------------------------------- */

struct operation {
    const msgpack_object *start; /* its first event */
    const struct word *type;
    const char *status;
    int64_t start_ms, end_ms;
    int64_t due_ms;                   /* 0: none */
    int64_t heartbeat_ms, timeout_ms; /* of a callback, as `due_ms` */
    int64_t attempt;
    const msgpack_object *input, *result, *error;
    struct durabled_text callback_id;
};

static const struct word *find_type(const msgpack_object *event)
{
    struct durabled_text type = doc_text(event, "EventType");

    for (size_t i = 0; i < COUNT(types); i++) {
        size_t len = strlen(types[i].event);

        if (type.len > len && memcmp(type.data, types[i].event, len) == 0)
            return &types[i];
    }
    return NULL;
}

/* NULL: an event that this durablectl does not know. */
static const char *find_status(const msgpack_object *event, const struct word *type)
{
    struct durabled_text rest = doc_text(event, "EventType");
    size_t len = strlen(type->event);

    rest.data += len;
    rest.len -= len;
    for (size_t i = 0; i < COUNT(statuses); i++)
        if (rest.len == strlen(statuses[i].event) &&
            memcmp(rest.data, statuses[i].event, rest.len) == 0)
            return statuses[i].name;
    return NULL;
}

static int64_t after(int64_t ms, int64_t seconds)
{
    return seconds > 0 ? ms + seconds * 1000 : 0;
}

static bool is(const char *one, const char *other)
{
    return strcmp(one, other) == 0;
}

static void fold_started(struct operation *operation, const msgpack_object *details,
                         int64_t time_ms)
{
    operation->due_ms = doc_int(details, "ScheduledEndTimestamp");
    operation->input = doc_get(doc_get(details, "Input"), "Payload");
    operation->callback_id = doc_text(details, "CallbackId");
    operation->timeout_ms = after(time_ms, doc_int(details, "Timeout"));
    operation->heartbeat_ms = after(time_ms, doc_int(details, "HeartbeatTimeout"));
}

static void fold_event(struct operation *operation, const msgpack_object *event)
{
    const msgpack_object *details = event_details(event),
                         *retry = doc_get(details, "RetryDetails"),
                         *result = doc_get(doc_get(details, "Result"), "Payload"),
                         *error = doc_get(doc_get(details, "Error"), "Payload");
    int64_t time_ms = doc_int(event, "EventTimestamp"),
            delay_s = doc_int(retry, "NextAttemptDelaySeconds");
    const char *status = find_status(event, operation->type);

    if (!status)
        return;
    operation->status = status;
    if (is(status, "STARTED")) {
        fold_started(operation, details, time_ms);
        return;
    }
    if (retry)
        operation->attempt = doc_int(retry, "CurrentAttempt");
    if (result)
        operation->result = result;
    if (error || is(status, "SUCCEEDED"))
        operation->error = error;
    if (delay_s > 0) {
        operation->status = "PENDING";
        operation->due_ms = after(time_ms, delay_s);
        return;
    }
    operation->end_ms = time_ms;
    if (!is(operation->type->name, "WAIT"))
        operation->due_ms = 0;
}

/* What has no event: a retry whose time has come, and heartbeats. As long as no heartbeat can
 * have come, the time of the first one holds. */
static void fold_time(struct operation *operation, int64_t now_ms)
{
    int64_t heartbeat_ms = operation->heartbeat_ms > now_ms ? operation->heartbeat_ms : 0;

    if (is(operation->status, "PENDING") && operation->due_ms <= now_ms) {
        operation->status = "READY";
        operation->due_ms = 0;
    }
    if (operation->callback_id.data && is(operation->status, "STARTED"))
        operation->due_ms =
            heartbeat_ms && (!operation->timeout_ms || heartbeat_ms < operation->timeout_ms)
                ? heartbeat_ms
                : operation->timeout_ms;
}

/* The operation that `event` is the first one of; false: it is of none. */
static bool operation_read(struct operation *out, const struct story *story,
                           const msgpack_object *event, int64_t now_ms)
{
    struct durabled_text id = doc_text(event, "Id");
    const msgpack_object *next;
    size_t at = story_find(story, id);

    if (story_at(story, at, id) != event || !id.data)
        return false;
    *out = (struct operation){.start = event,
                              .type = find_type(event),
                              .status = "STARTED",
                              .start_ms = doc_int(event, "EventTimestamp")};
    if (!out->type)
        return false;
    while ((next = story_at(story, at++, id)) != NULL)
        fold_event(out, next);
    fold_time(out, now_ms);
    return true;
}

/* When the last event was; 0: there is none, or it has no time. */
static int64_t last_ms(const struct story *story)
{
    return story->len > 0 ? doc_int(story->events[story->len - 1], "EventTimestamp") : 0;
}

/* When the execution ended, or now. */
static int64_t until_when(const struct story *story, int64_t now_ms)
{
    const msgpack_object *last = story->len > 0 ? story->events[story->len - 1] : NULL;
    const struct word *type = last ? find_type(last) : NULL;

    return type == &types[0] && story->len > 1 ? doc_int(last, "EventTimestamp") : now_ms;
}

/* --- as documents ------------------------------------------------------------------------ */

static void pack_object(msgpack_packer *packer, const char *name, const msgpack_object *value)
{
    if (!value)
        return;
    dd_pack_cstr(packer, name);
    msgpack_pack_object(packer, *value);
}

static void pack_int(msgpack_packer *packer, const char *name, int64_t value)
{
    dd_pack_cstr(packer, name);
    msgpack_pack_int64(packer, value);
}

static void pack_time(msgpack_packer *packer, const char *name, int64_t ms)
{
    if (ms)
        pack_int(packer, name, ms);
}

/* <Type>Details, as GetDurableExecutionState has them. */
static void pack_details(msgpack_packer *packer, const struct operation *operation)
{
    const char *type = operation->type->name;
    const msgpack_object *result = operation->result, *error = operation->error;
    size_t outcome = (size_t)(result != NULL) + (error != NULL);
    size_t due = operation->due_ms != 0;
    char name[32];

    (void)snprintf(name, sizeof name, "%sDetails", operation->type->event);
    dd_pack_cstr(packer, name);
    if (is(type, "EXECUTION")) {
        msgpack_pack_map(packer, operation->input ? 1 : 0);
        pack_object(packer, "InputPayload", operation->input);
        return;
    }
    if (is(type, "WAIT")) {
        msgpack_pack_map(packer, due);
        pack_time(packer, "ScheduledEndTimestamp", operation->due_ms);
        return;
    }
    if (is(type, "STEP")) {
        msgpack_pack_map(packer, outcome + due + 1);
        pack_int(packer, "Attempt", operation->attempt);
        pack_time(packer, "NextAttemptTimestamp", operation->due_ms);
    } else if (operation->callback_id.data) {
        msgpack_pack_map(packer, outcome + 1);
        dd_pack_cstr(packer, "CallbackId");
        dd_pack_span(packer,
                     dd_span_make(operation->callback_id.data, operation->callback_id.len));
    } else {
        msgpack_pack_map(packer, outcome);
    }
    pack_object(packer, "Result", result);
    pack_object(packer, "Error", error);
}

static void pack_operation(msgpack_packer *packer, const struct operation *operation)
{
    static const char *const members[] = {"Id", "ParentId", "Name", "SubType"};
    size_t len = 4 + (operation->end_ms ? 1 : 0);

    for (size_t i = 0; i < COUNT(members); i++)
        len += doc_get(operation->start, members[i]) != NULL;
    msgpack_pack_map(packer, len);
    for (size_t i = 0; i < COUNT(members); i++)
        pack_object(packer, members[i], doc_get(operation->start, members[i]));
    dd_pack_cstr(packer, "Type");
    dd_pack_cstr(packer, operation->type->name);
    dd_pack_cstr(packer, "Status");
    dd_pack_cstr(packer, operation->status);
    pack_int(packer, "StartTimestamp", operation->start_ms);
    pack_time(packer, "EndTimestamp", operation->end_ms);
    pack_details(packer, operation);
}

bool fold_operations(struct dd_buf *out, const struct story *story, int64_t now_ms)
{
    struct operation operation;
    msgpack_packer packer;
    size_t len = 0;

    now_ms = until_when(story, now_ms);
    for (size_t i = 0; i < story->len; i++)
        len += operation_read(&operation, story, story->events[i], now_ms);
    dd_pack_init(&packer, out);
    msgpack_pack_array(&packer, len);
    for (size_t i = 0; i < story->len; i++)
        if (operation_read(&operation, story, story->events[i], now_ms))
            pack_operation(&packer, &operation);
    return !out->failed;
}

/* --- where it stands --------------------------------------------------------------------- */

struct standing {
    const char *state;
    int64_t since_ms; /* 0: not known, as the next one */
    int64_t until_ms;
    int64_t failures;
    const msgpack_object *error;
    bool awaits;
    struct operation awaited;
};

/* Whether nothing but time or the outside goes on with it. */
static bool is_pending(const struct operation *operation)
{
    const char *type = operation->type->name;

    if (is(type, "STEP"))
        return is(operation->status, "PENDING");
    return is(operation->status, "STARTED") &&
           (is(type, "WAIT") || is(type, "CALLBACK") || is(type, "CHAINED_INVOKE"));
}

/* The pending operation due first, else the first that only the outside completes. */
static void find_awaited(struct standing *standing, const struct story *story, int64_t now_ms)
{
    const struct operation *best = &standing->awaited;
    struct operation operation;

    for (size_t i = 0; i < story->len; i++) {
        if (!operation_read(&operation, story, story->events[i], now_ms) ||
            !is_pending(&operation))
            continue;
        if (!standing->awaits ||
            (operation.due_ms && (!best->due_ms || operation.due_ms < best->due_ms)))
            standing->awaited = operation;
        standing->awaits = true;
    }
}

/* Failed invocations in a row, and the first event after the last invocation, which is what
 * the next one is for. */
static const msgpack_object *find_invocations(struct standing *standing,
                                              const struct story *story)
{
    const msgpack_object *woke = story->len > 0 ? story->events[0] : NULL;

    for (size_t i = 0; i < story->len; i++) {
        const msgpack_object *event = story->events[i];

        if (!doc_is(event, "EventType", "InvocationCompleted"))
            continue;
        standing->error = doc_get(doc_get(event_details(event), "Error"), "Payload");
        standing->failures =
            doc_get(event_details(event), "Error") ? standing->failures + 1 : 0;
        woke = i + 1 < story->len ? story->events[i + 1] : NULL;
    }
    return woke;
}

static void find_standing(struct standing *standing, const struct story *story, bool closed,
                          int64_t now_ms)
{
    const msgpack_object *woke = find_invocations(standing, story);

    if (closed) {
        standing->state = "closed";
        return;
    }
    find_awaited(standing, story, now_ms);
    standing->until_ms = standing->awaited.due_ms;
    if (woke) {
        standing->state = "invoked";
        standing->since_ms = doc_int(woke, "EventTimestamp");
    } else if (standing->failures > 0) {
        standing->state = "retry";
        standing->until_ms = 0;
    } else if (standing->awaits && (!standing->until_ms || standing->until_ms > now_ms)) {
        standing->state = "waiting";
    } else {
        standing->state = "invoked";
        standing->since_ms = standing->until_ms ? standing->until_ms : last_ms(story);
    }
}

bool fold_standing(struct dd_buf *out, const struct story *story, bool closed, int64_t now_ms)
{
    struct standing standing = {.state = ""};
    msgpack_packer packer;

    find_standing(&standing, story, closed, now_ms);
    dd_pack_init(&packer, out);
    msgpack_pack_map(&packer, 2 + (size_t)(standing.since_ms != 0) + (standing.until_ms != 0) +
                                  (standing.error != NULL) + (standing.awaits ? 1 : 0));
    dd_pack_cstr(&packer, "state");
    dd_pack_cstr(&packer, standing.state);
    pack_time(&packer, "since_ms", standing.since_ms);
    pack_int(&packer, "failures", standing.failures);
    pack_time(&packer, "until_ms", standing.until_ms);
    pack_object(&packer, "error", standing.error);
    if (standing.awaits) {
        dd_pack_cstr(&packer, "operation");
        pack_operation(&packer, &standing.awaited);
    }
    return !out->failed;
}
