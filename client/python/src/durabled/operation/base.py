"""What every operation has: a place, a record, a beginning and an end.

Each follows the same path. Its place is the next position of its context. What is recorded
there and terminal is returned; else the daemon is asked, and answers with what to do: run
the body, take the result, or unwind until something is due. A fresh step or context does
not wait for that answer, since it can only be `run`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from durabled import serdes as serdes_module
from durabled._drive import Answered, Need, Op
from durabled._protocol import Method
from durabled._session import TERMINAL, Operation, Session
from durabled.exceptions import (
    DurableOperationError,
    ExecutionError,
    InvocationError,
    SerDesError,
    SuspendExecution,
    raise_operation_error,
)
from durabled.identifier import OperationIdNamespace
from durabled.lambda_service import (
    ErrorObject,
    OperationStatus,
)
from durabled.plugin import (
    OperationStartInfo,
    OperationType,
    UserFunctionOutcome,
    UserFunctionStartInfo,
)

if TYPE_CHECKING:
    from durabled.context import BaseContext


def name_of(func: Callable[..., Any]) -> str | None:
    """The name that a decorator of ours gave a function; its own is none."""
    return getattr(func, "_original_name", None) or None


def call(
    session: Session, method: Method, id_: str | None, **params: Any
) -> Op[dict[str, Any]]:
    """Makes a call and waits for its answer."""
    answer: dict[str, Any] = yield Answered(session, session.post(method, **params), id_)
    return answer


def need(one: Need) -> Op[Any]:
    """An operation that is no more than one need."""
    return (yield one)


class Place:
    """One operation of a context: where it stands, what it is, what is recorded there."""

    def __init__(
        self,
        context: BaseContext,
        position: int,
        type_: str,
        sub_type: str,
        name: str | None,
        *,
        is_virtual: bool = False,
    ) -> None:
        self._context = context
        self._session = context._session
        self.position = position
        self.type = type_
        self.sub_type = sub_type
        self.name = name or None
        self.is_virtual = is_virtual
        self.id = OperationIdNamespace(context._id).create_id_for_step(position)
        self.found: Operation | None = self._session.cursor.at(context._id, position)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Around the operation. One that comes after its context was told to unwind does not
        begin: a body that runs ahead of the daemon's answer would run for nothing."""
        if self._context._unwound:
            raise SuspendExecution("the execution waits")
        try:
            with self._replay():
                yield
        except SuspendExecution:
            self._context._unwound = True
            raise

    @contextmanager
    def _replay(self) -> Iterator[None]:
        """Keeps the context's replay status: replaying ends before an operation that has no
        record or is a step that will really run, and after one that was open, or that
        nothing recorded follows."""
        context = self._context
        if not context._replaying:
            yield
            return
        if self.same and self.found and not self.is_virtual:
            self._session.told_of_replay(self.found)
        is_open = self.found is not None and self.found["Status"] not in TERMINAL
        if self.found is None or (is_open and self.found["Type"] == "STEP"):
            context._replaying = False
        try:
            yield
        finally:
            if context._replaying and (is_open or not context._recorded_at(self.position + 1)):
                context._replaying = False

    # -- the record -----------------------------------------------------------------------

    @property
    def same(self) -> bool:
        """Whether what is recorded is what the code asks for."""
        found = self.found
        return found is not None and (
            found["Type"],
            found.get("SubType"),
            found.get("Name"),
            found.get("ParentId"),
        ) == (self.type, self.sub_type, self.name, self._context._parent_id)

    @property
    def recorded(self) -> bool:
        """Whether the record has the outcome, so that nothing need be asked."""
        return self.same and self.found is not None and self.found["Status"] in TERMINAL

    @property
    def certainly_new(self) -> bool:
        """Whether its body may run before the daemon has answered."""
        return self.found is None and not self._session.cursor.gaps

    @property
    def details(self) -> Mapping[str, Any]:
        """What the record says beyond what all records do."""
        type_name = "".join(part.capitalize() for part in self.type.split("_"))
        return (self.found or {}).get(f"{type_name}Details") or {}

    def outcome(self) -> dict[str, Any]:
        """Of a terminal record, as an answer would tell it."""
        assert self.found is not None
        return {
            "status": self.found["Status"],
            "payload": self.details.get("Result"),
            "error": self.details.get("Error"),
        }

    def start(self, handle: int) -> dict[str, Any]:
        """The parameters of session.start that every type has."""
        return {
            "operation": handle,
            "context": self._context._handle,
            "position": self.position,
            "type": self.type,
            "sub_type": self.sub_type,
            "name": self.name,
        }

    # -- values ---------------------------------------------------------------------------

    def serialize(self, value: Any, serdes: Any) -> str | None:
        """A serdes of the user's may give None for no payload; else it must be text."""
        made: Any = serdes_module.serialize(serdes, value, self.id, self._session.arn)
        if made is None:
            return None
        if not isinstance(made, str):
            raise SerDesError(f"{type(serdes).__name__} gave {type(made).__name__}, not text")
        if not made.isascii():
            try:
                made.encode()
            except UnicodeEncodeError as error:
                raise SerDesError(f"what {type(serdes).__name__} gave: {error}") from error
        return made

    def deserialize(self, payload: str | None, serdes: Any) -> Any:
        """No payload is no value, whatever the serdes."""
        if payload is None:
            return None
        return serdes_module.deserialize(serdes, payload, self.id, self._session.arn)

    def value(
        self, outcome: Mapping[str, Any], serdes: Any, wrapper: type[DurableOperationError]
    ) -> Any:
        """The value of a terminal operation, or the error it is raised as."""
        self.tell_ended()
        if outcome["status"] != "SUCCEEDED":
            raise_operation_error(wrapper, outcome.get("error"))
        return self.deserialize(outcome.get("payload"), serdes)

    # -- what plugins are told ------------------------------------------------------------

    def _told(self) -> dict[str, Any]:
        return {
            "operation_id": self.id,
            "operation_type": OperationType(self.type),
            "sub_type": self.sub_type,
            "name": self.name,
            "parent_id": self._context._parent_id,
        }

    def tell_started(self, *, again: bool = False) -> None:
        """Before the daemon is told to start it. `again`: another attempt."""
        plugins = self._session.plugins
        status = self.found["Status"] if self.found else None
        if not plugins.has_plugins or not (again or status in (None, "READY")):
            return
        plugins.execute_plugins(
            OperationStartInfo(
                **self._told(),
                start_time=None,
                is_replayed=again or self.found is not None,
                status=OperationStatus.STARTED,
            )
        )

    def tell_ended(self) -> None:
        """Before its outcome is acted on."""
        if self._session.plugins.has_plugins:
            self._session.plugins.claim_end_hook(self.id)

    def around(
        self, body: Op[Any], attempt: int | None, *, replay_children: bool = False
    ) -> Op[Any]:
        """Runs a body, and tells of it."""
        plugins = self._session.plugins
        if not plugins.has_plugins:
            return (yield from body)
        start = UserFunctionStartInfo(
            **self._told(),
            start_time=datetime.datetime.now(datetime.UTC),
            is_replayed=False,
            status=OperationStatus.STARTED,
            is_replay_children=replay_children,
            attempt=attempt,
        )
        plugins.execute_plugins(start)
        outcome, error = UserFunctionOutcome.INCOMPLETE, None
        try:
            value = yield from body
            outcome = UserFunctionOutcome.SUCCEEDED
            return value
        except Exception as raised:
            outcome, error = UserFunctionOutcome.FAILED, ErrorObject.from_exception(raised)
            raise
        finally:
            plugins.on_user_function_end(start, error, outcome=outcome)


@contextmanager
def left_open(session: Session, handle: int, *, strand: bool = False) -> Iterator[None]:
    """A body that is left without an outcome is reported so: the daemon would wait for it,
    and for all below it. One that was told to unwind need not be, unless it has a strand
    of its own."""
    try:
        yield
    except BaseException as error:
        if strand or not isinstance(error, SuspendExecution):
            # The connection may be lost, and the session with it.
            with suppress(SuspendExecution):
                session.post("session.unwound", operation=handle)
        raise


def escapes(error: BaseException) -> bool:
    """Whether an error is about the execution or the invocation, and not an outcome."""
    if isinstance(error, InvocationError):
        return error.is_retryable()
    return isinstance(error, ExecutionError)
