/* durablectl: the operator's tool. Each verb is one function below. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
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

static int out_of_memory(struct durabled_error *error)
{
    *error = (struct durabled_error){.code = DURABLED_NO_MEMORY, .text = "out of memory"};
    return error->code;
}

static int usage(const char *problem)
{
    fputs("durablectl: ", stderr);
    (void)put_safe_cstr(stderr, problem, 0);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

/* The whole answer as one JSON document; frees the reply. */
static int put_reply(struct durabled_reply *reply)
{
    struct doc doc;

    if (doc_open(&doc, reply)) {
        put_json(stdout, &doc.root);
        fputc('\n', stdout);
        doc_close(&doc);
    }
    durabled_reply_free(reply);
    fflush(stdout);
    return EXIT_OK;
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

static int run_start(const struct args *args, struct durabled *connection)
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
    rc = durabled_client_start(connection, args->subject, &options, &started, &error);
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
        exit_code = follow(args, connection, arn);
    free(arn);
    return exit_code;
}

/* --- ls ---------------------------------------------------------------------------------- */

static enum colour status_paint(const char *status)
{
    if (strcmp(status, "SUCCEEDED") == 0)
        return GREEN;
    return strcmp(status, "RUNNING") == 0 ? CYAN : RED;
}

static void put_cell(FILE *out, const char *text, size_t width)
{
    size_t used = put_safe_cstr(out, text, width > 3 ? width - 3 : 0);

    put_spaces(out, used < width ? width - used + 1 : 1);
}

static void put_summary(const struct screen *screen, const struct durabled_summary *summary,
                        int64_t reference_ms)
{
    bool open = strcmp(summary->status, "RUNNING") == 0;
    char instant[32], text[32];

    format_instant(instant, sizeof instant, summary->start_ms);
    put_cell(screen->out, summary->name, 36);
    put_cell(screen->out, summary->function, 20);
    fputs(paint(screen, status_paint(summary->status)), screen->out);
    put_cell(screen->out, open ? summary->state : summary->status, 12);
    fprintf(screen->out, "%s%s  ", unpaint(screen), instant);
    if (open && summary->until_ms) {
        format_when(text, sizeof text, summary->until_ms, reference_ms);
        fprintf(screen->out, "until %s", text);
    } else {
        format_duration(text, sizeof text,
                        (open ? reference_ms : summary->end_ms) - summary->start_ms);
        fprintf(screen->out, "%s%s", open ? "for " : "took ", text);
    }
    fputc('\n', screen->out);
}

/* One page for people or for programs. */
static void put_page(const struct args *args, const struct screen *screen,
                     const struct durabled_list *page, size_t before)
{
    struct doc doc;
    const msgpack_object *items;
    size_t len;

    if (!args->json) {
        for (size_t i = 0; i < page->len; i++)
            put_summary(screen, &page->items[i], now_ms());
        return;
    }
    if (!doc_open(&doc, page->reply))
        return;
    items = doc_array(&doc.root, "executions", &len);
    for (size_t i = 0; i < len; i++) {
        fputs(before + i > 0 ? ", " : "", stdout);
        put_json(stdout, &items[i]);
    }
    doc_close(&doc);
}

static int run_ls(const struct args *args, struct durabled *connection)
{
    struct durabled_list_filter filter = {.function = args->function,
                                          .status = args->status,
                                          .since_ms = args->since_ms,
                                          .waiting = args->waiting};
    struct durabled_list page = {0};
    struct durabled_error error;
    struct screen screen;
    char *marker = NULL;
    bool first = true;
    size_t shown = 0;
    int rc;

    screen_init(&screen, stdout);
    do {
        filter.marker = marker;
        if (args->limit > 0)
            filter.items_max = (size_t)args->limit - shown;
        if (filter.items_max > 1000)
            filter.items_max = 1000;
        rc = durabled_client_list(connection, &filter, &page, &error);
        free(marker);
        marker = NULL;
        if (rc != DURABLED_OK)
            return complain(&error);
        if (args->json && first)
            fputs("{\"executions\": [", stdout);
        first = false;
        if (!args->json && shown == 0 && page.len > 0)
            fprintf(stdout, "%s%-36s %-20s %-12s %-19s  %s\n", paint(&screen, BOLD), "name",
                    "function", "state", "started", unpaint(&screen));
        put_page(args, &screen, &page, shown);
        shown += page.len;
        marker = page.marker ? strdup(page.marker) : NULL;
        durabled_reply_free(page.reply);
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

/* All pages of a description, which own the ARN; frees them on failure. */
static int describe(struct durabled *connection, const char *execution, struct pages *out,
                    const char **out_arn, struct durabled_error *error)
{
    struct durabled_description page;
    int64_t after = 0;
    bool more;
    int rc;

    *out = (struct pages){0};
    do {
        rc = durabled_client_describe_page(connection, execution, true, after, &page, error);
        /* One answer may be too small for the payloads of a page, but not for the rest. */
        if (rc == DURABLED_REFUSED && strcmp(error->type, "RequestTooLargeException") == 0)
            rc = durabled_client_describe_page(connection, execution, false, after, &page,
                                               error);
        if (rc != DURABLED_OK)
            break;
        after += (int64_t)page.operations_len;
        more = page.more && page.operations_len > 0;
        execution = *out_arn = page.arn;
        if (!pages_add(out, page.reply))
            rc = out_of_memory(error);
    } while (rc == DURABLED_OK && more);
    if (rc != DURABLED_OK)
        pages_free(out);
    return rc;
}

static int run_show(const struct args *args, struct durabled *connection)
{
    struct durabled_error error;
    struct pages described;
    struct screen screen;
    struct story story;
    const char *arn;
    int rc;

    if (describe(connection, args->subject, &described, &arn, &error) != DURABLED_OK)
        return complain(&error);
    if (args->json) {
        put_json_pages(stdout, &described, "operations");
        pages_free(&described);
        return EXIT_OK;
    }
    rc = story_load(connection, arn, false, &story, &error);
    if (rc == DURABLED_OK) {
        screen_init(&screen, stdout);
        if (!put_show(&screen, &described, &story, args->socket, now_ms()))
            rc = out_of_memory(&error);
        story_free(&story);
    }
    pages_free(&described);
    return rc == DURABLED_OK ? EXIT_OK : complain(&error);
}

static int run_history(const struct args *args, struct durabled *connection)
{
    struct durabled_error error;
    struct screen screen;
    struct story story;

    if (story_load(connection, args->subject, true, &story, &error) != DURABLED_OK)
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

static int run_callback(const struct args *args, struct durabled *connection)
{
    struct durabled_callback_name name = {0};
    struct durabled_failure failure = {.type = (char *)args->error_type,
                                       .message = (char *)args->error_message};
    struct durabled_error error;
    char problem[512], *payload = NULL;
    size_t payload_len = 0;
    int rc;

    if (args->operation) {
        name.execution = args->subject;
        name.operation = args->operation;
    } else {
        name.id = args->subject;
    }
    if (args->payload) {
        payload = read_payload(args->payload, &payload_len, problem, sizeof problem);
        if (!payload)
            return usage(problem);
    }
    if (strcmp(args->action, "succeed") == 0)
        rc = durabled_client_callback_succeed(connection, &name, payload, payload_len, &error);
    else if (strcmp(args->action, "fail") == 0)
        rc = durabled_client_callback_fail(connection, &name, &failure, &error);
    else
        rc = durabled_client_callback_heartbeat(connection, &name, &error);
    free(payload);
    if (rc != DURABLED_OK)
        return complain(&error);
    fputs(args->json ? "{}\n" : "done\n", stdout);
    return EXIT_OK;
}

/* --- stop, logs -------------------------------------------------------------------------- */

static int run_stop(const struct args *args, struct durabled *connection)
{
    struct durabled_stopped stopped;
    struct durabled_error error;
    char when[32];

    if (durabled_client_stop(connection, args->subject, NULL, &stopped, &error) != DURABLED_OK)
        return complain(&error);
    if (args->json)
        return put_reply(stopped.reply);
    format_instant(when, sizeof when, stopped.end_ms);
    (void)put_safe_cstr(stdout, stopped.arn, 0);
    fputs("  ", stdout);
    (void)put_safe_cstr(stdout, stopped.status, 0);
    fprintf(stdout, "  %s\n", when);
    durabled_reply_free(stopped.reply);
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
    put_cell(screen->out, line->level, 7);
    (void)put_safe(screen->out, line->message.data ? line->message.data : "", line->message.len,
                   0);
    fprintf(screen->out, "%s\n", unpaint(screen));
}

static int run_logs(const struct args *args, struct durabled *connection)
{
    struct durabled_error error;
    struct durabled_logs logs;
    struct screen screen;
    int64_t after = 0, dropped = 0;
    bool more;

    screen_init(&screen, stdout);
    do {
        if (durabled_client_logs(connection, args->subject, after, args->follow, &logs,
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

static int run_log_level(const struct args *args, struct durabled *connection)
{
    struct durabled_error error;
    char level[16];

    if (durabled_client_log_level(connection, args->subject, level, &error) != DURABLED_OK)
        return complain(&error);
    fprintf(stdout, args->json ? "{\"log_level\": \"%s\"}\n" : "%s\n", level);
    return EXIT_OK;
}

static int run_functions(const struct args *args, struct durabled *connection)
{
    struct durabled_functions functions;
    struct durabled_error error;
    struct screen screen;

    if (durabled_client_functions(connection, &functions, &error) != DURABLED_OK)
        return complain(&error);
    if (args->json)
        return put_reply(functions.reply);
    screen_init(&screen, stdout);
    fprintf(stdout, "%s%-32s %8s %8s %8s %8s%s\n", paint(&screen, BOLD), "function", "workers",
            "slots", "running", "queued", unpaint(&screen));
    for (size_t i = 0; i < functions.len; i++) {
        const struct durabled_function_status *function = &functions.items[i];

        put_cell(stdout, function->name, 32);
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
static int run_env(const struct args *args, struct durabled *connection)
{
    struct durabled_status status;
    struct durabled_error error;

    if (durabled_client_status(connection, &status, &error) != DURABLED_OK)
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
    int (*run)(const struct args *args, struct durabled *connection);
} verbs[] = {
    {"start", run_start},         {"ls", run_ls},
    {"show", run_show},           {"history", run_history},
    {"callback", run_callback},   {"stop", run_stop},
    {"logs", run_logs},           {"log-level", run_log_level},
    {"functions", run_functions}, {"env", run_env},
};

static int run_verb(const struct args *args)
{
    struct durabled *connection;
    struct durabled_error error;
    int exit_code = EXIT_INTERNAL;

    if (strcmp(args->verb, "doctor") == 0)
        return run_doctor(args);
    if (durabled_open(args->socket, &connection, &error) != DURABLED_OK)
        return complain(&error);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, args->verb) == 0)
            exit_code = verbs[i].run(args, connection);
    durabled_close(connection);
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
