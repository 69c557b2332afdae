"""``airflow air clusters clean``."""

from __future__ import annotations

import logging
import sys
from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_air.attachments.registry import leaves_runs
from airflow_provider_air.cli.targets import command, connection_ids, show
from airflow_provider_air.connections.cleaning import Keeping, Places, clean
from airflow_provider_air.connections.dag_runs import state_of
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.hooks.ray import RayHook
from airflow_provider_air.runs.cluster_requests import REQUEST_KEY

if TYPE_CHECKING:
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.runs.cleaning import RunState

log = logging.getLogger(__name__)


@command
def clean_clusters(args: Namespace) -> None:
    """
    Print what of this deployment's leftovers is to go and why, and with ``--yes`` have it go.

    Looks at the clusters of all back ends and ``ray`` connections, at the jobs on them, at the runs that stay open in
    trackers, and at the storages that are named. Exits with 1 where a neighbour could not be looked at, or something
    stayed that was to go.
    """
    found = connection_ids()
    places = Places(
        ray_conn_ids=[name for name, kind in found.items() if kind == RayHook.conn_type],
        tracker_conn_ids=[name for name, kind in found.items() if leaves_runs(kind)],
        storages=args.storage or (),
    )
    report = clean(places, Keeping(), run_state_of, request_of, log, only_tell=not args.yes)
    show([asdict(line) for line in report.lines], args.output)
    for where, why in report.outages.items():
        sys.stderr.write(f"{where} could not be looked at: {why}\n")
    if report.count("would be taken"):
        sys.stderr.write("Nothing was taken: --yes takes it\n")
    if report.outages or report.count("failed"):
        raise SystemExit(1)


def run_state_of(key: TaskKey) -> RunState:
    """
    Read from the metadata database whether the DAG run of a task instance is over.

    :raises UnavailableError: it cannot be read
    """
    wanted = select(DagRun.state).where(DagRun.dag_id == key.dag_id, DagRun.run_id == key.run_id)
    try:
        with create_session() as session:
            return state_of(session.scalar(wanted))
    except SQLAlchemyError as error:
        raise UnavailableError(f"Airflow's metadata database cannot be read: {str(error).splitlines()[0]}") from error


def request_of(key: TaskKey) -> Any:
    """
    Read from the metadata database what a person has asked of the cluster that a task instance made.

    :raises UnavailableError: it cannot be read
    """
    its = {"dag_id": key.dag_id, "run_id": key.run_id, "task_id": key.task_id, "map_index": key.map_index}
    wanted = select(XComModel.value).filter_by(key=REQUEST_KEY, **its)
    try:
        with create_session() as session:
            found = session.execute(wanted).first()
    except SQLAlchemyError as error:
        raise UnavailableError(f"Airflow's metadata database cannot be read: {str(error).splitlines()[0]}") from error
    return None if found is None else XComModel.deserialize_value(found)
