"""Requirements 7-1 to 7-15: waiting for a callback that a submitter hands out."""

from __future__ import annotations

from typing import Any

from catalog import meets
from common import always, every_second, never, seconds
from durabled import CallbackError, DurableContext, durable_execution
from durabled.config import WaitForCallbackConfig
from durabled.serdes import JsonSerDes

submit = always(None)


@meets("7-1", "7-4", "7-15")
@durable_execution
def callback_wait(event: str, context: DurableContext) -> Any:
    return context.wait_for_callback(submit, name=event)


@meets("7-2")
@durable_execution
def callback_wait_approval(event: None, context: DurableContext) -> str:
    return context.wait_for_callback(submit, name="approval")


@meets("7-3")
@durable_execution
def callback_wait_anonymous(event: None, context: DurableContext) -> str:
    return context.wait_for_callback(lambda callback_id, _: None)


@meets("7-5")
@durable_execution
def callback_wait_times_out(event: str, context: DurableContext) -> str:
    return context.wait_for_callback(
        submit, name=event, config=WaitForCallbackConfig(timeout=seconds(3))
    )


@meets("7-6")
@durable_execution
def callback_wait_failure_caught(event: str, context: DurableContext) -> str:
    try:
        return context.wait_for_callback(submit, name=event)
    except CallbackError:
        return "recovered"


@meets("7-7")
@durable_execution
def callback_wait_submitter_fails(event: str, context: DurableContext) -> str:
    return context.wait_for_callback(
        never, name=event, config=WaitForCallbackConfig(retry_strategy=every_second(2))
    )


@meets("7-8")
@durable_execution
def callback_wait_in_child(event: str, context: DurableContext) -> str:
    return context.run_in_child_context(
        lambda child: child.wait_for_callback(submit, name=event), name="wrapper"
    )


@meets("7-9")
@durable_execution
def callback_wait_twice(event: None, context: DurableContext) -> str:
    context.wait_for_callback(submit, name="first")
    return context.wait_for_callback(submit, name="second")


@meets("7-10")
@durable_execution
def callback_wait_after_others(event: str, context: DurableContext) -> str:
    context.wait(seconds(1))
    context.step(always("fixed data"))
    return context.wait_for_callback(submit, name=event)


@meets("7-11")
@durable_execution
def callback_wait_with_json(event: str, context: DurableContext) -> str:
    result = context.wait_for_callback(
        submit, name=event, config=WaitForCallbackConfig(serdes=JsonSerDes())
    )
    return result["status"]


@meets("7-12")
@durable_execution
def callback_wait_misses_heartbeat(event: str, context: DurableContext) -> str:
    return context.wait_for_callback(
        submit, name=event, config=WaitForCallbackConfig(heartbeat_timeout=seconds(5))
    )


@meets("7-13")
@durable_execution
def callback_wait_with_heartbeat(event: str, context: DurableContext) -> str:
    return context.wait_for_callback(
        submit, name=event, config=WaitForCallbackConfig(heartbeat_timeout=seconds(10))
    )


@meets("7-14")
@durable_execution
def callback_wait_timeout_caught(event: str, context: DurableContext) -> str:
    try:
        return context.wait_for_callback(
            submit, name=event, config=WaitForCallbackConfig(timeout=seconds(3))
        )
    except CallbackError:
        return "timed-out-handled"
