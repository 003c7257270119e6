/* durablectl: the operator's tool. Each verb is one function below. */
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "durablectl.h"

#ifndef DURABLECTL_VERSION
#define DURABLECTL_VERSION "0"
#endif

/* A payload may be as large as the protocol lets an input be. */
#define PAYLOAD_MAX ((size_t)6 * 1024 * 1024)

static int exit_of(int code)
{
    switch (code) {
    case DURABLED_OK:
        return EXIT_OK;
    case DURABLED_NO_DAEMON:
    case DURABLED_DISCONNECTED:
        return EXIT_NO_DAEMON;
    case DURABLED_NOT_FOUND:
        return EXIT_NOT_FOUND;
    case DURABLED_REFUSED:
        return EXIT_REFUSED;
    case DURABLED_USAGE:
        return EXIT_USAGE;
    default:
        return EXIT_INTERNAL;
    }
}

/* Says on stderr what went wrong; returns the exit code. */
static int complain(const struct durabled_error *error)
{
    fputs("durablectl: ", stderr);
    if (error->type[0] && error->code != DURABLED_NOT_FOUND) {
        (void)put_safe_cstr(stderr, error->type, 0);
        fputs(": ", stderr);
    }
    (void)put_safe_cstr(stderr, error->text, 0);
    fputc('\n', stderr);
    return exit_of(error->code);
}

int fail(struct durabled_error *error, int code, const char *type, const char *fmt, ...)
{
    va_list args;

    *error = (struct durabled_error){.code = code};
    (void)snprintf(error->type, sizeof error->type, "%s", type);
    va_start(args, fmt);
    (void)vsnprintf(error->text, sizeof error->text, fmt, args);
    va_end(args);
    return code;
}

int out_of_memory(struct durabled_error *error)
{
    return fail(error, DURABLED_NO_MEMORY, "", "out of memory");
}

static int usage(const char *problem)
{
    fputs("durablectl: ", stderr);
    (void)put_safe_cstr(stderr, problem, 0);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

/* The whole answer as one JSON document; frees it. */
static int put_doc(struct doc *doc)
{
    put_json(stdout, &doc->root);
    fputc('\n', stdout);
    doc_close(doc);
    fflush(stdout);
    return EXIT_OK;
}

static int put_reply(struct durabled_reply *reply)
{
    struct doc doc;

    return doc_open(&doc, reply) ? put_doc(&doc) : EXIT_OK;
}

/* --- start ------------------------------------------------------------------------------- */

/* JSON as it stands, @FILE, or - for standing input. Gives the text (free). */
static char *read_payload(const char *given, size_t *out_len, char *problem, size_t size)
{
    bool from_stdin = strcmp(given, "-") == 0;
    FILE *file = from_stdin ? stdin : NULL;
    char *text;

    *out_len = strlen(given);
    if (!from_stdin && given[0] != '@')
        return strdup(given);
    if (!from_stdin)
        file = fopen(given + 1, "rb");
    if (!file) {
        (void)snprintf(problem, size, "--payload: %.200s: %s", given + 1, strerror(errno));
        return NULL;
    }
    text = malloc(PAYLOAD_MAX + 2);
    *out_len = text ? fread(text, 1, PAYLOAD_MAX + 1, file) : 0;
    if (text && (ferror(file) || *out_len > PAYLOAD_MAX)) {
        (void)snprintf(problem, size, "--payload: %s",
                       ferror(file) ? "can't be read" : "larger than 6 MiB");
        free(text);
        text = NULL;
    } else if (!text) {
        (void)snprintf(problem, size, "--payload: out of memory");
    } else {
        text[*out_len] = '\0';
    }
    if (!from_stdin)
        fclose(file);
    return text;
}

/* The daemon takes any text; a slip of the operator's would fail in the handler. */
static bool is_json(const char *text, size_t len, char *problem, size_t size)
{
    json_error_t error;
    json_t *value = json_loadb(
        text, len, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &error);

    if (!value)
        (void)snprintf(problem, size, "--payload: no JSON: %.200s (line %d, column %d)",
                       error.text, error.line, error.column);
    json_decref(value);
    return value != NULL;
}

static void put_outcome(const struct durabled_outcome *outcome)
{
    const struct durabled_failure *failure = outcome->failure;
    struct screen screen;

    if (strcmp(outcome->status, "SUCCEEDED") == 0) {
        if (outcome->result.data) {
            (void)put_safe(stdout, outcome->result.data, outcome->result.len, 0);
            fputc('\n', stdout);
        }
        return;
    }
    screen_init(&screen, stderr);
    fputs(paint(&screen, RED), stderr);
    (void)put_safe_cstr(stderr, outcome->status, 0);
    fputs(unpaint(&screen), stderr);
    if (failure && failure->type) {
        fputs(" ", stderr);
        (void)put_safe_cstr(stderr, failure->type, 0);
    }
    if (failure && failure->message) {
        fputs(": ", stderr);
        (void)put_safe_cstr(stderr, failure->message, 0);
    }
    fputc('\n', stderr);
}

static int follow(const struct args *args, struct durabled *connection, const char *arn)
{
    struct durabled_outcome outcome;
    struct durabled_error error;
    int exit_code;

    if (durabled_client_wait(connection, arn, -1, &outcome, &error) != DURABLED_OK)
        return complain(&error);
    exit_code = strcmp(outcome.status, "SUCCEEDED") == 0 ? EXIT_OK : EXIT_BAD;
    if (args->json) {
        (void)put_reply(outcome.reply);
    } else {
        put_outcome(&outcome);
        durabled_reply_free(outcome.reply);
    }
    return exit_code;
}

static int run_start(const struct args *args, struct source *source)
{
    struct durabled_start_options options = {.name = args->name};
    struct durabled_started started;
    struct durabled_error error;
    char problem[512], *payload = NULL, *arn;
    int exit_code = EXIT_OK, rc;

    if (args->payload) {
        payload = read_payload(args->payload, &options.payload_len, problem, sizeof problem);
        if (!payload || !is_json(payload, options.payload_len, problem, sizeof problem)) {
            free(payload);
            return usage(problem);
        }
        options.payload = payload;
    }
    rc = durabled_client_start(source->connection, args->subject, &options, &started, &error);
    free(payload);
    if (rc != DURABLED_OK)
        return complain(&error);
    arn = strdup(started.arn);
    if (args->json) {
        (void)put_reply(started.reply);
    } else {
        (void)put_safe_cstr(stdout, started.arn, 0);
        fputs("  ", stdout);
        (void)put_safe_cstr(stdout, started.name, 0);
        fputs(started.existing ? "  (it exists)\n" : "\n", stdout);
        fflush(stdout);
        durabled_reply_free(started.reply);
    }
    if (args->wait && arn)
        exit_code = follow(args, source->connection, arn);
    free(arn);
    return exit_code;
}

/* --- ls ---------------------------------------------------------------------------------- */

static void put_cell(FILE *out, struct durabled_text text, size_t width)
{
    size_t used = text.data ? put_safe(out, text.data, text.len, width > 3 ? width - 3 : 0) : 0;

    put_spaces(out, used < width ? width - used + 1 : 1);
}

static void put_summary(const struct screen *screen, const msgpack_object *summary,
                        int64_t reference_ms)
{
    bool open = doc_is(summary, "status", "RUNNING");
    int64_t start_ms = doc_int(summary, "start_ms"), end_ms = doc_int(summary, "end_ms"),
            until_ms = doc_int(summary, "until_ms");
    struct durabled_text state = doc_text(summary, "state");
    char instant[32], text[32];

    /* AWS's API does not tell what an open one does. */
    if (!open || !state.data)
        state = doc_text(summary, "status");
    format_instant(instant, sizeof instant, start_ms);
    put_cell(screen->out, doc_text(summary, "name"), 36);
    put_cell(screen->out, doc_text(summary, "function"), 20);
    fputs(paint(screen, doc_is(summary, "status", "SUCCEEDED") ? GREEN
                        : open                                 ? CYAN
                                                               : RED),
          screen->out);
    put_cell(screen->out, state, 12);
    fprintf(screen->out, "%s%s  ", unpaint(screen), instant);
    if (open && until_ms) {
        format_when(text, sizeof text, until_ms, reference_ms);
        fprintf(screen->out, "until %s", text);
    } else {
        format_duration(text, sizeof text, (open ? reference_ms : end_ms) - start_ms);
        fprintf(screen->out, "%s%s", open ? "for " : "took ", text);
    }
    fputc('\n', screen->out);
}

/* One page for people or for programs; returns how many it has. */
static size_t put_page(const struct args *args, const struct screen *screen,
                       const struct doc *page, size_t before)
{
    size_t len;
    const msgpack_object *items = doc_array(&page->root, "executions", &len);

    if (!args->json && before == 0 && len > 0)
        fprintf(stdout, "%s%-36s %-20s %-12s %-19s  %s\n", paint(screen, BOLD), "name",
                "function", "state", "started", unpaint(screen));
    for (size_t i = 0; i < len; i++) {
        if (!args->json) {
            put_summary(screen, &items[i], now_ms());
            continue;
        }
        fputs(before + i > 0 ? ", " : "", stdout);
        put_json(stdout, &items[i]);
    }
    return len;
}

static char *copy_marker(const struct doc *page)
{
    struct durabled_text marker = doc_text(&page->root, "marker");

    return marker.data ? strndup(marker.data, marker.len) : NULL;
}

static int run_ls(const struct args *args, struct source *source)
{
    struct durabled_list_filter filter = {.function = args->function,
                                          .status = args->status,
                                          .since_ms = args->since_ms,
                                          .waiting = args->waiting};
    struct durabled_error error;
    struct screen screen;
    char *marker = NULL;
    bool first = true;
    size_t shown = 0;
    struct doc page;
    int rc;

    screen_init(&screen, stdout);
    do {
        filter.marker = marker;
        if (args->limit > 0)
            filter.items_max = (size_t)args->limit - shown;
        if (filter.items_max > 1000)
            filter.items_max = 1000;
        rc = source->ops->list(source, &filter, &page, &error);
        free(marker);
        if (rc != DURABLED_OK)
            return complain(&error);
        if (args->json && first)
            fputs("{\"executions\": [", stdout);
        first = false;
        shown += put_page(args, &screen, &page, shown);
        marker = copy_marker(&page);
        doc_close(&page);
    } while (marker && (args->limit == 0 || shown < (size_t)args->limit));
    if (args->json)
        fputs("]}\n", stdout);
    else if (marker)
        fprintf(stdout, "%smore: --limit %lld, or 0 for all%s\n", paint(&screen, DIM),
                (long long)args->limit * 10, unpaint(&screen));
    free(marker);
    return EXIT_OK;
}

/* --- show, history ----------------------------------------------------------------------- */

static int run_show(const struct args *args, struct source *source)
{
    struct story story = {0};
    struct durabled_error error;
    struct pages described;
    struct screen screen;
    bool shown = true;

    if (source->ops->describe(source, args->subject, &described, args->json ? NULL : &story,
                              &error) != DURABLED_OK)
        return complain(&error);
    screen_init(&screen, stdout);
    if (args->json)
        put_json_pages(stdout, &described, "operations");
    else
        shown = put_show(&screen, &described, &story, source->options, now_ms());
    story_free(&story);
    pages_free(&described);
    if (!shown)
        (void)out_of_memory(&error);
    return shown ? EXIT_OK : complain(&error);
}

static int run_history(const struct args *args, struct source *source)
{
    struct durabled_error error;
    struct screen screen;
    struct story story;

    if (source->ops->history(source, args->subject, &story, &error) != DURABLED_OK)
        return complain(&error);
    screen_init(&screen, stdout);
    if (args->json)
        put_json_pages(stdout, &story.pages, "events");
    else
        put_history(&screen, &story);
    story_free(&story);
    return EXIT_OK;
}

/* --- callback ---------------------------------------------------------------------------- */

static int run_callback(const struct args *args, struct source *source)
{
    struct durabled_failure failure = {.type = (char *)args->error_type,
                                       .message = (char *)args->error_message};
    struct durabled_callback_name name = {0};
    struct durabled_text payload = {0};
    struct durabled_error error;
    char problem[512];
    int rc;

    if (args->operation) {
        name.execution = args->subject;
        name.operation = args->operation;
    } else {
        name.id = args->subject;
    }
    if (args->payload) {
        payload.data = read_payload(args->payload, &payload.len, problem, sizeof problem);
        if (!payload.data)
            return usage(problem);
    }
    rc = source->ops->callback(source, args->action, &name, payload, &failure, &error);
    free(payload.data);
    if (rc != DURABLED_OK)
        return complain(&error);
    fputs(args->json ? "{}\n" : "done\n", stdout);
    return EXIT_OK;
}

/* --- stop, logs -------------------------------------------------------------------------- */

static int run_stop(const struct args *args, struct source *source)
{
    struct durabled_failure failure = {.type = (char *)args->error_type,
                                       .message = (char *)args->error_message};
    bool given = failure.type || failure.message;
    struct durabled_text arn, status;
    struct durabled_error error;
    struct doc stopped;
    char when[32];

    if (source->ops->stop(source, args->subject, given ? &failure : NULL, &stopped, &error) !=
        DURABLED_OK)
        return complain(&error);
    if (args->json)
        return put_doc(&stopped);
    arn = doc_text(&stopped.root, "arn");
    status = doc_text(&stopped.root, "status");
    format_instant(when, sizeof when, doc_int(&stopped.root, "end_ms"));
    (void)put_safe(stdout, arn.data ? arn.data : "", arn.len, 0);
    fputs("  ", stdout);
    (void)put_safe(stdout, status.data ? status.data : "", status.len, 0);
    fprintf(stdout, "  %s\n", when);
    doc_close(&stopped);
    return EXIT_OK;
}

static void put_log_line(const struct screen *screen, const struct durabled_log_line *line)
{
    enum colour colour = strcmp(line->level, "ERROR") == 0      ? RED
                         : strncmp(line->level, "WARN", 4) == 0 ? YELLOW
                                                                : PLAIN;
    char clock[24];

    format_clock(clock, sizeof clock, line->time_ms);
    fprintf(screen->out, "%s%s%s %s", paint(screen, DIM), clock, unpaint(screen),
            paint(screen, colour));
    put_cell(screen->out, (struct durabled_text){(char *)line->level, strlen(line->level)}, 7);
    (void)put_safe(screen->out, line->message.data ? line->message.data : "", line->message.len,
                   0);
    fprintf(screen->out, "%s\n", unpaint(screen));
}

static int run_logs(const struct args *args, struct source *source)
{
    struct durabled_error error;
    struct durabled_logs logs;
    struct screen screen;
    int64_t after = 0, dropped = 0;
    bool more;

    screen_init(&screen, stdout);
    do {
        if (durabled_client_logs(source->connection, args->subject, after, args->follow, &logs,
                                 &error) != DURABLED_OK)
            return complain(&error);
        if (logs.dropped > dropped && !args->json)
            fprintf(stdout, "%s(%lld earlier lines were dropped)%s\n", paint(&screen, DIM),
                    (long long)logs.dropped, unpaint(&screen));
        dropped = logs.dropped;
        for (size_t i = 0; !args->json && i < logs.len; i++)
            put_log_line(&screen, &logs.items[i]);
        /* Closed: until nothing more is kept. */
        more = args->follow ? !logs.closed || logs.len > 0 : logs.len > 0 && !args->json;
        after = logs.next;
        if (args->json)
            (void)put_reply(logs.reply);
        else
            durabled_reply_free(logs.reply);
        fflush(stdout);
    } while (more);
    return EXIT_OK;
}

/* --- the daemon -------------------------------------------------------------------------- */

static int run_log_level(const struct args *args, struct source *source)
{
    struct durabled_error error;
    char level[16];

    if (durabled_client_log_level(source->connection, args->subject, level, &error) !=
        DURABLED_OK)
        return complain(&error);
    fprintf(stdout, args->json ? "{\"log_level\": \"%s\"}\n" : "%s\n", level);
    return EXIT_OK;
}

static int run_functions(const struct args *args, struct source *source)
{
    struct durabled_functions functions;
    struct durabled_error error;
    struct screen screen;

    if (durabled_client_functions(source->connection, &functions, &error) != DURABLED_OK)
        return complain(&error);
    if (args->json)
        return put_reply(functions.reply);
    screen_init(&screen, stdout);
    fprintf(stdout, "%s%-32s %8s %8s %8s %8s%s\n", paint(&screen, BOLD), "function", "workers",
            "slots", "running", "queued", unpaint(&screen));
    for (size_t i = 0; i < functions.len; i++) {
        const struct durabled_function_status *function = &functions.items[i];

        put_cell(stdout, (struct durabled_text){(char *)function->name, strlen(function->name)},
                 32);
        fprintf(stdout, "%8lld %8lld %8lld %8lld\n", (long long)function->workers,
                (long long)function->slots, (long long)function->running,
                (long long)function->queued);
    }
    durabled_reply_free(functions.reply);
    return EXIT_OK;
}

/* A value as the shell takes it. */
static void put_export(const char *name, const char *value)
{
    fprintf(stdout, "export %s='", name);
    for (; *value; value++) {
        if (*value == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*value);
    }
    fputs("'\n", stdout);
}

/* Whether AWS's clients find credentials as things are. */
static bool has_credentials(void)
{
    const char *profile = getenv("AWS_PROFILE"), *key = getenv("AWS_ACCESS_KEY_ID");
    const char *home = getenv("HOME");
    char path[4096];

    (void)snprintf(path, sizeof path, "%s/.aws/credentials", home ? home : "");
    return (profile && *profile) || (key && *key) || access(path, R_OK) == 0;
}

/* Credentials are made up only where there are none: the daemon does not check them, unless
 * it is told to. */
static int run_env(const struct args *args, struct source *source)
{
    struct durabled_status status;
    struct durabled_error error;

    if (durabled_client_status(source->connection, &status, &error) != DURABLED_OK)
        return complain(&error);
    if (args->json)
        return put_reply(status.reply);
    put_export("DURABLED_SOCKET", status.socket);
    if (*status.http)
        put_export("AWS_ENDPOINT_URL_LAMBDA", status.http);
    else
        fputs("# the daemon does not answer AWS's API; start it with --http\n", stdout);
    put_export("AWS_REGION", status.region);
    put_export("AWS_DEFAULT_REGION", status.region);
    if (!has_credentials()) {
        put_export("AWS_ACCESS_KEY_ID", "local");
        put_export("AWS_SECRET_ACCESS_KEY", "local");
    }
    durabled_reply_free(status.reply);
    return EXIT_OK;
}

/* --- main -------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int (*run)(const struct args *args, struct source *source);
} verbs[] = {
    {"start", run_start},         {"ls", run_ls},
    {"show", run_show},           {"history", run_history},
    {"callback", run_callback},   {"stop", run_stop},
    {"logs", run_logs},           {"log-level", run_log_level},
    {"functions", run_functions}, {"env", run_env},
};

static int run_verb(const struct args *args)
{
    int exit_code = EXIT_INTERNAL;
    struct durabled_error error;
    struct source *source;

    if (strcmp(args->verb, "doctor") == 0)
        return run_doctor(args);
    if ((args->aws ? aws_open : local_open)(args, &source, &error) != DURABLED_OK)
        return complain(&error);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, args->verb) == 0)
            exit_code = verbs[i].run(args, source);
    source->ops->close(source);
    return exit_code;
}

int durablectl_main(int argc, char **argv)
{
    char problem[512] = "";
    struct args args;
    int exit_code;

    if (!args_parse(argc, argv, now_ms(), &args, problem, sizeof problem))
        return usage(problem);
    if (args.version) {
        printf("durablectl %s\n", DURABLECTL_VERSION);
        return EXIT_OK;
    }
    if (args.help) {
        args_help(stdout, args.verb);
        return EXIT_OK;
    }
    exit_code = run_verb(&args);
    if (fflush(stdout) != 0 && exit_code == EXIT_OK)
        exit_code = EXIT_INTERNAL;
    return exit_code;
}
