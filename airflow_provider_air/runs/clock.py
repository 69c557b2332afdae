"""The real world's clock: of a worker, or of a triggerer's event loop."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from airflow_provider_air.contracts.runs import Spawned

T = TypeVar("T")

SPARE_THREADS = 4
_spare = ThreadPoolExecutor(SPARE_THREADS, thread_name_prefix="air-spare")


class _Task:
    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def done(self) -> bool:
        return self._task.done()

    async def wait(self, seconds: float) -> None:
        await asyncio.wait([self._task], timeout=seconds)


class RealClock:
    """Time as it passes, threads and asyncio as they are."""

    def now(self) -> float:
        """Give epoch seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Block; for workers."""
        time.sleep(max(0.0, seconds))

    async def asleep(self, seconds: float) -> None:
        """Wait without blocking the event loop."""
        await asyncio.sleep(max(0.0, seconds))

    def in_thread(self, call: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Do what blocks beside the event loop."""
        return asyncio.to_thread(call, *args)

    def in_spare_thread(self, call: Callable[..., T], *args: Any) -> Awaitable[T]:
        """Do what may block for long, and what nothing depends on: all of this process in a few threads."""
        work = partial(contextvars.copy_context().run, call, *args)
        return asyncio.get_running_loop().run_in_executor(_spare, work)

    def spawn(self, work: Coroutine[Any, Any, None]) -> Spawned:
        """Start what its starter does not wait for; on the event loop."""
        return _Task(asyncio.create_task(work))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to its end what waits; for workers."""
        return asyncio.run(work)
