/* A write-ahead log: frames in one file that was written to its full size before, so
 * that the sync of an append writes the bytes and nothing of the file system's own.
 *
 * A frame is a header and a payload, at a multiple of 512 bytes. Frames are numbered
 * without a gap, for good: emptying the log only begins again at the front of the file.
 * So what is in it is told by the number that its owner has made safe elsewhere: the
 * frames that go on from there, as far as they are whole. The one after them may be torn;
 * nobody was told that it was written.
 *
 * Integers are in the machine's byte order, as in LMDB's file. Nothing here locks: one
 * thread appends and empties; the frames that are there may be read by another meanwhile.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/span.h"

struct wal {
    int fd; /* -1: there is no log */
    const char *map;
    uint64_t size;
    uint64_t end;      /* where the next frame goes */
    uint64_t sequence; /* of the last frame */
};

/* Makes a log of `size` bytes, a multiple of 512, at `path`, whole or not at all. 0, or an
 * errno. */
int wal_make(const char *path, uint64_t size);

/* Opens the file at `path` and finds the frames after number `applied`. 0, also when there
 * is no such file; DD_STORE_CORRUPT when frames are missing between `applied` and one that
 * is there; DD_SYSTEM. Release it with wal_close(), whatever came of it. */
int wal_open(struct wal *wal, const char *path, bool readonly, uint64_t applied,
             struct dd_error *error) DD_MUST_CHECK;
void wal_close(struct wal *wal);

/* Whether a frame with so many bytes has room; never where there is no log. */
bool wal_fits(const struct wal *wal, size_t len);

/* Appends a frame and syncs. 0, or an errno: its bytes may yet be there, so what it has is
 * to be safe elsewhere, and the log emptied, before anything else is acknowledged that is not
 * written in its place. */
int wal_append(struct wal *wal, struct dd_span payload) DD_MUST_CHECK;

/* The payload of the frame at `*at` (start with 0), and moves on; false at the end. It is
 * valid until the log is emptied and appended to. */
bool wal_next(const struct wal *wal, uint64_t *at, struct dd_span *out_payload);

/* The number that stands for all that is in the log, and for a frame that failed. */
uint64_t wal_mark(const struct wal *wal);
/* All that is in it is safe elsewhere, together with its mark. */
void wal_clear(struct wal *wal);
