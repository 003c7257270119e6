/* Executions of AWS's API, as the documents that a daemon answers with. What the API does not
 * tell is not in them: who runs an invocation, when a failed one is tried again. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "cli.h"
#include "codec/api.h"
#include "codec/http.h"
#include "codec/pack.h"

#define EXECUTIONS "/2025-12-01/durable-executions/"
#define CALLBACKS "/2025-12-01/durable-execution-callbacks/"
#define FUNCTIONS "/2025-12-01/functions/"

struct aws_source {
    struct source source;
    struct aws *aws;
};

static struct aws *aws_of(struct source *source)
{
    return ((struct aws_source *)(void *)source)->aws;
}

/* --- requests ---------------------------------------------------------------------------- */

/* "PREFIX LABEL SUFFIX", in which the label is escaped, and no NUL yet. */
static void write_target(struct dd_buf *out, const char *prefix, const char *label,
                         const char *suffix)
{
    dd_buf_init(out, SIZE_MAX);
    dd_buf_append_cstr(out, prefix);
    dd_http_encode(dd_span_cstr(label), out);
    dd_buf_append_cstr(out, suffix);
}

static void write_query(struct dd_buf *out, const char *name, struct dd_span value)
{
    if (!value.data)
        return;
    dd_buf_printf(out, "%s%s=", memchr(out->data, '?', out->len) ? "&" : "?", name);
    dd_http_encode(value, out);
}

/* Makes the call, and frees its target. */
static int run(struct source *source, struct dd_buf *target, struct aws_call *call,
               struct doc *out, struct durabled_error *error)
{
    int rc;

    dd_buf_append_byte(target, '\0');
    call->target = target->data;
    rc = target->failed ? out_of_memory(error) : aws_run(aws_of(source), call, out, error);
    dd_buf_deinit(target);
    return rc;
}

static int get(struct source *source, struct dd_buf *target, struct doc *out,
               struct durabled_error *error)
{
    return run(source, target, &(struct aws_call){.method = "GET"}, out, error);
}

static struct dd_span span_of(struct durabled_text text)
{
    return dd_span_make(text.data, text.len);
}

/* NextMarker of a page; empty: it was the last. Copied (dd_text_unref). */
static struct dd_text *next_marker(const struct doc *page)
{
    struct durabled_text marker = doc_text(&page->root, "NextMarker");

    return marker.len > 0 ? dd_text_new(span_of(marker)) : NULL;
}

/* --- documents --------------------------------------------------------------------------- */

static void pack_text(msgpack_packer *packer, const char *name, struct durabled_text text)
{
    dd_pack_cstr(packer, name);
    if (text.data)
        dd_pack_span(packer, span_of(text));
    else
        msgpack_pack_nil(packer);
}

static void pack_int(msgpack_packer *packer, const char *name, int64_t value)
{
    dd_pack_cstr(packer, name);
    msgpack_pack_int64(packer, value);
}

static void pack_object(msgpack_packer *packer, const char *name, const msgpack_object *value)
{
    dd_pack_cstr(packer, name);
    msgpack_pack_object(packer, *value);
}

/* NAME of "arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER". */
static struct durabled_text function_of(struct durabled_text arn)
{
    char *colon;

    for (int parts = 0; parts < 6; parts++) {
        colon = arn.data ? memchr(arn.data, ':', arn.len) : NULL;
        if (!colon)
            return (struct durabled_text){0};
        arn.len -= (size_t)(colon + 1 - arn.data);
        arn.data = colon + 1;
    }
    colon = memchr(arn.data, ':', arn.len);
    if (colon)
        arn.len = (size_t)(colon - arn.data);
    return arn;
}

/* --- list -------------------------------------------------------------------------------- */

static void pack_summary(msgpack_packer *packer, const msgpack_object *item)
{
    int64_t end_ms = doc_int(item, "EndTimestamp");
    bool open = doc_is(item, "Status", "RUNNING");

    msgpack_pack_map(packer, 5 + (size_t)!open + (end_ms != 0));
    pack_text(packer, "arn", doc_text(item, "DurableExecutionArn"));
    pack_text(packer, "name", doc_text(item, "DurableExecutionName"));
    pack_text(packer, "function", function_of(doc_text(item, "FunctionArn")));
    pack_text(packer, "status", doc_text(item, "Status"));
    if (!open)
        pack_text(packer, "state", (struct durabled_text){(char *)"closed", 6});
    pack_int(packer, "start_ms", doc_int(item, "StartTimestamp"));
    if (end_ms)
        pack_int(packer, "end_ms", end_ms);
}

/* The API's time is the last that is left out. */
static void write_since(struct dd_buf *target, int64_t since_ms)
{
    time_t seconds = (time_t)((since_ms - 1) / 1000);
    char text[48], whole[32];
    struct tm utc;

    if (since_ms <= 0 || !gmtime_r(&seconds, &utc))
        return;
    (void)strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(text, sizeof text, "%s.%03dZ", whole, (int)((since_ms - 1) % 1000));
    write_query(target, "StartedAfter", dd_span_cstr(text));
}

static int aws_list(struct source *source, const struct durabled_list_filter *filter,
                    struct doc *out, struct durabled_error *error)
{
    const msgpack_object *items;
    struct dd_buf target, packed;
    msgpack_packer packer;
    struct doc page;
    char most[24];
    size_t len;
    int rc;

    (void)snprintf(most, sizeof most, "%zu",
                   filter->items_max > 0 ? filter->items_max : (size_t)DD_PAGE_ITEMS_DEFAULT);
    write_target(&target, FUNCTIONS, filter->function, "/durable-executions");
    write_query(&target, "MaxItems", dd_span_cstr(most));
    write_query(&target, "Statuses", dd_span_cstr(filter->status));
    write_since(&target, filter->since_ms);
    write_query(&target, "Marker", dd_span_cstr(filter->marker));
    rc = get(source, &target, &page, error);
    if (rc != DURABLED_OK)
        return rc;
    items = doc_array(&page.root, "DurableExecutions", &len);
    dd_buf_init(&packed, SIZE_MAX);
    dd_pack_init(&packer, &packed);
    msgpack_pack_map(&packer, doc_text(&page.root, "NextMarker").len > 0 ? 2 : 1);
    dd_pack_cstr(&packer, "executions");
    msgpack_pack_array(&packer, len);
    for (size_t i = 0; i < len; i++)
        pack_summary(&packer, &items[i]);
    if (doc_text(&page.root, "NextMarker").len > 0)
        pack_text(&packer, "marker", doc_text(&page.root, "NextMarker"));
    doc_close(&page);
    return doc_open_packed(out, &packed) ? DURABLED_OK : out_of_memory(error);
}

/* --- history ----------------------------------------------------------------------------- */

/* {arn, events} of a page. */
static int add_events(struct pages *pages, const char *arn, const struct doc *page,
                      struct durabled_error *error)
{
    const msgpack_object *events = doc_get(&page->root, "Events");
    msgpack_packer packer;
    struct dd_buf packed;
    struct doc doc;

    if (!events || events->type != MSGPACK_OBJECT_ARRAY)
        return fail(error, DURABLED_PROTOCOL, "", "the answer has no Events");
    dd_buf_init(&packed, SIZE_MAX);
    dd_pack_init(&packer, &packed);
    msgpack_pack_map(&packer, 2);
    pack_text(&packer, "arn", (struct durabled_text){(char *)arn, strlen(arn)});
    pack_object(&packer, "events", events);
    return doc_open_packed(&doc, &packed) && pages_add(pages, &doc) ? DURABLED_OK
                                                                    : out_of_memory(error);
}

static int load_history(struct source *source, const char *arn, bool data, struct story *out,
                        struct durabled_error *error)
{
    struct dd_text *marker = NULL;
    struct pages pages = {0};
    int rc;

    do {
        struct dd_buf target;
        struct doc page;

        write_target(&target, EXECUTIONS, arn, "/history?MaxItems=1000");
        if (data)
            write_query(&target, "IncludeExecutionData", DD_SPAN("true"));
        write_query(&target, "Marker", dd_text_span(marker));
        dd_text_unref(marker);
        marker = NULL;
        rc = get(source, &target, &page, error);
        if (rc != DURABLED_OK)
            break;
        rc = add_events(&pages, arn, &page, error);
        marker = next_marker(&page);
        doc_close(&page);
    } while (rc == DURABLED_OK && marker);
    dd_text_unref(marker);
    if (rc != DURABLED_OK)
        pages_free(&pages);
    else if (!story_open(out, &pages))
        rc = out_of_memory(error);
    return rc;
}

static int aws_history(struct source *source, const char *execution, struct story *out,
                       struct durabled_error *error)
{
    return load_history(source, execution, true, out, error);
}

/* --- describe ---------------------------------------------------------------------------- */

static int get_execution(struct source *source, const char *arn, struct doc *out,
                         struct durabled_error *error)
{
    struct dd_buf target;

    write_target(&target, EXECUTIONS, arn, "");
    return get(source, &target, out, error);
}

/* GetDurableExecution's members, and those that a daemon has besides. */
static void pack_execution(msgpack_packer *packer, const msgpack_object *execution)
{
    const msgpack_object *timeout =
        doc_get(doc_get(execution, "DurableConfig"), "ExecutionTimeout");
    uint32_t len = execution->type == MSGPACK_OBJECT_MAP ? execution->via.map.size : 0;

    dd_pack_cstr(packer, "execution");
    msgpack_pack_map(packer, len + 1 + (timeout ? 1 : 0));
    for (uint32_t i = 0; i < len; i++) {
        msgpack_pack_object(packer, execution->via.map.ptr[i].key);
        msgpack_pack_object(packer, execution->via.map.ptr[i].val);
    }
    pack_text(packer, "FunctionName", function_of(doc_text(execution, "FunctionArn")));
    if (timeout)
        pack_object(packer, "ExecutionTimeout", timeout);
}

static int pack_description(const msgpack_object *execution, const struct story *story,
                            struct doc *out, struct durabled_error *error)
{
    int64_t reference_ms = now_ms();
    msgpack_packer packer;
    struct dd_buf packed;

    dd_buf_init(&packed, SIZE_MAX);
    dd_pack_init(&packer, &packed);
    msgpack_pack_map(&packer, 3);
    pack_execution(&packer, execution);
    dd_pack_cstr(&packer, "standing");
    fold_standing(&packed, story, !doc_is(execution, "Status", "RUNNING"), reference_ms);
    dd_pack_cstr(&packer, "operations");
    fold_operations(&packed, story, reference_ms);
    return doc_open_packed(out, &packed) ? DURABLED_OK : out_of_memory(error);
}

/* Whether it ends in a failed invocation, of which somebody wants to know the error. */
static bool ends_in_failure(const struct story *story)
{
    return story->failures_len > 0 &&
           story->failures[story->failures_len - 1] == story->events[story->len - 1];
}

/* The execution first: what has ended has its whole history. */
static int aws_describe(struct source *source, const char *execution, struct pages *out,
                        struct story *out_story, struct durabled_error *error)
{
    struct doc got, described;
    struct story story;
    int rc = get_execution(source, execution, &got, error);

    *out = (struct pages){0};
    if (rc != DURABLED_OK)
        return rc;
    rc = load_history(source, execution, !out_story, &story, error);
    if (rc == DURABLED_OK && out_story && ends_in_failure(&story)) {
        story_free(&story);
        rc = load_history(source, execution, true, &story, error);
    }
    if (rc == DURABLED_OK) {
        rc = pack_description(&got.root, &story, &described, error);
        if (rc == DURABLED_OK && !pages_add(out, &described))
            rc = out_of_memory(error);
        if (rc == DURABLED_OK && out_story)
            *out_story = story;
        else
            story_free(&story);
    }
    doc_close(&got);
    return rc;
}

/* --- stop, callbacks --------------------------------------------------------------------- */

/* A member of an ErrorObject. */
static void write_member(struct dd_buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    dd_buf_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", name);
    dd_api_write_string(out, dd_span_cstr(value));
}

static void write_failure(struct dd_buf *out, const struct durabled_failure *failure)
{
    dd_buf_init(out, SIZE_MAX);
    dd_buf_append_byte(out, '{');
    write_member(out, "ErrorType", failure ? failure->type : NULL);
    write_member(out, "ErrorMessage", failure ? failure->message : NULL);
    dd_buf_append_byte(out, '}');
}

/* POST of an ErrorObject; frees the target. */
static int post_failure(struct source *source, struct dd_buf *target,
                        const struct durabled_failure *failure, bool once, struct doc *out,
                        struct durabled_error *error)
{
    struct aws_call call = {.method = "POST", .content_type = "application/json", .once = once};
    struct dd_buf body;
    int rc;

    write_failure(&body, failure);
    call.body = dd_buf_span(&body);
    rc = run(source, target, &call, out, error);
    dd_buf_deinit(&body);
    return rc;
}

/* The status is asked for: what was closed before is not stopped. */
static int aws_stop(struct source *source, const char *execution,
                    const struct durabled_failure *failure, struct doc *out,
                    struct durabled_error *error)
{
    struct dd_buf target, packed;
    struct doc stopped, got;
    msgpack_packer packer;
    int rc;

    write_target(&target, EXECUTIONS, execution, "/stop");
    rc = post_failure(source, &target, failure, false, &stopped, error);
    if (rc != DURABLED_OK)
        return rc;
    rc = get_execution(source, execution, &got, error);
    if (rc == DURABLED_OK) {
        dd_buf_init(&packed, SIZE_MAX);
        dd_pack_init(&packer, &packed);
        msgpack_pack_map(&packer, 3);
        pack_text(&packer, "arn", doc_text(&got.root, "DurableExecutionArn"));
        pack_text(&packer, "status", doc_text(&got.root, "Status"));
        pack_int(&packer, "end_ms", doc_int(&stopped.root, "StopTimestamp"));
        doc_close(&got);
        rc = doc_open_packed(out, &packed) ? DURABLED_OK : out_of_memory(error);
    }
    doc_close(&stopped);
    return rc;
}

static bool is_named(const msgpack_object *started, const struct story *story, const char *name)
{
    return doc_is(started, "EventType", "CallbackStarted") &&
           doc_is(known_callback(started, story), "Name", name);
}

/* Whether nothing came after the start of the operation. */
static bool is_open(const msgpack_object *started, const struct story *story)
{
    struct durabled_text id = doc_text(started, "Id");

    return !story_at(story, story_find(story, id) + 1, id);
}

/* The id of the open callback that goes by the name; one at a time. */
static int find_callback(struct source *source, const struct durabled_callback_name *name,
                         struct dd_text **out, struct durabled_error *error)
{
    struct story story;
    size_t found = 0;
    int rc = load_history(source, name->execution, false, &story, error);

    if (rc != DURABLED_OK)
        return rc;
    for (size_t i = 0; i < story.len; i++) {
        const msgpack_object *event = story.events[i];

        if (!is_named(event, &story, name->operation) || !is_open(event, &story))
            continue;
        dd_text_unref(*out);
        *out = dd_text_new(span_of(doc_text(event_details(event), "CallbackId")));
        found++;
    }
    story_free(&story);
    if (found > 1)
        return fail(error, DURABLED_REFUSED, "InvalidParameterValueException",
                    "%zu open callbacks go by the name '%s'; give a callback id", found,
                    name->operation);
    return found == 1 && *out
               ? DURABLED_OK
               : fail(error, DURABLED_NOT_FOUND, "", "the execution has no open callback '%s'",
                      name->operation);
}

static int complete(struct source *source, const char *action, const char *id,
                    struct durabled_text payload, const struct durabled_failure *failure,
                    struct durabled_error *error)
{
    struct aws_call call = {
        .method = "POST", .body = payload.data ? span_of(payload) : DD_SPAN(""), .once = true};
    struct dd_buf target;

    write_target(&target, CALLBACKS, id, "/");
    dd_buf_append_cstr(&target, action);
    if (strcmp(action, "fail") == 0)
        return post_failure(source, &target, failure, true, NULL, error);
    call.once = strcmp(action, "heartbeat") != 0;
    return run(source, &target, &call, NULL, error);
}

static int aws_callback(struct source *source, const char *action,
                        const struct durabled_callback_name *name, struct durabled_text payload,
                        const struct durabled_failure *failure, struct durabled_error *error)
{
    struct dd_text *id = NULL;
    int rc = name->id ? DURABLED_OK : find_callback(source, name, &id, error);

    if (rc == DURABLED_OK)
        rc = complete(source, action, name->id ? name->id : id->data, payload, failure, error);
    dd_text_unref(id);
    return rc;
}

/* --- life -------------------------------------------------------------------------------- */

static void aws_close(struct source *source)
{
    struct aws *aws = aws_of(source);

    if (aws)
        aws_free(aws);
    free(source->options);
    free(source);
}

/* "--endpoint URL --region NAME ", or --aws for the first. */
static char *format_options(const char *endpoint, const char *region)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    if (!out)
        return NULL;
    fputs(endpoint ? "--endpoint " : "--aws", out);
    if (endpoint)
        put_quoted(out, endpoint, strlen(endpoint));
    fputs(" --region ", out);
    put_quoted(out, region, strlen(region));
    fputc(' ', out);
    return fclose(out) == 0 ? text : NULL;
}

int aws_open(const struct args *args, struct source **out, struct durabled_error *error)
{
    static const struct source_ops ops = {aws_list, aws_describe, aws_history,
                                          aws_stop, aws_callback, aws_close};
    struct aws_source *source = calloc(1, sizeof *source);
    int rc;

    if (!source)
        return out_of_memory(error);
    source->source.ops = &ops;
    rc = aws_new(args, args->subject ? args->subject : args->function, &source->aws, error);
    if (rc == DURABLED_OK) {
        source->source.options = format_options(args->endpoint, aws_region(source->aws));
        if (!source->source.options)
            rc = out_of_memory(error);
    }
    if (rc != DURABLED_OK)
        aws_close(&source->source);
    else
        *out = &source->source;
    return rc;
}
