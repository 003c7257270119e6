"""A step: what it returned is recorded, and it is never run again.

payload: {"customer": "ada", "amount": 40}
result: {"charged": 40, "receipt": "receipt for ada"}
"""

from typing import Any

from durabled import DurableContext, StepContext, durable_execution, durable_step


@durable_step
def charge(step: StepContext, customer: str, amount: int) -> dict[str, Any]:
    """A step of its own: a receipt that can't be written must not charge twice."""
    step.logger.info("charging %s", customer)
    return {"charged": amount}


@durable_step
def write_receipt(step: StepContext, customer: str) -> str:
    return f"receipt for {customer}"


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    paid = context.step(charge(event["customer"], event["amount"]))
    receipt = context.step(write_receipt(event["customer"]))
    return {**paid, "receipt": receipt}
