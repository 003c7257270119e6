"""wait_for_condition: asks again, later, until the answer will do.

payload: {"job": "export"}
result: {"job": "export", "done": 100, "polls": 3}
"""

from typing import Any

from durabled import DurableContext, durable_execution
from durabled.config import Duration
from durabled.types import WaitForConditionCheckContext
from durabled.waits import WaitForConditionConfig, WaitStrategyConfig, create_wait_strategy

every_second = create_wait_strategy(
    WaitStrategyConfig(
        should_continue_polling=lambda state: state["done"] < 100,
        max_attempts=10,
        initial_delay=Duration.from_seconds(1),
        max_delay=Duration.from_seconds(1),
    )
)


def poll(state: dict[str, Any], context: WaitForConditionCheckContext) -> dict[str, Any]:
    """Is given what it last returned."""
    return {**state, "done": min(100, state["done"] + 40), "polls": context.attempt}


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    start = {"job": event["job"], "done": 0}
    config = WaitForConditionConfig(wait_strategy=every_second, initial_state=start)
    return context.wait_for_condition(poll, config, name="export_done")
