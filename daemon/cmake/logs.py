#!/usr/bin/env python3
"""logs.py [--check]: writes daemon/LOGS.md from the table in daemon/engine/log.h, or says
whether it is up to date."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "daemon/engine/log.h"
PAGE = ROOT / "daemon/LOGS.md"

HEAD = """# The daemon's log

One event a line on stderr: JSON lines, or readable ones on a terminal (`--log-format`). At INFO there is one line at start
and one per invocation; `durablectl log-level debug` raises the level of a running daemon. Payloads, tokens and keys are
never logged. `code` is stable; `executionArn` and `requestId` are there wherever an event concerns an execution.

Made from the table in `engine/log.h` by `cmake/logs.py`.

| code | level | message | what it means | what to do |
|---|---|---|---|---|
"""


def rows(text: str) -> list[list[str]]:
    table = text[text.index("#define DD_LOG_TABLE") : text.index("enum dd_log_code")]
    found = []
    for symbol, level, strings in re.findall(r"X\((\w+),\s*(\w+),((?:[^()\"]|\"[^\"]*\")*)\)", table):
        # Adjacent literals are one string; commas separate the three.
        parts = [""]
        for literal, comma in re.findall(r"\"([^\"]*)\"|(,)", strings):
            if comma:
                parts.append("")
            else:
                parts[-1] += literal
        if len(parts) == 3:
            found.append([symbol, level, *parts])
    return found


def main() -> int:
    lines = [f"| `{r[0]}` | {r[1]} | {r[2]} | {r[3]} | {r[4]} |\n" for r in rows(TABLE.read_text())]
    page = HEAD + "".join(lines)
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text() != page:
            print("daemon/LOGS.md is not what daemon/cmake/logs.py makes of engine/log.h; run it")
            return 1
        return 0
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
