"""Requirements 5-1 to 5-16: invoking other functions."""

from __future__ import annotations

import json
import os
from typing import Any, NoReturn

from catalog import logical_id, meets
from common import always, fail, seconds
from durabled import DurableContext, InvokeError, durable_execution
from durabled.config import InvokeConfig
from durabled.serdes import SerDes, SerDesContext

# Near what an invocation may be given (1 MiB), and more than a checkpoint shares with others.
LARGE = 900_000


class UppercasePayload(SerDes[dict[str, str]]):
    """Sends an object's values in upper case."""

    def serialize(self, value: dict[str, str], _: SerDesContext) -> str:
        return json.dumps({key: text.upper() for key, text in value.items()})

    def deserialize(self, data: str, _: SerDesContext) -> dict[str, str]:
        return dict(json.loads(data))


class UppercaseResult(SerDes[str]):
    """Takes the result's text as it is, in upper case."""

    def serialize(self, value: str, _: SerDesContext) -> str:
        return value

    def deserialize(self, data: str, _: SerDesContext) -> str:
        return data.upper()


# Those who are invoked. They wait, since the requirements want the invocation of who invokes
# them to end first, and here a target needs no longer than that.


@meets()
@durable_execution
def echo(event: Any, context: DurableContext) -> Any:
    context.wait(seconds(1))
    return event


@meets(TenancyConfig={"TenantIsolationMode": "PER_TENANT"})
@durable_execution
def echo_tenant(event: Any, context: DurableContext) -> Any:
    context.wait(seconds(1))
    return event


@meets()
@durable_execution
def measure(event: str, context: DurableContext) -> int:
    context.wait(seconds(1))
    return len(event)


@meets()
@durable_execution
def reject(event: Any, context: DurableContext) -> NoReturn:
    context.wait(seconds(1))
    fail("rejected")


def targets(*functions: Any) -> dict[str, Any]:
    """The environment that tells a handler whom to invoke."""
    names = ["TARGET_FUNCTION_NAME", "TARGET_FUNCTION_NAME_1", "TARGET_FUNCTION_NAME_2"]
    return {
        name: {"Fn::Sub": f"${{{logical_id(function)}.Arn}}:$LATEST"}
        for name, function in zip(names, functions, strict=False)
    }


def invoke(context: DurableContext, payload: Any, **options: Any) -> Any:
    return context.invoke(os.environ["TARGET_FUNCTION_NAME"], payload, **options)


@meets("5-1", "5-3", "5-4", environment=targets(echo))
@durable_execution
def invoke_echo(event: Any, context: DurableContext) -> Any:
    return invoke(context, event)


@meets("5-2", environment=targets(echo))
@durable_execution
def invoke_with_name(event: dict[str, str], context: DurableContext) -> str:
    return invoke(context, event["payload"], name=event["name"])


@meets("5-5", environment=targets(reject))
@durable_execution
def invoke_fails(event: None, context: DurableContext) -> None:
    invoke(context, event)


@meets("5-6", environment=targets(reject))
@durable_execution
def invoke_failure_caught(event: None, context: DurableContext) -> str:
    try:
        return invoke(context, event)
    except InvokeError:
        return "fallback"


@meets("5-7", environment=targets(measure))
@durable_execution
def invoke_with_large_payload(event: None, context: DurableContext) -> int:
    return invoke(context, "x" * LARGE)


@meets("5-8", environment=targets(echo_tenant))
@durable_execution
def invoke_for_tenant(event: dict[str, str], context: DurableContext) -> str:
    return invoke(context, event["payload"], config=InvokeConfig(tenant_id=event["tenantId"]))


@meets("5-9", environment=targets(echo))
@durable_execution
def invoke_then_wait(event: None, context: DurableContext) -> str:
    result = invoke(context, "cached")
    context.wait(seconds(1))
    return result


@meets("5-10", environment=targets(reject))
@durable_execution
def invoke_failure_then_wait(event: None, context: DurableContext) -> str:
    caught = ""
    try:
        invoke(context, event)
    except InvokeError as error:
        caught = str(error)
    context.wait(seconds(1))
    return caught


@meets("5-11", environment=targets(echo))
@durable_execution
def invoke_after_step(event: None, context: DurableContext) -> str:
    return invoke(context, context.step(always("prepared")))


@meets("5-12", environment=targets(echo))
@durable_execution
def invoke_then_step(event: None, context: DurableContext) -> str:
    result = invoke(context, "raw")
    return context.step(lambda _: f"processed {result}")


@meets("5-13", environment=targets(echo))
@durable_execution
def invoke_in_child(event: None, context: DurableContext) -> str:
    return context.run_in_child_context(lambda child: invoke(child, "nested"))


@meets("5-14", environment=targets(echo, measure))
@durable_execution
def invoke_two(event: None, context: DurableContext) -> int:
    text = invoke(context, "first")
    return context.invoke(os.environ["TARGET_FUNCTION_NAME_1"], text)


@meets("5-15", environment=targets(echo))
@durable_execution
def invoke_with_payload_serdes(event: dict[str, str], context: DurableContext) -> Any:
    return invoke(context, event, config=InvokeConfig(serdes_payload=UppercasePayload()))


@meets("5-16", environment=targets(echo))
@durable_execution
def invoke_with_result_serdes(event: str, context: DurableContext) -> str:
    return invoke(context, event, config=InvokeConfig(serdes_result=UppercaseResult()))
