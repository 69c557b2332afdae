"""A whole Airflow for benchmarks, with the DAGs of ``tests/benchmarks/dags``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow_stack import AirflowStack

from airflow_provider_air.ray_api.transport import Transport
from tests.benchmarks.rig.fresh import REPOSITORY
from tests.benchmarks.rig.worker import RAY_CONN_ID

DAGS = Path(__file__).parents[1] / "dags"
RUN_SECONDS = 1200.0
PAGE = 100


class Airflow:
    """A running Airflow; give runs their conf and get what they took."""

    def __init__(self, stack: AirflowStack) -> None:
        self.api = stack.api

    def start(self, dag_id: str, **conf: Any) -> str:
        """Start a run, and give its id."""
        self.api.wait_dag(dag_id)
        return self.api.trigger(dag_id, conf)

    def ended(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """
        Wait for a run's success, and give its task instances.

        :raises RuntimeError: it has failed
        """
        state = self.api.wait_run(dag_id, run_id, timeout_seconds=RUN_SECONDS)
        instances = self.api.task_instances(dag_id, run_id)
        if state != "success":
            failed = [ti for ti in instances if ti["state"] == "failed"]
            texts = [self.api.log_text(dag_id, run_id, ti["task_id"], 1, ti["map_index"])[-2000:] for ti in failed[:2]]
            raise RuntimeError(f"run {dag_id}/{run_id} is {state}: {texts}")
        return instances

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Give all task instances of a run, however many."""
        return self._pages(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances")

    def events(self, dag_id: str, run_id: str, event: str) -> list[dict[str, Any]]:
        """Give what Airflow's audit log tells of a run's task instances, such as ``deferred``."""
        return self._pages("/eventLogs", "event_logs", dag_id=dag_id, run_id=run_id, event=event)

    def _pages(self, path: str, key: str, **asked: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while page := self.api.call("GET", path, params={**asked, "limit": PAGE, "offset": len(found)})[key]:
            found += page
        return found

    def run_seconds(self, dag_id: str, **conf: Any) -> float:
        """Run a DAG, and give the seconds from the run's start to its end, as Airflow tells them."""
        run_id = self.start(dag_id, **conf)
        self.ended(dag_id, run_id)
        run = self.api.run(dag_id, run_id)
        return epoch(run["end_date"]) - epoch(run["start_date"])


def epoch(stamp: str) -> float:
    """Read a time of Airflow's API."""
    return datetime.fromisoformat(stamp).timestamp()


@contextmanager
def airflow(
    transport: Transport | None = None, *, env: Mapping[str, str] | None = None, parallelism: int = 4
) -> Iterator[Airflow]:
    """
    Have a whole Airflow on loopback, whose operators defer by default.

    :param transport: where its connection ``ray_bench`` leads
    :param env: more environment variables for all of it
    :param parallelism: how many tasks have a worker at once
    """
    connections: dict[str, str | dict[str, Any]] = {}
    if transport is not None:
        connections[RAY_CONN_ID] = {"conn_type": "ray", "host": transport.base_url, "password": transport.token}
    env = {
        "PYTHONPATH": str(REPOSITORY),
        "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
        **{name: os.environ[name] for name in ("AIR_LOCAL_HOME",) if name in os.environ},
        **(env or {}),
    }
    with AirflowStack(DAGS, env=env, connections=connections, parallelism=parallelism) as stack:
        yield Airflow(stack)
