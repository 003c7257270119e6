/* Rules between the updates of one checkpoint, their order, and sizes. */
#include <stdio.h>

#include "tests/unit/core/service_test.h"

#define TWICE "Cannot update the same operation twice in a single request."

/* Runs each batch against an execution that holds the CONTEXT `ctx` and the STEP
 * `old`, named and typed. NULL text: accepted. */
static void try_batches(const char *const (*rows)[2], size_t count)
{
    char command[512];

    for (size_t i = 0; i < count; i++) {
        struct story story;

        story_init(&story);
        tell(&story, "start|invoke|checkpoint CONTEXT START ctx sub=RunInChildContext ; "
                     "STEP START old name=n sub=Step parent=ctx");
        snprintf(command, sizeof(command), "checkpoint %s", rows[i][0]);
        if (rows[i][1])
            refused(&story, command, DD_INVALID_PARAMETER, rows[i][1]);
        else
            tell(&story, command);
        story_deinit(&story);
    }
}

static void execution_updates(void **state)
{
    static const char *const rows[][2] = {
        {"EXECUTION SUCCEED e ; EXECUTION SUCCEED f",
         "Cannot checkpoint multiple EXECUTION updates."},
        {"EXECUTION SUCCEED e ; STEP START s", "EXECUTION checkpoint must be the last update."},
        {"STEP START s ; STEP START s ; EXECUTION SUCCEED e ; STEP START t",
         "EXECUTION checkpoint must be the last update."},
        {"STEP START s ; EXECUTION SUCCEED e", NULL},
        {"EXECUTION SUCCEED old", NULL},
    };

    (void)state;
    try_batches(rows, DD_COUNT(rows));
}

static void the_same_operation_twice(void **state)
{
    static const char *const rows[][2] = {
        {"STEP START s ; STEP SUCCEED s", NULL},
        {"STEP START s ; STEP FAIL s error=E:", NULL},
        {"STEP START s ; STEP RETRY s delay=1", NULL},
        {"CONTEXT START c ; STEP START s ; CONTEXT SUCCEED c", NULL},
        {"STEP START s ; STEP START s", TWICE},
        {"STEP START s ; STEP SUCCEED s ; STEP SUCCEED s", TWICE},
        {"STEP SUCCEED s ; STEP START s", TWICE},
        {"STEP RETRY s delay=1 ; STEP SUCCEED s", TWICE},
        {"WAIT START w wait=1 ; WAIT CANCEL w", TWICE},
        {"STEP START s ; WAIT CANCEL s", TWICE},
        {"STEP START s ; CONTEXT SUCCEED s", "Inconsistent operation type."},
    };

    (void)state;
    try_batches(rows, DD_COUNT(rows));
}

static void parents(void **state)
{
    static const char *const rows[][2] = {
        {"STEP START s parent=ctx", NULL},
        {"CONTEXT START c ; STEP START s parent=c", NULL},
        {"STEP START s parent=none", "Invalid parent operation id."},
        {"STEP START s parent=old", "Invalid parent operation id."},
        {"STEP START s parent=c ; CONTEXT START c", "Invalid parent operation id."},
        {"CONTEXT START c parent=c", "Invalid parent operation id."},
        {"STEP START t ; STEP START s parent=t", "Invalid parent operation id."},
        {"CONTEXT SUCCEED ctx sub=RunInChildContext ; STEP START s parent=ctx", NULL},
    };

    (void)state;
    try_batches(rows, DD_COUNT(rows));
}

static void consistency(void **state)
{
    static const char *const rows[][2] = {
        {"STEP SUCCEED old name=n sub=Step parent=ctx", NULL},
        {"CONTEXT SUCCEED old name=n sub=Step parent=ctx", "Inconsistent operation type."},
        {"STEP SUCCEED old name=n sub=WaitForCondition parent=ctx",
         "Inconsistent operation subtype."},
        {"STEP SUCCEED old name=n parent=ctx", "Inconsistent operation subtype."},
        {"STEP SUCCEED old name=m sub=Step parent=ctx", "Inconsistent operation name."},
        {"STEP SUCCEED old sub=Step parent=ctx", "Inconsistent operation name."},
        {"STEP SUCCEED old name=n sub=Step", "Inconsistent parent operation id."},
        {"STEP START s name=a ; STEP SUCCEED s name=b", "Inconsistent operation name."},
        /* Identity is judged for all updates before any is judged for the rest. */
        {"STEP SUCCEED old ; STEP START s ; STEP START s", TWICE},
        {"STEP SUCCEED old ; STEP START s parent=none", "Invalid parent operation id."},
        {"STEP SUCCEED 018bcfe5-6800-7001-8000-000000000001", "Inconsistent operation type."},
    };

    (void)state;
    try_batches(rows, DD_COUNT(rows));
}

static void sizes(void **state)
{
    /* {"ErrorMessage":"..."} takes 19 bytes beside the message. */
    static const char *const rows[][2] = {
        {"STEP SUCCEED s payload=*1048576", NULL},
        {"STEP SUCCEED s payload=*1048577",
         "STEP output payload size must be less than or equal to 1048576 bytes."},
        {"CONTEXT SUCCEED c payload=*1048577",
         "CONTEXT output payload size must be less than or equal to 1048576 bytes."},
        {"STEP RETRY s delay=1 payload=*1048577",
         "STEP output payload size must be less than or equal to 1048576 bytes."},
        {"STEP FAIL s error=*32749", NULL},
        {"STEP FAIL s error=*32750", "Error object size must be less than 32768 bytes."},
        {"EXECUTION FAIL e error=*32750", "Error object size must be less than 32768 bytes."},
        {"EXECUTION SUCCEED e payload=*6291456", NULL},
        {"EXECUTION SUCCEED e payload=*6291457",
         "Execution output payload size must be less than or equal to 6291456 bytes."},
    };

    (void)state;
    try_batches(rows, DD_COUNT(rows));
}

static void a_refused_batch_changes_nothing(void **state)
{
    struct story story;

    (void)state;
    story_init(&story);
    tell(&story, "start|invoke");
    refused(&story, "checkpoint STEP START a ; WAIT START w wait=1 ; STEP SUCCEED b error=E:",
            DD_INVALID_PARAMETER, "Cannot provide an Error for SUCCEED action.");
    tell(&story, "checkpoint STEP START a ; WAIT START w wait=1 ; STEP SUCCEED b");
    story_deinit(&story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(execution_updates),
        cmocka_unit_test(the_same_operation_twice),
        cmocka_unit_test(parents),
        cmocka_unit_test(consistency),
        cmocka_unit_test(sizes),
        cmocka_unit_test(a_refused_batch_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
