"""Task instances as Airflow's database has them, with what a run has stored of them."""

from __future__ import annotations

import json
import uuid
from typing import Any

from sqlalchemy import text

from tests.unit.cli.conftest import Cli

DAG, RUN, TASK = "flights", "manual__1", "train"
LEDGER = {
    "version": 1,
    "generation": 1,
    "attempts": [
        {
            "submission_id": "air-1",
            "generation": 1,
            "number": 1,
            "workload": "train",
            "phase": "submitted",
            "cluster": {"name": "lab", "backend": "local", "details": {}},
            "steps": {"intended": 1_700_000_000.0, "sent": 1_700_000_005.0},
        }
    ],
}


def add_task(cli: Cli, state: str | None = "deferred", *, map_index: int = -1, run_id: str = RUN, **more: Any) -> None:
    """Write down a run's task instance, of an operator of ours unless told otherwise."""
    known = {"operator": "RayTrainOperator", "try_number": 1, **more}
    names = {"dag_id": DAG, "run_id": run_id, "task_id": TASK, "map_index": map_index}
    cli.add_row("task_instance", id=uuid.uuid4().hex, state=state, **names, **known)


def add_run(cli: Cli, run_id: str = RUN, run_after: str = "2026-01-01 00:00:00", **more: Any) -> None:
    """Write down a DAG run."""
    cli.add_row("dag_run", dag_id=DAG, run_id=run_id, state="running", run_after=run_after, **more)


def set_state(cli: Cli, state: str | None) -> None:
    """Let Airflow have moved the task instance on."""
    with cli.sessions.begin() as session:
        session.execute(text("UPDATE task_instance SET state = :state"), {"state": state})


def delete_tasks(cli: Cli) -> None:
    """Let somebody have deleted the run."""
    with cli.sessions.begin() as session:
        session.execute(text("DELETE FROM task_instance"))


def store(cli: Cli, key: str, value: Any, *, map_index: int = -1) -> None:
    """Write down a value of the task's state store."""
    names = {"dag_id": DAG, "run_id": RUN, "task_id": TASK, "map_index": map_index}
    cli.add_row("task_state_store", key=key, value=json.dumps(value), **names)


def push(cli: Cli, key: str, value: Any) -> None:
    """Write down an XCom, over the one before."""
    names = {"dag_id": DAG, "run_id": RUN, "task_id": TASK, "map_index": -1}
    with cli.sessions.begin() as session:
        session.execute(text("DELETE FROM xcom WHERE key = :key"), {"key": key})
    cli.add_row("xcom", dag_run_id=1, key=key, value=json.dumps(value), **names)


def history(**series: list[float]) -> dict[str, Any]:
    """Give a history with these curves."""
    points = {name: [[float(step), value] for step, value in enumerate(values)] for name, values in series.items()}
    return {"version": 1, "submission_id": "air-1", "steps": {}, "series": points, "trials": [], "cut": {}}
