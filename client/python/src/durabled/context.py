"""The durable context: the operations a handler may use.

Each operation follows the same path. Its place is the next position of its context. What
is recorded there and terminal is returned; else the daemon is asked, and answers with
what to do: run the body, take the result, or unwind until something is due. A fresh step
or context does not wait for that answer, since it can only be `run`.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from durabled import serdes as serdes_module
from durabled._protocol import Method
from durabled._session import TERMINAL, Operation, Session
from durabled._wire import Reply
from durabled.config import ChildConfig, Duration, StepConfig, StepSemantics
from durabled.constants import CHECKPOINT_SIZE_LIMIT_BYTES
from durabled.exceptions import (
    ChildContextError,
    DurableOperationError,
    ExecutionError,
    InvalidStateError,
    InvocationError,
    RetryableSerDesError,
    SerDesError,
    StepError,
    StepInterruptedError,
    ValidationError,
    error_object,
    raise_operation_error,
)
from durabled.identifier import OperationIdNamespace
from durabled.logger import Logger
from durabled.retries import ConfiguredStrategy, RetryPresets, Strategy
from durabled.types import LambdaContext, LoggerInterface, StepContext

T = TypeVar("T")
Params = ParamSpec("Params")

_log = logging.getLogger("durabled")


@dataclass(frozen=True)
class ExecutionContext:
    """Which execution the handler runs for."""

    durable_execution_arn: str


def durable_step(
    func: Callable[Concatenate[StepContext, Params], T],
) -> Callable[Params, Callable[[StepContext], T]]:
    """Makes `func(step, ...)` a step: calling it with the other arguments gives what
    `DurableContext.step` takes, named after the function."""
    return _bound(func)


def durable_with_child_context(
    func: Callable[Concatenate[DurableContext, Params], T],
) -> Callable[Params, Callable[[DurableContext], T]]:
    """The same for what `DurableContext.run_in_child_context` takes."""
    return _bound(func)


def _bound(func: Callable[..., T]) -> Callable[..., Callable[[Any], T]]:
    @functools.wraps(func)
    def bind(*args: Any, **kwargs: Any) -> Callable[[Any], T]:
        def body(context: Any) -> T:
            return func(context, *args, **kwargs)

        body._original_name = func.__name__  # type: ignore[attr-defined]
        return body

    return bind


class DurableContext:
    """What operations are started in: the handler's, or a child context's."""

    def __init__(
        self,
        session: Session,
        logger: Logger,
        lambda_context: LambdaContext | None = None,
        *,
        handle: int = 0,
        operation_id: str | None = None,
        parent_id: str | None = None,
        replaying: bool = False,
    ) -> None:
        self.lambda_context = lambda_context
        self.execution_context = ExecutionContext(session.arn)
        self.logger = logger.with_is_replaying(self.is_replaying)
        self._session = session
        self._handle = handle
        self._id = operation_id  # of the context itself, virtual or not
        self._parent_id = parent_id  # what operations are recorded under
        self._ids = OperationIdNamespace(operation_id)
        self._position = 0
        self._lock = threading.Lock()
        self._replaying = replaying

    # -- what it is ---------------------------------------------------------------

    @property
    def is_virtual(self) -> bool:
        """Whether the context itself is not recorded."""
        return self._parent_id != self._id

    def is_replaying(self) -> bool:
        """Whether the code that runs now ran in an earlier invocation."""
        return self._replaying

    def set_logger(self, new_logger: LoggerInterface) -> None:
        """Replaces the logger below `logger`, here and in contexts created later."""
        self.logger = self.logger.with_logger(new_logger)

    # -- operations -----------------------------------------------------------------

    def step(
        self,
        func: Callable[[StepContext], T],
        name: str | None = None,
        config: StepConfig | None = None,
    ) -> T:
        """Runs `func`, records what it returns, and returns that without running it in
        every later invocation. Raises StepError when it failed and is not retried."""
        config = config or StepConfig()
        place = self._next("STEP", config.sub_type or "Step", name or _name_of(func))
        with place:
            result: T = _Step(self, place, func, config).run()
        return result

    def wait(self, duration: Duration, name: str | None = None) -> None:
        """Suspends the execution; costs nothing meanwhile."""
        seconds = duration.to_seconds()
        if seconds < 1:
            raise ValidationError("duration must be at least 1 second")
        place = self._next("WAIT", "Wait", name)
        with place:
            if place.recorded:
                return
            handle = self._session.new_handle()
            start, wait = self._session.post_all(
                ("session.start", {**place.start(handle), "seconds": seconds}),
                ("session.await", {"context": self._handle, "operations": [handle]}),
            )
            if self._session.result(start, place.id)["outcome"] != "done":
                self._session.result(wait, place.id)

    def run_in_child_context(
        self,
        func: Callable[[DurableContext], T],
        name: str | None = None,
        config: ChildConfig[T] | None = None,
    ) -> T:
        """Runs `func` with a context of its own and records its result as one operation's.
        Raises ChildContextError when it failed."""
        config = config or ChildConfig()
        place = self._next(
            "CONTEXT",
            config.sub_type or "RunInChildContext",
            name or _name_of(func),
            is_virtual=config.is_virtual,
        )
        with place:
            result: T = _Child(self, place, func, config).run()
        return result

    # -- inside -----------------------------------------------------------------------

    def _next(
        self, type_: str, sub_type: str, name: str | None, *, is_virtual: bool = False
    ) -> _Place:
        with self._lock:
            self._position += 1
            return _Place(self, self._position, type_, sub_type, name or None, is_virtual)

    def _at(self, position: int) -> Operation | None:
        return self._session.cursor.at(self._id, position)

    def _convert(
        self,
        outcome: Mapping[str, Any],
        id_: str,
        serdes: Any,
        wrapper: type[DurableOperationError],
    ) -> Any:
        """The value of a terminal operation, or the error it is raised as."""
        if outcome["status"] != "SUCCEEDED":
            raise_operation_error(wrapper, outcome.get("error"))
        payload = outcome.get("payload")
        if payload is None:
            return None
        return serdes_module.deserialize(serdes, payload, id_, self._session.arn)

    def _serialize(self, value: Any, id_: str, serdes: Any) -> tuple[str | None, Any]:
        """The text of a value, and the value that the text gives: what is returned now is
        what later invocations will see."""
        payload = serdes_module.serialize(serdes, value, id_, self._session.arn)
        if payload is None:
            return None, None
        return payload, serdes_module.deserialize(serdes, payload, id_, self._session.arn)


def _name_of(func: Callable[..., Any]) -> str | None:
    name = getattr(func, "_original_name", None)
    return str(name) if name else None


class _Place:
    """One operation of a context: where it stands, what it is, what is recorded there.

    As a context manager it keeps the context's replay status: replaying ends before an
    operation that has no record or is a step that will really run, and after one that was
    open, or that nothing recorded follows.
    """

    def __init__(
        self,
        context: DurableContext,
        position: int,
        type_: str,
        sub_type: str,
        name: str | None,
        is_virtual: bool,
    ) -> None:
        self._context = context
        self._position = position
        self._type = type_
        self._sub_type = sub_type
        self.name = name
        self.is_virtual = is_virtual
        self.id = context._ids.create_id_for_step(position)
        self.found = context._at(position)

    def __enter__(self) -> None:
        if self._context._replaying and not self.is_virtual and self._is_new():
            self._context._replaying = False

    def __exit__(self, *_: object) -> None:
        if not self._context._replaying:
            return
        was_open = self.found and self.found["Status"] not in TERMINAL
        if was_open or self._context._at(self._position + 1) is None:
            self._context._replaying = False

    def _is_new(self) -> bool:
        if self.found is None:
            return True
        return self.found["Type"] == "STEP" and self.found["Status"] not in TERMINAL

    @property
    def same(self) -> bool:
        """Whether what is recorded is what the code asks for."""
        found = self.found
        return found is not None and (
            found["Type"],
            found.get("SubType"),
            found.get("Name"),
            found.get("ParentId"),
        ) == (self._type, self._sub_type, self.name, self._context._parent_id)

    @property
    def recorded(self) -> bool:
        """Whether the record has the outcome, so that nothing need be asked."""
        return self.same and self.found is not None and self.found["Status"] in TERMINAL

    @property
    def certainly_new(self) -> bool:
        """Whether its body may run before the daemon has answered."""
        return self.found is None and not self._context._session.cursor.gaps

    def outcome(self) -> dict[str, Any]:
        assert self.found is not None
        details = self.found.get(f"{self._type.capitalize()}Details") or {}
        return {
            "status": self.found["Status"],
            "payload": details.get("Result"),
            "error": details.get("Error"),
        }

    def start(self, handle: int) -> dict[str, Any]:
        """The parameters of session.start that every type has."""
        return {
            "operation": handle,
            "context": self._context._handle,
            "position": self._position,
            "type": self._type,
            "sub_type": self._sub_type,
            "name": self.name,
        }


class _Step:
    """One call of DurableContext.step."""

    def __init__(
        self,
        context: DurableContext,
        place: _Place,
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

    def run(self) -> Any:
        if self._place.recorded:
            return self._convert(self._place.outcome())
        answer = self._start()
        while True:
            outcome = answer["outcome"]
            if outcome == "done":
                return self._convert(answer)
            if outcome == "ready":
                return self._convert(answer["operations"][0])
            if outcome == "run":
                answer = self._attempt(answer["attempt"])
            elif outcome == "decide":
                answer = self._decide(answer)
            else:
                answer = self._session.call(
                    "session.await", context=self._context._handle, operations=[self._handle]
                )

    def _convert(self, outcome: Mapping[str, Any]) -> Any:
        if "value" in outcome:
            return outcome["value"]
        return self._context._convert(outcome, self._place.id, self._config.serdes, StepError)

    def _start(self) -> Mapping[str, Any]:
        self._handle = self._session.new_handle()
        params = self._place.start(self._handle)
        params["semantics"] = self._config.step_semantics.value
        if isinstance(self._strategy, ConfiguredStrategy) and not (
            self._strategy.config.has_filters()
        ):
            params["retry"] = self._strategy.config.to_wire()
        else:
            params["ask"] = True
        reply = self._session.post("session.start", **params)
        at_least_once = self._config.step_semantics is StepSemantics.AT_LEAST_ONCE_PER_RETRY
        if self._place.certainly_new and at_least_once:
            self._started = reply
            return {"outcome": "run", "attempt": 1}
        return self._session.result(reply, self._place.id)

    def _attempt(self, attempt: int) -> Mapping[str, Any]:
        extra = {"operationId": self._place.id, "attempt": attempt}
        if self._place.name:
            extra["operationName"] = self._place.name
        if self._context._parent_id:
            extra["parentId"] = self._context._parent_id
        step = StepContext(logger=self._context.logger.with_extra(extra), attempt=attempt)
        try:
            value = self._func(step)
            payload, value = self._context._serialize(
                value, self._place.id, self._config.serdes
            )
        except (ExecutionError, RetryableSerDesError):
            raise
        except SerDesError as error:
            return self._close("session.fail", error=error_object(error), final=True)
        except Exception as error:
            return self._failed(error, attempt)
        return {**self._close("session.succeed", payload=payload), "value": value}

    def _failed(self, error: Exception, attempt: int) -> Mapping[str, Any]:
        """Reports a failed attempt; a strategy that is not data decides here."""
        decided: dict[str, Any] = {"retryable": True}
        if not isinstance(self._strategy, ConfiguredStrategy) or (
            self._strategy.config.has_filters()
        ):
            decided["delay_s"] = self._delay(error, attempt)
        return self._close("session.fail", error=error_object(error), **decided)

    def _decide(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """The strategy's word on an attempt that was cut off."""
        message = (answer.get("error") or {}).get("ErrorMessage", "")
        error = StepInterruptedError(message, self._place.id)
        delay_s = self._delay(error, answer["attempt"])
        return self._close("session.decide", delay_s=delay_s)

    def _delay(self, error: Exception, attempt: int) -> int:
        decision = self._strategy(error, attempt)
        if not decision.should_retry:
            return 0
        if decision.delay_seconds < 1:
            _log.warning(
                "retry delay of %d s raised to 1 s: %s",
                decision.delay_seconds,
                self._place.name or self._place.id,
            )
        return max(1, decision.delay_seconds)

    def _close(self, method: Method, **params: Any) -> dict[str, Any]:
        reply = self._session.post(method, operation=self._handle, **params)
        if self._started:
            started, self._started = self._started, None
            if self._session.result(started, self._place.id)["outcome"] != "run":
                raise InvalidStateError(f"step {self._place.id} is recorded, and ran")
        return self._session.result(reply, self._place.id)


class _Child:
    """One call of DurableContext.run_in_child_context."""

    def __init__(
        self,
        context: DurableContext,
        place: _Place,
        func: Callable[[DurableContext], Any],
        config: ChildConfig[Any],
    ) -> None:
        self._context = context
        self._session = context._session
        self._place = place
        self._func = func
        self._config = config
        self._handle = 0
        self._started: Reply | None = None

    def run(self) -> Any:
        if self._place.recorded and not self._replay_children:
            return self._convert(self._place.outcome())
        answer = self._start()
        if answer["outcome"] == "done":
            return self._convert(answer)
        return self._body()

    @property
    def _replay_children(self) -> bool:
        found = self._place.found
        return bool(found and (found.get("ContextDetails") or {}).get("ReplayChildren"))

    def _convert(self, outcome: Mapping[str, Any]) -> Any:
        return self._context._convert(
            outcome, self._place.id, self._config.serdes, ChildContextError
        )

    def _start(self) -> Mapping[str, Any]:
        self._handle = self._session.new_handle()
        params = self._place.start(self._handle)
        if self._place.is_virtual:
            params["virtual"] = True
        reply = self._session.post("session.start", **params)
        found = self._place.found
        started = found and self._place.same and found["Status"] == "STARTED"
        if started or self._place.is_virtual or self._place.certainly_new:
            self._started = reply
            return {"outcome": "run"}
        return self._session.result(reply, self._place.id)

    def _body(self) -> Any:
        parent_id = self._context._parent_id if self._place.is_virtual else self._place.id
        logger = self._context.logger
        child = DurableContext(
            self._session,
            logger.with_extra({"parentId": parent_id}) if parent_id else logger,
            self._context.lambda_context,
            handle=self._handle,
            operation_id=self._place.id,
            parent_id=parent_id,
            replaying=self._context._replaying,
        )
        try:
            value = self._func(child)
            payload, returned = self._context._serialize(
                value, self._place.id, self._config.serdes
            )
        except (ExecutionError, InvocationError):
            raise
        except Exception as error:
            failed = self._close("session.fail", error=error_object(error))
            raise_operation_error(ChildContextError, failed.get("error") or error_object(error))
        if payload is None or len(payload) <= CHECKPOINT_SIZE_LIMIT_BYTES:
            self._close("session.succeed", payload=payload)
        else:
            generator = self._config.summary_generator
            summary = generator(value) if generator else ""
            self._close("session.succeed", summary=summary, replay_children=True)
        return returned

    def _close(self, method: Method, **params: Any) -> dict[str, Any]:
        reply = self._session.post(method, operation=self._handle, **params)
        if self._started:
            self._session.result(self._started, self._place.id)
        return self._session.result(reply, self._place.id)
