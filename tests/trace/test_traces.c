/* Golden traces of the engines. Each *.trace file of a directory tells stories: lines
 * that begin with "> " are commands (tests/lib/story.h, session_story.h), the indented
 * lines after each are what the engine did, lines that begin with "## " start a new
 * story. Any difference fails; with DD_TRACE_UPDATE set the files are rewritten
 * instead, and the difference is for a review to judge.
 *
 *   test_traces service|session DIRECTORY
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/lib/session_story.h"
#include "tests/lib/story.h"

#define FILE_MAX (4u * 1024 * 1024)

/* Whose stories are told. */
union story_of {
    struct story service;
    struct session_story session;
};

struct engine {
    const char *name;
    void (*init)(union story_of *story);
    void (*deinit)(union story_of *story);
    void (*run)(union story_of *story, const char *command, struct dd_buf *out);
};

static void service_init(union story_of *story)
{
    story_init(&story->service);
}

static void service_deinit(union story_of *story)
{
    story_deinit(&story->service);
}

static void service_run(union story_of *story, const char *command, struct dd_buf *out)
{
    story_run(&story->service, command, out);
}

static void session_init(union story_of *story)
{
    session_story_init(&story->session);
}

static void session_deinit(union story_of *story)
{
    session_story_deinit(&story->session);
}

static void session_run(union story_of *story, const char *command, struct dd_buf *out)
{
    session_story_run(&story->session, command, out);
}

static const struct engine engines[] = {
    {"service", service_init, service_deinit, service_run},
    {"session", session_init, session_deinit, session_run},
};

static bool read_file(const char *path, struct dd_buf *out)
{
    FILE *file = fopen(path, "rb");
    char chunk[4096];
    size_t len;

    if (!file)
        return false;
    while ((len = fread(chunk, 1, sizeof(chunk), file)) > 0)
        dd_buf_append(out, chunk, len);
    fclose(file);
    return !out->failed;
}

static bool write_file(const char *path, struct dd_span bytes)
{
    FILE *file = fopen(path, "wb");
    bool written;

    if (!file)
        return false;
    written = fwrite(bytes.data, 1, bytes.len, file) == bytes.len;
    return fclose(file) == 0 && written;
}

/* Copies one line at `at` without its newline; returns where the next begins. */
static const char *take_line(const char *at, const char *end, char *line, size_t size)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    size_t len = (size_t)((newline ? newline : end) - at);

    dd_assert(len < size);
    memcpy(line, at, len);
    line[len] = '\0';
    return newline ? newline + 1 : end;
}

/* Tells the stories of `text` again: everything but the indented lines is kept. */
static void tell(const struct engine *engine, struct dd_span text, struct dd_buf *out)
{
    const char *end = text.data + text.len;
    union story_of story;
    char line[8192];

    engine->init(&story);
    for (const char *at = text.data; at < end;) {
        at = take_line(at, end, line, sizeof(line));
        if (strncmp(line, "  ", 2) == 0)
            continue;
        dd_buf_printf(out, "%s\n", line);
        if (strncmp(line, "## ", 3) == 0) {
            engine->deinit(&story);
            engine->init(&story);
        } else if (strncmp(line, "> ", 2) == 0) {
            engine->run(&story, line + 2, out);
        }
    }
    engine->deinit(&story);
    dd_assert(!out->failed);
}

static void show_difference(const char *path, struct dd_span expected, struct dd_span actual)
{
    const char *a = expected.data, *a_end = a + expected.len;
    const char *b = actual.data, *b_end = b + actual.len;
    char left[8192] = "", right[8192] = "";

    for (int line = 1; a < a_end || b < b_end; line++) {
        a = take_line(a, a_end, left, sizeof(left));
        b = take_line(b, b_end, right, sizeof(right));
        if (strcmp(left, right) != 0) {
            printf("%s:%d:\n- %s\n+ %s\n", path, line, left, right);
            return;
        }
    }
}

static bool check_file(const struct engine *engine, const char *path)
{
    struct dd_buf expected, actual;
    bool same;

    dd_buf_init(&expected, FILE_MAX);
    dd_buf_init(&actual, FILE_MAX);
    if (!read_file(path, &expected)) {
        printf("%s: cannot be read\n", path);
        exit(1);
    }
    tell(engine, dd_buf_span(&expected), &actual);
    same = dd_span_equal(dd_buf_span(&expected), dd_buf_span(&actual));
    if (!same && getenv("DD_TRACE_UPDATE"))
        same = write_file(path, dd_buf_span(&actual));
    else if (!same)
        show_difference(path, dd_buf_span(&expected), dd_buf_span(&actual));
    printf("%s %s\n", same ? "ok" : "not ok", path);
    dd_buf_deinit(&expected);
    dd_buf_deinit(&actual);
    return same;
}

static const struct engine *engine_named(const char *name)
{
    for (size_t i = 0; i < DD_COUNT(engines); i++) {
        if (strcmp(engines[i].name, name) == 0)
            return &engines[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const struct engine *engine = argc == 3 ? engine_named(argv[1]) : NULL;
    struct dirent **entries;
    int files = 0, failed = 0;
    int count = engine ? scandir(argv[2], &entries, NULL, alphasort) : -1;

    for (int i = 0; i < count; i++) {
        const char *dot = strrchr(entries[i]->d_name, '.');
        char path[4096];

        if (dot && strcmp(dot, ".trace") == 0) {
            snprintf(path, sizeof(path), "%s/%s", argv[2], entries[i]->d_name);
            files++;
            failed += !check_file(engine, path);
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    if (files == 0)
        printf("no traces found\n");
    return files == 0 || failed > 0;
}
