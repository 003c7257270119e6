/* The list of puts and deletes of one commit, as flat bytes: table u8 (the top
 * bit tells a delete), key length u32, value length u32, key, value. Native
 * byte order, as all that LMDB writes. */
#include "base/limits.h"
#include "engine/store.h"

#define OP_DELETE 0x80u
#define OP_HEADER 9u

void dd_batch_init(struct dd_batch *batch)
{
    dd_buf_init(&batch->ops, DD_STORE_BATCH_MAX);
    batch->len = 0;
}

void dd_batch_deinit(struct dd_batch *batch)
{
    dd_buf_deinit(&batch->ops);
    batch->len = 0;
}

void dd_batch_clear(struct dd_batch *batch)
{
    dd_buf_clear(&batch->ops);
    batch->len = 0;
}

static void batch_add(struct dd_batch *batch, uint8_t head, struct dd_span key,
                      struct dd_span value)
{
    uint32_t key_len = (uint32_t)key.len;
    uint32_t value_len = (uint32_t)value.len;
    char *at;

    dd_assert(key.len > 0 && key.len <= DD_STORE_KEY_MAX);
    dd_assert(value.len <= UINT32_MAX);
    if (batch->ops.failed)
        return;
    at = dd_buf_reserve(&batch->ops, OP_HEADER + key.len + value.len);
    if (!at) {
        batch->ops.failed = true;
        return;
    }
    at[0] = (char)head;
    memcpy(at + 1, &key_len, 4);
    memcpy(at + 5, &value_len, 4);
    memcpy(at + OP_HEADER, key.data, key.len);
    if (value.len)
        memcpy(at + OP_HEADER + key.len, value.data, value.len);
    batch->ops.len += OP_HEADER + key.len + value.len;
    batch->len++;
}

void dd_batch_put(struct dd_batch *batch, enum dd_table table, struct dd_span key,
                  struct dd_span value)
{
    dd_assert(value.data);
    batch_add(batch, (uint8_t)table, key, value);
}

void dd_batch_delete(struct dd_batch *batch, enum dd_table table, struct dd_span key)
{
    batch_add(batch, (uint8_t)((unsigned)table | OP_DELETE), key, DD_SPAN_NONE);
}

void dd_batch_rewind(struct dd_batch *batch, const struct dd_batch *mark)
{
    dd_assert(mark->ops.len <= batch->ops.len && mark->len <= batch->len);
    batch->ops.len = mark->ops.len;
    batch->ops.failed = false;
    batch->len = mark->len;
}

bool dd_batch_next(const struct dd_batch *batch, size_t *at, struct dd_batch_op *out_op)
{
    const char *op = batch->ops.data + *at;
    uint32_t key_len, value_len;

    if (*at >= batch->ops.len)
        return false;
    memcpy(&key_len, op + 1, 4);
    memcpy(&value_len, op + 5, 4);
    out_op->table = (enum dd_table)((uint8_t)op[0] & ~OP_DELETE);
    out_op->key = dd_span_make(op + OP_HEADER, key_len);
    out_op->value = ((uint8_t)op[0] & OP_DELETE)
                        ? DD_SPAN_NONE
                        : dd_span_make(op + OP_HEADER + key_len, value_len);
    *at += OP_HEADER + key_len + value_len;
    return true;
}
