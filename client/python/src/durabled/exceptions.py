"""What durable operations raise.

`SuspendExecution` and its kin derive from BaseException, so that a handler's
`except Exception` lets them through.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NoReturn


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
        self.error_type = error_type
        self.data = data
        self.stack_trace = stack_trace

    def __str__(self) -> str:
        return self.message or ""


class SerDesError(_DetailedError):
    """A value could not be serialised or deserialised."""


class DurableOperationError(_DetailedError):
    """An operation failed. `error_type` is the type of the error it failed with."""

    @classmethod
    def from_error_fields(
        cls,
        error_type: str | None,
        message: str | None,
        data: str | None,
        stack_trace: list[str] | None,
    ) -> DurableOperationError:
        """The error that these fields were made from, as near as can be known."""
        known = _OPERATION_ERRORS.get((error_type or "").rpartition(".")[2], cls)
        return known(message, error_type, data, stack_trace)


class StepError(DurableOperationError):
    """A step failed, and its retries are exhausted."""


class ChildContextError(DurableOperationError):
    """A child context failed."""


_OPERATION_ERRORS: dict[str, type[DurableOperationError]] = {
    "StepError": StepError,
    "ChildContextError": ChildContextError,
}


def register_operation_error(error_cls: type[DurableOperationError]) -> None:
    """Lets `from_error_fields` rebuild errors of this class."""
    _OPERATION_ERRORS[error_cls.__name__] = error_cls


class SuspendExecution(BaseException):
    """Unwinds the handler until something is due. Not for user code to catch."""


class OrphanedChildException(BaseException):
    """A body goes on after its context has ended."""

    def __init__(self, message: str, operation_id: str) -> None:
        super().__init__(message)
        self.operation_id = operation_id


def error_type_name(error: BaseException) -> str:
    """The ErrorType of an exception: its qualified name; builtins bare."""
    cls = SerDesError if isinstance(error, SerDesError) else type(error)
    if cls.__module__ == "builtins":
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


def error_object(error: BaseException) -> dict[str, Any]:
    """The wire's ErrorObject of an exception."""
    made: dict[str, Any] = {"ErrorType": error_type_name(error)}
    message = str(error)
    if message:
        made["ErrorMessage"] = message
    if isinstance(error, _DetailedError):
        if error.data is not None:
            made["ErrorData"] = error.data
        if error.stack_trace is not None:
            made["StackTrace"] = error.stack_trace
    return made


def raise_operation_error(
    wrapper: type[DurableOperationError], error: dict[str, Any] | None
) -> NoReturn:
    """Raises what a failed operation raises, live and on replay alike."""
    fields = error or {"ErrorMessage": "the operation failed"}
    values = (fields.get("ErrorMessage"), fields.get("ErrorType"), fields.get("ErrorData"))
    stack = fields.get("StackTrace")
    if (values[1] or "").rpartition(".")[2] == "SerDesError":
        raise SerDesError(*values, stack)
    cause = DurableOperationError.from_error_fields(values[1], values[0], values[2], stack)
    raise wrapper(*values, stack) from cause
