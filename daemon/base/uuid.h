/* UUIDs: execution ids and request ids. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define DD_UUID_TEXT_LEN 36

struct dd_uuid {
    uint8_t bytes[16];
};

/* Version 7 (RFC 9562 5.7): `now_ms` in front, so that ids sort by start time;
 * `random` supplies the other 10 bytes. */
struct dd_uuid dd_uuid_v7(int64_t now_ms, const uint8_t random[10]);

/* Version 4 (RFC 9562 5.4) from 16 random bytes. */
struct dd_uuid dd_uuid_v4(const uint8_t random[16]);

/* Writes the 36 characters and a NUL. */
void dd_uuid_format(struct dd_uuid uuid, char out_text[DD_UUID_TEXT_LEN + 1]);

/* Reads the canonical form, either case; false for anything else. */
bool dd_uuid_parse(struct dd_span text, struct dd_uuid *out_uuid);

/* Order of the bytes, as memcmp(). */
int dd_uuid_compare(struct dd_uuid a, struct dd_uuid b);
