#!/usr/bin/env python3
"""Makes what is derived from protocol.toml.

    generate.py               what is committed: proto/README.md, the Python client's module
    generate.py --check       says whether these are up to date, and whether the protocol
                              still holds what each frozen level promised
    generate.py --freeze      writes levels/<level>.toml, when a level is released
    generate.py --build DIR   C tables for the build tree (DIR/proto/*)

Needs nothing but Python's own library.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE / "README.md"
MODULE = HERE.parent / "client/python/src/durabled/_protocol.py"

Protocol = dict[str, Any]


def member(text: str) -> tuple[str, str]:
    """A member's type, and what it is."""
    kind, _, doc = text.partition(" ")
    return kind, doc


# --- C ------------------------------------------------------------------------------


def level_h(protocol: Protocol) -> str:
    return f"#pragma once\n\n#define DD_LEVEL {protocol['level']}\n"


def profiles_inc(protocol: Protocol) -> str:
    return "".join(
        f'DD_PROFILE_ROW("{p["name"]}", {p["hash"].upper()}, {p["hex_len"]},'
        f' {p["first_branch"]}, {p["rounding"].upper()})\n'
        for p in protocol["profile"]
    )


def methods_inc(protocol: Protocol) -> str:
    return "".join(
        f"{'DD_NOTIFICATION_ROW' if m.get('notification') else 'DD_CALL_ROW'}"
        f'("{m["name"]}", {m["name"].replace(".", "_")}, {m["since"]})\n'
        for m in protocol["method"]
    )


def errors_inc(protocol: Protocol) -> str:
    rows = [
        f'    X({e["symbol"]}, {e["value"]}, "{e["name"]}",'
        f' {int(e.get("retryable", False))}, {e.get("status", 400)})'
        for e in protocol["error"]
    ]
    return "#define DD_ERROR_TABLE(X) \\\n" + " \\\n".join(rows) + "\n"


def limits_inc(protocol: Protocol) -> str:
    return "".join(
        f"DD_LIMIT_ROW({row['name'].upper()}, {row['value']})\n" for row in protocol["limit"]
    )


TABLES = {
    "level.h": level_h,
    "profiles.inc": profiles_inc,
    "methods.inc": methods_inc,
    "errors.inc": errors_inc,
    "limits.inc": limits_inc,
}


# --- the Python client --------------------------------------------------------------


def python_module(protocol: Protocol) -> str:
    methods = protocol["method"]
    limits = [row for row in protocol["limit"] if row.get("client")]
    errors = [row for row in protocol["error"] if row.get("sent", True)]

    def literal(name: str, of: Iterable[dict[str, Any]]) -> str:
        names = [json.dumps(m["name"]) for m in of]
        if len(names) == 1:
            return f"{name} = Literal[{names[0]}]\n"
        return f"{name} = Literal[\n" + "".join(f"    {n},\n" for n in names) + "]\n"

    parts = [
        '"""The protocol as this client needs it.\n\n'
        'Made by proto/generate.py from proto/protocol.toml.\n"""\n\n'
        "from enum import StrEnum\n"
        "from typing import Literal\n\n"
        f"LEVEL = {protocol['level']}\n"
        '"""The highest level that this client speaks."""\n\n',
        *(f'{r["name"].upper()} = {r["value"]:_}\n"""{r["doc"]}"""\n\n' for r in limits),
        literal("Method", (m for m in methods if not m.get("notification"))),
        literal("Notification", (m for m in methods if m.get("notification"))),
        '\n\nclass ErrorCode(StrEnum):\n    """Why a call was refused; a newer daemon may'
        ' know more."""\n\n',
        *(f'    {e["symbol"]} = "{e["name"]}"\n' for e in errors),
    ]
    return "".join(parts)


# --- the page -----------------------------------------------------------------------


def table(head: list[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, row)) + " |\n" for row in lines)


def members_text(members: dict[str, str]) -> str:
    """A list when one of the members needs a word, else one line."""
    split = {name: member(text) for name, text in members.items()}
    shown = [f"`{name}: {kind}` {doc}".rstrip() for name, (kind, doc) in split.items()]
    if any(doc for _, doc in split.values()):
        return "".join(f"\n- {line}" for line in shown) + "\n"
    return " " + ", ".join(shown) + "\n"


def method_text(method: dict[str, Any]) -> str:
    marks = [f"level {method['since']}"]
    marks += [mark for mark in ("parks", "notification") if method.get(mark)]
    parts = [f"### {method['name']}\n\n*{', '.join(marks)}.* {method['doc']}\n"]
    for key, title in (("params", "Parameters"), ("result", "Result")):
        if method[key]:
            parts.append(f"\n{title}:{members_text(method[key])}")
    return "".join(parts)


def methods_text(protocol: Protocol) -> str:
    return "\n".join(method_text(method) for method in protocol["method"])


def shapes_text(protocol: Protocol) -> str:
    return "\n".join(
        f"**{name}**:{members_text(members)}" for name, members in protocol["shape"].items()
    )


def words_text(protocol: Protocol) -> str:
    return table(
        ["set", "words"],
        ([name, ", ".join(f"`{w}`" for w in words)] for name, words in protocol["words"].items()),
    )


def errors_text(protocol: Protocol) -> str:
    return table(
        ["code", "retryable", "meaning"],
        (
            [f"`{e['name']}`", "yes" if e.get("retryable") else "", e["doc"]]
            for e in protocol["error"]
            if e.get("sent", True)
        ),
    )


def limits_text(protocol: Protocol) -> str:
    return table(
        ["limit", "value", "of what"],
        ([f"`{row['name']}`", f"{row['value']:,}", row["doc"]] for row in protocol["limit"]),
    )


def profiles_text(protocol: Protocol) -> str:
    keys = ["name", "hash", "hex_len", "first_branch", "rounding"]
    return table(keys, ([p[key] for key in keys] for p in protocol["profile"]))


def shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shortened(its) for name, its in value.items()}
    if isinstance(value, list):
        return [shortened(its) for its in value]
    return value[:32] + "…" if isinstance(value, str) and len(value) > 64 else value


def example_text(protocol: Protocol) -> str:
    """Notes, and between them what was sent, as blocks."""
    text, within = "", False
    for line in (HERE / "example.jsonl").read_text().splitlines():
        ((side, message),) = json.loads(line).items()
        if within == (side == "note"):
            text += "```\n"
            within = not within
        if side == "note":
            text += f"\n{message}\n\n"
        else:
            shown = json.dumps(shortened(message), ensure_ascii=False)
            text += f"{'→' if side == 'client' else '←'} {shown}\n"
    return text.strip("\n") + "\n```\n"


def page(protocol: Protocol) -> str:
    text = (HERE / "page.md").read_text()
    for name, make in {
        "level": lambda p: str(p["level"]),
        "example": example_text,
        "methods": methods_text,
        "shapes": shapes_text,
        "words": words_text,
        "errors": errors_text,
        "limits": limits_text,
        "profiles": profiles_text,
    }.items():
        text = text.replace(f"{{{{{name}}}}}", make(protocol).rstrip("\n"))
    return text


# --- levels -------------------------------------------------------------------------


def promises(protocol: Protocol) -> dict[str, dict[str, Any]]:
    """What a level promises, by name in tables of which a later one may only grow."""

    def types(owners: Iterable[tuple[str, dict[str, str]]]) -> dict[str, str]:
        return {
            f"{owner}.{name}": member(text)[0]
            for owner, members in owners
            for name, text in members.items()
        }

    methods = protocol["method"]
    return {
        "methods": {m["name"]: m.get("notification", False) for m in methods},
        "params": types((m["name"], m["params"]) for m in methods),
        "results": types((m["name"], m["result"]) for m in methods),
        "shapes": types(protocol["shape"].items()),
        "words": {f"{of}.{w}": True for of, words in protocol["words"].items() for w in words},
        "errors": {e["name"]: e.get("retryable", False) for e in protocol["error"]},
        "limits": {row["name"]: row["value"] for row in protocol["limit"]},
        "profiles": {p["name"]: " ".join(map(str, p.values())) for p in protocol["profile"]},
    }


def keeps(kind: str, old: Any, new: Any) -> bool:
    """Whether what was promised still holds: a limit may rise, a parameter become optional."""
    if kind == "limits":
        return bool(new >= old)
    return bool(new == old or (kind == "params" and new == f"{old}?"))


def broken(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> list[str]:
    """What a client of the older level would trip over."""
    found = []
    for kind, names in old.items():
        for name, value in names.items():
            now = new[kind].get(name)
            if now is None or not keeps(kind, value, now):
                found.append(f"{kind}: {name} was {value!r} and is {now!r}")
    # An old client does not send what it does not know.
    owners = {*old["methods"], *(name.partition(".")[0] for name in old["shapes"])}
    for kind in ("params", "shapes"):
        for name, now in new[kind].items():
            old_owner = name.rpartition(".")[0] in owners
            if old_owner and name not in old[kind] and not now.endswith("?"):
                found.append(f"{kind}: {name} is new and not optional")
    return found


def frozen_toml(protocol: Protocol) -> str:
    text = "# What this level promises; made once, by generate.py --freeze.\n"
    for kind, names in promises(protocol).items():
        text += f"\n[{kind}]\n"
        text += "".join(f'"{name}" = {json.dumps(value)}\n' for name, value in names.items())
    return text


# --- files --------------------------------------------------------------------------


def write(path: Path, text: str) -> None:
    """Leaves a file alone that is right already, so that nothing is rebuilt."""
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def check(protocol: Protocol, committed: dict[Path, str]) -> list[str]:
    found = [
        f"{path.relative_to(HERE.parent)} is not what proto/generate.py makes; run it"
        for path, text in committed.items()
        if not path.exists() or path.read_text() != text
    ]
    levels = sorted((HERE / "levels").glob("*.toml"))
    for path in levels:
        for what in broken(tomllib.loads(path.read_text()), promises(protocol)):
            found.append(f"protocol.toml breaks proto/levels/{path.name}: {what}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--freeze", action="store_true")
    parser.add_argument("--build", type=Path, metavar="DIR")
    parser.add_argument("--protocol", type=Path, default=HERE / "protocol.toml")
    arguments = parser.parse_args()
    protocol = tomllib.loads(arguments.protocol.read_text())
    if arguments.build:
        for name, make in TABLES.items():
            write(arguments.build / "proto" / name, make(protocol))
        return 0
    if arguments.freeze:
        write(HERE / f"levels/{protocol['level']}.toml", frozen_toml(protocol))
        return 0
    committed = {PAGE: page(protocol), MODULE: python_module(protocol)}
    if arguments.check:
        found = check(protocol, committed)
        print("".join(f"{line}\n" for line in found), end="")
        return 1 if found else 0
    for path, text in committed.items():
        write(path, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
