/* A user's project on disk; see project.h. */
#define _GNU_SOURCE
#include "tests/unit/sam/project.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

static void make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
}

static void write_mode(const struct project *project, const char *name, const char *text,
                       mode_t mode)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", project->directory, name);
    make_directories(path);
    if (path[strlen(path) - 1] == '/')
        return;
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

void project_write(struct project *project, const char *name, const char *text)
{
    write_mode(project, name, text, 0600);
}

void project_program(struct project *project, const char *name, const char *text)
{
    write_mode(project, name, text, 0700);
}

int project_set_up(void **state)
{
    struct project *project = dd_alloc(sizeof *project);

    snprintf(project->directory, sizeof project->directory, "/tmp/durabled-sam-XXXXXX");
    assert_non_null(mkdtemp(project->directory));
    snprintf(project->venv, sizeof project->venv, "%s/venv", project->directory);
    snprintf(project->path, sizeof project->path, "%s/bin", project->directory);
    project->config = (struct dd_sam_config){.directory = project->directory,
                                             .region = "eu-west-1",
                                             .account = "123456789012",
                                             .virtual_env = project->venv,
                                             .path = project->path};
    project_write(project, "bin/", NULL);
    project_write(project, "src/app.py", "def handler(event, context): return 1\n");
    project_program(project, "venv/bin/python", "#!/bin/sh\nexit 1\n");
    project_write(project, "venv/lib/python3.13/site-packages/awslambdaric/__main__.py", "");
    *state = project;
    return 0;
}

static int remove_entry(const char *path, const struct stat *stat_buf, int type,
                        struct FTW *walk)
{
    (void)stat_buf;
    (void)type;
    (void)walk;
    return remove(path);
}

int project_tear_down(void **state)
{
    struct project *project = *state;

    dd_sam_deinit(&project->sam);
    (void)nftw(project->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    dd_free(project);
    return 0;
}

struct dd_sam *project_read(struct project *project, const char *text)
{
    if (text)
        project_write(project, "template.yaml", text);
    dd_sam_deinit(&project->sam);
    project->error = (struct dd_error){0};
    project->rc = dd_sam_read(&project->config, &project->sam, &project->error);
    return &project->sam;
}

struct dd_sam *project_read_buf(struct project *project, struct dd_buf *text)
{
    struct dd_sam *sam;

    dd_buf_append_byte(text, '\0');
    assert_false(text->failed);
    sam = project_read(project, text->data);
    dd_buf_deinit(text);
    return sam;
}

struct dd_hosted *project_function(struct project *project, const char *properties)
{
    char *text = NULL;
    struct dd_sam *sam;

    assert_true(asprintf(&text,
                         "Resources:\n"
                         "  F:\n"
                         "    Type: AWS::Serverless::Function\n"
                         "    Properties:\n"
                         "      CodeUri: src\n"
                         "      Runtime: python3.13\n"
                         "      Handler: app.handler\n"
                         "%s",
                         properties) > 0);
    sam = project_read(project, text);
    dd_free(text);
    assert_int_equal(project->rc, 0);
    return sam->functions_len == 1 ? &sam->functions[0] : NULL;
}

const char *project_variable(const struct dd_hosted *hosted, const char *name)
{
    for (size_t i = 0; i < hosted->environment_len; i++)
        if (strcmp(hosted->environment[i].name, name) == 0)
            return hosted->environment[i].value;
    return NULL;
}

bool project_says(const struct dd_sam_lines *lines, const char *text)
{
    for (size_t i = 0; i < lines->len; i++)
        if (strstr(lines->items[i].text, text))
            return true;
    for (size_t i = 0; i < lines->len; i++)
        print_error("said: %s\n", lines->items[i].text);
    return false;
}

bool project_ignores(const struct dd_sam *sam, const char *text)
{
    for (size_t i = 0; sam->ignored && sam->ignored[i]; i++)
        if (strstr(sam->ignored[i], text))
            return true;
    return false;
}

struct dd_hosted *project_find(struct dd_sam *sam, const char *name)
{
    for (size_t i = 0; i < sam->functions_len; i++)
        if (strcmp(sam->functions[i].name, name) == 0)
            return &sam->functions[i];
    return NULL;
}
