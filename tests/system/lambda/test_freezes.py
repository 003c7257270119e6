"""What the emulator has not: Lambda freezes a sandbox, and whatever is under way in it. Here
its processes are stopped and continued at random points.

DURABLED_FREEZES is how often (default: 1000), DURABLED_FREEZES_SEED replays one order of them.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from lambda_sandbox import Layer

from conftest import CODES, World

FREEZES = int(os.environ.get("DURABLED_FREEZES", "1000"))
SEED = int(os.environ.get("DURABLED_FREEZES_SEED", str(time.time_ns() % 1_000_000)))
AT_ONCE = 4
ROUNDS = 2
# Longer than any invocation takes here, and shorter than the sandboxes live.
TIMEOUT_S = 10
# How often which event is in a round, and in a history, whatever stood still.
ROUND = {"S": 8, "S+": 7, "S-": 1, "C": 4, "C+": 4, "W": 1, "W+": 1}
HISTORY = {"X": 1, **{code: ROUNDS * count for code, count in ROUND.items()}, "X+": 1}
# A process that is killed may run three bodies at once, which run again.
BODIES_AT_ONCE = 3


class Freezer:
    """Stops the processes of a layer, together or apart. While they stand still, one may be
    killed, and the connections may end."""

    def __init__(self, layer: Layer, chance: random.Random) -> None:
        self.layer = layer
        self.chance = chance
        self.count: Counter[str] = Counter()

    def runtimes(self) -> list[int]:
        """The processes that run handlers: each the child of its supervisor."""
        ended = {line["pid"] for line in self.layer.world.log_events("FUNCTION_ENDED")}
        started = {line["pid"] for line in self.layer.world.log_events("FUNCTION_STARTED")}
        return [pid for one in started - ended for pid in children(one)]

    def freeze(self, runtimes: list[int]) -> None:
        which = self.chance.choice(["all", "all", "extension", "runtimes"])
        pids = [] if which == "runtimes" else [self.layer.extension.pid]
        pids += [] if which == "extension" else runtimes
        self.count["freezes"] += 1
        self.count[which] += 1
        tell(pids, signal.SIGSTOP)
        if self.layer.between.under_way:
            self.count["calls under way"] += 1
        if runtimes and self.chance.random() < 0.02:
            self.count["kills"] += 1
            tell([self.chance.choice(runtimes)], signal.SIGKILL)
        if self.chance.random() < 0.05:
            self.count["cuts"] += 1
            self.layer.between.cut()
        time.sleep(self.chance.random() * 0.01)
        tell(pids, signal.SIGCONT)
        time.sleep(self.chance.random() * 0.03)


def children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def tell(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def check(events: list[dict[str, Any]], noted: Counter[str]) -> None:
    """The history of an execution, against what its bodies noted."""
    story = Counter(CODES[event["EventType"]] for event in events)
    del story["I"]
    assert story == HISTORY, events
    dues = {}
    interruptions = 0
    for event in events:
        if event["EventType"] == "WaitStarted":
            dues[event["Id"]] = event["WaitStartedDetails"]["ScheduledEndTimestamp"]
        elif event["EventType"] == "WaitSucceeded":
            assert event["EventTimestamp"] >= dues.pop(event["Id"]), event
        elif event["EventType"] == "InvocationCompleted":
            interruptions += "Error" in event["InvocationCompletedDetails"]
    assert dues == {}
    key = json.loads(events[0]["ExecutionStartedDetails"]["Input"]["Payload"])["key"]
    runs = {note: count for note, count in noted.items() if note.startswith(f"{key}:")}
    bodies = ROUND["S"] * ROUNDS
    assert len(runs) == bodies, runs
    assert sum(runs.values()) - bodies <= BODIES_AT_ONCE * interruptions, runs


def test_nothing_is_lost_and_nothing_is_done_twice(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = Layer(world, "rounds", "--log-level", "debug", timeout_s=TIMEOUT_S)
    freezer = Freezer(layer, random.Random(SEED))
    running: dict[str, Future[Any]] = {}
    results: dict[str, Any] = {}
    while freezer.count["freezes"] < FREEZES:
        for key in [key for key, future in running.items() if future.done()]:
            results[key] = running.pop(key).result()
        while len(running) < AT_ONCE:
            key = f"k{len(results) + len(running)}"
            running[key] = layer.begin({"key": key, "rounds": ROUNDS}, "f:$LATEST")
        runtimes = freezer.runtimes()
        for _ in range(10):
            freezer.freeze(runtimes)
    results |= {key: future.result() for key, future in running.items()}
    counted = ", ".join(f"{count} {what}" for what, count in sorted(freezer.count.items()))
    with capsys.disabled():
        print(f"\nseed {SEED}: {counted}; {len(results)} executions")

    # Each fault was there.
    assert min(freezer.count.values()) > 0 and len(freezer.count) == 7, freezer.count
    assert layer.extension.alive()
    # Each update is there, and each once.
    assert set(results.values()) == {(True, 7 * ROUNDS)}
    executions = world.ctl_json("ls")["executions"]
    assert len(executions) == len(results)
    noted = Counter(world.noted())
    for execution in executions:
        check(world.events(execution["arn"]), noted)
    # No deadline of a former invocation ends a call, or an invocation; only a kill does.
    assert layer.logged("API_FAILED") == []
    failed = world.log_events("INVOCATION_FAILED")
    assert {line["error_type"] for line in failed} <= {"Runtime.ExitError"}
    assert len(failed) <= freezer.count["kills"]
