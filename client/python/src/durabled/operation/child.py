"""run_in_child_context, and what is built on it: a context of its own, recorded as one
operation."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from durabled._drive import Answered, Body, Op, current, on
from durabled._protocol import Method
from durabled._wire import Reply
from durabled.config import ChildConfig
from durabled.constants import CHECKPOINT_SIZE_LIMIT_BYTES
from durabled.exceptions import (
    ChildContextError,
    NonDeterministicExecutionError,
    error_object,
    raise_operation_error,
)
from durabled.lambda_service import ErrorObject, OperationStatus
from durabled.operation.base import Place, escapes, left_open, name_of, need
from durabled.plugin import OperationEndInfo

if TYPE_CHECKING:
    from durabled.context import BaseContext

ChildBody = Callable[["BaseContext", Mapping[str, Any]], Op[Any]]


def run_in_child_context(
    context: BaseContext,
    func: Callable[[Any], Any],
    name: str | None,
    config: ChildConfig[Any] | None,
) -> Op[Any]:
    kind = context._kind_for(func)
    return run_op_in_child_context(
        context, body_of(func), name or name_of(func), config, kind=kind
    )


def run_op_in_child_context(
    context: BaseContext,
    body: ChildBody,
    name: str | None,
    config: ChildConfig[Any] | None,
    *,
    kind: type[BaseContext] | None = None,
) -> Op[Any]:
    """The same for a body that is made of operations."""
    config = config or ChildConfig()
    place = context._next(
        "CONTEXT",
        config.sub_type or "RunInChildContext",
        name,
        is_virtual=config.is_virtual,
    )
    child = Child(
        context,
        place,
        body,
        serdes=config.serdes,
        summary_generator=config.summary_generator,
        kind=kind,
    )
    return child.op()


def body_of(func: Callable[..., Any], *args: Any) -> ChildBody:
    """User code as the body of a context."""

    def body(child: BaseContext, _: Mapping[str, Any]) -> Op[Any]:
        return need(Body(child._session.crew, func, child, *args))

    return body


class Child:
    """One context below another.

    `body` is given the new context and what the daemon said to its start. `strand`: it runs
    beside its parent. `start`: more parameters of session.start.
    """

    def __init__(
        self,
        context: BaseContext,
        place: Place,
        body: ChildBody,
        *,
        serdes: Any = None,
        summary_generator: Callable[[Any], str] | None = None,
        kind: type[BaseContext] | None = None,
        strand: bool = False,
        start: Mapping[str, Any] | None = None,
    ) -> None:
        self._context = context
        self._session = context._session
        self._place = place
        self._body = body
        self._serdes = serdes
        self._summary_generator = summary_generator
        self._kind = kind or type(context)
        self._beside = strand
        # On a loop the parent may do other things meanwhile, so it has its own.
        self._own_strand = strand or context._is_async
        self._start_params = dict(start or {})
        self._handle = 0
        self._started: Reply | None = None

    def op(self) -> Op[Any]:
        with self._place.turn():
            return (yield from self.run())

    def run(self) -> Op[Any]:
        """The same where the place is no turn of the context's: a branch."""
        place = self._place
        if place.is_virtual and place.found is not None and place.same:
            raise NonDeterministicExecutionError(self._not_virtual(), place.id)
        if place.recorded and not place.details.get("ReplayChildren"):
            return place.value(place.outcome(), self._serdes, ChildContextError)
        answer = yield from self._start()
        if answer["outcome"] == "done":
            return place.value(answer, self._serdes, ChildContextError)
        lent = self._own_strand and not self._beside
        child = self._context._below(place, self._handle, self._kind)
        with (
            left_open(self._session, self._handle, strand=self._own_strand),
            current.get(self._context._strand).lent(self._handle) if lent else nullcontext(),
            on(child._strand),
        ):
            return (yield from self._run_body(child, answer))

    def _not_virtual(self) -> str:
        if self._beside:
            return (
                f"Non-deterministic branch nesting at id={self._place.id!r}: checkpoint "
                "contains a NESTED branch context but current nesting is FLAT"
            )
        return (
            f"Non-deterministic child context at id={self._place.id!r}: checkpoint contains "
            "a non-virtual child context but current child context is virtual"
        )

    def _start(self) -> Op[dict[str, Any]]:
        place = self._place
        self._handle = self._session.new_handle()
        if not place.is_virtual:
            place.tell_started()
        is_open = place.same and place.found and place.found["Status"] == "STARTED"
        ahead = bool(is_open or place.certainly_new)
        reply = self._session.post(
            "session.start",
            **place.start(self._handle),
            **self._start_params,
            virtual=place.is_virtual or None,
            strand=self._own_strand or None,
            ahead=ahead or None,
        )
        if ahead:
            self._started = reply
            return {"outcome": "run"}
        answer: dict[str, Any] = yield Answered(self._session, reply, place.id)
        return answer

    def _run_body(self, child: BaseContext, answer: Mapping[str, Any]) -> Op[Any]:
        place, replayed = self._place, bool(answer.get("replay_children"))
        try:
            attempt = 1 if place.found is None else None
            body = self._body(child, answer)
            value = yield from place.around(body, attempt, replay_children=replayed)
            payload = place.serialize(value, self._serdes)
            returned = place.deserialize(payload, self._serdes)
            recorded = not place.is_virtual and not replayed
            result = self._to_tell(value, payload, recorded=recorded)
        except Exception as error:
            if escapes(error):
                raise
            yield from self._failed(error_object(error))
        yield from self._close("session.succeed", **result)
        self._tell_ended(OperationStatus.SUCCEEDED, recorded=recorded)
        return returned

    def _to_tell(self, value: Any, payload: str | None, *, recorded: bool) -> dict[str, Any]:
        """A result that is too large is not recorded: its body runs again on replay."""
        if payload is None or not _is_large(payload):
            return {"payload": payload}
        if not recorded:
            return {}
        generate = self._summary_generator
        return {"summary": generate(value) if generate else "", "replay_children": True}

    def _failed(self, error: dict[str, Any]) -> Op[None]:
        answer = yield from self._close("session.fail", error=error)
        error = answer.get("error") or error
        self._tell_ended(
            OperationStatus.FAILED, recorded=not self._place.is_virtual, error=error
        )
        raise_operation_error(ChildContextError, error)

    def _close(self, how: Method, **params: Any) -> Op[dict[str, Any]]:
        reply = self._session.post(how, operation=self._handle, **params)
        if self._started:
            reply_to_start, self._started = self._started, None
            yield Answered(self._session, reply_to_start, self._place.id)
        answer: dict[str, Any] = yield Answered(self._session, reply, self._place.id)
        return answer

    def _tell_ended(
        self,
        status: OperationStatus,
        *,
        recorded: bool,
        error: dict[str, Any] | None = None,
    ) -> None:
        """Of an end that no checkpoint tells of, plugins are told here."""
        plugins = self._session.plugins
        if recorded or not plugins.has_plugins:
            self._place.tell_ended()
            return
        plugins.execute_plugins(
            OperationEndInfo(
                **self._place._told(),
                start_time=None,
                end_time=datetime.datetime.now(datetime.UTC),
                status=status,
                error=ErrorObject.from_dict(error) if error else None,
                is_replayed=self._place.found is not None,
            )
        )


def _is_large(payload: str) -> bool:
    limit = CHECKPOINT_SIZE_LIMIT_BYTES
    return len(payload) > limit or len(payload.encode()) > limit
