"""An execution that one SDK begins, the other finishes: with the same history as if one of
them had done it all, and with no step run twice."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from conftest import system
from sdk import OFFICIAL
from service import OURS, Service, plain

HANDLERS = [
    "wait",
    "callback",
    "callback_wait",
    "retry",
    "condition",
    "child",
    "map_nested",
    "map_flat",
    "parallel",
]


PAIRS = [(OFFICIAL, OFFICIAL), (OFFICIAL, OURS), (OURS, OFFICIAL), (OURS, OURS)]


def run(service: Service, handler: str, first: str, second: str) -> tuple[list[Any], Any]:
    """Begun by one, finished by the other: the history, and the result."""
    beginner = service.serve(first)
    arn = service.start(handler, "the input")

    def suspended() -> bool:
        return any(event["EventType"] == "InvocationCompleted" for event in service.events(arn))

    system.wait_for("the suspension", suspended)
    beginner.terminate()
    service.serve(second)
    for event in service.events(arn):
        if event["EventType"] == "CallbackStarted":
            service.client.send_durable_execution_callback_success(
                CallbackId=event["CallbackStartedDetails"]["CallbackId"], Result=b"yes"
            )
    execution = service.finish(arn)
    assert execution["Status"] == "SUCCEEDED", execution
    return plain(service.events(arn)), json.loads(execution["Result"])


def switch(directory: Path, handler: str, first: str, second: str) -> tuple[list[Any], Any]:
    directory.mkdir()
    world = system.World(directory)
    try:
        found = run(Service(world, "switched", handler), handler, first, second)
    finally:
        world.close()
    notes = [line.split(":") for line in world.noted()]
    assert [sdk for sdk, when in notes if when == "before"] == [first]
    assert {sdk for sdk, when in notes if when == "after"} == {second}
    return found


@pytest.mark.parametrize("handler", HANDLERS)
def test_switch(tmp_path: Path, handler: str) -> None:
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(switch, tmp_path / str(number), handler, *pair)
            for number, pair in enumerate(PAIRS)
        ]
        expected, *others = [each.result() for each in runs]
    for pair, found in zip(PAIRS[1:], others, strict=True):
        assert found == expected, pair
