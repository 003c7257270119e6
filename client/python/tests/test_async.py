"""Handlers declared `async def` against a real daemon."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from conftest import Daemon
from durabled import (
    AsyncDurableContext,
    StepContext,
    StepError,
    StepTimeoutError,
    ValidationError,
    WithRetryConfig,
    durable_execution,
    durable_step,
    durable_with_child_context,
    with_retry,
)
from durabled.client import ExecutionFailedError
from durabled.concurrency.models import CompletionReason
from durabled.config import (
    ChildConfig,
    CompletionConfig,
    Duration,
    JitterStrategy,
    MapConfig,
    ParallelConfig,
    StepConfig,
)
from durabled.retries import RetryPresets, RetryStrategyConfig, create_retry_strategy
from durabled.waits import WaitForConditionConfig, WaitForConditionDecision
from running import PATIENCE, counted, run, run_and_describe, serving, until_waiting

EVERY_SECOND = create_retry_strategy(
    RetryStrategyConfig(initial_delay=Duration(1), jitter_strategy=JitterStrategy.NONE)
)


def durable(body: Any) -> Any:
    @durable_execution
    async def handler(event: Any, context: AsyncDurableContext) -> Any:
        return await body(context)

    return handler


def test_every_operation(daemon: Daemon) -> None:
    @durable_step
    async def greet(step: StepContext, name: str) -> str:
        await asyncio.sleep(0)
        return f"hello {name}"

    @durable_with_child_context
    async def part(context: AsyncDurableContext, n: int) -> int:
        await context.wait(Duration(1))
        return n + 1

    def more(state: int, _: Any) -> int:
        return state + 1

    def decide(state: int, _: int) -> WaitForConditionDecision:
        if state < 2:
            return WaitForConditionDecision.continue_waiting(Duration(1))
        return WaitForConditionDecision.stop_polling()

    async def item(context: AsyncDurableContext, value: int, index: int, items: Any) -> int:
        return await context.step(lambda _: value * 2)

    async def handler(context: AsyncDurableContext) -> Any:
        return [
            await context.step(greet("you")),
            await context.step(lambda _: threading.current_thread().name),
            await context.run_in_child_context(part(1)),
            await context.run_in_child_context(lambda c: c.step(lambda _: 5)),
            await context.wait_for_condition(more, WaitForConditionConfig(decide, 0)),
            await context.invoke("plain", [1]),
            (await context.map([1, 2], item)).get_results(),
            (await context.parallel([lambda c: c.step(greet("b"))])).get_results(),
        ]

    result = run(daemon, durable(handler), plain=lambda event, _: event)
    assert result == ["hello you", "durabled-body", 2, 5, 2, [1], [2, 4], ["hello b"]]


def test_callbacks(daemon: Daemon) -> None:
    ids: list[str] = []

    async def submit(callback_id: str, _: Any) -> None:
        ids.append(callback_id)

    async def handler(context: AsyncDurableContext) -> Any:
        callback = await context.create_callback(name="c")
        first, second = await asyncio.gather(
            callback.result(), context.wait_for_callback(submit, name="w")
        )
        return [first, second, callback.callback_id != ids[0]]

    with serving(daemon, f=durable(handler)) as client:
        execution = client.start("f", name="e")
        until_waiting(execution)
        client.callback_succeed(execution="e", operation="c", result="one")
        client.callback_succeed(ids[0], "two")
        assert execution.result(PATIENCE) == ["one", "two", True]


def test_gather_keeps_the_order_of_calls_and_runs_them_together(daemon: Daemon) -> None:
    together = threading.Barrier(2, timeout=30)

    async def handler(context: AsyncDurableContext) -> Any:
        meet = lambda _: together.wait() >= 0  # noqa: E731
        calls = [context.step(meet, name="a"), context.step(meet, name="b")]
        calls.reverse()
        return await asyncio.gather(*calls)

    result, operations = run_and_describe(daemon, durable(handler))
    assert result == [True, True]
    assert {o["Name"] for o in operations} == {"a", "b"}


def test_a_wait_does_not_hold_what_goes_on_beside_it(daemon: Daemon) -> None:
    """Several steps, one after another, are done while another task waits."""
    log: list[str] = []

    async def handler(context: AsyncDurableContext) -> Any:
        async def steps() -> list[int]:
            return [await context.step(counted(log, f"s{n}", n)) for n in range(5)]

        async def long() -> str:
            await context.wait(Duration.from_days(1), name="long")
            return "never"

        first, _ = await asyncio.gather(steps(), long())
        return first

    with serving(daemon, f=durable(handler)) as client:
        execution = client.start("f")
        until_waiting(execution)
        assert log == [f"s{n}" for n in range(5)]
        names = [o.get("Name") for o in execution.describe()["operations"][1:]]
        assert names.count("long") == 1 and len(names) == 6
        ends = [e for e in client.history(execution.arn) if e["EventType"].startswith("Inv")]
        assert len(ends) == 1
        execution.stop()


def test_children_and_batches_beside_each_other(daemon: Daemon) -> None:
    log: list[str] = []

    async def handler(context: AsyncDurableContext) -> Any:
        async def slow(child: AsyncDurableContext) -> str:
            for n in range(3):
                await child.step(counted(log, f"slow {n}"))
            await child.wait(Duration(1))
            return "slow"

        async def item(child: AsyncDurableContext, value: int, *_: Any) -> int:
            await child.wait(Duration(value))
            return await child.step(counted(log, f"item {value}", value))

        async with asyncio.TaskGroup() as group:
            child = group.create_task(context.run_in_child_context(slow))
            batch = group.create_task(context.map([1, 2], item))
            virtual = group.create_task(
                context.run_in_child_context(
                    lambda c: c.wait(Duration(1)), config=ChildConfig(is_virtual=True)
                )
            )
        return [child.result(), batch.result().get_results(), virtual.result()]

    assert run(daemon, durable(handler)) == ["slow", [1, 2], None]
    assert sorted(log) == ["item 1", "item 2", "slow 0", "slow 1", "slow 2"]


def test_errors_and_retries(daemon: Daemon) -> None:
    async def handler(context: AsyncDurableContext) -> Any:
        async def fails(step: StepContext) -> None:
            raise ValueError(f"attempt {step.attempt}")

        async def body(inner: AsyncDurableContext, attempt: int) -> int:
            if attempt == 1:
                raise ValueError("again")
            return await inner.step(lambda _: attempt)

        config = StepConfig(retry_strategy=RetryPresets.none())
        with pytest.raises(StepError, match="attempt 1"):
            await context.step(fails, config=config)
        with pytest.raises(ValidationError):
            await context.wait(Duration(0))
        return await with_retry(context, body, WithRetryConfig(EVERY_SECOND), name="r")

    assert run(daemon, durable(handler)) == 2


def test_timeout_cancels_an_async_body(daemon: Daemon) -> None:
    cancelled: list[bool] = []

    async def handler(context: AsyncDurableContext) -> Any:
        async def body(_: StepContext) -> None:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        config = StepConfig(retry_strategy=RetryPresets.none(), timeout=Duration(1))
        with pytest.raises(StepError) as failed:
            await context.step(body, config=config)
        assert isinstance(failed.value.__cause__, StepTimeoutError)
        await context.wait(Duration(1))

    run(daemon, durable(handler))
    assert cancelled == [True]


def test_a_cancelled_operation_holds_nothing_up(daemon: Daemon) -> None:
    async def handler(context: AsyncDurableContext) -> Any:
        async def forever(_: StepContext) -> None:
            await asyncio.sleep(3600)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(context.step(forever), 0.05)
        await context.wait(Duration(1))
        return "went on"

    # On replay the wait is recorded, and the step, still open, is cancelled once more.
    assert run(daemon, durable(handler)) == "went on"


def test_what_is_not_awaited_ends_with_the_handler(daemon: Daemon) -> None:
    async def handler(context: AsyncDurableContext) -> Any:
        async def branch(child: AsyncDurableContext) -> None:
            await child.wait(Duration.from_days(1))

        tasks = [
            asyncio.ensure_future(context.parallel([branch, branch])),
            asyncio.ensure_future(context.wait(Duration.from_days(1))),
        ]
        await context.step(lambda _: None)
        assert not any(task.done() for task in tasks)
        return "done"

    assert run(daemon, durable(handler)) == "done"


def test_early_completion(daemon: Daemon) -> None:
    async def handler(context: AsyncDurableContext) -> Any:
        async def waits(child: AsyncDurableContext) -> None:
            await child.wait(Duration.from_days(1))

        config = ParallelConfig(completion_config=CompletionConfig.first_successful())
        branches = [waits, lambda c: c.step(lambda _: "quick")]
        result = await context.parallel(branches, config=config)
        assert result.completion_reason is CompletionReason.MIN_SUCCESSFUL_REACHED
        return result.get_results()

    assert run(daemon, durable(handler)) == ["quick"]


def test_an_error_beside_a_batch_fails_the_execution(daemon: Daemon) -> None:
    async def handler(context: AsyncDurableContext) -> Any:
        async def waits(child: AsyncDurableContext, *_: Any) -> None:
            await child.wait(Duration.from_days(1))

        async def fails() -> None:
            await context.step(lambda _: None)
            raise LookupError("beside it")

        await asyncio.gather(context.map([1, 2], waits), fails())

    with pytest.raises(ExecutionFailedError, match="beside it"):
        run(daemon, durable(handler))


def test_many_items(daemon: Daemon) -> None:
    async def handler(context: AsyncDurableContext) -> Any:
        async def item(child: AsyncDurableContext, value: int, *_: Any) -> int:
            async def body(_: StepContext) -> int:
                return value

            return await child.step(body)

        config = MapConfig[int](max_concurrency=16)
        return sum((await context.map(range(200), item, config=config)).get_results())

    assert run(daemon, durable(handler)) == sum(range(200))
