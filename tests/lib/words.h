/* Commands of stories: words with `key=value` among them. Values have no blanks. */
#pragma once

#include "core/model.h"

#define WORDS_MAX 1024

/* A command, cut into words. */
struct words {
    char *word[WORDS_MAX];
    size_t len; /* at least 1 */
    char *text; /* what they point into */
};

void words_init(struct words *words, const char *command);
void words_deinit(struct words *words);

/* The value of `key=` among the words from `from` to before `to`; NULL when there is
 * none. Borrowed. */
const char *words_value(const struct words *words, size_t from, size_t to, const char *key);

/* Whether `flag` is one of the words. */
bool words_flag(const struct words *words, const char *flag);

/* NULL counts as 0. */
int64_t words_number(const char *text);

/* Text, or *N for N bytes; NULL for NULL. Given. */
struct dd_text *words_payload(const char *text);

/* Type:Message, either part may be empty, or *N for a message of N bytes; NULL for
 * NULL. Given. */
struct dd_error_object *words_failure(const char *text);
