"""Values to text and back.

The default, ExtendedTypeSerDes, writes primitives (and lists of them) as plain JSON, and
all else as {"t": tag, "v": value}, so that what comes back has the type that went in. The
bytes are those of AWS's SDK, so an execution may change from one to the other.
"""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, TypeVar
from uuid import UUID

from durabled.concurrency.models import BatchResult
from durabled.exceptions import RetryableSerDesError, SerDesError

T = TypeVar("T")


class TypeTag(StrEnum):
    """The type of an encoded value."""

    NONE = "n"
    STR = "s"
    INT = "i"
    FLOAT = "f"
    BOOL = "b"
    BYTES = "B"
    UUID = "u"
    DECIMAL = "d"
    DATETIME = "dt"
    DATE = "D"
    TUPLE = "t"
    LIST = "l"
    DICT = "m"
    BATCH_RESULT = "br"


@dataclass(frozen=True)
class EncodedValue:
    """A value and its tag."""

    tag: TypeTag
    value: Any


@dataclass(frozen=True)
class SerDesContext:
    """Which operation a value belongs to."""

    operation_id: str = ""
    durable_execution_arn: str = ""


class SerDes(ABC, Generic[T]):
    """How values of one operation become text and back."""

    @abstractmethod
    def serialize(self, value: T, serdes_context: SerDesContext) -> str:
        """The text of a value."""

    @abstractmethod
    def deserialize(self, data: str, serdes_context: SerDesContext) -> T:
        """The value of a text."""

    @staticmethod
    def is_primitive(obj: Any) -> bool:
        """Whether plain JSON keeps the type: None, str, int, float, bool, lists of those."""
        if isinstance(obj, list):
            return all(SerDes.is_primitive(item) for item in obj)
        return obj is None or isinstance(obj, (str, int, float, bool))


class PassThroughSerDes(SerDes[T]):
    """The value is the text."""

    def serialize(self, value: T, serdes_context: SerDesContext) -> str:
        return value  # type: ignore[return-value]

    def deserialize(self, data: str, serdes_context: SerDesContext) -> T:
        return data  # type: ignore[return-value]


class JsonSerDes(SerDes[T]):
    """Plain JSON with Python's default separators."""

    def serialize(self, value: T, serdes_context: SerDesContext) -> str:
        return json.dumps(value)

    def deserialize(self, data: str, serdes_context: SerDesContext) -> T:
        value: T = json.loads(data)
        return value


# Of each type its tag, how it is written and how it is read. Subclasses come before
# their bases: bool is an int, datetime is a date.
_SCALARS: tuple[tuple[Any, TypeTag, Callable[[Any], Any], Callable[[Any], Any]], ...] = (
    (type(None), TypeTag.NONE, lambda v: v, lambda v: None),
    (str, TypeTag.STR, lambda v: v, str),
    (bool, TypeTag.BOOL, lambda v: v, bool),
    (int, TypeTag.INT, lambda v: v, int),
    (float, TypeTag.FLOAT, lambda v: v, float),
    (
        (bytes, bytearray, memoryview),
        TypeTag.BYTES,
        lambda v: base64.b64encode(bytes(v)).decode(),
        base64.b64decode,
    ),
    (UUID, TypeTag.UUID, str, UUID),
    (Decimal, TypeTag.DECIMAL, str, Decimal),
    (datetime, TypeTag.DATETIME, datetime.isoformat, datetime.fromisoformat),
    (date, TypeTag.DATE, date.isoformat, date.fromisoformat),
)
_READERS = {tag: read for _, tag, _, read in _SCALARS}


def _wrapped(value: Any) -> dict[str, Any]:
    encoded = _encode(value)
    return {"t": encoded.tag.value, "v": encoded.value}


def _encode(value: Any) -> EncodedValue:
    for cls, tag, write, _ in _SCALARS:
        if isinstance(value, cls):
            return EncodedValue(tag, write(value))
    if isinstance(value, BatchResult):
        return EncodedValue(TypeTag.BATCH_RESULT, _encode(value.to_dict()).value)
    if isinstance(value, tuple):
        return EncodedValue(TypeTag.TUPLE, [_wrapped(item) for item in value])
    if isinstance(value, list):
        return EncodedValue(TypeTag.LIST, [_wrapped(item) for item in value])
    if isinstance(value, dict):
        if any(isinstance(key, tuple) for key in value):
            raise SerDesError("Tuple keys not supported")
        return EncodedValue(TypeTag.DICT, {k: _wrapped(v) for k, v in value.items()})
    raise SerDesError(f"Unsupported type: {type(value)}")


def _is_envelope(data: Any) -> bool:
    return isinstance(data, dict) and "t" in data and "v" in data


def _tag(text: Any) -> TypeTag:
    try:
        return TypeTag(text)
    except ValueError:
        raise SerDesError(f'Unknown type tag: "{text}"') from None


def _unwrapped(data: Any) -> Any:
    return _decode(_tag(data["t"]), data["v"]) if _is_envelope(data) else data


def _decode(tag: TypeTag, value: Any) -> Any:
    if tag in (TypeTag.LIST, TypeTag.TUPLE):
        if not isinstance(value, list):
            raise SerDesError(f"Expected list, got {type(value)}")
        items = [_unwrapped(item) for item in value]
        return items if tag is TypeTag.LIST else tuple(items)
    if tag in (TypeTag.DICT, TypeTag.BATCH_RESULT):
        if not isinstance(value, dict):
            raise SerDesError(f"Expected dict, got {type(value)}")
        members = {key: _unwrapped(item) for key, item in value.items()}
        return members if tag is TypeTag.DICT else BatchResult.from_dict(members)
    return _READERS[tag](value)


class ExtendedTypeSerDes(SerDes[T]):
    """JSON that keeps Python's common types. The default of every operation."""

    def serialize(self, value: Any, context: SerDesContext | None = None) -> str:
        plain = value if SerDes.is_primitive(value) else _wrapped(value)
        return json.dumps(plain, separators=(",", ":"))

    def deserialize(self, data: str, context: SerDesContext | None = None) -> Any:
        value = json.loads(data)
        if SerDes.is_primitive(value):
            return value
        if not _is_envelope(value):
            raise SerDesError('Malformed envelope: missing "t" or "v" at root.')
        return _unwrapped(value)


DEFAULT_JSON_SERDES: SerDes[Any] = JsonSerDes()
EXTENDED_TYPES_SERDES: SerDes[Any] = ExtendedTypeSerDes()


def serialize(
    serdes: SerDes[T] | None, value: T, operation_id: str, durable_execution_arn: str
) -> str:
    """The text of a value; SerDesError when it can't be made."""
    used: SerDes[Any] = serdes or EXTENDED_TYPES_SERDES
    try:
        return used.serialize(value, SerDesContext(operation_id, durable_execution_arn))
    except (SerDesError, RetryableSerDesError):
        raise
    except Exception as error:
        raise SerDesError(
            f"Serialization failed for id: {operation_id}, error: {error}."
        ) from error


def deserialize(
    serdes: SerDes[T] | None, data: str, operation_id: str, durable_execution_arn: str
) -> T:
    """The value of a text; SerDesError when there is none."""
    used: SerDes[Any] = serdes or EXTENDED_TYPES_SERDES
    try:
        value: T = used.deserialize(data, SerDesContext(operation_id, durable_execution_arn))
    except (SerDesError, RetryableSerDesError):
        raise
    except Exception as error:
        raise SerDesError(
            f"Deserialization failed for id: {operation_id}, error: {error}."
        ) from error
    return value
