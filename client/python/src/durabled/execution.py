"""The handler's entry: from an invocation's event to what the function returns."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from durabled._drive import Body, is_async, on
from durabled._session import Session
from durabled._wire import CallError, Connection
from durabled.async_context import AsyncDurableContext
from durabled.context import BaseContext, DurableContext
from durabled.exceptions import (
    CheckpointError,
    InvalidStateError,
    InvocationError,
    SuspendExecution,
    error_object,
)
from durabled.lambda_service import (
    DurableExecutionInvocationOutput,
    DurableServiceClient,
    ErrorObject,
    InvocationStatus,
    Operation,
    TimestampConverter,
)
from durabled.plugin import DurableInstrumentationPluginFactory, PluginExecutor
from durabled.plugin_discovery import load_configured_plugins
from durabled.types import LambdaContext

Handler = Callable[[Any, Any], Any]

LAMBDA_RESPONSE_SIZE_LIMIT = 6 * 1024 * 1024 - 50
"""What a function can return; the daemon records a larger result itself."""

_WITHOUT_EVENT = 3  # the level at which a session begins without

_shared_lock = threading.Lock()
_shared: list[Connection] = []


class InvocationFailedError(Exception):
    """The invocation, not the execution, failed: the function is to raise this."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("ErrorMessage") or error.get("ErrorType") or "failed")
        self.error = error


class DurableFunction:
    """A handler made durable: callable as a function of (event, lambda_context)."""

    def __init__(
        self,
        func: Handler,
        plugins: Sequence[DurableInstrumentationPluginFactory] | None = None,
    ) -> None:
        self._func = func
        self._plugins = load_configured_plugins(plugins)
        functools.update_wrapper(self, func)

    def __call__(self, event: Any, lambda_context: LambdaContext | None = None) -> Any:
        """Attaches to the invocation that `event` describes; for Lambda's runtime."""
        if isinstance(event, DurableExecutionInvocationInputWithClient):
            raise InvalidStateError(
                "the daemon makes the calls of the durable execution API: "
                "a client of one's own cannot be used"
            )
        if isinstance(event, DurableExecutionInvocationInput):
            event = event.to_json_dict()
        request_id = getattr(lambda_context, "aws_request_id", None)
        connection = _shared_connection()
        output = self.invoke(
            connection,
            _event_text(event, request_id, connection.level),
            lambda_context,
            request_id,
            _deadline_ms(lambda_context),
        )
        return json.loads(output)

    def invoke(
        self,
        connection: Connection,
        event: str | None,
        lambda_context: LambdaContext | None = None,
        request_id: str | None = None,
        deadline_ms: int | None = None,
    ) -> str:
        """Runs one invocation; without an event, of the daemon's. Returns the JSON text to
        return from the function; raises what the function is to raise, so that the invocation
        is retried."""
        plugins = PluginExecutor(self._plugins)
        session = Session(connection, event, request_id, deadline_ms, plugins)
        with plugins.run():
            try:
                output = self._serve(session, lambda_context)
            except BaseException as error:
                # What the invocation fails with is for plugins to see, not to change.
                with contextlib.suppress(BaseException):
                    retry = DurableExecutionInvocationOutput.create_retry(_failure(error))
                    plugins.on_invocation_end(retry)
                raise
            if plugins.has_plugins:
                plugins.on_invocation_end(
                    DurableExecutionInvocationOutput.from_dict(json.loads(output))
                )
            return output

    def _serve(self, session: Session, lambda_context: LambdaContext | None) -> str:
        outcome, raised = self._run(session, lambda_context)
        session.crew.join()
        try:
            ended = session.end(**outcome)
        except CallError as error:  # such as a result that no message can carry
            ended = session.end(error={"ErrorType": error.code, "ErrorMessage": error.message})
        if "raise" in ended:
            if raised is not None and "error" in outcome:
                raise raised
            raise InvocationFailedError(ended["raise"])
        output: str = ended["output"]
        return output

    def _run(
        self, session: Session, lambda_context: LambdaContext | None
    ) -> tuple[dict[str, Any], BaseException | None]:
        """What to tell session.end, and the exception it comes from."""
        kind: type[BaseContext] = DurableContext
        if is_async(self._func):
            kind = AsyncDurableContext
        context = kind(session, lambda_context, replaying=not session.cursor.empty)
        try:
            blank = session.input is None or not session.input.strip()
            event = {} if blank else json.loads(session.input or "")
        except ValueError as error:
            return {"error": error_object(error), "invocation": True}, error
        session.plugins.on_invocation_start(
            session.arn,
            session.cursor.empty,
            TimestampConverter.from_unix_millis(session.start_ms),
            lambda_context,
            event,
            lambda: session.operations,
            sorted(session.updated),
        )
        try:
            with on(context._strand):
                value = Body(session.crew, self._func, event, context).block()
            return {"payload": json.dumps(value)}, None
        except SuspendExecution:
            return {"unwound": True}, None
        except InvocationError as error:
            return {"error": error_object(error), "invocation": error.is_retryable()}, error
        except Exception as error:
            return {"error": error_object(error)}, error
        except SystemExit as error:
            failed = {
                "ErrorType": "Runtime.ExitError",
                "ErrorMessage": f"the handler exited with status {error.code}",
            }
            return {"error": failed, "invocation": True}, InvocationFailedError(failed)


def _failure(error: BaseException) -> ErrorObject:
    if isinstance(error, InvocationFailedError):
        return ErrorObject.from_dict(error.error)
    return ErrorObject.from_exception(error)


def _event_text(event: Any, request_id: str | None, level: int) -> str | None:
    """What a session begins from; None behind durabled-wrap, where the function receives its
    input alone and the daemon has the event of the request id."""
    if isinstance(event, str):
        return event
    durable = isinstance(event, Mapping) and "DurableExecutionArn" in event
    if request_id and not durable and level >= _WITHOUT_EVENT:
        return None
    return json.dumps(event)


def _deadline_ms(lambda_context: LambdaContext | None) -> int | None:
    """When Lambda ends the invocation, as far as its context says so."""
    left_ms = getattr(lambda_context, "get_remaining_time_in_millis", None)
    if left_ms is None:
        return None
    return time.time_ns() // 1_000_000 + int(left_ms())


def _shared_connection() -> Connection:
    """The process's connection to the daemon, opened when first needed."""
    with _shared_lock:
        if not _shared or _shared[0].lost or not _shared[0].mine:
            _shared[:] = [Connection()]
        return _shared[0]


@overload
def durable_execution(
    func: Handler,
    *,
    boto3_client: Any = None,
    plugins: Sequence[DurableInstrumentationPluginFactory] | None = None,
) -> DurableFunction: ...
@overload
def durable_execution(
    func: None = None,
    *,
    boto3_client: Any = None,
    plugins: Sequence[DurableInstrumentationPluginFactory] | None = None,
) -> Callable[[Handler], DurableFunction]: ...
def durable_execution(
    func: Handler | None = None,
    *,
    boto3_client: Any = None,
    plugins: Sequence[DurableInstrumentationPluginFactory] | None = None,
) -> DurableFunction | Callable[[Handler], DurableFunction]:
    """Makes `handler(event, context)` a durable function. One that is declared `async def`
    is given an AsyncDurableContext.

    `plugins`: factories, each asked for one plugin an invocation. `boto3_client` is taken
    for compatibility and not used: the daemon talks to AWS.
    """
    if func is None:
        return functools.partial(DurableFunction, plugins=plugins)
    return DurableFunction(func, plugins)


# --- the event of a durable function, as a value ----------------------------------------


@dataclass(frozen=True)
class InitialExecutionState:
    """The operations that come with an event, and the marker of the next page."""

    operations: list[Operation]
    next_marker: str

    @staticmethod
    def from_dict(input_dict: Mapping[str, Any]) -> InitialExecutionState:
        return InitialExecutionState._of(input_dict, Operation.from_dict)

    @staticmethod
    def from_json_dict(input_dict: Mapping[str, Any]) -> InitialExecutionState:
        return InitialExecutionState._of(input_dict, Operation.from_json_dict)

    @staticmethod
    def _of(
        data: Mapping[str, Any], read: Callable[[Mapping[str, Any]], Operation]
    ) -> InitialExecutionState:
        operations = [read(one) for one in data.get("Operations") or []]
        return InitialExecutionState(operations, data.get("NextMarker", ""))

    def to_dict(self) -> dict[str, Any]:
        operations = [one.to_dict() for one in self.operations]
        return {"Operations": operations, "NextMarker": self.next_marker}

    def to_json_dict(self) -> dict[str, Any]:
        operations = [one.to_json_dict() for one in self.operations]
        return {"Operations": operations, "NextMarker": self.next_marker}


@dataclass(frozen=True)
class DurableExecutionInvocationInput:
    """The event of a durable function."""

    durable_execution_arn: str
    checkpoint_token: str
    initial_execution_state: InitialExecutionState
    updated_operation_ids: list[str] = field(default_factory=list, kw_only=True)

    @staticmethod
    def from_dict(input_dict: Mapping[str, Any]) -> DurableExecutionInvocationInput:
        return _input(input_dict, InitialExecutionState.from_dict)

    @staticmethod
    def from_json_dict(input_dict: Mapping[str, Any]) -> DurableExecutionInvocationInput:
        return _input(input_dict, InitialExecutionState.from_json_dict)

    def to_dict(self) -> dict[str, Any]:
        return self._with(self.initial_execution_state.to_dict())

    def to_json_dict(self) -> dict[str, Any]:
        return self._with(self.initial_execution_state.to_json_dict())

    def _with(self, state: dict[str, Any]) -> dict[str, Any]:
        return {
            "DurableExecutionArn": self.durable_execution_arn,
            "CheckpointToken": self.checkpoint_token,
            "InitialExecutionState": state,
            "UpdatedOperationIds": self.updated_operation_ids,
        }


def _input(
    data: Mapping[str, Any], read: Callable[[Mapping[str, Any]], InitialExecutionState]
) -> DurableExecutionInvocationInput:
    return DurableExecutionInvocationInput(
        data["DurableExecutionArn"],
        data["CheckpointToken"],
        read(data.get("InitialExecutionState", {})),
        updated_operation_ids=list(data.get("UpdatedOperationIds", [])),
    )


@dataclass(frozen=True)
class DurableExecutionInvocationInputWithClient(DurableExecutionInvocationInput):
    """The same with a client of the API; the daemon takes none."""

    service_client: DurableServiceClient

    @staticmethod
    def from_durable_execution_invocation_input(
        invocation_input: DurableExecutionInvocationInput,
        service_client: DurableServiceClient,
    ) -> DurableExecutionInvocationInputWithClient:
        return DurableExecutionInvocationInputWithClient(
            **vars(invocation_input), service_client=service_client
        )


def handle_checkpoint_error(error: CheckpointError) -> DurableExecutionInvocationOutput:
    """What a function ends with that can record nothing more: raises what is to be tried
    again."""
    if error.is_retryable():
        raise error from None
    return DurableExecutionInvocationOutput(
        InvocationStatus.FAILED, error=ErrorObject.from_exception(error)
    )
