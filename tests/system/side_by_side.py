"""The same handlers with our client and the extension, and with AWS's own SDK; for both the
service is `durabled dev`, behind a proxy that counts what they send."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from lambda_sandbox import LOCAL, Between, ExtensionsApi, start_extension
from test_hosting import Host

from conftest import World, wait_for

OURS = "durabled"
OFFICIAL = "aws_durable_execution_sdk_python"
DELAY_S = 0.015  # of a call

# Each a handler, its event and its result.
CASES: dict[str, tuple[str, Any, Any]] = {
    "order: step, wait of 1 s, step": ("order", {"order": "7"}, {"status": "approved"}),
    "10 steps, one after another": ("steps", {"steps": 10}, None),
    "map of 20 items, a step in each": (
        "mapped",
        {"items": 20},
        [2 * item for item in range(20)],
    ),
    "map of 40 items, 8 at once": (
        "mapped",
        {"items": 40, "at_once": 8},
        [2 * item for item in range(40)],
    ),
    "parallel, 5 branches, a step in each": ("parallel", {"names": [*"abcde"]}, [*"abcde"]),
}
HANDLERS = sorted({handler for handler, _, _ in CASES.values()})


@dataclass(frozen=True)
class Figures:
    calls: int
    bytes: int
    seconds: float


class Side(Host):
    """One of the two, with a process for each handler."""

    def __init__(self, world: World, sdk: str, delay_s: float = 0) -> None:
        self.between = Between(delay_s=delay_s)
        socket = world.dir / "extension.sock"
        functions = []
        for handler in HANDLERS:
            functions += ["--function", handler, "--", "/usr/bin/env"]
            functions += [f"DURABLED_TEST_SDK={sdk}", f"DURABLED_SOCKET={socket}"]
            functions += [f"AWS_ENDPOINT_URL_LAMBDA={self.between.url}"]
            functions += [sys.executable, "-m", "awslambdaric", f"either_sdk.{handler}"]
        super().__init__(world, *functions, options=("--require-signature",))
        self.between.target = "{}:{}".format(*self.address)
        if sdk == OURS:
            api = ExtensionsApi()
            start_extension(
                world,
                api,
                **LOCAL,
                AWS_ENDPOINT_URL_LAMBDA=self.between.url,
                DURABLED_SOCKET=str(socket),
            )
            wait_for("the extension", lambda: api.asked)

    def measure(self, case: str) -> Figures:
        handler, event, expected = CASES[case]
        before = len(self.between.costs)
        began = time.perf_counter()
        good, result = self.call(event, f"{handler}:$LATEST")
        seconds = time.perf_counter() - began
        assert good and expected in (None, result), result
        costs = self.between.costs[before:]
        return Figures(len(costs), sum(cost.bytes for cost in costs), seconds)
