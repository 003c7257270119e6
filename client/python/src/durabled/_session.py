"""One invocation of a handler, as the daemon sees it, and the replay cursor.

The cursor holds the operations that earlier invocations recorded. An operation found
there, terminal and with the identity that the code asks for, costs no round trip; all else
goes to the daemon, which judges.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from durabled._crew import Crew
from durabled._protocol import ErrorCode, Method
from durabled._wire import Answer, CallError, Connection, ConnectionLostError, Reply
from durabled.exceptions import (
    InvalidStateError,
    InvocationError,
    NonDeterministicExecutionError,
    SuspendExecution,
    TerminationReason,
)
from durabled.lambda_service import (
    ExecutionDetails,
    OperationStatus,
    OperationType,
    TimestampConverter,
)
from durabled.lambda_service import Operation as OperationValue
from durabled.plugin import PluginExecutor

_log = logging.getLogger("durabled")

PROFILE = "python"
TERMINAL = frozenset(("SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT", "STOPPED"))

Operation = Mapping[str, Any]


class Cursor:
    """The recorded operations by place; windows are fetched as they are needed."""

    def __init__(self, session: Session, first: Mapping[str, Any]) -> None:
        self._session = session
        self._entries: dict[tuple[str | None, int], Operation] = {}
        self._more = False
        # Something recorded has no place here: what is not found may still be recorded.
        self.gaps = False
        self._take(first)
        self.empty = not self._entries and not self.gaps

    def _take(self, window: Mapping[str, Any]) -> None:
        for entry in window["operations"]:
            self._entries[entry.get("context"), entry["position"]] = entry["operation"]
        self._more = window["more"]
        self.gaps = window.get("gaps", self.gaps)

    def at(self, context_id: str | None, position: int) -> Operation | None:
        """What is recorded at this place; None: nothing. Blocks for the next window, which
        the daemon has at hand, or reads from the service."""
        place = (context_id, position)
        while self._more and place not in self._entries:
            self._take(self._session.next_window())
        return self._entries.get(place)

    def all(self) -> Iterable[Operation]:
        """All that have a place."""
        while self._more:
            self._take(self._session.next_window())
        return self._entries.values()


class Session:
    """Between `session.begin` and `session.end`."""

    def __init__(
        self,
        connection: Connection,
        event: str,
        request_id: str | None,
        deadline_ms: int | None,
        plugins: PluginExecutor | None = None,
    ) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._handles = 0
        self.plugins = plugins or PluginExecutor(None)
        self.crew = Crew()
        begun = connection.call(
            "session.begin",
            event=event,
            profile=PROFILE,
            request_id=request_id,
            deadline_ms=deadline_ms,
            observe=True if self.plugins.has_plugins else None,
        )
        self._id: int = begun["session"]
        self.key: str = begun["key"]
        self.arn: str = begun["arn"]
        self.input: str | None = begun.get("input")
        self.start_ms: int | None = begun.get("start_ms")
        self.updated: frozenset[str] = frozenset(begun.get("updated") or ())
        self._replayed: set[str] = set()
        self.cursor = Cursor(self, begun)
        self.operations: dict[str, OperationValue] = {}
        if self.plugins.has_plugins:
            self._observe_all()

    @property
    def durable_execution_arn(self) -> str:
        return self.arn

    # -- calls --------------------------------------------------------------------------

    def new_handle(self) -> int:
        with self._lock:
            self._handles += 1
            return self._handles

    def post(self, method: Method, **params: Any) -> Reply:
        tap = self._observe if self.plugins.has_plugins else None
        try:
            return self._connection.post(method, {"session": self._id, **params}, tap)
        except ConnectionLostError as error:
            raise SuspendExecution(str(error)) from error

    def result(self, reply: Reply, operation_id: str | None = None) -> dict[str, Any]:
        """The answer, waited for; raises SuspendExecution when it says to unwind."""
        try:
            result = reply.result()
        except ConnectionLostError as error:
            raise SuspendExecution(str(error)) from error
        except CallError as error:
            if error.code == ErrorCode.NON_DETERMINISTIC:
                raise NonDeterministicExecutionError(error.message, operation_id) from None
            if error.retryable:  # such as a full disk: the next invocation goes on from here
                raise InvocationError(
                    error.message, TerminationReason.CHECKPOINT_FAILED
                ) from error
            raise InvalidStateError(str(error)) from error
        if result.get("outcome") == "unwind":
            raise SuspendExecution("the execution waits")
        return result

    def next_window(self) -> dict[str, Any]:
        return self.result(self.post("session.operations"))

    def log(self, time_ms: int, level: str, message: str, fields: Mapping[str, object]) -> None:
        """Sends a copy of a log line; may be dropped, never waits."""
        plain = {
            key: value if isinstance(value, (str, int, float, bool)) else str(value)
            for key, value in fields.items()
            if value is not None
        }
        self._connection.notify(
            "session.log",
            {
                "session": self._id,
                "time_ms": time_ms,
                "level": level,
                "message": message[:65536],
                "fields": plain,
            },
        )

    def end(self, **outcome: Any) -> dict[str, Any]:
        """Ends the session; answered when all of it is acknowledged. May be called from a
        handler that was told to unwind, so a lost connection is for the caller to see."""
        tap = self._observe if self.plugins.has_plugins else None
        params = {"session": self._id, **outcome}
        return self._connection.post("session.end", params, tap).result()

    # -- what plugins are told ------------------------------------------------------------

    def _observe_all(self) -> None:
        """The operations as they stand when the invocation begins."""
        *_, name, id_ = self.arn.split("/")
        execution = OperationValue(
            operation_id=id_,
            name=name,
            operation_type=OperationType.EXECUTION,
            status=OperationStatus.STARTED,
            start_timestamp=TimestampConverter.from_unix_millis(self.start_ms),
            execution_details=ExecutionDetails(self.input),
        )
        self.operations[execution.operation_id] = execution
        for entry in self.cursor.all():
            operation = OperationValue.from_json_dict(entry)
            self.operations[operation.operation_id] = operation

    def _observe(self, answer: Answer) -> None:
        """Sees each answer on the reader's thread, before its caller does."""
        changed = answer and answer[1] and answer[1].get("changed")
        if not changed:
            return
        try:
            values = [OperationValue.from_json_dict(one) for one in changed]
        except (ValueError, KeyError):
            _log.exception("plugins are not told of a change that cannot be read")
            return
        before, after = self.operations, {one.operation_id: one for one in values}
        self.operations = {**before, **after}
        self.plugins.record(values, before)

    def told_of_replay(self, recorded: Operation) -> None:
        """Replay has met `recorded`: plugins are told, once, and only of what is open, or
        has changed since the last invocation."""
        if not self.plugins.has_plugins:
            return
        operation = OperationValue.from_json_dict(recorded)
        if operation.operation_id in self.updated:
            self.plugins.on_operation_update(operation)
            return
        with self._lock:
            if operation.operation_id in self._replayed:
                return
            self._replayed.add(operation.operation_id)
        if operation.status is not OperationStatus.READY:
            self.plugins.on_operation_replay(operation)
