"""Trainings whose driver, or whose whole head, is killed in the middle."""

from __future__ import annotations

import json
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import dag, task

from airflow_provider_air import LocalCluster, RayClusterTaskGroup, RayTrainOperator

EPOCHS = 4
HOLD_AT = 2
STORE = 256 * 1024 * 1024


def epochs(config: dict) -> None:
    """Report an epoch and its checkpoint after the other; hold still until the test lets go."""
    import ray.train

    folder, name = Path(config["folder"]), config["name"]
    start = 0
    checkpoint = ray.train.get_checkpoint()
    if checkpoint:
        with checkpoint.as_directory() as place:
            start = json.loads(Path(place, "state.json").read_text())["epoch"] + 1
    for epoch in range(start, EPOCHS):
        with (folder / f"ledger-{name}").open("a") as ledger:
            ledger.write(f"{epoch}\n")
        while epoch == HOLD_AT and not (folder / f"go-{name}").exists():
            time.sleep(0.2)
        with tempfile.TemporaryDirectory() as place:
            Path(place, "state.json").write_text(json.dumps({"epoch": epoch}))
            metrics = {"epoch": epoch, "loss": 1 / (epoch + 1) + config["offset"]}
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(place))


# One more than the one that is needed, also for the group's setup: a busy Airflow may lose a try by itself.
SPARE = {"retries": 2, "retry_delay": timedelta(0)}
SETTINGS = {
    "task_id": "train",
    "train_loop": epochs,
    "scaling_config": {"num_workers": 1, "resources_per_worker": {"CPU": 0.25}},
    "metric": "loss",
    "mode": "min",
    "storage": "{{ dag_run.conf['folder'] }}",
}


@dag(schedule=None, catchup=False, default_args=SPARE)
def trainings_mapped():
    @task
    def configs(dag_run) -> list[dict]:
        count, folder = dag_run.conf["count"], dag_run.conf["folder"]
        return [{"folder": folder, "name": str(i), "offset": i} for i in range(count)]

    made = configs()
    with RayClusterTaskGroup("ray", cluster=LocalCluster(num_cpus=4, object_store_memory_bytes=STORE)):
        RayTrainOperator.partial(**SETTINGS).expand(train_loop_config=made)


@dag(schedule=None, catchup=False, default_args=SPARE)
def training_on_a_head_that_dies():
    RayTrainOperator(
        **SETTINGS,
        cluster=LocalCluster(num_cpus=2, object_store_memory_bytes=STORE),
        train_loop_config={"folder": "{{ dag_run.conf['folder'] }}", "name": "alone", "offset": 0},
    )


trainings_mapped()
training_on_a_head_that_dies()
