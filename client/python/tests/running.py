"""Workers in this process, against a real daemon."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from conftest import Daemon
from durabled import Client, Execution, Worker, durable_execution
from durabled.config import Duration

OFFICIAL = "aws_durable_execution_sdk_python.exceptions"
PATIENCE = Duration(60)


@contextmanager
def serving(daemon: Daemon, **functions: Any) -> Iterator[Client]:
    worker = Worker(functions, concurrency=4, socket_path=daemon.socket)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        with Client(daemon.socket) as client:
            deadline = time.monotonic() + 30
            while len(client.functions()) < len(functions):
                assert time.monotonic() < deadline
                time.sleep(0.005)
            yield client
    finally:
        worker.stop()
        thread.join(30)
        assert not thread.is_alive()


def run(daemon: Daemon, handler: Any, payload: Any = None, **functions: Any) -> Any:
    """The result of one execution of `handler`."""
    with serving(daemon, f=handler, **functions) as client:
        return client.start("f", payload).result(PATIENCE)


def run_and_describe(daemon: Daemon, handler: Any) -> tuple[Any, list[dict[str, Any]]]:
    """The same, with the operations that it left."""
    with serving(daemon, f=handler) as client:
        execution = client.start("f")
        result = execution.result(PATIENCE)
        return result, execution.describe()["operations"][1:]


def until_waiting(execution: Execution) -> None:
    deadline = time.monotonic() + 30
    while execution.describe()["standing"]["state"] != "waiting":
        assert time.monotonic() < deadline
        time.sleep(0.005)


def durable(body: Callable[[Any], Any]) -> Any:
    """A handler that needs no event."""
    return durable_execution(lambda _, context: body(context))


def counted(log: list[str], text: str, value: Any = None) -> Callable[[Any], Any]:
    """A step's body that leaves a mark."""

    def body(_: Any) -> Any:
        log.append(text)
        return value

    return body
