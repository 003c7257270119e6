/* AWS Signature Version 4; see sigv4.h. */
#include "codec/sigv4.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/limits.h"
#include "codec/http.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define TERMINATOR "aws4_request"

/* --- text -------------------------------------------------------------------------------- */

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* Takes what stands before the next `stop`, or the rest, off the front of `*rest`; the
 * rest is absent after the last. */
static struct dd_span take(struct dd_span *rest, char stop)
{
    const char *end = memchr(rest->data, stop, rest->len);
    struct dd_span part = *rest;

    if (!end) {
        *rest = DD_SPAN_NONE;
        return part;
    }
    part.len = (size_t)(end - part.data);
    *rest = dd_span_make(end + 1, rest->len - part.len - 1);
    return part;
}

/* --- the path ---------------------------------------------------------------------------- */

/* Drops the last segment of the path from `from` on. */
static void drop_segment(struct dd_buf *out, size_t from)
{
    while (out->len > from && out->data[--out->len] != '/')
        continue;
}

/* Each segment is escaped, though it was for sending. Empty ones and "." are left out, and
 * ".." takes back one; a slash at the end stays. */
static void append_path(struct dd_span path, struct dd_buf *out)
{
    struct dd_span rest = path;
    size_t from = out->len;

    while (rest.data) {
        struct dd_span segment = take(&rest, '/');

        if (segment.len == 0 || dd_span_is(segment, "."))
            continue;
        if (dd_span_is(segment, "..")) {
            drop_segment(out, from);
            continue;
        }
        dd_buf_append_byte(out, '/');
        dd_http_encode(segment, out);
    }
    if (out->len == from || path.data[path.len - 1] == '/')
        dd_buf_append_byte(out, '/');
}

/* --- the query --------------------------------------------------------------------------- */

/* The parameters, each a name and a value with a NUL between them: it comes before all
 * that an escaped name can have, so that they sort by name, then by value. */
struct parameters {
    struct dd_buf bytes;
    struct dd_buf decoded;
    struct dd_span *items;
    size_t len;
};

static void append_escaped(struct parameters *parameters, struct dd_span text)
{
    dd_buf_clear(&parameters->decoded);
    dd_http_decode(text, &parameters->decoded);
    dd_http_encode(dd_buf_span(&parameters->decoded), &parameters->bytes);
}

static int compare_spans(const void *a, const void *b)
{
    return dd_span_compare(*(const struct dd_span *)a, *(const struct dd_span *)b);
}

static size_t count(struct dd_span query)
{
    size_t len = 1;

    for (size_t i = 0; i < query.len; i++)
        len += query.data[i] == '&';
    return len;
}

/* Where each parameter begins is known once all have their place. */
static void split_query(struct parameters *parameters, struct dd_span query)
{
    size_t at = 0;

    while (query.data) {
        struct dd_span rest = take(&query, '&');
        struct dd_span name = take(&rest, '=');

        append_escaped(parameters, name);
        dd_buf_append_byte(&parameters->bytes, '\0');
        if (rest.data)
            append_escaped(parameters, rest);
        parameters->items[parameters->len++].len = parameters->bytes.len - at;
        at = parameters->bytes.len;
    }
    if (parameters->bytes.failed)
        return;
    at = 0;
    for (size_t i = 0; i < parameters->len; i++) {
        parameters->items[i].data = parameters->bytes.data + at;
        at += parameters->items[i].len;
    }
    qsort(parameters->items, parameters->len, sizeof *parameters->items, compare_spans);
}

static void append_query(struct dd_span query, struct dd_buf *out)
{
    struct parameters parameters = {0};

    if (query.len == 0)
        return;
    parameters.items = dd_try_alloc(count(query) * sizeof *parameters.items);
    if (!parameters.items) {
        out->failed = true;
        return;
    }
    dd_buf_init(&parameters.bytes, DD_SIGNED_BYTES_MAX);
    dd_buf_init(&parameters.decoded, DD_SIGNED_BYTES_MAX);
    split_query(&parameters, query);
    out->failed |= parameters.bytes.failed || parameters.decoded.failed;
    for (size_t i = 0; !out->failed && i < parameters.len; i++) {
        struct dd_span name = take(&parameters.items[i], '\0');

        if (i > 0)
            dd_buf_append_byte(out, '&');
        dd_buf_append_span(out, name);
        dd_buf_append_byte(out, '=');
        dd_buf_append_span(out, parameters.items[i]);
    }
    dd_buf_deinit(&parameters.bytes);
    dd_buf_deinit(&parameters.decoded);
    dd_free(parameters.items);
}

/* --- headers ----------------------------------------------------------------------------- */

static int compare_names(struct dd_span a, struct dd_span b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        if (lower(a.data[i]) != lower(b.data[i]))
            return (unsigned char)lower(a.data[i]) - (unsigned char)lower(b.data[i]);
    }
    return (a.len > b.len) - (a.len < b.len);
}

/* The headers by name; those of one name stay in their order. */
static void sort_headers(const struct dd_sigv4_request *request,
                         const struct dd_sigv4_header *out[DD_SIGNED_HEADERS_MAX])
{
    dd_assert(request->headers_len <= DD_SIGNED_HEADERS_MAX);
    for (size_t i = 0; i < request->headers_len; i++) {
        const struct dd_sigv4_header *header = &request->headers[i];
        size_t at = i;

        for (; at > 0 && compare_names(out[at - 1]->name, header->name) > 0; at--)
            out[at] = out[at - 1];
        out[at] = header;
    }
}

static void append_name(struct dd_span name, struct dd_buf *out)
{
    for (size_t i = 0; i < name.len; i++)
        dd_buf_append_byte(out, (uint8_t)lower(name.data[i]));
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Without space at its ends, and one blank for what is within. */
static void append_value(struct dd_span value, struct dd_buf *out)
{
    bool space = false, begun = false;

    for (size_t i = 0; i < value.len; i++) {
        if (is_space(value.data[i])) {
            space = begun;
            continue;
        }
        if (space)
            dd_buf_append_byte(out, ' ');
        dd_buf_append_byte(out, (uint8_t)value.data[i]);
        space = false;
        begun = true;
    }
}

static void append_headers(const struct dd_sigv4_request *request, struct dd_buf *out)
{
    const struct dd_sigv4_header *sorted[DD_SIGNED_HEADERS_MAX];

    sort_headers(request, sorted);
    for (size_t i = 0; i < request->headers_len; i++) {
        append_name(sorted[i]->name, out);
        dd_buf_append_byte(out, ':');
        append_value(sorted[i]->value, out);
        for (; i + 1 < request->headers_len &&
               compare_names(sorted[i]->name, sorted[i + 1]->name) == 0;
             i++) {
            dd_buf_append_byte(out, ',');
            append_value(sorted[i + 1]->value, out);
        }
        dd_buf_append_byte(out, '\n');
    }
}

void dd_sigv4_signed_headers(const struct dd_sigv4_request *request, struct dd_buf *out)
{
    const struct dd_sigv4_header *sorted[DD_SIGNED_HEADERS_MAX];

    sort_headers(request, sorted);
    for (size_t i = 0; i < request->headers_len; i++) {
        if (i > 0 && compare_names(sorted[i - 1]->name, sorted[i]->name) == 0)
            continue;
        if (i > 0)
            dd_buf_append_byte(out, ';');
        append_name(sorted[i]->name, out);
    }
}

/* --- the signature ----------------------------------------------------------------------- */

static void append_hash(struct dd_span data, struct dd_buf *out)
{
    char hex[DD_SIGNATURE_LEN + 1];

    dd_sha256_hex(data, DD_SIGNATURE_LEN, hex);
    dd_buf_append_cstr(out, hex);
}

void dd_sigv4_canonical(const struct dd_sigv4_request *request, struct dd_buf *out)
{
    struct dd_span path, query;

    dd_http_split(request->target, &path, &query);
    dd_buf_append_span(out, request->method);
    dd_buf_append_byte(out, '\n');
    append_path(path, out);
    dd_buf_append_byte(out, '\n');
    append_query(query, out);
    dd_buf_append_byte(out, '\n');
    append_headers(request, out);
    dd_buf_append_byte(out, '\n');
    dd_sigv4_signed_headers(request, out);
    dd_buf_append_byte(out, '\n');
    append_hash(request->body, out);
}

static struct dd_span day_of(const struct dd_sigv4_scope *scope)
{
    dd_assert(scope->time.len == DD_HTTP_STAMP_LEN);
    return dd_span_make(scope->time.data, 8);
}

static void append_scope(const struct dd_sigv4_scope *scope, struct dd_buf *out)
{
    dd_buf_append_span(out, day_of(scope));
    dd_buf_append_byte(out, '/');
    dd_buf_append_span(out, scope->region);
    dd_buf_append_byte(out, '/');
    dd_buf_append_span(out, scope->service);
    dd_buf_append_cstr(out, "/" TERMINATOR);
}

void dd_sigv4_string_to_sign(const struct dd_sigv4_scope *scope, struct dd_span canonical,
                             struct dd_buf *out)
{
    dd_buf_append_cstr(out, ALGORITHM "\n");
    dd_buf_append_span(out, scope->time);
    dd_buf_append_byte(out, '\n');
    append_scope(scope, out);
    dd_buf_append_byte(out, '\n');
    append_hash(canonical, out);
}

/* A key for each part of the scope, made with the one before it; false without memory. */
static bool signing_key(const struct dd_sigv4_scope *scope, struct dd_span secret,
                        uint8_t out_key[32])
{
    struct dd_buf first;
    bool made;

    dd_buf_init(&first, DD_SIGNED_BYTES_MAX);
    dd_buf_append_cstr(&first, "AWS4");
    dd_buf_append_span(&first, secret);
    dd_hmac_sha256(dd_buf_span(&first), day_of(scope), out_key);
    made = !first.failed;
    dd_buf_deinit(&first);
    dd_hmac_sha256(dd_span_make(out_key, 32), scope->region, out_key);
    dd_hmac_sha256(dd_span_make(out_key, 32), scope->service, out_key);
    dd_hmac_sha256(dd_span_make(out_key, 32), DD_SPAN(TERMINATOR), out_key);
    return made;
}

bool dd_sigv4_sign(const struct dd_sigv4_scope *scope, struct dd_span secret,
                   const struct dd_sigv4_request *request,
                   char out_signature[DD_SIGNATURE_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    struct dd_buf canonical, text;
    uint8_t key[32], mac[32];
    bool made;

    dd_buf_init(&canonical, DD_SIGNED_BYTES_MAX);
    dd_buf_init(&text, DD_SIGNED_BYTES_MAX);
    dd_sigv4_canonical(request, &canonical);
    dd_sigv4_string_to_sign(scope, dd_buf_span(&canonical), &text);
    made = signing_key(scope, secret, key) && !canonical.failed && !text.failed;
    dd_hmac_sha256(dd_span_make(key, sizeof key), dd_buf_span(&text), mac);
    dd_buf_deinit(&canonical);
    dd_buf_deinit(&text);
    for (size_t i = 0; i < sizeof mac; i++) {
        out_signature[2 * i] = digits[mac[i] >> 4];
        out_signature[2 * i + 1] = digits[mac[i] & 15];
    }
    out_signature[DD_SIGNATURE_LEN] = '\0';
    return made;
}

bool dd_sigv4_authorize(const struct dd_sigv4_scope *scope, struct dd_span secret,
                        const struct dd_sigv4_request *request, struct dd_buf *out)
{
    char signature[DD_SIGNATURE_LEN + 1];

    if (!dd_sigv4_sign(scope, secret, request, signature))
        return false;
    dd_buf_append_cstr(out, ALGORITHM " Credential=");
    dd_buf_append_span(out, scope->access_key);
    dd_buf_append_byte(out, '/');
    append_scope(scope, out);
    dd_buf_append_cstr(out, ", SignedHeaders=");
    dd_sigv4_signed_headers(request, out);
    dd_buf_append_cstr(out, ", Signature=");
    dd_buf_append_cstr(out, signature);
    return !out->failed;
}

bool dd_sigv4_authorize_call(const struct dd_sigv4_call *call, struct dd_buf *out)
{
    const struct dd_sigv4_header headers[] = {
        {DD_SPAN("Host"), call->host},
        {DD_SPAN("X-Amz-Date"), call->time},
        {DD_SPAN("X-Amz-Security-Token"), call->token},
    };
    const struct dd_sigv4_request request = {
        .method = call->method,
        .target = call->target,
        .headers = headers,
        .headers_len = DD_COUNT(headers) - (call->token.data ? 0 : 1),
        .body = call->body,
    };
    const struct dd_sigv4_scope scope = {
        .access_key = call->access_key,
        .time = call->time,
        .region = call->region,
        .service = DD_SPAN("lambda"),
    };

    return dd_sigv4_authorize(&scope, call->secret_key, &request, out);
}

/* --- the header -------------------------------------------------------------------------- */

static struct dd_span trim(struct dd_span text)
{
    while (text.len > 0 && is_space(text.data[0]))
        text = dd_span_make(text.data + 1, text.len - 1);
    while (text.len > 0 && is_space(text.data[text.len - 1]))
        text.len--;
    return text;
}

static int parse_credential(struct dd_span credential, struct dd_sigv4_claim *out,
                            struct dd_error *error)
{
    struct dd_span parts[5] = {DD_SPAN_NONE};
    size_t len = 0;

    while (credential.data && len < DD_COUNT(parts))
        parts[len++] = take(&credential, '/');
    if (len < DD_COUNT(parts) || credential.data)
        return dd_fail(error, DD_INCOMPLETE_SIGNATURE,
                       "Credential must have exactly 5 slash-delimited elements, e.g. "
                       "keyid/date/region/service/term.");
    if (!dd_span_is(parts[4], TERMINATOR))
        return dd_fail(error, DD_INCOMPLETE_SIGNATURE,
                       "Credential should be scoped with a valid terminator: '" TERMINATOR
                       "'.");
    out->access_key = parts[0];
    out->day = parts[1];
    out->region = parts[2];
    out->service = parts[3];
    return 0;
}

/* Names the parameters that are not there. */
static int incomplete(const struct dd_sigv4_claim *claim, bool credential,
                      struct dd_error *error)
{
    const char *const names[] = {credential ? NULL : "Credential",
                                 claim->signature.data ? NULL : "Signature",
                                 claim->signed_headers.data ? NULL : "SignedHeaders"};
    char text[256] = "";
    size_t len = 0;

    for (size_t i = 0; i < DD_COUNT(names); i++) {
        if (names[i])
            len += (size_t)snprintf(text + len, sizeof text - len,
                                    "%sAuthorization header requires '%s' parameter.",
                                    len > 0 ? " " : "", names[i]);
    }
    return len > 0 ? dd_fail(error, DD_INCOMPLETE_SIGNATURE, "%s", text) : 0;
}

int dd_sigv4_parse(struct dd_span authorization, struct dd_sigv4_claim *out,
                   struct dd_error *error)
{
    struct dd_span rest = trim(authorization), credential = DD_SPAN_NONE;
    bool ours;
    int rc;

    *out = (struct dd_sigv4_claim){0};
    ours = dd_span_is(take(&rest, ' '), ALGORITHM);
    while (ours && rest.data) {
        struct dd_span value = trim(take(&rest, ','));
        struct dd_span name = take(&value, '=');

        if (dd_span_is(name, "Credential"))
            credential = value;
        else if (dd_span_is(name, "SignedHeaders"))
            out->signed_headers = value;
        else if (dd_span_is(name, "Signature"))
            out->signature = value;
    }
    rc = incomplete(out, credential.data != NULL, error);
    return rc ? rc : parse_credential(credential, out, error);
}

bool dd_sigv4_next_header(struct dd_span signed_headers, size_t *at, struct dd_span *out_name)
{
    struct dd_span rest;

    if (*at > signed_headers.len)
        return false;
    rest = dd_span_make(signed_headers.data + *at, signed_headers.len - *at);
    *out_name = take(&rest, ';');
    *at += out_name->len + 1;
    return true;
}
