"""Carries invocations from `durabled dev`, which takes this for the function, to AWS's Lambda
Runtime Interface Emulator, which runs the function. Argument: the emulator's address.

The emulator answers an error as it answers a result, with status 200 and no mark. An object
with an errorType is taken for one, as `sam local` does, and so is what is no JSON: with status
200 the sentence about a Timeout, with another one nothing at all.
"""

from __future__ import annotations

import http.client
import json
import os
import sys

RUNTIME = "/2018-06-01/runtime/invocation/"
INVOKE = "/2015-03-31/functions/function/invocations"


def ask(
    address: str, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(address)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, fields)
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    return answer, found


def failure(status: int, answer: bytes) -> bytes | None:
    """The error that an answer of the emulator is, if it is one."""
    try:
        found = json.loads(answer)
    except ValueError:
        kind = "Sandbox.Timedout" if status == 200 else "Sandbox.Failure"
        text = answer.decode() or f"the emulator answered with status {status}"
        return json.dumps({"errorType": kind, "errorMessage": text}).encode()
    return answer if isinstance(found, dict) and "errorType" in found else None


def main() -> None:
    api, emulator = os.environ["AWS_LAMBDA_RUNTIME_API"], sys.argv[1]
    while True:
        given, event = ask(api, "GET", f"{RUNTIME}next")
        request_id = given.headers["Lambda-Runtime-Aws-Request-Id"]
        given, answer = ask(emulator, "POST", INVOKE, event, X_Amzn_RequestId=request_id)
        error = failure(given.status, answer)
        kind = "response" if error is None else "error"
        ask(api, "POST", f"{RUNTIME}{request_id}/{kind}", error or answer)


main()
