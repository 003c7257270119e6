"""parallel: branches that run at the same time, each with a context of its own.

payload: {"city": "Utrecht"}
result: {"flight": "flight to Utrecht", "first_hotel": "inn"}
"""

from typing import Any

from durabled import DurableContext, durable_execution, durable_parallel_branch
from durabled.config import CompletionConfig, Duration, ParallelBranch, ParallelConfig


@durable_parallel_branch(name="flight")
def find_flight(context: DurableContext, city: str) -> str:
    return context.step(lambda _: f"flight to {city}")


def slow_hotel(context: DurableContext) -> str:
    context.wait(Duration.from_days(1), name="they_call_back")
    return "palace"


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    travel = context.parallel([find_flight(event["city"])], name="travel")
    travel.throw_if_error()

    # The first answer will do; who has not answered then is not waited for.
    hotels = context.parallel(
        [ParallelBranch(slow_hotel, "palace"), ParallelBranch(lambda _: "inn", "inn")],
        name="hotels",
        config=ParallelConfig(completion_config=CompletionConfig.first_successful()),
    )
    return {"flight": travel.get_results()[0], "first_hotel": hotels.get_results()[0]}
