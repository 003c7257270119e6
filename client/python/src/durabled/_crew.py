"""Who runs the branches of one invocation: threads, or tasks of an event loop. All have
ended before the invocation is answered."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any


class Pool:
    """The threads of one batch: at most `size`, started when they are needed, used again."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0

    def submit(self, job: Callable[[], object]) -> None:
        """Runs `job`, which must not raise, beside the caller and in its context."""
        context = contextvars.copy_context()
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif len(self._threads) < self._size:
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

    def close(self) -> None:
        """Each thread ends when its job has; nothing more is submitted."""
        for _ in self._threads:
            self._jobs.put(None)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


class Crew:
    """All of one invocation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: list[Pool] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def pool(self, size: int) -> Pool:
        """A pool that join() waits for, once it is closed."""
        pool = Pool(size)
        with self._lock:
            self._pools.append(pool)
        return pool

    def join(self) -> None:
        """Returns when every thread has ended; those that run may have made more pools."""
        while True:
            with self._lock:
                pools, self._pools = self._pools, []
            if not pools:
                return
            for pool in pools:
                pool.join()

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
