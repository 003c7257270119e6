"""What surrounds the extension in Lambda, played by the test: the Extensions API, and AWS's
durable execution API, for which `durabled dev` stands in, with whatever is wrong between."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from test_hosting import Host

from conftest import BIN, HERE, PATIENCE_S, Process, World, wait_for

LOCAL = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


class Server:
    """An HTTP server on loopback; `answer` is called for each request, on its thread."""

    def __init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def parse_request(self) -> bool:
                self.began = time.perf_counter()
                return super().parse_request()

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.answer(self, body)

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256  # else the kernel drops what comes at once

            def handle_error(self, *args: object) -> None:
                pass  # a client that is gone

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request: Any, body: bytes) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def reply(request: Any, status: int, body: bytes, **headers: str) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def reply_in_chunks(request: Any, status: int, body: bytes, **headers: str) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("transfer-encoding", "chunked")
    request.end_headers()
    for at in range(0, len(body), 7):
        piece = body[at : at + 7]
        request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        request.wfile.flush()
    request.wfile.write(b"0\r\n\r\n")


def reply_and_close(request: Any, status: int, body: bytes, **headers: str) -> None:
    reply(request, status, body, connection="close", **headers)


class ExtensionsApi(Server):
    """As much of it as an extension meets."""

    def __init__(self, reply: Callable[..., None] = reply) -> None:
        self.reply = reply
        self.registered: list[tuple[str, Any]] = []
        self.asked = 0  # requests for the next event
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        super().__init__()

    def answer(self, request: Any, body: bytes) -> None:
        if request.path == "/2020-01-01/extension/register":
            self.registered.append(
                (request.headers["Lambda-Extension-Name"], json.loads(body)["events"])
            )
            self.reply(request, 200, b"{}", Lambda_Extension_Identifier="an-id")
            return
        assert request.path == "/2020-01-01/extension/event/next"
        if request.headers["Lambda-Extension-Identifier"] != "an-id":
            self.reply(request, 403, b"{}")
            return
        self.asked += 1
        event = self.events.get()
        self.reply(request, 200, json.dumps(event).encode(), Content_Type="application/json")

    def invoke(self, request_id: str = "r", seconds: float = 30) -> None:
        deadline = int((time.time() + seconds) * 1000)
        self.events.put(
            {"eventType": "INVOKE", "deadlineMs": deadline, "requestId": request_id}
        )

    def shut_down(self, reason: str = "spindown") -> None:
        self.events.put({"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": 0})


Fault = Callable[[Any, bytes], bool]
"""Meets a request; false lets it through."""


@dataclass(frozen=True)
class Cost:
    """Of one call of the API: what was sent, and the time from its first line to its answer."""

    bytes: int
    seconds: float


class Between(Server):
    """A proxy in front of the API. Each request meets the next of `faults`, if there is one,
    and is passed on after `delay_s`."""

    def __init__(self, url: str = "", delay_s: float = 0) -> None:
        self.target = urlsplit(url).netloc
        self.delay_s = delay_s
        self.costs: list[Cost] = []
        self.faults: deque[Fault] = deque()
        self.seen: list[tuple[str, str, bytes]] = []  # method, path, body
        self.answers: list[tuple[int, bytes]] = []
        self.connections: dict[Any, socket.socket] = {}  # all there were, by their address
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()
        super().__init__()

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def checkpoints(self) -> list[dict[str, Any]]:
        return [json.loads(body) for method, _, body in self.seen if method == "POST"]

    def pages(self) -> list[str]:
        return [path for method, path, _ in self.seen if method == "GET"]

    def pass_on(self, request: Any, body: bytes) -> tuple[int, bytes, str | None]:
        time.sleep(self.delay_s)
        upstream = http.client.HTTPConnection(self.target, timeout=PATIENCE_S)
        upstream.putrequest(request.command, request.path, skip_host=True)
        for name, value in request.headers.items():
            upstream.putheader(name, value)
        upstream.endheaders(body)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        return answer.status, data, answer.getheader("x-amzn-errortype")

    def answer(self, request: Any, body: bytes) -> None:
        with self.lock:
            self.seen.append((request.command, request.path, body))
            self.connections[request.client_address] = request.connection
            fault = self.faults.popleft() if self.faults else None
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if fault and fault(request, body):
                return
            status, data, kind = self.pass_on(request, body)
        finally:
            with self.lock:
                self.under_way -= 1
        self.answers.append((status, data))
        headers = {"x-amzn-errortype": kind} if kind else {}
        reply(request, status, data, **headers)
        head = len(request.raw_requestline) + sum(
            len(f"{k}: {v}\r\n") for k, v in request.headers.items()
        )
        self.costs.append(Cost(head + 2 + len(body), time.perf_counter() - request.began))

    # -- what may be wrong -------------------------------------------------------

    def cut(self) -> None:
        """Ends every connection, as a sandbox that stood still for long finds them."""
        with self.lock:
            for connection in self.connections.values():
                with contextlib.suppress(OSError):  # it had ended
                    connection.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def refuses(status: int, kind: str | None, message: str = "no", **headers: str) -> Fault:
        def fault(request: Any, body: bytes) -> bool:
            if kind:
                headers["x-amzn-errortype"] = kind
            reply(request, status, json.dumps({"message": message}).encode(), **headers)
            return True

        return fault

    @staticmethod
    def says(status: int, text: bytes) -> Fault:
        def fault(request: Any, body: bytes) -> bool:
            reply(request, status, text)
            return True

        return fault

    @staticmethod
    def hangs_up(request: Any, body: bytes) -> bool:
        request.close_connection = True
        return True

    def loses_the_answer(self, request: Any, body: bytes) -> bool:
        """The service does it, and nobody hears of it."""
        self.answers.append(self.pass_on(request, body)[:2])
        request.close_connection = True
        return True

    @staticmethod
    def waits(event: threading.Event) -> Fault:
        def fault(request: Any, body: bytes) -> bool:
            event.wait(PATIENCE_S)
            return False

        return fault


class Layer(Host):
    """A durable function hosted by `dev`, as its official runtime client runs it, whose
    handler attaches to the extension; and the extension, whose service is that `dev`."""

    def __init__(
        self,
        world: World,
        handler: str,
        *options: str,
        timeout_s: int = 0,
        execution_timeout_s: int = 0,
        **env: str,
    ) -> None:
        self.socket = world.dir / "extension.sock"
        command = [
            "/usr/bin/env",
            f"DURABLED_SOCKET={self.socket}",
            f"DURABLED_TEST_NOTES={world.notes}",
            *self.runtime(world, handler),
        ]
        functions = ["--function", "f", "--", *command]
        if timeout_s or execution_timeout_s:
            write_template(world, command, timeout_s or 60, execution_timeout_s or 600)
            functions = []
        super().__init__(world, *functions, options=("--require-signature", *options))
        self.between = Between(self.url)
        self.api = ExtensionsApi()
        self.env = env
        self.extension = self.start_extension()

    def runtime(self, world: World, handler: str) -> list[str]:
        """The command that runs the function."""
        return [sys.executable, "-m", "awslambdaric", f"handlers.{handler}"]

    def start_extension(self, scheme: str = "http") -> Process:
        asked = self.api.asked
        extension = start_extension(
            self.world,
            self.api,
            AWS_ENDPOINT_URL_LAMBDA=f"{scheme}://{self.between.address}",
            DURABLED_SOCKET=str(self.socket),
            **{**LOCAL, **self.env},
        )
        wait_for("the extension", lambda: self.api.asked > asked)
        return extension

    def start_again(self, scheme: str = "http") -> None:
        """The extension, with what has changed of its surroundings."""
        self.extension.terminate()
        self.extension = self.start_extension(scheme)

    def behind_tls(self) -> Path:
        """Puts the API behind TLS; returns a file with the root that vouches for it."""
        key, certificate = self.world.dir / "key.pem", self.world.dir / "ca.pem"
        if not shutil.which("openssl"):
            pytest.skip("no openssl to make a certificate with")
        made = (
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test "
            f"-addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}"
        )
        subprocess.run(shlex.split(made), check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = self.between.server
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return certificate

    def run(self, payload: Any) -> tuple[bool, Any]:
        return self.call(payload, "f:$LATEST")

    def logged(self, code: str) -> list[dict[str, Any]]:
        return [line for line in lines(self.extension) if line["code"] == code]


def write_template(
    world: World, command: list[str], timeout_s: int, execution_timeout_s: int
) -> None:
    """A template of the function: only such a one has a Timeout."""
    code = world.dir / "code"
    code.mkdir()
    (code / "handlers.py").symlink_to(HERE / "handlers.py")
    bootstrap = code / "bootstrap"
    bootstrap.write_text(f"#!/bin/sh\nexec {shlex.join(command)}\n")
    bootstrap.chmod(0o755)
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "FunctionName": "f",
            "Runtime": "provided.al2023",
            "Handler": "f.handler",
            "CodeUri": "code",
            "Timeout": timeout_s,
            "DurableConfig": {"ExecutionTimeout": execution_timeout_s},
        },
    }
    template = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {"F": function},
    }
    (world.dir / "template.yaml").write_text(json.dumps(template))
    world.cwd = world.dir


def start_extension(world: World, api: ExtensionsApi, **env: str) -> Process:
    """As Lambda starts it: the file in its directory, and no arguments."""
    directory = world.dir / "opt" / "extensions"
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "durabled"
    if not program.exists():
        program.symlink_to(BIN / "durabled")
    return world.spawn(
        [str(program)],
        "extension.log",
        AWS_LAMBDA_RUNTIME_API=api.address,
        AWS_REGION=env.pop("AWS_REGION", "us-east-1"),
        DURABLED_LOG_LEVEL=env.pop("DURABLED_LOG_LEVEL", "DEBUG"),
        NO_PROXY="127.0.0.1",
        **env,
    )


def lines(process: Process) -> list[dict[str, Any]]:
    found = []
    for line in process.output().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue  # a line that is still being written
    return found
