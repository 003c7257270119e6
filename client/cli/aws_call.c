/* Calls of AWS's API, one after the other: signed, and made again when that may help. */
#include <string.h>
#include <time.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "cli.h"
#include "codec/api.h"
#include "codec/http.h"
#include "codec/sigv4.h"
#include "io/aws_env.h"
#include "io/fetch_curl.h"
#include "io/system.h"

/* So often a call is made, and the pause before the second, doubled each time; chosen: a person
 * waits. What the service asks for instead is kept up to the most. */
#define ATTEMPTS_MAX 5
#define PAUSE_MS 200
#define PAUSE_MAX_MS 20000

struct aws {
    uv_loop_t loop;
    struct dd_fetcher *fetcher;
    struct dd_aws_env env;
    struct dd_buf endpoint; /* ends in a NUL */
    struct dd_text *host;   /* of the endpoint */
    size_t path_at;         /* where its path begins */
    struct dd_text *region;
    struct dd_api_keys keys;
};

/* --- one request ------------------------------------------------------------------------- */

struct answer {
    bool told;
    enum dd_fetch_outcome outcome;
    char text[256]; /* unless ANSWERED */
    int status;
    struct dd_buf body;
    int64_t pause_ms;               /* that the service asks for */
    struct dd_text *type, *message; /* of an error; NULL: not the service's */
};

static void answer_clear(struct answer *answer)
{
    dd_buf_deinit(&answer->body);
    dd_text_unref(answer->type);
    dd_text_unref(answer->message);
    *answer = (struct answer){0};
}

static void on_fetched(void *user, void *owner, const struct dd_fetch_answer *told)
{
    struct answer *answer = owner;

    (void)user;
    answer->told = true;
    answer->outcome = told->outcome;
    answer->status = told->status;
    if (told->outcome != DD_FETCH_ANSWERED) {
        (void)snprintf(answer->text, sizeof answer->text, "%s", told->text);
        return;
    }
    dd_buf_append_span(&answer->body, told->body);
    if (told->status == 200)
        return;
    answer->pause_ms = dd_http_retry_after(told->header(told, "Retry-After"));
    dd_api_read_failure(told->header(told, "x-amzn-errortype"), told->body, &answer->type,
                        &answer->message);
}

static void fetch(struct aws *aws, const struct dd_fetch_request *request, struct answer *out)
{
    *out = (struct answer){0};
    dd_buf_init(&out->body, request->answer_max);
    (void)dd_fetch(aws->fetcher, request, out);
    while (!out->told)
        uv_run(&aws->loop, UV_RUN_ONCE);
}

/* A signed one. False: no memory. */
static bool attempt(struct aws *aws, const struct aws_call *call, struct answer *out)
{
    struct dd_http_header headers[6];
    char stamp[DD_HTTP_STAMP_LEN + 1];
    struct dd_buf url, authorization;
    struct dd_fetch_request request = {
        .method = call->method,
        .headers = headers,
        .body = call->body,
        .connect_ms = DD_AWS_CONNECT_MS,
        .timeout_ms = DD_AWS_ATTEMPT_MS,
        .answer_max = DD_AWS_ANSWER_MAX,
    };
    struct dd_sigv4_call signed_call = {
        .method = dd_span_cstr(call->method),
        .host = dd_text_span(aws->host),
        .body = call->body.data ? call->body : DD_SPAN(""),
        .time = dd_span_make(stamp, DD_HTTP_STAMP_LEN),
        .region = dd_text_span(aws->region),
        .access_key = dd_text_span(aws->keys.access_key),
        .secret_key = dd_text_span(aws->keys.secret_key),
        .token = dd_text_span(aws->keys.token),
    };
    bool good;

    dd_http_stamp_format(dd_clock_ms(), stamp);
    dd_buf_init(&url, SIZE_MAX);
    dd_buf_printf(&url, "%s%s", aws->endpoint.data, call->target);
    dd_buf_append_byte(&url, '\0');
    request.url = url.data;
    signed_call.target = dd_span_cstr(url.data + aws->path_at);
    dd_buf_init(&authorization, DD_SIGNED_BYTES_MAX);
    good = dd_sigv4_authorize_call(&signed_call, &authorization);
    dd_buf_append_byte(&authorization, '\0');
    headers[request.headers_len++] = (struct dd_http_header){"Host", aws->host->data};
    headers[request.headers_len++] = (struct dd_http_header){"X-Amz-Date", stamp};
    headers[request.headers_len++] =
        (struct dd_http_header){"Authorization", authorization.data};
    headers[request.headers_len++] =
        (struct dd_http_header){"User-Agent", "durablectl/" DURABLECTL_VERSION};
    if (aws->keys.token)
        headers[request.headers_len++] =
            (struct dd_http_header){"X-Amz-Security-Token", aws->keys.token->data};
    if (call->content_type)
        headers[request.headers_len++] =
            (struct dd_http_header){"Content-Type", call->content_type};
    if (good && !authorization.failed)
        fetch(aws, &request, out);
    else
        good = false;
    dd_buf_deinit(&authorization);
    dd_buf_deinit(&url);
    return good;
}

/* --- calls ------------------------------------------------------------------------------- */

static bool is_type(const struct answer *answer, const char *type)
{
    return answer->type && dd_span_is(dd_text_span(answer->type), type);
}

/* What is not answered at all is told at once: somebody waits for it. */
static bool may_succeed_later(const struct aws_call *call, const struct answer *answer)
{
    if (answer->outcome == DD_FETCH_ANSWERED)
        return answer->status == 429 || answer->status >= 500 ||
               is_type(answer, "ThrottlingException") ||
               is_type(answer, "TooManyRequestsException");
    return !call->once &&
           (answer->outcome == DD_FETCH_BROKEN || answer->outcome == DD_FETCH_LATE);
}

static void pause_before(unsigned attempts, const struct answer *answer)
{
    int64_t most = (int64_t)PAUSE_MS << attempts, ms;
    uint32_t random;

    dd_random(&random, sizeof random);
    ms = most / 2 + random % (most / 2);
    if (ms < answer->pause_ms)
        ms = answer->pause_ms < PAUSE_MAX_MS ? answer->pause_ms : PAUSE_MAX_MS;
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* What came of it in the end, when it is no success. */
static int refuse(const struct aws *aws, const struct aws_call *call,
                  const struct answer *answer, struct durabled_error *error)
{
    const char *url = aws->endpoint.data;

    if (answer->outcome == DD_FETCH_UNREACHABLE || answer->outcome == DD_FETCH_UNTRUSTED)
        return fail(error, DURABLED_NO_DAEMON, "", "AWS's API does not answer at %s: %s", url,
                    answer->text);
    if (answer->outcome != DD_FETCH_ANSWERED)
        return fail(error, DURABLED_DISCONNECTED, "", "AWS's API at %s gave no answer: %s%s",
                    url, answer->text, call->once ? "; it may have done it all the same" : "");
    if (!answer->type)
        return fail(error, DURABLED_PROTOCOL, "",
                    "what answers at %s is not AWS's API (HTTP status %d)", url,
                    answer->status);
    return fail(error,
                is_type(answer, "ResourceNotFoundException") ? DURABLED_NOT_FOUND
                                                             : DURABLED_REFUSED,
                answer->type->data, "%s", dd_text_or(answer->message, "no reason given"));
}

static int open_answer(const struct answer *answer, struct doc *out,
                       struct durabled_error *error)
{
    struct dd_error why;
    struct dd_buf packed;

    dd_buf_init(&packed, SIZE_MAX);
    if (dd_api_pack(dd_buf_span(&answer->body), &packed, &why) != 0) {
        dd_buf_deinit(&packed);
        return fail(error, DURABLED_PROTOCOL, "", "%s", why.text);
    }
    return doc_open_packed(out, &packed) ? DURABLED_OK : out_of_memory(error);
}

int aws_run(struct aws *aws, const struct aws_call *call, struct doc *out,
            struct durabled_error *error)
{
    struct answer answer;
    unsigned attempts = 0;
    int rc = DURABLED_OK;

    while (attempt(aws, call, &answer)) {
        if (++attempts == ATTEMPTS_MAX || !may_succeed_later(call, &answer)) {
            if (answer.outcome != DD_FETCH_ANSWERED || answer.status != 200)
                rc = refuse(aws, call, &answer, error);
            else if (out)
                rc = open_answer(&answer, out, error);
            answer_clear(&answer);
            return rc;
        }
        pause_before(attempts - 1, &answer);
        answer_clear(&answer);
    }
    return out_of_memory(error);
}

/* --- keys -------------------------------------------------------------------------------- */

static int ask_for_keys(struct aws *aws, struct durabled_error *error)
{
    struct dd_http_header header = {"Authorization", NULL};
    struct dd_fetch_request request = {
        .method = "GET",
        .url = aws->env.keys_url,
        .headers = &header,
        .connect_ms = DD_AWS_KEYS_MS,
        .timeout_ms = DD_AWS_KEYS_MS,
        .answer_max = DD_AWS_KEYS_MAX,
        .direct = true,
    };
    struct answer answer = {0};
    struct dd_error why;
    struct dd_buf token;
    int rc = DURABLED_OK;

    dd_buf_init(&token, DD_AWS_KEYS_MAX);
    if (!dd_aws_authorization(&aws->env, &token)) {
        rc = fail(error, DURABLED_USAGE, "",
                  "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE cannot be read");
    } else {
        header.value = token.data;
        request.headers_len = token.len > 1;
        fetch(aws, &request, &answer);
        if (answer.outcome != DD_FETCH_ANSWERED)
            rc = fail(error, DURABLED_NO_DAEMON, "", "no AWS credentials from %s: %s",
                      request.url, answer.text);
        else if (answer.status != 200)
            rc = fail(error, DURABLED_REFUSED, "", "no AWS credentials from %s: HTTP status %d",
                      request.url, answer.status);
        else if (dd_api_read_keys(dd_buf_span(&answer.body), &aws->keys, &why) != 0)
            rc = fail(error, DURABLED_PROTOCOL, "", "no AWS credentials from %s: %s",
                      request.url, why.text);
        answer_clear(&answer);
    }
    dd_buf_deinit(&token);
    return rc;
}

/* In the order of AWS's tools: the environment, a profile, a container's endpoint. */
static int find_keys(struct aws *aws, const struct profile *profile, const char *name,
                     struct durabled_error *error)
{
    const struct dd_aws_env *env = &aws->env;

    if (env->access_key && env->secret_key) {
        aws->keys.access_key = dd_text_cstr(env->access_key);
        aws->keys.secret_key = dd_text_cstr(env->secret_key);
        aws->keys.token = env->session_token ? dd_text_cstr(env->session_token) : NULL;
        return DURABLED_OK;
    }
    if (profile->other)
        return fail(error, DURABLED_USAGE, "",
                    "the profile '%s' has its keys by %s, which durablectl does not do; run "
                    "eval \"$(aws configure export-credentials --profile '%s' --format env)\"",
                    name, profile->other->data, name);
    if (profile->access_key && profile->secret_key) {
        aws->keys.access_key = dd_text_ref(profile->access_key);
        aws->keys.secret_key = dd_text_ref(profile->secret_key);
        aws->keys.token = dd_text_ref(profile->session_token);
        return DURABLED_OK;
    }
    if (dd_variable("AWS_PROFILE"))
        return fail(error, DURABLED_USAGE, "", "the profile '%s' %s", name,
                    profile->found ? "has no keys" : "is in neither of AWS's shared files");
    if (env->keys_url)
        return ask_for_keys(aws, error);
    return fail(error, DURABLED_USAGE, "",
                "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                "AWS_PROFILE");
}

/* --- life -------------------------------------------------------------------------------- */

/* The region of "arn:PARTITION:SERVICE:REGION:..."; absent: it is none. */
static struct dd_span region_of(const char *arn)
{
    if (strncmp(arn, "arn:", 4) != 0)
        return DD_SPAN_NONE;
    for (int colons = 0; colons < 3; colons++) {
        arn = strchr(arn, ':');
        if (!arn)
            return DD_SPAN_NONE;
        arn++;
    }
    return dd_span_make(arn, strcspn(arn, ":"));
}

static bool find_region(struct aws *aws, const struct args *args, const char *subject,
                        const struct profile *profile)
{
    struct dd_span region = region_of(subject);

    if (region.len == 0)
        region = dd_span_cstr(args->region ? args->region : aws->env.region);
    if (!region.data && profile->region)
        region = dd_text_span(profile->region);
    /* Whoever has an API of his own need not have a region. */
    if (!region.data && (args->endpoint || aws->env.endpoint))
        region = DD_SPAN("us-east-1");
    aws->region = dd_text_new(region);
    return aws->region != NULL;
}

static int find_endpoint(struct aws *aws, const char *given, struct durabled_error *error)
{
    struct dd_span host, path;
    struct dd_error why;

    if (dd_aws_endpoint(given ? given : aws->env.endpoint, aws->region->data, &aws->endpoint,
                        &why) != 0)
        return fail(error, DURABLED_USAGE, "", "%s", why.text);
    dd_http_split_url(dd_span_cstr(aws->endpoint.data), &host, &path);
    aws->host = dd_text_new(host);
    aws->path_at = (size_t)(path.data - aws->endpoint.data);
    return DURABLED_OK;
}

int aws_new(const struct args *args, const char *subject, struct aws **out,
            struct durabled_error *error)
{
    const char *name = dd_variable("AWS_PROFILE");
    struct aws *aws = dd_alloc(sizeof *aws);
    struct profile profile;
    struct dd_error why;
    int rc = DURABLED_OK;

    dd_assert(uv_loop_init(&aws->loop) == 0);
    aws->fetcher = dd_fetcher_new(&aws->loop, &(struct dd_fetch_events){.fetched = on_fetched});
    dd_buf_init(&aws->endpoint, SIZE_MAX);
    name = name ? name : "default";
    profile_read(name, &profile);
    if (dd_aws_env_read(&aws->env, &why) != 0)
        rc = fail(error, DURABLED_USAGE, "", "%s", why.text);
    else if (!find_region(aws, args, subject, &profile))
        rc = fail(error, DURABLED_USAGE, "", "no region: give --region, or set AWS_REGION");
    else
        rc = find_endpoint(aws, args->endpoint, error);
    if (rc == DURABLED_OK)
        rc = find_keys(aws, &profile, name, error);
    profile_deinit(&profile);
    if (rc != DURABLED_OK)
        aws_free(aws);
    else
        *out = aws;
    return rc;
}

void aws_free(struct aws *aws)
{
    dd_fetcher_close(aws->fetcher);
    uv_run(&aws->loop, UV_RUN_DEFAULT);
    dd_assert(uv_loop_close(&aws->loop) == 0);
    dd_aws_env_deinit(&aws->env);
    dd_buf_deinit(&aws->endpoint);
    dd_text_unref(aws->host);
    dd_text_unref(aws->region);
    dd_api_keys_deinit(&aws->keys);
    dd_free(aws);
}

const char *aws_region(const struct aws *aws)
{
    return aws->region->data;
}
