"""Plugins: code that watches an execution, and can't disturb it.

A factory makes one plugin for each invocation. Its hooks are called on the thread that
does what they tell of; an exception that one raises is logged and ignored, unless it
tells the thread to stop. on_operation_change alone has a thread of its own, on which what
a slow plugin has not seen yet is merged.

An operation's on_operation_end is called before the operation returns to user code. What
ended without anybody asking (a callback that was never awaited) is told with the end of
the context that it belongs to, at the latest before on_invocation_end.
"""

from __future__ import annotations

import contextlib
import copy
import datetime
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Protocol

from durabled.lambda_service import (
    DurableExecutionInvocationOutput,
    ErrorObject,
    Operation,
    OperationStatus,
)

logger = logging.getLogger(__name__)


class InvocationStatus(Enum):
    """How an invocation ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    PENDING = "PENDING"
    RETRY = "RETRY"


class OperationType(Enum):
    """What an operation is."""

    EXECUTION = "EXECUTION"
    CONTEXT = "CONTEXT"
    STEP = "STEP"
    WAIT = "WAIT"
    CALLBACK = "CALLBACK"
    CHAINED_INVOKE = "CHAINED_INVOKE"


class UserFunctionOutcome(Enum):
    """How a body ended; INCOMPLETE: it was left to go on another time."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    INCOMPLETE = "INCOMPLETE"

    @classmethod
    def from_error(cls, error: ErrorObject | None) -> UserFunctionOutcome:
        return cls.SUCCEEDED if error is None else cls.FAILED


_TERMINAL = frozenset(
    (
        OperationStatus.SUCCEEDED,
        OperationStatus.FAILED,
        OperationStatus.TIMED_OUT,
        OperationStatus.CANCELLED,
        OperationStatus.STOPPED,
    )
)


def _copied(error: ErrorObject | None) -> ErrorObject | None:
    """Of the plugin's own, so that what it does to the list stays with it."""
    return copy.deepcopy(error)


def _details(operation: Operation, what: str) -> Any:
    """`result` or `error` of the details that the operation has."""
    for details in (
        operation.step_details,
        operation.callback_details,
        operation.chained_invoke_details,
        operation.context_details,
    ):
        found = getattr(details, what, None)
        if found is not None:
            return found
    return None


@dataclass(frozen=True)
class OperationInfo:
    """An operation as a plugin sees it. `sub_type` is a plain text, `result` serialised."""

    operation_id: str
    operation_type: OperationType
    sub_type: str | None
    name: str | None
    parent_id: str | None
    start_time: datetime.datetime | None
    is_replayed: bool
    status: OperationStatus
    end_time: datetime.datetime | None = field(default=None, kw_only=True)
    result: str | None = field(default=None, kw_only=True)
    error: ErrorObject | None = field(default=None, kw_only=True)
    attempt: int | None = field(default=None, kw_only=True)

    @staticmethod
    def from_operation(operation: Operation, *, is_replayed: bool = False) -> OperationInfo:
        return OperationInfo(**_told(operation, is_replayed))


def _told(operation: Operation, is_replayed: bool = False) -> dict[str, Any]:
    return {
        "operation_id": operation.operation_id,
        "operation_type": OperationType(operation.operation_type.value),
        "sub_type": operation.sub_type,
        "name": operation.name,
        "parent_id": operation.parent_id,
        "start_time": operation.start_timestamp,
        "end_time": operation.end_timestamp,
        "is_replayed": is_replayed,
        "status": operation.status,
        "result": _details(operation, "result"),
        "error": _copied(_details(operation, "error")),
        "attempt": operation.step_details.attempt if operation.step_details else None,
    }


@dataclass(frozen=True)
class OperationStartInfo(OperationInfo):
    """An operation starts, or is found open on replay."""


@dataclass(frozen=True)
class OperationEndInfo(OperationInfo):
    """An operation has ended."""


@dataclass(frozen=True)
class OperationChangeInfo:
    """What a checkpoint changed, and all operations after it."""

    execution_arn: str | None
    updated_operations: dict[str, OperationInfo]
    operations: dict[str, OperationInfo]


@dataclass(frozen=True)
class UserFunctionStartInfo(OperationInfo):
    """A body begins. `is_replay_children`: only to have its large result again."""

    is_replay_children: bool = False


@dataclass(frozen=True)
class UserFunctionEndInfo(OperationInfo):
    """A body ended."""

    is_replay_children: bool
    outcome: UserFunctionOutcome

    @classmethod
    def from_start_info(
        cls,
        start_info: UserFunctionStartInfo,
        error: ErrorObject | None,
        *,
        outcome: UserFunctionOutcome | None = None,
    ) -> UserFunctionEndInfo:
        told = {one.name: getattr(start_info, one.name) for one in fields(start_info)}
        told |= {
            "outcome": outcome or UserFunctionOutcome.from_error(error),
            "end_time": datetime.datetime.now(datetime.UTC),
            "error": error,
        }
        return cls(**told)


@dataclass(frozen=True)
class InvocationInfo:
    """`operations`: all of the execution, as they stand when the hook is called. What is the
    customer's data is neither printed nor compared."""

    request_id: str | None
    execution_arn: str | None
    is_first_invocation: bool
    execution_start_time: datetime.datetime | None = None
    execution_input: Any = field(
        default=None, kw_only=True, repr=False, compare=False, hash=False
    )
    operations: dict[str, OperationInfo] = field(
        default_factory=dict, kw_only=True, repr=False, compare=False, hash=False
    )


@dataclass(frozen=True)
class InvocationStartInfo(InvocationInfo):
    """`updated_operations`: what changed since the last invocation."""

    updated_operations: dict[str, OperationInfo] = field(
        default_factory=dict, kw_only=True, repr=False, compare=False, hash=False
    )


@dataclass(frozen=True)
class InvocationEndInfo(InvocationInfo):
    """`execution_result`: JSON text; None unless the execution succeeded."""

    status: InvocationStatus = field(kw_only=True)
    error: ErrorObject | None = field(default=None)
    execution_result: str | None = field(
        default=None, kw_only=True, repr=False, compare=False, hash=False
    )

    @classmethod
    def from_durable_execution_invocation_output(
        cls,
        invocation_start_info: InvocationStartInfo,
        output: DurableExecutionInvocationOutput,
        operations: dict[str, OperationInfo] | None = None,
    ) -> InvocationEndInfo:
        told = {one.name: getattr(invocation_start_info, one.name) for one in _INVOCATION}
        if operations is not None:
            told["operations"] = operations
        return cls(
            **told,
            status=InvocationStatus(output.status.value),
            error=output.error,
            execution_result=output.result,
        )


_INVOCATION = fields(InvocationInfo)


@dataclass(frozen=True)
class PropagationInput:
    """A function that is about to be invoked."""

    execution_arn: str
    operation_id: str
    target_function_name: str
    parent_operation_id: str | None = None


@dataclass(frozen=True)
class PropagationMetadata:
    """What goes with the invocation."""

    x_amzn_trace_id: str | None = None


class DurableInstrumentationPlugin:
    """Does nothing; override what you need."""

    def provide_propagation_metadata(
        self, info: PropagationInput
    ) -> PropagationMetadata | None:
        """What is to go with an invoked function."""
        return None

    def on_invocation_start(self, info: InvocationStartInfo) -> None:
        """Before the handler."""

    def on_invocation_end(self, info: InvocationEndInfo) -> None:
        """After all else."""

    def on_operation_start(self, info: OperationStartInfo) -> None:
        """Before an operation starts, and when replay meets one that is open."""

    def on_operation_end(self, info: OperationEndInfo) -> None:
        """Before an ended operation returns to user code."""

    def on_operation_change(self, info: OperationChangeInfo) -> None:
        """After checkpoints, on a thread of its own."""

    def on_user_function_start(self, info: UserFunctionStartInfo) -> None:
        """Before a body."""

    def on_user_function_end(self, info: UserFunctionEndInfo) -> None:
        """After a body."""


class DurableInstrumentationPluginFactory(Protocol):
    """Makes the plugin of one invocation."""

    def create_plugin(self, info: InvocationStartInfo, /) -> DurableInstrumentationPlugin: ...


_HOOKS: dict[type, str] = {
    InvocationStartInfo: "on_invocation_start",
    InvocationEndInfo: "on_invocation_end",
    OperationStartInfo: "on_operation_start",
    OperationEndInfo: "on_operation_end",
    OperationChangeInfo: "on_operation_change",
    UserFunctionStartInfo: "on_user_function_start",
    UserFunctionEndInfo: "on_user_function_end",
}

# These tell the thread to stop, whoever raises them.
_CONTROL = (KeyboardInterrupt, SystemExit, GeneratorExit)


def _contain(error: BaseException, message: str, *args: object) -> BaseException | None:
    """Logs what a plugin raised; gives what must be raised all the same."""
    control: BaseException | None = None
    rest: BaseException | None = error
    if isinstance(error, BaseExceptionGroup):
        control, rest = error.split(_CONTROL)
    elif isinstance(error, _CONTROL):
        control, rest = error, None
    if rest is not None:
        logger.error(message, *args, exc_info=rest)
    return control


def _name_of(value: object) -> str:
    """Of a factory, by its class: a failing one must not be asked."""
    try:
        return (value if isinstance(value, type) else type(value)).__qualname__
    except BaseException:
        return "<unnamed>"


class PluginExecutor:
    """The plugins of one invocation, and what they have been told."""

    def __init__(self, plugins: Sequence[DurableInstrumentationPluginFactory] | None) -> None:
        self._factories = list(plugins or [])
        self._plugins: list[DurableInstrumentationPlugin] = []
        self._started: list[DurableInstrumentationPlugin] = []
        self._start_info: InvocationStartInfo | None = None
        self._operations: Callable[[], Mapping[str, Operation]] = dict
        self._entered = False
        self._ends = _Ends(self.execute_plugins)
        self._changes = _Changes(self.execute_plugins)

    @property
    def has_plugins(self) -> bool:
        return bool(self._factories)

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """The scope of the invocation; once only."""
        if self._entered:
            raise RuntimeError(
                "PluginExecutor.run() is single-use: this executor has already served an "
                "invocation. Build one executor per invocation."
            )
        self._entered = True
        try:
            yield
        finally:
            self._finish()
            self._plugins, self._started, self._start_info = [], [], None

    # -- the invocation -------------------------------------------------------------

    def on_invocation_start(
        self,
        execution_arn: str,
        is_first_invocation: bool,
        execution_start_time: datetime.datetime | None,
        lambda_context: Any,
        execution_input: Any = None,
        operations_provider: Callable[[], Mapping[str, Operation]] | None = None,
        updated_operation_ids: Iterable[str] | None = None,
    ) -> None:
        """Makes the plugins and tells them."""
        if not self._factories:
            return
        self._operations = operations_provider or dict
        operations = self._snapshot()
        self._start_info = InvocationStartInfo(
            getattr(lambda_context, "aws_request_id", None),
            execution_arn,
            is_first_invocation,
            execution_start_time,
            execution_input=_private_copy(execution_input),
            operations=operations,
            updated_operations={
                id_: operations[id_] for id_ in updated_operation_ids or () if id_ in operations
            },
        )
        self._create(self._start_info)
        self.execute_plugins(self._start_info)

    def on_invocation_end(self, output: DurableExecutionInvocationOutput) -> None:
        """Tells all that is left to tell, and then the end."""
        if self._start_info is None:
            return
        held: BaseException | None = None
        try:
            self._finish()
        except BaseException as control:
            held = control
        self.execute_plugins(
            InvocationEndInfo.from_durable_execution_invocation_output(
                self._start_info, output, self._snapshot()
            )
        )
        if held is not None:
            raise held

    def _finish(self) -> None:
        try:
            self._ends.drain()
        finally:
            self._changes.close()

    def _snapshot(self) -> dict[str, OperationInfo]:
        try:
            return {
                id_: OperationInfo.from_operation(operation)
                for id_, operation in self._operations().items()
            }
        except Exception:
            logger.exception("Failed to snapshot operations for plugin hook")
            return {}

    def _create(self, info: InvocationStartInfo) -> None:
        for factory in self._factories:
            name = _name_of(factory)
            try:
                plugin: Any = factory.create_plugin(info)
                is_plugin = isinstance(plugin, DurableInstrumentationPlugin)
            except BaseException as error:
                control = _contain(error, "Plugin factory %s exception ignored", name)
                if control is not None:
                    raise control from None
                continue
            if plugin is None:
                logger.error("Plugin factory %s returned None; plugin ignored", name)
            elif not is_plugin:
                logger.error(
                    "Plugin factory %s returned %s, which is not a "
                    "DurableInstrumentationPlugin; plugin ignored",
                    name,
                    _name_of(type(plugin)),
                )
            else:
                self._plugins.append(plugin)

    # -- operations -------------------------------------------------------------------

    def on_user_function_end(
        self,
        start_info: UserFunctionStartInfo,
        error: ErrorObject | None,
        *,
        outcome: UserFunctionOutcome | None = None,
    ) -> None:
        self.execute_plugins(
            UserFunctionEndInfo.from_start_info(start_info, error, outcome=outcome)
        )

    def on_operation_replay(self, operation: Operation) -> None:
        """Replay has met an operation."""
        if operation.status not in _TERMINAL:
            told = _told(operation, is_replayed=True)
            for unset in ("end_time", "result", "error", "attempt"):
                told[unset] = None
            self.execute_plugins(OperationStartInfo(**told))

    def on_operation_update(self, operation: Operation) -> None:
        """Replay has met an operation that changed since the last invocation."""
        if operation.status in _TERMINAL:
            self._ends.record([OperationEndInfo(**_told(operation))])
            self._ends.claim(operation.operation_id)

    def record(self, changed: Sequence[Operation], before: Mapping[str, Operation]) -> None:
        """A checkpoint was acknowledged; `before` is how its operations stood. The reader of
        the connection calls this, so it runs no hook."""
        ended = [one for one in changed if one.status in _TERMINAL]
        self._ends.record([OperationEndInfo(**_told(one)) for one in ended])
        updated = {
            one.operation_id: OperationInfo.from_operation(one)
            for one in changed
            if one.operation_id not in before
            or before[one.operation_id].status is not one.status
        }
        if updated and self._start_info:
            arn = self._start_info.execution_arn
            self._changes.submit(OperationChangeInfo(arn, updated, self._snapshot()))

    def claim_end_hook(self, operation_id: str) -> None:
        """Somebody is about to act on the end of an operation: its hook comes first."""
        self._ends.claim(operation_id)

    # -- dispatch -----------------------------------------------------------------------

    def execute_plugins(self, info: object, *, finish_fan_out: bool = False) -> None:
        """Calls the hook that `info` is for, of every plugin that was told of the start."""
        starting = isinstance(info, InvocationStartInfo)
        to_the_end = finish_fan_out or isinstance(info, InvocationEndInfo)
        held: BaseException | None = None
        for plugin in self._plugins if starting else self._started:
            if starting:
                # Before its hook: one that fails half-way still has something to end.
                self._started.append(plugin)
            try:
                getattr(plugin, _HOOKS[type(info)])(info)
            except BaseException as error:
                name = type(plugin).__name__
                control = _contain(error, "Plugin %s exception ignored", name)
                if control is not None and not to_the_end:
                    raise control from None
                held = held or control
        if held is not None:
            raise held


def _private_copy(value: Any) -> Any:
    """The handler and the plugins must not see each other's changes."""
    try:
        return copy.deepcopy(value)
    except Exception:
        logger.exception("Failed to copy execution input for plugins; omitting plugin input")
        return None


class _Ends:
    """The ends of operations that no plugin has been told of yet. Each is told once, by
    whoever observes it first; others who observe it wait until that is done."""

    def __init__(self, tell: Callable[[OperationEndInfo], None]) -> None:
        self._tell = tell
        self._lock = threading.Condition()
        self._untold: dict[str, OperationEndInfo] = {}
        self._telling: set[str] = set()
        self._told: set[str] = set()
        self._inside = threading.local()

    def record(self, ended: Iterable[OperationEndInfo]) -> None:
        with self._lock:
            for info in ended:
                id_ = info.operation_id
                if id_ not in self._told and id_ not in self._telling:
                    self._untold[id_] = info

    def claim(self, operation_id: str) -> None:
        # A hook that looks at an operation is not made to wait for another hook.
        if getattr(self._inside, "hook", False):
            return
        with self._lock:
            self._lock.wait_for(lambda: operation_id not in self._telling)
            if operation_id not in self._untold:
                return
            claimed = self._take(operation_id)
        self._run(claimed)

    def drain(self) -> None:
        """Tells all that is left; nobody records any more."""
        held: BaseException | None = None
        while True:
            with self._lock:
                first = next(iter(self._untold), None)
                if first is None:
                    break
                claimed = self._take(first)
            try:
                self._run(claimed)
            except BaseException as control:
                held = held or control
        if held is not None:
            raise held

    def _take(self, root: str) -> list[OperationEndInfo]:
        """The end of `root` and those below it, the deepest first."""
        taken = [self._untold.pop(root)]
        for above in taken:
            below = [i for i in self._untold.values() if i.parent_id == above.operation_id]
            for info in below:
                taken.append(self._untold.pop(info.operation_id))
        self._telling.update(info.operation_id for info in taken)
        return taken[::-1]

    def _run(self, claimed: list[OperationEndInfo]) -> None:
        self._inside.hook = True
        try:
            for info in claimed:
                self._tell(info)
        finally:
            self._inside.hook = False
            with self._lock:
                ids = {info.operation_id for info in claimed}
                self._telling -= ids
                self._told |= ids
                self._lock.notify_all()


class _Changes:
    """The thread of on_operation_change. What is submitted while it is busy is merged."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._condition = threading.Condition()
        self._pending: OperationChangeInfo | None = None
        self._closing = False
        self._thread: threading.Thread | None = None

    def submit(self, info: OperationChangeInfo) -> None:
        with self._condition:
            if self._pending is not None:
                updated = {**self._pending.updated_operations, **info.updated_operations}
                info = OperationChangeInfo(info.execution_arn, updated, info.operations)
            self._pending = info
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="durabled-plugin-change", daemon=True
                )
                self._thread.start()
            self._condition.notify()

    def close(self) -> None:
        """Returns when all is told."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._pending or self._closing)
                info, self._pending = self._pending, None
            if info is None:
                return
            try:
                self._tell(info, finish_fan_out=True)
            except BaseException:
                logger.exception(
                    "Plugin on_operation_change hook raised on the plugin change thread; "
                    "ignored"
                )
