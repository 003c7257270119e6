"""How the functions of a template are served while the suite runs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws import ExtensionsApi
from template import functions

HERE = Path(__file__).parent
BIN = Path(os.environ.get("DURABLED_BIN", HERE.parents[1] / "build/release/bin"))
PATIENCE_S = 60
OPTIONS = ["--log-format", "json", "--http", "127.0.0.1:0"]

Argv = list[str | Path]


@dataclass(frozen=True)
class Served:
    """Where Lambda is, and what the functions wrote so far, a text for each line."""

    url: str
    lines: Callable[[], list[str]]


def wait_for(what: str, check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := check()):
        if time.monotonic() > deadline:
            sys.exit(f"conformance: waited {PATIENCE_S} seconds for {what}")
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def running(argv: Argv, log: Path, env: dict[str, str], cwd: Path) -> Iterator[None]:
    """A process until the end of the block, and what it prints in `log`."""
    with log.open("ab") as sink:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=env, cwd=cwd
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def events(log: Path, code: str) -> list[dict[str, Any]]:
    """The events with `code` in the daemon's log."""
    lines = log.read_text(errors="replace").splitlines(keepends=True)
    whole = [json.loads(line) for line in lines if line.endswith("\n") and line[0] == "{"]
    return [event for event in whole if event.get("code") == code]


@contextlib.contextmanager
def by_workers(template: Path, directory: Path, env: dict[str, str]) -> Iterator[Served]:
    """Workers of our Python client, at the socket of `durabled serve`."""
    log = directory / "daemon.log"
    written = directory / "functions.log"
    written.touch()
    daemon: Argv = [BIN / "durabled", "serve", *OPTIONS, "--data", directory / "data"]
    worker: Argv = [sys.executable, HERE / "python/worker.py", template, written]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(daemon, log, env, directory))
        url = wait_for("the daemon", lambda: events(log, "READY"))[0]["http"]
        worker_env = {**env, "PYTHONPATH": str(HERE), "AWS_ENDPOINT_URL_LAMBDA": url}
        stack.enter_context(running(worker, directory / "worker.log", worker_env, directory))
        served = len(functions(template))
        wait_for("the functions", lambda: len(events(log, "WORKER_REGISTERED")) == served)
        yield Served(url, lambda: written.read_text(errors="replace").splitlines())


@contextlib.contextmanager
def by_hosting(
    template: Path, directory: Path, env: dict[str, str], *options: str
) -> Iterator[Served]:
    """`durabled dev`, which hosts what the template says, as Lambda does."""
    log = directory / "daemon.log"
    daemon: Argv = [BIN / "durabled", "dev", *OPTIONS, "--data", directory / "data"]
    daemon += ["--template", template, *options]
    with running(daemon, log, env, directory):
        url = wait_for("the daemon", lambda: events(log, "READY"))[0]["http"]
        yield Served(url, lambda: [event["line"] for event in events(log, "FUNCTION_WROTE")])


@contextlib.contextmanager
def by_extension(template: Path, directory: Path, env: dict[str, str]) -> Iterator[Served]:
    """`durabled dev` hosts what the template says, and takes signed requests alone; the
    handlers attach to the extension, which makes those requests."""
    attached = json.loads(template.read_text())
    socket = directory / "extension.sock"
    attached["Globals"]["Function"]["Environment"] = {
        "Variables": {"DURABLED_SOCKET": str(socket)}
    }
    template = directory / "attached.json"
    template.write_text(json.dumps(attached))
    program = directory / "opt/extensions/durabled"
    program.parent.mkdir(parents=True)
    program.symlink_to(BIN / "durabled")
    with contextlib.ExitStack() as stack:
        api = stack.enter_context(contextlib.closing(ExtensionsApi()))
        served = stack.enter_context(
            by_hosting(template, directory, env, "--require-signature")
        )
        extension_env = {
            **env,
            "DURABLED_SOCKET": str(socket),
            "DURABLED_LOG_LEVEL": "DEBUG",
            "AWS_LAMBDA_RUNTIME_API": api.address,
            "AWS_ENDPOINT_URL_LAMBDA": served.url,
        }
        log = directory / "extension.log"
        stack.enter_context(running([program], log, extension_env, directory))
        wait_for("the extension", lambda: events(log, "EXTENSION_REGISTERED"))
        yield served
        if not events(log, "SESSION_ENDED"):
            sys.exit("conformance: nobody attached to the extension")
