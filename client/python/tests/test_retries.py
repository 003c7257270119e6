"""Strategies: when they retry, and after which delay."""

from __future__ import annotations

import re

import pytest

from durabled.config import Duration, JitterStrategy
from durabled.exceptions import ValidationError
from durabled.retries import (
    ConfiguredStrategy,
    LinearRetryStrategyConfig,
    RetryDecision,
    RetryPresets,
    RetryStrategyConfig,
    create_linear_retry_strategy,
    create_retry_strategy,
)


def delays(strategy: object, attempts: int = 12) -> list[int]:
    assert isinstance(strategy, ConfiguredStrategy)
    decisions = [strategy(ValueError("x"), n) for n in range(1, attempts + 1)]
    return [d.delay_seconds for d in decisions if d.should_retry]


def test_exponential_without_jitter() -> None:
    config = RetryStrategyConfig(
        max_attempts=6,
        initial_delay=Duration(2),
        max_delay=Duration(20),
        backoff_rate=3,
        jitter_strategy=JitterStrategy.NONE,
    )
    assert delays(create_retry_strategy(config)) == [2, 6, 18, 20, 20]


def test_linear_without_jitter() -> None:
    config = LinearRetryStrategyConfig(
        max_attempts=5, increment=Duration(4), jitter_strategy=JitterStrategy.NONE
    )
    assert delays(create_linear_retry_strategy(config)) == [1, 5, 9, 13]


def test_presets() -> None:
    assert delays(RetryPresets.none()) == []
    assert delays(RetryPresets.linear()) == [1, 2, 3, 4, 5]
    assert delays(RetryPresets.fixed()) == [5, 5, 5, 5]
    assert delays(RetryPresets.fixed(Duration(7))) == [7, 7, 7, 7]
    assert delays(RetryPresets.critical()) == [1, 2, 3, 4, 6, 8, 12, 18, 26]
    assert len(delays(RetryPresets.default())) == 5
    assert len(delays(RetryPresets.transient())) == 2
    assert len(delays(RetryPresets.resource_availability())) == 4


@pytest.mark.parametrize(
    ("jitter", "low", "high"), [(JitterStrategy.FULL, 0, 100), (JitterStrategy.HALF, 50, 100)]
)
def test_jitter_stays_in_its_range(jitter: JitterStrategy, low: float, high: float) -> None:
    seen = [jitter.apply_jitter(100) for _ in range(1000)]
    assert low <= min(seen) < low + 10
    assert high - 10 < max(seen) < high
    assert jitter.finalize_delay(0.01) == 1


def test_filters() -> None:
    by_text = create_retry_strategy(RetryStrategyConfig(retryable_errors=["busy"]))
    assert by_text(ValueError("the disk is busy"), 1).should_retry
    assert not by_text(ValueError("the disk is gone"), 1).should_retry
    by_pattern = create_retry_strategy(
        RetryStrategyConfig(retryable_errors=[re.compile("^5..")])
    )
    assert by_pattern(ValueError("503"), 1).should_retry
    assert not by_pattern(ValueError("1503"), 1).should_retry
    by_type = create_retry_strategy(RetryStrategyConfig(retryable_error_types=[OSError]))
    assert by_type(TimeoutError(), 1).should_retry
    assert not by_type(ValueError(), 1).should_retry
    none_given = create_retry_strategy(RetryStrategyConfig(retryable_errors=[]))
    assert not none_given(ValueError(), 1).should_retry


def test_large_exponents_reach_the_maximum() -> None:
    config = RetryStrategyConfig(max_attempts=10**6, backoff_rate=1e300)
    assert config.base_delay(100_000) == 300


def test_decisions_and_durations() -> None:
    assert RetryDecision.retry(Duration(3)).delay_seconds == 3
    assert not RetryDecision.no_retry().should_retry
    assert Duration.from_minutes(1.5).to_seconds() == 90
    assert Duration.from_days(1) == Duration.from_hours(24)
    with pytest.raises(ValidationError, match="Duration seconds must be positive"):
        Duration(-1)
