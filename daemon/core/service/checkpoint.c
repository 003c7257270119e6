/* CheckpointDurableExecution: token, replay, validation, facts, answer. */
#include "base/alloc.h"
#include "core/service/service_priv.h"

#include <inttypes.h>

void dd_checkpointed_deinit(struct dd_checkpointed *checkpointed)
{
    for (size_t i = 0; i < checkpointed->operations_len; i++)
        dd_operation_deinit(&checkpointed->operations[i]);
    dd_free(checkpointed->operations);
    dd_text_unref(checkpointed->token);
    *checkpointed = (struct dd_checkpointed){0};
}

void dd_replay_clear(struct dd_replay *replay)
{
    struct dd_checkpointed answer = {NULL, replay->operations, replay->operations_len};

    dd_checkpointed_deinit(&answer);
    dd_text_unref(replay->client_token);
    *replay = (struct dd_replay){0};
}

/* Whether this repeats the last checkpoint: its token, which that one spent, and
 * its client token. The updates are not compared (service-api 4.3). */
static bool repeats(const struct dd_execution *execution, const struct dd_token *token,
                    struct dd_span client_token)
{
    const struct dd_replay *replay = &execution->replay;

    return replay->client_token && client_token.data &&
           token->invocation == execution->invocation &&
           token->seq + 1 == execution->flight.token_seq &&
           dd_span_equal(client_token, dd_text_span(replay->client_token));
}

static void answer_again(struct dd_execution *execution, struct dd_checkpointed *out)
{
    const struct dd_replay *replay = &execution->replay;

    *out = (struct dd_checkpointed){0};
    out->token = dd_token_make(execution);
    if (replay->operations_len == 0)
        return;
    out->operations = dd_alloc_array(replay->operations_len, sizeof(*out->operations));
    out->operations_len = replay->operations_len;
    for (size_t i = 0; i < replay->operations_len; i++)
        dd_operation_copy(&out->operations[i], &replay->operations[i]);
}

/* Whether a valid batch would go beyond what one execution may hold; says what. */
static bool over_quota(const struct dd_execution *execution, const struct dd_batch_sum *sum,
                       struct dd_error *why)
{
    const struct dd_service_config *config = execution->config;

    if (execution->len - 1 + sum->created > config->operations_max) {
        (void)dd_fail(why, DD_INVALID_PARAMETER,
                      "An execution may have at most %" PRIu32 " operations.",
                      config->operations_max);
        return true;
    }
    if (config->bytes_max && execution->written + sum->bytes > config->bytes_max) {
        (void)dd_fail(why, DD_INVALID_PARAMETER,
                      "An execution may write at most %" PRIu64 " bytes.", config->bytes_max);
        return true;
    }
    return false;
}

static void close_over_quota(struct dd_execution *execution, const struct dd_error *why,
                             int64_t now_ms, struct dd_facts *out)
{
    struct dd_error_object *failure =
        dd_error_object_new(dd_span_cstr(dd_error_name(why->code)), dd_span_cstr(why->text));

    dd_execution_close_failed(execution, failure, now_ms, out);
    dd_error_object_unref(failure);
}

/* The delta goes out with this answer; CHECKPOINTED marks it told. */
static void hand_out(struct dd_execution *execution, struct dd_span client_token,
                     int64_t now_ms, struct dd_facts *out, struct dd_checkpointed *answer)
{
    struct dd_fact *fact = dd_facts_add(out, DD_FACT_CHECKPOINTED, now_ms);

    fact->token_seq = execution->flight.token_seq + 1;
    fact->client_token = dd_text_new(client_token);
    dd_execution_emit(execution, fact);
    answer->token = dd_token_make(execution);
}

int dd_execution_checkpoint(struct dd_execution *execution,
                            const struct dd_checkpoint *checkpoint, int64_t now_ms,
                            struct dd_facts *out, struct dd_checkpointed *out_checkpointed,
                            struct dd_error *error)
{
    int64_t time_ms = dd_execution_time(execution, now_ms);
    const struct dd_target *target = checkpoint->targets;
    struct dd_checkpointed answer = {0};
    struct dd_batch_sum sum;
    struct dd_token token;
    struct dd_error why;
    int rc;

    dd_assert(execution->status != DD_EXECUTION_NONE);
    rc = dd_constraint_checkpoint(checkpoint, error);
    if (rc == 0)
        rc = dd_token_open(execution, checkpoint->arn, checkpoint->token, &token, error);
    if (rc)
        return rc;
    if (repeats(execution, &token, checkpoint->client_token)) {
        answer_again(execution, out_checkpointed);
        return 0;
    }
    rc = dd_token_current(execution, &token, error);
    if (rc == 0)
        rc = dd_batch_check(execution, checkpoint->updates, checkpoint->updates_len, &sum,
                            error);
    if (rc)
        return rc;
    if (over_quota(execution, &sum, &why)) {
        close_over_quota(execution, &why, time_ms, out);
        *out_checkpointed = answer;
        return 0;
    }
    for (size_t i = 0; i < checkpoint->updates_len; i++) {
        const struct dd_update *update = &checkpoint->updates[i];

        dd_transition_emit(execution, update,
                           update->type == DD_TYPE_CHAINED_INVOKE ? target++ : NULL, time_ms,
                           out);
    }
    if (!dd_execution_closed(execution))
        dd_timers_fire(execution, now_ms, now_ms, out);
    answer.operations = dd_nodes_unseen(execution, &answer.operations_len);
    if (!dd_execution_closed(execution))
        hand_out(execution, checkpoint->client_token, time_ms, out, &answer);
    *out_checkpointed = answer;
    return 0;
}
