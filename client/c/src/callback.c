/* What the outside completes: callbacks, and invokes of other functions. */
#include <stdio.h>
#include <stdlib.h>

#include "operation.h"

/* --- callbacks --------------------------------------------------------------------------- */

int durabled_callback(struct durabled_context *context, const char *name,
                      const struct durabled_callback_options *options,
                      struct durabled_operation **out)
{
    struct durabled_start start = {.type = DURABLED_CALLBACK, .name = name};
    struct durabled_operation *operation;
    struct durabled_answer answer;
    int rc;

    if (options) {
        start.timeout_s = options->timeout_s;
        start.heartbeat_timeout_s = options->heartbeat_timeout_s;
    }
    rc = operation_begin(context, &(struct opening){.start = &start}, &operation, &answer);
    if (rc != DURABLED_OK)
        return rc;
    if (!operation->callback_id)
        return session_misuse(context->session, "the daemon gave a callback without an id");
    *out = operation;
    return DURABLED_OK;
}

/* --- wait for a callback ----------------------------------------------------------------- */

struct waited_callback {
    const struct durabled_wait_for_callback_options *options;
    durabled_submitter submitter;
    void *user;
    const char *id;
    char *callback_name;
    char *submitter_name;
};

static int submit(const struct durabled_attempt *attempt, struct durabled_result *result,
                  void *user)
{
    const struct waited_callback *waited = user;

    return waited->submitter(attempt, waited->id, result, waited->user);
}

static int submit_and_wait(struct durabled_context *context, struct durabled_result *result,
                           void *user)
{
    struct waited_callback *waited = user;
    const struct durabled_wait_for_callback_options *options = waited->options;
    struct durabled_step_options step = {.retry = options ? options->retry : NULL};
    struct durabled_operation *callback = NULL;
    int rc = durabled_callback(context, waited->callback_name,
                               options ? &options->callback : NULL, &callback);

    if (rc != DURABLED_OK)
        return rc;
    waited->id = durabled_callback_id(callback);
    rc = durabled_step(context, waited->submitter_name, &step, submit, waited, result);
    return rc == DURABLED_OK ? durabled_await_result(context, callback, result) : rc;
}

/* "NAME WHAT", or "WHAT" without a name; given (free), NULL: no memory. */
static char *name_part(const char *name, const char *what)
{
    char *text;

    return asprintf(&text, "%s%s%s", name ? name : "", name ? " " : "", what) < 0 ? NULL : text;
}

int durabled_wait_for_callback(struct durabled_context *context, const char *name,
                               const struct durabled_wait_for_callback_options *options,
                               durabled_submitter submitter, void *user,
                               struct durabled_result *out)
{
    static const struct durabled_child_options child = {.sub_type = "WaitForCallback"};
    struct waited_callback waited = {
        .options = options,
        .submitter = submitter,
        .user = user,
        .callback_name = name_part(name, "create callback id"),
        .submitter_name = name_part(name, "submitter"),
    };
    int rc = waited.callback_name && waited.submitter_name
                 ? durabled_child(context, name, &child, submit_and_wait, &waited, out)
                 : session_no_memory(context->session);

    free(waited.callback_name);
    free(waited.submitter_name);
    return rc;
}

/* --- invokes ----------------------------------------------------------------------------- */

int durabled_invoke(struct durabled_context *context, const char *name, const char *function,
                    const struct durabled_invoke_options *options, struct durabled_result *out)
{
    struct durabled_start start = {
        .type = DURABLED_CHAINED_INVOKE, .name = name, .function = function};
    struct durabled_operation *operation;
    struct durabled_answer answer;
    int rc;

    durabled_result_clear(out);
    if (options) {
        start.payload = options->payload;
        start.payload_len = options->payload_len;
        start.tenant_id = options->tenant_id;
    }
    rc = operation_begin(context, &(struct opening){.start = &start, .awaited = true},
                         &operation, &answer);
    return operation ? operation_finish(operation, &answer, out) : rc;
}
