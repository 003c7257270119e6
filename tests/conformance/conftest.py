"""The system tests' world, for the tests below this directory."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location(
    "system", Path(__file__).parents[1] / "system/conftest.py"
)
assert _spec is not None and _spec.loader is not None
system = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(system)

world = system.world
