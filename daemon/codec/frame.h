/* Finds the ends of MessagePack messages in a stream of bytes, and bounds their
 * size, depth and element count as the bytes arrive, before anything is
 * allocated for them. Constant state; each byte is read once; any split of the
 * stream gives the same messages. Only what it has passed may reach a decoder
 * that trusts declared lengths. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/span.h"

struct dd_frame {
    uint64_t left[DD_FRAME_DEPTH_MAX]; /* elements still to come, per level */
    uint32_t depth;
    uint32_t items; /* declared so far in this message */
    uint32_t items_max;
    uint32_t size; /* bytes of this message so far */
    uint32_t size_max;
    uint32_t skip;        /* bytes of a string or number still to pass */
    uint32_t length;      /* length being read */
    uint8_t length_bytes; /* bytes of it still to come */
    uint8_t kind;         /* what the length is of */
    const char *problem;  /* why the stream is lost; NULL while it is not */
};

enum { DD_FRAME_MORE = 0, DD_FRAME_COMPLETE = 1 };

/* Ready for the first byte of a message. */
void dd_frame_init(struct dd_frame *frame);

/* Reads `bytes` up to the end of the message. Sets `*out_consumed`. DD_FRAME_MORE
 * when all was consumed and the message goes on; DD_FRAME_COMPLETE at its end
 * (ready for the next); DD_PROTOCOL for bytes that are no message or exceed
 * DD_FRAME_MAX, DD_FRAME_DEPTH_MAX or DD_FRAME_ITEMS_MAX: the stream is lost, and
 * `problem` says in words why. */
int dd_frame_feed(struct dd_frame *frame, struct dd_span bytes,
                  size_t *out_consumed) DD_MUST_CHECK;

/* Whether `bytes`, which are all there is, are one message that declares no more than it
 * can hold: for bytes at rest, which may be more than one frame's. */
bool dd_frame_is_whole(struct dd_span bytes) DD_MUST_CHECK;
