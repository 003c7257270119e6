"""wait_for_callback: a callback, the step that hands its id out, and the wait, in one.

payload: {"document": "lease.pdf"}
result: {"signed": "lease.pdf", "by": "ada"}

Here a thread plays the signing service.
"""

import json
import threading
from typing import Any

from durabled import Client, DurableContext, durable_execution, durable_wait_for_callback
from durabled.types import WaitForCallbackContext


def signing_service(callback_id: str) -> None:
    with Client() as client:
        client.callback_heartbeat(callback_id)
        client.callback_succeed(callback_id, {"by": "ada"})


@durable_wait_for_callback
def request_signature(callback_id: str, context: WaitForCallbackContext, document: str) -> None:
    context.logger.info("asking for a signature of %s", document)
    threading.Thread(target=signing_service, args=(callback_id,)).start()


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    document = event["document"]
    answer = context.wait_for_callback(request_signature(document))
    return {"signed": document, **json.loads(answer)}
