"""
Deploy a model to Ray Serve, prove that it answers, and scale it.

The serving cluster stays up between runs: the next run adopts it and replaces the application without downtime.
``airflow air clusters list`` shows it and ``airflow air clusters delete serving`` removes it.
"""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import dag

from airflow_provider_air import (
    LocalCluster,
    RayServeDeployOperator,
    RayServeScaleOperator,
    RayServeSensor,
    SmokeTest,
)

SERVING = LocalCluster(name="serving", num_cpus=4, ttl_seconds=None, idle_timeout_seconds=None)


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_20_serve_deploy() -> None:
    """Deploy, scale, wait."""
    deploy = RayServeDeployOperator(
        task_id="deploy",
        cluster=SERVING,
        working_dir=str(Path(__file__).parent / "serving"),
        import_path="greeter:build",
        application="greeter",
        route_prefix="/greeter",
        args={"greeting": "Hello"},
        smoke_test=SmokeTest(path="?name=Ada", json_subset={"text": "Hello, Ada!"}, samples=3),
    )
    scale = RayServeScaleOperator(task_id="scale", cluster=SERVING, application="greeter", replicas={"Greeter": 2})
    wait = RayServeSensor(task_id="wait", cluster=SERVING, application="greeter", replicas=2, timeout=300)
    deploy >> scale >> wait


example_20_serve_deploy()
