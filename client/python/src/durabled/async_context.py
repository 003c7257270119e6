"""The durable context of a handler that is declared `async def`: the same operations, each
to be awaited. Several may be awaited at once; all other waiting belongs into steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from durabled._drive import Op, arun, current
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
from durabled.context import BaseContext
from durabled.operation import batch, callback, child, condition, invoke, step, wait
from durabled.operation.callback import PendingCallback
from durabled.types import StepContext, WaitForCallbackContext, WaitForConditionCheckContext
from durabled.waits import WaitForConditionConfig

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U")


class AsyncCallback(Generic[T]):
    """A result that somebody else gives, to whom `callback_id` was handed."""

    def __init__(self, context: AsyncDurableContext, pending: PendingCallback) -> None:
        self._context = context
        self._pending = pending
        self.callback_id = pending.callback_id
        self.operation_id = pending.operation_id

    def result(self) -> Awaitable[T | None]:
        """Waits for it. Raises CallbackExternalError or CallbackTimeoutError."""
        return self._context._perform(self._pending.result())


class AsyncDurableContext(BaseContext):
    """Each operation begins when it is awaited; its place is where it was called. Bodies
    may be async or plain; plain ones of steps run on threads. Every context below is
    async too."""

    _is_async = True

    async def _perform(self, op: Op[Any]) -> Any:
        strand = current.get(self._strand)
        strand.begin()
        try:
            return await arun(op)
        finally:
            strand.rest()

    def step(
        self,
        func: Callable[[StepContext], Awaitable[T] | T],
        name: str | None = None,
        config: StepConfig | None = None,
    ) -> Awaitable[T]:
        return self._perform(step.step(self, func, name, config))

    def wait(self, duration: Duration, name: str | None = None) -> Awaitable[None]:
        return self._perform(wait.wait(self, duration, name))

    async def _create_callback(self, op: Op[PendingCallback]) -> AsyncCallback[Any]:
        return AsyncCallback(self, await self._perform(op))

    def create_callback(
        self, name: str | None = None, config: CallbackConfig | None = None
    ) -> Awaitable[AsyncCallback[Any]]:
        return self._create_callback(callback.create_callback(self, name, config))

    def wait_for_callback(
        self,
        submitter: Callable[[str, WaitForCallbackContext], Any],
        name: str | None = None,
        config: WaitForCallbackConfig | None = None,
    ) -> Awaitable[Any]:
        return self._perform(callback.wait_for_callback(self, submitter, name, config))

    def wait_for_condition(
        self,
        check: Callable[[T, WaitForConditionCheckContext], Awaitable[T] | T],
        config: WaitForConditionConfig[T],
        name: str | None = None,
    ) -> Awaitable[T]:
        return self._perform(condition.wait_for_condition(self, check, config, name))

    def invoke(
        self,
        function_name: str,
        payload: P,
        name: str | None = None,
        config: InvokeConfig[P, R] | None = None,
    ) -> Awaitable[R]:
        return self._perform(invoke.invoke(self, function_name, payload, name, config))

    def run_in_child_context(
        self,
        func: Callable[[AsyncDurableContext], Awaitable[T] | T],
        name: str | None = None,
        config: ChildConfig[T] | None = None,
    ) -> Awaitable[T]:
        return self._perform(child.run_in_child_context(self, func, name, config))

    def parallel(
        self,
        functions: Sequence[
            Callable[[AsyncDurableContext], Awaitable[T] | T] | ParallelBranch[T]
        ],
        name: str | None = None,
        config: ParallelConfig | None = None,
    ) -> Awaitable[BatchResult[T]]:
        return self._perform(batch.parallel(self, functions, name, config))

    def map(
        self,
        inputs: Sequence[U],
        func: Callable[[AsyncDurableContext, U, int, Sequence[U]], Awaitable[T] | T],
        name: str | None = None,
        config: MapConfig[U] | None = None,
    ) -> Awaitable[BatchResult[T]]:
        return self._perform(batch.map_(self, inputs, func, name, config))
