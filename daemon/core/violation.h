/* Violations of the service model's constraints. All of one request are told
 * together, in the words of the service's ValidationException (service-api 1.5). */
#pragma once

#include "base/error.h"
#include "base/span.h"

#include <stdint.h>

/* A zeroed one is empty. What does not fit in the text is cut off. */
struct dd_violations {
    unsigned count;
    size_t update; /* paths are within that one of the request's updates, from 1; 0: in none */
    size_t len;
    char text[440];
};

/* A regular expression as the message shows it, and as code. */
struct dd_pattern {
    const char *regex;
    bool (*matches)(struct dd_span span);
};
extern const struct dd_pattern dd_pattern_word;
extern const struct dd_pattern dd_pattern_printable;
extern const struct dd_pattern dd_pattern_visible;
extern const struct dd_pattern dd_pattern_base64;
extern const struct dd_pattern dd_pattern_qualifier;
extern const struct dd_pattern dd_pattern_tenant;
extern const struct dd_pattern dd_pattern_version;
extern const struct dd_pattern dd_pattern_alias;

/* Adds one; `value` is shown as given. */
void dd_violate(struct dd_violations *violations, const char *value, const char *path,
                const char *rule);

/* Adds "Value null at ..." for a member that must be there. */
void dd_violate_null(struct dd_violations *violations, const char *path);

/* 1 to `max` characters of `pattern`; an absent span is no violation. */
void dd_check_text(struct dd_violations *violations, struct dd_span span, const char *path,
                   size_t max, const struct dd_pattern *pattern);

/* The form of a text that a parser found wrong. */
void dd_violate_pattern(struct dd_violations *violations, struct dd_span span, const char *path,
                        const char *regex);

/* A text that is none of `names` ("A, B"). */
void dd_violate_enum(struct dd_violations *violations, struct dd_span span, const char *path,
                     const char *names);

void dd_check_range(struct dd_violations *violations, int64_t number, const char *path,
                    int64_t min, int64_t max);

/* 0 when there are none, else DD_VALIDATION with their text. */
int dd_violations_verdict(const struct dd_violations *violations,
                          struct dd_error *error) DD_MUST_CHECK;
