"""The vectors of the protocol, as this client meets them. proto/vectors/README.md has the
words of the handlers and of the scripts."""

from __future__ import annotations

import builtins
import contextlib
import json
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from durabled import DurableContext, StepError, durable_execution
from durabled._protocol import LEVEL
from durabled._wire import FRAME_MAX, CallError, Connection, ConnectionLostError
from durabled.config import ChildConfig, Duration, JitterStrategy, StepConfig, StepSemantics
from durabled.identifier import OperationIdNamespace
from durabled.retries import (
    ConfiguredStrategy,
    LinearRetryStrategyConfig,
    RetryDecision,
    RetryStrategyConfig,
)

VECTORS = Path(__file__).parents[3] / "proto/vectors"
PROFILE = "python"
EVENT = '{"DurableExecutionArn": "arn:x"}'

# What a conversation may need that this client has no API for, and the conversations.
NOT_YET = {
    "strands": "no branch runs beside its handler before parallel and map are there",
    "start": "every operation is awaited where it is started, as in the official SDK",
}
NOT_PLAYED = {
    "await_any_of_three",
    "await_recorded",
    "decide_mid_batch",
    "started_never_awaited",
    "two_strands",
}


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


# -- the daemon -------------------------------------------------------------------


class ScriptedDaemon:
    """One connection's other side: plays a script and keeps the first thing that was not
    as written."""

    def __init__(self, path: Path, script: list[dict[str, Any]], level: int) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
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
        self._socket, _ = self._listener.accept()
        self._listener.close()
        try:
            for step in self._script:
                self._play(step)
            if {"close": True} not in self._script:
                assert self._receive() is None, "more than the script has"
        except BaseException as problem:
            self.problem = problem
        finally:
            self._socket.close()

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


@contextlib.contextmanager
def connected(
    tmp_path: Path, script: list[dict[str, Any]], level: int = 1
) -> Iterator[Connection]:
    path = tmp_path / "d.sock"
    daemon = ScriptedDaemon(path, script, level)
    connection = Connection(path)
    try:
        yield connection
    finally:
        connection.close()
        daemon.join()


# -- the handler ------------------------------------------------------------------


def body_of(ops: list[dict[str, Any]]) -> Callable[[DurableContext], Any]:
    def body(context: DurableContext) -> Any:
        result = None
        for op in ops:
            result = run_op(context, op)
        return result

    return body


def run_op(context: DurableContext, op: dict[str, Any]) -> Any:
    if "log" in op:
        return context.logger.warning(op["log"])
    if "wait" in op:
        return context.wait(Duration(op["wait"]), name=op["name"])
    if "child" in op:
        config: ChildConfig[Any] = ChildConfig(is_virtual=op.get("virtual", False))
        return context.run_in_child_context(body_of(op["do"]), op["child"], config)
    try:
        return context.step(step_body(op), op["step"], step_config(op))
    except StepError as error:
        if not op.get("caught"):
            raise
        return str(error)


def step_body(op: dict[str, Any]) -> Callable[[Any], Any]:
    def body(_: Any) -> Any:
        if "raises" in op:
            name, message = op["raises"]
            raise getattr(builtins, name)(message)
        return op["returns"]

    return body


def step_config(op: dict[str, Any]) -> StepConfig:
    strategy: Callable[[Exception, int], RetryDecision] | None = None
    if "retry" in op:
        strategy = strategy_of(op["retry"])
    if "decides" in op:

        def strategy(_: Exception, attempt: int) -> RetryDecision:
            delay = op["decides"][attempt - 1]
            return RetryDecision(delay > 0, Duration(delay))

    semantics = StepSemantics.AT_LEAST_ONCE_PER_RETRY
    if op.get("once"):
        semantics = StepSemantics.AT_MOST_ONCE_PER_RETRY
    return StepConfig(retry_strategy=strategy, step_semantics=semantics)


def strategy_of(retry: dict[str, Any]) -> ConfiguredStrategy:
    common = {
        "max_attempts": retry["max_attempts"],
        "initial_delay": Duration.from_seconds(retry["initial_delay_s"]),
        "max_delay": Duration.from_seconds(retry["max_delay_s"]),
        "jitter_strategy": JitterStrategy(retry["jitter"]),
    }
    if retry["backoff"] == "linear":
        increment = Duration.from_seconds(retry["increment_s"])
        return ConfiguredStrategy(LinearRetryStrategyConfig(increment=increment, **common))
    return ConfiguredStrategy(RetryStrategyConfig(backoff_rate=retry["rate"], **common))


# -- conversations ----------------------------------------------------------------


def conversations() -> list[Any]:
    found = []
    for path in sorted((VECTORS / "conversations").iterdir()):
        needs = json.loads(path.read_text()).get("needs", [])
        reasons = "; ".join(NOT_YET[need] for need in needs)
        marks = [pytest.mark.skip(reason=reasons)] if needs else []
        found.append(pytest.param(path, id=path.stem, marks=marks))
    return found


def script_of(conversation: dict[str, Any]) -> list[dict[str, Any]]:
    """The script with what is this profile's in its places."""
    ids = {
        "-".join(map(str, row["path"])): row["id"]
        for row in load("ids.json")["ids"]
        if row["profile"] == PROFILE
    }
    text = json.dumps(conversation["script"]).replace('"$profile"', json.dumps(PROFILE))
    return list(json.loads(re.sub(r"\$id:([\d-]+)", lambda found: ids[found[1]], text)))


@pytest.mark.parametrize("path", conversations())
def test_conversation(path: Path, tmp_path: Path) -> None:
    conversation = json.loads(path.read_text())
    body = body_of(conversation["handler"])
    handler = durable_execution(lambda _, context: body(context))
    with connected(
        tmp_path, script_of(conversation), conversation.get("level", 1)
    ) as connection:
        if conversation.get("lost"):
            with pytest.raises(ConnectionLostError):
                handler.invoke(connection, EVENT, request_id="r1")
        elif "fails" in conversation:
            message = f"^{re.escape(conversation['fails'])}$"
            with pytest.raises(Exception, match=message):
                handler.invoke(connection, EVENT, request_id="r1")
        else:
            output = handler.invoke(connection, EVENT, request_id="r1")
            assert json.loads(output) == conversation["returns"]


def test_what_is_not_played() -> None:
    needy = {
        path.stem
        for path in (VECTORS / "conversations").iterdir()
        if json.loads(path.read_text()).get("needs")
    }
    assert needy == NOT_PLAYED


# -- frames, ids, retries -----------------------------------------------------------


def frames(*types: int | None) -> list[Any]:
    """The frames of these types of message; None: those that are refused."""
    return [
        pytest.param(frame, id=frame["doc"])
        for frame in load("frames.json")["frames"]
        if frame.get("message", [None])[0] in types
    ]


@pytest.mark.parametrize("frame", frames(0, 2))
def test_what_is_sent(frame: dict[str, Any], tmp_path: Path) -> None:
    with connected(tmp_path, []) as connection:
        assert connection._pack(frame["message"]).hex() == frame["hex"]


@pytest.mark.parametrize("frame", frames(1))
def test_what_is_answered(frame: dict[str, Any], tmp_path: Path) -> None:
    _, _, refusal, result = frame["message"]
    script = [{"call": "function.list"}, {"send": frame["hex"]}]
    with connected(tmp_path, script) as connection:
        if refusal is None:
            assert connection.call("function.list") == result
            return
        with pytest.raises(CallError) as refused:
            connection.call("function.list")
        error = refused.value
        assert [error.code, error.message, error.retryable, error.field] == [
            refusal.get(member) for member in ("code", "message", "retryable", "field")
        ]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("frame", frames(None))
def test_what_no_connection_survives(frame: dict[str, Any], tmp_path: Path) -> None:
    """Some are refused at once, some once they are longer than any message."""
    longer = frame["hex"] + "00" * (3 * FRAME_MAX)
    script = [{"call": "function.list"}, {"send": longer}]
    with connected(tmp_path, script) as connection, pytest.raises(ConnectionLostError):
        connection.call("function.list")


@pytest.mark.parametrize("row", [r for r in load("ids.json")["ids"] if r["profile"] == PROFILE])
def test_id(row: dict[str, Any]) -> None:
    made = None
    for position in row["path"]:
        made = OperationIdNamespace(made).create_id_for_step(position)
    assert made == row["id"]


@pytest.mark.parametrize(
    "row", [r for r in load("retries.json")["retries"] if r["rounding"] == "ceil"]
)
def test_retry(row: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: row["unit"])
    decision = strategy_of(row["retry"])(Exception(), row["attempt"])
    assert (decision.delay_seconds if decision.should_retry else 0) == row["delay_s"]
