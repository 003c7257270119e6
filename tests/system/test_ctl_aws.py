"""durablectl against AWS's API. The service is `durabled serve --http`, which asks for
signatures, so each execution can be looked at from both sides: what durablectl says of it over
the socket is what it has to say over the API."""

from __future__ import annotations

import json
import re
import shlex
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.parse import unquote

import pytest
from cloud import Cloud, Function

from conftest import World, wait_for

KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
ARN = (
    "arn:aws:lambda:eu-west-1:000000000000:function:f:$LATEST/durable-execution/"
    "n/01a20e5e-9dc3-7703-b3c0-38da3b6345fd"
)


class Both:
    """A daemon with workers, and durablectl over its socket and over its API."""

    def __init__(self, world: World, *handlers: str, **options: list[str]) -> None:
        self.world = world
        self.cloud = Cloud(world, "--require-signature")
        for handler in handlers:
            world.start_worker(handler, *options.get(handler, []))
        wait_for(
            "the workers",
            lambda: len(world.log_events("WORKER_REGISTERED")) == len(handlers),
        )

    def aws(self, *args: str, check: bool = True, **env: str) -> CompletedProcess[str]:
        return self.world.ctl(
            *args, "--endpoint", self.cloud.url, check=check, **{**KEYS, **env}
        )

    def aws_json(self, *args: str) -> Any:
        return json.loads(self.aws("--json", *args).stdout)

    def start(self, function: str, name: str, payload: Any, until: Callable[[Any], Any]) -> str:
        """Starts one and waits until its description is as it should be; returns the ARN."""
        arn = self.world.start(function, name, payload)
        wait_for(f"{name} to be as wanted", lambda: until(self.world.show(name)))
        return arn

    def command(self, region: str = "us-east-1") -> str:
        return f"durablectl --endpoint '{self.cloud.url}' --region '{region}' "


def closed(described: Any) -> bool:
    return bool(described["standing"]["state"] == "closed")


def waits(kind: str) -> Callable[[Any], Any]:
    def check(described: Any) -> bool:
        standing = described["standing"]
        return bool(
            standing["state"] == "waiting" and standing.get("operation", {}).get("Type") == kind
        )

    return check


def ageless(text: str) -> str:
    """Without what depends on when it was asked."""
    duration = r"\d[\d.]* (?:ms|s|min|h|d)(?: \d+ (?:s|min|h))?"
    text = re.sub(rf"{duration} (ago|so far)", r"T \1", text)
    return re.sub(rf"(, (?:at )?[^,]*, in|retry \d+ in) {duration}", r"\1 T", text)


def same(both: Both, name: str, arn: str) -> str:
    """What is shown of it, which is the same from both sides."""
    shown = both.world.ctl("show", name).stdout
    assert ageless(shown.replace("durablectl ", both.command())) == ageless(
        both.aws("show", arn).stdout
    )
    assert both.world.ctl("history", name).stdout == both.aws("history", arn).stdout
    assert both.world.events(name) == both.aws_json("history", arn)["events"]
    here, there = both.world.show(name), both.aws_json("show", arn)
    for operation in here["operations"]:  # the one thing that the API's history does not tell
        operation.get("ContextDetails", {}).pop("ReplayChildren", None)
    assert here["operations"] == there["operations"]
    assert here["execution"].items() <= there["execution"].items()
    assert here["standing"]["state"] == there["standing"]["state"]
    return shown


def test_what_is_done(world: World) -> None:
    both = Both(world, "order", "raises", "children", "retries")
    start = {"order": {"order": "1"}, "raises": {}, "children": {}, "retries": {}}
    arns = {name: world.start(name, name, payload) for name, payload in start.items()}
    shown = {}
    for name, arn in arns.items():
        world.finish(name)
        shown[name] = same(both, name, arn)
    assert "It succeeded at " in shown["order"]
    assert ", with ValueError: no such order." in shown["raises"]
    assert "\n    - pause  Wait  SUCCEEDED, 1.0 s\n" in shown["children"]
    assert "- flaky  Step  SUCCEEDED, 3 attempts, " in shown["retries"]


def test_a_step_that_was_interrupted(world: World) -> None:
    both = Both(world)
    worker = world.start_worker("blocks")
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    arn = both.start("blocks", "a", {}, lambda shown: len(shown["operations"]) > 1)
    worker.kill()
    world.start_worker("blocks")
    wait_for("its repetition", lambda: world.noted().count("begun") == 2)
    with world.notes.open("a") as notes:
        notes.write("go\n")
    world.finish("a")
    assert "interrupted once, run again" in same(both, "a", arn)
    assert "block was interrupted" in both.aws("history", arn).stdout


def test_what_waits(world: World) -> None:
    both = Both(world, "naps", "tries_later", "approval", "two_callbacks", "invokes", "stamp")
    cases = (
        ("naps", {}, "WAIT", r"waiting for `nap` until .*, in "),
        ("tries_later", {}, "STEP", r"waiting for attempt 2 of `patient` at .*, in "),
        (
            "approval",
            {"timeout": 3600, "heartbeat": 600},
            "CALLBACK",
            "the callback `approval`",
        ),
        ("two_callbacks", {}, "CALLBACK", "the callback `first` since .*, until "),
        ("invokes", {"function": "stamp", "document": 1}, "CHAINED_INVOKE", "invoke `stamp`"),
    )
    for name, payload, kind, said in cases:
        arn = both.start(name, name, payload, waits(kind))
        assert re.search(said, same(both, name, arn)), name
    names = {each["name"] for each in both.aws_json("ls", "naps")["executions"]}
    assert names == {"naps"}


def test_what_was_ended(world: World) -> None:
    """By its ExecutionTimeout, and by stop, with an error and without."""
    both = Both(world, "naps", "approval", naps=["--execution-timeout", "2"])
    late = both.start("naps", "late", {}, closed)
    assert "reached its ExecutionTimeout" in same(both, "late", late)
    for name, error in (("a", []), ("b", ["--error-type", "Recall", "--error-message", "old"])):
        arn = both.start("approval", name, {}, waits("CALLBACK"))
        done = both.aws("stop", arn, *error).stdout
        assert re.fullmatch(rf"{re.escape(arn)}  STOPPED  [-\d]+ [:\d]+\n", done)
        assert done == world.ctl("stop", arn).stdout == both.aws("stop", arn).stdout
        assert both.aws_json("stop", arn) == world.ctl_json("stop", arn)
        shown = same(both, name, arn)
        assert ("with Recall: old." in shown) == bool(error)
    world.ctl("stop", both.start("approval", "c", {}, waits("CALLBACK")), *error)
    assert world.describe("c")["Error"] == {"ErrorType": "Recall", "ErrorMessage": "old"}


def test_many_branches_over_pages(world: World) -> None:
    """Thousands of events, some branches failed, some open."""
    both = Both(world, "maps")
    payload = {"items": 700, "fails": [7, 600], "waits": [3, 699]}
    arn = both.start("maps", "a", payload, waits("CALLBACK"))
    shown = same(both, "a", arn)
    assert "\n    - 696 more that succeeded\n" in shown
    assert len(world.events("a")) > 2000
    for line in both.aws("show", arn).stdout.splitlines():
        if line.startswith("  durablectl "):
            world.ctl(*shlex.split(line)[1:], **KEYS)
    assert world.finish("a")["Status"] == "SUCCEEDED"
    same(both, "a", arn)


def test_what_the_api_does_not_tell(world: World) -> None:
    """The list of the page of durablectl: whether an invocation has begun and who runs it, when
    a failed one is tried again, and heartbeats."""
    both = Both(world, "blocks", "crashes", "approval")
    running = both.start("blocks", "a", {}, lambda _: "begun" in world.noted())
    pid = world.show("a")["standing"]["worker_pid"]
    duration = r"[\d.]+ m?s"
    for said, shown in (
        (rf"It is running in pid {pid} for {duration}\.", world.ctl("show", "a").stdout),
        (
            rf"It is running, or about to be invoked, for {duration}\.",
            both.aws("show", running).stdout,
        ),
    ):
        assert re.fullmatch(said, shown.splitlines()[-1]), shown
    # No second line differs.
    assert (
        ageless(world.ctl("show", "a").stdout).splitlines()[:-1]
        == ageless(both.aws("show", running).stdout).splitlines()[:-1]
    )

    failed = both.start(
        "crashes", "b", {}, lambda shown: shown["standing"]["failures"] > 0
    )  # and is tried again at once: the worker is gone
    shown = both.aws("show", failed).stdout.splitlines()[-1]
    assert re.fullmatch(r"Its invocation failed: retry \d+ after Runtime\.ExitError\.", shown)

    world.start("approval", "c", {"heartbeat": 600, "timeout": 3600})
    arn = both.start("approval", "d", {"heartbeat": 600, "timeout": 3600}, waits("CALLBACK"))
    assert both.aws("callback", "heartbeat", world.noted()[-1]).stdout == "done\n"
    here, there = (
        shown["standing"]["until_ms"] for shown in (world.show("d"), both.aws_json("show", arn))
    )
    assert here > there


def test_an_execution_without_a_worker(world: World) -> None:
    """A daemon knows that it is queued; AWS runs it or is about to."""
    both = Both(world)
    Function(world)
    arn = world.start("f", "a")
    assert "It waits for a worker of `f` since " in world.ctl("show", "a").stdout
    assert "It is running, or about to be invoked, for " in both.aws("show", arn).stdout


def test_what_is_due_first(world: World) -> None:
    """Of several that are open, the sentence names the one that goes on first."""
    both = Both(world)
    function = Function(world)
    arn = world.start("f", "a")
    both.cloud.aws.checkpoint_durable_execution(
        DurableExecutionArn=arn,
        CheckpointToken=function.next()["CheckpointToken"],
        Updates=[
            {"Id": "1", "Type": "CALLBACK", "Action": "START", "Name": "whenever"},
            *(
                {
                    "Id": name,
                    "Type": "WAIT",
                    "Action": "START",
                    "Name": name,
                    "WaitOptions": {"WaitSeconds": seconds},
                }
                for name, seconds in (("later", 7200), ("sooner", 3600))
            ),
        ],
    )
    function.respond({"Status": "PENDING"})
    assert "waiting for `sooner` until " in same(both, "a", arn)


def test_callbacks(world: World) -> None:
    both = Both(world, "approval", "two_callbacks")
    arns = {
        name: both.start("approval", name, {}, waits("CALLBACK")) for name in ("a", "b", "c")
    }
    a, b, _ = world.noted()[-3:]
    assert both.aws("callback", "succeed", a, "--payload", "yës").stdout == "done\n"
    assert json.loads(world.finish("a")["Result"]) == "yës"
    error = ["--error-type", "Rejected", "--error-message", 'the "page"']
    assert both.aws("callback", "fail", b, *error).stdout == "done\n"
    assert 'the "page"' in json.loads(world.finish("b")["Result"])
    failed = next(e for e in world.events("b") if e["EventType"] == "CallbackFailed")
    assert failed["CallbackFailedDetails"]["Error"]["Payload"] == {
        "ErrorType": "Rejected",
        "ErrorMessage": 'the "page"',
    }
    assert both.aws("--json", "callback", "succeed", arns["c"], "approval").stdout == "{}\n"
    assert world.finish("c")["Result"] == "null"
    # One that is answered, one that is too large, and names that are nobody's.
    for args in (
        ["succeed", a, "--payload", "again"],
        ["heartbeat", a],
        ["succeed", a[:-8] + "AAAAAAAA"],
        ["succeed", arns["c"], "approval"],
    ):
        there, here = (
            both.aws("callback", *args, check=False),
            world.ctl("callback", *args, check=False),
        )
        assert (there.returncode, there.stderr) == (here.returncode, here.stderr), args
        assert there.returncode in (4, 5)
    arn = both.start("two_callbacks", "d", {}, waits("CALLBACK"))
    (world.dir / "big").write_text("x" * 1_100_000)
    big = ["callback", "succeed", arn, "second", "--payload", f"@{world.dir}/big"]
    there, here = both.aws(*big, check=False), world.ctl(*big, check=False)
    assert (there.returncode, there.stderr) == (here.returncode, here.stderr)
    assert there.returncode == 5 and "1048576" in there.stderr
    both.aws("callback", "succeed", arn, "second", "--payload", "2")
    both.aws("callback", "succeed", arn, "first", "--payload", "1")
    assert world.finish("d")["Result"] == '["1", "2"]'


def test_a_list(world: World) -> None:
    both = Both(world, "order")
    function = Function(world)
    for number in range(120):
        function.call("execution.start", {"function": "f", "name": f"n{number}"})
    world.start("order", "a", {"order": "1"})
    world.finish("a")
    world.ctl("stop", "n7")
    for options in (
        ["order"],
        ["order", "--since", "1h"],
        ["f", "--status", "STOPPED"],
        ["--function", "order", "--status", "succeeded"],
    ):
        here, there = world.ctl("ls", *options).stdout, both.aws("ls", *options).stdout
        assert here == there and here.count("\n") == 2, options
        assert world.ctl_json("ls", *options) == both.aws_json("ls", *options)
    since = {
        each["name"]: each["start_ms"] for each in both.aws_json("ls", "order")["executions"]
    }
    assert since == {"a": world.describe("a")["StartTimestamp"]}
    assert both.aws("ls", "order", "--since", "0s").stdout == ""
    # Pages, and open ones, of which the API does not tell what they do.
    everyone = [
        each["name"]
        for each in world.ctl_json("ls", "--function", "f", "--limit", "0")["executions"]
    ]
    assert sorted(everyone) == sorted(f"n{number}" for number in range(120))
    for limit, names in (("0", everyone), ("7", everyone[:7]), ("110", everyone[:110])):
        listed = both.aws_json("ls", "f", "--limit", limit)["executions"]
        assert [each["name"] for each in listed] == names
    everyone = both.aws_json("ls", "f", "--limit", "0")["executions"]
    assert {(e["status"], e.get("state")) for e in everyone} == {
        ("RUNNING", None),
        ("STOPPED", "closed"),
    }
    shown = both.aws("ls", "f", "--limit", "1").stdout.splitlines()
    assert re.search(r"^n\d+ +f +RUNNING +.* for ", shown[1])
    assert shown[2] == "more: --limit 10, or 0 for all"
    assert both.aws("ls", "arn:aws:lambda:us-east-1:000000000000:function:order").stdout == here


def test_refusals(world: World) -> None:
    both = Both(world)
    nobody = ARN.replace("eu-west-1", "us-east-1")
    for verb in ("show", "history", "stop"):
        refused = both.aws(verb, nobody, check=False)
        said = "durablectl: Durable Execution does not exist\n"
        assert (refused.returncode, refused.stdout, refused.stderr) == (4, "", said)
    assert both.aws("show", "arn:aws:lambda", check=False).returncode == 5
    unknown = both.aws("ls", "nobody", check=False)
    assert (unknown.returncode, unknown.stdout) == (4, "")
    assert unknown.stderr.startswith("durablectl: Function not found: ")


def test_keys(world: World, tmp_path: Path) -> None:
    both = Both(world)
    Function(world)
    home = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(tmp_path)}

    def refused(code: int, said: str, **env: str) -> None:
        done = both.aws("ls", "f", check=False, **{**home, **env})
        assert (done.returncode, done.stdout) == (code, ""), done
        assert done.stderr.startswith(f"durablectl: {said}"), done.stderr

    refused(
        2,
        "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE\n",
    )
    wrong = {"AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "local"}
    refused(5, "UnrecognizedClientException: ", **wrong)
    wrong = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "other"}
    refused(5, "InvalidSignatureException: ", **wrong)

    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text(
        "# a comment\n[default]\naws_access_key_id=local\naws_secret_access_key = local\n\n"
        "[old]\naws_access_key_id = other\naws_secret_access_key = other\n"
        "[config]\n[half]\naws_access_key_id = local\n"
    )
    (tmp_path / ".aws/config").write_text(
        "[default]\nregion = eu-west-3\ns3 =\n  aws_access_key_id = nested\n"
        '[profile "both"]\naws_access_key_id = local\naws_secret_access_key = local\n'
        "[profile sso]\nsso_session = mine\n[profile role]\nrole_arn = arn:aws:iam::1:role/r\n"
        "source_profile = default\n[profile program]\ncredential_process = /bin/false\n"
        "[half]\naws_secret_access_key = of-no-profile\n"
    )
    both.aws("ls", "f", **home)
    both.aws("ls", "f", **home, AWS_PROFILE="both")
    refused(5, "UnrecognizedClientException: ", AWS_PROFILE="old")
    refused(2, "the profile 'half' has no keys\n", AWS_PROFILE="half")
    refused(2, "the profile 'none' is in neither of AWS's shared files\n", AWS_PROFILE="none")
    for name, setting in (
        ("sso", "sso_session"),
        ("role", "role_arn"),
        ("program", "credential_process"),
    ):
        refused(
            2,
            f"the profile '{name}' has its keys by {setting}, which durablectl does not do; "
            f"run eval \"$(aws configure export-credentials --profile '{name}' "
            '--format env)"\n',
            AWS_PROFILE=name,
        )
    both.aws("ls", "f", **{**home, **KEYS}, AWS_PROFILE="sso")  # the environment comes first
    moved = tmp_path / "elsewhere"
    (tmp_path / ".aws/credentials").rename(moved)
    refused(2, "no AWS credentials")
    both.aws("ls", "f", **home, AWS_SHARED_CREDENTIALS_FILE=str(moved))


def test_what_is_not_for_aws(world: World) -> None:
    """Told before anything is asked."""
    for args, said in (
        (["ls", "--aws"], "ls: AWS's API lists a function's executions; write ls FUNCTION"),
        (["ls", "f", "--aws", "--waiting"], "ls: AWS's API does not tell of all of them who"),
        (["ls", "f", "--function", "g"], "ls: a function is named twice"),
        (["show", "order-1001", "--aws"], "show: AWS's API knows executions by their ARN; "),
        (["callback", "fail", "order-1001", "x", "--aws"], "callback: AWS's API knows exec"),
        (["logs", "-f", ARN, "--aws"], "logs: only a daemon answers this; AWS's API does ls"),
        (["start", "f", "--wait", "--endpoint", "http://x"], "start: only a daemon answers"),
        (["ls", "f", "--endpoint", "x"], "--endpoint: 'x' is no URL; write https://HOST"),
        (["ls", "f", "--region", "x"], "--region: it goes with --aws or --endpoint"),
        (["ls", "f", "--aws", "--socket", "x"], "--socket: a daemon's, and not for --aws"),
        (["ls", "f", "--aws"], "no region: give --region, or set AWS_REGION"),
    ):
        done = world.ctl(*args, check=False, **KEYS, HOME=str(world.dir))
        assert (done.returncode, done.stdout) == (2, ""), args
        assert done.stderr.startswith(f"durablectl: {said}"), done.stderr


# -- a service that is not well -------------------------------------------------------------


class Service(ThreadingHTTPServer):
    """Answers as the test says, and notes what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, dict[str, str], bytes]] = []  # the last one stays
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Service

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.asked.append((self.requestline, dict(self.headers), body))
        status, headers, answer = self.server.answers[0]
        if len(self.server.answers) > 1:
            del self.server.answers[0]
        if status == 0:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_CONNECT = answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    yield server
    server.shutdown()
    server.server_close()


NONE = (200, {}, b'{"DurableExecutions": []}')
THROTTLED = (429, {"x-amzn-errortype": "TooManyRequestsException"}, b'{"message": "slower"}')
BROKEN = (500, {"x-amzn-errortype": "ServiceException"}, b'{"message": "broken"}')
CUT = (0, {}, b"")


def ask(world: World, service: Service, *args: str, **env: str) -> CompletedProcess[str]:
    return world.ctl(*args, "--endpoint", service.url, check=False, **{**KEYS, **env})


def test_calls_are_made_again_a_few_times(world: World, service: Service) -> None:
    service.answers = [THROTTLED, BROKEN, CUT, NONE]
    assert ask(world, service, "ls", "f").returncode == 0
    assert len(service.asked) == 4
    for answer, code, said in (
        (THROTTLED, 5, "durablectl: TooManyRequestsException: slower\n"),
        (BROKEN, 5, "durablectl: ServiceException: broken\n"),
        (CUT, 3, f"durablectl: AWS's API at {service.url} gave no answer: "),
    ):
        service.answers, service.asked = [answer], []
        done = ask(world, service, "ls", "f")
        assert (done.returncode, done.stdout, len(service.asked)) == (code, "", 5)
        assert done.stderr.startswith(said)


def test_what_may_be_done_is_not_done_twice(world: World, service: Service) -> None:
    service.answers = [CUT]
    for action in ("succeed", "fail"):
        service.asked = []
        done = ask(world, service, "callback", action, "a+b/c==")
        assert (done.returncode, len(service.asked)) == (3, 1)
        assert done.stderr.endswith("; it may have done it all the same\n")
        assert service.asked[0][0].split()[1] == (
            f"/2025-12-01/durable-execution-callbacks/a%2Bb%2Fc%3D%3D/{action}"
        )
    service.answers, service.asked = [THROTTLED, (200, {}, b"")], []
    assert ask(world, service, "callback", "succeed", "x", "--payload", "{}").returncode == 0
    assert [body for _, _, body in service.asked] == [b"{}", b"{}"]
    service.answers, service.asked = [CUT, (200, {}, b"{}")], []
    assert ask(world, service, "callback", "heartbeat", "x").returncode == 0
    assert [headers["Content-Length"] for _, headers, _ in service.asked] == ["0", "0"]


def test_what_is_not_the_service(world: World, service: Service) -> None:
    for answer, said in (
        ((404, {}, b"<html>"), "what answers at {} is not AWS's API (HTTP status 404)\n"),
        ((200, {}, b"<html>"), "the answer is none of the API's: "),
        ((200, {}, b"[]"), "the answer is none of the API's: "),
    ):
        service.answers = [answer]
        done = ask(world, service, "show", ARN)
        assert (done.returncode, done.stdout) == (6, "")
        assert done.stderr.startswith("durablectl: " + said.format(service.url))
    done = world.ctl("ls", "f", "--endpoint", "http://127.0.0.1:1", check=False, **KEYS)
    assert done.returncode == 3
    assert done.stderr.startswith(
        "durablectl: AWS's API does not answer at http://127.0.0.1:1: "
    )


def test_an_answer_of_another_shape_does_no_harm(world: World, service: Service) -> None:
    odd = {
        "Status": "RUNNING",
        "FunctionArn": "a:b",
        "StartTimestamp": -1,
        "Events": [
            7,
            None,
            {"EventType": 5, "Id": "x"},
            {"EventType": "StepDreamt", "Id": "y"},
            {"EventType": "CallbackStarted", "Id": "z", "CallbackStartedDetails": []},
            {"EventType": "InvocationCompleted", "InvocationCompletedDetails": {"Error": 1}},
        ],
    }
    service.answers = [(200, {}, json.dumps(odd).encode())]
    for args in (["show"], ["history"], ["--json", "show"], ["--json", "history"]):
        done = ask(world, service, *args, ARN)
        assert (done.returncode, done.stderr) == (0, ""), done
    for events in ("{}", "7", '""', "null"):
        service.answers = [(200, {}, b'{"Events": %s}' % events.encode())]
        assert ask(world, service, "show", ARN).returncode == 6
    service.answers = [(200, {}, b'{"DurableExecutions": [7, {}], "NextMarker": 7}')]
    assert ask(world, service, "ls", "f").returncode == 0


def test_an_empty_history(world: World, service: Service) -> None:
    service.answers = [(200, {}, b'{"Status": "RUNNING", "Events": []}')]
    for args in (["show"], ["history"], ["--json", "show"], ["--json", "history"]):
        done = ask(world, service, *args, ARN)
        assert (done.returncode, done.stderr) == (0, ""), done
        if args == ["show"]:
            assert done.stdout.endswith("\nIt is running, or about to be invoked.\n")


@pytest.mark.parametrize("number", [2**53, 2**53 + 1, 2**63 - 1, -(2**63)])
def test_numbers_too_large_to_reckon_with(world: World, service: Service, number: int) -> None:
    retry = {"CurrentAttempt": number, "NextAttemptDelaySeconds": number}
    odd = {
        "Status": "RUNNING",
        "StartTimestamp": number,
        "EndTimestamp": number,
        "Events": [
            {"EventType": "ExecutionStarted", "EventId": number, "EventTimestamp": number},
            {
                "EventType": "CallbackStarted",
                "Id": "c",
                "EventTimestamp": 1700000000,
                "CallbackStartedDetails": {"Timeout": number, "HeartbeatTimeout": number},
            },
            {
                "EventType": "WaitStarted",
                "Id": "w",
                "WaitStartedDetails": {"Duration": number, "ScheduledEndTimestamp": number},
            },
            {"EventType": "StepStarted", "Id": "s"},
            {
                "EventType": "StepFailed",
                "Id": "s",
                "EventTimestamp": 1700000000,
                "StepFailedDetails": {"RetryDetails": retry},
            },
            {
                "EventType": "InvocationCompleted",
                "InvocationCompletedDetails": {"EndTimestamp": number},
            },
        ],
    }
    service.answers = [(200, {}, json.dumps(odd).encode())]
    for args in (["show"], ["history"], ["--json", "show"]):
        done = ask(world, service, *args, ARN)
        assert (done.returncode, done.stderr) == (0, ""), done


def scope(service: Service) -> tuple[str, str]:
    """Key and region of the last request's signature."""
    found = re.search(r"Credential=(\w+)/\d+/([\w-]+)/", service.asked[-1][1]["Authorization"])
    assert found
    return found[1], found[2]


def test_region_and_endpoint(world: World, service: Service, tmp_path: Path) -> None:
    service.answers = [NONE]
    (tmp_path / "config").write_text("[profile mine]\nregion = eu-north-1\n")
    profile = {"AWS_PROFILE": "mine", "AWS_CONFIG_FILE": str(tmp_path / "config")}
    for args, env, region in (
        ([], {}, "us-east-1"),
        ([], profile, "eu-north-1"),
        ([], {**profile, "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
        ([], {"AWS_DEFAULT_REGION": "eu-west-2", "AWS_REGION": "eu-west-1"}, "eu-west-1"),
        (["--region", "eu-south-1"], {"AWS_REGION": "eu-west-1"}, "eu-south-1"),
    ):
        ask(world, service, "ls", "f", *args, **env)
        assert scope(service) == ("local", region)
    ask(world, service, "show", ARN, "--region", "us-west-1", AWS_REGION="us-west-2")
    assert scope(service) == ("local", "eu-west-1")
    assert ARN in unquote(service.asked[-1][0])

    variables = {"AWS_ENDPOINT_URL": service.url + "/", "AWS_ENDPOINT_URL_LAMBDA": ""}
    assert world.ctl("ls", "f", "--aws", **KEYS, **variables).stdout == ""
    variables = {"AWS_ENDPOINT_URL": "http://x", "AWS_ENDPOINT_URL_LAMBDA": service.url + "/p"}
    assert world.ctl("ls", "f", "--aws", **KEYS, **variables).stdout == ""
    assert service.asked[-1][0].split()[1].startswith("/p/2025-12-01/functions/f/")


@pytest.mark.parametrize("region", ["x.evil.invalid/", "x@y", "us east", "US-EAST-1", "x\r\ny"])
def test_what_is_no_region_reaches_no_host(world: World, service: Service, region: str) -> None:
    """A pasted ARN, as the environment, does not say whose host is dialled."""
    ours = {"HTTPS_PROXY": service.url, "https_proxy": service.url, "NO_PROXY": ""}
    arn = ARN.replace("eu-west-1", region)
    for args, env in (
        (["show", arn, "--aws"], {}),
        (["ls", arn.partition("/")[0], "--aws"], {}),
        (["show", arn, "--endpoint", service.url], {}),
        (["ls", "f", "--aws", "--region", region], {}),
        (["ls", "f", "--aws"], {"AWS_REGION": region}),
        (["ls", "f", "--aws"], {"AWS_DEFAULT_REGION": region}),
    ):
        done = world.ctl(*args, check=False, **KEYS, **ours, **env)
        assert (done.returncode, done.stdout) == (2, ""), (args, done)
        assert done.stderr.startswith("durablectl: no region is named '"), done.stderr
    assert service.asked == []


def test_aws_itself(world: World, service: Service) -> None:
    """As far as a proxy sees it, which lets nothing through."""
    service.answers = [(403, {}, b"")]
    ours = {"HTTPS_PROXY": service.url, "https_proxy": service.url, "NO_PROXY": ""}
    ignored = {
        "AWS_ENDPOINT_URL": service.url,
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    }
    for region, host, env in (
        ("eu-west-1", "lambda.eu-west-1.amazonaws.com", {}),
        ("cn-north-1", "lambda.cn-north-1.amazonaws.com.cn", ignored),
    ):
        done = world.ctl(
            "ls", "f", "--aws", "--region", region, check=False, **KEYS, **ours, **env
        )
        assert done.returncode == 3
        assert service.asked[-1][0] == f"CONNECT {host}:443 HTTP/1.1"


def test_keys_of_a_container(world: World, service: Service, tmp_path: Path) -> None:
    keys = {"AccessKeyId": "AK", "SecretAccessKey": "SK", "Token": "T/="}
    service.answers = [(200, {}, json.dumps(keys).encode()), NONE]
    (tmp_path / "token").write_text("Bearer x\n")
    container = {
        "AWS_ACCESS_KEY_ID": "",
        "HOME": str(tmp_path),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{service.url}/keys",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
    }
    assert ask(world, service, "ls", "f", **container).returncode == 0
    assert service.asked[0][0].startswith("GET /keys ")
    assert service.asked[0][1]["Authorization"] == "Bearer x"
    assert scope(service) == ("AK", "us-east-1")
    assert service.asked[1][1]["X-Amz-Security-Token"] == "T/="
    service.answers = [(400, {}, b"")]
    done = ask(world, service, "ls", "f", **container)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == (
        f"durablectl: no AWS credentials from {service.url}/keys: HTTP status 400\n"
    )
    # Another machine, and this one as a name and a password for it.
    service.asked = []
    host = service.url.removeprefix("http://")
    for uri in (
        "http://192.0.2.1/keys",
        f"http://localhost@{host}/keys",
        f"http://localhost:1@{host}/keys",
        f"http://127.0.0.1:80#@{host}/keys",
        f"http://[::1]:1@{host}/keys",
        f"http://localhost.{host}/keys",
    ):
        container["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = uri
        done = ask(world, service, "ls", "f", **container)
        assert (done.returncode, done.stdout) == (2, ""), (uri, done)
        assert "is neither of this machine nor https" in done.stderr
    container["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = f":1@{host}/keys"
    assert ask(world, service, "ls", "f", **container).returncode == 2
    assert service.asked == []
