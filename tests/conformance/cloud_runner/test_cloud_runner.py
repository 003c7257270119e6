"""The official testing package's runners: what its local one says of a function, its cloud
runner says of the same function hosted by `durabled dev`."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import handlers
import pytest
from aws_durable_execution_sdk_python.execution import InvocationStatus
from aws_durable_execution_sdk_python.lambda_service import (
    ErrorObject,
    OperationStatus,
    OperationType,
)
from aws_durable_execution_sdk_python_testing import (
    DurableFunctionCloudTestRunner,
    DurableFunctionTestResult,
    DurableFunctionTestRunner,
)
from aws_durable_execution_sdk_python_testing.exceptions import DurableFunctionsTestError

from conftest import system

HERE = Path(__file__).parent
FUNCTIONS = ["order", "flaky", "broken", "approval", "caller", "many"]
PATIENCE_S = 30


class Runner(Protocol):
    """What both runners can do, with the input as a value."""

    def run(self, input: Any, timeout: int = ...) -> DurableFunctionTestResult: ...
    def run_async(self, input: Any, timeout: int = ...) -> str: ...
    def wait_for_result(
        self, execution_arn: str, timeout: int = ...
    ) -> DurableFunctionTestResult: ...
    def wait_for_callback(self, execution_arn: str, name: str) -> str: ...
    def send_callback_success(self, callback_id: str, result: bytes) -> None: ...
    def send_callback_failure(self, callback_id: str, error: ErrorObject) -> None: ...
    def send_callback_heartbeat(self, callback_id: str) -> None: ...


Start = Callable[[str], Runner]


class Local:
    """The local runner, whose input is text already."""

    def __init__(self, handler: Any) -> None:
        self._runner = DurableFunctionTestRunner(handler, poll_interval=0.05)
        self._runner.register_durable_function("order", handlers.order)

    def run(self, input: Any, timeout: int = PATIENCE_S) -> DurableFunctionTestResult:
        return self._runner.run(json.dumps(input), timeout)

    def run_async(self, input: Any, timeout: int = PATIENCE_S) -> str:
        return self._runner.run_async(json.dumps(input), timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("dev")
    template = directory / "template.json"
    template.write_text(
        json.dumps(
            {
                "Transform": "AWS::Serverless-2016-10-31",
                "Globals": {
                    "Function": {
                        "Runtime": f"python3.{sys.version_info.minor}",
                        "CodeUri": str(HERE),
                        "Timeout": 60,
                        "DurableConfig": {"ExecutionTimeout": 300, "RetentionPeriodInDays": 1},
                        "Environment": {"Variables": {"TARGET": "order:$LATEST"}},
                    }
                },
                "Resources": {
                    name: {
                        "Type": "AWS::Serverless::Function",
                        "Properties": {"FunctionName": name, "Handler": f"handlers.{name}"},
                    }
                    for name in FUNCTIONS
                },
            }
        )
    )
    world = system.World(directory)
    world.mode = "dev"
    options = ["--http", "127.0.0.1:0", "--template", str(template)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIRTUAL_ENV", sys.prefix)
        patch.setenv("AWS_ACCESS_KEY_ID", "local")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        world.start_daemon(*options)
        yield world.log_events("READY")[0]["http"]
    world.close()


@pytest.fixture
def cloud(endpoint: str) -> Start:
    def start(function: str, qualifier: str = ":$LATEST") -> Runner:
        name = function + qualifier
        return DurableFunctionCloudTestRunner(name, "us-east-1", endpoint, poll_interval=0.05)

    return start


@pytest.fixture(params=["local", "cloud"])
def start(request: pytest.FixtureRequest, cloud: Start) -> Start:
    """Tests that take this run with both runners: what one finds, the other has to find."""
    if request.param == "cloud":
        return cloud
    return lambda function: Local(getattr(handlers, function))


def shape(operations: list[Any]) -> list[Any]:
    """What of operations is the same in every run, with those below each."""
    return [
        (
            each.operation_type.value,
            each.sub_type,
            each.name,
            each.status.value,
            getattr(each, "result", None),
            shape(getattr(each, "child_operations", None) or []),
        )
        for each in operations
    ]


def test_both_runners_tell_the_same_story(cloud: Start) -> None:
    event = {"items": ["pen", "ink"]}
    expected = Local(handlers.order).run(event)
    found = cloud("order").run(event)
    assert found.status is expected.status is InvocationStatus.SUCCEEDED
    assert found.result == expected.result
    assert len(found.get_all_operations()) == 9
    assert shape(found.operations) == shape(expected.operations)


def test_results_and_operations(start: Start) -> None:
    result = start("order").run({"items": ["pen", "ink"]})
    assert result.status is InvocationStatus.SUCCEEDED
    assert json.loads(str(result.result)) == {
        "total": 2,
        "shipped": ["shipped pen", "shipped ink"],
        "note": "thanks",
    }
    count = result.get_step("count")
    assert (count.attempt, count.result) == (1, "2")
    pause = result.get_wait("pause")
    assert pause.status is OperationStatus.SUCCEEDED
    assert pause.start_timestamp and pause.scheduled_end_timestamp
    assert (pause.scheduled_end_timestamp - pause.start_timestamp).total_seconds() == 1
    items = result.get_context("items").child_operations
    assert [each.sub_type for each in items] == ["MapIteration"] * 2
    assert result.get_context("note").get_step("write").result == '"thanks"'


def test_a_retried_step(start: Start) -> None:
    result = start("flaky").run(3)
    assert result.status is InvocationStatus.SUCCEEDED
    assert result.get_step("body").attempt == 3


def test_a_failure(start: Start) -> None:
    result = start("broken").run("out of ink")
    assert result.status is InvocationStatus.FAILED
    assert result.error is not None and result.error.message == "out of ink"
    step = result.get_step("body")
    assert step.status is OperationStatus.FAILED
    assert step.error is not None and step.error.type == "ValueError"


def test_callbacks(start: Start) -> None:
    runner = start("approval")
    arn = runner.run_async(60)
    manager = runner.wait_for_callback(arn, "manager")
    owner = runner.wait_for_callback(arn, "owner")
    runner.send_callback_heartbeat(manager)
    runner.send_callback_success(owner, b"yes")
    runner.send_callback_success(manager, b"of course")
    result = runner.wait_for_result(arn)
    assert result.status is InvocationStatus.SUCCEEDED
    assert json.loads(str(result.result)) == "of course and yes"
    assert result.get_callback("owner").callback_id == owner


def test_a_callback_that_fails(start: Start) -> None:
    runner = start("approval")
    arn = runner.run_async(60)
    manager = runner.wait_for_callback(arn, "manager")
    runner.send_callback_failure(manager, ErrorObject("not today", "Refused", None, None))
    result = runner.wait_for_result(arn)
    assert result.status is InvocationStatus.FAILED
    assert result.error is not None and result.error.message == "not today"
    assert result.get_callback("manager").status is OperationStatus.FAILED


def test_a_callback_that_nobody_completes(start: Start) -> None:
    runner = start("approval")
    arn = runner.run_async(2)
    runner.send_callback_success(runner.wait_for_callback(arn, "manager"), b"yes")
    result = runner.wait_for_result(arn)
    assert result.status is InvocationStatus.FAILED
    assert result.get_callback("owner").status is OperationStatus.TIMED_OUT


def test_a_function_that_invokes_another(start: Start) -> None:
    result = start("caller").run({"items": ["pen"]})
    assert result.status is InvocationStatus.SUCCEEDED
    call = result.get_invoke("call")
    assert call.operation_type is OperationType.CHAINED_INVOKE
    assert json.loads(str(call.result))["shipped"] == ["shipped pen"]


def test_a_history_of_several_pages(start: Start) -> None:
    result = start("many").run(None)
    assert json.loads(str(result.result)) == handlers.MANY
    names = [each.name for each in result.operations]
    assert names == [f"step {i}" for i in range(handlers.MANY)]


def test_a_runner_that_has_no_more_time(cloud: Start) -> None:
    runner = cloud("approval")
    arn = runner.run_async(60)
    with pytest.raises(TimeoutError, match="last status: RUNNING"):
        runner.wait_for_result(arn, timeout=1)
    for name in "manager", "owner":
        runner.send_callback_success(runner.wait_for_callback(arn, name), b"yes")
    assert runner.wait_for_result(arn).status is InvocationStatus.SUCCEEDED


def test_many_runs_at_once(cloud: Start) -> None:
    found: list[Any] = []

    def run(number: int) -> None:
        result = cloud("order").run({"items": [str(number)]})
        found.append(json.loads(str(result.result))["shipped"])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [[f"shipped {number}"] for number in range(6)]


@pytest.mark.parametrize(
    ("function", "qualifier", "text"),
    [
        ("nobody", ":$LATEST", "Function not found"),
        ("order", "", "You cannot invoke a durable function using an unqualified ARN"),
    ],
)
def test_what_is_refused(cloud: Any, function: str, qualifier: str, text: str) -> None:
    with pytest.raises(DurableFunctionsTestError, match=text):
        cloud(function, qualifier).run(None)


def test_an_unknown_callback(cloud: Start) -> None:
    with pytest.raises(DurableFunctionsTestError, match="Failed to send callback success"):
        cloud("approval").send_callback_success("no such callback", b"yes")
