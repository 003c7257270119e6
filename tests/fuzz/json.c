/* JSON from outside: what a function returned, and the event that a client passes on.
 *
 * An output that is no malformed one, written again, is read the same; so is an event. */
#include "codec/json.h"
#include "codec/api.h"

#include "base/limits.h"
#include "tests/fuzz/fuzz.h"

static bool text_equal(const struct dd_text *a, const struct dd_text *b)
{
    return !a == !b && dd_span_equal(dd_text_span(a), dd_text_span(b));
}

static bool error_equal(const struct dd_error_object *a, const struct dd_error_object *b)
{
    if (!a || !b)
        return a == b;
    if (!text_equal(a->message, b->message) || !text_equal(a->type, b->type) ||
        !text_equal(a->data, b->data) || !a->stack != !b->stack || a->stack_len != b->stack_len)
        return false;
    for (uint32_t i = 0; a->stack && b->stack && i < a->stack_len; i++)
        if (!text_equal(a->stack[i], b->stack[i]))
            return false;
    return true;
}

static void check_output(struct dd_span json)
{
    struct dd_outcome outcome, again;

    dd_json_parse_output(json, &outcome);
    if (!outcome.malformed) {
        struct dd_answer answer = {
            .outcome = outcome.status, .payload = outcome.result, .failure = outcome.error};
        struct dd_buf out;

        dd_buf_init(&out, DD_FRAME_MAX);
        dd_json_write_output(&out, &answer);
        dd_assert(!out.failed);
        dd_json_parse_output(dd_buf_span(&out), &again);
        dd_assert(!again.malformed && again.status == outcome.status);
        dd_assert(text_equal(again.result, outcome.result));
        dd_assert(error_equal(again.error, outcome.error));
        dd_outcome_deinit(&again);
        dd_buf_deinit(&out);
    }
    dd_outcome_deinit(&outcome);
}

/* What AWS's API, the Extensions API and an endpoint for keys may answer. */
static void check_answers(struct dd_span json)
{
    struct dd_api_state state = {0};
    struct dd_sandbox_event event;
    struct dd_text *type, *message;
    struct dd_api_keys keys;
    struct dd_error error;
    struct dd_buf packed;

    (void)!dd_api_read_checkpointed(json, &state, &error);
    (void)!dd_api_read_page(json, &state, &error);
    dd_api_state_deinit(&state);
    dd_buf_init(&packed, DD_FRAME_MAX);
    (void)!dd_api_pack(json, &packed, &error);
    dd_buf_deinit(&packed);
    dd_api_read_failure(json, json, &type, &message);
    dd_text_unref(type);
    dd_text_unref(message);
    if (dd_api_read_keys(json, &keys, &error) == 0)
        dd_api_keys_deinit(&keys);
    if (dd_json_parse_sandbox_event(json, &event, &error) == 0)
        dd_sandbox_event_deinit(&event);
}

static void check_event(struct dd_span json)
{
    struct dd_event event, again;
    struct dd_error error;

    if (dd_json_parse_event(json, &event, &error) != 0)
        return;
    if (event.marker) {
        struct dd_envelope envelope = {
            .arn = event.arn, .token = event.token, .marker = event.marker};
        struct dd_buf out;

        dd_buf_init(&out, DD_FRAME_MAX);
        dd_json_write_envelope(&out, &envelope);
        dd_assert(!out.failed);
        dd_assert(dd_json_parse_event(dd_buf_span(&out), &again, &error) == 0);
        dd_assert(text_equal(again.arn, event.arn) && text_equal(again.token, event.token));
        dd_assert(text_equal(again.marker, event.marker) && again.operations_len == 0);
        dd_event_deinit(&again);
        dd_buf_deinit(&out);
    }
    dd_event_deinit(&event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dd_span json = dd_span_make((const char *)data, size);

    check_output(json);
    check_event(json);
    check_answers(json);
    return 0;
}
