"""A child context: several operations that are one in the history.

payload: {"guest": "ada", "nights": 2}
result: {"room": "room for ada", "breakfasts": 2}
"""

from typing import Any

from durabled import DurableContext, durable_execution, durable_with_child_context
from durabled.config import ChildConfig, Duration


@durable_with_child_context
def book_room(context: DurableContext, guest: str) -> str:
    context.step(lambda _: None, name="hold")
    context.wait(Duration.from_seconds(1), name="payment_clears")
    return context.step(lambda _: f"room for {guest}", name="confirm")


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    room = context.run_in_child_context(book_room(event["guest"]))
    # A virtual one groups operations in the code, and leaves no trace in the history.
    breakfasts = context.run_in_child_context(
        lambda child: child.step(lambda _: event["nights"], name="order_breakfasts"),
        config=ChildConfig(is_virtual=True),
    )
    return {"room": room, "breakfasts": breakfasts}
