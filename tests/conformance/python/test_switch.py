"""An execution that one SDK begins, the other finishes: with the same history as if one of
them had done it all, and with no step run twice.

The official SDK speaks to the daemon's HTTP API, and is given its invocations by a worker of
ours.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from conftest import system
from sdk import OFFICIAL

HERE = Path(__file__).parent
OURS = "durabled"
HANDLERS = [
    "wait",
    "callback",
    "callback_wait",
    "retry",
    "condition",
    "child",
    "map_nested",
    "map_flat",
    "parallel",
]
PAIRS = [(OFFICIAL, OURS), (OURS, OFFICIAL), (OURS, OURS)]


class Service:
    """A daemon with its HTTP API, and workers of either SDK, one after the other."""

    def __init__(self, world: Any, handler: str) -> None:
        self.world = world
        self.handler = handler
        world.start_daemon("--http", "127.0.0.1:0")
        self.url = f"http://{world.log_events('READY')[0]['http']}"
        self.client = boto3.client(
            "lambda",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        self.template = world.dir / "template.json"
        resource = {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Handler": f"switched.{handler}",
                "CodeUri": str(HERE),
                "Timeout": 60,
                "DurableConfig": {"ExecutionTimeout": 300, "RetentionPeriodInDays": 1},
            },
        }
        self.template.write_text(json.dumps({"Resources": {handler: resource}}))

    def serve(self, package: str) -> Any:
        """Workers of `package`, ready."""
        before = len(self.world.log_events("WORKER_REGISTERED"))
        started = self.world.spawn(
            [sys.executable, str(HERE / "worker.py"), str(self.template), "functions.log"],
            "worker.log",
            PYTHONPATH=str(HERE.parent),
            NOTES=str(self.world.notes),
            SDK=package,
            CONFORMANCE_SDK="" if package == OURS else package,
            AWS_ENDPOINT_URL_LAMBDA=self.url,
            AWS_ACCESS_KEY_ID="local",
            AWS_SECRET_ACCESS_KEY="local",
            AWS_REGION="us-east-1",
            AWS_DEFAULT_REGION="us-east-1",
        )
        system.wait_for(
            "the worker", lambda: len(self.world.log_events("WORKER_REGISTERED")) > before
        )
        return started

    def events(self, arn: str) -> list[dict[str, Any]]:
        history = self.client.get_durable_execution_history(
            DurableExecutionArn=arn, IncludeExecutionData=True
        )
        return list(history["Events"])

    def count(self, arn: str, kind: str) -> int:
        return sum(event["EventType"] == kind for event in self.events(arn))

    def run(self, first: str, second: str) -> tuple[list[Any], Any]:
        """Begun by one, finished by the other: the history, and the result."""
        beginner = self.serve(first)
        invoked = self.client.invoke(
            FunctionName=self.handler,
            Qualifier="$LATEST",
            InvocationType="Event",
            Payload=b'"the input"',
        )
        arn = invoked["DurableExecutionArn"]
        system.wait_for("the suspension", lambda: self.count(arn, "InvocationCompleted"))
        beginner.terminate()
        self.serve(second)
        for event in self.events(arn):
            if event["EventType"] == "CallbackStarted":
                self.client.send_durable_execution_callback_success(
                    CallbackId=event["CallbackStartedDetails"]["CallbackId"], Result=b"yes"
                )

        def closed() -> Any:
            execution = self.client.get_durable_execution(DurableExecutionArn=arn)
            return execution if execution["Status"] != "RUNNING" else None

        execution = system.wait_for("the end", closed)
        assert execution["Status"] == "SUCCEEDED", execution
        return plain(self.events(arn)), json.loads(execution["Result"])


def plain(value: Any, key: str = "") -> Any:
    """Without what differs from run to run: times and the service's own ids."""
    if isinstance(value, dict):
        return {name: plain(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return "a time"
    return "an id" if key in ("CallbackId", "RequestId") else value


@pytest.mark.parametrize("handler", HANDLERS)
def test_switch(tmp_path: Path, handler: str) -> None:
    expected: tuple[list[Any], Any] | None = None
    for first, second in [(OFFICIAL, OFFICIAL), *PAIRS]:
        directory = tmp_path / f"{first}-{second}"
        directory.mkdir()
        world = system.World(directory)
        try:
            found = Service(world, handler).run(first, second)
        finally:
            world.close()
        notes = world.noted()
        assert {re.sub(":before", "", line) for line in notes if "before" in line} == {first}
        assert {re.sub(":after", "", line) for line in notes if "after" in line} == {second}
        assert notes.count(f"{first}:before") == 1
        expected = expected or found
        assert found == expected, (first, second)
