/* What the readers of AWS's shapes share; jansson's values are borrowed. */
#pragma once

#include <jansson.h>

#include "codec/api.h"

#define JSON_LOAD_FLAGS (JSON_ALLOW_NUL | JSON_DECODE_ANY)

/* A string member as a text: 1 given, 0 absent or null, -1 another type, or no memory. */
int json_take_text(const json_t *object, const char *name, struct dd_text **out);

/* An operation (service-api 3.3), whose times are of that kind. Gives it, whatever the result:
 * false when it is none, or there was no memory for it. */
bool json_take_operation(const json_t *object, enum dd_api_times times,
                         struct dd_operation *operation);
