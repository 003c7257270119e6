"""A custom runtime of Lambda's, as small as one can be: what `durabled dev` hosts in tests.

The event says what to do; several things may be asked of one invocation, in this order.
START says how the process is to fail before its first, SAY what it writes in each, and
DIE_ONCE names a file: the process that makes it ends.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
RUNTIME = "/2018-06-01/runtime/"


class Runtime:
    def __init__(self) -> None:
        self.connection = http.client.HTTPConnection(API)
        self.headers: dict[str, str] = {}

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        self.connection.request(method, RUNTIME + path, body, headers)
        answer = self.connection.getresponse()
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, answer.read()

    def next(self) -> tuple[str, Any]:
        status, body = self.ask("GET", "invocation/next")
        assert status == 200, body
        return self.headers["lambda-runtime-aws-request-id"], json.loads(body)


def perform(runtime: Runtime, request_id: str, event: Any) -> None:
    headers = runtime.headers
    if "SAY" in os.environ:
        print(os.environ["SAY"], flush=True)
    if "DIE_ONCE" in os.environ and not Path(os.environ["DIE_ONCE"]).exists():
        Path(os.environ["DIE_ONCE"]).touch()
        os._exit(1)
    if "print" in event:
        print(event["print"], flush=True)
    if "mark" in event:
        Path(event["mark"]).touch()
    if "until" in event:
        while not Path(event["until"]).exists():
            time.sleep(0.01)
    if "child" in event and os.fork() == 0:
        if "session" in event:
            os.setsid()
        Path(event["child"]).write_text(str(os.getpid()))
        time.sleep(3600)
    if "hang" in event:
        time.sleep(3600)
    if "exit" in event:
        os._exit(event["exit"])
    if "signal" in event:
        os.kill(os.getpid(), event["signal"])
    if "ask" in event:
        # Each a method, a path and a body: what the API answers is the result.
        answers = []
        for method, path, body in event["ask"]:
            status, answer = runtime.ask(method, path, body.encode())
            answers.append([status, json.loads(answer)])
        result = json.dumps(answers).encode()
    elif "error" in event:
        failure = json.dumps(event["error"]).encode()
        runtime.ask("POST", f"invocation/{request_id}/error", failure)
        return
    elif "size" in event:
        large = b" " * event["size"]
        status, _ = runtime.ask("POST", f"invocation/{request_id}/response", large)
        print("answered", status, flush=True)
        return
    elif "long_error" in event:
        failure = {"errorType": "Long", "errorMessage": "x" * event["long_error"]}
        runtime.ask("POST", f"invocation/{request_id}/error", json.dumps(failure).encode())
        return
    elif "files" in event:
        files = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")[:-1]]
        result = json.dumps(files).encode()
    elif "bytes" in event:
        result = bytes(event["bytes"])
    else:
        result = json.dumps(
            {
                "event": event,
                "pid": os.getpid(),
                "headers": headers,
                "environment": dict(os.environ),
                "directory": os.getcwd(),
                "code": (Path(__file__).parent / "code.py").read_text()
                if "code" in event
                else None,
            }
        ).encode()
    runtime.ask("POST", f"invocation/{request_id}/response", result)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    runtime = Runtime()
    start = os.environ.get("START", "")
    if start == "error":
        failure = {"errorType": "Runtime.ImportModuleError", "errorMessage": "no module"}
        runtime.ask("POST", "init/error", json.dumps(failure).encode())
        sys.exit(1)
    if start == "exit":
        sys.exit(3)
    if start == "hang":
        time.sleep(3600)
    while True:
        perform(runtime, *runtime.next())


main()
