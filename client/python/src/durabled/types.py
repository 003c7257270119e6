"""What user code is given, and what it may give."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from durabled.config import (
        CallbackConfig,
        ChildConfig,
        Duration,
        MapConfig,
        ParallelBranch,
        ParallelConfig,
        StepConfig,
    )

T = TypeVar("T")
U = TypeVar("U")
C_co = TypeVar("C_co", covariant=True)
C_contra = TypeVar("C_contra", contravariant=True)


class LoggerInterface(Protocol):
    """What is asked of a logger: the methods of logging.Logger that take `extra`."""

    def debug(
        self, msg: object, *args: object, extra: Mapping[str, object] | None = None
    ) -> None: ...
    def info(
        self, msg: object, *args: object, extra: Mapping[str, object] | None = None
    ) -> None: ...
    def warning(
        self, msg: object, *args: object, extra: Mapping[str, object] | None = None
    ) -> None: ...
    def error(
        self, msg: object, *args: object, extra: Mapping[str, object] | None = None
    ) -> None: ...
    def exception(
        self, msg: object, *args: object, extra: Mapping[str, object] | None = None
    ) -> None: ...


@dataclass(frozen=True)
class OperationContext:
    """Given to the body of an operation."""

    logger: LoggerInterface


@dataclass(frozen=True)
class StepContext(OperationContext):
    """Given to the body of a step. `attempt` is 1 for the first one."""

    attempt: int


@dataclass(frozen=True)
class WaitForCallbackContext(OperationContext):
    """Given to what hands a callback id out."""


@dataclass(frozen=True)
class WaitForConditionCheckContext(OperationContext):
    """Given to a check. `attempt` is 1 for the first one."""

    attempt: int


class Callback(Protocol, Generic[C_co]):
    """A result that somebody else gives."""

    callback_id: str

    def result(self) -> C_co | None: ...


class BatchResult(Protocol, Generic[T]):
    """What a batch gives."""

    def get_results(self) -> list[T]: ...


class DurableContext(Protocol):
    """What operations are started in."""

    def step(
        self,
        func: Callable[[StepContext], T],
        name: str | None = None,
        config: StepConfig | None = None,
    ) -> T: ...

    def run_in_child_context(
        self,
        func: Callable[[DurableContext], T],
        name: str | None = None,
        config: ChildConfig[T] | None = None,
    ) -> T: ...

    def map(
        self,
        inputs: Sequence[U],
        func: Callable[[DurableContext, U, int, Sequence[U]], T],
        name: str | None = None,
        config: MapConfig[U] | None = None,
    ) -> BatchResult[T]: ...

    def parallel(
        self,
        functions: Sequence[Callable[[DurableContext], T] | ParallelBranch[T]],
        name: str | None = None,
        config: ParallelConfig | None = None,
    ) -> BatchResult[T]: ...

    def wait(self, duration: Duration, name: str | None = None) -> None: ...

    def create_callback(
        self, name: str | None = None, config: CallbackConfig | None = None
    ) -> Callback[Any]: ...


class SummaryGenerator(Protocol[C_contra]):
    """Makes what is stored in the place of a result that is too large."""

    def __call__(self, result: C_contra) -> str: ...


class LambdaContext(Protocol):
    """The second argument of a Lambda function."""

    aws_request_id: str
    log_group_name: str | None = None
    log_stream_name: str | None = None
    function_name: str | None = None
    memory_limit_in_mb: str | None = None
    function_version: str | None = None
    invoked_function_arn: str | None = None
    tenant_id: str | None = None
    client_context: Any | None = None
    identity: Any | None = None

    def get_remaining_time_in_millis(self) -> int: ...
    def log(self, msg: Any) -> None: ...


@dataclass(frozen=True)
class DurableExecutionArn:
    """The parts of an execution's ARN."""

    function_name: str
    execution_name: str
    invocation_id: str

    @classmethod
    def from_arn(cls, arn: str) -> DurableExecutionArn | None:
        """None when it is no such ARN."""
        found: Any = re.fullmatch(
            r"arn:[^:]*:lambda:[^:]*:[^:]*:function:([^:/]+):[^:/]+"
            r"/durable-execution/([^/]+)/([^/]+)",
            arn,
        )
        return cls(*found.groups()) if found else None
