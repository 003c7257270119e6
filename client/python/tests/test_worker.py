"""Workers and clients against a real daemon."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import Daemon
from durabled import (
    ChildContextError,
    Client,
    DurableContext,
    StepContext,
    StepError,
    WithRetryConfig,
    Worker,
    durable_execution,
    durable_step,
    durable_with_child_context,
    execution,
    with_retry,
)
from durabled._wire import CallError, NoDaemonError
from durabled.client import ExecutionFailedError
from durabled.config import ChildConfig, Duration, JitterStrategy, StepConfig
from durabled.retries import RetryPresets, RetryStrategyConfig, create_retry_strategy
from durabled.serdes import SerDes, SerDesContext
from scripted_daemon import ScriptedDaemon

OFFICIAL = "aws_durable_execution_sdk_python.exceptions"


@contextmanager
def serving(daemon: Daemon, **functions: Any) -> Iterator[Client]:
    worker = Worker(functions, concurrency=4, socket_path=daemon.socket)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        with Client(daemon.socket) as client:
            deadline = time.monotonic() + 30
            while not client.functions():
                assert time.monotonic() < deadline
                time.sleep(0.005)
            yield client
    finally:
        worker.stop()
        thread.join(30)
        assert not thread.is_alive()


def run(daemon: Daemon, handler: Any, payload: Any = None) -> Any:
    with serving(daemon, f=handler) as client:
        return client.start("f", payload).result(Duration(30))


def test_input_and_result(daemon: Daemon) -> None:
    @durable_execution
    def echo(event: Any, context: DurableContext) -> Any:
        return [event, context.execution_context.durable_execution_arn]

    result, arn = run(daemon, echo, {"a": ["é", 1.5, None]})
    assert result == {"a": ["é", 1.5, None]}
    assert arn.startswith("arn:aws:lambda:")


def test_no_input_is_an_empty_event(daemon: Daemon) -> None:
    assert run(daemon, durable_execution(lambda event, _: event)) == {}


def test_a_step_beyond_many_empty_contexts_is_found(daemon: Daemon) -> None:
    """The daemon places recorded operations by walking; what it cannot place is asked for."""
    ran: list[int] = []

    @durable_execution
    def handler(event: Any, context: DurableContext) -> None:
        virtual = ChildConfig(is_virtual=True)
        for _ in range(12):
            context.run_in_child_context(lambda _: None, config=virtual)
        context.run_in_child_context(
            lambda child: child.step(lambda _: ran.append(1)), config=virtual
        )
        context.wait(Duration(1))

    run(daemon, handler)
    assert ran == [1]


def test_values_keep_their_types_through_replay(daemon: Daemon) -> None:
    seen: list[Any] = []

    @durable_execution
    def handler(event: Any, context: DurableContext) -> None:
        value = context.step(lambda _: {"t": (1, b"x"), "n": None})
        seen.append(value)
        context.wait(Duration(1))

    run(daemon, handler)
    assert seen == [{"t": (1, b"x"), "n": None}] * 2


def test_names_come_from_decorators_only(daemon: Daemon) -> None:
    @durable_step
    def reserve(step: StepContext, order: str) -> str:
        return order

    @durable_with_child_context
    def part(child: DurableContext, n: int) -> int:
        return n

    @durable_execution
    def handler(event: Any, context: DurableContext) -> None:
        context.step(reserve("1"))
        context.step(lambda _: 1)
        context.step(reserve("2"), name="other")
        context.run_in_child_context(part(3))

    with serving(daemon, f=handler) as client:
        execution = client.start("f")
        execution.result(Duration(30))
        operations = execution.describe()["operations"][1:]
    assert [o.get("Name") for o in operations] == ["reserve", None, "other", "part"]
    assert [o["Type"] for o in operations] == ["STEP", "STEP", "STEP", "CONTEXT"]


def test_errors_are_the_same_live_and_on_replay(daemon: Daemon) -> None:
    seen: list[Any] = []

    @durable_execution
    def handler(event: Any, context: DurableContext) -> None:
        def fails(_: StepContext) -> None:
            raise ValueError("boom")

        def child(inner: DurableContext) -> None:
            inner.step(fails, config=StepConfig(retry_strategy=RetryPresets.none()))

        for call in (
            lambda: context.step(fails, config=StepConfig(retry_strategy=RetryPresets.none())),
            lambda: context.run_in_child_context(child),
        ):
            try:
                call()
            except (StepError, ChildContextError) as error:
                seen.append((type(error), str(error), error.error_type, type(error.__cause__)))
        context.wait(Duration(1))

    run(daemon, handler)
    assert len(seen) == 4
    assert seen[:2] == seen[2:]
    assert seen[0][:3] == (StepError, "boom", "ValueError")
    assert seen[1] == (ChildContextError, "boom", f"{OFFICIAL}.StepError", StepError)


def test_uncaught_step_error_fails_the_execution(daemon: Daemon) -> None:
    @durable_execution
    def handler(event: Any, context: DurableContext) -> None:
        def fails(_: StepContext) -> None:
            raise ValueError("boom")

        context.step(fails, config=StepConfig(retry_strategy=RetryPresets.none()))

    with pytest.raises(ExecutionFailedError) as failed:
        run(daemon, handler)
    assert failed.value.status == "FAILED"
    assert failed.value.error == {
        "ErrorType": f"{OFFICIAL}.StepError",
        "ErrorMessage": "boom",
    }


def test_with_retry_waits_between_attempts(daemon: Daemon) -> None:
    @durable_execution
    def handler(event: Any, context: DurableContext) -> int:
        def body(inner: DurableContext, attempt: int) -> int:
            number: int = inner.step(lambda _: attempt)
            if number < 2:
                raise ValueError("not yet")
            return number

        strategy = create_retry_strategy(
            RetryStrategyConfig(initial_delay=Duration(1), jitter_strategy=JitterStrategy.NONE)
        )
        return with_retry(context, body, WithRetryConfig(retry_strategy=strategy), name="r")

    with serving(daemon, f=handler) as client:
        execution = client.start("f")
        assert execution.result(Duration(30)) == 2
        names = [o.get("Name") for o in execution.describe()["operations"][1:]]
    assert names == ["r", None, "r-backoff-1", None]


def test_summary_of_a_large_result(daemon: Daemon) -> None:
    runs: list[int] = []

    @durable_execution
    def handler(event: Any, context: DurableContext) -> int:
        def large(child: DurableContext) -> str:
            runs.append(1)
            return "x" * 7_000_000

        config = ChildConfig[str](summary_generator=lambda result: f"{len(result)} letters")
        result = context.run_in_child_context(large, name="large", config=config)
        context.wait(Duration(1))
        return len(result)

    with serving(daemon, f=handler) as client:
        execution = client.start("f")
        assert execution.result(Duration(30)) == 7_000_000
        large = execution.describe()["operations"][1]
    assert large["ContextDetails"]["Result"] == "7000000 letters"
    assert large["ContextDetails"]["ReplayChildren"] is True
    assert len(runs) == 2


def test_describe_has_more_operations_than_one_answer_holds(daemon: Daemon) -> None:
    def handler(context: DurableContext) -> int:
        results = [context.step(lambda _: "x" * 900_000, name=f"s{at}") for at in range(10)]
        return sum(len(result) for result in results)

    with serving(daemon, f=durable_execution(lambda _, context: handler(context))) as client:
        execution = client.start("f")
        assert execution.result(Duration(30)) == 9_000_000
        described = client.describe("-")
    assert described.keys() == {"execution", "standing", "operations"}
    assert described["execution"]["DurableExecutionArn"] == execution.arn
    names = [operation.get("Name") for operation in described["operations"][1:]]
    assert names == [f"s{at}" for at in range(10)]


def test_describe_asks_once_where_there_are_no_pages(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    answer = {"execution": {"DurableExecutionArn": "a"}, "standing": {}, "operations": [{}]}
    script = [{"call": "execution.describe", "result": answer}]
    level_1 = ScriptedDaemon(path, script)
    with Client(path) as client:
        assert client.describe("n") == answer
    level_1.join()


class LambdaContext:
    aws_request_id = "r1"


@pytest.mark.parametrize(
    ("level", "event", "sent"),
    [
        (3, {"n": 1}, None),
        (3, [1], None),
        (2, {"n": 1}, '{"n": 1}'),
        (3, {"DurableExecutionArn": "a"}, '{"DurableExecutionArn": "a"}'),
    ],
)
def test_behind_the_wrapper_a_session_begins_without_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: int, event: Any, sent: str | None
) -> None:
    path = tmp_path / "d.sock"
    begun = {"session": 1, "key": "k", "arn": "a", "input": "41", "gaps": False}
    begun |= {"operations": [], "more": False}
    output = json.dumps({"Status": "SUCCEEDED", "Result": "42"})
    script = [
        {
            "call": "session.begin",
            "params": {"event": sent, "request_id": "r1"},
            "result": begun,
        },
        {"call": "session.end", "params": {"payload": "42"}, "result": {"output": output}},
    ]
    scripted = ScriptedDaemon(path, script, level)
    monkeypatch.setenv("DURABLED_SOCKET", str(path))
    execution._shared.clear()
    handler = durable_execution(lambda event, _: event + 1)
    assert handler(event, LambdaContext()) == json.loads(output)
    execution._shared.pop().close()
    scripted.join()


class Upper(SerDes[Any]):
    def serialize(self, value: Any, serdes_context: SerDesContext) -> str:
        return str(value).upper()

    def deserialize(self, data: str, serdes_context: SerDesContext) -> Any:
        return data.lower()


def test_serdes_of_ones_own_is_stored_as_it_writes(daemon: Daemon) -> None:
    @durable_execution
    def handler(event: Any, context: DurableContext) -> Any:
        return context.step(lambda _: "Hello", config=StepConfig(serdes=Upper()))

    with serving(daemon, f=handler) as client:
        execution = client.start("f")
        assert execution.result(Duration(30)) == "hello"
        assert execution.describe()["operations"][1]["StepDetails"]["Result"] == "HELLO"


def test_worker_finds_a_restarted_daemon(daemon: Daemon) -> None:
    with serving(daemon, f=durable_execution(lambda event, _: event)) as client:
        daemon.kill()
        daemon.start()
        with Client(daemon.socket) as again:
            assert again.start("f", 7).result(Duration(30)) == 7
        assert client.start("f", 8).result(Duration(30)) == 8


def test_client_refusals(daemon: Daemon) -> None:
    with serving(daemon, f=durable_execution(lambda event, _: event)) as client:
        with pytest.raises(CallError) as unknown:
            client.start("g")
        assert unknown.value.code == "ResourceNotFoundException"
        assert "known: f" in unknown.value.message
        first = client.start("f", 1, name="n")
        assert client.start("f", 1, name="n").arn == first.arn
        assert client.start("f", 1, name="n").existing
        with pytest.raises(CallError) as other:
            client.start("f", 2, name="n")
        assert other.value.code == "DurableExecutionAlreadyStartedException"


def test_client_lists_stops_and_reads_history(daemon: Daemon) -> None:
    @durable_execution
    def waits(event: Any, context: DurableContext) -> None:
        context.wait(Duration.from_days(1))

    with serving(daemon, f=waits) as client:
        execution = client.start("f", name="a")
        deadline = time.monotonic() + 30
        while execution.describe()["standing"]["state"] != "waiting":
            assert time.monotonic() < deadline
        assert [e["name"] for e in client.list(function="f", waiting=True)] == ["a"]
        with pytest.raises(TimeoutError):
            client.result("a", Duration(1))
        assert execution.stop() == "STOPPED"
        assert [e["EventType"] for e in client.history("a")][-1] == "ExecutionStopped"
        assert list(client.list(status="RUNNING")) == []


def test_no_daemon_names_what_was_tried(tmp_path: Path) -> None:
    with pytest.raises(NoDaemonError) as refused:
        Client(tmp_path / "no.sock").functions()
    assert str(tmp_path / "no.sock") in str(refused.value)
    assert "durabled serve" in str(refused.value)


def test_calls_after_a_fork_are_refused(daemon: Daemon) -> None:
    """A child has its own connection, and no session."""
    import os

    @durable_execution
    def handler(event: Any, context: DurableContext) -> int:
        child = os.fork()
        if child == 0:
            try:
                context.step(lambda _: 1)
            except Exception as error:
                os._exit(7 if type(error).__name__ == "InvalidStateError" else 8)
            os._exit(9)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert run(daemon, handler) == 7


def test_body_that_ends_while_the_daemon_is_away(daemon: Daemon) -> None:
    """The worker comes back without naming it, so it is given out again."""
    begun, go, ran = threading.Event(), threading.Event(), []

    @durable_execution
    def handler(event: Any, context: DurableContext) -> str:
        def body(_: StepContext) -> str:
            ran.append(1)
            begun.set()
            assert go.wait(30)
            return "done"

        return context.step(body)

    with serving(daemon, f=handler) as client:
        client.start("f", name="a")
        assert begun.wait(30)
        daemon.kill()
        go.set()
        deadline = time.monotonic() + 30
        while any(
            t.name.startswith("durabled-slot") and _busy(t) for t in threading.enumerate()
        ):
            assert time.monotonic() < deadline
        daemon.start()
        assert client.result("a", Duration(30)) == "done"
    assert len(ran) == 2


def _busy(thread: threading.Thread) -> bool:
    """Whether a slot's thread runs a handler now."""
    import sys

    frame = sys._current_frames().get(thread.ident or 0)
    while frame:
        if frame.f_code.co_name == "_run_one":
            return True
        frame = frame.f_back
    return False


def test_a_register_that_is_refused_for_now_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    full = {"code": "Store.Full", "message": "full", "retryable": True}
    refusing = ScriptedDaemon(path, [{"call": "worker.register", "error": full}])
    worker = Worker({"f": lambda event, _: event}, concurrency=1, socket_path=path)
    thread = threading.Thread(target=worker.run)
    thread.start()
    refusing.join()  # the worker has hung up
    registered = {"call": "worker.register", "result": {"worker": 1}}
    taking = ScriptedDaemon(path, [registered, {"call": "worker.next"}, {"close": True}])
    taking.join()
    worker.stop()
    thread.join(30)
    assert not thread.is_alive()
