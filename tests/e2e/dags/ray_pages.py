"""
What people watch in Airflow's pages: a training, a search, a job that fails, and a task of others; and, on a cluster
that goes with them, predictions, an application, and a job that fails.
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_air import (
    LocalCluster,
    RayBatchInferenceOperator,
    RayClusterTaskGroup,
    RayServeDeployOperator,
    RaySubmitJobOperator,
    RayTrainOperator,
    RayTuneOperator,
    SmokeTest,
)

RAY = "{{ dag_run.conf['ray_conn_id'] }}"
FOLDER = "{{ dag_run.conf['folder'] }}"
EPOCHS = 30
HOLD_AT = 10
# A busy Airflow may lose a try by itself.
SPARE = {"retries": 2, "retry_delay": timedelta(0)}
HOSTILE = "</script><script>window.hurt = true</script><img src=x onerror=hurt()> \x1b[31mred\x1b[0m \u202edesrever"


def epochs(config: dict) -> None:
    """Report losses; hold still in the middle until the test lets go."""
    import ray.train

    for epoch in range(EPOCHS):
        while epoch == HOLD_AT and not Path(config["folder"], "go").exists():
            time.sleep(0.1)
        ray.train.report({"loss": 1 / (epoch + 1), "val/acc": epoch / EPOCHS, HOSTILE: float(epoch)})


def attempt(config: dict) -> None:
    """Report the distance of x from 3, step by step."""
    import ray.tune

    for step in range(5):
        ray.tune.report({"error": abs(config["x"] - 3) / (step + 1)})


class Slowly:
    """Doubles a number; until the test lets go, it takes some seconds for each batch."""

    def __init__(self, folder: str) -> None:
        self.go = Path(folder, "go")

    def __call__(self, batch: Any) -> Any:
        end = time.monotonic() + 8
        while not self.go.exists() and time.monotonic() < end:
            time.sleep(0.1)
        batch["double"] = batch["number"] * 2
        return batch


@dag(schedule=None, catchup=False)
def pages():
    RayTrainOperator(
        task_id="train",
        ray_conn_id=RAY,
        train_loop=epochs,
        train_loop_config={"folder": FOLDER},
        scaling_config={"num_workers": 1, "resources_per_worker": {"CPU": 0.25}},
        metric="loss",
        mode="min",
        storage=FOLDER,
        **SPARE,
    )
    RayTuneOperator(
        task_id="tune",
        ray_conn_id=RAY,
        trainable=attempt,
        param_space={"x": {"grid_search": [0, 1, 2, 3, 4]}, HOSTILE: {"grid_search": [1]}},
        metric="error",
        mode="min",
        storage=FOLDER,
        **SPARE,
    )
    RaySubmitJobOperator(
        task_id="fails",
        ray_conn_id=RAY,
        entrypoint=["sh", "-c", 'echo "ERROR: $0"; exit 3', HOSTILE],
        # In place, since it has no try to spare.
        deferral_grace_seconds=300,
    )

    @task
    def others() -> int:
        return 1

    others()


@dag(schedule=None, catchup=False)
def pages_of_a_cluster_that_goes():
    with RayClusterTaskGroup(
        "ray", cluster=LocalCluster(num_cpus=3, object_store_memory_bytes=256 * 1024 * 1024), default_args=SPARE
    ):
        predict = RayBatchInferenceOperator(
            task_id="predict",
            predictor=Slowly,
            predictor_args={"folder": FOLDER},
            input_uri=f"{FOLDER}/numbers",
            output_uri=f"{FOLDER}/doubles",
            batch_size=10,
        )
        deploy = RayServeDeployOperator(
            task_id="deploy",
            working_dir=str(Path(__file__).parents[3] / "dags" / "serving"),
            import_path="greeter:build",
            application="greeter",
            route_prefix="/greeter",
            args={"greeting": "Hello"},
            smoke_test=SmokeTest(path="?name=Ada", json_subset={"text": "Hello, Ada!"}),
        )
        called = RaySubmitJobOperator(
            task_id="called", entrypoint=["sh", "-c", 'until [ -e "$0/called" ]; do sleep 0.2; done', FOLDER]
        )
        fails = RaySubmitJobOperator(
            task_id="fails", entrypoint="echo 'ERROR: no rows'; exit 3", deferral_grace_seconds=300, retries=0
        )
        predict >> deploy >> called >> fails


pages()
pages_of_a_cluster_that_goes()
