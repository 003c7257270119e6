/* Violations; see violation.h. */
#include "core/violation.h"

#include <inttypes.h>
#include <stdio.h>

/* How much of an offending value is repeated. */
#define SHOWN_MAX 40

/* --- patterns ---------------------------------------------------------------------------- */

static bool is_alphanumeric(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_word(unsigned char c)
{
    return is_alphanumeric(c) || c == '-' || c == '_';
}

static bool is_printable(unsigned char c)
{
    return c >= 0x20 && c <= 0x7e;
}

static bool is_visible(unsigned char c)
{
    return c >= 0x21 && c <= 0x7e;
}

static bool is_base64(unsigned char c)
{
    return is_alphanumeric(c) || c == '+' || c == '/';
}

static bool is_qualifier(unsigned char c)
{
    return is_word(c) || c == '$' || c == '.';
}

static bool is_tenant(unsigned char c)
{
    return is_word(c) || (c && strchr("._:/=+@ ", c));
}

static bool all(struct dd_span span, bool (*has)(unsigned char c))
{
    for (size_t i = 0; i < span.len; i++) {
        if (!has((unsigned char)span.data[i]))
            return false;
    }
    return true;
}

static bool matches_word(struct dd_span span)
{
    return all(span, is_word);
}

static bool matches_printable(struct dd_span span)
{
    return all(span, is_printable);
}

static bool matches_visible(struct dd_span span)
{
    return all(span, is_visible);
}

static bool matches_qualifier(struct dd_span span)
{
    return all(span, is_qualifier);
}

static bool matches_tenant(struct dd_span span)
{
    return all(span, is_tenant);
}

static bool is_number(struct dd_span span)
{
    size_t digits = 0;

    while (digits < span.len && span.data[digits] >= '0' && span.data[digits] <= '9')
        digits++;
    return digits > 0 && digits == span.len;
}

static bool matches_version(struct dd_span span)
{
    return is_number(span) || dd_span_is(span, "$LATEST") ||
           dd_span_is(span, "$LATEST.PUBLISHED");
}

static bool matches_alias(struct dd_span span)
{
    return all(span, is_word) && !is_number(span);
}

static bool matches_base64(struct dd_span span)
{
    for (int i = 0; i < 2 && span.len > 0 && span.data[span.len - 1] == '='; i++)
        span.len--;
    return span.len > 0 && all(span, is_base64);
}

const struct dd_pattern dd_pattern_word = {"[a-zA-Z0-9-_]+", matches_word};
const struct dd_pattern dd_pattern_printable = {"[\\x20-\\x7E]+", matches_printable};
const struct dd_pattern dd_pattern_visible = {"[\\x21-\\x7E]+", matches_visible};
const struct dd_pattern dd_pattern_tenant = {"[a-zA-Z0-9\\._:\\/=+\\-@ ]+", matches_tenant};
const struct dd_pattern dd_pattern_qualifier = {"[a-zA-Z0-9$_.-]+", matches_qualifier};
const struct dd_pattern dd_pattern_version = {"(\\$LATEST(\\.PUBLISHED)?|[0-9]+)",
                                              matches_version};
const struct dd_pattern dd_pattern_alias = {"(?!^[0-9]+$)([a-zA-Z0-9-_]+)", matches_alias};
const struct dd_pattern dd_pattern_base64 = {"[A-Za-z0-9+/]+={0,2}", matches_base64};

/* --- texts ------------------------------------------------------------------------------- */

void dd_violate(struct dd_violations *violations, const char *value, const char *path,
                const char *rule)
{
    size_t room = sizeof(violations->text) - violations->len;
    char update[40] = "";
    int len;

    if (violations->update > 0)
        snprintf(update, sizeof(update), "updates.%zu.member.", violations->update);
    len = snprintf(violations->text + violations->len, room,
                   "%sValue %s at '%s%s' failed to satisfy constraint: %s",
                   violations->count > 0 ? "; " : "", value, update, path, rule);

    violations->count++;
    violations->len += (size_t)len < room ? (size_t)len : room - 1;
}

void dd_violate_null(struct dd_violations *violations, const char *path)
{
    dd_violate(violations, "null", path, "Member must not be null");
}

/* Writes the beginning of `span` in quotes. Bytes that a message can't carry, or
 * that a cut could tear, appear as '?'. */
static void quote(struct dd_span span, char out[SHOWN_MAX + 3])
{
    size_t len = span.len < SHOWN_MAX ? span.len : SHOWN_MAX;

    out[0] = '\'';
    for (size_t i = 0; i < len; i++)
        out[i + 1] = is_printable((unsigned char)span.data[i]) ? span.data[i] : '?';
    out[len + 1] = '\'';
    out[len + 2] = '\0';
}

static void violate_text(struct dd_violations *violations, struct dd_span span,
                         const char *path, const char *rule, const char *what)
{
    char value[SHOWN_MAX + 3];
    char text[320];

    quote(span, value);
    snprintf(text, sizeof(text), "%s%s", rule, what);
    dd_violate(violations, value, path, text);
}

void dd_violate_pattern(struct dd_violations *violations, struct dd_span span, const char *path,
                        const char *regex)
{
    violate_text(violations, span, path,
                 "Member must satisfy regular expression pattern: ", regex);
}

void dd_violate_enum(struct dd_violations *violations, struct dd_span span, const char *path,
                     const char *names)
{
    char set[160];

    snprintf(set, sizeof(set), "[%s]", names);
    violate_text(violations, span, path, "Member must satisfy enum value set: ", set);
}

void dd_check_text(struct dd_violations *violations, struct dd_span span, const char *path,
                   size_t max, const struct dd_pattern *pattern)
{
    char limit[24];

    if (!span.data)
        return;
    if (span.len < 1)
        violate_text(violations, span, path,
                     "Member must have length greater than or equal to ", "1");
    if (span.len > max) {
        snprintf(limit, sizeof(limit), "%zu", max);
        violate_text(violations, span, path, "Member must have length less than or equal to ",
                     limit);
    }
    if (!pattern->matches(span))
        dd_violate_pattern(violations, span, path, pattern->regex);
}

void dd_check_range(struct dd_violations *violations, int64_t number, const char *path,
                    int64_t min, int64_t max)
{
    char value[32];
    char rule[96];

    if (number < min)
        snprintf(rule, sizeof(rule), "Member must have value greater than or equal to %" PRId64,
                 min);
    else if (number > max)
        snprintf(rule, sizeof(rule), "Member must have value less than or equal to %" PRId64,
                 max);
    else
        return;
    snprintf(value, sizeof(value), "'%" PRId64 "'", number);
    dd_violate(violations, value, path, rule);
}

int dd_violations_verdict(const struct dd_violations *violations, struct dd_error *error)
{
    if (violations->count == 0)
        return 0;
    return dd_fail(error, DD_VALIDATION, "%u validation error%s detected: %s",
                   violations->count, violations->count == 1 ? "" : "s", violations->text);
}
