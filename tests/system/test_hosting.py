"""`durabled dev`: functions as processes that ask the Lambda Runtime API."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cloud import Cloud

from conftest import HERE, World, wait_for

BOOTSTRAP = [sys.executable, str(HERE / "bootstrap.py")]


class Host(Cloud):
    """A daemon that hosts `functions`: names, each with its kind and its command."""

    def __init__(self, world: World, *functions: str, options: tuple[str, ...] = ()) -> None:
        world.mode = "dev"
        self.pool = ThreadPoolExecutor(16)
        super().__init__(world, *options, *functions)

    def call(self, event: Any, function: str = "f") -> tuple[bool, Any]:
        """Whether it returned, and what it did, or the error."""
        answer = self.aws.invoke(FunctionName=function, Payload=json.dumps(event).encode())
        return "FunctionError" not in answer, json.loads(answer["Payload"].read())

    def begin(self, event: Any, function: str = "f") -> Future[tuple[bool, Any]]:
        return self.pool.submit(self.call, event, function)


def plain(name: str, *command: str) -> list[str]:
    return ["--plain-function", name, "--", *(command or BOOTSTRAP)]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_function_finds_what_it_finds_in_lambda(world: World) -> None:
    host = Host(world, *plain("f"), options=("--region", "eu-west-1"))
    good, answer = host.call({"a": 1})
    assert good
    assert answer["event"] == {"a": 1}
    headers = answer["headers"]
    assert len(headers["lambda-runtime-aws-request-id"]) == 36
    assert int(headers["lambda-runtime-deadline-ms"]) > 0
    assert (
        headers["lambda-runtime-invoked-function-arn"]
        == "arn:aws:lambda:eu-west-1:000000000000:function:f"
    )
    assert headers["lambda-runtime-trace-id"].startswith("Root=1-")
    environment = answer["environment"]
    assert environment["AWS_LAMBDA_FUNCTION_NAME"] == "f"
    assert environment["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST"
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert environment["AWS_ENDPOINT_URL_LAMBDA"] == host.url
    assert environment["DURABLED_SOCKET"] == str(world.socket)
    assert environment["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/f"
    assert environment["LAMBDA_TASK_ROOT"] == answer["directory"]


def test_one_process_serves_one_invocation_after_another(world: World) -> None:
    host = Host(world, *plain("f"))
    pids = {host.call({})[1]["pid"] for _ in range(5)}
    assert len(pids) == 1


def test_invocations_at_once_have_processes_of_their_own(world: World) -> None:
    host = Host(world, *plain("f"))
    marks = [world.dir / f"mark{i}" for i in range(4)]
    go = world.dir / "go"
    calls = [host.begin({"mark": str(mark), "until": str(go)}) for mark in marks]
    wait_for("all four to run", lambda: all(mark.exists() for mark in marks))
    go.touch()
    assert len({call.result()[1]["pid"] for call in calls}) == 4


def test_no_more_processes_than_the_limit(world: World) -> None:
    host = Host(world, *plain("f"))
    go = world.dir / "go"
    events = [{"mark": str(world.dir / f"m{i}"), "until": str(go)} for i in range(14)]
    calls = [host.begin(event) for event in events]
    wait_for("ten to run", lambda: len(list(world.dir.glob("m*"))) >= 10)
    status = world.ctl_json("functions")["functions"][0]
    assert status["queued"] == 4
    go.touch()
    pids = [call.result()[1]["pid"] for call in calls]
    assert len(set(pids)) == 10


def test_a_caller_gives_a_context_and_sees_the_end_of_the_log(world: World) -> None:
    host = Host(world, *plain("f"))
    context = {"client": {"app": "a"}}
    answer = host.aws.invoke(
        FunctionName="f",
        Payload=json.dumps({"print": "x" * 3000 + "\n" + "y" * 3000}).encode(),
        LogType="Tail",
        ClientContext=base64.b64encode(json.dumps(context).encode()).decode(),
    )
    headers = json.loads(answer["Payload"].read())["headers"]
    assert json.loads(headers["lambda-runtime-client-context"]) == context
    tail = base64.b64decode(answer["LogResult"]).decode()
    assert len(tail) == 4096 and tail.endswith("y" * 3000 + "\n")
    assert "LogResult" not in host.aws.invoke(FunctionName="f", Payload=b"{}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_does_not_reach_the_runtime_api(world: World) -> None:
    host = Host(world, *plain("f"))
    api = host.call({})[1]["environment"]["AWS_LAMBDA_RUNTIME_API"]
    script = (
        "import http.client, sys\n"
        f"c = http.client.HTTPConnection('{api}', timeout=10)\n"
        "c.request('GET', '/2018-06-01/runtime/invocation/next')\n"
        "try: print(c.getresponse().status)\n"
        "except (ConnectionError, http.client.HTTPException): print('refused')\n"
    )
    for user, seen in ((65534, "refused"), (0, "403")):
        said = subprocess.run(
            ["/usr/bin/python3", "-c", script],
            user=user,
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.stdout.strip() == seen, said


def test_an_error_is_the_functions(world: World) -> None:
    host = Host(world, *plain("f"))
    error = {"errorType": "ValueError", "errorMessage": "no", "stackTrace": ["a", "b"]}
    assert host.call({"error": error}) == (False, error)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"exit": 0}, "Runtime exited without providing a reason"),
        ({"exit": 7}, "Runtime exited with error: exit status 7"),
        ({"signal": signal.SIGSEGV}, "Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_a_process_that_ends_fails_its_invocation(
    world: World, event: dict[str, Any], reason: str
) -> None:
    host = Host(world, *plain("f"))
    good, answer = host.call(event)
    assert not good
    assert answer["errorType"] == "Runtime.ExitError"
    assert answer["errorMessage"].startswith("RequestId: ")
    assert answer["errorMessage"].endswith(f" Error: {reason}")
    assert host.call({})[0]


@pytest.mark.parametrize(
    ("start", "kind"), [("error", "Runtime.ImportModuleError"), ("exit", "Runtime.ExitError")]
)
def test_a_function_that_does_not_start_says_so(world: World, start: str, kind: str) -> None:
    host = Host(world, *plain("f", "/usr/bin/env", f"START={start}", *BOOTSTRAP), *plain("g"))
    good, answer = host.call({})
    assert not good
    assert answer["errorType"] == kind
    assert world.diagnosis("FUNCTION_FAILED", function="f")["error_type"] == kind
    assert host.call({}, "g")[0]


def test_a_command_that_is_none(world: World) -> None:
    host = Host(world, *plain("f", "/no/such/program"))
    good, answer = host.call({})
    assert not good
    assert answer["errorType"] == "Runtime.ExitError"
    assert "No such file" in world.diagnosis("FUNCTION_WROTE", function="f")["line"]


def test_what_it_writes_is_in_both_logs(world: World) -> None:
    said = json.dumps({"level": "WARN", "message": "careful", "requestId": "x"})
    host = Host(world, "--function", "f", "--", "/usr/bin/env", f"SAY={said}", *BOOTSTRAP)
    host.aws.invoke(
        FunctionName="f:$LATEST",
        InvocationType="Event",
        DurableExecutionName="one",
        Payload=b"{}",
    )
    # What it returns is no durable function's output, which ends the execution.
    assert world.finish("one")["Status"] == "FAILED"
    assert len(world.diagnosis("FUNCTION_WROTE", line=said)["requestId"]) == 36
    (line,) = world.ctl_json("logs", "one")["lines"]
    assert (line["level"], line["message"]) == ("WARN", "careful")


def test_the_runtime_api_refuses_what_is_out_of_order(world: World) -> None:
    host = Host(world, *plain("f"))
    good, answers = host.call(
        {
            "ask": [
                ["GET", "invocation/next", ""],
                ["POST", "invocation/other/response", "1"],
                ["POST", "invocation/other/error", "{}"],
                ["GET", "nothing", ""],
            ]
        }
    )
    assert good
    assert [status for status, _ in answers] == [403, 400, 400, 404]
    assert [answer["errorType"] for _, answer in answers] == [
        "InvalidStateTransition",
        "InvalidRequestID",
        "InvalidRequestID",
        "NotFound",
    ]


def test_a_response_that_is_too_large(world: World) -> None:
    host = Host(world, *plain("f"))
    good, answer = host.call({"size": 6 * 1024 * 1024 + 101})
    assert not good
    assert answer["errorType"] == "Function.ResponseSizeTooLarge"
    assert world.diagnosis("FUNCTION_WROTE", line="answered 413")


def test_a_response_that_is_no_text(world: World) -> None:
    host = Host(world, *plain("f"))
    good, answer = host.call({"bytes": [0xFF, 0xFE]})
    assert not good
    assert answer["errorType"] == "Runtime.InvalidResponse"


def test_the_daemons_death_is_the_processes_too(world: World) -> None:
    """SIGKILL included, and what they have forked."""
    host = Host(world, *plain("f"))
    pid = host.call({})[1]["pid"]
    forked = world.dir / "forked"
    assert host.call({"child": str(forked)})[0]
    wait_for("the child", lambda: forked.exists() and forked.read_text())
    child = int(forked.read_text())
    assert alive(pid) and alive(child)
    assert world.daemon
    world.daemon.kill()
    wait_for("their end", lambda: not alive(pid) and not alive(child))


def test_what_left_the_group_ends_too(world: World) -> None:
    """A process that made a group or a session of its own, and one that it left behind."""
    host = Host(world, *plain("f", "setsid", "--wait", *BOOTSTRAP), *plain("g"))
    pid = host.call({})[1]["pid"]
    forked = world.dir / "forked"
    assert host.call({"child": str(forked), "session": True}, "g")[0]
    wait_for("the child", lambda: forked.exists() and forked.read_text())
    child = int(forked.read_text())
    assert world.daemon
    assert world.daemon.terminate() == 0
    wait_for("their end", lambda: not alive(pid) and not alive(child))


def test_a_process_finds_no_file_of_the_daemons(world: World) -> None:
    host = Host(world, *plain("f"))
    files = host.call({"files": True})[1]
    assert files and not [name for name in files if str(world.data) in name]


def test_standard_error_can_be_opened(world: World) -> None:
    script = f"echo here > /dev/stderr; exec {' '.join(BOOTSTRAP)}"
    host = Host(world, *plain("f", "sh", "-c", script))
    assert host.call({})[0]
    assert world.diagnosis("FUNCTION_WROTE", line="here")


def test_an_error_of_any_length_is_cut(world: World) -> None:
    host = Host(world, *plain("f"))
    good, answer = host.call({"long_error": 4_000_000})
    assert not good
    assert answer["errorType"] == "Long"
    assert 20_000 < len(answer["errorMessage"]) < 30_000


def test_a_function_that_is_gone_is_not_found(world: World) -> None:
    Host(world, *plain("f"))
    assert world.daemon
    world.daemon.kill()
    host = Host(world, *plain("g"))
    with pytest.raises(host.aws.exceptions.ResourceNotFoundException):
        host.call({})
    assert host.call({}, "g")[0]


def test_an_orderly_stop_ends_them(world: World) -> None:
    host = Host(world, *plain("f"))
    pid = host.call({})[1]["pid"]
    busy = host.begin({"mark": str(world.dir / "busy"), "until": str(world.dir / "go")})
    wait_for("the second", lambda: (world.dir / "busy").exists())
    assert world.daemon
    world.daemon.popen.terminate()
    wait_for("the stop", lambda: world.log_events("STOPPING"))
    (world.dir / "go").touch()
    assert world.daemon.popen.wait(30) == 0
    assert not alive(pid)
    assert busy.result()[0]


def test_a_process_ends_when_its_code_changes(world: World) -> None:
    code = world.dir / "code"
    code.mkdir()
    shutil.copy(HERE / "bootstrap.py", code)
    (code / "code.py").write_text("1")
    world.cwd = code
    host = Host(world, *plain("f", sys.executable, str(code / "bootstrap.py")))
    first = host.call({"code": True})[1]
    (code / "code.py").write_text("2")
    wait_for("the change", lambda: world.log_events("FUNCTION_CHANGED"))
    second = host.call({"code": True})[1]
    assert (first["code"], second["code"]) == ("1", "2")
    assert first["pid"] != second["pid"]


def test_code_that_is_built_anew_is_seen(world: World) -> None:
    """`sam build` removes the directory, and makes it again after a while."""
    code = world.dir / "code"
    code.mkdir()
    shutil.copy(HERE / "bootstrap.py", code)
    world.cwd = code
    host = Host(world, *plain("f", sys.executable, str(code / "bootstrap.py")))
    shutil.rmtree(code)
    time.sleep(1)
    code.mkdir()
    shutil.copy(HERE / "bootstrap.py", code)
    wait_for("the first change", lambda: world.log_events("FUNCTION_CHANGED"))
    seen = len(world.log_events("FUNCTION_CHANGED"))
    (code / "code.py").write_text("3")
    wait_for("the second", lambda: len(world.log_events("FUNCTION_CHANGED")) > seen)
    assert host.call({"code": True})[1]["code"] == "3"


def test_what_is_no_code_changes_nothing(world: World) -> None:
    code = world.dir / "code"
    code.mkdir()
    world.cwd = code
    host = Host(world, *plain("f"))
    pid = host.call({})[1]["pid"]
    (code / "data.json").write_text("{}")
    # As `durabled dev >log` has it: what the daemon says of a change would be the next one.
    (code / "log").write_text("")
    for _ in range(300):  # for as long as a change takes to be told
        host.call({})
    assert not world.log_events("FUNCTION_CHANGED")
    (code / "note.py").write_text("")
    wait_for("the change", lambda: world.log_events("FUNCTION_CHANGED"))
    assert len(world.log_events("FUNCTION_CHANGED")) == 1
    assert host.call({})[1]["pid"] != pid


def test_nothing_to_host(world: World) -> None:
    world.mode = "dev"
    world.cwd = world.dir
    daemon = world.try_daemon()
    assert daemon.popen.wait(30) == 2
    assert "there is nothing to host" in world.diagnosis("START_FAILED")["error"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--function", "f"), "write: --function NAME -- COMMAND..."),
        (("--function", "f", "--"), "write: --function NAME -- COMMAND..."),
        (("--function", "f/g", "--", "true"), "'f/g' is not 1 to 64 of letters"),
        ((*plain("f"), *plain("f")), "'f' is there already"),
        (("--debug", "g", *plain("f")), "--debug: there is no function 'g'"),
    ],
)
def test_bad_command_lines(world: World, words: tuple[str, ...], text: str) -> None:
    world.mode = "dev"
    daemon = world.try_daemon(*words)
    assert daemon.popen.wait(30) == 2
    assert text in daemon.output()


def test_it_prints_what_there_is(world: World) -> None:
    host = Host(world, *plain("pay"), "--function", "order", "--", *BOOTSTRAP)
    assert world.daemon
    said = world.daemon.output()
    assert host.url in said and str(world.socket) in said and str(world.data) in said
    assert "order  durable" in said and "pay    not durable" in said
    assert "--function-name 'order:$LATEST'" in said


def test_the_environment_is_the_users_for_a_command(world: World) -> None:
    os.environ["DURABLED_TEST_OWN"] = "yes"
    try:
        host = Host(world, *plain("f"))
    finally:
        del os.environ["DURABLED_TEST_OWN"]
    assert host.call({})[1]["environment"]["DURABLED_TEST_OWN"] == "yes"
