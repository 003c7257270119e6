/* AWS Signature Version 4 in an Authorization header, as clients sign the requests of
 * services other than S3 and services verify them (service-api 1.6): the path is escaped
 * once more than it is sent. Keys and time come from the caller. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

struct dd_sigv4_header {
    struct dd_span name; /* in any case */
    struct dd_span value;
};

/* What is signed of a request. Its headers are those that the signature covers, in any
 * order: Host and X-Amz-Date among them, X-Amz-Security-Token with a session's keys. */
struct dd_sigv4_request {
    struct dd_span method;
    struct dd_span target; /* path and query, as they are sent */
    const struct dd_sigv4_header *headers;
    size_t headers_len; /* at most DD_SIGNED_HEADERS_MAX */
    struct dd_span body;
};

/* By whom, when and for what. */
struct dd_sigv4_scope {
    struct dd_span access_key;
    struct dd_span time; /* as X-Amz-Date has it */
    struct dd_span region;
    struct dd_span service;
};

#define DD_SIGNATURE_LEN 64

/* The three texts on the way to a signature, for tests and for who looks for a
 * difference: the canonical request, what is signed of it, and the names of the headers. */
void dd_sigv4_canonical(const struct dd_sigv4_request *request, struct dd_buf *out);
void dd_sigv4_string_to_sign(const struct dd_sigv4_scope *scope, struct dd_span canonical,
                             struct dd_buf *out);
void dd_sigv4_signed_headers(const struct dd_sigv4_request *request, struct dd_buf *out);

/* Writes the signature. False without memory for a request of this size. */
bool dd_sigv4_sign(const struct dd_sigv4_scope *scope, struct dd_span secret,
                   const struct dd_sigv4_request *request,
                   char out_signature[DD_SIGNATURE_LEN + 1]);

/* Appends the value of the Authorization header; the same. */
bool dd_sigv4_authorize(const struct dd_sigv4_scope *scope, struct dd_span secret,
                        const struct dd_sigv4_request *request, struct dd_buf *out);

/* A call of Lambda's API that a client of ours makes. */
struct dd_sigv4_call {
    struct dd_span method;
    struct dd_span target;
    struct dd_span host;
    struct dd_span body;
    struct dd_span time; /* as X-Amz-Date has it */
    struct dd_span region;
    struct dd_span access_key, secret_key;
    struct dd_span token; /* of a session; absent: none */
};

/* Appends the value of its Authorization header, which covers Host, X-Amz-Date and, with a
 * session's keys, X-Amz-Security-Token; the same. */
bool dd_sigv4_authorize_call(const struct dd_sigv4_call *call, struct dd_buf *out);

/* What an Authorization header says; spans into it. */
struct dd_sigv4_claim {
    struct dd_span access_key;
    struct dd_span day; /* "20260102" */
    struct dd_span region;
    struct dd_span service;
    struct dd_span signed_headers; /* "host;x-amz-date" */
    struct dd_span signature;
};

/* Reads one. DD_INCOMPLETE_SIGNATURE with AWS's text. */
int dd_sigv4_parse(struct dd_span authorization, struct dd_sigv4_claim *out,
                   struct dd_error *error) DD_MUST_CHECK;

/* The next of the names in `signed_headers` from `*at` on (0: the first); false at the end. */
bool dd_sigv4_next_header(struct dd_span signed_headers, size_t *at, struct dd_span *out_name);
