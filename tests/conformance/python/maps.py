"""Requirements 9-1 to 9-20: a function over items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from catalog import meets
from common import COUNTS, always, fail, outcome, seconds
from durabled import BatchItemStatus, BatchResult, DurableContext, durable_execution
from durabled.concurrency.models import BatchItem
from durabled.config import CompletionConfig, MapConfig, NestingType
from durabled.serdes import JsonSerDes, SerDes, SerDesContext


class PrefixedSerDes(SerDes[str]):
    def serialize(self, value: str, _: SerDesContext) -> str:
        return f"wrapped:{value}"

    def deserialize(self, data: str, _: SerDesContext) -> str:
        return data.removeprefix("wrapped:")


class ResultsSerDes(SerDes[BatchResult[str]]):
    """A whole map's result as the list of what its items returned."""

    def serialize(self, value: BatchResult[str], _: SerDesContext) -> str:
        return "OPSERDE:" + ",".join(value.get_results())

    def deserialize(self, data: str, _: SerDesContext) -> BatchResult[str]:
        results = data.removeprefix("OPSERDE:").split(",")
        return BatchResult.from_items(
            [
                BatchItem(index, BatchItemStatus.SUCCEEDED, result)
                for index, result in enumerate(results)
            ]
        )


def one_by_one(**options: Any) -> MapConfig[Any]:
    return MapConfig(max_concurrency=1, **options)


def run(
    context: DurableContext, items: Sequence[bool], name: str, **completion: Any
) -> BatchResult[str]:
    """Items one by one under a completion of their own: True succeeds, False fails."""

    def body(_: DurableContext, item: bool, *__: Any) -> str:
        return "ok" if item else fail()

    config = one_by_one(completion_config=CompletionConfig(**completion))
    return context.map(items, body, name=name, config=config)


def item_itself(_: DurableContext, item: Any, *__: Any) -> Any:
    return item


def upper(_: DurableContext, item: str, *__: Any) -> str:
    return item.upper()


@meets("9-1")
@durable_execution
def map_steps(event: list[str], context: DurableContext) -> list[str]:
    def body(child: DurableContext, item: str, *_: Any) -> str:
        return child.step(always(f"Hello, {item}!"))

    return context.map(event, body, name="map", config=one_by_one()).get_results()


@meets("9-2")
@durable_execution
def map_anonymous(event: list[int], context: DurableContext) -> list[int]:
    return context.map(event, lambda _, item, *__: 2 * item, config=one_by_one()).get_results()


@meets("9-3")
@durable_execution
def map_with_index(event: list[int], context: DurableContext) -> list[int]:
    def body(_: DurableContext, item: int, index: int, __: Sequence[int]) -> int:
        return item + index

    return context.map(event, body, name="indexed", config=one_by_one()).get_results()


@meets("9-4")
@durable_execution
def map_empty(event: list[Any], context: DurableContext) -> list[Any]:
    return context.map(event, item_itself, name="empty").get_results()


@meets("9-5")
@durable_execution
def map_fails_fast(event: None, context: DurableContext) -> dict[str, Any]:
    result = run(context, [True, False, True], "failfast", tolerated_failure_count=0)
    return outcome(result, "completionReason", "status", *COUNTS)


@meets("9-6")
@durable_execution
def map_throws(event: None, context: DurableContext) -> None:
    run(context, [False, True], "throwing", tolerated_failure_count=0).throw_if_error()


@meets("9-7")
@durable_execution
def map_min_successful(event: None, context: DurableContext) -> dict[str, Any]:
    result = run(context, [True] * 4, "minimum", min_successful=2)
    return outcome(result, "completionReason", "successCount", "totalCount")


@meets("9-8")
@durable_execution
def map_tolerates_one(event: None, context: DurableContext) -> dict[str, Any]:
    result = run(context, [True, False, True], "tolerant", tolerated_failure_count=1)
    return outcome(result, "completionReason", "status", *COUNTS)


@meets("9-9")
@durable_execution
def map_count_exceeded(event: None, context: DurableContext) -> dict[str, Any]:
    result = run(context, [False, False, True], "exceeded", tolerated_failure_count=1)
    return outcome(result, "completionReason", *COUNTS)


@meets("9-10")
@durable_execution
def map_percentage_exceeded(event: None, context: DurableContext) -> dict[str, Any]:
    items = [False, False, True, True]
    result = run(context, items, "percentage", tolerated_failure_percentage=25)
    return outcome(result, "completionReason", *COUNTS)


@meets("9-11")
@durable_execution
def map_two_at_once(event: None, context: DurableContext) -> list[str]:
    config = MapConfig(max_concurrency=2)
    return context.map(["r0", "r1", "r2"], item_itself, config=config).get_results()


@meets("9-12")
@durable_execution
def map_flat(event: None, context: DurableContext) -> list[str]:
    def body(child: DurableContext, item: str, *_: Any) -> str:
        return child.step(always(item))

    config = one_by_one(nesting_type=NestingType.FLAT)
    return context.map(["fa", "fb"], body, name="flat", config=config).get_results()


@meets("9-13")
@durable_execution
def map_with_namer(event: list[int], context: DurableContext) -> list[int]:
    config = one_by_one(item_namer=lambda item, index: f"item-{index + 1}")
    return context.map(event, lambda _, item, *__: 10 * item, config=config).get_results()


@meets("9-14")
@durable_execution
def map_item_serdes(event: None, context: DurableContext) -> list[str]:
    config = one_by_one(item_serdes=PrefixedSerDes())
    return context.map(["x", "y"], upper, config=config).get_results()


@meets("9-15")
@durable_execution
def map_waits(event: None, context: DurableContext) -> list[str]:
    def body(child: DurableContext, item: str, index: int, _: Sequence[str]) -> str:
        if index == 1:
            child.wait(seconds(1))
        return child.step(always(item))

    return context.map(["r0", "r1"], body, config=one_by_one()).get_results()


@meets("9-16")
@durable_execution
def map_with_large_result(event: None, context: DurableContext) -> dict[str, Any]:
    result = context.map(list("abcd"), lambda _, item, *__: item * 70_000, config=one_by_one())
    return outcome(result, "successCount", "totalCount")


@meets("9-17")
@durable_execution
def map_then_wait(event: None, context: DurableContext) -> list[str]:
    result = context.map(["a", "b"], upper, config=one_by_one())
    context.wait(seconds(1))
    return result.get_results()


@meets("9-18")
@durable_execution
def map_failure_then_wait(event: None, context: DurableContext) -> dict[str, Any]:
    result = run(context, [True, False], "tolerant", tolerated_failure_count=1)
    context.wait(seconds(1))
    return outcome(result, "completionReason", "status", *COUNTS)


def map_with_serdes(context: DurableContext) -> BatchResult[str]:
    # A serializer for the whole result alone would serve the items too.
    config = one_by_one(serdes=ResultsSerDes(), item_serdes=JsonSerDes())
    return context.map(["x", "y"], upper, config=config)


@meets("9-19")
@durable_execution
def map_serdes(event: None, context: DurableContext) -> list[str]:
    return map_with_serdes(context).get_results()


@meets("9-20")
@durable_execution
def map_serdes_then_wait(event: None, context: DurableContext) -> list[str]:
    result = map_with_serdes(context)
    context.wait(seconds(1))
    return result.get_results()
