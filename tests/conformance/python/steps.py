"""Requirements 1-1 to 1-20: steps."""

from __future__ import annotations

import os
from typing import Any, NoReturn

from catalog import meets
from common import NO_RETRY, UppercaseSerDes, always, every_second, fail, never, seconds
from durabled import DurableContext, StepContext, StepError, durable_execution, durable_step
from durabled.config import JitterStrategy, StepConfig, StepSemantics
from durabled.retries import RetryDecision, RetryStrategyConfig, create_retry_strategy


class TransientError(Exception):
    pass


@durable_step
def greet(step: StepContext, name: str) -> str:
    return f"Hello, {name}!"


@durable_step
def succeed_on_attempt(step: StepContext, number: int, result: Any) -> Any:
    if step.attempt < number:
        fail(f"attempt {step.attempt}")
    return result


def exit_process() -> NoReturn:
    """Ends as a crash does: no exception, no flush, no goodbye."""
    os._exit(1)


@meets("1-1")
@durable_execution
def step_succeeds(event: str, context: DurableContext) -> str:
    return context.step(greet(event))


@meets("1-2")
@durable_execution
def step_with_name(event: str, context: DurableContext) -> str:
    return context.step(greet(event), name="custom_step_name")


@meets("1-3")
@durable_execution
def step_after_step(event: None, context: DurableContext) -> str:
    first = context.step(always("first"))
    return context.step(lambda _: f"{first}_second")


@meets("1-4")
@durable_execution
def step_with_object(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    return context.step(always({"user": event, "count": len(event["tags"])}))


@meets("1-5")
@durable_execution
def step_with_none(event: None, context: DurableContext) -> None:
    return context.step(always(None))


@meets("1-6")
@durable_execution
def step_with_serdes(event: str, context: DurableContext) -> str:
    return context.step(always(event), config=StepConfig(serdes=UppercaseSerDes()))


@meets("1-7")
@durable_execution
def step_that_logs(event: str, context: DurableContext) -> str:
    def body(step: StepContext) -> str:
        step.logger.info(f"Greeting step started for: {event}")
        greeting = f"Hello, {event}!"
        step.logger.info(f"Greeting step completed with: {greeting}")
        return greeting

    return context.step(body)


@meets("1-8")
@durable_execution
def step_then_wait(event: None, context: DurableContext) -> str:
    result = context.step(always("computed"))
    context.wait(seconds(2))
    return result


@meets("1-9")
@durable_execution
def step_not_run_again(event: None, context: DurableContext) -> str:
    def body(step: StepContext) -> str:
        step.logger.info("step executed")
        return "cached_value"

    result = context.step(body)
    context.wait(seconds(1))
    return result


@meets("1-10")
@durable_execution
def step_fails_again(event: None, context: DurableContext) -> str:
    def body(step: StepContext) -> NoReturn:
        step.logger.info("step executed")
        fail("boom")

    caught = ""
    try:
        context.step(body, config=NO_RETRY)
    except StepError as error:
        caught = str(error)
    context.wait(seconds(1))
    return caught


@meets("1-11")
@durable_execution
def step_retried(event: None, context: DurableContext) -> str:
    return context.step(
        succeed_on_attempt(2, "Operation succeeded"),
        config=StepConfig(retry_strategy=every_second(3)),
    )


@meets("1-12")
@durable_execution
def step_retries_exhausted(event: None, context: DurableContext) -> None:
    context.step(never, config=StepConfig(retry_strategy=every_second(4)))


@meets("1-13")
@durable_execution
def step_retried_by_default(event: None, context: DurableContext) -> str:
    return context.step(succeed_on_attempt(3, "ok"))


@meets("1-14")
@durable_execution
def step_with_backoff(event: None, context: DurableContext) -> str:
    strategy = create_retry_strategy(
        RetryStrategyConfig(
            max_attempts=5,
            initial_delay=seconds(2),
            backoff_rate=3,
            jitter_strategy=JitterStrategy.NONE,
        )
    )
    return context.step(succeed_on_attempt(3, "ok"), config=StepConfig(retry_strategy=strategy))


@meets("1-15")
@durable_execution
def step_retries_transient(event: None, context: DurableContext) -> str:
    def strategy(error: Exception, attempts: int) -> RetryDecision:
        if isinstance(error, TransientError):
            return RetryDecision.retry(seconds(1))
        return RetryDecision.no_retry()

    def body(step: StepContext) -> str:
        if step.attempt == 1:
            raise TransientError("try again")
        return "ok"

    return context.step(body, config=StepConfig(retry_strategy=strategy))


@meets("1-16")
@durable_execution
def step_refuses_transient(event: None, context: DurableContext) -> None:
    def strategy(error: Exception, attempts: int) -> RetryDecision:
        if isinstance(error, TransientError):
            return RetryDecision.no_retry()
        return RetryDecision.retry(seconds(1))

    def body(_: StepContext) -> NoReturn:
        raise TransientError("not again")

    context.step(body, config=StepConfig(retry_strategy=strategy))


@meets("1-17")
@durable_execution
def step_at_most_once(event: str, context: DurableContext) -> None:
    def body(step: StepContext) -> NoReturn:
        step.logger.info(event)
        exit_process()

    context.step(
        body,
        name="at_most_once_flaky_step",
        config=StepConfig(
            retry_strategy=every_second(1),
            step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY,
        ),
    )


@meets("1-18")
@durable_execution
def step_at_most_once_per_retry(event: str, context: DurableContext) -> str:
    def body(step: StepContext) -> str:
        step.logger.info(event)
        if step.attempt == 1:
            exit_process()
        return "succeeded on second attempt"

    return context.step(
        body,
        config=StepConfig(
            retry_strategy=every_second(2),
            step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY,
        ),
    )


@meets("1-19")
@durable_execution
def step_fails(event: None, context: DurableContext) -> None:
    context.step(never, config=NO_RETRY)


@meets("1-20")
@durable_execution
def step_failure_caught(event: None, context: DurableContext) -> str:
    try:
        result = context.step(never, config=NO_RETRY)
    except StepError:
        result = "fallback_result"
    return context.step(always(result))
