"""
Deploy a model to Ray Serve, prove that it answers, and scale it.

What serves must stay up between runs, so it has a connection of its own, ``ray_serving``: the next run finds the
cluster there and replaces the application without downtime. On the worker's own host::

    airflow connections add ray_serving --conn-type ray --conn-extra '{"backend": "local", "cluster":
        {"name": "serving", "num_cpus": 4, "ttl_seconds": null, "idle_timeout_seconds": null}}'

Then ``airflow air clusters list`` shows it, and ``airflow air clusters delete serving`` removes it.
"""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import dag

from airflow_provider_air import RayServeDeployOperator, RayServeScaleOperator, RayServeSensor, SmokeTest

SERVING = "ray_serving"


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_20_serve_deploy() -> None:
    """Deploy, scale, wait."""
    deploy = RayServeDeployOperator(
        task_id="deploy",
        ray_conn_id=SERVING,
        working_dir=str(Path(__file__).parent / "serving"),
        import_path="greeter:build",
        application="greeter",
        route_prefix="/greeter",
        args={"greeting": "Hello"},
        smoke_test=SmokeTest(path="?name=Ada", json_subset={"text": "Hello, Ada!"}, samples=3),
    )
    scale = RayServeScaleOperator(task_id="scale", ray_conn_id=SERVING, application="greeter", replicas={"Greeter": 2})
    wait = RayServeSensor(task_id="wait", ray_conn_id=SERVING, application="greeter", replicas=2, timeout=300)
    deploy >> scale >> wait


example_20_serve_deploy()
