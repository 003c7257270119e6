/* The embedded service as the backend of sessions: their checkpoints and loads go to the
 * service engine in this process, and come back through the gate, once what they did is
 * durable. */
#include "engine/engine_priv.h"

#include "base/alloc.h"
#include "base/limits.h"

struct service_call {
    struct dd_backend_call call;
    struct dd_gate_action action;
    struct dd_checkpointed checkpointed;
    struct dd_operation *operations; /* of a page, copied: the execution may change */
    size_t operations_len;
    struct dd_text *marker;
    int status; /* 0, or the code of `error` */
    struct dd_error error;
};

static void call_free(struct service_call *call)
{
    dd_checkpointed_deinit(&call->checkpointed);
    for (size_t i = 0; i < call->operations_len; i++)
        dd_operation_deinit(&call->operations[i]);
    dd_free(call->operations);
    dd_text_unref(call->marker);
    dd_free(call);
}

/* The classes are those of sdk-semantics 8.3: a stale token and the service's own trouble
 * are worth another invocation. */
static void refuse(struct service_call *call)
{
    struct dd_backend_answer answer = {
        .failure = dd_error_object_new(dd_span_cstr(dd_error_name(call->error.code)),
                                       dd_span_cstr(call->error.text)),
        .retryable = dd_error_retryable(call->error.code) ||
                     (call->error.code == DD_INVALID_PARAMETER &&
                      strncmp(call->error.text, "Invalid checkpoint token", 24) == 0),
    };

    dd_session_answered(&call->call, &answer);
    dd_error_object_unref(answer.failure);
}

static void answer(struct service_call *call)
{
    const struct dd_checkpointed *checkpointed = &call->checkpointed;
    struct dd_backend_answer page = {
        .operations = call->operations,
        .operations_len = call->operations_len,
        .marker = dd_text_span(call->marker),
    };
    struct dd_backend_answer changes = {
        .token = dd_text_span(checkpointed->token),
        .operations = checkpointed->operations,
        .operations_len = checkpointed->operations_len,
    };

    dd_session_answered(&call->call, call->call.load ? &page : &changes);
}

static void on_gate(struct dd_gate_action *action)
{
    struct service_call *call = dd_container_of(action, struct service_call, action);

    if (call->call.attached && call->status != 0)
        refuse(call);
    else if (call->call.attached)
        answer(call);
    call_free(call);
}

static struct service_call *call_new(struct dd_attached *attached, bool load)
{
    struct service_call *call = dd_alloc(sizeof *call);

    dd_list_init(&call->action.node);
    call->action.run = on_gate;
    call->call.attached = attached;
    call->call.load = load;
    return call;
}

static struct dd_backend_call *checkpoint(struct dd_attached *attached, struct dd_span token,
                                          const struct dd_update *updates, size_t updates_len)
{
    struct dd_engine *engine = attached->engine;
    struct service_call *call = call_new(attached, false);
    struct dd_checkpoint checkpoint = {.arn = dd_text_span(attached->arn),
                                       .token = token,
                                       .updates = updates,
                                       .updates_len = updates_len};
    struct dd_resident *resident;
    uint64_t position = 0;

    call->status = dd_engine_load(engine, attached->execution, &resident, &call->error);
    if (call->status == 0) {
        call->status = dd_engine_checkpoint(engine, resident, &checkpoint, &call->checkpointed,
                                            &call->error);
        position = resident->position;
    }
    dd_gate_add(&engine->gate, &call->action, position);
    return &call->call;
}

static void copy_page(struct service_call *call, const struct dd_page *page)
{
    call->operations = dd_alloc_array(page->operations_len, sizeof *call->operations);
    call->operations_len = page->operations_len;
    for (size_t i = 0; i < page->operations_len; i++)
        dd_operation_copy(&call->operations[i], page->operations[i]);
    call->marker = dd_text_ref(page->next_marker);
}

static struct dd_backend_call *load(struct dd_attached *attached, struct dd_span token,
                                    struct dd_span marker)
{
    struct dd_engine *engine = attached->engine;
    struct service_call *call = call_new(attached, true);
    size_t items = engine->config.page_items ? engine->config.page_items : DD_PAGE_ITEMS_MAX;
    struct dd_resident *resident;
    uint64_t position = 0;

    call->status = dd_engine_load(engine, attached->execution, &resident, &call->error);
    if (call->status == 0) {
        struct dd_page page = {0};

        call->status = dd_execution_state(resident->execution, dd_text_span(attached->arn),
                                          token, marker, items, &page, &call->error);
        if (call->status == 0)
            copy_page(call, &page);
        dd_page_deinit(&page);
        position = resident->position;
    }
    dd_gate_add(&engine->gate, &call->action, position);
    return &call->call;
}

/* What it did stays done; the gate frees it. */
static void abandon(struct dd_backend_call *call)
{
    (void)call;
}

const struct dd_backend dd_backend_service = {checkpoint, load, abandon};
