/* MessagePack: reading answers, writing parameters, finding the end of a value. */
#include <stdlib.h>
#include <string.h>

#include "priv.h"

/* --- reading ----------------------------------------------------------------------------- */

static bool str_is(const msgpack_object *object, const char *text)
{
    size_t len = strlen(text);

    return object->type == MSGPACK_OBJECT_STR && object->via.str.size == len &&
           memcmp(object->via.str.ptr, text, len) == 0;
}

const msgpack_object *map_get(const msgpack_object *map, const char *key)
{
    if (!map || map->type != MSGPACK_OBJECT_MAP)
        return NULL;
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *member = &map->via.map.ptr[i];

        if (str_is(&member->key, key))
            return member->val.type == MSGPACK_OBJECT_NIL ? NULL : &member->val;
    }
    return NULL;
}

int64_t map_int(const msgpack_object *map, const char *key, int64_t otherwise)
{
    const msgpack_object *value = map_get(map, key);

    if (!value)
        return otherwise;
    if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        return value->via.i64;
    if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER && value->via.u64 <= INT64_MAX)
        return (int64_t)value->via.u64;
    return otherwise;
}

bool map_bool(const msgpack_object *map, const char *key)
{
    const msgpack_object *value = map_get(map, key);

    return value && value->type == MSGPACK_OBJECT_BOOLEAN && value->via.boolean;
}

struct durabled_text map_text(const msgpack_object *map, const char *key)
{
    const msgpack_object *value = map_get(map, key);
    struct durabled_text text = {0};

    if (value && value->type == MSGPACK_OBJECT_STR)
        text =
            (struct durabled_text){(char *)(uintptr_t)value->via.str.ptr, value->via.str.size};
    return text;
}

bool map_text_is(const msgpack_object *map, const char *key, const char *text)
{
    const msgpack_object *value = map_get(map, key);

    return value && str_is(value, text);
}

/* --- writing ----------------------------------------------------------------------------- */

void params_init(struct params *params)
{
    msgpack_sbuffer_init(&params->body);
    msgpack_packer_init(&params->packer, &params->body, msgpack_sbuffer_write);
    params->members = 0;
    params->failed = false;
    params->too_large = false;
}

void params_free(struct params *params)
{
    msgpack_sbuffer_destroy(&params->body);
}

void pack_text(msgpack_packer *packer, const char *text, size_t len)
{
    msgpack_pack_str(packer, len);
    msgpack_pack_str_body(packer, text, len);
}

void params_key(struct params *params, const char *key)
{
    params->members++;
    pack_text(&params->packer, key, strlen(key));
}

void params_text_len(struct params *params, const char *key, const char *text, size_t len)
{
    if (!text)
        return;
    params_key(params, key);
    /* A text that no frame can hold is refused before it is copied. */
    if (len > FRAME_MAX)
        params->too_large = true;
    else if (msgpack_pack_str(&params->packer, len) != 0 ||
             msgpack_pack_str_body(&params->packer, text, len) != 0)
        params->failed = true;
}

void params_text(struct params *params, const char *key, const char *text)
{
    params_text_len(params, key, text, text ? strlen(text) : 0);
}

void params_int(struct params *params, const char *key, int64_t value)
{
    params_key(params, key);
    msgpack_pack_int64(&params->packer, value);
}

void params_float(struct params *params, const char *key, double value)
{
    params_key(params, key);
    msgpack_pack_double(&params->packer, value);
}

void params_bool(struct params *params, const char *key, bool value)
{
    params_key(params, key);
    if (value)
        msgpack_pack_true(&params->packer);
    else
        msgpack_pack_false(&params->packer);
}

void params_map(struct params *params, const char *key, const struct params *map)
{
    params_key(params, key);
    msgpack_pack_map(&params->packer, map->members);
    if (map->too_large)
        params->too_large = true;
    if (map->failed ||
        msgpack_sbuffer_write(&params->body, map->body.data, map->body.size) != 0)
        params->failed = true;
}

static void pack_member(msgpack_packer *packer, const char *key, const char *text)
{
    if (!text)
        return;
    pack_text(packer, key, strlen(key));
    pack_text(packer, text, strlen(text));
}

void params_failure(struct params *params, const char *key,
                    const struct durabled_failure *failure)
{
    msgpack_packer *packer = &params->packer;

    params_key(params, key);
    msgpack_pack_map(packer, (size_t)(failure->type != NULL) + (failure->message != NULL) +
                                 (failure->data != NULL) + (failure->stack_trace_len > 0));
    pack_member(packer, "ErrorType", failure->type);
    pack_member(packer, "ErrorMessage", failure->message);
    pack_member(packer, "ErrorData", failure->data);
    if (failure->stack_trace_len > 0) {
        pack_text(packer, "StackTrace", 10);
        msgpack_pack_array(packer, failure->stack_trace_len);
        for (size_t i = 0; i < failure->stack_trace_len; i++)
            pack_text(packer, failure->stack_trace[i], strlen(failure->stack_trace[i]));
    }
}

/* --- the end of a value ------------------------------------------------------------------ */

void scan_start(struct scan *scan)
{
    *scan = (struct scan){0, 1};
}

static uint64_t big_endian(const uint8_t *bytes, size_t len)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* One value's own bytes, and the values that it announces. */
struct piece {
    size_t header; /* of the tag and the length */
    size_t length_bytes;
    uint64_t bytes_each; /* bytes for each that the length counts; 0: values */
    uint64_t values_each;
    uint64_t fixed; /* when there is no length field */
};

static struct piece piece_of(uint8_t tag)
{
    static const uint8_t fixed_bytes[] = {
        [0xca - 0xca] = 4, [0xcb - 0xca] = 8, [0xcc - 0xca] = 1,  [0xcd - 0xca] = 2,
        [0xce - 0xca] = 4, [0xcf - 0xca] = 8, [0xd0 - 0xca] = 1,  [0xd1 - 0xca] = 2,
        [0xd2 - 0xca] = 4, [0xd3 - 0xca] = 8, [0xd4 - 0xca] = 2,  [0xd5 - 0xca] = 3,
        [0xd6 - 0xca] = 5, [0xd7 - 0xca] = 9, [0xd8 - 0xca] = 17,
    };
    struct piece piece = {.header = 1};

    if (tag >= 0x80 && tag <= 0x8f)
        piece.values_each = 2, piece.fixed = tag & 0x0fu;
    else if (tag >= 0x90 && tag <= 0x9f)
        piece.values_each = 1, piece.fixed = tag & 0x0fu;
    else if (tag >= 0xa0 && tag <= 0xbf)
        piece.bytes_each = 1, piece.fixed = tag & 0x1fu;
    else if (tag >= 0xc4 && tag <= 0xc6)
        piece.bytes_each = 1, piece.length_bytes = (size_t)1 << (tag - 0xc4);
    else if (tag >= 0xc7 && tag <= 0xc9)
        piece.bytes_each = 1, piece.length_bytes = (size_t)1 << (tag - 0xc7), piece.fixed = 1;
    else if (tag >= 0xca && tag <= 0xd8)
        piece.bytes_each = 1, piece.fixed = fixed_bytes[tag - 0xca];
    else if (tag >= 0xd9 && tag <= 0xdb)
        piece.bytes_each = 1, piece.length_bytes = (size_t)1 << (tag - 0xd9);
    else if (tag == 0xdc || tag == 0xdd)
        piece.values_each = 1, piece.length_bytes = tag == 0xdc ? 2 : 4;
    else if (tag == 0xde || tag == 0xdf)
        piece.values_each = 2, piece.length_bytes = tag == 0xde ? 2 : 4;
    piece.header += piece.length_bytes;
    return piece;
}

int scan_feed(struct scan *scan, const uint8_t *data, size_t len)
{
    while (scan->wanted > 0) {
        struct piece piece;
        uint64_t count;

        if (scan->at >= len)
            return 0;
        if (data[scan->at] == 0xc1)
            return -1;
        piece = piece_of(data[scan->at]);
        if (piece.header > len - scan->at)
            return 0;
        count = piece.fixed + big_endian(data + scan->at + 1, piece.length_bytes);
        scan->at += piece.header;
        /* Every value still wanted has at least one byte, so this bounds both. */
        if (scan->at > FRAME_MAX || count * piece.bytes_each > FRAME_MAX - scan->at ||
            scan->wanted + count * piece.values_each > FRAME_MAX)
            return -1;
        scan->at += (size_t)(count * piece.bytes_each);
        scan->wanted += count * piece.values_each - 1;
    }
    return scan->at <= len ? 1 : 0;
}
