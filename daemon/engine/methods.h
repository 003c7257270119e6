/* The methods of the protocol: a table from name to function. The names and
 * parameters are data (proto/protocol.toml); here is what each does. */
#pragma once

#include "engine/engine_priv.h"

/* Runs a parked call anew: what it waited for may have come. */
void dd_method_again(struct dd_waiter *waiter);
const char *dd_method_name(int method);
