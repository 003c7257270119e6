/* The authorities that are trusted where no file has any: those of AWS's endpoints. */
#pragma once

#include "base/span.h"

/* Certificates in PEM. Empty in a build that was given none (DD_ROOTS), as one for a system
 * that has its own. */
extern const struct dd_span dd_roots;
