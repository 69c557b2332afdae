"""Which task instance a command is about, and what Airflow's database has of it."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from airflow.cli.utils import fetch_dag_run_from_run_id_or_logical_date_string
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import select

from airflow_provider_air.cli.targets import metadata_database
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.pages.task_view import is_ours
from airflow_provider_air.plugin.reading import TaskPath, read_all, read_facts

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from airflow_provider_air.pages.documents import TaskDocuments


def task_instance_of(args: Namespace) -> TaskPath:
    """
    Name the task instance of ``dag_id``, ``task_id``, ``--map-index`` and a run, by default the DAG's latest one.

    :raises ConfigurationError: there is none
    :raises UnavailableError: the metadata database cannot be read
    """
    with metadata_database() as session:
        run_id = _run_id(session, args.dag_id, args.logical_date_or_run_id)
        where = (
            TaskInstance.dag_id == args.dag_id,
            TaskInstance.run_id == run_id,
            TaskInstance.task_id == args.task_id,
        )
        indexes = sorted(session.scalars(select(TaskInstance.map_index).where(*where)))
    if args.map_index in indexes:
        return TaskPath(args.dag_id, run_id, args.task_id, args.map_index)
    if not indexes:
        hint = f"See: airflow tasks states-for-dag-run {args.dag_id} {run_id}"
        raise ConfigurationError(f"This run has no task {args.task_id!r}", where=f"{args.dag_id}/{run_id}", hint=hint)
    known = "it is not mapped" if indexes == [-1] else f"it has {indexes[0]} to {indexes[-1]}"
    raise ConfigurationError(
        f"The task has no map index {args.map_index}: {known}",
        where=f"{args.dag_id}/{run_id}/{args.task_id}",
        hint="Leave out --map-index" if indexes == [-1] else "Give one of them with --map-index",
    )


def documents_of(path: TaskPath) -> TaskDocuments | None:
    """
    Read all that is stored of a task instance; None where it is no longer there.

    :raises ConfigurationError: it is no task of this provider
    :raises UnavailableError: the metadata database cannot be read
    """
    with metadata_database() as session:
        facts = read_facts(session, path)
        if facts is None:
            return None
        documents = read_all(session, path, facts)
    if not is_ours(facts, documents.ledger, documents.progress):
        raise ConfigurationError(
            f"This task is none of this provider's, but a {facts.operator or 'task of nobody'}",
            where=name_of(path),
            hint="Its state: airflow tasks state",
        )
    return documents


def name_of(path: TaskPath) -> str:
    """Name a task instance for people."""
    return str(TaskKey("", path.dag_id, path.run_id, path.task_id, path.map_index))


def _run_id(session: Session, dag_id: str, named: str | None) -> str:
    if named is not None:
        run, _ = fetch_dag_run_from_run_id_or_logical_date_string(dag_id=dag_id, value=named, session=session)
        found = None if run is None else run.run_id
    else:
        latest = (
            select(DagRun.run_id).where(DagRun.dag_id == dag_id).order_by(DagRun.run_after.desc(), DagRun.id.desc())
        )
        found = session.scalar(latest.limit(1))
    if found is None:
        what = f"The DAG {dag_id!r} has no run" if named is None else f"The DAG {dag_id!r} has no run {named!r}"
        raise ConfigurationError(what, hint=f"See: airflow dags list-runs {dag_id}")
    return found
