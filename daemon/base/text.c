/* Counted text; see text.h. */
#include "base/text.h"

#include "base/alloc.h"
#include "base/check.h"

bool dd_text_try_new(struct dd_span span, struct dd_text **out_text)
{
    struct dd_text *text;

    if (!span.data) {
        *out_text = NULL;
        return true;
    }
    dd_assert(span.len < UINT32_MAX);
    text = dd_try_alloc(sizeof *text + span.len + 1);
    if (!text)
        return false;
    text->refs = 1;
    text->len = (uint32_t)span.len;
    memcpy(text->data, span.data, span.len);
    text->data[span.len] = '\0';
    *out_text = text;
    return true;
}

struct dd_text *dd_text_new(struct dd_span span)
{
    struct dd_text *text;
    bool made = dd_text_try_new(span, &text);

    dd_assert(made);
    return text;
}

struct dd_text *dd_text_cstr(const char *cstr)
{
    return dd_text_new(dd_span_cstr(cstr));
}

struct dd_text *dd_text_ref(struct dd_text *text)
{
    if (text)
        text->refs++;
    return text;
}

void dd_text_unref(struct dd_text *text)
{
    if (!text)
        return;
    dd_assert(text->refs > 0);
    if (--text->refs == 0)
        dd_free(text);
}

void dd_text_set(struct dd_text **slot, struct dd_text *text)
{
    struct dd_text *old = *slot;

    *slot = dd_text_ref(text);
    dd_text_unref(old);
}
