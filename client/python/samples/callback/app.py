"""A callback: something outside completes it, by its id or by execution and name.

payload: {"invoice": 17}
result: {"invoice": 17, "approved_by": "the chief accountant"}

Here a thread plays the outside. From a terminal it would be
`durablectl callback succeed EXECUTION approval --result '"..."'`.
"""

import threading
from typing import Any

from durabled import Client, DurableContext, StepContext, durable_execution
from durabled.config import CallbackConfig, Duration


def approve(callback_id: str) -> None:
    with Client() as client:
        client.callback_succeed(callback_id, "the chief accountant")


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    config = CallbackConfig(timeout=Duration.from_days(7))
    approval = context.create_callback(name="approval", config=config)

    def ask(step: StepContext) -> None:
        threading.Thread(target=approve, args=(approval.callback_id,)).start()

    context.step(ask, name="ask")
    return {"invoice": event["invoice"], "approved_by": approval.result()}
