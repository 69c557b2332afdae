"""What people watch in Airflow's pages: a training, a search, an inference, a job that fails, and a task of others."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag, task

from airflow_provider_air import RaySubmitJobOperator, RayTrainOperator, RayTuneOperator

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


pages()
