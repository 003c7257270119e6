"""What plugins are told, against a real daemon, and how what they raise is contained."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from conftest import Daemon
from durabled import (
    Client,
    DurableContext,
    PluginLoadError,
    StepContext,
    durable_execution,
)
from durabled.config import ChildConfig, Duration, JitterStrategy, ParallelConfig, StepConfig
from durabled.plugin import (
    DurableInstrumentationPlugin,
    InvocationStartInfo,
    PluginExecutor,
)
from durabled.plugin_discovery import load_configured_plugins
from durabled.retries import RetryStrategyConfig, create_retry_strategy
from running import PATIENCE, counted, run, serving, until_waiting

EVERY_SECOND = create_retry_strategy(
    RetryStrategyConfig(initial_delay=Duration(1), jitter_strategy=JitterStrategy.NONE)
)
HOOKS = (
    "on_invocation_start",
    "on_invocation_end",
    "on_operation_start",
    "on_operation_end",
    "on_operation_change",
    "on_user_function_start",
    "on_user_function_end",
)


class Recorder(DurableInstrumentationPlugin):
    """Keeps (hook, info) in order."""

    def __init__(self, told: list[tuple[str, Any]]) -> None:
        for hook in HOOKS:
            setattr(self, hook, lambda info, hook=hook: told.append((hook, info)))


class Factory:
    def __init__(self, make: Callable[[InvocationStartInfo], Any]) -> None:
        self.create_plugin = make


def recorded(daemon: Daemon, body: Callable[[Any], Any]) -> list[tuple[str, Any]]:
    told: list[tuple[str, Any]] = []

    @durable_execution(plugins=[Factory(lambda _: Recorder(told))])
    def handler(event: Any, context: DurableContext) -> Any:
        return body(context)

    with serving(daemon, f=handler) as client:
        try:
            client.start("f", {"in": 1}).result(PATIENCE)
        except Exception as error:
            told.append(("raised", error))
    return told


def of(told: list[tuple[str, Any]], *hooks: str) -> list[tuple[str, Any]]:
    return [(hook, info) for hook, info in told if hook.removeprefix("on_") in hooks]


def test_one_step(daemon: Daemon) -> None:
    told = recorded(daemon, lambda context: context.step(lambda _: "x", name="s"))
    order = [hook for hook, _ in told if hook != "on_operation_change"]
    assert order == [
        "on_invocation_start",
        "on_operation_start",
        "on_user_function_start",
        "on_user_function_end",
        "on_operation_end",
        "on_invocation_end",
    ]
    (_, start), (_, end) = told[0], told[-1]
    assert start.is_first_invocation and end.is_first_invocation
    assert start.request_id and start.execution_start_time
    assert start.execution_input == {"in": 1}
    assert [o.operation_type.value for o in start.operations.values()] == ["EXECUTION"]
    # That the execution itself began is what the first invocation is told.
    assert set(start.updated_operations) <= set(start.operations)
    assert (end.status.value, end.execution_result, end.error) == ("SUCCEEDED", '"x"', None)
    assert sorted(o.operation_type.value for o in end.operations.values()) == [
        "EXECUTION",
        "STEP",
    ]
    (_, ended) = of(told, "operation_end")[0]
    assert (ended.name, ended.sub_type, ended.status.value) == ("s", "Step", "SUCCEEDED")
    assert (ended.result, ended.attempt is not None) == ('"x"', True)
    (_, function) = of(told, "user_function_end")[0]
    assert (function.outcome.value, function.attempt) == ("SUCCEEDED", 1)
    changes = [info for _, info in of(told, "operation_change")]
    told_of = [
        (id_, info.status.value, id_ in change.operations)
        for change in changes
        for id_, info in change.updated_operations.items()
    ]
    assert told_of.count((ended.operation_id, "SUCCEEDED", True)) == 1
    assert all(change.execution_arn == start.execution_arn for change in changes)


def test_a_wait_over_two_invocations(daemon: Daemon) -> None:
    def body(context: DurableContext) -> None:
        context.step(lambda _: 1, name="s")
        context.wait(Duration(1), name="w")

    told = recorded(daemon, body)
    ends = [info for _, info in of(told, "invocation_end")]
    assert [(e.status.value, e.is_first_invocation) for e in ends] == [
        ("PENDING", True),
        ("SUCCEEDED", False),
    ]
    starts = [info for _, info in of(told, "invocation_start")]
    updated = [[o.name for o in s.updated_operations.values()] for s in starts]
    assert updated[1] == ["w"]
    ended = [(info.name, info.is_replayed) for _, info in of(told, "operation_end")]
    assert ended == [("s", False), ("w", False)]
    started = [(info.name, info.is_replayed) for _, info in of(told, "operation_start")]
    assert started == [("s", False), ("w", False)]


def test_attempts(daemon: Daemon) -> None:
    def body(context: DurableContext) -> None:
        def flaky(step: StepContext) -> None:
            if step.attempt == 1:
                raise ValueError("not yet")

        context.step(flaky, name="s", config=StepConfig(retry_strategy=EVERY_SECOND))

    told = recorded(daemon, body)
    functions = of(told, "user_function_start", "user_function_end")
    assert [(h.removeprefix("on_user_function_"), i.attempt) for h, i in functions] == [
        ("start", 1),
        ("end", 1),
        ("start", 2),
        ("end", 2),
    ]
    assert functions[1][1].outcome.value == "FAILED"
    assert functions[1][1].error.type == "ValueError"
    assert [i.is_replayed for _, i in of(told, "operation_start")] == [False, True]
    assert [i.status.value for _, i in of(told, "operation_end")] == ["SUCCEEDED"]


def test_contexts_and_branches(daemon: Daemon) -> None:
    def body(context: DurableContext) -> None:
        context.run_in_child_context(lambda c: c.step(lambda _: 1, name="s"), name="child")
        virtual = ChildConfig[Any](is_virtual=True)
        context.run_in_child_context(lambda c: None, name="virtual", config=virtual)
        config = ParallelConfig(max_concurrency=1)
        context.parallel([lambda _: 1, lambda _: 2], name="both", config=config)

    told = recorded(daemon, body)
    names = [
        (h[3:], i.name) for h, i in told if "operation_change" not in h and hasattr(i, "name")
    ]
    assert names.index(("operation_end", "s")) < names.index(("operation_end", "child"))
    assert ("operation_start", "virtual") not in names
    assert ("operation_end", "virtual") in names
    functions = [i for _, i in of(told, "user_function_end") if i.sub_type == "ParallelBranch"]
    [batch] = {i.operation_id for _, i in of(told, "operation_end") if i.name == "both"}
    assert [(i.name, i.parent_id, i.attempt) for i in functions] == [
        ("parallel-branch-0", batch, 1),
        ("parallel-branch-1", batch, 1),
    ]


def test_bodies_that_unwind_are_incomplete(daemon: Daemon) -> None:
    told = recorded(
        daemon, lambda context: context.run_in_child_context(lambda c: c.wait(Duration(1)))
    )
    ends = [i for _, i in of(told, "user_function_end")]
    assert [(i.outcome.value, i.attempt) for i in ends] == [
        ("INCOMPLETE", 1),
        ("SUCCEEDED", None),
    ]


def test_a_callback_that_nobody_awaited_ends_before_the_invocation(daemon: Daemon) -> None:
    told: list[tuple[str, Any]] = []

    @durable_execution(plugins=[Factory(lambda _: Recorder(told))])
    def handler(event: Any, context: DurableContext) -> None:
        callback = context.create_callback(name="c")
        context.step(
            lambda _: Client(daemon.socket).callback_succeed(callback.callback_id, "x")
        )
        context.wait(Duration(1))

    with serving(daemon, f=handler) as client:
        client.start("f").result(PATIENCE)
    ends = [i.name for _, i in of(told, "operation_end")]
    assert ends.count("c") <= 1
    assert told[-1][0] == "on_invocation_end"


def test_a_failed_invocation_ends_with_retry(daemon: Daemon) -> None:
    attempts: list[str] = []

    def body(context: DurableContext) -> None:
        if len(attempts) == 0:
            attempts.append("exits")
            raise SystemExit(3)

    told = recorded(daemon, body)
    ends = [i for _, i in of(told, "invocation_end")]
    assert [e.status.value for e in ends] == ["RETRY", "SUCCEEDED"]
    assert ends[0].error.type == "Runtime.ExitError"


class Faulty(DurableInstrumentationPlugin):
    def on_operation_start(self, info: Any) -> None:
        raise ValueError("plugin bug")

    def on_operation_change(self, info: Any) -> None:
        raise ValueError("plugin bug")


def test_what_plugins_raise_is_logged(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[str, Any]] = []

    def broken(_: Any) -> Any:
        raise LookupError("no plugin")

    factories = [
        Factory(broken),
        Factory(lambda _: None),
        Factory(lambda _: "text"),
        Factory(lambda _: Faulty()),
        Factory(lambda _: Recorder(told)),
    ]

    @durable_execution(plugins=factories)
    def handler(event: Any, context: DurableContext) -> Any:
        return context.step(lambda _: "fine")

    with caplog.at_level(logging.ERROR):
        assert run(daemon, handler) == "fine"
    said = [record.getMessage() for record in caplog.records]
    assert "Plugin factory Factory exception ignored" in said
    assert "Plugin factory Factory returned None; plugin ignored" in said
    assert (
        "Plugin factory Factory returned str, which is not a DurableInstrumentationPlugin; "
        "plugin ignored"
    ) in said
    assert "Plugin Faulty exception ignored" in said
    assert told[-1][0] == "on_invocation_end"


def test_the_handlers_event_is_its_own(daemon: Daemon) -> None:
    class Meddler(DurableInstrumentationPlugin):
        def on_invocation_start(self, info: InvocationStartInfo) -> None:
            info.execution_input["in"] = 2

    handler = durable_execution(lambda event, _: event, plugins=[Factory(lambda _: Meddler())])
    assert run(daemon, handler, {"in": 1}) == {"in": 1}


def test_an_open_operation_is_told_again_on_replay(daemon: Daemon) -> None:
    told: list[tuple[str, Any]] = []

    @durable_execution(plugins=[Factory(lambda _: Recorder(told))])
    def handler(event: Any, context: DurableContext) -> Any:
        callback = context.create_callback(name="c")
        context.wait(Duration(1), name="w")
        return callback.result()

    with serving(daemon, f=handler) as client:
        execution = client.start("f", name="e")
        until_waiting(execution)
        while len(of(told, "invocation_end")) < 2:
            until_waiting(execution)
        client.callback_succeed(execution="e", operation="c", result="x")
        execution.result(PATIENCE)
    starts = [(i.name, i.is_replayed) for _, i in of(told, "operation_start")]
    assert starts == [("c", False), ("w", False), ("c", True)]
    ends = [(i.name, i.status.value, i.result) for _, i in of(told, "operation_end")]
    # After an open callback nothing is replay any more, so w is not told of, as in AWS's SDK.
    assert ends == [("c", "SUCCEEDED", "x")]


# --- registration -----------------------------------------------------------------------


class PlainFactory:
    def create_plugin(self, info: Any) -> Any:
        return DurableInstrumentationPlugin()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (PlainFactory, "the class test_plugin.PlainFactory"),
        (counted, "the function running.counted"),
        (DurableInstrumentationPlugin(), "an instance of durabled.plugin."),
    ],
)
def test_what_is_no_factory_is_refused(wrong: Any, named: str) -> None:
    with pytest.raises(
        PluginLoadError, match=r"plugins\[1\] must be a plugin factory"
    ) as refused:
        durable_execution(lambda *_: None, plugins=[PlainFactory(), wrong])
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("a,,b", "must contain non-empty, comma-separated plugin names"),
        ("a, a", "duplicate plugin name 'a'"),
        ("nobody", "No durable instrumentation plugin provider named 'nobody'"),
    ],
)
def test_names_in_the_environment(names: str, message: str) -> None:
    with pytest.raises(PluginLoadError, match=message):
        load_configured_plugins(None, environment={"DURABLE_EXECUTION_PLUGINS": names})


def test_exclusive_groups() -> None:
    told: list[bool] = []

    class Exclusive(PlainFactory):
        __durable_registration_api__ = 1
        exclusive_group = "traces"

        def on_registration_result(self, registered: bool) -> None:
            told.append(registered)

    class Other(Exclusive):
        pass

    load_configured_plugins([Exclusive()], environment={})
    with pytest.raises(PluginLoadError, match="are mutually exclusive"):
        load_configured_plugins([Exclusive(), Other()], environment={})
    with pytest.raises(PluginLoadError, match="is registered more than once"):
        load_configured_plugins([Exclusive(), Exclusive()], environment={})
    assert told == [True, False, False, False, False]


def test_an_executor_serves_one_invocation() -> None:
    executor = PluginExecutor([])
    with executor.run():
        pass
    with pytest.raises(RuntimeError, match="single-use"), executor.run():
        pass
