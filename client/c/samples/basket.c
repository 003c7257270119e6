/* A basket workflow: reserve every item, two at a time; wait until somebody approves;
 * charge the customer, which is another function's work.
 *
 *   sample_basket                      serve the functions `basket-c` and `charge-c`
 *   durablectl start basket-c --name b1
 *   durablectl show b1                 prints the command that approves it
 *
 * Kill the worker, or the daemon, at any time and start it again: what has completed
 * does not run again. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "durabled.h"

/* --- the workflow ------------------------------------------------------------------------ */

static const char *const items[] = {"book", "lamp", "chair", "table"};

#define ITEMS (sizeof items / sizeof *items)

static int reserve(const struct durabled_attempt *attempt, struct durabled_result *result,
                   void *user)
{
    const char *item = user;
    char json[64];

    printf("reserving %s (attempt %d)\n", item, attempt->number);
    sleep(1);
    snprintf(json, sizeof json, "{\"reserved\": \"%s\"}", item);
    return durabled_return(result, json);
}

/* A branch: one item. */
static int reserve_item(struct durabled_context *context, size_t index,
                        struct durabled_result *result, void *user)
{
    (void)user;
    return durabled_step(context, "reserve", NULL, reserve, (void *)(uintptr_t)items[index],
                         result);
}

static void name_item(size_t index, char *out, size_t size, void *user)
{
    (void)user;
    snprintf(out, size, "reserve %s", items[index]);
}

static int reserve_all(struct durabled_context *context, struct durabled_result *result)
{
    static const struct durabled_batch_options options = {.max_concurrency = 2,
                                                          .namer = name_item};
    struct durabled_batch_result reserved;
    int rc =
        durabled_map(context, "reserve all", ITEMS, &options, reserve_item, NULL, &reserved);

    if (rc != DURABLED_OK)
        return rc;
    rc = durabled_batch_raise(&reserved, result);
    durabled_batch_clear(&reserved);
    return rc;
}

/* Tells whoever approves; here they read it from the worker's output. */
static int ask_approval(const struct durabled_attempt *attempt, const char *callback_id,
                        struct durabled_result *result, void *user)
{
    (void)attempt;
    (void)result;
    (void)user;
    printf("asking for approval: durablectl callback succeed '%s'\n", callback_id);
    return DURABLED_OK;
}

static int basket_body(struct durabled_context *context, struct durabled_result *result,
                       void *user)
{
    static const struct durabled_wait_for_callback_options approval = {
        .callback = {.timeout_s = 3600}};
    static const char price[] = "{\"amount\": 42}";
    static const struct durabled_invoke_options charge = {.payload = price,
                                                          .payload_len = sizeof price - 1};
    int rc = reserve_all(context, result);

    (void)user;
    if (rc == DURABLED_OK)
        rc = durabled_wait_for_callback(context, "approval", &approval, ask_approval, NULL,
                                        result);
    if (rc == DURABLED_OK)
        rc = durabled_invoke(context, "charge", "charge-c", &charge, result);
    return rc;
}

/* A plain function: it is given its payload, and what it returns is the result. */
static int charge(const struct durabled_invocation *invocation, struct durabled_result *output,
                  void *user)
{
    (void)user;
    printf("charging %.*s\n", (int)invocation->event_len, invocation->event);
    return durabled_return(output, "{\"charged\": true}");
}

/* --- serving ----------------------------------------------------------------------------- */

static struct durabled_worker *worker;

static void on_signal(int signal)
{
    (void)signal;
    durabled_worker_stop(worker);
}

int main(void)
{
    static const struct durabled_function functions[] = {
        {.name = "basket-c", .body = basket_body},
        {.name = "charge-c", .handler = charge, .plain = true}};
    const struct durabled_worker_config config = {
        .functions = functions, .functions_len = 2, .concurrency = 4};
    struct sigaction action = {.sa_handler = on_signal};
    struct durabled_error error;
    int rc;

    if (durabled_worker_new(&config, &worker, &error) != DURABLED_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    rc = durabled_worker_run(worker, &error);
    if (rc != DURABLED_OK)
        fprintf(stderr, "%s\n", error.text);
    if (rc == DURABLED_BUSY)
        _exit(1); /* its threads still use the worker */
    durabled_worker_free(worker);
    return rc == DURABLED_OK ? 0 : 1;
}
