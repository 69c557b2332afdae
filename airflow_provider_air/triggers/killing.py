"""What a trigger may do when a person stops its task, in spite of how and when Airflow 3.3 calls ``on_kill``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_air.connections.task_states import GOING_ON, state_of

if TYPE_CHECKING:
    from airflow_provider_air.contracts.runs import Log

# An event loop keeps no reference of its own to what it runs.
_unfinished: set[asyncio.Task[None]] = set()


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """
    Take to its end what stops something remote, however often the trigger is cancelled meanwhile.

    Airflow 3.3.2 cancels a killed trigger again in each of its cycles, so about every second, until the
    trigger has ended: ``on_kill`` included, without a word. A stop that needs longer would never be sent.
    """
    task = asyncio.create_task(work)
    _unfinished.add(task)
    task.add_done_callback(_unfinished.discard)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    if not task.cancelled():
        task.result()


async def why_killed(task: Mapping[str, Any], log: Log) -> Literal["moved", "taken", "stopped"]:
    """
    Tell a person's word from a move between triggerers; where Airflow does not say, it is taken for a person's.

    Airflow 3.3.0-3.3.2 calls ``on_kill`` also when a trigger is only reassigned; then the task is still
    deferred, and what it waits for is to go on (``moved``). Where a worker has the task by now, a person has cleared
    it, or another triggerer has fired (``taken``). It asks nobody a second time. The triggerer asks the database, so
    that an api-server that is away says nothing here.

    :param task: ``dag_id``, ``run_id``, ``task_id``, ``map_index`` of the waiting task instance
    """
    try:
        state = await asyncio.to_thread(state_of, task)
    except Exception as error:  # noqa: BLE001  # whatever it is, nobody knows
        log.warning("Airflow does not say whether the task still waits, so what runs is stopped: %s", error)
        return "stopped"
    return "moved" if state == "deferred" else "taken" if state in GOING_ON else "stopped"
