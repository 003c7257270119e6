"""kill -9 of the daemon and its workers, under load, with a checker outside.

DURABLED_TORTURE_S is how long it goes on (default: 20 s); DURABLED_TORTURE_SEED replays
one order of kills. The checker sees two things that no component can change afterwards:
the notes that step bodies append to a file, and the history as it was read before.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter

from conftest import World, wait_for

SECONDS = float(os.environ.get("DURABLED_TORTURE_S", "20"))
SEED = int(os.environ.get("DURABLED_TORTURE_SEED", str(time.time_ns() % 1_000_000)))
WORKERS = 2
EXECUTIONS = 12
STEPS = 12


class Checker:
    """Keeps what was seen, and compares it with what is seen later."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._events: dict[str, list[str]] = {}
        self._completed: dict[str, set[str]] = {}
        self._noted_when_completed: dict[str, int] = {}

    def look(self, name: str) -> None:
        """One execution, as it stands: nothing that was seen may be gone or changed."""
        done = self._world.ctl("--json", "history", name, check=False)
        if done.returncode != 0:
            return  # the daemon is down: nothing was said
        events = json.loads(done.stdout)["events"]
        ids = [event["EventId"] for event in events]
        assert ids == list(range(1, len(ids) + 1)), f"{name}: history is not dense: {ids}"
        written = [json.dumps(event, sort_keys=True) for event in events]
        before = self._events.get(name, [])
        assert written[: len(before)] == before, f"{name}: what was acknowledged is gone"
        self._events[name] = written
        self._look_at_steps(name, events)

    def _look_at_steps(self, name: str, events: list[dict]) -> None:
        names = {e["Id"]: e["Name"] for e in events if e["EventType"] == "StepStarted"}
        completed = [names[e["Id"]] for e in events if e["EventType"] == "StepSucceeded"]
        assert len(completed) == len(set(completed)), f"{name}: a step completed twice"
        before = self._completed.get(name, set())
        assert before <= set(completed), f"{name}: a completed step is not complete any more"
        runs = Counter(self._world.noted())
        for step in completed:
            note = f"{name}:{step.removeprefix('step-')}"
            assert runs[note] >= 1, f"{name}: {step} is complete and never ran"
            # Once complete was seen, its body never runs again.
            seen = self._noted_when_completed.setdefault(note, runs[note])
            assert runs[note] == seen, f"{name}: {step} ran again after it was complete"
        self._completed[name] = set(completed)


def test_kill_9_loses_nothing_acknowledged(world: World) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    checker = Checker(world)
    daemon = world.start_daemon()
    workers = [world.start_worker("sequence", "--concurrency", "4") for _ in range(WORKERS)]
    wait_for("the workers", lambda: len(world.log_events("WORKER_REGISTERED")) >= WORKERS)
    names = [f"t{number}" for number in range(EXECUTIONS)]
    for name in names:
        world.start("sequence", name, {"key": name, "steps": STEPS, "wait_every": 4})
    kills = Counter()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        time.sleep(rng.uniform(0, 0.4))
        if rng.random() < 0.4:
            kills["daemon"] += 1
            daemon.kill()
            for name in rng.sample(names, 2):
                checker.look(name)
            daemon = world.start_daemon()
        else:
            kills["worker"] += 1
            victim = rng.randrange(WORKERS)
            workers[victim].kill()
            workers[victim] = world.start_worker("sequence", "--concurrency", "4")
        for name in rng.sample(names, 4):
            checker.look(name)
        finished = [n for n in names if world.show(n)["execution"]["Status"] != "RUNNING"]
        if len(finished) > EXECUTIONS // 2:
            more = f"t{len(names)}"
            names.append(more)
            world.start("sequence", more, {"key": more, "steps": STEPS, "wait_every": 4})
    for name in names:
        done = world.finish(name)
        assert done["Status"] == "SUCCEEDED", done
        assert json.loads(done["Result"]) == sum(range(STEPS))
        checker.look(name)
    world.daemon.terminate()
    check = world.check()
    assert check.returncode == 0, check.stdout + check.stderr
    print(f"{len(names)} executions survived {dict(kills)}")
    assert kills["daemon"] > 0
    assert kills["worker"] > 0
