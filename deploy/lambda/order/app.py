"""An order, as a durable function: reserve the stock, wait for a person, cool off, ship.

Kill the process whenever you like: a step that has completed does not run again.
"""

from __future__ import annotations

import json
from typing import Any

from durabled import DurableContext, StepContext, durable_execution, durable_step
from durabled.config import CallbackConfig, Duration


@durable_step
def reserve_stock(step: StepContext, order: str) -> dict[str, Any]:
    step.logger.info("reserving stock for order %s", order)
    return {"order": order, "reserved": True}


@durable_step
def ship(step: StepContext, order: str) -> str:
    step.logger.info("shipping order %s", order)
    return f"parcel-{order}"


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, str]:
    context.step(reserve_stock(event["order"]), name="reserve_stock")
    approval = context.create_callback(
        name="approval", config=CallbackConfig(timeout=Duration.from_hours(8))
    )
    # Give approval.callback_id to whoever decides, in a step. No process runs meanwhile.
    decision = json.loads(approval.result())
    if not decision["approved"]:
        return {"status": "rejected"}
    context.wait(duration=Duration.from_seconds(5), name="cooling_off")
    return {"status": "shipped", "parcel": context.step(ship(event["order"]), name="ship")}
