/* Labels, queries, dates and ARNs of the HTTP API; see http.h. */
#include "codec/http.h"

/* --- percent-encoding -------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

void dd_http_decode(struct dd_span text, struct dd_buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        int high = -1, low = -1;

        if (text.data[i] == '%' && i + 2 < text.len) {
            high = hex_digit(text.data[i + 1]);
            low = hex_digit(text.data[i + 2]);
        }
        if (high >= 0 && low >= 0) {
            dd_buf_append_byte(out, (uint8_t)(high << 4 | low));
            i += 2;
        } else {
            dd_buf_append_byte(out, (uint8_t)text.data[i]);
        }
    }
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_' || c == '.' || c == '~';
}

void dd_http_encode(struct dd_span text, struct dd_buf *out)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (is_unreserved(c))
            dd_buf_append_byte(out, c);
        else
            dd_buf_append(out, (const char[]){'%', digits[c >> 4], digits[c & 15]}, 3);
    }
}

/* --- the target -------------------------------------------------------------------------- */

/* The bytes of `text` from `from` up to the next `stop`, or to the end. */
static struct dd_span until(struct dd_span text, size_t from, char stop)
{
    const char *begin = text.data + from;
    const char *end = memchr(begin, stop, text.len - from);

    return dd_span_make(begin, end ? (size_t)(end - begin) : text.len - from);
}

void dd_http_split(struct dd_span target, struct dd_span *out_path, struct dd_span *out_query)
{
    *out_path = until(target, 0, '?');
    *out_query = out_path->len < target.len ? dd_span_make(target.data + out_path->len + 1,
                                                           target.len - out_path->len - 1)
                                            : dd_span_make("", 0);
}

void dd_http_split_url(struct dd_span url, struct dd_span *out_host, struct dd_span *out_path)
{
    const char *scheme_end = dd_span_find(url, "://");
    size_t from = scheme_end ? (size_t)(scheme_end + 3 - url.data) : 0;

    *out_host = until(url, from, '/');
    from += out_host->len;
    *out_path = dd_span_make(url.data + from, url.len - from);
}

bool dd_http_query(struct dd_span query, size_t *at, const char *name, struct dd_buf *out)
{
    while (*at < query.len) {
        struct dd_span pair = until(query, *at, '&');
        struct dd_span key = until(pair, 0, '=');

        *at += pair.len + 1;
        dd_buf_clear(out);
        dd_http_decode(key, out);
        if (!dd_span_is(dd_buf_span(out), name))
            continue;
        dd_buf_clear(out);
        if (key.len < pair.len)
            dd_http_decode(dd_span_make(key.data + key.len + 1, pair.len - key.len - 1), out);
        return true;
    }
    return false;
}

/* --- dates ------------------------------------------------------------------------------- */

struct scan {
    struct dd_span text;
    size_t at;
};

static bool take(struct scan *scan, char c)
{
    if (scan->at == scan->text.len || scan->text.data[scan->at] != c)
        return false;
    scan->at++;
    return true;
}

/* A number of exactly `digits` digits, between `min` and `max`. */
static bool take_number(struct scan *scan, size_t digits, int64_t min, int64_t max,
                        int64_t *out)
{
    int64_t value = 0;

    if (scan->text.len - scan->at < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        char c = scan->text.data[scan->at++];

        if (c < '0' || c > '9')
            return false;
        value = 10 * value + (c - '0');
    }
    *out = value;
    return value >= min && value <= max;
}

/* ".123456": milliseconds, the rest is dropped. */
static bool take_fraction(struct scan *scan, int64_t *out_ms)
{
    int64_t unit = 100;
    size_t from;

    *out_ms = 0;
    if (!take(scan, '.'))
        return true;
    from = scan->at;
    for (; scan->at < scan->text.len; scan->at++, unit /= 10) {
        char c = scan->text.data[scan->at];

        if (c < '0' || c > '9')
            break;
        *out_ms += unit * (c - '0');
    }
    return scan->at > from;
}

/* Days from 1970-01-01 of the Gregorian calendar: years begin in March, so that the
 * leap day is the last, and an era of 400 years has 146097 days. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t of_era = y % 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return y / 400 * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* The reverse of days_of(); the last day of an era is a leap day. */
static void date_of(int64_t days, int64_t *out_year, int64_t *out_month, int64_t *out_day)
{
    int64_t since = days + 719468;
    int64_t of_era = since % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;

    *out_day = of_year - (153 * month + 2) / 5 + 1;
    *out_month = month < 10 ? month + 3 : month - 9;
    *out_year = since / 146097 * 400 + year + (*out_month <= 2);
}

static bool take_offset(struct scan *scan, int64_t *out_minutes)
{
    int64_t hours, minutes;
    bool west;

    *out_minutes = 0;
    if (take(scan, 'Z') || take(scan, 'z') || scan->at == scan->text.len)
        return true;
    west = take(scan, '-');
    if ((!west && !take(scan, '+')) || !take_number(scan, 2, 0, 23, &hours))
        return false;
    (void)take(scan, ':');
    if (!take_number(scan, 2, 0, 59, &minutes))
        return false;
    *out_minutes = (60 * hours + minutes) * (west ? -1 : 1);
    return true;
}

static bool iso_date(struct dd_span text, int64_t *out_ms)
{
    struct scan scan = {text, 0};
    int64_t year, month, day, hour = 0, minute = 0, second = 0, ms = 0, offset = 0;

    if (!take_number(&scan, 4, 1, 9999, &year) || !take(&scan, '-') ||
        !take_number(&scan, 2, 1, 12, &month) || !take(&scan, '-') ||
        !take_number(&scan, 2, 1, 31, &day))
        return false;
    if (scan.at < text.len &&
        ((!take(&scan, 'T') && !take(&scan, ' ')) || !take_number(&scan, 2, 0, 23, &hour) ||
         !take(&scan, ':') || !take_number(&scan, 2, 0, 59, &minute) || !take(&scan, ':') ||
         !take_number(&scan, 2, 0, 60, &second) || !take_fraction(&scan, &ms) ||
         !take_offset(&scan, &offset)))
        return false;
    *out_ms = (((days_of(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second) *
                  1000 +
              ms;
    return scan.at == text.len;
}

/* "1763647702.345"; twelve digits are the year 33658. */
static bool epoch_seconds(struct dd_span text, int64_t *out_ms)
{
    struct scan scan = {text, 0};
    size_t digits = until(text, 0, '.').len;
    int64_t seconds, ms;

    if (digits == 0 || digits > 12 || !take_number(&scan, digits, 0, INT64_MAX, &seconds) ||
        !take_fraction(&scan, &ms))
        return false;
    *out_ms = seconds * 1000 + ms;
    return scan.at == text.len;
}

bool dd_http_date(struct dd_span text, int64_t *out_ms)
{
    return epoch_seconds(text, out_ms) || iso_date(text, out_ms);
}

int64_t dd_http_retry_after(struct dd_span text)
{
    int64_t ms;

    return text.data && epoch_seconds(text, &ms) && ms <= 3600000 ? ms : 0;
}

static bool take_word(struct scan *scan, const char *word)
{
    size_t len = strlen(word);

    if (scan->text.len - scan->at < len || memcmp(scan->text.data + scan->at, word, len) != 0)
        return false;
    scan->at += len;
    return true;
}

static bool take_month(struct scan *scan, int64_t *out)
{
    static const char *const names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

    for (size_t i = 0; i < DD_COUNT(names); i++) {
        *out = (int64_t)i + 1;
        if (take_word(scan, names[i]))
            return true;
    }
    return false;
}

bool dd_http_header_date(struct dd_span text, int64_t *out_ms)
{
    struct scan scan = {text, 3}; /* behind the day's name */
    int64_t year, month, day, hour, minute, second;

    if (text.len < 3 || !take_word(&scan, ", ") || !take_number(&scan, 2, 1, 31, &day) ||
        !take(&scan, ' ') || !take_month(&scan, &month) || !take(&scan, ' ') ||
        !take_number(&scan, 4, 1, 9999, &year) || !take(&scan, ' ') ||
        !take_number(&scan, 2, 0, 23, &hour) || !take(&scan, ':') ||
        !take_number(&scan, 2, 0, 59, &minute) || !take(&scan, ':') ||
        !take_number(&scan, 2, 0, 60, &second) || !take_word(&scan, " GMT") ||
        scan.at != text.len)
        return false;
    *out_ms =
        (((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * INT64_C(1000);
    return true;
}

bool dd_http_stamp(struct dd_span text, int64_t *out_ms)
{
    struct scan scan = {text, 0};
    int64_t year, month, day, hour, minute, second;

    if (!take_number(&scan, 4, 1, 9999, &year) || !take_number(&scan, 2, 1, 12, &month) ||
        !take_number(&scan, 2, 1, 31, &day) || !take(&scan, 'T') ||
        !take_number(&scan, 2, 0, 23, &hour) || !take_number(&scan, 2, 0, 59, &minute) ||
        !take_number(&scan, 2, 0, 60, &second) || !take(&scan, 'Z') || scan.at != text.len)
        return false;
    *out_ms =
        (((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * INT64_C(1000);
    return true;
}

/* Writes `value` in so many digits, and returns what is behind them. */
static char *put_number(char *out, int digits, int64_t value)
{
    for (int i = digits - 1; i >= 0; i--, value /= 10)
        out[i] = (char)('0' + value % 10);
    return out + digits;
}

void dd_http_stamp_format(int64_t ms, char out_text[DD_HTTP_STAMP_LEN + 1])
{
    int64_t of_day = ms / 1000 % 86400, year, month, day;
    char *at = out_text;

    dd_assert(ms >= 0 && ms < INT64_C(253402300800000)); /* the year 10000 */
    date_of(ms / 86400000, &year, &month, &day);
    at = put_number(at, 4, year);
    at = put_number(at, 2, month);
    at = put_number(at, 2, day);
    *at++ = 'T';
    at = put_number(at, 2, of_day / 3600);
    at = put_number(at, 2, of_day / 60 % 60);
    at = put_number(at, 2, of_day % 60);
    *at++ = 'Z';
    *at = '\0';
}

/* --- ARNs -------------------------------------------------------------------------------- */

enum { PARTS_MAX = 8 };

/* Splits at colons; 0 when there are too many parts. */
static size_t split(struct dd_span text, struct dd_span parts[PARTS_MAX])
{
    size_t len = 0;

    for (size_t at = 0; at <= text.len; at += parts[len++].len + 1) {
        if (len == PARTS_MAX)
            return 0;
        parts[len] = until(text, at, ':');
    }
    return len;
}

static bool is_word(struct dd_span span)
{
    for (size_t i = 0; i < span.len; i++) {
        char c = span.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return span.len > 0;
}

static bool is_digits(struct dd_span span)
{
    for (size_t i = 0; i < span.len; i++) {
        if (span.data[i] < '0' || span.data[i] > '9')
            return false;
    }
    return span.len > 0;
}

static bool is_account(struct dd_span span)
{
    return span.len == 12 && is_digits(span);
}

static bool is_latest(struct dd_span span)
{
    return dd_span_is(span, "$LATEST") || dd_span_is(span, "$LATEST.PUBLISHED");
}

/* Splits "version/durable-execution/name/id". */
static bool split_resource(struct dd_span text, struct dd_span *out_id)
{
    static const char kind[] = "/durable-execution/";
    struct dd_span version = until(text, 0, '/');
    size_t at = version.len, kind_len = sizeof kind - 1;
    struct dd_span name;

    if ((!is_latest(version) && !is_digits(version)) || text.len - at < kind_len ||
        memcmp(text.data + at, kind, kind_len) != 0)
        return false;
    at += kind_len;
    name = until(text, at, '/');
    at += name.len + 1;
    if (!is_word(name) || at > text.len)
        return false;
    *out_id = dd_span_make(text.data + at, text.len - at);
    return is_word(*out_id);
}

bool dd_execution_arn_parse(struct dd_span text, struct dd_execution_arn *out)
{
    struct dd_span parts[PARTS_MAX];

    if (split(text, parts) != 8 || !dd_span_is(parts[0], "arn") || !is_word(parts[1]) ||
        !dd_span_is(parts[2], "lambda") || !is_word(parts[3]) || !is_account(parts[4]) ||
        !dd_span_is(parts[5], "function") || !is_word(parts[6]) ||
        !split_resource(parts[7], &out->id))
        return false;
    out->region = parts[3];
    out->account = parts[4];
    return true;
}
