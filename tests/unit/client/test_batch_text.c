/* The texts that are recorded of batches: written and read back, and read from what
 * nobody wrote. */
#include "batch_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"

#define PAYLOAD "{\"a\": [\"]}\\\"\", 1]}"

static struct durabled_text text(const char *data)
{
    return (struct durabled_text){(char *)(uintptr_t)data, strlen(data)};
}

/* One of each status, the failure with all that one may have. */
static struct durabled_batch_result sample(enum durabled_reason reason)
{
    static char *stack[] = {(char *)"a \"b\"", (char *)"c\\d\ne\tf"};
    static struct durabled_item items[] = {
        {DURABLED_ITEM_SUCCEEDED, {.payload = {(char *)PAYLOAD, sizeof PAYLOAD - 1}}},
        {DURABLED_ITEM_FAILED,
         {.failure = {.type = (char *)"E",
                      .message = (char *)"say \"no\"\x01 \xc3\xa4",
                      .stack_trace = stack,
                      .stack_trace_len = 2}}},
        {DURABLED_ITEM_STARTED, {{0}, {0}}},
        {DURABLED_ITEM_SUCCEEDED, {{0}, {0}}},
    };
    struct durabled_batch_result result = {.reason = reason, .items = items, .len = 4};

    batch_count(&result);
    return result;
}

static void test_result_is_read_back(void **state)
{
    struct durabled_batch_result written = sample(DURABLED_FAILURE_TOLERANCE_EXCEEDED),
                                 read = {0};
    const struct durabled_failure *failure;
    struct durabled_text json;

    (void)state;
    assert_true(batch_write(&written, &json));
    assert_true(json_is_value(json));
    assert_int_equal(batch_read(json, &read), DURABLED_OK);
    assert_int_equal(read.len, 4);
    assert_int_equal(read.reason, DURABLED_FAILURE_TOLERANCE_EXCEEDED);
    assert_int_equal(read.status, DURABLED_FAILED);
    for (size_t i = 0; i < read.len; i++)
        assert_int_equal(read.items[i].status, written.items[i].status);
    assert_string_equal(read.items[0].result.payload.data, PAYLOAD);
    assert_null(read.items[3].result.payload.data);
    failure = &read.items[1].result.failure;
    assert_string_equal(failure->type, "E");
    assert_string_equal(failure->message, "say \"no\"\x01 \xc3\xa4");
    assert_null(failure->data);
    assert_int_equal(failure->stack_trace_len, 2);
    assert_string_equal(failure->stack_trace[1], "c\\d\ne\tf");
    durabled_batch_clear(&read);
    free(json.data);
}

static void test_what_is_no_result(void **state)
{
    static const char *const texts[] = {
        "",
        "null",
        "[]",
        "{\"all\": []}",
        "{\"completionReason\": \"ALL_COMPLETED\"}",
        "{\"all\": [], \"completionReason\": \"WHIM\"}",
        "{\"all\": [{\"status\": \"ODD\"}], \"completionReason\": \"ALL_COMPLETED\"}",
        "{\"all\": [{\"status\": \"FAILED\", \"error\": {\"StackTrace\": [\"a\", \"\\u0",
    };
    struct durabled_batch_result result = {0};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(batch_read(text(texts[i]), &result), DURABLED_PROTOCOL);
        assert_null(result.items);
    }
}

static void test_status(void **state)
{
    (void)state;
    assert_int_equal(sample(DURABLED_ALL_COMPLETED).status, DURABLED_FAILED);
    assert_int_equal(sample(DURABLED_CUSTOM_COMPLETION_SUCCEEDED).status, DURABLED_OK);
    assert_int_equal(sample(DURABLED_CUSTOM_COMPLETION_FAILED).status, DURABLED_FAILED);
}

static void test_summary_is_read_back(void **state)
{
    struct durabled_batch_result written = sample(DURABLED_MIN_SUCCESSFUL_REACHED);
    enum durabled_reason reason;
    struct durabled_text json;
    char *letters;
    size_t len;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_true(batch_write_summary(&written, "MapResult", &json));
        assert_non_null(strstr(json.data, i == 0 ? "\"startedIndexes\": [2]"
                                                 : "\"completedIndexes\": [1]"));
        assert_int_equal(batch_read_summary(json, 9, &letters, &len, &reason), DURABLED_OK);
        assert_int_equal(reason, DURABLED_MIN_SUCCESSFUL_REACHED);
        assert_int_equal(len, written.len);
        assert_memory_equal(letters, i == 0 ? "SSTS" : "TST", len);
        free(letters);
        assert_int_equal(batch_read_summary(json, 2, &letters, &len, &reason),
                         DURABLED_PROTOCOL);
        free(json.data);
        /* Now most of them have not ended. */
        written.len = 3;
        written.items[0].status = DURABLED_ITEM_STARTED;
        batch_count(&written);
    }
    written.items[0].status = DURABLED_ITEM_SUCCEEDED;
}

static void test_what_is_no_summary(void **state)
{
    static const char *const texts[] = {
        "",
        "{}",
        "{\"totalCount\": 1, \"completionReason\": \"ALL_COMPLETED\"}",
        "{\"totalCount\": 1, \"startedIndexes\": []}",
        "{\"totalCount\": -1, \"completionReason\": \"ALL_COMPLETED\", \"startedIndexes\": []}",
        "{\"totalCount\": 1, \"completionReason\": \"ALL_COMPLETED\", \"startedIndexes\": [1]}",
        "{\"totalCount\": 1, \"completionReason\": \"ALL_COMPLETED\", \"startedIndexes\": [x]}",
    };
    enum durabled_reason reason;
    char *letters;
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(batch_read_summary(text(texts[i]), 9, &letters, &len, &reason),
                         DURABLED_PROTOCOL);
}

static void test_values(void **state)
{
    static const char *const values[] = {"1",          " -1.5e3 ",        "true",
                                         "\"a\\\"b\"", "[1, {\"]\": 2}]", "{}"};
    static const char *const others[] = {"",  " ",           "1 2", "\"a",   "[1",
                                         "]", "{\"a\": 1}}", "a:b", "\"a\\", "1,"};

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_true(json_is_value(text(values[i])));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(json_is_value(text(others[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_result_is_read_back),
        cmocka_unit_test(test_what_is_no_result),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_summary_is_read_back),
        cmocka_unit_test(test_what_is_no_summary),
        cmocka_unit_test(test_values),
    };

    return cmocka_run_group_tests_name("batch_text", tests, NULL, NULL);
}
