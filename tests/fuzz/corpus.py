"""Writes the corpus that is made by hand: `build/venv/bin/python tests/fuzz/corpus.py`.

A file is named for what it holds. What a target found itself (a minimised input that broke
it once) lies beside these and is left alone.
"""

from __future__ import annotations

import json
import struct
import uuid
from pathlib import Path
from typing import Any

import msgpack

CORPUS = Path(__file__).parent / "corpus"

ERROR = {"ErrorType": "E", "ErrorMessage": "m", "ErrorData": "d", "StackTrace": ["a", "b"]}
RETRY = {
    "max_attempts": 3,
    "backoff": "exponential",
    "jitter": "FULL",
    "initial_delay_s": 1.0,
    "max_delay_s": 60,
    "rate": 2.0,
}


def write(target: str, files: dict[str, bytes]) -> None:
    directory = CORPUS / target
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        assert len(content) < 4096, (target, name, len(content))
        (directory / name).write_bytes(content)


def pack(*values: Any) -> bytes:
    return b"".join(msgpack.packb(value) for value in values)


def call(number: int, method: str, **params: Any) -> list[Any]:
    return [0, number, method, [params]]


# --- frame: bytes from a peer -----------------------------------------------------------

START = {"session": 1, "operation": 1, "context": 0, "position": 1}

FRAMES = {
    "hello": pack(call(1, "hello", level=1, client="fuzz")),
    "two-messages": pack(call(1, "hello", level=1, client="x"), call(2, "worker.next")),
    "notification": pack(
        [2, "session.log", [{"session": 1, "time_ms": 1, "level": "INFO", "message": "m"}]]
    ),
    "log-with-fields": pack(
        [2, "session.log", [{"session": 1, "fields": {"a": [1, -1, 0.5, None, True, b"b"]}}]]
    ),
    "begin": pack(
        call(1, "session.begin", event="{}", profile="c", request_id="r", deadline_ms=1)
    ),
    "start-step": pack(
        call(
            1,
            "session.start",
            **START,
            type="STEP",
            sub_type="Step",
            name="s",
            semantics="AT_MOST_ONCE_PER_RETRY",
            retry=RETRY,
        )
    ),
    "start-step-linear": pack(
        call(
            1,
            "session.start",
            **START,
            type="STEP",
            ask=True,
            retry={**RETRY, "backoff": "linear", "increment_s": 1.5},
        )
    ),
    "start-wait": pack(call(1, "session.start", **START, type="WAIT", seconds=5)),
    "start-context": pack(
        call(1, "session.start", **START, type="CONTEXT", virtual=True, strand=True)
    ),
    "await": pack(call(1, "session.await", session=1, context=0, operations=[1, 2], any=True)),
    "succeed": pack(
        call(1, "session.succeed", operation=1, payload="1", summary="s", replay_children=True)
    ),
    "fail": pack(
        call(
            1,
            "session.fail",
            operation=1,
            error=ERROR,
            retryable=False,
            delay_s=7,
            final=True,
        )
    ),
    "decide": pack(call(1, "session.decide", operation=1, delay_s=0)),
    "end": pack(
        call(1, "session.end", payload="{}", error=ERROR, unwound=True, invocation=True)
    ),
    "wrong-types": pack(call(1, "session.start", operation="1", context=-1, position=2**40)),
    "not-utf8": pack([0, 1, "session.end", [{"payload": "X"}]]).replace(b"X", b"\xff"),
    "not-finite": pack(
        call(1, "session.start", **START, type="STEP", retry={**RETRY, "rate": float("inf")})
    ),
    "integers": pack(
        [0, 2**64 - 1, "m", [{"a": [2**63, -(2**63), 2**32, 2**16, 2**8, -33, -129]}]]
    ),
    "params-no-map": pack([0, 1, "hello", [1]], [0, 1, "hello", []], [0, 1, "hello", [{}, {}]]),
    "no-request": pack([1, 1, None, {}], [0, 1], [], {}, "x", 3),
    "float32": b"\x94\x00\x01\xa1m\x91\x81\xafinitial_delay_s\xca\x3f\x80\x00\x00",
    "longer-lengths-than-needed": b"\xdd\x00\x00\x00\x04\x00\x01\xdb\x00\x00\x00\x01m"
    b"\xdc\x00\x01\xdf\x00\x00\x00\x01\xda\x00\x01a\xc6\x00\x00\x00\x01b",
    "deepest": b"\x91" * 15 + b"\xc0",
    "too-deep": b"\x91" * 17 + b"\xc0",
    "too-many-items": b"\xdd\x00\x01\x00\x01",
    "too-large": b"\xdb\x00\x80\x00\x01",
    "map-of-4-billion": b"\xdf\xff\xff\xff\xff",
    "extension": b"\xd4\x01\x00",
    "never-used": b"\xc1",
    "cut-short": pack(call(1, "hello", level=1, client="fuzz"))[:-3],
}

# --- record: what stands behind version and checksum -------------------------------------

ID = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057").bytes
NOW = 1_700_000_000_000


def head(status: int = 1, work: int = 0, name: str = "order-1", records: int = 1) -> list[Any]:
    return [ID, "order", name, status, work, NOW, NOW + 5000, NOW, 0, 3, records, NOW + 4000]


def record(*facts: dict[int, Any], number: int = 0) -> bytes:
    return pack([head(), number, list(facts)])


def fact(kind: int, **members: Any) -> dict[int, Any]:
    keys = {
        "id": 3,
        "parent_id": 4,
        "name": 5,
        "sub_type": 6,
        "payload": 7,
        "error": 8,
        "function": 9,
        "request_id": 10,
        "worker": 11,
        "client_token": 12,
        "start_ms": 13,
        "due_ms": 14,
        "delay_s": 15,
        "execution_timeout_s": 16,
        "retention_s": 17,
        "attempt": 18,
        "invocation": 19,
        "token_seq": 20,
        "replay_children": 21,
        "event_id": 22,
        "type": 23,
    }
    return {1: kind, 2: NOW, **{keys[name]: value for name, value in members.items()}}


RECORDS = {
    "started": record(
        fact(
            1,
            id="e",
            name="order-1",
            payload='{"order": 1}',
            function="order",
            execution_timeout_s=31622400,
            retention_s=2592000,
            event_id=1,
        )
    ),
    "invoked": record(fact(60, request_id="r", worker="pid 1", invocation=1), number=1),
    "steps": record(
        fact(20, id="s", parent_id="c", name="n", sub_type="Step", type=3, event_id=2),
        fact(21, id="s", payload="1", attempt=1, type=3, event_id=3),
        fact(63, token_seq=2, client_token="t"),
        number=2,
    ),
    "step-failed": record(
        fact(
            22,
            id="s",
            error=["m", "E", None, ["a", "b"]],
            attempt=1,
            delay_s=2,
            due_ms=NOW + 2000,
            type=3,
            event_id=4,
        ),
        fact(23, id="s", type=3),
    ),
    "context": record(
        fact(10, id="c", type=2, event_id=2),
        fact(11, id="c", payload="big", replay_children=True, type=2, event_id=3),
        fact(12, id="d", error=[None, None, None, None], type=2, event_id=4),
    ),
    "wait": record(
        fact(30, id="w", delay_s=5, due_ms=NOW + 5000, type=4, event_id=2),
        fact(31, id="w", delay_s=5, type=4, event_id=3),
        fact(32, id="v", type=4, event_id=4),
    ),
    "ended": record(
        fact(61, request_id="r", start_ms=NOW, event_id=5),
        fact(2, payload="{}", event_id=6),
    ),
    "ended-badly": record(
        fact(3, error=["m", "E", "d", []], event_id=2), fact(4), fact(5), fact(62), fact(64)
    ),
    "no-facts": record(),
    "unknown-fact": record(fact(99)),
    "unknown-member": record({1: 1, 2: NOW, 99: 1}),
    "no-kind": record({2: NOW}),
    "wrong-type": record({1: 1, 2: "now"}),
    "negative": record({1: 1, 2: -1, 18: -1}),
    "two-texts-for-one-member": record({1: 1, 2: NOW, 3: "a"}).replace(
        b"\x83\x01\x01", b"\x84\x01\x01\x03\xa1b"
    ),
    "two-errors-for-one-member": record(fact(3, error=["m", "E", "d", ["s"]]))
    .replace(b"\x08\x94", b"\x08\x94\xa1m\xa1E\xa1d\x91\xa1s\x08\x94")
    .replace(b"\x83\x01\x03", b"\x84\x01\x03"),
    "head-running": pack(head()),
    "head-queued": pack(head(work=1)),
    "head-closed": pack(head(status=2, records=9)),
    "head-status-unknown": pack(head(status=6)),
    "head-without-name": pack([ID, "order", None, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
    "head-without-until": pack(head()[:-1]),
    "head-short": pack(head()[:-2]),
    "head-long": pack([*head(), 0]),
    "array-of-nothing": pack([]),
    "facts-without-end": pack([head(), 0, None])[:-1] + b"\xdd\xff\xff\xff\xff",
    "stack-without-end": record(fact(3, error=["m", "E", "d", None]))[:-1]
    + b"\xdd\xff\xff\xff\xff",
    "extra-bytes": record() + b"\xc0",
}

# --- json: outputs and events ------------------------------------------------------------

OPERATIONS: list[dict[str, Any]] = [
    {
        "Id": "e",
        "Type": "EXECUTION",
        "Status": "STARTED",
        "StartTimestamp": NOW,
        "ExecutionDetails": {"InputPayload": "{}"},
    },
    {
        "Id": "s",
        "ParentId": "c",
        "Name": "n",
        "SubType": "Step",
        "Type": "STEP",
        "Status": "PENDING",
        "StepDetails": {"Attempt": 1, "NextAttemptTimestamp": NOW, "Error": ERROR},
    },
    {
        "Id": "c",
        "Type": "CONTEXT",
        "Status": "SUCCEEDED",
        "EndTimestamp": NOW,
        "ContextDetails": {"Result": "1", "ReplayChildren": True},
    },
    {
        "Id": "w",
        "Type": "WAIT",
        "Status": "STARTED",
        "WaitDetails": {"ScheduledEndTimestamp": NOW},
    },
    {
        "Id": "b",
        "Type": "CALLBACK",
        "Status": "TIMED_OUT",
        "CallbackDetails": {"CallbackId": "x"},
    },
    {"Id": "i", "Type": "CHAINED_INVOKE", "Status": "STOPPED", "ChainedInvokeDetails": {}},
]


def event(**members: Any) -> bytes:
    return json.dumps(
        {
            "DurableExecutionArn": "arn:x",
            "CheckpointToken": "t",
            "InitialExecutionState": {"Operations": [], "NextMarker": "m"},
            **members,
        }
    ).encode()


JSON = {
    "succeeded": b'{"Status":"SUCCEEDED","Result":"{\\"a\\": 1}"}',
    "failed": json.dumps({"Status": "FAILED", "Error": ERROR}).encode(),
    "failed-empty-error": b'{"Status":"FAILED","Error":{}}',
    "failed-mixed-stack": b'{"Status":"FAILED","Error":{"StackTrace":[1,"a",null]}}',
    "pending": b'{"Status":"PENDING"}',
    "result-null": b'{"Status":"SUCCEEDED","Result":null}',
    "result-number": b'{"Status":"SUCCEEDED","Result":7}',
    "result-with-nul": b'{"Status":"SUCCEEDED","Result":"a\\u0000b"}',
    "result-surrogates": b'{"Status":"SUCCEEDED","Result":"\\ud83d\\ude00"}',
    "result-lone-surrogate": b'{"Status":"SUCCEEDED","Result":"\\ud83d"}',
    "result-not-utf8": b'{"Status":"SUCCEEDED","Result":"\xff"}',
    "status-unknown": b'{"Status":"DONE"}',
    "status-with-nul": b'{"Status":"PENDING\\u0000"}',
    "no-object": b"[]",
    "text": b'"x"',
    "twice": b'{"Status":"PENDING","Status":"FAILED"}',
    "number-too-large": b'{"Status":1e999}',
    "nested": b"[" * 100 + b"]" * 100,
    "empty": b"",
    "event": event(),
    "event-operations": event(
        InitialExecutionState={"Operations": OPERATIONS}, UpdatedOperationIds=["s"]
    ),
    "event-no-token": b'{"DurableExecutionArn":"arn:x"}',
    "event-state-damaged": event(InitialExecutionState={"Operations": {}}),
    "event-operation-damaged": event(InitialExecutionState={"Operations": [{"Id": "s"}, 1]}),
    "event-operation-type-unknown": event(
        InitialExecutionState={"Operations": [{"Id": "s", "Type": "X", "Status": "STARTED"}]}
    ),
    "event-details-wrong": event(
        InitialExecutionState={
            "Operations": [
                {"Id": "s", "Type": "STEP", "Status": "READY", "StepDetails": {"Attempt": -1}}
            ]
        }
    ),
    "event-attempt-huge": event(
        InitialExecutionState={
            "Operations": [
                {
                    "Id": "s",
                    "Type": "STEP",
                    "Status": "READY",
                    "StepDetails": {"Attempt": 2**62},
                }
            ]
        }
    ),
}

# --- peer: scripts of world.h ------------------------------------------------------------

OTHER, DIE, LOSE, CRASH, FAIL, FULL, ROOM, STOP = range(-1, -9, -1)
HELLO = call(1, "hello", level=1, client="fuzz")
REGISTER = call(
    2,
    "worker.register",
    functions=[
        {"name": "order", "timeout_s": 900, "execution_timeout_s": 86400, "retention_days": 3}
    ],
    concurrency=2,
    instance="w",
)
SERVE = [HELLO, REGISTER, call(3, "worker.next")]
STARTED = call(4, "execution.start", function="order", name="order-1", payload="{}")
BEGIN = call(5, "session.begin", event="$event", profile="c", request_id="$request_id")
RESPOND = call(
    9, "worker.respond", request_id="$request_id", output='{"Status":"SUCCEEDED","Result":"1"}'
)
PENDING = call(9, "worker.respond", request_id="$request_id", output='{"Status":"PENDING"}')


def session(number: int, method: str, **params: Any) -> list[Any]:
    return call(number, f"session.{method}", session="$session", **params)


def start(handle: int, kind: str, context: int = 0, **params: Any) -> list[Any]:
    return session(
        20, "start", operation=handle, context=context, position=handle, type=kind, **params
    )


BEGUN = [*SERVE, STARTED, BEGIN]
STEP = [start(1, "STEP", name="s"), session(7, "succeed", operation=1, payload="1")]
END = [session(8, "end", payload="1"), RESPOND]
UNWOUND = [session(8, "end", unwound=True), PENDING]
ASK = [
    call(30, "execution.describe", execution="$arn", data=True),
    call(31, "execution.history", execution="order-1", data=True, items_max=3),
    call(32, "execution.history", execution="-", after_event=2),
    call(33, "execution.list", function="order", status="RUNNING", waiting=True, items_max=1),
    call(34, "execution.list", marker="$marker", since_ms=1),
    call(35, "execution.logs", execution="-", after=0),
    call(36, "function.list"),
    call(37, "daemon.status"),
    call(38, "daemon.log_level", set="INFO"),
    call(39, "execution.wait", execution="-", timeout_ms=0),
]


def log(message: str = "m", level: str = "INFO", **fields: Any) -> list[Any]:
    line = {"session": "$session", "time_ms": NOW, "level": level, "message": message}
    return [2, "session.log", [{**line, "fields": fields}]]


LOG = log(a=1)
DAY = 86_400_000

PEERS = {
    "hello": pack(HELLO),
    "no-hello": pack(STARTED),
    "unknown-function": pack(HELLO, STARTED),
    "order": pack(*BEGUN, LOG, *STEP, *END, *ASK),
    "order-waits": pack(
        *BEGUN,
        *STEP,
        start(2, "WAIT", seconds=5, name="w"),
        session(7, "await", context=0, operations=[2]),
        *UNWOUND,
        call(3, "worker.next"),
        4999,
        1,
        BEGIN,
        start(1, "STEP", name="s"),
        start(2, "WAIT", seconds=5, name="w"),
        *END,
    ),
    "step-retries": pack(
        *BEGUN,
        start(1, "STEP", name="s", retry=RETRY, semantics="AT_MOST_ONCE_PER_RETRY"),
        session(7, "fail", operation=1, error=ERROR),
        session(8, "await", context=0, operations=[1]),
        120_000,
        session(7, "fail", operation=1, error=ERROR, final=True),
        *END,
    ),
    "step-asks": pack(
        *BEGUN,
        start(1, "STEP", ask=True),
        session(7, "fail", operation=1, error=ERROR),
        session(8, "decide", operation=1, delay_s=3),
        session(9, "await", context=0, operations=[1]),
        3000,
        session(7, "fail", operation=1, error=ERROR, delay_s=0),
        *END,
    ),
    "children": pack(
        *BEGUN,
        start(1, "CONTEXT", name="c"),
        start(2, "STEP", context=1),
        session(7, "succeed", operation=2, payload="1"),
        session(7, "succeed", operation=1, payload="2", summary="s", replay_children=True),
        start(3, "CONTEXT", virtual=True),
        session(7, "succeed", operation=3),
        start(4, "CONTEXT"),
        session(7, "fail", operation=4, error=ERROR),
        *END,
    ),
    "strands": pack(
        *BEGUN,
        start(1, "CONTEXT", strand=True),
        start(2, "CONTEXT", strand=True),
        start(3, "WAIT", context=1, seconds=60),
        session(10, "await", context=1, operations=[3]),
        session(11, "await", context=0, operations=[1, 2], any=True),
        session(7, "succeed", operation=2, payload="1"),
        60_000,
        session(7, "succeed", operation=1, payload="2"),
        session(7, "unwound", operation=1),
        *END,
    ),
    "replays": pack(
        *BEGUN,
        *STEP,
        LOSE,
        *SERVE,
        DIE,
        *SERVE,
        60_000,
        BEGIN,
        session(6, "operations"),
        start(1, "STEP", name="changed"),
        start(1, "STEP", name="s"),
        *END,
    ),
    "joined": pack(
        *BEGUN,
        OTHER,
        HELLO,
        call(2, "session.join", key="$key"),
        start(5, "STEP"),
        session(7, "await", context=0, operations=[5]),
        DIE,
        OTHER,
        *END,
    ),
    "two-workers": pack(
        *SERVE, STARTED, OTHER, *SERVE, call(4, "execution.start", function="order"), OTHER, DIE
    ),
    "worker-fails": pack(
        *BEGUN, call(9, "worker.fail", request_id="$request_id", error=ERROR), 60_000, *ASK
    ),
    "worker-releases": pack(
        *BEGUN, call(9, "worker.release", request_ids=["$request_id", "unknown"]), *ASK
    ),
    "worker-unwinds": pack(
        *BEGUN,
        LOSE,
        HELLO,
        call(
            2,
            "worker.register",
            functions=[{"name": "order"}],
            concurrency=1,
            instance="w",
            unwinding=["$request_id"],
        ),
        call(9, "worker.release", request_ids=["$request_id"]),
    ),
    "worker-drains": pack(*SERVE, call(4, "worker.drain"), STARTED, *ASK),
    "handler-malformed": pack(
        *BEGUN, call(9, "worker.respond", request_id="$request_id", output="[]"), *ASK
    ),
    "handler-raises": pack(*BEGUN, session(8, "end", error=ERROR, invocation=True), *ASK),
    "same-name": pack(
        *SERVE, STARTED, STARTED, [*STARTED[:3], [{**STARTED[3][0], "payload": "1"}]]
    ),
    "stopped": pack(
        *BEGUN, call(9, "execution.stop", execution="order-1", error=ERROR), *STEP, *ASK
    ),
    "times-out": pack(*BEGUN, *STEP, 2 * DAY, *ASK),
    "retention": pack(*BEGUN, *END, 4 * DAY, *ASK, 0, 4 * DAY),
    "follower-leaves": pack(
        *BEGUN,
        OTHER,
        HELLO,
        call(2, "execution.logs", execution="-", follow=True),
        call(3, "execution.wait", execution="-"),
        LOSE,
    ),
    "follows": pack(
        *BEGUN,
        OTHER,
        HELLO,
        call(2, "execution.logs", execution="-", after=0, follow=True),
        call(3, "execution.wait", execution="-", timeout_ms=1000),
        OTHER,
        LOG,
        1000,
        *END,
    ),
    "logs-too-much": pack(
        *BEGUN,
        log("$long"),
        log("$long", level="$long"),
        log("$long", a="$long"),
        log("m", a="$long", b=[{"c": None}]),
        *ASK,
        200,
        *ASK,
    ),
    "results-too-large": pack(
        *BEGUN,
        start(1, "CONTEXT"),
        session(7, "succeed", operation=1, payload="$large", summary="s"),
        start(2, "STEP"),
        session(7, "succeed", operation=2, payload="$large"),
        start(3, "STEP"),
        session(
            7, "fail", operation=3, error={"ErrorMessage": "$large", "StackTrace": ["$long"]}
        ),
        session(8, "end", payload="$large"),
        *ASK,
    ),
    "log-not-utf8": pack(*BEGUN, log(a="X"), log(b=[{"X": 1}]), 200).replace(b"X", b"\xff")
    + pack(*ASK),
    # The message names both, and is cut.
    "names-differ": pack(
        *BEGUN,
        start(1, "STEP", name="a" + 120 * "\u00e9"),
        session(7, "succeed", operation=1),
        CRASH,
        DIE,
        *SERVE,
        1000,
        BEGIN,
        start(1, "STEP", name=120 * "\u00e9"),
        start(1, "STEP", name="b" + 120 * "\u00e9"),
        call(4, "a" + 40 * "\u00e9"),
        call(4, "session.begin", event="$event", profile="a" + 40 * "\u00e9"),
        call(4, "execution.start", function="a" + 40 * "\u00e9"),
    ),
    "names-too-long": pack(
        *BEGUN,
        start(1, "STEP", name="$long"),
        start(1, "STEP", sub_type="$long"),
        start(1, "$long"),
        call(4, "execution.start", function="$long"),
        call(4, "execution.start", function="order", name="$long"),
        call(4, "execution.start", function="order", payload="$large"),
        call(4, "execution.describe", execution="$long"),
        call(4, "session.join", key="$long"),
        call(4, "$long"),
        call(4, "daemon.log_level", set="$long"),
    ),
    "daemon-dies": pack(*BEGUN, *STEP, CRASH, *SERVE, BEGIN, *ASK),
    "daemon-dies-and-worker": pack(*BEGUN, *STEP, CRASH, DIE, *SERVE, 1000, BEGIN, *END, *ASK),
    "commit-fails": pack(*BEGUN, FAIL, *STEP, *SERVE, *ASK),
    "disk-full": pack(*BEGUN, FULL, STARTED, *STEP, ROOM, 1000, *END, *ASK),
    "daemon-stops": pack(*BEGUN, STOP, STARTED, *STEP, *UNWOUND),
    "unframeable": pack(HELLO) + b"\xc1\xc1",
    "in-pieces": pack(*[pack(HELLO)[i : i + 1] for i in range(len(pack(HELLO)))]),
    "no-call": pack(HELLO, [0, 1], {"a": 1}, "text"),
    "out-of-order": pack(
        HELLO, session(7, "succeed", operation=1), BEGIN, call(3, "worker.next"), RESPOND
    ),
    "handles-misused": pack(
        *BEGUN,
        start(1, "STEP"),
        start(1, "STEP"),
        session(7, "await", context=0, operations=[1, 1, 9]),
        session(7, "await", context=9, operations=[]),
        session(7, "succeed", operation=9),
        start(2, "STEP", context=1),
        session(7, "decide", operation=1, delay_s=1),
        session(7, "unwound", operation=1),
        session(8, "end"),
        session(8, "end"),
    ),
    # What the target `store` damages: one execution closed, one that waits, one queued.
    "story": pack(
        *BEGUN,
        LOG,
        *STEP,
        *END,
        call(3, "worker.next"),
        call(4, "execution.start", function="order", name="order-2", payload="2"),
        BEGIN,
        start(1, "STEP", retry=RETRY),
        session(7, "fail", operation=1, error=ERROR),
        start(2, "WAIT", seconds=3600),
        session(7, "await", context=0, operations=[2]),
        *UNWOUND,
        200,
        call(4, "execution.start", function="order", name="order-3"),
    ),
    # What it asks afterwards.
    "questions": pack(
        HELLO,
        *[
            ask
            for name in ("order-1", "order-2", "order-3")
            for ask in (
                call(1, "execution.describe", execution=name, data=True),
                call(2, "execution.history", execution=name, data=True),
                call(3, "execution.logs", execution=name, after=0),
            )
        ],
        call(4, "execution.list"),
        *SERVE,
        call(4, "execution.start", function="order", name="order-1"),
        call(4, "execution.start", function="order", name="order-4"),
        7_200_000,
        call(5, "execution.stop", execution="order-2"),
        BEGIN,
        *END,
        40 * DAY,
        call(4, "execution.list"),
        call(6, "daemon.status"),
    ),
}

# --- store: edits of five bytes ----------------------------------------------------------

CHANGE, CUT, DELETE, RENAME = range(4)
TABLES = [
    "meta",
    "journal",
    "heads",
    "index",
    "names",
    "due",
    "work",
    "functions",
    "logs",
    "removals",
]


def edit(what: int, table: int, entry: int, where: int = 0, byte: int = 1) -> bytes:
    return struct.pack("5B", what, table, entry, where, byte)


STORES = {"unharmed": b""}
for number, table in enumerate(TABLES):
    STORES[f"{table}-value-changed"] = edit(CHANGE, number, 1, 3)
    STORES[f"{table}-cut"] = edit(CUT, number, 1, 5)
    STORES[f"{table}-missing"] = edit(DELETE, number, 1)
    STORES[f"{table}-key-changed"] = edit(RENAME, number, 1, 9)
# A position of zero: eight bytes, all of them beginning of a key.
STORES["record-at-zero"] = edit(RENAME, 1, 0, 7, 1)
# --- client: what a daemon answers -------------------------------------------------------


def answers(listener: int, *results: Any) -> bytes:
    hello = {"level": 1, "version": "1", "mode": "serve", "pid": 1}
    return bytes([listener]) + pack(*[[None, result] for result in (hello, *results)])


OPERATION = {"Id": "i", "Type": "STEP", "Status": "SUCCEEDED", "StartTimestamp": NOW}
FRESH = {
    "session": 1,
    "key": "k",
    "arn": "arn:x",
    "input": "5",
    "operations": [],
    "more": False,
}
RUN = {"outcome": "run", "id": "i", "attempt": 1}
DONE = {"outcome": "done", "status": "SUCCEEDED"}
ENDED = {"output": '{"Status":"SUCCEEDED"}'}
RESULTS = [
    {"operation": number, "status": "SUCCEEDED", "payload": "1"} for number in range(1, 9)
]


def recorded(position: int, kind: str, name: str, **members: Any) -> dict[str, Any]:
    sub_type = {"STEP": "Step", "WAIT": "Wait", "CONTEXT": "RunInChildContext"}[kind]
    return {
        "position": position,
        "operation": {
            **OPERATION,
            "Id": f"i{position}",
            "Type": kind,
            "Name": name,
            "SubType": sub_type,
            **members,
        },
    }


CLIENTS = {
    "nothing": b"\x01",
    "hello-refused": b"\x01" + pack([{"code": "X", "message": "no", "retryable": True}, None]),
    "hello-without-level": b"\x01" + pack([None, {}]),
    "looks": answers(
        0,
        {"arn": "arn:x", "name": "n", "existing": True},
        {"arn": "arn:x", "status": "FAILED", "result": "1", "error": ERROR},
        {
            "execution": {"DurableExecutionArn": "a", "Status": "RUNNING", "Error": ERROR},
            "standing": {"state": "waiting", "operation": OPERATION},
            "operations": [OPERATION],
        },
        {"arn": "arn:x", "status": "STOPPED", "end_ms": NOW},
        {
            "executions": [{"arn": "a", "name": "n", "status": "RUNNING", "start_ms": NOW}],
            "marker": "m",
        },
        {"arn": "a", "events": [{"EventId": 1, "EventType": "X", "Name": "n"}], "more": True},
        {
            "lines": [{"number": 1, "time_ms": NOW, "level": "INFO", "message": "m"}],
            "next": 2,
            "closed": False,
            "dropped": 0,
        },
        {"functions": [{"name": "order", "workers": 1, "slots": 2}]},
        {"version": "1", "pid": 1, "data": "/d", "accepting": True, "commits": 7},
        {"log_level": "INFO"},
    ),
    "looks-at-wrong-types": answers(
        0,
        {"arn": 1, "name": [], "existing": 3},
        {"status": None, "result": 5, "error": "E"},
        {"execution": [], "standing": 1, "operations": {}},
        {},
        {"executions": [1, {}, None], "marker": 4},
        {"events": "x"},
        {"lines": [[], {"message": 1}], "next": "x"},
        {"functions": [None]},
        {"pid": "x"},
        {"log_level": "longer than any log level that there is"},
    ),
    "no-maps": bytes([0])
    + pack([None, {"level": 1}], [None, 1], [None, None], [1, 2], ["x", 1]),
    "serves": answers(
        1,
        FRESH,
        RUN,
        {"outcome": "decide", "attempt": 1, "error": ERROR},
        {"outcome": "pending", "due_ms": NOW},
        {"outcome": "run", "operation": 1, "attempt": 2},
        DONE,
        {"outcome": "pending", "id": "w", "due_ms": NOW},
        {"outcome": "ready", "operations": RESULTS},
        {"outcome": "run", "id": "c"},
        {"outcome": "done", "id": "s", "status": "SUCCEEDED", "payload": "1"},
        DONE,
        {"outcome": "pending", "id": "x"},
        {"outcome": "pending", "id": "y"},
        {"outcome": "ready", "operations": RESULTS},
        {"outcome": "ready", "operations": RESULTS},
        ENDED,
    ),
    "unwinds": answers(1, FRESH, {"outcome": "unwind"}, {"output": '{"Status":"PENDING"}'}),
    "replays": answers(
        1,
        {
            **FRESH,
            "operations": [
                recorded(1, "STEP", "step", StepDetails={"Attempt": 1, "Result": "1"}),
                recorded(2, "WAIT", "wait", WaitDetails={}),
            ],
            "more": True,
        },
        {
            "operations": [
                recorded(3, "CONTEXT", "child", ContextDetails={"Result": "2"}),
                {
                    **recorded(
                        1, "STEP", "step", Status="FAILED", StepDetails={"Error": ERROR}
                    ),
                    "context": "i3",
                },
            ],
            "more": False,
        },
        {"outcome": "done", "id": "x", "status": "SUCCEEDED"},
        {"outcome": "done", "id": "y", "status": "SUCCEEDED"},
        ENDED,
    ),
    "replays-children": answers(
        1,
        {
            **FRESH,
            "gaps": True,
            "operations": [
                recorded(3, "CONTEXT", "child", ContextDetails={"ReplayChildren": True}),
                recorded(3, "CONTEXT", "child"),
                recorded(-1, "STEP", "x"),
                {"position": "x"},
                7,
            ],
        },
        {"outcome": "done", "id": "i1", "status": "FAILED", "error": ERROR},
        {"outcome": "done", "id": "i2", "status": "SUCCEEDED"},
        RUN,
        DONE,
    ),
    "changed": answers(1, {**FRESH, "operations": [recorded(1, "WAIT", "other")]})
    + pack([{"code": "NonDeterministicExecutionError", "message": "m"}, None]),
    "outcomes-unknown": answers(1, FRESH, {"outcome": "what"}, {}, {"outcome": 1}),
    "ends-raising": answers(1, FRESH, RUN, DONE, {"outcome": "unwind"}, {"raise": ERROR}),
    "unasked": answers(1) + pack([1, 99, None, {}], [1, 2, None, FRESH]),
    "array-32": b"\x01" + b"\xdd\x00\x00\x00\x04\x01\x01\xc0" + pack({"level": 1}),
    "extension": b"\x01\x94\x01\x01\xc0\xc7\x01\x05x",
    "too-deep": b"\x01\x94\x01\x01\xc0" + b"\x91" * 64 + b"\xc0",
    "too-large": b"\x01\x94\x01\x01\xc0\xdb\xff\xff\xff\xff",
    "garbage": b"\x01HTTP/1.1 400 Bad Request\r\n\r\n",
}

# --- http: one request to the engine ----------------------------------------------------

EXECUTION = "/2025-12-01/durable-executions/$arn"
CALLBACK = "/2025-12-01/durable-execution-callbacks/QUFB"
INVOKE = "POST /2015-03-31/functions/f%3A%24LATEST/invocations"


def request(line: str, body: Any = "", **headers: str) -> bytes:
    lines = [
        line,
        "Host: localhost",
        *(f"{n.replace('_', '-')}: {v}" for n, v in headers.items()),
    ]
    text = body if isinstance(body, str) else json.dumps(body)
    return "\n".join([*lines, "", text]).encode()


def checkpoint(*updates: dict[str, Any], **members: Any) -> bytes:
    body = {"CheckpointToken": "$token", "Updates": list(updates), **members}
    return request(f"POST {EXECUTION}/checkpoint", body)


# Of GET /2015-03-31/functions, with the keys and at the time of the target.
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 "
    "Credential=local/20231114/us-east-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, "
    "Signature=dcc640acd78ba474dad8d4b5832e6cf197b3397f1d42f7a81c54178b10410883",
    "X_Amz_Date": "20231114T221320Z",
}

HTTP = {
    "invoke": request(INVOKE, {"a": 1}),
    "invoke-event": request(INVOKE, X_Amz_Invocation_Type="Event"),
    "invoke-named": request(
        INVOKE, X_Amz_Durable_Execution_Name="b", X_Amz_Invocation_Type="DryRun"
    ),
    "invoke-tenant": request(INVOKE, "7", X_Amz_Tenant_Id="t"),
    "invoke-no-json": request(INVOKE, '{"a'),
    "invoke-by-arn": request(
        "POST /2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:f:1"
        "/invocations?Qualifier=1"
    ),
    "checkpoint-nothing": checkpoint(),
    "checkpoint-step": checkpoint(
        {"Id": "s", "Type": "STEP", "Action": "START", "Name": "n", "SubType": "Step"},
        {
            "Id": "s",
            "Type": "STEP",
            "Action": "FAIL",
            "Name": "n",
            "SubType": "Step",
            "Error": ERROR,
        },
        ClientToken="c",
    ),
    "checkpoint-retry": checkpoint(
        {
            "Id": "s",
            "Type": "STEP",
            "Action": "RETRY",
            "Payload": "p",
            "StepOptions": {"NextAttemptDelaySeconds": 3},
        }
    ),
    "checkpoint-wait": checkpoint(
        {
            "Id": "w",
            "Type": "WAIT",
            "Action": "START",
            "WaitOptions": {"WaitSeconds": 1},
        }
    ),
    "checkpoint-callback": checkpoint(
        {
            "Id": "k",
            "Type": "CALLBACK",
            "Action": "START",
            "CallbackOptions": {"TimeoutSeconds": 1, "HeartbeatTimeoutSeconds": 1},
        }
    ),
    "checkpoint-invoke": checkpoint(
        {
            "Id": "i",
            "Type": "CHAINED_INVOKE",
            "Action": "START",
            "ChainedInvokeOptions": {"FunctionName": "f:$LATEST", "TenantId": "t"},
        }
    ),
    "checkpoint-end": checkpoint(
        {"Id": "c", "Type": "CONTEXT", "Action": "START"},
        {
            "Id": "c",
            "Type": "CONTEXT",
            "Action": "SUCCEED",
            "ContextOptions": {"ReplayChildren": True},
        },
        {"Id": "e", "Type": "EXECUTION", "Action": "SUCCEED", "Payload": "1"},
    ),
    "checkpoint-odd": checkpoint({"Type": "X", "Id": "a b", "ParentId": "", "SubType": None}),
    "checkpoint-types": checkpoint({"Id": 7}),
    "state": request(f"GET {EXECUTION}/state?CheckpointToken=$token&MaxItems=1"),
    "state-marker": request(f"GET {EXECUTION}/state?CheckpointToken=$token&Marker=QUFB"),
    "describe": request(f"GET {EXECUTION}?IncludeExecutionData=false"),
    "history": request(f"GET {EXECUTION}/history?IncludeExecutionData=true&MaxItems=1"),
    "history-reverse": request(f"GET {EXECUTION}/history?ReverseOrder=true&MaxItems=1000"),
    "stop": request(f"POST {EXECUTION}/stop", ERROR),
    "list": request(
        "GET /2025-12-01/functions/f/durable-executions?Statuses=RUNNING&ReverseOrder=true"
        "&StartedAfter=2023-01-01T00%3A00%3A00Z&StartedBefore=1800000000.5&DurableExecutionName=a"
    ),
    "callback-succeed": request(f"POST {CALLBACK}/succeed", "result"),
    "callback-fail": request(f"POST {CALLBACK}/fail", ERROR),
    "callback-heartbeat": request(f"POST {CALLBACK}/heartbeat"),
    "other-service": request(
        "POST /",
        X_Amz_Target="DynamoDB_20120810.ListTables",
        Authorization="AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/dynamodb/aws4_request, "
        "SignedHeaders=host, Signature=0",
    ),
    "functions": request("GET /2015-03-31/functions?FunctionVersion=ALL&MaxItems=1"),
    "functions-marker": request("GET /2015-03-31/functions?Marker=ZnVuY3Rpb25zAGE="),
    "function": request("GET /2015-03-31/functions/f?Qualifier=%24LATEST"),
    "configuration": request("GET /2015-03-31/functions/f:$LATEST/configuration"),
    "versions": request("GET /2015-03-31/functions/f/versions"),
    "aliases": request("GET /2015-03-31/functions/f/aliases?FunctionVersion=7"),
    "alias": request("GET /2015-03-31/functions/f/aliases/live"),
    "signed": request("GET /2015-03-31/functions", **SIGNED),
    "signed-wrongly": request("GET /2015-03-31/functions/f", **SIGNED),
    "signed-for-another-region": request(
        "GET /2015-03-31/functions?b=%2b&a&b=1&a=",
        Authorization=SIGNED["Authorization"].replace("us-east-1", "eu-west-1"),
        X_Amz_Date=SIGNED["X_Amz_Date"],
    ),
    "signed-odd": request(
        "GET //a/../b/./?=&&%=%zz",
        Authorization="AWS4-HMAC-SHA256 Credential=////aws4_request,SignedHeaders=;;host;,,=,"
        "Signature=",
        X_Amz_Date="20231114T221320Z",
        X_Odd="  a \t b  ",
        x_odd="",
    ),
    "invoke-context": request(
        INVOKE, X_Amz_Client_Context="eyJhIjoxfQ==", X_Amz_Log_Type="Tail"
    ),
    "other-host": b"GET /\nHost: example.com\n\n",
    "origin": request("GET /", Origin="http://localhost"),
    "escapes": request("GET /2025-12-01/durable-executions/%zz%4%00%25/history?%4d=%"),
    "nothing": b"",
    "json": json.dumps({"a": [1.5e-7, True, None, "\u00e9\n", {"b": {}}]}).encode(),
}

# --- sam: a template ----------------------------------------------------------------------


def template(*properties: str, before: str = "", after: str = "") -> bytes:
    """One function F with these lines of properties, and lines around it."""
    own = "".join(f"      {line}\n" for line in properties)
    return (
        f"{before}Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n"
        "      CodeUri: src\n      Runtime: python3.13\n      Handler: app.handler\n"
        f"{own}{after}"
    ).encode()


def variable(value: str, before: str = "") -> bytes:
    return template(f"Environment: {{Variables: {{V: {value}}}}}", before=before)


PARAMETERS = """\
Parameters:
  Stage: {Type: String, Default: dev}
  Zones: {Type: CommaDelimitedList, Default: "a,b"}
  Given: {Type: String}
  Bare: {Type: "AWS::SSM::Parameter::Value<String>", Default: /a}
Mappings:
  Sizes: {dev: {Small: 1}}
Conditions:
  Dev: !Equals [!Ref Stage, dev]
  Other: !And [!Not [!Condition Dev], !Or [!Condition Other, !Condition Dev]]
"""

TEMPLATES = {
    "function": template(),
    "properties": template(
        "FunctionName: !Sub '${AWS::StackName}-x'",
        "Timeout: 5",
        "MemorySize: '512'",
        "ReservedConcurrentExecutions: 2",
        "AutoPublishAlias: live",
        "Description: text",
        "DurableConfig: {ExecutionTimeout: 60, RetentionPeriodInDays: 1}",
        "LoggingConfig: {LogFormat: JSON, ApplicationLogLevel: INFO}",
        "TenancyConfig: {TenantIsolationMode: PER_TENANT}",
        "VpcConfig: {SubnetIds: [a]}",
        "Unknown: 1",
    ),
    "globals": template(
        "Environment: {Variables: {A: own}}",
        "Layers: [!Ref L]",
        before="Globals: {Function: {Timeout: 9, Environment: {Variables: {A: a, B: b}}, "
        "Layers: ['arn:aws:lambda:r:1:layer:x:1']}}\n",
        after="  L: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: layer}}\n",
    ),
    "bootstrap": template("Runtime: provided.al2023"),
    "node": template("Runtime: nodejs22.x"),
    "java": template("Runtime: java21"),
    "image": template("PackageType: Image"),
    "inline": template("InlineCode: 'x'"),
    "ref": variable("!Ref Stage", PARAMETERS),
    "ref-list": variable("!Join [',', !Ref Zones]", PARAMETERS),
    "ref-given": variable("!Ref Given", PARAMETERS),
    "ref-ssm": variable("!Ref Bare", PARAMETERS),
    "ref-no-value": variable("!Ref AWS::NoValue"),
    "get-att": variable("!GetAtt F.Arn"),
    "sub": variable("!Sub ['${A}${!B}${F.Arn}${AWS::Region}', {A: !Ref Stage}]", PARAMETERS),
    "split": variable("!Select [1, !Split [',', 'a,b']]"),
    "find-in-map": variable("!FindInMap [Sizes, !Ref Stage, Small]", PARAMETERS),
    "if": variable("!If [Dev, a, !If [Other, b, !Ref AWS::NoValue]]", PARAMETERS),
    "base64": variable("!Base64 abc"),
    "cidr": variable("!Join ['', !Cidr [10.0.0.0/16, 4, 8]]"),
    "azs": variable("!Join ['', !GetAZs '']"),
    "import": variable("!ImportValue x"),
    "transform": variable("!Transform {Name: x, Parameters: {}}"),
    "long-forms": variable("{'Fn::Join': ['', ['a', {'Ref': 'F'}, {'Fn::Sub': '${F}'}]]}"),
    "aliases": template(
        after="  V: {Type: AWS::Lambda::Version, Properties: {FunctionName: !Ref F}}\n"
        "  A: {Type: AWS::Lambda::Alias, Properties: {Name: a, FunctionName: !GetAtt F.Arn,"
        " FunctionVersion: !GetAtt V.Version}}\n"
        "  M: {Type: AWS::Lambda::EventSourceMapping}\n  'Fn::ForEach::X': []\n",
    ),
    "asset": b'{"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": {"Code": '
    b'{"S3Bucket": {"Fn::Sub": "b-${AWS::AccountId}"}, "S3Key": "1.zip"}, "Handler": '
    b'"app.handler", "Runtime": "python3.13"}, "Metadata": {"aws:asset:path": "src"}}}}',
    "anchors": b"a: &a {CodeUri: src, Runtime: python3.13}\nb: &b [*a, *a]\nResources: {F: "
    b"{Type: AWS::Serverless::Function, Properties: {<<: *b, Handler: &h app.handler, "
    b"Description: *h}}}\n",
    "bomb": b"a: &a [x, x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\nd: &d [*c, *c, *c]\n"
    b"Resources: {F: {Type: AWS::Lambda::Function, Properties: {Code: src, Timeout: *d}}}\n",
    "tab": b"Resources:\n\tF: x\n",
    "truncated": b"Resources: {F: {Type: 'AWS",
    "directive": b"%YAML 1.1\n%TAG ! tag:x,2000:\n--- !a\nResources: !!map {}\n...\n--- b\n",
    "nothing": b"",
}


# --- front: a runtime, a handler and Lambda ---------------------------------------------

NEXT = b">GET /2018-06-01/runtime/invocation/next\nHost: 127.0.0.1:1\n\n"


def given(body: bytes, request_id: str = "r1", deadline_ms: int = 1_700_000_060_000) -> bytes:
    head = (
        f"<200\nLambda-Runtime-Aws-Request-Id: {request_id}\n"
        f"Lambda-Runtime-Deadline-Ms: {deadline_ms}\nContent-Type: application/json\n\n"
    )
    return head.encode("latin-1") + body


def envelope(*operations: dict[str, Any], marker: str = "") -> bytes:
    arn = "arn:aws:lambda:us-east-1:000000000000:function:f:1/durable-execution/n/i"
    return event(
        DurableExecutionArn=arn,
        InitialExecutionState={"Operations": list(operations), "NextMarker": marker},
    )


def posted(what: str, body: bytes, request_id: str = "r1", how: str = ">") -> bytes:
    path = f"/2018-06-01/runtime/invocation/{request_id}/{what}"
    head = f"{how}POST {path}\nHost: 127.0.0.1:1\nLambda-Runtime-Function-Error-Type: E\n\n"
    return head.encode() + body


INPUT = {
    "Id": "i",
    "Type": "EXECUTION",
    "Status": "STARTED",
    "StartTimestamp": 1,
    "ExecutionDetails": {"InputPayload": "1"},
}
OLD = {"Id": "x", "Type": "STEP", "Status": "SUCCEEDED", "StartTimestamp": 1}
PLAINLY = b"<202\n\n{}"
PAGE = b"<200\n\n" + json.dumps({"Operations": [INPUT]}).encode()
RECORDED = b'<200\n\n{"CheckpointToken": "u", "NewExecutionState": {"Operations": []}}'
FAILED = b'{"errorType": "E", "errorMessage": "m", "stackTrace": ["a"]}'
GIVEN = [NEXT, given(envelope(INPUT))]
ATTACHED = [*GIVEN, b"=" + pack(call(1, "session.begin", profile="c", request_id="r1"))]
ENDED = b"=" + pack(call(2, "session.end", session=1, payload="2"))
STARTED_STEP = b"=" + pack(
    call(3, "session.start", **START, type="STEP", sub_type="Step", name="s")
)


def front(*records: bytes) -> bytes:
    return b"\x1e".join(records)


FRONTS = {
    "plain": front(NEXT, given(b'{"a": 1}'), posted("response", b"2"), PLAINLY),
    "returned": front(*GIVEN, posted("response", b"2"), PLAINLY),
    "raised": front(*GIVEN, posted("error", FAILED), PLAINLY),
    "raised-to-run-again": front(
        *GIVEN, posted("error", b'{"errorType": "InvocationError"}'), PLAINLY
    ),
    "no-utf-8": front(*GIVEN, posted("response", b"\xff"), PLAINLY),
    "too-large": front(*GIVEN, posted("response", b"", how="L"), PLAINLY),
    "no-memory": front(*GIVEN, posted("response", b"", how="M"), PLAINLY),
    "no-memory-plain": front(NEXT, given(b"1"), posted("error", b"", how="M"), PLAINLY),
    "query": front(NEXT.replace(b"next", b"next?a"), given(envelope(INPUT))),
    "query-posted": front(*GIVEN, posted("response?b", b"2"), PLAINLY),
    "no-path": front(*GIVEN, b">GET @127.0.0.1:2/\nHost: 127.0.0.1:1\n\n"),
    "input-later": front(
        NEXT, given(envelope(marker="m")), PAGE, posted("response", b"2"), PLAINLY
    ),
    "input-refused": front(
        NEXT,
        given(envelope(marker="m")),
        b"<403\nx-amzn-errortype: A\n\n{}",
        b"t",
        PLAINLY,
        PAGE,
    ),
    "state-later": front(
        NEXT, given(envelope(INPUT, marker="m")), posted("response", b"2"), PAGE, PLAINLY
    ),
    "attached": front(*ATTACHED, ENDED, posted("response", b"2"), PLAINLY),
    "left-open": front(*ATTACHED, posted("response", b"2"), PLAINLY),
    "left-with-a-step": front(
        *ATTACHED, STARTED_STEP, posted("response", b"2"), RECORDED, PLAINLY
    ),
    "lost": front(*ATTACHED, STARTED_STEP, b"-", posted("response", b"2"), PLAINLY),
    "lost-while-it-waits": front(
        *ATTACHED, STARTED_STEP, posted("response", b"2"), b"-", PLAINLY
    ),
    "ends-meanwhile": front(
        *ATTACHED, STARTED_STEP, ENDED, posted("response", b"2"), RECORDED, RECORDED, PLAINLY
    ),
    "begins-meanwhile": front(
        NEXT,
        given(envelope(marker="m")),
        PAGE,
        *ATTACHED[2:],
        posted("response", b"2"),
        PAGE,
        PLAINLY,
    ),
    "waits-meanwhile": front(
        NEXT,
        given(envelope(INPUT, OLD, marker="m")),
        *ATTACHED[2:],
        b"=" + pack(call(4, "session.operations", session=1)),
        ENDED,
        posted("response", b"2"),
        PAGE,
        PLAINLY,
    ),
    "given-again": front(*ATTACHED, *ATTACHED, posted("response", b"2"), PLAINLY),
    "given-again-while-told": front(*GIVEN, posted("response", b"2"), NEXT, PLAINLY, *ATTACHED),
    "posted-twice": front(*GIVEN, posted("response", b"2"), posted("error", FAILED), PLAINLY),
    "late": front(NEXT, given(envelope(INPUT), deadline_ms=1), NEXT, given(envelope(), "r2")),
    "lost-requests": front(NEXT, b"!", b"t", given(b"1"), posted("response", b"2"), b"!"),
    "id-no-utf-8": front(NEXT, given(envelope(marker="m"), "\xff"), b"<100\n\n"),
    "method-no-utf-8": front(b"=" + pack(call(1, "session.x")).replace(b".x", b".\xff")),
    "cancelled": front(NEXT, b"x", *GIVEN, posted("response", b"2"), b"x", *ATTACHED),
}


if __name__ == "__main__":
    write("sam", TEMPLATES)
    write("http", HTTP)
    write("front", FRONTS)
    write("frame", FRAMES)
    write("record", RECORDS)
    write("json", JSON)
    write("peer", PEERS)
    write("store", STORES)
    write("client", CLIENTS)
