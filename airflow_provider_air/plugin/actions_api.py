"""
Routes that change something: by those who may change the DAG's task instances, from Airflow's own pages alone.

What Airflow's own API does (marking failed, clearing), the browser asks that for.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from airflow._shared.state import TaskScope
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.logging.decorators import action_logging
from airflow.configuration import conf
from airflow.models.taskinstance import TaskInstance
from airflow.state.metastore import MetastoreBackend
from fastapi import APIRouter, Depends, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from airflow_provider_air.pages.lenient import mapping
from airflow_provider_air.plugin.access import CHANGES_TASK, same_origin
from airflow_provider_air.plugin.bodies import body_of
from airflow_provider_air.plugin.paths import TASK, TaskPathDep
from airflow_provider_air.plugin.reading import TaskPath, loaded, where_is
from airflow_provider_air.runs.choices import CHOICE_KEY, UNHEARD_SECONDS

router = APIRouter()


class ClearChoice(BaseModel):
    """What a person wants of the clear that they ask for next."""

    model_config = ConfigDict(extra="forbid", strict=True)
    on_clear: Literal["fresh", "resume"]


class ClearOutcome(BaseModel):
    """
    What became of the clear for which a choice was made.

    :param at: of that choice, as its route has told
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    at: float = Field(allow_inf_nan=False)
    is_cleared: bool


CHOICE, OUTCOME = body_of(ClearChoice), body_of(ClearOutcome)


@router.post(
    f"/api/clear-choice{TASK}",
    dependencies=[CHANGES_TASK, Depends(same_origin), CHOICE, Depends(action_logging("ray_clear_choice"))],
)
def clear_choice(path: TaskPathDep, choice: Annotated[ClearChoice, CHOICE], session: SessionDep) -> dict[str, float]:
    """
    Write down, in the task's state store, whether the task begins afresh or resumes once it is cleared.

    It counts for a few minutes, until :func:`clear_outcome` says that the task is cleared.

    :return: ``{"at": epoch seconds}``, which tells this choice from others
    :raises HTTPException: 404 where there is no such task instance; 409 where workers keep their state elsewhere
    """
    if session.scalar(select(TaskInstance.task_id).where(*where_is(TaskInstance, path))) is None:
        raise HTTPException(404, "There is no such task instance, or not any more")
    if conf.get("workers", "state_store_backend", fallback=""):
        raise HTTPException(
            409, "Workers keep task state in a back end of their own here, which this page cannot write"
        )
    at = time.time()
    told = {"version": 1, "choice": choice.on_clear, "at": at, "until": at + UNHEARD_SECONDS}
    MetastoreBackend().set(_scope(path), CHOICE_KEY, json.dumps(told), expires_at=_expires_at(), session=session)
    return {"at": at}


@router.post(
    f"/api/clear-outcome{TASK}",
    status_code=204,
    dependencies=[CHANGES_TASK, Depends(same_origin), OUTCOME, Depends(action_logging("ray_clear_outcome"))],
)
def clear_outcome(path: TaskPathDep, outcome: Annotated[ClearOutcome, OUTCOME], session: SessionDep) -> Response:
    """Have a choice count for as long as the cleared task waits; or take it back, since the task is not cleared."""
    scope = _scope(path)
    told = mapping(loaded(MetastoreBackend().get(scope, CHOICE_KEY, session=session)))
    # Taken by the next try already, or another one by now: nothing is left to say.
    if told.get("at") == outcome.at:
        if outcome.is_cleared:
            heard = json.dumps({**told, "until": None})
            MetastoreBackend().set(scope, CHOICE_KEY, heard, expires_at=_expires_at(), session=session)
        else:
            MetastoreBackend().delete(scope, CHOICE_KEY, session=session)
    return Response(status_code=204)


def _scope(path: TaskPath) -> TaskScope:
    return TaskScope(**asdict(path))


def _expires_at() -> datetime | None:
    """Give until when Airflow keeps it, as it keeps what workers write."""
    days = conf.getint("state_store", "default_retention_days")
    return datetime.now(UTC) + timedelta(days=days) if days > 0 else None
