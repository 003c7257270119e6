/* The Lambda Runtime API, for functions in C; see durabled_lambda.h.
 *
 *   next ──► (an invocation) ──► the handler ──► response, or error ──► next ...
 *
 * One request at a time, over one connection that stays. `next` has no time limit: the
 * environment is frozen in it. */
#include "durabled_lambda.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of an error's type, which goes into a header too. */
#define TYPE_MAX 256

struct runtime {
    CURL *curl;
    char base[256]; /* of all URLs */
    char why[CURL_ERROR_SIZE];
    struct durabled_text answer; /* the body of the last one */
    struct durabled *connection; /* NULL: none now */
};

static int fail(struct durabled_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct durabled_error *error, int code, const char *format, ...)
{
    va_list args;

    if (error) {
        *error = (struct durabled_error){.code = code};
        va_start(args, format);
        (void)vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
    }
    return code;
}

static int no_memory(struct durabled_error *error)
{
    return fail(error, DURABLED_NO_MEMORY, "out of memory for the Lambda Runtime API");
}

/* --- requests ---------------------------------------------------------------------------- */

static bool add_header(struct curl_slist **headers, const char *header)
{
    struct curl_slist *longer = curl_slist_append(*headers, header);

    if (longer)
        *headers = longer;
    return longer != NULL;
}

/* Of a POST. `type` is that of an error, NULL when it tells of none: what of it can stand
 * in a header. */
static bool make_headers(struct curl_slist **out, const char *type)
{
    char header[TYPE_MAX + 64];

    /* Nothing is asked before a large body is sent. */
    if (!add_header(out, "Content-Type: application/json") || !add_header(out, "Expect:"))
        return false;
    if (!type)
        return true;
    (void)snprintf(header, sizeof header, "Lambda-Runtime-Function-Error-Type: %.*s",
                   (int)strcspn(type, "\r\n"), type);
    return add_header(out, header);
}

/* Puts what is asked, and `headers`, into the handle, asks, and keeps the answer. */
static int perform(struct runtime *runtime, const char *url, struct curl_slist *headers,
                   const struct durabled_text *body, struct durabled_error *error)
{
    CURL *curl = runtime->curl;
    FILE *answer;
    CURLcode rc;
    long status = 0;

    free(runtime->answer.data);
    runtime->answer = (struct durabled_text){0};
    answer = open_memstream(&runtime->answer.data, &runtime->answer.len);
    if (!answer)
        return no_memory(error);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    if (body) {
        (void)curl_easy_setopt(curl, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data ? body->data : "");
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
    }
    runtime->why[0] = '\0';
    rc = curl_easy_setopt(curl, CURLOPT_URL, url);
    if (rc == CURLE_OK)
        rc = curl_easy_perform(curl);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    if (fclose(answer) != 0)
        return no_memory(error);
    if (rc != CURLE_OK)
        return fail(error, DURABLED_SYSTEM, "%s: %s", url,
                    runtime->why[0] ? runtime->why : curl_easy_strerror(rc));
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299)
        return fail(error, DURABLED_SYSTEM, "%s: status %ld: %.512s", url, status,
                    runtime->answer.data);
    return DURABLED_OK;
}

/* GET without `body`, else POST. */
static int ask(struct runtime *runtime, const char *path, const struct durabled_text *body,
               const char *type, struct durabled_error *error)
{
    char url[sizeof runtime->base + 256];
    struct curl_slist *headers = NULL;
    int rc;

    (void)snprintf(url, sizeof url, "%s%s", runtime->base, path);
    rc = !body || make_headers(&headers, type) ? perform(runtime, url, headers, body, error)
                                               : no_memory(error);
    curl_slist_free_all(headers);
    return rc;
}

static int runtime_open(struct runtime *runtime, struct durabled_error *error)
{
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
    CURL *curl;

    *runtime = (struct runtime){0};
    if (!api || !*api)
        return fail(error, DURABLED_USAGE,
                    "AWS_LAMBDA_RUNTIME_API is not set: AWS Lambda starts this program, or "
                    "`durabled dev` on your own machine");
    (void)snprintf(runtime->base, sizeof runtime->base, "http://%.200s/2018-06-01/runtime",
                   api);
    if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK)
        return no_memory(error);
    curl = runtime->curl = curl_easy_init();
    if (!curl)
        return no_memory(error);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, runtime->why);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    /* It is this machine's, whatever proxy stands between it and others. */
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    return DURABLED_OK;
}

static void runtime_close(struct runtime *runtime)
{
    durabled_close(runtime->connection);
    free(runtime->answer.data);
    if (!runtime->curl)
        return;
    curl_easy_cleanup(runtime->curl);
    curl_global_cleanup();
}

/* --- errors ------------------------------------------------------------------------------ */

static void put_string(FILE *out, const char *text)
{
    putc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++)
        if (*at < 0x20)
            fprintf(out, "\\u%04x", *at);
        else if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else
            putc(*at, out);
    putc('"', out);
}

/* Lambda's form of an error. */
static void put_error(FILE *out, const struct durabled_failure *failure)
{
    fputs("{\"errorType\": ", out);
    put_string(out, failure->type);
    fputs(", \"errorMessage\": ", out);
    put_string(out, failure->message);
    fputs(", \"stackTrace\": [", out);
    for (size_t i = 0; i < failure->stack_trace_len; i++) {
        fputs(i > 0 ? ", " : "", out);
        put_string(out, failure->stack_trace[i]);
    }
    fputs("]}", out);
}

static int post_error(struct runtime *runtime, const char *path,
                      const struct durabled_failure *failure, struct durabled_error *error)
{
    struct durabled_failure whole = *failure;
    struct durabled_text body = {0};
    FILE *out = open_memstream(&body.data, &body.len);
    int rc;

    if (!out)
        return no_memory(error);
    if (!whole.type)
        whole.type = (char *)"Error";
    if (!whole.message)
        whole.message = (char *)"the function failed";
    put_error(out, &whole);
    rc = fclose(out) == 0 ? ask(runtime, path, &body, whole.type, error) : no_memory(error);
    free(body.data);
    return rc;
}

int durabled_lambda_init_error(const char *type, const char *message,
                               struct durabled_error *error)
{
    const struct durabled_failure failure = {.type = (char *)type, .message = (char *)message};
    struct runtime runtime;
    int rc = runtime_open(&runtime, error);

    if (rc == DURABLED_OK)
        rc = post_error(&runtime, "/init/error", &failure, error);
    runtime_close(&runtime);
    return rc;
}

/* --- invocations ------------------------------------------------------------------------- */

/* A header of the last answer, "" when it has none; until the next request. */
static const char *header(const struct runtime *runtime, const char *name)
{
    struct curl_header *found;

    return curl_easy_header(runtime->curl, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK
               ? found->value
               : "";
}

static int attach_and_run(struct runtime *runtime, struct durabled_invocation *invocation,
                          durabled_body body, void *user, struct durabled_result *output)
{
    struct durabled_error error = {0};
    int rc = DURABLED_OK;

    if (!runtime->connection)
        rc = durabled_open(NULL, &runtime->connection, &error);
    if (rc == DURABLED_OK) {
        invocation->connection = runtime->connection;
        rc = durabled_execute(invocation, body, user, output, &error);
    }
    if (rc == DURABLED_OK || rc == DURABLED_FAILED)
        return rc;
    if (rc == DURABLED_DISCONNECTED || rc == DURABLED_PROTOCOL) {
        durabled_close(runtime->connection);
        runtime->connection = NULL;
    }
    return durabled_raise(output, error.type[0] ? error.type : durabled_code_name(rc),
                          error.text);
}

/* Takes the next invocation, runs it, and tells what it came to. */
static int serve(struct runtime *runtime, durabled_body body, void *user,
                 struct durabled_error *error)
{
    struct durabled_invocation invocation = {0};
    struct durabled_result output = {0};
    struct durabled_text event;
    char request_id[128], path[192];
    int rc = ask(runtime, "/invocation/next", NULL, NULL, error);

    if (rc != DURABLED_OK)
        return rc;
    event = runtime->answer;
    runtime->answer = (struct durabled_text){0};
    (void)snprintf(request_id, sizeof request_id, "%s",
                   header(runtime, "Lambda-Runtime-Aws-Request-Id"));
    (void)setenv("_X_AMZN_TRACE_ID", header(runtime, "Lambda-Runtime-Trace-Id"), 1);
    invocation.event = event.data;
    invocation.event_len = event.len;
    invocation.request_id = request_id;
    invocation.function = getenv("AWS_LAMBDA_FUNCTION_NAME");
    invocation.deadline_ms = strtoll(header(runtime, "Lambda-Runtime-Deadline-Ms"), NULL, 10);
    rc = attach_and_run(runtime, &invocation, body, user, &output);
    (void)snprintf(path, sizeof path, "/invocation/%s/%s", request_id,
                   rc == DURABLED_OK ? "response" : "error");
    rc = rc == DURABLED_OK ? ask(runtime, path, &output.payload, NULL, error)
                           : post_error(runtime, path, &output.failure, error);
    durabled_result_clear(&output);
    free(event.data);
    return rc;
}

int durabled_lambda_run(durabled_body body, void *user, struct durabled_error *error)
{
    struct runtime runtime;
    int rc = runtime_open(&runtime, error);

    while (rc == DURABLED_OK)
        rc = serve(&runtime, body, user, error);
    runtime_close(&runtime);
    return rc;
}
