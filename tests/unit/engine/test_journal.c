/* The journal over the store in memory: against a reference model that keeps
 * every operation in a list, with a restart after every commit, and with damage
 * done to every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "codec/record.h"
#include "engine/journal_priv.h"
#include "tests/lib/store_mem.h"

#define T0 1700000000000

/* --- the model --------------------------------------------------------------------------- */

struct model_op {
    uint64_t position;
    struct dd_uuid id;
    struct dd_head head; /* after it; not for a delete */
    char payload[24];
    bool deletes;
};

struct model {
    struct model_op ops[4096];
    size_t len;
};

/* What an execution is after the operations up to a position. */
struct model_state {
    struct dd_head head;
    size_t last; /* its last operation */
    uint32_t records;
    bool live;
};

static struct model_state model_state(const struct model *model, struct dd_uuid id,
                                      uint64_t until)
{
    struct model_state state = {.live = false};

    for (size_t i = 0; i < model->len; i++) {
        const struct model_op *op = &model->ops[i];

        if (op->position > until || dd_uuid_compare(op->id, id) != 0)
            continue;
        state.live = !op->deletes;
        state.last = i;
        if (!op->deletes) {
            state.head = op->head;
            state.records++;
        }
    }
    return state;
}

/* --- the fixture ------------------------------------------------------------------------- */

struct fixture {
    struct dd_store_mem *mem;
    struct dd_journal *journal;
    struct dd_journal_config config;
    struct dd_rng rng;
    struct model *model;
    int64_t now_ms;
    int last_status;
    int calls, failures;
    struct dd_uuid ids[64];
    size_t ids_len;
    bool popped[64];
    uint64_t names;
    struct dd_text *functions[3];
};

static const uint8_t random_secret[32] = {1, 2, 3};

static void on_durable(void *user, int status, const struct dd_error *error)
{
    struct fixture *f = user;

    f->calls++;
    f->last_status = status;
    if (status != 0) {
        f->failures++;
        assert_non_null(error);
    }
}

static void ignore_durable(void *user, int status, const struct dd_error *error)
{
    (void)user;
    (void)status;
    (void)error;
}

static struct dd_journal *reopen(struct fixture *f, struct dd_store_mem *mem)
{
    struct dd_journal_config config = f->config;
    struct dd_journal *journal;
    struct dd_error error;

    config.store = &mem->store;
    if (mem != f->mem)
        config.on_durable = ignore_durable;
    if (dd_journal_open(&config, random_secret, &journal, &error) != 0)
        fail_msg("open: %s", error.text);
    return journal;
}

static void setup(struct fixture *f, uint64_t seed, uint32_t fold_records,
                  int64_t fold_delay_ms)
{
    memset(f, 0, sizeof(*f));
    dd_rng_seed(&f->rng, seed);
    f->mem = dd_store_mem_new();
    f->model = dd_alloc(sizeof(*f->model));
    f->now_ms = T0;
    f->config = (struct dd_journal_config){.store = &f->mem->store,
                                           .on_durable = on_durable,
                                           .user = f,
                                           .fold_records = fold_records,
                                           .fold_delay_ms = fold_delay_ms};
    f->functions[0] = dd_text_cstr("order");
    f->functions[1] = dd_text_cstr("orders");
    f->functions[2] = dd_text_cstr("ship");
    f->journal = reopen(f, f->mem);
}

static void teardown(struct fixture *f)
{
    /* What is in flight is nobody's any more. */
    f->journal->committing = false;
    dd_journal_close(f->journal);
    for (size_t i = 0; i < f->model->len; i++)
        dd_text_unref(f->model->ops[i].head.name);
    dd_store_mem_free(f->mem);
    dd_free(f->model);
    for (size_t i = 0; i < 3; i++)
        dd_text_unref(f->functions[i]);
}

static struct dd_uuid new_id(struct fixture *f)
{
    uint8_t random[10];

    dd_rng_fill(&f->rng, random, sizeof(random));
    return dd_uuid_v7(f->now_ms, random);
}

/* One record with one fact; keeps it in the model. */
static uint64_t append(struct fixture *f, const struct dd_head *head)
{
    struct model_op *op = &f->model->ops[f->model->len];
    struct dd_facts facts = {0};
    struct dd_head mine = *head;
    struct dd_fact *fact;
    uint64_t position;

    memset(op, 0, sizeof(*op));
    (void)snprintf(op->payload, sizeof(op->payload), "payload %zu", f->model->len);
    fact = dd_facts_add(&facts, DD_FACT_EXECUTION_SUCCEEDED, f->now_ms);
    fact->payload = dd_text_cstr(op->payload);
    position = dd_journal_append(f->journal, &mine, &facts, f->now_ms);
    dd_facts_deinit(&facts);
    if (position == 0)
        return 0;
    assert_true(f->model->len < DD_COUNT(f->model->ops));
    f->model->len++;
    op->position = position;
    op->id = head->id;
    op->head = mine;
    op->head.name = dd_text_ref(head->name);
    return position;
}

static struct dd_head new_head(struct fixture *f, struct dd_uuid id)
{
    char name[32];

    (void)snprintf(name, sizeof(name), "name-%llu", (unsigned long long)f->names++);
    return (struct dd_head){.id = id,
                            .function = f->functions[dd_rng_below(&f->rng, 3)],
                            .name = dd_text_cstr(name),
                            .status = DD_EXECUTION_RUNNING,
                            .work = DD_WORK_QUEUED,
                            .work_since_ms = f->now_ms,
                            .start_ms = f->now_ms,
                            .events = 1};
}

static void random_change(struct fixture *f, struct dd_head *head)
{
    head->work = (enum dd_work)dd_rng_below(&f->rng, 3);
    head->work_since_ms = head->work ? f->now_ms - (int64_t)dd_rng_below(&f->rng, 5) : 0;
    head->next_due_ms =
        dd_rng_below(&f->rng, 3) ? f->now_ms + (int64_t)dd_rng_below(&f->rng, 200) : 0;
    head->until_ms = dd_rng_below(&f->rng, 3) ? f->now_ms : 0;
    head->events++;
}

static uint64_t start(struct fixture *f)
{
    struct dd_uuid id = new_id(f);
    struct dd_head head = new_head(f, id);
    uint64_t position;

    assert_true(f->ids_len < DD_COUNT(f->ids));
    f->popped[f->ids_len] = false;
    f->ids[f->ids_len++] = id;
    head.next_due_ms = dd_rng_below(&f->rng, 2) ? f->now_ms + 50 : 0;
    position = append(f, &head);
    dd_text_unref(head.name);
    return position;
}

static uint64_t delete (struct fixture *f, size_t i)
{
    struct model_op *op = &f->model->ops[f->model->len];

    memset(op, 0, sizeof(*op));
    op->position = dd_journal_delete(f->journal, f->ids[i]);
    op->id = f->ids[i];
    op->deletes = true;
    f->model->len++;
    return op->position;
}

/* --- comparing --------------------------------------------------------------------------- */

struct seen {
    const struct model *model;
    struct dd_uuid id;
    uint64_t until;
    size_t at; /* next operation of the model */
    uint32_t count;
};

static bool see_fact(void *user, const struct dd_fact *fact)
{
    struct seen *seen = user;
    const struct model_op *op;

    do {
        assert_true(seen->at < seen->model->len);
        op = &seen->model->ops[seen->at++];
    } while (dd_uuid_compare(op->id, seen->id) != 0 || op->deletes);
    assert_true(op->position <= seen->until);
    assert_string_equal(fact->payload->data, op->payload);
    seen->count++;
    return true;
}

static void compare_head(const struct dd_head *a, const struct dd_head *b)
{
    assert_int_equal(dd_uuid_compare(a->id, b->id), 0);
    assert_true(dd_text_equal(a->function, b->function));
    assert_true(dd_text_equal(a->name, b->name));
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->work, b->work);
    assert_int_equal(a->work_since_ms, b->work_since_ms);
    assert_int_equal(a->next_due_ms, b->next_due_ms);
    assert_int_equal(a->until_ms, b->until_ms);
    assert_int_equal(a->start_ms, b->start_ms);
    assert_int_equal(a->events, b->events);
    assert_int_equal(a->records, b->records);
}

/* Of what is not durable yet the position must be told: an answer waits for it. */
static void compare_position(struct dd_journal *journal, struct dd_uuid id, uint64_t expected)
{
    uint64_t position = dd_journal_position(journal, id);

    assert_true(position == expected ||
                (position == 0 && expected <= dd_journal_durable(journal)));
}

static bool count_fact(void *user, const struct dd_fact *fact)
{
    (void)fact;
    (*(uint32_t *)user)++;
    return true;
}

/* A record of append() has one fact and one event more than the one before. */
static void compare_facts_from(struct dd_journal *journal, const struct dd_head *head,
                               uint32_t event)
{
    uint32_t count = 0;

    assert_int_equal(dd_journal_facts(journal, head->id, event, count_fact, &count, NULL), 0);
    assert_int_equal(count, head->events + 1 - event);
}

static void compare_execution(struct dd_journal *journal, const struct model *model,
                              struct dd_uuid id, uint64_t until)
{
    struct model_state state = model_state(model, id, until);
    struct seen seen = {.model = model, .id = id, .until = until};
    struct dd_error error;
    struct dd_uuid by_name;
    struct dd_head head;
    int rc = dd_journal_head(journal, id, &head, &error);

    if (!state.live) {
        assert_int_equal(rc, DD_NOT_FOUND);
        if (state.head.name)
            assert_false(dd_journal_find(journal, dd_text_span(state.head.function),
                                         dd_text_span(state.head.name), &by_name));
        return;
    }
    assert_int_equal(rc, 0);
    compare_head(&head, &state.head);
    assert_int_equal(head.records, state.records);
    compare_facts_from(journal, &head, 1 + (uint32_t)(until % (head.events + 1)));
    head_deinit(&head);
    compare_position(journal, id, model->ops[state.last].position);
    rc = dd_journal_facts(journal, id, 0, see_fact, &seen, &error);
    if (rc != 0)
        fail_msg("facts: %s", error.text);
    assert_int_equal(seen.count, state.records);
    assert_true(dd_journal_find(journal, dd_text_span(state.head.function),
                                dd_text_span(state.head.name), &by_name));
    assert_int_equal(dd_uuid_compare(by_name, id), 0);
}

struct ids {
    struct dd_uuid ids[64];
    size_t len;
};

static bool see_head(void *user, const struct dd_head *head)
{
    struct ids *ids = user;

    ids->ids[ids->len++] = head->id;
    return true;
}

static bool skip_seen(void *user, struct dd_uuid id)
{
    const struct ids *ids = user;

    for (size_t i = 0; i < ids->len; i++)
        if (dd_uuid_compare(ids->ids[i], id) == 0)
            return true;
    return false;
}

/* The list in pages of three, in one order: every live execution once. */
static void compare_order(struct dd_journal *journal, bool oldest, size_t live)
{
    struct ids ids = {.len = 0};
    bool more = dd_journal_list(journal, NULL, oldest, 3, see_head, &ids);

    while (more) {
        struct dd_uuid after = ids.ids[ids.len - 1];
        size_t before = ids.len;

        more = dd_journal_list(journal, &after, oldest, 3, see_head, &ids);
        assert_true(ids.len > before);
    }
    assert_int_equal(ids.len, live);
    for (size_t i = 1; i < ids.len; i++)
        assert_true((dd_uuid_compare(ids.ids[i - 1], ids.ids[i]) < 0) == oldest);
}

static void compare_list(struct fixture *f, struct dd_journal *journal, size_t live)
{
    (void)f;
    compare_order(journal, false, live);
    compare_order(journal, true, live);
}

/* The queue of one function: in order of since and id, and complete. */
static void compare_queue(struct fixture *f, struct dd_journal *journal, size_t function,
                          uint64_t until)
{
    struct dd_span name = dd_text_span(f->functions[function]);
    struct ids ids = {.len = 0};
    struct model_state before = {0};
    size_t expected = 0;
    struct dd_uuid id;
    int64_t since;

    for (size_t i = 0; i < f->ids_len; i++) {
        struct model_state state = model_state(f->model, f->ids[i], until);

        expected += state.live && state.head.work == DD_WORK_QUEUED &&
                    state.head.function == f->functions[function];
    }
    while (dd_journal_next_queued(journal, name, skip_seen, &ids, &id)) {
        struct model_state state = model_state(f->model, id, until);

        assert_true(state.live && state.head.work == DD_WORK_QUEUED);
        assert_true(state.head.function == f->functions[function]);
        if (ids.len > 0)
            assert_true(before.head.work_since_ms < state.head.work_since_ms ||
                        (before.head.work_since_ms == state.head.work_since_ms &&
                         dd_uuid_compare(before.head.id, id) < 0));
        before = state;
        ids.ids[ids.len++] = id;
    }
    assert_int_equal(ids.len, expected);
    assert_int_equal(dd_journal_queued(journal, name, 64, &since), expected);
    if (expected > 0)
        assert_int_equal(since, model_state(f->model, ids.ids[0], until).head.work_since_ms);
}

static void compare_all(struct fixture *f, struct dd_journal *journal, uint64_t until,
                        bool restarted)
{
    struct ids running = {.len = 0};
    size_t live = 0, expected_running = 0;
    int64_t due = 0;

    for (size_t i = 0; i < f->ids_len; i++) {
        struct model_state state = model_state(f->model, f->ids[i], until);

        compare_execution(journal, f->model, f->ids[i], until);
        live += state.live;
        expected_running += state.live && state.head.work == DD_WORK_RUNNING;
        if (state.live && state.head.next_due_ms && (restarted || !f->popped[i]) &&
            (due == 0 || state.head.next_due_ms < due))
            due = state.head.next_due_ms;
    }
    compare_list(f, journal, live);
    for (size_t i = 0; i < 3; i++)
        compare_queue(f, journal, i, until);
    assert_int_equal(dd_journal_next_due(journal), due);
    dd_journal_running(journal, see_head, &running);
    assert_int_equal(running.len, expected_running);
}

static void print_finding(void *user, const struct dd_error *finding)
{
    (void)user;
    print_message("finding: %s\n", finding->text);
}

static void ignore_finding(void *user, const struct dd_error *finding)
{
    (void)user;
    (void)finding;
}

/* What another process would find now is what was acknowledged, no less, and
 * with the commit in flight applied, all of that too. */
static void compare_restart(struct fixture *f, bool applied)
{
    struct dd_store_mem *copy;
    struct dd_journal *journal;
    uint64_t until = f->journal->durable;

    if (applied && f->mem->batch) {
        dd_store_mem_apply(f->mem);
        if (f->journal->flight.last > until)
            until = f->journal->flight.last;
    }
    if (f->mem->applied && f->mem->batch && f->journal->flight.last > until)
        until = f->journal->flight.last;
    copy = dd_store_mem_copy(f->mem);
    journal = reopen(f, copy);
    compare_all(f, journal, until, true);
    assert_int_equal(dd_journal_check(journal, print_finding, NULL), 0);
    journal->committing = false;
    dd_journal_close(journal);
    dd_store_mem_free(copy);
}

/* --- random histories -------------------------------------------------------------------- */

static void random_append(struct fixture *f)
{
    size_t i = dd_rng_below(&f->rng, f->ids_len);
    struct model_state state = model_state(f->model, f->ids[i], UINT64_MAX);

    if (!state.live)
        return;
    random_change(f, &state.head);
    assert_true(append(f, &state.head) > 0);
    f->popped[i] = false;
}

static void random_pop(struct fixture *f)
{
    int64_t due = dd_journal_next_due(f->journal);
    struct dd_uuid id;
    size_t i = 0;

    if (due > f->now_ms)
        assert_false(dd_journal_pop_due(f->journal, f->now_ms, &id));
    if (due == 0 || due > f->now_ms)
        return;
    assert_true(dd_journal_pop_due(f->journal, f->now_ms, &id));
    while (dd_uuid_compare(f->ids[i], id) != 0)
        i++;
    assert_false(f->popped[i]);
    assert_int_equal(model_state(f->model, id, UINT64_MAX).head.next_due_ms, due);
    f->popped[i] = true;
}

/* The process dies and comes back; the model forgets what was not durable. */
static void random_crash(struct fixture *f)
{
    bool applied = dd_rng_below(&f->rng, 2);
    uint64_t until = f->journal->durable;
    size_t kept = 0;

    if (applied)
        dd_store_mem_apply(f->mem);
    if (f->mem->batch && f->mem->applied && f->journal->flight.last > until)
        until = f->journal->flight.last;
    dd_store_mem_crash(f->mem);
    f->journal->committing = false;
    dd_journal_close(f->journal);
    for (size_t i = 0; i < f->model->len; i++) {
        if (f->model->ops[i].position <= until)
            f->model->ops[kept++] = f->model->ops[i];
        else
            dd_text_unref(f->model->ops[i].head.name);
    }
    f->model->len = kept;
    memset(f->popped, 0, sizeof(f->popped));
    f->journal = reopen(f, f->mem);
    /* A deletion has a position but no record; its number may be given again. */
    for (size_t i = 0; i < kept; i++)
        if (f->model->ops[i].position > f->journal->durable)
            f->model->ops[i].position = f->journal->durable;
    compare_all(f, f->journal, UINT64_MAX, true);
}

static void random_turn(struct fixture *f)
{
    size_t live = dd_rng_below(&f->rng, f->ids_len ? f->ids_len : 1);

    f->now_ms += (int64_t)dd_rng_below(&f->rng, 20);
    switch (dd_rng_below(&f->rng, 12)) {
    case 0:
    case 1:
        if (f->ids_len < DD_COUNT(f->ids))
            assert_true(start(f) > 0);
        break;
    case 2:
        random_pop(f);
        break;
    case 3:
        if (f->ids_len > 4 && model_state(f->model, f->ids[live], UINT64_MAX).live)
            (void)delete (f, live);
        break;
    case 4:
        if (dd_rng_below(&f->rng, 6) == 0)
            random_crash(f);
        break;
    case 5:
    case 6:
        (void)dd_store_mem_step(f->mem);
        break;
    default:
        if (f->ids_len)
            random_append(f);
    }
    if (dd_rng_below(&f->rng, 2))
        dd_journal_commit(f->journal, f->now_ms);
}

static void run_seed(uint64_t seed)
{
    struct fixture f;

    setup(&f, seed, 2 + (uint32_t)(seed % 17), 1 + (int64_t)(seed % 5) * 40);
    for (int turn = 0; turn < 150; turn++) {
        random_turn(&f);
        compare_all(&f, f.journal, UINT64_MAX, false);
        if (turn % 3 == 0)
            compare_restart(&f, false);
        else if (turn % 11 == 0)
            compare_restart(&f, true);
    }
    /* To the end: all folded, nothing left behind. */
    dd_journal_flush(f.journal);
    for (int i = 0; i < 1000 && !dd_journal_idle(f.journal); i++) {
        dd_journal_commit(f.journal, f.now_ms);
        dd_store_mem_drain(f.mem);
    }
    assert_true(dd_journal_idle(f.journal));
    assert_int_equal(f.journal->tail_records, 0);
    compare_all(&f, f.journal, UINT64_MAX, false);
    compare_restart(&f, false);
    assert_int_equal(f.failures, 0);
    teardown(&f);
}

static void test_random_histories(void **state)
{
    const char *one = getenv("JOURNAL_SEED");

    (void)state;
    if (one) {
        run_seed(strtoull(one, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= 60; seed++) {
        print_message("JOURNAL_SEED=%llu repeats this\n", (unsigned long long)seed);
        run_seed(seed);
    }
}

/* --- single stories ---------------------------------------------------------------------- */

static void settle(struct fixture *f)
{
    dd_journal_commit(f->journal, f->now_ms);
    dd_store_mem_drain(f->mem);
}

static void test_groups_while_in_flight(void **state)
{
    struct fixture f;
    uint64_t first, last;

    (void)state;
    setup(&f, 1, 1000, 1000000);
    settle(&f);
    assert_int_equal(dd_journal_commits(f.journal), 1);
    first = start(&f);
    dd_journal_commit(f.journal, f.now_ms);
    for (int i = 0; i < 9; i++) {
        last = start(&f);
        dd_journal_commit(f.journal, f.now_ms);
    }
    assert_true(dd_journal_durable(f.journal) < first);
    assert_true(dd_store_mem_step(f.mem));
    assert_int_equal(dd_journal_durable(f.journal), first);
    assert_false(dd_journal_idle(f.journal));
    assert_true(dd_store_mem_step(f.mem));
    assert_int_equal(dd_journal_durable(f.journal), last);
    assert_int_equal(dd_journal_commits(f.journal), 3);
    assert_false(dd_store_mem_step(f.mem));
    assert_true(dd_journal_idle(f.journal));
    teardown(&f);
}

static void test_folds_by_count_and_age(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, 1, 5, 1000);
    for (int i = 0; i < 4; i++) {
        (void)start(&f);
        settle(&f);
        assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_HEADS), 0);
    }
    assert_int_equal(dd_journal_next_commit(f.journal), T0 + 1000);
    (void)start(&f);
    settle(&f);
    assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_HEADS), 5);
    assert_int_equal(f.journal->tail.len, 0);
    assert_int_equal(dd_journal_next_commit(f.journal), 0);
    (void)start(&f);
    settle(&f);
    f.now_ms += 999;
    settle(&f);
    assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_HEADS), 5);
    f.now_ms += 1;
    settle(&f);
    assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_HEADS), 6);
    teardown(&f);
}

/* Nothing else wakes an idle journal, so it says when it wants to be. */
static void test_fold_that_met_no_room_is_tried_again(void **state)
{
    struct fixture f;
    struct dd_error error;

    (void)state;
    setup(&f, 1, 5, 1000);
    (void)start(&f);
    settle(&f);
    f.mem->fault = DD_STORE_MEM_FULL;
    f.now_ms = dd_journal_next_commit(f.journal);
    settle(&f);
    assert_int_equal(dd_journal_accepts(f.journal, &error), DD_STORE_FULL);
    f.now_ms = dd_journal_next_commit(f.journal);
    settle(&f);
    assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_HEADS), 1);
    assert_int_equal(dd_journal_accepts(f.journal, &error), 0);
    assert_int_equal(dd_journal_next_commit(f.journal), 0);
    teardown(&f);
}

/* A fold by age waits for a commit of its own. */
static void test_old_tail_rides_with_no_record(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, 1, 5, 1000);
    (void)start(&f);
    settle(&f);
    f.now_ms += 1000;
    (void)start(&f);
    dd_journal_commit(f.journal, f.now_ms);
    assert_true(dd_store_mem_step(f.mem));
    assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_HEADS), 0);
    settle(&f);
    assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_HEADS), 2);
    teardown(&f);
}

static void test_full_is_tried_again(void **state)
{
    struct fixture f;
    struct dd_error error;
    uint64_t position;

    (void)state;
    setup(&f, 1, 2, 1000);
    (void)start(&f);
    settle(&f);
    f.mem->fault = DD_STORE_MEM_FULL;
    f.mem->fault_stays = true;
    position = start(&f);
    settle(&f);
    assert_int_equal(dd_journal_accepts(f.journal, &error), DD_STORE_FULL);
    assert_int_equal(dd_journal_next_commit(f.journal), f.now_ms + DD_STORE_RETRY_MS);
    f.now_ms += DD_STORE_RETRY_MS - 1;
    dd_journal_commit(f.journal, f.now_ms);
    assert_null(f.mem->batch);
    compare_all(&f, f.journal, UINT64_MAX, false);
    f.now_ms += 1;
    dd_journal_commit(f.journal, f.now_ms);
    assert_non_null(f.mem->batch);
    dd_store_mem_drain(f.mem);
    assert_true(dd_journal_durable(f.journal) < position);
    /* A deletion makes room and rides with the next attempt; what is queued
     * meanwhile follows it. */
    f.mem->fault = DD_STORE_MEM_FINE;
    f.mem->fault_stays = false;
    (void)delete (&f, 0);
    (void)start(&f);
    f.now_ms += DD_STORE_RETRY_MS;
    settle(&f);
    assert_true(dd_journal_durable(f.journal) >= position);
    assert_int_equal(dd_journal_accepts(f.journal, &error), 0);
    assert_int_equal(f.failures, 0);
    assert_int_equal(f.mem->faults, 2);
    settle(&f);
    compare_all(&f, f.journal, UINT64_MAX, false);
    compare_restart(&f, false);
    teardown(&f);
}

static void failed_commit(enum dd_store_mem_fault fault)
{
    struct fixture f;
    struct dd_error error;
    uint64_t durable;

    setup(&f, 1, 2, 1000);
    (void)start(&f);
    settle(&f);
    durable = dd_journal_durable(f.journal);
    f.mem->fault = fault;
    (void)start(&f);
    settle(&f);
    assert_int_equal(f.failures, 1);
    assert_int_equal(f.last_status, DD_STORE_FAILED);
    assert_int_equal(dd_journal_durable(f.journal), durable);
    assert_int_equal(dd_journal_accepts(f.journal, &error), DD_STORE_FAILED);
    assert_int_equal(start(&f), 0);
    f.ids_len--;
    settle(&f);
    assert_int_equal(f.failures, 1);
    assert_int_equal(f.mem->faults, 1);
    teardown(&f);
}

static void test_failed_commit_is_final(void **state)
{
    (void)state;
    failed_commit(DD_STORE_MEM_FAIL);
    failed_commit(DD_STORE_MEM_FAIL_LATE);
}

static void test_high_mark(void **state)
{
    struct fixture f;
    struct dd_error error;

    (void)state;
    setup(&f, 1, 100, 1000);
    assert_int_equal(dd_journal_accepts(f.journal, &error), 0);
    f.mem->usage.used_bytes = f.mem->usage.max_bytes / 100 * 91;
    assert_int_equal(dd_journal_accepts(f.journal, &error), DD_STORE_FULL);
    assert_true(start(&f) > 0);
    f.mem->usage.used_bytes = f.mem->usage.max_bytes / 2;
    assert_int_equal(dd_journal_accepts(f.journal, &error), 0);
    f.mem->usage.disk_free_bytes = f.mem->usage.disk_bytes / 100 * 9;
    assert_int_equal(dd_journal_accepts(f.journal, &error), DD_STORE_FULL);
    f.mem->usage.disk_free_bytes = f.mem->usage.disk_bytes / 5;
    assert_int_equal(dd_journal_accepts(f.journal, &error), 0);
    teardown(&f);
}

static void test_founding(void **state)
{
    static const uint8_t other[32] = {9};
    struct dd_journal *journal = NULL;
    struct fixture f;
    struct dd_error error;

    (void)state;
    setup(&f, 1, 100, 1000);
    (void)start(&f);
    settle(&f);
    f.journal->committing = false;
    dd_journal_close(f.journal);
    assert_int_equal(dd_journal_open(&f.config, other, &f.journal, &error), 0);
    assert_memory_equal(dd_journal_secret(f.journal), random_secret, 32);
    dd_journal_close(f.journal);
    /* META is "secret", "version": the order of keys. */
    assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_META), 2);
    dd_store_mem_change(f.mem, DD_TABLE_META, 1, 3, 1);
    assert_int_equal(dd_journal_open(&f.config, other, &journal, &error), DD_STORE_VERSION);
    assert_non_null(strstr(error.text, "version 3"));
    dd_store_mem_change(f.mem, DD_TABLE_META, 1, 3, 1);
    dd_store_mem_delete(f.mem, DD_TABLE_META, 0);
    assert_int_equal(dd_journal_open(&f.config, other, &journal, &error), DD_STORE_CORRUPT);
    dd_store_mem_delete(f.mem, DD_TABLE_META, 0);
    assert_int_equal(dd_journal_open(&f.config, other, &journal, &error), DD_STORE_CORRUPT);
    assert_null(journal);
    dd_store_mem_delete(f.mem, DD_TABLE_JOURNAL, 0);
    f.journal = reopen(&f, f.mem);
    teardown(&f);
}

/* It becomes of this version with the first commit. */
static void test_older_version(void **state)
{
    struct fixture f;
    size_t version;

    (void)state;
    setup(&f, 1, 100, 1000);
    (void)start(&f);
    settle(&f);
    f.journal->committing = false;
    dd_journal_close(f.journal);
    version = dd_store_mem_count(f.mem, DD_TABLE_META) - 1;
    dd_store_mem_change(f.mem, DD_TABLE_META, version, 3, 3);
    f.journal = reopen(&f, f.mem);
    assert_int_equal(dd_store_mem_value(f.mem, DD_TABLE_META, version).data[3], 1);
    settle(&f);
    version = dd_store_mem_count(f.mem, DD_TABLE_META) - 1;
    assert_int_equal(dd_store_mem_value(f.mem, DD_TABLE_META, version).data[3], 2);
    teardown(&f);
}

static void test_functions(void **state)
{
    struct dd_function function = {.timeout_s = 5, .execution_timeout_s = 60, .retention_s = 7};
    const struct dd_function *read;
    struct dd_journal *journal;
    struct fixture f;
    struct dd_error error;
    uint64_t position;

    (void)state;
    setup(&f, 1, 100, 1000);
    function.name = f.functions[0];
    position = dd_journal_register(f.journal, &function);
    assert_true(position > dd_journal_durable(f.journal));
    settle(&f);
    assert_true(position <= dd_journal_durable(f.journal));
    journal = reopen(&f, f.mem);
    read = dd_journal_function(journal, DD_SPAN("order"));
    assert_non_null(read);
    assert_int_equal(read->timeout_s, 5);
    assert_int_equal(read->execution_timeout_s, 60);
    assert_int_equal(read->retention_s, 7);
    assert_null(dd_journal_function(journal, DD_SPAN("nobody")));
    dd_journal_close(journal);
    dd_store_mem_change(f.mem, DD_TABLE_FUNCTIONS, 0, 8, 1);
    assert_int_equal(dd_journal_open(&f.config, random_secret, &journal, &error),
                     DD_STORE_CORRUPT);
    f.config.verify = true;
    journal = reopen(&f, f.mem);
    assert_int_equal(dd_journal_check(journal, ignore_finding, NULL), 1);
    dd_journal_close(journal);
    teardown(&f);
}

/* A large execution goes in steps, from any of which a restart goes on. */
static void test_delete_in_steps(void **state)
{
    struct model_state big;
    struct fixture f;
    size_t steps = 0;

    (void)state;
    setup(&f, 1, 50, 1000);
    (void)start(&f);
    (void)start(&f);
    big = model_state(f.model, f.ids[0], UINT64_MAX);
    for (int i = 0; i < 1500; i++) {
        assert_true(append(&f, &big.head) > 0);
        if (i % 7 == 0)
            settle(&f);
    }
    for (int i = 0; i < 600; i++)
        dd_journal_log(f.journal, f.ids[0], DD_SPAN("a line"));
    f.now_ms += 2000;
    settle(&f);
    assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_LOGS), 600);
    (void)delete (&f, 0);
    assert_int_equal(dd_journal_find(f.journal, dd_text_span(big.head.function),
                                     dd_text_span(big.head.name), &big.head.id),
                     false);
    dd_journal_commit(f.journal, f.now_ms);
    while (dd_store_mem_step(f.mem)) {
        struct dd_store_mem *copy = dd_store_mem_copy(f.mem);
        struct dd_journal *journal;

        compare_restart(&f, false);
        compare_restart(&f, true);
        /* Another process finishes it. */
        journal = reopen(&f, copy);
        dd_journal_commit(journal, f.now_ms);
        dd_store_mem_drain(copy);
        assert_int_equal(dd_store_mem_count(copy, DD_TABLE_REMOVALS), 0);
        assert_int_equal(dd_store_mem_count(copy, DD_TABLE_LOGS), 0);
        assert_int_equal(dd_store_mem_count(copy, DD_TABLE_JOURNAL), 1);
        dd_journal_close(journal);
        dd_store_mem_free(copy);
        steps++;
    }
    assert_true(steps >= 1 + 2101 / DD_REMOVE_ENTRIES_MAX);
    assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_REMOVALS), 0);
    assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_JOURNAL), 1);
    assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_INDEX), 1);
    assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_LOGS), 0);
    teardown(&f);
}

/* --- many timers ------------------------------------------------------------------------- */

static void test_many_due(void **state)
{
    enum { COUNT = 6000 };
    struct dd_facts facts = {0};
    struct fixture f;
    struct dd_uuid id;
    int64_t before = 0;
    size_t popped = 0;

    (void)state;
    setup(&f, 1, 1000, 1000);
    f.journal->due_max = 256;
    for (int i = 0; i < COUNT; i++) {
        struct dd_head head = new_head(&f, new_id(&f));

        f.now_ms = T0 + i;
        head.work = DD_WORK_NONE;
        head.next_due_ms = T0 + 1000000 + (int64_t)dd_rng_below(&f.rng, 1000000);
        assert_true(dd_journal_append(f.journal, &head, &facts, f.now_ms) > 0);
        dd_text_unref(head.name);
        if (i % 100 == 0)
            settle(&f);
        assert_true(f.journal->due.len <= f.journal->due_max);
    }
    settle(&f);
    f.journal->committing = false;
    for (int64_t now = T0 + 1000000; now <= T0 + 2000000; now += 5000) {
        while (dd_journal_pop_due(f.journal, now, &id)) {
            struct dd_head head;

            assert_int_equal(dd_journal_head(f.journal, id, &head, NULL), 0);
            assert_true(head.next_due_ms <= now && head.next_due_ms >= before);
            before = head.next_due_ms;
            head.next_due_ms = 0;
            assert_true(dd_journal_append(f.journal, &head, &facts, now) > 0);
            head_deinit(&head);
            popped++;
            if (popped % 500 == 0)
                settle(&f);
        }
    }
    assert_int_equal(popped, COUNT);
    assert_int_equal(dd_journal_next_due(f.journal), 0);
    teardown(&f);
}

/* --- logs -------------------------------------------------------------------------------- */

struct lines {
    uint64_t first, last;
    size_t count, bytes;
};

static bool see_line(void *user, uint64_t number, struct dd_span line)
{
    struct lines *lines = user;

    if (lines->count++ == 0)
        lines->first = number;
    else
        assert_int_equal(number, lines->last + 1);
    lines->last = number;
    lines->bytes += line.len;
    return true;
}

static struct lines read_lines(struct fixture *f, uint64_t after, uint64_t *out_dropped)
{
    struct lines lines = {0};

    dd_journal_logs(f->journal, f->ids[0], after, see_line, &lines, out_dropped);
    return lines;
}

static void test_logs(void **state)
{
    static char long_line[DD_LOG_LINE_MAX];
    struct fixture f;
    struct lines lines;
    uint64_t dropped;

    (void)state;
    setup(&f, 1, 100, 1000);
    (void)start(&f);
    for (int i = 1; i <= DD_LOG_LINES_MAX + 50; i++) {
        dd_journal_log(f.journal, f.ids[0], DD_SPAN("a line of text"));
        lines = read_lines(&f, (uint64_t)i - 1, &dropped);
        assert_int_equal(lines.count, 1);
        if (i % 1000 == 0) {
            f.now_ms += 1000;
            settle(&f);
        }
    }
    f.now_ms += 1000;
    settle(&f);
    lines = read_lines(&f, 0, &dropped);
    assert_int_equal(dropped, 50);
    assert_int_equal(lines.count, DD_LOG_LINES_MAX);
    assert_int_equal(lines.last, DD_LOG_LINES_MAX + 50);
    /* After a restart the numbers go on. */
    f.journal->committing = false;
    dd_journal_close(f.journal);
    f.journal = reopen(&f, f.mem);
    memset(long_line, 'x', sizeof(long_line));
    for (int i = 0; i < 70; i++) {
        dd_journal_log(f.journal, f.ids[0], dd_span_make(long_line, DD_LOG_LINE_MAX));
        if (i % 8 == 0) {
            f.now_ms += 1000;
            settle(&f);
        }
    }
    f.now_ms += 1000;
    settle(&f);
    lines = read_lines(&f, 0, &dropped);
    assert_int_equal(lines.last, DD_LOG_LINES_MAX + 50 + 70);
    assert_int_equal(lines.bytes, DD_LOG_BYTES_MAX);
    assert_int_equal(lines.count, DD_LOG_BYTES_MAX / DD_LOG_LINE_MAX);
    assert_int_equal(dropped, lines.first - 1);
    lines = read_lines(&f, UINT64_MAX, &dropped);
    assert_int_equal(lines.count, 0);
    teardown(&f);
}

static void test_log_of_nobody(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f, 1, 100, 1000);
    (void)start(&f);
    settle(&f);
    (void)delete (&f, 0);
    dd_journal_log(f.journal, f.ids[0], DD_SPAN("too late"));
    f.now_ms += 5000;
    settle(&f);
    assert_int_equal(dd_store_mem_count(f.mem, DD_TABLE_LOGS), 0);
    teardown(&f);
}

/* Its peer would take a damaged line for the end of the conversation. */
static void test_damaged_log_line_is_left_out(void **state)
{
    struct fixture f;
    struct lines lines;
    uint64_t dropped;

    (void)state;
    setup(&f, 1, 100, 1000);
    (void)start(&f);
    dd_journal_log(f.journal, f.ids[0], DD_SPAN("first"));
    dd_journal_log(f.journal, f.ids[0], DD_SPAN("second"));
    f.now_ms += 2000;
    settle(&f);
    for (size_t at = 0; at < dd_store_mem_value(f.mem, DD_TABLE_LOGS, 0).len; at++) {
        dd_store_mem_change(f.mem, DD_TABLE_LOGS, 0, at, 0x41);
        lines = read_lines(&f, 0, &dropped);
        assert_int_equal(lines.count, 1);
        assert_int_equal(lines.first, 2);
        assert_int_equal(dd_journal_check(f.journal, ignore_finding, NULL), 1);
        dd_store_mem_change(f.mem, DD_TABLE_LOGS, 0, at, 0x41);
    }
    lines = read_lines(&f, 0, &dropped);
    assert_int_equal(lines.count, 2);
    teardown(&f);
}

/* --- damage ------------------------------------------------------------------------------ */

/* Three executions of a few records each. */
static void populate(struct fixture *f, bool folded)
{
    setup(f, 1, 1000, 1000000);
    for (int i = 0; i < 3; i++)
        (void)start(f);
    for (int i = 0; i < 6; i++) {
        struct model_state state = model_state(f->model, f->ids[i % 3], UINT64_MAX);

        /* In the end one is queued, one runs, one waits; all are due some time. */
        state.head.work = (enum dd_work)(i % 3);
        state.head.next_due_ms = T0 + 100 + i;
        assert_true(append(f, &state.head) > 0);
    }
    settle(f);
    if (folded) {
        dd_journal_flush(f->journal);
        settle(f);
        assert_int_equal(f->journal->tail_records, 0);
    }
}

static bool ignore_fact(void *user, const struct dd_fact *fact)
{
    (void)user;
    (void)fact;
    return true;
}

/* How many of the three cannot be read; each such error names its execution. */
static size_t count_unreadable(struct fixture *f, struct dd_journal *journal,
                               struct dd_uuid *out_id)
{
    char text[DD_UUID_TEXT_LEN + 1];
    struct dd_error error;
    size_t count = 0;

    for (size_t i = 0; i < 3; i++) {
        int rc = dd_journal_facts(journal, f->ids[i], 0, ignore_fact, NULL, &error);

        if (rc == 0)
            continue;
        assert_int_equal(rc, DD_STORE_CORRUPT);
        dd_uuid_format(f->ids[i], text);
        assert_non_null(strstr(error.text, text));
        assert_non_null(strstr(error.text, "durabled check"));
        *out_id = f->ids[i];
        count++;
    }
    return count;
}

static struct dd_uuid owner_of(struct dd_store_mem *mem, size_t record)
{
    struct dd_record_header header;
    struct dd_error error;
    struct dd_uuid id;

    assert_int_equal(
        dd_record_header(dd_store_mem_value(mem, DD_TABLE_JOURNAL, record), &header, &error),
        0);
    id = header.head.id;
    head_deinit(&header.head);
    return id;
}

/* Exactly the owner is refused, and the walk over the store says so. */
static void expect_damage(struct fixture *f, struct dd_uuid owner)
{
    struct dd_uuid id = {{0}};
    struct dd_journal *journal = reopen(f, f->mem);

    assert_int_equal(count_unreadable(f, journal, &id), 1);
    assert_int_equal(dd_uuid_compare(id, owner), 0);
    dd_journal_close(journal);
    journal = reopen(f, f->mem);
    assert_true(dd_journal_check(journal, ignore_finding, NULL) > 0);
    dd_journal_close(journal);
}

static void test_changed_record_is_found(void **state)
{
    struct fixture f;

    (void)state;
    populate(&f, true);
    for (size_t i = 0; i < dd_store_mem_count(f.mem, DD_TABLE_JOURNAL); i++) {
        struct dd_uuid owner = owner_of(f.mem, i);
        size_t len = dd_store_mem_value(f.mem, DD_TABLE_JOURNAL, i).len;

        for (size_t at = 0; at < len; at++) {
            uint8_t bits = (uint8_t)(1 + dd_rng_below(&f.rng, 255));

            dd_store_mem_change(f.mem, DD_TABLE_JOURNAL, i, at, bits);
            expect_damage(&f, owner);
            dd_store_mem_change(f.mem, DD_TABLE_JOURNAL, i, at, bits);
        }
    }
    teardown(&f);
}

static void test_missing_record_is_found(void **state)
{
    static const enum dd_table tables[] = {DD_TABLE_JOURNAL, DD_TABLE_INDEX};
    struct dd_store_mem *whole;
    struct fixture f;

    (void)state;
    populate(&f, true);
    whole = f.mem;
    for (size_t t = 0; t < DD_COUNT(tables); t++) {
        for (size_t i = 0; i < dd_store_mem_count(whole, tables[t]); i++) {
            struct dd_uuid owner = tables[t] == DD_TABLE_JOURNAL
                                       ? owner_of(whole, i)
                                       : uuid_at(dd_store_mem_key(whole, tables[t], i).data);

            f.mem = dd_store_mem_copy(whole);
            dd_store_mem_delete(f.mem, tables[t], i);
            expect_damage(&f, owner);
            dd_store_mem_free(f.mem);
        }
    }
    f.mem = whole;
    teardown(&f);
}

static void test_changed_head_is_found(void **state)
{
    struct fixture f;

    (void)state;
    populate(&f, true);
    for (size_t i = 0; i < 3; i++) {
        struct dd_uuid owner = uuid_at(dd_store_mem_key(f.mem, DD_TABLE_HEADS, i).data);
        size_t len = dd_store_mem_value(f.mem, DD_TABLE_HEADS, i).len;

        for (size_t at = 0; at < len; at++) {
            dd_store_mem_change(f.mem, DD_TABLE_HEADS, i, at, 0x41);
            expect_damage(&f, owner);
            dd_store_mem_change(f.mem, DD_TABLE_HEADS, i, at, 0x41);
        }
    }
    teardown(&f);
}

/* What only speeds questions up: the walk finds it. */
static void test_check_compares_every_table(void **state)
{
    static const enum dd_table tables[] = {DD_TABLE_HEADS, DD_TABLE_NAMES, DD_TABLE_DUE,
                                           DD_TABLE_WORK, DD_TABLE_INDEX};
    struct dd_store_mem *whole;
    struct dd_journal *journal;
    struct fixture f;
    char key[64];

    (void)state;
    populate(&f, true);
    whole = f.mem;
    for (size_t t = 0; t < DD_COUNT(tables); t++) {
        assert_true(dd_store_mem_count(whole, tables[t]) > 0);
        for (size_t i = 0; i < dd_store_mem_count(whole, tables[t]); i++) {
            struct dd_span is = dd_store_mem_key(whole, tables[t], i);

            /* Gone; and, a second time, one more beside it. */
            f.mem = dd_store_mem_copy(whole);
            dd_store_mem_delete(f.mem, tables[t], i);
            journal = reopen(&f, f.mem);
            assert_true(dd_journal_check(journal, ignore_finding, NULL) > 0);
            dd_journal_close(journal);
            dd_store_mem_free(f.mem);
            f.mem = dd_store_mem_copy(whole);
            assert_true(is.len <= sizeof(key));
            memcpy(key, is.data, is.len);
            key[is.len - 1] = (char)(key[is.len - 1] ^ 0x40);
            dd_store_mem_put(f.mem, tables[t], dd_span_make(key, is.len),
                             dd_store_mem_value(whole, tables[t], i));
            journal = reopen(&f, f.mem);
            assert_true(dd_journal_check(journal, ignore_finding, NULL) > 0);
            dd_journal_close(journal);
            dd_store_mem_free(f.mem);
        }
    }
    f.mem = whole;
    teardown(&f);
}

/* In the tail a damaged record may be the last one of anybody. */
static void test_damaged_tail_is_refused(void **state)
{
    struct dd_journal *journal = NULL;
    struct dd_error error;
    struct fixture f;

    (void)state;
    populate(&f, false);
    for (size_t i = 0; i < dd_store_mem_count(f.mem, DD_TABLE_JOURNAL); i++) {
        size_t len = dd_store_mem_value(f.mem, DD_TABLE_JOURNAL, i).len;

        for (size_t at = 0; at < len; at += 3) {
            dd_store_mem_change(f.mem, DD_TABLE_JOURNAL, i, at, 0x20);
            f.config.verify = false;
            assert_int_equal(dd_journal_open(&f.config, random_secret, &journal, &error),
                             DD_STORE_CORRUPT);
            assert_non_null(strstr(error.text, "durabled check"));
            f.config.verify = true;
            journal = reopen(&f, f.mem);
            assert_true(dd_journal_check(journal, ignore_finding, NULL) > 0);
            dd_journal_close(journal);
            dd_store_mem_change(f.mem, DD_TABLE_JOURNAL, i, at, 0x20);
        }
    }
    teardown(&f);
}

/* A damaged execution is handed out once, its load tells, and it stays away. */
static void test_damaged_is_not_offered_again(void **state)
{
    struct dd_uuid id, again;
    struct dd_error error;
    struct fixture f;

    (void)state;
    populate(&f, true);
    dd_store_mem_change(f.mem, DD_TABLE_JOURNAL, 1, 30, 1);
    f.journal->committing = false;
    dd_journal_close(f.journal);
    f.journal = reopen(&f, f.mem);
    for (size_t i = 0; i < 3; i++) {
        assert_true(dd_journal_pop_due(f.journal, T0 + 1000, &id));
        if (dd_journal_facts(f.journal, id, 0, ignore_fact, NULL, &error) != 0)
            assert_int_equal(dd_uuid_compare(id, f.ids[1]), 0);
    }
    assert_false(dd_journal_pop_due(f.journal, T0 + 1000, &again));
    assert_int_equal(dd_journal_head(f.journal, f.ids[1], &(struct dd_head){0}, &error),
                     DD_STORE_CORRUPT);
    for (size_t i = 0; i < 3; i++)
        if (dd_journal_next_queued(f.journal, dd_text_span(f.functions[i]), NULL, NULL, &id))
            assert_int_not_equal(dd_uuid_compare(id, f.ids[1]), 0);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_while_in_flight),
        cmocka_unit_test(test_folds_by_count_and_age),
        cmocka_unit_test(test_fold_that_met_no_room_is_tried_again),
        cmocka_unit_test(test_old_tail_rides_with_no_record),
        cmocka_unit_test(test_full_is_tried_again),
        cmocka_unit_test(test_failed_commit_is_final),
        cmocka_unit_test(test_high_mark),
        cmocka_unit_test(test_founding),
        cmocka_unit_test(test_older_version),
        cmocka_unit_test(test_functions),
        cmocka_unit_test(test_delete_in_steps),
        cmocka_unit_test(test_many_due),
        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_log_of_nobody),
        cmocka_unit_test(test_damaged_log_line_is_left_out),
        cmocka_unit_test(test_changed_record_is_found),
        cmocka_unit_test(test_missing_record_is_found),
        cmocka_unit_test(test_changed_head_is_found),
        cmocka_unit_test(test_check_compares_every_table),
        cmocka_unit_test(test_damaged_tail_is_refused),
        cmocka_unit_test(test_damaged_is_not_offered_again),
        cmocka_unit_test(test_random_histories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
