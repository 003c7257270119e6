"""Runs operations, on threads or on an event loop.

An operation is written once, as a generator that yields what it needs: an answer, the
outcome of a body, a branch beside it. Each such need knows how to be met in both worlds:
`block()` on the calling thread, `wait()` on the running loop. The two drivers differ in
nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from durabled._crew import Crew, Pool
from durabled._wire import Reply
from durabled.exceptions import StepTimeoutError, SuspendExecution

if TYPE_CHECKING:
    from durabled._session import Session

T = TypeVar("T")


class Need(ABC):
    """What an operation cannot go on without."""

    @abstractmethod
    def block(self) -> Any:
        """Meets it on this thread."""

    @abstractmethod
    async def wait(self) -> Any:
        """Meets it on this loop."""


Op: TypeAlias = Generator[Need, Any, T]


def run(op: Op[T]) -> T:
    """The driver for threads."""
    value: Any = None
    raised: BaseException | None = None
    while True:
        try:
            need = op.throw(raised) if raised is not None else op.send(value)
        except StopIteration as end:
            result: T = end.value
            return result
        value, raised = None, None
        try:
            value = need.block()
        except BaseException as error:
            raised = error


async def arun(op: Op[T]) -> T:
    """The driver for event loops."""
    value: Any = None
    raised: BaseException | None = None
    while True:
        try:
            need = op.throw(raised) if raised is not None else op.send(value)
        except StopIteration as end:
            result: T = end.value
            return result
        value, raised = None, None
        try:
            value = await need.wait()
        except BaseException as error:
            raised = error


async def _arrived(reply: Reply) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not future.done():
            future.set_result(None)

    def arrived() -> None:
        # A loop that was closed meanwhile waits for nothing.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell)

    reply.watch(arrived)
    await future


# --- answers ----------------------------------------------------------------------------


class Answered(Need):
    """The answer to a call that was made."""

    def __init__(self, session: Session, reply: Reply, operation_id: str | None = None) -> None:
        self._session = session
        self._reply = reply
        self._id = operation_id

    def block(self) -> dict[str, Any]:
        return self._session.result(self._reply, self._id)

    async def wait(self) -> dict[str, Any]:
        await _arrived(self._reply)
        return self._session.result(self._reply, self._id)


def _outcome(answer: dict[str, Any], handle: int) -> dict[str, Any]:
    """An answer to session.await, as the one about `handle` alone."""
    if answer["outcome"] != "ready":
        return answer
    [result] = [one for one in answer["operations"] if one["operation"] == handle]
    return {**result, "outcome": "done"}


class Awaited(Need):
    """An operation that is open: `done`, or what its body is to do again. It is waited for
    on the strand that runs now, be the operation of whichever context. `start`: of one that
    has just been started; on a thread both are under way at once."""

    def __init__(self, strand: Strand, handle: int, start: Answered | None = None) -> None:
        self._strand = current.get(strand)
        self._handle = handle
        self._start = start

    def block(self) -> dict[str, Any]:
        reply = self._strand.ask([self._handle])
        if self._start:
            self._start.block()
        return _outcome(self._strand.result(reply), self._handle)

    async def wait(self) -> dict[str, Any]:
        if self._start:
            answer = await self._start.wait()
            if answer["outcome"] == "done":
                return answer
        return _outcome(await self._strand.until_done(self._handle), self._handle)


# Turns of the loop without a new operation after which a strand is taken to wait. What an
# answer wakes may itself have to wake others, each in a turn of its own: a gather, a task
# group, the task that waits for them.
_IDLE_TURNS = 20


class _Waiter:
    """One operation that a strand waits for. Without a future its body runs on another
    strand, and ends by itself."""

    def __init__(self, handle: int, future: asyncio.Future[dict[str, Any]] | None) -> None:
        self.handle = handle
        self.future = future
        self.asked = False

    def wake(self, answer: dict[str, Any]) -> None:
        if self.future and not self.future.done():
            self.future.set_result(answer)

    def fail(self, error: BaseException) -> None:
        if self.future and not self.future.done():
            self.future.set_exception(error)


class Strand:
    """One line of control, as the daemon sees it. An event loop may have many operations of
    it under way; the daemon is told that it waits only when all of them do."""

    def __init__(self, session: Session, context: int) -> None:
        self._session = session
        self._context = context
        self._active = 0  # operations under way that don't wait
        self._waiters: list[_Waiter] = []
        self._turns = 0

    def ask(self, handles: list[int]) -> Reply:
        """Answered when one of them is done."""
        any_ = True if len(handles) > 1 else None
        return self._session.post(
            "session.await", context=self._context, operations=handles, any=any_
        )

    def result(self, reply: Reply) -> dict[str, Any]:
        return self._session.result(reply)

    # -- on the loop --------------------------------------------------------------------

    def begin(self) -> None:
        """An operation begins, or goes on."""
        self._active += 1

    def rest(self) -> None:
        """An operation waits, or has ended."""
        self._active -= 1
        self._look()

    @contextlib.contextmanager
    def lent(self, handle: int) -> Iterator[None]:
        """An operation's body runs on a strand of its own; this one waits for it."""
        with self._waiting(_Waiter(handle, None)):
            yield

    async def until_done(self, handle: int) -> dict[str, Any]:
        future = asyncio.get_running_loop().create_future()
        with self._waiting(_Waiter(handle, future)):
            answer: dict[str, Any] = await future
            return answer

    @contextlib.contextmanager
    def _waiting(self, waiter: _Waiter) -> Iterator[None]:
        self._waiters.append(waiter)
        self.rest()
        try:
            yield
        finally:
            self._waiters.remove(waiter)
            self.begin()

    def _look(self) -> None:
        if self._turns == 0:
            asyncio.get_running_loop().call_soon(self._turn)
        self._turns = _IDLE_TURNS

    def _turn(self) -> None:
        self._turns -= 1
        if self._active > 0:
            self._turns = 0
        elif self._turns > 0:
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self._ask_for([waiter for waiter in self._waiters if not waiter.asked])

    def _ask_for(self, waiters: list[_Waiter]) -> None:
        if not waiters:
            return
        loop = asyncio.get_running_loop()
        try:
            reply = self.ask(sorted({waiter.handle for waiter in waiters}))
        except SuspendExecution as error:
            for waiter in waiters:
                waiter.fail(error)
            return
        for waiter in waiters:
            waiter.asked = True

        def arrived() -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._answered, waiters, reply)

        reply.watch(arrived)

    def _answered(self, waiters: list[_Waiter], reply: Reply) -> None:
        try:
            answer = self._session.result(reply)
        except BaseException as error:
            for waiter in waiters:
                waiter.fail(error)
            return
        if answer["outcome"] == "ready":
            told = {one["operation"] for one in answer["operations"]}
        else:
            told = {answer["operation"]}
        for waiter in waiters:
            # What was told is not asked for again.
            waiter.asked = waiter.handle in told
            if waiter.asked:
                waiter.wake(answer)
        self._look()


current: contextvars.ContextVar[Strand] = contextvars.ContextVar("durabled_strand")
"""The strand of the context whose body runs now."""


@contextlib.contextmanager
def on(strand: Strand) -> Iterator[None]:
    """Around the body of a context."""
    token = current.set(strand)
    try:
        yield
    finally:
        current.reset(token)


# --- user code --------------------------------------------------------------------------


def is_async(func: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine."""
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(
        getattr(func, "__call__", None)  # noqa: B004
    )


class Body(Need):
    """User code that is given a context: a handler, a child, a branch. It runs where its
    driver runs; what it awaits is awaited."""

    def __init__(self, crew: Crew, func: Callable[..., Any], *args: Any) -> None:
        self._crew = crew
        self._func = func
        self._args = args

    def block(self) -> Any:
        value = self._func(*self._args)
        return asyncio.run(self._whole(value)) if inspect.isawaitable(value) else value

    async def _whole(self, value: Any) -> Any:
        """A body that is async in a world that is not has a loop to itself."""
        try:
            return await _plainly(value)
        finally:
            await self._crew.settle()

    async def wait(self) -> Any:
        value = self._func(*self._args)
        return await _plainly(value) if inspect.isawaitable(value) else value


async def _plainly(value: Any) -> Any:
    """Awaits it; a task group's way to say that it must unwind is the plain one again."""
    try:
        return await value
    except BaseExceptionGroup as group:
        if group.split(SuspendExecution)[1] is not None:
            raise
        raise SuspendExecution("the execution waits") from group


class Function(Need):
    """User code that is given no context: a step's body, a check, a submitter.

    On an event loop a plain function runs on a thread, so that the loop goes on. With a
    timeout it does so everywhere: a thread can't be stopped, only left behind.
    """

    def __init__(
        self, func: Callable[..., Any], *args: Any, timeout_s: int | None = None
    ) -> None:
        self._func = func
        self._args = args
        self._timeout_s = timeout_s

    def block(self) -> Any:
        if self._timeout_s is None:
            return self._call()
        if is_async(self._func):
            return asyncio.run(self._within(self._func(*self._args)))
        future = _on_thread(self._call)
        if not wait((future,), self._timeout_s).done:
            self._timed_out()
        return future.result()

    def _call(self) -> Any:
        value = self._func(*self._args)
        return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value

    async def wait(self) -> Any:
        return await self._within(self._call_async())

    async def _call_async(self) -> Any:
        if is_async(self._func):
            return await self._func(*self._args)
        value = await asyncio.wrap_future(_on_thread(self._func, *self._args))
        return await value if inspect.isawaitable(value) else value

    async def _within(self, coroutine: Any) -> Any:
        if self._timeout_s is None:
            return await coroutine
        task = asyncio.get_running_loop().create_task(coroutine)
        try:
            await asyncio.wait((task,), timeout=self._timeout_s)
        finally:
            task.cancel()  # nothing, once it is done
        if not task.done():
            self._timed_out()
        return task.result()

    def _timed_out(self) -> NoReturn:
        raise StepTimeoutError(f"the attempt took longer than {self._timeout_s} seconds")


async def _awaited(value: Any) -> Any:
    return await value


def _on_thread(func: Callable[..., Any], *args: Any) -> Future[Any]:
    future: Future[Any] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(context.run(func, *args))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name="durabled-body", daemon=True).start()
    return future


# --- branches ---------------------------------------------------------------------------


class Spawned(Need):
    """A branch that runs beside its parent: gives what Joined takes. It must not raise."""

    def __init__(self, crew: Crew, pool: Pool, op: Op[None]) -> None:
        self._crew = crew
        self._pool = pool
        self._op = op
        self._ended = Reply()

    def block(self) -> Reply:
        def job() -> None:
            try:
                run(self._op)
            finally:
                self._ended.put(None)

        self._pool.submit(job)
        return self._ended

    async def wait(self) -> Reply:
        async def job() -> None:
            try:
                await arun(self._op)
            finally:
                self._ended.put(None)

        self._crew.start(job())
        return self._ended


class Joined(Need):
    """The end of a branch."""

    def __init__(self, ended: Reply) -> None:
        self._ended = ended

    def block(self) -> None:
        self._ended.wait()

    async def wait(self) -> None:
        await _arrived(self._ended)
