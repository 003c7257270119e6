"""Values in files: the record keeps where a value is, and a preview of it.

The directory must be there for every invocation, whichever machine it runs on.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import quote

from durabled.constants import CHECKPOINT_SIZE_LIMIT_BYTES
from durabled.serdes import EXTENDED_TYPES_SERDES, SerDes, SerDesContext
from durabled.types import DurableExecutionArn

# Room for what surrounds the text in a checkpoint.
_INLINE_MAX_BYTES = CHECKPOINT_SIZE_LIMIT_BYTES - 1024


class FileSystemSerDesMode(StrEnum):
    """Whether every value goes to a file, or only one that is too large for a record."""

    ALWAYS = "ALWAYS"
    OVERFLOW = "OVERFLOW"


class FileSystemPathEncoding(StrEnum):
    """How the ARN and the operation's id make a path: readable, or of a fixed length."""

    URI = "URI"
    HASH = "HASH"


class GeneratePreview(Protocol):
    """Makes the preview of a value; build_preview does."""

    def __call__(self, value: Any) -> dict[str, Any] | None: ...


@dataclass(frozen=True)
class FileSystemSerDesConfig:
    """`serdes`: of the text in the file."""

    storage_mode: FileSystemSerDesMode = FileSystemSerDesMode.ALWAYS
    path_encoding: FileSystemPathEncoding = FileSystemPathEncoding.URI
    generate_preview: GeneratePreview | None = None
    serdes: SerDes[Any] = EXTENDED_TYPES_SERDES


class FileSystemSerDes(SerDes[Any]):
    """Records {"file": path}, with a "preview" if there is one, or {"data": text}."""

    def __init__(self, base_path: str, config: FileSystemSerDesConfig | None = None) -> None:
        self._base_path = base_path
        self._config = config or FileSystemSerDesConfig()

    def serialize(self, value: Any, serdes_context: SerDesContext) -> str:
        text = self._config.serdes.serialize(value, serdes_context)
        if self._config.storage_mode is FileSystemSerDesMode.OVERFLOW:
            inline = json.dumps({"data": text})
            if len(inline.encode()) <= _INLINE_MAX_BYTES:
                return inline
        record: dict[str, Any] = {"file": self._write(text, serdes_context)}
        preview = self._config.generate_preview and self._config.generate_preview(value)
        if preview:
            record["preview"] = preview
        return json.dumps(record)

    def deserialize(self, data: str, serdes_context: SerDesContext) -> Any:
        record = json.loads(data)
        if "file" in record:
            with open(record["file"], encoding="utf-8") as file:
                text = file.read()
        else:
            text = record["data"]
        return self._config.serdes.deserialize(text, serdes_context)

    def _write(self, text: str, context: SerDesContext) -> str:
        directory = self._directory(context.durable_execution_arn)
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, f"{self._segment(context.operation_id)}.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _directory(self, arn: str) -> str:
        parsed = DurableExecutionArn.from_arn(arn)
        if self._config.path_encoding is FileSystemPathEncoding.URI and parsed:
            parts = (parsed.function_name, parsed.execution_name, parsed.invocation_id)
            return os.path.join(self._base_path, *parts)
        return os.path.join(self._base_path, self._segment(arn))

    def _segment(self, name: str) -> str:
        if self._config.path_encoding is FileSystemPathEncoding.HASH:
            return hashlib.sha256(name.encode()).hexdigest()
        return quote(name, safe="")
