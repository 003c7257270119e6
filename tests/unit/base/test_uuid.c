/* UUIDs as RFC 9562 writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/uuid.h"

/* The example of RFC 9562, appendix A.6: 2022-02-22T19:22:22Z. */
static const uint8_t v7_random[10] = {0x0c, 0xc3, 0x18, 0xc4, 0xdc,
                                      0x0c, 0x0c, 0x07, 0x39, 0x8f};

static void assert_text(struct dd_uuid uuid, const char *expected)
{
    char text[DD_UUID_TEXT_LEN + 1];

    dd_uuid_format(uuid, text);
    assert_string_equal(text, expected);
}

static void test_v7(void **state)
{
    (void)state;
    assert_text(dd_uuid_v7(0x017f22e279b0, v7_random), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    assert_text(dd_uuid_v7(0, v7_random), "00000000-0000-7cc3-98c4-dc0c0c07398f");
}

static void test_v7_sorts_by_time(void **state)
{
    static const uint8_t high[10] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    static const uint8_t low[10] = {0};

    (void)state;
    for (int64_t now_ms = 1; now_ms < INT64_C(1) << 48; now_ms *= 2)
        assert_true(dd_uuid_compare(dd_uuid_v7(now_ms - 1, high), dd_uuid_v7(now_ms, low)) < 0);
}

static void test_v4(void **state)
{
    uint8_t random[16];

    (void)state;
    memset(random, 0xff, sizeof random);
    assert_text(dd_uuid_v4(random), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    memset(random, 0, sizeof random);
    assert_text(dd_uuid_v4(random), "00000000-0000-4000-8000-000000000000");
}

static void test_parse(void **state)
{
    struct dd_uuid uuid;

    (void)state;
    assert_true(dd_uuid_parse(DD_SPAN("017F22E2-79b0-7CC3-98c4-dc0c0c07398f"), &uuid));
    assert_text(uuid, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

static void test_parse_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
        "017f22e279b07cc398c4dc0c0c07398f",
        "017f22e2_79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e27-9b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}",
        "017f22e2-79b0-7cc3-98c4- c0c0c07398f",
    };
    struct dd_uuid uuid = {{9}};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(dd_uuid_parse(dd_span_cstr(bad[i]), &uuid));
    assert_false(dd_uuid_parse(DD_SPAN_NONE, &uuid));
    assert_false(dd_uuid_parse(DD_SPAN("017f22e2-79b0-7cc3-98c4-dc0c0c07398\0"), &uuid));
    assert_int_equal(uuid.bytes[0], 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v7),
        cmocka_unit_test(test_v7_sorts_by_time),
        cmocka_unit_test(test_v4),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
