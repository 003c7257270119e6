"""A daemon made of a script; proto/vectors/README.md has its entries. Besides those,
`{"send": HEX}` sends bytes as they are."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any

import msgpack

from durabled._protocol import LEVEL

PATIENCE_S = 30.0


class ScriptedDaemon:
    """One connection's other side: plays a script and keeps the first thing that was not
    as written."""

    def __init__(self, path: Path, script: list[dict[str, Any]], level: int = 1) -> None:
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(PATIENCE_S)
        hello = {"level": level, "version": "1.2.3", "mode": "serve", "pid": 4711}
        self._script = [{"call": "hello", "params": {"level": LEVEL}, "result": hello}, *script]
        self._open: dict[str, int] = {}
        self._in = msgpack.Unpacker()
        self.problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()
        if self.problem:
            raise self.problem

    def _run(self) -> None:
        try:
            with self._listener:
                self._socket, _ = self._listener.accept()
            with self._socket:
                self._socket.settimeout(PATIENCE_S)
                for step in self._script:
                    self._play(step)
                if {"close": True} not in self._script:
                    assert self._receive() is None, "more than the script has"
        except BaseException as problem:
            self.problem = problem

    def _receive(self) -> Any:
        """The next message; None: the client hung up."""
        while True:
            for message in self._in:
                return message
            try:
                data = self._socket.recv(65536)
            except ConnectionResetError:  # it left what it was sent unread
                return None
            if not data:
                return None
            self._in.feed(data)

    def _play(self, step: dict[str, Any]) -> None:
        if "close" in step:
            self._socket.shutdown(socket.SHUT_RDWR)
        elif "send" in step:
            with contextlib.suppress(BrokenPipeError):  # it need not hear bad bytes out
                self._socket.sendall(bytes.fromhex(step["send"]))
        elif "answer" in step:
            self._reply(self._open[step["answer"]], step)
        elif "any" in step:
            left = list(step["any"])
            while left:
                message = self._receive()
                call = next((call for call in left if is_call(message, call)), None)
                assert call is not None, f"{message} instead of one of {left}"
                left.remove(call)
                self._accept(message, call)
        else:
            message = self._receive()
            assert is_call(message, step), f"{message} instead of {step}"
            if "call" in step:
                self._accept(message, step)

    def _accept(self, message: list[Any], call: dict[str, Any]) -> None:
        if "as" in call:
            self._open[call["as"]] = message[1]
        if "result" in call or "error" in call:
            self._reply(message[1], call)

    def _reply(self, number: int, step: dict[str, Any]) -> None:
        answer = [1, number, step.get("error"), step.get("result")]
        self._socket.sendall(msgpack.packb(answer))


def is_call(message: Any, step: dict[str, Any]) -> bool:
    """Whether a message is the call, or the note, of a step."""
    if message is None:
        return False
    wanted = [0, step["call"]] if "call" in step else [2, step["note"]]
    given = [message[0], message[-2]]
    return given == wanted and same(step.get("params", {}), message[-1][0])


def same(wanted: Any, given: Any) -> bool:
    """The members that are wanted are as wanted, at every depth; null ones are absent."""
    if not isinstance(wanted, dict):
        return bool(wanted == given)
    return isinstance(given, dict) and all(
        key not in given if member is None else key in given and same(member, given[key])
        for key, member in wanted.items()
    )
