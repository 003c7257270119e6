"""Serves functions: takes invocations from the daemon and runs them on threads.

    Worker({"order": handler}, concurrency=8).run()

A daemon that restarts is found again within a second. Invocations whose code still runs
then are named to it, so that nobody else is given them meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from queue import Empty, SimpleQueue
from typing import Any

from durabled._wire import CallError, Connection, ConnectionLostError, NoDaemonError
from durabled.exceptions import error_object
from durabled.execution import DurableFunction, InvocationFailedError

Function = DurableFunction | Callable[[Any, Any], Any]
"""Durable, or plain: called with the payload and a context, once; may be async."""

_log = logging.getLogger("durabled.worker")

_BACKOFF_FIRST_S = 0.05
_BACKOFF_MAX_S = 1.0


@dataclass(frozen=True)
class FunctionOptions:
    """What a function declares: seconds and days; None is the daemon's default."""

    timeout_s: int | None = None
    execution_timeout_s: int | None = None
    retention_days: int | None = None


@dataclass
class InvocationContext:
    """What a function sees as its Lambda context."""

    aws_request_id: str
    function_name: str | None
    invoked_function_arn: str | None
    deadline_ms: int | None
    tenant_id: str | None = None
    function_version: str | None = "$LATEST"
    memory_limit_in_mb: str | None = None
    log_group_name: str | None = None
    log_stream_name: str | None = None
    client_context: Any | None = None
    identity: Any | None = None

    def get_remaining_time_in_millis(self) -> int:
        if self.deadline_ms is None:
            return 2**31 - 1
        return max(0, self.deadline_ms - time.time_ns() // 1_000_000)

    def log(self, msg: Any) -> None:
        _log.info("%s", msg)


class Worker:
    """Serves `functions`, at most `concurrency` invocations at once."""

    def __init__(
        self,
        functions: Mapping[str, Function],
        *,
        concurrency: int = 8,
        options: Mapping[str, FunctionOptions] | None = None,
        socket_path: str | os.PathLike[str] | None = None,
        drain_timeout_s: float = 0,
    ) -> None:
        self._functions = dict(functions)
        self._options = dict(options or {})
        self._concurrency = concurrency
        self._path = socket_path
        self._drain_timeout_s = drain_timeout_s
        self._instance = uuid.uuid4().hex
        # What the main loop waits for; put() is safe in signal handlers.
        self._events: SimpleQueue[Connection | None] = SimpleQueue()
        self._stopping = False
        self._lock = threading.Condition()
        self._connection: Connection | None = None  # registered, and current
        self._running: dict[str, Connection] = {}  # by request id: where it came from

    def run(self) -> int:
        """Serves until stop(). Returns how many invocations were handed back while their
        code still runs; a process should then end without waiting for them."""
        slots = [
            threading.Thread(target=self._slot, name=f"durabled-slot-{n}", daemon=True)
            for n in range(self._concurrency)
        ]
        try:
            self._connect()
            for slot in slots:
                slot.start()
            while not self._stopping:
                lost = self._events.get()
                if lost is not None and lost is self._connection:
                    _log.warning("the connection to durabled is lost; reconnecting")
                    self._connect()
            return self._drain()
        finally:
            self._stopping = True
            with self._lock:
                connection, self._connection = self._connection, None
                self._lock.notify_all()
            if connection:
                connection.close()

    def stop(self) -> None:
        """Ends run(): no new invocations, and the open ones are handed back once the
        drain timeout has passed. May be called from a signal handler or any thread."""
        self._stopping = True
        self._events.put(None)

    # -- the connection -----------------------------------------------------------

    def _connect(self) -> None:
        """Connects and registers; tries until it succeeds or stop() is called."""
        delay, told = _BACKOFF_FIRST_S, False
        with self._lock:
            self._connection = None
        while not self._stopping:
            try:
                self._register(Connection(self._path, on_lost=self._events.put))
            except (NoDaemonError, ConnectionLostError) as error:
                if not told:
                    _log.warning("%s\nTrying again until it does.", error)
                    told = True
            except CallError as error:
                if not error.retryable:
                    raise
            else:
                return
            try:
                self._events.get(timeout=delay * random.uniform(0.5, 1))
            except Empty:
                delay = min(2 * delay, _BACKOFF_MAX_S)

    def _register(self, connection: Connection) -> None:
        functions = []
        for name, function in self._functions.items():
            options = self._options.get(name, FunctionOptions())
            declared = {"name": name, **vars(options)}
            if not isinstance(function, DurableFunction):
                declared["durable"] = False
            functions.append({k: v for k, v in declared.items() if v is not None})
        # Held until registered: what ends meanwhile must be told to this connection.
        with self._lock:
            try:
                connection.call(
                    "worker.register",
                    functions=functions,
                    concurrency=self._concurrency,
                    instance=self._instance,
                    unwinding=list(self._running),
                )
            except CallError:
                connection.close()
                raise
            self._connection = connection
            self._lock.notify_all()
        _log.info(
            "serving %s, %d at once, pid %d",
            ", ".join(self._functions),
            self._concurrency,
            os.getpid(),
        )

    def _drain(self) -> int:
        with self._lock:
            connection = self._connection
        if connection is None or connection.lost:
            return len(self._running)
        try:
            connection.call("worker.drain")
            with self._lock:
                self._lock.wait_for(lambda: not self._running, self._drain_timeout_s)
                left = list(self._running)
            if left:
                connection.call("worker.release", request_ids=left)
                _log.info("handed %d invocations back", len(left))
            return len(left)
        except (ConnectionLostError, CallError):
            return len(self._running)

    # -- invocations ----------------------------------------------------------------

    def _slot(self) -> None:
        """One thread: one invocation after another."""
        used: Connection | None = None
        while True:
            with self._lock:
                while not self._stopping and self._connection in (None, used):
                    self._lock.wait()
                if self._stopping or self._connection is None:
                    return
                used = self._connection
            while self._take_one(used):
                pass

    def _take_one(self, connection: Connection) -> bool:
        """Waits for one invocation and runs it; False when this connection gives no more."""
        try:
            reply = connection.post("worker.next", {})
            invocation = reply.result().get("invocation")
        except (ConnectionLostError, CallError):
            return False
        if invocation is None:
            return False
        request_id: str = invocation["request_id"]
        with self._lock:
            self._running[request_id] = connection
        try:
            self._run_one(connection, invocation)
        except ConnectionLostError:
            pass  # _forget() tells the next connection
        except CallError as error:
            _log.warning("invocation %s: %s", request_id, error)
        finally:
            self._forget(request_id)
        return not connection.lost and not self._stopping

    def _run_one(self, connection: Connection, invocation: Mapping[str, Any]) -> None:
        request_id = invocation["request_id"]
        try:
            output = self._invoke(connection, invocation)
        except ConnectionLostError:
            raise
        except InvocationFailedError as error:
            connection.call("worker.fail", request_id=request_id, error=error.error)
        except CallError as error:  # such as an execution that was stopped just now
            failed = {"ErrorType": error.code, "ErrorMessage": error.message}
            connection.call("worker.fail", request_id=request_id, error=failed)
        except BaseException as error:
            _log.exception("invocation %s failed", request_id)
            connection.call("worker.fail", request_id=request_id, error=error_object(error))
        else:
            connection.call("worker.respond", request_id=request_id, output=output)

    def _invoke(self, connection: Connection, invocation: Mapping[str, Any]) -> str:
        function = self._functions[invocation["function"]]
        deadline_ms = invocation.get("deadline_ms")
        context = InvocationContext(
            invocation["request_id"],
            invocation["function"],
            invocation["function"],
            deadline_ms,
            invocation.get("tenant_id"),
        )
        if isinstance(function, DurableFunction):
            return function.invoke(
                connection, invocation["event"], context, invocation["request_id"], deadline_ms
            )
        value = function(json.loads(invocation["event"] or "null"), context)
        return json.dumps(asyncio.run(_awaited(value)) if isawaitable(value) else value)

    def _forget(self, request_id: str) -> None:
        """The code of an invocation has ended. Where another connection was told that it
        still ran, that one is told now."""
        with self._lock:
            came_from = self._running.pop(request_id)
            current = self._connection
            self._lock.notify_all()
        if current is not None and current is not came_from:
            # Lost again: the next one is not told that it runs.
            with contextlib.suppress(ConnectionLostError):
                current.post("worker.release", {"request_ids": [request_id]})


async def _awaited(value: Any) -> Any:
    return await value
