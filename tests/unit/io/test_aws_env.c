/* Where AWS's keys are asked for, with what, and which host a region names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/aws_env.h"

#define FULL "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define RELATIVE "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define TOKEN "AWS_CONTAINER_AUTHORIZATION_TOKEN"
#define TOKEN_FILE "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"

static int setup(void **state)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID", FULL, RELATIVE, TOKEN, TOKEN_FILE};

    (void)state;
    for (size_t i = 0; i < DD_COUNT(names); i++)
        assert_int_equal(unsetenv(names[i]), 0);
    return 0;
}

static void set(const char *name, const char *value)
{
    assert_int_equal(setenv(name, value, 1), 0);
}

/* Whether keys are asked for there. */
static bool asks(const char *variable, const char *uri)
{
    struct dd_aws_env env;
    struct dd_error error;
    bool asked;

    set(variable, uri);
    asked = dd_aws_env_read(&env, &error) == 0;
    assert_int_equal(asked, env.keys_url != NULL);
    if (env.keys_url)
        assert_non_null(strstr(env.keys_url, uri));
    dd_aws_env_deinit(&env);
    assert_int_equal(unsetenv(variable), 0);
    return asked;
}

static void test_keys_are_asked_for_on_this_machine_and_of_agents(void **state)
{
    static const char *const good[] = {
        "https://keys.test/a",        "http://localhost",         "http://localhost:80/a@b",
        "http://127.0.0.1:4242/keys", "http://[::1]:4242?a=b",    "http://169.254.170.2/v2",
        "http://169.254.170.23/v1",   "http://[fd00:ec2::23]/v1",
    };
    static const char *const bad[] = {
        "http://192.0.2.1/keys",
        "http://localhost.test/",
        "http://127.0.0.11/",
        "http://localhost@h.test/",
        "http://localhost:@h.test/",
        "http://localhost:1@h.test/",
        "http://localhost:1#@h.test/",
        "http://[::1]:1:@h.test/",
        "http://localhost:p@h.test/",
        "ftp://localhost/",
        "localhost/keys",
    };

    (void)state;
    for (size_t i = 0; i < DD_COUNT(good); i++)
        if (!asks(FULL, good[i]))
            fail_msg("%s was refused", good[i]);
    for (size_t i = 0; i < DD_COUNT(bad); i++)
        if (asks(FULL, bad[i]))
            fail_msg("%s was taken", bad[i]);
    assert_true(asks(RELATIVE, "/v2/keys"));
    assert_false(asks(RELATIVE, ".test/") || asks(RELATIVE, "@h.test/"));
    assert_false(asks(RELATIVE, ":1@h.test/") || asks(RELATIVE, "3.test/"));
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* NULL: it cannot be read. */
static void expect_authorization(const char *expected)
{
    struct dd_aws_env env;
    struct dd_error error;
    struct dd_buf out;

    set(RELATIVE, "/keys");
    assert_int_equal(dd_aws_env_read(&env, &error), 0);
    dd_buf_init(&out, 64);
    assert_int_equal(dd_aws_authorization(&env, &out), expected != NULL);
    if (expected)
        assert_string_equal(out.data, expected);
    dd_buf_deinit(&out);
    dd_aws_env_deinit(&env);
}

static void test_what_is_sent_along_is_one_line(void **state)
{
    char path[] = "/tmp/dd_aws_env.XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0 && close(fd) == 0);
    expect_authorization("");
    set(TOKEN, "Bearer a");
    expect_authorization("Bearer a");
    set(TOKEN, "a\r\nX-Other: b");
    expect_authorization(NULL);
    set(TOKEN_FILE, path); /* before the other */
    expect_authorization("");
    write_file(path, "Bearer b \r\n");
    expect_authorization("Bearer b");
    write_file(path, "a\nX-Other: b");
    expect_authorization(NULL);
    write_file(path, "longer than the sixty-four bytes that there is room for here.......");
    expect_authorization(NULL);
    assert_int_equal(unlink(path), 0);
    expect_authorization(NULL);
}

static void expect_endpoint(const char *given, const char *region, const char *expected)
{
    struct dd_error error;
    struct dd_buf out;

    dd_buf_init(&out, SIZE_MAX);
    assert_int_equal(dd_aws_endpoint(given, region, &out, &error),
                     expected ? 0 : (int)DD_USAGE);
    if (expected)
        assert_string_equal(out.data, expected);
    else
        assert_true(out.len == 0 && strstr(error.text, region));
    dd_buf_deinit(&out);
}

static void test_a_region_is_a_part_of_a_host(void **state)
{
    static const char *const bad[] = {"", "x.test/", "x@y", "us east", "US-EAST-1", "x\r\ny"};

    (void)state;
    expect_endpoint(NULL, "us-gov-east-1", "https://lambda.us-gov-east-1.amazonaws.com");
    expect_endpoint(NULL, "cn-north-1", "https://lambda.cn-north-1.amazonaws.com.cn");
    expect_endpoint("http://h:1/p//", "r", "http://h:1/p");
    for (size_t i = 0; i < DD_COUNT(bad); i++) {
        expect_endpoint(NULL, bad[i], NULL);
        expect_endpoint("http://h", bad[i], NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_keys_are_asked_for_on_this_machine_and_of_agents, setup),
        cmocka_unit_test_setup(test_what_is_sent_along_is_one_line, setup),
        cmocka_unit_test_setup(test_a_region_is_a_part_of_a_host, setup),
    };

    return cmocka_run_group_tests_name("aws_env", tests, NULL, NULL);
}
