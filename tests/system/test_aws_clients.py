"""boto3 and the AWS CLI, unmodified, on every operation of the HTTP API: what each of them
gets, and each refusal that the service documents, in its words.

REFUSED is the table. Both clients send what it says as it is, without looking at it first;
rows that the CLI can't be made to send are boto3's alone."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import awscli.clidriver
import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from cloud import Cloud, Function

from conftest import HERE, PATIENCE_S, World

IPV = "InvalidParameterValueException"
MISSING = "ResourceNotFoundException"
UNKNOWN = "UnknownOperationException"
VALIDATION = "ValidationException"
CONVERSION = "SerializationException"

ACCOUNT = "arn:aws:lambda:us-east-1:000000000000:function:"
NOWHERE = f"{ACCOUNT}f:$LATEST/durable-execution/a/01a20b7e-9cfa-7d47-92f5-cfb079e27058"
FOREIGN = NOWHERE.replace("us-east-1", "eu-west-1")

# -- the service's words -----------------------------------------------------------------

GONE = (404, MISSING, "Durable Execution does not exist")
STALE = (400, IPV, "Invalid checkpoint token")
MARKER = (400, IPV, "Invalid Marker")
UNQUALIFIED = (400, IPV, "You cannot invoke a durable function using an unqualified ARN.")
DIFFERS = (
    400,
    IPV,
    "The derived qualifier from the function name does not match the specified qualifier.",
)
CLOSED = (
    400,
    "CallbackTimeoutException",
    "The callback is either timed out or already completed",
)
CONTEXT = (
    400,
    "InvalidRequestContentException",
    "Client context must be a valid Base64-encoded JSON object.",
)

PATTERN = "Member must satisfy regular expression pattern: "
WORD = PATTERN + "[a-zA-Z0-9-_]+"
BASE64 = PATTERN + "[A-Za-z0-9+/]+={0,2}"
QUALIFIER = PATTERN + "[a-zA-Z0-9$_.-]+"
FUNCTION = (
    PATTERN
    + r"(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?"
    r"(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)
EXECUTION = (
    PATTERN + r"arn:([a-zA-Z0-9-]+):lambda:([a-zA-Z0-9-]+):(\d{12}):function:([a-zA-Z0-9_-]+)"
    r":(\$LATEST(?:\.PUBLISHED)?|[0-9]+)/durable-execution/([a-zA-Z0-9_-]+)/([a-zA-Z0-9_-]+)"
)


def most(bound: int) -> str:
    return f"Member must have value less than or equal to {bound}"


def least(bound: int) -> str:
    return f"Member must have value greater than or equal to {bound}"


def longest(bound: int) -> str:
    return f"Member must have length less than or equal to {bound}"


def one_of(*names: str) -> str:
    return f"Member must satisfy enum value set: [{', '.join(names)}]"


def invalid(*violations: tuple[str | None, str, str]) -> tuple[int, str, str]:
    """Violations of the model: value, path, rule."""
    shown = (
        f"Value {'null' if value is None else repr(value[:40])} at '{path}' failed to satisfy "
        f"constraint: {rule}"
        for value, path, rule in violations
    )
    count = f"{len(violations)} validation error{'s' if len(violations) > 1 else ''} detected"
    return 400, VALIDATION, f"{count}: {'; '.join(shown)}"


def missing(function: str) -> tuple[int, str, str]:
    return 404, MISSING, f"Function not found: {ACCOUNT}{function}"


def ipv(message: str) -> tuple[int, str, str]:
    return 400, IPV, message


# -- the table ---------------------------------------------------------------------------


class Refused(NamedTuple):
    operation: str
    parameters: dict[str, Any]
    expected: tuple[int, str, str]
    cli: bool = True


def checkpoint(
    expected: tuple[int, str, str], *updates: dict[str, Any], cli: bool = True, **more: Any
) -> Refused:
    parameters = {
        "DurableExecutionArn": "$arn",
        "CheckpointToken": "$token",
        "Updates": list(updates),
    }
    return Refused("CheckpointDurableExecution", {**parameters, **more}, expected, cli)


def update(identity: str, kind: str, action: str, **more: Any) -> dict[str, Any]:
    return {"Id": identity, "Type": kind, "Action": action, **more}


def charge(action: str, **more: Any) -> dict[str, Any]:
    return update("s", "STEP", action, SubType="Step", Name="charge", **more)


def invoke(
    expected: tuple[int, str, str],
    function: str = "f:$LATEST",
    cli: bool = True,
    **more: Any,
) -> Refused:
    return Refused("Invoke", {"FunctionName": function, **more}, expected, cli)


ERROR = {"ErrorType": "E", "ErrorMessage": "m"}
END = update("end", "EXECUTION", "SUCCEED")
STEP = {"StepOptions": {"NextAttemptDelaySeconds": 1}}
CHAINED = {"ChainedInvokeOptions": {"FunctionName": "plain"}}
WAIT = {"WaitOptions": {"WaitSeconds": 1}}
LARGE = "1" * 1048577

# The prelude (see `scene`) has the STEP s, the CONTEXT c, which is closed, the WAIT w and the
# CALLBACKs open and done.
CHECKPOINTS = [
    checkpoint(STALE, CheckpointToken="$stale"),
    checkpoint(STALE, CheckpointToken="AAAA"),
    checkpoint(STALE, DurableExecutionArn=NOWHERE),
    checkpoint(
        ipv("Checkpoint token is not valid for the durable execution ARN"),
        DurableExecutionArn="$other",
    ),
    checkpoint(
        invalid(("job", "durableExecutionArn", EXECUTION), ("a-b", "checkpointToken", BASE64)),
        DurableExecutionArn="job",
        CheckpointToken="a-b",
    ),
    checkpoint(
        invalid(("A" * 2049, "checkpointToken", longest(2048))), CheckpointToken="A" * 2049
    ),
    checkpoint(
        invalid((None, "checkpointToken", "Member must not be null")),
        CheckpointToken=None,
        cli=False,
    ),
    checkpoint(invalid(("a b", "clientToken", PATTERN + r"[\x21-\x7E]+")), ClientToken="a b"),
    checkpoint(
        (400, CONVERSION, "checkpointToken: NUMBER_VALUE can not be converted to String"),
        CheckpointToken=7,
        cli=False,
    ),
    checkpoint(
        (
            400,
            CONVERSION,
            "updates.1.member.nextAttemptDelaySeconds: STRING_VALUE can not be converted to "
            "Integer",
        ),
        charge("RETRY", StepOptions={"NextAttemptDelaySeconds": "soon"}),
        cli=False,
    ),
    checkpoint(
        invalid(
            (
                "PLUMBUM",
                "updates.1.member.type",
                one_of("EXECUTION", "CONTEXT", "STEP", "WAIT", "CALLBACK", "CHAINED_INVOKE"),
            ),
            (
                "LEAVE",
                "updates.1.member.action",
                one_of("START", "SUCCEED", "FAIL", "RETRY", "CANCEL"),
            ),
        ),
        update("x", "PLUMBUM", "LEAVE"),
    ),
    checkpoint(invalid(("a/b", "updates.1.member.id", WORD)), update("a/b", "STEP", "START")),
    checkpoint(
        invalid(("0", "updates.2.member.waitOptions.waitSeconds", least(1))),
        update("x", "STEP", "START"),
        update("y", "WAIT", "START", WaitOptions={"WaitSeconds": 0}),
    ),
    checkpoint(
        invalid(("31622401", "updates.1.member.waitOptions.waitSeconds", most(31622400))),
        update("y", "WAIT", "START", WaitOptions={"WaitSeconds": 31622401}),
    ),
    checkpoint(ipv("Invalid current STEP state to start."), charge("START")),
    checkpoint(ipv("Invalid StepOptions for the given action."), charge("RETRY")),
    checkpoint(ipv("Invalid StepOptions for the given action."), charge("SUCCEED", **STEP)),
    checkpoint(
        ipv("Cannot provide both error and payload to RETRY a STEP."),
        charge("RETRY", Error=ERROR, Payload="1", **STEP),
    ),
    checkpoint(
        ipv("Cannot provide an Error for SUCCEED action."),
        charge("SUCCEED", Error=ERROR),
    ),
    checkpoint(
        ipv("Cannot provide a Payload for FAIL action."),
        charge("FAIL", Payload="1"),
    ),
    checkpoint(
        ipv("Cannot start a CONTEXT that already exist."), update("c", "CONTEXT", "START")
    ),
    checkpoint(
        ipv("Invalid current CONTEXT state to close."), update("c", "CONTEXT", "SUCCEED")
    ),
    checkpoint(
        ipv("Cannot start a WAIT that already exist."), update("w", "WAIT", "START", **WAIT)
    ),
    checkpoint(
        ipv("Update for WAIT operation requires WaitOptions."), update("x", "WAIT", "START")
    ),
    checkpoint(
        ipv("Cannot cancel a WAIT that does not exist or has already completed."),
        update("x", "WAIT", "CANCEL"),
    ),
    checkpoint(
        ipv("Cannot start a CALLBACK that already exist."),
        update("open", "CALLBACK", "START"),
    ),
    checkpoint(
        ipv("Update for CHAINED_INVOKE operation requires ChainedInvokeOptions."),
        update("x", "CHAINED_INVOKE", "START"),
    ),
    *(
        checkpoint(
            ipv(f"Cannot start a CHAINED_INVOKE on a function in another {what}."),
            update("x", "CHAINED_INVOKE", "START", ChainedInvokeOptions={"FunctionName": name}),
        )
        for what, name in (
            ("account", "arn:aws:lambda:us-east-1:111122223333:function:plain"),
            ("region", "arn:aws:lambda:eu-west-1:000000000000:function:plain"),
        )
    ),
    checkpoint(
        ipv("CHAINED_INVOKE input payload size must be less than or equal to 1048576 bytes."),
        update("x", "CHAINED_INVOKE", "START", Payload=LARGE, **CHAINED),
    ),
    checkpoint(
        ipv("STEP output payload size must be less than or equal to 1048576 bytes."),
        charge("SUCCEED", Payload=LARGE),
    ),
    checkpoint(
        ipv("Error object size must be less than 32768 bytes."),
        charge("FAIL", Error={"ErrorMessage": "1" * 32769}),
    ),
    checkpoint(
        ipv("Invalid action for the given operation type."), update("w", "WAIT", "RETRY")
    ),
    checkpoint(ipv("Invalid EXECUTION action."), update("x", "EXECUTION", "START")),
    checkpoint(ipv("Cannot checkpoint multiple EXECUTION updates."), END, END),
    checkpoint(
        ipv("EXECUTION checkpoint must be the last update."), END, update("x", "STEP", "START")
    ),
    checkpoint(
        ipv("Cannot update the same operation twice in a single request."),
        update("x", "STEP", "START"),
        update("x", "STEP", "START"),
    ),
    checkpoint(
        ipv("Invalid parent operation id."), update("x", "STEP", "START", ParentId="nobody")
    ),
    checkpoint(ipv("Inconsistent operation type."), update("s", "CONTEXT", "SUCCEED")),
    checkpoint(
        ipv("Inconsistent operation subtype."), update("s", "STEP", "SUCCEED", SubType="X")
    ),
    checkpoint(
        ipv("Inconsistent operation name."),
        update("s", "STEP", "SUCCEED", SubType="Step", Name="x"),
    ),
    checkpoint(ipv("Inconsistent parent operation id."), charge("SUCCEED", ParentId="c")),
]

INVOKES = [
    invoke(UNQUALIFIED, "f"),
    invoke(UNQUALIFIED, ACCOUNT + "f"),
    invoke(UNQUALIFIED, "f", InvocationType="Event"),
    invoke(UNQUALIFIED, "f", InvocationType="DryRun"),
    invoke(missing("nobody"), "nobody"),
    invoke(missing("nobody:$LATEST"), "nobody", Qualifier="$LATEST"),
    invoke(missing("f:live"), "f", Qualifier="live"),
    invoke(missing("f:7"), "f:7"),
    invoke(
        (
            404,
            MISSING,
            "Function not found: arn:aws:lambda:us-east-1:111122223333:function:f:$LATEST",
        ),
        "111122223333:function:f:$LATEST",
    ),
    invoke(DIFFERS, Qualifier="live"),
    invoke(
        ipv(
            "You cannot synchronously invoke a durable function with an executionTimeout "
            "greater than 15 minutes."
        ),
        "long:$LATEST",
    ),
    invoke(
        ipv("You cannot name an execution of a function that is not durable."),
        "plain",
        DurableExecutionName="job",
    ),
    invoke(
        (
            409,
            "DurableExecutionAlreadyStartedException",
            "Execution already started: $arn",
        ),
        DurableExecutionName="job",
        Payload="2",
    ),
    invoke(
        (400, "InvalidRequestContentException", "Could not parse request body into json"),
        Payload="{",
    ),
    invoke(
        (
            413,
            "RequestTooLargeException",
            "Request must be smaller than 1048576 bytes for the InvokeFunction operation",
        ),
        InvocationType="Event",
        Payload=LARGE,
    ),
    invoke(
        (
            413,
            "RequestTooLargeException",
            "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
        ),
        Payload="1" * 6291457,
    ),
    invoke(
        invalid(
            ("Later", "invocationType", one_of("RequestResponse", "Event", "DryRun")),
            ("a b", "functionName", FUNCTION),
        ),
        "a b",
        InvocationType="Later",
    ),
    invoke(invalid(("All", "logType", one_of("None", "Tail"))), LogType="All"),
    invoke(invalid(("a/b", "durableExecutionName", WORD)), DurableExecutionName="a/b"),
    invoke(
        invalid(("a" * 65, "durableExecutionName", longest(64))),
        DurableExecutionName="a" * 65,
    ),
    invoke(invalid(("a,b", "qualifier", QUALIFIER)), "f", Qualifier="a,b"),
    invoke(invalid(("a,b", "tenantId", PATTERN + r"[a-zA-Z0-9\._:\/=+\-@ ]+")), TenantId="a,b"),
    invoke(CONTEXT, ClientContext="e30"),
    invoke(CONTEXT, ClientContext="W10="),
    invoke(
        (
            413,
            "RequestTooLargeException",
            "Client context must be at most 3583 bytes of base64",
        ),
        ClientContext="A" * 3584,
    ),
]

EXECUTIONS = [
    *(
        row
        for operation in (
            "GetDurableExecution",
            "GetDurableExecutionHistory",
            "StopDurableExecution",
        )
        for row in (
            Refused(operation, {"DurableExecutionArn": NOWHERE}, GONE),
            Refused(
                operation,
                {"DurableExecutionArn": "job"},
                invalid(("job", "durableExecutionArn", EXECUTION)),
            ),
        )
    ),
    Refused(
        "StopDurableExecution",
        {"DurableExecutionArn": FOREIGN},
        (404, MISSING, "Function not found"),
    ),
    Refused(
        "StopDurableExecution",
        {"DurableExecutionArn": "$arn", "Error": {"ErrorType": 7}},
        (400, CONVERSION, "errorType: NUMBER_VALUE can not be converted to String"),
        cli=False,
    ),
    *(
        Refused(
            operation, {"DurableExecutionArn": "$arn", **token, **parameters}, expected, cli
        )
        for operation, token in (
            ("GetDurableExecutionHistory", {}),
            ("GetDurableExecutionState", {"CheckpointToken": "$token"}),
        )
        for parameters, expected, cli in (
            ({"Marker": "AAAA"}, MARKER, True),
            ({"Marker": "?"}, MARKER, True),
            ({"MaxItems": 1001}, invalid(("1001", "maxItems", most(1000))), True),
            ({"MaxItems": -1}, invalid(("-1", "maxItems", least(0))), True),
            (
                {"MaxItems": "all"},
                (400, CONVERSION, "'all' can not be converted to Integer"),
                False,
            ),
        )
    ),
    *(
        Refused("GetDurableExecutionState", parameters, expected)
        for parameters, expected in (
            ({"DurableExecutionArn": "$arn", "CheckpointToken": "$stale"}, STALE),
            ({"DurableExecutionArn": NOWHERE, "CheckpointToken": "$token"}, STALE),
            (
                {"DurableExecutionArn": "$other", "CheckpointToken": "$token"},
                ipv("Checkpoint token is not valid for the durable execution ARN"),
            ),
            (
                {"DurableExecutionArn": "job", "CheckpointToken": "a-b"},
                invalid(
                    ("job", "durableExecutionArn", EXECUTION),
                    ("a-b", "checkpointToken", BASE64),
                ),
            ),
        )
    ),
    Refused(
        "GetDurableExecution",
        {"DurableExecutionArn": "$arn", "IncludeExecutionData": "yes"},
        (400, CONVERSION, "'yes' can not be converted to Boolean"),
        cli=False,
    ),
    *(
        Refused("ListDurableExecutionsByFunction", {"FunctionName": "f", **more}, expected, cli)
        for more, expected, cli in (
            ({"FunctionName": "nobody"}, missing("nobody"), True),
            ({"FunctionName": "f:7"}, missing("f:7"), True),
            ({"Qualifier": "live"}, missing("f:live"), True),
            ({"FunctionName": "f:$LATEST", "Qualifier": "live"}, DIFFERS, True),
            (
                {"FunctionName": "a b", "DurableExecutionName": "a/b"},
                invalid(
                    ("a b", "functionName", FUNCTION), ("a/b", "durableExecutionName", WORD)
                ),
                True,
            ),
            (
                {"Statuses": ["RUNNING", "FAILED"]},
                ipv("Cannot filter by more than one status"),
                True,
            ),
            (
                {"Statuses": ["ODD"]},
                invalid(
                    (
                        "ODD",
                        "statuses",
                        one_of("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"),
                    )
                ),
                True,
            ),
            ({"Marker": "AAAA"}, MARKER, True),
            ({"MaxItems": 1001}, invalid(("1001", "maxItems", most(1000))), True),
        )
    ),
]

CALLBACKS = [
    *(
        Refused(f"SendDurableExecutionCallback{what}", {"CallbackId": callback}, expected)
        for what in ("Success", "Failure", "Heartbeat")
        for callback, expected in (
            ("AAAA", ipv("Invalid callback id")),
            ("no id", ipv("Invalid callback id")),
            ("$done", CLOSED),
        )
    ),
    Refused(
        "SendDurableExecutionCallbackSuccess",
        {"CallbackId": "$open", "Result": LARGE},
        (
            400,
            VALIDATION,
            "1 validation error detected: Value at 'result' failed to satisfy constraint: "
            "Member must have length less than or equal to 1048576",
        ),
    ),
    Refused(
        "SendDurableExecutionCallbackSuccess",
        {"CallbackId": "$open", "Result": b"\xff"},
        ipv("The result is not UTF-8"),
        cli=False,
    ),
    Refused(
        "SendDurableExecutionCallbackFailure",
        {"CallbackId": "$open", "Error": {"ErrorMessage": LARGE}},
        ipv("Error object size must be less than or equal to 1048576 bytes."),
    ),
    Refused(
        "SendDurableExecutionCallbackFailure",
        {"CallbackId": "$open", "Error": {"ErrorType": ["E"]}},
        (400, CONVERSION, "errorType: START_ARRAY can not be converted to String"),
        cli=False,
    ),
]

FUNCTIONS = [
    *(
        Refused(operation, {"FunctionName": name}, expected)
        for operation in (
            "GetFunction",
            "GetFunctionConfiguration",
            "ListVersionsByFunction",
            "ListAliases",
        )
        for name, expected in (
            ("nobody", missing("nobody")),
            (
                ACCOUNT.replace("us-east-1", "eu-west-1") + "f",
                (
                    404,
                    MISSING,
                    "Function not found: arn:aws:lambda:eu-west-1:000000000000:function:f",
                ),
            ),
            ("a b", invalid(("a b", "functionName", FUNCTION))),
        )
    ),
    *(
        Refused(operation, {"FunctionName": name, "Qualifier": qualifier}, expected)
        for operation in ("GetFunction", "GetFunctionConfiguration")
        for name, qualifier, expected in (
            ("f", "live", missing("f:live")),
            ("f", "3", missing("f:3")),
            ("f:$LATEST", "3", DIFFERS),
            ("f", "a,b", invalid(("a,b", "qualifier", QUALIFIER))),
        )
    ),
    *(
        Refused(operation, {**named, **more}, expected)
        for operation, named in (
            ("ListFunctions", {}),
            ("ListVersionsByFunction", {"FunctionName": "f"}),
            ("ListAliases", {"FunctionName": "f"}),
        )
        for more, expected in (
            ({"Marker": "AAAA"}, MARKER),
            ({"MaxItems": 10001}, invalid(("10001", "maxItems", most(10000)))),
            ({"MaxItems": 0}, invalid(("0", "maxItems", least(1)))),
        )
    ),
    Refused(
        "ListFunctions",
        {"FunctionVersion": "1"},
        invalid(("1", "functionVersion", one_of("ALL"))),
    ),
    Refused(
        "ListAliases",
        {"FunctionName": "f", "FunctionVersion": "live"},
        invalid(
            ("live", "functionVersion", PATTERN + r"(\$LATEST(\.PUBLISHED)?|[0-9]+)"),
        ),
    ),
    *(
        Refused("GetAlias", {"FunctionName": name, "Name": alias}, expected)
        for name, alias, expected in (
            ("f", "live", (404, MISSING, f"Cannot find alias arn: {ACCOUNT}f:live")),
            ("nobody", "live", missing("nobody")),
            ("f", "7", invalid(("7", "name", PATTERN + "(?!^[0-9]+$)([a-zA-Z0-9-_]+)"))),
        )
    ),
]

# Operations of Lambda's that are not here.
ABSENT = [
    Refused(operation, {"FunctionName": "f"}, (404, UNKNOWN, f"no operation is at {where}"))
    for operation, where in (
        ("DeleteFunction", "DELETE /2015-03-31/functions/f"),
        ("GetPolicy", "GET /2015-03-31/functions/f/policy"),
        ("PublishVersion", "POST /2015-03-31/functions/f/versions"),
    )
]

REFUSED = [*CHECKPOINTS, *INVOKES, *EXECUTIONS, *CALLBACKS, *FUNCTIONS, *ABSENT]
OPERATIONS = sorted({row.operation for row in REFUSED})

# -- the clients -------------------------------------------------------------------------


class Answer(NamedTuple):
    """What a client made of an answer; `status` 0 when it does not tell."""

    status: int
    code: str
    message: str
    members: Any


def ask_boto3(aws: Any, operation: str, parameters: dict[str, Any]) -> Answer:
    try:
        members = getattr(aws, xform_name(operation))(**parameters)
    except ClientError as error:
        told = error.response
        status = told["ResponseMetadata"]["HTTPStatusCode"]
        return Answer(status, told["Error"]["Code"], told["Error"]["Message"], {})
    status = members.pop("ResponseMetadata")["HTTPStatusCode"]
    if "Payload" in members:
        members["Payload"] = members["Payload"].read()
    return Answer(status, "", "", members)


def option(name: str, value: Any) -> list[str]:
    # --max-items is the CLI's own count over all pages.
    flag = "--page-size" if name == "MaxItems" else f"--{xform_name(name, '-')}"
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [flag, *value]
    return [f"{flag}={json.dumps(value) if isinstance(value, list | dict) else value}"]


class Cli:
    """The AWS CLI within this process: it takes a second to start."""

    def __init__(self, url: str, directory: Path) -> None:
        self.driver = awscli.clidriver.create_clidriver()
        self.url = url
        self.file = directory / "payload"

    def arguments(self, operation: str, parameters: dict[str, Any]) -> list[str]:
        words = [word for name, value in parameters.items() for word in option(name, value)]
        file = [str(self.file)] if operation == "Invoke" else []
        return ["lambda", xform_name(operation, "-"), *words, *file]

    def ask(self, operation: str, parameters: dict[str, Any]) -> Answer:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = self.driver.main(
                [*self.arguments(operation, parameters), "--endpoint-url", self.url]
            )
        if status == 0:
            members = json.loads(out.getvalue() or "{}")
            if operation == "Invoke":
                members["Payload"] = self.file.read_bytes()
            return Answer(0, "", "", members)
        told = re.search(
            rf"An error occurred \((\w+)\) when calling the {operation} operation: (.*)",
            err.getvalue(),
        )
        assert told, (operation, parameters, err.getvalue(), out.getvalue())
        return Answer(0, told[1], told[2], {})


Ask = Callable[[str, dict[str, Any]], Answer]


@pytest.fixture(params=["boto3", "cli"])
def client(
    request: pytest.FixtureRequest,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[tuple[str, Cloud, Ask]]:
    cloud = Cloud(world)
    config = tmp_path / "config"
    config.write_text("[default]\nparameter_validation = false\n")
    for name, value in aws_environment(AWS_CONFIG_FILE=str(config)).items():
        monkeypatch.setenv(name, value)
    if request.param == "cli":
        yield "cli", cloud, Cli(cloud.url, tmp_path).ask
    else:
        aws = cloud.client("lambda", parameter_validation=False)
        yield (
            "boto3",
            cloud,
            lambda operation, parameters: ask_boto3(aws, operation, parameters),
        )


def aws_environment(**more: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_PAGER": "",
        **more,
    }


def scene(cloud: Cloud) -> dict[str, str]:
    """Functions, and an execution with an operation of each kind; what names them."""
    function = Function(cloud.world)
    Function(cloud.world, "plain", durable=False)
    Function(cloud.world, "long", execution_timeout_s=901)

    def start(name: str) -> dict[str, Any]:
        cloud.aws.invoke(
            FunctionName="f:$LATEST",
            InvocationType="Event",
            DurableExecutionName=name,
            Payload=b'{"a": 1}',
        )
        return function.next()

    event, other = start("job"), start("other")
    answer = cloud.aws.checkpoint_durable_execution(
        DurableExecutionArn=event["DurableExecutionArn"],
        CheckpointToken=event["CheckpointToken"],
        Updates=[
            update("s", "STEP", "START", SubType="Step", Name="charge"),
            update("c", "CONTEXT", "START"),
            update("c", "CONTEXT", "SUCCEED", Payload="1"),
            update("w", "WAIT", "START", WaitOptions={"WaitSeconds": 3600}),
            update("open", "CALLBACK", "START"),
            update("done", "CALLBACK", "START"),
        ],
    )
    ids = {
        operation["Id"]: operation["CallbackDetails"]["CallbackId"]
        for operation in answer["NewExecutionState"]["Operations"]
        if operation["Type"] == "CALLBACK"
    }
    cloud.aws.send_durable_execution_callback_success(CallbackId=ids["done"], Result=b"7")
    return {
        "$arn": event["DurableExecutionArn"],
        "$other": other["DurableExecutionArn"],
        "$stale": event["CheckpointToken"],
        "$token": answer["CheckpointToken"],
        "$open": ids["open"],
        "$done": ids["done"],
    }


def fill(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: fill(member, names) for key, member in value.items()}
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(name, text)
    return value


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_clients_are_refused(client: tuple[str, Cloud, Ask], operation: str) -> None:
    name, cloud, ask = client
    names = scene(cloud)
    before = cloud.world.ctl_json("ls")["executions"]
    history = cloud.world.events("job")
    for row in REFUSED:
        if row.operation != operation or (name == "cli" and not row.cli):
            continue
        parameters = {
            key: value
            for key, value in fill(row.parameters, names).items()
            if value is not None
        }
        status, code, message = row.expected
        told = ask(operation, parameters)
        what = {key: str(value)[:80] for key, value in parameters.items()}
        assert (told.code, told.message) == (code, fill(message, names)), what
        assert told.status in (0, status), what
    # Nothing has come of it.
    assert cloud.world.ctl_json("ls")["executions"] == before
    assert cloud.world.events("job") == history


def test_every_operation_that_is_described_is_asked() -> None:
    page = (HERE.parents[1] / "daemon/HTTP.md").read_text()
    table = page[page.index("| operation |") : page.index("ARNs and callback ids")]
    described = set()
    for names in re.findall(r"^\| ([A-Z][\w, …]*) \|", table, re.MULTILINE):
        first, *rest = names.split(", ")
        described |= {first, *(r.replace("…", first.removesuffix("Success")) for r in rest)}
    assert described == set(OPERATIONS) - {row.operation for row in ABSENT}


# -- what they get -----------------------------------------------------------------------


def plain(value: Any) -> Any:
    """As JSON shows it: the CLI writes times as text."""
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d$", value):
        return datetime.fromisoformat(value).timestamp()
    return value


def test_what_clients_get(client: tuple[str, Cloud, Ask]) -> None:
    """An execution's life, and every read, which are the same to both."""
    _, cloud, ask = client
    names = scene(cloud)

    def get(operation: str, **parameters: Any) -> Any:
        told = ask(operation, fill(parameters, names))
        assert told.code == "", told
        return told.members

    for operation, parameters in (
        ("GetDurableExecution", {"DurableExecutionArn": "$arn"}),
        ("GetDurableExecution", {"DurableExecutionArn": "$arn", "IncludeExecutionData": False}),
        (
            "GetDurableExecutionHistory",
            {"DurableExecutionArn": "$arn", "IncludeExecutionData": True},
        ),
        (
            "GetDurableExecutionHistory",
            {"DurableExecutionArn": "$arn", "IncludeExecutionData": True, "MaxItems": 2},
        ),
        ("GetDurableExecutionHistory", {"DurableExecutionArn": "$arn", "ReverseOrder": True}),
        (
            "GetDurableExecutionState",
            {"DurableExecutionArn": "$arn", "CheckpointToken": "$token"},
        ),
        ("ListDurableExecutionsByFunction", {"FunctionName": "f", "Statuses": ["RUNNING"]}),
        ("ListFunctions", {}),
        ("ListFunctions", {"FunctionVersion": "ALL"}),
        ("GetFunction", {"FunctionName": "f", "Qualifier": "$LATEST"}),
        ("GetFunctionConfiguration", {"FunctionName": ACCOUNT + "long"}),
        ("ListVersionsByFunction", {"FunctionName": "plain"}),
        ("ListAliases", {"FunctionName": "f"}),
    ):
        got = get(operation, **parameters)
        got.pop("NextMarker", None)
        whole = {k: v for k, v in fill(parameters, names).items() if k != "MaxItems"}
        expected = getattr(cloud.aws, xform_name(operation))(**whole)
        del expected["ResponseMetadata"]
        if "MaxItems" in parameters and len(got["Events"]) == 2:  # boto3 pages when told so
            expected["Events"] = expected["Events"][:2]
        assert plain(got) == plain(expected), (operation, parameters)

    answer = get(
        "CheckpointDurableExecution",
        DurableExecutionArn="$arn",
        CheckpointToken="$token",
        Updates=[update("s", "STEP", "SUCCEED", SubType="Step", Name="charge", Payload="é")],
    )
    (step,) = [o for o in answer["NewExecutionState"]["Operations"] if o["Id"] == "s"]
    assert step["StepDetails"]["Result"] == "é"
    assert get("SendDurableExecutionCallbackHeartbeat", CallbackId="$open") == {}
    error = {"ErrorType": "E", "ErrorMessage": "é", "StackTrace": ["a"]}
    assert get("SendDurableExecutionCallbackFailure", CallbackId="$open", Error=error) == {}
    stopped = get("StopDurableExecution", DurableExecutionArn="$arn", Error=error)
    found = get("GetDurableExecution", DurableExecutionArn="$arn")
    assert found["Status"] == "STOPPED" and found["Error"] == error
    assert plain(found["EndTimestamp"]) == plain(stopped["StopTimestamp"])
    again = get(
        "Invoke", FunctionName="f:$LATEST", DurableExecutionName="job", Payload='{"a": 1}'
    )
    assert again["FunctionError"] == "Unhandled" and again["ExecutedVersion"] == "$LATEST"
    assert json.loads(again["Payload"]) == {
        "errorType": "E",
        "errorMessage": "é",
        "stackTrace": ["a"],
    }
    dry = get("Invoke", FunctionName="f:$LATEST", InvocationType="DryRun")
    assert dry["StatusCode"] == 204 and dry["Payload"] == b""
    event = get("Invoke", FunctionName="plain", InvocationType="Event", TenantId="t")
    assert event["StatusCode"] == 202 and "DurableExecutionArn" not in event


def test_the_cli_as_it_is_started(world: World) -> None:
    """With nothing but what HTTP.md says to set."""
    cloud = Cloud(world)
    scene(cloud)
    words = ["lambda", "list-functions", "--output=text"]
    done = subprocess.run(
        [sys.executable, "-m", "awscli", *words, "--query=Functions[].[FunctionName,Version]"],
        env={**os.environ, **aws_environment(AWS_ENDPOINT_URL_LAMBDA=cloud.url)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "f\t$LATEST\nlong\t$LATEST\nplain\t$LATEST\n"
