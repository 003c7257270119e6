"""`durabled dev` beside a template: which functions it hosts, and with which settings."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from test_hosting import Host, alive

from conftest import HERE, World, wait_for

TEMPLATE: dict[str, Any] = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Parameters": {"Stage": {"Type": "String", "Default": "test"}},
    "Globals": {
        "Function": {
            "Runtime": "provided.al2023",
            "Handler": "f.handler",
            "CodeUri": "code",
            "Environment": {"Variables": {"STAGE": {"Ref": "Stage"}}},
        }
    },
}


def function(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::Serverless::Function", "Properties": properties}


def dev(world: World, *options: str, **resources: dict[str, Any]) -> Host:
    """A daemon beside a template with `resources`, whose code is bootstrap.py."""
    code = world.dir / "code"
    code.mkdir()
    bootstrap = code / "bootstrap"
    bootstrap.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE}/bootstrap.py "$@"\n')
    bootstrap.chmod(0o755)
    (world.dir / "template.yaml").write_text(json.dumps({**TEMPLATE, "Resources": resources}))
    world.cwd = world.dir
    return Host(world, options=options)


def said(world: World) -> str:
    assert world.daemon
    return world.daemon.output()


def test_a_function_has_its_settings(world: World) -> None:
    host = dev(
        world,
        "--parameters",
        "Stage=next",
        Order=function(
            FunctionName="order",
            MemorySize=512,
            Environment={"Variables": {"PEER": {"Fn::GetAtt": ["Pay", "Arn"]}}},
        ),
        Pay=function(),
    )
    good, answer = host.call({}, "order")
    assert good
    environment = answer["environment"]
    assert environment["STAGE"] == "next"
    assert environment["PEER"] == "arn:aws:lambda:us-east-1:000000000000:function:Pay"
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert environment["AWS_EXECUTION_ENV"] == "AWS_Lambda_provided.al2023"
    assert environment["_HANDLER"] == "f.handler"
    assert environment["TZ"] == ":UTC"
    assert answer["directory"] == str(world.dir / "code")
    assert "order" in said(world) and "Pay" in said(world)


def test_a_function_does_not_see_the_shells_variables(world: World) -> None:
    world.variables = {"DURABLED_TEST_OWN": "yes", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}
    environment = dev(world, F=function()).call({}, "F")[1]["environment"]
    assert "DURABLED_TEST_OWN" not in environment
    assert environment["AWS_ENDPOINT_URL_S3"] == "http://127.0.0.1:9"


def test_credentials_are_made_up_only_where_there_are_none(world: World) -> None:
    world.variables = {"HOME": str(world.dir)}
    environment = dev(world, F=function()).call({}, "F")[1]["environment"]
    assert environment["AWS_ACCESS_KEY_ID"] == "local"
    world.variables |= {"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "secret"}
    assert world.daemon
    world.daemon.kill()
    environment = Host(world).call({}, "F")[1]["environment"]
    assert environment["AWS_ACCESS_KEY_ID"] == "mine"


def test_a_timeout_kills(world: World) -> None:
    host = dev(world, F=function(Timeout=1))
    mark = world.dir / "mark"
    good, answer = host.call({"mark": str(mark), "hang": True}, "F")
    assert not good
    assert answer["errorType"] == "Sandbox.Timedout"
    assert answer["errorMessage"].endswith("Error: Task timed out after 1.00 seconds")
    killed = world.diagnosis("FUNCTION_KILLED", function="F")
    wait_for("its end", lambda: not alive(killed["pid"]))
    assert host.call({}, "F")[0]


def test_a_debugged_function_has_one_process_and_no_timeout(world: World) -> None:
    host = dev(world, "--debug", "F", F=function(Timeout=1))
    marks = [world.dir / "a", world.dir / "b"]
    go = world.dir / "go"
    calls = [host.begin({"mark": str(mark), "until": str(go)}, "F") for mark in marks]
    wait_for("one to run", lambda: any(mark.exists() for mark in marks))
    wait_for("the other", lambda: world.ctl_json("functions")["functions"][0]["queued"] == 1)
    go.touch()
    answers = [call.result()[1] for call in calls]
    assert answers[0]["pid"] == answers[1]["pid"]
    a_day_s = 86400
    assert (
        int(answers[0]["headers"]["lambda-runtime-deadline-ms"]) / 1000 > time.time() + a_day_s
    )
    assert "Timeout none (--debug)" in said(world)


def test_what_cannot_start_is_named_while_others_do(world: World) -> None:
    host = dev(
        world,
        Good=function(VpcConfig={"SubnetIds": ["subnet-1"]}),
        Missing=function(CodeUri="nowhere"),
        Java=function(Runtime="java21"),
        Image=function(PackageType="Image"),
    )
    assert host.call({}, "Good")[0]
    lines = [line.strip() for line in said(world).splitlines()]
    faults = [line for line in lines if line.startswith("not started: ")]
    assert len(faults) == 3
    assert {line.split()[2] for line in faults} == {"Missing:", "Java:", "Image:"}
    assert any(line.startswith("not emulated: VpcConfig") for line in lines)


def test_a_template_that_is_none(world: World) -> None:
    (world.dir / "template.yaml").write_text("Resources: [1, 2\n")
    world.cwd = world.dir
    world.mode = "dev"
    daemon = world.try_daemon()
    assert daemon.popen.wait(30) == 2
    assert "template.yaml:2:1" in world.diagnosis("START_FAILED")["error"]


def test_data_is_beside_the_code(world: World) -> None:
    dev(world, F=function())
    assert world.daemon
    world.daemon.kill()
    argv = [str(world.program), "dev", "--http", "127.0.0.1:0"]
    daemon = world.spawn(argv, "other.log", world.dir)
    hidden = world.dir / ".durabled" / ".gitignore"
    wait_for("the data", lambda: hidden.exists() or not daemon.alive())
    assert daemon.alive(), daemon.output()
    wait_for("its line", lambda: hidden.read_text() == "*\n")


def test_a_durable_function_is_invoked_again_after_its_process_died(world: World) -> None:
    once = {"Variables": {"DIE_ONCE": str(world.dir / "died")}}
    host = dev(world, F=function(DurableConfig={"ExecutionTimeout": 60}, Environment=once))
    host.aws.invoke(
        FunctionName="F:$LATEST",
        InvocationType="Event",
        DurableExecutionName="one",
        Payload=b"{}",
    )
    # What it returns then is no durable function's output, which ends the execution.
    execution = world.finish("one")
    assert execution["Error"]["ErrorType"] == "InvalidParameterValueException"
    assert world.story("one") == "X I I X-"
    first = world.events("one")[1]["InvocationCompletedDetails"]
    assert first["Error"]["Payload"]["ErrorType"] == "Runtime.ExitError"
