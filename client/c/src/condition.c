/* Waiting for a condition: a step whose check is run again, with the state that the
 * one before it left, until its strategy is content. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "condition.h"
#include "operation.h"

/* --- the strategy as data ---------------------------------------------------------------- */

int64_t retry_delay_s(const struct durabled_retry *retry, int attempt, double unit)
{
    double delay_s;

    if (attempt >= retry->max_attempts)
        return 0;
    delay_s = retry->backoff == DURABLED_LINEAR
                  ? retry->initial_delay_s + retry->increment_s * (attempt - 1)
                  : retry->initial_delay_s * pow(retry->rate, attempt - 1);
    delay_s = fmin(delay_s, retry->max_delay_s);
    if (retry->jitter == DURABLED_JITTER_FULL)
        delay_s *= unit;
    else if (retry->jitter == DURABLED_JITTER_HALF)
        delay_s = delay_s / 2 + unit * delay_s / 2;
    return delay_s > 1 ? (int64_t)ceil(fmin(delay_s, LIMIT_SECONDS_MAX)) : 1;
}

/* In [0, 1). */
static double random_unit(void)
{
    uint64_t bits = 0;

    /* Without the kernel's randomness every delay is the shortest. */
    if (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        return 0;
    return (double)(bits >> 11) / (double)(UINT64_C(1) << 53);
}

/* --- one check --------------------------------------------------------------------------- */

struct condition {
    const struct durabled_condition_options *options;
    durabled_check check;
    void *user;
};

static int exhausted(struct durabled_result *result, int attempts)
{
    char text[128];

    (void)snprintf(text, sizeof text,
                   "wait_for_condition exhausted %d attempts before the condition was met",
                   attempts);
    return durabled_raise(result, "WaitForConditionError", text);
}

/* Asks the strategy about the state in `result`: the delay before the next check, 0
 * when the condition holds. FAILED: it gives up. */
static int ask_strategy(const struct condition *condition, struct durabled_result *result,
                        int attempt, int64_t *out_delay_s)
{
    const struct durabled_condition_options *options = condition->options;

    *out_delay_s = 0;
    if (options->poll) {
        *out_delay_s = options->poll(result->payload, attempt, condition->user);
        return DURABLED_OK;
    }
    if (options->holds(result->payload, condition->user))
        return DURABLED_OK;
    *out_delay_s = retry_delay_s(options->backoff, attempt, random_unit());
    return *out_delay_s > 0 ? DURABLED_OK : exhausted(result, attempt);
}

static int report_check(struct durabled_operation *operation, int rc,
                        struct durabled_result *result, int64_t delay_s,
                        struct durabled_answer *answer)
{
    static const struct durabled_fail_options final = {.final = true};

    if (rc == DURABLED_UNWIND)
        return rc;
    if (rc == DURABLED_OK && delay_s > 0)
        return durabled_again(operation, result->payload.data, result->payload.len, delay_s,
                              answer);
    *answer =
        (struct durabled_answer){.operation = operation, .wanted = DURABLED_WANTED_NOTHING};
    if (rc == DURABLED_OK)
        return durabled_succeed(operation, result->payload.data, result->payload.len, NULL);
    return result_name_failure(result, rc)
               ? durabled_fail(operation, &result->failure, &final, answer)
               : session_no_memory(operation->session);
}

static int run_check(struct durabled_operation *operation, struct durabled_answer *answer)
{
    const struct condition *condition = operation->user;
    struct durabled_attempt told = {operation->name, answer->attempt};
    struct durabled_text state = answer->state;
    struct durabled_result result = {0};
    int64_t delay_s = 0;
    int rc;

    /* An empty text is no state either. */
    if (state.len == 0 && condition->options->initial_state)
        state = (struct durabled_text){(char *)(uintptr_t)condition->options->initial_state,
                                       strlen(condition->options->initial_state)};
    rc = condition->check(&told, state, &result, condition->user);
    if (rc == DURABLED_OK)
        rc = ask_strategy(condition, &result, answer->attempt, &delay_s);
    rc = report_check(operation, rc, &result, delay_s, answer);
    durabled_result_clear(&result);
    return rc;
}

int durabled_wait_for_condition(struct durabled_context *context, const char *name,
                                const struct durabled_condition_options *options,
                                durabled_check check, void *user, struct durabled_result *out)
{
    struct durabled_start start = {
        .type = DURABLED_STEP, .sub_type = "WaitForCondition", .name = name};
    struct condition condition = {options, check, user};
    struct durabled_operation *operation;
    struct durabled_answer answer;
    int rc;

    durabled_result_clear(out);
    if (!options->poll && !(options->holds && options->backoff))
        return session_misuse(context->session,
                              "a condition has `poll`, or `holds` and `backoff`");
    rc = operation_begin(context, &(struct opening){.start = &start}, &operation, &answer);
    if (!operation)
        return rc;
    operation->run = run_check;
    operation->user = &condition;
    return operation_finish(operation, &answer, out);
}
