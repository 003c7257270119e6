/* The HTTP API's bodies: what a checkpoint says, and answers as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
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

/* --- of the service's client -------------------------------------------------------------- */

/* What the client writes, the service reads as it was. */
static void test_a_checkpoint_there_and_back(void **state)
{
    struct dd_text *lines[] = {dd_text_cstr("l1"), dd_text_cstr("l\n2")};
    struct dd_update updates[6] = {
        {.type = DD_TYPE_STEP, .action = DD_ACTION_RETRY, .has_step_options = true},
        {.type = DD_TYPE_WAIT, .action = DD_ACTION_START, .has_wait_options = true},
        {.type = DD_TYPE_CONTEXT, .action = DD_ACTION_SUCCEED, .has_context_options = true},
        {.type = DD_TYPE_CALLBACK, .action = DD_ACTION_START, .has_callback_options = true},
        {.type = DD_TYPE_CHAINED_INVOKE, .action = DD_ACTION_START, .has_invoke_options = true},
        {.type = DD_TYPE_EXECUTION, .action = DD_ACTION_FAIL},
    };
    struct dd_checkpoint_request request;
    struct dd_violations violations = {0};
    struct dd_error error;
    struct dd_buf json;

    (void)state;
    for (size_t i = 0; i < DD_COUNT(updates); i++)
        updates[i].id = dd_text_cstr("id");
    updates[0].parent_id = dd_text_cstr("p");
    updates[0].name = dd_text_cstr("a \"name\"");
    updates[0].sub_type = dd_text_cstr("Step");
    updates[0].payload = dd_text_new(dd_span_make("x\0\xc3\xa9", 4));
    updates[0].error = dd_error_object_new(DD_SPAN("E"), DD_SPAN("m"));
    updates[0].error->stack = dd_alloc_array(2, sizeof *updates[0].error->stack);
    memcpy(updates[0].error->stack, lines, sizeof lines);
    updates[0].error->stack_len = 2;
    updates[0].next_attempt_delay_s = 3;
    updates[1].wait_s = 31622400;
    updates[2].replay_children = true;
    updates[2].payload = dd_text_cstr("");
    updates[3].heartbeat_timeout_s = 8;
    updates[4].function_name = dd_text_cstr("f:1");
    updates[4].tenant_id = dd_text_cstr("t");
    updates[5].error = dd_error_object_new(DD_SPAN_NONE, DD_SPAN_NONE);
    dd_buf_init(&json, 65536);
    dd_api_write_checkpoint(&json, DD_SPAN("to/k+n="), DD_SPAN("c"), updates,
                            DD_COUNT(updates));
    assert_false(json.failed);
    assert_int_equal(dd_api_read_checkpoint(dd_buf_span(&json), &request, &violations, &error),
                     0);
    assert_int_equal(violations.count, 0);
    assert_string_equal(request.token->data, "to/k+n=");
    assert_string_equal(request.client_token->data, "c");
    assert_int_equal(request.updates_len, DD_COUNT(updates));
    for (size_t i = 0; i < DD_COUNT(updates); i++) {
        const struct dd_update *a = &updates[i], *b = &request.updates[i];

        assert_true(a->type == b->type && a->action == b->action);
        assert_true(dd_text_equal(a->id, b->id) && dd_text_equal(a->parent_id, b->parent_id));
        assert_true(dd_text_equal(a->name, b->name) && dd_text_equal(a->sub_type, b->sub_type));
        assert_true(dd_text_equal(a->payload, b->payload));
        assert_true(a->has_step_options == b->has_step_options &&
                    a->next_attempt_delay_s == b->next_attempt_delay_s);
        assert_true(a->has_wait_options == b->has_wait_options && a->wait_s == b->wait_s);
        assert_true(a->has_context_options == b->has_context_options &&
                    a->replay_children == b->replay_children);
        assert_true(a->has_callback_options == b->has_callback_options &&
                    a->timeout_s == b->timeout_s &&
                    a->heartbeat_timeout_s == b->heartbeat_timeout_s);
        assert_true(a->has_invoke_options == b->has_invoke_options &&
                    dd_text_equal(a->function_name, b->function_name) &&
                    dd_text_equal(a->tenant_id, b->tenant_id));
        assert_true((a->error == NULL) == (b->error == NULL));
        assert_int_equal(dd_error_object_size(a->error), dd_error_object_size(b->error));
    }
    assert_string_equal(request.updates[0].error->stack[1]->data, "l\n2");
    dd_checkpoint_request_deinit(&request);
    for (size_t i = 0; i < DD_COUNT(updates); i++)
        dd_update_deinit(&updates[i]);
    dd_buf_deinit(&json);
}

static void test_answers_of_the_service(void **state)
{
    static const char changed[] =
        "{\"CheckpointToken\":\"t2\",\"NewExecutionState\":{\"NextMarker\":\"m\","
        "\"Operations\":[{\"Id\":\"s\",\"Type\":\"STEP\",\"Status\":\"PENDING\","
        "\"StartTimestamp\":1763647702.345,\"StepDetails\":{\"Attempt\":1,"
        "\"NextAttemptTimestamp\":1763647705,\"Error\":{\"ErrorType\":\"E\"}}}]}}";
    static const char page[] =
        "{\"Operations\":[{\"Id\":\"w\",\"Type\":\"WAIT\",\"Status\":\"SUCCEEDED\","
        "\"EndTimestamp\":1.0009}],\"NextMarker\":null}";
    struct dd_api_state answer = {0};
    struct dd_error error;

    (void)state;
    assert_int_equal(dd_api_read_checkpointed(dd_span_cstr(changed), &answer, &error), 0);
    assert_string_equal(answer.token->data, "t2");
    assert_string_equal(answer.marker->data, "m");
    assert_int_equal(dd_api_read_page(dd_span_cstr(page), &answer, &error), 0);
    assert_null(answer.marker);
    assert_string_equal(answer.token->data, "t2");
    assert_int_equal(answer.operations_len, 2);
    assert_int_equal(answer.operations[0].start_ms, 1763647702345);
    assert_int_equal(answer.operations[0].due_ms, 1763647705000);
    assert_string_equal(answer.operations[0].error->type->data, "E");
    assert_int_equal(answer.operations[1].end_ms, 1001);
    dd_api_state_deinit(&answer);
    assert_int_equal(
        dd_api_read_checkpointed(DD_SPAN("{\"NewExecutionState\":{}}"), &answer, &error), 0);
    assert_null(answer.token);
}

/* None of these may be taken for an answer. */
static void test_what_is_no_answer(void **state)
{
    static const char odd_status[] =
        "{\"NewExecutionState\":{\"Operations\":[{\"Id\":\"a\",\"Type\":\"STEP\","
        "\"Status\":\"DREAMING\"}]}}";
    static const char odd_result[] =
        "{\"NewExecutionState\":{\"Operations\":[{\"Id\":\"a\",\"Type\":\"STEP\","
        "\"Status\":\"SUCCEEDED\",\"StepDetails\":{\"Result\":7}}]}}";
    static const char *const bodies[] = {
        odd_status,
        odd_result,
        "",
        "null",
        "[]",
        "<html>",
        "{}",
        "{\"CheckpointToken\":\"t\"}",
        "{\"CheckpointToken\":1,\"NewExecutionState\":{}}",
        "{\"NewExecutionState\":{\"Operations\":{}}}",
        "{\"NewExecutionState\":{\"NextMarker\":1}}",
        "{\"NewExecutionState\":{\"Operations\":[{\"Id\":\"a\",\"Type\":\"STEP\"}]}}",
        "{\"NewExecutionState\":{\"Operations\":[",
    };
    struct dd_error error;

    (void)state;
    for (size_t i = 0; i < DD_COUNT(bodies); i++) {
        struct dd_api_state answer = {0};

        assert_int_equal(dd_api_read_checkpointed(dd_span_cstr(bodies[i]), &answer, &error),
                         DD_SERIALIZATION);
        dd_api_state_deinit(&answer);
        assert_int_equal(dd_api_read_page(dd_span_cstr(bodies[i]), &answer, &error),
                         DD_SERIALIZATION);
        dd_api_state_deinit(&answer);
    }
}

static void test_failures_of_the_service(void **state)
{
    static const struct {
        struct dd_span header;
        const char *json, *type, *message;
    } cases[] = {
        {DD_SPAN("TooManyRequestsException"), "{\"message\":\"slow\"}",
         "TooManyRequestsException", "slow"},
        {DD_SPAN("ServiceException:http://internal/"), "{\"Message\":\"m\"}",
         "ServiceException", "m"},
        {DD_SPAN_NONE, "{\"__type\":\"com.amazonaws#X\",\"message\":null}", "X", NULL},
        {DD_SPAN_NONE, "{\"code\":\"Y\"}", "Y", NULL},
        {DD_SPAN_NONE, "<html>no</html>", NULL, NULL},
        {DD_SPAN(""), "{\"message\":\"Forbidden\"}", NULL, "Forbidden"},
    };

    (void)state;
    for (size_t i = 0; i < DD_COUNT(cases); i++) {
        struct dd_text *type, *message;

        dd_api_read_failure(cases[i].header, dd_span_cstr(cases[i].json), &type, &message);
        assert_true(dd_span_equal(dd_text_span(type), dd_span_cstr(cases[i].type)));
        assert_true(dd_span_equal(dd_text_span(message), dd_span_cstr(cases[i].message)));
        dd_text_unref(type);
        dd_text_unref(message);
    }
}

static void test_answers_there_and_back(void **state)
{
    static const char json[] =
        "{\"StartTimestamp\":1763647702.045,\"EndTimestamp\":1763647702.999,"
        "\"Text\":\"\\u0000\xc3\xa9\",\"List\":[true,false,null,-1,{}],\"Id\":17}";
    struct dd_buf packed, again;
    struct dd_error error;

    (void)state;
    dd_buf_init(&packed, 1000);
    dd_buf_init(&again, 1000);
    assert_int_equal(dd_api_pack(dd_span_cstr(json), &packed, &error), 0);
    dd_api_write(&again, dd_buf_span(&packed), DD_API_SECONDS);
    assert_true(dd_span_is(dd_buf_span(&again), json));
    /* Whole seconds, a time that no calendar has, and what is no time. */
    dd_buf_clear(&packed);
    dd_buf_clear(&again);
    assert_int_equal(dd_api_pack(DD_SPAN("{\"ATimestamp\":7,\"BTimestamp\":1e300,"
                                         "\"CTimestamp\":-1,\"DTimestamp\":\"x\"}"),
                                 &packed, &error),
                     0);
    dd_api_write(&again, dd_buf_span(&packed), DD_API_MILLISECONDS);
    assert_true(dd_span_is(dd_buf_span(&again), "{\"ATimestamp\":7000,\"BTimestamp\":0,"
                                                "\"CTimestamp\":0,\"DTimestamp\":\"x\"}"));
    dd_buf_deinit(&packed);
    assert_int_equal(dd_api_pack(DD_SPAN("[]"), &packed, &error), DD_SERIALIZATION);
    dd_buf_init(&packed, 10);
    assert_int_equal(dd_api_pack(dd_span_cstr(json), &packed, &error), DD_NO_MEMORY);
    dd_buf_deinit(&packed);
    dd_buf_deinit(&again);
}

static void test_keys_of_an_endpoint(void **state)
{
    static const char json[] = "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\","
                               "\"Token\":\"T\",\"Expiration\":\"2026-01-02T03:04:05Z\"}";
    struct dd_api_keys keys;
    struct dd_error error;

    (void)state;
    assert_int_equal(dd_api_read_keys(dd_span_cstr(json), &keys, &error), 0);
    assert_string_equal(keys.access_key->data, "A");
    assert_string_equal(keys.token->data, "T");
    assert_int_equal(keys.expires_ms, 1767323045000);
    dd_api_keys_deinit(&keys);
    assert_int_equal(dd_api_read_keys(DD_SPAN("{\"AccessKeyId\":\"A\"}"), &keys, &error),
                     DD_SERIALIZATION);
    assert_int_equal(dd_api_read_keys(DD_SPAN("no"), &keys, &error), DD_SERIALIZATION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_checkpoint),
        cmocka_unit_test(test_members_of_another_type),
        cmocka_unit_test(test_enums_are_gathered),
        cmocka_unit_test(test_an_error_object_alone),
        cmocka_unit_test(test_answers_are_json),
        cmocka_unit_test(test_a_checkpoint_there_and_back),
        cmocka_unit_test(test_answers_of_the_service),
        cmocka_unit_test(test_what_is_no_answer),
        cmocka_unit_test(test_failures_of_the_service),
        cmocka_unit_test(test_answers_there_and_back),
        cmocka_unit_test(test_keys_of_an_endpoint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
