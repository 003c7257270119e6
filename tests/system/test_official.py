"""AWS's own Python SDK, unchanged, against the HTTP API."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from cloud import Cloud

from conftest import HERE, World, wait_for


def test_the_official_sdk_runs_a_workflow(world: World) -> None:
    cloud = Cloud(world)
    world.spawn(
        [sys.executable, str(HERE / "official_worker.py"), str(world.socket), "f"],
        "worker.log",
        AWS_ENDPOINT_URL_LAMBDA=cloud.url,
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
    )
    wait_for("the worker", lambda: world.log_events("WORKER_REGISTERED"))
    answers: list[Any] = []

    def call() -> None:
        payload = b'{"number": 21}'
        answers.append(cloud.aws.invoke(FunctionName="f:$LATEST", Payload=payload))

    caller = threading.Thread(target=call, daemon=True)
    caller.start()

    def callback() -> str | None:
        executions = world.ctl_json("ls")["executions"]
        for event in world.events(executions[0]["arn"]) if executions else []:
            if event["EventType"] == "CallbackStarted":
                return str(event["CallbackStartedDetails"]["CallbackId"])
        return None

    cloud.aws.send_durable_execution_callback_success(
        CallbackId=wait_for("the callback", callback), Result=b"yes"
    )
    caller.join(30)
    assert not caller.is_alive(), world.log_lines()
    (answer,) = answers
    assert "FunctionError" not in answer
    assert json.loads(answer["Payload"].read()) == {
        "doubled": 42,
        "approval": "yes",
        "squares": [1, 4, 9],
    }
    story = world.story("-").split()
    assert story[:7] == ["X", "S", "S+", "W", "I", "W+", "K"] and story[-1] == "X+"
    assert story.count("C") == 4 and story.count("C+") == 4
