/* The store port in memory: a sorted array for each table. */
#include "tests/lib/store_mem.h"

#include "base/alloc.h"
#include "base/limits.h"

static struct dd_store_mem *mem_of(struct dd_store *store)
{
    return dd_container_of(store, struct dd_store_mem, store);
}

static struct dd_span entry_key(const struct dd_store_mem_entry *entry)
{
    return dd_span_make(entry->data, entry->key_len);
}

static struct dd_span entry_value(const struct dd_store_mem_entry *entry)
{
    return dd_span_make(entry->data + entry->key_len, entry->value_len);
}

static int key_compare(struct dd_span a, struct dd_span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int diff = len ? memcmp(a.data, b.data, len) : 0;

    return diff ? diff : (a.len > b.len) - (a.len < b.len);
}

/* The first entry that is not below `key`. */
static size_t table_find(const struct dd_store_mem_table *table, struct dd_span key)
{
    size_t low = 0, high = table->len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (key_compare(entry_key(&table->entries[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool table_has(const struct dd_store_mem_table *table, size_t at, struct dd_span key)
{
    return at < table->len && key_compare(entry_key(&table->entries[at]), key) == 0;
}

static void table_delete(struct dd_store_mem_table *table, size_t at)
{
    dd_free(table->entries[at].data);
    table->len--;
    memmove(table->entries + at, table->entries + at + 1,
            (table->len - at) * sizeof(*table->entries));
}

static void table_put(struct dd_store_mem_table *table, struct dd_span key,
                      struct dd_span value)
{
    size_t at = table_find(table, key);
    struct dd_store_mem_entry *entry;

    if (table_has(table, at, key))
        table_delete(table, at);
    if (table->len == table->cap) {
        table->cap = table->cap ? table->cap * 2 : 16;
        table->entries = dd_realloc_array(table->entries, table->cap, sizeof(*table->entries));
    }
    entry = &table->entries[at];
    memmove(entry + 1, entry, (table->len - at) * sizeof(*entry));
    table->len++;
    /* Memory of exactly this size lets the sanitizers see a read beyond it. */
    entry->data = dd_alloc(key.len + value.len + 1);
    entry->key_len = key.len;
    entry->value_len = value.len;
    memcpy(entry->data, key.data, key.len);
    if (value.len)
        memcpy(entry->data + key.len, value.data, value.len);
}

/* --- the port ---------------------------------------------------------------------------- */

static void mem_commit(struct dd_store *store, const struct dd_batch *batch, dd_store_done done,
                       void *user)
{
    struct dd_store_mem *mem = mem_of(store);

    dd_assert(!mem->batch && !mem->scanning && batch->len > 0 && !batch->ops.failed);
    mem->batch = batch;
    mem->done = done;
    mem->user = user;
    mem->applied = false;
}

static int mem_scan(struct dd_store *store, enum dd_table table, struct dd_span from,
                    bool reverse, dd_store_visit visit, void *user, struct dd_error *error)
{
    struct dd_store_mem *mem = mem_of(store);
    const struct dd_store_mem_table *entries = &mem->tables[table];
    size_t at;

    (void)error;
    dd_assert(!mem->scanning);
    dd_assert(!from.data || (from.len > 0 && from.len <= DD_STORE_KEY_MAX));
    mem->scanning = true;
    mem->scans++;
    at = from.data ? table_find(entries, from) : reverse ? entries->len : 0;
    if (reverse) {
        if (from.data && table_has(entries, at, from))
            at++;
        while (at-- > 0 && visit(user, entry_key(&entries->entries[at]),
                                 entry_value(&entries->entries[at])))
            continue;
    } else {
        while (at < entries->len && visit(user, entry_key(&entries->entries[at]),
                                          entry_value(&entries->entries[at])))
            at++;
    }
    mem->scanning = false;
    return 0;
}

static void mem_usage(struct dd_store *store, struct dd_store_usage *out_usage)
{
    *out_usage = mem_of(store)->usage;
}

static const struct dd_store_ops mem_ops = {mem_commit, mem_scan, mem_usage};

/* --- life -------------------------------------------------------------------------------- */

struct dd_store_mem *dd_store_mem_new(void)
{
    struct dd_store_mem *mem = dd_alloc(sizeof(*mem));

    mem->store.ops = &mem_ops;
    mem->usage = (struct dd_store_usage){.used_bytes = 1 << 20,
                                         .max_bytes = 1 << 30,
                                         .disk_free_bytes = 1 << 30,
                                         .disk_bytes = 1 << 30};
    return mem;
}

void dd_store_mem_free(struct dd_store_mem *mem)
{
    for (int t = 0; t < DD_TABLES_END; t++) {
        for (size_t i = 0; i < mem->tables[t].len; i++)
            dd_free(mem->tables[t].entries[i].data);
        dd_free(mem->tables[t].entries);
    }
    dd_free(mem);
}

struct dd_store_mem *dd_store_mem_copy(const struct dd_store_mem *mem)
{
    struct dd_store_mem *copy = dd_store_mem_new();

    for (int t = 0; t < DD_TABLES_END; t++)
        for (size_t i = 0; i < mem->tables[t].len; i++)
            table_put(&copy->tables[t], entry_key(&mem->tables[t].entries[i]),
                      entry_value(&mem->tables[t].entries[i]));
    copy->usage = mem->usage;
    return copy;
}

/* --- steps ------------------------------------------------------------------------------- */

void dd_store_mem_apply(struct dd_store_mem *mem)
{
    struct dd_batch_op op;
    size_t at = 0;

    if (!mem->batch || mem->applied)
        return;
    mem->applied = true;
    while (dd_batch_next(mem->batch, &at, &op)) {
        struct dd_store_mem_table *table = &mem->tables[op.table];
        size_t found = table_find(table, op.key);

        /* As MDB_APPEND demands. */
        if (op.table == DD_TABLE_JOURNAL && op.value.data)
            dd_assert(found == table->len);
        if (op.value.data)
            table_put(table, op.key, op.value);
        else if (table_has(table, found, op.key))
            table_delete(table, found);
    }
}

/* Ends the commit in flight with `status`. */
static void finish(struct dd_store_mem *mem, int status, const char *text)
{
    dd_store_done done = mem->done;
    struct dd_error error;

    mem->batch = NULL;
    mem->done = NULL;
    if (status != 0)
        (void)dd_fail(&error, (enum dd_code)status, "%s", text);
    done(mem->user, status, status ? &error : NULL);
}

bool dd_store_mem_step(struct dd_store_mem *mem)
{
    enum dd_store_mem_fault fault = mem->fault;

    if (!mem->batch || mem->frozen)
        return false;
    if (mem->failed) {
        finish(mem, DD_STORE_FAILED, "the store has failed");
        return true;
    }
    if (!mem->fault_stays)
        mem->fault = DD_STORE_MEM_FINE;
    if (fault != DD_STORE_MEM_FINE)
        mem->faults++;
    if (fault == DD_STORE_MEM_FULL && !mem->applied) {
        finish(mem, DD_STORE_FULL, "no space left");
        return true;
    }
    if (fault == DD_STORE_MEM_FAIL || fault == DD_STORE_MEM_FAIL_LATE) {
        if (fault == DD_STORE_MEM_FAIL_LATE)
            dd_store_mem_apply(mem);
        mem->failed = true;
        finish(mem, DD_STORE_FAILED, "input/output error");
        return true;
    }
    dd_store_mem_apply(mem);
    mem->commits++;
    finish(mem, 0, NULL);
    return true;
}

void dd_store_mem_drain(struct dd_store_mem *mem)
{
    while (dd_store_mem_step(mem))
        continue;
}

void dd_store_mem_crash(struct dd_store_mem *mem)
{
    mem->batch = NULL;
    mem->done = NULL;
    mem->failed = false;
    mem->frozen = false;
    mem->fault = DD_STORE_MEM_FINE;
    mem->fault_stays = false;
}

/* --- damage ------------------------------------------------------------------------------ */

size_t dd_store_mem_count(const struct dd_store_mem *mem, enum dd_table table)
{
    return mem->tables[table].len;
}

struct dd_span dd_store_mem_key(const struct dd_store_mem *mem, enum dd_table table,
                                size_t index)
{
    return entry_key(&mem->tables[table].entries[index]);
}

struct dd_span dd_store_mem_value(const struct dd_store_mem *mem, enum dd_table table,
                                  size_t index)
{
    return entry_value(&mem->tables[table].entries[index]);
}

void dd_store_mem_change(struct dd_store_mem *mem, enum dd_table table, size_t index, size_t at,
                         uint8_t xor_with)
{
    struct dd_store_mem_entry *entry = &mem->tables[table].entries[index];

    dd_assert(at < entry->value_len);
    entry->data[entry->key_len + at] =
        (char)((uint8_t)entry->data[entry->key_len + at] ^ xor_with);
}

void dd_store_mem_delete(struct dd_store_mem *mem, enum dd_table table, size_t index)
{
    dd_assert(index < mem->tables[table].len);
    table_delete(&mem->tables[table], index);
}

void dd_store_mem_put(struct dd_store_mem *mem, enum dd_table table, struct dd_span key,
                      struct dd_span value)
{
    table_put(&mem->tables[table], key, value);
}
