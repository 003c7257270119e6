"""The ids of operations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class OperationIdNamespace:
    """Where the ids of one context's operations come from."""

    prefix: str | None = None

    def create_id_for_step(self, step: int) -> str:
        """The id of the context's operation number `step`, counted from 1."""
        path = f"{self.prefix}-{step}" if self.prefix else str(step)
        return hashlib.blake2b(path.encode()).hexdigest()[:64]
