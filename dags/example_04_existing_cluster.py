"""
Lesson 4: use a cluster that somebody else runs.

Its address and token are in an Airflow connection of type ``ray``; here ``ray_default``, as docker-compose.yaml sets
it. Nothing starts or stops the cluster. Without ``cluster=``, a group and ``ray_conn_id``, a task uses ``ray_default``
anyway, as the other lessons do: give that connection an address, and all of them run there. To make a connection::

    airflow connections add ray_default --conn-type ray --conn-password TOKEN --conn-host http://10.0.0.5
    airflow air doctor --ray-conn-id ray_default
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from airflow_provider_air import RaySubmitJobOperator


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_04_existing_cluster() -> None:
    """A command and a function on the same cluster."""
    command = RaySubmitJobOperator(
        task_id="command",
        ray_conn_id="ray_default",
        entrypoint="python -c 'import ray; ray.init(); print(ray.cluster_resources())'",
    )

    @task.ray(ray_conn_id="ray_default")
    def resources() -> dict[str, Any]:
        import ray

        ray.init()
        return {name: amount for name, amount in ray.cluster_resources().items() if name in ("CPU", "GPU")}

    command >> resources()


example_04_existing_cluster()
