/* Hosted functions: a process each time one more is wanted, up to a limit, and each
 * process one invocation at a time, as in Lambda's execution environments.
 *
 * A sandbox begins with the start of its process and ends with it. It is idle from when
 * its runtime asks for an invocation (runtime.c) until it is given one. */
#include "engine/api.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/utf8.h"
#include "codec/json.h"

/* --- hosts ------------------------------------------------------------------------------- */

static void open_host(struct dd_engine *engine, struct dd_host *host,
                      const struct dd_hosted *function)
{
    struct dd_function registration = {0};

    host->engine = engine;
    host->function = function;
    host->name = dd_text_cstr(function->name);
    dd_list_init(&host->sandboxes);
    registration.name = host->name;
    registration.timeout_s = function->debug ? 0 : function->timeout_s;
    registration.execution_timeout_s = function->execution_timeout_s
                                           ? function->execution_timeout_s
                                           : engine->config.default_execution_timeout_s;
    registration.retention_s = function->retention_days * 86400;
    registration.plain = !function->durable;
    dd_journal_register(engine->config.journal, &registration);
}

void dd_host_open(struct dd_engine *engine)
{
    const struct dd_engine_config *config = &engine->config;

    if (config->hosted_len == 0)
        return;
    engine->hosts = dd_alloc_array(config->hosted_len, sizeof *engine->hosts);
    for (size_t i = 0; i < config->hosted_len; i++)
        open_host(engine, &engine->hosts[i], &config->hosted[i]);
}

void dd_host_free(struct dd_engine *engine)
{
    dd_assert(engine->sandboxes == 0);
    for (size_t i = 0; i < engine->config.hosted_len; i++)
        dd_text_unref(engine->hosts[i].name);
    dd_free(engine->hosts);
}

struct dd_host *dd_host_find(struct dd_engine *engine, const struct dd_text *function)
{
    for (size_t i = 0; i < engine->config.hosted_len; i++) {
        if (dd_text_equal(engine->hosts[i].name, function))
            return &engine->hosts[i];
    }
    return NULL;
}

/* --- sandboxes --------------------------------------------------------------------------- */

/* Ends one invocation with `failure`: the one in flight; or, when the process ended before
 * it asked for any, the one that was next, since nobody else will tell its caller. */
static void fail_invocation(struct dd_sandbox *sandbox, const struct dd_outcome *outcome)
{
    struct dd_host *host = sandbox->host;
    struct dd_engine *engine = host->engine;
    struct dd_text *instance;
    struct dd_given given;
    struct dd_uuid execution;

    if (sandbox->invocation) {
        dd_invocation_end(engine, sandbox->invocation, outcome);
        return;
    }
    if (sandbox->ready || !dd_dispatch_next(engine, host->name, &execution))
        return;
    instance = dd_text_cstr("");
    dd_invocation_begin(engine, execution,
                        (struct dd_credentials){sandbox->process.pid, sandbox->process.started},
                        instance, &given);
    dd_text_unref(instance);
    dd_invocation_end(engine, given.invocation, outcome);
    dd_envelope_deinit(&given.envelope);
}

static void fail_with(struct dd_sandbox *sandbox, struct dd_span type, const char *message)
{
    struct dd_outcome outcome = {.kind = DD_OUTCOME_FAILED};

    outcome.error = dd_error_object_new(type, dd_span_cstr(message));
    fail_invocation(sandbox, &outcome);
    dd_error_object_unref(outcome.error);
}

static void log_failed(const struct dd_sandbox *sandbox, struct dd_span type)
{
    dd_log(sandbox->host->engine->config.log, FUNCTION_FAILED,
           DD_LOG_TEXT("function", dd_text_span(sandbox->host->name)),
           DD_LOG_NUMBER("pid", sandbox->process.pid), DD_LOG_TEXT("error_type", type));
}

void dd_sandbox_kill(struct dd_sandbox *sandbox, const char *reason)
{
    if (sandbox->killed)
        return;
    sandbox->killed = true;
    dd_log(sandbox->host->engine->config.log, FUNCTION_KILLED,
           DD_LOG_TEXT("function", dd_text_span(sandbox->host->name)),
           DD_LOG_NUMBER("pid", sandbox->process.pid),
           DD_LOG_TEXT("reason", dd_span_cstr(reason)));
    sandbox->process.kill(sandbox->process.user);
}

void dd_sandbox_failed(struct dd_sandbox *sandbox, struct dd_error_object *failure)
{
    dd_error_object_set(&sandbox->failure, failure);
}

void dd_sandbox_idle(struct dd_sandbox *sandbox)
{
    struct dd_engine *engine = sandbox->host->engine;

    sandbox->ready = true;
    dd_error_object_set(&sandbox->failure, NULL);
    sandbox->idle_ms = engine->now_ms;
    if (sandbox->stale)
        dd_sandbox_kill(sandbox, "its code changed");
    else if (engine->stopping)
        dd_sandbox_kill(sandbox, "the daemon stops");
    else
        engine->dispatch_wanted = true;
}

static void start(struct dd_host *host)
{
    struct dd_engine *engine = host->engine;
    const struct dd_ports *ports = &engine->config.ports;
    struct dd_sandbox *sandbox = dd_alloc(sizeof *sandbox);
    struct dd_process_spec spec = {
        .directory = host->function->directory,
        .command = host->function->command,
        .environment = host->function->environment,
        .environment_len = host->function->environment_len,
    };
    struct dd_error error;

    sandbox->host = host;
    sandbox->started_ms = engine->now_ms;
    if (ports->process_start(ports->user, &spec, sandbox, &sandbox->process, &error) != 0) {
        log_failed(sandbox, dd_span_cstr(error.text));
        fail_with(sandbox, DD_SPAN("Runtime.InvalidEntrypoint"), error.text);
        dd_free(sandbox);
        return;
    }
    dd_list_push(&host->sandboxes, &sandbox->node);
    host->sandboxes_len++;
    engine->sandboxes++;
    dd_log(engine->config.log, FUNCTION_STARTED,
           DD_LOG_TEXT("function", dd_text_span(host->name)),
           DD_LOG_NUMBER("pid", sandbox->process.pid));
}

static size_t processes_max(const struct dd_host *host)
{
    return host->function->debug ? 1 : (size_t)host->function->processes;
}

/* Makes room for one more process: the one that was idle for longest ends. */
static void make_room(struct dd_engine *engine)
{
    struct dd_sandbox *longest = NULL;

    for (size_t i = 0; i < engine->config.hosted_len; i++) {
        dd_list_each(node, tmp, &engine->hosts[i].sandboxes)
        {
            struct dd_sandbox *sandbox = dd_container_of(node, struct dd_sandbox, node);

            if (sandbox->killed)
                return; /* it is on its way */
            if (sandbox->next && (!longest || sandbox->idle_ms < longest->idle_ms))
                longest = sandbox;
        }
    }
    if (longest)
        dd_sandbox_kill(longest, "others want its place");
}

void dd_host_dispatch(struct dd_host *host)
{
    struct dd_engine *engine = host->engine;
    struct dd_uuid execution;
    size_t starting = 0, wanted;
    int64_t since_ms;

    dd_list_each(node, tmp, &host->sandboxes)
    {
        struct dd_sandbox *sandbox = dd_container_of(node, struct dd_sandbox, node);

        if (!sandbox->ready && !sandbox->killed)
            starting++;
        if (sandbox->next && !sandbox->killed && !sandbox->stale &&
            dd_dispatch_next(engine, host->name, &execution))
            dd_runtime_give(sandbox, execution);
    }
    wanted = dd_journal_queued(engine->config.journal, dd_text_span(host->name),
                               processes_max(host), &since_ms);
    while (starting < wanted && host->sandboxes_len < processes_max(host)) {
        if (engine->sandboxes >= DD_SANDBOXES_MAX) {
            make_room(engine);
            return;
        }
        start(host);
        starting++;
    }
}

/* --- ends -------------------------------------------------------------------------------- */

/* A signal's name, as Lambda has it from Go. */
static void name_signal(int signal, char *out, size_t size)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {{4, "illegal instruction"},
                 {6, "aborted"},
                 {7, "bus error"},
                 {8, "floating point exception"},
                 {9, "killed"},
                 {11, "segmentation fault"},
                 {15, "terminated"}};

    snprintf(out, size, "signal: %d", signal);
    for (size_t i = 0; i < DD_COUNT(names); i++) {
        if (names[i].number == signal)
            snprintf(out, size, "signal: %s", names[i].name);
    }
}

/* As Lambda says it. */
static void describe_end(const struct dd_sandbox *sandbox, int64_t status, int signal,
                         char *out, size_t size)
{
    const struct dd_invocation *invocation = sandbox->invocation;
    const char *request_id = invocation ? invocation->request_id->data : NULL;
    char how[64];

    if (signal)
        name_signal(signal, how, sizeof how);
    else
        snprintf(how, sizeof how, "exit status %d", (int)status);
    snprintf(out, size, "%s%s%sRuntime exited %s%s", request_id ? "RequestId: " : "",
             request_id ? request_id : "", request_id ? " Error: " : "",
             status == 0 && signal == 0 ? "without providing a reason" : "with error: ",
             status == 0 && signal == 0 ? "" : how);
}

static void end_unwanted(struct dd_sandbox *sandbox, int64_t status, int signal)
{
    struct dd_outcome outcome = {.kind = DD_OUTCOME_FAILED, .error = sandbox->failure};
    struct dd_host *host = sandbox->host;
    char message[160];

    describe_end(sandbox, status, signal, message, sizeof message);
    if (sandbox->ready)
        dd_log(host->engine->config.log, FUNCTION_ENDED,
               DD_LOG_TEXT("function", dd_text_span(host->name)),
               DD_LOG_NUMBER("pid", sandbox->process.pid),
               DD_LOG_TEXT("reason", dd_span_cstr(message)));
    else
        log_failed(sandbox, sandbox->failure ? dd_text_span(sandbox->failure->type)
                                             : DD_SPAN("Runtime.ExitError"));
    if (sandbox->failure)
        fail_invocation(sandbox, &outcome);
    else
        fail_with(sandbox, DD_SPAN("Runtime.ExitError"), message);
}

void dd_engine_process_ended(struct dd_engine *engine, struct dd_sandbox *sandbox,
                             int64_t status, int signal, int64_t now_ms)
{
    engine->now_ms = now_ms;
    /* What was in flight when the daemon ends is found at the next start. */
    if (!engine->closing && (!sandbox->killed || sandbox->invocation))
        end_unwanted(sandbox, status, signal);
    if (sandbox->invocation)
        sandbox->invocation->sandbox = NULL;
    dd_assert(!sandbox->next);
    dd_list_remove(&sandbox->node);
    sandbox->host->sandboxes_len--;
    engine->sandboxes--;
    engine->dispatch_wanted = true;
    dd_error_object_unref(sandbox->failure);
    dd_free(sandbox);
}

void dd_host_stop(struct dd_engine *engine)
{
    for (size_t i = 0; i < engine->config.hosted_len; i++) {
        dd_list_each(node, tmp, &engine->hosts[i].sandboxes)
        {
            struct dd_sandbox *sandbox = dd_container_of(node, struct dd_sandbox, node);

            if (!sandbox->invocation)
                dd_sandbox_kill(sandbox, "the daemon stops");
        }
    }
}

void dd_engine_kill(struct dd_engine *engine)
{
    for (size_t i = 0; i < engine->config.hosted_len; i++) {
        dd_list_each(node, tmp, &engine->hosts[i].sandboxes)
        {
            dd_sandbox_kill(dd_container_of(node, struct dd_sandbox, node), "the daemon stops");
        }
    }
}

size_t dd_engine_processes(const struct dd_engine *engine)
{
    return engine->sandboxes;
}

void dd_engine_reload(struct dd_engine *engine, size_t index, int64_t now_ms)
{
    struct dd_host *host = &engine->hosts[index];

    engine->now_ms = now_ms;
    dd_log(engine->config.log, FUNCTION_CHANGED,
           DD_LOG_TEXT("function", dd_text_span(host->name)));
    dd_list_each(node, tmp, &host->sandboxes)
    {
        struct dd_sandbox *sandbox = dd_container_of(node, struct dd_sandbox, node);

        sandbox->stale = true;
        if (!sandbox->invocation)
            dd_sandbox_kill(sandbox, "its code changed");
    }
}

/* --- due --------------------------------------------------------------------------------- */

/* When the sandbox is to be looked at; 0: never. */
static int64_t due_of(const struct dd_sandbox *sandbox)
{
    if (sandbox->killed || sandbox->invocation || sandbox->host->function->debug)
        return 0;
    return sandbox->ready ? sandbox->idle_ms + DD_SANDBOX_IDLE_MS
                          : sandbox->started_ms + DD_INIT_TIMEOUT_MS +
                                sandbox->host->function->timeout_s * 1000;
}

static void due(struct dd_sandbox *sandbox)
{
    if (sandbox->ready) {
        dd_sandbox_kill(sandbox, "it was idle");
        return;
    }
    log_failed(sandbox, DD_SPAN("Sandbox.Timedout"));
    fail_with(sandbox, DD_SPAN("Sandbox.Timedout"),
              "The function did not ask for an invocation in time");
    dd_sandbox_kill(sandbox, "its start took too long");
}

void dd_host_due(struct dd_engine *engine)
{
    for (size_t i = 0; i < engine->config.hosted_len; i++) {
        dd_list_each(node, tmp, &engine->hosts[i].sandboxes)
        {
            struct dd_sandbox *sandbox = dd_container_of(node, struct dd_sandbox, node);
            int64_t due_ms = due_of(sandbox);

            if (due_ms && due_ms <= engine->now_ms)
                due(sandbox);
        }
    }
}

int64_t dd_host_next_due(const struct dd_engine *engine)
{
    int64_t next = 0;

    for (size_t i = 0; i < engine->config.hosted_len; i++) {
        dd_list_each(node, tmp, &engine->hosts[i].sandboxes)
        {
            int64_t due_ms = due_of(dd_container_of(node, struct dd_sandbox, node));

            if (due_ms && (!next || due_ms < next))
                next = due_ms;
        }
    }
    return next;
}

/* --- output ------------------------------------------------------------------------------ */

/* What the function writes is a line of its execution's log too. */
static void keep_line(struct dd_engine *engine, struct dd_uuid execution,
                      const struct dd_wrote *wrote)
{
    struct dd_buf kept;

    dd_buf_init(&kept, DD_LOG_LINE_MAX);
    dd_wire_write_line(&kept, engine->now_ms,
                       wrote->level.data ? wrote->level : DD_SPAN("INFO"), wrote->message,
                       DD_SPAN_NONE);
    if (!kept.failed) {
        dd_journal_log(engine->config.journal, execution, dd_buf_span(&kept));
        dd_watch_wake(engine, execution);
    }
    dd_buf_deinit(&kept);
}

void dd_engine_process_wrote(struct dd_engine *engine, struct dd_sandbox *sandbox,
                             struct dd_span line, int64_t now_ms)
{
    const struct dd_invocation *invocation = sandbox->invocation;
    struct dd_wrote wrote = {.function = dd_text_span(sandbox->host->name)};
    struct dd_text *text = dd_text_new(line), *level, *message;

    engine->now_ms = now_ms;
    dd_utf8_repair(text->data, text->len);
    wrote.line = dd_text_span(text);
    dd_json_parse_line(wrote.line, &level, &message);
    wrote.level = dd_text_span(level);
    wrote.message = dd_text_span(message);
    wrote.request_id = invocation ? dd_text_span(invocation->request_id) : DD_SPAN("");
    dd_log_wrote(engine->config.log, &wrote);
    if (invocation) {
        keep_line(engine, invocation->execution, &wrote);
        dd_api_wrote(engine, invocation->execution, wrote.line);
    }
    dd_text_unref(text);
    dd_text_unref(level);
    dd_text_unref(message);
}
