/* Which template is read, in the order of the places, and a cloud assembly's stacks. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "tests/unit/sam/project.h"

/* A template of one function; `code` is relative to the template. */
static const char *one(const char *name, const char *code)
{
    static char text[512];

    snprintf(text, sizeof text,
             "{\"Resources\": {\"%s\": {\"Type\": \"AWS::Serverless::Function\", "
             "\"Properties\": {\"CodeUri\": \"%s\", \"Runtime\": \"python3.13\", "
             "\"Handler\": \"app.handler\"}}}}\n",
             name, code);
    return text;
}

static void test_places_in_order(void **state)
{
    static const struct {
        const char *file, *code;
    } places[] = {
        {"cdk.out/b.template.json", "../src"},
        {"samTemplate.yaml", "src"},
        {"template.json", "src"},
        {"template.yml", "src"},
        {"template.yaml", "src"},
        {".aws-sam/build/template.yaml", "../../src"},
    };
    struct project *project = *state;

    (void)project_read(project, NULL);
    assert_int_equal(project->rc, DD_NOT_FOUND);
    assert_non_null(
        strstr(project->error.text, "no .aws-sam/build/template.yaml, template.yaml"));
    assert_non_null(strstr(project->error.text, "--function NAME -- COMMAND"));
    project_write(project, "cdk.out/", NULL);
    (void)project_read(project, NULL);
    assert_int_equal(project->rc, DD_NOT_FOUND);
    for (size_t i = 0; i < DD_COUNT(places); i++) {
        char name[8];
        const struct dd_sam *sam;

        snprintf(name, sizeof name, "F%zu", i);
        project_write(project, places[i].file, one(name, places[i].code));
        sam = project_read(project, NULL);
        assert_int_equal(project->rc, 0);
        assert_int_equal(sam->functions_len, 1);
        assert_string_equal(sam->functions[0].name, name);
        assert_non_null(strstr(sam->templates[0], places[i].file));
        assert_null(sam->templates[1]);
    }
}

static void test_a_template_that_is_named_wins(void **state)
{
    struct project *project = *state;
    char path[128];
    const struct dd_sam *sam;

    project_write(project, "template.yaml", one("A", "src"));
    project_write(project, "sub/other.yaml", one("B", "../src"));
    snprintf(path, sizeof path, "%s/sub/other.yaml", project->directory);
    project->config.template_path = path;
    sam = project_read(project, NULL);
    assert_int_equal(sam->functions_len, 1);
    assert_string_equal(sam->functions[0].name, "B");
    snprintf(path, sizeof path, "%s/none.yaml", project->directory);
    (void)project_read(project, NULL);
    assert_int_equal(project->rc, DD_NOT_FOUND);
    assert_non_null(strstr(project->error.text, "none.yaml: No such file"));
    snprintf(path, sizeof path, "%s/sub", project->directory);
    (void)project_read(project, NULL);
    assert_int_equal(project->rc, DD_SYSTEM);
}

static void test_a_build_that_is_older_than_its_template(void **state)
{
    struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    struct project *project = *state;
    char path[128];

    project_write(project, "template.yaml", one("A", "src"));
    project_write(project, ".aws-sam/build/template.yaml", one("B", "../../src"));
    assert_int_equal(project_read(project, NULL)->notes.len, 0);
    snprintf(path, sizeof path, "%s/.aws-sam/build/template.yaml", project->directory);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_true(project_says(&project_read(project, NULL)->notes, "run: sam build"));
    assert_null(project->sam.notes.items[0].function);
}

static const char *stack(const char *name, const char *asset)
{
    static char text[1024];

    snprintf(text, sizeof text,
             "{\"Resources\": {\"%s\": {\"Type\": \"AWS::Lambda::Function\", \"Properties\": "
             "{\"Code\": {\"S3Bucket\": {\"Fn::Sub\": \"b-${AWS::AccountId}\"}, \"S3Key\": "
             "\"abc.zip\"}, \"Runtime\": \"python3.13\", \"Handler\": \"app.handler\", "
             "\"Layers\": [{\"Ref\": \"L\"}]}, \"Metadata\": {%s}},\n"
             "\"L\": {\"Type\": \"AWS::Lambda::LayerVersion\", \"Properties\": {\"Content\": "
             "{\"S3Key\": \"def.zip\"}}}}}",
             name, asset);
    return text;
}

static void test_a_cloud_assembly(void **state)
{
    struct project *project = *state;
    struct dd_sam *sam;

    project_write(project, "cdk.out/asset.abc/app.py", "");
    project_write(project, "cdk.out/asset.def/python/x.py", "");
    project_write(project, "cdk.out/inner/asset.abc/app.py", "");
    project_write(project, "cdk.out/One.template.json",
                  stack("One", "\"aws:asset:path\": \"asset.abc\""));
    project_write(project, "cdk.out/Two.template.json", stack("Two", ""));
    project_write(project, "cdk.out/Three.template.json", stack("Three", ""));
    project_write(project, "cdk.out/inner/Four.template.json", stack("Four", ""));
    /* Without a manifest: all of the directory. */
    sam = project_read(project, NULL);
    assert_int_equal(sam->functions_len, 3);
    project_write(project, "cdk.out/manifest.json",
                  "{\"artifacts\": {\n"
                  "\"One\": {\"type\": \"aws:cloudformation:stack\", \"properties\": "
                  "{\"templateFile\": \"One.template.json\"}},\n"
                  "\"Two\": {\"type\": \"aws:cloudformation:stack\", \"properties\": "
                  "{\"templateFile\": \"Two.template.json\"}},\n"
                  "\"In\": {\"type\": \"cdk:cloud-assembly\", \"properties\": "
                  "{\"directoryName\": \"inner\"}},\n"
                  "\"Tree\": {\"type\": \"cdk:tree\", \"properties\": {\"file\": \"t\"}}}}");
    project_write(project, "cdk.out/inner/manifest.json",
                  "{\"artifacts\": {\"Four\": {\"type\": \"aws:cloudformation:stack\", "
                  "\"properties\": {\"templateFile\": \"Four.template.json\"}}}}");
    sam = project_read(project, NULL);
    assert_int_equal(sam->faults.len, 0);
    assert_int_equal(sam->functions_len, 3);
    assert_non_null(project_find(sam, "One"));
    assert_non_null(project_find(sam, "Two"));
    assert_non_null(project_find(sam, "Four"));
    assert_non_null(strstr(project_find(sam, "Four")->directory, "/cdk.out/inner/asset.abc"));
    assert_non_null(strstr(project_find(sam, "Two")->layers[0], "/cdk.out/asset.def"));
    assert_null(sam->templates[3]);
}

static void test_bad_manifests(void **state)
{
    static const struct {
        const char *text;
        int rc;
    } cases[] = {
        {"{", DD_USAGE},
        {"{}", DD_NOT_FOUND},
        {"[]", DD_NOT_FOUND},
        {"{\"artifacts\": []}", DD_NOT_FOUND},
        {"{\"artifacts\": {\"a\": 1, \"b\": {\"type\": []}}}", DD_NOT_FOUND},
        {"{\"artifacts\": {\"a\": {\"type\": \"aws:cloudformation:stack\"}}}", DD_NOT_FOUND},
        {"{\"artifacts\": {\"a\": {\"type\": \"aws:cloudformation:stack\", \"properties\": "
         "{\"templateFile\": \"none\"}}}}",
         DD_NOT_FOUND},
        /* an assembly in itself */
        {"{\"artifacts\": {\"a\": {\"type\": \"cdk:cloud-assembly\", \"properties\": "
         "{\"directoryName\": \".\"}}, \"b\": {\"type\": \"cdk:cloud-assembly\", "
         "\"properties\": {\"directoryName\": \".\"}}}}",
         DD_NOT_FOUND},
    };
    struct project *project = *state;

    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        project_write(project, "cdk.out/manifest.json", cases[i].text);
        (void)project_read(project, NULL);
        assert_int_equal(project->rc, cases[i].rc);
    }
}

static void test_too_many_templates(void **state)
{
    struct project *project = *state;

    for (int i = 0; i <= DD_TEMPLATES_MAX; i++) {
        char name[64];

        snprintf(name, sizeof name, "cdk.out/%d.template.json", i);
        project_write(project, name, "{\"Resources\": {}}");
    }
    (void)project_read(project, NULL);
    assert_int_equal(project->rc, DD_USAGE);
    assert_non_null(strstr(project->error.text, "more than 100 templates"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, project_set_up, project_tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_places_in_order),
        TEST(test_a_template_that_is_named_wins),
        TEST(test_a_build_that_is_older_than_its_template),
        TEST(test_a_cloud_assembly),
        TEST(test_bad_manifests),
        TEST(test_too_many_templates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
