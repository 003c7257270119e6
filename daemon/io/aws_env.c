/* AWS's variables of the environment; see aws_env.h. */
#include "io/aws_env.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "io/system.h"

static const char *either(const char *name, const char *other)
{
    const char *value = dd_variable(name);

    return value ? value : dd_variable(other);
}

static const char *find_endpoint(void)
{
    const char *ignored = dd_variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");

    if (ignored && strcasecmp(ignored, "true") == 0)
        return NULL;
    return either("AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL");
}

/* What stands behind `prefix`; NULL when `text` does not begin with it. */
static const char *behind(const char *text, const char *prefix)
{
    for (; *prefix; text++, prefix++)
        if (*text != *prefix)
            return NULL;
    return text;
}

/* Keys go over the network in the clear to this machine and to the addresses of AWS's agents
 * only, as AWS's SDKs have it. */
static bool may_tell_keys(const char *url)
{
    static const char *const hosts[] = {"localhost",     "127.0.0.1",      "[::1]",
                                        "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    const char *host = behind(url, "http://");

    if (!host)
        return behind(url, "https://") != NULL;
    for (size_t i = 0; i < DD_COUNT(hosts); i++) {
        const char *rest = behind(host, hosts[i]);

        if (!rest)
            continue;
        /* Whatever else stands behind the name may make it a user's, before another host. */
        if (*rest == ':')
            rest += 1 + strspn(rest + 1, "0123456789");
        if (strchr("/?", *rest))
            return true;
    }
    return false;
}

int dd_aws_env_read(struct dd_aws_env *out, struct dd_error *error)
{
    const char *relative = dd_variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = dd_variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");

    *out = (struct dd_aws_env){
        .region = either("AWS_REGION", "AWS_DEFAULT_REGION"),
        .endpoint = find_endpoint(),
        .access_key = dd_variable("AWS_ACCESS_KEY_ID"),
        .secret_key = dd_variable("AWS_SECRET_ACCESS_KEY"),
        .session_token = dd_variable("AWS_SESSION_TOKEN"),
    };
    dd_buf_init(&out->keys_url_text, SIZE_MAX);
    if ((out->access_key && out->secret_key) || (!relative && !full))
        return 0;
    dd_buf_printf(&out->keys_url_text, "%s%s", relative ? "http://169.254.170.2" : "",
                  relative ? relative : full);
    dd_buf_append_byte(&out->keys_url_text, '\0');
    if (!may_tell_keys(out->keys_url_text.data))
        return dd_fail(error, DD_USAGE,
                       "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither of this machine nor "
                       "https");
    out->keys_url = out->keys_url_text.data;
    out->keys_authorization = dd_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    out->keys_authorization_file = dd_variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    return 0;
}

void dd_aws_env_deinit(struct dd_aws_env *env)
{
    dd_buf_deinit(&env->keys_url_text);
}

bool dd_aws_authorization(const struct dd_aws_env *env, struct dd_buf *out)
{
    if (!env->keys_authorization_file)
        dd_buf_append_cstr(out, env->keys_authorization ? env->keys_authorization : "");
    else if (!dd_read_file(env->keys_authorization_file, out))
        return false;
    while (out->len > 0 && isspace((unsigned char)out->data[out->len - 1]))
        out->len--;
    dd_buf_append_byte(out, '\0');
    return !out->failed && out->data[strcspn(out->data, "\r\n")] == '\0';
}

int dd_aws_endpoint(const char *given, const char *region, struct dd_buf *out,
                    struct dd_error *error)
{
    if (!*region || region[strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-")])
        return dd_fail(error, DD_USAGE, "no region is named '%s'; write it as us-east-1",
                       region);
    if (given)
        dd_buf_append_cstr(out, given);
    else
        dd_buf_printf(out, "https://lambda.%s.amazonaws.com%s", region,
                      strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
    while (out->len > 0 && out->data[out->len - 1] == '/')
        out->len--;
    dd_buf_append_byte(out, '\0');
    return 0;
}
