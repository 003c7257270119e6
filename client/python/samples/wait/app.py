"""A wait: the process is free meanwhile, be it a second or a year.

payload: {"user": "ada"}
result: ["welcome ada", "how is it going, ada?"]
"""

from typing import Any

from durabled import DurableContext, durable_execution
from durabled.config import Duration


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> list[str]:
    user = event["user"]
    sent = [context.step(lambda _: f"welcome {user}", name="welcome")]
    context.wait(Duration.from_seconds(1), name="settling_in")  # days, in earnest
    sent.append(context.step(lambda _: f"how is it going, {user}?", name="follow_up"))
    return sent
