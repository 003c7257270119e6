/* One reading of a template or a cloud assembly; see sam.h. */
#include "sam/sam.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sam/sam_priv.h"

static void deinit_lines(struct dd_sam_lines *lines)
{
    for (size_t i = 0; i < lines->len; i++) {
        dd_free(lines->items[i].function);
        dd_free(lines->items[i].text);
    }
    dd_free(lines->items);
}

static void free_texts(char **texts)
{
    for (size_t i = 0; texts && texts[i]; i++)
        dd_free(texts[i]);
    dd_free(texts);
}

void dd_sam_deinit(struct dd_sam *sam)
{
    for (size_t i = 0; i < sam->functions_len; i++)
        dd_hosted_deinit(&sam->functions[i]);
    dd_free(sam->functions);
    deinit_lines(&sam->faults);
    deinit_lines(&sam->notes);
    free_texts(sam->templates);
    free_texts(sam->ignored);
    *sam = (struct dd_sam){0};
}

/* The name of the directory that holds the project, as a stack may be called: letters,
 * digits and hyphens, a letter first (CloudFormation's API reference, CreateStack). */
static const char *stack_name(struct dd_reading *reading)
{
    char absolute[PATH_MAX];
    const char *slash, *name;
    char *copy;

    if (!realpath(reading->config->directory, absolute))
        return "durabled";
    slash = strrchr(absolute, '/');
    name = slash ? slash + 1 : absolute;
    if (!((*name >= 'A' && *name <= 'Z') || (*name >= 'a' && *name <= 'z')))
        return "durabled";
    copy = dd_sam_alloc(&reading->arena, strlen(name) + 1);
    for (size_t i = 0; copy && name[i]; i++)
        copy[i] =
            strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-", name[i])
                ? name[i]
                : '-';
    return copy ? copy : "durabled";
}

static int too_large(const struct dd_template *template, struct dd_error *error)
{
    return dd_fail(error, DD_USAGE,
                   "%s: the template is too large when its aliases and functions are worked "
                   "out; it may refer to itself",
                   template->path);
}

static const struct dd_node *section(const struct dd_node *root, const char *name)
{
    const struct dd_node *node = dd_node_get(root, name);

    return node && node->kind == DD_NODE_MAP ? node : NULL;
}

/* Parameters that the user gave and this template has. */
static void mark_parameters(struct dd_template *template)
{
    const char *const *given = template->reading->config->parameters;

    for (size_t i = 0; given && given[i] && template->parameters; i++)
        for (size_t j = 0; j < template->parameters->len; j++) {
            const char *key = template->parameters->pairs[j].key;
            size_t len = strlen(key);

            if (strncmp(given[i], key, len) == 0 && given[i][len] == '=')
                template->reading->parameters_used[i] = true;
        }
}

static int read_tree(struct dd_template *template, const struct dd_node *root,
                     struct dd_error *error)
{
    struct dd_arena *arena = &template->reading->arena;
    size_t resources, conditions;

    template->resources = section(root, "Resources");
    if (!template->resources)
        return dd_fail(error, DD_USAGE, "%s: no map of Resources, so it is no template",
                       template->path);
    template->parameters = section(root, "Parameters");
    template->mappings = section(root, "Mappings");
    template->conditions = section(root, "Conditions");
    template->globals = section(section(root, "Globals"), "Function");
    resources = template->resources->len;
    conditions = template->conditions ? template->conditions->len : 0;
    template->truths = dd_sam_alloc(arena, conditions * sizeof *template->truths);
    template->named = dd_sam_alloc(arena, resources * sizeof *template->named);
    template->names = dd_sam_alloc(arena, resources * sizeof *template->names);
    template->told = dd_sam_alloc(arena, resources * sizeof *template->told);
    if (arena->failed)
        return too_large(template, error);
    mark_parameters(template);
    dd_sam_functions(template);
    if (arena->failed || template->steps > DD_TEMPLATE_STEPS_MAX)
        return too_large(template, error);
    return 0;
}

static void add_template(struct dd_reading *reading, const char *path)
{
    struct dd_sam *sam = &reading->sam;

    sam->templates =
        dd_realloc_array(sam->templates, reading->templates_len + 2, sizeof *sam->templates);
    sam->templates[reading->templates_len++] = dd_sam_strdup(path);
    sam->templates[reading->templates_len] = NULL;
}

static int read_template(struct dd_reading *reading, const char *path, const char *stack,
                         struct dd_error *error)
{
    struct dd_template template = {.reading = reading, .path = path, .stack = stack};
    const struct dd_node *root = NULL;
    char absolute[PATH_MAX], *text;
    size_t len;
    int rc = dd_sam_load(path, &text, &len, error);

    if (rc)
        return rc;
    rc = dd_yaml_parse(&reading->arena, dd_span_make(text, len), path, &root, error);
    dd_free(text);
    if (rc)
        return rc;
    if (!realpath(path, absolute))
        return dd_fail(error, DD_SYSTEM, "%s: it has just gone", path);
    add_template(reading, absolute);
    *strrchr(absolute, '/') = '\0';
    template.directory = dd_sam_copy(&reading->arena, dd_span_cstr(*absolute ? absolute : "/"));
    if (!template.directory)
        return too_large(&template, error);
    return read_tree(&template, root, error);
}

static void note_parameters(struct dd_reading *reading)
{
    const char *const *given = reading->config->parameters;

    for (size_t i = 0; given && given[i]; i++)
        if (!reading->parameters_used[i]) {
            char *line = dd_sam_format("--parameters %s: the template has no parameter of that "
                                       "name; give it as Name=Value",
                                       given[i]);

            dd_sam_add_line(&reading->sam.notes, NULL, line);
            dd_free(line);
        }
}

static int read_all(struct dd_reading *reading, struct dd_error *error)
{
    const char *stack = stack_name(reading);
    struct dd_found *found;
    int rc = dd_sam_find(reading, &found, error);

    for (; rc == 0 && found; found = found->next)
        rc = read_template(reading, found->path, stack, error);
    if (rc == 0)
        note_parameters(reading);
    return rc;
}

int dd_sam_read(const struct dd_sam_config *config, struct dd_sam *out, struct dd_error *error)
{
    struct dd_reading reading = {.config = config};
    size_t given = 0;
    int rc;

    while (config->parameters && config->parameters[given])
        given++;
    reading.parameters_used = dd_alloc_array(given, sizeof *reading.parameters_used);
    rc = read_all(&reading, error);
    dd_free(reading.parameters_used);
    for (size_t i = 0; i < reading.probes_len; i++) {
        dd_free(reading.probes[i].asked);
        dd_free(reading.probes[i].program);
    }
    dd_free(reading.probes);
    dd_arena_deinit(&reading.arena);
    if (rc)
        dd_sam_deinit(&reading.sam);
    else
        *out = reading.sam;
    return rc;
}
