"""Starting, naming, stopping, listing; refusals; the daemon's own start."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path

import lmdb
from peer import Peer

from conftest import BIN, HERE, World, wait_for


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
    world.ctl("functions")  # answered once the registration is durable
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
    assert re.search(r"It was stopped at [\d:]+ after \S+ m?s\.", world.ctl("show", "a").stdout)


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


def test_usage_is_told_before_anything_is_asked(world: World) -> None:
    """Exit code 2 with the option and what it takes."""
    world.start_daemon()
    for args, said in (
        (["start", "order", "--payload", '{"order":'], "--payload: no JSON: "),
        (["start", "order", "--payload", "@none"], "--payload: none: No such file"),
        (["ls", "--status", "FALED"], "--status: 'FALED' is none of RUNNING, "),
        (["ls", "--since", "soon"], "--since: 'soon' is no time; write 15m"),
        (["ls", "--follow"], "ls: an option of another verb"),
        (["log-level", "loud"], "log-level: 'loud' is none of DEBUG, "),
        (["stop", "-"], "stop: - is not taken"),
        (["show"], "show: EXECUTION is missing"),
        (["dance"], "there is no verb 'dance'"),
    ):
        done = world.ctl(*args, check=False)
        assert (done.returncode, done.stdout) == (2, ""), args
        assert done.stderr.startswith(f"durablectl: {said}"), done.stderr


def test_one_program_has_two_names(world: World, tmp_path: Path) -> None:
    """durablectl by the name of its file, wherever that is, or by the first argument."""
    world.start_daemon()
    link = tmp_path / "durablectl"
    link.symlink_to(world.program.resolve())
    told = [
        subprocess.check_output([*program, "--json", "functions"], env=world.env)
        for program in ([BIN / "durablectl"], [link], [world.program, "ctl"])
    ]
    assert told == [b'{"functions": []}\n'] * 3
    daemon = subprocess.run([world.program, "functions"], env=world.env, capture_output=True)
    assert daemon.returncode == 2, daemon


def test_log_level_of_a_running_daemon(world: World) -> None:
    ready(world)
    assert not world.log_events("EXECUTION_STARTED")
    world.ctl("log-level", "debug")
    world.start("order", "a", {"order": "1"})
    wait_for("a DEBUG line", lambda: world.log_events("EXECUTION_STARTED"))


def test_doctor(world: World) -> None:
    """From any directory: what the daemon says of its data does not depend on one."""
    world.data = Path(os.path.relpath(world.data, HERE))
    ready(world)
    assert f"{HERE}/{world.data}, writable" in world.ctl("doctor").stdout
    assert world.ctl("doctor", "--socket", "none", check=False).returncode == 3


# -- the daemon's start ---------------------------------------------------------


def heads(world: World) -> int:
    """How many executions the tables know; what is not folded is in the log alone."""
    env = lmdb.open(str(world.data), max_dbs=32, readonly=True, lock=False)
    with env.begin() as txn:
        entries: int = txn.stat(env.open_db(b"heads", txn, create=False))["entries"]
    env.close()
    return entries


def test_idle_daemon_folds_by_itself(world: World) -> None:
    world.start_daemon()
    worker = world.start_worker("order")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    worker.terminate()
    world.start("order", "alone")
    wait_for("the fold", lambda: heads(world) == 1)


def test_leftover_socket_is_removed(world: World) -> None:
    world.start_daemon().kill()
    assert world.socket.exists()
    world.start_daemon()
    mode = stat.S_IMODE(os.stat(world.socket).st_mode)
    assert mode == 0o600


def test_check_of_a_sound_store(world: World) -> None:
    ready(world)
    world.start("order", "a", {"order": "1"})
    world.finish("a")
    world.daemon.terminate()
    done = world.check()
    assert done.returncode == 0 and "no damage" in done.stdout


def test_payload_text_is_kept_as_it_is(world: World) -> None:
    """Text of any shape comes back exactly; the daemon never parses it."""
    ready(world)
    text = '  {"order" :\t"\\u0000é 🙂",  "n":1e400}\n'
    peer = Peer(world).hello()
    start = {"function": "order", "name": "odd", "payload": text}
    error, result = peer.call("execution.start", start)
    assert error is None, error
    error, described = peer.call("execution.describe", {"execution": "odd", "data": True})
    assert error is None and described["execution"]["InputPayload"] == text
    assert json.loads(json.dumps(result))["name"] == "odd"


def test_answer_that_nobody_waits_for_leaves_with_the_next(world: World) -> None:
    world.start_daemon()
    worker, other = Peer(world).hello(), Peer(world).hello()
    worker.call(
        "worker.register", {"functions": [{"name": "f"}], "concurrency": 1, "instance": "i"}
    )
    other.call("execution.start", {"function": "f"})
    _, given = worker.call("worker.next", {})
    _, begun = worker.call(
        "session.begin", {"event": given["invocation"]["event"], "profile": "c"}
    )

    def start(position: int, *, ahead: bool) -> int:
        """Sent; what the other peer is answered was read after it."""
        place = {"session": begun["session"], "context": 0, "position": position}
        number = worker.post(
            "session.start", {**place, "operation": position, "type": "STEP", "ahead": ahead}
        )
        other.call("daemon.status", {})
        return number

    first = start(1, ahead=False)
    assert worker.answered() == [first]
    second = start(2, ahead=True)
    assert worker.answered() == []
    third = start(3, ahead=False)
    assert worker.answered() == [second, third]
