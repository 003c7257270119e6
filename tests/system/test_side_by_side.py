"""The extension asks less of AWS's service than AWS's own SDK does for the same handlers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from side_by_side import CASES, DELAY_S, OFFICIAL, OURS, Side

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
def test_no_more_calls_and_fewer_bytes(world: World, official: World, case: str) -> None:
    """A call takes what it takes in AWS, so that both can gather meanwhile. On a busy machine
    what comes at once may come apart: the best of three is what is compared."""
    sides = Side(world, OURS, DELAY_S), Side(official, OFFICIAL, DELAY_S)
    ours, theirs = (
        min((side.measure(case) for _ in range(3)), key=lambda figures: figures.calls)
        for side in sides
    )
    print(ours, theirs)
    assert ours.calls <= theirs.calls and ours.bytes < theirs.bytes
