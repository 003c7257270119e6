/* Every action in every status of every type, and each refusal's words. */
#include <stdio.h>

#include "tests/unit/core/service_test.h"

/* How the operation `x` gets into a status. */
static const struct setup {
    const char *type, *status, *commands;
} setups[] = {
    {"CONTEXT", "NONE", "standing"},
    {"CONTEXT", "STARTED", "checkpoint CONTEXT START x"},
    {"CONTEXT", "SUCCEEDED", "checkpoint CONTEXT START x ; CONTEXT SUCCEED x"},
    {"CONTEXT", "FAILED", "checkpoint CONTEXT FAIL x"},
    {"STEP", "NONE", "standing"},
    {"STEP", "STARTED", "checkpoint STEP START x"},
    {"STEP", "PENDING", "checkpoint STEP START x ; STEP RETRY x delay=1"},
    {"STEP", "READY", "checkpoint STEP RETRY x delay=1|at 1|due"},
    {"STEP", "SUCCEEDED", "checkpoint STEP START x ; STEP SUCCEED x"},
    {"STEP", "FAILED", "checkpoint STEP START x|checkpoint STEP FAIL x"},
    {"WAIT", "NONE", "standing"},
    {"WAIT", "STARTED", "checkpoint WAIT START x wait=1"},
    {"WAIT", "SUCCEEDED", "checkpoint WAIT START x wait=1|at 1|due"},
    {"WAIT", "CANCELLED", "checkpoint WAIT START x wait=1|checkpoint WAIT CANCEL x"},
    {"CALLBACK", "NONE", "standing"},
    {"CALLBACK", "STARTED", "checkpoint CALLBACK START x"},
    {"CALLBACK", "SUCCEEDED", "checkpoint CALLBACK START x|callback succeed x"},
    {"CALLBACK", "FAILED", "checkpoint CALLBACK START x|callback fail x"},
    {"CALLBACK", "TIMED_OUT", "checkpoint CALLBACK START x timeout=1|at 1|due"},
    {"CHAINED_INVOKE", "NONE", "standing"},
    {"CHAINED_INVOKE", "STARTED", "checkpoint CHAINED_INVOKE START x function=f"},
    {"CHAINED_INVOKE", "SUCCEEDED",
     "checkpoint CHAINED_INVOKE START x function=f|chained x SUCCEEDED"},
    {"CHAINED_INVOKE", "FAILED", "checkpoint CHAINED_INVOKE START x function=missing"},
    {"CHAINED_INVOKE", "TIMED_OUT",
     "checkpoint CHAINED_INVOKE START x function=f|chained x TIMED_OUT"},
    {"CHAINED_INVOKE", "STOPPED",
     "checkpoint CHAINED_INVOKE START x function=f|chained x STOPPED"},
};

static const struct action {
    const char *type, *action, *options;
    const char *from;    /* the statuses that it may follow */
    const char *refusal; /* in any other */
} actions[] = {
    {"CONTEXT", "START", "", "NONE", "Cannot start a CONTEXT that already exist."},
    {"CONTEXT", "SUCCEED", "payload=1", "NONE STARTED",
     "Invalid current CONTEXT state to close."},
    {"CONTEXT", "FAIL", "error=E:", "NONE STARTED", "Invalid current CONTEXT state to close."},
    {"CONTEXT", "RETRY", "", "", "Invalid action for the given operation type."},
    {"CONTEXT", "CANCEL", "", "", "Invalid action for the given operation type."},
    {"STEP", "START", "", "NONE READY", "Invalid current STEP state to start."},
    {"STEP", "SUCCEED", "", "NONE STARTED READY", "Invalid current STEP state to close."},
    {"STEP", "FAIL", "", "NONE STARTED READY", "Invalid current STEP state to close."},
    {"STEP", "RETRY", "delay=1", "NONE STARTED READY",
     "Invalid current STEP state to re-attempt."},
    {"STEP", "CANCEL", "", "", "Invalid action for the given operation type."},
    {"WAIT", "START", "wait=1", "NONE", "Cannot start a WAIT that already exist."},
    {"WAIT", "CANCEL", "", "STARTED",
     "Cannot cancel a WAIT that does not exist or has already completed."},
    {"WAIT", "SUCCEED", "", "", "Invalid action for the given operation type."},
    {"WAIT", "FAIL", "", "", "Invalid action for the given operation type."},
    {"WAIT", "RETRY", "delay=1", "", "Invalid action for the given operation type."},
    {"CALLBACK", "START", "", "NONE", "Cannot start a CALLBACK that already exist."},
    {"CALLBACK", "SUCCEED", "", "", "Invalid action for the given operation type."},
    {"CALLBACK", "FAIL", "", "", "Invalid action for the given operation type."},
    {"CALLBACK", "CANCEL", "", "", "Invalid action for the given operation type."},
    {"CHAINED_INVOKE", "START", "function=f", "NONE",
     "Cannot start a CHAINED_INVOKE that already exist."},
    {"CHAINED_INVOKE", "SUCCEED", "", "", "Invalid action for the given operation type."},
    {"CHAINED_INVOKE", "CANCEL", "", "", "Invalid action for the given operation type."},
};

static void try_action(const struct setup *setup, const struct action *action)
{
    struct story story;
    char command[128];

    snprintf(command, sizeof(command), "checkpoint %s %s x %s", action->type, action->action,
             action->options);
    story_init(&story);
    tell(&story, "start|invoke");
    tell(&story, setup->commands);
    if (strstr(action->from, setup->status))
        tell(&story, command);
    else
        refused(&story, command, DD_INVALID_PARAMETER, action->refusal);
    story_deinit(&story);
}

static void every_action_in_every_status(void **state)
{
    size_t tried = 0;

    (void)state;
    for (size_t i = 0; i < DD_COUNT(setups); i++) {
        for (size_t j = 0; j < DD_COUNT(actions); j++) {
            if (strcmp(setups[i].type, actions[j].type) == 0) {
                try_action(&setups[i], &actions[j]);
                tried++;
            }
        }
    }
    assert_int_equal(tried, 4 * 5 + 6 * 5 + 4 * 5 + 5 * 4 + 6 * 3);
}

static void options_and_types_are_refused(void **state)
{
    static const struct {
        const char *updates, *text;
    } rows[] = {
        {"CONTEXT SUCCEED x error=E:", "Cannot provide an Error for SUCCEED action."},
        {"CONTEXT FAIL x payload=1", "Cannot provide a Payload for FAIL action."},
        {"STEP SUCCEED x error=E:", "Cannot provide an Error for SUCCEED action."},
        {"STEP FAIL x payload=1", "Cannot provide a Payload for FAIL action."},
        {"STEP RETRY x", "Invalid StepOptions for the given action."},
        {"STEP RETRY x delay=0", "Invalid StepOptions for the given action."},
        {"STEP START x delay=1", "Invalid StepOptions for the given action."},
        {"STEP SUCCEED x delay=1", "Invalid StepOptions for the given action."},
        {"STEP FAIL x delay=1", "Invalid StepOptions for the given action."},
        {"STEP RETRY x delay=1 payload=1 error=E:",
         "Cannot provide both error and payload to RETRY a STEP."},
        {"WAIT START x", "Update for WAIT operation requires WaitOptions."},
        {"EXECUTION START x", "Invalid EXECUTION action."},
        {"EXECUTION RETRY x", "Invalid EXECUTION action."},
        {"EXECUTION SUCCEED x error=E:", "Cannot provide an Error for SUCCEED action."},
        {"EXECUTION FAIL x payload=1", "Cannot provide a Payload for FAIL action."},
        {"CALLBACK START x payload=1",
         "Cannot provide a Payload or an Error to START a CALLBACK."},
        {"CHAINED_INVOKE START x",
         "Update for CHAINED_INVOKE operation requires ChainedInvokeOptions."},
        {"GATE START x", "Unknown operation type."},
        {"STEP OPEN x", "Invalid action for the given operation type."},
    };
    struct story story;
    char command[128];

    (void)state;
    story_init(&story);
    tell(&story, "start|invoke");
    for (size_t i = 0; i < DD_COUNT(rows); i++) {
        snprintf(command, sizeof(command), "checkpoint %s", rows[i].updates);
        refused(&story, command, DD_INVALID_PARAMETER, rows[i].text);
    }
    story_deinit(&story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_action_in_every_status),
        cmocka_unit_test(options_and_types_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
