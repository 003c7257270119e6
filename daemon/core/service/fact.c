/* Lifetime of facts and of lists of them. */
#include "core/service/fact.h"

#include "base/alloc.h"

const char *dd_fact_event_type(enum dd_fact_kind kind)
{
    switch (kind) {
#define X(symbol, number, name) \
    case DD_FACT_##symbol:      \
        return name;
        DD_FACTS(X)
#undef X
    case DD_FACT_NONE:
    default:
        return NULL;
    }
}

void dd_fact_deinit(struct dd_fact *fact)
{
    dd_text_unref(fact->id);
    dd_text_unref(fact->parent_id);
    dd_text_unref(fact->name);
    dd_text_unref(fact->sub_type);
    dd_text_unref(fact->payload);
    dd_error_object_unref(fact->error);
    dd_text_unref(fact->function);
    dd_text_unref(fact->request_id);
    dd_text_unref(fact->worker);
    dd_text_unref(fact->client_token);
    dd_text_unref(fact->callback_id);
    dd_text_unref(fact->tenant_id);
    dd_text_unref(fact->child);
    dd_text_unref(fact->child_arn);
    dd_text_unref(fact->parent_execution);
    dd_text_unref(fact->parent_operation);
    *fact = (struct dd_fact){0};
}

struct dd_fact *dd_facts_add(struct dd_facts *facts, enum dd_fact_kind kind, int64_t now_ms)
{
    struct dd_fact *fact;

    if (facts->len == facts->cap) {
        facts->cap = facts->cap ? facts->cap * 2 : 4;
        facts->items = dd_realloc_array(facts->items, facts->cap, sizeof(*facts->items));
    }
    fact = &facts->items[facts->len++];
    *fact = (struct dd_fact){.kind = kind, .time_ms = now_ms};
    return fact;
}

void dd_facts_deinit(struct dd_facts *facts)
{
    for (size_t i = 0; i < facts->len; i++)
        dd_fact_deinit(&facts->items[i]);
    dd_free(facts->items);
    *facts = (struct dd_facts){0};
}
