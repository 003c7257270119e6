/* Hash map from bytes to pointers. Keys are borrowed: they live in the value
 * that they lead to, or longer. The order of iteration is unspecified but the
 * same for the same sequence of calls, so that simulations repeat. */
#pragma once

#include <stdint.h>

#include "base/span.h"

struct dd_map_slot {
    struct dd_span key;
    void *value;
    uint64_t hash;
};

struct dd_map {
    struct dd_map_slot *slots;
    size_t cap; /* 0 or a power of two */
    size_t len;
};

/* Empty, allocates nothing. A zeroed map is an empty one. */
void dd_map_init(struct dd_map *map);

/* Frees the table, not the values. */
void dd_map_deinit(struct dd_map *map);

/* The value under `key`, or NULL. */
void *dd_map_get(const struct dd_map *map, struct dd_span key);

/* Stores `value` (not NULL) under `key` and returns the one it replaced, or NULL. */
void *dd_map_put(struct dd_map *map, struct dd_span key, void *value);

/* Takes the value under `key` out and returns it, or NULL. */
void *dd_map_remove(struct dd_map *map, struct dd_span key);

/* The next value after cursor `*at` (start with 0), or NULL at the end. The map
 * must not change between calls. */
void *dd_map_next(const struct dd_map *map, size_t *at);
