"""with_retry: a whole block of operations is tried again, from its beginning.

payload: {"seats_from_attempt": 2}
result: {"seat": "12A", "attempt": 2}
"""

from typing import Any

from durabled import DurableContext, WithRetryConfig, durable_execution, with_retry
from durabled.config import Duration
from durabled.retries import RetryStrategyConfig, create_retry_strategy

a_second_apart = create_retry_strategy(
    RetryStrategyConfig(initial_delay=Duration.from_seconds(1), max_delay=Duration(1))
)


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    def book(inner: DurableContext, attempt: int) -> dict[str, Any]:
        inner.step(lambda _: None, name=f"hold_{attempt}")
        if attempt < event["seats_from_attempt"]:
            inner.step(lambda _: None, name=f"let_go_{attempt}")
            raise RuntimeError("no seat is left")
        seat = inner.step(lambda _: "12A", name=f"take_{attempt}")
        return {"seat": seat, "attempt": attempt}

    return with_retry(context, book, WithRetryConfig(a_second_apart), name="book")
