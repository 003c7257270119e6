/* Allocation; see alloc.h. The only file that calls malloc() and free(). */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void *dd_alloc(size_t size)
{
    return dd_alloc_array(1, size);
}

void *dd_alloc_array(size_t count, size_t size)
{
    void *ptr;

    dd_assert(size == 0 || count <= SIZE_MAX / size);
    /* Not calloc(): that of glibc passes by what the thread has freed just now. */
    ptr = dd_try_alloc(count * size);
    dd_assert(ptr);
    return memset(ptr, 0, count * size);
}

void *dd_realloc_array(void *ptr, size_t count, size_t size)
{
    void *grown;

    dd_assert(size > 0 && count <= SIZE_MAX / size);
    grown = realloc(ptr, count ? count * size : 1);
    dd_assert(grown);
    return grown;
}

void *dd_try_alloc(size_t size)
{
    return malloc(size ? size : 1);
}

void *dd_try_realloc(void *ptr, size_t size)
{
    return realloc(ptr, size ? size : 1);
}

void dd_free(void *ptr)
{
    free(ptr);
}
