/* Growable bytes; see buf.h. */
#include "base/buf.h"

#include <stdio.h>

#include "base/alloc.h"

#define FIRST_CAP 256

void dd_buf_init(struct dd_buf *buf, size_t max)
{
    *buf = (struct dd_buf){.max = max};
}

void dd_buf_deinit(struct dd_buf *buf)
{
    dd_free(buf->data);
    dd_buf_init(buf, buf->max);
}

void dd_buf_clear(struct dd_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

char *dd_buf_reserve(struct dd_buf *buf, size_t len)
{
    size_t first = buf->max < FIRST_CAP ? buf->max : FIRST_CAP;
    size_t cap = buf->cap ? buf->cap : first;
    char *grown;

    if (buf->failed || len > buf->max - buf->len) {
        buf->failed = true;
        return NULL;
    }
    if (buf->data && len <= buf->cap - buf->len)
        return buf->data + buf->len;
    while (cap - buf->len < len)
        cap = cap > buf->max / 2 ? buf->max : 2 * cap;
    grown = dd_try_realloc(buf->data, cap + 1); /* one more for dd_buf_printf()'s NUL */
    if (!grown) {
        buf->failed = true;
        return NULL;
    }
    buf->data = grown;
    buf->cap = cap;
    return buf->data + buf->len;
}

void dd_buf_printf(struct dd_buf *buf, const char *fmt, ...)
{
    /* The NUL has its byte beyond the capacity. */
    size_t room = buf->data && !buf->failed ? buf->cap - buf->len + 1 : 0;
    char *to = room ? buf->data + buf->len : NULL;
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(to, room, fmt, args);
    va_end(args);
    dd_assert(len >= 0);
    if ((size_t)len >= room) {
        to = dd_buf_reserve(buf, (size_t)len);
        if (!to)
            return;
        va_start(args, fmt);
        vsnprintf(to, (size_t)len + 1, fmt, args);
        va_end(args);
    }
    buf->len += (size_t)len;
}

void dd_buf_consume(struct dd_buf *buf, size_t len)
{
    dd_assert(len <= buf->len);
    if (len > 0)
        memmove(buf->data, buf->data + len, buf->len - len);
    buf->len -= len;
}

char *dd_buf_take(struct dd_buf *buf, size_t *out_len)
{
    char *data = buf->data ? buf->data : dd_alloc(1);

    if (out_len)
        *out_len = buf->len;
    dd_buf_init(buf, buf->max);
    return data;
}
