/* Failing assertions end the process, after the hook has run once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/check.h"
#include "tests/lib/abort.h"

static int hook_pipe[2];

static void hook(void)
{
    char byte = 'h';

    dd_assert(write(hook_pipe[1], &byte, 1) == 1);
}

static void hook_that_fails(void)
{
    hook();
    dd_assert(1 + 1 == 4);
}

static void body_holds(void *arg)
{
    (void)arg;
    dd_assert(1 + 1 == 2);
}

static void body_fails(void *arg)
{
    dd_assert_hook((void (*)(void))arg);
    dd_assert(1 + 1 == 3);
}

static void body_unreachable(void *arg)
{
    (void)arg;
    dd_unreachable();
}

static void body_exits(void *arg)
{
    (void)arg;
    _exit(1);
}

/* Runs body_fails with `run` as the hook and returns how often the hook ran. */
static int hook_runs(void (*run)(void))
{
    char bytes[8];
    ssize_t count;

    assert_int_equal(pipe(hook_pipe), 0);
    /* A hook that runs for ever ends when the pipe is full, instead of blocking. */
    fcntl(hook_pipe[1], F_SETFL, O_NONBLOCK);
    assert_true(dd_test_aborts(body_fails, (void *)run));
    close(hook_pipe[1]);
    count = read(hook_pipe[0], bytes, sizeof bytes);
    close(hook_pipe[0]);
    return (int)count;
}

static void test_assert(void **state)
{
    (void)state;
    assert_false(dd_test_aborts(body_holds, NULL));
    assert_true(dd_test_aborts(body_fails, NULL));
    assert_true(dd_test_aborts(body_unreachable, NULL));
}

static void test_other_end_is_no_assertion(void **state)
{
    (void)state;
    assert_false(dd_test_aborts(body_exits, NULL));
}

static void test_hook_runs_once(void **state)
{
    (void)state;
    assert_int_equal(hook_runs(NULL), 0);
    assert_int_equal(hook_runs(hook), 1);
    assert_int_equal(hook_runs(hook_that_fails), 1);
}

struct outer {
    int before;
    int member;
};

static void test_container_of(void **state)
{
    struct outer outer = {1, 2};

    (void)state;
    assert_ptr_equal(dd_container_of(&outer.member, struct outer, member), &outer);
    assert_int_equal(DD_COUNT(((int[3]){0})), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_assert),
        cmocka_unit_test(test_other_end_is_no_assertion),
        cmocka_unit_test(test_hook_runs_once),
        cmocka_unit_test(test_container_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
