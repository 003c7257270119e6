"""What user code is given, and what it may give."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

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


class SummaryGenerator(Protocol[C_contra]):
    """Makes what is stored in the place of a result that is too large."""

    def __call__(self, result: C_contra) -> str: ...


class LambdaContext(Protocol):
    """The second argument of a Lambda function, as far as it is used here."""

    aws_request_id: str
    function_name: str
    invoked_function_arn: str

    def get_remaining_time_in_millis(self) -> int: ...


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
            r"arn:[^:]*:lambda:[^:]*:[^:]*:function:([^:/]+)[^/]*/durable-execution/([^/]+)/([^/]+)",
            arn,
        )
        return cls(*found.groups()) if found else None
