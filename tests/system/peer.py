"""A client that speaks whatever it likes, without a client library."""

from __future__ import annotations

import contextlib
import select
import socket
from typing import Any

import msgpack

from conftest import World


class Peer:
    """One connection; reads message by message."""

    def __init__(self, world: World) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(world.socket))
        self._unpacker = msgpack.Unpacker(raw=False)
        self._last = 0

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> Any:
        while True:
            for message in self._unpacker:
                return message
            data = self.socket.recv(65536)
            assert data, "the daemon closed the connection"
            self._unpacker.feed(data)

    def post(self, method: str, params: object) -> int:
        """Sends a call, and returns its number."""
        self._last += 1
        self.send(msgpack.packb([0, self._last, method, [params]]))
        return self._last

    def answer(self, number: int) -> tuple[Any, Any]:
        """The error and the result of the next answer, which is to this call."""
        kind, answered, error, result = self.receive()
        assert (kind, answered) == (1, number)
        return error, result

    def call(self, method: str, params: object) -> tuple[Any, Any]:
        return self.answer(self.post(method, params))

    def answered(self) -> list[int]:
        """The numbers of the calls whose answers are there already."""
        if select.select([self.socket], [], [], 0)[0]:
            self._unpacker.feed(self.socket.recv(65536))
        return [message[1] for message in self._unpacker]

    def hello(self) -> Peer:
        assert self.call("hello", {"level": 1, "client": "test"})[0] is None
        return self

    def is_closed(self) -> bool:
        with contextlib.suppress(ConnectionResetError):
            while self.socket.recv(65536):
                pass
        return True
