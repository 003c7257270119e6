"""Runs the official conformance suite against durabled.

    host.py JUDGE DIRECTORY

JUDGE says whose handlers run, and how they are served:

    python               of our Python client, by its workers at `durabled serve`
    extension            the same handlers under `awslambdaric`, attached to the extension,
                         whose signed requests `durabled dev` takes
    official-python      the same handlers with the official SDK, hosted by `durabled dev`
    official-javascript  of the official SDK for JavaScript, hosted likewise

DIRECTORY gets the daemon's data, everything that is logged, each execution's history and the
suite's report. The last lines printed are two counts, of the requirements released with the
suite and of newer ones, each after the requirements that were not met, with the reason. One
that the handlers' SDK can't express, as their template says, is named and not counted.

DURABLED_BIN says where the programs are, CONFORMANCE_NEWER where newer requirements are.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import official
import serving
from aws import Stubs
from template import REGION, functions

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Judge:
    language: str
    handlers: Callable[[Path, dict[str, str]], serving.Argv]
    """Puts them below a directory, and what they need into an environment; gives the command
    that writes their template to a file named behind it."""
    serve: Callable[[Path, Path, dict[str, str]], AbstractContextManager[serving.Served]]
    at_once: int
    """Most of a requirement's time is waiting for timers, so they share the cores well;
    less so where each function starts an interpreter."""


def ours(_: Path, env: dict[str, str]) -> serving.Argv:
    env["VIRTUAL_ENV"] = sys.prefix
    return [sys.executable, HERE / "python/catalog.py"]


JUDGES = {
    "python": Judge(
        "python",
        ours,
        serving.by_workers,
        at_once=24,
    ),
    "extension": Judge(
        "python",
        ours,
        serving.by_extension,
        at_once=8,
    ),
    "official-python": Judge(
        "python",
        official.python,
        serving.by_hosting,
        at_once=8,
    ),
    "official-javascript": Judge(
        "javascript",
        official.javascript,
        serving.by_hosting,
        at_once=8,
    ),
}


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


def environment(directory: Path) -> dict[str, str]:
    return {
        **os.environ,
        "DURABLED_SOCKET": str(directory / "d.sock"),
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def run_suite(name: str, judge: Judge, directory: Path) -> dict[str, dict[str, Any]]:
    """What the suite reports of each requirement."""
    env = environment(directory)
    template = directory / "template.json"
    subprocess.run([*judge.handlers(directory, env), template], env=env, check=True)

    # The suite builds and deploys with `sam`; what it would deploy is running already.
    tools = directory / "tools"
    tools.mkdir()
    (tools / "sam").symlink_to(str(shutil.which("true")))

    names = [function.name for function in functions(template)]
    with contextlib.ExitStack() as stack:
        served: serving.Served
        stubs = stack.enter_context(contextlib.closing(Stubs(names, lambda: served.lines())))
        env["AWS_ENDPOINT_URL_DYNAMODB"] = stubs.url
        served = stack.enter_context(judge.serve(template, directory, env))
        env["AWS_ENDPOINT_URL"] = stubs.url
        env["AWS_ENDPOINT_URL_LAMBDA"] = served.url
        env["PATH"] = f"{tools}{os.pathsep}{env['PATH']}"
        options: serving.Argv = ["--template", template]
        options += ["--language", judge.language, "--region", REGION]
        options += ["--max-workers", str(judge.at_once), "--name", name]
        options += ["--history-dir", directory / "history", "--report", "console", "json"]
        suite: serving.Argv = [sys.executable, HERE / "suite.py", directory / "requirements"]
        with (directory / "suite.log").open("wb") as log:
            subprocess.run(
                [*suite, *options], env=env, cwd=directory, stdout=log, stderr=log, check=False
            )

    report = directory / "history/report.json"
    if not report.exists():
        sys.exit(
            "conformance: the suite made no report\n" + (directory / "suite.log").read_text()
        )
    return {entry["id"]: entry for entry in json.loads(report.read_text())["results"]}


def summarize(kind: str, ids: set[str], found: dict[str, dict[str, Any]]) -> None:
    """Prints the requirements of one kind that were not met, and how many were."""
    passed = failed = 0
    for id_ in sorted(ids, key=by_number):
        entry = found.get(id_, {"status": "not in the report"})
        if entry["status"] == "PASSED":
            passed += 1
        elif entry["status"] == "NOT_IMPLEMENTED":
            print(f"{id_}: not counted: {entry['reason']}")
        else:
            failed += 1
            print(f"{id_}: {'; '.join(entry.get('errors', [])) or entry['status']}")
    print(f"{kind}: {passed} passed, {failed} failed")


def by_number(requirement: str) -> list[int]:
    return [int(part) for part in requirement.split("-")]


def main() -> None:
    name, directory = sys.argv[1], Path(sys.argv[2]).resolve()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    released, newer = gather_requirements(directory / "requirements")
    found = run_suite(name, JUDGES[name], directory)
    summarize("released", released, found)
    if not newer:
        print("newer requirements are not at hand: CONFORMANCE_NEWER names their directory")
    summarize("newer", newer, found)


if __name__ == "__main__":
    main()
