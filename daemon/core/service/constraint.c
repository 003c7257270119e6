/* What the service model demands of single members of requests. */
#include "base/limits.h"
#include "core/service/service_priv.h"
#include "core/violation.h"

#include <stdio.h>

int dd_constraint_start(const struct dd_start *start, struct dd_error *error)
{
    struct dd_violations violations = {0};

    if (!start->function.data)
        dd_violate_null(&violations, "functionName");
    dd_check_text(&violations, start->function, "functionName", DD_FUNCTION_NAME_MAX,
                  &dd_pattern_word);
    dd_check_text(&violations, start->name, "durableExecutionName", DD_EXECUTION_NAME_MAX,
                  &dd_pattern_word);
    if (start->execution_timeout_s != 0)
        dd_check_range(&violations, start->execution_timeout_s,
                       "durableConfig.executionTimeout", 1, DD_SECONDS_MAX);
    if (start->retention_s != 0)
        dd_check_range(&violations, start->retention_s, "durableConfig.retentionPeriodInDays",
                       1, DD_RETENTION_DAYS_MAX * 86400);
    if (violations.count == 0 && start->input.data && start->input.len > DD_INPUT_MAX)
        return dd_fail(error, DD_REQUEST_TOO_LARGE,
                       "Request must be smaller than %d bytes: the input has %zu", DD_INPUT_MAX,
                       start->input.len);
    return dd_violations_verdict(&violations, error);
}

static void check_update(struct dd_violations *violations, const struct dd_update *update,
                         size_t number)
{
    char path[96];
    char *member = path + snprintf(path, sizeof(path), "updates.%zu.member.", number);
    size_t room = (size_t)(path + sizeof(path) - member);

    snprintf(member, room, "id");
    if (!update->id)
        dd_violate_null(violations, path);
    dd_check_text(violations, dd_text_span(update->id), path, DD_OPERATION_ID_MAX,
                  &dd_pattern_word);
    snprintf(member, room, "parentId");
    dd_check_text(violations, dd_text_span(update->parent_id), path, DD_OPERATION_ID_MAX,
                  &dd_pattern_word);
    snprintf(member, room, "name");
    dd_check_text(violations, dd_text_span(update->name), path, DD_NAME_MAX,
                  &dd_pattern_printable);
    snprintf(member, room, "subType");
    dd_check_text(violations, dd_text_span(update->sub_type), path, DD_SUB_TYPE_MAX,
                  &dd_pattern_word);
    if (update->has_step_options && update->next_attempt_delay_s != 0) {
        snprintf(member, room, "stepOptions.nextAttemptDelaySeconds");
        dd_check_range(violations, update->next_attempt_delay_s, path, 1, DD_SECONDS_MAX);
    }
    if (update->has_wait_options) {
        snprintf(member, room, "waitOptions.waitSeconds");
        dd_check_range(violations, update->wait_s, path, 1, DD_SECONDS_MAX);
    }
    if (update->has_callback_options) {
        snprintf(member, room, "callbackOptions.timeoutSeconds");
        dd_check_range(violations, update->timeout_s, path, 0, DD_CALLBACK_SECONDS_MAX);
        snprintf(member, room, "callbackOptions.heartbeatTimeoutSeconds");
        dd_check_range(violations, update->heartbeat_timeout_s, path, 0,
                       DD_CALLBACK_SECONDS_MAX);
    }
    if (update->has_invoke_options) {
        snprintf(member, room, "chainedInvokeOptions.functionName");
        if (!update->function_name)
            dd_violate_null(violations, path);
        dd_check_text(violations, dd_text_span(update->function_name), path,
                      DD_FUNCTION_REF_MAX, &dd_pattern_visible);
        snprintf(member, room, "chainedInvokeOptions.tenantId");
        dd_check_text(violations, dd_text_span(update->tenant_id), path, DD_TENANT_MAX,
                      &dd_pattern_tenant);
    }
}

void dd_checkpoint_violations(const struct dd_checkpoint *checkpoint,
                              struct dd_violations *violations)
{
    dd_check_text(violations, checkpoint->client_token, "clientToken", DD_CLIENT_TOKEN_MAX,
                  &dd_pattern_visible);
    for (size_t i = 0; i < checkpoint->updates_len; i++)
        check_update(violations, &checkpoint->updates[i], i + 1);
}

int dd_constraint_checkpoint(const struct dd_checkpoint *checkpoint, struct dd_error *error)
{
    struct dd_violations violations = {0};

    dd_checkpoint_violations(checkpoint, &violations);
    return dd_violations_verdict(&violations, error);
}
