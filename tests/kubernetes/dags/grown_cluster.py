"""A training, predictions and an application on one cluster of a group, which begins with a head that takes no work."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airflow_provider_air import (
    RayBatchInferenceOperator,
    RayClusterTaskGroup,
    RayServeDeployOperator,
    RayTrainOperator,
    SmokeTest,
)

SERVING = str(Path(__file__).parents[3] / "dags" / "serving")
STORAGE = "{{ dag_run.conf['storage'] }}"


def factor(config: dict[str, int]) -> None:
    """Keep a factor as the model, and say where it was made."""
    import socket

    import ray.train

    print("trained on", socket.gethostname(), flush=True)
    with tempfile.TemporaryDirectory() as place:
        Path(place, "model.json").write_text(json.dumps(config["factor"]))
        ray.train.report({"loss": 0.5}, checkpoint=ray.train.Checkpoint.from_directory(place))


class Times:
    """Multiplies by the factor."""

    def __init__(self, folder: str) -> None:
        self.factor = json.loads(Path(folder, "model.json").read_text())

    def __call__(self, batch: Any) -> Any:
        batch["product"] = batch["number"] * self.factor
        return batch


with DAG("grown_cluster", schedule=None, catchup=False), RayClusterTaskGroup("ray", ray_conn_id="ray_growing"):
    train = RayTrainOperator(
        task_id="train",
        train_loop=factor,
        train_loop_config={"factor": 3},
        scaling_config={"num_workers": 1},
        metric="loss",
        mode="min",
        storage=STORAGE,
    )
    predict = RayBatchInferenceOperator(
        task_id="predict",
        predictor=Times,
        checkpoint=train.output["checkpoint"],
        input_uri=f"{STORAGE}/numbers",
        output_uri=f"{STORAGE}/products",
    )
    deploy = RayServeDeployOperator(
        task_id="deploy",
        working_dir=SERVING,
        import_path="greeter:build",
        application="greeter",
        route_prefix="/greeter",
        args={"greeting": "Hello"},
        smoke_test=SmokeTest(path="?name=Ada", json_subset={"text": "Hello, Ada!"}),
    )
    train >> predict >> deploy
