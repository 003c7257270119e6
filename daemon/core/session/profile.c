/* How the official SDKs derive operation ids (sdk-semantics 2.1). */
#include "core/session/session_priv.h"

#include "base/digest.h"

#define DD_PROFILE_ROW(name, hash, hex_len, first_branch, rounding) \
    {name, DD_ID_##hash, hex_len, first_branch, DD_DELAY_##rounding},
static const struct dd_profile profiles[] = {
#include "proto/profiles.inc"
};

struct dd_text *dd_operation_id(const struct dd_profile *profile, struct dd_span prefix,
                                uint32_t position)
{
    char hex[DD_OPERATION_ID_MAX + 1];
    struct dd_text *id;
    struct dd_buf path;

    dd_buf_init(&path, SIZE_MAX);
    if (prefix.data) {
        dd_buf_append_span(&path, prefix);
        dd_buf_append_byte(&path, '-');
    }
    dd_buf_printf(&path, "%u", position);
    switch (profile->hash) {
    case DD_ID_BLAKE2B:
        dd_blake2b512_hex(dd_buf_span(&path), (size_t)profile->hex_len, hex);
        break;
    case DD_ID_SHA256:
        dd_sha256_hex(dd_buf_span(&path), (size_t)profile->hex_len, hex);
        break;
    case DD_ID_MD5_PATH:
        dd_md5_hex(dd_buf_span(&path), (size_t)profile->hex_len, hex);
        break;
    }
    dd_buf_deinit(&path);
    id = dd_text_cstr(hex);
    return id;
}

struct dd_text *context_prefix(const struct dd_profile *profile, struct dd_text *id,
                               struct dd_span prefix, uint32_t position)
{
    struct dd_buf path;
    struct dd_text *text;

    if (profile->hash != DD_ID_MD5_PATH)
        return dd_text_ref(id);
    dd_buf_init(&path, SIZE_MAX);
    if (prefix.data) {
        dd_buf_append_span(&path, prefix);
        dd_buf_append_byte(&path, '-');
    }
    dd_buf_printf(&path, "%u", position);
    text = dd_text_new(dd_buf_span(&path));
    dd_buf_deinit(&path);
    return text;
}

const struct dd_profile *dd_profile_find(struct dd_span name)
{
    for (size_t i = 0; i < DD_COUNT(profiles); i++) {
        if (dd_span_is(name, profiles[i].name))
            return &profiles[i];
    }
    return NULL;
}
