"""Reads what is known of clusters over all DAGs that a person may read: of tasks that use, make or delete them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.models.task_state_store import TaskStateStoreModel as State
from airflow.models.taskinstance import TaskInstance as TI
from sqlalchemy import and_, select

from airflow_provider_air.plugin.access import with_readable_part
from airflow_provider_air.plugin.cluster_notes import dags_with_notes, read_notes
from airflow_provider_air.plugin.listing import COLUMNS, path_of, read_many, with_summaries
from airflow_provider_air.runs.ledger import LEDGER_KEY

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_provider_air.pages.cluster_words import ClusterNote
    from airflow_provider_air.pages.documents import TaskDocuments
    from airflow_provider_air.pages.run_view import Told

MOST_RECENT = 100


def read_clusters(
    session: Session, user: Any, dag_ids: Collection[str], alive: Sequence[TaskDocuments]
) -> tuple[list[Told], int, list[ClusterNote]]:
    """
    Read what is known of clusters.

    :param dag_ids: the DAGs that the person may read
    :param alive: the task instances that count first
    :return: these and the newest others; how many of their histories are not read yet; and what tasks have noted of
        clusters that they share. Without what the person may not read
    """
    found = {path_of(documents): documents for documents in alive}
    for documents in _recent(session, dag_ids):
        found.setdefault(path_of(documents), documents)
    told, unread = with_summaries(session, _readable(list(found.values()), user))
    # An auth manager may ask a server of each DAG: only those that have something to tell.
    tasks = with_readable_part(dags_with_notes(session, dag_ids), DagAccessEntity.TASK_INSTANCE, user)
    return told, unread, read_notes(session, with_readable_part(tasks, DagAccessEntity.XCOM, user))


def _readable(found: Sequence[TaskDocuments], user: Any) -> list[TaskDocuments]:
    """Leave out, of DAGs that the person may read, the parts that they may not."""
    dag_ids = {documents.facts.dag_id for documents in found}
    tasks = with_readable_part(dag_ids, DagAccessEntity.TASK_INSTANCE, user)
    xcoms = with_readable_part(tasks, DagAccessEntity.XCOM, user)
    return [
        documents if documents.facts.dag_id in xcoms else replace(documents, progress=None, live=None, links={})
        for documents in found
        if documents.facts.dag_id in tasks
    ]


def _recent(session: Session, dag_ids: Collection[str]) -> list[TaskDocuments]:
    # Newest first by the key that the table has: no scan of all that was ever stored.
    newest = (
        select(State.dag_id, State.run_id, State.task_id, State.map_index)
        .where(State.key == LEDGER_KEY, State.dag_id.in_(dag_ids))
        .order_by(State.id.desc())
        .limit(MOST_RECENT)
        .subquery()
    )
    same = and_(*(getattr(TI, name) == newest.c[name] for name in ("dag_id", "run_id", "task_id", "map_index")))
    statement = select(*COLUMNS).join(newest, same).order_by(TI.start_date.desc()).limit(MOST_RECENT)
    return read_many(session, statement, needs_ledger=True)
