/* An order workflow: reserve the stock, let the order cool off, approve it.
 *
 *   sample_order serve                 serve the function `order-c`
 *   sample_order start ORDER           start one and print its result
 *
 * Kill the worker, or the daemon, at any time, start it again, and the order goes
 * on where it was; a step that has completed does not run again. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "durabled.h"

#define FUNCTION "order-c"

/* --- the workflow ------------------------------------------------------------------------ */

/* Talks to the outside, so it is a step: its answer is kept. */
static int reserve_stock(const struct durabled_attempt *attempt, struct durabled_result *result,
                         void *user)
{
    const char *order = user;

    printf("reserving stock for %s (attempt %d)\n", order, attempt->number);
    sleep(1);
    return durabled_return(result, "{\"reserved\": true}");
}

static int order_body(struct durabled_context *context, struct durabled_result *result,
                      void *user)
{
    static const struct durabled_retry retry = {.max_attempts = 5,
                                                .backoff = DURABLED_EXPONENTIAL,
                                                .jitter = DURABLED_JITTER_FULL,
                                                .initial_delay_s = 1,
                                                .max_delay_s = 60,
                                                .rate = 2};
    static const struct durabled_step_options options = {.retry = &retry};
    struct durabled_text input = durabled_session_input(durabled_context_session(context));
    struct durabled_result stock = {0};
    bool reserved;
    int rc;

    (void)user;
    rc = durabled_step(context, "reserve_stock", &options, reserve_stock,
                       input.data ? input.data : (char *)"null", &stock);
    if (rc == DURABLED_FAILED)
        rc = durabled_raise(result, stock.failure.type, stock.failure.message);
    reserved = rc == DURABLED_OK && stock.payload.data && strstr(stock.payload.data, "true");
    durabled_result_clear(&stock);
    if (rc != DURABLED_OK)
        return rc;
    if (!reserved)
        return durabled_return(result, "{\"status\": \"rejected\"}");
    rc = durabled_wait(context, "cooling_off", 5);
    return rc == DURABLED_OK ? durabled_return(result, "{\"status\": \"approved\"}") : rc;
}

/* --- serving ----------------------------------------------------------------------------- */

static struct durabled_worker *worker;

static void on_signal(int signal)
{
    (void)signal;
    durabled_worker_stop(worker);
}

static void on_event(const char *text, void *user)
{
    (void)user;
    fprintf(stderr, "%s\n", text);
}

static int serve(void)
{
    static const struct durabled_function functions[] = {
        {.name = FUNCTION, .body = order_body}};
    const struct durabled_worker_config config = {
        .functions = functions, .functions_len = 1, .concurrency = 4, .on_event = on_event};
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

/* --- starting ---------------------------------------------------------------------------- */

static int print_outcome(struct durabled *connection, const char *arn,
                         struct durabled_error *error)
{
    struct durabled_outcome outcome;
    int rc = durabled_client_wait(connection, arn, -1, &outcome, error);

    if (rc != DURABLED_OK)
        return rc;
    printf("%s %s\n", outcome.status, outcome.result.data ? outcome.result.data : "");
    durabled_reply_free(outcome.reply);
    return DURABLED_OK;
}

static int start(const char *order)
{
    struct durabled_start_options options = {0};
    struct durabled_started started;
    struct durabled *connection;
    struct durabled_error error;
    char payload[256];
    int rc;

    snprintf(payload, sizeof payload, "\"%.200s\"", order);
    options.payload = payload;
    options.payload_len = strlen(payload);
    rc = durabled_open(NULL, &connection, &error);
    if (rc == DURABLED_OK) {
        rc = durabled_client_start(connection, FUNCTION, &options, &started, &error);
        if (rc == DURABLED_OK) {
            printf("%s\n", started.arn);
            rc = print_outcome(connection, started.arn, &error);
            durabled_reply_free(started.reply);
        }
        durabled_close(connection);
    }
    if (rc != DURABLED_OK)
        fprintf(stderr, "%s\n", error.text);
    return rc == DURABLED_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "serve") == 0)
        return serve();
    if (argc == 3 && strcmp(argv[1], "start") == 0)
        return start(argv[2]);
    fprintf(stderr, "usage: %s serve | start ORDER\n", argv[0]);
    return 2;
}
