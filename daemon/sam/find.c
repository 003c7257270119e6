/* Where templates are, and files; see sam_priv.h.
 *
 * What `sam build` made stands before the template that it was made of, since it has the
 * packages beside the code. Then come the names that `sam` looks for (its `--template`
 * option), and last what `cdk synth` made, whose manifest names its stacks (the cloud
 * assembly schema). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sam/sam_priv.h"

#define BUILT ".aws-sam/build/template.yaml"
#define ASSEMBLY "cdk.out"

bool dd_sam_is_directory(const char *path)
{
    struct stat stat_buf;

    return stat(path, &stat_buf) == 0 && S_ISDIR(stat_buf.st_mode);
}

bool dd_sam_is_file(const char *path)
{
    struct stat stat_buf;

    return stat(path, &stat_buf) == 0 && S_ISREG(stat_buf.st_mode);
}

const char *dd_sam_join(struct dd_arena *arena, const char *a, const char *b)
{
    if (!a || !b)
        return NULL;
    while (b[0] == '.' && b[1] == '/')
        b += 2;
    if (b[0] == '/' || strcmp(a, ".") == 0)
        return dd_sam_copy(arena, dd_span_cstr(*b ? b : "."));
    if (!*b || strcmp(b, ".") == 0)
        return dd_sam_copy(arena, dd_span_cstr(a));
    return dd_sam_print(arena, "%s/%s", a, b);
}

/* Reads what is open as `fd`; `out` holds as much as a template may have, and one byte. */
static int read_all(int fd, const char *path, struct dd_buf *out, struct dd_error *error)
{
    for (;;) {
        char *room = dd_buf_reserve(out, 64 * 1024);
        ssize_t got;

        if (!room)
            return dd_fail(error, DD_USAGE, "%s: larger than %u bytes, more than a template is",
                           path, DD_TEMPLATE_BYTES_MAX);
        got = read(fd, room, 64 * 1024);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return dd_fail(error, DD_SYSTEM, "%s: %s", path, strerror(errno));
        if (got == 0)
            return 0;
        out->len += (size_t)got;
    }
}

int dd_sam_load(const char *path, char **out_text, size_t *out_len, struct dd_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;
    struct dd_buf buf;

    if (fd < 0)
        return dd_fail(error, errno == ENOENT ? DD_NOT_FOUND : DD_SYSTEM, "%s: %s", path,
                       strerror(errno));
    dd_buf_init(&buf, DD_TEMPLATE_BYTES_MAX);
    rc = read_all(fd, path, &buf, error);
    (void)close(fd); /* it was only read */
    if (rc)
        dd_buf_deinit(&buf);
    else
        *out_text = dd_buf_take(&buf, out_len);
    return rc;
}

/* --- a cloud assembly -------------------------------------------------------------------- */

struct finder {
    struct dd_reading *reading;
    struct dd_found **end; /* where the next one goes */
    size_t len;
    struct dd_error *error;
};

static int found(struct finder *finder, const char *path)
{
    struct dd_found *item = dd_sam_alloc(&finder->reading->arena, sizeof *item);

    if (!item || !path || ++finder->len > DD_TEMPLATES_MAX)
        return dd_fail(finder->error, DD_USAGE,
                       "%s: more than %d templates; name one with "
                       "--template",
                       path ? path : ASSEMBLY, DD_TEMPLATES_MAX);
    item->path = path;
    *finder->end = item;
    finder->end = &item->next;
    return 0;
}

static int read_manifest(struct finder *finder, const char *path,
                         const struct dd_node **out_root)
{
    char *text;
    size_t len;
    int rc = dd_sam_load(path, &text, &len, finder->error);

    if (rc)
        return rc;
    rc = dd_yaml_parse(&finder->reading->arena, dd_span_make(text, len), path, out_root,
                       finder->error);
    dd_free(text);
    return rc;
}

static int find_assembly(struct finder *finder, const char *directory, int depth);

static int find_artifact(struct finder *finder, const char *directory,
                         const struct dd_node *artifact, int depth)
{
    struct dd_arena *arena = &finder->reading->arena;
    const char *type = dd_node_text(dd_node_get(artifact, "type"));
    const struct dd_node *properties = dd_node_get(artifact, "properties");
    const char *file = dd_node_text(dd_node_get(properties, "templateFile"));
    const char *inner = dd_node_text(dd_node_get(properties, "directoryName"));

    if (type && strcmp(type, "aws:cloudformation:stack") == 0 && file)
        return found(finder, dd_sam_join(arena, directory, file));
    if (type && strcmp(type, "cdk:cloud-assembly") == 0 && inner) {
        inner = dd_sam_join(arena, directory, inner);
        return inner ? find_assembly(finder, inner, depth + 1) : 0;
    }
    return 0;
}

static int is_template(const struct dirent *entry)
{
    static const char suffix[] = ".template.json";
    size_t len = strlen(entry->d_name);

    return len > sizeof suffix - 1 &&
           strcmp(entry->d_name + len - (sizeof suffix - 1), suffix) == 0;
}

/* Without a manifest: all templates, by name. */
static int find_files(struct finder *finder, const char *directory)
{
    struct dirent **entries;
    int len = scandir(directory, &entries, is_template, alphasort), rc = 0;

    for (int i = 0; i < len; i++) {
        if (rc == 0)
            rc = found(finder,
                       dd_sam_join(&finder->reading->arena, directory, entries[i]->d_name));
        dd_free(entries[i]);
    }
    if (len >= 0)
        dd_free(entries);
    return rc;
}

static int find_assembly(struct finder *finder, const char *directory, int depth)
{
    const char *path = dd_sam_join(&finder->reading->arena, directory, "manifest.json");
    const struct dd_node *root = NULL, *artifacts;
    int rc;

    if (!path || depth > DD_ASSEMBLY_DEPTH_MAX)
        return 0;
    if (!dd_sam_is_file(path))
        return find_files(finder, directory);
    rc = read_manifest(finder, path, &root);
    artifacts = dd_node_get(root, "artifacts");
    for (size_t i = 0; rc == 0 && artifacts && i < artifacts->len; i++)
        rc = find_artifact(finder, directory, artifacts->pairs[i].value, depth);
    return rc;
}

/* What was built of a template that changed later is not what the user sees. */
static void note_age(struct dd_reading *reading, const char *built)
{
    static const char *const sources[] = {"template.yaml", "template.yml", "template.json"};
    struct stat made, source;

    for (size_t i = 0; i < DD_COUNT(sources); i++) {
        const char *path = dd_sam_join(&reading->arena, reading->config->directory, sources[i]);
        char *line;

        if (!path || stat(path, &source) != 0 || stat(built, &made) != 0 ||
            made.st_mtime >= source.st_mtime)
            continue;
        line = dd_sam_format("%s is newer than %s, which is read; run: sam build", path, built);
        dd_sam_add_line(&reading->sam.notes, NULL, line);
        dd_free(line);
    }
}

/* --- all places -------------------------------------------------------------------------- */

int dd_sam_find(struct dd_reading *reading, struct dd_found **out_found, struct dd_error *error)
{
    static const char *const names[] = {BUILT, "template.yaml", "template.yml", "template.json",
                                        "samTemplate.yaml"};
    const struct dd_sam_config *config = reading->config;
    struct finder finder = {reading, out_found, 0, error};
    const char *path;
    int rc;

    *out_found = NULL;
    if (config->template_path)
        return found(&finder, config->template_path);
    for (size_t i = 0; i < DD_COUNT(names); i++) {
        path = dd_sam_join(&reading->arena, config->directory, names[i]);
        if (!path || !dd_sam_is_file(path))
            continue;
        if (i == 0)
            note_age(reading, path);
        return found(&finder, path);
    }
    path = dd_sam_join(&reading->arena, config->directory, ASSEMBLY);
    if (path && dd_sam_is_directory(path)) {
        rc = find_assembly(&finder, path, 0);
        if (rc || *out_found)
            return rc;
    }
    return dd_fail(error, DD_NOT_FOUND,
                   "%s: no " BUILT ", template.yaml, template.yml, template.json or "
                   "cdk.out/*.template.json; name a template with --template FILE, or a "
                   "function with --function NAME -- COMMAND",
                   config->directory);
}
