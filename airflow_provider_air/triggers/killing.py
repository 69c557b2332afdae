"""What a trigger may do when a person stops its task, in spite of how and when Airflow 3.3 calls ``on_kill``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from typing import Any

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


async def is_still_deferred(task: Mapping[str, Any]) -> bool:
    """
    Tell a move between triggerers from a person's word.

    Airflow 3.3.0-3.3.2 calls ``on_kill`` also when a trigger is only reassigned; then the task is still
    deferred, and what it waits for is to go on.

    :param task: ``dag_id``, ``run_id``, ``task_id``, ``map_index`` of the waiting task instance
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = await asyncio.to_thread(
        RuntimeTaskInstance.get_task_states,
        dag_id=task["dag_id"],
        task_ids=[task["task_id"]],
        run_ids=[task["run_id"]],
        map_index=task["map_index"],
    )
    mapped = task["task_id"] if task["map_index"] < 0 else f"{task['task_id']}_{task['map_index']}"
    return bool(states.get(task["run_id"], {}).get(mapped) == "deferred")
