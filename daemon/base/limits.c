/* What the protocol publishes as a limit is what the daemon keeps. */
#include "base/limits.h"

#define DD_LIMIT_ROW(limit, value) _Static_assert(DD_##limit == (value), #limit);
#include "proto/limits.inc"
