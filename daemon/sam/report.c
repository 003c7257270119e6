/* Lines for the user; see sam_priv.h. They are one line whatever a template has in its
 * texts, and each is said once. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "sam/sam_priv.h"

#define LINE_MAX_BYTES 1024 /* chosen: a path and an ARN fit */

char *dd_sam_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = dd_alloc(size);

    memcpy(copy, text, size);
    return copy;
}

char *dd_sam_format(const char *fmt, ...)
{
    va_list args;
    int len;
    char *text;

    va_start(args, fmt);
    len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    dd_assert(len >= 0);
    text = dd_alloc((size_t)len + 1);
    va_start(args, fmt);
    (void)vsnprintf(text, (size_t)len + 1, fmt, args);
    va_end(args);
    return text;
}

/* Control characters of a template are not the terminal's. */
static void flatten(char *text)
{
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = ' ';
    dd_utf8_repair(text, strlen(text));
}

void dd_sam_add_line(struct dd_sam_lines *lines, const char *function, const char *text)
{
    if (lines->len == DD_TEMPLATE_LINES_MAX)
        return;
    for (size_t i = 0; i < lines->len; i++)
        if (strcmp(lines->items[i].text, text) == 0)
            return;
    lines->items = dd_realloc_array(lines->items, lines->len + 1, sizeof *lines->items);
    lines->items[lines->len++] =
        (struct dd_sam_line){function ? dd_sam_strdup(function) : NULL, dd_sam_strdup(text)};
}

static void add(struct dd_template *template, struct dd_sam_lines *lines, const char *fmt,
                va_list args) DD_PRINTF(3, 0);

static void add(struct dd_template *template, struct dd_sam_lines *lines, const char *fmt,
                va_list args)
{
    char line[LINE_MAX_BYTES];
    int len = snprintf(line, sizeof line,
                       "%s: ", template->function ? template->function : template->path);

    if (len > 0 && (size_t)len < sizeof line)
        (void)vsnprintf(line + len, sizeof line - (size_t)len, fmt, args);
    flatten(line);
    dd_sam_add_line(lines, template->function, line);
}

void dd_sam_fault(struct dd_template *template, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    add(template, &template->reading->sam.faults, fmt, args);
    va_end(args);
}

void dd_sam_note(struct dd_template *template, const char *fmt, ...)
{
    va_list args;

    if (template->quiet)
        return;
    va_start(args, fmt);
    add(template, &template->reading->sam.notes, fmt, args);
    va_end(args);
}

/* Puts ", whose" behind the names of a line "what of NAMES: why". */
static void add_name(char **line, const char *whose)
{
    const char *end = strstr(*line, ": ");
    char *longer;

    dd_assert(end);
    if (strlen(*line) > LINE_MAX_BYTES)
        return;
    longer = dd_sam_format("%.*s, %s%s", (int)(end - *line), *line, whose, end);
    dd_free(*line);
    *line = longer;
}

void dd_sam_ignore(struct dd_reading *reading, const char *what, const char *whose,
                   const char *why)
{
    struct dd_sam *sam = &reading->sam;
    size_t len = strlen(what);
    char *line;

    for (size_t i = 0; i < reading->ignored_len; i++)
        if (strncmp(sam->ignored[i], what, len) == 0 &&
            strncmp(sam->ignored[i] + len, " of ", 4) == 0) {
            add_name(&sam->ignored[i], whose);
            return;
        }
    if (reading->ignored_len == DD_TEMPLATE_LINES_MAX)
        return;
    line = dd_sam_format("%s of %s: %s", what, whose, why);
    flatten(line);
    sam->ignored =
        dd_realloc_array(sam->ignored, reading->ignored_len + 2, sizeof *sam->ignored);
    sam->ignored[reading->ignored_len++] = line;
    sam->ignored[reading->ignored_len] = NULL;
}
