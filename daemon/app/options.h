/* Options of `durabled`: one table gives the parser, the environment names and
 * the help text. Command line wins over environment, environment over default. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* X(field, kind, "name", "ENVIRONMENT", "VALUE", "default", "help"); a FLAG takes no value,
 * and 1 or 0 in the environment. */
#define DD_OPTIONS(X)                                                                          \
    X(data, TEXT, "data", "DURABLED_DATA", "DIR", "",                                          \
      "where executions are kept (default: $STATE_DIRECTORY, else "                            \
      "$XDG_STATE_HOME/durabled, else ~/.local/state/durabled; of dev: ./.durabled)")          \
    X(socket, TEXT, "socket", "DURABLED_SOCKET", "PATH", "",                                   \
      "where clients connect (default: $XDG_RUNTIME_DIR/durabled.sock, else "                  \
      "/run/durabled/durabled.sock)")                                                          \
    X(group, TEXT, "group", "DURABLED_GROUP", "NAME", "",                                      \
      "a group that may connect too (socket mode 0660)")                                       \
    X(http, TEXT, "http", "DURABLED_HTTP", "ADDRESS:PORT", "",                                 \
      "answer AWS's Lambda durable execution API over HTTP there; port 0 picks one "           \
      "(default: off; of dev: 127.0.0.1:3001)")                                                \
    X(http_hosts, TEXT, "http-hosts", "DURABLED_HTTP_HOSTS", "NAMES", "",                      \
      "names, comma-separated, by which HTTP clients may call this machine besides "           \
      "loopback's; needed for an address that is not on loopback")                             \
    X(require_signature, FLAG, "require-signature", "DURABLED_REQUIRE_SIGNATURE", "", "",      \
      "take HTTP requests only that are signed with AWS_ACCESS_KEY_ID and "                    \
      "AWS_SECRET_ACCESS_KEY of the daemon's environment, else with local and local")          \
    X(log_level, TEXT, "log-level", "DURABLED_LOG_LEVEL", "LEVEL", "INFO",                     \
      "DEBUG, INFO, WARN or ERROR")                                                            \
    X(log_format, TEXT, "log-format", "DURABLED_LOG_FORMAT", "FORMAT", "auto",                 \
      "json, text, or auto: text on a terminal")                                               \
    X(map_size, SIZE, "map-size", "DURABLED_MAP_SIZE", "BYTES", "64G",                         \
      "most the store may grow to; address space, not memory")                                 \
    X(execution_timeout, NUMBER, "execution-timeout", "DURABLED_EXECUTION_TIMEOUT", "SECONDS", \
      "31622400", "ExecutionTimeout of executions whose function declares none")               \
    X(retention, NUMBER, "retention", "DURABLED_RETENTION", "SECONDS", "1209600",              \
      "how long closed executions are kept, unless the function says so")                      \
    X(invocation_retries, NUMBER, "invocation-retries", "DURABLED_INVOCATION_RETRIES", "N",    \
      "0",                                                                                     \
      "failed invocations in a row that fail an execution; 0: retry until its "                \
      "ExecutionTimeout, and of dev AWS's number")                                             \
    X(stop_timeout, NUMBER, "stop-timeout", "DURABLED_STOP_TIMEOUT", "SECONDS", "5",           \
      "how long an orderly stop waits for workers to hand back their invocations")             \
    X(region, TEXT, "region", "DURABLED_REGION", "NAME", "",                                   \
      "region in ARNs (default: $AWS_REGION, else $AWS_DEFAULT_REGION, else us-east-1)")       \
    X(account, TEXT, "account", "DURABLED_ACCOUNT", "DIGITS", "000000000000",                  \
      "account in ARNs")                                                                       \
    X(template, TEXT, "template", "DURABLED_TEMPLATE", "FILE", "",                             \
      "dev: SAM or CloudFormation template (default: what `sam build` or `cdk synth` made "    \
      "here, else ./template.yaml)")                                                           \
    X(parameters, TEXT, "parameters", "DURABLED_PARAMETERS", "KEY=VALUE,...", "",              \
      "dev: parameters of the template")                                                       \
    X(debug, TEXT, "debug", "DURABLED_DEBUG", "FUNCTION", "",                                  \
      "dev: this function has one process and no Timeout, for a debugger")

/* Where dev keeps its data by itself, in the working directory. */
#define DD_DEV_DATA ".durabled"

/* A function given as its name and the command that runs it. */
struct dd_function_option {
    const char *name;
    char **command; /* NULL-ended */
    bool plain;     /* not durable */
};

struct dd_options {
    const char *command;                  /* "serve", "dev" or "check" */
    struct dd_function_option *functions; /* of dev; their texts are argv's */
    size_t functions_len;
#define DD_OPTION_TEXT char *
#define DD_OPTION_SIZE uint64_t
#define DD_OPTION_NUMBER int64_t
#define DD_OPTION_FLAG bool
#define X(field, kind, name, env, value, def, help) DD_OPTION_##kind field;
    DD_OPTIONS(X)
#undef X
};

enum dd_options_result {
    DD_OPTIONS_RUN = 0,
    DD_OPTIONS_HELP, /* help or version was printed: exit 0 */
};

/* Reads argv and the environment. DD_USAGE with a text that names the option.
 * Text fields are given; free all with dd_options_deinit(). */
int dd_options_parse(int argc, char **argv, struct dd_options *out_options,
                     struct dd_error *error) DD_MUST_CHECK;
void dd_options_deinit(struct dd_options *options);
