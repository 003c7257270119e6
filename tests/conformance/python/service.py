"""A daemon with its HTTP API, and functions that either SDK serves.

The official SDK speaks to the daemon's HTTP API, and is given its invocations by a worker of
ours.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3

from conftest import system

HERE = Path(__file__).parent
OURS = "durabled"


class Service:
    """The functions are named as their handlers in `module`."""

    def __init__(self, world: Any, module: str, *handlers: str) -> None:
        self.world = world
        self.lines = world.dir / "functions.log"
        self.lines.touch()
        world.start_daemon("--http", "127.0.0.1:0")
        self.url = world.log_events("READY")[0]["http"]
        self.client = boto3.client(
            "lambda",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        self.template = world.dir / "template.json"
        resources = {
            handler: {
                "Type": "AWS::Serverless::Function",
                "Properties": {
                    "Handler": f"{module}.{handler}",
                    "CodeUri": str(HERE),
                    "Timeout": 60,
                    "DurableConfig": {"ExecutionTimeout": 300, "RetentionPeriodInDays": 1},
                },
            }
            for handler in handlers
        }
        self.functions = len(resources)
        self.template.write_text(json.dumps({"Resources": resources}))

    def serve(self, package: str) -> Any:
        """Workers of `package`, ready."""
        before = len(self.world.log_events("WORKER_REGISTERED"))
        started = self.world.spawn(
            [sys.executable, str(HERE / "worker.py"), str(self.template), str(self.lines)],
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
        all_ = before + self.functions
        system.wait_for(
            "the workers", lambda: len(self.world.log_events("WORKER_REGISTERED")) == all_
        )
        return started

    def events(self, arn: str) -> list[dict[str, Any]]:
        history = self.client.get_durable_execution_history(
            DurableExecutionArn=arn, IncludeExecutionData=True
        )
        return list(history["Events"])

    def start(self, function: str, payload: Any) -> str:
        invoked = self.client.invoke(
            FunctionName=function,
            Qualifier="$LATEST",
            InvocationType="Event",
            Payload=json.dumps(payload).encode(),
        )
        return str(invoked["DurableExecutionArn"])

    def finish(self, arn: str) -> dict[str, Any]:
        def closed() -> dict[str, Any] | None:
            execution = self.client.get_durable_execution(DurableExecutionArn=arn)
            return execution if execution["Status"] != "RUNNING" else None

        return dict(system.wait_for("the end", closed))


def plain(value: Any, key: str = "") -> Any:
    """Without what differs from run to run: times, and ids that are drawn."""
    if isinstance(value, dict):
        if value.get("EventType", "").startswith("Execution"):
            value = {**value, "Id": "an id", "Name": "a name"}
        return {name: plain(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return "a time"
    return "an id" if key in ("CallbackId", "RequestId") else value
