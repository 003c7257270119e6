"""The bytes are compared: an execution may change between this client and AWS's SDK."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from durabled.exceptions import RetryableSerDesError, SerDesError
from durabled.serdes import (
    ExtendedTypeSerDes,
    JsonSerDes,
    PassThroughSerDes,
    SerDes,
    SerDesContext,
    deserialize,
    serialize,
)

BYTES: list[tuple[Any, str]] = [
    ("a", '"a"'),
    ("é", '"\\u00e9"'),
    (None, "null"),
    (1.5, "1.5"),
    (True, "true"),
    ([1, "a", None], '[1,"a",null]'),
    ([], "[]"),
    ("", '""'),
    ({}, '{"t":"m","v":{}}'),
    ({"k": "v", "n": None}, '{"t":"m","v":{"k":{"t":"s","v":"v"},"n":{"t":"n","v":null}}}'),
    ([{"a": 1}], '{"t":"l","v":[{"t":"m","v":{"a":{"t":"i","v":1}}}]}'),
    ((1, 2), '{"t":"t","v":[{"t":"i","v":1},{"t":"i","v":2}]}'),
    (b"hi", '{"t":"B","v":"aGk="}'),
    (UUID(int=1), '{"t":"u","v":"00000000-0000-0000-0000-000000000001"}'),
    (Decimal("1.10"), '{"t":"d","v":"1.10"}'),
    (
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        '{"t":"dt","v":"2026-01-02T03:04:05+00:00"}',
    ),
    (date(2026, 1, 2), '{"t":"D","v":"2026-01-02"}'),
    ({"t": 1, "v": True}, '{"t":"m","v":{"t":{"t":"i","v":1},"v":{"t":"b","v":true}}}'),
]


@pytest.mark.parametrize(("value", "text"), BYTES)
def test_bytes_and_back(value: Any, text: str) -> None:
    serdes = ExtendedTypeSerDes()
    assert serdes.serialize(value) == text
    back = serdes.deserialize(text)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize("value", [object(), {(1, 2): 3}, {1, 2}, [object()]])
def test_what_cannot_be_written(value: Any) -> None:
    with pytest.raises(SerDesError):
        serialize(None, value, "id", "arn")


@pytest.mark.parametrize("text", ['{"a":1}', '{"t":"zz","v":1}', "{", '{"t":"d","v":"x"}'])
def test_what_cannot_be_read(text: str) -> None:
    with pytest.raises(SerDesError):
        deserialize(None, text, "id", "arn")


def test_plain_ones() -> None:
    context = SerDesContext()
    assert JsonSerDes[Any]().serialize({"a": 1}, context) == '{"a": 1}'
    assert PassThroughSerDes[str]().deserialize("x", context) == "x"


class Picky(SerDes[Any]):
    """Sees its context; fails for a while."""

    def serialize(self, value: Any, serdes_context: SerDesContext) -> str:
        return f"{serdes_context.operation_id} {serdes_context.durable_execution_arn} {value}"

    def deserialize(self, data: str, serdes_context: SerDesContext) -> Any:
        raise RetryableSerDesError("not yet")


def test_a_serdes_of_ones_own() -> None:
    assert serialize(Picky(), 7, "id", "arn") == "id arn 7"
    with pytest.raises(RetryableSerDesError):
        deserialize(Picky(), "", "id", "arn")
