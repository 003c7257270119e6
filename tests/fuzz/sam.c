/* A template in a project whose directories "src" and "layer" are there, with a virtual
 * environment, Node.js on no PATH, and a bootstrap.
 *
 * It is read, or refused with a text. Each line about it is one line of UTF-8; each function
 * has what a host needs, with numbers in Lambda's ranges. Read twice, it gives the same. */
#define _GNU_SOURCE
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/utf8.h"
#include "sam/sam.h"
#include "tests/fuzz/fuzz.h"

static char root[64], path[128];

static int remove_entry(const char *name, const struct stat *stat_buf, int type,
                        struct FTW *walk)
{
    (void)stat_buf;
    (void)type;
    (void)walk;
    return remove(name);
}

static void remove_root(void)
{
    (void)nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *name, const void *data, size_t size, mode_t mode)
{
    char file[256];
    FILE *stream;

    snprintf(file, sizeof file, "%s/%s", root, name);
    for (char *slash = strchr(file + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        dd_assert(mkdir(file, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    stream = fopen(file, "wb");
    dd_assert(stream);
    dd_assert(fwrite(data, 1, size, stream) == size);
    dd_assert(fclose(stream) == 0);
    dd_assert(chmod(file, mode) == 0);
}

static void make_project(void)
{
    snprintf(root, sizeof root, "/tmp/durabled-fuzz-sam-XXXXXX");
    dd_assert(mkdtemp(root));
    dd_assert(atexit(remove_root) == 0);
    snprintf(path, sizeof path, "%s/template.yaml", root);
    put("src/app.py", "", 0, 0600);
    put("src/bootstrap", "", 0, 0700);
    put("layer/python/lib/python3.13/site-packages/x.py", "", 0, 0600);
    put("layer/bin/tool", "", 0, 0700);
    put("venv/bin/python", "", 0, 0700);
    put("venv/lib/python3.13/site-packages/awslambdaric/__main__.py", "", 0, 0600);
}

static void check_line(const char *text)
{
    dd_assert(text && *text && dd_utf8_valid(dd_span_cstr(text)));
    for (const char *at = text; *at; at++)
        dd_assert((unsigned char)*at >= ' ');
}

static void check_lines(const struct dd_sam_lines *lines)
{
    dd_assert(lines->len <= DD_TEMPLATE_LINES_MAX);
    for (size_t i = 0; i < lines->len; i++)
        check_line(lines->items[i].text);
}

static void check_texts(char *const *texts)
{
    for (size_t i = 0; texts && texts[i]; i++)
        dd_assert(*texts[i]);
}

static void check_function(const struct dd_hosted *hosted)
{
    size_t len = strlen(hosted->name);

    dd_assert(len > 0 && len <= DD_FUNCTION_NAME_MAX);
    dd_assert(hosted->runtime && hosted->directory[0] == '/');
    dd_assert(hosted->command && hosted->command[0] && hosted->command[0][0] == '/');
    check_texts(hosted->layers);
    check_texts(hosted->aliases);
    for (size_t i = 0; i < hosted->environment_len; i++) {
        const struct dd_variable *variable = &hosted->environment[i];

        dd_assert(*variable->name && !strchr(variable->name, '=') && variable->value);
    }
    dd_assert(hosted->timeout_s >= 1 && hosted->timeout_s <= DD_HOSTED_TIMEOUT_S_MAX);
    dd_assert(hosted->memory_mb >= DD_HOSTED_MEMORY_MB_MIN &&
              hosted->memory_mb <= DD_HOSTED_MEMORY_MB_MAX);
    dd_assert(hosted->processes >= 1 && hosted->processes <= DD_HOSTED_PROCESSES_MAX);
    if (!hosted->durable)
        return;
    dd_assert(hosted->execution_timeout_s >= 1 &&
              hosted->execution_timeout_s <= DD_SECONDS_MAX);
    dd_assert(hosted->retention_days >= 1 && hosted->retention_days <= DD_RETENTION_DAYS_MAX);
}

static void check(const struct dd_sam *sam)
{
    check_lines(&sam->faults);
    check_lines(&sam->notes);
    for (size_t i = 0; sam->ignored && sam->ignored[i]; i++)
        check_line(sam->ignored[i]);
    for (size_t i = 0; i < sam->functions_len; i++) {
        check_function(&sam->functions[i]);
        for (size_t j = 0; j < i; j++)
            dd_assert(strcmp(sam->functions[i].name, sam->functions[j].name) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const parameters[] = {"Given=g", NULL};
    char environment[128];
    struct dd_sam_config config = {.directory = root,
                                   .template_path = path,
                                   .region = "us-east-1",
                                   .account = "000000000000",
                                   .parameters = parameters,
                                   .virtual_env = environment};
    struct dd_error error = {0}, again_error = {0};
    struct dd_sam sam = {0}, again = {0};
    int rc;

    if (!*root)
        make_project();
    snprintf(environment, sizeof environment, "%s/venv", root);
    put("template.yaml", data, size, 0600);
    rc = dd_sam_read(&config, &sam, &error);
    dd_assert(rc <= 0);
    if (rc)
        check_line(error.text);
    check(&sam);
    dd_assert(dd_sam_read(&config, &again, &again_error) == rc);
    dd_assert(strcmp(error.text, again_error.text) == 0);
    dd_assert(again.functions_len == sam.functions_len && again.notes.len == sam.notes.len &&
              again.faults.len == sam.faults.len);
    dd_sam_deinit(&sam);
    dd_sam_deinit(&again);
    return 0;
}
