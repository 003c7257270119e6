"""A step that fails is tried again, when its strategy says so; meanwhile nothing runs.

payload: {"failures": 2}
result: {"tries": 3, "gave_up": "the address is unknown"}
"""

from typing import Any

from durabled import DurableContext, StepContext, StepError, durable_execution
from durabled.config import Duration, StepConfig
from durabled.retries import RetryStrategyConfig, create_retry_strategy

# Four attempts at most, a second apart; of what the service says, only "busy" may pass.
patient = create_retry_strategy(
    RetryStrategyConfig(
        max_attempts=4,
        initial_delay=Duration.from_seconds(1),
        max_delay=Duration.from_seconds(1),
        retryable_errors=["busy"],
    )
)


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    def ask(step: StepContext) -> int:
        if step.attempt <= event["failures"]:
            raise ConnectionError("the service is busy")
        return step.attempt

    def send(step: StepContext) -> None:
        raise LookupError("the address is unknown")

    config = StepConfig(retry_strategy=patient)
    tries = context.step(ask, name="ask", config=config)
    try:
        context.step(send, name="send", config=config)
    except StepError as error:
        return {"tries": tries, "gave_up": str(error)}
    return {"tries": tries}
