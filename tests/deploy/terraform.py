"""terraform.py MAIN.TF TEMPLATE.YAML: the Terraform configuration can be read, names nothing
that it does not declare, and deploys the functions of the SAM template."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import hcl2
from samtranslator.yaml_helper import yaml_parse

failed = False


def expect(what: str, found: Any, wanted: Any) -> None:
    global failed
    if found != wanted:
        print(f"terraform.py: {what}: {found!r}, not {wanted!r}", file=sys.stderr)
        failed = True


def plain(value: Any) -> Any:
    """Texts without the quotes in which the parser leaves them."""
    if isinstance(value, dict):
        return {plain(k): plain(v) for k, v in value.items() if not k.startswith("__")}
    if isinstance(value, list):
        return [plain(element) for element in value]
    return value.strip('"') if isinstance(value, str) else value


def by_name(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """Blocks with a type and a name: "TYPE.NAME"."""
    return {
        f"{kind}.{name}": body
        for block in blocks
        for kind, named in block.items()
        for name, body in named.items()
    }


def check_references(text: str, tf: dict[str, Any]) -> None:
    """Each `var.`, `local.`, `data.` and resource that is named is declared."""
    declared = set(by_name(tf["resource"]))
    declared |= {f"data.{name}" for name in by_name(tf["data"])}
    declared |= {f"var.{name}" for block in tf["variable"] for name in block}
    declared |= {f"local.{name}" for block in tf["locals"] for name in block}
    code = re.sub(r"#.*", "", text)
    named = set(re.findall(r"\b(?:var|local)\.\w+", code))
    named |= set(re.findall(r"\bdata\.\w+\.\w+", code))
    named |= set(re.findall(r"(?<![\w.])aws_\w+\.\w+", code))
    expect("names that are not declared", sorted(named - declared), [])


def check_policy(statement: dict[str, Any]) -> None:
    wanted = ["lambda:CheckpointDurableExecution", "lambda:GetDurableExecutionState"]
    expect("actions", statement["actions"], wanted)
    (resource,) = statement["resources"]
    wanted = ":function:${each.key}:*"
    expect("the end of the resource", resource[-len(wanted) :], wanted)


def settings(function: dict[str, Any]) -> dict[str, Any]:
    durable = function["DurableConfig"]
    return {
        "memory_size": function["MemorySize"],
        "timeout": function["Timeout"],
        "durable_config": [
            {
                "execution_timeout": durable["ExecutionTimeout"],
                "retention_period": durable["RetentionPeriodInDays"],
            }
        ],
        "logging_config": [{"log_format": function["LoggingConfig"]["LogFormat"]}],
    }


def main(config: Path, template: Path) -> None:
    text = config.read_text()
    tf = plain(hcl2.loads(text))
    sam = yaml_parse(template.read_text())
    resources = by_name(tf["resource"])
    check_references(text, tf)
    check_policy(by_name(tf["data"])["aws_iam_policy_document.durable"]["statement"][0])

    function = resources["aws_lambda_function.function"]
    common = sam["Globals"]["Function"]
    for name, wanted in settings(common).items():
        expect(name, function[name], wanted)
    expect("publish", str(function["publish"]).lower(), "true")
    expect("the alias", resources["aws_lambda_alias.live"]["name"], common["AutoPublishAlias"])

    functions = {
        properties["FunctionName"]: properties
        for resource in sam["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Function"
        for properties in [resource["Properties"]]
    }
    (ours,) = [block["functions"] for block in tf["locals"]]
    expect("functions", sorted(ours), sorted(functions))
    for name in sorted(functions.keys() & ours):
        properties = functions[name]
        for key, ours_key in (("Runtime", "runtime"), ("Handler", "handler")):
            expect(f"{name}: {ours_key}", ours[name][ours_key], properties[key])
        code = ours[name]["code"].replace("${local.build}", "../../build/lambda")
        expect(f"{name}: code", code.replace("${path.module}/", ""), properties["CodeUri"])

    layer = next(
        resource["Properties"]
        for resource in sam["Resources"].values()
        if resource["Type"] == "AWS::Serverless::LayerVersion"
    )
    ours = resources["aws_lambda_layer_version.durabled"]
    expect("layer", ours["layer_name"], layer["LayerName"])
    filename = ours["filename"].replace("${local.build}", "../../build/lambda")
    expect("the layer's file", filename, layer["ContentUri"])
    if not failed:
        print(f"{config}: {json.dumps(sorted(functions))} as in {template}")


main(*(Path(argument) for argument in sys.argv[1:]))
sys.exit(failed)
