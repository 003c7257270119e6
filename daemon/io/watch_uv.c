/* Changes of files; see watch_uv.h. */
#include "io/watch_uv.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/limits.h"

/* An editor, a compiler or `sam build` writes several files: so long it must be quiet. */
#define QUIET_MS 100
/* How often a directory that is gone is looked for. */
#define GONE_MS 500

struct place {
    uv_fs_event_t handle;
    struct dd_watcher *watcher;
    struct place *next;
    char path[];
};

struct dd_watcher {
    uv_loop_t *loop;
    uv_timer_t timer;
    struct place *places;
    size_t places_len;
    unsigned open; /* handles */
    void (*changed)(void *user);
    void *user;
    char directory[];
};

static void add_below(struct dd_watcher *watcher, const char *path);

/* --- the end ----------------------------------------------------------------------------- */

static void on_closed(struct dd_watcher *watcher)
{
    if (--watcher->open == 0)
        dd_free(watcher);
}

static void on_place_closed(uv_handle_t *handle)
{
    struct place *place = handle->data;
    struct dd_watcher *watcher = place->watcher;

    dd_free(place);
    on_closed(watcher);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_closed(handle->data);
}

static void close_places(struct dd_watcher *watcher)
{
    for (struct place *place = watcher->places, *next; place; place = next) {
        next = place->next;
        uv_close((uv_handle_t *)&place->handle, on_place_closed);
    }
    watcher->places = NULL;
    watcher->places_len = 0;
}

void dd_watcher_close(struct dd_watcher *watcher)
{
    close_places(watcher);
    uv_close((uv_handle_t *)&watcher->timer, on_timer_closed);
}

/* --- changes ----------------------------------------------------------------------------- */

static bool is_below(const char *name)
{
    static const char *const others[] = {"__pycache__", "node_modules", "site-packages"};

    for (size_t i = 0; i < DD_COUNT(others); i++) {
        if (strcmp(name, others[i]) == 0)
            return false;
    }
    return name[0] != '.';
}

/* Whether what has no suffix is a program, or a directory that may have one. */
static bool is_program(const char *directory, const char *name)
{
    char path[PATH_MAX];
    struct stat found;
    int len = snprintf(path, sizeof path, "%s/%s", directory, name);

    return len > 0 && (size_t)len < sizeof path && lstat(path, &found) == 0 &&
           (S_ISDIR(found.st_mode) ||
            (S_ISREG(found.st_mode) && (found.st_mode & S_IXUSR) != 0));
}

/* A program, or one's source: what else a function finds and writes beside it (data, logs,
 * locks) starts nothing anew; nor does the daemon's own log, which would do so for ever. */
static bool is_code(const char *directory, const char *name)
{
    static const char *const suffixes[] = {".py",  ".js",  ".mjs",  ".cjs", ".ts",
                                           ".rb",  ".so",  ".node", ".jar", ".class",
                                           ".dll", ".php", ".sh"};
    const char *suffix = strrchr(name, '.');

    for (size_t i = 0; suffix && i < DD_COUNT(suffixes); i++) {
        if (strcmp(suffix, suffixes[i]) == 0)
            return true;
    }
    return !suffix && is_program(directory, name);
}

/* It is quiet: what was made since is watched too. A directory that is gone will be back, as
 * a build makes it anew. */
static void on_quiet(uv_timer_t *timer)
{
    struct dd_watcher *watcher = timer->data;

    close_places(watcher);
    add_below(watcher, watcher->directory);
    if (watcher->places_len > 0)
        watcher->changed(watcher->user);
    else
        uv_timer_start(&watcher->timer, on_quiet, GONE_MS, 0);
}

static void on_change(uv_fs_event_t *handle, const char *name, int events, int status)
{
    const struct place *place = handle->data;

    (void)events;
    if (status == 0 && name && is_below(name) && is_code(place->path, name))
        uv_timer_start(&place->watcher->timer, on_quiet, QUIET_MS, 0);
}

/* --- places ------------------------------------------------------------------------------ */

static void add_place(struct dd_watcher *watcher, const char *path)
{
    size_t size = strlen(path) + 1;
    struct place *place = dd_alloc(sizeof *place + size);

    memcpy(place->path, path, size);
    place->watcher = watcher;
    dd_assert(uv_fs_event_init(watcher->loop, &place->handle) == 0);
    place->handle.data = place;
    watcher->open++;
    place->next = watcher->places;
    watcher->places = place;
    watcher->places_len++;
    /* One that can't be watched is not: it is gone again, or the kernel's limit is met. */
    (void)uv_fs_event_start(&place->handle, on_change, path, 0);
}

static bool is_directory(const char *path)
{
    struct stat found;

    return lstat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

static void add_below(struct dd_watcher *watcher, const char *path)
{
    const struct dirent *entry;
    char below[PATH_MAX];
    DIR *directory;

    if (watcher->places_len >= DD_WATCH_DIRECTORIES_MAX || !(directory = opendir(path)))
        return;
    add_place(watcher, path);
    while ((entry = readdir(directory)) != NULL) {
        int len = snprintf(below, sizeof below, "%s/%s", path, entry->d_name);

        if (is_below(entry->d_name) && len > 0 && (size_t)len < sizeof below &&
            is_directory(below))
            add_below(watcher, below);
    }
    closedir(directory);
}

struct dd_watcher *dd_watcher_open(uv_loop_t *loop, const char *directory,
                                   void (*changed)(void *user), void *user)
{
    size_t size = strlen(directory) + 1;
    struct dd_watcher *watcher = dd_alloc(sizeof *watcher + size);

    memcpy(watcher->directory, directory, size);
    watcher->loop = loop;
    watcher->changed = changed;
    watcher->user = user;
    dd_assert(uv_timer_init(loop, &watcher->timer) == 0);
    watcher->timer.data = watcher;
    watcher->open = 1;
    add_below(watcher, directory);
    return watcher;
}
