/* Requests and answers of HTTP as the targets write them: a first line, lines of
 * "Name: value", an empty line, the body. */
#pragma once

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/span.h"

/* Takes a line off the front of `*text`; false at its end. */
static inline bool fuzz_take_line(struct dd_span *text, struct dd_span *out)
{
    const char *end = memchr(text->data, '\n', text->len);

    *out = dd_span_make(text->data, end ? (size_t)(end - text->data) : text->len);
    *text = dd_span_make(text->data + out->len + (end != NULL),
                         text->len - out->len - (end != NULL));
    return end != NULL;
}

/* The value of a header among the lines of `head`; absent when there is none. */
static inline struct dd_span fuzz_find_header(struct dd_span head, const char *name)
{
    size_t len = strlen(name);
    struct dd_span line;

    while (fuzz_take_line(&head, &line) && line.len > 0) {
        if (line.len >= len + 2 && strncasecmp(line.data, name, len) == 0 &&
            memcmp(line.data + len, ": ", 2) == 0)
            return dd_span_make(line.data + len + 2, line.len - len - 2);
    }
    return DD_SPAN_NONE;
}

/* Visits the headers that HTTP can carry. */
static inline void
fuzz_each_header(struct dd_span head,
                 void (*visit)(void *user, const char *name, const char *value), void *user)
{
    struct dd_span line;

    while (fuzz_take_line(&head, &line) && line.len > 0) {
        const char *colon = dd_span_find(line, ": ");
        char name[256], value[1024];

        if (!colon || colon == line.data || memchr(line.data, '\r', line.len))
            continue;
        (void)snprintf(name, sizeof name, "%.*s", (int)(colon - line.data), line.data);
        (void)snprintf(value, sizeof value, "%.*s",
                       (int)(line.len - (size_t)(colon + 2 - line.data)), colon + 2);
        visit(user, name, value);
    }
}

/* The body behind the lines of `head`. */
static inline struct dd_span fuzz_body(struct dd_span head)
{
    struct dd_span line;

    while (fuzz_take_line(&head, &line) && line.len > 0)
        continue;
    return head;
}
