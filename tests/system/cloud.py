"""What the tests of the HTTP API share: a daemon that answers it, boto3's client of it, and
a function that a test plays by hand."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from peer import Peer

from conftest import PATIENCE_S, World

EXECUTIONS = "/2025-12-01/durable-executions/"
CALLBACKS = "/2025-12-01/durable-execution-callbacks/"
FUNCTIONS = "/2015-03-31/functions/"


class Cloud:
    """One daemon with its HTTP API, on a port of its own."""

    def __init__(self, world: World, *options: str, **env: str) -> None:
        self.world = world
        world.start_daemon("--http", "127.0.0.1:0", *options, **env)
        self.url: str = world.log_events("READY")[-1]["http"]
        self.address = (urlsplit(self.url).hostname, urlsplit(self.url).port)
        self.aws = self.client("lambda")

    def client(
        self,
        service: str,
        keys: tuple[str, str, str | None] = ("local", "local", None),
        region: str = "us-east-1",
        **config: Any,
    ) -> Any:
        access_key, secret, token = keys
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(retries={"max_attempts": 0}, read_timeout=PATIENCE_S, **config),
        )

    def ask(
        self, method: str, target: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """A request as it is: status, headers by lower-case name, body."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE_S)
        connection.request(
            method, target, body, {k.replace("_", "-"): v for k, v in headers.items()}
        )
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        data = answer.read()
        connection.close()
        return answer.status, found, data

    def dial(self) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE_S)


class Function:
    """The one worker of a function, played by the test."""

    def __init__(self, world: World, name: str = "f", **members: Any) -> None:
        self.name = name
        self.peer = Peer(world).hello()
        self.request_id = ""
        self.call(
            "worker.register",
            {"functions": [{"name": name, **members}], "concurrency": 9, "instance": "test"},
        )

    def call(self, method: str, params: dict[str, Any]) -> Any:
        error, result = self.peer.call(method, params)
        assert error is None, error
        return result

    def next(self) -> dict[str, Any]:
        """The event of the next invocation."""
        invocation = self.call("worker.next", {})["invocation"]
        self.request_id = invocation["request_id"]
        return dict(json.loads(invocation["event"]))

    def respond(self, output: Any) -> None:
        params = {"request_id": self.request_id, "output": json.dumps(output)}
        self.call("worker.respond", params)


def label(text: str) -> str:
    """As AWS's clients write it in a path."""
    return quote(text, safe="-_.~")


def refusal(call: Any, **arguments: Any) -> tuple[int, str, str]:
    """Status, code and message of a call that must be refused."""
    try:
        call(**arguments)
    except ClientError as error:
        answer = error.response
        return (
            answer["ResponseMetadata"]["HTTPStatusCode"],
            answer["Error"]["Code"],
            answer["Error"]["Message"],
        )
    raise AssertionError("it was not refused")
