"""step: user code whose result is recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from durabled._drive import Answered, Awaited, Function, Op
from durabled._protocol import Method
from durabled._wire import Reply
from durabled.config import StepConfig, StepSemantics
from durabled.exceptions import (
    ExecutionError,
    InvalidStateError,
    RetryableSerDesError,
    SerDesError,
    StepError,
    StepInterruptedError,
    error_object,
)
from durabled.operation.base import Place, left_open, name_of, need
from durabled.retries import ConfiguredStrategy, RetryPresets, Strategy
from durabled.types import StepContext

if TYPE_CHECKING:
    from durabled.context import BaseContext

_log = logging.getLogger("durabled")


def step(
    context: BaseContext,
    func: Callable[[StepContext], Any],
    name: str | None,
    config: StepConfig | None,
) -> Op[Any]:
    config = config or StepConfig()
    place = context._next("STEP", config.sub_type or "Step", name or name_of(func))
    return _Step(context, place, func, config).op()


def at_least_1_s(seconds: int, place: Place) -> int:
    """The service knows no shorter delay."""
    if seconds < 1:
        _log.warning("delay of %d s raised to 1 s: %s", seconds, place.name or place.id)
    return max(1, seconds)


class _Step:
    def __init__(
        self,
        context: BaseContext,
        place: Place,
        func: Callable[[StepContext], Any],
        config: StepConfig,
    ) -> None:
        self._context = context
        self._session = context._session
        self._place = place
        self._func = func
        self._config = config
        self._strategy: Strategy = config.retry_strategy or RetryPresets.default()
        self._handle = 0
        self._started: Reply | None = None

    def op(self) -> Op[Any]:
        with self._place.turn():
            if self._place.recorded:
                return self._value(self._place.outcome())
            answer = yield from self._start()
            with left_open(self._session, self._handle):
                while answer["outcome"] != "done":
                    answer = yield from self._next(answer)
            return self._value(answer)

    def _next(self, answer: Mapping[str, Any]) -> Op[dict[str, Any]]:
        if answer["outcome"] == "run":
            return (yield from self._attempt(answer["attempt"]))
        if answer["outcome"] == "decide":
            return (yield from self._decide(answer))
        awaited: dict[str, Any] = yield Awaited(self._context._strand, self._handle)
        if awaited["outcome"] == "run":
            self._place.tell_started(again=True)
        return awaited

    def _value(self, outcome: Mapping[str, Any]) -> Any:
        if "value" in outcome and outcome["status"] == "SUCCEEDED":
            self._place.tell_ended()
            return outcome["value"]
        return self._place.value(outcome, self._config.serdes, StepError)

    @property
    def _as_data(self) -> ConfiguredStrategy | None:
        """The strategy, if the daemon can apply it."""
        strategy = self._strategy
        if isinstance(strategy, ConfiguredStrategy) and not strategy.config.has_filters():
            return strategy
        return None

    def _start(self) -> Op[dict[str, Any]]:
        self._place.tell_started()
        self._handle = self._session.new_handle()
        params = self._place.start(self._handle)
        params["semantics"] = self._config.step_semantics.value
        if self._as_data:
            params["retry"] = self._as_data.config.to_wire()
        else:
            params["ask"] = True
        at_least_once = self._config.step_semantics is StepSemantics.AT_LEAST_ONCE_PER_RETRY
        ahead = self._place.certainly_new and at_least_once
        reply = self._session.post("session.start", **params, ahead=ahead or None)
        if ahead:
            self._started = reply
            return {"outcome": "run", "attempt": 1}
        answer: dict[str, Any] = yield Answered(self._session, reply, self._place.id)
        return answer

    def _attempt(self, attempt: int) -> Op[dict[str, Any]]:
        logger = self._context._logger_of(self._place, attempt)
        timeout = self._config.timeout
        body = Function(
            self._func,
            StepContext(logger, attempt),
            timeout_s=timeout.to_seconds() if timeout else None,
        )
        try:
            value = yield from self._place.around(need(body), attempt)
            payload = self._place.serialize(value, self._config.serdes)
            value = self._place.deserialize(payload, self._config.serdes)
        except (ExecutionError, RetryableSerDesError):
            raise
        except SerDesError as error:
            return (
                yield from self._close("session.fail", error=error_object(error), final=True)
            )
        except Exception as error:
            return (yield from self._failed(error, attempt))
        answer = yield from self._close("session.succeed", payload=payload)
        return {**answer, "value": value}

    def _failed(self, error: Exception, attempt: int) -> Op[dict[str, Any]]:
        """Reports a failed attempt; a strategy that is not data decides here."""
        decided: dict[str, Any] = {"retryable": True}
        if not self._as_data:
            decided["delay_s"] = self._delay(error, attempt)
        return (yield from self._close("session.fail", error=error_object(error), **decided))

    def _decide(self, answer: Mapping[str, Any]) -> Op[dict[str, Any]]:
        """The strategy's word on an attempt that was cut off."""
        message = (answer.get("error") or {}).get("ErrorMessage", "")
        error = StepInterruptedError(message, self._place.id)
        delay_s = self._delay(error, answer["attempt"])
        return (yield from self._close("session.decide", delay_s=delay_s))

    def _delay(self, error: Exception, attempt: int) -> int:
        decision = self._strategy(error, attempt)
        if not decision.should_retry:
            return 0
        return at_least_1_s(decision.delay_seconds, self._place)

    def _close(self, how: Method, **params: Any) -> Op[dict[str, Any]]:
        reply = self._session.post(how, operation=self._handle, **params)
        if self._started:
            reply_to_start, self._started = self._started, None
            started = yield Answered(self._session, reply_to_start, self._place.id)
            if started["outcome"] != "run":
                raise InvalidStateError(f"step {self._place.id} is recorded, and ran")
        answer: dict[str, Any] = yield Answered(self._session, reply, self._place.id)
        return answer
