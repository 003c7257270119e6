/* A template's functions to functions to host; see sam_priv.h.
 *
 * Types, ranges and defaults of properties are those of CloudFormation's template reference
 * (AWS::Lambda::Function) and of SAM's specification (AWS::Serverless::Function). A wrong
 * one is a fault, as it would be when deployed. Numbers may be written as texts. */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sam/sam_priv.h"

/* A function that is being read. */
struct work {
    struct dd_template *template;
    size_t index; /* among the resources */
    const struct dd_node *resource, *properties;
    bool serverless; /* of SAM's type */
    struct dd_hosted hosted;
};

/* --- properties -------------------------------------------------------------------------- */

/* The value of a property: of the function, or of one of its maps (`path` then names both).
 * NULL for what is not there, has no value or can't be known. */
static const struct dd_node *get(struct work *work, const struct dd_node *map, const char *path)
{
    const char *dot = strrchr(path, '.');
    const struct dd_node *node = dd_node_get(map, dot ? dot + 1 : path);

    snprintf(work->template->property, sizeof work->template->property, "%s", path);
    node = dd_sam_value(work->template, node);
    return node && !node->unknown ? node : NULL;
}

/* "template.yaml:12", where the property stands. */
static bool wrong(struct work *work, const struct dd_node *node, const char *must)
{
    int line = node->line ? node->line : work->resource->line;

    dd_sam_fault(work->template, "%s is not %s; correct it in %s:%d", work->template->property,
                 must, work->template->path, line);
    return false;
}

/* Gives a copy, or leaves `*out` alone when there is none. False after a fault. */
static bool take_text(struct work *work, const struct dd_node *map, const char *path,
                      char **out)
{
    const struct dd_node *node = get(work, map, path);

    if (!node)
        return true;
    if (!dd_node_text(node))
        return wrong(work, node, "a text");
    dd_free(*out);
    *out = dd_sam_strdup(node->text);
    return true;
}

static bool take_number(struct work *work, const struct dd_node *map, const char *path,
                        int64_t min, int64_t max, int64_t *out)
{
    const struct dd_node *node = get(work, map, path);
    char *end = NULL, range[80];
    const char *text;
    long long value;

    if (!node)
        return true;
    text = dd_node_text(node);
    value = text && isdigit((unsigned char)*text) ? strtoll(text, &end, 10) : -1;
    if (end && end[0] == '.' && strspn(end + 1, "0") == strlen(end + 1))
        end = NULL; /* JSON writers may say 30.0 */
    if (value < min || value > max || (end && *end)) {
        snprintf(range, sizeof range, "a whole number from %lld to %lld", (long long)min,
                 (long long)max);
        return wrong(work, node, range);
    }
    *out = value;
    return true;
}

/* A map among the properties; NULL when there is none. False after a fault. */
static bool take_map(struct work *work, const char *path, const struct dd_node **out)
{
    const struct dd_node *node = dd_node_get(work->properties, path);

    *out = NULL;
    snprintf(work->template->property, sizeof work->template->property, "%s", path);
    if (!node)
        return true;
    if (dd_node_is_function(node))
        node = dd_sam_value(work->template, node);
    if (!node || node->unknown)
        return true;
    if (node->kind != DD_NODE_MAP)
        return wrong(work, node, "a map");
    *out = node;
    return true;
}

/* --- identity ---------------------------------------------------------------------------- */

static bool is_name(const char *text, size_t max)
{
    size_t len = strlen(text);

    return len > 0 && len <= max &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
               len;
}

static bool take_name(struct work *work)
{
    const char *name = dd_sam_name(work->template, work->index);
    const struct dd_sam *sam = &work->template->reading->sam;

    work->template->function = name;
    if (!is_name(name, DD_FUNCTION_NAME_MAX)) {
        dd_sam_fault(
            work->template,
            "its name is not 1 to %d letters, digits, hyphens and underscores; give it "
            "a FunctionName",
            DD_FUNCTION_NAME_MAX);
        return false;
    }
    for (size_t i = 0; i < sam->functions_len; i++)
        if (strcmp(sam->functions[i].name, name) == 0) {
            dd_sam_fault(work->template,
                         "another function has this name; give %s another FunctionName",
                         work->template->resources->pairs[work->index].key);
            return false;
        }
    work->hosted.name = dd_sam_strdup(name);
    return true;
}

/* --- code -------------------------------------------------------------------------------- */

/* The directory that a path of the template names; NULL after a fault, or a note when it is
 * of a layer. */
static char *directory_of(struct dd_template *template, const char *what, const char *path,
                          bool layer)
{
    const char *full = dd_sam_join(&template->reading->arena, template->directory, path);
    char absolute[PATH_MAX];
    void (*say)(struct dd_template *, const char *, ...) DD_PRINTF(2, 3) =
        layer ? dd_sam_note : dd_sam_fault;

    if (!full)
        return NULL;
    if (strncmp(path, "s3://", 5) == 0 || strncmp(path, "https://", 8) == 0)
        say(template, "%s %s is not on this machine; name a directory, or run `sam build`",
            what, path);
    else if (!realpath(full, absolute))
        say(template, "%s %s: there is no %s; correct it, or run `sam build` or `cdk synth`",
            what, path, full);
    else if (!dd_sam_is_directory(absolute))
        say(template, "%s %s is a file; unpack it and name its directory", what, path);
    else
        return dd_sam_strdup(absolute);
    return NULL;
}

/* Where `cdk synth` left the files of an asset: said in the metadata, else the key under
 * which it would be stored, "HASH.zip", tells (the cloud assembly's "asset.HASH"). */
static const char *asset_path(struct dd_template *template, const struct dd_node *resource,
                              const struct dd_node *code)
{
    const char *path =
        dd_node_text(dd_node_get(dd_node_get(resource, "Metadata"), "aws:asset:path"));
    const char *key, *dot;

    if (path)
        return path;
    key = dd_node_text(dd_sam_value(template, dd_node_get(code, "S3Key")));
    dot = key ? strrchr(key, '.') : NULL;
    if (!dot)
        return NULL;
    path = dd_sam_print(&template->reading->arena, "asset.%.*s", (int)(dot - key), key);
    key = dd_sam_join(&template->reading->arena, template->directory, path);
    return key && dd_sam_is_directory(key) ? path : NULL;
}

/* The directory of a function's or a layer's code; NULL after a fault or note. */
static char *code_directory(struct dd_template *template, const struct dd_node *resource,
                            const struct dd_node *code, const char *what, bool layer)
{
    const struct dd_node *value =
        code && !dd_node_is_function(code) ? code : dd_sam_value(template, code);
    const char *path = dd_node_text(value);

    if (!path)
        path = asset_path(template, resource, value);
    if (path && *path)
        return directory_of(template, what, path, layer);
    if (layer)
        dd_sam_note(template,
                    "%s names no directory, so the layer's files are missing; name "
                    "one, or run `sam build` or `cdk synth`",
                    what);
    else
        dd_sam_fault(template,
                     "%s names no directory of this machine; name one, or run `sam "
                     "build` or `cdk synth`",
                     what);
    return NULL;
}

static bool take_code(struct work *work)
{
    const char *what = work->serverless ? "CodeUri" : "Code";
    const struct dd_node *code = dd_node_get(work->properties, what);
    const struct dd_node *package = get(work, work->properties, "PackageType");

    if ((dd_node_text(package) && strcmp(package->text, "Image") == 0) ||
        dd_node_get(work->properties, "ImageUri") || dd_node_get(code, "ImageUri")) {
        dd_sam_fault(work->template,
                     "PackageType Image is not hosted; run what the image runs with --function "
                     "%s -- COMMAND",
                     work->hosted.name);
        return false;
    }
    if (dd_node_get(work->properties, "InlineCode") || dd_node_get(code, "ZipFile")) {
        dd_sam_fault(work->template,
                     "%s is not hosted; put the code into a file and name its directory in %s",
                     work->serverless ? "InlineCode" : "Code.ZipFile", what);
        return false;
    }
    work->hosted.directory = code_directory(work->template, work->resource, code, what, false);
    return work->hosted.directory != NULL;
}

/* --- configuration ----------------------------------------------------------------------- */

static bool take_durable(struct work *work)
{
    struct dd_hosted *hosted = &work->hosted;
    const struct dd_node *map;

    if (!take_map(work, "DurableConfig", &map))
        return false;
    hosted->durable = map != NULL;
    if (!map)
        return true;
    hosted->retention_days = DD_HOSTED_RETENTION_DAYS_DEFAULT;
    if (!take_number(work, map, "DurableConfig.ExecutionTimeout", 1, DD_SECONDS_MAX,
                     &hosted->execution_timeout_s) ||
        !take_number(work, map, "DurableConfig.RetentionPeriodInDays", 1, DD_RETENTION_DAYS_MAX,
                     &hosted->retention_days))
        return false;
    if (hosted->execution_timeout_s == 0) {
        dd_sam_fault(work->template,
                     "DurableConfig has no ExecutionTimeout; give it 1 to %d seconds",
                     DD_SECONDS_MAX);
        return false;
    }
    return true;
}

static bool take_numbers(struct work *work)
{
    struct dd_hosted *hosted = &work->hosted;

    hosted->timeout_s = DD_HOSTED_TIMEOUT_S_DEFAULT;
    if (hosted->durable)
        hosted->timeout_s = hosted->execution_timeout_s < DD_HOSTED_TIMEOUT_S_MAX
                                ? hosted->execution_timeout_s
                                : DD_HOSTED_TIMEOUT_S_MAX;
    hosted->memory_mb = DD_HOSTED_MEMORY_MB_MIN;
    hosted->processes = DD_HOSTED_PROCESSES_DEFAULT;
    return take_number(work, work->properties, "Timeout", 1, DD_HOSTED_TIMEOUT_S_MAX,
                       &hosted->timeout_s) &&
           take_number(work, work->properties, "MemorySize", DD_HOSTED_MEMORY_MB_MIN,
                       DD_HOSTED_MEMORY_MB_MAX, &hosted->memory_mb) &&
           take_number(work, work->properties, "ReservedConcurrentExecutions", 1,
                       DD_HOSTED_PROCESSES_MAX, &hosted->processes);
}

static void put_variable(struct dd_hosted *hosted, const char *name, const char *value)
{
    hosted->environment = dd_realloc_array(hosted->environment, hosted->environment_len + 1,
                                           sizeof *hosted->environment);
    hosted->environment[hosted->environment_len++] =
        (struct dd_variable){dd_sam_strdup(name), dd_sam_strdup(value)};
}

static bool take_logging(struct work *work)
{
    const struct dd_node *map;
    char *format = NULL, *level = NULL;
    bool good;

    if (!take_map(work, "LoggingConfig", &map))
        return false;
    good = take_text(work, map, "LoggingConfig.LogFormat", &format) &&
           take_text(work, map, "LoggingConfig.ApplicationLogLevel", &level);
    /* A durable function logs so unless it says otherwise (service-api 8.4). */
    work->hosted.json = format ? strcmp(format, "JSON") == 0 : work->hosted.durable;
    if (work->hosted.json && level)
        put_variable(&work->hosted, "AWS_LAMBDA_LOG_LEVEL", level);
    dd_free(format);
    dd_free(level);
    return good;
}

static bool take_tenancy(struct work *work)
{
    const struct dd_node *map, *mode;

    if (!take_map(work, "TenancyConfig", &map))
        return false;
    mode = get(work, map, "TenancyConfig.TenantIsolationMode");
    work->hosted.tenants = dd_node_text(mode) && strcmp(mode->text, "PER_TENANT") == 0;
    return true;
}

/* --- environment ------------------------------------------------------------------------- */

/* Variables that Lambda sets itself and refuses in a template (its developer guide, "Defined
 * runtime environment variables"). */
static bool is_reserved(const char *name)
{
    static const char *const names[] = {"_HANDLER",
                                        "AWS_EXECUTION_ENV",
                                        "AWS_REGION",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_ACCESS_KEY",
                                        "AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "LAMBDA_TASK_ROOT",
                                        "LAMBDA_RUNTIME_DIR",
                                        "AWS_LAMBDA_FUNCTION_NAME",
                                        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                                        "AWS_LAMBDA_FUNCTION_VERSION",
                                        "AWS_LAMBDA_INITIALIZATION_TYPE",
                                        "AWS_LAMBDA_LOG_GROUP_NAME",
                                        "AWS_LAMBDA_LOG_STREAM_NAME",
                                        "AWS_LAMBDA_RUNTIME_API"};

    for (size_t i = 0; i < DD_COUNT(names); i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static bool is_variable(const char *name)
{
    return isalpha((unsigned char)*name) && is_name(name, SIZE_MAX) && !strchr(name, '-');
}

static bool take_variable(struct work *work, const struct dd_pair *pair)
{
    struct dd_template *template = work->template;
    const struct dd_node *value;

    snprintf(template->property, sizeof template->property, "Environment.Variables.%s",
             pair->key);
    if (is_reserved(pair->key)) {
        dd_sam_note(template, "%s is Lambda's own, and left as it is; remove it",
                    template->property);
        return true;
    }
    if (!is_variable(pair->key))
        return wrong(work, pair->value, "named with letters, digits and underscores");
    value = dd_sam_value(template, pair->value);
    if (!value)
        return true;
    if (!dd_node_text(value))
        return wrong(work, value, "a text");
    if (strstr(value->text, "{{resolve:"))
        dd_sam_note(
            template,
            "%s has a dynamic reference, which is left as it is; use a parameter with a "
            "Default",
            template->property);
    if (strcmp(pair->key, "AWS_LAMBDA_EXEC_WRAPPER") == 0)
        dd_sam_note(template, "%s is not run; wrap the handler in code", template->property);
    put_variable(&work->hosted, pair->key, value->text);
    return true;
}

static bool take_environment(struct work *work)
{
    const struct dd_node *environment, *variables;

    if (!take_map(work, "Environment", &environment))
        return false;
    variables = dd_node_get(environment, "Variables");
    snprintf(work->template->property, sizeof work->template->property,
             "Environment.Variables");
    if (dd_node_is_function(variables))
        variables = dd_sam_value(work->template, variables);
    if (!variables || variables->unknown)
        return true;
    if (variables->kind != DD_NODE_MAP)
        return wrong(work, variables, "a map");
    for (size_t i = 0; i < variables->len; i++) {
        /* Of two of a name, the last holds. */
        if (dd_node_get(variables, variables->pairs[i].key) == variables->pairs[i].value &&
            !take_variable(work, &variables->pairs[i]))
            return false;
    }
    return true;
}

/* --- layers and aliases ------------------------------------------------------------------ */

static void append(char ***texts, char *text)
{
    size_t len = 0;

    while (*texts && (*texts)[len])
        len++;
    *texts = dd_realloc_array(*texts, len + 2, sizeof **texts);
    (*texts)[len] = text;
    (*texts)[len + 1] = NULL;
}

/* A layer's files are in directories of these names, or it is no built one. */
static void check_layer(struct dd_template *template, const char *layer, const char *directory)
{
    static const char *const names[] = {"python", "nodejs", "bin", "lib", "bootstrap"};

    for (size_t i = 0; i < DD_COUNT(names); i++) {
        const char *path = dd_sam_join(&template->reading->arena, directory, names[i]);

        if (path && (dd_sam_is_directory(path) || dd_sam_is_file(path)))
            return;
    }
    dd_sam_note(
        template,
        "layer %s: %s has no python, nodejs, bin or lib, so nothing of it is found; run "
        "`sam build`",
        layer, directory);
}

static void take_layer(struct work *work, const char *arn)
{
    struct dd_template *template = work->template;

    for (size_t i = 0; i < template->resources->len; i++) {
        const struct dd_node *resource = template->resources->pairs[i].value;
        const char *what = strcmp(dd_sam_type(resource), "AWS::Lambda::LayerVersion") == 0
                               ? "Content"
                               : "ContentUri";
        char *directory, text[128];

        if (!dd_sam_is_layer(resource) || strcmp(dd_sam_layer_arn(template, i), arn) != 0)
            continue;
        snprintf(text, sizeof text, "layer %s: %s", template->resources->pairs[i].key, what);
        directory =
            code_directory(template, resource,
                           dd_node_get(dd_node_get(resource, "Properties"), what), text, true);
        if (directory) {
            check_layer(template, template->resources->pairs[i].key, directory);
            append(&work->hosted.layers, directory);
        }
        return;
    }
    dd_sam_note(template,
                "layer %s is not on this machine, so its files are missing; unpack it and name "
                "it in an AWS::Serverless::LayerVersion",
                arn);
}

static bool take_layers(struct work *work)
{
    const struct dd_node *layers = get(work, work->properties, "Layers");

    if (!layers)
        return true;
    if (layers->kind != DD_NODE_LIST)
        return wrong(work, layers, "a list");
    for (size_t i = 0; i < layers->len; i++) {
        const struct dd_node *layer = layers->pairs[i].value;

        if (!dd_node_text(layer))
            return wrong(work, layer, "a list of texts");
        if (!layer->unknown)
            take_layer(work, layer->text);
    }
    return true;
}

static void add_alias(struct dd_template *template, struct dd_hosted *hosted, const char *name)
{
    for (size_t i = 0; hosted->aliases && hosted->aliases[i]; i++)
        if (strcmp(hosted->aliases[i], name) == 0)
            return;
    if (is_name(name, DD_FUNCTION_QUALIFIER_MAX))
        append(&hosted->aliases, dd_sam_strdup(name));
    else
        dd_sam_note(template,
                    "alias %s is left out, as it is not letters, digits, hyphens and "
                    "underscores; correct it",
                    name);
}

static bool take_alias(struct work *work)
{
    const struct dd_node *alias = get(work, work->properties, "AutoPublishAlias");

    if (!alias)
        return true;
    if (!dd_node_text(alias))
        return wrong(work, alias, "a text");
    add_alias(work->template, &work->hosted, alias->text);
    return true;
}

/* AWS::Lambda::Alias: the name of the function may be a name or an ARN. */
static void read_alias(struct dd_template *template, const struct dd_pair *pair)
{
    const struct dd_node *alias = dd_node_get(pair->value, "Properties");
    const char *name, *function, *at;
    struct dd_sam *sam = &template->reading->sam;
    size_t len;

    template->function = NULL;
    snprintf(template->property, sizeof template->property, "%s.FunctionName", pair->key);
    function = dd_node_text(dd_sam_value(template, dd_node_get(alias, "FunctionName")));
    snprintf(template->property, sizeof template->property, "%s.Name", pair->key);
    name = dd_node_text(dd_sam_value(template, dd_node_get(alias, "Name")));
    if (!name || !function)
        return;
    at = strstr(function, ":function:");
    function = at ? at + strlen(":function:") : function;
    len = strcspn(function, ":");
    for (size_t i = 0; i < sam->functions_len; i++)
        if (strncmp(sam->functions[i].name, function, len) == 0 &&
            sam->functions[i].name[len] == '\0') {
            template->function = sam->functions[i].name;
            add_alias(template, &sam->functions[i], name);
        }
}

/* --- all of them ------------------------------------------------------------------------- */

static bool take_all(struct work *work)
{
    const struct dd_node *own = dd_node_get(work->resource, "Properties");

    if (!take_name(work))
        return false;
    if (own && own->kind != DD_NODE_MAP) {
        snprintf(work->template->property, sizeof work->template->property, "Properties");
        return wrong(work, own, "a map");
    }
    work->properties = work->serverless ? dd_sam_merge(work->template, own) : own;
    return take_code(work) && take_durable(work) && take_numbers(work) &&
           take_text(work, work->properties, "Runtime", &work->hosted.runtime) &&
           take_text(work, work->properties, "Handler", &work->hosted.handler) &&
           take_text(work, work->properties, "Description", &work->hosted.description) &&
           take_environment(work) && take_logging(work) && take_tenancy(work) &&
           take_alias(work) && take_layers(work) &&
           dd_sam_runtime(work->template, &work->hosted);
}

static void read_function(struct dd_template *template, size_t index)
{
    const struct dd_node *resource = template->resources->pairs[index].value;
    struct dd_sam *sam = &template->reading->sam;
    struct work work = {.template = template, .index = index, .resource = resource};

    work.serverless = strcmp(dd_sam_type(resource), "AWS::Serverless::Function") == 0;
    template->function = template->resources->pairs[index].key;
    snprintf(template->property, sizeof template->property, "FunctionName");
    if (!take_all(&work)) {
        dd_hosted_deinit(&work.hosted);
        return;
    }
    dd_sam_ignore_properties(template, work.properties);
    sam->functions =
        dd_realloc_array(sam->functions, sam->functions_len + 1, sizeof *sam->functions);
    sam->functions[sam->functions_len++] = work.hosted;
}

void dd_sam_functions(struct dd_template *template)
{
    for (size_t i = 0; i < template->resources->len; i++) {
        const struct dd_pair *pair = &template->resources->pairs[i];

        template->function = pair->key;
        snprintf(template->property, sizeof template->property, "Condition");
        if (dd_sam_is_function(pair->value) && dd_sam_exists(template, pair->value))
            read_function(template, i);
    }
    for (size_t i = 0; i < template->resources->len; i++) {
        const struct dd_pair *pair = &template->resources->pairs[i];

        template->function = NULL;
        if (strcmp(dd_sam_type(pair->value), "AWS::Lambda::Alias") == 0 &&
            dd_sam_exists(template, pair->value))
            read_alias(template, pair);
    }
    template->function = NULL;
    dd_sam_ignore_types(template);
}
