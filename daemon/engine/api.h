/* AWS's Lambda durable execution API (service-api 1): requests become calls of the
 * service, and their results the answers that AWS's clients expect.
 *
 *   api.c        the routes, who may call, errors, answers
 *   api_calls.c  what each operation does
 */
#pragma once

#include "engine/engine_priv.h"

/* One request and the answer to come. Freed by its answer, or with its peer. */
struct dd_exchange {
    struct dd_gate_action action; /* while it waits in the gate */
    struct dd_list node;
    struct dd_engine *engine;
    struct dd_http_reply reply;
    const char *operation;   /* as AWS calls it */
    struct dd_waiter waiter; /* Invoke: until the execution is closed */
    struct dd_uuid execution;
    char request_id[DD_UUID_TEXT_LEN + 1];
    /* The answer. */
    int status;
    const char *error_type;   /* x-amzn-errortype; NULL: none */
    const char *content_type; /* NULL: there is no body */
    bool invoked;             /* X-Amz-Executed-Version */
    struct dd_text *arn;      /* X-Amz-Durable-Execution-Arn; NULL: none */
    bool function_error;      /* X-Amz-Function-Error */
    bool retryable;           /* Retry-After */
    struct dd_buf body;
};

/* What an operation reads its parameters from. */
struct dd_api_call {
    struct dd_exchange *exchange;
    struct dd_engine *engine;
    const struct dd_http_request *request;
    struct dd_span label; /* of the path, decoded */
    struct dd_span query;
    struct dd_buf value; /* the parameter that was read last */
    struct dd_violations violations;
};

/* Does the work of a request and answers its exchange, now or later; or returns why not,
 * which becomes the answer. */
typedef int (*dd_api_run)(struct dd_api_call *call, struct dd_error *error);

struct dd_api_route {
    const char *operation;
    const char *method;
    const char *prefix; /* of the path, before the label */
    const char *suffix; /* after it */
    dd_api_run run;
};

/* The operations; the last has no name. Of two that fit, the first is meant. */
extern const struct dd_api_route dd_api_routes[];

/* The route of a path, and its label as it came. Labels end where the known suffix
 * begins: an ARN may come with its slashes unescaped. NULL when there is none. */
const struct dd_api_route *dd_api_route(struct dd_span method, struct dd_span path,
                                        struct dd_span *out_label);

/* Whether `host` ("NAME[:PORT]") is this machine by a loopback name, or one of `names`,
 * separated by commas. */
bool dd_api_host_allowed(struct dd_span host, const char *names);

/* Whether a web page sent the request. */
bool dd_api_from_page(const struct dd_http_request *request);

/* Sends the answer once `position` is durable. Its body is what was packed, if any. */
void dd_exchange_answer(struct dd_exchange *exchange, int status, struct dd_span packed,
                        uint64_t position);

/* Sends an error. */
void dd_exchange_refuse(struct dd_exchange *exchange, struct dd_error *error);
