/* A 4-ary min-heap of (when, id): due times of executions. Entries are never
 * removed from the middle; whoever pops one asks whether it still holds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"

struct dd_heap_entry {
    int64_t when_ms;
    struct dd_uuid id;
};

struct dd_heap {
    struct dd_heap_entry *entries;
    size_t len, cap;
};

void dd_heap_init(struct dd_heap *heap);
void dd_heap_deinit(struct dd_heap *heap);
void dd_heap_push(struct dd_heap *heap, struct dd_heap_entry entry);

/* The earliest entry, or false when empty; ties in order of id. */
bool dd_heap_peek(const struct dd_heap *heap, struct dd_heap_entry *out_entry);
void dd_heap_pop(struct dd_heap *heap);
