/* UTF-8; see utf8.h. The table of well-formed sequences is RFC 3629,
 * section 4. */
#include "base/utf8.h"

#include <stdint.h>

/* Length of the well-formed sequence at `s`, 0 if there is none. */
static size_t sequence(const uint8_t *s, size_t len)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t need;

    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    need = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (len < need)
        return 0;
    if (s[0] == 0xe0)
        low = 0xa0; /* overlong */
    else if (s[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (s[0] == 0xf0)
        low = 0x90; /* overlong */
    else if (s[0] == 0xf4)
        high = 0x8f; /* above U+10FFFF */
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++) {
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    }
    return need;
}

/* True when the eight bytes at `s` are ASCII. */
static bool ascii8(const uint8_t *s)
{
    uint64_t word;

    memcpy(&word, s, sizeof word);
    return (word & 0x8080808080808080) == 0;
}

bool dd_utf8_valid(struct dd_span data)
{
    const uint8_t *s = (const uint8_t *)data.data;
    size_t at = 0;

    while (at < data.len) {
        size_t len;

        if (data.len - at >= 8 && ascii8(s + at)) {
            at += 8;
            continue;
        }
        len = sequence(s + at, data.len - at);
        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

struct dd_span dd_utf8_cut(struct dd_span text, size_t max)
{
    if (text.len <= max)
        return text;
    while (max > 0 && ((uint8_t)text.data[max] & 0xC0) == 0x80)
        max--;
    return dd_span_make(text.data, max);
}

void dd_utf8_repair(char *text, size_t len)
{
    size_t at = 0;

    while (at < len) {
        size_t length = sequence((const uint8_t *)text + at, len - at);

        if (length == 0) {
            text[at] = '?';
            length = 1;
        }
        at += length;
    }
}
