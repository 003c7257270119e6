/* What peers send to the whole engine: a script of world.h.
 *
 * After every step the engine's invariants hold; at the end `durabled check` finds nothing,
 * and a daemon that starts on what is left stands as well. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_world world;
    struct dd_store_mem *store;

    dd_assert(fuzz_world_open(&world, dd_store_mem_new()));
    fuzz_world_play(&world, dd_span_make((const char *)data, size));
    store = fuzz_world_close(&world);
    dd_assert(fuzz_findings(store) == 0);
    dd_assert(fuzz_world_open(&world, store));
    dd_store_mem_free(fuzz_world_close(&world));
    return 0;
}
