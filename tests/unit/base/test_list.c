/* The intrusive list keeps its order and survives removal while iterating. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int number;
    struct dd_list link;
};

static struct item *item_of(struct dd_list *node)
{
    return dd_container_of(node, struct item, link);
}

static void test_order(void **state)
{
    struct item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    struct dd_list head;

    (void)state;
    dd_list_init(&head);
    assert_true(dd_list_empty(&head));
    assert_null(dd_list_pop(&head));
    for (int i = 0; i < 3; i++)
        dd_list_push(&head, &items[i].link);
    for (int i = 0; i < 3; i++)
        assert_int_equal(item_of(dd_list_pop(&head))->number, i);
    assert_true(dd_list_empty(&head));
}

static void test_remove_twice(void **state)
{
    struct item items[2] = {{.number = 0}, {.number = 1}};
    struct dd_list head;

    (void)state;
    dd_list_init(&head);
    dd_list_push(&head, &items[0].link);
    dd_list_push(&head, &items[1].link);
    dd_list_remove(&items[0].link);
    dd_list_remove(&items[0].link);
    assert_ptr_equal(items[0].link.next, &items[0].link);
    assert_ptr_equal(head.next, &items[1].link);
    assert_ptr_equal(head.prev, &items[1].link);
}

static void test_each_may_remove(void **state)
{
    struct item items[5];
    struct dd_list head;
    int seen = 0, left = 0;

    (void)state;
    dd_list_init(&head);
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        dd_list_push(&head, &items[i].link);
    }
    dd_list_each(node, tmp, &head)
    {
        assert_int_equal(item_of(node)->number, seen++);
        if (seen % 2)
            dd_list_remove(node);
    }
    assert_int_equal(seen, 5);
    dd_list_each(node, tmp, &head) assert_int_equal(item_of(node)->number, 2 * left++ + 1);
    assert_int_equal(left, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_remove_twice),
        cmocka_unit_test(test_each_may_remove),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
