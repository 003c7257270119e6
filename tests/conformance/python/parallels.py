"""Requirements 8-1 to 8-22: branches in parallel."""

from __future__ import annotations

import json
from typing import Any

from catalog import meets
from common import COUNTS, always, in_step, never, outcome, seconds
from durabled import BatchResult, DurableContext, ParallelBranch, durable_execution
from durabled.config import CompletionConfig, NestingType, ParallelConfig
from durabled.serdes import SerDes, SerDesContext

succeed = always("ok")


class WrappedSerDes(SerDes[str]):
    def serialize(self, value: str, _: SerDesContext) -> str:
        return json.dumps({"wrapped": value})

    def deserialize(self, data: str, _: SerDesContext) -> str:
        return str(json.loads(data)["wrapped"])


def one_by_one(**options: Any) -> ParallelConfig:
    return ParallelConfig(max_concurrency=1, **options)


def run(
    context: DurableContext, branches: list[Any], name: str, **completion: Any
) -> BatchResult[Any]:
    """Branches one by one, under a completion of their own."""
    config = one_by_one(completion_config=CompletionConfig(**completion))
    return context.parallel(branches, name=name, config=config)


@meets("8-1")
@durable_execution
def parallel_steps(event: None, context: DurableContext) -> list[str]:
    branches = [in_step("task-1"), in_step("task-2")]
    return context.parallel(branches, name="parallel", config=one_by_one()).get_results()


@meets("8-2")
@durable_execution
def parallel_anonymous(event: None, context: DurableContext) -> list[str]:
    branches = [always("alpha"), always("beta")]
    return context.parallel(branches, config=one_by_one()).get_results()


@meets("8-3")
@durable_execution
def parallel_named_branches(event: None, context: DurableContext) -> list[str]:
    branches = [
        ParallelBranch(always("one"), name="first"),
        ParallelBranch(always("two"), name="second"),
    ]
    return context.parallel(branches, name="named", config=one_by_one()).get_results()


@meets("8-4")
@durable_execution
def parallel_of_types(event: None, context: DurableContext) -> list[Any]:
    branches = [always("hello"), always(42), always({"k": "v"})]
    return context.parallel(branches, name="hetero", config=one_by_one()).get_results()


@meets("8-5")
@durable_execution
def parallel_empty(event: None, context: DurableContext) -> list[Any]:
    return context.parallel([], name="empty").get_results()


@meets("8-6")
@durable_execution
def parallel_fails_fast(event: None, context: DurableContext) -> dict[str, Any]:
    result = run(context, [succeed, never, succeed], "failfast", tolerated_failure_count=0)
    return outcome(result, "completionReason", "status", *COUNTS)


@meets("8-7")
@durable_execution
def parallel_throws(event: None, context: DurableContext) -> None:
    run(context, [never, succeed], "throwing", tolerated_failure_count=0).throw_if_error()


@meets("8-8")
@durable_execution
def parallel_min_successful(event: None, context: DurableContext) -> dict[str, Any]:
    result = run(context, [succeed] * 4, "minimum", min_successful=2)
    return outcome(result, "completionReason", "successCount", "totalCount")


@meets("8-9")
@durable_execution
def parallel_tolerates_one(event: None, context: DurableContext) -> dict[str, Any]:
    result = run(context, [succeed, never, succeed], "tolerant", tolerated_failure_count=1)
    return outcome(result, "completionReason", "status", *COUNTS)


@meets("8-10")
@durable_execution
def parallel_count_exceeded(event: None, context: DurableContext) -> dict[str, Any]:
    result = run(context, [never, never, succeed], "exceeded", tolerated_failure_count=1)
    return outcome(result, "completionReason", *COUNTS)


@meets("8-11")
@durable_execution
def parallel_two_at_once(event: None, context: DurableContext) -> list[str]:
    branches = [always("r0"), always("r1"), always("r2")]
    config = ParallelConfig(max_concurrency=2)
    return context.parallel(branches, name="ordered", config=config).get_results()


@meets("8-12")
@durable_execution
def parallel_flat(event: None, context: DurableContext) -> list[str]:
    config = one_by_one(nesting_type=NestingType.FLAT)
    branches = [in_step("fa"), in_step("fb")]
    return context.parallel(branches, name="flat", config=config).get_results()


@meets("8-13")
@durable_execution
def parallel_percentage_exceeded(event: None, context: DurableContext) -> dict[str, Any]:
    branches = [never, never, succeed, succeed]
    result = run(context, branches, "percentage", tolerated_failure_percentage=25)
    return outcome(result, "completionReason", *COUNTS)


@meets("8-14")
@durable_execution
def parallel_waits(event: None, context: DurableContext) -> list[str]:
    def wait(branch: DurableContext) -> str:
        branch.wait(seconds(2))
        return "b1"

    return context.parallel([in_step("b0"), wait], config=one_by_one()).get_results()


@meets("8-15")
@durable_execution
def parallel_item_serdes(event: None, context: DurableContext) -> list[str]:
    config = one_by_one(item_serdes=WrappedSerDes())
    return context.parallel([always("x"), always("y")], config=config).get_results()


@meets("8-16")
@durable_execution
def parallel_all_fail(event: None, context: DurableContext) -> dict[str, Any]:
    result = run(context, [never] * 3, "failing", tolerated_failure_count=3)
    return outcome(result, "completionReason", "status", *COUNTS)


@meets("8-17")
@durable_execution
def parallel_minimum_missed(event: None, context: DurableContext) -> dict[str, Any]:
    result = run(context, [succeed, never, succeed], "missed", min_successful=3)
    return outcome(result, "completionReason", "status", *COUNTS)


@meets("8-18")
@durable_execution
def parallel_tolerance_wins(event: None, context: DurableContext) -> dict[str, Any]:
    branches = [never, never, succeed, succeed]
    result = run(context, branches, "both", min_successful=3, tolerated_failure_count=1)
    return outcome(result, "completionReason", *COUNTS)


@meets("8-19")
@durable_execution
def parallel_none_at_once(event: None, context: DurableContext) -> list[str]:
    config = ParallelConfig(max_concurrency=0)
    return context.parallel([succeed, succeed], config=config).get_results()


@meets("8-20")
@durable_execution
def parallel_accessors(event: None, context: DurableContext) -> dict[str, Any]:
    result = run(context, [succeed, never, succeed], "accessors", tolerated_failure_count=1)
    return {
        "hasFailure": result.has_failure,
        "successCount": len(result.succeeded()),
        "failureCount": len(result.failed()),
        "errorCount": len(result.get_errors()),
    }


@meets("8-21")
@durable_execution
def parallel_nested(event: None, context: DurableContext) -> list[list[str]]:
    def inner(branch: DurableContext) -> list[str]:
        branches = [in_step("i1"), in_step("i2")]
        return branch.parallel(branches, name="inner", config=one_by_one()).get_results()

    return context.parallel([inner], name="outer", config=one_by_one()).get_results()


@meets("8-22")
@durable_execution
def parallel_percentage_met(event: None, context: DurableContext) -> dict[str, Any]:
    branches = [never, succeed, succeed, succeed]
    result = run(context, branches, "percentage", tolerated_failure_percentage=25)
    return outcome(result, "completionReason", "status", *COUNTS)
