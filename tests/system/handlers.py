"""Handlers that the system tests serve. What a test must see from outside, a
handler notes in a file, so that it survives the process."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from durabled import (
    CallbackError,
    DurableContext,
    InvocationError,
    StepContext,
    durable_execution,
    durable_step,
)
from durabled._session import Session
from durabled._wire import Connection
from durabled.config import (
    CallbackConfig,
    ChildConfig,
    CompletionConfig,
    Duration,
    JitterStrategy,
    MapConfig,
    StepConfig,
    StepSemantics,
    WaitForCallbackConfig,
)
from durabled.exceptions import SuspendExecution
from durabled.retries import (
    RetryDecision,
    RetryStrategyConfig,
    create_retry_strategy,
)

# Over what a function may return, and within what an execution may end with.
BIG = 6 * 1024 * 1024 - 20
NOTES = Path(os.environ["DURABLED_TEST_NOTES"])


NEVER = create_retry_strategy(RetryStrategyConfig(max_attempts=1))


def note(text: str) -> None:
    with NOTES.open("a") as notes:
        notes.write(text + "\n")


def wait_for_note(text: str) -> None:
    while text not in NOTES.read_text().split():
        time.sleep(0.005)


@durable_step
def reserve(step: StepContext, order: str) -> dict[str, Any]:
    note(f"reserve-{step.attempt}")
    return {"order": order, "reserved": True}


@durable_execution
def order(event: dict[str, Any], context: DurableContext) -> dict[str, str]:
    stock = context.step(reserve(event["order"]), name="reserve_stock")
    if not stock["reserved"]:
        return {"status": "rejected"}
    context.wait(Duration.from_seconds(1), name="cooling_off")
    context.step(lambda _: note("ship"), name="ship")
    return {"status": "approved"}


@durable_execution
def purchase(event: dict[str, Any], context: DurableContext) -> dict[str, str]:
    context.step(reserve(event["order"]), name="reserve_stock")
    context.wait(Duration.from_seconds(1), name="cooling_off")
    paid: str = context.wait_for_callback(lambda callback_id, _: note(callback_id), "payment")
    context.step(lambda _: note("ship"), name="ship")
    return {"status": paid}


@durable_execution
def blocks(event: dict[str, Any], context: DurableContext) -> str:
    """A step that runs until the test says go."""

    def body(step: StepContext) -> str:
        note("begun")
        wait_for_note("go")
        note("done")
        return "ok"

    semantics = (
        StepSemantics.AT_MOST_ONCE_PER_RETRY
        if event.get("at_most_once")
        else StepSemantics.AT_LEAST_ONCE_PER_RETRY
    )
    retries = create_retry_strategy(
        RetryStrategyConfig(
            max_attempts=event.get("attempts", 1),
            initial_delay=Duration.from_seconds(1),
            jitter_strategy=JitterStrategy.NONE,
        )
    )
    return context.step(
        body, name="block", config=StepConfig(retry_strategy=retries, step_semantics=semantics)
    )


@durable_execution
def crashes(event: dict[str, Any], context: DurableContext) -> None:
    note("crash")
    os._exit(13)


@durable_execution
def exits(event: dict[str, Any], context: DurableContext) -> None:
    note("exit")
    raise SystemExit(3)


@durable_execution
def kills_itself(event: dict[str, Any], context: DurableContext) -> str:
    """Its process is killed in the step that the event names, the first time."""

    def body(name: str) -> None:
        first = name not in NOTES.read_text().split()
        note(name)
        if first and name == event["at"]:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("before", "inside", "after"):
        context.step(lambda _, name=name: body(name), name=name)
    return "survived"


@durable_execution
def raises(event: dict[str, Any], context: DurableContext) -> None:
    raise ValueError("no such order")


@durable_execution
def unserialisable(event: dict[str, Any], context: DurableContext) -> Any:
    return object()


@durable_execution
def unserialisable_step(event: dict[str, Any], context: DurableContext) -> Any:
    return context.step(lambda _: object(), name="odd")


@durable_execution
def forks(event: dict[str, Any], context: DurableContext) -> str:
    def body(_: StepContext) -> str:
        child = os.fork()
        if child == 0:
            try:
                context.wait(Duration.from_seconds(1))
            except BaseException as error:  # what the child learns is the test
                note(type(error).__name__)
            os._exit(0)
        os.waitpid(child, 0)
        return "parent"

    return context.step(body, name="fork")


@durable_execution
def daemonises(event: dict[str, Any], context: DurableContext) -> None:
    """The process ends while a child that it forked lives on."""
    if os.fork() == 0:
        note(f"child-{os.getpid()}")
        wait_for_note("go")
        os._exit(0)
    os._exit(0)


@durable_execution
def exits_in_step(event: dict[str, Any], context: DurableContext) -> None:
    def body(_: StepContext) -> None:
        raise SystemExit(4)

    context.step(body, name="leaves")


@durable_execution
def hangs(event: dict[str, Any], context: DurableContext) -> None:
    note("hangs")
    wait_for_note("go")


@durable_execution
def misuses(event: dict[str, Any], context: DurableContext) -> None:
    """Asks for what the API does not take."""
    how = event["how"]
    if how == "negative duration":
        Duration.from_seconds(-1)
    elif how == "no duration":
        context.wait(Duration.from_seconds(0), name="pause")
    elif how == "long duration":
        context.wait(Duration.from_days(400), name="pause")
    elif how == "long name":
        context.step(lambda _: None, name="n" * 257)
    elif how == "long wait name":
        context.wait(Duration.from_seconds(1), name="n" * 257)
    elif how == "no attempts":
        strategy = create_retry_strategy(RetryStrategyConfig(max_attempts=0))
        config = StepConfig(retry_strategy=strategy)
        context.step(lambda _: 1 / 0, name="divides", config=config)
    elif how == "big step":
        context.step(lambda _: "x" * 2_000_000, name="big")


@durable_execution
def retries(event: dict[str, Any], context: DurableContext) -> str:
    """Fails twice, then succeeds."""

    def body(step: StepContext) -> str:
        note(f"attempt-{step.attempt}")
        if step.attempt < 3:
            raise RuntimeError(f"attempt {step.attempt}")
        return "third time lucky"

    strategy = create_retry_strategy(
        RetryStrategyConfig(
            max_attempts=3,
            initial_delay=Duration.from_seconds(1),
            backoff_rate=1.0,
            jitter_strategy=JitterStrategy.NONE,
        )
    )
    return context.step(body, name="flaky", config=StepConfig(retry_strategy=strategy))


@durable_execution
def custom_retry(event: dict[str, Any], context: DurableContext) -> str:
    def strategy(error: Exception, attempts: int) -> RetryDecision:
        note(f"asked-{attempts}-{type(error).__name__}")
        if attempts < 2:
            return RetryDecision.retry(Duration.from_seconds(1))
        return RetryDecision.no_retry()

    def body(step: StepContext) -> str:
        raise KeyError("x")

    return context.step(body, name="asks", config=StepConfig(retry_strategy=strategy))


@durable_execution
def children(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    def inner(child: DurableContext) -> int:
        first = child.step(lambda _: 20, name="first")
        child.wait(Duration.from_seconds(1), name="pause")
        return first + child.step(lambda _: 22, name="second")

    def virtual(child: DurableContext) -> str:
        return child.step(lambda _: "seen", name="in_virtual")

    def large(child: DurableContext) -> str:
        note("large-body")
        return "x" * child.step(lambda _: 300_000, name="size")

    total = context.run_in_child_context(inner, name="sum")
    seen = context.run_in_child_context(
        virtual, name="virtual", config=ChildConfig(is_virtual=True)
    )
    big = context.run_in_child_context(large, name="large")
    context.wait(Duration.from_seconds(1), name="after")
    return {"total": total, "seen": seen, "big": len(big)}


@durable_execution
def changed(event: dict[str, Any], context: DurableContext) -> str:
    """Its code depends on the environment, as after a deployment."""
    if os.environ.get("DURABLED_TEST_VERSION") == "2":
        context.step(lambda _: note("new-code"), name="first")
    else:
        context.wait(Duration.from_seconds(1), name="first")
    return "done"


@durable_execution
def logs(event: dict[str, Any], context: DurableContext) -> None:
    context.logger.info("before")
    context.step(lambda step: step.logger.info("inside"), name="talk")
    context.wait(Duration.from_seconds(1), name="pause")
    context.logger.info("after", extra={"order": "1001"})


@durable_execution
def logs_much(event: dict[str, Any], context: DurableContext) -> None:
    if "after" in event:
        note("waits")
        wait_for_note(event["after"])
    for number in range(event["lines"]):
        context.logger.info("line %d%s", number, "." * event.get("length", 0))
        if number % event.get("step_every", event["lines"]) == 0 and number:
            context.step(lambda _: None)  # answered when the lines before it were read
    note("logged")


@durable_execution
def big_result(event: dict[str, Any], context: DurableContext) -> str:
    return "y" * BIG


@durable_execution
def sized_result(event: dict[str, Any], context: DurableContext) -> str:
    return "y" * int(event["bytes"])


def sequence_of(event: dict[str, Any], context: DurableContext) -> int:
    total = 0
    for number in range(event["steps"]):

        def body(_: StepContext, number: int = number) -> int:
            note(f"{event['key']}:{number}")
            return number

        total += context.step(body, name=f"step-{number}")
        if event.get("wait_every") and number % event["wait_every"] == 0:
            context.wait(Duration.from_seconds(1))
    return total


@durable_execution
def sequence(event: dict[str, Any], context: DurableContext) -> int:
    """Many small steps and waits, each noted: what the torture test checks."""
    return sequence_of(event, context)


@durable_execution
def begins_often(event: dict[str, Any], context: DurableContext) -> int:
    """As sequence(), and its beginnings are noted too."""
    note("begun")
    return sequence_of(event, context)


@durable_execution
def rounds(event: dict[str, Any], context: DurableContext) -> int:
    """Steps, one that fails once, some at once, and a wait; each body notes that it ran."""
    once_more = create_retry_strategy(
        RetryStrategyConfig(
            max_attempts=2,
            initial_delay=Duration.from_seconds(1),
            jitter_strategy=JitterStrategy.NONE,
        )
    )

    def body(name: str, fails: int = 0) -> Callable[[StepContext], int]:
        def run(step: StepContext) -> int:
            note(f"{event['key']}:{name}:{step.attempt}")
            if step.attempt <= fails:
                raise RuntimeError(name)
            return 1

        return run

    total = 0
    for number in range(event["rounds"]):
        for place in range(3):
            total += context.step(body(f"{number}-{place}"))
        total += context.step(
            body(f"{number}-flaky", fails=1), config=StepConfig(retry_strategy=once_more)
        )
        several = context.map(
            range(3),
            lambda branch, item, *_, number=number: branch.step(body(f"{number}-map-{item}")),
        )
        total += sum(several.get_results())
        context.wait(Duration.from_seconds(1))
    return total


@durable_execution
def approval(event: dict[str, Any], context: DurableContext) -> str:
    config = WaitForCallbackConfig(
        timeout=Duration.from_seconds(event.get("timeout", 0)),
        heartbeat_timeout=Duration.from_seconds(event.get("heartbeat", 0)),
    )
    try:
        return context.wait_for_callback(
            lambda callback_id, _: note(callback_id), "approval", config
        )
    except CallbackError as error:
        return f"{type(error).__name__}: {error}"


@durable_execution
def two_callbacks(event: dict[str, Any], context: DurableContext) -> list[str]:
    first = context.create_callback("first", CallbackConfig(timeout=Duration.from_hours(1)))
    second = context.create_callback("second")
    return [first.result(), second.result()]


def stamp(event: Any, context: Any) -> str:
    """A plain function; answers when the test says go."""
    note(f"asked-{event}")
    wait_for_note("go")
    return f"{event} stamped"


def adds(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """A plain function that is told of nothing durable."""
    note("adding")
    return {"sum": event["a"] + event["b"]}


def refuses(event: dict[str, Any], context: Any) -> None:
    """A plain function that fails; one that asks for another run does so once."""
    note("tried")
    if "again" not in event:
        raise ValueError("no such order")
    if NOTES.read_text().split().count("tried") == 1:
        raise InvocationError("not this time")


def large(event: dict[str, Any], context: Any) -> str:
    return "z" * BIG


def exits_plainly(event: dict[str, Any], context: Any) -> str:
    note("tried")
    if NOTES.read_text().split().count("tried") == 1:
        os._exit(3)
    return "survived"


def attaches(event: dict[str, Any], context: Any) -> Any:
    """Attaches by its request id, and leaves the end of its session to what it returns."""
    session = Session(Connection(), event.get("as"), context.aws_request_id, None)
    assert json.loads(session.input or "") == event
    if "wait" in event and session.cursor.empty:
        wait = {"operation": 1, "context": 0, "position": 1, "type": "WAIT", "seconds": 1}
        session.post("session.start", **wait)
        with contextlib.suppress(SuspendExecution):
            session.result(session.post("session.await", context=0, operations=[1]))
        note("unwound")
    if "raise" in event:
        raise ValueError("left open")
    if "lose" in event and "lost" not in NOTES.read_text().split():
        session._connection.close()
        note("lost")
    return {"left": "open"}


@durable_execution
def invokes(event: dict[str, Any], context: DurableContext) -> str:
    stamped: str = context.invoke(event["function"], event["document"], name="stamp")
    return stamped


@durable_execution
def maps(event: dict[str, Any], context: DurableContext) -> int:
    """Doubles numbers; but those in `fails` fail, and those in `waits` wait for a callback."""

    def body(branch: DurableContext, item: int, index: int, items: Any) -> int:
        if item in event.get("fails", []):
            raise ValueError(f"item {item}")
        if item in event.get("waits", []):
            branch.create_callback("approval").result()
        return branch.step(lambda _: item * 2, name="double")

    config: MapConfig[int] = MapConfig(
        max_concurrency=64,
        item_namer=lambda item, _: f"item-{item}",
        completion_config=CompletionConfig(tolerated_failure_count=event["items"]),
    )
    return sum(
        context.map(list(range(event["items"])), body, "double_all", config).get_results()
    )


@durable_execution
def cases(event: dict[str, Any], context: DurableContext) -> str:
    """One of the things that queries of the log are to find."""

    def body(_: StepContext) -> str:
        if event["case"] == "slow":
            time.sleep(1.1)  # the query asks for more than a second
        if event["case"] == "interrupted" and "begun" not in NOTES.read_text():
            note("begun")
            wait_for_note("go")
            os.kill(os.getpid(), signal.SIGKILL)
        if event["case"] == "failed":
            raise ValueError("no such order")
        return "ok"

    done = context.step(body, name=f"{event['case']}-step", config=StepConfig(NEVER))
    if event["case"] == "stuck":
        context.create_callback("approval").result()
    return done


@durable_execution
def naps(event: dict[str, Any], context: DurableContext) -> None:
    context.step(lambda _: "tired", name="yawn")
    context.wait(Duration.from_hours(1), name="nap")


@durable_execution
def tries_later(event: dict[str, Any], context: DurableContext) -> None:
    """A step whose second attempt is in an hour."""

    def body(_: StepContext) -> None:
        raise RuntimeError("not yet")

    strategy = create_retry_strategy(
        RetryStrategyConfig(
            initial_delay=Duration.from_hours(1),
            max_delay=Duration.from_hours(2),
            jitter_strategy=JitterStrategy.NONE,
        )
    )
    context.step(body, name="patient", config=StepConfig(retry_strategy=strategy))


logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
