"""
Routes that change something: by those who may change the DAG's task instances, from Airflow's own pages alone.

What Airflow's own API does (marking failed, clearing), the browser asks that for.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Literal

from airflow._shared.state import TaskScope
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.logging.decorators import action_logging
from airflow.configuration import conf
from airflow.models.taskinstance import TaskInstance
from airflow.state.metastore import MetastoreBackend
from fastapi import APIRouter, Depends, HTTPException, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from airflow_provider_air.plugin.access import CHANGES_TASK, same_origin
from airflow_provider_air.plugin.paths import TASK, TaskPathDep
from airflow_provider_air.plugin.reading import where_is
from airflow_provider_air.runs.choices import CHOICE_KEY

router = APIRouter()


class ClearChoice(BaseModel):
    """What a person wants of the clear that they ask for next."""

    model_config = ConfigDict(extra="forbid", strict=True)
    on_clear: Literal["fresh", "resume"]


@router.post(
    f"/api/clear-choice{TASK}",
    status_code=204,
    dependencies=[CHANGES_TASK, Depends(same_origin), Depends(action_logging("ray_clear_choice"))],
)
def clear_choice(path: TaskPathDep, choice: ClearChoice, session: SessionDep) -> Response:
    """
    Write down, in the task's state store, whether the task begins afresh or resumes once it is cleared.

    :raises HTTPException: 404 where there is no such task instance; 409 where workers keep their state elsewhere
    """
    if session.scalar(select(TaskInstance.task_id).where(*where_is(TaskInstance, path))) is None:
        raise HTTPException(404, "There is no such task instance, or not any more")
    if conf.get("workers", "state_store_backend", fallback=""):
        raise HTTPException(
            409, "Workers keep task state in a back end of their own here, which this page cannot write"
        )
    told = json.dumps({"version": 1, "choice": choice.on_clear, "at": time.time()})
    scope = TaskScope(dag_id=path.dag_id, run_id=path.run_id, task_id=path.task_id, map_index=path.map_index)
    MetastoreBackend().set(scope, CHOICE_KEY, told, expires_at=_expires_at(), session=session)
    return Response(status_code=204)


def _expires_at() -> datetime | None:
    """Give until when Airflow keeps it, as it keeps what workers write."""
    days = conf.getint("state_store", "default_retention_days")
    return datetime.now(UTC) + timedelta(days=days) if days > 0 else None
