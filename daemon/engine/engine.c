/* The pump: executions in memory, their records, and the turn.
 *
 * A turn, in order: what is due; what became durable leaves; queued executions
 * are given out; one commit takes everything that was appended; the answers
 * gathered for each peer are sent. */
#include "engine/engine_priv.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/limits.h"

static struct dd_span id_span(const struct dd_uuid *id)
{
    return dd_span_make(id->bytes, sizeof id->bytes);
}

/* --- executions in memory ---------------------------------------------------------------- */

struct dd_resident *dd_engine_found(struct dd_engine *engine, struct dd_uuid id)
{
    struct dd_resident *resident = dd_alloc(sizeof *resident);

    resident->id = id;
    resident->execution = dd_execution_new(&engine->service);
    dd_list_push(&engine->lru, &resident->lru);
    dd_map_put(&engine->residents, id_span(&resident->id), resident);
    return resident;
}

void dd_engine_forget(struct dd_engine *engine, struct dd_resident *resident)
{
    dd_map_remove(&engine->residents, id_span(&resident->id));
    dd_list_remove(&resident->lru);
    engine->memory -= resident->memory;
    dd_execution_free(resident->execution);
    dd_free(resident);
}

struct dd_uuid dd_engine_new_id(struct dd_engine *engine)
{
    uint8_t random[10];

    engine->config.ports.random(engine->config.ports.user, random, sizeof random);
    return dd_uuid_v7(engine->now_ms, random);
}

int dd_engine_start(struct dd_engine *engine, const struct dd_start *start,
                    struct dd_resident **out, struct dd_error *error)
{
    struct dd_facts facts = {0};
    struct dd_resident *resident;
    int rc;

    resident = dd_engine_found(engine, start->id);
    rc = dd_execution_start(resident->execution, start, engine->now_ms, &facts, error);
    if (rc) {
        dd_engine_forget(engine, resident);
        return rc;
    }
    dd_engine_record(engine, resident, &facts);
    dd_log(engine->config.log, EXECUTION_STARTED,
           DD_LOG_TEXT("executionArn", dd_text_span(dd_execution_arn(resident->execution))));
    *out = resident;
    return 0;
}

static void count_memory(struct dd_engine *engine, struct dd_resident *resident)
{
    size_t memory = dd_execution_memory(resident->execution) + sizeof *resident;

    engine->memory += memory - resident->memory;
    resident->memory = memory;
}

/* The head tells the ARN; where it is damaged too, `error` has the id. */
static void log_corrupt(struct dd_engine *engine, struct dd_uuid id,
                        const struct dd_error *error)
{
    char arn[DD_ARN_MAX + 1] = "";
    struct dd_head head;

    if (dd_journal_identity(engine->config.journal, id, &head)) {
        dd_arn_format(engine, &head, arn);
        dd_text_unref(head.function);
        dd_text_unref(head.name);
    }
    dd_log(engine->config.log, EXECUTION_CORRUPT,
           DD_LOG_TEXT("executionArn", dd_span_cstr(arn)),
           DD_LOG_TEXT("error", dd_span_cstr(error->text)));
}

int dd_engine_load(struct dd_engine *engine, struct dd_uuid id, struct dd_resident **out,
                   struct dd_error *error)
{
    struct dd_resident *resident = dd_map_get(&engine->residents, id_span(&id));
    int rc;

    if (resident) {
        dd_list_remove(&resident->lru);
        dd_list_push(&engine->lru, &resident->lru);
        *out = resident;
        return 0;
    }
    resident = dd_engine_found(engine, id);
    rc = dd_journal_load(engine->config.journal, id, resident->execution, &resident->records,
                         error);
    if (rc) {
        dd_engine_forget(engine, resident);
        if (rc != DD_NOT_FOUND)
            log_corrupt(engine, id, error);
        return rc;
    }
    /* It may have left memory before its last record was durable. */
    resident->position = dd_journal_position(engine->config.journal, id);
    resident->closed_told =
        dd_execution_operation(resident->execution)->status != DD_STATUS_STARTED;
    count_memory(engine, resident);
    *out = resident;
    return 0;
}

/* Frees executions at rest, the ones used longest ago first, down to the budget. */
static void evict(struct dd_engine *engine)
{
    dd_list_each(node, tmp, &engine->lru)
    {
        struct dd_resident *resident = dd_container_of(node, struct dd_resident, lru);
        struct dd_head head;

        if (engine->memory <= engine->config.memory_budget)
            return;
        dd_execution_head(resident->execution, &head);
        if (head.work != DD_WORK_RUNNING)
            dd_engine_forget(engine, resident);
    }
}

static void log_closed(struct dd_engine *engine, const struct dd_resident *resident,
                       const struct dd_head *head)
{
    const struct dd_error_object *failure = dd_execution_error(resident->execution);

    dd_log(engine->config.log, EXECUTION_CLOSED,
           DD_LOG_TEXT("executionArn", dd_text_span(dd_execution_arn(resident->execution))),
           DD_LOG_TEXT("status", dd_span_cstr(dd_execution_status_name(head->status))),
           DD_LOG_TEXT("error_type",
                       failure && failure->type ? dd_text_span(failure->type) : DD_SPAN("")),
           DD_LOG_NUMBER("ms", head->end_ms - head->start_ms));
}

void dd_engine_fail(struct dd_engine *engine, const struct dd_error *error)
{
    if (!engine->failed)
        dd_log(engine->config.log, STORE_FAILED,
               DD_LOG_TEXT("error", dd_span_cstr(error->text)));
    engine->failed = true;
    dd_journal_fail(engine->config.journal, error);
}

void dd_engine_record(struct dd_engine *engine, struct dd_resident *resident,
                      struct dd_facts *facts)
{
    struct dd_head head;

    if (facts->len == 0)
        return;
    dd_execution_head(resident->execution, &head);
    head.records = resident->records;
    resident->position =
        dd_journal_append(engine->config.journal, &head, facts, engine->now_ms);
    resident->records = head.records;
    dd_facts_deinit(facts);
    if (resident->position == 0) {
        struct dd_error error;

        dd_fail(&error, DD_NO_MEMORY, "no memory for a record");
        dd_engine_fail(engine, &error);
        return;
    }
    count_memory(engine, resident);
    if (head.work == DD_WORK_QUEUED)
        engine->dispatch_wanted = true;
    if (head.status != DD_EXECUTION_RUNNING && !resident->closed_told) {
        resident->closed_told = true;
        log_closed(engine, resident, &head);
        dd_watch_wake(engine, resident->id);
        dd_invoke_closed(engine, resident);
    }
}

/* --- names ------------------------------------------------------------------------------- */

void dd_arn_format(const struct dd_engine *engine, const struct dd_head *head,
                   char out_arn[DD_ARN_MAX + 1])
{
    char id[DD_UUID_TEXT_LEN + 1];

    dd_uuid_format(head->id, id);
    snprintf(out_arn, DD_ARN_MAX + 1,
             "arn:aws:lambda:%s:%s:function:%s:$LATEST/durable-execution/%s/%s",
             engine->service.region, engine->service.account, head->function->data,
             head->name->data, id);
}

bool dd_arn_execution_id(struct dd_span arn, struct dd_uuid *out_id)
{
    if (arn.len <= DD_UUID_TEXT_LEN || arn.len > DD_ARN_MAX ||
        arn.data[arn.len - DD_UUID_TEXT_LEN - 1] != '/')
        return false;
    return dd_uuid_parse(dd_span_make(arn.data + arn.len - DD_UUID_TEXT_LEN, DD_UUID_TEXT_LEN),
                         out_id);
}

struct newest {
    struct dd_uuid id;
    bool found;
};

static bool visit_newest(void *user, const struct dd_head *head)
{
    struct newest *newest = user;

    newest->id = head->id;
    newest->found = true;
    return false;
}

struct by_name {
    struct dd_engine *engine;
    struct dd_span name;
    struct dd_uuid id;
    size_t found;
};

static void visit_function(void *user, const struct dd_function *function)
{
    struct by_name *by_name = user;

    if (dd_journal_find(by_name->engine->config.journal, dd_text_span(function->name),
                        by_name->name, &by_name->id))
        by_name->found++;
}

int dd_engine_resolve(struct dd_engine *engine, struct dd_span text, struct dd_uuid *out_id,
                      struct dd_error *error)
{
    struct newest newest = {.found = false};
    struct by_name by_name = {.engine = engine, .name = text};

    if (dd_span_is(text, "-")) {
        dd_journal_list(engine->config.journal, NULL, false, 1, visit_newest, &newest);
        if (!newest.found)
            return dd_fail(error, DD_NOT_FOUND, "no execution was started yet");
        *out_id = newest.id;
        return 0;
    }
    if (dd_arn_execution_id(text, out_id) || dd_uuid_parse(text, out_id))
        return 0;
    dd_journal_functions(engine->config.journal, visit_function, &by_name);
    if (by_name.found == 0)
        return dd_fail(error, DD_NOT_FOUND, "Durable Execution does not exist");
    if (by_name.found > 1)
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "%zu functions have an execution of that name; give its ARN",
                       by_name.found);
    *out_id = by_name.id;
    return 0;
}

/* --- due executions ---------------------------------------------------------------------- */

static void due_execution(struct dd_engine *engine, struct dd_uuid id)
{
    struct dd_facts facts = {0};
    struct dd_resident *resident;
    struct dd_error error;
    struct dd_head head;
    bool fired;

    /* A damaged one was logged and stays as it is: no longer armed, never continued. */
    if (dd_engine_load(engine, id, &resident, &error) != 0)
        return;
    dd_execution_due(resident->execution, engine->now_ms, &facts);
    fired = facts.len > 0;
    dd_engine_record(engine, resident, &facts);
    if (fired)
        dd_sessions_changed(engine, id);
    dd_execution_head(resident->execution, &head);
    if (head.status == DD_EXECUTION_RUNNING || head.work == DD_WORK_RUNNING ||
        head.next_due_ms == 0 || head.next_due_ms > engine->now_ms)
        return;
    dd_log(engine->config.log, EXECUTION_DELETED,
           DD_LOG_TEXT("executionArn", dd_text_span(dd_execution_arn(resident->execution))));
    dd_journal_delete(engine->config.journal, id);
    dd_engine_forget(engine, resident);
}

static void due_executions(struct dd_engine *engine)
{
    struct dd_uuid id;

    for (int i = 0; i < DD_TURN_DUE_MAX; i++) {
        if (!dd_journal_pop_due(engine->config.journal, engine->now_ms, &id))
            return;
        due_execution(engine, id);
    }
}

/* --- the turn ---------------------------------------------------------------------------- */

struct dd_engine *dd_engine_new(const struct dd_engine_config *config, int64_t now_ms)
{
    struct dd_engine *engine = dd_alloc(sizeof *engine);
    uint64_t seed;

    engine->config = *config;
    engine->service = config->service;
    dd_assert(!config->journal == (config->aws != NULL));
    engine->backend = config->aws ? &dd_backend_aws : &dd_backend_service;
    if (config->journal)
        memcpy(engine->service.secret, dd_journal_secret(config->journal),
               sizeof engine->service.secret);
    else
        engine->aws = dd_aws_new(engine);
    dd_gate_init(&engine->gate);
    dd_list_init(&engine->lru);
    dd_list_init(&engine->peers);
    dd_list_init(&engine->workers);
    dd_list_init(&engine->timeouts);
    dd_list_init(&engine->exchanges);
    dd_list_init(&engine->lost);
    dd_list_init(&engine->fronts);
    dd_list_init(&engine->front_calls);
    dd_list_init(&engine->wrapped);
    dd_list_init(&engine->interrupted);
    engine->now_ms = engine->started_ms = now_ms;
    config->ports.random(config->ports.user, &seed, sizeof seed);
    dd_rng_seed(&engine->jitter, seed);
    if (!config->journal)
        return engine;
    dd_host_open(engine);
    dd_dispatch_recover(engine);
    engine->dispatch_wanted = true;
    return engine;
}

void dd_engine_free(struct dd_engine *engine)
{
    size_t at = 0;
    struct dd_resident *resident;

    dd_assert(dd_list_empty(&engine->peers) && dd_list_empty(&engine->exchanges));
    dd_gate_open(&engine->gate, UINT64_MAX);
    dd_dispatch_free(engine);
    dd_host_free(engine);
    dd_front_free(engine);
    dd_aws_free(engine->aws);
    dd_report_free(engine);
    dd_text_unref(engine->invoked);
    while ((resident = dd_map_next(&engine->residents, &at)) != NULL) {
        dd_execution_free(resident->execution);
        dd_free(resident);
    }
    dd_map_deinit(&engine->residents);
    dd_map_deinit(&engine->calls);
    dd_map_deinit(&engine->sessions);
    dd_map_deinit(&engine->keys);
    dd_map_deinit(&engine->invocations);
    dd_map_deinit(&engine->watches);
    dd_heap_deinit(&engine->due);
    dd_free(engine);
}

void dd_engine_durable(struct dd_engine *engine, int status, const struct dd_error *error)
{
    if (status >= 0 || engine->failed)
        return;
    engine->failed = true;
    dd_log(engine->config.log, STORE_FAILED, DD_LOG_TEXT("error", dd_span_cstr(error->text)));
}

/* Tells once when starts are refused, and once when they are taken again. */
static void tell_room(struct dd_engine *engine)
{
    int64_t since_ms = engine->now_ms - engine->looked_ms;
    struct dd_error error;
    bool full;

    if (since_ms >= 0 && since_ms < DD_STORE_LOOK_MS)
        return;
    engine->looked_ms = engine->now_ms;
    full = dd_journal_accepts(engine->config.journal, &error) == DD_STORE_FULL;
    if (full == engine->full_told)
        return;
    engine->full_told = full;
    if (full)
        dd_log(engine->config.log, STORE_FULL, DD_LOG_TEXT("error", dd_span_cstr(error.text)));
    else
        dd_log(engine->config.log, STORE_ROOM,
               DD_LOG_TEXT("data", dd_span_cstr(engine->config.data)));
}

void dd_engine_fetched(struct dd_engine *engine, void *owner,
                       const struct dd_fetch_answer *answer, int64_t now_ms)
{
    struct dd_fetch_owner *waiting = owner;

    engine->now_ms = now_ms;
    waiting->done(waiting, answer);
}

void dd_engine_invoked(struct dd_engine *engine, struct dd_span request_id, int64_t deadline_ms,
                       int64_t now_ms)
{
    engine->now_ms = now_ms;
    dd_text_unref(engine->invoked);
    (void)dd_text_try_new(request_id, &engine->invoked);
    engine->invoked_until_ms = deadline_ms;
    dd_report_tell_lost(engine, DD_SPAN("none"));
}

void dd_engine_turn(struct dd_engine *engine, int64_t now_ms)
{
    engine->now_ms = now_ms;
    if (!engine->config.journal) {
        dd_sessions_due(engine);
        dd_aws_due(engine);
        dd_front_due(engine);
        dd_report_due(engine);
    } else if (!engine->failed) {
        due_executions(engine);
        dd_sessions_due(engine);
        dd_dispatch_due(engine);
        dd_host_due(engine);
        dd_watch_due(engine);
        if (!engine->failed)
            dd_gate_open(&engine->gate, dd_journal_durable(engine->config.journal));
        if (engine->dispatch_wanted && !engine->stopping) {
            engine->dispatch_wanted = false;
            dd_dispatch_run(engine);
        }
        dd_journal_commit(engine->config.journal, now_ms);
        tell_room(engine);
        evict(engine);
    }
    dd_peers_flush(engine);
}

void dd_engine_listens(struct dd_engine *engine, const char *url)
{
    engine->http = url;
}

static int64_t earlier(int64_t a, int64_t b)
{
    if (a == 0 || b == 0)
        return a + b;
    return a < b ? a : b;
}

int64_t dd_engine_next_due(struct dd_engine *engine)
{
    int64_t next;

    if (engine->failed)
        return 0;
    if (!engine->config.journal)
        return earlier(earlier(dd_sessions_next_due(engine), dd_aws_next_due(engine)),
                       earlier(dd_front_next_due(engine), dd_report_next_due(engine)));
    if (!dd_list_empty(&engine->gate.actions) &&
        dd_container_of(engine->gate.actions.next, struct dd_gate_action, node)->position <=
            dd_journal_durable(engine->config.journal))
        return engine->now_ms;
    next = dd_journal_next_due(engine->config.journal);
    next = earlier(next, dd_journal_next_commit(engine->config.journal));
    next = earlier(next, dd_sessions_next_due(engine));
    next = earlier(next, dd_dispatch_next_due(engine));
    next = earlier(next, dd_host_next_due(engine));
    dd_list_each(node, tmp, &engine->timeouts)
    {
        next = earlier(next, dd_container_of(node, struct dd_waiter, timed)->until_ms);
    }
    return next;
}

void dd_engine_stop(struct dd_engine *engine, int64_t now_ms)
{
    engine->now_ms = now_ms;
    engine->stopping = true;
    dd_list_each(node, tmp, &engine->workers)
    {
        dd_worker_drain(dd_container_of(node, struct dd_worker, node));
    }
    dd_host_stop(engine);
}

bool dd_engine_quiet(const struct dd_engine *engine)
{
    return engine->failed || !engine->config.journal ||
           (dd_list_empty(&engine->gate.actions) && dd_journal_idle(engine->config.journal));
}

bool dd_engine_failed(const struct dd_engine *engine)
{
    return engine->failed;
}

size_t dd_engine_invocations(const struct dd_engine *engine)
{
    return engine->invocations.len;
}

int dd_engine_check(const struct dd_engine *engine, struct dd_error *error)
{
    struct dd_resident *resident;
    struct dd_attached *attached;
    size_t at = 0;

    while ((resident = dd_map_next(&engine->residents, &at)) != NULL) {
        struct dd_head head;
        int rc = dd_execution_check(resident->execution, error);

        if (rc)
            return rc;
        dd_execution_head(resident->execution, &head);
        if ((head.work == DD_WORK_RUNNING) != (dd_invocation_of(engine, head.id) != NULL))
            return dd_fail(error, DD_SYSTEM, "execution and invocation table disagree");
    }
    at = 0;
    while ((attached = dd_map_next(&engine->sessions, &at)) != NULL) {
        int rc = dd_session_check(attached->session, error);

        if (rc)
            return rc;
    }
    return 0;
}
