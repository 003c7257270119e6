"""Requirements 10-1 to 10-23: instrumentation plugins.

One plugin meets them: it writes a line for each hook, with every field of the hook's info
under all the names that the requirements give it. They look at the fields they are about.
"""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

from catalog import meets
from common import NO_RETRY, always, every_second, fail, never, seconds
from durabled import DurableContext, ParallelBranch, StepContext, durable_execution
from durabled.config import ParallelConfig, StepConfig
from durabled.plugin import (
    DurableInstrumentationPlugin,
    InvocationEndInfo,
    InvocationInfo,
    InvocationStartInfo,
    OperationChangeInfo,
    OperationEndInfo,
    OperationInfo,
    OperationStartInfo,
    OperationType,
    UserFunctionEndInfo,
    UserFunctionStartInfo,
)
from steps import succeed_on_attempt


def text(moment: Any) -> str | None:
    return moment and moment.isoformat()


def of_invocation(info: InvocationInfo) -> dict[str, Any]:
    return {
        "first": info.is_first_invocation,
        "isFirstInvocation": info.is_first_invocation,
        "requestId": info.request_id,
        "operationsCount": len(info.operations),
        "executionStartTimestamp": text(info.execution_start_time),
    }


def of_operation(info: OperationInfo) -> dict[str, Any]:
    return {
        "op": info.operation_id,
        "id": info.operation_id,
        "name": info.name,
        "type": info.operation_type.value,
        "subType": info.sub_type,
        "parent": info.parent_id or "NONE",
        "parentId": info.parent_id,
        "status": info.status.value,
        "pending": info.end_time is None,
        "startTimestamp": text(info.start_time),
        "endTimestamp": text(info.end_time),
        "error": info.error and info.error.message,
        "attempt": info.attempt,
        "n": info.attempt,
        "replay": info.is_replayed,
        "isReplay": info.is_replayed,
    }


class Recorder(DurableInstrumentationPlugin):
    """Writes what it is told, of operations of one type or of all."""

    def __init__(self, name: str, arn: str | None, only: OperationType | None) -> None:
        self.name = name
        self.arn = arn
        self.only = only

    def record(self, hook: str, **fields: Any) -> None:
        """One line; a field without a value is left out."""
        line = {"plugin": self.name, "hook": hook, "durableExecutionArn": self.arn, **fields}
        known = {key: value for key, value in line.items() if value is not None}
        sys.stdout.write(json.dumps(known) + "\n")
        sys.stdout.flush()

    def of_interest(self, info: OperationInfo) -> bool:
        return self.only in (None, info.operation_type)

    def on_invocation_start(self, info: InvocationStartInfo) -> None:
        updated = info.updated_operations
        self.record(
            "invocation-start", updatedOperationsCount=len(updated), **of_invocation(info)
        )
        for operation in updated.values():
            if self.of_interest(operation):
                first = info.is_first_invocation
                self.record("updated-on-invoke", first=first, **of_operation(operation))

    def on_invocation_end(self, info: InvocationEndInfo) -> None:
        self.record(
            "invocation-end",
            status=info.status.value,
            terminal=info.status.value in ("SUCCEEDED", "FAILED"),
            executionError=info.error and info.error.message,
            **of_invocation(info),
        )

    def on_operation_start(self, info: OperationStartInfo) -> None:
        if self.of_interest(info):
            self.record("operation-start", **of_operation(info))

    def on_operation_end(self, info: OperationEndInfo) -> None:
        if self.of_interest(info):
            self.record("operation-end", **of_operation(info))

    def on_operation_change(self, info: OperationChangeInfo) -> None:
        for id_, operation in info.updated_operations.items():
            if self.of_interest(operation):
                self.record(
                    "operation-change",
                    executionArn=info.execution_arn,
                    updatedOperationsCount=len(info.updated_operations),
                    operationsCount=len(info.operations),
                    in_full_map=id_ in info.operations,
                    inFullMap=id_ in info.operations,
                    **of_operation(operation),
                )

    def on_user_function_start(self, info: UserFunctionStartInfo) -> None:
        if self.of_interest(info):
            replaying = info.is_replay_children
            self.record(
                self.of_run(info, "start"), isReplayingChildren=replaying, **of_operation(info)
            )

    def on_user_function_end(self, info: UserFunctionEndInfo) -> None:
        if self.of_interest(info):
            outcome = info.outcome.value
            self.record(self.of_run(info, "end"), outcome=outcome, **of_operation(info))

    @staticmethod
    def of_run(info: OperationInfo, which: str) -> str:
        """A step's runs are attempts."""
        kind = "attempt" if info.operation_type is OperationType.STEP else "fn"
        return f"{kind}-{which}"


class FaultyRecorder(Recorder):
    """Raises from every hook, having written its line."""

    def record(self, hook: str, **fields: Any) -> None:
        super().record(hook, **fields)
        fail(f"{hook} is broken")


class OutcomeRecorder(Recorder):
    """Writes what operations end with, and NONE where there is nothing."""

    def on_operation_end(self, info: OperationEndInfo) -> None:
        if self.of_interest(info):
            fields = of_operation(info)
            fields["result"] = "NONE" if info.result is None else info.result
            fields["error"] = fields["error"] or "NONE"
            self.record("operation-end", **fields)


class Plugin:
    """The factory: a recorder for each invocation."""

    def __init__(
        self,
        name: str = "CONFPLUGIN",
        *,
        only: OperationType | None = None,
        kind: type[Recorder] = Recorder,
    ) -> None:
        self.name = name
        self.only = only
        self.kind = kind

    def create_plugin(self, info: InvocationStartInfo) -> Recorder:
        return self.kind(self.name, info.execution_arn, self.only)


STEPS = Plugin(only=OperationType.STEP)
WAITS = Plugin(only=OperationType.WAIT)
CONTEXTS = Plugin(only=OperationType.CONTEXT)
FAULTY = Plugin("CONFPLUGIN-FAULTY", only=OperationType.STEP, kind=FaultyRecorder)


def greet(context: DurableContext, name: str) -> str:
    """The step that most of these handlers have."""

    def body(step: StepContext) -> str:
        step.logger.info(f"Greeting step running for: {name}")
        return f"Hello, {name}!"

    return context.step(body)


@meets("10-1", "10-2", "10-8")
@durable_execution(plugins=[STEPS])
def plugin_of_step(event: str, context: DurableContext) -> str:
    return greet(context, event)


@meets("10-3")
@durable_execution(plugins=[STEPS])
def plugin_of_attempts(event: None, context: DurableContext) -> str:
    return context.step(
        succeed_on_attempt(2, "Operation succeeded"),
        config=StepConfig(retry_strategy=every_second(2)),
    )


@meets("10-4")
@durable_execution(plugins=[FAULTY])
def plugin_that_raises(event: str, context: DurableContext) -> str:
    return greet(context, event)


@meets("10-5")
@durable_execution(plugins=[Plugin("CONFPLUGIN-A"), Plugin("CONFPLUGIN-B")])
def plugin_and_plugin(event: str, context: DurableContext) -> str:
    return greet(context, event)


@meets("10-6", "10-9", "10-10", "10-16")
@durable_execution(plugins=[WAITS])
def plugin_of_wait(event: None, context: DurableContext) -> None:
    context.wait(seconds(2))


@meets("10-7")
@durable_execution(plugins=[STEPS])
def plugin_of_failure(event: None, context: DurableContext) -> None:
    context.step(never, config=NO_RETRY)


@meets("10-11")
@durable_execution(plugins=[Plugin()])
def plugin_of_child(event: str, context: DurableContext) -> str:
    return context.run_in_child_context(lambda child: greet(child, event))


@meets("10-12")
@durable_execution(plugins=[CONTEXTS])
def plugin_of_branches(event: None, context: DurableContext) -> list[str]:
    branches = [always("task-1"), always("task-2")]
    config = ParallelConfig(max_concurrency=1)
    return context.parallel(branches, name="parallel", config=config).get_results()


@meets("10-13")
@durable_execution(plugins=[STEPS])
def plugin_of_replay(event: None, context: DurableContext) -> str:
    context.step(always("task-a"))
    return context.step(
        succeed_on_attempt(2, "Operation succeeded"),
        config=StepConfig(retry_strategy=every_second(2)),
    )


@meets("10-14")
@durable_execution(plugins=[Plugin(only=OperationType.STEP, kind=OutcomeRecorder)])
def plugin_of_outcomes(event: None, context: DurableContext) -> None:
    def body(_: StepContext) -> NoReturn:
        fail("boom")

    context.step(always("task-a"))
    context.step(body, config=NO_RETRY)


@meets("10-15")
@durable_execution(plugins=[STEPS])
def plugin_of_exhaustion(event: None, context: DurableContext) -> None:
    context.step(never, config=StepConfig(retry_strategy=every_second(2)))


@meets("10-17")
@durable_execution(plugins=[FAULTY, Plugin("CONFPLUGIN-HEALTHY", only=OperationType.STEP)])
def plugin_beside_faulty(event: str, context: DurableContext) -> str:
    return greet(context, event)


@meets("10-18")
@durable_execution(plugins=[WAITS])
def plugin_of_pending_wait(event: None, context: DurableContext) -> list[str]:
    def short(branch: DurableContext) -> str:
        branch.wait(seconds(2), name="short")
        return "short-done"

    def long(branch: DurableContext) -> str:
        branch.wait(seconds(8), name="long")
        return "long-done"

    return context.parallel([short, long], name="waits").get_results()


@meets("10-19")
@durable_execution(plugins=[WAITS])
def plugin_of_invocations(event: str, context: DurableContext) -> str:
    context.wait(seconds(2))
    return f"done-{event}"


@meets("10-20", "10-22")
@durable_execution(plugins=[STEPS])
def plugin_of_named_step(event: None, context: DurableContext) -> str:
    return context.step(always("task-a"), name="greet")


@meets("10-21")
@durable_execution(plugins=[STEPS])
def plugin_of_named_attempts(event: None, context: DurableContext) -> str:
    return context.step(
        succeed_on_attempt(2, "ok"),
        name="flaky",
        config=StepConfig(retry_strategy=every_second(2)),
    )


@meets("10-23")
@durable_execution(plugins=[CONTEXTS])
def plugin_of_contexts(event: None, context: DurableContext) -> list[str]:
    def first(branch: DurableContext) -> str:
        branch.step(always("x"), name="inner")
        branch.wait(seconds(2))
        return "a-done"

    branches = [
        ParallelBranch(first, name="branch-a"),
        ParallelBranch(always("b-done"), name="branch-b"),
    ]
    config = ParallelConfig(max_concurrency=1)
    return context.parallel(branches, name="ctx", config=config).get_results()
