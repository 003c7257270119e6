"""The daemon as a Lambda extension: handler, socket, extension, signed HTTP, service."""

from __future__ import annotations

import json
import os
import random
import signal
import stat
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from lambda_sandbox import (
    Between,
    ExtensionsApi,
    Layer,
    lines,
    reply,
    reply_and_close,
    reply_in_chunks,
    start_extension,
)
from peer import Peer

from conftest import World, wait_for


@pytest.mark.parametrize("how", [reply, reply_in_chunks, reply_and_close])
def test_it_registers_and_asks_for_the_next_event_at_once(
    world: World, how: Callable[..., None]
) -> None:
    api = ExtensionsApi(how)
    extension = start_extension(world, api, DURABLED_SOCKET=str(world.socket))
    wait_for("next", lambda: api.asked == 1)
    assert api.registered == [("durabled", ["INVOKE", "SHUTDOWN"])]
    assert stat.S_IMODE(os.stat(world.socket).st_mode) == 0o666
    for count in range(2, 6):
        api.invoke(f"r{count}")
        wait_for("the next next", lambda count=count: api.asked == count)
    api.shut_down()
    assert extension.popen.wait(10) == 0
    assert not world.socket.exists()


def test_a_function_that_is_not_durable_sees_no_line_of_ours(world: World) -> None:
    api = ExtensionsApi()
    extension = start_extension(
        world, api, DURABLED_SOCKET=str(world.socket), DURABLED_LOG_LEVEL="INFO"
    )
    wait_for("next", lambda: api.asked == 1)
    api.invoke()
    api.invoke()
    api.shut_down("timeout")
    assert extension.popen.wait(10) == 0
    assert extension.output() == ""


@pytest.mark.parametrize(
    ("ours", "lambdas", "tells"),
    [("DEBUG", "ERROR", True), ("", "TRACE", True), ("", "WARN", False), ("", "", False)],
)
def test_the_level_of_its_log(world: World, ours: str, lambdas: str, tells: bool) -> None:
    api = ExtensionsApi()
    extension = start_extension(
        world,
        api,
        DURABLED_SOCKET=str(world.socket),
        DURABLED_LOG_LEVEL=ours,
        AWS_LAMBDA_LOG_LEVEL=lambdas,
    )
    wait_for("next", lambda: api.asked == 1)
    api.shut_down()
    assert extension.popen.wait(10) == 0
    assert any(line["code"] == "EXTENSION_REGISTERED" for line in lines(extension)) == tells


def test_it_keeps_nothing_on_disk(world: World) -> None:
    api = ExtensionsApi()
    extension = start_extension(world, api, DURABLED_SOCKET=str(world.socket))
    wait_for("next", lambda: api.asked == 1)
    files = {os.readlink(fd) for fd in _files(extension.pid)}
    assert not [file for file in files if file.endswith((".mdb", ".pem", ".crt"))]
    assert not world.data.exists()


def _files(pid: int) -> list[str]:
    return [f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]


def test_it_outlives_an_api_that_does_not_answer(world: World) -> None:
    api = ExtensionsApi()
    api.close()
    extension = start_extension(world, api, DURABLED_SOCKET=str(world.socket))
    wait_for("the complaint", lambda: "EXTENSION_FAILED" in extension.output())
    Peer(world).hello()
    assert extension.alive()


def test_it_has_no_executions_of_its_own(world: World) -> None:
    api = ExtensionsApi()
    start_extension(world, api, DURABLED_SOCKET=str(world.socket))
    wait_for("next", lambda: api.asked == 1)
    peer = Peer(world).hello()
    error, _ = peer.call("execution.list", {})
    assert error["code"] == "Protocol.UnknownMethod"
    error, _ = peer.call(
        "worker.register", {"functions": [{"name": "f"}], "concurrency": 1, "instance": "i"}
    )
    assert error["code"] == "Protocol.UnknownMethod"
    error, status = peer.call("daemon.status", {})
    assert error is None and status["mode"] == "extension"
    error, _ = peer.call("session.begin", {"event": "{}", "profile": "python"})
    assert error["code"] == "InvalidParameterValueException"


def test_an_order_through_the_layer(world: World) -> None:
    layer = Layer(world, "order")
    assert layer.run({"order": "7"}) == (True, {"status": "approved"})
    assert world.noted() == ["reserve-1", "ship"]
    assert world.story("-") == "X S S+ W I W+ S S+ I X+"
    # One call for each thing that somebody waits for, and none beside.
    assert len(layer.between.checkpoints()) == 3
    assert layer.between.most_under_way == 1
    assert len(layer.between.connections) == 1
    (first,) = layer.logged("ATTACHED")
    assert first["version"] and first["protocol"] >= 2 and first["level"] == "INFO"
    outcomes = [line["outcome"] for line in layer.logged("SESSION_ENDED")]
    assert outcomes == ["PENDING", "SUCCEEDED"]


def test_a_callback_comes_from_outside(world: World) -> None:
    layer = Layer(world, "approval")
    done = layer.begin({}, "f:$LATEST")
    (callback_id,) = wait_for("the callback", world.noted)
    layer.aws.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"yes")
    assert done.result() == (True, "yes")


def test_a_map_in_few_calls(world: World) -> None:
    """At most 250 operations and 750 KB in one, one call at a time."""
    layer = Layer(world, "maps")
    assert layer.run({"items": 400}) == (True, sum(2 * item for item in range(400)))
    sizes = [len(call["Updates"]) for call in layer.between.checkpoints()]
    assert max(sizes) <= 250
    assert len(sizes) < sum(sizes) / 5
    assert max(len(body) for _, _, body in layer.between.seen) <= 768_000
    assert layer.between.most_under_way == 1
    tokens = {call["ClientToken"] for call in layer.between.checkpoints()}
    assert len(tokens) == len(sizes)


def test_a_large_state_is_read_in_pages(world: World) -> None:
    layer = Layer(world, "sequence")
    good, total = layer.run({"key": "k", "steps": 1100, "wait_every": 1099})
    assert (good, total) == (True, sum(range(1100)))
    assert len(layer.between.pages()) > 0
    assert all("CheckpointToken=" in page for page in layer.between.pages())
    assert sorted(world.noted()) == sorted(f"k:{number}" for number in range(1100))


def test_the_handler_begins_before_the_last_page(world: World) -> None:
    layer = Layer(world, "begins_often")
    begun: list[int] = []

    def late(request: Any, body: bytes) -> bool:
        if request.command == "GET" and not begun:
            wait_for("the handler", lambda: world.noted().count("begun") == 3)
            begun.append(3)
        else:
            layer.between.faults.appendleft(late)
        return False

    layer.between.faults.append(late)
    good, total = layer.run({"key": "k", "steps": 1100, "wait_every": 1099})
    assert (good, total, begun) == (True, sum(range(1100)), [3])
    ran = [note for note in world.noted() if note != "begun"]
    assert sorted(ran) == sorted(f"k:{number}" for number in range(1100))


def test_what_is_on_a_page_that_cannot_be_had_does_not_run(world: World) -> None:
    layer = Layer(world, "begins_often")

    def refused(request: Any, body: bytes) -> bool:
        if request.command == "POST":
            layer.between.faults.appendleft(refused)
            return False
        wait_for("the handler", lambda: world.noted().count("begun") == 3)
        return Between.refuses(400, "InvalidParameterValueException")(request, body)

    layer.between.faults.append(refused)
    good, error = layer.run({"key": "k", "steps": 1100, "wait_every": 1099})
    assert (good, error["errorType"]) == (False, "InvalidParameterValueException")
    ran = [note for note in world.noted() if note != "begun"]
    assert sorted(ran) == sorted(f"k:{number}" for number in range(1100))


def test_a_large_result_is_recorded_by_the_service(world: World) -> None:
    layer = Layer(world, "big_result")
    good, result = layer.run({})
    assert good and len(result) > 6_000_000
    assert layer.between.checkpoints()[-1]["Updates"][-1]["Type"] == "EXECUTION"


def test_a_handler_that_dies_in_a_step_runs_it_again(world: World) -> None:
    layer = Layer(world, "kills_itself")
    assert layer.run({"at": "inside"}) == (True, "survived")
    assert world.noted() == ["before", "inside", "inside", "after"]
    assert layer.logged("SESSION_LOST")[0]["running"] == 1
    assert layer.extension.alive()


# --- what is wrong with the service -----------------------------------------------------


def _truncated(request: Any, body: bytes) -> bool:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    request.close_connection = True
    return True


TRANSIENT: dict[str, Callable[[Between], Any]] = {
    "throttled": lambda _: Between.refuses(429, "TooManyRequestsException", Retry_After="1"),
    "failed": lambda _: Between.refuses(500, "ServiceException"),
    "of a balancer": lambda _: Between.says(503, b"<html>busy</html>"),
    "of a portal": lambda _: Between.says(403, b"<html>log in</html>"),
    "hung up": lambda _: Between.hangs_up,
    "lost": lambda between: between.loses_the_answer,
    "no JSON": lambda _: Between.says(200, b"<html>hello</html>"),
    "no answer of it": lambda _: Between.says(200, b"{}"),
    "cut": lambda _: _truncated,
}


@pytest.mark.parametrize("fault", TRANSIENT)
def test_a_call_is_tried_again(world: World, fault: str) -> None:
    layer = Layer(world, "order")
    layer.between.faults.extend([TRANSIENT[fault](layer.between)] * 2)
    began = time.monotonic()
    assert layer.run({"order": "7"}) == (True, {"status": "approved"})
    assert world.noted() == ["reserve-1", "ship"]
    calls = layer.between.checkpoints()
    first = [call for call in calls if call["ClientToken"] == calls[0]["ClientToken"]]
    assert len(first) == 3 and first[0] == first[1] == first[2]
    assert len(layer.logged("API_RETRIED")) == 2
    assert layer.logged("API_FAILED") == []
    if fault == "throttled":
        assert time.monotonic() - began > 2


FINAL = [
    (400, "ValidationException", "ValidationException"),
    (403, "AccessDeniedException", "AccessDeniedException"),
    (502, "KMSDisabledException", "KMSDisabledException"),
    (400, "InvalidParameterValueException", "InvalidParameterValueException"),
]


@pytest.mark.parametrize(("status", "kind", "told"), FINAL)
def test_a_refusal_fails_the_execution(world: World, status: int, kind: str, told: str) -> None:
    layer = Layer(world, "order")
    layer.between.faults.append(Between.refuses(status, kind, "it is so"))
    good, error = layer.run({"order": "7"})
    assert not good and error["errorType"] == told and "it is so" in error["errorMessage"]
    assert len(layer.between.seen) == 1
    assert layer.logged("API_FAILED")[0]["retryable"] == 0


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (400, "InvalidParameterValueException", "Invalid checkpoint token"),
        (400, "InvalidParameterValueException", "Invalid Checkpoint Token: expired"),
        (403, "ExpiredTokenException", "The security token is expired"),
        (403, "InvalidSignatureException", "Signature expired"),
    ],
)
def test_a_refusal_that_the_execution_cannot_help(
    world: World, status: int, kind: str, message: str
) -> None:
    """The invocation fails, and is retried."""
    layer = Layer(world, "order")
    layer.between.faults.append(Between.refuses(status, kind, message))
    assert layer.run({"order": "7"}) == (True, {"status": "approved"})
    (failed,) = layer.logged("API_FAILED")
    assert failed["retryable"] == 1 and failed["error_type"] == kind
    assert layer.logged("SESSION_ENDED")[0]["outcome"] == "RETRIED"
    assert world.story("-").startswith("X I S S+")


def test_a_service_that_takes_no_more_ends_the_invocation_pending(world: World) -> None:
    layer = Layer(world, "order")

    def without_token(request: Any, body: bytes) -> bool:
        _, data, _ = layer.between.pass_on(request, body)
        answer = json.loads(data)
        del answer["CheckpointToken"]
        return Between.says(200, json.dumps(answer).encode())(request, body)

    layer.between.faults.extend([lambda *_: False, without_token])
    assert layer.run({"order": "7"}) == (True, {"status": "approved"})
    assert world.story("-") == "X S S+ W I W+ S S+ I X+"
    assert layer.logged("API_FAILED") == []


def test_changes_that_come_in_pages(world: World) -> None:
    layer = Layer(world, "order")
    kept: list[Any] = []

    def first_page(request: Any, body: bytes) -> bool:
        _, data, _ = layer.between.pass_on(request, body)
        answer = json.loads(data)
        kept.append(answer["NewExecutionState"]["Operations"])
        answer["NewExecutionState"] = {"Operations": [], "NextMarker": "a/b+c="}
        kept.append(answer["CheckpointToken"])
        return Between.says(200, json.dumps(answer).encode())(request, body)

    def next_page(request: Any, body: bytes) -> bool:
        page = json.dumps({"Operations": kept[0]}).encode()
        return Between.says(200, page)(request, body)

    layer.between.faults.extend([first_page, next_page])
    assert layer.run({"order": "7"}) == (True, {"status": "approved"})
    (page,) = layer.between.pages()
    assert page.endswith("&MaxItems=1000&Marker=a%2Fb%2Bc%3D")
    assert world.noted() == ["reserve-1", "ship"]


# --- deadlines --------------------------------------------------------------------------


def test_a_call_ends_before_the_deadline(world: World) -> None:
    """The invocation fails by itself, and not by its Timeout; the next one goes on."""
    layer = Layer(world, "order", timeout_s=2)
    stuck = threading.Event()
    layer.between.faults.append(Between.waits(stuck))
    assert layer.run({"order": "7"})[0]
    stuck.set()
    (failed,) = layer.logged("API_FAILED")
    assert failed["retryable"] == 1 and 500 < failed["ms"] < 2000
    assert world.log_events("INVOCATION_FAILED")[0]["error_type"] != "Sandbox.Timedout"
    # What the service did hear is not done again by another name.
    assert world.story("-").endswith("X+")


def test_a_service_that_vanishes_and_comes_back(world: World) -> None:
    layer = Layer(world, "order", timeout_s=3)
    layer.between.close()
    done = layer.begin({"order": "7"}, "f:$LATEST")
    failed = wait_for("the failure", lambda: layer.logged("API_FAILED"))[0]
    assert failed["retryable"] == 1 and failed["attempts"] > 2
    wait_for("the end", lambda: world.log_events("INVOCATION_FAILED"))
    back = Between(layer.url)
    layer.extension.terminate()
    layer.between = back
    layer.start_extension()
    assert done.result() == (True, {"status": "approved"})


# --- keys -------------------------------------------------------------------------------


class Keys(ExtensionsApi):
    """An endpoint for credentials: each answer is one of `sets`, the last of them for good."""

    def __init__(self, *sets: dict[str, Any]) -> None:
        self.sets = list(sets)
        self.authorizations: list[str] = []
        super().__init__()

    def answer(self, request: Any, body: bytes) -> None:
        if request.path != "/keys":
            super().answer(request, body)
            return
        self.authorizations.append(request.headers["Authorization"])
        keys = self.sets.pop(0) if len(self.sets) > 1 else self.sets[0]
        Between.says(200, json.dumps(keys).encode())(request, body)


def keys(name: str, expires_s: float = 3600) -> dict[str, Any]:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + expires_s))
    return {"AccessKeyId": name, "SecretAccessKey": name, "Expiration": when}


@pytest.mark.parametrize("in_file", [False, True])
def test_keys_of_an_endpoint(world: World, in_file: bool) -> None:
    """The first set is refused, the second expires at once."""
    endpoint = Keys(keys("wrong"), keys("local", 1), keys("local"))
    token = world.dir / "token"
    token.write_text("Bearer secret\n")
    layer = Layer(
        world,
        "order",
        AWS_ACCESS_KEY_ID="",
        AWS_SECRET_ACCESS_KEY="",
        AWS_CONTAINER_CREDENTIALS_FULL_URI=f"http://{endpoint.address}/keys",
        **(
            {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)}
            if in_file
            else {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "Bearer secret"}
        ),
    )
    assert layer.run({"order": "7"}) == (True, {"status": "approved"})
    assert set(endpoint.authorizations) == {"Bearer secret"}
    assert len(endpoint.authorizations) == 3
    assert "secret" not in layer.extension.output()


def test_a_service_behind_tls(world: World) -> None:
    """With a certificate that only AWS_CA_BUNDLE vouches for."""
    layer = Layer(world, "order")
    layer.env["AWS_CA_BUNDLE"] = str(layer.behind_tls())
    layer.start_again(scheme="https")
    assert layer.run({"order": "7"}) == (True, {"status": "approved"})
    assert len(layer.between.connections) == 1
    del layer.env["AWS_CA_BUNDLE"]
    layer.start_again(scheme="https")
    layer.begin({"order": "8"}, "f:$LATEST")
    assert wait_for("a complaint", lambda: layer.logged("API_RETRIED"))


def test_no_keys_is_no_failure_of_the_execution(world: World) -> None:
    layer = Layer(world, "order", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    layer.begin({"order": "7"}, "f:$LATEST")
    failed = wait_for("the failure", lambda: layer.logged("API_FAILED"))[0]
    assert failed["retryable"] == 1 and "no credentials" in failed["error"]
    assert world.diagnosis("INVOCATION_FAILED")
    assert layer.between.seen == []


# --- life -------------------------------------------------------------------------------


def test_a_shutdown_names_what_was_open(world: World) -> None:
    layer = Layer(world, "blocks")
    layer.begin({}, "f:$LATEST")
    wait_for("the step", lambda: "begun" in world.noted())
    wait_for("its start", lambda: layer.between.answers)
    layer.api.shut_down("timeout")
    assert layer.extension.popen.wait(10) == 0
    (last,) = layer.logged("SESSION_OPEN")
    assert last["reason"] == "timeout" and last["running"] == 1 and last["api_call"] == 0
    assert "/durable-execution/" in last["executionArn"]


def test_a_shutdown_names_what_a_killed_runtime_left(world: World) -> None:
    """After a Timeout the runtime is killed first, and then the extensions are told."""
    layer = Layer(world, "blocks")
    layer.api.invoke()
    layer.begin({}, "f:$LATEST")
    wait_for("its start", lambda: "begun" in world.noted() and layer.between.answers)
    assert world.daemon
    world.daemon.kill()  # and what it hosts with it
    wait_for("the loss", lambda: layer.logged("SESSION_LOST"))
    layer.api.shut_down("timeout")
    assert layer.extension.popen.wait(10) == 0
    (last,) = layer.logged("SESSION_OPEN")
    assert last["reason"] == "timeout" and last["running"] == 1


def test_freezes_at_random_points(world: World) -> None:
    """Each step is done once, whenever the extension stands still."""
    layer = Layer(world, "sequence")
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    done = layer.begin({"key": "k", "steps": 60, "wait_every": 20}, "f:$LATEST")
    freezes = 0
    while not done.done():
        os.kill(layer.extension.pid, signal.SIGSTOP)
        time.sleep(chance.random() * 0.03)
        os.kill(layer.extension.pid, signal.SIGCONT)
        time.sleep(chance.random() * 0.03)
        freezes += 1
    assert done.result() == (True, sum(range(60)))
    assert world.noted() == [f"k:{number}" for number in range(60)]
    assert freezes > 10 and layer.extension.alive()


def test_a_client_that_died_while_it_was_frozen(world: World) -> None:
    """What is written to one that is gone ends nobody. The daemon has answers left for this
    one, and does not read from it: nothing but the write tells of its end."""
    api = ExtensionsApi()
    extension = start_extension(world, api, DURABLED_SOCKET=str(world.socket))
    wait_for("next", lambda: api.asked == 1)
    peer = Peer(world).hello()
    execution: dict[str, Any] = {"Id": "i", "Type": "EXECUTION", "Status": "STARTED"}
    execution["ExecutionDetails"] = {"InputPayload": "x" * 6_000_000}  # each answer has it
    event = {
        "DurableExecutionArn": "arn:aws:lambda:r:1:function:f:1/durable-execution/n/i",
        "CheckpointToken": "t",
        "InitialExecutionState": {"Operations": [execution]},
    }
    for _ in range(3):
        peer.post("session.begin", {"event": json.dumps(event), "profile": "python"})
    wait_for("a backlog", lambda: any(x["code"] == "PEER_SLOW" for x in lines(extension)))
    os.kill(extension.pid, signal.SIGSTOP)
    peer.socket.close()
    os.kill(extension.pid, signal.SIGCONT)
    assert Peer(world).hello().call("daemon.status", {})[0] is None
    assert extension.alive()


def test_handlers_that_die_while_it_is_frozen(world: World) -> None:
    layer = Layer(world, "kills_itself")
    held = threading.Event()
    layer.between.faults.append(Between.waits(held))
    done = layer.begin({"at": "before"}, "f:$LATEST")
    wait_for("the call", lambda: layer.between.seen)
    os.kill(layer.extension.pid, signal.SIGSTOP)
    held.set()
    for line in world.noted():
        assert line == "before"
    os.kill(layer.extension.pid, signal.SIGCONT)
    assert done.result() == (True, "survived")
    assert layer.extension.alive()


def test_several_executions_at_once(world: World) -> None:
    """Each has a call of its own under way, and none waits for another's."""
    layer = Layer(world, "order")
    held = threading.Event()
    layer.between.faults.extend([Between.waits(held)] * 3)
    futures = [layer.begin({"order": str(i)}, "f:$LATEST") for i in range(3)]
    wait_for("three calls", lambda: layer.between.under_way == 3)
    held.set()
    assert [f.result() for f in futures] == [(True, {"status": "approved"})] * 3
    assert lines(layer.extension)
