/* What the socket's methods and the HTTP API do alike with executions: start,
 * find, stop, list, and read the history. They translate; what happens is here. */
#include "engine/engine_priv.h"

#include <stdio.h>

#include "base/alloc.h"
#include "codec/pack.h"

/* --- functions --------------------------------------------------------------------------- */

const struct dd_function *dd_executions_function(const struct dd_engine *engine,
                                                 struct dd_span name, struct dd_span qualifier,
                                                 const struct dd_hosted **out_hosted)
{
    const struct dd_engine_config *config = &engine->config;

    *out_hosted = dd_hosted_find(config->hosted, config->hosted_len, name);
    if (qualifier.data && !dd_span_is(qualifier, "$LATEST") &&
        (!*out_hosted || !dd_hosted_has_alias(*out_hosted, qualifier)))
        return NULL;
    return dd_journal_function(config->journal, name);
}

/* --- starting ---------------------------------------------------------------------------- */

struct names {
    char text[256];
    size_t len;
};

static void add_name(void *user, const struct dd_function *function)
{
    struct names *names = user;
    int len = snprintf(names->text + names->len, sizeof names->text - names->len, "%s%s",
                       names->len ? ", " : "", function->name->data);

    if (len > 0 && (size_t)len < sizeof names->text - names->len)
        names->len += (size_t)len;
    else
        names->text[names->len] = '\0';
}

static int unknown_function(struct dd_engine *engine, struct dd_span function,
                            struct dd_error *error)
{
    struct names names = {"", 0};

    dd_journal_functions(engine->config.journal, add_name, &names);
    return dd_fail(error, DD_NOT_FOUND, "Function not found: %.*s; known: %s",
                   (int)(function.len > 64 ? 64 : function.len), function.data,
                   names.len ? names.text : "none, no worker has registered yet");
}

int dd_executions_start(struct dd_engine *engine, struct dd_start *start,
                        struct dd_resident **out_resident, bool *out_existing,
                        struct dd_error *error)
{
    struct dd_journal *journal = engine->config.journal;
    const struct dd_function *function = dd_journal_function(journal, start->function);
    int rc;

    if (!function)
        return unknown_function(engine, start->function, error);
    start->plain = function->plain;
    if (start->execution_timeout_s == 0)
        start->execution_timeout_s = function->execution_timeout_s;
    start->retention_s = function->retention_s;
    *out_existing =
        start->name.data && dd_journal_find(journal, start->function, start->name, &start->id);
    if (*out_existing) {
        rc = dd_engine_load(engine, start->id, out_resident, error);
        return rc ? rc
                  : dd_execution_start_again((*out_resident)->execution, start->input, error);
    }
    rc = dd_journal_accepts(journal, error);
    if (rc == 0 && engine->stopping)
        rc = dd_fail(error, DD_DRAINING, "the daemon is stopping");
    if (rc)
        return rc;
    start->id = dd_engine_new_id(engine);
    return dd_engine_start(engine, start, out_resident, error);
}

/* --- one execution ----------------------------------------------------------------------- */

int dd_executions_find(struct dd_engine *engine, struct dd_span text,
                       struct dd_resident **out_resident, struct dd_error *error)
{
    struct dd_uuid id;
    int rc = dd_engine_resolve(engine, text, &id, error);

    if (rc)
        return rc;
    rc = dd_engine_load(engine, id, out_resident, error);
    if (rc == DD_NOT_FOUND)
        return dd_fail(error, DD_NOT_FOUND, "Durable Execution does not exist");
    return rc;
}

int dd_executions_stop(struct dd_engine *engine, struct dd_resident *resident,
                       struct dd_error_object *failure, struct dd_error *error)
{
    struct dd_facts facts = {0};
    int rc = dd_execution_stop(resident->execution, failure, engine->now_ms, &facts, error);

    if (rc == 0)
        dd_engine_record(engine, resident, &facts);
    return rc;
}

/* --- history ----------------------------------------------------------------------------- */

/* The page being filled: of the events `low` to `high`, as many as its bytes allow.
 * They come oldest first, so a reverse page that is full loses its oldest. */
struct page {
    const struct dd_execution *execution;
    struct dd_history *history;
    msgpack_packer packer;
    uint32_t low, high;
    size_t *lengths; /* of the encoded events, in the order they came */
    size_t first;    /* of those kept */
    size_t len;
};

static void page_bounds(struct page *page, const struct dd_history *history, uint32_t events)
{
    uint32_t items_max = (uint32_t)history->items_max;

    page->low = 1;
    page->high = events;
    if (history->reverse) {
        if (history->after && history->after <= events)
            page->high = history->after - 1;
        if (page->high > items_max)
            page->low = page->high - items_max + 1;
    } else {
        page->low = history->after < events ? history->after + 1 : events + 1;
        if (page->high - page->low >= items_max)
            page->high = page->low + items_max - 1;
    }
}

static bool visit_fact(void *user, const struct dd_fact *fact)
{
    struct page *page = user;
    struct dd_history *history = page->history;
    size_t before = history->events.len;

    if (fact->event_id == 0 || fact->event_id < page->low)
        return true;
    if (fact->event_id > page->high ||
        (!history->reverse && page->len > 0 && before >= DD_PAGE_BYTES_MAX))
        return false;
    dd_wire_pack_event(&page->packer, fact, dd_execution_subject(page->execution, fact),
                       history->data);
    page->lengths[page->len++] = history->events.len - before;
    while (history->reverse && page->first + 1 < page->len &&
           history->events.len > DD_PAGE_BYTES_MAX)
        dd_buf_consume(&history->events, page->lengths[page->first++]);
    return true;
}

/* Puts the encoded events in reverse order. */
static void turn(struct page *page)
{
    struct dd_buf *events = &page->history->events;
    size_t end = events->len;
    struct dd_buf turned;

    dd_buf_init(&turned, events->max);
    for (size_t i = page->len; i > page->first; i--) {
        end -= page->lengths[i - 1];
        dd_buf_append(&turned, events->data + end, page->lengths[i - 1]);
    }
    turned.failed |= events->failed;
    dd_buf_deinit(events);
    *events = turned;
}

int dd_executions_history(struct dd_engine *engine, struct dd_resident *resident,
                          struct dd_history *history, struct dd_error *error)
{
    struct page page = {.execution = resident->execution, .history = history};
    struct dd_head head;
    int rc;

    dd_execution_head(resident->execution, &head);
    page_bounds(&page, history, head.events);
    page.lengths = dd_alloc_array(history->items_max, sizeof *page.lengths);
    dd_buf_init(&history->events, DD_FRAME_MAX);
    dd_pack_init(&page.packer, &history->events);
    rc = dd_journal_facts(engine->config.journal, head.id, page.low, visit_fact, &page, error);
    if (rc == 0 && history->reverse && page.len > 0)
        turn(&page);
    if (rc == 0 && history->events.failed)
        rc = dd_fail(error, DD_NO_MEMORY, "no memory for a page of the history");
    history->len = page.len - page.first;
    history->last =
        history->reverse ? page.low + (uint32_t)page.first : page.low + (uint32_t)page.len - 1;
    history->more = history->len > 0 &&
                    (history->reverse ? history->last > 1 : history->last < head.events);
    dd_free(page.lengths);
    if (rc)
        dd_buf_deinit(&history->events);
    return rc;
}

/* --- the list ---------------------------------------------------------------------------- */

struct listing {
    const struct dd_list_filter *filter;
    void (*visit)(void *user, const struct dd_head *head);
    void *user;
    struct dd_uuid *last;
    size_t len;
    bool visited;
    bool ended; /* none after this one is wanted */
};

static bool passes(const struct dd_list_filter *filter, const struct dd_head *head)
{
    if (filter->function.data && !dd_span_equal(filter->function, dd_text_span(head->function)))
        return false;
    if (filter->name.data && !dd_span_equal(filter->name, dd_text_span(head->name)))
        return false;
    if (head->start_ms < filter->since_ms ||
        (filter->until_ms && head->start_ms >= filter->until_ms))
        return false;
    if (filter->waiting && (head->status != DD_EXECUTION_RUNNING || head->work != DD_WORK_NONE))
        return false;
    return !filter->status || filter->status == head->status;
}

static bool visit_head(void *user, const struct dd_head *head)
{
    struct listing *listing = user;
    const struct dd_list_filter *filter = listing->filter;

    listing->visited = true;
    *listing->last = head->id;
    listing->ended = filter->oldest_first
                         ? filter->until_ms && head->start_ms >= filter->until_ms
                         : head->start_ms < filter->since_ms;
    if (listing->ended || !passes(filter, head))
        return !listing->ended;
    listing->visit(listing->user, head);
    return ++listing->len < filter->items_max;
}

bool dd_executions_list(struct dd_engine *engine, const struct dd_list_filter *filter,
                        void (*visit)(void *user, const struct dd_head *head), void *user,
                        struct dd_uuid *out_last)
{
    struct listing listing = {.filter = filter, .visit = visit, .user = user, .last = out_last};
    bool more = dd_journal_list(engine->config.journal, filter->after, filter->oldest_first,
                                DD_LIST_SCAN_MAX, visit_head, &listing);

    return more && listing.visited && !listing.ended;
}
