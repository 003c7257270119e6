/* Retry strategies as data (sdk-semantics 4.1). */
#include "core/session/session_priv.h"

/* The rounding functions of <math.h> without the library: delays fit an int64. */
static int64_t round_up(double value)
{
    int64_t whole = (int64_t)value;

    return (double)whole < value ? whole + 1 : whole;
}

static double backoff(const struct dd_retry *retry, uint32_t attempt)
{
    double delay = retry->initial_delay_s;

    if (retry->backoff == DD_BACKOFF_LINEAR) {
        delay += retry->increment_s * (double)(attempt - 1);
        return delay < retry->max_delay_s ? delay : retry->max_delay_s;
    }
    for (uint32_t i = 1; i < attempt && delay < retry->max_delay_s && retry->rate != 1.0; i++)
        delay *= retry->rate;
    return delay < retry->max_delay_s ? delay : retry->max_delay_s;
}

int64_t dd_retry_delay(const struct dd_retry *retry, enum dd_delay_rounding rounding,
                       uint32_t attempt, double unit)
{
    double delay;
    int64_t seconds;

    if (attempt >= retry->max_attempts)
        return 0;
    delay = backoff(retry, attempt);
    if (retry->jitter == DD_JITTER_FULL)
        delay *= unit;
    else if (retry->jitter == DD_JITTER_HALF)
        delay = delay / 2 + unit * delay / 2;
    if (!(delay < DD_SECONDS_MAX)) /* also what is no number */
        return DD_SECONDS_MAX;
    if (delay <= 0)
        return 1;
    seconds = rounding == DD_DELAY_CEIL ? round_up(delay) : (int64_t)(delay + 0.5);
    return seconds < 1 ? 1 : seconds;
}
