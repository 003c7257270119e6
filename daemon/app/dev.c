/* `durabled dev`; see dev.h. */
#define _GNU_SOURCE
#include "app/dev.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/version.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/limits.h"

/* Of functions given by a command: Lambda's longest Timeout, its defaults else. */
#define COMMAND_TIMEOUT_S 900
#define COMMAND_RETENTION_DAYS 14
#define COMMAND_MEMORY_MB 128
#define COMMAND_PROCESSES 10

static char *copy(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(dd_alloc(size), text, size);
}

/* --- which ------------------------------------------------------------------------------- */

static bool valid_name(const char *name)
{
    size_t len = strlen(name);

    return len > 0 && len <= DD_FUNCTION_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
               len;
}

static char **copy_texts(char **texts)
{
    size_t len = 0;
    char **copies;

    while (texts[len])
        len++;
    copies = dd_alloc_array(len + 1, sizeof *copies);
    for (size_t i = 0; i < len; i++)
        copies[i] = copy(texts[i]);
    return copies;
}

static void from_command(const struct dd_function_option *option, const char *directory,
                         struct dd_hosted *out)
{
    *out = (struct dd_hosted){
        .name = copy(option->name),
        .directory = copy(directory),
        .command = copy_texts(option->command),
        .timeout_s = COMMAND_TIMEOUT_S,
        .memory_mb = COMMAND_MEMORY_MB,
        .processes = COMMAND_PROCESSES,
        .durable = !option->plain,
        .json = !option->plain,
        .retention_days = COMMAND_RETENTION_DAYS,
    };
}

static struct dd_hosted *find(const struct dd_dev *dev, const char *name)
{
    for (size_t i = 0; i < dev->len; i++) {
        if (strcmp(dev->hosted[i].name, name) == 0)
            return &dev->hosted[i];
    }
    return NULL;
}

static int add_commands(const struct dd_options *options, struct dd_dev *dev,
                        struct dd_error *error)
{
    char directory[PATH_MAX];

    if (!getcwd(directory, sizeof directory))
        return dd_fail(error, DD_SYSTEM, "the working directory is gone");
    for (size_t i = 0; i < options->functions_len; i++) {
        const struct dd_function_option *option = &options->functions[i];

        if (!valid_name(option->name))
            return dd_fail(error, DD_USAGE,
                           "--function: '%s' is not 1 to 64 of letters, digits, '-' and '_'",
                           option->name);
        if (find(dev, option->name))
            return dd_fail(error, DD_USAGE, "--function: '%s' is there already", option->name);
        dev->hosted = dd_realloc_array(dev->hosted, dev->len + 1, sizeof *dev->hosted);
        from_command(option, directory, &dev->hosted[dev->len++]);
    }
    return 0;
}

/* "KEY=VALUE,..." as the texts that sam.h wants; the commas become ends. */
static const char **split_parameters(char *text)
{
    const char **all;
    size_t len = 1;

    for (const char *c = text; *c; c++)
        len += *c == ',';
    all = dd_alloc_array(len + 1, sizeof *all);
    len = 0;
    while (*text) {
        all[len++] = text;
        text += strcspn(text, ",");
        if (*text)
            *text++ = '\0';
    }
    return all;
}

static int read_template(const struct dd_options *options, const char *directory,
                         struct dd_sam *out, struct dd_error *error)
{
    char *parameters = copy(options->parameters);
    const char **split = split_parameters(parameters);
    struct dd_sam_config config = {
        .directory = directory,
        .template_path = *options->template ? options->template : NULL,
        .region = options->region,
        .account = options->account,
        .parameters = split,
        .virtual_env = getenv("VIRTUAL_ENV"),
        .path = getenv("PATH"),
    };
    int rc = dd_sam_read(&config, out, error);

    dd_free(split);
    dd_free(parameters);
    return rc;
}

/* The functions of a template; one of the command line with the same name wins. */
static int add_template(const struct dd_options *options, struct dd_dev *dev,
                        struct dd_error *error)
{
    char directory[PATH_MAX];
    int rc;

    if (!getcwd(directory, sizeof directory))
        return dd_fail(error, DD_SYSTEM, "the working directory is gone");
    rc = read_template(options, directory, &dev->sam, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < dev->sam.functions_len; i++) {
        if (find(dev, dev->sam.functions[i].name))
            continue;
        dev->hosted = dd_realloc_array(dev->hosted, dev->len + 1, sizeof *dev->hosted);
        dev->hosted[dev->len++] = dev->sam.functions[i];
        dev->sam.functions[i] = (struct dd_hosted){0};
    }
    return 0;
}

static int set_debug(const struct dd_options *options, struct dd_dev *dev,
                     struct dd_error *error)
{
    struct dd_hosted *function = find(dev, options->debug);

    if (!function)
        return dd_fail(error, DD_USAGE, "--debug: there is no function '%s'", options->debug);
    function->debug = true;
    return 0;
}

int dd_dev_read(const struct dd_options *options, struct dd_dev *out, struct dd_error *error)
{
    int rc;

    *out = (struct dd_dev){0};
    rc = add_commands(options, out, error);
    if (rc == 0 && (*options->template || out->len == 0))
        rc = add_template(options, out, error);
    if (rc == DD_NOT_FOUND)
        rc = dd_fail(error, DD_USAGE,
                     "there is nothing to host: run it beside a template, or give "
                     "--function NAME -- COMMAND...");
    if (rc == 0 && *options->debug)
        rc = set_debug(options, out, error);
    if (rc)
        dd_dev_deinit(out);
    return rc;
}

void dd_dev_deinit(struct dd_dev *dev)
{
    dd_sam_deinit(&dev->sam);
    for (size_t i = 0; i < dev->len; i++)
        dd_hosted_deinit(&dev->hosted[i]);
    dd_free(dev->hosted);
    *dev = (struct dd_dev){0};
}

void dd_dev_hide_data(const struct dd_options *options)
{
    size_t len = strlen(options->data), name = strlen("/" DD_DEV_DATA);
    char path[PATH_MAX];
    FILE *file;

    if (len < name || strcmp(options->data + len - name, "/" DD_DEV_DATA) != 0)
        return;
    snprintf(path, sizeof path, "%s/.gitignore", options->data);
    file = fopen(path, "wx");
    if (!file)
        return;
    fputs("*\n", file);
    fclose(file);
}

/* --- the environment --------------------------------------------------------------------- */

static bool has(const struct dd_hosted *function, const char *name)
{
    for (size_t i = 0; i < function->environment_len; i++) {
        if (strcmp(function->environment[i].name, name) == 0)
            return true;
    }
    return false;
}

/* Adds a variable, unless the function has one of that name. */
static void add(struct dd_hosted *function, const char *name, const char *value)
{
    struct dd_variable *variable;

    if (has(function, name))
        return;
    function->environment = dd_realloc_array(
        function->environment, function->environment_len + 1, sizeof *function->environment);
    variable = &function->environment[function->environment_len++];
    variable->name = copy(name);
    variable->value = copy(value);
}

static void addf(struct dd_hosted *function, const char *name, const char *format, ...)
    DD_PRINTF(3, 4);

static void addf(struct dd_hosted *function, const char *name, const char *format, ...)
{
    char value[PATH_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    add(function, name, value);
}

static void add_from(struct dd_hosted *function, const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    if (value && *value)
        add(function, name, value);
    else if (otherwise)
        add(function, name, otherwise);
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* A variable of the daemon's environment, with which the function is to find what its
 * user's programs find: other services of AWS's, proxies and roots of trust. */
static bool is_inherited(const char *entry)
{
    static const char *const names[] = {
        "PATH=",
        "HOME=",
        "USER=",
        "LANG=",
        "LC_ALL=",
        "TMPDIR=",
        "VIRTUAL_ENV=",
        "HTTP_PROXY=",
        "HTTPS_PROXY=",
        "NO_PROXY=",
        "http_proxy=",
        "https_proxy=",
        "no_proxy=",
        "SSL_CERT_FILE=",
        "SSL_CERT_DIR=",
        "AWS_CA_BUNDLE=",
        "AWS_PROFILE=",
        "AWS_CONFIG_FILE=",
        "AWS_SHARED_CREDENTIALS_FILE=",
        "AWS_ACCESS_KEY_ID=",
        "AWS_SECRET_ACCESS_KEY=",
        "AWS_SESSION_TOKEN=",
        "AWS_ENDPOINT_URL_",
    };

    for (size_t i = 0; i < DD_COUNT(names); i++) {
        if (starts(entry, names[i]))
            return true;
    }
    return false;
}

/* A user's own command finds all that its shell has; a template's function little more
 * than in Lambda. */
static void inherit(struct dd_hosted *function)
{
    for (char **entry = environ; *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        char name[256];

        if (!equals || (size_t)(equals - *entry) >= sizeof name ||
            starts(*entry, "AWS_LAMBDA_RUNTIME_API=") ||
            (function->runtime && !is_inherited(*entry)))
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(equals - *entry), *entry);
        add(function, name, equals + 1);
    }
}

static bool is_set(const char *name)
{
    const char *value = getenv(name);

    return value && *value;
}

bool dd_dev_other_keys(void)
{
    static const char *const files[] = {"credentials", "config"};
    char path[PATH_MAX];

    if (is_set("AWS_ACCESS_KEY_ID"))
        return false;
    for (size_t i = 0; is_set("HOME") && i < DD_COUNT(files); i++) {
        snprintf(path, sizeof path, "%s/.aws/%s", getenv("HOME"), files[i]);
        if (access(path, R_OK) == 0)
            return true;
    }
    return is_set("AWS_PROFILE");
}

/* Credentials are made up only where the function would find none. */
static void add_credentials(struct dd_hosted *function)
{
    if (has(function, "AWS_ACCESS_KEY_ID") || dd_dev_other_keys())
        return;
    add(function, "AWS_ACCESS_KEY_ID", "local");
    add(function, "AWS_SECRET_ACCESS_KEY", "local");
}

static void complete(struct dd_hosted *function, const struct dd_options *options,
                     const char *http)
{
    add(function, "AWS_LAMBDA_FUNCTION_NAME", function->name);
    add(function, "AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
    addf(function, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "%" PRId64, function->memory_mb);
    addf(function, "AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/%s", function->name);
    add(function, "AWS_LAMBDA_LOG_STREAM_NAME", "$LATEST");
    if (function->json) {
        add(function, "AWS_LAMBDA_LOG_FORMAT", "JSON");
        add(function, "AWS_LAMBDA_LOG_LEVEL", "INFO");
    } else {
        add(function, "AWS_LAMBDA_LOG_FORMAT", "Text");
    }
    add(function, "AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
    add(function, "LAMBDA_TASK_ROOT", function->directory);
    add(function, "LAMBDA_RUNTIME_DIR", function->directory);
    if (function->handler)
        add(function, "_HANDLER", function->handler);
    if (function->runtime)
        addf(function, "AWS_EXECUTION_ENV", "AWS_Lambda_%s", function->runtime);
    add(function, "AWS_REGION", options->region);
    add(function, "AWS_DEFAULT_REGION", options->region);
    add(function, "AWS_ENDPOINT_URL_LAMBDA", http);
    add(function, "DURABLED_SOCKET", options->socket);
    inherit(function);
    if (function->runtime)
        add(function, "TZ", ":UTC");
    add_from(function, "LANG", "en_US.UTF-8");
    add_credentials(function);
}

void dd_dev_environment(struct dd_dev *dev, const struct dd_options *options, const char *http)
{
    for (size_t i = 0; i < dev->len; i++)
        complete(&dev->hosted[i], options, http);
}

/* --- what a person reads ----------------------------------------------------------------- */

static void put_duration(int64_t seconds)
{
    static const struct {
        const char *name;
        int64_t s;
    } units[] = {{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};

    for (size_t i = 0; i < DD_COUNT(units); i++) {
        if (seconds % units[i].s == 0) {
            printf("%" PRId64 " %s", seconds / units[i].s, units[i].name);
            return;
        }
    }
}

static void put_function(const struct dd_hosted *function, int width, bool first)
{
    printf("  %-10s %-*s  ", first ? "functions" : "", width, function->name);
    printf(function->durable ? "durable" : "not durable");
    if (function->execution_timeout_s) {
        printf(", ExecutionTimeout ");
        put_duration(function->execution_timeout_s);
    }
    printf(", Timeout ");
    if (function->debug)
        printf("none (--debug)");
    else
        put_duration(function->timeout_s);
    for (size_t i = 0; function->aliases && function->aliases[i]; i++)
        printf(", alias %s", function->aliases[i]);
    if (function->runtime)
        printf("; %s %s", function->runtime, function->handler ? function->handler : "");
    else
        printf("; %s", function->command[0]);
    putchar('\n');
}

/* What can't be started, what differs, and what is not emulated: each is one line. */
static void put_lines(const struct dd_dev *dev)
{
    const struct dd_sam *sam = &dev->sam;

    for (size_t i = 0; i < sam->faults.len; i++) {
        /* What the command line has instead of it is started. */
        if (!sam->faults.items[i].function || !find(dev, sam->faults.items[i].function))
            printf("\n  not started: %s", sam->faults.items[i].text);
    }
    for (size_t i = 0; i < sam->notes.len; i++)
        printf("\n  note: %s", sam->notes.items[i].text);
    for (size_t i = 0; sam->ignored && sam->ignored[i]; i++)
        printf("\n  not emulated: %s", sam->ignored[i]);
    if (sam->faults.len > 0 || sam->notes.len > 0 || (sam->ignored && sam->ignored[0]))
        putchar('\n');
}

/* A socket beside the data is not looked for; `durablectl env` tells of it. */
static void put_next(const struct dd_dev *dev, const struct dd_options *options)
{
    bool beside = starts(options->socket, options->data);
    const struct dd_hosted *first = &dev->hosted[0];

    for (size_t i = 1; i < dev->len && !first->durable; i++) {
        if (dev->hosted[i].durable)
            first = &dev->hosted[i];
    }
    printf("\nTry next, in another terminal\n"
           "  eval \"$(durablectl env%s%s)\"\n"
           "  echo '{}' | aws lambda invoke --function-name '%s%s'%s "
           "--payload fileb:///dev/stdin /dev/stdout\n"
           "  durablectl show -\n",
           beside ? " --socket " : "", beside ? options->socket : "", first->name,
           first->durable ? ":$LATEST" : "",
           first->execution_timeout_s > DD_SYNC_TIMEOUT_S ? " --invocation-type Event" : "");
}

void dd_dev_print(const struct dd_dev *dev, const struct dd_options *options, const char *http)
{
    int width = 0;

    for (size_t i = 0; i < dev->len; i++) {
        int len = (int)strlen(dev->hosted[i].name);

        width = len > width ? len : width;
    }
    printf("durabled %s\n\n  %-10s %s\n  %-10s %s\n  %-10s %s\n", DD_VERSION, "API", http,
           "socket", options->socket, "data", options->data);
    for (size_t i = 0; i < dev->len; i++)
        put_function(&dev->hosted[i], width, i == 0);
    put_lines(dev);
    if (dev->len > 0)
        put_next(dev, options);
    putchar('\n');
    fflush(stdout);
}
