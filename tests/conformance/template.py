"""The functions of a SAM template: what of it a host on one machine needs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

REGION = "us-east-1"
ACCOUNT = "000000000000"


@dataclass(frozen=True)
class Function:
    name: str
    handler: str
    code: Path
    environment: dict[str, str] = field(hash=False)
    timeout_s: int
    execution_timeout_s: int | None  # None: not durable
    retention_days: int | None

    @property
    def durable(self) -> bool:
        return self.execution_timeout_s is not None


class _Loader(yaml.SafeLoader):
    """`!Ref X` reads as {"Ref": X}, any other `!Name X` as {"Fn::Name": X}."""


def _tag(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node)
    else:
        value = loader.construct_mapping(node)
    return {"Ref" if name == "Ref" else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _tag)


def _attribute(path: str) -> str:
    """`X` is X's name, `X.Arn` the ARN of function X."""
    name, _, attribute = path.partition(".")
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}" if attribute else name


def _resolve(value: Any) -> str:
    match value:
        case {"Ref": str(name)}:
            return _attribute(name)
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return _attribute(f"{name}.{attribute}")
        case {"Fn::GetAtt": str(path)}:
            return _attribute(path)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{([^}]+)\}", lambda found: _attribute(found[1]), text)
        case _:
            return str(value)


def functions(path: Path) -> list[Function]:
    # The loader is a SafeLoader.
    template = yaml.load(path.read_text(), _Loader)
    defaults = template.get("Globals", {}).get("Function", {})
    found = []
    for name, resource in template["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        properties = {**defaults, **resource["Properties"]}
        durable = properties.get("DurableConfig")
        variables = properties.get("Environment", {}).get("Variables", {})
        found.append(
            Function(
                name=name,
                handler=properties["Handler"],
                code=path.parent / properties["CodeUri"],
                environment={key: _resolve(value) for key, value in variables.items()},
                timeout_s=properties["Timeout"],
                execution_timeout_s=durable["ExecutionTimeout"] if durable else None,
                retention_days=durable["RetentionPeriodInDays"] if durable else None,
            )
        )
    return found
