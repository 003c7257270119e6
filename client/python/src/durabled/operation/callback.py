"""create_callback, its result, and wait_for_callback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from durabled._drive import Awaited, Op, is_async
from durabled.config import CallbackConfig, StepConfig, WaitForCallbackConfig
from durabled.exceptions import (
    CallbackError,
    CallbackExternalError,
    CallbackSubmitterError,
    CallbackTimeoutError,
    ChildContextError,
    StepError,
)
from durabled.operation.base import Place, call, name_of
from durabled.operation.child import Child
from durabled.operation.step import step
from durabled.serdes import PassThroughSerDes, SerDes
from durabled.types import StepContext, WaitForCallbackContext

if TYPE_CHECKING:
    from durabled.context import BaseContext

PASS_THROUGH_SERDES: SerDes[Any] = PassThroughSerDes()

Submitter = Callable[[str, WaitForCallbackContext], Any]


class PendingCallback:
    """A callback that was created. Its failure is raised by result(), never before: the code
    between must run the same on replay."""

    def __init__(self, context: BaseContext, place: Place, serdes: SerDes[Any] | None) -> None:
        self._context = context
        self._session = context._session
        self._place = place
        self._serdes = serdes or PASS_THROUGH_SERDES
        self._handle = 0
        self._outcome: Mapping[str, Any] | None = None
        self.operation_id = place.id
        self.callback_id = ""

    def start(self, config: CallbackConfig) -> Op[None]:
        """Gets the callback id, from the record or from the daemon."""
        if self._place.same:
            found = self._place.details
        else:
            self._place.tell_started()
            found = yield from self._ask(
                timeout_s=config.timeout_seconds,
                heartbeat_timeout_s=config.heartbeat_timeout_seconds,
            )
            found = {"CallbackId": found.get("callback_id")}
        if not found.get("CallbackId"):
            raise CallbackError(f"Missing callback details for operation: {self.operation_id}")
        self.callback_id = found["CallbackId"]

    def _ask(self, **params: Any) -> Op[dict[str, Any]]:
        self._handle = self._session.new_handle()
        start = self._place.start(self._handle)
        return call(self._session, "session.start", self._place.id, **start, **params)

    def result(self) -> Op[Any]:
        if self._outcome is None:
            if self._place.recorded:
                self._outcome = self._place.outcome()
            else:
                if not self._handle:
                    yield from self._ask()
                self._outcome = yield Awaited(self._context._strand, self._handle)
        self._place.tell_ended()
        assert self._outcome is not None
        status = self._outcome["status"]
        if status == "SUCCEEDED":
            return self._place.deserialize(self._outcome.get("payload"), self._serdes)
        error = self._outcome.get("error") or {}
        raised, message = (
            (CallbackTimeoutError, "Callback timed out")
            if status == "TIMED_OUT"
            else (CallbackExternalError, "Callback failed")
        )
        raise raised(
            error.get("ErrorMessage") or message,
            data=error.get("ErrorData"),
            stack_trace=error.get("StackTrace"),
        )


def create_callback(
    context: BaseContext, name: str | None, config: CallbackConfig | None
) -> Op[PendingCallback]:
    config = config or CallbackConfig()
    place = context._next("CALLBACK", config.sub_type or "Callback", name)
    return _create(context, place, config)


def _create(context: BaseContext, place: Place, config: CallbackConfig) -> Op[PendingCallback]:
    callback = PendingCallback(context, place, config.serdes)
    with place.turn():
        yield from callback.start(config)
    return callback


def wait_for_callback(
    context: BaseContext,
    submitter: Submitter,
    name: str | None,
    config: WaitForCallbackConfig | None,
) -> Op[Any]:
    name = name or name_of(submitter)
    place = context._next("CONTEXT", "WaitForCallback", name)

    def body(child: BaseContext, _: Mapping[str, Any]) -> Op[Any]:
        return _wait(child, submitter, f"{name} " if name else "", config)

    return _translated(Child(context, place, body).op())


def _wait(
    child: BaseContext,
    submitter: Submitter,
    prefix: str,
    config: WaitForCallbackConfig | None,
) -> Op[Any]:
    callback = yield from create_callback(child, f"{prefix}create callback id", config)

    def submit(context: StepContext) -> Any:
        return submitter(callback.callback_id, WaitForCallbackContext(context.logger))

    async def submit_async(context: StepContext) -> Any:
        return await submit(context)

    given = config or WaitForCallbackConfig()
    yield from step(
        child,
        submit_async if is_async(submitter) else submit,
        f"{prefix}submitter",
        StepConfig(retry_strategy=given.retry_strategy, serdes=given.serdes),
    )
    return (yield from callback.result())


def _translated(op: Op[Any]) -> Op[Any]:
    """Raises what failed, not the context that it failed in; on replay alike."""
    try:
        return (yield from op)
    except ChildContextError as error:
        cause = error.__cause__
        if isinstance(cause, CallbackError):
            raise cause from None
        if isinstance(cause, StepError):
            raise CallbackSubmitterError(
                cause.message or "Callback submitter failed",
                data=cause.data,
                stack_trace=cause.stack_trace,
            ) from cause
        raise
