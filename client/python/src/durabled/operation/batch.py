"""parallel and map: branches beside each other, in one context.

The daemon decides which branch starts when, and when the batch has ended; the coordinator
here starts what it is told to, asks the user's predicate, and puts the result together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from durabled._crew import Crew, Pool
from durabled._drive import Answered, Joined, Op, Spawned
from durabled._session import TERMINAL
from durabled._wire import Reply
from durabled.concurrency.models import (
    BatchItem,
    BatchResult,
    CompletionPolicy,
    CompletionReason,
    CompletionRecord,
    envelope_summary_generator,
)
from durabled.config import (
    BatchItemStatus,
    CompletionItemStatus,
    MapConfig,
    NestingType,
    ParallelBranch,
    ParallelConfig,
)
from durabled.exceptions import (
    DurableOperationError,
    NonDeterministicExecutionError,
    SuspendExecution,
)
from durabled.lambda_service import ErrorObject
from durabled.operation.base import Place, escapes, name_of
from durabled.operation.child import Child, body_of

if TYPE_CHECKING:
    from durabled.context import BaseContext


@dataclass(frozen=True)
class Branch:
    """One branch: what it runs, on which item, and the name that it was given."""

    func: Callable[..., Any]
    args: tuple[Any, ...] = ()
    name: str | None = None


@dataclass(frozen=True)
class _Kind:
    sub_type: str
    branch_sub_type: str
    branch_name: str
    result_type: str


_MAP = _Kind("Map", "MapIteration", "map-item-", "MapResult")
_PARALLEL = _Kind("Parallel", "ParallelBranch", "parallel-branch-", "ParallelResult")

Config = MapConfig[Any] | ParallelConfig


def map_(
    context: BaseContext,
    inputs: Sequence[Any],
    func: Callable[..., Any],
    name: str | None,
    config: MapConfig[Any] | None,
) -> Op[BatchResult[Any]]:
    config = config or MapConfig()
    namer = config.item_namer

    def branches() -> list[Branch]:
        return [
            Branch(func, (item, index, inputs), namer(item, index) if namer else None)
            for index, item in enumerate(inputs)
        ]

    return _batch(context, _MAP, name or name_of(func), config, len(inputs), branches)


def parallel(
    context: BaseContext,
    functions: Sequence[Callable[[Any], Any] | ParallelBranch[Any]],
    name: str | None,
    config: ParallelConfig | None,
) -> Op[BatchResult[Any]]:
    def branches() -> list[Branch]:
        return [
            Branch(one.func, name=one.name) if isinstance(one, ParallelBranch) else Branch(one)
            for one in functions
        ]

    config = config or ParallelConfig()
    return _batch(context, _PARALLEL, name, config, len(functions), branches)


def _batch(
    context: BaseContext,
    kind: _Kind,
    name: str | None,
    config: Config,
    total: int,
    branches: Callable[[], list[Branch]],
) -> Op[BatchResult[Any]]:
    config.completion_config.check_total(total)
    place = context._next("CONTEXT", kind.sub_type, name)

    def body(child: BaseContext, answer: Mapping[str, Any]) -> Op[BatchResult[Any]]:
        return _Coordinator(child, kind, config, branches()).op(answer)

    limits = config.completion_config
    wanted = {
        "total": total,
        "max_concurrency": config.max_concurrency,
        "min_successful": limits.min_successful,
        "tolerated_failure_count": limits.tolerated_failure_count,
        "tolerated_failure_percentage": limits.tolerated_failure_percentage,
        "ask": True if limits.should_complete else None,
        "sub_type": kind.branch_sub_type,
        "virtual": True if config.nesting_type is NestingType.FLAT else None,
    }
    if wanted["tolerated_failure_percentage"] is not None:
        wanted["tolerated_failure_percentage"] = float(wanted["tolerated_failure_percentage"])
    return Child(
        context,
        place,
        body,
        serdes=config.serdes,
        summary_generator=envelope_summary_generator(
            kind.result_type, config.summary_generator
        ),
        start={"batch": {key: value for key, value in wanted.items() if value is not None}},
    ).op()


class _Coordinator:
    """Runs one batch in `context`, which is the batch's own."""

    def __init__(
        self, context: BaseContext, kind: _Kind, config: Config, branches: list[Branch]
    ) -> None:
        self._context = context
        self._session = context._session
        self._kind = kind
        self._config = config
        self._branches = branches
        self._is_flat = config.nesting_type is NestingType.FLAT
        self._policy = CompletionPolicy.from_config(len(branches), config.completion_config)
        self._progress = _Progress(branches)
        self._spawned: dict[int, Reply] = {}
        self._ended: dict[int, BatchItem[Any]] = {}
        self._lock = threading.Lock()
        self._parked: Reply | None = None
        self._fatal: BaseException | None = None

    def op(self, answer: Mapping[str, Any]) -> Op[BatchResult[Any]]:
        if answer.get("replay_children"):
            return (yield from self._rebuild(answer.get("payload")))
        if not self._branches:
            return BatchResult([], self._policy.reason(0, 0))
        crew = self._session.crew
        pool = crew.pool(self._config.max_concurrency or len(self._branches))
        try:
            return (yield from self._coordinate(crew, pool))
        finally:
            pool.close()

    def _coordinate(self, crew: Crew, pool: Pool) -> Op[BatchResult[Any]]:
        complete = None
        while True:
            answer = yield from self._ask(complete)
            if answer["outcome"] == "ready":
                return (yield from self._result(answer))
            if answer["outcome"] == "run":
                for index in answer["branches"]:
                    self._progress.apply({"index": index, "status": "STARTED"})
                    op = self._run_branch(index)
                    self._spawned[index] = yield Spawned(crew, pool, op)
            else:
                complete = self._decide(answer["changes"])

    def _ask(self, complete: str | None) -> Op[dict[str, Any]]:
        """What is next. A branch that ends the whole batch cuts the question short."""
        reply = self._session.post(
            "session.batch", operation=self._context._handle, complete=complete
        )
        with self._lock:
            self._parked = reply
            if self._fatal:
                reply.put(None)
        try:
            answer: dict[str, Any] = yield Answered(self._session, reply)
        finally:
            if self._fatal:
                raise self._fatal
        return answer

    def _abort(self, error: BaseException) -> None:
        with self._lock:
            self._fatal = self._fatal or error
            if self._parked:
                self._parked.put(None)

    def _decide(self, changes: list[dict[str, Any]]) -> str | None:
        """The predicate's word, asked once after each change."""
        for change in changes:
            self._progress.apply(change)
            decision = self._policy.evaluate(
                self._progress.succeeded, self._progress.failed, self._progress.items()
            )
            if decision and decision.complete:
                assert decision.outcome is not None
                return decision.outcome.value
        return None

    # -- branches ---------------------------------------------------------------------------

    def _place(self, index: int) -> Place:
        name = self._branches[index].name
        return Place(
            self._context,
            index,
            "CONTEXT",
            self._kind.branch_sub_type,
            f"{self._kind.branch_name}{index}" if name is None else name,
            is_virtual=self._is_flat,
        )

    def _child(self, place: Place, *, strand: bool) -> Child:
        branch = self._branches[place.position]
        if place.found and place.same and self._context._replaying:
            self._session.told_of_replay(place.found)
        return Child(
            self._context,
            place,
            body_of(branch.func, *branch.args),
            serdes=self._config.item_serdes or self._config.serdes,
            kind=self._context._kind_for(branch.func),
            strand=strand,
        )

    def _run_branch(self, index: int) -> Op[None]:
        """On a thread or task of its own; must not raise."""
        try:
            self._ended[index] = yield from self._item(self._place(index), strand=True)
        except SuspendExecution:
            pass  # it goes on in another invocation, or is not wanted any more
        except GeneratorExit:
            raise
        except BaseException as error:
            self._abort(error)

    def _item(self, place: Place, *, strand: bool) -> Op[BatchItem[Any]]:
        """What a branch ends as. What is about the execution or the invocation is raised."""
        index = place.position
        try:
            value = yield from self._child(place, strand=strand).run()
        except Exception as error:
            if escapes(error):
                raise
            return BatchItem(index, BatchItemStatus.FAILED, error=_recorded(error))
        return BatchItem(index, BatchItemStatus.SUCCEEDED, value)

    # -- the result -------------------------------------------------------------------------

    def _result(self, answer: Mapping[str, Any]) -> Op[BatchResult[Any]]:
        items: list[BatchItem[Any]] = []
        for index, letter in enumerate(answer["items"]):
            if letter == "T":
                items.append(BatchItem(index, BatchItemStatus.STARTED))
                continue
            if index in self._spawned:
                yield Joined(self._spawned[index])
            if index not in self._ended:  # it ended in an earlier invocation
                item = yield from self._item(self._place(index), strand=False)
                self._ended[index] = item
            items.append(self._ended.pop(index))
        if self._fatal:
            raise self._fatal
        return BatchResult(items, CompletionReason(answer["reason"]))

    def _rebuild(self, payload: str | None) -> Op[BatchResult[Any]]:
        """The result again, of a batch whose result was too large to be recorded."""
        record = CompletionRecord.from_summary_payload(payload)
        started_total = record.started_total if record else len(self._branches)
        items: list[BatchItem[Any]] = []
        for index in range(min(started_total, len(self._branches))):
            place = self._place(index)
            if self._is_flat and place.found is not None:
                raise self._nesting(
                    place,
                    "checkpoint contains a NESTED branch context but current nesting is FLAT",
                )
            status = place.found["Status"] if place.found else None
            is_open = index in record.started_indexes if record else status not in TERMINAL
            if is_open:
                items.append(BatchItem(index, BatchItemStatus.STARTED))
                continue
            if not self._is_flat and status not in TERMINAL:
                raise self._nesting(
                    place,
                    "recorded terminal branch requires a terminal NESTED branch context "
                    f"checkpoint, got status={status!r}",
                )
            items.append((yield from self._item(place, strand=False)))
        if record:
            return BatchResult(items, record.completion_reason)
        return BatchResult.from_items(items, self._config.completion_config)

    @staticmethod
    def _nesting(place: Place, what: str) -> NonDeterministicExecutionError:
        return NonDeterministicExecutionError(
            f"Non-deterministic branch nesting at id={place.id!r}: {what}", place.id
        )


def _recorded(error: Exception) -> ErrorObject:
    """What the branch failed with, rather than the ChildContextError that says so."""
    if isinstance(error, DurableOperationError):
        return ErrorObject(error.message, error.error_type, error.data, error.stack_trace)
    return ErrorObject.from_exception(error)


class _Progress:
    """Where the branches stand, as the predicate sees it. Each branch keeps its few changes
    with their numbers, so that a view of one moment costs nothing to make."""

    def __init__(self, branches: Sequence[Branch]) -> None:
        self._names = [branch.name for branch in branches]
        self._changes: dict[int, list[tuple[int, BatchItemStatus]]] = {}
        self._moment = 0
        self.succeeded = 0
        self.failed = 0

    def apply(self, change: Mapping[str, Any]) -> None:
        """The first one has no index: nothing runs yet."""
        index = change.get("index")
        if index is None:
            return
        status = BatchItemStatus(change["status"])
        self._moment += 1
        self._changes.setdefault(index, []).append((self._moment, status))
        self.succeeded += status is BatchItemStatus.SUCCEEDED
        self.failed += status is BatchItemStatus.FAILED

    def items(self) -> Sequence[CompletionItemStatus]:
        return _View(self, self._moment)

    def at(self, index: int, moment: int) -> CompletionItemStatus:
        status = None
        for number, changed in self._changes.get(index, ()):
            if number <= moment:
                status = changed
        return CompletionItemStatus(index, self._names[index], status)

    def __len__(self) -> int:
        return len(self._names)


class _View(Sequence[CompletionItemStatus]):
    def __init__(self, progress: _Progress, moment: int) -> None:
        self._progress = progress
        self._moment = moment

    def __len__(self) -> int:
        return len(self._progress)

    @overload
    def __getitem__(self, index: int) -> CompletionItemStatus: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[CompletionItemStatus, ...]: ...
    def __getitem__(
        self, index: int | slice
    ) -> CompletionItemStatus | tuple[CompletionItemStatus, ...]:
        places = range(len(self))[index]
        if isinstance(places, int):
            return self._progress.at(places, self._moment)
        return tuple(self._progress.at(place, self._moment) for place in places)

    def __iter__(self) -> Iterator[CompletionItemStatus]:
        return (self._progress.at(place, self._moment) for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))
