"""Handlers that suspend in the middle, for executions that one SDK begins and the other
finishes. They note which of the two ran what."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common import every_second, fail, seconds
from durabled import DurableContext, StepContext, durable_execution
from durabled.config import JitterStrategy, MapConfig, NestingType, ParallelConfig, StepConfig
from durabled.waits import WaitForConditionConfig, WaitStrategyConfig, create_wait_strategy

LARGE = 300_000


def note(text: str) -> None:
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{os.environ['SDK']}:{text}\n")


def noted(text: str, result: Any = None) -> Callable[[StepContext], Any]:
    """The body of a step, seen from outside when it runs."""

    def body(_: StepContext) -> Any:
        note(text)
        return result

    return body


@durable_execution
def wait(event: Any, context: DurableContext) -> dict[str, Any]:
    before = context.step(noted("before", {"event": event, "raw": b"\x00", "many": (1, 2)}))
    context.wait(seconds(2), name="pause")
    after = context.step(noted("after", 2.5), name="after")
    return {"many": list(before["many"]), "raw": before["raw"].hex(), "after": after}


@durable_execution
def callback(event: Any, context: DurableContext) -> list[str]:
    created = context.create_callback(name="approval")
    before = context.step(noted("before", "b"))
    return [before, created.result(), context.step(noted("after", "a"))]


@durable_execution
def callback_wait(event: Any, context: DurableContext) -> str:
    def submit(callback_id: str, _: Any) -> None:
        note("before")

    result = context.wait_for_callback(submit, name="approval")
    return result + context.step(noted("after", "!"))


@durable_execution
def retry(event: Any, context: DurableContext) -> str:
    def body(step: StepContext) -> str:
        note("before" if step.attempt == 1 else "after")
        if step.attempt == 1:
            fail("once")
        return f"attempt {step.attempt}"

    return context.step(body, name="flaky", config=StepConfig(retry_strategy=every_second(2)))


@durable_execution
def condition(event: Any, context: DurableContext) -> int:
    def check(state: int, _: Any) -> int:
        note("before" if state == 0 else "after")
        return state + 1

    strategy = create_wait_strategy(
        WaitStrategyConfig(
            should_continue_polling=lambda state: state < 2,
            initial_delay=seconds(2),
            jitter_strategy=JitterStrategy.NONE,
        )
    )
    return context.wait_for_condition(check, WaitForConditionConfig(strategy, 0))


@durable_execution
def child(event: Any, context: DurableContext) -> int:
    def large(inner: DurableContext) -> str:
        return "x" * inner.step(noted("before", LARGE))

    def waits(inner: DurableContext) -> int:
        inner.wait(seconds(2))
        return inner.step(noted("after", 1))

    def outer(inner: DurableContext) -> int:
        return len(inner.run_in_child_context(large, name="large")) + (
            inner.run_in_child_context(waits, name="waits")
        )

    return context.run_in_child_context(outer, name="outer")


def item(branch: DurableContext, name: str, index: int, names: Sequence[str]) -> str:
    first = branch.step(noted("before" if index == 0 else "after", name))
    branch.wait(seconds(2))
    return branch.step(noted("after", first + name))


@durable_execution
def map_nested(event: Any, context: DurableContext) -> list[str]:
    return context.map(["a", "b"], item, config=MapConfig(max_concurrency=1)).get_results()


@durable_execution
def map_flat(event: Any, context: DurableContext) -> list[str]:
    config = MapConfig(max_concurrency=1, nesting_type=NestingType.FLAT)
    return context.map(["a", "b"], item, config=config).get_results()


@durable_execution
def parallel(event: Any, context: DurableContext) -> list[Any]:
    """The first branch has ended, and the second not begun, where the second suspends."""

    def second(branch: DurableContext) -> int:
        branch.wait(seconds(2))
        return branch.step(noted("after", 2))

    branches = [lambda branch: branch.step(noted("before", 1)), second]
    config = ParallelConfig(max_concurrency=1)
    return context.parallel(branches, name="both", config=config).get_results()
