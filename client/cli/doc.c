/* MessagePack documents: reading members and pages, printing as JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Up to here JSON's numbers are exact (RFC 8259, 6). */
#define NUMBER_MAX 9007199254740992

static bool unpack(struct doc *doc, const char *bytes, size_t len)
{
    size_t offset = 0;

    if (msgpack_zone_init(&doc->zone, MSGPACK_ZONE_CHUNK_SIZE)) {
        if (msgpack_unpack(bytes, len, &offset, &doc->zone, &doc->root) >= 0)
            return true;
        msgpack_zone_destroy(&doc->zone);
    }
    durabled_reply_free(doc->reply);
    dd_buf_deinit(&doc->packed);
    return false;
}

bool doc_open(struct doc *doc, struct durabled_reply *reply)
{
    size_t len;
    const char *bytes = durabled_reply_bytes(reply, &len);

    *doc = (struct doc){.reply = reply};
    return unpack(doc, bytes, len);
}

bool doc_open_packed(struct doc *doc, struct dd_buf *packed)
{
    *doc = (struct doc){.packed = *packed};
    return unpack(doc, packed->data, packed->failed ? 0 : packed->len);
}

void doc_close(struct doc *doc)
{
    msgpack_zone_destroy(&doc->zone);
    durabled_reply_free(doc->reply);
    dd_buf_deinit(&doc->packed);
}

static bool is_key(const msgpack_object_kv *member, const char *key)
{
    return member->key.type == MSGPACK_OBJECT_STR && member->key.via.str.size == strlen(key) &&
           memcmp(member->key.via.str.ptr, key, member->key.via.str.size) == 0;
}

const msgpack_object *doc_get(const msgpack_object *map, const char *key)
{
    if (!map || map->type != MSGPACK_OBJECT_MAP)
        return NULL;
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *member = &map->via.map.ptr[i];

        if (is_key(member, key))
            return member->val.type == MSGPACK_OBJECT_NIL ? NULL : &member->val;
    }
    return NULL;
}

int64_t doc_int(const msgpack_object *map, const char *key)
{
    const msgpack_object *value = doc_get(map, key);

    if (!value)
        return 0;
    if (value->type == MSGPACK_OBJECT_POSITIVE_INTEGER && value->via.u64 <= NUMBER_MAX)
        return (int64_t)value->via.u64;
    if (value->type == MSGPACK_OBJECT_NEGATIVE_INTEGER && value->via.i64 >= -NUMBER_MAX)
        return value->via.i64;
    return 0;
}

struct durabled_text doc_text(const msgpack_object *map, const char *key)
{
    const msgpack_object *value = doc_get(map, key);

    if (!value || value->type != MSGPACK_OBJECT_STR)
        return (struct durabled_text){0};
    return (struct durabled_text){(char *)(uintptr_t)value->via.str.ptr, value->via.str.size};
}

bool doc_is(const msgpack_object *map, const char *key, const char *text)
{
    struct durabled_text value = doc_text(map, key);

    return value.data && value.len == strlen(text) && memcmp(value.data, text, value.len) == 0;
}

const msgpack_object *doc_array(const msgpack_object *map, const char *key, size_t *out_len)
{
    const msgpack_object *value = doc_get(map, key);

    *out_len = 0;
    if (!value || value->type != MSGPACK_OBJECT_ARRAY)
        return NULL;
    *out_len = value->via.array.size;
    return value->via.array.ptr;
}

int text_order(struct durabled_text a, struct durabled_text b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* --- pages ------------------------------------------------------------------------------- */

bool pages_add(struct pages *pages, struct doc *doc)
{
    struct doc *docs = realloc(pages->docs, (pages->len + 1) * sizeof *docs);

    if (!docs) {
        doc_close(doc);
        return false;
    }
    pages->docs = docs;
    docs[pages->len++] = *doc;
    return true;
}

void pages_free(struct pages *pages)
{
    for (size_t i = 0; i < pages->len; i++)
        doc_close(&pages->docs[i]);
    free(pages->docs);
    *pages = (struct pages){0};
}

const msgpack_object **pages_items(const struct pages *pages, const char *key, size_t *out_len)
{
    const msgpack_object **items;
    size_t total = 0, len;

    for (size_t page = 0; page < pages->len; page++) {
        (void)doc_array(&pages->docs[page].root, key, &len);
        total += len;
    }
    items = malloc((total + 1) * sizeof(void *));
    *out_len = items ? total : 0;
    total = 0;
    for (size_t page = 0; items && page < pages->len; page++) {
        const msgpack_object *objects = doc_array(&pages->docs[page].root, key, &len);

        for (size_t i = 0; i < len; i++)
            items[total++] = &objects[i];
    }
    return items;
}

/* --- JSON -------------------------------------------------------------------------------- */

void put_json_text(FILE *out, const char *text, size_t len)
{
    fputc('"', out);
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte == '"' || byte == '\\')
            fprintf(out, "\\%c", byte);
        else if (byte == '\n')
            fputs("\\n", out);
        else if (byte < 0x20 || byte == 0x7f)
            fprintf(out, "\\u%04x", byte);
        else
            fputc(byte, out);
    }
    fputc('"', out);
}

static void put_json_float(FILE *out, double value)
{
    if (isfinite(value))
        fprintf(out, "%.17g", value);
    else
        fputs("null", out);
}

static void put_json_map(FILE *out, const msgpack_object_map *map)
{
    fputc('{', out);
    for (uint32_t i = 0; i < map->size; i++) {
        if (i > 0)
            fputs(", ", out);
        put_json(out, &map->ptr[i].key);
        fputs(": ", out);
        put_json(out, &map->ptr[i].val);
    }
    fputc('}', out);
}

static void put_json_array(FILE *out, const msgpack_object_array *array)
{
    fputc('[', out);
    for (uint32_t i = 0; i < array->size; i++) {
        if (i > 0)
            fputs(", ", out);
        put_json(out, &array->ptr[i]);
    }
    fputc(']', out);
}

void put_json(FILE *out, const msgpack_object *value)
{
    switch (value->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        fputs(value->via.boolean ? "true" : "false", out);
        return;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        fprintf(out, "%llu", (unsigned long long)value->via.u64);
        return;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        fprintf(out, "%lld", (long long)value->via.i64);
        return;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        put_json_float(out, value->via.f64);
        return;
    case MSGPACK_OBJECT_STR:
        put_json_text(out, value->via.str.ptr, value->via.str.size);
        return;
    case MSGPACK_OBJECT_ARRAY:
        put_json_array(out, &value->via.array);
        return;
    case MSGPACK_OBJECT_MAP:
        put_json_map(out, &value->via.map);
        return;
    case MSGPACK_OBJECT_NIL:
    case MSGPACK_OBJECT_BIN: /* no method has these */
    case MSGPACK_OBJECT_EXT:
        break;
    }
    fputs("null", out);
}

static void put_json_items(FILE *out, const struct pages *pages, const char *key)
{
    size_t shown = 0;

    fputc('[', out);
    for (size_t page = 0; page < pages->len; page++) {
        size_t len;
        const msgpack_object *items = doc_array(&pages->docs[page].root, key, &len);

        for (size_t i = 0; i < len; i++) {
            fputs(shown++ > 0 ? ", " : "", out);
            put_json(out, &items[i]);
        }
    }
    fputc(']', out);
}

void put_json_pages(FILE *out, const struct pages *pages, const char *key)
{
    const msgpack_object *first = &pages->docs[0].root;
    size_t shown = 0;

    fputc('{', out);
    for (uint32_t i = 0; first->type == MSGPACK_OBJECT_MAP && i < first->via.map.size; i++) {
        const msgpack_object_kv *member = &first->via.map.ptr[i];

        if (is_key(member, "more"))
            continue;
        fputs(shown++ > 0 ? ", " : "", out);
        put_json(out, &member->key);
        fputs(": ", out);
        if (is_key(member, key))
            put_json_items(out, pages, key);
        else
            put_json(out, &member->val);
    }
    fputs("}\n", out);
}
