"""A trigger that breaks once its job has started; on the triggerer's path, as triggers must be."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow_provider_air.connections.ports import XComBoard
from airflow_provider_air.runs.progress import PROGRESS_KEY
from airflow_provider_air.triggers.run import RayRunTrigger


class CrashingRunTrigger(RayRunTrigger):
    """Raises where a bug of ours would: in the middle of the watch, once some of a growing log was shown."""

    async def event(self) -> dict[str, Any]:
        """Watch for a while, and break."""
        watch = asyncio.create_task(super().event())
        board = XComBoard(self.task_names)
        while not ((await asyncio.to_thread(board.read, PROGRESS_KEY)) or {}).get("log_offset"):
            if watch.done():
                return await watch
            await asyncio.sleep(0.5)
        watch.cancel()
        raise RuntimeError("the trigger has a bug")
