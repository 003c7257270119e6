/* The ring keeps the newest records, and a failing assertion prints them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/trace.h"
#include "tests/lib/abort.h"

/* What a dump prints; free() it. */
static char *dumped(const struct dd_trace *trace)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    dd_trace_dump(trace, out);
    fclose(out);
    return text;
}

static void test_lines(void **state)
{
    static struct dd_trace trace;
    char *text = dumped(&trace);

    (void)state;
    assert_string_equal(text, "");
    free(text);
    dd_trace_add(&trace, 1000, "service.step", 1, 2, UINT64_MAX);
    dd_trace_add(&trace, -1, "commit", 0, 0, 0);
    text = dumped(&trace);
    assert_string_equal(text, "trace 0 1000 service.step 1 2 18446744073709551615\n"
                              "trace 1 -1 commit 0 0 0\n");
    free(text);
}

static void test_keeps_the_newest(void **state)
{
    static struct dd_trace trace;
    char *text, *line;
    uint64_t expected = 5;

    (void)state;
    for (uint64_t i = 0; i < DD_TRACE_RECORDS + 5; i++)
        dd_trace_add(&trace, (int64_t)i, "tick", i, 0, 0);
    text = dumped(&trace);
    for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), expected++) {
        char wanted[80];

        snprintf(wanted, sizeof wanted, "trace %d %d tick %d 0 0", (int)expected, (int)expected,
                 (int)expected);
        assert_string_equal(line, wanted);
    }
    assert_int_equal(expected, DD_TRACE_RECORDS + 5);
    free(text);
}

struct printed {
    const struct dd_trace *trace;
    FILE *file;
};

static void body_fails(void *arg)
{
    struct printed *printed = arg;

    dd_trace_dump_on_assert(printed->trace);
    stderr = printed->file;
    dd_assert(1 + 1 == 3);
}

static void test_assertion_prints(void **state)
{
    static struct dd_trace trace;
    struct printed printed = {&trace, tmpfile()};
    char text[400] = "";

    (void)state;
    dd_trace_add(&trace, 7, "before.the.end", 1, 2, 3);
    assert_non_null(printed.file);
    setvbuf(printed.file, NULL, _IONBF, 0);
    assert_true(dd_test_aborts(body_fails, &printed));
    rewind(printed.file);
    text[fread(text, 1, sizeof text - 1, printed.file)] = '\0';
    assert_non_null(strstr(text, "assertion failed: 1 + 1 == 3"));
    assert_non_null(strstr(text, "trace 0 7 before.the.end 1 2 3\n"));

    printed.trace = NULL;
    rewind(printed.file);
    assert_true(dd_test_aborts(body_fails, &printed));
    fclose(printed.file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_keeps_the_newest),
        cmocka_unit_test(test_assertion_prints),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
