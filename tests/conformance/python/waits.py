"""Requirements 2-1 to 2-5: waits."""

from __future__ import annotations

from catalog import meets
from common import seconds
from durabled import DurableContext, durable_execution
from durabled.config import Duration


@meets("2-1")
@durable_execution
def wait_two_seconds(event: None, context: DurableContext) -> None:
    context.wait(seconds(2))


@meets("2-2")
@durable_execution
def wait_with_name(event: None, context: DurableContext) -> None:
    context.wait(seconds(2), name="custom_wait_name")


@meets("2-3")
@durable_execution
def wait_twice(event: None, context: DurableContext) -> dict[str, int]:
    context.wait(seconds(2), name="wait-1")
    context.wait(seconds(2), name="wait-2")
    return {"completedWaits": 2}


@meets("2-4")
@durable_execution
def wait_a_minute(event: None, context: DurableContext) -> None:
    context.wait(Duration.from_minutes(1))


@meets("2-5")
@durable_execution
def wait_an_hour(event: None, context: DurableContext) -> None:
    context.wait(Duration.from_hours(1))
