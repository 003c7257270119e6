"""A refund that a person approves, with AWS's own durable execution SDK."""

import json

from aws_durable_execution_sdk_python import (
    DurableContext,
    StepContext,
    durable_execution,
    durable_step,
)
from aws_durable_execution_sdk_python.config import CallbackConfig, Duration


@durable_step
def look_up(step: StepContext, order: str) -> dict:
    step.logger.info("looking up the order")
    return {"order": order, "paid": 120}


@durable_step
def pay_back(step: StepContext, order: str, amount: int) -> str:
    step.logger.info("paying back")
    return f"{amount} paid back for {order}"


@durable_execution
def handler(event: dict, context: DurableContext) -> dict:
    found = context.step(look_up(event["order"]), name="look_up")
    approval = context.create_callback(
        name="approval", config=CallbackConfig(timeout=Duration.from_hours(8))
    )
    context.logger.info("waiting for an approval")
    decision = json.loads(approval.result())
    if not decision["approved"]:
        return {"status": "rejected"}
    context.wait(duration=Duration.from_seconds(2), name="cooling_off")
    return {"status": context.step(pay_back(found["order"], found["paid"]), name="pay_back")}
