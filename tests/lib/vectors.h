/* The vectors of proto/vectors, for the tests of everything that must agree with them. */
#pragma once

#include <jansson.h>
#include <stdint.h>

/* The JSON of `file` below proto/vectors; fails the test when there is none. Gives. */
json_t *vectors_load(const char *file);

/* The bytes that `hex` stands for, in a block of exactly their number, so that a reader
 * that goes past their end is found. Gives: free(). */
uint8_t *vectors_bytes(const json_t *hex, size_t *out_len);
