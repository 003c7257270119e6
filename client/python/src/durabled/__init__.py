"""Durable execution over a local socket: completed steps survive crashes, waits cost
nothing, and the handler resumes where it stopped.

The names are those of AWS's durable execution SDK for Python. What it has no name for is
here too: `Worker` serves functions, `Client` starts and follows executions, and a handler
that is declared `async def` is given an `AsyncDurableContext`.
"""

from durabled.__about__ import __version__
from durabled.async_context import AsyncCallback, AsyncDurableContext
from durabled.client import Client, Execution
from durabled.concurrency.models import BatchCompletionError, BatchResult
from durabled.config import (
    BatchItemStatus,
    CompletionDecision,
    CompletionItemStatus,
    CompletionOutcome,
    CompletionStatus,
    ParallelBranch,
    complete_batch,
    continue_batch,
)
from durabled.context import (
    DurableContext,
    durable_parallel_branch,
    durable_step,
    durable_wait_for_callback,
    durable_with_child_context,
)
from durabled.exceptions import (
    CallbackError,
    CallbackExternalError,
    CallbackSubmitterError,
    CallbackTimeoutError,
    ChildContextError,
    DurableExecutionsError,
    DurableOperationError,
    ExecutionError,
    InvocationError,
    InvokeError,
    PluginLoadError,
    RetryableSerDesError,
    SerDesError,
    StepError,
    StepTimeoutError,
    ValidationError,
    WaitForConditionError,
)
from durabled.execution import durable_execution
from durabled.retries import WithRetryConfig, with_retry
from durabled.types import StepContext
from durabled.worker import Worker

__all__ = [
    "AsyncCallback",
    "AsyncDurableContext",
    "BatchCompletionError",
    "BatchItemStatus",
    "BatchResult",
    "CallbackError",
    "CallbackExternalError",
    "CallbackSubmitterError",
    "CallbackTimeoutError",
    "ChildContextError",
    "Client",
    "CompletionDecision",
    "CompletionItemStatus",
    "CompletionOutcome",
    "CompletionStatus",
    "DurableContext",
    "DurableExecutionsError",
    "DurableOperationError",
    "Execution",
    "ExecutionError",
    "InvocationError",
    "InvokeError",
    "ParallelBranch",
    "PluginLoadError",
    "RetryableSerDesError",
    "SerDesError",
    "StepContext",
    "StepError",
    "StepTimeoutError",
    "ValidationError",
    "WaitForConditionError",
    "WithRetryConfig",
    "Worker",
    "__version__",
    "complete_batch",
    "continue_batch",
    "durable_execution",
    "durable_parallel_branch",
    "durable_step",
    "durable_wait_for_callback",
    "durable_with_child_context",
    "with_retry",
]
