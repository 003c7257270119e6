/* What the service model demands of single members: presence, length, pattern,
 * range. All violations of a request are told together, in the words of the
 * service's ValidationException. */
#include "base/limits.h"
#include "core/service/service_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* How much of an offending value is repeated. */
#define SHOWN_MAX 40

struct violations {
    unsigned count;
    size_t len;
    char text[448];
};

struct pattern {
    const char *regex; /* as the message shows it */
    bool (*has)(unsigned char c);
};

static bool is_word(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_';
}

static bool is_printable(unsigned char c)
{
    return c >= 0x20 && c <= 0x7e;
}

static bool is_visible(unsigned char c)
{
    return c >= 0x21 && c <= 0x7e;
}

static bool is_tenant(unsigned char c)
{
    return is_word(c) || (c && strchr("._:/=+@ ", c));
}

static const struct pattern word = {"[a-zA-Z0-9-_]+", is_word};
static const struct pattern printable = {"[\\x20-\\x7E]+", is_printable};
static const struct pattern visible = {"[\\x21-\\x7E]+", is_visible};
static const struct pattern tenant = {"[a-zA-Z0-9\\._:\\/=+\\-@ ]+", is_tenant};

/* Appends one violation; what does not fit is cut off. `value` is shown as given. */
static void violate(struct violations *violations, const char *value, const char *path,
                    const char *rule)
{
    size_t room = sizeof(violations->text) - violations->len;
    int len = snprintf(violations->text + violations->len, room,
                       "%sValue %s at '%s' failed to satisfy constraint: %s",
                       violations->count > 0 ? "; " : "", value, path, rule);

    violations->count++;
    violations->len += (size_t)len < room ? (size_t)len : room - 1;
}

/* Writes the beginning of `span` in quotes. Bytes that a message can't carry, or
 * that a cut could tear, appear as '?'. */
static void quote(struct dd_span span, char out[SHOWN_MAX + 3])
{
    size_t len = span.len < SHOWN_MAX ? span.len : SHOWN_MAX;

    out[0] = '\'';
    for (size_t i = 0; i < len; i++)
        out[i + 1] = is_printable((unsigned char)span.data[i]) ? span.data[i] : '?';
    out[len + 1] = '\'';
    out[len + 2] = '\0';
}

static bool matches(struct dd_span span, const struct pattern *pattern)
{
    for (size_t i = 0; i < span.len; i++) {
        if (!pattern->has((unsigned char)span.data[i]))
            return false;
    }
    return true;
}

/* 1 to `max` characters of `pattern`; an absent span is no violation. */
static void check_text(struct violations *violations, struct dd_span span, const char *path,
                       size_t max, const struct pattern *pattern)
{
    char value[SHOWN_MAX + 3];
    char rule[96];

    if (!span.data)
        return;
    quote(span, value);
    if (span.len < 1)
        violate(violations, value, path, "Member must have length greater than or equal to 1");
    if (span.len > max) {
        snprintf(rule, sizeof(rule), "Member must have length less than or equal to %zu", max);
        violate(violations, value, path, rule);
    }
    if (!matches(span, pattern)) {
        snprintf(rule, sizeof(rule), "Member must satisfy regular expression pattern: %s",
                 pattern->regex);
        violate(violations, value, path, rule);
    }
}

static void check_range(struct violations *violations, int64_t number, const char *path,
                        int64_t min, int64_t max)
{
    char value[32];
    char rule[96];

    snprintf(value, sizeof(value), "'%" PRId64 "'", number);
    if (number < min)
        snprintf(rule, sizeof(rule), "Member must have value greater than or equal to %" PRId64,
                 min);
    else if (number > max)
        snprintf(rule, sizeof(rule), "Member must have value less than or equal to %" PRId64,
                 max);
    else
        return;
    violate(violations, value, path, rule);
}

static int verdict(const struct violations *violations, struct dd_error *error)
{
    if (violations->count == 0)
        return 0;
    return dd_fail(error, DD_VALIDATION, "%u validation error%s detected: %s",
                   violations->count, violations->count == 1 ? "" : "s", violations->text);
}

int dd_constraint_start(const struct dd_start *start, struct dd_error *error)
{
    struct violations violations = {0};

    if (!start->function.data)
        violate(&violations, "null", "functionName", "Member must not be null");
    check_text(&violations, start->function, "functionName", DD_FUNCTION_NAME_MAX, &word);
    check_text(&violations, start->name, "durableExecutionName", DD_EXECUTION_NAME_MAX, &word);
    if (start->execution_timeout_s != 0)
        check_range(&violations, start->execution_timeout_s, "durableConfig.executionTimeout",
                    1, DD_SECONDS_MAX);
    if (start->retention_s != 0)
        check_range(&violations, start->retention_s, "durableConfig.retentionPeriodInDays", 1,
                    DD_RETENTION_DAYS_MAX * 86400);
    if (violations.count == 0 && start->input.data && start->input.len > DD_INPUT_MAX)
        return dd_fail(error, DD_REQUEST_TOO_LARGE,
                       "Request must be smaller than %d bytes: the input has %zu", DD_INPUT_MAX,
                       start->input.len);
    return verdict(&violations, error);
}

static void check_update(struct violations *violations, const struct dd_update *update,
                         size_t number)
{
    char path[96];
    char *member = path + snprintf(path, sizeof(path), "updates.%zu.member.", number);
    size_t room = (size_t)(path + sizeof(path) - member);

    snprintf(member, room, "id");
    if (!update->id)
        violate(violations, "null", path, "Member must not be null");
    check_text(violations, dd_text_span(update->id), path, DD_OPERATION_ID_MAX, &word);
    snprintf(member, room, "parentId");
    check_text(violations, dd_text_span(update->parent_id), path, DD_OPERATION_ID_MAX, &word);
    snprintf(member, room, "name");
    check_text(violations, dd_text_span(update->name), path, DD_NAME_MAX, &printable);
    snprintf(member, room, "subType");
    check_text(violations, dd_text_span(update->sub_type), path, DD_SUB_TYPE_MAX, &word);
    if (update->has_step_options && update->next_attempt_delay_s != 0) {
        snprintf(member, room, "stepOptions.nextAttemptDelaySeconds");
        check_range(violations, update->next_attempt_delay_s, path, 1, DD_SECONDS_MAX);
    }
    if (update->has_wait_options) {
        snprintf(member, room, "waitOptions.waitSeconds");
        check_range(violations, update->wait_s, path, 1, DD_SECONDS_MAX);
    }
    if (update->has_callback_options) {
        snprintf(member, room, "callbackOptions.timeoutSeconds");
        check_range(violations, update->timeout_s, path, 0, DD_CALLBACK_SECONDS_MAX);
        snprintf(member, room, "callbackOptions.heartbeatTimeoutSeconds");
        check_range(violations, update->heartbeat_timeout_s, path, 0, DD_CALLBACK_SECONDS_MAX);
    }
    if (update->has_invoke_options) {
        snprintf(member, room, "chainedInvokeOptions.functionName");
        if (!update->function_name)
            violate(violations, "null", path, "Member must not be null");
        check_text(violations, dd_text_span(update->function_name), path, DD_FUNCTION_REF_MAX,
                   &visible);
        snprintf(member, room, "chainedInvokeOptions.tenantId");
        check_text(violations, dd_text_span(update->tenant_id), path, DD_TENANT_MAX, &tenant);
    }
}

int dd_constraint_checkpoint(const struct dd_checkpoint *checkpoint, struct dd_error *error)
{
    struct violations violations = {0};

    check_text(&violations, checkpoint->client_token, "clientToken", DD_CLIENT_TOKEN_MAX,
               &visible);
    for (size_t i = 0; i < checkpoint->updates_len; i++)
        check_update(&violations, &checkpoint->updates[i], i + 1);
    return verdict(&violations, error);
}
