/* Puts the daemon between a Lambda runtime and the Runtime API, for handlers that are not to
 * see the durable envelope. A function never fails for its sake: without a daemon the runtime
 * is run as it would have been. */
#pragma once

/* `durabled-wrap COMMAND...`: runs the command, through what DURABLED_WRAP_NEXT names if it is
 * set. Returns an exit status when it can't be run. */
int dd_wrap_main(int argc, char **argv);

/* `bootstrap`, the entry of provided runtimes: runs so the function's program, which _HANDLER
 * names in LAMBDA_TASK_ROOT. */
int dd_bootstrap_main(int argc, char **argv);
