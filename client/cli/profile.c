/* AWS's shared files, ~/.aws/config and ~/.aws/credentials, as AWS's tools read them
 * (docs.aws.amazon.com/sdkref: file-format). */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "io/system.h"

/* Chosen: thousands of profiles. */
#define FILE_MAX ((size_t)1024 * 1024)

/* Takes what is before the next `end` off `rest`. */
static struct dd_span take(struct dd_span *rest, char end)
{
    const char *found = memchr(rest->data, end, rest->len);
    size_t len = found ? (size_t)(found - rest->data) : rest->len;
    struct dd_span taken = dd_span_make(rest->data, len);

    len += found != NULL;
    *rest = dd_span_make(rest->data + len, rest->len - len);
    return taken;
}

/* Whether "[...]" begins the profile: "[profile NAME]" in config, but "[default]", and
 * "[NAME]" in credentials. */
static bool is_section(struct dd_span line, const char *name, bool config)
{
    struct dd_span section = dd_span_make(line.data + 1, line.len - 1);
    static const char word[] = "profile";

    section = dd_span_trim(take(&section, ']'));
    if (config && section.len >= sizeof word &&
        memcmp(section.data, word, sizeof word - 1) == 0 &&
        isspace((unsigned char)section.data[sizeof word - 1]))
        section =
            dd_span_trim(dd_span_make(section.data + sizeof word, section.len - sizeof word));
    else if (config && strcmp(name, "default") != 0)
        return false;
    if (section.len >= 2 && section.data[0] == '"' && section.data[section.len - 1] == '"')
        section = dd_span_make(section.data + 1, section.len - 2);
    return dd_span_is(section, name);
}

static void set(struct dd_text **slot, struct dd_span value)
{
    dd_text_unref(*slot);
    *slot = value.len > 0 ? dd_text_new(value) : NULL;
}

/* Each way to keys that are not in the file has a setting that begins so. */
static bool is_other(struct dd_span key)
{
    static const char *const ways[] = {"sso_", "role_arn", "credential_process",
                                       "login_session"};

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (key.len >= strlen(ways[i]) && memcmp(key.data, ways[i], strlen(ways[i])) == 0)
            return true;
    return false;
}

static void take_setting(struct profile *out, struct dd_span key, struct dd_span value)
{
    if (dd_span_is(key, "region"))
        set(&out->region, value);
    else if (dd_span_is(key, "aws_access_key_id"))
        set(&out->access_key, value);
    else if (dd_span_is(key, "aws_secret_access_key"))
        set(&out->secret_key, value);
    else if (dd_span_is(key, "aws_session_token"))
        set(&out->session_token, value);
    else if (is_other(key))
        set(&out->other, key);
}

static void read_file(const char *path, const char *name, bool config, struct profile *out)
{
    struct dd_span rest;
    struct dd_buf text;
    bool ours = false;

    dd_buf_init(&text, FILE_MAX);
    if (!dd_read_file(path, &text))
        text.len = 0;
    rest = dd_buf_span(&text);
    while (rest.len > 0) {
        struct dd_span line = take(&rest, '\n'), value;

        /* Indented lines belong to a setting with parts, of which none is ours. */
        if (line.len == 0 || strchr("#; \t\r", line.data[0]))
            continue;
        if (line.data[0] == '[') {
            ours = is_section(line, name, config);
            out->found |= ours;
            continue;
        }
        value = line;
        line = dd_span_trim(take(&value, '='));
        if (ours)
            take_setting(out, line, dd_span_trim(value));
    }
    dd_buf_deinit(&text);
}

/* Where `variable` says, else ~/.aws/NAME. */
static void read_shared(const char *variable, const char *file, const char *name, bool config,
                        struct profile *out)
{
    const char *path = dd_variable(variable), *home = dd_variable("HOME");
    struct dd_buf own;

    dd_buf_init(&own, SIZE_MAX);
    dd_buf_printf(&own, "%s/.aws/%s", home ? home : "", file);
    dd_buf_append_byte(&own, '\0');
    read_file(path ? path : own.data, name, config, out);
    dd_buf_deinit(&own);
}

void profile_read(const char *name, struct profile *out)
{
    *out = (struct profile){0};
    read_shared("AWS_CONFIG_FILE", "config", name, true, out);
    read_shared("AWS_SHARED_CREDENTIALS_FILE", "credentials", name, false, out);
}

void profile_deinit(struct profile *profile)
{
    dd_text_unref(profile->region);
    dd_text_unref(profile->access_key);
    dd_text_unref(profile->secret_key);
    dd_text_unref(profile->session_token);
    dd_text_unref(profile->other);
}
