/* One absolute wall-clock timer: a timerfd on CLOCK_REALTIME watched by the loop.
 * It fires right after a suspend or a step of the clock, which is told apart,
 * and never early. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct dd_wall_timer;

/* `fired` is called from the loop; `stepped` tells that the clock was set. */
struct dd_wall_timer *dd_wall_timer_open(uv_loop_t *loop,
                                         void (*fired)(void *user, bool stepped), void *user);

/* Wants it to fire at `when_ms` (ms since 1970; past: at once), or not with 0. It may fire
 * before too, for what was wanted earlier: a time that moves on with every event costs no
 * call of the kernel each time. */
void dd_wall_timer_arm(struct dd_wall_timer *timer, int64_t when_ms);

/* Frees it once the loop has let go. */
void dd_wall_timer_close(struct dd_wall_timer *timer);
