/* `durabled check`: opens a store without changing it and walks all of it. */
#include "app/check.h"

#include <stdio.h>

#include "engine/journal.h"
#include "io/store_lmdb.h"

static void report(void *user, const struct dd_error *finding)
{
    (void)user;
    printf("%s: %s\n", dd_error_name(finding->code), finding->text);
}

static void ignore_durable(void *user, int status, const struct dd_error *error)
{
    (void)user;
    (void)status;
    (void)error;
}

static int walk(struct dd_store *store, struct dd_error *error)
{
    struct dd_journal_config config = {
        .store = store, .on_durable = ignore_durable, .verify = true};
    static const uint8_t no_secret[32];
    struct dd_journal *journal;
    size_t findings;
    int rc = dd_journal_open(&config, no_secret, &journal, error);

    if (rc)
        return rc;
    findings = dd_journal_check(journal, report, NULL);
    dd_journal_close(journal);
    if (findings > 0)
        return dd_fail(error, DD_STORE_CORRUPT, "%zu findings", findings);
    return 0;
}

int dd_check(const struct dd_options *options, struct dd_error *error)
{
    struct dd_store_lmdb_options store_options = {
        .dir = options->data, .map_bytes = options->map_size, .readonly = true};
    struct dd_store *store;
    int rc = dd_store_lmdb_open(NULL, &store_options, &store, error);

    if (rc == 0) {
        rc = walk(store, error);
        dd_store_lmdb_close(store, NULL, NULL);
    }
    if (rc == 0)
        printf("%s: no damage found\n", options->data);
    else
        fprintf(stderr, "durabled: %s: %s\n", options->data, error->text);
    return rc;
}
