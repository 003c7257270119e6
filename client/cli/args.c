/* Options, verbs and their help, from two tables. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cli.h"

/* --- verbs ------------------------------------------------------------------------------- */

enum verb_bit {
    START = 1,
    LS = 2,
    SHOW = 4,
    HISTORY = 8,
    STOP = 16,
    LOGS = 32,
    LOG_LEVEL = 64,
    DOCTOR = 128,
    FUNCTIONS = 256,
    CALLBACK = 512,
    ENV = 1024,
    EVERY = 2047,
    /* Those that AWS's API answers too. */
    AWS = LS | SHOW | HISTORY | CALLBACK | STOP,
};

static const struct verb {
    const char *name;
    enum verb_bit bit;
    int words_min, words_max; /* behind it */
    const char *words;
    const char *help;
} verbs[] = {
    {"start", START, 1, 1, "FUNCTION", "Start an execution; print its ARN and name"},
    {"ls", LS, 0, 1, "[FUNCTION]", "List executions, newest first"},
    {"show", SHOW, 1, 1, "EXECUTION", "What it did, and why it stands where it stands"},
    {"history", HISTORY, 1, 1, "EXECUTION", "Every event, as a timeline"},
    {"callback", CALLBACK, 2, 3, "ACTION ID|EXECUTION [NAME]",
     "Complete a callback by its id or its name: succeed, fail or heartbeat"},
    {"stop", STOP, 1, 1, "EXECUTION", "Stop an execution for good"},
    {"logs", LOGS, 1, 1, "EXECUTION", "What its handler logged"},
    {"log-level", LOG_LEVEL, 0, 1, "[LEVEL]",
     "Print the daemon's log level, or set it: DEBUG, INFO, WARN, ERROR"},
    {"functions", FUNCTIONS, 0, 0, "", "Functions ever registered, and their workers"},
    {"env", ENV, 0, 0, "",
     "Print what points AWS's clients at the daemon: eval \"$(durablectl env)\""},
    {"doctor", DOCTOR, 0, 0, "", "Check that all is well; say what cures what is not"},
};

/* --- options ----------------------------------------------------------------------------- */

enum {
    OPTION_SOCKET = 256,
    OPTION_JSON,
    OPTION_NAME,
    OPTION_PAYLOAD,
    OPTION_WAIT,
    OPTION_STATUS,
    OPTION_FUNCTION,
    OPTION_SINCE,
    OPTION_WAITING,
    OPTION_LIMIT,
    OPTION_ERROR_TYPE,
    OPTION_ERROR_MESSAGE,
    OPTION_AWS,
    OPTION_ENDPOINT,
    OPTION_REGION,
    OPTION_VERSION,
};

static const struct row {
    const char *name;
    int value; /* a letter, when there is a short form */
    const char *argument;
    int verbs;
    const char *help;
} rows[] = {
    {"name", OPTION_NAME, "NAME", START,
     "Name of the execution; the same again starts no other"},
    {"payload", OPTION_PAYLOAD, "TEXT|@FILE|-", START | CALLBACK,
     "Input (JSON), or a callback's result; a file; standard input"},
    {"error-type", OPTION_ERROR_TYPE, "TYPE", CALLBACK | STOP, "ErrorType, for fail and stop"},
    {"error-message", OPTION_ERROR_MESSAGE, "TEXT", CALLBACK | STOP,
     "ErrorMessage, for fail and stop"},
    {"wait", OPTION_WAIT, NULL, START, "Wait for the end; print the result, exit by outcome"},
    {"status", OPTION_STATUS, "STATUS", LS, "RUNNING, SUCCEEDED, FAILED, TIMED_OUT, STOPPED"},
    {"function", OPTION_FUNCTION, "NAME", LS, "Only executions of this function"},
    {"since", OPTION_SINCE, "WHEN", LS,
     "Started since: 90s, 15m, 2h, 3d, or 2026-11-23[T14:03]"},
    {"waiting", OPTION_WAITING, NULL, LS,
     "Only those that wait for time, a callback or an invoke"},
    {"limit", OPTION_LIMIT, "N", LS, "At most so many; 0: all (100)"},
    {"follow", 'f', NULL, LOGS, "Go on until the execution ends"},
    {"json", OPTION_JSON, NULL, EVERY, "For programs: one JSON document, or one a line"},
    {"socket", OPTION_SOCKET, "PATH", EVERY, "The daemon's socket, instead of searching it"},
    {"aws", OPTION_AWS, NULL, AWS, "Ask AWS's API, not a daemon; with the keys of AWS's tools"},
    {"endpoint", OPTION_ENDPOINT, "URL", AWS, "The same, with the API at this URL"},
    {"region", OPTION_REGION, "NAME", AWS, "Its region, where no ARN tells it"},
    {"help", 'h', NULL, EVERY, "This text; after a verb, that verb's"},
    {"version", OPTION_VERSION, NULL, EVERY, "Print the version"},
};

static const char *const statuses[] = {"RUNNING",   "SUCCEEDED", "FAILED",
                                       "TIMED_OUT", "STOPPED",   NULL};
static const char *const levels[] = {"DEBUG", "INFO", "WARN", "ERROR", NULL};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; name && i < COUNT(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static const struct row *find_row(int value)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].value == value)
            return &rows[i];
    return NULL;
}

/* --- help -------------------------------------------------------------------------------- */

static void put_option(FILE *out, const struct row *row)
{
    char left[64];

    (void)snprintf(left, sizeof left, "%s--%s%s%s", row->value < 128 ? "-f, " : "    ",
                   row->name, row->argument ? " " : "", row->argument ? row->argument : "");
    if (row->value < 128)
        left[1] = (char)row->value;
    fprintf(out, "  %-30s %s\n", left, row->help);
}

void args_help(FILE *out, const char *name)
{
    const struct verb *verb = find_verb(name);

    if (verb)
        fprintf(out, "durablectl %s%s%s [OPTIONS]\n\n%s.\n", verb->name,
                *verb->words ? " " : "", verb->words, verb->help);
    else
        fprintf(out, "durablectl VERB [OPTIONS]: durable executions, for operators\n\nVerbs\n");
    for (size_t i = 0; !verb && i < COUNT(verbs); i++) {
        char left[48];

        (void)snprintf(left, sizeof left, "%s %s", verbs[i].name, verbs[i].words);
        fprintf(out, "  %-30s %s\n", left, verbs[i].help);
    }
    if (!verb || verb->bit & (SHOW | HISTORY | STOP | LOGS | CALLBACK))
        fprintf(out, "\nEXECUTION is an ARN, an execution id, a name, or - for the one started "
                     "last\n(never for stop). With --aws it is an ARN.\n");
    fprintf(out, "\nOptions\n");
    for (size_t i = 0; i < COUNT(rows); i++)
        if (!verb || rows[i].verbs & (int)verb->bit)
            put_option(out, &rows[i]);
    fprintf(out, "\nExit codes: 0 well, 1 the execution ended badly or doctor found something, "
                 "2 usage,\n3 no daemon, 4 not found, 5 refused, 6 anything else.\n");
}

/* --- values ------------------------------------------------------------------------------ */

/* "90s", "15m", "2h", "3d", or a local date with or without a time. */
static bool parse_since(const char *text, int64_t reference_ms, int64_t *out_ms)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S",
                                          "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"};
    char *end;
    long long count = strtoll(text, &end, 10);

    for (size_t i = 0; end != text && count >= 0 && count < 1000000 && i < COUNT(units); i++) {
        if (end[0] == units[i].unit && end[1] == '\0') {
            *out_ms = reference_ms - count * units[i].ms;
            return true;
        }
    }
    for (size_t i = 0; i < COUNT(formats); i++) {
        struct tm local = {.tm_isdst = -1};
        const char *rest = strptime(text, formats[i], &local);

        if (rest && *rest == '\0') {
            *out_ms = (int64_t)mktime(&local) * 1000;
            return true;
        }
    }
    return false;
}

/* The one of `words` that `text` is, in any case; NULL: none. */
static const char *among(const char *text, const char *const *words)
{
    while (*words && strcasecmp(text, *words) != 0)
        words++;
    return *words;
}

static bool parse_limit(const char *text, int64_t *out)
{
    char *end;
    long long value = strtoll(text, &end, 10);

    *out = value;
    return end != text && *end == '\0' && value >= 0;
}

/* --- parsing ----------------------------------------------------------------------------- */

static bool take_option(struct args *args, int value, const char *argument,
                        int64_t reference_ms, char *problem, size_t size)
{
    switch (value) {
    case OPTION_NAME:
        args->name = argument;
        return true;
    case OPTION_PAYLOAD:
        args->payload = argument;
        return true;
    case OPTION_WAIT:
        args->wait = true;
        return true;
    case OPTION_STATUS:
        args->status = among(argument, statuses);
        if (args->status)
            return true;
        (void)snprintf(problem, size, "--status: '%s' is none of %s", argument,
                       find_row(OPTION_STATUS)->help);
        return false;
    case OPTION_FUNCTION:
        args->function = argument;
        return true;
    case OPTION_SINCE:
        args->since = argument;
        if (parse_since(argument, reference_ms, &args->since_ms))
            return true;
        (void)snprintf(problem, size,
                       "--since: '%s' is no time; write 15m, 2h, 3d or 2026-11-23", argument);
        return false;
    case OPTION_LIMIT:
        if (parse_limit(argument, &args->limit))
            return true;
        (void)snprintf(problem, size, "--limit: '%s' is no number of executions", argument);
        return false;
    case OPTION_ERROR_TYPE:
        args->error_type = argument;
        return true;
    case OPTION_ERROR_MESSAGE:
        args->error_message = argument;
        return true;
    case OPTION_WAITING:
        args->waiting = true;
        return true;
    case 'f':
        args->follow = true;
        return true;
    case OPTION_JSON:
        args->json = true;
        return true;
    case OPTION_SOCKET:
        args->socket = argument;
        return true;
    case OPTION_AWS:
        args->aws = true;
        return true;
    case OPTION_ENDPOINT:
        args->aws = true;
        args->endpoint = argument;
        if (strncmp(argument, "https://", 8) == 0 || strncmp(argument, "http://", 7) == 0)
            return true;
        (void)snprintf(problem, size, "--endpoint: '%s' is no URL; write https://HOST",
                       argument);
        return false;
    case OPTION_REGION:
        args->region = argument;
        return true;
    case 'h':
        args->help = true;
        return true;
    default:
        args->version = true;
        return true;
    }
}

/* callback ACTION ID, or callback ACTION EXECUTION NAME. */
static bool take_callback(struct args *args, int count, char **words, char *problem,
                          size_t size)
{
    static const char *const actions[] = {"succeed", "fail", "heartbeat", NULL};

    args->action = words[1];
    args->subject = words[2];
    args->operation = count > 3 ? words[3] : NULL;
    if (!among(args->action, actions))
        (void)snprintf(problem, size, "callback: '%s' is none of succeed, fail, heartbeat",
                       args->action);
    else if (args->payload && strcmp(args->action, "succeed") != 0)
        (void)snprintf(problem, size, "callback: --payload goes with succeed");
    else if ((args->error_type || args->error_message) && strcmp(args->action, "fail") != 0)
        (void)snprintf(problem, size, "callback: an error goes with fail");
    else
        return true;
    return false;
}

/* What AWS's API can't be asked. */
static bool take_aws(const struct args *args, const struct verb *verb, char *problem,
                     size_t size)
{
    if (!args->aws && args->region)
        (void)snprintf(problem, size, "--region: it goes with --aws or --endpoint");
    else if (args->aws && args->socket)
        (void)snprintf(problem, size, "--socket: a daemon's, and not for --aws and --endpoint");
    else if (args->aws && verb->bit == LS && !args->function)
        (void)snprintf(problem, size,
                       "ls: AWS's API lists a function's executions; write ls FUNCTION");
    else if (args->aws && args->waiting)
        (void)snprintf(problem, size,
                       "ls: AWS's API does not tell of all of them who waits; "
                       "leave --waiting out");
    else if (args->aws && args->subject && verb->bit != LS &&
             (verb->bit != CALLBACK || args->operation) &&
             strncmp(args->subject, "arn:", 4) != 0)
        (void)snprintf(problem, size,
                       "%s: AWS's API knows executions by their ARN; '%s' is none", verb->name,
                       args->subject);
    else
        return true;
    return false;
}

/* What stands beside options: the verb, then its words. */
static bool take_words(struct args *args, int count, char **words, int allowed, char *problem,
                       size_t size)
{
    const struct verb *verb = count > 0 ? find_verb(words[0]) : NULL;

    if (args->help || args->version) {
        args->verb = verb ? verb->name : NULL;
        return true;
    }
    if (!verb) {
        (void)snprintf(problem, size,
                       count > 0 ? "there is no verb '%s'; see --help"
                                 : "a verb is missing%s; see --help",
                       count > 0 ? words[0] : "");
        return false;
    }
    args->verb = verb->name;
    args->subject = count > 1 ? words[1] : NULL;
    if (count - 1 < verb->words_min)
        (void)snprintf(problem, size, "%s: %s is missing", verb->name, verb->words);
    else if (count - 1 > verb->words_max)
        (void)snprintf(problem, size, "%s: '%s' is one word too many", verb->name,
                       words[verb->words_max + 1]);
    else if (verb->bit == STOP && args->subject && strcmp(args->subject, "-") == 0)
        (void)snprintf(problem, size, "stop: - is not taken; name the execution to stop");
    else if (verb->bit == LOG_LEVEL && args->subject && !among(args->subject, levels))
        (void)snprintf(problem, size, "log-level: '%s' is none of DEBUG, INFO, WARN, ERROR",
                       args->subject);
    else if (args->aws && !(verb->bit & AWS))
        (void)snprintf(problem, size,
                       "%s: only a daemon answers this; AWS's API does ls, show, history, "
                       "callback and stop",
                       verb->name);
    else if (!(allowed & (int)verb->bit))
        (void)snprintf(problem, size, "%s: an option of another verb; see durablectl %s --help",
                       verb->name, verb->name);
    else if (verb->bit == LS && args->subject && args->function)
        (void)snprintf(problem, size, "ls: a function is named twice");
    else if (verb->bit != CALLBACK || take_callback(args, count, words, problem, size)) {
        if (verb->bit == LS && args->subject)
            args->function = args->subject;
        return take_aws(args, verb, problem, size);
    }
    return false;
}

bool args_parse(int argc, char **argv, int64_t reference_ms, struct args *out, char *problem,
                size_t size)
{
    struct option options[COUNT(rows) + 1] = {0};
    int value, allowed = EVERY; /* verbs that take all options that are there */

    *out = (struct args){.limit = 100};
    for (size_t i = 0; i < COUNT(rows); i++)
        options[i] =
            (struct option){rows[i].name, rows[i].argument ? required_argument : no_argument,
                            NULL, rows[i].value};
    optind = 0;
    opterr = 0;
    while ((value = getopt_long(argc, argv, ":fh", options, NULL)) != -1) {
        const struct row *row = find_row(value);

        if (!row) {
            (void)snprintf(problem, size, "%s: %s; see --help", argv[optind - 1],
                           value == ':' ? "its argument is missing" : "no such option");
            return false;
        }
        allowed &= row->verbs;
        if (!take_option(out, value, optarg, reference_ms, problem, size))
            return false;
    }
    return take_words(out, argc - optind, argv + optind, allowed, problem, size);
}
