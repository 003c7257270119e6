/* UUIDs; see uuid.h. */
#include "base/uuid.h"

#include <string.h>

#include "base/check.h"

static void set_version(struct dd_uuid *uuid, uint8_t version)
{
    uuid->bytes[6] = (uint8_t)((uuid->bytes[6] & 0x0f) | version << 4);
    uuid->bytes[8] = (uint8_t)((uuid->bytes[8] & 0x3f) | 0x80);
}

struct dd_uuid dd_uuid_v7(int64_t now_ms, const uint8_t random[10])
{
    struct dd_uuid uuid;

    dd_assert(now_ms >= 0);
    for (int i = 0; i < 6; i++)
        uuid.bytes[i] = (uint8_t)((uint64_t)now_ms >> (40 - 8 * i));
    memcpy(uuid.bytes + 6, random, 10);
    set_version(&uuid, 7);
    return uuid;
}

struct dd_uuid dd_uuid_v4(const uint8_t random[16])
{
    struct dd_uuid uuid;

    memcpy(uuid.bytes, random, sizeof uuid.bytes);
    set_version(&uuid, 4);
    return uuid;
}

static bool dash_at(size_t position)
{
    return position == 8 || position == 13 || position == 18 || position == 23;
}

void dd_uuid_format(struct dd_uuid uuid, char out_text[DD_UUID_TEXT_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    size_t nibble = 0;

    for (size_t i = 0; i < DD_UUID_TEXT_LEN; i++) {
        if (dash_at(i)) {
            out_text[i] = '-';
            continue;
        }
        out_text[i] = digits[uuid.bytes[nibble / 2] >> (nibble % 2 ? 0 : 4) & 0x0f];
        nibble++;
    }
    out_text[DD_UUID_TEXT_LEN] = '\0';
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool dd_uuid_parse(struct dd_span text, struct dd_uuid *out_uuid)
{
    struct dd_uuid uuid = {{0}};
    size_t nibble = 0;

    if (text.len != DD_UUID_TEXT_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int value = digit_value(text.data[i]);

        if (dash_at(i)) {
            if (text.data[i] != '-')
                return false;
            continue;
        }
        if (value < 0)
            return false;
        uuid.bytes[nibble / 2] = (uint8_t)(uuid.bytes[nibble / 2] << 4 | value);
        nibble++;
    }
    *out_uuid = uuid;
    return true;
}

int dd_uuid_compare(struct dd_uuid a, struct dd_uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes);
}
