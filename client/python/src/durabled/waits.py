"""Wait strategies: when wait_for_condition asks again, and when it stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic

from durabled.config import Duration, JitterStrategy, Numeric, T
from durabled.exceptions import WaitForConditionError
from durabled.retries import exponential

if TYPE_CHECKING:
    from durabled.serdes import SerDes


@dataclass
class WaitStrategyConfig(Generic[T]):
    """Polls while `should_continue_polling(state)`, with exponential backoff."""

    should_continue_polling: Callable[[T], bool]
    max_attempts: int = 60
    initial_delay: Duration = field(default_factory=lambda: Duration.from_seconds(5))
    max_delay: Duration = field(default_factory=lambda: Duration.from_minutes(5))
    backoff_rate: Numeric = 1.5
    jitter_strategy: JitterStrategy = JitterStrategy.FULL

    @property
    def initial_delay_seconds(self) -> int:
        return self.initial_delay.to_seconds()

    @property
    def max_delay_seconds(self) -> int:
        return self.max_delay.to_seconds()


@dataclass(frozen=True)
class WaitForConditionDecision:
    """Whether to ask again, and after which delay."""

    should_continue: bool
    delay: Duration

    @property
    def delay_seconds(self) -> int:
        return self.delay.to_seconds()

    @classmethod
    def continue_waiting(cls, delay: Duration) -> WaitForConditionDecision:
        return cls(True, delay)

    @classmethod
    def stop_polling(cls) -> WaitForConditionDecision:
        return cls(False, Duration())


def create_wait_strategy(
    config: WaitStrategyConfig[T],
) -> Callable[[T, int], WaitForConditionDecision]:
    """The strategy of a configuration. A condition that is met at the last attempt is met;
    after it WaitForConditionError is raised."""

    def strategy(result: T, attempts_made: int) -> WaitForConditionDecision:
        if not config.should_continue_polling(result):
            return WaitForConditionDecision.stop_polling()
        if attempts_made >= config.max_attempts:
            raise WaitForConditionError(
                f"wait_for_condition exhausted {config.max_attempts} attempts "
                "before the condition was met"
            )
        base = exponential(
            config.initial_delay_seconds,
            config.backoff_rate,
            attempts_made,
            config.max_delay_seconds,
        )
        delay = config.jitter_strategy.finalize_delay(base)
        return WaitForConditionDecision.continue_waiting(Duration(delay))

    return strategy


@dataclass(frozen=True)
class WaitForConditionConfig(Generic[T]):
    """`wait_strategy(state, attempts)` is asked after each check; `initial_state` is what
    the first one is given."""

    wait_strategy: Callable[[T, int], WaitForConditionDecision]
    initial_state: T
    serdes: SerDes[Any] | None = None
