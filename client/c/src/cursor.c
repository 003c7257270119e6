#include "cursor.h"

#include <stdlib.h>
#include <string.h>

/* Entries point into their window's reply; the last one taken frees it. */
struct cursor_window {
    struct durabled_reply *reply;
    size_t open;
    struct cursor_entry *entries;
};

struct cursor_entry {
    struct cursor_entry *next; /* of the same bucket */
    struct cursor_window *window;
    struct durabled_text context; /* data NULL: the root */
    int64_t position;
    uint64_t hash;
    const msgpack_object *operation;
};

/* --- places ------------------------------------------------------------------------------ */

/* FNV-1a over the id, then the position. */
static uint64_t place_hash(const char *id, size_t len, int64_t position)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)id[i]) * 0x100000001b3u;
    for (int i = 0; i < 8; i++)
        hash = (hash ^ ((uint64_t)position >> (8 * i) & 0xff)) * 0x100000001b3u;
    return hash;
}

static bool text_is(struct durabled_text text, const char *other)
{
    if (!text.data || !other)
        return !text.data && !other;
    return text.len == strlen(other) && memcmp(text.data, other, text.len) == 0;
}

static struct cursor_entry **entry_slot(const struct cursor *cursor, const char *context_id,
                                        int64_t position)
{
    uint64_t hash = place_hash(context_id, context_id ? strlen(context_id) : 0, position);
    struct cursor_entry **slot;

    if (cursor->buckets_len == 0)
        return NULL;
    slot = &cursor->buckets[hash & (cursor->buckets_len - 1)];
    while (*slot && !((*slot)->position == position && text_is((*slot)->context, context_id)))
        slot = &(*slot)->next;
    return *slot ? slot : NULL;
}

static void bucket_put(struct cursor *cursor, struct cursor_entry *entry)
{
    struct cursor_entry **bucket = &cursor->buckets[entry->hash & (cursor->buckets_len - 1)];

    entry->next = *bucket;
    *bucket = entry;
}

/* Buckets for `more` further entries; a power of two, half full at most. */
static bool reserve(struct cursor *cursor, size_t more)
{
    size_t len = cursor->buckets_len ? cursor->buckets_len : 64;
    struct cursor old = *cursor;

    while (len < 2 * (cursor->entries_len + more))
        len *= 2;
    if (len == cursor->buckets_len)
        return true;
    cursor->buckets = calloc(len, sizeof *cursor->buckets);
    if (!cursor->buckets) {
        cursor->buckets = old.buckets;
        return false;
    }
    cursor->buckets_len = len;
    for (size_t i = 0; i < old.buckets_len; i++) {
        struct cursor_entry *entry = old.buckets[i], *next;

        for (; entry; entry = next) {
            next = entry->next;
            bucket_put(cursor, entry);
        }
    }
    free(old.buckets);
    return true;
}

/* --- windows ----------------------------------------------------------------------------- */

void cursor_init(struct cursor *cursor)
{
    *cursor = (struct cursor){0};
}

static void window_release(struct cursor_window *window)
{
    if (--window->open > 0)
        return;
    durabled_reply_free(window->reply);
    free(window->entries);
    free(window);
}

void cursor_free(struct cursor *cursor)
{
    for (size_t i = 0; i < cursor->buckets_len; i++) {
        struct cursor_entry *entry = cursor->buckets[i], *next;

        for (; entry; entry = next) {
            next = entry->next;
            window_release(entry->window);
        }
    }
    free(cursor->buckets);
    cursor_init(cursor);
}

/* False: no entry that makes sense; it is left out, so the daemon is asked. */
static bool entry_read(struct cursor_entry *entry, const msgpack_object *object)
{
    entry->context = map_text(object, "context");
    entry->position = map_int(object, "position", -1);
    entry->operation = map_get(object, "operation");
    entry->hash = place_hash(entry->context.data, entry->context.len, entry->position);
    return entry->position >= 0 && entry->operation &&
           entry->operation->type == MSGPACK_OBJECT_MAP;
}

bool cursor_add(struct cursor *cursor, struct durabled_reply *reply)
{
    const msgpack_object *operations = map_get(&reply->result, "operations");
    size_t len =
        operations && operations->type == MSGPACK_OBJECT_ARRAY ? operations->via.array.size : 0;
    struct cursor_window *window = calloc(1, sizeof *window);

    if (window)
        window->entries = calloc(len + 1, sizeof *window->entries);
    if (!window || !window->entries || !reserve(cursor, len)) {
        if (window)
            free(window->entries);
        free(window);
        durabled_reply_free(reply);
        return false;
    }
    cursor->more = map_bool(&reply->result, "more");
    if (map_get(&reply->result, "gaps"))
        cursor->gaps = map_bool(&reply->result, "gaps");
    window->reply = reply;
    window->open = 1; /* ours, until all entries are in */
    for (size_t i = 0; i < len; i++) {
        struct cursor_entry *entry = &window->entries[i];

        if (!entry_read(entry, &operations->via.array.ptr[i]))
            continue;
        entry->window = window;
        window->open++;
        cursor->entries_len++;
        bucket_put(cursor, entry);
    }
    window_release(window);
    return true;
}

/* --- taking ------------------------------------------------------------------------------ */

static bool is_terminal(const msgpack_object *operation)
{
    static const char *const open[] = {"STARTED", "PENDING", "READY"};

    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        if (map_text_is(operation, "Status", open[i]))
            return false;
    return map_get(operation, "Status") != NULL;
}

static const msgpack_object *details(const msgpack_object *operation)
{
    static const struct {
        const char *type, *member;
    } members[] = {
        {"STEP", "StepDetails"},
        {"CONTEXT", "ContextDetails"},
        {"CALLBACK", "CallbackDetails"},
        {"CHAINED_INVOKE", "ChainedInvokeDetails"},
    };

    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (map_text_is(operation, "Type", members[i].type))
            return map_get(operation, members[i].member);
    return NULL;
}

static bool same_identity(const msgpack_object *operation,
                          const struct cursor_identity *identity)
{
    return text_is(map_text(operation, "Type"), identity->type) &&
           text_is(map_text(operation, "SubType"), identity->sub_type) &&
           text_is(map_text(operation, "Name"), identity->name) &&
           text_is(map_text(operation, "ParentId"), identity->parent_id);
}

static bool copy_outcome(const msgpack_object *operation, struct cursor_outcome *out)
{
    struct durabled_text payload = map_text(details(operation), "Result"),
                         callback_id = map_text(details(operation), "CallbackId"), copy;

    if (callback_id.data) {
        if (!text_copy(&copy, callback_id.data, callback_id.len))
            return false;
        out->callback_id = copy.data;
    }
    out->succeeded = map_text_is(operation, "Status", "SUCCEEDED");
    if (out->succeeded)
        return !payload.data || text_copy(&out->result.payload, payload.data, payload.len);
    return failure_read(&out->result.failure, map_get(details(operation), "Error"));
}

enum cursor_found cursor_take(struct cursor *cursor, const char *context_id, int64_t position,
                              const struct cursor_identity *identity,
                              struct cursor_outcome *out)
{
    struct cursor_entry **slot = entry_slot(cursor, context_id, position), *entry;
    enum cursor_found found = CURSOR_ASK;
    struct durabled_text id, copy = {0};

    *out = (struct cursor_outcome){0};
    if (!slot)
        return cursor->more ? CURSOR_MORE : cursor->gaps ? CURSOR_ASK : CURSOR_NOTHING;
    entry = *slot;
    *slot = entry->next;
    cursor->entries_len--;
    id = map_text(entry->operation, "Id");
    if (id.data && text_copy(&copy, id.data, id.len))
        out->id = copy.data;
    if (same_identity(entry->operation, identity) && is_terminal(entry->operation) &&
        !map_bool(details(entry->operation), "ReplayChildren") &&
        copy_outcome(entry->operation, out))
        found = CURSOR_DONE;
    window_release(entry->window);
    return found;
}

bool cursor_replays(const struct cursor *cursor, const char *context_id, int64_t position)
{
    struct cursor_entry **slot = entry_slot(cursor, context_id, position);

    return slot && is_terminal((*slot)->operation);
}
