/* durablectl, the operator's tool, as a function: it is one program with the daemon. */
#pragma once

/* Runs the verb and the options that `argv` names; argv[0] is not looked at. Returns the
 * process's exit status. */
int durablectl_main(int argc, char **argv);
