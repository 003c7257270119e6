"""Levels of the protocol: a client of level 1, made of the bytes alone, against the daemon
as it is; and a client of a later level."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from peer import Peer

from conftest import World

PROTOCOL = tomllib.loads((Path(__file__).parents[2] / "proto/protocol.toml").read_text())


class RefusedError(Exception):
    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.error = error


class Stub:
    """`level` is what it says it speaks; `more` goes with the parameters of every call."""

    def __init__(self, world: World, level: int, **more: Any) -> None:
        self._peer = Peer(world)
        self._more = more
        self.peer = self.call("hello", level=level, client="stub")

    def __enter__(self) -> Stub:
        return self

    def __exit__(self, *_: object) -> None:
        self._peer.socket.close()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        error, result = self._peer.call(method, {**params, **self._more})
        if error is not None:
            raise RefusedError(error)
        return dict(result)


def begin(stub: Stub) -> tuple[str, int, list[dict[str, Any]]]:
    """Takes the next invocation: its request id, its session, what is recorded."""
    invocation = stub.call("worker.next")["invocation"]
    begun = stub.call(
        "session.begin",
        event=invocation["event"],
        profile="c",
        request_id=invocation["request_id"],
    )
    assert begun["input"] == '{"n": 1}' and not begun["gaps"] and not begun["more"]
    return invocation["request_id"], begun["session"], begun["operations"]


def end(stub: Stub, request_id: str, session: int, **outcome: Any) -> None:
    output = stub.call("session.end", session=session, **outcome)["output"]
    stub.call("worker.respond", request_id=request_id, output=output)


def run_step_and_wait(world: World, stub: Stub) -> None:
    """An execution from its start to its end, over two invocations."""
    stub.call("worker.register", functions=[{"name": "f"}], concurrency=1, instance="stub")
    world.start("f", "a", {"n": 1})

    request_id, session, recorded = begin(stub)
    assert recorded == []
    place = {"session": session, "context": 0}
    step = {"operation": 1, "position": 1, "type": "STEP", "sub_type": "Step", "name": "add"}
    started = stub.call("session.start", **place, **step)
    assert (started["outcome"], started["attempt"]) == ("run", 1)
    done = stub.call("session.succeed", session=session, operation=1, payload="41")
    assert (done["outcome"], done["status"]) == ("done", "SUCCEEDED")
    wait = {"operation": 2, "position": 2, "type": "WAIT", "sub_type": "Wait", "name": "cool"}
    started = stub.call("session.start", **place, **wait, seconds=1)
    assert started["outcome"] == "pending"
    assert stub.call("session.await", **place, operations=[2])["outcome"] == "unwind"
    end(stub, request_id, session, unwound=True)

    request_id, session, recorded = begin(stub)
    assert [entry["position"] for entry in recorded] == [1, 2]
    add, cool = (entry["operation"] for entry in recorded)
    assert (add["Name"], add["Status"], add["StepDetails"]["Result"]) == (
        "add",
        "SUCCEEDED",
        "41",
    )
    assert (cool["Name"], cool["Status"]) == ("cool", "SUCCEEDED")
    end(stub, request_id, session, payload="42")

    assert json.loads(world.finish("a")["Result"]) == 42
    assert world.story("a") == "X S S+ W I W+ I X+"


def test_client_of_level_1_runs_an_execution(world: World) -> None:
    world.start_daemon()
    with Stub(world, level=1) as stub:
        assert stub.peer["level"] == PROTOCOL["level"]
        run_step_and_wait(world, stub)


def test_client_of_a_later_level_works_at_the_daemons(world: World) -> None:
    world.start_daemon()
    with Stub(world, level=99, novelty={"deep": [1, {"deeper": None}]}) as stub:
        assert stub.peer["level"] == PROTOCOL["level"]
        with pytest.raises(RefusedError) as refused:
            stub.call("session.novelty", session=1)
        assert refused.value.error["code"] == "Protocol.UnknownMethod"
        run_step_and_wait(world, stub)
