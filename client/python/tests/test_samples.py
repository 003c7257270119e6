"""Every sample, served as its reader would, ends as its first lines say."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import Daemon
from durabled import Client
from running import PATIENCE

SAMPLES = Path(__file__).parents[1] / "samples"
NEEDS_MORE = {"order"}  # the inventory service; deploy/quickstart.sh runs it


def names() -> list[str]:
    return sorted(path.parent.name for path in SAMPLES.glob("*/app.py"))


def promised(name: str) -> tuple[Any, Any]:
    """The payload and the result in a sample's docstring."""
    text = ast.get_docstring(ast.parse((SAMPLES / name / "app.py").read_text())) or ""
    found = [
        re.search(rf"^{what}: (.+)$", text, re.MULTILINE) for what in ("payload", "result")
    ]
    assert all(found), f"{name}: no payload or no result"
    payload, result = (json.loads(one[1]) for one in found if one)
    return payload, result


@pytest.mark.parametrize("name", sorted(set(names()) - NEEDS_MORE))
def test_sample(name: str, daemon: Daemon) -> None:
    payload, result = promised(name)
    worker = subprocess.Popen(
        [sys.executable, "-m", "durabled", "worker", "app:handler", "--name", name],
        cwd=SAMPLES / name,
        env={**os.environ, "DURABLED_SOCKET": str(daemon.socket)},
    )
    try:
        with Client(daemon.socket) as client:
            deadline = time.monotonic() + 30
            while not client.functions():
                assert worker.poll() is None, "the worker ended"
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert client.start(name, payload).result(PATIENCE) == result
    finally:
        worker.terminate()
        assert worker.wait(30) == 0


def test_the_table_has_them_all() -> None:
    table = (SAMPLES / "README.md").read_text()
    assert sorted(re.findall(r"^\| \[(\w+)\]\(\1/app\.py\)", table, re.MULTILINE)) == names()
