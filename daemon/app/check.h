/* `durabled check`: verifies a whole store. */
#pragma once

#include "app/options.h"

/* Prints each finding and a last line with the count. 0 when there is none. */
int dd_check(const struct dd_options *options, struct dd_error *error);
