"""durabled-wrap: the daemon between a runtime and Lambda's Runtime API."""

from __future__ import annotations

import http.client
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lambda_sandbox import (
    LOCAL,
    Between,
    ExtensionsApi,
    Layer,
    Server,
    lines,
    reply,
    start_extension,
)
from peer import Peer
from test_hosting import BOOTSTRAP, Host, plain

from conftest import BIN, PATIENCE_S, Process, World, wait_for

RUNTIME = "/2018-06-01/runtime/"


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


# --- what is not durable ------------------------------------------------------------------


class Plain(Host):
    """A plain function behind the wrapper, with or without its extension."""

    def __init__(self, world: World, *env: str, level: str = "INFO", attach: bool = True) -> None:
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
