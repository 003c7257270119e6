"""Requirements 4-1 to 4-19: callbacks that the handler creates and awaits itself."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from catalog import meets
from common import always, seconds
from durabled import CallbackError, DurableContext, durable_execution
from durabled.config import CallbackConfig
from durabled.serdes import SerDes, SerDesContext


class OrderSerDes(SerDes[dict[str, Any]]):
    """An object whose `timestamp` is text on the wire and seconds since 1970 here."""

    def serialize(self, value: dict[str, Any], _: SerDesContext) -> str:
        raise NotImplementedError  # the external system does

    def deserialize(self, data: str, _: SerDesContext) -> dict[str, Any]:
        value = json.loads(data)
        moment = datetime.fromisoformat(value["timestamp"])
        return {**value, "timestamp": int(moment.timestamp())}


class IntegerSerDes(SerDes[int]):
    def serialize(self, value: int, _: SerDesContext) -> str:
        return str(value)

    def deserialize(self, data: str, _: SerDesContext) -> int:
        return int(data)


@meets("4-1", "4-6")
@durable_execution
def callback(event: str, context: DurableContext) -> str:
    return context.create_callback(name=event).result()


@meets("4-2")
@durable_execution
def callback_approval(event: None, context: DurableContext) -> str:
    return context.create_callback(name="approval").result()


@meets("4-3")
@durable_execution
def callback_times_out(event: str, context: DurableContext) -> str:
    return context.create_callback(
        name=event, config=CallbackConfig(timeout=seconds(5))
    ).result()


@meets("4-4")
@durable_execution
def callback_misses_heartbeat(event: str, context: DurableContext) -> str:
    return context.create_callback(
        name=event, config=CallbackConfig(heartbeat_timeout=seconds(5))
    ).result()


@meets("4-5")
@durable_execution
def callback_with_heartbeat(event: str, context: DurableContext) -> str:
    return context.create_callback(
        name=event, config=CallbackConfig(heartbeat_timeout=seconds(10))
    ).result()


@meets("4-7")
@durable_execution
def callback_around_step(event: str, context: DurableContext) -> str:
    created = context.create_callback(name=event)
    context.step(always("prepared"))
    return created.result()


@meets("4-8")
@durable_execution
def callback_times_out_after_step(event: str, context: DurableContext) -> str:
    created = context.create_callback(name=event, config=CallbackConfig(timeout=seconds(5)))
    context.step(always("prepared"))
    return created.result()


@meets("4-9", "4-10")
@durable_execution
def callback_during_wait(event: str, context: DurableContext) -> str:
    created = context.create_callback(name=event)
    context.wait(seconds(5))
    return created.result()


@meets("4-11")
@durable_execution
def callback_times_out_during_wait(event: str, context: DurableContext) -> str:
    created = context.create_callback(name=event, config=CallbackConfig(timeout=seconds(3)))
    context.wait(seconds(6))
    return created.result()


@meets("4-12")
@durable_execution
def callback_then_wait(event: str, context: DurableContext) -> str:
    result = context.create_callback(name=event).result()
    context.wait(seconds(2))
    return result


@meets("4-13")
@durable_execution
def callback_failure_caught(event: str, context: DurableContext) -> str:
    try:
        message = context.create_callback(name=event).result()
    except CallbackError as error:
        message = str(error)
    context.wait(seconds(2))
    return message


@meets("4-14")
@durable_execution
def callback_timeout_caught(event: str, context: DurableContext) -> str:
    created = context.create_callback(name=event, config=CallbackConfig(timeout=seconds(3)))
    try:
        message = created.result()
    except CallbackError as error:
        message = str(error)
    context.wait(seconds(2))
    return message


@meets("4-15")
@durable_execution
def callback_with_object(event: str, context: DurableContext) -> dict[str, Any]:
    created = context.create_callback(name=event, config=CallbackConfig(serdes=OrderSerDes()))
    return {"received": created.result()}


@meets("4-16")
@durable_execution
def callback_with_number(event: str, context: DurableContext) -> dict[str, int]:
    created = context.create_callback(name=event, config=CallbackConfig(serdes=IntegerSerDes()))
    count = created.result()
    return {"count": count, "doubled": 2 * count}


@meets("4-17")
@durable_execution
def callback_after_callback(event: list[str], context: DurableContext) -> list[str]:
    return [context.create_callback(name=name).result() for name in event]


@meets("4-18")
@durable_execution
def callbacks_in_order(event: list[str], context: DurableContext) -> list[str]:
    created = [context.create_callback(name=name) for name in event]
    return [each.result() for each in created]


@meets("4-19")
@durable_execution
def callbacks_in_reverse(event: list[str], context: DurableContext) -> list[str]:
    created = [context.create_callback(name=name) for name in event]
    return [each.result() for each in reversed(created)]
