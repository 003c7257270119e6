/* Functions that executions invoke (service-api 5.4). The one that does the work is an
 * execution of its own. It is recorded in one commit with the operation that started it,
 * and its end in one with the end of that operation, so that neither is ever found
 * without the other. */
#include "engine/engine_priv.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/limits.h"

#define LATEST "$LATEST"

/* --- what a function's name leads to ------------------------------------------------------ */

static struct dd_error_object *not_found(const struct dd_engine *engine,
                                         const struct dd_reference *reference)
{
    char text[DD_ARN_MAX];

    snprintf(text, sizeof text, "Function not found: arn:aws:lambda:%s:%s:function:%.*s:%.*s",
             engine->service.region, engine->service.account, (int)reference->name.len,
             reference->name.data,
             reference->qualifier.data ? (int)reference->qualifier.len : (int)strlen(LATEST),
             reference->qualifier.data ? reference->qualifier.data : LATEST);
    return dd_error_object_new(dd_span_cstr(dd_error_name(DD_NOT_FOUND)), dd_span_cstr(text));
}

static struct dd_text *child_arn(const struct dd_engine *engine, struct dd_span function,
                                 struct dd_uuid id)
{
    char name[DD_UUID_TEXT_LEN + 1];
    char text[DD_ARN_MAX];

    dd_uuid_format(id, name);
    snprintf(text, sizeof text,
             "arn:aws:lambda:%s:%s:function:%.*s:" LATEST "/durable-execution/%s/%s",
             engine->service.region, engine->service.account, (int)function.len, function.data,
             name, name);
    return dd_text_cstr(text);
}

/* A function is there when a worker ever registered it, or it is hosted. */
static int resolve(struct dd_engine *engine, const struct dd_update *update,
                   struct dd_target *target, struct dd_error *error)
{
    const struct dd_function *function;
    const struct dd_hosted *hosted;
    struct dd_reference reference;
    int rc = dd_reference_parse(&engine->service, dd_text_span(update->function_name),
                                &reference, error);

    if (rc)
        return rc;
    function = dd_executions_function(engine, reference.name, reference.qualifier, &hosted);
    if (!function) {
        target->error = not_found(engine, &reference);
        return 0;
    }
    target->child = dd_engine_new_id(engine);
    if (!function->plain)
        target->child_arn = child_arn(engine, reference.name, target->child);
    return 0;
}

static bool starts_invoke(const struct dd_update *update)
{
    return update->type == DD_TYPE_CHAINED_INVOKE && update->action == DD_ACTION_START &&
           update->function_name;
}

/* The targets of `updates`, in their order. Gives an array, unless there are none. */
static int resolve_all(struct dd_engine *engine, const struct dd_checkpoint *checkpoint,
                       struct dd_target **out, size_t *out_len, struct dd_error *error)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < checkpoint->updates_len; i++) {
        if (!starts_invoke(&checkpoint->updates[i]))
            continue;
        if (!*out) {
            rc = dd_journal_accepts(engine->config.journal, error);
            *out = dd_alloc_array(checkpoint->updates_len, sizeof **out);
        }
        if (rc == 0)
            rc = resolve(engine, &checkpoint->updates[i], &(*out)[(*out_len)++], error);
    }
    return rc;
}

static void free_targets(struct dd_target *targets, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        dd_error_object_unref(targets[i].error);
        dd_text_unref(targets[i].child_arn);
    }
    dd_free(targets);
}

/* --- starting ----------------------------------------------------------------------------- */

static void start_child(struct dd_engine *engine, const struct dd_text *parent,
                        const struct dd_fact *fact)
{
    const struct dd_function *function;
    struct dd_reference reference;
    struct dd_resident *resident;
    struct dd_start start = {0};
    struct dd_error error;
    int rc =
        dd_reference_parse(&engine->service, dd_text_span(fact->function), &reference, &error);

    dd_assert(rc == 0 && dd_uuid_parse(dd_text_span(fact->child), &start.id));
    function = dd_journal_function(engine->config.journal, reference.name);
    start.function = reference.name;
    start.input = dd_text_span(fact->payload);
    start.execution_timeout_s = function->execution_timeout_s;
    start.retention_s = function->retention_s;
    start.plain = function->plain;
    start.tenant_id = dd_text_span(fact->tenant_id);
    start.parent_execution = dd_text_span(parent);
    start.parent_operation = dd_text_span(fact->id);
    rc = dd_engine_start(engine, &start, &resident, &error);
    dd_assert(rc == 0);
}

/* The children that facts speak of. The facts are the record's once it is made, so what
 * is needed of them is kept before. */
struct children {
    struct dd_fact *facts;
    size_t len;
};

static struct children keep_children(const struct dd_facts *facts)
{
    struct children children = {NULL, 0};

    for (size_t i = 0; i < facts->len; i++) {
        const struct dd_fact *fact = &facts->items[i];

        if (fact->kind != DD_FACT_CHAINED_INVOKE_STARTED || !fact->child)
            continue;
        if (!children.facts)
            children.facts = dd_alloc_array(facts->len, sizeof *children.facts);
        children.facts[children.len++] = (struct dd_fact){
            .id = dd_text_ref(fact->id),
            .payload = dd_text_ref(fact->payload),
            .function = dd_text_ref(fact->function),
            .tenant_id = dd_text_ref(fact->tenant_id),
            .child = dd_text_ref(fact->child),
        };
    }
    return children;
}

int dd_engine_checkpoint(struct dd_engine *engine, struct dd_resident *resident,
                         struct dd_checkpoint *checkpoint, struct dd_checkpointed *out,
                         struct dd_error *error)
{
    struct dd_target *targets = NULL;
    struct dd_facts facts = {0};
    struct children children;
    size_t targets_len = 0;
    int rc = resolve_all(engine, checkpoint, &targets, &targets_len, error);

    checkpoint->targets = targets;
    if (rc == 0)
        rc = dd_execution_checkpoint(resident->execution, checkpoint, engine->now_ms, &facts,
                                     out, error);
    free_targets(targets, targets_len);
    children = keep_children(&facts);
    dd_engine_record(engine, resident, &facts);
    for (size_t i = 0; i < children.len; i++) {
        if (!engine->failed)
            start_child(engine, dd_execution_operation(resident->execution)->id,
                        &children.facts[i]);
        dd_fact_deinit(&children.facts[i]);
    }
    dd_free(children.facts);
    return rc;
}

/* --- ending ------------------------------------------------------------------------------- */

void dd_invoke_closed(struct dd_engine *engine, const struct dd_resident *resident)
{
    struct dd_facts facts = {0};
    struct dd_resident *parent;
    struct dd_text *operation;
    struct dd_error error;
    struct dd_uuid id;
    int rc;

    if (!dd_execution_parent(resident->execution, &id, &operation))
        return;
    rc = dd_engine_load(engine, id, &parent, &error);
    /* A parent that was deleted meanwhile, or is damaged, hears nothing. What else keeps it
     * from hearing must keep this end from the store as well. */
    if (rc != 0 && rc != DD_NOT_FOUND && rc != DD_STORE_CORRUPT)
        dd_engine_fail(engine, &error);
    if (rc != 0)
        return;
    dd_execution_chained(parent->execution, resident->execution, engine->now_ms, &facts);
    dd_engine_record(engine, parent, &facts);
    dd_sessions_changed(engine, id);
}
