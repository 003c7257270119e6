"""Logging: code that only runs again to get where it was says nothing twice.

payload: {"order": "1001"}
result: "shipped"

`durablectl logs` shows each line once, with the operation that it came from, though the
handler runs twice. A logger of one's own is set with context.set_logger().
"""

import logging
from typing import Any

from durabled import DurableContext, StepContext, durable_execution
from durabled.config import Duration


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> str:
    context.set_logger(logging.getLogger("orders"))
    context.logger.info("order %s arrived", event["order"])

    def pack(step: StepContext) -> str:
        step.logger.info("packing", extra={"shelf": 7})
        return "packed"

    context.step(pack, name="pack")
    context.wait(Duration.from_seconds(1), name="pick_up")
    context.logger.info("order %s is on its way", event["order"])
    return "shipped"
