/* What the service model demands of single members. */
#include "tests/unit/core/service_test.h"

#define ONE "1 validation error detected: "
#define FAILED " failed to satisfy constraint: Member must "
#define TEN "aaaaaaaaaa"

static void names_and_functions(void **state)
{
    struct story story;

    (void)state;
    story_init(&story);
    refused(&story, "start name=a/b", DD_VALIDATION,
            ONE "Value 'a/b' at 'durableExecutionName'" FAILED
                "satisfy regular expression pattern: [a-zA-Z0-9-_]+");
    refused(&story, "start name=", DD_VALIDATION,
            ONE "Value '' at 'durableExecutionName'" FAILED
                "have length greater than or equal to 1");
    refused(&story, "start name=" TEN TEN TEN TEN TEN TEN "aaaab", DD_VALIDATION,
            ONE "Value '" TEN TEN TEN TEN "' at 'durableExecutionName'" FAILED
                "have length less than or equal to 64");
    refused(&story, "start function=f:1", DD_VALIDATION,
            ONE "Value 'f:1' at 'functionName'" FAILED
                "satisfy regular expression pattern: [a-zA-Z0-9-_]+");
    refused(&story, "start timeout=31622401", DD_VALIDATION,
            ONE "Value '31622401' at 'durableConfig.executionTimeout'" FAILED
                "have value less than or equal to 31622400");
    refused(&story, "start timeout=-1", DD_VALIDATION,
            ONE "Value '-1' at 'durableConfig.executionTimeout'" FAILED
                "have value greater than or equal to 1");
    refused(&story, "start input=*6291457", DD_REQUEST_TOO_LARGE,
            "Request must be smaller than 6291456 bytes: the input has 6291457");
    tell(&story, "start input=*6291456 name=" TEN TEN TEN TEN TEN TEN "a-_9");
    story_deinit(&story);
}

static void members_of_updates(void **state)
{
    struct story story;

    (void)state;
    story_init(&story);
    tell(&story, "start|invoke");
    refused(&story, "checkpoint STEP START -", DD_VALIDATION,
            ONE "Value null at 'updates.1.member.id'" FAILED "not be null");
    refused(&story, "checkpoint STEP START s ; STEP START a.b", DD_VALIDATION,
            ONE "Value 'a.b' at 'updates.2.member.id'" FAILED
                "satisfy regular expression pattern: [a-zA-Z0-9-_]+");
    refused(&story, "checkpoint STEP START s name=*257", DD_VALIDATION,
            ONE
            "Value 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' at 'updates.1.member.name'" FAILED
            "have length less than or equal to 256");
    refused(&story, "checkpoint STEP START s name=caf\xc3\xa9", DD_VALIDATION,
            ONE "Value 'caf?\?' at 'updates.1.member.name'" FAILED
                "satisfy regular expression pattern: [\\x20-\\x7E]+");
    refused(&story, "checkpoint WAIT START w wait=0", DD_VALIDATION,
            ONE "Value '0' at 'updates.1.member.waitOptions.waitSeconds'" FAILED
                "have value greater than or equal to 1");
    refused(&story, "checkpoint WAIT START w wait=31622401", DD_VALIDATION,
            ONE "Value '31622401' at 'updates.1.member.waitOptions.waitSeconds'" FAILED
                "have value less than or equal to 31622400");
    refused(&story, "checkpoint STEP RETRY s delay=31622401", DD_VALIDATION,
            ONE
            "Value '31622401' at 'updates.1.member.stepOptions.nextAttemptDelaySeconds'" FAILED
            "have value less than or equal to 31622400");
    tell(&story, "checkpoint WAIT START w wait=31622400 ; STEP RETRY s delay=31622400");
    story_deinit(&story);
}

static void violations_are_told_together(void **state)
{
    struct story story;

    (void)state;
    story_init(&story);
    tell(&story, "start|invoke");
    refused(&story, "checkpoint WAIT START w= wait=0", DD_VALIDATION,
            "2 validation errors detected: Value 'w=' at 'updates.1.member.id'" FAILED
            "satisfy regular expression pattern: [a-zA-Z0-9-_]+; Value '0' at "
            "'updates.1.member.waitOptions.waitSeconds'" FAILED
            "have value greater than or equal to 1");
    story_deinit(&story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_functions),
        cmocka_unit_test(members_of_updates),
        cmocka_unit_test(violations_are_told_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
