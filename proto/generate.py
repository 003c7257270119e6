#!/usr/bin/env python3
"""Makes what is derived from protocol.toml.

    generate.py --build DIR   C tables for the build tree (DIR/proto/*.inc)

Needs nothing but Python's own library.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def profiles(protocol: dict[str, Any]) -> str:
    rows = [
        f'DD_PROFILE_ROW("{p["name"]}", {p["hash"].upper()}, {p["hex_len"]},'
        f' {p["first_branch"]}, {p["rounding"].upper()})\n'
        for p in protocol["profile"]
    ]
    return "".join(rows)


def write(path: Path, text: str) -> None:
    """Leaves a file alone that is right already, so that nothing is rebuilt."""
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    arguments = parser.parse_args()
    protocol = tomllib.loads((HERE / "protocol.toml").read_text())
    write(arguments.build / "proto/profiles.inc", profiles(protocol))
    return 0


if __name__ == "__main__":
    sys.exit(main())
