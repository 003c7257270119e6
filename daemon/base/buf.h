/* Growable bytes with a mandatory maximum. After a failed append the buffer is
 * in error: later appends do nothing, so a writer checks once, at its end. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/span.h"

struct dd_buf {
    char *data;
    size_t len;
    size_t cap; /* at most `max` */
    size_t max;
    bool failed; /* the maximum was reached or memory ran out */
};

/* Empty, allocates nothing. `max` is in bytes. */
void dd_buf_init(struct dd_buf *buf, size_t max);

/* Frees the bytes; the buffer may be initialised again. */
void dd_buf_deinit(struct dd_buf *buf);

/* Empties the buffer and its error, keeps its memory. */
void dd_buf_clear(struct dd_buf *buf);

/* Makes room for `len` more bytes and returns where they go, or NULL; the
 * caller writes and then adds what it wrote to `len`. */
char *dd_buf_reserve(struct dd_buf *buf, size_t len);

/* Packing appends a few bytes at a time, some hundred times a call, so what fits is copied
 * without a call. */
static inline void dd_buf_append(struct dd_buf *buf, const void *data, size_t len)
{
    bool fits = !buf->failed && len <= buf->cap - buf->len;
    char *to;

    if (len == 0)
        return;
    to = fits ? buf->data + buf->len : dd_buf_reserve(buf, len);
    if (!to)
        return;
    memcpy(to, data, len);
    buf->len += len;
}

static inline void dd_buf_append_span(struct dd_buf *buf, struct dd_span span)
{
    dd_buf_append(buf, span.data, span.len);
}

static inline void dd_buf_append_cstr(struct dd_buf *buf, const char *cstr)
{
    dd_buf_append(buf, cstr, strlen(cstr));
}

static inline void dd_buf_append_byte(struct dd_buf *buf, uint8_t byte)
{
    dd_buf_append(buf, &byte, 1);
}

void dd_buf_printf(struct dd_buf *buf, const char *fmt, ...) DD_PRINTF(2, 3);

/* Drops the first `len` bytes. */
void dd_buf_consume(struct dd_buf *buf, size_t len);

/* Hands the bytes over (free with dd_free) and leaves the buffer empty. */
char *dd_buf_take(struct dd_buf *buf, size_t *out_len);

static inline struct dd_span dd_buf_span(const struct dd_buf *buf)
{
    return dd_span_make(buf->data ? buf->data : "", buf->len);
}
