"""Previews: the part of a value that may be shown where the value itself is not stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class PreviewMode(StrEnum):
    """What is shown of the fields that no rule names."""

    INCLUDE_ALL = "INCLUDE_ALL"
    EXCLUDE_ALL = "EXCLUDE_ALL"


class FieldMatchMode(StrEnum):
    """Whether a name means any field that is called so, or one path from the root."""

    ANYWHERE = "ANYWHERE"
    PATH = "PATH"


@dataclass(frozen=True)
class PreviewField:
    """Which fields a rule is about; dots separate the parts of a path."""

    name: str
    match: FieldMatchMode = FieldMatchMode.ANYWHERE

    def _fits(self, path: str) -> bool:
        if self.match is FieldMatchMode.PATH:
            return path == self.name
        return self.name in path.split(".")


@dataclass(frozen=True)
class PreviewConfig:
    """What is excluded is never shown; what is masked is shown as `mask_string`."""

    mode: PreviewMode
    include: list[PreviewField] = field(default_factory=list)
    exclude: list[PreviewField] = field(default_factory=list)
    mask: list[PreviewField] = field(default_factory=list)
    mask_string: str = "***"
    max_preview_bytes: int = 4096


def _any_fits(rules: list[PreviewField], path: str) -> bool:
    return any(rule._fits(path) for rule in rules)


def _shown(value: Any, above: str, config: PreviewConfig) -> Iterator[tuple[str, Any]]:
    """The fields that are shown, by path, in order. Lists add nothing to a path."""
    if isinstance(value, list):
        for item in value:
            yield from _shown(item, above, config)
        return
    if not isinstance(value, dict):
        return
    for key, member in value.items():
        # A dot in a key can't be told from one that separates.
        if "." in str(key):
            continue
        path = f"{above}.{key}" if above else str(key)
        if _any_fits(config.exclude, path):
            continue
        if _any_fits(config.mask, path):
            yield path, config.mask_string
        elif isinstance(member, (dict, list)):
            yield from _shown(member, path, config)
        elif config.mode is PreviewMode.INCLUDE_ALL or _any_fits(config.include, path):
            yield path, member


def build_preview(value: Any, config: PreviewConfig) -> dict[str, Any] | None:
    """The preview of a dict, nested as it is, up to `max_preview_bytes`; None when there is
    nothing to show."""
    if not isinstance(value, dict):
        return None
    preview: dict[str, Any] = {}
    size = len("{}")
    for path, member in _shown(value, "", config):
        size += len(f'"{path}":{json.dumps(member)},'.encode())
        if size > config.max_preview_bytes:
            break
        *above, last = path.split(".")
        node = preview
        for part in above:
            if not isinstance(node.get(part), dict):
                node[part] = {}
            node = node[part]
        node[last] = member
    return preview or None
