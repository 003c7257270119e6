/* As much JSON as the library itself records: the results of batches. Values are
 * found and taken out as they stand, not checked: a payload is the program's. Pure. */
#pragma once

#include "priv.h"

/* Whether the text is one value, as far as its end can be told from what follows. */
bool json_is_value(struct durabled_text text);

/* The members of an object, or the elements of an array. */
struct json_walk {
    const char *at; /* NULL: nothing more */
    const char *end;
    bool object;
};

/* Walks `value`, which opens with `bracket`; nothing, when it does not. */
struct json_walk json_walk(struct durabled_text value, char bracket);
/* The next value, and of an object its key as it stands between the quotes; false
 * after the last one, or at what makes no sense. */
bool json_next(struct json_walk *walk, struct durabled_text *out_key,
               struct durabled_text *out_value);
bool json_key_is(struct durabled_text key, const char *name);

/* A number of the library's own; -1: it is none. */
int64_t json_int(struct durabled_text value);
/* Copies a string value, unescaped; false: no memory. `out` is empty when `value` is no
 * string. */
bool json_text(struct durabled_text value, struct durabled_text *out);

/* Writing, into a buffer. False: no memory. */
bool json_put(msgpack_sbuffer *out, const char *text);
bool json_put_int(msgpack_sbuffer *out, int64_t value);
bool json_put_string(msgpack_sbuffer *out, const char *text);
