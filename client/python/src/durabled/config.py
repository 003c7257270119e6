"""How operations behave. All are values: frozen, comparable, safe to share."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from durabled.exceptions import ValidationError

if TYPE_CHECKING:
    from durabled.retries import RetryDecision
    from durabled.serdes import SerDes
    from durabled.types import SummaryGenerator

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")
Numeric = int | float


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


def _check_sub_type(sub_type: str | None) -> None:
    if sub_type and not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", sub_type):
        raise ValidationError(
            "sub_type must be 1 to 32 characters from A-Z, a-z, 0-9, hyphen, and "
            f"underscore, got: {sub_type!r}"
        )


def _check_max_concurrency(max_concurrency: int | None) -> None:
    if max_concurrency is not None and max_concurrency < 1:
        raise ValidationError(f"max_concurrency must be at least 1, got: {max_concurrency}")


@dataclass(frozen=True)
class StepConfig:
    """`retry_strategy`: None is RetryPresets.default(). `serdes`: None is the default one.
    `timeout`: how long one attempt may take; what takes longer failed with
    StepTimeoutError, and what it gives later counts for nothing."""

    retry_strategy: Callable[[Exception, int], RetryDecision] | None = None
    step_semantics: StepSemantics = StepSemantics.AT_LEAST_ONCE_PER_RETRY
    serdes: SerDes[Any] | None = None
    sub_type: str | None = field(default=None, kw_only=True)
    timeout: Duration | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_sub_type(self.sub_type)
        if self.timeout is not None and self.timeout.to_seconds() < 1:
            raise ValidationError("timeout must be at least 1 second")


@dataclass(frozen=True)
class ChildConfig(Generic[T]):
    """`is_virtual`: never recorded, its operations belong to the parent. `summary_generator`
    makes what is stored in the place of a result that is too large."""

    serdes: SerDes[Any] | None = None
    sub_type: str | None = None
    summary_generator: SummaryGenerator[T] | None = None
    is_virtual: bool = False

    def __post_init__(self) -> None:
        _check_sub_type(self.sub_type)


@dataclass(frozen=True)
class CallbackConfig:
    """`timeout`, `heartbeat_timeout`: zero is none. `serdes`: None gives the text as it
    came."""

    timeout: Duration = field(default_factory=Duration)
    heartbeat_timeout: Duration = field(default_factory=Duration)
    serdes: SerDes[Any] | None = None
    sub_type: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        _check_sub_type(self.sub_type)

    @property
    def timeout_seconds(self) -> int:
        return self.timeout.to_seconds()

    @property
    def heartbeat_timeout_seconds(self) -> int:
        return self.heartbeat_timeout.to_seconds()


@dataclass(frozen=True)
class WaitForCallbackConfig(CallbackConfig):
    """`retry_strategy`: of the step that hands the callback id out."""

    retry_strategy: Callable[[Exception, int], RetryDecision] | None = None


@dataclass(frozen=True)
class InvokeConfig(Generic[P, R]):
    """Both serdes: None is plain JSON."""

    serdes_payload: SerDes[P] | None = None
    serdes_result: SerDes[R] | None = None
    tenant_id: str | None = None


# --- batches: map and parallel ----------------------------------------------------------


class NestingType(Enum):
    """Whether each branch is an operation of its own, or only what it does is recorded."""

    NESTED = "NESTED"
    FLAT = "FLAT"


class BatchItemStatus(Enum):
    """Where a branch of a batch stands."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STARTED = "STARTED"


class CompletionOutcome(Enum):
    """What a batch ends as that its predicate ends."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class CompletionDecision:
    """What a predicate says; continue_batch() and complete_batch() make one."""

    complete: bool
    outcome: CompletionOutcome | None = None

    def __post_init__(self) -> None:
        if self.complete and self.outcome is None:
            raise ValidationError("outcome is required when complete is True")
        if not self.complete and self.outcome is not None:
            raise ValidationError("outcome must be None when complete is False")


def continue_batch() -> CompletionDecision:
    """The batch goes on."""
    return CompletionDecision(False)


def complete_batch(
    outcome: CompletionOutcome = CompletionOutcome.SUCCEEDED,
) -> CompletionDecision:
    """The batch ends now."""
    return CompletionDecision(True, outcome)


@dataclass(frozen=True)
class CompletionItemStatus:
    """One branch as a predicate sees it. `status`: None until it is started. `name`: None
    when it has the default one."""

    index: int
    name: str | None = None
    status: BatchItemStatus | None = None


@dataclass(frozen=True)
class CompletionStatus:
    """A batch as its predicate sees it; `items[i]` is branch i."""

    success_count: int
    failure_count: int
    completed_count: int
    total_count: int
    items: Sequence[CompletionItemStatus] = ()


@dataclass(frozen=True)
class CompletionConfig:
    """When a batch ends before all its branches have. Without any criterion the first
    failure ends it.

    `should_complete` decides alone. It is asked before the first branch runs and after
    each change, live only. It must depend on nothing but its argument, and stay with
    what it once decided when more branches have ended.
    """

    min_successful: int | None = None
    tolerated_failure_count: int | None = None
    tolerated_failure_percentage: int | float | None = None
    should_complete: Callable[[CompletionStatus], CompletionDecision] | None = None

    def __post_init__(self) -> None:
        least, count = self.min_successful, self.tolerated_failure_count
        percentage = self.tolerated_failure_percentage
        if least is not None and least < 1:
            raise ValidationError(f"min_successful must be at least 1, got: {least}")
        if count is not None and count < 0:
            raise ValidationError(f"tolerated_failure_count must be non-negative, got: {count}")
        if percentage is not None and not 0 <= percentage <= 100:
            raise ValidationError(
                f"tolerated_failure_percentage must be between 0 and 100, got: {percentage}"
            )
        if self.should_complete is None:
            return
        if not callable(self.should_complete):
            raise ValidationError("should_complete must be callable")
        if any(given is not None for given in (least, count, percentage)):
            raise ValidationError(
                "should_complete cannot be combined with min_successful, "
                "tolerated_failure_count, or tolerated_failure_percentage"
            )

    def check_total(self, total: int) -> None:
        """Raises when a batch of `total` branches can't meet it."""
        if self.min_successful is not None and self.min_successful > total:
            raise ValidationError(
                "min_successful cannot be greater than total items: "
                f"{self.min_successful} > {total}"
            )

    @staticmethod
    def first_successful() -> CompletionConfig:
        """Ends with the first success."""
        return CompletionConfig(min_successful=1)

    @staticmethod
    def all_completed() -> CompletionConfig:
        """Ends when all have, however."""
        return CompletionConfig(tolerated_failure_percentage=100)

    @staticmethod
    def all_successful() -> CompletionConfig:
        """Ends with the first failure."""
        return CompletionConfig(tolerated_failure_count=0, tolerated_failure_percentage=0)


@dataclass(frozen=True)
class ParallelConfig:
    """`serdes`: of the whole result, and of each branch's unless `item_serdes` is given.
    `summary_generator`: its text is stored with a result that is too large."""

    max_concurrency: int | None = None
    completion_config: CompletionConfig = field(default_factory=CompletionConfig.all_successful)
    serdes: SerDes[Any] | None = None
    item_serdes: SerDes[Any] | None = None
    summary_generator: SummaryGenerator[Any] | None = None
    nesting_type: NestingType = NestingType.NESTED

    def __post_init__(self) -> None:
        _check_max_concurrency(self.max_concurrency)


@dataclass(frozen=True)
class MapConfig(Generic[T]):
    """As ParallelConfig. `item_namer(item, index)`: names each branch; must give the same
    again on replay."""

    max_concurrency: int | None = None
    completion_config: CompletionConfig = field(default_factory=CompletionConfig)
    serdes: SerDes[Any] | None = None
    item_serdes: SerDes[Any] | None = None
    summary_generator: SummaryGenerator[Any] | None = None
    nesting_type: NestingType = NestingType.NESTED
    item_namer: Callable[[T, int], str] | None = None

    def __post_init__(self) -> None:
        _check_max_concurrency(self.max_concurrency)


@dataclass(frozen=True)
class ParallelBranch(Generic[T]):
    """A branch with a name."""

    func: Callable[..., Any]
    name: str | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.func(*args, **kwargs)
