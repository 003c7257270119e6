"""Retry strategies: what a step does after a failed attempt.

A strategy is any callable `(error, attempts so far) -> RetryDecision`. Those made here
also carry their configuration, so that the daemon can apply them without asking back.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from durabled.config import ChildConfig, Duration, JitterStrategy, Numeric

if TYPE_CHECKING:
    from durabled.async_context import AsyncDurableContext
    from durabled.context import DurableContext

T = TypeVar("T")
Strategy = Callable[[Exception, int], "RetryDecision"]


@dataclass
class RetryDecision:
    """Whether to try again, and after which delay."""

    should_retry: bool
    delay: Duration

    @property
    def delay_seconds(self) -> int:
        return self.delay.to_seconds()

    @classmethod
    def retry(cls, delay: Duration) -> RetryDecision:
        return cls(True, delay)

    @classmethod
    def no_retry(cls) -> RetryDecision:
        return cls(False, Duration())


def exponential(initial: float, rate: Numeric, attempts: int, maximum: float) -> float:
    """The delay after so many attempts, at most `maximum`."""
    # A large exponent overflows a float long after the maximum is reached.
    try:
        return min(initial * float(rate) ** (attempts - 1), maximum)
    except OverflowError:
        return float(maximum)


class _Filters:
    """Which errors are worth another try: those that match either list; all without."""

    retryable_errors: list[str | re.Pattern[str]] | None
    retryable_error_types: list[type[Exception]] | None

    def has_filters(self) -> bool:
        return self.retryable_errors is not None or self.retryable_error_types is not None

    def accepts(self, error: Exception) -> bool:
        if not self.has_filters():
            return True
        text = str(error)
        return isinstance(error, tuple(self.retryable_error_types or ())) or any(
            pattern in text if isinstance(pattern, str) else pattern.search(text)
            for pattern in self.retryable_errors or ()
        )


@dataclass
class RetryStrategyConfig(_Filters):
    """Exponential backoff: min(initial_delay * backoff_rate ** (attempts - 1), max_delay).
    `max_attempts` counts the first one."""

    max_attempts: int = 3
    initial_delay: Duration = field(default_factory=lambda: Duration.from_seconds(5))
    max_delay: Duration = field(default_factory=lambda: Duration.from_minutes(5))
    backoff_rate: Numeric = 2.0
    jitter_strategy: JitterStrategy = JitterStrategy.FULL
    retryable_errors: list[str | re.Pattern[str]] | None = None
    retryable_error_types: list[type[Exception]] | None = None

    @property
    def initial_delay_seconds(self) -> int:
        return self.initial_delay.to_seconds()

    @property
    def max_delay_seconds(self) -> int:
        return self.max_delay.to_seconds()

    def base_delay(self, attempts: int) -> float:
        return exponential(
            self.initial_delay_seconds, self.backoff_rate, attempts, self.max_delay_seconds
        )

    def to_wire(self) -> dict[str, Any]:
        return {
            "max_attempts": max(1, self.max_attempts),
            "backoff": "exponential",
            "jitter": self.jitter_strategy.value,
            "initial_delay_s": float(self.initial_delay_seconds),
            "max_delay_s": float(self.max_delay_seconds),
            "rate": float(self.backoff_rate),
        }


@dataclass
class LinearRetryStrategyConfig(_Filters):
    """Linear backoff: min(initial_delay + increment * (attempts - 1), max_delay)."""

    max_attempts: int = 6
    initial_delay: Duration = field(default_factory=lambda: Duration.from_seconds(1))
    increment: Duration = field(default_factory=lambda: Duration.from_seconds(1))
    max_delay: Duration = field(default_factory=lambda: Duration.from_minutes(5))
    jitter_strategy: JitterStrategy = JitterStrategy.FULL
    retryable_errors: list[str | re.Pattern[str]] | None = None
    retryable_error_types: list[type[Exception]] | None = None

    @property
    def initial_delay_seconds(self) -> int:
        return self.initial_delay.to_seconds()

    @property
    def increment_seconds(self) -> int:
        return self.increment.to_seconds()

    @property
    def max_delay_seconds(self) -> int:
        return self.max_delay.to_seconds()

    def base_delay(self, attempts: int) -> float:
        delay = self.initial_delay_seconds + self.increment_seconds * (attempts - 1)
        return min(delay, self.max_delay_seconds)

    def to_wire(self) -> dict[str, Any]:
        return {
            "max_attempts": max(1, self.max_attempts),
            "backoff": "linear",
            "jitter": self.jitter_strategy.value,
            "initial_delay_s": float(self.initial_delay_seconds),
            "max_delay_s": float(self.max_delay_seconds),
            "increment_s": float(self.increment_seconds),
        }


class ConfiguredStrategy:
    """A strategy that is data."""

    def __init__(self, config: RetryStrategyConfig | LinearRetryStrategyConfig) -> None:
        self.config = config

    def __call__(self, error: Exception, attempts: int) -> RetryDecision:
        if attempts >= self.config.max_attempts or not self.config.accepts(error):
            return RetryDecision.no_retry()
        delay = self.config.jitter_strategy.finalize_delay(self.config.base_delay(attempts))
        return RetryDecision.retry(Duration.from_seconds(delay))


def create_retry_strategy(config: RetryStrategyConfig | None = None) -> Strategy:
    """Exponential backoff."""
    return ConfiguredStrategy(config or RetryStrategyConfig())


def create_linear_retry_strategy(config: LinearRetryStrategyConfig | None = None) -> Strategy:
    """Linear backoff."""
    return ConfiguredStrategy(config or LinearRetryStrategyConfig())


class RetryPresets:
    """Strategies for the usual cases."""

    @classmethod
    def none(cls) -> Strategy:
        return create_retry_strategy(RetryStrategyConfig(max_attempts=1))

    @classmethod
    def default(cls) -> Strategy:
        return create_retry_strategy(
            RetryStrategyConfig(max_attempts=6, max_delay=Duration.from_minutes(1))
        )

    @classmethod
    def transient(cls) -> Strategy:
        return create_retry_strategy(RetryStrategyConfig(jitter_strategy=JitterStrategy.HALF))

    @classmethod
    def resource_availability(cls) -> Strategy:
        return create_retry_strategy(RetryStrategyConfig(max_attempts=5))

    @classmethod
    def critical(cls) -> Strategy:
        return create_retry_strategy(
            RetryStrategyConfig(
                max_attempts=10,
                initial_delay=Duration.from_seconds(1),
                max_delay=Duration.from_minutes(1),
                backoff_rate=1.5,
                jitter_strategy=JitterStrategy.NONE,
            )
        )

    @classmethod
    def linear(cls) -> Strategy:
        return create_linear_retry_strategy(
            LinearRetryStrategyConfig(jitter_strategy=JitterStrategy.NONE)
        )

    @classmethod
    def fixed(cls, interval: Duration | None = None) -> Strategy:
        delay = interval or Duration.from_seconds(5)
        return create_retry_strategy(
            RetryStrategyConfig(
                max_attempts=5,
                initial_delay=delay,
                max_delay=delay,
                backoff_rate=1.0,
                jitter_strategy=JitterStrategy.NONE,
            )
        )


@dataclass(frozen=True)
class WithRetryConfig(Generic[T]):
    """`retry_strategy`: None is create_retry_strategy(). Without the child context the last
    error is raised as it is."""

    retry_strategy: Strategy | None = None
    wrap_with_run_in_child_context: bool = True
    child_context_config: ChildConfig[T] | None = None


@overload
def with_retry(
    context: AsyncDurableContext,
    func: Callable[[AsyncDurableContext, int], Awaitable[T] | T],
    config: WithRetryConfig[T],
    name: str | None = None,
) -> Awaitable[T]: ...
@overload
def with_retry(
    context: DurableContext,
    func: Callable[[DurableContext, int], T],
    config: WithRetryConfig[T],
    name: str | None = None,
) -> T: ...
def with_retry(
    context: Any,
    func: Callable[[Any, int], Any],
    config: WithRetryConfig[Any],
    name: str | None = None,
) -> Any:
    """Runs `func(context, attempt)`, which may use any operation, until it succeeds or the
    strategy gives up; between attempts the execution waits."""
    strategy = config.retry_strategy or create_retry_strategy()
    child_config: ChildConfig[Any] | None = None
    if config.wrap_with_run_in_child_context:
        child_config = config.child_context_config or ChildConfig()
    return context._perform(context._repeat(func, strategy, name, child_config))
