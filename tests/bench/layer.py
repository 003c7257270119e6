"""The extension in a sandbox, and beside AWS's own SDK.

    layer.py DURABLED [RUNS]

DURABLED is the program; `bash tests/run.sh lambda` gets AWS's Lambda Runtime Interface Emulator
and the Python packages. In the emulator: the time from exec to the answer to `register`, memory
with nothing to do, and what a step costs beside the call of AWS's API that it waits for. Then
the same handlers with our client and the extension, and with AWS's own SDK, in turns. The
service is `durabled dev` behind a proxy, which passes each call on after 15 ms and counts it.

Prints medians with the smallest and the largest; read the ratios.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.argv[1]).resolve()
RUNS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
# Where the system tests' stands are, and the programs that they use.
os.environ["DURABLED_BIN"] = str(PROGRAM.parent)
sys.path[:0] = [str(ROOT / "tests/system"), str(ROOT / "tests/system/lambda")]

from emulator import Emulator  # noqa: E402
from side_by_side import CASES, DELAY_S, OFFICIAL, OURS, Figures, Side  # noqa: E402

from conftest import World  # noqa: E402

STEPS = 200
INITS = 10

# Says when the program begins, and when each line of its comes.
LAUNCHER = """#!/bin/bash
exec 3>&2 2> >(while read -r line; do printf '%s %s\\n' "$EPOCHREALTIME" "$line" >&3; done)
printf '%s launched\\n' "$EPOCHREALTIME" >&3
exec -a "$0" {program}
"""


@contextmanager
def surroundings() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        try:
            yield world
        finally:
            world.close()


def moment(sandbox: Emulator, what: str) -> float:
    (line,) = sandbox.said(what)
    return float(line.split()[0])


def init_ms() -> float:
    with surroundings() as world:
        launcher = world.dir / "launcher"
        launcher.write_text(LAUNCHER.format(program=PROGRAM))
        launcher.chmod(0o755)
        world.notes.write_text("go\n")
        sandbox = Emulator(world, "handlers.stamp", durable=False, extension=launcher)
        assert sandbox.call("bill")[0]
        return 1e3 * (moment(sandbox, "EXTENSION_REGISTERED") - moment(sandbox, "launched"))


def descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield int(child)
            yield from descendants(int(child))


def anonymous_mib(sandbox: Emulator) -> float:
    """RssAnon of the extension."""
    for pid in descendants(sandbox.process.pid):
        status = Path(f"/proc/{pid}/status").read_text()
        if "Name:\tdurabled\n" in status:
            return int(re.findall(r"RssAnon:\s*(\d+)", status)[0]) / 1024
    raise LookupError("no extension in the sandbox")


def in_the_emulator() -> tuple[float, float, float]:
    """MiB before and after a session, and the milliseconds of a step beside its call."""
    with surroundings() as world:
        sandbox = Emulator(world, "either_sdk.steps", DURABLED_TEST_SDK=OURS)
        sandbox.between.delay_s = DELAY_S
        assert sandbox.run({"steps": 0})[0]
        idle = anonymous_mib(sandbox)
        before = len(sandbox.between.costs)
        good, seconds = sandbox.run({"steps": STEPS})
        calls = sandbox.between.costs[before:]
        assert good and len(calls) == STEPS
        beside_s = seconds - sum(cost.seconds for cost in calls)
        return idle, anonymous_mib(sandbox), 1e3 * beside_s / STEPS


def spread(values: list[float]) -> str:
    digits = 0 if min(values) >= 100 or all(value == int(value) for value in values) else 2
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def row(name: str, ours: list[float], theirs: list[float]) -> None:
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    print(f"  {name:12} {spread(ours):28} {spread(theirs):28} {spread(ratios)}")


def side_by_side() -> None:
    ours: dict[str, list[Figures]] = {case: [] for case in CASES}
    theirs: dict[str, list[Figures]] = {case: [] for case in CASES}
    with surroundings() as one, surroundings() as other:
        sides = [(Side(one, OURS, DELAY_S), ours), (Side(other, OFFICIAL, DELAY_S), theirs)]
        for side, _ in sides:
            for case in CASES:  # the processes start
                side.measure(case)
        for _ in range(RUNS):
            for case in CASES:
                for side, figures in sides:
                    figures[case].append(side.measure(case))
    print(f"\n{'':14} {'the extension':28} {'official SDK':28} ratio")
    for case in CASES:
        print(case)
        pairs = ours[case], theirs[case]
        row("API calls", *([float(each.calls) for each in found] for found in pairs))
        row("bytes sent", *([float(each.bytes) for each in found] for found in pairs))
        row("time, ms", *([1e3 * each.seconds for each in found] for found in pairs))


def main() -> None:
    print(f"exec to registered, ms: {spread([init_ms() for _ in range(INITS)])}")
    idle, after, beside = zip(*(in_the_emulator() for _ in range(RUNS)), strict=True)
    print(
        f"RssAnon, idle, MiB: {spread(list(idle))}; after {STEPS} steps: {spread(list(after))}"
    )
    print(f"a step beside its API call, ms: {spread(list(beside))}")
    side_by_side()


if __name__ == "__main__":
    main()
