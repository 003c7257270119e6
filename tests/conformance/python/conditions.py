"""Requirements 6-1 to 6-13: polling until a condition holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from catalog import meets
from common import never, seconds
from durabled import DurableContext, WaitForConditionError, durable_execution
from durabled.config import JitterStrategy
from durabled.serdes import SerDes, SerDesContext
from durabled.waits import WaitForConditionConfig, WaitStrategyConfig, create_wait_strategy


class ReversedSerDes(SerDes[str]):
    """Marked text, backwards: reading what it never wrote is noticed."""

    def serialize(self, value: str, _: SerDesContext) -> str:
        return f"state:{value}"[::-1]

    def deserialize(self, data: str, _: SerDesContext) -> str:
        mark, _, value = data[::-1].partition(":")
        assert mark == "state", data
        return value


def poll(
    while_: Callable[[Any], bool],
    initial: Any,
    *,
    delay: int = 1,
    max_attempts: int = 60,
    serdes: SerDes[Any] | None = None,
) -> WaitForConditionConfig[Any]:
    strategy = create_wait_strategy(
        WaitStrategyConfig(
            should_continue_polling=while_,
            max_attempts=max_attempts,
            initial_delay=seconds(delay),
            backoff_rate=1,
            jitter_strategy=JitterStrategy.NONE,
        )
    )
    return WaitForConditionConfig(wait_strategy=strategy, initial_state=initial, serdes=serdes)


def below(threshold: int) -> Callable[[int], bool]:
    return lambda state: state < threshold


def increment(state: int, _: Any) -> int:
    return state + 1


def unchanged(state: Any, _: Any) -> Any:
    return state


@meets("6-1")
@durable_execution
def condition_counts(event: int, context: DurableContext) -> int:
    return context.wait_for_condition(increment, poll(below(event), 0))


@meets("6-2")
@durable_execution
def condition_holds(event: int, context: DurableContext) -> int:
    return context.wait_for_condition(unchanged, poll(below(event), 5))


@meets("6-3")
@durable_execution
def condition_with_name(event: int, context: DurableContext) -> int:
    return context.wait_for_condition(increment, poll(below(event), 0), name="poll-status")


@meets("6-4")
@durable_execution
def condition_from_five(event: int, context: DurableContext) -> int:
    return context.wait_for_condition(increment, poll(below(event), 5))


@meets("6-5")
@durable_execution
def condition_every_two_seconds(event: int, context: DurableContext) -> int:
    return context.wait_for_condition(increment, poll(below(event), 0, delay=2))


@meets("6-6")
@durable_execution
def condition_exhausted(event: int, context: DurableContext) -> int:
    return context.wait_for_condition(increment, poll(lambda _: True, event, max_attempts=3))


@meets("6-7")
@durable_execution
def condition_check_fails(event: None, context: DurableContext) -> None:
    context.wait_for_condition(never, poll(lambda _: True, 0))


@meets("6-8")
@durable_execution
def condition_failure_caught(event: None, context: DurableContext) -> str:
    try:
        context.wait_for_condition(never, poll(lambda _: True, 0))
    except WaitForConditionError:
        return "recovered"
    raise AssertionError("the check did not fail")


@meets("6-9")
@durable_execution
def condition_with_object(event: None, context: DurableContext) -> dict[str, Any]:
    def check(state: dict[str, Any], _: Any) -> dict[str, Any]:
        attempts = state["attempts"] + 1
        return {"status": "DONE" if attempts == 2 else "PENDING", "attempts": attempts}

    return context.wait_for_condition(
        check,
        poll(lambda state: state["status"] == "PENDING", {"status": "PENDING", "attempts": 0}),
    )


@meets("6-10")
@durable_execution
def condition_with_none(event: None, context: DurableContext) -> None:
    return context.wait_for_condition(lambda *_: None, poll(lambda _: False, 0))


@meets("6-11")
@durable_execution
def condition_with_serdes(event: None, context: DurableContext) -> str:
    return context.wait_for_condition(
        lambda state, _: state + "x",
        poll(lambda state: len(state) < 2, "", serdes=ReversedSerDes()),
    )


@meets("6-12")
@durable_execution
def condition_then_step(event: int, context: DurableContext) -> int:
    state = context.wait_for_condition(increment, poll(below(event), 0))
    return context.step(lambda _: state * 10)


@meets("6-13")
@durable_execution
def condition_after_condition(event: None, context: DurableContext) -> int:
    first = context.wait_for_condition(increment, poll(below(2), 0))
    return context.wait_for_condition(increment, poll(below(4), first))
