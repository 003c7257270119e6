"""A handler declared `async def`: the same operations, to be awaited, several at once.

payload: {"city": "Utrecht"}
result: {"weather": "sun in Utrecht", "news": "quiet", "rested": true}
"""

import asyncio
from typing import Any

from durabled import AsyncDurableContext, StepContext, durable_execution, durable_step
from durabled.config import Duration, StepConfig


@durable_step
async def weather(step: StepContext, city: str) -> str:
    await asyncio.sleep(0.01)  # waiting of one's own belongs into steps
    return f"sun in {city}"


def news(step: StepContext) -> str:
    """A plain function: it runs on a thread, the loop goes on."""
    return "quiet"


async def rest(context: AsyncDurableContext) -> bool:
    await context.wait(Duration.from_seconds(1), name="rest")
    return True


@durable_execution
async def handler(event: dict[str, Any], context: AsyncDurableContext) -> dict[str, Any]:
    patience = StepConfig(timeout=Duration.from_seconds(30))
    said, heard, rested = await asyncio.gather(
        context.step(weather(event["city"]), config=patience),
        context.step(news, name="news"),
        context.run_in_child_context(rest),
    )
    return {"weather": said, "news": heard, "rested": rested}
