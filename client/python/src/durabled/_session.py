"""One invocation of a handler, as the daemon sees it, and the replay cursor.

The cursor holds the operations that earlier invocations recorded. An operation found
there, terminal and with the identity that the code asks for, costs no round trip; all else
goes to the daemon, which judges.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from durabled._protocol import ErrorCode, Method
from durabled._wire import CallError, Connection, ConnectionLostError, Reply
from durabled.exceptions import (
    InvalidStateError,
    InvocationError,
    NonDeterministicExecutionError,
    SuspendExecution,
    TerminationReason,
)

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
        self.gaps: bool = first["gaps"]
        self._take(first)
        self.empty = not self._entries

    def _take(self, window: Mapping[str, Any]) -> None:
        for entry in window["operations"]:
            self._entries[entry.get("context"), entry["position"]] = entry["operation"]
        self._more = window["more"]

    def at(self, context_id: str | None, position: int) -> Operation | None:
        """What is recorded at this place; None: nothing."""
        place = (context_id, position)
        while self._more and place not in self._entries:
            self._take(self._session.call("session.operations"))
        return self._entries.get(place)


class Session:
    """Between `session.begin` and `session.end`."""

    def __init__(
        self,
        connection: Connection,
        event: str,
        request_id: str | None,
        deadline_ms: int | None,
    ) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._handles = 0
        begun = connection.call(
            "session.begin",
            event=event,
            profile=PROFILE,
            request_id=request_id,
            deadline_ms=deadline_ms,
        )
        self._id: int = begun["session"]
        self.key: str = begun["key"]
        self.arn: str = begun["arn"]
        self.input: str | None = begun.get("input")
        self.cursor = Cursor(self, begun)

    def new_handle(self) -> int:
        with self._lock:
            self._handles += 1
            return self._handles

    def post(self, method: Method, **params: Any) -> Reply:
        return self.post_all((method, params))[0]

    def post_all(self, *calls: tuple[Method, dict[str, Any]]) -> list[Reply]:
        try:
            return self._connection.post_all(
                [(method, {"session": self._id, **params}) for method, params in calls]
            )
        except ConnectionLostError as error:
            raise SuspendExecution(str(error)) from error

    def result(self, reply: Reply, operation_id: str | None = None) -> dict[str, Any]:
        """Waits for an answer; raises SuspendExecution when it says to unwind."""
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

    def call(self, method: Method, **params: Any) -> dict[str, Any]:
        return self.result(self.post(method, **params))

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
        return self._connection.call("session.end", session=self._id, **outcome)
