/* References to functions, as Lambda's API takes them. */
#include <string.h>

#include "base/limits.h"
#include "core/service/service.h"

static int invalid(struct dd_span text, struct dd_error *error)
{
    return dd_fail(error, DD_INVALID_PARAMETER, "Invalid function ARN '%.*s'",
                   (int)(text.len < DD_FUNCTION_REF_MAX ? text.len : DD_FUNCTION_REF_MAX),
                   text.data);
}

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
static int take_prefix(const struct dd_service_config *config, struct dd_span text,
                       struct dd_span *rest, struct dd_error *error)
{
    struct dd_span at = text, first = take(&at), region = DD_SPAN_NONE;

    if (dd_span_is(first, "arn")) {
        (void)take(&at);
        if (!dd_span_is(take(&at), "lambda"))
            return invalid(text, error);
        region = take(&at);
        first = take(&at);
        if (!is_account(first))
            return invalid(text, error);
    } else if (!is_account(first) || !at.data) {
        return 0;
    }
    if (!dd_span_is(take(&at), "function"))
        return invalid(text, error);
    if (!dd_span_is(first, config->account))
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "Cannot start a CHAINED_INVOKE on a function in another account.");
    if (region.data && !dd_span_is(region, config->region))
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "Cannot start a CHAINED_INVOKE on a function in another region.");
    *rest = at;
    return 0;
}

int dd_reference_parse(const struct dd_service_config *config, struct dd_span text,
                       struct dd_reference *out, struct dd_error *error)
{
    struct dd_span rest = text;
    int rc = take_prefix(config, text, &rest, error);

    if (rc)
        return rc;
    out->name = take(&rest);
    out->qualifier = take(&rest);
    if (!is_word(out->name, "-_") || out->name.len > DD_FUNCTION_NAME_MAX || rest.data ||
        (out->qualifier.data && !is_word(out->qualifier, "$-_.")))
        return invalid(text, error);
    return 0;
}
