/* The Lambda Runtime API (version 2018-06-01), as the runtimes of hosted functions ask it:
 *
 *   GET  /runtime/invocation/next            parked until there is an invocation
 *   POST /runtime/invocation/{id}/response   what the handler returned
 *   POST /runtime/invocation/{id}/error      what it raised
 *   POST /runtime/init/error                 why the function does not start
 *
 * Each process has a listener of its own, so a request belongs to its sandbox. Shapes and
 * errors: AWS's "Using the Lambda runtime API for custom runtimes". */
#include "engine/api.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "codec/api.h"
#include "codec/json.h"
#include "codec/pack.h"

#define RUNTIME "/2018-06-01/runtime/"
#define INVOCATION RUNTIME "invocation/"
#define HEADERS_MAX 8

/* One request and the answer to come. Freed by its answer, or with its peer. */
struct dd_runtime_call {
    struct dd_gate_action action; /* while it waits in the gate */
    struct dd_engine *engine;
    struct dd_sandbox *sandbox; /* that it is parked in; NULL: it is not */
    struct dd_http_reply reply;
    int status;
    struct dd_buf body;
    /* Of an invocation. */
    struct dd_text *request_id, *tenant_id, *client_context;
    char deadline[24];
    char arn[DD_FUNCTION_REF_MAX];
    char trace[80];
};

static void call_free(struct dd_runtime_call *call)
{
    if (call->sandbox)
        call->sandbox->next = NULL;
    dd_list_remove(&call->action.node);
    dd_text_unref(call->request_id);
    dd_text_unref(call->tenant_id);
    dd_text_unref(call->client_context);
    dd_buf_deinit(&call->body);
    dd_free(call);
}

void dd_engine_runtime_cancel(struct dd_engine *engine, struct dd_runtime_call *call,
                              int64_t now_ms)
{
    static const struct dd_outcome released = {.kind = DD_OUTCOME_RELEASED};
    struct dd_invocation *invocation;

    engine->now_ms = now_ms;
    /* What it was to be given did not reach it. */
    invocation =
        call->request_id ? dd_invocation_find(engine, dd_text_span(call->request_id)) : NULL;
    if (invocation && !engine->closing)
        dd_invocation_end(engine, invocation, &released);
    call_free(call);
}

static void send_answer(struct dd_gate_action *action)
{
    struct dd_runtime_call *call = dd_container_of(action, struct dd_runtime_call, action);
    struct dd_http_header headers[HEADERS_MAX];
    struct dd_http_answer answer = {.status = call->status, .headers = headers};

    headers[answer.headers_len++] = (struct dd_http_header){"Content-Type", "application/json"};
    if (call->request_id) {
        headers[answer.headers_len++] =
            (struct dd_http_header){"Lambda-Runtime-Aws-Request-Id", call->request_id->data};
        headers[answer.headers_len++] =
            (struct dd_http_header){"Lambda-Runtime-Deadline-Ms", call->deadline};
        headers[answer.headers_len++] =
            (struct dd_http_header){"Lambda-Runtime-Invoked-Function-Arn", call->arn};
        headers[answer.headers_len++] =
            (struct dd_http_header){"Lambda-Runtime-Trace-Id", call->trace};
    }
    if (call->client_context)
        headers[answer.headers_len++] = (struct dd_http_header){"Lambda-Runtime-Client-Context",
                                                                call->client_context->data};
    if (call->tenant_id)
        headers[answer.headers_len++] =
            (struct dd_http_header){"Lambda-Runtime-Aws-Tenant-Id", call->tenant_id->data};
    answer.body = dd_buf_take(&call->body, &answer.body_len);
    call->reply.send(call->reply.user, &answer);
    call_free(call);
}

static void answer_after(struct dd_runtime_call *call, int status, uint64_t position)
{
    call->status = status;
    call->action.run = send_answer;
    dd_gate_add(&call->engine->gate, &call->action, position);
}

static void accepted(struct dd_runtime_call *call, uint64_t position)
{
    dd_buf_append_cstr(&call->body, "{\"status\":\"OK\"}");
    answer_after(call, 202, position);
}

static void refuse(struct dd_runtime_call *call, int status, const char *type,
                   const char *message)
{
    dd_buf_printf(&call->body, "{\"errorMessage\":\"%s\",\"errorType\":\"%s\"}", message, type);
    answer_after(call, status, 0);
}

/* --- invocations ------------------------------------------------------------------------- */

/* X-Ray's form of a root trace id, made of the invocation's: nothing is traced. */
static void format_trace(const struct dd_engine *engine, const struct dd_text *request_id,
                         char *out, size_t size)
{
    char digits[DD_UUID_TEXT_LEN + 1];
    size_t len = 0;

    for (const char *c = request_id->data; *c && len < DD_UUID_TEXT_LEN; c++) {
        if (*c != '-')
            digits[len++] = *c;
    }
    digits[len] = '\0';
    snprintf(out, size, "Root=1-%08" PRIx32 "-%.24s;Parent=%.16s;Sampled=0",
             (uint32_t)(engine->now_ms / 1000), digits, digits);
}

/* Without a Timeout the deadline is as far away as an execution may last. */
static int64_t deadline_of(const struct dd_engine *engine,
                           const struct dd_invocation *invocation)
{
    return invocation->deadline_ms ? invocation->deadline_ms
                                   : engine->now_ms + (int64_t)DD_SECONDS_MAX * 1000;
}

/* The event of a durable function, with the first page of its state: some SDKs take the
 * EXECUTION operation by its place (service-api 2). */
static void pack_event(struct dd_buf *out, const struct dd_envelope *envelope,
                       const struct dd_page *page)
{
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    msgpack_pack_map(&packer, 4);
    dd_pack_cstr(&packer, "DurableExecutionArn");
    dd_pack_text(&packer, envelope->arn);
    dd_pack_cstr(&packer, "CheckpointToken");
    dd_pack_text(&packer, envelope->token);
    dd_pack_cstr(&packer, "InitialExecutionState");
    msgpack_pack_map(&packer, 2);
    dd_pack_cstr(&packer, "Operations");
    msgpack_pack_array(&packer, page->operations_len);
    for (size_t i = 0; i < page->operations_len; i++)
        dd_wire_pack_operation(&packer, page->operations[i], true);
    dd_pack_cstr(&packer, "NextMarker");
    dd_pack_cstr(&packer, dd_text_or(page->next_marker, ""));
    dd_pack_cstr(&packer, "UpdatedOperationIds");
    msgpack_pack_array(&packer, envelope->updated_ids_len);
    for (size_t i = 0; i < envelope->updated_ids_len; i++)
        dd_pack_text(&packer, envelope->updated_ids[i]);
}

static void write_event(struct dd_engine *engine, struct dd_uuid execution,
                        const struct dd_envelope *envelope, struct dd_buf *out)
{
    struct dd_span token = dd_text_span(envelope->token), arn = dd_text_span(envelope->arn);
    struct dd_resident *resident;
    struct dd_page page;
    struct dd_error error;
    struct dd_buf packed;
    int rc = dd_engine_load(engine, execution, &resident, &error);

    if (rc == 0)
        rc = dd_execution_state(resident->execution, arn, token, DD_SPAN_NONE,
                                DD_PAGE_ITEMS_MAX, &page, &error);
    dd_assert(rc == 0);
    dd_buf_init(&packed, DD_FRAME_MAX);
    pack_event(&packed, envelope, &page);
    dd_page_deinit(&page);
    if (!packed.failed)
        dd_api_write(out, dd_buf_span(&packed), DD_API_MILLISECONDS);
    /* An event is a request of Lambda's, of 6 MB: with a longer input the state is read. */
    if (packed.failed || out->failed || out->len > DD_INPUT_MAX) {
        dd_buf_clear(out);
        dd_json_write_envelope(out, envelope);
    }
    dd_buf_deinit(&packed);
}

void dd_runtime_give(struct dd_sandbox *sandbox, struct dd_uuid execution)
{
    struct dd_runtime_call *call = sandbox->next;
    struct dd_engine *engine = call->engine;
    struct dd_credentials process = {sandbox->process.pid, sandbox->process.started};
    struct dd_text *instance = dd_text_cstr("");
    struct dd_given given;

    dd_invocation_begin(engine, execution, process, instance, &given);
    dd_text_unref(instance);
    given.invocation->sandbox = sandbox;
    sandbox->invocation = given.invocation;
    sandbox->next = NULL;
    call->sandbox = NULL;
    call->request_id = dd_text_ref(given.envelope.request_id);
    call->tenant_id = dd_text_ref(given.envelope.tenant_id);
    call->client_context = dd_text_new(dd_api_client_context(engine, execution));
    snprintf(call->deadline, sizeof call->deadline, "%" PRId64,
             deadline_of(engine, given.invocation));
    snprintf(call->arn, sizeof call->arn, "arn:aws:lambda:%s:%s:function:%s%s",
             engine->service.region, engine->service.account, sandbox->host->name->data,
             given.envelope.plain ? "" : ":$LATEST");
    format_trace(engine, call->request_id, call->trace, sizeof call->trace);
    if (given.envelope.plain)
        dd_buf_append_span(&call->body, dd_envelope_payload(&given.envelope));
    else
        write_event(engine, execution, &given.envelope, &call->body);
    answer_after(call, 200, given.position);
    dd_envelope_deinit(&given.envelope);
}

static void next(struct dd_runtime_call *call, struct dd_sandbox *sandbox)
{
    if (sandbox->next || sandbox->invocation) {
        refuse(call, 403, "InvalidStateTransition",
               "an invocation is open, or was asked for already");
        return;
    }
    call->sandbox = sandbox;
    sandbox->next = call;
    dd_sandbox_idle(sandbox);
}

static void responded(struct dd_runtime_call *call, struct dd_sandbox *sandbox,
                      const struct dd_http_request *request)
{
    struct dd_engine *engine = call->engine;
    struct dd_uuid execution = sandbox->invocation->execution;
    /* Of a durable function the result is in an envelope, and has a limit of its own. */
    size_t max = sandbox->invocation->plain ? DD_RESULT_MAX : DD_RUNTIME_RESPONSE_MAX;

    if (request->body_error || request->body.len > max) {
        dd_invocation_fail(engine, sandbox->invocation,
                           DD_SPAN("Function.ResponseSizeTooLarge"),
                           "Response payload size exceeded maximum allowed payload size "
                           "(6291556 bytes).");
        refuse(call, 413, "RequestEntityTooLarge",
               "Exceeded maximum allowed payload size (6291556 bytes).");
        return;
    }
    if (!dd_utf8_valid(request->body)) {
        dd_invocation_fail(engine, sandbox->invocation, DD_SPAN("Runtime.InvalidResponse"),
                           "The function's response is not UTF-8");
    } else if (!dd_invocation_respond(engine, sandbox->invocation, request->body)) {
        refuse(call, 500, "ServiceException", "no memory for the response");
        return;
    }
    accepted(call, dd_journal_position(engine->config.journal, execution));
}

static struct dd_error_object *read_failure(const struct dd_http_request *request,
                                            const char *type)
{
    struct dd_span given = request->header(request, "Lambda-Runtime-Function-Error-Type");

    return dd_json_parse_failure(request->body_error ? DD_SPAN_NONE : request->body,
                                 given.len > 0 && dd_utf8_valid(given) ? given
                                                                       : dd_span_cstr(type));
}

static void raised(struct dd_runtime_call *call, struct dd_sandbox *sandbox,
                   const struct dd_http_request *request)
{
    struct dd_outcome outcome = {.kind = DD_OUTCOME_FAILED};
    struct dd_uuid execution = sandbox->invocation->execution;

    outcome.error = read_failure(request, "Runtime.Unknown");
    dd_invocation_end(call->engine, sandbox->invocation, &outcome);
    dd_error_object_unref(outcome.error);
    accepted(call, dd_journal_position(call->engine->config.journal, execution));
}

/* --- routes ------------------------------------------------------------------------------ */

struct dd_span dd_runtime_between(struct dd_span target, const char *prefix, const char *suffix)
{
    size_t before = strlen(prefix), after = strlen(suffix);

    if (target.len <= before + after || memcmp(target.data, prefix, before) != 0 ||
        memcmp(target.data + target.len - after, suffix, after) != 0)
        return DD_SPAN_NONE;
    return dd_span_make(target.data + before, target.len - before - after);
}

static void ended(struct dd_runtime_call *call, struct dd_sandbox *sandbox,
                  const struct dd_http_request *request, struct dd_span request_id,
                  void (*end)(struct dd_runtime_call *call, struct dd_sandbox *sandbox,
                              const struct dd_http_request *request))
{
    if (!sandbox->invocation ||
        !dd_span_equal(request_id, dd_text_span(sandbox->invocation->request_id)))
        refuse(call, 400, "InvalidRequestID", "Invalid request ID");
    else
        end(call, sandbox, request);
}

static void route(struct dd_runtime_call *call, struct dd_sandbox *sandbox,
                  const struct dd_http_request *request)
{
    bool post = dd_span_is(request->method, "POST");
    struct dd_error_object *failure;
    struct dd_span id;

    if (dd_span_is(request->method, "GET") && dd_span_is(request->target, INVOCATION "next")) {
        next(call, sandbox);
    } else if (post &&
               (id = dd_runtime_between(request->target, INVOCATION, "/response")).data) {
        ended(call, sandbox, request, id, responded);
    } else if (post && (id = dd_runtime_between(request->target, INVOCATION, "/error")).data) {
        ended(call, sandbox, request, id, raised);
    } else if (post && dd_span_is(request->target, RUNTIME "init/error")) {
        failure = read_failure(request, "Runtime.InitError");
        dd_sandbox_failed(sandbox, failure);
        dd_error_object_unref(failure);
        accepted(call, 0);
    } else {
        refuse(call, 404, "NotFound", "the Runtime API has no such path");
    }
}

struct dd_runtime_call *dd_engine_runtime_request(struct dd_engine *engine,
                                                  struct dd_sandbox *sandbox,
                                                  const struct dd_http_request *request,
                                                  const struct dd_http_reply *reply,
                                                  int64_t now_ms)
{
    struct dd_runtime_call *call = dd_alloc(sizeof *call);

    engine->now_ms = now_ms;
    call->engine = engine;
    call->reply = *reply;
    dd_list_init(&call->action.node);
    dd_buf_init(&call->body, DD_FRAME_MAX);
    if (dd_api_from_page(request) || !dd_api_host_allowed(request->header(request, "Host"), ""))
        refuse(call, 403, "AccessDenied", "only the function's own runtime is served here");
    else if (engine->closing)
        refuse(call, 503, "ServiceException", "the daemon stops");
    else
        route(call, sandbox, request);
    return call;
}
