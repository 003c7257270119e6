/* What is logged of sessions that the extension serves: their begin, their end, and what one
 * that did not end leaves open.
 *
 * Why an invocation did not end is Lambda's to say: when its process has died, the end of the
 * sandbox follows at once and names a reason. If none follows, the sandbox goes on, and the
 * line is written without. */
#include "engine/engine_priv.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "engine/cause.h"
#include "proto/level.h"

#if defined(__x86_64__)
#define DD_ARCHITECTURE "x86_64"
#elif defined(__aarch64__)
#define DD_ARCHITECTURE "arm64"
#else
#define DD_ARCHITECTURE "unknown"
#endif

/* An attempt of a step that was cut off, as often in a row as is known here. */
struct interrupted {
    struct dd_list node;
    struct dd_text *arn;
    struct dd_text *id;
    uint32_t attempt;
    int64_t times;
};

/* What is told of a session that was lost, once it is known why. */
struct lost {
    struct dd_list node;
    struct dd_text *arn;
    struct dd_text *request_id;
    struct dd_buf steps; /* JSON: the attempts that are open */
    int64_t open_steps;
    int64_t running; /* bodies */
    bool api_call;   /* one was under way */
    bool ended;      /* its process has */
    int64_t ms;      /* since its begin */
    int64_t left_ms; /* until its deadline */
    bool late;       /* that has passed */
    int64_t told_ms; /* when it is told of without a reason */
};

static struct dd_span or_empty(const struct dd_text *text)
{
    return text ? dd_text_span(text) : DD_SPAN("");
}

/* --- interruptions ----------------------------------------------------------------------- */

static void interrupted_free(struct dd_engine *engine, struct interrupted *found)
{
    dd_list_remove(&found->node);
    engine->interrupted_len--;
    dd_text_unref(found->arn);
    dd_text_unref(found->id);
    dd_free(found);
}

static struct interrupted *interrupted_find(struct dd_engine *engine, struct dd_text *arn,
                                            struct dd_text *id)
{
    struct interrupted *found;

    dd_list_each(node, tmp, &engine->interrupted)
    {
        found = dd_container_of(node, struct interrupted, node);
        if (dd_text_equal(found->arn, arn) && dd_text_equal(found->id, id)) {
            dd_list_remove(&found->node);
            dd_list_push(&engine->interrupted, &found->node);
            return found;
        }
    }
    if (engine->interrupted_len == DD_INTERRUPTED_MAX)
        interrupted_free(engine,
                         dd_container_of(engine->interrupted.next, struct interrupted, node));
    found = dd_alloc(sizeof *found);
    found->arn = dd_text_ref(arn);
    found->id = dd_text_ref(id);
    dd_list_push(&engine->interrupted, &found->node);
    engine->interrupted_len++;
    return found;
}

/* The attempt is cut off now: which time in a row this is. The service counts none, so an
 * attempt that was found begun was cut off once at least, and what an earlier sandbox saw
 * counts as that once. */
static int64_t interrupt(struct dd_engine *engine, struct dd_text *arn,
                         const struct dd_attempt *attempt)
{
    struct interrupted *found = interrupted_find(engine, arn, attempt->operation->id);

    if (found->attempt != attempt->attempt)
        found->times = 0;
    if (found->times == 0 && attempt->again)
        found->times = 1;
    found->attempt = attempt->attempt;
    return ++found->times;
}

/* One more member of a JSON array of objects, up to what is its own. The service has not seen
 * each name, and would refuse a long one. */
static void open_operation(struct dd_buf *out, const struct dd_operation *operation)
{
    dd_buf_append_cstr(out, out->len > 1 ? ",{" : "{");
    dd_buf_append_cstr(out, "\"operationId\":\"");
    dd_log_escape(out, dd_text_span(operation->id));
    dd_buf_append_cstr(out, "\",\"operationName\":\"");
    dd_log_escape(out, dd_utf8_cut(or_empty(operation->name), DD_LOG_NAME_MAX));
    dd_buf_append_byte(out, '"');
}

/* The attempts that are cut off now; returns how many there are. */
static int64_t write_steps(const struct dd_attached *attached, struct dd_buf *out)
{
    struct dd_engine *engine = attached->engine;
    struct dd_attempt open[DD_LOG_OPERATIONS_MAX];
    size_t len = dd_session_open(attached->session, open, DD_COUNT(open));

    dd_buf_append_byte(out, '[');
    for (size_t i = 0; i < len && i < DD_COUNT(open); i++) {
        open_operation(out, open[i].operation);
        dd_buf_printf(
            out, ",\"attempt\":%" PRIu32 ",\"ms\":%" PRId64 ",\"interruptions\":%" PRId64 "}",
            open[i].attempt, engine->now_ms - open[i].run_ms,
            interrupt(engine, attached->arn, &open[i]));
    }
    dd_buf_append_byte(out, ']');
    return (int64_t)len;
}

/* --- begin and end ----------------------------------------------------------------------- */

void dd_report_begun(const struct dd_attached *attached)
{
    struct dd_engine *engine = attached->engine;

    if (!engine->aws)
        return;
    dd_report_tell_lost(engine, DD_SPAN("none"));
    if (!engine->attached_told)
        dd_log(engine->config.log, ATTACHED,
               DD_LOG_TEXT("version", dd_span_cstr(engine->config.version)),
               DD_LOG_NUMBER("protocol", DD_LEVEL),
               DD_LOG_TEXT("architecture", dd_span_cstr(DD_ARCHITECTURE)),
               DD_LOG_TEXT("endpoint", dd_span_cstr(engine->config.aws->endpoint)));
    engine->attached_told = true;
    dd_log(engine->config.log, SESSION_BEGUN,
           DD_LOG_TEXT("executionArn", dd_text_span(attached->arn)),
           DD_LOG_TEXT("requestId", or_empty(attached->request_id)),
           DD_LOG_NUMBER("deadline", attached->deadline_ms));
}

void dd_report_refused(const struct dd_engine *engine, struct dd_span request_id,
                       const struct dd_error *error)
{
    if (engine->aws)
        dd_log(engine->config.log, EVENT_REFUSED,
               DD_LOG_TEXT("requestId", request_id.data ? request_id : DD_SPAN("")),
               DD_LOG_TEXT("error", dd_span_cstr(error->text)),
               DD_LOG_CAUSE(DD_CAUSE_NO_ENVELOPE));
}

void dd_report_again(const struct dd_attached *attached, const struct dd_answer *answer)
{
    dd_log(attached->engine->config.log, STEP_RERUN,
           DD_LOG_TEXT("executionArn", dd_text_span(attached->arn)),
           DD_LOG_TEXT("requestId", or_empty(attached->request_id)),
           DD_LOG_TEXT("operationId", dd_text_span(answer->again->id)),
           DD_LOG_TEXT("operationName", or_empty(answer->again->name)),
           DD_LOG_NUMBER("attempt", answer->attempt));
}

/* What a PENDING invocation waits for; sets when the first of it is due, "" for never. */
static void write_awaited(const struct dd_session *session, struct dd_buf *out, char due[25])
{
    const struct dd_operation *awaited[DD_LOG_OPERATIONS_MAX];
    size_t len = dd_session_awaited(session, awaited, DD_COUNT(awaited));

    due[0] = '\0';
    if (len > 0 && awaited[0]->due_ms)
        dd_time_format(awaited[0]->due_ms, due);
    dd_buf_append_byte(out, '[');
    for (size_t i = 0; i < len && i < DD_COUNT(awaited); i++) {
        open_operation(out, awaited[i]);
        dd_buf_printf(out, ",\"operationType\":\"%s\"}",
                      dd_operation_type_name(awaited[i]->type));
    }
    dd_buf_append_byte(out, ']');
}

void dd_report_ended(const struct dd_attached *attached, const struct dd_answer *answer)
{
    const struct dd_error_object *failure = answer->failure;
    bool pending = !answer->raise && answer->outcome == DD_EXECUTION_RUNNING;
    const char *outcome = answer->raise ? "RETRIED"
                          : pending     ? "PENDING"
                                        : dd_execution_status_name(answer->outcome);
    struct dd_session_facts facts = dd_session_facts(attached->session);
    enum dd_cause cause = facts.revoked ? DD_CAUSE_REVOKED : DD_CAUSE_NONE;
    struct dd_buf awaits, steps;
    char next_due[25] = "";
    int64_t open_steps;

    if (!attached->engine->aws)
        return;
    dd_buf_init(&awaits, SIZE_MAX);
    dd_buf_init(&steps, SIZE_MAX);
    open_steps = write_steps(attached, &steps);
    if (pending && !facts.revoked)
        write_awaited(attached->session, &awaits, next_due);
    else
        dd_buf_append_cstr(&awaits, "[]");
    dd_log(attached->engine->config.log, SESSION_ENDED,
           DD_LOG_TEXT("executionArn", dd_text_span(attached->arn)),
           DD_LOG_TEXT("requestId", or_empty(attached->request_id)),
           DD_LOG_TEXT("outcome", dd_span_cstr(outcome)),
           DD_LOG_TEXT("error_type", or_empty(failure ? failure->type : NULL)),
           DD_LOG_NUMBER("ms", attached->engine->now_ms - attached->began_ms),
           DD_LOG_NUMBER("replayed", facts.replayed), DD_LOG_NUMBER("run", facts.run),
           DD_LOG_NUMBER("rerun", facts.rerun), DD_LOG_NUMBER("api_calls", attached->calls),
           DD_LOG_NUMBER("slowest_ms", attached->slowest_ms),
           DD_LOG_TEXT("next_due", dd_span_cstr(next_due)),
           DD_LOG_JSON("awaits", dd_buf_span(&awaits)), DD_LOG_NUMBER("open_steps", open_steps),
           DD_LOG_JSON("steps", dd_buf_span(&steps)), DD_LOG_CAUSE(cause));
    dd_buf_deinit(&awaits);
    dd_buf_deinit(&steps);
}

void dd_report_begin_failed(const struct dd_attached *attached, const struct dd_error *error)
{
    struct dd_answer answer = {.raise = true};

    if (!attached->session) {
        dd_report_refused(attached->engine, or_empty(attached->request_id), error);
        return;
    }
    answer.failure = dd_error_object_new(dd_span_cstr(dd_error_name(error->code)),
                                         dd_span_cstr(error->text));
    dd_report_ended(attached, &answer);
    dd_error_object_unref(answer.failure);
}

/* --- what an invocation leaves open ------------------------------------------------------- */

static struct lost *lost_new(const struct dd_attached *attached, bool ended)
{
    int64_t now_ms = attached->engine->now_ms, deadline_ms = attached->deadline_ms;
    struct lost *lost = dd_alloc(sizeof *lost);

    lost->arn = dd_text_ref(attached->arn);
    lost->request_id = dd_text_ref(attached->request_id);
    lost->running = (int64_t)dd_session_running(attached->session);
    lost->api_call = attached->backend != NULL;
    lost->ended = ended;
    lost->ms = now_ms - attached->began_ms;
    lost->left_ms = deadline_ms ? deadline_ms - now_ms : 0;
    lost->late = deadline_ms && deadline_ms <= now_ms;
    lost->told_ms = now_ms + DD_LOST_WAIT_MS;
    dd_buf_init(&lost->steps, SIZE_MAX);
    lost->open_steps = write_steps(attached, &lost->steps);
    return lost;
}

static void lost_free(struct lost *lost)
{
    dd_buf_deinit(&lost->steps);
    dd_text_unref(lost->arn);
    dd_text_unref(lost->request_id);
    dd_free(lost);
}

/* The types are those that the invocation has in the execution's history. */
static void log_open(const struct dd_engine *engine, const struct lost *lost,
                     struct dd_span reason)
{
    enum dd_cause cause = DD_CAUSE_SHUTDOWN;
    struct dd_span type = DD_SPAN("");

    if (lost->late || dd_span_is(reason, "timeout")) {
        cause = DD_CAUSE_TIMEOUT;
        type = DD_SPAN("Sandbox.Timedout");
    } else if (lost->ended || dd_span_is(reason, "failure")) {
        cause = DD_CAUSE_EXIT;
        type = DD_SPAN("Runtime.ExitError");
    }
    dd_log(engine->config.log, SESSION_OPEN, DD_LOG_TEXT("reason", reason),
           DD_LOG_TEXT("executionArn", dd_text_span(lost->arn)),
           DD_LOG_TEXT("requestId", or_empty(lost->request_id)),
           DD_LOG_TEXT("outcome", DD_SPAN("INTERRUPTED")), DD_LOG_TEXT("error_type", type),
           DD_LOG_NUMBER("running", lost->running),
           DD_LOG_NUMBER("open_steps", lost->open_steps),
           DD_LOG_JSON("steps", dd_buf_span(&lost->steps)),
           DD_LOG_NUMBER("api_call", lost->api_call), DD_LOG_NUMBER("ms", lost->ms),
           DD_LOG_NUMBER("left_ms", lost->left_ms), DD_LOG_CAUSE(cause));
}

void dd_report_lost(const struct dd_attached *attached)
{
    struct dd_engine *engine = attached->engine;

    if (!engine->aws)
        return;
    if (engine->lost_len == DD_LOST_MAX)
        dd_report_tell_lost(engine, DD_SPAN("none"));
    dd_list_push(&engine->lost, &lost_new(attached, true)->node);
    engine->lost_len++;
}

void dd_report_tell_lost(struct dd_engine *engine, struct dd_span reason)
{
    while (!dd_list_empty(&engine->lost)) {
        struct lost *lost = dd_container_of(dd_list_pop(&engine->lost), struct lost, node);

        log_open(engine, lost, reason);
        lost_free(lost);
    }
    engine->lost_len = 0;
}

void dd_engine_report_open(struct dd_engine *engine, struct dd_span reason, int64_t now_ms)
{
    struct dd_attached *attached;
    size_t at = 0;

    engine->now_ms = now_ms;
    dd_report_tell_lost(engine, reason);
    while ((attached = dd_map_next(&engine->sessions, &at)) != NULL) {
        struct lost *open = lost_new(attached, false);

        log_open(engine, open, reason);
        lost_free(open);
    }
}

int64_t dd_report_next_due(const struct dd_engine *engine)
{
    if (dd_list_empty(&engine->lost))
        return 0;
    return dd_container_of(engine->lost.next, struct lost, node)->told_ms;
}

void dd_report_due(struct dd_engine *engine)
{
    int64_t due_ms = dd_report_next_due(engine);

    if (due_ms && due_ms <= engine->now_ms)
        dd_report_tell_lost(engine, DD_SPAN("none"));
}

void dd_report_free(struct dd_engine *engine)
{
    while (!dd_list_empty(&engine->lost))
        lost_free(dd_container_of(dd_list_pop(&engine->lost), struct lost, node));
    while (!dd_list_empty(&engine->interrupted))
        interrupted_free(engine,
                         dd_container_of(engine->interrupted.next, struct interrupted, node));
}
