/* Base64; see base64.h. */
#include "base/base64.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void dd_base64_encode(struct dd_span data, struct dd_buf *out)
{
    for (size_t i = 0; i < data.len; i += 3) {
        size_t left = data.len - i;
        uint32_t bits = (uint32_t)(uint8_t)data.data[i] << 16;

        if (left > 1)
            bits |= (uint32_t)(uint8_t)data.data[i + 1] << 8;
        if (left > 2)
            bits |= (uint8_t)data.data[i + 2];
        dd_buf_append_byte(out, (uint8_t)alphabet[bits >> 18]);
        dd_buf_append_byte(out, (uint8_t)alphabet[bits >> 12 & 63]);
        dd_buf_append_byte(out, left > 1 ? (uint8_t)alphabet[bits >> 6 & 63] : '=');
        dd_buf_append_byte(out, left > 2 ? (uint8_t)alphabet[bits & 63] : '=');
    }
}

static int value_of(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;

    return at ? (int)(at - alphabet) : -1;
}

/* Decodes one group of four characters; `last` allows padding. */
static bool decode_group(const char *group, bool last, struct dd_buf *out)
{
    int pad = 0;
    uint32_t bits = 0;

    if (last && group[3] == '=')
        pad = group[2] == '=' ? 2 : 1;
    for (int i = 0; i < 4; i++) {
        int value = i < 4 - pad ? value_of(group[i]) : 0;

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
    }
    /* Bits that the padding drops must be zero: one text for one value. */
    if ((pad == 1 && (bits & 0xff)) || (pad == 2 && (bits & 0xffff)))
        return false;
    dd_buf_append_byte(out, (uint8_t)(bits >> 16));
    if (pad < 2)
        dd_buf_append_byte(out, (uint8_t)(bits >> 8));
    if (pad < 1)
        dd_buf_append_byte(out, (uint8_t)bits);
    return true;
}

bool dd_base64_decode(struct dd_span text, struct dd_buf *out)
{
    size_t before = out->len;

    if (text.len % 4 != 0)
        return false;
    for (size_t i = 0; i < text.len; i += 4) {
        if (!decode_group(text.data + i, i + 4 == text.len, out)) {
            out->len = before;
            return false;
        }
    }
    return !out->failed;
}
