"""
A whole Airflow that runs DAGs once each: a process of its own, which can be put where tests themselves are not.

``python -m tests.kubernetes.whole_airflow JSON``: the arguments are those of :func:`ran`; what it gave is the last line
that is printed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow_api import AirflowApi
from airflow_stack import AirflowStack

REPOSITORY = Path(__file__).parents[2]
DAGS = Path(__file__).parent / "dags"
# Where its modules are, for whoever starts it.
PYTHONPATH = f"{REPOSITORY}:{REPOSITORY / 'scripts'}"
RUN_SECONDS = 900.0
# Without a try to spare: a scheduler on a busy machine hears of a worker's exit late, see triggers/deferring.py.
ENVIRONMENT = {"PYTHONPATH": PYTHONPATH, "AIRFLOW__AIR__DEFERRAL_SETTLE_SECONDS": "45"}


def ran(
    dag_ids: Sequence[str], conf: Mapping[str, Any], connections: Mapping[str, Any], template_db: str | None = None
) -> dict[str, Any]:
    """
    Run DAGs of ``tests/kubernetes/dags`` to their ends, one after the other.

    :param conf: of each run
    :param connections: by their ids, in Airflow's JSON form
    :param template_db: a migrated database, so that none is made here
    :return: ``network`` (the namespace that all of it ran in), and by ``runs`` each DAG's ``state`` and ``tasks``; by
        these each one's ``state``, ``result``, ``log``, and ``deferrals``, how often it left its worker
    """
    template = None if template_db is None else Path(template_db)
    with AirflowStack(DAGS, env=ENVIRONMENT, connections=dict(connections), template_db=template) as stack:
        runs = {dag_id: _run(stack.api, dag_id, conf) for dag_id in dag_ids}
    return {"runs": runs, "network": os.readlink("/proc/self/ns/net")}


def _run(api: AirflowApi, dag_id: str, conf: Mapping[str, Any]) -> dict[str, Any]:
    api.wait_dag(dag_id)
    run_id = api.trigger(dag_id, dict(conf))
    state = api.wait_run(dag_id, run_id, timeout_seconds=RUN_SECONDS)
    asked = {"dag_id": dag_id, "run_id": run_id, "event": "deferred", "limit": 1000}
    deferred = [event["task_id"] for event in api.call("GET", "/eventLogs", params=asked)["event_logs"]]
    names = {instance["task_id"]: instance["state"] for instance in api.task_instances(dag_id, run_id)}
    tasks = {
        name: {
            "state": how,
            "result": api.xcom(dag_id, run_id, name),
            "log": _log(api, dag_id, run_id, name),
            "deferrals": deferred.count(name),
        }
        for name, how in names.items()
    }
    return {"state": state, "tasks": tasks}


def _log(api: AirflowApi, dag_id: str, run_id: str, task_id: str) -> str:
    """Give a task's log with what it raised, which the UI shows beside it."""
    path = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}/logs/1"
    entries = api.call("GET", path, params={"full_content": True}, headers={"Accept": "application/json"})["content"]
    lines = [str(entry.get("event", "")) for entry in entries]
    raised = [error for entry in entries for error in entry.get("error_detail") or ()]
    return "\n".join([*lines, *(f"{error['exc_type']}: {error['exc_value']}" for error in raised)])


if __name__ == "__main__":
    print("\n" + json.dumps(ran(**json.loads(sys.argv[1]))))
