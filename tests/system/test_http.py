"""AWS's durable execution API over HTTP, as boto3 sees it: every operation, what it
refuses, and in which words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from cloud import CALLBACKS, EXECUTIONS, FUNCTIONS, Cloud, Function, label, refusal

from conftest import World, wait_for

IPV = "InvalidParameterValueException"
STALE = (400, IPV, "Invalid checkpoint token")
GONE = (404, "ResourceNotFoundException", "Durable Execution does not exist")


@pytest.fixture
def cloud(world: World) -> Cloud:
    return Cloud(world)


def serve(cloud: Cloud, handler: str, *options: str) -> None:
    cloud.world.start_worker(handler, *options)
    wait_for("the worker", lambda: cloud.world.log_events("WORKER_REGISTERED"))


def invoke(
    cloud: Cloud, function: str, payload: Any = None, **arguments: Any
) -> dict[str, Any]:
    if payload is not None:
        arguments["Payload"] = json.dumps(payload)
    return dict(cloud.aws.invoke(FunctionName=function, **arguments))


def start(cloud: Cloud, function: str = "f:$LATEST", **arguments: Any) -> str:
    answer = invoke(cloud, function, InvocationType="Event", **arguments)
    return str(answer["DurableExecutionArn"])


def closed(cloud: Cloud, arn: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = dict(cloud.aws.get_durable_execution(DurableExecutionArn=arn))
        return found if found["Status"] != "RUNNING" else None

    return dict(wait_for("the end", look))


def checkpoint(cloud: Cloud, event: dict[str, Any], *updates: Any, **more: Any) -> Any:
    return cloud.aws.checkpoint_durable_execution(
        **{
            "DurableExecutionArn": event["DurableExecutionArn"],
            "CheckpointToken": event["CheckpointToken"],
            "Updates": list(updates),
            **more,
        }
    )


def step(identity: str, action: str = "START", **more: Any) -> dict[str, Any]:
    return {"Id": identity, "Type": "STEP", "SubType": "Step", "Action": action, **more}


# -- invoke ------------------------------------------------------------------------------


def test_a_synchronous_caller_waits_over_all_invocations(cloud: Cloud) -> None:
    serve(cloud, "order")
    answer = invoke(cloud, "order", {"order": "1"}, Qualifier="$LATEST")
    assert answer["StatusCode"] == 200 and "FunctionError" not in answer
    assert answer["ExecutedVersion"] == "$LATEST"
    assert json.loads(answer["Payload"].read()) == {"status": "approved"}
    assert cloud.world.story("-") == "X S S+ W I W+ S S+ I X+"
    assert answer["DurableExecutionArn"] == cloud.world.describe("-")["DurableExecutionArn"]


def test_a_failed_execution_is_a_function_error(cloud: Cloud) -> None:
    serve(cloud, "raises")
    answer = invoke(cloud, "raises:$LATEST")
    assert answer["StatusCode"] == 200 and answer["FunctionError"] == "Unhandled"
    failure = json.loads(answer["Payload"].read())
    assert failure["errorMessage"] == "no such order"
    assert failure["errorType"] == "ValueError"


def test_a_stopped_execution_is_a_function_error_to_who_waits(cloud: Cloud) -> None:
    function = Function(cloud.world)
    arn = start(cloud, DurableExecutionName="a")
    stop = {"ErrorType": "Operator", "ErrorMessage": "enough"}
    cloud.aws.stop_durable_execution(DurableExecutionArn=arn, Error=stop)
    answer = invoke(cloud, "f:$LATEST", DurableExecutionName="a")
    assert answer["DurableExecutionArn"] == arn and answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read()) == {
        "errorMessage": "enough",
        "errorType": "Operator",
    }
    assert function.name == "f"


@pytest.mark.parametrize(
    "reference",
    [
        "f:$LATEST",
        "000000000000:function:f:$LATEST",
        "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST",
    ],
)
def test_a_function_goes_by_name_and_by_arn(cloud: Cloud, reference: str) -> None:
    Function(cloud.world)
    assert ":function:f:$LATEST/durable-execution/" in start(cloud, reference)
    assert ":function:f:$LATEST/" in start(cloud, reference, Qualifier="$LATEST")


def test_a_dry_run_starts_nothing(cloud: Cloud) -> None:
    Function(cloud.world)
    answer = invoke(cloud, "f:$LATEST", InvocationType="DryRun")
    assert answer["StatusCode"] == 204 and "DurableExecutionArn" not in answer
    assert cloud.world.ctl_json("ls")["executions"] == []


def test_a_name_and_a_payload_are_one_execution(cloud: Cloud) -> None:
    function = Function(cloud.world)
    arn = start(cloud, payload={"a": 1}, DurableExecutionName="job")
    assert start(cloud, payload={"a": 1}, DurableExecutionName="job") == arn
    other = refusal(
        cloud.aws.invoke,
        FunctionName="f:$LATEST",
        InvocationType="Event",
        DurableExecutionName="job",
        Payload=b'{"a": 2}',
    )
    taken = "DurableExecutionAlreadyStartedException"
    assert other == (409, taken, f"Execution already started: {arn}")
    event = function.next()
    function.respond({"Status": "SUCCEEDED", "Result": ' {"kept":  "as it is"}'})
    assert event["DurableExecutionArn"] == arn
    answer = invoke(cloud, "f:$LATEST", {"a": 1}, DurableExecutionName="job")
    assert answer["Payload"].read() == b' {"kept":  "as it is"}'


def test_a_result_may_be_absent(cloud: Cloud) -> None:
    function = Function(cloud.world)
    start(cloud, DurableExecutionName="job")
    function.next()
    function.respond({"Status": "SUCCEEDED"})
    assert invoke(cloud, "f:$LATEST", DurableExecutionName="job")["Payload"].read() == b""


def test_a_plain_function_needs_no_qualifier(cloud: Cloud) -> None:
    function = Function(cloud.world, durable=False)
    answer = invoke(cloud, "f", {"a": 1}, InvocationType="Event")
    assert answer["StatusCode"] == 202 and "DurableExecutionArn" not in answer
    assert function.next() == {"a": 1}
    named = refusal(cloud.aws.invoke, FunctionName="f", DurableExecutionName="job")
    assert named[:2] == (400, IPV)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"FunctionName": "f"},
            (400, IPV, "You cannot invoke a durable function using an unqualified ARN."),
        ),
        (
            {"FunctionName": "f", "InvocationType": "DryRun"},
            (400, IPV, "You cannot invoke a durable function using an unqualified ARN."),
        ),
        (
            {"FunctionName": "g:$LATEST"},
            (
                404,
                "ResourceNotFoundException",
                "Function not found: arn:aws:lambda:us-east-1:000000000000:function:g:$LATEST",
            ),
        ),
        (
            {"FunctionName": "f:7"},
            (
                404,
                "ResourceNotFoundException",
                "Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:7",
            ),
        ),
        (
            {"FunctionName": "arn:aws:lambda:eu-west-1:111122223333:function:f:$LATEST"},
            (
                404,
                "ResourceNotFoundException",
                "Function not found: arn:aws:lambda:eu-west-1:111122223333:function:f:$LATEST",
            ),
        ),
        (
            {"FunctionName": "f:$LATEST", "Qualifier": "7"},
            (
                400,
                IPV,
                "The derived qualifier from the function name does not match the specified "
                "qualifier.",
            ),
        ),
        (
            {"FunctionName": "long:$LATEST"},
            (
                400,
                IPV,
                "You cannot synchronously invoke a durable function with an executionTimeout "
                "greater than 15 minutes.",
            ),
        ),
        (
            {"FunctionName": "f:$LATEST", "Payload": b'{"a": '},
            (
                400,
                "InvalidRequestContentException",
                "Could not parse request body into json",
            ),
        ),
        (
            {"FunctionName": "f:$LATEST", "InvocationType": "Event", "Payload": b"1" * 1048577},
            (
                413,
                "RequestTooLargeException",
                "Request must be smaller than 1048576 bytes for the InvokeFunction operation",
            ),
        ),
        (
            {"FunctionName": "f:$LATEST", "Payload": b"1" * 6291457},
            (
                413,
                "RequestTooLargeException",
                "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
            ),
        ),
        (
            {
                "FunctionName": "f:$LATEST",
                "DurableExecutionName": "a/b",
                "InvocationType": "Later",
            },
            (
                400,
                "ValidationException",
                "2 validation errors detected: Value 'Later' at 'invocationType' failed to "
                "satisfy constraint: Member must satisfy enum value set: [RequestResponse, "
                "Event, DryRun]; Value 'a/b' at 'durableExecutionName' failed to satisfy "
                "constraint: Member must satisfy regular expression pattern: "
                "[a-zA-Z0-9-_]+",
            ),
        ),
    ],
    ids=lambda value: value.get("FunctionName") if isinstance(value, dict) else None,
)
def test_what_invoke_refuses(
    cloud: Cloud, arguments: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    Function(cloud.world)
    Function(cloud.world, "long", execution_timeout_s=901)
    assert refusal(cloud.aws.invoke, **arguments) == expected
    assert cloud.world.ctl_json("ls")["executions"] == []


# -- checkpoint and state ----------------------------------------------------------------


def test_an_sdk_drives_an_execution(cloud: Cloud) -> None:
    """The calls of an SDK: read the state, checkpoint, suspend, come back, end."""
    function = Function(cloud.world)
    arn = start(cloud, payload={"a": 1}, DurableExecutionName="job")
    event = function.next()
    state = cloud.aws.get_durable_execution_state(
        DurableExecutionArn=arn, CheckpointToken=event["CheckpointToken"]
    )
    (execution,) = state["Operations"]
    assert "NextMarker" not in state
    assert execution["Id"] == arn.rsplit("/", 1)[1] and execution["Name"] == "job"
    assert execution["Type"] == "EXECUTION" and execution["Status"] == "STARTED"
    assert execution["ExecutionDetails"] == {"InputPayload": '{"a": 1}'}
    assert abs(execution["StartTimestamp"] - datetime.now(UTC)) < timedelta(minutes=5)

    answer = checkpoint(
        cloud,
        event,
        step("s1", Name="charge"),
        step("s1", "SUCCEED", Name="charge", Payload='"é\\n"'),
        {"Id": "w1", "Type": "WAIT", "Action": "START", "WaitOptions": {"WaitSeconds": 1}},
        {
            "Id": "c1",
            "Type": "CONTEXT",
            "SubType": "RunInChildContext",
            "Action": "START",
        },
        step("s2", ParentId="c1"),
        step(
            "s2",
            "RETRY",
            ParentId="c1",
            Error={"ErrorType": "E", "ErrorMessage": "m", "StackTrace": ["a", "b"]},
            StepOptions={"NextAttemptDelaySeconds": 3600},
        ),
    )
    assert answer["CheckpointToken"] != event["CheckpointToken"]
    found = {o["Id"]: o for o in answer["NewExecutionState"]["Operations"]}
    assert list(found) == ["s1", "w1", "c1", "s2"]
    assert found["s1"]["StepDetails"] == {"Attempt": 1, "Result": '"é\\n"'}
    assert found["s1"]["Status"] == "SUCCEEDED" and found["s1"]["Name"] == "charge"
    assert found["w1"]["WaitDetails"]["ScheduledEndTimestamp"] == found["w1"][
        "StartTimestamp"
    ] + timedelta(seconds=1)
    assert found["c1"]["Status"] == "STARTED" and found["c1"]["ContextDetails"] == {}
    assert found["s2"]["ParentId"] == "c1" and found["s2"]["Status"] == "PENDING"
    assert found["s2"]["StepDetails"]["Attempt"] == 1
    assert found["s2"]["StepDetails"]["Error"] == {
        "ErrorType": "E",
        "ErrorMessage": "m",
        "StackTrace": ["a", "b"],
    }
    function.respond({"Status": "PENDING"})

    event = function.next()
    assert event["UpdatedOperationIds"] == ["w1"]
    end = {"Id": "end", "Type": "EXECUTION", "Action": "SUCCEED", "Payload": '"done"'}
    answer = checkpoint(cloud, event, end)
    assert "CheckpointToken" not in answer
    assert answer["NewExecutionState"] == {"Operations": []}
    function.respond({"Status": "SUCCEEDED", "Result": ""})
    assert closed(cloud, arn)["Result"] == '"done"'
    assert cloud.world.story("job") == "X S S+ W C S S- I W+ X+ I"


def test_pages_of_the_state(cloud: Cloud) -> None:
    function = Function(cloud.world)
    arn = start(cloud)
    event = function.next()
    token = checkpoint(cloud, event, *[step(f"s{i}") for i in range(9)])["CheckpointToken"]
    arguments = {"DurableExecutionArn": arn, "CheckpointToken": token}
    pages = list(
        cloud.aws.get_paginator("get_durable_execution_state").paginate(
            **arguments, PaginationConfig={"PageSize": 4}
        )
    )
    assert [len(page["Operations"]) for page in pages] == [4, 4, 2]
    ids = [o["Id"] for page in pages for o in page["Operations"]]
    assert ids[1:] == [f"s{i}" for i in range(9)]
    read = cloud.aws.get_durable_execution_state
    assert refusal(read, **arguments, Marker="AAAA") == (400, IPV, "Invalid Marker")
    assert len(read(**arguments, MaxItems=0)["Operations"]) == 10


def test_a_token_is_good_once(cloud: Cloud) -> None:
    function = Function(cloud.world)
    start(cloud)
    event = function.next()
    first = checkpoint(cloud, event, step("s1"), ClientToken="one")
    # A repeated request gets the same answer, whatever it says; another is stale.
    again = checkpoint(cloud, event, step("s9"), ClientToken="one")
    for answer in first, again:
        answer.pop("ResponseMetadata")
    assert again == first
    call = cloud.aws.checkpoint_durable_execution
    stale = {key: event[key] for key in ("DurableExecutionArn", "CheckpointToken")}
    assert refusal(call, **stale, ClientToken="two") == STALE
    assert refusal(call, **stale) == STALE
    assert refusal(cloud.aws.get_durable_execution_state, **stale) == STALE

    # What is refused is not applied, and its token stays good.
    current = {**event, "CheckpointToken": first["CheckpointToken"]}
    bad = refusal(
        call,
        DurableExecutionArn=event["DurableExecutionArn"],
        CheckpointToken=first["CheckpointToken"],
        Updates=[step("s2"), step("s1")],
    )
    assert bad == (400, IPV, "Invalid current STEP state to start.")
    answer = checkpoint(cloud, current)
    assert answer["NewExecutionState"]["Operations"] == []
    function.respond({"Status": "SUCCEEDED"})
    late = {**stale, "CheckpointToken": answer["CheckpointToken"]}
    assert refusal(call, **late) == STALE


def test_a_token_is_of_its_execution(cloud: Cloud) -> None:
    function = Function(cloud.world)
    start(cloud)
    first = function.next()
    start(cloud)
    second = function.next()
    call = cloud.aws.checkpoint_durable_execution
    assert refusal(
        call,
        DurableExecutionArn=second["DurableExecutionArn"],
        CheckpointToken=first["CheckpointToken"],
    ) == (400, IPV, "Checkpoint token is not valid for the durable execution ARN")
    arn = first["DurableExecutionArn"]
    unknown = arn[:-4] + ("0000" if not arn.endswith("0000") else "1111")
    token = first["CheckpointToken"]
    assert refusal(call, DurableExecutionArn=unknown, CheckpointToken=token) == STALE
    assert refusal(call, DurableExecutionArn=arn, CheckpointToken="AAAA") == STALE


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"", "SerializationException", "the request body is no JSON"),
        (b"{", "SerializationException", "the request body is no JSON"),
        (b"[]", "SerializationException", "START_ARRAY can not be converted to Structure"),
        (b"\xff", "SerializationException", "the request body is no JSON"),
        (b"[" * 100000, "SerializationException", "the request body is no JSON"),
        (b"1" * 100000, "SerializationException", "the request body is no JSON"),
        (
            b'{"CheckpointToken": "AAAA"} {}',
            "SerializationException",
            "the request body is no JSON",
        ),
        (
            b'{"CheckpointToken": 7}',
            "SerializationException",
            "checkpointToken: NUMBER_VALUE can not be converted to String",
        ),
        (
            b'{"CheckpointToken": "AAAA", "Updates": [{"Id": "a", "Type": "STEP", "Action": '
            b'"RETRY", "StepOptions": {"NextAttemptDelaySeconds": "soon"}}]}',
            "SerializationException",
            "nextAttemptDelaySeconds: STRING_VALUE can not be converted to Integer",
        ),
        (
            b'{"CheckpointToken": "AAAA", "Updates": [null]}',
            "SerializationException",
            "updates.1.member.: NULL_VALUE can not be converted to Structure",
        ),
        (
            b'{"Updates": [{"Type": "PLUMBUM", "Action": "START"}]}',
            "ValidationException",
            "3 validation errors detected: Value 'PLUMBUM' at 'updates.1.member.type' failed "
            "to satisfy constraint: Member must satisfy enum value set: [EXECUTION, CONTEXT, "
            "STEP, WAIT, CALLBACK, CHAINED_INVOKE]; Value null at 'checkpointToken' failed",
        ),
        (
            b'{"CheckpointToken": "a-b"}',
            "ValidationException",
            "1 validation error detected: Value 'a-b' at 'checkpointToken' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: [A-Za-z0-9+/]+={0,2}",
        ),
    ],
)
def test_bodies_that_are_no_checkpoint(
    cloud: Cloud, body: bytes, code: str, message: str
) -> None:
    Function(cloud.world)
    arn = start(cloud)
    target = f"{EXECUTIONS}{label(arn)}/checkpoint"
    status, headers, answer = cloud.ask("POST", target, body)
    assert (status, headers["x-amzn-errortype"]) == (400, code)
    assert message in json.loads(answer)["message"]


# -- reading -----------------------------------------------------------------------------


def test_an_execution_is_described(cloud: Cloud) -> None:
    serve(cloud, "order")
    arn = start(cloud, "order:$LATEST", payload={"order": "1"}, DurableExecutionName="a")
    found = closed(cloud, arn)
    assert found["DurableExecutionArn"] == arn and found["DurableExecutionName"] == "a"
    assert found["FunctionArn"] == arn.split("/durable-execution/")[0]
    assert found["Status"] == "SUCCEEDED" and found["Version"] == "$LATEST"
    assert found["InputPayload"] == '{"order": "1"}'
    assert json.loads(found["Result"]) == {"status": "approved"}
    assert found["EndTimestamp"] > found["StartTimestamp"]
    bare = cloud.aws.get_durable_execution(DurableExecutionArn=arn, IncludeExecutionData=False)
    assert "Result" not in bare and "InputPayload" not in bare

    status, headers, body = cloud.ask("GET", EXECUTIONS + label(arn))
    raw = json.loads(body)
    assert status == 200 and headers["content-type"] == "application/json"
    assert len(headers["x-amzn-requestid"]) == 36
    assert raw["ExecutionDataIncluded"] is True
    assert raw["DurableConfig"] == {"ExecutionTimeout": 31622400, "RetentionPeriodInDays": 14}
    assert isinstance(raw["StartTimestamp"], float) and 1e9 < raw["StartTimestamp"] < 1e11
    # curl and its likes do not escape an ARN.
    assert json.loads(cloud.ask("GET", EXECUTIONS + arn)[2]) == raw


def without_times(event: dict[str, Any]) -> dict[str, Any]:
    return {
        key: without_times(value) if isinstance(value, dict) else value
        for key, value in event.items()
        if not key.endswith("Timestamp")
    }


def test_the_history_is_what_durablectl_shows(cloud: Cloud) -> None:
    serve(cloud, "order")
    arn = start(cloud, "order:$LATEST", payload={"order": "1"}, DurableExecutionName="a")
    closed(cloud, arn)
    history = cloud.aws.get_durable_execution_history
    shown = cloud.world.events("a")
    whole = history(DurableExecutionArn=arn, IncludeExecutionData=True)
    assert "NextMarker" not in whole
    events = whole["Events"]
    assert [without_times(e) for e in events] == [without_times(e) for e in shown]
    # Each event of an operation names it, those of the execution name that.
    named = [e.get("Name") for e in events if e["EventType"] != "InvocationCompleted"]
    assert named == ["a", *["reserve_stock"] * 2, *["cooling_off"] * 2, *["ship"] * 2, "a"]
    assert {e["Id"] for e in events if e.get("Name") == "a"} == {arn.rsplit("/", 1)[1]}
    for event, other in zip(events, shown, strict=True):
        assert event["EventTimestamp"].timestamp() == pytest.approx(
            other["EventTimestamp"] / 1000, abs=1e-4
        )
    bare = history(DurableExecutionArn=arn)["Events"]
    assert bare[0]["ExecutionStartedDetails"]["Input"] == {"Truncated": True}

    pager = cloud.aws.get_paginator("get_durable_execution_history")
    for reverse in False, True:
        for size in 1, 3, 1000:
            pages = pager.paginate(
                DurableExecutionArn=arn,
                ReverseOrder=reverse,
                IncludeExecutionData=True,
                PaginationConfig={"PageSize": size},
            )
            ids = [[e["EventId"] for e in page["Events"]] for page in pages]
            assert max(map(len, ids)) == min(size, len(events))
            flat = [i for page in ids for i in page]
            assert flat == [e["EventId"] for e in events][:: -1 if reverse else 1]

    marker = history(DurableExecutionArn=arn, MaxItems=1)["NextMarker"]
    invalid = (400, IPV, "Invalid Marker")
    other = start(cloud, "order:$LATEST", payload={"order": "2"})
    assert refusal(history, DurableExecutionArn=other, Marker=marker) == invalid
    reverse = {"DurableExecutionArn": arn, "ReverseOrder": True}
    assert refusal(history, **reverse, Marker=marker) == invalid
    assert refusal(history, DurableExecutionArn=arn, Marker="x") == invalid


DELAY = {"StepOptions": {"NextAttemptDelaySeconds": 3600}}
WAIT = {"WaitOptions": {"WaitSeconds": 3600}}
TIMEOUT = {"CallbackOptions": {"TimeoutSeconds": 3600, "HeartbeatTimeoutSeconds": 600}}
PLAIN = {"ChainedInvokeOptions": {"FunctionName": "plain", "TenantId": "t"}}
NOBODY = {"ChainedInvokeOptions": {"FunctionName": "nobody"}}


def in_ms(value: Any, name: str = "") -> Any:
    """As the socket has it: times in whole milliseconds."""
    if isinstance(value, dict):
        return {key: in_ms(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [in_ms(member) for member in value]
    return round(value * 1000) if name.endswith("Timestamp") else value


def test_the_api_and_durablectl_have_one_source(cloud: Cloud) -> None:
    """An execution with an operation of every kind, open and closed: what the API says of
    it, its operations and its history is what durablectl does, member by member."""
    function = Function(cloud.world)
    Function(cloud.world, "plain", durable=False)
    arn = start(cloud, payload={"a": "é"}, DurableExecutionName="a")
    answer = checkpoint(
        cloud,
        function.next(),
        step("s1", Name="charge"),
        step("s1", "SUCCEED", Name="charge", Payload='"é"'),
        step("s2"),
        step("s2", "RETRY", Error={"ErrorType": "E", "StackTrace": ["a"]}, **DELAY),
        {"Id": "c1", "Type": "CONTEXT", "SubType": "RunInChildContext", "Action": "START"},
        {"Id": "w1", "Type": "WAIT", "Action": "START", "ParentId": "c1", **WAIT},
        {"Id": "c2", "Type": "CONTEXT", "Action": "START"},
        {"Id": "c2", "Type": "CONTEXT", "Action": "FAIL", "Error": {"ErrorMessage": "m"}},
        {"Id": "k1", "Type": "CALLBACK", "Action": "START", **TIMEOUT},
        {"Id": "v1", "Type": "CHAINED_INVOKE", "Action": "START", "Payload": "1", **PLAIN},
        {"Id": "v2", "Type": "CHAINED_INVOKE", "Action": "START", **NOBODY},
    )

    def ask(target: str) -> Any:
        status, _, body = cloud.ask("GET", f"{EXECUTIONS}{label(arn)}{target}")
        assert status == 200
        return in_ms(json.loads(body))

    shown = cloud.world.show("a")
    described = ask("")
    config = described.pop("DurableConfig")
    for name in "Version", "ExecutionDataIncluded":  # the API's alone
        del described[name]
    execution = shown["execution"]
    assert execution.pop("FunctionName") == "f"
    assert execution.pop("ExecutionTimeout") == config["ExecutionTimeout"]
    assert described == execution
    state = ask(f"/state?CheckpointToken={label(answer['CheckpointToken'])}")["Operations"]
    assert [o["Id"] for o in state[1:]] == ["s1", "s2", "c1", "w1", "c2", "k1", "v1", "v2"]
    assert state == shown["operations"]
    assert ask("/history?IncludeExecutionData=true")["Events"] == cloud.world.events("a")

    cloud.aws.stop_durable_execution(DurableExecutionArn=arn, Error={"ErrorType": "Enough"})
    shown = cloud.world.show("a")
    described = ask("")
    assert described["Error"] == shown["execution"]["Error"] == {"ErrorType": "Enough"}
    assert described["EndTimestamp"] == shown["execution"]["EndTimestamp"]
    assert ask("/history?IncludeExecutionData=true")["Events"] == cloud.world.events("a")


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        (
            "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST/durable-execution/a/"
            "01a20b7e-9cfa-7d47-92f5-cfb079e27058",
            GONE,
        ),
        (
            "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST/durable-execution/a/b",
            GONE,
        ),
        (
            "arn:aws:lambda:us-east-1:000000000000:function:f",
            (400, "ValidationException", "at 'durableExecutionArn' failed"),
        ),
        ("job", (400, "ValidationException", "Value 'job' at 'durableExecutionArn' failed")),
    ],
)
def test_executions_that_are_not_there(
    cloud: Cloud, arn: str, expected: tuple[int, str, str]
) -> None:
    for call in (
        cloud.aws.get_durable_execution,
        cloud.aws.get_durable_execution_history,
        cloud.aws.stop_durable_execution,
    ):
        status, code, message = refusal(call, DurableExecutionArn=arn)
        assert (status, code) == expected[:2] and expected[2] in message


def test_the_list(cloud: Cloud) -> None:
    function = Function(cloud.world)
    before = datetime.now(UTC) - timedelta(days=1)
    arns = [start(cloud, DurableExecutionName=f"n{i}") for i in range(5)]
    Function(cloud.world, "other")
    start(cloud, "other:$LATEST")
    function.next()
    function.respond({"Status": "SUCCEEDED"})
    listed = cloud.aws.list_durable_executions_by_function

    def found(**arguments: Any) -> list[str]:
        answer = listed(FunctionName="f", **arguments)
        return [e["DurableExecutionArn"] for e in answer["DurableExecutions"]]

    assert found() == arns[::-1] and found(ReverseOrder=True) == arns
    assert found(Qualifier="$LATEST") == arns[::-1]
    assert found(DurableExecutionName="n3") == [arns[3]]
    assert found(Statuses=["SUCCEEDED"]) == [arns[0]]
    assert found(Statuses=["RUNNING"], ReverseOrder=True) == arns[1:]
    assert found(Statuses=["PAUSED"]) == []
    assert found(StartedAfter=before) == arns[::-1] and found(StartedBefore=before) == []
    item = listed(FunctionName="f", Statuses=["SUCCEEDED"])["DurableExecutions"][0]
    assert item["Status"] == "SUCCEEDED" and item["EndTimestamp"] >= item["StartTimestamp"]
    assert item["FunctionArn"] == arns[0].split("/durable-execution/")[0]
    # Both bounds are exclusive.
    assert found(StartedAfter=item["StartTimestamp"])[-1] != arns[0]
    assert arns[0] not in found(StartedBefore=item["StartTimestamp"])

    pager = cloud.aws.get_paginator("list_durable_executions_by_function")
    for reverse in False, True:
        pages = pager.paginate(
            FunctionName="f", ReverseOrder=reverse, PaginationConfig={"PageSize": 2}
        )
        names = [e["DurableExecutionName"] for p in pages for e in p["DurableExecutions"]]
        assert names == sorted(names, reverse=not reverse) and len(names) == 5

    marker = listed(FunctionName="f", MaxItems=1)["NextMarker"]
    other = refusal(listed, FunctionName="f", Statuses=["RUNNING"], Marker=marker)
    assert other == (400, IPV, "Invalid Marker")
    two = refusal(listed, FunctionName="f", Statuses=["RUNNING", "FAILED"])
    assert two == (400, IPV, "Cannot filter by more than one status")
    assert refusal(listed, FunctionName="nobody")[:2] == (404, "ResourceNotFoundException")


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("MaxItems=x", "SerializationException", "'x' can not be converted to Integer"),
        ("MaxItems=", "SerializationException", "'' can not be converted to Integer"),
        ("ReverseOrder=1", "SerializationException", "'1' can not be converted to Boolean"),
        ("StartedAfter=NaN", "SerializationException", "'NaN' can not be converted to Date"),
        (
            "MaxItems=-1&Statuses=ODD",
            "ValidationException",
            "2 validation errors detected: Value '-1' at 'maxItems' failed to satisfy "
            "constraint: Member must have value greater than or equal to 0; Value 'ODD' at "
            "'statuses' failed to satisfy constraint: Member must satisfy enum value set: "
            "[RUNNING, SUCCEEDED, FAILED, TIMED_OUT, STOPPED]",
        ),
        (
            "MaxItems=1001",
            "ValidationException",
            "1 validation error detected: Value '1001' at 'maxItems' failed to satisfy "
            "constraint: Member must have value less than or equal to 1000",
        ),
    ],
)
def test_queries_that_do_not_convert(cloud: Cloud, query: str, code: str, message: str) -> None:
    Function(cloud.world)
    target = f"/2025-12-01/functions/f/durable-executions?{query}"
    status, headers, body = cloud.ask("GET", target)
    assert (status, headers["x-amzn-errortype"]) == (400, code)
    assert json.loads(body)["message"] == message


# -- stop --------------------------------------------------------------------------------


def test_stop_is_idempotent(cloud: Cloud) -> None:
    function = Function(cloud.world)
    arn = start(cloud)
    event = function.next()
    stop = cloud.aws.stop_durable_execution
    first = stop(DurableExecutionArn=arn, Error={"ErrorType": "Operator"})
    assert stop(DurableExecutionArn=arn)["StopTimestamp"] == first["StopTimestamp"]
    found = cloud.aws.get_durable_execution(DurableExecutionArn=arn)
    assert found["Status"] == "STOPPED" and found["Error"] == {"ErrorType": "Operator"}
    assert found["EndTimestamp"] == first["StopTimestamp"]
    assert (
        refusal(
            cloud.aws.checkpoint_durable_execution,
            DurableExecutionArn=arn,
            CheckpointToken=event["CheckpointToken"],
        )
        == STALE
    )
    foreign = arn.replace("us-east-1", "eu-west-1")
    assert refusal(stop, DurableExecutionArn=foreign) == (
        404,
        "ResourceNotFoundException",
        "Function not found",
    )


# -- callbacks ---------------------------------------------------------------------------

CLOSED = (
    400,
    "CallbackTimeoutException",
    "The callback is either timed out or already completed",
)


def open_callback(cloud: Cloud, function: Function, **options: Any) -> tuple[str, str]:
    """An execution that waits for a callback: its ARN, and the id."""
    arn = start(cloud, f"{function.name}:$LATEST")
    event = function.next()
    answer = checkpoint(
        cloud,
        event,
        {"Id": "k", "Type": "CALLBACK", "Action": "START", "CallbackOptions": options},
    )
    (operation,) = answer["NewExecutionState"]["Operations"]
    function.respond({"Status": "PENDING"})
    return arn, operation["CallbackDetails"]["CallbackId"]


def outcome(cloud: Cloud, arn: str) -> dict[str, Any]:
    """What the last event but those of invocations says."""
    answer = cloud.aws.get_durable_execution_history(
        DurableExecutionArn=arn, IncludeExecutionData=True
    )
    event = [e for e in answer["Events"] if e["EventType"].startswith("Callback")][-1]
    return dict(event[event["EventType"] + "Details"])


def test_a_callback_succeeds_once(cloud: Cloud) -> None:
    function = Function(cloud.world)
    arn, callback = open_callback(cloud, function)
    succeed = cloud.aws.send_durable_execution_callback_success
    succeed(CallbackId=callback, Result=b'"abc"')
    assert outcome(cloud, arn) == {"Result": {"Payload": '"abc"', "Truncated": False}}
    assert refusal(succeed, CallbackId=callback, Result=b'"abc"') == CLOSED
    event = function.next()
    assert event["DurableExecutionArn"] == arn and event["UpdatedOperationIds"] == ["k"]
    assert refusal(succeed, CallbackId="AAAA") == (400, IPV, "Invalid callback id")


def test_a_callback_succeeds_without_a_result(cloud: Cloud) -> None:
    arn, callback = open_callback(cloud, Function(cloud.world))
    status, _, body = cloud.ask("POST", f"{CALLBACKS}{callback}/succeed", b"")
    assert (status, body) == (200, b"{}")
    assert outcome(cloud, arn) == {"Result": {"Truncated": False}}


def test_a_callback_fails(cloud: Cloud) -> None:
    arn, callback = open_callback(cloud, Function(cloud.world))
    fail = cloud.aws.send_durable_execution_callback_failure
    error = {"ErrorType": "Denied", "ErrorMessage": "no", "ErrorData": "d", "StackTrace": ["x"]}
    target = f"{CALLBACKS}{label(callback)}/fail"
    for body in b" ", b"null", b"[]", b"{", b'{"ErrorType": 7}', b'{"StackTrace": [7]}':
        status, headers, _ = cloud.ask("POST", target, body)
        assert (status, headers["x-amzn-errortype"]) == (400, "SerializationException")
    fail(CallbackId=callback, Error=error)
    assert outcome(cloud, arn) == {"Error": {"Payload": error, "Truncated": False}}
    assert refusal(fail, CallbackId=callback, Error=error) == CLOSED
    # An absent Error is an empty one.
    arn, callback = open_callback(cloud, Function(cloud.world, "g"))
    fail(CallbackId=callback)
    assert outcome(cloud, arn) == {"Error": {"Payload": {}, "Truncated": False}}


def test_a_callback_lives_by_its_heartbeat(cloud: Cloud) -> None:
    arn, callback = open_callback(
        cloud, Function(cloud.world), HeartbeatTimeoutSeconds=1, TimeoutSeconds=600
    )
    beat = cloud.aws.send_durable_execution_callback_heartbeat
    beat(CallbackId=callback)

    def over() -> bool:
        answer = cloud.aws.get_durable_execution_history(DurableExecutionArn=arn)
        return answer["Events"][-1]["EventType"] == "CallbackTimedOut"

    wait_for("the timeout", over)
    assert outcome(cloud, arn)["Error"]["Payload"]["ErrorType"] == "Callback.Heartbeat"
    assert refusal(beat, CallbackId=callback) == CLOSED


def test_results_that_no_callback_takes(cloud: Cloud) -> None:
    arn, callback = open_callback(cloud, Function(cloud.world))
    target = f"{CALLBACKS}{label(callback)}/succeed"
    status, headers, _ = cloud.ask("POST", target, b"\xff")
    assert (status, headers["x-amzn-errortype"]) == (400, IPV)
    succeed = cloud.aws.send_durable_execution_callback_success
    assert refusal(succeed, CallbackId=callback, Result=b"1" * 1048577) == (
        400,
        "ValidationException",
        "1 validation error detected: Value at 'result' failed to satisfy constraint: Member "
        "must have length less than or equal to 1048576",
    )
    cloud.aws.stop_durable_execution(DurableExecutionArn=arn)
    assert refusal(succeed, CallbackId=callback) == CLOSED


# -- who may ask, and for what -----------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "127.attacker.example"},
        {"Host": "localhost.attacker.example:80"},
        {"Host": ""},
        {"Origin": "http://localhost"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_web_pages_are_refused(cloud: Cloud, headers: dict[str, str]) -> None:
    Function(cloud.world)
    target = f"{FUNCTIONS}f:$LATEST/invocations"
    status, found, _ = cloud.ask(
        "POST", target, b"{}", X_Amz_Invocation_Type="Event", **headers
    )
    assert (status, found["x-amzn-errortype"]) == (403, "AccessDeniedException")
    assert cloud.world.ctl_json("ls")["executions"] == []


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:9", "[::1]:9", "a.localhost", "box:8080"]
)
def test_names_of_this_machine(world: World, host: str) -> None:
    cloud = Cloud(world, "--http-hosts", "other,box")
    assert cloud.ask("GET", "/", Host=host)[0] == 404
    assert cloud.ask("GET", "/", Host="box.example")[0] == 403


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("GET", "/2025-12-01/durable-executions/"),
        ("PUT", "/2025-12-01/durable-executions/a/stop"),
        ("POST", "/2015-03-31/functions//invocations"),
        ("POST", "/2015-03-31/functions/f/invocations/"),
    ],
)
def test_paths_where_nothing_is(cloud: Cloud, method: str, target: str) -> None:
    status, headers, _ = cloud.ask(method, target)
    assert (status, headers["x-amzn-errortype"]) == (404, "UnknownOperationException")
    assert len(headers["x-amzn-requestid"]) == 36


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("dynamodb", "list_tables", {}),
        ("sqs", "list_queues", {}),
        ("sts", "get_caller_identity", {}),
        ("s3", "list_buckets", {}),
    ],
)
def test_clients_of_other_services_are_told(
    cloud: Cloud, service: str, operation: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(cloud.client(service), operation)(**arguments)
    assert "AWS_ENDPOINT_URL_LAMBDA" in refused.value.response["Error"]["Message"]
    assert f"'{service}'" in refused.value.response["Error"]["Message"]
    assert refused.value.response["Error"]["Code"] == "UnknownOperationException"
