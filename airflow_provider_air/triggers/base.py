"""What all triggers here have in common: one event, and not before the worker that deferred to it has left."""

from __future__ import annotations

import abc
import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

# Airflow 3.3.2 judges a task that comes back before its worker's exit is known "finished, but queued", and fails its
# try: the scheduler hears of that exit only after the task is queued again. A busy machine takes seconds over it.
SETTLE_SECONDS = 4.0


class OneEventTrigger(BaseTrigger):
    """Base of triggers that watch something remote and fire one event about it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._fired = False

    @abc.abstractmethod
    def arguments(self) -> dict[str, Any]:
        """Give the constructor's arguments as plain JSON: no secrets, they are stored in the clear."""

    @abc.abstractmethod
    async def event(self) -> dict[str, Any]:
        """Wait, and give the event: plain JSON without secrets; runs in the triggerer."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give class path and arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.arguments()

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire once there is something to say; runs in the triggerer."""
        began = time.monotonic()
        told = await self.event()
        await asyncio.sleep(max(0.0, began + SETTLE_SECONDS - time.monotonic()))
        # Set before the event leaves: Airflow may call on_kill on a trigger that lingers after its yield.
        self._fired = True
        yield TriggerEvent(told)
