"""Each operation against a real daemon, live and on replay."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from conftest import Daemon
from durabled import (
    BatchCompletionError,
    CallbackExternalError,
    CallbackSubmitterError,
    CallbackTimeoutError,
    ChildContextError,
    CompletionOutcome,
    CompletionStatus,
    DurableContext,
    InvokeError,
    RetryableSerDesError,
    SerDesError,
    StepContext,
    StepError,
    StepTimeoutError,
    WaitForConditionError,
    WithRetryConfig,
    complete_batch,
    continue_batch,
    durable_execution,
    durable_parallel_branch,
    durable_wait_for_callback,
    with_retry,
)
from durabled._wire import CallError
from durabled.client import ExecutionFailedError
from durabled.config import (
    CallbackConfig,
    ChildConfig,
    CompletionConfig,
    Duration,
    JitterStrategy,
    MapConfig,
    NestingType,
    ParallelBranch,
    ParallelConfig,
    StepConfig,
    StepSemantics,
    WaitForCallbackConfig,
)
from durabled.exceptions import NonDeterministicExecutionError
from durabled.retries import RetryPresets, RetryStrategyConfig, create_retry_strategy
from durabled.serdes import JsonSerDes, SerDes, SerDesContext
from durabled.waits import (
    WaitForConditionConfig,
    WaitForConditionDecision,
    WaitStrategyConfig,
    create_wait_strategy,
)
from running import (
    OFFICIAL,
    PATIENCE,
    counted,
    durable,
    run,
    run_and_describe,
    serving,
    until_waiting,
)

NO_RETRY = StepConfig(retry_strategy=RetryPresets.none())
EVERY_SECOND = create_retry_strategy(
    RetryStrategyConfig(initial_delay=Duration(1), jitter_strategy=JitterStrategy.NONE)
)


def fails(message: str = "boom") -> Any:
    def body(*_: Any) -> Any:
        raise ValueError(message)

    return body


# --- step: timeout ----------------------------------------------------------------------


def test_a_step_that_takes_too_long_fails_and_its_late_result_is_refused(
    daemon: Daemon,
) -> None:
    late, attempts = threading.Event(), []

    def handler(context: DurableContext) -> Any:
        def body(step: StepContext) -> str:
            attempts.append(step.attempt)
            if step.attempt == 1:
                assert late.wait(60)
                return "late"
            return "in time"

        config = StepConfig(retry_strategy=EVERY_SECOND, timeout=Duration(1))
        result = context.step(body, name="slow", config=config)
        late.set()
        context.wait(Duration(1))
        return result

    assert run(daemon, durable(handler)) == "in time"
    assert attempts == [1, 2]


def test_timeouts_exhaust_the_strategy(daemon: Daemon) -> None:
    never = threading.Event()
    seen: list[Any] = []

    def handler(context: DurableContext) -> None:
        config = StepConfig(retry_strategy=RetryPresets.none(), timeout=Duration(1))
        try:
            context.step(lambda _: never.wait(60), config=config)
        except StepError as error:
            seen.append((error.error_type, type(error.__cause__), str(error)))
        context.wait(Duration(1))

    run(daemon, durable(handler))
    never.set()
    said = "the attempt took longer than 1 seconds"
    assert seen == [("durabled.exceptions.StepTimeoutError", StepTimeoutError, said)] * 2


# --- callbacks --------------------------------------------------------------------------


def test_callback_from_outside(daemon: Daemon) -> None:
    ids: list[str] = []

    def handler(context: DurableContext) -> Any:
        callback = context.create_callback(name="approval")
        ids.append(callback.callback_id)
        return callback.result()

    with serving(daemon, f=durable(handler)) as client:
        execution = client.start("f")
        until_waiting(execution)
        client.callback_heartbeat(ids[0])
        client.callback_succeed(ids[0], "yes")
        assert execution.result(PATIENCE) == "yes"
        with pytest.raises(CallError) as again:
            client.callback_succeed(ids[0], "yes")
        assert again.value.code == "CallbackTimeoutException"
        assert "either timed out or already completed" in again.value.message
    assert ids == [ids[0]] * 2


def test_callback_by_execution_and_name(daemon: Daemon) -> None:
    def handler(context: DurableContext) -> Any:
        config = CallbackConfig(serdes=JsonSerDes())
        return context.create_callback(name="approval", config=config).result()

    with serving(daemon, f=durable(handler)) as client:
        execution = client.start("f", name="order")
        until_waiting(execution)
        client.callback_succeed(execution="order", operation="approval", result={"by": "me"})
        assert execution.result(PATIENCE) == {"by": "me"}


def test_a_callbacks_failure_is_raised_by_result_only(daemon: Daemon) -> None:
    log: list[str] = []

    def handler(context: DurableContext) -> Any:
        callback = context.create_callback(name="c")
        context.wait(Duration(1))
        context.step(counted(log, "between"))
        try:
            callback.result()
        except CallbackExternalError as error:
            return [str(error), error.data, error.error_type]

    with serving(daemon, f=durable(handler)) as client:
        execution = client.start("f", name="e")
        until_waiting(execution)
        error = {"ErrorMessage": "no", "ErrorType": "Refused", "ErrorData": "d"}
        client.callback_fail(error=error, execution="e", operation="c")
        result = execution.result(PATIENCE)
    assert result == ["no", "d", f"{OFFICIAL}.CallbackExternalError"]
    assert log == ["between"]


def test_callback_timeout(daemon: Daemon) -> None:
    def handler(context: DurableContext) -> Any:
        callback = context.create_callback(config=CallbackConfig(timeout=Duration(1)))
        with pytest.raises(CallbackTimeoutError) as timed_out:
            callback.result()
        return str(timed_out.value)

    assert "timed out" in run(daemon, durable(handler)).lower()


def test_wait_for_callback(daemon: Daemon) -> None:
    given: list[str] = []

    @durable_wait_for_callback
    def submit(callback_id: str, context: Any, order: str) -> None:
        given.append(f"{order} {callback_id}")

    def handler(context: DurableContext) -> Any:
        return context.wait_for_callback(submit("7"))

    with serving(daemon, f=durable(handler)) as client:
        execution = client.start("f")
        until_waiting(execution)
        order, callback_id = given[0].split()
        client.callback_succeed(callback_id, "paid")
        assert (order, execution.result(PATIENCE)) == ("7", "paid")
        operations = execution.describe()["operations"][1:]
    assert [(o.get("Name"), o["Type"], o["SubType"]) for o in operations] == [
        ("submit", "CONTEXT", "WaitForCallback"),
        ("submit create callback id", "CALLBACK", "Callback"),
        ("submit submitter", "STEP", "Step"),
    ]
    assert len(given) == 1


def test_wait_for_callback_says_what_failed(daemon: Daemon) -> None:
    seen: list[Any] = []

    def handler(context: DurableContext) -> None:
        no_retry = WaitForCallbackConfig(retry_strategy=RetryPresets.none())
        timeout = WaitForCallbackConfig(timeout=Duration(1))
        for submitter, config in ((fails(), no_retry), (lambda *_: None, timeout)):
            try:
                context.wait_for_callback(submitter, config=config)
            except (CallbackSubmitterError, CallbackTimeoutError) as error:
                seen.append((type(error), str(error)))
        context.wait(Duration(1))

    run(daemon, durable(handler))
    assert [kind for kind, _ in seen[-2:]] == [CallbackSubmitterError, CallbackTimeoutError]
    assert seen[-2][1] == "boom"


# --- wait_for_condition -----------------------------------------------------------------


def test_wait_for_condition_keeps_its_state(daemon: Daemon) -> None:
    seen: list[Any] = []

    def handler(context: DurableContext) -> Any:
        def check(state: dict[str, int], check: Any) -> dict[str, int]:
            seen.append((state, check.attempt))
            return {"n": state["n"] + 1}

        strategy = create_wait_strategy(
            WaitStrategyConfig(lambda state: state["n"] < 3, initial_delay=Duration(1))
        )
        config = WaitForConditionConfig(strategy, {"n": 0})
        return context.wait_for_condition(check, config, name="ready")

    assert run(daemon, durable(handler)) == {"n": 3}
    assert seen == [({"n": 0}, 1), ({"n": 1}, 2), ({"n": 2}, 3)]


def test_wait_for_condition_fails(daemon: Daemon) -> None:
    seen: list[Any] = []

    def forever(state: int, attempt: int) -> WaitForConditionDecision:
        raise WaitForConditionError(f"gave up after {attempt}")

    def handler(context: DurableContext) -> None:
        for check, strategy in ((fails(), forever), (lambda s, _: s, forever)):
            try:
                context.wait_for_condition(check, WaitForConditionConfig(strategy, 0))
            except WaitForConditionError as error:
                seen.append((str(error), error.error_type))
        context.wait(Duration(1))

    run(daemon, durable(handler))
    assert seen == 2 * [
        ("boom", "ValueError"),
        ("gave up after 1", f"{OFFICIAL}.WaitForConditionError"),
    ]


# --- invoke -----------------------------------------------------------------------------


def test_invoke_durable_and_plain_functions(daemon: Daemon) -> None:
    def child(event: Any, context: DurableContext) -> Any:
        context.wait(Duration(1))
        return {"durable": event}

    async def plain(event: Any, context: Any) -> Any:
        return {"plain": event, "name": context.function_name}

    def handler(context: DurableContext) -> Any:
        return [
            context.invoke("child", {"n": 1}, name="a"),
            context.invoke("plain", None),
        ]

    result = run(daemon, durable(handler), child=durable_execution(child), plain=plain)
    assert result == [{"durable": {"n": 1}}, {"plain": None, "name": "plain"}]


def test_invoke_fails(daemon: Daemon) -> None:
    seen: list[Any] = []

    def handler(context: DurableContext) -> None:
        for function in ("bad", "nobody"):
            try:
                context.invoke(function, 1)
            except InvokeError as error:
                seen.append((str(error), error.error_type))
        context.wait(Duration(1))

    run(daemon, durable(handler), bad=durable_execution(fails("no luck")))
    assert seen[:2] == seen[-2:]
    assert seen[0] == ("no luck", "ValueError")
    assert "nobody" in seen[1][0]


# --- parallel and map -------------------------------------------------------------------


def test_parallel(daemon: Daemon) -> None:
    log: list[str] = []

    @durable_parallel_branch(name="named")
    def named(context: DurableContext, value: int) -> Any:
        return context.step(counted(log, "step", value))

    def waits(context: DurableContext) -> str:
        context.wait(Duration(1))
        return "waited"

    def handler(context: DurableContext) -> Any:
        branches = [named(1), waits, ParallelBranch(lambda _: 3, name="three")]
        result = context.parallel(branches, name="all")
        context.wait(Duration(1))
        return [result.get_results(), result.completion_reason.value, result.status.value]

    result, operations = run_and_describe(daemon, durable(handler))
    assert result == [[1, "waited", 3], "ALL_COMPLETED", "SUCCEEDED"]
    assert log == ["step"]
    branches = [o for o in operations if o["SubType"] == "ParallelBranch"]
    assert sorted(o["Name"] for o in branches) == ["named", "parallel-branch-1", "three"]
    assert operations[0]["ContextDetails"]["Result"].startswith('{"t":"br","v":{"all":')


def test_parallel_branches_run_at_the_same_time(daemon: Daemon) -> None:
    together = threading.Barrier(3, timeout=30)

    def handler(context: DurableContext) -> Any:
        branch = lambda c: c.step(lambda _: together.wait() >= 0)  # noqa: E731
        return context.parallel([branch] * 3).get_results()

    assert run(daemon, durable(handler)) == [True] * 3


def test_map_with_failures(daemon: Daemon) -> None:
    seen: list[Any] = []

    def handler(context: DurableContext) -> None:
        def item(child: DurableContext, value: int, index: int, items: Any) -> int:
            assert items[index] == value
            if value % 2:
                raise ValueError(f"odd {value}")
            return value * 10

        config = MapConfig[int](
            completion_config=CompletionConfig.all_completed(),
            item_namer=lambda value, index: f"n{value}",
        )
        result = context.map([2, 3, 4], item, name="m", config=config)
        errors = result.get_errors()
        seen.append((result.get_results(), [(e.type, e.message) for e in errors if e]))
        with pytest.raises(ChildContextError, match="odd 3"):
            result.throw_if_error()
        context.wait(Duration(1))

    _, operations = run_and_describe(daemon, durable(handler))
    assert seen == [([20, 40], [("ValueError", "odd 3")])] * 2
    names = [o["Name"] for o in operations if o["SubType"] == "MapIteration"]
    assert sorted(names) == ["n2", "n3", "n4"]


def test_map_stops_at_the_first_failure(daemon: Daemon) -> None:
    def handler(context: DurableContext) -> Any:
        result = context.map([1, 2, 3], fails(), config=MapConfig(max_concurrency=1))
        return [result.completion_reason.value, result.total_count, result.failure_count]

    assert run(daemon, durable(handler)) == ["FAILURE_TOLERANCE_EXCEEDED", 1, 1]


def test_empty_batches(daemon: Daemon) -> None:
    def handler(context: DurableContext) -> Any:
        empty = context.map([], fails())
        return [empty.all, empty.completion_reason.value, context.parallel([]).status.value]

    assert run(daemon, durable(handler)) == [[], "ALL_COMPLETED", "SUCCEEDED"]


def test_early_completion_leaves_the_rest(daemon: Daemon) -> None:
    release, ended = threading.Event(), []

    def handler(context: DurableContext) -> Any:
        def slow(child: DurableContext) -> None:
            child.step(lambda _: release.wait(60))
            ended.append("not reached")

        def quick(child: DurableContext) -> str:
            return "quick"

        config = ParallelConfig(completion_config=CompletionConfig.first_successful())
        result = context.parallel([slow, quick], config=config)
        release.set()
        return [item.status.value for item in result.all], result.completion_reason.value

    result = run(daemon, durable(handler))
    assert result == [["STARTED", "SUCCEEDED"], "MIN_SUCCESSFUL_REACHED"]
    assert ended == []


def test_waiting_branches_of_a_batch_that_ended_are_unwound(daemon: Daemon) -> None:
    def handler(context: DurableContext) -> Any:
        def waits(child: DurableContext) -> None:
            child.wait(Duration.from_days(1))

        config = ParallelConfig(completion_config=CompletionConfig.first_successful())
        branches = [waits, waits, lambda c: c.step(lambda _: 1)]
        return context.parallel(branches, config=config).started_count

    assert run(daemon, durable(handler)) == 2


def test_predicate(daemon: Daemon) -> None:
    seen: list[list[str | None]] = []

    def enough(status: CompletionStatus) -> Any:
        seen.append([item.status and item.status.value for item in status.items])
        assert status.items[0].name is None and len(status.items) == status.total_count == 3
        if status.success_count == 2:
            return complete_batch(CompletionOutcome.FAILED)
        return continue_batch()

    def handler(context: DurableContext) -> Any:
        config = MapConfig[int](
            max_concurrency=1,
            completion_config=CompletionConfig(should_complete=enough),
        )
        result = context.map([1, 2, 3], lambda c, item, *_: item, config=config)
        with pytest.raises(BatchCompletionError):
            result.throw_if_error()
        return [result.completion_reason.value, result.status.value, result.get_results()]

    assert run(daemon, durable(handler)) == ["CUSTOM_COMPLETION_FAILED", "FAILED", [1, 2]]
    assert seen[0] == [None, None, None]
    assert seen[-1] == ["SUCCEEDED", "SUCCEEDED", None]
    assert len(seen) == 3


def test_a_predicate_that_raises_fails_the_batch(daemon: Daemon) -> None:
    def handler(context: DurableContext) -> Any:
        config = MapConfig[int](completion_config=CompletionConfig(should_complete=fails()))
        with pytest.raises(ChildContextError, match="boom"):
            context.map([1], lambda *_: 1, config=config)

    run(daemon, durable(handler))


def test_flat_branches_are_not_recorded(daemon: Daemon) -> None:
    log: list[str] = []

    def handler(context: DurableContext) -> Any:
        def item(child: DurableContext, value: int, *_: Any) -> int:
            child.step(counted(log, f"step {value}"), name=f"s{value}")
            return value

        config = MapConfig[int](nesting_type=NestingType.FLAT, max_concurrency=1)
        result = context.map([1, 2], item, name="m", config=config)
        context.wait(Duration(1))
        return result.get_results()

    result, operations = run_and_describe(daemon, durable(handler))
    assert (result, log) == ([1, 2], ["step 1", "step 2"])
    assert [o.get("Name") for o in operations] == ["m", "s1", "s2", None]
    assert {o.get("ParentId") for o in operations[1:3]} == {operations[0]["Id"]}


@pytest.mark.parametrize("nesting", NestingType)
def test_a_large_result_is_rebuilt_from_its_branches(
    daemon: Daemon, nesting: NestingType
) -> None:
    log: list[str] = []
    release = threading.Event()

    def handler(context: DurableContext) -> Any:
        def item(child: DurableContext, index: int, *_: Any) -> str:
            if index == 3:
                child.step(lambda _: release.wait(60))
            if index == 1:
                raise ValueError("no")
            log.append(f"body {index}")
            return child.step(counted(log, f"step {index}", str(index) * 200_000))

        config = MapConfig[int](
            nesting_type=nesting,
            completion_config=CompletionConfig(min_successful=2),
            summary_generator=lambda result: f"{result.success_count} good ones",
        )
        result = context.map([0, 1, 2, 3], item, config=config)
        release.set()
        context.wait(Duration(1))
        items = [(item.status.value, (item.result or "")[:1]) for item in result.all]
        return [
            items,
            result.completion_reason.value,
            [e and e.type for e in result.get_errors()],
        ]

    result, operations = run_and_describe(daemon, durable(handler))
    statuses = [["SUCCEEDED", "0"], ["FAILED", ""], ["SUCCEEDED", "2"], ["STARTED", ""]]
    assert result == [statuses, "MIN_SUCCESSFUL_REACHED", ["ValueError"]]
    batch = operations[0]["ContextDetails"]
    assert batch["ReplayChildren"] is True
    assert '"startedIndexes": [3]' in batch["Result"]
    assert '"summary": "2 good ones"' in batch["Result"]
    assert sorted(entry for entry in log if "step" in entry) == ["step 0", "step 2"]
    assert log.count("body 0") == (2 if nesting is NestingType.FLAT else 1)


def test_nested_batches(daemon: Daemon) -> None:
    def handler(context: DurableContext) -> Any:
        def inner(child: DurableContext, value: int, *_: Any) -> int:
            child.wait(Duration(1))
            return value + 1

        def outer(child: DurableContext, value: int, *_: Any) -> list[int]:
            return child.map([value, value * 10], inner).get_results()

        return context.map([1, 2], outer).get_results()

    assert run(daemon, durable(handler)) == [[2, 11], [3, 21]]


def test_steps_of_branches_retry(daemon: Daemon) -> None:
    def handler(context: DurableContext) -> Any:
        def body(step: StepContext) -> int:
            if step.attempt == 1:
                raise ValueError("not yet")
            return step.attempt

        config = StepConfig(retry_strategy=EVERY_SECOND)
        branches = [lambda c: c.step(body, config=config), lambda c: c.step(lambda _: 0)]
        return context.parallel(branches).get_results()

    assert run(daemon, durable(handler)) == [2, 0]


def test_many_branches_with_few_threads(daemon: Daemon) -> None:
    threads: set[str] = set()

    def handler(context: DurableContext) -> Any:
        def item(child: DurableContext, value: int, *_: Any) -> int:
            threads.add(threading.current_thread().name)
            return child.step(lambda _: value)

        result = context.map(range(300), item, config=MapConfig(max_concurrency=4))
        return sum(result.get_results())

    assert run(daemon, durable(handler)) == sum(range(300))
    assert len(threads) <= 4


def test_a_fatal_error_of_a_branch_is_the_executions(daemon: Daemon) -> None:
    """Whatever the batch tolerates, and while a sibling waits."""

    def handler(context: DurableContext) -> Any:
        def fatal(child: DurableContext) -> None:
            raise NonDeterministicExecutionError("it is another one now")

        config = ParallelConfig(completion_config=CompletionConfig.all_completed())
        branches = [lambda c: c.wait(Duration.from_days(1)), fatal]
        context.parallel(branches, config=config)

    with pytest.raises(ExecutionFailedError) as failed:
        run(daemon, durable(handler))
    assert failed.value.error == {
        "ErrorType": f"{OFFICIAL}.NonDeterministicExecutionError",
        "ErrorMessage": "it is another one now",
    }


class FlakySerDes(SerDes[Any]):
    """Fails once, for a while."""

    def __init__(self) -> None:
        self.failed = False

    def serialize(self, value: Any, serdes_context: SerDesContext) -> str:
        if not self.failed:
            self.failed = True
            raise RetryableSerDesError("busy")
        return str(value)

    def deserialize(self, data: str, serdes_context: SerDesContext) -> Any:
        return int(data)


def test_a_retryable_error_of_a_branch_fails_the_invocation(daemon: Daemon) -> None:
    serdes, log = FlakySerDes(), []

    def handler(context: DurableContext) -> Any:
        def item(child: DurableContext, value: int, *_: Any) -> int:
            return child.step(counted(log, str(value), value))

        config = MapConfig[int](item_serdes=serdes, max_concurrency=1)
        return context.map([1, 2], item, config=config).get_results()

    assert run(daemon, durable(handler)) == [1, 2]
    assert log == ["1", "2"]


def test_virtual_children_and_with_retry(daemon: Daemon) -> None:
    def handler(context: DurableContext) -> Any:
        def body(inner: DurableContext, attempt: int) -> int:
            inner.step(lambda _: None, name=f"s{attempt}")
            if attempt < 2:
                raise ValueError("again")
            return attempt

        virtual = ChildConfig[int](is_virtual=True)
        once = WithRetryConfig[int](EVERY_SECOND, wrap_with_run_in_child_context=False)
        return [
            context.run_in_child_context(lambda c: c.step(lambda _: 1), config=virtual),
            with_retry(context, body, once, name="r"),
        ]

    result, operations = run_and_describe(daemon, durable(handler))
    assert result == [1, 2]
    assert [o.get("Name") for o in operations] == [None, "s1", "r-backoff-1", "s2"]


def test_async_bodies_in_a_blocking_handler(daemon: Daemon) -> None:
    async def body(step: StepContext) -> str:
        return f"attempt {step.attempt}"

    async def child(context: Any) -> list[Any]:
        return [await context.step(body), await context.step(lambda _: 2)]

    def handler(context: DurableContext) -> Any:
        both = context.parallel([child, child]).get_results()
        return [context.step(body), context.run_in_child_context(child), both]

    expected = ["attempt 1", 2]
    assert run(daemon, durable(handler)) == ["attempt 1", expected, [expected] * 2]


def test_a_strategy_that_raises_is_the_handlers_error(daemon: Daemon) -> None:
    """And the step it was asked about holds nothing up."""

    def handler(context: DurableContext) -> Any:
        def strategy(error: Exception, attempt: int) -> Any:
            raise LookupError("no decision")

        with pytest.raises(LookupError):
            context.step(fails(), config=StepConfig(retry_strategy=strategy))
        context.wait(Duration(1))
        return "went on"

    assert run(daemon, durable(handler)) == "went on"


def test_at_most_once_in_a_branch(daemon: Daemon) -> None:
    config = StepConfig(step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY)

    def handler(context: DurableContext) -> Any:
        return context.parallel([lambda c: c.step(lambda _: 1, config=config)]).get_results()

    assert run(daemon, durable(handler)) == [1]


def test_batch_that_was_flat_and_is_not(daemon: Daemon) -> None:
    nesting = [NestingType.NESTED]

    def handler(context: DurableContext) -> Any:
        def item(child: DurableContext, *_: Any) -> None:
            child.wait(Duration(1))

        config = MapConfig[int](nesting_type=nesting[0])
        nesting[0] = NestingType.FLAT
        context.map([1], item, config=config)

    with pytest.raises(ExecutionFailedError, match="current nesting is FLAT"):
        run(daemon, durable(handler))


# --- bad input --------------------------------------------------------------------------


class Wrong(SerDes[Any]):
    """Gives what is no text."""

    def __init__(self, gives: Any) -> None:
        self._gives = gives

    def serialize(self, value: Any, serdes_context: SerDesContext) -> str:
        return self._gives  # type: ignore[no-any-return]

    def deserialize(self, data: str, serdes_context: SerDesContext) -> Any:
        return data


@pytest.mark.parametrize(
    ("gives", "message"),
    [(b"bytes", "gave bytes, not text"), ("\ud800", "surrogates not allowed")],
)
def test_what_a_serdes_may_not_give(daemon: Daemon, gives: Any, message: str) -> None:
    seen: list[str] = []

    def handler(context: DurableContext) -> Any:
        for call in (
            lambda: context.step(lambda _: 1, config=StepConfig(serdes=Wrong(gives))),
            lambda: context.run_in_child_context(
                lambda _: 1, config=ChildConfig(serdes=Wrong(gives))
            ),
        ):
            try:
                call()
            except SerDesError as error:
                seen.append(str(error))
        context.wait(Duration(1))

    run(daemon, durable(handler))
    assert len(seen) == 4 and seen[:2] == seen[2:]
    assert all(message in said for said in seen)


def test_items_that_cannot_be_serialised_fail(daemon: Daemon) -> None:
    def handler(context: DurableContext) -> Any:
        config = MapConfig[int](completion_config=CompletionConfig.all_completed())
        result = context.map(
            [1, 2], lambda c, item, *_: {1, 2} if item == 1 else 2, config=config
        )
        with pytest.raises(SerDesError, match="Unsupported type"):
            result.throw_if_error()
        return [[e and e.type for e in result.get_errors()], result.get_results()]

    assert run(daemon, durable(handler)) == [[f"{OFFICIAL}.SerDesError"], [2]]


def test_branches_that_go_on_while_they_unwind_change_nothing(daemon: Daemon) -> None:
    log: list[str] = []

    def handler(context: DurableContext) -> Any:
        def stubborn(child: DurableContext) -> None:
            try:
                child.wait(Duration(1))
            except BaseException:
                child.step(counted(log, "must not run"))

        result = context.parallel([stubborn, stubborn])
        return result.success_count

    assert run(daemon, durable(handler)) == 2
    assert log == []


def test_lines_are_logged_once_in_branches_too(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(context: DurableContext) -> None:
        context.logger.warning("handler begins")

        def item(child: DurableContext, value: int, *_: Any) -> None:
            child.logger.warning("item %d begins", value)
            child.step(lambda step: step.logger.warning("item %d steps", value))
            child.wait(Duration(value))
            child.logger.warning("item %d goes on", value)

        context.map([1, 2], item)
        context.logger.warning("between")
        context.wait(Duration(1))
        context.logger.warning("handler ends")

    run(daemon, durable(handler))
    lines = [r for r in caplog.records if hasattr(r, "executionArn")]
    said = sorted(record.getMessage() for record in lines)
    assert said == sorted(
        ["handler begins", "between", "handler ends"]
        + [f"item {n} {does}" for n in (1, 2) for does in ("begins", "steps", "goes on")]
    )
    steps = [vars(r) for r in lines if "steps" in r.getMessage()]
    assert all({"parentId", "operationId", "attempt"} <= set(step) for step in steps)
