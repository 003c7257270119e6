/* The 4-ary heap; see heap.h. */
#include "base/heap.h"

#include "base/alloc.h"
#include "base/check.h"

#define ARITY 4
#define FIRST_CAP 64

void dd_heap_init(struct dd_heap *heap)
{
    *heap = (struct dd_heap){0};
}

void dd_heap_deinit(struct dd_heap *heap)
{
    dd_free(heap->entries);
    dd_heap_init(heap);
}

static bool before(const struct dd_heap_entry *a, const struct dd_heap_entry *b)
{
    if (a->when_ms != b->when_ms)
        return a->when_ms < b->when_ms;
    return dd_uuid_compare(a->id, b->id) < 0;
}

void dd_heap_push(struct dd_heap *heap, struct dd_heap_entry entry)
{
    size_t at = heap->len++;

    if (heap->len > heap->cap) {
        heap->cap = heap->cap ? 2 * heap->cap : FIRST_CAP;
        heap->entries = dd_realloc_array(heap->entries, heap->cap, sizeof *heap->entries);
    }
    while (at > 0 && before(&entry, &heap->entries[(at - 1) / ARITY])) {
        heap->entries[at] = heap->entries[(at - 1) / ARITY];
        at = (at - 1) / ARITY;
    }
    heap->entries[at] = entry;
}

bool dd_heap_peek(const struct dd_heap *heap, struct dd_heap_entry *out_entry)
{
    if (heap->len == 0)
        return false;
    *out_entry = heap->entries[0];
    return true;
}

/* The child of `at` that comes first, or `len` when it has none. */
static size_t first_child(const struct dd_heap *heap, size_t at)
{
    size_t best = ARITY * at + 1;

    for (size_t i = best + 1; i <= ARITY * at + ARITY && i < heap->len; i++) {
        if (before(&heap->entries[i], &heap->entries[best]))
            best = i;
    }
    return best;
}

void dd_heap_pop(struct dd_heap *heap)
{
    struct dd_heap_entry last;
    size_t at = 0;

    dd_assert(heap->len > 0);
    last = heap->entries[--heap->len];
    for (;;) {
        size_t child = first_child(heap, at);

        if (child >= heap->len || !before(&heap->entries[child], &last))
            break;
        heap->entries[at] = heap->entries[child];
        at = child;
    }
    heap->entries[at] = last;
}
