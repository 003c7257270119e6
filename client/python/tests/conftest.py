"""A real daemon for the tests that need one: DURABLED_BIN names where it was built."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BIN = Path(os.environ.get("DURABLED_BIN", Path(__file__).parents[3] / "build/release/bin"))


class Daemon:
    def __init__(self, directory: Path) -> None:
        self.socket = directory / "d.sock"
        self._argv = [str(BIN / "durabled"), "serve", "--data", str(directory / "data")]
        self._log = (directory / "daemon.log").open("ab")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [*self._argv, "--socket", str(self.socket)], stderr=self._log
        )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None, "the daemon ended"
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _answers(self) -> bool:
        from durabled import Client
        from durabled._wire import NoDaemonError

        try:
            with Client(self.socket) as client:
                client.functions()
        except NoDaemonError:
            return False
        return True

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self._log.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path)
    yield made
    made.close()
