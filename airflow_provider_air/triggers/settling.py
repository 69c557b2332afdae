"""
Keeps a trigger from firing before the worker that deferred to it has left.

Airflow 3.3.2 judges such a task "finished, but queued", and fails its try: the scheduler hears of the worker's exit
only after the task is queued again. A busy machine takes seconds over that exit.
"""

from __future__ import annotations

import asyncio
import time

SETTLE_SECONDS = 4.0


async def settle(began: float) -> None:
    """
    Wait until a trigger is old enough to fire.

    :param began: when it started to run, by ``time.monotonic()``
    """
    await asyncio.sleep(max(0.0, began + SETTLE_SECONDS - time.monotonic()))
