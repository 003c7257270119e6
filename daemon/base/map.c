/* Open addressing with linear probing and backward-shift deletion, so that no
 * tombstones gather. The hash needs no secret against chosen keys: they come from
 * ourselves and from local peers that passed the socket's mode, who could as well
 * ask for more work; limits.h bounds how many keys one of them brings. */
#include "base/map.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/digest.h"

#define FIRST_CAP 16

void dd_map_init(struct dd_map *map)
{
    *map = (struct dd_map){0};
}

void dd_map_deinit(struct dd_map *map)
{
    dd_free(map->slots);
    dd_map_init(map);
}

/* The slot that holds `key`, or the empty one where it would go. */
static size_t find(const struct dd_map *map, struct dd_span key, uint64_t hash)
{
    size_t at = (size_t)hash & (map->cap - 1);

    while (map->slots[at].value &&
           !(map->slots[at].hash == hash && dd_span_equal(map->slots[at].key, key)))
        at = (at + 1) & (map->cap - 1);
    return at;
}

static void grow(struct dd_map *map)
{
    struct dd_map bigger = {.cap = map->cap ? 2 * map->cap : FIRST_CAP, .len = map->len};

    bigger.slots = dd_alloc_array(bigger.cap, sizeof *bigger.slots);
    for (size_t i = 0; i < map->cap; i++) {
        const struct dd_map_slot *slot = &map->slots[i];

        if (slot->value)
            bigger.slots[find(&bigger, slot->key, slot->hash)] = *slot;
    }
    dd_free(map->slots);
    *map = bigger;
}

void *dd_map_get(const struct dd_map *map, struct dd_span key)
{
    return map->len ? map->slots[find(map, key, dd_checksum64(key))].value : NULL;
}

void *dd_map_put(struct dd_map *map, struct dd_span key, void *value)
{
    uint64_t hash = dd_checksum64(key);
    struct dd_map_slot *slot;
    void *old;

    dd_assert(value && key.data);
    if (4 * (map->len + 1) > 3 * map->cap)
        grow(map);
    slot = &map->slots[find(map, key, hash)];
    old = slot->value;
    *slot = (struct dd_map_slot){key, value, hash};
    if (!old)
        map->len++;
    return old;
}

void *dd_map_remove(struct dd_map *map, struct dd_span key)
{
    size_t hole, at;
    void *value;

    if (map->len == 0)
        return NULL;
    hole = find(map, key, dd_checksum64(key));
    value = map->slots[hole].value;
    if (!value)
        return NULL;
    at = hole;
    for (;;) {
        size_t home;

        at = (at + 1) & (map->cap - 1);
        if (!map->slots[at].value)
            break;
        /* An entry may move into the hole unless its home lies after the hole. */
        home = (size_t)map->slots[at].hash & (map->cap - 1);
        if (((at - home) & (map->cap - 1)) < ((at - hole) & (map->cap - 1)))
            continue;
        map->slots[hole] = map->slots[at];
        hole = at;
    }
    map->slots[hole] = (struct dd_map_slot){0};
    map->len--;
    return value;
}

void *dd_map_next(const struct dd_map *map, size_t *at)
{
    while (*at < map->cap) {
        void *value = map->slots[(*at)++].value;

        if (value)
            return value;
    }
    return NULL;
}
