/* Histories: all pages of one, a timeline of it, and which steps were interrupted. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* --- loading ----------------------------------------------------------------------------- */

static bool story_add(struct story *story, struct durabled_history page)
{
    size_t len = story->len + 1;
    struct durabled_history *pages = realloc(story->pages, len * sizeof *pages);
    struct doc *docs = pages ? realloc(story->docs, len * sizeof *docs) : NULL;

    if (pages)
        story->pages = pages;
    if (docs)
        story->docs = docs;
    if (!docs || !doc_open(&docs[story->len], page.reply)) {
        durabled_reply_free(page.reply);
        return false;
    }
    pages[story->len++] = page;
    return true;
}

int story_load(struct durabled *connection, const char *execution, bool data, struct story *out,
               struct durabled_error *error)
{
    struct durabled_history page;
    int64_t after = 0;
    int rc;

    *out = (struct story){0};
    do {
        rc = durabled_client_history(connection, execution, after, data, &page, error);
        if (rc == DURABLED_OK) {
            after = page.len > 0 ? page.items[page.len - 1].id : after;
            page.more = page.more && page.len > 0;
            if (!story_add(out, page)) {
                (void)snprintf(error->text, sizeof error->text, "out of memory for a history");
                rc = error->code = DURABLED_NO_MEMORY;
            }
        }
    } while (rc == DURABLED_OK && page.more);
    if (rc != DURABLED_OK)
        story_free(out);
    return rc;
}

void story_free(struct story *story)
{
    for (size_t i = 0; i < story->len; i++) {
        doc_close(&story->docs[i]);
        durabled_reply_free(story->pages[i].reply);
    }
    free(story->docs);
    free(story->pages);
    *story = (struct story){0};
}

/* --- walking ----------------------------------------------------------------------------- */

/* All events of all pages. Start it as {0}. */
struct walk {
    size_t page, event;
};

static const msgpack_object *next_event(const struct story *story, struct walk *walk)
{
    for (; walk->page < story->len; walk->page++, walk->event = 0) {
        const msgpack_object *events;
        size_t len;

        events = doc_array(&story->docs[walk->page].root, "events", &len);
        if (walk->event < len)
            return &events[walk->event++];
    }
    return NULL;
}

static bool same_text(struct durabled_text a, struct durabled_text b)
{
    return a.data && b.data && a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static bool ends_with(struct durabled_text text, const char *end)
{
    size_t len = strlen(end);

    return text.len >= len && memcmp(text.data + text.len - len, end, len) == 0;
}

static const msgpack_object *event_details(const msgpack_object *event)
{
    struct durabled_text type = doc_text(event, "EventType");
    char key[80];

    (void)snprintf(key, sizeof key, "%.*sDetails", (int)type.len, type.data ? type.data : "");
    return doc_get(event, key);
}

static bool is_failed_invocation(const msgpack_object *event)
{
    return doc_is(event, "EventType", "InvocationCompleted") &&
           doc_get(doc_get(event_details(event), "Error"), "Payload") != NULL;
}

/* A failed invocation whose error payload was left out still has an Error. */
static bool is_failure(const msgpack_object *event)
{
    return is_failed_invocation(event) || (doc_is(event, "EventType", "InvocationCompleted") &&
                                           doc_get(event_details(event), "Error") != NULL);
}

size_t story_interruptions(const struct story *story, struct durabled_text id)
{
    struct walk walk = {0};
    const msgpack_object *event;
    size_t interruptions = 0;
    bool open = false;

    while ((event = next_event(story, &walk)) != NULL) {
        if (is_failure(event))
            interruptions += open;
        else if (same_text(doc_text(event, "Id"), id))
            open = doc_is(event, "EventType", "StepStarted");
    }
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

/* How deep the event's operation lies: its parents, by their Started events. */
static size_t depth_of(const struct story *story, const msgpack_object *event)
{
    struct durabled_text parent = doc_text(event, "ParentId");
    size_t depth = 0;

    while (parent.data && depth < 16) {
        struct walk walk = {0};
        const msgpack_object *other;

        while ((other = next_event(story, &walk)) != NULL)
            if (same_text(doc_text(other, "Id"), parent))
                break;
        depth++;
        parent = doc_text(other, "ParentId");
    }
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
    struct walk walk = {0};
    const msgpack_object *event;

    while ((event = next_event(story, &walk)) != NULL &&
           doc_int(event, "EventId") < failure_id) {
        struct durabled_text id = doc_text(event, "Id"), name = doc_text(event, "Name");
        struct walk rest = walk;
        const msgpack_object *later;
        bool open = doc_is(event, "EventType", "StepStarted");

        while (open && (later = next_event(story, &rest)) != NULL &&
               doc_int(later, "EventId") < failure_id)
            open = !same_text(doc_text(later, "Id"), id);
        if (!open)
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

/* Of a callback; 0: none. */
static void put_seconds(FILE *out, const char *what, int64_t seconds)
{
    if (seconds == 0)
        return;
    put_duration(out, what, seconds);
    fputc(' ', out);
}

/* Of an invoke. */
static void put_function(FILE *out, struct durabled_text function)
{
    if (!function.data)
        return;
    fputs("of ", out);
    (void)put_safe(out, function.data, function.len, 60);
    fputc(' ', out);
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
    put_payload(screen->out, "input", doc_get(details, "Input"));
    put_payload(screen->out, "result", doc_get(details, "Result"));
    put_error(screen->out, doc_get(details, "Error"));
    if (delay > 0)
        put_duration(screen->out, ", again in ", delay);
    put_seconds(screen->out, "timeout ", doc_int(details, "Timeout"));
    put_seconds(screen->out, "heartbeat ", doc_int(details, "HeartbeatTimeout"));
    put_function(screen->out, doc_text(details, "FunctionName"));
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

/* What an event concerns; only the first of an operation carries its name. */
static struct durabled_text name_of(const struct story *story, const msgpack_object *event)
{
    struct durabled_text name = doc_text(event, "Name"), id = doc_text(event, "Id");
    struct walk walk = {0};
    const msgpack_object *other;

    while (!name.data && id.data && (other = next_event(story, &walk)) != NULL &&
           other != event)
        if (same_text(doc_text(other, "Id"), id))
            name = doc_text(other, "Name");
    return name;
}

static void put_event(const struct screen *screen, const struct story *story,
                      const msgpack_object *event)
{
    struct durabled_text type = doc_text(event, "EventType"), name = name_of(story, event);
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
    struct walk walk = {0};
    const msgpack_object *event;

    fprintf(screen->out, "%s   #  time          event                operation          %s\n",
            paint(screen, BOLD), unpaint(screen));
    while ((event = next_event(story, &walk)) != NULL)
        put_event(screen, story, event);
}
