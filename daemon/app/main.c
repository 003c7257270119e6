/* durabled: reads its options, wires the rooms together, runs, and unwinds. The programs of
 * the table below are this one too. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "app/check.h"
#include "app/options.h"
#include "app/serve.h"
#include "app/supervise.h"
#include "client/cli/durablectl.h"
#include "extensions/extension.h"
#include "extensions/wrap.h"

/* Exit codes of the daemon, for service managers (sysexits.h where it has one). */
enum { EXIT_STARTED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef int (*program_fn)(int argc, char **argv);

/* By the name of the file, or by the first argument, which then takes the place of argv[0]. */
static const struct {
    const char *file; /* NULL: none */
    const char *word;
    program_fn run;
} programs[] = {
    {"durablectl", "ctl", durablectl_main},
    {"durabled-wrap", "wrap", dd_wrap_main},
    {"bootstrap", "bootstrap", dd_bootstrap_main},
    {NULL, DD_SUPERVISE, dd_supervise},
};

/* The other program that is meant, and its arguments; NULL: none. */
static program_fn find_program(int *argc, char ***argv)
{
    const char *path = *argc > 0 ? (*argv)[0] : "", *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path, *word = *argc > 1 ? (*argv)[1] : "";

    for (size_t i = 0; i < DD_COUNT(programs); i++)
        if (programs[i].file && strcmp(file, programs[i].file) == 0)
            return programs[i].run;
    for (size_t i = 0; i < DD_COUNT(programs); i++) {
        if (strcmp(word, programs[i].word) != 0)
            continue;
        ++*argv;
        --*argc;
        return programs[i].run;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    program_fn program = find_program(&argc, &argv);
    struct dd_options options;
    struct dd_error error;
    int rc;

    if (program)
        return program(argc, argv);
    /* A client that dies while we write to it must not end the daemon. */
    signal(SIGPIPE, SIG_IGN);
    if (dd_extension_wanted(argc, argv))
        return dd_extension_run(argv);
    rc = dd_options_parse(argc, argv, &options, &error);

    if (rc < 0) {
        fprintf(stderr, "durabled: %s\n", error.text);
        return EXIT_USAGE;
    }
    if (rc == DD_OPTIONS_HELP)
        return EXIT_STARTED;
    rc = strcmp(options.command, "check") == 0 ? dd_check(&options, &error)
                                               : dd_serve(&options, &error);
    dd_options_deinit(&options);
    if (rc == 0)
        return EXIT_STARTED;
    return rc == DD_USAGE ? EXIT_USAGE : EXIT_FAILED;
}
