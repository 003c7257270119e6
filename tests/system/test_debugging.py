"""extensions/DEBUGGING.md: each of its causes is provoked once, and the line that comes of it
says what the page says. Its queries run over the lines of real invocations."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import insights
import pytest
from lambda_sandbox import LOCAL, Between, ExtensionsApi, Fault, Layer, lines, start_extension
from peer import Peer

from conftest import BIN, HERE, PATIENCE_S, Process, World, wait_for

PAGE = (HERE.parents[1] / "extensions/DEBUGGING.md").read_text()
SECRET = "PAYLOAD-7"  # in every input and result
KEYS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_SESSION_TOKEN": "SESSION-TOKEN-7",
}
FOREVER = 1000
Line = dict[str, Any]


def tables() -> list[list[list[str]]]:
    """The page's tables, cell by cell, without their headings."""
    found: list[list[list[str]]] = [[]]
    for line in re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL).splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split(" | ")])
        elif found[-1]:
            found.append([])
    return [table[2:] for table in found if table]


CAUSES, CLIENTS, FIELDS = tables()
ROWS = {row[3]: row for row in CAUSES}


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


DOCUMENTED = {"timestamp", "level", "code", "message"} | {
    name for row in FIELDS for name in names(row[0])
}


def check(line: Line) -> None:
    """The line says what the page says."""
    _, code, ids, cause, remedy = ROWS[line["cause"]]
    assert names(code) == [line["code"]]
    assert (line["cause"], line["remedy"]) == (cause, remedy)
    assert line["level"] in ("INFO", "WARN", "ERROR")
    for name in names(ids):
        assert line[name], f"no {name} in {line}"
        assert name != "executionArn" or "/durable-execution/" in line[name]


def check_all(extension: Process, *secrets: str) -> list[Line]:
    """Every field of every line is on the page, and no line tells a secret."""
    extension.terminate()
    found = lines(extension)
    assert len(found) == len(extension.output().splitlines())
    for line in found:
        assert line.keys() <= DOCUMENTED, line
        for member in [*line.get("steps", []), *line.get("awaits", [])]:
            assert member.keys() <= DOCUMENTED | {"operationType"}, line
    for secret in (SECRET, KEYS["AWS_SESSION_TOKEN"], *secrets):
        assert secret not in extension.output()
    return found


def tokens_of(between: Between) -> set[str]:
    answered = [json.loads(data) for status, data in between.answers if status == 200]
    sent = {call["CheckpointToken"] for call in between.checkpoints()}
    return sent | {
        answer["CheckpointToken"] for answer in answered if "CheckpointToken" in answer
    }


def close(layer: Layer) -> list[Line]:
    return check_all(layer.extension, *tokens_of(layer.between))


def layer_of(world: World, handler: str = "order", **options: Any) -> Layer:
    return Layer(world, handler, **{**KEYS, **options})


def line_of(layer: Layer, code: str) -> Line:
    """The first line with this code and a cause, once it is there."""
    return wait_for(
        code, lambda: next((line for line in layer.logged(code) if line["cause"]), None)
    )


def call_fails(world: World, fault: Fault | None, **options: Any) -> Line:
    """A call of AWS's API meets the fault each time, until its invocation's deadline."""
    layer = layer_of(world, timeout_s=2, **options)
    if fault:
        layer.between.faults.extend([fault] * FOREVER)
    layer.begin({"order": SECRET}, "f:$LATEST")
    line = line_of(layer, "API_FAILED")
    close(layer)
    return line


def refusal(status: int, kind: str, message: str, **headers: str) -> Callable[[World], Line]:
    def case(world: World) -> Line:
        line = call_fails(world, Between.refuses(status, kind, message, **headers))
        assert line["error_type"] == kind and message[:80] in line["error"]
        return line

    return case


# What AWS says; the two cases are told apart by the policy alone.
NOT_AUTHORIZED = (
    "User: arn:aws:sts::123456789012:assumed-role/f-role/f is not authorized to perform: "
    "lambda:CheckpointDurableExecution on resource: "
    "arn:aws:lambda:us-east-1:123456789012:function:f:7 because no identity-based policy "
    "allows the lambda:CheckpointDurableExecution action"
)


def elsewhere(address: str) -> Callable[[World], Line]:
    """Nothing answers there, and nothing leaves this machine for it."""

    def case(world: World) -> Line:
        layer = layer_of(world, timeout_s=2)
        layer.between.close()
        layer.between.address = address or layer.between.address
        layer.start_again()
        layer.begin({"order": SECRET}, "f:$LATEST")
        line = line_of(layer, "API_FAILED")
        assert line["attempts"] > 1
        close(layer)
        return line

    return case


def untrusted(world: World) -> Line:
    layer = layer_of(world, timeout_s=2)
    layer.behind_tls()
    layer.start_again(scheme="https")
    layer.begin({"order": SECRET}, "f:$LATEST")
    line = line_of(layer, "API_FAILED")
    close(layer)
    return line


def never(world: World) -> Line:
    return call_fails(world, Between.waits(threading.Event()))


def slow(world: World) -> Line:
    """It answers, after the invocation's deadline."""

    def fault(request: Any, body: bytes) -> bool:
        time.sleep(2.5)
        return False

    return call_fails(world, fault)


def cut(request: Any, body: bytes) -> bool:
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    request.close_connection = True
    return True


def of_fault(fault: Fault) -> Callable[[World], Line]:
    return lambda world: call_fails(world, fault)


def clock_skew(world: World) -> Line:
    """The service is an hour ahead, and says so."""

    def fault(request: Any, body: bytes) -> bool:
        request.send_response_only(403)
        request.send_header("Date", formatdate(time.time() + 3600, usegmt=True))
        request.send_header("x-amzn-errortype", "InvalidSignatureException")
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"{}")
        return True

    layer = layer_of(world)
    layer.between.faults.append(fault)
    layer.begin({"order": SECRET}, "f:$LATEST")
    line = line_of(layer, "CLOCK_DIFFERS")
    assert 3_500_000 < line["skew_ms"] < 3_700_000
    close(layer)
    return line


def no_keys(world: World) -> Line:
    return call_fails(world, None, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")


def no_region(world: World) -> Line:
    """Nobody is asked, and the extension goes on."""
    layer = layer_of(world, AWS_REGION="x.test/")
    layer.begin({"order": SECRET}, "f:$LATEST")
    line = line_of(layer, "API_FAILED")
    wait_for("the next invocation", lambda: len(layer.logged("API_FAILED")) > 1)
    assert line["retryable"] == 1 and line["attempts"] == 0
    assert layer.between.seen == [] and layer.extension.popen.poll() is None
    close(layer)
    return line


class Alone:
    """The extension with a handler that the test plays."""

    def __init__(self, world: World, **env: str) -> None:
        self.api = ExtensionsApi()
        env = {"DURABLED_SOCKET": str(world.socket), **LOCAL, **env}
        self.extension = start_extension(world, self.api, **env)
        wait_for("next", lambda: self.api.asked == 1)
        self.peer = Peer(world).hello()

    def begin(self, token: str, left_ms: int = 30_000) -> Any:
        execution = {"Id": "i", "Type": "EXECUTION", "Status": "STARTED"}
        event = {
            "DurableExecutionArn": "arn:aws:lambda:r:1:function:f:1/durable-execution/n/i",
            "CheckpointToken": token,
            "InitialExecutionState": {
                "Operations": [{**execution, "ExecutionDetails": {"InputPayload": SECRET}}]
            },
        }
        deadline = int(time.time() * 1000) + left_ms
        begin = {"event": json.dumps(event), "profile": "python", "request_id": "r-1"}
        error, _ = self.peer.call("session.begin", {**begin, "deadline_ms": deadline})
        assert error is None

    def step(self) -> None:
        """A step, whose end is to be recorded."""
        start = {"operation": 1, "context": 0, "position": 1, "type": "STEP", "name": "s"}
        error, _ = self.peer.call("session.start", {"session": 1, **start})
        assert error is None
        self.peer.post("session.succeed", {"session": 1, "operation": 1, "payload": SECRET})

    def line(self, code: str, *secrets: str) -> Line:
        line = wait_for(
            code, lambda: [one for one in lines(self.extension) if one["code"] == code]
        )
        check_all(self.extension, *secrets)
        return dict(line[0])


def too_near_the_deadline(world: World) -> Line:
    alone = Alone(world)
    alone.begin("TOKEN-7", left_ms=0)
    alone.step()
    return alone.line("API_FAILED", "TOKEN-7")


def no_token(world: World) -> Line:
    alone = Alone(world)
    alone.begin("")
    alone.step()
    return alone.line("API_FAILED")


def go(world: World) -> None:
    """What a handler waits for."""
    with world.notes.open("a") as notes:
        notes.write("go\n")


def stopped(world: World) -> Line:
    """While a step of its runs."""
    layer = layer_of(world, "blocks")
    layer.begin({"order": SECRET}, "f:$LATEST")
    wait_for("the step", lambda: "begun" in world.noted() and layer.between.answers)
    world.ctl("stop", world.describe("-")["DurableExecutionArn"])
    go(world)
    line = line_of(layer, "API_FAILED")
    assert line["retryable"] == 1 and line["error"] == "Invalid checkpoint token"
    assert world.describe("-")["Status"] == "STOPPED"
    ended = wait_for("the end", lambda: layer.logged("SESSION_ENDED"))[0]
    assert (ended["outcome"], ended["open_steps"]) == ("RETRIED", 1)
    assert ended["steps"][0]["operationName"] == "block"
    close(layer)
    return line


def execution_timeout(world: World) -> Line:
    """It passes while a step runs, and its invocation's Timeout does not."""
    layer = layer_of(world, "blocks", execution_timeout_s=1)
    layer.begin({"order": SECRET}, "f:$LATEST")
    wait_for("the step", lambda: "begun" in world.noted())
    wait_for("the timeout", lambda: world.describe("-")["Status"] == "TIMED_OUT")
    go(world)
    line = line_of(layer, "API_FAILED")
    assert line["error"] == "Invalid checkpoint token"
    close(layer)
    return line


def payload(world: World) -> Line:
    layer = layer_of(world, "misuses")
    good, error = layer.run({"how": "big step", "order": SECRET})
    assert not good and error["errorType"] == "InvalidParameterValueException"
    line = line_of(layer, "API_FAILED")
    assert line["retryable"] == 0 and "payload size must be less than" in line["error"]
    close(layer)
    return line


def six_megabytes(world: World) -> Line:
    layer = layer_of(world, "sized_result")
    good, _ = layer.run({"bytes": 7_000_000, "order": SECRET})
    line = line_of(layer, "API_FAILED")
    assert not good and line["retryable"] == 0
    close(layer)
    return line


def too_many_operations(world: World) -> Line:
    layer = layer_of(world, "maps")
    good, error = layer.run({"items": 1600, "order": SECRET})
    assert (
        not good and error["errorMessage"] == "An execution may have at most 3000 operations."
    )
    line = line_of(layer, "SESSION_ENDED")
    assert line["outcome"] == "PENDING" and line["awaits"] == []
    close(layer)
    return line


def no_envelope(world: World) -> Line:
    """A function without DurableConfig: its handler gets the payload as the event."""
    alone = Alone(world)
    script = f"import handlers; handlers.order({{'order': '{SECRET}'}})"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=HERE,
        env=world.env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1 and "was not invoked as a durable one" in done.stderr
    context = {"event": "{}", "profile": "python", "request_id": "r-1"}
    alone.peer.call("session.begin", context)
    alone.peer.call("session.begin", {**context, "event": json.dumps({"order": SECRET})})
    found = wait_for(
        "both", lambda: [e for e in lines(alone.extension) if e.get("requestId") == "r-1"]
    )
    check_all(alone.extension)
    return dict(found[0])


def levels(world: World) -> Line:
    """A client asks for what a later level has."""
    alone = Alone(world)
    error, _ = alone.peer.call("session.novelty", {"session": 1})
    assert error["code"] == "Protocol.UnknownMethod"
    return alone.line("LEVELS_DIFFER")


def step_longer_than_timeout(world: World) -> Line:
    """Twice; the second invocation knows of the first interruption."""
    layer = layer_of(world, "blocks", timeout_s=1)
    layer.begin({"order": SECRET}, "f:$LATEST")
    wait_for("two of them", lambda: len(layer.logged("SESSION_OPEN")) > 1)
    first, second = layer.logged("SESSION_OPEN")[:2]
    for line, times in ((first, 1), (second, 2)):
        assert (line["error_type"], line["outcome"]) == ("Sandbox.Timedout", "INTERRUPTED")
        assert line["left_ms"] <= 0 and line["open_steps"] == 1
        (step,) = line["steps"]
        assert (step["operationName"], step["attempt"]) == ("block", 1)
        assert len(step["operationId"]) == 64 and 0 < step["ms"] <= line["ms"]
        assert step["interruptions"] == times
    (again,) = layer.logged("STEP_RERUN")[:1]
    assert again["requestId"] == second["requestId"] != first["requestId"]
    assert again["operationId"] == second["steps"][0]["operationId"]
    close(layer)
    return first


def process_ends(world: World) -> Line:
    """And the sandbox goes on."""
    layer = layer_of(world, "kills_itself")
    assert layer.run({"at": "inside", "order": SECRET}) == (True, "survived")
    line = line_of(layer, "SESSION_OPEN")
    assert (line["reason"], line["error_type"]) == ("none", "Runtime.ExitError")
    assert [step["operationName"] for step in line["steps"]] == ["inside"]
    close(layer)
    return line


def sandbox_goes(world: World) -> Line:
    layer = layer_of(world, "blocks")
    layer.begin({"order": SECRET}, "f:$LATEST")
    wait_for("the step", lambda: "begun" in world.noted())
    layer.api.shut_down("spindown")
    assert layer.extension.popen.wait(PATIENCE_S) == 0
    line = line_of(layer, "SESSION_OPEN")
    assert line["reason"] == "spindown" and line["steps"][0]["operationName"] == "block"
    close(layer)
    return line


def no_socket(world: World) -> Line:
    api = ExtensionsApi()
    extension = start_extension(world, api, DURABLED_SOCKET="/proc/d.sock")
    wait_for("next", lambda: api.asked == 1)
    (line,) = [one for one in check_all(extension) if one["code"] == "SOCKET_FAILED"]
    return line


def no_extensions_api(world: World) -> Line:
    api = ExtensionsApi()
    api.close()
    extension = start_extension(world, api, DURABLED_SOCKET=str(world.socket))
    wait_for("the complaint", lambda: "EXTENSION_FAILED" in extension.output())
    return next(one for one in check_all(extension) if one["code"] == "EXTENSION_FAILED")


SIGNATURE_EXPIRED = "Signature expired: 20260101T000000Z is now earlier than 20260101T000500Z"

CASES: dict[str, list[Callable[[World], Line]]] = {
    "the function's role does not allow the call": [
        refusal(403, "AccessDeniedException", NOT_AUTHORIZED)
    ],
    "the endpoint is not reached": [
        elsewhere(""),  # refused
        elsewhere("255.255.255.255:9"),  # no route
        elsewhere(f"{'n' * 64}.test:80"),  # no name, and none is asked for it
    ],
    "the endpoint's certificate is not trusted": [untrusted],
    "the service does not take the credentials": [
        refusal(403, "ExpiredTokenException", "The security token is expired"),
        refusal(403, "UnrecognizedClientException", "The security token is invalid."),
    ],
    "the extension has no credentials": [no_keys],
    "the extension has no region": [no_region],
    "the clock differs from the service's": [clock_skew],
    "the service does not take the time of the signature": [
        refusal(403, "InvalidSignatureException", SIGNATURE_EXPIRED),
        refusal(400, "RequestExpired", "Request has expired"),
    ],
    "the service throttles the account's calls": [
        refusal(429, "TooManyRequestsException", "Rate exceeded")
    ],
    "the service failed": [refusal(500, "ServiceException", "Internal error")],
    "the service did not answer in time": [never, slow],
    "the connection ended before the answer": [of_fault(Between.hangs_up), of_fault(cut)],
    "something else than the service answers": [
        of_fault(Between.says(403, b"<html>log in</html>")),
        of_fault(Between.says(200, b"<html>hello</html>")),
    ],
    "the invocation's deadline is too near": [too_near_the_deadline],
    "the execution has ended, or another invocation of it goes on": [
        stopped,
        execution_timeout,
    ],
    "the event has no checkpoint token": [no_token],
    "a limit of the service is exceeded": [payload, six_megabytes],
    "the KMS key of the execution cannot be used": [
        refusal(502, "KMSDisabledException", "The key is disabled")
    ],
    "the service does not take what the handler asks for": [
        refusal(400, "InvalidParameterValueException", "Invalid parent operation id.")
    ],
    "the service takes no more from this invocation": [too_many_operations],
    "the function was not invoked as a durable one": [no_envelope],
    "client and extension have no protocol level in common for this call": [levels],
    "the function's Timeout passed": [step_longer_than_timeout],
    "the function's process ended": [process_ends],
    "the sandbox was shut down": [sandbox_goes],
    "handlers cannot attach": [no_socket],
    "the extension is not registered": [no_extensions_api],
}


def test_each_cause_of_the_page_has_its_case() -> None:
    assert CASES.keys() == ROWS.keys() and len(CAUSES) == len(ROWS)


@pytest.mark.parametrize(
    ("cause", "number"), [(cause, i) for cause, all in CASES.items() for i in range(len(all))]
)
def test_a_line_says_what_the_page_says(world: World, cause: str, number: int) -> None:
    line = CASES[cause][number](world)
    assert line["cause"] == cause
    check(line)


# --- without an extension ---------------------------------------------------------------


def without_daemon(world: World, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as in Lambda, where the socket has its own place."""
    if Path("/tmp/durabled.sock").exists():
        pytest.skip("/tmp/durabled.sock: this machine has an extension's socket")
    variables = {k: v for k, v in world.env.items() if k != "DURABLED_SOCKET"}
    lambdas = {"AWS_LAMBDA_FUNCTION_NAME": "f", "LAMBDA_TASK_ROOT": "/var/task"}
    return subprocess.run(
        command,
        cwd=HERE,
        env={**variables, **lambdas, "DURABLED_TEST_NOTES": "/dev/null", **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize("client", ["Python", "C"])
def test_no_daemon_behind_the_socket(world: World, client: str) -> None:
    (row,) = CLIENTS
    commands = {
        "Python": [sys.executable, "-c", "import handlers; handlers.order({})"],
        "C": [str(BIN / "durablectl"), "ls"],
    }
    done = without_daemon(world, *commands[client])
    assert done.returncode != 0
    assert row[3] in done.stderr
    assert row[4] in done.stderr.replace("Add the", "add the")
    assert "/tmp/durabled.sock" in done.stderr
    if client == "Python":
        assert names(row[1])[0] in done.stderr


def test_an_invocation_without_the_extension_is_retried(world: World) -> None:
    """The execution goes on once there is one: also after one for another architecture,
    which the kernel does not run."""
    other = world.dir / "other"
    other.mkdir()
    program = bytearray((BIN / "durabled").read_bytes()[:4096])
    program[18:20] = (0xF7FF).to_bytes(2, "little")  # e_machine: none that there is
    (other / "durabled").write_bytes(program)
    (other / "durabled").chmod(0o755)
    with pytest.raises(OSError, match="Exec format error"):
        subprocess.run([str(other / "durabled")], check=False)
    layer = layer_of(world)
    layer.extension.terminate()
    done = layer.begin({"order": SECRET}, "f:$LATEST")
    failed = world.diagnosis("INVOCATION_FAILED")
    assert failed["error_type"] == names(CLIENTS[0][1])[0]
    assert world.describe("-")["Status"] == "RUNNING"
    layer.extension = layer.start_extension()
    assert done.result() == (True, {"status": "approved"})


# --- queries ----------------------------------------------------------------------------


def queries() -> dict[str, str]:
    return dict(re.findall(r"```insights (\S+)\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def log(world: World) -> list[Line]:
    """What one of each kind leaves."""
    layer = layer_of(world, "cases")

    def begin(case: str) -> Any:
        return layer.aws.invoke(
            FunctionName="f:$LATEST",
            DurableExecutionName=case,
            Payload=json.dumps({"case": case, "order": SECRET}).encode(),
            InvocationType="Event",
        )

    for case in ("good", "failed", "slow"):
        begin(case)
        world.finish(case)
    answered = len(layer.between.answers)
    begin("interrupted")
    wait_for("the step", lambda: "begun" in world.noted())
    wait_for("its start", lambda: len(layer.between.answers) > answered)
    go(world)
    world.finish("interrupted")
    begin("stuck")
    wait_for("the callback", lambda: "PENDING" in layer.extension.output())
    wait_for("the interruption", lambda: layer.logged("SESSION_OPEN"))
    return close(layer)


def found(name: str, log: list[Line]) -> list[Line]:
    return insights.run(queries()[name], log)


def case_of(row: Line) -> str:
    return str(row["executionArn"].split("/durable-execution/")[1].split("/")[0])


def test_the_queries_find_their_cases_and_no_other(log: list[Line]) -> None:
    assert sorted(queries()) == ["failed", "re-run", "slow", "stuck"]
    (stuck,) = found("stuck", log)
    assert case_of(stuck) == "stuck"
    assert (stuck["state"], stuck["awaits"], stuck["due"]) == ("PENDING", "approval", "")
    failed = {case_of(row): row for row in found("failed", log)}
    assert failed.keys() == {"failed", "interrupted"}
    assert failed["failed"]["outcome"] == "FAILED"
    assert failed["interrupted"]["cause"] == "the function's process ended"
    (again,) = found("re-run", log)
    assert (case_of(again), again["times"], again["attempt"]) == ("interrupted", 1, 1)
    assert again["operationName"] == "interrupted-step"
    slowest, *others = found("slow", log)
    assert case_of(slowest) == "slow"
    # A busy machine may make others slow, too.
    assert all(max(row["ms"], row["slowest_ms"] or 0) > 1000 for row in [slowest, *others])
    lines = [one for one in log if "outcome" in one]
    assert len(others) < len(lines) - 1


def test_one_line_for_each_invocation(world: World) -> None:
    """At INFO, and what it says."""
    layer = layer_of(world, DURABLED_LOG_LEVEL="", AWS_LAMBDA_LOG_LEVEL="INFO")
    assert layer.run({"order": SECRET})[0]
    attached, first, second = close(layer)
    assert attached["code"] == "ATTACHED" and attached.keys() >= {
        "version",
        "protocol",
        "architecture",
    }
    assert first["code"] == second["code"] == "SESSION_ENDED"
    assert (first["outcome"], second["outcome"]) == ("PENDING", "SUCCEEDED")
    assert (first["replayed"], first["run"], first["rerun"]) == (0, 2, 0)
    assert (second["replayed"], second["run"], second["rerun"]) == (2, 1, 0)
    assert (first["api_calls"], second["api_calls"]) == (2, 1)
    (awaited,) = first["awaits"]
    assert (awaited["operationName"], awaited["operationType"]) == ("cooling_off", "WAIT")
    assert first["timestamp"] < first["next_due"] <= second["timestamp"]
    assert second["awaits"] == second["steps"] == [] and second["next_due"] == ""
    assert first["requestId"] and first["requestId"] != second["requestId"]
    assert first["cause"] == second["cause"] == ""
