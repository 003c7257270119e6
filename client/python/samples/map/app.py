"""map: the same for every item, so many at once, with some failures tolerated.

payload: {"images": ["a.png", "b.gif", "c.png"]}
result: {"resized": ["small a.png", "small c.png"], "failed": ["b.gif is no PNG"]}
"""

from collections.abc import Sequence
from typing import Any

from durabled import DurableContext, durable_execution
from durabled.config import CompletionConfig, MapConfig, StepConfig
from durabled.retries import RetryPresets


def resize(context: DurableContext, image: str, index: int, images: Sequence[str]) -> str:
    def work(_: Any) -> str:
        if not image.endswith(".png"):
            raise ValueError(f"{image} is no PNG")
        return f"small {image}"

    return context.step(work, config=StepConfig(retry_strategy=RetryPresets.none()))


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    config: MapConfig[str] = MapConfig(
        max_concurrency=2,
        completion_config=CompletionConfig(tolerated_failure_percentage=50),
        item_namer=lambda image, index: image,
    )
    result = context.map(event["images"], resize, name="resize", config=config)
    failed = [error.message for error in result.get_errors() if error]
    return {"resized": result.get_results(), "failed": failed}
