/* What an HTTP request of AWS's API carries outside its body: percent-encoded labels,
 * the query, dates, and the ARNs of executions (service-api 1.1, 8.2). */
#pragma once

#include "base/buf.h"

/* Appends `text`, decoded once. A plus is a plus; a broken escape stays as it is. */
void dd_http_decode(struct dd_span text, struct dd_buf *out);

/* Appends `text` as a label or a value of the query: all but A-Z a-z 0-9 - _ . ~ escaped. */
void dd_http_encode(struct dd_span text, struct dd_buf *out);

/* Splits "path?query"; no query is an empty one. */
void dd_http_split(struct dd_span target, struct dd_span *out_path, struct dd_span *out_query);

/* The parts of "SCHEME://HOST[:PORT][/PATH]", or of one without a scheme: host and port, and
 * the path, which may be empty. */
void dd_http_split_url(struct dd_span url, struct dd_span *out_host, struct dd_span *out_path);

/* The next parameter `name` of the query from `*at` on (0: the first), decoded into
 * `out`, which is cleared. False when there is none. */
bool dd_http_query(struct dd_span query, size_t *at, const char *name, struct dd_buf *out);

/* A date as ISO 8601 (without an offset: UTC), a day, or seconds since 1970. */
bool dd_http_date(struct dd_span text, int64_t *out_ms);

/* A Date header, "Fri, 02 Jan 2026 03:04:05 GMT" (RFC 9110, 5.6.7), in whole seconds. */
bool dd_http_header_date(struct dd_span text, int64_t *out_ms);

/* The pause that a Retry-After header asks for, in milliseconds. 0: none, more than an hour, or
 * a date, which AWS does not use. */
int64_t dd_http_retry_after(struct dd_span text);

/* A time as X-Amz-Date has it, "20260102T030405Z", in whole seconds. */
#define DD_HTTP_STAMP_LEN 16
bool dd_http_stamp(struct dd_span text, int64_t *out_ms);
void dd_http_stamp_format(int64_t ms, char out_text[DD_HTTP_STAMP_LEN + 1]);

/* The parts of an execution's ARN that the caller may get wrong. */
struct dd_execution_arn {
    struct dd_span region;
    struct dd_span account;
    struct dd_span id;
};
#define DD_EXECUTION_ARN_REGEX                                                               \
    "arn:([a-zA-Z0-9-]+):lambda:([a-zA-Z0-9-]+):(\\d{12}):function:([a-zA-Z0-9_-]+)"         \
    ":(\\$LATEST(?:\\.PUBLISHED)?|[0-9]+)/durable-execution/([a-zA-Z0-9_-]+)/([a-zA-Z0-9_-]" \
    "+)"
bool dd_execution_arn_parse(struct dd_span text, struct dd_execution_arn *out);
