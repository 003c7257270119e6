/* JSON's grammar as a scanner: each byte is read once, nesting is a bit a level. */
#include "codec/syntax.h"

#include <stdint.h>

#include "base/limits.h"
#include "base/utf8.h"

struct scan {
    const char *at, *end;
    uint8_t objects[(DD_JSON_DEPTH_MAX + 7) / 8]; /* whether a level is an object */
    size_t depth;
};

static bool in_object(const struct scan *scan)
{
    return scan->objects[(scan->depth - 1) / 8] >> ((scan->depth - 1) % 8) & 1;
}

static bool enter(struct scan *scan, bool object)
{
    uint8_t bit = (uint8_t)(1u << (scan->depth % 8));

    if (scan->depth == DD_JSON_DEPTH_MAX)
        return false;
    if (object)
        scan->objects[scan->depth / 8] |= bit;
    else
        scan->objects[scan->depth / 8] &= (uint8_t)~bit;
    scan->depth++;
    return true;
}

static void skip_blanks(struct scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r'))
        scan->at++;
}

static bool take(struct scan *scan, char c)
{
    if (scan->at == scan->end || *scan->at != c)
        return false;
    scan->at++;
    return true;
}

static bool take_word(struct scan *scan, struct dd_span word)
{
    if ((size_t)(scan->end - scan->at) < word.len || memcmp(scan->at, word.data, word.len) != 0)
        return false;
    scan->at += word.len;
    return true;
}

static bool take_digits(struct scan *scan)
{
    const char *from = scan->at;

    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
        scan->at++;
    return scan->at > from;
}

static bool take_number(struct scan *scan)
{
    (void)take(scan, '-');
    if (!take(scan, '0') && !take_digits(scan))
        return false;
    if (take(scan, '.') && !take_digits(scan))
        return false;
    if (take(scan, 'e') || take(scan, 'E')) {
        if (!take(scan, '+'))
            (void)take(scan, '-');
        return take_digits(scan);
    }
    return true;
}

static bool take_escape(struct scan *scan)
{
    static const char simple[] = "\"\\/bfnrt";

    if (scan->at == scan->end)
        return false;
    if (*scan->at != 'u')
        return memchr(simple, *scan->at++, sizeof simple - 1) != NULL;
    scan->at++;
    for (int i = 0; i < 4; i++, scan->at++) {
        if (scan->at == scan->end ||
            !((*scan->at >= '0' && *scan->at <= '9') ||
              (*scan->at >= 'a' && *scan->at <= 'f') || (*scan->at >= 'A' && *scan->at <= 'F')))
            return false;
    }
    return true;
}

static bool take_string(struct scan *scan)
{
    if (!take(scan, '"'))
        return false;
    while (scan->at < scan->end) {
        unsigned char c = (unsigned char)*scan->at++;

        if (c == '"')
            return true;
        if (c < 0x20 || (c == '\\' && !take_escape(scan)))
            return false;
    }
    return false;
}

static bool take_scalar(struct scan *scan)
{
    return scan->at < scan->end && *scan->at == '"'
               ? take_string(scan)
               : take_word(scan, DD_SPAN("true")) || take_word(scan, DD_SPAN("false")) ||
                     take_word(scan, DD_SPAN("null")) || take_number(scan);
}

/* A member's name with its colon, where the level is an object. */
static bool take_name(struct scan *scan)
{
    skip_blanks(scan);
    if (scan->depth == 0 || !in_object(scan))
        return true;
    if (!take_string(scan))
        return false;
    skip_blanks(scan);
    return take(scan, ':');
}

/* After a value: the ends of levels, up to a comma (true) or the end of all (false, with
 * the depth 0). */
static bool take_comma(struct scan *scan)
{
    for (; scan->depth > 0; scan->depth--) {
        skip_blanks(scan);
        if (take(scan, ','))
            return true;
        if (!take(scan, in_object(scan) ? '}' : ']'))
            return false;
    }
    return false;
}

/* A value up to its first scalar, or to an empty container. */
static bool take_value(struct scan *scan)
{
    for (;;) {
        if (!take_name(scan))
            return false;
        skip_blanks(scan);
        if (take(scan, '{')) {
            skip_blanks(scan);
            if (take(scan, '}'))
                return true;
            if (!enter(scan, true))
                return false;
        } else if (take(scan, '[')) {
            skip_blanks(scan);
            if (take(scan, ']'))
                return true;
            if (!enter(scan, false))
                return false;
        } else {
            return take_scalar(scan);
        }
    }
}

bool dd_json_valid(struct dd_span json)
{
    struct scan scan = {.at = json.data, .end = json.data + json.len};

    do {
        if (!take_value(&scan))
            return false;
    } while (take_comma(&scan));
    skip_blanks(&scan);
    return scan.depth == 0 && scan.at == scan.end && dd_utf8_valid(json);
}
