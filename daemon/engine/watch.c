/* Who waits for an execution: execution.wait until it is closed, execution.logs
 * until it has more lines. A wake-up goes through the gate, so that nobody is
 * told of an end that is not durable. */
#include "engine/engine_priv.h"

#include "base/alloc.h"
#include "engine/methods.h"

static struct dd_span id_span(const struct dd_uuid *id)
{
    return dd_span_make(id->bytes, sizeof id->bytes);
}

void dd_watch_add(struct dd_engine *engine, struct dd_uuid id, struct dd_pending *pending)
{
    struct dd_watch *watch = dd_map_get(&engine->watches, id_span(&id));

    if (!watch) {
        watch = dd_alloc(sizeof *watch);
        watch->id = id;
        dd_list_init(&watch->waiters);
        dd_map_put(&engine->watches, id_span(&watch->id), watch);
    }
    pending->execution = id;
    dd_list_push(&watch->waiters, &pending->parked);
    if (pending->until_ms)
        dd_list_push(&engine->timeouts, &pending->timed);
}

struct wake {
    struct dd_gate_action action;
    struct dd_engine *engine;
    struct dd_uuid id;
};

static void wake_run(struct dd_gate_action *action)
{
    struct wake *wake = dd_container_of(action, struct wake, action);
    struct dd_watch *watch = dd_map_remove(&wake->engine->watches, id_span(&wake->id));

    /* Each waiter asks again; who still has to wait is watched anew. */
    while (watch && !dd_list_empty(&watch->waiters)) {
        struct dd_pending *pending =
            dd_container_of(dd_list_pop(&watch->waiters), struct dd_pending, parked);

        dd_list_remove(&pending->timed);
        dd_method_again(pending);
    }
    dd_free(watch);
    dd_free(wake);
}

void dd_watch_wake(struct dd_engine *engine, struct dd_uuid id)
{
    struct dd_resident *resident = dd_map_get(&engine->residents, id_span(&id));
    struct wake *wake;

    if (!dd_map_get(&engine->watches, id_span(&id)))
        return;
    wake = dd_alloc(sizeof *wake);
    dd_list_init(&wake->action.node);
    wake->action.run = wake_run;
    wake->engine = engine;
    wake->id = id;
    dd_gate_add(&engine->gate, &wake->action, resident ? resident->position : 0);
}

void dd_watch_due(struct dd_engine *engine)
{
    dd_list_each(node, tmp, &engine->timeouts)
    {
        struct dd_pending *pending = dd_container_of(node, struct dd_pending, timed);

        if (pending->until_ms > engine->now_ms)
            continue;
        dd_list_remove(&pending->timed);
        dd_list_remove(&pending->parked);
        dd_method_again(pending);
    }
}

void dd_watches_free(struct dd_engine *engine)
{
    struct dd_watch *watch;
    size_t at = 0;

    /* Who waited is gone. */
    while ((watch = dd_map_next(&engine->watches, &at)) != NULL) {
        dd_assert(dd_list_empty(&watch->waiters));
        dd_free(watch);
    }
    dd_map_deinit(&engine->watches);
}
