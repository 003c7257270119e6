"""A function written for AWS's own SDK, served from the daemon's socket as Lambda's runtime
would run it: the SDK finds the API in AWS_ENDPOINT_URL_LAMBDA. Arguments: socket, name."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

from aws_durable_execution_sdk_python import (
    DurableContext,
    StepContext,
    durable_execution,
    durable_step,
)
from aws_durable_execution_sdk_python.config import CallbackConfig, Duration
from peer import Peer


@durable_step
def double(step: StepContext, number: int) -> int:
    return 2 * number


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    doubled = context.step(double(event["number"]), name="double")
    context.wait(Duration.from_seconds(1), name="pause")
    callback = context.create_callback(
        name="approval", config=CallbackConfig(timeout=Duration.from_minutes(5))
    )
    approval = callback.result()
    squares = context.map(
        [1, 2, 3], lambda child, item, index, items: child.step(lambda _: item * item)
    )
    return {"doubled": doubled, "approval": approval, "squares": squares.get_results()}


def main() -> None:
    socket, name = sys.argv[1:]
    peer = Peer(SimpleNamespace(socket=socket)).hello()
    functions = {"functions": [{"name": name}], "concurrency": 1, "instance": "official"}
    assert peer.call("worker.register", functions)[0] is None
    while "drain" not in (answer := peer.call("worker.next", {})[1]):
        invocation = answer["invocation"]
        request_id = invocation["request_id"]
        context = SimpleNamespace(
            aws_request_id=request_id, get_remaining_time_in_millis=lambda: 60000
        )
        try:
            output = handler(json.loads(invocation["event"]), context)
        except Exception as error:
            failure = {"ErrorType": type(error).__name__, "ErrorMessage": str(error)}
            peer.call("worker.fail", {"request_id": request_id, "error": failure})
        else:
            params = {"request_id": request_id, "output": json.dumps(output)}
            peer.call("worker.respond", params)


if __name__ == "__main__":
    main()
