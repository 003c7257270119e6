#!/usr/bin/env python3
"""logs.py [--check]: writes daemon/LOGS.md from the table in daemon/engine/log.h, and the
causes of extensions/DEBUGGING.md from that in daemon/engine/cause.h, or says whether they
are up to date."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "daemon/engine/log.h"
PAGE = ROOT / "daemon/LOGS.md"
CAUSES = ROOT / "daemon/engine/cause.h"
DEBUGGING = ROOT / "extensions/DEBUGGING.md"

HEAD = """# The daemon's log

One event a line on stderr: JSON lines, or readable ones on a terminal (`--log-format`). At INFO there is one line at start
and one per invocation; `durablectl log-level debug` raises the level of a running daemon. Payloads, tokens and keys are
never logged. `code` is stable; `executionArn` and `requestId` are there wherever an event concerns an execution.

Made from the table in `engine/log.h` by `cmake/logs.py`.

| code | level | message | what it means | what to do |
|---|---|---|---|---|
"""


CAUSES_HEAD = """
| what happens | code | ids | `cause` | `remedy` |
|---|---|---|---|---|
"""


def strings(text: str) -> list[str]:
    """Adjacent literals are one string; commas separate them."""
    parts = [""]
    for literal, comma in re.findall(r"\"([^\"]*)\"|(,)", text):
        if comma:
            parts.append("")
        else:
            parts[-1] += literal
    return parts


def entries(text: str) -> list[str]:
    """What stands between the parentheses of each X."""
    return re.findall(r"X\(((?:[^()\"]|\"[^\"]*\")*)\)", text)


def log_page() -> str:
    text = TABLE.read_text()
    table = text[text.index("#define DD_LOG_TABLE") : text.index("enum dd_log_code")]
    page = HEAD
    for entry in entries(table):
        symbol, level, texts = (part.strip() for part in entry.split(",", 2))
        parts = strings(texts)
        if len(parts) == 3:
            page += f"| `{symbol}` | {level} | {' | '.join(parts)} |\n"
    return page


def debugging_page() -> str:
    """The page with its table of causes made anew."""
    text = CAUSES.read_text()
    table = text[text.index("#define DD_CAUSE_TABLE") : text.index("enum dd_cause")]
    rows = CAUSES_HEAD
    for entry in entries(table):
        _, code, ids, happens, cause, remedy = strings(entry)
        names = ", ".join(f"`{name}`" for name in ids.split())
        rows += f"| {happens} | `{code}` | {names} | {cause} | {remedy} |\n"
    page = DEBUGGING.read_text()
    begin, end = "<!-- causes: made by daemon/cmake/logs.py -->\n", "\n<!-- end of causes -->"
    return page[: page.index(begin) + len(begin)] + rows + page[page.index(end) :]


def main() -> int:
    stale = False
    for path, page in ((PAGE, log_page()), (DEBUGGING, debugging_page())):
        if path.exists() and path.read_text() == page:
            continue
        if "--check" in sys.argv:
            print(f"{path.relative_to(ROOT)} is not what daemon/cmake/logs.py makes; run it")
            stale = True
        else:
            path.write_text(page)
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
