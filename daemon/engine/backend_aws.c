/* AWS's durable execution API as the backend of sessions (service-api 1, 4).
 *
 * A call is one checkpoint or one page of the state. It is tried until it is answered, refused,
 * or too late: its ClientToken stays the same, so the service carries it out once. What the
 * service did not say is never guessed: an answer that can't be read, like none, is tried
 * again, and in the end the invocation is, not the execution failed (sdk-semantics 8.3).
 *
 *   due ──► send ──► under way ──► answered ──► the session's
 *    ▲        │ no keys                │ throttled, failed, lost
 *    │        ▼                        ▼
 *    ├── waits for keys          due after a pause, or too late: refused
 *    └──────────────────────────────────┘
 *
 * Nothing here answers a session from inside its own event: what is refused at once waits for
 * the turn. */
#include "engine/engine_priv.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "codec/api.h"
#include "codec/http.h"
#include "codec/sigv4.h"
#include "engine/cause.h"

#define CHECKPOINT "CheckpointDurableExecution"
#define STATE "GetDurableExecutionState"

struct dd_aws {
    struct dd_engine *engine;
    struct dd_list calls; /* of aws_call */
    struct dd_text *host; /* of the endpoint, as the Host header has it */
    size_t path_at;       /* where the path of the endpoint begins */
    char agent[64];
    int64_t used_ms; /* when a connection was used last */
    int64_t skew_ms; /* what the service's clock is ahead of ours */

    struct dd_api_keys keys; /* no access_key: none yet */
    struct dd_fetch_owner keys_owner;
    void *keys_fetch;
    int64_t keys_after_ms; /* not asked for before */
};

struct aws_call {
    struct dd_backend_call call;
    struct dd_aws *aws;
    struct dd_list node;
    struct dd_fetch_owner owner;
    bool checkpoint;         /* the request is a checkpoint; else a page of the state */
    struct dd_text *token;   /* of a page */
    struct dd_text *marker;  /* of a page; NULL: the first */
    struct dd_buf body;      /* of a checkpoint */
    struct dd_buf url;       /* ends in a NUL */
    struct dd_api_state got; /* the pages so far */
    void *fetch;             /* the request under way; NULL: none */
    int64_t sent_ms;
    int64_t due_ms; /* when it is sent, or its failure told; 0: not */
    int64_t began_ms, until_ms;
    uint32_t attempts;
    bool redial;       /* the last attempt ended with its connection */
    bool wants_keys;   /* waits for them */
    bool keys_failed;  /* they were refused once, and asked for anew */
    bool clock_failed; /* it was told the time once */
    struct dd_error_object *failure;
    bool retryable;
    struct dd_text *problem_type; /* of the last attempt; NULL: not the service's */
    char problem[256];
    enum dd_cause cause; /* of the last attempt's failure */
};

static const struct dd_aws_config *config_of(const struct dd_aws *aws)
{
    return aws->engine->config.aws;
}

static int64_t now_of(const struct aws_call *call)
{
    return call->aws->engine->now_ms;
}

/* The time at the service: of signatures, and of what keys expire by. */
static int64_t service_ms(const struct dd_aws *aws)
{
    return aws->engine->now_ms + aws->skew_ms;
}

/* --- ends of a call ---------------------------------------------------------------------- */

static void call_free(struct aws_call *call)
{
    dd_assert(!call->fetch);
    dd_list_remove(&call->node);
    dd_text_unref(call->token);
    dd_text_unref(call->marker);
    dd_text_unref(call->problem_type);
    dd_error_object_unref(call->failure);
    dd_buf_deinit(&call->body);
    dd_buf_deinit(&call->url);
    dd_api_state_deinit(&call->got);
    dd_free(call);
}

static const char *operation_of(const struct aws_call *call)
{
    return call->checkpoint ? CHECKPOINT : STATE;
}

static struct dd_span request_id_of(const struct aws_call *call)
{
    const struct dd_text *id = call->call.attached->request_id;

    return id ? dd_text_span(id) : DD_SPAN("");
}

/* The call has failed; the session is told in the turn. */
static void refuse(struct aws_call *call, bool retryable, const struct dd_text *type,
                   const char *text)
{
    const struct dd_attached *attached = call->call.attached;
    struct dd_span name = type ? dd_text_span(type) : dd_span_cstr(dd_error_name(DD_SERVICE));
    char message[400], quoted[256];

    snprintf(message, sizeof message, "%s: %s", operation_of(call), text);
    dd_cause_quote(text, quoted, sizeof quoted);
    call->failure = dd_error_object_new(name, dd_span_cstr(message));
    call->retryable = retryable;
    call->due_ms = now_of(call);
    dd_log(attached->engine->config.log, API_FAILED,
           DD_LOG_TEXT("executionArn", dd_text_span(attached->arn)),
           DD_LOG_TEXT("requestId", request_id_of(call)),
           DD_LOG_TEXT("operation", dd_span_cstr(operation_of(call))),
           DD_LOG_TEXT("error_type", name), DD_LOG_TEXT("error", dd_span_cstr(quoted)),
           DD_LOG_CAUSE(call->cause), DD_LOG_NUMBER("retryable", retryable),
           DD_LOG_NUMBER("attempts", call->attempts),
           DD_LOG_NUMBER("ms", now_of(call) - call->began_ms));
}

static void give_up(struct aws_call *call)
{
    char text[384];

    if (call->attempts == 0) {
        call->cause = DD_CAUSE_DEADLINE;
        snprintf(text, sizeof text, "not begun: the invocation's deadline is too near");
    } else {
        snprintf(text, sizeof text, "%s; %" PRIu32 " attempts in %" PRId64 " ms", call->problem,
                 call->attempts, now_of(call) - call->began_ms);
    }
    refuse(call, true, call->problem_type, text);
}

/* The attempt came to nothing; another one is made, unless that would be too late. */
static void try_again(struct aws_call *call, struct dd_text *type, const char *text,
                      int64_t after_ms)
{
    struct dd_engine *engine = call->aws->engine;
    uint32_t doublings = call->attempts < 10 ? call->attempts : 10;
    int64_t most = (int64_t)DD_AWS_BACKOFF_MS << doublings, pause;
    char quoted[256];

    if (most > DD_AWS_BACKOFF_MAX_MS)
        most = DD_AWS_BACKOFF_MAX_MS;
    pause = (int64_t)(dd_rng_unit(&engine->jitter) * (double)most);
    if (pause < DD_AWS_BACKOFF_MIN_MS)
        pause = DD_AWS_BACKOFF_MIN_MS;
    if (pause < after_ms)
        pause = after_ms;
    dd_cause_quote(text, quoted, sizeof quoted);
    call->attempts++;
    dd_text_set(&call->problem_type, type);
    snprintf(call->problem, sizeof call->problem, "%s", text);
    if (now_of(call) + pause >= call->until_ms) {
        give_up(call);
        return;
    }
    call->due_ms = now_of(call) + pause;
    dd_log(engine->config.log, API_RETRIED,
           DD_LOG_TEXT("executionArn", dd_text_span(call->call.attached->arn)),
           DD_LOG_TEXT("requestId", request_id_of(call)),
           DD_LOG_TEXT("operation", dd_span_cstr(operation_of(call))),
           DD_LOG_TEXT("error", dd_span_cstr(quoted)), DD_LOG_CAUSE(call->cause),
           DD_LOG_NUMBER("attempts", call->attempts), DD_LOG_NUMBER("pause_ms", pause));
}

static void tell(struct aws_call *call)
{
    struct dd_backend_answer answer = {
        .failure = call->failure,
        .retryable = call->retryable,
        .token = dd_text_span(call->got.token),
        .operations = call->got.operations,
        .operations_len = call->got.operations_len,
        .marker = dd_text_span(call->got.marker),
    };

    dd_list_remove(&call->node);
    dd_session_answered(&call->call, &answer);
    call_free(call);
}

/* --- keys -------------------------------------------------------------------------------- */

static bool keys_ready(const struct dd_aws *aws)
{
    int64_t now_ms = service_ms(aws), expires_ms = aws->keys.expires_ms;

    if (!aws->keys.access_key)
        return false;
    if (expires_ms == 0 || now_ms < expires_ms - DD_AWS_KEYS_EARLY_MS)
        return true;
    return now_ms < expires_ms && aws->engine->now_ms < aws->keys_after_ms;
}

/* Those who wait go on: with keys, or without, when `problem` says why. */
static void keys_told(struct dd_aws *aws, const char *problem)
{
    bool again = config_of(aws)->keys_url != NULL;

    dd_list_each(node, tmp, &aws->calls)
    {
        struct aws_call *call = dd_container_of(node, struct aws_call, node);

        if (!call->wants_keys)
            continue;
        call->wants_keys = false;
        call->cause = problem ? DD_CAUSE_NO_KEYS : DD_CAUSE_NONE;
        if (problem && again)
            try_again(call, NULL, problem, 0);
        else if (problem)
            refuse(call, true, NULL, problem);
        else
            call->due_ms = aws->engine->now_ms;
    }
}

static void keys_lost(struct dd_aws *aws, const char *why)
{
    char problem[224];

    snprintf(problem, sizeof problem, "no credentials: %s", why);
    aws->keys_after_ms = aws->engine->now_ms + DD_AWS_KEYS_PAUSE_MS;
    dd_log(aws->engine->config.log, KEYS_FAILED, DD_LOG_TEXT("error", dd_span_cstr(why)),
           DD_LOG_CAUSE(DD_CAUSE_NO_KEYS));
    keys_told(aws, keys_ready(aws) ? NULL : problem);
}

static void on_keys(struct dd_fetch_owner *owner, const struct dd_fetch_answer *answer)
{
    struct dd_aws *aws = dd_container_of(owner, struct dd_aws, keys_owner);
    struct dd_api_keys keys;
    struct dd_error error;

    aws->keys_fetch = NULL;
    if (answer->outcome != DD_FETCH_ANSWERED) {
        keys_lost(aws, answer->text);
    } else if (answer->status != 200) {
        dd_fail(&error, DD_SERVICE, "the endpoint answered with HTTP status %d",
                answer->status);
        keys_lost(aws, error.text);
    } else if (dd_api_read_keys(answer->body, &keys, &error) != 0) {
        keys_lost(aws, error.text);
    } else {
        dd_api_keys_deinit(&aws->keys);
        aws->keys = keys;
        aws->keys_after_ms = 0;
        keys_told(aws, NULL);
    }
}

static void ask_for_keys(struct dd_aws *aws)
{
    const struct dd_ports *ports = &aws->engine->config.ports;
    struct dd_http_header header = {"Authorization", NULL};
    struct dd_fetch_request request = {
        .method = "GET",
        .url = config_of(aws)->keys_url,
        .headers = &header,
        .connect_ms = DD_AWS_KEYS_MS,
        .timeout_ms = DD_AWS_KEYS_MS,
        .answer_max = DD_AWS_KEYS_MAX,
        .direct = true,
    };
    struct dd_buf token;

    if (aws->keys_fetch)
        return;
    if (!request.url) {
        keys_lost(aws, "the environment has neither keys nor an endpoint for them");
        return;
    }
    dd_buf_init(&token, DD_AWS_KEYS_MAX);
    if (ports->keys_authorization(ports->user, &token)) {
        header.value = token.data;
        request.headers_len = token.len > 1;
        aws->keys_owner.done = on_keys;
        aws->keys_fetch = ports->fetch(ports->user, &request, &aws->keys_owner);
    } else {
        keys_lost(aws, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read");
    }
    dd_buf_deinit(&token);
}

/* --- requests ---------------------------------------------------------------------------- */

static void write_url(struct aws_call *call)
{
    const struct dd_attached *attached = call->call.attached;
    struct dd_buf *url = &call->url;

    dd_buf_clear(url);
    dd_buf_append_cstr(url, config_of(call->aws)->endpoint);
    dd_buf_append_cstr(url, "/2025-12-01/durable-executions/");
    dd_http_encode(dd_text_span(attached->arn), url);
    if (call->checkpoint) {
        dd_buf_append_cstr(url, "/checkpoint");
    } else {
        dd_buf_append_cstr(url, "/state?CheckpointToken=");
        dd_http_encode(dd_text_span(call->token), url);
        dd_buf_printf(url, "&MaxItems=%d", DD_PAGE_ITEMS_MAX);
        if (call->marker) {
            dd_buf_append_cstr(url, "&Marker=");
            dd_http_encode(dd_text_span(call->marker), url);
        }
    }
    dd_buf_append_byte(url, '\0');
}

struct headers {
    struct dd_http_header all[7];
    size_t len;
    char time[DD_HTTP_STAMP_LEN + 1];
    struct dd_buf authorization;
};

static void add(struct headers *headers, const char *name, const char *value)
{
    headers->all[headers->len++] = (struct dd_http_header){name, value};
}

static bool sign(const struct aws_call *call, struct headers *headers)
{
    const struct dd_aws *aws = call->aws;
    struct dd_sigv4_call signed_call = {
        .method = dd_span_cstr(call->checkpoint ? "POST" : "GET"),
        .target = dd_span_cstr(call->url.data + aws->path_at),
        .host = dd_text_span(aws->host),
        .body = call->checkpoint ? dd_buf_span(&call->body) : DD_SPAN(""),
        .time = dd_span_cstr(headers->time),
        .region = dd_span_cstr(config_of(aws)->region),
        .access_key = dd_text_span(aws->keys.access_key),
        .secret_key = dd_text_span(aws->keys.secret_key),
        .token = dd_text_span(aws->keys.token),
    };

    if (!dd_sigv4_authorize_call(&signed_call, &headers->authorization))
        return false;
    dd_buf_append_byte(&headers->authorization, '\0');
    return !headers->authorization.failed;
}

static bool write_headers(const struct aws_call *call, struct headers *headers)
{
    const struct dd_aws *aws = call->aws;

    dd_buf_init(&headers->authorization, DD_SIGNED_BYTES_MAX);
    dd_http_stamp_format(service_ms(aws), headers->time);
    add(headers, "Host", aws->host->data);
    add(headers, "X-Amz-Date", headers->time);
    if (aws->keys.token)
        add(headers, "X-Amz-Security-Token", aws->keys.token->data);
    if (!sign(call, headers))
        return false;
    add(headers, "Authorization", headers->authorization.data);
    add(headers, "User-Agent", aws->agent);
    if (call->checkpoint)
        add(headers, "Content-Type", "application/json");
    return true;
}

static void on_answer(struct dd_fetch_owner *owner, const struct dd_fetch_answer *answer);

static void begin_request(struct aws_call *call, const struct headers *headers)
{
    struct dd_aws *aws = call->aws;
    const struct dd_ports *ports = &aws->engine->config.ports;
    int64_t now_ms = now_of(call), left_ms = call->until_ms - now_ms;
    struct dd_fetch_request request = {
        .method = call->checkpoint ? "POST" : "GET",
        .url = call->url.data,
        .headers = headers->all,
        .headers_len = headers->len,
        .body = call->checkpoint ? dd_buf_span(&call->body) : DD_SPAN_NONE,
        .connect_ms = left_ms < DD_AWS_CONNECT_MS ? left_ms : DD_AWS_CONNECT_MS,
        .timeout_ms = left_ms < DD_AWS_ATTEMPT_MS ? left_ms : DD_AWS_ATTEMPT_MS,
        .answer_max = DD_AWS_ANSWER_MAX,
        .fresh =
            call->redial || now_ms - aws->used_ms > DD_AWS_IDLE_MS || now_ms < aws->used_ms,
    };

    call->owner.done = on_answer;
    call->sent_ms = now_ms;
    call->fetch = ports->fetch(ports->user, &request, &call->owner);
}

static void call_send(struct aws_call *call)
{
    struct dd_aws *aws = call->aws;
    struct headers headers = {.len = 0};

    call->due_ms = 0;
    if (now_of(call) >= call->until_ms) {
        give_up(call);
        return;
    }
    if (!*config_of(aws)->endpoint) {
        call->cause = DD_CAUSE_REGION;
        refuse(call, true, NULL, "AWS_REGION is not a region's name");
        return;
    }
    if (!keys_ready(aws)) {
        call->wants_keys = true;
        ask_for_keys(aws);
        return;
    }
    write_url(call);
    if (call->url.failed || call->body.failed || !write_headers(call, &headers))
        refuse(call, true, NULL, "no memory for the request");
    else
        begin_request(call, &headers);
    dd_buf_deinit(&headers.authorization);
}

/* --- answers ----------------------------------------------------------------------------- */

/* Whether `text` begins so, whatever the case: SDKs that compared it went wrong. */
static bool begins(const struct dd_text *text, const char *with)
{
    size_t len = strlen(with);

    if (!text || text->len < len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (tolower((unsigned char)text->data[i]) != tolower((unsigned char)with[i]))
            return false;
    }
    return true;
}

static bool is_one(const struct dd_text *type, const char *const *names, size_t len)
{
    for (size_t i = 0; type && i < len; i++) {
        if (dd_span_is(dd_text_span(type), names[i]))
            return true;
    }
    return false;
}

/* The keys, or the clock: nothing that the execution could help. */
static bool is_about_keys(const struct dd_text *type)
{
    static const char *const names[] = {
        "ExpiredTokenException",
        "ExpiredToken",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "IncompleteSignatureException",
        "MissingAuthenticationTokenException",
        "RequestExpired",
    };

    return is_one(type, names, DD_COUNT(names));
}

static bool is_throttle(int status, const struct dd_text *type)
{
    static const char *const names[] = {"TooManyRequestsException", "ThrottlingException",
                                        "Throttling", "RequestLimitExceeded"};

    return status == 429 || is_one(type, names, DD_COUNT(names));
}

static void drop_keys(struct aws_call *call)
{
    struct dd_aws *aws = call->aws;

    call->keys_failed = true;
    dd_api_keys_deinit(&aws->keys);
    call->due_ms = now_of(call);
}

/* Whether a signature may have been refused for its time: then the next has the service's. */
static bool set_clock(struct aws_call *call, const struct dd_fetch_answer *answer)
{
    /* 2020 and 2100: a date outside is no clock's. */
    const int64_t from_ms = INT64_C(1577836800000), to_ms = INT64_C(4102444800000);
    struct dd_aws *aws = call->aws;
    int64_t date_ms, ahead_ms;

    if (call->clock_failed || !dd_http_header_date(answer->header(answer, "Date"), &date_ms) ||
        date_ms < from_ms || date_ms > to_ms)
        return false;
    ahead_ms = date_ms - service_ms(aws);
    if (ahead_ms > -DD_AWS_SKEW_MS && ahead_ms < DD_AWS_SKEW_MS)
        return false;
    aws->skew_ms += ahead_ms;
    call->clock_failed = true;
    call->due_ms = now_of(call);
    dd_log(aws->engine->config.log, CLOCK_DIFFERS,
           DD_LOG_TEXT("executionArn", dd_text_span(call->call.attached->arn)),
           DD_LOG_TEXT("requestId", request_id_of(call)),
           DD_LOG_NUMBER("skew_ms", aws->skew_ms), DD_LOG_CAUSE(DD_CAUSE_CLOCK));
    return true;
}

/* The classes of sdk-semantics 8.3. */
static void judge(struct aws_call *call, const struct dd_fetch_answer *answer,
                  struct dd_text *type, struct dd_text *message)
{
    const char *said = dd_text_or(message, "no reason given");
    char text[200];

    call->cause = dd_cause_of_refusal(answer->status, type, message);
    snprintf(text, sizeof text, "HTTP %d %s: %.120s", answer->status,
             type ? type->data : "from what is not the service", said);
    if (begins(type, "KMS") && answer->status >= 400)
        refuse(call, false, type, said);
    else if (!type || answer->status < 400 || answer->status == 408 || answer->status >= 500 ||
             is_throttle(answer->status, type))
        try_again(call, type, text, dd_http_retry_after(answer->header(answer, "Retry-After")));
    else if (begins(message, "Invalid checkpoint token"))
        refuse(call, true, type, said);
    else if (!is_about_keys(type))
        refuse(call, false, type, said);
    else if (set_clock(call, answer))
        return;
    else if (config_of(call->aws)->keys_url && !call->keys_failed)
        drop_keys(call);
    else
        refuse(call, true, type, text);
}

static void on_failure(struct aws_call *call, const struct dd_fetch_answer *answer)
{
    struct dd_text *type, *message;

    dd_api_read_failure(answer->header(answer, "x-amzn-errortype"), answer->body, &type,
                        &message);
    judge(call, answer, type, message);
    dd_text_unref(type);
    dd_text_unref(message);
}

/* What does not belong to a whole page is not kept. */
static void forget_half(struct dd_api_state *got, size_t len)
{
    while (got->operations_len > len)
        dd_operation_deinit(&got->operations[--got->operations_len]);
}

static void limit(struct aws_call *call)
{
    const struct dd_attached *attached = call->call.attached;
    int64_t last_ms = attached->deadline_ms - DD_AWS_MARGIN_MS;

    call->began_ms = now_of(call);
    call->until_ms = call->began_ms + DD_AWS_CALL_MS;
    if (attached->deadline_ms && last_ms < call->until_ms)
        call->until_ms = last_ms;
}

static bool has_more(const struct dd_api_state *got)
{
    return got->marker && got->marker->len > 0;
}

/* More has changed than fits one answer: the rest is read with the new token. */
static void page_on(struct aws_call *call)
{
    call->checkpoint = false;
    call->attempts = 0;
    call->keys_failed = call->clock_failed = false;
    dd_text_set(&call->token, call->got.token);
    dd_text_set(&call->marker, call->got.marker);
    limit(call);
    call_send(call);
}

static void on_success(struct aws_call *call, const struct dd_fetch_answer *answer)
{
    size_t before = call->got.operations_len;
    struct dd_error error;
    int rc = call->checkpoint ? dd_api_read_checkpointed(answer->body, &call->got, &error)
                              : dd_api_read_page(answer->body, &call->got, &error);

    if (rc) {
        forget_half(&call->got, before);
        call->cause = DD_CAUSE_NOT_SERVICE;
        try_again(call, NULL, error.text, 0);
    } else if (!call->call.load && call->got.token && has_more(&call->got)) {
        page_on(call);
    } else {
        tell(call);
    }
}

static void count(struct aws_call *call)
{
    struct dd_attached *attached = call->call.attached;
    int64_t took_ms = now_of(call) - call->sent_ms;

    attached->calls++;
    if (took_ms > attached->slowest_ms)
        attached->slowest_ms = took_ms;
}

static void on_silence(struct aws_call *call, const struct dd_fetch_answer *answer)
{
    /* An attempt that the deadline cut short says less than the one before. */
    if (call->attempts > 0 && now_of(call) + DD_AWS_BACKOFF_MIN_MS >= call->until_ms) {
        call->attempts++;
        give_up(call);
        return;
    }
    call->cause = dd_cause_of_outcome(answer->outcome);
    try_again(call, NULL, answer->text, 0);
}

static void on_answer(struct dd_fetch_owner *owner, const struct dd_fetch_answer *answer)
{
    struct aws_call *call = dd_container_of(owner, struct aws_call, owner);
    bool answered = answer->outcome == DD_FETCH_ANSWERED;

    call->fetch = NULL;
    call->redial = !answered;
    count(call);
    if (answered)
        call->aws->used_ms = now_of(call);
    if (!answered)
        on_silence(call, answer);
    else if (answer->status == 200)
        on_success(call, answer);
    else
        on_failure(call, answer);
}

/* --- the backend ------------------------------------------------------------------------- */

static struct aws_call *call_new(struct dd_attached *attached, bool load)
{
    struct aws_call *call = dd_alloc(sizeof *call);

    call->call.attached = attached;
    call->call.load = load;
    call->aws = attached->engine->aws;
    call->checkpoint = !load;
    dd_buf_init(&call->body, DD_HTTP_BODY_MAX);
    dd_buf_init(&call->url, DD_HTTP_CONNECTION_BYTES);
    dd_list_push(&call->aws->calls, &call->node);
    limit(call);
    return call;
}

static struct dd_backend_call *checkpoint(struct dd_attached *attached, struct dd_span token,
                                          const struct dd_update *updates, size_t updates_len)
{
    const struct dd_ports *ports = &attached->engine->config.ports;
    struct aws_call *call = call_new(attached, false);
    char client_token[DD_UUID_TEXT_LEN + 1];
    uint8_t random[16];

    ports->random(ports->user, random, sizeof random);
    dd_uuid_format(dd_uuid_v4(random), client_token);
    dd_api_write_checkpoint(&call->body, token, dd_span_cstr(client_token), updates,
                            updates_len);
    if (token.len > 0) {
        call_send(call);
    } else {
        call->cause = DD_CAUSE_NO_TOKEN;
        refuse(call, true, NULL, "the event has an empty CheckpointToken");
    }
    return &call->call;
}

static struct dd_backend_call *load(struct dd_attached *attached, struct dd_span token,
                                    struct dd_span marker)
{
    struct aws_call *call = call_new(attached, true);

    if (dd_text_try_new(token, &call->token) && dd_text_try_new(marker, &call->marker))
        call_send(call);
    else
        refuse(call, true, NULL, "no memory for the request");
    return &call->call;
}

static void abandon(struct dd_backend_call *abandoned)
{
    struct aws_call *call = dd_container_of(abandoned, struct aws_call, call);
    const struct dd_ports *ports = &call->aws->engine->config.ports;

    if (call->fetch)
        ports->fetch_cancel(ports->user, call->fetch);
    call->fetch = NULL;
    call_free(call);
}

const struct dd_backend dd_backend_aws = {checkpoint, load, abandon};

/* --- life -------------------------------------------------------------------------------- */

struct dd_aws *dd_aws_new(struct dd_engine *engine)
{
    const struct dd_aws_config *config = engine->config.aws;
    struct dd_aws *aws = dd_alloc(sizeof *aws);
    struct dd_span host, path;

    aws->engine = engine;
    dd_list_init(&aws->calls);
    dd_http_split_url(dd_span_cstr(config->endpoint), &host, &path);
    aws->host = dd_text_new(host);
    aws->path_at = (size_t)(path.data - config->endpoint);
    snprintf(aws->agent, sizeof aws->agent, "durabled/%s", engine->config.version);
    if (config->access_key && config->secret_key) {
        aws->keys.access_key = dd_text_cstr(config->access_key);
        aws->keys.secret_key = dd_text_cstr(config->secret_key);
        aws->keys.token = config->session_token ? dd_text_cstr(config->session_token) : NULL;
    }
    return aws;
}

void dd_aws_free(struct dd_aws *aws)
{
    if (!aws)
        return;
    dd_assert(dd_list_empty(&aws->calls));
    if (aws->keys_fetch)
        aws->engine->config.ports.fetch_cancel(aws->engine->config.ports.user, aws->keys_fetch);
    dd_api_keys_deinit(&aws->keys);
    dd_text_unref(aws->host);
    dd_free(aws);
}

static void call_due(struct aws_call *call)
{
    const struct dd_ports *ports = &call->aws->engine->config.ports;
    int64_t now_ms = now_of(call);

    if (call->due_ms && call->due_ms <= now_ms) {
        if (call->failure)
            tell(call);
        else
            call_send(call);
        return;
    }
    /* The loop's clock may have stood still while the wall's went on. */
    if (!call->failure && call->until_ms <= now_ms) {
        if (call->fetch)
            ports->fetch_cancel(ports->user, call->fetch);
        call->fetch = NULL;
        call->wants_keys = false;
        if (call->attempts++ == 0) {
            call->cause = DD_CAUSE_LATE;
            snprintf(call->problem, sizeof call->problem, "no answer in time");
        }
        give_up(call);
    }
}

void dd_aws_due(struct dd_engine *engine)
{
    dd_list_each(node, tmp, &engine->aws->calls)
    {
        call_due(dd_container_of(node, struct aws_call, node));
    }
}

int64_t dd_aws_next_due(const struct dd_engine *engine)
{
    int64_t next = 0;

    dd_list_each(node, tmp, &engine->aws->calls)
    {
        const struct aws_call *call = dd_container_of(node, struct aws_call, node);
        int64_t when = call->due_ms ? call->due_ms : call->until_ms;

        if (!next || when < next)
            next = when;
    }
    return next;
}
