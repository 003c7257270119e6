"""A peer that speaks the protocol by itself, without a client library."""

from __future__ import annotations

import socket
from typing import Any

import msgpack

from conftest import World


class Raw:
    """One connection. Sends whatever it likes, and reads message by message."""

    def __init__(self, world: World) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(world.socket))
        self.unpacker = msgpack.Unpacker(raw=False)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> Any:
        while True:
            for message in self.unpacker:
                return message
            data = self.socket.recv(65536)
            assert data, "the daemon closed the connection"
            self.unpacker.feed(data)

    def call(self, method: str, params: object, number: int = 1) -> tuple[Any, Any]:
        self.send(msgpack.packb([0, number, method, [params]]))
        kind, answered, error, result = self.receive()
        assert kind == 1 and answered == number
        return error, result

    def closed(self) -> bool:
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True
