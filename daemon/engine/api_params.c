/* What the operations of the HTTP API do alike: parameters of the query, markers, and the
 * packing of answers. */
#include "engine/api.h"

#include "base/base64.h"
#include "codec/http.h"

/* --- parameters -------------------------------------------------------------------------- */

struct dd_span dd_api_query(struct dd_api_call *call, const char *name)
{
    size_t at = 0;

    return dd_http_query(call->query, &at, name, &call->value) ? dd_buf_span(&call->value)
                                                               : DD_SPAN_NONE;
}

static int no_conversion(struct dd_span text, const char *type, struct dd_error *error)
{
    return dd_fail(error, DD_SERIALIZATION, "'%.*s' can not be converted to %s",
                   (int)(text.len > 40 ? 40 : text.len), text.data, type);
}

int dd_api_query_bool(struct dd_api_call *call, const char *name, bool *out,
                      struct dd_error *error)
{
    struct dd_span text = dd_api_query(call, name);

    if (!text.data)
        return 0;
    if (!dd_span_is(text, "true") && !dd_span_is(text, "false"))
        return no_conversion(text, "Boolean", error);
    *out = dd_span_is(text, "true");
    return 0;
}

int dd_api_query_date(struct dd_api_call *call, const char *name, int64_t *out,
                      struct dd_error *error)
{
    struct dd_span text = dd_api_query(call, name);

    return text.data && !dd_http_date(text, out) ? no_conversion(text, "Date", error) : 0;
}

int dd_api_query_items_max(struct dd_api_call *call, int64_t min, int64_t max, size_t *out,
                           struct dd_error *error)
{
    struct dd_span text = dd_api_query(call, "MaxItems");
    bool negative = text.len > 0 && text.data[0] == '-';
    int64_t value = 0;

    if (!text.data)
        return 0;
    if (text.len == (size_t)negative || text.len > 10)
        return no_conversion(text, "Integer", error);
    for (size_t i = negative; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return no_conversion(text, "Integer", error);
        value = 10 * value + (text.data[i] - '0');
    }
    if (negative)
        value = -value;
    dd_check_range(&call->violations, value, "maxItems", min, max);
    if (value > 0)
        *out = (size_t)value;
    return 0;
}

int dd_api_verdict(const struct dd_api_call *call, struct dd_error *error)
{
    return dd_violations_verdict(&call->violations, error);
}

/* --- markers ----------------------------------------------------------------------------- */

int dd_api_no_marker(struct dd_error *error)
{
    return dd_fail(error, DD_INVALID_PARAMETER, "Invalid Marker");
}

int dd_api_query_marker(struct dd_api_call *call, struct dd_buf *out, bool *out_given,
                        struct dd_error *error)
{
    struct dd_span text = dd_api_query(call, "Marker");

    *out_given = text.len > 0;
    return *out_given && !dd_base64_decode(text, out) ? dd_api_no_marker(error) : 0;
}

void dd_api_pack_marker(msgpack_packer *packer, struct dd_span bytes)
{
    struct dd_buf text;

    dd_buf_init(&text, DD_MARKER_MAX);
    dd_base64_encode(bytes, &text);
    dd_pack_cstr(packer, "NextMarker");
    dd_pack_span(packer, dd_buf_span(&text));
    dd_buf_deinit(&text);
}

/* --- answers ----------------------------------------------------------------------------- */

void dd_api_answer_begin(struct dd_api_answer *answer, size_t members)
{
    dd_buf_init(&answer->packed, DD_HTTP_BODY_MAX);
    dd_pack_init(&answer->packer, &answer->packed);
    msgpack_pack_map(&answer->packer, members);
}

void dd_api_answer_end(struct dd_api_answer *answer, struct dd_exchange *exchange,
                       uint64_t position)
{
    exchange->body.failed |= answer->packed.failed;
    dd_exchange_answer(exchange, 200, dd_buf_span(&answer->packed), position);
    dd_buf_deinit(&answer->packed);
}

void dd_api_pack_text(msgpack_packer *packer, const char *name, const struct dd_text *text)
{
    if (!text)
        return;
    dd_pack_cstr(packer, name);
    dd_pack_text(packer, text);
}

void dd_api_pack_int(msgpack_packer *packer, const char *name, int64_t value)
{
    dd_pack_cstr(packer, name);
    msgpack_pack_int64(packer, value);
}
