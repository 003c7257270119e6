#include "tests/lib/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

json_t *vectors_load(const char *file)
{
    char path[1024];
    json_error_t error;
    json_t *vectors;

    snprintf(path, sizeof path, "%s/%s", VECTORS, file);
    vectors = json_load_file(path, 0, &error);
    if (!vectors)
        fail_msg("%s: line %d: %s", path, error.line, error.text);
    return vectors;
}

uint8_t *vectors_bytes(const json_t *hex, size_t *out_len)
{
    const char *digits = json_string_value(hex);
    size_t len = json_string_length(hex) / 2;
    uint8_t *bytes = malloc(len);

    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++) {
        char pair[] = {digits[2 * i], digits[2 * i + 1], '\0'};

        bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    *out_len = len;
    return bytes;
}
