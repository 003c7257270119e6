/* What process runs a function: which interpreter, what is missing, what layers add. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/sam/project.h"

/* The words of the command, with the project's directory as "$". */
static const char *command(const struct project *project, const struct dd_hosted *hosted)
{
    static char text[1024];
    size_t length = strlen(project->directory), len = 0;

    text[0] = '\0';
    for (size_t i = 0; hosted->command[i]; i++) {
        const char *word = hosted->command[i];
        bool ours = strncmp(word, project->directory, length) == 0;

        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s%s", i ? " " : "",
                                ours ? "$" : "", ours ? word + length : word);
    }
    return text;
}

static struct dd_hosted *with(struct project *project, const char *runtime, const char *handler)
{
    char text[256];

    snprintf(text, sizeof text, "      Runtime: %s\n      Handler: %s\n", runtime, handler);
    return project_function(project, text);
}

static void expect_command(struct project *project, const char *runtime, const char *handler,
                           const char *words)
{
    const struct dd_hosted *hosted = with(project, runtime, handler);

    if (!hosted)
        fail_msg("%s %s: %s", runtime, handler, project->sam.faults.items[0].text);
    else
        assert_string_equal(command(project, hosted), words);
}

static void expect_fault(struct project *project, const char *runtime, const char *handler,
                         const char *fault)
{
    assert_null(with(project, runtime, handler));
    assert_int_equal(project->sam.faults.len, 1);
    assert_true(project_says(&project->sam.faults, fault));
}

/* --- Python ------------------------------------------------------------------------------ */

static void test_the_virtual_environment_runs_its_version(void **state)
{
    struct project *project = *state;

    expect_command(project, "python3.13", "app.handler",
                   "$/venv/bin/python -m awslambdaric app.handler");
    assert_int_equal(project->sam.notes.len, 0);
}

static void test_another_version_runs_with_a_note(void **state)
{
    struct project *project = *state;

    expect_command(project, "python3.12", "app.handler",
                   "$/venv/bin/python -m awslambdaric app.handler");
    assert_true(
        project_says(&project->sam.notes, "F: Runtime python3.12 runs with Python 3.13 ("));
    assert_true(project_says(&project->sam.notes, "; put python3.12 on PATH"));
    /* On PATH, but without what runs handlers. */
    project_program(project, "bin/python3.12", "#!/bin/sh\necho v3.12 0 $0\n");
    expect_command(project, "python3.12", "app.handler",
                   "$/venv/bin/python -m awslambdaric app.handler");
    project_program(project, "bin/python3.12", "#!/bin/sh\necho v3.12 1 $0\n");
    expect_command(project, "python3.12", "app.handler",
                   "$/bin/python3.12 -m awslambdaric app.handler");
    assert_int_equal(project->sam.notes.len, 0);
}

static void test_without_a_virtual_environment(void **state)
{
    struct project *project = *state;

    project->config.virtual_env = NULL;
    expect_fault(project, "python3.13", "app.handler",
                 "F: no Python for Runtime python3.13; activate a virtual environment, or put "
                 "python3.13 on PATH");
    /* A version manager's, which does not run. */
    project_program(project, "bin/python3.13",
                    "#!/bin/sh\necho no such version >&2\nexit 127\n");
    expect_fault(project, "python3.13", "app.handler", "F: no Python for Runtime python3.13");
    project_program(project, "bin/python3", "#!/bin/sh\necho v3.11 1 $0\n");
    expect_command(project, "python3.13", "app.handler",
                   "$/bin/python3 -m awslambdaric app.handler");
    assert_true(
        project_says(&project->sam.notes, "F: Runtime python3.13 runs with Python 3.11"));
    /* A version manager's, which says what it runs. */
    project_program(project, "real/python3.13", "#!/bin/sh\nexit 1\n");
    project_program(project, "bin/python3.13",
                    "#!/bin/sh\necho v3.13 1 ${0%/bin/*}/real/python3.13\n");
    expect_command(project, "python3.13", "app.handler",
                   "$/real/python3.13 -m awslambdaric app.handler");
    assert_int_equal(project->sam.notes.len, 0);
    /* Not a Python 3 at all. */
    project_program(project, "bin/python3.13", "#!/bin/sh\nexit 1\n");
    project_program(project, "bin/python3", "#!/bin/sh\necho hello\n");
    expect_fault(project, "python3.13", "app.handler", "F: no Python for Runtime");
}

static void test_a_missing_awslambdaric(void **state)
{
    struct project *project = *state;
    char venv[128];

    snprintf(venv, sizeof venv, "%s/other", project->directory);
    project->config.virtual_env = venv;
    project_program(project, "other/bin/python", "#!/bin/sh\necho v3.13 0 $0\n");
    project_write(project, "other/lib/python3.13/site-packages/x/__init__.py", "");
    expect_fault(project, "python3.13", "app.handler",
                 "other/bin/python has no awslambdaric; run: pip install awslambdaric");
    /* Where `sam build` puts it, or a layer, it is found. */
    project_write(project, "src/awslambdaric/__main__.py", "");
    expect_command(project, "python3.13", "app.handler",
                   "$/other/bin/python -m awslambdaric app.handler");
    project->config.virtual_env = NULL;
    project_program(project, "bin/python3.13", "#!/bin/sh\necho v3.13 0 $0\n");
    expect_command(project, "python3.13", "app.handler",
                   "$/bin/python3.13 -m awslambdaric app.handler");
}

static void test_a_missing_awslambdaric_without_an_environment(void **state)
{
    struct project *project = *state;

    project->config.virtual_env = "";
    project_program(project, "bin/python3.13", "#!/bin/sh\necho v3.13 0 $0\n");
    expect_fault(project, "python3.13", "app.handler",
                 "activate a virtual environment and run: pip install awslambdaric");
}

static void test_python_handlers(void **state)
{
    static const char *const good[] = {"app.handler", "pkg.handler", "pkg.mod.handler",
                                       "pkg/mod.handler", "lib.handler"};
    static const char *const bad[] = {"gone.handler", "pkg.gone.handler", "app/handler.x"};
    static const char *const malformed[] = {"app", "app.", ".handler", "''"};
    struct project *project = *state;

    project_write(project, "src/pkg/__init__.py", "");
    project_write(project, "src/pkg/mod.py", "");
    project_write(project, "venv/lib/python3.13/site-packages/lib.py", "");
    for (size_t i = 0; i < DD_COUNT(good); i++)
        assert_non_null(with(project, "python3.13", good[i]));
    for (size_t i = 0; i < DD_COUNT(bad); i++)
        expect_fault(project, "python3.13", bad[i], ".py in ");
    for (size_t i = 0; i < DD_COUNT(malformed); i++)
        expect_fault(project, "python3.13", malformed[i],
                     "F: it has no Handler of the form app.handler; give it one");
    expect_fault(project, "python3.13", "gone.handler",
                 "F: Handler gone.handler: there is no gone.py in ");
}

/* --- Node.js ----------------------------------------------------------------------------- */

static void test_node(void **state)
{
    struct project *project = *state;

    expect_fault(project, "nodejs22.x", "index.handler",
                 "F: no Node.js for Runtime nodejs22.x; put node of version 22 on PATH");
    project_program(project, "bin/node", "#!/bin/sh\necho v22.4.1\n");
    expect_fault(project, "nodejs22.x", "index.handler",
                 "F: Handler index.handler: there is no index.js, .mjs or .cjs in ");
    project_write(project, "src/index.ts", "");
    expect_fault(project, "nodejs22.x", "index.handler", "is TypeScript; run `sam build`");
    project_write(project, "src/index.mjs", "");
    expect_fault(project, "nodejs22.x", "index.handler",
                 "has no aws-lambda-ric; run there: npm install aws-lambda-ric");
    project_write(project, "lib/node_modules/aws-lambda-ric/bin/index.mjs", "");
    expect_fault(project, "nodejs22.x", "index.handler",
                 "is installed without its native part; run: npm rebuild aws-lambda-ric");
    project_write(project, "lib/node_modules/aws-lambda-ric/dist/rapid-client.node", "");
    expect_command(project, "nodejs22.x", "index.handler",
                   "$/bin/node $/bin/../lib/node_modules/aws-lambda-ric/bin/index.mjs "
                   "index.handler");
    /* Nearer ones win. */
    project_write(project, "node_modules/aws-lambda-ric/bin/index.mjs", "");
    project_write(project, "node_modules/aws-lambda-ric/dist/rapid-client.node", "");
    expect_command(project, "nodejs22.x", "index.handler",
                   "$/bin/node $/node_modules/aws-lambda-ric/bin/index.mjs index.handler");
    project_write(project, "src/node_modules/aws-lambda-ric/bin/index.mjs", "");
    project_write(project, "src/node_modules/aws-lambda-ric/dist/rapid-client.node", "");
    expect_command(project, "nodejs22.x", "index.handler",
                   "$/bin/node $/src/node_modules/aws-lambda-ric/bin/index.mjs index.handler");
    assert_int_equal(project->sam.notes.len, 0);
    expect_command(project, "nodejs20.x", "index.handler",
                   "$/bin/node $/src/node_modules/aws-lambda-ric/bin/index.mjs index.handler");
    assert_true(
        project_says(&project->sam.notes, "F: Runtime nodejs20.x runs with Node.js 22 ("));
}

static void test_node_handlers(void **state)
{
    static const char *const good[] = {"index.handler", "dir/a.b.c", "common.handler",
                                       "folder.handler"};
    static const char *const bad[] = {"gone.handler", "dir/gone.handler"};
    struct project *project = *state;

    project_program(project, "bin/node", "#!/bin/sh\necho v22.4.1\n");
    project_write(project, "node_modules/aws-lambda-ric/bin/index.mjs", "");
    project_write(project, "node_modules/aws-lambda-ric/dist/rapid-client.node", "");
    project_write(project, "src/index.js", "");
    project_write(project, "src/dir/a.mjs", "");
    project_write(project, "src/common.cjs", "");
    project_write(project, "src/folder/index.js", "");
    for (size_t i = 0; i < DD_COUNT(good); i++)
        assert_non_null(with(project, "nodejs22.x", good[i]));
    for (size_t i = 0; i < DD_COUNT(bad); i++)
        expect_fault(project, "nodejs22.x", bad[i], ".js, .mjs or .cjs in ");
    expect_fault(project, "nodejs22.x", "index",
                 "F: it has no Handler of the form index.handler");
}

/* --- others ------------------------------------------------------------------------------ */

static void test_a_bootstrap(void **state)
{
    struct project *project = *state;

    expect_fault(project, "provided.al2023", "x",
                 "F: Runtime provided.al2023: there is no bootstrap in ");
    project_write(project, "src/bootstrap", "#!/bin/sh\n");
    expect_fault(project, "provided.al2023", "x",
                 "/src/bootstrap is not executable; run: chmod");
    project_program(project, "src/bootstrap", "#!/bin/sh\n");
    expect_command(project, "provided.al2023", "x", "$/src/bootstrap");
    expect_command(project, "provided", "x", "$/src/bootstrap");
}

/* Of the two machines that Lambda has, tests run on at most one. */
static void test_a_bootstrap_for_another_machine(void **state)
{
    static const unsigned char machines[] = {62, 183};
    struct project *project = *state;
    char path[128];
    int foreign = 0;

    project_program(project, "src/bootstrap", "");
    snprintf(path, sizeof path, "%s/src/bootstrap", project->directory);
    for (size_t i = 0; i < DD_COUNT(machines); i++) {
        unsigned char head[64] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
        FILE *file = fopen(path, "w");

        assert_non_null(file);
        head[18] = machines[i];
        assert_int_equal(fwrite(head, 1, sizeof head, file), sizeof head);
        assert_int_equal(fclose(file), 0);
        if (with(project, "provided.al2023", "x"))
            continue;
        foreign++;
        assert_true(project_says(&project->sam.faults, "is built for another machine"));
    }
    assert_true(foreign >= 1);
}

static void test_runtimes_that_are_not_hosted(void **state)
{
    static const char *const runtimes[] = {"java21", "dotnet8", "ruby3.4", "go1.x",
                                           "python", "nodejs",  "x"};
    struct project *project = *state;

    for (size_t i = 0; i < DD_COUNT(runtimes); i++) {
        char fault[128];

        snprintf(fault, sizeof fault,
                 "F: Runtime %s is not hosted; run it with --function F -- COMMAND",
                 runtimes[i]);
        expect_fault(project, runtimes[i], "app.handler", fault);
    }
}

/* --- layers ------------------------------------------------------------------------------ */

static struct dd_hosted *with_layers(struct project *project, const char *properties)
{
    char text[1024];
    struct dd_sam *sam;

    snprintf(text, sizeof text,
             "Resources:\n"
             "  A: {Type: 'AWS::Serverless::LayerVersion', Properties: {ContentUri: a}}\n"
             "  B: {Type: 'AWS::Serverless::LayerVersion', Properties: {ContentUri: b}}\n"
             "  F: {Type: 'AWS::Serverless::Function', Properties: {CodeUri: src,\n"
             "      Layers: [!Ref A, !Ref B], Handler: app.handler,\n"
             "      %s}}\n",
             properties);
    sam = project_read(project, text);
    if (sam->functions_len == 0)
        fail_msg("%s", sam->faults.items[0].text);
    return &sam->functions[0];
}

static void expect_path(const struct project *project, const struct dd_hosted *hosted,
                        const char *name, const char *first, const char *const *paths)
{
    char text[1024];
    size_t len = (size_t)snprintf(text, sizeof text, "%s", first);

    for (size_t i = 0; paths[i]; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s/%s", len ? ":" : "",
                                project->directory, paths[i]);
    assert_non_null(project_variable(hosted, name));
    assert_string_equal(project_variable(hosted, name), text);
}

static void test_layers_are_in_the_search_paths(void **state)
{
    struct project *project = *state;
    const struct dd_hosted *hosted;
    char path[512];

    project_write(project, "a/python/x.py", "");
    project_write(project, "a/python/lib/python3.13/site-packages/y.py", "");
    project_write(project, "a/python/lib/python3.12/site-packages/y.py", "");
    project_write(project, "b/python/x.py", "");
    project_write(project, "b/bin/tool", "");
    project_write(project, "a/bin/tool", "");
    project_write(project, "b/lib/x.so", "");
    hosted = with_layers(project, "Runtime: python3.13");
    expect_path(project, hosted, "PYTHONPATH", "",
                (const char *const[]){"b/python", "a/python",
                                      "a/python/lib/python3.13/site-packages", NULL});
    expect_path(project, hosted, "LD_LIBRARY_PATH", "", (const char *const[]){"b/lib", NULL});
    snprintf(path, sizeof path, "%s/b/bin:%s/a/bin:%s/bin", project->directory,
             project->directory, project->directory);
    assert_string_equal(project_variable(hosted, "PATH"), path);
    assert_null(project_variable(hosted, "NODE_PATH"));
    /* What the template says itself stays in front. */
    hosted = with_layers(project, "Runtime: python3.13, Environment: {Variables: {PYTHONPATH: "
                                  "/own}}");
    expect_path(project, hosted, "PYTHONPATH", "/own",
                (const char *const[]){"b/python", "a/python",
                                      "a/python/lib/python3.13/site-packages", NULL});
}

static void test_layers_of_node(void **state)
{
    struct project *project = *state;
    const struct dd_hosted *hosted;

    project_program(project, "bin/node", "#!/bin/sh\necho v22.4.1\n");
    project_write(project, "src/app.js", "");
    project_write(project, "a/nodejs/node_modules/aws-lambda-ric/bin/index.mjs", "");
    project_write(project, "a/nodejs/node_modules/aws-lambda-ric/dist/rapid-client.node", "");
    project_write(project, "b/nodejs/node22/node_modules/x/index.js", "");
    hosted = with_layers(project, "Runtime: nodejs22.x");
    expect_path(
        project, hosted, "NODE_PATH", "",
        (const char *const[]){"b/nodejs/node22/node_modules", "a/nodejs/node_modules", NULL});
    assert_string_equal(command(project, hosted),
                        "$/bin/node $/a/nodejs/node_modules/aws-lambda-ric/bin/index.mjs "
                        "app.handler");
}

static void test_handlers_and_bootstraps_in_layers(void **state)
{
    struct project *project = *state;

    project_write(project, "a/python/app.py", "");
    project_write(project, "a/python/wrap/handler.py", "");
    project_program(project, "b/bootstrap", "#!/bin/sh\n");
    assert_non_null(with_layers(project, "Runtime: python3.13, Handler: wrap.handler.handler"));
    assert_string_equal(command(project, with_layers(project, "Runtime: provided.al2023")),
                        "$/b/bootstrap");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, project_set_up, project_tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_the_virtual_environment_runs_its_version),
        TEST(test_another_version_runs_with_a_note),
        TEST(test_without_a_virtual_environment),
        TEST(test_a_missing_awslambdaric),
        TEST(test_a_missing_awslambdaric_without_an_environment),
        TEST(test_python_handlers),
        TEST(test_node),
        TEST(test_node_handlers),
        TEST(test_a_bootstrap),
        TEST(test_a_bootstrap_for_another_machine),
        TEST(test_runtimes_that_are_not_hosted),
        TEST(test_layers_are_in_the_search_paths),
        TEST(test_layers_of_node),
        TEST(test_handlers_and_bootstraps_in_layers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
