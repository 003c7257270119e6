"""The shapes of AWS's durable execution API as values.

Handlers, plugins and tests name them; the calls themselves are the daemon's. Members of
the wire are in CamelCase, attributes in snake_case.
"""

from __future__ import annotations

import builtins
import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum, StrEnum
from typing import Any, NoReturn, Protocol, Self, TypeAlias

from durabled.exceptions import (
    DurableOperationError,
    error_object,
    raise_operation_error,
)

ReplayChildren: TypeAlias = bool
OperationPayload: TypeAlias = str
TimeoutSeconds: TypeAlias = int


class OperationAction(Enum):
    START = "START"
    SUCCEED = "SUCCEED"
    FAIL = "FAIL"
    RETRY = "RETRY"
    CANCEL = "CANCEL"


class OperationStatus(Enum):
    STARTED = "STARTED"
    PENDING = "PENDING"
    READY = "READY"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    STOPPED = "STOPPED"


class OperationType(Enum):
    EXECUTION = "EXECUTION"
    CONTEXT = "CONTEXT"
    STEP = "STEP"
    WAIT = "WAIT"
    CALLBACK = "CALLBACK"
    CHAINED_INVOKE = "CHAINED_INVOKE"


class CallbackTimeoutType(Enum):
    TIMEOUT = "Callback.Timeout"
    HEARTBEAT = "Callback.Heartbeat"


class OperationSubType(StrEnum):
    """What an operation is to its user; a step, callback or child context may have another
    text of the user's own."""

    STEP = "Step"
    WAIT = "Wait"
    CALLBACK = "Callback"
    RUN_IN_CHILD_CONTEXT = "RunInChildContext"
    MAP = "Map"
    MAP_ITERATION = "MapIteration"
    PARALLEL = "Parallel"
    PARALLEL_BRANCH = "ParallelBranch"
    WAIT_FOR_CALLBACK = "WaitForCallback"
    WAIT_FOR_CONDITION = "WaitForCondition"
    CHAINED_INVOKE = "ChainedInvoke"


class InvocationStatus(Enum):
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    PENDING = "PENDING"
    RETRY = "RETRY"  # never on the wire: the invocation failed, and is repeated


class TimestampConverter:
    """Times on the wire are milliseconds since 1970."""

    @staticmethod
    def to_unix_millis(dt: datetime.datetime | None) -> int | None:
        return int(dt.timestamp() * 1000) if dt else None

    @staticmethod
    def from_unix_millis(ms: int | None) -> datetime.datetime | None:
        return None if ms is None else datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)


def _get(data: Mapping[str, Any], wire: str, default: Any = None) -> Any:
    value = data.get(wire)
    return default if value is None else value


def _error(data: Mapping[str, Any]) -> ErrorObject | None:
    return ErrorObject.from_dict(data["Error"]) if data.get("Error") else None


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value is not None}


@dataclass(frozen=True)
class ErrorObject:
    """An error as it is recorded."""

    message: str | None
    type: str | None
    data: str | None
    stack_trace: list[str] | None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ErrorObject:
        return cls(
            data.get("ErrorMessage"),
            data.get("ErrorType"),
            data.get("ErrorData"),
            data.get("StackTrace"),
        )

    @classmethod
    def from_exception(cls, exception: BaseException) -> ErrorObject:
        return cls.from_dict(error_object(exception))

    @classmethod
    def from_message(cls, message: str) -> ErrorObject:
        return cls(message, None, None, None)

    def to_dict(self) -> dict[str, Any]:
        return _given(
            {
                "ErrorMessage": self.message,
                "ErrorType": self.type,
                "ErrorData": self.data,
                "StackTrace": self.stack_trace,
            }
        )

    def to_durable_operation_error(self) -> DurableOperationError:
        """The error that this one records, as near as can be known."""
        return DurableOperationError.from_error_fields(
            self.type, self.message, self.data, self.stack_trace
        )

    def raise_as_operation_error(
        self, operation_error_cls: builtins.type[DurableOperationError]
    ) -> NoReturn:
        """Raises it as the failure of an operation, from what the operation failed with."""
        raise_operation_error(operation_error_cls, self.to_dict() or {"ErrorMessage": None})


# --- details of an operation, by its type -----------------------------------------------


@dataclass(frozen=True)
class ExecutionDetails:
    input_payload: str | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(data.get("InputPayload"))

    def to_dict(self) -> dict[str, Any]:
        return {"InputPayload": self.input_payload}


@dataclass(frozen=True)
class ContextDetails:
    replay_children: ReplayChildren = False
    result: OperationPayload | None = None
    error: ErrorObject | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(_get(data, "ReplayChildren", False), data.get("Result"), _error(data))

    def to_dict(self) -> dict[str, Any]:
        made: dict[str, Any] = {"Result": self.result}
        if self.error:
            made["Error"] = self.error.to_dict()
        if self.replay_children:
            made["ReplayChildren"] = True
        return made


@dataclass(frozen=True)
class StepDetails:
    attempt: int = 0
    next_attempt_timestamp: datetime.datetime | None = None
    result: OperationPayload | None = None
    error: ErrorObject | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            _get(data, "Attempt", 0),
            data.get("NextAttemptTimestamp"),
            data.get("Result"),
            _error(data),
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "Attempt": self.attempt,
            **_given(
                {
                    "NextAttemptTimestamp": self.next_attempt_timestamp,
                    "Result": self.result or None,
                    "Error": self.error.to_dict() if self.error else None,
                }
            ),
        }


@dataclass(frozen=True)
class WaitDetails:
    scheduled_end_timestamp: datetime.datetime | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(data.get("ScheduledEndTimestamp"))

    def to_dict(self) -> dict[str, Any]:
        return _given({"ScheduledEndTimestamp": self.scheduled_end_timestamp})


@dataclass(frozen=True)
class CallbackDetails:
    callback_id: str
    result: str | None = None
    error: ErrorObject | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(data["CallbackId"], data.get("Result"), _error(data))

    def to_dict(self) -> dict[str, Any]:
        error = self.error.to_dict() if self.error else None
        result = self.result or None
        return _given({"CallbackId": self.callback_id, "Result": result, "Error": error})


@dataclass(frozen=True)
class ChainedInvokeDetails:
    result: str | None = None
    error: ErrorObject | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(data.get("Result"), _error(data))

    def to_dict(self) -> dict[str, Any]:
        error = self.error.to_dict() if self.error else None
        return _given({"Result": self.result or None, "Error": error})


# --- options of an update, by its type --------------------------------------------------


@dataclass(frozen=True)
class StepOptions:
    next_attempt_delay_seconds: int = 0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(_get(data, "NextAttemptDelaySeconds", 0))

    def to_dict(self) -> dict[str, Any]:
        return {"NextAttemptDelaySeconds": self.next_attempt_delay_seconds}


@dataclass(frozen=True)
class WaitOptions:
    wait_seconds: int = 1

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(_get(data, "WaitSeconds", 1))

    def to_dict(self) -> dict[str, Any]:
        return {"WaitSeconds": self.wait_seconds}


@dataclass(frozen=True)
class CallbackOptions:
    """0 is no timeout."""

    timeout_seconds: TimeoutSeconds = 0
    heartbeat_timeout_seconds: int = 0

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(_get(data, "TimeoutSeconds", 0), _get(data, "HeartbeatTimeoutSeconds", 0))

    def to_dict(self) -> dict[str, Any]:
        return {
            "TimeoutSeconds": self.timeout_seconds,
            "HeartbeatTimeoutSeconds": self.heartbeat_timeout_seconds,
        }


@dataclass(frozen=True)
class ChainedInvokeOptions:
    function_name: str
    tenant_id: str | None = None
    x_amzn_trace_id: str | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(data["FunctionName"], data.get("TenantId"), data.get("XAmznTraceId"))

    def to_dict(self) -> dict[str, Any]:
        return _given(
            {
                "FunctionName": self.function_name,
                "TenantId": self.tenant_id,
                "XAmznTraceId": self.x_amzn_trace_id,
            }
        )


@dataclass(frozen=True)
class ContextOptions:
    replay_children: ReplayChildren = False

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        return cls(_get(data, "ReplayChildren", False))

    def to_dict(self) -> dict[str, Any]:
        return {"ReplayChildren": self.replay_children}


# --- operations and updates -------------------------------------------------------------


_known_parts: dict[str, list[tuple[str, str, Any]]] = {}


def _parts(cls: Any, suffix: str) -> list[tuple[str, str, Any]]:
    """The attributes of a shape that are shapes themselves: attribute, member, class."""
    if suffix in _known_parts:
        return _known_parts[suffix]
    found = _known_parts[suffix] = []
    for member in fields(cls):
        if member.name.endswith(suffix):
            wire = "".join(part.capitalize() for part in member.name.split("_"))
            found.append((member.name, wire, globals()[wire]))
    return found


@dataclass(frozen=True)
class Operation:
    """One operation of an execution."""

    operation_id: str
    operation_type: OperationType
    status: OperationStatus
    parent_id: str | None = None
    name: str | None = None
    start_timestamp: datetime.datetime | None = None
    end_timestamp: datetime.datetime | None = None
    sub_type: str | None = None
    execution_details: ExecutionDetails | None = None
    context_details: ContextDetails | None = None
    step_details: StepDetails | None = None
    wait_details: WaitDetails | None = None
    callback_details: CallbackDetails | None = None
    chained_invoke_details: ChainedInvokeDetails | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Operation:
        """From members whose times are datetimes."""
        return cls(
            operation_id=data["Id"],
            operation_type=OperationType(data.get("Type")),
            status=OperationStatus(data.get("Status")),
            parent_id=data.get("ParentId"),
            name=data.get("Name"),
            start_timestamp=data.get("StartTimestamp"),
            end_timestamp=data.get("EndTimestamp"),
            sub_type=data.get("SubType") or None,
            **{
                attribute: shape.from_dict(data[wire]) if data.get(wire) else None
                for attribute, wire, shape in _parts(cls, "_details")
            },
        )

    def to_dict(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "Id": self.operation_id,
            "Type": self.operation_type.value,
            "Status": self.status.value,
        }
        plain = {
            "ParentId": self.parent_id,
            "Name": self.name,
            "StartTimestamp": self.start_timestamp,
            "EndTimestamp": self.end_timestamp,
            "SubType": self.sub_type,
        }
        made.update({wire: value for wire, value in plain.items() if value})
        for attribute, wire, _ in _parts(Operation, "_details"):
            details = getattr(self, attribute)
            if details:
                made[wire] = details.to_dict()
        return made

    @classmethod
    def from_json_dict(cls, data: Mapping[str, Any]) -> Operation:
        """From members whose times are milliseconds."""
        return cls.from_dict(_convert_times(data, TimestampConverter.from_unix_millis))

    def to_json_dict(self) -> dict[str, Any]:
        return _convert_times(self.to_dict(), TimestampConverter.to_unix_millis)


_TIMES = (
    (None, "StartTimestamp"),
    (None, "EndTimestamp"),
    ("StepDetails", "NextAttemptTimestamp"),
    ("WaitDetails", "ScheduledEndTimestamp"),
)


def _convert_times(data: Mapping[str, Any], convert: Callable[[Any], Any]) -> dict[str, Any]:
    made = dict(data)
    for details, member in _TIMES:
        if details is None:
            if made.get(member):
                made[member] = convert(made[member])
        elif (made.get(details) or {}).get(member):
            made[details] = {**made[details], member: convert(made[details][member])}
    return made


@dataclass(frozen=True)
class OperationUpdate:
    """One change to an operation, as a checkpoint carries it."""

    operation_id: str
    operation_type: OperationType
    action: OperationAction
    parent_id: str | None = None
    name: str | None = None
    sub_type: str | None = None
    payload: str | None = None
    error: ErrorObject | None = None
    context_options: ContextOptions | None = None
    step_options: StepOptions | None = None
    wait_options: WaitOptions | None = None
    callback_options: CallbackOptions | None = None
    chained_invoke_options: ChainedInvokeOptions | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> OperationUpdate:
        return cls(
            operation_id=data["Id"],
            operation_type=OperationType(data["Type"]),
            action=OperationAction(data["Action"]),
            parent_id=data.get("ParentId"),
            name=data.get("Name"),
            sub_type=data.get("SubType") or None,
            payload=data.get("Payload"),
            error=_error(data),
            **{
                attribute: shape.from_dict(data[wire]) if data.get(wire) else None
                for attribute, wire, shape in _parts(cls, "_options")
            },
        )

    def to_dict(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "Id": self.operation_id,
            "Type": self.operation_type.value,
            "Action": self.action.value,
        }
        plain = {"ParentId": self.parent_id, "Name": self.name, "SubType": self.sub_type}
        made.update({wire: value for wire, value in plain.items() if value})
        if self.payload is not None:
            made["Payload"] = self.payload
        if self.error:
            made["Error"] = self.error.to_dict()
        for attribute, wire, _ in _parts(OperationUpdate, "_options"):
            options = getattr(self, attribute)
            if options:
                made[wire] = options.to_dict()
        return made


# --- the API's answers ------------------------------------------------------------------


@dataclass(frozen=True)
class CheckpointUpdatedExecutionState:
    operations: list[Operation] = field(default_factory=list)
    next_marker: str | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        operations = [Operation.from_dict(one) for one in data.get("Operations") or []]
        return cls(operations, data.get("NextMarker"))


@dataclass(frozen=True)
class StateOutput:
    operations: list[Operation] = field(default_factory=list)
    next_marker: str | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        operations = [Operation.from_dict(one) for one in data.get("Operations") or []]
        return cls(operations, data.get("NextMarker"))


@dataclass(frozen=True)
class CheckpointOutput:
    checkpoint_token: str | None
    new_execution_state: CheckpointUpdatedExecutionState

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        state = CheckpointUpdatedExecutionState.from_dict(data.get("NewExecutionState") or {})
        return cls(data.get("CheckpointToken"), state)


@dataclass(frozen=True)
class DurableExecutionInvocationOutput:
    """What a durable function returns to Lambda. An empty `result` was checkpointed."""

    status: InvocationStatus
    result: str | None = None
    error: ErrorObject | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DurableExecutionInvocationOutput:
        return cls(InvocationStatus(data.get("Status")), data.get("Result"), _error(data))

    def to_dict(self) -> dict[str, Any]:
        error = self.error.to_dict() if self.error else None
        return _given({"Status": self.status.value, "Result": self.result, "Error": error})

    @classmethod
    def create_succeeded(cls, result: str) -> DurableExecutionInvocationOutput:
        return cls(InvocationStatus.SUCCEEDED, result)

    @classmethod
    def create_retry(cls, error: ErrorObject) -> DurableExecutionInvocationOutput:
        return cls(InvocationStatus.RETRY, error=error)

    @classmethod
    def create_pending(cls) -> DurableExecutionInvocationOutput:
        return cls(InvocationStatus.PENDING)


class DurableServiceClient(Protocol):
    """AWS's durable execution API. The daemon calls it; this names its shape."""

    def checkpoint(
        self,
        durable_execution_arn: str,
        checkpoint_token: str,
        updates: list[OperationUpdate],
        client_token: str | None,
    ) -> CheckpointOutput: ...

    def get_execution_state(
        self,
        durable_execution_arn: str,
        checkpoint_token: str,
        next_marker: str,
        max_items: int = 1000,
    ) -> StateOutput: ...
