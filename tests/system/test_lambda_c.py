"""libdurabled-lambda: a program in C against the Lambda Runtime API, played here, and what
it tells when something is wrong. The program is the sample deploy/lambda/order-c."""

from __future__ import annotations

import json
import os
import queue
import socket
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import pytest
from lambda_sandbox import Server, reply, reply_and_close, reply_in_chunks
from test_hosting import Host, plain

from conftest import BIN, PATIENCE_S, Process, World, wait_for

ORDER = str(BIN / "lambda_order_c")
DEADLINE_MS = 4_102_444_800_123
CANNOT_START = str(BIN.parent / "tests/system/cannot_start")


class RuntimeApi(Server):
    """What a runtime meets: `next` waits for an event; what is posted is kept."""

    def __init__(self, reply: Callable[..., None] = reply) -> None:
        self.reply = reply
        self.events: queue.Queue[bytes] = queue.Queue()
        self.posted: queue.Queue[tuple[str, dict[str, str], Any]] = queue.Queue()
        self.status = 202  # of what is posted
        self.asked = 0
        super().__init__()

    def answer(self, request: Any, body: bytes) -> None:
        path = request.path.removeprefix("/2018-06-01/runtime/")
        if request.command == "POST":
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.posted.put((path, headers, json.loads(body)))
            self.reply(request, self.status, b'{"status": "as it is"}')
            return
        assert path == "invocation/next"
        self.asked += 1
        self.reply(
            request,
            200,
            self.events.get(),
            Lambda_Runtime_Aws_Request_Id=f"request-{self.asked}",
            Lambda_Runtime_Deadline_Ms=str(DEADLINE_MS),
            Lambda_Runtime_Trace_Id="Root=1-2-3",
        )

    def post(self) -> tuple[str, dict[str, str], Any]:
        return self.posted.get(timeout=PATIENCE_S)


@pytest.fixture(params=[reply, reply_in_chunks, reply_and_close])
def api(request: Any) -> Iterator[RuntimeApi]:
    server = RuntimeApi(request.param)
    yield server
    server.close()


def start(world: World, api: RuntimeApi, program: str = ORDER, **env: str) -> Process:
    # A proxy is for elsewhere.
    proxies = {"http_proxy": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"}
    env = {"AWS_LAMBDA_RUNTIME_API": api.address, **proxies, **env}
    return world.spawn([program], "function.log", **env)


def test_without_a_daemon_each_invocation_fails(world: World, api: RuntimeApi) -> None:
    path = world.dir / 'no "such"\n\\socket'
    start(world, api, DURABLED_SOCKET=str(path))
    for number in (1, 2):
        api.events.put(b"{}")
        posted, headers, error = api.post()
        assert posted == f"invocation/request-{number}/error"
        assert headers["lambda-runtime-function-error-type"] == error["errorType"]
        assert error["errorType"] == "DURABLED_NO_DAEMON"
        assert str(path) in error["errorMessage"]
        assert error["stackTrace"] == []


def test_the_daemon_is_told_what_lambda_told(world: World, api: RuntimeApi) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(world.socket))
        listener.listen()
        listener.settimeout(PATIENCE_S)
        start(world, api)
        api.events.put(b' {"as": "it is"}\n')
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE_S)
            calls = msgpack.Unpacker(raw=False)
            for result in ({"level": 2, "version": "0", "mode": "extension", "pid": 1}, None):
                _, number, method, [params] = read(connection, calls)
                if result:
                    connection.sendall(msgpack.packb([1, number, None, result]))
    assert method == "session.begin"
    assert params["event"] == ' {"as": "it is"}\n'
    assert params["request_id"] == "request-1"
    assert params["deadline_ms"] == DEADLINE_MS
    assert api.post()[2]["errorType"] == "DURABLED_DISCONNECTED"


def read(connection: socket.socket, calls: msgpack.Unpacker) -> Any:
    while True:
        for call in calls:
            return call
        data = connection.recv(65536)
        assert data, "the program hung up"
        calls.feed(data)


def test_an_event_of_no_durable_execution(world: World, api: RuntimeApi) -> None:
    world.start_daemon()
    start(world, api)
    api.events.put(json.dumps({"order": "é" * 1_000_000}).encode())
    path, _, error = api.post()
    assert path == "invocation/request-1/error"
    assert error["errorType"] == "InvalidParameterValueException"
    assert "DurableExecutionArn" in error["errorMessage"]


def test_an_event_that_the_socket_does_not_carry(world: World) -> None:
    api = RuntimeApi()
    world.start_daemon()
    start(world, api)
    api.events.put(b'{"a": "' + b"x" * 9_000_000 + b'"}')
    path, _, error = api.post()
    assert path == "invocation/request-1/error"
    assert error["errorType"] == "DURABLED_USAGE"
    assert "larger than one message may be" in error["errorMessage"]
    api.events.put(b"{}")
    assert api.post()[2]["errorType"] == "InvalidParameterValueException"


@pytest.mark.parametrize("status", [403, 413, 500])
def test_an_answer_that_is_refused_ends_the_program(world: World, status: int) -> None:
    api = RuntimeApi()
    api.status = status
    program = start(world, api)
    api.events.put(b"{}")
    assert program.popen.wait(PATIENCE_S) == 1
    said = program.output()
    assert f"/invocation/request-1/error: status {status}: " in said
    assert "as it is" in said


def test_without_a_runtime_api_it_ends(world: World) -> None:
    api = RuntimeApi()
    api.close()
    program = start(world, api)
    assert program.popen.wait(PATIENCE_S) == 1
    assert f"{api.address}/2018-06-01/runtime/invocation/next: " in program.output()


def test_outside_of_lambda_it_says_so(world: World) -> None:
    program = world.spawn([ORDER], "function.log", AWS_LAMBDA_RUNTIME_API="")
    assert program.popen.wait(PATIENCE_S) == 1
    assert "AWS_LAMBDA_RUNTIME_API is not set" in program.output()


def test_a_program_that_cannot_start_says_why(world: World, api: RuntimeApi) -> None:
    program = start(world, api, CANNOT_START)
    path, headers, error = api.post()
    assert path == "init/error"
    assert headers["lambda-runtime-function-error-type"] == "Order.NoConfiguration"
    assert error == {
        "errorType": "Order.NoConfiguration",
        "errorMessage": 'ORDERS is not "set"\n',
        "stackTrace": [],
    }
    assert program.popen.wait(PATIENCE_S) == 3
    assert program.output() == ""


def test_dev_is_told_why_it_does_not_start(world: World) -> None:
    host = Host(world, *plain("f", CANNOT_START))
    good, answer = host.call({})
    assert not good
    assert answer["errorType"] == "Order.NoConfiguration"


def test_it_connects_anew_when_the_daemon_was_lost(world: World) -> None:
    api = RuntimeApi()
    daemon = world.start_daemon()
    start(world, api)
    api.events.put(b"{}")
    assert api.post()[2]["errorType"] == "InvalidParameterValueException"
    daemon.kill()
    api.events.put(b"{}")
    assert api.post()[2]["errorType"] == "DURABLED_DISCONNECTED"
    api.events.put(b"{}")
    assert api.post()[2]["errorType"] == "DURABLED_NO_DAEMON"
    os.unlink(world.socket)
    world.start_daemon()
    api.events.put(b"{}")
    assert api.post()[2]["errorType"] == "InvalidParameterValueException"
    wait_for("the next next", lambda: api.asked == 5)
