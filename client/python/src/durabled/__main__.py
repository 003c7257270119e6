"""python -m durabled worker app:handler --name order --concurrency 8"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
from typing import Any

from durabled._wire import CallError
from durabled.worker import FunctionOptions, Worker


def _handler(text: str) -> Any:
    module_name, _, attribute = text.partition(":")
    if not module_name or not attribute:
        raise argparse.ArgumentTypeError(f"'{text}' is not MODULE:HANDLER")
    sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error
    return found


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m durabled")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    worker = verbs.add_parser("worker", help="serve a function")
    worker.add_argument("handler", metavar="MODULE:HANDLER")
    worker.add_argument("--name", help="of the function; default: the handler's own")
    worker.add_argument(
        "--concurrency", type=_whole, default=8, help="invocations at once (default: 8)"
    )
    worker.add_argument("--socket", help="of the daemon; default: DURABLED_SOCKET, or found")
    worker.add_argument(
        "--drain-timeout",
        type=float,
        default=0,
        metavar="SECONDS",
        help="how long open invocations may go on after SIGTERM before they are handed back "
        "(default: 0)",
    )
    worker.add_argument(
        "--timeout", type=_whole, metavar="SECONDS", help="of one invocation; default: none"
    )
    worker.add_argument("--execution-timeout", type=_whole, metavar="SECONDS")
    worker.add_argument("--retention-days", type=_whole, metavar="DAYS")
    worker.add_argument(
        "--log-level",
        default="INFO",
        type=str.upper,
        choices=["DEBUG", "INFO", "WARNING", "ERROR"],
    )
    return parser


def _serve(options: argparse.Namespace) -> int:
    logging.basicConfig(
        level=options.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    handler = _handler(options.handler)
    name = options.name or getattr(handler, "__name__", options.handler.rpartition(":")[2])
    declared = FunctionOptions(
        options.timeout, options.execution_timeout, options.retention_days
    )
    worker = Worker(
        {name: handler},
        concurrency=options.concurrency,
        options={name: declared},
        socket_path=options.socket,
        drain_timeout_s=options.drain_timeout,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    return worker.run()


def main() -> int:
    parser = _parser()
    options = parser.parse_args()
    try:
        left = _serve(options)
    except (argparse.ArgumentTypeError, CallError) as error:
        parser.error(str(error))
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    if left:
        # Their code is still running on threads, and belongs to somebody else now.
        os._exit(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
