"""Take applications off Ray Serve, and then the serving cluster of the other examples away."""

from __future__ import annotations

from airflow.sdk import dag

from airflow_provider_air import LocalCluster, RayDeleteClusterOperator, RayServeDeleteOperator

SERVING = LocalCluster(name="serving", num_cpus=4, ttl_seconds=None, idle_timeout_seconds=None)


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_22_serve_delete() -> None:
    """Delete both applications of the other examples, whether they are there or not, and their cluster."""
    cluster = RayDeleteClusterOperator(task_id="delete_cluster", cluster=SERVING)
    for application in ("greeter", "polite"):
        delete = RayServeDeleteOperator(
            task_id=f"delete_{application}", cluster=SERVING, application=application, missing_ok=True
        )
        delete >> cluster


example_22_serve_delete()
