"""What the paths of requests name."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, HTTPException, Query

from airflow_provider_air.plugin.reading import TaskPath

TASK = "/{dag_id}/{run_id:path}/{task_id}/{map_index}"
RUN = "/{dag_id}/{run_id:path}"
# What Airflow leaves in the address of a task that is not mapped (3.3.2).
UNMAPPED = "{MAP_INDEX}"


async def task_path(dag_id: str, run_id: str, task_id: str, map_index: str) -> TaskPath:
    """
    Read which task instance a path names; on the event loop, where it costs no thread.

    :raises HTTPException: 404
    """
    return TaskPath(dag_id, run_id, task_id, map_index_of(map_index))


def map_index_of(text: str) -> int:
    """
    Read the number of a mapped task instance; -1 where the task is not mapped.

    :raises HTTPException: 404
    """
    if text == UNMAPPED:
        return -1
    if not re.fullmatch(r"-1|\d{1,9}", text, re.ASCII):
        raise HTTPException(404, "A task instance has a number here, or -1")
    return int(text)


TaskPathDep = Annotated[TaskPath, Depends(task_path)]
TryNumber = Annotated[int | None, Query(ge=0, le=10**6)]
# Of what more is asked for, the rest is passed over, see MOST_SERIES and MOST_KNOWN.
Metrics = Annotated[list[str], Query(default_factory=list)]
Known = Annotated[list[str], Query(default_factory=list)]
