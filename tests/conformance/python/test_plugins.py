"""Plugins are told by our client what the official SDK tells them: each hook of each
operation, in order, with every field."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from conftest import system
from sdk import OFFICIAL
from service import OURS, Service

HANDLERS = {
    "plugin_of_named_step": None,
    "plugin_of_named_attempts": None,
    "plugin_that_raises": "x",
    "plugin_and_plugin": "x",
    "plugin_beside_faulty": "x",
    "plugin_of_invocations": "x",
    "plugin_of_child": "x",
    "plugin_of_branches": None,
    "plugin_of_replay": None,
    "plugin_of_outcomes": None,
    "plugin_of_exhaustion": None,
    "plugin_of_pending_wait": None,
    "plugin_of_contexts": None,
}

Told = dict[tuple[str, str | None], list[Any]]


def told(lines: list[dict[str, Any]]) -> Told:
    """What each plugin was told of each operation, without times and the service's ids.

    Changes come on a thread of their own, merged as it finds them: of these, how each
    operation ended.
    """
    of: Told = defaultdict(list)
    for line in lines:
        if line.get("type") == "EXECUTION":
            line = {**line, "op": "execution", "id": "execution", "name": "name" in line}
        plain = {
            key: bool(value) if key.endswith("Timestamp") or key == "requestId" else value
            for key, value in line.items()
            if not key.endswith("xecutionArn")
        }
        if line["hook"] == "operation-change":
            if line.get("endTimestamp") is None:
                continue
            del plain["operationsCount"], plain["updatedOperationsCount"]
        changed = "change" if line["hook"] == "operation-change" else line.get("op")
        of[line["plugin"], changed].append(plain)
    for (_, key), records in of.items():
        if key == "change":
            records.sort(key=lambda record: record["op"])
    return dict(of)


def run(directory: Path, package: str) -> dict[str, Told]:
    directory.mkdir()
    world = system.World(directory)
    try:
        service = Service(world, "plugins", *HANDLERS)
        service.serve(package)
        arns = {
            handler: service.start(handler, payload) for handler, payload in HANDLERS.items()
        }
        for arn in arns.values():
            service.finish(arn)
        lines = [
            json.loads(line)
            for line in service.lines.read_text().splitlines()
            if line.startswith('{"plugin"')
        ]
    finally:
        world.close()
    return {
        handler: told([line for line in lines if line["durableExecutionArn"] == arn])
        for handler, arn in arns.items()
    }


def test_plugins_are_told_the_same(tmp_path: Path) -> None:
    theirs = run(tmp_path / "theirs", OFFICIAL)
    ours = run(tmp_path / "ours", OURS)
    for handler, expected in theirs.items():
        assert len(expected) > 1, handler
        assert ours[handler] == expected, handler
