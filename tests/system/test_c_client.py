"""The C client's batches, callbacks and invokes, and what durablectl shows of them. The
worker is the C sample `basket`."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from conftest import BIN, Process, World, wait_for

# What the basket's operations are called, as AWS's SDKs would.
NAMED = {
    "reserve all": "Map",
    "reserve book": "MapIteration",
    "approval": "WaitForCallback",
    "approval create callback id": "Callback",
    "approval submitter": "Step",
    "charge": "ChainedInvoke",
}


def start_basket(world: World) -> Process:
    """The sample's worker, once it is registered."""
    before = len(world.log_events("WORKER_REGISTERED"))
    worker = world.spawn([str(BIN / "sample_basket")], "basket.log")
    wait_for("the worker", lambda: len(world.log_events("WORKER_REGISTERED")) > before)
    return worker


def waits(world: World, name: str) -> bool:
    return world.show(name)["standing"]["state"] == "waiting"


@pytest.fixture
def basket(world: World) -> World:
    """An execution `b1` of the sample that waits for its approval."""
    world.start_daemon()
    start_basket(world)
    world.start("basket-c", "b1")
    wait_for("the callback", lambda: waits(world, "b1"))
    return world


# -- the sample ------------------------------------------------------------------------


def test_the_c_sample_survives_its_worker(world: World) -> None:
    world.start_daemon()
    worker = start_basket(world)
    world.start("basket-c", "b1")
    wait_for("two items", lambda: world.story("b1").count("S+") >= 2)
    worker.kill()
    worker = start_basket(world)
    wait_for("the callback", lambda: waits(world, "b1"))
    worker.kill()
    start_basket(world)
    world.ctl("callback", "succeed", "b1", "approval", "--payload", '"yes"')
    done = world.finish("b1")
    assert (done["Status"], json.loads(done["Result"])) == ("SUCCEEDED", {"charged": True})
    ran = (world.dir / "basket.log").read_text()
    assert ran.count("reserving book") == ran.count("reserving lamp") == 1
    assert ran.count("asking for approval") == ran.count('charging {"amount": 42}') == 1
    assert world.story("b1").split()[:2] == ["X", "C"]
    assert world.story("b1").count("S+") == 5  # four items, and the submitter
    events = [e for e in world.events("b1") if {"Name", "SubType"} <= e.keys()]
    assert {e["Name"]: e["SubType"] for e in events}.items() >= NAMED.items()


# -- callbacks -------------------------------------------------------------------------


def test_show_ends_in_the_command_that_completes_it(basket: World) -> None:
    *_, sentence, _, heading, command = basket.ctl("show", "b1").stdout.splitlines()
    assert re.fullmatch(
        r"It is waiting for the callback `approval` since [\d :-]+, until [\d :-]+\.", sentence
    )
    assert heading == "To complete `approval`:"
    assert command.startswith("  durablectl callback succeed '")
    path = f"{BIN}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", command], env={**basket.env, "PATH": path}, check=True)
    assert basket.finish("b1")["Status"] == "SUCCEEDED"
    assert "durablectl" not in basket.ctl("show", "b1").stdout


def test_history_tells_of_callbacks_and_invokes(basket: World) -> None:
    basket.ctl("callback", "succeed", "b1", "approval", "--payload", "[1]")
    basket.finish("b1")
    text = basket.ctl("history", "b1").stdout
    assert re.search(r"CallbackStarted .* timeout 1 h 0 min", text)
    assert re.search(r"CallbackSucceeded .* result \[1\]\n", text)
    assert re.search(
        r'ChainedInvokeStarted .* function charge-c, .*input \{"amount": 42\}\n', text
    )
    assert re.search(r'ChainedInvokeSucceeded .* result \{"charged": true\}\n', text)
