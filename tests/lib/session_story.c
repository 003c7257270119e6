/* Runs the commands of session stories; see session_story.h. */
#include "tests/lib/session_story.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/lib/words.h"

#define EPOCH_MS 1700000000000

/* --- output ------------------------------------------------------------------------------ */

static void print_text(struct session_story *story, const char *name,
                       const struct dd_text *text)
{
    if (text && text->len > 120)
        dd_buf_printf(story->out, " %s=(%" PRIu32 " bytes)", name, text->len);
    else if (text)
        dd_buf_printf(story->out, " %s=%s", name, text->data);
}

static void print_id(struct session_story *story, const char *name, const struct dd_text *id)
{
    if (id)
        dd_buf_printf(story->out, " %s%.6s", name, id->data);
}

static void print_failure(struct session_story *story, const struct dd_error_object *error)
{
    if (error && error->message && error->message->len > 400)
        dd_buf_printf(story->out, " error={%s: (%" PRIu32 " bytes)}",
                      dd_text_or(error->type, "-"), error->message->len);
    else if (error)
        dd_buf_printf(story->out, " error={%s: %s}", dd_text_or(error->type, "-"),
                      dd_text_or(error->message, "-"));
}

static void print_time(struct session_story *story, const char *name, int64_t ms)
{
    if (ms)
        dd_buf_printf(story->out, " %s=%.3f", name, (double)(ms - EPOCH_MS) / 1000.0);
}

static void print_update(struct session_story *story, const struct dd_update *update)
{
    dd_buf_printf(story->out, "      %s %s", dd_operation_type_name(update->type),
                  dd_action_name(update->action));
    print_id(story, "", update->type == DD_TYPE_EXECUTION ? NULL : update->id);
    print_id(story, "parent=", update->parent_id);
    print_text(story, "name", update->name);
    print_text(story, "sub", update->sub_type);
    print_text(story, "payload", update->payload);
    print_failure(story, update->error);
    if (update->has_step_options)
        dd_buf_printf(story->out, " delay=%" PRId64, update->next_attempt_delay_s);
    if (update->has_wait_options)
        dd_buf_printf(story->out, " wait=%" PRId64, update->wait_s);
    if (update->has_context_options && update->replay_children)
        dd_buf_printf(story->out, " replay");
    if (update->has_callback_options)
        dd_buf_printf(story->out, " timeout=%" PRId64 " heartbeat=%" PRId64, update->timeout_s,
                      update->heartbeat_timeout_s);
    print_text(story, "function", update->function_name);
    print_text(story, "tenant", update->tenant_id);
    dd_buf_append_byte(story->out, '\n');
}

static void print_result(struct session_story *story, const struct dd_result *result)
{
    dd_buf_printf(story->out, "      %" PRIu32 " %s", result->operation,
                  dd_operation_status_name(result->status));
    print_text(story, "payload", result->payload);
    print_failure(story, result->failure);
    dd_buf_append_byte(story->out, '\n');
}

static void print_entry(struct session_story *story, const struct dd_cursor_entry *entry)
{
    dd_buf_printf(story->out, "      %" PRIu32, entry->position);
    print_id(story, "in=", entry->context_id);
    dd_buf_printf(story->out, " %s %s", dd_operation_type_name(entry->operation->type),
                  dd_operation_status_name(entry->operation->status));
    print_id(story, "", entry->operation->id);
    print_text(story, "result", entry->operation->result);
    dd_buf_append_byte(story->out, '\n');
}

static void print_batch(struct session_story *story, const struct dd_answer *answer)
{
    if (answer->branches_len > 0) {
        dd_buf_printf(story->out, "     ");
        for (size_t i = 0; i < answer->branches_len; i++)
            dd_buf_printf(story->out, " %" PRIu32, answer->branches[i]);
        dd_buf_append_byte(story->out, '\n');
    }
    if (answer->first)
        dd_buf_printf(story->out, "      first\n");
    for (size_t i = 0; i < answer->changes_len; i++)
        dd_buf_printf(story->out, "      %" PRIu32 " %s\n", answer->changes[i].index,
                      dd_operation_status_name(answer->changes[i].status));
    if (answer->reason)
        dd_buf_printf(story->out, "      %s %.*s\n", answer->reason, (int)answer->items.len,
                      answer->items.data);
}

static void print_changed(struct session_story *story, const struct dd_operation *operation)
{
    dd_buf_printf(story->out, "      changed %s %s", dd_operation_type_name(operation->type),
                  dd_operation_status_name(operation->status));
    print_id(story, "", operation->id);
    dd_buf_append_byte(story->out, '\n');
}

static void print_ended(struct session_story *story, const struct dd_answer *answer)
{
    dd_buf_printf(story->out, " %s",
                  answer->outcome == DD_EXECUTION_RUNNING
                      ? "PENDING"
                      : dd_execution_status_name(answer->outcome));
    if (answer->raise)
        dd_buf_printf(story->out, " raise");
}

static void keep_outcome(struct session_story *story, const struct dd_answer *answer)
{
    dd_text_set(&story->outcome.result, answer->payload);
    dd_error_object_set(&story->outcome.error, answer->failure);
    story->outcome.status = answer->outcome;
    story->outcome.kind = answer->raise ? DD_OUTCOME_FAILED : DD_OUTCOME_RETURNED;
}

static void on_answer(void *user, const struct dd_answer *answer)
{
    static const char *const kinds[] = {
        "error", "begun", "operations", "run",         "done",   "pending", "decide",
        "ready", "start", "complete?",  "batch ready", "unwind", "ended"};
    struct session_story *story = user;

    dd_buf_printf(story->out, "  %" PRIu64 ": %s", answer->call, kinds[answer->kind]);
    if (answer->operation)
        dd_buf_printf(story->out, " %" PRIu32, answer->operation);
    print_id(story, "", answer->operation_id);
    if (answer->kind == DD_ANSWER_DONE)
        dd_buf_printf(story->out, " %s", dd_operation_status_name(answer->status));
    if (answer->kind == DD_ANSWER_ENDED) {
        print_ended(story, answer);
        keep_outcome(story, answer);
    }
    if (answer->attempt)
        dd_buf_printf(story->out, " attempt=%" PRIu32, answer->attempt);
    if (answer->replay_children)
        dd_buf_printf(story->out, " replay");
    print_time(story, "due", answer->due_ms);
    print_text(story, "payload", answer->payload);
    print_failure(story, answer->failure);
    if (answer->callback_id)
        dd_buf_printf(story->out, " callback");
    if (answer->error)
        dd_buf_printf(story->out, " %s: %s", dd_error_name(answer->error->code),
                      answer->error->text);
    dd_buf_printf(story->out, "%s%s\n", answer->more ? " and more" : "",
                  answer->gaps ? " with gaps" : "");
    print_batch(story, answer);
    for (size_t i = 0; i < answer->changed_len; i++)
        print_changed(story, &answer->changed[i]);
    for (size_t i = 0; i < answer->results_len; i++)
        print_result(story, &answer->results[i]);
    for (size_t i = 0; i < answer->entries_len; i++)
        print_entry(story, &answer->entries[i]);
}

/* --- the service ------------------------------------------------------------------------- */

static void nothing_in_flight(struct session_story *story)
{
    for (size_t i = 0; i < story->updates_len; i++)
        dd_update_deinit(&story->updates[i]);
    dd_free(story->updates);
    story->updates = NULL;
    story->updates_len = 0;
    dd_text_set(&story->token, NULL);
    dd_text_set(&story->marker, NULL);
    dd_checkpointed_deinit(&story->answer);
    story->answer = (struct dd_checkpointed){0};
    story->taken = false;
}

static void on_checkpoint(void *user, struct dd_span token, const struct dd_update *updates,
                          size_t updates_len)
{
    struct session_story *story = user;

    dd_assert(!story->token);
    story->token = dd_text_new(token);
    story->updates = dd_alloc_array(updates_len + 1, sizeof *updates);
    story->updates_len = updates_len;
    dd_buf_printf(story->out, "    checkpoint%s\n", updates_len ? "" : " (empty)");
    for (size_t i = 0; i < updates_len; i++) {
        dd_update_copy(&story->updates[i], &updates[i]);
        print_update(story, &updates[i]);
    }
}

static void on_load(void *user, struct dd_span token, struct dd_span marker)
{
    struct session_story *story = user;

    dd_assert(!story->token);
    story->token = dd_text_new(token);
    story->marker = dd_text_new(marker);
    dd_buf_printf(story->out, "    load\n");
}

/* A page as the array that the session takes. */
static struct dd_operation *copy_page(const struct dd_page *page)
{
    struct dd_operation *operations =
        dd_alloc_array(page->operations_len + 1, sizeof *operations);

    for (size_t i = 0; i < page->operations_len; i++)
        dd_operation_copy(&operations[i], page->operations[i]);
    return operations;
}

static void free_operations(struct dd_operation *operations, size_t len)
{
    for (size_t i = 0; i < len; i++)
        dd_operation_deinit(&operations[i]);
    dd_free(operations);
}

static void demand(bool holds, const char *what, const struct dd_error *error)
{
    if (holds)
        return;
    fprintf(stderr, "story: %s: %s\n", what, error->text);
    abort();
}

static void get_page(struct session_story *story, struct dd_text *token, struct dd_text *marker,
                     struct dd_page *page)
{
    struct dd_error error;
    size_t max = story->page ? story->page : 1000;

    demand(
        dd_execution_state(story->execution, dd_text_span(dd_execution_arn(story->execution)),
                           dd_text_span(token), dd_text_span(marker), max, page, &error) == 0,
        "no page", &error);
}

static void run_load(struct session_story *story)
{
    struct dd_page page;
    struct dd_operation *operations;

    get_page(story, story->token, story->marker, &page);
    nothing_in_flight(story);
    operations = copy_page(&page);
    dd_session_loaded(story->session, operations, page.operations_len,
                      dd_text_span(page.next_marker), story->now_ms);
    free_operations(operations, page.operations_len);
    dd_page_deinit(&page);
}

static int take(struct session_story *story, struct dd_error *error)
{
    struct dd_checkpoint checkpoint = {.arn = dd_text_span(dd_execution_arn(story->execution)),
                                       .token = dd_text_span(story->token),
                                       .updates = story->updates,
                                       .updates_len = story->updates_len};
    struct dd_target *targets = dd_alloc_array(story->updates_len, sizeof *targets);
    struct dd_facts facts = {0};
    int rc;

    checkpoint.targets = targets;
    rc = dd_execution_checkpoint(story->execution, &checkpoint, story->now_ms, &facts,
                                 &story->answer, error);
    story->taken = true;
    dd_facts_deinit(&facts);
    dd_free(targets);
    return rc;
}

static void run_ack(struct session_story *story)
{
    struct dd_error error;
    int rc = story->taken ? 0 : take(story, &error);
    struct dd_checkpointed answer = story->answer;

    story->answer = (struct dd_checkpointed){0};
    nothing_in_flight(story);
    if (rc) {
        struct dd_error_object *why = dd_error_object_new(
            dd_span_cstr(dd_error_name(error.code)), dd_span_cstr(error.text));

        dd_session_refused(story->session, why, false, story->now_ms);
        dd_error_object_unref(why);
    } else {
        dd_session_checkpointed(story->session, dd_text_span(answer.token), answer.operations,
                                answer.operations_len, story->now_ms);
    }
    dd_checkpointed_deinit(&answer);
}

static void run_take(struct session_story *story)
{
    struct dd_error error;

    demand(story->token && !story->marker && take(story, &error) == 0, "nothing to take",
           &error);
}

static void run_refuse(struct session_story *story, const struct words *words)
{
    struct dd_error_object *error = words_failure(words->word[1]);

    nothing_in_flight(story);
    dd_session_refused(story->session, error, words_flag(words, "retryable"), story->now_ms);
    dd_error_object_unref(error);
}

/* What the API answers to what is in flight. */
static void run_api(struct session_story *story, const struct words *words)
{
    const char *verb = words->word[0];

    if (!story->token)
        dd_buf_printf(story->out, "  ! nothing is in flight\n");
    else if (strcmp(verb, "refuse") == 0)
        run_refuse(story, words);
    else if (story->marker)
        run_load(story);
    else
        run_ack(story);
}

static void service_start(struct session_story *story, const char *input,
                          struct dd_facts *facts)
{
    struct dd_start start = {.id = {{1}},
                             .function = DD_SPAN("order"),
                             .name = DD_SPAN("order-1"),
                             .input = dd_span_cstr(input)};
    struct dd_error error;

    demand(dd_execution_start(story->execution, &start, story->now_ms, facts, &error) == 0,
           "no start", &error);
}

static void run_invoke(struct session_story *story, const struct words *words)
{
    const char *profile = words_value(words, 1, words->len, "profile");
    struct dd_session_effects effects = {story, on_answer, on_checkpoint, on_load};
    struct dd_session_begin begin = {
        .call = ++story->calls,
        .profile = dd_profile_find(dd_span_cstr(profile ? profile : "python")),
        .seed = 1,
        .observe = words_flag(words, "observe"),
        .gather_ms = words_number(words_value(words, 1, words->len, "gather")),
        .now_ms = story->now_ms};
    uint8_t random[16] = {(uint8_t)++story->invocations};
    struct dd_facts facts = {0};
    struct dd_envelope envelope;
    struct dd_operation *operations;
    struct dd_page page;

    if (story->invocations == 1)
        service_start(story, words_value(words, 1, words->len, "input"), &facts);
    if (story->session)
        dd_session_free(story->session);
    nothing_in_flight(story);
    story->page = (uint32_t)words_number(words_value(words, 1, words->len, "pages"));
    dd_execution_invoke(story->execution, story->now_ms, random, DD_SPAN("w"), &facts,
                        &envelope);
    get_page(story, envelope.token, NULL, &page);
    operations = copy_page(&page);
    dd_text_set(&story->request_id, envelope.request_id);
    begin.arn = dd_text_span(envelope.arn);
    begin.token = dd_text_span(envelope.token);
    begin.operations = operations;
    begin.operations_len = page.operations_len;
    begin.marker = dd_text_span(page.next_marker);
    story->session = dd_session_begin(&begin, &effects);
    free_operations(operations, page.operations_len);
    dd_page_deinit(&page);
    dd_envelope_deinit(&envelope);
    dd_facts_deinit(&facts);
}

/* callback ID RESULT: the outside completes the callback at this place of the state. */
static void run_callback(struct session_story *story, const struct words *words)
{
    struct dd_facts facts = {0};
    struct dd_error error;

    demand(dd_execution_callback(story->execution, (uint32_t)words_number(words->word[1]),
                                 DD_CALLBACK_SUCCEED, dd_span_cstr(words->word[2]), NULL,
                                 story->now_ms, &facts, &error) == 0,
           "no callback", &error);
    dd_facts_deinit(&facts);
    if (words_flag(words, "told"))
        dd_session_changed(story->session, story->now_ms);
}

static void run_service(struct session_story *story, const char *verb)
{
    struct dd_facts facts = {0};
    struct dd_error error;
    int rc = 0;

    if (strcmp(verb, "fire") == 0)
        dd_execution_due(story->execution, story->now_ms, &facts);
    else if (strcmp(verb, "stop") == 0)
        rc = dd_execution_stop(story->execution, NULL, story->now_ms, &facts, &error);
    else
        rc = dd_execution_invoked(story->execution, dd_text_span(story->request_id),
                                  strcmp(verb, "return") == 0
                                      ? &story->outcome
                                      : &(struct dd_outcome){.kind = DD_OUTCOME_RELEASED},
                                  0.5, story->now_ms, &facts, &error);
    if (rc)
        dd_buf_printf(story->out, "  ! %s\n", error.text);
    for (size_t i = 0; i < facts.len; i++)
        if (dd_fact_event_type(facts.items[i].kind))
            dd_buf_printf(story->out, "  * %s\n", dd_fact_event_type(facts.items[i].kind));
    dd_facts_deinit(&facts);
}

/* --- for logs ---------------------------------------------------------------------------- */

static void print_facts(struct session_story *story)
{
    struct dd_session_facts facts = dd_session_facts(story->session);
    const struct dd_operation *awaited[2];
    struct dd_attempt open[2];
    size_t open_len = dd_session_open(story->session, open, 2);
    size_t awaited_len = dd_session_awaited(story->session, awaited, 2);

    dd_buf_printf(story->out, "  replayed %" PRIu32 ", run %" PRIu32 ", rerun %" PRIu32 "%s\n",
                  facts.replayed, facts.run, facts.rerun, facts.revoked ? ", revoked" : "");
    for (size_t i = 0; i < open_len && i < 2; i++) {
        dd_buf_printf(story->out, "      %zu of %zu open", i + 1, open_len);
        print_id(story, "", open[i].operation->id);
        dd_buf_printf(story->out, " attempt=%" PRIu32, open[i].attempt);
        print_time(story, "since", open[i].run_ms);
        dd_buf_printf(story->out, "%s\n", open[i].again ? " again" : "");
    }
    for (size_t i = 0; i < awaited_len && i < 2; i++) {
        dd_buf_printf(story->out, "      %zu of %zu awaited", i + 1, awaited_len);
        print_id(story, "", awaited[i]->id);
        print_time(story, "due", awaited[i]->due_ms);
        dd_buf_append_byte(story->out, '\n');
    }
}

/* --- the handler ------------------------------------------------------------------------- */

static const char *next_word(const struct words *words, size_t i)
{
    dd_assert(i < words->len);
    return words->word[i];
}

/* batch=TOTAL [max=] [min=] [count=] [percent=] [predicate] [flat] */
static void read_batch(const struct words *words, struct dd_call *call)
{
    const char *total = words_value(words, 1, words->len, "batch");
    const char *min = words_value(words, 1, words->len, "min");
    const char *count = words_value(words, 1, words->len, "count");
    const char *percent = words_value(words, 1, words->len, "percent");

    call->is_batch = total != NULL;
    call->batch = (struct dd_batch_options){
        .total = (uint32_t)words_number(total),
        .max_concurrency = (uint32_t)words_number(words_value(words, 1, words->len, "max")),
        .has_min_successful = min != NULL,
        .min_successful = (uint32_t)words_number(min),
        .has_tolerated_count = count != NULL,
        .tolerated_count = (uint32_t)words_number(count),
        .has_tolerated_percentage = percent != NULL,
        .tolerated_percentage = (double)words_number(percent),
        .ask = words_flag(words, "predicate"),
        .is_virtual = words_flag(words, "flat"),
        .sub_type = DD_SPAN("MapIteration")};
}

/* branch HANDLE INDEX in=BATCH [virtual]: as the batch told the client to. */
static void read_branch(const struct words *words, struct dd_call *call)
{
    call->kind = DD_CALL_START;
    call->type = DD_TYPE_CONTEXT;
    call->operation = (uint32_t)words_number(next_word(words, 1));
    call->position = (uint32_t)words_number(next_word(words, 2));
    call->sub_type = DD_SPAN("MapIteration");
    call->name = dd_span_cstr(words_value(words, 1, words->len, "name"));
    call->is_virtual = words_flag(words, "virtual");
    call->strand = true;
}

static void read_start(const struct words *words, struct dd_call *call)
{
    const char *retry = words_value(words, 1, words->len, "retry");

    call->kind = DD_CALL_START;
    call->operation = (uint32_t)words_number(next_word(words, 1));
    call->type = dd_operation_type_parse(dd_span_cstr(next_word(words, 2)));
    call->position = (uint32_t)words_number(next_word(words, 3));
    call->name = dd_span_cstr(words_value(words, 1, words->len, "name"));
    call->sub_type = dd_span_cstr(words_value(words, 1, words->len, "sub"));
    call->is_virtual = words_flag(words, "virtual");
    call->strand = words_flag(words, "strand");
    call->semantics =
        words_flag(words, "once") ? DD_AT_MOST_ONCE_PER_RETRY : DD_AT_LEAST_ONCE_PER_RETRY;
    call->seconds = words_number(words_value(words, 1, words->len, "seconds"));
    call->timeout_s = words_number(words_value(words, 1, words->len, "timeout"));
    call->heartbeat_timeout_s = words_number(words_value(words, 1, words->len, "heartbeat"));
    call->function = dd_span_cstr(words_value(words, 1, words->len, "function"));
    call->tenant_id = dd_span_cstr(words_value(words, 1, words->len, "tenant"));
    read_batch(words, call);
    if (words_flag(words, "ask"))
        call->strategy = DD_STRATEGY_ASK;
    if (!retry)
        return;
    call->strategy = DD_STRATEGY_DATA;
    call->retry = (struct dd_retry){.max_attempts = (uint32_t)words_number(retry),
                                    .initial_delay_s = 2,
                                    .max_delay_s = 2,
                                    .rate = 1};
}

/* Handles, joined by commas; in place. Gives an array. */
static void read_await(const struct words *words, struct dd_call *call)
{
    uint32_t *handles = dd_alloc_array(WORDS_MAX, sizeof *handles);
    size_t len = 0;

    for (char *at = strtok(words->word[1], ","); at; at = strtok(NULL, ","))
        handles[len++] = (uint32_t)words_number(at);
    call->kind = DD_CALL_AWAIT;
    call->operations = handles;
    call->operations_len = len;
    call->any = words_flag(words, "any");
}

static void read_end(const struct words *words, struct dd_call *call)
{
    call->kind = DD_CALL_END;
    call->error = words_failure(words_value(words, 1, words->len, "error"));
    call->unwound = words_flag(words, "unwound");
    call->invocation = words_flag(words, "raise");
}

static void read_outcome(const struct words *words, struct dd_call *call)
{
    const char *verb = words->word[0];

    call->operation = (uint32_t)words_number(next_word(words, 1));
    if (strcmp(verb, "succeed") == 0) {
        call->kind = DD_CALL_SUCCEED;
        call->replay_children = words_flag(words, "large");
    } else if (strcmp(verb, "fail") == 0) {
        const char *delay = words_value(words, 1, words->len, "delay");

        call->kind = DD_CALL_FAIL;
        call->error = words_failure(next_word(words, 2));
        call->final = words_flag(words, "final");
        call->retryable = !words_flag(words, "filtered");
        call->decided = delay != NULL;
        call->delay_s = words_number(delay);
    } else if (strcmp(verb, "retry") == 0) {
        call->kind = DD_CALL_RETRY;
        call->delay_s = words_number(next_word(words, 2));
    } else if (strcmp(verb, "batch") == 0) {
        call->kind = DD_CALL_BATCH;
        call->complete = dd_operation_status_parse(
            dd_span_cstr(words_value(words, 1, words->len, "complete")));
    } else if (strcmp(verb, "decide") == 0) {
        call->kind = DD_CALL_DECIDE;
        call->decided = true;
        call->delay_s = words_number(next_word(words, 2));
    } else {
        dd_assert(strcmp(verb, "unwound") == 0);
        call->kind = DD_CALL_UNWOUND;
    }
}

static void run_call(struct session_story *story, struct words *words)
{
    const char *verb = words->word[0];
    const char *result = words_value(words, 1, words->len, "result");
    struct dd_text *payload =
        words_payload(result ? result : words_value(words, 1, words->len, "payload"));
    struct dd_text *summary = words_payload(words_value(words, 1, words->len, "summary"));
    struct dd_call call = {
        .id = ++story->calls,
        .client = (uint64_t)words_number(words_value(words, 1, words->len, "client")),
        .context = (uint32_t)words_number(words_value(words, 1, words->len, "in")),
        .payload = dd_text_span(payload),
        .summary = dd_text_span(summary)};

    if (strcmp(verb, "start") == 0)
        read_start(words, &call);
    else if (strcmp(verb, "branch") == 0)
        read_branch(words, &call);
    else if (strcmp(verb, "await") == 0)
        read_await(words, &call);
    else if (strcmp(verb, "end") == 0)
        read_end(words, &call);
    else if (strcmp(verb, "operations") == 0)
        call.kind = DD_CALL_OPERATIONS;
    else
        read_outcome(words, &call);
    dd_session_call(story->session, &call, story->now_ms);
    dd_free((void *)call.operations);
    dd_error_object_unref(call.error);
    dd_text_unref(payload);
    dd_text_unref(summary);
}

/* --- commands ---------------------------------------------------------------------------- */

static void dispatch(struct session_story *story, struct words *words)
{
    const char *verb = words->word[0];

    if (strcmp(verb, "at") == 0)
        story->now_ms = EPOCH_MS + (int64_t)(strtod(next_word(words, 1), NULL) * 1000.0 + 0.5);
    else if (strcmp(verb, "quota") == 0)
        story->config.operations_max = (uint32_t)words_number(next_word(words, 1));
    else if (strcmp(verb, "invoke") == 0)
        run_invoke(story, words);
    else if (strcmp(verb, "ack") == 0 || strcmp(verb, "refuse") == 0)
        run_api(story, words);
    else if (strcmp(verb, "take") == 0)
        run_take(story);
    else if (strcmp(verb, "callback") == 0)
        run_callback(story, words);
    else if (strcmp(verb, "due") == 0)
        dd_session_due(story->session, story->now_ms);
    else if (strcmp(verb, "facts") == 0)
        print_facts(story);
    else if (strcmp(verb, "forget") == 0)
        dd_session_forget(story->session, (uint64_t)words_number(next_word(words, 1)),
                          story->now_ms);
    else if (strcmp(verb, "fire") == 0 || strcmp(verb, "stop") == 0 ||
             strcmp(verb, "return") == 0 || strcmp(verb, "lose") == 0)
        run_service(story, verb);
    else
        run_call(story, words);
}

void session_story_run(struct session_story *story, const char *command, struct dd_buf *out)
{
    struct dd_error error;
    struct words words;
    int64_t due;

    story->out = out;
    words_init(&words, command);
    dispatch(story, &words);
    words_deinit(&words);
    if (!story->session)
        return;
    demand(dd_session_check(story->session, &error) == 0, command, &error);
    due = dd_session_next_due_ms(story->session);
    if (due != story->due_ms)
        dd_buf_printf(out, due ? "  wants due at %.3f\n" : "  wants nothing\n",
                      (double)(due - EPOCH_MS) / 1000.0);
    story->due_ms = due;
}

void session_story_init(struct session_story *story)
{
    *story = (struct session_story){
        .config = {.region = "us-east-1", .account = "000000000000", .operations_max = 1000},
        .now_ms = EPOCH_MS};
    story->execution = dd_execution_new(&story->config);
}

void session_story_deinit(struct session_story *story)
{
    if (story->session)
        dd_session_free(story->session);
    dd_execution_free(story->execution);
    nothing_in_flight(story);
    dd_text_unref(story->request_id);
    dd_text_unref(story->outcome.result);
    dd_error_object_unref(story->outcome.error);
}
