/* Writing MessagePack into a buffer with msgpack-c. A buffer that fails says so
 * at its end, so the packer's own results need no looking at. */
#pragma once

#include <msgpack.h>

#include "base/buf.h"
#include "base/text.h"

static inline int dd_pack_write(void *data, const char *bytes, size_t len)
{
    struct dd_buf *buf = data;

    dd_buf_append(buf, bytes, len);
    return buf->failed ? -1 : 0;
}

static inline void dd_pack_init(msgpack_packer *packer, struct dd_buf *buf)
{
    msgpack_packer_init(packer, buf, dd_pack_write);
}

static inline void dd_pack_span(msgpack_packer *packer, struct dd_span span)
{
    msgpack_pack_str(packer, span.len);
    msgpack_pack_str_body(packer, span.data, span.len);
}

static inline void dd_pack_cstr(msgpack_packer *packer, const char *cstr)
{
    dd_pack_span(packer, dd_span_cstr(cstr));
}

static inline void dd_pack_bool(msgpack_packer *packer, int value)
{
    if (value)
        msgpack_pack_true(packer);
    else
        msgpack_pack_false(packer);
}

/* A text, or nil. */
static inline void dd_pack_text(msgpack_packer *packer, const struct dd_text *text)
{
    if (text)
        dd_pack_span(packer, dd_text_span(text));
    else
        msgpack_pack_nil(packer);
}
