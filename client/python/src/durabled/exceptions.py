"""What durable operations raise.

`SuspendExecution` and its kin derive from BaseException, so that a handler's
`except Exception` lets them through.
"""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn, Self

if TYPE_CHECKING:
    import datetime


class TerminationReason(Enum):
    """Why an execution can't go on."""

    UNHANDLED_ERROR = "UNHANDLED_ERROR"
    INVOCATION_ERROR = "INVOCATION_ERROR"
    EXECUTION_ERROR = "EXECUTION_ERROR"
    CHECKPOINT_FAILED = "CHECKPOINT_FAILED"
    NON_DETERMINISTIC_EXECUTION = "NON_DETERMINISTIC_EXECUTION"
    STEP_INTERRUPTED = "STEP_INTERRUPTED"
    SERIALIZATION_ERROR = "SERIALIZATION_ERROR"


class DurableExecutionsError(Exception):
    """The root of what this package raises."""


class PluginLoadError(DurableExecutionsError):
    """A configured plugin cannot be used."""


class UnrecoverableError(DurableExecutionsError):
    """The invocation or the execution ends with this."""

    def __init__(self, message: str, termination_reason: TerminationReason) -> None:
        super().__init__(message)
        self.termination_reason = termination_reason


class ExecutionError(UnrecoverableError):
    """Fails the execution; raised through steps without their retry strategy."""

    def __init__(
        self,
        message: str,
        termination_reason: TerminationReason = TerminationReason.EXECUTION_ERROR,
    ) -> None:
        super().__init__(message, termination_reason)


class InvocationError(UnrecoverableError):
    """Fails the invocation, which is then retried."""

    def __init__(
        self,
        message: str,
        termination_reason: TerminationReason = TerminationReason.INVOCATION_ERROR,
    ) -> None:
        super().__init__(message, termination_reason)

    def is_retryable(self) -> bool:
        """Whether another invocation may succeed."""
        return True


class NonDeterministicExecutionError(ExecutionError):
    """The code asks for another operation than the one recorded at this place."""

    def __init__(self, message: str, step_id: str | None = None) -> None:
        super().__init__(message, TerminationReason.NON_DETERMINISTIC_EXECUTION)
        self.step_id = step_id


class StepInterruptedError(InvocationError):
    """An attempt of an AT_MOST_ONCE_PER_RETRY step was cut off."""

    def __init__(self, message: str, step_id: str | None = None) -> None:
        super().__init__(message, TerminationReason.STEP_INTERRUPTED)
        self.step_id = step_id


class RetryableSerDesError(InvocationError):
    """A value could not be converted this time: the invocation is retried."""

    def __init__(
        self,
        message: str,
        termination_reason: TerminationReason = TerminationReason.SERIALIZATION_ERROR,
    ) -> None:
        super().__init__(message, termination_reason)


class ValidationError(DurableExecutionsError):
    """An argument is outside its range."""


class InvalidStateError(DurableExecutionsError):
    """The call does not fit the state of the session."""


class OrderedLockError(DurableExecutionsError):
    """A lock that is taken in order was broken by an earlier holder."""

    def __init__(self, message: str, source_exception: Exception | None = None) -> None:
        if source_exception:
            message = f"{message} {type(source_exception).__name__}: {source_exception}"
        super().__init__(message)
        self.source_exception = source_exception


# --- what AWS's API answers; here the daemon classifies it, these are for handlers that
# name the classes ---------------------------------------------------------------------


class DurableApiErrorCategory(Enum):
    """Whether another invocation may succeed, or the execution is to fail."""

    INVOCATION = "INVOCATION"
    EXECUTION = "EXECUTION"


CheckpointErrorCategory = DurableApiErrorCategory

_CUSTOMERS_ERRORS = frozenset(
    f"KMS{what}Exception" for what in ("AccessDenied", "Disabled", "InvalidState", "NotFound")
)


def _category(
    error: dict[str, Any] | None, metadata: dict[str, Any] | None
) -> DurableApiErrorCategory:
    """4xx is the caller's fault, but for throttling and a token that another checkpoint
    has used up; a key that the customer must repair is, whatever its status."""
    code = (error or {}).get("Code") or ""
    if code in _CUSTOMERS_ERRORS:
        return DurableApiErrorCategory.EXECUTION
    status = (metadata or {}).get("HTTPStatusCode") or 0
    stale_token = code == "InvalidParameterValueException" and (
        (error or {}).get("Message") or ""
    ).startswith("Invalid checkpoint token")
    if error and 400 <= status < 500 and status != 429 and not stale_token:
        return DurableApiErrorCategory.EXECUTION
    return DurableApiErrorCategory.INVOCATION


class BotoClientError(InvocationError):
    """A call of AWS's API failed."""

    def __init__(
        self,
        message: str,
        error_category: DurableApiErrorCategory = DurableApiErrorCategory.INVOCATION,
        error: dict[str, Any] | None = None,
        response_metadata: dict[str, Any] | None = None,
        termination_reason: TerminationReason = TerminationReason.INVOCATION_ERROR,
    ) -> None:
        super().__init__(message, termination_reason)
        self.error = error
        self.response_metadata = response_metadata
        self.error_category = error_category

    @classmethod
    def from_exception(cls, exception: Exception) -> Self:
        response = getattr(exception, "response", {})
        error, metadata = response.get("Error"), response.get("ResponseMetadata")
        return cls(str(exception), _category(error, metadata), error, metadata)

    def is_retryable(self) -> bool:
        return self.error_category is DurableApiErrorCategory.INVOCATION

    is_retriable = is_retryable

    def build_logger_extras(self) -> dict[str, Any]:
        extras = {"Error": self.error, "ResponseMetadata": self.response_metadata}
        return {key: value for key, value in extras.items() if value}


class CheckpointError(BotoClientError):
    """A checkpoint was refused."""

    def __init__(
        self,
        message: str,
        error_category: DurableApiErrorCategory = DurableApiErrorCategory.INVOCATION,
        error: dict[str, Any] | None = None,
        response_metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            message,
            error_category,
            error,
            response_metadata,
            TerminationReason.CHECKPOINT_FAILED,
        )


class GetExecutionStateError(BotoClientError):
    """The state of the execution could not be read."""

    def __init__(
        self,
        message: str,
        error_category: DurableApiErrorCategory = DurableApiErrorCategory.INVOCATION,
        error: dict[str, Any] | None = None,
        response_metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message, error_category, error, response_metadata)


# --- failures of operations -----------------------------------------------------------


class _DetailedError(DurableExecutionsError):
    def __init__(
        self,
        message: str | None = None,
        error_type: str | None = None,
        data: str | None = None,
        stack_trace: list[str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_type: str = error_type or wire_name(type(self))
        self.data = data
        self.stack_trace = stack_trace

    def __str__(self) -> str:
        return self.message or ""


class SerDesError(_DetailedError):
    """A value could not be serialised or deserialised."""


class DurableOperationError(_DetailedError):
    """An operation failed. `error_type` is the type of the error it failed with, and
    `__cause__` that error as far as the record tells, live and on replay alike."""

    @classmethod
    def from_error_fields(
        cls,
        error_type: str | None,
        message: str | None,
        data: str | None,
        stack_trace: list[str] | None,
    ) -> DurableOperationError:
        """The error that these fields were made from, as near as can be known."""
        known = _registered.get(_bare(error_type), DurableOperationError)
        return known(message=message, error_type=error_type, data=data, stack_trace=stack_trace)


class StepError(DurableOperationError):
    """A step failed, and its retries are exhausted."""


class StepTimeoutError(DurableOperationError):
    """An attempt of a step took longer than StepConfig.timeout."""


class InvokeError(DurableOperationError):
    """An invoked function failed, timed out or was stopped."""


class ChildContextError(DurableOperationError):
    """A child context failed."""


class WaitForConditionError(DurableOperationError):
    """A check raised, or its attempts are exhausted."""


class CallbackError(DurableOperationError):
    """A callback failed; the subclasses say how."""


class CallbackExternalError(CallbackError):
    """The other side reported a failure."""


class CallbackTimeoutError(CallbackError):
    """Nothing came in time: no result, or no heartbeat."""


class CallbackSubmitterError(CallbackError):
    """The step that hands the callback id out failed."""


_OFFICIAL = "aws_durable_execution_sdk_python"
_PACKAGES = (_OFFICIAL, __name__.partition(".")[0])
# Without a class of this name in the official SDK: named after this package on the wire.
_OURS = (StepTimeoutError,)
_registered: dict[str, type[DurableOperationError]] = {}


def wire_name(cls: type[BaseException]) -> str:
    """The ErrorType of a class: its qualified name, builtins bare. Those that the official
    SDK has too go by its name, so that a history is the same whichever wrote it."""
    if cls.__module__ == "builtins":
        return cls.__qualname__
    package, dot, rest = cls.__module__.partition(".")
    if package == _PACKAGES[1] and cls not in _OURS:
        package = _OFFICIAL
    return f"{package}{dot}{rest}.{cls.__qualname__}"


def _bare(error_type: str | None) -> str:
    """The class's name in an ErrorType of this package, the official SDK, or its early
    releases, which wrote no module; empty for all else."""
    package, dot, rest = (error_type or "").partition(".")
    if not dot:
        return package
    return rest.rpartition(".")[2] if package in _PACKAGES else ""


def register_operation_error(error_cls: type[DurableOperationError]) -> None:
    """Lets `from_error_fields` rebuild errors of this class."""
    _registered[error_cls.__name__] = error_cls


for _cls in (
    StepError,
    StepTimeoutError,
    InvokeError,
    ChildContextError,
    WaitForConditionError,
    CallbackError,
    CallbackExternalError,
    CallbackTimeoutError,
    CallbackSubmitterError,
):
    register_operation_error(_cls)


def error_object(error: BaseException) -> dict[str, Any]:
    """The wire's ErrorObject of an exception."""
    cls = SerDesError if isinstance(error, SerDesError) else type(error)
    made: dict[str, Any] = {"ErrorType": wire_name(cls)}
    if not isinstance(error, _DetailedError):
        return {**made, "ErrorMessage": str(error)}
    fields = {
        "ErrorMessage": error.message,
        "ErrorData": error.data,
        "StackTrace": error.stack_trace,
    }
    return {**made, **{key: value for key, value in fields.items() if value is not None}}


def raise_operation_error(
    wrapper: type[DurableOperationError], error: dict[str, Any] | None
) -> NoReturn:
    """Raises what a failed operation raises, live and on replay alike."""
    if not error:
        raise wrapper(
            message="Unknown error. No ErrorObject exists on the Checkpoint Operation."
        )
    fields: dict[str, Any] = {
        "message": error.get("ErrorMessage"),
        "error_type": error.get("ErrorType"),
        "data": error.get("ErrorData"),
        "stack_trace": error.get("StackTrace"),
    }
    cause = DurableOperationError.from_error_fields(**fields)
    if _bare(fields["error_type"]) == "SerDesError":
        raise SerDesError(**fields) from cause
    raise wrapper(**fields) from cause


# --- what passes a handler's `except Exception` ---------------------------------------


class BackgroundThreadError(BaseException):
    """Nothing more can be recorded in this invocation."""

    def __init__(self, message: str, source_exception: Exception) -> None:
        super().__init__(message)
        self.source_exception = source_exception


class SuspendExecution(BaseException):
    """Unwinds the handler until something is due. Not for user code to catch."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class TimedSuspendExecution(SuspendExecution):
    """The same, until a time in seconds since 1970."""

    def __init__(self, message: str, scheduled_timestamp: float) -> None:
        super().__init__(message)
        self.scheduled_timestamp = scheduled_timestamp

    @classmethod
    def from_delay(cls, message: str, delay_seconds: int) -> TimedSuspendExecution:
        return cls(message, time.time() + delay_seconds)

    @classmethod
    def from_datetime(
        cls, message: str, datetime_timestamp: datetime.datetime
    ) -> TimedSuspendExecution:
        return cls(message, datetime_timestamp.timestamp())


class OrphanedChildException(BaseException):
    """A body goes on after its context has ended."""

    def __init__(self, message: str, operation_id: str) -> None:
        super().__init__(message)
        self.operation_id = operation_id
