/* The wall-clock timer; see timer_uv.h. Source of the cancel-on-set behaviour:
 * timerfd_create(2), TFD_TIMER_CANCEL_ON_SET. */
#define _GNU_SOURCE
#include "io/timer_uv.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/check.h"

/* Armed while there is nothing to wait for, so that a step is still seen. */
#define FAR_FUTURE_S 32503680000 /* the year 3000 */

struct dd_wall_timer {
    uv_poll_t poll;
    int fd;
    int64_t armed_ms; /* -1: not yet */
    void (*fired)(void *user, bool stepped);
    void *user;
};

static void set(struct dd_wall_timer *timer, int64_t when_ms)
{
    struct itimerspec spec = {0};

    if (when_ms > 0) {
        spec.it_value.tv_sec = when_ms / 1000;
        spec.it_value.tv_nsec = when_ms % 1000 * 1000000;
    } else {
        spec.it_value.tv_sec = FAR_FUTURE_S;
    }
    dd_assert(timerfd_settime(timer->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec,
                              NULL) == 0);
    timer->armed_ms = when_ms;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct dd_wall_timer *timer = poll->data;
    uint64_t expirations;
    bool stepped = false;

    (void)status;
    (void)events;
    if (read(timer->fd, &expirations, sizeof expirations) < 0) {
        if (errno == EAGAIN || errno == EINTR)
            return;
        dd_assert(errno == ECANCELED);
        stepped = true;
    }
    timer->armed_ms = -1;
    timer->fired(timer->user, stepped);
}

struct dd_wall_timer *dd_wall_timer_open(uv_loop_t *loop,
                                         void (*fired)(void *user, bool stepped), void *user)
{
    struct dd_wall_timer *timer = dd_alloc(sizeof *timer);

    timer->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    dd_assert(timer->fd >= 0);
    timer->fired = fired;
    timer->user = user;
    dd_assert(uv_poll_init(loop, &timer->poll, timer->fd) == 0);
    timer->poll.data = timer;
    set(timer, 0);
    dd_assert(uv_poll_start(&timer->poll, UV_READABLE, on_poll) == 0);
    return timer;
}

void dd_wall_timer_arm(struct dd_wall_timer *timer, int64_t when_ms)
{
    bool fires_before = timer->armed_ms > 0 && (when_ms == 0 || timer->armed_ms <= when_ms);

    if (when_ms != timer->armed_ms && !fires_before)
        set(timer, when_ms);
}

static void on_closed(uv_handle_t *handle)
{
    struct dd_wall_timer *timer = handle->data;

    close(timer->fd);
    dd_free(timer);
}

void dd_wall_timer_close(struct dd_wall_timer *timer)
{
    uv_close((uv_handle_t *)&timer->poll, on_closed);
}
