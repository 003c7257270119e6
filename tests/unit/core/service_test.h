/* What the unit tests of the service engine share: run a few commands of a story
 * and compare the refusal, if any. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/story.h"

/* Runs commands separated by '|'; each must succeed. */
static inline void tell(struct story *story, const char *commands)
{
    char copy[8192];
    struct dd_buf out;
    char *rest;

    dd_buf_init(&out, 16u * 1024 * 1024);
    assert_true(strlen(commands) < sizeof(copy));
    memcpy(copy, commands, strlen(commands) + 1);
    for (char *at = copy; at; at = rest) {
        rest = strchr(at, '|');
        if (rest)
            *rest++ = '\0';
        story_run(story, at, &out);
        if (story->rc)
            fail_msg("%s: %s", at, story->error.text);
    }
    dd_buf_deinit(&out);
}

/* Runs one command; it must be refused with `code` and `text`. */
static inline void refused(struct story *story, const char *command, enum dd_code code,
                           const char *text)
{
    size_t facts = story->facts.len;
    struct dd_buf out;

    dd_buf_init(&out, 16u * 1024 * 1024);
    story_run(story, command, &out);
    if (story->rc == 0)
        fail_msg("accepted: %.100s", command);
    assert_int_equal(story->error.code, code);
    assert_string_equal(story->error.text, text);
    assert_int_equal(story->facts.len, facts);
    dd_buf_deinit(&out);
}
