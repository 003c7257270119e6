/* `durabled serve`: the daemon from start to orderly stop. */
#pragma once

#include "app/options.h"

/* Runs until a signal or a failed store ends it. 0 after an orderly stop; a
 * negative code, already logged, otherwise. */
int dd_serve(const struct dd_options *options, struct dd_error *error);
