"""Starting, naming, stopping, listing; refusals; the daemon's own start."""

from __future__ import annotations

import json
import os
import select
import socket
import stat
import struct
import subprocess

import msgpack
import pytest

from conftest import BIN, World, wait_for


def ready(world: World, handler: str = "order") -> None:
    world.start_daemon()
    world.start_worker(handler)
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))


def test_same_name_and_payload_is_the_same_execution(world: World) -> None:
    ready(world)
    first = world.start("order", "a", {"order": "1"})
    assert world.start("order", "a", {"order": "1"}) == first
    refused = world.ctl("start", "order", "--name", "a", "--payload", "{}", check=False)
    assert refused.returncode != 0
    assert f"Execution already started: {first}" in refused.stderr


def test_unknown_function_names_the_known_ones(world: World) -> None:
    ready(world)
    refused = world.ctl("start", "ordre", check=False)
    assert refused.returncode == 4
    assert "order" in refused.stderr


def test_function_stays_known_without_its_worker(world: World) -> None:
    ready(world)
    world.daemon.kill()
    world.start_daemon()
    world.start("order", "a", {"order": "1"})


def test_start_with_wait_follows_to_the_end(world: World) -> None:
    ready(world)
    done = world.ctl("start", "order", "--name", "a", "--payload", '{"order": "1"}', "--wait")
    assert "approved" in done.stdout
    arn = done.stdout.split()[0]
    assert arn.startswith("arn:aws:lambda:us-east-1:000000000000:function:order:$LATEST/")


def test_start_with_wait_exits_by_outcome(world: World) -> None:
    ready(world, "raises")
    done = world.ctl("start", "raises", "--wait", check=False)
    assert done.returncode == 1
    assert "no such order" in done.stdout + done.stderr


def test_stop_while_a_step_runs(world: World) -> None:
    ready(world, "blocks")
    world.start("blocks", "a", {})
    wait_for("the step", lambda: "begun" in world.noted())
    world.ctl("stop", "a")
    with world.notes.open("a") as notes:
        notes.write("go\n")
    assert world.describe("a")["Status"] == "STOPPED"
    wait_for("the invocation's end", lambda: world.story("a").endswith("I"))
    assert world.story("a").split()[-2:] == ["X!", "I"]
    world.ctl("stop", "a")
    refused = world.ctl("stop", "-", check=False)
    assert refused.returncode == 2


def test_list_and_filters(world: World) -> None:
    ready(world)
    world.start("order", "a", {"order": "1"})
    world.start("order", "b", {"order": "2"})
    world.finish("a")
    world.finish("b")
    names = [e["name"] for e in world.ctl_json("ls")["executions"]]
    assert names == ["b", "a"]
    assert world.ctl_json("ls", "--status", "RUNNING")["executions"] == []
    assert len(world.ctl_json("ls", "--function", "order")["executions"]) == 2
    assert world.ctl_json("show", "-")["execution"]["DurableExecutionName"] == "b"


def test_show_says_what_it_waits_for(world: World) -> None:
    ready(world)
    world.start("order", "a", {"order": "1"})
    wait_for("the wait", lambda: world.show("a")["standing"]["state"] == "waiting")
    assert "waiting for `cooling_off` until" in world.ctl("show", "a").stdout


def test_no_daemon_names_paths_and_cure(world: World) -> None:
    refused = world.ctl("ls", check=False)
    assert refused.returncode == 3
    assert str(world.socket) in refused.stderr and "durabled serve" in refused.stderr


def test_log_level_of_a_running_daemon(world: World) -> None:
    ready(world)
    assert not world.log_events("EXECUTION_STARTED")
    world.ctl("log-level", "debug")
    world.start("order", "a", {"order": "1"})
    wait_for("a DEBUG line", lambda: world.log_events("EXECUTION_STARTED"))


def test_doctor(world: World) -> None:
    ready(world)
    assert world.ctl("doctor").returncode == 0


# -- the daemon's start ---------------------------------------------------------


def refused_start(world: World, *options: str) -> str:
    process = world.try_daemon(*options)
    assert process.popen.wait(30) != 0
    return process.output()


def test_second_daemon_on_the_same_data(world: World) -> None:
    daemon = world.start_daemon()
    text = refused_start(world, "--socket", str(world.dir / "other.sock"))
    assert str(daemon.pid) in text.splitlines()[-1]


def test_second_daemon_on_the_same_socket(world: World) -> None:
    daemon = world.start_daemon()
    text = refused_start(world, "--data", str(world.dir / "other"))
    assert str(daemon.pid) in text.splitlines()[-1]


def transactions(world: World) -> int:
    """How many the store has had: the later of LMDB's two meta pages has the number."""
    pages = (world.data / "data.mdb").read_bytes()[: 2 * 4096]
    return max(struct.unpack_from("<Q", pages, at + 144)[0] for at in (0, 4096))


def test_idle_daemon_folds_by_itself(world: World) -> None:
    world.start_daemon()
    worker = world.start_worker("order")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    worker.terminate()
    before = transactions(world)
    world.start("order", "alone")
    wait_for("the fold", lambda: transactions(world) >= before + 2)


def test_leftover_socket_is_removed(world: World) -> None:
    world.start_daemon().kill()
    assert world.socket.exists()
    world.start_daemon()
    mode = stat.S_IMODE(os.stat(world.socket).st_mode)
    assert mode == 0o600


def test_bad_options_are_named(world: World) -> None:
    for options, named in (
        (["--nonsense"], "--nonsense"),
        (["--map-size", "much"], "--map-size"),
        (["--retention", "0"], "--retention"),
    ):
        text = refused_start(world, *options)
        assert named in text


def test_store_of_a_newer_version(world: World) -> None:
    world.start_daemon().terminate()
    env = pytest.importorskip("lmdb", reason="py-lmdb edits the store").open(
        str(world.data), max_dbs=32, map_size=1 << 30
    )
    with env.begin(write=True) as txn:
        tables: list[bytes] = [key for key, _ in txn.cursor()]
        meta = env.open_db(next(t for t in tables if b"meta" in t), txn)
        assert txn.get(b"version", db=meta) is not None
        value = bytearray(txn.get(b"version", db=meta))
        value[-1] += 1
        txn.put(b"version", bytes(value), db=meta)
    env.close()
    text = refused_start(world)
    assert "newer" in text.splitlines()[-1]


def test_store_cut_short(world: World) -> None:
    ready(world)
    world.start("order", "a", {"order": "1"})
    world.finish("a")
    world.daemon.terminate()
    data = world.data / "data.mdb"
    with data.open("r+b") as file:
        file.truncate(data.stat().st_size // 2)
    text = refused_start(world)
    assert "cut short" in text.splitlines()[-1]


def test_check_of_a_sound_store(world: World) -> None:
    ready(world)
    world.start("order", "a", {"order": "1"})
    world.finish("a")
    world.daemon.terminate()
    done = subprocess.run(
        [str(BIN / "durabled"), "check", "--data", str(world.data)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0 and "no damage" in done.stdout


# -- bytes on the socket -----------------------------------------------------------


class Raw:
    """A peer that speaks whatever it likes."""

    def __init__(self, world: World) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(world.socket))
        self.unpacker = msgpack.Unpacker(raw=False)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def call(self, method: str, params: object, number: int = 1) -> tuple[object, object]:
        self.send(msgpack.packb([0, number, method, [params]]))
        while True:
            for message in self.unpacker:
                assert message[0] == 1 and message[1] == number
                return message[2], message[3]
            data = self.socket.recv(65536)
            assert data, "the daemon closed the connection"
            self.unpacker.feed(data)

    def answered(self) -> list[int]:
        """The numbers of the calls whose answers are there already."""
        if select.select([self.socket], [], [], 0)[0]:
            self.unpacker.feed(self.socket.recv(65536))
        return [message[1] for message in self.unpacker]

    def closed(self) -> bool:
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",  # never used
        b"\xdd\xff\xff\xff\xff",  # an array of 4 G elements
        b"\x91" * 64,  # too deep
        b"\xdb\x7f\xff\xff\xff",  # a string of 2 GiB
        b"GET / HTTP/1.1\r\n\r\n",
        msgpack.packb({"a": 1}),
        msgpack.packb([7, 1, "hello", [{}]]),
    ],
)
def test_unframeable_bytes_close_that_connection_alone(world: World, data: bytes) -> None:
    world.start_daemon()
    good = Raw(world)
    assert good.call("hello", {"level": 1, "client": "test"})[0] is None
    bad = Raw(world)
    bad.send(data)
    assert bad.closed()
    assert (
        wait_for("the log", lambda: world.log_events("CONNECTION_REFUSED"))[0]["pid"]
        == os.getpid()
    )
    assert good.call("daemon.status", {}, 2)[0] is None


def test_bad_calls_fail_alone_and_name_the_field(world: World) -> None:
    world.start_daemon()
    peer = Raw(world)
    error, _ = peer.call("daemon.status", {})
    assert error["code"] == "Protocol.OutOfOrder"
    assert peer.call("hello", {"level": 1, "client": "test"}, 2)[0] is None
    error, _ = peer.call("no.such", {}, 3)
    assert error["code"] == "Protocol.UnknownMethod"
    error, _ = peer.call("execution.start", {"function": 7}, 4)
    assert error["code"] == "Protocol.InvalidParams" and error["field"] == "function"
    error, _ = peer.call("execution.start", {}, 5)
    assert error["code"] == "Protocol.InvalidParams" and error["field"] == "function"
    error, _ = peer.call("session.end", {"session": 99}, 6)
    assert error["code"] == "Protocol.UnknownSession"
    assert peer.call("daemon.status", {}, 7)[0] is None


def test_half_a_message_then_nothing(world: World) -> None:
    world.start_daemon()
    peer = Raw(world)
    whole = msgpack.packb([0, 1, "hello", [{"level": 1, "client": "test"}]])
    peer.send(whole[:10])
    peer.socket.close()
    other = Raw(world)
    assert other.call("hello", {"level": 1, "client": "test"})[0] is None


def test_payload_text_is_kept_as_it_is(world: World) -> None:
    """Text of any shape comes back exactly; the daemon never parses it."""
    ready(world)
    text = '  {"order" :\t"\\u0000é 🙂",  "n":1e400}\n'
    peer = Raw(world)
    peer.call("hello", {"level": 1, "client": "test"})
    error, result = peer.call(
        "execution.start", {"function": "order", "name": "odd", "payload": text}, 2
    )
    assert error is None, error
    error, described = peer.call("execution.describe", {"execution": "odd", "data": True}, 3)
    assert error is None and described["execution"]["InputPayload"] == text
    assert json.loads(json.dumps(result))["name"] == "odd"


def test_answer_that_nobody_waits_for_leaves_with_the_next(world: World) -> None:
    world.start_daemon()
    worker, other = Raw(world), Raw(world)
    for peer in (worker, other):
        peer.call("hello", {"level": 1, "client": "test"})
    worker.call(
        "worker.register", {"functions": [{"name": "f"}], "concurrency": 1, "instance": "i"}
    )
    other.call("execution.start", {"function": "f"})
    _, given = worker.call("worker.next", {})
    _, begun = worker.call(
        "session.begin", {"event": given["invocation"]["event"], "profile": "c"}
    )

    def start(number: int, ahead: bool) -> bytes:
        params = {
            "session": begun["session"],
            "operation": number,
            "context": 0,
            "position": number,
            "type": "STEP",
            "ahead": ahead,
        }
        return msgpack.packb([0, number, "session.start", [params]])

    # What the other peer is answered was read after what this one sent.
    worker.send(start(1, ahead=False))
    other.call("daemon.status", {})
    assert worker.answered() == [1]
    worker.send(start(2, ahead=True))
    other.call("daemon.status", {})
    assert worker.answered() == []
    worker.send(start(3, ahead=False))
    other.call("daemon.status", {})
    assert worker.answered() == [2, 3]
