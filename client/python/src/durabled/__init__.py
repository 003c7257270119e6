"""Durable execution over a local socket: completed steps survive crashes, waits cost
nothing, and the handler resumes where it stopped.

The names are those of AWS's durable execution SDK for Python. What it has no name for is
here too: `Worker` serves functions, `Client` starts and follows executions.
"""

from durabled.__about__ import __version__
from durabled.client import Client, Execution
from durabled.context import DurableContext, durable_step, durable_with_child_context
from durabled.exceptions import (
    ChildContextError,
    DurableExecutionsError,
    DurableOperationError,
    ExecutionError,
    InvocationError,
    RetryableSerDesError,
    SerDesError,
    StepError,
    ValidationError,
)
from durabled.execution import durable_execution
from durabled.retries import WithRetryConfig, with_retry
from durabled.types import StepContext
from durabled.worker import Worker

__all__ = [
    "ChildContextError",
    "Client",
    "DurableContext",
    "DurableExecutionsError",
    "DurableOperationError",
    "Execution",
    "ExecutionError",
    "InvocationError",
    "RetryableSerDesError",
    "SerDesError",
    "StepContext",
    "StepError",
    "ValidationError",
    "WithRetryConfig",
    "Worker",
    "__version__",
    "durable_execution",
    "durable_step",
    "durable_with_child_context",
    "with_retry",
]
