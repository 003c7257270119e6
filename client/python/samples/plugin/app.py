"""A plugin: code that watches every operation, of every handler it is given to.

payload: {"order": "1001"}
result: ["reserved", "paid"]
"""

import logging
import time
from typing import Any

from durabled import DurableContext, durable_execution
from durabled.plugin import (
    DurableInstrumentationPlugin,
    InvocationStartInfo,
    OperationEndInfo,
    UserFunctionEndInfo,
    UserFunctionStartInfo,
)

log = logging.getLogger("timing")


class Timing(DurableInstrumentationPlugin):
    """Says how long each body took."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}

    def on_user_function_start(self, info: UserFunctionStartInfo) -> None:
        self._began[info.operation_id] = time.monotonic()

    def on_user_function_end(self, info: UserFunctionEndInfo) -> None:
        took = time.monotonic() - self._began.pop(info.operation_id)
        log.info("%s took %.3f s: %s", info.name, took, info.outcome.value)

    def on_operation_end(self, info: OperationEndInfo) -> None:
        log.info("%s %s %s", info.sub_type, info.name, info.status.value)


class TimingFactory:
    """One plugin for each invocation; what must outlive them is kept here."""

    def create_plugin(self, info: InvocationStartInfo) -> Timing:
        return Timing()


@durable_execution(plugins=[TimingFactory()])
def handler(event: dict[str, Any], context: DurableContext) -> list[str]:
    return [
        context.step(lambda _: "reserved", name="reserve"),
        context.step(lambda _: "paid", name="pay"),
    ]
