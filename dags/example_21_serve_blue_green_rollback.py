"""
A bad version does not get the route: its smoke test fails, it is taken away, and the good one serves on.

The task ``deploy_bad`` fails on purpose; ``check`` shows that clients still get the good version.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import TriggerRule, dag, task

from airflow_provider_air import RayServeDeployOperator, SmokeTest

SERVING = "ray_serving"
CODE = str(Path(__file__).parent / "serving")
POLITE = SmokeTest(path="?name=Ada", json_subset={"text": "Good morning, Ada!"})


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_21_serve_blue_green_rollback() -> None:
    """Deploy a good version, then a bad one."""
    good = RayServeDeployOperator(
        task_id="deploy_good",
        ray_conn_id=SERVING,
        working_dir=CODE,
        import_path="greeter:build",
        application="polite",
        route_prefix="/polite",
        args={"greeting": "Good morning"},
        smoke_test=POLITE,
    )
    bad = RayServeDeployOperator(
        task_id="deploy_bad",
        ray_conn_id=SERVING,
        working_dir=CODE,
        import_path="greeter:build",
        application="polite",
        route_prefix="/polite",
        args={"greeting": "Hey"},
        smoke_test=POLITE,
    )

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def check(url: str) -> Any:
        import httpx

        answer = httpx.get(url, params={"name": "Ada"}, trust_env=False).json()
        if answer["text"] != "Good morning, Ada!":
            raise RuntimeError(f"the bad version serves: {answer}")
        return answer

    good >> bad >> check(good.output["url"])


example_21_serve_blue_green_rollback()
