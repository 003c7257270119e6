/* Causes and remedies; see cause.h. */
#include "engine/cause.h"

#include <stdio.h>

#include "base/check.h"

struct cause {
    struct dd_span text, remedy;
};

static const struct cause causes[] = {[DD_CAUSE_NONE] = {{"", 0}, {"", 0}},
#define X(symbol, code, ids, happens, cause, remedy) \
    [DD_CAUSE_##symbol] = {{(cause), sizeof(cause) - 1}, {(remedy), sizeof(remedy) - 1}},
                                      DD_CAUSE_TABLE(X)
#undef X
};

struct dd_span dd_cause_text(enum dd_cause cause)
{
    return causes[cause].text;
}

struct dd_span dd_cause_remedy(enum dd_cause cause)
{
    return causes[cause].remedy;
}

/* What the service's error type, or its message, has in it. The first that fits counts. */
static const struct {
    const char *type, *message;
    enum dd_cause cause;
} refusals[] = {
    {"KMS", NULL, DD_CAUSE_KMS},
    {"AccessDenied", NULL, DD_CAUSE_PERMISSION},
    {"RequestExpired", NULL, DD_CAUSE_TIME},
    {"RequestTimeTooSkewed", NULL, DD_CAUSE_TIME},
    {NULL, "Signature expired", DD_CAUSE_TIME},
    {NULL, "Signature not yet current", DD_CAUSE_TIME},
    {"Token", NULL, DD_CAUSE_KEYS}, /* ExpiredToken, InvalidClientTokenId, ... */
    {"UnrecognizedClient", NULL, DD_CAUSE_KEYS},
    {"Signature", NULL, DD_CAUSE_KEYS},
    {NULL, "nvalid checkpoint token", DD_CAUSE_STALE_TOKEN},
    {NULL, "nvalid Checkpoint Token", DD_CAUSE_STALE_TOKEN},
    {"TooLarge", NULL, DD_CAUSE_LIMIT},
    {NULL, "less than or equal to", DD_CAUSE_LIMIT},
    {"TooManyRequests", NULL, DD_CAUSE_THROTTLED},
    {"Throttling", NULL, DD_CAUSE_THROTTLED},
    {"RequestLimitExceeded", NULL, DD_CAUSE_THROTTLED},
};

static bool has(const struct dd_text *text, const char *what)
{
    return !what || (text && strstr(text->data, what));
}

enum dd_cause dd_cause_of_refusal(int status, const struct dd_text *type,
                                  const struct dd_text *message)
{
    if (!type)
        return DD_CAUSE_NOT_SERVICE;
    for (size_t i = 0; i < DD_COUNT(refusals); i++) {
        if (has(type, refusals[i].type) && has(message, refusals[i].message))
            return refusals[i].cause;
    }
    return status >= 500 ? DD_CAUSE_SERVICE : DD_CAUSE_REFUSED;
}

/* "Value 'x' at 'payload' failed ...; Value 'y' at ...": from the first value to the last. */
void dd_cause_quote(const char *said, char *out, size_t size)
{
    static const char before[] = "Value '", after[] = "' at '";
    const char *first = strstr(said, before), *rest = NULL;

    for (const char *next = first; next && (next = strstr(next, after)) != NULL; next++)
        rest = next;
    if (first)
        (void)snprintf(out, size, "%.*sValue%s", (int)(first - said), said,
                       rest ? rest + 1 : " ...");
    else
        (void)snprintf(out, size, "%s", said);
}

enum dd_cause dd_cause_of_outcome(enum dd_fetch_outcome outcome)
{
    switch (outcome) {
    case DD_FETCH_ANSWERED:
        return DD_CAUSE_NONE;
    case DD_FETCH_UNREACHABLE:
        return DD_CAUSE_UNREACHABLE;
    case DD_FETCH_UNTRUSTED:
        return DD_CAUSE_UNTRUSTED;
    case DD_FETCH_BROKEN:
        return DD_CAUSE_BROKEN;
    case DD_FETCH_LATE:
        return DD_CAUSE_LATE;
    case DD_FETCH_TOO_LARGE:
        return DD_CAUSE_NOT_SERVICE;
    }
    dd_unreachable();
}
