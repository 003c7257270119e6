"""Steps, retries, contexts, results: what a handler sees and what is recorded."""

from __future__ import annotations

import json
import re

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


def test_handler_that_raises_fails_the_execution(world: World) -> None:
    done = run(world, "raises")
    assert done["Status"] == "FAILED"
    assert done["Error"]["ErrorType"] == "ValueError"
    assert done["Error"]["ErrorMessage"] == "no such order"
    assert world.story("a") == "X I X-"
    closed = world.log_events("EXECUTION_CLOSED")
    assert closed[0]["status"] == "FAILED" and closed[0]["error_type"] == "ValueError"


def test_result_that_cannot_be_serialised(world: World) -> None:
    done = run(world, "unserialisable")
    assert done["Status"] == "FAILED"


def test_step_result_that_cannot_be_serialised(world: World) -> None:
    done = run(world, "unserialisable_step")
    assert done["Status"] == "FAILED"
    assert done["Error"]["ErrorType"].endswith("SerDesError")
    assert world.story("a") == "X S S- I X-"


def test_handler_that_exits_is_a_failed_invocation(world: World) -> None:
    world.start_daemon()
    world.start_worker("exits")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("exits", "a")
    wait_for("a failure", lambda: world.log_events("INVOCATION_FAILED"))
    assert world.describe("a")["Status"] == "RUNNING"


def test_forked_child_may_not_use_the_session(world: World) -> None:
    done = run(world, "forks")
    assert json.loads(done["Result"]) == "parent"
    assert len(world.noted()) == 1 and "Suspend" not in world.noted()[0]
    assert "W" not in world.story("a").split()


def test_changed_code_is_refused_by_name(world: World) -> None:
    world.start_daemon()
    worker = world.start_worker("changed")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("changed", "a")
    wait_for("the wait", lambda: "W" in world.story("a").split())
    worker.terminate()
    world.start_worker("changed", DURABLED_TEST_VERSION="2")
    done = world.finish("a")
    assert done["Status"] == "FAILED"
    assert re.search(r"NonDeterministic", done["Error"]["ErrorType"])
    assert "WAIT" in done["Error"]["ErrorMessage"] and "STEP" in done["Error"]["ErrorMessage"]
    assert "new-code" not in world.noted()
    line = world.log_events("DETERMINISM")[0]
    assert done["DurableExecutionArn"] == line["executionArn"]


def test_result_over_the_response_limit(world: World) -> None:
    done = run(world, "big_result")
    assert done["Status"] == "SUCCEEDED"
    assert len(json.loads(done["Result"])) == 6 * 1024 * 1024 - 20
    assert world.story("a") == "X X+ I"


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
