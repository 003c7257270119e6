#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- finding ----------------------------------------------------------------------------- */

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && strchr(" \t\r\n", *at) && *at)
        at++;
    return at;
}

/* Behind the string that begins at `at`; NULL: it does not end. */
static const char *string_end(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at < end ? at + 1 : NULL;
}

/* Behind the object or array that begins at `at`. */
static const char *container_end(const char *at, const char *end)
{
    size_t depth = 0;

    while (at && at < end) {
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        at = *at == '"' ? string_end(at, end) : at + 1;
        if (depth == 0)
            return at;
    }
    return NULL;
}

static const char *value_end(const char *at, const char *end)
{
    const char *start = at;

    if (at == end)
        return NULL;
    if (*at == '"')
        return string_end(at, end);
    if (*at == '{' || *at == '[')
        return container_end(at, end);
    /* A number, or one of three words. */
    while (at < end && *at && !strchr(" \t\r\n,:\"{}[]", *at))
        at++;
    return at > start ? at : NULL;
}

bool json_is_value(struct durabled_text text)
{
    const char *end = text.data + text.len, *at = skip_space(text.data, end);

    at = value_end(at, end);
    return at && skip_space(at, end) == end;
}

/* --- walking ----------------------------------------------------------------------------- */

struct json_walk json_walk(struct durabled_text value, char bracket)
{
    if (!value.data || value.len < 2 || value.data[0] != bracket)
        return (struct json_walk){0};
    return (struct json_walk){value.data + 1, value.data + value.len - 1, bracket == '{'};
}

/* Takes one value off the front. */
static bool take_value(struct json_walk *walk, struct durabled_text *out)
{
    const char *start = skip_space(walk->at, walk->end), *end = value_end(start, walk->end);

    if (!end)
        return false;
    *out = (struct durabled_text){(char *)(uintptr_t)start, (size_t)(end - start)};
    walk->at = skip_space(end, walk->end);
    return true;
}

static bool take_key(struct json_walk *walk, struct durabled_text *out)
{
    if (!take_value(walk, out) || out->data[0] != '"' || walk->at == walk->end ||
        *walk->at != ':')
        return false;
    walk->at++;
    out->data++;
    out->len -= 2;
    return true;
}

bool json_next(struct json_walk *walk, struct durabled_text *out_key,
               struct durabled_text *out_value)
{
    if (!walk->at || (walk->object && !take_key(walk, out_key)) || !take_value(walk, out_value))
        return false;
    if (walk->at == walk->end)
        walk->at = NULL;
    else if (*walk->at++ != ',')
        return false;
    return true;
}

bool json_key_is(struct durabled_text key, const char *name)
{
    return key.len == strlen(name) && memcmp(key.data, name, key.len) == 0;
}

/* --- values ------------------------------------------------------------------------------ */

int64_t json_int(struct durabled_text value)
{
    char digits[24], *end;
    long long number;

    if (value.len == 0 || value.len >= sizeof digits)
        return -1;
    memcpy(digits, value.data, value.len);
    digits[value.len] = '\0';
    number = strtoll(digits, &end, 10);
    return *end == '\0' && number >= 0 ? number : -1;
}

/* One escape of json_put_string(), behind its backslash; advances over it. */
static char unescape(const char **at)
{
    char digits[5] = {0};
    char escaped = *(*at)++;

    if (escaped == 'n')
        return '\n';
    if (escaped != 'u')
        return escaped;
    memcpy(digits, *at, 4);
    *at += 4;
    return (char)strtol(digits, NULL, 16);
}

bool json_text(struct durabled_text value, struct durabled_text *out)
{
    const char *at, *end;
    char *to;

    *out = (struct durabled_text){0};
    if (value.len < 2 || value.data[0] != '"')
        return true;
    if (!text_copy(out, value.data, value.len - 2))
        return false;
    to = out->data;
    end = value.data + value.len - 1;
    for (at = value.data + 1; at < end;) {
        bool whole = at[0] != '\\' || end - at >= (at[1] == 'u' ? 6 : 2);

        if (!whole)
            break;
        if (*at == '\\') {
            at++;
            *to++ = unescape(&at);
        } else {
            *to++ = *at++;
        }
    }
    *to = '\0';
    out->len = (size_t)(to - out->data);
    return true;
}

/* --- writing ----------------------------------------------------------------------------- */

bool json_put(msgpack_sbuffer *out, const char *text)
{
    return msgpack_sbuffer_write(out, text, strlen(text)) == 0;
}

bool json_put_int(msgpack_sbuffer *out, int64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%" PRId64, value);
    return json_put(out, text);
}

static bool put_character(msgpack_sbuffer *out, char character)
{
    char text[8];

    if (character == '"' || character == '\\')
        (void)snprintf(text, sizeof text, "\\%c", character);
    else if (character == '\n')
        (void)snprintf(text, sizeof text, "\\n");
    else if ((unsigned char)character < 0x20)
        (void)snprintf(text, sizeof text, "\\u%04x", (unsigned)character);
    else
        return msgpack_sbuffer_write(out, &character, 1) == 0;
    return json_put(out, text);
}

bool json_put_string(msgpack_sbuffer *out, const char *text)
{
    bool ok;

    if (!text)
        return json_put(out, "null");
    ok = json_put(out, "\"");
    for (; ok && *text; text++)
        ok = put_character(out, *text);
    return ok && json_put(out, "\"");
}
