"""Errors on the wire and back."""

from __future__ import annotations

import pytest

from durabled.exceptions import (
    ChildContextError,
    DurableOperationError,
    SerDesError,
    StepError,
    SuspendExecution,
    error_object,
    raise_operation_error,
)


class OrderError(Exception):
    """Of a user."""


def test_types_on_the_wire() -> None:
    assert error_object(ValueError("boom")) == {
        "ErrorType": "ValueError",
        "ErrorMessage": "boom",
    }
    assert error_object(OrderError())["ErrorType"].endswith("test_exceptions.OrderError")
    assert error_object(StepError("m", "ValueError", "data", ["line"])) == {
        "ErrorType": "aws_durable_execution_sdk_python.exceptions.StepError",
        "ErrorMessage": "m",
        "ErrorData": "data",
        "StackTrace": ["line"],
    }


@pytest.mark.parametrize(
    "prefix", ["", "durabled.exceptions.", "aws_durable_execution_sdk_python.exceptions."]
)
def test_a_failed_operation_raises_its_wrapper_from_the_cause(prefix: str) -> None:
    error = {
        "ErrorType": f"{prefix}StepError",
        "ErrorMessage": "m",
        "ErrorData": "d",
    }
    with pytest.raises(ChildContextError) as raised:
        raise_operation_error(ChildContextError, error)
    assert raised.value.error_type == f"{prefix}StepError"
    assert (str(raised.value), raised.value.data) == ("m", "d")
    assert type(raised.value.__cause__) is StepError


def test_a_class_of_somebody_else_is_not_ours() -> None:
    with pytest.raises(ChildContextError) as raised:
        raise_operation_error(ChildContextError, {"ErrorType": "shop.exceptions.StepError"})
    assert type(raised.value.__cause__) is DurableOperationError


def test_an_unknown_type_is_the_base_class() -> None:
    with pytest.raises(StepError) as raised:
        raise_operation_error(StepError, {"ErrorType": "ValueError", "ErrorMessage": "boom"})
    assert type(raised.value.__cause__) is DurableOperationError


@pytest.mark.parametrize("name", ["SerDesError", "durabled.exceptions.SerDesError"])
def test_serdes_errors_keep_their_class(name: str) -> None:
    with pytest.raises(SerDesError):
        raise_operation_error(StepError, {"ErrorType": name, "ErrorMessage": "m"})


def test_no_error_at_all() -> None:
    with pytest.raises(StepError):
        raise_operation_error(StepError, None)


def test_suspension_passes_a_handlers_except_exception() -> None:
    assert not issubclass(SuspendExecution, Exception)
