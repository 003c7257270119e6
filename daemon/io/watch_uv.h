/* Whether files below a directory change, on libuv's watchers (inotify). What changes at
 * once is told once. */
#pragma once

#include <uv.h>

struct dd_watcher;

/* Watches `directory` and what is below, but for what holds no code of the user's: hidden
 * directories, caches, and installed packages. `changed` is called from the loop. */
struct dd_watcher *dd_watcher_open(uv_loop_t *loop, const char *directory,
                                   void (*changed)(void *user), void *user);

/* Tells no more; it is freed by the loop. */
void dd_watcher_close(struct dd_watcher *watcher);
