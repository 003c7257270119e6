/* A strategy as data, computed here: a step's retries are the daemon's to compute,
 * but only the client sees whether a condition holds. Pure. */
#pragma once

#include "priv.h"

/* Whole seconds until the next attempt, at least 1; 0: there is none. `attempt`
 * counts those made, `unit` is a random number in [0, 1). */
int64_t retry_delay_s(const struct durabled_retry *retry, int attempt, double unit);
