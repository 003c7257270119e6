/* Registered functions: few, so all of them are in memory. A registration is
 * stored as version u8, three i64, flags u8, and the checksum of these and the name.
 * Version 1 has no flags. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "engine/journal_priv.h"

#define FUNCTION_VERSION 2
#define FUNCTION_MEMBERS (1 + 3 * 8) /* of version 1; each later one adds a byte */
#define FUNCTION_BYTES (FUNCTION_MEMBERS + 1 + 8)
#define FLAG_PLAIN 1

/* Over the first `len` bytes of the value, and the name. */
static uint64_t function_checksum(const char *value, size_t len, struct dd_span name)
{
    char bytes[FUNCTION_BYTES + DD_FUNCTION_NAME_MAX];

    memcpy(bytes, value, len);
    memcpy(bytes + len, name.data, name.len);
    return dd_checksum64(dd_span_make(bytes, len + name.len));
}

/* Reads a stored registration but for its name; false when it is damaged. */
static bool function_decode(struct dd_span key, struct dd_span value, struct dd_function *out)
{
    size_t members = FUNCTION_MEMBERS;

    if (value.len == 0 || value.data[0] < 1 || value.data[0] > FUNCTION_VERSION ||
        key.len > DD_FUNCTION_NAME_MAX)
        return false;
    members += (size_t)value.data[0] - 1;
    if (value.len != members + 8 ||
        get_u64(value.data + members) != function_checksum(value.data, members, key))
        return false;
    out->timeout_s = (int64_t)get_u64(value.data + 1);
    out->execution_timeout_s = (int64_t)get_u64(value.data + 9);
    out->retention_s = (int64_t)get_u64(value.data + 17);
    out->plain = value.data[0] > 1 && (value.data[FUNCTION_MEMBERS] & FLAG_PLAIN);
    return true;
}

static void function_keep(struct dd_journal *journal, const struct dd_function *function)
{
    struct dd_function *kept = dd_map_get(&journal->functions, dd_text_span(function->name));

    if (!kept) {
        kept = dd_alloc(sizeof(*kept));
        kept->name = dd_text_ref(function->name);
        (void)dd_map_put(&journal->functions, dd_text_span(kept->name), kept);
    }
    kept->timeout_s = function->timeout_s;
    kept->execution_timeout_s = function->execution_timeout_s;
    kept->retention_s = function->retention_s;
    kept->plain = function->plain;
}

struct load {
    struct dd_journal *journal;
    struct dd_error *error;
    int rc;
};

static bool visit_function(void *user, struct dd_span key, struct dd_span value)
{
    struct load *load = user;
    struct dd_function function = {0};

    if (!function_decode(key, value, &function)) {
        load->rc = dd_fail(load->error, DD_STORE_CORRUPT,
                           "the registration of a function is damaged; run `durabled check`, "
                           "then restore the data directory from a backup");
        return load->journal->config.verify;
    }
    function.name = dd_text_new(key);
    function_keep(load->journal, &function);
    dd_text_unref(function.name);
    return true;
}

int functions_load(struct dd_journal *journal, struct dd_error *error)
{
    struct load load = {.journal = journal, .error = error};
    struct dd_store *store = journal->config.store;
    int rc = store->ops->scan(store, DD_TABLE_FUNCTIONS, DD_SPAN_NONE, false, visit_function,
                              &load, error);

    if (rc != 0)
        return rc;
    journal->functions_damaged = load.rc != 0;
    return journal->config.verify ? 0 : load.rc;
}

void functions_free(struct dd_journal *journal)
{
    struct dd_function *function;
    size_t at = 0;

    while ((function = dd_map_next(&journal->functions, &at)) != NULL) {
        dd_text_unref(function->name);
        dd_free(function);
    }
    dd_map_deinit(&journal->functions);
}

uint64_t dd_journal_register(struct dd_journal *journal, const struct dd_function *function)
{
    struct dd_batch mark = journal->pending.batch;
    struct dd_span name = dd_text_span(function->name);
    char value[FUNCTION_BYTES];

    dd_assert(name.len > 0 && name.len <= DD_FUNCTION_NAME_MAX);
    if (journal->failed)
        return 0;
    value[0] = FUNCTION_VERSION;
    put_u64(value + 1, (uint64_t)function->timeout_s);
    put_u64(value + 9, (uint64_t)function->execution_timeout_s);
    put_u64(value + 17, (uint64_t)function->retention_s);
    value[FUNCTION_MEMBERS] = function->plain ? FLAG_PLAIN : 0;
    put_u64(value + FUNCTION_MEMBERS + 1, function_checksum(value, FUNCTION_MEMBERS + 1, name));
    dd_batch_put(&journal->pending.batch, DD_TABLE_FUNCTIONS, name,
                 dd_span_make(value, sizeof(value)));
    if (journal->pending.batch.ops.failed) {
        dd_batch_rewind(&journal->pending.batch, &mark);
        return 0;
    }
    function_keep(journal, function);
    journal->pending.last = journal->next_position;
    return journal->next_position++;
}

const struct dd_function *dd_journal_function(struct dd_journal *journal, struct dd_span name)
{
    return dd_map_get(&journal->functions, name);
}

static int function_compare(const void *a, const void *b)
{
    const struct dd_function *const *x = a, *const *y = b;

    return strcmp((*x)->name->data, (*y)->name->data);
}

void dd_journal_functions(struct dd_journal *journal,
                          void (*visit)(void *user, const struct dd_function *function),
                          void *user)
{
    const struct dd_function **all;
    struct dd_function *function;
    size_t at = 0, len = 0;

    all = dd_alloc_array(journal->functions.len + 1, sizeof(const struct dd_function *));
    while ((function = dd_map_next(&journal->functions, &at)) != NULL)
        all[len++] = function;
    qsort(all, len, sizeof(const struct dd_function *), function_compare);
    for (size_t i = 0; i < len; i++)
        visit(user, all[i]);
    dd_free(all);
}
