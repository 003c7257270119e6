/* UTF-8 validation (RFC 3629): what may be a payload. */
#pragma once

#include <stdbool.h>

#include "base/span.h"

/* True for well-formed UTF-8: no surrogates, no overlong forms. */
bool dd_utf8_valid(struct dd_span data);
