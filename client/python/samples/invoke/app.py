"""invoke: another function runs, and this one sleeps until it has an answer.

payload: {"n": 4}
result: 24

The function that is invoked is this one: each level is an execution of its own.
"""

from typing import Any

from durabled import DurableContext, durable_execution


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> int:
    n: int = event["n"]
    if n <= 1:
        return 1
    me = context.lambda_context.function_name
    below: int = context.invoke(me, {"n": n - 1}, name=f"factorial_of_{n - 1}")
    return n * below
