/* AWS's Lambda durable execution API (service-api 1): requests become calls of the
 * service, and their results the answers that AWS's clients expect.
 *
 *   api.c            the routes, errors, answers
 *   api_access.c     who may call
 *   api_params.c     parameters and pages
 *   api_functions.c  operations that read functions
 *   api_calls.c      all others
 */
#pragma once

#include "codec/pack.h"
#include "engine/engine_priv.h"

/* The one version that a function has. */
#define DD_API_VERSION "$LATEST"

/* One request and the answer to come. Freed by its answer, or with its peer. */
struct dd_exchange {
    struct dd_gate_action action; /* while it waits in the gate */
    struct dd_list node;
    struct dd_engine *engine;
    struct dd_http_reply reply;
    const char *operation;   /* as AWS calls it */
    struct dd_waiter waiter; /* Invoke: until the execution is closed */
    struct dd_uuid execution;
    struct dd_text *client_context; /* Invoke: JSON; NULL: none */
    bool tail_wanted;               /* Invoke: X-Amz-Log-Result */
    struct dd_buf tail;             /* what the function wrote, the end of it */
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
    struct dd_span name;  /* its second label */
    struct dd_span query;
    struct dd_buf value; /* the parameter that was read last */
    struct dd_violations violations;
};

/* Does the work of a request and answers its exchange, now or later; or returns why not,
 * which becomes the answer. */
typedef int (*dd_api_run)(struct dd_api_call *call, struct dd_error *error);

enum dd_api_labels_kind {
    DD_LABELS_NONE,  /* the prefix is the whole path */
    DD_LABELS_PLAIN, /* one, without a slash unless it is escaped */
    DD_LABELS_SLASH, /* one, that may have slashes as they are */
    DD_LABELS_TWO,   /* plain ones, before the suffix and after it */
};

struct dd_api_route {
    const char *operation;
    const char *method;
    const char *prefix; /* of the path, before the label */
    const char *suffix; /* after it */
    enum dd_api_labels_kind labels;
    dd_api_run run;
};

/* The operations; the last has no name. Of two that fit, the first is meant. */
extern const struct dd_api_route dd_api_routes[];

/* The route of a path, and its labels as they came. Labels end where the known suffix
 * begins: an ARN may come with its slashes unescaped. NULL when there is none. */
struct dd_api_labels {
    struct dd_span first;
    struct dd_span second;
};
const struct dd_api_route *dd_api_route(struct dd_span method, struct dd_span path,
                                        struct dd_api_labels *out_labels);

/* The context that a caller who waits for the execution has given; absent when none has. */
struct dd_span dd_api_client_context(const struct dd_engine *engine, struct dd_uuid execution);

/* The function of the execution wrote a line: callers who wait get the end of all. */
void dd_api_wrote(const struct dd_engine *engine, struct dd_uuid execution,
                  struct dd_span line);

/* Whether a web page sent the request. */
bool dd_api_from_page(const struct dd_http_request *request);

/* Sends the answer once `position` is durable. Its body is what was packed, if any. */
void dd_exchange_answer(struct dd_exchange *exchange, int status, struct dd_span packed,
                        uint64_t position);

/* Sends an error. */
void dd_exchange_refuse(struct dd_exchange *exchange, struct dd_error *error);

/* --- api_access.c ------------------------------------------------------------------------ */

/* Whether `host` ("NAME[:PORT]") is this machine by a loopback name, or one of `names`,
 * separated by commas. */
bool dd_api_host_allowed(struct dd_span host, const char *names);

/* DD_ACCESS_DENIED for who may not call, from wherever. */
int dd_api_check_caller(const struct dd_engine *engine, const struct dd_http_request *request,
                        struct dd_error *error) DD_MUST_CHECK;

/* Tells a client of another AWS service that was sent here, in its own protocol; false
 * for all others. */
bool dd_api_refuse_other_service(struct dd_exchange *exchange,
                                 const struct dd_http_request *request);

/* Whether the request is signed, where that is asked for. Warns of a client that is
 * configured for another region. */
int dd_api_check_signature(struct dd_engine *engine, const struct dd_http_request *request,
                           struct dd_error *error) DD_MUST_CHECK;

/* --- api_params.c ------------------------------------------------------------------------ */

/* A parameter of the query, valid until the next is read; absent when not given. */
struct dd_span dd_api_query(struct dd_api_call *call, const char *name);

/* One that must convert; `*out` stays as it is when it is not given. */
int dd_api_query_bool(struct dd_api_call *call, const char *name, bool *out,
                      struct dd_error *error) DD_MUST_CHECK;
int dd_api_query_date(struct dd_api_call *call, const char *name, int64_t *out,
                      struct dd_error *error) DD_MUST_CHECK;

/* MaxItems; 0 leaves `*out` as it is. */
int dd_api_query_items_max(struct dd_api_call *call, int64_t min, int64_t max, size_t *out,
                           struct dd_error *error) DD_MUST_CHECK;

/* 0 when the model forbids nothing of what was read. */
int dd_api_verdict(const struct dd_api_call *call, struct dd_error *error) DD_MUST_CHECK;

/* Markers are the base64 of bytes that only who made them reads. */
int dd_api_query_marker(struct dd_api_call *call, struct dd_buf *out, bool *out_given,
                        struct dd_error *error) DD_MUST_CHECK;
int dd_api_no_marker(struct dd_error *error);
void dd_api_pack_marker(msgpack_packer *packer, struct dd_span bytes);

/* The answer of an operation, a map: begun, packed, ended. */
struct dd_api_answer {
    struct dd_buf packed;
    msgpack_packer packer;
};
void dd_api_answer_begin(struct dd_api_answer *answer, size_t members);
void dd_api_answer_end(struct dd_api_answer *answer, struct dd_exchange *exchange,
                       uint64_t position);
void dd_api_pack_text(msgpack_packer *packer, const char *name, const struct dd_text *text);
void dd_api_pack_int(msgpack_packer *packer, const char *name, int64_t value);

/* --- api_functions.c --------------------------------------------------------------------- */

/* A function as a request names it, and once it is found. */
struct dd_api_function {
    struct dd_reference reference;
    char qualifier[DD_FUNCTION_QUALIFIER_MAX + 1]; /* "": none */
    const struct dd_function *registration;
    const struct dd_hosted *hosted; /* NULL: workers serve it */
};

/* Reads the label, which is a function's name or ARN, with its Qualifier. */
int dd_api_name_function(struct dd_api_call *call, struct dd_api_function *out,
                         struct dd_error *error) DD_MUST_CHECK;

/* Finds it. */
int dd_api_find_function(const struct dd_api_call *call, struct dd_api_function *function,
                         struct dd_error *error) DD_MUST_CHECK;

int dd_api_get_function(struct dd_api_call *call, struct dd_error *error);
int dd_api_get_configuration(struct dd_api_call *call, struct dd_error *error);
int dd_api_list_functions(struct dd_api_call *call, struct dd_error *error);
int dd_api_list_versions(struct dd_api_call *call, struct dd_error *error);
int dd_api_list_aliases(struct dd_api_call *call, struct dd_error *error);
int dd_api_get_alias(struct dd_api_call *call, struct dd_error *error);
