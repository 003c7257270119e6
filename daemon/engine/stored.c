/* Keys of the tables. Integers are big-endian, so that bytes sort as numbers. */
#include "engine/journal_priv.h"

void put_u32(char *at, uint32_t value)
{
    for (int i = 3; i >= 0; i--, value >>= 8)
        at[i] = (char)(uint8_t)value;
}

void put_u64(char *at, uint64_t value)
{
    put_u32(at, (uint32_t)(value >> 32));
    put_u32(at + 4, (uint32_t)value);
}

uint32_t get_u32(const char *at)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++)
        value = value << 8 | (uint8_t)at[i];
    return value;
}

uint64_t get_u64(const char *at)
{
    return (uint64_t)get_u32(at) << 32 | get_u32(at + 4);
}

struct dd_uuid uuid_at(const char *at)
{
    struct dd_uuid id;

    memcpy(id.bytes, at, sizeof(id.bytes));
    return id;
}

bool starts_with(struct dd_span span, struct dd_span prefix)
{
    return span.len >= prefix.len && memcmp(span.data, prefix.data, prefix.len) == 0;
}

static void key_add(struct store_key *key, const void *data, size_t len)
{
    dd_assert(key->len + len <= sizeof(key->data));
    if (len)
        memcpy(key->data + key->len, data, len);
    key->len += len;
}

static void key_add_u64(struct store_key *key, uint64_t value)
{
    char bytes[8];

    put_u64(bytes, value);
    key_add(key, bytes, sizeof(bytes));
}

void key_position(struct store_key *key, uint64_t position)
{
    key->len = 0;
    key_add_u64(key, position);
}

void key_index(struct store_key *key, struct dd_uuid id, uint32_t number)
{
    char bytes[4];

    key->len = 0;
    key_add(key, id.bytes, sizeof(id.bytes));
    put_u32(bytes, number);
    key_add(key, bytes, sizeof(bytes));
}

void key_name(struct store_key *key, struct dd_span function, struct dd_span name)
{
    key->len = 0;
    key_add(key, function.data, function.len);
    key_add(key, "", 1);
    key_add(key, name.data, name.len);
}

void key_due(struct store_key *key, int64_t due_ms, struct dd_uuid id)
{
    key->len = 0;
    key_add_u64(key, (uint64_t)due_ms);
    key_add(key, id.bytes, sizeof(id.bytes));
}

void key_work_prefix(struct store_key *key, enum dd_work work, struct dd_span function)
{
    uint8_t state = (uint8_t)work;

    key->len = 0;
    key_add(key, &state, 1);
    key_add(key, function.data, function.len);
    key_add(key, "", 1);
}

void key_work(struct store_key *key, const struct dd_head *head)
{
    key_work_prefix(key, head->work, dd_text_span(head->function));
    key_add_u64(key, (uint64_t)head->work_since_ms);
    key_add(key, head->id.bytes, sizeof(head->id.bytes));
}

void key_log(struct store_key *key, struct dd_uuid id, uint64_t number)
{
    key->len = 0;
    key_add(key, id.bytes, sizeof(id.bytes));
    key_add_u64(key, number);
}
