"""Functions for the testing package's runners."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from aws_durable_execution_sdk_python import (
    BatchResult,
    DurableContext,
    StepContext,
    durable_execution,
)
from aws_durable_execution_sdk_python.config import (
    CallbackConfig,
    Duration,
    JitterStrategy,
    MapConfig,
    StepConfig,
)
from aws_durable_execution_sdk_python.retries import (
    RetryPresets,
    RetryStrategyConfig,
    create_retry_strategy,
)

MANY = 120


def _fail(message: str) -> NoReturn:
    raise ValueError(message)


@durable_execution
def order(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    """One of each operation that needs nobody else."""

    def ship(child: DurableContext, item: str, *_: Any) -> str:
        return child.step(lambda _: f"shipped {item}", name="ship")

    total = context.step(lambda _: len(event["items"]), name="count")
    context.wait(Duration.from_seconds(1), name="pause")
    one_by_one: MapConfig[Any] = MapConfig(max_concurrency=1)
    shipped: BatchResult[str] = context.map(event["items"], ship, "items", one_by_one)
    note = context.run_in_child_context(
        lambda child: child.step(lambda _: "thanks", name="write"), name="note"
    )
    return {"total": total, "shipped": shipped.get_results(), "note": note}


@durable_execution
def flaky(event: int, context: DurableContext) -> str:
    """Succeeds on the attempt that the event says."""

    def body(step: StepContext) -> str:
        return "ok" if step.attempt >= event else _fail(f"attempt {step.attempt}")

    strategy = create_retry_strategy(
        RetryStrategyConfig(
            max_attempts=3,
            initial_delay=Duration.from_seconds(1),
            backoff_rate=1,
            jitter_strategy=JitterStrategy.NONE,
        )
    )
    return context.step(body, name="body", config=StepConfig(retry_strategy=strategy))


@durable_execution
def broken(event: str, context: DurableContext) -> None:
    config = StepConfig(retry_strategy=RetryPresets.none())
    context.step(lambda _: _fail(event), name="body", config=config)


@durable_execution
def approval(event: int, context: DurableContext) -> str:
    """Two callbacks at once; the event is the timeout of the second, in seconds."""
    first = context.create_callback(name="manager")
    second = context.create_callback(
        name="owner", config=CallbackConfig(timeout=Duration.from_seconds(event))
    )
    return f"{first.result()} and {second.result()}"


@durable_execution
def caller(event: Any, context: DurableContext) -> Any:
    return context.invoke(os.environ.get("TARGET", "order"), event, name="call")


@durable_execution
def many(event: Any, context: DurableContext) -> int:
    """More events than one page of a history has."""
    return sum(context.step(lambda _: 1, name=f"step {i}") for i in range(MANY))
