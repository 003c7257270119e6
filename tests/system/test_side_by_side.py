"""The extension asks less of AWS's service than AWS's own SDK does for the same handlers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from side_by_side import CASES, OFFICIAL, OURS, Side

from conftest import World


@pytest.fixture
def official(tmp_path: Path) -> Iterator[World]:
    """The surroundings of the other side."""
    directory = tmp_path / "official"
    directory.mkdir()
    surroundings = World(directory)
    yield surroundings
    surroundings.close()


@pytest.mark.parametrize("case", CASES)
def test_fewer_calls_and_bytes(world: World, official: World, case: str) -> None:
    ours = Side(world, OURS).measure(case)
    theirs = Side(official, OFFICIAL).measure(case)
    print(ours, theirs)
    assert ours.calls < theirs.calls and ours.bytes < theirs.bytes
