/* Workers, their slots, and the invocations in flight; those of hosted functions are given
 * out by host.c.
 *
 * A worker's parked worker.next calls are its free slots. Queued executions stay
 * in the journal's work index; dispatching takes the oldest of each function that
 * has a slot. An invocation whose connection is lost, or that a former daemon
 * had given out, is *held* until its process has ended or reports that its user
 * code has: so one execution never has two bodies. */
#include "engine/engine_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "codec/json.h"
#include "codec/wire.h"

/* How the journal names whom an invocation was given to: "pid 4711 since 8812345 as
 * INSTANCE". Longer than any such text. */
#define LABEL_SIZE (64 + DD_INSTANCE_MAX)

static void format_label(struct dd_credentials process, const struct dd_text *instance,
                         char *out, size_t size)
{
    snprintf(out, size, "pid %" PRId64 " since %" PRIu64 " as %s", process.pid, process.started,
             instance->data);
}

/* Sets the process and instance of an invocation that a former daemon gave out. */
static void parse_label(const struct dd_text *label, struct dd_invocation *invocation)
{
    const char *instance = "";
    char *end;

    if (label && strncmp(label->data, "pid ", 4) == 0) {
        invocation->process.pid = strtoll(label->data + 4, &end, 10);
        if (strncmp(end, " since ", 7) == 0)
            invocation->process.started = strtoull(end + 7, &end, 10);
        if (strncmp(end, " as ", 4) == 0)
            instance = end + 4;
    }
    invocation->instance = dd_text_new(dd_span_cstr(instance));
}

/* --- invocations ------------------------------------------------------------------------- */

struct dd_invocation *dd_invocation_find(struct dd_engine *engine, struct dd_span request_id)
{
    return dd_map_get(&engine->invocations, request_id);
}

const struct dd_invocation *dd_invocation_of(const struct dd_engine *engine,
                                             struct dd_uuid execution)
{
    const struct dd_invocation *invocation;
    size_t at = 0;

    while ((invocation = dd_map_next(&engine->invocations, &at)) != NULL) {
        if (dd_uuid_compare(invocation->execution, execution) == 0)
            return invocation;
    }
    return NULL;
}

static struct dd_invocation *invocation_new(struct dd_engine *engine, struct dd_uuid execution,
                                            struct dd_text *request_id,
                                            struct dd_text *function)
{
    struct dd_invocation *invocation = dd_alloc(sizeof *invocation);

    invocation->execution = execution;
    invocation->request_id = dd_text_ref(request_id);
    invocation->function = dd_text_ref(function);
    invocation->started_ms = engine->now_ms;
    dd_map_put(&engine->invocations, dd_text_span(invocation->request_id), invocation);
    return invocation;
}

static void invocation_free(struct dd_engine *engine, struct dd_invocation *invocation)
{
    dd_map_remove(&engine->invocations, dd_text_span(invocation->request_id));
    if (invocation->worker)
        invocation->worker->running--;
    if (invocation->sandbox) {
        invocation->sandbox->invocation = NULL;
        invocation->sandbox->idle_ms = engine->now_ms;
    }
    dd_text_unref(invocation->request_id);
    dd_text_unref(invocation->function);
    dd_text_unref(invocation->instance);
    dd_free(invocation);
}

static void log_ended(struct dd_engine *engine, const struct dd_invocation *invocation,
                      const struct dd_resident *resident, const struct dd_outcome *outcome)
{
    struct dd_span arn = dd_text_span(dd_execution_arn(resident->execution));
    struct dd_span request_id = dd_text_span(invocation->request_id);
    int64_t ms = engine->now_ms - invocation->started_ms;
    struct dd_standing standing;

    switch (outcome->kind) {
    case DD_OUTCOME_RETURNED:
        dd_log(engine->config.log, INVOCATION_ENDED, DD_LOG_TEXT("executionArn", arn),
               DD_LOG_TEXT("requestId", request_id), DD_LOG_NUMBER("ms", ms),
               DD_LOG_TEXT("outcome",
                           outcome->malformed ? DD_SPAN("malformed")
                           : outcome->status == DD_EXECUTION_RUNNING
                               ? DD_SPAN("PENDING")
                               : dd_span_cstr(dd_execution_status_name(outcome->status))));
        return;
    case DD_OUTCOME_FAILED:
        dd_execution_standing(resident->execution, &standing);
        dd_log(engine->config.log, INVOCATION_FAILED, DD_LOG_TEXT("executionArn", arn),
               DD_LOG_TEXT("requestId", request_id), DD_LOG_NUMBER("ms", ms),
               DD_LOG_TEXT("error_type", outcome->error && outcome->error->type
                                             ? dd_text_span(outcome->error->type)
                                             : DD_SPAN("")),
               DD_LOG_NUMBER("failures", standing.failures),
               DD_LOG_NUMBER("retry_at", standing.retry_ms),
               DD_LOG_NUMBER("pid", invocation->process.pid));
        return;
    case DD_OUTCOME_RELEASED:
        dd_log(engine->config.log, INVOCATION_RELEASED, DD_LOG_TEXT("executionArn", arn),
               DD_LOG_TEXT("requestId", request_id), DD_LOG_NUMBER("ms", ms));
        return;
    }
}

void dd_invocation_end(struct dd_engine *engine, struct dd_invocation *invocation,
                       const struct dd_outcome *outcome)
{
    struct dd_facts facts = {0};
    struct dd_resident *resident;
    struct dd_error error;

    if (dd_engine_load(engine, invocation->execution, &resident, &error) == 0) {
        int rc = dd_execution_invoked(resident->execution, dd_text_span(invocation->request_id),
                                      outcome, dd_rng_unit(&engine->jitter), engine->now_ms,
                                      &facts, &error);

        dd_assert(rc == 0);
        log_ended(engine, invocation, resident, outcome);
        dd_engine_record(engine, resident, &facts);
    }
    invocation_free(engine, invocation);
}

void dd_invocation_fail(struct dd_engine *engine, struct dd_invocation *invocation,
                        struct dd_span type, const char *message)
{
    struct dd_outcome outcome = {.kind = DD_OUTCOME_FAILED};

    outcome.error = dd_error_object_new(type, dd_span_cstr(message));
    dd_invocation_end(engine, invocation, &outcome);
    dd_error_object_unref(outcome.error);
}

bool dd_invocation_respond(struct dd_engine *engine, struct dd_invocation *invocation,
                           struct dd_span output)
{
    struct dd_outcome outcome = {.kind = DD_OUTCOME_RETURNED, .status = DD_EXECUTION_SUCCEEDED};

    if (!invocation->plain)
        dd_json_parse_output(output, &outcome);
    else if (!dd_text_try_new(output, &outcome.result))
        return false;
    dd_invocation_end(engine, invocation, &outcome);
    dd_outcome_deinit(&outcome);
    return true;
}

static bool is_held(const struct dd_invocation *invocation)
{
    return !invocation->worker && !invocation->sandbox;
}

/* The user code of a held invocation has ended. */
static void end_held(struct dd_engine *engine, struct dd_invocation *invocation)
{
    static const struct dd_outcome released = {.kind = DD_OUTCOME_RELEASED};

    if (invocation->lost)
        dd_invocation_end(engine, invocation, &released);
    else
        dd_invocation_fail(engine, invocation, DD_SPAN("Runtime.ExitError"),
                           "The process of the function ended before it returned");
}

static void log_held(struct dd_engine *engine, const struct dd_invocation *invocation)
{
    struct dd_resident *resident;
    struct dd_error error;

    if (dd_engine_load(engine, invocation->execution, &resident, &error) != 0)
        return;
    dd_log(engine->config.log, INVOCATION_HELD,
           DD_LOG_TEXT("executionArn", dd_text_span(dd_execution_arn(resident->execution))),
           DD_LOG_TEXT("requestId", dd_text_span(invocation->request_id)),
           DD_LOG_TEXT("function", dd_text_span(invocation->function)),
           DD_LOG_NUMBER("pid", invocation->process.pid));
}

static void hold(struct dd_engine *engine, struct dd_invocation *invocation)
{
    const struct dd_ports *ports = &engine->config.ports;

    invocation->worker = NULL;
    invocation->claimed = NULL;
    if (engine->closing)
        return;
    if (invocation->process.pid == 0) {
        invocation->give_up_ms = engine->now_ms + DD_HOLD_UNKNOWN_MS;
    } else if (!ports->process_alive(ports->user, invocation->process.pid,
                                     invocation->process.started)) {
        end_held(engine, invocation);
        return;
    }
    log_held(engine, invocation);
}

/* --- recovery ---------------------------------------------------------------------------- */

struct recovery {
    struct dd_engine *engine;
    struct dd_uuid *ids;
    size_t len, cap;
};

static bool visit_running(void *user, const struct dd_head *head)
{
    struct recovery *recovery = user;

    if (recovery->len == recovery->cap) {
        recovery->cap = recovery->cap ? 2 * recovery->cap : 64;
        recovery->ids = dd_realloc_array(recovery->ids, recovery->cap, sizeof *recovery->ids);
    }
    recovery->ids[recovery->len++] = head->id;
    return true;
}

static void recover_one(struct dd_engine *engine, struct dd_uuid id)
{
    struct dd_resident *resident;
    struct dd_invocation *invocation;
    struct dd_standing standing;
    struct dd_error error;
    struct dd_head head;

    if (dd_engine_load(engine, id, &resident, &error) != 0)
        return;
    dd_execution_head(resident->execution, &head);
    dd_execution_standing(resident->execution, &standing);
    dd_assert(standing.work == DD_WORK_RUNNING);
    invocation = invocation_new(engine, id, standing.request_id, head.function);
    invocation->plain = dd_execution_plain(resident->execution);
    invocation->started_ms = standing.since_ms;
    parse_label(standing.worker, invocation);
    invocation->lost = true;
    hold(engine, invocation);
}

void dd_dispatch_recover(struct dd_engine *engine)
{
    struct recovery recovery = {.engine = engine};

    dd_journal_running(engine->config.journal, visit_running, &recovery);
    for (size_t i = 0; i < recovery.len; i++)
        recover_one(engine, recovery.ids[i]);
    dd_free(recovery.ids);
}

/* --- due --------------------------------------------------------------------------------- */

static bool held_is_over(const struct dd_engine *engine, const struct dd_invocation *invocation)
{
    const struct dd_ports *ports = &engine->config.ports;

    if (!is_held(invocation))
        return false;
    if (invocation->give_up_ms)
        return !invocation->claimed && engine->now_ms >= invocation->give_up_ms;
    return !ports->process_alive(ports->user, invocation->process.pid,
                                 invocation->process.started);
}

static void timed_out(struct dd_engine *engine, struct dd_invocation *invocation)
{
    struct dd_sandbox *sandbox = invocation->sandbox;
    char message[160];

    snprintf(message, sizeof message, "RequestId: %s Error: Task timed out after %.2f seconds",
             invocation->request_id->data,
             (double)(invocation->deadline_ms - invocation->started_ms) / 1000.0);
    dd_invocation_fail(engine, invocation, DD_SPAN("Sandbox.Timedout"), message);
    if (sandbox)
        dd_sandbox_kill(sandbox, "its Timeout passed");
}

/* Ending one changes the table, so the walk starts over after each. */
void dd_dispatch_due(struct dd_engine *engine)
{
    struct dd_invocation *invocation;
    size_t at = 0;

    while ((invocation = dd_map_next(&engine->invocations, &at)) != NULL) {
        if (invocation->deadline_ms && invocation->deadline_ms <= engine->now_ms)
            timed_out(engine, invocation);
        else if (held_is_over(engine, invocation))
            end_held(engine, invocation);
        else
            continue;
        at = 0;
    }
}

int64_t dd_dispatch_next_due(const struct dd_engine *engine)
{
    const struct dd_invocation *invocation;
    int64_t next = 0;
    size_t at = 0;

    while ((invocation = dd_map_next(&engine->invocations, &at)) != NULL) {
        int64_t due = invocation->deadline_ms;

        if (is_held(invocation) && (!due || due > engine->now_ms + DD_HOLD_POLL_MS))
            due = engine->now_ms + DD_HOLD_POLL_MS;
        if (due && (!next || due < next))
            next = due;
    }
    return next;
}

/* --- workers ----------------------------------------------------------------------------- */

static void worker_free(struct dd_worker *worker)
{
    dd_list_remove(&worker->node);
    for (size_t i = 0; i < worker->functions_len; i++)
        dd_text_unref(worker->functions[i]);
    dd_free(worker->functions);
    dd_text_unref(worker->instance);
    dd_free(worker);
}

/* The process of `peer` names invocations whose user code still runs. */
static void claim(struct dd_engine *engine, struct dd_peer *peer, struct dd_span request_id)
{
    struct dd_invocation *invocation = dd_invocation_find(engine, request_id);

    if (invocation && is_held(invocation))
        invocation->claimed = peer;
}

/* Whether a held invocation was given to an earlier connection of `worker`. */
static bool was_given_to(const struct dd_invocation *invocation, const struct dd_worker *worker)
{
    return is_held(invocation) && dd_text_equal(invocation->instance, worker->instance) &&
           invocation->process.pid == worker->peer->credentials.pid &&
           invocation->process.started == worker->peer->credentials.started;
}

/* What a worker that came back does not name has ended, or never reached it. */
static void end_unnamed(struct dd_engine *engine, const struct dd_worker *worker)
{
    struct dd_invocation *invocation;
    size_t at = 0;

    while ((invocation = dd_map_next(&engine->invocations, &at)) != NULL) {
        if (invocation->claimed == worker->peer || !was_given_to(invocation, worker))
            continue;
        end_held(engine, invocation);
        at = 0;
    }
}

int dd_worker_register(struct dd_pending *pending, const struct dd_register *call,
                       struct dd_error *error)
{
    struct dd_engine *engine = pending->peer->engine;
    struct dd_worker *worker;
    uint64_t position = 0;

    if (pending->peer->worker)
        return dd_fail(error, DD_OUT_OF_ORDER, "this connection is registered as a worker");
    if (engine->stopping)
        return dd_fail(error, DD_DRAINING, "the daemon is stopping");
    worker = dd_alloc(sizeof *worker);
    worker->id = ++engine->last_worker;
    worker->peer = pending->peer;
    worker->concurrency = call->concurrency;
    worker->instance = dd_text_new(call->instance);
    worker->functions = dd_alloc_array(call->functions_len, sizeof *worker->functions);
    worker->functions_len = call->functions_len;
    dd_list_init(&worker->slots);
    dd_list_push(&engine->workers, &worker->node);
    pending->peer->worker = worker;
    for (size_t i = 0; i < call->functions_len; i++) {
        worker->functions[i] = dd_text_ref(call->functions[i].name);
        position = dd_journal_register(engine->config.journal, &call->functions[i]);
    }
    for (size_t i = 0; i < call->unwinding_len; i++)
        claim(engine, pending->peer, call->unwinding[i]);
    end_unnamed(engine, worker);
    dd_log(engine->config.log, WORKER_REGISTERED, DD_LOG_NUMBER("worker", (int64_t)worker->id),
           DD_LOG_NUMBER("pid", pending->peer->credentials.pid),
           DD_LOG_TEXT("function", dd_text_span(worker->functions[0])),
           DD_LOG_NUMBER("functions", (int64_t)worker->functions_len),
           DD_LOG_NUMBER("concurrency", worker->concurrency));
    dd_wire_write_worker(&pending->result, worker->id);
    dd_pending_answer_after(pending, position);
    return 0;
}

void dd_worker_drain(struct dd_worker *worker)
{
    if (worker->draining)
        return;
    worker->draining = true;
    dd_log(worker->peer->engine->config.log, WORKER_DRAINING,
           DD_LOG_NUMBER("worker", (int64_t)worker->id),
           DD_LOG_NUMBER("pid", worker->peer->credentials.pid));
    while (!dd_list_empty(&worker->slots)) {
        struct dd_pending *slot =
            dd_container_of(dd_list_pop(&worker->slots), struct dd_pending, parked);

        dd_wire_write_drain(&slot->result);
        dd_pending_answer(slot);
    }
}

void dd_worker_lost(struct dd_worker *worker)
{
    struct dd_engine *engine = worker->peer->engine;
    struct dd_invocation *invocation;
    size_t at = 0;

    if (worker->running > 0)
        dd_log(engine->config.log, WORKER_LOST, DD_LOG_NUMBER("worker", (int64_t)worker->id),
               DD_LOG_NUMBER("pid", worker->peer->credentials.pid),
               DD_LOG_NUMBER("invocations", (int64_t)worker->running));
    else
        dd_log(engine->config.log, WORKER_LEFT, DD_LOG_NUMBER("worker", (int64_t)worker->id),
               DD_LOG_NUMBER("pid", worker->peer->credentials.pid));
    while ((invocation = dd_map_next(&engine->invocations, &at)) != NULL) {
        if (invocation->worker != worker)
            continue;
        worker->running--;
        hold(engine, invocation);
        at = 0;
    }
    worker->peer->worker = NULL;
    worker_free(worker);
}

void dd_worker_release(struct dd_engine *engine, struct dd_peer *peer,
                       struct dd_span request_id)
{
    static const struct dd_outcome released = {.kind = DD_OUTCOME_RELEASED};
    struct dd_invocation *invocation = dd_invocation_find(engine, request_id);

    if (!invocation)
        return;
    if (invocation->worker && invocation->worker == peer->worker)
        dd_invocation_end(engine, invocation, &released);
    else if (is_held(invocation) && invocation->claimed == peer)
        end_held(engine, invocation);
}

void dd_worker_unclaim(struct dd_engine *engine, struct dd_peer *peer)
{
    struct dd_invocation *invocation;
    size_t at = 0;

    while ((invocation = dd_map_next(&engine->invocations, &at)) != NULL) {
        if (invocation->claimed == peer)
            invocation->claimed = NULL;
    }
}

/* --- dispatching ------------------------------------------------------------------------- */

struct skip {
    struct dd_engine *engine;
};

/* Whether a queued execution can't be given out: its records are damaged. */
static bool skip_damaged(void *user, struct dd_uuid id)
{
    struct skip *skip = user;
    struct dd_resident *resident;
    struct dd_error error;
    struct dd_head head;

    if (dd_engine_load(skip->engine, id, &resident, &error) != 0)
        return true;
    dd_execution_head(resident->execution, &head);
    return head.work != DD_WORK_QUEUED;
}

bool dd_dispatch_next(struct dd_engine *engine, const struct dd_text *function,
                      struct dd_uuid *out_execution)
{
    struct skip skip = {engine};

    return dd_journal_next_queued(engine->config.journal, dd_text_span(function), skip_damaged,
                                  &skip, out_execution);
}

void dd_invocation_begin(struct dd_engine *engine, struct dd_uuid execution,
                         struct dd_credentials process, struct dd_text *instance,
                         struct dd_given *out)
{
    const struct dd_function *function;
    struct dd_envelope *envelope = &out->envelope;
    struct dd_facts facts = {0};
    struct dd_resident *resident;
    struct dd_invocation *invocation;
    struct dd_error error;
    struct dd_head head;
    uint8_t random[16];
    char label[LABEL_SIZE];
    int rc;

    rc = dd_engine_load(engine, execution, &resident, &error);
    dd_assert(rc == 0);
    engine->config.ports.random(engine->config.ports.user, random, sizeof random);
    format_label(process, instance, label, sizeof label);
    dd_execution_invoke(resident->execution, engine->now_ms, random, dd_span_cstr(label),
                        &facts, envelope);
    dd_execution_head(resident->execution, &head);
    invocation = invocation_new(engine, execution, envelope->request_id, head.function);
    invocation->process = process;
    invocation->instance = dd_text_ref(instance);
    invocation->plain = envelope->plain;
    function = dd_journal_function(engine->config.journal, dd_text_span(head.function));
    if (function && function->timeout_s > 0)
        invocation->deadline_ms = engine->now_ms + function->timeout_s * 1000;
    dd_log(engine->config.log, INVOCATION_STARTED,
           DD_LOG_TEXT("executionArn", dd_text_span(envelope->arn)),
           DD_LOG_TEXT("requestId", dd_text_span(envelope->request_id)),
           DD_LOG_NUMBER("pid", process.pid));
    dd_engine_record(engine, resident, &facts);

    out->invocation = invocation;
    out->position = resident->position;
}

static void give(struct dd_engine *engine, struct dd_worker *worker, struct dd_uuid id)
{
    struct dd_pending *slot =
        dd_container_of(dd_list_pop(&worker->slots), struct dd_pending, parked);
    struct dd_given given;
    struct dd_buf event;

    dd_invocation_begin(engine, id, worker->peer->credentials, worker->instance, &given);
    given.invocation->worker = worker;
    worker->running++;
    dd_buf_init(&event, DD_FRAME_MAX);
    if (given.envelope.plain)
        dd_buf_append_span(&event, dd_envelope_payload(&given.envelope));
    else
        dd_json_write_envelope(&event, &given.envelope);
    dd_wire_write_invocation(&slot->result, &given.envelope, given.invocation->function,
                             dd_buf_span(&event), given.invocation->deadline_ms);
    dd_buf_deinit(&event);
    dd_envelope_deinit(&given.envelope);
    dd_pending_answer_after(slot, given.position);
}

static bool serves(const struct dd_worker *worker, const struct dd_text *function)
{
    for (size_t i = 0; i < worker->functions_len; i++) {
        if (dd_text_equal(worker->functions[i], function))
            return true;
    }
    return false;
}

bool dd_dispatch_served(struct dd_engine *engine, const struct dd_text *function)
{
    dd_list_each(node, tmp, &engine->workers)
    {
        if (serves(dd_container_of(node, struct dd_worker, node), function))
            return true;
    }
    return dd_host_find(engine, function) != NULL;
}

/* The worker of `function` with a free slot that has most of them. */
static struct dd_worker *free_worker(struct dd_engine *engine, const struct dd_text *function)
{
    struct dd_worker *best = NULL;

    dd_list_each(node, tmp, &engine->workers)
    {
        struct dd_worker *worker = dd_container_of(node, struct dd_worker, node);

        if (worker->draining || dd_list_empty(&worker->slots) || !serves(worker, function) ||
            (int64_t)worker->running >= worker->concurrency)
            continue;
        if (!best || worker->concurrency - (int64_t)worker->running >
                         best->concurrency - (int64_t)best->running)
            best = worker;
    }
    return best;
}

static void dispatch_function(void *user, const struct dd_function *function)
{
    struct dd_engine *engine = user;
    struct dd_worker *worker;
    struct dd_host *host;
    struct dd_uuid id;

    while ((worker = free_worker(engine, function->name)) != NULL &&
           dd_dispatch_next(engine, function->name, &id))
        give(engine, worker, id);
    host = dd_host_find(engine, function->name);
    if (host)
        dd_host_dispatch(host);
}

void dd_dispatch_run(struct dd_engine *engine)
{
    if (!dd_list_empty(&engine->workers) || engine->config.hosted_len > 0)
        dd_journal_functions(engine->config.journal, dispatch_function, engine);
}

void dd_dispatch_free(struct dd_engine *engine)
{
    struct dd_invocation *invocation;
    size_t at = 0;

    while ((invocation = dd_map_next(&engine->invocations, &at)) != NULL) {
        invocation_free(engine, invocation);
        at = 0;
    }
}
