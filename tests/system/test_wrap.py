"""durabled-wrap: the daemon between a runtime and Lambda's Runtime API."""

from __future__ import annotations

import http.client
import json
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from lambda_sandbox import (
    LOCAL,
    Between,
    ExtensionsApi,
    Fault,
    Layer,
    Server,
    lines,
    reply,
    start_extension,
)
from peer import Peer
from test_hosting import BOOTSTRAP, Host, plain
from test_lambda_samples import COMMANDS, RESULTS, awaited, wrote

from conftest import BIN, PATIENCE_S, Process, World, wait_for

RUNTIME = "/2018-06-01/runtime/"
MIB = 1024 * 1024


def layer_file(world: World, name: str) -> str:
    """A file of the unpacked layer: another name of the daemon's program."""
    path = world.dir / "opt" / name
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.symlink_to(BIN / "durabled")
    return str(path)


class Wrapped(Layer):
    """The function's runtime is started through durabled-wrap."""

    def runtime(self, world: World, handler: str) -> list[str]:
        return [layer_file(world, "durabled-wrap"), *super().runtime(world, handler)]

    def outcomes(self) -> list[str]:
        return [line["outcome"] for line in self.logged("SESSION_ENDED")]


class Bootstrap(Wrapped):
    """Its runtime is tests/system/bootstrap.py; the event says what it does."""

    def runtime(self, world: World, handler: str) -> list[str]:
        return [layer_file(world, "durabled-wrap"), *BOOTSTRAP]


# --- handlers that see no envelope --------------------------------------------------------


def test_a_plain_handler_is_given_the_input_and_its_answer_is_the_result(world: World) -> None:
    layer = Wrapped(world, "adds")
    assert layer.run({"a": 1, "b": 2}) == (True, {"sum": 3})
    assert layer.run({"a": 3, "b": 4}) == (True, {"sum": 7})
    assert world.noted() == ["adding", "adding"]
    assert world.story("-") == "X I X+"
    assert layer.between.seen == []  # nothing to record
    assert layer.outcomes() == ["SUCCEEDED", "SUCCEEDED"]
    assert len(layer.logged("ATTACHED")) == 1


def test_what_a_plain_handler_raises_fails_the_execution(world: World) -> None:
    layer = Wrapped(world, "refuses")
    good, error = layer.run({})
    assert not good
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "no such order")
    assert "refuses" in "".join(error["stackTrace"])
    assert world.story("-") == "X I X-"
    assert layer.outcomes() == ["FAILED"]


def test_a_plain_handler_that_asks_for_it_is_run_again(world: World) -> None:
    layer = Wrapped(world, "refuses")
    assert layer.run({"again": True}) == (True, None)
    assert world.noted() == ["tried", "tried"]
    assert world.story("-") == "X I I X+"
    assert world.diagnosis("INVOCATION_FAILED")["error_type"] == "InvocationError"
    assert layer.outcomes() == ["RETRIED", "SUCCEEDED"]


def test_a_large_result_of_a_plain_handler_is_recorded(world: World) -> None:
    layer = Wrapped(world, "large")
    good, result = layer.run({})
    assert good and len(result) > 6_000_000
    (call,) = layer.between.checkpoints()
    assert [update["Type"] for update in call["Updates"]] == ["EXECUTION"]


def test_a_large_input_is_read_from_the_state(world: World) -> None:
    layer = Wrapped(world, "adds")
    assert layer.run({"a": 1, "b": 2, "c": "x" * 5_900_000}) == (True, {"sum": 3})


def test_a_runtime_that_crashes_is_started_again(world: World) -> None:
    layer = Wrapped(world, "exits_plainly")
    assert layer.run({}) == (True, "survived")
    assert world.noted() == ["tried", "tried"]
    assert world.diagnosis("INVOCATION_FAILED")["error_type"] == "Runtime.ExitError"
    assert layer.extension.alive()


# --- handlers that attach -----------------------------------------------------------------


def test_a_handler_attaches_by_its_request_id(world: World) -> None:
    layer = Wrapped(world, "order")
    assert layer.run({"order": "7"}) == (True, {"status": "approved"})
    assert world.noted() == ["reserve-1", "ship"]
    assert world.story("-") == "X S S+ W I W+ S S+ I X+"
    assert layer.outcomes() == ["PENDING", "SUCCEEDED"]


def test_an_attached_handler_that_is_to_be_run_again(world: World) -> None:
    layer = Wrapped(world, "order")
    stale = Between.refuses(400, "InvalidParameterValueException", "Invalid checkpoint token")
    layer.between.faults.append(stale)
    assert layer.run({"order": "7"}) == (True, {"status": "approved"})
    assert layer.outcomes() == ["RETRIED", "PENDING", "SUCCEEDED"]
    assert world.diagnosis("INVOCATION_FAILED")["error_type"]


def test_the_state_of_an_attached_handler_is_read_once(world: World) -> None:
    layer = Wrapped(world, "sequence")
    event = {"key": "k", "steps": 1100, "wait_every": 1099}
    assert layer.run(event) == (True, sum(range(1100)))
    pages = layer.between.pages()
    assert 0 < len(pages) == len(set(pages))


@pytest.mark.parametrize("event", [{}, {"as": "{}"}])
def test_a_session_that_is_left_open_ends_with_what_is_returned(
    world: World, event: dict[str, Any]
) -> None:
    """Also when the client hands over the event that it was given, as older ones do."""
    layer = Wrapped(world, "attaches")
    assert layer.run(event) == (True, {"left": "open"})


def test_a_session_that_is_left_open_ends_with_what_is_raised(world: World) -> None:
    layer = Wrapped(world, "attaches")
    good, error = layer.run({"raise": True})
    assert not good and error["errorMessage"] == "left open"


def test_a_suspended_session_that_is_left_open_is_pending(world: World) -> None:
    layer = Wrapped(world, "attaches")
    assert layer.run({"wait": 1}) == (True, {"left": "open"})
    assert world.story("-") == "X W I W+ I X+"
    assert world.noted() == ["unwound"]


def test_a_lost_session_fails_the_invocation(world: World) -> None:
    layer = Wrapped(world, "attaches")
    assert layer.run({"lose": 1}) == (True, {"left": "open"})
    assert world.diagnosis("INVOCATION_FAILED")["error_type"] == "Runtime.ExitError"


class Program(Wrapped):
    """A program in C on the Lambda library of ours: the sample deploy/lambda/order-c."""

    def runtime(self, world: World, _: str) -> list[str]:
        return [str(BIN / "durabled"), "wrap", *COMMANDS["order-c"]]


@pytest.mark.parametrize("approved", [True, False])
def test_a_program_in_c_attaches(world: World, approved: bool) -> None:
    layer = Program(world, "")
    done = layer.begin({"order": "1001"}, "f:$LATEST")
    callback_id = awaited(layer)
    layer.aws.send_durable_execution_callback_success(
        CallbackId=callback_id, Result=json.dumps({"approved": approved}).encode()
    )
    expected = RESULTS["order-c"] if approved else {"status": "rejected"}
    assert done.result() == (True, expected)
    # What its handler saw is the input.
    assert wrote(world).count('reserving stock for {"order": "1001"}') == 1
    assert layer.outcomes() == ["PENDING"] * (1 + approved) + ["SUCCEEDED"]
    assert layer.logged("RUNTIME_API_OPENED")


# --- what is not durable ------------------------------------------------------------------


class Plain(Host):
    """A plain function behind the wrapper, with or without its extension."""

    def __init__(
        self, world: World, *env: str, level: str = "INFO", attach: bool = True
    ) -> None:
        socket = world.dir / "extension.sock"
        self.extension: Process | None = None
        if attach:
            self.api = ExtensionsApi()
            self.extension = start_extension(
                world, self.api, DURABLED_SOCKET=str(socket), DURABLED_LOG_LEVEL=level, **LOCAL
            )
            wait_for("the extension", lambda: self.api.asked)
        command = ["/usr/bin/env", f"DURABLED_SOCKET={socket}", *env]
        wrap = layer_file(world, "durabled-wrap")
        super().__init__(world, *plain("f", *command, wrap, *BOOTSTRAP))


def test_what_is_no_envelope_passes_as_it_is(world: World) -> None:
    host = Plain(world)
    good, answer = host.call({"a": [1, 2]})
    assert good and answer["event"] == {"a": [1, 2]}
    headers = answer["headers"]
    assert int(headers["lambda-runtime-deadline-ms"]) > 0
    assert headers["lambda-runtime-invoked-function-arn"].endswith(":function:f")
    assert headers["lambda-runtime-trace-id"].startswith("Root=1-")
    assert headers["content-type"] == "application/json"
    error = {"errorType": "ValueError", "errorMessage": "no", "stackTrace": ["a", "b"]}
    assert host.call({"error": error}) == (False, error)
    asked = [["POST", RUNTIME + "invocation/none/response", "{}"]]
    ask = [[method, path.removeprefix(RUNTIME), body] for method, path, body in asked]
    assert host.call({"ask": ask})[1][0][0] == 400
    good, error = host.call({"size": 7_000_000})
    assert not good and error["errorType"] == "Function.ResponseSizeTooLarge"
    good, error = host.call({"size": 14_000_000})
    assert not good and error["errorType"] == "Function.ResponseSizeTooLarge"
    assert host.call({"a": 1})[0]
    assert host.extension and host.extension.output() == ""


def test_a_durable_function_with_a_runtime_of_its_own(world: World) -> None:
    layer = Bootstrap(world, "")
    good, answer = layer.run({"a": 1})
    assert good and answer["event"] == {"a": 1}
    assert answer["environment"]["AWS_LAMBDA_RUNTIME_API"].startswith("127.0.0.1:")
    good, error = layer.run({"size": 7_000_000})
    assert not good and error["errorType"] == "Function.ResponseSizeTooLarge"
    good, error = layer.run({"bytes": [0xFF, 0xFE]})
    assert not good and error["errorType"] == "Runtime.InvalidResponse"
    assert layer.run({"bytes": list(b'"text"')}) == (True, "text")


# --- the program --------------------------------------------------------------------------


def test_without_a_daemon_the_function_runs_as_it_would(world: World) -> None:
    host = Plain(world, attach=False)
    good, answer = host.call({"a": 1})
    assert good and answer["event"] == {"a": 1}
    (line,) = wait_for("the line", lambda: world.log_events("FUNCTION_WROTE"))
    assert "durabled-wrap: no daemon stands between" in line["line"]
    assert "No such file or directory" in line["line"]


def test_behind_a_daemon_that_is_no_extension_too(world: World) -> None:
    host = Plain(world, f"DURABLED_SOCKET={world.socket}", attach=False)
    assert host.call({"a": 1})[0]
    (line,) = wait_for("the line", lambda: world.log_events("FUNCTION_WROTE"))
    assert "no extension" in line["line"]


def test_the_next_wrapper_is_run_through(world: World) -> None:
    script = world.dir / "next"
    script.write_text(
        f'#!/bin/sh\necho "$#:$AWS_LAMBDA_RUNTIME_API:$DURABLED_WRAP_NEXT:" >>{world.notes}\n'
        'exec "$@"\n'
    )
    script.chmod(0o755)
    host = Plain(world, f"DURABLED_WRAP_NEXT={script}")
    good, answer = host.call({})
    assert good
    api = answer["environment"]["AWS_LAMBDA_RUNTIME_API"]
    assert world.noted() == [f"{len(BOOTSTRAP)}:{api}::"]


def test_a_next_wrapper_that_is_not_there_is_named(world: World) -> None:
    host = Plain(world, "DURABLED_WRAP_NEXT=/nowhere/wrapper")
    good, _ = host.call({})
    assert not good
    said = world.log_events("FUNCTION_WROTE")[0]["line"]
    assert "/nowhere/wrapper: No such file or directory, which DURABLED_WRAP_NEXT" in said


@pytest.mark.parametrize("handler", ["app", "app.handler"])
def test_bootstrap_finds_the_program_by_its_handler(world: World, handler: str) -> None:
    code = world.dir / "code"
    code.mkdir()
    (code / "app").write_text(f'#!/bin/sh\nexec {" ".join(BOOTSTRAP)} "$@"\n')
    (code / "app").chmod(0o755)

    class Provided(Wrapped):
        def runtime(self, world: World, _: str) -> list[str]:
            bootstrap = layer_file(world, "bootstrap")
            return [f"_HANDLER={handler}", f"LAMBDA_TASK_ROOT={code}", bootstrap]

    layer = Provided(world, "")
    good, answer = layer.run({"a": 1})
    assert good and answer["event"] == {"a": 1}


def test_bootstrap_says_what_it_looked_for(world: World) -> None:
    class Provided(Wrapped):
        def runtime(self, world: World, _: str) -> list[str]:
            bootstrap = layer_file(world, "bootstrap")
            return ["_HANDLER=app", f"LAMBDA_TASK_ROOT={world.dir}", bootstrap]

    Provided(world, "").begin({}, "f:$LATEST")
    wrote = wait_for("its line", lambda: world.log_events("FUNCTION_WROTE"))[0]["line"]
    assert f"no program 'app' in {world.dir}" in wrote


# --- freezes ------------------------------------------------------------------------------


def test_an_event_that_comes_while_it_is_frozen(world: World) -> None:
    layer = Wrapped(world, "adds")
    assert layer.run({"a": 1, "b": 2}) == (True, {"sum": 3})
    for number in range(5):
        os.kill(layer.extension.pid, signal.SIGSTOP)
        done = layer.begin({"a": number, "b": 2}, "f:$LATEST")
        wait_for("the invocation", lambda n=number: _invocations(world) == n + 2)
        os.kill(layer.extension.pid, signal.SIGCONT)
        assert done.result() == (True, {"sum": number + 2})


def _invocations(world: World) -> int:
    return len(world.ctl_json("ls")["executions"])


# --- Lambda played by the test ------------------------------------------------------------


class RuntimeApi(Server):
    """Lambda's Runtime API. What is asked for is answered with the next of `events`, which may
    be a function of the request; what is posted is kept."""

    def __init__(self) -> None:
        self.events: queue.Queue[Any] = queue.Queue()
        self.asked: list[dict[str, str]] = []  # headers of requests for an invocation
        self.posted: list[tuple[str, dict[str, str], bytes]] = []  # path, headers, body
        self.posts: queue.Queue[Any] = queue.Queue()  # as `events`
        super().__init__()

    def answer(self, request: Any, body: bytes) -> None:
        if request.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(lambda: _chunk(request.rfile), b""))
        headers = {name.lower(): value for name, value in request.headers.items()}
        if request.path.split("?")[0] == RUNTIME + "invocation/next":
            self.asked.append(headers)
            event = self.events.get()
            if callable(event):
                event(request)
            else:
                reply(request, 200, event[1], **event[0])
            return
        self.posted.append((request.path, headers, body))
        how = None if self.posts.empty() else self.posts.get()
        if how:
            how(request)
        else:
            reply(request, 202, b'{"status":"OK"}', Content_Type="application/json")

    def give(self, request_id: str, event: Any, deadline_s: float = 60) -> None:
        headers = {
            "Lambda_Runtime_Aws_Request_Id": request_id,
            "Lambda_Runtime_Deadline_Ms": str(int((time.time() + deadline_s) * 1000)),
            "Lambda_Runtime_Of_Tomorrow": "yes",
        }
        self.events.put((headers, json.dumps(event).encode()))

    def end_of(self, request_id: str) -> tuple[str, dict[str, str], Any]:
        """How the invocation ended: what was posted, its headers and its body."""
        prefix = f"{RUNTIME}invocation/{request_id}/"
        found = [post for post in self.posted if post[0].startswith(prefix)]
        ((path, headers, body),) = found
        return path.removeprefix(prefix), headers, json.loads(body)


def _chunk(stream: Any) -> bytes:
    size = int(stream.readline(), 16)
    data: bytes = stream.read(size)
    stream.readline()
    return data


def hangs_up(request: Any) -> None:
    request.close_connection = True


def cuts(request: Any) -> None:
    request.wfile.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\n{")
    request.close_connection = True


def envelope(name: str, payload: Any, *, marker: str = "") -> dict[str, Any]:
    """The event of a durable invocation; with a marker its input is in the state."""
    execution = {
        "Id": name,
        "Type": "EXECUTION",
        "Status": "STARTED",
        "StartTimestamp": 1,
        "ExecutionDetails": {"InputPayload": json.dumps(payload)},
    }
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:f:1/durable-execution/{name}/{name}"
    return {
        "DurableExecutionArn": arn,
        "CheckpointToken": "token",
        "InitialExecutionState": {
            "Operations": [] if marker else [execution],
            "NextMarker": marker,
        },
    }


class Stage:
    """An extension, before it the test as a runtime, behind it the test as Lambda."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lambda_ = RuntimeApi()
        self.service = Between("http://127.0.0.1:1")  # there is none
        self.api = ExtensionsApi()
        self.extension = start_extension(
            world,
            self.api,
            AWS_ENDPOINT_URL_LAMBDA=self.service.url,
            DURABLED_SOCKET=str(world.socket),
            **LOCAL,
        )
        wait_for("the extension", lambda: self.api.asked)
        self.peer = self.attach()
        error, result = self.peer.call("daemon.runtime_api", {"api": self.lambda_.address})
        assert error is None
        self.address = result["address"]

    def attach(self) -> Peer:
        peer = Peer(self.world)
        assert peer.call("hello", {"level": 3, "client": "test"})[0] is None
        return peer

    def begin(self, request_id: str, peer: Peer | None = None) -> tuple[Any, Any]:
        params = {"profile": "c", "request_id": request_id}
        return (peer or self.peer).call("session.begin", params)

    def connect(self) -> http.client.HTTPConnection:
        host, port = self.address.split(":")
        return http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        connection: http.client.HTTPConnection | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, str], bytes]:
        connection = connection or self.connect()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(
            method, path, body, named, encode_chunked="Transfer-Encoding" in named
        )
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, told, answer.read()

    def next(self) -> tuple[str, Any]:
        status, headers, body = self.ask("GET", RUNTIME + "invocation/next")
        assert status == 200, body
        return headers["lambda-runtime-aws-request-id"], json.loads(body)

    def post(self, request_id: str, what: str, value: Any, **headers: str) -> int:
        path = f"{RUNTIME}invocation/{request_id}/{what}"
        return self.ask("POST", path, json.dumps(value).encode(), **headers)[0]

    def logged(self, code: str) -> list[dict[str, Any]]:
        return [line for line in lines(self.extension) if line["code"] == code]

    def fill(self, size: int) -> list[socket.socket]:
        """Connections whose bodies together have so many bytes, and are not whole."""
        host, port = self.address.split(":")
        opened = []
        while size > 0:
            part = min(size, 12 * MIB)
            size -= part
            opened.append(socket.create_connection((host, int(port)), PATIENCE_S))
            opened[-1].sendall(
                f"PUT /filling HTTP/1.1\r\nHost: {self.address}\r\n"
                f"Content-Length: {part + 1}\r\n\r\n".encode()
                + bytes(part)
            )
        return opened


@pytest.fixture
def stage(world: World) -> Iterator[Stage]:
    stage = Stage(world)
    yield stage
    # It ends in order, whatever was open.
    stage.api.shut_down()
    assert stage.extension.popen.wait(PATIENCE_S) == 0
    stage.lambda_.close()


def test_requests_and_answers_pass_with_their_headers(stage: Stage) -> None:
    api = stage.lambda_
    api.give("r1", {"a": 1})
    status, headers, body = stage.ask("GET", RUNTIME + "invocation/next", User_Agent="rt/1")
    assert (status, json.loads(body)) == (200, {"a": 1})
    assert headers["lambda-runtime-of-tomorrow"] == "yes"
    assert api.asked[0]["user-agent"] == "rt/1"
    for path in ("init/error", "restore/error", "invocation/r1/error"):
        cause = {"Lambda_Runtime_Function_Error_Type": "T", "X_Cause": "{}"}
        assert stage.ask("POST", RUNTIME + path, b"no JSON", **cause)[0] == 202
        told, headers, body = api.posted[-1]
        assert (told, body) == (RUNTIME + path, b"no JSON")
        assert (
            headers["lambda-runtime-function-error-type"] == "T" and headers["x-cause"] == "{}"
        )
    assert stage.ask("PUT", "/2022-07-01/telemetry?x=%2F", b"{}", X_Empty="")[0] == 202
    assert api.posted[-1][0] == "/2022-07-01/telemetry?x=%2F"
    assert api.posted[-1][1]["x-empty"] == ""
    assert stage.ask("GET", RUNTIME + "restore/next")[0] == 202


def test_a_streamed_response_of_a_plain_function_stays_one(stage: Stage) -> None:
    stage.lambda_.give("r1", {})
    stage.next()
    mode = {
        "Lambda_Runtime_Function_Response_Mode": "streaming",
        "Transfer_Encoding": "chunked",
    }
    pieces = iter([b"a" * 100_000, b"b" * 100_000])
    path = RUNTIME + "invocation/r1/response"
    assert stage.ask("POST", path, pieces, **mode)[0] == 202
    _, headers, body = stage.lambda_.posted[0]
    assert body == b"a" * 100_000 + b"b" * 100_000
    assert headers["lambda-runtime-function-response-mode"] == "streaming"
    assert headers["transfer-encoding"] == "chunked" and "content-length" not in headers


def test_a_request_for_an_invocation_that_breaks_is_made_again(stage: Stage) -> None:
    stage.lambda_.events.put(hangs_up)
    stage.lambda_.events.put(hangs_up)
    stage.lambda_.give("r1", {"a": 1})
    assert stage.next() == ("r1", {"a": 1})
    assert len(stage.logged("RUNTIME_API_RETRIED")) == 2


def test_what_is_posted_and_lost_is_not_posted_twice(stage: Stage) -> None:
    stage.lambda_.give("r1", {})
    stage.next()
    stage.lambda_.posts.put(cuts)
    assert stage.post("r1", "response", {}) == 502
    assert len(stage.lambda_.posted) == 1
    assert stage.logged("RUNTIME_API_FAILED")


def test_an_input_that_cannot_be_read_fails_the_invocation(stage: Stage) -> None:
    """And the runtime is given the next one."""
    stage.service.faults.append(Between.refuses(403, "AccessDeniedException", "not yours"))
    stage.lambda_.give("r1", envelope("one", {}, marker="m"))
    stage.lambda_.give("r2", envelope("two", {"n": 2}))
    assert stage.next() == ("r2", {"n": 2})
    what, headers, error = stage.lambda_.end_of("r1")
    assert what == "error" and "not yours" in error["errorMessage"]
    assert headers["lambda-runtime-function-error-type"] == error["errorType"]
    assert stage.begin("r1")[0]["code"] == "InvalidParameterValueException"


def test_an_input_on_a_later_page(stage: Stage) -> None:
    execution = envelope("one", {"n": 1})["InitialExecutionState"]
    page = json.dumps({"Operations": execution["Operations"]}).encode()
    stage.service.faults.append(Between.says(200, page))
    stage.lambda_.give("r1", envelope("one", None, marker="m"))
    assert stage.next() == ("r1", {"n": 1})
    assert stage.post("r1", "response", "done") == 202
    output = {"Status": "SUCCEEDED", "Result": '"done"'}
    assert stage.lambda_.end_of("r1")[::2] == ("response", output)


def test_an_answer_waits_for_the_rest_of_the_state(stage: Stage) -> None:
    """What ends an invocation must know that nothing was recorded that it contradicts."""
    event = envelope("one", {})
    event["InitialExecutionState"]["NextMarker"] = "m"
    stage.service.faults.append(Between.says(200, b'{"Operations": []}'))
    stage.lambda_.give("r1", event)
    stage.next()
    assert stage.service.seen == []
    assert stage.post("r1", "response", 1) == 202
    assert stage.lambda_.end_of("r1")[2]["Status"] == "SUCCEEDED"
    stage.service.faults.append(Between.refuses(403, "AccessDeniedException", "not yours"))
    stage.lambda_.give("r2", event)
    stage.next()
    assert stage.post("r2", "response", 1) == 202
    what, _, error = stage.lambda_.end_of("r2")
    assert what == "error" and "not yours" in error["errorMessage"]


def test_without_an_input_the_event_is_an_empty_object(stage: Stage) -> None:
    event = envelope("one", None)
    del event["InitialExecutionState"]["Operations"][0]["ExecutionDetails"]
    stage.lambda_.give("r1", event)
    assert stage.next() == ("r1", {})


def test_several_invocations_at_once(stage: Stage) -> None:
    """As managed instances run them: each thread of a runtime asks for itself."""

    def serve() -> None:
        request_id, event = stage.next()
        everybody.wait(PATIENCE_S)
        assert stage.post(request_id, "response", event) == 202

    everybody = threading.Barrier(20)
    with ThreadPoolExecutor(20) as pool:
        served: list[Future[None]] = [pool.submit(serve) for _ in range(20)]
        wait_for("all to ask", lambda: len(stage.lambda_.asked) == 20)
        for number in range(20):
            stage.lambda_.give(f"r{number}", envelope(f"e{number}", {"n": number}))
        for one in served:
            one.result()
    for number in range(20):
        what, _, output = stage.lambda_.end_of(f"r{number}")
        assert what == "response" and json.loads(output["Result"]) == {"n": number}


def test_more_that_ask_than_there_is_room_for_wait(stage: Stage) -> None:
    with ThreadPoolExecutor(150) as pool:
        served = [pool.submit(stage.next) for _ in range(150)]
        wait_for("those that have room", lambda: len(stage.lambda_.asked) == 128)
        for number in range(150):
            stage.lambda_.give(f"r{number}", {"n": number})
        given = sorted(one.result()[1]["n"] for one in served)
    assert given == list(range(150))


def test_a_session_that_has_ended_is_the_outcome(stage: Stage) -> None:
    """Whatever the function answers then."""
    for number, (end, answer, wanted) in enumerate(
        [
            ({"payload": '"kept"'}, "response", ("response", "SUCCEEDED")),
            ({"payload": '"kept"'}, "error", ("response", "SUCCEEDED")),
            ({"unwound": True}, "response", ("response", "PENDING")),
            ({"error": {"ErrorType": "E"}}, "response", ("response", "FAILED")),
            ({"error": {"ErrorType": "E"}, "invocation": True}, "response", ("error", "E")),
            ({"error": {"ErrorType": "E"}, "invocation": True}, "error", ("error", "other")),
        ]
    ):
        stage.lambda_.give(f"r{number}", envelope(f"e{number}", {}))
        stage.next()
        error, begun = stage.begin(f"r{number}")
        assert error is None and begun["input"] == "{}"
        assert stage.begin(f"r{number}")[0]["code"] == "Protocol.OutOfOrder"
        ended = stage.peer.call("session.end", {"session": begun["session"], **end})
        assert ended[0] is None
        assert stage.begin(f"r{number}")[0]["code"] == "Protocol.OutOfOrder"
        assert stage.post(f"r{number}", answer, {"errorType": "other"}) == 202
        what, _, told = stage.lambda_.end_of(f"r{number}")
        assert (what, told.get("Status") or told["errorType"]) == wanted
        assert stage.begin(f"r{number}")[0]["code"] == "InvalidParameterValueException"


def test_a_session_that_is_lost_may_begin_again(stage: Stage) -> None:
    stage.lambda_.give("r1", envelope("one", {}))
    stage.next()
    other = stage.attach()
    assert stage.begin("r1", other)[0] is None
    other.socket.close()
    wait_for("the loss", lambda: stage.logged("SESSION_LOST"))
    assert stage.begin("r1")[0] is None
    assert stage.post("r1", "response", 1) == 202
    output = {"Status": "SUCCEEDED", "Result": "1"}
    assert stage.lambda_.end_of("r1")[::2] == ("response", output)


def test_a_session_that_is_lost_while_its_end_is_recorded(stage: Stage) -> None:
    recorded = threading.Event()
    stage.lambda_.give("r1", envelope("one", {}))
    stage.next()
    other = stage.attach()
    assert stage.begin("r1", other)[0] is None
    stage.service.faults.append(Between.waits(recorded))
    with ThreadPoolExecutor(1) as pool:
        posted = pool.submit(stage.post, "r1", "response", "x" * (6 * 1024 * 1024 - 10))
        wait_for("the call", lambda: stage.service.seen)
        assert stage.post("r1", "response", 1) == 403  # its end is under way
        other.socket.close()
        assert posted.result() == 202
    recorded.set()
    what, _, error = stage.lambda_.end_of("r1")
    assert (what, error["errorType"]) == ("error", "Runtime.ExitError")


def waiting(stage: Stage, pool: ThreadPoolExecutor) -> Future[int]:
    """A post of a result of "r1" that waits: of two one waits, and the other is told so."""
    posts = [pool.submit(stage.post, "r1", "response", "ignored") for _ in range(2)]
    refused = wait_for("one to be refused", lambda: next((p for p in posts if p.done()), None))
    posts.remove(refused)
    assert refused.result() == 403
    return posts[0]


def later(event: threading.Event, fault: Fault) -> Fault:
    def waits(request: Any, body: bytes) -> bool:
        event.wait(PATIENCE_S)
        return fault(request, body)

    return waits


def test_an_answer_that_comes_while_the_session_ends(stage: Stage) -> None:
    recorded = threading.Event()
    stage.lambda_.give("r1", envelope("one", {}))
    stage.next()
    error, begun = stage.begin("r1")
    assert error is None
    answer = {"CheckpointToken": "t2", "NewExecutionState": {"Operations": []}}
    said = Between.says(200, json.dumps(answer).encode())
    stage.service.faults.append(later(recorded, said))
    large = '"' + "x" * 6_291_450 + '"'
    number = stage.peer.post("session.end", {"session": begun["session"], "payload": large})
    wait_for("the call", lambda: stage.service.seen)
    with ThreadPoolExecutor(2) as pool:
        posted = waiting(stage, pool)
        recorded.set()
        assert posted.result() == 202
    assert stage.peer.answer(number)[0] is None
    output = {"Status": "SUCCEEDED", "Result": ""}
    assert stage.lambda_.end_of("r1")[::2] == ("response", output)


def test_an_answer_that_comes_while_the_session_waits_for_its_state(stage: Stage) -> None:
    """Which its end waits for, too."""
    read = threading.Event()
    event = envelope("one", {})
    step = {"Id": "some", "Type": "STEP", "Status": "SUCCEEDED", "StartTimestamp": 1}
    event["InitialExecutionState"]["Operations"].append(step)
    event["InitialExecutionState"]["NextMarker"] = "m"
    stage.lambda_.give("r1", event)
    stage.next()
    stage.service.faults.append(later(read, Between.says(200, b'{"Operations": []}')))
    error, begun = stage.begin("r1")
    assert error is None
    session = {"session": begun["session"]}
    window = stage.peer.post("session.operations", session)
    ended = stage.peer.post("session.end", {**session, "payload": '"kept"'})
    assert stage.peer.answered() == []
    with ThreadPoolExecutor(2) as pool:
        posted = waiting(stage, pool)
        read.set()
        assert posted.result() == 202
    assert stage.peer.answer(window)[0] is None
    assert stage.peer.answer(ended)[0] is None
    output = {"Status": "SUCCEEDED", "Result": '"kept"'}
    assert stage.lambda_.end_of("r1")[::2] == ("response", output)


@pytest.mark.parametrize("refused", [False, True])
def test_an_answer_that_comes_while_the_session_begins(stage: Stage, refused: bool) -> None:
    read = threading.Event()
    execution = envelope("one", {"n": 1})["InitialExecutionState"]
    page = json.dumps({"Operations": execution["Operations"]}).encode()
    stage.service.faults.append(Between.says(200, page))
    refuses = Between.refuses(403, "AccessDeniedException", "not yours")
    stage.service.faults.append(later(read, refuses if refused else Between.says(200, page)))
    stage.lambda_.give("r1", envelope("one", {}, marker="m"))
    stage.next()
    number = stage.peer.post("session.begin", {"profile": "c", "request_id": "r1"})
    wait_for("the page", lambda: len(stage.service.pages()) == 2)
    with ThreadPoolExecutor(2) as pool:
        posted = waiting(stage, pool)
        read.set()
        assert posted.result() == 202
    assert (stage.peer.answer(number)[0] is not None) == refused
    what, _, told = stage.lambda_.end_of("r1")
    wanted = ("error", "Runtime.ExitError") if refused else ("response", "SUCCEEDED")
    assert (what, told.get("Status") or told["errorType"]) == wanted


def test_an_invocation_has_one_end(stage: Stage) -> None:
    held = threading.Event()

    def waits(request: Any) -> None:
        held.wait(PATIENCE_S)
        reply(request, 202, b"{}")

    stage.lambda_.give("r1", envelope("one", {}))
    stage.next()
    stage.lambda_.posts.put(waits)
    with ThreadPoolExecutor(1) as pool:
        posted = pool.submit(stage.post, "r1", "response", 1)
        wait_for("the post", lambda: stage.lambda_.posted)
        assert stage.post("r1", "response", 2) == 403
        held.set()
        assert posted.result() == 202
    assert stage.lambda_.end_of("r1")[2]["Result"] == "1"


def test_what_a_crashed_runtime_left_is_forgotten(stage: Stage) -> None:
    stage.lambda_.give("r1", envelope("one", {}), deadline_s=-1)
    stage.next()
    assert stage.begin("r1")[0] is None
    stage.lambda_.give("r2", envelope("two", {}))
    stage.next()
    assert stage.begin("r1")[0]["code"] == "InvalidParameterValueException"
    assert stage.begin("r2")[0] is None


def test_an_invocation_that_there_is_no_room_for_is_to_be_run_again(stage: Stage) -> None:
    """Those that run keep their place: what they answer must not go out as it is."""
    for number in range(128):
        stage.lambda_.give(f"r{number}", envelope(f"e{number}", {}))
        stage.next()
    stage.lambda_.give("more", envelope("more", {}))
    stage.lambda_.give("plain", {"a": 1})
    assert stage.next() == ("plain", {"a": 1})
    what, headers, error = stage.lambda_.end_of("more")
    assert (what, error["errorType"]) == ("error", "TooManyRequestsException")
    assert headers["lambda-runtime-function-error-type"] == "TooManyRequestsException"
    for number in (0, 127):
        assert stage.post(f"r{number}", "response", number) == 202
        output = {"Status": "SUCCEEDED", "Result": str(number)}
        assert stage.lambda_.end_of(f"r{number}")[::2] == ("response", output)
    stage.lambda_.give("again", envelope("again", {"n": 1}))
    assert stage.next() == ("again", {"n": 1})


def test_an_invocation_that_is_given_again(stage: Stage) -> None:
    """With the same id, as Lambda does after the runtime has crashed."""
    old, new = stage.attach(), stage.attach()
    stage.lambda_.give("r1", envelope("one", {"n": 1}))
    stage.next()
    error, lost = stage.begin("r1", old)
    assert error is None
    stage.lambda_.give("r1", envelope("two", {"n": 2}))
    assert stage.next() == ("r1", {"n": 2})
    error, begun = stage.begin("r1", new)
    assert error is None and begun["arn"].endswith("/two")
    # The earlier session says nothing of this one.
    assert old.call("session.end", {"session": lost["session"], "payload": "1"})[0] is None
    end = {"session": begun["session"], "payload": "2"}
    assert new.call("session.end", end)[0] is None
    assert stage.post("r1", "response", None) == 202
    output = {"Status": "SUCCEEDED", "Result": "2"}
    assert stage.lambda_.end_of("r1")[::2] == ("response", output)


def test_an_invocation_that_is_given_again_while_its_end_is_told(stage: Stage) -> None:
    told = threading.Event()

    def waits(request: Any) -> None:
        told.wait(PATIENCE_S)
        reply(request, 202, b"{}")

    stage.lambda_.posts.put(waits)
    stage.lambda_.give("r1", envelope("one", {}))
    stage.next()
    with ThreadPoolExecutor(1) as pool:
        posted = pool.submit(stage.post, "r1", "response", 1)
        wait_for("the post", lambda: stage.lambda_.posted)
        stage.lambda_.give("r1", envelope("two", {"n": 2}))
        assert stage.next() == ("r1", {"n": 2})
        error, begun = stage.begin("r1")
        assert error is None and begun["arn"].endswith("/two")
        told.set()
        assert posted.result() == 202
    assert stage.post("r1", "response", 2) == 202
    assert [json.loads(body)["Result"] for _, _, body in stage.lambda_.posted] == ["1", "2"]


@pytest.mark.parametrize("what", ["response", "error"])
@pytest.mark.parametrize("durable", [True, False])
def test_what_there_is_no_memory_for_is_to_be_run_again(
    stage: Stage, durable: bool, what: str
) -> None:
    stage.lambda_.give("r1", envelope("one", {}) if durable else {})
    stage.next()
    held = stage.fill(160 * MIB)
    full = ("PUT", RUNTIME + "some/path", b"x")
    wait_for("no memory", lambda: stage.ask(*full)[0] != 202)
    status, _, body = stage.ask(*full)
    assert (status, json.loads(body)["errorType"]) == (500, "Daemon.OutOfMemory")
    stage.lambda_.posted.clear()
    assert stage.post("r1", what, {"errorType": "E"}) == 202
    for connection in held:
        connection.close()
    told, headers, error = stage.lambda_.end_of("r1")
    assert (told, error["errorType"]) == ("error", "Daemon.OutOfMemory")
    assert headers["lambda-runtime-function-error-type"] == "Daemon.OutOfMemory"


def test_a_runtime_that_goes_takes_its_request_along(stage: Stage) -> None:
    gone = threading.Event()

    def until_gone(request: Any) -> None:
        if request.connection.recv(1) == b"":
            gone.set()
        request.close_connection = True

    stage.lambda_.events.put(until_gone)
    connection = stage.connect()
    connection.request("GET", RUNTIME + "invocation/next")
    wait_for("the request", lambda: stage.lambda_.asked)
    connection.close()
    assert gone.wait(PATIENCE_S)
    stage.lambda_.give("r1", {})
    assert stage.next() == ("r1", {})


def test_it_ends_while_a_runtime_waits(world: World) -> None:
    stage = Stage(world)
    stage.lambda_.give("r1", envelope("one", {}))
    stage.next()
    connection = stage.connect()
    connection.request("GET", RUNTIME + "invocation/next")
    wait_for("the request", lambda: len(stage.lambda_.asked) == 2)
    stage.api.shut_down("timeout")
    assert stage.extension.popen.wait(PATIENCE_S) == 0
    stage.lambda_.events.put(hangs_up)


def test_web_pages_and_other_hosts_are_refused(stage: Stage) -> None:
    for headers in ({"Origin": "http://x"}, {"Host": "example.com"}):
        status, _, body = stage.ask("GET", RUNTIME + "invocation/next", **headers)
        assert (status, json.loads(body)["errorType"]) == (403, "AccessDeniedException")
    assert stage.lambda_.asked == []


def test_a_target_that_is_no_path_is_refused(stage: Stage) -> None:
    """It would name another host, or another path."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        elsewhere = f"127.0.0.1:{other.getsockname()[1]}"
        for target in (
            f"@{elsewhere}/",
            f":80@{elsewhere}/",
            f"http://{elsewhere}/",
            ".example.com/",
            "1/",
            "*",
            RUNTIME + "invocation/next#x",
            RUNTIME + "invocation/next\x01",
            RUNTIME + "invocation/n\xe9xt",
        ):
            status, body = ask_plainly(stage, f"GET {target} HTTP/1.1")
            assert status == 400, target
            assert json.loads(body)["errorType"] == "InvalidParameterValueException"
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()
    assert stage.lambda_.asked == [] and stage.lambda_.posted == []


def ask_plainly(stage: Stage, first: str) -> tuple[int, bytes]:
    """A request with this first line, whatever it is."""
    host, port = stage.address.split(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as connection:
        connection.sendall(f"{first}\r\nHost: {stage.address}\r\n\r\n".encode("latin-1"))
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, answer.read()


def test_a_query_does_not_hide_a_request(stage: Stage) -> None:
    stage.lambda_.give("r1", envelope("one", {"n": 1}))
    status, _, body = stage.ask("GET", RUNTIME + "invocation/next?x=/response")
    assert (status, json.loads(body)) == (200, {"n": 1})
    assert stage.ask("POST", RUNTIME + "invocation/r1/response?x", b"1")[0] == 202
    assert stage.lambda_.end_of("r1")[2] == {"Status": "SUCCEEDED", "Result": "1"}


def test_addresses_of_apis(stage: Stage) -> None:
    call = stage.peer.call
    assert call("daemon.runtime_api", {"api": stage.lambda_.address})[1] == {
        "address": stage.address
    }
    for wrong in ("", "host", "127.0.0.1:80/x", "user@host:80", ":80", "x" * 130 + ":1"):
        error, _ = call("daemon.runtime_api", {"api": wrong})
        assert error["code"] == "InvalidParameterValueException", wrong


def test_as_many_apis_as_the_limit_are_in_use(stage: Stage) -> None:
    """A place is free when nobody is connected to it any more."""

    def open_api(port: int) -> tuple[Any, Any]:
        return stage.peer.call("daemon.runtime_api", {"api": f"127.0.0.1:{port}"})

    def use(address: str) -> http.client.HTTPConnection:
        host, port = address.split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
        status, _, _ = stage.ask("GET", "/", None, connection, Origin="http://x")
        assert status == 403
        return connection

    used = [use(stage.address)]
    for port in range(1, 14):
        error, result = open_api(port)
        assert error is None
        used.append(use(result["address"]))
    addresses = [open_api(port)[1]["address"] for port in (14, 15)]
    assert open_api(14)[1]["address"] == addresses[0]
    # Of two that nobody is connected to, the one that was asked for before the other.
    error, result = open_api(16)
    assert error is None
    with pytest.raises(ConnectionRefusedError):
        use(addresses[1])
    used += [use(addresses[0]), use(result["address"])]
    assert len({one.port for one in used}) == 16
    assert open_api(17)[0]["code"] == "TooManyRequestsException"
    gone = used.pop(7)
    gone.close()
    error, result = wait_for("a place", lambda: (one := open_api(17)) and not one[0] and one)
    with pytest.raises(ConnectionRefusedError):
        use(f"{gone.host}:{gone.port}")
    for connection in (*used, use(result["address"])):
        assert stage.ask("GET", "/", None, connection, Origin="http://x")[0] == 403
