"""Which function meets which requirement.

`@meets("1-1")` above a handler puts it into the catalog; `python catalog.py FILE` writes the
catalog as the SAM template that the suite and the host read. A function that meets nothing
is one that others invoke.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

GROUPS = [
    "steps",
    "waits",
    "children",
    "callbacks",
    "invokes",
    "conditions",
    "callback_waits",
    "parallels",
    "maps",
    "plugins",
]

H = TypeVar("H", bound=Callable[..., Any])

_resources: dict[str, Any] = {}


def logical_id(handler: Callable[..., Any]) -> str:
    """CloudFormation's names have no underscores."""
    return "".join(word.capitalize() for word in handler.__name__.split("_"))


def meets(
    *requirements: str,
    environment: dict[str, Any] | None = None,
    **properties: Any,
) -> Callable[[H], H]:
    """`properties` go to the function's properties in the template as they are."""

    def register(handler: H) -> H:
        name = logical_id(handler)
        assert name not in _resources, name
        if environment:
            properties["Environment"] = {"Variables": environment}
        module = handler.__module__.rpartition(".")[2]
        _resources[name] = {
            "Type": "AWS::Serverless::Function",
            "TestingMetadata": {"TestDescription": list(requirements)},
            "Properties": {"Handler": f"{module}.{handler.__name__}", **properties},
        }
        return handler

    return register


def template() -> dict[str, Any]:
    for group in GROUPS:
        importlib.import_module(group)
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Globals": {
            "Function": {
                "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
                "CodeUri": str(Path(__file__).parent),
                "Timeout": 60,
                "DurableConfig": {"ExecutionTimeout": 300, "RetentionPeriodInDays": 1},
                "LoggingConfig": {"LogFormat": "JSON"},
            }
        },
        "Resources": {
            **_resources,
            "AttemptsTable": {
                "Type": "AWS::DynamoDB::Table",
                "Properties": {
                    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                    "BillingMode": "PAY_PER_REQUEST",
                },
            },
        },
    }


if __name__ == "__main__":
    # The handlers import `catalog`, which must be this very module.
    sys.modules["catalog"] = sys.modules["__main__"]
    Path(sys.argv[1]).write_text(json.dumps(template(), indent=1))
