/* The HTTP API's bodies: what a checkpoint says, and answers as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/api.h"
#include "codec/pack.h"

static void test_a_whole_checkpoint(void **state)
{
    static const char json[] =
        "{\"CheckpointToken\": \"T\", \"ClientToken\": \"c\", \"Odd\": [1], \"Updates\": ["
        "{\"Id\": \"a\", \"Type\": \"STEP\", \"Action\": \"RETRY\", \"ParentId\": \"p\","
        " \"Name\": \"n\", \"SubType\": \"Step\", \"Payload\": \"x\\u0000y\","
        " \"Error\": {\"ErrorType\": \"E\", \"StackTrace\": [\"l1\", \"l2\"]},"
        " \"StepOptions\": {\"NextAttemptDelaySeconds\": 3}, \"WaitOptions\": null},"
        "{\"Id\": \"b\", \"Type\": \"WAIT\", \"Action\": \"START\","
        " \"WaitOptions\": {\"WaitSeconds\": 9}},"
        "{\"Id\": \"c\", \"Type\": \"CONTEXT\", \"Action\": \"SUCCEED\","
        " \"ContextOptions\": {\"ReplayChildren\": true}},"
        "{\"Id\": \"d\", \"Type\": \"CALLBACK\", \"Action\": \"START\","
        " \"CallbackOptions\": {\"TimeoutSeconds\": 7, \"HeartbeatTimeoutSeconds\": 8}},"
        "{\"Id\": \"e\", \"Type\": \"CHAINED_INVOKE\", \"Action\": \"START\","
        " \"ChainedInvokeOptions\": {\"FunctionName\": \"f\", \"TenantId\": \"t\"}}]}";
    struct dd_checkpoint_request request;
    struct dd_violations violations = {0};
    const struct dd_update *update;
    struct dd_error error;

    (void)state;
    assert_int_equal(dd_api_read_checkpoint(dd_span_cstr(json), &request, &violations, &error),
                     0);
    assert_int_equal(violations.count, 0);
    assert_string_equal(request.token->data, "T");
    assert_string_equal(request.client_token->data, "c");
    assert_int_equal(request.updates_len, 5);
    update = &request.updates[0];
    assert_int_equal(update->type, DD_TYPE_STEP);
    assert_int_equal(update->action, DD_ACTION_RETRY);
    assert_string_equal(update->id->data, "a");
    assert_string_equal(update->parent_id->data, "p");
    assert_string_equal(update->name->data, "n");
    assert_string_equal(update->sub_type->data, "Step");
    assert_int_equal(update->payload->len, 3);
    assert_string_equal(update->error->type->data, "E");
    assert_null(update->error->message);
    assert_int_equal(update->error->stack_len, 2);
    assert_true(update->has_step_options && update->next_attempt_delay_s == 3);
    assert_false(update->has_wait_options);
    assert_true(request.updates[1].has_wait_options && request.updates[1].wait_s == 9);
    assert_true(request.updates[2].has_context_options && request.updates[2].replay_children);
    update = &request.updates[3];
    assert_true(update->has_callback_options && update->timeout_s == 7 &&
                update->heartbeat_timeout_s == 8);
    update = &request.updates[4];
    assert_true(update->has_invoke_options);
    assert_string_equal(update->function_name->data, "f");
    assert_string_equal(update->tenant_id->data, "t");
    dd_checkpoint_request_deinit(&request);
}

/* A wrong type anywhere refuses the whole, and leaves nothing to free twice. */
static void test_members_of_another_type(void **state)
{
    static const struct {
        const char *json, *text;
    } cases[] = {
        {"", "the request body is no JSON"},
        {"7", "the request body: NUMBER_VALUE can not be converted to Structure"},
        {"{\"CheckpointToken\": {}}",
         "checkpointToken: START_OBJECT can not be converted to String"},
        {"{\"Updates\": {}}", "updates: START_OBJECT can not be converted to List"},
        {"{\"Updates\": [{\"Id\": \"a\"}, {\"Id\": true}]}",
         "updates.2.member.id: TRUE_VALUE can not be converted to String"},
        {"{\"Updates\": [{\"Error\": \"e\"}]}",
         "updates.1.member.error: STRING_VALUE can not be converted to Structure"},
        {"{\"Updates\": [{\"Error\": {\"StackTrace\": [\"a\", 7]}}]}",
         "updates.1.member.stackTrace: NUMBER_VALUE can not be converted to String"},
        {"{\"Updates\": [{\"WaitOptions\": {\"WaitSeconds\": 1.5}}]}",
         "updates.1.member.waitSeconds: NUMBER_VALUE can not be converted to Integer"},
        {"{\"Updates\": [{\"ContextOptions\": {\"ReplayChildren\": 1}}]}",
         "updates.1.member.replayChildren: NUMBER_VALUE can not be converted to Boolean"},
    };

    (void)state;
    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        struct dd_checkpoint_request request;
        struct dd_violations violations = {0};
        struct dd_error error;

        assert_int_equal(
            dd_api_read_checkpoint(dd_span_cstr(cases[i].json), &request, &violations, &error),
            DD_SERIALIZATION);
        if (strncmp(error.text, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("'%s': %s", cases[i].json, error.text);
        dd_checkpoint_request_deinit(&request);
    }
}

static void test_enums_are_gathered(void **state)
{
    static const char json[] =
        "{\"Updates\": [{\"Type\": \"STOP\"}, {\"Type\": \"STEP\", \"Action\": \"start\"}]}";
    struct dd_checkpoint_request request;
    struct dd_violations violations = {0};
    struct dd_error error;

    (void)state;
    assert_int_equal(dd_api_read_checkpoint(dd_span_cstr(json), &request, &violations, &error),
                     0);
    assert_int_equal(violations.count, 3);
    assert_string_equal(
        violations.text,
        "Value 'STOP' at 'updates.1.member.type' failed to satisfy constraint: Member must "
        "satisfy enum value set: [EXECUTION, CONTEXT, STEP, WAIT, CALLBACK, CHAINED_INVOKE]; "
        "Value null at 'updates.1.member.action' failed to satisfy constraint: Member must not "
        "be null; Value 'start' at 'updates.2.member.action' failed to satisfy constraint: "
        "Member must satisfy enum value set: [START, SUCCEED, FAIL, RETRY, CANCEL]");
    dd_checkpoint_request_deinit(&request);
}

static void test_an_error_object_alone(void **state)
{
    struct dd_error_object *object;
    struct dd_error error;

    (void)state;
    assert_int_equal(dd_api_read_error(DD_SPAN(""), &object, &error), 0);
    assert_null(object);
    assert_int_equal(dd_api_read_error(DD_SPAN("{}"), &object, &error), 0);
    assert_non_null(object);
    assert_null(object->message);
    dd_error_object_unref(object);
    assert_int_equal(dd_api_read_error(DD_SPAN("null"), &object, &error), DD_SERIALIZATION);
    assert_int_equal(dd_api_read_error(DD_SPAN("{\"ErrorData\": []}"), &object, &error),
                     DD_SERIALIZATION);
    assert_null(object);
}

static void test_answers_are_json(void **state)
{
    struct dd_buf packed, json;
    msgpack_packer packer;

    (void)state;
    dd_buf_init(&packed, 1000);
    dd_buf_init(&json, 1000);
    dd_pack_init(&packer, &packed);
    msgpack_pack_map(&packer, 6);
    dd_pack_cstr(&packer, "Text");
    dd_pack_span(&packer, DD_SPAN("\"\\\n\x00\x1f/\xc3\xa9"));
    dd_pack_cstr(&packer, "StartTimestamp");
    msgpack_pack_int64(&packer, 1763647702045);
    dd_pack_cstr(&packer, "EndTimestamp");
    msgpack_pack_int64(&packer, 7);
    dd_pack_cstr(&packer, "EventId");
    msgpack_pack_int64(&packer, 1763647702045);
    dd_pack_cstr(&packer, "List");
    msgpack_pack_array(&packer, 3);
    dd_pack_bool(&packer, 1);
    msgpack_pack_int64(&packer, -1);
    msgpack_pack_map(&packer, 0);
    dd_pack_cstr(&packer, "Timestamps");
    msgpack_pack_int64(&packer, 1);
    dd_api_write(&json, dd_buf_span(&packed), DD_API_SECONDS);
    assert_false(json.failed);
    assert_true(dd_span_is(
        dd_buf_span(&json),
        "{\"Text\":\"\\\"\\\\\\u000a\\u0000\\u001f/\xc3\xa9\","
        "\"StartTimestamp\":1763647702.045,\"EndTimestamp\":0.007,\"EventId\":1763647702045,"
        "\"List\":[true,-1,{}],\"Timestamps\":1}"));
    dd_buf_clear(&json);
    dd_api_write(&json, dd_buf_span(&packed), DD_API_MILLISECONDS);
    assert_non_null(strstr(json.data, "\"StartTimestamp\":1763647702045,\"EndTimestamp\":7,"));
    dd_buf_clear(&json);
    dd_api_write(&json, dd_span_make(packed.data, packed.len - 1), DD_API_SECONDS);
    assert_true(json.failed);
    dd_buf_deinit(&packed);
    dd_buf_deinit(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_checkpoint),
        cmocka_unit_test(test_members_of_another_type),
        cmocka_unit_test(test_enums_are_gathered),
        cmocka_unit_test(test_an_error_object_alone),
        cmocka_unit_test(test_answers_are_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
