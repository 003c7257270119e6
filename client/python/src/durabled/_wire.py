"""The connection to the daemon: MessagePack-RPC over a Unix socket.

A thread reads; calls may be made from any thread and any number may be open at once. A
connection belongs to the process that opened it: a forked child must open its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import msgpack

from durabled.__about__ import __version__
from durabled._protocol import FRAME_MAX, LEVEL, ErrorCode, Method, Notification
from durabled.exceptions import DurableExecutionsError, InvalidStateError


class ConnectionLostError(DurableExecutionsError):
    """The daemon is gone, or closed the connection."""


class NoDaemonError(DurableExecutionsError, ConnectionError):
    """No daemon answers on any of the paths that were tried."""


class CallError(DurableExecutionsError):
    """The daemon refused one call."""

    def __init__(
        self, code: str, message: str, field: str | None = None, *, retryable: bool = False
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.field = field
        self.retryable = retryable  # the same call may succeed later


def socket_paths(path: str | os.PathLike[str] | None = None) -> list[str]:
    """Where a daemon is looked for: the path given, else DURABLED_SOCKET; in Lambda where the
    extension is; else the user's runtime directory, then the system's."""
    if path is not None:
        return [os.fspath(path)]
    named = os.environ.get("DURABLED_SOCKET")
    if named:
        return [named]
    if _in_lambda():
        return ["/tmp/durabled.sock"]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    own = [os.path.join(runtime, "durabled.sock")] if runtime else []
    return [*own, "/run/durabled/durabled.sock"]


def _in_lambda() -> bool:
    return bool(
        os.environ.get("AWS_LAMBDA_FUNCTION_NAME") and os.environ.get("LAMBDA_TASK_ROOT")
    )


def _cure(paths: list[str]) -> str:
    if _in_lambda() and not os.environ.get("DURABLED_SOCKET"):
        return "Add the durabled layer, of the function's architecture, to the function"
    if len(paths) == 1:
        return f"Start the daemon there: `durabled serve --socket {paths[0]}`"
    return (
        "Start the daemon: `durabled serve`; if it runs elsewhere, set DURABLED_SOCKET "
        "to its socket"
    )


def _dial(path: str | os.PathLike[str] | None) -> socket.socket:
    tried = []
    paths = socket_paths(path)
    for candidate in paths:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(candidate)
        except OSError as error:
            sock.close()
            tried.append(f"  {candidate}: {error.strerror or error}")
        else:
            return sock
    raise NoDaemonError(
        "no durabled daemon answers; tried\n" + "\n".join(tried) + f"\n{_cure(paths)}."
    )


Answer = tuple[Any, Any] | None
"""An error and a result, one of which is None; None: the connection is lost."""


# A forked child must not keep the connections of its parent open: the daemon would not
# see the parent end.
_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def _close_in_child() -> None:
    for connection in list(_connections):
        connection._socket.close()


os.register_at_fork(after_in_child=_close_in_child)


class Reply:
    """The answer to a call, once it comes.

    `tap` sees it first, on the thread that reads the connection, so in the order in which
    the daemon gave the answers.
    """

    __slots__ = ("_answer", "_answered", "_lock", "_tap", "_watchers")

    def __init__(self, tap: Callable[[Answer], None] | None = None) -> None:
        self._tap = tap
        self._lock = threading.Lock()
        self._answer: Answer = None
        self._answered = False
        self._watchers: list[Callable[[], object]] = []

    def put(self, answer: Answer) -> None:
        """The first answer counts."""
        if self._tap:
            self._tap(answer)
        with self._lock:
            if self._answered:
                return
            self._answer, self._answered = answer, True
            watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher()

    def watch(self, watcher: Callable[[], object]) -> None:
        """Calls `watcher` once the answer is there: now, or on the reader's thread."""
        with self._lock:
            if not self._answered:
                self._watchers.append(watcher)
                return
        watcher()

    def wait(self) -> None:
        """Blocks until the answer is there."""
        if not self._answered:
            arrived = threading.Lock()
            arrived.acquire()
            self.watch(arrived.release)
            arrived.acquire()

    def result(self) -> dict[str, Any]:
        """Waits for the answer; raises CallError or ConnectionLostError."""
        self.wait()
        if self._answer is None:
            raise ConnectionLostError("the connection to durabled is lost")
        error, result = self._answer
        if error is not None:
            raise CallError(
                error["code"],
                error["message"],
                error.get("field"),
                retryable=error["retryable"],
            )
        return dict(result)


class Connection:
    """One connection, past its `hello`."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        on_lost: Callable[[Connection], object] | None = None,
    ) -> None:
        self._socket = _dial(path)
        _connections.add(self)
        self._on_lost = on_lost
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._packer = msgpack.Packer(use_bin_type=False)
        self._open: dict[int, Reply] = {}
        self._last = 0
        self._lost = False
        self._unsent = b""  # the rest of a notification that was taken in part
        self._reader = threading.Thread(target=self._read, name="durabled-reader", daemon=True)
        self._reader.start()
        try:
            self.server = self.call("hello", level=LEVEL, client=f"python/{__version__}")
        except BaseException:
            self.close()
            raise

    @property
    def level(self) -> int:
        """Of the protocol, between the two sides."""
        return min(LEVEL, int(self.server["level"]))

    @property
    def lost(self) -> bool:
        return self._lost

    @property
    def mine(self) -> bool:
        """False in a forked child."""
        return os.getpid() == self._pid

    def close(self) -> None:
        """Ends the connection; open calls raise ConnectionLostError."""
        with contextlib.suppress(OSError):  # it is gone already
            self._socket.shutdown(socket.SHUT_RDWR)

    def call(self, method: Method, **params: Any) -> dict[str, Any]:
        """Makes a call and waits for its answer."""
        return self.post(method, params).result()

    def post(
        self,
        method: Method,
        params: Mapping[str, Any],
        tap: Callable[[Answer], None] | None = None,
    ) -> Reply:
        """Makes a call; the answer may be waited for later, and `tap` sees it first."""
        reply = Reply(tap)
        self._check_mine()
        with self._lock:
            if self._lost:
                raise ConnectionLostError("the connection to durabled is lost")
            frame = self._pack([0, self._last + 1, method, [_without_none(params)]])
            self._last += 1
            self._open[self._last] = reply
            self._send(frame)
        return reply

    def notify(self, method: Notification, params: Mapping[str, Any]) -> None:
        """Sends what is never answered. Dropped, rather than waited for, when the socket
        takes no more."""
        if not self.mine:
            return
        with self._lock:
            if self._lost:
                return
            try:
                if self._unsent:
                    sent = self._socket.send(self._unsent, socket.MSG_DONTWAIT)
                    self._unsent = self._unsent[sent:]
                if not self._unsent:
                    frame = self._packer.pack([2, method, [_without_none(params)]])
                    sent = self._socket.send(frame, socket.MSG_DONTWAIT)
                    self._unsent = frame[sent:]
            except OSError:
                return  # full: this line is dropped; broken: the reader sees it

    def _pack(self, message: list[Any]) -> bytes:
        frame: bytes = self._packer.pack(message)
        if len(frame) > FRAME_MAX:
            raise CallError(
                ErrorCode.BAD_PARAMS,
                f"{message[2]}: a message of {len(frame)} bytes; at most {FRAME_MAX} are taken",
            )
        return frame

    def _check_mine(self) -> None:
        """Before any lock: one that a thread of the parent held stays locked in a child."""
        if not self.mine:
            raise InvalidStateError(
                "this process was forked: the durable execution belongs to its parent"
            )

    def _send(self, data: bytes) -> None:
        data, self._unsent = self._unsent + data, b""
        try:
            self._socket.sendall(data)
        except OSError:
            # The reader sees the end as well, and fails what is open.
            self.close()

    def _read(self) -> None:
        unpacker = msgpack.Unpacker(
            raw=False, strict_map_key=False, max_buffer_size=2 * FRAME_MAX
        )
        try:
            while data := self._socket.recv(256 * 1024):
                unpacker.feed(data)
                for message in unpacker:
                    number, error, result = _answer(message)
                    with self._lock:
                        reply = self._open.pop(number, None)
                    if reply:
                        reply.put((error, result))
        except (OSError, ValueError, msgpack.UnpackException):
            pass  # as good as its end; after bytes that are no answer nothing can be read
        finally:
            with self._lock:
                self._lost = True
                still_open = list(self._open.values())
                self._open.clear()
            self._socket.close()
            for reply in still_open:
                reply.put(None)
            if self._on_lost:
                self._on_lost(self)


def _answer(message: Any) -> tuple[int, dict[str, Any] | None, dict[str, Any] | None]:
    match message:
        case [1, int(number), (None | dict()) as error, (None | dict()) as result]:
            return number, error, result
    raise ValueError("no answer")


def _without_none(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}
