"""Bad input of every kind, and what it gets: the user an answer that names what is wrong,
the operator a line in the daemon's log that names the cause, the execution and what to do.

CASES is what the log must say. Each test provokes its case from outside and then reads
the log alone.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import msgpack
import pytest
from peer import Peer

from conftest import BIN, HERE, World, wait_for


@dataclass(frozen=True)
class Case:
    """`code` of the line, a pattern of its `cause` (in `error`, `text` or `error_type`), and
    the fields that must be there and not empty. What to do is the code's row in LOGS.md, or
    `cure`, a pattern within the line where that row refers to it."""

    code: str
    cause: str
    fields: tuple[str, ...] = ()
    cure: str = ""


EXECUTION = ("executionArn",)
INVOCATION = ("executionArn", "requestId")

CASES = {
    # bytes
    "truncated": Case("CONNECTION_REFUSED", "ended within a message", ("pid",)),
    "oversized": Case("CONNECTION_REFUSED", "longer than any may be", ("pid",)),
    "too many elements": Case("CONNECTION_REFUSED", "more elements", ("pid",)),
    "too deep": Case("CONNECTION_REFUSED", "nested too deep", ("pid",)),
    "unframeable": Case("CONNECTION_REFUSED", "begins no MessagePack value", ("pid",)),
    "no RPC": Case("CONNECTION_REFUSED", "no MessagePack-RPC request", ("pid",)),
    "too many connections": Case("CONNECTIONS_FULL", "", ("pid", "connections")),
    # calls
    "unknown method": Case("CALL_REFUSED", "no method 'no.such'", ("pid", "method")),
    "wrong type": Case("CALL_REFUSED", "function: must be", ("pid", "method", "field")),
    "missing field": Case("CALL_REFUSED", "function: ", ("pid", "method", "field")),
    "dead session": Case("CALL_REFUSED", "not of this connection", ("pid", "field")),
    "out of order": Case("CALL_REFUSED", "hello comes first", ("pid", "method")),
    "bad name": Case(
        "CALL_REFUSED", "'a b' at 'durableExecutionName'", ("pid", "method", "field")
    ),
    "bad session call": Case(
        "CALL_REFUSED", "context: no context", ("pid", "field", "executionArn")
    ),
    # the store
    "newer store": Case("START_FAILED", "version 1000", cure="use a newer durabled"),
    "cut short": Case("START_FAILED", "cut short", cure="restore the directory"),
    "journal changed": Case("START_FAILED", "record .* is damaged", cure="durabled check"),
    "log changed": Case("START_FAILED", "of the log is damaged", cure="restore the whole"),
    "record changed": Case("EXECUTION_CORRUPT", "record 1 of .* does not hold", EXECUTION),
    "record missing": Case("EXECUTION_CORRUPT", "record 2 of .* is missing", EXECUTION),
    "read-only disk": Case("START_FAILED", "read-only", cure="mount it writable.*--data"),
    "forbidden directory": Case("START_FAILED", "permission denied", cure="--data"),
    "no room to begin": Case("START_FAILED", "no space left", cure="free some"),
    "full disk": Case("STORE_FULL", "the disk of the store has"),
    "full map": Case("STORE_FULL", "the store uses"),
    "network file system": Case("START_FAILED", "FUSE", cure="local disk with --data"),
    # a second daemon
    "same data": Case("START_FAILED", "in use by process", cure="stop that one"),
    "same socket": Case("START_FAILED", "belongs to another durabled", cure="stop it"),
    "no socket": Case("START_FAILED", "is no socket", cure="choose another --socket"),
    # handlers
    "unserialisable result": Case("EXECUTION_CLOSED", "^TypeError$", EXECUTION),
    "unserialisable step": Case("EXECUTION_CLOSED", "SerDesError$", EXECUTION),
    "raises": Case("EXECUTION_CLOSED", "^ValueError$", EXECUTION),
    "misuse": Case("EXECUTION_CLOSED", ".", EXECUTION),
    "sys.exit": Case("INVOCATION_FAILED", "^Runtime.ExitError$", INVOCATION),
    "os._exit": Case("INVOCATION_FAILED", "^Runtime.ExitError$", (*INVOCATION, "pid")),
    "worker lost": Case("WORKER_LOST", "", ("pid", "invocations")),
    "never answers": Case("INVOCATION_FAILED", "^Sandbox.Timedout$", (*INVOCATION, "pid")),
    "held": Case("INVOCATION_HELD", "", (*INVOCATION, "pid")),
    "changed code": Case("DETERMINISM", "type checkpoint='WAIT' current='STEP'", EXECUTION),
}


def actions() -> dict[str, str]:
    """What to do about each code: the last column of the reference page."""
    page = (HERE.parents[1] / "daemon/LOGS.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|(?:[^|]*\|){3} ([^|]*) \|$", page, re.MULTILINE)
    return dict(rows)


def diagnose(world: World, name: str, **having: object) -> dict[str, Any]:
    """The log line of a case, after checking that it says all that it must."""
    case = CASES[name]
    line = world.diagnosis(case.code, **having)
    for field in case.fields:
        assert line.get(field), (field, line)
    cause = str(line.get("text") or line.get("error") or line.get("error_type") or "")
    assert re.search(case.cause, cause), line
    if case.cure:
        assert "`error`" in actions()[case.code]
        assert re.search(case.cure, cause), line
    else:
        assert actions()[case.code] not in ("", "Nothing."), case.code
    return line


def serve(world: World, handler: str, *options: str) -> None:
    world.start_daemon("--log-level", "debug")
    world.start_worker(handler, *options)
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))


def refused(world: World, *options: str) -> None:
    process = world.try_daemon(*options)
    assert process.popen.wait(30) == 1


# -- bytes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "data"),
    [
        ("oversized", b"\xdb\x7f\xff\xff\xff"),
        ("oversized", b"\xdc\x01\x00" + (b"\xda\xff\xff" + bytes(65535)) * 129),
        ("too many elements", b"\xdd\xff\xff\xff\xff"),
        ("too deep", b"\x91" * 64),
        ("unframeable", b"\xc1"),
        ("no RPC", b"GET / HTTP/1.1\r\n\r\n"),
        ("no RPC", msgpack.packb({"a": 1})),
        ("no RPC", msgpack.packb([7, 1, "hello", [{}]])),
    ],
)
def test_bytes_close_that_connection(world: World, case: str, data: bytes) -> None:
    world.start_daemon()
    good, bad = Peer(world).hello(), Peer(world)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        bad.socket.sendall(data)
    assert bad.is_closed()
    diagnose(world, case, pid=os.getpid())
    assert good.call("daemon.status", {})[0] is None


def test_truncated_bytes(world: World) -> None:
    world.start_daemon()
    good, bad = Peer(world).hello(), Peer(world)
    bad.socket.sendall(msgpack.packb([0, 1, "hello", [{"level": 1, "client": "x"}]])[:-3])
    bad.socket.close()
    diagnose(world, "truncated", pid=os.getpid())
    assert good.call("daemon.status", {})[0] is None


def test_too_many_connections(world: World) -> None:
    world.within = ["prlimit", "--nofile=64:64"]
    world.start_daemon()
    peers = [Peer(world) for _ in range(40)]
    line = diagnose(world, "too many connections", pid=os.getpid())
    served = peers[: line["connections"]]
    for peer in served:
        peer.hello()
    assert peers[-1].is_closed()
    assert world.ctl("ls", check=False).returncode == 3
    assert len(world.log_events("CONNECTIONS_FULL")) == 1
    served[0].socket.close()
    wait_for("room", lambda: world.ctl("ls", check=False).returncode == 0)


def test_as_many_connections_as_the_hard_limit_allows(world: World) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    world.within = ["prlimit", f"--nofile=64:{hard}"]
    world.start_daemon()
    for peer in [Peer(world) for _ in range(100)]:
        peer.hello()


# -- calls ---------------------------------------------------------------------------


def test_calls_fail_and_name_the_field(world: World) -> None:
    world.start_daemon("--log-level", "debug")
    peer = Peer(world)
    for case, method, params, code, field in (
        ("out of order", "daemon.status", {}, "Protocol.OutOfOrder", None),
        (None, "hello", {"level": 1, "client": "test"}, None, None),
        ("unknown method", "no.such", {}, "Protocol.UnknownMethod", None),
        (
            "wrong type",
            "execution.start",
            {"function": 7},
            "Protocol.InvalidParams",
            "function",
        ),
        ("missing field", "execution.start", {}, "Protocol.InvalidParams", "function"),
        (
            "dead session",
            "session.end",
            {"session": 99},
            "Protocol.UnknownSession",
            "session",
        ),
    ):
        error, _ = peer.call(method, params)
        if case is None:
            continue
        assert error["code"] == code
        assert error.get("field") == field
        line = diagnose(world, case, error=code, pid=os.getpid())
        assert line["field"] == (field or "")


def test_names_are_refused_by_field(world: World) -> None:
    serve(world, "order")
    peer = Peer(world).hello()
    error, _ = peer.call("execution.start", {"function": "order", "name": "a b"})
    assert error["field"] == "name"
    diagnose(world, "bad name", method="execution.start", pid=os.getpid())
    for options, field in (
        (["--name", "a/b"], "functions"),
        (["--name", "order", "--timeout", "999999999"], "functions"),
    ):
        worker = world.spawn(
            [sys.executable, "-m", "durabled", "worker", "handlers:order", *options],
            "refused.log",
        )
        assert worker.popen.wait(30) == 2
        line = world.diagnosis("CALL_REFUSED", pid=worker.pid)
        assert line["field"] == field


def test_session_call_names_field_and_execution(world: World) -> None:
    """A worker that is this test: what it gets wrong is told with the execution."""
    world.start_daemon("--log-level", "debug")
    peer = Peer(world).hello()
    function = {"functions": [{"name": "f"}], "concurrency": 1, "instance": "test"}
    assert peer.call("worker.register", function)[0] is None
    arn = world.start("f", "a")
    invocation = peer.call("worker.next", {})[1]["invocation"]
    begin = {"event": invocation["event"], "profile": "python"}
    session = peer.call("session.begin", begin)[1]["session"]
    start = {"session": session, "operation": 1, "position": 1, "type": "STEP", "context": 9}
    error, _ = peer.call("session.start", start)
    assert error["field"] == "context"
    line = diagnose(world, "bad session call", executionArn=arn)
    assert line["pid"] == os.getpid()
    error, _ = peer.call("session.start", {**start, "type": "DANCE"})
    assert error["field"] == "type"
    assert world.diagnosis("CALL_REFUSED", executionArn=arn, field="type")


# -- the store -----------------------------------------------------------------------


@contextlib.contextmanager
def edited(world: World, table: bytes) -> Iterator[tuple[lmdb.Transaction, Any]]:
    """One table of the store, behind the daemon's back."""
    env = lmdb.open(str(world.data), max_dbs=32, map_size=1 << 30)
    with env.begin(write=True) as txn:
        yield txn, env.open_db(table, txn, create=False)
    env.close()


def finished(world: World, names: tuple[str, ...] = ("a",)) -> dict[str, str]:
    """A store at rest with finished executions; their ARNs."""
    serve(world, "order")
    arns = {name: world.start("order", name, {"order": name}) for name in names}
    for name in names:
        world.finish(name)
    assert world.daemon
    assert world.daemon.terminate() == 0
    return arns


def test_store_of_a_newer_version(world: World) -> None:
    world.start_daemon().terminate()
    with edited(world, b"meta") as (txn, meta):
        txn.put(b"version", struct.pack(">I", 1000), db=meta)
    refused(world)
    diagnose(world, "newer store")
    with edited(world, b"meta") as (txn, meta):
        assert txn.get(b"version", db=meta) == struct.pack(">I", 1000)


def test_store_cut_short(world: World) -> None:
    finished(world)
    data = world.data / "data.mdb"
    with data.open("r+b") as file:
        file.truncate(data.stat().st_size // 2)
    refused(world)
    line = diagnose(world, "cut short")
    assert str(world.data) in line["error"]


def of_execution(txn: lmdb.Transaction, table: Any, arn: str) -> list[tuple[bytes, bytes]]:
    """The entries of an execution in a table whose keys begin with its id."""
    id_ = bytes.fromhex(arn.rpartition("/")[2].replace("-", ""))
    return [(key, value) for key, value in txn.cursor(db=table) if key.startswith(id_)]


def look(world: World, arns: dict[str, str], case: str) -> None:
    """Only execution "a" is refused, with its ARN in the log; "b" is as it was."""
    world.start_daemon()
    shown = world.ctl("show", "a", check=False)
    assert shown.returncode == 5 and "durabled check" in shown.stderr
    assert "Store.Corrupt" in shown.stderr
    diagnose(world, case, executionArn=arns["a"])
    assert world.describe("b")["Status"] == "SUCCEEDED"
    assert world.daemon and world.daemon.terminate() == 0
    check = world.check()
    assert check.returncode == 1 and check.stdout.startswith("Store.Corrupt: ")


def test_record_with_changed_bytes(world: World) -> None:
    arns = finished(world, ("a", "b"))
    with edited(world, b"index") as (txn, index):
        position = of_execution(txn, index, arns["a"])[0][1]
    with edited(world, b"journal") as (txn, journal):
        record = bytearray(txn.get(position, db=journal))
        record[len(record) // 2] ^= 1
        txn.put(position, bytes(record), db=journal)
    look(world, arns, "record changed")


def test_record_missing(world: World) -> None:
    arns = finished(world, ("a", "b"))
    with edited(world, b"index") as (txn, index):
        key, _ = of_execution(txn, index, arns["a"])[1]
        txn.delete(key, db=index)
    look(world, arns, "record missing")


def test_check_goes_on_behind_a_damaged_record(world: World) -> None:
    """A start over them is refused; the check reports every one."""
    serve(world, "order")
    world.start("order", "a", {"order": "a"})
    world.finish("a")
    assert world.daemon
    world.daemon.kill()
    with edited(world, b"meta") as (txn, meta):
        txn.delete(b"fold", db=meta)
    with edited(world, b"journal") as (txn, journal):
        records = list(txn.cursor(db=journal))[-2:]
        for key, value in records:
            txn.put(key, value[:-1] + bytes([value[-1] ^ 1]), db=journal)
    refused(world)
    diagnose(world, "journal changed")
    done = world.check()
    assert done.returncode != 0
    for key, _ in records:
        number = int.from_bytes(key, "big")
        assert f"journal record {number}: the checksum is wrong" in done.stdout


def test_damage_in_the_tail_of_the_journal(world: World) -> None:
    """What is not yet folded can't be given up: the daemon does not start over it."""
    serve(world, "order")
    world.start("order", "a", {"order": "a"})
    world.finish("a")
    assert world.daemon
    world.daemon.kill()
    with edited(world, b"meta") as (txn, meta):
        txn.delete(b"fold", db=meta)
    with edited(world, b"journal") as (txn, journal):
        key, value = next(iter(txn.cursor(db=journal)))
        txn.put(key, value[:-1] + bytes([value[-1] ^ 1]), db=journal)
    refused(world)
    diagnose(world, "journal changed")


def frames_of_the_log(world: World) -> int:
    """How many there are that the tables lack."""
    env = lmdb.open(str(world.data), max_dbs=32, readonly=True, lock=False)
    with env.begin() as txn:
        mark = txn.get(b"wal", db=env.open_db(b"meta", txn, create=False))
    env.close()
    (number,) = struct.unpack_from("=Q", mark)
    log = (world.data / "wal").read_bytes()
    at = frames = 0
    while log[at : at + 4] == b"DDWL":
        length, sequence = struct.unpack_from("=IQ", log, at + 4)
        if sequence != number + frames + 1:
            break
        frames += 1
        at += (32 + length + 511) // 512 * 512
    return frames


def test_damage_in_the_log(world: World) -> None:
    """What was acknowledged and is in no table yet can't be given up either."""
    serve(world, "order")
    assert world.daemon
    for number in itertools.count():
        world.start("order", f"n{number}", {"order": "a"})
        world.daemon.popen.send_signal(signal.SIGSTOP)
        if frames_of_the_log(world) >= 2:
            break
        world.daemon.popen.send_signal(signal.SIGCONT)
    world.daemon.kill()
    with (world.data / "wal").open("r+b") as file:
        file.seek(100)
        byte = file.read(1)[0]
        file.seek(100)
        file.write(bytes([byte ^ 1]))
    refused(world)
    line = diagnose(world, "log changed")
    assert str(world.data) in line["error"]
    done = world.check()
    assert done.returncode != 0
    assert "of the log is damaged" in done.stdout + done.stderr


def test_read_only_disk(world: World) -> None:
    disk = world.mount_data(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs"])
    arn = finished(world)["a"]
    disk.run("mount", "-o", "remount,ro", str(world.data))
    refused(world)
    line = diagnose(world, "read-only disk")
    assert str(world.data) in line["error"]
    disk.run("mount", "-o", "remount,rw", str(world.data))
    world.start_daemon()
    assert world.describe("a")["DurableExecutionArn"] == arn


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which root may")
def test_directory_of_another_user(world: World) -> None:
    world.data.mkdir(mode=0o755)
    argv = ["setpriv", "--reuid=65534", "--clear-groups", str(BIN / "durabled"), "serve"]
    argv += ["--data", str(world.data), "--log-format", "json"]
    for parent in [world.dir, *world.dir.parents]:
        if parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    daemon = world.spawn(argv, "daemon.log")
    assert daemon.popen.wait(30) == 1
    diagnose(world, "forbidden directory")


def test_no_room_to_begin(world: World) -> None:
    world.mount_data(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs"])
    refused(world)
    diagnose(world, "no room to begin")


def fill(path: Path, leave: int) -> None:
    """Takes the room of a file system but for so many bytes."""
    with path.open("wb") as file:
        free = os.statvfs(path)
        left = free.f_bavail * free.f_frsize - leave
        while left > 0:
            left -= file.write(bytes(min(left, 1 << 20)))


def test_full_disk(world: World) -> None:
    """Starts are refused by name; what runs ends; nothing is lost; starts resume."""
    disk = world.mount_data(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs"])
    filler = disk.path(world.data) / "filler"
    serve(world, "blocks")
    arn = world.start("blocks", "a", {})
    wait_for("the step", lambda: "begun" in world.noted())
    fill(filler, 256 * 1024)
    denied = world.ctl("start", "blocks", "--name", "b", check=False)
    assert denied.returncode == 5 and "Store.Full" in denied.stderr
    line = diagnose(world, "full disk")
    assert "MiB left" in line["error"]
    with world.notes.open("a") as notes:
        notes.write("go\n")
    assert world.finish("a")["Status"] == "SUCCEEDED"
    assert world.ctl("doctor", check=False).returncode == 1
    filler.unlink()
    world.start("blocks", "b", {})
    assert world.diagnosis("STORE_ROOM")
    assert world.finish("b")["Status"] == "SUCCEEDED"
    assert world.daemon
    world.daemon.kill()
    world.start_daemon()
    assert world.describe("a")["DurableExecutionArn"] == arn
    assert world.story("a").endswith("X+") and world.story("b").endswith("X+")


def test_full_map(world: World) -> None:
    world.start_daemon("--map-size", "2M")
    world.start_worker("order")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    peer = Peer(world).hello()
    accepted = []
    for number in range(64):
        start = {
            "function": "order",
            "name": f"x{number}",
            "payload": json.dumps("x" * 100_000),
        }
        error, result = peer.call("execution.start", start)
        if error:
            break
        accepted.append(result["name"])
    assert error["code"] == "Store.Full" and error["retryable"]
    diagnose(world, "full map")
    for name in accepted:
        assert world.finish(name)["Status"] == "FAILED"  # its payload is no order


# A FUSE server of three answers, enough for a directory that is there.
FUSE_GETATTR, FUSE_STATFS, FUSE_INIT, FUSE_FORGETS = 3, 17, 26, (2, 42)


def fuse_answer(fd: int) -> None:
    answers: dict[int, bytes] = {
        FUSE_INIT: struct.pack("=IIIIHHI", 7, 19, 0, 0, 0, 0, 4096),
        FUSE_STATFS: bytes(80),
        FUSE_GETATTR: struct.pack(
            "=QII6Q3I5I2I", 1, 0, 0, 1, *[0] * 5, *[0] * 3, 0o40700, 2, 0, 0, 0, 4096, 0
        ),
    }
    while True:
        try:
            request = os.read(fd, 1 << 20)
        except OSError:
            return  # unmounted
        _, opcode, unique = struct.unpack_from("=IIQ", request)
        if opcode in FUSE_FORGETS:
            continue
        body = answers.get(opcode)
        status = 0 if body is not None else -38  # ENOSYS
        header = struct.pack("=IiQ", 16 + len(body or b""), status, unique)
        with contextlib.suppress(OSError):
            os.write(fd, header + (body or b""))


def test_network_file_system(world: World) -> None:
    try:
        fd = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"/dev/fuse: {error.strerror}")
    options = f"fd={fd},rootmode=40000,user_id=0,group_id=0"
    world.mount_data(["mount", "-i", "-t", "fuse", "-o", options, "test"], fds=(fd,))
    threading.Thread(target=fuse_answer, args=(fd,), daemon=True).start()
    refused(world)
    diagnose(world, "network file system")


# -- a second daemon; none --------------------------------------------------------------


def test_second_daemon(world: World) -> None:
    first = world.start_daemon()
    refused(world, "--socket", str(world.dir / "other.sock"))
    assert f"process {first.pid};" in diagnose(world, "same data")["error"]
    refused(world, "--data", str(world.dir / "other"))
    assert f"pid {first.pid};" in diagnose(world, "same socket")["error"]
    assert world.ctl("doctor").returncode == 0


def test_leftover_socket_and_what_is_none(world: World) -> None:
    world.start_daemon().kill()
    assert world.socket.is_socket()
    world.start_daemon().terminate()
    assert not world.socket.exists()
    world.socket.write_text("mine")
    refused(world)
    diagnose(world, "no socket")
    assert world.socket.read_text() == "mine"


ASKS: dict[str, list[str]] = {
    "durablectl": [str(BIN / "durablectl"), "ls"],
    "Python": [sys.executable, "-c", "import durabled; durabled.Client().functions()"],
}


@pytest.mark.parametrize("who", ASKS)
def test_no_daemon(world: World, who: str) -> None:
    """One error with each path, why it failed, and the command that cures it."""

    def ask(**env: str) -> str:
        done = subprocess.run(
            ASKS[who],
            env={**world.env, "DURABLED_SOCKET": "", **env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == (3 if who == "durablectl" else 1)
        return done.stderr

    world.start_daemon().kill()
    said = ask(DURABLED_SOCKET=str(world.socket))
    assert f"{world.socket}" in said
    assert re.search("nobody listens|Connection refused", said)
    assert f"`durabled serve --socket {world.socket}`" in said
    said = ask(XDG_RUNTIME_DIR=str(world.dir / "run"))
    assert str(world.dir / "run/durabled.sock") in said
    assert "/run/durabled/durabled.sock" in said
    assert len(re.findall("no such socket|No such file or directory", said)) == 2
    assert "`durabled serve`" in said and "DURABLED_SOCKET" in said


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--nonsense"], "--nonsense"),
        (["--map-size", "much"], "--map-size: 'much' is no size"),
        (["--retention", "0"], "--retention: between 1 and 7776000"),
        (["--execution-timeout", "-1"], "--execution-timeout: '-1' is no whole number"),
        (["--log-level", "loud"], "--log-level: 'loud' is none of"),
        (["--account", "12"], "--account: '12' is not twelve digits"),
        (["--stop-timeout"], "--stop-timeout needs a value"),
        (["more"], "unexpected argument 'more'"),
    ],
)
def test_bad_options_of_the_daemon(world: World, options: list[str], named: str) -> None:
    """Its first line, before it knows how to log."""
    daemon = world.try_daemon(*options)
    assert daemon.popen.wait(30) == 2
    assert daemon.output().startswith("durabled: ")
    assert named in daemon.output() and daemon.output().count("\n") == 1


# -- handlers ----------------------------------------------------------------------------


def failed(world: World, handler: str, case: str, payload: object = None) -> dict[str, Any]:
    """The error of an execution that fails, which the history has last."""
    arn = world.start(handler, "a", payload)
    done = world.finish("a")
    assert done["Status"] == "FAILED"
    diagnose(world, case, executionArn=arn, status="FAILED")
    last = [e for e in world.events("a") if e["EventType"] == "ExecutionFailed"]
    assert last[0]["ExecutionFailedDetails"]["Error"]["Payload"] == done["Error"]
    return dict(done["Error"])


@pytest.mark.parametrize(
    ("handler", "case", "error"),
    [
        (
            "unserialisable",
            "unserialisable result",
            {
                "ErrorType": "TypeError",
                "ErrorMessage": "Object of type object is not JSON serializable",
            },
        ),
        (
            "unserialisable_step",
            "unserialisable step",
            {
                "ErrorType": "aws_durable_execution_sdk_python.exceptions.SerDesError",
                "ErrorMessage": "Unsupported type: <class 'object'>",
            },
        ),
        ("raises", "raises", {"ErrorType": "ValueError", "ErrorMessage": "no such order"}),
    ],
)
def test_handler_fails(world: World, handler: str, case: str, error: dict[str, str]) -> None:
    serve(world, handler)
    assert failed(world, handler, case) == error


MISUSES = {
    "negative duration": (
        "aws_durable_execution_sdk_python.exceptions.ValidationError",
        "Duration seconds must be positive",
    ),
    "no duration": (
        "aws_durable_execution_sdk_python.exceptions.ValidationError",
        "duration must be at least 1 second",
    ),
    "long duration": (
        "ValidationException",
        "1 validation error detected: Value '34560000' at 'updates.1.member.waitOptions."
        "waitSeconds' failed to satisfy constraint: Member must have value less than or equal "
        "to 31622400",
    ),
    "long name": (
        "ValidationException",
        "at 'updates.1.member.name' failed to satisfy constraint: Member must have length less "
        "than or equal to 256",
    ),
    "no attempts": (
        "aws_durable_execution_sdk_python.exceptions.StepError",
        "division by zero",
    ),
    "big step": (
        "InvalidParameterValueException",
        "STEP output payload size must be less than or equal to 1048576 bytes.",
    ),
}


@pytest.mark.parametrize("how", MISUSES)
def test_handler_misuses_the_api(world: World, how: str) -> None:
    serve(world, "misuses")
    error = failed(world, "misuses", "misuse", {"how": how})
    type_, message = MISUSES[how]
    assert error["ErrorType"] == type_
    assert message in error["ErrorMessage"]


def exit_error(world: World, name: str) -> dict[str, Any]:
    """The error of the first invocation that failed, as the history has it."""
    event = wait_for(
        "the failed invocation",
        lambda: [e for e in world.events(name) if e["EventType"] == "InvocationCompleted"],
    )[0]
    return dict(event["InvocationCompletedDetails"]["Error"]["Payload"])


@pytest.mark.parametrize("handler", ["exits", "exits_in_step"])
def test_handler_calls_sys_exit(world: World, handler: str) -> None:
    serve(world, handler)
    arn = world.start(handler, "a")
    diagnose(world, "sys.exit", executionArn=arn)
    assert exit_error(world, "a")["ErrorType"] == "Runtime.ExitError"
    assert "exited with status" in exit_error(world, "a")["ErrorMessage"]
    assert world.describe("a")["Status"] == "RUNNING"


@pytest.mark.parametrize("handler", ["crashes", "daemonises"])
def test_process_ends_under_the_handler(world: World, handler: str) -> None:
    """At once seen, also when a forked child lives on."""
    world.start_daemon()
    worker = world.start_worker(handler)
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    arn = world.start(handler, "a")
    diagnose(world, "os._exit", executionArn=arn, pid=worker.pid)
    diagnose(world, "worker lost", pid=worker.pid)
    assert exit_error(world, "a")["ErrorType"] == "Runtime.ExitError"
    if handler == "daemonises":
        child = wait_for("the child", lambda: [n for n in world.noted() if "child-" in n])[0]
        os.kill(int(child.removeprefix("child-")), signal.SIGKILL)


def test_forked_child_is_refused_and_the_parent_goes_on(world: World) -> None:
    serve(world, "forks")
    world.start("forks", "a")
    assert world.finish("a")["Status"] == "SUCCEEDED"
    assert world.noted() == ["InvalidStateError"]
    assert world.story("a") == "X S S+ I X+"


def test_handler_that_never_answers(world: World) -> None:
    serve(world, "hangs", "--timeout", "1")
    arn = world.start("hangs", "a")
    diagnose(world, "never answers", executionArn=arn)
    error = exit_error(world, "a")
    assert error["ErrorType"] == "Sandbox.Timedout"
    assert re.fullmatch(
        r"RequestId: [0-9a-f-]{36} Error: Task timed out after 1\.00 seconds",
        error["ErrorMessage"],
    )


def test_invocation_of_a_process_that_lives_on_is_held(world: World) -> None:
    serve(world, "hangs")
    arn = world.start("hangs", "a")
    wait_for("the handler", lambda: "hangs" in world.noted())
    assert world.daemon
    world.daemon.kill()
    world.start_daemon()
    diagnose(world, "held", executionArn=arn)
    world.notes.write_text("go\n")


def test_changed_code(world: World) -> None:
    world.start_daemon()
    worker = world.start_worker("changed")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    arn = world.start("changed", "a")
    wait_for("the wait", lambda: "W" in world.story("a").split())
    worker.terminate()
    world.start_worker("changed", DURABLED_TEST_VERSION="2")
    done = world.finish("a")
    assert done["Status"] == "FAILED"
    assert (
        done["Error"]["ErrorType"]
        == "aws_durable_execution_sdk_python.exceptions.NonDeterministicExecutionError"
    )
    line = diagnose(world, "changed code", executionArn=arn)
    assert line["error"] == done["Error"]["ErrorMessage"]
