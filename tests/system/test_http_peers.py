"""Peers of the HTTP API that send no proper request, or go away: each gets a plain HTTP
error or nothing, and nobody else notices."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError
from cloud import EXECUTIONS, FUNCTIONS, Cloud, Function

from conftest import World, wait_for

HOST = b"Host: localhost\r\n"
INVOKE = b"POST " + FUNCTIONS.encode() + b"f:$LATEST/invocations HTTP/1.1\r\n" + HOST
CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
EVENT = b"X-Amz-Invocation-Type: Event\r\n"


@pytest.fixture
def cloud(world: World) -> Cloud:
    return Cloud(world)


def read_all(peer: socket.socket) -> bytes:
    """What comes until the daemon closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := peer.recv(65536):
            data += piece
    return data


def read_answers(peer: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """The status and body of so many answers on one connection."""
    stream = peer.makefile("rb")
    answers = []
    for _ in range(count):
        status = int(stream.readline().split()[1])
        length = 0
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        answers.append((status, stream.read(length)))
    return answers


def still_serves(cloud: Cloud) -> None:
    assert cloud.ask("GET", "/")[0] == 404
    assert cloud.world.daemon is not None and cloud.world.daemon.alive()


def files_open(world: World) -> int:
    assert world.daemon is not None
    return len(list(Path(f"/proc/{world.daemon.pid}/fd").iterdir()))


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        CHUNKED + b"zz\r\nabc\r\n",
        b"POST / HTTP/1.1\r\n"
        + HOST
        + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n",
        b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-Header: value\r\n" * 20000 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-Header: " + b"v" * 200000 + b"\r\n\r\n",
        b"\x93\x02\xa5hello\x90",
    ],
)
def test_bytes_that_are_no_request(cloud: Cloud, data: bytes) -> None:
    peer = cloud.dial()
    with contextlib.suppress(OSError):  # it may be refused before its end
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
    answer = read_all(peer)
    assert answer == b"" or re.match(rb"HTTP/1\.[01] (4\d\d|505) ", answer)
    still_serves(cloud)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n" + HOST + b"X-Header: value\r\n" * 20000 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X-Header: " + b"v" * 200000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /?" + b"a&" * 10000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /?" + b"a=b&" * 1000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +4\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_too_much_or_no_http_ends_at_once(cloud: Cloud, data: bytes) -> None:
    """Its peer has not hung up, and need not wait until it is idle."""
    peer = cloud.dial()
    with contextlib.suppress(OSError):
        peer.sendall(data)
    answer = read_all(peer)
    assert answer == b"" or re.match(rb"HTTP/1\.[01] (4\d\d|505) ", answer)
    still_serves(cloud)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "CONNECT", "PATCH", "BREW"])
@pytest.mark.parametrize("target", [FUNCTIONS, "*", "http://localhost" + FUNCTIONS])
def test_methods_that_nothing_has(cloud: Cloud, method: str, target: str) -> None:
    peer = cloud.dial()
    peer.sendall(
        f"{method} {target} HTTP/1.1\r\nConnection: close\r\n".encode() + HOST + b"\r\n"
    )
    answer = read_all(peer)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"\r\nx-amzn-errortype: UnknownOperationException\r\n" in answer
    still_serves(cloud)


def test_a_peer_that_asks_before_it_sends_its_body(cloud: Cloud) -> None:
    Function(cloud.world)
    peer = cloud.dial()
    peer.sendall(INVOKE + EVENT + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert peer.recv(65536).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    peer.sendall(b"{}")
    assert read_answers(peer, 1) == [(202, b"")]


def test_a_body_of_two_lengths_hides_no_request(cloud: Cloud) -> None:
    """What follows is the body's by one of them, and another request by the other."""
    Function(cloud.world)
    peer = cloud.dial()
    lengths = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    peer.sendall(INVOKE + EVENT + lengths + b"0\r\n\r\n")
    assert read_answers(peer, 1) == [(202, b"")]
    still_serves(cloud)
    assert len(cloud.world.ctl_json("ls")["executions"]) == 1


def test_bytes_that_are_no_utf8_in_a_path(cloud: Cloud) -> None:
    peer = cloud.dial()
    peer.sendall(b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n")
    ((status, body),) = read_answers(peer, 1)
    assert status == 404 and "/??" in json.loads(body)["message"]


def test_half_requests_leave_nothing_behind(cloud: Cloud) -> None:
    still_serves(cloud)
    before = files_open(cloud.world)
    whole = INVOKE + EVENT + b"Content-Length: 1000\r\n\r\n" + b"1" * 500
    for end in range(0, len(whole), 7):
        peer = cloud.dial()
        peer.sendall(whole[:end])
        peer.close()
    still_serves(cloud)
    wait_for("the connections' end", lambda: files_open(cloud.world) <= before)


def test_slow_peers_keep_nobody(cloud: Cloud) -> None:
    """Connections that say half a thing, while others are served."""
    Function(cloud.world)
    slow = [cloud.dial() for _ in range(50)]
    for peer in slow:
        peer.sendall(INVOKE[:40])
    assert (
        cloud.aws.invoke(FunctionName="f:$LATEST", InvocationType="Event")["StatusCode"] == 202
    )
    for peer in slow:
        peer.sendall(INVOKE[40:] + EVENT + b"Content-Length: 1\r\n\r\n1")
    for peer in slow:
        assert read_answers(peer, 1) == [(202, b"")]


def test_a_request_byte_by_byte(cloud: Cloud) -> None:
    Function(cloud.world)
    peer = cloud.dial()
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in INVOKE + EVENT + b"Content-Length: 2\r\n\r\n{}":
        peer.sendall(bytes([byte]))
    assert read_answers(peer, 1) == [(202, b"")]


def test_pipelined_and_chunked_requests(cloud: Cloud) -> None:
    function = Function(cloud.world)
    peer = cloud.dial()
    chunked = (
        EVENT
        + b'Transfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n3\r\n: 1\r\n1\r\n}\r\n0\r\n\r\n'
    )
    peer.sendall(
        (INVOKE + chunked) * 2
        + b"GET / HTTP/1.1\r\n"
        + HOST
        + b"\r\n"
        + INVOKE
        + EVENT
        + b"Content-Length: 2\r\n\r\n{}"
    )
    answers = read_answers(peer, 4)
    assert [status for status, _ in answers] == [202, 202, 404, 202]
    executions = cloud.world.ctl_json("ls")["executions"]
    assert len(executions) == 3 and function.name == "f"
    described = cloud.world.describe(executions[-1]["arn"])
    assert described["InputPayload"] == '{"a": 1}'


def test_what_follows_a_waiting_request_waits(cloud: Cloud) -> None:
    """A synchronous invocation, and behind it on the same connection another request."""
    function = Function(cloud.world)
    peer = cloud.dial()
    peer.sendall(INVOKE + b"Content-Length: 0\r\n\r\n" + b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    function.next()
    function.respond({"Status": "SUCCEEDED", "Result": "7"})
    (first, body), (second, _) = read_answers(peer, 2)
    assert (first, body, second) == (200, b"7", 404)


def test_a_caller_that_hangs_up_stops_nothing(cloud: Cloud) -> None:
    function = Function(cloud.world)
    still_serves(cloud)
    before = files_open(cloud.world)
    peer = cloud.dial()
    peer.sendall(INVOKE + b"X-Amz-Durable-Execution-Name: a\r\nContent-Length: 0\r\n\r\n")
    function.next()
    peer.close()
    wait_for("the connection's end", lambda: files_open(cloud.world) <= before)
    function.respond({"Status": "SUCCEEDED", "Result": "7"})
    assert cloud.world.finish("a")["Result"] == "7"
    still_serves(cloud)


def test_hundreds_of_callers_wait(cloud: Cloud) -> None:
    function = Function(cloud.world)
    name = b"X-Amz-Durable-Execution-Name: a\r\nContent-Length: 0\r\n\r\n"
    peers = [cloud.dial() for _ in range(300)]
    for peer in peers:
        peer.sendall(INVOKE + name)
    function.next()
    for peer in peers[::2]:
        peer.close()
    function.respond({"Status": "SUCCEEDED", "Result": "7"})
    for peer in peers[1::2]:
        assert read_answers(peer, 1) == [(200, b"7")]
    still_serves(cloud)


def test_oversized_bodies_are_refused(cloud: Cloud) -> None:
    Function(cloud.world)
    size = 20 * 1024 * 1024
    peer = cloud.dial()
    peer.sendall(INVOKE + EVENT + f"Content-Length: {size}\r\n\r\n".encode())
    threading.Thread(target=peer.sendall, args=(b"1" * size,), daemon=True).start()
    ((status, body),) = read_answers(peer, 1)
    assert status == 413 and "smaller than" in json.loads(body)["message"]
    # Nor is one read for ever.
    peer = cloud.dial()
    peer.sendall(INVOKE + EVENT + b"Transfer-Encoding: chunked\r\n\r\n")
    piece = b"100000\r\n" + b"1" * 0x100000 + b"\r\n"
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        peer.sendall(piece * 200)
    assert cloud.world.ctl_json("ls")["executions"] == []
    still_serves(cloud)


def test_answers_of_a_size(cloud: Cloud) -> None:
    """The largest input comes back whole."""
    Function(cloud.world)
    payload = b'"' + b"\xc3\xa9" * (3 * 1024 * 1024 - 1) + b'"'

    def hold() -> None:
        with contextlib.suppress(BotoCoreError):  # the daemon's end
            cloud.aws.invoke(FunctionName="f:$LATEST", Payload=payload)

    threading.Thread(target=hold, daemon=True).start()
    arn = wait_for("the start", lambda: cloud.world.ctl_json("ls")["executions"])[0]["arn"]
    peer = cloud.dial()
    peer.sendall(f"GET {EXECUTIONS}{arn} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
    ((status, body),) = read_answers(peer, 1)
    assert status == 200 and json.loads(body)["InputPayload"].encode() == payload


def test_an_orderly_stop_ends_those_who_wait(cloud: Cloud) -> None:
    Function(cloud.world)
    peer = cloud.dial()
    peer.sendall(INVOKE + b"X-Amz-Durable-Execution-Name: a\r\nContent-Length: 0\r\n\r\n")
    idle = cloud.dial()
    half = cloud.dial()
    half.sendall(INVOKE[:30])
    wait_for("the start", lambda: cloud.world.ctl_json("ls")["executions"])
    assert cloud.world.daemon is not None
    assert cloud.world.daemon.terminate() == 0
    assert read_all(peer) == read_all(idle) == read_all(half) == b""


# -- the address ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--http", "8080"], "'8080' is no ADDRESS:PORT"),
        (["--http", "localhost:http"], "is no ADDRESS:PORT"),
        (["--http", "example.com:80"], "is no ADDRESS:PORT"),
        (["--http", "127.0.0.1:70000"], "is no ADDRESS:PORT"),
        (["--http", "0.0.0.0:0"], "is not on loopback"),
        (["--http", "[::]:0"], "is not on loopback"),
    ],
)
def test_addresses_that_are_refused(world: World, options: list[str], text: str) -> None:
    process = world.try_daemon(*options)
    assert process.popen.wait(30) != 0
    assert text in process.output()


def test_a_port_that_is_held(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        process = world.try_daemon("--http", f"127.0.0.1:{other.getsockname()[1]}")
        assert process.popen.wait(30) != 0
        assert "Address already in use" in process.output()
        name = Path("/proc/self/comm").read_text().strip()
        assert f"by pid {os.getpid()} ({name})" in process.output()


def test_other_addresses_when_told_so(world: World) -> None:
    cloud = Cloud(world, "--http-hosts", "box", "--http", "0.0.0.0:0")
    cloud.address = ("127.0.0.1", cloud.address[1])
    assert cloud.ask("GET", "/", Host="box")[0] == 404
    assert cloud.ask("GET", "/", Host="10.1.2.3")[0] == 403


def test_off_unless_given(world: World) -> None:
    world.start_daemon()
    assert world.log_events("READY")[-1]["http"] == "off"
