#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "core/model.h"
#include "core/service/fact.h"

static void names_go_there_and_back(void **state)
{
    (void)state;
#define X(symbol, name)                                                  \
    assert_string_equal(dd_operation_type_name(DD_TYPE_##symbol), name); \
    assert_int_equal(dd_operation_type_parse(DD_SPAN(name)), DD_TYPE_##symbol);
    DD_OPERATION_TYPES(X)
#undef X
#define X(symbol, name)                                            \
    assert_string_equal(dd_action_name(DD_ACTION_##symbol), name); \
    assert_int_equal(dd_action_parse(DD_SPAN(name)), DD_ACTION_##symbol);
    DD_ACTIONS(X)
#undef X
#define X(symbol, name)                                                      \
    assert_string_equal(dd_operation_status_name(DD_STATUS_##symbol), name); \
    assert_int_equal(dd_operation_status_parse(DD_SPAN(name)), DD_STATUS_##symbol);
    DD_OPERATION_STATUSES(X)
#undef X
#define X(symbol, name)                                                         \
    assert_string_equal(dd_execution_status_name(DD_EXECUTION_##symbol), name); \
    assert_int_equal(dd_execution_status_parse(DD_SPAN(name)), DD_EXECUTION_##symbol);
    DD_EXECUTION_STATUSES(X)
#undef X
    assert_int_equal(dd_operation_type_parse(DD_SPAN("")), DD_TYPE_NONE);
    assert_string_equal(dd_operation_type_name(DD_TYPE_NONE), "");
    assert_string_equal(dd_operation_type_name((enum dd_operation_type)7), "");
    assert_string_equal(dd_execution_status_name((enum dd_execution_status)77), "");
    assert_int_equal(dd_action_parse(DD_SPAN("start")), DD_ACTION_NONE);
    assert_int_equal(dd_operation_status_parse(DD_SPAN_NONE), DD_STATUS_NONE);
    assert_int_equal(dd_execution_status_parse(DD_SPAN("PAUSED")), DD_EXECUTION_NONE);
}

static void terminal_statuses(void **state)
{
    (void)state;
    assert_false(dd_operation_status_terminal(DD_STATUS_NONE));
    assert_false(dd_operation_status_terminal(DD_STATUS_STARTED));
    assert_false(dd_operation_status_terminal(DD_STATUS_PENDING));
    assert_false(dd_operation_status_terminal(DD_STATUS_READY));
    assert_true(dd_operation_status_terminal(DD_STATUS_SUCCEEDED));
    assert_true(dd_operation_status_terminal(DD_STATUS_STOPPED));
}

static void error_size_is_that_of_compact_json(void **state)
{
    static const char empty[] = "{}";
    static const char both[] = "{\"ErrorMessage\":\"a\\\"b\\n\\u0001\",\"ErrorType\":\"T\"}";
    static const char all[] = "{\"ErrorMessage\":\"m\",\"ErrorType\":\"T\",\"ErrorData\":\"\","
                              "\"StackTrace\":[\"a\",\"b\"]}";
    struct dd_error_object *error = dd_error_object_new(DD_SPAN_NONE, DD_SPAN_NONE);
    struct dd_text **stack;

    (void)state;
    assert_int_equal(dd_error_object_size(NULL), 0);
    assert_int_equal(dd_error_object_size(error), sizeof(empty) - 1);
    dd_error_object_unref(error);

    error = dd_error_object_new(DD_SPAN("T"), DD_SPAN("a\"b\n\x01"));
    assert_int_equal(dd_error_object_size(error), sizeof(both) - 1);
    dd_error_object_unref(error);

    stack = dd_alloc_array(2, sizeof(*stack));
    stack[0] = dd_text_cstr("a");
    stack[1] = dd_text_cstr("b");
    error =
        dd_error_object_take(dd_text_cstr("T"), dd_text_cstr("m"), dd_text_cstr(""), stack, 2);
    assert_int_equal(dd_error_object_size(error), sizeof(all) - 1);
    dd_error_object_unref(error);
}

static void copies_share_texts(void **state)
{
    struct dd_operation from = {.type = DD_TYPE_STEP,
                                .id = dd_text_cstr("s1"),
                                .result = dd_text_cstr("1"),
                                .error = dd_error_object_new(DD_SPAN("T"), DD_SPAN_NONE)};
    struct dd_operation to;

    (void)state;
    dd_operation_copy(&to, &from);
    assert_ptr_equal(to.id, from.id);
    assert_int_equal(from.id->refs, 2);
    assert_int_equal(from.error->refs, 2);
    dd_operation_deinit(&from);
    assert_string_equal(to.id->data, "s1");
    assert_string_equal(to.error->type->data, "T");
    dd_operation_deinit(&to);
    assert_null(to.id);
}

static void facts_know_their_events(void **state)
{
    (void)state;
    assert_string_equal(dd_fact_event_type(DD_FACT_WAIT_SUCCEEDED), "WaitSucceeded");
    assert_null(dd_fact_event_type(DD_FACT_CHECKPOINTED));
    assert_null(dd_fact_event_type((enum dd_fact_kind)9999));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_there_and_back),
        cmocka_unit_test(terminal_statuses),
        cmocka_unit_test(error_size_is_that_of_compact_json),
        cmocka_unit_test(copies_share_texts),
        cmocka_unit_test(facts_know_their_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
