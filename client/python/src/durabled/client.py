"""Starts and follows executions, from any program.

client = Client()
execution = client.start("order", {"order": "1001"}, name="order-1001")
print(execution.result())
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from durabled._protocol import Method
from durabled._wire import CallError, Connection
from durabled.config import Duration
from durabled.exceptions import DurableExecutionsError, error_object

_WAIT_MS = 60_000  # of one call; a longer wait is several


class ExecutionFailedError(DurableExecutionsError):
    """The execution ended otherwise than by succeeding. `error` has AWS's members."""

    def __init__(self, arn: str, status: str, error: dict[str, Any] | None) -> None:
        kind = (error or {}).get("ErrorType")
        message = (error or {}).get("ErrorMessage")
        said = ": ".join(part for part in (kind, message) if part)
        super().__init__(f"{arn} {status}" + (f": {said}" if said else ""))
        self.arn = arn
        self.status = status
        self.error = error


@dataclass(frozen=True)
class Execution:
    """One execution, by ARN."""

    arn: str
    name: str
    existing: bool
    """Whether it was there before: the same name and payload were started already."""
    _client: Client

    def result(self, timeout: Duration | None = None) -> Any:
        """Waits for its end and returns what the handler returned. Raises
        ExecutionFailedError when it ended otherwise, TimeoutError when it did not end."""
        return self._client.result(self.arn, timeout)

    def describe(self) -> dict[str, Any]:
        """See Client.describe()."""
        return self._client.describe(self.arn)

    def stop(self) -> str:
        """See Client.stop()."""
        return self._client.stop(self.arn)


class Client:
    """`socket_path`: None looks where every client looks. Connects when first used, and
    again after the daemon restarted. Safe for use from many threads; `execution` is an
    ARN, a name, or "-" for the last one started."""

    def __init__(self, socket_path: str | os.PathLike[str] | None = None) -> None:
        self._path = socket_path
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; the next call opens another."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection:
            connection.close()

    def start(
        self,
        function: str,
        payload: Any = None,
        *,
        name: str | None = None,
        execution_timeout: Duration | None = None,
    ) -> Execution:
        """Starts a durable execution. The same name and payload again give the one that is
        there; the same name with another payload is refused with CallError."""
        answer = self._call(
            "execution.start",
            function=function,
            name=name,
            payload=None if payload is None else json.dumps(payload),
            execution_timeout_s=execution_timeout.to_seconds() if execution_timeout else None,
        )
        return Execution(answer["arn"], answer["name"], answer["existing"], self)

    def result(self, execution: str, timeout: Duration | None = None) -> Any:
        """See Execution.result()."""
        deadline = time.monotonic() + timeout.to_seconds() if timeout else None
        while True:
            left_ms = _WAIT_MS
            if deadline is not None:
                left_ms = min(left_ms, max(0, int((deadline - time.monotonic()) * 1000)))
            answer = self._call("execution.wait", execution=execution, timeout_ms=left_ms)
            if answer["status"] == "SUCCEEDED":
                text = answer.get("result")
                return None if text is None else json.loads(text)
            if answer["status"] != "RUNNING":
                raise ExecutionFailedError(answer["arn"], answer["status"], answer.get("error"))
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"{answer['arn']} still runs")

    def describe(self, execution: str) -> dict[str, Any]:
        """`execution` with the members of GetDurableExecution, `standing` that says why it
        stands where it stands, and its `operations`."""
        described: dict[str, Any] = {"operations": [], "more": True}
        while described["more"]:
            page = self._call(
                "execution.describe",
                execution=execution,
                data=True,
                after_operation=len(described["operations"]),
            )
            # "-" may be another one meanwhile. A daemon of level 1 knows no pages.
            execution = page["execution"]["DurableExecutionArn"]
            operations = described["operations"] + page["operations"]
            described = {**page, "operations": operations, "more": page.get("more", False)}
        del described["more"]
        return described

    def history(self, execution: str) -> Iterator[dict[str, Any]]:
        """Its events in order, with the members of GetDurableExecutionHistory."""
        after = None
        while True:
            page = self._call(
                "execution.history", execution=execution, after_event=after, data=True
            )
            yield from page["events"]
            if not page["more"]:
                return
            after = page["events"][-1]["EventId"]

    def list(
        self,
        *,
        function: str | None = None,
        status: str | None = None,
        since_ms: int | None = None,
        waiting: bool | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Executions, newest first, each with arn, name, function, status, state, start_ms
        and, when there are such, end_ms and until_ms."""
        marker = None
        while True:
            page = self._call(
                "execution.list",
                function=function,
                status=status,
                since_ms=since_ms,
                waiting=waiting,
                marker=marker,
            )
            yield from page["executions"]
            marker = page.get("marker")
            if marker is None:
                return

    def stop(self, execution: str, error: dict[str, Any] | None = None) -> str:
        """Stops an execution; returns its status. What is closed stays as it is."""
        status: str = self._call("execution.stop", execution=execution, error=error)["status"]
        return status

    def callback_succeed(
        self,
        callback_id: str | None = None,
        result: Any = None,
        *,
        execution: str | None = None,
        operation: str | None = None,
    ) -> None:
        """Gives a callback its result: a text as it is, None as none, all else as JSON. The
        callback is named by its id, or by an execution and the operation's name in it."""
        text = result if result is None or isinstance(result, str) else json.dumps(result)
        self._callback("callback.succeed", callback_id, execution, operation, payload=text)

    def callback_fail(
        self,
        callback_id: str | None = None,
        error: BaseException | dict[str, Any] | str | None = None,
        *,
        execution: str | None = None,
        operation: str | None = None,
    ) -> None:
        """Lets a callback fail, with an exception, a message, or AWS's members."""
        if isinstance(error, BaseException):
            error = error_object(error)
        elif isinstance(error, str):
            error = {"ErrorMessage": error}
        self._callback("callback.fail", callback_id, execution, operation, error=error)

    def callback_heartbeat(
        self,
        callback_id: str | None = None,
        *,
        execution: str | None = None,
        operation: str | None = None,
    ) -> None:
        """Says that somebody still works on it."""
        self._callback("callback.heartbeat", callback_id, execution, operation)

    def _callback(
        self,
        method: Method,
        callback_id: str | None,
        execution: str | None,
        operation: str | None,
        **params: Any,
    ) -> None:
        self._call(
            method,
            callback=callback_id,
            execution=execution,
            operation=operation,
            **params,
        )

    def functions(self) -> list[dict[str, Any]]:  # type: ignore[valid-type]
        """Every function that was ever registered."""
        answer: Any = self._call("function.list")["functions"]
        return answer  # type: ignore[no-any-return]

    def _call(self, method: Method, **params: Any) -> dict[str, Any]:
        with self._lock:
            if self._connection is None or self._connection.lost or not self._connection.mine:
                self._connection = Connection(self._path)
            connection = self._connection
        return connection.call(method, **params)


__all__ = ["CallError", "Client", "Execution", "ExecutionFailedError"]
