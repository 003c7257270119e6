/* Whether bytes are JSON, without building anything of them. */
#pragma once

#include <stdbool.h>

#include "base/span.h"

/* One JSON value (RFC 8259) in UTF-8, no deeper than DD_JSON_DEPTH_MAX. */
bool dd_json_valid(struct dd_span json);
