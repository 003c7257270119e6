"""As much of CloudWatch Logs Insights' language as the queries of extensions/DEBUGGING.md use:
fields, filter, stats, sort, limit. Anything else is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Record = dict[str, Any]

TOKEN = re.compile(r'\s*("[^"]*"|[@\w.]+|!=|>=|<=|[=<>()\[\],*])')
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}
AGGREGATES: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "max": lambda values: max(v for v in values if v is not None),
    "latest": lambda values: values[-1],
}


def flat(line: Record, prefix: str = "") -> Record:
    """A line's fields as Insights names them: `steps.0.operationName`."""
    found: Record = {}
    for key, value in line.items():
        if isinstance(value, list):
            found |= flat({str(i): item for i, item in enumerate(value)}, f"{prefix}{key}.")
        elif isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


class Condition:
    """What stands behind `filter`."""

    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.at = 0
        self.holds = self.either()
        assert self.at == len(self.tokens), f"not understood: {self.tokens[self.at :]}"

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        assert token and wanted in ("", token), f"{wanted} expected, not {token}"
        self.at += 1
        return token

    def either(self) -> Callable[[Record], bool]:
        parts = [self.both()]
        while self.peek() == "or":
            self.take()
            parts.append(self.both())
        return lambda record: any(part(record) for part in parts)

    def both(self) -> Callable[[Record], bool]:
        parts = [self.one()]
        while self.peek() == "and":
            self.take()
            parts.append(self.one())
        return lambda record: all(part(record) for part in parts)

    def one(self) -> Callable[[Record], bool]:
        if self.peek() == "(":
            self.take()
            inner = self.either()
            self.take(")")
            return inner
        name = self.take()
        if name == "ispresent":
            self.take("(")
            field = self.take()
            self.take(")")
            return lambda record: record.get(field) is not None
        wanted = True
        if self.peek() == "not":
            self.take()
            wanted = False
        if self.peek() == "in":
            self.take()
            values = list(self.values())
            return lambda record: (record.get(name) in values) == wanted
        compare = COMPARISONS[self.take()]
        value = literal(self.take())
        return lambda record: record.get(name) is not None and compare(record[name], value)

    def values(self) -> Iterator[Any]:
        self.take("[")
        yield literal(self.take())
        while self.peek() == ",":
            self.take()
            yield literal(self.take())
        self.take("]")


def tokens(text: str) -> list[str]:
    found = TOKEN.findall(text)
    assert "".join(found) == "".join(
        re.split(r'\s+(?=(?:[^"]*"[^"]*")*[^"]*$)', text.strip())
    ), text
    return found


def literal(token: str) -> Any:
    return token[1:-1] if token.startswith('"') else float(token)


def stats(text: str, records: list[Record]) -> list[Record]:
    what, _, by = text.partition(" by ")
    keys = [key.strip() for key in by.split(",")]
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record.get(key) for key in keys), []).append(record)
    found = []
    for values, members in groups.items():
        row = dict(zip(keys, values, strict=True))
        for function, field, name in re.findall(r"(\w+)\(([@\w.*]+)\) as (\w+)", what):
            row[name] = AGGREGATES[function]([member.get(field) for member in members])
        assert len(row) == len(keys) + what.count(" as "), what
        found.append(row)
    return found


def run(query: str, lines: list[Record]) -> list[Record]:
    """The rows that the query gives of a log's lines, which are in the order of their time."""
    records = [{**flat(line), "@timestamp": line["timestamp"]} for line in lines]
    shown: list[str] = []
    for stage in query.strip().split("\n"):
        command, _, rest = stage.strip().removeprefix("|").strip().partition(" ")
        if command == "fields":
            shown = [field.strip() for field in rest.split(",")]
        elif command == "filter":
            records = [record for record in records if Condition(rest).holds(record)]
        elif command == "stats":
            records = stats(rest, records)
        elif command == "sort":
            field, _, order = rest.partition(" ")
            assert order in ("asc", "desc"), rest
            records.sort(key=lambda record: record[field], reverse=order == "desc")
        elif command == "limit":
            records = records[: int(rest)]
        else:
            raise AssertionError(f"no command of the language that is known here: {stage}")
    return [{f: r.get(f) for f in shown} if shown else r for r in records]
