"""Routes with the data of many task instances: of a DAG run, over all DAGs, and of one task over its runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance as TI
from airflow.models.xcom import XComModel as XCom
from fastapi import APIRouter, HTTPException, Query, Response
from sqlalchemy import and_, not_, or_, select, tuple_

from airflow_provider_air.pages.attempts import OVER, attempt_of, own
from airflow_provider_air.pages.cluster_words import with_words
from airflow_provider_air.pages.clusters_view import clusters_view
from airflow_provider_air.pages.compare_view import compare_view, compared_run, series_of
from airflow_provider_air.pages.lenient import mapping
from airflow_provider_air.pages.run_view import run_view
from airflow_provider_air.pages.summary import summary_of
from airflow_provider_air.pages.task_view import history_of
from airflow_provider_air.plugin.access import (
    READS_TASK,
    AccessDep,
    readable_dags,
    with_changeable_tasks,
    with_readable_part,
)
from airflow_provider_air.plugin.answers import Made, SectionCache, answer_whole
from airflow_provider_air.plugin.cluster_notes import read_requests, runs_that_left
from airflow_provider_air.plugin.known_clusters import read_clusters
from airflow_provider_air.plugin.listing import (
    COLUMNS,
    kept_at,
    read_alive,
    read_run,
    read_summaries,
    with_summaries,
)
from airflow_provider_air.plugin.pages import LOGGED_IN
from airflow_provider_air.plugin.paths import RUN, Known, Metrics, map_index_of
from airflow_provider_air.plugin.reading import TaskPath, epoch, facts_of, read_all, read_kept, where_among
from airflow_provider_air.runs.history import HISTORY_KEY

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from airflow_provider_air.pages.documents import TaskDocuments, TaskFacts

router = APIRouter()
MOST_RUNS, MOST_NEWER, MOST_CURVES, FIRST_CURVES, MOST_METRICS = 30, 9, 8, 3, 12
MOST_CACHED_BYTES = 8 * 1024 * 1024
_CURVES = SectionCache(MOST_CACHED_BYTES)
# XComs with the last values, as training and searches push them.
VALUES_KEYS = ("metrics", "best_metrics")


@router.get(f"/api/run{RUN}", dependencies=[READS_TASK])
def run(dag_id: str, run_id: str, session: SessionDep, access: AccessDep, known: Known) -> Response:
    """
    Give the Ray tasks of a DAG run.

    :raises HTTPException: 404 where there is no such run
    """
    chosen = select(DagRun.state, DagRun.start_date, DagRun.end_date)
    row = session.execute(chosen.where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)).first()
    if row is None:
        raise HTTPException(404, "There is no such DAG run, or not any more")
    found, cut = read_run(session, dag_id, run_id, with_xcoms=access.reads_xcoms)
    told, unread = with_summaries(session, found)
    about = {
        "dag_id": dag_id,
        "run_id": run_id,
        "state": row.state,
        "started_at": epoch(row.start_date),
        "ended_at": epoch(row.end_date),
    }
    return answer_whole(run_view(about, told, cut, unread), known)


@router.get("/api/clusters", dependencies=[LOGGED_IN])
def clusters(session: SessionDep, user: GetUserDep, known: Known) -> Response:
    """Give the clusters that tasks use or have used, and their jobs, of the DAGs that the person may read."""
    dag_ids = readable_dags(user)
    told, left_out, notes = read_clusters(session, user, dag_ids, read_alive(session, dag_ids))
    left = runs_that_left(session, notes)
    runs = _states_of_runs(session, [documents for documents, _ in told])
    # An auth manager may ask a server of each DAG: only those of which something could be asked.
    may_change = cache(lambda dag_id: bool(with_changeable_tasks({dag_id}, user)))
    view = clusters_view(told, runs, time.time(), left_out, notes, left, may_change)
    view["clusters"] = _with_requests(session, view["clusters"], user)
    return answer_whole(view, known)


def _with_requests(session: Session, clusters: Sequence[dict[str, Any]], user: Any) -> list[dict[str, Any]]:
    """Add what was asked of clusters, where the person may see it: it is an XCom of the task by which they may ask."""
    paths = [TaskPath(**cluster["asks"]) if cluster["asks"] else None for cluster in clusters]
    words = read_requests(session, {path for path in paths if path is not None})
    readable = with_readable_part({path.dag_id for path in words}, DagAccessEntity.XCOM, user)
    return [
        with_words(cluster, words[path]) if path in words and path.dag_id in readable else cluster
        for cluster, path in zip(clusters, paths, strict=True)
    ]


def _states_of_runs(session: Session, found: Sequence[TaskDocuments]) -> dict[tuple[str, str], str]:
    names = list({(each.facts.dag_id, each.facts.run_id) for each in found})
    if not names:
        return {}
    rows = session.execute(
        select(DagRun.dag_id, DagRun.run_id, DagRun.state)
        .where(tuple_(DagRun.dag_id, DagRun.run_id).in_(names))
        .limit(len(names))
    )
    return {(row.dag_id, row.run_id): str(row.state) for row in rows}


@router.get("/api/compare/{dag_id}/{task_id}/{map_index}", dependencies=[READS_TASK])
def compare(
    dag_id: str,
    task_id: str,
    map_index: str,
    session: SessionDep,
    access: AccessDep,
    metric: Metrics,
    run: Annotated[list[str], Query(default_factory=list)],
    this: str | None = None,
) -> Response:
    """
    Give a task's values in its runs, and the curves of those that are asked for: by default of the newest.

    :param this: the run that is looked at: always among them, with what is told of it while it lives
    """
    metric = metric[:MOST_METRICS]
    rows = _runs_around(session, TaskPath(dag_id, this or "", task_id, map_index_of(map_index)))
    paths = [TaskPath(row.dag_id, row.run_id, row.task_id, row.map_index) for row in rows]
    values = _values(session, paths) if access.reads_xcoms else {}
    summaries, unread = read_summaries(session, [path for path in paths if path not in values])
    kept = kept_at(session, paths)
    curves = [path for path in paths if path in kept or path.run_id == this]
    # This one is in front, wherever it is in the order.
    first = sorted(curves, key=lambda path: path.run_id != this)[:FIRST_CURVES]
    drawn = [path for path in curves if path.run_id in run][:MOST_CURVES] if run else first
    told = []
    for row, path in zip(rows, paths, strict=True):
        facts = facts_of(path, row)
        last = values.get(path) or mapping(mapping(summaries.get(path)).get("last"))
        if path.run_id == this and facts.state not in OVER:
            history, newest = _alive(session, path, facts, with_xcoms=access.reads_xcoms)
            told.append(compared_run(facts, values.get(path) or newest, history if path in drawn else {}, metric))
        else:
            series = _drawn(session, path, kept[path], metric) if path in drawn and path in kept else {}
            told.append({**compared_run(facts, last, {}), "series": series})
    return answer_whole({**compare_view(told), "unread": unread})


def _runs_around(session: Session, this: TaskPath) -> Sequence[Any]:
    """Give a task's runs, newest first: one, a few newer ones, and those before it; the newest where there is none."""
    chosen = (
        select(*COLUMNS)
        .join(DagRun, and_(DagRun.dag_id == TI.dag_id, DagRun.run_id == TI.run_id))
        .where(TI.dag_id == this.dag_id, TI.task_id == this.task_id, TI.map_index == this.map_index)
    )
    newest_first = chosen.order_by(DagRun.run_after.desc(), DagRun.id.desc())
    of_this = select(DagRun.run_after, DagRun.id).where(DagRun.dag_id == this.dag_id, DagRun.run_id == this.run_id)
    at = session.execute(of_this).first()
    if at is None:
        return session.execute(newest_first.limit(MOST_RUNS)).all()
    is_newer = or_(DagRun.run_after > at.run_after, and_(DagRun.run_after == at.run_after, DagRun.id > at.id))
    newer = session.execute(chosen.where(is_newer).order_by(DagRun.run_after, DagRun.id).limit(MOST_NEWER)).all()
    rest = session.execute(newest_first.where(not_(is_newer)).limit(MOST_RUNS - len(newer))).all()
    return [*reversed(newer), *rest]


def _alive(
    session: Session, path: TaskPath, facts: TaskFacts, *, with_xcoms: bool
) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Read the history of a task that is not over, and its last values."""
    documents = read_all(session, path, facts, with_xcoms=with_xcoms)
    history = history_of(documents)
    progress = own(documents.progress, attempt_of(documents.ledger, facts))
    return history, {**summary_of(history)["last"], **mapping(progress.get("values"))}


def _drawn(session: Session, path: TaskPath, written: datetime, metrics: Sequence[str]) -> Mapping[str, Any]:
    """Give the curves of a run that is over: while another one is watched, they are asked for again and again."""

    def make() -> Made:
        history = mapping(read_kept(session, path, HISTORY_KEY))
        return Made({}, series_of(history, metrics))

    return _CURVES.get((path, written, tuple(metrics)), make).head


def _values(session: Session, paths: Sequence[TaskPath]) -> dict[TaskPath, Mapping[str, Any]]:
    if not paths:
        return {}
    rows = session.execute(
        select(XCom.dag_id, XCom.run_id, XCom.task_id, XCom.map_index, XCom.key, XCom.value)
        .where(where_among(XCom, paths), XCom.key.in_(VALUES_KEYS))
        .limit(len(VALUES_KEYS) * len(paths))
    ).all()
    found: dict[TaskPath, Mapping[str, Any]] = {}
    for row in rows:
        if isinstance(row.value, dict) and (row.key == VALUES_KEYS[0] or TaskPath(*row[:4]) not in found):
            found[TaskPath(*row[:4])] = row.value
    return found
