"""What several groups of handlers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from durabled import BatchResult
from durabled.config import Duration, JitterStrategy, StepConfig
from durabled.retries import (
    RetryDecision,
    RetryPresets,
    RetryStrategyConfig,
    create_retry_strategy,
)
from durabled.serdes import SerDes, SerDesContext

Strategy = Callable[[Exception, int], RetryDecision]

NO_RETRY = StepConfig(retry_strategy=RetryPresets.none())


def seconds(number: int) -> Duration:
    return Duration.from_seconds(number)


def every_second(max_attempts: int) -> Strategy:
    """Retries one second after each failure."""
    return create_retry_strategy(
        RetryStrategyConfig(
            max_attempts=max_attempts,
            initial_delay=seconds(1),
            backoff_rate=1,
            jitter_strategy=JitterStrategy.NONE,
        )
    )


def fail(message: str = "it always fails") -> NoReturn:
    raise ValueError(message)


def always(value: Any) -> Callable[..., Any]:
    """A body that returns `value` whatever it is given."""
    return lambda *_: value


def never(*_: Any) -> NoReturn:
    """A body that fails whatever it is given."""
    fail()


def in_step(value: Any) -> Callable[..., Any]:
    """A branch that gets `value` from a step."""
    return lambda context, *_: context.step(always(value))


def outcome(result: BatchResult[Any], *fields: str) -> dict[str, Any]:
    """The named fields of a batch's result, as the requirements spell them."""
    known = {
        "completionReason": result.completion_reason.value,
        "status": result.status.value,
        "successCount": result.success_count,
        "failureCount": result.failure_count,
        "totalCount": result.total_count,
    }
    return {field: known[field] for field in fields}


COUNTS = ("successCount", "failureCount", "totalCount")


class UppercaseSerDes(SerDes[str]):
    """Stores text in upper case, as it is."""

    def serialize(self, value: str, _: SerDesContext) -> str:
        return value.upper()

    def deserialize(self, data: str, _: SerDesContext) -> str:
        return data
