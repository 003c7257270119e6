/* Memory. Two classes of allocation:
 *  - dd_alloc() and friends, for small objects bounded by limits.h: running out
 *    ends the process, since nothing sensible can be done without them;
 *  - dd_try_alloc(), for anything whose size a peer, a file or a configuration
 *    chose: NULL is an ordinary error.
 * All memory is released with dd_free(), which takes NULL.
 */
#pragma once

#include <stddef.h>

/* `size` bytes, zeroed. Never NULL. */
void *dd_alloc(size_t size);

/* `count` zeroed elements of `size` bytes. Never NULL; overflow ends the process. */
void *dd_alloc_array(size_t count, size_t size);

/* Grows or shrinks an array; new elements are not zeroed. Never NULL. */
void *dd_realloc_array(void *ptr, size_t count, size_t size);

/* `size` bytes, not zeroed, or NULL. */
void *dd_try_alloc(size_t size);

/* As realloc(), or NULL with `ptr` untouched. */
void *dd_try_realloc(void *ptr, size_t size);

void dd_free(void *ptr);
