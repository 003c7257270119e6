"""An order: reserves stock, leaves time to cancel, approves.

    python -m durabled worker app:handler --name order

INVENTORY_URL names the inventory service (inventory.py).
"""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

from durabled import DurableContext, StepContext, durable_execution, durable_step
from durabled.config import Duration


@durable_step
def reserve_stock(step: StepContext, order: str) -> dict[str, Any]:
    """Asks the inventory service, which takes its time."""
    step.logger.info("reserving stock for order %s", order)
    url = f"{os.environ['INVENTORY_URL']}/reservations/{order}"
    request = urllib.request.Request(url, method="PUT")
    with urllib.request.urlopen(request, timeout=30) as response:
        reservation: dict[str, Any] = json.load(response)
    return reservation


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, str]:
    stock = context.step(reserve_stock(event["order"]), name="reserve_stock")
    if not stock["reserved"]:
        return {"status": "rejected"}
    context.wait(duration=Duration.from_seconds(5), name="cooling_off")
    context.logger.info("order %s approved", event["order"])
    return {"status": "approved"}
