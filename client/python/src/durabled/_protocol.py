"""The protocol as this client needs it.

Made by proto/generate.py from proto/protocol.toml.
"""

from enum import StrEnum
from typing import Literal

LEVEL = 3
"""The highest level that this client speaks."""

FRAME_MAX = 8_388_608
"""Bytes of one message, either way."""

REPLAY_CHILDREN_THRESHOLD = 262_144
"""Bytes of a CONTEXT's payload above which its summary is kept instead."""

Method = Literal[
    "hello",
    "worker.register",
    "worker.next",
    "worker.respond",
    "worker.fail",
    "worker.release",
    "worker.drain",
    "session.begin",
    "session.join",
    "session.operations",
    "session.start",
    "session.await",
    "session.succeed",
    "session.fail",
    "session.decide",
    "session.retry",
    "session.batch",
    "session.unwound",
    "session.end",
    "execution.start",
    "execution.wait",
    "execution.describe",
    "execution.history",
    "execution.list",
    "execution.stop",
    "execution.logs",
    "callback.succeed",
    "callback.fail",
    "callback.heartbeat",
    "function.list",
    "daemon.status",
    "daemon.log_level",
    "daemon.runtime_api",
]
Notification = Literal["session.log"]


class ErrorCode(StrEnum):
    """Why a call was refused; a newer daemon may know more."""

    INVALID_PARAMETER = "InvalidParameterValueException"
    VALIDATION = "ValidationException"
    NOT_FOUND = "ResourceNotFoundException"
    ALREADY_STARTED = "DurableExecutionAlreadyStartedException"
    TOO_MANY_REQUESTS = "TooManyRequestsException"
    REQUEST_TOO_LARGE = "RequestTooLargeException"
    SERVICE = "ServiceException"
    CALLBACK_TIMEOUT = "CallbackTimeoutException"
    UNKNOWN_METHOD = "Protocol.UnknownMethod"
    BAD_PARAMS = "Protocol.InvalidParams"
    OUT_OF_ORDER = "Protocol.OutOfOrder"
    UNKNOWN_SESSION = "Protocol.UnknownSession"
    NON_DETERMINISTIC = "NonDeterministicExecutionError"
    STORE_FULL = "Store.Full"
    STORE_FAILED = "Store.Failed"
    STORE_CORRUPT = "Store.Corrupt"
    NO_MEMORY = "Daemon.OutOfMemory"
    DRAINING = "Daemon.Draining"
