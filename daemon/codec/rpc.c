/* MessagePack-RPC over msgpack-c; see rpc.h. */
#include "codec/rpc.h"

#include <math.h>
#include <msgpack.h>

#include "base/utf8.h"
#include "codec/pack.h"

/* Room for the objects of an ordinary call; bigger ones take further chunks. */
#define ZONE_CHUNK 1024

static bool is_text(const msgpack_object *object, struct dd_span *out)
{
    if (object->type != MSGPACK_OBJECT_STR)
        return false;
    *out = dd_span_make(object->via.str.size ? object->via.str.ptr : "", object->via.str.size);
    return true;
}

/* The one map inside the params array. */
static bool take_params(const msgpack_object *object, struct dd_params *out)
{
    const msgpack_object_array *array = &object->via.array;

    if (object->type != MSGPACK_OBJECT_ARRAY || array->size != 1 ||
        array->ptr[0].type != MSGPACK_OBJECT_MAP)
        return false;
    *out = (struct dd_params){&array->ptr[0].via.map, NULL};
    return true;
}

static bool take_message(const msgpack_object *object, struct dd_rpc *rpc)
{
    const msgpack_object *items = object->via.array.ptr;

    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size < 3 ||
        items[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return false;
    if (items[0].via.u64 == 0 && object->via.array.size == 4) {
        rpc->kind = DD_RPC_REQUEST;
        rpc->id = items[1].via.u64;
        return items[1].type == MSGPACK_OBJECT_POSITIVE_INTEGER &&
               is_text(&items[2], &rpc->method) && take_params(&items[3], &rpc->params);
    }
    if (items[0].via.u64 == 2 && object->via.array.size == 3) {
        rpc->kind = DD_RPC_NOTIFICATION;
        return is_text(&items[1], &rpc->method) && take_params(&items[2], &rpc->params);
    }
    return false;
}

int dd_rpc_parse(struct dd_span message, struct dd_rpc *out_rpc, struct dd_error *error)
{
    msgpack_zone *zone = msgpack_zone_new(ZONE_CHUNK);
    msgpack_object object;
    size_t at = 0;

    if (!zone)
        return dd_fail(error, DD_PROTOCOL, "out of memory for a message");
    *out_rpc = (struct dd_rpc){.zone = zone};
    if (msgpack_unpack(message.data, message.len, &at, zone, &object) !=
            MSGPACK_UNPACK_SUCCESS ||
        !take_message(&object, out_rpc)) {
        dd_rpc_deinit(out_rpc);
        return dd_fail(error, DD_PROTOCOL, "no MessagePack-RPC request or notification");
    }
    /* The object itself is on our stack, but all it points to is in the zone. */
    return 0;
}

void dd_rpc_deinit(struct dd_rpc *rpc)
{
    if (rpc->zone)
        msgpack_zone_free(rpc->zone);
    rpc->zone = NULL;
}

void dd_rpc_write_result(struct dd_buf *out, uint64_t id, struct dd_span result)
{
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    msgpack_pack_array(&packer, 4);
    msgpack_pack_int(&packer, 1);
    msgpack_pack_uint64(&packer, id);
    msgpack_pack_nil(&packer);
    dd_buf_append_span(out, result);
}

void dd_rpc_write_error(struct dd_buf *out, uint64_t id, const struct dd_error *error,
                        const char *field)
{
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    msgpack_pack_array(&packer, 4);
    msgpack_pack_int(&packer, 1);
    msgpack_pack_uint64(&packer, id);
    msgpack_pack_map(&packer, field ? 4 : 3);
    dd_pack_cstr(&packer, "code");
    dd_pack_cstr(&packer, dd_error_name(error->code));
    dd_pack_cstr(&packer, "message");
    dd_pack_cstr(&packer, error->text);
    dd_pack_cstr(&packer, "retryable");
    dd_pack_bool(&packer, dd_error_retryable(error->code));
    if (field) {
        dd_pack_cstr(&packer, "field");
        dd_pack_cstr(&packer, field);
    }
    msgpack_pack_nil(&packer);
}

/* --- getters ----------------------------------------------------------------------------- */

/* The member, or NULL when it is missing or nil. */
static const msgpack_object *find(const struct dd_params *params, const char *name)
{
    const msgpack_object_map *map = params->map;
    struct dd_span wanted = dd_span_cstr(name);

    for (uint32_t i = 0; i < map->size; i++) {
        struct dd_span key;

        if (is_text(&map->ptr[i].key, &key) && dd_span_equal(key, wanted))
            return map->ptr[i].val.type == MSGPACK_OBJECT_NIL ? NULL : &map->ptr[i].val;
    }
    return NULL;
}

int dd_params_refuse(struct dd_params *params, const char *name, struct dd_error *error,
                     const char *why)
{
    params->bad = name;
    return dd_fail(error, DD_BAD_PARAMS, "%s: %s", name, why);
}

/* 0 with `*out` NULL when an optional member is missing. */
static int get(struct dd_params *params, const char *name, enum dd_presence presence,
               const msgpack_object **out, struct dd_error *error)
{
    *out = find(params, name);
    if (!*out && presence == DD_REQUIRED)
        return dd_params_refuse(params, name, error, "is missing");
    return 0;
}

int dd_params_text(struct dd_params *params, const char *name, enum dd_presence presence,
                   struct dd_span *out, struct dd_error *error)
{
    const msgpack_object *object;
    int rc = get(params, name, presence, &object, error);

    if (rc || !object) {
        *out = DD_SPAN_NONE;
        return rc;
    }
    if (!is_text(object, out))
        return dd_params_refuse(params, name, error, "must be a string");
    if (!dd_utf8_valid(*out))
        return dd_params_refuse(params, name, error, "must be UTF-8");
    return 0;
}

static bool is_int(const msgpack_object *object, int64_t min, int64_t max, int64_t *out)
{
    int64_t value;

    if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER && object->via.u64 <= INT64_MAX)
        value = (int64_t)object->via.u64;
    else if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        value = object->via.i64;
    else
        return false;
    if (value < min || value > max)
        return false;
    *out = value;
    return true;
}

int dd_params_int(struct dd_params *params, const char *name, enum dd_presence presence,
                  int64_t min, int64_t max, int64_t *out, struct dd_error *error)
{
    const msgpack_object *object;
    int rc = get(params, name, presence, &object, error);

    if (rc || !object)
        return rc;
    if (is_int(object, min, max, out))
        return 0;
    params->bad = name;
    return dd_fail(error, DD_BAD_PARAMS, "%s: must be an integer from %lld to %lld", name,
                   (long long)min, (long long)max);
}

int dd_params_float(struct dd_params *params, const char *name, enum dd_presence presence,
                    double *out, struct dd_error *error)
{
    const msgpack_object *object;
    int rc = get(params, name, presence, &object, error);

    if (rc || !object)
        return rc;
    if (object->type == MSGPACK_OBJECT_FLOAT64 || object->type == MSGPACK_OBJECT_FLOAT32)
        *out = object->via.f64;
    else if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        *out = (double)object->via.u64;
    else if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *out = (double)object->via.i64;
    else
        return dd_params_refuse(params, name, error, "must be a number");
    if (!isfinite(*out))
        return dd_params_refuse(params, name, error, "must be finite");
    return 0;
}

int dd_params_bool(struct dd_params *params, const char *name, bool *out,
                   struct dd_error *error)
{
    const msgpack_object *object = find(params, name);

    if (!object)
        return 0;
    if (object->type != MSGPACK_OBJECT_BOOLEAN)
        return dd_params_refuse(params, name, error, "must be true or false");
    *out = object->via.boolean;
    return 0;
}

int dd_params_map(struct dd_params *params, const char *name, enum dd_presence presence,
                  struct dd_params *out, bool *out_given, struct dd_error *error)
{
    const msgpack_object *object;
    int rc = get(params, name, presence, &object, error);

    *out_given = rc == 0 && object;
    if (rc || !object)
        return rc;
    if (object->type != MSGPACK_OBJECT_MAP)
        return dd_params_refuse(params, name, error, "must be a map");
    *out = (struct dd_params){&object->via.map, NULL};
    return 0;
}

int dd_params_array(struct dd_params *params, const char *name, enum dd_presence presence,
                    size_t len_max, struct dd_array *out, struct dd_error *error)
{
    const msgpack_object *object;
    int rc = get(params, name, presence, &object, error);

    *out = (struct dd_array){NULL, 0};
    if (rc || !object)
        return rc;
    if (object->type != MSGPACK_OBJECT_ARRAY)
        return dd_params_refuse(params, name, error, "must be an array");
    if (object->via.array.size > len_max) {
        params->bad = name;
        return dd_fail(error, DD_BAD_PARAMS, "%s: has more than %zu elements", name, len_max);
    }
    *out = (struct dd_array){&object->via.array, object->via.array.size};
    return 0;
}

static const msgpack_object *element(const struct dd_array *array, size_t at)
{
    dd_assert(at < array->len);
    return &((const msgpack_object_array *)array->array)->ptr[at];
}

bool dd_array_text(const struct dd_array *array, size_t at, struct dd_span *out)
{
    return is_text(element(array, at), out) && dd_utf8_valid(*out);
}

bool dd_array_int(const struct dd_array *array, size_t at, int64_t min, int64_t max,
                  int64_t *out)
{
    return is_int(element(array, at), min, max, out);
}

bool dd_array_map(const struct dd_array *array, size_t at, struct dd_params *out)
{
    const msgpack_object *object = element(array, at);

    if (object->type != MSGPACK_OBJECT_MAP)
        return false;
    *out = (struct dd_params){&object->via.map, NULL};
    return true;
}

/* Recursive: the scanner has bounded the depth. */
static bool texts_valid(const msgpack_object *object)
{
    const msgpack_object_array *array = &object->via.array;
    const msgpack_object_map *map = &object->via.map;
    struct dd_span text;
    bool valid = true;

    if (is_text(object, &text))
        return dd_utf8_valid(text);
    for (uint32_t i = 0; object->type == MSGPACK_OBJECT_ARRAY && valid && i < array->size; i++)
        valid = texts_valid(&array->ptr[i]);
    for (uint32_t i = 0; object->type == MSGPACK_OBJECT_MAP && valid && i < map->size; i++)
        valid = texts_valid(&map->ptr[i].key) && texts_valid(&map->ptr[i].val);
    return valid;
}

bool dd_params_raw(const struct dd_params *params, const char *name, struct dd_buf *out)
{
    const msgpack_object *object = find(params, name);
    msgpack_packer packer;

    if (!object || !texts_valid(object))
        return false;
    dd_pack_init(&packer, out);
    return msgpack_pack_object(&packer, *object) == 0;
}
