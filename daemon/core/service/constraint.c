/* What the service model demands of single members of requests. */
#include "base/limits.h"
#include "core/service/service_priv.h"
#include "core/violation.h"

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

static void check_update(struct dd_violations *violations, const struct dd_update *update)
{
    if (!update->id)
        dd_violate_null(violations, "id");
    dd_check_text(violations, dd_text_span(update->id), "id", DD_OPERATION_ID_MAX,
                  &dd_pattern_word);
    dd_check_text(violations, dd_text_span(update->parent_id), "parentId", DD_OPERATION_ID_MAX,
                  &dd_pattern_word);
    dd_check_text(violations, dd_text_span(update->name), "name", DD_NAME_MAX,
                  &dd_pattern_printable);
    dd_check_text(violations, dd_text_span(update->sub_type), "subType", DD_SUB_TYPE_MAX,
                  &dd_pattern_word);
    if (update->has_step_options && update->next_attempt_delay_s != 0)
        dd_check_range(violations, update->next_attempt_delay_s,
                       "stepOptions.nextAttemptDelaySeconds", 1, DD_SECONDS_MAX);
    if (update->has_wait_options)
        dd_check_range(violations, update->wait_s, "waitOptions.waitSeconds", 1,
                       DD_SECONDS_MAX);
    if (update->has_callback_options) {
        dd_check_range(violations, update->timeout_s, "callbackOptions.timeoutSeconds", 0,
                       DD_CALLBACK_SECONDS_MAX);
        dd_check_range(violations, update->heartbeat_timeout_s,
                       "callbackOptions.heartbeatTimeoutSeconds", 0, DD_CALLBACK_SECONDS_MAX);
    }
    if (update->has_invoke_options) {
        if (!update->function_name)
            dd_violate_null(violations, "chainedInvokeOptions.functionName");
        dd_check_text(violations, dd_text_span(update->function_name),
                      "chainedInvokeOptions.functionName", DD_FUNCTION_REF_MAX,
                      &dd_pattern_visible);
        dd_check_text(violations, dd_text_span(update->tenant_id),
                      "chainedInvokeOptions.tenantId", DD_TENANT_MAX, &dd_pattern_tenant);
    }
}

void dd_checkpoint_violations(const struct dd_checkpoint *checkpoint,
                              struct dd_violations *violations)
{
    dd_check_text(violations, checkpoint->client_token, "clientToken", DD_CLIENT_TOKEN_MAX,
                  &dd_pattern_visible);
    for (size_t i = 0; i < checkpoint->updates_len; i++) {
        violations->update = i + 1;
        check_update(violations, &checkpoint->updates[i]);
    }
    violations->update = 0;
}

int dd_constraint_checkpoint(const struct dd_checkpoint *checkpoint, struct dd_error *error)
{
    struct dd_violations violations = {0};

    dd_checkpoint_violations(checkpoint, &violations);
    return dd_violations_verdict(&violations, error);
}
