"""
Runs DAGs of ``dags/`` one after the other in a process of its own, as ``airflow dags test`` does.

``python -m tests.dags.runner FD``: answers each JSON line on stdin with one on the file descriptor FD. One process for
all, since the first ``dag.test()`` of a process costs 10 s and each further one about a second.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.models.asset import AssetEvent
from airflow.models.xcom import XComModel
from airflow.sdk import Asset
from airflow.sdk.timezone import utcnow
from airflow.utils.cli import get_bagged_dag
from airflow.utils.session import create_session
from sqlalchemy import select


def import_file(path: str) -> dict[str, Any]:
    """Import one DAG file; ``cpu_seconds`` is what the import cost."""
    start = time.process_time()
    bag = DagBag(dag_folder=path, bundle_name="dags-folder", bundle_path=Path(path).parent)
    return {
        "dag_ids": sorted(bag.dag_ids),
        "errors": list(bag.import_errors.values()),
        "cpu_seconds": time.process_time() - start,
    }


def run_dag(dag_id: str) -> dict[str, Any]:
    """Run one DAG to its end; gives the states of run and tasks, tries, results, and what the assets' events say."""
    dag: Any = get_bagged_dag(None, dag_id)
    run = dag.test(logical_date=utcnow())
    with create_session() as session:
        query = select(XComModel).where(XComModel.run_id == run.run_id, XComModel.key == "return_value")
        results = {_label(row): row.value for row in session.scalars(query) if row.dag_id == dag_id}
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id))
        extras = {event.asset.uri: event.extra for event in events if event.source_dag_id == dag_id}
    instances = run.get_task_instances()
    return {
        "state": str(run.state),
        "tasks": {_label(instance): str(instance.state) for instance in instances},
        "tries": {_label(instance): instance.try_number for instance in instances},
        "results": results,
        "extras": extras,
    }


def _label(row: Any) -> str:
    return str(row.task_id) if row.map_index < 0 else f"{row.task_id}[{row.map_index}]"


def main() -> None:
    """Answer until stdin ends."""
    actions = {"import": import_file, "run": run_dag}
    # The first asset of a process has Airflow look for handlers in all providers (1 s): no DAG file's own cost.
    Asset("runner://first")
    with os.fdopen(int(sys.argv[1]), "w") as answers:
        for line in sys.stdin:
            ((action, argument),) = json.loads(line).items()
            answers.write(json.dumps(actions[action](argument), default=str) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
