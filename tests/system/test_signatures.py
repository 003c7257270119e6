"""Signatures of HTTP requests, which the daemon checks when told so, and the region that
clients and daemon are configured for."""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime, timedelta

import pytest
import sigv4
from cloud import FUNCTIONS, Cloud, Function, refusal
from sigv4 import Case

from conftest import PATIENCE_S, World

MISMATCH = (
    403,
    "InvalidSignatureException",
    "The request signature we calculated does not match the signature you provided. Check "
    "your AWS Secret Access Key and signing method. Consult the service documentation for "
    "details.",
)
UNKNOWN = (
    403,
    "UnrecognizedClientException",
    "The security token included in the request is invalid.",
)


def test_the_table_is_what_botocore_signs() -> None:
    assert sigv4.TABLE.read_text() == sigv4.table()


def send(cloud: Cloud, case: Case, when: datetime) -> tuple[int, str, str]:
    """Sends the request as botocore signs it: status, error and message."""
    host = f"{cloud.address[0]}:{cloud.address[1]}"
    signed = sigv4.sign(case, when, host)
    connection = http.client.HTTPConnection(*cloud.address, timeout=PATIENCE_S)
    connection.putrequest(case.method, case.target, skip_host=True, skip_accept_encoding=True)
    for name, value in [*signed.headers, ("Authorization", signed.authorization)]:
        connection.putheader(name, value)
    if case.body:
        connection.putheader("Content-Length", str(len(case.body)))
    connection.endheaders(case.body or None)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    message = json.loads(body).get("message", "") if body.startswith(b"{") else ""
    return answer.status, answer.headers.get("x-amzn-errortype", ""), message


def test_what_botocore_signs_is_verified(world: World) -> None:
    cloud = Cloud(world, "--require-signature")
    now = datetime.now(UTC)
    for case in sigv4.CASES:
        status, error, _ = send(cloud, case, now)
        if case.access_key != "local":
            assert (status, error) == UNKNOWN[:2], case.name
        elif case.name == "headers twice":  # of which only the first is looked at
            assert (status, error) == MISMATCH[:2], case.name
        else:
            assert status != 403, (case.name, error)
            assert send(cloud, case._replace(secret="other"), now) == MISMATCH or (
                case.target == "/"  # told before who signs that it is for another service
            ), case.name


def test_clients_with_the_right_keys(world: World) -> None:
    cloud = Cloud(world, "--require-signature")
    function = Function(world)
    Function(world, "plain", durable=False)
    aws = cloud.aws
    assert [f["FunctionName"] for f in aws.list_functions()["Functions"]] == ["f", "plain"]
    arn = aws.invoke(
        FunctionName="f:$LATEST", InvocationType="Event", Payload='{"name": "é"}'.encode()
    )["DurableExecutionArn"]
    token = function.next()["CheckpointToken"]
    aws.get_durable_execution_state(DurableExecutionArn=arn, CheckpointToken=token)
    operation = aws.checkpoint_durable_execution(
        DurableExecutionArn=arn,
        CheckpointToken=token,
        Updates=[{"Id": "k", "Type": "CALLBACK", "Action": "START"}],
    )["NewExecutionState"]["Operations"][0]
    aws.send_durable_execution_callback_success(
        CallbackId=operation["CallbackDetails"]["CallbackId"], Result=b"\xc3\xa9"
    )
    listed = aws.list_durable_executions_by_function(
        FunctionName="f",
        Qualifier="$LATEST",
        Statuses=["RUNNING"],
        StartedAfter=datetime(2026, 1, 2, 3, 4, 5, 678000, UTC),
    )
    assert [e["DurableExecutionArn"] for e in listed["DurableExecutions"]] == [arn]
    assert "Error" not in aws.get_durable_execution(DurableExecutionArn=arn)
    aws.stop_durable_execution(DurableExecutionArn=arn, Error={"ErrorMessage": "é"})


def test_clients_with_other_keys(world: World) -> None:
    cloud = Cloud(world, "--require-signature")
    for keys, expected in (
        (("local", "Local", None), MISMATCH),
        (("test", "local", None), UNKNOWN),
    ):
        assert refusal(cloud.client("lambda", keys).list_functions) == expected
    status, headers, body = cloud.ask("GET", FUNCTIONS)
    assert (status, headers["x-amzn-errortype"]) == (
        403,
        "MissingAuthenticationTokenException",
    )
    assert json.loads(body)["message"] == "Missing Authentication Token"
    cloud.client("lambda", ("local", "local", "a+token/==")).list_functions()
    # Neither keys nor signatures are logged.
    assert world.daemon is not None
    assert "Signature=" not in world.daemon.output()


def test_the_keys_are_those_of_the_environment(world: World) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalr/K7MDENG+bPx"}
    cloud = Cloud(world, DURABLED_REQUIRE_SIGNATURE="1", **keys)
    assert refusal(cloud.aws.list_functions) == UNKNOWN
    cloud.client("lambda", (*keys.values(), None)).list_functions()


def test_signatures_have_their_time(world: World) -> None:
    cloud = Cloud(world, "--require-signature")
    now = datetime.now(UTC)
    case = Case("", "GET", FUNCTIONS)
    for minutes, text in ((-6, "Signature expired: "), (6, "Signature not yet current: ")):
        status, error, message = send(cloud, case, now + timedelta(minutes=minutes))
        assert (status, error) == (403, "InvalidSignatureException")
        assert message.startswith(text) and "5 min.)" in message
    assert send(cloud, case, now - timedelta(minutes=4))[0] == 200


def test_no_signature_is_asked_for_unless_told_so(world: World) -> None:
    cloud = Cloud(world, DURABLED_REQUIRE_SIGNATURE="0")
    assert cloud.ask("GET", FUNCTIONS)[0] == 200
    cloud.client("lambda", ("other", "other", None)).list_functions()


@pytest.mark.parametrize(
    ("options", "env", "text"),
    [
        ([], {"DURABLED_REQUIRE_SIGNATURE": "yes"}, "'yes' is neither 0 nor 1"),
        (["--region", "Us East"], {}, "'Us East' is no name of a region"),
        ([], {"AWS_REGION": "a" * 32}, "is no name of a region"),
    ],
)
def test_options_that_are_refused(
    world: World, options: list[str], env: dict[str, str], text: str
) -> None:
    process = world.try_daemon("--http", "127.0.0.1:0", *options, **env)
    assert process.popen.wait(PATIENCE_S) != 0
    assert text in process.output()


# -- regions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "env", "region"),
    [
        ([], {}, "us-east-1"),
        ([], {"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ([], {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-2"),
        ([], {"AWS_REGION": "", "DURABLED_REGION": "eu-west-3"}, "eu-west-3"),
        ([], {"AWS_REGION": "eu-west-2", "DURABLED_REGION": "eu-west-3"}, "eu-west-3"),
        (["--region", "eu-west-4"], {"DURABLED_REGION": "eu-west-3"}, "eu-west-4"),
    ],
)
def test_the_region(world: World, options: list[str], env: dict[str, str], region: str) -> None:
    """One account and one region, in every ARN."""
    cloud = Cloud(world, "--account", "111122223333", *options, **env)
    Function(world)
    aws = cloud.client("lambda", region=region)
    prefix = f"arn:aws:lambda:{region}:111122223333:function:f"
    arn = aws.invoke(FunctionName="f:$LATEST", InvocationType="Event")["DurableExecutionArn"]
    assert arn.startswith(f"{prefix}:$LATEST/durable-execution/")
    found = aws.get_function(FunctionName="f")["Configuration"]
    assert found["FunctionArn"] == prefix and ":111122223333:role/" in found["Role"]
    listed = aws.list_durable_executions_by_function(FunctionName=prefix)
    assert listed["DurableExecutions"][0]["DurableExecutionArn"] == arn
    assert world.describe("-")["FunctionArn"] == f"{prefix}:$LATEST"
    assert world.log_events("REGION_DIFFERS") == []


def test_a_client_of_another_region_is_served_and_told_once(world: World) -> None:
    cloud = Cloud(world)
    Function(world)
    for _ in range(3):
        aws = cloud.client("lambda", region="eu-central-1")
        arn = aws.invoke(FunctionName="f:$LATEST", InvocationType="Event")[
            "DurableExecutionArn"
        ]
        assert ":us-east-1:" in arn
    (warning,) = world.log_events("REGION_DIFFERS")
    assert (warning["region"], warning["daemon_region"]) == ("eu-central-1", "us-east-1")
    assert warning["level"] == "WARN"
