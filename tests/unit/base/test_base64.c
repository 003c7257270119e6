/* Base64: RFC 4648, section 10, and one text for one value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/rng.h"

static const struct {
    const char *data, *text;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff\xbf", "+/+/"},
};

static void test_vectors(void **state)
{
    struct dd_buf buf;

    (void)state;
    dd_buf_init(&buf, 100);
    for (size_t i = 0; i < DD_COUNT(vectors); i++) {
        dd_buf_clear(&buf);
        dd_base64_encode(dd_span_cstr(vectors[i].data), &buf);
        assert_true(dd_span_is(dd_buf_span(&buf), vectors[i].text));
        dd_buf_clear(&buf);
        assert_true(dd_base64_decode(dd_span_cstr(vectors[i].text), &buf));
        assert_true(dd_span_is(dd_buf_span(&buf), vectors[i].data));
    }
    dd_buf_deinit(&buf);
}

static void test_any_bytes(void **state)
{
    struct dd_buf text, data;
    struct dd_rng rng;
    char bytes[200];

    (void)state;
    dd_rng_seed(&rng, 1);
    dd_buf_init(&text, 1000);
    dd_buf_init(&data, 1000);
    for (size_t len = 0; len < sizeof bytes; len++) {
        dd_rng_fill(&rng, bytes, len);
        dd_buf_clear(&text);
        dd_buf_clear(&data);
        dd_base64_encode(dd_span_make(bytes, len), &text);
        assert_int_equal(text.len, (len + 2) / 3 * 4);
        assert_true(dd_base64_decode(dd_buf_span(&text), &data));
        assert_true(dd_span_equal(dd_buf_span(&data), dd_span_make(bytes, len)));
    }
    dd_buf_deinit(&text);
    dd_buf_deinit(&data);
}

static void test_refuses(void **state)
{
    static const char *const bad[] = {
        "Z",        "Zg",       "Zg=",  "====",     "Z===",       "Zg==Zg==", "Zm9v=",
        "Zm 9",     "Zm9v\n",   "Zm9-", "Zm9_",     "Zg=A",       "Zh==",     "Zm9=",
        "Zm9vYg=x", "Zm9vZm9?", "=m9v", "Zm9v====", "\xc3\xa9YQ",
    };
    struct dd_buf buf;

    (void)state;
    dd_buf_init(&buf, 100);
    dd_buf_append_cstr(&buf, "kept");
    for (size_t i = 0; i < DD_COUNT(bad); i++) {
        assert_false(dd_base64_decode(dd_span_cstr(bad[i]), &buf));
        assert_true(dd_span_is(dd_buf_span(&buf), "kept"));
    }
    assert_false(dd_base64_decode(DD_SPAN("Zm9\0"), &buf));
    dd_buf_deinit(&buf);
}

static void test_maximum(void **state)
{
    struct dd_buf buf;

    (void)state;
    dd_buf_init(&buf, 2);
    assert_false(dd_base64_decode(DD_SPAN("Zm9v"), &buf));
    assert_true(buf.failed);
    dd_buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_maximum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
