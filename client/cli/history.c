/* Histories: looking things up in one, a timeline of it, and which steps were interrupted. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* --- events ------------------------------------------------------------------------------ */

static bool ends_with(struct durabled_text text, const char *end)
{
    size_t len = strlen(end);

    return text.len >= len && memcmp(text.data + text.len - len, end, len) == 0;
}

const msgpack_object *event_details(const msgpack_object *event)
{
    struct durabled_text type = doc_text(event, "EventType");
    char key[80];

    (void)snprintf(key, sizeof key, "%.*sDetails", (int)type.len, type.data ? type.data : "");
    return doc_get(event, key);
}

static bool is_failure(const msgpack_object *event)
{
    return doc_is(event, "EventType", "InvocationCompleted") &&
           doc_get(event_details(event), "Error") != NULL;
}

/* --- life -------------------------------------------------------------------------------- */

static int compare_by_id(const void *a, const void *b)
{
    const msgpack_object *one = *(const msgpack_object *const *)a,
                         *other = *(const msgpack_object *const *)b;
    int order = text_order(doc_text(one, "Id"), doc_text(other, "Id"));
    int64_t number = doc_int(one, "EventId"), other_number = doc_int(other, "EventId");

    return order != 0 ? order : (number > other_number) - (number < other_number);
}

bool story_open(struct story *story, struct pages *pages)
{
    *story = (struct story){.pages = *pages};
    story->events = pages_items(&story->pages, "events", &story->len);
    story->by_id = malloc((story->len + 1) * sizeof(void *));
    story->failures = malloc((story->len + 1) * sizeof(void *));
    if (!story->events || !story->by_id || !story->failures) {
        story_free(story);
        return false;
    }
    for (size_t i = 0; i < story->len; i++) {
        if (doc_text(story->events[i], "Id").data)
            story->by_id[story->by_id_len++] = story->events[i];
        if (is_failure(story->events[i]))
            story->failures[story->failures_len++] = story->events[i];
    }
    qsort(story->by_id, story->by_id_len, sizeof(void *), compare_by_id);
    return true;
}

void story_free(struct story *story)
{
    free(story->events);
    free(story->by_id);
    free(story->failures);
    pages_free(&story->pages);
    *story = (struct story){0};
}

/* --- looking up -------------------------------------------------------------------------- */

size_t story_find(const struct story *story, struct durabled_text id)
{
    size_t low = 0, high = id.data ? story->by_id_len : 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (text_order(doc_text(story->by_id[middle], "Id"), id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const msgpack_object *story_at(const struct story *story, size_t at, struct durabled_text id)
{
    if (!id.data || at >= story->by_id_len ||
        text_order(doc_text(story->by_id[at], "Id"), id) != 0)
        return NULL;
    return story->by_id[at];
}

const msgpack_object *story_start(const struct story *story, struct durabled_text id)
{
    return story_at(story, story_find(story, id), id);
}

/* The last event of the operation `id` before the event `number`; NULL: none. */
static const msgpack_object *last_before(const struct story *story, struct durabled_text id,
                                         int64_t number)
{
    const msgpack_object *event, *last = NULL;

    for (size_t at = story_find(story, id);
         (event = story_at(story, at, id)) != NULL && doc_int(event, "EventId") < number; at++)
        last = event;
    return last;
}

size_t story_interruptions(const struct story *story, struct durabled_text id)
{
    size_t interruptions = 0;

    for (size_t i = 0; i < story->failures_len; i++)
        interruptions += doc_is(last_before(story, id, doc_int(story->failures[i], "EventId")),
                                "EventType", "StepStarted");
    return interruptions;
}

/* --- the timeline ------------------------------------------------------------------------ */

static enum colour event_colour(struct durabled_text type)
{
    if (ends_with(type, "Succeeded"))
        return GREEN;
    if (ends_with(type, "Failed") || ends_with(type, "TimedOut") || ends_with(type, "Stopped"))
        return RED;
    return ends_with(type, "Started") ? CYAN : DIM;
}

/* How deep the event's operation lies. */
static size_t depth_of(const struct story *story, const msgpack_object *event)
{
    struct durabled_text parent = doc_text(event, "ParentId");
    size_t depth = 0;

    for (; parent.data && depth < 16; depth++)
        parent = doc_text(story_start(story, parent), "ParentId");
    return depth;
}

static void put_payload(FILE *out, const char *what, const msgpack_object *wrapper)
{
    struct durabled_text payload = doc_text(wrapper, "Payload");

    if (!payload.data)
        return;
    fprintf(out, "%s ", what);
    (void)put_safe(out, payload.data, payload.len, 60);
}

static void put_error(FILE *out, const msgpack_object *wrapper)
{
    const msgpack_object *error = doc_get(wrapper, "Payload");
    struct durabled_text type = doc_text(error, "ErrorType"),
                         message = doc_text(error, "ErrorMessage");

    if (type.data)
        (void)put_safe(out, type.data, type.len, 60);
    if (type.data && message.data)
        fputs(": ", out);
    if (message.data)
        (void)put_safe(out, message.data, message.len, 80);
}

/* Names the steps that were open when the invocation failed. */
static void put_interrupted(const struct screen *screen, const struct story *story,
                            int64_t failure_id)
{
    for (size_t i = 0; i < story->len && doc_int(story->events[i], "EventId") < failure_id;
         i++) {
        const msgpack_object *event = story->events[i];
        struct durabled_text id = doc_text(event, "Id"), name = doc_text(event, "Name");

        if (!doc_is(event, "EventType", "StepStarted") ||
            last_before(story, id, failure_id) != event)
            continue;
        fprintf(screen->out, "; %s", paint(screen, YELLOW));
        if (name.data)
            (void)put_safe(screen->out, name.data, name.len, 40);
        else
            fputs("a step", screen->out);
        fprintf(screen->out, " was interrupted%s", unpaint(screen));
    }
}

static void put_duration(FILE *out, const char *format_before, int64_t seconds)
{
    char duration[32];

    format_duration(duration, sizeof duration, seconds * 1000);
    fprintf(out, "%s%s", format_before, duration);
}

/* What a callback or an invoke was started with. */
static void put_started(FILE *out, const msgpack_object *details)
{
    static const struct {
        const char *member, *label;
    } texts[] = {{"CallbackId", "callback"},
                 {"FunctionName", "function"},
                 {"TenantId", ", tenant"},
                 {"DurableExecutionArn", ", execution"}};
    int64_t timeout = doc_int(details, "Timeout"),
            heartbeat = doc_int(details, "HeartbeatTimeout");

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct durabled_text text = doc_text(details, texts[i].member);

        if (!text.data)
            continue;
        fprintf(out, "%s ", texts[i].label);
        (void)put_safe(out, text.data, text.len, 0);
    }
    if (timeout > 0)
        put_duration(out, ", timeout ", timeout);
    if (heartbeat > 0)
        put_duration(out, ", heartbeat ", heartbeat);
    if (doc_text(doc_get(details, "Input"), "Payload").data)
        fputs(", ", out);
}

static void put_details(const struct screen *screen, const struct story *story,
                        const msgpack_object *event)
{
    const msgpack_object *details = event_details(event),
                         *retry = doc_get(details, "RetryDetails");
    int64_t attempt = doc_int(retry, "CurrentAttempt"),
            delay = doc_int(retry, "NextAttemptDelaySeconds");

    if (attempt > 1 || delay > 0)
        fprintf(screen->out, "attempt %lld ", (long long)attempt);
    if (doc_is(event, "EventType", "CallbackStarted") ||
        doc_is(event, "EventType", "ChainedInvokeStarted"))
        put_started(screen->out, details);
    put_payload(screen->out, "input", doc_get(details, "Input"));
    put_payload(screen->out, "result", doc_get(details, "Result"));
    put_error(screen->out, doc_get(details, "Error"));
    if (delay > 0)
        put_duration(screen->out, ", again in ", delay);
    if (doc_is(event, "EventType", "WaitStarted"))
        put_duration(screen->out, "for ", doc_int(details, "Duration"));
    if (doc_is(event, "EventType", "InvocationCompleted")) {
        char duration[32];

        format_duration(duration, sizeof duration,
                        doc_int(details, "EndTimestamp") - doc_int(details, "StartTimestamp"));
        fprintf(screen->out, "%sran %s", doc_get(details, "Error") ? ", " : "", duration);
    }
    if (is_failure(event))
        put_interrupted(screen, story, doc_int(event, "EventId"));
}

/* A step's end after it was interrupted says that it ran again. */
static void put_again(const struct screen *screen, const struct story *story,
                      const msgpack_object *event)
{
    struct durabled_text type = doc_text(event, "EventType");
    size_t times;

    if (!ends_with(type, "Succeeded") && !ends_with(type, "Failed"))
        return;
    times = story_interruptions(story, doc_text(event, "Id"));
    if (times > 0)
        fprintf(screen->out, " %s(ran again after an interruption)%s", paint(screen, YELLOW),
                unpaint(screen));
}

static void put_event(const struct screen *screen, const struct story *story,
                      const msgpack_object *event)
{
    struct durabled_text type = doc_text(event, "EventType"), name = doc_text(event, "Name");
    size_t depth = depth_of(story, event), used;
    char clock[24];

    format_clock(clock, sizeof clock, doc_int(event, "EventTimestamp"));
    fprintf(screen->out, "%4lld  %s%s%s  %s", (long long)doc_int(event, "EventId"),
            paint(screen, DIM), clock, unpaint(screen), paint(screen, event_colour(type)));
    used = put_safe(screen->out, type.data ? type.data : "", type.len, 24);
    fputs(unpaint(screen), screen->out);
    put_spaces(screen->out, used < 20 ? 21 - used : 1);
    put_spaces(screen->out, 2 * depth);
    used = 2 * depth + (name.data ? put_safe(screen->out, name.data, name.len, 40) : 0);
    put_spaces(screen->out, used < 18 ? 19 - used : 1);
    put_details(screen, story, event);
    put_again(screen, story, event);
    fputc('\n', screen->out);
}

void put_history(const struct screen *screen, const struct story *story)
{
    fprintf(screen->out, "%s   #  time          event                operation          %s\n",
            paint(screen, BOLD), unpaint(screen));
    for (size_t i = 0; i < story->len; i++)
        put_event(screen, story, story->events[i]);
}
