/* Option parsing; see options.h for the table. */
#include "app/options.h"

#include <errno.h>
#include <getopt.h>
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

enum kind { KIND_TEXT, KIND_SIZE, KIND_NUMBER, KIND_FLAG };

struct row {
    enum kind kind;
    const char *name, *env, *value, *def, *help;
    size_t offset;
};

static const struct row rows[] = {
#define X(field, kind, name, env, value, def, help) \
    {KIND_##kind, name, env, value, def, help, offsetof(struct dd_options, field)},
    DD_OPTIONS(X)
#undef X
};

static char *copy(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(dd_alloc(size), text, size);
}

/* "64G" in bytes; K, M, G, T are powers of 1024. */
static bool parse_size(const char *text, uint64_t *out)
{
    static const char units[] = "KMGT";
    char *end;
    unsigned long long value;
    unsigned shift = 0;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno || value == 0)
        return false;
    if (*end) {
        const char *unit = strchr(units, *end);

        if (!unit || end[1])
            return false;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (value > (UINT64_MAX >> shift))
        return false;
    *out = (uint64_t)value << shift;
    return true;
}

static bool parse_number(const char *text, int64_t *out)
{
    char *end;
    long long value;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || *end)
        return false;
    *out = value;
    return true;
}

/* `source` is how the user wrote it: "--data" or "DURABLED_DATA". */
static int set(struct dd_options *options, const struct row *row, const char *text,
               const char *source, struct dd_error *error)
{
    void *field = (char *)options + row->offset;

    switch (row->kind) {
    case KIND_TEXT:
        dd_free(*(char **)field);
        *(char **)field = copy(text);
        return 0;
    case KIND_SIZE:
        if (!parse_size(text, field))
            return dd_fail(error, DD_USAGE, "%s: '%s' is no size (such as 512M or 64G)", source,
                           text);
        return 0;
    case KIND_NUMBER:
        if (!parse_number(text, field))
            return dd_fail(error, DD_USAGE, "%s: '%s' is no whole number", source, text);
        return 0;
    case KIND_FLAG:
        if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
            return dd_fail(error, DD_USAGE, "%s: '%s' is neither 0 nor 1", source, text);
        *(bool *)field = *text == '1';
        return 0;
    }
    dd_unreachable();
}

static void print_help(void)
{
    printf(
        "durabled %s: durable execution over a local socket\n\n"
        "usage: durabled serve [OPTION...]   serve workers and clients on a socket\n"
        "       durabled dev [OPTION...] [--function NAME -- COMMAND...]...\n"
        "                                    the same, and host Lambda functions: those of a\n"
        "                                    template, and those given (durable; one that is "
        "not\n"
        "                                    with --plain-function)\n"
        "       durabled check [--data DIR]  verify a whole store; the daemon must be stopped\n"
        "       durabled extension           serve the sessions of a Lambda function, over "
        "AWS's\n"
        "                                    durable execution API; what a layer runs\n"
        "       durabled ctl VERB...         the operator's tool; so is this program by the "
        "name\n"
        "                                    of durablectl\n"
        "       durabled wrap COMMAND...     run a Lambda function behind the extension, with "
        "the "
        "input\n"
        "                                    as its event; durabled-wrap is the same\n"
        "       durabled --help | --version\n\n"
        "Every option may also be given by the environment variable beside it.\n\n",
        DD_VERSION);
    for (size_t i = 0; i < DD_COUNT(rows); i++)
        printf("  --%s%s%s  [%s]\n      %s%s%s%s\n", rows[i].name, rows[i].value[0] ? " " : "",
               rows[i].value, rows[i].env, rows[i].help, rows[i].def[0] ? " (default: " : "",
               rows[i].def, rows[i].def[0] ? ")" : "");
    printf(
        "\nSignals: SIGTERM and SIGINT end it in order; SIGKILL loses nothing acknowledged.\n");
}

static int from_environment(struct dd_options *options, struct dd_error *error)
{
    for (size_t i = 0; i < DD_COUNT(rows); i++) {
        const char *text = getenv(rows[i].env);
        bool given = text && *text;
        int rc = set(options, &rows[i],
                     given                                         ? text
                     : rows[i].kind == KIND_TEXT || rows[i].def[0] ? rows[i].def
                                                                   : "0",
                     given ? rows[i].env : rows[i].name, error);

        if (rc)
            return rc;
    }
    return 0;
}

#define FUNCTION "--function"
#define PLAIN_FUNCTION "--plain-function"

static bool begins_function(const char *word)
{
    return strcmp(word, FUNCTION) == 0 || strcmp(word, PLAIN_FUNCTION) == 0;
}

/* Those of a command, up to the next function. */
static char **copy_command(char **words, size_t *out_len)
{
    size_t len = 0;
    char **command;

    while (words[len] && !begins_function(words[len]))
        len++;
    command = dd_alloc_array(len + 1, sizeof *command);
    memcpy(command, words, len * sizeof *command);
    *out_len = len;
    return command;
}

/* "--function NAME -- COMMAND...", as often as it comes. */
static int take_functions(struct dd_options *options, char **words, struct dd_error *error)
{
    size_t len;

    while (*words) {
        struct dd_function_option *function;

        if (!words[1] || !words[2] || strcmp(words[2], "--") != 0 || !words[3] ||
            begins_function(words[3]))
            return dd_fail(error, DD_USAGE, "write: %s NAME -- COMMAND...", *words);
        options->functions = dd_realloc_array(options->functions, options->functions_len + 1,
                                              sizeof *options->functions);
        function = &options->functions[options->functions_len++];
        function->plain = strcmp(*words, PLAIN_FUNCTION) == 0;
        function->name = words[1];
        function->command = copy_command(words + 3, &len);
        words += 3 + len;
    }
    return 0;
}

static int from_command_line(struct dd_options *options, int argc, char **argv,
                             struct dd_error *error)
{
    struct option longs[DD_COUNT(rows) + 3] = {
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
    };
    int found, rc, all = argc;

    for (argc = 0; argc < all && !begins_function(argv[argc]); argc++)
        continue;
    rc = take_functions(options, argv + argc, error);
    if (rc)
        return rc;
    for (size_t i = 0; i < DD_COUNT(rows); i++)
        longs[i + 2] = (struct option){
            rows[i].name, rows[i].kind == KIND_FLAG ? no_argument : required_argument, NULL,
            (int)(256 + i)};
    opterr = 0;
    while ((found = getopt_long(argc, argv, ":hV", longs, NULL)) != -1) {
        char source[64];

        if (found == 'h') {
            print_help();
            return DD_OPTIONS_HELP;
        }
        if (found == 'V') {
            printf("durabled %s\n", DD_VERSION);
            return DD_OPTIONS_HELP;
        }
        if (found == ':')
            return dd_fail(error, DD_USAGE, "%s needs a value; see durabled --help",
                           argv[optind - 1]);
        if (found == '?')
            return dd_fail(error, DD_USAGE, "unknown option '%s'; see durabled --help",
                           argv[optind - 1]);
        snprintf(source, sizeof source, "--%s", rows[found - 256].name);
        rc = set(options, &rows[found - 256], optarg ? optarg : "1", source, error);
        if (rc)
            return rc;
    }
    if (optind >= argc)
        return dd_fail(error, DD_USAGE,
                       "which command? `durabled serve`, or see durabled --help");
    options->command = argv[optind];
    if (strcmp(options->command, "serve") != 0 && strcmp(options->command, "dev") != 0 &&
        strcmp(options->command, "check") != 0)
        return dd_fail(error, DD_USAGE, "unknown command '%s'; see durabled --help",
                       options->command);
    if (options->functions_len > 0 && strcmp(options->command, "dev") != 0)
        return dd_fail(error, DD_USAGE, "functions are hosted by `durabled dev`");
    if (optind + 1 < argc)
        return dd_fail(error, DD_USAGE, "unexpected argument '%s'; see durabled --help",
                       argv[optind + 1]);
    return DD_OPTIONS_RUN;
}

static void derive_region(struct dd_options *options)
{
    const char *region = getenv("AWS_REGION");

    if (!region || !*region)
        region = getenv("AWS_DEFAULT_REGION");
    dd_free(options->region);
    options->region = copy(region && *region ? region : "us-east-1");
}

/* Of dev: where `sam local start-lambda` answers. */
#define DEV_HTTP "127.0.0.1:3001"

static void replace(char **field, const char *text)
{
    dd_free(*field);
    *field = copy(text);
}

/* Whoever reads it may be in another directory. */
static void absolute(char **field)
{
    char cwd[PATH_MAX];
    struct dd_buf path;

    if (**field == '/' || !getcwd(cwd, sizeof cwd))
        return;
    dd_buf_init(&path, 2 * PATH_MAX);
    dd_buf_printf(&path, "%s/%s", cwd, *field);
    dd_buf_append_byte(&path, '\0');
    dd_free(*field);
    *field = dd_buf_take(&path, NULL);
}

/* Defaults that depend on the command and the environment. */
static void derive(struct dd_options *options)
{
    bool dev = strcmp(options->command, "dev") == 0;
    struct dd_buf path;
    const char *directory;

    dd_buf_init(&path, PATH_MAX);
    if (!*options->http && dev)
        replace(&options->http, DEV_HTTP);
    if (!*options->data && dev)
        replace(&options->data, DD_DEV_DATA);
    if (options->invocation_retries == 0 && dev)
        options->invocation_retries = DD_AWS_INVOCATION_RETRIES;
    if (!*options->data) {
        if ((directory = getenv("STATE_DIRECTORY")) && *directory)
            dd_buf_printf(&path, "%s", directory);
        else if ((directory = getenv("XDG_STATE_HOME")) && *directory)
            dd_buf_printf(&path, "%s/durabled", directory);
        else if ((directory = getenv("HOME")) && *directory)
            dd_buf_printf(&path, "%s/.local/state/durabled", directory);
        else
            dd_buf_printf(&path, "/var/lib/durabled");
        dd_buf_append_byte(&path, '\0');
        dd_free(options->data);
        options->data = dd_buf_take(&path, NULL);
    }
    absolute(&options->data);
    if (!*options->socket) {
        if ((directory = getenv("XDG_RUNTIME_DIR")) && *directory)
            dd_buf_printf(&path, "%s/durabled.sock", directory);
        else if (dev && access("/run", W_OK) != 0 && access("/run/durabled", W_OK) != 0)
            dd_buf_printf(&path, "%s/durabled.sock", options->data);
        else
            dd_buf_printf(&path, "/run/durabled/durabled.sock");
        dd_buf_append_byte(&path, '\0');
        dd_free(options->socket);
        options->socket = dd_buf_take(&path, NULL);
    }
    absolute(&options->socket);
    dd_buf_deinit(&path);
    if (!*options->region)
        derive_region(options);
}

static int validate(const struct dd_options *options, struct dd_error *error)
{
    if (options->execution_timeout < 1 || options->execution_timeout > DD_SECONDS_MAX)
        return dd_fail(error, DD_USAGE, "--execution-timeout: between 1 and %d",
                       DD_SECONDS_MAX);
    if (options->retention < 1 || options->retention > DD_RETENTION_DAYS_MAX * 86400)
        return dd_fail(error, DD_USAGE, "--retention: between 1 and %d",
                       DD_RETENTION_DAYS_MAX * 86400);
    if (options->stop_timeout > DD_SECONDS_MAX)
        return dd_fail(error, DD_USAGE, "--stop-timeout: at most %d", DD_SECONDS_MAX);
    if (options->invocation_retries > UINT32_MAX)
        return dd_fail(error, DD_USAGE, "--invocation-retries: too large");
    if (strlen(options->account) != 12 || strspn(options->account, "0123456789") != 12)
        return dd_fail(error, DD_USAGE, "--account: '%s' is not twelve digits",
                       options->account);
    if (strlen(options->region) > 31 ||
        options->region[strspn(options->region, "abcdefghijklmnopqrstuvwxyz0123456789-")])
        return dd_fail(error, DD_USAGE, "--region: '%s' is no name of a region",
                       options->region);
    return 0;
}

int dd_options_parse(int argc, char **argv, struct dd_options *out_options,
                     struct dd_error *error)
{
    int rc;

    memset(out_options, 0, sizeof *out_options);
    rc = from_environment(out_options, error);
    if (rc == 0)
        rc = from_command_line(out_options, argc, argv, error);
    if (rc == 0) {
        derive(out_options);
        rc = validate(out_options, error);
    }
    if (rc != DD_OPTIONS_RUN)
        dd_options_deinit(out_options);
    return rc;
}

void dd_options_deinit(struct dd_options *options)
{
    for (size_t i = 0; i < options->functions_len; i++)
        dd_free(options->functions[i].command);
    dd_free(options->functions);
    options->functions = NULL;
    options->functions_len = 0;
    for (size_t i = 0; i < DD_COUNT(rows); i++) {
        char **field;

        if (rows[i].kind != KIND_TEXT)
            continue;
        field = (char **)(void *)((char *)options + rows[i].offset);
        dd_free(*field);
        *field = NULL;
    }
}
