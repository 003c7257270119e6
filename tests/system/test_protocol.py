"""The daemon against proto/protocol.toml: every method with every parameter wrong, every
answer as it is declared, and the example of the reference page as it was exchanged."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
from peer import Peer

from conftest import BIN, World, wait_for

PROTO = Path(__file__).parents[2] / "proto"
PROTOCOL = tomllib.loads((PROTO / "protocol.toml").read_text())
METHODS = {method["name"]: method for method in PROTOCOL["method"]}
SHAPES: dict[str, dict[str, str]] = PROTOCOL["shape"]
WORDS: dict[str, list[str]] = {
    **PROTOCOL["words"],
    "Profile": [profile["name"] for profile in PROTOCOL["profile"]],
}
SAMPLES: dict[str, Any] = {
    "str": "x",
    "payload": "x",
    "int": 1,
    "float": 0.5,
    "bool": True,
    "map": {},
}


def types(members: dict[str, str]) -> dict[str, str]:
    return {name: text.partition(" ")[0] for name, text in members.items()}


def right(kind: str) -> Any:
    """A value of that type, as small as it can be."""
    kind = kind.removesuffix("?")
    if kind.startswith("["):
        return [right(kind[1:-1])]
    if kind in SHAPES:
        required = {k: t for k, t in types(SHAPES[kind]).items() if not t.endswith("?")}
        return {name: right(its) for name, its in required.items()}
    return WORDS[kind][0] if kind in WORDS else SAMPLES[kind]


def wrong(kind: str) -> Iterator[Any]:
    """Values that are not of that type."""
    optional, kind = kind.endswith("?"), kind.removesuffix("?")
    if not optional:
        yield None
    if kind.startswith("["):
        yield "x"
        for element in wrong(kind[1:-1]):
            yield [element]
    elif kind in SHAPES:
        yield "x"
        for name, its in types(SHAPES[kind]).items():
            for value in wrong(its):
                yield {**right(kind), name: value}
    elif kind in WORDS:
        yield from (7, "no such word")
    else:
        yield 7 if isinstance(SAMPLES[kind], (str, bool, dict)) else "x"


def assert_is(value: Any, kind: str, at: str) -> None:
    if kind.endswith("?"):
        if value is None:
            return
        kind = kind[:-1]
    if kind.startswith("["):
        assert isinstance(value, list), at
        for n, element in enumerate(value):
            assert_is(element, kind[1:-1], f"{at}[{n}]")
    elif kind in SHAPES:
        extra = {f"{value.get('EventType')}Details"} if kind == "Event" else set()
        assert_has(value, SHAPES[kind], at, extra)
    elif kind in WORDS:
        assert value in WORDS[kind], (at, value)
    else:
        assert type(value) is type(SAMPLES[kind]), (at, value)


def assert_has(value: Any, members: dict[str, str], at: str, extra: set[str]) -> None:
    assert isinstance(value, dict), at
    assert set(value) <= {*members, *extra}, (at, value)
    for name, kind in types(members).items():
        assert_is(value.get(name), kind, f"{at}.{name}")


class Strict(Peer):
    """Makes each call first with every parameter wrong in every way, then as it should be
    with one that no level knows."""

    def __init__(self, world: World, called: set[str]) -> None:
        super().__init__(world)
        self.called = called

    def begin(self, method: str, **params: Any) -> int:
        for name, kind in types(METHODS[method]["params"]).items():
            for value in wrong(kind):
                error, _ = self.call(method, {**params, name: value})
                assert error, (method, name, value)
                assert error["code"] == "Protocol.InvalidParams", (method, name, value, error)
                assert error["field"] == name, (method, name, value, error)
        self.called.add(method)
        return self.post(method, {**params, "of_level_99": [1]})

    def end(self, method: str, number: int) -> Any:
        error, result = self.answer(number)
        assert error is None, (method, error)
        assert_has(result, METHODS[method]["result"], method, set())
        return result

    def ask(self, method: str, **params: Any) -> Any:
        return self.end(method, self.begin(method, **params))

    def note(self, method: str, **params: Any) -> None:
        """Wrong ones are dropped."""
        for name, kind in types(METHODS[method]["params"]).items():
            for value in wrong(kind):
                self.send(msgpack.packb([2, method, [{**params, name: value}]]))
        self.called.add(method)
        self.send(msgpack.packb([2, method, [{**params, "of_level_99": [1]}]]))


RETRY = {
    "max_attempts": 2,
    "backoff": "exponential",
    "jitter": "NONE",
    "initial_delay_s": 1,
    "max_delay_s": 1,
}
FAILURE = {"ErrorType": "OSError", "ErrorMessage": "no stock", "StackTrace": ["line 1"]}


def begin(peer: Strict) -> tuple[str, Any]:
    invocation = peer.ask("worker.next")["invocation"]
    begun = peer.ask(
        "session.begin",
        event=invocation["event"],
        profile="python",
        request_id=invocation["request_id"],
    )
    return invocation["request_id"], begun


def first_invocation(peer: Strict, other: Strict) -> None:
    """A step that is tried again, one that is decided about, a strand that waits."""
    request_id, begun = begin(peer)
    session = begun["session"]
    assert other.ask("session.join", key=begun["key"])["session"] == session
    window = peer.ask("session.operations", session=session)
    assert window == {"operations": [], "more": False, "gaps": False}

    def start(operation: int, context: int, position: int, **params: Any) -> str:
        its = {"operation": operation, "context": context, "position": position, **params}
        return str(peer.ask("session.start", session=session, **its)["outcome"])

    assert start(1, 0, 1, type="STEP", sub_type="Step", name="again", retry=RETRY) == "run"
    failed = {"session": session, "operation": 1, "error": FAILURE}
    assert peer.ask("session.fail", **failed)["outcome"] == "pending"
    assert start(2, 0, 2, type="STEP", sub_type="Step", name="asked", ask=True) == "run"
    failed["operation"] = 2
    assert peer.ask("session.fail", **failed)["outcome"] == "decide"
    decided = peer.ask("session.decide", session=session, operation=2, delay_s=0)
    assert (decided["outcome"], decided["status"]) == ("done", "FAILED")
    assert start(3, 0, 3, type="CONTEXT", sub_type="RunInChildContext", strand=True) == "run"
    assert start(4, 3, 1, type="WAIT", sub_type="Wait", seconds=1) == "pending"
    peer.note("session.log", session=session, time_ms=1, level="INFO", message="once")
    main = peer.begin("session.await", session=session, context=0, operations=[1, 3])
    strand = peer.begin("session.await", session=session, context=3, operations=[4])
    assert peer.end("session.await", main)["outcome"] == "unwind"
    assert peer.end("session.await", strand)["outcome"] == "unwind"
    peer.ask("session.unwound", session=session, operation=3)
    ended = peer.ask("session.end", session=session, unwound=True)
    peer.ask("worker.respond", request_id=request_id, output=ended["output"])


def last_invocation(peer: Strict) -> None:
    request_id, begun = begin(peer)
    session = begun["session"]
    assert begun["operations"]
    peer.ask("session.start", session=session, operation=1, context=0, position=1, type="STEP",
             sub_type="Step", name="again", retry=RETRY)  # fmt: skip
    done = peer.ask("session.succeed", session=session, operation=1, payload='"stock"')
    assert done["outcome"] == "done"
    ended = peer.ask("session.end", session=session, payload='"all"')
    peer.ask("worker.respond", request_id=request_id, output=ended["output"])


def outside_and_batches(peer: Strict) -> None:
    """Callbacks, a step that polls, and a batch of one branch."""
    request_id, begun = begin(peer)
    session = begun["session"]
    place = {"session": session, "context": 0}
    ids = [
        peer.ask("session.start", **place, operation=n, position=n, type="CALLBACK",
                 sub_type="Callback", timeout_s=60, heartbeat_timeout_s=30)["callback_id"]
        for n in (1, 2)
    ]  # fmt: skip
    peer.ask("callback.heartbeat", callback=ids[0])
    peer.ask("callback.succeed", callback=ids[0], payload='"yes"')
    peer.ask("callback.fail", callback=ids[1], error=FAILURE)
    peer.ask("session.start", **place, operation=3, position=3, type="STEP",
             sub_type="WaitForCondition")  # fmt: skip
    again = peer.ask("session.retry", session=session, operation=3, payload="1", delay_s=1)
    assert (again["outcome"], again["attempt"]) == ("pending", 1)
    batch = {"total": 1, "sub_type": "MapIteration"}
    peer.ask("session.start", **place, operation=4, position=4, type="CONTEXT", sub_type="Map",
             batch=batch)  # fmt: skip
    assert peer.ask("session.batch", session=session, operation=4)["branches"] == [0]
    peer.ask("session.start", session=session, context=4, operation=5, position=0,
             type="CONTEXT", sub_type="MapIteration", strand=True)  # fmt: skip
    peer.ask("session.succeed", session=session, operation=5, payload="1")
    ready = peer.ask("session.batch", session=session, operation=4)
    assert (ready["outcome"], ready["reason"], ready["items"]) == (
        "ready", "ALL_COMPLETED", "S")  # fmt: skip
    peer.ask("session.succeed", session=session, operation=4, payload="[1]")
    ended = peer.ask("session.end", session=session, payload="1")
    peer.ask("worker.respond", request_id=request_id, output=ended["output"])


def test_every_method_is_what_the_protocol_says(world: World) -> None:
    world.start_daemon()
    called: set[str] = set()
    peer, other = Strict(world, called), Strict(world, called)
    for one in (peer, other):
        one.ask("hello", level=PROTOCOL["level"], client="test")
    peer.ask("worker.register", functions=[{"name": "f"}], concurrency=1, instance="i")
    started = peer.ask("execution.start", function="f", name="a", payload='{"n": 1}')
    first_invocation(peer, other)
    last_invocation(peer)
    waited = peer.ask("execution.wait", execution="a")
    assert waited == {"arn": started["arn"], "status": "SUCCEEDED", "result": '"all"'}
    assert len(peer.ask("execution.logs", execution="a")["lines"]) == 1

    peer.ask("execution.start", function="f", name="b")
    invocation = peer.ask("worker.next")["invocation"]
    peer.ask("worker.fail", request_id=invocation["request_id"], error=FAILURE)
    described = peer.ask("execution.describe", execution="b")
    assert described["standing"]["state"] == "retry"
    peer.ask("execution.start", function="f", name="c")
    invocation = peer.ask("worker.next")["invocation"]
    peer.ask("worker.release", request_ids=[invocation["request_id"]])
    assert peer.ask("execution.stop", execution="c", error=FAILURE)["status"] == "STOPPED"

    peer.ask("execution.start", function="f", name="d")
    outside_and_batches(peer)

    for name in "abcd":
        peer.ask("execution.describe", execution=name)
        peer.ask("execution.history", execution=name)
    assert len(peer.ask("execution.list")["executions"]) == 4
    peer.ask("function.list")
    peer.ask("daemon.status")
    peer.ask("daemon.log_level", set="INFO")
    peer.ask("worker.drain")
    # Of an extension: test_wrap.py.
    error, _ = peer.answer(peer.begin("daemon.runtime_api", api="127.0.0.1:9001"))
    assert error["code"] == "Protocol.UnknownMethod"
    assert called == set(METHODS)


def test_long_log_line_is_cut_between_characters(world: World) -> None:
    world.start_daemon()
    peer = Strict(world, set())
    peer.ask("hello", level=1, client="test")
    peer.ask("worker.register", functions=[{"name": "f"}], concurrency=1, instance="i")
    peer.ask("execution.start", function="f", name="a")
    _, begun = begin(peer)
    line = {"session": begun["session"], "time_ms": 1, "level": "INFO", "fields": {"k": "v"}}
    for odd in range(16):
        line["message"] = "x" * odd + "é" * 20_000
        peer.send(msgpack.packb([2, "session.log", [line]]))
    line["fields"] = {"k": "v" * 20_000}
    peer.send(msgpack.packb([2, "session.log", [line]]))
    *whole, last = peer.ask("execution.logs", execution="a")["lines"]
    assert len(whole) == 16 and last["fields"] == {}
    assert all(kept["fields"] == {"k": "v"} for kept in whole)
    for kept in (*whole, last):
        assert kept["message"].strip("x").strip("é") == ""
        assert 16_200 < len(kept["message"].encode()) < 16_384


def test_older_clients_beside_a_newer_daemon(world: World) -> None:
    """A daemon one level on, where daemon.log_level is new: a client of this level is told
    that there is none, and works with all else."""
    level = PROTOCOL["level"]
    world.program = BIN.parent / "tests/system/durabled_next"
    world.start_daemon()
    older, newer = Peer(world), Peer(world)
    _, answer = older.call("hello", {"level": level, "client": "test"})
    assert answer["level"] == level + 1
    error, _ = older.call("daemon.log_level", {})
    assert error["code"] == "Protocol.UnknownMethod"
    assert newer.call("hello", {"level": level + 5, "client": "test"})[0] is None
    assert newer.call("daemon.log_level", {})[1] == {"log_level": "INFO"}
    world.start_worker("order")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("order", "a", {"order": "1"})
    assert world.finish("a")["Status"] == "SUCCEEDED"


# -- the example of the page ---------------------------------------------------------

# What differs from run to run: of the daemon's answers, by the name of the member.
OWN = {"version", "pid", "arn", "request_id", "event", "key", "due_ms"}
OWN |= {"start_ms", "updated", "StartTimestamp", "EndTimestamp", "ScheduledEndTimestamp"}


class Example:
    def __init__(self) -> None:
        self.now: dict[Any, Any] = {}  # what the example has, to what this run has

    def translate(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.translate(its) for name, its in value.items()}
        if isinstance(value, list):
            return [self.translate(its) for its in value]
        return self.now.get(value, value) if isinstance(value, str) else value

    def compare(self, told: Any, real: Any, at: str = "") -> None:
        if at in OWN:
            assert type(told) is type(real), at
            if isinstance(told, str):
                self.now[told] = real
        elif isinstance(told, dict):
            assert list(told) == list(real), at
            for name, its in told.items():
                self.compare(its, real[name], name)
        elif isinstance(told, list):
            for its, its_real in zip(told, real, strict=True):
                self.compare(its, its_real, at)
        else:
            assert told == real, at


def test_example_of_the_page_is_what_is_exchanged(world: World) -> None:
    world.start_daemon()
    peer, example = Peer(world), Example()
    for line in (PROTO / "example.jsonl").read_text().splitlines():
        ((side, message),) = json.loads(line).items()
        if side == "client":
            peer.send(msgpack.packb(example.translate(message)))
        elif side == "daemon":
            example.compare(message, peer.receive())
