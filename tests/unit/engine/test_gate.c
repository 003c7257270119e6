/* The gate lets actions out in order of position, never before it is durable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/gate.h"

struct probe {
    struct dd_gate_action action;
    struct dd_gate *gate;
    struct probe *then; /* added by this one when it runs */
    int ran;            /* its place in the order; 0: not yet */
};

static int order;

static void probe_run(struct dd_gate_action *action)
{
    struct probe *probe = dd_container_of(action, struct probe, action);

    probe->ran = ++order;
    if (probe->then)
        dd_gate_add(probe->gate, &probe->then->action, 0);
}

static struct probe probe_make(struct dd_gate *gate)
{
    struct probe probe = {.gate = gate};

    probe.action.run = probe_run;
    order = 0;
    return probe;
}

static void test_waits_for_position(void **state)
{
    struct dd_gate gate;
    struct probe first = probe_make(&gate), second = probe_make(&gate);

    (void)state;
    dd_gate_init(&gate);
    dd_gate_add(&gate, &first.action, 5);
    dd_gate_add(&gate, &second.action, 7);
    dd_gate_open(&gate, 4);
    assert_int_equal(first.ran, 0);
    dd_gate_open(&gate, 5);
    assert_int_equal(first.ran, 1);
    assert_int_equal(second.ran, 0);
    dd_gate_open(&gate, 9);
    assert_int_equal(second.ran, 2);
}

static void test_orders_late_comers(void **state)
{
    struct dd_gate gate;
    struct probe late = probe_make(&gate), early = probe_make(&gate), twin = probe_make(&gate);

    (void)state;
    dd_gate_init(&gate);
    dd_gate_add(&gate, &late.action, 7);
    dd_gate_add(&gate, &early.action, 5);
    dd_gate_add(&gate, &twin.action, 7);
    dd_gate_open(&gate, 7);
    assert_int_equal(early.ran, 1);
    assert_int_equal(late.ran, 2);
    assert_int_equal(twin.ran, 3);
}

static void test_action_adds_another(void **state)
{
    struct dd_gate gate;
    struct probe first = probe_make(&gate), second = probe_make(&gate);

    (void)state;
    dd_gate_init(&gate);
    first.then = &second;
    dd_gate_add(&gate, &first.action, 0);
    dd_gate_open(&gate, 0);
    assert_int_equal(first.ran, 1);
    assert_int_equal(second.ran, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_for_position),
        cmocka_unit_test(test_orders_late_comers),
        cmocka_unit_test(test_action_adds_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
