/* Text that is a template, and text that is none: each gives what it means or an error that
 * names its place, whatever is in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "tests/unit/sam/project.h"

#define FUNCTION                                                                            \
    "{Type: 'AWS::Serverless::Function', Properties: {CodeUri: src, Handler: app.handler, " \
    "Runtime: python3.13}}"

static void test_bad_text_names_its_place(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"Resources: {A: ", "template.yaml:2:1: did not find"},
        {"Resources:\n  A: 'open", "template.yaml:2:"},
        {"Resources:\n\tA: b\n", "template.yaml:2:1: found character that cannot start"},
        {"Resources:\n  A: b\n C: d\n", "template.yaml:3:2: did not find expected key"},
        {"Resources: *none\n", "template.yaml:1:12: an alias of an anchor that has not ended"},
        {"Resources: &a {A: *a}\n", "template.yaml:1:19: an alias of an anchor that has not"},
        {"Resources: {[a]: b}\n", "template.yaml:1:13: a key that is no text"},
        {"Resources: {? {a: b} : c}\n", "template.yaml:1:15: a key that is no text"},
        {"Resources: \"a\\0b\"\n", "template.yaml:1:12: a text with a NUL in it"},
        {"Resources:\n  <<: a\n", "template.yaml:2:7: << merges a map"},
        {"Resources: !<tag:x> {A: b", "template.yaml:"},
        {"Resources: \"\\ud800\"\n", "template.yaml:1:15: found invalid Unicode"},
        {"Resources: \xff\xfe\n", "template.yaml: byte 11:"},
        {"%YAML 3.0\n---\na: b\n", "template.yaml:1:1: found incompatible YAML document"},
        {"", "no map of Resources"},
        {"# nothing\n", "no map of Resources"},
        {"---\n...\n", "no map of Resources"},
        {"text\n", "no map of Resources"},
        {"[a, b]\n", "no map of Resources"},
        {"Resources:\n", "no map of Resources"},
        {"Resources: [a]\n", "no map of Resources"},
        {"Resources: !Ref A\n", NULL}, /* a map of one resource that is none */
    };

    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        struct project *project = *state;
        const struct dd_sam *sam = project_read(project, cases[i].text);

        if (!cases[i].error) {
            assert_int_equal(project->rc, 0);
            assert_int_equal(sam->functions_len, 0);
        } else if (project->rc != DD_USAGE || !strstr(project->error.text, cases[i].error)) {
            fail_msg("%s: %d %s", cases[i].text, project->rc, project->error.text);
        }
    }
}

/* `text`, with `%` replaced by `inner` repeated. */
static void read_repeated(struct project *project, const char *before, const char *inner,
                          size_t times, const char *after)
{
    struct dd_buf text;

    dd_buf_init(&text, 2 * (size_t)DD_TEMPLATE_BYTES_MAX);
    dd_buf_append_cstr(&text, before);
    for (size_t i = 0; i < times; i++)
        dd_buf_append_cstr(&text, inner);
    dd_buf_append_cstr(&text, after);
    (void)project_read_buf(project, &text);
}

static void test_limits_are_errors(void **state)
{
    static const struct {
        const char *before, *inner;
        size_t times;
        const char *after, *error;
    } cases[] = {
        {"A: ", "[", DD_TEMPLATE_DEPTH_MAX, "", "too many lists and maps inside each other"},
        {"A: ", "{a: ", DD_TEMPLATE_DEPTH_MAX, "", "too many lists and maps inside each other"},
        {"A: ", "[", 100000, "", "too many lists and maps inside each other"},
        {"", "- ", 100000, "", "too many lists and maps inside each other"},
        {"A: [", "a,", DD_TEMPLATE_KEYS_MAX + 1, "]", "too many entries"},
        {"A:\n", "  a: b\n", DD_TEMPLATE_KEYS_MAX + 1, "", "too many entries"},
        {"A: \"", "x", DD_TEMPLATE_TEXT_MAX + 1, "\"\n", "this text is too long"},
        {"# ", "x", DD_TEMPLATE_BYTES_MAX, "\n", "larger than"},
        {"? ", "x", 2000, ": y\n", NULL}, /* whatever it is, it ends */
    };
    struct project *project = *state;

    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        read_repeated(project, cases[i].before, cases[i].inner, cases[i].times, cases[i].after);
        assert_int_equal(project->rc, DD_USAGE);
        if (cases[i].error && !strstr(project->error.text, cases[i].error))
            fail_msg("%zu: %s", i, project->error.text);
    }
}

/* Ten levels of ten aliases each: a list of 10^10 items, were they copied. */
static void test_an_alias_bomb_ends(void **state)
{
    static const char *const uses[] = {
        "Environment: {Variables: {V: !Join ['', *i]}}",
        "Environment: {Variables: {V: *i}}",
        "Environment: {Variables: *i}",
        "Layers: *i",
        "Timeout: *i",
    };
    struct project *project = *state;

    for (size_t i = 0; i < DD_COUNT(uses); i++) {
        char text[4096];
        size_t len = (size_t)snprintf(text, sizeof text, "x: &a [x, x, x, x, x]\n");

        for (int at = 'b'; at <= 'i'; at++)
            len += (size_t)snprintf(text + len, sizeof text - len,
                                    "y%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", at,
                                    at, at - 1, at - 1, at - 1, at - 1, at - 1, at - 1, at - 1,
                                    at - 1);
        snprintf(text + len, sizeof text - len,
                 "Resources:\n  F: {Type: 'AWS::Serverless::Function', Properties:\n"
                 "   {CodeUri: src, Handler: app.handler, Runtime: python3.13, %s}}\n",
                 uses[i]);
        (void)project_read(project, text);
        if (strstr(uses[i], "Variables: *i")) {
            assert_int_equal(project->rc, 0); /* a list is no map: nothing is worked out */
            assert_int_equal(project->sam.faults.len, 1);
        } else {
            assert_int_equal(project->rc, DD_USAGE);
            assert_non_null(strstr(project->error.text, "too large when its aliases"));
        }
    }
}

/* Texts that double: 2^40 bytes, were there no limit. */
static void test_doubling_texts_end(void **state)
{
    struct dd_buf text;
    struct project *project = *state;

    dd_buf_init(&text, 64 * 1024);
    dd_buf_append_cstr(&text, "x0: &x0 xxxxxxxxxx\n");
    for (int i = 1; i <= 40; i++)
        dd_buf_printf(&text, "x%d: &x%d !Join ['', [*x%d, *x%d]]\n", i, i, i - 1, i - 1);
    dd_buf_append_cstr(&text, "Resources:\n  F: {Type: 'AWS::Serverless::Function', "
                              "Properties: {CodeUri: src, Runtime: python3.13,\n"
                              "   Handler: app.handler, Description: *x40}}\n");
    (void)project_read_buf(project, &text);
    assert_int_equal(project->rc, DD_USAGE);
    assert_non_null(strstr(project->error.text, "too large"));
}

/* Each text is short enough, and all of them are too much. */
static void test_many_long_texts_end(void **state)
{
    struct dd_buf text;
    struct project *project = *state;

    dd_buf_init(&text, 2 * (size_t)DD_TEMPLATE_TEXT_MAX);
    dd_buf_append_cstr(&text, "x: &x \"");
    for (size_t i = 0; i < DD_TEMPLATE_TEXT_MAX; i++)
        dd_buf_append_byte(&text, 'x');
    dd_buf_append_cstr(&text, "\"\nResources: {F: {Type: 'AWS::Lambda::Function', Properties: "
                              "{Code: src, Environment: {Variables: {\n");
    for (size_t i = 0; i < DD_TEMPLATE_MEMORY_MAX / DD_TEMPLATE_TEXT_MAX; i++)
        dd_buf_printf(&text, "V%zu: {'Fn::Sub': *x},\n", i);
    dd_buf_append_cstr(&text, "}}}}}\n");
    (void)project_read_buf(project, &text);
    assert_int_equal(project->rc, DD_USAGE);
    assert_non_null(strstr(project->error.text, "too large"));
}

static void test_conditions_that_fan_out_end(void **state)
{
    struct dd_buf text;
    struct project *project = *state;

    dd_buf_init(&text, 64 * 1024);
    dd_buf_append_cstr(&text, "Conditions:\n  C0: !Equals [a, a]\n");
    for (int i = 1; i <= 60; i++)
        dd_buf_printf(&text, "  C%d: !And [!Condition C%d, !Condition C%d]\n", i, i - 1, i - 1);
    dd_buf_append_cstr(&text, "Resources:\n  F: {Condition: C60, Type: "
                              "'AWS::Serverless::Function', Properties: {CodeUri: src, "
                              "Runtime: python3.13, Handler: app.handler}}\n");
    (void)project_read_buf(project, &text);
    assert_int_equal(project->rc, 0);
    assert_int_equal(project->sam.functions_len, 1);
}

/* Nothing is built here, only looked at: 2^40 times. */
static void test_aliases_of_conditions_end(void **state)
{
    struct dd_buf text;
    struct project *project = *state;

    dd_buf_init(&text, 64 * 1024);
    dd_buf_append_cstr(&text, "x0: &x0 !Not [!Condition D]\n");
    for (int i = 1; i <= 40; i++)
        dd_buf_printf(&text, "x%d: &x%d !Or [*x%d, *x%d]\n", i, i, i - 1, i - 1);
    dd_buf_append_cstr(&text,
                       "Conditions: {C: *x40, D: !Equals [a, a]}\n"
                       "Resources: {F: {Condition: C, Type: 'AWS::Lambda::Function'}}\n");
    (void)project_read_buf(project, &text);
    assert_int_equal(project->rc, DD_USAGE);
    assert_non_null(strstr(project->error.text, "too large when its aliases"));
}

/* Aliases lie in each other far deeper than the text does. */
static void test_deep_aliases_end(void **state)
{
    static const char *const uses[] = {
        "Globals: {Function: {Environment: {Variables: *x60000}}}\n"
        "Resources: {F: {Type: 'AWS::Serverless::Function', Properties: {CodeUri: src,\n"
        "  Handler: app.handler, Runtime: python3.13, Environment: {Variables: *x60000}}}}\n",
        "Resources: {F: {Type: 'AWS::Serverless::Function', Properties: {CodeUri: src,\n"
        "  Handler: app.handler, Runtime: python3.13, Environment: {Variables: *x60000}}}}\n",
        "Conditions: {C: *x60000}\n"
        "Resources: {F: {Condition: C, Type: 'AWS::Lambda::Function'}}\n",
    };
    struct project *project = *state;

    for (size_t i = 0; i < DD_COUNT(uses); i++) {
        struct dd_buf text;

        dd_buf_init(&text, DD_TEMPLATE_BYTES_MAX);
        dd_buf_append_cstr(&text, "x0: &x0 {a: b}\n");
        for (int j = 1; j <= 60000; j++) {
            if (j % 1000 == 1)
                dd_buf_printf(&text, "y%d:\n", j);
            dd_buf_printf(&text, "  x%d: &x%d {a: *x%d}\n", j, j, j - 1);
        }
        dd_buf_append_cstr(&text, uses[i]);
        (void)project_read_buf(project, &text);
        assert_true(project->rc == 0 || project->rc == DD_USAGE);
    }
}

static void test_merge_keys_and_anchors(void **state)
{
    struct dd_sam *sam = project_read(
        *state, "Common: &common {CodeUri: src, Runtime: python3.13, Timeout: 5}\n"
                "More: &more {MemorySize: 512, Timeout: 6}\n"
                "Resources:\n"
                "  A:\n"
                "    Type: AWS::Serverless::Function\n"
                "    Properties: {Timeout: 7, <<: *common, Handler: &h app.handler}\n"
                "  B:\n"
                "    Type: AWS::Serverless::Function\n"
                "    Properties: {Handler: *h, <<: [*more, *common]}\n");

    assert_int_equal(sam->functions_len, 2);
    assert_int_equal(project_find(sam, "A")->timeout_s, 7);
    assert_int_equal(project_find(sam, "B")->timeout_s, 6);
    assert_int_equal(project_find(sam, "B")->memory_mb, 512);
}

static void test_json_is_read(void **state)
{
    const struct dd_sam *sam = project_read(
        *state, "{\n\t\"Resources\":{\"F\":{\"Type\":\"AWS::Serverless::Function\",\n"
                "\t\"Properties\":{\"CodeUri\":\".\\/src\",\"Handler\":\"app.handler\",\n"
                "\t\t\"Runtime\":\"python3.13\",\"Timeout\":9,\"Description\":\"\\u00e9\"}}}}");

    assert_int_equal(sam->functions_len, 1);
    assert_int_equal(sam->functions[0].timeout_s, 9);
    assert_string_equal(sam->functions[0].description, "\xc3\xa9");
}

/* Each place of a template with a value of each wrong kind: a fault, a note or nothing. */
static void test_wrong_types_everywhere(void **state)
{
    static const char *const values[] = {
        "''",         "text",          "-1",        "99999999999999",
        "[]",         "[[a], {b: c}]", "{}",        "{a: {b: [c]}}",
        "!Ref F",     "!Ref Nothing",  "!Sub []",   "!If [a]",
        "!GetAtt {}", "null",          "!Ref null", "true"};
    static const char *const places[] = {
        "Parameters: %s\nResources: {F: " FUNCTION "}\n",
        "Parameters: {P: %s}\nResources: {F: {Type: 'AWS::Lambda::Function', Properties: "
        "{Description: !Ref P}}}\n",
        "Mappings: %s\nConditions: %s\nResources: {F: " FUNCTION "}\n",
        "Conditions: {C: %s}\nResources: {F: {Condition: C, Type: "
        "'AWS::Serverless::Function', Properties: {}}}\n",
        "Globals: %s\nResources: {F: " FUNCTION "}\n",
        "Globals: {Function: %s}\nResources: {F: " FUNCTION "}\n",
        "Resources: {F: %s}\n",
        "Resources: {F: {Type: %s}}\n",
        "Resources: {F: {Type: 'AWS::Lambda::Function', Properties: %s, Metadata: %s}}\n",
        "Resources: {F: {Type: 'AWS::Lambda::Function', Properties: {Code: %s}}}\n",
        "Resources: {F: {Type: 'AWS::Lambda::Function', Properties: {Code: {S3Key: %s}}}}\n",
        "Resources: {F: " FUNCTION ", A: {Type: 'AWS::Lambda::Alias', Properties: %s}}\n",
        "Resources: {F: " FUNCTION ", A: {Type: 'AWS::Lambda::Alias', Properties: {Name: %s, "
        "FunctionName: F}}}\n",
        "Resources: {F: " FUNCTION ", A: {Type: 'AWS::Lambda::Alias', Properties: {Name: a, "
        "FunctionName: %s}}}\n",
    };
    static const char *const properties[] = {"CodeUri",       "Runtime",
                                             "Handler",       "FunctionName",
                                             "Timeout",       "MemorySize",
                                             "Description",   "Environment",
                                             "DurableConfig", "AutoPublishAlias",
                                             "Layers",        "LoggingConfig",
                                             "TenancyConfig", "ReservedConcurrentExecutions",
                                             "PackageType",   "InlineCode",
                                             "VpcConfig",     "ImageUri",
                                             "Unheard",       "<<"};
    struct project *project = *state;

    for (size_t i = 0; i < DD_COUNT(values); i++) {
        char text[2048], place[1024];

        for (size_t j = 0; j < DD_COUNT(places) + DD_COUNT(properties); j++) {
            if (j < DD_COUNT(places))
                snprintf(place, sizeof place, "%s", places[j]);
            else
                snprintf(
                    place, sizeof place,
                    "Resources: {F: {Type: 'AWS::Serverless::Function', Properties: "
                    "{CodeUri: src, Handler: app.handler, Runtime: python3.13, %s: %%s}}}\n",
                    properties[j - DD_COUNT(places)]);
            text[0] = '\0';
            for (const char *at = place, *mark; at; at = mark ? mark + 2 : NULL) {
                size_t len = strlen(text);

                mark = strstr(at, "%s");
                snprintf(text + len, sizeof text - len, "%.*s%s",
                         mark ? (int)(mark - at) : (int)strlen(at), at, mark ? values[i] : "");
            }
            (void)project_read(project, text);
            if (project->rc && project->rc != DD_USAGE)
                fail_msg("%s: %d %s", text, project->rc, project->error.text);
        }
    }
}

static void test_lines_stay_lines(void **state)
{
    struct project *project = *state;
    const struct dd_sam *sam = project_read(
        project, "Resources:\n  \"F\\n\\e[31mred\": {Type: "
                 "'AWS::Serverless::Function', Properties: {CodeUri: \"a\\nb\"}}\n");

    assert_int_equal(sam->faults.len, 1);
    assert_null(strpbrk(sam->faults.items[0].text, "\n\x1b"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bad_text_names_its_place, project_set_up,
                                        project_tear_down),
        cmocka_unit_test_setup_teardown(test_limits_are_errors, project_set_up,
                                        project_tear_down),
        cmocka_unit_test_setup_teardown(test_an_alias_bomb_ends, project_set_up,
                                        project_tear_down),
        cmocka_unit_test_setup_teardown(test_doubling_texts_end, project_set_up,
                                        project_tear_down),
        cmocka_unit_test_setup_teardown(test_many_long_texts_end, project_set_up,
                                        project_tear_down),
        cmocka_unit_test_setup_teardown(test_conditions_that_fan_out_end, project_set_up,
                                        project_tear_down),
        cmocka_unit_test_setup_teardown(test_aliases_of_conditions_end, project_set_up,
                                        project_tear_down),
        cmocka_unit_test_setup_teardown(test_deep_aliases_end, project_set_up,
                                        project_tear_down),
        cmocka_unit_test_setup_teardown(test_merge_keys_and_anchors, project_set_up,
                                        project_tear_down),
        cmocka_unit_test_setup_teardown(test_json_is_read, project_set_up, project_tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_types_everywhere, project_set_up,
                                        project_tear_down),
        cmocka_unit_test_setup_teardown(test_lines_stay_lines, project_set_up,
                                        project_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
