"""invoke: another function, durable or not, run by whoever serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durabled._drive import Awaited, Op
from durabled.config import InvokeConfig
from durabled.exceptions import InvokeError
from durabled.operation.base import Place, call
from durabled.serdes import DEFAULT_JSON_SERDES

if TYPE_CHECKING:
    from durabled.context import BaseContext


def invoke(
    context: BaseContext,
    function_name: str,
    payload: Any,
    name: str | None,
    config: InvokeConfig[Any, Any] | None,
) -> Op[Any]:
    place = context._next("CHAINED_INVOKE", "ChainedInvoke", name)
    return _invoke(context, place, function_name, payload, config or InvokeConfig())


def _invoke(
    context: BaseContext,
    place: Place,
    function_name: str,
    payload: Any,
    config: InvokeConfig[Any, Any],
) -> Op[Any]:
    session = context._session
    with place.turn():
        if place.recorded:
            outcome = place.outcome()
        else:
            params: dict[str, Any] = {"function": function_name, "tenant_id": config.tenant_id}
            if place.found is None:
                serdes = config.serdes_payload or DEFAULT_JSON_SERDES
                params["payload"] = place.serialize(payload, serdes)
            place.tell_started()
            handle = session.new_handle()
            outcome = yield from call(
                session, "session.start", place.id, **place.start(handle), **params
            )
            if outcome["outcome"] != "done":
                outcome = yield Awaited(context._strand, handle)
        return place.value(outcome, config.serdes_result or DEFAULT_JSON_SERDES, InvokeError)
