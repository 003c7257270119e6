/* Folding facts: what cannot follow is refused, and whatever happens, in any
 * order, the fold of all facts equals the execution that lived through it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "tests/unit/core/service_test.h"

/* --- facts that cannot follow ------------------------------------------------------------ */

/* Folds a copy of the story's facts after `spoil` changed fact `at`; it must be
 * refused there, not before. */
static void spoiled(size_t at, void (*spoil)(struct dd_fact *fact))
{
    struct story story;
    struct dd_execution *execution;
    struct dd_fact fact;
    struct dd_error error;
    int rc = 0;

    story_init(&story);
    tell(&story, "at 1|start timeout=9|invoke|checkpoint client=c WAIT START w wait=1 ; "
                 "STEP START s|return PENDING|at 3|due|invoke");
    execution = dd_execution_new(&story.config);
    assert_true(at < story.facts.len);
    for (size_t i = 0; i < at; i++)
        assert_int_equal(dd_execution_apply(execution, &story.facts.items[i], &error), 0);
    fact = story.facts.items[at];
    spoil(&fact);
    rc = dd_execution_apply(execution, &fact, &error);
    assert_int_equal(rc, DD_STORE_CORRUPT);
    /* A refused fact changes nothing: the true one still follows. */
    assert_int_equal(dd_execution_apply(execution, &story.facts.items[at], &error), 0);
    dd_execution_free(execution);
    story_deinit(&story);
}

static void event_skipped(struct dd_fact *fact)
{
    fact->event_id++;
}
static void event_missing(struct dd_fact *fact)
{
    fact->event_id = 0;
}
static void event_unasked(struct dd_fact *fact)
{
    fact->event_id = 4;
}
static void time_backwards(struct dd_fact *fact)
{
    fact->time_ms = 1;
}
static void kind_unknown(struct dd_fact *fact)
{
    fact->kind = (enum dd_fact_kind)99;
    fact->event_id = 0;
}
static void started_again(struct dd_fact *fact)
{
    fact->kind = DD_FACT_EXECUTION_STARTED;
}
static void id_missing(struct dd_fact *fact)
{
    fact->id = NULL;
}
static void type_wrong(struct dd_fact *fact)
{
    fact->type = DD_TYPE_CONTEXT;
}
static void due_missing(struct dd_fact *fact)
{
    fact->due_ms = 0;
}
static void parent_unknown(struct dd_fact *fact)
{
    fact->parent_id = fact->id;
}
static void succeeded_early(struct dd_fact *fact)
{
    fact->time_ms = STORY_EPOCH_MS + 1999;
}
static void token_skipped(struct dd_fact *fact)
{
    fact->token_seq++;
}
static void invocation_skipped(struct dd_fact *fact)
{
    fact->invocation++;
}
static void request_unknown(struct dd_fact *fact)
{
    fact->request_id = NULL;
}
static void cancelled_for_started(struct dd_fact *fact)
{
    fact->kind = DD_FACT_WAIT_CANCELLED;
}

static void what_cannot_follow_is_refused(void **state)
{
    (void)state;
    spoiled(0, event_skipped);
    spoiled(0, event_missing);
    spoiled(0, id_missing);
    spoiled(0, kind_unknown);
    spoiled(1, invocation_skipped);
    spoiled(1, event_unasked);
    spoiled(1, request_unknown);
    spoiled(2, event_skipped);
    spoiled(2, time_backwards);
    spoiled(2, kind_unknown);
    spoiled(2, started_again);
    spoiled(2, id_missing);
    spoiled(2, type_wrong);
    spoiled(2, due_missing);
    spoiled(2, parent_unknown);
    spoiled(2, cancelled_for_started);
    spoiled(4, token_skipped);
    spoiled(5, request_unknown);
    spoiled(6, succeeded_early);
    spoiled(6, type_wrong);
}

/* --- random stories ---------------------------------------------------------------------- */

static const char *const ids[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
static const char *const types[] = {"STEP",    "STEP", "CONTEXT",  "WAIT",
                                    "CONTEXT", "STEP", "CALLBACK", "CHAINED_INVOKE"};
static const char *const verbs[] = {"START", "START", "SUCCEED", "FAIL", "RETRY", "CANCEL"};

static const char *pick(struct dd_rng *rng, const char *const *from, size_t count)
{
    return from[dd_rng_below(rng, count)];
}

/* An update that is often legal: the type of an id is fixed by the story's seed. */
static int random_update(struct dd_rng *rng, uint64_t seed, char *out, size_t size)
{
    size_t id = dd_rng_below(rng, DD_COUNT(ids));
    const char *type = types[(seed >> id) % DD_COUNT(types)];
    const char *verb = pick(rng, verbs, DD_COUNT(verbs));
    const char *options = "";

    if (strcmp(verb, "RETRY") == 0)
        options = dd_rng_below(rng, 2) ? "delay=2 error=E:again" : "delay=1 payload=kept";
    else if (strcmp(verb, "SUCCEED") == 0)
        options = dd_rng_below(rng, 2) ? "payload=done" : "payload=big replay=1";
    else if (strcmp(verb, "FAIL") == 0)
        options = "error=E:failed";
    else if (strcmp(type, "WAIT") == 0)
        options = dd_rng_below(rng, 2) ? "wait=1" : "wait=4";
    else if (strcmp(type, "CALLBACK") == 0)
        options = dd_rng_below(rng, 2) ? "timeout=3 heartbeat=1" : "heartbeat=2";
    else if (strcmp(type, "CHAINED_INVOKE") == 0)
        options = dd_rng_below(rng, 3) ? "function=payment" : "function=missing";
    return snprintf(out, size, "%s %s %s sub=%s %s", type, verb, ids[id], type, options);
}

static void random_checkpoint(struct dd_rng *rng, uint64_t seed, char *out, size_t size)
{
    size_t len =
        (size_t)snprintf(out, size, "checkpoint client=c%d", (int)dd_rng_below(rng, 2));
    uint64_t updates = dd_rng_below(rng, 4);

    if (dd_rng_below(rng, 10) == 0)
        len += (size_t)snprintf(out + len, size - len, " token=spent");
    for (uint64_t i = 0; i < updates; i++) {
        len += (size_t)snprintf(out + len, size - len, "%s ", i > 0 ? " ;" : "");
        len += (size_t)random_update(rng, seed, out + len, size - len);
    }
    if (dd_rng_below(rng, 60) == 0)
        snprintf(out + len, size - len, "%s EXECUTION SUCCEED x payload=end",
                 updates > 0 ? " ;" : "");
}

/* What the outside says of an operation that may wait for it. */
static void random_answer(struct dd_rng *rng, char *out, size_t size)
{
    static const char *const answers[] = {
        "callback succeed %s result=1", "callback fail %s error=E:no",
        "callback heartbeat %s",        "chained %s SUCCEEDED result=1",
        "chained %s FAILED error=E:no", "chained %s TIMED_OUT",
        "chained %s STOPPED",
    };
    const char *answer = pick(rng, answers, DD_COUNT(answers));
    const char *at = strstr(answer, "%s");

    snprintf(out, size, "%.*s%s%s", (int)(at - answer), answer, pick(rng, ids, DD_COUNT(ids)),
             at + 2);
}

static void random_end(struct dd_rng *rng, char *out, size_t size)
{
    static const char *const ends[] = {
        "return PENDING",
        "return PENDING",
        "return PENDING",
        "return PENDING",
        "crash E:crashed",
        "crash E:again unit=0",
        "release",
        "release",
        "return SUCCEEDED result=1",
        "return FAILED error=E:f",
        "return malformed",
    };

    snprintf(out, size, "%s", pick(rng, ends, DD_COUNT(ends)));
}

static void random_command(struct dd_rng *rng, struct story *story, uint64_t seed, char *out,
                           size_t size)
{
    struct dd_head head;
    uint64_t roll = dd_rng_below(rng, 100);

    dd_execution_head(story->execution, &head);
    if (roll < 20) {
        int64_t step_ms = (int64_t)dd_rng_below(rng, 2500) - 300;

        snprintf(out, size, "at %.3f",
                 (double)(story->now_ms + step_ms - STORY_EPOCH_MS) / 1000.0);
    } else if (roll < 40) {
        snprintf(out, size, "due");
    } else if (roll < 42) {
        snprintf(out, size, "stop");
    } else if (roll < 50) {
        random_answer(rng, out, size);
    } else if (head.work == DD_WORK_QUEUED) {
        snprintf(out, size, "invoke");
    } else if (head.work == DD_WORK_RUNNING && roll < 60) {
        random_end(rng, out, size);
    } else if (roll < 64) {
        snprintf(out, size, "state max=3");
    } else {
        random_checkpoint(rng, seed, out, size);
    }
}

/* How often the random stories met what they are for. */
struct met {
    size_t facts[100];
    size_t refused, answered_again, closed_running;
};

static void random_story(uint64_t seed, struct met *met)
{
    struct story story;
    struct dd_rng rng;
    char command[1024];
    struct dd_buf out;

    dd_rng_seed(&rng, seed);
    dd_buf_init(&out, 16u * 1024 * 1024);
    story_init(&story);
    snprintf(story.label, sizeof(story.label), "DD_SEED=%" PRIu64, seed);
    story.config.operations_max = 7;
    story.now_ms += 1000000;
    story_run(&story, "start timeout=8 retention=5", &out);
    for (int i = 0; i < 60; i++) {
        size_t facts = story.facts.len;
        struct dd_head head;

        random_command(&rng, &story, seed * 0x9e3779b97f4a7c15u, command, sizeof(command));
        story_run(&story, command, &out);
        dd_execution_head(story.execution, &head);
        met->refused += story.rc != 0;
        met->answered_again += story.rc == 0 && story.facts.len == facts &&
                               strncmp(command, "checkpoint", 10) == 0;
        met->closed_running +=
            head.status > DD_EXECUTION_RUNNING && head.work == DD_WORK_RUNNING;
        if (head.status > DD_EXECUTION_RUNNING && head.work == DD_WORK_NONE)
            break;
    }
    for (size_t i = 0; i < story.facts.len; i++)
        met->facts[story.facts.items[i].kind]++;
    story_deinit(&story);
    dd_buf_deinit(&out);
}

/* story_run() checks invariants and compares with the fold after every command. */
static void the_fold_equals_the_live_execution(void **state)
{
    const char *seed = getenv("DD_SEED");
    struct met met = {0};

    (void)state;
    if (seed) {
        random_story(strtoull(seed, NULL, 10), &met);
        return;
    }
    for (uint64_t i = 1; i <= 2000; i++) {
        random_story(i, &met);
    }
#define X(symbol, number, name)           \
    if (met.facts[DD_FACT_##symbol] == 0) \
        fail_msg("no random story has a fact " #symbol);
    DD_FACTS(X)
#undef X
    assert_true(met.refused > 1000);
    assert_true(met.answered_again > 100);
    assert_true(met.closed_running > 100);
    print_message("refused %zu, answered again %zu, closed while running %zu\n", met.refused,
                  met.answered_again, met.closed_running);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_follow_is_refused),
        cmocka_unit_test(the_fold_equals_the_live_execution),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
