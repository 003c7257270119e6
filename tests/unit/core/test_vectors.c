/* Operation ids and retry delays against proto/vectors/ids.json and retries.json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/session/session_priv.h"
#include "tests/lib/vectors.h"

static const char *text_of(const json_t *map, const char *key)
{
    return json_string_value(json_object_get(map, key));
}

static double real_of(const json_t *map, const char *key)
{
    return json_real_value(json_object_get(map, key));
}

/* --- ids --------------------------------------------------------------------------------- */

/* The id at the end of the path, each context before it opened on the way. */
static struct dd_text *id_at(const struct dd_profile *profile, const json_t *path)
{
    struct dd_text *prefix = NULL, *id = NULL;
    json_t *place;
    size_t i;

    json_array_foreach(path, i, place)
    {
        uint32_t position = (uint32_t)json_integer_value(place);
        struct dd_text *inside;

        dd_text_unref(id);
        id = dd_operation_id(profile, dd_text_span(prefix), position);
        inside = context_prefix(profile, id, dd_text_span(prefix), position);
        dd_text_unref(prefix);
        prefix = inside;
    }
    dd_text_unref(prefix);
    return id;
}

static void test_ids(void **state)
{
    json_t *vectors = vectors_load("ids.json"), *vector;
    size_t i;

    (void)state;
    json_array_foreach(json_object_get(vectors, "ids"), i, vector)
    {
        const struct dd_profile *profile =
            dd_profile_find(dd_span_cstr(text_of(vector, "profile")));
        struct dd_text *id;

        assert_non_null(profile);
        id = id_at(profile, json_object_get(vector, "path"));
        assert_string_equal(id->data, text_of(vector, "id"));
        dd_text_unref(id);
    }
    json_decref(vectors);
}

/* --- retries ----------------------------------------------------------------------------- */

static struct dd_retry read_retry(const json_t *map)
{
    const char *jitter = text_of(map, "jitter");

    return (struct dd_retry){
        .max_attempts = (uint32_t)json_integer_value(json_object_get(map, "max_attempts")),
        .backoff = strcmp(text_of(map, "backoff"), "linear") == 0 ? DD_BACKOFF_LINEAR
                                                                  : DD_BACKOFF_EXPONENTIAL,
        .jitter = strcmp(jitter, "FULL") == 0   ? DD_JITTER_FULL
                  : strcmp(jitter, "HALF") == 0 ? DD_JITTER_HALF
                                                : DD_JITTER_NONE,
        .initial_delay_s = real_of(map, "initial_delay_s"),
        .max_delay_s = real_of(map, "max_delay_s"),
        .rate = real_of(map, "rate"),
        .increment_s = real_of(map, "increment_s")};
}

static void test_retries(void **state)
{
    json_t *vectors = vectors_load("retries.json"), *vector;
    size_t i;

    (void)state;
    json_array_foreach(json_object_get(vectors, "retries"), i, vector)
    {
        struct dd_retry retry = read_retry(json_object_get(vector, "retry"));
        bool up = strcmp(text_of(vector, "rounding"), "ceil") == 0;
        int64_t attempt = json_integer_value(json_object_get(vector, "attempt")),
                delay = json_integer_value(json_object_get(vector, "delay_s"));

        if (dd_retry_delay(&retry, up ? DD_DELAY_CEIL : DD_DELAY_ROUND, (uint32_t)attempt,
                           real_of(vector, "unit")) != delay)
            fail_msg("retries[%zu]: no %lld s", i, (long long)delay);
    }
    json_decref(vectors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_retries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
