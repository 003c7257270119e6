/* References to functions, as Lambda's API takes them. */
#include <string.h>

#include "base/limits.h"
#include "core/service/service.h"

/* Takes what stands before the next colon, or the rest, off the front of `*rest`; absent
 * when nothing is left. */
static struct dd_span take(struct dd_span *rest)
{
    const char *colon;
    struct dd_span part = *rest;

    if (!rest->data)
        return DD_SPAN_NONE;
    colon = memchr(rest->data, ':', rest->len);
    if (!colon) {
        *rest = DD_SPAN_NONE;
        return part;
    }
    part.len = (size_t)(colon - rest->data);
    *rest = dd_span_make(colon + 1, rest->len - part.len - 1);
    return part;
}

static bool is_word(struct dd_span text, const char *others)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr(others, c))))
            return false;
    }
    return text.len > 0;
}

static bool is_account(struct dd_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    }
    return text.len == 12;
}

/* Takes "arn:PARTITION:lambda:REGION:ACCOUNT:function:" or "ACCOUNT:function:" off the
 * front of `*rest`; what begins with neither is left alone. */
static bool take_prefix(struct dd_span *rest, struct dd_reference *out)
{
    struct dd_span at = *rest, first = take(&at);

    if (dd_span_is(first, "arn")) {
        (void)take(&at);
        if (!dd_span_is(take(&at), "lambda"))
            return false;
        out->region = take(&at);
        first = take(&at);
        if (!is_word(out->region, "-") || !is_account(first))
            return false;
    } else if (!is_account(first) || !at.data) {
        return true;
    }
    out->account = first;
    if (!dd_span_is(take(&at), "function"))
        return false;
    *rest = at;
    return true;
}

bool dd_reference_split(struct dd_span text, struct dd_reference *out)
{
    struct dd_span rest = text;

    *out = (struct dd_reference){0};
    if (!take_prefix(&rest, out))
        return false;
    out->name = take(&rest);
    out->qualifier = take(&rest);
    return is_word(out->name, "-_") && out->name.len <= DD_FUNCTION_NAME_MAX && !rest.data &&
           (!out->qualifier.data || is_word(out->qualifier, "$-_."));
}

int dd_reference_parse(const struct dd_service_config *config, struct dd_span text,
                       struct dd_reference *out, struct dd_error *error)
{
    if (!dd_reference_split(text, out))
        return dd_fail(error, DD_INVALID_PARAMETER, "Invalid function ARN '%.*s'",
                       (int)(text.len < DD_FUNCTION_REF_MAX ? text.len : DD_FUNCTION_REF_MAX),
                       text.data);
    if (out->account.data && !dd_span_is(out->account, config->account))
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "Cannot start a CHAINED_INVOKE on a function in another account.");
    if (out->region.data && !dd_span_is(out->region, config->region))
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "Cannot start a CHAINED_INVOKE on a function in another region.");
    return 0;
}
