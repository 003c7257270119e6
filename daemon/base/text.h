/* Immutable, counted text: ids, names, payloads. Shared, never copied, between
 * the two engines, the journal encoder and the replies. Used on one thread.
 *
 * A `struct dd_text *` that is NULL means "absent" wherever AWS distinguishes a
 * missing member from an empty one. Every function here takes NULL.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

struct dd_text {
    uint32_t refs;
    uint32_t len;
    char data[]; /* `len` bytes and a NUL that `len` leaves out */
};

/* Gives a text holding a copy of `span`; NULL for an absent span. */
struct dd_text *dd_text_new(struct dd_span span);

/* As dd_text_new(), for sizes that a peer chose: false when out of memory. */
bool dd_text_try_new(struct dd_span span, struct dd_text **out_text);

struct dd_text *dd_text_cstr(const char *cstr);

/* Adds a reference and returns `text`. */
struct dd_text *dd_text_ref(struct dd_text *text);

/* Drops a reference; the last one frees. */
void dd_text_unref(struct dd_text *text);

/* Drops what `*slot` held and keeps a reference to `text` there. */
void dd_text_set(struct dd_text **slot, struct dd_text *text);

/* The bytes, valid as long as a reference is held. */
static inline struct dd_span dd_text_span(const struct dd_text *text)
{
    return text ? dd_span_make(text->data, text->len) : DD_SPAN_NONE;
}

static inline bool dd_text_equal(const struct dd_text *a, const struct dd_text *b)
{
    return a == b || dd_span_equal(dd_text_span(a), dd_text_span(b));
}

/* `text` as a C string, or `absent` when NULL. */
static inline const char *dd_text_or(const struct dd_text *text, const char *absent)
{
    return text ? text->data : absent;
}
