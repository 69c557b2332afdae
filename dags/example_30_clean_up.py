"""
Lesson 30: what runs leave behind goes.

Every cluster that we make expires, and goes with its task or group. What is left all the same (a worker that was lost
in the wrong moment, a person who deleted a task's run) is found by its marks and taken once its DAG run is over:
clusters, jobs on clusters that stay, runs that stay open in MLflow, staged code, joined rows, old results.

Each thing has a line in the log that says why it goes or stays. Trigger it with ``only_tell`` to see what would go. The
same by hand: ``airflow air clusters clean``, then with ``--yes``.

Give it what your DAGs use: ``tracker_conn_ids=["mlflow_default"]``, ``storages=[S3Storage("aws_default", "s3://ml")]``.
"""

from __future__ import annotations

from airflow.sdk import Param, dag

from airflow_provider_air import RayCleanUpOperator


@dag(
    schedule="@hourly",
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["example"],
    params={"only_tell": Param(False, type="boolean", description="Take nothing, and say what would be taken")},
)
def example_30_clean_up() -> None:
    """Once an hour."""
    RayCleanUpOperator(task_id="clean_up", ray_conn_ids=["ray_default"], only_tell="{{ params.only_tell }}")


example_30_clean_up()
