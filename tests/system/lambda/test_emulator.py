"""The extension in AWS's own Runtime Interface Emulator, with AWS's own runtime client; the
durable executions are of `durabled dev`. The emulator's Timeout, 300 s where a test gives no
other, is longer than any test waits: what ends, does not end by it. The reasons of a shutdown
are in the emulator's own words; Lambda's are `spindown`, `timeout` and `failure`."""

from __future__ import annotations

import pytest
from emulator import Emulator

from conftest import World, wait_for


def test_a_purchase_in_one_sandbox(world: World) -> None:
    sandbox = Emulator(world, "handlers.purchase")
    done = sandbox.begin({"order": "7"}, "f:$LATEST")
    wait_for("the second pause", lambda: len(sandbox.logged("SESSION_ENDED")) == 2)
    (callback_id,) = world.noted()[1:]
    sandbox.aws.send_durable_execution_callback_success(CallbackId=callback_id, Result=b"paid")
    assert done.result() == (True, {"status": "paid"})
    assert world.noted() == ["reserve-1", callback_id, "ship"]
    assert world.story("-") == "X S S+ W I W+ C K S S+ I K+ C+ S S+ I X+"
    (registered,) = sandbox.said("External agent")
    assert "durabled" in registered and "[INVOKE SHUTDOWN]" in registered
    assert len(sandbox.said("INIT RTDONE(status: success)")) == 1
    told = [line["requestId"] for line in sandbox.logged("EXTENSION_INVOKED")]
    ended = sandbox.logged("SESSION_ENDED")
    assert [line["requestId"] for line in ended] == told
    assert [line["outcome"] for line in ended] == ["PENDING", "PENDING", "SUCCEEDED"]


def test_a_function_that_is_not_durable(world: World) -> None:
    """Nothing of ours is in its log."""
    sandbox = Emulator(world, "handlers.stamp", durable=False, DURABLED_LOG_LEVEL="INFO")
    world.notes.write_text("go\n")
    for paper in ("bill", "order"):
        assert sandbox.call(paper) == (True, f"{paper} stamped")
    assert sandbox.shut_down() == 0
    assert sandbox.said("External agent durabled")
    assert not sandbox.said('"code"')
    assert sandbox.between.seen == []


def test_an_error_of_the_handler(world: World) -> None:
    """It is the execution's, and the sandbox goes on."""
    sandbox = Emulator(world, "handlers.raises")
    for _ in range(2):
        good, error = sandbox.run({})
        assert not good and error["errorType"] == "ValueError"
    assert len(sandbox.said("INIT START")) == 1


def test_a_step_that_is_longer_than_the_timeout(world: World) -> None:
    sandbox = Emulator(world, "handlers.blocks", timeout_s=3)
    done = sandbox.begin({"attempts": 2}, "f:$LATEST")
    (open_,) = wait_for("its last line", lambda: sandbox.logged("SESSION_OPEN"))
    assert open_["reason"] == "Timeout" and open_["running"] == 1
    assert "/durable-execution/" in open_["executionArn"]
    failed = world.diagnosis("INVOCATION_FAILED")
    assert failed["error_type"] == "Sandbox.Timedout"
    wait_for("the step again", lambda: world.noted().count("begun") > 1)
    with world.notes.open("a") as notes:
        notes.write("go\n")
    assert done.result() == (True, "ok")
    # The sandbox was made anew.
    assert len(sandbox.said("External agent durabled")) > 1


def test_a_process_that_dies_in_a_step(world: World) -> None:
    sandbox = Emulator(world, "handlers.kills_itself")
    assert sandbox.run({"at": "inside"}) == (True, "survived")
    assert world.noted() == ["before", "inside", "inside", "after"]
    (failed,) = world.log_events("INVOCATION_FAILED")
    assert failed["error_type"] == "Runtime.ExitError"
    (lost,) = sandbox.logged("SESSION_OPEN")
    assert lost["reason"] == "ReleaseFail" and lost["running"] == 1


# What the function is answered with; of a process that just ends, the emulator says nothing.
IMPORTS = {
    "raises": ("raise ValueError('no')", "ValueError"),
    "is not there": ("import nothing_of_this_name", "Runtime.ImportModuleError"),
    "ends": ("import os; os._exit(3)", "Sandbox.Failure"),
}


@pytest.mark.parametrize("how", IMPORTS)
def test_a_crash_at_import(world: World, how: str) -> None:
    """It ends the invocation; the code is repaired, and the next one does it."""
    source, kind = IMPORTS[how]
    module = world.dir / "crashes_at_import.py"
    module.write_text(source)
    sandbox = Emulator(world, "crashes_at_import.handler", PYTHONPATH=str(world.dir))
    done = sandbox.begin({"order": "7"}, "f:$LATEST")
    assert world.diagnosis("INVOCATION_FAILED")["error_type"] == kind
    module.write_text("from handlers import order as handler")
    assert done.result() == (True, {"status": "approved"})


@pytest.mark.parametrize("when", ["idle", "never invoked"])
def test_a_shutdown(world: World, when: str) -> None:
    sandbox = Emulator(world, "handlers.order")
    if when == "idle":
        assert sandbox.run({"order": "7"})[0]
    assert sandbox.shut_down() == 0
    if when == "idle":
        (shutdown,) = sandbox.logged("EXTENSION_SHUTDOWN")
        assert shutdown["reason"] == "SandboxTerminated"
    assert sandbox.logged("SESSION_OPEN") == []
