"""
What Airflow says to a task, by its line to the supervisor: whether a DAG run is over, and what a person has asked of
the cluster that a task instance made.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider_air.connections.base import line_to_supervisor
from airflow_provider_air.connections.ports import XComBoard
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.runs.cluster_requests import REQUEST_KEY

if TYPE_CHECKING:
    from airflow_provider_air.contracts.names import TaskKey
    from airflow_provider_air.runs.cleaning import RunState

# All other states are of runs that may yet have a task run (Airflow 3.3: queued, running).
OVER = ("success", "failed")


def run_state_of(key: TaskKey) -> RunState:
    """
    Ask whether the DAG run of a task instance is over; for workers. Blocks.

    Source: Airflow 3.3's execution API, ``dag-runs/{dag_id}/{run_id}/state``, which any task may ask.

    :raises UnavailableError: Airflow's api-server does not say
    """
    from airflow.sdk.execution_time.comms import GetDagRunState

    line = line_to_supervisor()
    if line is None:
        raise UnavailableError("Only a task that Airflow runs can ask whether a DAG run is over")
    try:
        answer = line.send(GetDagRunState(dag_id=key.dag_id, run_id=key.run_id))
    except AirflowRuntimeError as refused:
        answer = refused.error
    if (error := getattr(answer, "error", None)) is not None:
        if (answer.detail or {}).get("status_code") == HTTPStatus.NOT_FOUND:
            return "unknown"
        raise UnavailableError(f"Airflow does not say whether the DAG run {key.run_id!r} is over: {error}")
    return state_of(answer.state)


def state_of(state: Any) -> RunState:
    """Judge the state of a DAG run, as Airflow names it; None where there is none."""
    if state is None:
        return "unknown"
    return "over" if str(getattr(state, "value", state)) in OVER else "live"


def request_of(key: TaskKey) -> Any:
    """
    Read what a person has asked of the cluster that a task instance made, as it is stored; for workers. Blocks.

    :raises UnavailableError: Airflow's api-server does not say
    """
    task = {"dag_id": key.dag_id, "run_id": key.run_id, "task_id": key.task_id, "map_index": key.map_index}
    try:
        return XComBoard(task).read(REQUEST_KEY)
    except AirflowRuntimeError as error:
        raise UnavailableError(
            f"Airflow does not say what is asked of the cluster of {key.task_id!r}: {error}"
        ) from error
