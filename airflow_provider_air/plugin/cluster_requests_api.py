"""
The route by which a person asks something of a cluster: to be kept for longer, or to end.

The api-server need not reach any cluster: the request is an XCom of those who wait on the cluster, and of the task that
made it, where the next clean-up finds it; see :mod:`airflow_provider_air.runs.cluster_requests`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.api_fastapi.logging.decorators import action_logging
from airflow.models.taskinstance import TaskInstance as TI
from airflow.models.xcom import XCOM_RETURN_KEY
from airflow.models.xcom import XComModel as XCom
from fastapi import APIRouter, Depends, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select

from airflow_provider_air.contracts.clusters import ClusterRef, ClusterRequest
from airflow_provider_air.errors import ProtocolError
from airflow_provider_air.pages.attempts import attempts_of, cluster_id
from airflow_provider_air.pages.cluster_words import with_words
from airflow_provider_air.pages.clusters_view import OWN, clusters_of, why_not_asked
from airflow_provider_air.plugin.access import CHANGES_TASK, readable_dags, same_origin, with_changeable_tasks
from airflow_provider_air.plugin.bodies import body_of
from airflow_provider_air.plugin.cluster_notes import read_words
from airflow_provider_air.plugin.known_clusters import read_clusters
from airflow_provider_air.plugin.listing import ALIVE, COLUMNS, path_of, read_alive, read_many
from airflow_provider_air.plugin.paths import TASK, TaskPathDep
from airflow_provider_air.plugin.reading import TaskPath, read_stamps, where_is
from airflow_provider_air.runs.cluster_requests import LONGEST_SECONDS, REQUEST_KEY

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_provider_air.pages.documents import TaskDocuments

router = APIRouter()
# XComs of one DAG run among which the one that names the cluster is looked for.
MOST_RESULTS = 1000


class Wish(BaseModel):
    """What a person wants of a cluster."""

    model_config = ConfigDict(extra="forbid", strict=True)
    action: Literal["extend", "end"]
    seconds: float = Field(default=0.0, ge=0.0, le=LONGEST_SECONDS, allow_inf_nan=False)


WISH = body_of(Wish)


@router.post(
    f"/api/cluster-request{TASK}",
    dependencies=[CHANGES_TASK, Depends(same_origin), WISH, Depends(action_logging("ray_cluster_request"))],
)
def cluster_request(
    path: TaskPathDep, wish: Annotated[Wish, WISH], session: SessionDep, user: GetUserDep
) -> dict[str, int]:
    """
    Ask something of the cluster that a task instance uses or made, of all who wait on it and of the task that made it.

    :return: ``{"told": how many task instances}``
    :raises HTTPException: 404 where there is no such task instance, or it has no cluster; 409 where nothing can be
        asked of the cluster, which is where the pages offer nothing
    """
    found = read_many(session, select(*COLUMNS).where(*where_is(TI, path)).limit(1))
    ref = (_ref_of(found[0].ledger) or _made_by(session, path)) if found else None
    if ref is None:
        raise HTTPException(404, "There is no such task instance, or it has asked for no cluster yet")
    now, dag_ids = time.time(), readable_dags(user)
    alive = read_alive(session, dag_ids, ref.name)
    why_not = OWN if ref.owned else why_not_asked(_known(session, user, dag_ids, [*found, *alive], ref), now)
    if why_not is not None:
        raise HTTPException(409, why_not)
    request = ClusterRequest(wish.action, ref.to_json(), now, now + wish.seconds, by=str(user.get_name()))
    # Of more users than are read, the one whose page this is waits on it, too.
    users = [path_of(one) for one in (*found, *alive) if one.facts.state in ALIVE and _is_used_by(one, request)]
    makers = _makers(session, path, request)
    allowed = with_changeable_tasks({one.dag_id for one in (*users, *makers)}, user)
    told = {one for one in (*users, *makers) if one.dag_id in allowed}
    # Also of whose page this is asked, so that the page shows it.
    for one in {*told, path} if told else ():
        # As workers write it, so that they read it as it is.
        XCom.set(REQUEST_KEY, asdict(request), serialize=False, session=session, **asdict(one))
    return {"told": len(told)}


def _known(
    session: Session, user: Any, dag_ids: Collection[str], alive: Sequence[TaskDocuments], ref: ClusterRef
) -> dict[str, Any] | None:
    """
    Give what the pages know of a cluster; None where they know of none.

    :param alive: first the task instance of whose page it is asked, then those that live
    """
    told, _, notes = read_clusters(session, user, dag_ids, alive)
    cluster = clusters_of(told, notes).get(cluster_id(ref.to_json()))
    path, facts = path_of(alive[0]), alive[0].facts
    words = read_words(session, path, facts, read_stamps(session, path, with_xcoms=True))
    return None if cluster is None else with_words(cluster, words)


def _is_used_by(documents: TaskDocuments, request: ClusterRequest) -> bool:
    ref = _ref_of(documents.ledger)
    return ref is not None and request.is_about(ref, 0.0)


def _ref_of(ledger: Any) -> ClusterRef | None:
    attempts = attempts_of(ledger)
    try:
        return ClusterRef.from_json(attempts[-1].get("cluster")) if attempts else None
    except ProtocolError:
        return None


def _made_by(session: Session, path: TaskPath) -> ClusterRef | None:
    """Give the cluster that the result of a task instance names."""
    value = session.scalar(select(XCom.value).where(*where_is(XCom, path), XCom.key == XCOM_RETURN_KEY))
    return _named_by(value)


def _named_by(result: Any) -> ClusterRef | None:
    if not isinstance(result, Mapping) or not {"backend", "name"} <= result.keys():
        return None
    try:
        return ClusterRef.from_json(result)
    except ProtocolError:
        return None


def _makers(session: Session, path: TaskPath, request: ClusterRequest) -> list[TaskPath]:
    """Give the task instances of the DAG run whose result names the cluster: those that made it, or found it."""
    rows = session.execute(
        select(XCom.task_id, XCom.map_index, XCom.value)
        .where(XCom.dag_id == path.dag_id, XCom.run_id == path.run_id, XCom.key == XCOM_RETURN_KEY)
        .limit(MOST_RESULTS)
    )
    return [
        TaskPath(path.dag_id, path.run_id, row.task_id, row.map_index)
        for row in rows
        if (ref := _named_by(row.value)) is not None and request.is_about(ref, 0.0)
    ]
