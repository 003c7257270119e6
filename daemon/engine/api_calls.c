/* The operations of the HTTP API (service-api 1.2): each reads its parameters, gathers
 * what the model forbids of them, does its work, and packs the answer. */
#include "engine/api.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/base64.h"
#include "base/digest.h"
#include "base/utf8.h"
#include "codec/api.h"
#include "codec/http.h"
#include "codec/syntax.h"

/* --- executions -------------------------------------------------------------------------- */

/* The label, which is an execution's ARN. */
static bool label_arn(struct dd_api_call *call, struct dd_execution_arn *out)
{
    if (call->label.len <= DD_ARN_MAX && dd_execution_arn_parse(call->label, out))
        return true;
    dd_violate_pattern(&call->violations, call->label, "durableExecutionArn",
                       DD_EXECUTION_ARN_REGEX);
    return false;
}

/* MaxItems: 0 and none mean the default. */
static int query_items_max(struct dd_api_call *call, size_t *out, struct dd_error *error)
{
    *out = DD_PAGE_ITEMS_DEFAULT;
    return dd_api_query_items_max(call, 0, DD_PAGE_ITEMS_MAX, out, error);
}

/* The execution that has the label as its ARN. */
static int find(struct dd_api_call *call, struct dd_resident **out, struct dd_error *error)
{
    struct dd_uuid id;
    int rc = DD_NOT_FOUND;

    if (dd_arn_execution_id(call->label, &id))
        rc = dd_engine_load(call->engine, id, out, error);
    if (rc == DD_NOT_FOUND ||
        (rc == 0 &&
         !dd_span_equal(call->label, dd_text_span(dd_execution_arn((*out)->execution)))))
        return dd_fail(error, DD_NOT_FOUND, "Durable Execution does not exist");
    return rc;
}

/* Where a page ended: the kind of list, an execution, a number, and a checksum of what the
 * list was asked for. It is good for the same request only. */
enum { MARKER_LEN = 1 + 16 + 4 + 8 };

struct marker {
    char kind; /* 'h' history, 'l' list; a capital letter in reverse order */
    struct dd_uuid id;
    uint32_t number;
    uint64_t arguments;
};

static void pack_marker(msgpack_packer *packer, const struct marker *marker)
{
    char bytes[MARKER_LEN];

    bytes[0] = marker->kind;
    memcpy(bytes + 1, marker->id.bytes, 16);
    memcpy(bytes + 17, &marker->number, 4);
    memcpy(bytes + 21, &marker->arguments, 8);
    dd_api_pack_marker(packer, dd_span_make(bytes, sizeof bytes));
}

/* Reads the marker that was given, if any, into `*marker`, whose kind and arguments are
 * those of this request. */
static int query_marker(struct dd_api_call *call, struct marker *marker, bool *out_given,
                        struct dd_error *error)
{
    struct dd_buf bytes;
    int rc;

    dd_buf_init(&bytes, MARKER_LEN);
    rc = dd_api_query_marker(call, &bytes, out_given, error);
    if (rc == 0 && *out_given &&
        (bytes.len != MARKER_LEN || bytes.data[0] != marker->kind ||
         memcmp(bytes.data + 21, &marker->arguments, 8) != 0))
        rc = dd_api_no_marker(error);
    if (rc == 0 && *out_given) {
        memcpy(marker->id.bytes, bytes.data + 1, 16);
        memcpy(&marker->number, bytes.data + 17, 4);
    }
    dd_buf_deinit(&bytes);
    return rc;
}

/* --- checkpoint and state ---------------------------------------------------------------- */

static void check_token(struct dd_api_call *call, struct dd_span token)
{
    if (!token.data)
        dd_violate_null(&call->violations, "checkpointToken");
    dd_check_text(&call->violations, token, "checkpointToken", DD_TOKEN_MAX,
                  &dd_pattern_base64);
}

/* As find(), for those who show a token: they learn of nothing else. */
static int find_current(struct dd_api_call *call, struct dd_resident **out,
                        struct dd_error *error)
{
    int rc = find(call, out, error);

    return rc == DD_NOT_FOUND ? dd_fail(error, DD_INVALID_PARAMETER, "Invalid checkpoint token")
                              : rc;
}

static void answer_checkpoint(struct dd_api_call *call,
                              const struct dd_checkpointed *checkpointed, uint64_t position)
{
    struct dd_api_answer answer;

    dd_api_answer_begin(&answer, checkpointed->token ? 2 : 1);
    dd_api_pack_text(&answer.packer, "CheckpointToken", checkpointed->token);
    dd_pack_cstr(&answer.packer, "NewExecutionState");
    msgpack_pack_map(&answer.packer, 1);
    dd_pack_cstr(&answer.packer, "Operations");
    msgpack_pack_array(&answer.packer, checkpointed->operations_len);
    for (size_t i = 0; i < checkpointed->operations_len; i++)
        dd_wire_pack_operation(&answer.packer, &checkpointed->operations[i], true);
    dd_api_answer_end(&answer, call->exchange, position);
}

static int update(struct dd_api_call *call, struct dd_checkpoint *checkpoint,
                  struct dd_error *error)
{
    struct dd_checkpointed checkpointed;
    struct dd_resident *resident;
    int rc = find_current(call, &resident, error);

    if (rc == 0)
        rc = dd_engine_checkpoint(call->engine, resident, checkpoint, &checkpointed, error);
    if (rc)
        return rc;
    answer_checkpoint(call, &checkpointed, resident->position);
    dd_checkpointed_deinit(&checkpointed);
    return 0;
}

static int checkpoint(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_checkpoint_request request;
    struct dd_execution_arn arn;
    int rc = dd_api_read_checkpoint(call->request->body, &request, &call->violations, error);

    if (rc == 0) {
        struct dd_checkpoint checkpoint = {
            .arn = call->label,
            .token = dd_text_span(request.token),
            .client_token = dd_text_span(request.client_token),
            .updates = request.updates,
            .updates_len = request.updates_len,
        };

        (void)label_arn(call, &arn);
        check_token(call, checkpoint.token);
        dd_checkpoint_violations(&checkpoint, &call->violations);
        rc = dd_api_verdict(call, error);
        if (rc == 0)
            rc = update(call, &checkpoint, error);
    }
    dd_checkpoint_request_deinit(&request);
    return rc;
}

static int read_state(struct dd_api_call *call, struct dd_span token, size_t items_max,
                      struct dd_error *error)
{
    struct dd_resident *resident;
    struct dd_page page = {0};
    struct dd_api_answer answer;
    int rc = find_current(call, &resident, error);

    if (rc == 0)
        rc = dd_execution_state(resident->execution, call->label, token,
                                dd_api_query(call, "Marker"), items_max, &page, error);
    if (rc)
        return rc;
    dd_api_answer_begin(&answer, page.next_marker ? 2 : 1);
    dd_pack_cstr(&answer.packer, "Operations");
    msgpack_pack_array(&answer.packer, page.operations_len);
    for (size_t i = 0; i < page.operations_len; i++)
        dd_wire_pack_operation(&answer.packer, page.operations[i], true);
    dd_api_pack_text(&answer.packer, "NextMarker", page.next_marker);
    dd_page_deinit(&page);
    dd_api_answer_end(&answer, call->exchange, resident->position);
    return 0;
}

static int get_state(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_execution_arn arn;
    struct dd_text *token;
    size_t items_max;
    int rc = query_items_max(call, &items_max, error);

    if (rc)
        return rc;
    token = dd_text_new(dd_api_query(call, "CheckpointToken"));
    (void)label_arn(call, &arn);
    check_token(call, dd_text_span(token));
    rc = dd_api_verdict(call, error);
    if (rc == 0)
        rc = read_state(call, dd_text_span(token), items_max, error);
    dd_text_unref(token);
    return rc;
}

/* --- reading executions ------------------------------------------------------------------ */

static int get_execution(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_execution_arn arn;
    struct dd_resident *resident;
    struct dd_api_answer answer;
    bool data = true;
    int rc = dd_api_query_bool(call, "IncludeExecutionData", &data, error);

    (void)label_arn(call, &arn);
    if (rc == 0)
        rc = dd_api_verdict(call, error);
    if (rc == 0)
        rc = find(call, &resident, error);
    if (rc)
        return rc;
    dd_buf_init(&answer.packed, DD_HTTP_BODY_MAX);
    dd_pack_init(&answer.packer, &answer.packed);
    dd_wire_pack_execution(&answer.packer, resident->execution, data, 3);
    dd_pack_cstr(&answer.packer, "Version");
    dd_pack_cstr(&answer.packer, DD_API_VERSION);
    dd_pack_cstr(&answer.packer, "ExecutionDataIncluded");
    dd_pack_bool(&answer.packer, data);
    dd_pack_cstr(&answer.packer, "DurableConfig");
    msgpack_pack_map(&answer.packer, 2);
    dd_api_pack_int(&answer.packer, "ExecutionTimeout",
                    dd_execution_timeout_s(resident->execution));
    dd_api_pack_int(&answer.packer, "RetentionPeriodInDays",
                    dd_execution_retention_s(resident->execution) / 86400);
    dd_api_answer_end(&answer, call->exchange, resident->position);
    return 0;
}

static int answer_history(struct dd_api_call *call, struct dd_history *history,
                          struct dd_error *error)
{
    struct marker marker = {.kind = history->reverse ? 'H' : 'h'};
    struct dd_resident *resident;
    struct dd_api_answer answer;
    bool given;
    int rc = find(call, &resident, error);

    if (rc)
        return rc;
    marker.id = resident->id;
    rc = query_marker(call, &marker, &given, error);
    if (rc == 0 && dd_uuid_compare(marker.id, resident->id) != 0)
        rc = dd_api_no_marker(error);
    history->after = marker.number;
    if (rc == 0)
        rc = dd_executions_history(call->engine, resident, history, error);
    if (rc)
        return rc;
    dd_api_answer_begin(&answer, history->more ? 2 : 1);
    dd_pack_cstr(&answer.packer, "Events");
    msgpack_pack_array(&answer.packer, history->len);
    dd_buf_append_span(&answer.packed, dd_buf_span(&history->events));
    dd_buf_deinit(&history->events);
    marker.number = history->last;
    if (history->more)
        pack_marker(&answer.packer, &marker);
    dd_api_answer_end(&answer, call->exchange, resident->position);
    return 0;
}

static int get_history(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_history history = {0};
    struct dd_execution_arn arn;
    int rc = dd_api_query_bool(call, "IncludeExecutionData", &history.data, error);

    if (rc == 0)
        rc = dd_api_query_bool(call, "ReverseOrder", &history.reverse, error);
    if (rc == 0)
        rc = query_items_max(call, &history.items_max, error);
    if (rc)
        return rc;
    (void)label_arn(call, &arn);
    rc = dd_api_verdict(call, error);
    return rc ? rc : answer_history(call, &history, error);
}

/* --- stop -------------------------------------------------------------------------------- */

static int stop(struct dd_api_call *call, struct dd_error *error)
{
    const struct dd_service_config *service = &call->engine->service;
    struct dd_error_object *failure;
    struct dd_execution_arn arn;
    struct dd_resident *resident;
    struct dd_api_answer answer;
    struct dd_head head;
    int rc = dd_api_read_error(call->request->body, &failure, error);

    if (rc)
        return rc;
    if (label_arn(call, &arn) && (!dd_span_is(arn.region, service->region) ||
                                  !dd_span_is(arn.account, service->account)))
        rc = dd_fail(error, DD_NOT_FOUND, "Function not found");
    if (rc == 0)
        rc = dd_api_verdict(call, error);
    if (rc == 0)
        rc = find(call, &resident, error);
    if (rc == 0)
        rc = dd_executions_stop(call->engine, resident, failure, error);
    dd_error_object_unref(failure);
    if (rc)
        return rc;
    dd_execution_head(resident->execution, &head);
    dd_api_answer_begin(&answer, 1);
    dd_api_pack_int(&answer.packer, "StopTimestamp", head.end_ms);
    dd_api_answer_end(&answer, call->exchange, resident->position);
    return 0;
}

/* --- list -------------------------------------------------------------------------------- */

struct list {
    struct dd_engine *engine;
    msgpack_packer packer;
    struct dd_buf items;
    size_t len;
};

static void visit_head(void *user, const struct dd_head *head)
{
    struct list *list = user;
    char arn[DD_ARN_MAX + 1];

    dd_arn_format(list->engine, head, arn);
    msgpack_pack_map(&list->packer, head->end_ms ? 6 : 5);
    dd_pack_cstr(&list->packer, "DurableExecutionArn");
    dd_pack_cstr(&list->packer, arn);
    dd_api_pack_text(&list->packer, "DurableExecutionName", head->name);
    dd_pack_cstr(&list->packer, "FunctionArn");
    dd_pack_span(&list->packer,
                 dd_span_make(arn, (size_t)(strstr(arn, "/durable-execution/") - arn)));
    dd_pack_cstr(&list->packer, "Status");
    dd_pack_cstr(&list->packer, dd_execution_status_name(head->status));
    dd_api_pack_int(&list->packer, "StartTimestamp", head->start_ms);
    if (head->end_ms)
        dd_api_pack_int(&list->packer, "EndTimestamp", head->end_ms);
    list->len++;
}

/* Statuses that AWS knows and no execution has: pages of them are empty. */
static bool is_hidden_status(struct dd_span status)
{
    return dd_span_is(status, "PAUSED") || dd_span_is(status, "PAUSING") ||
           dd_span_is(status, "DELETING");
}

#define X(symbol, name) ", " name
static const char statuses[] = DD_EXECUTION_STATUSES(X);
#undef X

static int query_status(struct dd_api_call *call, enum dd_execution_status *out, bool *out_none,
                        struct dd_error *error)
{
    size_t at = 0, len = 0;

    while (dd_http_query(call->query, &at, "Statuses", &call->value)) {
        struct dd_span status = dd_buf_span(&call->value);

        len++;
        *out = dd_execution_status_parse(status);
        *out_none = is_hidden_status(status);
        if (!*out && !*out_none)
            dd_violate_enum(&call->violations, status, "statuses", statuses + 2);
    }
    return len > 1 && call->violations.count == 0
               ? dd_fail(error, DD_INVALID_PARAMETER, "Cannot filter by more than one status")
               : 0;
}

static int read_filter(struct dd_api_call *call, struct dd_list_filter *filter, bool *out_none,
                       struct dd_error *error)
{
    int64_t after_ms = -1;
    int rc = query_items_max(call, &filter->items_max, error);

    if (rc == 0)
        rc = dd_api_query_bool(call, "ReverseOrder", &filter->oldest_first, error);
    if (rc == 0)
        rc = dd_api_query_date(call, "StartedAfter", &after_ms, error);
    if (rc == 0)
        rc = dd_api_query_date(call, "StartedBefore", &filter->until_ms, error);
    if (rc == 0)
        rc = query_status(call, &filter->status, out_none, error);
    filter->since_ms = after_ms + 1;
    return rc;
}

static uint64_t arguments_of(const struct dd_list_filter *filter)
{
    struct dd_buf text;
    uint64_t sum;

    dd_buf_init(&text, 512);
    dd_buf_printf(&text, "%.*s/%.*s/%d/%" PRId64 "/%" PRId64, (int)filter->function.len,
                  filter->function.data, (int)filter->name.len,
                  filter->name.data ? filter->name.data : "", (int)filter->status,
                  filter->since_ms, filter->until_ms);
    sum = dd_checksum64(dd_buf_span(&text));
    dd_buf_deinit(&text);
    return sum;
}

static int answer_list(struct dd_api_call *call, const struct dd_list_filter *filter, bool none,
                       struct dd_error *error)
{
    struct marker marker = {.kind = filter->oldest_first ? 'L' : 'l',
                            .arguments = arguments_of(filter)};
    struct list list = {.engine = call->engine};
    struct dd_list_filter paged = *filter;
    struct dd_api_answer answer;
    bool given, more;
    int rc = query_marker(call, &marker, &given, error);

    if (rc)
        return rc;
    paged.after = given ? &marker.id : NULL;
    dd_buf_init(&list.items, DD_HTTP_BODY_MAX);
    dd_pack_init(&list.packer, &list.items);
    more = !none && dd_executions_list(call->engine, &paged, visit_head, &list, &marker.id);
    dd_api_answer_begin(&answer, more ? 2 : 1);
    dd_pack_cstr(&answer.packer, "DurableExecutions");
    msgpack_pack_array(&answer.packer, list.len);
    dd_buf_append_span(&answer.packed, dd_buf_span(&list.items));
    answer.packed.failed |= list.items.failed;
    dd_buf_deinit(&list.items);
    if (more)
        pack_marker(&answer.packer, &marker);
    dd_api_answer_end(&answer, call->exchange, dd_journal_newest(call->engine->config.journal));
    return 0;
}

static int list_executions(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_list_filter filter = {0};
    struct dd_api_function function;
    struct dd_text *name = NULL;
    bool none = false;
    int rc = read_filter(call, &filter, &none, error);

    if (rc == 0)
        rc = dd_api_name_function(call, &function, error);
    if (rc)
        return rc;
    name = dd_text_new(dd_api_query(call, "DurableExecutionName"));
    filter.name = dd_text_span(name);
    dd_check_text(&call->violations, filter.name, "durableExecutionName", DD_EXECUTION_NAME_MAX,
                  &dd_pattern_word);
    rc = dd_api_verdict(call, error);
    if (rc == 0)
        rc = dd_api_find_function(call, &function, error);
    if (rc == 0) {
        filter.function = dd_text_span(function.registration->name);
        rc = answer_list(call, &filter, none, error);
    }
    dd_text_unref(name);
    return rc;
}

/* --- invoke ------------------------------------------------------------------------------ */

/* What the caller of a function gets for an ErrorObject. */
static void pack_failure(msgpack_packer *packer, const struct dd_error_object *failure)
{
    msgpack_pack_map(packer, (size_t)(failure->message != NULL) + (failure->type != NULL) +
                                 (failure->stack != NULL));
    dd_api_pack_text(packer, "errorMessage", failure->message);
    dd_api_pack_text(packer, "errorType", failure->type);
    if (!failure->stack)
        return;
    dd_pack_cstr(packer, "stackTrace");
    msgpack_pack_array(packer, failure->stack_len);
    for (uint32_t i = 0; i < failure->stack_len; i++)
        dd_pack_text(packer, failure->stack[i]);
}

/* The outcome of a closed execution: its result as it is, or its error. */
static void answer_closed(struct dd_exchange *exchange, const struct dd_resident *resident)
{
    static const struct dd_error_object nothing = {0};
    const struct dd_error_object *failure = dd_execution_error(resident->execution);
    const struct dd_text *result = dd_execution_result(resident->execution);
    struct dd_head head;
    struct dd_buf packed;
    msgpack_packer packer;

    dd_execution_head(resident->execution, &head);
    dd_buf_init(&packed, DD_HTTP_BODY_MAX);
    if (head.status != DD_EXECUTION_SUCCEEDED) {
        exchange->function_error = true;
        dd_pack_init(&packer, &packed);
        pack_failure(&packer, failure ? failure : &nothing);
        exchange->body.failed |= packed.failed;
    } else if (result) {
        exchange->content_type = "application/json";
        dd_buf_append_span(&exchange->body, dd_text_span(result));
    }
    dd_exchange_answer(exchange, 200, packed.len ? dd_buf_span(&packed) : DD_SPAN_NONE,
                       resident->position);
    dd_buf_deinit(&packed);
}

/* A synchronous caller waits until the execution is closed, over all its invocations. */
static void invoke_again(struct dd_waiter *waiter)
{
    struct dd_exchange *exchange = dd_container_of(waiter, struct dd_exchange, waiter);
    struct dd_resident *resident;
    struct dd_error error;
    struct dd_head head;

    if (dd_engine_load(exchange->engine, exchange->execution, &resident, &error) != 0) {
        dd_exchange_refuse(exchange, &error);
        return;
    }
    dd_execution_head(resident->execution, &head);
    if (head.status == DD_EXECUTION_RUNNING)
        dd_watch_add(exchange->engine, exchange->execution, waiter);
    else
        answer_closed(exchange, resident);
}

enum invocation_type { REQUEST_RESPONSE, EVENT, DRY_RUN };

static enum invocation_type invocation_type(struct dd_api_call *call)
{
    static const char *const names[] = {"RequestResponse", "Event", "DryRun"};
    struct dd_span given = call->request->header(call->request, "X-Amz-Invocation-Type");

    for (int i = REQUEST_RESPONSE; given.data && i <= DRY_RUN; i++) {
        if (dd_span_is(given, names[i]))
            return (enum invocation_type)i;
    }
    if (given.data)
        dd_violate_enum(&call->violations, given, "invocationType",
                        "RequestResponse, Event, DryRun");
    return REQUEST_RESPONSE;
}

/* A hosted function says whether it has tenants; those of workers get what is given. */
static int check_tenant(const struct dd_api_function *function, struct dd_span tenant,
                        struct dd_error *error)
{
    if (!function->hosted || function->hosted->tenants == (tenant.data != NULL))
        return 0;
    return dd_fail(error, DD_INVALID_PARAMETER,
                   function->hosted->tenants
                       ? "The invoked function is enabled with tenancy configuration. Add a "
                         "valid tenant ID in your request and try again."
                       : "The invoked function is not enabled with tenancy configuration. "
                         "Remove the tenant ID from your request and try again.");
}

/* What a function may not be asked (service-api 1.4). A daemon's default is nobody's
 * ExecutionTimeout. */
static int check_function(const struct dd_api_call *call,
                          const struct dd_api_function *function, struct dd_span name,
                          enum invocation_type type, struct dd_error *error)
{
    const struct dd_host *host = dd_host_find(call->engine, function->registration->name);
    int64_t timeout_s = function->registration->execution_timeout_s;
    bool declared = host ? host->function->execution_timeout_s > 0
                         : timeout_s != call->engine->config.default_execution_timeout_s;

    /* What a template had once is gone when it is; work for it would wait for ever. */
    if (call->engine->config.hosted_len > 0 &&
        !dd_dispatch_served(call->engine, function->registration->name))
        return dd_fail(error, DD_NOT_FOUND,
                       "Function not found: arn:aws:lambda:%s:%s:function:%s",
                       call->engine->service.region, call->engine->service.account,
                       function->registration->name->data);
    if (function->registration->plain)
        return name.data ? dd_fail(error, DD_INVALID_PARAMETER,
                                   "You cannot name an execution of a function that is not "
                                   "durable.")
                         : 0;
    if (!*function->qualifier)
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "You cannot invoke a durable function using an unqualified ARN.");
    if (type == REQUEST_RESPONSE && timeout_s > DD_SYNC_TIMEOUT_S && declared)
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "You cannot synchronously invoke a durable function with an "
                       "executionTimeout greater than 15 minutes.");
    return 0;
}

static bool is_object(struct dd_span json)
{
    size_t at = 0;

    while (at < json.len && strchr(" \t\r\n", json.data[at]))
        at++;
    return at < json.len && json.data[at] == '{' && dd_json_valid(json);
}

/* X-Amz-Client-Context: the base64 of a JSON object. */
static int check_context(const struct dd_api_call *call, struct dd_error *error)
{
    struct dd_span given = call->request->header(call->request, "X-Amz-Client-Context");
    struct dd_buf json;
    bool good;

    if (given.len > DD_CLIENT_CONTEXT_MAX)
        return dd_fail(error, DD_REQUEST_TOO_LARGE,
                       "Client context must be at most %d bytes of base64",
                       DD_CLIENT_CONTEXT_MAX);
    if (given.len == 0)
        return 0;
    dd_buf_init(&json, DD_CLIENT_CONTEXT_MAX);
    good = dd_base64_decode(given, &json) && is_object(dd_buf_span(&json));
    if (good)
        call->exchange->client_context = dd_text_new(dd_buf_span(&json));
    dd_buf_deinit(&json);
    return good ? 0
                : dd_fail(error, DD_INVALID_CONTENT,
                          "Client context must be a valid Base64-encoded JSON object.");
}

static int check_payload(struct dd_span payload, enum invocation_type type,
                         struct dd_error *error)
{
    size_t max = type == EVENT ? DD_PAYLOAD_MAX : DD_INPUT_MAX;

    if (payload.len > max)
        return dd_fail(
            error, DD_REQUEST_TOO_LARGE,
            "Request must be smaller than %zu bytes for the InvokeFunction operation", max);
    if (payload.len > 0 && !dd_json_valid(payload))
        return dd_fail(error, DD_INVALID_CONTENT, "Could not parse request body into json");
    return 0;
}

static int start(struct dd_api_call *call, struct dd_start *start, enum invocation_type type,
                 struct dd_error *error)
{
    struct dd_exchange *exchange = call->exchange;
    struct dd_resident *resident;
    bool existing;
    int rc;

    if (call->request->body.len > 0)
        start->input = call->request->body;
    rc = dd_executions_start(call->engine, start, &resident, &existing, error);
    if (rc)
        return rc;
    exchange->invoked = true;
    if (!start->plain)
        exchange->arn = dd_text_ref(dd_execution_arn(resident->execution));
    exchange->execution = resident->id;
    if (type == EVENT) {
        dd_exchange_answer(exchange, 202, DD_SPAN_NONE, resident->position);
    } else {
        exchange->tail_wanted =
            dd_span_is(call->request->header(call->request, "X-Amz-Log-Type"), "Tail");
        exchange->waiter.again = invoke_again;
        invoke_again(&exchange->waiter);
    }
    return 0;
}

struct dd_span dd_api_client_context(const struct dd_engine *engine, struct dd_uuid execution)
{
    dd_list_each(node, tmp, &engine->exchanges)
    {
        const struct dd_exchange *exchange = dd_container_of(node, struct dd_exchange, node);

        if (exchange->client_context && dd_uuid_compare(exchange->execution, execution) == 0)
            return dd_text_span(exchange->client_context);
    }
    return DD_SPAN_NONE;
}

void dd_api_wrote(const struct dd_engine *engine, struct dd_uuid execution, struct dd_span line)
{
    dd_list_each(node, tmp, &engine->exchanges)
    {
        struct dd_exchange *exchange = dd_container_of(node, struct dd_exchange, node);

        if (!exchange->tail_wanted || dd_uuid_compare(exchange->execution, execution) != 0)
            continue;
        dd_buf_append_span(&exchange->tail, line);
        dd_buf_append_byte(&exchange->tail, '\n');
        if (exchange->tail.len > DD_LOG_TAIL)
            dd_buf_consume(&exchange->tail, exchange->tail.len - DD_LOG_TAIL);
    }
}

/* X-Amz-Log-Type. No answer carries the end of a log: executions have logs of their own
 * (durablectl logs). */
static void check_log_type(struct dd_api_call *call)
{
    struct dd_span given = call->request->header(call->request, "X-Amz-Log-Type");

    if (given.data && !dd_span_is(given, "None") && !dd_span_is(given, "Tail"))
        dd_violate_enum(&call->violations, given, "logType", "None, Tail");
}

static int invoke(struct dd_api_call *call, struct dd_error *error)
{
    const struct dd_http_request *request = call->request;
    enum invocation_type type = invocation_type(call);
    struct dd_start begin = {
        .name = request->header(request, "X-Amz-Durable-Execution-Name"),
        .tenant_id = request->header(request, "X-Amz-Tenant-Id"),
    };
    struct dd_api_function function;
    int rc = dd_api_name_function(call, &function, error);

    check_log_type(call);
    dd_check_text(&call->violations, begin.name, "durableExecutionName", DD_EXECUTION_NAME_MAX,
                  &dd_pattern_word);
    dd_check_text(&call->violations, begin.tenant_id, "tenantId", DD_TENANT_MAX,
                  &dd_pattern_tenant);
    if (rc == 0)
        rc = dd_api_verdict(call, error);
    if (rc == 0)
        rc = dd_api_find_function(call, &function, error);
    if (rc == 0)
        rc = check_function(call, &function, begin.name, type, error);
    if (rc == 0)
        rc = check_tenant(&function, begin.tenant_id, error);
    if (rc == 0)
        rc = check_context(call, error);
    if (rc == 0)
        rc = check_payload(request->body, type, error);
    if (rc)
        return rc;
    begin.function = dd_text_span(function.registration->name);
    if (type != DRY_RUN)
        return start(call, &begin, type, error);
    call->exchange->invoked = true;
    dd_exchange_answer(call->exchange, 204, DD_SPAN_NONE, 0);
    return 0;
}

/* --- callbacks --------------------------------------------------------------------------- */

static int complete(struct dd_api_call *call, struct dd_callback_call *completion,
                    struct dd_error *error)
{
    struct dd_api_answer answer;
    uint64_t position;
    int rc;

    completion->callback = call->label;
    rc = dd_callback_complete(call->engine, completion, &position, error);
    if (rc)
        return rc;
    dd_api_answer_begin(&answer, 0);
    dd_api_answer_end(&answer, call->exchange, position);
    return 0;
}

static int callback_succeed(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_callback_call completion = {.action = DD_CALLBACK_SUCCEED};

    if (!dd_utf8_valid(call->request->body))
        return dd_fail(error, DD_INVALID_PARAMETER, "The result is not UTF-8");
    if (call->request->body.len > 0)
        completion.result = call->request->body;
    return complete(call, &completion, error);
}

static int callback_fail(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_callback_call completion = {.action = DD_CALLBACK_FAIL};
    int rc = dd_api_read_error(call->request->body, &completion.failure, error);

    if (rc == 0)
        rc = complete(call, &completion, error);
    dd_error_object_unref(completion.failure);
    return rc;
}

static int callback_heartbeat(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_callback_call completion = {.action = DD_CALLBACK_HEARTBEAT};

    return complete(call, &completion, error);
}

/* --- the table --------------------------------------------------------------------------- */

#define EXECUTIONS "/2025-12-01/durable-executions/"
#define CALLBACKS "/2025-12-01/durable-execution-callbacks/"
#define FUNCTIONS "/2015-03-31/functions"

const struct dd_api_route dd_api_routes[] = {
    {"CheckpointDurableExecution", "POST", EXECUTIONS, "/checkpoint", DD_LABELS_SLASH,
     checkpoint},
    {"GetDurableExecutionState", "GET", EXECUTIONS, "/state", DD_LABELS_SLASH, get_state},
    {"GetDurableExecutionHistory", "GET", EXECUTIONS, "/history", DD_LABELS_SLASH, get_history},
    {"GetDurableExecution", "GET", EXECUTIONS, "", DD_LABELS_SLASH, get_execution},
    {"StopDurableExecution", "POST", EXECUTIONS, "/stop", DD_LABELS_SLASH, stop},
    {"ListDurableExecutionsByFunction", "GET", "/2025-12-01/functions/", "/durable-executions",
     DD_LABELS_PLAIN, list_executions},
    {"SendDurableExecutionCallbackSuccess", "POST", CALLBACKS, "/succeed", DD_LABELS_SLASH,
     callback_succeed},
    {"SendDurableExecutionCallbackFailure", "POST", CALLBACKS, "/fail", DD_LABELS_SLASH,
     callback_fail},
    {"SendDurableExecutionCallbackHeartbeat", "POST", CALLBACKS, "/heartbeat", DD_LABELS_SLASH,
     callback_heartbeat},
    {"Invoke", "POST", FUNCTIONS "/", "/invocations", DD_LABELS_PLAIN, invoke},
    {"ListFunctions", "GET", FUNCTIONS, "", DD_LABELS_NONE, dd_api_list_functions},
    {"ListFunctions", "GET", FUNCTIONS "/", "", DD_LABELS_NONE, dd_api_list_functions},
    {"GetFunctionConfiguration", "GET", FUNCTIONS "/", "/configuration", DD_LABELS_PLAIN,
     dd_api_get_configuration},
    {"ListVersionsByFunction", "GET", FUNCTIONS "/", "/versions", DD_LABELS_PLAIN,
     dd_api_list_versions},
    {"ListAliases", "GET", FUNCTIONS "/", "/aliases", DD_LABELS_PLAIN, dd_api_list_aliases},
    {"GetAlias", "GET", FUNCTIONS "/", "/aliases/", DD_LABELS_TWO, dd_api_get_alias},
    {"GetFunction", "GET", FUNCTIONS "/", "", DD_LABELS_PLAIN, dd_api_get_function},
    {NULL, NULL, NULL, NULL, DD_LABELS_NONE, NULL},
};
