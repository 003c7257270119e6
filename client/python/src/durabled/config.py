"""How operations behave. All are values: frozen, comparable, safe to share."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from durabled.exceptions import ValidationError

if TYPE_CHECKING:
    from durabled.retries import RetryDecision
    from durabled.serdes import SerDes
    from durabled.types import SummaryGenerator

T = TypeVar("T")


@dataclass(frozen=True)
class Duration:
    """A length of time in whole seconds."""

    seconds: int = 0

    def __post_init__(self) -> None:
        if self.seconds < 0:
            raise ValidationError("Duration seconds must be positive")

    def to_seconds(self) -> int:
        return self.seconds

    @classmethod
    def from_seconds(cls, value: float) -> Duration:
        return cls(int(value))

    @classmethod
    def from_minutes(cls, value: float) -> Duration:
        return cls(int(value * 60))

    @classmethod
    def from_hours(cls, value: float) -> Duration:
        return cls(int(value * 3600))

    @classmethod
    def from_days(cls, value: float) -> Duration:
        return cls(int(value * 86400))


class JitterStrategy(StrEnum):
    """How a delay is spread, so that many retries don't come at once."""

    NONE = "NONE"
    FULL = "FULL"
    HALF = "HALF"

    def apply_jitter(self, delay: float) -> float:
        if self is JitterStrategy.NONE:
            return delay
        if self is JitterStrategy.HALF:
            return delay / 2 + random.random() * delay / 2
        return random.random() * delay

    def finalize_delay(self, base_delay: float) -> int:
        """The delay in whole seconds, at least 1."""
        return max(1, math.ceil(self.apply_jitter(base_delay)))


class StepSemantics(Enum):
    """What an interrupted attempt of a step means: it runs again, or it failed."""

    AT_MOST_ONCE_PER_RETRY = "AT_MOST_ONCE_PER_RETRY"
    AT_LEAST_ONCE_PER_RETRY = "AT_LEAST_ONCE_PER_RETRY"


@dataclass(frozen=True)
class StepConfig:
    """`retry_strategy`: None is RetryPresets.default(). `serdes`: None is the default one."""

    retry_strategy: Callable[[Exception, int], RetryDecision] | None = None
    step_semantics: StepSemantics = StepSemantics.AT_LEAST_ONCE_PER_RETRY
    serdes: SerDes[object] | None = None
    sub_type: str | None = None


@dataclass(frozen=True)
class ChildConfig(Generic[T]):
    """`is_virtual`: never recorded, its operations belong to the parent. `summary_generator`
    makes what is stored in the place of a result that is too large."""

    serdes: SerDes[object] | None = None
    sub_type: str | None = None
    summary_generator: SummaryGenerator[T] | None = None
    is_virtual: bool = False
