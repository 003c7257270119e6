/* Feeds a fuzz target the files of a directory, for the builds without libFuzzer. A file
 * whose input breaks the target is the last one named. */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

#define INPUT_MAX ((size_t)1 << 20)

/* False: it cannot be read. */
static bool replay(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    uint8_t *exact;
    size_t len;
    bool whole;

    if (!file)
        return false;
    len = fread(bytes, 1, sizeof bytes, file);
    whole = feof(file) && !ferror(file);
    fclose(file);
    if (!whole)
        return false;
    /* Memory of exactly this size lets the sanitizers see a read beyond it. */
    exact = malloc(len ? len : 1);
    if (!exact)
        return false;
    for (size_t i = 0; i < len; i++)
        exact[i] = bytes[i];
    puts(path);
    fflush(stdout);
    (void)LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    return true;
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    int len = argc == 2 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
    int replayed = 0, unread = 0;

    for (int i = 0; i < len; i++) {
        char path[4096];

        if (entries[i]->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", argv[1], entries[i]->d_name);
            if (replay(path))
                replayed++;
            else
                unread += fprintf(stderr, "%s: not readable\n", path) > 0;
        }
        free(entries[i]);
    }
    free(entries);
    if (replayed == 0)
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
    return replayed == 0 || unread > 0;
}
