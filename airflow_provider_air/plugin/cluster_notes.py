"""Reads what tasks have noted of clusters that they share, and what people have asked of them: XComs, a few each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.models.taskinstance import TaskInstance as TI
from airflow.models.xcom import XComModel as XCom
from sqlalchemy import select, tuple_

from airflow_provider_air.links.ray import DELETED_KEY, MADE_KEY
from airflow_provider_air.pages.attempts import OVER, cluster_id
from airflow_provider_air.pages.cluster_words import ClusterNote, ClusterWords, words_of
from airflow_provider_air.pages.lenient import mapping
from airflow_provider_air.plugin.reading import TaskPath, where_among, where_is
from airflow_provider_air.runs.cluster_requests import ANSWER_KEY, REQUEST_KEY

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from airflow_provider_air.pages.documents import TaskFacts
    from airflow_provider_air.plugin.reading import Stamps

MOST_NOTES, MOST_ANSWERS = 400, 200
# What a task has made before that is gone, or known by those that use it.
NOTES_DAYS = 7
# By the api-servers' clocks, of which there may be several.
CLOCKS_DIFFER = timedelta(minutes=1)


def dags_with_notes(session: Session, dag_ids: Collection[str]) -> set[str]:
    """Give those of some DAGs of which :func:`read_notes` gives any: few of all, as it is."""
    return set(session.scalars(select(XCom.dag_id).where(*_is_note(dag_ids)).distinct()))


def read_notes(session: Session, dag_ids: Collection[str]) -> list[ClusterNote]:
    """Read which clusters tasks of some DAGs have made or found for others, and deleted; newest first."""
    rows = session.execute(
        select(XCom.dag_id, XCom.run_id, XCom.task_id, XCom.map_index, XCom.value, XCom.timestamp, XCom.key)
        .where(*_is_note(dag_ids))
        .order_by(XCom.timestamp.desc())
        .limit(MOST_NOTES)
    )
    return [
        ClusterNote(*row[:5], at=row.timestamp.timestamp(), is_deleted=row.key == DELETED_KEY)  # type: ignore[misc]
        for row in rows
    ]


def _is_note(dag_ids: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    return (
        XCom.key.in_((MADE_KEY, DELETED_KEY)),
        XCom.dag_id.in_(dag_ids),
        XCom.timestamp >= datetime.now(UTC) - timedelta(days=NOTES_DAYS),
    )


def runs_that_left(session: Session, notes: Sequence[ClusterNote]) -> set[tuple[str, str]]:
    """Give those DAG runs of some notes in which a task that was to delete a cluster has failed, and none will come."""
    names = list({(note.dag_id, note.run_id) for note in notes})
    if not names:
        return set()
    states = defaultdict(set)
    chosen = select(TI.dag_id, TI.run_id, TI.state).distinct()
    deletes = (tuple_(TI.dag_id, TI.run_id).in_(names), TI.operator == "RayDeleteClusterOperator")
    for row in session.execute(chosen.where(*deletes)):
        states[row.dag_id, row.run_id].add(row.state)
    # Which task is to delete which cluster is not stored.
    return {run for run, known in states.items() if known <= set(OVER) and known & {"failed", "upstream_failed"}}


def read_words(session: Session, path: TaskPath, facts: TaskFacts, stamps: Stamps) -> ClusterWords:
    """Read what was asked of a task's cluster, whoever has answered; and, once the task is over, what has gone."""
    request, answer = None, None
    if REQUEST_KEY in stamps.xcoms:
        request = session.scalar(select(XCom.value).where(*where_is(XCom, path), XCom.key == REQUEST_KEY))
        answer = _answer_to(session, request, stamps.xcoms[REQUEST_KEY])
    return words_of(request, answer, _gone(session, path, facts.started_at) if facts.state in OVER else frozenset())


def read_requests(session: Session, paths: Collection[TaskPath]) -> dict[TaskPath, ClusterWords]:
    """Read what was asked of clusters by some task instances, whoever has answered; those of which nothing was."""
    if not paths:
        return {}
    rows = session.execute(
        select(XCom.dag_id, XCom.run_id, XCom.task_id, XCom.map_index, XCom.value, XCom.timestamp)
        .where(where_among(XCom, paths), XCom.key == REQUEST_KEY)
        .limit(len(paths))
    ).all()
    return {
        TaskPath(*row[:4]): words_of(row.value, _answer_to(session, row.value, row.timestamp), frozenset())
        for row in rows
    }


def _answer_to(session: Session, request: Any, asked: datetime) -> Any:
    # All who wait on the cluster in one process share a look, so that the answer may be another task's: to a
    # request that all of them hold, and of no more than its cluster. It comes soon after it: the oldest first.
    answers = session.scalars(
        select(XCom.value)
        .where(XCom.key == ANSWER_KEY, XCom.timestamp >= asked - CLOCKS_DIFFER)
        .order_by(XCom.timestamp)
        .limit(MOST_ANSWERS)
    )
    asked_at = mapping(request).get("asked_at")
    return next((told for told in answers if mapping(told).get("asked_at") == asked_at), None)


def _gone(session: Session, path: TaskPath, started_at: float | None) -> frozenset[str]:
    """Give what was deleted since a task began: a run that is cleared still has the notes of its first pass."""
    notes = session.scalars(
        select(XCom.value)
        .where(
            XCom.dag_id == path.dag_id,
            XCom.run_id == path.run_id,
            XCom.key == DELETED_KEY,
            XCom.timestamp >= datetime.fromtimestamp(started_at or 0.0, UTC),
        )
        .limit(MOST_NOTES)
    )
    return frozenset(cluster_id(mapping(told).get("cluster")) for told in notes)
