"""wait_for_condition: a check that is run again until its strategy is content.

It is a step that never fails an attempt: each one that is not the last keeps its state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from durabled._drive import Answered, Awaited, Function, Op
from durabled._protocol import Method
from durabled._wire import Reply
from durabled.exceptions import (
    InvocationError,
    ValidationError,
    WaitForConditionError,
    error_object,
)
from durabled.operation.base import Place, left_open, need
from durabled.operation.step import at_least_1_s
from durabled.types import WaitForConditionCheckContext
from durabled.waits import WaitForConditionConfig

if TYPE_CHECKING:
    from durabled.context import BaseContext

Check = Callable[[Any, WaitForConditionCheckContext], Any]


def wait_for_condition(
    context: BaseContext, check: Check, config: WaitForConditionConfig[Any], name: str | None
) -> Op[Any]:
    if check is None:
        raise ValidationError("`check` is required for wait_for_condition")
    if not config:
        raise ValidationError("`config` is required for wait_for_condition")
    return _Condition(
        context, context._next("STEP", "WaitForCondition", name), check, config
    ).op()


class _Condition:
    def __init__(
        self,
        context: BaseContext,
        place: Place,
        check: Check,
        config: WaitForConditionConfig[Any],
    ) -> None:
        self._context = context
        self._session = context._session
        self._place = place
        self._check = check
        self._config = config
        self._handle = 0
        self._started: Reply | None = None

    def op(self) -> Op[Any]:
        with self._place.turn():
            if self._place.recorded:
                return self._value(self._place.outcome())
            answer = yield from self._start()
            with left_open(self._session, self._handle):
                while answer["outcome"] != "done":
                    if answer["outcome"] == "run":
                        answer = yield from self._poll(answer)
                    else:
                        answer = yield Awaited(self._context._strand, self._handle)
                        if answer["outcome"] == "run":
                            self._place.tell_started(again=True)
            return self._value(answer)

    def _value(self, outcome: Mapping[str, Any]) -> Any:
        if "value" in outcome:
            self._place.tell_ended()
            return outcome["value"]
        return self._place.value(outcome, self._config.serdes, WaitForConditionError)

    def _start(self) -> Op[dict[str, Any]]:
        self._place.tell_started()
        self._handle = self._session.new_handle()
        ahead = self._place.certainly_new
        params = self._place.start(self._handle)
        reply = self._session.post("session.start", **params, ahead=ahead or None)
        if ahead:
            self._started = reply
            return {"outcome": "run", "attempt": 1}
        answer: dict[str, Any] = yield Answered(self._session, reply, self._place.id)
        return answer

    def _poll(self, run: Mapping[str, Any]) -> Op[dict[str, Any]]:
        serdes, attempt = self._config.serdes, run["attempt"]
        try:
            # An empty text is no state either.
            kept = run.get("payload") or self._place.serialize(
                self._config.initial_state, serdes
            )
            state = self._place.deserialize(kept, serdes)
            logger = self._context._logger_of(self._place, attempt)
            body = Function(self._check, state, WaitForConditionCheckContext(logger, attempt))
            state = yield from self._place.around(need(body), attempt)
            payload = self._place.serialize(state, serdes)
            # The strategy sees what later invocations will, and may change its copy.
            decision = self._config.wait_strategy(
                self._place.deserialize(payload, serdes), attempt
            )
            value = self._place.deserialize(payload, serdes)
        except Exception as error:
            if isinstance(error, InvocationError) and error.is_retryable():
                raise
            return (
                yield from self._close("session.fail", error=error_object(error), final=True)
            )
        if decision.should_continue:
            delay_s = at_least_1_s(decision.delay_seconds, self._place)
            return (yield from self._close("session.retry", payload=payload, delay_s=delay_s))
        answer = yield from self._close("session.succeed", payload=payload)
        return {**answer, "value": value}

    def _close(self, how: Method, **params: Any) -> Op[dict[str, Any]]:
        reply = self._session.post(how, operation=self._handle, **params)
        if self._started:
            reply_to_start, self._started = self._started, None
            yield Answered(self._session, reply_to_start, self._place.id)
        answer: dict[str, Any] = yield Answered(self._session, reply, self._place.id)
        return answer
