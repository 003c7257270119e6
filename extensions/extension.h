/* The daemon as a Lambda extension: sessions over AWS's durable execution API, nothing on
 * disk. It ends when the sandbox says so, and otherwise never by itself. */
#pragma once

#include <stdbool.h>

/* The command's name; Lambda gives none. */
#define DD_EXTENSION "extension"

/* Where handlers attach: DURABLED_SOCKET, else Lambda's place for it. Never NULL. */
const char *dd_extension_socket(void);

/* Whether this start is that of an extension. */
bool dd_extension_wanted(int argc, char **argv);

/* Serves until the sandbox shuts down. Returns the process's exit status. */
int dd_extension_run(char **argv);
