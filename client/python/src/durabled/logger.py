"""The logger of a context: the language's own, silent while the handler replays, with the
execution and the operation in each record's `extra`."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from durabled.types import LoggerInterface

if TYPE_CHECKING:
    from durabled.identifier import OperationIdentifier

Copy = Callable[[int, str, str, Mapping[str, object]], None]
"""(time in ms, level, message, fields): keeps a copy of a line with the execution."""


def _never() -> bool:
    return False


class _Execution(Protocol):
    @property
    def durable_execution_arn(self) -> str: ...


@dataclass(frozen=True)
class LogInfo:
    """Where a line comes from."""

    execution_state: _Execution
    parent_id: str | None = None
    operation_id: str | None = None
    name: str | None = None
    attempt: int | None = None

    @classmethod
    def from_operation_identifier(
        cls,
        execution_state: _Execution,
        op_id: OperationIdentifier,
        attempt: int | None = None,
    ) -> LogInfo:
        return cls(execution_state, op_id.parent_id, op_id.operation_id, op_id.name, attempt)

    def with_parent_id(self, parent_id: str) -> LogInfo:
        return replace(self, parent_id=parent_id)

    def _extra(self) -> dict[str, object]:
        extra: dict[str, object] = {"executionArn": self.execution_state.durable_execution_arn}
        if self.parent_id:
            extra["parentId"] = self.parent_id
        if self.name:
            extra["operationName"] = self.name
        if self.attempt is not None:
            extra["attempt"] = self.attempt
        if self.operation_id:
            extra["operationId"] = self.operation_id
        return extra


class Logger(LoggerInterface):
    """Wraps `logger`. `default_extra` goes with every record; what a call gives wins."""

    def __init__(
        self,
        logger: LoggerInterface,
        default_extra: Mapping[str, object],
        is_replaying: Callable[[], bool] = _never,
        copy: Copy | None = None,
    ) -> None:
        self._logger = logger
        self._extra = dict(default_extra)
        self._is_replaying = is_replaying
        self._copy = copy

    @classmethod
    def from_log_info(
        cls,
        logger: LoggerInterface,
        info: LogInfo,
        is_replaying: Callable[[], bool] = _never,
        copy: Copy | None = None,
    ) -> Logger:
        return cls(logger, info._extra(), is_replaying, copy)

    def with_log_info(self, info: LogInfo) -> Logger:
        """The same logger with another `extra`."""
        return Logger(self._logger, info._extra(), self._is_replaying, self._copy)

    def with_logger(self, logger: LoggerInterface) -> Logger:
        """The same `extra` on another logger."""
        return Logger(logger, self._extra, self._is_replaying, self._copy)

    def with_is_replaying(self, is_replaying: Callable[[], bool]) -> Logger:
        """The same logger, silent when `is_replaying` says so."""
        return Logger(self._logger, self._extra, is_replaying, self._copy)

    def get_logger(self) -> LoggerInterface:
        """The logger that is wrapped."""
        return self._logger

    def debug(
        self, msg: object, *args: object, extra: Mapping[str, object] | None = None
    ) -> None:
        self._log("debug", logging.DEBUG, msg, args, extra)

    def info(
        self, msg: object, *args: object, extra: Mapping[str, object] | None = None
    ) -> None:
        self._log("info", logging.INFO, msg, args, extra)

    def warning(
        self, msg: object, *args: object, extra: Mapping[str, object] | None = None
    ) -> None:
        self._log("warning", logging.WARNING, msg, args, extra)

    def error(
        self, msg: object, *args: object, extra: Mapping[str, object] | None = None
    ) -> None:
        self._log("error", logging.ERROR, msg, args, extra)

    def exception(
        self, msg: object, *args: object, extra: Mapping[str, object] | None = None
    ) -> None:
        self._log("exception", logging.ERROR, msg, args, extra)

    def _log(
        self,
        method: str,
        level: int,
        msg: object,
        args: tuple[object, ...],
        extra: Mapping[str, object] | None,
    ) -> None:
        if self._is_replaying():
            return
        merged = {**self._extra, **(extra or {})}
        getattr(self._logger, method)(msg, *args, extra=merged)
        if self._copy and self._enabled(level):
            self._keep(method, level, msg, args, extra)

    def _enabled(self, level: int) -> bool:
        enabled = getattr(self._logger, "isEnabledFor", None)
        return enabled is None or bool(enabled(level))

    def _keep(
        self,
        method: str,
        level: int,
        msg: object,
        args: tuple[object, ...],
        extra: Mapping[str, object] | None,
    ) -> None:
        assert self._copy is not None
        # The record was written already; a line that can't be formatted was reported there.
        try:
            message = str(msg) % args if args else str(msg)
        except (TypeError, ValueError):
            message = str(msg)
        if method == "exception" and sys.exc_info()[0] is not None:
            message += "\n" + traceback.format_exc().rstrip()
        fields = {k: v for k, v in self._extra.items() if k != "executionArn"}
        fields.update(extra or {})
        name = "WARN" if level == logging.WARNING else logging.getLevelName(level)
        self._copy(time.time_ns() // 1_000_000, name, message, fields)
