"""Who runs the branches of one invocation: threads, or tasks of an event loop. All have
ended before the invocation is answered."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any


class Crew:
    """Threads are started when they are needed, used again, and never more than jobs that
    run at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    def submit(self, job: Callable[[], object]) -> None:
        """Runs `job`, which must not raise, beside the caller and in its context."""
        context = contextvars.copy_context()
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                name = f"durabled-branch-{len(self._threads)}"
                thread = threading.Thread(target=self._serve, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)
        self._jobs.put(lambda: context.run(job))

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            with self._lock:
                self._idle += 1

    def join(self) -> None:
        """Returns when every thread has ended; those that run may submit more."""
        while True:
            with self._lock:
                threads, self._threads = self._threads, []
            if not threads:
                return
            for _ in threads:
                self._jobs.put(None)
            for thread in threads:
                thread.join()

    def start(self, job: Coroutine[Any, Any, object]) -> None:
        """Runs `job`, which must not raise, as a task."""
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Returns when this loop has nothing left to do: what user code started and does
        not wait for is cancelled, branches end by themselves."""
        loop, me = asyncio.get_running_loop(), asyncio.current_task()
        while others := {t for t in asyncio.all_tasks() if t is not me}:
            branches = {task for task in list(self._tasks) if task.get_loop() is loop}
            for task in others - branches:
                task.cancel()
            await asyncio.wait(others)
