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
