"""
Take applications off Ray Serve, and then the serving cluster of the other examples away.

Applications go from the cluster that ``ray_serving`` stands for. A cluster is deleted by its spec, which names it, and
never by a connection alone: this is the ``LocalCluster`` that the first of these examples tells to have. One with an
address is left to whoever runs it.
"""

from __future__ import annotations

from airflow.sdk import dag

from airflow_provider_air import LocalCluster, RayDeleteClusterOperator, RayServeDeleteOperator


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_22_serve_delete() -> None:
    """Delete both applications of the other examples, whether they are there or not, and their cluster."""
    cluster = RayDeleteClusterOperator(task_id="delete_cluster", cluster=LocalCluster(name="serving"))
    for application in ("greeter", "polite"):
        delete = RayServeDeleteOperator(
            task_id=f"delete_{application}", ray_conn_id="ray_serving", application=application, missing_ok=True
        )
        delete >> cluster


example_22_serve_delete()
