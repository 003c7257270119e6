"""wait: nothing runs until it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durabled._drive import Answered, Awaited, Op
from durabled.config import Duration
from durabled.exceptions import ValidationError
from durabled.operation.base import Place

if TYPE_CHECKING:
    from durabled.context import BaseContext


def wait(context: BaseContext, duration: Duration, name: str | None) -> Op[None]:
    if duration.to_seconds() < 1:
        raise ValidationError("duration must be at least 1 second")
    return _wait(context, context._next("WAIT", "Wait", name), duration.to_seconds())


def _wait(context: BaseContext, place: Place, seconds: int) -> Op[None]:
    session = context._session
    with place.turn():
        if not place.recorded:
            place.tell_started()
            handle = session.new_handle()
            start = session.post("session.start", **place.start(handle), seconds=seconds)
            yield Awaited(context._strand, handle, Answered(session, start, place.id))
        place.tell_ended()
