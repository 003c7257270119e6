"""The durable context: the operations a handler may use, blocking."""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from durabled._drive import Body, Op, Strand, is_async, run
from durabled._session import Session
from durabled.concurrency.models import BatchResult
from durabled.config import (
    CallbackConfig,
    ChildConfig,
    Duration,
    InvokeConfig,
    MapConfig,
    ParallelBranch,
    ParallelConfig,
    StepConfig,
    WaitForCallbackConfig,
)
from durabled.logger import Logger, LogInfo
from durabled.operation import batch, callback, child, condition, invoke, step, wait
from durabled.operation.base import Place
from durabled.operation.callback import PASS_THROUGH_SERDES, PendingCallback
from durabled.retries import Strategy
from durabled.types import (
    LambdaContext,
    LoggerInterface,
    StepContext,
    WaitForCallbackContext,
    WaitForConditionCheckContext,
)
from durabled.waits import WaitForConditionConfig

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U")
Params = ParamSpec("Params")


@dataclass(frozen=True)
class ExecutionContext:
    """Which execution the handler runs for."""

    durable_execution_arn: str


# --- decorators -------------------------------------------------------------------------


def durable_step(
    func: Callable[Concatenate[StepContext, Params], T],
) -> Callable[Params, Callable[[StepContext], T]]:
    """Makes `func(step, ...)` a step: calling it with the other arguments gives what
    `DurableContext.step` takes, named after the function."""
    return _bound(func, leading=1, name=func.__name__)


def durable_with_child_context(
    func: Callable[Concatenate[DurableContext, Params], T],
) -> Callable[Params, Callable[[DurableContext], T]]:
    """The same for what `DurableContext.run_in_child_context` takes."""
    return _bound(func, leading=1, name=func.__name__)


def durable_wait_for_callback(
    func: Callable[Concatenate[str, WaitForCallbackContext, Params], T],
) -> Callable[Params, Callable[[str, WaitForCallbackContext], T]]:
    """The same for the submitter that `DurableContext.wait_for_callback` takes."""
    return _bound(func, leading=2, name=func.__name__)


def durable_parallel_branch(
    name: str | None = None,
) -> Callable[
    [Callable[Concatenate[DurableContext, Params], T]], Callable[Params, ParallelBranch[T]]
]:
    """The same for a branch that `DurableContext.parallel` takes; named only if `name` is
    given."""

    def decorate(
        func: Callable[Concatenate[DurableContext, Params], T],
    ) -> Callable[Params, ParallelBranch[T]]:
        bind = _bound(func, leading=1)

        @functools.wraps(func)
        def branch(*args: Params.args, **kwargs: Params.kwargs) -> ParallelBranch[T]:
            return ParallelBranch(bind(*args, **kwargs), name)

        return branch

    return decorate


def _bound(
    func: Callable[..., Any], *, leading: int, name: str | None = None
) -> Callable[..., Callable[..., Any]]:
    """`func` with its first `leading` arguments left to be given."""

    @functools.wraps(func)
    def bind(*args: Any, **kwargs: Any) -> Callable[..., Any]:
        def body(*given: Any) -> Any:
            return func(*given[:leading], *args, **kwargs)

        async def body_async(*given: Any) -> Any:
            return await func(*given[:leading], *args, **kwargs)

        made: Callable[..., Any] = body_async if inspect.iscoroutinefunction(func) else body
        if name:
            made._original_name = name  # type: ignore[attr-defined]
        return made

    return bind


# --- contexts ---------------------------------------------------------------------------


class BaseContext:
    """What operations are started in: the handler's, or a child's."""

    _is_async = False

    def __init__(
        self,
        session: Session,
        lambda_context: LambdaContext | None = None,
        *,
        logger: LoggerInterface | None = None,
        handle: int = 0,
        operation_id: str | None = None,
        parent_id: str | None = None,
        replaying: bool = False,
    ) -> None:
        self.lambda_context = lambda_context
        self.execution_context = ExecutionContext(session.arn)
        self._session = session
        self._handle = handle
        self._id = operation_id  # of the context itself, virtual or not
        self._parent_id = parent_id  # what operations are recorded under
        self._strand = Strand(session, handle)
        self._position = 0
        self._lock = threading.Lock()
        self._replaying = replaying
        self._unwound = False
        self.set_logger(logger or logging.getLogger())

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
        self.logger = Logger.from_log_info(
            new_logger,
            LogInfo(self._session, self._parent_id),
            self.is_replaying,
            self._session.log,
        )

    # -- inside -----------------------------------------------------------------------

    def _perform(self, op: Op[Any]) -> Any:
        """Runs an operation as contexts of this kind do."""
        raise NotImplementedError

    def _next(
        self, type_: str, sub_type: str, name: str | None, *, is_virtual: bool = False
    ) -> Place:
        """The place of the next operation."""
        with self._lock:
            self._position += 1
            position = self._position
        return Place(self, position, type_, sub_type, name, is_virtual=is_virtual)

    def _recorded_at(self, position: int) -> bool:
        return self._session.cursor.at(self._id, position) is not None

    def _kind_for(self, func: Callable[..., Any]) -> type[BaseContext]:
        """An async function is given an async context; in an async world all are async."""
        if self._is_async or not is_async(func):
            return type(self)
        from durabled.async_context import AsyncDurableContext

        return AsyncDurableContext

    def _below(self, place: Place, handle: int, kind: type[BaseContext]) -> BaseContext:
        """The context of an operation of this one. A branch that has no record is new,
        whatever its batch is."""
        is_new = place.found is None and not place.is_virtual
        return kind(
            self._session,
            self.lambda_context,
            logger=self.logger.get_logger(),
            handle=handle,
            operation_id=place.id,
            parent_id=self._parent_id if place.is_virtual else place.id,
            replaying=self._replaying and not is_new,
        )

    def _logger_of(self, place: Place, attempt: int) -> Logger:
        """For the body of an operation of this context."""
        info = LogInfo(self._session, self._parent_id, place.id, place.name, attempt)
        return self.logger.with_log_info(info)

    def _repeat(
        self,
        func: Callable[[Any, int], Any],
        strategy: Strategy,
        name: str | None,
        child_config: ChildConfig[Any] | None,
    ) -> Op[Any]:
        """with_retry; without a child context when `child_config` is None."""

        def loop(context: BaseContext) -> Op[Any]:
            attempt = 0
            while True:
                attempt += 1
                try:
                    return (yield Body(self._session.crew, func, context, attempt))
                except Exception as error:
                    decision = strategy(error, attempt)
                    if not decision.should_retry:
                        raise
                backoff = f"{name}-backoff-{attempt}" if name else None
                yield from wait.wait(context, decision.delay, backoff)

        if child_config is None:
            return loop(self)
        return child.run_op_in_child_context(
            self, lambda inner, _: loop(inner), name, child_config, kind=self._kind_for(func)
        )


class Callback(Generic[T]):
    """A result that somebody else gives, to whom `callback_id` was handed."""

    def __init__(self, pending: PendingCallback) -> None:
        self._pending = pending
        self.callback_id = pending.callback_id
        self.operation_id = pending.operation_id

    def result(self) -> T | None:
        """Waits for it. Raises CallbackExternalError or CallbackTimeoutError."""
        value: T | None = run(self._pending.result())
        return value


class DurableContext(BaseContext):
    """Each operation blocks until it is done."""

    def _perform(self, op: Op[Any]) -> Any:
        return run(op)

    def step(
        self,
        func: Callable[[StepContext], T],
        name: str | None = None,
        config: StepConfig | None = None,
    ) -> T:
        """Runs `func`, records what it returns, and returns that without running it in
        every later invocation. Raises StepError when it failed and is not retried."""
        result: T = self._perform(step.step(self, func, name, config))
        return result

    def wait(self, duration: Duration, name: str | None = None) -> None:
        """Suspends the execution; costs nothing meanwhile."""
        self._perform(wait.wait(self, duration, name))

    def create_callback(
        self, name: str | None = None, config: CallbackConfig | None = None
    ) -> Callback[Any]:
        """Something to be completed from outside, by its callback id."""
        return Callback(self._perform(callback.create_callback(self, name, config)))

    def wait_for_callback(
        self,
        submitter: Callable[[str, WaitForCallbackContext], Any],
        name: str | None = None,
        config: WaitForCallbackConfig | None = None,
    ) -> Any:
        """Creates a callback, hands its id out in a step, and waits for its result. Raises
        as Callback.result() does, and CallbackSubmitterError when the step failed."""
        return self._perform(callback.wait_for_callback(self, submitter, name, config))

    def wait_for_condition(
        self,
        check: Callable[[T, WaitForConditionCheckContext], T],
        config: WaitForConditionConfig[T],
        name: str | None = None,
    ) -> T:
        """Runs `check` on its own last state until the strategy stops. Raises
        WaitForConditionError when the check or the strategy did."""
        result: T = self._perform(condition.wait_for_condition(self, check, config, name))
        return result

    def invoke(
        self,
        function_name: str,
        payload: P,
        name: str | None = None,
        config: InvokeConfig[P, R] | None = None,
    ) -> R:
        """Has another function run and returns what it returned. Raises InvokeError."""
        result: R = self._perform(invoke.invoke(self, function_name, payload, name, config))
        return result

    def run_in_child_context(
        self,
        func: Callable[[DurableContext], T],
        name: str | None = None,
        config: ChildConfig[T] | None = None,
    ) -> T:
        """Runs `func` with a context of its own and records its result as one operation's.
        Raises ChildContextError when it failed."""
        result: T = self._perform(child.run_in_child_context(self, func, name, config))
        return result

    def parallel(
        self,
        functions: Sequence[Callable[[DurableContext], T] | ParallelBranch[T]],
        name: str | None = None,
        config: ParallelConfig | None = None,
    ) -> BatchResult[T]:
        """Runs `functions`, each with a context of its own, at the same time. What fails is
        in the result."""
        result: BatchResult[T] = self._perform(batch.parallel(self, functions, name, config))
        return result

    def map(
        self,
        inputs: Sequence[U],
        func: Callable[[DurableContext, U, int, Sequence[U]], T],
        name: str | None = None,
        config: MapConfig[U] | None = None,
    ) -> BatchResult[T]:
        """Runs `func(context, item, index, inputs)` for every item at the same time. What
        fails is in the result."""
        result: BatchResult[T] = self._perform(batch.map_(self, inputs, func, name, config))
        return result


__all__ = [
    "PASS_THROUGH_SERDES",
    "BaseContext",
    "Callback",
    "DurableContext",
    "ExecutionContext",
    "StepContext",
    "WaitForCallbackContext",
    "WaitForConditionCheckContext",
    "durable_parallel_branch",
    "durable_step",
    "durable_wait_for_callback",
    "durable_with_child_context",
]
