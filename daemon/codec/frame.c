/* The scanner; see frame.h. Formats: MessagePack specification, "Formats". */
#include "codec/frame.h"

enum kind { KIND_BYTES, KIND_ARRAY, KIND_MAP };

static const char too_long[] = "a message that is longer than any may be";

static int lose(struct dd_frame *frame, const char *problem)
{
    frame->problem = problem;
    return DD_PROTOCOL;
}

void dd_frame_init(struct dd_frame *frame)
{
    *frame = (struct dd_frame){
        .depth = 1, .left = {1}, .items_max = DD_FRAME_ITEMS_MAX, .size_max = DD_FRAME_MAX};
}

/* One element of the innermost container is complete; so may be containers. */
static void element_done(struct dd_frame *frame)
{
    while (frame->depth > 0) {
        if (--frame->left[frame->depth - 1] > 0)
            return;
        frame->depth--;
    }
}

static int open_container(struct dd_frame *frame, uint64_t elements)
{
    if (elements > frame->items_max - frame->items)
        return lose(frame, "a message of more elements than any may have");
    frame->items += (uint32_t)elements;
    if (elements == 0) {
        element_done(frame);
        return 0;
    }
    if (frame->depth == DD_FRAME_DEPTH_MAX)
        return lose(frame, "a message that is nested too deep");
    frame->left[frame->depth++] = elements;
    return 0;
}

/* A length is known: of a container, or of bytes to pass. */
static int on_length(struct dd_frame *frame, enum kind kind, uint32_t length)
{
    switch (kind) {
    case KIND_ARRAY:
        return open_container(frame, length);
    case KIND_MAP:
        return open_container(frame, 2 * (uint64_t)length);
    case KIND_BYTES:
        if (length > frame->size_max - frame->size)
            return lose(frame, too_long);
        frame->skip = length;
        if (length == 0)
            element_done(frame);
        return 0;
    }
    dd_unreachable();
}

static int read_length(struct dd_frame *frame, enum kind kind, uint8_t bytes)
{
    frame->kind = (uint8_t)kind;
    frame->length = 0;
    frame->length_bytes = bytes;
    return 0;
}

static int on_tag(struct dd_frame *frame, uint8_t tag)
{
    if (tag <= 0x7f || tag >= 0xe0 || tag == 0xc0 || tag == 0xc2 || tag == 0xc3)
        return on_length(frame, KIND_BYTES, 0); /* fixint, nil, bool */
    if (tag <= 0x8f)
        return on_length(frame, KIND_MAP, tag & 0x0f);
    if (tag <= 0x9f)
        return on_length(frame, KIND_ARRAY, tag & 0x0f);
    if (tag <= 0xbf)
        return on_length(frame, KIND_BYTES, tag & 0x1f);
    switch (tag) {
    case 0xcc: /* uint 8 */
    case 0xd0:
        return on_length(frame, KIND_BYTES, 1);
    case 0xcd:
    case 0xd1:
        return on_length(frame, KIND_BYTES, 2);
    case 0xca: /* float 32 */
    case 0xce:
    case 0xd2:
        return on_length(frame, KIND_BYTES, 4);
    case 0xcb: /* float 64 */
    case 0xcf:
    case 0xd3:
        return on_length(frame, KIND_BYTES, 8);
    case 0xc4: /* bin 8 */
    case 0xd9: /* str 8 */
        return read_length(frame, KIND_BYTES, 1);
    case 0xc5:
    case 0xda:
        return read_length(frame, KIND_BYTES, 2);
    case 0xc6:
    case 0xdb:
        return read_length(frame, KIND_BYTES, 4);
    case 0xdc:
        return read_length(frame, KIND_ARRAY, 2);
    case 0xdd:
        return read_length(frame, KIND_ARRAY, 4);
    case 0xde:
        return read_length(frame, KIND_MAP, 2);
    case 0xdf:
        return read_length(frame, KIND_MAP, 4);
    default: /* 0xc1 is never used; the protocol has no extension types */
        return lose(frame, "a byte that begins no MessagePack value");
    }
}

static int on_byte(struct dd_frame *frame, uint8_t byte)
{
    if (frame->length_bytes == 0)
        return on_tag(frame, byte);
    frame->length = frame->length << 8 | byte;
    if (--frame->length_bytes > 0)
        return 0;
    return on_length(frame, frame->kind, frame->length);
}

int dd_frame_feed(struct dd_frame *frame, struct dd_span bytes, size_t *out_consumed)
{
    size_t at = 0;

    *out_consumed = 0;
    while (at < bytes.len) {
        if (frame->skip > 0) {
            size_t part = bytes.len - at < frame->skip ? bytes.len - at : frame->skip;

            at += part;
            frame->size += (uint32_t)part;
            frame->skip -= (uint32_t)part;
            if (frame->skip == 0)
                element_done(frame);
        } else {
            if (frame->size == frame->size_max)
                return lose(frame, too_long);
            frame->size++;
            if (on_byte(frame, (uint8_t)bytes.data[at++]) != 0)
                return DD_PROTOCOL;
        }
        if (frame->depth == 0) {
            dd_frame_init(frame);
            *out_consumed = at;
            return DD_FRAME_COMPLETE;
        }
    }
    *out_consumed = at;
    return DD_FRAME_MORE;
}

bool dd_frame_is_whole(struct dd_span bytes)
{
    struct dd_frame frame;
    size_t consumed;

    if (bytes.len > UINT32_MAX)
        return false;
    dd_frame_init(&frame);
    /* An element has a byte at least. */
    frame.items_max = frame.size_max = (uint32_t)bytes.len;
    return dd_frame_feed(&frame, bytes, &consumed) == DD_FRAME_COMPLETE &&
           consumed == bytes.len;
}
