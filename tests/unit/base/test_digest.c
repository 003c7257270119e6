/* Digests beside published vectors, and operation ids as the official SDKs make them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "tests/lib/abort.h"

/* Ids of the Python SDK's scheme: root operations 1 and 2, the first in the child
 * context of 1, branch 0 of 1, the first in that branch. */
static void test_blake2b_operation_ids(void **state)
{
    char root[65], id[65], key[80];

    (void)state;
    dd_blake2b512_hex(DD_SPAN("2"), 64, id);
    assert_string_equal(id, "c5faca15ac2f93578b39ef4b6bbb871b"
                            "dedce4ddd584fd31f0bb66fade3947e6");
    dd_blake2b512_hex(DD_SPAN("1"), 64, root);
    assert_string_equal(root, "1ced8f5be2db23a6513eba4d819c7380"
                              "6424748a7bc6fa0d792cc1c7d1775a97");
    snprintf(key, sizeof key, "%s-1", root);
    dd_blake2b512_hex(dd_span_cstr(key), 64, id);
    assert_string_equal(id, "974bfc6321e227b0ff101342eaf19b33"
                            "6f002dc6cc99c18f0941a7755cc20fc4");
    snprintf(key, sizeof key, "%s-0", root);
    dd_blake2b512_hex(dd_span_cstr(key), 64, id);
    assert_string_equal(id, "1712f93e2f51df042e2b933907d75acc"
                            "fe34a48fe4a42a24e0b08131bc72d591");
    snprintf(key, sizeof key, "%s-1", id);
    dd_blake2b512_hex(dd_span_cstr(key), 64, id);
    assert_string_equal(id, "48550629202cb2d0e1bd4f07d826361b"
                            "bd2defa71565264c01647fc2da0e9b1e");
}

/* RFC 7693, appendix A. */
static void test_blake2b_whole(void **state)
{
    char hex[129];

    (void)state;
    dd_blake2b512_hex(DD_SPAN("abc"), 128, hex);
    assert_string_equal(hex,
                        "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                        "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923");
}

static void test_sha256_and_md5(void **state)
{
    char hex[65];

    (void)state;
    dd_sha256_hex(DD_SPAN("1"), 64, hex);
    assert_string_equal(hex, "6b86b273ff34fce19d6b804eff5a3f57"
                             "47ada4eaa22f1d49c01e52ddb7875b4b");
    dd_sha256_hex(DD_SPAN(""), 64, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb924"
                             "27ae41e4649b934ca495991b7852b855");
    dd_md5_hex(DD_SPAN("1"), 16, hex);
    assert_string_equal(hex, "c4ca4238a0b92382");
    dd_md5_hex(DD_SPAN("1-1"), 16, hex);
    assert_string_equal(hex, "ea66c06c1e1c05fa");
    dd_md5_hex(DD_SPAN(""), 32, hex);
    assert_string_equal(hex, "d41d8cd98f00b204e9800998ecf8427e");
}

static void test_truncation_stays_inside(void **state)
{
    char hex[8];

    (void)state;
    memset(hex, '#', sizeof hex);
    dd_md5_hex(DD_SPAN("1"), 4, hex);
    assert_memory_equal(hex, "c4ca\0###", 8);
    dd_md5_hex(DD_SPAN("1"), 0, hex);
    assert_string_equal(hex, "");
}

static void body_too_long(void *arg)
{
    char hex[65];

    (void)arg;
    dd_md5_hex(DD_SPAN("1"), 64, hex);
}

static void test_no_more_than_there_is(void **state)
{
    (void)state;
    assert_true(dd_test_aborts(body_too_long, NULL));
}

/* RFC 4231, test cases 1 and 6: a key shorter than a block, and a longer one. */
static void test_hmac(void **state)
{
    static const uint8_t expected[32] = {0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53,
                                         0x5c, 0xa8, 0xaf, 0xce, 0xaf, 0x0b, 0xf1, 0x2b,
                                         0x88, 0x1d, 0xc2, 0x00, 0xc9, 0x83, 0x3d, 0xa7,
                                         0x26, 0xe9, 0x37, 0x6c, 0x2e, 0x32, 0xcf, 0xf7};
    static const uint8_t longer[32] = {0x60, 0xe4, 0x31, 0x59, 0x1e, 0xe0, 0xb6, 0x7f,
                                       0x0d, 0x8a, 0x26, 0xaa, 0xcb, 0xf5, 0xb7, 0x7f,
                                       0x8e, 0x0b, 0xc6, 0x21, 0x37, 0x28, 0xc5, 0x14,
                                       0x05, 0x46, 0x04, 0x0f, 0x0e, 0xe3, 0x7f, 0x54};
    uint8_t key[131];
    uint8_t mac[32];

    (void)state;
    memset(key, 0xaa, sizeof key);
    dd_hmac_sha256(dd_span_make(key, sizeof key),
                   DD_SPAN("Test Using Larger Than Block-Size Key - Hash Key First"), mac);
    assert_memory_equal(mac, longer, 32);
    memset(key, 0x0b, 20);
    dd_hmac_sha256(dd_span_make(key, 20), DD_SPAN("Hi There"), mac);
    assert_memory_equal(mac, expected, 32);
    assert_int_equal(dd_secret_compare(mac, expected, 32), 0);
    mac[31] ^= 1;
    assert_int_not_equal(dd_secret_compare(mac, expected, 32), 0);
    assert_int_equal(dd_secret_compare(mac, expected, 31), 0);
}

/* Stored records carry it, so it may never change. */
static void test_checksum(void **state)
{
    (void)state;
    assert_true(dd_checksum64(DD_SPAN("")) == UINT64_C(0x2d06800538d394c2));
    assert_true(dd_checksum64(DD_SPAN_NONE) == UINT64_C(0x2d06800538d394c2));
    assert_true(dd_checksum64(DD_SPAN("durabled")) == UINT64_C(0x2ac77f8a00b8ed84));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blake2b_operation_ids),
        cmocka_unit_test(test_blake2b_whole),
        cmocka_unit_test(test_sha256_and_md5),
        cmocka_unit_test(test_truncation_stays_inside),
        cmocka_unit_test(test_no_more_than_there_is),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_checksum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
