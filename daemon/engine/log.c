/* Formats log events; see log.h for the table. */
#include "engine/log.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/utf8.h"

struct event {
    const char *code;
    enum dd_level level;
    const char *message;
};

static const struct event events[] = {
#define X(symbol, level, message, meaning, action) {#symbol, DD_LEVEL_##level, message},
    DD_LOG_TABLE(X)
#undef X
};

static const char *const level_names[] = {"DEBUG", "INFO", "WARN", "ERROR"};

/* Fields are ids, names, short error texts, and what a function wrote, whose every byte may
 * be escaped. */
#define LINE_MAX_BYTES (8192 + 6 * DD_LOG_LINE_MAX)

const char *dd_level_name(enum dd_level level)
{
    return level_names[level];
}

bool dd_level_parse(struct dd_span name, enum dd_level *out_level)
{
    for (size_t i = 0; i < DD_COUNT(level_names); i++) {
        size_t at = 0;

        while (at < name.len && level_names[i][at] == toupper((unsigned char)name.data[at]))
            at++;
        if (at == name.len && level_names[i][at] == '\0') {
            *out_level = (enum dd_level)i;
            return true;
        }
    }
    return false;
}

void dd_time_format(int64_t time_ms, char out_text[25])
{
    int64_t days = time_ms / 86400000, rest = time_ms % 86400000;

    if (rest < 0) {
        rest += 86400000;
        days--;
    }
    /* Civil date from a day number, era by era of 400 years. */
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int day = (int)(doy - (153 * mp + 2) / 5 + 1);
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);
    int year = (int)(yoe + era * 400 + (month <= 2));

    snprintf(out_text, 25, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", (unsigned)year % 10000,
             (unsigned)month % 100, (unsigned)day % 100, (unsigned)(rest / 3600000) % 100,
             (unsigned)(rest / 60000) % 60, (unsigned)(rest / 1000) % 60,
             (unsigned)(rest % 1000) % 1000);
}

/* JSON string contents; also what keeps a terminal safe from a peer's text. */
void dd_log_escape(struct dd_buf *buf, struct dd_span text)
{
    size_t done = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c != '"' && c != '\\' && c >= 0x20 && c != 0x7f)
            continue;
        dd_buf_append(buf, text.data + done, i - done);
        dd_buf_printf(buf, c == '"' || c == '\\' ? "\\%c" : "\\u%04x", c);
        done = i + 1;
    }
    if (done < text.len)
        dd_buf_append(buf, text.data + done, text.len - done);
}

static void append_json(struct dd_buf *buf, const struct event *event, const char *time,
                        const struct dd_log_field *fields, size_t fields_len)
{
    dd_buf_printf(buf,
                  "{\"timestamp\":\"%s\",\"level\":\"%s\",\"code\":\"%s\",\"message\":\"%s\"",
                  time, level_names[event->level], event->code, event->message);
    for (size_t i = 0; i < fields_len; i++) {
        dd_buf_printf(buf, ",\"%s\":", fields[i].key);
        if (fields[i].json) {
            dd_buf_append(buf, fields[i].text.data, fields[i].text.len);
        } else if (fields[i].text.data) {
            dd_buf_append_byte(buf, '"');
            dd_log_escape(buf, fields[i].text);
            dd_buf_append_byte(buf, '"');
        } else {
            dd_buf_printf(buf, "%" PRId64, fields[i].number);
        }
    }
    dd_buf_append_cstr(buf, "}\n");
}

static void append_readable(struct dd_buf *buf, const struct event *event, const char *time,
                            const struct dd_log_field *fields, size_t fields_len)
{
    dd_buf_printf(buf, "%.8s %-5s %s", time + 11, level_names[event->level], event->message);
    for (size_t i = 0; i < fields_len; i++) {
        dd_buf_printf(buf, " %s=", fields[i].key);
        if (fields[i].json)
            dd_buf_append(buf, fields[i].text.data, fields[i].text.len);
        else if (fields[i].text.data)
            dd_log_escape(buf, fields[i].text);
        else
            dd_buf_printf(buf, "%" PRId64, fields[i].number);
    }
    dd_buf_append_byte(buf, '\n');
}

void dd_log_write(const struct dd_log *log, enum dd_log_code code,
                  const struct dd_log_field *fields, size_t fields_len)
{
    const struct event *event = &events[code];
    struct dd_buf buf;
    char time[25];

    if (event->level < log->level)
        return;
    dd_buf_init(&buf, LINE_MAX_BYTES);
    dd_time_format(log->now_ms(log->user), time);
    if (log->readable)
        append_readable(&buf, event, time, fields, fields_len);
    else
        append_json(&buf, event, time, fields, fields_len);
    if (!buf.failed) {
        dd_utf8_repair(buf.data, buf.len); /* what a peer sent need be no text */
        log->write(log->user, dd_buf_span(&buf));
    }
    dd_buf_deinit(&buf);
}

/* As it would look without us, but for what a terminal would take for a command. */
static void append_safe(struct dd_buf *buf, struct dd_span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            dd_buf_printf(buf, "\\x%02x", c);
        else
            dd_buf_append_byte(buf, c);
    }
}

void dd_log_wrote(const struct dd_log *log, const struct dd_wrote *wrote)
{
    struct dd_buf buf;
    char time[25];

    if (!log->readable) {
        dd_log(log, FUNCTION_WROTE, DD_LOG_TEXT("function", wrote->function),
               DD_LOG_TEXT("requestId", wrote->request_id), DD_LOG_TEXT("line", wrote->line));
        return;
    }
    if (events[DD_LOG_FUNCTION_WROTE].level < log->level)
        return;
    dd_buf_init(&buf, LINE_MAX_BYTES);
    dd_time_format(log->now_ms(log->user), time);
    dd_buf_printf(&buf, "%.8s %.*s | ", time + 11, (int)wrote->function.len,
                  wrote->function.data);
    if (wrote->level.data)
        dd_buf_printf(&buf, "%-5.*s ", (int)wrote->level.len, wrote->level.data);
    append_safe(&buf, wrote->message);
    dd_buf_append_byte(&buf, '\n');
    if (!buf.failed)
        log->write(log->user, dd_buf_span(&buf));
    dd_buf_deinit(&buf);
}
