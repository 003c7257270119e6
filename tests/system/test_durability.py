"""What survives which death."""

from __future__ import annotations

import json
import signal

from conftest import World, wait_for


def test_order_runs_to_its_end(world: World) -> None:
    world.start_daemon()
    world.start_worker("order")
    world.ctl("functions")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("order", "a", {"order": "1001"})
    done = world.finish("a")
    assert done["Status"] == "SUCCEEDED"
    assert json.loads(done["Result"]) == {"status": "approved"}
    assert world.story("a") == "X S S+ W I W+ S S+ I X+"
    assert world.noted() == ["reserve-1", "ship"]
    ids = [event["EventId"] for event in world.events("a")]
    assert ids == list(range(1, len(ids) + 1))


def test_worker_killed_in_a_step_runs_it_again(world: World) -> None:
    world.start_daemon()
    worker = world.start_worker("blocks")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("blocks", "a", {})
    wait_for("the step", lambda: "begun" in world.noted())
    wait_for("its START", lambda: "S" in world.story("a").split())
    worker.kill()
    world.notes.write_text("go\n")
    world.start_worker("blocks")
    assert world.finish("a")["Status"] == "SUCCEEDED"
    # The same attempt goes on: no second StepStarted, and it counts as the first.
    assert world.story("a") == "X S I S+ I X+"
    events = world.events("a")
    failed = events[2]["InvocationCompletedDetails"]["Error"]["Payload"]
    assert failed["ErrorType"] == "Runtime.ExitError"
    assert events[3]["StepSucceededDetails"]["RetryDetails"]["CurrentAttempt"] == 1
    lost = world.log_events("WORKER_LOST")
    assert lost and lost[0]["pid"] == worker.pid
    assert world.log_events("INVOCATION_FAILED")[0]["error_type"] == "Runtime.ExitError"


def test_at_most_once_step_is_not_run_again(world: World) -> None:
    world.start_daemon()
    worker = world.start_worker("blocks")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("blocks", "a", {"at_most_once": True})
    wait_for("the step", lambda: "begun" in world.noted())
    worker.kill()
    world.start_worker("blocks")
    done = world.finish("a")
    assert done["Status"] == "FAILED"
    assert world.noted() == ["begun"]
    assert world.story("a") == "X S I S- I X-"


def test_at_most_once_step_with_retries_gets_a_second_attempt(world: World) -> None:
    world.start_daemon()
    worker = world.start_worker("blocks")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("blocks", "a", {"at_most_once": True, "attempts": 2})
    wait_for("the step", lambda: "begun" in world.noted())
    worker.kill()
    world.notes.write_text("go\n")
    world.start_worker("blocks")
    assert world.finish("a")["Status"] == "SUCCEEDED"
    assert world.story("a") == "X S I S- I S S+ I X+"


def test_daemon_killed_during_a_wait(world: World) -> None:
    daemon = world.start_daemon()
    world.start_worker("order")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("order", "a", {"order": "1001"})
    wait_for("the wait", lambda: "W" in world.story("a").split())
    daemon.kill()
    world.start_daemon()
    assert world.finish("a")["Status"] == "SUCCEEDED"
    assert world.noted() == ["reserve-1", "ship"]


def test_daemon_killed_while_a_step_runs(world: World) -> None:
    """The worker lives on: its step must not be started beside itself."""
    daemon = world.start_daemon()
    world.start_worker("blocks")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("blocks", "a", {})
    wait_for("the step", lambda: "begun" in world.noted())
    wait_for("its START", lambda: "S" in world.story("a").split())
    daemon.kill()
    world.start_daemon()
    wait_for("the worker again", lambda: len(world.log_events("WORKER_REGISTERED")) == 2)
    assert world.noted() == ["begun"]
    assert world.show("a")["standing"]["state"] == "held"
    with world.notes.open("a") as notes:
        notes.write("go\n")
    assert world.finish("a")["Status"] == "SUCCEEDED"
    # Its first run could not be acknowledged, so the step ran again, after it.
    assert world.noted() == ["begun", "go", "done", "begun", "done"]
    assert world.story("a") == "X S S+ I X+"


def test_daemon_killed_while_a_plain_function_runs(world: World) -> None:
    """Nobody knows what it did, so it is not run a second time."""
    daemon = world.start_daemon()
    world.start_worker("stamp")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("stamp", "a", 1)
    wait_for("the function", lambda: "asked-1" in world.noted())
    daemon.kill()
    world.start_daemon()
    wait_for("the worker again", lambda: len(world.log_events("WORKER_REGISTERED")) == 2)
    with world.notes.open("a") as notes:
        notes.write("go\n")
    done = world.finish("a")
    assert done["Status"] == "FAILED"
    assert done["Error"]["ErrorType"] == "Runtime.ExitError"
    assert world.noted() == ["asked-1", "go"]


def test_sigterm_ends_in_order_and_loses_nothing(world: World) -> None:
    daemon = world.start_daemon()
    world.start_worker("order")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("order", "a", {"order": "1001"})
    wait_for("the wait", lambda: "W" in world.story("a").split())
    assert daemon.terminate() == 0
    assert world.log_events("STOPPED")
    world.start_daemon()
    assert world.finish("a")["Status"] == "SUCCEEDED"


def test_worker_told_to_stop_hands_back_uncounted(world: World) -> None:
    world.start_daemon()
    worker = world.start_worker("blocks")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("blocks", "a", {})
    wait_for("the step", lambda: "begun" in world.noted())
    worker.popen.send_signal(signal.SIGTERM)
    wait_for("the release", lambda: world.log_events("INVOCATION_RELEASED"))
    with world.notes.open("a") as notes:
        notes.write("go\n")
    assert worker.popen.wait(30) == 0
    assert world.show("a")["standing"].get("failures", 0) == 0
    world.start_worker("blocks")
    assert world.finish("a")["Status"] == "SUCCEEDED"
    assert world.story("a") in ("X S S+ I X+", "X S+ I X+")


def test_missing_worker_waits_in_sight(world: World) -> None:
    world.start_daemon()
    worker = world.start_worker("order")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    assert worker.terminate() == 0
    world.start("order", "a", {"order": "1001"})
    shown = world.show("a")
    assert shown["standing"]["state"] == "queued"
    assert shown["standing"]["workers"] == 0
    assert "for a worker of `order`" in world.ctl("show", "a").stdout
    world.start_worker("order")
    assert world.finish("a")["Status"] == "SUCCEEDED"
    assert world.story("a") == "X S S+ W I W+ S S+ I X+"


def test_crash_looping_worker_never_closes_an_execution(world: World) -> None:
    world.start_daemon()
    world.start_worker("crashes")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("crashes", "a")
    wait_for("a crash", lambda: world.log_events("INVOCATION_FAILED"))
    for crashes in (2, 3):
        world.start_worker("crashes")
        wait_for("another", lambda n=crashes: len(world.log_events("INVOCATION_FAILED")) >= n)
    shown = world.show("a")
    assert shown["execution"]["Status"] == "RUNNING"
    assert shown["standing"]["failures"] == 3
    assert "Runtime.ExitError" in world.ctl("show", "a").stdout


def test_invocation_retries_option_closes_it(world: World) -> None:
    world.start_daemon("--invocation-retries", "2")
    world.start_worker("crashes")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    world.start("crashes", "a")
    wait_for("a crash", lambda: world.log_events("INVOCATION_FAILED"))
    world.start_worker("crashes")
    done = world.finish("a")
    assert done["Status"] == "FAILED"
    assert done["Error"]["ErrorType"] == "Runtime.ExitError"
