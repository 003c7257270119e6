"""Requirements 3-1 to 3-18: child contexts."""

from __future__ import annotations

import os
import time
from typing import Any, NoReturn

from catalog import meets
from common import (
    NO_RETRY,
    UppercaseSerDes,
    always,
    every_second,
    fail,
    in_step,
    never,
    seconds,
)
from durabled import (
    ChildContextError,
    DurableContext,
    StepContext,
    durable_execution,
    durable_with_child_context,
)
from durabled.config import ChildConfig, StepConfig
from steps import exit_process, succeed_on_attempt

# Above what a checkpoint carries; the body runs again to make it once more.
LARGE = 300_000


@durable_with_child_context
def run_step(child: DurableContext, value: Any) -> Any:
    return child.step(always(value))


@durable_with_child_context
def fail_in_step(child: DurableContext) -> None:
    child.step(never, config=NO_RETRY)


@durable_with_child_context
def step_and_wait(child: DurableContext, value: str) -> str:
    result = child.step(always(value))
    child.wait(seconds(1))
    return result


def log_always(context: DurableContext, message: str) -> None:
    """Logs on replay too, so that a body that runs again is seen to."""
    context.logger.with_is_replaying(lambda: False).info(message)


@meets("3-1")
@durable_execution
def child_with_step(event: str, context: DurableContext) -> str:
    return context.run_in_child_context(in_step(event))


@meets("3-2")
@durable_execution
def child_with_name(event: dict[str, str], context: DurableContext) -> str:
    return context.run_in_child_context(in_step(event["value"]), name=event["name"])


@meets("3-3")
@durable_execution
def child_with_two_steps(event: str, context: DurableContext) -> str:
    def body(child: DurableContext) -> str:
        first = child.step(always(event))
        return child.step(always(first))

    return context.run_in_child_context(body, name="two_steps")


@meets("3-4")
@durable_execution
def child_fails(event: None, context: DurableContext) -> None:
    context.run_in_child_context(fail_in_step())


@meets("3-5")
@durable_execution
def child_failure_caught(event: str, context: DurableContext) -> str:
    try:
        context.run_in_child_context(fail_in_step())
    except ChildContextError:
        return context.step(always(event), name="recover")
    raise AssertionError("the child did not fail")


@meets("3-6")
@durable_execution
def child_in_child(event: str, context: DurableContext) -> str:
    def outer(child: DurableContext) -> str:
        value = child.step(always(event))
        return child.run_in_child_context(in_step(value), name="inner")

    return context.run_in_child_context(outer, name="outer")


@meets("3-7")
@durable_execution
def child_with_retried_step(event: str, context: DurableContext) -> str:
    def body(child: DurableContext) -> str:
        return child.step(
            succeed_on_attempt(2, event), config=StepConfig(retry_strategy=every_second(2))
        )

    return context.run_in_child_context(body, name="retried_step")


@meets("3-8")
@durable_execution
def child_retries_exhausted(event: None, context: DurableContext) -> None:
    def body(child: DurableContext) -> None:
        child.step(never, config=StepConfig(retry_strategy=every_second(2)))

    context.run_in_child_context(body, name="exhausted_step")


@meets("3-9")
@durable_execution
def child_not_run_again(event: str, context: DurableContext) -> str:
    result = context.run_in_child_context(run_step(event))
    context.wait(seconds(1))
    return result


@meets("3-10")
@durable_execution
def child_with_step_and_wait(event: str, context: DurableContext) -> str:
    return context.run_in_child_context(step_and_wait(event))


@meets("3-11")
@durable_execution
def child_with_large_result(event: str, context: DurableContext) -> int:
    def body(child: DurableContext) -> str:
        log_always(child, event)
        return child.step(always("x")) * LARGE

    result = context.run_in_child_context(body, name="large_result")
    context.wait(seconds(1))
    return len(result)


@meets("3-12", environment={"ATTEMPTS_TABLE_NAME": {"Ref": "AttemptsTable"}})
@durable_execution
def child_interrupted(event: str, context: DurableContext) -> str:
    """An interrupted attempt is not counted as one, so what tells the runs apart is kept
    outside of the execution."""
    import boto3

    arn = context.execution_context.durable_execution_arn

    def count_runs() -> int:
        counted = boto3.client("dynamodb").update_item(
            TableName=os.environ["ATTEMPTS_TABLE_NAME"],
            Key={"id": {"S": arn}},
            UpdateExpression="SET attemptCount = if_not_exists(attemptCount, :zero) + :inc",
            ExpressionAttributeValues={":zero": {"N": "0"}, ":inc": {"N": "1"}},
            ReturnValues="UPDATED_NEW",
        )
        return int(counted["Attributes"]["attemptCount"]["N"])

    def body(_: StepContext) -> str:
        if count_runs() == 1:
            # The step's START is sent behind its back; nothing says when it has arrived.
            time.sleep(1)
            exit_process()
        return event

    return context.run_in_child_context(lambda child: child.step(body))


@meets("3-13")
@durable_execution
def child_with_wait(event: str, context: DurableContext) -> str:
    def body(child: DurableContext) -> str:
        child.wait(seconds(1))
        return event

    return context.step(always(context.run_in_child_context(body, name="only_wait")))


@meets("3-14")
@durable_execution
def child_with_serdes(event: str, context: DurableContext) -> str:
    return context.run_in_child_context(
        run_step(event), config=ChildConfig(serdes=UppercaseSerDes())
    )


@meets("3-15")
@durable_execution
def child_raises(event: None, context: DurableContext) -> None:
    def body(_: DurableContext) -> NoReturn:
        fail("no operation was needed to fail")

    context.run_in_child_context(body, name="raises")


@meets("3-16")
@durable_execution
def child_with_none(event: None, context: DurableContext) -> None:
    return context.run_in_child_context(always(None), name="nothing")


@meets("3-17")
@durable_execution
def child_that_logs(event: str, context: DurableContext) -> str:
    def body(child: DurableContext) -> str:
        log_always(child, event)
        return event

    result = context.run_in_child_context(body, name="logs")
    context.wait(seconds(1))
    return result


@meets("3-18")
@durable_execution
def child_and_more(event: str, context: DurableContext) -> str:
    inner = context.run_in_child_context(step_and_wait(event))
    result = context.step(always(inner))
    context.wait(seconds(1))
    return result
