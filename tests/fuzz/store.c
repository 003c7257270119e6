/* A store that was damaged, under the daemon that starts on it. The store is what a fixed
 * script left; the input is edits of five bytes each: what, table, entry, where, and with
 * which byte.
 *
 * The daemon starts or refuses; one that starts answers every question and can be stopped.
 * A changed byte of a record is found. */
#include <stdio.h>

#include "base/alloc.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/world.h"

#define EDIT_BYTES 5
#define EDITS_MAX 16

enum edit { EDIT_CHANGE, EDIT_CUT, EDIT_DELETE, EDIT_RENAME, EDITS_END };

static char *copy_of(struct dd_span span)
{
    char *copy = dd_alloc(span.len + 1);

    if (span.len)
        memcpy(copy, span.data, span.len);
    return copy;
}

/* The entry under a key with one byte changed, or with its value cut off. */
static void put_again(struct dd_store_mem *store, enum dd_table table, size_t entry,
                      size_t where, uint8_t with, bool rename)
{
    struct dd_span old_key = dd_store_mem_key(store, table, entry);
    struct dd_span old_value = dd_store_mem_value(store, table, entry);
    struct dd_span key = dd_span_make(copy_of(old_key), old_key.len);
    struct dd_span value = dd_span_make(copy_of(old_value), old_value.len);

    dd_assert(key.len > 0);
    if (rename) {
        dd_store_mem_delete(store, table, entry);
        ((char *)(uintptr_t)key.data)[where % key.len] ^= (char)with;
    } else {
        value.len = value.len ? where % value.len : 0;
    }
    dd_store_mem_put(store, table, key, value);
    dd_free((void *)(uintptr_t)key.data);
    dd_free((void *)(uintptr_t)value.data);
}

/* True when a byte of a record is not as it was. */
static bool edit(struct dd_store_mem *store, const uint8_t *bytes)
{
    enum dd_table table = (enum dd_table)(1 + bytes[1] % (DD_TABLES_END - 1));
    size_t count = dd_store_mem_count(store, table), entry, where = bytes[3];
    uint8_t with = bytes[4] ? bytes[4] : 1;
    struct dd_span value;

    if (count == 0)
        return false;
    entry = bytes[2] % count;
    value = dd_store_mem_value(store, table, entry);
    switch ((enum edit)(bytes[0] % EDITS_END)) {
    case EDIT_CHANGE:
        if (value.len == 0)
            return false;
        dd_store_mem_change(store, table, entry, where % value.len, with);
        return table == DD_TABLE_JOURNAL;
    case EDIT_CUT:
        put_again(store, table, entry, where, with, false);
        return false;
    case EDIT_DELETE:
        dd_store_mem_delete(store, table, entry);
        return false;
    case EDIT_RENAME:
        put_again(store, table, entry, where, with, true);
        return false;
    case EDITS_END:
        break;
    }
    dd_unreachable();
}

/* Plays a script of the corpus of peer.c. */
static void play_file(struct fuzz_world *world, const char *path)
{
    static char script[16384];
    FILE *file = fopen(path, "rb");
    size_t len;

    dd_assert(file);
    len = fread(script, 1, sizeof script, file);
    dd_assert(len > 0 && feof(file));
    fclose(file);
    fuzz_world_play(world, dd_span_make(script, len));
}

/* What the story leaves: some of it folded into the tables, some only in the journal. */
static struct dd_store_mem *story_store(void)
{
    static struct dd_store_mem *left;
    struct fuzz_world world;

    if (!left) {
        dd_assert(fuzz_world_open(&world, dd_store_mem_new()));
        play_file(&world, DD_FUZZ_STORY);
        left = dd_store_mem_copy(world.store);
        dd_store_mem_free(fuzz_world_close(&world));
        dd_assert(fuzz_findings(left) == 0);
    }
    return dd_store_mem_copy(left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dd_store_mem *store = story_store();
    struct fuzz_world world;
    bool record_changed = false;

    for (size_t i = 0; i < EDITS_MAX && size >= (i + 1) * EDIT_BYTES; i++)
        record_changed = edit(store, data + i * EDIT_BYTES);
    if (fuzz_findings(store) == 0)
        dd_assert(!record_changed || size >= 2 * EDIT_BYTES);
    if (fuzz_world_open(&world, store))
        play_file(&world, DD_FUZZ_QUESTIONS);
    store = fuzz_world_close(&world);
    if (store)
        dd_store_mem_free(store);
    return 0;
}
