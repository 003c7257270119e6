"""The handler's entry: from an invocation's event to what the function returns."""

from __future__ import annotations

import functools
import json
import logging
import threading
from collections.abc import Callable
from typing import Any, overload

from durabled._session import Session
from durabled._wire import CallError, Connection
from durabled.context import DurableContext
from durabled.exceptions import (
    InvocationError,
    SuspendExecution,
    error_object,
)
from durabled.logger import Logger
from durabled.types import LambdaContext

Handler = Callable[[Any, DurableContext], Any]

_shared_lock = threading.Lock()
_shared: list[Connection] = []


class InvocationFailedError(Exception):
    """The invocation, not the execution, failed: the function is to raise this."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("ErrorMessage") or error.get("ErrorType") or "failed")
        self.error = error


class DurableFunction:
    """A handler made durable: callable as a function of (event, lambda_context)."""

    def __init__(self, func: Handler) -> None:
        self._func = func
        functools.update_wrapper(self, func)

    def __call__(self, event: Any, lambda_context: LambdaContext | None = None) -> Any:
        """Attaches to the invocation that `event` describes; for Lambda's runtime."""
        request_id = getattr(lambda_context, "aws_request_id", None)
        text = event if isinstance(event, str) else json.dumps(event)
        output = self.invoke(_shared_connection(), text, lambda_context, request_id)
        return json.loads(output)

    def invoke(
        self,
        connection: Connection,
        event: str,
        lambda_context: LambdaContext | None = None,
        request_id: str | None = None,
        deadline_ms: int | None = None,
    ) -> str:
        """Runs one invocation. Returns the JSON text to return from the function; raises
        what the function is to raise, so that the invocation is retried."""
        session = Session(connection, event, request_id, deadline_ms)
        outcome, raised = self._run(session, lambda_context)
        try:
            ended = session.end(**outcome)
        except CallError as error:  # such as a result that no message can carry
            ended = session.end(error={"ErrorType": error.code, "ErrorMessage": error.message})
        if "raise" in ended:
            if raised is not None and "error" in outcome:
                raise raised
            raise InvocationFailedError(ended["raise"])
        output: str = ended["output"]
        return output

    def _run(
        self, session: Session, lambda_context: LambdaContext | None
    ) -> tuple[dict[str, Any], BaseException | None]:
        """What to tell session.end, and the exception it comes from."""
        logger = Logger(logging.getLogger(), {"executionArn": session.arn}, copy=session.log)
        context = DurableContext(
            session, logger, lambda_context, replaying=not session.cursor.empty
        )
        try:
            blank = session.input is None or not session.input.strip()
            event = {} if blank else json.loads(session.input or "")
        except ValueError as error:
            return {"error": error_object(error), "invocation": True}, error
        try:
            return {"payload": json.dumps(self._func(event, context))}, None
        except SuspendExecution:
            return {"unwound": True}, None
        except InvocationError as error:
            return {"error": error_object(error), "invocation": error.is_retryable()}, error
        except Exception as error:
            return {"error": error_object(error)}, error
        except SystemExit as error:
            failed = {
                "ErrorType": "Runtime.ExitError",
                "ErrorMessage": f"the handler exited with status {error.code}",
            }
            return {"error": failed, "invocation": True}, InvocationFailedError(failed)


def _shared_connection() -> Connection:
    """The process's connection to the daemon, opened when first needed."""
    with _shared_lock:
        if not _shared or _shared[0].lost or not _shared[0].mine:
            _shared[:] = [Connection()]
        return _shared[0]


@overload
def durable_execution(func: Handler) -> DurableFunction: ...
@overload
def durable_execution(
    func: None = None, *, boto3_client: Any = None
) -> Callable[[Handler], DurableFunction]: ...
def durable_execution(
    func: Handler | None = None, *, boto3_client: Any = None
) -> DurableFunction | Callable[[Handler], DurableFunction]:
    """Makes `handler(event, context)` a durable function.

    `boto3_client` is taken for compatibility and not used: the daemon talks to AWS.
    """
    if func is None:
        return DurableFunction
    return DurableFunction(func)
