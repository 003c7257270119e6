"""What a map costs an item, with the daemon and the Python client as they are used.

    maps.py DURABLED [ITEMS...]

DURABLED is the daemon's program; the client is the installed `durabled`. Prints a line a
map of the given sizes (1000, 10000 and 100000), the same with a completion predicate for
those of up to 10,000 items, and how often a thousand branches with waits of mixed length
were looked after. The handler, the worker and the client share this process.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from durabled import Client, DurableContext, Worker, durable_execution
from durabled.config import (
    CompletionConfig,
    Duration,
    MapConfig,
    complete_batch,
    continue_batch,
)

SIZES = (1_000, 10_000, 100_000)
PREDICATE_ITEMS_MAX = 10_000
BRANCHES = 1_000
WAITS_S = (1, 2, 3, 4)
CONCURRENCY = 64
PATIENCE = Duration.from_minutes(20)


@durable_execution
def plain(event: dict[str, Any], context: DurableContext) -> int:
    config: MapConfig[int] = MapConfig(max_concurrency=CONCURRENCY)
    batch = context.map(range(event["items"]), lambda _, item, *rest: item, "items", config)
    return batch.success_count


@durable_execution
def predicate(event: dict[str, Any], context: DurableContext) -> int:
    def enough(status: Any) -> Any:
        every = status.success_count >= event["items"]
        return complete_batch() if every else continue_batch()

    config: MapConfig[int] = MapConfig(
        max_concurrency=CONCURRENCY, completion_config=CompletionConfig(should_complete=enough)
    )
    batch = context.map(range(event["items"]), lambda _, item, *rest: item, "items", config)
    return batch.success_count


@durable_execution
def waves(event: dict[str, Any], context: DurableContext) -> int:
    def body(branch: DurableContext, item: int, *rest: Any) -> int:
        branch.wait(Duration.from_seconds(WAITS_S[item % len(WAITS_S)]))
        return item

    return context.map(range(BRANCHES), body, "waits").success_count


FUNCTIONS = {"plain": plain, "predicate": predicate, "waves": waves}


@contextmanager
def serving(program: str) -> Iterator[tuple[Client, int]]:
    """A daemon on a directory of its own, a worker; gives a client and the daemon's pid."""
    with tempfile.TemporaryDirectory(dir=".", prefix="maps-") as directory:
        socket = str(Path(directory) / "socket")
        argv = [program, "serve", "--data", f"{directory}/data", "--socket", socket]
        with Path(directory, "log").open("wb") as log:
            daemon = subprocess.Popen(argv, stderr=log)
        while not Path(socket).exists():
            time.sleep(0.001)
        worker = Worker(FUNCTIONS, socket_path=socket)
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            with Client(socket) as client:
                while len(client.functions()) < len(FUNCTIONS):
                    time.sleep(0.005)
                yield client, daemon.pid
        finally:
            worker.stop()
            thread.join()
            daemon.terminate()
            daemon.wait()


def memory_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1])
    raise LookupError(pid)


def run_map(program: str, function: str, items: int) -> None:
    with serving(program) as (client, pid):
        begun = time.perf_counter()
        execution = client.start(function, {"items": items})
        assert execution.result(PATIENCE) == items
        took = time.perf_counter() - begun
        print(
            f"{function:10} {items:7} items  {took / items * 1e6:5.0f} us an item"
            f"  daemon's memory {memory_kib(pid) / 1024:5.1f} MiB"
        )


def run_waves(program: str) -> None:
    with serving(program) as (client, _):
        execution = client.start("waves", {})
        assert execution.result(PATIENCE) == BRANCHES
        events = Counter(event["EventType"] for event in client.history(execution.arn))
        print(
            f"{events['WaitSucceeded']} waits of {len(WAITS_S)} lengths"
            f" in {events['InvocationCompleted']} invocations"
        )


def main() -> None:
    program, *sizes = sys.argv[1:]
    for items in map(int, sizes) if sizes else SIZES:
        run_map(program, "plain", items)
        if items <= PREDICATE_ITEMS_MAX:
            run_map(program, "predicate", items)
    run_waves(program)


if __name__ == "__main__":
    main()
