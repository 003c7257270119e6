"""What a batch gives, when it ends, and what is recorded of one that is too large."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar, cast

from durabled.config import (
    BatchItemStatus,
    CompletionConfig,
    CompletionDecision,
    CompletionItemStatus,
    CompletionOutcome,
    CompletionStatus,
)
from durabled.exceptions import (
    ChildContextError,
    DurableOperationError,
    register_operation_error,
)
from durabled.lambda_service import ErrorObject
from durabled.types import BatchResult as BatchResultProtocol
from durabled.types import SummaryGenerator

R = TypeVar("R")

_log = logging.getLogger("durabled")


class CompletionReason(Enum):
    """Why a batch ended."""

    ALL_COMPLETED = "ALL_COMPLETED"
    MIN_SUCCESSFUL_REACHED = "MIN_SUCCESSFUL_REACHED"
    FAILURE_TOLERANCE_EXCEEDED = "FAILURE_TOLERANCE_EXCEEDED"
    CUSTOM_COMPLETION_SUCCEEDED = "CUSTOM_COMPLETION_SUCCEEDED"
    CUSTOM_COMPLETION_FAILED = "CUSTOM_COMPLETION_FAILED"


class BatchCompletionError(DurableOperationError):
    """The batch's predicate ended it as failed, though no branch failed."""

    def __init__(
        self,
        completion_reason: CompletionReason = CompletionReason.CUSTOM_COMPLETION_FAILED,
        message: str | None = None,
        error_type: str | None = None,
        data: str | None = None,
        stack_trace: list[str] | None = None,
    ) -> None:
        said = message or (
            f"Batch completed as failed by should_complete ({completion_reason.value})"
        )
        super().__init__(said, error_type, data, stack_trace)
        self.completion_reason = completion_reason


register_operation_error(BatchCompletionError)


@dataclass(frozen=True)
class CompletionPolicy:
    """A CompletionConfig applied to a batch of `total` branches."""

    total: int
    min_successful: int | None = None
    tolerated_failure_count: int | None = None
    tolerated_failure_percentage: int | float | None = None
    should_complete: Callable[[CompletionStatus], CompletionDecision] | None = None

    @classmethod
    def from_config(cls, total: int, config: CompletionConfig | None) -> CompletionPolicy:
        return cls(total, **vars(config)) if config else cls(total)

    @property
    def has_criteria(self) -> bool:
        """Whether a threshold is given."""
        thresholds = (
            self.min_successful,
            self.tolerated_failure_count,
            self.tolerated_failure_percentage,
        )
        return any(threshold is not None for threshold in thresholds)

    def is_tolerance_exceeded(self, failed: int) -> bool:
        """Whether so many failures end the batch."""
        count, percentage = self.tolerated_failure_count, self.tolerated_failure_percentage
        if self.should_complete is not None:
            return False
        if not self.has_criteria:
            return failed > 0
        if count is not None and failed > count:
            return True
        if percentage is None or self.total == 0:
            return False
        return failed / self.total * 100 > percentage

    def should_continue(self, failed: int) -> bool:
        """Whether more branches may be started."""
        return not self.is_tolerance_exceeded(failed)

    def evaluate(
        self, succeeded: int, failed: int, items: Sequence[CompletionItemStatus] = ()
    ) -> CompletionDecision | None:
        """Asks the predicate; None without one."""
        if self.should_complete is None:
            return None
        return self.should_complete(
            CompletionStatus(succeeded, failed, succeeded + failed, self.total, items)
        )

    def is_complete(
        self,
        succeeded: int,
        failed: int,
        items: Sequence[CompletionItemStatus] = (),
        decision: CompletionDecision | None = None,
    ) -> bool:
        """Whether the batch has what it was started for. `decision`: what evaluate() gave,
        so that the predicate isn't asked again."""
        decision = decision or self.evaluate(succeeded, failed, items)
        if (decision and decision.complete) or succeeded + failed >= self.total:
            return True
        return self.min_successful is not None and succeeded >= self.min_successful

    def reason(
        self,
        succeeded: int,
        failed: int,
        items: Sequence[CompletionItemStatus] = (),
        decision: CompletionDecision | None = None,
    ) -> CompletionReason:
        """Why a batch with these counts has ended."""
        if self.is_tolerance_exceeded(failed):
            return CompletionReason.FAILURE_TOLERANCE_EXCEEDED
        decision = decision or self.evaluate(succeeded, failed, items)
        if decision and decision.complete:
            if decision.outcome is CompletionOutcome.FAILED:
                return CompletionReason.CUSTOM_COMPLETION_FAILED
            return CompletionReason.CUSTOM_COMPLETION_SUCCEEDED
        if succeeded + failed >= self.total:
            return CompletionReason.ALL_COMPLETED
        if self.min_successful is not None and succeeded >= self.min_successful:
            return CompletionReason.MIN_SUCCESSFUL_REACHED
        return CompletionReason.ALL_COMPLETED


@dataclass(frozen=True)
class BatchItem(Generic[R]):
    """One branch."""

    index: int
    status: BatchItemStatus
    result: R | None = None
    error: ErrorObject | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "status": self.status.value,
            "result": self.result,
            "error": self.error.to_dict() if self.error else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BatchItem[R]:
        error = ErrorObject.from_dict(data["error"]) if data.get("error") else None
        status = BatchItemStatus(data["status"])
        return cls(data["index"], status, data.get("result"), error)


@dataclass(frozen=True)
class BatchResult(BatchResultProtocol[R], Generic[R]):
    """The branches that were started, by index, and why the batch ended."""

    all: list[BatchItem[R]]
    completion_reason: CompletionReason

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], completion_config: CompletionConfig | None = None
    ) -> BatchResult[R]:
        items: list[BatchItem[R]] = [BatchItem.from_dict(item) for item in data["all"]]
        if data.get("completionReason") is not None:
            return cls(items, CompletionReason(data["completionReason"]))
        made = cls.from_items(items, completion_config)
        _log.warning(
            "a batch's result has no completionReason; taken as %s",
            made.completion_reason.value,
        )
        return made

    @classmethod
    def from_items(
        cls, items: list[BatchItem[R]], completion_config: CompletionConfig | None = None
    ) -> BatchResult[R]:
        """With the reason that these items, being all of the batch, give it."""
        made = cls(items, CompletionReason.ALL_COMPLETED)
        policy = CompletionPolicy.from_config(len(items), completion_config)
        seen = tuple(CompletionItemStatus(item.index, status=item.status) for item in items)
        return cls(items, policy.reason(made.success_count, made.failure_count, seen))

    def to_dict(self) -> dict[str, Any]:
        return {
            "all": [item.to_dict() for item in self.all],
            "completionReason": self.completion_reason.value,
        }

    def _with(self, status: BatchItemStatus) -> list[BatchItem[R]]:
        return [item for item in self.all if item.status is status]

    def succeeded(self) -> list[BatchItem[R]]:
        return self._with(BatchItemStatus.SUCCEEDED)

    def failed(self) -> list[BatchItem[R]]:
        return self._with(BatchItemStatus.FAILED)

    def started(self) -> list[BatchItem[R]]:
        """Those that had not ended when the batch had."""
        return self._with(BatchItemStatus.STARTED)

    @property
    def status(self) -> BatchItemStatus:
        """FAILED when a branch failed, unless a predicate decided."""
        if self.completion_reason is CompletionReason.CUSTOM_COMPLETION_SUCCEEDED:
            return BatchItemStatus.SUCCEEDED
        decided = self.completion_reason is CompletionReason.CUSTOM_COMPLETION_FAILED
        if decided or self.has_failure:
            return BatchItemStatus.FAILED
        return BatchItemStatus.SUCCEEDED

    @property
    def has_failure(self) -> bool:
        return self.failure_count > 0

    def throw_if_error(self) -> None:
        """Raises what the first failed branch failed with, as a ChildContextError."""
        for item in self.failed():
            if item.error is None:
                raise ChildContextError(
                    f"Batch item {item.index} failed without an ErrorObject."
                )
            item.error.raise_as_operation_error(ChildContextError)
        if self.completion_reason is CompletionReason.CUSTOM_COMPLETION_FAILED:
            raise BatchCompletionError(self.completion_reason)

    def get_results(self) -> list[R]:
        """What the branches gave that succeeded, None among it."""
        return [cast(R, item.result) for item in self.succeeded()]

    def get_errors(self) -> list[ErrorObject | None]:
        """What the branches failed with that failed."""
        return [item.error for item in self.failed()]

    @property
    def success_count(self) -> int:
        return len(self.succeeded())

    @property
    def failure_count(self) -> int:
        return len(self.failed())

    @property
    def started_count(self) -> int:
        return len(self.started())

    @property
    def total_count(self) -> int:
        return len(self.all)


@dataclass(frozen=True)
class CompletionRecord:
    """How a batch ended whose result was too large to be recorded: branches
    [0, started_total) were started, those in `started_indexes` had not ended."""

    completion_reason: CompletionReason
    started_total: int
    started_indexes: frozenset[int]

    @classmethod
    def from_summary_payload(cls, payload: str | None) -> CompletionRecord | None:
        """None when the text holds no such record."""
        try:
            data = json.loads(payload or "null")
            reason = CompletionReason(data["completionReason"])
            total = data["totalCount"]
            started, completed = data.get("startedIndexes"), data.get("completedIndexes")
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        if not _is_count(total):
            return None
        if isinstance(started, list) and _all_below(started, total):
            return cls(reason, total, frozenset(started))
        if isinstance(started, list) or not isinstance(completed, list):
            return None
        if not _all_below(completed, total):
            return None
        return cls(reason, total, frozenset(range(total)) - frozenset(completed))

    @staticmethod
    def summary_index_fields(items: list[BatchItem[Any]]) -> dict[str, list[int]]:
        """The indexes that a record needs: of the two sets the smaller."""
        started = [item.index for item in items if item.status is BatchItemStatus.STARTED]
        if 2 * len(started) <= len(items):
            return {"startedIndexes": started}
        others = [item.index for item in items if item.status is not BatchItemStatus.STARTED]
        return {"completedIndexes": others}

    @staticmethod
    def summary_envelope(
        result: BatchResult[Any], result_type: str, summary: str | None
    ) -> str:
        """What is recorded instead of `result`: the record, counts for a reader, and the
        text of the user's summary generator."""
        fields: dict[str, Any] = {
            "type": result_type,
            "totalCount": result.total_count,
            "completionReason": result.completion_reason.value,
            **CompletionRecord.summary_index_fields(result.all),
            "startedCount": result.started_count,
            "successCount": result.success_count,
            "failureCount": result.failure_count,
            "status": result.status.value,
        }
        if summary is not None:
            fields["summary"] = str(summary)
        return json.dumps(fields)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _all_below(indexes: Iterable[Any], total: int) -> bool:
    return all(_is_count(index) and index < total for index in indexes)


def envelope_summary_generator(
    result_type: str, custom_generator: SummaryGenerator[Any] | None
) -> SummaryGenerator[BatchResult[Any]]:
    """The summary generator of a batch; the user's only adds its text."""

    def generate(result: BatchResult[Any]) -> str:
        summary = custom_generator(result) if custom_generator else None
        return CompletionRecord.summary_envelope(result, result_type, summary)

    return generate
