/* A borrowed run of bytes. NULL data means "absent"; an empty span has data. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct dd_span {
    const char *data;
    size_t len;
};

#define DD_SPAN_NONE ((struct dd_span){NULL, 0})

/* A span over a string literal. */
#define DD_SPAN(literal) ((struct dd_span){"" literal, sizeof(literal) - 1})

static inline struct dd_span dd_span_make(const void *data, size_t len)
{
    return (struct dd_span){data, len};
}

/* A span over a NUL-terminated string; NULL gives an absent span. */
static inline struct dd_span dd_span_cstr(const char *cstr)
{
    return (struct dd_span){cstr, cstr ? strlen(cstr) : 0};
}

/* Equal bytes; absent equals absent only. */
static inline bool dd_span_equal(struct dd_span a, struct dd_span b)
{
    if (!a.data || !b.data)
        return !a.data && !b.data;
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static inline bool dd_span_is(struct dd_span span, const char *cstr)
{
    return dd_span_equal(span, dd_span_cstr(cstr));
}

/* Order of the bytes, as memcmp(); of two of which one begins the other, the shorter is
 * less. */
static inline int dd_span_compare(struct dd_span a, struct dd_span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Without white space, as isspace() has it in C, at either end. */
static inline struct dd_span dd_span_trim(struct dd_span span)
{
    static const char space[] = " \t\n\v\f\r";

    while (span.len > 0 && memchr(space, span.data[0], sizeof space - 1))
        span = dd_span_make(span.data + 1, span.len - 1);
    while (span.len > 0 && memchr(space, span.data[span.len - 1], sizeof space - 1))
        span.len--;
    return span;
}

/* Where `part` is in `span` for the first time; NULL: nowhere. */
static inline const char *dd_span_find(struct dd_span span, const char *part)
{
    size_t len = strlen(part);

    for (size_t i = 0; span.data && i + len <= span.len; i++) {
        if (memcmp(span.data + i, part, len) == 0)
            return span.data + i;
    }
    return NULL;
}
