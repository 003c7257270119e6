"""A real daemon, real workers and the real tools, each in a process of its own.

Every test gets a fresh data directory and socket below pytest's tmp_path, and
everything it starts is killed at its end. Nothing sleeps for a fixed time: a test
waits for what it needs to see, and fails when that does not come.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
BIN = Path(os.environ.get("DURABLED_BIN", HERE.parents[1] / "build/release/bin"))
PATIENCE_S = 30.0


def wait_for(what: str, check: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Calls `check` until it returns something true, and returns that."""
    deadline = time.monotonic() + patience_s
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"waited {patience_s:.0f} s for {what}")
        time.sleep(0.01)


class Process:
    """A child process whose stderr goes to a file."""

    def __init__(
        self, argv: list[str], log: Path, env: dict[str, str], cwd: Path = HERE
    ) -> None:
        self.log = log
        with log.open("ab") as sink:
            self.popen = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=env, cwd=cwd
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def alive(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def terminate(self, patience_s: float = PATIENCE_S) -> int:
        self.popen.terminate()
        return self.popen.wait(patience_s)

    def output(self) -> str:
        return self.log.read_text(errors="replace")


class Mount:
    """A file system that only processes started with `within` see, in a mount namespace
    of its own. `command` mounts it; the test is skipped where that is not allowed."""

    def __init__(self, command: list[str], fds: tuple[int, ...] = ()) -> None:
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        script = '"$@" && echo mounted && exec sleep infinity'
        self._holder = subprocess.Popen(
            ["unshare", "--mount", *user, "sh", "-c", script, "sh", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=fds,
        )
        assert self._holder.stdout
        said = self._holder.stdout.readline().decode()
        if said != "mounted\n":
            self.close()
            pytest.skip(f"may not mount here: {said.strip()}")
        enter = ["--user", "--preserve-credentials"] if user else []
        self.within = ["nsenter", f"--target={self._holder.pid}", "--mount", *enter, "--"]

    def path(self, path: Path) -> Path:
        """`path` as the processes within see it."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def run(self, *command: str) -> None:
        subprocess.run([*self.within, *command], check=True)

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()


class World:
    """One daemon's surroundings: its directory, its socket, its children."""

    def __init__(self, tmp_path: Path) -> None:
        self.dir = tmp_path
        self.data = tmp_path / "data"
        self.socket = tmp_path / "d.sock"
        self.notes = tmp_path / "notes"
        self.notes.touch()
        self.program = BIN / "durabled"
        self.mode = "serve"
        self.cwd = HERE  # of the daemon
        self.daemon: Process | None = None
        self.variables: dict[str, str] = {}  # of its environment, besides the tests' own
        self.mount: Mount | None = None
        self.within: list[str] = []  # what a daemon is started with: `prlimit ...`
        self.children: list[Process] = []

    @property
    def env(self) -> dict[str, str]:
        # Of AWS's variables none: the daemon has its region and keys from them.
        own = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        return {
            **own,
            "DURABLED_SOCKET": str(self.socket),
            "DURABLED_TEST_NOTES": str(self.notes),
            "NO_COLOR": "1",
            **self.variables,
        }

    # -- processes ---------------------------------------------------------

    def spawn(self, argv: list[str], log: str, cwd: Path = HERE, **env: str) -> Process:
        process = Process(argv, self.dir / log, {**self.env, **env}, cwd)
        self.children.append(process)
        return process

    def try_daemon(self, *options: str, **env: str) -> Process:
        argv = [
            *self.within,
            str(self.program),
            self.mode,
            "--data",
            str(self.data),
            "--log-format",
            "json",
        ]
        return self.spawn([*argv, *options], "daemon.log", self.cwd, **env)

    def start_daemon(self, *options: str, **env: str) -> Process:
        ready_before = len(self.log_events("READY"))
        self.daemon = self.try_daemon(*options, **env)
        wait_for(
            "the daemon",
            lambda: len(self.log_events("READY")) > ready_before or not self.daemon.alive(),
        )
        assert self.daemon.alive(), self.daemon.output()
        return self.daemon

    def start_worker(
        self, handler: str, *options: str, name: str | None = None, **env: str
    ) -> Process:
        argv = [sys.executable, "-m", "durabled", "worker", f"handlers:{handler}"]
        return self.spawn([*argv, "--name", name or handler, *options], "worker.log", **env)

    def mount_data(self, command: list[str], fds: tuple[int, ...] = ()) -> Mount:
        """Mounts something on the data directory, for daemons started from now on."""
        self.data.mkdir()
        self.mount = Mount([*command, str(self.data)], fds)
        self.within = self.mount.within
        return self.mount

    # -- tools ---------------------------------------------------------------

    def ctl(
        self, *args: str, check: bool = True, **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(BIN / "durablectl"), *args],
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S * 2,
            check=False,
        )
        if check:
            assert done.returncode == 0, (args, done.returncode, done.stdout, done.stderr)
        return done

    def ctl_json(self, *args: str) -> Any:
        return json.loads(self.ctl("--json", *args).stdout)

    def start(self, function: str, name: str, payload: Any = None) -> str:
        options = [] if payload is None else ["--payload", json.dumps(payload)]
        return str(self.ctl_json("start", function, "--name", name, *options)["arn"])

    def finish(self, name: str) -> dict[str, Any]:
        """Waits until the execution is closed and returns its description."""

        def closed() -> dict[str, Any] | None:
            execution = self.describe(name)
            return execution if execution["Status"] != "RUNNING" else None

        return dict(wait_for(f"the end of {name}", closed))

    def describe(self, name: str) -> dict[str, Any]:
        return dict(self.ctl_json("show", name)["execution"])

    def show(self, name: str) -> dict[str, Any]:
        return dict(self.ctl_json("show", name))

    def events(self, name: str) -> list[dict[str, Any]]:
        return list(self.ctl_json("history", name)["events"])

    def story(self, name: str) -> str:
        """The history in the short notation of the conformance appendix."""
        return " ".join(CODES[event["EventType"]] for event in self.events(name))

    # -- evidence --------------------------------------------------------------

    def noted(self) -> list[str]:
        return self.notes.read_text().split()

    def log_lines(self) -> list[dict[str, Any]]:
        path = self.dir / "daemon.log"
        if not path.exists():
            return []
        lines = []
        for line in path.read_text(errors="replace").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue  # a line that is still being written
        return lines

    def check(self) -> subprocess.CompletedProcess[str]:
        """`durabled check` of the data, which no daemon has."""
        return subprocess.run(
            [str(BIN / "durabled"), "check", "--data", str(self.data)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def log_events(self, code: str) -> list[dict[str, Any]]:
        return [line for line in self.log_lines() if line.get("code") == code]

    def sanitizer_reports(self) -> list[str]:
        """What the programs of a build with sanitizers complained of."""
        return [
            line
            for path in self.dir.glob("*.log")
            for line in path.read_text(errors="replace").splitlines()
            if "Sanitizer" in line or ": runtime error: " in line
        ]

    def diagnosis(self, code: str, **having: object) -> dict[str, Any]:
        """The daemon's latest log line with this code and these fields, once it is there."""

        def latest() -> dict[str, Any] | None:
            lines = [e for e in self.log_events(code) if having.items() <= e.items()]
            return lines[-1] if lines else None

        return dict(wait_for(f"{code} {having} in the log", latest))

    def close(self) -> None:
        for child in self.children:
            if child.alive():
                child.popen.send_signal(signal.SIGCONT)
                child.kill()
        if self.mount:
            self.mount.close()


CODES = {
    "ExecutionStarted": "X",
    "ExecutionSucceeded": "X+",
    "ExecutionFailed": "X-",
    "ExecutionTimedOut": "XT",
    "ExecutionStopped": "X!",
    "ContextStarted": "C",
    "ContextSucceeded": "C+",
    "ContextFailed": "C-",
    "StepStarted": "S",
    "StepSucceeded": "S+",
    "StepFailed": "S-",
    "WaitStarted": "W",
    "WaitSucceeded": "W+",
    "WaitCancelled": "W!",
    "CallbackStarted": "K",
    "CallbackSucceeded": "K+",
    "CallbackFailed": "K-",
    "CallbackTimedOut": "KT",
    "ChainedInvokeStarted": "V",
    "ChainedInvokeSucceeded": "V+",
    "ChainedInvokeFailed": "V-",
    "ChainedInvokeTimedOut": "VT",
    "ChainedInvokeStopped": "V!",
    "InvocationCompleted": "I",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    surroundings = World(tmp_path)
    yield surroundings
    surroundings.close()
    assert surroundings.sanitizer_reports() == []
