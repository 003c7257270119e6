"""Serves the functions of a template, each in a process of its own, as Lambda does: a
function that ends its process ends no other, and is started again.

    python worker.py TEMPLATE LOG

The processes are forked from this one, which has imported the handlers once. What they print
goes to LOG as it is; what they log as lines of JSON, with the extra fields at the top, as
Lambda's JSON format has them. CONFORMANCE_SDK names the package that the handlers are to get
as `durabled`.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import logging
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import sdk
from durabled.execution import DurableFunction
from durabled.worker import FunctionOptions, Worker
from template import Function, functions

# Two executions of a function at once are more than the suite has.
CONCURRENCY = 2

PR_SET_PDEATHSIG = 1  # of Linux's prctl(2)

PLAIN_FIELDS = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        extra = {k: v for k, v in vars(record).items() if k not in PLAIN_FIELDS}
        if record.exc_info:
            extra["stackTrace"] = self.formatException(record.exc_info)
        return json.dumps({**line, **extra}, default=str)


def log_to(path: str) -> None:
    """Lines of several processes in one file: each is one write to its end."""
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class Foreign(DurableFunction):
    """A handler that another package made durable: given the event, it does the rest."""

    def invoke(self, connection: Any, event: str, lambda_context: Any = None, *_: Any) -> str:
        return json.dumps(self._func(json.loads(event), lambda_context))


def load(function: Function) -> Any:
    module, _, name = function.handler.rpartition(".")
    handler = getattr(importlib.import_module(module), name)
    return handler if isinstance(handler, DurableFunction) else Foreign(handler)


def end_with_parent(parent: int) -> None:
    """Whatever ends the process that forked this one, stops this one."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(0)


def serve(function: Function, handler: Any) -> NoReturn:
    os.environ.update(function.environment)
    worker = Worker(
        {function.name: handler},
        concurrency=CONCURRENCY,
        options={
            function.name: FunctionOptions(
                timeout_s=function.timeout_s,
                execution_timeout_s=function.execution_timeout_s,
                retention_days=function.retention_days,
            )
        },
    )
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.run()
    os._exit(0)


def main() -> None:
    template, log = sys.argv[1:]
    served = functions(Path(template))
    sys.path[:0] = {str(function.code) for function in served}
    if package := os.environ.get("CONFORMANCE_SDK"):
        sdk.use(package)
    handlers = {function: load(function) for function in served}
    log_to(log)

    running: dict[int, Function] = {}
    parent = os.getpid()

    def start(function: Function) -> None:
        pid = os.fork()
        if pid == 0:
            end_with_parent(parent)
            serve(function, handlers[function])
        running[pid] = function

    for function in served:
        start(function)
    while True:
        pid, _ = os.wait()
        start(running.pop(pid))


if __name__ == "__main__":
    main()
