/* Frames and calls against proto/vectors/frames.json: what a client sends is read, what it
 * is sent is written, and bytes that no stream may go on after are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/frame.h"
#include "codec/rpc.h"
#include "tests/lib/vectors.h"

/* Bytes before the result of an answer whose id is below 128: the array, 1, id, nil. */
#define ANSWER_HEAD 4

static const char *text_of(const json_t *map, const char *key)
{
    return json_string_value(json_object_get(map, key));
}

static void assert_span(struct dd_span span, const json_t *text)
{
    assert_non_null(span.data);
    assert_int_equal(span.len, json_string_length(text));
    assert_memory_equal(span.data, json_string_value(text), span.len);
}

/* --- the scanner ------------------------------------------------------------------------- */

/* Byte by byte; the result of the last one that was taken. */
static int feed(const uint8_t *bytes, size_t len)
{
    struct dd_frame frame;
    size_t consumed;
    int rc = DD_FRAME_MORE;

    dd_frame_init(&frame);
    for (size_t i = 0; i < len && rc == DD_FRAME_MORE; i++) {
        rc = dd_frame_feed(&frame, dd_span_make(bytes + i, 1), &consumed);
        if (rc == DD_FRAME_COMPLETE)
            assert_int_equal(i, len - 1);
    }
    return rc;
}

static void test_frames(void **state)
{
    json_t *vectors = vectors_load("frames.json"), *vector;
    size_t i;

    (void)state;
    json_array_foreach(json_object_get(vectors, "frames"), i, vector)
    {
        bool refused = json_is_true(json_object_get(vector, "refused"));
        size_t len;
        uint8_t *bytes = vectors_bytes(json_object_get(vector, "hex"), &len);

        if (feed(bytes, len) != (refused ? (int)DD_PROTOCOL : DD_FRAME_COMPLETE))
            fail_msg("%s", text_of(vector, "doc"));
        free(bytes);
    }
    json_decref(vectors);
}

/* --- calls ------------------------------------------------------------------------------- */

static void check_map(struct dd_params *params, const json_t *wanted);

static void check_array(struct dd_params *params, const char *name, const json_t *wanted)
{
    struct dd_array array;
    struct dd_error error;
    json_t *item;
    size_t i;

    assert_int_equal(dd_params_array(params, name, DD_REQUIRED, 100, &array, &error), 0);
    assert_int_equal(array.len, json_array_size(wanted));
    json_array_foreach(wanted, i, item)
    {
        int64_t number;

        if (!json_is_integer(item))
            continue;
        assert_true(dd_array_int(&array, i, 0, INT64_MAX, &number));
        assert_int_equal(number, json_integer_value(item));
    }
}

static void check_member(struct dd_params *params, const char *name, const json_t *wanted)
{
    struct dd_error error;
    struct dd_params map;
    struct dd_span text;
    int64_t integer;
    double number;
    bool given;

    if (json_is_string(wanted)) {
        assert_int_equal(dd_params_text(params, name, DD_REQUIRED, &text, &error), 0);
        assert_span(text, wanted);
    } else if (json_is_integer(wanted)) {
        assert_int_equal(
            dd_params_int(params, name, DD_REQUIRED, 0, INT64_MAX, &integer, &error), 0);
        assert_int_equal(integer, json_integer_value(wanted));
    } else if (json_is_real(wanted)) {
        assert_int_equal(dd_params_float(params, name, DD_REQUIRED, &number, &error), 0);
        assert_true(number == json_real_value(wanted));
    } else if (json_is_object(wanted)) {
        assert_int_equal(dd_params_map(params, name, DD_REQUIRED, &map, &given, &error), 0);
        check_map(&map, wanted);
    } else if (json_is_array(wanted)) {
        check_array(params, name, wanted);
    } else {
        assert_true(json_is_null(wanted));
        assert_int_equal(dd_params_text(params, name, DD_OPTIONAL, &text, &error), 0);
        assert_null(text.data);
    }
}

static void check_map(struct dd_params *params, const json_t *wanted)
{
    const char *name;
    json_t *member;

    json_object_foreach((json_t *)(uintptr_t)wanted, name, member)
        check_member(params, name, member);
}

static void check_call(struct dd_span bytes, const json_t *message)
{
    bool request = json_integer_value(json_array_get(message, 0)) == 0;
    const json_t *method = json_array_get(message, request ? 2 : 1),
                 *params = json_array_get(message, request ? 3 : 2);
    struct dd_error error;
    struct dd_rpc rpc;

    assert_int_equal(dd_rpc_parse(bytes, &rpc, &error), 0);
    assert_int_equal(rpc.kind, request ? DD_RPC_REQUEST : DD_RPC_NOTIFICATION);
    if (request)
        assert_int_equal(rpc.id, json_integer_value(json_array_get(message, 1)));
    assert_span(rpc.method, method);
    check_map(&rpc.params, json_array_get(params, 0));
    dd_rpc_deinit(&rpc);
}

static enum dd_code code_named(const char *name)
{
#define X(symbol, value, wire, retryable, status) \
    if (strcmp(name, wire) == 0)                  \
        return DD_##symbol;
    DD_ERROR_TABLE(X)
#undef X
    fail_msg("no error is named %s", name);
    return DD_OK;
}

static void check_answer(struct dd_span bytes, const json_t *message)
{
    uint64_t id = (uint64_t)json_integer_value(json_array_get(message, 1));
    const json_t *refusal = json_array_get(message, 2);
    struct dd_error error;
    struct dd_buf out;

    dd_buf_init(&out, SIZE_MAX);
    if (json_is_object(refusal)) {
        dd_fail(&error, code_named(text_of(refusal, "code")), "%s",
                text_of(refusal, "message"));
        dd_rpc_write_error(&out, id, &error, text_of(refusal, "field"));
    } else {
        dd_rpc_write_result(&out, id,
                            dd_span_make(bytes.data + ANSWER_HEAD, bytes.len - ANSWER_HEAD));
    }
    assert_true(dd_span_equal(dd_buf_span(&out), bytes));
    dd_buf_deinit(&out);
}

static void test_messages(void **state)
{
    json_t *vectors = vectors_load("frames.json"), *vector;
    size_t i;

    (void)state;
    json_array_foreach(json_object_get(vectors, "frames"), i, vector)
    {
        const json_t *message = json_object_get(vector, "message");
        size_t len;
        uint8_t *bytes = vectors_bytes(json_object_get(vector, "hex"), &len);

        if (message && json_integer_value(json_array_get(message, 0)) == 1)
            check_answer(dd_span_make(bytes, len), message);
        else if (message)
            check_call(dd_span_make(bytes, len), message);
        free(bytes);
    }
    json_decref(vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
