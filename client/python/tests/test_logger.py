"""The logger: silent in replay, with the keys of AWS's SDK, and a copy that is bounded by
what the language's own logging shows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from durabled.logger import Logger

Lines = list[tuple[str, str, dict[str, Any]]]


def make(replaying: bool, level: int, kept: Lines) -> Logger:
    plain = logging.getLogger("test_logger")
    plain.setLevel(level)

    def copy(_: int, level: str, message: str, fields: Mapping[str, object]) -> None:
        kept.append((level, message, dict(fields)))

    extra = {"executionArn": "arn", "operationId": "id"}
    return Logger(plain, extra, lambda: replaying, copy)


def test_extra_and_copy(caplog: pytest.LogCaptureFixture) -> None:
    kept: Lines = []
    logger = make(False, logging.INFO, kept)
    logger.info("order %s", 7, extra={"order": 7})
    logger.debug("not shown, so not kept")
    logger.warning("careful")
    assert [r.getMessage() for r in caplog.records] == ["order 7", "careful"]
    assert caplog.records[0].executionArn == "arn"  # type: ignore[attr-defined]
    assert caplog.records[0].order == 7  # type: ignore[attr-defined]
    assert kept == [
        ("INFO", "order 7", {"operationId": "id", "order": 7}),
        ("WARN", "careful", {"operationId": "id"}),
    ]


def test_silent_in_replay(caplog: pytest.LogCaptureFixture) -> None:
    kept: Lines = []
    make(True, logging.DEBUG, kept).error("again")
    assert not caplog.records
    assert not kept


def test_exception_keeps_the_traceback() -> None:
    kept: Lines = []
    try:
        raise ValueError("boom")
    except ValueError:
        make(False, logging.INFO, kept).exception("it failed")
    assert kept[0][0] == "ERROR"
    assert "ValueError: boom" in kept[0][1]


def test_a_logger_of_ones_own() -> None:
    class Own:
        def __init__(self) -> None:
            self.said: list[str] = []

        def info(self, msg: object, *args: object, extra: object = None) -> None:
            self.said.append(str(msg) % args)

        debug = warning = error = exception = info

    own, kept = Own(), Lines()
    make(False, logging.INFO, kept).with_logger(own).info("hello %s", "you")
    assert own.said == ["hello you"]
    assert kept[0][2] == {"operationId": "id"}
