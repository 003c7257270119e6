"""The vectors of the protocol, as this client meets them. proto/vectors/README.md has the
words of the handlers and of the scripts."""

from __future__ import annotations

import builtins
import contextlib
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from durabled import (
    CompletionDecision,
    DurableContext,
    DurableOperationError,
    complete_batch,
    continue_batch,
    durable_execution,
)
from durabled._wire import FRAME_MAX, CallError, Connection, ConnectionLostError
from durabled.config import (
    CallbackConfig,
    ChildConfig,
    CompletionConfig,
    CompletionStatus,
    Duration,
    JitterStrategy,
    MapConfig,
    NestingType,
    StepConfig,
    StepSemantics,
)
from durabled.identifier import OperationIdNamespace
from durabled.retries import (
    ConfiguredStrategy,
    LinearRetryStrategyConfig,
    RetryDecision,
    RetryStrategyConfig,
)
from durabled.waits import WaitForConditionConfig, WaitForConditionDecision
from scripted_daemon import ScriptedDaemon

VECTORS = Path(__file__).parents[3] / "proto/vectors"
PROFILE = "python"
EVENT = '{"DurableExecutionArn": "arn:x"}'

# What a conversation may need that this client has no API for, and the conversations.
NOT_YET = {
    "strands": "strands are the branches of a batch, or children of async handlers",
    "start": "every operation is awaited where it is started, as in the official SDK",
    "untyped_results": "the types of what a batch gave are recorded with it",
}
NOT_PLAYED = {
    "await_any_of_three",
    "await_recorded",
    "batch_recorded",
    "decide_mid_batch",
    "started_never_awaited",
    "strand_refused",
    "two_strands",
}


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


# -- the daemon -------------------------------------------------------------------


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
        callbacks: list[Any] = []
        for op in ops:
            if "callback" in op:
                config = CallbackConfig(
                    Duration(op.get("timeout_s", 0)), Duration(op.get("heartbeat_timeout_s", 0))
                )
                callbacks.append(context.create_callback(op["callback"], config))
            elif "result" in op:
                result = caught(op, callbacks[op["result"]].result)
            else:
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
    if "wait_for_callback" in op:
        return context.wait_for_callback(lambda *_: None, op["wait_for_callback"])
    if "condition" in op:
        return run_condition(context, op)
    if "invoke" in op:
        return caught(op, lambda: context.invoke(op["function"], op["payload"], op["invoke"]))
    if "map" in op:
        return run_map(context, op)
    return caught(op, lambda: context.step(step_body(op), op["step"], step_config(op)))


def caught(op: dict[str, Any], run: Callable[[], Any]) -> Any:
    try:
        return run()
    except DurableOperationError as error:
        if not op.get("caught"):
            raise
        return str(error)


def run_condition(context: DurableContext, op: dict[str, Any]) -> Any:
    returns, states = op["returns"], [op["initial"], *op["returns"]]

    def check(state: Any, told: Any) -> Any:
        assert state == states[told.attempt - 1]
        return returns[told.attempt - 1]

    def strategy(_: Any, attempt: int) -> WaitForConditionDecision:
        delay = op["delays"][attempt - 1]
        return WaitForConditionDecision(delay > 0, Duration(delay))

    config = WaitForConditionConfig(strategy, op["initial"])
    return context.wait_for_condition(check, config, op["condition"])


def run_map(context: DurableContext, op: dict[str, Any]) -> str:
    def until(status: CompletionStatus) -> CompletionDecision:
        return complete_batch() if status.completed_count >= op["until"] else continue_batch()

    completion = CompletionConfig(
        min_successful=op.get("min_successful"),
        should_complete=until if "until" in op else None,
    )
    config: MapConfig[Any] = MapConfig(
        max_concurrency=op.get("max_concurrency"),
        completion_config=completion,
        nesting_type=NestingType.FLAT if op.get("flat") else NestingType.NESTED,
    )
    result = context.map(
        op["items"], lambda child, item, *_: body_of(item)(child), op["map"], config
    )
    letters = {"STARTED": "T", "SUCCEEDED": "S", "FAILED": "F"}
    items = "".join(letters[item.status.value] for item in result.all)
    return f"{items} {result.completion_reason.value}"


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
    """The script with what is this profile's in its places. Branches count from 0."""
    ids = {
        "-".join(map(str, row["path"])): row["id"]
        for row in load("ids.json")["ids"]
        if row["profile"] == PROFILE
    }
    text = json.dumps(conversation["script"]).replace('"$profile"', json.dumps(PROFILE))
    text = re.sub(r'"\$branch:(\d+)"', r"\1", text)
    text = re.sub(r"(\$id:[\d-]*-)b(\d)", r"\1\2", text)
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
