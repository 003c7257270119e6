"""The ids of operations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from durabled.exceptions import NonDeterministicExecutionError
from durabled.lambda_service import Operation, OperationType


@dataclass(frozen=True)
class OperationIdNamespace:
    """Where the ids of one context's operations come from."""

    prefix: str | None = None

    def create_id_for_step(self, step: int) -> str:
        """The id of the context's operation number `step`: counted from 1, of a batch's
        branches from 0."""
        path = f"{self.prefix}-{step}" if self.prefix else str(step)
        return hashlib.blake2b(path.encode()).hexdigest()[:64]


@dataclass(frozen=True)
class OperationIdentifier:
    """What an operation must be again when its code runs again."""

    operation_id: str
    sub_type: str
    parent_id: str | None = None
    name: str | None = None
    operation_type: OperationType = field(kw_only=True)

    @property
    def type(self) -> OperationType:
        return self.operation_type

    def validate_checkpoint(self, checkpoint: Operation | None) -> None:
        """Raises NonDeterministicExecutionError when `checkpoint` is another operation."""
        if not isinstance(checkpoint, Operation):
            return
        compared: tuple[tuple[str, Any, Any], ...] = (
            ("type", checkpoint.operation_type.value, self.operation_type.value),
            ("subtype", checkpoint.sub_type, self.sub_type),
            ("name", checkpoint.name or None, self.name or None),
            ("parent_id", checkpoint.parent_id or None, self.parent_id or None),
        )
        different = [
            f"{what} checkpoint={recorded!r} current={current!r}"
            for what, recorded, current in compared
            if recorded != current
        ]
        if different:
            raise NonDeterministicExecutionError(
                f"Non-deterministic operation identity at id={self.operation_id!r}: "
                + ", ".join(different),
                self.operation_id,
            )
