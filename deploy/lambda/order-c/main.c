/* An order, as a durable function in C: reserve the stock, wait for a person, cool off, ship.
 * This program is the function's `bootstrap`.
 *
 * Kill it whenever you like: a step that has completed does not run again. Payloads are JSON,
 * which a program with more to read leaves to a library. */
#include <stdio.h>
#include <string.h>

#include "durabled_lambda.h"

static int reserve_stock(const struct durabled_attempt *attempt, struct durabled_result *result,
                         void *user)
{
    printf("reserving stock for %s (attempt %d)\n", (const char *)user, attempt->number);
    return durabled_return(result, "{\"reserved\": true}");
}

static int ship(const struct durabled_attempt *attempt, struct durabled_result *result,
                void *user)
{
    printf("shipping %s (attempt %d)\n", (const char *)user, attempt->number);
    return durabled_return(result, "\"parcel\"");
}

/* Waits until a person has decided: what they said is `out`. Give durabled_callback_id() to
 * whoever decides, in a step. No process runs meanwhile. */
static int wait_for_approval(struct durabled_context *context, struct durabled_result *out)
{
    static const struct durabled_callback_options options = {.timeout_s = 8 * 60 * 60};
    struct durabled_operation *approval;
    int rc = durabled_callback(context, "approval", &options, &approval);

    return rc == DURABLED_OK ? durabled_await_result(context, approval, out) : rc;
}

static int order(struct durabled_context *context, struct durabled_result *result, void *user)
{
    struct durabled_text input = durabled_session_input(durabled_context_session(context));
    char *event = input.data ? input.data : (char *)"null";
    struct durabled_result decision = {0};
    bool approved;
    int rc;

    (void)user;
    rc = durabled_step(context, "reserve_stock", NULL, reserve_stock, event, NULL);
    if (rc == DURABLED_OK)
        rc = wait_for_approval(context, &decision);
    if (rc == DURABLED_FAILED)
        rc = durabled_raise(result, decision.failure.type, decision.failure.message);
    approved = decision.payload.data && strstr(decision.payload.data, "true");
    durabled_result_clear(&decision);
    if (rc != DURABLED_OK)
        return rc;
    if (!approved)
        return durabled_return(result, "{\"status\": \"rejected\"}");
    rc = durabled_wait(context, "cooling_off", 5);
    if (rc == DURABLED_OK)
        rc = durabled_step(context, "ship", NULL, ship, event, NULL);
    return rc == DURABLED_OK ? durabled_return(result, "{\"status\": \"shipped\"}") : rc;
}

int main(void)
{
    struct durabled_error error;

    setvbuf(stdout, NULL, _IOLBF, 0);
    (void)durabled_lambda_run(order, NULL, &error);
    fprintf(stderr, "%s\n", error.text);
    return 1;
}
