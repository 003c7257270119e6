/* Functions that the daemon hosts; see hosting.h. */
#include "engine/hosting.h"

#include "base/alloc.h"

static void free_texts(char **texts)
{
    for (size_t i = 0; texts && texts[i]; i++)
        dd_free(texts[i]);
    dd_free(texts);
}

void dd_hosted_deinit(struct dd_hosted *hosted)
{
    dd_free(hosted->name);
    dd_free(hosted->runtime);
    dd_free(hosted->handler);
    dd_free(hosted->directory);
    dd_free(hosted->description);
    free_texts(hosted->command);
    free_texts(hosted->layers);
    free_texts(hosted->aliases);
    for (size_t i = 0; i < hosted->environment_len; i++) {
        dd_free(hosted->environment[i].name);
        dd_free(hosted->environment[i].value);
    }
    dd_free(hosted->environment);
    *hosted = (struct dd_hosted){0};
}

const struct dd_hosted *dd_hosted_find(const struct dd_hosted *hosted, size_t len,
                                       struct dd_span name)
{
    for (size_t i = 0; i < len; i++) {
        if (dd_span_is(name, hosted[i].name))
            return &hosted[i];
    }
    return NULL;
}

bool dd_hosted_has_alias(const struct dd_hosted *hosted, struct dd_span alias)
{
    for (size_t i = 0; hosted->aliases && hosted->aliases[i]; i++) {
        if (dd_span_is(alias, hosted->aliases[i]))
            return true;
    }
    return false;
}
