/* The daemon in front of Lambda's Runtime API (version 2018-06-01), for a runtime that was
 * started through durabled-wrap, whose function is not to see the durable envelope:
 *
 *   runtime ──► front ──► Lambda's Runtime API
 *                 │
 *              sessions ──► AWS's durable execution API
 *
 * What the runtime asks is asked of Lambda's API, and what that answers is passed on, byte for
 * byte; three requests are looked at:
 *
 *   next       of an event that is an envelope the function is given the execution's input, and
 *              the envelope is kept by the request id: a session may begin with that alone
 *   response,  of such an invocation Lambda is told how its session ended. One that no handler
 *   error      has ended is ended with what the function returned or raised; where no handler
 *              began one, the daemon does
 *
 * A call, from the runtime's request to its answer:
 *
 *   due ──► under way ──► answered ──► due ──► told
 *    ▲          │ a GET broke            ▲
 *    └──────────┘              an input is read, or a session's end awaited
 *
 * A sandbox may be frozen while `next` is under way: the connection outlasts that, and one that
 * did not is made again. What is posted and has no answer may have been carried out: it is not
 * sent twice. */
#include "engine/engine_priv.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "codec/json.h"
#include "engine/api.h"

#define RUNTIME "/2018-06-01/runtime/"
#define INVOCATION RUNTIME "invocation/"

/* Lambda's API, and where the daemon listens for it. */
struct dd_front {
    struct dd_list node;
    struct dd_engine *engine;
    struct dd_text *api; /* HOST:PORT */
    const char *address; /* ours */
};

/* A request or an answer. */
struct message {
    struct dd_buf method; /* of a request; ends in a NUL, as the next one */
    struct dd_buf url;
    int status;            /* of an answer; 0: there is none yet */
    struct dd_buf headers; /* names and values, each with its NUL */
    size_t headers_len;
    struct dd_buf body;
};

enum call_kind {
    CALL_PASSED,
    CALL_NEXT,
    CALL_ENDS,   /* an invocation of a durable function */
    CALL_FAILED, /* a `next` without an input: the invocation's failure is told first */
};

/* Freed by its answer, or with its peer. */
struct dd_front_call {
    struct dd_list node;
    struct dd_front *front;
    struct dd_http_reply reply;
    struct dd_fetch_owner owner;
    void *fetch; /* under way; NULL: none is */
    enum call_kind kind;
    bool raised;                     /* the runtime posts an error */
    struct dd_error_object *failure; /* of the function; NULL: it returned */
    struct message asked;            /* by the runtime */
    int body_error;                  /* of that; 0: its body is there */
    struct message ours;             /* asked in its place, when `own` */
    bool own;
    struct message answer;
    struct dd_wrapped *wrapped; /* that it waits for; NULL: it does not */
    int64_t due_ms;             /* when it is sent, or told; 0: not */
    int64_t pause_ms;
};

/* --- messages ---------------------------------------------------------------------------- */

static void message_init(struct message *message)
{
    dd_buf_init(&message->method, DD_HTTP_CONNECTION_BYTES);
    dd_buf_init(&message->url, DD_HTTP_CONNECTION_BYTES);
    dd_buf_init(&message->headers, SIZE_MAX);
    dd_buf_init(&message->body, DD_AWS_ANSWER_MAX);
}

static void message_clear(struct message *message)
{
    dd_buf_clear(&message->method);
    dd_buf_clear(&message->url);
    dd_buf_clear(&message->headers);
    dd_buf_clear(&message->body);
    message->headers_len = 0;
    message->status = 0;
}

static void message_deinit(struct message *message)
{
    dd_buf_deinit(&message->method);
    dd_buf_deinit(&message->url);
    dd_buf_deinit(&message->headers);
    dd_buf_deinit(&message->body);
}

static void add_header(struct message *message, const char *name, const char *value)
{
    dd_buf_append(&message->headers, name, strlen(name) + 1);
    dd_buf_append(&message->headers, value, strlen(value) + 1);
    message->headers_len++;
}

static bool same_name(const char *a, const char *b)
{
    while (*a && tolower((unsigned char)*a) == tolower((unsigned char)*b)) {
        a++;
        b++;
    }
    return !*a && !*b;
}

/* Those of one connection; Date is written anew. A request that came in chunks goes on so:
 * Lambda takes a response that is streamed no other way. */
static void pass_header(void *user, const char *name, const char *value)
{
    static const char *const own[] = {
        "Connection", "Content-Length",   "Date",    "Expect", "Host", "Keep-Alive",
        "TE",         "Proxy-Connection", "Trailer", "Upgrade"};
    struct message *message = user;

    for (size_t i = 0; i < DD_COUNT(own); i++) {
        if (same_name(name, own[i]))
            return;
    }
    if (message->status == 0 || !same_name(name, "Transfer-Encoding"))
        add_header(message, name, value);
}

/* Gives the headers as an array, whose texts stay the message's. */
static struct dd_http_header *list_headers(const struct message *message)
{
    struct dd_http_header *list = dd_alloc_array(message->headers_len, sizeof *list);
    const char *at = message->headers.data;

    for (size_t i = 0; i < message->headers_len; i++) {
        list[i].name = at;
        list[i].value = at + strlen(at) + 1;
        at = list[i].value + strlen(list[i].value) + 1;
    }
    return list;
}

static bool message_failed(const struct message *message)
{
    return message->method.failed || message->url.failed || message->headers.failed ||
           message->body.failed;
}

/* --- calls ------------------------------------------------------------------------------- */

static void wrapped_free(struct dd_wrapped *wrapped);

static void call_free(struct dd_front_call *call)
{
    dd_assert(!call->fetch);
    if (call->wrapped)
        wrapped_free(call->wrapped);
    dd_error_object_unref(call->failure);
    dd_list_remove(&call->node);
    message_deinit(&call->asked);
    message_deinit(&call->ours);
    message_deinit(&call->answer);
    dd_free(call);
}

void dd_engine_front_cancel(struct dd_engine *engine, struct dd_front_call *call,
                            int64_t now_ms)
{
    engine->now_ms = now_ms;
    if (call->fetch)
        engine->config.ports.fetch_cancel(engine->config.ports.user, call->fetch);
    call->fetch = NULL;
    call_free(call);
}

static void answered(struct dd_front_call *call, int status)
{
    call->answer.status = status;
    call->due_ms = call->front->engine->now_ms;
}

static void refuse(struct dd_front_call *call, int status, const char *type, const char *text)
{
    struct dd_error_object *failure =
        dd_error_object_new(dd_span_cstr(type), dd_span_cstr(text));

    add_header(&call->answer, "Content-Type", "application/json");
    dd_json_write_failure(&call->answer.body, failure);
    dd_error_object_unref(failure);
    answered(call, status);
}

/* The answer has its time: it is told, and the call is over. */
static void call_tell(struct dd_front_call *call)
{
    struct dd_http_header *headers = list_headers(&call->answer);
    struct dd_http_answer answer = {
        .status = call->answer.status,
        .headers = headers,
        .headers_len = call->answer.headers_len,
    };

    /* Half an event must not pass for one. */
    if (message_failed(&call->answer)) {
        message_clear(&call->answer);
        answer = (struct dd_http_answer){.status = 500};
    }
    answer.body = dd_buf_take(&call->answer.body, &answer.body_len);
    call->reply.send(call->reply.user, &answer);
    dd_free(headers);
    call_free(call);
}

static void on_fetched(struct dd_fetch_owner *owner, const struct dd_fetch_answer *answer);

static void call_send(struct dd_front_call *call)
{
    const struct message *message = call->own ? &call->ours : &call->asked;
    const struct dd_ports *ports = &call->front->engine->config.ports;
    struct dd_http_header *headers;
    struct dd_fetch_request request = {
        .method = message->method.data,
        .url = message->url.data,
        .connect_ms = DD_AWS_CONNECT_MS,
        .answer_max = DD_AWS_ANSWER_MAX,
        .direct = true,
    };

    call->due_ms = 0;
    if (message_failed(message)) {
        refuse(call, 500, "Daemon.OutOfMemory", "no memory for the request");
        return;
    }
    headers = list_headers(message);
    request.headers = headers;
    request.headers_len = message->headers_len;
    if (strcmp(request.method, "GET") != 0)
        request.body = dd_buf_span(&message->body);
    call->owner.done = on_fetched;
    call->fetch = ports->fetch(ports->user, &request, &call->owner);
    dd_free(headers);
}

/* Begins the request that Lambda is sent in place of the runtime's, about one invocation. */
static struct message *own_request(struct dd_front_call *call, struct dd_span request_id,
                                   const char *what)
{
    struct message *ours = &call->ours;

    message_clear(ours);
    dd_buf_append(&ours->method, "POST", sizeof "POST");
    dd_buf_printf(&ours->url, "http://%s" INVOCATION, call->front->api->data);
    dd_buf_append_span(&ours->url, request_id);
    dd_buf_printf(&ours->url, "/%s", what);
    dd_buf_append_byte(&ours->url, '\0');
    add_header(ours, "Content-Type", "application/json");
    call->own = true;
    return ours;
}

static bool fits_header(const struct dd_text *text)
{
    for (uint32_t i = 0; text && i < text->len; i++) {
        if (!isgraph((unsigned char)text->data[i]))
            return false;
    }
    return text && text->len > 0 && text->len < DD_NAME_MAX;
}

/* Lambda is to be told that the invocation has failed. */
static void own_error(struct dd_front_call *call, struct dd_span request_id,
                      const struct dd_error_object *failure)
{
    struct message *ours = own_request(call, request_id, "error");

    if (fits_header(failure->type))
        add_header(ours, "Lambda-Runtime-Function-Error-Type", failure->type->data);
    dd_json_write_failure(&ours->body, failure);
}

/* --- invocations of durable functions ---------------------------------------------------- */

static void wrapped_free(struct dd_wrapped *wrapped)
{
    struct dd_attached *attached = wrapped->attached;

    if (wrapped->call)
        wrapped->call->wrapped = NULL;
    if (attached) {
        attached->wrapped = NULL;
        if (!attached->peer)
            dd_session_discard(attached);
    }
    dd_list_remove(&wrapped->node);
    wrapped->engine->wrapped_len--;
    dd_event_deinit(&wrapped->event);
    dd_text_unref(wrapped->request_id);
    dd_error_object_unref(wrapped->failure);
    dd_buf_deinit(&wrapped->output);
    dd_free(wrapped);
}

/* Those of a runtime that has crashed are never answered: they go once their deadline is past,
 * or when the same invocation is given again. One that may still run stays, as what it answers
 * must not go out as it is. False: there is no room for another. */
static bool make_room(struct dd_engine *engine, struct dd_span request_id)
{
    dd_list_each(node, tmp, &engine->wrapped)
    {
        struct dd_wrapped *wrapped = dd_container_of(node, struct dd_wrapped, node);
        bool over = wrapped->deadline_ms < engine->now_ms ||
                    dd_span_equal(dd_text_span(wrapped->request_id), request_id);

        if (!wrapped->call && over)
            wrapped_free(wrapped);
    }
    return engine->wrapped_len < DD_FRONT_INVOCATIONS_MAX;
}

/* Lambda tells it; else it is as late as that of any function. */
static int64_t read_deadline(const struct dd_engine *engine, struct dd_span text)
{
    int64_t deadline_ms = 0;

    for (size_t i = 0; i < text.len && isdigit((unsigned char)text.data[i]) && i < 15; i++)
        deadline_ms = deadline_ms * 10 + (text.data[i] - '0');
    return deadline_ms ? deadline_ms : engine->now_ms + DD_HOSTED_TIMEOUT_S_MAX * 1000;
}

static struct dd_wrapped *wrapped_new(struct dd_engine *engine, struct dd_event *event,
                                      struct dd_span request_id, struct dd_span deadline)
{
    struct dd_wrapped *wrapped = dd_alloc(sizeof *wrapped);

    wrapped->engine = engine;
    wrapped->event = *event;
    wrapped->request_id = dd_text_new(request_id);
    wrapped->deadline_ms = read_deadline(engine, deadline);
    dd_buf_init(&wrapped->output, DD_FRAME_MAX);
    dd_list_push(&engine->wrapped, &wrapped->node);
    engine->wrapped_len++;
    return wrapped;
}

struct dd_wrapped *dd_wrapped_find(struct dd_engine *engine, struct dd_span request_id)
{
    struct dd_wrapped *found = NULL;

    dd_list_each(node, tmp, &engine->wrapped)
    {
        struct dd_wrapped *wrapped = dd_container_of(node, struct dd_wrapped, node);

        if (dd_span_equal(dd_text_span(wrapped->request_id), request_id))
            found = wrapped; /* an earlier one's end is still told */
    }
    return found;
}

int dd_wrapped_release(struct dd_wrapped *wrapped, struct dd_error *error)
{
    struct dd_attached *own = wrapped->attached;

    if (wrapped->call || wrapped->ended || (own && own->peer))
        return dd_fail(error, DD_OUT_OF_ORDER,
                       "request_id: this invocation has its session, or had it");
    if (own)
        dd_session_discard(own);
    wrapped->lost = false;
    return 0;
}

/* --- next -------------------------------------------------------------------------------- */

/* The function is given its input. */
static void give_input(struct dd_front_call *call, const struct dd_text *input)
{
    struct dd_buf *body = &call->answer.body;

    call->wrapped->call = NULL;
    call->wrapped = NULL;
    /* Started without an input: runtimes want JSON. */
    dd_buf_append_cstr(body, input && input->len > 0 ? "" : "{}");
    dd_buf_append_span(body, dd_text_span(input));
    answered(call, call->answer.status);
}

void dd_wrapped_begun(struct dd_wrapped *wrapped, const struct dd_text *input)
{
    struct dd_front_call *call = wrapped->call;

    if (call && call->kind == CALL_NEXT)
        give_input(call, input);
    else if (call) /* not ended from inside its begin */
        call->due_ms = call->front->engine->now_ms;
}

static const struct dd_operation *find_execution(const struct dd_event *event)
{
    for (size_t i = 0; i < event->operations_len; i++) {
        if (event->operations[i].type == DD_TYPE_EXECUTION)
            return &event->operations[i];
    }
    return NULL;
}

/* Of an event that is not given to the function: its invocation fails, and the runtime waits
 * for the next. */
static void fail_next(struct dd_front_call *call, struct dd_span request_id,
                      const struct dd_error_object *failure)
{
    call->kind = CALL_FAILED;
    message_clear(&call->answer);
    own_error(call, request_id, failure);
    call->due_ms = call->front->engine->now_ms;
}

static void turn_away(struct dd_front_call *call, struct dd_span request_id)
{
    struct dd_error_object *failure =
        dd_error_object_new(dd_span_cstr(dd_error_name(DD_TOO_MANY_REQUESTS)),
                            DD_SPAN("The daemon has no room for one more invocation at once"));

    fail_next(call, request_id, failure);
    dd_error_object_unref(failure);
}

/* Whether the event is an envelope. An input that is not in it is on a later page of the state,
 * which a session reads. The second look is at what the first finds. */
static bool take_envelope(struct dd_front_call *call, const struct dd_fetch_answer *answer)
{
    struct dd_engine *engine = call->front->engine;
    struct dd_span id = answer->header(answer, "Lambda-Runtime-Aws-Request-Id");
    const struct dd_operation *execution;
    struct dd_error error;
    struct dd_event event;

    if (!id.data || !dd_span_find(answer->body, "\"DurableExecutionArn\"") ||
        dd_json_parse_event(answer->body, &event, &error) != 0)
        return false;
    if (!make_room(engine, id)) {
        dd_event_deinit(&event);
        turn_away(call, id);
        return true;
    }
    call->wrapped =
        wrapped_new(engine, &event, id, answer->header(answer, "Lambda-Runtime-Deadline-Ms"));
    call->wrapped->call = call;
    execution = find_execution(&call->wrapped->event);
    if (execution)
        give_input(call, execution->result);
    else
        dd_session_hold(call->wrapped);
    return true;
}

static void ask_again(struct dd_front_call *call, const char *why)
{
    struct dd_engine *engine = call->front->engine;

    call->pause_ms = call->pause_ms ? 2 * call->pause_ms : DD_FRONT_PAUSE_MS;
    if (call->pause_ms > DD_FRONT_PAUSE_MAX_MS)
        call->pause_ms = DD_FRONT_PAUSE_MAX_MS;
    call->due_ms = engine->now_ms + call->pause_ms;
    dd_log(engine->config.log, RUNTIME_API_RETRIED, DD_LOG_TEXT("error", dd_span_cstr(why)),
           DD_LOG_NUMBER("pause_ms", call->pause_ms));
}

static void pass_answer(struct dd_front_call *call, const struct dd_fetch_answer *answer)
{
    call->answer.status = answer->status;
    answer->each_header(answer, pass_header, &call->answer);
    if (call->kind == CALL_NEXT && answer->status == 200 && take_envelope(call, answer))
        return;
    dd_buf_append_span(&call->answer.body, answer->body);
    answered(call, answer->status);
}

static void on_fetched(struct dd_fetch_owner *owner, const struct dd_fetch_answer *answer)
{
    struct dd_front_call *call = dd_container_of(owner, struct dd_front_call, owner);
    struct dd_engine *engine = call->front->engine;

    call->fetch = NULL;
    if (answer->outcome == DD_FETCH_ANSWERED && call->kind != CALL_FAILED) {
        pass_answer(call, answer);
    } else if (answer->outcome == DD_FETCH_ANSWERED) {
        if (call->wrapped)
            wrapped_free(call->wrapped);
        call->kind = CALL_NEXT;
        call->own = false;
        call_send(call);
    } else if (!call->own && strcmp(call->asked.method.data, "GET") == 0) {
        ask_again(call, answer->text);
    } else {
        dd_log(engine->config.log, RUNTIME_API_FAILED,
               DD_LOG_TEXT("error", dd_span_cstr(answer->text)));
        refuse(call, 502, dd_error_name(DD_SERVICE), answer->text);
    }
}

/* --- response and error ------------------------------------------------------------------ */

/* Lambda is told how the invocation ended, which is over here with its answer. */
static void tell_end(struct dd_front_call *call)
{
    struct dd_wrapped *wrapped = call->wrapped;
    struct dd_span id = dd_text_span(wrapped->request_id);

    if (wrapped->failure && (!call->raised || call->body_error))
        own_error(call, id, wrapped->failure);
    else if (!wrapped->failure)
        dd_buf_append_span(&own_request(call, id, "response")->body,
                           dd_buf_span(&wrapped->output));
    call->ours.body.failed |= wrapped->output.failed;
    call->kind = CALL_PASSED;
    if (wrapped->attached && wrapped->attached->peer) {
        wrapped->attached->wrapped = NULL;
        wrapped->attached = NULL;
    }
    call_send(call);
}

static void fail(struct dd_wrapped *wrapped, struct dd_span type, const char *text)
{
    if (!wrapped->failure)
        wrapped->failure = dd_error_object_new(type, dd_span_cstr(text));
}

void dd_wrapped_ended(struct dd_wrapped *wrapped, const struct dd_answer *answer)
{
    wrapped->attached->wrapped = NULL;
    wrapped->attached = NULL;
    wrapped->ended = true;
    if (!answer->raise)
        dd_json_write_output(&wrapped->output, answer);
    else if (answer->failure)
        wrapped->failure = dd_error_object_ref(answer->failure);
    else
        fail(wrapped, dd_span_cstr(dd_error_name(DD_SERVICE)), "the session failed");
    if (wrapped->call)
        tell_end(wrapped->call);
}

void dd_wrapped_refused(struct dd_wrapped *wrapped, const struct dd_error *error)
{
    struct dd_front_call *call = wrapped->call;

    /* Its handler is still beginning the session, or ending it: that is told. */
    if (error->code == DD_OUT_OF_ORDER)
        return;
    fail(wrapped, dd_span_cstr(dd_error_name(error->code)), error->text);
    if (call->kind == CALL_ENDS)
        tell_end(call);
    else
        fail_next(call, dd_text_span(wrapped->request_id), wrapped->failure);
}

/* As when a process ends within its invocation: what it began is not known to be over. */
static void tell_lost(struct dd_front_call *call)
{
    fail(call->wrapped, DD_SPAN("Runtime.ExitError"),
         "The handler's session was lost before it was ended");
    tell_end(call);
}

void dd_wrapped_lost(struct dd_wrapped *wrapped)
{
    wrapped->attached = NULL;
    wrapped->lost = true;
    if (wrapped->call && wrapped->call->kind == CALL_ENDS)
        tell_lost(wrapped->call);
}

/* What a client raises to have its invocation run again: by these names in AWS's SDK for
 * Python and in ours, with or without their module. */
static bool is_retryable(const struct dd_text *type)
{
    static const char *const names[] = {
        "InvocationError",      "InvocationFailedError", "RetryableSerDesError",
        "StepInterruptedError", "CheckpointError",       "GetExecutionStateError",
        "ConnectionLostError",  "NoDaemonError",
    };
    const char *name = dd_text_or(type, "");
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; i < DD_COUNT(names); i++) {
        if (strcmp(dot ? dot + 1 : name, names[i]) == 0)
            return true;
    }
    return false;
}

static struct dd_error_object *read_failure(const struct dd_front_call *call,
                                            struct dd_span type)
{
    struct dd_error_object *failure, *fitting;

    if (!type.data || type.len == 0 || !dd_utf8_valid(type))
        type = DD_SPAN("Runtime.Unknown");
    failure = dd_json_parse_failure(
        call->body_error ? DD_SPAN_NONE : dd_buf_span(&call->asked.body), type);
    fitting = dd_error_object_fit(failure, DD_INVOCATION_ERROR_MAX);
    dd_error_object_unref(failure);
    return fitting;
}

/* What the runtime posted is lost, which is not the function's doing. */
static bool is_body_lost(const struct dd_front_call *call)
{
    return call->body_error && call->body_error != DD_REQUEST_TOO_LARGE;
}

static struct dd_error_object *body_failure(const struct dd_front_call *call)
{
    if (is_body_lost(call))
        return dd_error_object_new(dd_span_cstr(dd_error_name(call->body_error)),
                                   DD_SPAN("The daemon had no memory for what the function "
                                           "came to"));
    return dd_error_object_new(DD_SPAN("Function.ResponseSizeTooLarge"),
                               DD_SPAN("Response payload size exceeded maximum allowed payload "
                                       "size (6291556 bytes)."));
}

/* The error that the function came to; NULL: none, and what it answered is its result. */
static struct dd_error_object *judge(const struct dd_front_call *call, struct dd_span type)
{
    struct dd_span body = dd_buf_span(&call->asked.body);

    if (call->raised && !is_body_lost(call))
        return read_failure(call, type);
    if (call->body_error || body.len > DD_RESULT_MAX)
        return body_failure(call);
    if (!dd_utf8_valid(body))
        return dd_error_object_new(DD_SPAN("Runtime.InvalidResponse"),
                                   DD_SPAN("The function's response is not UTF-8"));
    return NULL;
}

/* Ends the session as its handler would. */
static void finish(struct dd_front_call *call)
{
    struct dd_attached *attached = call->wrapped->attached;
    struct dd_call end = {.kind = DD_CALL_END};

    call->due_ms = 0;
    if (dd_session_suspended(attached->session)) {
        end.unwound = true;
    } else if (call->failure) {
        end.error = call->failure;
        end.invocation =
            is_body_lost(call) || (call->raised && is_retryable(call->failure->type));
    } else {
        end.payload = dd_buf_span(&call->asked.body);
    }
    dd_session_finish(attached, &end);
}

static void end_wrapped(struct dd_front_call *call, struct dd_wrapped *wrapped,
                        struct dd_span type)
{
    call->kind = CALL_ENDS;
    call->wrapped = wrapped;
    call->failure = judge(call, type);
    wrapped->call = call;
    if (wrapped->ended)
        tell_end(call);
    else if (wrapped->lost)
        tell_lost(call);
    else if (wrapped->attached)
        finish(call);
    else
        dd_session_hold(wrapped);
}

/* An invocation's end. A body that can't be passed on is its failure, as Lambda has it. */
static void end(struct dd_front_call *call, struct dd_span id,
                const struct dd_http_request *request)
{
    struct dd_wrapped *wrapped = dd_wrapped_find(call->front->engine, id);

    if (wrapped && wrapped->call) {
        refuse(call, 403, "InvalidStateTransition", "the invocation's end is under way");
    } else if (wrapped) {
        end_wrapped(call, wrapped,
                    request->header(request, "Lambda-Runtime-Function-Error-Type"));
    } else if (call->body_error) {
        struct dd_error_object *failure = body_failure(call);

        own_error(call, id, failure);
        dd_error_object_unref(failure);
        call_send(call);
    } else {
        call_send(call);
    }
}

/* --- requests ---------------------------------------------------------------------------- */

static void take_request(struct dd_front_call *call, const struct dd_http_request *request)
{
    struct message *asked = &call->asked;

    dd_buf_append_span(&asked->method, request->method);
    dd_buf_append_byte(&asked->method, '\0');
    dd_buf_printf(&asked->url, "http://%s", call->front->api->data);
    dd_buf_append_span(&asked->url, request->target);
    dd_buf_append_byte(&asked->url, '\0');
    request->each_header(request, pass_header, asked);
    call->body_error = request->body_error;
    if (!call->body_error)
        dd_buf_append_span(&asked->body, request->body);
}

/* A target is a part of a URL of ours: anything else would name another host, or less than
 * what was looked at. */
static bool is_path(struct dd_span target)
{
    for (size_t i = 0; i < target.len; i++) {
        if (target.data[i] <= ' ' || target.data[i] > '~' || target.data[i] == '#')
            return false;
    }
    return target.len > 0 && target.data[0] == '/';
}

static void route(struct dd_front_call *call, const struct dd_http_request *request)
{
    bool post = dd_span_is(request->method, "POST");
    const char *query = dd_span_find(request->target, "?");
    struct dd_span id, path = request->target;

    if (query)
        path.len = (size_t)(query - path.data);
    take_request(call, request);
    if (!is_path(request->target)) {
        refuse(call, 400, dd_error_name(DD_INVALID_PARAMETER), "the target is no path");
    } else if (message_failed(&call->asked)) {
        refuse(call, 500, dd_error_name(DD_NO_MEMORY), "no memory for the request");
    } else if (dd_span_is(request->method, "GET") && dd_span_is(path, INVOCATION "next")) {
        call->kind = CALL_NEXT;
        call_send(call);
    } else if (post && (id = dd_runtime_between(path, INVOCATION, "/response")).data) {
        end(call, id, request);
    } else if (post && (id = dd_runtime_between(path, INVOCATION, "/error")).data) {
        call->raised = true;
        end(call, id, request);
    } else if (call->body_error) {
        enum dd_code code = (enum dd_code)call->body_error;

        refuse(call, dd_error_status(code), dd_error_name(code), "the body is not kept");
    } else {
        call_send(call);
    }
}

struct dd_front_call *dd_engine_front_request(struct dd_engine *engine, struct dd_front *front,
                                              const struct dd_http_request *request,
                                              const struct dd_http_reply *reply, int64_t now_ms)
{
    struct dd_front_call *call = dd_alloc(sizeof *call);

    engine->now_ms = now_ms;
    call->front = front;
    call->reply = *reply;
    message_init(&call->asked);
    message_init(&call->ours);
    message_init(&call->answer);
    dd_list_push(&engine->front_calls, &call->node);
    if (dd_api_from_page(request) || !dd_api_host_allowed(request->header(request, "Host"), ""))
        refuse(call, 403, dd_error_name(DD_ACCESS_DENIED),
               "only the function's own runtime is served here");
    else
        route(call, request);
    return call;
}

/* --- due --------------------------------------------------------------------------------- */

void dd_front_due(struct dd_engine *engine)
{
    dd_list_each(node, tmp, &engine->front_calls)
    {
        struct dd_front_call *call = dd_container_of(node, struct dd_front_call, node);

        if (!call->due_ms || call->due_ms > engine->now_ms)
            continue;
        if (call->answer.status)
            call_tell(call);
        else if (call->kind == CALL_ENDS)
            finish(call);
        else
            call_send(call);
    }
}

int64_t dd_front_next_due(const struct dd_engine *engine)
{
    int64_t next = 0;

    dd_list_each(node, tmp, &engine->front_calls)
    {
        int64_t due_ms = dd_container_of(node, struct dd_front_call, node)->due_ms;

        if (due_ms && (!next || due_ms < next))
            next = due_ms;
    }
    return next;
}

/* --- life -------------------------------------------------------------------------------- */

/* "HOST:PORT", of characters that are nothing else in a URL. */
static bool is_address(struct dd_span text)
{
    const char *colon = dd_span_find(text, ":");

    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (!isalnum((unsigned char)c) && !strchr(".-:[]", c))
            return false;
    }
    return colon && colon > text.data && text.len <= DD_FRONT_ADDRESS_MAX;
}

static struct dd_front *find(const struct dd_engine *engine, struct dd_span api)
{
    dd_list_each(node, tmp, &engine->fronts)
    {
        struct dd_front *front = dd_container_of(node, struct dd_front, node);

        if (dd_span_equal(dd_text_span(front->api), api))
            return front;
    }
    return NULL;
}

static void front_free(struct dd_front *front)
{
    dd_list_remove(&front->node);
    front->engine->fronts_len--;
    dd_text_unref(front->api);
    dd_free(front);
}

/* Closes the one that was asked for longest ago of those that no runtime is connected to.
 * False: each has one. */
static bool close_unused(struct dd_engine *engine)
{
    const struct dd_ports *ports = &engine->config.ports;

    dd_list_each(node, tmp, &engine->fronts)
    {
        struct dd_front *front = dd_container_of(node, struct dd_front, node);

        if (ports->unlisten(ports->user, front)) {
            front_free(front);
            return true;
        }
    }
    return false;
}

int dd_front_open(struct dd_engine *engine, struct dd_span api, const char **out_address,
                  struct dd_error *error)
{
    const struct dd_ports *ports = &engine->config.ports;
    struct dd_front *front = find(engine, api);
    int rc;

    if (front) {
        dd_list_remove(&front->node);
        dd_list_push(&engine->fronts, &front->node);
        *out_address = front->address;
        return 0;
    }
    if (!ports->listen)
        return dd_fail(error, DD_UNKNOWN_METHOD,
                       "daemon.runtime_api: this daemon is no extension of Lambda");
    if (!is_address(api))
        return dd_fail(error, DD_INVALID_PARAMETER, "api: is no HOST:PORT");
    if (engine->fronts_len >= DD_FRONTS_MAX && !close_unused(engine))
        return dd_fail(error, DD_TOO_MANY_REQUESTS, "too many Runtime APIs: %d", DD_FRONTS_MAX);
    front = dd_alloc(sizeof *front);
    front->engine = engine;
    front->api = dd_text_new(api);
    rc = ports->listen(ports->user, front, &front->address, error);
    if (rc) {
        dd_text_unref(front->api);
        dd_free(front);
        return dd_fail(error, DD_SERVICE, "%s", error->text);
    }
    dd_list_push(&engine->fronts, &front->node);
    engine->fronts_len++;
    dd_log(engine->config.log, RUNTIME_API_OPENED, DD_LOG_TEXT("api", api),
           DD_LOG_TEXT("address", dd_span_cstr(front->address)));
    *out_address = front->address;
    return 0;
}

void dd_front_free(struct dd_engine *engine)
{
    dd_assert(dd_list_empty(&engine->front_calls));
    while (!dd_list_empty(&engine->wrapped))
        wrapped_free(dd_container_of(engine->wrapped.next, struct dd_wrapped, node));
    while (!dd_list_empty(&engine->fronts))
        front_free(dd_container_of(engine->fronts.next, struct dd_front, node));
}
