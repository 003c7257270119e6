/* Runs the commands of stories; see story.h. */
#include "tests/lib/story.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "tests/lib/words.h"

#define OUT_MAX (16u * 1024 * 1024)

/* --- output ------------------------------------------------------------------------------ */

static void print_time(struct dd_buf *out, const char *name, int64_t ms)
{
    if (ms)
        dd_buf_printf(out, " %s=%.3f", name, (double)(ms - STORY_EPOCH_MS) / 1000.0);
}

static void print_text(struct dd_buf *out, const char *name, const struct dd_text *text)
{
    if (text && text->len > 200)
        dd_buf_printf(out, " %s=(%" PRIu32 " bytes)", name, text->len);
    else if (text)
        dd_buf_printf(out, " %s=%s", name, text->data);
}

static void print_failure(struct dd_buf *out, const char *name,
                          const struct dd_error_object *error)
{
    if (error)
        dd_buf_printf(out, " %s={%s: %s}", name, dd_text_or(error->type, "-"),
                      dd_text_or(error->message, "-"));
}

static const char *fact_name(enum dd_fact_kind kind)
{
    const char *name = dd_fact_event_type(kind);

    if (name)
        return name;
    switch ((int)kind) {
    case DD_FACT_STEP_READY:
        return "(StepReady)";
    case DD_FACT_CALLBACK_HEARTBEAT:
        return "(CallbackHeartbeat)";
    case DD_FACT_INVOCATION_STARTED:
        return "(InvocationStarted)";
    case DD_FACT_INVOCATION_RELEASED:
        return "(InvocationReleased)";
    case DD_FACT_INVOCATION_DUE:
        return "(InvocationDue)";
    case DD_FACT_CHECKPOINTED:
        return "(Checkpointed)";
    default:
        return "(?)";
    }
}

static void print_fact(struct dd_buf *out, const struct dd_fact *fact)
{
    if (fact->event_id)
        dd_buf_printf(out, "  %3" PRIu32 " ", fact->event_id);
    else
        dd_buf_printf(out, "    - ");
    dd_buf_printf(out, "%s", fact_name(fact->kind));
    if (fact->kind != DD_FACT_EXECUTION_STARTED && fact->id)
        dd_buf_printf(out, " %s", fact->id->data);
    print_text(out, "parent", fact->parent_id);
    print_text(out, "name", fact->name);
    print_text(out, "sub", fact->sub_type);
    print_text(out, "function", fact->function);
    print_text(out, "tenant", fact->tenant_id);
    print_text(out, "child", fact->child);
    print_text(out, "arn", fact->child_arn);
    print_text(out, "by", fact->parent_operation);
    print_text(out, "payload", fact->payload);
    print_failure(out, "error", fact->error);
    print_text(out, "worker", fact->worker);
    print_text(out, "client", fact->client_token);
    if (fact->invocation)
        dd_buf_printf(out, " invocation=%" PRIu32, fact->invocation);
    if (fact->token_seq)
        dd_buf_printf(out, " token=%" PRIu32, fact->token_seq);
    if (fact->attempt)
        dd_buf_printf(out, " attempt=%" PRIu32, fact->attempt);
    if (fact->delay_s)
        dd_buf_printf(out, " delay=%" PRId64, fact->delay_s);
    if (fact->heartbeat_s)
        dd_buf_printf(out, " heartbeat=%" PRId64, fact->heartbeat_s);
    print_time(out, "start", fact->start_ms);
    print_time(out, "due", fact->due_ms);
    if (fact->replay_children)
        dd_buf_printf(out, " replay");
    if (fact->plain)
        dd_buf_printf(out, " plain");
    print_time(out, "at", fact->time_ms);
    dd_buf_printf(out, "\n");
}

static void print_operation(struct dd_buf *out, const struct dd_operation *operation)
{
    dd_buf_printf(
        out, "      %s %s %s", operation->type == DD_TYPE_EXECUTION ? "*" : operation->id->data,
        dd_operation_type_name(operation->type), dd_operation_status_name(operation->status));
    print_text(out, "parent", operation->parent_id);
    if (operation->attempt)
        dd_buf_printf(out, " attempt=%" PRIu32, operation->attempt);
    print_text(out, "result", operation->result);
    print_failure(out, "error", operation->error);
    print_time(out, "due", operation->due_ms);
    print_time(out, "start", operation->start_ms);
    print_time(out, "end", operation->end_ms);
    dd_buf_printf(out, "%s\n", operation->replay_children ? " replay" : "");
}

static void print_head(struct dd_buf *out, const struct dd_execution *execution)
{
    static const char *const works[] = {"none", "queued", "running"};
    struct dd_head head;

    dd_execution_head(execution, &head);
    dd_buf_printf(out, "  = %s, %s", dd_execution_status_name(head.status), works[head.work]);
    if (head.work != DD_WORK_NONE)
        print_time(out, "since", head.work_since_ms);
    print_time(out, "next", head.next_due_ms);
    dd_buf_printf(out, "\n");
}

/* --- the invariants that every story is held to ------------------------------------------ */

static void demand(const struct story *story, bool holds, const char *command, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "story %s: after \"%.200s\": %s\n", story->label, command, what);
    abort();
}

static bool same_error(const struct dd_error_object *a, const struct dd_error_object *b)
{
    if (!a || !b)
        return a == b;
    return dd_text_equal(a->type, b->type) && dd_text_equal(a->message, b->message);
}

static bool same_operation(const struct dd_operation *a, const struct dd_operation *b)
{
    return a->type == b->type && a->status == b->status && dd_text_equal(a->id, b->id) &&
           dd_text_equal(a->parent_id, b->parent_id) && dd_text_equal(a->name, b->name) &&
           dd_text_equal(a->sub_type, b->sub_type) && dd_text_equal(a->result, b->result) &&
           same_error(a->error, b->error) && a->start_ms == b->start_ms &&
           a->end_ms == b->end_ms && a->due_ms == b->due_ms && a->attempt == b->attempt &&
           a->replay_children == b->replay_children &&
           dd_text_equal(a->callback_id, b->callback_id);
}

static bool same_operations(const struct dd_execution *a, const struct dd_execution *b)
{
    size_t a_len, b_len;
    const struct dd_operation *const *left = dd_execution_operations(a, &a_len);
    const struct dd_operation *const *right = dd_execution_operations(b, &b_len);

    for (size_t i = 0; i < a_len && a_len == b_len; i++) {
        if (!same_operation(left[i], right[i]))
            return false;
    }
    return a_len == b_len;
}

static bool same_head(const struct dd_execution *a, const struct dd_execution *b)
{
    struct dd_head left, right;

    dd_execution_head(a, &left);
    dd_execution_head(b, &right);
    return dd_uuid_compare(left.id, right.id) == 0 && left.status == right.status &&
           left.work == right.work && left.work_since_ms == right.work_since_ms &&
           left.next_due_ms == right.next_due_ms && left.until_ms == right.until_ms &&
           left.start_ms == right.start_ms && left.end_ms == right.end_ms &&
           left.events == right.events && dd_text_equal(left.name, right.name) &&
           dd_text_equal(left.function, right.function);
}

static bool same_standing(const struct dd_execution *a, const struct dd_execution *b)
{
    struct dd_standing left, right;

    dd_execution_standing(a, &left);
    dd_execution_standing(b, &right);
    return left.work == right.work && left.since_ms == right.since_ms &&
           left.retry_ms == right.retry_ms && left.failures == right.failures &&
           same_error(left.last_failure, right.last_failure) &&
           dd_text_equal(left.request_id, right.request_id) &&
           dd_text_equal(left.worker, right.worker) && !left.awaited == !right.awaited &&
           (!left.awaited || same_operation(left.awaited, right.awaited)) &&
           dd_text_equal(dd_execution_arn(a), dd_execution_arn(b)) &&
           dd_text_equal(dd_execution_result(a), dd_execution_result(b)) &&
           same_error(dd_execution_error(a), dd_execution_error(b)) &&
           dd_execution_timeout_s(a) == dd_execution_timeout_s(b);
}

/* What the last checkpoint answers when it is sent again, and the first page. */
static bool same_answers(const struct story *story, struct dd_execution *a,
                         struct dd_execution *b)
{
    struct dd_checkpoint checkpoint = {.arn = dd_text_span(dd_execution_arn(a)),
                                       .token = dd_text_span(story->spent_token),
                                       .client_token = dd_text_span(story->client_token)};
    struct dd_checkpointed left = {0}, right = {0};
    struct dd_page left_page = {0}, right_page = {0};
    struct dd_facts none = {0};
    struct dd_error error;
    bool same;
    int rc;

    if (!story->client_token)
        return true;
    rc = dd_execution_checkpoint(a, &checkpoint, story->now_ms, &none, &left, &error);
    same =
        rc == dd_execution_checkpoint(b, &checkpoint, story->now_ms, &none, &right, &error) &&
        none.len == 0 && dd_text_equal(left.token, right.token) &&
        left.operations_len == right.operations_len;
    for (size_t i = 0; same && i < left.operations_len; i++)
        same = same_operation(&left.operations[i], &right.operations[i]);
    dd_checkpointed_deinit(&left);
    dd_checkpointed_deinit(&right);
    rc = dd_execution_state(a, checkpoint.arn, dd_text_span(story->token), DD_SPAN_NONE, 0,
                            &left_page, &error);
    same = same &&
           rc == dd_execution_state(b, checkpoint.arn, dd_text_span(story->token), DD_SPAN_NONE,
                                    0, &right_page, &error) &&
           left_page.operations_len == right_page.operations_len &&
           dd_text_equal(left_page.next_marker, right_page.next_marker);
    for (size_t i = 0; same && i < left_page.operations_len; i++)
        same = same_operation(left_page.operations[i], right_page.operations[i]);
    dd_page_deinit(&left_page);
    dd_page_deinit(&right_page);
    return same;
}

static void check_story(struct story *story, const char *command)
{
    struct dd_execution *folded = dd_execution_new(&story->config);
    struct dd_error error = {0};

    for (size_t i = 0; i < story->facts.len; i++)
        demand(story, dd_execution_apply(folded, &story->facts.items[i], &error) == 0, command,
               error.text);
    demand(story, dd_execution_check(story->execution, &error) == 0, command, error.text);
    demand(story, dd_execution_check(folded, &error) == 0, command, error.text);
    demand(story, same_head(story->execution, folded), command, "the folded head differs");
    demand(story, same_standing(story->execution, folded), command,
           "the folded standing differs");
    demand(story, same_operations(story->execution, folded), command,
           "folded operations differ");
    demand(story, same_answers(story, story->execution, folded), command,
           "folded answers differ");
    /* Half of every story goes on with the one that was loaded. */
    if (story->commands++ % 2) {
        dd_execution_free(story->execution);
        story->execution = folded;
    } else {
        dd_execution_free(folded);
    }
}

/* --- commands ---------------------------------------------------------------------------- */

static struct dd_span token_of(const struct story *story, const char *word)
{
    if (!word)
        return dd_text_span(story->token);
    if (strcmp(word, "spent") == 0)
        return dd_text_span(story->spent_token);
    if (strcmp(word, "first") == 0)
        return dd_text_span(story->first_token);
    if (strcmp(word, "foreign") == 0)
        return dd_text_span(story->foreign_token);
    return dd_span_cstr(word);
}

static void parse_update(const struct words *words, size_t from, size_t to,
                         struct dd_update *update)
{
    const char *delay = words_value(words, from, to, "delay");
    const char *wait = words_value(words, from, to, "wait");
    const char *replay = words_value(words, from, to, "replay");
    const char *timeout = words_value(words, from, to, "timeout");
    const char *heartbeat = words_value(words, from, to, "heartbeat");
    const char *function = words_value(words, from, to, "function");

    dd_assert(to - from >= 3);
    *update = (struct dd_update){
        .type = dd_operation_type_parse(dd_span_cstr(words->word[from])),
        .action = dd_action_parse(dd_span_cstr(words->word[from + 1])),
        .id = dd_text_cstr(strcmp(words->word[from + 2], "-") == 0 ? NULL
                                                                   : words->word[from + 2]),
        .parent_id = dd_text_cstr(words_value(words, from, to, "parent")),
        .name = words_payload(words_value(words, from, to, "name")),
        .sub_type = dd_text_cstr(words_value(words, from, to, "sub")),
        .payload = words_payload(words_value(words, from, to, "payload")),
        .error = words_failure(words_value(words, from, to, "error")),
        .has_context_options = replay != NULL,
        .replay_children = words_number(replay) != 0,
        .has_step_options = delay != NULL,
        .next_attempt_delay_s = words_number(delay),
        .has_wait_options = wait != NULL,
        .wait_s = words_number(wait),
        .has_callback_options = timeout || heartbeat,
        .timeout_s = words_number(timeout),
        .heartbeat_timeout_s = words_number(heartbeat),
        .has_invoke_options = function != NULL,
        .function_name = dd_text_cstr(function),
        .tenant_id = dd_text_cstr(words_value(words, from, to, "tenant")),
    };
}

static bool is_type(const char *word)
{
    return strchr(word, '=') == NULL;
}

static size_t parse_updates(const struct words *words, struct dd_update *updates)
{
    size_t len = 0;
    size_t from = 1;

    while (from < words->len && !is_type(words->word[from]))
        from++;
    while (from < words->len) {
        size_t to = from;

        while (to < words->len && strcmp(words->word[to], ";") != 0)
            to++;
        parse_update(words, from, to, &updates[len++]);
        from = to + 1;
    }
    return len;
}

/* What the functions of the updates turn out to be: "missing" is none, "plain" is not
 * durable. */
static struct dd_target *make_targets(const struct dd_update *updates, size_t len)
{
    struct dd_target *targets = dd_alloc_array(len, sizeof(*targets));
    size_t at = 0;

    for (size_t i = 0; i < len; i++) {
        struct dd_target *target = &targets[at];

        if (updates[i].type != DD_TYPE_CHAINED_INVOKE || !updates[i].function_name)
            continue;
        at++;
        if (strcmp(updates[i].function_name->data, "missing") == 0) {
            target->error = dd_error_object_new(DD_SPAN("ResourceNotFoundException"),
                                                DD_SPAN("Function not found: missing"));
            continue;
        }
        target->child.bytes[15] = (uint8_t)(0xc0 + at);
        if (strcmp(updates[i].function_name->data, "plain") != 0)
            target->child_arn = dd_text_cstr("arn:child");
    }
    return targets;
}

static void free_targets(struct dd_target *targets, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        dd_error_object_unref(targets[i].error);
        dd_text_unref(targets[i].child_arn);
    }
    dd_free(targets);
}

static void take_token(struct story *story, struct dd_text *token)
{
    dd_text_set(&story->spent_token, story->token);
    dd_text_set(&story->token, token);
}

static void print_answer(struct dd_buf *out, const struct dd_checkpointed *answer)
{
    dd_buf_printf(out, "    answer%s\n", answer->token ? "" : " without token");
    for (size_t i = 0; i < answer->operations_len; i++)
        print_operation(out, &answer->operations[i]);
}

static void run_checkpoint(struct story *story, const struct words *words,
                           struct dd_facts *facts, struct dd_buf *answer_text)
{
    struct dd_update *updates = dd_alloc_array(words->len, sizeof(*updates));
    size_t len = parse_updates(words, updates);
    struct dd_target *targets = make_targets(updates, len);
    const char *client = words_value(words, 1, words->len, "client");
    const char *arn = words_value(words, 1, words->len, "arn");
    struct dd_checkpoint checkpoint = {
        .arn = arn ? dd_span_cstr(arn) : dd_text_span(dd_execution_arn(story->execution)),
        .token = token_of(story, words_value(words, 1, words->len, "token")),
        .client_token = dd_span_cstr(client),
        .updates = updates,
        .updates_len = len,
        .targets = targets,
    };
    struct dd_checkpointed answer = {0};

    story->rc = dd_execution_checkpoint(story->execution, &checkpoint, story->now_ms, facts,
                                        &answer, &story->error);
    if (story->rc == 0) {
        print_answer(answer_text, &answer);
        if (facts->len > 0) {
            struct dd_text *used = dd_text_new(checkpoint.token);

            take_token(story, answer.token);
            dd_text_set(&story->spent_token, used);
            dd_text_unref(used);
            dd_text_unref(story->client_token);
            story->client_token = dd_text_cstr(client);
        } else if (!dd_text_equal(answer.token, story->token)) {
            dd_buf_printf(answer_text, "    with another token\n");
        }
    }
    dd_checkpointed_deinit(&answer);
    free_targets(targets, len);
    for (size_t i = 0; i < len; i++)
        dd_update_deinit(&updates[i]);
    dd_free(updates);
}

static void run_start(struct story *story, const struct words *words, struct dd_facts *facts)
{
    const char *function = words_value(words, 1, words->len, "function");
    struct dd_text *name = words_payload(words_value(words, 1, words->len, "name"));
    struct dd_text *input = words_payload(words_value(words, 1, words->len, "input"));
    struct dd_start start = {
        .id = {{0x01, 0x8b, 0xcf, 0xe5, 0x68, 0, 0x70, 1, 0x80, 0, 0, 0, 0, 0, 0, 1}},
        .function = dd_span_cstr(function ? function : "order"),
        .name = dd_text_span(name),
        .input = dd_text_span(input),
        .execution_timeout_s = words_number(words_value(words, 1, words->len, "timeout")),
        .retention_s = words_number(words_value(words, 1, words->len, "retention")),
        .plain = words_flag(words, "plain"),
    };

    story->rc =
        dd_execution_start(story->execution, &start, story->now_ms, facts, &story->error);
    dd_text_unref(name);
    dd_text_unref(input);
}

static void run_invoke(struct story *story, struct dd_facts *facts, struct dd_buf *answer_text)
{
    uint8_t random[16] = {0};
    struct dd_envelope envelope;
    char worker[32];

    story->invocations++;
    memcpy(random, &story->invocations, sizeof(story->invocations));
    snprintf(worker, sizeof(worker), "w%" PRIu32, story->invocations);
    dd_execution_invoke(story->execution, story->now_ms, random, dd_span_cstr(worker), facts,
                        &envelope);
    take_token(story, envelope.token);
    dd_text_set(&story->first_token, envelope.token);
    dd_text_set(&story->marker, envelope.marker);
    dd_text_set(&story->request_id, envelope.request_id);
    dd_text_set(&story->client_token, NULL);
    dd_buf_printf(answer_text, "    updated");
    for (size_t i = 0; i < envelope.updated_ids_len; i++)
        dd_buf_printf(answer_text, " %s",
                      envelope.updated_ids[i]->len > 30 ? "*" : envelope.updated_ids[i]->data);
    dd_buf_printf(answer_text, "\n");
    dd_envelope_deinit(&envelope);
}

static void run_ended(struct story *story, const struct words *words, struct dd_facts *facts)
{
    const char *unit = words_value(words, 1, words->len, "unit");
    const char *status = words->len > 1 ? words->word[1] : "";
    struct dd_outcome outcome = {.kind = DD_OUTCOME_RELEASED};

    if (strcmp(words->word[0], "crash") == 0) {
        outcome.kind = DD_OUTCOME_FAILED;
        outcome.error = words_failure(status);
    } else if (strcmp(words->word[0], "return") == 0) {
        outcome.kind = DD_OUTCOME_RETURNED;
        outcome.malformed = strcmp(status, "malformed") == 0;
        outcome.status = strcmp(status, "PENDING") == 0
                             ? DD_EXECUTION_RUNNING
                             : dd_execution_status_parse(dd_span_cstr(status));
        outcome.result = words_payload(words_value(words, 1, words->len, "result"));
        outcome.error = words_failure(words_value(words, 1, words->len, "error"));
    }
    story->rc = dd_execution_invoked(story->execution, dd_text_span(story->request_id),
                                     &outcome, unit ? strtod(unit, NULL) : 0.5, story->now_ms,
                                     facts, &story->error);
    dd_text_unref(outcome.result);
    dd_error_object_unref(outcome.error);
}

static void run_state(struct story *story, const struct words *words,
                      struct dd_buf *answer_text)
{
    const char *marker = words_value(words, 1, words->len, "marker");
    struct dd_page page = {0};

    story->rc = dd_execution_state(
        story->execution, dd_text_span(dd_execution_arn(story->execution)),
        token_of(story, words_value(words, 1, words->len, "token")),
        marker && strcmp(marker, "next") == 0 ? dd_text_span(story->marker)
                                              : dd_span_cstr(marker),
        (size_t)words_number(words_value(words, 1, words->len, "max")), &page, &story->error);
    for (size_t i = 0; i < page.operations_len; i++)
        print_operation(answer_text, page.operations[i]);
    if (story->rc == 0) {
        dd_text_set(&story->marker, page.next_marker);
        dd_buf_printf(answer_text, "    %s\n", page.next_marker ? "and more" : "no more");
    }
    dd_page_deinit(&page);
}

static void run_stop(struct story *story, const struct words *words, struct dd_facts *facts)
{
    struct dd_error_object *error = words_failure(words_value(words, 1, words->len, "error"));

    story->rc = dd_execution_stop(story->execution, error, story->now_ms, facts, &story->error);
    dd_error_object_unref(error);
}

/* callback succeed|fail|heartbeat OPERATION [result=] [error=] */
static void run_callback(struct story *story, const struct words *words, struct dd_facts *facts)
{
    static const char *const actions[] = {"succeed", "fail", "heartbeat"};
    struct dd_text *result = words_payload(words_value(words, 1, words->len, "result"));
    struct dd_error_object *failure = words_failure(words_value(words, 1, words->len, "error"));
    size_t len, action = 0;
    const struct dd_operation *const *operations =
        dd_execution_operations(story->execution, &len);
    struct dd_text *id = dd_text_cstr(words->word[2]);
    struct dd_uuid execution;
    uint32_t operation;

    while (action < DD_COUNT(actions) && strcmp(actions[action], words->word[1]) != 0)
        action++;
    dd_assert(action < DD_COUNT(actions));
    for (size_t i = 0; i < len; i++) {
        if (operations[i]->callback_id && dd_text_equal(operations[i]->id, id))
            dd_text_set(&id, operations[i]->callback_id);
    }
    story->rc = dd_callback_open(&story->config, dd_text_span(id), &execution, &operation,
                                 &story->error);
    if (story->rc == 0)
        story->rc = dd_execution_callback(story->execution, operation,
                                          (enum dd_callback_action)action, dd_text_span(result),
                                          failure, story->now_ms, facts, &story->error);
    dd_text_unref(id);
    dd_text_unref(result);
    dd_error_object_unref(failure);
}

/* chained OPERATION SUCCEEDED|FAILED|TIMED_OUT|STOPPED [result=] [error=] [plain]: what
 * the operation started has closed so. */
static void run_chained(struct story *story, const struct words *words, struct dd_facts *facts)
{
    static const uint8_t random[16] = {7};
    enum dd_execution_status status = dd_execution_status_parse(dd_span_cstr(words->word[2]));
    struct dd_start start = {.id = {{7}},
                             .function = DD_SPAN("child"),
                             .execution_timeout_s = 60,
                             .plain = words_flag(words, "plain"),
                             .parent_execution =
                                 dd_text_span(dd_execution_operation(story->execution)->id),
                             .parent_operation = dd_span_cstr(words->word[1])};
    struct dd_outcome outcome = {
        .kind = DD_OUTCOME_RETURNED,
        .status = status,
        .result = words_payload(words_value(words, 1, words->len, "result")),
        .error = words_failure(words_value(words, 1, words->len, "error"))};
    struct dd_execution *child = dd_execution_new(&story->config);
    struct dd_facts own = {0};
    struct dd_envelope envelope;
    struct dd_error error;
    int rc = dd_execution_start(child, &start, STORY_EPOCH_MS, &own, &error);

    dd_assert(rc == 0);
    if (status == DD_EXECUTION_TIMED_OUT) {
        dd_execution_due(child, STORY_EPOCH_MS + 60000, &own);
    } else if (status == DD_EXECUTION_STOPPED) {
        rc = dd_execution_stop(child, outcome.error, STORY_EPOCH_MS, &own, &error);
    } else {
        dd_execution_invoke(child, STORY_EPOCH_MS, random, DD_SPAN("w"), &own, &envelope);
        if (start.plain && status == DD_EXECUTION_FAILED)
            outcome.kind = DD_OUTCOME_FAILED;
        rc = dd_execution_invoked(child, dd_text_span(envelope.request_id), &outcome, 0.5,
                                  STORY_EPOCH_MS, &own, &error);
        dd_envelope_deinit(&envelope);
    }
    dd_assert(rc == 0);
    dd_execution_chained(story->execution, child, story->now_ms, facts);
    dd_facts_deinit(&own);
    dd_execution_free(child);
    dd_text_unref(outcome.result);
    dd_error_object_unref(outcome.error);
}

static void print_operations(const struct story *story, struct dd_buf *out)
{
    size_t len;
    const struct dd_operation *const *operations =
        dd_execution_operations(story->execution, &len);

    for (size_t i = 0; i < len; i++)
        print_operation(out, operations[i]);
}

static void print_standing(const struct story *story, struct dd_buf *out)
{
    struct dd_standing standing;

    dd_execution_standing(story->execution, &standing);
    dd_buf_printf(out, "    failures=%" PRIu32, standing.failures);
    print_failure(out, "last", standing.last_failure);
    print_time(out, "retry", standing.retry_ms);
    print_text(out, "worker", standing.worker);
    print_text(out, "awaited", standing.awaited ? standing.awaited->id : NULL);
    dd_buf_printf(out, "\n");
}

static void dispatch(struct story *story, const struct words *words, struct dd_facts *facts,
                     struct dd_buf *answer)
{
    const char *verb = words->word[0];

    if (strcmp(verb, "at") == 0) {
        story->now_ms = STORY_EPOCH_MS + (int64_t)(strtod(words->word[1], NULL) * 1000.0 + 0.5);
    } else if (strcmp(verb, "start") == 0) {
        run_start(story, words, facts);
    } else if (strcmp(verb, "again") == 0) {
        story->rc = dd_execution_start_again(
            story->execution, dd_span_cstr(words_value(words, 1, words->len, "input")),
            &story->error);
    } else if (strcmp(verb, "invoke") == 0) {
        run_invoke(story, facts, answer);
    } else if (strcmp(verb, "checkpoint") == 0) {
        run_checkpoint(story, words, facts, answer);
    } else if (strcmp(verb, "return") == 0 || strcmp(verb, "crash") == 0 ||
               strcmp(verb, "release") == 0) {
        run_ended(story, words, facts);
    } else if (strcmp(verb, "due") == 0) {
        dd_execution_due(story->execution, story->now_ms, facts);
    } else if (strcmp(verb, "stop") == 0) {
        run_stop(story, words, facts);
    } else if (strcmp(verb, "callback") == 0) {
        run_callback(story, words, facts);
    } else if (strcmp(verb, "chained") == 0) {
        run_chained(story, words, facts);
    } else if (strcmp(verb, "state") == 0) {
        run_state(story, words, answer);
    } else if (strcmp(verb, "operations") == 0) {
        print_operations(story, answer);
    } else if (strcmp(verb, "standing") == 0) {
        print_standing(story, answer);
    } else {
        fprintf(stderr, "story: no command \"%s\"\n", verb);
        abort();
    }
}

/* Moves the facts of one event to those of the story. */
static void keep_facts(struct story *story, struct dd_facts *facts)
{
    for (size_t i = 0; i < facts->len; i++)
        *dd_facts_add(&story->facts, facts->items[i].kind, 0) = facts->items[i];
    dd_free(facts->items);
}

void story_run(struct story *story, const char *command, struct dd_buf *out)
{
    struct dd_facts facts = {0};
    struct dd_buf answer;
    struct words words;

    words_init(&words, command);
    dd_buf_init(&answer, OUT_MAX);
    story->rc = 0;
    dispatch(story, &words, &facts, &answer);
    for (size_t i = 0; i < facts.len; i++)
        print_fact(out, &facts.items[i]);
    if (story->rc)
        dd_buf_printf(out, "  ! %s: %s\n", dd_error_name(story->error.code), story->error.text);
    dd_buf_append_span(out, dd_buf_span(&answer));
    if (facts.len > 0)
        print_head(out, story->execution);
    demand(story, story->rc == 0 || facts.len == 0, command, "a refused event left facts");
    keep_facts(story, &facts);
    if (story->facts.len > 0)
        check_story(story, command);
    dd_buf_deinit(&answer);
    words_deinit(&words);
}

/* --- life -------------------------------------------------------------------------------- */

static void make_foreign_token(struct story *story)
{
    static const uint8_t random[16] = {9};
    struct dd_start start = {
        .id = {{9}}, .function = DD_SPAN("order"), .name = DD_SPAN("other")};
    struct dd_facts facts = {0};
    struct dd_envelope envelope;
    struct dd_error error;
    int rc;

    story->other = dd_execution_new(&story->config);
    rc = dd_execution_start(story->other, &start, STORY_EPOCH_MS, &facts, &error);
    dd_assert(rc == 0);
    dd_execution_invoke(story->other, STORY_EPOCH_MS, random, DD_SPAN("w"), &facts, &envelope);
    dd_text_set(&story->foreign_token, envelope.token);
    dd_envelope_deinit(&envelope);
    dd_facts_deinit(&facts);
}

void story_init(struct story *story)
{
    *story = (struct story){
        .config = {.region = "us-east-1",
                   .account = "000000000000",
                   .secret = {1, 2, 3},
                   .operations_max = 1000},
        .now_ms = STORY_EPOCH_MS,
    };
    story->execution = dd_execution_new(&story->config);
    make_foreign_token(story);
}

void story_deinit(struct story *story)
{
    dd_execution_free(story->execution);
    dd_execution_free(story->other);
    dd_facts_deinit(&story->facts);
    dd_text_unref(story->token);
    dd_text_unref(story->spent_token);
    dd_text_unref(story->first_token);
    dd_text_unref(story->foreign_token);
    dd_text_unref(story->client_token);
    dd_text_unref(story->request_id);
    dd_text_unref(story->marker);
}
