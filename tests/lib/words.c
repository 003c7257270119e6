/* Cuts commands into words; see words.h. */
#include "tests/lib/words.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/check.h"

void words_init(struct words *words, const char *command)
{
    size_t len = strlen(command);

    words->text = dd_alloc(len + 1);
    memcpy(words->text, command, len);
    words->len = 0;
    for (char *at = strtok(words->text, " "); at; at = strtok(NULL, " ")) {
        dd_assert(words->len < WORDS_MAX);
        words->word[words->len++] = at;
    }
    dd_assert(words->len > 0);
}

void words_deinit(struct words *words)
{
    dd_free(words->text);
}

const char *words_value(const struct words *words, size_t from, size_t to, const char *key)
{
    size_t len = strlen(key);

    for (size_t i = from; i < to; i++) {
        if (strncmp(words->word[i], key, len) == 0 && words->word[i][len] == '=')
            return words->word[i] + len + 1;
    }
    return NULL;
}

bool words_flag(const struct words *words, const char *flag)
{
    for (size_t i = 0; i < words->len; i++) {
        if (strcmp(words->word[i], flag) == 0)
            return true;
    }
    return false;
}

int64_t words_number(const char *text)
{
    return text ? strtoll(text, NULL, 10) : 0;
}

struct dd_text *words_payload(const char *text)
{
    if (text && text[0] == '*') {
        size_t len = (size_t)words_number(text + 1);
        char *bytes = dd_alloc(len + 1);
        struct dd_text *big;

        memset(bytes, 'x', len);
        big = dd_text_new(dd_span_make(bytes, len));
        dd_free(bytes);
        return big;
    }
    return dd_text_cstr(text);
}

struct dd_error_object *words_failure(const char *text)
{
    const char *colon;

    if (!text)
        return NULL;
    if (text[0] == '*')
        return dd_error_object_take(NULL, words_payload(text), NULL, NULL, 0);
    colon = strchr(text, ':');
    dd_assert(colon);
    return dd_error_object_new(colon > text ? dd_span_make(text, (size_t)(colon - text))
                                            : DD_SPAN_NONE,
                               colon[1] ? dd_span_cstr(colon + 1) : DD_SPAN_NONE);
}
