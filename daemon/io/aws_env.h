/* What AWS's SDKs read from the environment before they call Lambda's API: where it is, for
 * which region, and with which keys. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

/* Texts are the environment's own; NULL: not there, or empty. */
struct dd_aws_env {
    const char *region;
    const char *endpoint;
    const char *access_key, *secret_key, *session_token;
    /* Where keys are asked for when there are none of these, and what is sent along
     * (dd_aws_authorization()): a text, or what a file holds then. */
    const char *keys_url;
    const char *keys_authorization;
    const char *keys_authorization_file;
    struct dd_buf keys_url_text;
};

/* Reads it; free with dd_aws_env_deinit(), whatever is returned. DD_USAGE with a text when keys
 * would be asked for where they must not be: `keys_url` is NULL then. */
int dd_aws_env_read(struct dd_aws_env *out, struct dd_error *error) DD_MUST_CHECK;
void dd_aws_env_deinit(struct dd_aws_env *env);

/* Appends what is sent along to `keys_url` as Authorization, which may be empty, and a NUL.
 * False when it can't be read, or is more than one line: that would be another header. */
bool dd_aws_authorization(const struct dd_aws_env *env, struct dd_buf *out);

/* Appends the URL of the API, without a slash at its end, and a NUL: the one `given`, or that
 * of the region when NULL. DD_USAGE with a text, and nothing appended, when `region` is no
 * region's name: it is a part of the host's, and of what is signed. */
int dd_aws_endpoint(const char *given, const char *region, struct dd_buf *out,
                    struct dd_error *error) DD_MUST_CHECK;
