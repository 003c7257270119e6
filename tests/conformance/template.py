"""The functions of a SAM template in JSON: what of it a host on one machine needs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REGION = "us-east-1"
ACCOUNT = "000000000000"


@dataclass(frozen=True)
class Function:
    name: str
    handler: str
    code: Path
    environment: dict[str, str] = field(hash=False)
    timeout_s: int
    execution_timeout_s: int
    retention_days: int


def _named(path: str) -> str:
    """`X` is X's name, `X.Arn` the ARN of function X."""
    name, _, attribute = path.partition(".")
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}" if attribute else name


def _resolve(value: Any) -> str:
    match value:
        case {"Ref": name}:
            return _named(name)
        case {"Fn::Sub": text}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: _named(found[1]), text)
        case _:
            return str(value)


def functions(path: Path) -> list[Function]:
    template = json.loads(path.read_text())
    defaults = template.get("Globals", {}).get("Function", {})
    found = []
    for name, resource in template["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        properties = {**defaults, **resource["Properties"]}
        variables = properties.get("Environment", {}).get("Variables", {})
        found.append(
            Function(
                name=name,
                handler=properties["Handler"],
                code=Path(properties["CodeUri"]),
                environment={key: _resolve(value) for key, value in variables.items()},
                timeout_s=properties["Timeout"],
                execution_timeout_s=properties["DurableConfig"]["ExecutionTimeout"],
                retention_days=properties["DurableConfig"]["RetentionPeriodInDays"],
            )
        )
    return found
