"""Handlers that are the same for our client and for AWS's own SDK: DURABLED_TEST_SDK names the
package."""

from __future__ import annotations

import os
import time
from importlib import import_module
from typing import Any

SDK = os.environ["DURABLED_TEST_SDK"]
sdk: Any = import_module(SDK)
config: Any = import_module(f"{SDK}.config")


@sdk.durable_step
def reserve(_: Any, order: str) -> dict[str, Any]:
    return {"order": order, "reserved": True}


@sdk.durable_execution
def order(event: dict[str, Any], context: Any) -> dict[str, str]:
    stock = context.step(reserve(event["order"]), name="reserve_stock")
    if not stock["reserved"]:
        return {"status": "rejected"}
    context.wait(duration=config.Duration.from_seconds(1), name="cooling_off")
    context.step(lambda _: None, name="ship")
    return {"status": "approved"}


@sdk.durable_execution
def steps(event: dict[str, Any], context: Any) -> float:
    """One after another; returns the seconds from the first to the last."""
    began = time.perf_counter()
    for number in range(event["steps"]):
        context.step(lambda _, number=number: number, name=f"step-{number}")
    return time.perf_counter() - began


@sdk.durable_execution
def mapped(event: dict[str, Any], context: Any) -> list[int]:
    doubled: list[int] = context.map(
        list(range(event["items"])),
        lambda branch, item, *_: branch.step(lambda _: 2 * item, name="double"),
        name="double_all",
        config=config.MapConfig(max_concurrency=event.get("at_once")),
    ).get_results()
    return doubled


@sdk.durable_execution
def parallel(event: dict[str, Any], context: Any) -> list[str]:
    def branch(name: str) -> Any:
        return lambda branch: branch.step(lambda _: name, name=name)

    names: list[str] = context.parallel(
        [branch(name) for name in event["names"]], name="all"
    ).get_results()
    return names
