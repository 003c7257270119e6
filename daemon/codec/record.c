/* Stored records; see record.h. */
#include "codec/record.h"

#include "base/alloc.h"
#include "base/digest.h"
#include "codec/frame.h"
#include "codec/pack.h"

#define VERSION 1
#define PREFIX 9 /* version and checksum */

/* --- members of a fact ------------------------------------------------------------------- */

/* X(key, member, kind) in the order of keys. Kinds: TEXT, INT, UINT, BOOL, ERROR */
#define MEMBERS(X)                  \
    X(3, id, TEXT)                  \
    X(4, parent_id, TEXT)           \
    X(5, name, TEXT)                \
    X(6, sub_type, TEXT)            \
    X(7, payload, TEXT)             \
    X(8, error, ERROR)              \
    X(9, function, TEXT)            \
    X(10, request_id, TEXT)         \
    X(11, worker, TEXT)             \
    X(12, client_token, TEXT)       \
    X(13, start_ms, INT)            \
    X(14, due_ms, INT)              \
    X(15, delay_s, INT)             \
    X(16, execution_timeout_s, INT) \
    X(17, retention_s, INT)         \
    X(18, attempt, UINT)            \
    X(19, invocation, UINT)         \
    X(20, token_seq, UINT)          \
    X(21, replay_children, BOOL)    \
    X(22, event_id, UINT)           \
    X(23, type, ENUM)               \
    X(24, callback_id, TEXT)        \
    X(25, heartbeat_s, INT)         \
    X(26, tenant_id, TEXT)          \
    X(27, child, TEXT)              \
    X(28, child_arn, TEXT)          \
    X(29, parent_execution, TEXT)   \
    X(30, parent_operation, TEXT)   \
    X(31, plain, BOOL)

enum { KEY_KIND = 1, KEY_TIME = 2 };

#define GIVEN_TEXT(value) ((value) != NULL)
#define GIVEN_ERROR(value) ((value) != NULL)
#define GIVEN_INT(value) ((value) != 0)
#define GIVEN_UINT(value) ((value) != 0)
#define GIVEN_ENUM(value) ((value) != 0)
#define GIVEN_BOOL(value) (value)

static void pack_error(msgpack_packer *packer, const struct dd_error_object *error)
{
    msgpack_pack_array(packer, 4);
    dd_pack_text(packer, error->message);
    dd_pack_text(packer, error->type);
    dd_pack_text(packer, error->data);
    if (!error->stack) {
        msgpack_pack_nil(packer);
        return;
    }
    msgpack_pack_array(packer, error->stack_len);
    for (uint32_t i = 0; i < error->stack_len; i++)
        dd_pack_text(packer, error->stack[i]);
}

#define PACK_TEXT(packer, value) dd_pack_text(packer, value)
#define PACK_ERROR(packer, value) pack_error(packer, value)
#define PACK_INT(packer, value) msgpack_pack_int64(packer, value)
#define PACK_UINT(packer, value) msgpack_pack_uint32(packer, value)
#define PACK_ENUM(packer, value) msgpack_pack_int(packer, (int)(value))
#define PACK_BOOL(packer, value) dd_pack_bool(packer, value)

static void pack_fact(msgpack_packer *packer, const struct dd_fact *fact)
{
    uint32_t members = 2;

#define X(key, member, kind) members += GIVEN_##kind(fact->member) ? 1 : 0;
    MEMBERS(X)
#undef X
    msgpack_pack_map(packer, members);
    msgpack_pack_int(packer, KEY_KIND);
    msgpack_pack_int(packer, (int)fact->kind);
    msgpack_pack_int(packer, KEY_TIME);
    msgpack_pack_int64(packer, fact->time_ms);
#define X(key, member, kind)               \
    if (GIVEN_##kind(fact->member)) {      \
        msgpack_pack_int(packer, key);     \
        PACK_##kind(packer, fact->member); \
    }
    MEMBERS(X)
#undef X
}

/* --- unpacking, each returning false for the wrong shape --------------------------------- */

static bool take_text(const msgpack_object *object, struct dd_text **out)
{
    if (object->type == MSGPACK_OBJECT_NIL)
        return true;
    if (object->type != MSGPACK_OBJECT_STR)
        return false;
    return dd_text_try_new(
        dd_span_make(object->via.str.size ? object->via.str.ptr : "", object->via.str.size),
        out);
}

static bool take_int(const msgpack_object *object, int64_t *out)
{
    if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER && object->via.u64 <= INT64_MAX)
        *out = (int64_t)object->via.u64;
    else if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *out = object->via.i64;
    else
        return false;
    return true;
}

static bool take_uint(const msgpack_object *object, uint32_t *out)
{
    int64_t value;

    if (!take_int(object, &value) || value < 0 || value > UINT32_MAX)
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool take_bool(const msgpack_object *object, bool *out)
{
    if (object->type != MSGPACK_OBJECT_BOOLEAN)
        return false;
    *out = object->via.boolean;
    return true;
}

static bool take_stack(const msgpack_object *object, struct dd_text ***out, uint32_t *out_len)
{
    const msgpack_object_array *array = &object->via.array;

    if (object->type == MSGPACK_OBJECT_NIL)
        return true;
    if (object->type != MSGPACK_OBJECT_ARRAY)
        return false;
    *out = dd_alloc_array(array->size, sizeof **out);
    *out_len = array->size;
    for (uint32_t i = 0; i < array->size; i++) {
        if (!take_text(&array->ptr[i], &(*out)[i]))
            return false;
    }
    return true;
}

static bool take_error(const msgpack_object *object, struct dd_error_object **out)
{
    const msgpack_object *items = object->via.array.ptr;
    struct dd_text *message = NULL, *type = NULL, *data = NULL, **stack = NULL;
    uint32_t stack_len = 0;
    bool good;

    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size != 4)
        return false;
    good = take_text(&items[0], &message) && take_text(&items[1], &type) &&
           take_text(&items[2], &data) && take_stack(&items[3], &stack, &stack_len);
    *out = dd_error_object_take(type, message, data, stack, stack_len);
    return good;
}

static bool take_type(const msgpack_object *object, enum dd_operation_type *out)
{
    uint32_t value;

    if (!take_uint(object, &value) ||
        *dd_operation_type_name((enum dd_operation_type)value) == 0)
        return false;
    *out = (enum dd_operation_type)value;
    return true;
}

#define TAKE_TEXT(object, out) take_text(object, out)
#define TAKE_ERROR(object, out) take_error(object, out)
#define TAKE_INT(object, out) take_int(object, out)
#define TAKE_UINT(object, out) take_uint(object, out)
#define TAKE_ENUM(object, out) take_type(object, out)
#define TAKE_BOOL(object, out) take_bool(object, out)

static int corrupt(struct dd_error *error, const char *what)
{
    return dd_fail(error, DD_STORE_CORRUPT, "%s", what);
}

static int newer(struct dd_error *error)
{
    return dd_fail(error, DD_STORE_VERSION, "a newer release wrote it; run that one");
}

/* `last` is the key of the member before, 0 for none. */
static int take_member(const msgpack_object_kv *pair, uint32_t *last, struct dd_fact *fact,
                       struct dd_error *error)
{
    uint32_t key;
    bool good;

    if (!take_uint(&pair->key, &key))
        return corrupt(error, "a fact's key is no number");
    /* A member that came twice would be taken twice, and its first text lost. */
    if (key <= *last)
        return corrupt(error, "a fact's keys are not in order");
    *last = key;
    switch (key) {
    case KEY_KIND: {
        uint32_t kind;

        if (!take_uint(&pair->val, &kind))
            return corrupt(error, "a fact's kind is no number");
        fact->kind = (enum dd_fact_kind)kind;
        return 0;
    }
    case KEY_TIME:
        good = take_int(&pair->val, &fact->time_ms);
        break;
#define X(number, member, kind)                        \
    case number:                                       \
        good = TAKE_##kind(&pair->val, &fact->member); \
        break;
        MEMBERS(X)
#undef X
    default:
        return newer(error);
    }
    return good ? 0 : corrupt(error, "a fact's member has the wrong type");
}

static bool known_kind(enum dd_fact_kind kind)
{
    switch (kind) {
    case DD_FACT_NONE:
        return false;
#define X(symbol, number, name) case DD_FACT_##symbol:
        DD_FACTS(X)
#undef X
        return true;
    }
    return false;
}

static int take_fact(const msgpack_object *object, struct dd_facts *facts,
                     struct dd_error *error)
{
    struct dd_fact *fact;
    uint32_t last = 0;

    if (object->type != MSGPACK_OBJECT_MAP)
        return corrupt(error, "a fact is no map");
    fact = dd_facts_add(facts, DD_FACT_NONE, 0);
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        int rc = take_member(&object->via.map.ptr[i], &last, fact, error);

        if (rc)
            return rc;
    }
    return known_kind(fact->kind) ? 0 : newer(error);
}

/* --- heads ------------------------------------------------------------------------------- */

#define HEAD_ITEMS 12
/* Without until_ms, as the first stores have them. */
#define HEAD_ITEMS_MIN 11

static void pack_head(msgpack_packer *packer, const struct dd_head *head)
{
    msgpack_pack_array(packer, HEAD_ITEMS);
    msgpack_pack_bin(packer, sizeof head->id.bytes);
    msgpack_pack_bin_body(packer, head->id.bytes, sizeof head->id.bytes);
    dd_pack_text(packer, head->function);
    dd_pack_text(packer, head->name);
    msgpack_pack_int(packer, (int)head->status);
    msgpack_pack_int(packer, (int)head->work);
    msgpack_pack_int64(packer, head->work_since_ms);
    msgpack_pack_int64(packer, head->next_due_ms);
    msgpack_pack_int64(packer, head->start_ms);
    msgpack_pack_int64(packer, head->end_ms);
    msgpack_pack_uint32(packer, head->events);
    msgpack_pack_uint32(packer, head->records);
    msgpack_pack_int64(packer, head->until_ms);
}

static void head_drop(struct dd_head *head)
{
    dd_text_unref(head->function);
    dd_text_unref(head->name);
    *head = (struct dd_head){0};
}

static bool take_head_items(const msgpack_object *items, uint32_t len, struct dd_head *head)
{
    uint32_t status, work;

    if (items[0].type != MSGPACK_OBJECT_BIN || items[0].via.bin.size != sizeof head->id.bytes)
        return false;
    memcpy(head->id.bytes, items[0].via.bin.ptr, sizeof head->id.bytes);
    if (!take_text(&items[1], &head->function) || !take_text(&items[2], &head->name) ||
        !head->function || !head->name || !take_uint(&items[3], &status) ||
        !take_uint(&items[4], &work) || !take_int(&items[5], &head->work_since_ms) ||
        !take_int(&items[6], &head->next_due_ms) || !take_int(&items[7], &head->start_ms) ||
        !take_int(&items[8], &head->end_ms) || !take_uint(&items[9], &head->events) ||
        !take_uint(&items[10], &head->records))
        return false;
    head->until_ms = head->next_due_ms;
    if (len > HEAD_ITEMS_MIN && !take_int(&items[11], &head->until_ms))
        return false;
    head->status = (enum dd_execution_status)status;
    head->work = (enum dd_work)work;
    return status >= DD_EXECUTION_RUNNING && status <= DD_EXECUTION_STOPPED &&
           work <= DD_WORK_RUNNING;
}

static int take_head(const msgpack_object *object, struct dd_head *head, struct dd_error *error)
{
    *head = (struct dd_head){0};
    if (object->type == MSGPACK_OBJECT_ARRAY && object->via.array.size > HEAD_ITEMS)
        return newer(error);
    if (object->type == MSGPACK_OBJECT_ARRAY && object->via.array.size >= HEAD_ITEMS_MIN &&
        take_head_items(object->via.array.ptr, object->via.array.size, head))
        return 0;
    head_drop(head);
    return corrupt(error, "the head has the wrong shape");
}

/* --- version and checksum ---------------------------------------------------------------- */

static uint64_t checksum_of(uint8_t version, const char *body, size_t len)
{
    /* The version takes part: a changed one must not pass as another format. */
    return dd_checksum64(dd_span_make(body, len)) ^ (uint64_t)version << 56;
}

/* Reserves the prefix; returns where the record begins. */
static size_t begin(struct dd_buf *out)
{
    static const char zeros[PREFIX];
    size_t at = out->len;

    dd_buf_append(out, zeros, sizeof zeros);
    return at;
}

static void seal(struct dd_buf *out, size_t at)
{
    uint64_t checksum;

    if (out->failed)
        return;
    checksum = checksum_of(VERSION, out->data + at + PREFIX, out->len - at - PREFIX);
    out->data[at] = VERSION;
    for (int i = 0; i < 8; i++)
        out->data[at + 1 + (size_t)i] = (char)(uint8_t)(checksum >> (56 - 8 * i));
}

/* Checks the prefix and parses the body; free the zone. */
static int open_body(struct dd_span bytes, msgpack_zone **out_zone, msgpack_object *out,
                     struct dd_error *error)
{
    uint64_t checksum = 0;
    size_t at = 0;
    msgpack_zone *zone;

    if (bytes.len <= PREFIX)
        return corrupt(error, "too short");
    for (int i = 0; i < 8; i++)
        checksum = checksum << 8 | (uint8_t)bytes.data[1 + i];
    if (checksum !=
        checksum_of((uint8_t)bytes.data[0], bytes.data + PREFIX, bytes.len - PREFIX))
        return corrupt(error, "the checksum is wrong");
    if ((uint8_t)bytes.data[0] > VERSION)
        return newer(error);
    if ((uint8_t)bytes.data[0] != VERSION)
        return corrupt(error, "the version is unknown");
    if (!dd_frame_is_whole(dd_span_make(bytes.data + PREFIX, bytes.len - PREFIX)))
        return corrupt(error, "the body is no MessagePack");
    zone = msgpack_zone_new(1024);
    dd_assert(zone);
    if (msgpack_unpack(bytes.data + PREFIX, bytes.len - PREFIX, &at, zone, out) !=
        MSGPACK_UNPACK_SUCCESS) {
        msgpack_zone_free(zone);
        return corrupt(error, "the body is no MessagePack");
    }
    *out_zone = zone;
    return 0;
}

/* --- public ------------------------------------------------------------------------------ */

void dd_head_encode(const struct dd_head *head, struct dd_buf *out)
{
    size_t at = begin(out);
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    pack_head(&packer, head);
    seal(out, at);
}

int dd_head_decode(struct dd_span bytes, struct dd_head *out_head, struct dd_error *error)
{
    msgpack_object object;
    msgpack_zone *zone;
    int rc = open_body(bytes, &zone, &object, error);

    if (rc)
        return rc;
    rc = take_head(&object, out_head, error);
    msgpack_zone_free(zone);
    return rc;
}

void dd_record_encode(uint32_t number, const struct dd_head *head, const struct dd_facts *facts,
                      struct dd_buf *out)
{
    size_t at = begin(out);
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    msgpack_pack_array(&packer, 3);
    pack_head(&packer, head);
    msgpack_pack_uint32(&packer, number);
    msgpack_pack_array(&packer, facts->len);
    for (size_t i = 0; i < facts->len; i++)
        pack_fact(&packer, &facts->items[i]);
    seal(out, at);
}

static int take_record(const msgpack_object *object, struct dd_record_header *header,
                       struct dd_facts *facts, struct dd_error *error)
{
    const msgpack_object *items = object->via.array.ptr;
    int rc;

    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size != 3 ||
        items[2].type != MSGPACK_OBJECT_ARRAY || !take_uint(&items[1], &header->number))
        return corrupt(error, "the record has the wrong shape");
    rc = take_head(&items[0], &header->head, error);
    for (uint32_t i = 0; rc == 0 && facts && i < items[2].via.array.size; i++)
        rc = take_fact(&items[2].via.array.ptr[i], facts, error);
    return rc;
}

int dd_record_decode(struct dd_span record, struct dd_record_header *out_header,
                     struct dd_facts *out_facts, struct dd_error *error)
{
    msgpack_object object;
    msgpack_zone *zone;
    int rc = open_body(record, &zone, &object, error);

    *out_header = (struct dd_record_header){0};
    if (out_facts)
        *out_facts = (struct dd_facts){0};
    if (rc)
        return rc;
    rc = take_record(&object, out_header, out_facts, error);
    msgpack_zone_free(zone);
    if (rc) {
        head_drop(&out_header->head);
        if (out_facts)
            dd_facts_deinit(out_facts);
    }
    return rc;
}

int dd_record_header(struct dd_span record, struct dd_record_header *out_header,
                     struct dd_error *error)
{
    return dd_record_decode(record, out_header, NULL, error);
}
