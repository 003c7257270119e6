"""Completing callbacks by hand, and what durablectl says of those who wait for them, of
invokes and of batches."""

from __future__ import annotations

import re
import shlex

from conftest import World, wait_for

CLOCK = r"\d\d:\d\d(:\d\d)?"


def ready(world: World, *handlers: str) -> None:
    world.start_daemon()
    for handler in handlers:
        world.start_worker(handler)
    wait_for("the workers", lambda: len(world.log_events("WORKER_REGISTERED")) == len(handlers))


def wait_for_waiting(world: World, name: str, kind: str) -> None:
    def waits() -> bool:
        standing = world.show(name)["standing"]
        return bool(
            standing["state"] == "waiting" and standing.get("operation", {}).get("Type") == kind
        )

    wait_for(f"{name} to wait for its {kind}", waits)


def ask_for_approval(world: World, name: str = "a", **payload: int) -> str:
    """Starts one that waits for its approval; returns the callback's id."""
    world.start("approval", name, payload)
    wait_for_waiting(world, name, "CALLBACK")
    return world.noted()[-1]


def test_by_id(world: World) -> None:
    ready(world, "approval")
    callback = ask_for_approval(world)
    assert world.ctl("callback", "succeed", callback, "--payload", "yes").stdout == "done\n"
    assert world.finish("a")["Result"] == '"yes"'


def test_by_name_and_over_a_restart(world: World) -> None:
    ready(world, "approval")
    ask_for_approval(world)
    world.daemon.kill()
    world.start_daemon()
    world.ctl("callback", "succeed", "a", "approval", "--payload", "yes")
    assert world.finish("a")["Result"] == '"yes"'


def test_result_from_a_file_and_none(world: World) -> None:
    ready(world, "two_callbacks")
    world.start("two_callbacks", "a", {})
    wait_for_waiting(world, "a", "CALLBACK")
    (world.notes.parent / "answer").write_text("from a file")
    world.ctl("callback", "succeed", "a", "second")
    world.ctl("callback", "succeed", "a", "first", "--payload", f"@{world.notes.parent}/answer")
    assert world.finish("a")["Result"] == '["from a file", null]'


def test_failure_has_its_type_and_message(world: World) -> None:
    ready(world, "approval")
    callback = ask_for_approval(world)
    error = ["--error-type", "Rejected", "--error-message", "the page is missing"]
    world.ctl("callback", "fail", callback, *error)
    assert "the page is missing" in world.finish("a")["Result"]
    failed = next(e for e in world.events("a") if e["EventType"] == "CallbackFailed")
    assert failed["CallbackFailedDetails"]["Error"]["Payload"] == {
        "ErrorType": "Rejected",
        "ErrorMessage": "the page is missing",
    }


def test_heartbeat_moves_the_heartbeat_timeout(world: World) -> None:
    ready(world, "approval")
    callback = ask_for_approval(world, heartbeat=600, timeout=3600)
    until_ms = world.show("a")["standing"]["until_ms"]
    world.ctl("callback", "heartbeat", callback)
    assert world.show("a")["standing"]["until_ms"] > until_ms


def test_second_answer_and_answer_after_the_timeout_are_refused(world: World) -> None:
    ready(world, "approval")
    callback = ask_for_approval(world)
    world.ctl("callback", "succeed", callback, "--payload", "yes")
    late = ask_for_approval(world, "b", timeout=1)
    world.finish("b")
    for answered in (callback, late):
        for action in ("succeed", "fail", "heartbeat"):
            refused = world.ctl("callback", action, answered, check=False)
            assert refused.returncode == 5
            assert "CallbackTimeoutException" in refused.stderr
    assert world.finish("a")["Result"] == '"yes"'


def test_unknown_callbacks_are_refused(world: World) -> None:
    ready(world, "approval")
    ask_for_approval(world)
    for words in (["a", "approvel"], ["nobody", "approval"]):
        refused = world.ctl("callback", "succeed", *words, check=False)
        assert (refused.returncode, refused.stdout) == (4, ""), refused.stderr


def test_usage(world: World) -> None:
    world.start_daemon()
    for args, said in (
        (["succeed"], "callback: ACTION ID|EXECUTION [NAME] is missing"),
        (["approve", "x"], "callback: 'approve' is none of succeed, fail, heartbeat"),
        (["fail", "x", "--payload", "y"], "callback: --payload goes with succeed"),
        (["succeed", "x", "--error-type", "y"], "callback: an error goes with fail"),
    ):
        done = world.ctl("callback", *args, check=False)
        assert (done.returncode, done.stderr) == (2, f"durablectl: {said}\n")


def commands(shown: str) -> list[list[str]]:
    """The commands that a `show` prints, as a shell reads them, without `durablectl`."""
    return [
        shlex.split(line)[1:] for line in shown.splitlines() if line.startswith("  durablectl ")
    ]


def test_show_prints_the_command_that_completes_it(world: World) -> None:
    ready(world, "approval")
    callback = ask_for_approval(world, timeout=3600, heartbeat=7200)
    shown = world.ctl("show", "a").stdout
    assert re.search(
        rf"^It is waiting for the callback `approval` since {CLOCK}, until .*{CLOCK}\.$",
        shown,
        re.MULTILINE,
    )
    assert shown.endswith(
        f"\nTo complete `approval`:\n  durablectl callback succeed '{callback}'\n"
    )
    timeline = world.ctl("history", "a").stdout
    assert f"callback {callback}, timeout 1 h 0 min, heartbeat 2 h 0 min\n" in timeline
    (command,) = commands(shown)
    world.ctl(*command)
    assert world.finish("a")["Status"] == "SUCCEEDED"
    assert "durablectl" not in world.ctl("show", "a").stdout


def test_show_names_the_socket_that_it_was_given(world: World) -> None:
    ready(world, "two_callbacks")
    world.start("two_callbacks", "a", {})
    wait_for_waiting(world, "a", "CALLBACK")
    socket = world.dir / "it's"
    socket.symlink_to(world.socket)
    shown = world.ctl("--socket", str(socket), "show", "a").stdout
    assert re.findall("^To complete (.*):$", shown, re.MULTILINE) == ["`first`", "`second`"]
    for command in commands(shown):
        assert command[:2] == ["--socket", str(socket)]
        world.ctl(*command)
    assert world.finish("a")["Result"] == "[null, null]"


def test_show_leads_from_an_invoke_to_what_it_waits_for(world: World) -> None:
    ready(world, "approval", "invokes")
    world.start("invokes", "a", {"function": "approval:$LATEST", "document": {}})
    wait_for_waiting(world, "a", "CHAINED_INVOKE")
    (command,) = commands(world.ctl("show", "a").stdout)
    child = command[-1]
    wait_for_waiting(world, child, "CALLBACK")
    assert "waiting for the callback `approval`" in world.ctl(*command).stdout
    timeline = world.ctl("history", "a").stdout
    assert f"function approval:$LATEST, execution {child}, input {{}}\n" in timeline
    names = {e["name"] for e in world.ctl_json("ls", "--waiting")["executions"]}
    assert names == {"a", world.describe(child)["DurableExecutionName"]}
    world.ctl("callback", "succeed", child, "approval", "--payload", "yes")
    assert world.finish("a")["Result"] == '"yes"'


def test_list_of_those_who_wait(world: World) -> None:
    """For a callback, or for another function: both stand still and cost nothing."""
    ready(world, "approval", "invokes", "stamp")
    ask_for_approval(world)
    world.start("invokes", "b", {"function": "stamp", "document": "lease"})
    wait_for_waiting(world, "b", "CHAINED_INVOKE")
    names = {e["name"] for e in world.ctl_json("ls", "--waiting")["executions"]}
    assert {"a", "b"} <= names
    assert "It is waiting for the invoke `stamp` since " in world.ctl("show", "b").stdout
    with world.notes.open("a") as notes:
        notes.write("go\n")
    assert world.finish("b")["Result"] == '"lease stamped"'
    assert "stamp" in world.ctl("history", "b").stdout


def test_list_says_until_when_only_of_what_is_due(world: World) -> None:
    """The end of the execution's own time is not what it waits for."""
    world.start_daemon()
    world.start_worker("approval", "--execution-timeout", "3600")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    ask_for_approval(world, "a")
    ask_for_approval(world, "b", timeout=60)
    b, a = world.ctl_json("ls")["executions"]
    assert "until_ms" not in a
    assert b["until_ms"] == world.show("b")["standing"]["until_ms"]
    first, second = world.ctl("ls").stdout.splitlines()[1:]
    assert "until" in first
    assert "until" not in second


def test_many_branches_are_folded(world: World) -> None:
    ready(world, "maps")
    world.start("maps", "a", {"items": 100})
    assert world.finish("a")["Result"] == str(sum(range(100)) * 2)
    shown = world.ctl("show", "a").stdout
    assert "100 more that succeeded" in shown
    assert len(shown.splitlines()) < 20


def test_failed_and_open_branches_are_not_folded(world: World) -> None:
    """Over pages of the description, of which --json has all."""
    fails, waits = [700, 1050], [3, 1099]
    ready(world, "maps")
    world.start("maps", "a", {"items": 1100, "fails": fails, "waits": waits})
    wait_for_waiting(world, "a", "CALLBACK")
    shown = world.ctl("show", "a").stdout
    branches = re.findall(r"^    - item-(\d+)  MapIteration  (\w+)", shown, re.MULTILINE)
    assert {(int(item), status) for item, status in branches[:2]} == {
        (item, "FAILED") for item in fails
    }
    assert {(int(item), status) for item, status in branches[2:]} == {
        (item, "STARTED") for item in waits
    }
    assert shown.count("\n      - approval  Callback  STARTED") == 2
    assert "\n    - 1096 more that succeeded\n" in shown
    assert "\nTo complete `approval` in `item-3`:\n" in shown
    for command in commands(shown):
        world.ctl(*command)
    assert world.finish("a")["Result"] == str(sum(set(range(1100)) - set(fails)) * 2)
    operations = world.show("a")["operations"]
    assert [each["Type"] for each in operations[:2]] == ["EXECUTION", "CONTEXT"]
    assert len(operations) == len({each["Id"] for each in operations}) == 2 + 1100 + 1098 + 2


def test_a_screen_of_them_is_shown_and_the_rest_counted(world: World) -> None:
    ready(world, "maps")
    world.start("maps", "a", {"items": 60, "fails": [*range(23)], "waits": [*range(40, 50)]})
    wait_for_waiting(world, "a", "CALLBACK")
    shown = world.ctl("show", "a").stdout
    assert shown.count("MapIteration  FAILED") == 20
    assert "MapIteration  STARTED" not in shown
    assert "\n    - 3 more failed, 10 more open, 27 more that succeeded\n" in shown
    assert len(commands(shown)) == 3
    assert shown.endswith("\n7 more open; history has the ids of all callbacks.\n")
    world.ctl("stop", "a")
    assert commands(world.ctl("show", "a").stdout) == []


def test_few_branches_stay_in_order(world: World) -> None:
    ready(world, "maps")
    world.start("maps", "a", {"items": 20, "fails": [7]})
    world.finish("a")
    shown = world.ctl("show", "a").stdout
    assert len(re.findall("MapIteration", shown)) == 20
    assert " more " not in shown
