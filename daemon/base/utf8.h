/* UTF-8 (RFC 3629): what may be a payload, and where it may be cut. */
#pragma once

#include <stdbool.h>

#include "base/span.h"

/* True for well-formed UTF-8: no surrogates, no overlong forms. */
bool dd_utf8_valid(struct dd_span data);

/* The first `max` bytes of `text` at most, not cutting a character in two. */
struct dd_span dd_utf8_cut(struct dd_span text, size_t max);

/* Puts '?' for every byte that is no part of a well-formed character. */
void dd_utf8_repair(char *text, size_t len);
