"""The samples of deploy/lambda: hosted from their template, as its page says, and through
the extension, with the page's order in Python and in C."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from lambda_sandbox import Layer
from test_hosting import Host
from test_local_cloud import Terminal, newcomer

from conftest import BIN, HERE, World, wait_for

SAMPLES = HERE.parents[1] / "deploy/lambda"
COMMANDS = {
    "order": [sys.executable, "-m", "awslambdaric", "app.handler"],
    "order-c": [str(BIN / "lambda_order_c")],
}
RESULTS = {
    "order": {"status": "shipped", "parcel": "parcel-1001"},
    "order-c": {"status": "shipped"},
}
# Each once, however often the handler runs.
STEPS = {
    "order": ["reserving stock for order 1001", "shipping order 1001"],
    "order-c": ['reserving stock for {"order": "1001"}', 'shipping {"order": "1001"}'],
}
both = pytest.mark.parametrize("function", sorted(COMMANDS))


def check_out(world: World) -> Path:
    """A checkout as far as the page needs one, and built."""
    top = world.dir / "checkout"
    shutil.copytree(SAMPLES, top / "deploy/lambda")
    bootstrap = top / "build/lambda/order-c/bootstrap"
    bootstrap.parent.mkdir(parents=True)
    bootstrap.symlink_to(COMMANDS["order-c"][0])
    (top / "build/lambda/layer.zip").touch()
    return top


def wrote(world: World) -> str:
    """What the functions wrote to their log."""
    return "\n".join(str(line["line"]) for line in world.log_events("FUNCTION_WROTE"))


def processes(world: World) -> list[int]:
    """The functions' processes."""
    started = {int(line["pid"]) for line in world.log_events("FUNCTION_STARTED")}
    return [pid for pid in started if Path(f"/proc/{pid}").exists()]


def callback(aws: Any, arn: str) -> str | None:
    events = aws.get_durable_execution_history(DurableExecutionArn=arn)["Events"]
    found = [event for event in events if event["EventType"] == "CallbackStarted"]
    return str(found[0]["CallbackStartedDetails"]["CallbackId"]) if found else None


def awaited(layer: Layer) -> str:
    """The callback that the only execution waits for, once its session has ended."""
    listed = layer.aws.list_durable_executions_by_function
    (execution,) = wait_for(
        "the execution", lambda: listed(FunctionName="f")["DurableExecutions"]
    )
    arn = execution["DurableExecutionArn"]
    found = wait_for("the callback", lambda: callback(layer.aws, arn))
    wait_for("the end of the session", lambda: layer.logged("SESSION_ENDED"))
    return str(found)


@both
def test_an_order_from_the_template(world: World, function: str) -> None:
    world.cwd = check_out(world)
    world.variables["VIRTUAL_ENV"] = sys.prefix
    template = ("--template", "deploy/lambda/template.yaml", "--log-level", "debug")
    host = Host(world, options=template)
    answer = host.aws.invoke(
        FunctionName=f"{function}:live",
        InvocationType="Event",
        Payload=b'{"order": "1001"}',
        DurableExecutionName="o1",
    )
    arn = answer["DurableExecutionArn"]
    callback_id = wait_for("the callback", lambda: callback(host.aws, arn))
    # Whoever goes on has to replay.
    wait_for("the wait", lambda: world.show("o1")["standing"]["state"] == "waiting")
    (pid,) = processes(world)
    os.kill(pid, 9)
    world.diagnosis("FUNCTION_ENDED", pid=pid)
    host.aws.send_durable_execution_callback_success(
        CallbackId=callback_id, Result=b'{"approved": true}'
    )
    done = world.finish("o1")
    assert done["Status"] == "SUCCEEDED"
    assert json.loads(done["Result"]) == RESULTS[function]
    assert world.story("o1") == "X S S+ K I K+ W I W+ S S+ I X+"
    assert [wrote(world).count(line) for line in STEPS[function]] == [1, 1]
    assert len(world.log_events("FUNCTION_STARTED")) == 2


class Sample(Layer):
    """One of them, beside the extension."""

    def __init__(self, world: World, function: str) -> None:
        world.variables["PYTHONPATH"] = str(SAMPLES / "order")
        super().__init__(world, function)

    def runtime(self, world: World, handler: str) -> list[str]:
        return COMMANDS[handler]


@both
@pytest.mark.parametrize("approved", [True, False])
def test_an_order_through_the_extension(world: World, function: str, approved: bool) -> None:
    layer = Sample(world, function)
    done = layer.begin({"order": "1001"}, "f:$LATEST")
    callback_id = awaited(layer)
    decision = json.dumps({"approved": approved}).encode()
    layer.aws.send_durable_execution_callback_success(CallbackId=callback_id, Result=decision)
    expected = RESULTS[function] if approved else {"status": "rejected"}
    assert done.result() == (True, expected)
    assert [wrote(world).count(line) for line in STEPS[function]] == [1, int(approved)]
    assert layer.between.most_under_way == 1
    outcomes = [line["outcome"] for line in layer.logged("SESSION_ENDED")]
    assert outcomes[0] == "PENDING" and outcomes[-1] == "SUCCEEDED"


@both
def test_an_order_survives_its_environment(world: World, function: str) -> None:
    """Lambda replaces both processes at once; nothing that was recorded runs again."""
    layer = Sample(world, function)
    done = layer.begin({"order": "1001"}, "f:$LATEST")
    callback_id = awaited(layer)
    layer.extension.kill()
    layer.extension = layer.start_extension()
    layer.aws.send_durable_execution_callback_success(
        CallbackId=callback_id, Result=b'{"approved": true}'
    )
    assert done.result() == (True, RESULTS[function])
    assert [wrote(world).count(line) for line in STEPS[function]] == [1, 1]


@both
def test_the_page(world: World, function: str) -> None:
    page = (SAMPLES / "README.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.M | re.S)
    start, point, invoke, look, approve, see = blocks
    top, env = check_out(world), newcomer(world)
    assert invoke.startswith("function=order\n")
    invoke = invoke.replace("function=order\n", f"function={function}\n")
    cloud = Terminal(top, env, world.dir / "cloud.log")
    user = Terminal(top, env, world.dir / "user.log")
    try:
        cloud.enter(start)
        wait_for("the cloud", lambda: "Try next" in cloud.output())
        user.enter(point)
        assert f":function:{function}:" in user.enter(invoke)
        wait_for("the callback", lambda: "CallbackStarted" in user.enter(look))
        user.enter(approve)
        said = user.enter(see)
    finally:
        cloud.close()
        user.close()
    assert "SUCCEEDED" in said
    assert json.dumps(RESULTS[function]) in said
