/* Text for a terminal: safe, coloured when wanted; times and durations. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

/* --- screen ------------------------------------------------------------------------------ */

void screen_init(struct screen *screen, FILE *out)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    bool terminal = isatty(fileno(out)) == 1;

    screen->out = out;
    screen->glyphs = terminal && !(term && strcmp(term, "dumb") == 0);
    screen->colours = screen->glyphs && !(no_color && *no_color);
}

const char *paint(const struct screen *screen, enum colour colour)
{
    static const char *const codes[] = {
        [PLAIN] = "",       [BOLD] = "\033[1m",    [DIM] = "\033[2m",   [GREEN] = "\033[32m",
        [RED] = "\033[31m", [YELLOW] = "\033[33m", [CYAN] = "\033[36m",
    };

    return screen->colours ? codes[colour] : "";
}

const char *unpaint(const struct screen *screen)
{
    return screen->colours ? "\033[0m" : "";
}

/* --- safe text --------------------------------------------------------------------------- */

/* The code point at `text`, and its bytes in `*out_len`; 0 for broken UTF-8. */
static size_t decode(const uint8_t *text, size_t len, uint32_t *out_point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes = text[0] < 0x80             ? 1
                   : (text[0] & 0xe0) == 0xc0 ? 2
                   : (text[0] & 0xf0) == 0xe0 ? 3
                   : (text[0] & 0xf8) == 0xf0 ? 4
                                              : 0;
    uint32_t point;

    if (bytes == 0 || bytes > len)
        return 0;
    point = bytes == 1 ? text[0] : text[0] & (0xffu >> (bytes + 1));
    for (size_t i = 1; i < bytes; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (text[i] & 0x3fu);
    }
    if (point < least[bytes] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    *out_point = point;
    return bytes;
}

/* Controls, and what changes the direction or breaks the line. */
static bool is_unsafe(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x200e ||
           point == 0x200f || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

size_t put_safe(FILE *out, const char *text, size_t len, size_t columns)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t used = 0;

    for (size_t i = 0; i < len;) {
        uint32_t point = 0;
        size_t step = decode(bytes + i, len - i, &point);

        if (columns > 0 && used >= columns) {
            fputs("...", out);
            return used + 3;
        }
        if (step == 0) {
            used += (size_t)fprintf(out, "\\x%02x", bytes[i]);
            step = 1;
        } else if (point == '\n') {
            used += (size_t)fprintf(out, "\\n");
        } else if (point == '\t') {
            used += (size_t)fprintf(out, "\\t");
        } else if (is_unsafe(point)) {
            used += (size_t)fprintf(out, "\\u%04x", point);
        } else {
            fwrite(bytes + i, 1, step, out);
            used++;
        }
        i += step;
    }
    return used;
}

size_t put_safe_cstr(FILE *out, const char *text, size_t columns)
{
    return put_safe(out, text, strlen(text), columns);
}

void put_spaces(FILE *out, size_t count)
{
    for (; count > 0; count--)
        fputc(' ', out);
}

void put_quoted(FILE *out, const char *text, size_t len)
{
    fputc('\'', out);
    for (size_t at = 0; at < len;) {
        const char *quote = memchr(text + at, '\'', len - at);
        size_t end = quote ? (size_t)(quote - text) : len;

        (void)put_safe(out, text + at, end - at, 0);
        if (quote)
            fputs("'\\''", out);
        at = end + (quote != NULL);
    }
    fputc('\'', out);
}

/* --- times ------------------------------------------------------------------------------- */

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

enum local_form { DAY, DAY_AND_MINUTE, DAY_AND_SECOND, MINUTE, SECOND };

static void format_local(char *out, size_t size, int64_t when_ms, enum local_form form)
{
    time_t seconds = (time_t)(when_ms / 1000);
    size_t len = 0;
    struct tm local;

    out[0] = '\0';
    if (!localtime_r(&seconds, &local))
        return;
    if (form == DAY || form == DAY_AND_MINUTE || form == DAY_AND_SECOND)
        len = strftime(out, size, "%Y-%m-%d ", &local);
    if (form == MINUTE || form == DAY_AND_MINUTE)
        len += strftime(out + len, size - len, "%H:%M", &local);
    else if (form == SECOND || form == DAY_AND_SECOND)
        len += strftime(out + len, size - len, "%H:%M:%S", &local);
    if (form == DAY)
        out[len > 0 ? len - 1 : 0] = '\0';
}

void format_instant(char *out, size_t size, int64_t when_ms)
{
    format_local(out, size, when_ms, DAY_AND_SECOND);
}

void format_clock(char *out, size_t size, int64_t when_ms)
{
    char clock[16];

    format_local(clock, sizeof clock, when_ms, SECOND);
    (void)snprintf(out, size, "%s.%03d", clock, (int)(when_ms % 1000));
}

void format_when(char *out, size_t size, int64_t when_ms, int64_t reference_ms)
{
    int64_t distance = when_ms > reference_ms ? when_ms - reference_ms : reference_ms - when_ms;
    char day[16], today[16];

    format_local(day, sizeof day, when_ms, DAY);
    format_local(today, sizeof today, reference_ms, DAY);
    if (strcmp(day, today) != 0)
        format_local(out, size, when_ms, DAY_AND_MINUTE);
    else
        format_local(out, size, when_ms, distance < 120000 ? SECOND : MINUTE);
}

void format_duration(char *out, size_t size, int64_t ms)
{
    int64_t s = ms / 1000;

    if (ms < 0)
        ms = s = 0;
    if (ms < 1000)
        (void)snprintf(out, size, "%lld ms", (long long)ms);
    else if (ms < 10000)
        (void)snprintf(out, size, "%lld.%lld s", (long long)s, (long long)(ms % 1000 / 100));
    else if (s < 60)
        (void)snprintf(out, size, "%lld s", (long long)s);
    else if (s < 3600)
        (void)snprintf(out, size, "%lld min %lld s", (long long)(s / 60), (long long)(s % 60));
    else if (s < 86400)
        (void)snprintf(out, size, "%lld h %lld min", (long long)(s / 3600),
                       (long long)(s % 3600 / 60));
    else
        (void)snprintf(out, size, "%lld d %lld h", (long long)(s / 86400),
                       (long long)(s % 86400 / 3600));
}

void format_bytes(char *out, size_t size, int64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(out, size, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}
