/* Who waits for an execution: execution.wait and Invoke until it is closed,
 * execution.logs until it has more lines. A wake-up goes through the gate, so that
 * nobody is told of an end that is not durable. */
#include "engine/engine_priv.h"

#include "base/alloc.h"

static struct dd_span id_span(const struct dd_uuid *id)
{
    return dd_span_make(id->bytes, sizeof id->bytes);
}

void dd_waiter_init(struct dd_waiter *waiter, void (*again)(struct dd_waiter *waiter))
{
    *waiter = (struct dd_waiter){.again = again};
    dd_list_init(&waiter->node);
    dd_list_init(&waiter->timed);
}

void dd_watch_add(struct dd_engine *engine, struct dd_uuid id, struct dd_waiter *waiter)
{
    struct dd_watch *watch = dd_map_get(&engine->watches, id_span(&id));

    dd_assert(!waiter->watch);
    if (!watch) {
        watch = dd_alloc(sizeof *watch);
        watch->id = id;
        dd_list_init(&watch->waiters);
        dd_map_put(&engine->watches, id_span(&watch->id), watch);
    }
    waiter->watch = watch;
    dd_list_push(&watch->waiters, &waiter->node);
    if (waiter->until_ms)
        dd_list_push(&engine->timeouts, &waiter->timed);
}

void dd_watch_leave(struct dd_engine *engine, struct dd_waiter *waiter)
{
    struct dd_watch *watch = waiter->watch;

    waiter->watch = NULL;
    dd_list_remove(&waiter->node);
    dd_list_remove(&waiter->timed);
    if (!watch || !dd_list_empty(&watch->waiters))
        return;
    dd_map_remove(&engine->watches, id_span(&watch->id));
    dd_free(watch);
}

struct wake {
    struct dd_gate_action action;
    struct dd_engine *engine;
    struct dd_uuid id;
};

/* Each waiter asks again; who still has to wait is watched anew. */
static void wake_run(struct dd_gate_action *action)
{
    struct wake *wake = dd_container_of(action, struct wake, action);
    struct dd_watch *watch;
    struct dd_list woken;

    dd_list_init(&woken);
    while ((watch = dd_map_get(&wake->engine->watches, id_span(&wake->id))) != NULL) {
        struct dd_waiter *waiter = dd_container_of(watch->waiters.next, struct dd_waiter, node);

        dd_watch_leave(wake->engine, waiter);
        dd_list_push(&woken, &waiter->node);
    }
    while (!dd_list_empty(&woken)) {
        struct dd_waiter *waiter = dd_container_of(dd_list_pop(&woken), struct dd_waiter, node);

        waiter->again(waiter);
    }
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
        struct dd_waiter *waiter = dd_container_of(node, struct dd_waiter, timed);

        if (waiter->until_ms > engine->now_ms)
            continue;
        dd_watch_leave(engine, waiter);
        waiter->again(waiter);
    }
}
