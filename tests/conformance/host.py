"""Runs the official conformance suite against durabled.

    host.py CLIENT DIRECTORY

DIRECTORY gets the daemon's data, everything that is logged, each execution's history and the
suite's report. The last lines printed are two counts, of the requirements released with the
suite and of newer ones, each after the requirements that were not met, with the reason.

DURABLED_BIN says where the programs are, CONFORMANCE_NEWER where newer requirements are.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from aws import Stubs
from template import REGION, functions

HERE = Path(__file__).parent
BIN = Path(os.environ.get("DURABLED_BIN", HERE.parents[1] / "build/release/bin"))
PATIENCE_S = 60

# Most of a requirement's time is waiting for timers, so they share the cores well.
AT_ONCE = 24


def wait_for(what: str, check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := check()):
        if time.monotonic() > deadline:
            sys.exit(f"conformance: waited {PATIENCE_S} seconds for {what}")
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def running(argv: list[str | Path], log: Path, env: dict[str, str]) -> Iterator[None]:
    """A process until the end of the block, and what it prints in `log`."""
    with log.open("ab") as sink:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=env
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


def gather_requirements(into: Path) -> tuple[set[str], set[str]]:
    """Copies the released and the newer requirements below `into`, and names both."""
    released = files("aws_durable_execution_conformance_tests") / "test_requirements"
    shutil.copytree(str(released), into)
    ids = {path.stem for path in into.rglob("*.yaml")}
    if newer := os.environ.get("CONFORMANCE_NEWER"):
        for path in Path(newer).glob("*.yaml"):
            if path.stem not in ids:
                (into / "newer").mkdir(exist_ok=True)
                shutil.copy(path, into / "newer")
    return ids, {path.stem for path in into.glob("newer/*.yaml")}


def run_suite(client: str, directory: Path) -> dict[str, str]:
    """What is wrong with each requirement that is in the report; empty when nothing is."""
    template = directory / "template.json"
    worker = HERE / client
    env = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "DURABLED_SOCKET": str(directory / "d.sock"),
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    subprocess.run([sys.executable, worker / "catalog.py", template], env=env, check=True)
    served = functions(template)

    # The suite builds and deploys with `sam`; what it would deploy is running already.
    tools = directory / "tools"
    tools.mkdir()
    (tools / "sam").symlink_to(str(shutil.which("true")))

    daemon_log = directory / "daemon.log"
    lines = directory / "functions.log"
    lines.touch()
    serve = [BIN / "durabled", "serve", "--data", directory / "data", "--log-format", "json"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running([*serve, "--http", "127.0.0.1:0"], daemon_log, env))
        ready = wait_for("the daemon", lambda: events(daemon_log, "READY"))
        stubs = stack.enter_context(
            contextlib.closing(Stubs([function.name for function in served], lines))
        )
        env["AWS_ENDPOINT_URL"] = stubs.url
        env["AWS_ENDPOINT_URL_LAMBDA"] = ready[0]["http"]
        serve_functions = [sys.executable, worker / "worker.py", template, lines]
        stack.enter_context(running(serve_functions, directory / "worker.log", env))
        wait_for(
            "the functions",
            lambda: len(events(daemon_log, "WORKER_REGISTERED")) == len(served),
        )
        options = ["--template", template, "--language", client, "--region", REGION]
        options += ["--max-workers", str(AT_ONCE), "--name", client]
        options += ["--history-dir", directory / "history", "--report", "console", "json"]
        suite = [sys.executable, HERE / "suite.py", directory / "requirements", *options]
        env["PATH"] = f"{tools}{os.pathsep}{env['PATH']}"
        with (directory / "suite.log").open("wb") as log:
            subprocess.run(suite, env=env, cwd=directory, stdout=log, stderr=log, check=False)

    report = directory / "history/report.json"
    if not report.exists():
        sys.exit(
            "conformance: the suite made no report\n" + (directory / "suite.log").read_text()
        )
    return {
        entry["id"]: "; ".join(entry["errors"]) or entry["status"]
        if entry["status"] != "PASSED"
        else ""
        for entry in json.loads(report.read_text())["results"]
    }


def by_number(requirement: str) -> list[int]:
    return [int(part) for part in requirement.split("-")]


def main() -> None:
    client, directory = sys.argv[1], Path(sys.argv[2]).resolve()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    released, newer = gather_requirements(directory / "requirements")
    found = run_suite(client, directory)
    for kind, ids in ("released", released), ("newer", newer):
        wrong = {id_: found.get(id_, "not in the report") for id_ in ids}
        wrong = {id_: why for id_, why in wrong.items() if why}
        for id_ in sorted(wrong, key=by_number):
            print(f"{id_}: {wrong[id_]}")
        if not ids:
            print("newer requirements are not at hand: CONFORMANCE_NEWER names their directory")
        print(f"{kind}: {len(ids) - len(wrong)} passed, {len(wrong)} failed")


if __name__ == "__main__":
    main()
