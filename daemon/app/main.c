/* durabled: reads its options, wires the rooms together, runs, and unwinds. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "app/check.h"
#include "app/options.h"
#include "app/serve.h"
#include "app/supervise.h"
#include "extensions/extension.h"

/* Exit codes of the daemon, for service managers (sysexits.h where it has one). */
enum { EXIT_STARTED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int main(int argc, char **argv)
{
    struct dd_options options;
    struct dd_error error;
    int rc;

    if (argc > 1 && strcmp(argv[1], DD_SUPERVISE) == 0)
        return dd_supervise(argv + 2);
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
