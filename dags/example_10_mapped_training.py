"""
Lesson 10: one model per airline, on one cluster.

``expand`` makes a training of each airline's data. They share the cluster of the connection; ``max_concurrent_jobs``
lets two train at once, the others wait in the triggerer. Each has its own run, checkpoints, metrics and retries.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_air import RayTrainOperator

CODE = str(Path(__file__).parent / "airlines")
STORAGE = "{{ var.value.get('air_examples_storage', '/tmp') }}"
FOLDER = f"{STORAGE}/air_examples"
CARRIERS = ["AS", "F9", "HA"]


@dag(schedule=None, catchup=False, doc_md=__doc__, tags=["example"])
def example_10_mapped_training() -> None:
    """Prepare, train each, compare."""

    @task.ray(working_dir=CODE)
    def flights_of(carriers: list[str], folder: str) -> list[dict[str, str]]:
        from airlines import prepare

        prepare(folder, carriers)
        return [{"learn": f"{folder}/{carrier}/learn", "judge": f"{folder}/{carrier}/judge"} for carrier in carriers]

    train = RayTrainOperator.partial(
        task_id="train",
        trainer="lightgbm",
        train_loop="airlines:train",
        working_dir=CODE,
        train_loop_config={"learning_rate": 0.2},
        scaling_config={"num_workers": 1, "resources_per_worker": {"CPU": 0.5}},
        metric="judge-rmse",
        mode="min",
        storage=STORAGE,
        max_concurrent_jobs=2,
        retries=2,
        execution_timeout=timedelta(minutes=20),
    ).expand(datasets=flights_of(CARRIERS, FOLDER))

    @task
    def compare(results: list[dict[str, Any]]) -> dict[str, float]:
        errors = [round(float(result["best_metrics"]["judge-rmse"]), 2) for result in results]
        return dict(zip(CARRIERS, errors, strict=True))

    compare(train.output)


example_10_mapped_training()
