"""The public names of the official SDK, compared with ours: names, parameters, defaults,
members of enums and the texts of refusals. The installed release is the reference."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from durabled import alias

pytest.importorskip("boto3", reason="the official SDK imports it")
official_package = pytest.importorskip(alias.OFFICIAL)

MODULES = [name for name in alias.MODULES if name not in ("__about__", "concurrency")]

# What is the SDK's engine, and so the daemon's: name by name, with the reason.
NOT_OURS = {
    "concurrency.models": {
        "Branch": "a branch as the SDK's coordinator keeps it",
        "BranchEvent": "what a branch tells the SDK's coordinator",
        "BranchEventKind": "the same",
        "BranchStatus": "the same",
        "Executable": "the same",
    },
    "exceptions": {
        "AwsErrorMetadata": "the shape of botocore's answers, for type checkers",
        "AwsErrorObj": "the same",
    },
    "lambda_service": {"LambdaClient": "the daemon makes the calls of AWS's API"},
    "plugin": {"PluginHost": "the lifetime of factories is durable_execution's"},
    "serdes": {
        "BytesCodec": "one part of ExtendedTypeSerDes",
        "Codec": "the same",
        "ContainerCodec": "the same",
        "DateTimeCodec": "the same",
        "DecimalCodec": "the same",
        "PrimitiveCodec": "the same",
        "TypeCodec": "the same",
        "UuidCodec": "the same",
    },
}
# Members of classes that are ours too.
ENGINE_MEMBERS = {
    "DurableContext": {"create_child_context", "from_lambda_context"},
    "PluginExecutor": {
        "drain_end_hooks",
        "on_child_context_end",
        "on_operation_action",
        "on_user_function_start",
        "provide_propagation_metadata",
        "record_change",
        "record_end_hooks",
        "take_end_hook",
    },
}
# Made by the engine, so made of other things here.
OTHER_PARAMETERS = {
    "Callback.__init__",
    "Callback",
    "DurableContext",
    "DurableContext.__init__",
    "Logger",
    "Logger.__init__",
    "Logger.from_log_info",
    "PluginExecutor.claim_end_hook",
    "PluginExecutor.on_operation_update",
}
# Values with something more than the official ones: their defaults change nothing.
MORE_PARAMETERS = {"StepConfig": {"timeout"}}


def both(module: str) -> tuple[Any, Any]:
    return (
        importlib.import_module(f"{alias.OFFICIAL}.{module}"),
        importlib.import_module(f"durabled.{module}"),
    )


def public(module: Any) -> dict[str, Any]:
    """The classes and functions that a module defines."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }


def names() -> list[Any]:
    found = []
    for module in MODULES:
        official, _ = both(module)
        left_out = NOT_OURS.get(module, {})
        found += [
            pytest.param(module, name, id=f"{module}.{name}")
            for name in public(official)
            if name not in left_out
        ]
    return found


def test_the_package() -> None:
    import durabled

    assert set(official_package.__all__) <= set(durabled.__all__)


def test_what_is_left_out_is_there() -> None:
    """A name that a later release drops need not be explained."""
    for module, left_out in NOT_OURS.items():
        official, ours = both(module)
        assert set(left_out) <= set(public(official))
        assert not [name for name in left_out if hasattr(ours, name)]


@pytest.mark.parametrize(("module", "name"), names())
def test_name(module: str, name: str) -> None:
    official, ours = (getattr(one, name) for one in both(module))
    if not inspect.isclass(official):
        assert parameters(ours, name) == parameters(official, name)
        return
    if issubclass(official, enum.Enum):
        assert {m.name: m.value for m in ours} == {m.name: m.value for m in official}
        return
    for base in official.__mro__[1:]:
        if base.__module__ == "builtins":
            assert issubclass(ours, base)
    compare_classes(official, ours, name)


def compare_classes(official: Any, ours: Any, name: str) -> None:
    if dataclasses.is_dataclass(official):
        assert fields(ours, name) == fields(official, name)
        frozen = [one.__dataclass_params__.frozen for one in (official, ours)]
        assert frozen[0] == frozen[1]
    elif "__init__" in vars(official) and not getattr(official, "_is_protocol", False):
        assert parameters(ours, name) == parameters(official, name)
    members = {
        member: value
        for member, value in vars(official).items()
        if not member.startswith("_")
        and (callable(value) or isinstance(value, (property, classmethod, staticmethod)))
    }
    left_out = ENGINE_MEMBERS.get(name, set())
    if name == "OperationUpdate":  # one for each type and action
        left_out = {member for member in members if member.startswith("create_")}
    for member in set(members) - left_out:
        assert hasattr(ours, member) or member in fields(ours, name), f"{name}.{member}"
        if inspect.isroutine(getattr(official, member)):
            mine = parameters(getattr(ours, member), f"{name}.{member}")
            assert mine == parameters(getattr(official, member), f"{name}.{member}")


def parameters(func: Any, name: str) -> list[tuple[str, str, Any]] | None:
    """Names, kinds and defaults. A parameter that is not read may be called anything."""
    if name in OTHER_PARAMETERS or func is object.__init__:
        return None
    unread = {"_", "context", "serdes_context", "data", "input_dict", "value", "self"}
    more = MORE_PARAMETERS.get(name, set())
    return [
        (
            "*" if parameter.name in unread else parameter.name,
            parameter.kind.name,
            default(parameter.default),
        )
        for parameter in inspect.signature(func).parameters.values()
        if parameter.name not in more and parameter.name != "self"
    ]


def fields(cls: Any, name: str) -> dict[str, Any]:
    more = MORE_PARAMETERS.get(name, set())
    if not dataclasses.is_dataclass(cls):
        return {}
    return {
        one.name: (one.init, one.repr, one.compare, one.kw_only, default(made(one)))
        for one in dataclasses.fields(cls)
        if one.name not in more
    }


def made(one: Any) -> Any:
    if one.default_factory is not dataclasses.MISSING:
        return one.default_factory()
    return one.default


def default(value: Any) -> Any:
    """Comparable over the two packages."""
    if value in (inspect.Parameter.empty, dataclasses.MISSING):
        return "none"
    if isinstance(value, enum.Enum):
        return value.name
    if dataclasses.is_dataclass(value):
        return {
            one.name: default(getattr(value, one.name)) for one in dataclasses.fields(value)
        }
    if callable(value):
        return "callable"
    if type(value).__module__ not in ("builtins",):
        return type(value).__name__
    return value


# --- values -----------------------------------------------------------------------------

REFUSALS: list[tuple[str, Callable[[Any], Any]]] = [
    ("config", lambda m: m.Duration(-1)),
    ("config", lambda m: m.MapConfig(max_concurrency=0)),
    ("config", lambda m: m.ParallelConfig(max_concurrency=-2)),
    ("config", lambda m: m.CompletionConfig(min_successful=0)),
    ("config", lambda m: m.CompletionConfig(tolerated_failure_count=-1)),
    ("config", lambda m: m.CompletionConfig(tolerated_failure_percentage=101)),
    ("config", lambda m: m.CompletionConfig(tolerated_failure_percentage=-0.5)),
    ("config", lambda m: m.CompletionConfig(should_complete=1)),
    ("config", lambda m: m.CompletionConfig(min_successful=1, should_complete=len)),
    ("config", lambda m: m.CompletionDecision(True)),
    ("config", lambda m: m.CompletionDecision(False, m.CompletionOutcome.FAILED)),
    ("config", lambda m: m.StepConfig(sub_type="not allowed")),
    ("config", lambda m: m.ChildConfig(sub_type="x" * 33)),
    ("config", lambda m: m.CallbackConfig(sub_type="é")),
    ("serdes", lambda m: m.serialize(None, object(), "id", "arn")),
    ("serdes", lambda m: m.serialize(None, {(1, 2): 3}, "id", "arn")),
    ("serdes", lambda m: m.deserialize(None, '{"a": 1}', "id", "arn")),
    ("serdes", lambda m: m.deserialize(None, '{"t": "zz", "v": 1}', "id", "arn")),
    ("serdes", lambda m: m.deserialize(None, "{", "id", "arn")),
    ("serdes", lambda m: m.deserialize(None, '{"t": "l", "v": 1}', "id", "arn")),
    ("waits", lambda m: polling(m)(1, 60)),
    ("lambda_service", lambda m: m.Operation.from_dict({"Id": "1", "Type": "?"})),
    ("execution", lambda m: m.DurableExecutionInvocationInput.from_dict({})),
]


def polling(waits: Any) -> Any:
    return waits.create_wait_strategy(waits.WaitStrategyConfig(lambda _: True))


@pytest.mark.parametrize(("module", "refused"), REFUSALS)
def test_refusal(module: str, refused: Callable[[Any], Any]) -> None:
    raised = []
    for one in both(module):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            refused(one)
        raised.append((type(caught.value).__name__, str(caught.value)))
    assert raised[0] == raised[1]


VALUES = [
    None,
    [1, "é", None, 1.5, True],
    {"k": "v", "n": [None, {}]},
    (1, (2,)),
    [b"x", bytearray(b"y")],
    {"d": Decimal("1.10"), "u": UUID(int=7), "t": datetime(2026, 1, 2, tzinfo=UTC)},
    date(2026, 1, 2),
    {"t": 1, "v": True},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_bytes_of_values(value: Any) -> None:
    texts = [one.ExtendedTypeSerDes().serialize(value) for one in both("serdes")]
    assert texts[0] == texts[1]
    back = [one.ExtendedTypeSerDes().deserialize(texts[0]) for one in both("serdes")]
    assert back[0] == back[1]


def batch(models: Any, statuses: str, reason: str) -> Any:
    error = models.ErrorObject("m", "T", None, ["line"])
    items = [
        models.BatchItem(
            index,
            {"S": models.BatchItemStatus.SUCCEEDED, "F": models.BatchItemStatus.FAILED}.get(
                letter, models.BatchItemStatus.STARTED
            ),
            {"n": index} if letter == "S" else None,
            error if letter == "F" else None,
        )
        for index, letter in enumerate(statuses)
    ]
    return models.BatchResult(items, models.CompletionReason(reason))


@pytest.mark.parametrize("statuses", ["", "SSS", "SFT", "TTS", "TS", "FF"])
@pytest.mark.parametrize("reason", ["ALL_COMPLETED", "CUSTOM_COMPLETION_FAILED"])
def test_bytes_of_batches(statuses: str, reason: str) -> None:
    texts, envelopes, accessors = [], [], []
    for models, serdes in zip(both("concurrency.models"), both("serdes"), strict=True):
        result = batch(models, statuses, reason)
        texts.append(serdes.ExtendedTypeSerDes().serialize(result))
        generate = models.envelope_summary_generator("MapResult", lambda r: "said")
        envelopes.append(generate(result))
        record = models.CompletionRecord.from_summary_payload(envelopes[0])
        counts = [result.success_count, result.failure_count, result.started_count]
        accessors.append(
            [
                *counts,
                result.status.value,
                result.total_count,
                result.has_failure,
                len(result.get_errors()),
                result.get_results(),
                result.to_dict(),
                record.started_indexes,
                record.started_total,
            ]
        )
    assert texts[0] == texts[1]
    assert envelopes[0] == envelopes[1]
    assert accessors[0] == accessors[1]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        "{",
        "{}",
        '{"completionReason": "?", "totalCount": 1, "startedIndexes": []}',
        '{"completionReason": "ALL_COMPLETED", "totalCount": true, "startedIndexes": []}',
        '{"completionReason": "ALL_COMPLETED", "totalCount": 1, "startedIndexes": [1]}',
        '{"completionReason": "ALL_COMPLETED", "totalCount": 2, "completedIndexes": [1]}',
        '{"completionReason": ["x"], "totalCount": 2, "completedIndexes": [1]}',
        '{"completionReason": "ALL_COMPLETED", "totalCount": 2}',
    ],
)
def test_records(text: str | None) -> None:
    read = [
        one.CompletionRecord.from_summary_payload(text) for one in both("concurrency.models")
    ]
    shown = [
        r and (r.completion_reason.value, r.started_total, r.started_indexes) for r in read
    ]
    assert shown[0] == shown[1]


def test_policies() -> None:
    configs: list[dict[str, Any]] = [
        {},
        {"min_successful": 2},
        {"tolerated_failure_count": 1},
        {"tolerated_failure_percentage": 100 / 3},
        {"min_successful": 1, "tolerated_failure_count": 0},
    ]
    for given in configs:
        for total in range(4):
            for succeeded in range(total + 1):
                for failed in range(total + 1 - succeeded):
                    found = [
                        (
                            policy.is_complete(succeeded, failed),
                            policy.should_continue(failed),
                            policy.reason(succeeded, failed).value,
                        )
                        for policy in (
                            one.CompletionPolicy(total, **given)
                            for one in both("concurrency.models")
                        )
                    ]
                    assert found[0] == found[1], (given, total, succeeded, failed)


OPERATION = {
    "Id": "1",
    "Type": "STEP",
    "Status": "PENDING",
    "ParentId": "0",
    "Name": "n",
    "SubType": "Step",
    "StartTimestamp": 1_700_000_000_123,
    "StepDetails": {"Attempt": 1, "NextAttemptTimestamp": 1_700_000_001_000, "Result": "r"},
    "ContextDetails": {"Error": {"ErrorMessage": "m"}, "ReplayChildren": True},
    "WaitDetails": {"ScheduledEndTimestamp": 1_700_000_002_000},
    "CallbackDetails": {"CallbackId": "c"},
    "ChainedInvokeDetails": {"Result": "x"},
    "ExecutionDetails": {"InputPayload": "{}"},
}
UPDATE = {
    "Id": "1",
    "Type": "STEP",
    "Action": "RETRY",
    "Payload": "",
    "Error": {"ErrorType": "T"},
    "StepOptions": {"NextAttemptDelaySeconds": 3},
    "ChainedInvokeOptions": {"FunctionName": "f", "TenantId": "t"},
}


def test_shapes() -> None:
    found = []
    for one in both("lambda_service"):
        operation = one.Operation.from_json_dict(OPERATION)
        update = one.OperationUpdate.from_dict(UPDATE)
        output = one.DurableExecutionInvocationOutput.create_succeeded("")
        found.append(
            [
                operation.to_json_dict(),
                operation.to_dict(),
                update.to_dict(),
                output.to_dict(),
                one.ErrorObject.from_exception(ValueError("x")).to_dict(),
                one.CheckpointOutput.from_dict(
                    {"CheckpointToken": "t"}
                ).new_execution_state.operations,
            ]
        )
    assert found[0] == found[1]
    assert json.dumps(found[0][0]) == json.dumps(found[1][0])


def test_identity() -> None:
    said = []
    for one, service in zip(both("identifier"), both("lambda_service"), strict=True):
        identifier = one.OperationIdentifier(
            "i", "Step", name="a", operation_type=service.OperationType.STEP
        )
        operation = service.Operation.from_json_dict(
            {"Id": "i", "Type": "WAIT", "Status": "STARTED", "SubType": "Wait", "ParentId": "p"}
        )
        with pytest.raises(Exception) as raised:  # noqa: PT011
            identifier.validate_checkpoint(operation)
        said.append((str(raised.value), raised.value.step_id))
    assert said[0] == said[1]


def test_previews() -> None:
    value = {"a": {"b": 1, "secret": 2}, "list": [{"c": 3}, {"c": 4}], "x.y": 5, "n": None}
    for mode in ("INCLUDE_ALL", "EXCLUDE_ALL"):
        for limit in (4096, 30):
            made = []
            for one in both("preview"):
                config = one.PreviewConfig(
                    one.PreviewMode(mode),
                    include=[
                        one.PreviewField("c"),
                        one.PreviewField("a.b", one.FieldMatchMode.PATH),
                    ],
                    exclude=[one.PreviewField("n")],
                    mask=[one.PreviewField("secret")],
                    max_preview_bytes=limit,
                )
                made.append(one.build_preview(value, config))
            assert made[0] == made[1]


def test_files(tmp_path: Any) -> None:
    arn = "arn:aws:lambda:us-east-1:0:function:f:1/durable-execution/name/id"
    for encoding in ("URI", "HASH"):
        for mode in ("ALWAYS", "OVERFLOW"):
            for size in (1, 300_000):
                texts = []
                for one, serdes in zip(both("filesystem_serdes"), both("serdes"), strict=True):
                    config = one.FileSystemSerDesConfig(
                        one.FileSystemSerDesMode(mode),
                        one.FileSystemPathEncoding(encoding),
                        generate_preview=lambda value: {"size": len(value)},
                    )
                    files = one.FileSystemSerDes(str(tmp_path), config)
                    context = serdes.SerDesContext("op/1", arn)
                    texts.append(files.serialize("x" * size, context))
                    assert files.deserialize(texts[0], context) == "x" * size
                assert texts[0] == texts[1]


# --- the alias --------------------------------------------------------------------------


def test_alias() -> None:
    """In a process of its own: this one has imported the SDK itself."""
    code = f"""
        from durabled import alias
        alias.install()
        import durabled, durabled.concurrency.models
        import {alias.OFFICIAL} as sdk
        from {alias.OFFICIAL}.concurrency.models import BatchResult
        from {alias.OFFICIAL}.lambda_service import ErrorObject
        import {alias.OFFICIAL}.waits
        assert sdk is durabled and sdk.waits is durabled.waits
        assert BatchResult is durabled.concurrency.models.BatchResult
        alias.install()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_alias_is_refused_beside_the_sdk() -> None:
    with pytest.raises(ImportError, match="is imported already"):
        alias.install()
