/* What concerns an execution as a whole: quotas, budget of invocations, jitter,
 * paging, memory. Its stories are in tests/trace/service. */
#include <stdio.h>

#include "base/limits.h"
#include "base/rng.h"
#include "tests/unit/core/service_test.h"

static void operations_beyond_the_quota_close_it(void **state)
{
    struct story story;
    struct dd_head head;

    (void)state;
    story_init(&story);
    story.config.operations_max = 2;
    tell(&story,
         "start|invoke|checkpoint STEP START a ; STEP START b|checkpoint STEP SUCCEED a|"
         "checkpoint client=c STEP SUCCEED b ; STEP START c");
    dd_execution_head(story.execution, &head);
    assert_int_equal(head.status, DD_EXECUTION_FAILED);
    assert_string_equal(dd_execution_error(story.execution)->message->data,
                        "An execution may have at most 2 operations.");
    assert_null(story.token);
    tell(&story, "return FAILED");
    story_deinit(&story);
}

static void bytes_beyond_the_quota_close_it(void **state)
{
    struct story story;
    struct dd_head head;

    (void)state;
    story_init(&story);
    story.config.bytes_max = 100;
    tell(&story, "start input=*40|invoke|checkpoint STEP SUCCEED a payload=*60|"
                 "checkpoint STEP START b");
    dd_execution_head(story.execution, &head);
    assert_int_equal(head.status, DD_EXECUTION_RUNNING);
    tell(&story, "checkpoint STEP SUCCEED b payload=x");
    dd_execution_head(story.execution, &head);
    assert_int_equal(head.status, DD_EXECUTION_FAILED);
    story_deinit(&story);
}

static void failures_close_it_when_there_is_a_budget(void **state)
{
    struct story story;
    struct dd_head head;

    (void)state;
    story_init(&story);
    story.config.invocation_retries = 3;
    tell(&story,
         "start|invoke|crash E:1|at 10|due|invoke|checkpoint WAIT START w wait=1|"
         "return PENDING|at 20|due|invoke|crash E:1|at 30|due|invoke|crash E:2|at 40|due|"
         "invoke");
    dd_execution_head(story.execution, &head);
    assert_int_equal(head.work, DD_WORK_RUNNING);
    tell(&story, "crash E:3");
    dd_execution_head(story.execution, &head);
    assert_int_equal(head.status, DD_EXECUTION_FAILED);
    assert_string_equal(dd_execution_error(story.execution)->message->data, "3");
    story_deinit(&story);
}

/* The delay in ms before the retry after `failures` crashes in a row. */
static int64_t delay_after(uint32_t failures, const char *unit)
{
    struct story story;
    struct dd_standing standing;
    char command[64];

    story_init(&story);
    tell(&story, "start|invoke");
    for (uint32_t i = 1; i < failures; i++) {
        snprintf(command, sizeof(command), "crash E:|at %u|due|invoke", i * 100);
        tell(&story, command);
    }
    snprintf(command, sizeof(command), "crash E: unit=%s", unit);
    tell(&story, command);
    dd_execution_standing(story.execution, &standing);
    assert_int_equal(standing.failures, failures);
    story_deinit(&story);
    return standing.retry_ms - story.now_ms;
}

static void retries_back_off_to_a_minute(void **state)
{
    (void)state;
    assert_int_equal(delay_after(1, "0.5"), 1000);
    assert_int_equal(delay_after(2, "0.5"), 2000);
    assert_int_equal(delay_after(6, "0.5"), 32000);
    assert_int_equal(delay_after(7, "0.5"), 60000);
    assert_int_equal(delay_after(40, "0.5"), 60000);
    assert_int_equal(delay_after(1, "0"), 900);
    assert_in_range(delay_after(7, "0.999999"), 65990, 66000);
}

/* Reads the whole state in pages; returns how many pages it took. */
static size_t read_pages(struct story *story, size_t items_max, size_t *out_items,
                         size_t *out_largest)
{
    struct dd_text *marker = NULL;
    size_t pages = 0;

    *out_items = *out_largest = 0;
    do {
        struct dd_page page;
        struct dd_error error;
        int rc = dd_execution_state(
            story->execution, dd_text_span(dd_execution_arn(story->execution)),
            dd_text_span(story->token), dd_text_span(marker), items_max, &page, &error);

        assert_int_equal(rc, 0);
        assert_true(page.operations_len > 0);
        *out_items += page.operations_len;
        if (page.operations_len > *out_largest)
            *out_largest = page.operations_len;
        dd_text_set(&marker, page.next_marker);
        dd_page_deinit(&page);
        pages++;
    } while (marker);
    return pages;
}

static void pages_are_bounded_by_items_and_bytes(void **state)
{
    struct story story;
    char command[64];
    size_t items, largest;

    (void)state;
    story_init(&story);
    story.config.operations_max = 3000;
    tell(&story, "start input=*3000000|invoke");
    for (int i = 0; i < 250; i++) {
        snprintf(command, sizeof(command), "checkpoint STEP SUCCEED s%d", i);
        tell(&story, command);
    }
    /* The input alone is more than a page; the rest fits by bytes. */
    assert_int_equal(read_pages(&story, 1000, &items, &largest), 2);
    assert_int_equal(items, 251);
    assert_int_equal(read_pages(&story, 0, &items, &largest), 1 + 3);
    assert_int_equal(largest, DD_PAGE_ITEMS_DEFAULT);
    assert_int_equal(read_pages(&story, 1, &items, &largest), 251);
    assert_int_equal(items, 251);
    story_deinit(&story);
}

/* Cancels waits in an order unlike that of their due times; story_run() checks the
 * heap after each. What is left fires in order. */
static void timers_are_taken_out_anywhere(void **state)
{
    struct story story;
    struct dd_rng rng;
    char command[64];

    (void)state;
    dd_rng_seed(&rng, 7);
    story_init(&story);
    tell(&story, "start|invoke");
    for (int i = 0; i < 200; i++) {
        snprintf(command, sizeof(command), "checkpoint WAIT START w%d wait=%d", i,
                 (int)dd_rng_below(&rng, 1000) + 1);
        tell(&story, command);
    }
    for (int i = 0; i < 200; i += 2) {
        snprintf(command, sizeof(command), "checkpoint WAIT CANCEL w%d", (i * 77) % 200);
        tell(&story, command);
    }
    tell(&story, "at 2000|due");
    assert_int_equal(story.facts.items[story.facts.len - 1].kind, DD_FACT_WAIT_SUCCEEDED);
    for (size_t i = story.facts.len - 99; i < story.facts.len; i++)
        assert_true(story.facts.items[i - 1].delay_s <= story.facts.items[i].delay_s);
    story_deinit(&story);
}

static void memory_per_operation_is_small(void **state)
{
    struct story story;
    size_t before;
    char command[8000];
    int len;

    (void)state;
    story_init(&story);
    tell(&story, "start|invoke");
    before = dd_execution_memory(story.execution);
    for (int batch = 0; batch < 5; batch++) {
        len = snprintf(command, sizeof(command), "checkpoint STEP START a%d sub=Step", batch);
        for (int i = 1; i < 100; i++)
            len += snprintf(command + len, sizeof(command) - (size_t)len,
                            " ; STEP START b%d-%d sub=Step", batch, i);
        tell(&story, command);
    }
    assert_in_range((dd_execution_memory(story.execution) - before) / 500, 120, 300);
    story_deinit(&story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_beyond_the_quota_close_it),
        cmocka_unit_test(bytes_beyond_the_quota_close_it),
        cmocka_unit_test(failures_close_it_when_there_is_a_budget),
        cmocka_unit_test(retries_back_off_to_a_minute),
        cmocka_unit_test(pages_are_bounded_by_items_and_bytes),
        cmocka_unit_test(timers_are_taken_out_anywhere),
        cmocka_unit_test(memory_per_operation_is_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
