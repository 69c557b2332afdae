"""Whether a DAG run is over, as Airflow says: to a task by its line to the supervisor, to a command by the database."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider_air.connections.base import line_to_supervisor
from airflow_provider_air.errors import UnavailableError

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
