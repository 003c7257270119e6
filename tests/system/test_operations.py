"""Steps, retries, contexts, results: what a handler sees and what is recorded."""

from __future__ import annotations

import json
import os
import re
import signal

from conftest import World, wait_for


def run(world: World, handler: str, payload: object = None) -> dict:
    world.start_daemon()
    world.start_worker(handler)
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start(handler, "a", payload)
    return world.finish("a")


def test_retries_until_success(world: World) -> None:
    done = run(world, "retries")
    assert json.loads(done["Result"]) == "third time lucky"
    assert world.noted() == ["attempt-1", "attempt-2", "attempt-3"]
    assert world.story("a") == "X S S- I S S- I S S+ I X+"
    failed = [e for e in world.events("a") if e["EventType"] == "StepFailed"]
    assert [f["StepFailedDetails"]["RetryDetails"] for f in failed] == [
        {"CurrentAttempt": 1, "NextAttemptDelaySeconds": 1},
        {"CurrentAttempt": 2, "NextAttemptDelaySeconds": 1},
    ]


def test_custom_strategy_is_asked(world: World) -> None:
    done = run(world, "custom_retry")
    assert done["Status"] == "FAILED"
    assert world.noted() == ["asked-1-KeyError", "asked-2-KeyError"]
    assert world.story("a") == "X S S- I S S- I X-"


def test_child_contexts(world: World) -> None:
    done = run(world, "children")
    assert json.loads(done["Result"]) == {"total": 42, "seen": "seen", "big": 300_000}
    events = world.events("a")
    by_name = {
        e["Name"]: e for e in events if e["EventType"].endswith("Started") and "Name" in e
    }
    assert by_name["first"]["ParentId"] == by_name["sum"]["Id"]
    assert "virtual" not in by_name
    assert "ParentId" not in by_name["in_virtual"]
    # A large result is not stored; its body runs again on each replay.
    assert world.noted() == ["large-body", "large-body"]


def test_result_over_the_response_limit(world: World) -> None:
    done = run(world, "big_result")
    assert done["Status"] == "SUCCEEDED"
    assert len(json.loads(done["Result"])) == 6 * 1024 * 1024 - 20
    assert world.story("a") == "X X+ I"


def test_show_of_payloads_over_one_answer(world: World) -> None:
    """Together they have 12 MiB; what is shown leaves them out."""
    world.start_daemon()
    world.start_worker("big_result")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    (world.dir / "input").write_text('"' + "x" * (6 * 1024 * 1024 - 20) + '"')
    world.ctl("start", "big_result", "--name", "a", "--payload", f"@{world.dir}/input")
    wait_for("its end", lambda: world.show("a")["execution"]["Status"] == "SUCCEEDED")
    assert "It succeeded at " in world.ctl("show", "a").stdout


def test_logs_are_replay_safe_and_kept(world: World) -> None:
    run(world, "logs")
    kept = [line["message"] for line in world.ctl_json("logs", "a")["lines"]]
    assert kept == ["before", "inside", "after"]
    text = (world.dir / "worker.log").read_text()
    for message in ("before", "inside", "after"):
        assert len(re.findall(rf"\b{message}\b", text)) == 1


def test_every_event_has_the_identity_of_its_operation(world: World) -> None:
    run(world, "children")
    operations = {operation["Id"]: operation for operation in world.show("a")["operations"]}
    identity = "Id", "Name", "SubType", "ParentId"
    for event in world.events("a"):
        found = {key: event[key] for key in identity if key in event}
        if event["EventType"] == "InvocationCompleted":
            assert found == {}
            continue
        operation = operations[event["Id"]]
        assert found == {key: operation[key] for key in identity if key in operation}, event


def test_kept_logs_are_bounded(world: World) -> None:
    """The last 10,000 lines of an execution, and how many went before."""
    run(world, "logs_much", {"lines": 12_000, "step_every": 50})

    def trimmed() -> dict | None:
        kept = world.ctl_json("logs", "a")
        return kept if kept["dropped"] == 2_000 else None

    first = wait_for("the log's trim", trimmed)["lines"][0]
    assert (first["number"], first["message"]) == (2_001, "line 2000")
    assert world.ctl("logs", "a").stdout.count("\n") == 10_001


def test_long_log_lines_are_cut(world: World) -> None:
    run(world, "logs_much", {"lines": 3, "length": 60_000})
    lines = world.ctl_json("logs", "a")["lines"]
    assert [line["message"][:7] for line in lines] == ["line 0.", "line 1.", "line 2."]
    assert all(16_000 < len(line["message"]) <= 16 * 1024 for line in lines)


def test_logging_never_waits_for_the_daemon(world: World) -> None:
    daemon = world.start_daemon()
    world.start_worker("logs_much")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("logs_much", "a", {"lines": 500, "length": 60_000, "after": "stopped"})
    wait_for("the handler", lambda: "waits" in world.noted())
    os.kill(daemon.pid, signal.SIGSTOP)
    with world.notes.open("a") as notes:
        notes.write("stopped\n")
    wait_for("the handler's last line", lambda: "logged" in world.noted())
    os.kill(daemon.pid, signal.SIGCONT)
    assert world.finish("a")["Status"] == "SUCCEEDED"
