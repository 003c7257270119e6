/* A fuzz target is one function over any bytes; what it asserts is at the top of its file. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
