"""
Reads many task instances at once, for lists: of each what fits into a line, with bounds on rows and bytes.

A history is large: its summary is kept in memory, and only so many are read anew for one request.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.models.task_state_store import TaskStateStoreModel as State
from airflow.models.taskinstance import TaskInstance as TI
from airflow.models.xcom import XComModel as XCom
from sqlalchemy import Text, and_, cast, exists, func, null, or_, select
from sqlalchemy.orm import aliased

from airflow_provider_air.links.ray import DASHBOARD_KEY
from airflow_provider_air.pages.attempts import OVER
from airflow_provider_air.pages.documents import TaskDocuments
from airflow_provider_air.pages.lenient import mapping
from airflow_provider_air.pages.summary import summary_of
from airflow_provider_air.plugin.answers import Made, SectionCache
from airflow_provider_air.plugin.reading import FACTS, OURS, TaskPath, facts_of, loaded, read_kept, where_among
from airflow_provider_air.runs.history import HISTORY_KEY
from airflow_provider_air.runs.ledger import LEDGER_KEY
from airflow_provider_air.runs.progress import PROGRESS_KEY

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from airflow_provider_air.pages.run_view import Told

MOST_SUMMARIES = 20
"""Histories that are read anew for one request: 1 MB each at most."""
MOST_TASKS = 300
MOST_LEDGER_BYTES = 128 * 1024
MOST_PROGRESS_BYTES = 64 * 1024
# Of one page's 300 task instances all, however large: else it would never come to the last.
MOST_CACHED_BYTES = 32 * 1024 * 1024
_CACHE = SectionCache(MOST_CACHED_BYTES)


def read_many(
    session: Session, statement: Any, *, with_xcoms: bool = True, needs_ledger: bool = False
) -> list[TaskDocuments]:
    """
    Read task instances with their ledgers, progress, dashboards, and the clusters as they were seen last.

    :param statement: chooses them: a SELECT of ``TaskInstance``'s columns :data:`COLUMNS`, ordered and with a limit
    :param needs_ledger: only those that have one
    """
    ledger, progress, live, page = aliased(State), aliased(XCom), aliased(XCom), aliased(XCom)
    ledger_size = func.length(ledger.value) <= MOST_LEDGER_BYTES
    statement = statement.add_columns(ledger.value.label("ledger")).join(
        ledger, and_(_of_same(ledger), ledger.key == LEDGER_KEY, ledger_size), isouter=not needs_ledger
    )
    if with_xcoms:
        size = func.length(cast(progress.value, Text)) <= MOST_PROGRESS_BYTES
        statement = (
            statement.add_columns(
                progress.value.label("progress"), live.value["cluster"].label("cluster"), page.value.label("page")
            )
            .join(progress, and_(_of_same(progress), progress.key == PROGRESS_KEY, size), isouter=True)
            .join(live, and_(_of_same(live), live.key == HISTORY_KEY), isouter=True)
            .join(page, and_(_of_same(page), page.key == DASHBOARD_KEY), isouter=True)
        )
    else:
        statement = statement.add_columns(*(null().label(name) for name in ("progress", "cluster", "page")))
    return [_documents(row) for row in session.execute(statement)]


COLUMNS = (TI.dag_id, TI.run_id, TI.task_id, TI.map_index, *FACTS)


def read_run(session: Session, dag_id: str, run_id: str, *, with_xcoms: bool) -> tuple[list[TaskDocuments], int]:
    """
    Read the Ray tasks of a DAG run, by when they began.

    :return: them, and how many more there are
    """
    where = (TI.dag_id == dag_id, TI.run_id == run_id, _uses_ray(with_xcoms=with_xcoms))
    order = (TI.start_date.is_(None), TI.start_date, TI.task_id, TI.map_index)
    statement = select(*COLUMNS).where(*where).order_by(*order).limit(MOST_TASKS)
    found = read_many(session, statement, with_xcoms=with_xcoms)
    if len(found) < MOST_TASKS:
        return found, 0
    return found, session.execute(select(func.count()).select_from(TI).where(*where)).scalar_one() - len(found)


def _uses_ray(*, with_xcoms: bool) -> ColumnElement[bool]:
    """Choose what :func:`~airflow_provider_air.pages.task_view.is_ours` says of: others may be thousands in a run."""
    ours = [
        TI.operator.in_(OURS),
        TI.custom_operator_name.in_(OURS),
        exists().where(_of_same(State), State.key == LEDGER_KEY),
    ]
    if with_xcoms:
        names_a_job = cast(XCom.value, Text).contains('"submission_id"', autoescape=True)
        ours.append(exists().where(_of_same(XCom), XCom.key == PROGRESS_KEY, names_a_job))
    return or_(*ours)


ALIVE = ("running", "deferred", "queued", "restarting", "up_for_retry", "up_for_reschedule")
MOST_LIVE = 200


def read_alive(session: Session, dag_ids: Collection[str], cluster: str | None = None) -> list[TaskDocuments]:
    """
    Read the Ray tasks of some DAGs that are not over, newest first.

    :param cluster: only those whose ledger has this name in it
    """
    where: list[Any] = [TI.state.in_(ALIVE), TI.dag_id.in_(dag_ids)]
    if cluster is not None:
        # Before the limit. As Airflow stores it, in ASCII.
        names_it = State.value.contains(json.dumps(cluster), autoescape=True)
        where.append(exists().where(_of_same(State), State.key == LEDGER_KEY, names_it))
    statement = select(*COLUMNS).where(*where).order_by(TI.start_date.desc()).limit(MOST_LIVE)
    return read_many(session, statement, needs_ledger=True)


def read_summaries(session: Session, paths: Sequence[TaskPath]) -> tuple[dict[TaskPath, dict[str, Any]], int]:
    """
    Read the summaries of what was kept of ended attempts.

    :return: by task instance, and how many were not read yet: they come with the next requests
    """
    found: dict[TaskPath, dict[str, Any]] = {}
    unread, new = 0, 0
    for path, written in kept_at(session, paths).items():
        key = (path, written)
        if key not in _CACHE and new >= MOST_SUMMARIES:
            unread += 1
            continue
        new += key not in _CACHE
        found[path] = dict(_CACHE.get(key, lambda path=path: _summary(session, path)).head)  # type: ignore[misc]
    return found, unread


def with_summaries(session: Session, found: Sequence[TaskDocuments]) -> tuple[list[Told], int]:
    """Give task instances with the summaries of what was kept of them, and how many were not read yet."""
    # Of what is alive, its XCom tells.
    paths = [path_of(each) for each in found if each.facts.state is None or each.facts.state in OVER]
    summaries, unread = read_summaries(session, paths)
    return [(each, summaries.get(path_of(each), {})) for each in found], unread


def _summary(session: Session, path: TaskPath) -> Made:
    return Made({}, summary_of(mapping(read_kept(session, path, HISTORY_KEY))))


def kept_at(session: Session, paths: Sequence[TaskPath]) -> dict[TaskPath, datetime]:
    """Give when the history of each task instance that has a kept one was written, in their order."""
    if not paths:
        return {}
    # The first chunk is written last, so it tells of all.
    rows = session.execute(
        select(State.dag_id, State.run_id, State.task_id, State.map_index, State.updated_at)
        .where(where_among(State, paths), State.key == HISTORY_KEY)
        .limit(len(paths))
    )
    stamps = {TaskPath(*row[:4]): row[4] for row in rows}
    return {path: stamps[path] for path in paths if path in stamps}


def path_of(documents: TaskDocuments) -> TaskPath:
    """Name the task instance of documents."""
    facts = documents.facts
    return TaskPath(facts.dag_id, facts.run_id, facts.task_id, facts.map_index)


def _documents(row: Any) -> TaskDocuments:
    path = TaskPath(row.dag_id, row.run_id, row.task_id, row.map_index)
    live = {"cluster": row.cluster} if isinstance(row.cluster, dict) else None
    ledger = None if row.ledger is None else loaded(row.ledger)
    links = {} if row.page is None else {DASHBOARD_KEY: row.page}
    return TaskDocuments(facts_of(path, row), ledger=ledger, progress=row.progress, live=live, links=links)


def _of_same(table: Any) -> ColumnElement[bool]:
    return and_(
        table.dag_id == TI.dag_id,
        table.run_id == TI.run_id,
        table.task_id == TI.task_id,
        table.map_index == TI.map_index,
    )
