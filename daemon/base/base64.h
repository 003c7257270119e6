/* Base64 with the standard alphabet and padding (RFC 4648 section 4), as
 * checkpoint tokens and callback ids are written. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

void dd_base64_encode(struct dd_span data, struct dd_buf *out);

/* Appends the decoded bytes. False, with nothing appended, for anything that is not
 * strict base64; false, with `out` in error, when they do not fit. */
bool dd_base64_decode(struct dd_span text, struct dd_buf *out);
